//! llama-server's routes.

mod chat;
mod complete;
mod control;
mod describe;
mod downloads;
mod native;
mod others;
mod router;
mod running;
mod saved;
mod served;
mod setup;
mod slots;
mod streams;
mod text;
mod vectors;

use axum::{
    Router,
    extract::{Request, State},
    middleware::{Next, from_fn_with_state},
    response::Response,
    routing::{get, post},
};
use serde_json::{Map, Value};

use super::{App, Asker, json, refused};
use crate::{
    core::{Failure, models::Lease, request::Load},
    dialects::llama_server,
};

use router::choose;
pub(super) use running::Entered;
use running::Running;
use served::Served;
pub use served::{Section, named};
pub use setup::Setup;
pub(super) use slots::Slots;

/// The routes that every server has.
pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/health", get(control::health))
        .route("/v1/health", get(control::health))
        .route("/completion", post(complete::completion))
        .route("/completions", post(complete::completion))
        .route("/infill", post(complete::infill))
        .route("/tokenize", post(text::tokenize))
        .route("/detokenize", post(text::detokenize))
        .route("/apply-template", post(text::apply_template))
        .route("/embedding", post(vectors::embedding))
        .route("/embeddings", post(vectors::embedding))
        .route("/rerank", post(vectors::rerank))
        .route("/reranking", post(vectors::rerank))
        .route("/v1/rerank", post(vectors::rerank))
        .route("/v1/reranking", post(vectors::rerank))
        .route("/v2/rerank", post(vectors::rerank))
        .route("/api/rerank", post(vectors::rerank))
        .route("/props", get(control::props).post(control::set_props))
        .route("/slots", get(control::slots))
        .route("/slots/{id}", post(saved::slot))
        .route("/v1/chat/completions/control", post(running::control))
        .route(
            "/models",
            get(control::models)
                .post(router::pull)
                .delete(router::remove),
        )
        .route("/models/load", post(router::load))
        .route("/models/unload", post(router::unload))
        .route("/models/sse", get(router::events))
        .route("/v1/stream", get(streams::play).delete(streams::stop))
        .route("/v1/streams/lookup", post(streams::look_up))
        .route(
            "/lora-adapters",
            get(control::adapters).post(control::scale_adapters),
        )
}

/// The routes that others have in their own way, for a server that is asked as llama-server.
pub(super) fn own_routes() -> Router<App> {
    Router::new()
        .route("/v1/chat/completions", post(chat::completions))
        .route("/chat/completions", post(chat::completions))
        .route(
            "/v1/chat/completions/input_tokens",
            post(chat::input_tokens),
        )
        .route("/chat/completions/input_tokens", post(chat::input_tokens))
        .route("/v1/completions", post(others::completions))
        .route("/v1/responses", post(others::responses))
        .route("/responses", post(others::responses))
        .route("/v1/responses/input_tokens", post(others::response_tokens))
        .route("/responses/input_tokens", post(others::response_tokens))
        .route("/v1/messages", post(others::messages))
        .route("/v1/messages/count_tokens", post(others::message_tokens))
        .route("/v1/embeddings", post(vectors::openai_embeddings))
        .route("/v1/models", get(control::models))
        .fallback(|| async { said(llama_server::not_found()) })
}

/// Refuses everything until the model is there.
pub(super) fn guarded(app: &App, router: Router) -> Router {
    async fn wait(State(app): State<App>, request: Request, next: Next) -> Response {
        match app.llama.is_ready() {
            true => next.run(request).await,
            false => said(llama_server::loading()),
        }
    }
    router.layer(from_fn_with_state(app.clone(), wait))
}

/// `GET /metrics` where nobody switched it on.
pub fn without_metrics() -> Router {
    let off = || async { said(llama_server::switched_off("--metrics")) };
    Router::new().route("/metrics", get(off))
}

/// The model of a request.
async fn model(app: &App, asker: &Asker, given: Option<String>) -> Result<Lease, Failure> {
    let name = choose(app, asker, given).await?;
    app.service.models().acquire(&name, &Load::default()).await
}

/// Names the model in a body, which may leave it out. Comes back with how it is served.
async fn name_model<'a>(
    app: &'a App,
    asker: &Asker,
    body: &mut Map<String, Value>,
) -> Result<&'a Served, Failure> {
    let given = match body.get("model") {
        None | Some(Value::Null) => None,
        Some(Value::String(name)) => Some(name.clone()),
        // The dialect says what is wrong with it.
        Some(_) => return Ok(&app.llama.usual),
    };
    let name = choose(app, asker, given).await?;
    let served = app.llama.of_model(&name);
    body.insert("model".to_owned(), Value::from(name));
    Ok(served)
}

fn told(answer: Result<Value, Failure>) -> Response {
    match answer {
        Ok(value) => json(200, &value),
        Err(failure) => refuse(&failure),
    }
}

fn refuse(failure: &Failure) -> Response {
    refused(failure, llama_server::error(failure))
}

fn said((status, body): (u16, Value)) -> Response {
    json(status, &body)
}
