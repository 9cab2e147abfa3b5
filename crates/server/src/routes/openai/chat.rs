//! `/v1/chat/completions`.

use axum::{extract::State, response::Response};
use serde_json::{Map, Value};

use super::told;
use crate::{
    core::{Event, Failure},
    dialects::{
        Frame,
        openai::{self, chat},
    },
    edge::Json,
    routes::{
        App, Asker,
        answer::{Stream, Telling, answer},
        stamp,
    },
};

/// A chat's answer.
pub(super) struct Chat(pub(super) chat::Frames);

impl Telling for Chat {
    fn frames(&mut self, _: usize, event: Event) -> Vec<Frame> {
        self.0.event(&event)
    }

    fn add(&mut self, _: usize, event: Event) {
        self.0.event(&event);
    }

    fn whole(self) -> Result<Value, Failure> {
        self.0.whole()
    }

    fn error(failure: &Failure) -> (u16, Value) {
        openai::error(failure)
    }

    fn ignored(&self) -> &[String] {
        self.0.ignored()
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
    let telling = Chat(chat::Frames::new(&asked, stamp()));
    let stream = asked.stream.then_some(Stream::Events);
    answer(&app, &asker, asked.request, stream, telling).await
}
