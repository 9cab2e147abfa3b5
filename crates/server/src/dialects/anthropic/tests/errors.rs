use std::time::Duration;

use serde_json::json;

use super::*;

#[test]
fn every_failure_in_anthropics_words() {
    let text = str::to_owned;
    for (failure, status, kind, message) in [
        (
            Failure::UnknownModel(text("x")),
            404,
            "not_found_error",
            "model 'x' not found",
        ),
        (
            Failure::invalid("top_k", "must be a number"),
            400,
            "invalid_request_error",
            "top_k: must be a number",
        ),
        (
            Failure::invalid("max_tokens", "max_tokens is required and must be positive"),
            400,
            "invalid_request_error",
            "max_tokens is required and must be positive",
        ),
        (
            Failure::invalid("", "no JSON"),
            400,
            "invalid_request_error",
            "no JSON",
        ),
        (
            Failure::Unsupported {
                model: text("m:latest"),
                capability: "tools",
            },
            400,
            "invalid_request_error",
            "\"m:latest\" does not support tools",
        ),
        (
            Failure::Busy {
                retry_after: Duration::from_secs(1),
            },
            503,
            "overloaded_error",
            "server busy, please try again.  maximum pending requests exceeded",
        ),
        (
            Failure::Load(text("no memory")),
            500,
            "api_error",
            "no memory",
        ),
        (
            Failure::Template(text("bad roles")),
            400,
            "invalid_request_error",
            "bad roles",
        ),
        (Failure::Internal(text("oops")), 500, "api_error", "oops"),
        (Failure::Cancelled, 499, "api_error", "request canceled"),
    ] {
        let body = json!({"type": "error", "error": {"type": kind, "message": message}});
        assert_eq!(error(&failure), (status, body));
    }
}

#[test]
fn a_prompt_that_is_too_long_is_told_as_clients_expect_it() {
    let (status, body) = error(&Failure::Context {
        prompt: 9000,
        context: 4096,
    });
    let message = body["error"]["message"].as_str().unwrap();
    assert_eq!(
        (status, &body["error"]["type"]),
        (400, &json!("invalid_request_error"))
    );
    assert!(
        message.starts_with("prompt is too long: 9000 tokens > 4095 maximum"),
        "{message}"
    );
}

#[test]
fn threads_are_refused_in_the_words_that_make_clients_fall_back() {
    let failure = request(body(json!({"model": "m", "thread": {"type": "create"}}))).unwrap_err();
    assert_eq!(
        error(&failure),
        (
            400,
            json!({"type": "error", "error": {
                "type": "invalid_request_error",
                "message": "threads are not kept here: send the whole conversation",
                "details": {"error_code": "thread_unsupported_request", "unsupported": ["thread"]},
            }})
        )
    );
}

#[test]
fn models_in_anthropics_form() {
    let time = "2026-01-02T03:04:05Z";
    assert_eq!(
        models(&[("a:latest", time), ("b:7b", time)]),
        json!({
            "data": [
                {"type": "model", "id": "a:latest", "display_name": "a:latest", "created_at": time},
                {"type": "model", "id": "b:7b", "display_name": "b:7b", "created_at": time},
            ],
            "first_id": "a:latest", "last_id": "b:7b", "has_more": false,
        })
    );
    assert_eq!(models(&[])["first_id"], Value::Null);
}
