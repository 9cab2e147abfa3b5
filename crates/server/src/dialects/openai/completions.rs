//! `POST /v1/completions`: texts as they are, without a template.

use serde_json::{Map, Value, json};

use crate::core::request::{Input, Insert, Logprobs, Piece, Request};
use crate::core::{Event, Failure, Piece as Said, Started, Token};
use crate::dialects::fields::{integer, wrong};
use crate::dialects::{Fields, Frame, Stamp};

use super::answer::{Answer, Choice, number};
use super::chat::{Asked, finish, finished, read_model};
use super::{error, format};

/// Most prompts of one request.
const MOST_PROMPTS: usize = 1024;
/// A request for each prompt and how they are told.
#[derive(Clone, Debug, Default)]
pub struct Completions {
    /// One for each prompt; they differ in it alone.
    pub requests: Vec<Request>,
    /// What holds for all; its request is the first.
    pub asked: Asked,
    /// The prompt stands before the answer.
    pub echo: bool,
}

/// Reads a body.
///
/// # Errors
/// A field is missing, of the wrong type, or asks for what cannot be done.
pub fn request(body: Map<String, Value>) -> Result<Completions, Failure> {
    let mut body = Fields::new(body);
    let mut asked = Asked::default();
    asked.request.model = read_model(&mut body)?;
    let prompts = read_prompts(&mut body)?;
    let suffix = body.take_str("suffix")?.filter(|suffix| !suffix.is_empty());
    let echo = body.take_bool("echo")?.unwrap_or(false);
    asked.request.logprobs = read_logprobs(&mut body)?;
    refuse_what_is_half_possible(&body, echo, suffix.is_some(), asked.request.logprobs)?;
    asked.request.format = format::read(&mut body)?;
    let best_of = body.take_u64("best_of")?;
    finish(body, &mut asked)?;
    if let Some(best_of) =
        best_of.filter(|best| *best != asked.request.choices as u64 && *best != 1)
    {
        let message = format!(
            "best_of is {best_of} and n is {}: answers are not compared here; leave best_of out",
            asked.request.choices
        );
        return Err(Failure::invalid("best_of", message));
    }
    let inputs = prompts.into_iter().map(|prompt| match &suffix {
        None => Ok(Input::Plain(prompt)),
        Some(suffix) => insertion(prompt, suffix),
    });
    let inputs = inputs.collect::<Result<Vec<_>, _>>()?;
    let requests: Vec<Request> = inputs
        .into_iter()
        .map(|input| Request {
            input,
            ..asked.request.clone()
        })
        .collect();
    asked.request = requests[0].clone();
    Ok(Completions {
        requests,
        asked,
        echo,
    })
}

fn refuse_what_is_half_possible(
    body: &Fields,
    echo: bool,
    suffix: bool,
    logprobs: Option<Logprobs>,
) -> Result<(), Failure> {
    if echo && suffix {
        return Err(body.refuse("echo", "and suffix exclude each other: send one of them"));
    }
    if echo && logprobs.is_some() {
        return Err(body.refuse(
            "echo",
            "with logprobs would need those of the prompt, which are not computed: leave one of them out",
        ));
    }
    Ok(())
}

fn insertion(prompt: Vec<Piece>, suffix: &str) -> Result<Input, Failure> {
    match prompt.as_slice() {
        [Piece::Text(prefix)] => Ok(Input::Insert(Insert {
            prefix: prefix.clone(),
            suffix: suffix.to_owned(),
            ..Insert::default()
        })),
        _ => Err(Failure::invalid(
            "suffix",
            "suffix needs a prompt that is a text",
        )),
    }
}

