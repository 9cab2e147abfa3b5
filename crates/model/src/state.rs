//! What a sequence carries from token to token.

use std::io::{self, Read, Write};

use hearth_compute::Backend;
use hearth_format::Bytes;

/// The state of one sequence: a value that can be cloned (a fork that shares pages) and rolled back.
pub struct State<B: Backend> {
    /// One cache per attention, in the order of the layers.
    pub(crate) caches: Vec<B::Cache>,
    /// The states of the other mixers, in the order of the layers.
    pub(crate) recurrents: Vec<B::Recurrent>,
    pub(crate) position: usize,
}

impl<B: Backend> Clone for State<B> {
    fn clone(&self) -> Self {
        Self {
            caches: self.caches.clone(),
            recurrents: self.recurrents.clone(),
            position: self.position,
        }
    }
}

impl<B: Backend> State<B> {
    /// Tokens that the sequence holds, which is the position of the next one.
    pub fn len(&self) -> usize {
        self.position
    }

    /// Whether there are recurrent states.
    pub fn is_recurrent(&self) -> bool {
        !self.recurrents.is_empty()
    }

    /// Whether nothing was fed yet.
    pub fn is_empty(&self) -> bool {
        self.position == 0
    }

    /// Forgets all tokens from `len` on; a longer `len` changes nothing. A recurrent state cannot go back, so all tokens
    /// are forgotten where there is one. Returns how many tokens are left.
    pub fn truncate(&mut self, backend: &B, len: usize) -> usize {
        if len < self.position {
            let len = if self.recurrents.is_empty() { len } else { 0 };
            self.caches
                .iter_mut()
                .for_each(|cache| backend.truncate(cache, len));
            for recurrent in &mut self.recurrents {
                *recurrent = backend.zeroed(recurrent);
            }
            self.position = len;
        }
        self.position
    }

    /// Makes what a step wrote of `tokens` more tokens part of the sequence.
    pub(crate) fn advance(&mut self, backend: &B, tokens: usize) {
        self.recurrents
            .iter_mut()
            .for_each(|recurrent| backend.commit(recurrent));
        self.position += tokens;
    }

    /// Forgets what a step that did not end wrote.
    pub fn restore(&mut self, backend: &B) {
        for cache in &mut self.caches {
            backend.truncate(cache, self.position);
        }
        self.recurrents
            .iter_mut()
            .for_each(|recurrent| backend.restore(recurrent));
    }
}

/// What a state carries of one page of positions, in all layers. Cloning shares it.
pub struct Page<B: Backend> {
    caches: Vec<B::Page>,
    /// The recurrent states after the page's last position, where they are known; of models without any, always.
    recurrents: Option<Vec<B::Recurrent>>,
}

impl<B: Backend> Clone for Page<B> {
    fn clone(&self) -> Self {
        Self {
            caches: self.caches.clone(),
            recurrents: self.recurrents.clone(),
        }
    }
}

impl<B: Backend> Page<B> {
    /// Whether a sequence can go on from the page's end: its recurrent states are known there.
    pub fn resumes(&self) -> bool {
        self.recurrents.is_some()
    }

    /// Whether a sequence can go on from any of its positions: there are no recurrent states.
    pub fn resumes_within(&self) -> bool {
        self.recurrents.as_ref().is_some_and(Vec::is_empty)
    }

    /// Forgets the recurrent states, if it has any.
    pub fn strip(&mut self) {
        if self.has_states() {
            self.recurrents = None;
        }
    }

    /// Whether it has recurrent states.
    pub fn has_states(&self) -> bool {
        self.recurrents.as_ref().is_some_and(|all| !all.is_empty())
    }
}

impl<B: Backend> State<B> {
    /// The page of a number, shared with this state; none past its end. The last one may be partly filled. Recurrent
    /// states are those of now: the page that ends here has them.
    pub fn page(&self, backend: &B, index: usize) -> Option<Page<B>> {
        if index * backend.page_len() >= self.position {
            return None;
        }
        let caches = self
            .caches
            .iter()
            .map(|cache| backend.page(cache, index))
            .collect::<Option<_>>()?;
        let ends = (index + 1) * backend.page_len() == self.position;
        let recurrents = (ends || self.recurrents.is_empty()).then(|| self.recurrents.clone());
        Some(Page { caches, recurrents })
    }

    /// Appends the first `positions` of a page that was taken from a state of the same model and precision, at the
    /// same place after the same tokens. Recurrent states become the page's, or stay what they are where it has none: it
    /// is the caller's duty that the last page has them.
    ///
    /// # Panics
    /// When this state is not whole pages long.
    pub fn append(&mut self, backend: &B, page: &Page<B>, positions: usize) {
        for (cache, page) in self.caches.iter_mut().zip(&page.caches) {
            backend.append_page(cache, page, positions);
        }
        if let Some(recurrents) = &page.recurrents {
            self.recurrents.clone_from(recurrents);
        }
        self.position += positions;
    }

    /// Reads a page that [`Page::write`] wrote of a state of the same model and precision; `resumes` says whether it has
    /// recurrent states.
    ///
    /// # Errors
    /// Those of the reader, of which the end of the data is one.
    pub fn read_page(
        &self,
        backend: &B,
        resumes: bool,
        from: &mut dyn Read,
    ) -> io::Result<Page<B>> {
        let caches = self
            .caches
            .iter()
            .map(|cache| backend.read_page(cache, from))
            .collect::<io::Result<_>>()?;
        let recurrents = resumes.then(|| self.read_recurrents(backend, from));
        Ok(Page {
            caches,
            recurrents: recurrents.transpose()?,
        })
    }

    fn read_recurrents(&self, backend: &B, from: &mut dyn Read) -> io::Result<Vec<B::Recurrent>> {
        let states = self.recurrents.iter();
        states
            .map(|state| backend.read_recurrent(state, from))
            .collect()
    }

    /// A page that [`Page::write`] wrote of a state of the same model and precision, used where it lies if that is
    /// possible; `resumes` as in [`Self::read_page`]. None where there are too few bytes, or they are not aligned.
    pub fn lend_page(&self, backend: &B, resumes: bool, mut from: Bytes) -> Option<Page<B>> {
        let caches = self
            .caches
            .iter()
            .map(|cache| backend.lend_page(cache, &mut from))
            .collect::<Option<_>>()?;
        let recurrents = resumes.then(|| self.read_recurrents(backend, &mut &from[..]));
        Some(Page {
            caches,
            recurrents: recurrents.transpose().ok()?,
        })
    }
}

impl<B: Backend> Page<B> {
    /// Writes the caches of all layers, one after the other, then the recurrent states, if it has them.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn write(&self, backend: &B, to: &mut dyn Write) -> io::Result<()> {
        let mut caches = self.caches.iter();
        caches.try_for_each(|page| backend.write_page(page, to))?;
        let mut recurrents = self.recurrents.iter().flatten();
        recurrents.try_for_each(|state| backend.write_recurrent(state, to))
    }
}
