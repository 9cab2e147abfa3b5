//! `POST /v1/chat/completions`.

use serde_json::{Map, Value, json};

use crate::core::request::{Chat, Defaults, Input, Request};
use crate::core::{Event, Failure, Piece, Token};
use crate::dialects::{Fields, Frame, Stamp};

use super::answer::{Answer, Choice, logprobs};
use super::{error, format, messages, options, tools};

/// A request and how its answer is told.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// What the engine is asked.
    pub request: Request,
    /// The answer comes in frames.
    pub stream: bool,
    /// A last frame tells the usage.
    pub include_usage: bool,
    /// What was understood otherwise than it was written, in words.
    pub notes: Vec<String>,
    /// Paths of fields that nobody read: for the log and `x-hearth-ignored`. They change nothing else.
    pub ignored: Vec<String>,
}

/// Reads a body.
///
/// # Errors
/// A field is missing, of the wrong type, or asks for what cannot be done.
pub fn request(body: Map<String, Value>) -> Result<Asked, Failure> {
    let mut body = Fields::new(body);
    let mut asked = Asked::default();
    let model = read_model(&mut body)?;
    let mut chat = Chat {
        messages: messages::read(&mut body, &model)?,
        ..Chat::default()
    };
    asked.notes = tools::read(&mut body, tools::Shape::Nested, &mut chat)?;
    options::read_thinking(&mut body, &mut chat)?;
    chat.continue_last = read_continuation(&mut body, &chat)?;
    read_modalities(&mut body, &model)?;
    asked.request.model = model;
    asked.request.format = format::read(&mut body)?;
    asked.request.logprobs = options::read_logprobs(&mut body)?;
    asked.request.input = Input::Chat(Box::new(chat));
    finish(body, &mut asked)?;
    Ok(asked)
}

/// Takes `model`.
pub(super) fn read_model(body: &mut Fields) -> Result<String, Failure> {
    let model = body.require_str("model")?;
    if model.is_empty() {
        return Err(body.refuse("model", "must not be empty"));
    }
    Ok(model)
}

/// Takes what all generating routes share and notes what is left.
pub(super) fn finish(mut body: Fields, asked: &mut Asked) -> Result<(), Failure> {
    asked.request.sampling.defaults = Defaults::Ollama;
    asked.ignored = options::read(&mut body, &mut asked.request)?;
    asked.stream = body.take_bool("stream")?.unwrap_or(false);
    if let Some(mut stream) = body.take_fields("stream_options")? {
        asked.include_usage = stream.take_bool("include_usage")?.unwrap_or(false);
        // Padding against eavesdroppers who measure lengths; nothing is padded here.
        stream.ignore(&["include_obfuscation", "continuous_usage_stats"]);
        asked.ignored.extend(stream.rest());
    }
    asked.ignored.extend(body.rest());
    Ok(())
}

/// Whether the last turn is continued: both servers whose clients come here do so for an assistant's turn.
fn read_continuation(body: &mut Fields, chat: &Chat) -> Result<bool, Failure> {
    let prompt = body.take_bool("add_generation_prompt")?;
    let asked = match body.take_value("continue_final_message") {
        None => None,
        Some(Value::Bool(on)) => Some(on),
        Some(Value::String(part)) if part == "content" => Some(true),
        Some(other) => {
            let problem = format!("must be true, false or \"content\", got {other}");
            return Err(body.refuse("continue_final_message", problem));
        }
    };
    let last = chat.messages.last();
    let text = last.is_some_and(|last| last.role == "assistant" && last.tool_calls.is_empty());
    if asked == Some(true) && prompt == Some(true) {
        let problem = "and add_generation_prompt exclude each other: send one of them";
        return Err(body.refuse("continue_final_message", problem));
    }
    if asked == Some(true) && !text {
        let problem = "needs a last message of the assistant without tool_calls";
        return Err(body.refuse("continue_final_message", problem));
    }
    Ok(text && asked.unwrap_or(prompt != Some(true)))
}

fn read_modalities(body: &mut Fields, model: &str) -> Result<(), Failure> {
    let modalities = body.take_strings("modalities")?.unwrap_or_default();
    if body.take_value("audio").is_some() || modalities.iter().any(|kind| kind != "text") {
        return Err(Failure::Unsupported {
            model: model.to_owned(),
            capability: "audio",
        });
    }
    Ok(())
}

