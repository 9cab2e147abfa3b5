//! Tokens as a tree.
//!
//! Blocks and parentheses are read by recursion, which [`MAX_DEPTH`] bounds; chains of `else if`
//! are read by a loop.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::ast::{Choice, Command, Name, Node, Pipe, Term};
use super::budget::{MAX_DEPTH, limit};
use super::functions::Function;
use super::lexer::{Kind, Token, tokens};
use crate::error::{Error, Result};

/// The largest template; the largest in the wild has some 10 KB.
const MAX_SOURCE: usize = 1 << 20;

/// The main template, and those that `define` and `block` name.
#[derive(Debug, Clone, Default)]
pub(super) struct Program {
    pub(super) root: Vec<Node>,
    pub(super) defined: HashMap<Name, Vec<Node>>,
}

/// Reads a template.
pub(super) fn parse(source: &str) -> Result<Program> {
    if source.len() > MAX_SOURCE {
        return Err(limit(format!(
            "it has {} bytes, at most {MAX_SOURCE} are read",
            source.len()
        )));
    }
    let mut parser = Parser {
        tokens: tokens(source)?,
        at: 0,
        variables: vec!["$".into()],
        loops: 0,
        depth: 0,
        defined: HashMap::new(),
    };
    let root = parser.main()?;
    Ok(Program {
        root,
        defined: parser.defined,
    })
}

/// What may surround a pipeline.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    Action,
    Range,
    Parentheses,
}

/// What ends a list of nodes.
#[derive(Clone, Copy, PartialEq)]
enum Stop {
    End,
    Else,
}

struct Parser<'s> {
    tokens: Vec<Token<'s>>,
    at: usize,
    /// The variables declared so far, in the blocks that are open.
    variables: Vec<Name>,
    /// How many `range` are open.
    loops: usize,
    depth: usize,
    defined: HashMap<Name, Vec<Node>>,
}

impl<'s> Parser<'s> {
    /// The whole source; the only place where `define` may stand.
    fn main(&mut self) -> Result<Vec<Node>> {
        let mut root = Vec::new();
        loop {
            match self.peek() {
                Kind::End => return Ok(root),
                Kind::Open if self.peek_at(1) == &Kind::Word("define") => {
                    self.at += 2;
                    let name = self.name("define")?;
                    self.close("define")?;
                    let body = self.body("define")?;
                    self.define(name, body)?;
                }
                _ => match self.node()? {
                    Ok(node) => root.push(node),
                    Err(_) => return Err(self.error("an end or else without its block")),
                },
            }
        }
    }

    /// The body of a template of its own: no variables and no loop of the outside are seen in it.
    fn body(&mut self, what: &str) -> Result<Vec<Node>> {
        let variables = std::mem::replace(&mut self.variables, vec!["$".into()]);
        let loops = std::mem::take(&mut self.loops);
        let (body, stop) = self.list()?;
        if stop != Stop::End {
            return Err(self.error(format!("expected the end of a {what}, found else")));
        }
        (self.variables, self.loops) = (variables, loops);
        Ok(body)
    }

    /// Adds a template. A blank one gives way to another of its name.
    fn define(&mut self, name: Name, body: Vec<Node>) -> Result<()> {
        let blank = |body: &[Node]| {
            body.iter()
                .all(|node| matches!(node, Node::Text(text) if text.trim_ascii().is_empty()))
        };
        match self.defined.entry(name) {
            Entry::Vacant(entry) => {
                entry.insert(body);
            }
            Entry::Occupied(mut entry) if blank(entry.get()) => {
                entry.insert(body);
            }
            Entry::Occupied(_) if blank(&body) => {}
            Entry::Occupied(entry) => {
                let message = format!("the template {:?} is defined twice", entry.key());
                return Err(self.error(message));
            }
        }
        Ok(())
    }

    /// Nodes up to the `end` or `else` that closes them, which is read too. After an `else`, an
    /// `if` or `with` may still stand before the `}}`.
    fn list(&mut self) -> Result<(Vec<Node>, Stop)> {
        self.deeper(|parser| {
            let mut nodes = Vec::new();
            loop {
                if *parser.peek() == Kind::End {
                    return Err(parser.error("the template ends before the end of a block"));
                }
                match parser.node()? {
                    Ok(node) => nodes.push(node),
                    Err(stop) => return Ok((nodes, stop)),
                }
            }
        })
    }

