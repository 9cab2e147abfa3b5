//! Bodies of `POST /v1/responses`.

use serde_json::{Map, Value, json};

use hearth_chat::Message;

use crate::core::Failure;
use crate::core::request::{Chat, Input, Logprobs};
use crate::dialects::fields::wrong;
use crate::dialects::openai::{chat, format, options, tools};
use crate::dialects::{Fields, Stamp};

use super::items::{Past, Turns};

/// A request, how its answer is told, and what of it is kept.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// What all generating routes know.
    pub asked: chat::Asked,
    /// The settings that the answer repeats, by their names.
    pub echo: Map<String, Value>,
    /// The items of this request alone, each with an id.
    pub input: Vec<Value>,
    /// The response that this one follows.
    pub previous: Option<String>,
    /// Keep the answer.
    pub store: bool,
    /// Tell thoughts in `encrypted_content` too, for clients that send them back.
    pub sealed: bool,
}

/// Settings that a response repeats, with their defaults.
const ECHO: &[(&str, &str)] = &[
    ("background", "false"),
    ("instructions", "null"),
    ("max_output_tokens", "null"),
    ("max_tool_calls", "null"),
    ("metadata", "{}"),
    ("parallel_tool_calls", "true"),
    ("previous_response_id", "null"),
    ("prompt_cache_key", "null"),
    ("reasoning", r#"{"effort":null,"summary":null}"#),
    ("safety_identifier", "null"),
    ("service_tier", "\"default\""),
    ("store", "true"),
    ("temperature", "null"),
    ("text", r#"{"format":{"type":"text"}}"#),
    ("tool_choice", "\"auto\""),
    ("tools", "[]"),
    ("top_logprobs", "0"),
    ("top_p", "null"),
    ("truncation", "\"disabled\""),
    ("user", "null"),
];

/// Fields that would need what is not here; half of them would be worse than none.
const REFUSED: &[(&str, &str)] = &[
    (
        "conversation",
        "is not supported: send previous_response_id, or the whole input",
    ),
    (
        "prompt",
        "names a template of a hosted service: send its text in instructions or input",
    ),
];

/// The id of the response that a body follows.
///
/// # Errors
/// It is no string.
pub fn previous(body: &Map<String, Value>) -> Result<Option<String>, Failure> {
    match body.get("previous_response_id") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(id)) if id.is_empty() => Ok(None),
        Some(Value::String(id)) => Ok(Some(id.clone())),
        Some(other) => Err(wrong("previous_response_id", "a string", other)),
    }
}

/// The ids of kept items that a body refers to.
pub fn references(body: &Map<String, Value>) -> Vec<String> {
    let items = body.get("input").and_then(Value::as_array);
    let references = items
        .into_iter()
        .flatten()
        .filter(|item| item["type"] == "item_reference");
    references
        .filter_map(|item| item["id"].as_str().map(str::to_owned))
        .collect()
}

/// Reads a body. `past` is what [`previous`] and [`references`] led to; the stamp names items without an id.
///
/// # Errors
/// A field is missing, of the wrong type, or asks for what cannot be done.
pub fn request(body: Map<String, Value>, past: &Past, stamp: &Stamp) -> Result<Asked, Failure> {
    let previous = previous(&body)?;
    let echo = read_echo(&body);
    let mut body = Fields::new(body);
    let model = chat::read_model(&mut body)?;
    for (name, problem) in REFUSED {
        if body.has(name) {
            return Err(body.refuse(name, problem));
        }
    }
    if body.take_bool("background")? == Some(true) {
        return Err(body.refuse(
            "background",
            "is not supported: use /v1/batches, or wait for the answer",
        ));
    }
    let mut asked = Asked {
        previous,
        echo,
        ..Asked::default()
    };
    asked.input = read_input(&mut body, past, stamp)?;
    let mut chat = Chat::default();
    let (messages, notes) = read_messages(&mut body, past, &asked.input, &model)?;
    chat.messages = messages;
    asked.asked.notes = notes;
    asked
        .asked
        .notes
        .extend(tools::read(&mut body, tools::Shape::Flat, &mut chat)?);
    options::read_thinking(&mut body, &mut chat)?;
    read_text(&mut body, &mut asked)?;
    read_include(&mut body, &mut asked)?;
    asked.store = body.take_bool("store")?.unwrap_or(true);
    let truncation = body.take_str("truncation")?;
    body.ignore(&["previous_response_id", "max_tool_calls"]);
    asked.asked.request.model = model;
    asked.asked.request.input = Input::Chat(Box::new(chat));
    chat::finish(body, &mut asked.asked)?;
    read_truncation(truncation.as_deref(), &mut asked)?;
    if asked.asked.request.choices > 1 {
        return Err(Failure::invalid(
            "n",
            "n must be 1: a response is one answer",
        ));
    }
    Ok(asked)
}

