//! What is done to the text before it is cut.

use std::borrow::Cow;

use unicode_normalization::{
    IsNormalized, UnicodeNormalization, is_nfc_quick, is_nfd_quick, is_nfkc_quick, is_nfkd_quick,
};

use crate::{
    charsmap::Charsmap,
    cuts::SPACE,
    split::Pattern,
    unicode::{self, CONTROL, Classes, NONSPACING},
};

/// One step of normalisation.
#[derive(Debug)]
pub(crate) enum Step {
    /// Text before a fragment that is not empty.
    Prepend(String),
    /// Every match by a text.
    Replace(Pattern, String),
    /// A Unicode normal form.
    Form(Form),
    /// Full lower-casing.
    Lowercase,
    /// White space off the ends.
    Strip {
        /// Off the front.
        left: bool,
        /// Off the back.
        right: bool,
    },
    /// Combining marks (Mn) away.
    StripAccents,
    /// SentencePiece's map.
    Charsmap(Charsmap),
    /// SentencePiece's treatment of spaces.
    Spaces {
        /// One before the text.
        add_prefix: bool,
        /// Runs count as one, at the ends as none.
        remove_extra: bool,
    },
    /// BERT's cleaning.
    Bert(Bert),
}

/// The switches of BERT's normaliser.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bert {
    /// Control characters away, white space to spaces.
    pub clean: bool,
    /// Spaces around ideographs.
    pub ideographs: bool,
    /// Decompose and drop combining marks.
    pub strip_accents: bool,
    /// Lower case.
    pub lowercase: bool,
}

/// A Unicode normal form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::upper_case_acronyms, reason = "the names of the forms")]
pub(crate) enum Form {
    /// Canonical composition.
    NFC,
    /// Canonical decomposition.
    NFD,
    /// Compatibility composition.
    NFKC,
    /// Compatibility decomposition.
    NFKD,
}

/// Applies all steps in order.
pub(crate) fn apply<'t>(steps: &[Step], text: &'t str) -> Cow<'t, str> {
    steps
        .iter()
        .fold(Cow::Borrowed(text), |text, step| step.apply(text))
}

impl Step {
    fn apply<'t>(&self, text: Cow<'t, str>) -> Cow<'t, str> {
        match self {
            Self::Prepend(prefix) if text.is_empty() || prefix.is_empty() => text,
            Self::Prepend(prefix) => Cow::Owned(format!("{prefix}{text}")),
            Self::Replace(pattern, to) => replace(pattern, to, text),
            Self::Form(form) => form.apply(text),
            Self::Lowercase
                if text
                    .bytes()
                    .all(|b| b.is_ascii() && !b.is_ascii_uppercase()) =>
            {
                text
            }
            Self::Lowercase => Cow::Owned(text.to_lowercase()),
            Self::Strip { left, right } => {
                let mut kept = text.as_ref();
                if *left {
                    kept = kept.trim_start();
                }
                if *right {
                    kept = kept.trim_end();
                }
                Cow::Owned(kept.to_owned())
            }
            Self::StripAccents if text.is_ascii() => text,
            Self::StripAccents => Cow::Owned(text.chars().filter(|c| !is_nonspacing(*c)).collect()),
            Self::Charsmap(map) => Cow::Owned(map.apply(&text)),
            Self::Spaces {
                add_prefix,
                remove_extra,
            } => Cow::Owned(spaces(&text, *add_prefix, *remove_extra)),
            Self::Bert(bert) => Cow::Owned(bert.apply(&text)),
        }
    }
}

fn is_nonspacing(c: char) -> bool {
    Classes::get().of(c) & NONSPACING != 0
}

fn replace<'t>(pattern: &Pattern, to: &str, text: Cow<'t, str>) -> Cow<'t, str> {
    if let Pattern::Literal(from) = pattern {
        let mut chars = from.chars();
        return match (chars.next(), chars.next()) {
            // One character is found much faster than a text of one.
            (Some(only), None) if text.contains(only) => Cow::Owned(text.replace(only, to)),
            (_, Some(_)) if text.contains(from.as_str()) => {
                Cow::Owned(text.replace(from.as_str(), to))
            }
            _ => text,
        };
    }
    let mut out = String::with_capacity(text.len());
    pattern.segments(Classes::get(), &text, &mut |from, to_byte, is_match| {
        out.push_str(if is_match { to } else { &text[from..to_byte] });
    });
    Cow::Owned(out)
}

