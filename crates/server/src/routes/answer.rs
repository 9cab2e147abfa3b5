//! An answer on its way to a client, whole or piece by piece.

use std::{sync::Arc, time::Duration};

use axum::{
    http::{HeaderName, HeaderValue},
    response::Response,
};
use bytes::Bytes;
use serde_json::Value;
use tokio::{
    sync::{Semaphore, mpsc},
    time::timeout,
};

use super::{
    App, Asker, json,
    outlet::{Outlet, Taping, too_long},
    refused,
};
use crate::{
    core::{Event, Failure, Generation, Request, Service},
    dialects::Frame,
    edge::{KEEP_ALIVE, Line, Sse, ndjson, sse_every},
};

/// How long headers wait for the first news, so that a refusal has its own status. Clients wait half a minute.
const FIRST: Duration = Duration::from_secs(5);
/// Frames that wait to be written.
const FRAMES: usize = 16;
/// Requests of one body that are under way at a time: one client must not fill the line.
const TOGETHER: usize = 16;
/// What of the request is not heeded: fields that nobody read, and what a schema asks for and no mask keeps.
const IGNORED: HeaderName = HeaderName::from_static("x-hearth-ignored");
/// Bytes of that header: clients and proxies take no heads of any length.
const IGNORED_BYTES: usize = 2000;

/// How a stream is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stream {
    /// Server-sent events.
    Events,
    /// The same, with a comment after each such silence, or with none.
    EventsEvery(Option<Duration>),
    /// Lines of JSON.
    Lines,
}

impl Stream {
    fn is_events(self) -> bool {
        self != Self::Lines
    }

    /// After which a comment is sent.
    fn silence(self) -> Option<Duration> {
        match self {
            Self::Events => Some(KEEP_ALIVE),
            Self::EventsEvery(silence) => silence,
            Self::Lines => None,
        }
    }
}

/// A dialect's words for an answer. `of` is the number of the request among those of one body, from 0.
pub(super) trait Telling: Send + 'static {
    /// What an event adds to a stream.
    fn frames(&mut self, of: usize, event: Event) -> Vec<Frame>;
    /// Takes an event of an answer that is told as a whole.
    fn add(&mut self, of: usize, event: Event);
    /// The whole answer.
    ///
    /// # Errors
    /// When it failed.
    fn whole(self) -> Result<Value, Failure>;
    /// A refusal.
    fn error(failure: &Failure) -> (u16, Value);
    /// Fields of the body that nobody read.
    fn ignored(&self) -> &[String] {
        &[]
    }
}

/// Answers that are being made. Dropping them stops the work.
pub(super) enum Answers {
    /// To the one request of a body.
    One(Generation),
    /// To several, as they come.
    Several(mpsc::Receiver<(usize, Event)>),
}

impl Answers {
    /// Begins answers to all requests of a body, at least one.
    ///
    /// # Errors
    /// When the only one cannot be begun; of several, the failure is an event.
    pub(super) async fn begin(
        service: &Service,
        mut requests: Vec<Request>,
        client: u64,
    ) -> Result<Self, Failure> {
        if requests.len() == 1 {
            let request = requests.remove(0);
            return service.generate(request, client).await.map(Self::One);
        }
        let (to, events) = mpsc::channel(FRAMES);
        let places = Arc::new(Semaphore::new(TOGETHER));
        for (of, request) in requests.into_iter().enumerate() {
            let (service, to) = (service.clone(), to.clone());
            let places = Arc::clone(&places);
            tokio::spawn(async move {
                let Ok(_place) = places.acquire().await else {
                    return;
                };
                let gone = to.clone();
                tokio::select! {
                    () = gone.closed() => {}
                    () = forward(&service, request, client, of, &to) => {}
                }
            });
        }
        Ok(Self::Several(events))
    }

