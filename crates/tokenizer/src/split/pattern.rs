//! One expression to cut at, and the rules for matches and gaps.

use super::{
    Emit,
    scan::{Rules, Run},
};
use crate::{
    Error, Result,
    unicode::{Classes, DIGIT},
};

/// What an expression matches with.
pub(crate) enum Pattern {
    /// A scanner for the common build.
    Rules(Box<Rules>),
    /// A scanner for one run.
    Run(Box<Run>),
    /// Runs of digits, each cut in groups of three from the right.
    Thousands,
    /// One of some characters.
    Chars(fn(&Classes, char) -> bool),
    /// Fixed text, not empty.
    Literal(String),
    /// Anything else.
    Regex(Box<fancy_regex::Regex>),
}

impl std::fmt::Debug for Pattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Rules(_) => "Rules",
            Self::Run(_) => "Run",
            Self::Thousands => "Thousands",
            Self::Chars(_) => "Chars",
            Self::Literal(text) => text,
            Self::Regex(regex) => regex.as_str(),
        })
    }
}

/// What becomes of the matches of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Behavior {
    /// Each is a piece.
    Isolated,
    /// They vanish.
    Removed,
    /// They join the piece before.
    MergedWithPrevious,
    /// They join the piece after.
    MergedWithNext,
    /// Neighbouring matches are one piece.
    Contiguous,
}

/// Longest stretch the backtracking engine may try at one place before it counts as "no match here".
const BACKTRACK_LIMIT: usize = 10_000_000;

impl Pattern {
    /// The fastest matcher for an expression.
    ///
    /// # Errors
    /// When the regex engine refuses it.
    pub(crate) fn regex(pattern: &str) -> Result<Self> {
        if matches!(
            pattern,
            r"\d{1,3}(?=(?:\d{3})*\b)" | r"(?=(\d{3})+(?!\d))" | r"\p{AFMoE_digits}"
        ) {
            return Ok(Self::Thousands);
        }
        if let Some(rules) = Rules::parse(pattern) {
            return Ok(Self::Rules(Box::new(rules)));
        }
        if let Some(run) = Run::parse(pattern) {
            return Ok(Self::Run(Box::new(run)));
        }
        fancy_regex::RegexBuilder::new(pattern)
            .backtrack_limit(BACKTRACK_LIMIT)
            .build()
            .map(|regex| Self::Regex(Box::new(regex)))
            .map_err(|source| Error::Pattern {
                pattern: pattern.to_owned(),
                source: Box::new(source),
            })
    }

    /// The first match at or after `from`.
    fn find(&self, classes: &Classes, text: &str, from: usize) -> Option<(usize, usize)> {
        match self {
            Self::Rules(rules) => scan(text, from, |at| rules.match_at(classes, text, at)),
            Self::Run(run) => scan(text, from, |at| run.match_at(text, at)),
            Self::Thousands => None,
            Self::Chars(is) => text[from..]
                .char_indices()
                .find(|&(_, c)| is(classes, c))
                .map(|(at, c)| (from + at, from + at + c.len_utf8())),
            Self::Literal(literal) => text[from..]
                .find(literal.as_str())
                .map(|at| (from + at, from + at + literal.len())),
            // Past the engine's limit nothing matches any more: the rest is one piece.
            Self::Regex(regex) => regex
                .find_from_pos(text, from)
                .ok()
                .flatten()
                .map(|m| (m.start(), m.end())),
        }
    }

    /// Hands the pieces of `text` to `next`.
    pub(crate) fn cut(
        &self,
        classes: &Classes,
        text: &str,
        behavior: Behavior,
        invert: bool,
        next: &mut Emit<'_>,
    ) {
        if behavior == Behavior::Isolated {
            return self.segments(classes, text, &mut |from, to, _| next(&text[from..to]));
        }
        let mut segments = Vec::new();
        self.segments(classes, text, &mut |from, to, is_match| {
            segments.push((from, to, is_match != invert));
        });
        for (from, to) in merge(&segments, behavior) {
            next(&text[from..to]);
        }
    }

    /// Calls `segment(from, to, is_match)` for gaps and matches in order, none of them empty.
    pub(crate) fn segments(
        &self,
        classes: &Classes,
        text: &str,
        segment: &mut dyn FnMut(usize, usize, bool),
    ) {
        if matches!(self, Self::Thousands) {
            return thousands(classes, text, segment);
        }
        let (mut done, mut from) = (0, 0);
        while from < text.len() {
            let Some((start, end)) = self.find(classes, text, from) else {
                break;
            };
            if start > done {
                segment(done, start, false);
            }
            if end > start {
                segment(start, end, true);
                from = end;
            } else {
                from = end + text[end..].chars().next().map_or(1, char::len_utf8);
            }
            done = end;
        }
        if done < text.len() {
            segment(done, text.len(), false);
        }
    }
}

fn scan(
    text: &str,
    from: usize,
    match_at: impl Fn(usize) -> Option<usize>,
) -> Option<(usize, usize)> {
    let mut at = from;
    while at < text.len() {
        if let Some(end) = match_at(at) {
            return Some((at, end));
        }
        at += text[at..].chars().next().map_or(1, char::len_utf8);
    }
    None
}

