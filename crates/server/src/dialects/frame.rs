//! What a dialect sends, before the transport writes it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A piece of a streamed answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// JSON: a line of NDJSON, or `data: …` of an event stream.
    Json(String),
    /// JSON with a name: `event: …` and `data: …`.
    Event {
        /// The name.
        name: &'static str,
        /// The JSON.
        data: String,
    },
    /// `data: [DONE]`.
    Done,
    /// A line that every reader of event streams skips; it shows that the connection is alive.
    Comment,
}

impl Frame {
    /// A value as JSON.
    pub fn json(value: &impl std::fmt::Display) -> Self {
        Self::Json(value.to_string())
    }

    /// A value as JSON, with a name.
    pub fn event(name: &'static str, value: &impl std::fmt::Display) -> Self {
        Self::Event {
            name,
            data: value.to_string(),
        }
    }

    /// The frame in an event stream, the empty line that ends it included.
    pub fn to_sse(&self) -> String {
        match self {
            Self::Json(data) => format!("data: {data}\n\n"),
            Self::Event { name, data } => format!("event: {name}\ndata: {data}\n\n"),
            Self::Done => "data: [DONE]\n\n".to_owned(),
            Self::Comment => ":\n\n".to_owned(),
        }
    }

    /// The frame as a line of NDJSON; `None` where NDJSON has no such thing.
    pub fn to_line(&self) -> Option<String> {
        match self {
            Self::Json(data) | Self::Event { data, .. } => Some(format!("{data}\n")),
            Self::Done | Self::Comment => None,
        }
    }

    /// Its JSON, where it has one.
    pub fn data(&self) -> Option<&str> {
        match self {
            Self::Json(data) | Self::Event { data, .. } => Some(data),
            Self::Done | Self::Comment => None,
        }
    }
}

/// What an answer has that nobody can compute: a dialect is given it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// When the request came.
    pub created: SystemTime,
    /// Letters and digits that no other answer has. A dialect puts its own prefix before it (`chatcmpl-`, `msg_`) and
    /// makes the ids of parts from it.
    pub id: String,
}

impl Stamp {
    /// A stamp of a time and an id.
    pub fn new(created: SystemTime, id: impl Into<String>) -> Self {
        Self {
            created,
            id: id.into(),
        }
    }

    /// Seconds since 1970; 0 for a clock that is before it.
    pub fn seconds(&self) -> u64 {
        seconds(self.created)
    }
}

/// Seconds since 1970; 0 for a clock that is before it.
pub fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO)
        .as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_as_text() {
        let event = |data: &str| Frame::Event {
            name: "ping",
            data: data.to_owned(),
        };
        for (frame, sse, line) in [
            (
                Frame::Json("{}".into()),
                "data: {}\n\n",
                Some("{}\n".to_owned()),
            ),
            (
                event("{}"),
                "event: ping\ndata: {}\n\n",
                Some("{}\n".to_owned()),
            ),
            (Frame::Done, "data: [DONE]\n\n", None),
            (Frame::Comment, ":\n\n", None),
        ] {
            assert_eq!(frame.to_sse(), sse);
            assert_eq!(frame.to_line(), line);
        }
    }

    #[test]
    fn stamps_in_seconds() {
        let time = UNIX_EPOCH + Duration::from_millis(1_790_000_000_900);
        assert_eq!(Stamp::new(time, "a").seconds(), 1_790_000_000);
        assert_eq!(seconds(UNIX_EPOCH - Duration::from_secs(1)), 0);
    }
}
