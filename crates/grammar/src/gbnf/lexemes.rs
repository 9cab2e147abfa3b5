//! Which parts of the rules are lexemes.

use std::{
    collections::{HashMap, HashSet},
    rc::Rc,
};

use super::{
    expression::{Expression, Rules},
    lead::Lead,
    nfa::Nfa,
    recursion::{Order, is_regular},
};

/// Pairs of steps that are looked at before giving up and taking single characters.
const BUDGET: usize = 10_000_000;
const MOST_ROUNDS: usize = 100;
const MOST_LEXEMES: usize = 500;
/// States and steps of all automata together.
const MOST_STATES: usize = 1_000_000;

/// The rules over lexemes instead of characters.
#[derive(Debug)]
pub(super) struct Structure {
    pub(super) lexemes: Vec<Expression>,
    /// Whether each lexeme could be empty; it stands for its texts that are not.
    pub(super) nullable: Vec<bool>,
    /// Rules and what they are now; the first is what a text is.
    pub(super) rules: Vec<(usize, Node)>,
}

/// The right side of a rule over lexemes.
#[derive(Debug)]
pub(super) enum Node {
    Lexeme(usize),
    Rule(usize),
    Token {
        id: u32,
        negated: bool,
    },
    Sequence(Vec<Node>),
    Choice(Vec<Node>),
    Repeat {
        of: Box<Node>,
        min: u32,
        max: Option<u32>,
    },
}

pub(super) fn choose(rules: &Rules, order: &Order) -> Structure {
    if order.regular[rules.root] {
        // One lexeme takes the text as a whole: nothing comes after it.
        return Builder::build(rules, order, &HashSet::new(), false);
    }
    let mut split = HashSet::new();
    let mut budget = BUDGET;
    let mut automata = Automata {
        rules,
        known: HashMap::new(),
        left: MOST_STATES,
    };
    for _ in 0..MOST_ROUNDS {
        let structure = Builder::build(rules, order, &split, false);
        if structure.lexemes.len() > MOST_LEXEMES {
            break;
        }
        let follow = Follow::new(order, &structure, automata.of(&structure));
        let swallowing = follow.swallowing(&mut budget);
        if swallowing.is_empty() {
            return structure;
        }
        if budget == 0 || automata.left == 0 {
            break;
        }
        let swallowing = swallowing.into_iter();
        split.extend(swallowing.map(|lexeme| structure.lexemes[lexeme].clone()));
    }
    Builder::build(rules, order, &split, true)
}

/// The automata of lexemes, kept from round to round.
struct Automata<'a> {
    rules: &'a Rules,
    known: HashMap<Expression, Option<Rc<Nfa>>>,
    left: usize,
}

impl Automata<'_> {
    /// One for each lexeme; none where it is too large.
    fn of(&mut self, structure: &Structure) -> Vec<Option<Rc<Nfa>>> {
        let lexemes = structure.lexemes.iter();
        lexemes.map(|lexeme| self.automaton(lexeme)).collect()
    }

    fn automaton(&mut self, lexeme: &Expression) -> Option<Rc<Nfa>> {
        if let Some(known) = self.known.get(lexeme) {
            return known.clone();
        }
        let automaton = Nfa::new(lexeme, self.rules).filter(|automaton| {
            let left = self.left.checked_sub(automaton.size());
            self.left = left.unwrap_or(0);
            left.is_some()
        });
        let automaton = automaton.map(Rc::new);
        self.known.insert(lexeme.clone(), automaton.clone());
        automaton
    }
}

struct Builder<'a> {
    order: &'a Order,
    /// What must not be a lexeme.
    split: &'a HashSet<Expression>,
    /// Whether all but characters is split.
    all: bool,
    lexemes: Vec<Expression>,
    numbers: HashMap<Expression, usize>,
    /// Rules named so far, those past the finished ones still to do.
    named: Vec<usize>,
    is_named: Vec<bool>,
}

