//! The tokens that may come next.

use std::{cmp::Ordering, collections::HashMap, ops::Range};

/// A token that may come next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// Its id.
    pub id: u32,
    /// Its logit, a finite number.
    pub logit: f32,
    /// Its share among the candidates, where shares were computed last.
    pub probability: f32,
}

/// Candidates in some order. A vocabulary has a hundred thousand of them and most chains look at forty, so the logits
/// stay as they came until something needs a list, and a list is put in order only as far as someone looks.
#[derive(Clone, Debug, Default)]
pub struct Candidates {
    /// Every logit by id, while `whole`.
    logits: Vec<f32>,
    whole: bool,
    /// What is left, once not `whole`.
    pub(super) list: Vec<Candidate>,
    /// So many at the front are the largest, in order.
    sorted: usize,
}

/// Candidates that are put in order by sorting; more are selected from first.
const FEW: usize = 64;

/// Logits of a block that is passed over when none of them is large enough.
const BLOCK: usize = 64;

/// Larger first; equal ones by id, so that the order is one for every algorithm.
fn descending(a: &Candidate, b: &Candidate) -> Ordering {
    key(b).cmp(&key(a))
}

/// A number that orders candidates as `descending` does, without branches.
fn key(c: &Candidate) -> u64 {
    let bits = c.logit.to_bits();
    let ascending = bits ^ ((bits as i32 >> 31) as u32 | 1 << 31);
    u64::from(ascending) << 32 | u64::from(!c.id)
}

impl Candidates {
    /// Every token whose logit is a number above minus infinity. `allowed` has a bit per token, the lowest of the
    /// first word being token 0; tokens beyond it are forbidden. None allows all.
    pub fn new(logits: &[f32], allowed: Option<&[u32]>) -> Self {
        let mut candidates = Self::default();
        candidates.fill(logits, allowed);
        candidates
    }

    /// The same in the memory of an earlier one.
    pub(super) fn fill(&mut self, logits: &[f32], allowed: Option<&[u32]>) {
        self.whole = true;
        self.sorted = 0;
        self.list.clear();
        self.logits.clear();
        self.logits.extend_from_slice(logits);
        let Some(allowed) = allowed else { return };
        for (i, block) in self.logits.chunks_mut(u32::BITS as usize).enumerate() {
            let word = allowed.get(i).copied().unwrap_or(0);
            if word == u32::MAX {
                continue;
            }
            for (bit, logit) in block.iter_mut().enumerate() {
                if word >> bit & 1 == 0 {
                    *logit = f32::NEG_INFINITY;
                }
            }
        }
    }

    /// The survivors, in no particular order.
    pub fn survivors(&mut self) -> &[Candidate] {
        self.gather();
        &self.list
    }

    pub(super) fn len(&mut self) -> usize {
        self.gather();
        self.list.len()
    }

    /// Makes the list. Infinities become the largest number, so that differences of logits are numbers.
    pub(super) fn gather(&mut self) {
        if !self.whole {
            return;
        }
        self.whole = false;
        let usable = (0u32..).zip(&self.logits);
        let usable = usable.filter(|(_, logit)| **logit > f32::NEG_INFINITY);
        self.list
            .extend(usable.map(|(id, logit)| candidate(id, *logit)));
    }

    /// Adds to logits; minus infinity takes the token out. Before all samplers.
    pub(super) fn bias(&mut self, biases: &[(u32, f32)]) {
        for (id, bias) in biases {
            if let Some(logit) = self.logits.get_mut(*id as usize) {
                *logit += bias;
            }
        }
    }

    /// Changes the logits of the tokens that are marked.
    pub(super) fn change(&mut self, marked: &HashMap<u32, u32>, to: impl Fn(f32, u32) -> f32) {
        // A setting may be no number; the token comes last then, as it would with a penalty without end.
        let change = |logit: f32, mark| {
            let new = to(logit.min(f32::MAX), mark);
            if new.is_nan() {
                f32::MIN
            } else {
                new.clamp(f32::MIN, f32::MAX)
            }
        };
        if self.whole {
            for (id, mark) in marked {
                if let Some(logit) = self.logits.get_mut(*id as usize)
                    && *logit > f32::NEG_INFINITY
                {
                    *logit = change(*logit, *mark);
                }
            }
        } else if !marked.is_empty() {
            for candidate in &mut self.list {
                if let Some(mark) = marked.get(&candidate.id) {
                    candidate.logit = change(candidate.logit, *mark);
                }
            }
            self.sorted = 0;
        }
    }

    /// Divides every logit by a positive number.
    pub(super) fn divide(&mut self, by: f32) {
        self.gather();
        for c in &mut self.list {
            c.logit = (c.logit / by).clamp(f32::MIN, f32::MAX);
        }
        // Different logits may have become equal, whose order is by id.
        self.sorted = 0;
    }

