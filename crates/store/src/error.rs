//! What can go wrong in a store.

use std::{io, path::Path};

use crate::{Digest, DigestError, ModelfileError, NameError};

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file operation failed.
    #[error("{path}: {}", describe(.source))]
    Io {
        /// The file.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// A text is no name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A text is no digest.
    #[error(transparent)]
    Digest(#[from] DigestError),
    /// A text is no Modelfile.
    #[error(transparent)]
    Modelfile(#[from] ModelfileError),
    /// A manifest is not valid.
    #[error("{what} is no valid manifest: {why}")]
    Manifest {
        /// Whose.
        what: String,
        /// What is wrong.
        why: String,
    },
    /// Something is larger than anything of its kind is.
    #[error("{what} is larger than {limit} bytes, more than anything of its kind should be")]
    TooLarge {
        /// What.
        what: String,
        /// The limit in bytes.
        limit: u64,
    },
    /// There is no model of a name in the store.
    #[error(
        "model '{0}' not found; 'hearth list' shows what is here, 'hearth pull {0}' fetches it"
    )]
    NotFound(String),
    /// A registry has no such model.
    #[error("pull model manifest: file does not exist: {registry} has no model '{name}'")]
    Absent {
        /// The model.
        name: String,
        /// The registry.
        registry: String,
    },
    /// A manifest names a blob that is not there.
    #[error(
        "{name}: content {digest} is missing from the store; 'hearth pull {name}' fetches it again"
    )]
    MissingBlob {
        /// The model.
        name: String,
        /// The content.
        digest: Digest,
    },
    /// Bytes are not those that were promised.
    #[error("{what}: expected {expected}, found {found}; nothing of it was kept")]
    Mismatch {
        /// What was fetched or read.
        what: String,
        /// What it should be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// The disk has not enough room.
    #[error(
        "{what} needs {needed} more bytes in {place}, where {free} are free; make room ('hearth prune') or move the store (HEARTH_MODELS)"
    )]
    NoSpace {
        /// What is to be written.
        what: String,
        /// Bytes needed.
        needed: u64,
        /// Bytes free.
        free: u64,
        /// Where.
        place: String,
    },
    /// Another process is changing the store.
    #[error(
        "another hearth process is fetching or creating a model in this store; {0} when it is done"
    )]
    Busy(&'static str),
    /// A pinned name would change.
    #[error(
        "{name} is pinned to {pinned}, and {found} is offered; 'hearth pin --remove {name}' releases it"
    )]
    Pinned {
        /// The model.
        name: String,
        /// The digest that it is pinned to.
        pinned: Digest,
        /// The digest that it would get.
        found: Digest,
    },
    /// A server could not be reached or broke off.
    #[error("{url}: {why}")]
    Network {
        /// What was asked for, without secrets.
        url: String,
        /// What happened.
        why: String,
    },
    /// A server answered with an error.
    #[error("{url}: the server answered {status}{}", message(.body))]
    Status {
        /// What was asked for, without secrets.
        url: String,
        /// The status code.
        status: u16,
        /// What the server said, shortened.
        body: String,
    },
    /// A server asked for something that is not done.
    #[error("{url}: refused: {why}")]
    Refused {
        /// What was asked for, without secrets.
        url: String,
        /// Why.
        why: String,
    },
    /// A file given by the user is not usable.
    #[error("{what}: {why}")]
    Invalid {
        /// Which.
        what: String,
        /// What is wrong, and what to do.
        why: String,
    },
    /// The caller asked to stop.
    #[error("cancelled; what was fetched is kept, and the same command goes on from there")]
    Cancelled,
    /// Weights or metadata could not be read.
    #[error(transparent)]
    Format(#[from] hearth_format::Error),
}

impl Error {
    pub(crate) fn io(path: &Path, source: io::Error) -> Self {
        Self::Io {
            path: path.display().to_string(),
            source,
        }
    }

    pub(crate) fn invalid(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self::Invalid {
            what: what.into(),
            why: why.into(),
        }
    }

    /// Whether the disk is full.
    pub fn is_full_disk(&self) -> bool {
        match self {
            Self::Io { source, .. } => matches!(
                source.kind(),
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
            ),
            Self::NoSpace { .. } => true,
            _ => false,
        }
    }
}

/// The system's words, and what to do about the usual ones.
fn describe(error: &io::Error) -> String {
    let hint = match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "; this user may not do that, look at the folder's owner and rights"
        }
        io::ErrorKind::StorageFull => {
            "; the disk is full, 'hearth prune' removes what no model uses"
        }
        _ => "",
    };
    format!("{error}{hint}")
}

fn message(body: &str) -> String {
    if body.is_empty() {
        String::new()
    } else {
        format!(": {body}")
    }
}