fn read_prompts(body: &mut Fields) -> Result<Vec<Vec<Piece>>, Failure> {
    let value = body
        .take_value("prompt")
        .ok_or_else(|| body.missing("prompt"))?;
    match value {
        Value::String(text) => Ok(vec![vec![Piece::Text(text)]]),
        Value::Array(list) if list.is_empty() => {
            Err(body.refuse("prompt", "must not be an empty list"))
        }
        // A number anywhere makes the whole list one prompt, as llama-server reads it.
        Value::Array(list) if list.iter().any(Value::is_number) => {
            Ok(vec![pieces("prompt", list)?])
        }
        Value::Array(list) if list.len() > MOST_PROMPTS => {
            let problem = format!("must be at most {MOST_PROMPTS} prompts, got {}", list.len());
            Err(body.refuse("prompt", problem))
        }
        Value::Array(list) => list
            .into_iter()
            .enumerate()
            .map(|(index, value)| {
                let path = format!("prompt[{index}]");
                match value {
                    Value::String(text) => Ok(vec![Piece::Text(text)]),
                    Value::Array(list) => pieces(&path, list),
                    other => Err(wrong(&path, "a string or a list of token ids", &other)),
                }
            })
            .collect(),
        other => Err(wrong(
            "prompt",
            "a string, token ids, or a list of those",
            &other,
        )),
    }
}

/// Texts and ids in one list: ids in a row are one piece.
fn pieces(path: &str, list: Vec<Value>) -> Result<Vec<Piece>, Failure> {
    let mut pieces: Vec<Piece> = Vec::new();
    for (index, value) in list.into_iter().enumerate() {
        let id = integer(&value).and_then(|id| u32::try_from(id).ok());
        match (value, id, pieces.last_mut()) {
            (_, Some(id), Some(Piece::Tokens(ids))) => ids.push(id),
            (_, Some(id), _) => pieces.push(Piece::Tokens(vec![id])),
            (Value::String(text), None, _) => pieces.push(Piece::Text(text)),
            (other, None, _) => {
                return Err(wrong(
                    &format!("{path}[{index}]"),
                    "a token id or a text",
                    &other,
                ));
            }
        }
    }
    Ok(pieces)
}

/// A count here, and a boolean where clients mix up the routes.
fn read_logprobs(body: &mut Fields) -> Result<Option<Logprobs>, Failure> {
    let value = match body.take_value("logprobs") {
        None => body.take_value("n_probs"),
        value => value,
    };
    let top = match value {
        None | Some(Value::Bool(false)) => return Ok(None),
        Some(Value::Bool(true)) => 0,
        Some(value) => integer(&value)
            .and_then(|top| usize::try_from(top).ok())
            .filter(|top| *top <= super::options::MOST_TOP as usize)
            .ok_or_else(|| wrong("logprobs", "an integer of 0 to 20", &value))?,
    };
    Ok(Some(Logprobs {
        top,
        after_sampling: false,
    }))
}

/// Makes frames of events, and the whole answer of what they added up to. Several prompts are answered as one.
#[derive(Clone, Debug)]
pub struct Frames {
    answers: Vec<Answer>,
    /// For each prompt and choice: whether its echo was sent, and characters before what comes next.
    sent: Vec<Vec<Sent>>,
    choices: usize,
    stamp: Stamp,
    asked: Asked,
    echo: Option<Vec<Vec<Piece>>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Sent {
    characters: usize,
}

impl Frames {
    /// The answer to a request.
    pub fn new(completions: &Completions, stamp: Stamp) -> Self {
        let choices = completions.asked.request.choices.max(1);
        let prompts = completions
            .requests
            .iter()
            .map(|request| match &request.input {
                Input::Plain(pieces) => pieces.clone(),
                Input::Chat(_) | Input::Insert(_) => Vec::new(),
            });
        let count = completions.requests.len();
        Self {
            answers: vec![Answer::new(choices); count],
            sent: vec![vec![Sent::default(); choices]; count],
            choices,
            stamp,
            asked: completions.asked.clone(),
            echo: completions.echo.then(|| prompts.collect()),
        }
    }

