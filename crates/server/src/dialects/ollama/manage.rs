//! Copies, deletions, contents, and the routes that have a fixed answer (reference 5.18).

use hearth_store::{Digest, Error, Name};
use serde_json::{Map, Value, json};

use super::super::Fields;
use super::common::{model, model_is_required};
use super::error::{Route, error};
use crate::core::{Failure, models::without_paths};

/// The release of Ollama whose interface this is: clients compare it with the least one that they want.
pub const VERSION: &str = "0.32.15";

/// The answer of `/api/version`. hearth's own version has a key of its own: the first must be a dotted number.
pub fn version(own: &str) -> Value {
    json!({ "version": VERSION, "hearth": own })
}

/// The answer of `/api/status`: there is no hosted service here.
pub fn status() -> Value {
    json!({ "cloud": { "disabled": true, "source": "config" } })
}

/// Routes of the hosted service: method, path (with the router's wildcards), status and body.
pub fn hosted() -> [(&'static str, &'static str, u16, Value); 6] {
    let refused = |text: &str| json!({ "error": text });
    let unknown = || refused("you are not currently signed in");
    let disabled =
        |what: &str| refused(&format!("ollama cloud is disabled: {what} is unavailable"));
    [
        ("POST", "/api/me", 401, refused("unauthorized")),
        ("POST", "/api/signout", 401, unknown()),
        ("DELETE", "/api/user/keys/{key}", 401, unknown()),
        (
            "POST",
            "/api/experimental/web_search",
            403,
            disabled("web search"),
        ),
        (
            "POST",
            "/api/experimental/web_fetch",
            403,
            disabled("web fetch"),
        ),
        (
            "GET",
            "/api/experimental/model-recommendations",
            200,
            json!({ "recommendations": [] }),
        ),
    ]
}

/// Reads a body of `/api/copy`: source and destination.
///
/// # Errors
/// One is no name.
pub fn asked_copy(body: Map<String, Value>) -> Result<(Name, Name), Failure> {
    let mut fields = Fields::new(body);
    let mut name = |field: &str| {
        let text = fields.take_str(field)?.unwrap_or_default();
        let invalid = |_| Failure::invalid(field, format!("{field} {text:?} is invalid"));
        text.parse::<Name>().map_err(invalid)
    };
    Ok((name("source")?, name("destination")?))
}

/// Reads a body of `/api/delete`.
///
/// # Errors
/// It names no model.
pub fn asked_delete(body: Map<String, Value>) -> Result<Name, Failure> {
    let text = model(&mut Fields::new(body))?;
    if text.is_empty() {
        return Err(model_is_required());
    }
    let invalid = |_| Failure::invalid("model", format!("name {text:?} is invalid"));
    text.parse().map_err(invalid)
}

/// The digest in the path of `/api/blobs/…`.
///
/// # Errors
/// It is none.
pub fn digest(text: &str) -> Result<Digest, Failure> {
    text.parse()
        .map_err(|_| Failure::invalid("digest", "invalid digest format"))
}

/// The refusal of a content that is not what its digest says.
pub fn digest_mismatch(expected: &Digest, found: &Digest) -> (u16, Value) {
    let text = format!("digest mismatch, expected \"{expected}\", got \"{found}\"");
    (400, json!({ "error": text }))
}

/// What the store says went wrong, with the status where nothing was sent yet. Names, digests and addresses of registries
/// stay in the text, places on this machine do not: whoever asks must not learn what files there are (CVE-2024-39719).
pub fn store_error(route: Route, failed: &Error) -> (u16, Value) {
    let (status, text) = match failed {
        Error::NotFound(name) => return error(route, &Failure::UnknownModel(name.clone())),
        Error::Absent { .. } => (404, "pull model manifest: file does not exist".to_owned()),
        Error::Name(hearth_store::NameError::Cloud(_)) => (400, failed.to_string()),
        Error::Name(_) => (400, "invalid model name".to_owned()),
        Error::Io { source, .. } => (500, format!("a file of the store: {source}")),
        Error::NoSpace { needed, free, .. } => (
            507,
            format!("the store needs {needed} more bytes, and {free} are free: make room"),
        ),
        _ => (status_of(failed), without_paths(failed)),
    };
    (status, json!({ "error": text }))
}

