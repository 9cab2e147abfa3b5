//! Templates in Go's language, as Ollama's Modelfiles hold them.
//!
//! The language is the part of Go's `text/template` that makes sense in a prompt, with the
//! functions that Ollama adds (`json`, `currentDate`, `yesterdayDate`, `toTypeScriptType`). The
//! reference is Go itself: `tests/go.json` holds what it makes of many templates.
//!
//! Steps from text to prompt: `lexer` and `literal` make tokens, `parser` a tree (`ast`), `data` the
//! values of a request (`value`), `evaluate` executes with `functions`, and `print`, `printf` and
//! `json` write values.
//!
//! # Contract
//!
//! A template is untrusted. Parsing and rendering end after bounded work, with a bounded text and
//! on a bounded stack (`budget`); they never panic.

mod ast;
mod budget;
mod bundled;
mod compare;
mod data;
mod evaluate;
mod functions;
mod inspect;
mod json;
mod lexer;
mod literal;
mod number;
mod parser;
mod print;
mod printf;
mod quote;
mod request;
mod value;

use std::sync::Arc;

use ast::Node;
use budget::{Budget, Sink};
use parser::Program;
use value::Value;

use crate::error::Result;
use crate::message::Message;
use crate::reasoning::Tags;
use crate::template::clock::Clock;
pub use bundled::{BUNDLED, Bundled, by_name, detect};
pub use request::{GoRequest, Insert, Think};

/// A template in Go's language, checked when it is made.
///
/// ```
/// use hearth_chat::{Message, Request, go::{GoRequest, GoTemplate}};
///
/// let template = GoTemplate::new("{{ range .Messages }}<{{ .Role }}>{{ .Content }}{{ end }}")?;
/// let request = Request {
///     messages: vec![Message::new("user", "hello")],
///     ..Request::default()
/// };
/// assert_eq!(template.render(&GoRequest::from(&request))?, "<user>hello");
/// # Ok::<(), hearth_chat::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct GoTemplate {
    source: Arc<str>,
    program: Arc<Program>,
    /// The main template up to `.Response`, for the turn that the model is to write.
    unfinished: Arc<[Node]>,
    uses_messages: bool,
}

/// What a template has places for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// Definitions of tools (`.Tools`).
    pub tools: bool,
    /// A text behind the one that is wanted (`.Suffix`).
    pub insert: bool,
    /// Thoughts (`.Thinking`), or a switch for them (`.Think`, `.ThinkLevel`, `.IsThinkSet`).
    pub thinking: bool,
}

impl GoTemplate {
    /// Reads a template. One that prints neither `.Messages` nor `.Response` gets
    /// `{{ .Response }}` at its end.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Syntax`] where it is not valid or calls an unknown function,
    /// [`crate::Error::Limit`] where it is too large or too deeply nested.
    pub fn new(source: &str) -> Result<Self> {
        let mut program = parser::parse(source)?;
        let uses_messages = inspect::mentions(&program, "Messages");
        if !uses_messages && !inspect::mentions(&program, "Response") {
            program.root.extend(parser::parse("{{ .Response }}")?.root);
        }
        let (unfinished, _) = inspect::up_to_response(&program.root);
        Ok(Self {
            source: source.into(),
            program: Arc::new(program),
            unfinished: unfinished.into(),
            uses_messages,
        })
    }

    /// The text of the template, as it was given.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The prompt for `request`.
    ///
    /// Neighbouring messages of one role are joined. A template that mentions `.Messages` is
    /// executed once; any other is executed for each exchange of `.System`, `.Prompt` and
    /// `.Response`, the last time only up to `.Response`.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Render`] where the template fails on the request, [`crate::Error::Limit`]
    /// where it asks for too much work or text, or the request is too deeply nested.
    pub fn render(&self, request: &GoRequest) -> Result<String> {
        let budget = Budget::default();
        let mut out = Sink::new(&budget);
        let clock = request.now.unwrap_or_else(Clock::now);
        let root = &*self.program.root;
        if let Some(insert) = request.insert {
            let dot = request.exchange("", insert.prompt, "", Some(insert.suffix));
            self.execute(root, &dot, clock, &mut out)?;
        } else if self.uses_messages {
            self.execute(root, &request.conversation()?, clock, &mut out)?;
        } else {
            self.exchanges(request, clock, &mut out)?;
        }
        // Halves of characters, which `slice` can make, have no place in a prompt.
        Ok(match String::from_utf8(out.into_bytes()) {
            Ok(text) => text,
            Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
        })
    }

