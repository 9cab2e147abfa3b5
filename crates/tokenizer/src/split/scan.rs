//! The common split expressions, written out as scanners.
//!
//! Nearly every byte-level vocabulary cuts its text by one expression of the same build: contractions, words with an
//! optional character before, numbers, other characters, white space. [`Rules`] holds what differs. Each instance in
//! `patterns.rs` stands beside the expression that it replaces, and a test compares the two on random texts.

use crate::unicode::{CASELESS, Class, Classes, LOWER, MARK, NEWLINE, NUMBER, SPACE, UPPER};

/// One expression of that build. The parts are tried in the order of the fields.
pub(crate) struct Rules {
    /// `'s`, `'re`, …
    pub contraction: Contraction,
    /// `[!-/:-@\[-`{-~][A-Za-z]+`: ASCII punctuation with the ASCII letters after it.
    pub punctuated: bool,
    /// What may stand before a word.
    pub lead: Lead,
    /// What a word is.
    pub word: Word,
    /// Most digits in a number; 0 where numbers are no part of the expression.
    pub digits: usize,
    /// Whether a number may begin with a space.
    pub spaced_digits: bool,
    /// What else makes runs, each with an optional space before.
    pub other: Set,
    /// Characters that such a run takes along at its end.
    pub tail: &'static [u8],
    /// How white space ends.
    pub space: Space,
}

/// Where and how contractions are matched.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Contraction {
    /// Not at all.
    None,
    /// As pieces, lower case only.
    Lower,
    /// As pieces, any ASCII case.
    Ascii,
    /// As pieces, any case; `ſ` is an `s`.
    AnyCase,
    /// At the end of words, any case.
    Suffix,
}

/// The optional character before a word.
#[derive(Clone, Copy)]
pub(crate) enum Lead {
    /// A space.
    Space,
    /// Any character but these.
    Not(Class),
}

/// A run of letters.
#[derive(Clone, Copy)]
pub(crate) enum Word {
    /// Of these classes.
    Run(Class),
    /// Upper case, then lower case; letters without case and marks count as both.
    Cased,
}

/// A set of characters by class.
#[derive(Clone, Copy)]
pub(crate) enum Set {
    /// In one of these.
    In(Class),
    /// In none of these.
    Not(Class),
}

/// The alternatives for white space at the end of an expression.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Space {
    /// `\s*[\r\n]+|\s+(?!\S)|\s+`
    Lines,
    /// `[\r\n]|\s+(?!\S)|\s+`
    SingleLines,
    /// `\s+(?!\S)`, with or without `|\s+`: what is left over is one character and a piece anyway.
    Plain,
}

const UPPER_PART: Class = UPPER | CASELESS | MARK;
const LOWER_PART: Class = LOWER | CASELESS | MARK;

impl Set {
    #[inline]
    fn has(self, class: Class) -> bool {
        match self {
            Self::In(set) => class & set != 0,
            Self::Not(set) => class & set == 0,
        }
    }
}

impl Rules {
    /// The end of the match that begins at `at`, if one does. `at` is a boundary before the end of `text`.
    #[inline]
    pub(crate) fn match_at(&self, classes: &Classes, text: &str, at: usize) -> Option<usize> {
        let bytes = text.as_bytes();
        let first = bytes[at];
        if first == b'\'' && !matches!(self.contraction, Contraction::None | Contraction::Suffix) {
            let length = contraction(&bytes[at..], self.contraction);
            if length > 0 {
                return Some(at + length);
            }
        }
        if self.punctuated && first.is_ascii_punctuation() {
            let letters = run_of(&bytes[at + 1..], |b| b.is_ascii_alphabetic());
            if letters > 0 {
                return Some(at + 1 + letters);
            }
        }
        let (class, length) = classes.at(text, at);
        let next = at + length;
        let after = if next < text.len() {
            classes.at(text, next)
        } else {
            (0, 0)
        };
        self.word(classes, text, at, (class, length), after)
            .or_else(|| self.number(classes, text, at, class, after))
            .or_else(|| self.other(classes, text, at, class, after))
            .or_else(|| (class & SPACE != 0).then(|| self.space(classes, text, at)))
    }

