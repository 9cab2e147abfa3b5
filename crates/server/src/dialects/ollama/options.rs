//! `options`: how tokens are chosen and how the model is loaded.
//!
//! | option | type | default | becomes |
//! | --- | --- | --- | --- |
//! | `num_ctx` | integer | automatic | `Load::context`; below 4 it is 4, 0 or less is automatic |
//! | `num_thread` | integer | 0, automatic | `Load::threads` |
//! | `num_keep` | integer | 4 | `Overflow::keep`; -1 keeps the whole prompt |
//! | `num_predict` | integer | -1, until the model ends | `Limits::max_tokens` |
//! | `seed` | integer | -1, by chance | `Sampling::seed` |
//! | `stop` | list of strings, or one | the model's | `Limits::stops` |
//! | `top_k`, `repeat_last_n` | integer | 40, 64 | samplers; -1 is off and the whole text |
//! | `temperature`, `top_p`, `min_p`, `typical_p`, `repeat_penalty`, `presence_penalty`, `frequency_penalty` | float | 0.8, 0.9, 0, 1, 1, 0, 0 | samplers |
//! | `num_batch`, `num_gpu`, `main_gpu`, `draft_num_predict`, `use_mmap` | | | nothing: checked only |
//! | hearth's `dry_*`, `xtc_*`, `dynatemp_*`, `top_n_sigma`, `adaptive_*`, `min_keep` | | off | samplers |
//!
//! A default is used where neither the request nor the model says anything; it is not this module that fills it in.
//! Numbers are truncated to integers, as Ollama does; `null` is absent; what is not known is ignored and told.

use serde_json::{Map, Value};

use super::super::Fields;
use crate::core::{Failure, Request, request::BY_CHANCE};

/// What an option takes, and what becomes of it.
#[derive(Clone, Copy)]
enum Kind {
    Int(fn(&mut Request, i64)),
    /// A count of a sampler; negative is the second.
    Count(u64),
    /// A setting of a sampler.
    Float,
    /// Strings of a sampler.
    Texts,
    Stop,
    /// An integer, or a truth value, that changes nothing here.
    UnusedInt,
    UnusedBool,
}

const OPTIONS: &[(&str, Kind)] = &[
    (
        "num_ctx",
        Kind::Int(|r, n| r.load.context = positive(n).map(|n| n.max(4))),
    ),
    ("num_thread", Kind::Int(|r, n| r.load.threads = positive(n))),
    (
        "num_keep",
        Kind::Int(|r, n| r.overflow.keep = usize::try_from(n).unwrap_or(usize::MAX)),
    ),
    (
        "num_predict",
        Kind::Int(|r, n| r.limits.max_tokens = Some(usize::try_from(n).unwrap_or(usize::MAX))),
    ),
    (
        "seed",
        Kind::Int(|r, n| r.sampling.seed = Some(u64::try_from(n).unwrap_or(BY_CHANCE))),
    ),
    ("stop", Kind::Stop),
    ("top_k", Kind::Count(0)),
    ("repeat_last_n", Kind::Count(ALL)),
    ("temperature", Kind::Float),
    ("top_p", Kind::Float),
    ("min_p", Kind::Float),
    ("typical_p", Kind::Float),
    ("repeat_penalty", Kind::Float),
    ("presence_penalty", Kind::Float),
    ("frequency_penalty", Kind::Float),
    ("num_batch", Kind::UnusedInt),
    ("num_gpu", Kind::UnusedInt),
    ("main_gpu", Kind::UnusedInt),
    ("draft_num_predict", Kind::UnusedInt),
    ("use_mmap", Kind::UnusedBool),
    ("top_n_sigma", Kind::Float),
    ("dynatemp_range", Kind::Float),
    ("dynatemp_exponent", Kind::Float),
    ("xtc_probability", Kind::Float),
    ("xtc_threshold", Kind::Float),
    ("min_keep", Kind::Count(0)),
    ("dry_multiplier", Kind::Float),
    ("dry_base", Kind::Float),
    ("dry_allowed_length", Kind::Count(0)),
    ("dry_penalty_last_n", Kind::Count(ALL)),
    ("dry_sequence_breakers", Kind::Texts),
    ("adaptive_target", Kind::Float),
    ("adaptive_decay", Kind::Float),
];

