//! Answers to a completion, whole and piece by piece.
//!
//! [`Writer`] turns events into objects; [`Frames`] writes them down and [`whole`] joins them, so that both say the
//! same.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::error::error;
use super::generation::Style;
use crate::core::{Event, Failure, Finish, Outcome, Piece, Started, Token};
use crate::dialects::{frame::Frame, record::record};

/// What an answer has so far.
#[derive(Clone, Debug, Default)]
struct Choice {
    predicted: usize,
    new_line: bool,
    /// Tokens whose text is held back.
    held: Vec<Token>,
}

/// An object of the stream.
#[derive(Clone, Debug)]
enum Part {
    /// Shows how far the prompt is read.
    Progress(Value),
    /// A piece of an answer.
    Piece(Value),
    /// The end of an answer: its number, and the fields that come before and after what only whole answers have.
    Last(usize, Map<String, Value>),
    Failed(Failure),
}

/// From the events of one prompt to objects.
#[derive(Debug)]
struct Writer {
    style: Style,
    /// Answers before this prompt's.
    first: usize,
    /// The place of the answers.
    slot: usize,
    started: Started,
    choices: Vec<Choice>,
    /// When the first token came.
    decoding: Option<Duration>,
    began: Duration,
}

impl Writer {
    fn new(style: Style, prompt: usize) -> Self {
        let count = style.choices.max(1);
        Self {
            first: prompt * count,
            slot: 0,
            choices: vec![Choice::default(); count],
            started: Started::default(),
            decoding: None,
            began: Duration::ZERO,
            style,
        }
    }

    fn event(&mut self, event: Event, at: Duration) -> Option<Part> {
        match event {
            Event::Started(started) => {
                self.started = started;
                self.began = at;
                None
            }
            Event::Read {
                done,
                total,
                cached,
                time,
            } => self.style.progress.then(|| {
                let mut object = self.head(0, "", &[0]);
                object.insert(
                    "prompt_progress".to_owned(),
                    progress(done, total, cached, time),
                );
                Part::Progress(Value::Object(object))
            }),
            Event::Delta {
                choice,
                pieces,
                tokens,
            } => self.delta(choice, pieces, tokens, at),
            Event::End { choice, outcome } => self.end(choice, outcome),
            Event::Done => None,
            Event::Failed(failure) => Some(Part::Failed(failure)),
        }
    }

    /// The fields that every piece has.
    fn head(&self, choice: usize, content: &str, tokens: &[u32]) -> Map<String, Value> {
        let predicted = self.choices.get(choice).map_or(0, |it| it.predicted);
        let fields = json!({
            "index": self.first + choice, "content": content, "tokens": tokens, "stop": false, "id_slot": -1,
            "tokens_predicted": predicted, "tokens_evaluated": self.started.prompt_tokens,
        });
        fields.as_object().cloned().unwrap_or_default()
    }

    fn delta(
        &mut self,
        choice: usize,
        pieces: Vec<Piece>,
        tokens: Vec<Token>,
        at: Duration,
    ) -> Option<Part> {
        let decoding = *self.decoding.get_or_insert(at);
        let state = self.choices.get_mut(choice)?;
        state.predicted += tokens.len();
        state.held.extend(tokens);
        let content: String = pieces.into_iter().map(text).collect();
        if content.is_empty() {
            return None;
        }
        state.new_line |= content.contains('\n');
        let tokens = std::mem::take(&mut state.held);
        let predicted = state.predicted;
        let ids: Vec<u32> = tokens.iter().map(|token| token.id).collect();
        let mut object = self.head(choice, &content, &ids);
        if self.style.timings {
            let times = Times {
                read: decoding.saturating_sub(self.began),
                decode: at.saturating_sub(decoding),
            };
            object.insert(
                "timings".to_owned(),
                figures(&self.started, predicted, times),
            );
        }
        if self.style.probabilities {
            let list = probabilities(&tokens, self.style.after_sampling);
            object.insert("completion_probabilities".to_owned(), list);
        }
        Some(Part::Piece(Value::Object(object)))
    }

