//! Which routes need which scope.

use axum::http::Method;

use crate::edge::keys::Scope;

/// What nobody needs a key for: whether the server lives, and what it could be asked.
const PUBLIC: &[&str] = &["/", "/health", "/v1/health", "/openapi.json", "/docs"];

/// Routes that ask a model something, and change nothing; a part `*` is any one part. Every other way to change
/// something needs `manage`, so a route that is forgotten here is closed, not open.
const USE: &[&str] = &[
    "/api/chat",
    "/api/generate",
    "/api/embed",
    "/api/embeddings",
    "/api/show",
    "/api/rerank",
    // Of the hosted service, which is not here: each has one fixed answer.
    "/api/me",
    "/api/signout",
    "/api/user/keys/*",
    "/api/experimental/web_search",
    "/api/experimental/web_fetch",
    "/classify",
    "/v1/classify",
    "/predict",
    "/v1/chat/completions",
    "/v1/chat/completions/control",
    "/v1/chat/completions/input_tokens",
    "/v1/completions",
    "/v1/embeddings",
    "/v1/responses",
    "/v1/responses/input_tokens",
    "/v1/responses/*",
    "/v1/responses/*/cancel",
    "/v1/files",
    "/v1/files/*",
    "/v1/batches",
    "/v1/batches/*/cancel",
    "/v1/messages",
    "/v1/messages/count_tokens",
    "/v1/rerank",
    "/v1/reranking",
    "/v1/streams/lookup",
    "/v1/stream",
    "/v1/audio/transcriptions",
    "/v1/moderations",
    "/v2/rerank",
    "/chat/completions",
    "/chat/completions/input_tokens",
    "/completions",
    "/completion",
    "/responses",
    "/responses/input_tokens",
    "/embeddings",
    "/embedding",
    "/rerank",
    "/reranking",
    "/infill",
    "/tokenize",
    "/detokenize",
    "/apply-template",
    "/audio/transcriptions",
];

/// Routes that tell what others do, or change something although they are only read.
const MANAGE: &[&str] = &[
    "/api/usage",
    "/api/blobs/*",
    "/slots",
    "/slots/*",
    "/models/sse",
    "/api/admin/*",
];

/// Whether a request needs no key.
pub(crate) fn is_public(method: &Method, path: &str) -> bool {
    (method == Method::GET || method == Method::HEAD) && PUBLIC.contains(&path)
}

/// The scope that a request on a normalised path needs.
pub fn scope_of(method: &Method, path: &str) -> Scope {
    let listed = |routes: &[&str]| routes.iter().any(|route| fits(route, path));
    let reads = method == Method::GET || method == Method::HEAD || method == Method::OPTIONS;
    if listed(MANAGE) || !(reads || listed(USE)) {
        Scope::Manage
    } else {
        Scope::Use
    }
}

fn fits(route: &str, path: &str) -> bool {
    let mut parts = path.split('/');
    route.split('/').all(|expected| {
        parts
            .next()
            .is_some_and(|part| expected == "*" || expected == part)
    }) && parts.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cve_2025_63389_changes_need_manage() {
        for (method, path) in [
            ("POST", "/api/pull"),
            ("POST", "/api/push"),
            ("POST", "/api/create"),
            ("POST", "/api/copy"),
            ("DELETE", "/api/delete"),
            ("POST", "/api/blobs/sha256:00"),
            ("HEAD", "/api/blobs/sha256:00"),
            ("POST", "/models/load"),
            ("POST", "/models/unload"),
            ("DELETE", "/models"),
            ("POST", "/props"),
            ("POST", "/slots/0"),
            ("GET", "/slots"),
            ("GET", "/api/usage"),
            ("POST", "/lora-adapters"),
            ("POST", "/anything/new"),
            ("PATCH", "/v1/models/x"),
            ("DELETE", "/v1/models/x"),
            ("PUT", "/api/tags"),
        ] {
            assert_eq!(
                scope_of(&method.parse().unwrap(), path),
                Scope::Manage,
                "{method} {path}"
            );
        }
        for (method, path) in [
            ("POST", "/api/chat"),
            ("POST", "/api/show"),
            ("POST", "/api/me"),
            ("DELETE", "/api/user/keys/x"),
            ("POST", "/v1/messages"),
            ("GET", "/v1/models/org%2Fname"),
            ("GET", "/api/tags"),
            ("HEAD", "/"),
            ("DELETE", "/v1/responses/resp_1"),
            ("POST", "/v1/files"),
            ("DELETE", "/v1/files/file-1"),
            ("POST", "/v1/batches"),
            ("POST", "/v1/batches/batch_1/cancel"),
            ("POST", "/completion"),
            ("GET", "/metrics"),
        ] {
            assert_eq!(
                scope_of(&method.parse().unwrap(), path),
                Scope::Use,
                "{method} {path}"
            );
        }
    }

    #[test]
    fn only_life_is_public() {
        assert!(is_public(&Method::GET, "/health") && is_public(&Method::HEAD, "/"));
        assert!(
            !is_public(&Method::POST, "/")
                && !is_public(&Method::GET, "/metrics")
                && !is_public(&Method::GET, "/api/tags")
        );
    }
}