    /// A text or an action; `Err` is what ends a list.
    fn node(&mut self) -> Result<std::result::Result<Node, Stop>> {
        if let Kind::Text(text) = *self.peek() {
            self.at += 1;
            return Ok(Ok(Node::Text(text.into())));
        }
        self.expect(&Kind::Open, "a text or an action")?;
        let Kind::Word(word) = *self.peek() else {
            return Ok(Ok(Node::Action(self.pipe(Place::Action, "an action")?)));
        };
        self.at += 1;
        Ok(Ok(match word {
            "if" | "with" => self.choice(word)?,
            "range" => self.range()?,
            "template" => self.call()?,
            "block" => self.block()?,
            "break" | "continue" => {
                self.close(word)?;
                if self.loops == 0 {
                    return Err(self.error(format!("{word} outside of a range")));
                }
                if word == "break" {
                    Node::Break
                } else {
                    Node::Continue
                }
            }
            "end" => {
                self.close("end")?;
                return Ok(Err(Stop::End));
            }
            "else" => {
                if !matches!(self.peek(), Kind::Word("if" | "with")) {
                    self.close("else")?;
                }
                return Ok(Err(Stop::Else));
            }
            _ => {
                self.at -= 1;
                Node::Action(self.pipe(Place::Action, "an action")?)
            }
        }))
    }

    fn choice(&mut self, word: &str) -> Result<Node> {
        let known = self.variables.len();
        let mut choice = Choice {
            sets_dot: word == "with",
            branches: Vec::new(),
            otherwise: Vec::new(),
        };
        loop {
            let pipe = self.pipe(Place::Action, word)?;
            let (body, stop) = self.list()?;
            choice.branches.push((pipe, body));
            if stop == Stop::End {
                break;
            }
            match *self.peek() {
                Kind::Word(next) if next == word => self.at += 1,
                Kind::Word(next @ ("if" | "with")) => {
                    return Err(self.error(format!("else {next} does not continue a {word}")));
                }
                _ => {
                    choice.otherwise = self.last(word)?;
                    break;
                }
            }
        }
        self.variables.truncate(known);
        Ok(Node::Choice(choice))
    }

    fn range(&mut self) -> Result<Node> {
        let known = self.variables.len();
        let pipe = self.pipe(Place::Range, "range")?;
        self.loops += 1;
        let (body, stop) = self.list()?;
        self.loops -= 1;
        let otherwise = if stop == Stop::Else {
            self.last("range")?
        } else {
            Vec::new()
        };
        self.variables.truncate(known);
        Ok(Node::Range {
            pipe,
            body,
            otherwise,
        })
    }

    /// The nodes after the last `else` of a block.
    fn last(&mut self, word: &str) -> Result<Vec<Node>> {
        if matches!(self.peek(), Kind::Word(_)) {
            return Err(self.error(format!("only else itself may follow in a {word}")));
        }
        let (body, stop) = self.list()?;
        if stop == Stop::Else {
            return Err(self.error(format!("expected the end of a {word}, found another else")));
        }
        Ok(body)
    }

    fn call(&mut self) -> Result<Node> {
        let line = self.line();
        let name = self.name("template")?;
        let pipe = if *self.peek() == Kind::Close {
            self.at += 1;
            None
        } else {
            Some(self.pipe(Place::Action, "template")?)
        };
        Ok(Node::Call { line, name, pipe })
    }

    /// Defines a template and calls it in its place.
    fn block(&mut self) -> Result<Node> {
        let line = self.line();
        let name = self.name("block")?;
        let pipe = Some(self.pipe(Place::Action, "block")?);
        let body = self.body("block")?;
        self.define(name.clone(), body)?;
        Ok(Node::Call { line, name, pipe })
    }

    fn name(&mut self, what: &str) -> Result<Name> {
        let Kind::Quoted(text) = self.peek() else {
            return Err(self.unexpected(&format!("the name of a {what} in quotes")));
        };
        let name = String::from_utf8_lossy(text).into();
        self.at += 1;
        Ok(name)
    }

    /// A pipeline and what closes it.
    fn pipe(&mut self, place: Place, what: &str) -> Result<Pipe> {
        let line = self.line();
        let (variables, assigns) = self.declarations(place)?;
        let mut commands = Vec::new();
        let end = match place {
            Place::Parentheses => Kind::Mark(')'),
            Place::Action | Place::Range => Kind::Close,
        };
        while *self.peek() != end {
            let command = self.command()?;
            let constant = matches!(
                command.head,
                Term::Bool(_)
                    | Term::Dot
                    | Term::Nil
                    | Term::Int(_)
                    | Term::Float(_)
                    | Term::Text(_)
            );
            if constant && !commands.is_empty() {
                return Err(self.error("a constant cannot take the value of a pipeline"));
            }
            commands.push(command);
        }
        self.at += 1;
        if commands.is_empty() {
            return Err(self.error(format!("{what} has no value")));
        }
        Ok(Pipe {
            line,
            variables,
            assigns,
            commands,
        })
    }

    /// `$x :=`, `$x =`, and `$i, $x :=` in a range.
    fn declarations(&mut self, place: Place) -> Result<(Vec<Name>, bool)> {
        let mut names: Vec<Name> = Vec::new();
        while let Kind::Variable(name) = *self.peek() {
            let next = self.peek_at(1);
            let assigns = *next == Kind::Mark('=');
            let ends = assigns || *next == Kind::Declare;
            if !ends && *next != Kind::Mark(',') {
                break;
            }
            if !ends && (place != Place::Range || !names.is_empty()) {
                return Err(self.error("only a range declares two variables, and none more"));
            }
            self.at += 2;
            names.push(name.into());
            if ends {
                self.variables.extend(names.iter().cloned());
                return Ok((names, assigns));
            }
        }
        if !names.is_empty() {
            return Err(self.unexpected("a second variable and := in a range"));
        }
        Ok((names, false))
    }

