//! The language of `schemas.txt`, which its head describes, read as JSON Schema (2020-12, which OpenAPI 3.1 takes).

use serde_json::{Map, Value, json};

/// Reads all schemas.
///
/// # Errors
/// With the line that is not in the language.
pub(super) fn read(text: &str) -> Result<Map<String, Value>, String> {
    let mut schemas = Map::new();
    let mut open = String::new();
    let lines = text.lines().filter(|line| !is_blank(line));
    for line in lines {
        let wrong = |why: &str| format!("{why}: {line:?}");
        match line.strip_prefix("  ") {
            None => {
                let (head, text) = described(line);
                let schema = match head.split_once(" = ") {
                    Some((_, kind)) => of_type(kind.trim()).map_err(|why| wrong(&why))?,
                    None => json!({ "type": "object", "properties": {} }),
                };
                let name = head.split(" = ").next().unwrap_or(head).trim();
                open = name.to_owned();
                schemas.insert(open.clone(), with_text(schema, text));
            }
            Some(member) => {
                let taken = member
                    .strip_prefix("+ ")
                    .map(|name| schemas.get(name).cloned().ok_or("an unknown schema"));
                let taken = taken.transpose().map_err(wrong)?;
                let schema = schemas.get_mut(&open).ok_or_else(|| wrong("no schema"))?;
                match (taken, member.strip_prefix("! ")) {
                    (Some(other), _) => take_over(schema, &other),
                    (None, Some(example)) => {
                        let example: Value =
                            serde_json::from_str(example).map_err(|e| wrong(&e.to_string()))?;
                        schema["examples"] = json!([example]);
                    }
                    (None, None) => {
                        let field = field(member).map_err(|why| wrong(&why))?;
                        add(schema, field);
                    }
                }
            }
        }
    }
    Ok(schemas)
}

/// Whether a line says nothing.
pub(super) fn is_blank(line: &str) -> bool {
    line.trim().is_empty() || line.starts_with('#')
}

/// One field.
pub(super) struct Field {
    pub(super) name: String,
    pub(super) schema: Value,
    pub(super) required: bool,
}

/// Reads `name* TYPE MIN..MAX = DEFAULT -- text`.
///
/// # Errors
/// It is something else.
pub(super) fn field(line: &str) -> Result<Field, String> {
    let (spec, text) = described(line);
    let (spec, default) = match spec.split_once(" = ") {
        Some((spec, default)) => (spec, Some(default)),
        None => (spec, None),
    };
    let mut words = spec.split_whitespace();
    let (Some(name), Some(kind)) = (words.next(), words.next()) else {
        return Err("a name and a type were expected".to_owned());
    };
    let mut schema = of_type(kind)?;
    if let Some(range) = words.next() {
        bound(&mut schema, range)?;
    }
    if let Some(word) = words.next() {
        return Err(format!(
            "nothing was expected behind the range, found {word}"
        ));
    }
    if let Some(default) = default {
        schema["default"] = serde_json::from_str(default).map_err(|error| error.to_string())?;
    }
    Ok(Field {
        name: name.trim_end_matches('*').to_owned(),
        schema: with_text(schema, text),
        required: name.ends_with('*'),
    })
}

fn described(line: &str) -> (&str, Option<&str>) {
    match line.split_once(" -- ") {
        Some((spec, text)) => (spec.trim(), Some(text.trim())),
        None => (line.trim(), None),
    }
}

fn with_text(mut schema: Value, text: Option<&str>) -> Value {
    if let Some(text) = text {
        schema["description"] = json!(text);
    }
    schema
}

fn add(schema: &mut Value, field: Field) {
    schema["properties"][&field.name] = field.schema;
    if field.required {
        require(schema, &json!(field.name));
    }
}

fn require(schema: &mut Value, name: &Value) {
    match schema["required"].as_array_mut() {
        Some(list) if list.contains(name) => {}
        Some(list) => list.push(name.clone()),
        None => schema["required"] = json!([name]),
    }
}

fn take_over(schema: &mut Value, other: &Value) {
    let fields = other["properties"].as_object().into_iter().flatten();
    for (name, field) in fields {
        schema["properties"][name] = field.clone();
    }
    for name in other["required"].as_array().into_iter().flatten() {
        require(schema, name);
    }
}

