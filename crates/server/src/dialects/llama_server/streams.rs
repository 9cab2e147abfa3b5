//! Streams that can be gone on with after the connection broke: `/v1/stream` and `/v1/streams/lookup`.

use serde_json::{Map, Value, json};

use super::error::body;
use crate::core::Failure;
use crate::dialects::fields::Fields;

/// Bytes of a conversation's id.
const LONGEST_ID: usize = 256;

/// What becomes of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Its conversation.
    pub conversation: String,
    /// Bytes that it had so far.
    pub total_bytes: usize,
    /// When it began, in seconds since 1970.
    pub started: u64,
    /// When it ended, in seconds since 1970; none while it runs.
    pub completed: Option<u64>,
}

/// The id of a conversation, as the header `X-Conversation-Id` or `conv_id` has it.
///
/// # Errors
/// It is empty, too long, or not of visible characters of ASCII.
pub fn conversation(name: &'static str, id: &[u8]) -> Result<String, Failure> {
    let visible = |id: &&[u8]| {
        let length = 1..=LONGEST_ID;
        length.contains(&id.len()) && id.iter().all(|byte| (b' '..=b'~').contains(byte))
    };
    let text = Some(id)
        .filter(visible)
        .and_then(|id| std::str::from_utf8(id).ok());
    text.map(str::to_owned).ok_or_else(|| {
        let message = format!("{name} must be 1 to {LONGEST_ID} visible characters of ASCII");
        Failure::invalid(name, message)
    })
}

/// The byte that a stream is gone on with from.
///
/// # Errors
/// It is no number.
pub fn from(text: Option<&str>) -> Result<usize, Failure> {
    let text = text.filter(|text| !text.is_empty()).unwrap_or("0");
    text.parse().map_err(|_| {
        let message = format!("from must be a count of bytes, got '{text}'");
        Failure::invalid("from", message)
    })
}

/// The conversations that `POST /v1/streams/lookup` asks for.
///
/// # Errors
/// They are no list of strings.
pub fn lookup(body: Map<String, Value>) -> Result<Vec<String>, Failure> {
    let mut fields = Fields::new(body);
    Ok(fields.take_strings("conversation_ids")?.unwrap_or_default())
}

/// Whether an id that a client knows means a conversation: also the one it has with each model, `id::model`.
pub fn means(id: &str, conversation: &str) -> bool {
    let rest = conversation.strip_prefix(id);
    !id.is_empty() && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// The answer to a lookup.
pub fn looked_up(streams: &[Status]) -> Value {
    let each = streams.iter().map(|stream| {
        json!({
            "conversation_id": stream.conversation, "is_done": stream.completed.is_some(),
            "total_bytes": stream.total_bytes, "started_at": stream.started,
            "completed_at": stream.completed.unwrap_or(0),
        })
    });
    each.collect()
}

/// There is no stream of a conversation.
pub fn unknown() -> (u16, Value) {
    body(404, "Stream not found or expired", "not_found_error")
}

/// What a stream is to be gone on with from was dropped.
pub fn dropped() -> (u16, Value) {
    let message =
        "the stream does not hold these bytes any more: ask for a later offset or ask anew";
    body(400, message, "invalid_request_error")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_offsets() {
        let long = "x".repeat(LONGEST_ID + 1);
        for bad in ["", "a\nb", "ä", long.as_str()] {
            assert!(conversation("conv_id", bad.as_bytes()).is_err(), "{bad}");
        }
        assert_eq!(conversation("conv_id", b"a::b c").unwrap(), "a::b c");
        for (text, expected) in [
            (None, Some(0)),
            (Some(""), Some(0)),
            (Some("17"), Some(17)),
            (Some("-1"), None),
            (Some("99999999999999999999999"), None),
        ] {
            assert_eq!(from(text).ok(), expected, "{text:?}");
        }
    }

    #[test]
    fn an_id_means_its_conversations_with_all_models() {
        for (id, name, expected) in [
            ("a", "a", true),
            ("a", "a::bard", true),
            ("a", "ab", false),
            ("a", "a:bard", false),
            ("a::bard", "a", false),
            ("", "", false),
            ("", "::x", false),
        ] {
            assert_eq!(means(id, name), expected, "{id} {name}");
        }
    }

    #[test]
    fn what_is_told_of_streams() {
        let running = Status {
            conversation: "a".to_owned(),
            total_bytes: 5,
            started: 7,
            completed: None,
        };
        let done = Status {
            completed: Some(9),
            ..running.clone()
        };
        assert_eq!(
            looked_up(&[running, done]),
            json!([
                {"conversation_id": "a", "is_done": false, "total_bytes": 5, "started_at": 7, "completed_at": 0},
                {"conversation_id": "a", "is_done": true, "total_bytes": 5, "started_at": 7, "completed_at": 9},
            ])
        );
        let asked = json!({"conversation_ids": ["a", "b"]});
        assert_eq!(
            lookup(asked.as_object().unwrap().clone()).unwrap(),
            ["a", "b"]
        );
        assert!(lookup(Map::from_iter([("conversation_ids".to_owned(), json!(3))])).is_err());
    }
}
