//! The fields that every generating route understands, whoever's they are.

use std::time::Duration;

use serde_json::Value;

use crate::core::Failure;
use crate::core::request::{Chat, Class, KeepAlive, Logprobs, Request, Signal, Think};
use crate::dialects::Fields;
use crate::dialects::fields::wrong;

use super::sampling;

/// Most answers to one prompt.
pub const MOST_CHOICES: u64 = 128;
/// Most likely tokens that are told.
pub const MOST_TOP: u64 = 20;

/// Names of the limit on tokens; the first one that is there holds.
const MAX_TOKENS: &[&str] = &[
    "n_predict",
    "num_predict",
    "max_output_tokens",
    "max_completion_tokens",
    "max_tokens",
];

/// Fields that clients send and that change nothing in the answer: not worth a warning.
const HARMLESS: &[&str] = &[
    "cache_prompt",
    "client_metadata",
    "draft_model",
    "id_slot",
    "include_reasoning",
    "include_stop_str_in_output",
    "metadata",
    "moderation",
    "n_cache_reuse",
    "prediction",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "safety_identifier",
    "skip_special_tokens",
    "spaces_between_special_tokens",
    "sse_ping_interval",
    "store",
    "timings_per_token",
    "user",
];

/// Takes sampling, limits, loading and class: Ollama's `options` first, so that the body's own fields win.
///
/// # Errors
/// A field is of the wrong type or beyond its range.
pub fn read(body: &mut Fields, request: &mut Request) -> Result<Vec<String>, Failure> {
    let mut left = Vec::new();
    if let Some(mut options) = body.take_fields("options")? {
        read_common(&mut options, request)?;
        left = options.rest();
    }
    read_common(body, request)?;
    request.choices = read_choices(body)?;
    if let Some(value) = body.take_value("ttl") {
        request.load.keep_alive = Some(keep_alive(&body.path("ttl"), &value)?);
    }
    if let Some(value) = body.take_value("keep_alive") {
        request.load.keep_alive = Some(keep_alive(&body.path("keep_alive"), &value)?);
    }
    if body.take_str("service_tier")?.as_deref() == Some("flex") {
        request.class = Class::Batch;
    }
    request.overflow.truncate = body.take_bool("truncate")?.unwrap_or(false);
    request.overflow.shift = body.take_bool("shift")?.unwrap_or(false);
    request.progress = body.take_bool("return_progress")?.unwrap_or(false);
    body.ignore(HARMLESS);
    Ok(left)
}

fn read_common(fields: &mut Fields, request: &mut Request) -> Result<(), Failure> {
    sampling::read(fields, &mut request.sampling)?;
    let limits = &mut request.limits;
    let mut limit = None;
    for name in MAX_TOKENS {
        if let Some(tokens) = fields.take_i64(name)? {
            limit.get_or_insert(match tokens {
                // Until it ends; -2 is Ollama's "until the context is full".
                -1 | -2 => None,
                tokens => Some(usize::try_from(tokens).map_err(|_| {
                    fields.refuse(name, format!("must be -1 or more, got {tokens}"))
                })?),
            });
        }
    }
    if let Some(limit) = limit {
        limits.max_tokens = limit;
    }
    if let Some(mut stops) = fields.take_strings("stop")? {
        // An empty text would end every answer before it began.
        stops.retain(|stop| !stop.is_empty());
        limits.stops = Some(stops).filter(|stops| !stops.is_empty());
    }
    limits.ignore_end = fields.take_bool("ignore_eos")?.unwrap_or(limits.ignore_end);
    if let Some(indent) = fields.take_usize("n_indent")? {
        limits.indent = indent;
    }
    if let Some(time) = fields.take_i64("t_max_predict_ms")? {
        limits.time = u64::try_from(time)
            .ok()
            .filter(|ms| *ms > 0)
            .map(Duration::from_millis);
    }
    if let Some(context) = fields.take_usize("num_ctx")? {
        request.load.context = Some(context).filter(|context| *context > 0);
    }
    if let Some(threads) = fields.take_usize("num_thread")? {
        request.load.threads = Some(threads).filter(|threads| *threads > 0);
    }
    for name in ["num_keep", "n_keep"] {
        if let Some(keep) = fields.take_i64(name)? {
            // -1 is all of the prompt.
            request.overflow.keep = usize::try_from(keep).unwrap_or(usize::MAX);
        }
    }
    Ok(())
}

fn read_choices(body: &mut Fields) -> Result<usize, Failure> {
    let mut choices = 1;
    for name in ["n_cmpl", "n"] {
        match body.take_u64(name)? {
            None => {}
            // The range is checked: the number fits.
            Some(n @ 1..=MOST_CHOICES) => choices = n as usize,
            Some(n) => {
                return Err(body.refuse(name, format!("must be 1 to {MOST_CHOICES}, got {n}")));
            }
        }
    }
    Ok(choices)
}

