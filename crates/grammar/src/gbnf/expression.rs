//! What rules are made of.

/// A set of characters: ascending ranges that neither touch nor hold surrogates.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Characters(Vec<(u32, u32)>);

const SURROGATES: (u32, u32) = (0xd800, 0xdfff);
const LAST: u32 = char::MAX as u32;

impl Characters {
    pub(super) fn one(character: char) -> Self {
        Self(vec![(character.into(), character.into())])
    }

    pub(super) fn any() -> Self {
        Self::of(Vec::new(), true)
    }

    /// The characters of some ranges, or all others.
    pub(super) fn of(mut ranges: Vec<(u32, u32)>, negated: bool) -> Self {
        // Surrogates are no characters: both forms leave them out.
        if negated {
            ranges.push(SURROGATES);
        }
        ranges.sort_unstable();
        let mut merged: Vec<(u32, u32)> = Vec::new();
        for (low, high) in ranges {
            match merged.last_mut() {
                Some(last) if low <= last.1.saturating_add(1) => last.1 = last.1.max(high),
                _ => merged.push((low, high)),
            }
        }
        Self(if negated {
            complement(&merged)
        } else {
            merged.into_iter().flat_map(without_surrogates).collect()
        })
    }

    pub(super) fn ranges(&self) -> &[(u32, u32)] {
        &self.0
    }
}

fn complement(ranges: &[(u32, u32)]) -> Vec<(u32, u32)> {
    let mut out = Vec::new();
    let mut next = 0;
    for &(low, high) in ranges {
        if low > next {
            out.push((next, low - 1));
        }
        next = next.max(high.saturating_add(1));
    }
    if next <= LAST {
        out.push((next, LAST));
    }
    out
}

fn without_surrogates((low, high): (u32, u32)) -> impl Iterator<Item = (u32, u32)> {
    let below = (low, high.min(SURROGATES.0 - 1));
    let above = (low.max(SURROGATES.1 + 1), high);
    [below, above].into_iter().filter(|(low, high)| low <= high)
}

/// The right side of a rule.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Expression {
    /// One character of a set.
    Characters(Characters),
    /// A rule, by index.
    Rule(usize),
    /// One token, or any but that.
    Token { id: u32, negated: bool },
    /// One after the other; none is the empty text.
    Sequence(Vec<Expression>),
    /// One of several.
    Choice(Vec<Expression>),
    /// Between `min` and `max` times.
    Repeat {
        of: Box<Expression>,
        min: u32,
        max: Option<u32>,
    },
}

impl Expression {
    /// A sequence, unless it is of one.
    pub(super) fn sequence(mut items: Vec<Self>) -> Self {
        match items.len() {
            1 => items.remove(0),
            _ => Self::Sequence(items),
        }
    }

    /// A choice, unless it is of one.
    pub(super) fn choice(mut items: Vec<Self>) -> Self {
        match items.len() {
            1 => items.remove(0),
            _ => Self::Choice(items),
        }
    }

    pub(super) fn children(&self) -> &[Self] {
        match self {
            Self::Characters(_) | Self::Rule(_) | Self::Token { .. } => &[],
            Self::Sequence(items) | Self::Choice(items) => items,
            Self::Repeat { of, .. } => std::slice::from_ref(of),
        }
    }

    /// Whether it can be empty, given which rules can.
    pub(super) fn nullable(&self, rules: &[bool]) -> bool {
        match self {
            Self::Characters(_) | Self::Token { .. } => false,
            Self::Rule(rule) => rules[*rule],
            Self::Sequence(items) => items.iter().all(|item| item.nullable(rules)),
            Self::Choice(items) => items.iter().any(|item| item.nullable(rules)),
            Self::Repeat { of, min, max } => *min == 0 || *max == Some(0) || of.nullable(rules),
        }
    }
}

impl Expression {
    /// Characters that it has with its repetitions written out, given those of rules.
    pub(super) fn weight(&self, rules: &[u64]) -> u64 {
        let inner = || {
            let weights = self.children().iter().map(|child| child.weight(rules));
            weights.fold(0, u64::saturating_add)
        };
        match self {
            Self::Characters(_) | Self::Token { .. } => 1,
            Self::Rule(rule) => rules[*rule],
            Self::Sequence(_) | Self::Choice(_) => inner(),
            Self::Repeat { min, max, .. } => {
                let most = max.unwrap_or(*min).max(1);
                inner().saturating_mul(most.into())
            }
        }
    }

    /// Whether some text fits, given of which rules that is known.
    pub(super) fn ends(&self, rules: &[bool]) -> bool {
        match self {
            Self::Characters(_) | Self::Token { .. } => true,
            Self::Rule(rule) => rules[*rule],
            Self::Sequence(items) => items.iter().all(|item| item.ends(rules)),
            Self::Choice(items) => items.iter().any(|item| item.ends(rules)),
            Self::Repeat { of, min, .. } => *min == 0 || of.ends(rules),
        }
    }
}

/// A grammar.
#[derive(Debug)]
pub(super) struct Rules {
    /// By index. All are defined.
    pub(super) rules: Vec<Rule>,
    /// The rule that a text is.
    pub(super) root: usize,
}

/// A rule and where it stands.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) name: String,
    pub(super) offset: usize,
    pub(super) body: Expression,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_merged_and_hold_no_surrogates() {
        for (ranges, negated, expected) in [
            (vec![(5, 6), (1, 2), (3, 3)], false, vec![(1, 3), (5, 6)]),
            (
                vec![(0xd000, 0xe000)],
                false,
                vec![(0xd000, 0xd7ff), (0xe000, 0xe000)],
            ),
            (vec![(0xd800, 0xd801)], false, vec![]),
            (vec![(0, 9)], true, vec![(10, 0xd7ff), (0xe000, LAST)]),
            (vec![(0, LAST)], true, vec![]),
            (vec![], true, vec![(0, 0xd7ff), (0xe000, LAST)]),
        ] {
            assert_eq!(Characters::of(ranges, negated).ranges(), expected);
        }
    }
}