/// Sets the bounds of the numbers, or of the length of a list.
fn bound(schema: &mut Value, range: &str) -> Result<(), String> {
    let names = match schema["type"] == "array" {
        true => ["minItems", "maxItems"],
        false => ["minimum", "maximum"],
    };
    let ends = range
        .split_once("..")
        .ok_or("a range MIN..MAX was expected")?;
    for (name, end) in names.into_iter().zip([ends.0, ends.1]) {
        if !end.is_empty() {
            schema[name] = serde_json::from_str(end).map_err(|error| error.to_string())?;
        }
    }
    Ok(())
}

/// Reads a type.
fn of_type(text: &str) -> Result<Value, String> {
    let mut words = Vec::new();
    let mut others = Vec::new();
    for part in alternatives(text) {
        match part
            .strip_prefix('"')
            .and_then(|part| part.strip_suffix('"'))
        {
            Some(word) => words.push(json!(word)),
            None => others.push(one(part)?),
        }
    }
    if !words.is_empty() {
        others.insert(0, json!({ "type": "string", "enum": words }));
    }
    let plain = |schema: &Value| {
        schema.as_object().is_some_and(|it| it.len() == 1) && schema["type"].is_string()
    };
    Ok(match others.len() {
        0 => return Err("a type was expected".to_owned()),
        1 => others.remove(0),
        _ if others.iter().all(plain) => {
            let names: Vec<&Value> = others.iter().map(|schema| &schema["type"]).collect();
            json!({ "type": names })
        }
        _ => json!({ "anyOf": others }),
    })
}

/// What stands between bars that are in no bracket.
fn alternatives(text: &str) -> Vec<&str> {
    let (mut depth, mut begin, mut parts) = (0_usize, 0, Vec::new());
    for (at, letter) in text.char_indices() {
        match letter {
            '[' | '{' => depth += 1,
            ']' | '}' => depth = depth.saturating_sub(1),
            '|' if depth == 0 => {
                parts.push(&text[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[begin..]);
    parts
}

fn one(text: &str) -> Result<Value, String> {
    let inner = |open, close| {
        text.strip_prefix(open)
            .and_then(|text| text.strip_suffix(close))
    };
    if let Some(items) = inner('[', ']') {
        return Ok(json!({ "type": "array", "items": of_type(items)? }));
    }
    if let Some(values) = inner('{', '}') {
        return Ok(json!({ "type": "object", "additionalProperties": of_type(values)? }));
    }
    match text {
        "string" | "integer" | "number" | "boolean" | "object" => Ok(json!({ "type": text })),
        "any" => Ok(json!({})),
        name if name.starts_with(|letter: char| letter.is_ascii_uppercase()) => {
            Ok(json!({ "$ref": format!("#/components/schemas/{name}") }))
        }
        other => Err(format!("a type was expected, found {other:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_language() {
        let text = "# no\n\nA = string|[string] -- texts\nB -- an object\n  ! {\"x\": 1}\n  x* integer 0..20 = 3 -- a count\n  y \"a\"|\"b\"|C\n\
                    C\n  + B\n  z [number] 1..\n  w {boolean}\n  v boolean|integer ..5\n";
        let schemas = read(text).unwrap();
        let expected = json!({
            "A": {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}], "description": "texts"},
            "B": {"type": "object", "description": "an object", "examples": [{"x": 1}], "required": ["x"], "properties": {
                "x": {"type": "integer", "minimum": 0, "maximum": 20, "default": 3, "description": "a count"},
                "y": {"anyOf": [{"type": "string", "enum": ["a", "b"]}, {"$ref": "#/components/schemas/C"}]},
            }},
            "C": {"type": "object", "required": ["x"], "properties": {
                "x": {"type": "integer", "minimum": 0, "maximum": 20, "default": 3, "description": "a count"},
                "y": {"anyOf": [{"type": "string", "enum": ["a", "b"]}, {"$ref": "#/components/schemas/C"}]},
                "z": {"type": "array", "items": {"type": "number"}, "minItems": 1},
                "w": {"type": "object", "additionalProperties": {"type": "boolean"}},
                "v": {"type": ["boolean", "integer"], "maximum": 5},
            }},
        });
        assert_eq!(Value::Object(schemas), expected);
    }

    #[test]
    fn what_is_not_in_the_language() {
        for text in [
            "  x integer",
            "A = nothing",
            "A\n  x",
            "A\n  + B",
            "A\n  x integer 1",
            "A\n  x integer 1..2 3",
            "A\n  x integer = y",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
