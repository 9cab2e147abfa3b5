//! What the answer has to look like, in the many spellings of it.

use serde_json::{Value, json};

use crate::core::Failure;
use crate::core::request::Format;
use crate::dialects::Fields;
use crate::dialects::fields::wrong;

/// A field that is a format by itself, as other servers take it.
type Reader = fn(&str, Value) -> Result<Option<Format>, Failure>;

const BARE: &[(&str, Reader)] = &[
    ("json_schema", schema),
    ("grammar", gbnf),
    ("lark", lark),
    ("regex", regex),
    ("guided_json", schema),
    ("guided_regex", regex),
    ("guided_choice", choice),
    ("guided_grammar", gbnf),
    // Ollama's.
    ("format", ollama),
];

/// The fields of vLLM's `structured_outputs`.
const STRUCTURED: &[(&str, Reader)] = &[
    ("json", schema),
    ("regex", regex),
    ("choice", choice),
    ("grammar", gbnf),
    ("json_object", json_object),
];

/// Takes `response_format` and its many siblings.
///
/// # Errors
/// A format is unknown, or two of them are there.
pub fn read(body: &mut Fields) -> Result<Option<Format>, Failure> {
    let mut found: Option<(String, Format)> = None;
    if let Some(format) = body.take_fields("response_format")?
        && let Some(format) = response_format(format)?
    {
        found = Some(("response_format".to_owned(), format));
    }
    read_bare(body, BARE, &mut found)?;
    if let Some(mut structured) = body.take_fields("structured_outputs")? {
        read_bare(&mut structured, STRUCTURED, &mut found)?;
    }
    Ok(found.map(|(_, format)| format))
}

fn read_bare(
    fields: &mut Fields,
    table: &[(&str, Reader)],
    found: &mut Option<(String, Format)>,
) -> Result<(), Failure> {
    for (name, reader) in table {
        let Some(value) = fields.take_value(name) else {
            continue;
        };
        let path = fields.path(name);
        let Some(format) = reader(&path, value)? else {
            continue;
        };
        if let Some((other, _)) = found {
            let problem = format!("and {other} are two formats for one answer: send one of them");
            return Err(fields.refuse(name, problem));
        }
        *found = Some((path, format));
    }
    Ok(())
}

/// Reads an object with a `type`: `response_format` of chats, `text.format` of responses.
///
/// # Errors
/// The type is unknown or the schema is no schema.
pub fn response_format(mut format: Fields) -> Result<Option<Format>, Failure> {
    let kind = format.require_str("type")?;
    let path = |name: &str| format.path(name);
    match kind.as_str() {
        "text" => Ok(None),
        "json_object" | "json" => match format.take_value("schema") {
            Some(value) => schema(&format.path("schema"), value),
            None => Ok(Some(Format::Json)),
        },
        "json_schema" => {
            // Chats wrap it, responses and some clients do not.
            let mut inner = match format.take_fields("json_schema")? {
                Some(inner) => inner,
                None if format.has("schema") => format,
                None => return Err(format.missing("json_schema")),
            };
            match inner.take_value("schema") {
                Some(value) => schema(&inner.path("schema"), value),
                // OpenAI's own types allow it to be left out.
                None => Ok(Some(Format::Json)),
            }
        }
        "grammar" | "gbnf" | "lark" | "lark_grammar" | "regex" => {
            let (name, value) = ["grammar", "pattern", "regex", "definition", "value"]
                .into_iter()
                .find_map(|name| format.take_value(name).map(|value| (name, value)))
                .ok_or_else(|| format.missing("grammar"))?;
            let path = format.path(name);
            match kind.as_str() {
                "regex" => regex(&path, value),
                "grammar" | "gbnf" => gbnf(&path, value),
                _ => lark(&path, value),
            }
        }
        other => Err(Failure::invalid(
            path("type"),
            format!(
                "{} must be \"text\", \"json_object\", \"json_schema\", \"grammar\", \"lark\" or \"regex\", got {other:?}",
                path("type"),
            ),
        )),
    }
}

fn schema(path: &str, value: Value) -> Result<Option<Format>, Failure> {
    match value {
        Value::Object(map) if map.is_empty() => Ok(Some(Format::Json)),
        value @ (Value::Object(_) | Value::Bool(_)) => Ok(Some(Format::Schema(value))),
        // vLLM's clients send it as text too.
        Value::String(text) => match serde_json::from_str(&text) {
            Ok(value @ Value::Object(_)) => schema(path, value),
            _ => Err(Failure::invalid(
                path,
                format!("{path} must be a JSON schema, got a string that is none"),
            )),
        },
        other => Err(wrong(path, "a JSON schema", &other)),
    }
}

fn text(path: &str, value: Value) -> Result<Option<String>, Failure> {
    match value {
        // Clients send "" for "none".
        Value::String(text) => Ok(Some(text).filter(|text| !text.is_empty())),
        other => Err(wrong(path, "a string", &other)),
    }
}

fn gbnf(path: &str, value: Value) -> Result<Option<Format>, Failure> {
    Ok(text(path, value)?.map(Format::Gbnf))
}

fn lark(path: &str, value: Value) -> Result<Option<Format>, Failure> {
    Ok(text(path, value)?.map(Format::Lark))
}