impl<'a> Builder<'a> {
    fn build(
        rules: &'a Rules,
        order: &'a Order,
        split: &'a HashSet<Expression>,
        all: bool,
    ) -> Structure {
        let mut builder = Self {
            order,
            split,
            all,
            lexemes: Vec::new(),
            numbers: HashMap::new(),
            named: Vec::new(),
            is_named: vec![false; rules.rules.len()],
        };
        builder.rule(rules.root);
        let mut done = Vec::new();
        while let Some(&rule) = builder.named.get(done.len()) {
            let node = builder.node(&rules.rules[rule].body);
            done.push((rule, node));
        }
        let lexemes = builder.lexemes;
        Structure {
            nullable: lexemes
                .iter()
                .map(|l| l.nullable(&order.nullable))
                .collect(),
            lexemes,
            rules: done,
        }
    }

    fn rule(&mut self, rule: usize) -> Node {
        if !std::mem::replace(&mut self.is_named[rule], true) {
            self.named.push(rule);
        }
        Node::Rule(rule)
    }

    fn node(&mut self, expression: &Expression) -> Node {
        if self.is_lexeme(expression) {
            return self.lexeme(expression);
        }
        match expression {
            Expression::Characters(_) => self.lexeme(expression),
            Expression::Rule(rule) => self.rule(*rule),
            Expression::Token { id, negated } => Node::Token {
                id: *id,
                negated: *negated,
            },
            Expression::Sequence(items) => self.sequence(items),
            Expression::Choice(items) => self.choice(items),
            Expression::Repeat { of, min, max } => Node::Repeat {
                of: Box::new(self.node(of)),
                min: *min,
                max: *max,
            },
        }
    }

    fn is_lexeme(&self, expression: &Expression) -> bool {
        let is_empty = matches!(expression, Expression::Sequence(items) if items.is_empty());
        !self.all
            && !is_empty
            && is_regular(expression, &self.order.regular)
            && !self.split.contains(expression)
    }

    fn lexeme(&mut self, expression: &Expression) -> Node {
        let next = self.lexemes.len();
        let number = *self.numbers.entry(expression.clone()).or_insert(next);
        if number == next {
            self.lexemes.push(expression.clone());
        }
        Node::Lexeme(number)
    }

    /// Runs of regular items become lexemes.
    fn sequence(&mut self, items: &[Expression]) -> Node {
        let mut nodes = Vec::new();
        let regular = |item: &Expression| is_regular(item, &self.order.regular);
        let runs: Vec<&[Expression]> = items.chunk_by(|a, b| regular(a) && regular(b)).collect();
        for run in runs {
            self.run(run, &mut nodes);
        }
        Node::Sequence(nodes)
    }

    /// The longest that swallow nothing, from the left; a single one is split further where it does.
    fn run(&mut self, mut items: &[Expression], nodes: &mut Vec<Node>) {
        while let Some(first) = items.first() {
            let longest = match self.all {
                true => 1,
                false => items.len(),
            };
            let together = (2..=longest).rev().find_map(|length| {
                let together = Expression::Sequence(items[..length].to_vec());
                let is_lexeme = !self.split.contains(&together);
                is_lexeme.then_some((length, together))
            });
            let (length, node) = match together {
                Some((length, together)) => (length, self.lexeme(&together)),
                None => (1, self.node(first)),
            };
            nodes.push(node);
            items = &items[length..];
        }
    }

    /// Regular alternatives become one lexeme, unless that swallows.
    fn choice(&mut self, items: &[Expression]) -> Node {
        let (regular, others): (Vec<_>, Vec<_>) = items
            .iter()
            .cloned()
            .partition(|item| is_regular(item, &self.order.regular));
        let together = Expression::choice(regular.clone());
        if regular.len() > 1 && self.is_lexeme(&together) {
            let mut nodes = vec![self.lexeme(&together)];
            nodes.extend(others.iter().map(|item| self.node(item)));
            return Node::Choice(nodes);
        }
        Node::Choice(items.iter().map(|item| self.node(item)).collect())
    }
}

/// What can come after each lexeme.
struct Follow<'a> {
    order: &'a Order,
    structure: &'a Structure,
    automata: Vec<Option<Rc<Nfa>>>,
    /// By rule: what it can begin with.
    first: Vec<Lead>,
    after_rule: Vec<Lead>,
    after_lexeme: Vec<Lead>,
}

