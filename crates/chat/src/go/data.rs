//! What a request becomes for a template: `.Messages`, `.Tools` and the rest.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map as Object, Value as Json};

use super::budget::{Budget, MAX_DATA_DEPTH, limit};
use super::value::{Field, Form, List, Map, Record, Text, Value};
use crate::error::Result;
use crate::message::{Content, Message, ToolCall};

/// The largest whole number of which a float holds every smaller one.
const MAX_EXACT: u64 = 1 << 53;

/// A mapping from these names, as the dot of a template.
pub(super) fn top<const N: usize>(entries: [(&str, Value); N]) -> Value {
    map(entries, Form::Plain)
}

fn map<K: Into<Vec<u8>>>(entries: impl IntoIterator<Item = (K, Value)>, form: Form) -> Value {
    let entries = entries
        .into_iter()
        .map(|(key, value)| (Text::from(key), value))
        .collect();
    Value::Map(Arc::new(Map { entries, form }))
}

fn record<const N: usize>(
    kind: &'static str,
    form: Form,
    fields: [(&'static str, &'static str, bool, Value); N],
) -> Value {
    let fields = fields
        .into_iter()
        .map(|(name, json, optional, value)| Field {
            name,
            json,
            optional,
            value,
        })
        .collect();
    Value::Record(Arc::new(Record { kind, fields, form }))
}

/// A message and the text that takes the place of its own.
pub(super) struct Turn<'m> {
    pub(super) message: &'m Message,
    pub(super) content: String,
}

/// Messages as templates see them: neighbours of one role are joined by an empty line, except
/// those of tools. Thoughts and calls of the later ones are lost, as in Ollama.
pub(super) fn collate(messages: &[Message]) -> Vec<Turn<'_>> {
    let mut turns: Vec<Turn> = Vec::new();
    for message in messages {
        match turns.last_mut() {
            Some(last) if last.message.role == message.role && message.role != "tool" => {
                last.content.push_str("\n\n");
                last.content.push_str(&message.text());
            }
            _ => turns.push(Turn {
                message,
                content: message.text(),
            }),
        }
    }
    turns
}

/// All system messages, joined by an empty line.
pub(super) fn system(messages: &[Message]) -> String {
    let texts: Vec<String> = messages
        .iter()
        .filter(|message| message.role == "system")
        .map(Message::text)
        .collect();
    texts.join("\n\n")
}

/// `.Messages`
pub(super) fn messages(turns: &[Turn]) -> Result<Value> {
    let items: Result<Vec<Value>> = turns.iter().map(turn).collect();
    Ok(Value::List(List::or_nil(items?, Form::Plain)))
}

fn turn(turn: &Turn) -> Result<Value> {
    let message = turn.message;
    let calls = message.tool_calls.iter().enumerate();
    let calls: Result<Vec<Value>> = calls.map(|(at, call)| tool_call(at, call)).collect();
    let tool_name = message.name.as_deref().filter(|_| message.role == "tool");
    Ok(record(
        "Message",
        Form::Plain,
        [
            ("Role", "role", false, Value::text(message.role.as_str())),
            (
                "Content",
                "content",
                false,
                Value::text(turn.content.as_str()),
            ),
            (
                "Thinking",
                "thinking",
                true,
                optional(message.reasoning.as_deref()),
            ),
            ("Images", "images", true, images(message)),
            (
                "ToolCalls",
                "tool_calls",
                true,
                Value::List(List::or_nil(calls?, Form::Plain)),
            ),
            ("ToolName", "tool_name", true, optional(tool_name)),
            (
                "ToolCallID",
                "tool_call_id",
                true,
                optional(message.tool_call_id.as_deref()),
            ),
        ],
    ))
}

fn optional(text: Option<&str>) -> Value {
    Value::text(text.unwrap_or_default())
}

