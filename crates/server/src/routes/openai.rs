//! OpenAI's routes.

use axum::{
    Router,
    extract::{Path, State},
    response::Response,
    routing::{get, post},
};
use serde_json::{Map, Value};

use super::{
    App, Asker,
    answer::{Stream, Telling, answer},
    json, refused, stamp,
};
use crate::{
    core::{
        Event, Failure,
        models::{blocking, without_paths},
    },
    dialects::{
        Frame,
        frame::seconds,
        openai::{
            self, chat,
            models::{self, Entry},
        },
    },
    edge::Json,
    library::BUILT_IN,
};

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/v1/chat/completions", post(chat_completions))
        .route("/chat/completions", post(chat_completions))
        .route("/v1/models", get(list))
        .route("/v1/models/{*id}", get(one))
        .route("/v1/moderations", post(moderations))
}

/// The models of the library, and the built-in one.
async fn entries(app: &App) -> Result<Vec<Entry>, Failure> {
    let library = app.service.models().library().clone();
    let stored = blocking(move || library.stored()).await?;
    let stored = stored.map_err(|error| Failure::Load(without_paths(&error)))?;
    let mut all: Vec<Entry> = stored
        .into_iter()
        .map(|(entry, _)| Entry {
            id: entry.name.to_string(),
            created: seconds(entry.modified),
            owner: entry.name.namespace().to_owned(),
            context: None,
            capabilities: Vec::new(),
        })
        .collect();
    all.push(Entry {
        id: BUILT_IN.to_owned(),
        created: 0,
        owner: "library".to_owned(),
        context: None,
        capabilities: Vec::new(),
    });
    Ok(all)
}

async fn list(State(app): State<App>) -> Response {
    match entries(&app).await {
        Ok(entries) => json(200, &models::list(&entries)),
        Err(failure) => refused(&failure, openai::error(&failure)),
    }
}

async fn one(State(app): State<App>, Path(rest): Path<String>) -> Response {
    let id = models::id(&rest).unwrap_or_default();
    let full = format!("{id}:latest");
    let found = entries(&app).await.map(|entries| {
        let is = |entry: &Entry| entry.id == id || entry.id == full;
        entries.into_iter().find(is)
    });
    match found {
        Ok(Some(entry)) => json(200, &models::one(&entry)),
        Ok(None) => {
            let failure = Failure::UnknownModel(id);
            refused(&failure, openai::error(&failure))
        }
        Err(failure) => refused(&failure, openai::error(&failure)),
    }
}

async fn moderations() -> Response {
    let (status, body) = openai::error::moderations();
    json(status, &body)
}

struct Chat(chat::Frames);

impl Telling for Chat {
    fn frames(&mut self, event: Event) -> Vec<Frame> {
        self.0.event(&event)
    }

    fn add(&mut self, event: Event) {
        self.0.event(&event);
    }

    fn whole(self) -> Result<Value, Failure> {
        self.0.whole()
    }

    fn error(failure: &Failure) -> (u16, Value) {
        openai::error(failure)
    }
}

async fn chat_completions(
    State(app): State<App>,
    asker: Asker,
    Json(body): Json<Map<String, Value>>,
) -> Response {
    let asked = match chat::request(body) {
        Ok(asked) => asked,
        Err(failure) => return refused(&failure, openai::error(&failure)),
    };
    let telling = Chat(chat::Frames::new(&asked, stamp()));
    let stream = asked.stream.then_some(Stream::Events);
    answer(&app, &asker, asked.request, stream, telling).await
}
