//! Turns of a conversation, as OpenAI's clients write them.

use hearth_chat::{Content, Function, Message, ToolCall};
use serde_json::{Value, json};

use crate::core::Failure;
use crate::dialects::Fields;
use crate::dialects::fields::wrong;

/// Types of parts that are pictures, and those that are sound or moving pictures.
const IMAGES: &[&str] = &["image_url", "image", "input_image"];
const SOUNDS: &[&str] = &[
    "input_audio",
    "audio_url",
    "audio",
    "input_video",
    "video_url",
];

/// Takes `messages`. Roles stay as they are: whether a template knows `developer` is for whoever renders it.
///
/// # Errors
/// There are none, or one of them is not a message of text and calls. Images and audio are
/// [`Failure::Unsupported`] by `model`.
pub fn read(body: &mut Fields, model: &str) -> Result<Vec<Message>, Failure> {
    let list = body.take_list("messages")?.unwrap_or_default();
    if list.is_empty() {
        return Err(Failure::invalid("messages", "[] is too short - 'messages'"));
    }
    let messages = list.into_iter().enumerate().map(|(index, message)| {
        read_message(Fields::of(format!("messages[{index}]"), message)?, model)
    });
    messages.collect()
}

fn read_message(mut fields: Fields, model: &str) -> Result<Message, Failure> {
    let role = fields.require_str("role")?;
    if role.is_empty() {
        return Err(fields.refuse("role", "must not be empty"));
    }
    // Some clients send these with every message.
    for (name, capability) in [("images", "images"), ("audio", "audio")] {
        let value = fields.take_value(name);
        let empty = value
            .as_ref()
            .and_then(Value::as_array)
            .is_some_and(Vec::is_empty);
        // An assistant's `audio` is the id of an answer of another service, whose text stands beside it.
        if value.is_some() && !empty && role != "assistant" {
            return Err(unsupported(model, capability));
        }
    }
    let content = fields.take_value("content");
    let content = content
        .map(|content| read_content(&fields.path("content"), content, model))
        .transpose()?;
    let refusal = fields.take_str("refusal")?;
    let tool_calls = read_calls(&mut fields)?;
    let reasoning = read_reasoning(&mut fields)?;
    let content = content.or(refusal);
    if content.is_none() && role != "assistant" {
        return Err(fields.missing("content"));
    }
    // A turn of calls alone has no text; any other has one, be it empty.
    let content = match content {
        None if tool_calls.is_empty() => Some(String::new()),
        content => content,
    };
    let name = match fields.take_str("name")? {
        Some(name) => Some(name),
        None => fields.take_str("tool_name")?,
    };
    Ok(Message {
        // The predecessor of tools: its answers carry the name of the function.
        role: if role == "function" {
            "tool".to_owned()
        } else {
            role
        },
        content: content.map(Content::Text),
        reasoning,
        tool_calls,
        tool_call_id: fields.take_str("tool_call_id")?,
        name,
    })
}

/// The thoughts under any of the names in use; clients that were sent several send several back.
fn read_reasoning(fields: &mut Fields) -> Result<Option<String>, Failure> {
    let mut found = None;
    for name in ["reasoning_content", "reasoning", "thinking"] {
        if let Some(text) = fields.take_str(name)?.filter(|text| !text.is_empty()) {
            found.get_or_insert(text);
        }
    }
    Ok(found)
}

/// Reads a text or a list of parts, whose texts become lines.
///
/// # Errors
/// A part is no text.
pub fn read_content(path: &str, content: Value, model: &str) -> Result<String, Failure> {
    let parts = match content {
        Value::String(text) => return Ok(text),
        Value::Array(parts) => parts,
        other => return Err(wrong(path, "a string or a list of parts", &other)),
    };
    let mut texts = Vec::with_capacity(parts.len());
    for (index, part) in parts.into_iter().enumerate() {
        let path = format!("{path}[{index}]");
        texts.push(match part {
            Value::String(text) => text,
            part => read_part(Fields::of(path, part)?, model)?,
        });
    }
    Ok(texts.join("\n"))
}

fn read_part(mut part: Fields, model: &str) -> Result<String, Failure> {
    let kind = part.require_str("type")?;
    match kind.as_str() {
        "text" | "input_text" | "output_text" => part.require_str("text"),
        "refusal" => part.require_str("refusal"),
        kind if IMAGES.contains(&kind) => Err(unsupported(model, "images")),
        kind if SOUNDS.contains(&kind) => Err(unsupported(model, "audio")),
        "file" | "input_file" => Err(part.refuse(
            "type",
            "is a file, which is not read here: send its text as a part of type \"text\"",
        )),
        other => Err(part.refuse("type", format!("must be \"text\", got {other:?}"))),
    }
}

fn unsupported(model: &str, capability: &'static str) -> Failure {
    Failure::Unsupported {
        model: model.to_owned(),
        capability,
    }
}

fn read_calls(fields: &mut Fields) -> Result<Vec<ToolCall>, Failure> {
    let path = fields.path("tool_calls");
    let list = fields.take_list("tool_calls")?.unwrap_or_default();
    let mut calls = Vec::with_capacity(list.len());
    for (index, call) in list.into_iter().enumerate() {
        calls.push(read_call(Fields::of(format!("{path}[{index}]"), call)?)?);
    }
    // The predecessor of `tool_calls`, in the history of old programs.
    if let Some(call) = fields.take_fields("function_call")? {
        calls.push(tool_call(None, read_function(call)?));
    }
    Ok(calls)
}

