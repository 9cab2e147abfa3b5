//! Answers in other dialects' forms, of a server that is asked as llama-server: its refusals, and the native answer
//! beside the other where that is asked for.

use serde_json::Value;

use super::super::answer::Telling;
use crate::{
    core::{Event, Failure},
    dialects::{
        Frame,
        llama_server::{
            self,
            verbose::{self, Verbose},
        },
    },
};

/// Another dialect's words, but for what goes wrong.
pub(super) struct Native<T> {
    inner: T,
    /// The last frame of a stream that fails.
    failed: fn(&Failure) -> Frame,
    verbose: Option<Verbose>,
    answers: Vec<Value>,
}

impl<T: Telling> Native<T> {
    pub(super) fn new(inner: T, verbose: Option<Verbose>) -> Self {
        Self {
            inner,
            failed: |failure| Frame::json(&llama_server::error(failure).1),
            verbose,
            answers: Vec::new(),
        }
    }

    /// In a stream of named events, an error is one of them.
    pub(super) fn named(inner: T) -> Self {
        Self {
            failed: |failure| Frame::event("error", &llama_server::error(failure).1["error"]),
            ..Self::new(inner, None)
        }
    }

    fn native(&mut self, of: usize, event: &Event) -> Option<Value> {
        self.verbose.as_mut()?.event(of, event)
    }
}

impl<T: Telling> Telling for Native<T> {
    fn frames(&mut self, of: usize, event: Event) -> Vec<Frame> {
        let native = self.native(of, &event);
        let failed = match &event {
            Event::Failed(failure) => Some((self.failed)(failure)),
            _ => None,
        };
        let mut frames = self.inner.frames(of, event);
        if let Some(failed) = failed {
            return vec![failed];
        }
        if let Some(native) = native {
            verbose::add_to_last(&mut frames, native);
        }
        frames
    }

    fn add(&mut self, of: usize, event: Event) {
        let native = self.native(of, &event);
        self.answers.extend(native);
        self.inner.add(of, event);
    }

    fn whole(self) -> Result<Value, Failure> {
        let mut whole = self.inner.whole()?;
        verbose::add(&mut whole, self.answers);
        Ok(whole)
    }

    fn error(failure: &Failure) -> (u16, Value) {
        llama_server::error(failure)
    }

    fn ignored(&self) -> &[String] {
        self.inner.ignored()
    }
}
