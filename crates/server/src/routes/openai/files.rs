//! `/v1/files`.

use std::{
    io::Read,
    time::{Duration, SystemTime},
};

use axum::{
    body::Body,
    extract::{
        FromRequest, FromRequestParts, Multipart, Path, Query, Request, State,
        multipart::{Field, MultipartError},
    },
    http::{HeaderValue, header::CONTENT_TYPE, request::Parts},
    response::Response,
};
use bytes::Bytes;
use futures_util::stream;
use serde::Deserialize;
use serde_json::Value;

use super::{found, told};
use crate::{
    core::{Failure, models::blocking},
    dialects::openai::{
        files::{self, Draft, Meta, Upload},
        page::Page,
    },
    routes::{App, Asker, stamp},
};

/// Bytes of a part that is no file.
const FIELD_BYTES: usize = 4096;
/// Bytes that are read of a file at a time.
const CHUNK: usize = 64 << 10;

/// Bytes that a form may have: a file and what is said of it. The reader of forms holds what the disk has not taken yet.
pub(super) fn form_bytes() -> usize {
    let file = usize::try_from(files::Limits::default().file_bytes).unwrap_or(usize::MAX);
    file.saturating_add(1 << 20)
}

/// Which part of a list is asked for.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Paging {
    limit: Option<usize>,
    after: Option<String>,
    order: Option<String>,
    purpose: Option<String>,
}

impl<S: Send + Sync> FromRequestParts<S> for Paging {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Response> {
        let read = Query::try_from_uri(&parts.uri);
        read.map(|Query(paging)| paging)
            .map_err(|error| told(Err(Failure::invalid("", error.body_text()))))
    }
}

impl Paging {
    pub(super) fn page(&self) -> Page {
        Page {
            limit: self.limit,
            ascending: self.order.as_deref() == Some("asc"),
            after: self.after.clone(),
        }
    }
}

pub(super) async fn upload(State(app): State<App>, asker: Asker, request: Request) -> Response {
    told(
        receive(&app, &asker, request)
            .await
            .map(|meta| meta.object()),
    )
}

async fn receive(app: &App, asker: &Asker, request: Request) -> Result<Meta, Failure> {
    let mut parts = Multipart::from_request(request, &())
        .await
        .map_err(|error| Failure::invalid("", error.body_text()))?;
    let (mut draft, mut upload) = (None, Upload::default());
    while let Some(part) = parts.next_field().await.map_err(broken)? {
        match part.name().unwrap_or_default() {
            "file" if draft.is_none() => {
                upload.filename = part.file_name().unwrap_or_default().to_owned();
                let (owner, stamp) = (asker.owner(), stamp());
                let begun = app.desk.papers(move |papers| {
                    // What expired makes room; should that fail, the beginning tells.
                    let _ = papers.files.sweep(stamp.created);
                    papers.files.begin(&owner, &stamp)
                });
                draft = Some(write(begun.await?, part).await?);
            }
            "file" => return Err(Failure::invalid("file", "there is more than one file")),
            "purpose" => upload.purpose = text(part).await?,
            "expires_after[seconds]" => {
                let seconds = text(part).await?;
                let seconds = seconds.parse().map_err(|_| {
                    let message =
                        format!("expires_after[seconds] must be a number, got {seconds:?}");
                    Failure::invalid("expires_after", message)
                })?;
                upload.expires_after = Some(Duration::from_secs(seconds));
            }
            _ => {}
        }
    }
    let mut draft = draft.ok_or_else(|| Failure::invalid("file", "file is missing"))?;
    draft.describe(upload)?;
    app.desk
        .papers(move |papers| papers.files.keep(draft))
        .await
}

async fn write(mut draft: Draft, mut part: Field<'_>) -> Result<Draft, Failure> {
    while let Some(bytes) = part.chunk().await.map_err(broken)? {
        draft = blocking(move || draft.write(&bytes).map(|()| draft)).await??;
    }
    Ok(draft)
}

async fn text(mut part: Field<'_>) -> Result<String, Failure> {
    let mut text = Vec::new();
    let name = part.name().unwrap_or_default().to_owned();
    while let Some(bytes) = part.chunk().await.map_err(broken)? {
        text.extend_from_slice(&bytes);
        if text.len() > FIELD_BYTES {
            return Err(Failure::invalid(&*name, format!("{name} is too long")));
        }
    }
    String::from_utf8(text).map_err(|_| Failure::invalid(&*name, format!("{name} must be text")))
}

fn broken(error: MultipartError) -> Failure {
    Failure::invalid(
        "",
        format!("the form cannot be read: {}", error.body_text()),
    )
}

pub(super) async fn list(State(app): State<App>, asker: Asker, paging: Paging) -> Response {
    let owner = asker.owner();
    let listed = app.desk.papers(move |papers| {
        let (page, now) = (paging.page(), SystemTime::now());
        Ok(papers
            .files
            .list(&owner, paging.purpose.as_deref(), &page, now))
    });
    told(listed.await)
}

pub(super) async fn one(State(app): State<App>, asker: Asker, Path(id): Path<String>) -> Response {
    let (owner, wanted) = (asker.owner(), id.clone());
    let meta = app.desk.papers(move |papers| {
        let meta = papers.files.get(&owner, &wanted, SystemTime::now());
        Ok(meta.map(Meta::object))
    });
    found("file", &id, meta.await)
}

pub(super) async fn remove(
    State(app): State<App>,
    asker: Asker,
    Path(id): Path<String>,
) -> Response {
    let (owner, wanted) = (asker.owner(), id.clone());
    let removed = app.desk.papers(move |papers| {
        let removed = papers.files.remove(&owner, &wanted)?;
        Ok(removed.then(|| files::deleted(&wanted)))
    });
    found("file", &id, removed.await)
}

pub(super) async fn content(
    State(app): State<App>,
    asker: Asker,
    Path(id): Path<String>,
) -> Response {
    let (owner, wanted) = (asker.owner(), id.clone());
    let file = app
        .desk
        .papers(move |papers| papers.files.content(&owner, &wanted, SystemTime::now()));
    match file.await {
        Ok(Some(file)) => {
            let chunks = stream::try_unfold(file, |mut file| async move {
                let read = blocking(move || {
                    let mut bytes = vec![0; CHUNK];
                    let count = file.read(&mut bytes)?;
                    bytes.truncate(count);
                    Ok::<_, std::io::Error>((Bytes::from(bytes), file))
                });
                let (bytes, file) = read.await.map_err(std::io::Error::other)??;
                Ok::<_, std::io::Error>((!bytes.is_empty()).then_some((bytes, file)))
            });
            let mut response = Response::new(Body::from_stream(chunks));
            let kind = HeaderValue::from_static("application/octet-stream");
            response.headers_mut().insert(CONTENT_TYPE, kind);
            response
        }
        Ok(None) => found("file", &id, Ok(None::<Value>)),
        Err(failure) => told(Err(failure)),
    }
}
