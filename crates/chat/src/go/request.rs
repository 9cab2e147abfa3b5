//! What a Go template renders.

use serde_json::Value as Json;

use super::data;
use super::value::Value;
use crate::error::Result;
use crate::message::Message;
use crate::template::Request;
use crate::template::clock::Clock;

/// What a [`super::GoTemplate`] renders.
#[derive(Debug, Clone, Default)]
pub struct GoRequest<'a> {
    /// The conversation.
    pub messages: &'a [Message],
    /// The tools in OpenAI's form (`{"type": "function", "function": {…}}`). Templates see names,
    /// descriptions and the main keywords of the parameters' schemas; others are dropped.
    pub tools: &'a [Json],
    /// Whether the model is to think; `None` leaves it to the template.
    pub think: Option<Think>,
    /// Asks for the text between two others instead of an answer to the messages.
    pub insert: Option<Insert<'a>>,
    /// The time for `currentDate`; `None` is the present.
    pub now: Option<Clock>,
}

/// Whether a model is to think before it answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Think {
    /// No.
    Off,
    /// Yes.
    On,
    /// Yes, and how much: `low`, `medium`, `high`, or what else the template knows.
    Level(String),
}

/// The surroundings of the text that is wanted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Insert<'a> {
    /// What stands before it.
    pub prompt: &'a str,
    /// What stands after it.
    pub suffix: &'a str,
}

impl<'a> From<&'a Request> for GoRequest<'a> {
    /// The same request for a Go template. Its `extra` variables tell about thinking: `think`
    /// (`true`, `false` or a level) before `enable_thinking` (`false` is off) before
    /// `reasoning_effort` (a level; `none` is off). A Go template begins the assistant's turn by
    /// itself, so `add_generation_prompt` has no effect.
    fn from(request: &'a Request) -> Self {
        let read = |key: &str| request.extra.get(key).and_then(Think::from_json);
        let think = read("think").or_else(|| match read("enable_thinking") {
            Some(Think::Off) => Some(Think::Off),
            enabled => read("reasoning_effort").or(enabled),
        });
        Self {
            messages: &request.messages,
            tools: &request.tools,
            think,
            insert: None,
            now: request.now,
        }
    }
}

impl Think {
    /// `true`, `false` or a level; `None` for everything else.
    fn from_json(json: &Json) -> Option<Self> {
        match json {
            Json::Bool(true) => Some(Self::On),
            Json::Bool(false) => Some(Self::Off),
            Json::String(level) => match level.as_str() {
                "" => None,
                "none" => Some(Self::Off),
                level => Some(Self::Level(level.to_owned())),
            },
            _ => None,
        }
    }
}

impl GoRequest<'_> {
    /// `.Think`, `.ThinkLevel` and `.IsThinkSet`.
    fn thinking(&self) -> (Value, Value, Value) {
        let (on, level) = match &self.think {
            None | Some(Think::Off) => (false, ""),
            Some(Think::On) => (true, ""),
            Some(Think::Level(level)) => (true, level.as_str()),
        };
        let is_set = Value::Bool(self.think.is_some());
        (Value::Bool(on), Value::text(level), is_set)
    }

    /// The dot of a template that goes through the messages itself.
    pub(super) fn conversation(&self) -> Result<Value> {
        let (think, level, is_set) = self.thinking();
        Ok(data::top([
            ("System", Value::text(data::system(self.messages))),
            ("Messages", data::messages(&data::collate(self.messages))?),
            ("Tools", data::tools(self.tools)?),
            ("Response", Value::text("")),
            ("Think", think),
            ("ThinkLevel", level),
            ("IsThinkSet", is_set),
        ]))
    }

    /// The dot of the old form. The suffix is there only where one was given.
    pub(super) fn exchange(
        &self,
        system: &str,
        prompt: &str,
        response: &str,
        suffix: Option<&str>,
    ) -> Value {
        let (think, level, is_set) = self.thinking();
        data::top([
            ("System", Value::text(system)),
            ("Prompt", Value::text(prompt)),
            ("Response", Value::text(response)),
            ("Suffix", suffix.map_or(Value::Nil, Value::text)),
            ("Think", think),
            ("ThinkLevel", level),
            ("IsThinkSet", is_set),
        ])
    }
}
