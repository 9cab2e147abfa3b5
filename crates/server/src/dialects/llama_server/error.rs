//! Refusals in llama-server's words: the code is the status, a number.

use serde_json::{Value, json};

use crate::core::Failure;

/// The status and the body of a refusal.
pub fn error(failure: &Failure) -> (u16, Value) {
    let (status, kind) = kind(failure);
    let mut error = json!({ "code": status, "message": message(failure), "type": kind });
    if let Failure::Context { prompt, context } = failure {
        error["n_prompt_tokens"] = Value::from(*prompt);
        error["n_ctx"] = Value::from(*context);
    }
    (status, json!({ "error": error }))
}

/// What every path but the public ones answers until the model is there.
pub fn loading() -> (u16, Value) {
    body(503, "Loading model", "unavailable_error")
}

/// What a path answers that the command line did not switch on; `flag` is how it is: `--metrics`.
pub fn switched_off(flag: &str) -> (u16, Value) {
    let message = format!("This server does not support this endpoint. Start it with `{flag}`");
    body(501, &message, "not_supported_error")
}

/// `/slots?fail_on_no_slot=1` where all are taken.
pub fn no_slot() -> (u16, Value) {
    body(503, "no slot available", "unavailable_error")
}

/// An unknown path.
pub fn not_found() -> (u16, Value) {
    body(404, "File Not Found", "not_found_error")
}

pub(super) fn body(status: u16, message: &str, kind: &str) -> (u16, Value) {
    (
        status,
        json!({ "error": { "code": status, "message": message, "type": kind } }),
    )
}

fn kind(failure: &Failure) -> (u16, &'static str) {
    match failure {
        Failure::UnknownModel(_) => (404, "not_found_error"),
        Failure::Invalid { .. } | Failure::Template(_) => (400, "invalid_request_error"),
        Failure::Context { .. } => (400, "exceed_context_size_error"),
        Failure::Unsupported { .. } => (501, "not_supported_error"),
        Failure::Busy { .. } => (503, "unavailable_error"),
        Failure::Load(_) | Failure::Internal(_) => (500, "server_error"),
        Failure::Cancelled => (499, "server_error"),
    }
}

fn message(failure: &Failure) -> String {
    match failure {
        Failure::Context { prompt, context } => format!(
            "request ({prompt} tokens) exceeds the available context size ({context} tokens): {failure}"
        ),
        Failure::Invalid { field, message } if !message.contains(field.as_str()) => {
            format!("{field}: {message}")
        }
        _ => failure.to_string(),
    }
}
