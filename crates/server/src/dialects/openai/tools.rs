//! Tools and whether they have to be called.

use serde_json::{Map, Value, json};

use crate::core::Failure;
use crate::core::request::{Chat, ToolChoice};
use crate::dialects::Fields;
use crate::dialects::fields::wrong;

/// Where the routes differ: chat wraps a function in `function`, responses have its fields beside `type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// `{"type": "function", "function": {"name", …}}`.
    Nested,
    /// `{"type": "function", "name", …}`; tools that only a hosted service has are left out.
    Flat,
}

/// Takes `tools`, `tool_choice` and `parallel_tool_calls`. Says what was left out.
///
/// # Errors
/// A tool has no name or is of another type, or the choice names one that is not there.
pub fn read(body: &mut Fields, shape: Shape, chat: &mut Chat) -> Result<Vec<String>, Failure> {
    for old in ["functions", "function_call"] {
        if body.has(old) {
            return Err(body.refuse(
                old,
                "is the predecessor of tools and not supported: send tools and tool_choice",
            ));
        }
    }
    let mut left_out = Vec::new();
    for (index, tool) in body
        .take_list("tools")?
        .unwrap_or_default()
        .into_iter()
        .enumerate()
    {
        let path = format!("tools[{index}]");
        match read_tool(&path, tool, shape)? {
            Tool::Function(tool) => chat.tools.push(tool),
            Tool::LeftOut(kind) => left_out.push(format!(
                "{path} was left out: tools of type {kind:?} run on a hosted service only"
            )),
        }
    }
    chat.parallel_tool_calls = body.take_bool("parallel_tool_calls")?.unwrap_or(true);
    if let Some(choice) = body.take_value("tool_choice") {
        chat.tool_choice = read_choice(choice, &mut chat.tools)?;
    }
    Ok(left_out)
}

enum Tool {
    Function(Value),
    LeftOut(String),
}

fn read_tool(path: &str, tool: Value, shape: Shape) -> Result<Tool, Failure> {
    let mut tool = Fields::of(path, tool)?;
    let kind = tool
        .take_str("type")?
        .unwrap_or_else(|| "function".to_owned());
    if kind != "function" {
        if shape == Shape::Flat {
            return Ok(Tool::LeftOut(kind));
        }
        let problem = format!("must be \"function\", got {kind:?}: other tools are not supported");
        return Err(tool.refuse("type", problem));
    }
    // A client that mixes the shapes is understood as well.
    let mut function = match tool.take_fields("function")? {
        Some(function) => function,
        None if tool.has("name") => tool,
        None => return Err(tool.missing("function")),
    };
    let name = function.require_str("name")?;
    if name.is_empty() {
        return Err(function.refuse("name", "must not be empty"));
    }
    let description = function.take_str("description")?;
    let parameters = function.take_map("parameters")?;
    let strict = function.take_bool("strict")?;
    let mut inner = Map::new();
    inner.insert("name".to_owned(), json!(name));
    if let Some(description) = description {
        inner.insert("description".to_owned(), json!(description));
    }
    // Templates print what is there: a tool without parameters says so.
    let parameters = parameters.map_or_else(
        || json!({"type": "object", "properties": {}}),
        Value::Object,
    );
    inner.insert("parameters".to_owned(), parameters);
    if let Some(strict) = strict {
        inner.insert("strict".to_owned(), json!(strict));
    }
    Ok(Tool::Function(
        json!({ "type": "function", "function": inner }),
    ))
}

/// The name of a tool in the nested shape.
pub fn tool_name(tool: &Value) -> Option<&str> {
    tool.pointer("/function/name")?.as_str()
}

fn read_choice(choice: Value, tools: &mut Vec<Value>) -> Result<ToolChoice, Failure> {
    const PATH: &str = "tool_choice";
    let mut choice = match choice {
        Value::String(word) => return read_word(PATH, &word, tools),
        Value::Object(map) => Fields::at(PATH, map),
        other => return Err(wrong(PATH, "a string or an object", &other)),
    };
    match choice.require_str("type")?.as_str() {
        "function" => {
            let mut inner = choice.take_fields("function")?.unwrap_or(choice);
            let name = inner.require_str("name")?;
            if !tools.iter().any(|tool| tool_name(tool) == Some(&name)) {
                return Err(inner.refuse("name", format!("names {name:?}, which is none of tools")));
            }
            Ok(ToolChoice::Named(name))
        }
        "allowed_tools" => {
            let mut inner = choice.take_fields("allowed_tools")?.unwrap_or(choice);
            allow(&mut inner, tools)
        }
        word @ ("auto" | "none" | "required" | "any") => read_word(PATH, word, tools),
        other => Err(Failure::invalid(
            "tool_choice.type",
            format!("tool_choice.type must be \"function\" or \"allowed_tools\", got {other:?}"),
        )),
    }
}

fn read_word(path: &str, word: &str, tools: &[Value]) -> Result<ToolChoice, Failure> {
    match word {
        "auto" => Ok(ToolChoice::Auto),
        "none" => Ok(ToolChoice::None),
        "required" | "any" if tools.is_empty() => Err(Failure::invalid(
            path,
            format!("{path} is {word:?} and there are no tools that could be called"),
        )),
        "required" | "any" => Ok(ToolChoice::Required),
        other => Err(Failure::invalid(
            path,
            format!("{path} must be \"auto\", \"none\", \"required\" or an object, got {other:?}"),
        )),
    }
}