    /// The old form: one execution for each exchange.
    fn exchanges(&self, request: &GoRequest, clock: Clock, out: &mut Sink) -> Result<()> {
        let (mut system, mut prompt, mut response) = (String::new(), String::new(), String::new());
        for turn in data::collate(request.messages) {
            let complete = match turn.message.role.as_str() {
                "system" => !prompt.is_empty() || !response.is_empty(),
                "user" => !response.is_empty(),
                _ => false,
            };
            if complete {
                let dot = request.exchange(&system, &prompt, &response, None);
                self.execute(&self.program.root, &dot, clock, out)?;
                system.clear();
                prompt.clear();
                response.clear();
            }
            match turn.message.role.as_str() {
                "system" => system = turn.content,
                "user" => prompt = turn.content,
                "assistant" => response = turn.content,
                _ => {}
            }
        }
        let dot = request.exchange(&system, &prompt, &response, None);
        self.execute(&self.unfinished, &dot, clock, out)
    }

    fn execute(&self, nodes: &[Node], dot: &Value, clock: Clock, out: &mut Sink) -> Result<()> {
        evaluate::execute(&self.program, nodes, dot, clock, out)
    }

    /// Whether it reads a field of this name (written without the dot) anywhere.
    pub fn mentions(&self, field: &str) -> bool {
        inspect::mentions(&self.program, field)
    }

    /// What the template has places for.
    pub fn capabilities(&self) -> Capabilities {
        let thinking = ["Thinking", "Think", "ThinkLevel", "IsThinkSet"];
        Capabilities {
            tools: self.mentions("Tools"),
            insert: self.mentions("Suffix"),
            thinking: thinking.iter().any(|field| self.mentions(field)),
        }
    }

    /// The texts around the thoughts of earlier turns, which the model writes too. `None` where
    /// the template shows no thoughts, or no text on both sides of them.
    pub fn thinking_tags(&self) -> Option<Tags> {
        let (open, close) = inspect::thinking_tags(&self.program.root, false)?;
        Some(Tags { open, close })
    }

    /// The text with which a call of a tool begins, such as `<tool_call>`; `{` where the template
    /// has none.
    pub fn tool_tag(&self) -> String {
        inspect::tool_tag(&self.program.root)
    }

    /// The text that ends an assistant's turn, as [`crate::Template::turn_end`] tells it; where
    /// nothing ends it, the tag that begins the next turn.
    pub fn turn_end(&self) -> Option<String> {
        const MARKS: [&str; 3] = ["hearth-first", "hearth-mark", "hearth-last"];
        let roles = ["user", "assistant", "user"];
        let messages: Vec<Message> = roles
            .iter()
            .zip(MARKS)
            .map(|(role, mark)| Message::new(*role, mark))
            .collect();
        let text = self
            .render(&GoRequest {
                messages: &messages,
                ..GoRequest::default()
            })
            .ok()?;
        let (before, rest) = text.split_once(MARKS[0])?;
        let (between, _) = rest.split_once(MARKS[1])?.1.split_once(MARKS[2])?;
        // What stands before both of the user's texts begins that turn.
        let common = before.chars().rev().zip(between.chars().rev());
        let common = common.take_while(|(a, b)| a == b);
        let common: usize = common.map(|(a, _)| a.len_utf8()).sum();
        let end = between[..between.len() - common].trim();
        // A system's turn ends in the same way, and then nothing is left. Of several tags the
        // first is enough: the others may begin the next text.
        let tagged = if end.is_empty() { between.trim() } else { end };
        match tagged.find('>').filter(|_| tagged.starts_with('<')) {
            Some(at) => Some(tagged[..=at].to_owned()),
            None => Some(end.to_owned()).filter(|end| !end.is_empty()),
        }
    }
}

#[cfg(test)]
mod tests;
