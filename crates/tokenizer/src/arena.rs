//! Many short byte strings in one allocation, and an index over them.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::{HashMap, HashTable};

/// A map with a fast, seeded hash.
pub(crate) type FastMap<K, V> = HashMap<K, V, RandomState>;

/// Most bytes that the strings of one vocabulary may have together.
const BYTES_MAX: usize = 1 << 30;

/// Strings by number.
#[derive(Debug, Default)]
pub(crate) struct Arena {
    bytes: Vec<u8>,
    ends: Vec<u32>,
}

impl Arena {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Appends one; empty instead once the whole is past its limit.
    pub(crate) fn push(&mut self, text: &[u8]) -> u32 {
        if self.bytes.len() + text.len() <= BYTES_MAX {
            self.bytes.extend_from_slice(text);
        }
        self.ends.push(self.bytes.len() as u32);
        self.ends.len() as u32 - 1
    }

    /// The string of that number, if there is one.
    #[inline]
    pub(crate) fn get(&self, id: u32) -> Option<&[u8]> {
        let id = id as usize;
        let end = *self.ends.get(id)? as usize;
        let start = if id == 0 {
            0
        } else {
            self.ends[id - 1] as usize
        };
        Some(&self.bytes[start..end])
    }

    /// All of them, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &[u8])> {
        (0..self.ends.len() as u32).filter_map(|id| Some((id, self.get(id)?)))
    }
}

impl<'t> FromIterator<&'t [u8]> for Arena {
    fn from_iter<I: IntoIterator<Item = &'t [u8]>>(texts: I) -> Self {
        let mut arena = Self::default();
        for text in texts {
            arena.push(text);
        }
        arena
    }
}

/// Numbers of an [`Arena`] by their strings. It must be asked together with the arena that it was made from.
///
/// Short strings are kept in the table itself, so that finding one touches one place in memory.
#[derive(Debug)]
pub(crate) struct Index {
    table: HashTable<(Key, u32)>,
    hasher: RandomState,
    seeds: [u64; 2],
}

/// A string of up to [`INLINE`] bytes, whole; of a longer one its hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Key {
    low: u64,
    high: u64,
    length: u32,
}

/// Longest string that a [`Key`] holds, in bytes.
const INLINE: usize = 16;

impl Index {
    /// Room for so many strings.
    pub(crate) fn with_capacity(count: usize) -> Self {
        let hasher = RandomState::default();
        Self {
            table: HashTable::with_capacity(count),
            seeds: [hasher.hash_one(0), hasher.hash_one(1)],
            hasher,
        }
    }

    /// The number of a string.
    #[inline]
    pub(crate) fn get(&self, arena: &Arena, text: &[u8]) -> Option<u32> {
        let key = self.key(text);
        let found = self.table.find(hash(self.seeds, key), |(other, id)| {
            *other == key && (text.len() <= INLINE || arena.get(*id) == Some(text))
        });
        found.map(|entry| entry.1)
    }

    /// Adds a number of the arena; the number that has the same string already, if one has.
    pub(crate) fn insert(&mut self, arena: &Arena, id: u32) -> Option<u32> {
        let text = arena.get(id)?;
        if let Some(first) = self.get(arena, text) {
            return Some(first);
        }
        let (key, seeds) = (self.key(text), self.seeds);
        self.table
            .insert_unique(hash(seeds, key), (key, id), |entry| hash(seeds, entry.0));
        None
    }

    #[inline]
    fn key(&self, text: &[u8]) -> Key {
        let (low, high) = match text {
            _ if text.len() > INLINE => (self.hasher.hash_one(text), 0),
            _ if text.len() >= 8 => (
                text.first_chunk().map_or(0, |c| u64::from_le_bytes(*c)),
                text.last_chunk().map_or(0, |c| u64::from_le_bytes(*c)),
            ),
            _ if text.len() >= 4 => (
                text.first_chunk()
                    .map_or(0, |c| u32::from_le_bytes(*c).into()),
                text.last_chunk()
                    .map_or(0, |c| u32::from_le_bytes(*c).into()),
            ),
            [] => (0, 0),
            [first, .., last] => (
                u64::from(*first) | u64::from(text[text.len() / 2]) << 8,
                u64::from(*last),
            ),
            [only] => (u64::from(*only), 0),
        };
        Key {
            low,
            high,
            length: text.len() as u32,
        }
    }
}

#[inline]
fn hash(seeds: [u64; 2], key: Key) -> u64 {
    let mix = |a: u64, b: u64| {
        let product = u128::from(a) * u128::from(b);
        product as u64 ^ (product >> 64) as u64
    };
    let length = u64::from(key.length).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mix(
        mix(key.low ^ seeds[0], key.high ^ seeds[1]) ^ length,
        seeds[0] | 1,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_finds_what_the_arena_holds() {
        let arena: Arena = [&b"a"[..], b"", b"bc", b"a"].into_iter().collect();
        let mut index = Index::with_capacity(4);
        let seen: Vec<_> = (0..4).map(|id| index.insert(&arena, id)).collect();
        assert_eq!(seen, [None, None, None, Some(0)]);
        assert_eq!(index.get(&arena, b"bc"), Some(2));
        assert_eq!(index.get(&arena, b""), Some(1));
        assert_eq!(index.get(&arena, b"b"), None);
        assert_eq!(arena.get(4), None);
        assert_eq!(arena.iter().count(), 4);
    }

    #[test]
    fn keys_tell_all_lengths_apart() {
        let texts: Vec<Vec<u8>> = (0..40)
            .flat_map(|n| {
                [
                    vec![b'a'; n],
                    vec![0; n],
                    [vec![b'a'; n], vec![b'b']].concat(),
                ]
            })
            .collect();
        let mut texts: Vec<&[u8]> = texts.iter().map(Vec::as_slice).collect();
        texts.sort_unstable();
        texts.dedup();
        let arena: Arena = texts.iter().copied().collect();
        let mut index = Index::with_capacity(0);
        for id in 0..texts.len() as u32 {
            assert_eq!(index.insert(&arena, id), None);
        }
        for (id, text) in texts.iter().enumerate() {
            assert_eq!(index.get(&arena, text), Some(id as u32));
        }
    }
}