    /// Keeps the `n` largest, in order.
    pub(super) fn keep_largest(&mut self, n: usize) {
        if self.whole && n <= self.logits.len() / 8 {
            self.scan(n);
        }
        self.sort_first(n);
        self.truncate(n);
    }

    /// Makes a list of the `n` largest and a few more. A block of logits below those found so far costs one comparison
    /// each; ids only ascend, so an equal logit that comes later is the smaller one.
    fn scan(&mut self, n: usize) {
        self.whole = false;
        let mut floor = f32::NEG_INFINITY;
        for (number, block) in self.logits.chunks(BLOCK).enumerate() {
            if !block
                .iter()
                .fold(false, |any, logit| any | (*logit > floor))
            {
                continue;
            }
            let first = (number * BLOCK) as u32;
            let found = (first..).zip(block).filter(|(_, logit)| **logit > floor);
            self.list
                .extend(found.map(|(id, logit)| candidate(id, *logit)));
            if n > 0 && self.list.len() >= 2 * n.max(BLOCK) {
                let (_, last, _) = self.list.select_nth_unstable_by(n - 1, descending);
                floor = last.logit;
                self.list.truncate(n);
            }
        }
    }

    /// Brings the `n` largest to the front, in order.
    pub(super) fn sort_first(&mut self, n: usize) {
        self.gather();
        let n = n.min(self.list.len());
        if n > self.sorted {
            self.front(n);
            self.list[self.sorted..n].sort_unstable_by(descending);
            self.sorted = n;
        }
    }

    /// Brings the `n` largest to the front, in any order.
    pub(super) fn front(&mut self, n: usize) {
        self.gather();
        if n > self.sorted && n < self.list.len() {
            self.list[self.sorted..].select_nth_unstable_by(n - self.sorted - 1, descending);
        }
    }

    pub(super) fn truncate(&mut self, n: usize) {
        self.list.truncate(n);
        self.sorted = self.sorted.min(n);
    }

    /// Drops the `n` largest.
    pub(super) fn drop_largest(&mut self, n: usize) {
        self.front(n);
        self.list.drain(..n);
        self.sorted = self.sorted.saturating_sub(n);
    }

    /// Keeps those for which `keep` holds, in their order.
    pub(super) fn retain(&mut self, keep: impl Fn(&Candidate) -> bool) {
        self.gather();
        let front = self.list[..self.sorted].iter().filter(|c| keep(c)).count();
        self.list.retain(keep);
        self.sorted = front;
    }

    pub(super) fn max(&mut self) -> f32 {
        self.gather();
        match self.list.first() {
            Some(first) if self.sorted > 0 => first.logit,
            _ => {
                let logits = self.list.iter().map(|c| c.logit);
                logits.fold(f32::NEG_INFINITY, f32::max)
            }
        }
    }

    /// Sets every share.
    pub(super) fn softmax(&mut self) {
        let max = self.max();
        for c in &mut self.list {
            c.probability = (c.logit - max).exp();
        }
        self.normalize();
    }

    /// Scales the shares to a sum of 1.
    pub(super) fn normalize(&mut self) {
        let scale = 1.0 / mass(&self.list);
        for c in &mut self.list {
            c.probability = (f64::from(c.probability) * scale) as f32;
        }
    }

    /// The share of a candidate with this logit.
    pub(super) fn share(&mut self, logit: f32) -> f32 {
        let max = self.max();
        let parts = self.list.iter().map(|c| f64::from((c.logit - max).exp()));
        (f64::from((logit - max).exp()) / parts.sum::<f64>()) as f32
    }

    /// Keeps the most likely until `enough` holds for the sum of their shares, and `min_keep` at least.
    pub(super) fn keep_likely(&mut self, min_keep: usize, enough: impl Fn(f64) -> bool) {
        let n = self.reach(enough);
        if n < min_keep {
            self.front(min_keep);
        }
        self.truncate(n.max(min_keep));
    }

    /// Keeps those with logits nearest to `center` until `enough` holds for the sum of their shares, and `min_keep` at
    /// least.
    pub(super) fn keep_near(&mut self, center: f64, min_keep: usize, enough: impl Fn(f64) -> bool) {
        self.gather();
        self.sorted = 0;
        let distance = |c: &Candidate| (f64::from(c.logit) - center).abs();
        let nearer = |a: &Candidate, b: &Candidate| {
            let order = distance(a).total_cmp(&distance(b));
            order.then_with(|| descending(a, b))
        };
        let n = prefix(&mut self.list, 0.0, |c| distance(c) as f32, nearer, enough).end;
        if n < min_keep && min_keep < self.list.len() {
            self.list[n..].select_nth_unstable_by(min_keep - n - 1, nearer);
        }
        self.list.truncate(n.max(min_keep));
    }

