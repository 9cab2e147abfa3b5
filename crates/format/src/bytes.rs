//! Bytes that someone keeps alive: a part of a mapped file, or memory of our own.

use std::{ops::Deref, sync::Arc};

/// What can stand behind [`Bytes`]: a mapped file, a vector, a static array.
pub trait Backing: AsRef<[u8]> + Send + Sync + 'static {}
impl<T: AsRef<[u8]> + Send + Sync + 'static> Backing for T {}

/// A cheap-to-clone range of shared bytes.
#[derive(Clone)]
pub struct Bytes {
    backing: Arc<dyn Backing>,
    start: usize,
    len: usize,
}

impl Bytes {
    /// All of `backing`.
    pub fn new(backing: impl Backing) -> Self {
        let len = backing.as_ref().len();
        Self {
            backing: Arc::new(backing),
            start: 0,
            len,
        }
    }

    /// The part `start..start + len`, or `None` where it is not inside.
    pub fn slice(&self, start: usize, len: usize) -> Option<Self> {
        let end = start.checked_add(len)?;
        (end <= self.len).then(|| Self {
            backing: Arc::clone(&self.backing),
            start: self.start + start,
            len,
        })
    }
}

impl Deref for Bytes {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &(*self.backing).as_ref()[self.start..self.start + self.len]
    }
}

impl std::fmt::Debug for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Bytes({})", self.len)
    }
}
