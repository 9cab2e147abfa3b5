//! Refusals in Ollama's words (reference 5.5): a status and `{"error": "text"}`.

use hearth_store::Name;
use serde_json::{Value, json};

use crate::core::Failure;

/// Routes that say the same differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// `/api/embed` and `/api/embeddings`.
    Embed,
    /// `/api/copy`.
    Copy,
    /// All others.
    Other,
}

/// A refusal before anything was sent.
pub fn error(route: Route, failure: &Failure) -> (u16, Value) {
    (status(failure), json!({ "error": text(route, failure) }))
}

/// The last line of a stream that fails after its first: the status stays 200, and no line says `done`.
pub fn error_line(failure: &Failure) -> Value {
    let text = match failure {
        Failure::Internal(why) => {
            format!("an error was encountered while running the model: {why}")
        }
        other => text(Route::Other, other),
    };
    json!({ "error": text })
}

fn status(failure: &Failure) -> u16 {
    match failure {
        Failure::UnknownModel(_) => 404,
        Failure::Invalid { .. } | Failure::Unsupported { .. } | Failure::Context { .. } => 400,
        Failure::Busy { .. } => 503,
        Failure::Load(_) | Failure::Template(_) | Failure::Internal(_) => 500,
        Failure::Cancelled => 499,
    }
}

fn text(route: Route, failure: &Failure) -> String {
    match (route, failure) {
        (Route::Embed, Failure::UnknownModel(name)) => {
            format!("model \"{name}\" not found, try pulling it first")
        }
        (Route::Copy, Failure::UnknownModel(name)) => format!("model \"{name}\" not found"),
        (_, Failure::Unsupported { model, capability }) => unsupported(model, capability),
        (Route::Embed, Failure::Context { .. }) => {
            "the input length exceeds the context length".to_owned()
        }
        (_, Failure::Context { prompt, context }) => format!(
            "the prompt is longer than the context length: it has {prompt} tokens, the context holds {context} and one must be left for the answer; nothing was cut"
        ),
        _ => failure.to_string(),
    }
}

/// Whole purposes by the model's short name in quotes, single abilities by its full name without.
fn unsupported(model: &str, capability: &str) -> String {
    let name = model.parse::<Name>();
    let short = || {
        name.as_ref()
            .map_or_else(|_| model.to_owned(), ToString::to_string)
    };
    let full = || name.as_ref().map_or_else(|_| model.to_owned(), Name::full);
    match capability {
        "tools" | "insert" | "images" => format!("{} does not support {capability}", full()),
        _ => format!("\"{}\" does not support {capability}", short()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn texts_that_clients_look_at() {
        let model = || "registry.ollama.ai/library/m:latest".to_owned();
        let unsupported = |capability| Failure::Unsupported {
            model: model(),
            capability,
        };
        let context = || Failure::Context {
            prompt: 10,
            context: 8,
        };
        let busy = || Failure::Busy {
            retry_after: Duration::from_secs(1),
        };
        for (route, failure, status, text) in [
            (
                Route::Other,
                Failure::UnknownModel("x".into()),
                404,
                "model 'x' not found",
            ),
            (
                Route::Other,
                Failure::UnknownModel(String::new()),
                404,
                "model '' not found",
            ),
            (
                Route::Embed,
                Failure::UnknownModel("x".into()),
                404,
                "model \"x\" not found, try pulling it first",
            ),
            (
                Route::Copy,
                Failure::UnknownModel("x".into()),
                404,
                "model \"x\" not found",
            ),
            (
                Route::Other,
                unsupported("generate"),
                400,
                "\"m:latest\" does not support generate",
            ),
            (
                Route::Other,
                unsupported("chat"),
                400,
                "\"m:latest\" does not support chat",
            ),
            (
                Route::Other,
                unsupported("thinking"),
                400,
                "\"m:latest\" does not support thinking",
            ),
            (
                Route::Other,
                unsupported("tools"),
                400,
                "registry.ollama.ai/library/m:latest does not support tools",
            ),
            (
                Route::Other,
                unsupported("insert"),
                400,
                "registry.ollama.ai/library/m:latest does not support insert",
            ),
            (
                Route::Other,
                unsupported("images"),
                400,
                "registry.ollama.ai/library/m:latest does not support images",
            ),
            (
                Route::Embed,
                context(),
                400,
                "the input length exceeds the context length",
            ),
            (
                Route::Other,
                context(),
                400,
                "the prompt is longer than the context length: it has 10 tokens, the context holds 8 and one must be left for the answer; nothing was cut",
            ),
            (
                Route::Other,
                busy(),
                503,
                "server busy, please try again.  maximum pending requests exceeded",
            ),
            (
                Route::Other,
                Failure::Load("no room".into()),
                500,
                "no room",
            ),
            (
                Route::Other,
                Failure::Template("template: x".into()),
                500,
                "template: x",
            ),
            (Route::Other, Failure::Cancelled, 499, "request canceled"),
            (Route::Other, Failure::invalid("think", "bad"), 400, "bad"),
        ] {
            assert_eq!(error(route, &failure), (status, json!({ "error": text })));
        }
    }

    #[test]
    fn a_stream_that_fails_says_so() {
        let text = "an error was encountered while running the model: x";
        assert_eq!(
            error_line(&Failure::Internal("x".into())),
            json!({ "error": text })
        );
        assert_eq!(
            error_line(&Failure::Cancelled),
            json!({"error": "request canceled"})
        );
    }
}
