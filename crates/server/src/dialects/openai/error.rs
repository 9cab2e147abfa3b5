//! Refusals as OpenAI's clients read them: `{"error": {"message", "type", "param", "code"}}`.

use serde_json::{Value, json};

use crate::core::Failure;

/// The status and the body of a refusal. In the middle of a stream the body is sent alone, as one more frame.
///
/// `code` is what programs test: `model_not_found`, `context_length_exceeded`, …
pub fn error(failure: &Failure) -> (u16, Value) {
    let (status, kind, code) = class(failure);
    let param = match failure {
        Failure::Invalid { field, .. } if !field.is_empty() => Some(field.as_str()),
        Failure::UnknownModel(_) => Some("model"),
        Failure::Context { .. } => Some("messages"),
        _ => None,
    };
    let mut error = json!({
        "message": failure.to_string(), "type": kind, "param": param, "code": code,
    });
    if let Failure::Context { prompt, context } = failure {
        // Under the names of llama-server, whose clients cut the conversation by them.
        error["n_prompt_tokens"] = json!(prompt);
        error["n_ctx"] = json!(context);
    }
    (status, json!({ "error": error }))
}

/// The body of an error for something that is not a model and is not there: a response, a file, a batch.
pub fn not_found(kind: &str, id: &str) -> (u16, Value) {
    let message = format!("No {kind} found with id '{id}'.");
    let body = json!({ "error": {
        "message": message, "type": "invalid_request_error", "param": "id", "code": "not_found",
    } });
    (404, body)
}

/// `/v1/moderations` has no model behind it here, and an answer of "nothing flagged" would be a lie.
pub fn moderations() -> (u16, Value) {
    let body = json!({ "error": {
        "message": "moderations are not supported: no model that classifies text is part of this server. \
                    Ask a chat model to judge the text, or remove the moderation step",
        "type": "invalid_request_error", "param": null, "code": "not_supported",
    } });
    (501, body)
}

fn class(failure: &Failure) -> (u16, &'static str, Option<&'static str>) {
    match failure {
        Failure::UnknownModel(_) => (404, "not_found_error", Some("model_not_found")),
        Failure::Invalid { .. } => (400, "invalid_request_error", Some("invalid_value")),
        Failure::Unsupported { .. } => {
            (400, "invalid_request_error", Some("unsupported_capability"))
        }
        Failure::Context { .. } => (
            400,
            "invalid_request_error",
            Some("context_length_exceeded"),
        ),
        Failure::Busy { .. } => (503, "server_error", Some("server_overloaded")),
        Failure::Load(_) => (500, "server_error", Some("model_load_failed")),
        Failure::Template(_) => (400, "invalid_request_error", Some("template_error")),
        Failure::Internal(_) => (500, "server_error", Some("internal_error")),
        Failure::Cancelled => (499, "server_error", Some("request_cancelled")),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn every_failure_has_a_status_a_type_and_a_code() {
        let invalid = Failure::invalid("tools[0].type", "tools[0].type must be \"function\"");
        let unsupported = Failure::Unsupported {
            model: "m:latest".into(),
            capability: "images",
        };
        let context = Failure::Context {
            prompt: 9000,
            context: 4096,
        };
        let busy = Failure::Busy {
            retry_after: Duration::from_secs(1),
        };
        for (failure, status, kind, param, code) in [
            (
                Failure::UnknownModel("x".into()),
                404,
                "not_found_error",
                json!("model"),
                "model_not_found",
            ),
            (
                invalid,
                400,
                "invalid_request_error",
                json!("tools[0].type"),
                "invalid_value",
            ),
            (
                Failure::invalid("", "the body must be an object"),
                400,
                "invalid_request_error",
                json!(null),
                "invalid_value",
            ),
            (
                unsupported,
                400,
                "invalid_request_error",
                json!(null),
                "unsupported_capability",
            ),
            (
                context,
                400,
                "invalid_request_error",
                json!("messages"),
                "context_length_exceeded",
            ),
            (busy, 503, "server_error", json!(null), "server_overloaded"),
            (
                Failure::Load("no memory".into()),
                500,
                "server_error",
                json!(null),
                "model_load_failed",
            ),
            (
                Failure::Template("bad".into()),
                400,
                "invalid_request_error",
                json!(null),
                "template_error",
            ),
            (
                Failure::Internal("broken".into()),
                500,
                "server_error",
                json!(null),
                "internal_error",
            ),
            (
                Failure::Cancelled,
                499,
                "server_error",
                json!(null),
                "request_cancelled",
            ),
        ] {
            let (found, body) = error(&failure);
            assert_eq!(found, status, "{failure:?}");
            let body = &body["error"];
            assert_eq!(body["message"], failure.to_string());
            assert_eq!(body["type"], kind);
            assert_eq!(body["param"], param);
            assert_eq!(body["code"], code);
        }
    }

    #[test]
    fn a_model_that_is_not_there_is_named() {
        let (_, body) = error(&Failure::UnknownModel("qwen9:1b".into()));
        assert_eq!(body["error"]["message"], "model 'qwen9:1b' not found");
    }

    #[test]
    fn a_full_context_tells_its_counts() {
        let failure = Failure::Context {
            prompt: 9000,
            context: 4096,
        };
        let (_, body) = error(&failure);
        assert_eq!(body["error"]["n_prompt_tokens"], 9000);
        assert_eq!(body["error"]["n_ctx"], 4096);
    }
}
