use std::time::Duration;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::core::{Event, Finish, Outcome, Piece, Started, Timing, Token};
use crate::dialects::frame::Frame;

const MS: fn(u64) -> Duration = Duration::from_millis;

fn started() -> Event {
    Event::Started(Started {
        model: "m".into(),
        prompt_tokens: 7,
        cached_tokens: 2,
        prompt: "<s> The sky is".into(),
        ..Started::default()
    })
}

fn token(id: u32, text: &str) -> Token {
    Token {
        id,
        bytes: text.as_bytes().to_vec(),
        logprob: Some(-0.5),
        top: vec![
            (id, text.as_bytes().to_vec(), -0.5),
            (9, vec![0xc3], f32::NEG_INFINITY),
        ],
    }
}

fn delta(choice: usize, text: &str, tokens: Vec<Token>) -> Event {
    Event::Delta {
        choice,
        pieces: vec![Piece::Content(text.into())],
        tokens,
    }
}

fn end(choice: usize, finish: Finish, tokens: usize) -> Event {
    let timing = Timing {
        prefill: MS(10),
        decode: MS(30),
        ..Timing::default()
    };
    Event::End {
        choice,
        outcome: Outcome {
            finish,
            tokens,
            timing,
            ..Outcome::default()
        },
    }
}

fn style() -> Style {
    Style {
        settings: json!({"seed": 1}),
        choices: 1,
        ..Style::default()
    }
}

fn example() -> Vec<Event> {
    vec![
        started(),
        delta(0, " bl", vec![token(1, " bl")]),
        // Held back: it may become a stop.
        delta(0, "", vec![token(2, "u")]),
        delta(0, "ue.\n", vec![token(3, "e.\n")]),
        end(0, Finish::End, 4),
        Event::Done,
    ]
}

fn stream(style: Style, events: Vec<Event>) -> Vec<Value> {
    let mut frames = Frames::new(style, 0);
    let each = events.into_iter().enumerate();
    each.filter_map(|(at, event)| frames.event(event, MS(10 * at as u64)))
        .map(|frame| match frame {
            Frame::Json(text) => serde_json::from_str(&text).unwrap(),
            other => panic!("{other:?}"),
        })
        .collect()
}

/// As a client reads it: the last digit of a large number may differ.
fn reread(value: &Value) -> Value {
    serde_json::from_str(&value.to_string()).unwrap()
}

fn last() -> Value {
    json!({
        "index": 0, "content": "", "tokens": [], "id_slot": 0, "stop": true, "model": "m", "tokens_predicted": 4,
        "tokens_evaluated": 7, "generation_settings": {"seed": 1}, "prompt": "<s> The sky is", "has_new_line": true,
        "truncated": false, "stop_type": "eos", "stopping_word": "", "tokens_cached": 10,
        "timings": {
            "cache_n": 2, "prompt_n": 5, "prompt_ms": 10.0, "prompt_per_token_ms": 2.0, "prompt_per_second": 500.0,
            "predicted_n": 4, "predicted_ms": 30.0, "predicted_per_token_ms": 7.5,
            "predicted_per_second": 4.0 / 0.03,
        },
        "hearth": {"used": 11, "limit": 0, "dropped": {"messages": 0, "tokens": 0}, "warnings": []},
    })
}

#[test]
fn a_stream() {
    let piece = |content: &str, tokens: Value, predicted: usize| {
        json!({
            "index": 0, "content": content, "tokens": tokens, "stop": false, "id_slot": -1,
            "tokens_predicted": predicted, "tokens_evaluated": 7,
        })
    };
    assert_eq!(
        stream(style(), example()),
        [
            piece(" bl", json!([1]), 1),
            piece("ue.\n", json!([2, 3]), 3),
            last()
        ]
    );
}

#[test]
fn the_same_answer_whole() {
    let mut expected = last();
    expected["content"] = json!(" blue.\n");
    assert_eq!(whole(&style(), vec![(0, example())]).unwrap(), expected);
    expected["tokens"] = json!([1, 2, 3]);
    let with_tokens = Style {
        tokens: true,
        ..style()
    };
    assert_eq!(whole(&with_tokens, vec![(0, example())]).unwrap(), expected);
}

#[test]
fn only_the_fields_that_are_wanted() {
    let only = [
        "content",
        "timings/prompt_n",
        "generation_settings/seed",
        "oops",
        "content/x",
    ];
    let style = Style {
        only: only.map(str::to_owned).to_vec(),
        ..style()
    };
    assert_eq!(
        whole(&style, vec![(0, example())]).unwrap(),
        json!({"content": " blue.\n", "timings/prompt_n": 5, "generation_settings/seed": 1})
    );
    let frames = stream(style, example());
    assert_eq!(frames[0]["stop"], false);
    assert_eq!(
        frames[2],
        json!({"content": "", "timings/prompt_n": 5, "generation_settings/seed": 1})
    );
}

#[test]
fn reasons() {
    for (finish, kind, word, truncated) in [
        (Finish::End, "eos", "", false),
        (Finish::Stop("X".into()), "word", "X", false),
        (Finish::Length, "limit", "", false),
        (Finish::Context, "limit", "", true),
    ] {
        let answer = whole(
            &style(),
            vec![(0, vec![started(), end(0, finish.clone(), 1), Event::Done])],
        )
        .unwrap();
        assert_eq!(answer["stop_type"], kind, "{finish:?}");
        assert_eq!(answer["stopping_word"], word, "{finish:?}");
        assert_eq!(answer["truncated"], truncated, "{finish:?}");
    }
}

