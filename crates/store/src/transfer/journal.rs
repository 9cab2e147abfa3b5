//! Which pieces of a download have landed: a text file, one line per piece, `START END SHA256`. A line is written
//! after its bytes are on the disk, so what the journal has is there; a line that a crash cut is no line.

use std::{collections::BTreeMap, fs::File, path::PathBuf};

use crate::{Digest, Disk, Result};

/// No journal is longer: a piece of 16 MiB takes a hundred bytes.
const LARGEST: u64 = 64 << 20;

/// A piece of a content: its first byte and the one after its last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Piece {
    pub start: u64,
    pub end: u64,
}

impl Piece {
    pub(crate) fn len(self) -> u64 {
        self.end - self.start
    }
}

/// The journal of one download.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    landed: BTreeMap<Piece, Digest>,
    file: File,
}

impl Journal {
    /// Reads what an earlier attempt left. Lines that are not whole are cut off, so that the next one stands alone.
    pub(crate) fn open(disk: &Disk, path: PathBuf, size: u64) -> Result<Self> {
        let bytes = disk.read(&path, LARGEST)?.unwrap_or_default();
        let whole = bytes
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |at| at + 1);
        let text = String::from_utf8_lossy(&bytes[..whole]);
        let landed: BTreeMap<_, _> = text
            .lines()
            .filter_map(line)
            .filter(|(piece, _)| piece.end <= size)
            .collect();
        let file = disk.open_to_append(&path)?;
        if whole < bytes.len() {
            disk.run(&path, || file.set_len(whole as u64))?;
        }
        Ok(Self { path, landed, file })
    }

    /// The digest of a piece, if it landed.
    pub(crate) fn get(&self, piece: Piece) -> Option<Digest> {
        self.landed.get(&piece).copied()
    }

    /// All pieces that landed.
    pub(crate) fn landed(&self) -> impl Iterator<Item = (Piece, Digest)> {
        self.landed.iter().map(|(piece, digest)| (*piece, *digest))
    }

    /// Notes a piece whose bytes are on the disk.
    pub(crate) fn note(&mut self, disk: &Disk, piece: Piece, digest: Digest) -> Result<()> {
        let line = format!("{} {} {}\n", piece.start, piece.end, digest.hex());
        disk.write(&self.path, &self.file, line.as_bytes())?;
        self.landed.insert(piece, digest);
        Ok(())
    }

    /// Forgets pieces.
    pub(crate) fn forget(&mut self, disk: &Disk, pieces: &[Piece]) -> Result<()> {
        self.landed.retain(|piece, _| !pieces.contains(piece));
        let lines = self
            .landed
            .iter()
            .map(|(piece, digest)| format!("{} {} {}\n", piece.start, piece.end, digest.hex()));
        let text: String = lines.collect();
        let directory = crate::disk::parent(&self.path);
        disk.write_whole(directory, &self.path, text.as_bytes())?;
        self.file = disk.open_to_append(&self.path)?;
        Ok(())
    }
}

fn line(text: &str) -> Option<(Piece, Digest)> {
    let mut words = text.split(' ');
    let (start, end) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let digest = Digest::from_hex(words.next()?)?;
    (start < end && words.next().is_none()).then_some((Piece { start, end }, digest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_crash_cut_is_no_line() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("j.chunks");
        let disk = Disk::default();
        let (a, b) = (Piece { start: 0, end: 4 }, Piece { start: 4, end: 8 });
        let mut journal = Journal::open(&disk, path.clone(), 8).unwrap();
        journal.note(&disk, a, Digest::of(b"a")).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for cut in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes.extend_from_slice(&whole[..cut]);
            std::fs::write(&path, &bytes).unwrap();
            let mut journal = Journal::open(&disk, path.clone(), 8).unwrap();
            assert_eq!(journal.landed().count(), 1);
            journal.note(&disk, b, Digest::of(b"b")).unwrap();
            assert_eq!(
                Journal::open(&disk, path.clone(), 8)
                    .unwrap()
                    .landed()
                    .count(),
                2,
                "{cut}"
            );
        }
        let mut journal = Journal::open(&disk, path.clone(), 8).unwrap();
        journal.forget(&disk, &[a]).unwrap();
        assert_eq!(Journal::open(&disk, path.clone(), 8).unwrap().get(a), None);
        assert_eq!(Journal::open(&disk, path, 7).unwrap().landed().count(), 0);
    }
}
