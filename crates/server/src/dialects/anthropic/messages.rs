//! The conversation.

use std::collections::HashMap;

use hearth_chat::{Content, Function, Message, Part, ToolCall};
use serde_json::Value;

use super::blocks::{self, list, parts, unreadable};
use crate::core::Failure;
use crate::dialects::fields::Fields;

/// Begins the system text of Claude Code, with a number that changes: the prompt would not be found in the cache.
const BILLING: &str = "x-anthropic-billing-header:";

/// Between texts of a turn that came in several messages, and of a system message in several blocks.
const BREAK: &str = "\n\n";

/// A conversation being read.
#[derive(Default)]
pub(super) struct Conversation {
    pub(super) messages: Vec<Message>,
    /// Names of tools by the ids of their calls.
    called: HashMap<String, String>,
    /// What was left out, in words.
    pub(super) warnings: Vec<String>,
}

/// The id of a call as the model wrote it: answers carry it with [`super::answer::CALL`] before it.
fn own_id(id: String) -> String {
    match id.strip_prefix(super::answer::CALL) {
        Some(own) if !own.is_empty() => own.to_owned(),
        _ => id,
    }
}

impl Conversation {
    /// Reads `system` and `messages`.
    pub(super) fn take(fields: &mut Fields) -> Result<Self, Failure> {
        let mut read = Self::default();
        if let Some(system) = fields.take_value("system") {
            read.system(Some(system), "system")?;
        }
        let messages = fields.take_list("messages")?.unwrap_or_default();
        if messages.is_empty() {
            return Err(Failure::invalid(
                "messages",
                "messages is required: at least one turn",
            ));
        }
        for (index, message) in messages.into_iter().enumerate() {
            let mut message = Fields::of(format!("messages[{index}]"), message)?;
            let role = message.require_str("role")?;
            let content = message.take_value("content");
            if content.is_none() {
                return Err(message.missing("content"));
            }
            let at = message.path("content");
            match role.as_str() {
                "user" => read.user(content, &at)?,
                "assistant" => read.assistant(content, &at)?,
                "system" => read.system(content, &at)?,
                other => {
                    return Err(Failure::invalid(
                        message.path("role"),
                        format!("user, assistant or system was expected, found '{other}'"),
                    ));
                }
            }
        }
        Ok(read)
    }

    /// Whether the last turn is to be continued.
    ///
    /// # Errors
    /// It calls tools and nothing answers them.
    pub(super) fn continues(&mut self) -> Result<bool, Failure> {
        let Some(last) = self.messages.last() else {
            return Ok(false);
        };
        if last.role != "assistant" {
            return Ok(false);
        }
        if !last.tool_calls.is_empty() {
            return Err(Failure::invalid(
                "messages",
                "the last turn calls tools: a user turn with a tool_result for each call was expected after it",
            ));
        }
        if last.text().is_empty() && last.reasoning.is_none() {
            self.messages.pop();
            return Ok(false);
        }
        Ok(true)
    }

    fn system(&mut self, content: Option<Value>, at: &str) -> Result<(), Failure> {
        let mut texts = Vec::new();
        for mut block in list(content, at)? {
            match block.require_str("type")?.as_str() {
                "text" => texts.push(without_billing(block.require_str("text")?)),
                other => return Err(unreadable(&block, other, "text")),
            }
        }
        texts.retain(|text| !text.is_empty());
        if !texts.is_empty() {
            self.push(Message::new("system", texts.join(BREAK)));
        }
        Ok(())
    }

    fn user(&mut self, content: Option<Value>, at: &str) -> Result<(), Failure> {
        let mut all = Vec::new();
        let blocks = list(content, at)?;
        let (mut results, mut spoken) = (false, blocks.is_empty());
        for mut block in blocks {
            let kind = block.require_str("type")?;
            if kind == "tool_result" {
                let message = self.result(block)?;
                self.messages.push(message);
                results = true;
                continue;
            }
            spoken = true;
            match parts(&kind, &mut block)? {
                Some(parts) => all.extend(parts),
                None => {
                    let known = "text, image, document, search_result or tool_result";
                    return Err(unreadable(&block, &kind, known));
                }
            }
        }
        if spoken || !results {
            self.push(Message {
                role: "user".to_owned(),
                content: Some(blocks::content(all)),
                ..Message::default()
            });
        }
        Ok(())
    }

