//! Whole answers from events, and what holds for any body.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;
use crate::core::{Event, Failure, Finish, Outcome, Piece, Started, Timing, Token};
use crate::dialects::Stamp;

/// 2026-08-21T10:00:00.123456789Z.
fn now() -> SystemTime {
    UNIX_EPOCH + Duration::new(1_787_306_400, 123_456_789)
}

const NOW: &str = "2026-08-21T10:00:00.123456789Z";

fn started() -> Event {
    Event::Started(Started {
        prompt_tokens: 26,
        context: 4096,
        load: Duration::from_nanos(45_678_901),
        ..Started::default()
    })
}

fn delta(pieces: &[Piece]) -> Event {
    Event::Delta {
        choice: 0,
        pieces: pieces.to_vec(),
        tokens: vec![Token::default()],
    }
}

fn end(finish: Finish) -> Event {
    let timing = Timing {
        total: Duration::from_nanos(1_234_567_890),
        prefill: Duration::from_nanos(130_000_000),
        decode: Duration::from_nanos(42_000_000),
        ..Timing::default()
    };
    let outcome = Outcome {
        finish,
        tokens: 3,
        ids: vec![1, 2, 3],
        timing,
        ..Outcome::default()
    };
    Event::End { choice: 0, outcome }
}

fn content(text: &str) -> Piece {
    Piece::Content(text.into())
}

fn thought(text: &str) -> Piece {
    Piece::Reasoning(text.into())
}

fn call() -> [Piece; 2] {
    let name = "get_weather".to_owned();
    [
        Piece::Call {
            index: 0,
            id: "call_k3v9x0ab".into(),
            name,
        },
        Piece::Arguments {
            index: 0,
            text: "{\"city\":\"Oslo\"}".into(),
        },
    ]
}

fn asked(kind: Kind, more: Value) -> Asked {
    let mut body = more.as_object().unwrap().clone();
    body.insert("model".into(), json!("m"));
    match kind {
        Kind::Generate => {
            body.entry("prompt").or_insert(json!("p"));
            generate(body).unwrap()
        }
        Kind::Chat => {
            body.insert("messages".into(), json!([{"role": "user", "content": "p"}]));
            chat(body).unwrap()
        }
    }
}

fn answer(asked: &Asked, events: impl IntoIterator<Item = Event>) -> Result<Vec<Value>, Failure> {
    let mut frames = Frames::new(asked, &Stamp::new(now(), "id"));
    let mut lines = Vec::new();
    for event in events {
        for frame in frames.push(event, now())? {
            let line = frame.to_line().unwrap();
            assert!(line.ends_with('\n') && line.matches('\n').count() == 1);
            lines.push(serde_json::from_str(&line).unwrap());
        }
    }
    Ok(lines)
}

#[test]
fn generate_in_lines() {
    let events = [
        started(),
        delta(&[content("Par")]),
        delta(&[]),
        delta(&[content("is")]),
        end(Finish::End),
        Event::Done,
    ];
    let lines = answer(&asked(Kind::Generate, json!({})), events).unwrap();
    assert_eq!(
        lines,
        [
            json!({"model": "m", "created_at": NOW, "response": "Par", "done": false}),
            json!({"model": "m", "created_at": NOW, "response": "is", "done": false}),
            json!({
                "model": "m", "created_at": NOW, "response": "", "done": true, "done_reason": "stop",
                "context": [1, 2, 3], "total_duration": 1_234_567_890, "load_duration": 45_678_901,
                "prompt_eval_count": 26, "prompt_eval_duration": 130_000_000, "eval_count": 3,
                "eval_duration": 42_000_000,
                "hearth": {"used": 29, "limit": 4096, "dropped": {"messages": 0, "tokens": 0}, "warnings": []},
            }),
        ]
    );
}

