//! JSON files of a model directory: bounded, and tolerant of the numbers that Python writes.

use std::{fs, path::Path};

use serde::de::DeserializeOwned;

use crate::{Error, Result};

/// Largest JSON file that is read.
const LIMIT: u64 = 256 << 20;

/// Reads a JSON file of at most 256 MiB; `label` names it in messages. Python's `json` writes `NaN`, `Infinity` and
/// `-Infinity`, which JSON does not have: NaN becomes null, infinities the largest numbers of their sign (which are
/// infinite as f32).
///
/// # Errors
/// When the file cannot be read, is too large, or is not valid.
pub fn read<T: DeserializeOwned>(path: &Path, label: &str) -> Result<T> {
    let size = fs::metadata(path).map_err(|e| Error::io(path, e))?.len();
    if size > LIMIT {
        return Err(Error::invalid(
            label,
            format!("{size} bytes, at most {LIMIT} are read"),
        ));
    }
    parse(&fs::read(path).map_err(|e| Error::io(path, e))?)
        .map_err(|e| Error::invalid(label, format!("not valid JSON: {e}")))
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> serde_json::Result<T> {
    serde_json::from_slice(bytes).or_else(|strict| {
        let tolerant = without_special_numbers(bytes).ok_or(strict)?;
        serde_json::from_slice(&tolerant)
    })
}

/// The text with JSON numbers in place of Python's special ones, if there are any outside of strings.
fn without_special_numbers(bytes: &[u8]) -> Option<Vec<u8>> {
    const SPECIAL: [(&[u8], &[u8]); 3] = [
        (b"NaN", b"null"),
        (b"-Infinity", b"-1.7976931348623157e308"),
        (b"Infinity", b"1.7976931348623157e308"),
    ];
    let mut out = Vec::with_capacity(bytes.len());
    let (mut at, mut in_string, mut found) = (0, false, false);
    while at < bytes.len() {
        let rest = &bytes[at..];
        let special = SPECIAL
            .iter()
            .find(|(name, _)| !in_string && rest.starts_with(name));
        let taken = match (special, rest[0]) {
            (Some((name, number)), _) => {
                found = true;
                out.extend_from_slice(number);
                at += name.len();
                continue;
            }
            (None, b'\\') if in_string => 2.min(rest.len()),
            (None, b'"') => {
                in_string = !in_string;
                1
            }
            _ => 1,
        };
        out.extend_from_slice(&rest[..taken]);
        at += taken;
    }
    found.then_some(out)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn special_numbers_are_read_and_strings_are_left() {
        let cases = [
            ("[0.0, Infinity]", json!([0.0, f64::MAX])),
            ("{\"a\": -Infinity}", json!({"a": f64::MIN})),
            (
                r#"[NaN, "NaN \" Infinity"]"#,
                json!([null, "NaN \" Infinity"]),
            ),
            (r#"["\\", NaN]"#, json!(["\\", null])),
        ];
        for (text, want) in cases {
            assert_eq!(parse::<Value>(text.as_bytes()).unwrap(), want, "{text}");
        }
        for text in ["[Nan]", "NaNNaN", "\"\\", "[--Infinity]", ""] {
            assert!(parse::<Value>(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn depth_is_bounded() {
        let deep = "[".repeat(100_000) + "NaN";
        assert!(parse::<Value>(deep.as_bytes()).is_err());
    }
}
