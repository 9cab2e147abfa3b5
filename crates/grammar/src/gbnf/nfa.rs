//! Where one lexeme ends and another could go on.

use std::collections::HashSet;

use super::{
    expression::{Expression, Rules},
    lead::Lead,
};

/// States of one lexeme's automaton; larger lexemes are split.
const MOST_STATES: usize = 4000;
/// Copies of what is repeated a fixed number of times; more are taken for any number, which errs towards splitting.
const MOST_COPIES: u32 = 40;

/// Ways from state to state; the same.
const MOST_STEPS: usize = 20_000;

/// An automaton. State 0 begins.
#[derive(Debug)]
pub(super) struct Nfa {
    states: Vec<State>,
}

#[derive(Debug, Default)]
struct State {
    accepts: bool,
    /// What it can read.
    reads: Lead,
    steps: Vec<(Lead, usize)>,
}

impl Nfa {
    /// The automaton of a regular expression; none if it is too large.
    pub(super) fn new(expression: &Expression, rules: &Rules) -> Option<Self> {
        let mut builder = Builder {
            moves: vec![Moves::default()],
            rules,
        };
        let end = builder.add(expression, 0)?;
        let mut left = MOST_STEPS;
        let mut silent = Silent::new(&builder.moves);
        let states = (0..builder.moves.len()).map(|from| {
            let mut state = State::default();
            for &reached in silent.from(from) {
                state.accepts |= reached == end;
                if let Some((lead, to)) = builder.moves[reached].step {
                    state.reads = state.reads | lead;
                    state.steps.push((lead, to));
                }
            }
            left = left.checked_sub(state.steps.len())?;
            Some(state)
        });
        let states = states.collect::<Option<_>>()?;
        Some(Self { states })
    }

    /// How much there is of it.
    pub(super) fn size(&self) -> usize {
        let steps = self.states.iter().map(|state| state.steps.len());
        self.states.len() + steps.sum::<usize>()
    }

    /// What it can begin with.
    pub(super) fn first(&self) -> Lead {
        self.states[0].reads
    }

    /// Whether some text is a whole `self`, and `other` could read on after it with one of `after`. Each pair of steps
    /// costs one of `budget`; where that is used up, the answer is yes.
    pub(super) fn is_swallowed_by(&self, other: &Self, after: Lead, budget: &mut usize) -> bool {
        let mut seen = HashSet::new();
        // The beginning has read nothing, so it is not asked whether it accepts.
        let mut pending = vec![(0, 0)];
        let mut begun = false;
        while let Some((mine, theirs)) = pending.pop() {
            let (mine, theirs) = (&self.states[mine], &other.states[theirs]);
            if begun && mine.accepts && theirs.reads.meets(after) {
                return true;
            }
            begun = true;
            for &(a, to_a) in &mine.steps {
                for &(b, to_b) in &theirs.steps {
                    if *budget == 0 {
                        return true;
                    }
                    *budget -= 1;
                    if a.meets(b) && seen.insert((to_a, to_b)) {
                        pending.push((to_a, to_b));
                    }
                }
            }
        }
        false
    }
}

/// A state while building: moves that read nothing, and one that reads.
#[derive(Debug, Default)]
struct Moves {
    silent: Vec<usize>,
    step: Option<(Lead, usize)>,
}

/// Finds what is reached without reading.
struct Silent<'a> {
    moves: &'a [Moves],
    /// By state: the search that found it last.
    seen: Vec<usize>,
    search: usize,
    found: Vec<usize>,
}

impl<'a> Silent<'a> {
    fn new(moves: &'a [Moves]) -> Self {
        Self {
            moves,
            seen: vec![0; moves.len()],
            search: 0,
            found: Vec::new(),
        }
    }

    fn from(&mut self, from: usize) -> &[usize] {
        self.search += 1;
        self.found.clear();
        self.found.push(from);
        self.seen[from] = self.search;
        let mut next = 0;
        while let Some(&state) = self.found.get(next) {
            next += 1;
            for &to in &self.moves[state].silent {
                if std::mem::replace(&mut self.seen[to], self.search) != self.search {
                    self.found.push(to);
                }
            }
        }
        &self.found
    }
}