    fn end(&mut self, choice: usize, outcome: Outcome) -> Option<Part> {
        if outcome.finish == Finish::Cancelled {
            return Some(Part::Failed(Failure::Cancelled));
        }
        let state = self.choices.get_mut(choice)?;
        let held = std::mem::take(&mut state.held);
        let new_line = state.new_line;
        let (kind, word) = match &outcome.finish {
            Finish::End | Finish::Cancelled => ("eos", ""),
            Finish::Stop(word) => ("word", word.as_str()),
            Finish::Length | Finish::Context => ("limit", ""),
        };
        let ids: Vec<u32> = held.iter().map(|token| token.id).collect();
        let fields = json!({
            "index": self.first + choice, "content": "", "tokens": ids, "id_slot": self.slot, "stop": true,
            "model": self.started.model, "tokens_predicted": outcome.tokens,
            "tokens_evaluated": self.started.prompt_tokens, "generation_settings": self.style.settings,
            "prompt": self.started.prompt, "has_new_line": new_line,
            "truncated": outcome.finish == Finish::Context || outcome.dropped_tokens > 0,
            "stop_type": kind, "stopping_word": word,
            // The last token was chosen and not read.
            "tokens_cached": (self.started.prompt_tokens + outcome.tokens).saturating_sub(1),
            "timings": timings(&self.started, &outcome),
            "hearth": record(&self.started, std::iter::once(&outcome), self.style.notes.iter().cloned()),
        });
        let mut object = fields.as_object().cloned().unwrap_or_default();
        if self.style.probabilities && !held.is_empty() {
            let list = probabilities(&held, self.style.after_sampling);
            object.insert("completion_probabilities".to_owned(), list);
        }
        Some(Part::Last(choice, object))
    }
}

fn text(piece: Piece) -> String {
    match piece {
        Piece::Reasoning(text) | Piece::Content(text) | Piece::Arguments { text, .. } => text,
        // Plain prompts have no tools: nothing is split from their text.
        Piece::Call { .. } => String::new(),
    }
}

/// `prompt_progress`. Times are in milliseconds.
pub fn progress(done: usize, total: usize, cached: usize, time: Duration) -> Value {
    json!({ "total": total, "cache": cached, "processed": done, "time_ms": time.as_millis() as u64 })
}

#[derive(Clone, Copy)]
struct Times {
    read: Duration,
    decode: Duration,
}

/// `timings` of an answer that ended, as chats have them too.
pub fn timings(started: &Started, outcome: &Outcome) -> Value {
    let times = Times {
        read: outcome.timing.prefill,
        decode: outcome.timing.decode,
    };
    figures(started, outcome.tokens, times)
}

fn figures(started: &Started, predicted: usize, times: Times) -> Value {
    let read = started.prompt_tokens.saturating_sub(started.cached_tokens);
    let (prompt_ms, prompt_each, prompt_rate) = rates(read, times.read);
    let (predicted_ms, predicted_each, predicted_rate) = rates(predicted, times.decode);
    json!({
        "cache_n": started.cached_tokens,
        "prompt_n": read, "prompt_ms": prompt_ms, "prompt_per_token_ms": prompt_each, "prompt_per_second": prompt_rate,
        "predicted_n": predicted, "predicted_ms": predicted_ms, "predicted_per_token_ms": predicted_each,
        "predicted_per_second": predicted_rate,
    })
}

/// Milliseconds, milliseconds for each and how many in a second; 0 where there is nothing to divide by.
fn rates(count: usize, time: Duration) -> (f64, f64, f64) {
    let milliseconds = time.as_secs_f64() * 1e3;
    let each = if count == 0 {
        0.0
    } else {
        milliseconds / count as f64
    };
    let rate = if time.is_zero() {
        0.0
    } else {
        count as f64 / time.as_secs_f64()
    };
    (milliseconds, each, rate)
}

/// How likely tokens and their rivals were.
fn probabilities(tokens: &[Token], after_sampling: bool) -> Value {
    let (name, list) = match after_sampling {
        true => ("prob", "top_probs"),
        false => ("logprob", "top_logprobs"),
    };
    let entry = |id: u32, bytes: &[u8], logprob: f32| {
        let value = match after_sampling {
            true => logprob.exp(),
            // JSON has no infinity.
            false => logprob.max(f32::MIN),
        };
        let token = valid(bytes);
        json!({ "id": id, "token": token, "bytes": bytes, name: value })
    };
    let each = tokens.iter().map(|token| {
        let mut object = entry(
            token.id,
            &token.bytes,
            token.logprob.unwrap_or(f32::NEG_INFINITY),
        );
        let top = token.top.iter();
        // A share of 0 is of a token that the samplers took away.
        let top = top.filter(|it| !after_sampling || it.2.exp() > 0.0);
        object[list] = top
            .map(|(id, bytes, logprob)| entry(*id, bytes, *logprob))
            .collect();
        object
    });
    each.collect()
}

