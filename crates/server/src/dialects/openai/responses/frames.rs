//! The answer of `/v1/responses`: items that are opened, filled and closed one after the other.

use serde_json::{Map, Value, json};

use crate::core::{Event, Failure, Finish, Piece, Token};
use crate::dialects::openai::answer::Answer;
use crate::dialects::openai::{chat, error};
use crate::dialects::{Frame, Stamp};

use super::item::{Body, Item, output_text, summary, token_list};
use super::request::Asked;
use super::state::Kept;

/// Makes frames of events, and the whole answer of what they added up to.
#[derive(Clone, Debug)]
pub struct Frames {
    answer: Answer,
    items: Vec<Item>,
    /// The last item is not closed.
    open: bool,
    /// Frames so far.
    sequence: u64,
    stamp: Stamp,
    asked: Asked,
}

impl Frames {
    /// The answer to a request.
    pub fn new(asked: &Asked, stamp: Stamp) -> Self {
        let mut answer = Answer::new(1);
        answer.started.model.clone_from(&asked.asked.request.model);
        Self {
            answer,
            items: Vec::new(),
            open: false,
            sequence: 0,
            stamp,
            asked: asked.clone(),
        }
    }

    /// The id of the response.
    pub fn id(&self) -> String {
        format!("resp_{}", self.stamp.id)
    }

    /// What an event adds to the stream.
    pub fn event(&mut self, event: &Event) -> Vec<Frame> {
        self.answer.add(event);
        let mut frames = Vec::new();
        match event {
            Event::Started(_) => {
                for name in ["response.created", "response.in_progress"] {
                    let response = self.response("in_progress");
                    self.push(&mut frames, name, json!({ "response": response }));
                }
            }
            Event::Delta {
                choice: 0,
                pieces,
                tokens,
            } => self.pieces(&mut frames, pieces, tokens),
            Event::End { choice: 0, .. } => self.end(&mut frames),
            Event::Done => {
                let status = self.status();
                let name = match status {
                    "completed" => "response.completed",
                    "incomplete" => "response.incomplete",
                    _ => "response.failed",
                };
                let response = self.response(status);
                self.push(&mut frames, name, json!({ "response": response }));
            }
            Event::Failed(failure) => {
                let (_, body) = error(failure);
                let body = &body["error"];
                let told = json!({"code": body["code"], "message": body["message"], "param": body["param"]});
                self.push(&mut frames, "error", told);
                let response = self.response("failed");
                self.push(
                    &mut frames,
                    "response.failed",
                    json!({ "response": response }),
                );
            }
            Event::Delta { .. } | Event::End { .. } | Event::Read { .. } => {}
        }
        frames
    }

    /// The whole answer.
    ///
    /// # Errors
    /// The generation failed, or the events ended before it did.
    pub fn whole(&self) -> Result<Value, Failure> {
        chat::finished(&self.answer)?;
        Ok(self.response(self.status()))
    }

    /// Paths of fields that nobody read.
    pub fn ignored(&self) -> &[String] {
        &self.asked.asked.ignored
    }

    /// What the events added up to so far.
    pub fn answer(&self) -> &Answer {
        &self.answer
    }

    /// What is kept of it for `owner`; `None` where the client does not want that or the answer is not whole.
    pub fn kept(&self, owner: &str) -> Option<Kept> {
        let response = self.whole().ok().filter(|_| self.asked.store)?;
        Some(Kept {
            id: self.id(),
            owner: owner.to_owned(),
            previous: self.asked.previous.clone(),
            created: self.stamp.seconds(),
            input: self.asked.input.clone(),
            response,
        })
    }

    fn push(&mut self, frames: &mut Vec<Frame>, name: &'static str, fields: Value) {
        let mut data = Map::new();
        data.insert("type".to_owned(), json!(name));
        data.insert("sequence_number".to_owned(), json!(self.sequence));
        if let Value::Object(fields) = fields {
            data.extend(fields);
        }
        self.sequence += 1;
        frames.push(Frame::event(name, &Value::Object(data)));
    }

    /// A frame about the last item.
    fn tell(&mut self, frames: &mut Vec<Frame>, name: &'static str, mut fields: Value) {
        if let Some(item) = self.items.last() {
            fields["item_id"] = json!(item.id);
            fields["output_index"] = json!(self.items.len() - 1);
            self.push(frames, name, fields);
        }
    }