impl Form {
    fn apply<'t>(self, text: Cow<'t, str>) -> Cow<'t, str> {
        if text.is_ascii() {
            return text;
        }
        let chars = text.chars();
        let quick = match self {
            Self::NFC => is_nfc_quick(chars),
            Self::NFD => is_nfd_quick(chars),
            Self::NFKC => is_nfkc_quick(chars),
            Self::NFKD => is_nfkd_quick(chars),
        };
        if quick == IsNormalized::Yes {
            return text;
        }
        Cow::Owned(match self {
            Self::NFC => text.nfc().collect(),
            Self::NFD => text.nfd().collect(),
            Self::NFKC => text.nfkc().collect(),
            Self::NFKD => text.nfkd().collect(),
        })
    }
}

fn spaces(text: &str, add_prefix: bool, remove_extra: bool) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 4);
    let (mut in_word, mut prefixed) = (false, false);
    for c in text.chars() {
        if c == ' ' {
            in_word = false;
            if !remove_extra {
                out.push(SPACE);
            }
            continue;
        }
        if !in_word {
            in_word = true;
            if (add_prefix && !prefixed) || remove_extra {
                out.push(SPACE);
                prefixed = true;
            }
        }
        out.push(c);
    }
    out
}

impl Bert {
    fn apply(self, text: &str) -> String {
        let classes = Classes::get();
        let cleaned = text.chars().filter_map(|c| {
            if !self.clean {
                return Some(c);
            }
            match c {
                c if c.is_whitespace() => Some(' '),
                '\0' | '\u{FFFD}' => None,
                c => (classes.of(c) & CONTROL == 0).then_some(c),
            }
        });
        let mut out = String::with_capacity(text.len());
        for c in cleaned {
            if self.ideographs && unicode::is_ideograph(c) {
                out.extend([' ', c, ' ']);
            } else {
                out.push(c);
            }
        }
        if self.strip_accents && !out.is_ascii() {
            out = out.nfd().filter(|c| !is_nonspacing(*c)).collect();
        }
        if self.lowercase {
            out.to_lowercase()
        } else {
            out
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps() {
        let bert = |strip_accents, lowercase| {
            Step::Bert(Bert {
                clean: true,
                ideographs: true,
                strip_accents,
                lowercase,
            })
        };
        let regex = |p: &str| Pattern::regex(p).unwrap();
        for (step, text, expected) in [
            (Step::Prepend("▁".into()), "a", "▁a"),
            (Step::Prepend("▁".into()), "", ""),
            (
                Step::Replace(Pattern::Literal(" ".into()), "▁".into()),
                "a b",
                "a▁b",
            ),
            (
                Step::Replace(regex(" {2,}"), " ".into()),
                "  a   b  ",
                " a b ",
            ),
            (Step::Replace(regex("x"), "".into()), "xaxx", "a"),
            (Step::Form(Form::NFC), "e\u{301}", "é"),
            (Step::Form(Form::NFKC), "ﬁ", "fi"),
            (Step::Lowercase, "ÀB", "àb"),
            (
                Step::Strip {
                    left: true,
                    right: false,
                },
                " a ",
                "a ",
            ),
            (Step::StripAccents, "e\u{301}x", "ex"),
            (
                Step::Spaces {
                    add_prefix: true,
                    remove_extra: true,
                },
                "  a  b ",
                "▁a▁b",
            ),
            (
                Step::Spaces {
                    add_prefix: true,
                    remove_extra: false,
                },
                "a  b ",
                "▁a▁▁b▁",
            ),
            (
                Step::Spaces {
                    add_prefix: false,
                    remove_extra: false,
                },
                "a b",
                "a▁b",
            ),
            (bert(true, true), "Ünï\tc\u{0}世X", "uni c 世 x"),
            (bert(false, false), "Ünï", "Ünï"),
        ] {
            assert_eq!(
                apply(std::slice::from_ref(&step), text),
                expected,
                "{step:?} {text:?}"
            );
        }
    }
}
