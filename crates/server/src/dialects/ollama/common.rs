//! What generate and chat have in common (reference 5.1).

use hearth_store::Name;
use serde_json::{Map, Value};

use super::super::Fields;
use super::{ignored, options, time};
use crate::core::request::{Format, KeepAlive, Logprobs, Think};
use crate::core::{Failure, Request};

/// Which of the two routes a request came by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `/api/generate`: the text is `response`.
    Generate,
    /// `/api/chat`: the text is in a `message`.
    Chat,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Generate; the answer comes from [`super::Frames`].
    Run,
    /// Load the model and answer [`super::loaded`].
    Load,
    /// Unload it when nobody uses it, without loading it, and answer [`super::loaded`].
    Unload,
    /// Render the prompt and answer [`super::rendered`].
    Render,
}

/// A request as it was understood.
#[derive(Clone, Debug)]
pub struct Asked {
    /// By which route.
    pub kind: Kind,
    /// What is to be done.
    pub action: Action,
    /// The same for the engine.
    pub request: Request,
    /// Answer piece by piece.
    pub stream: bool,
    /// Images that came with it.
    pub images: usize,
    /// What was ignored, in words.
    pub warnings: Vec<String>,
}

impl Asked {
    /// Reads the common fields; the caller adds the input and then calls [`Asked::finish`].
    pub(super) fn begin(kind: Kind, body: Map<String, Value>) -> Result<(Self, Fields), Failure> {
        let mut body = body;
        options::gather(&mut body);
        let mut fields = Fields::new(body);
        let mut asked = Self {
            kind,
            action: Action::Run,
            request: Request::default(),
            stream: fields.take_bool("stream")?.unwrap_or(true),
            images: 0,
            warnings: Vec::new(),
        };
        let request = &mut asked.request;
        options::read(&mut fields, request, &mut asked.warnings)?;
        request.format = format(&mut fields)?;
        request.load.keep_alive = keep_alive(&mut fields)?;
        request.overflow.truncate = fields.take_bool("truncate")?.unwrap_or(true);
        request.overflow.shift = fields.take_bool("shift")?.unwrap_or(true);
        request.logprobs = logprobs(&mut fields)?;
        if fields.take_bool("_debug_render_only")?.unwrap_or(false) {
            asked.action = Action::Render;
        }
        Ok((asked, fields))
    }

    /// Nothing is to be continued: the model is loaded or unloaded.
    pub(super) fn only_load(&mut self) {
        let now = Some(KeepAlive::For(std::time::Duration::ZERO));
        self.action = match self.request.load.keep_alive == now {
            true => Action::Unload,
            false => Action::Load,
        };
    }

    /// Tells what nobody took.
    pub(super) fn finish(mut self, fields: &Fields) -> Self {
        self.warnings
            .extend(fields.rest().iter().map(|name| ignored(name)));
        self
    }
}

/// The model of a request; older clients call it `name`.
pub(super) fn model(fields: &mut Fields) -> Result<String, Failure> {
    let name = fields.take_str("name")?;
    let model = fields.take_str("model")?.filter(|model| !model.is_empty());
    Ok(model.or(name).unwrap_or_default())
}

/// A model's name, where the routes agree on how a wrong one is refused. A hosted model says so.
pub(super) fn parse_name(field: &str, text: &str) -> Result<Name, Failure> {
    Name::parse_source(text).map_err(|error| {
        let message = match error {
            hearth_store::NameError::Cloud(_) => error.to_string(),
            _ => "invalid model name".to_owned(),
        };
        Failure::invalid(field, message)
    })
}

/// The refusal of a request that names no model.
pub(super) fn model_is_required() -> Failure {
    Failure::invalid("model", "model is required")
}

/// `format`, and hearth's own `grammar` (GBNF) and `regex`. Empty ones are none.
fn format(fields: &mut Fields) -> Result<Option<Format>, Failure> {
    let text = |text: Option<String>| text.filter(|text| !text.is_empty());
    let mut all = Vec::new();
    all.extend(match fields.take_value("format") {
        None => None,
        Some(Value::String(text)) if text.is_empty() => None,
        Some(Value::String(text)) if text == "json" => Some(Format::Json),
        Some(schema @ Value::Object(_)) => Some(Format::Schema(schema)),
        Some(other) => {
            let shown: String = other.to_string().chars().take(80).collect();
            let message =
                format!("invalid format: {shown}; expected \"json\" or a valid JSON Schema object");
            return Err(Failure::invalid("format", message));
        }
    });
    all.extend(text(fields.take_str("grammar")?).map(Format::Gbnf));
    all.extend(text(fields.take_str("regex")?).map(Format::Regex));
    match all.len() {
        0 | 1 => Ok(all.pop()),
        _ => Err(Failure::invalid(
            "format",
            "format, grammar and regex exclude each other: send one of them",
        )),
    }
}

/// `keep_alive`: a number of seconds or a duration; negative is forever.
pub(super) fn keep_alive(fields: &mut Fields) -> Result<Option<KeepAlive>, Failure> {
    let refused = |message: String| Failure::invalid("keep_alive", message);
    let unsupported = |kind: &str| refused(format!("Unsupported type: '{kind}'"));
    match fields.take_value("keep_alive") {
        None => Ok(None),
        Some(Value::String(text)) => time::duration(&text).map(Some).map_err(refused),
        Some(Value::Number(number)) => Ok(number.as_f64().map(time::keep_alive)),
        Some(Value::Array(_)) => Err(unsupported("[]interface {}")),
        Some(Value::Object(_)) => Err(unsupported("map[string]interface {}")),
        Some(Value::Bool(_) | Value::Null) => Err(unsupported("bool")),
    }
}

/// `think`. A level is one of Ollama's words; absent means where the model can.
pub(super) fn think(fields: &mut Fields) -> Result<Think, Failure> {
    Ok(match fields.take_value("think") {
        None => Think::IfPossible(None),
        Some(Value::Bool(true)) => Think::On(None),
        Some(Value::Bool(false)) => Think::Off,
        Some(Value::String(word)) if LEVELS.contains(&word.as_str()) => Think::On(Some(word)),
        Some(other) => {
            let shown: String = other.to_string().chars().take(80).collect();
            let message = format!(
                "invalid think value: {shown} (must be \"high\", \"medium\", \"low\", \"max\", true, or false)"
            );
            return Err(Failure::invalid("think", message));
        }
    })
}

const LEVELS: [&str; 4] = ["high", "medium", "low", "max"];

/// `logprobs` and `top_logprobs`.
fn logprobs(fields: &mut Fields) -> Result<Option<Logprobs>, Failure> {
    let wanted = fields.take_bool("logprobs")?.unwrap_or(false);
    let top = fields.take_i64("top_logprobs")?.unwrap_or(0);
    let top = usize::try_from(top).ok().filter(|top| *top <= 20);
    let top = top
        .ok_or_else(|| Failure::invalid("top_logprobs", "top_logprobs must be between 0 and 20"))?;
    Ok(wanted.then_some(Logprobs {
        top,
        after_sampling: false,
    }))
}
