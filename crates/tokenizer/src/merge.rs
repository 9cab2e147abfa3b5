//! The merge loop of pair encoding: lowest rank first, ties leftmost.
//!
//! Short words scan an array. Long ones take pairs from a queue that keeps a list of places for each rank: places mostly
//! come in order, so that the time stays near linear, and is O(n log n) for any word.

use std::{cmp::Reverse, collections::BinaryHeap};

use crate::arena::FastMap;

/// A symbol that no table knows, or a pair that does not merge.
pub(crate) const NONE: u32 = u32::MAX;

/// What a pair of neighbouring symbols becomes.
pub(crate) trait Pairs {
    /// The rank and the merged symbol of a pair. `text` is the text of both together.
    fn pair(&self, left: u32, right: u32, text: &[u8]) -> Option<(u32, u32)>;
}

/// Buffers that live from word to word.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    /// Symbols of the word: id and where each starts. In: one per character or byte; out: after all merges.
    pub symbols: Vec<Symbol>,
    ranks: Vec<(u32, u32)>,
    links: Vec<Link>,
}

/// A stretch of the word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Symbol {
    /// Its id, or [`NONE`].
    pub id: u32,
    /// Its first byte in the word.
    pub start: u32,
}

#[derive(Clone, Copy, Debug)]
struct Link {
    before: u32,
    after: u32,
    /// Rank and result of merging with the next; [`NONE`] where it does not merge or this one is gone.
    rank: u32,
    merged: u32,
}

/// Most symbols for which scanning an array beats the queue.
const SCAN_MAX: usize = 64;

impl Scratch {
    /// Merges `symbols` of `word` as far as `pairs` allows.
    pub(crate) fn merge(&mut self, word: &[u8], pairs: &impl Pairs) {
        match self.symbols.len() {
            0 | 1 => {}
            2..=SCAN_MAX => self.merge_by_scan(word, pairs),
            _ => self.merge_by_queue(word, pairs),
        }
    }

    fn merge_by_scan(&mut self, word: &[u8], pairs: &impl Pairs) {
        let Self { symbols, ranks, .. } = self;
        let rank = |symbols: &[Symbol], i: usize| {
            let Some(right) = symbols.get(i + 1) else {
                return (NONE, NONE);
            };
            let end = symbols.get(i + 2).map_or(word.len(), |s| s.start as usize);
            let text = &word[symbols[i].start as usize..end];
            pairs
                .pair(symbols[i].id, right.id, text)
                .unwrap_or((NONE, NONE))
        };
        ranks.clear();
        ranks.extend((0..symbols.len()).map(|i| rank(symbols, i)));
        loop {
            let mut best = (NONE, 0);
            for (i, &(rank, _)) in ranks.iter().enumerate() {
                if rank < best.0 {
                    best = (rank, i);
                }
            }
            let (lowest, i) = best;
            if lowest == NONE {
                return;
            }
            symbols[i].id = ranks[i].1;
            symbols.remove(i + 1);
            ranks.remove(i + 1);
            ranks[i] = rank(symbols, i);
            if i > 0 {
                ranks[i - 1] = rank(symbols, i - 1);
            }
        }
    }

    fn merge_by_queue(&mut self, word: &[u8], pairs: &impl Pairs) {
        let count = self.symbols.len();
        self.links.clear();
        self.links.extend((0..count as u32).map(|i| Link {
            before: if i == 0 { NONE } else { i - 1 },
            after: if i as usize + 1 == count { NONE } else { i + 1 },
            rank: NONE,
            merged: NONE,
        }));
        let mut queue = Queue::default();
        for i in 0..count as u32 {
            self.rank_link(word, pairs, i, &mut queue);
        }
        while let Some((rank, at)) = queue.pop() {
            let link = self.links[at as usize];
            if link.rank != rank {
                continue;
            }
            let right = self.links[link.after as usize];
            self.symbols[at as usize].id = link.merged;
            self.links[link.after as usize].rank = NONE;
            self.symbols[link.after as usize].start = NONE;
            self.links[at as usize].after = right.after;
            if right.after != NONE {
                self.links[right.after as usize].before = at;
            }
            self.rank_link(word, pairs, at, &mut queue);
            if link.before != NONE {
                self.rank_link(word, pairs, link.before, &mut queue);
            }
        }
        self.symbols.retain(|s| s.start != NONE);
    }

