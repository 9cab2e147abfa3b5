//! How tokens are chosen: OpenAI's names, those of llama-server, and Ollama's inside `options`.

use hearth_engine::sampling::parse_order;
use serde_json::{Value, json};

use crate::core::Failure;
use crate::core::request::{BY_CHANCE, Sampling};
use crate::dialects::Fields;
use crate::dialects::fields::{integer, wrong};

/// What a setting is on the wire.
#[derive(Clone, Copy)]
enum Kind {
    Number,
    /// A number in which less than 0 is 0: llama-server takes it so, and -1 for "off" is common.
    Count,
    /// A number of tokens in which -1 is all there are.
    Window,
    /// Names of samplers, as a list or with `;` between, or one letter each.
    Order,
    Texts,
    /// 0 is off.
    Mirostat,
}

/// Names on the wire, what they are, and the name of the setting. A later row wins over an earlier one.
const SETTINGS: &[(&str, Kind, &str)] = &[
    ("temperature", Kind::Number, "temperature"),
    ("top_k", Kind::Count, "top_k"),
    ("top_p", Kind::Number, "top_p"),
    ("min_p", Kind::Number, "min_p"),
    ("typical_p", Kind::Number, "typical_p"),
    ("top_n_sigma", Kind::Number, "top_n_sigma"),
    ("xtc_probability", Kind::Number, "xtc_probability"),
    ("xtc_threshold", Kind::Number, "xtc_threshold"),
    ("min_keep", Kind::Count, "min_keep"),
    ("dynatemp_range", Kind::Number, "dynatemp_range"),
    ("dynatemp_exponent", Kind::Number, "dynatemp_exponent"),
    ("repeat_last_n", Kind::Window, "repeat_last_n"),
    ("repetition_penalty", Kind::Number, "repeat_penalty"),
    ("repeat_penalty", Kind::Number, "repeat_penalty"),
    ("frequency_penalty", Kind::Number, "frequency_penalty"),
    ("presence_penalty", Kind::Number, "presence_penalty"),
    ("dry_multiplier", Kind::Number, "dry_multiplier"),
    ("dry_base", Kind::Number, "dry_base"),
    ("dry_allowed_length", Kind::Count, "dry_allowed_length"),
    ("dry_penalty_last_n", Kind::Window, "dry_penalty_last_n"),
    (
        "dry_sequence_breakers",
        Kind::Texts,
        "dry_sequence_breakers",
    ),
    ("mirostat", Kind::Mirostat, "mirostat"),
    ("mirostat_tau", Kind::Number, "mirostat_tau"),
    ("mirostat_eta", Kind::Number, "mirostat_eta"),
    ("adaptive_target", Kind::Number, "adaptive_target"),
    ("adaptive_decay", Kind::Number, "adaptive_decay"),
    ("samplers", Kind::Order, "samplers"),
];

/// Takes the settings of samplers, `seed` and `logit_bias`. What is there replaces what was read before.
///
/// # Errors
/// A field is of the wrong type or names no sampler.
pub fn read(fields: &mut Fields, sampling: &mut Sampling) -> Result<(), Failure> {
    for (name, kind, setting) in SETTINGS {
        if let Some(value) = read_setting(fields, name, *kind)? {
            sampling.settings.insert((*setting).to_owned(), value);
        }
    }
    if let Some(seed) = fields.take_value("seed") {
        sampling.seed = read_seed(&fields.path("seed"), &seed)?;
    }
    if let Some(bias) = fields.take_value("logit_bias") {
        read_bias(&fields.path("logit_bias"), bias, sampling)?;
    }
    Ok(())
}