fn read_call(mut call: Fields) -> Result<ToolCall, Failure> {
    let id = call.take_str("id")?.filter(|id| !id.is_empty());
    if let Some(mut custom) = call.take_fields("custom")? {
        let name = custom.require_str("name")?;
        let input = custom.take_str("input")?.unwrap_or_default();
        let arguments = json!({ "input": input });
        return Ok(tool_call(id, Function { name, arguments }));
    }
    let function = call
        .take_fields("function")?
        .ok_or_else(|| call.missing("function"))?;
    Ok(tool_call(id, read_function(function)?))
}

fn read_function(mut function: Fields) -> Result<Function, Failure> {
    let name = function.require_str("name")?;
    let arguments = match function.take_value("arguments") {
        // No arguments are an empty object.
        None => json!("{}"),
        Some(Value::String(text)) if text.trim().is_empty() => json!("{}"),
        Some(value @ (Value::String(_) | Value::Object(_))) => value,
        Some(other) => {
            let path = function.path("arguments");
            return Err(wrong(&path, "JSON in a string", &other));
        }
    };
    Ok(Function { name, arguments })
}

/// A call of a function.
pub fn tool_call(id: Option<String>, function: Function) -> ToolCall {
    ToolCall {
        id,
        kind: "function".to_owned(),
        function,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_one(message: Value) -> Result<Message, Failure> {
        let mut body = Fields::of("", json!({ "messages": [message] }))?;
        Ok(read(&mut body, "m")?.remove(0))
    }

    #[test]
    fn contents() {
        for (message, role, text) in [
            (json!({"role": "user", "content": "a"}), "user", "a"),
            (
                json!({"role": "user", "content": "a", "images": []}),
                "user",
                "a",
            ),
            (
                json!({"role": "developer", "content": "a"}),
                "developer",
                "a",
            ),
            (
                json!({"role": "system", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}),
                "system",
                "a\nb",
            ),
            (json!({"role": "user", "content": []}), "user", ""),
            (
                json!({"role": "assistant", "content": null}),
                "assistant",
                "",
            ),
            (
                json!({"role": "assistant", "content": null, "refusal": "no"}),
                "assistant",
                "no",
            ),
            (
                json!({"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]}),
                "assistant",
                "no",
            ),
            (
                json!({"role": "assistant", "content": "a", "audio": {"id": "x"}}),
                "assistant",
                "a",
            ),
            (
                json!({"role": "function", "name": "f", "content": "1"}),
                "tool",
                "1",
            ),
        ] {
            let read = read_one(message.clone()).unwrap();
            assert_eq!(read.role, role, "{message}");
            assert_eq!(
                read.content,
                Some(Content::Text(text.to_owned())),
                "{message}"
            );
        }
    }

    #[test]
    fn a_turn_of_calls_and_its_answer() {
        let turn = read_one(json!({"role": "assistant", "content": null, "reasoning": "r", "reasoning_content": "r",
            "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{\"a\":1}"}},
                           {"id": "", "function": {"name": "g", "arguments": ""}}]}))
        .unwrap();
        assert_eq!(turn.content, None);
        assert_eq!(turn.reasoning.as_deref(), Some("r"));
        assert_eq!(turn.tool_calls[0].id.as_deref(), Some("call_1"));
        assert_eq!(turn.tool_calls[0].function.arguments, "{\"a\":1}");
        assert_eq!(turn.tool_calls[1].id, None);
        assert_eq!(turn.tool_calls[1].function.arguments, "{}");
        let answer = read_one(
            json!({"role": "tool", "tool_call_id": "call_1", "name": "f",
            "content": [{"type": "text", "text": "4"}]}),
        )
        .unwrap();
        assert_eq!(answer.tool_call_id.as_deref(), Some("call_1"));
        assert_eq!(answer.name.as_deref(), Some("f"));
        assert_eq!(answer.text(), "4");
    }

    #[test]
    fn what_models_cannot_see_or_hear_is_refused_by_name() {
        let part = |part: Value| json!({"role": "user", "content": [part]});
        for (message, capability) in [
            (
                part(json!({"type": "image_url", "image_url": {"url": "data:"}})),
                "images",
            ),
            (part(json!({"type": "input_image"})), "images"),
            (
                part(json!({"type": "input_audio", "input_audio": {}})),
                "audio",
            ),
            (
                json!({"role": "user", "content": "a", "images": ["x"]}),
                "images",
            ),
        ] {
            let expected = Failure::Unsupported {
                model: "m".into(),
                capability,
            };
            assert_eq!(
                read_one(message.clone()).unwrap_err(),
                expected,
                "{message}"
            );
        }
    }

    #[test]
    fn refusals_name_their_field() {
        for (message, field) in [
            (json!({"content": "a"}), "messages[0].role"),
            (json!({"role": "user"}), "messages[0].content"),
            (json!({"role": "user", "content": 1}), "messages[0].content"),
            (
                json!({"role": "user", "content": [{"type": "file"}]}),
                "messages[0].content[0].type",
            ),
            (
                json!({"role": "user", "content": [{"type": "odd"}]}),
                "messages[0].content[0].type",
            ),
            (
                json!({"role": "user", "content": [{"type": "text"}]}),
                "messages[0].content[0].text",
            ),
            (
                json!({"role": "assistant", "tool_calls": [{}]}),
                "messages[0].tool_calls[0].function",
            ),
            (
                json!({"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": 1}}]}),
                "messages[0].tool_calls[0].function.arguments",
            ),
            (json!("hello"), "messages[0]"),
        ] {
            match read_one(message.clone()) {
                Err(Failure::Invalid { field: found, .. }) => assert_eq!(found, field, "{message}"),
                other => panic!("{message}: {other:?}"),
            }
        }
        let mut body = Fields::of("", json!({"messages": []})).unwrap();
        assert_eq!(
            read(&mut body, "m").unwrap_err().to_string(),
            "[] is too short - 'messages'"
        );
    }
}
