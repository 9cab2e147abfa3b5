//! OpenAI's routes.

use axum::{Router, extract::State, response::Response, routing::post};
use serde_json::{Map, Value};

use super::{
    App, Asker,
    answer::{Stream, Telling, answer},
    refused, stamp,
};
use crate::{
    core::{Event, Failure},
    dialects::{
        Frame,
        openai::{self, chat},
    },
    edge::Json,
};

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/v1/chat/completions", post(chat_completions))
        .route("/chat/completions", post(chat_completions))
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
