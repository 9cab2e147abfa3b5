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
#[derive(Debug, Default)]
pub(crate) struct Index {
    table: HashTable<(u32, u32)>,
    hasher: RandomState,
}

impl Index {
    /// Room for so many strings.
    pub(crate) fn with_capacity(count: usize) -> Self {
        Self {
            table: HashTable::with_capacity(count),
            hasher: RandomState::default(),
        }
    }

    /// The number of a string.
    #[inline]
    pub(crate) fn get(&self, arena: &Arena, text: &[u8]) -> Option<u32> {
        let hash = self.hash(text);
        self.table
            .find(hash, |&(tag, id)| {
                tag == (hash >> 32) as u32 && arena.get(id) == Some(text)
            })
            .map(|entry| entry.1)
    }

    /// Adds a number of the arena; the number that has the same string already, if one has.
    pub(crate) fn insert(&mut self, arena: &Arena, id: u32) -> Option<u32> {
        let text = arena.get(id)?;
        if let Some(first) = self.get(arena, text) {
            return Some(first);
        }
        let hash = self.hash(text);
        let hasher = &self.hasher;
        self.table
            .insert_unique(hash, ((hash >> 32) as u32, id), |&(_, id)| {
                hash_of(hasher, arena.get(id).unwrap_or_default())
            });
        None
    }

    #[inline]
    fn hash(&self, text: &[u8]) -> u64 {
        hash_of(&self.hasher, text)
    }
}

#[inline]
fn hash_of(hasher: &RandomState, text: &[u8]) -> u64 {
    hasher.hash_one(text)
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
}
