//! What a sequence carries from token to token.

use hearth_compute::Backend;

/// The state of one sequence: a value that can be cloned (a fork that shares pages) and rolled back.
pub struct State<B: Backend> {
    /// One cache per attention, in the order of the layers.
    pub(crate) caches: Vec<B::Cache>,
    pub(crate) position: usize,
}

impl<B: Backend> Clone for State<B> {
    fn clone(&self) -> Self {
        Self {
            caches: self.caches.clone(),
            position: self.position,
        }
    }
}

impl<B: Backend> State<B> {
    /// Tokens that the sequence holds, which is the position of the next one.
    pub fn len(&self) -> usize {
        self.position
    }

    /// Whether nothing was fed yet.
    pub fn is_empty(&self) -> bool {
        self.position == 0
    }

    /// Forgets all tokens from `len` on; a longer `len` changes nothing.
    pub fn truncate(&mut self, backend: &B, len: usize) {
        if len < self.position {
            self.caches
                .iter_mut()
                .for_each(|cache| backend.truncate(cache, len));
            self.position = len;
        }
    }
}
