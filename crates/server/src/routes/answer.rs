//! An answer on its way to a client, whole or piece by piece.

use std::time::Duration;

use axum::response::Response;
use serde_json::Value;
use tokio::{sync::mpsc, time::timeout};

use super::{App, Asker, json, refused};
use crate::{
    core::{Event, Failure, Generation, Request},
    dialects::Frame,
    edge::{Line, Sse, Tokens, ndjson, sse},
};

/// How long headers wait for the first news, so that a refusal has its own status. Clients wait half a minute.
const FIRST: Duration = Duration::from_secs(5);
/// Frames that wait to be written.
const FRAMES: usize = 16;

/// How a stream is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stream {
    /// Server-sent events.
    Events,
    /// Lines of JSON.
    Lines,
}

/// A dialect's words for an answer.
pub(super) trait Telling: Send + 'static {
    /// What an event adds to a stream.
    fn frames(&mut self, event: Event) -> Vec<Frame>;
    /// Takes an event of an answer that is told as a whole.
    fn add(&mut self, event: Event);
    /// The whole answer.
    ///
    /// # Errors
    /// When it failed.
    fn whole(self) -> Result<Value, Failure>;
    /// A refusal.
    fn error(failure: &Failure) -> (u16, Value);
}

/// Has a request answered.
pub(super) async fn answer<T: Telling>(
    app: &App,
    asker: &Asker,
    request: Request,
    stream: Option<Stream>,
    mut telling: T,
) -> Response {
    let refuse = |failure: &Failure| refused(failure, T::error(failure));
    let mut generation = match app.service.generate(request, asker.client()).await {
        Ok(generation) => generation,
        Err(failure) => return refuse(&failure),
    };
    asker.account.model(generation.model.title());
    let first = match timeout(FIRST, generation.events.recv()).await {
        Ok(Some(Event::Failed(failure))) => return refuse(&failure),
        Ok(first) => first,
        Err(_) => None,
    };
    match stream {
        None => {
            let mut next = first;
            loop {
                if let Some(event) = next {
                    count(asker, &event);
                    telling.add(event);
                }
                next = generation.events.recv().await;
                if next.is_none() {
                    break;
                }
            }
            match telling.whole() {
                Ok(whole) => json(200, &whole),
                Err(failure) => refuse(&failure),
            }
        }
        Some(Stream::Events) => {
            let (to, frames) = mpsc::channel(FRAMES);
            let one = |frame: &Frame| Some(Sse::of(frame));
            tokio::spawn(pump(generation, first, telling, asker.clone(), to, one));
            sse(frames, None)
        }
        Some(Stream::Lines) => {
            let (to, frames) = mpsc::channel(FRAMES);
            tokio::spawn(pump(
                generation,
                first,
                telling,
                asker.clone(),
                to,
                Line::of,
            ));
            ndjson(frames, None)
        }
    }
}

/// Carries events to a stream until it ends or nobody reads it; then the work stops, since the generation is dropped.
async fn pump<T: Telling, F: Send + 'static>(
    mut generation: Generation,
    first: Option<Event>,
    mut telling: T,
    asker: Asker,
    to: mpsc::Sender<F>,
    write: impl Fn(&Frame) -> Option<F> + Send,
) {
    let mut next = first;
    loop {
        if let Some(event) = next {
            count(&asker, &event);
            if matches!(event, Event::Failed(_)) {
                asker.account.failed("internal");
            }
            for frame in telling.frames(event).iter().filter_map(&write) {
                if to.send(frame).await.is_err() {
                    return asker.account.failed("cancelled");
                }
            }
        }
        next = tokio::select! {
            () = to.closed() => return asker.account.failed("cancelled"),
            event = generation.events.recv() => match event {
                None => return,
                event => event,
            },
        };
    }
}

/// Writes down what was used.
fn count(asker: &Asker, event: &Event) {
    match event {
        Event::Started(started) => asker.account.tokens(Tokens {
            prompt: started.prompt_tokens as u64,
            cached: started.cached_tokens as u64,
            generated: 0,
        }),
        Event::Delta { tokens, .. } => tokens.iter().for_each(|_| asker.account.token()),
        _ => {}
    }
}