    #[inline]
    fn word(
        &self,
        classes: &Classes,
        text: &str,
        at: usize,
        (class, length): (Class, usize),
        after: (Class, usize),
    ) -> Option<usize> {
        let leads = match self.lead {
            Lead::Space => text.as_bytes()[at] == b' ',
            Lead::Not(set) => class & set == 0,
        };
        let next = at + length;
        match self.word {
            Word::Run(set) => {
                if leads && after.0 & set != 0 {
                    return Some(run(classes, text, next + after.1, set));
                }
                (class & set != 0).then(|| run(classes, text, next, set))
            }
            Word::Cased => {
                let with = leads && after.0 & (UPPER_PART | LOWER_PART) != 0;
                let without = class & (UPPER_PART | LOWER_PART) != 0;
                if !with && !without {
                    return None;
                }
                let end = with
                    .then(|| upper_then_lower(classes, text, next))
                    .flatten()
                    .or_else(|| {
                        without
                            .then(|| upper_then_lower(classes, text, at))
                            .flatten()
                    })
                    .or_else(|| {
                        (with && after.0 & UPPER_PART != 0).then(|| upper(classes, text, next))
                    })
                    .or_else(|| {
                        (without && class & UPPER_PART != 0).then(|| upper(classes, text, at))
                    })?;
                Some(match self.contraction {
                    Contraction::Suffix => {
                        end + contraction(&text.as_bytes()[end..], Contraction::AnyCase)
                    }
                    _ => end,
                })
            }
        }
    }

    #[inline]
    fn number(
        &self,
        classes: &Classes,
        text: &str,
        at: usize,
        class: Class,
        after: (Class, usize),
    ) -> Option<usize> {
        if self.digits == 0 {
            return None;
        }
        let mut end = if class & NUMBER != 0 {
            at
        } else if self.spaced_digits && text.as_bytes()[at] == b' ' && after.0 & NUMBER != 0 {
            at + 1
        } else {
            return None;
        };
        let mut left = self.digits;
        while left > 0 && end < text.len() {
            let (class, length) = classes.at(text, end);
            if class & NUMBER == 0 {
                break;
            }
            end += length;
            left -= 1;
        }
        Some(end)
    }

    #[inline]
    fn other(
        &self,
        classes: &Classes,
        text: &str,
        at: usize,
        class: Class,
        after: (Class, usize),
    ) -> Option<usize> {
        let mut end = if text.as_bytes()[at] == b' ' && after.1 > 0 && self.other.has(after.0) {
            at + 1
        } else if self.other.has(class) {
            at
        } else {
            return None;
        };
        while end < text.len() {
            let (class, length) = classes.at(text, end);
            if !self.other.has(class) {
                break;
            }
            end += length;
        }
        Some(end + run_of(&text.as_bytes()[end..], |b| self.tail.contains(&b)))
    }

    #[inline]
    fn space(&self, classes: &Classes, text: &str, at: usize) -> usize {
        let (mut end, mut last, mut line) = (at, at, None);
        while end < text.len() {
            let (class, length) = classes.at(text, end);
            if class & SPACE == 0 {
                break;
            }
            last = end;
            end += length;
            if class & NEWLINE != 0 {
                if self.space == Space::SingleLines && last == at {
                    return end;
                }
                line = Some(end);
            }
        }
        match line {
            Some(line) if self.space == Space::Lines => line,
            // The last character stays for what follows, unless it is alone.
            _ if end < text.len() && last > at => last,
            _ => end,
        }
    }
}

/// A run of characters of a set, perhaps with one of another set before it.
pub(crate) struct Run {
    /// What may stand before.
    pub lead: Option<Chars>,
    /// The set.
    pub chars: Chars,
    /// Most of them in a match.
    pub most: usize,
}

