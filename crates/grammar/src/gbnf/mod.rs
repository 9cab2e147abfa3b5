//! GBNF, llama.cpp's grammar notation, translated to Lark.
//!
//! GBNF speaks of characters; the engine splits text into lexemes first, each as long as it can be, and parses those.
//! Both mean the same where no lexeme swallows what the rules want to come after it. So the translator begins with
//! lexemes as large as there are (a grammar without recursion is a single one), looks for such places and splits
//! lexemes there, if need be down to single characters, which swallow nothing.

mod expression;
mod lead;
mod lexemes;
mod nfa;
mod parse;
mod print;
mod recursion;

use hearth_tokenizer::Tokenizer;

use self::{expression::Rules, lexemes::Structure, recursion::Order};
use crate::{Error, Result, weight};

/// Bytes of a grammar.
pub(crate) const LONGEST: usize = 256 << 10;

/// The tokens that a grammar can name.
pub(crate) trait Tokens {
    /// The token that stands for a text such as `<tool_call>`.
    fn named(&self, text: &str) -> Option<u32>;
    /// How many tokens there are.
    fn count(&self) -> usize;
    /// The end tokens, which no grammar names.
    fn ends(&self) -> Vec<u32>;
}

impl Tokens for Tokenizer {
    fn named(&self, text: &str) -> Option<u32> {
        self.token_to_id(text)
    }

    fn count(&self) -> usize {
        self.vocab_len()
    }

    fn ends(&self) -> Vec<u32> {
        Self::ends(self).collect()
    }
}

/// The Lark grammar of a GBNF one.
pub(crate) fn to_lark(text: &str, tokens: &dyn Tokens) -> Result<String> {
    let rules = parse::parse(text, tokens).map_err(|mistake| mistake.at(text))?;
    let order = recursion::check(&rules).map_err(|mistake| mistake.at(text))?;
    let structure = lexemes::choose(&rules, &order);
    small(&rules, &order, &structure)?;
    Ok(print::lark(&rules, &structure, &tokens.ends()))
}

/// Refuses lexemes that would take long to compile: their repetitions are written out.
fn small(rules: &Rules, order: &Order, structure: &Structure) -> Result<()> {
    let mut weights = vec![0; rules.rules.len()];
    // Rules that are used come before those that use them.
    for &rule in order.rules.iter().filter(|&&rule| order.regular[rule]) {
        weights[rule] = rules.rules[rule].body.weight(&weights);
    }
    let lexemes = structure.lexemes.iter();
    let found = lexemes.map(|lexeme| lexeme.weight(&weights)).max();
    match found {
        Some(found) if found > weight::MOST => Err(Error::TooLarge {
            what: "characters of a part of the GBNF grammar with its repetitions written out",
            found: usize::try_from(found).unwrap_or(usize::MAX),
            limit: weight::MOST as usize,
        }),
        _ => Ok(()),
    }
}

/// What is wrong, at a byte of the text.
#[derive(Debug)]
struct Mistake {
    offset: usize,
    reason: String,
}

impl Mistake {
    fn new(offset: usize, reason: impl Into<String>) -> Self {
        let reason = reason.into();
        Self { offset, reason }
    }

    fn at(self, text: &str) -> Error {
        let before = &text[..text.floor_char_boundary(self.offset)];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Error::Gbnf {
            line: 1 + before.matches('\n').count(),
            column: 1 + before[line_start..].chars().count(),
            reason: self.reason,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) struct NoTokens;

    impl Tokens for NoTokens {
        fn named(&self, _: &str) -> Option<u32> {
            None
        }

        fn count(&self) -> usize {
            0
        }

        fn ends(&self) -> Vec<u32> {
            Vec::new()
        }
    }

    #[test]
    fn lexemes_are_as_large_as_they_may_be() {
        for (text, expected) in [
            // No recursion: one lexeme.
            (
                r#"root ::= "a" b* "c"
                b ::= [0-9] "x""#,
                1,
            ),
            // Brackets, and what stands between.
            (
                r#"root ::= "(" ws (root | [a-z]+ ws) ")" ws
                ws ::= " "*"#,
                3,
            ),
            // A word must not swallow the letters after it.
            (r#"root ::= "(" root ")" | [a-z]+ root? "z""#, 4),
        ] {
            let lark = to_lark(text, &NoTokens).unwrap();
            let lexemes = lark.lines().filter(|line| line.starts_with('T')).count();
            assert_eq!(lexemes, expected, "{lark}");
        }
    }
}
