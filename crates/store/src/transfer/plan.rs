//! How a content is cut into pieces.

use crate::{Digest, transfer::journal::Piece};

/// Large enough that a connection gets up to speed, small enough that a crash loses little.
pub(crate) const PIECE: u64 = 16 << 20;
/// No piece that a registry proposes is larger.
const LARGEST: u64 = 1 << 30;

/// The pieces of a content in their order, and the digest of each where the registry gives one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan(Vec<(Piece, Option<Digest>)>);

impl Plan {
    /// Equal pieces.
    pub(crate) fn even(size: u64, piece: u64) -> Self {
        let starts = (0..size).step_by(usize::try_from(piece.max(1)).unwrap_or(usize::MAX));
        Self(
            starts
                .map(|start| {
                    (
                        Piece {
                            start,
                            end: (start + piece).min(size),
                        },
                        None,
                    )
                })
                .collect(),
        )
    }

    /// What Ollama's registry offers beside a content: a line `DIGEST FIRST-LAST` per piece. Nothing unless the pieces
    /// follow each other from the first byte to the last.
    pub(crate) fn from_chunksums(text: &str, size: u64) -> Option<Self> {
        let mut pieces = Vec::new();
        let mut at = 0;
        for line in text.lines() {
            let (digest, range) = line.trim().split_once(' ')?;
            let (first, last) = range.trim().split_once('-')?;
            let (start, end) = (
                first.parse::<u64>().ok()?,
                last.parse::<u64>().ok()?.checked_add(1)?,
            );
            if start != at || end <= start || end > size || end - start > LARGEST {
                return None;
            }
            pieces.push((Piece { start, end }, Some(digest.parse().ok()?)));
            at = end;
        }
        (at == size).then_some(Self(pieces))
    }

    pub(crate) fn pieces(&self) -> &[(Piece, Option<Digest>)] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn even_pieces_cover_everything() {
        let pieces = |size, piece| {
            Plan::even(size, piece)
                .0
                .iter()
                .map(|(p, _)| (p.start, p.end))
                .collect::<Vec<_>>()
        };
        assert_eq!(pieces(10, 4), [(0, 4), (4, 8), (8, 10)]);
        assert_eq!(pieces(8, 4), [(0, 4), (4, 8)]);
        assert_eq!(pieces(0, 4), []);
    }

    #[test]
    fn chunksums_count_only_if_they_cover_everything() {
        let d = Digest::of(b"x");
        let read = |text: &str| Plan::from_chunksums(&text.replace('D', &d.to_string()), 10);
        assert_eq!(read("D 0-3\nD 4-9\n").unwrap().0.len(), 2);
        for wrong in [
            "",
            "D 0-3",
            "D 0-3\nD 5-9",
            "D 0-10",
            "D 0-3\nD 3-9",
            "D 4-9",
            "x 0-9",
            "D 0-9\nD 10-9",
            "D 0-18446744073709551615",
            "D -1-9",
        ] {
            assert!(read(wrong).is_none(), "{wrong:?}");
        }
    }
}
