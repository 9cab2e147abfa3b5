//! Ollama's routes.

use std::time::SystemTime;

use axum::{
    Router,
    extract::State,
    response::Response,
    routing::{get, post},
};
use serde_json::{Map, Value, json as object};

use super::{
    App, Asker,
    answer::{Stream, Telling, answer},
    json, refused, stamp,
};
use crate::{
    core::{Event, Failure},
    dialects::{
        Frame,
        ollama::{self, Action, Asked, Frames, Route},
    },
    edge::Json,
};

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/", get(|| async { "Ollama is running" }))
        .route("/api/version", get(version))
        .route("/api/chat", post(chat))
        .route("/api/generate", post(generate))
}

/// What clients compare with the least version that they want: the release whose interface this is.
const VERSION: &str = "0.32.15";

async fn version() -> Response {
    json(200, &object!({ "version": VERSION }))
}

struct Answer {
    frames: Frames,
    whole: Option<Result<Value, Failure>>,
}

impl Telling for Answer {
    fn frames(&mut self, event: Event) -> Vec<Frame> {
        match self.frames.push(event, SystemTime::now()) {
            Ok(frames) => frames,
            Err(failure) => vec![Frame::json(&ollama::error_line(&failure))],
        }
    }

    fn add(&mut self, event: Event) {
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

async fn chat(State(app): State<App>, asker: Asker, Json(body): Json<Map<String, Value>>) -> Response {
    run(&app, &asker, ollama::chat(body)).await
}

async fn generate(State(app): State<App>, asker: Asker, Json(body): Json<Map<String, Value>>) -> Response {
    run(&app, &asker, ollama::generate(body)).await
}

async fn run(app: &App, asker: &Asker, asked: Result<Asked, Failure>) -> Response {
    let refuse = |failure: &Failure| refused(failure, ollama::error(Route::Other, failure));
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
        Action::Load => models.acquire(&request.model, &request.load).await.map(drop),
        Action::Unload => models.unload(&request.model).await.map(drop),
        Action::Render => match app.service.render(request.clone()).await {
            Ok((prepared, _)) => {
                return json(200, &ollama::rendered(&asked, &prepared.prompt, SystemTime::now()));
            }
            Err(failure) => Err(failure),
        },
    };
    match done {
        Ok(()) => json(200, &ollama::loaded(&asked, SystemTime::now())),
        Err(failure) => refuse(&failure),
    }
}
