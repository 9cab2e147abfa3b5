//! Items of a conversation as turns.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hearth_chat::{Content, Function, Message, ToolCall};
use serde_json::{Value, json};

use crate::core::Failure;
use crate::dialects::Fields;
use crate::dialects::openai::messages::{read_content, tool_call};

/// Before thoughts in `encrypted_content`: there is nothing to hide from who runs the model, and other services' are not
/// taken for ours.
const OURS: &str = "hearth1:";

/// Items that tell what a hosted service did; nothing of it can be replayed.
const HOSTED: &[&str] = &[
    "code_interpreter_call",
    "compaction",
    "computer_call",
    "computer_call_output",
    "file_search_call",
    "image_generation_call",
    "mcp_approval_request",
    "mcp_approval_response",
    "mcp_call",
    "mcp_list_tools",
    "web_search_call",
];

/// What the server knows of earlier responses.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Past {
    /// Items of the responses before this one, oldest first.
    pub history: Vec<Value>,
    /// Items that are named by their id.
    pub items: HashMap<String, Value>,
}

/// Thoughts as clients carry them to and fro.
pub fn seal(text: &str) -> String {
    format!("{OURS}{}", STANDARD.encode(text))
}

fn unseal(sealed: &str) -> Option<String> {
    let bytes = STANDARD.decode(sealed.strip_prefix(OURS)?).ok()?;
    String::from_utf8(bytes).ok()
}

/// Turns made of items.
#[derive(Debug, Default)]
pub struct Turns {
    /// The turns that are whole.
    messages: Vec<Message>,
    /// The assistant's turn that is being put together: thoughts, text and calls are items of their own.
    open: Option<Message>,
    /// What was left out, in words.
    notes: Vec<String>,
}

impl Turns {
    /// Adds an item that stands at a path of the body.
    ///
    /// # Errors
    /// Its type is unknown, or a field of it is missing or of the wrong type.
    pub fn add(
        &mut self,
        path: &str,
        item: &Value,
        past: &Past,
        model: &str,
    ) -> Result<(), Failure> {
        let mut fields = Fields::of(path, item.clone())?;
        let kind = match fields.take_str("type")? {
            Some(kind) => kind,
            None if fields.has("role") => "message".to_owned(),
            None => return Err(fields.missing("type")),
        };
        match kind.as_str() {
            "message" => self.message(fields, model),
            "reasoning" => self.reasoning(fields),
            "function_call" => self.call(fields, false),
            "custom_tool_call" => self.call(fields, true),
            "function_call_output" | "custom_tool_call_output" => self.output(fields, model),
            "item_reference" => {
                let id = fields.require_str("id")?;
                match past.items.get(&id) {
                    // A reference cannot lead to another one: what is kept has none.
                    Some(found) if found["type"] != "item_reference" => {
                        self.add(path, found, past, model)
                    }
                    // The history has it already.
                    _ if past.history.iter().any(|item| item["id"] == json!(id)) => Ok(()),
                    _ => {
                        Err(fields.refuse("id", format!("names an item that is not kept: {id:?}")))
                    }
                }
            }
            kind if HOSTED.contains(&kind) => {
                self.notes.push(format!(
                    "{path} was left out: it is of type {kind:?}, which a hosted service made"
                ));
                Ok(())
            }
            other => Err(fields.refuse("type", format!("is {other:?}, which is not supported"))),
        }
    }

    /// The turns and what was left out.
    pub fn finish(mut self) -> (Vec<Message>, Vec<String>) {
        self.close();
        (self.messages, self.notes)
    }

    fn close(&mut self) {
        self.messages.extend(self.open.take());
    }

    fn assistant(&mut self) -> &mut Message {
        self.open.get_or_insert_with(|| Message {
            role: "assistant".to_owned(),
            ..Message::default()
        })
    }

    fn message(&mut self, mut fields: Fields, model: &str) -> Result<(), Failure> {
        let role = fields.require_str("role")?;
        let content = fields
            .take_value("content")
            .ok_or_else(|| fields.missing("content"))?;
        let text = read_content(&fields.path("content"), content, model)?;
        if role != "assistant" {
            self.close();
            self.messages.push(Message::new(role, text));
            return Ok(());
        }
        if self
            .open
            .as_ref()
            .is_some_and(|open| open.content.is_some())
        {
            self.close();
        }
        self.assistant().content = Some(Content::Text(text));
        Ok(())
    }

    fn reasoning(&mut self, mut fields: Fields) -> Result<(), Failure> {
        let mut texts = Vec::new();
        for name in ["content", "summary"] {
            if !texts.is_empty() {
                break;
            }
            let path = fields.path(name);
            for (index, part) in fields
                .take_list(name)?
                .unwrap_or_default()
                .into_iter()
                .enumerate()
            {
                let mut part = Fields::of(format!("{path}[{index}]"), part)?;
                texts.extend(part.take_str("text")?);
            }
        }
        let sealed = fields.take_str("encrypted_content")?;
        let text = match texts.is_empty() {
            false => texts.join("\n"),
            true => sealed.as_deref().and_then(unseal).unwrap_or_default(),
        };
        let open = self.open.as_ref();
        if open.is_some_and(|open| open.content.is_some() || !open.tool_calls.is_empty()) {
            self.close();
        }
        if !text.is_empty() {
            let reasoning = &mut self.assistant().reasoning;
            *reasoning = Some(match reasoning.take() {
                Some(before) => format!("{before}\n{text}"),
                None => text,
            });
        }
        Ok(())
    }

