//! What the tokens of an answer have to be: a form for all of it, calls that keep to their schemas, thoughts that end.

use std::{collections::VecDeque, sync::Arc};

use hearth_engine::Guide;
use hearth_grammar::{Grammar, Mask, Matcher};
use hearth_tokenizer::{EncodeOptions, Tokenizer};

use super::{
    Failure, Request,
    models::Loaded,
    prepare::{Prepared, Reading, tokens},
    request::{Format, Input, Signal},
};

/// What is required of an answer.
pub(super) struct Guided {
    /// None where it is free.
    pub(super) guide: Option<Box<dyn Guide>>,
    /// What of the form is not kept, in words.
    pub(super) warnings: Vec<String>,
}

/// Finds out what is required of an answer.
///
/// # Errors
/// When a schema or grammar cannot be used, with the reason.
pub(super) fn guide(
    model: &Loaded,
    request: &Request,
    prepared: &Prepared,
) -> Result<Guided, Failure> {
    let form = form(model, request, prepared.reading.as_ref())?;
    let warnings = form
        .as_ref()
        .map_or_else(Vec::new, |form| form.matcher.warnings().to_vec());
    let thoughts = thoughts(model, request, prepared);
    let ended = |thoughts: &Thoughts| thoughts.budget.is_some() || thoughts.signal.is_some();
    if form.is_none() && !thoughts.as_ref().is_some_and(ended) {
        let guide = None;
        return Ok(Guided { guide, warnings });
    }
    let course = Course::new(model.shared_tokenizer(), form, thoughts);
    Ok(Guided {
        guide: Some(Box::new(course)),
        warnings,
    })
}

/// A form that holds from a place on.
struct Form {
    matcher: Matcher,
    /// It holds behind one of these texts; where there are none, from the beginning.
    triggers: Vec<String>,
    /// Nothing comes after it.
    ends_turn: bool,
}

fn form(
    model: &Loaded,
    request: &Request,
    reading: Option<&Reading>,
) -> Result<Option<Form>, Failure> {
    let refused = |field: &str, e: hearth_grammar::Error| Failure::invalid(field, e.to_string());
    let calls = reading.filter(|reading| !reading.tools.is_empty());
    let forced = |reading: &&Reading| reading.choice != Some(hearth_chat::output::Choice::Auto);
    // A call that has to come goes before the form of an answer; one that may come goes after it.
    let calls = calls.filter(|reading| request.format.is_none() || forced(reading));
    if let Some(reading) = calls
        && let Some(choice) = &reading.choice
    {
        let tokenizer = model.engine().tokenizer();
        let special = |text: &str| tokenizer.token_to_id(text);
        let grammar =
            reading
                .format
                .call_grammar(&reading.tools, choice, reading.parallel, &special);
        return grammar
            .map(|grammar| {
                let vocabulary = model.vocabulary()?;
                let matcher = vocabulary
                    .matcher(&Grammar::Lark(grammar.lark))
                    .map_err(|e| refused("tools", e))?;
                let (triggers, ends_turn) = (grammar.triggers, grammar.ends_turn);
                Ok(Form {
                    matcher,
                    triggers,
                    ends_turn,
                })
            })
            .transpose();
    }
    let Some(format) = &request.format else {
        return Ok(None);
    };
    let grammar = match format.clone() {
        Format::Json => Grammar::Json,
        Format::Schema(schema) => Grammar::Schema(schema),
        Format::Regex(text) => Grammar::Regex(text),
        Format::Gbnf(text) => Grammar::Gbnf(text),
        Format::Lark(text) => Grammar::Lark(text),
    };
    let matcher = model
        .vocabulary()?
        .matcher(&grammar)
        .map_err(|e| refused("format", e))?;
    Ok(Some(Form {
        matcher,
        triggers: Vec::new(),
        ends_turn: true,
    }))
}

/// How thoughts begin and end.
struct Thoughts {
    /// The token that begins them, where it is one.
    open: Option<u32>,
    /// They have begun already.
    begun: bool,
    ends: Vec<String>,
    /// Tokens that they may have.
    budget: Option<usize>,
    /// Ends them whatever they have had.
    signal: Option<Signal>,
    /// What is written when they have had them: the message, and their end.
    close: Vec<u32>,
}

