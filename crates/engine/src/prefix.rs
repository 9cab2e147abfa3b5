//! The prefixes that were computed before: a radix tree over pages of tokens.
//!
//! A node is one page: its tokens, and what the model made of them after everything above it. Only the last page of a
//! branch may be partly filled. A text takes as many pages as begin it, shares them, and writes to a copy where it goes
//! its own way (pages are copied when they are written, never before). What a node holds depends on all tokens from the
//! root on and on nothing else, so two texts that begin alike can share it whoever sent them.
//!
//! A model with recurrent states goes on only from pages at whose end they were kept: those where a text was cut on its
//! way ([`crate::scheduler`]), so that a text which goes another way has them just before that.

use std::collections::BTreeSet;

use hearth_compute::Backend;
use hearth_model::{Page, State};

use crate::spill::{Kept, Key};

/// The number of a node.
pub(crate) type Node = usize;

/// The tree.
pub(crate) struct Prefixes<B: Backend> {
    page: usize,
    /// What recurrent states weigh beside a page.
    weight: usize,
    /// Pages that have them.
    states: usize,
    /// The key that the pages of the roots come after.
    root: Key,
    nodes: Vec<Option<Entry<B>>>,
    free: Vec<Node>,
    roots: Vec<Node>,
    /// Nodes without children, the longest unused first.
    leaves: BTreeSet<(u64, Node)>,
    clock: u64,
}

struct Entry<B: Backend> {
    tokens: Vec<u32>,
    held: Page<B>,
    /// Stands for its tokens and all above them.
    key: Key,
    depth: usize,
    /// Went to the disk, or came from there.
    saved: bool,
    parent: Option<Node>,
    children: Vec<Node>,
    used: u64,
    /// Texts that go on from here: then it stays.
    pins: usize,
}

/// A page that ends where a text was once, with its number and the recurrent states of that moment.
pub(crate) type Turn<B> = (usize, Page<B>);

/// What was found of a text.
pub(crate) struct Found<B: Backend> {
    /// The state after `tokens` tokens.
    pub(crate) state: State<B>,
    /// The last page that is whole and shared, if any.
    pub(crate) node: Option<Node>,
    /// Whole pages from the root to it.
    pub(crate) pages: usize,
}

impl<B: Backend> Prefixes<B> {
    /// Nothing yet, in pages of `page` tokens that come after `root`; recurrent states weigh as much as `weight` pages.
    pub(crate) fn new(page: usize, weight: usize, root: Key) -> Self {
        Self {
            page,
            weight,
            states: 0,
            root,
            nodes: Vec::new(),
            free: Vec::new(),
            roots: Vec::new(),
            leaves: BTreeSet::new(),
            clock: 0,
        }
    }

    /// Pages held, recurrent states counted by their weight.
    pub(crate) fn len(&self) -> usize {
        self.nodes.len() - self.free.len() + self.states * self.weight
    }

    /// Tokens of `tokens` that are there to go on from.
    pub(crate) fn matched(&self, tokens: &[u32]) -> usize {
        let (whole, _, partial) = self.reach(tokens);
        whole * self.page + partial.map_or(0, |(_, same)| same)
    }

    /// The state of as much of `tokens` as is there, in `empty`.
    pub(crate) fn take(&mut self, backend: &B, tokens: &[u32], mut empty: State<B>) -> Found<B> {
        let (pages, node, partial) = self.reach(tokens);
        let mut path = Vec::with_capacity(pages + 1);
        let mut at = node;
        while let Some(id) = at {
            path.push(id);
            at = self.entry(id).parent;
        }
        for id in path.into_iter().rev() {
            self.touch(id);
            empty.append(backend, &self.entry(id).held, self.page);
        }
        if let Some((id, same)) = partial {
            self.touch(id);
            empty.append(backend, &self.entry(id).held, same);
        }
        Found {
            state: empty,
            node,
            pages,
        }
    }

