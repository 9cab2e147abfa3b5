//! Contents on their way into a store: hashed while they are written, named when they are whole.

use std::io::{self, Write};

use tempfile::NamedTempFile;

use crate::{Digest, Error, Hasher, Result, Store};

/// A draft that is hashed while it is written.
pub(crate) struct Sink<'a> {
    store: &'a Store,
    draft: NamedTempFile,
    hasher: Hasher,
    size: u64,
    failed: Option<Error>,
}

impl<'a> Sink<'a> {
    pub(crate) fn new(store: &'a Store) -> Result<Self> {
        Ok(Self {
            store,
            draft: store.draft()?,
            hasher: Hasher::default(),
            size: 0,
            failed: None,
        })
    }

    /// Writes bytes after those there.
    pub(crate) fn add(&mut self, bytes: &[u8]) -> Result<()> {
        let (path, file) = (self.draft.path(), self.draft.as_file());
        self.store.disk().write(path, file, bytes)?;
        self.hasher.update(bytes);
        self.size += bytes.len() as u64;
        Ok(())
    }

    /// Bytes so far.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Where the bytes are.
    pub(crate) fn draft(&self) -> &NamedTempFile {
        &self.draft
    }

    /// Why a write through [`Write`] failed, in full.
    pub(crate) fn take_failure(&mut self) -> Option<Error> {
        self.failed.take()
    }

    /// The finished draft, its digest and its size.
    pub(crate) fn finish(self) -> (NamedTempFile, Digest, u64) {
        (self.draft, self.hasher.finish(), self.size)
    }
}

impl Write for Sink<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.add(bytes) {
            Ok(()) => Ok(bytes.len()),
            Err(error) => {
                let told = io::Error::other(error.to_string());
                self.failed.get_or_insert(error);
                Err(told)
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Store {
    /// A file without a name yet.
    pub(crate) fn draft(&self) -> Result<NamedTempFile> {
        let temporary = self.layout().temporary();
        self.disk().make_directory(&temporary)?;
        self.disk().draft(&temporary)
    }

    /// Makes a draft the content of its digest; says whether that was not there before.
    pub(crate) fn keep(&self, draft: NamedTempFile, digest: &Digest, size: u64) -> Result<bool> {
        if self.has(digest, size) {
            return Ok(false);
        }
        self.disk().sync(draft.path(), draft.as_file())?;
        self.disk().make_directory(&self.layout().blobs())?;
        self.disk()
            .publish_draft(draft, &self.layout().blob(digest))?;
        Ok(true)
    }
}