#[test]
fn generate_as_a_whole() {
    let events = [
        started(),
        delta(&[thought("hm")]),
        delta(&[content("Par")]),
        delta(&[content("is")]),
        end(Finish::Length),
    ];
    let lines = answer(&asked(Kind::Generate, json!({"stream": false})), events).unwrap();
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0]["response"], "Paris");
    assert_eq!(lines[0]["thinking"], "hm");
    assert_eq!(
        (&lines[0]["done"], &lines[0]["done_reason"]),
        (&json!(true), &json!("length"))
    );
    assert_eq!(lines[0]["context"], json!([1, 2, 3]));
}

#[test]
fn chat_in_lines_and_as_a_whole() {
    let events = || {
        let [begin, arguments] = call();
        [
            started(),
            delta(&[thought("Let me")]),
            delta(&[content("So"), begin]),
            delta(&[arguments]),
            end(Finish::End),
            Event::Done,
        ]
    };
    let call = json!({"id": "call_k3v9x0ab", "function": {"index": 0, "name": "get_weather", "arguments": {"city": "Oslo"}}});
    let lines = answer(&asked(Kind::Chat, json!({})), events()).unwrap();
    let frame = |message: Value| json!({"model": "m", "created_at": NOW, "message": message, "done": false});
    assert_eq!(
        lines[0],
        frame(json!({"role": "assistant", "content": "", "thinking": "Let me"}))
    );
    assert_eq!(
        lines[1],
        frame(json!({"role": "assistant", "content": "So"}))
    );
    assert_eq!(
        lines[2],
        frame(json!({"role": "assistant", "content": "", "tool_calls": [call]}))
    );
    let mut last = lines[3].clone();
    assert_eq!(last["done_reason"], "stop");
    assert!(last.get("context").is_none());
    assert_eq!(lines.len(), 4);

    let whole = answer(&asked(Kind::Chat, json!({"stream": false})), events()).unwrap();
    last["message"] =
        json!({"role": "assistant", "content": "So", "thinking": "Let me", "tool_calls": [call]});
    assert_eq!(whole, [last]);
}

#[test]
fn every_frame_has_what_the_strictest_readers_need() {
    for (kind, body) in [
        (Kind::Chat, json!({})),
        (Kind::Generate, json!({})),
        (Kind::Chat, json!({"stream": false})),
    ] {
        let events = [
            started(),
            delta(&[thought("a")]),
            delta(&[content("b")]),
            delta(&call()),
            end(Finish::End),
        ];
        let lines = answer(&asked(kind, body), events).unwrap();
        for line in &lines {
            assert!(
                line["model"].is_string()
                    && line["created_at"].is_string()
                    && line["done"].is_boolean()
            );
            match kind {
                Kind::Chat => {
                    assert_eq!(line["message"]["role"], "assistant");
                    assert!(line["message"]["content"].is_string());
                }
                Kind::Generate => assert!(line["response"].is_string()),
            }
        }
        let last = lines.last().unwrap();
        for count in [
            "total_duration",
            "load_duration",
            "prompt_eval_count",
            "prompt_eval_duration",
            "eval_count",
            "eval_duration",
        ] {
            assert!(last[count].is_u64(), "{count}");
        }
        assert!(last["done_reason"].is_string());
        assert_eq!(lines.iter().filter(|line| line["done"] == true).count(), 1);
    }
}

#[test]
fn reasons_to_end() {
    for (finish, reason) in [
        (Finish::End, "stop"),
        (Finish::Stop("x".into()), "stop"),
        (Finish::Length, "length"),
        (Finish::Context, "length"),
    ] {
        let lines = answer(&asked(Kind::Chat, json!({})), [started(), end(finish)]).unwrap();
        assert_eq!(lines[0]["done_reason"], reason);
    }
    let cancelled = answer(
        &asked(Kind::Chat, json!({})),
        [started(), end(Finish::Cancelled)],
    );
    assert_eq!(cancelled, Err(Failure::Cancelled));
    let failed = answer(
        &asked(Kind::Chat, json!({})),
        [started(), Event::Failed(Failure::Load("x".into()))],
    );
    assert_eq!(failed, Err(Failure::Load("x".into())));
}

