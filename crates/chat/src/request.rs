//! Making a conversation what a template can render.

use serde_json::{Map, Value, json};

use crate::dialogue::ChatTemplate;
use crate::error::Result;
use crate::message::{Content, Function, Message, Part, ToolCall};
use crate::output::Format;
use crate::template::Request;

/// What a template expects of messages, found by rendering short conversations with it. Find it
/// once for each template.
#[derive(Debug, Clone)]
pub struct Conventions {
    format: Format,
    /// Whether a system's turn is rendered.
    pub system: bool,
    /// Whether it knows the role `developer`.
    pub developer: bool,
    /// Whether it renders content that is a string.
    pub plain_content: bool,
    /// Whether it renders content in parts.
    pub parts: bool,
    /// Whether it reads the arguments of calls as an object; else as JSON text.
    pub object_arguments: bool,
    /// Whether it refuses ids of calls other than nine letters or digits.
    pub nine_character_ids: bool,
}

const MARK: &str = "hearth-mark";
const KEY: &str = "hearth_key";

impl Conventions {
    /// Tries a template.
    pub fn of(template: &ChatTemplate) -> Self {
        let user = Message::new("user", "a");
        let shows = |messages: &[Message]| {
            let rendered = render(template, messages);
            rendered.is_some_and(|text| text.contains(MARK) && !text.contains("'text'"))
        };
        let part = Message {
            content: Some(Content::Parts(vec![text_part(MARK)])),
            ..Message::new("user", "")
        };
        let source = template.source();
        let nine = with_call(json!({}), "call_12345678");
        let tried = |messages: &[Message]| render(template, messages).is_some();
        let plain_content = shows(&[Message::new("user", MARK)]);
        let parts = shows(&[part]);
        // A template that renders nothing at all tells nothing of its turns.
        let silent = !plain_content && !parts;
        Self {
            format: Format::detect(template),
            system: silent || shows(&[Message::new("system", MARK), user]),
            developer: ["'developer'", "\"developer\""]
                .iter()
                .any(|it| source.contains(it)),
            plain_content,
            parts,
            object_arguments: reads_objects(template),
            nine_character_ids: !tried(&nine) && tried(&with_call(json!({}), "call12345")),
        }
    }

    /// The format of the template's family.
    pub fn format(&self) -> &Format {
        &self.format
    }

    /// The same conversation as the template reads it:
    ///
    /// - `developer` is `system`, and that a part of the user's next turn, where the template does
    ///   not know the role;
    /// - texts in parts are joined by line breaks, or texts made parts;
    /// - the arguments of calls are objects or text;
    /// - every call has an id, and every tool's turn tells the id and name of the call that it
    ///   answers: the one with its id, else the first open one with its name, else the first.
    pub fn apply(&self, messages: Vec<Message>) -> Vec<Message> {
        let mut messages = self.merge_system(messages);
        self.name_calls(&mut messages);
        for message in &mut messages {
            message.content = message.content.take().map(|content| self.content(content));
            for call in &mut message.tool_calls {
                self.arguments(&mut call.function);
            }
        }
        messages
    }

    fn merge_system(&self, messages: Vec<Message>) -> Vec<Message> {
        let mut out: Vec<Message> = Vec::with_capacity(messages.len());
        let mut pending: Option<String> = None;
        for mut message in messages {
            if message.role == "developer" && !self.developer {
                message.role = "system".to_owned();
            }
            if message.role == "system" && !self.system {
                let text = message.text();
                pending = Some(match pending {
                    Some(before) => format!("{before}\n{text}"),
                    None => text,
                });
                continue;
            }
            if let Some(text) = pending.take() {
                prepend(&mut message, &text);
            }
            out.push(message);
        }
        // A system's text alone is what the user says.
        out.extend(pending.map(|text| Message::new("user", text)));
        out
    }

    fn content(&self, content: Content) -> Content {
        match content {
            Content::Parts(parts) if !self.parts => {
                let texts: Option<Vec<&str>> = parts.iter().map(part_text).collect();
                match texts {
                    Some(texts) => Content::Text(texts.join("\n")),
                    None => Content::Parts(parts),
                }
            }
            Content::Text(text) if !self.plain_content && self.parts => {
                Content::Parts(vec![text_part(&text)])
            }
            other => other,
        }
    }

    fn arguments(&self, function: &mut Function) {
        match (&function.arguments, self.object_arguments) {
            (Value::Null, true) => function.arguments = json!({}),
            (Value::Null, false) => function.arguments = json!("{}"),
            // What the model wrote may be no JSON: then it stays a text.
            (Value::String(text), true) => {
                if let Ok(object) = serde_json::from_str::<Map<String, Value>>(text) {
                    function.arguments = Value::Object(object);
                }
            }
            (Value::Object(_), false) => {
                function.arguments = Value::String(function.arguments.to_string());
            }
            _ => {}
        }
    }

