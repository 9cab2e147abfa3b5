//! What a sequence carries from token to token.

use std::io::{self, Read, Write};

use hearth_compute::Backend;
use hearth_format::Bytes;

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

    /// Forgets what a step that did not end wrote.
    pub fn restore(&mut self, backend: &B) {
        for cache in &mut self.caches {
            backend.truncate(cache, self.position);
        }
    }
}

/// What a state carries of one page of positions, in all layers. Cloning shares it.
pub struct Page<B: Backend> {
    caches: Vec<B::Page>,
}

impl<B: Backend> Clone for Page<B> {
    fn clone(&self) -> Self {
        Self {
            caches: self.caches.clone(),
        }
    }
}

impl<B: Backend> State<B> {
    /// The page of a number, shared with this state; none past its end. The last one may be partly filled.
    pub fn page(&self, backend: &B, index: usize) -> Option<Page<B>> {
        if index * backend.page_len() >= self.position {
            return None;
        }
        let caches = self
            .caches
            .iter()
            .map(|cache| backend.page(cache, index))
            .collect::<Option<_>>()?;
        Some(Page { caches })
    }

    /// Appends the first `positions` of a page that was taken from a state of the same model and precision, at the
    /// same place after the same tokens.
    ///
    /// # Panics
    /// When this state is not whole pages long.
    pub fn append(&mut self, backend: &B, page: &Page<B>, positions: usize) {
        for (cache, page) in self.caches.iter_mut().zip(&page.caches) {
            backend.append_page(cache, page, positions);
        }
        self.position += positions;
    }

    /// Reads a page that [`Page::write`] wrote of a state of the same model and precision.
    ///
    /// # Errors
    /// Those of the reader, of which the end of the data is one.
    pub fn read_page(&self, backend: &B, from: &mut dyn Read) -> io::Result<Page<B>> {
        let caches = self
            .caches
            .iter()
            .map(|cache| backend.read_page(cache, from))
            .collect::<io::Result<_>>()?;
        Ok(Page { caches })
    }

    /// A page that [`Page::write`] wrote of a state of the same model and precision, used where it lies if that is
    /// possible. None where there are too few bytes, or they are not aligned.
    pub fn lend_page(&self, backend: &B, mut from: Bytes) -> Option<Page<B>> {
        let caches = self
            .caches
            .iter()
            .map(|cache| backend.lend_page(cache, &mut from))
            .collect::<Option<_>>()?;
        Some(Page { caches })
    }
}

impl<B: Backend> Page<B> {
    /// Writes all layers, one after the other.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn write(&self, backend: &B, to: &mut dyn Write) -> io::Result<()> {
        self.caches
            .iter()
            .try_for_each(|page| backend.write_page(page, to))
    }
}
