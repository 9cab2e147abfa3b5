//! `images`: base64 of pictures or sound, which become parts of a message in the form that templates know.

use hearth_chat::Part;
use serde_json::{Map, Value, json};

use super::super::Fields;
use crate::core::Failure;

/// Takes `images` as parts.
///
/// # Errors
/// An item is no string of base64, or neither PNG, JPEG, WebP nor WAV.
pub(super) fn take(fields: &mut Fields) -> Result<Vec<Part>, Failure> {
    let list = fields.take_list("images")?.unwrap_or_default();
    let parts = list.into_iter().enumerate().map(|(index, value)| {
        let path = format!("{}[{index}]", fields.path("images"));
        let Value::String(text) = value else {
            // A client library writes bytes as an object of numbered keys.
            let message = format!("{path} must be a string of base64");
            return Err(Failure::invalid(path, message));
        };
        part(text).map_err(|why| Failure::invalid(&path, format!("{path}: {why}")))
    });
    parts.collect()
}

fn part(text: String) -> Result<Part, String> {
    let first = check(&text)?;
    let kind = KINDS.iter().find(|(_, begin, then)| {
        let behind = first.get(8..).unwrap_or_default();
        first.starts_with(begin) && behind.starts_with(then)
    });
    let (name, value) = match kind {
        Some(("audio/wav", ..)) => ("input_audio", json!({ "data": text, "format": "wav" })),
        Some((mime, ..)) => (
            "image_url",
            json!({ "url": format!("data:{mime};base64,{text}") }),
        ),
        None => return Err("expected PNG, JPEG or WebP, or WAV for sound".to_owned()),
    };
    let fields = Map::from_iter([(name.to_owned(), value)]);
    Ok(Part {
        kind: name.to_owned(),
        fields,
    })
}

/// A type, how its files begin, and what they have from byte 8 on.
const KINDS: &[(&str, &[u8], &[u8])] = &[
    ("image/png", b"\x89PNG\r\n\x1a\n", b""),
    ("image/jpeg", b"\xff\xd8\xff", b""),
    ("image/webp", b"RIFF", b"WEBP"),
    ("audio/wav", b"RIFF", b"WAVE"),
];

/// Checks base64 of the standard alphabet with padding; gives its first 12 bytes.
fn check(text: &str) -> Result<Vec<u8>, String> {
    let value = |byte: u8| match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let bytes = text.as_bytes();
    let body = bytes.strip_suffix(b"=").unwrap_or(bytes);
    let body = body.strip_suffix(b"=").unwrap_or(body);
    let illegal = |at: usize| format!("illegal base64 data at input byte {at}");
    if let Some(at) = body.iter().position(|byte| value(*byte).is_none()) {
        return Err(illegal(at));
    }
    if !bytes.len().is_multiple_of(4) || bytes.is_empty() {
        return Err(illegal(bytes.len()));
    }
    let groups = body.get(..body.len().min(16)).unwrap_or_default().chunks(4);
    Ok(groups
        .flat_map(|group| {
            let bits = group.iter().filter_map(|byte| value(*byte));
            let bits = bits.fold(0_u32, |sum, six| sum << 6 | u32::from(six));
            let bits = bits << (6 * (4 - group.len()));
            bits.to_be_bytes()
                .into_iter()
                .skip(1)
                .take(group.len() * 3 / 4)
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(images: Value) -> Result<Vec<Part>, String> {
        let mut fields = Fields::of("messages[0]", json!({ "images": images })).unwrap();
        take(&mut fields).map_err(|failure| failure.to_string())
    }

    #[test]
    fn pictures_and_sound_by_their_beginnings() {
        for (text, kind, field) in [
            (
                "iVBORw0KGgoAAAAN",
                "image_url",
                "data:image/png;base64,iVBORw0KGgoAAAAN",
            ),
            (
                "/9j/4AAQSkZJRgAB",
                "image_url",
                "data:image/jpeg;base64,/9j/4AAQSkZJRgAB",
            ),
            (
                "UklGRiQAAABXRUJQ",
                "image_url",
                "data:image/webp;base64,UklGRiQAAABXRUJQ",
            ),
            ("UklGRiQAAABXQVZF", "input_audio", "wav"),
        ] {
            let parts = of(json!([text])).unwrap();
            assert_eq!(parts[0].kind, kind);
            assert!(
                parts[0].fields[kind].to_string().contains(field),
                "{parts:?}"
            );
        }
        assert_eq!(of(json!([])).unwrap(), []);
        assert_eq!(of(Value::Null).unwrap(), []);
    }

    #[test]
    fn what_is_no_picture_is_refused_by_its_place() {
        for (images, message) in [
            (
                json!(["data:image/png;base64,iVBORw0KGgo="]),
                "messages[0].images[0]: illegal base64 data at input byte 4",
            ),
            (
                json!(["iVBORw0KGgo"]),
                "messages[0].images[0]: illegal base64 data at input byte 11",
            ),
            (
                json!([""]),
                "messages[0].images[0]: illegal base64 data at input byte 0",
            ),
            (
                json!(["aGVsbG8gd29ybGQh"]),
                "messages[0].images[0]: expected PNG, JPEG or WebP, or WAV for sound",
            ),
            (
                json!(["aA=="]),
                "messages[0].images[0]: expected PNG, JPEG or WebP, or WAV for sound",
            ),
            (
                json!([{"0": 137, "1": 80}]),
                "messages[0].images[0] must be a string of base64",
            ),
            (
                json!({}),
                "messages[0].images must be a list, got an object",
            ),
        ] {
            assert_eq!(of(images).unwrap_err(), message);
        }
    }
}
