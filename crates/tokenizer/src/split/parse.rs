//! Recognises the split expressions that the scanners can stand in for.
//!
//! An expression is read alternative by alternative; each part of [`Rules`] has a few spellings. What is spelled
//! otherwise goes to the regex engine.

use regex_syntax::hir::{Class, Hir, HirKind};

use super::scan::{Chars, Contraction, Lead, Rules, Run, Set, Space, Word};
use crate::unicode::{LETTER, MARK, NEWLINE, NUMBER, PUNCTUATION, SPACE, SYMBOL};

const CONTRACTIONS: [(&str, Contraction); 6] = [
    ("(?i:'s|'t|'re|'ve|'m|'ll|'d)", Contraction::AnyCase),
    ("'(?i:[sdmt]|ll|ve|re)", Contraction::AnyCase),
    (
        "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])",
        Contraction::Ascii,
    ),
    (
        "'(?:[sSdDmMtT]|[lL][lL]|[vV][eE]|[rR][eE])",
        Contraction::Ascii,
    ),
    ("'s|'t|'re|'ve|'m|'ll|'d", Contraction::Lower),
    ("'(?:[sdmt]|ll|ve|re)", Contraction::Lower),
];

const PUNCTUATED: &str = r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+"##;

const ANY_BUT: Lead = Lead::Not(NEWLINE | LETTER | NUMBER);
const WORDS: [(&str, Lead, Word); 4] = [
    (r"[^\r\n\p{L}\p{N}]?\p{L}+", ANY_BUT, Word::Run(LETTER)),
    (
        r"[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+",
        ANY_BUT,
        Word::Run(LETTER | MARK),
    ),
    (
        r"[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+",
        Lead::Not(NEWLINE | LETTER | PUNCTUATION | SYMBOL),
        Word::Run(LETTER | MARK),
    ),
    (r" ?\p{L}+", Lead::Space, Word::Run(LETTER)),
];

const UPPER_LOWER: &str =
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+";
const UPPER_ONLY: &str =
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*";

const NUMBERS: [(&str, usize, bool); 5] = [
    (r"\p{N}{1,3}", 3, false),
    (r"\p{N}{1}", 1, false),
    (r"\p{N}+", usize::MAX, false),
    (r" ?\p{N}+", usize::MAX, true),
    (r"\p{N}", 1, false),
];

const WORDLESS: Set = Set::Not(SPACE | LETTER | NUMBER);
const OTHERS: [(&str, Set, &[u8]); 7] = [
    (r" ?[^\s\p{L}\p{N}]+[\r\n]*", WORDLESS, b"\r\n"),
    (r" ?[^\s\p{L}\p{N}]+[\r\n/]*", WORDLESS, b"\r\n/"),
    (
        r" ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*",
        Set::Not(SPACE | LETTER | MARK | NUMBER),
        b"\r\n",
    ),
    (
        r" ?[\p{P}\p{S}]+[\r\n]*",
        Set::In(PUNCTUATION | SYMBOL),
        b"\r\n",
    ),
    (r" ?[\p{P}\p{S}]+", Set::In(PUNCTUATION | SYMBOL), b""),
    (r" ?[^\s\p{L}\p{N}\r\n]+", WORDLESS, b""),
    (r" ?[^\s\p{L}\p{N}]+", WORDLESS, b""),
];

const SPACES: [(&str, Space); 5] = [
    (r"\s*[\r\n]+|\s+(?!\S)|\s+", Space::Lines),
    (r"\s*[\r\n]|\s+(?!\S)|\s+", Space::Lines),
    (r"[\r\n]|\s+(?!\S)|\s+", Space::SingleLines),
    (r"\s+(?!\S)|\s+", Space::Plain),
    (r"\s+(?!\S)", Space::Plain),
];

