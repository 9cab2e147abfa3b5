//! Models that are fetched while their client does something else.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use hearth_store::{Error, Event, Name, Verb};
use serde_json::Value;
use tokio::{
    runtime::Handle,
    sync::{broadcast, oneshot},
};

use super::super::{App, ollama};
use crate::{
    core::Failure,
    dialects::{
        llama_server::router::News,
        ollama::{Route, store_error},
    },
};

/// Models that come at a time.
const TOGETHER: usize = 4;
/// News that wait to be heard; who is slower than that is told to ask anew.
const WAITING: usize = 256;
/// Time between two words on how far a model is.
const PAUSE: Duration = Duration::from_millis(100);

/// What is fetched, and what is told of it.
#[derive(Debug)]
pub(crate) struct Downloads {
    running: Mutex<HashMap<String, Running>>,
    news: broadcast::Sender<(String, News)>,
}

#[derive(Debug)]
struct Running {
    /// The name as the client wrote it.
    written: String,
    /// Is dropped to end it.
    _stop: oneshot::Sender<()>,
}

impl Default for Downloads {
    fn default() -> Self {
        Self {
            running: Mutex::default(),
            news: broadcast::Sender::new(WAITING),
        }
    }
}

impl Downloads {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What happens from now on, each with the model's name.
    pub(super) fn listen(&self) -> broadcast::Receiver<(String, News)> {
        self.news.subscribe()
    }

    /// Tells who listens.
    pub(in crate::routes) fn tell(&self, model: &str, news: News) {
        // Nobody need listen.
        let _ = self.news.send((model.to_owned(), news));
    }

    /// Names of what is coming, as they were written.
    pub(super) fn coming(&self) -> Vec<String> {
        let running = self.lock();
        let mut names: Vec<String> = running.values().map(|it| it.written.clone()).collect();
        names.sort();
        names
    }

    /// Ends a download. Says if there was one.
    pub(super) fn stop(&self, name: &Name) -> bool {
        self.lock().remove(&name.to_string()).is_some()
    }

    fn begin(&self, name: &Name, written: &str) -> Result<oneshot::Receiver<()>, Failure> {
        let mut running = self.lock();
        let key = name.to_string();
        if running.contains_key(&key) {
            let message = format!("model '{written}' is already being downloaded");
            return Err(Failure::invalid("model", message));
        }
        if running.len() >= TOGETHER {
            return Err(Failure::Busy {
                retry_after: Duration::from_secs(10),
            });
        }
        let (stop, stopped) = oneshot::channel();
        let written = written.to_owned();
        running.insert(
            key,
            Running {
                written,
                _stop: stop,
            },
        );
        Ok(stopped)
    }
}

/// Begins to fetch a model, and waits until it is sure to be there, or that it is not.
///
/// # Errors
/// It cannot be had, or comes already, or too many come.
pub(super) async fn fetch(
    app: &App,
    name: Name,
    written: String,
    insecure: bool,
) -> Result<(), Failure> {
    let stopped = app.llama.downloads.begin(&name, &written)?;
    let (sure, first) = oneshot::channel();
    let app = app.clone();
    tokio::task::spawn_blocking(move || {
        let coming = Coming {
            app: &app,
            written: &written,
            insecure,
            state: Mutex::new(State {
                sure: Some(sure),
                contents: Vec::new(),
                told: None,
            }),
        };
        coming.run(&name, stopped);
    });
    // Without a word the work broke down, which its own log says.
    first
        .await
        .unwrap_or_else(|_| Err(Failure::Internal("the download broke down".to_owned())))
}

/// One model on its way.
struct Coming<'a> {
    app: &'a App,
    written: &'a str,
    /// Plain HTTP is allowed.
    insecure: bool,
    state: Mutex<State>,
}

struct State {
    /// Who asked waits for this.
    sure: Option<oneshot::Sender<Result<(), Failure>>>,
    contents: Vec<(String, u64, u64)>,
    told: Option<Instant>,
}

impl Coming<'_> {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, news: News) {
        self.app.llama.downloads.tell(self.written, news);
    }

    fn run(&self, name: &Name, stopped: oneshot::Receiver<()>) {
        self.tell(News::Fetching);
        let library = self.app.service.models().library();
        let remote = library.remote(self.insecure);
        let watch = |event| self.hear(event);
        let variable = |name: &str| library.variable(name);
        let pulled = Handle::current().block_on(async {
            let pulled = library.store.pull(name, None, &remote, &variable, &watch);
            tokio::select! {
                pulled = pulled => pulled.map(drop),
                // An error: nothing is ever sent.
                _ = stopped => Err(Error::Cancelled),
            }
        });
        self.app.llama.downloads.stop(name);
        let answer = match pulled {
            Ok(()) => {
                ollama::changed(self.app);
                self.tell(News::Here);
                Ok(())
            }
            Err(error) => {
                let why = self.why(&error);
                self.tell(News::Failed(why.clone()));
                Err(Failure::invalid("model", why))
            }
        };
        self.settle(answer);
    }

    fn settle(&self, answer: Result<(), Failure>) {
        if let Some(sure) = self.lock().sure.take() {
            // Who asked may be gone.
            let _ = sure.send(answer);
        }
    }

    fn why(&self, error: &Error) -> String {
        let library = self.app.service.models().library();
        let (_, body) = ollama::hidden(library, store_error(Route::Other, error));
        let text = body.get("error").and_then(Value::as_str);
        text.unwrap_or("the model cannot be fetched").to_owned()
    }

    fn hear(&self, event: Event) {
        let Event::Content {
            verb: Verb::Pull,
            digest,
            total,
            completed,
        } = event
        else {
            return;
        };
        // The registry has it: what comes now takes its time.
        self.settle(Ok(()));
        let mut state = self.lock();
        let content = digest.to_string();
        match state.contents.iter_mut().find(|it| it.0 == content) {
            Some(known) => known.1 = completed,
            None => state.contents.push((content, completed, total)),
        }
        let is_due = completed >= total || state.told.is_none_or(|at| at.elapsed() >= PAUSE);
        if is_due {
            state.told = Some(Instant::now());
            self.tell(News::Fetched(state.contents.clone()));
        }
    }
}