    /// What an event of the answer to a prompt adds to the stream.
    pub fn event(&mut self, prompt: usize, event: &Event) -> Vec<Frame> {
        let Some(answer) = self.answers.get_mut(prompt) else {
            return Vec::new();
        };
        answer.add(event);
        match event {
            Event::Started(_) if self.echo.is_some() => (0..self.choices)
                .map(|choice| self.text(prompt, choice, &self.before(prompt), &[]))
                .collect(),
            Event::Started(_) | Event::Read { .. } => Vec::new(),
            Event::Delta {
                choice,
                pieces,
                tokens,
            } if *choice < self.choices => {
                let text = spoken(pieces);
                let tell = self.asked.request.logprobs.is_some() && !tokens.is_empty();
                if text.is_empty() && !tell {
                    return Vec::new();
                }
                let frame = self.text(prompt, *choice, &text, tokens);
                let characters: usize = tokens.iter().map(characters).sum();
                self.sent[prompt][*choice].characters += characters;
                vec![frame]
            }
            Event::End { choice, .. } if *choice < self.choices => vec![self.end(prompt, *choice)],
            Event::Delta { .. } | Event::End { .. } => Vec::new(),
            Event::Done => self.done(),
            Event::Failed(failure) => vec![Frame::json(&error(failure).1)],
        }
    }

    /// The whole answer.
    ///
    /// # Errors
    /// A generation failed, or the events ended before it did.
    pub fn whole(&self) -> Result<Value, Failure> {
        let mut choices = Vec::new();
        for (prompt, answer) in self.answers.iter().enumerate() {
            finished(answer)?;
            for (index, choice) in answer.choices.iter().enumerate() {
                let before = self
                    .echo
                    .as_ref()
                    .map_or_else(String::new, |_| self.before(prompt));
                let text = format!("{before}{}", said(choice));
                let logprobs = self.logprobs(&choice.tokens, 0);
                choices.push(json!({"text": text, "index": prompt * self.choices + index, "logprobs": logprobs,
                                    "finish_reason": reason(choice)}));
            }
        }
        let mut whole = self.head();
        whole.insert("choices".to_owned(), json!(choices));
        let sum = self.sum();
        whole.insert("usage".to_owned(), sum.usage());
        self.extras(&sum, &mut whole);
        Ok(Value::Object(whole))
    }

    /// Paths of fields that nobody read.
    pub fn ignored(&self) -> &[String] {
        &self.asked.ignored
    }

    /// What the events of all prompts added up to so far.
    pub fn sum(&self) -> Answer {
        let mut sum = Answer::default();
        let mut started = Started::default();
        for answer in &self.answers {
            started.prompt_tokens += answer.started.prompt_tokens;
            started.cached_tokens += answer.started.cached_tokens;
            started.context = answer.started.context;
            started.dropped_messages += answer.started.dropped_messages;
            started
                .warnings
                .extend(answer.started.warnings.iter().cloned());
            sum.choices.extend(answer.choices.iter().cloned());
        }
        started.warnings.dedup();
        sum.started = started;
        sum
    }

    fn head(&self) -> Map<String, Value> {
        let answered = self
            .answers
            .iter()
            .map(|answer| answer.started.model.as_str());
        let model = answered.into_iter().find(|model| !model.is_empty());
        let mut head = Map::new();
        head.insert("id".to_owned(), json!(format!("cmpl-{}", self.stamp.id)));
        head.insert("object".to_owned(), json!("text_completion"));
        head.insert("created".to_owned(), json!(self.stamp.seconds()));
        head.insert(
            "model".to_owned(),
            json!(model.unwrap_or(&self.asked.request.model)),
        );
        head.insert("system_fingerprint".to_owned(), json!(super::FINGERPRINT));
        head
    }

    fn extras(&self, sum: &Answer, frame: &mut Map<String, Value>) {
        if let Some(timings) = sum.timings() {
            frame.insert("timings".to_owned(), timings);
        }
        frame.insert(
            "hearth".to_owned(),
            sum.hearth(&self.asked.notes, &self.asked.ignored),
        );
    }

