//! What long operations say while they run.

use crate::Digest;

/// One word on what is going on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A phase begins, such as `pulling manifest`.
    Status(String),
    /// So much of a content is there. The first word on a content comes with what an earlier attempt left.
    Content {
        /// Whether it is fetched, sent or read.
        verb: Verb,
        /// The content.
        digest: Digest,
        /// Its bytes.
        total: u64,
        /// Bytes done.
        completed: u64,
    },
    /// So much of a file outside the store is read; its digest is not known yet.
    File {
        /// Its path.
        path: String,
        /// Its bytes.
        total: u64,
        /// Bytes read.
        completed: u64,
    },
    /// Another process fetches this content; we wait for it.
    Waiting {
        /// The content.
        digest: Digest,
    },
    /// Something went wrong and is tried again.
    Retry {
        /// What happened, and when it is tried again.
        why: String,
    },
}

/// What is done with a content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// It comes from a server.
    Pull,
    /// It goes to a server.
    Push,
    /// Its digest is compared.
    Verify,
    /// It comes from another file.
    Copy,
}

/// Who listens.
pub type Watch<'a> = &'a (dyn Fn(Event) + Sync);
