//! What the template of an unknown family renders around thoughts and calls.

use serde_json::json;

use super::format::Format;
use crate::dialogue::ChatTemplate;
use crate::message::{Function, Message, ToolCall};
use crate::reasoning::Tags;
use crate::template::Request;

const THOUGHT: &str = "hearth-thought";
const SAID: &str = "hearth-said";
const TOOL: &str = "hearth_tool";

/// Renders an assistant's turn with a thought and one with a call, and takes the tags beside them.
pub(super) fn learn(template: &ChatTemplate, format: &mut Format) {
    let thinking = Message {
        reasoning: Some(THOUGHT.to_owned()),
        ..Message::new("assistant", SAID)
    };
    let around = render(template, thinking).and_then(|text| {
        let (before, after) = text.split_once(THOUGHT)?;
        let open = tag_at_end(before)?.to_owned();
        let close = tag_at_start(after)?.to_owned();
        Some(Tags { open, close })
    });
    format.tags = around.filter(|tags| tags.open != "<think>" && tags.open != tags.close);

    let call = ToolCall {
        id: Some("call12345".to_owned()),
        kind: "function".to_owned(),
        function: Function {
            name: TOOL.to_owned(),
            arguments: json!({"hearth_key": 1}),
        },
    };
    let calling = Message {
        content: None,
        tool_calls: vec![call],
        ..Message::new("assistant", "")
    };
    format.marks = render(template, calling).and_then(|text| call_tags(&text));
}

fn render(template: &ChatTemplate, answer: Message) -> Option<String> {
    let request = Request {
        messages: vec![Message::new("user", "a"), answer],
        ..Request::default()
    };
    template.render(&request).ok()
}

/// The tags around the JSON object that holds the name of the call.
fn call_tags(text: &str) -> Option<(String, String)> {
    let name = text.rfind(&format!("\"{TOOL}\""))?;
    let object = text[..name].rfind('{')?;
    let inside = &text[object..name];
    // Nothing but a key stands between, else the object is another one.
    if !inside[1..]
        .trim()
        .trim_end_matches(':')
        .trim()
        .starts_with('"')
    {
        return None;
    }
    let mut values = serde_json::Deserializer::from_str(&text[object..]).into_iter();
    let _: serde_json::Value = values.next()?.ok()?;
    let after = &text[object + values.byte_offset()..];
    let before = text[..object].trim_end();
    let before = before.strip_suffix('[').unwrap_or(before);
    let open = tag_at_end(before)?;
    let after = after.trim_start();
    let close = tag_at_start(after.strip_prefix(']').unwrap_or(after)).unwrap_or_default();
    // The end of the turn is no end of the call.
    let closing = ["/", "end", "END", "suffix"]
        .iter()
        .any(|it| close.contains(it));
    let close = if closing { close } else { "" };
    Some((open.to_owned(), close.to_owned()))
}

/// The tag, `<…>` or `[…]`, that ends a text.
fn tag_at_end(text: &str) -> Option<&str> {
    let text = text.trim_end();
    let open = match text.chars().next_back()? {
        '>' => '<',
        ']' => '[',
        _ => return None,
    };
    let tag = &text[text.rfind(open)?..];
    is_tag(tag).then_some(tag)
}

/// The tag that begins a text.
fn tag_at_start(text: &str) -> Option<&str> {
    let text = text.trim_start();
    let close = match text.chars().next()? {
        '<' => '>',
        '[' => ']',
        _ => return None,
    };
    let tag = &text[..=text.find(close)?];
    is_tag(tag).then_some(tag)
}

/// Whether a text in brackets is a tag, and no list or sentence.
fn is_tag(text: &str) -> bool {
    let inside = &text[1..text.len() - 1];
    inside.len() <= 64 && inside.chars().any(char::is_alphabetic) && !inside.contains(['\n', '"'])
}
