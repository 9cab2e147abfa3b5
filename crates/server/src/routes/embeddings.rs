//! Vectors and classes, for all dialects that have them in this form.

use axum::{Router, extract::State, response::Response, routing::post};
use serde_json::{Map, Value};

use super::{App, Asker, json, refused, stamp};
use crate::{
    core::{Embedded, Embedding, Failure},
    dialects::{
        classify,
        ollama::{self, AskedVectors, Route},
        openai::{self, embeddings},
    },
    edge::Json,
};

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/v1/embeddings", post(openai_embeddings))
        .route("/api/embed", post(ollama_embed))
        .route("/api/embeddings", post(ollama_embeddings))
        .route("/classify", post(classes))
        .route("/v1/classify", post(classes))
        .route("/predict", post(predictions))
}

/// Has vectors made, and writes down what they took.
pub(super) async fn embed(
    app: &App,
    asker: &Asker,
    embedding: Embedding,
) -> Result<Embedded, Failure> {
    let embedded = app.service.embed(embedding).await?;
    note(asker, &embedded.model, embedded.tokens);
    Ok(embedded)
}

/// Writes down what was read.
pub(super) fn note(asker: &Asker, model: &str, tokens: usize) {
    asker.account.model(model);
    asker.account.read(tokens, 0);
}

async fn openai_embeddings(
    State(app): State<App>,
    asker: Asker,
    Json(body): Json<Map<String, Value>>,
) -> Response {
    let made = async {
        let asked = embeddings::request(body)?;
        let embedded = embed(&app, &asker, asked.embedding.clone()).await?;
        embeddings::whole(&asked, embedded)
    };
    match made.await {
        Ok(whole) => json(200, &whole),
        Err(failure) => refused(&failure, openai::error(&failure)),
    }
}

async fn ollama_embed(
    State(app): State<App>,
    asker: Asker,
    Json(body): Json<Map<String, Value>>,
) -> Response {
    ollama_vectors(&app, &asker, ollama::embed(body)).await
}

async fn ollama_embeddings(
    State(app): State<App>,
    asker: Asker,
    Json(body): Json<Map<String, Value>>,
) -> Response {
    ollama_vectors(&app, &asker, ollama::embeddings(body)).await
}

async fn ollama_vectors(
    app: &App,
    asker: &Asker,
    asked: Result<AskedVectors, Failure>,
) -> Response {
    let made = async {
        let asked = asked?;
        let embedded = embed(app, asker, asked.embedding.clone()).await?;
        ollama::embedded(&asked, &embedded)
    };
    match made.await {
        Ok(whole) => json(200, &whole),
        Err(failure) => refused(&failure, ollama::error(Route::Embed, &failure)),
    }
}

async fn classes(
    State(app): State<App>,
    asker: Asker,
    Json(body): Json<Map<String, Value>>,
) -> Response {
    let told = async {
        let asked = classify::request(body)?;
        let classified = app
            .service
            .classify(&asked.model, &asked.load, asked.inputs);
        let classified = classified.await?;
        note(&asker, &classified.model, classified.tokens);
        Ok(classify::whole(&classified, &stamp()))
    };
    match told.await {
        Ok(whole) => json(200, &whole),
        Err(failure) => refused(&failure, openai::error(&failure)),
    }
}

async fn predictions(
    State(app): State<App>,
    asker: Asker,
    Json(body): Json<Map<String, Value>>,
) -> Response {
    let told = async {
        let asked = classify::predict(body)?;
        let model = super::model_name(&app, asked.model);
        let classified = app.service.classify(&model, &asked.load, asked.inputs);
        let classified = classified.await?;
        note(&asker, &classified.model, classified.tokens);
        Ok(classify::predictions(
            &classified,
            asked.raw_scores,
            asked.one,
        ))
    };
    match told.await {
        Ok(whole) => json(200, &whole),
        Err(failure) => refused(&failure, openai::error(&failure)),
    }
}