/// Reads how long a model stays: seconds, or a text as `10m`; less than 0 is for ever.
///
/// # Errors
/// It is neither.
pub fn keep_alive(path: &str, value: &Value) -> Result<KeepAlive, Failure> {
    let seconds = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => duration(text),
        _ => None,
    };
    let seconds = seconds
        .ok_or_else(|| wrong(path, "seconds, or a text such as \"10m\" or \"-1\"", value))?;
    if seconds < 0.0 {
        return Ok(KeepAlive::Forever);
    }
    Ok(Duration::try_from_secs_f64(seconds).map_or(KeepAlive::Forever, KeepAlive::For))
}

/// Seconds of `1h30m`, `500ms`, `-1m`; a bare number is seconds.
fn duration(text: &str) -> Option<f64> {
    const UNITS: &[(&str, f64)] = &[
        ("ns", 1e-9),
        ("us", 1e-6),
        ("µs", 1e-6),
        ("ms", 1e-3),
        ("h", 3600.0),
        ("m", 60.0),
        ("s", 1.0),
    ];
    let text = text.trim();
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text),
    };
    if rest.is_empty() {
        return None;
    }
    let mut total = 0.0;
    while !rest.is_empty() {
        let end = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let number: f64 = rest[..end].parse().ok()?;
        if end == rest.len() {
            // Without a unit only the whole text may be.
            return (total == 0.0).then_some(sign * number);
        }
        let (unit, size) = UNITS
            .iter()
            .find(|(unit, _)| rest[end..].starts_with(unit))?;
        total += number * size;
        rest = &rest[end + unit.len()..];
    }
    Some(sign * total)
}

/// Takes what a chat says of thinking: efforts, budgets, and whether thoughts stay in the text.
///
/// # Errors
/// An effort is none of the known words.
pub fn read_thinking(body: &mut Fields, chat: &mut Chat) -> Result<(), Failure> {
    chat.template_variables = body.take_map("chat_template_kwargs")?.unwrap_or_default();
    let by_template = chat.template_variables.get("enable_thinking");
    let mut think = by_template.and_then(Value::as_bool).map(switch);
    if let Some(on) = body.take_bool("enable_thinking")? {
        think = Some(switch(on));
    }
    match body.take_value("think") {
        None => {}
        Some(Value::Bool(on)) => think = Some(switch(on)),
        Some(Value::String(word)) => think = Some(effort(&body.path("think"), &word)?),
        Some(other) => return Err(wrong(&body.path("think"), "true, false or a level", &other)),
    }
    if let Some(word) = body
        .take_str("reasoning_effort")?
        .filter(|word| !word.is_empty())
    {
        think = Some(effort(&body.path("reasoning_effort"), &word)?);
    }
    if let Some(mut reasoning) = body.take_fields("reasoning")? {
        if let Some(on) = reasoning.take_bool("enabled")? {
            think = Some(switch(on));
        }
        if let Some(word) = reasoning
            .take_str("effort")?
            .filter(|word| !word.is_empty())
        {
            think = Some(effort(&reasoning.path("effort"), &word)?);
        }
        chat.reasoning_budget = reasoning.take_usize("max_tokens")?;
    }
    for name in ["reasoning_budget_tokens", "thinking_budget_tokens"] {
        if let Some(budget) = body.take_i64(name)? {
            chat.reasoning_budget = usize::try_from(budget).ok();
        }
    }
    chat.budget_message = body
        .take_str("reasoning_budget_message")?
        .unwrap_or_default();
    let controlled = body.take_bool("reasoning_control")?.unwrap_or(false);
    chat.end_thoughts = controlled.then(Signal::default);
    if let Some(think) = think {
        chat.think = think;
    }
    match body.take_str("reasoning_format")?.as_deref() {
        None | Some("auto" | "deepseek" | "deepseek-legacy") => {}
        Some("none") => chat.reasoning_in_text = true,
        Some(other) => {
            let problem = format!("must be \"none\", \"auto\" or \"deepseek\", got {other:?}");
            return Err(body.refuse("reasoning_format", problem));
        }
    }
    chat.calls_in_text = !body.take_bool("parse_tool_calls")?.unwrap_or(true);
    Ok(())
}

fn switch(on: bool) -> Think {
    if on {
        Think::IfPossible(None)
    } else {
        Think::Off
    }
}

/// Efforts and the level that a template gets. Nothing is refused to a model that does not think: clients send an effort
/// to every model.
const EFFORTS: &[(&str, &str)] = &[
    ("minimal", "low"),
    ("low", "low"),
    ("medium", "medium"),
    ("high", "high"),
    ("xhigh", "max"),
    ("ultra", "max"),
    ("max", "max"),
];

