use std::time::SystemTime;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::core::{Event, Finish, Outcome, Piece, Started};
use crate::dialects::frame::{Frame, Stamp};

fn stamp() -> Stamp {
    Stamp {
        created: SystemTime::UNIX_EPOCH,
        id: "0a1b".to_owned(),
    }
}

fn started() -> Event {
    Event::Started(Started {
        model: "m:latest".into(),
        prompt_tokens: 12,
        cached_tokens: 8,
        context: 100,
        ..Started::default()
    })
}

fn delta(pieces: Vec<Piece>) -> Event {
    Event::Delta {
        choice: 0,
        pieces,
        tokens: Vec::new(),
    }
}

fn end(finish: Finish) -> Event {
    let outcome = Outcome {
        finish,
        tokens: 31,
        ..Outcome::default()
    };
    Event::End { choice: 0, outcome }
}

/// What the context held at the end.
fn hearth(warnings: &[&str]) -> Value {
    json!({"used": 43, "limit": 100, "dropped": {"messages": 0, "tokens": 0}, "warnings": warnings})
}

fn thought(text: &str) -> Piece {
    Piece::Reasoning(text.into())
}

fn said(text: &str) -> Piece {
    Piece::Content(text.into())
}

fn called(index: usize, id: &str, name: &str) -> Piece {
    Piece::Call {
        index,
        id: id.into(),
        name: name.into(),
    }
}

fn argued(index: usize, text: &str) -> Piece {
    Piece::Arguments {
        index,
        text: text.into(),
    }
}

fn stream(events: Vec<Event>, shape: Shape) -> Vec<(&'static str, Value)> {
    let mut frames = Frames::new(&stamp(), shape);
    let all = events.into_iter().flat_map(|event| frames.event(event));
    all.map(|frame| match frame {
        Frame::Event { name, data } => {
            let data: Value = serde_json::from_str(&data).unwrap();
            assert_eq!(data["type"], name);
            (name, data)
        }
        other => panic!("{other:?}"),
    })
    .collect()
}

fn example() -> Vec<Event> {
    vec![
        started(),
        Event::Read {
            done: 12,
            total: 12,
            cached: 8,
            time: std::time::Duration::ZERO,
        },
        delta(vec![thought("Need "), thought("weather")]),
        delta(vec![said("\n\n")]),
        delta(vec![said("Let me")]),
        delta(vec![called(0, "1", "get_w"), argued(0, "{\"city\":\"Os")]),
        delta(vec![argued(0, "lo\"}")]),
        delta(vec![said("\n"), called(1, "toolu_2", "now")]),
        end(Finish::End),
        Event::Done,
    ]
}

fn usage(output: usize) -> Value {
    json!({
        "input_tokens": 4, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 8, "output_tokens": output,
    })
}