impl<'a> Follow<'a> {
    fn new(order: &'a Order, structure: &'a Structure, automata: Vec<Option<Rc<Nfa>>>) -> Self {
        let rules = order.rules.len();
        let mut follow = Self {
            order,
            structure,
            automata,
            first: vec![Lead::default(); rules],
            after_rule: vec![Lead::default(); rules],
            after_lexeme: vec![Lead::default(); structure.lexemes.len()],
        };
        let place: HashMap<usize, usize> = order
            .rules
            .iter()
            .enumerate()
            .map(|(place, &rule)| (rule, place))
            .collect();
        let mut sorted: Vec<&(usize, Node)> = structure.rules.iter().collect();
        sorted.sort_by_key(|(rule, _)| place[rule]);
        // What rules begin with comes from those they use, what follows them from those that use them.
        while sorted.iter().fold(false, |changed, (rule, node)| {
            let first = follow.first(node);
            changed | (std::mem::replace(&mut follow.first[*rule], first) != first)
        }) {}
        while sorted.iter().rev().fold(false, |changed, (rule, node)| {
            let after = follow.after_rule[*rule];
            follow.spread(node, after) | changed
        }) {}
        follow
    }

    fn first(&self, node: &Node) -> Lead {
        match node {
            Node::Lexeme(lexeme) => {
                let automaton = self.automata[*lexeme].as_ref();
                automaton.map_or(Lead::default(), |automaton| automaton.first())
            }
            Node::Rule(rule) => self.first[*rule],
            Node::Token { .. } => Lead::default(),
            Node::Sequence(items) => {
                let mut lead = Lead::default();
                for item in items {
                    lead = lead | self.first(item);
                    if !self.nullable(item) {
                        break;
                    }
                }
                lead
            }
            Node::Choice(items) => items
                .iter()
                .fold(Lead::default(), |lead, item| lead | self.first(item)),
            Node::Repeat { of, .. } => self.first(of),
        }
    }

    fn nullable(&self, node: &Node) -> bool {
        match node {
            Node::Lexeme(lexeme) => self.structure.nullable[*lexeme],
            Node::Rule(rule) => self.order.nullable[*rule],
            Node::Token { .. } => false,
            Node::Sequence(items) => items.iter().all(|item| self.nullable(item)),
            Node::Choice(items) => items.iter().any(|item| self.nullable(item)),
            Node::Repeat { of, min, .. } => *min == 0 || self.nullable(of),
        }
    }

    /// Notes what can come after the parts of a node that something can come after. Whether that was new.
    fn spread(&mut self, node: &Node, after: Lead) -> bool {
        match node {
            Node::Lexeme(lexeme) => add(&mut self.after_lexeme[*lexeme], after),
            Node::Rule(rule) => add(&mut self.after_rule[*rule], after),
            Node::Token { .. } => false,
            Node::Sequence(items) => {
                let mut after = after;
                let mut changed = false;
                for item in items.iter().rev() {
                    changed |= self.spread(item, after);
                    let first = self.first(item);
                    after = if self.nullable(item) {
                        after | first
                    } else {
                        first
                    };
                }
                changed
            }
            Node::Choice(items) => items
                .iter()
                .fold(false, |changed, item| self.spread(item, after) | changed),
            Node::Repeat { of, max, .. } => {
                let again = match max {
                    Some(1) => Lead::default(),
                    _ => self.first(of),
                };
                self.spread(of, after | again)
            }
        }
    }

    /// The lexemes that read on where another ends and the rules want something to follow.
    fn swallowing(&self, budget: &mut usize) -> Vec<usize> {
        let lexemes = 0..self.structure.lexemes.len();
        let swallows = |&other: &usize| {
            if matches!(self.structure.lexemes[other], Expression::Characters(_)) {
                return false;
            }
            let Some(longer) = &self.automata[other] else {
                return true;
            };
            let mut shorter = self.automata.iter().zip(&self.after_lexeme);
            shorter.any(|(shorter, &after)| {
                let shorter = shorter.as_ref();
                shorter.is_some_and(|shorter| {
                    shorter.first().meets(longer.first())
                        && shorter.is_swallowed_by(longer, after, budget)
                })
            })
        };
        lexemes.filter(swallows).collect()
    }
}

fn add(to: &mut Lead, more: Lead) -> bool {
    let sum = *to | more;
    std::mem::replace(to, sum) != sum
}