#[test]
fn how_likely_tokens_were() {
    let events = || {
        vec![
            started(),
            delta(0, "a", vec![token(1, "a")]),
            end(0, Finish::Length, 1),
            Event::Done,
        ]
    };
    let before = Style {
        probabilities: true,
        ..style()
    };
    let expected = json!([{
        "id": 1, "token": "a", "bytes": [97], "logprob": -0.5,
        "top_logprobs": [
            {"id": 1, "token": "a", "bytes": [97], "logprob": -0.5},
            {"id": 9, "token": "", "bytes": [195], "logprob": f32::MIN},
        ],
    }]);
    assert_eq!(
        whole(&before, vec![(0, events())]).unwrap()["completion_probabilities"],
        expected
    );
    let frames = stream(before.clone(), events());
    assert_eq!(frames[0]["completion_probabilities"], reread(&expected));
    assert_eq!(frames[1].get("completion_probabilities"), None);
    let after = Style {
        after_sampling: true,
        ..before
    };
    let share = (-0.5_f32).exp();
    assert_eq!(
        whole(&after, vec![(0, events())]).unwrap()["completion_probabilities"],
        json!([{
            "id": 1, "token": "a", "bytes": [97], "prob": share,
            "top_probs": [{"id": 1, "token": "a", "bytes": [97], "prob": share}],
        }])
    );
}

#[test]
fn times_and_progress_in_pieces() {
    let read = Event::Read {
        done: 5,
        total: 7,
        cached: 2,
        time: MS(12),
    };
    let mut events = example();
    events.insert(1, read);
    let style = Style {
        timings: true,
        progress: true,
        ..style()
    };
    let frames = stream(style, events.clone());
    assert_eq!(
        frames[0],
        json!({
            "index": 0, "content": "", "tokens": [0], "stop": false, "id_slot": -1, "tokens_predicted": 0,
            "tokens_evaluated": 7, "prompt_progress": {"total": 7, "cache": 2, "processed": 5, "time_ms": 12},
        })
    );
    // The first token came at 20 ms, this one at 40.
    assert_eq!(frames[2]["timings"]["prompt_ms"], 20.0);
    assert_eq!(frames[2]["timings"]["predicted_ms"], 20.0);
    assert_eq!(frames[2]["timings"]["predicted_n"], 3);
    assert_eq!(stream(self::style(), events).len(), 3);
}

#[test]
fn several_answers_are_a_list() {
    let style = Style {
        choices: 2,
        ..style()
    };
    let events = |text: &str| {
        vec![
            started(),
            delta(1, text, vec![]),
            delta(0, "x", vec![]),
            end(1, Finish::End, 1),
            end(0, Finish::End, 1),
            Event::Done,
        ]
    };
    let answers = whole(&style, vec![(0, events("a")), (1, events("b"))]).unwrap();
    let found: Vec<_> = answers
        .as_array()
        .unwrap()
        .iter()
        .map(|answer| {
            (
                answer["index"].as_u64().unwrap(),
                answer["content"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(found, [(0, "x"), (1, "a"), (2, "x"), (3, "b")]);
}

#[test]
fn failures_end_the_stream() {
    for (event, code) in [
        (Event::Failed(Failure::Internal("oops".into())), 500),
        (end(0, Finish::Cancelled, 1), 499),
        (
            Event::Failed(Failure::Context {
                prompt: 9,
                context: 4,
            }),
            400,
        ),
    ] {
        let events = vec![
            started(),
            delta(0, "a", vec![]),
            event,
            delta(0, "b", vec![]),
        ];
        let frames = stream(style(), events.clone());
        assert_eq!(frames.len(), 2);
        assert_eq!(frames[1]["error"]["code"], code);
        assert!(whole(&style(), vec![(0, events)]).is_err());
    }
    assert!(whole(&style(), vec![(0, vec![started()])]).is_err());
}

proptest! {
    #[test]
    fn pieces_joined_are_the_whole(
        texts in prop::collection::vec((0..2usize, prop::sample::select(vec!["", "a", "\n", "é", " b"])), 0..12),
    ) {
        let style = Style { choices: 2, tokens: true, probabilities: true, ..style() };
        let mut events = vec![started()];
        events.extend(texts.iter().enumerate().map(|(id, (choice, text))| delta(*choice, text, vec![token(id as u32, text)])));
        events.extend([end(0, Finish::End, 1), end(1, Finish::End, 1), Event::Done]);
        let answers = whole(&style, vec![(0, events.clone())]).unwrap();
        let frames = stream(style, events);
        let answers = reread(&answers);
        for (index, answer) in answers.as_array().unwrap().iter().enumerate() {
            let mine: Vec<&Value> = frames.iter().filter(|frame| frame["index"] == index).collect();
            let content: String = mine.iter().filter_map(|frame| frame["content"].as_str()).collect();
            let list = |name: &str| mine.iter().filter_map(|frame| frame[name].as_array()).flatten().cloned().collect::<Vec<_>>();
            prop_assert_eq!(&answer["content"], &json!(content));
            prop_assert_eq!(&answer["tokens"], &json!(list("tokens")));
            prop_assert_eq!(&answer["completion_probabilities"], &json!(list("completion_probabilities")));
            prop_assert_eq!(answer["has_new_line"].as_bool().unwrap(), content.contains('\n'));
        }
    }
}
