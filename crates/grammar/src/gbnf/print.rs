//! Writing Lark.

use std::fmt::Write;

use super::{
    expression::{Characters, Expression, Rules},
    lexemes::{Node, Structure},
};

/// Lark's reader takes so many groups within each other, and some more.
const DEEPEST: usize = 20;

/// The grammar as Lark: rules `r…`, lexemes `T…`, and what those use as `R…` and `X…`.
pub(super) fn lark(rules: &Rules, structure: &Structure, ends: &[u32]) -> String {
    let mut printer = Printer {
        structure,
        ends,
        out: String::new(),
        parts: 0,
        named: Vec::new(),
        is_named: vec![false; rules.rules.len()],
    };
    printer.define("start", &format!("r{}", rules.root));
    for (rule, node) in &structure.rules {
        let text = printer.node(node, 0);
        printer.define(&format!("r{rule}"), &text);
    }
    for (number, lexeme) in structure.lexemes.iter().enumerate() {
        let text = match structure.nullable[number] {
            true => printer.not_empty(lexeme),
            false => printer.terminal(lexeme, 0),
        };
        printer.define(&format!("T{number}"), &text);
    }
    let mut done = 0;
    while let Some(&rule) = printer.named.get(done) {
        let text = printer.terminal(&rules.rules[rule].body, 0);
        printer.define(&format!("R{rule}"), &text);
        done += 1;
    }
    printer.out
}

struct Printer<'a> {
    structure: &'a Structure,
    ends: &'a [u32],
    out: String,
    parts: usize,
    /// Rules that lexemes use.
    named: Vec<usize>,
    is_named: Vec<bool>,
}

impl Printer<'_> {
    fn define(&mut self, name: &str, text: &str) {
        self.out.push_str(name);
        self.out.push_str(": ");
        self.out.push_str(text);
        self.out.push('\n');
    }

    fn node(&mut self, node: &Node, depth: usize) -> String {
        match node {
            Node::Lexeme(lexeme) if self.structure.nullable[*lexeme] => format!("(T{lexeme}?)"),
            Node::Lexeme(lexeme) => format!("T{lexeme}"),
            Node::Rule(rule) => format!("r{rule}"),
            Node::Token { id, negated } => self.token(*id, *negated),
            Node::Sequence(items) if items.is_empty() => "\"\"".to_owned(),
            Node::Sequence(items) | Node::Choice(items) => {
                let items: Vec<String> = items
                    .iter()
                    .map(|item| self.node(item, depth + 1))
                    .collect();
                let between = match node {
                    Node::Choice(_) => " | ",
                    _ => " ",
                };
                self.group(items.join(between), depth, "p")
            }
            Node::Repeat { of, min, max } => {
                let item = self.node(of, depth + 1);
                // The item may end in an operator of its own.
                let item = self.group(item, depth.max(1), "p");
                item + &operator(*min, *max)
            }
        }
    }

    /// A group inside others; one too deep gets a name instead.
    fn group(&mut self, text: String, depth: usize, prefix: &str) -> String {
        match depth {
            0 => text,
            1..DEEPEST => format!("({text})"),
            _ => {
                let name = format!("{prefix}{}", self.parts);
                self.parts += 1;
                self.define(&name, &text);
                name
            }
        }
    }

    fn token(&self, id: u32, negated: bool) -> String {
        if !negated {
            return format!("<[{id}]>");
        }
        // An end is no part of a text.
        let others = self.ends.iter().filter(|&&end| end != id);
        let list = others.fold(id.to_string(), |list, end| format!("{list},{end}"));
        format!("<[^{list}]>")
    }

    fn terminal(&mut self, expression: &Expression, depth: usize) -> String {
        match expression {
            Expression::Characters(characters) => format!("/{}/", class(characters)),
            Expression::Rule(rule) => {
                if !std::mem::replace(&mut self.is_named[*rule], true) {
                    self.named.push(*rule);
                }
                format!("R{rule}")
            }
            // Lexemes have none.
            Expression::Token { id, negated } => self.token(*id, *negated),
            Expression::Sequence(items) if items.is_empty() => "\"\"".to_owned(),
            Expression::Sequence(items) => {
                let text = self.run(items, depth + 1);
                self.group(text, depth, "X")
            }
            Expression::Choice(items) => {
                let items: Vec<String> = items
                    .iter()
                    .map(|item| self.terminal(item, depth + 1))
                    .collect();
                self.group(items.join(" | "), depth, "X")
            }
            Expression::Repeat { of, min, max } => {
                let item = self.terminal(of, depth + 1);
                let item = self.group(item, depth.max(1), "X");
                item + &operator(*min, *max)
            }
        }
    }

    /// A sequence, with characters that stand together as one expression.
    fn run(&mut self, items: &[Expression], depth: usize) -> String {
        let mut out = String::new();
        for chunk in items.chunk_by(|a, b| is_character(a) && is_character(b)) {
            if !out.is_empty() {
                out.push(' ');
            }
            if let Some(classes) = chunk.iter().map(as_class).collect::<Option<String>>() {
                let _ = write!(out, "/{classes}/");
                continue;
            }
            for item in chunk {
                out += &self.terminal(item, depth);
            }
        }
        out
    }

    /// A lexeme without the empty text.
    fn not_empty(&mut self, expression: &Expression) -> String {
        match expression {
            Expression::Repeat { of, min: 0, max } if matches!(**of, Expression::Characters(_)) => {
                self.terminal(of, 1) + &operator(1, *max)
            }
            _ => {
                let text = self.terminal(expression, 1);
                format!("{text} & /(?s:.)+/")
            }
        }
    }
}

fn is_character(expression: &Expression) -> bool {
    matches!(expression, Expression::Characters(_))
}

fn as_class(expression: &Expression) -> Option<String> {
    match expression {
        Expression::Characters(characters) => Some(class(characters)),
        _ => None,
    }
}

fn operator(min: u32, max: Option<u32>) -> String {
    match (min, max) {
        (0, None) => "*".to_owned(),
        (1, None) => "+".to_owned(),
        (0, Some(1)) => "?".to_owned(),
        (min, None) => format!("{{{min},}}"),
        (min, Some(max)) if min == max => format!("{{{min}}}"),
        (min, Some(max)) => format!("{{{min},{max}}}"),
    }
}

/// A set as a regular expression.
fn class(characters: &Characters) -> String {
    match characters.ranges() {
        [(low, high)] if low == high => escaped(*low),
        ranges => {
            let ranges = ranges.iter().map(|&(low, high)| match low == high {
                true => escaped(low),
                false => format!("{}-{}", escaped(low), escaped(high)),
            });
            format!("[{}]", ranges.collect::<String>())
        }
    }
}

fn escaped(character: u32) -> String {
    match char::from_u32(character) {
        Some(c) if c.is_ascii_alphanumeric() => c.to_string(),
        _ => format!("\\x{{{character:x}}}"),
    }
}
