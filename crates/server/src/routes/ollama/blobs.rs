//! `/api/blobs/{digest}`: contents that a creation is going to name. They may be tens of gigabytes: a piece of one is in
//! memory at a time, and the disk is the limit.

use axum::{
    body::{Body, HttpBody},
    extract::{Path, State},
    response::Response,
};
use bytes::Bytes;
use hearth_store::{Digest, Error, Store};
use http_body_util::BodyExt;
use tokio::sync::mpsc;

use super::{
    super::{App, Asker, json},
    manage::{forbidden, hidden},
    progress::Refusal,
    refuse,
};
use crate::{
    core::{Failure, models::blocking},
    dialects::ollama::{self, Route},
    library::Library,
};

/// Pieces that wait for the disk.
const PIECES: usize = 16;

pub(super) async fn is_there(
    State(app): State<App>,
    asker: Asker,
    Path(digest): Path<String>,
) -> Response {
    if let Some(refusal) = forbidden(&asker) {
        return refusal;
    }
    let digest = match ollama::digest(&digest) {
        Ok(digest) => digest,
        Err(failure) => return refuse(&failure),
    };
    let store = app.service.models().library().store.clone();
    match blocking(move || store.blob(&digest).is_some()).await {
        Ok(true) => empty(200),
        Ok(false) => empty(404),
        Err(failure) => refuse(&failure),
    }
}

pub(super) async fn take(
    State(app): State<App>,
    asker: Asker,
    Path(digest): Path<String>,
    body: Body,
) -> Response {
    if let Some(refusal) = forbidden(&asker) {
        return refusal;
    }
    let digest = match ollama::digest(&digest) {
        Ok(digest) => digest,
        Err(failure) => return refuse(&failure),
    };
    let library = app.service.models().library().clone();
    let announced = body.size_hint().exact();
    let (to, pieces) = mpsc::channel(PIECES);
    let store = library.store.clone();
    let kept = tokio::spawn(blocking(move || keep(&store, &digest, announced, pieces)));
    read(body, to).await;
    let kept = kept.await.map_err(|e| Failure::Internal(e.to_string()));
    match kept.flatten() {
        Ok(Ok(is_new)) => empty(if is_new { 201 } else { 200 }),
        Ok(Err(error)) => {
            let (status, body) = told(&library, &digest, &error);
            json(status, &body)
        }
        Err(failure) => refuse(&failure),
    }
}

fn told(library: &Library, digest: &Digest, error: &Error) -> Refusal {
    let found = match error {
        Error::Mismatch { found, .. } => found.parse().ok(),
        _ => None,
    };
    match found {
        Some(found) => ollama::digest_mismatch(digest, &found),
        None => hidden(library, ollama::store_error(Route::Other, error)),
    }
}

/// Gives the pieces of a body to whoever keeps them, an empty one at the end. When they stop taking them, the rest is read
/// all the same: most clients look at an answer only when they have sent everything.
async fn read(mut body: Body, to: mpsc::Sender<Bytes>) {
    let mut wanted = true;
    while let Some(frame) = body.frame().await {
        // Without an end, nothing is kept.
        let Ok(frame) = frame else { return };
        let Ok(piece) = frame.into_data() else {
            continue;
        };
        wanted = wanted && (piece.is_empty() || to.send(piece).await.is_ok());
    }
    let _ = to.send(Bytes::new()).await; // they know already how it ended
}

/// Keeps what comes, unless it is there.
fn keep(
    store: &Store,
    digest: &Digest,
    announced: Option<u64>,
    mut pieces: mpsc::Receiver<Bytes>,
) -> Result<bool, Error> {
    if store.blob(digest).is_some() {
        return Ok(false);
    }
    store.receive(digest, announced, || match pieces.blocking_recv() {
        None => Err(Error::Cancelled),
        Some(piece) => Ok((!piece.is_empty()).then_some(piece)),
    })
}

fn empty(status: u16) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = axum::http::StatusCode::from_u16(status).unwrap_or_default();
    response
}