struct Builder<'a> {
    moves: Vec<Moves>,
    rules: &'a Rules,
}

impl Builder<'_> {
    fn state(&mut self) -> Option<usize> {
        self.moves.push(Moves::default());
        (self.moves.len() <= MOST_STATES).then(|| self.moves.len() - 1)
    }

    /// Adds an expression after a state and gives the state after it.
    fn add(&mut self, expression: &Expression, from: usize) -> Option<usize> {
        match expression {
            Expression::Characters(characters) => {
                let to = self.state()?;
                // A state has one step; silent moves lead away from shared ones.
                let alone = self.state()?;
                self.moves[from].silent.push(alone);
                self.moves[alone].step = Some((Lead::of(characters), to));
                Some(to)
            }
            Expression::Rule(rule) => self.add(&self.rules.rules[*rule].body, from),
            Expression::Token { .. } => None,
            Expression::Sequence(items) => items
                .iter()
                .try_fold(from, |from, item| self.add(item, from)),
            Expression::Choice(items) => {
                let to = self.state()?;
                for item in items {
                    let end = self.add(item, from)?;
                    self.moves[end].silent.push(to);
                }
                Some(to)
            }
            Expression::Repeat { of, min, max } => self.repeat(of, *min, *max, from),
        }
    }

    fn repeat(
        &mut self,
        of: &Expression,
        min: u32,
        max: Option<u32>,
        from: usize,
    ) -> Option<usize> {
        let bounded = max.filter(|&max| max <= MOST_COPIES);
        let mut from = from;
        for _ in 0..min.min(MOST_COPIES) {
            from = self.add(of, from)?;
        }
        let to = self.state()?;
        match bounded {
            Some(max) => {
                for _ in min..max {
                    self.moves[from].silent.push(to);
                    from = self.add(of, from)?;
                }
            }
            None => {
                // A state of its own, so that going round does not lead into what stood before.
                let round = self.state()?;
                self.moves[from].silent.push(round);
                let end = self.add(of, round)?;
                self.moves[end].silent.push(round);
                from = round;
            }
        }
        self.moves[from].silent.push(to);
        Some(to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gbnf::{expression::Rule, parse, tests::NoTokens};

    fn nfa(text: &str) -> Nfa {
        let rules = parse::parse(&format!("root ::= {text}"), &NoTokens).unwrap();
        let Rule { body, .. } = &rules.rules[rules.root];
        Nfa::new(body, &rules).unwrap()
    }

    #[test]
    fn a_lexeme_is_swallowed_where_another_goes_on_with_what_follows() {
        for (one, other, after, expected) in [
            ("[a-z]+", "[a-z]+", "[a-z]", true),
            ("[a-z]+", "[a-z]+", "[0-9]", false),
            ("\"a\"", "\"ab\"", "\"b\"", true),
            ("\"a\"", "\"ab\"", "\"c\"", false),
            ("\"b\"", "\"ab\"", "\"b\"", false),
            ("\"ab\"{2}", "(\"a\" | \"b\")* \"c\"", "\"c\"", true),
            ("\"a\"{2,3}", "\"a\"{0,4}", "\"a\"", true),
            ("\"a\"{4}", "\"a\"{0,4}", "\"a\"", false),
            (
                "\"\\\"\" [^\"]* \"\\\"\" [ ]?",
                "\"\\\"\" [^\"]* \"\\\"\" [ ]?",
                "[,]",
                false,
            ),
            ("\"é\"", "\"éa\" | \"éè\"", "\"é\"", true),
            ("[ \\t]*", "[ \\t\\n]*", "\"\\n\"", true),
        ] {
            let after = nfa(after).first();
            let mut budget = 10_000;
            let found = nfa(one).is_swallowed_by(&nfa(other), after, &mut budget);
            assert_eq!(found, expected, "{one} {other}");
        }
        assert!(nfa("\"a\"").is_swallowed_by(&nfa("\"b\""), Lead::default(), &mut 0));
    }
}
