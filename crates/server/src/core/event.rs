//! What becomes of a request, in the one form that every dialect translates from.

use std::time::Duration;

/// A step of an answer, in order: one `Started`, then any number of the others, and `Done` or `Failed` at the end.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The model is loaded and the prompt is known to fit.
    Started(Started),
    /// More of the prompt was read.
    Read {
        /// Tokens of the prompt that are there, cached ones included.
        done: usize,
        /// Of so many.
        total: usize,
        /// Of which so many were cached.
        cached: usize,
        /// Since the reading began.
        time: Duration,
    },
    /// More of an answer. Several dialects wait until a call is whole.
    Delta {
        /// Of which answer.
        choice: usize,
        /// What it means. Empty where text is held back that may become a tag or a stop.
        pieces: Vec<Piece>,
        /// The tokens it came from, with what was asked about them.
        tokens: Vec<Token>,
    },
    /// An answer ended.
    End {
        /// Which.
        choice: usize,
        /// Why, and what it took.
        outcome: Outcome,
    },
    /// All answers ended.
    Done,
    /// The generation failed; nothing follows.
    Failed(super::Failure),
}

/// What is known before the first token.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Started {
    /// The model by its full name.
    pub model: String,
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// Those that were cached.
    pub cached_tokens: usize,
    /// Tokens that the context holds.
    pub context: usize,
    /// Turns of the conversation that were dropped because the caller allowed it.
    pub dropped_messages: usize,
    /// Time from the request to a model that is ready.
    pub load: Duration,
    /// What was ignored or understood otherwise, in words.
    pub warnings: Vec<String>,
    /// The prompt as text, where the dialect shows it.
    pub prompt: String,
}

/// A meaning of generated text. The texts of one kind in a row are one text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Thoughts.
    Reasoning(String),
    /// The answer.
    Content(String),
    /// A call of a tool begins.
    Call {
        /// Calls of this answer before it.
        index: usize,
        /// The model's own id for it, or one that was made: always there.
        id: String,
        /// The tool.
        name: String,
    },
    /// More of its arguments: all of them together are the text of a JSON object.
    Arguments {
        /// Of which call.
        index: usize,
        /// The text.
        text: String,
    },
}

/// A generated token.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Token {
    /// Its id.
    pub id: u32,
    /// Its bytes: of text that ends within a character, only a part of it.
    pub bytes: Vec<u8>,
    /// The natural logarithm of its share, where it was asked for.
    pub logprob: Option<f32>,
    /// The likeliest tokens, most likely first: id, bytes, logarithm.
    pub top: Vec<(u32, Vec<u8>, f32)>,
}

/// How an answer ended and what it took.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// Why.
    pub finish: Finish,
    /// Tokens of the answer, the one that ended it included.
    pub tokens: usize,
    /// Of which were thoughts.
    pub reasoning_tokens: usize,
    /// Tokens dropped from the context because the caller allowed it.
    pub dropped_tokens: usize,
    /// All tokens, prompt and answer, where they were asked for (Ollama's `context`).
    pub ids: Vec<u32>,
    /// The times.
    pub timing: Timing,
}

/// How long the parts took.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Timing {
    /// Waiting for a place.
    pub queue: Duration,
    /// Reading what was not cached of the prompt.
    pub prefill: Duration,
    /// From the first token on.
    pub decode: Duration,
    /// From the request on.
    pub total: Duration,
}

/// Why an answer ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Finish {
    /// The model ended it.
    #[default]
    End,
    /// This text came.
    Stop(String),
    /// It has as many tokens as were allowed, or took the time.
    Length,
    /// The context is full.
    Context,
    /// The caller went away, or the server shuts down.
    Cancelled,
}