/// The characters that are whole.
fn valid(bytes: &[u8]) -> String {
    bytes.utf8_chunks().map(|chunk| chunk.valid()).collect()
}

/// Keeps only these fields; `a/b` is the `b` in `a`, under that name.
fn only(object: Map<String, Value>, names: &[String]) -> Value {
    let object = Value::Object(object);
    if names.is_empty() {
        return object;
    }
    let found = names.iter().filter_map(|name| {
        let value = name
            .split('/')
            .try_fold(&object, |value, key| value.get(key))?;
        Some((name.clone(), value.clone()))
    });
    Value::Object(found.collect())
}

/// The stream of one prompt's answers. Streams of several prompts are mixed as they come.
#[derive(Debug)]
pub struct Frames {
    writer: Writer,
    over: bool,
}

impl Frames {
    /// The stream of the prompt of this number, from 0.
    pub fn new(style: Style, prompt: usize) -> Self {
        Self {
            writer: Writer::new(style, prompt),
            over: false,
        }
    }

    /// Says which place the answers have.
    pub fn place(&mut self, slot: usize) {
        self.writer.slot = slot;
    }

    /// What an event adds to the stream; `at` is the time since the request came.
    pub fn event(&mut self, event: Event, at: Duration) -> Option<Frame> {
        if self.over {
            return None;
        }
        let value = match self.writer.event(event, at)? {
            Part::Progress(object) | Part::Piece(object) => object,
            Part::Last(_, object) => only(object, &self.writer.style.only),
            Part::Failed(failure) => {
                self.over = true;
                error(&failure).1
            }
        };
        Some(Frame::json(&value))
    }
}

/// The whole answer to all prompts, from the place and the events of each: an object, or a list where there are several
/// answers.
///
/// # Errors
/// A generation failed or was given up.
pub fn whole(style: &Style, prompts: Vec<(usize, Vec<Event>)>) -> Result<Value, Failure> {
    let mut answers = Vec::new();
    for (number, (slot, events)) in prompts.into_iter().enumerate() {
        let mut writer = Writer::new(style.clone(), number);
        writer.slot = slot;
        answers.extend(join(style, writer, events)?);
    }
    Ok(match answers.len() {
        1 => answers.swap_remove(0),
        _ => Value::Array(answers),
    })
}

/// The pieces of an answer.
#[derive(Clone, Default)]
struct Joined {
    content: String,
    tokens: Vec<Value>,
    probabilities: Vec<Value>,
    answer: Option<Value>,
}

impl Joined {
    fn add(&mut self, piece: &Value) {
        self.content += piece["content"].as_str().unwrap_or_default();
        let items = |name: &str| piece[name].as_array().cloned().unwrap_or_default();
        self.tokens.extend(items("tokens"));
        self.probabilities.extend(items("completion_probabilities"));
    }
}

fn join(style: &Style, mut writer: Writer, events: Vec<Event>) -> Result<Vec<Value>, Failure> {
    let mut joined = vec![Joined::default(); style.choices.max(1)];
    for event in events {
        let choice = match &event {
            Event::Delta { choice, .. } => *choice,
            _ => 0,
        };
        match writer.event(event, Duration::ZERO) {
            None | Some(Part::Progress(_)) => {}
            Some(Part::Piece(piece)) => {
                if let Some(joined) = joined.get_mut(choice) {
                    joined.add(&piece);
                }
            }
            Some(Part::Last(choice, last)) => {
                if let Some(joined) = joined.get_mut(choice) {
                    finish(joined, last, style);
                }
            }
            Some(Part::Failed(failure)) => return Err(failure),
        }
    }
    let answers = joined.into_iter().map(|it| it.answer);
    let all: Option<Vec<Value>> = answers.collect();
    all.ok_or_else(|| Failure::Internal("the answer broke off".to_owned()))
}

fn finish(joined: &mut Joined, mut last: Map<String, Value>, style: &Style) {
    joined.add(&Value::Object(last.clone()));
    last.insert(
        "content".to_owned(),
        Value::from(std::mem::take(&mut joined.content)),
    );
    let tokens = std::mem::take(&mut joined.tokens);
    let tokens = if style.tokens { tokens } else { Vec::new() };
    last.insert("tokens".to_owned(), Value::Array(tokens));
    if style.probabilities {
        let list = std::mem::take(&mut joined.probabilities);
        last.insert("completion_probabilities".to_owned(), Value::Array(list));
    }
    joined.answer = Some(only(last, &style.only));
}