    /// The prompt as text: the client's where it sent text, else what the engine read.
    fn before(&self, prompt: usize) -> String {
        let pieces = self.echo.as_ref().and_then(|echo| echo.get(prompt));
        match pieces.map(Vec::as_slice) {
            Some([Piece::Text(text)]) => text.clone(),
            _ => self.answers[prompt].started.prompt.clone(),
        }
    }

    fn logprobs(&self, tokens: &[Token], offset: usize) -> Option<Value> {
        let asked = self.asked.request.logprobs.is_some();
        asked.then(|| logprobs(tokens, offset))
    }

    fn text(&self, prompt: usize, choice: usize, text: &str, tokens: &[Token]) -> Frame {
        let offset = self.sent[prompt][choice].characters;
        let logprobs = (!tokens.is_empty())
            .then(|| self.logprobs(tokens, offset))
            .flatten();
        let index = prompt * self.choices + choice;
        let mut chunk = self.head();
        chunk.insert(
            "choices".to_owned(),
            json!([{"text": text, "index": index, "logprobs": logprobs, "finish_reason": null}]),
        );
        Frame::Json(Value::Object(chunk).to_string())
    }

    fn end(&self, prompt: usize, choice: usize) -> Frame {
        let reason = reason(&self.answers[prompt].choices[choice]);
        let index = prompt * self.choices + choice;
        let mut chunk = self.head();
        chunk.insert(
            "choices".to_owned(),
            json!([{"text": "", "index": index, "logprobs": null, "finish_reason": reason}]),
        );
        if !self.asked.include_usage && self.answers.iter().all(Answer::ended) {
            self.extras(&self.sum(), &mut chunk);
        }
        Frame::Json(Value::Object(chunk).to_string())
    }

    fn done(&self) -> Vec<Frame> {
        if !self.answers.iter().all(|answer| answer.done) {
            return Vec::new();
        }
        if !self.asked.include_usage {
            return vec![Frame::Done];
        }
        let sum = self.sum();
        let mut chunk = self.head();
        chunk.insert("choices".to_owned(), json!([]));
        chunk.insert("usage".to_owned(), sum.usage());
        self.extras(&sum, &mut chunk);
        vec![Frame::Json(Value::Object(chunk).to_string()), Frame::Done]
    }
}

/// There are no thoughts or calls without a template; should an engine tell some, they are text like any other.
fn spoken(pieces: &[Said]) -> String {
    let texts = pieces.iter().map(|piece| match piece {
        Said::Content(text) | Said::Reasoning(text) => text.as_str(),
        Said::Call { .. } | Said::Arguments { .. } => "",
    });
    texts.collect()
}

fn said(choice: &Choice) -> String {
    format!("{}{}", choice.reasoning, choice.content)
}

fn reason(choice: &Choice) -> &'static str {
    match choice.finish_reason() {
        "tool_calls" => "stop",
        reason => reason,
    }
}

fn characters(token: &Token) -> usize {
    String::from_utf8_lossy(&token.bytes).chars().count()
}

/// The layout of this route: lists side by side, offsets in characters.
fn logprobs(tokens: &[Token], mut offset: usize) -> Value {
    let mut offsets = Vec::with_capacity(tokens.len());
    for token in tokens {
        offsets.push(offset);
        offset += characters(token);
    }
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let texts: Vec<String> = tokens.iter().map(|token| text(&token.bytes)).collect();
    let own: Vec<Value> = tokens
        .iter()
        .map(|token| number(token.logprob.unwrap_or(f32::NEG_INFINITY)))
        .collect();
    let top: Vec<Value> = tokens
        .iter()
        .map(|token| {
            let top = token
                .top
                .iter()
                .map(|(_, bytes, logprob)| (text(bytes), number(*logprob)));
            Value::Object(top.collect())
        })
        .collect();
    json!({"tokens": texts, "token_logprobs": own, "top_logprobs": top, "text_offset": offsets})
}

#[cfg(test)]
mod tests;
