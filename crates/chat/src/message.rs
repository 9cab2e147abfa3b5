//! One turn of a conversation.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// One turn of a conversation, as every dialect writes it.
///
/// The field order is the order in which a template sees the keys.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// `system`, `user`, `assistant`, `tool`, or what else the template knows.
    pub role: String,
    /// The text; `None` where a turn consists of tool calls only.
    #[serde(default)]
    pub content: Option<Content>,
    /// What the model thought before this answer. Read under the names that clients use.
    #[serde(
        default,
        rename = "reasoning_content",
        alias = "reasoning",
        alias = "thinking",
        skip_serializing_if = "Option::is_none"
    )]
    pub reasoning: Option<String>,
    /// The tools that the model called in this turn.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "list_or_null"
    )]
    pub tool_calls: Vec<ToolCall>,
    /// In a `tool` turn: the call that it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_call_id: Option<String>,
    /// The name of the speaker, or of the tool in a `tool` turn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// Text, or parts of several kinds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Content {
    /// Plain text.
    Text(String),
    /// Parts in order.
    Parts(Vec<Part>),
}

/// One part of a content: `type`, and the fields that this type has.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// `text`, `image`, `image_url`, …
    #[serde(rename = "type")]
    pub kind: String,
    /// The other fields, such as `text`.
    #[serde(flatten)]
    pub fields: Map<String, Value>,
}

/// A call of a tool by the model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolCall {
    /// The name that the answer refers to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// `function`.
    #[serde(rename = "type", default = "function_type")]
    pub kind: String,
    /// What is called.
    pub function: Function,
}

/// The function of a [`ToolCall`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// An object, or (as OpenAI's clients send it) a string that holds the object as JSON.
    #[serde(default)]
    pub arguments: Value,
}

fn function_type() -> String {
    "function".to_owned()
}

fn list_or_null<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<ToolCall>, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

impl Message {
    /// A turn of plain text.
    pub fn new(role: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            role: role.into(),
            content: Some(Content::Text(text.into())),
            ..Self::default()
        }
    }

    /// The text of the content: the parts of type `text` one after the other.
    pub fn text(&self) -> String {
        match &self.content {
            None => String::new(),
            Some(Content::Text(text)) => text.clone(),
            Some(Content::Parts(parts)) => parts
                .iter()
                .filter_map(|part| part.fields.get("text")?.as_str())
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_clients_send() {
        let cases = [
            (r#"{"role":"user","content":"a"}"#, "a", None, 0),
            (
                r#"{"role":"user","content":[{"type":"text","text":"a"},{"type":"image"},{"type":"text","text":"b"}]}"#,
                "ab",
                None,
                0,
            ),
            (
                r#"{"role":"assistant","content":null,"tool_calls":[{"function":{"name":"f","arguments":"{}"}}]}"#,
                "",
                None,
                1,
            ),
            (
                r#"{"role":"assistant","content":"x","tool_calls":null,"reasoning":"r"}"#,
                "x",
                Some("r"),
                0,
            ),
            (r#"{"role":"assistant","thinking":"r"}"#, "", Some("r"), 0),
        ];
        for (json, text, reasoning, calls) in cases {
            let message: Message = serde_json::from_str(json).unwrap();
            assert_eq!(message.text(), text, "{json}");
            assert_eq!(message.reasoning.as_deref(), reasoning, "{json}");
            assert_eq!(message.tool_calls.len(), calls, "{json}");
        }
    }
}