    /// Keeps what a state computed of `tokens`, its own tokens: whole pages, and the `tail` if asked. `turn` is a page that
    /// has recurrent states where the state, which is further, has none. Returns the last whole page and how many there
    /// are.
    pub(crate) fn keep(
        &mut self,
        backend: &B,
        tokens: &[u32],
        state: &State<B>,
        tail: bool,
        turn: Option<&Turn<B>>,
    ) -> (Option<Node>, usize) {
        let of = |index: usize| match turn {
            Some((number, page)) if *number == index => Some(page.clone()),
            _ => state.page(backend, index),
        };
        let tokens = &tokens[..tokens.len().min(state.len())];
        let (mut at, mut pages) = (None, 0);
        for (index, chunk) in tokens.chunks(self.page).enumerate() {
            let whole = chunk.len() == self.page;
            if !whole && !tail {
                break;
            }
            let next = match self.below(at, chunk) {
                Some(id) => {
                    let ends = (index + 1) * self.page == state.len()
                        || turn.is_some_and(|(number, _)| *number == index);
                    if ends && !self.entry(id).held.resumes() {
                        self.enrich(id, of(index));
                    }
                    id
                }
                None => match of(index) {
                    // Nothing could go on from a tail that has no states.
                    Some(page) if whole || page.resumes() => self.add(at, chunk, page),
                    _ => break,
                },
            };
            self.touch(next);
            if whole {
                at = Some(next);
                pages += 1;
            }
        }
        (at, pages)
    }

    /// Holds a page in place while a text goes on from it.
    pub(crate) fn pin(&mut self, node: Option<Node>) {
        if let Some(entry) = node.and_then(|id| self.nodes[id].as_mut()) {
            entry.pins += 1;
        }
    }

    /// Lets it go.
    pub(crate) fn unpin(&mut self, node: Option<Node>) {
        if let Some(entry) = node.and_then(|id| self.nodes[id].as_mut()) {
            entry.pins -= 1;
        }
    }

    /// Adds pages that were read from elsewhere: those of `tokens` from the page of number `first` on. Where the pages
    /// before them are not there any more, they are of no use.
    pub(crate) fn graft(&mut self, tokens: &[u32], first: usize, pages: Vec<Page<B>>) {
        let mut read = pages.into_iter();
        let mut at = None;
        for (index, chunk) in tokens.chunks(self.page).enumerate() {
            let there = self.child(at, chunk);
            let page = if index < first { None } else { read.next() };
            let next = match (there, page) {
                (Some(id), page) => {
                    if !self.entry(id).held.resumes() {
                        self.enrich(id, page);
                    }
                    id
                }
                (None, Some(page)) => {
                    self.below(at, chunk); // makes room
                    self.add(at, chunk, page)
                }
                (None, None) => return,
            };
            self.entry_mut(next).saved |= index >= first;
            self.touch(next);
            at = Some(next);
        }
    }

    /// The key and number of the page that comes after a node.
    pub(crate) fn after(&self, node: Option<Node>) -> (Key, usize) {
        node.map_or((self.root, 0), |id| {
            let entry = self.entry(id);
            (entry.key, entry.depth + 1)
        })
    }

    /// Whole pages, each after those above it, those of the branch that was used last first.
    pub(crate) fn ranked(&self) -> Vec<Node> {
        let nodes = (0..self.nodes.len()).filter(|&id| self.nodes[id].is_some());
        let mut last: Vec<u64> = vec![0; self.nodes.len()];
        for id in nodes.clone() {
            let (used, mut at) = (self.entry(id).used, Some(id));
            while let Some(node) = at.filter(|&node| last[node] < used) {
                last[node] = used;
                at = self.entry(node).parent;
            }
        }
        let mut ranked: Vec<Node> = nodes
            .filter(|&id| self.entry(id).tokens.len() == self.page)
            .collect();
        ranked.sort_by_key(|&id| (std::cmp::Reverse(last[id]), self.entry(id).depth));
        ranked
    }

