//! What a connection is doing, told by its service to its socket, which keeps the time.

use std::sync::atomic::{AtomicU64, Ordering};

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doing {
    /// A first byte.
    Idle,
    /// The rest of the headers.
    Head,
    /// The answer; the socket is only watched.
    Busy,
}

/// The current phase and how many there were: two bits and a count.
#[derive(Debug, Default)]
pub(super) struct Phase(AtomicU64);

impl Phase {
    /// Begins another phase.
    pub(super) fn begin(&self, doing: Doing) {
        // One task at a time writes: the connection's own, or the one that drops its answer.
        let count = self.0.load(Ordering::Acquire) >> 2;
        self.0
            .store((count + 1) << 2 | doing as u64, Ordering::Release);
    }

    /// What is done now, and a number that is another one in every phase.
    pub(super) fn now(&self) -> (Doing, u64) {
        let value = self.0.load(Ordering::Acquire);
        let doing = match value & 3 {
            0 => Doing::Idle,
            1 => Doing::Head,
            _ => Doing::Busy,
        };
        (doing, value >> 2)
    }
}
