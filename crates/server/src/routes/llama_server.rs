//! llama-server's routes.

use axum::{Router, response::Response, routing::get};

use super::{App, json};
use crate::dialects::llama_server;

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/health", get(health))
        .route("/v1/health", get(health))
}

async fn health() -> Response {
    json(200, &llama_server::control::health())
}
