//! Bounded reading: every length is compared with what is left before it is used.

use crate::{Error, Result};

/// Reads forward and never past the end.
pub(super) struct Cursor<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
    pub(super) label: &'a str,
}

impl<'a> Cursor<'a> {
    pub(super) fn wrong<T>(&self, problem: impl Into<String>) -> Result<T> {
        Err(Error::invalid(self.label, problem))
    }

    pub(super) fn left(&self) -> u64 {
        (self.bytes.len() - self.at) as u64
    }

    pub(super) fn take(&mut self, n: u64) -> Result<&'a [u8]> {
        if n > self.left() {
            return self.wrong(format!(
                "truncated: needs {n} bytes at offset {}, the file has {}",
                self.at,
                self.bytes.len()
            ));
        }
        let start = self.at;
        self.at += n as usize;
        Ok(&self.bytes[start..self.at])
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N as u64)?);
        Ok(out)
    }

    pub(super) fn u32(&mut self) -> Result<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub(super) fn string(&mut self, what: &str, limit: u64) -> Result<&'a [u8]> {
        let at = self.at;
        let len = self.u64()?;
        if len > limit || len > self.left() {
            return self.wrong(format!(
                "{what} at offset {at} claims {len} bytes, {} are left (limit {limit})",
                self.left()
            ));
        }
        self.take(len)
    }

    /// A key or a tensor name: not empty, UTF-8, no NUL.
    pub(super) fn identifier(&mut self, what: &str, limit: u64) -> Result<String> {
        let at = self.at;
        let bytes = self.string(what, limit)?;
        match std::str::from_utf8(bytes) {
            Ok("") => self.wrong(format!("{what} at offset {at} is empty")),
            Ok(text) if text.contains('\0') => {
                self.wrong(format!("{what} {text:?} holds a NUL byte"))
            }
            Ok(text) => Ok(text.to_owned()),
            Err(_) => self.wrong(format!(
                "{what} {:?} is not UTF-8",
                String::from_utf8_lossy(bytes)
            )),
        }
    }
}
