//! How the operations cut their work for the team; the loops themselves are in `kernels`.
//!
//! Cuts never change a number: they run along rows, heads, or context segments of a fixed length.

pub(crate) mod attend;
pub(crate) mod cache;
pub(crate) mod experts;
pub(crate) mod page;
pub(crate) mod recurrent;
pub(crate) mod rope;
pub(crate) mod rows;

#[cfg(test)]
mod tests;

use std::sync::{Mutex, PoisonError};

/// Scratch memory that outlives the operations, one piece per thread that uses it at the time.
#[derive(Debug)]
pub(crate) struct Pool<T>(Mutex<Vec<T>>);

impl<T> Default for Pool<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Default> Pool<T> {
    /// Lends a piece to `f`; what is in it is whatever the last user left.
    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        let free = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut piece = free.unwrap_or_default();
        let result = f(&mut piece);
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(piece);
        result
    }
}
