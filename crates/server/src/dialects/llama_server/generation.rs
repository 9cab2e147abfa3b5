//! The fields that every generation has, native or not.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::sampling::{self, Biases, MOST, out_of_range};
use crate::core::request::{Defaults, Format, Input, Logprobs, Overflow};
use crate::core::{Failure, Request};
use crate::dialects::fields::Fields;

/// What the command line says for all requests.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    /// Sampling by the names of the request's fields.
    pub settings: Map<String, Value>,
    /// Biases.
    pub biases: Biases,
    /// Where random numbers start.
    pub seed: Option<u64>,
    /// Tokens of an answer; none has no limit.
    pub max_tokens: Option<usize>,
    /// Texts that end an answer of a request that has none.
    pub stops: Vec<String>,
    /// Go on past end tokens.
    pub ignore_end: bool,
    /// What an answer has to look like.
    pub format: Option<Format>,
    /// Tokens of the prompt that are kept where the context is shifted; -1 keeps all.
    pub keep: i64,
    /// Whether it is shifted.
    pub shift: bool,
    /// Most answers of a request.
    pub parallel: usize,
    /// The suffix comes first in insertions.
    pub suffix_first: bool,
    /// Between comments in a silent stream.
    pub ping: Option<Duration>,
    /// Add `__verbose` where a request does not say.
    pub verbose: bool,
}

impl Default for Standing {
    fn default() -> Self {
        Self {
            settings: Map::new(),
            biases: Biases::default(),
            seed: None,
            max_tokens: None,
            stops: Vec::new(),
            ignore_end: false,
            format: None,
            keep: 0,
            shift: false,
            parallel: 4,
            suffix_first: false,
            ping: Some(Duration::from_secs(30)),
            verbose: false,
        }
    }
}

/// How an answer is written.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Style {
    /// `generation_settings`.
    pub settings: Value,
    /// Answers to each prompt.
    pub choices: usize,
    /// Say how likely tokens were.
    pub probabilities: bool,
    /// Of what the samplers left: other names of the fields.
    pub after_sampling: bool,
    /// List the tokens of a whole answer.
    pub tokens: bool,
    /// Times in every piece.
    pub timings: bool,
    /// Tell how far the prompt is read.
    pub progress: bool,
    /// The only fields of the last object; all where empty.
    pub only: Vec<String>,
    /// Between comments in a silent stream; none sends none.
    pub ping: Option<Duration>,
    /// Add `__verbose` to an answer in OpenAI's form.
    pub verbose: bool,
    /// The place that the answer is to have; none is any.
    pub slot: Option<usize>,
    /// What is not known or not heeded, in words.
    pub notes: Vec<String>,
}

/// Known fields that change nothing: placement, caching and what the chat route sets for itself.
const WITHOUT_EFFECT: [&str; 14] = [
    "cache_prompt",
    "n_cache_reuse",
    "backend_sampling",
    "stream_options",
    "preserved_tokens",
    "grammar_triggers",
    "chat_format",
    "chat_parser",
    "generation_prompt",
    "reasoning_budget_start_tag",
    "reasoning_budget_end_tag",
    "reasoning_budget_end_tags",
    "reasoning_control",
    "model",
];

/// Takes an integer within bounds.
fn bounded(fields: &mut Fields, name: &str, low: i64) -> Result<Option<i64>, Failure> {
    let value = fields.take_i64(name)?;
    match value {
        Some(value) if value < low || value as f64 > MOST => {
            Err(out_of_range(name, low as f64, MOST, value as f64))
        }
        value => Ok(value),
    }
}

fn count(value: i64) -> usize {
    usize::try_from(value).unwrap_or_default()
}

