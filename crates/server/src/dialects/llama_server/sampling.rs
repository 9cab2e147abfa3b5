//! How tokens are chosen: the fields of a request, and what they are when nobody says anything.

use hearth_engine::sampling::parse_order;
use serde_json::{Map, Value, json};

use crate::core::Failure;
use crate::dialects::fields::{Fields, integer, wrong};

/// What becomes of a number outside its range.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Rule {
    /// It is moved to the nearer end.
    Clamp(f64, f64),
    /// It is refused.
    Range(f64, f64),
    /// It is refused unless it is more than 0.
    Positive,
    /// Below this, the default holds.
    Least(f64),
    /// There is none.
    Any,
}

/// The largest number that fits llama-server's integers.
pub(super) const MOST: f64 = i32::MAX as f64;

const INFINITE: f64 = f64::INFINITY;

/// A setting that is a number. Its name is the request's field and the engine's setting.
#[derive(Clone, Copy, Debug)]
pub(super) struct Number {
    pub(super) name: &'static str,
    pub(super) default: f64,
    pub(super) whole: bool,
    pub(super) rule: Rule,
}

const fn real(name: &'static str, default: f64, rule: Rule) -> Number {
    Number {
        name,
        default,
        whole: false,
        rule,
    }
}

const fn whole(name: &'static str, default: f64, rule: Rule) -> Number {
    Number {
        name,
        default,
        whole: true,
        rule,
    }
}

/// In the order in which they are reported.
pub(super) const NUMBERS: [Number; 23] = [
    real("temperature", 0.8, Rule::Clamp(0.0, INFINITE)),
    real("dynatemp_range", 0.0, Rule::Any),
    real("dynatemp_exponent", 1.0, Rule::Any),
    whole("top_k", 40.0, Rule::Clamp(0.0, MOST)),
    real("top_p", 0.95, Rule::Clamp(0.0, 1.0)),
    real("min_p", 0.05, Rule::Clamp(0.0, 1.0)),
    real("top_n_sigma", -1.0, Rule::Any),
    real("xtc_probability", 0.0, Rule::Clamp(0.0, 1.0)),
    real("xtc_threshold", 0.1, Rule::Clamp(0.0, 1.0)),
    real("typical_p", 1.0, Rule::Any),
    whole("repeat_last_n", 64.0, Rule::Range(0.0, MOST)),
    real("repeat_penalty", 1.0, Rule::Positive),
    real("presence_penalty", 0.0, Rule::Any),
    real("frequency_penalty", 0.0, Rule::Any),
    real("dry_multiplier", 0.0, Rule::Any),
    real("dry_base", 1.75, Rule::Least(1.0)),
    whole("dry_allowed_length", 2.0, Rule::Range(0.0, MOST)),
    whole("dry_penalty_last_n", 64.0, Rule::Range(0.0, MOST)),
    whole("mirostat", 0.0, Rule::Clamp(0.0, 2.0)),
    real("mirostat_tau", 5.0, Rule::Any),
    real("mirostat_eta", 0.1, Rule::Any),
    real("adaptive_target", -1.0, Rule::Range(-INFINITE, 1.0)),
    real("adaptive_decay", 0.9, Rule::Range(0.0, 0.99)),
];

/// Not reported among the others.
pub(super) const MIN_KEEP: Number = whole("min_keep", 0.0, Rule::Range(0.0, MOST));

/// The default order of samplers.
const ORDER: [&str; 9] = [
    "penalties",
    "dry",
    "top_n_sigma",
    "top_k",
    "typ_p",
    "top_p",
    "min_p",
    "xtc",
    "temperature",
];

const BREAKERS: [&str; 4] = ["\n", ":", "\"", "*"];

/// llama-server's words for a number outside its range.
pub(super) fn out_of_range(name: &str, low: f64, high: f64, found: f64) -> Failure {
    Failure::invalid(
        name,
        format!("Field '{name}': Value must be between {low} <= value <= {high}, but got {found}"),
    )
}

impl Number {
    pub(super) fn check(&self, value: f64) -> Result<f64, Failure> {
        match self.rule {
            Rule::Clamp(low, high) => Ok(value.clamp(low, high)),
            Rule::Range(low, high) if !(low..=high).contains(&value) => {
                Err(out_of_range(self.name, low, high, value))
            }
            Rule::Positive if value <= 0.0 => Err(Failure::invalid(
                self.name,
                format!(
                    "Field '{}': Value must be finite and more than 0, but got {value}",
                    self.name
                ),
            )),
            Rule::Least(least) if value < least => Ok(self.default),
            Rule::Range(..) | Rule::Positive | Rule::Least(_) | Rule::Any => Ok(value),
        }
    }

    /// The number as JSON; a whole one without a fraction.
    pub(super) fn json(&self, value: f64) -> Value {
        match self.whole {
            true => Value::from(value as i64),
            false => Value::from(value),
        }
    }

    fn take(&self, fields: &mut Fields) -> Result<Option<f64>, Failure> {
        let value = match self.whole {
            true => fields.take_i64(self.name)?.map(|it| it as f64),
            false => fields.take_f64(self.name)?,
        };
        value.map(|value| self.check(value)).transpose()
    }
}

