//! `POST /embedding` in its native form.

use hearth_engine::Normalization;
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
    /// How vectors are scaled (`embd_normalize`).
    pub norm: Normalization,
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
        // Negative numbers scale nothing.
        norm: Normalization::from_number(norm.max(-1)).unwrap_or(Normalization::None),
    })
}

/// The answer: of each text the rows, which is one where the model pools.
pub fn answer(texts: &[Vec<Vec<f32>>]) -> Value {
    let each = texts.iter().enumerate();
    each.map(|(index, rows)| json!({ "index": index, "embedding": rows }))
        .collect()
}
