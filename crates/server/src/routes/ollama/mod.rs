//! Ollama's routes.

mod blobs;
mod create;
mod manage;
mod progress;
mod ps;
mod show;
mod transfer;

use std::time::SystemTime;

use axum::{
    Router,
    extract::State,
    response::Response,
    routing::{delete, get, head, post},
};
use serde_json::{Map, Value};

use super::{
    App, Asker,
    answer::{Stream, Telling, answer},
    json,
    listing::listed,
    refused, stamp,
};
use crate::{
    core::{Event, Failure},
    dialects::{
        Frame,
        ollama::{self, Action, Asked, Frames, Route},
    },
    edge::Json,
};

pub(super) use manage::{changed, hidden};

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/", get(|| async { ollama::ALIVE }))
        .route("/api/version", get(version))
        .route(
            "/api/status",
            get(|| async { json(200, &ollama::status()) }),
        )
        .route("/api/tags", get(tags))
        .route("/api/ps", get(ps::ps))
        .route("/api/show", post(show::show))
        .route("/api/pull", post(transfer::pull))
        .route("/api/push", post(transfer::push))
        .route("/api/create", post(create::create))
        .route("/api/copy", post(manage::copy))
        .route("/api/delete", delete(manage::remove))
        .route(
            "/api/blobs/{digest}",
            head(blobs::is_there).post(blobs::take),
        )
        .merge(manage::hosted())
        .route("/api/chat", post(chat))
        .route("/api/generate", post(generate))
}

async fn version() -> Response {
    json(200, &ollama::version(env!("CARGO_PKG_VERSION")))
}

async fn tags(State(app): State<App>) -> Response {
    match listed(&app).await {
        Ok(models) => json(200, &ollama::tags(models)),
        Err(failure) => refuse(&failure),
    }
}

fn refuse(failure: &Failure) -> Response {
    refused(failure, ollama::error(Route::Other, failure))
}

struct Answer {
    frames: Frames,
    whole: Option<Result<Value, Failure>>,
}

impl Telling for Answer {
    fn frames(&mut self, _: usize, event: Event) -> Vec<Frame> {
        match self.frames.push(event, SystemTime::now()) {
            Ok(frames) => frames,
            Err(failure) => vec![Frame::json(&ollama::error_line(&failure))],
        }
    }

    fn add(&mut self, _: usize, event: Event) {
        match self.frames.push(event, SystemTime::now()) {
            Ok(frames) => {
                let last = frames.last().and_then(Frame::data);
                let value = last.and_then(|data| serde_json::from_str(data).ok());
                self.whole = value.map(Ok).or(self.whole.take());
            }
            Err(failure) => self.whole = Some(Err(failure)),
        }
    }

    fn whole(self) -> Result<Value, Failure> {
        let gone = || Failure::Internal("the answer ended before it was whole".to_owned());
        self.whole.unwrap_or_else(|| Err(gone()))
    }

    fn error(failure: &Failure) -> (u16, Value) {
        ollama::error(Route::Other, failure)
    }
}

async fn chat(
    State(app): State<App>,
    asker: Asker,
    Json(body): Json<Map<String, Value>>,
) -> Response {
    run(&app, &asker, ollama::chat(body)).await
}

async fn generate(
    State(app): State<App>,
    asker: Asker,
    Json(body): Json<Map<String, Value>>,
) -> Response {
    run(&app, &asker, ollama::generate(body)).await
}

async fn run(app: &App, asker: &Asker, asked: Result<Asked, Failure>) -> Response {
    let asked = match asked {
        Ok(asked) => asked,
        Err(failure) => return refuse(&failure),
    };
    let request = &asked.request;
    let models = app.service.models();
    let done = match asked.action {
        Action::Run => {
            let stream = asked.stream.then_some(Stream::Lines);
            let telling = Answer {
                frames: Frames::new(&asked, &stamp()),
                whole: None,
            };
            return answer(app, asker, asked.request, stream, telling).await;
        }
        Action::Load => app.service.warm_up(&request.model, &request.load).await,
        Action::Unload => models.unload(&request.model).await.map(drop),
        Action::Render => match app.service.render(request.clone()).await {
            Ok((prepared, _)) => {
                return json(
                    200,
                    &ollama::rendered(&asked, &prepared.prompt, SystemTime::now()),
                );
            }
            Err(failure) => Err(failure),
        },
    };
    match done {
        Ok(()) => json(200, &ollama::loaded(&asked, SystemTime::now())),
        Err(failure) => refuse(&failure),
    }
}