    fn pieces(&mut self, frames: &mut Vec<Frame>, pieces: &[Piece], tokens: &[Token]) {
        // The tokens belong to the first text of the delta; those of thoughts are not told.
        let told = self.asked.asked.request.logprobs.is_some();
        let mut tokens = if told { tokens } else { &[] };
        for piece in pieces {
            match piece {
                Piece::Reasoning(text) if text.is_empty() => {}
                Piece::Content(text) if text.is_empty() => {}
                Piece::Reasoning(text) => self.think(frames, text),
                Piece::Content(text) => self.say(frames, text, std::mem::take(&mut tokens)),
                Piece::Call { index, id, name } => {
                    let body = Body::Call {
                        index: *index,
                        call_id: id.clone(),
                        name: name.clone(),
                        arguments: String::new(),
                    };
                    self.begin(frames, body);
                }
                Piece::Arguments { index, text } => self.argue(frames, *index, text),
            }
        }
        // Text may be held back while its tokens are told.
        if let Some(Item {
            body: Body::Message { tokens: all, .. },
            ..
        }) = self.items.last_mut()
            && self.open
        {
            all.extend_from_slice(tokens);
        }
    }

    fn last(&mut self) -> Option<&mut Body> {
        self.items
            .last_mut()
            .filter(|_| self.open)
            .map(|item| &mut item.body)
    }

    fn think(&mut self, frames: &mut Vec<Frame>, text: &str) {
        if !matches!(self.last(), Some(Body::Reasoning(_))) {
            self.begin(frames, Body::Reasoning(String::new()));
        }
        if let Some(Body::Reasoning(all)) = self.last() {
            all.push_str(text);
        }
        let fields = json!({"summary_index": 0, "delta": text});
        self.tell(frames, "response.reasoning_summary_text.delta", fields);
    }

    fn say(&mut self, frames: &mut Vec<Frame>, text: &str, tokens: &[Token]) {
        if !matches!(self.last(), Some(Body::Message { .. })) {
            self.begin(
                frames,
                Body::Message {
                    text: String::new(),
                    tokens: Vec::new(),
                },
            );
        }
        if let Some(Body::Message {
            text: all,
            tokens: all_tokens,
        }) = self.last()
        {
            all.push_str(text);
            all_tokens.extend_from_slice(tokens);
        }
        let fields = json!({"content_index": 0, "delta": text, "logprobs": token_list(tokens)});
        self.tell(frames, "response.output_text.delta", fields);
    }

    fn argue(&mut self, frames: &mut Vec<Frame>, of: usize, text: &str) {
        let place = self
            .items
            .iter()
            .rposition(|item| matches!(&item.body, Body::Call { index, .. } if *index == of));
        let Some(place) = place else {
            return;
        };
        if let Body::Call { arguments, .. } = &mut self.items[place].body {
            arguments.push_str(text);
        }
        // A call that was closed by text after it is still whole in the answer; its item cannot be opened again.
        if self.open && place + 1 == self.items.len() && !text.is_empty() {
            self.tell(
                frames,
                "response.function_call_arguments.delta",
                json!({ "delta": text }),
            );
        }
    }

    /// Opens an item, when the one before it is closed.
    fn begin(&mut self, frames: &mut Vec<Frame>, body: Body) {
        self.close(frames, "completed");
        let item = Item::new(&self.stamp.id, self.items.len(), body);
        let begun = item.begun();
        let part = match &item.body {
            Body::Reasoning(_) => Some((
                "response.reasoning_summary_part.added",
                json!({"summary_index": 0, "part": summary("")}),
            )),
            Body::Message { .. } => Some((
                "response.content_part.added",
                json!({"content_index": 0, "part": output_text("", &[])}),
            )),
            Body::Call { .. } => None,
        };
        self.items.push(item);
        self.open = true;
        let output_index = self.items.len() - 1;
        self.push(
            frames,
            "response.output_item.added",
            json!({"output_index": output_index, "item": begun}),
        );
        if let Some((name, fields)) = part {
            self.tell(frames, name, fields);
        }
    }