/// A set of characters.
pub(crate) struct Chars {
    ascii: [bool; 128],
    ranges: Vec<(char, char)>,
}

impl FromIterator<(char, char)> for Chars {
    /// From ranges in order that do not overlap.
    fn from_iter<I: IntoIterator<Item = (char, char)>>(ranges: I) -> Self {
        let ranges: Vec<_> = ranges.into_iter().collect();
        let ascii = |code: usize| {
            let c = char::from(code as u8);
            ranges.iter().any(|&(from, to)| from <= c && c <= to)
        };
        Self {
            ascii: std::array::from_fn(ascii),
            ranges,
        }
    }
}

impl Chars {
    #[inline]
    fn has(&self, c: char) -> bool {
        if c.is_ascii() {
            return self.ascii[c as usize];
        }
        let after = self.ranges.partition_point(|range| range.0 <= c);
        after > 0 && c <= self.ranges[after - 1].1
    }
}

impl Run {
    /// The end of the match that begins at `at`, if one does.
    #[inline]
    pub(crate) fn match_at(&self, text: &str, at: usize) -> Option<usize> {
        if let Some(lead) = &self.lead {
            let first = text[at..].chars().next()?;
            if lead.has(first) {
                let after = self.run(text, at + first.len_utf8());
                if after.is_some() {
                    return after;
                }
            }
        }
        self.run(text, at)
    }

    #[inline]
    fn run(&self, text: &str, at: usize) -> Option<usize> {
        let mut end = at;
        for c in text[at..].chars().take(self.most) {
            if !self.has(c) {
                break;
            }
            end += c.len_utf8();
        }
        (end > at).then_some(end)
    }

    #[inline]
    fn has(&self, c: char) -> bool {
        self.chars.has(c)
    }
}

#[inline]
fn run(classes: &Classes, text: &str, mut at: usize, set: Class) -> usize {
    while at < text.len() {
        let (class, length) = classes.at(text, at);
        if class & set == 0 {
            break;
        }
        at += length;
    }
    at
}

/// `[upper]*[lower]+` with the backtracking of a regex engine: without a lower-case letter after the upper-case
/// run, the run gives back up to its last character that counts as both.
fn upper_then_lower(classes: &Classes, text: &str, at: usize) -> Option<usize> {
    let (mut end, mut both) = (at, None);
    while end < text.len() {
        let (class, length) = classes.at(text, end);
        if class & UPPER_PART == 0 {
            if class & LOWER_PART != 0 {
                return Some(run(classes, text, end, LOWER_PART));
            }
            break;
        }
        end += length;
        if class & LOWER_PART != 0 {
            both = Some(end);
        }
    }
    both
}

/// `[upper]+[lower]*`, begun at an upper-case letter.
fn upper(classes: &Classes, text: &str, at: usize) -> usize {
    let end = run(classes, text, at, UPPER_PART);
    run(classes, text, end, LOWER_PART)
}

/// Length of the contraction that `bytes` begin with, or 0.
fn contraction(bytes: &[u8], kind: Contraction) -> usize {
    if bytes.first() != Some(&b'\'') {
        return 0;
    }
    let any = kind != Contraction::Lower;
    let letter = |i: usize| {
        bytes
            .get(i)
            .map_or(0, |b| if any { b.to_ascii_lowercase() } else { *b })
    };
    match (letter(1), letter(2)) {
        (b's' | b't' | b'm' | b'd', _) => 2,
        (b'r' | b'v', b'e') | (b'l', b'l') => 3,
        // U+017F, the long s
        (0xC5, 0xBF) if kind == Contraction::AnyCase => 3,
        _ => 0,
    }
}

fn run_of(bytes: &[u8], mut is: impl FnMut(u8) -> bool) -> usize {
    bytes.iter().position(|&b| !is(b)).unwrap_or(bytes.len())
}
