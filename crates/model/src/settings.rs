//! One way to read settings, whatever form the checkpoint has.
//!
//! Every getter takes the GGUF key (without the architecture) and the `config.json` names in the order in
//! which they are tried.

use hearth_format::{Array, Checkpoint, Source, Value};
use serde_json::Value as Json;

use crate::{Error, Result};

/// The settings of a checkpoint.
pub struct Settings<'a> {
    /// The checkpoint itself, for its tensors.
    pub checkpoint: &'a Checkpoint,
    /// `general.architecture` or `model_type`.
    pub architecture: String,
    /// Positions that the caller will use at most: LongRoPE chooses its factors by it.
    pub context_limit: Option<usize>,
    config: &'a Json,
}

impl<'a> Settings<'a> {
    /// Finds the architecture and the object that holds the text model's settings.
    pub fn new(checkpoint: &'a Checkpoint, context_limit: Option<usize>) -> Result<Self> {
        let root = checkpoint.config();
        // Repositories of models that also see or hear nest the decoder's settings.
        let config = ["text_config", "llm_config", "language_config"]
            .iter()
            .find_map(|key| root.get(key).filter(|v| v.is_object()))
            .unwrap_or(root);
        let mut settings = Self {
            checkpoint,
            architecture: String::new(),
            context_limit,
            config,
        };
        settings.architecture = match checkpoint.source {
            Source::Gguf => match checkpoint.metadata().get("general.architecture") {
                Some(Value::String(text)) => String::from_utf8_lossy(text).into_owned(),
                _ => return Err(settings.missing("general.architecture")),
            },
            Source::HuggingFace => {
                match config.get("model_type").or_else(|| root.get("model_type")) {
                    Some(Json::String(text)) => text.clone(),
                    _ => return Err(settings.missing("model_type")),
                }
            }
        };
        Ok(settings)
    }

    /// Whether tensors and settings follow the GGUF conventions.
    pub fn is_gguf(&self) -> bool {
        self.checkpoint.source == Source::Gguf
    }

    /// A non-negative integer.
    pub fn integer(&self, gguf: &str, hf: &[&str]) -> Result<Option<usize>> {
        self.scalar(gguf, hf, "a non-negative integer", |n| {
            (n.fract() == 0.0 && (0.0..=9e15).contains(&n)).then_some(n as usize)
        })
    }

    /// A finite number.
    pub fn float(&self, gguf: &str, hf: &[&str]) -> Result<Option<f32>> {
        self.scalar(gguf, hf, "a finite number", |n| {
            (n as f32).is_finite().then_some(n as f32)
        })
    }

    /// An integer that must be there and inside `range`.
    pub fn count(
        &self,
        gguf: &str,
        hf: &[&str],
        range: std::ops::RangeInclusive<usize>,
    ) -> Result<usize> {
        let key = self.key(gguf, hf);
        let value = self.integer(gguf, hf)?.ok_or_else(|| self.missing(&key))?;
        self.check_range(&key, value, range)
    }

    /// The same with a default.
    pub fn count_or(
        &self,
        gguf: &str,
        hf: &[&str],
        default: usize,
        range: std::ops::RangeInclusive<usize>,
    ) -> Result<usize> {
        let value = self.integer(gguf, hf)?.unwrap_or(default);
        self.check_range(&self.key(gguf, hf), value, range)
    }

