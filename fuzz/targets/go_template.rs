//! A template in Go's language comes with a model: reading and rendering it ends, and never panics.
#![no_main]

use hearth_chat::{
    GoTemplate, Message,
    go::{GoRequest, Think},
};
use libfuzzer_sys::fuzz_target;
use serde_json::json;

fuzz_target!(|source: &str| {
    let Ok(template) = GoTemplate::new(source) else {
        return;
    };
    let messages = [
        Message::new("system", "s"),
        Message::new("user", "hello"),
        Message::new("assistant", "hi"),
    ];
    let tools = [json!({"type": "function", "function": {"name": "f", "description": "d",
        "parameters": {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}}})];
    let request = GoRequest {
        messages: &messages,
        tools: &tools,
        think: Some(Think::On),
        ..GoRequest::default()
    };
    let _ = template.render(&request);
    let _ = (template.capabilities(), template.thinking_tags(), template.tool_tag(), template.turn_end());
});
