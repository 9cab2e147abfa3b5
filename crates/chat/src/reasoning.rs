//! Splitting a stream of generated text into reasoning and answer.

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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing but white space so far: an opening tag may follow.
    Start,
    Reasoning,
    /// White space after a closing tag, which belongs to neither side.
    Closed,
    Answer,
}

/// Splits a stream as it arrives.
///
/// Only a tag at the beginning of the text opens reasoning: later ones are part of the answer (it
/// may speak of tags). White space around either side is dropped where a tag stands beside it.
/// What could still become a tag is held back, so no half of one is ever given out.
#[derive(Debug, Clone)]
pub struct Reasoning {
    tags: Tags,
    state: State,
    held: String,
    /// Whether reasoning text was given out: its leading white space is dropped.
    begun: bool,
}

impl Reasoning {
    /// A splitter for `tags`. `inside` tells that the prompt already ended with the opening tag.
    pub fn new(tags: Tags, inside: bool) -> Self {
        let state = match inside {
            true => State::Reasoning,
            false if tags.open.is_empty() => State::Answer,
            false => State::Start,
        };
        Self {
            tags,
            state,
            held: String::new(),
            begun: false,
        }
    }

    /// A splitter for text that follows `prompt`: inside reasoning if the prompt opens it last.
    pub fn after_prompt(tags: Tags, prompt: &str) -> Self {
        let inside = !tags.open.is_empty() && prompt.trim_end().ends_with(&tags.open);
        Self::new(tags, inside)
    }

    /// Takes more text and returns what is certain by now.
    pub fn push(&mut self, text: &str) -> Vec<Piece> {
        self.held.push_str(text);
        let mut out = Vec::new();
        while self.step(&mut out) {}
        out
    }

    /// Ends the stream and returns what was held back.
    pub fn finish(mut self) -> Vec<Piece> {
        let held = std::mem::take(&mut self.held);
        let text = match self.state {
            State::Reasoning => held.trim_end(),
            State::Closed => held.trim_start(),
            State::Start | State::Answer => &held,
        };
        let (text, reasoning) = (text.to_owned(), self.state == State::Reasoning);
        let text = if reasoning && !self.begun {
            text.trim_start().to_owned()
        } else {
            text
        };
        match (text.is_empty(), reasoning) {
            (true, _) => Vec::new(),
            (false, true) => vec![Piece::Reasoning(text)],
            (false, false) => vec![Piece::Answer(text)],
        }
    }

    /// Splits a whole text: its reasoning, if there is any, and its answer.
    pub fn split(tags: Tags, inside: bool, text: &str) -> (Option<String>, String) {
        let mut splitter = Self::new(tags, inside);
        let mut pieces = splitter.push(text);
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

    /// Handles what is held as far as it can; `true` if the state changed and more may follow.
    fn step(&mut self, out: &mut Vec<Piece>) -> bool {
        match self.state {
            State::Start => {
                let text = self.held.trim_start();
                if let Some(rest) = text.strip_prefix(&self.tags.open) {
                    self.held = rest.to_owned();
                    self.state = State::Reasoning;
                    return true;
                }
                if self.tags.open.starts_with(text) {
                    return false;
                }
                self.state = State::Answer;
                true
            }
            State::Reasoning => self.reason(out),
            State::Closed => {
                self.held = self.held.trim_start().to_owned();
                if self.held.is_empty() {
                    return false;
                }
                self.state = State::Answer;
                true
            }
            State::Answer => {
                let text = std::mem::take(&mut self.held);
                out.extend((!text.is_empty()).then_some(Piece::Answer(text)));
                false
            }
        }
    }

    fn reason(&mut self, out: &mut Vec<Piece>) -> bool {
        if !self.begun {
            self.held = self.held.trim_start().to_owned();
        }
        let close = if self.tags.close.is_empty() {
            None
        } else {
            self.held.find(&self.tags.close)
        };
        let certain = match close {
            Some(at) => at,
            None => self.held.len() - partial(&self.held, &self.tags.close),
        };
        // White space is held too: it is dropped if the closing tag follows.
        let text = self.held[..certain].trim_end().to_owned();
        if !text.is_empty() {
            self.begun = true;
            out.push(Piece::Reasoning(text.clone()));
        }
        match close {
            Some(at) => {
                self.held.drain(..at + self.tags.close.len());
                self.state = State::Closed;
                true
            }
            None => {
                self.held.drain(..text.len());
                false
            }
        }
    }
}

/// The length of the longest end of `text` that is a beginning of `tag`, but not all of it.
fn partial(text: &str, tag: &str) -> usize {
    let starts = tag.char_indices().map(|(at, _)| at).skip(1);
    starts
        .filter(|&length| text.ends_with(&tag[..length]))
        .max()
        .unwrap_or(0)
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