    /// A value of `config.json`; `None` for GGUF. Absent and `null` differ: see [`Self::has`].
    pub fn json(&self, key: &str) -> Option<&'a Json> {
        self.config.get(key).filter(|v| !v.is_null())
    }

    /// Whether `config.json` names the key at all, `null` included.
    pub fn has(&self, key: &str) -> bool {
        self.config.get(key).is_some()
    }

    /// A truth value of `config.json`.
    pub fn flag(&self, key: &str) -> Option<bool> {
        self.json(key).and_then(Json::as_bool)
    }

    /// A text of GGUF metadata.
    pub fn gguf_text(&self, key: &str) -> Option<String> {
        match self
            .checkpoint
            .metadata()
            .get(&format!("{}.{key}", self.architecture))?
        {
            Value::String(text) => Some(String::from_utf8_lossy(text).into_owned()),
            _ => None,
        }
    }

    /// A truth value of GGUF metadata; false where it is not there.
    pub fn gguf_flag(&self, key: &str) -> bool {
        let key = format!("{}.{key}", self.architecture);
        matches!(
            self.checkpoint.metadata().get(&key),
            Some(Value::Bool(true))
        )
    }

    /// The integers of a GGUF array, one per layer; none where there is no such array.
    pub fn gguf_list(&self, key: &str) -> Vec<i64> {
        let key = format!("{}.{key}", self.architecture);
        match self.checkpoint.metadata().get(&key) {
            Some(Value::Array(Array::U32(list))) => list.iter().map(|n| i64::from(*n)).collect(),
            Some(Value::Array(Array::I32(list))) => list.iter().map(|n| i64::from(*n)).collect(),
            _ => Vec::new(),
        }
    }

    /// The values of a GGUF tensor, such as rope divisors.
    pub fn gguf_values(&self, tensor: &str) -> Option<Vec<f32>> {
        self.checkpoint
            .tensor(tensor)
            .map(hearth_format::Tensor::to_f32)
    }

    /// An error that names the setting in this checkpoint's form.
    pub fn wrong(&self, key: &str, found: impl ToString, expected: impl Into<String>) -> Error {
        Error::Setting {
            place: self.checkpoint.label().to_owned(),
            key: key.to_owned(),
            found: found.to_string(),
            expected: expected.into(),
        }
    }

    fn missing(&self, key: &str) -> Error {
        Error::MissingSetting {
            place: self.checkpoint.label().to_owned(),
            key: key.to_owned(),
        }
    }

    fn key(&self, gguf: &str, hf: &[&str]) -> String {
        match self.checkpoint.source {
            Source::Gguf => format!("{}.{gguf}", self.architecture),
            Source::HuggingFace => hf.first().copied().unwrap_or(gguf).to_owned(),
        }
    }

    fn check_range(
        &self,
        key: &str,
        value: usize,
        range: std::ops::RangeInclusive<usize>,
    ) -> Result<usize> {
        if range.contains(&value) {
            return Ok(value);
        }
        Err(self.wrong(
            key,
            value,
            format!("a number from {} to {}", range.start(), range.end()),
        ))
    }

    fn scalar<T>(
        &self,
        gguf: &str,
        hf: &[&str],
        expected: &str,
        take: impl Fn(f64) -> Option<T>,
    ) -> Result<Option<T>> {
        let key = self.key(gguf, hf);
        let number = match self.checkpoint.source {
            Source::Gguf => match self.checkpoint.metadata().get(&key) {
                None => return Ok(None),
                Some(value) => number(value),
            },
            Source::HuggingFace => match hf.iter().find_map(|key| self.json(key)) {
                None => return Ok(None),
                Some(value) => value.as_f64(),
            },
        };
        let found = || number.map_or_else(|| "not a number".to_owned(), |n| n.to_string());
        number
            .and_then(take)
            .map(Some)
            .ok_or_else(|| self.wrong(&key, found(), expected))
    }
}

/// A scalar, or an array whose entries all agree: some writers repeat one number per layer, or 0 for layers that it does
/// not concern.
fn number(value: &Value) -> Option<f64> {
    Some(match value {
        Value::U8(n) => f64::from(*n),
        Value::I8(n) => f64::from(*n),
        Value::U16(n) => f64::from(*n),
        Value::I16(n) => f64::from(*n),
        Value::U32(n) => f64::from(*n),
        Value::I32(n) => f64::from(*n),
        Value::U64(n) => *n as f64,
        Value::I64(n) => *n as f64,
        Value::F32(n) => f64::from(*n),
        Value::F64(n) => *n,
        Value::Array(Array::U32(list)) => f64::from(uniform(list)?),
        Value::Array(Array::I32(list)) => f64::from(uniform(list)?),
        _ => return None,
    })
}

fn uniform<T: Copy + PartialEq + Default>(list: &[T]) -> Option<T> {
    let zero = T::default();
    let first = *list.iter().find(|n| **n != zero).or(list.first())?;
    let mut others = list.iter().filter(|n| **n != zero);
    others.all(|n| *n == first).then_some(first)
}