fn thoughts(model: &Loaded, request: &Request, prepared: &Prepared) -> Option<Thoughts> {
    let Input::Chat(chat) = &request.input else {
        return None;
    };
    let format = &prepared.reading.as_ref()?.format;
    let (starts, ends) = (format.reasoning_starts(), format.reasoning_ends());
    if ends.is_empty() || !model.voice.capabilities.thinking {
        return None;
    }
    let tokenizer = model.engine().tokenizer();
    let written = prepared.prompt.trim_end();
    Some(Thoughts {
        open: starts.iter().find_map(|start| tokenizer.token_to_id(start)),
        begun: starts.iter().any(|start| written.ends_with(start.as_str())),
        close: tokens(
            tokenizer,
            &format!("{}{}", chat.budget_message, ends.first()?),
        ),
        ends,
        budget: chat.reasoning_budget,
        signal: chat.end_thoughts.clone(),
    })
}

/// Where an answer is.
enum Place {
    /// Before its first token.
    Start,
    /// In thoughts that may have so many more tokens.
    Thinking(Option<usize>),
    /// In free text that a trigger may end.
    Watching,
    /// In the form.
    Inside,
    /// Where nothing is required any more.
    Free,
}

/// The course of an answer.
struct Course {
    tokenizer: Arc<Tokenizer>,
    form: Option<Form>,
    thoughts: Option<Thoughts>,
    place: Place,
    /// The form under way.
    matcher: Option<Matcher>,
    mask: Option<Result<Mask, String>>,
    /// Tokens that come whatever the model likes.
    forced: VecDeque<u32>,
    /// The end of the text so far, as long as the longest text that is looked for.
    tail: Vec<u8>,
}

impl Course {
    fn new(tokenizer: Arc<Tokenizer>, form: Option<Form>, thoughts: Option<Thoughts>) -> Self {
        let mut course = Self {
            tokenizer,
            form,
            thoughts,
            place: Place::Start,
            matcher: None,
            mask: None,
            forced: VecDeque::new(),
            tail: Vec::new(),
        };
        match &course.thoughts {
            Some(thoughts) if thoughts.begun => course.think(),
            Some(thoughts) if thoughts.open.is_some() => course.matcher = course.fresh(),
            _ => course.answer(),
        }
        course
    }

    /// A matcher at the beginning of a form that holds from the first token.
    fn fresh(&self) -> Option<Matcher> {
        let form = self.form.as_ref().filter(|form| form.triggers.is_empty());
        form.map(|form| form.matcher.fork())
    }

    fn think(&mut self) {
        let budget = self.thoughts.as_ref().and_then(|thoughts| thoughts.budget);
        self.place = Place::Thinking(budget);
        self.matcher = None;
        self.tail.clear();
        self.spend(0);
    }

    /// Behind the thoughts.
    fn answer(&mut self) {
        self.tail.clear();
        self.matcher = self.fresh();
        self.place = match (&self.form, &self.matcher) {
            (None, _) => Place::Free,
            (Some(_), Some(_)) => Place::Inside,
            (Some(_), None) => Place::Watching,
        };
    }

    /// Counts tokens of thoughts; those that are over are ended.
    fn spend(&mut self, tokens: usize) {
        if let (Place::Thinking(Some(left)), Some(thoughts)) = (&mut self.place, &self.thoughts) {
            *left = left.saturating_sub(tokens);
            if *left == 0 && self.forced.is_empty() && !is_open(&self.tail) {
                self.forced = thoughts.close.iter().copied().collect();
            }
        }
    }

    /// Ends thoughts that somebody wants to end.
    fn hear(&mut self) {
        let said = |thoughts: &Thoughts| thoughts.signal.as_ref().is_some_and(Signal::is_raised);
        if let (Place::Thinking(left), Some(thoughts)) = (&mut self.place, &self.thoughts)
            && said(thoughts)
            && *left != Some(0)
        {
            *left = Some(0);
            self.spend(0);
        }
    }

