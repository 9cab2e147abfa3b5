//! From generated text back to reasoning, content and calls of tools.
//!
//! - [`Format`] says how a family writes them: a row of a table (`families`), found by the marks
//!   in a model's template or by name.
//! - [`Parser`] reads a stream of output with it and gives out [`Piece`]s as soon as they are
//!   certain. They do not depend on how the stream was cut, and each character is read once.
//! - [`Format::call_grammar`] makes of the same row the grammar that holds calls to the schemas
//!   of their tools.
//!
//! # Contract
//!
//! Output never fails to parse: what is no call of a known tool is content. Work and memory are
//! linear in the length of the text, and nothing recurses with it.

mod call;
mod capabilities;
mod derive;
mod detect;
mod families;
mod feed;
mod format;
mod grammar;
mod ids;
mod json;
mod literal;
mod machine;
mod messages;
mod nested;
mod piece;
mod sections;
mod tagged;
mod tool;

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};

pub use capabilities::{Capabilities, thinking_variables};
use feed::{Feed, Shared, lock};
pub use format::Format;
pub use grammar::{CallGrammar, Choice, Special};
use machine::{Machine, Plan};
pub use piece::{Call, Output, Piece};
pub use tool::Tool;

/// What a [`Parser`] needs to know of a request.
#[derive(Debug, Clone, Copy)]
pub struct Options<'a> {
    /// The tools that may be called; without any, calls stay in the content.
    pub tools: &'a [Tool],
    /// Whether reasoning is split from the content; else it stays in it with its marks.
    pub reasoning: bool,
    /// The prompt: its end tells whether reasoning or a call has begun already.
    pub prompt: &'a str,
    /// What the prompt holds of the answer already, where it continues one: calls that begin in
    /// it go on. Other text of it is not given out again.
    pub prefill: &'a str,
    /// Whether more than one call is accepted; else further ones stay in the content.
    pub parallel: bool,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Self {
            tools: &[],
            reasoning: true,
            prompt: "",
            prefill: "",
            parallel: true,
        }
    }
}

/// Reads output as it comes.
///
/// ```
/// use hearth_chat::output::{Format, Options, Output, Parser, Tool};
/// use serde_json::json;
///
/// let tool = json!({"name": "get_w", "parameters": {"properties": {"city": {"type": "string"}}}});
/// let tools: Vec<Tool> = Tool::from_openai(&tool).into_iter().collect();
/// let options = Options { tools: &tools, ..Options::default() };
/// let mut parser = Parser::new(&Format::by_name("hermes").unwrap(), options);
/// let mut output = Output::default();
/// for text in ["Sure.\n<tool", "_call>{\"name\": \"get_w\", \"argum", "ents\": {\"city\": \"Oslo\"}}"] {
///     output.extend(parser.push(text));
/// }
/// output.extend(parser.finish());
/// assert_eq!(output.content, "Sure.");
/// assert_eq!(output.calls[0].arguments, r#"{"city": "Oslo"}"#);
/// ```
pub struct Parser {
    shared: Arc<Mutex<Shared>>,
    reader: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl fmt::Debug for Parser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parser").finish_non_exhaustive()
    }
}

impl Parser {
    /// A parser for one answer.
    pub fn new(format: &Format, options: Options<'_>) -> Self {
        let shared = Arc::new(Mutex::new(Shared::default()));
        let plan = Plan::new(format, options.tools, options.reasoning, options.parallel);
        let machine = Machine::new(Feed::new(Arc::clone(&shared)), plan);
        let mut parser = Self {
            shared,
            reader: Box::pin(machine.run()),
        };
        let begun = match options.prefill.is_empty() {
            true => format.begun(options.prompt, options.reasoning, !options.tools.is_empty()),
            false => {
                let prompt = options.prompt.strip_suffix(options.prefill);
                let before = prompt.unwrap_or_default();
                format.begun(before, options.reasoning, false) + options.prefill
            }
        };
        parser.begin(&begun);
        parser
    }

    /// Reads the part of the answer that the prompt holds, and keeps only what is a call.
    fn begin(&mut self, begun: &str) {
        // White space at the end would be given out with what follows it.
        let text = begun.trim_end();
        let mut pieces = self.push(text);
        let is_call = |piece: &Piece| matches!(piece, Piece::Call { .. } | Piece::Arguments { .. });
        if pieces.iter().any(is_call) {
            pieces.extend(self.push(&begun[text.len()..]));
        }
        pieces.retain(is_call);
        lock(&self.shared).pieces = pieces;
    }

    /// Takes more text and returns what is certain by now.
    pub fn push(&mut self, text: &str) -> Vec<Piece> {
        lock(&self.shared).incoming.push_str(text);
        self.read()
    }

    /// Ends the answer and returns what was held back.
    pub fn finish(mut self) -> Vec<Piece> {
        lock(&self.shared).ended = true;
        self.read()
    }

    fn read(&mut self) -> Vec<Piece> {
        // The reader waits for text only, which is there when it is polled: no one wakes it. It
        // ends only behind the end of the text, and `finish` takes the parser.
        let _ = self
            .reader
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()));
        std::mem::take(&mut lock(&self.shared).pieces)
    }

    /// Reads a whole answer.
    pub fn parse(format: &Format, options: Options<'_>, text: &str) -> Output {
        let mut parser = Self::new(format, options);
        let mut output: Output = parser.push(text).into_iter().collect();
        output.extend(parser.finish());
        output
    }
}

#[cfg(test)]
mod tests;
