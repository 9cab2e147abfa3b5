//! llama-server's routes.

use axum::{
    Router,
    extract::State,
    response::Response,
    routing::{get, post},
};
use hearth_tokenizer::{EncodeOptions, Tokenizer};
use serde_json::{Map, Value};

use super::{App, json, refused};
use crate::{
    core::{
        Failure,
        models::{Lease, blocking},
        request::{Load, Piece},
    },
    dialects::llama_server::{
        self, control,
        text::{self, Tokenize},
    },
    edge::Json,
    library::BUILT_IN,
};

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/health", get(health))
        .route("/v1/health", get(health))
        .route("/tokenize", post(tokenize))
        .route("/detokenize", post(detokenize))
}

async fn health() -> Response {
    json(200, &control::health())
}

/// The model of a request: without a name, the one that is loaded, else the built-in one.
async fn model(app: &App, name: Option<String>) -> Result<Lease, Failure> {
    let models = app.service.models();
    let loaded = || {
        models
            .loaded()
            .first()
            .map(|model| model.title().to_owned())
    };
    let name = name.or_else(loaded).unwrap_or_else(|| BUILT_IN.to_owned());
    models.acquire(&name, &Load::default()).await
}

fn told(answer: Result<Value, Failure>) -> Response {
    match answer {
        Ok(value) => json(200, &value),
        Err(failure) => refused(&failure, llama_server::error(&failure)),
    }
}

async fn tokenize(State(app): State<App>, Json(body): Json<Map<String, Value>>) -> Response {
    let answer = async {
        let asked = text::tokenize(body)?;
        let model = model(&app, asked.model.clone()).await?;
        let with_pieces = asked.with_pieces;
        let work = move || {
            let tokenizer = model.engine().tokenizer();
            let bytes = |id: u32| (id, tokenizer.token_bytes(id).to_vec());
            ids(tokenizer, &asked)
                .into_iter()
                .map(bytes)
                .collect::<Vec<_>>()
        };
        Ok(text::tokenized(&blocking(work).await?, with_pieces))
    };
    told(answer.await)
}

/// The tokens of a mixed text; what begins and ends a text goes around its first piece.
fn ids(tokenizer: &Tokenizer, asked: &Tokenize) -> Vec<u32> {
    let pieces = asked
        .content
        .iter()
        .enumerate()
        .map(|(index, piece)| match piece {
            Piece::Tokens(tokens) => tokens.clone(),
            Piece::Text(text) => {
                let options = EncodeOptions {
                    add_special: asked.add_special && index == 0,
                    parse_special: asked.parse_special,
                };
                tokenizer.encode(text, options)
            }
        });
    pieces.flatten().collect()
}

async fn detokenize(State(app): State<App>, Json(body): Json<Map<String, Value>>) -> Response {
    let answer = async {
        let (name, tokens) = text::detokenize(body)?;
        let model = model(&app, name).await?;
        let tokenizer = model.engine().tokenizer();
        let bytes: Vec<u8> = tokens
            .iter()
            .flat_map(|&id| tokenizer.token_bytes(id))
            .copied()
            .collect();
        Ok(text::detokenized(&bytes))
    };
    told(answer.await)
}
