//! Items of an answer.

use serde_json::{Value, json};

use crate::core::Token;
use crate::dialects::openai::answer::logprobs;

use super::items::seal;

/// An item of the answer, as far as it came.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Item {
    pub(super) id: String,
    pub(super) body: Body,
}

/// What an item is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Body {
    Reasoning(String),
    Message {
        text: String,
        tokens: Vec<Token>,
    },
    Call {
        index: usize,
        call_id: String,
        name: String,
        arguments: String,
    },
}

impl Item {
    /// An item of an answer with its place: its id leads back to both.
    pub(super) fn new(stamp: &str, place: usize, body: Body) -> Self {
        let prefix = match body {
            Body::Reasoning(_) => "rs",
            Body::Message { .. } => "msg",
            Body::Call { .. } => "fc",
        };
        Self {
            id: format!("{prefix}_{stamp}_{place}"),
            body,
        }
    }

    /// The item before anything of it came: clients add what follows to its empty parts.
    pub(super) fn begun(&self) -> Value {
        match &self.body {
            Body::Reasoning(_) => {
                json!({"id": self.id, "type": "reasoning", "status": "in_progress", "summary": []})
            }
            Body::Message { .. } => {
                json!({"id": self.id, "type": "message", "status": "in_progress", "role": "assistant", "content": []})
            }
            Body::Call { call_id, name, .. } => json!({
                "id": self.id, "type": "function_call", "status": "in_progress", "call_id": call_id, "name": name,
                "arguments": "",
            }),
        }
    }

    /// The item as it ended.
    pub(super) fn ended(&self, status: &str, sealed: bool) -> Value {
        match &self.body {
            Body::Reasoning(text) => {
                let mut value = json!({"id": self.id, "type": "reasoning", "status": status, "summary": [summary(text)]});
                if sealed {
                    value["encrypted_content"] = json!(seal(text));
                }
                value
            }
            Body::Message { text, tokens } => json!({
                "id": self.id, "type": "message", "status": status, "role": "assistant",
                "content": [output_text(text, tokens)],
            }),
            Body::Call {
                call_id,
                name,
                arguments,
                ..
            } => json!({
                "id": self.id, "type": "function_call", "status": status, "call_id": call_id, "name": name,
                "arguments": arguments,
            }),
        }
    }
}

/// The part of a reasoning item.
pub(super) fn summary(text: &str) -> Value {
    json!({"type": "summary_text", "text": text})
}

/// The part of a message.
pub(super) fn output_text(text: &str, tokens: &[Token]) -> Value {
    json!({"type": "output_text", "text": text, "annotations": [], "logprobs": token_list(tokens)})
}

/// Tokens with their logarithms; without the wrapping of chats.
pub(super) fn token_list(tokens: &[Token]) -> Value {
    logprobs(tokens)["content"].take()
}
