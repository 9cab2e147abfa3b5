//! What a reader of output stands on: characters in, pieces out.
//!
//! The readers are `async` functions that nothing but [`super::Parser`] runs: awaiting a character
//! suspends them until more text is pushed. So they are written as if the whole text was there,
//! what they do cannot depend on how it was cut, and nothing is read twice.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use super::Piece;

/// Whether text is thought or said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Reasoning,
    Content,
}

/// What the parser and its reader share.
#[derive(Debug, Default)]
pub(super) struct Shared {
    pub(super) incoming: String,
    pub(super) ended: bool,
    pub(super) pieces: Vec<Piece>,
}

/// The reader's end.
#[derive(Debug)]
pub(super) struct Feed {
    shared: Arc<Mutex<Shared>>,
    /// Read, but not taken by anyone yet.
    ahead: VecDeque<char>,
    /// What was taken since [`Feed::record`]: given back as text if it turns out to be no call.
    recorded: Option<String>,
}

pub(super) fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Feed {
    pub(super) fn new(shared: Arc<Mutex<Shared>>) -> Self {
        Self {
            shared,
            ahead: VecDeque::new(),
            recorded: None,
        }
    }

    /// The character `index` places ahead; `None` behind the end of the text.
    pub(super) async fn at(&mut self, index: usize) -> Option<char> {
        while self.ahead.len() <= index {
            let shared = Arc::clone(&self.shared);
            let text = poll_fn(|_| {
                let mut shared = lock(&shared);
                match (shared.incoming.is_empty(), shared.ended) {
                    (false, _) => Poll::Ready(Some(std::mem::take(&mut shared.incoming))),
                    (true, true) => Poll::Ready(None),
                    (true, false) => Poll::Pending,
                }
            });
            self.ahead.extend(text.await?.chars());
        }
        self.ahead.get(index).copied()
    }

    /// The next character.
    pub(super) async fn peek(&mut self) -> Option<char> {
        self.at(0).await
    }

    /// Takes the next character.
    pub(super) async fn next(&mut self) -> Option<char> {
        self.peek().await?;
        let next = self.ahead.pop_front();
        if let (Some(recorded), Some(next)) = (&mut self.recorded, next) {
            recorded.push(next);
        }
        next
    }

    /// Takes `count` characters that were looked at.
    fn take(&mut self, count: usize) {
        let taken = self.ahead.drain(..count);
        match &mut self.recorded {
            Some(recorded) => recorded.extend(taken),
            None => drop(taken),
        }
    }

    /// The longest of `texts` that stands here. Waits only while one of them still may.
    pub(super) async fn which<T: AsRef<str>>(&mut self, texts: &[T]) -> Option<usize> {
        self.which_after(0, texts).await
    }

    /// [`Feed::which`], `skipped` characters ahead.
    pub(super) async fn which_after<T: AsRef<str>>(
        &mut self,
        skipped: usize,
        texts: &[T],
    ) -> Option<usize> {
        let first = self.at(skipped).await?;
        let starts = |text: &T| text.as_ref().starts_with(first);
        let mut left: Vec<(usize, std::str::Chars)> = (0..texts.len())
            .filter(|&index| starts(&texts[index]))
            .map(|index| (index, texts[index].as_ref().chars()))
            .collect();
        let (mut found, mut place) = (None, skipped);
        while !left.is_empty() {
            let here = self.at(place).await;
            place += 1;
            left.retain_mut(|(_, rest)| here.is_some() && rest.next() == here);
            let done = |(_, rest): &&(usize, std::str::Chars)| rest.as_str().is_empty();
            if let Some((index, _)) = left.iter().find(done) {
                found = Some(*index);
            }
            left.retain(|(_, rest)| !rest.as_str().is_empty());
        }
        found
    }

    /// Takes the longest of `texts` that stands here.
    pub(super) async fn accept_any<T: AsRef<str>>(&mut self, texts: &[T]) -> Option<usize> {
        let found = self.which(texts).await?;
        self.take(texts[found].as_ref().chars().count());
        Some(found)
    }

    /// Takes `text` if it stands here.
    pub(super) async fn accept(&mut self, text: &str) -> bool {
        self.accept_any(&[text]).await.is_some()
    }

    /// Takes white space.
    pub(super) async fn blank(&mut self) {
        while self.peek().await.is_some_and(char::is_whitespace) {
            self.next().await;
        }
    }

    /// Takes everything before `text`, and `text`; `None` where the text ends before that.
    pub(super) async fn until(&mut self, text: &str) -> Option<String> {
        let mut taken = String::new();
        while !self.accept(text).await {
            taken.push(self.next().await?);
        }
        Some(taken)
    }

    /// Begins to record what is taken.
    pub(super) fn record(&mut self) {
        self.recorded = Some(String::new());
    }

    /// Ends recording and returns what was taken meanwhile.
    pub(super) fn recorded(&mut self) -> String {
        self.recorded.take().unwrap_or_default()
    }

    /// Puts taken text back, to be read in another way.
    pub(super) fn give_back(&mut self, text: &str) {
        for character in text.chars().rev() {
            self.ahead.push_front(character);
        }
    }

    /// Gives out text of one side.
    pub(super) fn text(&mut self, side: Side, text: &str) {
        if text.is_empty() {
            return;
        }
        let pieces = &mut lock(&self.shared).pieces;
        match (pieces.last_mut(), side) {
            (Some(Piece::Reasoning(last)), Side::Reasoning)
            | (Some(Piece::Content(last)), Side::Content) => last.push_str(text),
            (_, Side::Reasoning) => pieces.push(Piece::Reasoning(text.to_owned())),
            (_, Side::Content) => pieces.push(Piece::Content(text.to_owned())),
        }
    }

    /// Gives out the head of a call.
    pub(super) fn call(&mut self, index: usize, id: Option<String>, name: String) {
        let pieces = &mut lock(&self.shared).pieces;
        pieces.push(Piece::Call { index, id, name });
    }

    /// Gives out more of the arguments of call `index`.
    pub(super) fn arguments(&mut self, index: usize, more: &str) {
        if more.is_empty() {
            return;
        }
        let pieces = &mut lock(&self.shared).pieces;
        if let Some(Piece::Arguments { index: last, text }) = pieces.last_mut()
            && *last == index
        {
            text.push_str(more);
            return;
        }
        let text = more.to_owned();
        pieces.push(Piece::Arguments { index, text });
    }
}
