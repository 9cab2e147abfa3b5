//! A checksum as fast as memory.
//!
//! Four lanes of 64 bits take the words in turn, each by `lane = rotate((lane ^ word) * odd)`. For a given word this is
//! a bijection of the lane and for a given lane one of the word, so a change within one word always changes the sum;
//! of any other damage one in 2^64 goes unseen at most, and one in 2^256 where it reaches all lanes. It is no secret and
//! stops nobody who means harm: the files are the user's own.

use std::io::{self, Read, Write};

const LANES: usize = 4;
const BLOCK: usize = LANES * 8;
/// The fractional part of the golden ratio, made odd: its bits are well mixed.
const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
const TURN: u32 = 29;

/// The sum of what was given so far.
#[derive(Clone)]
pub(super) struct Sum {
    lanes: [u64; LANES],
    /// What does not fill a block yet.
    rest: [u8; BLOCK],
    held: usize,
    length: u64,
}

/// Bytes of a sum.
pub(super) const BYTES: usize = BLOCK;

impl Sum {
    pub(super) fn new() -> Self {
        Self {
            lanes: [1, 2, 3, 4].map(|n: u64| n.wrapping_mul(ODD)),
            rest: [0; BLOCK],
            held: 0,
            length: 0,
        }
    }

    pub(super) fn update(&mut self, mut bytes: &[u8]) {
        self.length += bytes.len() as u64;
        if self.held > 0 {
            let more = bytes.len().min(BLOCK - self.held);
            self.rest[self.held..][..more].copy_from_slice(&bytes[..more]);
            self.held += more;
            bytes = &bytes[more..];
            if self.held < BLOCK {
                return;
            }
            mix(&mut self.lanes, &self.rest);
        }
        let (blocks, rest) = bytes.as_chunks::<BLOCK>();
        for block in blocks {
            mix(&mut self.lanes, block);
        }
        self.rest[..rest.len()].copy_from_slice(rest);
        self.held = rest.len();
    }

    pub(super) fn finish(mut self) -> [u8; BYTES] {
        self.rest[self.held..].fill(0);
        mix(&mut self.lanes, &self.rest);
        let mut last = [0; BLOCK];
        last[..8].copy_from_slice(&self.length.to_le_bytes());
        mix(&mut self.lanes, &last);
        let mut sum = [0; BYTES];
        for (bytes, lane) in sum.as_chunks_mut().0.iter_mut().zip(self.lanes) {
            *bytes = lane.to_le_bytes();
        }
        sum
    }
}

fn mix(lanes: &mut [u64; LANES], block: &[u8; BLOCK]) {
    for (lane, word) in lanes.iter_mut().zip(block.as_chunks().0) {
        *lane = (*lane ^ u64::from_le_bytes(*word))
            .wrapping_mul(ODD)
            .rotate_left(TURN);
    }
}

/// Sums what passes.
pub(super) struct Summed<T> {
    pub(super) inner: T,
    pub(super) sum: Sum,
}

impl<T> Summed<T> {
    pub(super) fn new(inner: T) -> Self {
        Self {
            inner,
            sum: Sum::new(),
        }
    }
}

impl<T: Read> Read for Summed<T> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(into)?;
        self.sum.update(&into[..count]);
        Ok(count)
    }
}

impl<T: Write> Write for Summed<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.sum.update(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(bytes: &[u8]) -> [u8; BYTES] {
        let mut sum = Sum::new();
        sum.update(bytes);
        sum.finish()
    }

    proptest! {
        #[test]
        fn pieces_sum_up_like_the_whole(bytes: Vec<u8>, cuts: Vec<usize>) {
            let mut sum = Sum::new();
            let mut rest = &bytes[..];
            for cut in cuts {
                let (piece, after) = rest.split_at(cut % (rest.len() + 1));
                sum.update(piece);
                rest = after;
            }
            sum.update(rest);
            prop_assert_eq!(sum.finish(), of(&bytes));
        }

        #[test]
        fn any_damage_is_seen(bytes in prop::collection::vec(any::<u8>(), 1..300), at: usize, flip in 1u8.., more: Vec<u8>) {
            let whole = of(&bytes);
            let mut other = bytes.clone();
            other[at % bytes.len()] ^= flip;
            prop_assert_ne!(of(&other), whole);
            prop_assert_ne!(of(&bytes[..at % bytes.len()]), whole);
            let longer = [&bytes[..], &more, &[0]].concat();
            prop_assert_ne!(of(&longer), whole);
        }
    }
}