/// As many tokens as any text has.
const ALL: u64 = u32::MAX as u64;

/// Tokens of the prompt that stay when the context is full and nobody says how many.
const KEEP: usize = 4;

/// Names of options in other protocols, which clients put beside `options`.
const ALIASES: &[(&str, &str)] = &[
    ("max_output_tokens", "num_predict"),
    ("max_tokens", "num_predict"),
];

/// Moves options that a client put beside `options` into it, unless it has them. Ollama ignores them there, so one of
/// a wrong type stays where it is, to be told as ignored.
pub(super) fn gather(body: &mut Map<String, Value>) {
    let mut options = match body.get("options") {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(options)) => options.clone(),
        Some(_) => return,
    };
    let own = OPTIONS.iter().map(|(name, _)| (*name, *name));
    for (outside, name) in own.chain(ALIASES.iter().copied()) {
        let fits = |value: &Value| {
            let kind = OPTIONS.iter().find(|(known, _)| *known == name);
            kind.is_some_and(|(_, kind)| set(&mut Request::default(), name, *kind, value).is_ok())
        };
        let inside = options.get(name).is_some_and(|value| !value.is_null());
        if !inside
            && body.get(outside).is_some_and(fits)
            && let Some(value) = body.shift_remove(outside)
        {
            options.insert(name.to_owned(), value);
        }
    }
    if !options.is_empty() {
        body.insert("options".to_owned(), Value::Object(options));
    }
}

/// Reads `options` into a request. Names that are not known are added to `warnings`.
///
/// # Errors
/// It is no object, or an option is of another type.
pub(super) fn read(
    fields: &mut Fields,
    request: &mut Request,
    warnings: &mut Vec<String>,
) -> Result<(), Failure> {
    request.overflow.keep = KEEP;
    let mut options = fields.take_map("options")?.unwrap_or_default();
    options.retain(|_, value| !value.is_null());
    for (name, kind) in OPTIONS {
        let Some(value) = options.shift_remove(*name) else {
            continue;
        };
        set(request, name, *kind, &value).map_err(|expected| {
            let message = format!("option \"{name}\" must be {expected}");
            Failure::invalid(format!("options.{name}"), message)
        })?;
    }
    warnings.extend(
        options
            .keys()
            .map(|name| super::ignored(&format!("options.{name}"))),
    );
    Ok(())
}

/// Checks the types of a model's parameters as they are stored; one stop becomes a list of it.
///
/// # Errors
/// One that is known is of another type.
pub(super) fn check(parameters: &mut Map<String, Value>) -> Result<(), Failure> {
    for (name, kind) in OPTIONS {
        let Some(value) = parameters.get_mut(*name) else {
            continue;
        };
        set(&mut Request::default(), name, *kind, value).map_err(|expected| {
            let message = format!("option \"{name}\" must be {expected}");
            Failure::invalid(format!("parameters.{name}"), message)
        })?;
        if value.is_string() {
            *value = Value::Array(vec![value.take()]);
        }
    }
    Ok(())
}

/// Puts an option in its place, or says what was expected.
fn set(request: &mut Request, name: &str, kind: Kind, value: &Value) -> Result<(), &'static str> {
    let setting = match kind {
        Kind::Int(put) => {
            put(request, integer(value)?);
            return Ok(());
        }
        Kind::UnusedInt => return integer(value).map(drop),
        Kind::UnusedBool => return value.as_bool().map(drop).ok_or("of type boolean"),
        Kind::Stop => {
            let stops = texts(value)?;
            // Clients send empty ones for none.
            request.limits.stops = Some(stops.into_iter().filter(|it| !it.is_empty()).collect());
            return Ok(());
        }
        Kind::Count(negative) => Value::from(u64::try_from(integer(value)?).unwrap_or(negative)),
        Kind::Float => {
            let number = value.as_f64().filter(|n| (*n as f32).is_finite());
            Value::from(number.ok_or("of type float32")?)
        }
        Kind::Texts => Value::from(texts(value)?),
    };
    request.sampling.settings.insert(name.to_owned(), setting);
    Ok(())
}