    /// A tool's answer.
    fn result(&mut self, mut block: Fields) -> Result<Message, Failure> {
        let id = own_id(block.require_str("tool_use_id")?);
        let failed = block.take_bool("is_error")?.unwrap_or(false);
        let at = block.path("content");
        let mut all = Vec::new();
        for mut block in list(block.take_value("content"), &at)? {
            let kind = block.require_str("type")?;
            match parts(&kind, &mut block)? {
                Some(parts) => all.extend(parts),
                None => {
                    return Err(unreadable(
                        &block,
                        &kind,
                        "text, image, document or search_result",
                    ));
                }
            }
        }
        if failed {
            mark_failure(&mut all);
        }
        Ok(Message {
            role: "tool".to_owned(),
            content: Some(blocks::content(all)),
            name: self.called.get(&id).cloned(),
            tool_call_id: Some(id),
            ..Message::default()
        })
    }

    fn assistant(&mut self, content: Option<Value>, at: &str) -> Result<(), Failure> {
        let mut message = Message {
            role: "assistant".to_owned(),
            ..Message::default()
        };
        let mut all = Vec::new();
        for mut block in list(content, at)? {
            match block.require_str("type")?.as_str() {
                "text" => all.push(blocks::text(block.require_str("text")?)),
                "thinking" => {
                    let thoughts = block.require_str("thinking")?;
                    // Empty where the client asked not to see them.
                    if !thoughts.is_empty() {
                        message
                            .reasoning
                            .get_or_insert_default()
                            .push_str(&thoughts);
                    }
                }
                "redacted_thinking" => {}
                "tool_use" => message.tool_calls.push(self.call(block)?),
                other @ ("tool_result" | "image" | "document" | "search_result") => {
                    return Err(unreadable(&block, other, "text, thinking or tool_use"));
                }
                other => self.warnings.push(format!(
                    "{} was left out: a block of the type '{other}' means nothing here",
                    block.path("type").trim_end_matches(".type")
                )),
            }
        }
        message.content = (!all.is_empty()).then(|| blocks::content(all));
        self.push(message);
        Ok(())
    }

    fn call(&mut self, mut block: Fields) -> Result<ToolCall, Failure> {
        let id = own_id(block.require_str("id")?);
        let name = block.require_str("name")?;
        let arguments = block.take_map("input")?.unwrap_or_default();
        self.called.insert(id.clone(), name.clone());
        Ok(ToolCall {
            id: Some(id),
            kind: "function".to_owned(),
            function: Function {
                name,
                arguments: Value::Object(arguments),
            },
        })
    }

    /// Appends a message; to the last one, where both have the same role: templates want roles to alternate.
    fn push(&mut self, message: Message) {
        match self.messages.last_mut() {
            Some(last) if last.role == message.role => {
                last.content = join(last.content.take(), message.content);
                if let Some(more) = message.reasoning {
                    last.reasoning.get_or_insert_default().push_str(&more);
                }
                last.tool_calls.extend(message.tool_calls);
            }
            _ => self.messages.push(message),
        }
    }
}

fn join(first: Option<Content>, second: Option<Content>) -> Option<Content> {
    let is_empty = |content: &Content| matches!(content, Content::Text(text) if text.is_empty());
    let (first, second) = match (first, second) {
        (Some(first), Some(second)) => (first, second),
        (one, other) => return one.or(other),
    };
    if is_empty(&first) {
        return Some(second);
    }
    if is_empty(&second) {
        return Some(first);
    }
    Some(match (first, second) {
        (Content::Text(first), Content::Text(second)) => Content::Text(first + BREAK + &second),
        (first, second) => {
            let mut all = of(first);
            all.push(blocks::text(BREAK.to_owned()));
            all.extend(of(second));
            Content::Parts(all)
        }
    })
}

fn of(content: Content) -> Vec<Part> {
    match content {
        Content::Text(text) => vec![blocks::text(text)],
        Content::Parts(parts) => parts,
    }
}

/// Says that a tool failed where its answer does not: no template has a place for it.
fn mark_failure(parts: &mut Vec<Part>) {
    let says_so = parts
        .iter()
        .filter_map(|part| part.fields.get("text")?.as_str())
        .any(|text| text.to_lowercase().contains("error"));
    if !says_so {
        let mark = if parts.is_empty() { "Error" } else { "Error: " };
        parts.insert(0, blocks::text(mark.to_owned()));
    }
}

fn without_billing(text: String) -> String {
    match text.starts_with(BILLING) {
        true => text
            .split_once('\n')
            .map_or_else(String::new, |(_, rest)| rest.to_owned()),
        false => text,
    }
}
