//! Vectors of texts and scores of documents.

use axum::{extract::State, response::Response};
use hearth_engine::normalize;
use hearth_model::Pooling;
use serde_json::{Map, Value};

use super::{
    super::{App, Asker, embeddings, stamp},
    model, name_model, refuse, said, told,
};
use crate::{
    core::{
        Embedding, Failure, Ranking,
        models::{Lease, blocking},
        prepare::tokens,
        request::Piece,
    },
    dialects::{
        llama_server::{self, embedding, rerank as ranking},
        openai::embeddings as openai,
    },
    edge::Json,
    library::encode,
};

/// Vectors in the native form: a list of rows for each text, which is one row unless the model does not pool.
pub(super) async fn embedding(
    State(app): State<App>,
    asker: Asker,
    Json(mut body): Json<Map<String, Value>>,
) -> Response {
    let served = match name_model(&app, &asker, &mut body).await {
        Ok(served) if served.embeddings => served,
        Ok(_) => return said(llama_server::switched_off("--embeddings")),
        Err(failure) => return refuse(&failure),
    };
    let made = async {
        let asked = embedding::request(body, served.normalize)?;
        let model = model(&app, &asker, asked.model).await?;
        let own = model.engine().model().spec().pooling();
        let pooled = served.pooling.unwrap_or(own) != Pooling::None;
        let width = model.engine().model().spec().width;
        let wanted = Embedding {
            model: model.title().to_owned(),
            inputs: pieces(model, asked.inputs).await?,
            raw: true,
            pooling: served.pooling,
            ..Embedding::default()
        };
        let embedded = embeddings::embed(&app, &asker, wanted).await?;
        let texts = embedded.vectors.into_iter().map(|mut vector| {
            // Rows of tokens stay as they are.
            match pooled {
                true => {
                    normalize(&mut vector, asked.norm);
                    vec![vector]
                }
                false => vector.chunks(width.max(1)).map(<[f32]>::to_vec).collect(),
            }
        });
        Ok(embedding::answer(&texts.collect::<Vec<_>>()))
    };
    told(made.await)
}

/// Each text as one piece: what has text and tokens becomes tokens.
async fn pieces(model: Lease, inputs: Vec<Vec<Piece>>) -> Result<Vec<Piece>, Failure> {
    blocking(move || {
        let tokenizer = model.engine().tokenizer();
        let joined = |pieces: Vec<Piece>| {
            let ids = pieces
                .into_iter()
                .enumerate()
                .map(|(index, piece)| match piece {
                    Piece::Tokens(ids) => ids,
                    Piece::Text(text) if index == 0 => encode(tokenizer, &text),
                    Piece::Text(text) => tokens(tokenizer, &text),
                });
            Piece::Tokens(ids.flatten().collect())
        };
        let one = |mut pieces: Vec<Piece>| match pieces.len() {
            1 => pieces.remove(0),
            _ => joined(pieces),
        };
        inputs.into_iter().map(one).collect()
    })
    .await
}

/// OpenAI's form, of a server that is asked as llama-server: a model need not be named.
pub(super) async fn openai_embeddings(
    State(app): State<App>,
    asker: Asker,
    Json(mut body): Json<Map<String, Value>>,
) -> Response {
    let served = match name_model(&app, &asker, &mut body).await {
        Ok(served) if served.embeddings => served,
        Ok(_) => return said(llama_server::switched_off("--embeddings")),
        Err(failure) => return refuse(&failure),
    };
    let made = async {
        // Those who ask this server took the tokens from it.
        body.insert("allow_token_ids".to_owned(), Value::Bool(true));
        let asked = openai::request(body)?;
        if served.pooling == Some(Pooling::None) {
            let message = "--pooling none gives a vector for each token, which this form has no place for: ask /embedding";
            return Err(Failure::invalid("input", message));
        }
        let wanted = Embedding {
            pooling: served.pooling,
            ..asked.embedding.clone()
        };
        let embedded = embeddings::embed(&app, &asker, wanted).await?;
        openai::whole(&asked, embedded)
    };
    told(made.await)
}

/// Scores of documents.
pub(super) async fn rerank(
    State(app): State<App>,
    asker: Asker,
    Json(mut body): Json<Map<String, Value>>,
) -> Response {
    match name_model(&app, &asker, &mut body).await {
        Ok(served) if served.rerank => {}
        Ok(_) => return said(llama_server::switched_off("--reranking")),
        Err(failure) => return refuse(&failure),
    }
    let made = async {
        let asked = ranking::request(body)?;
        let model = model(&app, &asker, asked.model.clone()).await?;
        let wanted = Ranking {
            model: model.title().to_owned(),
            query: asked.query.clone(),
            documents: asked.documents.clone(),
            ..Ranking::default()
        };
        let mut ranked = app.service.rerank(wanted).await?;
        embeddings::note(&asker, &ranked.model, ranked.tokens);
        let classifier = model.engine().model().spec().pooled.classifier.as_ref();
        let is_share = classifier.is_some_and(|classifier| classifier.softmax);
        if !asked.raw_scores && !is_share {
            for score in &mut ranked.scores {
                *score = 1.0 / (1.0 + (-*score).exp());
            }
        }
        Ok(ranking::answer(
            &asked,
            &stamp(),
            &ranked.model,
            &ranked.scores,
            ranked.tokens,
        ))
    };
    told(made.await)
}