    /// The text behind the first of `marks` that the tail has come to hold.
    fn behind(&mut self, id: u32, marks: &[String]) -> Option<Vec<u8>> {
        self.tail.extend_from_slice(self.tokenizer.token_bytes(id));
        let places = marks.iter().filter_map(|mark| {
            let mark = mark.as_bytes();
            let at = self
                .tail
                .windows(mark.len().max(1))
                .position(|part| part == mark)?;
            Some(at + mark.len())
        });
        let found = places.min().map(|end| self.tail.split_off(end));
        let longest = marks.iter().map(String::len).max().unwrap_or(0);
        let spare = self.tail.len().saturating_sub(longest);
        self.tail.drain(..spare);
        found
    }

    /// Goes on behind thoughts or a trigger with text that came in the same token.
    fn resume(&mut self, rest: &[u8]) -> Result<(), String> {
        let options = EncodeOptions {
            add_special: false,
            parse_special: true,
        };
        let ids = self.tokenizer.encode_bytes(rest, options);
        ids.into_iter().try_for_each(|id| self.step(id))
    }

    fn step(&mut self, id: u32) -> Result<(), String> {
        match self.place {
            Place::Free => Ok(()),
            Place::Start => {
                let opens = self.thoughts.as_ref().and_then(|thoughts| thoughts.open) == Some(id);
                if opens {
                    self.think();
                    return Ok(());
                }
                self.answer();
                self.step(id)
            }
            Place::Thinking(_) => {
                let marks = self
                    .thoughts
                    .as_ref()
                    .map(|thoughts| thoughts.ends.clone())
                    .unwrap_or_default();
                match self.behind(id, &marks) {
                    None => {
                        self.spend(1);
                        Ok(())
                    }
                    Some(rest) => {
                        self.forced.clear();
                        self.answer();
                        // The blank that models put behind their thoughts is not part of the answer's form.
                        let rest = rest.trim_ascii_start().to_vec();
                        self.resume(&rest)
                    }
                }
            }
            Place::Watching => {
                let marks = self
                    .form
                    .as_ref()
                    .map(|form| form.triggers.clone())
                    .unwrap_or_default();
                match self.behind(id, &marks) {
                    None => Ok(()),
                    Some(rest) => {
                        self.tail.clear();
                        self.matcher = self.form.as_ref().map(|form| form.matcher.fork());
                        self.place = Place::Inside;
                        // Free text that began a call otherwise than its form: it stays text.
                        if self.resume(&rest).is_err() {
                            self.matcher = None;
                            self.place = Place::Watching;
                        }
                        Ok(())
                    }
                }
            }
            Place::Inside => self.within(id),
        }
    }

    fn within(&mut self, id: u32) -> Result<(), String> {
        let Some(matcher) = &mut self.matcher else {
            return Ok(());
        };
        if matcher.must_end() && self.tokenizer.is_end(id) {
            return Ok(());
        }
        matcher.accept(id).map_err(|e| e.to_string())?;
        let ends_turn = self.form.as_ref().is_some_and(|form| form.ends_turn);
        if matcher.must_end() && !ends_turn {
            self.matcher = None;
            self.place = Place::Watching;
            self.tail.clear();
        }
        Ok(())
    }
}

impl Guide for Course {
    fn prepare(&mut self) {
        let mask = self
            .matcher
            .as_mut()
            .map(|matcher| matcher.mask().map_err(|e| e.to_string()));
        self.mask = mask;
    }

    fn restrict(&mut self, logits: &mut [f32]) -> Result<(), String> {
        self.hear();
        if let Some(&next) = self.forced.front() {
            let keep = logits.get(next as usize).copied().unwrap_or_default();
            logits.fill(f32::NEG_INFINITY);
            if let Some(logit) = logits.get_mut(next as usize) {
                *logit = keep.max(f32::MIN);
            }
            return Ok(());
        }
        if self.matcher.is_some() && self.mask.is_none() {
            self.prepare();
        }
        let open = self.thoughts.as_ref().and_then(|thoughts| thoughts.open);
        let open = open.filter(|_| matches!(self.place, Place::Start));
        let kept = open.and_then(|open| Some((open as usize, *logits.get(open as usize)?)));
        if let Some(mask) = self.mask.take() {
            mask?.apply(logits);
        }
        if let Some((open, logit)) = kept {
            logits[open] = logit;
        }
        Ok(())
    }