    fn name_calls(&self, messages: &mut [Message]) {
        // The calls that no tool has answered yet: the id that the client gave, the id and the
        // name that the template sees.
        let mut open: Vec<(Option<String>, String, String)> = Vec::new();
        let mut count = 0;
        for message in messages {
            if !message.tool_calls.is_empty() {
                open.clear();
            }
            for call in &mut message.tool_calls {
                let given = call.id.take().filter(|id| !id.is_empty());
                let id = self.id(count, given.as_deref(), call);
                count += 1;
                open.push((given, id.clone(), call.function.name.clone()));
                call.id = Some(id);
            }
            if message.role == "tool" {
                let given = message.tool_call_id.take().filter(|id| !id.is_empty());
                let by_id = |call: &&(Option<String>, String, String)| call.0 == given;
                let by_name = |call: &&(Option<String>, String, String)| {
                    message.name.as_deref() == Some(&*call.2)
                };
                let place = match &given {
                    Some(_) => open.iter().position(|call| by_id(&call)),
                    None => open
                        .iter()
                        .position(|call| by_name(&call))
                        .or_else(|| (message.name.is_none() && !open.is_empty()).then_some(0)),
                };
                match place.map(|place| open.remove(place)) {
                    Some((_, id, name)) => {
                        message.tool_call_id = Some(id);
                        message.name.get_or_insert(name);
                    }
                    None => message.tool_call_id = given,
                }
            }
        }
    }

    /// The id that a template sees for a call.
    fn id(&self, index: usize, given: Option<&str>, call: &ToolCall) -> String {
        let nine = |id: &str| id.len() == 9 && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
        match given {
            Some(id) if !self.nine_character_ids || nine(id) => id.to_owned(),
            Some(id) => self.format.invent_id(index, id),
            None => {
                let text = format!("{}{}", call.function.name, call.function.arguments);
                self.format.invent_id(index, &text)
            }
        }
    }
}

fn text_part(text: &str) -> Part {
    let mut fields = Map::new();
    fields.insert("text".to_owned(), json!(text));
    Part {
        kind: "text".to_owned(),
        fields,
    }
}

fn part_text(part: &Part) -> Option<&str> {
    part.fields
        .get("text")?
        .as_str()
        .filter(|_| part.kind == "text")
}

/// Puts a text before what a message says.
fn prepend(message: &mut Message, text: &str) {
    match &mut message.content {
        Some(Content::Text(content)) => content.insert_str(0, &format!("{text}\n")),
        Some(Content::Parts(parts)) => parts.insert(0, text_part(text)),
        None => message.content = Some(Content::Text(text.to_owned())),
    }
}

fn render(template: &ChatTemplate, messages: &[Message]) -> Option<String> {
    let messages = messages.to_vec();
    let request = Request {
        messages,
        ..Request::default()
    };
    template.render(&request).ok()
}

/// A conversation with one call and its answer.
fn with_call(arguments: Value, id: &str) -> Vec<Message> {
    let call = ToolCall {
        id: Some(id.to_owned()),
        kind: "function".to_owned(),
        function: Function {
            name: "hearth_tool".to_owned(),
            arguments,
        },
    };
    let assistant = Message {
        content: None,
        tool_calls: vec![call],
        ..Message::new("assistant", "")
    };
    let tool = Message {
        tool_call_id: Some(id.to_owned()),
        name: Some("hearth_tool".to_owned()),
        ..Message::new("tool", "b")
    };
    vec![
        Message::new("user", "a"),
        assistant,
        tool,
        // Some templates insist on turns that take turns.
        Message::new("assistant", "c"),
        Message::new("user", "d"),
    ]
}

/// Whether a template shows arguments that are an object as it should. Text, where it shows
/// that better: an object comes out as Python writes it, or not at all.
fn reads_objects(template: &ChatTemplate) -> bool {
    let object = json!({ KEY: MARK });
    let text = Value::String(object.to_string());
    let good = |arguments: Value| {
        // Ids of nine letters are valid everywhere.
        let rendered = render(template, &with_call(arguments, "call12345"))?;
        let shown = rendered.contains(KEY) && rendered.contains(MARK);
        let escaped = rendered.contains(&format!("\\\"{KEY}"));
        let python = rendered.contains(&format!("{{'{KEY}"));
        Some(shown && !escaped && !python)
    };
    good(object) == Some(true) || good(text) != Some(true)
}

/// A prompt that ends in the middle of the assistant's turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Continued {
    /// The whole prompt.
    pub prompt: String,
    /// Its end, which is the part of the answer that is there already.
    pub prefill: String,
}

impl ChatTemplate {
    /// The prompt for going on with the last message, an assistant's, instead of beginning a new
    /// one.
    ///
    /// # Errors
    ///
    /// Those of [`ChatTemplate::render`].
    pub fn render_continued(&self, request: &Request) -> Result<Continued> {
        let mut request = request.clone();
        request.add_generation_prompt = false;
        let last = request.messages.last().cloned().unwrap_or_default();
        let text = last.text();
        let prefill = text.trim_end();
        if last.role == "assistant" && !prefill.is_empty() {
            let whole = self.render(&request)?;
            if let Some(at) = whole.rfind(prefill) {
                let prompt = whole[..at + prefill.len()].to_owned();
                let prefill = prefill.to_owned();
                return Ok(Continued { prompt, prefill });
            }
        }
        // The template does not show it: it goes behind the beginning of a new turn.
        if last.role == "assistant" {
            request.messages.pop();
        }
        request.add_generation_prompt = true;
        let mut prompt = self.render(&request)?;
        let mut prefill = String::new();
        if let Some(reasoning) = last.reasoning.filter(|it| !it.is_empty()) {
            let format = Format::detect(self);
            let opens = format.reasoning_starts();
            if let Some(open) = opens.first()
                && !opens
                    .iter()
                    .any(|open| prompt.trim_end().ends_with(&**open))
            {
                prefill += open;
            }
            prefill += &reasoning;
            if let Some(close) = format.reasoning_ends().first()
                && !text.is_empty()
            {
                prefill += close;
            }
        }
        prefill += &text;
        prompt += &prefill;
        Ok(Continued { prompt, prefill })
    }
}

#[cfg(test)]
mod tests;