#[test]
fn metrics_of_zero_are_left_out() {
    let outcome = Outcome::default();
    let lines = answer(
        &asked(Kind::Chat, json!({})),
        [Event::End { choice: 0, outcome }],
    )
    .unwrap();
    let keys: Vec<&String> = lines[0].as_object().unwrap().keys().collect();
    assert_eq!(
        keys,
        [
            "model",
            "created_at",
            "message",
            "done",
            "done_reason",
            "hearth"
        ]
    );
}

#[test]
fn raw_answers_and_insertions_have_no_context() {
    for body in [json!({"raw": true}), json!({"suffix": "s"})] {
        let lines = answer(&asked(Kind::Generate, body), [started(), end(Finish::End)]).unwrap();
        assert!(lines[0].get("context").is_none());
    }
}

#[test]
fn what_did_not_fit_and_what_was_ignored_is_told() {
    let event = Event::Started(Started {
        prompt_tokens: 100,
        context: 128,
        dropped_messages: 2,
        warnings: vec!["num_ctx was lowered".into()],
        ..Started::default()
    });
    let outcome = Outcome {
        tokens: 60,
        dropped_tokens: 40,
        ..Outcome::default()
    };
    let asked = asked(Kind::Chat, json!({"zed": 1}));
    let lines = answer(&asked, [event, Event::End { choice: 0, outcome }]).unwrap();
    assert_eq!(
        lines[0]["hearth"],
        json!({
            "used": 120, "limit": 128, "dropped": {"messages": 2, "tokens": 40},
            "warnings": ["num_ctx was lowered", "zed is ignored: not known here"],
        })
    );
}

#[test]
fn tokens_come_with_the_text_they_made_or_without() {
    let token = |text: &str| Token {
        bytes: text.into(),
        logprob: Some(-1.0),
        ..Token::default()
    };
    let event = |pieces: &[Piece], text: &str| Event::Delta {
        choice: 0,
        pieces: pieces.to_vec(),
        tokens: vec![token(text)],
    };
    let events = || {
        [
            started(),
            event(&[], "a"),
            event(&[content("ab")], "b"),
            end(Finish::End),
        ]
    };
    let said = |text: &str| json!({"token": text, "logprob": -1.0, "bytes": text.as_bytes()});
    let lines = answer(&asked(Kind::Chat, json!({"logprobs": true})), events()).unwrap();
    assert_eq!(
        (&lines[0]["message"]["content"], &lines[0]["logprobs"]),
        (&json!(""), &json!([said("a")]))
    );
    assert_eq!(
        (&lines[1]["message"]["content"], &lines[1]["logprobs"]),
        (&json!("ab"), &json!([said("b")]))
    );
    let body = json!({"logprobs": true, "stream": false});
    let whole = answer(&asked(Kind::Generate, body), events()).unwrap();
    assert_eq!(whole[0]["logprobs"], json!([said("a"), said("b")]));
    let silent = answer(&asked(Kind::Chat, json!({"top_logprobs": 3})), events()).unwrap();
    assert!(silent.iter().all(|line| line.get("logprobs").is_none()));
}

#[test]
fn loading_unloading_and_rendering() {
    let of = |body: Value| generate(body.as_object().unwrap().clone()).unwrap();
    assert_eq!(
        loaded(&of(json!({"model": "m"})), now()),
        json!({"model": "m", "created_at": NOW, "response": "", "done": true, "done_reason": "load"})
    );
    let mut body = Map::new();
    body.insert("model".into(), json!("m"));
    body.insert("keep_alive".into(), json!(0));
    assert_eq!(
        loaded(&chat(body).unwrap(), now()),
        json!({
            "model": "m", "created_at": NOW, "message": {"role": "assistant", "content": ""}, "done": true,
            "done_reason": "unload",
        })
    );
    let asked = of(json!({"model": "m", "prompt": "a", "_debug_render_only": true}));
    assert_eq!(
        rendered(&asked, "<a>", now()),
        json!({
            "model": "m", "created_at": NOW, "response": "", "done": true,
            "_debug_info": {"rendered_template": "<a>", "image_count": 0},
        })
    );
}