fn read_echo(body: &Map<String, Value>) -> Map<String, Value> {
    let echo = ECHO.iter().map(|(name, default)| {
        let given = body.get(*name).filter(|value| !value.is_null()).cloned();
        // The defaults are JSON: a test reads them.
        let value = given.unwrap_or_else(|| serde_json::from_str(default).unwrap_or(Value::Null));
        ((*name).to_owned(), value)
    });
    echo.collect()
}

/// The items of a body: a text is a message of the user. An empty text is one too: clients warm a model up with it.
fn read_input(body: &mut Fields, past: &Past, stamp: &Stamp) -> Result<Vec<Value>, Failure> {
    let items = match body.take_value("input") {
        Some(Value::String(text)) => vec![json!({
            "type": "message", "role": "user", "content": [{"type": "input_text", "text": text}],
        })],
        Some(Value::Array(items)) if items.is_empty() && past.history.is_empty() => {
            return Err(body.refuse("input", "must not be an empty list"));
        }
        Some(Value::Array(items)) => items,
        Some(other) => return Err(wrong("input", "a string or a list of items", &other)),
        None if past.history.is_empty() => return Err(body.missing("input")),
        None => Vec::new(),
    };
    Ok(items
        .into_iter()
        .enumerate()
        .map(|(index, item)| named(index, item, stamp))
        .collect())
}

/// An item with a type and an id: those that are kept are asked for by it.
fn named(index: usize, mut item: Value, stamp: &Stamp) -> Value {
    if let Some(map) = item.as_object_mut() {
        let kind = map.get("type").and_then(Value::as_str);
        if kind.is_none() && map.contains_key("role") {
            map.insert("type".to_owned(), json!("message"));
        }
        let id = map.get("id").and_then(Value::as_str);
        if id.is_none_or(str::is_empty) {
            let prefix = match map.get("type").and_then(Value::as_str) {
                Some("function_call") => "fc",
                Some("function_call_output") => "fco",
                Some("reasoning") => "rs",
                _ => "msg",
            };
            map.insert(
                "id".to_owned(),
                json!(format!("{prefix}_{}_in{index}", stamp.id)),
            );
        }
    }
    item
}

fn read_messages(
    body: &mut Fields,
    past: &Past,
    input: &[Value],
    model: &str,
) -> Result<(Vec<Message>, Vec<String>), Failure> {
    let mut turns = Turns::default();
    for (index, item) in past.history.iter().enumerate() {
        turns.add(&format!("previous_response_id[{index}]"), item, past, model)?;
    }
    for (index, item) in input.iter().enumerate() {
        turns.add(&format!("input[{index}]"), item, past, model)?;
    }
    let (mut messages, notes) = turns.finish();
    // Those of an earlier response are not carried over.
    match body.take_value("instructions") {
        None => {}
        Some(Value::String(text)) if text.is_empty() => {}
        Some(Value::String(text)) => messages.insert(0, Message::new("system", text)),
        Some(other) => return Err(wrong("instructions", "a string", &other)),
    }
    if messages.is_empty() {
        return Err(Failure::invalid(
            "input",
            "input has nothing that a model can answer",
        ));
    }
    Ok((messages, notes))
}

