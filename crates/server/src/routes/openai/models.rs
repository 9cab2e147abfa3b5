//! `/v1/models`.

use axum::{
    extract::{Path, State},
    response::Response,
};
use hearth_store::Name;

use super::told;
use crate::{
    core::{
        Failure,
        models::{blocking, without_paths},
    },
    dialects::{
        frame::seconds,
        ollama::Listed,
        openai::models::{self, Entry},
    },
    library::{BUILT_IN, is_built_in},
    routes::{App, listing::listed},
};

/// All models that have names.
async fn entries(app: &App) -> Result<Vec<Entry>, Failure> {
    let listed = listed(app).await?;
    Ok(listed.into_iter().map(entry).collect())
}

fn entry(listed: Listed) -> Entry {
    let name: Result<Name, _> = listed.name.parse();
    let built_in = name.as_ref().is_ok_and(is_built_in);
    Entry {
        owner: name.map_or_else(|_| "library".to_owned(), |name| name.namespace().to_owned()),
        // It is known by its short name.
        id: if built_in {
            BUILT_IN.to_owned()
        } else {
            listed.name
        },
        created: seconds(listed.modified),
        context: listed.details.context_length,
        capabilities: listed.details.capabilities,
    }
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
