//! Locks between processes. The system drops them when a process ends, however it ends.
//!
//! - The *store lock* is shared by those who add contents and names (pull, create, import) and exclusive to those who
//!   remove contents: what a manifest is about to name cannot vanish before it is named.
//! - A *blob lock* is exclusive to who downloads the blob.

use std::{fs::File, fs::TryLockError, path::Path};

use crate::{Disk, Error, Result};

/// A lock that is held until it is dropped.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// How a lock is held.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hold {
    Shared,
    Exclusive,
}

impl Lock {
    /// Takes a lock, or nothing if another process holds it the other way.
    pub(crate) fn attempt(disk: &Disk, path: &Path, hold: Hold) -> Result<Option<Self>> {
        if let Some(directory) = path.parent() {
            disk.make_directory(directory)?;
        }
        let file = disk.open_to_write(path)?;
        let taken = match hold {
            Hold::Shared => file.try_lock_shared(),
            Hold::Exclusive => file.try_lock(),
        };
        match taken {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(Error::io(path, error)),
        }
    }

    /// Waits for a shared lock. Exclusive ones are held for moments only.
    pub(crate) fn shared(disk: &Disk, path: &Path) -> Result<Self> {
        loop {
            if let Some(lock) = Self::attempt(disk, path, Hold::Shared)? {
                return Ok(lock);
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}
