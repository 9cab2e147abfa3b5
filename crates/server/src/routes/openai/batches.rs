//! `/v1/batches`, and the work on them.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use axum::{
    extract::{Path, State},
    response::Response,
};
use serde_json::{Map, Value};
use tokio::sync::Semaphore;

use super::{
    chat::Chat, completions::Completions, files::Paging, found, responses::Responding, told,
};
use crate::{
    core::{Failure, Request},
    dialects::openai::{
        self,
        batches::{self, Answered, Meta, Pending, Work},
        completions, embeddings, responses,
    },
    edge::Json,
    routes::{
        App, Asker,
        answer::{Answers, Telling, whole},
        embeddings::embed,
        stamp,
    },
};

/// Requests of batches that are under way at a time: enough to fill the steps of a model.
const TOGETHER: usize = 16;
/// How long the work rests after a failure of the disk.
const REST: Duration = Duration::from_secs(10);

pub(super) async fn create(
    State(app): State<App>,
    asker: Asker,
    Json(body): Json<Map<String, Value>>,
) -> Response {
    let owner = asker.owner();
    let created = async {
        let asked = batches::request(body)?;
        let meta = app.desk.papers(move |papers| {
            let meta = papers
                .batches
                .create(&asked, &owner, &papers.files, &stamp())?;
            Ok(meta.object())
        });
        meta.await
    };
    let created = created.await;
    app.desk.news.notify_one();
    told(created)
}

pub(super) async fn list(State(app): State<App>, asker: Asker, paging: Paging) -> Response {
    let owner = asker.owner();
    let listed = app
        .desk
        .papers(move |papers| Ok(papers.batches.list(&owner, &paging.page())));
    told(listed.await)
}

pub(super) async fn one(State(app): State<App>, asker: Asker, Path(id): Path<String>) -> Response {
    let (owner, wanted) = (asker.owner(), id.clone());
    let meta = app
        .desk
        .papers(move |papers| Ok(papers.batches.get(&owner, &wanted).map(Meta::object)));
    found("batch", &id, meta.await)
}

pub(super) async fn cancel(
    State(app): State<App>,
    asker: Asker,
    Path(id): Path<String>,
) -> Response {
    let (owner, wanted) = (asker.owner(), id.clone());
    let cancelled = app.desk.papers(move |papers| {
        let now = SystemTime::now();
        let meta = papers
            .batches
            .cancel(&owner, &wanted, &mut papers.files, now)?;
        Ok(meta.map(Meta::object))
    });
    found("batch", &id, cancelled.await)
}

/// Answers the requests of batches, a few at a time, until the end.
pub(crate) async fn work(app: App) {
    if !app.desk.has_papers() {
        return;
    }
    let places = Arc::new(Semaphore::new(TOGETHER));
    loop {
        // The semaphore is never closed.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        let next = app.desk.papers(|papers| {
            let next = papers.batches.next_pending()?;
            Ok(next.map(|(id, pending)| {
                let owner = papers.batches.owner(&id);
                (id, owner, pending)
            }))
        });
        match next.await {
            Ok(Some((id, owner, pending))) => {
                let app = app.clone();
                tokio::spawn(async move {
                    one_of(&app, id, owner, pending).await;
                    drop(place);
                });
            }
            Ok(None) => {
                drop(place);
                app.desk.news.notified().await;
            }
            Err(failure) => {
                tracing::error!("batches rest: {failure}");
                drop(place);
                tokio::time::sleep(REST).await;
            }
        }
    }
}

/// Answers one request and writes the answer down. One that could not be answered now waits again.
async fn one_of(app: &App, id: String, owner: String, pending: Pending) {
    let (asker, begun) = (Asker::of_key(owner), Instant::now());
    let answered = match reply(app, &asker, &pending).await {
        Err(Failure::Busy { retry_after }) => {
            tokio::time::sleep(retry_after).await;
            None
        }
        Err(Failure::Cancelled) => None,
        Ok(body) => Some((200, body)),
        Err(failure) => Some(openai::error(&failure)),
    };
    app.count(&asker, begun.elapsed());
    let (desk, request_id) = (Arc::clone(&app.desk), format!("req_{}", stamp().id));
    let written = app.desk.papers(move |papers| {
        let now = SystemTime::now();
        let (batches, files) = (&mut papers.batches, &mut papers.files);
        match answered {
            Some((status, body)) => {
                let answered = Answered {
                    status,
                    request_id,
                    body,
                };
                batches.record(&id, &pending, &answered, files, now)
            }
            None => batches.release(&id, pending.line, files, now),
        }
    });
    if let Err(failure) = written.await {
        tracing::error!("an answer of a batch is lost: {failure}");
    }
    desk.news.notify_one();
}

async fn reply(app: &App, asker: &Asker, pending: &Pending) -> Result<Value, Failure> {
    let stamp = stamp();
    match batches::work(pending, &stamp)? {
        Work::Chat(asked) => {
            let telling = Chat::new(app, &asked, stamp);
            all(app, asker, vec![asked.request], telling).await
        }
        Work::Completions(asked) => {
            let telling = Completions(completions::Frames::new(&asked, stamp));
            all(app, asker, asked.requests, telling).await
        }
        Work::Responses(asked) => {
            let telling = Responding {
                frames: responses::Frames::new(&asked, stamp),
                owner: asker.owner(),
                desk: Arc::clone(&app.desk),
            };
            all(app, asker, vec![asked.asked.request], telling).await
        }
        Work::Embeddings(asked) => {
            let embedded = embed(app, asker, asked.embedding.clone()).await?;
            embeddings::whole(&asked, embedded)
        }
    }
}

async fn all<T: Telling>(
    app: &App,
    asker: &Asker,
    requests: Vec<Request>,
    telling: T,
) -> Result<Value, Failure> {
    let answers = Answers::begin(&app.service, requests, asker.client()).await?;
    whole(asker, answers, None, telling).await
}
