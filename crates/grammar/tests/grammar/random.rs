//! Random grammars: GBNF against a recogniser that tries everything, and arbitrary text.

use std::{
    cell::RefCell,
    collections::{BTreeSet, HashMap},
    fmt::Write,
};

use hearth_grammar::{Error, Grammar};
use proptest::prelude::*;

use crate::support::{bytes, takes};

/// A right side over the letters a, b, c.
#[derive(Clone, Debug)]
enum Item {
    Text(String),
    Class(BTreeSet<char>),
    Rule(usize),
    Sequence(Vec<Item>),
    Choice(Vec<Item>),
    Repeat(Box<Item>, usize, Option<usize>),
}

const RULES: usize = 4;

fn item() -> impl Strategy<Value = Item> {
    let leaf = prop_oneof![
        "[abc]{1,3}".prop_map(Item::Text),
        prop::collection::btree_set(prop::sample::select(vec!['a', 'b', 'c']), 1..3)
            .prop_map(Item::Class),
        (0..RULES).prop_map(Item::Rule),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Item::Sequence),
            prop::collection::vec(inner.clone(), 1..4).prop_map(Item::Choice),
            (inner, 0..3_usize, prop::option::of(0..2_usize)).prop_map(|(item, min, more)| {
                Item::Repeat(Box::new(item), min, more.map(|more| min + more))
            }),
        ]
    })
}

fn print(item: &Item, out: &mut String) {
    let mut list = |items: &[Item], between: &str| {
        out.push('(');
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                out.push_str(between);
            }
            print(item, out);
        }
        out.push(')');
    };
    match item {
        Item::Text(text) => write!(out, "\"{text}\"").unwrap(),
        Item::Class(set) => write!(out, "[{}]", set.iter().collect::<String>()).unwrap(),
        Item::Rule(0) => out.push_str("root"),
        Item::Rule(rule) => write!(out, "r{rule}").unwrap(),
        Item::Sequence(items) => list(items, " "),
        Item::Choice(items) => list(items, " | "),
        Item::Repeat(item, min, max) => {
            list(std::slice::from_ref(item), "");
            match max {
                None => write!(out, "{{{min},}}").unwrap(),
                Some(max) => write!(out, "{{{min},{max}}}").unwrap(),
            }
        }
    }
}

/// What the rules make of a text.
struct Reading<'a> {
    rules: &'a [Item],
    text: &'a [u8],
    /// By rule and beginning: rules that name each other would be tried over and over.
    known: RefCell<HashMap<(usize, usize), BTreeSet<usize>>>,
}

impl Reading<'_> {
    /// Where what begins at `from` can end. Terminates because rules do not begin with themselves.
    fn ends(&self, item: &Item, from: usize) -> BTreeSet<usize> {
        match item {
            Item::Text(literal) => {
                let found = self.text[from..].starts_with(literal.as_bytes());
                found.then(|| from + literal.len()).into_iter().collect()
            }
            Item::Class(set) => {
                let byte = self.text.get(from);
                let found = byte.is_some_and(|&byte| set.contains(&char::from(byte)));
                found.then_some(from + 1).into_iter().collect()
            }
            Item::Rule(rule) => {
                let known = self.known.borrow().get(&(*rule, from)).cloned();
                known.unwrap_or_else(|| {
                    let ends = self.ends(&self.rules[*rule], from);
                    let mut known = self.known.borrow_mut();
                    known.insert((*rule, from), ends.clone());
                    ends
                })
            }
            Item::Sequence(items) => items.iter().fold(BTreeSet::from([from]), |places, item| {
                let each = places.iter();
                each.flat_map(|&from| self.ends(item, from)).collect()
            }),
            Item::Choice(items) => {
                let each = items.iter();
                each.flat_map(|item| self.ends(item, from)).collect()
            }
            Item::Repeat(item, min, max) => {
                let mut places = BTreeSet::from([from]);
                let mut found = BTreeSet::new();
                // Beyond the text's length further rounds read nothing new.
                let rounds = max.unwrap_or(min + self.text.len() + 1);
                for round in 0..=rounds {
                    if round >= *min {
                        found.extend(&places);
                    }
                    if round < rounds {
                        let each = places.iter();
                        places = each.flat_map(|&from| self.ends(item, from)).collect();
                    }
                }
                found
            }
        }
    }
}

fn texts() -> impl Iterator<Item = String> {
    (0..=4_u32).flat_map(|length| {
        (0..3_usize.pow(length)).map(move |number| {
            let letter = |place| char::from(b'a' + (number / 3_usize.pow(place) % 3) as u8);
            (0..length).map(letter).collect()
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, max_global_rejects: 10_000, ..ProptestConfig::default() })]

    #[test]
    fn gbnf_takes_what_its_rules_spell(rules in prop::collection::vec(item(), RULES)) {
        let mut text = String::new();
        for (index, rule) in rules.iter().enumerate() {
            match index {
                0 => text.push_str("root ::= "),
                _ => write!(text, "r{index} ::= ").unwrap(),
            }
            print(rule, &mut text);
            text.push('\n');
        }
        let start = match bytes().matcher(&Grammar::Gbnf(text.clone())) {
            Ok(start) => start,
            Err(Error::Gbnf { reason, .. }) => {
                let refused = ["left recursion", "never ends"];
                prop_assume!(!refused.iter().any(|known| reason.contains(known)));
                panic!("{text}: {reason}");
            }
            Err(other) => panic!("{text}: {other}"),
        };
        for candidate in texts() {
            let reading = Reading { rules: &rules, text: candidate.as_bytes(), known: RefCell::default() };
            let expected = reading.ends(&rules[0], 0).contains(&candidate.len());
            prop_assert_eq!(takes(&start, &candidate), expected, "{:?} under\n{}", candidate, text);
        }
    }

    #[test]
    fn arbitrary_text_is_no_reason_to_panic(text in "\\PC{0,40}", tail in "[\\x00-\\x7f]{0,30}") {
        for grammar in [
            Grammar::Gbnf(format!("root ::= {text}{tail}")),
            Grammar::Gbnf(format!("{text}\n{tail}")),
            Grammar::Regex(text.clone() + &tail),
            Grammar::Lark(format!("start: {text}{tail}")),
        ] {
            if let Ok(mut matcher) = bytes().matcher(&grammar) {
                let _ = matcher.mask();
            }
        }
    }

    #[test]
    fn gbnf_like_text_is_no_reason_to_panic(parts in prop::collection::vec(prop::sample::select(vec![
        "root ::= ", "a ::= ", "a", "root", "\"", "\"x\"", "[", "]", "^", "-", "(", ")", "|", "*", "+", "?", "{", "}", "2", ",", "<[", "]>", "<tool>", "!", ".", "\\", "x41", "#", "\n", " ", "é",
    ]), 0..30)) {
        let _ = bytes().matcher(&Grammar::Gbnf(parts.concat()));
    }
}
