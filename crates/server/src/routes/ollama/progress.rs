//! Long work for a client: told in lines while it goes on, or as a whole; stopped when the client goes away.

use std::{
    future::Future,
    sync::Mutex,
    time::{Duration, Instant},
};

use axum::response::Response;
use hearth_store::{Error, Event};
use serde_json::{Value, json};
use tokio::{runtime::Handle, sync::mpsc};

use super::super::json as answer;
use crate::{
    dialects::{
        Frame,
        ollama::{Progress, Transfer, success_with},
    },
    edge::{Line, ndjson},
};

/// Lines that wait to be written.
const LINES: usize = 16;
/// Time between two words on how far one thing is.
const PAUSE: Duration = Duration::from_millis(60);

/// A status and a body.
pub(super) type Refusal = (u16, Value);

/// What long work says.
enum Said {
    Line(Frame),
    /// The work is over; these are the warnings.
    Done(Vec<String>),
    Failed(Refusal),
}

/// Carries words from the work to the client. They wait without a bound, since the store's watchers must not block; there
/// are few, because all that repeats itself is said now and then only.
pub(super) struct Teller {
    progress: Mutex<Progress>,
    begun: Instant,
    /// When it was said how far something is.
    told: Mutex<Option<Instant>>,
    to: mpsc::UnboundedSender<Said>,
}

impl Teller {
    /// Tells what the store says.
    pub(super) fn event(&self, event: Event) {
        // A panic elsewhere leaves the few texts in it usable.
        let mut progress = self.progress.lock().unwrap_or_else(|e| e.into_inner());
        for line in progress.push(event, self.begun.elapsed()) {
            let _ = self.to.send(Said::Line(line)); // nobody hears it: the work is about to stop
        }
    }

    /// Tells how far something is, unless that was told a moment ago or this is not its end.
    pub(super) fn now_and_then(&self, is_end: bool, line: impl FnOnce() -> Value) {
        let mut told = self.told.lock().unwrap_or_else(|e| e.into_inner());
        if is_end || told.is_none_or(|at| at.elapsed() >= PAUSE) {
            *told = Some(Instant::now());
            let _ = self.to.send(Said::Line(Frame::json(&line())));
        }
    }

    /// Whether the client went away.
    pub(super) fn is_alone(&self) -> bool {
        self.to.is_closed()
    }

    /// Runs what waits for the network, from a thread that may block, until the client goes away.
    ///
    /// # Errors
    /// Those of the work, and [`Error::Cancelled`].
    pub(super) fn run<T>(&self, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        Handle::current().block_on(async {
            tokio::select! {
                result = work => result,
                () = self.to.closed() => Err(Error::Cancelled),
            }
        })
    }
}

/// Does long work on a thread that may block, and answers with what it says. The work gives warnings for the last line.
pub(super) async fn told(
    transfer: Transfer,
    stream: bool,
    work: impl FnOnce(&Teller) -> Result<Vec<String>, Refusal> + Send + 'static,
) -> Response {
    let (to, mut said) = mpsc::unbounded_channel();
    let teller = Teller {
        progress: Mutex::new(Progress::new(transfer)),
        begun: Instant::now(),
        told: Mutex::default(),
        to,
    };
    tokio::task::spawn_blocking(move || {
        let last = work(&teller).map_or_else(Said::Failed, Said::Done);
        let _ = teller.to.send(last);
    });
    if stream {
        return streamed(transfer, said).await;
    }
    loop {
        match said.recv().await {
            Some(Said::Line(_)) => {}
            Some(Said::Done(warnings)) => return answer(200, &success_with(&warnings)),
            Some(Said::Failed((status, body))) => return answer(status, &body),
            None => return answer(500, &broken()),
        }
    }
}

/// Lines as they come. What fails before the first line has its own status.
async fn streamed(transfer: Transfer, mut said: mpsc::UnboundedReceiver<Said>) -> Response {
    let first = match said.recv().await {
        Some(Said::Failed((status, body))) => return answer(status, &body),
        Some(first) => first,
        None => return answer(500, &broken()),
    };
    let (to, lines) = mpsc::channel(LINES);
    tokio::spawn(async move {
        let mut next = Some(first);
        loop {
            let (frame, more) = match next {
                Some(Said::Line(frame)) => (Some(frame), true),
                Some(Said::Done(warnings)) => (last(transfer, &warnings), false),
                Some(Said::Failed((_, body))) => (Some(Frame::json(&body)), false),
                None => (Some(Frame::json(&broken())), false),
            };
            if let Some(line) = frame.as_ref().and_then(Line::of)
                && to.send(line).await.is_err()
            {
                return;
            }
            if !more {
                return;
            }
            // When nobody reads, `said` is dropped, which the work notices.
            next = tokio::select! {
                () = to.closed() => return,
                next = said.recv() => next,
            };
        }
    });
    ndjson(lines, None)
}

/// The last line. A transfer's is the store's own.
fn last(transfer: Transfer, warnings: &[String]) -> Option<Frame> {
    let own = transfer == Transfer::Create || !warnings.is_empty();
    own.then(|| Frame::json(&success_with(warnings)))
}

/// The work panicked.
fn broken() -> Value {
    json!({ "error": "the work for this request broke down" })
}
