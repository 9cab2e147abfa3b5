//! The text of a template as tokens.
//!
//! Outside of `{{ … }}` everything is text. Inside, white space separates operands, so a token
//! says whether white space stands before it. The trim marks (`{{- ` and ` -}}`, each with its
//! white space) are applied here: the parser never sees the white space that they remove.

use super::literal;
use super::value::Text;
use crate::error::{Error, Result};

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind<'s> {
    /// Text outside of actions; never empty.
    Text(&'s str),
    /// `{{`
    Open,
    /// `}}`
    Close,
    /// A name or keyword.
    Word(&'s str),
    /// `.`
    Dot,
    /// The name after a dot.
    Field(&'s str),
    /// With its `$`.
    Variable(&'s str),
    Quoted(Text),
    Int(i64),
    Float(f64),
    /// `( ) | , =`
    Mark(char),
    /// `:=`
    Declare,
    End,
}

#[derive(Debug, Clone)]
pub(super) struct Token<'s> {
    pub(super) kind: Kind<'s>,
    /// The line, from 1.
    pub(super) line: usize,
    /// White space stands before it in its action.
    pub(super) spaced: bool,
}

/// White space, as far as the language knows it.
const SPACE: [char; 4] = [' ', '\t', '\r', '\n'];

pub(super) fn is_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

/// All tokens of `source`; the last one is [`Kind::End`].
pub(super) fn tokens(source: &str) -> Result<Vec<Token<'_>>> {
    let mut lexer = Lexer {
        rest: source,
        line: 1,
        tokens: Vec::new(),
    };
    while lexer.text()? {}
    lexer.push(Kind::End, false);
    Ok(lexer.tokens)
}

struct Lexer<'s> {
    rest: &'s str,
    line: usize,
    tokens: Vec<Token<'s>>,
}

impl<'s> Lexer<'s> {
    /// Reads text and the action after it; `false` where the source ends before one.
    fn text(&mut self) -> Result<bool> {
        let Some(open) = self.rest.find("{{") else {
            let text = self.skip(self.rest.len());
            self.push_text(text);
            return Ok(false);
        };
        let inside = &self.rest[open + 2..];
        let trims = inside
            .strip_prefix('-')
            .is_some_and(|after| after.starts_with(SPACE));
        let text = &self.rest[..open];
        self.push_text(if trims {
            text.trim_end_matches(SPACE)
        } else {
            text
        });
        self.skip(open);
        let line = self.line;
        // The mark and its white space belong to the braces.
        self.skip(if trims { 4 } else { 2 });
        if self.rest.starts_with("/*") {
            self.comment()?;
        } else {
            self.tokens.push(Token {
                kind: Kind::Open,
                line,
                spaced: false,
            });
            self.action()?;
        }
        Ok(true)
    }

    fn push_text(&mut self, text: &'s str) {
        if !text.is_empty() {
            self.push(Kind::Text(text), false);
        }
    }

    fn comment(&mut self) -> Result<()> {
        let end = self
            .rest
            .find("*/")
            .ok_or_else(|| self.error("a comment is not closed: expected */ and }}"))?;
        self.skip(end + 2);
        // Not any white space: a single blank, and only before a trim mark.
        let spaced = self
            .rest
            .strip_prefix(SPACE)
            .is_some_and(|after| after.starts_with('-'));
        self.skip(usize::from(spaced));
        if self.close(spaced) {
            return Ok(());
        }
        Err(self.error("expected }} right after the */ that ends a comment"))
    }

    /// Reads the inside of an action up to its `}}`.
    fn action(&mut self) -> Result<()> {
        let line = self.line;
        let mut depth = 0_usize;
        loop {
            let spaced = self.space();
            let at = self.line;
            if self.close(spaced) {
                if depth > 0 {
                    return Err(self.error("a ( is not closed before }}"));
                }
                self.tokens.push(Token {
                    kind: Kind::Close,
                    line: at,
                    spaced,
                });
                return Ok(());
            }
            let Some(first) = self.rest.chars().next() else {
                return Err(self.error(format!(
                    "the action that begins in line {line} is not closed: expected }}}}"
                )));
            };
            match first {
                '(' => depth += 1,
                ')' => {
                    depth = depth
                        .checked_sub(1)
                        .ok_or_else(|| self.error("a ) without its ("))?;
                }
                _ => {}
            }
            let at = self.line;
            let kind = self.token(first)?;
            self.tokens.push(Token {
                kind,
                line: at,
                spaced,
            });
        }
    }

