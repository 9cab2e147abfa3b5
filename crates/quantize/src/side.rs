//! Files beside a directory's weights.

use std::fs;

use hearth_format::Checkpoint;
use serde_json::Value as Json;

use crate::{Error, Result};

/// Largest file that is read.
const LIMIT: u64 = 64 << 20;

/// The text of a file, if it is there.
pub(crate) fn text(checkpoint: &Checkpoint, name: &str) -> Result<Option<String>> {
    let Some(path) = checkpoint.side_file(name) else {
        return Ok(None);
    };
    let wrong = |problem: String| Error::SideFile {
        file: path.display().to_string(),
        problem,
    };
    let size = fs::metadata(&path)
        .map_err(|e| wrong(format!("cannot read: {e}")))?
        .len();
    if size > LIMIT {
        return Err(wrong(format!("{size} bytes, at most {LIMIT} are read")));
    }
    fs::read_to_string(&path)
        .map(Some)
        .map_err(|e| wrong(format!("cannot read: {e}")))
}

/// A JSON file, if it is there.
pub(crate) fn json(checkpoint: &Checkpoint, name: &str) -> Result<Option<Json>> {
    let Some(text) = text(checkpoint, name)? else {
        return Ok(None);
    };
    serde_json::from_str(&text)
        .map(Some)
        .map_err(|e| Error::SideFile {
            file: name.to_owned(),
            problem: format!("not valid JSON: {e}"),
        })
}