/// Makes frames of events, and the whole answer of what they added up to.
#[derive(Clone, Debug)]
pub struct Frames {
    answer: Answer,
    stamp: Stamp,
    include_usage: bool,
    logprobs: bool,
    progress: bool,
    notes: Vec<String>,
    ignored: Vec<String>,
}

impl Frames {
    /// The answer to a request.
    pub fn new(asked: &Asked, stamp: Stamp) -> Self {
        let mut answer = Answer::new(asked.request.choices);
        answer.started.model.clone_from(&asked.request.model);
        Self {
            answer,
            stamp,
            include_usage: asked.include_usage,
            logprobs: asked.request.logprobs.is_some(),
            progress: asked.request.progress,
            notes: asked.notes.clone(),
            ignored: asked.ignored.clone(),
        }
    }

    /// The id of the answer.
    pub fn id(&self) -> String {
        format!("chatcmpl-{}", self.stamp.id)
    }

    /// What an event adds to the stream.
    pub fn event(&mut self, event: &Event) -> Vec<Frame> {
        self.answer.add(event);
        match event {
            // The role comes before the prompt is read, for clients that wait only so long for a first byte.
            Event::Started(_) => (0..self.answer.choices.len())
                .map(|choice| self.chunk(choice, json!({"role": "assistant", "content": ""}), &[]))
                .collect(),
            Event::Read {
                done,
                total,
                cached,
                time,
            } if self.progress => {
                let mut chunk = self.head("chat.completion.chunk");
                chunk.insert(
                    "choices".to_owned(),
                    json!([{"index": 0, "delta": {}, "finish_reason": null}]),
                );
                let milliseconds = time.as_secs_f64() * 1e3;
                chunk.insert(
                    "prompt_progress".to_owned(),
                    json!({"total": total, "cache": cached, "processed": done, "time_ms": milliseconds}),
                );
                vec![Frame::Json(Value::Object(chunk).to_string())]
            }
            Event::Read { .. } => Vec::new(),
            Event::Delta {
                choice,
                pieces,
                tokens,
            } if *choice < self.answer.choices.len() => self.deltas(*choice, pieces, tokens),
            Event::End { choice, .. } if *choice < self.answer.choices.len() => {
                vec![self.end(*choice)]
            }
            Event::Delta { .. } | Event::End { .. } => Vec::new(),
            Event::Done if self.include_usage => {
                let mut chunk = self.head("chat.completion.chunk");
                chunk.insert("choices".to_owned(), json!([]));
                self.totals(&mut chunk);
                vec![Frame::Json(Value::Object(chunk).to_string()), Frame::Done]
            }
            Event::Done => vec![Frame::Done],
            Event::Failed(failure) => vec![Frame::json(&error(failure).1)],
        }
    }

    /// The whole answer.
    ///
    /// # Errors
    /// The generation failed, or the events ended before it did.
    pub fn whole(&self) -> Result<Value, Failure> {
        finished(&self.answer)?;
        let mut whole = self.head("chat.completion");
        let choices = self.answer.choices.iter().enumerate();
        let choices: Vec<Value> = choices
            .map(|(index, choice)| self.choice(index, choice))
            .collect();
        whole.insert("choices".to_owned(), json!(choices));
        self.totals(&mut whole);
        Ok(Value::Object(whole))
    }

    /// Paths of fields that nobody read.
    pub fn ignored(&self) -> &[String] {
        &self.ignored
    }

    /// What the events added up to so far.
    pub fn answer(&self) -> &Answer {
        &self.answer
    }

    fn head(&self, object: &str) -> Map<String, Value> {
        let mut head = Map::new();
        head.insert("id".to_owned(), json!(self.id()));
        head.insert("object".to_owned(), json!(object));
        head.insert("created".to_owned(), json!(self.stamp.seconds()));
        head.insert("model".to_owned(), json!(self.answer.started.model));
        head.insert("system_fingerprint".to_owned(), json!(super::FINGERPRINT));
        head
    }

