//! The answers of generate and chat: lines of a stream, or one object, from the same events (reference 5.2 to 5.4).

use std::time::{Duration, SystemTime};

use serde_json::{Map, Value, json};

use super::super::{Frame, Stamp, record::record};
use super::common::{Action, Asked, Kind};
use super::part::{Calls, Part};
use super::time;
use crate::core::{Event, Failure, Finish, Outcome, Started};

/// Makes an answer of events.
///
/// Of a stream each event becomes lines at once; of a whole answer there is one frame, which comes with the end. Calls
/// of tools are whole before they are told.
#[derive(Clone, Debug)]
pub struct Frames {
    head: Head,
    stream: bool,
    context: bool,
    logprobs: Option<usize>,
    warnings: Vec<String>,
    started: Started,
    calls: Calls,
    /// What a whole answer has until now.
    whole: Part,
}

/// What every frame of an answer has.
#[derive(Clone, Debug)]
struct Head {
    kind: Kind,
    /// The model as the client wrote it.
    model: String,
}

impl Frames {
    /// Of a request. `stamp.id` is where ids of calls come from that the model gave none.
    pub fn new(asked: &Asked, stamp: &Stamp) -> Self {
        Self {
            head: Head {
                kind: asked.kind,
                model: asked.request.model.clone(),
            },
            stream: asked.stream,
            context: asked.request.ids,
            logprobs: asked.request.logprobs.map(|asked| asked.top),
            warnings: asked.warnings.clone(),
            started: Started::default(),
            calls: Calls::new(&stamp.id),
            whole: Part::default(),
        }
    }

    /// What an event that came `now` makes: the lines of a stream, or the frame of a whole answer.
    ///
    /// # Errors
    /// The generation failed or was ended from outside. Where nothing was sent, [`super::error`] answers, else
    /// [`super::error_line`] is the last line.
    pub fn push(&mut self, event: Event, now: SystemTime) -> Result<Vec<Frame>, Failure> {
        match event {
            Event::Started(started) => self.started = started,
            Event::Delta {
                choice: 0,
                pieces,
                tokens,
            } => {
                let mut part = self.calls.push(pieces);
                if let Some(top) = self.logprobs {
                    part.add_tokens(&tokens, top);
                }
                return Ok(self.part(part, now).into_iter().collect());
            }
            Event::End { choice: 0, outcome } => {
                if outcome.finish == Finish::Cancelled {
                    return Err(Failure::Cancelled);
                }
                let rest = self.calls.finish();
                let mut frames: Vec<Frame> = self.part(rest, now).into_iter().collect();
                frames.push(self.last(&outcome, now));
                return Ok(frames);
            }
            Event::Failed(failure) => return Err(failure),
            // Requests of this dialect ask for one answer and not how far the prompt is read.
            Event::Delta { .. } | Event::End { .. } | Event::Read { .. } | Event::Done => {}
        }
        Ok(Vec::new())
    }

    /// A line, or more of the whole.
    fn part(&mut self, part: Part, now: SystemTime) -> Option<Frame> {
        if part.is_empty() {
            return None;
        }
        if self.stream {
            return Some(Frame::json(&Value::Object(
                self.head.frame(part, now, false),
            )));
        }
        self.whole.extend(part);
        None
    }

    fn last(&mut self, outcome: &Outcome, now: SystemTime) -> Frame {
        let whole = std::mem::take(&mut self.whole);
        let mut frame = self.head.frame(whole, now, true);
        let reason = match outcome.finish {
            Finish::End | Finish::Stop(_) => "stop",
            Finish::Length | Finish::Context => "length",
            Finish::Cancelled => unreachable!("push refuses it"),
        };
        frame.insert("done_reason".to_owned(), json!(reason));
        if self.context {
            frame.insert("context".to_owned(), json!(outcome.ids));
        }
        let (started, timing) = (&self.started, &outcome.timing);
        for (name, number) in [
            ("total_duration", nanoseconds(timing.total)),
            ("load_duration", nanoseconds(started.load)),
            ("prompt_eval_count", started.prompt_tokens as u64),
            ("prompt_eval_duration", nanoseconds(timing.prefill)),
            ("eval_count", outcome.tokens as u64),
            ("eval_duration", nanoseconds(timing.decode)),
        ] {
            if number > 0 {
                frame.insert(name.to_owned(), json!(number));
            }
        }
        let outcomes = std::iter::once(outcome);
        let record = record(&self.started, outcomes, self.warnings.iter().cloned());
        frame.insert("hearth".to_owned(), record);
        Frame::json(&Value::Object(frame))
    }
}

impl Head {
    /// A frame with a part of the text: the fields that every reader needs, and the others where they say something.
    fn frame(&self, part: Part, now: SystemTime, done: bool) -> Map<String, Value> {
        let mut text = Map::new();
        let optional = [
            (
                "thinking",
                (!part.thinking.is_empty()).then(|| json!(part.thinking)),
            ),
            (
                "tool_calls",
                (!part.calls.is_empty()).then(|| json!(part.calls)),
            ),
        ];
        let optional = optional
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?)));
        let mut frame = Map::new();
        frame.insert("model".to_owned(), json!(self.model));
        frame.insert("created_at".to_owned(), json!(time::nanoseconds(now)));
        match self.kind {
            Kind::Generate => {
                frame.insert("response".to_owned(), json!(part.content));
                frame.extend(optional);
            }
            Kind::Chat => {
                text.insert("role".to_owned(), json!("assistant"));
                text.insert("content".to_owned(), json!(part.content));
                text.extend(optional);
                frame.insert("message".to_owned(), Value::Object(text));
            }
        }
        frame.insert("done".to_owned(), json!(done));
        if !part.logprobs.is_empty() {
            frame.insert("logprobs".to_owned(), Value::Array(part.logprobs));
        }
        frame
    }
}

/// The answer to a request that only loads or unloads: one object, also where a stream was asked for.
pub fn loaded(asked: &Asked, now: SystemTime) -> Value {
    let head = Head {
        kind: asked.kind,
        model: asked.request.model.clone(),
    };
    let mut frame = head.frame(Part::default(), now, true);
    let reason = match asked.action {
        Action::Unload => "unload",
        _ => "load",
    };
    frame.insert("done_reason".to_owned(), json!(reason));
    Value::Object(frame)
}

/// The answer to `_debug_render_only`: the prompt as the model would read it.
pub fn rendered(asked: &Asked, prompt: &str, now: SystemTime) -> Value {
    let head = Head {
        kind: asked.kind,
        model: asked.request.model.clone(),
    };
    let mut frame = head.frame(Part::default(), now, true);
    let told = json!({ "rendered_template": prompt, "image_count": asked.images });
    frame.insert("_debug_info".to_owned(), told);
    Value::Object(frame)
}

/// Whole nanoseconds; more than 584 years are so many.
pub(super) fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
