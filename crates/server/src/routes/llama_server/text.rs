//! `/tokenize`, `/detokenize` and `/apply-template`.

use axum::{extract::State, response::Response};
use hearth_tokenizer::{EncodeOptions, Tokenizer};
use serde_json::{Map, Value};

use super::{
    super::{App, Asker},
    chat, model, told,
};
use crate::{
    core::{models::blocking, request::Piece},
    dialects::llama_server::text::{self, Tokenize},
    edge::Json,
};

pub(super) async fn tokenize(
    State(app): State<App>,
    asker: Asker,
    Json(body): Json<Map<String, Value>>,
) -> Response {
    let answer = async {
        let asked = text::tokenize(body)?;
        let model = model(&app, &asker, asked.model.clone()).await?;
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

pub(super) async fn detokenize(
    State(app): State<App>,
    asker: Asker,
    Json(body): Json<Map<String, Value>>,
) -> Response {
    let answer = async {
        let (name, tokens) = text::detokenize(body)?;
        let model = model(&app, &asker, name).await?;
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

/// The prompt of a chat, with nothing generated.
pub(super) async fn apply_template(
    State(app): State<App>,
    asker: Asker,
    Json(body): Json<Map<String, Value>>,
) -> Response {
    let answer = async {
        let read = chat::read(&app, &asker, body).await?;
        let (prepared, _) = app.service.render(read.asked.request).await?;
        Ok(text::applied(&prepared.prompt))
    };
    told(answer.await)
}
