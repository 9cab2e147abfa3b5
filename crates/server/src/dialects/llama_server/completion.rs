//! `POST /completion` and `POST /infill`.

use serde_json::{Map, Value};

use super::chat;
use super::generation::{self, Standing, Style};
use super::prompt::prompts;
use crate::core::request::{Input, Insert};
use crate::core::{Failure, Request};
use crate::dialects::fields::Fields;

/// Requests, one per prompt, and how their answers are written.
#[derive(Debug)]
pub struct Asked {
    /// What is asked of the model; never empty.
    pub requests: Vec<Request>,
    /// Piece by piece.
    pub stream: bool,
    /// How the answers are written.
    pub style: Style,
}

/// Reads the body of `POST /completion`.
///
/// # Errors
/// With the field that says what cannot be.
pub fn completion(body: Map<String, Value>, standing: &Standing) -> Result<Asked, Failure> {
    let mut fields = Fields::new(body);
    let prompt = fields
        .take_value("prompt")
        .ok_or_else(|| fields.missing("prompt"))?;
    let inputs = prompts("prompt", prompt)?
        .into_iter()
        .map(Input::Plain)
        .collect();
    generate(fields, inputs, standing)
}

/// Reads the body of `POST /infill`.
///
/// # Errors
/// With the field that says what cannot be.
pub fn infill(body: Map<String, Value>, standing: &Standing) -> Result<Asked, Failure> {
    let mut fields = Fields::new(body);
    let mut insert = Insert {
        prefix: fields.require_str("input_prefix")?,
        suffix: fields.require_str("input_suffix")?,
        prompt: fields.take_str("prompt")?.unwrap_or_default(),
        suffix_first: standing.suffix_first,
        ..Insert::default()
    };
    for (index, file) in fields
        .take_list("input_extra")?
        .unwrap_or_default()
        .into_iter()
        .enumerate()
    {
        let mut file = Fields::of(format!("input_extra[{index}]"), file)?;
        let name = file
            .take_str("filename")?
            .unwrap_or_else(|| "tmp".to_owned());
        insert.extra.push((name, file.require_str("text")?));
    }
    generate(fields, vec![Input::Insert(insert)], standing)
}

/// Parts the body of OpenAI's completions: what its dialect reads, and what [`extend`] takes. What both know is the
/// former's.
pub fn split(body: Map<String, Value>) -> (Map<String, Value>, Map<String, Value>) {
    const BOTH: [&str; 6] = ["logit_bias", "max_tokens", "n", "seed", "stop", "stream"];
    let (mut theirs, native) = chat::split(body);
    let is_both = |(name, _): &(String, Value)| BOTH.contains(&name.as_str());
    let (both, native): (Map<_, _>, Map<_, _>) = native.into_iter().partition(is_both);
    theirs.extend(both);
    (theirs, native)
}

/// Takes llama-server's fields, from what OpenAI's dialect left of a body, into the requests that it made. Comes back
/// with what is not heeded, in words.
///
/// # Errors
/// With the field that says what cannot be.
pub fn extend<'r>(
    native: &Map<String, Value>,
    standing: &Standing,
    requests: impl Iterator<Item = &'r mut Request>,
) -> Result<Vec<String>, Failure> {
    let mut warnings = Vec::new();
    for request in requests {
        warnings.clear();
        let mut fields = Fields::new(native.clone());
        generation::take(&mut fields, standing, request, &mut warnings)?;
        // The chat's own among them have nothing to say to a text.
        let unread = fields.rest().into_iter();
        warnings.extend(unread.map(|name| format!("{name} has no effect here")));
    }
    Ok(warnings)
}

fn generate(mut fields: Fields, inputs: Vec<Input>, standing: &Standing) -> Result<Asked, Failure> {
    let mut warnings = Vec::new();
    let model = fields.take_str("model")?.unwrap_or_default();
    let mut request = Request {
        model,
        ..Request::default()
    };
    if let Some(budget) = fields
        .take_i64("reasoning_budget_tokens")?
        .filter(|it| *it >= 0)
    {
        let field = "reasoning_budget_tokens";
        let problem =
            format!("is {budget}, and only chats have thoughts to limit: use /v1/chat/completions");
        return Err(fields.refuse(field, problem));
    }
    let mut style = generation::take(&mut fields, standing, &mut request, &mut warnings)?;
    let stream = style.settings["stream"] == true;
    warnings.extend(
        fields
            .rest()
            .into_iter()
            .map(|name| format!("{name} is not known here")),
    );
    style.notes = warnings;
    let requests = inputs.into_iter().map(|input| Request {
        input,
        ..request.clone()
    });
    Ok(Asked {
        requests: requests.collect(),
        stream,
        style,
    })
}
