//! What is asked of a scheduler, and what it tells.

use std::time::Duration;

use crate::{Error, Finish, Terms, Token};

/// Whether somebody waits for an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Somebody does: it comes before everything else.
    #[default]
    Interactive,
    /// It fills what the others leave.
    Batch,
}

/// A text to continue.
pub struct Job {
    /// Its tokens.
    pub prompt: Vec<u32>,
    /// How tokens are chosen, and where the answer ends.
    pub terms: Terms,
    /// When the answer fills the context: drop the older half of what lies after so many tokens, and go on. None ends
    /// the answer there.
    pub shift: Option<usize>,
    /// Whether somebody waits.
    pub class: Class,
    /// Who asks: clients get equal shares of a class, however much each asks for.
    pub client: u64,
    /// Who is told.
    pub sink: Box<dyn Sink>,
}

/// Who is told of a job.
pub trait Sink: Send {
    /// Takes what is new. Called only when [`Self::flow`] said that there is room, but for the last update.
    fn send(&mut self, update: Update);
    /// Whether to go on.
    fn flow(&self) -> Flow;
}

/// Whether to go on with a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Yes.
    Go,
    /// Not now: what was sent is not taken yet.
    Wait,
    /// Nobody is there any more.
    Gone,
}

/// What becomes of a job: `Started`, then `Read` and `Token`s, and one of the last two.
#[derive(Debug)]
pub enum Update {
    /// It has a place.
    Started {
        /// Tokens of the prompt that were cached.
        cached: usize,
        /// How long it waited.
        waited: Duration,
    },
    /// More of the prompt was read.
    Read {
        /// Tokens that are there.
        done: usize,
        /// Of so many.
        total: usize,
    },
    /// A token was chosen.
    Token(Token),
    /// The answer ended.
    Done(Report),
    /// It failed; other jobs go on.
    Failed(Error),
}

/// An answer's end and what it cost.
#[derive(Clone, Debug)]
pub struct Report {
    /// Why it ended.
    pub finish: Finish,
    /// Text that was held back until the end.
    pub text: String,
    /// Tokens of the prompt.
    pub prompt: usize,
    /// Those that were cached.
    pub cached: usize,
    /// Tokens of the answer, the one that ended it included.
    pub generated: usize,
    /// Tokens dropped from the context.
    pub dropped: usize,
    /// Waiting for a place.
    pub waited: Duration,
    /// Reading the prompt.
    pub prefill: Duration,
    /// From the first token on.
    pub decode: Duration,
}
