//! Tools and which of them is called.

use serde_json::{Map, Value, json};

use crate::core::Failure;
use crate::core::request::ToolChoice;
use crate::dialects::fields::Fields;

/// What a request says of tools.
#[derive(Debug, Default)]
pub(super) struct Tools {
    /// In OpenAI's form.
    pub(super) list: Vec<Value>,
    pub(super) choice: ToolChoice,
    pub(super) parallel: bool,
    /// Tools that were left out, in words.
    pub(super) warnings: Vec<String>,
}

/// Takes `tools` and `tool_choice`.
pub(super) fn take(fields: &mut Fields) -> Result<Tools, Failure> {
    let mut tools = Tools {
        parallel: true,
        ..Tools::default()
    };
    let mut left_out = Vec::new();
    for (index, tool) in fields
        .take_list("tools")?
        .unwrap_or_default()
        .into_iter()
        .enumerate()
    {
        let at = format!("tools[{index}]");
        let mut tool = Fields::of(at.as_str(), tool)?;
        match tool.take_str("type")?.as_deref() {
            None | Some("custom" | "function") => tools.list.push(custom(tool)?),
            // One of Anthropic's own: web_search_20250305, bash_20250124, mcp_toolset.
            Some(kind) => {
                left_out.push(tool.take_str("name")?.unwrap_or_else(|| kind.to_owned()));
                tools.warnings.push(format!(
                    "{at} was left out: this server does not have the tool '{kind}'"
                ));
            }
        }
    }
    if let Some(choice) = fields.take_fields("tool_choice")? {
        choose(choice, &mut tools, &left_out)?;
    }
    Ok(tools)
}

fn custom(mut fields: Fields) -> Result<Value, Failure> {
    let name = fields.require_str("name")?;
    if name.is_empty() {
        return Err(fields.refuse("name", "must not be empty"));
    }
    let mut function = Map::new();
    function.insert("name".to_owned(), Value::from(name));
    if let Some(description) = fields.take_str("description")? {
        function.insert("description".to_owned(), Value::from(description));
    }
    let schema = fields.take_map("input_schema")?;
    let schema = schema.map_or_else(
        || json!({ "type": "object", "properties": {} }),
        Value::Object,
    );
    function.insert("parameters".to_owned(), schema);
    if let Some(strict) = fields.take_bool("strict")? {
        function.insert("strict".to_owned(), Value::from(strict));
    }
    Ok(json!({ "type": "function", "function": function }))
}

fn choose(mut fields: Fields, tools: &mut Tools, left_out: &[String]) -> Result<(), Failure> {
    let kind = fields.take_str("type")?.unwrap_or_default();
    tools.parallel = !fields
        .take_bool("disable_parallel_tool_use")?
        .unwrap_or(false);
    tools.choice = match kind.as_str() {
        "auto" => ToolChoice::Auto,
        "none" => ToolChoice::None,
        "any" => ToolChoice::Required,
        "tool" => ToolChoice::Named(fields.take_str("name")?.unwrap_or_default()),
        other => {
            return Err(Failure::invalid(
                "tool_choice.type",
                format!("one of auto, any, tool and none was expected, found '{other}'"),
            ));
        }
    };
    match &tools.choice {
        ToolChoice::Named(name) if left_out.contains(name) => Err(Failure::invalid(
            "tool_choice.name",
            format!(
                "the tool '{name}' is run by Anthropic and not here: choose another or leave it to the model"
            ),
        )),
        ToolChoice::Named(name)
            if !tools
                .list
                .iter()
                .any(|tool| tool["function"]["name"] == **name) =>
        {
            Err(Failure::invalid(
                "tool_choice.name",
                format!("'{name}' is none of the tools of this request"),
            ))
        }
        ToolChoice::Required if tools.list.is_empty() => Err(Failure::invalid(
            "tool_choice",
            match left_out.is_empty() {
                true => "a call is asked for and the request has no tools".to_owned(),
                false => format!(
                    "a call is asked for and this server has none of {}",
                    left_out.join(", ")
                ),
            },
        )),
        _ => Ok(()),
    }
}