#[test]
fn a_stream_with_every_kind_of_block() {
    let block = |index: usize, content: Value| json!({"type": "content_block_start", "index": index, "content_block": content});
    let delta = |index: usize, delta: Value| json!({"type": "content_block_delta", "index": index, "delta": delta});
    let stop = |index: usize| json!({"type": "content_block_stop", "index": index});
    let expected = [
        json!({"type": "message_start", "message": {
            "id": "msg_0a1b", "type": "message", "role": "assistant", "model": "m:latest", "content": [],
            "stop_reason": null, "stop_sequence": null, "usage": usage(0),
        }}),
        json!({"type": "ping"}),
        block(
            0,
            json!({"type": "thinking", "thinking": "", "signature": ""}),
        ),
        delta(0, json!({"type": "thinking_delta", "thinking": "Need "})),
        delta(0, json!({"type": "thinking_delta", "thinking": "weather"})),
        delta(0, json!({"type": "signature_delta", "signature": ""})),
        stop(0),
        block(1, json!({"type": "text", "text": ""})),
        delta(1, json!({"type": "text_delta", "text": "\n\nLet me"})),
        stop(1),
        block(
            2,
            json!({"type": "tool_use", "id": "toolu_1", "name": "get_w", "input": {}}),
        ),
        delta(
            2,
            json!({"type": "input_json_delta", "partial_json": "{\"city\":\"Os"}),
        ),
        delta(
            2,
            json!({"type": "input_json_delta", "partial_json": "lo\"}"}),
        ),
        stop(2),
        block(
            3,
            json!({"type": "tool_use", "id": "toolu_2", "name": "now", "input": {}}),
        ),
        stop(3),
        json!({"type": "message_delta", "delta": {"stop_reason": "tool_use", "stop_sequence": null}, "usage": usage(31), "hearth": hearth(&["kept back"])}),
        json!({"type": "message_stop"}),
    ];
    let shape = Shape {
        notes: vec!["kept back".into()],
        ..Shape::default()
    };
    let found: Vec<Value> = stream(example(), shape)
        .into_iter()
        .map(|it| it.1)
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn frames_are_written_with_the_type_first() {
    let mut frames = Frames::new(&stamp(), Shape::default());
    let all = frames.event(Event::Done);
    assert_eq!(
        all,
        [Frame::Event {
            name: "message_stop",
            data: r#"{"type":"message_stop"}"#.into()
        }]
    );
}

#[test]
fn the_same_answer_whole() {
    assert_eq!(
        whole(&stamp(), Shape::default(), example()).unwrap(),
        json!({
            "id": "msg_0a1b", "type": "message", "role": "assistant", "model": "m:latest",
            "content": [
                {"type": "thinking", "thinking": "Need weather", "signature": ""},
                {"type": "text", "text": "\n\nLet me"},
                {"type": "tool_use", "id": "toolu_1", "name": "get_w", "input": {"city": "Oslo"}},
                {"type": "tool_use", "id": "toolu_2", "name": "now", "input": {}},
            ],
            "stop_reason": "tool_use", "stop_sequence": null, "usage": usage(31), "hearth": hearth(&[]),
        })
    );
}

#[test]
fn reasons() {
    let shape = || Shape {
        stops: vec!["X".into()],
        ..Shape::default()
    };
    for (finish, called_any, reason, stop) in [
        (Finish::End, false, "end_turn", Value::Null),
        (Finish::End, true, "tool_use", Value::Null),
        (Finish::Stop("X".into()), false, "stop_sequence", json!("X")),
        // One of the model's own.
        (
            Finish::Stop("<|im_end|>".into()),
            false,
            "end_turn",
            Value::Null,
        ),
        (Finish::Length, true, "max_tokens", Value::Null),
        (
            Finish::Context,
            false,
            "model_context_window_exceeded",
            Value::Null,
        ),
    ] {
        let mut pieces = vec![said("a")];
        if called_any {
            pieces.push(called(0, "1", "f"));
        }
        let events = vec![started(), delta(pieces), end(finish.clone()), Event::Done];
        let answer = whole(&stamp(), shape(), events).unwrap();
        assert_eq!(answer["stop_reason"], reason, "{finish:?}");
        assert_eq!(answer["stop_sequence"], stop, "{finish:?}");
    }
}

#[test]
fn an_answer_without_text_has_an_empty_one() {
    for (pieces, text) in [(vec![], ""), (vec![said(" "), said("\n")], " \n")] {
        let events = vec![started(), delta(pieces), end(Finish::End), Event::Done];
        let answer = whole(&stamp(), Shape::default(), events).unwrap();
        assert_eq!(answer["content"], json!([{"type": "text", "text": text}]));
    }
}

#[test]
fn thoughts_that_are_not_wanted_keep_their_block() {
    let shape = Shape {
        thoughts_omitted: true,
        ..Shape::default()
    };
    let answer = whole(&stamp(), shape, example()).unwrap();
    assert_eq!(
        answer["content"][0],
        json!({"type": "thinking", "thinking": "", "signature": ""})
    );
}

#[test]
fn the_beginning_is_told_even_where_nothing_else_was() {
    let names: Vec<_> = stream(vec![end(Finish::End), Event::Done], Shape::default())
        .into_iter()
        .map(|it| it.0)
        .collect();
    assert_eq!(
        names,
        [
            "message_start",
            "ping",
            "content_block_start",
            "content_block_stop",
            "message_delta",
            "message_stop"
        ]
    );
}

#[test]
fn failures_end_the_stream() {
    for (event, message) in [
        (Event::Failed(Failure::Internal("oops".into())), "oops"),
        (end(Finish::Cancelled), "request canceled"),
    ] {
        let events = vec![
            started(),
            delta(vec![said("a")]),
            event.clone(),
            Event::Done,
        ];
        let (name, data) = stream(events.clone(), Shape::default()).pop().unwrap();
        assert_eq!(name, "error");
        assert_eq!(
            data,
            json!({"type": "error", "error": {"type": "api_error", "message": message}})
        );
        assert!(whole(&stamp(), Shape::default(), events).is_err());
    }
    assert!(whole(&stamp(), Shape::default(), vec![started()]).is_err());
}

#[test]
fn arguments_that_broke_off_are_no_object() {
    let pieces = vec![called(0, "1", "f"), argued(0, "{\"a\":")];
    let events = vec![started(), delta(pieces), end(Finish::Length), Event::Done];
    let answer = whole(&stamp(), Shape::default(), events).unwrap();
    assert_eq!(answer["content"][0]["input"], json!({}));
}

/// Builds the message from a stream as the SDKs do.
fn accumulate(frames: Vec<(&'static str, Value)>) -> Value {
    let mut message = Value::Null;
    let mut input = String::new();
    let text = |target: &mut Value, more: &Value| {
        let joined = target.as_str().unwrap().to_owned() + more.as_str().unwrap();
        *target = Value::from(joined);
    };
    for (name, data) in frames {
        let index = data["index"].as_u64().map(|it| it as usize);
        match name {
            "message_start" => message = data["message"].clone(),
            "content_block_start" => {
                let blocks = message["content"].as_array_mut().unwrap();
                assert_eq!(index, Some(blocks.len()));
                blocks.push(data["content_block"].clone());
            }
            "content_block_delta" => {
                let block = &mut message["content"][index.unwrap()];
                let delta = &data["delta"];
                match delta["type"].as_str().unwrap() {
                    "text_delta" => text(&mut block["text"], &delta["text"]),
                    "thinking_delta" => text(&mut block["thinking"], &delta["thinking"]),
                    "signature_delta" => text(&mut block["signature"], &delta["signature"]),
                    "input_json_delta" => input += delta["partial_json"].as_str().unwrap(),
                    other => panic!("{other}"),
                }
            }
            "content_block_stop" => {
                let text = std::mem::take(&mut input);
                if !text.is_empty() {
                    let parsed = serde_json::from_str::<Value>(&text).ok();
                    let object = parsed.filter(Value::is_object).unwrap_or_else(|| json!({}));
                    message["content"][index.unwrap()]["input"] = object;
                }
            }
            "message_delta" => {
                message["stop_reason"] = data["delta"]["stop_reason"].clone();
                message["stop_sequence"] = data["delta"]["stop_sequence"].clone();
                message["usage"] = data["usage"].clone();
                message["hearth"] = data["hearth"].clone();
            }
            "ping" | "message_stop" => {}
            other => panic!("{other}"),
        }
    }
    message
}

fn any_piece() -> impl Strategy<Value = Piece> {
    let text = prop::sample::select(vec![
        "", " ", "\n", "a", "b c", "{", "}", "{}", "\"x\":1", "é",
    ]);
    prop_oneof![
        text.clone().prop_map(thought),
        text.clone().prop_map(said),
        (0..3usize).prop_map(|index| called(index, &index.to_string(), "f")),
        (0..3usize, text).prop_map(|(index, text)| argued(index, text)),
    ]
}

proptest! {
    #[test]
    fn streamed_is_what_is_whole(
        deltas in prop::collection::vec(prop::collection::vec(any_piece(), 0..5), 0..8),
        begins in any::<bool>(),
    ) {
        let mut events: Vec<Event> = begins.then(started).into_iter().collect();
        events.extend(deltas.into_iter().map(delta));
        events.extend([end(Finish::End), Event::Done]);
        let expected = whole(&stamp(), Shape::default(), events.clone()).unwrap();
        prop_assert_eq!(accumulate(stream(events, Shape::default())), expected);
    }
}
