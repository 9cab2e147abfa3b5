//! Events and bodies for the tests of this dialect.

use std::time::{Duration, UNIX_EPOCH};

use proptest::prelude::*;
use serde_json::{Map, Value};

use crate::core::{Event, Failure, Finish, Outcome, Piece, Started, Token};
use crate::dialects::{Frame, Stamp};

/// A fixed stamp.
pub(super) fn stamp() -> Stamp {
    Stamp::new(UNIX_EPOCH + Duration::from_secs(1_790_000_000), "abc")
}

/// A body.
pub(super) fn body(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        other => panic!("{other} is no object"),
    }
}

/// The beginning of an answer of a model `m`.
pub(super) fn started() -> Event {
    Event::Started(Started {
        model: "m".to_owned(),
        prompt_tokens: 9,
        cached_tokens: 4,
        context: 4096,
        ..Started::default()
    })
}

/// Some pieces of one choice, without tokens.
pub(super) fn delta(choice: usize, pieces: &[Piece]) -> Event {
    Event::Delta {
        choice,
        pieces: pieces.to_vec(),
        tokens: Vec::new(),
    }
}

/// The end of a choice after so many tokens.
pub(super) fn end(choice: usize, finish: Finish, tokens: usize) -> Event {
    Event::End {
        choice,
        outcome: Outcome {
            finish,
            tokens,
            ..Outcome::default()
        },
    }
}

/// A piece of content.
pub(super) fn say(text: &str) -> Piece {
    Piece::Content(text.to_owned())
}

/// A piece of thought.
pub(super) fn think(text: &str) -> Piece {
    Piece::Reasoning(text.to_owned())
}

/// A whole call.
pub(super) fn call(index: usize, name: &str, arguments: &[&str]) -> Vec<Piece> {
    let begin = Piece::Call {
        index,
        id: format!("call_{index}"),
        name: name.to_owned(),
    };
    let arguments = arguments.iter().map(|text| Piece::Arguments {
        index,
        text: (*text).to_owned(),
    });
    std::iter::once(begin).chain(arguments).collect()
}

/// A token of a text.
pub(super) fn token(id: u32, text: &str, logprob: f32) -> Token {
    Token {
        id,
        bytes: text.as_bytes().to_vec(),
        logprob: Some(logprob),
        top: vec![
            (id, text.as_bytes().to_vec(), logprob),
            (id + 1, vec![0xff], -3.5),
        ],
    }
}

/// The JSON of frames that have some.
pub(super) fn values(frames: &[Frame]) -> Vec<Value> {
    let data = frames.iter().filter_map(Frame::data);
    data.map(|data| serde_json::from_str(data).unwrap())
        .collect()
}

/// The events of a whole answer of up to three choices, in any order that the engine may send them.
pub(super) fn events() -> impl Strategy<Value = (usize, Vec<Event>)> {
    let piece = prop_oneof![
        ".{0,6}".prop_map(Piece::Reasoning),
        ".{0,6}".prop_map(Piece::Content),
        // The index is put right below.
        "[a-z]{1,3}".prop_map(|name| Piece::Call {
            index: 0,
            id: name.clone(),
            name
        }),
        ".{0,4}".prop_map(|text| Piece::Arguments { index: 0, text }),
    ];
    let deltas = prop::collection::vec((0..3_usize, prop::collection::vec(piece, 0..4)), 0..12);
    (1..=3_usize, deltas).prop_map(|(choices, deltas)| {
        let mut events = vec![started()];
        let mut calls = vec![0_usize; choices];
        for (choice, pieces) in deltas {
            let choice = choice % choices;
            let mut kept = Vec::new();
            for piece in pieces {
                match piece {
                    Piece::Call { name, .. } => {
                        let index = calls[choice];
                        calls[choice] += 1;
                        let id = format!("call_{choice}_{index}");
                        kept.push(Piece::Call { index, id, name });
                    }
                    Piece::Arguments { text, .. } if calls[choice] > 0 => {
                        kept.push(Piece::Arguments {
                            index: calls[choice] - 1,
                            text,
                        });
                    }
                    Piece::Arguments { .. } => {}
                    piece => kept.push(piece),
                }
            }
            events.push(delta(choice, &kept));
        }
        events.extend((0..choices).map(|choice| end(choice, Finish::End, 3)));
        events.push(Event::Done);
        (choices, events)
    })
}

/// Any JSON that is not too deep.
pub(super) fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,5}".prop_map(Value::from),
        prop::sample::select(WORDS).prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((key(), inner), 0..4)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

/// Objects whose fields are those that routes know.
pub(super) fn object() -> impl Strategy<Value = Map<String, Value>> {
    let valid = prop::option::of(Just(()));
    (valid, prop::collection::vec((key(), json()), 0..6)).prop_map(|(valid, pairs)| {
        let mut map: Map<String, Value> = pairs.into_iter().collect();
        if valid.is_some() {
            // So that the rest is reached as well.
            map.insert("model".into(), "m".into());
            map.insert(
                "messages".into(),
                serde_json::json!([{"role": "user", "content": "a"}]),
            );
            map.entry("prompt").or_insert_with(|| "a".into());
            map.entry("input").or_insert_with(|| "a".into());
        }
        map
    })
}

const WORDS: &[&str] = &[
    "function",
    "auto",
    "required",
    "none",
    "text",
    "json_schema",
    "json_object",
    "user",
    "assistant",
    "tool",
    "message",
    "function_call",
    "function_call_output",
    "reasoning",
    "low",
    "flex",
    "base64",
    "a",
];

fn key() -> impl Strategy<Value = String> {
    const KEYS: &[&str] = &[
        "model",
        "messages",
        "role",
        "content",
        "type",
        "text",
        "tools",
        "tool_choice",
        "function",
        "name",
        "arguments",
        "tool_calls",
        "response_format",
        "json_schema",
        "schema",
        "logit_bias",
        "stop",
        "n",
        "max_tokens",
        "seed",
        "options",
        "keep_alive",
        "logprobs",
        "top_logprobs",
        "reasoning",
        "effort",
        "reasoning_effort",
        "stream_options",
        "prompt",
        "suffix",
        "echo",
        "best_of",
        "input",
        "encoding_format",
        "dimensions",
        "instructions",
        "previous_response_id",
        "samplers",
        "continue_final_message",
        "output",
        "call_id",
        "summary",
        "format",
        "allowed_tools",
    ];
    prop_oneof![
        9 => prop::sample::select(KEYS).prop_map(str::to_owned),
        1 => ".{0,3}",
    ]
}

/// A refusal of a body has to say what is wrong with it.
pub(super) fn names_something(failure: &Failure) -> bool {
    match failure {
        Failure::Invalid { field, message } => !field.is_empty() && !message.is_empty(),
        Failure::Unsupported { .. } => true,
        _ => false,
    }
}
