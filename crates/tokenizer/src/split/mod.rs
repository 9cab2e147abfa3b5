//! Cuts text into the words that the algorithms work on.
//!
//! A [`Splitter`] is a list of stages. The first cuts a fragment, each further one cuts the pieces of the one before.
//! A stage is an expression with a rule for what becomes of matches and gaps, or one of the fixed cutters of
//! `tokenizer.json`. Look-ahead sees the piece only: its end is the end of the text.

mod parse;
mod pattern;
mod scan;
pub(crate) mod table;

use std::borrow::Cow;

pub(crate) use pattern::{Behavior, Pattern};

use crate::{Result, unicode::Classes};

/// The expression of GPT-2, which the `ByteLevel` pre-tokenizer of `tokenizer.json` stands for.
pub(crate) const GPT2: &str =
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

/// What receives the words.
pub(crate) type Emit<'e> = dyn FnMut(&str) + 'e;

/// One step of cutting.
#[derive(Debug)]
pub(crate) enum Stage {
    /// Cut at the matches of an expression.
    Cut {
        /// The expression.
        pattern: Pattern,
        /// What becomes of matches.
        behavior: Behavior,
        /// Whether gaps count as matches and matches as gaps.
        invert: bool,
    },
    /// Put a space before a piece that has none.
    PrefixSpace,
    /// Write spaces as another character, perhaps with one before the text, and cut before each.
    Metaspace {
        /// The character for a space.
        replacement: char,
        /// When one is put before the text.
        prepend: Prepend,
        /// Whether to cut.
        split: bool,
    },
    /// Pieces of so many characters.
    Length(usize),
}

/// When a space is put before a fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Prepend {
    /// Before each.
    Always,
    /// Before the one that begins the text.
    First,
    /// Never.
    Never,
}

/// The cutting of one tokenizer.
#[derive(Debug, Default)]
pub(crate) struct Splitter {
    /// The stages, first to last.
    pub stages: Vec<Stage>,
}

impl Splitter {
    /// The splitter that applies expressions one after the other, matches and gaps both being pieces.
    ///
    /// # Errors
    /// When the regex engine refuses an expression.
    pub(crate) fn isolating(patterns: &[&str]) -> Result<Self> {
        let stages = patterns.iter().map(|p| Stage::isolate(p));
        Ok(Self {
            stages: stages.collect::<Result<_>>()?,
        })
    }

    /// Hands every word of a fragment to `emit`, in order. `first` says whether the fragment begins the text.
    pub(crate) fn each(&self, text: &str, first: bool, emit: &mut Emit<'_>) {
        run(&self.stages, Classes::get(), text, first, emit);
    }
}

impl Stage {
    /// A stage that makes pieces of matches and gaps.
    ///
    /// # Errors
    /// When the regex engine refuses the expression.
    pub(crate) fn isolate(pattern: &str) -> Result<Self> {
        Ok(Self::Cut {
            pattern: Pattern::regex(pattern)?,
            behavior: Behavior::Isolated,
            invert: false,
        })
    }
}

fn run(stages: &[Stage], classes: &Classes, text: &str, first: bool, emit: &mut Emit<'_>) {
    if text.is_empty() {
        return;
    }
    let Some((stage, rest)) = stages.split_first() else {
        return emit(text);
    };
    // A piece begins the text if its fragment does and nothing of the fragment went before.
    let begins = first;
    let mut first = first;
    let mut next = |piece: &str| {
        if rest.is_empty() {
            if !piece.is_empty() {
                emit(piece);
            }
        } else {
            run(rest, classes, piece, first, emit);
        }
        first = false;
    };
    match stage {
        Stage::Cut {
            pattern,
            behavior,
            invert,
        } => pattern.cut(classes, text, *behavior, *invert, &mut next),
        Stage::PrefixSpace => {
            if text.starts_with(' ') {
                next(text);
            } else {
                next(&format!(" {text}"));
            }
        }
        Stage::Metaspace {
            replacement,
            prepend,
            split,
        } => metaspace(
            text,
            *replacement,
            first_wants(*prepend, begins),
            *split,
            &mut next,
        ),
        Stage::Length(length) => {
            let mut rest = text;
            while !rest.is_empty() {
                let end = rest
                    .char_indices()
                    .nth(*length)
                    .map_or(rest.len(), |(i, _)| i);
                next(&rest[..end]);
                rest = &rest[end..];
            }
        }
    }
}

fn first_wants(prepend: Prepend, first: bool) -> bool {
    match prepend {
        Prepend::Always => true,
        Prepend::First => first,
        Prepend::Never => false,
    }
}

fn metaspace(text: &str, replacement: char, prepend: bool, split: bool, next: &mut Emit<'_>) {
    let mut text = if text.contains(' ') {
        Cow::Owned(text.replace(' ', replacement.encode_utf8(&mut [0; 4])))
    } else {
        Cow::Borrowed(text)
    };
    if prepend && !text.starts_with(replacement) {
        text.to_mut().insert(0, replacement);
    }
    if !split {
        return next(&text);
    }
    let mut start = 0;
    for (at, _) in text.match_indices(replacement) {
        if at > start {
            next(&text[start..at]);
            start = at;
        }
    }
    next(&text[start..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(patterns: &[&str], text: &str) -> Vec<String> {
        let mut out = Vec::new();
        Splitter::isolating(patterns)
            .unwrap()
            .each(text, true, &mut |w| out.push(w.to_owned()));
        out
    }

    #[test]
    fn every_named_set_compiles_and_loses_nothing() {
        let text =
            "Don't  stop, 12345 naïve\n\n привет世界 x=1;\t한국어! </s>\r\n  नमस्ते 1234567 'S ";
        for pre in &table::PRES {
            assert_eq!(words(pre.set, text).concat(), text, "{}", pre.name);
        }
    }

    #[test]
    fn digits_group_from_the_right_where_the_set_says_so() {
        for (name, expected) in [
            ("tiny_aya", vec!["1", "234", "567"]),
            ("superbpe", vec!["1", "234", "567"]),
            ("llama-bpe", vec!["123", "456", "7"]),
            ("qwen2", vec!["1", "2", "3", "4", "5", "6", "7"]),
            ("gpt-2", vec!["1234567"]),
        ] {
            let set = table::find(name).unwrap().set;
            assert_eq!(words(set, "1234567"), expected, "{name}");
        }
    }

    #[test]
    fn metaspace_cuts_before_each_space() {
        let stage = |prepend, split| Splitter {
            stages: vec![Stage::Metaspace {
                replacement: '▁',
                prepend,
                split,
            }],
        };
        let run = |s: Splitter, text: &str, first| {
            let mut out = Vec::new();
            s.each(text, first, &mut |w| out.push(w.to_owned()));
            out
        };
        assert_eq!(
            run(stage(Prepend::Always, true), "a b", false),
            ["▁a", "▁b"]
        );
        assert_eq!(run(stage(Prepend::First, true), "a b", false), ["a", "▁b"]);
        assert_eq!(run(stage(Prepend::First, false), " a b", true), ["▁a▁b"]);
    }
}