fn status_of(failed: &Error) -> u16 {
    match failed {
        Error::Invalid { .. }
        | Error::Digest(_)
        | Error::Modelfile(_)
        | Error::Format(_)
        | Error::TooLarge { .. } => 400,
        Error::Pinned { .. } => 409,
        Error::Cancelled => 499,
        Error::Network { .. }
        | Error::Status { .. }
        | Error::Refused { .. }
        | Error::Mismatch { .. }
        | Error::Manifest { .. } => 502,
        Error::Busy(_) => 503,
        _ => 500,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn a_version_is_a_dotted_number() {
        let answer = version("0.1.0");
        let parts: Vec<&str> = answer["version"].as_str().unwrap().split('.').collect();
        assert_eq!(parts.len(), 3);
        assert!(parts.iter().all(|part| part.parse::<u32>().is_ok()));
        assert_eq!(answer["hearth"], "0.1.0");
        assert_eq!(status()["cloud"]["disabled"], true);
    }

    #[test]
    fn hosted_routes_are_refused_in_text() {
        for (method, path, status, body) in hosted() {
            assert!(path.starts_with("/api/") && ["GET", "POST", "DELETE"].contains(&method));
            assert_eq!(body["error"].is_string(), status != 200, "{path}");
        }
    }

    #[test]
    fn copies_and_deletions() {
        let (from, to) = asked_copy(map(json!({"source": "a", "destination": "b:c"}))).unwrap();
        assert_eq!(
            (from.to_string(), to.to_string()),
            ("a:latest".to_owned(), "b:c".to_owned())
        );
        for (body, field, text) in [
            (
                json!({"source": "a b", "destination": "b"}),
                "source",
                "source \"a b\" is invalid",
            ),
            (
                json!({"source": "a"}),
                "destination",
                "destination \"\" is invalid",
            ),
        ] {
            assert_eq!(
                asked_copy(map(body)).unwrap_err(),
                Failure::invalid(field, text)
            );
        }
        assert_eq!(
            asked_delete(map(json!({"name": "a"}))).unwrap().to_string(),
            "a:latest"
        );
        for (body, text) in [
            (json!({}), "model is required"),
            (json!({"model": "a b"}), "name \"a b\" is invalid"),
        ] {
            assert_eq!(
                asked_delete(map(body)).unwrap_err(),
                Failure::invalid("model", text)
            );
        }
        let (a, b) = (Digest::of(b"a"), Digest::of(b"b"));
        assert_eq!(digest(&a.to_string()).unwrap(), a);
        assert_eq!(
            digest("x").unwrap_err(),
            Failure::invalid("digest", "invalid digest format")
        );
        let text = format!("digest mismatch, expected \"{a}\", got \"{b}\"");
        assert_eq!(digest_mismatch(&a, &b), (400, json!({ "error": text })));
    }

    #[test]
    fn what_the_store_says_in_ollamas_words() {
        let name = || "m:latest".to_owned();
        for (route, error, status, text) in [
            (
                Route::Other,
                Error::NotFound(name()),
                404,
                "model 'm:latest' not found",
            ),
            (
                Route::Copy,
                Error::NotFound(name()),
                404,
                "model \"m:latest\" not found",
            ),
            (
                Route::Other,
                Error::Absent {
                    name: name(),
                    registry: "r".into(),
                },
                404,
                "pull model manifest: file does not exist",
            ),
            (
                Route::Other,
                Error::Invalid {
                    what: "template error".into(),
                    why: "x".into(),
                },
                400,
                "template error: x",
            ),
            (
                Route::Other,
                Error::Invalid {
                    what: "/home/me/store/blobs/sha256-00".into(),
                    why: "not a model".into(),
                },
                400,
                "(file) not a model",
            ),
            (
                Route::Other,
                Error::Io {
                    path: "/home/me/my store/x".into(),
                    source: std::io::ErrorKind::PermissionDenied.into(),
                },
                500,
                "a file of the store: permission denied",
            ),
            (
                Route::Other,
                Error::NoSpace {
                    what: "x".into(),
                    needed: 2,
                    free: 1,
                    place: "/home/me".into(),
                },
                507,
                "the store needs 2 more bytes, and 1 are free: make room",
            ),
        ] {
            assert_eq!(
                store_error(route, &error),
                (status, json!({ "error": text }))
            );
        }
    }
}