fn read_text(body: &mut Fields, asked: &mut Asked) -> Result<(), Failure> {
    let mut found = None;
    if let Some(mut text) = body.take_fields("text")? {
        if let Some(format) = text.take_fields("format")? {
            found = format::response_format(format)?;
        }
        text.ignore(&["verbosity"]);
        asked.asked.ignored.extend(text.rest());
    }
    let bare = format::read(body)?;
    if found.is_some() && bare.is_some() {
        return Err(Failure::invalid(
            "text.format",
            "text.format and another format are there: send one of them",
        ));
    }
    asked.asked.request.format = found.or(bare);
    Ok(())
}

fn read_include(body: &mut Fields, asked: &mut Asked) -> Result<(), Failure> {
    let include = body.take_strings("include")?.unwrap_or_default();
    let has = |name: &str| include.iter().any(|included| included == name);
    asked.sealed = has("reasoning.encrypted_content");
    let top = body.take_u64("top_logprobs")?.unwrap_or(0);
    if top > options::MOST_TOP {
        let problem = format!("must be 0 to {}, got {top}", options::MOST_TOP);
        return Err(body.refuse("top_logprobs", problem));
    }
    if top > 0 || has("message.output_text.logprobs") {
        asked.asked.request.logprobs = Some(Logprobs {
            top: top as usize, // at most 20
            after_sampling: false,
        });
    }
    Ok(())
}