/// Takes the settings of a request over those that hold already. Names are those of llama-server's fields.
pub(super) fn take(
    fields: &mut Fields,
    settings: &mut Map<String, Value>,
    warnings: &mut Vec<String>,
) -> Result<(), Failure> {
    for number in NUMBERS.iter().chain([&MIN_KEEP]) {
        if let Some(value) = number.take(fields)? {
            settings.insert(number.name.to_owned(), number.json(value));
        }
    }
    let breakers = "dry_sequence_breakers";
    if let Some(list) = fields.take_list(breakers)? {
        if list.is_empty() || !list.iter().all(Value::is_string) {
            return Err(fields.refuse(breakers, "must be a list of strings that is not empty"));
        }
        settings.insert(breakers.to_owned(), Value::Array(list));
    }
    if let Some(value) = fields.take_value("samplers") {
        let order = order(&fields.path("samplers"), value, warnings)?;
        settings.insert("samplers".to_owned(), order);
    }
    Ok(())
}

/// An order of samplers by their canonical names; unknown ones are left out with a warning.
pub(super) fn order(
    path: &str,
    value: Value,
    warnings: &mut Vec<String>,
) -> Result<Value, Failure> {
    let names: Vec<String> = match value {
        Value::String(letters) => letters.chars().map(String::from).collect(),
        Value::Array(list) => list
            .into_iter()
            .enumerate()
            .map(|(index, value)| match value {
                Value::String(name) => Ok(name),
                other => Err(wrong(
                    &format!("{path}[{index}]"),
                    "the name of a sampler",
                    &other,
                )),
            })
            .collect::<Result<_, _>>()?,
        other => {
            return Err(wrong(
                path,
                "a list of names or a string of letters",
                &other,
            ));
        }
    };
    let mut order = Vec::new();
    for name in names {
        match parse_order(&name) {
            Ok(found) => order.extend(found),
            Err(_) => warnings.push(format!(
                "{path}: '{name}' is no sampler here and was left out"
            )),
        }
    }
    Ok(json!(order))
}

/// All settings as they hold, in llama-server's order: what was set, and else the defaults.
pub(super) fn effective(settings: &Map<String, Value>) -> Map<String, Value> {
    let mut all = Map::new();
    let breakers = || json!(BREAKERS);
    for number in &NUMBERS {
        let value = settings.get(number.name).cloned();
        all.insert(
            number.name.to_owned(),
            value.unwrap_or_else(|| number.json(number.default)),
        );
        if number.name == "dry_penalty_last_n" {
            let name = "dry_sequence_breakers";
            let value = settings.get(name).cloned();
            all.insert(name.to_owned(), value.unwrap_or_else(breakers));
        }
    }
    all
}

/// The order that holds.
pub(super) fn effective_order(settings: &Map<String, Value>) -> Value {
    settings
        .get("samplers")
        .cloned()
        .unwrap_or_else(|| json!(ORDER))
}

/// Biases of tokens given by id and by text.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Biases {
    /// By id.
    pub ids: Vec<(u32, f32)>,
    /// By text: all tokens of it.
    pub texts: Vec<(String, f32)>,
}

impl Biases {
    fn add(&mut self, key: &str, bias: f32) {
        match key.parse::<u32>() {
            Ok(id) => self.ids.push((id, bias)),
            Err(_) => self.texts.push((key.to_owned(), bias)),
        }
    }

    /// Takes `logit_bias`: a list of pairs or an object. `false` bans a token.
    pub(super) fn take(&mut self, fields: &mut Fields) -> Result<(), Failure> {
        let path = fields.path("logit_bias");
        match fields.take_value("logit_bias") {
            None => {}
            Some(Value::Object(map)) => {
                for (key, value) in map {
                    if let Some(bias) = bias(&format!("{path}.{key}"), &value)? {
                        self.add(&key, bias);
                    }
                }
            }
            Some(Value::Array(list)) => {
                for (index, pair) in list.into_iter().enumerate() {
                    self.pair(&format!("{path}[{index}]"), &pair)?;
                }
            }
            Some(other) => return Err(wrong(&path, "a list of pairs or an object", &other)),
        }
        Ok(())
    }

    fn pair(&mut self, path: &str, pair: &Value) -> Result<(), Failure> {
        let refused = || {
            wrong(
                path,
                "a pair of a token or text and a number or false",
                pair,
            )
        };
        let Some([key, value]) = pair.as_array().map(Vec::as_slice) else {
            return Err(refused());
        };
        let Some(bias) = bias(&format!("{path}[1]"), value)? else {
            return Ok(());
        };
        match (
            key.as_str(),
            integer(key).and_then(|id| u32::try_from(id).ok()),
        ) {
            (Some(text), _) => self.add(text, bias),
            (None, Some(id)) => self.ids.push((id, bias)),
            (None, None) => return Err(refused()),
        }
        Ok(())
    }

    /// As it is reported: those by id. What a text comes to only the vocabulary knows.
    pub(super) fn report(&self) -> Value {
        let each = self.ids.iter();
        each.map(|(token, bias)| json!({ "bias": bias.max(f32::MIN), "token": token }))
            .collect()
    }
}

/// `true` changes nothing.
fn bias(path: &str, value: &Value) -> Result<Option<f32>, Failure> {
    match value {
        Value::Bool(false) => Ok(Some(f32::NEG_INFINITY)),
        Value::Bool(true) | Value::Null => Ok(None),
        Value::Number(number) => Ok(number.as_f64().map(|it| it as f32)),
        other => Err(wrong(path, "a number or false", other)),
    }
}