/// `.Images`: one empty text for each. Templates count them; pixels are no text.
fn images(message: &Message) -> Value {
    let count = match &message.content {
        Some(Content::Parts(parts)) => parts
            .iter()
            .filter(|part| part.kind.starts_with("image"))
            .count(),
        _ => 0,
    };
    Value::List(List::or_nil(vec![Value::text(""); count], Form::Plain))
}

fn tool_call(index: usize, call: &ToolCall) -> Result<Value> {
    let index = i64::try_from(index).unwrap_or(i64::MAX);
    let function = &call.function;
    Ok(record(
        "ToolCall",
        Form::Plain,
        [
            ("ID", "id", true, optional(call.id.as_deref())),
            (
                "Function",
                "function",
                false,
                record(
                    "ToolCallFunction",
                    Form::Plain,
                    [
                        ("Index", "index", false, Value::Int(index)),
                        ("Name", "name", false, Value::text(function.name.as_str())),
                        (
                            "Arguments",
                            "arguments",
                            false,
                            arguments(&function.arguments)?,
                        ),
                    ],
                ),
            ),
        ],
    ))
}

/// Arguments print as JSON. A text that holds an object is read; what is none stays as it is.
fn arguments(json: &Json) -> Result<Value> {
    let read = json
        .as_str()
        .and_then(|text| serde_json::from_str(text).ok());
    match read
        .as_ref()
        .filter(|json: &&Json| json.is_object())
        .unwrap_or(json)
    {
        Json::Object(object) => json_map(object, Form::Json, 0),
        Json::Null => json_map(&Object::new(), Form::Json, 0),
        other => value(other, 0),
    }
}

fn json_map(object: &Object<String, Json>, form: Form, depth: usize) -> Result<Value> {
    let mut entries = BTreeMap::new();
    for (key, json) in object {
        entries.insert(Text::from(key.as_str()), value(json, depth + 1)?);
    }
    Ok(Value::Map(Arc::new(Map { entries, form })))
}

/// Any JSON as Go reads it: numbers are floats. Whole numbers that a float cannot hold stay whole,
/// where Go would round them.
fn value(json: &Json, depth: usize) -> Result<Value> {
    if depth > MAX_DATA_DEPTH {
        return Err(limit(format!(
            "tools and arguments are nested more than {MAX_DATA_DEPTH} deep"
        )));
    }
    Ok(match json {
        Json::Null => Value::Nil,
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(number) => match number.as_i64() {
            Some(whole) if whole.unsigned_abs() > MAX_EXACT => Value::Int(whole),
            _ => Value::Float(number.as_f64().unwrap_or_default()),
        },
        Json::String(text) => Value::text(text.as_str()),
        Json::Array(items) => {
            let items: Result<Vec<Value>> =
                items.iter().map(|item| value(item, depth + 1)).collect();
            Value::List(List::new(items?, Form::Plain))
        }
        Json::Object(object) => json_map(object, Form::Plain, depth)?,
    })
}

/// `.Tools`, from OpenAI's form. What has another shape than expected counts as absent.
pub(super) fn tools(tools: &[Json]) -> Result<Value> {
    let items: Result<Vec<Value>> = tools.iter().map(tool).collect();
    Ok(Value::List(List::or_nil(items?, Form::Json)))
}

fn tool(json: &Json) -> Result<Value> {
    let function = &json["function"];
    let parameters = &function["parameters"];
    let object = Object::new();
    let properties = parameters["properties"].as_object().unwrap_or(&object);
    let parameters = record(
        "ToolFunctionParameters",
        Form::Json,
        [
            ("Type", "type", false, word(&parameters["type"], "object")),
            ("Defs", "$defs", true, value(&parameters["$defs"], 0)?),
            ("Items", "items", true, value(&parameters["items"], 0)?),
            (
                "Required",
                "required",
                true,
                strings(&parameters["required"], Form::Plain),
            ),
            (
                "Properties",
                "properties",
                false,
                property_map(properties, 0)?,
            ),
        ],
    );
    let function = record(
        "ToolFunction",
        Form::Json,
        [
            ("Name", "name", false, word(&function["name"], "")),
            (
                "Description",
                "description",
                false,
                word(&function["description"], ""),
            ),
            ("Parameters", "parameters", false, parameters),
        ],
    );
    Ok(record(
        "Tool",
        Form::Json,
        [
            ("Type", "type", false, word(&json["type"], "function")),
            ("Items", "items", true, value(&json["items"], 0)?),
            ("Function", "function", false, function),
        ],
    ))
}

