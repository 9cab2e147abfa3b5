//! What the events of a request add up to: the one source of whole answers and of the ends of streams.

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::{
    core::{Event, Failure, Finish, Outcome, Piece, Started, Token},
    dialects::record::record,
};

/// The events so far of one request.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// What was known before the first token.
    pub started: Started,
    /// The choices, by their index.
    pub choices: Vec<Choice>,
    /// All choices ended.
    pub done: bool,
    /// It failed.
    pub failed: Option<Failure>,
}

/// One answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Choice {
    /// What was thought.
    pub reasoning: String,
    /// What was said.
    pub content: String,
    /// What was called, by the index of the call.
    pub calls: Vec<Call>,
    /// The tokens, with what was asked about them.
    pub tokens: Vec<Token>,
    /// How it ended.
    pub outcome: Option<Outcome>,
}

/// A call of a tool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Call {
    /// Its id.
    pub id: String,
    /// The tool.
    pub name: String,
    /// The text of a JSON object.
    pub arguments: String,
}

impl Answer {
    /// An answer of so many choices.
    pub fn new(choices: usize) -> Self {
        Self {
            choices: vec![Choice::default(); choices.max(1)],
            ..Self::default()
        }
    }

    /// Adds an event. One of a choice that was not asked for is dropped.
    pub fn add(&mut self, event: &Event) {
        match event {
            Event::Started(started) => self.started = started.clone(),
            Event::Read { .. } => {}
            Event::Delta {
                choice,
                pieces,
                tokens,
            } => {
                if let Some(choice) = self.choices.get_mut(*choice) {
                    choice.tokens.extend_from_slice(tokens);
                    pieces.iter().for_each(|piece| choice.add(piece));
                }
            }
            Event::End { choice, outcome } => {
                if let Some(choice) = self.choices.get_mut(*choice) {
                    choice.outcome = Some(outcome.clone());
                }
            }
            Event::Done => self.done = true,
            Event::Failed(failure) => self.failed = Some(failure.clone()),
        }
    }

    /// Whether every choice ended.
    pub fn ended(&self) -> bool {
        self.choices.iter().all(|choice| choice.outcome.is_some())
    }

    fn outcomes(&self) -> impl Iterator<Item = &Outcome> + Clone {
        self.choices
            .iter()
            .filter_map(|choice| choice.outcome.as_ref())
    }

    /// Tokens of all choices.
    pub fn generated(&self) -> usize {
        self.outcomes().map(|outcome| outcome.tokens).sum()
    }

    /// Tokens of all choices that were thoughts.
    pub fn thought(&self) -> usize {
        self.outcomes()
            .map(|outcome| outcome.reasoning_tokens)
            .sum()
    }

    /// `usage` of chats and completions. Tokens of all choices count.
    pub fn usage(&self) -> Value {
        let prompt = self.started.prompt_tokens;
        let generated = self.generated();
        json!({
            "prompt_tokens": prompt,
            "completion_tokens": generated,
            "total_tokens": prompt + generated,
            "prompt_tokens_details": { "cached_tokens": self.started.cached_tokens },
            "completion_tokens_details": { "reasoning_tokens": self.thought() },
        })
    }

    /// What no other server tells: how full the context is, what was dropped, and what was understood otherwise than it was
    /// written. `ignored` are the paths of fields that nobody read.
    pub fn hearth(&self, notes: &[String], ignored: &[String]) -> Value {
        let ignored = ignored
            .iter()
            .map(|path| format!("the field {path} is not known and was ignored"));
        record(
            &self.started,
            self.outcomes(),
            notes.iter().cloned().chain(ignored),
        )
    }

    /// `timings`, as llama-server's clients show them: of the choice that took longest.
    pub fn timings(&self) -> Option<Value> {
        let outcome = self.outcomes().max_by_key(|outcome| outcome.timing.total)?;
        let read = self
            .started
            .prompt_tokens
            .saturating_sub(self.started.cached_tokens);
        let mut timings = Map::new();
        timings.insert("cache_n".to_owned(), json!(self.started.cached_tokens));
        rate(&mut timings, "prompt", read, outcome.timing.prefill);
        rate(
            &mut timings,
            "predicted",
            outcome.tokens,
            outcome.timing.decode,
        );
        Some(Value::Object(timings))
    }
}

fn rate(timings: &mut Map<String, Value>, name: &str, tokens: usize, time: Duration) {
    let seconds = time.as_secs_f64();
    timings.insert(format!("{name}_n"), json!(tokens));
    timings.insert(format!("{name}_ms"), json!(seconds * 1e3));
    if tokens > 0 && seconds > 0.0 {
        timings.insert(
            format!("{name}_per_token_ms"),
            json!(seconds * 1e3 / tokens as f64),
        );
        timings.insert(format!("{name}_per_second"), json!(tokens as f64 / seconds));
    }
}

