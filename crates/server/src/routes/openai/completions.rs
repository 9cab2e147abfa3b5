//! `/v1/completions`: a generation for each prompt, told as one answer.

use axum::{extract::State, response::Response};
use serde_json::{Map, Value};

use super::told;
use crate::{
    core::{Event, Failure},
    dialects::{
        Frame,
        openai::{self, completions as dialect},
    },
    edge::Json,
    routes::{
        App, Asker,
        answer::{Stream, Telling, answer_all},
        stamp,
    },
};

/// The answer to all prompts.
pub(in crate::routes) struct Completions(pub(in crate::routes) dialect::Frames);

impl Telling for Completions {
    fn frames(&mut self, of: usize, event: Event) -> Vec<Frame> {
        self.0.event(of, &event)
    }

    fn add(&mut self, of: usize, event: Event) {
        self.0.event(of, &event);
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
    let completions = match dialect::request(body) {
        Ok(completions) => completions,
        Err(failure) => return told(Err(failure)),
    };
    let telling = Completions(dialect::Frames::new(&completions, stamp()));
    let stream = completions.asked.stream.then_some(Stream::Events);
    answer_all(&app, &asker, completions.requests, stream, telling).await
}
