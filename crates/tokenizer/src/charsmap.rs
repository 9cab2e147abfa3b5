//! The precompiled normalisation of SentencePiece: a double-array trie from texts to their replacements.

use crate::{Error, Result};

/// A map of characters and sequences to what replaces them.
#[derive(Debug)]
pub(crate) struct Charsmap {
    units: Vec<u32>,
    texts: Vec<u8>,
}

impl Charsmap {
    /// Reads the blob: the size of the trie, the trie, the replacements.
    ///
    /// # Errors
    /// When the sizes do not fit the blob.
    pub(crate) fn new(blob: &[u8]) -> Result<Self> {
        let invalid = || Error::Invalid {
            what: "precompiled_charsmap has sizes that do not fit",
            found: format!("{} bytes", blob.len()),
        };
        let (size, rest) = blob.split_first_chunk::<4>().ok_or_else(invalid)?;
        let size = u32::from_le_bytes(*size) as usize;
        if !size.is_multiple_of(4) || size >= rest.len() {
            return Err(invalid());
        }
        let (trie, texts) = rest.split_at(size);
        Ok(Self {
            units: trie
                .as_chunks::<4>()
                .0
                .iter()
                .map(|u| u32::from_le_bytes(*u))
                .collect(),
            texts: texts.to_vec(),
        })
    }

    /// Replaces the longest match at each place; what has none stays.
    pub(crate) fn apply(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            let found = self
                .longest(rest.as_bytes())
                .filter(|&(length, _)| length > 0 && rest.is_char_boundary(length));
            match found {
                Some((length, replacement)) => {
                    out.push_str(&String::from_utf8_lossy(replacement));
                    rest = &rest[length..];
                }
                None => {
                    out.push(c);
                    rest = &rest[c.len_utf8()..];
                }
            }
        }
        out
    }

    /// The longest key that `text` begins with: its length and replacement.
    fn longest(&self, text: &[u8]) -> Option<(usize, &[u8])> {
        let mut best = None;
        let mut node = offset(*self.units.first()?);
        for (i, &byte) in text.iter().enumerate() {
            if byte == 0 {
                break;
            }
            node ^= u32::from(byte);
            let Some(&unit) = self.units.get(node as usize) else {
                break;
            };
            if unit & 0x8000_00FF != u32::from(byte) {
                break;
            }
            node ^= offset(unit);
            if unit >> 8 & 1 == 1 {
                let Some(&value) = self.units.get(node as usize) else {
                    break;
                };
                best = self.text(value & 0x7FFF_FFFF).map(|t| (i + 1, t)).or(best);
            }
        }
        best
    }

    fn text(&self, at: u32) -> Option<&[u8]> {
        let rest = self.texts.get(at as usize..)?;
        let end = rest.iter().position(|&b| b == 0)?;
        Some(&rest[..end])
    }
}

/// Distance to the children of a unit; bit 9 scales it by 256.
fn offset(unit: u32) -> u32 {
    (unit >> 10) << ((unit & 0x200) >> 6)
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A map that turns `from` into `to`, written by hand: the root's children at 0x100 ^ byte.
    pub(crate) fn single(from: u8, to: &str) -> Vec<u8> {
        let mut units = vec![0_u32; 0x201];
        units[0] = 0x100 << 10;
        let node = 0x100 ^ u32::from(from);
        units[node as usize] = (node ^ 0x200) << 10 | 1 << 8 | u32::from(from);
        units[0x200] = 1 << 31;
        let mut blob = ((units.len() * 4) as u32).to_le_bytes().to_vec();
        units.iter().for_each(|u| blob.extend(u.to_le_bytes()));
        blob.extend(to.as_bytes());
        blob.push(0);
        blob
    }

    #[test]
    fn replaces_what_the_map_holds() {
        let map = Charsmap::new(&single(b'x', "ks")).unwrap();
        assert_eq!(map.apply("axe x y"), "akse ks y");
        for blob in [
            &b""[..],
            &[4, 0, 0, 0],
            &[4, 0, 0, 0, 1, 2, 3, 4],
            &[3, 0, 0, 0, 1, 2, 3, 4],
        ] {
            assert!(Charsmap::new(blob).is_err(), "{blob:?}");
        }
    }

    proptest! {
        #[test]
        fn damaged_maps_do_no_harm(at in 0_usize..2000, byte: u8, text in ".{0,20}") {
            let mut blob = single(b'x', "ks");
            let at = at % blob.len();
            blob[at] = byte;
            if let Ok(map) = Charsmap::new(&blob) {
                map.apply(&text);
            }
        }
    }
}