fn read_setting(fields: &mut Fields, name: &str, kind: Kind) -> Result<Option<Value>, Failure> {
    Ok(match kind {
        Kind::Number => {
            // The number stays as it was written: 0.1 does not become 0.1000000015.
            let value = fields.take_value(name);
            match value {
                Some(value) if !value.is_number() => {
                    return Err(wrong(&fields.path(name), "a number", &value));
                }
                value => value,
            }
        }
        Kind::Count => fields.take_i64(name)?.map(|n| json!(n.max(0))),
        Kind::Window => match fields.take_i64(name)? {
            // More than any context holds.
            Some(-1) => Some(json!(u32::MAX)),
            Some(n) if n < 0 => {
                return Err(fields.refuse(name, format!("must be -1 or more, got {n}")));
            }
            n => n.map(|n| json!(n)),
        },
        Kind::Texts => fields.take_strings(name)?.map(|texts| json!(texts)),
        Kind::Order => match fields.take_value(name) {
            None => None,
            Some(value) => Some(read_order(&fields.path(name), value)?),
        },
        Kind::Mirostat => match fields.take_i64(name)? {
            None => None,
            Some(0) => Some(Value::Null),
            Some(1) => Some(json!("one")),
            Some(2) => Some(json!("two")),
            Some(n) => return Err(fields.refuse(name, format!("must be 0, 1 or 2, got {n}"))),
        },
    })
}

fn read_order(path: &str, value: Value) -> Result<Value, Failure> {
    let text = match value {
        Value::String(text) => text,
        Value::Array(list) if list.iter().all(Value::is_string) => {
            let names: Vec<&str> = list.iter().filter_map(Value::as_str).collect();
            // The end mark keeps a list of one name from being read as letters.
            format!("{};", names.join(";"))
        }
        other => return Err(wrong(path, "a list of names of samplers", &other)),
    };
    let order =
        parse_order(&text).map_err(|error| Failure::invalid(path, format!("{path}: {error}")))?;
    serde_json::to_value(order).map_err(|error| Failure::Internal(error.to_string()))
}

/// -1 is by chance; so is llama-server's -1 as 32 bits, [`BY_CHANCE`].
fn read_seed(path: &str, value: &Value) -> Result<Option<u64>, Failure> {
    if let Some(seed) = value.as_u64() {
        return Ok(Some(seed));
    }
    match integer(value) {
        Some(-1) => Ok(Some(BY_CHANCE)),
        // Other negative seeds are seeds as well; their bits are taken.
        Some(seed) => Ok(Some(u64::from_ne_bytes(seed.to_ne_bytes()))),
        None => Err(wrong(path, "an integer", value)),
    }
}

/// `{"id or text": bias}` (OpenAI) or `[[id or text, bias or false]]` (llama-server); `false` never.
fn read_bias(path: &str, bias: Value, sampling: &mut Sampling) -> Result<(), Failure> {
    sampling.bias.clear();
    sampling.bias_texts.clear();
    match bias {
        Value::Object(map) => {
            for (key, value) in map {
                let bias = read_weight(&format!("{path}.{key}"), &value)?;
                match key.parse::<u32>() {
                    Ok(id) => sampling.bias.push((id, bias)),
                    Err(_) => sampling.bias_texts.push((key, bias)),
                }
            }
        }
        Value::Array(list) => {
            for (index, item) in list.iter().enumerate() {
                let path = format!("{path}[{index}]");
                let Some([token, weight]) = item.as_array().map(Vec::as_slice) else {
                    return Err(wrong(&path, "a pair of token and bias", item));
                };
                let bias = read_weight(&path, weight)?;
                match (token, integer(token).and_then(|id| u32::try_from(id).ok())) {
                    (_, Some(id)) => sampling.bias.push((id, bias)),
                    (Value::String(text), None) => sampling.bias_texts.push((text.clone(), bias)),
                    (other, None) => return Err(wrong(&path, "a token id or a text", other)),
                }
            }
        }
        other => return Err(wrong(path, "an object of token ids and biases", &other)),
    }
    Ok(())
}

