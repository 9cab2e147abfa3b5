//! Lark grammars as clients send them.

use serde_json::{Deserializer, Value};

use crate::{Error, Result};

const SCHEMA: &str = "%json";

/// The grammar with each schema after `%json` rewritten, so that it means what a schema on its own does and keeps the
/// same limits.
pub(crate) fn with_schemas(
    text: &str,
    mut rewrite: impl FnMut(&Value) -> Result<Value>,
) -> Result<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let plain = match rest.strip_prefix(SCHEMA) {
            Some(after) => {
                let (schema, length) = read_json(after)?;
                out.push_str(SCHEMA);
                out.push(' ');
                out.push_str(&rewrite(&schema)?.to_string());
                rest = &after[length..];
                continue;
            }
            None => lexeme(rest),
        };
        out.push_str(&rest[..plain]);
        rest = &rest[plain..];
    }
    Ok(out)
}

/// The length of what stands at the beginning and cannot hold a schema: a comment, a text, a regular expression, or one
/// character.
fn lexeme(text: &str) -> usize {
    let first = text.chars().next().map_or(0, char::len_utf8);
    if text.starts_with('#') || text.starts_with("//") {
        return text.find('\n').unwrap_or(text.len());
    }
    let quote = match text.as_bytes().first() {
        Some(&quote @ (b'"' | b'/')) => quote,
        _ => return first,
    };
    let mut escaped = false;
    for (index, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            byte if byte == quote => return index + 1,
            // A text ends with its line; the engine says what is wrong with it.
            b'\n' if quote == b'"' => return first,
            _ => {}
        }
    }
    first
}

/// The value that a text begins with, and its length.
fn read_json(text: &str) -> Result<(Value, usize)> {
    let mut values = Deserializer::from_str(text).into_iter::<Value>();
    let reason = match values.next() {
        Some(Ok(value)) => return Ok((value, values.byte_offset())),
        Some(Err(error)) => error.to_string(),
        None => "nothing".to_owned(),
    };
    let reason = format!("expected a JSON schema after `{SCHEMA}`, found {reason}");
    Err(Error::Lark { reason })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn schemas_are_found_where_they_are_schemas() {
        for (text, expected) in [
            (
                "start: %json {\"a\": \"}\"} b\nb: \"x\"",
                "start: %json 1 b\nb: \"x\"",
            ),
            ("start: %json{}|%json true\n", "start: %json 1|%json 1\n"),
            (
                "start: \"%json {\" /%json \\/{/ // %json {\n# %json {\nb: \"\\\"%json {\"",
                "start: \"%json {\" /%json \\/{/ // %json {\n# %json {\nb: \"\\\"%json {\"",
            ),
            ("a: \"x\n%json 2", "a: \"x\n%json 1"),
            ("a: / %json 2", "a: / %json 1"),
            ("é: \"é\" %json null", "é: \"é\" %json 1"),
        ] {
            let found = with_schemas(text, |_| Ok(json!(1)));
            assert_eq!(found.as_deref(), Ok(expected));
        }
        for text in ["start: %json", "start: %json {", "start: %json x"] {
            assert!(with_schemas(text, |_| Ok(json!(1))).is_err(), "{text}");
        }
    }
}
