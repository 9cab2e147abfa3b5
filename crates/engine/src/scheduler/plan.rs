//! Which tokens of which texts the next step has.

use std::time::Duration;

use super::{
    job::{Class, Flow},
    live::Live,
};

/// Tokens that a step has at most: large enough for the matrix kernels.
const MOST: usize = 512;
/// Tokens of prompts that a step has at least, where any are read.
const LEAST: usize = 32;
/// How much longer than needed a step may keep those waiting who generate, for somebody's prompt.
const GAP: Duration = Duration::from_millis(200);

/// A text's part of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Share {
    /// Which text.
    pub(super) index: usize,
    /// Its next so many tokens.
    pub(super) tokens: usize,
}

/// How fast prompts are read here.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    /// Seconds per token, 0 before the first measure.
    token: f64,
}

impl Pace {
    /// Learns from a step.
    pub(super) fn measure(&mut self, shares: &[Share], time: Duration) {
        let tokens: usize = shares.iter().map(|share| share.tokens).sum();
        // Steps of few tokens say how fast weights are read, not how fast prompts are.
        if tokens >= LEAST {
            let now = time.as_secs_f64() / tokens as f64;
            self.token = if self.token == 0.0 {
                now
            } else {
                0.75 * self.token + 0.25 * now
            };
        }
    }

    /// Tokens of prompts that fit into a step beside texts that generate.
    fn beside(&self) -> usize {
        if self.token == 0.0 {
            return LEAST;
        }
        ((GAP.as_secs_f64() / self.token) as usize).clamp(LEAST, MOST)
    }
}

/// The next step, in the order of the texts. While somebody waits for a first token, nothing is done that nobody waits
/// for.
pub(super) fn shares(live: &[Live<'_>], pace: &Pace, page: usize) -> Vec<Share> {
    let ready = |live: &&Live<'_>| live.coming.is_none() && live.flow() == Flow::Go;
    let urgent = live
        .iter()
        .filter(ready)
        .any(|live| live.class == Class::Interactive && live.reads());
    let part = |live: &&Live<'_>| !urgent || live.class == Class::Interactive;
    let all: Vec<(usize, &Live<'_>)> = live
        .iter()
        .enumerate()
        .filter(|(_, live)| ready(live) && part(live))
        .collect();
    let generating = all.iter().filter(|(_, live)| !live.reads());
    let mut shares: Vec<Share> = generating
        .map(|&(index, _)| Share { index, tokens: 1 })
        .collect();
    let waiting = shares
        .iter()
        .any(|share| live[share.index].class == Class::Interactive);
    let budget = if waiting { pace.beside() } else { MOST }
        .saturating_sub(shares.len())
        .max(LEAST);
    let mut readers: Vec<(usize, usize)> = all
        .iter()
        .filter(|(_, live)| live.reads())
        .map(|&(index, live)| (index, live.ahead(page)))
        .collect();
    shares.extend(split(&mut readers, budget));
    shares.sort_by_key(|share| share.index);
    shares
}

/// Cuts a budget of tokens: half of it belongs to the text that came first, so that it ends; the rest goes to the
/// shortest, so that a question does not wait for a book.
fn split(readers: &mut [(usize, usize)], budget: usize) -> Vec<Share> {
    let Some(&(oldest, pending)) = readers.first() else {
        return Vec::new();
    };
    let half = if readers.len() > 1 {
        budget / 2
    } else {
        budget
    };
    let mut given = vec![(oldest, pending.min(half))];
    let mut rest = budget - given[0].1;
    readers[1..].sort_by_key(|&(_, pending)| pending);
    for &(index, pending) in &readers[1..] {
        let tokens = pending.min(rest);
        given.push((index, tokens));
        rest -= tokens;
    }
    given[0].1 = pending.min(given[0].1 + rest);
    given
        .into_iter()
        .filter(|&(_, tokens)| tokens > 0)
        .map(|(index, tokens)| Share { index, tokens })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_read_beside_a_book() {
        let cut = |readers: &[(usize, usize)], budget| {
            let shares = split(&mut readers.to_vec(), budget);
            shares
                .iter()
                .map(|share| (share.index, share.tokens))
                .collect::<Vec<_>>()
        };
        assert_eq!(cut(&[], 512), []);
        assert_eq!(cut(&[(0, 9000)], 512), [(0, 512)]);
        assert_eq!(cut(&[(0, 9000), (1, 40)], 512), [(0, 472), (1, 40)]);
        assert_eq!(
            cut(&[(0, 9000), (1, 9000), (2, 100)], 512),
            [(0, 256), (2, 100), (1, 156)]
        );
        assert_eq!(cut(&[(3, 10), (4, 20)], 512), [(3, 10), (4, 20)]);
    }
}