fn read_weight(path: &str, value: &Value) -> Result<f32, Failure> {
    if value == &Value::Bool(false) {
        return Ok(f32::NEG_INFINITY);
    }
    let bias = value.as_f64().map(|bias| bias as f32);
    bias.filter(|bias| bias.is_finite())
        .ok_or_else(|| wrong(path, "a number or false", value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_body(body: Value) -> Result<Sampling, Failure> {
        let mut sampling = Sampling::default();
        let mut fields = Fields::of("", body)?;
        read(&mut fields, &mut sampling)?;
        assert_eq!(fields.rest(), [""; 0]);
        Ok(sampling)
    }

    #[test]
    fn settings_keep_their_numbers_and_get_their_names() {
        for (body, setting, expected) in [
            (json!({"temperature": 0.1}), "temperature", json!(0.1)),
            (json!({"top_k": 40.0}), "top_k", json!(40)),
            (json!({"top_k": -1}), "top_k", json!(0)),
            (
                json!({"repetition_penalty": 1.1}),
                "repeat_penalty",
                json!(1.1),
            ),
            (
                json!({"repeat_penalty": 1.2, "repetition_penalty": 1.1}),
                "repeat_penalty",
                json!(1.2),
            ),
            (
                json!({"repeat_last_n": -1}),
                "repeat_last_n",
                json!(u32::MAX),
            ),
            (json!({"mirostat": 2}), "mirostat", json!("two")),
            (json!({"mirostat": 0}), "mirostat", json!(null)),
            (
                json!({"samplers": ["top_k", "temperature"]}),
                "samplers",
                json!(["top_k", "temperature"]),
            ),
            (json!({"samplers": ["top_k"]}), "samplers", json!(["top_k"])),
            (
                json!({"samplers": "top_k;min_p"}),
                "samplers",
                json!(["top_k", "min_p"]),
            ),
            (
                json!({"dry_sequence_breakers": "x"}),
                "dry_sequence_breakers",
                json!(["x"]),
            ),
        ] {
            let sampling = read_body(body.clone()).unwrap();
            assert_eq!(sampling.settings.get(setting), Some(&expected), "{body}");
        }
    }

    #[test]
    fn every_setting_is_one_of_the_engine() {
        let all = serde_json::to_value(hearth_engine::sampling::Settings::default()).unwrap();
        for (name, _, setting) in SETTINGS {
            assert!(all.get(setting).is_some(), "{name} -> {setting}");
        }
    }

    #[test]
    fn seeds() {
        for (seed, expected) in [
            (json!(7), Some(7)),
            (json!(7.0), Some(7)),
            (json!(-1), Some(BY_CHANCE)),
            (json!(4_294_967_295_u32), Some(BY_CHANCE)),
            (json!(-2), Some(u64::MAX - 1)),
            (json!(u64::MAX), Some(u64::MAX)),
        ] {
            assert_eq!(
                read_body(json!({ "seed": seed })).unwrap().seed,
                expected,
                "{seed}"
            );
        }
    }

    #[test]
    fn biases_in_both_forms() {
        let sampling = read_body(json!({"logit_bias": {"15": -100, " the": 2.5}})).unwrap();
        assert_eq!(sampling.bias, [(15, -100.0)]);
        assert_eq!(sampling.bias_texts, [(" the".to_owned(), 2.5)]);
        let sampling = read_body(json!({"logit_bias": [[15, false], ["a", 1]]})).unwrap();
        assert_eq!(sampling.bias, [(15, f32::NEG_INFINITY)]);
        assert_eq!(sampling.bias_texts, [("a".to_owned(), 1.0)]);
    }

    #[test]
    fn refusals_name_their_field() {
        for (body, field) in [
            (json!({"temperature": "hot"}), "temperature"),
            (json!({"top_k": 1.5}), "top_k"),
            (json!({"mirostat": 3}), "mirostat"),
            (json!({"samplers": ["nosuch"]}), "samplers"),
            (json!({"samplers": [1]}), "samplers"),
            (json!({"repeat_last_n": -2}), "repeat_last_n"),
            (json!({"seed": "x"}), "seed"),
            (json!({"logit_bias": 1}), "logit_bias"),
            (json!({"logit_bias": {"1": "x"}}), "logit_bias.1"),
            (json!({"logit_bias": [[1]]}), "logit_bias[0]"),
        ] {
            match read_body(body.clone()) {
                Err(Failure::Invalid { field: found, .. }) => assert_eq!(found, field, "{body}"),
                other => panic!("{body}: {other:?}"),
            }
        }
    }
}
