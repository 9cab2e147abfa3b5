//! `/v1/responses`.

use std::{sync::Arc, time::SystemTime};

use axum::{
    extract::{Path, State},
    response::Response,
};
use serde_json::{Map, Value};
use tokio::task::block_in_place;

use super::{Desk, files::Paging, found, told};
use crate::{
    core::{Event, Failure, models::blocking},
    dialects::{
        Frame, Stamp,
        openai::{
            self,
            responses::{self, Asked, items::Past, request, state},
        },
    },
    edge::Json,
    routes::{
        App, Asker,
        answer::{Stream, Telling, answer},
        stamp,
    },
};

/// A response, which is kept when it is whole and the client did not forbid it.
pub(in crate::routes) struct Responding {
    pub(in crate::routes) frames: responses::Frames,
    pub(in crate::routes) owner: String,
    pub(in crate::routes) desk: Arc<Desk>,
}

impl Responding {
    /// Keeps the answer before its end is told: the client may go on from it at once.
    fn keep(&self) {
        let Some(kept) = self.frames.kept(&self.owner) else {
            return;
        };
        match block_in_place(|| self.desk.responses().put(kept, SystemTime::now())) {
            Ok(true) => {}
            Ok(false) => tracing::warn!("a response is too large to be kept"),
            Err(error) => tracing::warn!("a response is not kept: {error}"),
        }
    }
}

impl Telling for Responding {
    fn frames(&mut self, _: usize, event: Event) -> Vec<Frame> {
        let frames = self.frames.event(&event);
        if event == Event::Done {
            self.keep();
        }
        frames
    }

    fn add(&mut self, _: usize, event: Event) {
        self.frames.event(&event);
    }

    fn whole(self) -> Result<Value, Failure> {
        let whole = self.frames.whole()?;
        self.keep();
        Ok(whole)
    }

    fn error(failure: &Failure) -> (u16, Value) {
        openai::error(failure)
    }

    fn ignored(&self) -> &[String] {
        self.frames.ignored()
    }
}

/// Reads a body, with what it follows.
///
/// # Errors
/// With the field that says what cannot be.
pub(in crate::routes) async fn read(
    app: &App,
    owner: &str,
    body: Map<String, Value>,
    stamp: &Stamp,
) -> Result<Asked, Failure> {
    let previous = request::previous(&body)?;
    let references = request::references(&body);
    let past = match (&previous, references.is_empty()) {
        (None, true) => Past::default(),
        _ => {
            let (desk, owner) = (Arc::clone(&app.desk), owner.to_owned());
            blocking(move || past(&desk, &owner, previous, references)).await??
        }
    };
    request::request(body, &past, stamp)
}

fn past(
    desk: &Desk,
    owner: &str,
    previous: Option<String>,
    references: Vec<String>,
) -> Result<Past, Failure> {
    let (mut kept, now) = (desk.responses(), SystemTime::now());
    let mut past = Past::default();
    if let Some(id) = previous {
        past.history = kept.history(owner, &id, now)?;
    }
    for id in references {
        let item = kept.item(owner, &id, now).map_err(unreadable)?;
        past.items.extend(item.map(|item| (id, item)));
    }
    Ok(past)
}

fn unreadable(error: std::io::Error) -> Failure {
    Failure::Internal(format!("a kept response cannot be read: {error}"))
}

pub(super) async fn create(
    State(app): State<App>,
    asker: Asker,
    Json(body): Json<Map<String, Value>>,
) -> Response {
    let (owner, stamp) = (asker.owner(), stamp());
    let asked = match read(&app, &owner, body, &stamp).await {
        Ok(asked) => asked,
        Err(failure) => return told(Err(failure)),
    };
    let telling = Responding {
        frames: responses::Frames::new(&asked, stamp),
        owner,
        desk: Arc::clone(&app.desk),
    };
    let stream = asked.asked.stream.then_some(Stream::Events);
    answer(&app, &asker, asked.asked.request, stream, telling).await
}

pub(super) async fn input_tokens(
    State(app): State<App>,
    asker: Asker,
    Json(body): Json<Map<String, Value>>,
) -> Response {
    let counted = async {
        let asked = read(&app, &asker.owner(), body, &stamp()).await?;
        let (prepared, _) = app.service.render(asked.asked.request).await?;
        Ok(responses::input_tokens(prepared.ids.len()))
    };
    told(counted.await)
}

pub(super) async fn one(State(app): State<App>, asker: Asker, Path(id): Path<String>) -> Response {
    let (desk, owner, wanted) = (Arc::clone(&app.desk), asker.owner(), id.clone());
    let kept = blocking(move || desk.responses().get(&owner, &wanted, SystemTime::now())).await;
    let kept = kept.and_then(|kept| kept.map_err(unreadable));
    let response = kept.map(|kept| kept.map(|kept| kept.response.clone()));
    found("response", &id, response)
}

pub(super) async fn remove(
    State(app): State<App>,
    asker: Asker,
    Path(id): Path<String>,
) -> Response {
    let (desk, owner, wanted) = (Arc::clone(&app.desk), asker.owner(), id.clone());
    let removed = blocking(move || desk.responses().remove(&owner, &wanted)).await;
    let removed = removed.and_then(|removed| removed.map_err(unreadable));
    let deleted = removed.map(|removed| removed.then(|| responses::deleted(&id)));
    found("response", &id, deleted)
}

pub(super) async fn items(
    State(app): State<App>,
    asker: Asker,
    Path(id): Path<String>,
    paging: Paging,
) -> Response {
    let (desk, owner, wanted) = (Arc::clone(&app.desk), asker.owner(), id.clone());
    let listed = blocking(move || {
        let (mut kept, now) = (desk.responses(), SystemTime::now());
        if kept
            .get(&owner, &wanted, now)
            .map_err(unreadable)?
            .is_none()
        {
            return Ok(None);
        }
        let chain = kept.chain(&owner, &wanted, now)?;
        Ok(Some(state::input_items(&chain, &paging.page())))
    });
    found("response", &id, listed.await.and_then(|listed| listed))
}