/// Keeps only the tools that may be called: what the model does not see it does not call.
fn allow(allowed: &mut Fields, tools: &mut Vec<Value>) -> Result<ToolChoice, Failure> {
    let mode = allowed
        .take_str("mode")?
        .unwrap_or_else(|| "auto".to_owned());
    let path = allowed.path("tools");
    let list = allowed
        .take_list("tools")?
        .ok_or_else(|| allowed.missing("tools"))?;
    let mut names = Vec::with_capacity(list.len());
    for (index, tool) in list.into_iter().enumerate() {
        let mut tool = Fields::of(format!("{path}[{index}]"), tool)?;
        let mut inner = tool.take_fields("function")?.unwrap_or(tool);
        let name = inner.require_str("name")?;
        if !tools.iter().any(|tool| tool_name(tool) == Some(&name)) {
            return Err(inner.refuse("name", format!("names {name:?}, which is none of tools")));
        }
        names.push(name);
    }
    tools.retain(|tool| tool_name(tool).is_some_and(|name| names.iter().any(|n| n == name)));
    match mode.as_str() {
        "auto" | "required" => read_word(&allowed.path("mode"), &mode, tools),
        _ => Err(allowed.refuse(
            "mode",
            format!("must be \"auto\" or \"required\", got {mode:?}"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_body(body: Value, shape: Shape) -> Result<(Chat, Vec<String>), Failure> {
        let mut chat = Chat::default();
        let left_out = read(&mut Fields::of("", body)?, shape, &mut chat)?;
        Ok((chat, left_out))
    }

    fn two() -> Value {
        json!([
            {"type": "function", "function": {"name": "a", "parameters": {"type": "object"}}},
            {"type": "function", "function": {"name": "b", "description": "B", "strict": true}},
        ])
    }

    #[test]
    fn choices() {
        for (choice, expected, names) in [
            (json!(null), ToolChoice::Auto, "ab"),
            (json!("auto"), ToolChoice::Auto, "ab"),
            (json!("none"), ToolChoice::None, "ab"),
            (json!("required"), ToolChoice::Required, "ab"),
            (json!("any"), ToolChoice::Required, "ab"),
            (
                json!({"type": "function", "function": {"name": "b"}}),
                ToolChoice::Named("b".into()),
                "ab",
            ),
            (
                json!({"type": "function", "name": "b"}),
                ToolChoice::Named("b".into()),
                "ab",
            ),
            (
                json!({"type": "allowed_tools", "allowed_tools": {"mode": "required",
                    "tools": [{"type": "function", "function": {"name": "b"}}]}}),
                ToolChoice::Required,
                "b",
            ),
            (
                json!({"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "a"}]}),
                ToolChoice::Auto,
                "a",
            ),
        ] {
            let body = json!({"tools": two(), "tool_choice": choice});
            let (chat, _) = read_body(body, Shape::Nested).unwrap();
            assert_eq!(chat.tool_choice, expected, "{choice}");
            let found: String = chat.tools.iter().filter_map(tool_name).collect();
            assert_eq!(found, names, "{choice}");
            assert!(chat.parallel_tool_calls);
        }
    }

    #[test]
    fn refusals_name_their_field() {
        for (body, field) in [
            (
                json!({"tools": [{"type": "custom", "custom": {"name": "x"}}]}),
                "tools[0].type",
            ),
            (
                json!({"tools": [{"type": "function"}]}),
                "tools[0].function",
            ),
            (
                json!({"tools": [{"type": "function", "function": {}}]}),
                "tools[0].function.name",
            ),
            (json!({"tools": [1]}), "tools[0]"),
            (
                json!({"tools": [], "tool_choice": "required"}),
                "tool_choice",
            ),
            (
                json!({"tools": two(), "tool_choice": "maybe"}),
                "tool_choice",
            ),
            (
                json!({"tools": two(), "tool_choice": {"type": "mcp"}}),
                "tool_choice.type",
            ),
            (
                json!({"tools": two(), "tool_choice": {"type": "function", "function": {"name": "z"}}}),
                "tool_choice.function.name",
            ),
            (json!({"functions": [{"name": "x"}]}), "functions"),
            (json!({"parallel_tool_calls": "no"}), "parallel_tool_calls"),
        ] {
            match read_body(body.clone(), Shape::Nested) {
                Err(Failure::Invalid { field: found, .. }) => assert_eq!(found, field, "{body}"),
                other => panic!("{body}: {other:?}"),
            }
        }
    }

    #[test]
    fn hosted_tools_are_left_out_of_responses_and_told() {
        let body = json!({"tools": [
            {"type": "function", "name": "a", "parameters": {"type": "object"}, "strict": false},
            {"type": "web_search"}, {"type": "namespace", "name": "n", "tools": []},
        ]});
        let (chat, left_out) = read_body(body, Shape::Flat).unwrap();
        assert_eq!(
            chat.tools,
            [
                json!({"type": "function", "function": {"name": "a", "parameters": {"type": "object"}, "strict": false}})
            ]
        );
        assert_eq!(left_out.len(), 2);
        assert!(left_out[0].contains("web_search"), "{left_out:?}");
    }

    #[test]
    fn empty_means_absent() {
        let (chat, _) =
            read_body(json!({"tools": [], "tool_choice": "auto"}), Shape::Nested).unwrap();
        assert!(chat.tools.is_empty());
    }
}
