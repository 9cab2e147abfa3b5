//! The first 24 bytes, and what people hand over instead of a GGUF file.

use super::cursor::Cursor;
use crate::Result;

/// A name, dimensions, type and offset of nothing take this much.
const SMALLEST_TENSOR_INFO: u64 = 24;
/// A key length, a type and a value of one byte.
const SMALLEST_PAIR: u64 = 13;

/// Counts of tensors and of key/value pairs, each possible in a file of this size.
pub(super) fn header(c: &mut Cursor<'_>) -> Result<(u64, u64)> {
    let size = c.bytes.len() as u64;
    if let Some(what) = known_other(c.bytes) {
        return c.wrong(format!("not a GGUF file: {what}"));
    }
    if size < 24 {
        return c.wrong(format!("not a GGUF file: only {size} bytes"));
    }
    let magic: [u8; 4] = c.array()?;
    if &magic != b"GGUF" {
        return c.wrong(format!("not a GGUF file: starts with {magic:02x?}"));
    }
    match c.u32()? {
        v if v != 0 && v & 0xFFFF == 0 => {
            return c.wrong("the file is of the other byte order (big-endian)");
        }
        1 => return c.wrong("GGUF version 1 is not supported; convert the model again"),
        2 | 3 => {}
        v => {
            return c.wrong(format!(
                "GGUF version {v} is not supported, only 2 and 3; this program may be too old"
            ));
        }
    }
    let (tensors, pairs) = (c.u64()?, c.u64()?);
    if tensors > (size - 24) / SMALLEST_TENSOR_INFO {
        return c.wrong(format!(
            "tensor count {tensors} is impossible in a file of {size} bytes"
        ));
    }
    if pairs > (size - 24) / SMALLEST_PAIR {
        return c.wrong(format!(
            "key count {pairs} is impossible in a file of {size} bytes"
        ));
    }
    Ok((tensors, pairs))
}

/// What people hand over by mistake.
fn known_other(bytes: &[u8]) -> Option<&'static str> {
    let table: [(&[u8], &str); 7] = [
        (b"FUGG", "an old GGML file; convert the model again"),
        (b"tjgg", "an old GGML file; convert the model again"),
        (b"lmgg", "an old GGML file; convert the model again"),
        (b"ggjt", "an old GGML file; convert the model again"),
        (
            b"version https://git-lfs",
            "a Git LFS pointer, not the model; fetch it with 'git lfs pull'",
        ),
        (b"{", "it looks like JSON"),
        (
            b"<",
            "it looks like HTML or XML, perhaps an error page that was saved",
        ),
    ];
    table
        .iter()
        .find(|(start, _)| bytes.starts_with(start))
        .map(|(_, what)| *what)
}
