//! The answer, whole and piece by piece.
//!
//! [`Writer`] turns events into [`Change`]s of a message; [`Frames`] writes these down and [`whole`] carries them out, so
//! that both say the same.

use serde_json::{Map, Value, json};

use super::error::error;
use super::request::Shape;
use crate::core::{Event, Failure, Finish, Outcome, Piece, Started};
use crate::dialects::{
    frame::{Frame, Stamp},
    record::record,
};

/// Begins the id of a call, before the model's own.
pub(super) const CALL: &str = "toolu_";

/// What happens to a message.
#[derive(Clone, Debug, PartialEq)]
enum Change {
    /// It begins, with its first fields.
    Begin(Value),
    /// A block begins.
    Open(Value),
    /// A text is added to what the block has under this name: the name, the type of the change, the text.
    Add(&'static str, &'static str, String),
    /// The block ended.
    Close,
    /// The message ended: why, at which stop, and what it took.
    End {
        reason: &'static str,
        stop: Option<String>,
        usage: Value,
        hearth: Value,
    },
    /// Nothing follows.
    Stop,
    /// It failed.
    Fail(Failure),
}

/// Which block is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Block {
    Thinking,
    Text,
    Call(usize),
}

/// From events to changes.
#[derive(Debug)]
struct Writer {
    id: String,
    shape: Shape,
    started: Option<Started>,
    open: Option<Block>,
    /// Whether any block was.
    any: bool,
    called: bool,
    /// White space that begins a text: a block of nothing else is not written.
    blank: String,
}

impl Writer {
    fn new(stamp: &Stamp, shape: Shape) -> Self {
        Self {
            id: format!("msg_{}", stamp.id),
            shape,
            started: None,
            open: None,
            any: false,
            called: false,
            blank: String::new(),
        }
    }

    fn event(&mut self, event: Event) -> Vec<Change> {
        let mut changes = Vec::new();
        match event {
            Event::Started(started) => self.begin(started, &mut changes),
            Event::Delta {
                choice: 0, pieces, ..
            } => {
                self.begin_anyhow(&mut changes);
                for piece in pieces {
                    self.piece(piece, &mut changes);
                }
            }
            Event::End { choice: 0, outcome } => {
                self.begin_anyhow(&mut changes);
                self.end(outcome, &mut changes);
            }
            Event::Done => changes.push(Change::Stop),
            Event::Failed(failure) => changes.push(Change::Fail(failure)),
            // One answer is asked for, and how far the prompt is read has no place here.
            Event::Delta { .. } | Event::End { .. } | Event::Read { .. } => {}
        }
        changes
    }

    fn begin(&mut self, started: Started, changes: &mut Vec<Change>) {
        let usage = usage(&started, 0);
        changes.push(Change::Begin(json!({
            "id": self.id, "type": "message", "role": "assistant", "model": started.model, "content": [],
            "stop_reason": null, "stop_sequence": null, "usage": usage,
        })));
        self.started = Some(started);
    }

    /// Clients need the beginning whatever comes.
    fn begin_anyhow(&mut self, changes: &mut Vec<Change>) {
        if self.started.is_none() {
            self.begin(Started::default(), changes);
        }
    }

    fn piece(&mut self, piece: Piece, changes: &mut Vec<Change>) {
        match piece {
            Piece::Reasoning(text) if text.is_empty() => {}
            Piece::Reasoning(text) => {
                self.open(
                    Block::Thinking,
                    changes,
                    || json!({ "type": "thinking", "thinking": "", "signature": "" }),
                );
                if !self.shape.thoughts_omitted {
                    changes.push(Change::Add("thinking", "thinking_delta", text));
                }
            }
            Piece::Content(text) => self.text(text, changes),
            Piece::Call { index, id, name } => {
                self.called = true;
                let id = match id.starts_with(CALL) {
                    true => id,
                    false => format!("{CALL}{id}"),
                };
                self.open(
                    Block::Call(index),
                    changes,
                    || json!({ "type": "tool_use", "id": id, "name": name, "input": {} }),
                );
            }
            // Calls come one after the other: arguments are those of the call that is open.
            Piece::Arguments { index, text } => {
                if self.open == Some(Block::Call(index)) && !text.is_empty() {
                    changes.push(Change::Add("input", "input_json_delta", text));
                }
            }
        }
    }

