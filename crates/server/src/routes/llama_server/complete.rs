//! `POST /completion` and `POST /infill`: the answers to one or several prompts.

use std::time::Instant;

use axum::{extract::State, response::Response};
use serde_json::{Map, Value};

use super::{
    super::{
        App, Asker,
        answer::{Stream, Telling, answer_all},
    },
    name_model, refuse,
    slots::Occupant,
};
use crate::{
    core::{Event, Failure},
    dialects::{
        Frame,
        llama_server::{self, Asked, Frames, Standing, Style},
    },
    edge::Json,
};

pub(super) async fn completion(
    State(app): State<App>,
    asker: Asker,
    Json(body): Json<Map<String, Value>>,
) -> Response {
    run(&app, &asker, body, llama_server::completion).await
}

pub(super) async fn infill(
    State(app): State<App>,
    asker: Asker,
    Json(body): Json<Map<String, Value>>,
) -> Response {
    run(&app, &asker, body, llama_server::infill).await
}

/// How a body is read by what stands.
type Read = fn(Map<String, Value>, &Standing) -> Result<Asked, Failure>;

async fn run(app: &App, asker: &Asker, mut body: Map<String, Value>, read: Read) -> Response {
    let asked = async {
        let served = name_model(app, asker, &mut body).await?;
        let asked = read(body, &served.standing)?;
        app.llama.places.check(asked.style.slot)?;
        Ok(asked)
    };
    let asked = match asked.await {
        Ok(asked) => asked,
        Err(failure) => return refuse(&failure),
    };
    let prompts = asked.requests.iter().enumerate();
    let prompts = prompts.map(|(number, request)| Prompt {
        frames: Frames::new(asked.style.clone(), number),
        events: Vec::new(),
        occupant: Occupant::new(
            app.llama.places.clone(),
            asked.style.slot,
            asked.style.settings.clone(),
            request.limits.max_tokens,
        ),
    });
    let telling = Completion {
        prompts: prompts.collect(),
        begun: Instant::now(),
        style: asked.style,
    };
    let mut requests = asked.requests;
    for request in &mut requests {
        // What a place holds is known by its tokens.
        request.ids = true;
    }
    let ping = Stream::EventsEvery(telling.style.ping);
    answer_all(app, asker, requests, asked.stream.then_some(ping), telling).await
}

/// One of the prompts of a body.
struct Prompt {
    frames: Frames,
    /// Of an answer that is told as a whole.
    events: Vec<Event>,
    occupant: Occupant,
}

/// The answers to all prompts.
struct Completion {
    prompts: Vec<Prompt>,
    begun: Instant,
    style: Style,
}

impl Telling for Completion {
    fn frames(&mut self, of: usize, event: Event) -> Vec<Frame> {
        let at = self.begun.elapsed();
        let Some(prompt) = self.prompts.get_mut(of) else {
            return Vec::new();
        };
        prompt.occupant.event(&event);
        prompt.frames.place(prompt.occupant.place());
        prompt.frames.event(event, at).into_iter().collect()
    }

    fn add(&mut self, of: usize, event: Event) {
        if let Some(prompt) = self.prompts.get_mut(of) {
            prompt.occupant.event(&event);
            prompt.events.push(event);
        }
    }

    fn whole(self) -> Result<Value, Failure> {
        let prompts = self.prompts.into_iter();
        let events = prompts.map(|prompt| (prompt.occupant.place(), prompt.events));
        llama_server::whole(&self.style, events.collect())
    }

    fn error(failure: &Failure) -> (u16, Value) {
        llama_server::error(failure)
    }
}
