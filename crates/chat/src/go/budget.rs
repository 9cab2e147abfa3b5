//! What one rendering may cost.
//!
//! A template can ask for any amount of work in a few characters (`printf "%s%s" $s $s` in a
//! loop), so every step and every byte that is made or walked through is paid for, and the bytes
//! are paid before they exist.

use std::cell::Cell;

use crate::error::{Error, Result};

/// Units that one rendering may spend: bytes made or walked through, and [`STEP`] for each node.
const WORK: u64 = 1 << 30;
/// The units of one step, about what it costs beside a byte.
pub(super) const STEP: u64 = 64;
/// The largest text, in bytes: a value's or the prompt's.
const MAX_TEXT: usize = 1 << 26;
/// How deeply blocks, parentheses and calls of templates may be nested, all together. A stack of
/// 1 MiB suffices for it, without optimisation too.
pub(super) const MAX_DEPTH: usize = 100;
/// How deeply the data of a request may be nested (what the JSON reader takes, and a little more).
pub(super) const MAX_DATA_DEPTH: usize = 160;

/// The work that one rendering may still do.
#[derive(Debug)]
pub(super) struct Budget {
    left: Cell<u64>,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            left: Cell::new(WORK),
        }
    }
}

impl Budget {
    /// Pays for `units` of work.
    pub(super) fn spend(&self, units: u64) -> Result<()> {
        match self.left.get().checked_sub(units) {
            Some(left) => {
                self.left.set(left);
                Ok(())
            }
            None => Err(limit(format!(
                "it works through more than {} MiB of text and steps",
                WORK >> 20
            ))),
        }
    }

    /// Pays for walking through `length` bytes or elements.
    pub(super) fn spend_length(&self, length: usize) -> Result<()> {
        self.spend(length as u64)
    }
}

/// A text that grows and is paid for.
#[derive(Debug)]
pub(super) struct Sink<'b> {
    bytes: Vec<u8>,
    budget: &'b Budget,
}

impl<'b> Sink<'b> {
    pub(super) fn new(budget: &'b Budget) -> Self {
        Self {
            bytes: Vec::new(),
            budget,
        }
    }

    pub(super) fn push(&mut self, text: impl AsRef<[u8]>) -> Result<()> {
        let text = text.as_ref();
        self.reserve(text.len())?;
        self.bytes.extend_from_slice(text);
        Ok(())
    }

    /// Appends `byte` `count` times.
    pub(super) fn fill(&mut self, byte: u8, count: usize) -> Result<()> {
        self.reserve(count)?;
        self.bytes.resize(self.bytes.len() + count, byte);
        Ok(())
    }

    pub(super) fn budget(&self) -> &'b Budget {
        self.budget
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    fn reserve(&self, length: usize) -> Result<()> {
        if length > MAX_TEXT.saturating_sub(self.bytes.len()) {
            return Err(limit(format!(
                "it makes a text of more than {} MiB",
                MAX_TEXT >> 20
            )));
        }
        self.budget.spend_length(length)
    }
}

pub(super) fn limit(message: impl Into<String>) -> Error {
    Error::Limit {
        message: message.into(),
    }
}
