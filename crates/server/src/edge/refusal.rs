//! Why a request is refused, and how each family of clients wants to be told.

use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

/// Which family of clients a path belongs to; it decides the shape of errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Style {
    /// `{"error": "text"}`.
    Ollama,
    /// `{"error": {"message", "type", "param", "code"}}`.
    OpenAi,
    /// `{"type": "error", "error": {"type", "message"}, "request_id"}`.
    Anthropic,
    /// `{"error": {"code", "message", "type"}}` with the status as the code.
    LlamaServer,
}

/// The longest prefix first.
const STYLES: &[(&str, Style)] = &[
    ("/v1/messages", Style::Anthropic),
    ("/v1", Style::OpenAi),
    ("/api", Style::Ollama),
];

impl Style {
    /// The style of a normalised path.
    pub fn of(path: &str) -> Self {
        STYLES
            .iter()
            .find(|(prefix, _)| {
                path.strip_prefix(prefix)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            })
            .map_or(Self::LlamaServer, |(_, style)| *style)
    }
}

/// The reasons for which a request is refused, whatever the dialect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The request says what cannot be: 400.
    Invalid,
    /// No key, or none that is known: 401.
    Authentication,
    /// The key does not reach so far: 403.
    Permission,
    /// No such path or thing: 404.
    NotFound,
    /// The path exists and takes another method: 405.
    Method,
    /// The body did not come in time: 408.
    Timeout,
    /// More bytes than the limit: 413.
    TooLarge,
    /// An encoding of the body that is not understood: 415.
    Encoding,
    /// Too many requests or tokens: 429.
    RateLimit,
    /// The client went away: 499, which nobody sees.
    Cancelled,
    /// Something broke here: 500.
    Internal,
    /// This server does not do that: 501.
    NotSupported,
    /// Too many wait already: 503.
    Overloaded,
}

/// A kind with its status and its names at OpenAI and Ollama's `/v1`, Anthropic and llama-server.
type Row = (Kind, u16, &'static str, &'static str, &'static str);

const KINDS: &[Row] = &[
    (
        Kind::Invalid,
        400,
        "invalid_request_error",
        "invalid_request_error",
        "invalid_request_error",
    ),
    (
        Kind::Authentication,
        401,
        "authentication_error",
        "authentication_error",
        "authentication_error",
    ),
    (
        Kind::Permission,
        403,
        "permission_error",
        "permission_error",
        "permission_error",
    ),
    (
        Kind::NotFound,
        404,
        "not_found_error",
        "not_found_error",
        "not_found_error",
    ),
    (
        Kind::Method,
        405,
        "invalid_request_error",
        "invalid_request_error",
        "invalid_request_error",
    ),
    (
        Kind::Timeout,
        408,
        "timeout_error",
        "timeout_error",
        "invalid_request_error",
    ),
    (
        Kind::TooLarge,
        413,
        "invalid_request_error",
        "request_too_large",
        "invalid_request_error",
    ),
    (
        Kind::Encoding,
        415,
        "invalid_request_error",
        "invalid_request_error",
        "invalid_request_error",
    ),
    (
        Kind::RateLimit,
        429,
        "rate_limit_error",
        "rate_limit_error",
        "unavailable_error",
    ),
    (
        Kind::Cancelled,
        499,
        "api_error",
        "api_error",
        "server_error",
    ),
    (
        Kind::Internal,
        500,
        "server_error",
        "api_error",
        "server_error",
    ),
    (
        Kind::NotSupported,
        501,
        "api_error",
        "api_error",
        "not_supported_error",
    ),
    (
        Kind::Overloaded,
        503,
        "api_error",
        "overloaded_error",
        "unavailable_error",
    ),
];

impl Kind {
    fn row(self) -> &'static Row {
        KINDS
            .iter()
            .find(|row| row.0 == self)
            .expect("a test checks that every kind has a row")
    }

    /// Its HTTP status.
    pub fn status(self) -> StatusCode {
        StatusCode::from_u16(self.row().1).expect("a test checks every status")
    }

    /// What a dialect calls it; Ollama does not.
    pub fn name(self, style: Style) -> &'static str {
        let (_, _, open_ai, anthropic, llama_server) = *self.row();
        match style {
            Style::Ollama | Style::OpenAi => open_ai,
            Style::Anthropic => anthropic,
            Style::LlamaServer => llama_server,
        }
    }

    /// The kind that fits a status best.
    pub fn of_status(status: StatusCode) -> Self {
        let code = status.as_u16();
        KINDS.iter().find(|row| row.1 == code).map_or(
            if code < 500 {
                Self::Invalid
            } else {
                Self::Internal
            },
            |row| row.0,
        )
    }
}

/// A refusal, before a dialect puts it in its own words. The message never has another caller's words, paths of this
/// machine, or the text of a panic.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// The HTTP status; that of the kind unless changed.
    pub status: StatusCode,
    /// Why.
    pub kind: Kind,
    /// What was expected, what was found, and what to do.
    pub message: String,
    /// The field of the body it is about.
    pub param: Option<String>,
    /// A word for programs, as OpenAI's `code`: `model_not_found`, `context_length_exceeded`.
    pub code: Option<String>,
    /// When to try again.
    pub retry_after: Option<Duration>,
}