    /// The candidate at `at` of the line of shares, `at` in `0..1`, the most likely at its start: which one it is
    /// depends on the shares alone, not on what order the samplers left.
    pub(super) fn draw(&mut self, at: f64) -> Option<Candidate> {
        let total = mass(&self.list);
        let n = self.reach(|sum| sum >= at * total);
        // Rounding may lead to the end of the line, where shares are zero.
        let front = &self.list[..n];
        let last = front.iter().rfind(|c| c.probability > 0.0);
        last.or(front.first()).copied()
    }

    /// How many of the most likely it takes until `enough` holds for the sum of their shares; they are at the front
    /// then, the last of them at its place.
    fn reach(&mut self, enough: impl Fn(f64) -> bool) -> usize {
        self.gather();
        let mut sum = 0.0;
        for (i, c) in self.list[..self.sorted].iter().enumerate() {
            sum += f64::from(c.probability);
            if enough(sum) {
                return i + 1;
            }
        }
        let rest = &mut self.list[self.sorted..];
        let max = rest.iter().fold(f32::MIN, |max, c| max.max(c.logit));
        let found = prefix(rest, sum, |c| max - c.logit, descending, enough);
        let end = self.sorted + found.end;
        if found.start == 0 {
            self.sorted = end;
        }
        end
    }
}

fn candidate(id: u32, logit: f32) -> Candidate {
    Candidate {
        id,
        // Negative zero becomes zero, which it is equal to.
        logit: logit.min(f32::MAX) + 0.0,
        probability: 0.0,
    }
}

/// The shortest prefix, in `order`, for whose shares and `before` `enough` holds; all where it never does. The prefix
/// is `..end`, of which `start..end` is in order. `distance` grows with `order`, not strictly.
///
/// Two passes over everything, then selection among those that are about as far as the last one.
fn prefix(
    list: &mut [Candidate],
    before: f64,
    distance: impl Fn(&Candidate) -> f32,
    order: impl Fn(&Candidate, &Candidate) -> Ordering,
    enough: impl Fn(f64) -> bool,
) -> Range<usize> {
    let (mut sum, Range { mut start, mut end }) = rough(list, before, distance, &enough);
    while end - start > FEW {
        let half = (end - start) / 2;
        let part = &mut list[start..end];
        part.select_nth_unstable_by(half - 1, &order);
        let mass = mass(&part[..half]);
        if enough(sum + mass) {
            end = start + half;
        } else {
            sum += mass;
            start += half;
        }
    }
    list[start..end].sort_unstable_by(&order);
    let last = list[start..end].iter().position(|c| {
        sum += f64::from(c.probability);
        enough(sum)
    });
    start..last.map_or(end, |last| start + last + 1)
}

/// Buckets of distances, and how many there are to a unit (of a logit).
const BUCKETS: usize = 256;
const FINENESS: f32 = 8.0;

/// Brings to the front what is certainly in the prefix, then what may end it: the range of the latter, and the shares
/// before it.
fn rough(
    list: &mut [Candidate],
    before: f64,
    distance: impl Fn(&Candidate) -> f32,
    enough: impl Fn(f64) -> bool,
) -> (f64, Range<usize>) {
    if list.len() < 4 * BUCKETS {
        return (before, 0..list.len());
    }
    let bucket = |c: &Candidate| (distance(c) * FINENESS).min((BUCKETS - 1) as f32) as i32 as usize;
    let mut masses = [0.0f64; BUCKETS];
    for c in list.iter() {
        masses[bucket(c)] += f64::from(c.probability);
    }
    let mut sum = before;
    let crossed = masses.iter().position(|mass| {
        let crossed = enough(sum + mass);
        if !crossed {
            sum += mass;
        }
        crossed
    });
    let Some(crossed) = crossed else {
        return (sum, list.len()..list.len());
    };
    let end = partition(list, |c| bucket(c) <= crossed);
    let start = partition(&mut list[..end], |c| bucket(c) < crossed);
    (sum, start..end)
}

/// Brings those for which `first` holds to the front: how many they are.
fn partition(list: &mut [Candidate], first: impl Fn(&Candidate) -> bool) -> usize {
    let mut n = 0;
    for i in 0..list.len() {
        // Harmless where it does not hold: all between the two are of that kind. It saves a branch.
        let holds = first(&list[i]);
        list.swap(i, n);
        n += usize::from(holds);
    }
    n
}

/// The sum of shares, in lanes: one sum waits for every addition.
fn mass(list: &[Candidate]) -> f64 {
    let mut lanes = [0.0f64; 8];
    for block in list.chunks(lanes.len()) {
        for (lane, c) in lanes.iter_mut().zip(block) {
            *lane += f64::from(c.probability);
        }
    }
    lanes.iter().sum()
}