/// Groups of three digits counted from the end of each run; the first may be shorter.
fn thousands(classes: &Classes, text: &str, segment: &mut dyn FnMut(usize, usize, bool)) {
    let is_digit = |c: char| classes.of(c) & DIGIT != 0;
    let mut done = 0;
    while let Some(gap) = text[done..].find(is_digit) {
        if gap > 0 {
            segment(done, done + gap, false);
        }
        done += gap;
        let run = &text[done..];
        let run = &run[..run.find(|c| !is_digit(c)).unwrap_or(run.len())];
        let mut left = run.chars().count();
        let mut digits = run.chars();
        while left > 0 {
            let group = (left - 1) % 3 + 1;
            let width: usize = digits.by_ref().take(group).map(char::len_utf8).sum();
            segment(done, done + width, true);
            done += width;
            left -= group;
        }
    }
    if done < text.len() {
        segment(done, text.len(), false);
    }
}

fn merge(segments: &[(usize, usize, bool)], behavior: Behavior) -> Vec<(usize, usize)> {
    let mut out: Vec<(usize, usize)> = Vec::with_capacity(segments.len());
    let mut before = false;
    match behavior {
        Behavior::Isolated => out.extend(segments.iter().map(|s| (s.0, s.1))),
        Behavior::Removed => out.extend(segments.iter().filter(|s| !s.2).map(|s| (s.0, s.1))),
        Behavior::MergedWithPrevious => {
            for &(from, to, is_match) in segments {
                match out.last_mut() {
                    Some(last) if is_match && !before => last.1 = to,
                    _ => out.push((from, to)),
                }
                before = is_match;
            }
        }
        Behavior::MergedWithNext => {
            for &(from, to, is_match) in segments.iter().rev() {
                match out.last_mut() {
                    Some(last) if is_match && !before => last.0 = from,
                    _ => out.push((from, to)),
                }
                before = is_match;
            }
            out.reverse();
        }
        Behavior::Contiguous => {
            for &(from, to, is_match) in segments {
                match out.last_mut() {
                    Some(last) if is_match == before => last.1 = to,
                    _ => out.push((from, to)),
                }
                before = is_match;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::split::{GPT2, table};

    #[test]
    fn behaviors_place_the_matches() {
        let pattern = Pattern::Literal("-".into());
        for (behavior, invert, expected) in [
            (Behavior::Isolated, false, "the|-|final|-|-|countdown"),
            (Behavior::Removed, false, "the|final|countdown"),
            (Behavior::Removed, true, "-|-|-"),
            (
                Behavior::MergedWithPrevious,
                false,
                "the-|final-|-|countdown",
            ),
            (Behavior::MergedWithNext, false, "the|-final|-|-countdown"),
            (Behavior::Contiguous, false, "the|-|final|--|countdown"),
        ] {
            let mut out = Vec::new();
            pattern.cut(
                Classes::get(),
                "the-final--countdown",
                behavior,
                invert,
                &mut |w| out.push(w.to_owned()),
            );
            assert_eq!(out.join("|"), expected, "{behavior:?} {invert}");
        }
    }

    fn pieces(pattern: &Pattern, text: &str) -> Vec<String> {
        let mut out = Vec::new();
        pattern.cut(Classes::get(), text, Behavior::Isolated, false, &mut |w| {
            out.push(w.to_owned());
        });
        out
    }

    /// Every expression that a scanner stands in for, beside the same in the regex engine.
    fn pairs() -> Vec<(&'static str, Pattern, Pattern)> {
        let mut patterns: Vec<&str> = table::PRES
            .iter()
            .flat_map(|p| p.set.iter().copied())
            .collect();
        patterns.push(GPT2);
        patterns.push(
            r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+",
        );
        patterns.sort_unstable();
        patterns.dedup();
        patterns
            .into_iter()
            .filter_map(|text| match Pattern::regex(text).unwrap() {
                Pattern::Regex(_) | Pattern::Thousands => None,
                scanner => {
                    let regex = Pattern::Regex(Box::new(fancy_regex::Regex::new(text).unwrap()));
                    Some((text, scanner, regex))
                }
            })
            .collect()
    }

    #[test]
    fn the_common_expressions_have_scanners() {
        let known: Vec<&str> = pairs().iter().map(|p| p.0).collect();
        for name in [
            "llama-bpe",
            "gpt-2",
            "qwen2",
            "qwen35",
            "deepseek-v3",
            "deepseek-coder",
            "gpt-4o",
            "tekken",
            "starcoder",
            "falcon",
            "bailingmoe",
            "seed-coder",
            "spark2_5",
            "ufakzeka",
            "minicpm5",
        ] {
            let pattern = table::find(name)
                .unwrap()
                .set
                .iter()
                .max_by_key(|p| p.len())
                .unwrap();
            assert!(known.contains(pattern), "{name}: {pattern}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(3000))]
        #[test]
        fn scanners_match_the_engine(
            text in proptest::collection::vec(
                prop_oneof![
                    4 => proptest::sample::select(vec![
                        ' ', ' ', '\n', '\r', '\t', '\'', 's', 'S', 't', 'R', 'e', 'l', 'L', 'ſ', 'a', 'B', 'é', 'É',
                        'ǅ', 'ʰ', '世', 'の', '한', '\u{301}', '\u{93F}', '1', '2', '٣', '½', '!', '/', '-', '<', '$',
                        '`', '^', '。', '\u{3000}', '\u{A0}', '\u{85}', '\u{200B}', '\0', '🙂', 'É', '_',
                    ]),
                    1 => any::<char>(),
                ],
                0..24,
            ).prop_map(|v| v.into_iter().collect::<String>())
        ) {
            for (name, scanner, regex) in PAIRS.iter() {
                prop_assert_eq!(pieces(scanner, &text), pieces(regex, &text), "{}", name);
            }
        }
    }

    static PAIRS: std::sync::LazyLock<Vec<(&'static str, Pattern, Pattern)>> =
        std::sync::LazyLock::new(pairs);
}