/// Takes the native fields of a body. What the request holds already, read by another dialect, gives way to them.
///
/// # Errors
/// With the field that says what cannot be.
pub(super) fn take(
    fields: &mut Fields,
    standing: &Standing,
    request: &mut Request,
    warnings: &mut Vec<String>,
) -> Result<Style, Failure> {
    let mut settings = standing.settings.clone();
    settings.append(&mut request.sampling.settings);
    sampling::take(fields, &mut settings, warnings)?;
    let predict = limits(fields, standing, request)?;
    format(fields, standing, request)?;
    let mut biases = standing.biases.clone();
    biases.take(fields)?;
    let requested_seed = seed(fields)?;
    let seed = requested_seed.or(request.sampling.seed).or(standing.seed);
    request.sampling.seed = seed;
    request.sampling.defaults = Defaults::LlamaServer;
    request.sampling.settings = settings.clone();
    let mut style = style(fields, standing, request)?;
    adapters(fields)?;
    fields.ignore(&WITHOUT_EFFECT);

    let mut all = Map::from_iter([(
        "seed".to_owned(),
        json!(seed.unwrap_or(u64::from(u32::MAX))),
    )]);
    all.append(&mut sampling::effective(&settings));
    let stream = fields.take_bool("stream")?.unwrap_or(false);
    let rest = json!({
        "stop": request.limits.stops.clone().unwrap_or_default(),
        "max_tokens": predict.value, "n_predict": predict.value, "n_keep": predict.keep, "n_discard": predict.discard,
        "ignore_eos": request.limits.ignore_end, "stream": stream, "logit_bias": biases.report(),
        "n_probs": request.logprobs.map_or(0, |it| it.top),
        "min_keep": settings.get("min_keep").cloned().unwrap_or_else(|| json!(0)),
        "grammar": match &request.format { Some(Format::Gbnf(grammar)) => grammar, _ => "" },
        "grammar_lazy": false, "grammar_triggers": [], "preserved_tokens": [],
        "chat_format": "Content-only", "reasoning_format": "none", "reasoning_in_content": false,
        "generation_prompt": "", "samplers": sampling::effective_order(&settings), "speculative.types": "none",
        "timings_per_token": style.timings, "post_sampling_probs": style.after_sampling,
        "backend_sampling": false, "lora": [],
    });
    if let Value::Object(mut rest) = rest {
        all.append(&mut rest);
    }
    style.settings = Value::Object(all);
    request.sampling.bias.append(&mut biases.ids);
    request.sampling.bias_texts.append(&mut biases.texts);
    if predict.discard > 0 && request.overflow.shift {
        warnings.push("n_discard is not heeded: the older half is dropped".to_owned());
    }
    Ok(style)
}

/// Limits as they are reported.
struct Predict {
    value: i64,
    keep: i64,
    discard: i64,
}

fn limits(
    fields: &mut Fields,
    standing: &Standing,
    request: &mut Request,
) -> Result<Predict, Failure> {
    let mut value = None;
    // The first one wins; the others are known all the same.
    for name in ["n_predict", "max_completion_tokens", "max_tokens"] {
        let found = bounded(fields, name, -1)?;
        value = value.or(found);
    }
    request.limits.max_tokens = match value {
        Some(value) => usize::try_from(value).ok(),
        None => request.limits.max_tokens.or(standing.max_tokens),
    };
    let mut stops = fields.take_strings("stop")?.unwrap_or_default();
    stops.retain(|stop| !stop.is_empty());
    if stops.is_empty() && request.limits.stops.is_none() {
        stops.clone_from(&standing.stops);
    }
    if !stops.is_empty() {
        request.limits.stops = Some(stops);
    }
    request.limits.ignore_end = fields
        .take_bool("ignore_eos")?
        .unwrap_or(standing.ignore_end);
    request.limits.indent = bounded(fields, "n_indent", 0)?.map_or(0, count);
    let time = fields
        .take_i64("t_max_predict_ms")?
        .and_then(|it| u64::try_from(it).ok());
    request.limits.time = time.filter(|it| *it > 0).map(Duration::from_millis);
    let keep = bounded(fields, "n_keep", -1)?.unwrap_or(standing.keep);
    let discard = bounded(fields, "n_discard", 0)?.unwrap_or(0);
    request.overflow = Overflow {
        truncate: request.overflow.truncate,
        shift: standing.shift || request.overflow.shift,
        keep: usize::try_from(keep).unwrap_or(usize::MAX),
    };
    Ok(Predict {
        value: request
            .limits
            .max_tokens
            .map_or(-1, |it| i64::try_from(it).unwrap_or(i64::MAX)),
        keep,
        discard,
    })
}