impl Choice {
    fn add(&mut self, piece: &Piece) {
        match piece {
            Piece::Reasoning(text) => self.reasoning.push_str(text),
            Piece::Content(text) => self.content.push_str(text),
            Piece::Call { id, name, .. } => self.calls.push(Call {
                id: id.clone(),
                name: name.clone(),
                arguments: String::new(),
            }),
            Piece::Arguments { index, text } => {
                if let Some(call) = self.calls.get_mut(*index) {
                    call.arguments.push_str(text);
                }
            }
        }
    }

    /// `finish_reason`: one of the five words that clients check for.
    pub fn finish_reason(&self) -> &'static str {
        match self.outcome.as_ref().map(|outcome| &outcome.finish) {
            Some(Finish::End | Finish::Stop(_)) if !self.calls.is_empty() => "tool_calls",
            Some(Finish::End | Finish::Stop(_)) => "stop",
            // What was cut is not whole: no word fits a cancelled answer better.
            Some(Finish::Length | Finish::Context | Finish::Cancelled) | None => "length",
        }
    }
}

/// A float with the digits that it needs, not those of the double nearest to it. JSON has no infinity: -9999 is OpenAI's
/// word for "never".
pub fn number(value: f32) -> Value {
    if !value.is_finite() {
        return json!(-9999.0);
    }
    // The shortest text of a finite float is a number.
    json!(value.to_string().parse::<f64>().unwrap_or(f64::from(value)))
}

/// `logprobs` of a chat: one entry for each token.
pub fn logprobs(tokens: &[Token]) -> Value {
    let content: Vec<Value> = tokens
        .iter()
        .map(|token| {
            let mut entry = token_entry(&token.bytes, token.logprob.unwrap_or(f32::NEG_INFINITY));
            let top = token.top.iter();
            entry["top_logprobs"] = top
                .map(|(_, bytes, logprob)| token_entry(bytes, *logprob))
                .collect();
            entry
        })
        .collect();
    json!({ "content": content, "refusal": null })
}

fn token_entry(bytes: &[u8], logprob: f32) -> Value {
    json!({ "token": String::from_utf8_lossy(bytes), "logprob": number(logprob), "bytes": bytes })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::Timing;

    fn end(choice: usize, finish: Finish, tokens: usize) -> Event {
        Event::End {
            choice,
            outcome: Outcome {
                finish,
                tokens,
                reasoning_tokens: 2,
                timing: Timing {
                    decode: Duration::from_secs(2),
                    ..Timing::default()
                },
                ..Outcome::default()
            },
        }
    }

    #[test]
    fn usage_counts_every_choice() {
        let mut answer = Answer::new(2);
        answer.add(&Event::Started(Started {
            prompt_tokens: 10,
            cached_tokens: 8,
            context: 100,
            warnings: vec!["w".into()],
            ..Started::default()
        }));
        answer.add(&end(0, Finish::End, 4));
        assert!(!answer.ended());
        answer.add(&end(1, Finish::Length, 6));
        assert!(answer.ended());
        assert_eq!(
            answer.usage(),
            json!({"prompt_tokens": 10, "completion_tokens": 10, "total_tokens": 20,
                   "prompt_tokens_details": {"cached_tokens": 8},
                   "completion_tokens_details": {"reasoning_tokens": 4}})
        );
        assert_eq!(
            answer.hearth(&["n".into()], &["x".into()]),
            json!({"used": 16, "limit": 100, "dropped": {"messages": 0, "tokens": 0},
                   "warnings": ["w", "n", "the field x is not known and was ignored"]})
        );
        let timings = answer.timings().unwrap();
        assert_eq!(timings["prompt_n"], 2);
        assert_eq!(timings["predicted_per_second"], 3.0);
    }

    #[test]
    fn reasons() {
        for (finish, calls, expected) in [
            (Finish::End, false, "stop"),
            (Finish::End, true, "tool_calls"),
            (Finish::Stop("x".into()), false, "stop"),
            (Finish::Length, true, "length"),
            (Finish::Context, false, "length"),
            (Finish::Cancelled, false, "length"),
        ] {
            let mut answer = Answer::new(1);
            if calls {
                let call = Piece::Call {
                    index: 0,
                    id: "c".into(),
                    name: "f".into(),
                };
                answer.add(&Event::Delta {
                    choice: 0,
                    pieces: vec![call],
                    tokens: vec![],
                });
            }
            answer.add(&end(0, finish, 1));
            assert_eq!(answer.choices[0].finish_reason(), expected);
        }
    }

    #[test]
    fn floats_keep_their_digits() {
        for (value, text) in [
            (0.1_f32, "0.1"),
            (-1.5, "-1.5"),
            (f32::NEG_INFINITY, "-9999.0"),
            (1e-8, "1e-8"),
            (3.0, "3.0"),
        ] {
            assert_eq!(number(value).to_string(), text);
        }
    }
}