    /// Operands up to `|`, which is read, or up to what closes the pipeline.
    fn command(&mut self) -> Result<Command> {
        let line = self.line();
        let head = self.operand()?;
        let mut arguments = Vec::new();
        loop {
            match self.peek() {
                Kind::Mark('|') => {
                    self.at += 1;
                    break;
                }
                Kind::Close | Kind::Mark(')') => break,
                _ if !self.tokens[self.at].spaced => {
                    return Err(self.unexpected("a blank between operands"));
                }
                _ => arguments.push(self.operand()?),
            }
        }
        Ok(Command {
            line,
            head,
            arguments,
        })
    }

    /// A term and the fields that follow it without a blank.
    fn operand(&mut self) -> Result<Term> {
        let term = self.term()?;
        let mut fields: Vec<Name> = Vec::new();
        while let (Kind::Field(name), false) = (self.peek(), self.tokens[self.at].spaced) {
            fields.push((*name).into());
            self.at += 1;
        }
        if fields.is_empty() {
            return Ok(term);
        }
        Ok(match term {
            Term::Field(mut first) => {
                first.extend(fields);
                Term::Field(first)
            }
            Term::Variable(name, _) => Term::Variable(name, fields),
            Term::Pipe(_) | Term::Function(_) => Term::Chain(Box::new(term), fields),
            _ => return Err(self.error(format!("a constant has no field .{}", fields[0]))),
        })
    }

    fn term(&mut self) -> Result<Term> {
        let kind = self.peek().clone();
        let term = match kind {
            Kind::Dot => Term::Dot,
            Kind::Field(name) => Term::Field(vec![name.into()]),
            Kind::Variable(name) if self.variables.iter().any(|known| &**known == name) => {
                Term::Variable(name.into(), Vec::new())
            }
            Kind::Variable(name) => {
                return Err(self.error(format!("the variable {name} is not declared")));
            }
            Kind::Quoted(text) => Term::Text(text),
            Kind::Int(number) => Term::Int(number),
            Kind::Float(number) => Term::Float(number),
            Kind::Word("nil") => Term::Nil,
            Kind::Word("true") => Term::Bool(true),
            Kind::Word("false") => Term::Bool(false),
            Kind::Word(name) => {
                let function = Function::named(name).map_err(|message| self.error(message))?;
                Term::Function(function)
            }
            Kind::Mark('(') => {
                self.at += 1;
                let pipe = self.deeper(|parser| parser.pipe(Place::Parentheses, "( )"))?;
                return Ok(Term::Pipe(Box::new(pipe)));
            }
            _ => return Err(self.unexpected("an operand")),
        };
        self.at += 1;
        Ok(term)
    }

    /// Runs `read` one level further down.
    fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.depth == MAX_DEPTH {
            return Err(limit(format!(
                "its blocks and parentheses are nested more than {MAX_DEPTH} deep"
            )));
        }
        self.depth += 1;
        let result = read(self);
        self.depth -= 1;
        result
    }

    fn close(&mut self, word: &str) -> Result<()> {
        self.expect(&Kind::Close, &format!("}}}} after {word}"))
    }

    fn expect(&mut self, kind: &Kind, what: &str) -> Result<()> {
        if self.peek() != kind {
            return Err(self.unexpected(what));
        }
        self.at += 1;
        Ok(())
    }

    fn peek(&self) -> &Kind<'s> {
        self.peek_at(0)
    }

    /// The token `ahead` of the next one; the last token repeats.
    fn peek_at(&self, ahead: usize) -> &Kind<'s> {
        let at = (self.at + ahead).min(self.tokens.len() - 1);
        &self.tokens[at].kind
    }

    fn line(&self) -> usize {
        self.tokens[self.at.min(self.tokens.len() - 1)].line
    }

    fn unexpected(&self, expected: &str) -> Error {
        let found = match self.peek() {
            Kind::Text(_) => "text".to_owned(),
            Kind::Open => "{{".to_owned(),
            Kind::Close => "}}".to_owned(),
            Kind::Word(word) | Kind::Variable(word) => (*word).to_owned(),
            Kind::Dot => "a dot".to_owned(),
            Kind::Field(name) => format!(".{name}"),
            Kind::Quoted(_) => "a string".to_owned(),
            Kind::Int(number) => number.to_string(),
            Kind::Float(number) => number.to_string(),
            Kind::Mark(mark) => mark.to_string(),
            Kind::Declare => ":=".to_owned(),
            Kind::End => "the end of the template".to_owned(),
        };
        self.error(format!("expected {expected}, found {found}"))
    }

    fn error(&self, message: impl Into<String>) -> Error {
        Error::Syntax {
            line: self.line(),
            message: message.into(),
        }
    }
}
