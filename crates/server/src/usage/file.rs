//! The file of the usage: a JSON object per line, each adding to those before it.

use std::fs;
use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::{Entry, UsageError};

/// Bytes of a line; a longer one is none of ours.
const LONGEST_LINE: u64 = 4096;

/// The open file.
#[derive(Debug)]
pub(super) struct File {
    path: PathBuf,
    lines: usize,
}

impl File {
    /// Opens or makes the file and reads what is whole in it.
    pub(super) fn open(path: &Path) -> Result<(Self, Vec<Entry>), UsageError> {
        let mut file = Self {
            path: path.to_owned(),
            lines: 0,
        };
        let entries = match fs::File::open(path) {
            Ok(opened) => read(opened).map_err(|error| file.failed(error))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(file.failed(error)),
        };
        file.lines = entries.len();
        Ok((file, entries))
    }

    /// Lines in the file.
    pub(super) fn lines(&self) -> usize {
        self.lines
    }

    /// Adds lines. If that fails halfway, the file gets its old length back, so that nothing counts twice.
    pub(super) fn append(&mut self, entries: &[Entry]) -> Result<(), UsageError> {
        let text = lines(entries).map_err(|error| self.failed(error))?;
        let write = || {
            let mut file = fs::OpenOptions::new()
                .create(true)
                .append(true)
                .open(&self.path)?;
            let length = file.seek(SeekFrom::End(0))?;
            file.write_all(&text)
                .and_then(|()| file.sync_data())
                .inspect_err(|_| {
                    // The first error is the one to tell.
                    let _ = file.set_len(length);
                })
        };
        write().map_err(|error| self.failed(error))?;
        self.lines += entries.len();
        Ok(())
    }

    /// Replaces all lines at once: readers see the old ones or the new ones.
    pub(super) fn replace(&mut self, entries: &[Entry]) -> Result<(), UsageError> {
        let text = lines(entries).map_err(|error| self.failed(error))?;
        let temporary = self.path.with_extension("jsonl.new");
        let write = || {
            let mut file = fs::File::create(&temporary)?;
            file.write_all(&text)?;
            file.sync_all()?;
            fs::rename(&temporary, &self.path)
        };
        write().map_err(|error| self.failed(error))?;
        self.lines = entries.len();
        Ok(())
    }

    fn failed(&self, error: io::Error) -> UsageError {
        UsageError {
            path: self.path.clone(),
            error,
        }
    }
}

fn lines(entries: &[Entry]) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    for entry in entries {
        serde_json::to_writer(&mut text, entry)?;
        text.push(b'\n');
    }
    Ok(text)
}

fn read(file: fs::File) -> io::Result<Vec<Entry>> {
    let mut reader = BufReader::new(file);
    let (mut entries, mut dropped) = (Vec::new(), 0usize);
    loop {
        let mut line = Vec::new();
        if io::Read::take(&mut reader, LONGEST_LINE).read_until(b'\n', &mut line)? == 0 {
            break;
        }
        // A line without its end was torn, even if it can be read.
        match line.strip_suffix(b"\n").map(serde_json::from_slice) {
            Some(Ok(entry)) => entries.push(entry),
            _ => dropped += 1,
        }
    }
    if dropped > 0 {
        tracing::warn!(
            dropped,
            "lines of the usage were torn or unknown and are dropped"
        );
    }
    Ok(entries)
}
