//! Rendering of chat templates.
//!
//! The reference is what Hugging Face's `apply_chat_template` makes of the same template with
//! Python's Jinja2; `tests/expected` holds its output for many templates. The engine is
//! minijinja, with Python's meaning given to its operators (`ops`), methods (`methods`), filters
//! (`filters`) and printing (`text`, `json`).
//!
//! # Contract
//!
//! A template is untrusted. Rendering ends after bounded work (`budget`), on a thread with a
//! stack of its own, and never panics in the caller.

mod budget;
pub(crate) mod clock;
mod filters;
mod format;
mod guard;
mod json;
mod methods;
mod ops;
mod program;
mod text;
mod values;

use std::error::Error as _;
use std::sync::Arc;

use minijinja::machinery::{Vm, make_string_output};
use minijinja::{AutoEscape, ErrorKind, Value};
use serde_json::{Map, json};

use crate::error::{Error, Result};
use crate::message::{Content, Message};
use clock::Clock;

/// The stack of the thread that compiles and renders. The engine is recursive; its limits were
/// tried against this size in a debug build.
const STACK_BYTES: usize = 32 << 20;

/// The texts of a model's special tokens, as templates name them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SpecialTokens {
    /// `bos_token`: begins a text.
    pub bos: Option<String>,
    /// `eos_token`: ends a text.
    pub eos: Option<String>,
    /// `unk_token`.
    pub unk: Option<String>,
    /// `pad_token`.
    pub pad: Option<String>,
    /// Others, under the names that the template uses.
    pub other: Vec<(String, String)>,
}

/// A chat template, checked when it is made.
#[derive(Debug, Clone)]
pub struct Template {
    source: Arc<str>,
    prepared: Arc<str>,
    tokens: SpecialTokens,
}

/// What is rendered.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// The conversation.
    pub messages: Vec<Message>,
    /// The tools in OpenAI's form (`{"type": "function", "function": {…}}`). Templates see the
    /// variable only if there are any.
    pub tools: Vec<serde_json::Value>,
    /// Whether the prompt ends with the beginning of an assistant's turn.
    pub add_generation_prompt: bool,
    /// More variables, such as `enable_thinking`; they replace those of the same name.
    pub extra: Map<String, serde_json::Value>,
    /// The time for `strftime_now`; `None` is the present.
    pub now: Option<Clock>,
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    ///
    /// [`Error::Syntax`] where it is not valid, [`Error::Limit`] where it is too large.
    pub fn new(source: &str, tokens: SpecialTokens) -> Result<Self> {
        let prepared = guard::prepare(source)?;
        on_own_stack(|| {
            program::compile(&prepared)
                .map(drop)
                .map_err(|error| explain(&error))
        })?;
        Ok(Self {
            source: source.into(),
            prepared: prepared.into(),
            tokens,
        })
    }

    /// One of the built-in templates; see [`crate::fallback`].
    ///
    /// # Errors
    ///
    /// [`Error::UnknownName`] where there is none of this name.
    pub fn by_name(name: &str, tokens: SpecialTokens) -> Result<Self> {
        Self::new(crate::fallback::by_name(name)?.source, tokens)
    }

    /// The text of the template.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The prompt for `request`.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] where the template itself refuses the messages, [`Error::Render`] where
    /// it fails on them, [`Error::Limit`] where it asks for too much time or memory.
    pub fn render(&self, request: &Request) -> Result<String> {
        let variables = self.variables(request);
        on_own_stack(|| {
            let mut out = String::new();
            let result = (|| {
                let context = context(&variables, request.now)?;
                let program = program::compile(&self.prepared)?;
                let mut output = make_string_output(&mut out);
                let vm = Vm::new(&filters::ENVIRONMENT);
                vm.eval(
                    &program.main,
                    context,
                    &program.blocks,
                    &mut output,
                    AutoEscape::None,
                )
                .map(drop)
            })();
            result.map_err(|error: minijinja::Error| explain(&error))?;
            Ok(out)
        })
    }

    /// The text that ends an assistant's turn in this template, such as `<|im_end|>`: a stop
    /// string where the vocabulary's end token is another one. `None` where nothing ends it, or
    /// the template refuses so short a conversation.
    pub fn turn_end(&self) -> Option<String> {
        const MARK: &str = "hearth-mark";
        let messages = vec![Message::new("user", "a"), Message::new("assistant", MARK)];
        let text = self
            .render(&Request {
                messages,
                ..Request::default()
            })
            .ok()?;
        let (_, end) = text.rsplit_once(MARK)?;
        Some(end.trim().to_owned()).filter(|end| !end.is_empty())
    }

    fn variables(&self, request: &Request) -> Map<String, serde_json::Value> {
        let mut variables = Map::new();
        let tokens = &self.tokens;
        let named = [
            ("bos_token", &tokens.bos),
            ("eos_token", &tokens.eos),
            ("unk_token", &tokens.unk),
            ("pad_token", &tokens.pad),
        ];
        for (name, text) in named {
            if let Some(text) = text {
                variables.insert(name.to_owned(), json!(text));
            }
        }
        for (name, text) in &tokens.other {
            variables.insert(name.clone(), json!(text));
        }
        let messages = request.messages.iter().map(|message| self.message(message));
        variables.insert("messages".to_owned(), messages.collect());
        if !request.tools.is_empty() {
            variables.insert("tools".to_owned(), json!(request.tools));
        }
        let add = request.add_generation_prompt;
        variables.insert("add_generation_prompt".to_owned(), json!(add));
        variables.extend(request.extra.clone());
        variables
    }

    /// A message as templates read it. A turn of tool calls alone has an empty text: templates
    /// add to the content without looking whether there is one.
    fn message(&self, message: &Message) -> serde_json::Value {
        let mut fields = Map::new();
        fields.insert("role".to_owned(), json!(message.role));
        let empty = Content::Text(String::new());
        let content = message.content.as_ref().unwrap_or(&empty);
        fields.insert("content".to_owned(), json!(content));
        if let Some(reasoning) = &message.reasoning {
            fields.insert(self.reasoning_field().to_owned(), json!(reasoning));
        }
        if !message.tool_calls.is_empty() {
            fields.insert("tool_calls".to_owned(), json!(message.tool_calls));
        }
        for (name, text) in [
            ("tool_call_id", &message.tool_call_id),
            ("name", &message.name),
        ] {
            if let Some(text) = text {
                fields.insert(name.to_owned(), json!(text));
            }
        }
        serde_json::Value::Object(fields)
    }

    /// The name under which this template reads a message's reasoning.
    fn reasoning_field(&self) -> &'static str {
        let reads = |name: &str| {
            [format!("message.{name}"), format!("message['{name}']")]
                .iter()
                .any(|text| self.source.contains(text.as_str()))
        };
        if self.source.contains("reasoning_content") {
            return "reasoning_content";
        }
        ["thinking", "reasoning"]
            .into_iter()
            .find(|name| reads(name))
            .unwrap_or("reasoning_content")
    }
}

