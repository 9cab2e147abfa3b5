//! `POST /api/chat` (reference 5.3).

use hearth_chat::{Content, Function, Message, ToolCall};
use serde_json::{Map, Value};

use super::super::Fields;
use super::common::{self, Asked, Kind};
use super::{generate, ignored, images};
use crate::core::Failure;
use crate::core::request::{Chat, Input, ToolChoice};

/// Reads a body.
///
/// # Errors
/// A field says what cannot be.
pub fn chat(body: Map<String, Value>) -> Result<Asked, Failure> {
    let (mut asked, mut fields) = Asked::begin(Kind::Chat, body)?;
    let model = common::model(&mut fields)?;
    if model.is_empty() {
        return Err(common::model_is_required());
    }
    common::parse_name("model", &model)?;
    asked.request.model = model;
    let think = common::think(&mut fields)?;
    let mut messages = Vec::new();
    for (index, value) in fields
        .take_list("messages")?
        .unwrap_or_default()
        .into_iter()
        .enumerate()
    {
        let mut turn = Fields::of(format!("messages[{index}]"), value)?;
        messages.push(message(&mut turn, &mut asked.images)?);
        asked
            .warnings
            .extend(turn.rest().iter().map(|name| ignored(name)));
    }
    let tools = tools(&mut fields)?;
    let tool_choice = tool_choice(&mut fields, &tools)?;
    let parallel_tool_calls = fields.take_bool("parallel_tool_calls")?.unwrap_or(true);
    if messages.is_empty() {
        asked.only_load();
        return Ok(asked.finish(&fields));
    }
    let prefill = |turn: &Message| {
        turn.role == "assistant" && turn.tool_calls.is_empty() && !turn.text().is_empty()
    };
    asked.request.input = Input::Chat(Box::new(Chat {
        continue_last: messages.last().is_some_and(prefill),
        messages,
        tools,
        tool_choice,
        parallel_tool_calls,
        think,
        ..Chat::default()
    }));
    Ok(asked.finish(&fields))
}

/// A turn. Without content it is one of calls only, as client libraries send them back.
fn message(fields: &mut Fields, images: &mut usize) -> Result<Message, Failure> {
    let mut turn = Message {
        role: fields.require_str("role")?.to_lowercase(),
        content: fields.take_str("content")?.map(Content::Text),
        reasoning: fields.take_str("thinking")?.filter(|text| !text.is_empty()),
        tool_calls: Vec::new(),
        tool_call_id: fields.take_str("tool_call_id")?.filter(|id| !id.is_empty()),
        name: None,
    };
    let name = fields.take_str("name")?;
    turn.name = fields
        .take_str("tool_name")?
        .or(name)
        .filter(|name| !name.is_empty());
    for (index, value) in fields
        .take_list("tool_calls")?
        .unwrap_or_default()
        .into_iter()
        .enumerate()
    {
        let path = format!("{}[{index}]", fields.path("tool_calls"));
        turn.tool_calls.push(tool_call(Fields::of(path, value)?)?);
    }
    let parts = images::take(fields)?;
    *images += parts.len();
    generate::add_parts(&mut turn, parts);
    if turn.content.is_none() && turn.tool_calls.is_empty() {
        turn.content = Some(Content::Text(String::new()));
    }
    Ok(turn)
}

fn tool_call(mut fields: Fields) -> Result<ToolCall, Failure> {
    let id = fields.take_str("id")?.filter(|id| !id.is_empty());
    let Some(mut function) = fields.take_fields("function")? else {
        return Err(fields.missing("function"));
    };
    let name = function.require_str("name")?;
    let arguments = match function.take_value("arguments") {
        None => Value::Object(Map::new()),
        Some(object @ Value::Object(_)) => object,
        // OpenAI's form; Ollama refuses it.
        Some(Value::String(text)) => match serde_json::from_str(&text) {
            Ok(Value::Object(object)) => Value::Object(object),
            _ => return Err(function.refuse("arguments", "must be an object, got a string")),
        },
        Some(other) => {
            return Err(super::super::fields::wrong(
                &function.path("arguments"),
                "an object",
                &other,
            ));
        }
    };
    Ok(ToolCall {
        id,
        kind: "function".to_owned(),
        function: Function { name, arguments },
    })
}

