//! Mapping files into memory.

use std::{fs::File, path::Path};

use memmap2::Mmap;

use crate::{Bytes, Error, Result};

/// Maps a regular file, or reads it where it is empty (an empty file cannot be mapped).
///
/// # Errors
/// When the file cannot be opened, is not a regular file, or cannot be mapped.
pub fn map_file(path: &Path) -> Result<Bytes> {
    let open = || {
        let file = File::open(path)?;
        let meta = file.metadata()?;
        if !meta.is_file() {
            return Err(std::io::Error::other("not a regular file"));
        }
        if meta.len() == 0 {
            return Ok(Bytes::new(Vec::new()));
        }
        // SAFETY: the mapping is read-only and private to this process. Another process that shortens the file
        // while it is mapped makes reads of it fail with a signal; models are written once and then renamed
        // into place, and no language can promise more for a mapped file.
        Ok(Bytes::new(unsafe { Mmap::map(&file)? }))
    };
    open().map_err(|e| Error::io(path, e))
}