    fn text(&mut self, text: String, changes: &mut Vec<Change>) {
        if self.open != Some(Block::Text) {
            self.blank.push_str(&text);
            if self.blank.trim().is_empty() {
                return;
            }
            let text = std::mem::take(&mut self.blank);
            self.open(Block::Text, changes, empty_text);
            changes.push(Change::Add("text", "text_delta", text));
        } else if !text.is_empty() {
            changes.push(Change::Add("text", "text_delta", text));
        }
    }

    /// Makes a block the open one, where it is not.
    fn open(&mut self, block: Block, changes: &mut Vec<Change>, content: impl FnOnce() -> Value) {
        if self.open == Some(block) {
            return;
        }
        self.close(changes);
        self.open = Some(block);
        self.any = true;
        changes.push(Change::Open(content()));
    }

    fn close(&mut self, changes: &mut Vec<Change>) {
        self.blank.clear();
        if let Some(block) = self.open.take() {
            if block == Block::Thinking {
                // Nothing is signed: clients send it back as it is.
                changes.push(Change::Add("signature", "signature_delta", String::new()));
            }
            changes.push(Change::Close);
        }
    }

    fn end(&mut self, outcome: Outcome, changes: &mut Vec<Change>) {
        if outcome.finish == Finish::Cancelled {
            changes.push(Change::Fail(Failure::Cancelled));
            return;
        }
        if !self.any {
            // Clients take the first block's text without a look.
            let blank = std::mem::take(&mut self.blank);
            self.open(Block::Text, changes, empty_text);
            if !blank.is_empty() {
                changes.push(Change::Add("text", "text_delta", blank));
            }
        }
        self.close(changes);
        let (reason, stop) = self.reason(&outcome.finish);
        let started = self.started.clone().unwrap_or_default();
        let notes = self.shape.notes.iter().cloned();
        changes.push(Change::End {
            reason,
            stop,
            usage: usage(&started, outcome.tokens),
            hearth: record(&started, std::iter::once(&outcome), notes),
        });
    }

    fn reason(&self, finish: &Finish) -> (&'static str, Option<String>) {
        match finish {
            Finish::Length => ("max_tokens", None),
            Finish::Context => ("model_context_window_exceeded", None),
            _ if self.called => ("tool_use", None),
            Finish::Stop(text) if self.shape.stops.contains(text) => {
                ("stop_sequence", Some(text.clone()))
            }
            Finish::Stop(_) | Finish::End | Finish::Cancelled => ("end_turn", None),
        }
    }
}

fn empty_text() -> Value {
    json!({ "type": "text", "text": "" })
}

/// Cached tokens are not among the input's.
fn usage(started: &Started, output: usize) -> Value {
    json!({
        "input_tokens": started.prompt_tokens.saturating_sub(started.cached_tokens),
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": started.cached_tokens,
        "output_tokens": output,
    })
}

/// A stream being written.
#[derive(Debug)]
pub struct Frames {
    writer: Writer,
    /// Of the block that is open or comes next.
    index: usize,
    over: bool,
}

impl Frames {
    /// The stream of an answer. [`Stamp::id`] is the part of the message's id after `msg_`.
    pub fn new(stamp: &Stamp, shape: Shape) -> Self {
        Self {
            writer: Writer::new(stamp, shape),
            index: 0,
            over: false,
        }
    }