    /// What of the one request is not kept, in words. Of several, their first events tell it.
    fn ignored(&self) -> Vec<&str> {
        let Self::One(generation) = self else {
            return Vec::new();
        };
        let warnings = generation.warnings.iter();
        warnings
            .filter_map(|warning| warning.strip_prefix("ignored: "))
            .collect()
    }

    /// The next event, and of which request; none when all ended.
    pub(super) async fn next(&mut self) -> Option<(usize, Event)> {
        match self {
            Self::One(generation) => generation.events.recv().await.map(|event| (0, event)),
            Self::Several(events) => events.recv().await,
        }
    }
}

async fn forward(
    service: &Service,
    request: Request,
    client: u64,
    of: usize,
    to: &mpsc::Sender<(usize, Event)>,
) {
    let mut generation = match service.generate(request, client).await {
        Ok(generation) => generation,
        Err(failure) => return drop(to.send((of, Event::Failed(failure))).await),
    };
    while let Some(event) = generation.events.recv().await {
        if to.send((of, event)).await.is_err() {
            return;
        }
    }
}

/// Has a request answered.
pub(super) async fn answer<T: Telling>(
    app: &App,
    asker: &Asker,
    request: Request,
    stream: Option<Stream>,
    telling: T,
) -> Response {
    answer_all(app, asker, vec![request], stream, telling).await
}

/// Has several requests of one body answered, at least one.
pub(super) async fn answer_all<T: Telling>(
    app: &App,
    asker: &Asker,
    requests: Vec<Request>,
    stream: Option<Stream>,
    telling: T,
) -> Response {
    let refuse = |failure: &Failure| refused(failure, T::error(failure));
    let unread = telling.ignored().to_vec();
    // Before the work: one of the same conversation that still runs makes place for this one.
    let taping = match stream.map(|stream| stream.is_events()) {
        Some(true) => match Taping::begin(app, asker) {
            Ok(taping) => taping,
            Err(failure) => return refuse(&failure),
        },
        _ => None,
    };
    let (answers, first) = match begin(app, asker, requests).await {
        Ok(begun) => begun,
        Err(failure) => {
            if let Some(taping) = taping {
                taping.discard();
            }
            return refuse(&failure);
        }
    };
    let unread = unread.iter().map(String::as_str);
    let ignored = header(unread.chain(answers.ignored()));
    let mut response = match stream {
        None => match whole(asker, answers, first, telling).await {
            Ok(whole) => json(200, &whole),
            Err(failure) => refuse(&failure),
        },
        Some(Stream::Lines) => {
            let (to, frames) = mpsc::channel(FRAMES);
            let outlet = Outlet::plain(to);
            tokio::spawn(pump(
                answers,
                first,
                telling,
                asker.clone(),
                outlet,
                Line::of,
            ));
            ndjson(frames, None)
        }
        Some(kind) => {
            let (to, frames) = mpsc::channel(FRAMES);
            let silence = kind.silence();
            let (outlet, silence) = match taping {
                Some(taping) => (Outlet::taped(to, taping, silence), None),
                None => (Outlet::plain(to), silence),
            };
            let one = |frame: &Frame| Some(Sse::of(frame));
            tokio::spawn(pump(answers, first, telling, asker.clone(), outlet, one));
            sse_every(silence, frames, None)
        }
    };
    if let Some(ignored) = ignored {
        response.headers_mut().insert(IGNORED, ignored);
    }
    response
}

/// Begins the answers, and waits a little for the first news.
///
/// # Errors
/// When they cannot be begun, or one fails before anything else.
async fn begin(
    app: &App,
    asker: &Asker,
    requests: Vec<Request>,
) -> Result<(Answers, Option<(usize, Event)>), Failure> {
    let mut answers = Answers::begin(&app.service, requests, asker.client()).await?;
    let first = match timeout(FIRST, answers.next()).await {
        Ok(Some((_, Event::Failed(failure)))) => return Err(failure),
        Ok(first) => first,
        Err(_) => None,
    };
    Ok((answers, first))
}