    fn token(&mut self, first: char) -> Result<Kind<'s>> {
        match first {
            '=' | '|' | '(' | ')' | ',' => {
                self.skip(1);
                Ok(Kind::Mark(first))
            }
            ':' => {
                if !self.rest.starts_with(":=") {
                    return Err(self.error("expected := after a variable, found :"));
                }
                self.skip(2);
                Ok(Kind::Declare)
            }
            '"' | '`' | '\'' => self.quoted(first),
            '$' => Ok(Kind::Variable(self.word(1)?)),
            '.' if !self.rest[1..].starts_with(|c: char| c.is_ascii_digit()) => {
                let field = &self.word(1)?[1..];
                Ok(if field.is_empty() {
                    Kind::Dot
                } else {
                    Kind::Field(field)
                })
            }
            c if c.is_ascii_digit() || matches!(c, '+' | '-' | '.') => self.number(),
            c if is_word(c) => Ok(Kind::Word(self.word(0)?)),
            c => Err(self.error(format!("unexpected character {c:?} in an action"))),
        }
    }

    /// A string, raw string or character constant with its quotes.
    fn quoted(&mut self, quote: char) -> Result<Kind<'s>> {
        let line = self.line;
        let mut escaped = false;
        let end = self.rest[1..].find(|c: char| {
            let ends = !escaped && (c == quote || (c == '\n' && quote != '`'));
            escaped = c == '\\' && !escaped && quote != '`';
            ends
        });
        let inside = match end {
            Some(end) if self.rest[1 + end..].starts_with(quote) => {
                let all = self.skip(end + 2);
                &all[1..=end]
            }
            _ => {
                return Err(self.error(format!(
                    "a constant that begins with {quote} does not end with {quote}"
                )));
            }
        };
        let explain = |message| Error::Syntax { line, message };
        Ok(match quote {
            '`' => Kind::Quoted(inside.replace('\r', "").into()),
            '"' => Kind::Quoted(literal::string(inside).map_err(explain)?),
            _ => Kind::Int(literal::character(inside).map_err(explain)?),
        })
    }

    fn number(&mut self) -> Result<Kind<'s>> {
        let length = literal::number_length(self.rest);
        let text = &self.rest[..length];
        if self.rest[length..].starts_with(|c| is_word(c) || matches!(c, '+' | '-')) {
            return Err(self.error(format!("not a number: {text:?} and what follows it")));
        }
        let number = literal::number(text).map_err(|message| self.error(message))?;
        self.skip(length);
        Ok(match number {
            literal::Number::Int(number) => Kind::Int(number),
            literal::Number::Float(number) => Kind::Float(number),
        })
    }

    /// Letters and digits after `prefix` bytes, and what may follow a name.
    fn word(&mut self, prefix: usize) -> Result<&'s str> {
        let length = self.rest[prefix..]
            .find(|c| !is_word(c))
            .map_or(self.rest.len(), |at| at + prefix);
        let after = &self.rest[length..];
        let ends = after.is_empty()
            || after.starts_with("}}")
            || after.starts_with(|c| SPACE.contains(&c) || ".,|:)(".contains(c));
        if !ends {
            let found = after.chars().next().unwrap_or_default();
            return Err(self.error(format!(
                "expected a blank after {:?}, found {found:?}",
                &self.rest[..length]
            )));
        }
        Ok(self.skip(length))
    }

    /// Skips white space; `true` where there was some.
    fn space(&mut self) -> bool {
        let length = self.rest.len() - self.rest.trim_start_matches(SPACE).len();
        self.skip(length);
        length > 0
    }

    /// Skips `}}`, or `-}}` and the white space after it where white space stands before; `false`
    /// where neither is here.
    fn close(&mut self, spaced: bool) -> bool {
        let trims = spaced && self.rest.starts_with("-}}");
        if trims {
            self.skip(3);
            self.space();
        } else if self.rest.starts_with("}}") {
            self.skip(2);
        } else {
            return false;
        }
        true
    }

    fn skip(&mut self, length: usize) -> &'s str {
        let (text, rest) = self.rest.split_at(length);
        self.line += text.bytes().filter(|&byte| byte == b'\n').count();
        self.rest = rest;
        text
    }

    fn push(&mut self, kind: Kind<'s>, spaced: bool) {
        self.tokens.push(Token {
            kind,
            line: self.line,
            spaced,
        });
    }

    fn error(&self, message: impl Into<String>) -> Error {
        Error::Syntax {
            line: self.line,
            message: message.into(),
        }
    }
}