    /// What an event adds to the stream; nothing after its end.
    pub fn event(&mut self, event: Event) -> Vec<Frame> {
        let changes = self.writer.event(event);
        let mut frames = Vec::with_capacity(changes.len());
        for change in changes {
            if self.over {
                break;
            }
            let begins = matches!(change, Change::Begin(_));
            frames.push(self.frame(change));
            if begins {
                frames.push(ping());
            }
        }
        frames
    }

    fn frame(&mut self, change: Change) -> Frame {
        let index = self.index;
        match change {
            Change::Begin(message) => frame("message_start", &json!({ "message": message })),
            Change::Open(block) => frame(
                "content_block_start",
                &json!({ "index": index, "content_block": block }),
            ),
            Change::Add(name, kind, text) => {
                let name = if name == "input" {
                    "partial_json"
                } else {
                    name
                };
                let mut delta = Map::from_iter([("type".to_owned(), Value::from(kind))]);
                delta.insert(name.to_owned(), Value::from(text));
                frame(
                    "content_block_delta",
                    &json!({ "index": index, "delta": delta }),
                )
            }
            Change::Close => {
                self.index += 1;
                frame("content_block_stop", &json!({ "index": index }))
            }
            Change::End {
                reason,
                stop,
                usage,
                hearth,
            } => {
                let delta = json!({ "stop_reason": reason, "stop_sequence": stop });
                let fields = json!({ "delta": delta, "usage": usage, "hearth": hearth });
                frame("message_delta", &fields)
            }
            Change::Stop => {
                self.over = true;
                frame("message_stop", &json!({}))
            }
            Change::Fail(failure) => {
                self.over = true;
                frame("error", &error(&failure).1)
            }
        }
    }
}

/// Says that the connection lives: may be sent at any time between other frames.
pub fn ping() -> Frame {
    frame("ping", &json!({}))
}

/// An event whose name is the `type` of its data, which comes first.
fn frame(name: &'static str, fields: &Value) -> Frame {
    let mut data = Map::from_iter([("type".to_owned(), Value::from(name))]);
    data.extend(fields.as_object().cloned().unwrap_or_default());
    Frame::Event {
        name,
        data: Value::Object(data).to_string(),
    }
}

/// The whole answer.
///
/// # Errors
/// The generation failed or was given up.
pub fn whole(
    stamp: &Stamp,
    shape: Shape,
    events: impl IntoIterator<Item = Event>,
) -> Result<Value, Failure> {
    let mut writer = Writer::new(stamp, shape);
    let mut message = Value::Null;
    let mut blocks: Vec<Value> = Vec::new();
    let mut input = String::new();
    for change in events.into_iter().flat_map(|event| writer.event(event)) {
        match change {
            Change::Begin(begun) => message = begun,
            Change::Open(block) => blocks.push(block),
            Change::Add("input", _, text) => input.push_str(&text),
            Change::Add(name, _, text) => {
                if let Some(Value::String(so_far)) =
                    blocks.last_mut().and_then(|it| it.get_mut(name))
                {
                    so_far.push_str(&text);
                }
            }
            Change::Close => {
                let input = std::mem::take(&mut input);
                if let Some(block) = blocks.last_mut().filter(|_| !input.is_empty()) {
                    block["input"] = arguments(&input);
                }
            }
            Change::End {
                reason,
                stop,
                usage,
                hearth,
            } => {
                message["content"] = Value::Array(std::mem::take(&mut blocks));
                message["stop_reason"] = Value::from(reason);
                message["stop_sequence"] = Value::from(stop);
                message["usage"] = usage;
                message["hearth"] = hearth;
            }
            Change::Stop => return Ok(message),
            Change::Fail(failure) => return Err(failure),
        }
    }
    Err(Failure::Internal("the answer broke off".to_owned()))
}

/// Arguments as an object. What was broken off is none: the reason why the message ended says so.
fn arguments(text: &str) -> Value {
    serde_json::from_str::<Map<String, Value>>(text).map_or_else(|_| json!({}), Value::Object)
}