/// Definitions of tools, as they are: the template or the engine prints them.
fn tools(fields: &mut Fields) -> Result<Vec<Value>, Failure> {
    let list = fields.take_list("tools")?.unwrap_or_default();
    for (index, tool) in list.iter().enumerate() {
        let name = tool.pointer("/function/name").and_then(Value::as_str);
        if name.is_none_or(str::is_empty) {
            let item = format!("tools[{index}]");
            return Err(fields.refuse(&item, "must be an object with a function that has a name"));
        }
    }
    Ok(list)
}

/// `tool_choice`, which Ollama does not know: a word, or a function by name. Without tools it means nothing.
fn tool_choice(fields: &mut Fields, tools: &[Value]) -> Result<ToolChoice, Failure> {
    let value = fields.take_value("tool_choice");
    let Some(value) = value.filter(|_| !tools.is_empty()) else {
        return Ok(ToolChoice::Auto);
    };
    let named = value
        .pointer("/function/name")
        .or_else(|| value.get("name"))
        .and_then(Value::as_str);
    let there = |name: &str| tools.iter().any(|tool| tool["function"]["name"] == name);
    match (value.as_str(), named) {
        (Some("auto"), _) => Ok(ToolChoice::Auto),
        (Some("none"), _) => Ok(ToolChoice::None),
        (Some("required" | "any"), _) => Ok(ToolChoice::Required),
        (None, Some(name)) if there(name) => Ok(ToolChoice::Named(name.to_owned())),
        (None, Some(_)) => Err(fields.refuse("tool_choice", "names none of the tools")),
        _ => Err(fields.refuse(
            "tool_choice",
            "must be \"auto\", \"none\", \"required\" or {\"type\": \"function\", \"function\": {\"name\": …}}",
        )),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::common::Action;
    use super::*;
    use crate::core::request::Think;

    fn of(body: Value) -> Result<Asked, Failure> {
        let mut body = body.as_object().unwrap().clone();
        body.entry("model").or_insert(json!("m"));
        super::chat(body)
    }

    fn chat(body: Value) -> Chat {
        match of(body).unwrap().request.input {
            Input::Chat(chat) => *chat,
            other => panic!("{other:?}"),
        }
    }

    fn weather() -> Value {
        json!({"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}})
    }

    #[test]
    fn what_ollama_python_sends() {
        let body = json!({
            "model": "qwen3", "stream": false, "options": {}, "tools": [],
            "messages": [
                {"role": "User", "content": "Weather?", "images": []},
                {"role": "assistant", "tool_calls": [{"function": {"name": "get_weather", "arguments": {"city": "Oslo"}}}]},
                {"role": "tool", "content": "11", "tool_name": "get_weather"},
            ],
        });
        let asked = of(body.clone()).unwrap();
        assert_eq!(
            (asked.stream, asked.action, asked.warnings.len()),
            (false, Action::Run, 0)
        );
        assert!(!asked.request.ids);
        let chat = chat(body);
        assert_eq!(chat.messages[0], Message::new("user", "Weather?"));
        assert_eq!(chat.messages[1].content, None);
        assert_eq!(
            chat.messages[1].tool_calls[0].function.arguments,
            json!({"city": "Oslo"})
        );
        assert_eq!(chat.messages[1].tool_calls[0].id, None);
        assert_eq!(chat.messages[2].name.as_deref(), Some("get_weather"));
        assert!(
            chat.tools.is_empty() && chat.parallel_tool_calls && !chat.continue_last && !chat.bare
        );
        assert_eq!(chat.tool_choice, ToolChoice::Auto);
    }

    #[test]
    fn thinking_ids_and_pictures_survive() {
        let chat = chat(json!({"think": false, "messages": [
            {"role": "system", "content": "s"},
            {"role": "user", "content": "look", "images": ["/9j/4AAQ"]},
            {"role": "assistant", "content": "c", "thinking": "t",
             "tool_calls": [{"id": "call_1", "type": "function", "function": {"index": 0, "name": "f", "arguments": "{\"a\":1}"}}]},
            {"role": "tool", "content": "r", "tool_call_id": "call_1"},
        ]}));
        assert_eq!(chat.think, Think::Off);
        let user = &chat.messages[1];
        assert!(
            matches!(&user.content, Some(Content::Parts(parts)) if parts[0].kind == "image_url")
        );
        assert_eq!(user.text(), "look");
        let assistant = &chat.messages[2];
        assert_eq!(assistant.reasoning.as_deref(), Some("t"));
        assert_eq!(assistant.tool_calls[0].id.as_deref(), Some("call_1"));
        assert_eq!(assistant.tool_calls[0].function.arguments, json!({"a": 1}));
        assert_eq!(chat.messages[3].tool_call_id.as_deref(), Some("call_1"));
    }

    #[test]
    fn a_last_turn_of_the_assistant_is_continued() {
        let continued = |last: Value| {
            chat(json!({"messages": [{"role": "user", "content": "a"}, last]})).continue_last
        };
        assert!(continued(json!({"role": "assistant", "content": "b"})));
        assert!(!continued(json!({"role": "assistant", "content": ""})));
        let call = json!({"function": {"name": "f", "arguments": {}}});
        assert!(!continued(
            json!({"role": "assistant", "content": "b", "tool_calls": [call]})
        ));
        assert!(!continued(json!({"role": "user", "content": "b"})));
    }

    #[test]
    fn nothing_to_continue_loads_or_unloads() {
        for (body, action) in [
            (json!({}), Action::Load),
            (json!({"messages": []}), Action::Load),
            (json!({"messages": null, "keep_alive": 0}), Action::Unload),
            (json!({"keep_alive": -1}), Action::Load),
        ] {
            assert_eq!(of(body.clone()).unwrap().action, action, "{body}");
        }
    }

    #[test]
    fn tool_choice_of_every_form() {
        for (choice, expected) in [
            (json!(null), ToolChoice::Auto),
            (json!("auto"), ToolChoice::Auto),
            (json!("none"), ToolChoice::None),
            (json!("required"), ToolChoice::Required),
            (json!("any"), ToolChoice::Required),
            (
                json!({"type": "function", "function": {"name": "get_weather"}}),
                ToolChoice::Named("get_weather".into()),
            ),
            (
                json!({"type": "tool", "name": "get_weather"}),
                ToolChoice::Named("get_weather".into()),
            ),
        ] {
            let messages = json!([{"role": "user", "content": "a"}]);
            let body = json!({"messages": messages, "tools": [weather()], "tool_choice": choice});
            assert_eq!(chat(body).tool_choice, expected);
            let body = json!({"messages": messages, "tools": [], "tool_choice": choice});
            assert_eq!(chat(body).tool_choice, ToolChoice::Auto);
        }
    }

    #[test]
    fn refusals_name_the_field() {
        let turn = |turn: Value| json!({ "messages": [turn] });
        let call = |function: Value| {
            turn(json!({"role": "assistant", "tool_calls": [{ "function": function }]}))
        };
        for (body, field, text) in [
            (json!({"model": ""}), "model", "model is required"),
            (json!({"model": "a b"}), "model", "invalid model name"),
            (
                json!({"messages": {}}),
                "messages",
                "messages must be a list, got an object",
            ),
            (
                json!({"messages": ["a"]}),
                "messages[0]",
                "messages[0] must be an object, got a string",
            ),
            (
                turn(json!({"content": "a"})),
                "messages[0].role",
                "messages[0].role is required",
            ),
            (
                turn(json!({"role": "user", "content": [{"type": "text", "text": "a"}]})),
                "messages[0].content",
                "messages[0].content must be a string, got a list",
            ),
            (
                call(json!({"name": "f", "arguments": "x"})),
                "messages[0].tool_calls[0].function.arguments",
                "messages[0].tool_calls[0].function.arguments must be an object, got a string",
            ),
            (
                call(json!({"arguments": {}})),
                "messages[0].tool_calls[0].function.name",
                "messages[0].tool_calls[0].function.name is required",
            ),
            (
                json!({"tools": [{"type": "function"}]}),
                "tools[0]",
                "tools[0] must be an object with a function that has a name",
            ),
            (
                json!({"tools": [weather()], "tool_choice": {"function": {"name": "x"}}}),
                "tool_choice",
                "tool_choice names none of the tools",
            ),
        ] {
            assert_eq!(of(body).unwrap_err(), Failure::invalid(field, text));
        }
        let none = super::chat(Map::new()).unwrap_err();
        assert_eq!(none, Failure::invalid("model", "model is required"));
    }

    #[test]
    fn what_is_not_known_is_told() {
        let asked = of(
            json!({"messages": [{"role": "user", "content": "a", "refusal": 1}], "seed": "x", "zed": 1}),
        );
        assert_eq!(
            asked.unwrap().warnings,
            [
                "messages[0].refusal is ignored: not known here",
                "seed is ignored: not known here",
                "zed is ignored: not known here",
            ]
        );
    }
}