    /// Looks up the pair that begins at symbol `i`, and queues it if it merges.
    fn rank_link(&mut self, word: &[u8], pairs: &impl Pairs, i: u32, queue: &mut Queue) {
        let link = &mut self.links[i as usize];
        (link.rank, link.merged) = (NONE, NONE);
        let right = link.after;
        if right == NONE {
            return;
        }
        let end = match self.links[right as usize].after {
            NONE => word.len(),
            next => self.symbols[next as usize].start as usize,
        };
        let (left, right) = (self.symbols[i as usize], self.symbols[right as usize]);
        let text = &word[left.start as usize..end];
        if let Some((rank, merged)) = pairs.pair(left.id, right.id, text)
            && rank != NONE
        {
            let link = &mut self.links[i as usize];
            (link.rank, link.merged) = (rank, merged);
            queue.push(rank, i);
        }
    }

    /// Gives back what a huge word left behind.
    pub(crate) fn trim(&mut self) {
        const KEEP: usize = 1 << 16;
        if self.links.capacity() > KEEP {
            *self = Self::default();
        }
    }
}

/// Places by rank.
#[derive(Debug, Default)]
struct Queue {
    ranks: BinaryHeap<Reverse<u32>>,
    buckets: FastMap<u32, Bucket>,
}

/// The places of one rank.
#[derive(Debug, Default)]
struct Bucket {
    places: Vec<u32>,
    /// How many of `places` are done; they are in order once the first is.
    done: usize,
    /// Those that came after the first was taken.
    late: BinaryHeap<Reverse<u32>>,
}

impl Queue {
    fn push(&mut self, rank: u32, place: u32) {
        let bucket = self.buckets.entry(rank).or_insert_with(|| {
            self.ranks.push(Reverse(rank));
            Bucket::default()
        });
        if bucket.done == 0 {
            bucket.places.push(place);
        } else {
            bucket.late.push(Reverse(place));
        }
    }

    /// The lowest rank, and its leftmost place.
    fn pop(&mut self) -> Option<(u32, u32)> {
        loop {
            let rank = self.ranks.peek()?.0;
            if let Some(place) = self.buckets.get_mut(&rank).and_then(Bucket::pop) {
                return Some((rank, place));
            }
            self.buckets.remove(&rank);
            self.ranks.pop();
        }
    }
}

impl Bucket {
    fn pop(&mut self) -> Option<u32> {
        if self.done == 0 {
            self.places.sort_unstable();
        }
        let listed = self.places.get(self.done).copied();
        let late = self.late.peek().map(|place| place.0);
        match (listed, late) {
            (Some(place), late) if late.is_none_or(|l| place <= l) => {
                self.done += 1;
                Some(place)
            }
            (_, Some(place)) => {
                self.late.pop();
                Some(place)
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Pairs of small ids merge by a made-up rule that has ties and chains.
    struct Toy(u32);

    impl Pairs for Toy {
        fn pair(&self, left: u32, right: u32, _: &[u8]) -> Option<(u32, u32)> {
            let mix = (left * 31 + right * 17 + self.0) % 23;
            (mix < 9).then_some((mix % 5, (left + right) % 7))
        }
    }

    proptest! {
        #[test]
        fn both_ways_agree(ids in proptest::collection::vec(0_u32..7, 2..200), seed in 0_u32..1000) {
            let word = vec![b'x'; ids.len()];
            let run = |queue: bool| {
                let mut scratch = Scratch::default();
                scratch.symbols.extend(ids.iter().enumerate().map(|(i, &id)| Symbol { id, start: i as u32 }));
                if queue {
                    scratch.merge_by_queue(&word, &Toy(seed));
                } else {
                    scratch.merge_by_scan(&word, &Toy(seed));
                }
                scratch.symbols
            };
            prop_assert_eq!(run(true), run(false));
        }
    }
}
