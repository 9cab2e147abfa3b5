//! Answers whose thoughts can be ended while they run.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{extract::State, response::Response};
use serde_json::{Map, Value};

use super::{super::App, refuse, said};
use crate::{
    core::{
        Request,
        request::{Input, Signal},
    },
    dialects::llama_server::control,
    edge::Json,
};

/// The signals of those that run, by the ids of their answers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Running(Arc<Mutex<HashMap<String, Signal>>>);

/// One that runs, for as long as this lives.
#[derive(Debug)]
pub(in crate::routes) struct Entered {
    all: Running,
    id: String,
}

impl Running {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Signal>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, id: String, signal: Signal) -> Entered {
        self.lock().insert(id.clone(), signal);
        let all = self.clone();
        Entered { all, id }
    }
}

impl App {
    /// Enters a chat whose thoughts can be ended.
    pub(in crate::routes) fn enter(&self, request: &Request, id: String) -> Option<Entered> {
        let Input::Chat(chat) = &request.input else {
            return None;
        };
        let signal = chat.end_thoughts.clone()?;
        Some(self.llama.running.enter(id, signal))
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.all.lock().remove(&self.id);
    }
}

/// `POST /v1/chat/completions/control`.
pub(super) async fn control(
    State(app): State<App>,
    Json(body): Json<Map<String, Value>>,
) -> Response {
    match control::ending(body) {
        Ok(id) => {
            let signal = app.llama.running.lock().get(&id).cloned();
            signal.iter().for_each(Signal::raise);
            said(control::controlled(signal.is_some()))
        }
        Err(failure) => refuse(&failure),
    }
}
