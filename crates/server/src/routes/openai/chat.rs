//! `/v1/chat/completions`.

use axum::{extract::State, response::Response};
use serde_json::{Map, Value};

use super::told;
use crate::{
    core::{Event, Failure},
    dialects::{
        Frame, Stamp,
        openai::{self, chat},
    },
    edge::Json,
    routes::{
        App, Asker,
        answer::{Stream, Telling, answer},
        llama_server::Entered,
        stamp,
    },
};

/// A chat's answer.
pub(super) struct Chat {
    frames: chat::Frames,
    /// For as long as its thoughts can be ended.
    _running: Option<Entered>,
}

impl Chat {
    pub(super) fn new(app: &App, asked: &chat::Asked, stamp: Stamp) -> Self {
        let frames = chat::Frames::new(asked, stamp);
        Self {
            _running: app.enter(&asked.request, frames.id()),
            frames,
        }
    }
}

impl Telling for Chat {
    fn frames(&mut self, _: usize, event: Event) -> Vec<Frame> {
        self.frames.event(&event)
    }

    fn add(&mut self, _: usize, event: Event) {
        self.frames.event(&event);
    }

    fn whole(self) -> Result<Value, Failure> {
        self.frames.whole()
    }

    fn error(failure: &Failure) -> (u16, Value) {
        openai::error(failure)
    }

    fn ignored(&self) -> &[String] {
        self.frames.ignored()
    }
}

pub(super) async fn completions(
    State(app): State<App>,
    asker: Asker,
    Json(body): Json<Map<String, Value>>,
) -> Response {
    let asked = match chat::request(body) {
        Ok(asked) => asked,
        Err(failure) => return told(Err(failure)),
    };
    let telling = Chat::new(&app, &asked, stamp());
    let stream = asked.stream.then_some(Stream::Events);
    answer(&app, &asker, asked.request, stream, telling).await
}

/// How many tokens the prompt of a chat has, as llama-server tells it.
pub(super) async fn input_tokens(
    State(app): State<App>,
    Json(body): Json<Map<String, Value>>,
) -> Response {
    let counted = async {
        let asked = chat::request(body)?;
        let (prepared, _) = app.service.render(asked.request).await?;
        Ok(openai::responses::input_tokens(prepared.ids.len()))
    };
    told(counted.await)
}
