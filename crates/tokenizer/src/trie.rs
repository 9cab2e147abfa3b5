//! A static trie over byte strings, nodes in breadth-first order.

use crate::merge::NONE;

/// Byte strings with a value each.
#[derive(Debug)]
pub(crate) struct Trie {
    /// Where the children of each node begin; those of the next node begin where they end.
    children: Vec<u32>,
    labels: Vec<u8>,
    values: Vec<u32>,
    root: Box<[u32; 256]>,
}

/// A place in a [`Trie`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Node(u32);

impl Trie {
    /// Builds it. Of equal strings the lowest value stays; empty ones are left out.
    pub(crate) fn new<'t>(entries: impl Iterator<Item = (&'t [u8], u32)>) -> Self {
        let mut entries: Vec<_> = entries.filter(|e| !e.0.is_empty()).collect();
        entries.sort_unstable();
        entries.dedup_by_key(|e| e.0);
        let mut trie = Self {
            children: Vec::new(),
            labels: vec![0],
            values: vec![NONE],
            root: Box::new([NONE; 256]),
        };
        // Each node is the range of entries that share the path to it.
        let mut level = vec![(0, entries.len())];
        let mut depth = 0;
        while !level.is_empty() {
            let mut next = Vec::new();
            for (from, to) in level {
                trie.children.push(trie.labels.len() as u32);
                let mut at = from;
                while at < to {
                    let Some(&label) = entries[at].0.get(depth) else {
                        at += 1; // ends at this node
                        continue;
                    };
                    let end = at + entries[at..to].partition_point(|e| e.0[depth] == label);
                    let ends_here = entries[at].0.len() == depth + 1;
                    trie.labels.push(label);
                    trie.values
                        .push(if ends_here { entries[at].1 } else { NONE });
                    next.push((at, end));
                    at = end;
                }
            }
            level = next;
            depth += 1;
        }
        trie.children.push(trie.labels.len() as u32);
        for byte in 0..=255 {
            trie.root[usize::from(byte)] = trie.search(0, byte).unwrap_or(NONE);
        }
        trie
    }

    /// Where every walk begins.
    pub(crate) fn root(&self) -> Node {
        Node(0)
    }

    /// One byte further.
    #[inline]
    pub(crate) fn step(&self, node: Node, byte: u8) -> Option<Node> {
        if node.0 == 0 {
            let child = self.root[usize::from(byte)];
            return (child != NONE).then_some(Node(child));
        }
        self.search(node.0, byte).map(Node)
    }

    /// The value of the string that ends here.
    #[inline]
    pub(crate) fn value(&self, node: Node) -> Option<u32> {
        let value = self.values[node.0 as usize];
        (value != NONE).then_some(value)
    }

    /// The longest string that `text` continues a walk with: its length from here and its value.
    pub(crate) fn longest(&self, mut node: Node, text: &[u8]) -> Option<(usize, u32)> {
        let mut best = None;
        for (i, &byte) in text.iter().enumerate() {
            let Some(next) = self.step(node, byte) else {
                break;
            };
            node = next;
            best = self.value(node).map(|v| (i + 1, v)).or(best);
        }
        best
    }

    #[inline]
    fn search(&self, node: u32, byte: u8) -> Option<u32> {
        let from = self.children[node as usize] as usize;
        let to = self.children[node as usize + 1] as usize;
        let at = self.labels[from..to].binary_search(&byte).ok()?;
        Some((from + at) as u32)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn finds_the_longest(
            words in proptest::collection::vec("[abc]{0,5}", 0..40),
            text in "[abcd]{0,8}",
        ) {
            let trie = Trie::new(words.iter().enumerate().map(|(i, w)| (w.as_bytes(), i as u32)));
            let expected = words
                .iter()
                .enumerate()
                .filter(|(_, w)| !w.is_empty() && text.starts_with(w.as_str()))
                .map(|(i, w)| (w.len(), std::cmp::Reverse(i as u32)))
                .max()
                .map(|(length, i)| (length, i.0));
            prop_assert_eq!(trie.longest(trie.root(), text.as_bytes()), expected);
        }
    }
}
