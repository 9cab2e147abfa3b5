//! What one rendering may cost.
//!
//! A template can ask for any amount of memory in a few characters (`s ~ s` in a loop) and can
//! hide work in one instruction (`x in s`). So every value that is made, and every value that an
//! operation walks through, is charged by its weight; a rendering that has used its budget stops
//! with an error. Instructions themselves are counted by the engine's fuel.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use minijinja::value::{Object, ObjectRepr};
use minijinja::{Error, ErrorKind, State};

/// Bytes that one rendering may make and walk through, all together.
const WORK: u64 = 1 << 30;
/// The largest string, in bytes, and the largest weight of a list or mapping.
pub(crate) const MAX_VALUE: u64 = 1 << 26;
/// Instructions that one rendering may execute.
pub(crate) const FUEL: u64 = 10_000_000;
/// How deeply lists and mappings may be nested.
pub(crate) const MAX_DEPTH: u32 = 100;
/// Emitted text is charged this many times over, which bounds the output to a quarter of `WORK`.
pub(crate) const EMIT_FACTOR: u64 = 4;
/// A backstop: work is counted, but machines differ.
const MAX_TIME: Duration = Duration::from_secs(20);

/// Marks an error as a limit or as the template's own refusal; see `explain`.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Stop {
    #[error("{0}")]
    Limit(String),
    #[error("{0}")]
    Raised(String),
}

impl Stop {
    pub(crate) fn limit(text: impl Into<String>) -> Error {
        let text = text.into();
        Error::new(ErrorKind::InvalidOperation, text.clone()).with_source(Stop::Limit(text))
    }

    pub(crate) fn raised(text: impl Into<String>) -> Error {
        let text = text.into();
        Error::new(ErrorKind::InvalidOperation, text.clone()).with_source(Stop::Raised(text))
    }
}

/// The work done so far by one rendering.
#[derive(Debug)]
pub(crate) struct Budget {
    used: AtomicU64,
    start: Instant,
}

impl Object for Budget {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }
}

/// Charges `weight` bytes of work to the rendering that `state` belongs to.
pub(crate) fn charge(state: &State, weight: u64) -> Result<(), Error> {
    let budget = state.get_or_set_temp_object("budget", || Budget {
        used: AtomicU64::new(0),
        start: Instant::now(),
    });
    let used = budget.used.load(Ordering::Relaxed).saturating_add(weight);
    budget.used.store(used, Ordering::Relaxed);
    if used > WORK {
        return Err(Stop::limit(format!(
            "it works through more than {} MiB of text",
            WORK >> 20
        )));
    }
    if budget.start.elapsed() > MAX_TIME {
        return Err(Stop::limit(format!(
            "it runs longer than {} s",
            MAX_TIME.as_secs()
        )));
    }
    Ok(())
}

/// Charges a value of `len` bytes that is about to be made, and refuses one that is too large.
pub(crate) fn charge_new(state: &State, len: u64) -> Result<(), Error> {
    check_size(len)?;
    charge(state, len)
}

/// Refuses a value of `len` bytes if that is too large; for one that grows piece by piece.
pub(crate) fn check_size(len: u64) -> Result<(), Error> {
    if len > MAX_VALUE {
        return Err(Stop::limit(format!(
            "it makes a value of more than {} MiB",
            MAX_VALUE >> 20
        )));
    }
    Ok(())
}