fn read_truncation(truncation: Option<&str>, asked: &mut Asked) -> Result<(), Failure> {
    match truncation {
        None | Some("disabled") => Ok(()),
        Some("auto") => {
            asked.asked.request.overflow.truncate = true;
            Ok(())
        }
        Some(other) => Err(Failure::invalid(
            "truncation",
            format!("truncation must be \"auto\" or \"disabled\", got {other:?}"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::core::request::{Format, Think, ToolChoice};
    use crate::dialects::openai::testing::{body, names_something, object, stamp};

    fn ask(value: Value) -> Asked {
        request(body(value), &Past::default(), &stamp()).unwrap()
    }

    fn chat(asked: &Asked) -> &Chat {
        match &asked.asked.request.input {
            Input::Chat(chat) => chat,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn defaults() {
        for (name, default) in ECHO {
            serde_json::from_str::<Value>(default).unwrap_or_else(|e| panic!("{name}: {e}"));
        }
        let asked = ask(json!({"model": "m", "input": "hi", "text": {}}));
        assert!(asked.store && !asked.sealed && !asked.asked.stream);
        assert_eq!(chat(&asked).messages, [Message::new("user", "hi")]);
        assert_eq!(asked.input[0]["id"], "msg_abc_in0");
        assert_eq!(asked.asked.request.format, None);
        // A warm-up, and not an error.
        let empty = ask(json!({"model": "m", "input": "", "max_output_tokens": 1}));
        assert_eq!(chat(&empty).messages, [Message::new("user", "")]);
        assert_eq!(empty.asked.request.limits.max_tokens, Some(1));
    }

    #[test]
    fn what_codex_sends() {
        let asked = ask(json!({
            "model": "m", "stream": true, "instructions": "be brief",
            "input": [{"type": "message", "id": "msg_9", "role": "developer", "content": [{"type": "input_text", "text": "d"}]},
                      {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "u"}]}],
            "tools": [{"type": "function", "name": "shell", "strict": false, "parameters": {"type": "object"}},
                      {"type": "namespace", "name": "n"}, {"type": "web_search"}],
            "tool_choice": "auto", "parallel_tool_calls": true, "reasoning": {"summary": "auto"}, "store": false,
            "include": ["reasoning.encrypted_content"], "prompt_cache_key": "s", "client_metadata": {"a": "b"},
        }));
        assert!(asked.sealed && !asked.store && asked.asked.stream);
        assert!(asked.asked.ignored.is_empty(), "{:?}", asked.asked.ignored);
        assert_eq!(asked.asked.notes.len(), 2);
        let roles: Vec<&str> = chat(&asked)
            .messages
            .iter()
            .map(|m| m.role.as_str())
            .collect();
        assert_eq!(roles, ["system", "developer", "user"]);
        assert_eq!(chat(&asked).tools.len(), 1);
        assert_eq!(asked.input[0]["id"], "msg_9");
    }

    #[test]
    fn the_past_comes_before_the_input_without_its_instructions() {
        let past = Past {
            history: vec![
                json!({"type": "message", "role": "user", "content": "1"}),
                json!({"type": "message", "id": "msg_a_0", "role": "assistant", "content": [{"type": "output_text", "text": "2"}]}),
            ],
            ..Past::default()
        };
        let value = body(
            json!({"model": "m", "input": "3", "previous_response_id": "resp_a", "instructions": "new"}),
        );
        assert_eq!(previous(&value).unwrap().as_deref(), Some("resp_a"));
        let asked = request(value, &past, &stamp()).unwrap();
        let texts: Vec<String> = chat(&asked).messages.iter().map(Message::text).collect();
        assert_eq!(texts, ["new", "1", "2", "3"]);
        assert_eq!(asked.input.len(), 1);
        assert_eq!(asked.previous.as_deref(), Some("resp_a"));
        let value =
            body(json!({"input": [{"type": "item_reference", "id": "rs_1"}, {"role": "user"}]}));
        assert_eq!(references(&value), ["rs_1"]);
    }

    #[test]
    fn settings_are_read_and_repeated() {
        let asked = ask(json!({
            "model": "m", "input": "x", "temperature": 0.5, "truncation": "auto", "top_logprobs": 2, "metadata": {"a": "b"},
            "text": {"format": {"type": "json_schema", "name": "n", "strict": true, "schema": {"type": "object"}}},
            "tools": [{"type": "function", "name": "f"}], "tool_choice": {"type": "function", "name": "f"},
            "reasoning": {"effort": "none"},
        }));
        let request = &asked.asked.request;
        assert!(request.overflow.truncate);
        assert_eq!(request.logprobs.unwrap().top, 2);
        assert_eq!(
            request.format,
            Some(Format::Schema(json!({"type": "object"})))
        );
        assert_eq!(chat(&asked).tool_choice, ToolChoice::Named("f".into()));
        assert_eq!(chat(&asked).think, Think::Off);
        assert_eq!(asked.echo["temperature"], 0.5);
        assert_eq!(asked.echo["metadata"], json!({"a": "b"}));
        assert_eq!(asked.echo["parallel_tool_calls"], true);
    }

    #[test]
    fn refusals_name_their_field() {
        for (extra, field) in [
            (json!({"input": null}), "input"),
            (json!({"input": []}), "input"),
            (json!({"input": 1}), "input"),
            (json!({"conversation": "c"}), "conversation"),
            (json!({"prompt": {"id": "p"}}), "prompt"),
            (json!({"background": true}), "background"),
            (json!({"truncation": "some"}), "truncation"),
            (json!({"top_logprobs": 21}), "top_logprobs"),
            (json!({"previous_response_id": 1}), "previous_response_id"),
            (
                json!({"text": {"format": {"type": "odd"}}}),
                "text.format.type",
            ),
            (
                json!({"text": {"format": {"type": "json_object"}}, "grammar": "x"}),
                "text.format",
            ),
            (json!({"n": 2}), "n"),
            (json!({"input": [{"type": "web_search_call"}]}), "input"),
        ] {
            let mut value = body(json!({"model": "m", "input": "x"}));
            value.extend(body(extra.clone()));
            match request(value, &Past::default(), &stamp()) {
                Err(Failure::Invalid { field: found, .. }) => assert_eq!(found, field, "{extra}"),
                other => panic!("{extra}: {other:?}"),
            }
        }
    }

    proptest! {
        #[test]
        fn no_body_panics(body in object()) {
            if let Err(failure) = request(body, &Past::default(), &stamp()) {
                prop_assert!(names_something(&failure), "{failure:?}");
            }
        }
    }
}