/// An integer; a fraction is cut off.
fn integer(value: &Value) -> Result<i64, &'static str> {
    let float = || value.as_f64().map(|number| number as i64); // saturates
    value.as_i64().or_else(float).ok_or("of type integer")
}

fn texts(value: &Value) -> Result<Vec<String>, &'static str> {
    let list = match value {
        Value::String(text) => return Ok(vec![text.clone()]),
        Value::Array(list) => list,
        _ => return Err("of type array"),
    };
    let texts = list.iter().map(|item| item.as_str().map(str::to_owned));
    texts.collect::<Option<_>>().ok_or("of an array of strings")
}

fn positive(number: i64) -> Option<usize> {
    usize::try_from(number).ok().filter(|number| *number > 0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::core::request::{KeepAlive, Load};

    fn of(body: Value) -> Result<(Request, Vec<String>), Failure> {
        let (mut request, mut warnings) = (Request::default(), Vec::new());
        let mut body = body.as_object().unwrap().clone();
        gather(&mut body);
        let mut fields = Fields::new(body);
        read(&mut fields, &mut request, &mut warnings)?;
        warnings.extend(fields.rest());
        Ok((request, warnings))
    }

    #[test]
    fn every_option_has_its_place() {
        let options = json!({
            "num_ctx": 8192, "num_batch": 512, "num_gpu": -1, "main_gpu": 0, "use_mmap": true, "num_thread": 3,
            "draft_num_predict": 4, "num_keep": 24, "seed": 42, "num_predict": 100, "top_k": 20, "top_p": 0.5,
            "min_p": 0.25, "typical_p": 0.75, "temperature": 0, "repeat_last_n": 33, "repeat_penalty": 1.5,
            "presence_penalty": 1.0, "frequency_penalty": -1.0, "stop": ["a", ""], "top_n_sigma": 1.5,
            "dry_sequence_breakers": ["x"], "dry_penalty_last_n": -1,
        });
        let (request, warnings) = of(json!({ "options": options })).unwrap();
        let expected = json!({
            "top_k": 20, "repeat_last_n": 33, "temperature": 0.0, "top_p": 0.5, "min_p": 0.25, "typical_p": 0.75,
            "repeat_penalty": 1.5, "presence_penalty": 1.0, "frequency_penalty": -1.0, "top_n_sigma": 1.5,
            "dry_penalty_last_n": ALL, "dry_sequence_breakers": ["x"],
        });
        assert_eq!(Value::Object(request.sampling.settings.clone()), expected);
        // The engine knows them all by these names.
        let settings = Value::Object(request.sampling.settings);
        serde_json::from_value::<hearth_engine::sampling::Settings>(settings).unwrap();
        assert_eq!(request.sampling.seed, Some(42));
        assert_eq!(request.limits.max_tokens, Some(100));
        assert_eq!(request.limits.stops, Some(vec!["a".to_owned()]));
        assert_eq!(request.overflow.keep, 24);
        let load = Load {
            keep_alive: None::<KeepAlive>,
            context: Some(8192),
            threads: Some(3),
        };
        assert_eq!(request.load, load);
        assert!(warnings.is_empty(), "{warnings:?}");
    }

    #[test]
    fn each_setting_is_one_of_the_engine() {
        let known = serde_json::to_value(hearth_engine::sampling::Settings::default()).unwrap();
        for (name, kind) in OPTIONS {
            if matches!(kind, Kind::Float | Kind::Count(_) | Kind::Texts) {
                assert!(known.get(name).is_some(), "{name}");
            }
        }
    }

    #[test]
    fn values_that_mean_something_else() {
        let of = |options: Value| of(json!({ "options": options })).unwrap().0;
        assert_eq!(of(json!({})).overflow.keep, 4);
        assert_eq!(of(json!({})).limits.max_tokens, None);
        assert_eq!(
            of(json!({"num_predict": -1})).limits.max_tokens,
            Some(usize::MAX)
        );
        assert_eq!(of(json!({"num_keep": -1})).overflow.keep, usize::MAX);
        assert_eq!(of(json!({"seed": -1})).sampling.seed, Some(BY_CHANCE));
        assert_eq!(of(json!({"num_ctx": 2})).load.context, Some(4));
        assert_eq!(of(json!({"num_ctx": 0})).load.context, None);
        assert_eq!(of(json!({"num_thread": 0})).load.threads, None);
        assert_eq!(of(json!({"top_k": -1})).sampling.settings["top_k"], 0);
        assert_eq!(of(json!({"top_k": 40.9})).sampling.settings["top_k"], 40);
        assert_eq!(
            of(json!({"stop": "x"})).limits.stops,
            Some(vec!["x".to_owned()])
        );
        assert_eq!(
            of(json!({"num_ctx": 1e300})).load.context,
            Some(i64::MAX as usize)
        );
    }

    #[test]
    fn null_is_skipped_and_the_unknown_told() {
        let body = json!({"options": {"temperature": null, "mirostat": 1, "tfs_z": 1, "numa": null}, "top_k": "many"});
        let (request, warnings) = of(body).unwrap();
        assert!(request.sampling.settings.is_empty());
        assert_eq!(
            warnings,
            [
                "options.mirostat is ignored: not known here",
                "options.tfs_z is ignored: not known here",
                "top_k",
            ]
        );
    }

    #[test]
    fn options_beside_their_object_count() {
        let body = json!({"temperature": 0.5, "top_p": 0.5, "max_output_tokens": 7, "options": {"top_p": 0.25}});
        let (request, warnings) = of(body).unwrap();
        assert_eq!(request.sampling.settings["temperature"], 0.5);
        assert_eq!(request.sampling.settings["top_p"], 0.25);
        assert_eq!(request.limits.max_tokens, Some(7));
        assert_eq!(warnings, ["top_p"]);
    }

    #[test]
    fn a_wrong_type_is_told_in_ollamas_words() {
        for (options, message) in [
            (
                json!({"temperature": "hot"}),
                "option \"temperature\" must be of type float32",
            ),
            (
                json!({"temperature": 1e300}),
                "option \"temperature\" must be of type float32",
            ),
            (
                json!({"num_ctx": "4096"}),
                "option \"num_ctx\" must be of type integer",
            ),
            (
                json!({"seed": []}),
                "option \"seed\" must be of type integer",
            ),
            (
                json!({"use_mmap": 1}),
                "option \"use_mmap\" must be of type boolean",
            ),
            (json!({"stop": 1}), "option \"stop\" must be of type array"),
            (
                json!({"stop": ["a", 1]}),
                "option \"stop\" must be of an array of strings",
            ),
            (json!([]), "options must be an object, got a list"),
        ] {
            let failure = of(json!({ "options": options })).unwrap_err();
            assert_eq!(failure.to_string(), message);
        }
    }

    #[test]
    fn parameters_of_a_model_are_checked_alike() {
        let mut parameters = json!({"stop": "a", "temperature": 1, "own": {}})
            .as_object()
            .unwrap()
            .clone();
        check(&mut parameters).unwrap();
        assert_eq!(
            Value::Object(parameters),
            json!({"stop": ["a"], "temperature": 1, "own": {}})
        );
        let mut wrong = json!({"top_k": "x"}).as_object().unwrap().clone();
        let message = check(&mut wrong).unwrap_err().to_string();
        assert_eq!(message, "option \"top_k\" must be of type integer");
    }
}
