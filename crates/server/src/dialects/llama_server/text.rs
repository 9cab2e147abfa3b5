//! `/tokenize`, `/detokenize` and `/apply-template`.

use serde_json::{Map, Value, json};

use super::prompt::prompt;
use crate::core::Failure;
use crate::core::request::Piece;
use crate::dialects::fields::{Fields, integer, wrong};

/// `POST /tokenize`.
#[derive(Clone, Debug, PartialEq)]
pub struct Tokenize {
    /// What is to become tokens; nothing where the field was absent.
    pub content: Vec<Piece>,
    /// Add the tokens that begin and end a text.
    pub add_special: bool,
    /// Names of special tokens in the text become those tokens.
    pub parse_special: bool,
    /// Answer with the texts of the tokens.
    pub with_pieces: bool,
    /// The model, where several are served.
    pub model: Option<String>,
}

/// Reads the body of `POST /tokenize`.
///
/// # Errors
/// With the field that says what cannot be.
pub fn tokenize(body: Map<String, Value>) -> Result<Tokenize, Failure> {
    let mut fields = Fields::new(body);
    let content = match fields.take_value("content") {
        None => Vec::new(),
        Some(value) => prompt("content", value)?,
    };
    Ok(Tokenize {
        content,
        add_special: fields.take_bool("add_special")?.unwrap_or(false),
        parse_special: fields.take_bool("parse_special")?.unwrap_or(true),
        with_pieces: fields.take_bool("with_pieces")?.unwrap_or(false),
        model: fields.take_str("model")?,
    })
}

/// The answer: tokens with their bytes. A piece that is no text is a list of bytes.
pub fn tokenized(tokens: &[(u32, Vec<u8>)], with_pieces: bool) -> Value {
    let each = tokens.iter().map(|(id, bytes)| match with_pieces {
        false => json!(id),
        true => {
            let piece =
                std::str::from_utf8(bytes).map_or_else(|_| json!(bytes), |text| json!(text));
            json!({ "id": id, "piece": piece })
        }
    });
    json!({ "tokens": each.collect::<Vec<_>>() })
}

/// Reads the body of `POST /detokenize`: the model, where several are served, and the tokens.
///
/// # Errors
/// With the field that says what cannot be.
pub fn detokenize(body: Map<String, Value>) -> Result<(Option<String>, Vec<u32>), Failure> {
    let mut fields = Fields::new(body);
    let list = fields.take_list("tokens")?.unwrap_or_default();
    let each = list.into_iter().enumerate().map(|(index, value)| {
        integer(&value)
            .and_then(|id| u32::try_from(id).ok())
            .ok_or_else(|| wrong(&format!("tokens[{index}]"), "a token", &value))
    });
    let tokens = each.collect::<Result<_, _>>()?;
    Ok((fields.take_str("model")?, tokens))
}

/// The answer: bytes as text, with U+FFFD for what is none.
pub fn detokenized(bytes: &[u8]) -> Value {
    json!({ "content": String::from_utf8_lossy(bytes) })
}

/// The answer to `POST /apply-template`, whose body is a chat's.
pub fn applied(prompt: &str) -> Value {
    json!({ "prompt": prompt })
}
