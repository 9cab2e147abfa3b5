//! Files that are whole or not there.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::core::Failure;

/// The refusal for a disk that fails. It has no path: those are nobody's business.
pub(super) fn failed(error: io::Error) -> Failure {
    Failure::Internal(format!("the disk failed: {error}"))
}

/// Writes JSON under a name that only ever has a whole file.
pub(super) fn write_json(path: &Path, value: &impl Serialize) -> io::Result<()> {
    let draft = path.with_extension("new");
    let mut file = File::create(&draft)?;
    file.write_all(serde_json::to_string(value)?.as_bytes())?;
    file.sync_data()?;
    fs::rename(draft, path)
}

/// Reads JSON of at most so many bytes.
pub(super) fn read_json<T: DeserializeOwned>(path: &Path, most: u64) -> io::Result<T> {
    let file = File::open(path)?;
    let bytes = file.metadata()?.len();
    if bytes > most {
        return Err(io::Error::other(format!(
            "{bytes} bytes where at most {most} are expected"
        )));
    }
    Ok(serde_json::from_reader(io::BufReader::new(file))?)
}

/// Removes a file that may not be there.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Whether a text is a prefix and letters or digits after it. Such a text names files: nothing else may come through.
pub(super) fn is_id(id: &str, prefix: &str) -> bool {
    id.len() <= 128
        && id
            .strip_prefix(prefix)
            .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_alphanumeric()))
}
