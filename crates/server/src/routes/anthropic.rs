//! Anthropic's routes.

use axum::{Router, extract::State, response::Response, routing::post};
use serde_json::{Map, Value};

use super::{
    App, Asker,
    answer::{Stream, Telling, answer},
    json, refused, stamp,
};
use crate::{
    core::{Event, Failure},
    dialects::{
        Frame, Stamp,
        anthropic::{self, Frames, Shape},
    },
    edge::Json,
};

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/v1/messages", post(messages))
        .route("/v1/messages/count_tokens", post(count))
}

struct Messages {
    frames: Frames,
    stamp: Stamp,
    shape: Shape,
    events: Vec<Event>,
    ignored: Vec<String>,
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
    let stamp = stamp();
    let telling = Messages {
        frames: Frames::new(&stamp, asked.shape.clone()),
        stamp,
        shape: asked.shape,
        events: Vec::new(),
        ignored: asked.warnings,
    };
    let stream = asked.stream.then_some(Stream::Events);
    answer(&app, &asker, asked.request, stream, telling).await
}

async fn count(State(app): State<App>, Json(body): Json<Map<String, Value>>) -> Response {
    let counted = async {
        let asked = anthropic::count(body)?;
        let (prepared, _) = app.service.render(asked.request).await?;
        Ok(prepared.ids.len())
    };
    match counted.await {
        Ok(tokens) => json(200, &anthropic::counted(tokens)),
        Err(failure) => refused(&failure, anthropic::error(&failure)),
    }
}
