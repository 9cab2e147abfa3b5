//! Contents on their way into a store: hashed while they are written, named when they are whole.

use std::io::{self, Write};

use tempfile::NamedTempFile;

use crate::{Digest, Error, Hasher, Result, Store, disk::free_space};

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

    /// Keeps a content that comes in pieces, and says whether it was not there before. `announced` is how many bytes
    /// will come, where that is known; `next` gives the next piece, and nothing at the end.
    ///
    /// # Errors
    /// When the disk has no room, the bytes have another digest, or `next` fails: nothing of it stays.
    pub fn receive<B: AsRef<[u8]>>(
        &self,
        digest: &Digest,
        announced: Option<u64>,
        mut next: impl FnMut() -> Result<Option<B>>,
    ) -> Result<bool> {
        let _lock = self.adding()?;
        let mut sink = Sink::new(self)?;
        let root = self.layout().root();
        if let (Some(needed), Some(free)) = (announced, free_space(root))
            && free < needed
        {
            return Err(Error::NoSpace {
                what: digest.to_string(),
                needed,
                free,
                place: root.display().to_string(),
            });
        }
        while let Some(piece) = next()? {
            sink.add(piece.as_ref())?;
        }
        let (draft, found, size) = sink.finish();
        if found != *digest {
            return Err(Error::Mismatch {
                what: "the content that was sent".to_owned(),
                expected: digest.to_string(),
                found: found.to_string(),
            });
        }
        self.keep(draft, digest, size)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn receive(
        store: &Store,
        digest: &Digest,
        announced: Option<u64>,
        pieces: &[&str],
    ) -> Result<bool> {
        let mut pieces = pieces.iter();
        store.receive(digest, announced, || match pieces.next() {
            Some(&"broken") => Err(Error::Cancelled),
            piece => Ok(piece),
        })
    }

    #[test]
    fn a_content_that_is_sent_is_kept_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path());
        let digest = Digest::of(b"abc");
        for (announced, pieces) in [
            (None, &["ab"][..]),
            (None, &["abc", "d"]),
            (None, &["ab", "broken", "c"]),
            (Some(u64::MAX), &["abc"]),
        ] {
            assert!(
                receive(&store, &digest, announced, pieces).is_err(),
                "{pieces:?}"
            );
            assert!(store.blob(&digest).is_none());
            let drafts = store.disk().entries(&store.layout().temporary()).unwrap();
            assert!(drafts.is_empty(), "{drafts:?}");
        }
        assert!(receive(&store, &digest, Some(3), &["a", "", "bc"]).unwrap());
        assert!(!receive(&store, &digest, None, &["abc"]).unwrap());
        assert_eq!(std::fs::read(store.blob(&digest).unwrap()).unwrap(), b"abc");
        assert!(receive(&store, &Digest::of(b""), Some(0), &[]).unwrap());
    }
}