fn context(
    variables: &Map<String, serde_json::Value>,
    now: Option<Clock>,
) -> std::result::Result<Value, minijinja::Error> {
    let mut context = Vec::with_capacity(variables.len() + 1);
    let clock = now.unwrap_or_else(Clock::now);
    let strftime = Value::from_function(move |format: &str| clock.format(format));
    context.push(("strftime_now".to_owned(), strftime));
    for (name, value) in variables {
        context.push((name.clone(), filters::input(value)?));
    }
    Ok(Value::from_iter(context))
}

/// Runs `work` on a thread with a stack of known size; a panic in there becomes an error.
fn on_own_stack<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let engine = |message: String| Error::Engine { message };
    std::thread::scope(|scope| {
        std::thread::Builder::new()
            .name("chat-template".to_owned())
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, work)
            .map_err(|error| engine(format!("its thread cannot be started: {error}")))?
            .join()
            .unwrap_or_else(|_| Err(engine("the template engine panicked".to_owned())))
    })
}

/// The engine's error as one of this crate's.
fn explain(error: &minijinja::Error) -> Error {
    let line = error.line().unwrap_or(0);
    let mut source = error.source();
    while let Some(cause) = source {
        match cause.downcast_ref::<budget::Stop>() {
            Some(budget::Stop::Raised(message)) => {
                return Error::Refused {
                    message: message.clone(),
                };
            }
            Some(budget::Stop::Limit(message)) => {
                return Error::Limit {
                    message: message.clone(),
                };
            }
            None => source = cause.source(),
        }
    }
    let message = error.detail().map_or_else(
        || error.kind().to_string(),
        |detail| format!("{}: {detail}", error.kind()),
    );
    match error.kind() {
        ErrorKind::OutOfFuel => Error::Limit {
            message: format!("it executes more than {} instructions", budget::FUEL),
        },
        _ if message.contains("recursion limit") => Error::Limit { message },
        ErrorKind::SyntaxError | ErrorKind::BadEscape => Error::Syntax { line, message },
        _ => Error::Render { line, message },
    }
}
