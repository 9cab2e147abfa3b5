//! Refusals in Anthropic's words.

use serde_json::{Value, json};

use crate::core::Failure;

/// The status and the body of a refusal. `request_id` is added by whoever serves.
///
/// A prompt that is too long is told in the words by which clients know that they have to shorten it.
pub fn error(failure: &Failure) -> (u16, Value) {
    let (status, kind) = kind(failure);
    let mut error = json!({ "type": kind, "message": message(failure) });
    if let Failure::Invalid { field, .. } = failure
        && field == "thread"
    {
        // Both SDKs send the request again without the field, and the whole conversation from then on.
        error["details"] = json!({
            "error_code": "thread_unsupported_request", "unsupported": ["thread"],
        });
    }
    (status, json!({ "type": "error", "error": error }))
}

fn kind(failure: &Failure) -> (u16, &'static str) {
    match failure {
        Failure::UnknownModel(_) => (404, "not_found_error"),
        Failure::Invalid { .. }
        | Failure::Unsupported { .. }
        | Failure::Context { .. }
        | Failure::Template(_) => (400, "invalid_request_error"),
        Failure::Busy { .. } => (503, "overloaded_error"),
        Failure::Load(_) | Failure::Internal(_) => (500, "api_error"),
        Failure::Cancelled => (499, "api_error"),
    }
}

fn message(failure: &Failure) -> String {
    match failure {
        Failure::Context { prompt, context } => {
            format!(
                "prompt is too long: {prompt} tokens > {} maximum: {failure}",
                context.saturating_sub(1)
            )
        }
        Failure::Invalid { field, message } if !message.contains(field.as_str()) => {
            format!("{field}: {message}")
        }
        _ => failure.to_string(),
    }
}