    fn call(&mut self, mut fields: Fields, custom: bool) -> Result<(), Failure> {
        let id = match fields.take_str("call_id")? {
            Some(id) => Some(id),
            None => fields.take_str("id")?,
        };
        let name = fields.require_str("name")?;
        let arguments = match custom {
            true => json!({ "input": fields.take_str("input")?.unwrap_or_default() }),
            false => json!(
                fields
                    .take_str("arguments")?
                    .filter(|text| !text.trim().is_empty())
                    .unwrap_or_else(|| "{}".to_owned())
            ),
        };
        let call: ToolCall = tool_call(id, Function { name, arguments });
        self.assistant().tool_calls.push(call);
        Ok(())
    }

    fn output(&mut self, mut fields: Fields, model: &str) -> Result<(), Failure> {
        self.close();
        let id = fields.require_str("call_id")?;
        let output = fields
            .take_value("output")
            .ok_or_else(|| fields.missing("output"))?;
        let text = match output {
            // Some clients send what the function returned.
            value @ (Value::Object(_) | Value::Number(_) | Value::Bool(_)) => value.to_string(),
            value => read_content(&fields.path("output"), value, model)?,
        };
        self.messages.push(Message {
            tool_call_id: Some(id),
            ..Message::new("tool", text)
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turns(items: Value, past: &Past) -> Result<(Vec<Message>, Vec<String>), Failure> {
        let mut turns = Turns::default();
        for (index, item) in items.as_array().unwrap().iter().enumerate() {
            turns.add(&format!("input[{index}]"), item, past, "m")?;
        }
        Ok(turns.finish())
    }

    #[test]
    fn a_round_with_a_tool_is_three_turns() {
        let (messages, _) = turns(
            json!([
                {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "d"}]},
                {"role": "user", "content": "u"},
                {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "r"}], "encrypted_content": "gAAA"},
                {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "a", "annotations": []}]},
                {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "f", "arguments": "{\"x\":1}"},
                {"type": "function_call", "call_id": "call_2", "name": "g", "arguments": ""},
                {"type": "function_call_output", "call_id": "call_1", "output": "1"},
                {"type": "function_call_output", "call_id": "call_2", "output": [{"type": "input_text", "text": "2"}]},
                {"role": "assistant", "content": "done"},
            ]),
            &Past::default(),
        )
        .unwrap();
        let roles: Vec<&str> = messages.iter().map(|m| m.role.as_str()).collect();
        assert_eq!(
            roles,
            [
                "developer",
                "user",
                "assistant",
                "tool",
                "tool",
                "assistant"
            ]
        );
        assert_eq!(messages[2].reasoning.as_deref(), Some("r"));
        assert_eq!(messages[2].text(), "a");
        assert_eq!(messages[2].tool_calls[0].id.as_deref(), Some("call_1"));
        assert_eq!(messages[2].tool_calls[1].function.arguments, "{}");
        assert_eq!(messages[3].tool_call_id.as_deref(), Some("call_1"));
        assert_eq!(messages[4].text(), "2");
    }

    #[test]
    fn sealed_thoughts_come_back_and_foreign_ones_do_not() {
        for (sealed, expected) in [
            (seal("thöught"), Some("thöught")),
            ("gAAAAA".to_owned(), None),
        ] {
            let items = json!([{"type": "reasoning", "summary": [], "encrypted_content": sealed},
                               {"role": "assistant", "content": "a"}]);
            let (messages, _) = turns(items, &Past::default()).unwrap();
            assert_eq!(messages[0].reasoning.as_deref(), expected);
        }
    }

    #[test]
    fn references_lead_to_what_is_kept() {
        let mut past = Past::default();
        past.items.insert(
            "msg_1".into(),
            json!({"type": "message", "role": "assistant", "content": "kept"}),
        );
        past.history
            .push(json!({"type": "message", "id": "msg_2", "role": "user", "content": "x"}));
        let reference = |id: &str| json!([{"type": "item_reference", "id": id}]);
        assert_eq!(
            turns(reference("msg_1"), &past).unwrap().0[0].text(),
            "kept"
        );
        assert!(turns(reference("msg_2"), &past).unwrap().0.is_empty());
        assert!(turns(reference("msg_3"), &past).is_err());
    }

    #[test]
    fn hosted_items_are_left_out_and_unknown_ones_refused() {
        let (messages, notes) = turns(
            json!([{"type": "web_search_call", "id": "ws_1"}]),
            &Past::default(),
        )
        .unwrap();
        assert!(messages.is_empty());
        assert!(notes[0].contains("web_search_call"), "{notes:?}");
        for (item, field) in [
            (json!({"type": "odd"}), "input[0].type"),
            (json!({}), "input[0].type"),
            (json!({"role": "user"}), "input[0].content"),
            (json!({"type": "function_call"}), "input[0].name"),
            (
                json!({"type": "function_call_output", "output": "x"}),
                "input[0].call_id",
            ),
            (
                json!({"type": "function_call_output", "call_id": "x"}),
                "input[0].output",
            ),
            (
                json!({"role": "user", "content": [{"type": "input_file"}]}),
                "input[0].content[0].type",
            ),
            (json!(1), "input[0]"),
        ] {
            match turns(json!([item]), &Past::default()) {
                Err(Failure::Invalid { field: found, .. }) => assert_eq!(found, field, "{item}"),
                other => panic!("{item}: {other:?}"),
            }
        }
        let image =
            json!([{"role": "user", "content": [{"type": "input_image", "image_url": "data:"}]}]);
        assert!(matches!(
            turns(image, &Past::default()),
            Err(Failure::Unsupported {
                capability: "images",
                ..
            })
        ));
    }
}