/// Any JSON, with names and values of this dialect more often than others.
pub(super) fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        prop_oneof![
            Just("m"),
            Just("json"),
            Just(""),
            Just("-1"),
            Just("5m"),
            Just("user"),
            Just("/9j/4AAQ")
        ]
        .prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 48, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            any_object(inner).prop_map(Value::from),
        ]
    })
}

fn any_object(value: impl Strategy<Value = Value>) -> impl Strategy<Value = Map<String, Value>> {
    const NAMES: &[&str] = &[
        "model",
        "name",
        "prompt",
        "messages",
        "role",
        "content",
        "tool_calls",
        "function",
        "arguments",
        "options",
        "num_ctx",
        "stop",
        "seed",
        "keep_alive",
        "think",
        "format",
        "images",
        "context",
        "raw",
        "suffix",
        "template",
        "system",
        "tools",
        "tool_choice",
        "logprobs",
        "top_logprobs",
        "stream",
        "input",
        "dimensions",
        "source",
        "destination",
        "from",
        "files",
        "adapters",
        "parameters",
        "license",
        "quantize",
        "insecure",
        "verbose",
        "info",
    ];
    let name =
        prop_oneof![4 => prop::sample::select(NAMES).prop_map(str::to_owned), 1 => "\\PC{0,6}"];
    prop::collection::vec((name, value), 0..8).prop_map(|entries| entries.into_iter().collect())
}

/// A refusal says which field it is about, or which model is not there.
fn names_a_field<T>(result: Result<T, Failure>) -> bool {
    match result {
        Ok(_) | Err(Failure::UnknownModel(_)) => true,
        Err(Failure::Invalid { field, message }) => !field.is_empty() && !message.is_empty(),
        Err(_) => false,
    }
}

fn any_piece() -> impl Strategy<Value = Piece> {
    prop_oneof![
        "[a-c<{\n]{0,4}".prop_map(Piece::Content),
        "[a-c]{0,4}".prop_map(Piece::Reasoning),
        (0..3_usize).prop_map(|index| Piece::Call {
            index,
            id: String::new(),
            name: "f".into()
        }),
        (0..3_usize, "[{}\":a1]{0,4}").prop_map(|(index, text)| Piece::Arguments { index, text }),
    ]
}

proptest! {
    #[test]
    fn any_body_is_understood_or_refused(mut body in any_object(any_json()), known in any::<bool>()) {
        if known {
            body.insert("model".into(), json!("m"));
        }
        prop_assert!(names_a_field(generate(body.clone())));
        prop_assert!(names_a_field(embed(body.clone())));
        prop_assert!(names_a_field(embeddings(body.clone())));
        prop_assert!(names_a_field(asked_show(body.clone())));
        prop_assert!(names_a_field(asked_transfer(body.clone())));
        prop_assert!(names_a_field(asked_create(body.clone())));
        prop_assert!(names_a_field(asked_copy(body.clone())));
        prop_assert!(names_a_field(asked_delete(body.clone())));
        prop_assert!(names_a_field(chat(body)));
    }

    #[test]
    fn lines_say_the_same_as_the_whole(deltas in prop::collection::vec(prop::collection::vec(any_piece(), 0..4), 0..12)) {
        let events = || {
            let deltas = deltas.iter().map(|pieces| delta(pieces));
            std::iter::once(started()).chain(deltas).chain([end(Finish::End)])
        };
        let lines = answer(&asked(Kind::Chat, json!({})), events()).unwrap();
        let whole = answer(&asked(Kind::Chat, json!({"stream": false})), events()).unwrap();
        prop_assert_eq!(whole.len(), 1);
        for text in ["content", "thinking"] {
            let all: String = lines.iter().filter_map(|line| line["message"][text].as_str()).collect();
            prop_assert_eq!(all, whole[0]["message"][text].as_str().unwrap_or_default());
        }
        let calls = |lines: &[Value]| -> Vec<Value> {
            lines.iter().filter_map(|line| line["message"]["tool_calls"].as_array().cloned()).flatten().collect()
        };
        prop_assert_eq!(calls(&lines), calls(&whole));
    }
}
