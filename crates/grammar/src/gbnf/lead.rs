//! Sets of first bytes.

use std::ops::BitOr;

use super::expression::Characters;

/// The bytes that characters of a set begin with. Characters that begin alike are one here: what is told about such
/// sets errs on the side of splitting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Lead([u64; 4]);

impl Lead {
    pub(super) fn of(characters: &Characters) -> Self {
        let mut lead = Self::default();
        for &(low, high) in characters.ranges() {
            for byte in first_byte(low)..=first_byte(high) {
                lead.0[usize::from(byte / 64)] |= 1 << (byte % 64);
            }
        }
        lead
    }

    pub(super) fn meets(self, other: Self) -> bool {
        self.0.iter().zip(other.0).any(|(&a, b)| a & b != 0)
    }
}

impl BitOr for Lead {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(std::array::from_fn(|word| self.0[word] | other.0[word]))
    }
}

/// The first byte of a character in UTF-8; it grows with the character.
fn first_byte(character: u32) -> u8 {
    let byte = match character {
        0..0x80 => character,
        0x80..0x800 => 0xc0 | character >> 6,
        0x800..0x1_0000 => 0xe0 | character >> 12,
        _ => 0xf0 | character >> 18,
    };
    byte as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_bytes_are_those_of_utf8() {
        let mut buffer = [0; 4];
        for c in [
            '\0',
            'a',
            '\x7f',
            '\u{80}',
            'é',
            '\u{7ff}',
            '\u{800}',
            '東',
            '\u{ffff}',
            '🙂',
            char::MAX,
        ] {
            c.encode_utf8(&mut buffer);
            assert_eq!(first_byte(c.into()), buffer[0], "{c:?}");
        }
        let ascii = Lead::of(&Characters::of(vec![(0, 0x7f)], false));
        assert!(!ascii.meets(Lead::of(&Characters::of(vec![(0, 0x7f)], true))));
        assert!(ascii.meets(Lead::of(&Characters::one('x'))));
        assert!((ascii | Lead::of(&Characters::one('é'))).meets(Lead::of(&Characters::one('è'))));
    }
}