impl Refusal {
    /// A refusal with the status of its kind.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            status: kind.status(),
            kind,
            message: message.into(),
            param: None,
            code: None,
            retry_after: None,
        }
    }

    /// A field of the body that says what cannot be.
    pub fn invalid(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            param: Some(param.into()),
            ..Self::new(Kind::Invalid, message)
        }
    }

    /// Says when to try again.
    #[must_use]
    pub fn after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }
}

/// The body of an error as a dialect writes it. `request_id` is shown where the dialect has a place for it.
pub fn error_value(style: Style, refusal: &Refusal, request_id: Option<&str>) -> Value {
    let kind = refusal.kind.name(style);
    let message = &refusal.message;
    match style {
        Style::Ollama => json!({ "error": message }),
        Style::OpenAi => json!({ "error": {
            "message": message, "type": kind, "param": refusal.param, "code": open_ai_code(refusal),
        } }),
        Style::Anthropic => json!({
            "type": "error", "error": { "type": kind, "message": message }, "request_id": request_id,
        }),
        Style::LlamaServer => json!({ "error": {
            "code": refusal.status.as_u16(), "message": message, "type": kind,
        } }),
    }
}

/// OpenAI's own words where a kind has one.
fn open_ai_code(refusal: &Refusal) -> Option<&str> {
    refusal.code.as_deref().or(match refusal.kind {
        Kind::Authentication => Some("invalid_api_key"),
        Kind::RateLimit => Some("rate_limit_exceeded"),
        _ => None,
    })
}

/// A refusal as an answer in the dialect's style. The request id is added by whoever serves.
pub fn error_body(style: Style, refusal: &Refusal) -> Response {
    error_response(style, refusal, None)
}

pub(crate) fn error_response(
    style: Style,
    refusal: &Refusal,
    request_id: Option<&str>,
) -> Response {
    let text = error_value(style, refusal, request_id).to_string();
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = refusal.status;
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/json; charset=utf-8"),
    );
    if let Some(wait) = refusal.retry_after {
        // Whole seconds, and never 0: clients would come back at once.
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
    }
    response
}

/// A refusal with the style of the path it happened on: what the extractors answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Refused {
    /// How the client wants to be told.
    pub style: Style,
    /// The id of the request.
    pub request_id: Option<String>,
    /// Why.
    pub refusal: Refusal,
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        error_response(self.style, &self.refusal, self.request_id.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Kind; 13] = [
        Kind::Invalid,
        Kind::Authentication,
        Kind::Permission,
        Kind::NotFound,
        Kind::Method,
        Kind::Timeout,
        Kind::TooLarge,
        Kind::Encoding,
        Kind::RateLimit,
        Kind::Cancelled,
        Kind::Internal,
        Kind::NotSupported,
        Kind::Overloaded,
    ];

    #[test]
    fn every_kind_has_one_row_and_a_status_of_its_own() {
        assert_eq!(KINDS.len(), ALL.len());
        for kind in ALL {
            assert_eq!(Kind::of_status(kind.status()), kind);
        }
    }

    #[test]
    fn the_path_decides_the_style() {
        for (path, style) in [
            ("/api/chat", Style::Ollama),
            ("/apis", Style::LlamaServer),
            ("/v1/messages", Style::Anthropic),
            ("/v1/messages/count_tokens", Style::Anthropic),
            ("/v1/messagesx", Style::OpenAi),
            ("/v1/models", Style::OpenAi),
            ("/completion", Style::LlamaServer),
            ("/", Style::LlamaServer),
        ] {
            assert_eq!(Style::of(path), style, "{path}");
        }
    }

    #[test]
    fn each_dialect_reads_its_own_error() {
        let refusal =
            Refusal::new(Kind::RateLimit, "slow \"down\"").after(Duration::from_millis(1200));
        for (style, expected) in [
            (Style::Ollama, r#"{"error":"slow \"down\""}"#),
            (
                Style::OpenAi,
                r#"{"error":{"message":"slow \"down\"","type":"rate_limit_error","param":null,"code":"rate_limit_exceeded"}}"#,
            ),
            (
                Style::Anthropic,
                r#"{"type":"error","error":{"type":"rate_limit_error","message":"slow \"down\""},"request_id":"r"}"#,
            ),
            (
                Style::LlamaServer,
                r#"{"error":{"code":429,"message":"slow \"down\"","type":"unavailable_error"}}"#,
            ),
        ] {
            assert_eq!(
                error_value(style, &refusal, Some("r")).to_string(),
                expected
            );
            let response = error_body(style, &refusal);
            assert_eq!(response.status(), 429);
            assert_eq!(response.headers()[RETRY_AFTER], "2");
        }
    }
}
