//! `/v1/models`.

use axum::{
    extract::{Path, State},
    response::Response,
};

use super::told;
use crate::{
    core::{
        Failure,
        models::{blocking, without_paths},
    },
    dialects::{
        frame::seconds,
        openai::models::{self, Entry},
    },
    library::BUILT_IN,
    routes::App,
};

/// The models of the library, and the built-in one.
pub(in crate::routes) async fn entries(app: &App) -> Result<Vec<Entry>, Failure> {
    let library = app.service.models().library().clone();
    let stored = blocking(move || library.stored()).await?;
    let stored = stored.map_err(|error| Failure::Load(without_paths(&error)))?;
    let mut all: Vec<Entry> = stored
        .into_iter()
        .map(|(entry, _)| Entry {
            id: entry.name.to_string(),
            created: seconds(entry.modified),
            owner: entry.name.namespace().to_owned(),
            context: None,
            capabilities: Vec::new(),
        })
        .collect();
    all.push(Entry {
        id: BUILT_IN.to_owned(),
        created: 0,
        owner: "library".to_owned(),
        context: None,
        capabilities: Vec::new(),
    });
    Ok(all)
}

pub(super) async fn list(State(app): State<App>) -> Response {
    told(entries(&app).await.map(|entries| models::list(&entries)))
}

pub(super) async fn one(State(app): State<App>, Path(rest): Path<String>) -> Response {
    let id = models::id(&rest).unwrap_or_default();
    let full = format!("{id}:latest");
    let entry = entries(&app).await.and_then(|entries| {
        let is = |entry: &Entry| entry.id == id || entry.id == full;
        let entry = entries.into_iter().find(is);
        entry.ok_or_else(|| Failure::UnknownModel(id.clone()))
    });
    told(entry.map(|entry| models::one(&entry)))
}

pub(super) async fn remove(State(app): State<App>, Path(rest): Path<String>) -> Response {
    let id = models::id(&rest).unwrap_or_default();
    let unknown = Failure::UnknownModel(id.clone());
    let Ok(name) = id.parse() else {
        return told(Err(unknown));
    };
    let store = app.service.models().library().store.clone();
    let removed = blocking(move || match store.find(&name) {
        Ok(None) => Err(unknown),
        Ok(Some(_)) => store
            .remove(&name)
            .map_err(|error| Failure::Load(without_paths(&error))),
        Err(error) => Err(Failure::Load(without_paths(&error))),
    });
    let removed = removed.await.and_then(|removed| removed.map(drop));
    told(removed.map(|()| models::deleted(&id)))
}