impl Rules {
    /// The scanner for an expression, if all of its alternatives are known.
    pub(crate) fn parse(pattern: &str) -> Option<Self> {
        // Possessive repetition changes nothing in any of these.
        let pattern = pattern.replace("?+", "?").replace("++", "+");
        let mut rest = pattern.as_str();
        let contraction = take(&mut rest, &CONTRACTIONS, |c| c.0).map(|c| c.1);
        let punctuated = take(&mut rest, &[PUNCTUATED], |p| p).is_some();
        let (lead, word, suffix) = Self::parse_word(&mut rest)?;
        let (digits, spaced_digits) =
            take(&mut rest, &NUMBERS, |n| n.0).map_or((0, false), |n| (n.1, n.2));
        let other = take(&mut rest, &OTHERS, |o| o.0)?;
        let space = SPACES.iter().find(|s| s.0 == rest)?.1;
        if suffix && contraction.is_some() {
            return None;
        }
        Some(Self {
            contraction: match contraction {
                None if suffix => Contraction::Suffix,
                other => other.unwrap_or(Contraction::None),
            },
            punctuated,
            lead,
            word,
            digits,
            spaced_digits,
            other: other.1,
            tail: other.2,
            space,
        })
    }

    fn parse_word(rest: &mut &str) -> Option<(Lead, Word, bool)> {
        if let Some(word) = take(rest, &WORDS, |w| w.0) {
            return Some((word.1, word.2, false));
        }
        let suffix = format!("{}?", CONTRACTIONS[0].0);
        for (text, with) in [(suffix.as_str(), true), ("", false)] {
            let cased = [format!("{UPPER_LOWER}{text}|{UPPER_ONLY}{text}")];
            if take(rest, &cased, |c| c.as_str()).is_some() {
                return Some((ANY_BUT, Word::Cased, with));
            }
        }
        None
    }
}

/// Takes one of the spellings off the front of `rest`, with the bar after it.
fn take<'t, T>(
    rest: &mut &str,
    table: &'t [T],
    spelling: impl Fn(&'t T) -> &'t str,
) -> Option<&'t T> {
    let (entry, tail) = table.iter().find_map(|entry| {
        let tail = rest.strip_prefix(spelling(entry))?.strip_prefix('|')?;
        Some((entry, tail))
    })?;
    *rest = &rest[rest.len() - tail.len()..];
    Some(entry)
}

impl Run {
    /// The scanner for an expression that is one run of a class, perhaps with one optional character before it.
    pub(crate) fn parse(pattern: &str) -> Option<Self> {
        let hir = regex_syntax::parse(pattern).ok()?;
        match hir.kind() {
            HirKind::Concat(parts) => {
                let [lead, run] = parts.as_slice() else {
                    return None;
                };
                let (lead, 0, Some(1)) = repetition(lead)? else {
                    return None;
                };
                Self::of(Some(lead), run)
            }
            _ => Self::of(None, &hir),
        }
    }

    fn of(lead: Option<Chars>, run: &Hir) -> Option<Self> {
        let (chars, 1, most) = repetition(run)? else {
            return None;
        };
        let most = most.map_or(usize::MAX, |n| n as usize);
        Some(Self { lead, chars, most })
    }
}

/// The characters that a greedy repetition repeats, how often at least, and at most.
fn repetition(hir: &Hir) -> Option<(Chars, u32, Option<u32>)> {
    match hir.kind() {
        HirKind::Repetition(r) if r.greedy => Some((chars(&r.sub)?, r.min, r.max)),
        _ => Some((chars(hir)?, 1, Some(1))),
    }
}

fn chars(hir: &Hir) -> Option<Chars> {
    match hir.kind() {
        HirKind::Class(Class::Unicode(class)) => {
            Some(class.iter().map(|r| (r.start(), r.end())).collect())
        }
        HirKind::Class(Class::Bytes(class)) if class.is_ascii() => Some(
            class
                .iter()
                .map(|r| (char::from(r.start()), char::from(r.end())))
                .collect(),
        ),
        HirKind::Literal(literal) => {
            let mut text = std::str::from_utf8(&literal.0).ok()?.chars();
            let only = text.next().filter(|_| text.clone().next().is_none())?;
            Some([(only, only)].into_iter().collect())
        }
        _ => None,
    }
}
