//! A job that has a place.

use std::time::Instant;

use hearth_compute::Cpu;
use hearth_model::State;

use super::job::{Class, Flow, Job, Report, Sink, Update};
use crate::{
    Engine, Error, Finish, Result,
    answer::Answer,
    prefix::{Node, Turn},
    spill::Coming,
};

/// Tokens between two places where recurrent states are kept, in whole pages. The same in all texts, so that those which
/// begin alike share them.
const BETWEEN: usize = 512;

/// A text under way.
pub(super) struct Live<'e> {
    pub(super) class: Class,
    pub(super) client: u64,
    pub(super) sink: Box<dyn Sink>,
    pub(super) answer: Answer<'e>,
    pub(super) tokens: Vec<u32>,
    pub(super) state: State<Cpu>,
    /// The last whole page that the prefix tree shares with it, and how many there are.
    pub(super) shared: (Option<Node>, usize),
    /// Pages that come from the disk: it begins once they are there.
    pub(super) coming: Option<Coming>,
    /// The last page that ended while it generated, where there are recurrent states.
    pub(super) turn: Option<Turn<Cpu>>,
    shift: Option<usize>,
    prompt: usize,
    cached: Option<usize>,
    dropped: usize,
    queued: Instant,
    begun: Instant,
    first: Option<Instant>,
}

/// What became of a token.
pub(super) enum Next {
    Go,
    Over(Finish, String),
}

impl<'e> Live<'e> {
    /// A job in line, if it can be run at all.
    pub(super) fn new(
        engine: &'e Engine,
        job: Job,
        queued: Instant,
    ) -> Result<Self, (Error, Box<dyn Sink>)> {
        let context = engine.context();
        let vocab = engine.tokenizer().vocab_len();
        let unknown = job.prompt.iter().find(|id| **id as usize >= vocab);
        let error = if job.prompt.is_empty() {
            Some(Error::EmptyPrompt)
        } else if job.prompt.len() >= context {
            Some(Error::Prompt {
                prompt: job.prompt.len(),
                context,
            })
        } else {
            unknown.map(|&id| Error::Token { id, vocab })
        };
        if let Some(error) = error {
            return Err((error, job.sink));
        }
        Ok(Self {
            class: job.class,
            client: job.client,
            sink: job.sink,
            answer: Answer::new(engine.tokenizer(), job.terms),
            prompt: job.prompt.len(),
            tokens: job.prompt,
            state: engine.model().state(),
            shared: (None, 0),
            coming: None,
            turn: None,
            shift: job.shift,
            cached: None,
            dropped: 0,
            queued,
            begun: queued,
            first: None,
        })
    }

    /// It has a place, and its state is that of as much as was cached.
    pub(super) fn begin(&mut self) {
        // A job that comes back after it made room was told before.
        if self.cached.is_none() {
            self.begun = Instant::now();
            let cached = self.state.len();
            self.cached = Some(cached);
            let waited = self.begun - self.queued;
            self.sink.send(Update::Started { cached, waited });
        }
    }

    /// Tokens that the model has not seen.
    pub(super) fn pending(&self) -> usize {
        self.tokens.len() - self.state.len()
    }

    /// Tokens that a step may take. Where there are recurrent states it ends where they are worth keeping: now and then,
    /// and at the last page before the end, from which a text goes on that ends otherwise, or that comes again.
    pub(super) fn ahead(&self, page: usize) -> usize {
        let (at, end) = (self.state.len(), self.tokens.len());
        if !self.state.is_recurrent() {
            return end - at;
        }
        let last = end.saturating_sub(1) / page * page;
        let stops = [(at / BETWEEN + 1) * BETWEEN, last, end];
        let next = stops.into_iter().filter(|stop| *stop > at).min();
        next.unwrap_or(end) - at
    }

    /// Keeps the recurrent states where a page ends.
    pub(super) fn note_turn(&mut self, backend: &Cpu, page: usize) {
        let at = self.state.len();
        if self.state.is_recurrent() && at.is_multiple_of(page) && at > 0 {
            let index = at / page - 1;
            self.turn = self.state.page(backend, index).map(|page| (index, page));
        }
    }

    /// Whether it reads, rather than generates token by token.
    pub(super) fn reads(&self) -> bool {
        self.first.is_none() || self.pending() > 1
    }

    pub(super) fn flow(&self) -> Flow {
        self.sink.flow()
    }

    /// Tells how far reading is.
    pub(super) fn told_read(&mut self) {
        if self.first.is_none() {
            self.sink.send(Update::Read {
                done: self.state.len(),
                total: self.prompt,
            });
        }
    }

    /// Chooses a token by the logits after all tokens.
    pub(super) fn take(&mut self, engine: &Engine, logits: &mut Vec<f32>) -> Result<Next> {
        self.first.get_or_insert_with(Instant::now);
        if self.answer.is_over() {
            return Ok(Next::Over(Finish::Length, String::new()));
        }
        let position = self.tokens.len() + self.dropped;
        let (token, finish) = self.answer.take(logits, &self.tokens, position)?;
        self.tokens.push(token.id);
        self.sink.send(Update::Token(token));
        if let Some(finish) = finish {
            return Ok(Next::Over(finish, String::new()));
        }
        if self.tokens.len() >= engine.context() && !self.shift(engine) {
            let mut text = String::new();
            let finish = self.answer.close(Finish::Context, &mut text);
            return Ok(Next::Over(finish, text));
        }
        Ok(Next::Go)
    }

    /// Drops the older half of what may be dropped; what comes after it is read again, since each token's state depends
    /// on all before it.
    fn shift(&mut self, engine: &Engine) -> bool {
        let Some(keep) = self.shift else {
            return false;
        };
        let keep = keep.min(self.tokens.len() / 2);
        let drop = (self.tokens.len() - keep) / 2;
        if drop == 0 {
            return false;
        }
        self.tokens.drain(keep..keep + drop);
        self.state.truncate(engine.model().backend(), keep);
        self.turn = None;
        self.dropped += drop;
        true
    }

    /// The end.
    pub(super) fn done(mut self, finish: Finish, text: String) {
        let now = Instant::now();
        let first = self.first.unwrap_or(now);
        let report = Report {
            finish,
            text,
            prompt: self.prompt,
            cached: self.cached.unwrap_or(0),
            generated: self.answer.tokens,
            dropped: self.dropped,
            waited: self.begun - self.queued,
            prefill: first.saturating_duration_since(self.begun),
            decode: now.saturating_duration_since(first),
        };
        self.sink.send(Update::Done(report));
    }

    pub(super) fn failed(mut self, error: Error) {
        self.sink.send(Update::Failed(error));
    }
}