fn regex(path: &str, value: Value) -> Result<Option<Format>, Failure> {
    Ok(text(path, value)?.map(Format::Regex))
}

fn json_object(path: &str, value: Value) -> Result<Option<Format>, Failure> {
    match value {
        Value::Bool(on) => Ok(on.then_some(Format::Json)),
        other => Err(wrong(path, "true or false", &other)),
    }
}

fn ollama(path: &str, value: Value) -> Result<Option<Format>, Failure> {
    match value {
        Value::String(word) if word.is_empty() => Ok(None),
        Value::String(word) if word == "json" => Ok(Some(Format::Json)),
        Value::Object(map) => schema(path, Value::Object(map)),
        other => Err(wrong(path, "\"json\" or a JSON schema", &other)),
    }
}

/// One of several texts, as a pattern.
fn choice(path: &str, value: Value) -> Result<Option<Format>, Failure> {
    let mut holder = Fields::of("", json!({ "choice": value }))?;
    let texts = holder
        .take_strings("choice")
        .map_err(|_| Failure::invalid(path, format!("{path} must be a list of strings")))?
        .unwrap_or_default();
    if texts.is_empty() {
        return Err(Failure::invalid(path, format!("{path} has no choices")));
    }
    let escaped: Vec<String> = texts.iter().map(|text| escape(text)).collect();
    Ok(Some(Format::Regex(format!("({})", escaped.join("|")))))
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if r"\.+*?()|[]{}^$/-&~#".contains(character) {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_body(body: Value) -> Result<Option<Format>, Failure> {
        read(&mut Fields::of("", body)?)
    }

    #[test]
    fn every_spelling() {
        let schema = json!({"type": "object", "properties": {"a": {"type": "integer"}}});
        let of_schema = || Some(Format::Schema(schema.clone()));
        for (body, expected) in [
            (json!({}), None),
            (json!({"response_format": null}), None),
            (json!({"response_format": {"type": "text"}}), None),
            (
                json!({"response_format": {"type": "json_object"}}),
                Some(Format::Json),
            ),
            (
                json!({"response_format": {"type": "json_object", "schema": schema}}),
                of_schema(),
            ),
            (
                json!({"response_format": {"type": "json_schema",
                    "json_schema": {"name": "x", "strict": true, "schema": schema}}}),
                of_schema(),
            ),
            (
                json!({"response_format": {"type": "json_schema", "schema": schema}}),
                of_schema(),
            ),
            (
                json!({"response_format": {"type": "json_schema", "json_schema": {"name": "x"}}}),
                Some(Format::Json),
            ),
            (
                json!({"response_format": {"type": "grammar", "grammar": "root ::= \"a\""}}),
                Some(Format::Gbnf("root ::= \"a\"".into())),
            ),
            (
                json!({"response_format": {"type": "lark", "grammar": "start: \"a\""}}),
                Some(Format::Lark("start: \"a\"".into())),
            ),
            (
                json!({"response_format": {"type": "regex", "pattern": "a+"}}),
                Some(Format::Regex("a+".into())),
            ),
            (json!({"json_schema": schema}), of_schema()),
            (json!({"json_schema": {}}), Some(Format::Json)),
            (json!({"guided_json": schema.to_string()}), of_schema()),
            (json!({"format": "json"}), Some(Format::Json)),
            (json!({"format": ""}), None),
            (json!({"format": schema}), of_schema()),
            (json!({"grammar": ""}), None),
            (
                json!({"guided_regex": "[0-9]+"}),
                Some(Format::Regex("[0-9]+".into())),
            ),
            (
                json!({"guided_choice": ["a.b", "c"]}),
                Some(Format::Regex(r"(a\.b|c)".into())),
            ),
            (
                json!({"structured_outputs": {"choice": ["x"]}}),
                Some(Format::Regex("(x)".into())),
            ),
            (
                json!({"structured_outputs": {"json_object": true}}),
                Some(Format::Json),
            ),
        ] {
            assert_eq!(read_body(body.clone()).unwrap(), expected, "{body}");
        }
    }

    #[test]
    fn refusals_name_their_field() {
        for (body, field) in [
            (json!({"response_format": "json"}), "response_format"),
            (json!({"response_format": {}}), "response_format.type"),
            (
                json!({"response_format": {"type": "yaml"}}),
                "response_format.type",
            ),
            (
                json!({"response_format": {"type": "json_schema"}}),
                "response_format.json_schema",
            ),
            (
                json!({"response_format": {"type": "json_schema", "json_schema": {"schema": 1}}}),
                "response_format.json_schema.schema",
            ),
            (
                json!({"response_format": {"type": "regex"}}),
                "response_format.grammar",
            ),
            (json!({"guided_choice": []}), "guided_choice"),
            (json!({"guided_choice": [1]}), "guided_choice"),
            (json!({"grammar": "a", "guided_regex": "b"}), "guided_regex"),
            (
                json!({"response_format": {"type": "json_object"}, "grammar": "a"}),
                "grammar",
            ),
            (
                json!({"structured_outputs": {"regex": 1}}),
                "structured_outputs.regex",
            ),
        ] {
            match read_body(body.clone()) {
                Err(Failure::Invalid { field: found, .. }) => assert_eq!(found, field, "{body}"),
                other => panic!("{body}: {other:?}"),
            }
        }
    }
}