    fn totals(&self, frame: &mut Map<String, Value>) {
        frame.insert("usage".to_owned(), self.answer.usage());
        self.extras(frame);
    }

    fn extras(&self, frame: &mut Map<String, Value>) {
        if let Some(timings) = self.answer.timings() {
            frame.insert("timings".to_owned(), timings);
        }
        frame.insert(
            "hearth".to_owned(),
            self.answer.hearth(&self.notes, &self.ignored),
        );
    }

    fn chunk(&self, choice: usize, delta: Value, tokens: &[Token]) -> Frame {
        let mut chunk = self.head("chat.completion.chunk");
        let logprobs = (self.logprobs && !tokens.is_empty()).then(|| logprobs(tokens));
        let choice =
            json!({"index": choice, "delta": delta, "logprobs": logprobs, "finish_reason": null});
        chunk.insert("choices".to_owned(), json!([choice]));
        Frame::Json(Value::Object(chunk).to_string())
    }

    /// One chunk for each piece; the tokens go with the first.
    fn deltas(&self, choice: usize, pieces: &[Piece], tokens: &[Token]) -> Vec<Frame> {
        if pieces.is_empty() && self.logprobs && !tokens.is_empty() {
            // Text is held back, but its tokens are told.
            return vec![self.chunk(choice, json!({}), tokens)];
        }
        let mut tokens = Some(tokens);
        let chunks = pieces
            .iter()
            .map(|piece| self.chunk(choice, delta(piece), tokens.take().unwrap_or_default()));
        chunks.collect()
    }

    fn end(&self, index: usize) -> Frame {
        let mut chunk = self.head("chat.completion.chunk");
        let reason = self.answer.choices[index].finish_reason();
        let choice =
            json!({"index": index, "delta": {}, "logprobs": null, "finish_reason": reason});
        chunk.insert("choices".to_owned(), json!([choice]));
        if !self.include_usage && self.answer.ended() {
            self.extras(&mut chunk);
        }
        Frame::Json(Value::Object(chunk).to_string())
    }

    fn choice(&self, index: usize, choice: &Choice) -> Value {
        let mut message = Map::new();
        message.insert("role".to_owned(), json!("assistant"));
        // Some clients take any text, be it empty, for an answer beside the calls.
        let content =
            (!choice.content.is_empty() || choice.calls.is_empty()).then_some(&choice.content);
        message.insert("content".to_owned(), json!(content));
        message.insert("refusal".to_owned(), Value::Null);
        if !choice.reasoning.is_empty() {
            for name in REASONING {
                message.insert((*name).to_owned(), json!(choice.reasoning));
            }
        }
        if !choice.calls.is_empty() {
            let calls = choice.calls.iter().map(|call| {
                json!({"id": call.id, "type": "function",
                       "function": {"name": call.name, "arguments": call.arguments}})
            });
            message.insert("tool_calls".to_owned(), calls.collect());
        }
        let logprobs = self.logprobs.then(|| logprobs(&choice.tokens));
        json!({"index": index, "message": message, "logprobs": logprobs, "finish_reason": choice.finish_reason()})
    }
}

/// The names of thoughts. Clients of llama-server read the first and those of Ollama the second; the ones that know both
/// take one of them.
pub const REASONING: &[&str] = &["reasoning_content", "reasoning"];

fn delta(piece: &Piece) -> Value {
    match piece {
        Piece::Reasoning(text) => {
            let names = REASONING
                .iter()
                .map(|name| ((*name).to_owned(), json!(text)));
            Value::Object(names.collect())
        }
        Piece::Content(text) => json!({ "content": text }),
        Piece::Call { index, id, name } => json!({"tool_calls": [
            {"index": index, "id": id, "type": "function", "function": {"name": name, "arguments": ""}},
        ]}),
        Piece::Arguments { index, text } => json!({"tool_calls": [
            {"index": index, "function": {"arguments": text}},
        ]}),
    }
}

/// Checks that an answer is whole.
pub(super) fn finished(answer: &Answer) -> Result<(), Failure> {
    if let Some(failure) = &answer.failed {
        return Err(failure.clone());
    }
    if !answer.done {
        return Err(Failure::Internal(
            "the answer ended before it was whole".to_owned(),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
