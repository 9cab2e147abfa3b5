//! OpenAI's routes.

mod batches;
mod chat;
mod completions;
mod desk;
mod files;
mod models;
mod responses;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    response::Response,
    routing::{get, post},
};
use serde_json::Value;

use super::{App, json, refused};
use crate::{core::Failure, dialects::openai};

pub(crate) use batches::work;
pub(super) use completions::Completions;
pub(crate) use desk::Desk;
pub(super) use responses::{Responding, read as read_response};

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/v1/chat/completions", post(chat::completions))
        .route("/chat/completions", post(chat::completions))
        .route(
            "/v1/chat/completions/input_tokens",
            post(chat::input_tokens),
        )
        .route("/chat/completions/input_tokens", post(chat::input_tokens))
        .route("/v1/completions", post(completions::completions))
        .route("/v1/models", get(models::list))
        .route("/v1/models/{*id}", get(models::one).delete(models::remove))
        .route("/v1/moderations", post(moderations))
        .route("/v1/responses", post(responses::create))
        .route("/responses", post(responses::create))
        .route("/v1/responses/input_tokens", post(responses::input_tokens))
        .route("/responses/input_tokens", post(responses::input_tokens))
        .route(
            "/v1/responses/{id}",
            get(responses::one).delete(responses::remove),
        )
        .route("/v1/responses/{id}/input_items", get(responses::items))
        .route(
            "/v1/files",
            post(files::upload)
                .layer(DefaultBodyLimit::max(files::form_bytes()))
                .get(files::list),
        )
        .route("/v1/files/{id}", get(files::one).delete(files::remove))
        .route("/v1/files/{id}/content", get(files::content))
        .route("/v1/batches", post(batches::create).get(batches::list))
        .route("/v1/batches/{id}", get(batches::one))
        .route("/v1/batches/{id}/cancel", post(batches::cancel))
}

/// An answer, or its refusal in OpenAI's words.
fn told(answer: Result<Value, Failure>) -> Response {
    match answer {
        Ok(value) => json(200, &value),
        Err(failure) => refused(&failure, openai::error(&failure)),
    }
}

/// An answer about something that may not be there.
fn found(kind: &str, id: &str, answer: Result<Option<Value>, Failure>) -> Response {
    match answer.transpose() {
        Some(answer) => told(answer),
        None => {
            let (status, body) = openai::error::not_found(kind, id);
            json(status, &body)
        }
    }
}

async fn moderations() -> Response {
    let (status, body) = openai::error::moderations();
    json(status, &body)
}