    fn close(&mut self, frames: &mut Vec<Frame>, status: &str) {
        let Some(item) = self.items.last().filter(|_| self.open).cloned() else {
            return;
        };
        let done: Vec<(&'static str, Value)> = match &item.body {
            Body::Reasoning(text) => vec![
                (
                    "response.reasoning_summary_text.done",
                    json!({"summary_index": 0, "text": text}),
                ),
                (
                    "response.reasoning_summary_part.done",
                    json!({"summary_index": 0, "part": summary(text)}),
                ),
            ],
            Body::Message { text, tokens } => vec![
                (
                    "response.output_text.done",
                    json!({"content_index": 0, "text": text, "logprobs": token_list(tokens)}),
                ),
                (
                    "response.content_part.done",
                    json!({"content_index": 0, "part": output_text(text, tokens)}),
                ),
            ],
            Body::Call {
                name, arguments, ..
            } => vec![(
                "response.function_call_arguments.done",
                json!({"name": name, "arguments": arguments}),
            )],
        };
        for (name, fields) in done {
            self.tell(frames, name, fields);
        }
        let ended = item.ended(status, self.asked.sealed);
        let output_index = self.items.len() - 1;
        self.push(
            frames,
            "response.output_item.done",
            json!({"output_index": output_index, "item": ended}),
        );
        self.open = false;
    }

    fn end(&mut self, frames: &mut Vec<Frame>) {
        if self.items.is_empty() {
            // An answer without any text is a message all the same: clients look for one.
            self.begin(
                frames,
                Body::Message {
                    text: String::new(),
                    tokens: Vec::new(),
                },
            );
        }
        let status = if self.status() == "completed" {
            "completed"
        } else {
            "incomplete"
        };
        self.close(frames, status);
    }

    fn finish(&self) -> Option<&Finish> {
        Some(&self.answer.choices.first()?.outcome.as_ref()?.finish)
    }

    fn status(&self) -> &'static str {
        match self.finish() {
            Some(Finish::End | Finish::Stop(_)) => "completed",
            Some(Finish::Length | Finish::Context) => "incomplete",
            Some(Finish::Cancelled) | None => "failed",
        }
    }

    fn response(&self, status: &str) -> Value {
        let mut response = Map::new();
        let mut set = |name: &str, value: Value| response.insert(name.to_owned(), value);
        let over = status != "in_progress";
        set("id", json!(self.id()));
        set("object", json!("response"));
        set("created_at", json!(self.stamp.seconds()));
        set("status", json!(status));
        set(
            "completed_at",
            if status == "completed" {
                json!(self.completed_at())
            } else {
                Value::Null
            },
        );
        set("error", self.failure(status));
        let cut = (status == "incomplete").then(|| json!({"reason": "max_output_tokens"}));
        set("incomplete_details", json!(cut));
        set("model", json!(self.answer.started.model));
        set(
            "output",
            if over {
                json!(self.output())
            } else {
                json!([])
            },
        );
        for (name, value) in &self.asked.echo {
            set(name, value.clone());
        }
        set("usage", if over { self.usage() } else { Value::Null });
        if over {
            set(
                "hearth",
                self.answer
                    .hearth(&self.asked.asked.notes, &self.asked.asked.ignored),
            );
        }
        Value::Object(response)
    }

    fn output(&self) -> Vec<Value> {
        let last = self.items.len().saturating_sub(1);
        let cut = self.status() != "completed";
        let items = self.items.iter().enumerate().map(|(index, item)| {
            let status = if cut && index == last {
                "incomplete"
            } else {
                "completed"
            };
            item.ended(status, self.asked.sealed)
        });
        items.collect()
    }

    fn failure(&self, status: &str) -> Value {
        if status != "failed" {
            return Value::Null;
        }
        let failure = self.answer.failed.clone().unwrap_or(Failure::Cancelled);
        let (_, body) = error(&failure);
        json!({"code": body["error"]["code"], "message": body["error"]["message"]})
    }

    fn completed_at(&self) -> u64 {
        let outcome = self
            .answer
            .choices
            .first()
            .and_then(|choice| choice.outcome.as_ref());
        let took = outcome.map_or(0, |outcome| outcome.timing.total.as_secs());
        self.stamp.seconds().saturating_add(took)
    }

    fn usage(&self) -> Value {
        let (input, output) = (self.answer.started.prompt_tokens, self.answer.generated());
        json!({
            "input_tokens": input,
            "input_tokens_details": {"cached_tokens": self.answer.started.cached_tokens},
            "output_tokens": output,
            "output_tokens_details": {"reasoning_tokens": self.answer.thought()},
            "total_tokens": input + output,
        })
    }
}

#[cfg(test)]
mod tests;
