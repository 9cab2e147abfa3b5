//! Splitting a stream of generated text into reasoning and answer.

use crate::output::{self, Format, Options, Output, Parser};

/// The texts that begin and end reasoning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tags {
    /// Begins reasoning, such as `<think>`.
    pub open: String,
    /// Ends it, such as `</think>`.
    pub close: String,
}

impl Default for Tags {
    /// `<think>` and `</think>`, which most models use.
    fn default() -> Self {
        Self {
            open: "<think>".to_owned(),
            close: "</think>".to_owned(),
        }
    }
}

/// A piece of a split stream; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// What the model thinks.
    Reasoning(String),
    /// What it answers.
    Answer(String),
}

/// Splits a stream as it arrives, as [`crate::output::Parser`] does, where nothing is known of the
/// model but its tags.
///
/// Only a tag at the beginning of the text opens reasoning: later ones are part of the answer (it
/// may speak of tags). White space around either side is dropped where a tag stands beside it.
/// What could still become a tag is held back, so no half of one is ever given out.
#[derive(Debug)]
pub struct Reasoning(Parser);

impl Reasoning {
    /// A splitter for `tags`. `inside` tells that the prompt already ended with the opening tag.
    pub fn new(tags: Tags, inside: bool) -> Self {
        let prompt = if inside {
            tags.open.clone()
        } else {
            String::new()
        };
        Self::after_prompt(tags, &prompt)
    }

    /// A splitter for text that follows `prompt`: inside reasoning if the prompt opens it last.
    pub fn after_prompt(tags: Tags, prompt: &str) -> Self {
        let options = Options {
            prompt,
            ..Options::default()
        };
        Self(Parser::new(&Format::tagged(tags), options))
    }

    /// Takes more text and returns what is certain by now.
    pub fn push(&mut self, text: &str) -> Vec<Piece> {
        pieces(self.0.push(text))
    }

    /// Ends the stream and returns what was held back.
    pub fn finish(self) -> Vec<Piece> {
        pieces(self.0.finish())
    }

    /// Splits a whole text: its reasoning, if there is any, and its answer.
    pub fn split(tags: Tags, inside: bool, text: &str) -> (Option<String>, String) {
        let mut splitter = Self::new(tags, inside).0;
        let mut output: Output = splitter.push(text).into_iter().collect();
        output.extend(splitter.finish());
        let reasoning = Some(output.reasoning).filter(|text| !text.is_empty());
        (reasoning, output.content)
    }
}

/// There are no tools, so there are no calls.
fn pieces(pieces: Vec<output::Piece>) -> Vec<Piece> {
    let split = pieces.into_iter().filter_map(|piece| match piece {
        output::Piece::Reasoning(text) => Some(Piece::Reasoning(text)),
        output::Piece::Content(text) => Some(Piece::Answer(text)),
        output::Piece::Call { .. } | output::Piece::Arguments { .. } => None,
    });
    split.collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CASES: &[(bool, &str, Option<&str>, &str)] = &[
        (false, "", None, ""),
        (false, "plain answer", None, "plain answer"),
        (false, " keeps space ", None, " keeps space "),
        (false, "<think>a</think>b", Some("a"), "b"),
        (
            false,
            "\n<think>\na\n b\n</think>\n\nc\n",
            Some("a\n b"),
            "c\n",
        ),
        (false, "<think></think>b", None, "b"),
        (false, "<think>\n\n</think>\n\nb", None, "b"),
        (false, "<think>never closed", Some("never closed"), ""),
        (false, "<think>half </thi", Some("half </thi"), ""),
        (false, "<think>a </b> <</think>c", Some("a </b> <"), "c"),
        (false, "<thin", None, "<thin"),
        (false, "<thing>x", None, "<thing>x"),
        (
            false,
            "I say <think>x</think>",
            None,
            "I say <think>x</think>",
        ),
        (
            false,
            "<think>a</think>b<think>c</think>",
            Some("a"),
            "b<think>c</think>",
        ),
        (true, "a\n</think>\n\nb", Some("a"), "b"),
        (true, "only thoughts \n", Some("only thoughts"), ""),
        (false, "<think>ü世界</think>é", Some("ü世界"), "é"),
    ];

    fn in_chunks(inside: bool, text: &str, size: usize) -> (Option<String>, String) {
        let mut splitter = Reasoning::new(Tags::default(), inside);
        let chars: Vec<char> = text.chars().collect();
        let mut pieces = Vec::new();
        for chunk in chars.chunks(size) {
            pieces.extend(splitter.push(&chunk.iter().collect::<String>()));
        }
        pieces.extend(splitter.finish());
        let (mut reasoning, mut answer) = (String::new(), String::new());
        for piece in pieces {
            match piece {
                Piece::Reasoning(text) => reasoning += &text,
                Piece::Answer(text) => answer += &text,
            }
        }
        (Some(reasoning).filter(|text| !text.is_empty()), answer)
    }

    #[test]
    fn splits_whole_texts_and_streams_alike() {
        for &(inside, text, reasoning, answer) in CASES {
            let expected = (reasoning.map(str::to_owned), answer.to_owned());
            assert_eq!(
                Reasoning::split(Tags::default(), inside, text),
                expected,
                "{text:?}"
            );
            for size in 1..8 {
                assert_eq!(
                    in_chunks(inside, text, size),
                    expected,
                    "{text:?} by {size}"
                );
            }
        }
    }

    #[test]
    fn other_tags_and_prompts() {
        let tags = Tags {
            open: "<|channel>thought\n".to_owned(),
            close: "<channel|>".to_owned(),
        };
        let text = "<|channel>thought\nhm<channel|>yes";
        assert_eq!(
            Reasoning::split(tags, false, text),
            (Some("hm".into()), "yes".into())
        );
        let mut inside = Reasoning::after_prompt(Tags::default(), "<|assistant|>\n<think>\n");
        assert_eq!(inside.push("hm</think>"), [Piece::Reasoning("hm".into())]);
        let mut outside = Reasoning::after_prompt(Tags::default(), "<think>\n\n</think>\n\n");
        assert_eq!(outside.push("yes"), [Piece::Answer("yes".into())]);
    }

    proptest! {
        #[test]
        fn chunks_do_not_matter(text in "(<think>)?[a-z <>/\n]{0,20}(</think>)?[a-z <>/\n]{0,20}", size in 1usize..6, inside: bool) {
            prop_assert_eq!(in_chunks(inside, &text, size), Reasoning::split(Tags::default(), inside, &text));
        }
    }
}
