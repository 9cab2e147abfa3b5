//! Anthropic's routes.

use axum::{Router, extract::State, response::Response, routing::post};
use serde_json::{Map, Value};

use super::{
    App, Asker,
    answer::{Stream, Telling, answer},
    json, refused, stamp,
};
use crate::{
    core::{Event, Failure, Request},
    dialects::{
        Frame, Stamp,
        anthropic::{self, Frames, Shape},
    },
    edge::Json,
};

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/v1/messages", post(messages))
        .route("/v1/messages/count_tokens", post(count_tokens))
}

/// Anthropic's words for an answer.
pub(super) struct Messages {
    frames: Frames,
    stamp: Stamp,
    shape: Shape,
    events: Vec<Event>,
    ignored: Vec<String>,
}

impl Messages {
    /// A request, and the words for its answer.
    pub(super) fn of(asked: anthropic::Asked) -> (Request, Self) {
        let stamp = stamp();
        let telling = Self {
            frames: Frames::new(&stamp, asked.shape.clone()),
            stamp,
            shape: asked.shape,
            events: Vec::new(),
            ignored: asked.warnings,
        };
        (asked.request, telling)
    }
}

impl Telling for Messages {
    fn frames(&mut self, _: usize, event: Event) -> Vec<Frame> {
        self.frames.event(event)
    }

    fn add(&mut self, _: usize, event: Event) {
        self.events.push(event);
    }

    fn whole(self) -> Result<Value, Failure> {
        anthropic::whole(&self.stamp, self.shape, self.events)
    }

    fn error(failure: &Failure) -> (u16, Value) {
        anthropic::error(failure)
    }

    fn ignored(&self) -> &[String] {
        &self.ignored
    }
}

async fn messages(
    State(app): State<App>,
    asker: Asker,
    Json(body): Json<Map<String, Value>>,
) -> Response {
    let asked = match anthropic::request(body) {
        Ok(asked) => asked,
        Err(failure) => return refused(&failure, anthropic::error(&failure)),
    };
    let stream = asked.stream.then_some(Stream::Events);
    let (request, telling) = Messages::of(asked);
    answer(&app, &asker, request, stream, telling).await
}

async fn count_tokens(State(app): State<App>, Json(body): Json<Map<String, Value>>) -> Response {
    let counted = async {
        let asked = anthropic::count(body)?;
        let (prepared, _) = app.service.render(asked.request).await?;
        Ok(anthropic::counted(prepared.ids.len()))
    };
    match counted.await {
        Ok(value) => json(200, &value),
        Err(failure) => refused(&failure, anthropic::error(&failure)),
    }
}
