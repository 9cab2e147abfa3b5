//! `POST /embedding` in its native form.

use serde_json::{Map, Value, json};

use super::prompt::prompts;
use crate::core::Failure;
use crate::core::request::Piece;
use crate::dialects::fields::Fields;

/// What is to be embedded.
#[derive(Clone, Debug, PartialEq)]
pub struct Embed {
    /// The model, where several are served.
    pub model: Option<String>,
    /// One text each.
    pub inputs: Vec<Vec<Piece>>,
    /// How vectors are scaled.
    pub norm: Norm,
}

/// How a vector is scaled (`embd_normalize`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Norm {
    /// Not at all: -1.
    None,
    /// The largest to 32760, the others along: 0.
    Int16,
    /// To the p-norm 1: 1 the sum of all, 2 the length.
    P(u32),
}

impl Norm {
    /// By llama-server's number; negative ones scale nothing.
    pub fn of(number: i64) -> Self {
        match u32::try_from(number) {
            Err(_) => Self::None,
            Ok(0) => Self::Int16,
            Ok(p) => Self::P(p),
        }
    }

    /// Scales a vector. One of zeros stays so.
    pub fn apply(self, vector: &mut [f32]) {
        let values = vector.iter().map(|value| f64::from(value.abs()));
        let sum = match self {
            Self::None => return,
            Self::Int16 => values.fold(0.0, f64::max) / 32760.0,
            Self::P(1) => values.sum(),
            Self::P(2) => values.map(|value| value * value).sum::<f64>().sqrt(),
            Self::P(p) => values
                .map(|value| value.powf(f64::from(p)))
                .sum::<f64>()
                .powf(1.0 / f64::from(p)),
        };
        if sum > 0.0 {
            for value in vector {
                *value = (f64::from(*value) / sum) as f32;
            }
        }
    }
}

/// Reads the body. `norm` holds where the body has none (`--embd-normalize`).
///
/// # Errors
/// With the field that says what cannot be.
pub fn request(body: Map<String, Value>, norm: i64) -> Result<Embed, Failure> {
    let mut fields = Fields::new(body);
    let content = fields.take_value("content").map(|value| ("content", value));
    let input = fields.take_value("input").map(|value| ("input", value));
    let (name, value) = input
        .or(content)
        .ok_or_else(|| Failure::invalid("input", "\"input\" or \"content\" must be provided"))?;
    let inputs = prompts(name, value)?;
    if let Some(index) = inputs.iter().position(Vec::is_empty) {
        return Err(Failure::invalid(
            name,
            format!("{name}: text {index} is empty"),
        ));
    }
    let norm = fields.take_i64("embd_normalize")?.unwrap_or(norm);
    Ok(Embed {
        model: fields.take_str("model")?,
        inputs,
        norm: Norm::of(norm),
    })
}

/// The answer: of each text the rows, which is one where the model pools.
pub fn answer(texts: &[Vec<Vec<f32>>]) -> Value {
    let each = texts.iter().enumerate();
    each.map(|(index, rows)| json!({ "index": index, "embedding": rows }))
        .collect()
}