    /// A page with its place.
    pub(crate) fn kept(&self, id: Node) -> Kept<B> {
        let entry = self.entry(id);
        Kept {
            above: self.after(entry.parent).0,
            depth: entry.depth,
            tokens: entry.tokens.clone(),
            page: entry.held.clone(),
        }
    }

    /// Whole pages that are nowhere else, the most useful first.
    pub(crate) fn unsaved(&self) -> Vec<Node> {
        let mut ranked = self.ranked();
        ranked.retain(|&id| !self.entry(id).saved);
        ranked
    }

    /// Notes that a page is on its way to the disk.
    pub(crate) fn saved(&mut self, id: Node) {
        self.entry_mut(id).saved = true;
    }

    /// The pages of `tokens`, as far as they are there, the last perhaps partly filled.
    pub(crate) fn path(&self, tokens: &[u32]) -> Vec<Kept<B>> {
        let (mut at, mut path) = (None, Vec::new());
        for chunk in tokens.chunks(self.page) {
            let Some(id) = self.child(at, chunk) else {
                break;
            };
            let mut kept = self.kept(id);
            if chunk.len() < kept.tokens.len() {
                kept.tokens.truncate(chunk.len());
                // Those are of the whole page's end.
                kept.page.strip();
            }
            path.push(kept);
            at = Some(id);
        }
        path
    }

    /// Drops pages that weigh `count` if there are, the longest unused first, from the ends of branches that no text goes
    /// on from. Returns what they weigh. `gone` is given those that are whole.
    pub(crate) fn evict(&mut self, count: usize, mut gone: impl FnMut(Kept<B>)) -> usize {
        let mut dropped = 0;
        while dropped < count {
            let free = |(_, id): &&(u64, Node)| self.entry(*id).pins == 0;
            let Some(&(_, id)) = self.leaves.iter().find(free) else {
                break;
            };
            if self.entry(id).tokens.len() == self.page {
                gone(self.kept(id));
            }
            let before = self.len();
            self.remove(id);
            dropped += before - self.len();
        }
        if dropped < count && self.states > 0 {
            dropped += self.strip(count - dropped, gone);
        }
        dropped
    }

    /// Drops recurrent states that weigh `count` if there are, the longest unused first, from inside branches: what is left
    /// of such a page is of use to pages after it. Returns what they weigh.
    fn strip(&mut self, count: usize, mut gone: impl FnMut(Kept<B>)) -> usize {
        let nodes = (0..self.nodes.len()).filter(|&id| {
            let entry = self.nodes[id].as_ref();
            entry.is_some_and(|entry| entry.pins == 0 && entry.held.has_states())
        });
        let mut inner: Vec<Node> = nodes.collect();
        inner.sort_unstable_by_key(|&id| self.entry(id).used);
        inner.truncate(count.div_ceil(self.weight.max(1)));
        for &id in &inner {
            gone(self.kept(id));
            self.entry_mut(id).held.strip();
        }
        self.states -= inner.len();
        inner.len() * self.weight
    }

    /// As much of what [`Self::walk`] finds as a text can go on from.
    fn reach(&self, tokens: &[u32]) -> (usize, Option<Node>, Option<(Node, usize)>) {
        let (mut pages, mut node, partial) = self.walk(tokens);
        let partial = partial.filter(|(id, _)| self.entry(*id).held.resumes_within());
        while partial.is_none()
            && let Some(id) = node
            && !self.entry(id).held.resumes()
        {
            (pages, node) = (pages - 1, self.entry(id).parent);
        }
        (pages, node, partial)
    }