/// A list as the value of a header, which has a bound and takes no other characters than ASCII's; none where it is empty.
fn header<'a>(items: impl Iterator<Item = &'a str>) -> Option<HeaderValue> {
    let mut text = String::new();
    for item in items {
        let between = if text.is_empty() { "" } else { ", " };
        text.push_str(between);
        if text.len() + item.len() > IGNORED_BYTES {
            text.push_str("...");
            break;
        }
        text.extend(item.chars().map(|c| match c {
            ' '..='~' => c,
            _ => '?',
        }));
    }
    let value = HeaderValue::from_str(&text).ok();
    value.filter(|value| !value.is_empty())
}

/// Waits for the whole answer.
///
/// # Errors
/// When it failed.
pub(super) async fn whole<T: Telling>(
    asker: &Asker,
    mut answers: Answers,
    first: Option<(usize, Event)>,
    mut telling: T,
) -> Result<Value, Failure> {
    let mut next = first;
    loop {
        if let Some((of, event)) = next {
            count(asker, &event);
            telling.add(of, event);
        }
        next = answers.next().await;
        if next.is_none() {
            return telling.whole();
        }
    }
}

/// Carries events to a stream until it ends or nobody reads it; then the work stops, since the answers are dropped.
async fn pump<T: Telling, F: Clone + Into<Bytes> + Send + 'static>(
    answers: Answers,
    first: Option<(usize, Event)>,
    telling: T,
    asker: Asker,
    mut outlet: Outlet<F>,
    write: impl Fn(&Frame) -> Option<F> + Send,
) {
    carry(answers, first, telling, &asker, &mut outlet, write).await;
    outlet.end();
}

async fn carry<T: Telling, F: Clone + Into<Bytes>>(
    mut answers: Answers,
    first: Option<(usize, Event)>,
    mut telling: T,
    asker: &Asker,
    outlet: &mut Outlet<F>,
    write: impl Fn(&Frame) -> Option<F>,
) {
    let mut next = first;
    loop {
        if let Some((of, event)) = next {
            count(asker, &event);
            let failed = matches!(event, Event::Failed(_));
            if failed {
                asker.account.failed("internal");
            }
            for frame in telling.frames(of, event).iter().filter_map(&write) {
                if !outlet.send(frame).await {
                    return asker.account.failed("cancelled");
                }
            }
            if failed {
                return;
            }
        }
        let silence = outlet.silence();
        next = tokio::select! {
            () = outlet.unwanted() => return asker.account.failed("cancelled"),
            () = too_long(silence) => {
                if let Some(comment) = write(&Frame::Comment)
                    && !outlet.send(comment).await
                {
                    return asker.account.failed("cancelled");
                }
                None
            }
            event = answers.next() => match event {
                None => return,
                event => event,
            },
        };
    }
}

/// Writes down what was used.
fn count(asker: &Asker, event: &Event) {
    match event {
        Event::Started(started) => {
            asker.account.model(&started.model);
            let (prompt, cached) = (started.prompt_tokens, started.cached_tokens);
            asker.account.read(prompt, cached);
        }
        Event::Delta { tokens, .. } => tokens.iter().for_each(|_| asker.account.token()),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_becomes_a_header() {
        let of = |items: &[&str]| {
            let value = header(items.iter().copied());
            value.map(|value| value.to_str().unwrap().to_owned())
        };
        assert_eq!(of(&[]), None);
        assert_eq!(
            of(&["a", "`not` at #/properties/\u{e9}\n"]).as_deref(),
            Some("a, `not` at #/properties/??")
        );
        let long = "x".repeat(IGNORED_BYTES);
        assert_eq!(of(&["a", &long, "b"]).as_deref(), Some("a, ..."));
        assert_eq!(of(&[&format!("{long}x"), "b"]).as_deref(), Some("..."));
    }
}
