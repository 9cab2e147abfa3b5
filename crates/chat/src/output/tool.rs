//! The tools of a request.

use serde_json::{Value, json};

/// A tool that a model may call.
#[derive(Debug, Clone, PartialEq)]
pub struct Tool {
    /// Its name, as the client wrote it.
    pub name: String,
    /// What it does.
    pub description: Option<String>,
    /// The JSON schema of its arguments, an object's.
    pub parameters: Value,
}

/// What values a parameter may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Strings only: the text stands for itself.
    Text,
    /// No strings: the text is JSON.
    Json,
    /// Either.
    Mixed,
}

/// How far references and alternatives of a schema are followed.
const DEPTH: usize = 8;

impl Tool {
    /// Reads a tool in OpenAI's form: `{"type": "function", "function": {"name": …, "description":
    /// …, "parameters": …}}`, or the inner object alone. `None` where it has no name.
    pub fn from_openai(value: &Value) -> Option<Self> {
        let function = value.get("function").unwrap_or(value);
        let text = |key: &str| function.get(key).and_then(Value::as_str).map(str::to_owned);
        let parameters = function.get("parameters").filter(|it| it.is_object());
        Some(Self {
            name: text("name").filter(|name| !name.is_empty())?,
            description: text("description"),
            parameters: parameters
                .cloned()
                .unwrap_or_else(|| json!({"type": "object", "properties": {}})),
        })
    }

    /// The names of the parameters, in the schema's order.
    pub(super) fn parameter_names(&self) -> impl Iterator<Item = &str> {
        let properties = self.parameters.get("properties").and_then(Value::as_object);
        properties.into_iter().flatten().map(|(key, _)| &**key)
    }

    /// The schema of a parameter.
    pub(super) fn parameter(&self, name: &str) -> Option<&Value> {
        let named = self.parameters.get("properties")?.get(name);
        named.or_else(|| self.parameters.get("additionalProperties"))
    }

    /// What values a parameter may have; one that the schema does not know, any.
    pub(super) fn kind(&self, parameter: &str) -> Kind {
        let schema = self.parameter(parameter);
        match schema.map_or((true, true), |schema| self.allows(schema, DEPTH)) {
            (true, false) => Kind::Text,
            (false, true) => Kind::Json,
            _ => Kind::Mixed,
        }
    }

    /// Whether a schema allows strings, and other values.
    fn allows(&self, schema: &Value, depth: usize) -> (bool, bool) {
        let any = (true, true);
        let Some(depth) = depth.checked_sub(1) else {
            return any;
        };
        if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
            let target = reference.strip_prefix('#');
            let target = target.and_then(|path| self.parameters.pointer(path));
            return target.map_or(any, |target| self.allows(target, depth));
        }
        let union = |found: (bool, bool), more: (bool, bool)| (found.0 | more.0, found.1 | more.1);
        let of_value = |value: &Value| (value.is_string(), !value.is_string());
        let of_type = |value: &Value| (value == "string", value != "string");
        if let Some(value) = schema.get("const") {
            return of_value(value);
        }
        if let Some(Value::Array(values)) = schema.get("enum") {
            return values.iter().map(of_value).fold((false, false), union);
        }
        match schema.get("type") {
            Some(Value::Array(types)) => types.iter().map(of_type).fold((false, false), union),
            Some(one) => of_type(one),
            None => ["anyOf", "oneOf", "allOf"]
                .iter()
                .find_map(|key| schema.get(key)?.as_array())
                .map_or(any, |list| {
                    let each = list.iter().map(|schema| self.allows(schema, depth));
                    each.fold((false, false), union)
                }),
        }
    }
}

/// The names under which a model knows the tools: as they are, or as identifiers where the format
/// needs that. Of two that become the same, the later one gets a number.
pub(super) fn names(tools: &[Tool], identifiers: bool) -> Vec<String> {
    let mut names: Vec<String> = Vec::with_capacity(tools.len());
    for tool in tools {
        let plain = match identifiers {
            true => identifier(&tool.name),
            false => tool.name.clone(),
        };
        let mut name = plain.clone();
        let mut number = 2;
        while identifiers && names.contains(&name) {
            name = format!("{plain}_{number}");
            number += 1;
        }
        names.push(name);
    }
    names
}

/// A name with blanks, `-` and `.` as `_`, and without other marks.
fn identifier(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for character in name.chars() {
        match character {
            ' ' | '-' | '.' => out.push('_'),
            '_' => out.push('_'),
            other if other.is_alphanumeric() => out.push(other),
            _ => {}
        }
    }
    if out.is_empty() || out.starts_with(|first: char| first.is_numeric()) {
        out.insert(0, '_');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_follow_the_schema() {
        let tool = Tool::from_openai(&json!({"name": "t", "parameters": {
            "type": "object",
            "$defs": {"word": {"type": "string"}, "loop": {"$ref": "#/$defs/loop"}},
            "properties": {
                "a": {"type": "string"},
                "b": {"type": "integer"},
                "c": {"type": ["string", "null"]},
                "d": {"enum": ["x", "y"]},
                "e": {"$ref": "#/$defs/word"},
                "f": {"anyOf": [{"type": "object"}, {"type": "array"}]},
                "g": {"$ref": "#/$defs/loop"},
                "h": {"const": 3},
            }
        }}))
        .unwrap();
        use Kind::{Json, Mixed, Text};
        let kinds = [Text, Json, Mixed, Text, Text, Json, Mixed, Json];
        for (name, kind) in ["a", "b", "c", "d", "e", "f", "g", "h"].iter().zip(kinds) {
            assert_eq!(tool.kind(name), kind, "{name}");
        }
        assert_eq!(tool.kind("unknown"), Mixed);
    }

    #[test]
    fn names_become_identifiers_and_stay_apart() {
        let tools: Vec<Tool> = ["get-w", "get.w", "a b!", "get_w", "7z"]
            .iter()
            .filter_map(|name| Tool::from_openai(&json!({ "name": name })))
            .collect();
        assert_eq!(
            names(&tools, true),
            [
                "get_w",
                "get_w_2",
                "ab".replace("ab", "a_b").as_str(),
                "get_w_3",
                "_7z"
            ]
        );
        assert_eq!(names(&tools, false)[0], "get-w");
    }
}