fn property_map(properties: &Object<String, Json>, depth: usize) -> Result<Value> {
    let mut entries = Vec::with_capacity(properties.len());
    for (name, json) in properties {
        entries.push((name.as_str(), property(json, depth + 1)?));
    }
    Ok(map(entries, Form::Json))
}

/// What of a parameter's schema reaches the template; other keywords are dropped.
fn property(json: &Json, depth: usize) -> Result<Value> {
    if depth > MAX_DATA_DEPTH {
        return Err(limit(format!(
            "the parameters of a tool are nested more than {MAX_DATA_DEPTH} deep"
        )));
    }
    let list = |name: &str| json[name].as_array().map_or(&[][..], Vec::as_slice);
    let any_of = list("anyOf").iter().map(|json| property(json, depth + 1));
    let any_of: Result<Vec<Value>> = any_of.collect();
    let choices: Result<Vec<Value>> = list("enum").iter().map(|json| value(json, depth)).collect();
    let properties = match json["properties"].as_object() {
        Some(properties) => property_map(properties, depth)?,
        None => Value::Nil,
    };
    Ok(record(
        "ToolProperty",
        Form::Json,
        [
            (
                "AnyOf",
                "anyOf",
                true,
                Value::List(List::or_nil(any_of?, Form::Plain)),
            ),
            ("Type", "type", true, strings(&json["type"], Form::Words)),
            ("Items", "items", true, value(&json["items"], depth)?),
            (
                "Description",
                "description",
                true,
                word(&json["description"], ""),
            ),
            (
                "Enum",
                "enum",
                true,
                Value::List(List::or_nil(choices?, Form::Plain)),
            ),
            ("Properties", "properties", true, properties),
            (
                "Required",
                "required",
                true,
                strings(&json["required"], Form::Plain),
            ),
        ],
    ))
}

fn word(json: &Json, default: &str) -> Value {
    Value::text(json.as_str().unwrap_or(default))
}

/// A list of strings, or one string.
fn strings(json: &Json, form: Form) -> Value {
    let one = std::slice::from_ref(json);
    let items = json.as_array().map_or(one, Vec::as_slice);
    let items = items.iter().filter_map(Json::as_str);
    Value::List(List::or_nil(items.map(Value::text).collect(), form))
}

/// The type of a tool's parameter in TypeScript; `any` for everything else.
pub(super) fn typescript_type(budget: &Budget, value: &Value) -> Result<String> {
    budget.spend_length(1)?;
    let Value::Record(record) = value else {
        return Ok("any".to_owned());
    };
    let list = |name| match record.get(name) {
        Some(Value::List(list)) => list.items(),
        _ => &[],
    };
    let (choices, types) = match record.kind {
        "ToolProperty" => (list("AnyOf"), list("Type")),
        _ => (&[][..], &[][..]),
    };
    if !choices.is_empty() {
        let names: Result<Vec<String>> = choices
            .iter()
            .map(|choice| typescript_type(budget, choice))
            .collect();
        return Ok(names?.join(" | "));
    }
    if types.is_empty() {
        return Ok("any".to_owned());
    }
    budget.spend_length(types.len())?;
    let names: Vec<&str> = types.iter().map(typescript_word).collect();
    Ok(names.join(" | "))
}

fn typescript_word(value: &Value) -> &'static str {
    match value {
        Value::Text(word) => match &**word {
            b"string" => "string",
            b"number" | b"integer" => "number",
            b"boolean" => "boolean",
            b"array" => "any[]",
            b"object" => "Record<string, any>",
            b"null" => "null",
            _ => "any",
        },
        _ => "any",
    }
}
