//! Tests of whole templates.

mod bundled;
mod go;
mod hostile;
mod inspect;
mod old;
mod published;
mod worked;

use serde_json::{Value as Json, json};

use super::*;

/// 2026-03-05 14:07:09 UTC.
const NOW: Clock = Clock {
    unix_seconds: 1_772_719_629,
    offset_seconds: 0,
};

/// Roles and texts.
type Turns<'a> = &'a [(&'a str, &'a str)];

fn conversation(turns: Turns) -> Vec<Message> {
    turns
        .iter()
        .map(|(role, text)| Message::new(*role, *text))
        .collect()
}

fn render(source: &str, request: &GoRequest) -> Result<String> {
    GoTemplate::new(source)?.render(&GoRequest {
        now: Some(NOW),
        ..request.clone()
    })
}

/// The prompt for plain messages.
fn prompt(source: &str, turns: Turns) -> Result<String> {
    let messages = conversation(turns);
    render(
        source,
        &GoRequest {
            messages: &messages,
            ..GoRequest::default()
        },
    )
}

/// The tool of the worked cases: `f` with a required `b` and an `a`.
fn tool() -> Json {
    json!({"type": "function", "function": {"name": "f", "description": "d", "parameters": {
        "type": "object",
        "properties": {"b": {"type": "string", "description": "x & y"}, "a": {"type": "number"}},
        "required": ["b"],
    }}})
}

/// An assistant's turn that calls `f`.
fn calling(arguments: Json) -> Message {
    serde_json::from_value(json!({"role": "assistant", "tool_calls": [
        {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": arguments}},
    ]}))
    .unwrap()
}