    /// The whole pages that begin `tokens`, the last of them, and the page that goes on longest with its tokens in
    /// common. The last token is left out: its logits are needed, so it is read in any case.
    fn walk(&self, tokens: &[u32]) -> (usize, Option<Node>, Option<(Node, usize)>) {
        let tokens = &tokens[..tokens.len().saturating_sub(1)];
        let (mut pages, mut at) = (0, None);
        loop {
            let rest = &tokens[pages * self.page..];
            let longest = self
                .children(at)
                .iter()
                .map(|&id| (id, common(&self.entry(id).tokens, rest)))
                .max_by_key(|&(_, same)| same)
                .filter(|&(_, same)| same > 0);
            match longest {
                Some((id, same)) if same == self.page => {
                    pages += 1;
                    at = Some(id);
                }
                partial => return (pages, at, partial),
            }
        }
    }

    fn children(&self, of: Option<Node>) -> &[Node] {
        of.map_or(&self.roots, |id| &self.entry(id).children)
    }

    /// The child that holds `chunk`.
    fn child(&self, at: Option<Node>, chunk: &[u32]) -> Option<Node> {
        let holds = |id: &&Node| self.entry(**id).tokens.starts_with(chunk);
        self.children(at).iter().find(holds).copied()
    }

    /// The child that holds `chunk` already. A child that holds only its beginning makes room for it.
    fn below(&mut self, at: Option<Node>, chunk: &[u32]) -> Option<Node> {
        let found = self.child(at, chunk);
        if found.is_none() {
            let children = self.children(at);
            let begun = children
                .iter()
                .copied()
                .find(|&id| chunk.starts_with(&self.entry(id).tokens));
            begun.into_iter().for_each(|id| self.remove(id));
        }
        found
    }

    /// Gives a page without recurrent states another of the same tokens, if that has them.
    fn enrich(&mut self, id: Node, page: Option<Page<B>>) {
        if let Some(page) = page.filter(Page::resumes) {
            self.states += usize::from(page.has_states());
            let entry = self.entry_mut(id);
            (entry.held, entry.saved) = (page, false);
        }
    }

    fn add(&mut self, parent: Option<Node>, tokens: &[u32], held: Page<B>) -> Node {
        self.clock += 1;
        self.states += usize::from(held.has_states());
        let (above, depth) = self.after(parent);
        let entry = Entry {
            tokens: tokens.to_vec(),
            held,
            key: above.then(tokens),
            depth,
            saved: false,
            parent,
            children: Vec::new(),
            used: self.clock,
            pins: 0,
        };
        let id = self.free.pop().unwrap_or(self.nodes.len());
        if id == self.nodes.len() {
            self.nodes.push(Some(entry));
        } else {
            self.nodes[id] = Some(entry);
        }
        match parent {
            None => self.roots.push(id),
            Some(parent) => {
                let above = self.entry_mut(parent);
                above.children.push(id);
                let leaf = (above.used, parent);
                self.leaves.remove(&leaf);
            }
        }
        self.leaves.insert((self.clock, id));
        id
    }

    /// Drops a node without children.
    fn remove(&mut self, id: Node) {
        let Some(entry) = self.nodes[id].take() else {
            return;
        };
        self.free.push(id);
        self.states -= usize::from(entry.held.has_states());
        self.leaves.remove(&(entry.used, id));
        match entry.parent {
            None => self.roots.retain(|&root| root != id),
            Some(parent) => {
                let above = self.entry_mut(parent);
                above.children.retain(|&child| child != id);
                let leaf = above.children.is_empty().then_some((above.used, parent));
                self.leaves.extend(leaf);
            }
        }
    }

    fn touch(&mut self, id: Node) {
        self.clock += 1;
        let clock = self.clock;
        let entry = self.entry_mut(id);
        let before = std::mem::replace(&mut entry.used, clock);
        if entry.children.is_empty() {
            self.leaves.remove(&(before, id));
            self.leaves.insert((clock, id));
        }
    }

    fn entry(&self, id: Node) -> &Entry<B> {
        self.nodes[id].as_ref().expect("links lead to live nodes")
    }

    fn entry_mut(&mut self, id: Node) -> &mut Entry<B> {
        self.nodes[id].as_mut().expect("links lead to live nodes")
    }
}

/// Tokens that both begin with.
pub(crate) fn common(a: &[u32], b: &[u32]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}
