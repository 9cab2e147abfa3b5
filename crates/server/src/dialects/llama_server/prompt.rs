//! Prompts of every shape.

use serde_json::Value;

use crate::core::Failure;
use crate::core::request::Piece;
use crate::dialects::fields::{Fields, integer, wrong};

/// Prompts of a field: a text, a list of tokens and texts, an object with `prompt_string`, or a list of those.
///
/// # Errors
/// With the place of what is none.
pub fn prompts(path: &str, value: Value) -> Result<Vec<Vec<Piece>>, Failure> {
    match value {
        // One number makes the list one prompt.
        Value::Array(list) if !list.iter().any(Value::is_number) => {
            if list.is_empty() {
                return Err(Failure::invalid(
                    path,
                    format!("{path} must not be an empty list"),
                ));
            }
            let each = list.into_iter().enumerate();
            each.map(|(index, value)| prompt(&format!("{path}[{index}]"), value))
                .collect()
        }
        other => Ok(vec![prompt(path, other)?]),
    }
}

/// One prompt.
///
/// # Errors
/// With the place of what is none.
pub fn prompt(path: &str, value: Value) -> Result<Vec<Piece>, Failure> {
    match value {
        Value::String(text) => Ok(vec![Piece::Text(text)]),
        Value::Array(list) => mixed(path, list),
        Value::Object(map) => {
            let mut fields = Fields::at(path, map);
            let text = fields.require_str("prompt_string")?;
            let media = fields.take_list("multimodal_data")?.unwrap_or_default();
            if !media.is_empty() {
                return Err(fields.refuse(
                    "multimodal_data",
                    "holds pictures or sounds, which a plain prompt cannot have here: use /v1/chat/completions",
                ));
            }
            Ok(vec![Piece::Text(text)])
        }
        other => Err(wrong(
            path,
            "a string, a list of tokens and strings, or an object with prompt_string",
            &other,
        )),
    }
}

fn mixed(path: &str, list: Vec<Value>) -> Result<Vec<Piece>, Failure> {
    let mut pieces: Vec<Piece> = Vec::new();
    for (index, value) in list.into_iter().enumerate() {
        if let Value::String(text) = value {
            pieces.push(Piece::Text(text));
            continue;
        }
        let Some(id) = integer(&value).and_then(|id| u32::try_from(id).ok()) else {
            let path = format!("{path}[{index}]");
            return Err(wrong(&path, "a token or a string", &value));
        };
        match pieces.last_mut() {
            Some(Piece::Tokens(ids)) => ids.push(id),
            _ => pieces.push(Piece::Tokens(vec![id])),
        }
    }
    Ok(pieces)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn shapes() {
        let text = |text: &str| Piece::Text(text.into());
        let ids = |ids: &[u32]| Piece::Tokens(ids.to_vec());
        for (value, expected) in [
            (json!("a"), vec![vec![text("a")]]),
            (json!(""), vec![vec![text("")]]),
            (json!([1, 2]), vec![vec![ids(&[1, 2])]]),
            (
                json!([1, "a", 2, 3.0]),
                vec![vec![ids(&[1]), text("a"), ids(&[2, 3])]],
            ),
            (json!(["a", "b"]), vec![vec![text("a")], vec![text("b")]]),
            (
                json!([[1, 2], "a", ["b", 3]]),
                vec![
                    vec![ids(&[1, 2])],
                    vec![text("a")],
                    vec![text("b"), ids(&[3])],
                ],
            ),
            (
                json!({"prompt_string": "a", "multimodal_data": []}),
                vec![vec![text("a")]],
            ),
            (
                json!([{"prompt_string": "a"}, "b"]),
                vec![vec![text("a")], vec![text("b")]],
            ),
            (json!([[]]), vec![vec![]]),
        ] {
            assert_eq!(
                prompts("prompt", value.clone()).unwrap(),
                expected,
                "{value}"
            );
        }
    }

    #[test]
    fn what_is_no_prompt_is_named() {
        for (value, field) in [
            (json!(3), "prompt"),
            (json!([]), "prompt"),
            (json!(true), "prompt"),
            (json!([1, true]), "prompt[1]"),
            (json!([-1]), "prompt[0]"),
            (json!([1.5]), "prompt[0]"),
            (json!(["a", null]), "prompt[1]"),
            (json!({"prompt": "a"}), "prompt.prompt_string"),
            (
                json!([{"prompt_string": "a", "multimodal_data": ["AA=="]}]),
                "prompt[0].multimodal_data",
            ),
        ] {
            let failure = prompts("prompt", value.clone()).unwrap_err();
            assert!(
                matches!(&failure, Failure::Invalid { field: found, .. } if found == field),
                "{value}: {failure:?}"
            );
        }
    }
}