    fn accept(&mut self, id: u32) -> Result<(), String> {
        self.mask = None;
        self.forced.pop_front();
        self.step(id)
    }
}

/// Whether a text ends within a character.
fn is_open(text: &[u8]) -> bool {
    let last = text.iter().rposition(|byte| byte & 0xC0 != 0x80);
    last.and_then(|at| std::str::from_utf8(&text[at..]).err())
        .is_some_and(|error| error.error_len().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::library::Located;

    fn vocabulary() -> Arc<Tokenizer> {
        let checkpoint = Located::bard().open().unwrap();
        Arc::new(Tokenizer::from_checkpoint(&checkpoint).unwrap())
    }

    /// An answer that begins in thoughts, which `close` ends.
    fn thinking(
        tokenizer: &Arc<Tokenizer>,
        budget: Option<usize>,
        signal: &Signal,
        close: &[u32],
    ) -> Course {
        let thoughts = Thoughts {
            open: None,
            begun: true,
            ends: vec!["</think>".to_owned()],
            budget,
            signal: Some(signal.clone()),
            close: close.to_vec(),
        };
        Course::new(Arc::clone(tokenizer), None, Some(thoughts))
    }

    fn possible(course: &mut Course) -> Vec<u32> {
        let mut logits = vec![0.0; course.tokenizer.vocab_len()];
        course.restrict(&mut logits).unwrap();
        let all = logits.iter().enumerate();
        all.filter(|(_, logit)| logit.is_finite())
            .map(|(id, _)| id as u32)
            .collect()
    }

    #[test]
    fn thoughts_end_when_somebody_wants_it() {
        let tokenizer = vocabulary();
        let (signal, count) = (Signal::default(), tokenizer.vocab_len());
        let close = tokens(&tokenizer, "</think>");
        let mut course = thinking(&tokenizer, None, &signal, &close);
        assert_eq!(possible(&mut course).len(), count);
        course.accept(close[0] + 1).unwrap();
        signal.raise();
        for id in close {
            assert_eq!(possible(&mut course), [id]);
            course.accept(id).unwrap();
        }
        assert!(matches!(course.place, Place::Free));
        assert_eq!(possible(&mut course).len(), count);
    }

    #[test]
    fn thoughts_have_their_budget_then_the_message_and_whole_characters() {
        let tokenizer = vocabulary();
        let close = tokens(&tokenizer, " STOP</think>");
        let (letters, euro) = (tokens(&tokenizer, "ab c"), tokens(&tokenizer, "\u{20ac}"));
        assert!(euro.len() > 2, "a character of several tokens");
        let part = &euro[..euro.len() - 1];
        for (budget, said, waits) in [
            (0, &[][..], 0),
            (letters.len(), &letters[..], 0),
            (part.len(), part, 1),
        ] {
            let mut course = thinking(&tokenizer, Some(budget), &Signal::default(), &close);
            for id in said.iter().chain(&euro[euro.len() - waits..]) {
                assert_eq!(possible(&mut course).len(), tokenizer.vocab_len());
                course.accept(*id).unwrap();
            }
            for id in &close {
                assert_eq!(possible(&mut course), [*id]);
                course.accept(*id).unwrap();
            }
            assert!(matches!(course.place, Place::Free));
        }
    }

    #[test]
    fn texts_that_end_within_a_character() {
        let open: [&[u8]; 3] = [b"a\xe2", b"\x82\xe2\x82", b"\xf0\x9f\x98"];
        let closed: [&[u8]; 5] = [b"", b"a", "\u{20ac}".as_bytes(), b"\x82\xac", b"\xff"];
        assert!(open.into_iter().all(is_open));
        assert!(!closed.into_iter().any(is_open));
    }
}