fn effort(path: &str, word: &str) -> Result<Think, Failure> {
    if word == "none" {
        return Ok(Think::Off);
    }
    match EFFORTS.iter().find(|(name, _)| *name == word) {
        Some((_, level)) => Ok(Think::IfPossible(Some((*level).to_owned()))),
        None => Err(Failure::invalid(
            path,
            format!(
                "invalid reasoning value: {word:?} ({path} must be \"none\", \"minimal\", \"low\", \"medium\", \
                 \"high\", \"xhigh\", \"ultra\" or \"max\")"
            ),
        )),
    }
}

/// Takes `logprobs` and `top_logprobs` of a chat, or llama-server's `n_probs`.
///
/// # Errors
/// Too many are asked for, or some without `logprobs`.
pub fn read_logprobs(body: &mut Fields) -> Result<Option<Logprobs>, Failure> {
    let on = body.take_bool("logprobs")?;
    let top = body.take_u64("top_logprobs")?;
    let probabilities = body.take_u64("n_probs")?.filter(|n| *n > 0);
    let after_sampling = body.take_bool("post_sampling_probs")?.unwrap_or(false);
    if let Some(top @ 1..) = top
        && on != Some(true)
    {
        let problem = format!("is {top} and needs logprobs to be true");
        return Err(body.refuse("top_logprobs", problem));
    }
    if let Some(top) = top.filter(|top| *top > MOST_TOP) {
        let problem = format!("must be 0 to {MOST_TOP}, got {top}");
        return Err(body.refuse("top_logprobs", problem));
    }
    if on != Some(true) && probabilities.is_none() {
        return Ok(None);
    }
    let top = top.or(probabilities).unwrap_or(0).min(MOST_TOP);
    Ok(Some(Logprobs {
        top: top as usize, // at most 20
        after_sampling,
    }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read_body(body: Value) -> Result<(Request, Vec<String>), Failure> {
        let mut request = Request::default();
        let mut fields = Fields::of("", body)?;
        let mut left = read(&mut fields, &mut request)?;
        left.extend(fields.rest());
        Ok((request, left))
    }

    #[test]
    fn limits_by_any_name() {
        for (body, expected) in [
            (json!({}), None),
            (json!({"max_tokens": 5}), Some(5)),
            (
                json!({"max_completion_tokens": 5, "max_tokens": 9}),
                Some(5),
            ),
            (json!({"n_predict": 3, "max_completion_tokens": 5}), Some(3)),
            (json!({"n_predict": -1}), None),
            (json!({"max_tokens": 0}), Some(0)),
            (json!({"options": {"num_predict": 7}}), Some(7)),
            (
                json!({"options": {"num_predict": 7}, "max_tokens": 8}),
                Some(8),
            ),
            (
                json!({"options": {"num_predict": 7}, "max_tokens": -1}),
                None,
            ),
        ] {
            let (request, left) = read_body(body.clone()).unwrap();
            assert_eq!(request.limits.max_tokens, expected, "{body}");
            assert!(left.is_empty(), "{left:?}");
        }
    }

    #[test]
    fn empty_stops_are_none() {
        for (stop, expected) in [
            (json!(null), None),
            (json!([]), None),
            (json!(""), None),
            (json!("a"), Some(vec!["a"])),
            (json!(["a", "", "b"]), Some(vec!["a", "b"])),
        ] {
            let (request, _) = read_body(json!({ "stop": stop })).unwrap();
            let expected = expected.map(|stops| stops.into_iter().map(String::from).collect());
            assert_eq!(request.limits.stops, expected, "{stop}");
        }
    }

    #[test]
    fn what_ollama_has_in_its_own_place() {
        let (request, left) = read_body(json!({
            "options": {"num_ctx": 8192, "temperature": 0.5, "temperatur": 1, "num_thread": 2, "top_k": null},
            "num_ctx": 4096, "keep_alive": "10m", "user": "x", "service_tier": "flex",
        }))
        .unwrap();
        assert_eq!(request.load.context, Some(4096));
        assert_eq!(request.load.threads, Some(2));
        assert_eq!(
            request.load.keep_alive,
            Some(KeepAlive::For(Duration::from_secs(600)))
        );
        assert_eq!(request.sampling.settings["temperature"], 0.5);
        assert_eq!(request.class, Class::Batch);
        assert_eq!(left, ["options.temperatur"]);
    }

    #[test]
    fn times_to_stay() {
        for (value, expected) in [
            (json!(0), Some(KeepAlive::For(Duration::ZERO))),
            (
                json!(1.5),
                Some(KeepAlive::For(Duration::from_millis(1500))),
            ),
            (json!(-1), Some(KeepAlive::Forever)),
            (json!("-1"), Some(KeepAlive::Forever)),
            (json!("-1m"), Some(KeepAlive::Forever)),
            (json!("5"), Some(KeepAlive::For(Duration::from_secs(5)))),
            (
                json!("1h30m"),
                Some(KeepAlive::For(Duration::from_secs(5400))),
            ),
            (
                json!("500ms"),
                Some(KeepAlive::For(Duration::from_millis(500))),
            ),
            (json!(1e300), Some(KeepAlive::Forever)),
            (json!(""), None),
            (json!("soon"), None),
            (json!("5m5"), None),
            (json!(true), None),
        ] {
            assert_eq!(keep_alive("k", &value).ok(), expected, "{value}");
        }
    }

    #[test]
    fn thinking_in_every_spelling() {
        let level = |level: &str| Think::IfPossible(Some(level.to_owned()));
        for (body, think, budget) in [
            (json!({}), Think::Default, None),
            (json!({"reasoning_effort": ""}), Think::Default, None),
            (json!({"reasoning_effort": "none"}), Think::Off, None),
            (json!({"reasoning_effort": "minimal"}), level("low"), None),
            (json!({"reasoning_effort": "xhigh"}), level("max"), None),
            (
                json!({"reasoning_effort": "low", "reasoning": {"effort": "high"}}),
                level("high"),
                None,
            ),
            (
                json!({"reasoning": {"summary": "auto"}}),
                Think::Default,
                None,
            ),
            (json!({"reasoning": {"enabled": false}}), Think::Off, None),
            (
                json!({"reasoning": {"max_tokens": 64}}),
                Think::Default,
                Some(64),
            ),
            (json!({"think": true}), Think::IfPossible(None), None),
            (json!({"think": "high"}), level("high"), None),
            (json!({"enable_thinking": false}), Think::Off, None),
            (
                json!({"chat_template_kwargs": {"enable_thinking": false}}),
                Think::Off,
                None,
            ),
            (
                json!({"thinking_budget_tokens": 9}),
                Think::Default,
                Some(9),
            ),
            (json!({"thinking_budget_tokens": -1}), Think::Default, None),
        ] {
            let mut chat = Chat::default();
            read_thinking(&mut Fields::of("", body.clone()).unwrap(), &mut chat).unwrap();
            assert_eq!(
                (&chat.think, chat.reasoning_budget),
                (&think, budget),
                "{body}"
            );
        }
        let mut chat = Chat::default();
        let mut body = Fields::of("", json!({"reasoning_effort": "much"})).unwrap();
        let failure = read_thinking(&mut body, &mut chat).unwrap_err();
        assert!(
            failure
                .to_string()
                .starts_with("invalid reasoning value: \"much\" ("),
            "{failure}"
        );
    }

    #[test]
    fn logprobs() {
        for (body, expected) in [
            (json!({}), Ok(None)),
            (json!({"logprobs": false}), Ok(None)),
            (json!({"logprobs": true}), Ok(Some(0))),
            (json!({"logprobs": true, "top_logprobs": 5}), Ok(Some(5))),
            (json!({"top_logprobs": 0}), Ok(None)),
            (json!({"n_probs": 3}), Ok(Some(3))),
            (json!({"top_logprobs": 2}), Err("top_logprobs")),
            (
                json!({"logprobs": true, "top_logprobs": 21}),
                Err("top_logprobs"),
            ),
            (json!({"logprobs": 3}), Err("logprobs")),
        ] {
            match (
                read_logprobs(&mut Fields::of("", body.clone()).unwrap()),
                expected,
            ) {
                (Ok(found), Ok(top)) => assert_eq!(found.map(|found| found.top), top, "{body}"),
                (Err(Failure::Invalid { field, .. }), Err(expected)) => assert_eq!(field, expected),
                (found, _) => panic!("{body}: {found:?}"),
            }
        }
    }

    #[test]
    fn refusals_name_their_field() {
        for (body, field) in [
            (json!({"n": 0}), "n"),
            (json!({"n": 129}), "n"),
            (json!({"max_tokens": -5}), "max_tokens"),
            (json!({"options": {"num_ctx": "x"}}), "options.num_ctx"),
            (json!({"options": []}), "options"),
            (json!({"keep_alive": []}), "keep_alive"),
            (json!({"stop": [1]}), "stop[0]"),
        ] {
            match read_body(body.clone()) {
                Err(Failure::Invalid { field: found, .. }) => assert_eq!(found, field, "{body}"),
                other => panic!("{body}: {other:?}"),
            }
        }
    }
}