/// `grammar` wins over `json_schema`, both over what holds already.
fn format(fields: &mut Fields, standing: &Standing, request: &mut Request) -> Result<(), Failure> {
    let grammar = fields.take_str("grammar")?.filter(|it| !it.is_empty());
    let schema = fields.take_value("json_schema");
    if let Some(other) = schema
        .as_ref()
        .filter(|it| !it.is_object() && !it.is_boolean())
    {
        return Err(crate::dialects::fields::wrong(
            "json_schema",
            "a JSON schema",
            other,
        ));
    }
    let is_chat = matches!(request.input, Input::Chat(_));
    if is_chat && grammar.is_some() && schema.is_some() {
        return Err(Failure::invalid(
            "grammar",
            "either json_schema or grammar was expected, found both",
        ));
    }
    if fields.take_bool("grammar_lazy")?.unwrap_or(false) {
        return Err(fields.refuse(
            "grammar_lazy",
            "is not supported: a grammar holds from the first token; describe the text before it in the grammar",
        ));
    }
    request.format = grammar
        .map(Format::Gbnf)
        .or(schema.map(Format::Schema))
        .or(request.format.take())
        .or_else(|| standing.format.clone());
    Ok(())
}

/// 32 bits; all ones, which is also -1, is by chance, whatever was said before.
fn seed(fields: &mut Fields) -> Result<Option<u64>, Failure> {
    let Some(seed) = fields.take_i64("seed")? else {
        return Ok(None);
    };
    let low = i64::from(i32::MIN);
    if !(low..=i64::from(u32::MAX)).contains(&seed) {
        return Err(out_of_range(
            "seed",
            low as f64,
            f64::from(u32::MAX),
            seed as f64,
        ));
    }
    // Negative numbers are what their bits are without a sign.
    let bits = u64::from(seed as u32);
    Ok(Some(bits))
}

fn style(
    fields: &mut Fields,
    standing: &Standing,
    request: &mut Request,
) -> Result<Style, Failure> {
    let most = standing.parallel.max(1);
    let mut choices = None;
    for name in ["n_cmpl", "n"] {
        let found = fields.take_i64(name)?;
        if let Some(found) = found.filter(|it| *it < 1 || *it > most as i64) {
            return Err(out_of_range(name, 1.0, most as f64, found as f64));
        }
        choices = choices.or(found.map(count));
    }
    let choices = choices.unwrap_or(request.choices.max(1));
    request.choices = choices;
    // In OpenAI's bodies `logprobs` is a boolean, and read there.
    let mut top = bounded(fields, "n_probs", 0)?;
    if let Some(other) = fields.take_value("logprobs").filter(|it| !it.is_boolean()) {
        let mut one = Fields::new(Map::from_iter([("logprobs".to_owned(), other)]));
        top = top.or(bounded(&mut one, "logprobs", 0)?);
    }
    let after_sampling = fields.take_bool("post_sampling_probs")?.unwrap_or(false);
    match (top, &mut request.logprobs) {
        (Some(top), logprobs) if top > 0 => {
            *logprobs = Some(Logprobs {
                top: count(top),
                after_sampling,
            });
        }
        (_, Some(logprobs)) => logprobs.after_sampling = after_sampling,
        _ => {}
    }
    let interval = bounded(fields, "sse_ping_interval", -1)?;
    let progress = fields.take_bool("return_progress")?.unwrap_or(false);
    request.progress |= progress;
    Ok(Style {
        settings: Value::Null,
        choices,
        probabilities: request.logprobs.is_some(),
        after_sampling,
        tokens: fields.take_bool("return_tokens")?.unwrap_or(false),
        timings: fields.take_bool("timings_per_token")?.unwrap_or(false),
        progress,
        only: fields.take_strings("response_fields")?.unwrap_or_default(),
        ping: match interval {
            Some(seconds) => u64::try_from(seconds)
                .ok()
                .filter(|it| *it > 0)
                .map(Duration::from_secs),
            None => standing.ping,
        },
        verbose: fields.take_bool("verbose")?.unwrap_or(standing.verbose),
        // Negative numbers are any place.
        slot: fields
            .take_i64("id_slot")?
            .and_then(|id| usize::try_from(id).ok()),
        notes: Vec::new(),
    })
}

/// Adapters of a request: there are none to choose from.
fn adapters(fields: &mut Fields) -> Result<(), Failure> {
    let list = fields.take_list("lora")?.unwrap_or_default();
    let path = fields.path("lora");
    super::control::no_adapters(&path, list)
}
