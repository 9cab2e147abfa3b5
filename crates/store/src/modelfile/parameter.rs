//! The options that `PARAMETER` sets, and their types.

use std::fmt;

use serde_json::{Map, Value};

use super::{Problem, text::quoted};

/// What an option takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParameterType {
    /// A whole number of 64 bits.
    Int,
    /// A number of 32 bits.
    Float,
    /// A truth value.
    Bool,
    /// Texts, one a line.
    Texts,
}

/// A value of an option.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "each is the ParameterType of that name")]
pub enum ParameterValue {
    Int(i64),
    /// Finite in 32 bits too.
    Float(f64),
    Bool(bool),
    /// One of an option's texts.
    Text(String),
}

const KNOWN: &[(ParameterType, &[&str])] = &[
    (
        ParameterType::Int,
        &[
            "num_ctx",
            "num_batch",
            "num_gpu",
            "main_gpu",
            "num_thread",
            "num_keep",
            "num_predict",
            "seed",
            "top_k",
            "repeat_last_n",
            "draft_num_predict",
        ],
    ),
    (
        ParameterType::Float,
        &[
            "temperature",
            "top_p",
            "min_p",
            "typical_p",
            "repeat_penalty",
            "presence_penalty",
            "frequency_penalty",
        ],
    ),
    (ParameterType::Bool, &["use_mmap"]),
    (ParameterType::Texts, &["stop"]),
];

/// Once known to Ollama, and still accepted by it.
const DEPRECATED: &[&str] = &[
    "penalize_newline",
    "low_vram",
    "f16_kv",
    "logits_all",
    "vocab_only",
    "use_mlock",
    "mirostat",
    "mirostat_tau",
    "mirostat_eta",
];

impl ParameterType {
    /// The type of an option, if there is one of that name.
    pub fn of(name: &str) -> Option<Self> {
        let row = KNOWN.iter().find(|(_, names)| names.contains(&name));
        row.map(|(kind, _)| *kind)
    }
}

impl fmt::Display for ParameterType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Int => "int",
            Self::Float => "float",
            Self::Bool => "bool",
            Self::Texts => "string",
        })
    }
}

/// As a Modelfile has it.
impl fmt::Display for ParameterValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(n) => n.fmt(f),
            Self::Float(n) => n.fmt(f),
            Self::Bool(b) => b.fmt(f),
            Self::Text(text) => f.write_str(&quoted(text)),
        }
    }
}

impl ParameterValue {
    /// Reads what follows `PARAMETER name`; nothing for an option that means nothing any more.
    pub(super) fn read(name: &str, text: &str) -> Result<Option<Self>, Problem> {
        if DEPRECATED.contains(&name) {
            return Ok(None);
        }
        let kind =
            ParameterType::of(name).ok_or_else(|| Problem::UnknownParameter(name.to_owned()))?;
        let value = match kind {
            ParameterType::Int => text.parse().ok().map(Self::Int),
            ParameterType::Float => text.parse().ok().and_then(float).map(Self::Float),
            ParameterType::Bool => truth(text).map(Self::Bool),
            ParameterType::Texts => Some(Self::Text(text.to_owned())),
        };
        value
            .map(Some)
            .ok_or_else(|| Problem::Value(kind, text.to_owned()))
    }

    /// The values of an option as a model stores it; nothing where the option is not known or they are of another
    /// type.
    pub(crate) fn of_stored(name: &str, value: &Value) -> Option<Vec<Self>> {
        Some(match ParameterType::of(name)? {
            ParameterType::Int => vec![Self::Int(whole(value)?)],
            ParameterType::Float => vec![Self::Float(value.as_f64().and_then(float)?)],
            ParameterType::Bool => vec![Self::Bool(value.as_bool()?)],
            ParameterType::Texts => {
                let texts = value.as_array()?.iter();
                texts
                    .map(|text| text.as_str().map(|text| Self::Text(text.to_owned())))
                    .collect::<Option<_>>()?
            }
        })
    }
}

/// JSON of other programs may write whole numbers with a fraction or an exponent.
fn whole(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| {
        let number = value.as_f64()?;
        let exact = number.fract() == 0.0 && number.abs() <= (1_u64 << 53) as f64;
        exact.then_some(number as i64)
    })
}

fn float(number: f64) -> Option<f64> {
    (number as f32).is_finite().then_some(number)
}

/// The spellings that Go takes.
fn truth(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

/// Sets an option in a model's list: texts are added to those there, anything else is replaced.
pub(super) fn store(map: &mut Map<String, Value>, name: &str, value: &ParameterValue) {
    let json = match value {
        ParameterValue::Int(n) => Value::from(*n),
        ParameterValue::Float(n) => Value::from(*n),
        ParameterValue::Bool(b) => Value::from(*b),
        ParameterValue::Text(text) => {
            let texts = map.entry(name).or_insert_with(|| Value::Array(Vec::new()));
            if let Value::Array(texts) = texts {
                texts.push(Value::from(text.as_str()));
            }
            return;
        }
    };
    map.insert(name.to_owned(), json);
}
