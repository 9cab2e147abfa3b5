//! `/api/copy`, `/api/delete`, the hosted service's routes, and what all routes share that change the store.

use axum::{
    Router,
    body::Body,
    extract::State,
    response::Response,
    routing::{MethodFilter, on},
};
use hearth_store::Store;
use serde_json::{Map, Value};

use super::{
    super::{App, Asker, json},
    progress::Refusal,
    refuse,
};
use crate::{
    core::models::{blocking, without_paths},
    dialects::{
        llama_server::router::News,
        ollama::{self, Route},
    },
    edge::{Json, Scope, Style, error_body},
    library::{Error, Library},
};

/// Routes of the hosted service, each with its fixed answer.
pub(super) fn hosted() -> Router<App> {
    ollama::hosted()
        .into_iter()
        .fold(Router::new(), |router, (method, path, status, body)| {
            let filter = match method {
                "POST" => MethodFilter::POST,
                "DELETE" => MethodFilter::DELETE,
                _ => MethodFilter::GET,
            };
            router.route(path, on(filter, move || async move { json(status, &body) }))
        })
}

pub(super) async fn copy(
    State(app): State<App>,
    asker: Asker,
    Json(body): Json<Map<String, Value>>,
) -> Response {
    let work = |store: Store| {
        let (from, to) = ollama::asked_copy(body).map_err(|e| ollama::error(Route::Copy, &e))?;
        store
            .copy(&from, &to)
            .map_err(|e| ollama::store_error(Route::Copy, &e))?;
        Ok(())
    };
    manage(&app, &asker, work).await
}

pub(super) async fn remove(
    State(app): State<App>,
    asker: Asker,
    Json(body): Json<Map<String, Value>>,
) -> Response {
    let work = |store: Store| {
        let name = ollama::asked_delete(body).map_err(|e| ollama::error(Route::Other, &e))?;
        store
            .remove(&name)
            .map_err(|e| ollama::store_error(Route::Other, &e))?;
        Ok(())
    };
    manage(&app, &asker, work).await
}

/// Changes the store for those who may.
async fn manage(
    app: &App,
    asker: &Asker,
    work: impl FnOnce(Store) -> Result<(), Refusal> + Send + 'static,
) -> Response {
    if let Some(refusal) = forbidden(asker) {
        return refusal;
    }
    let library = app.service.models().library().clone();
    let done = blocking(move || work(library.store.clone()).map_err(|e| hidden(&library, e)));
    match done.await {
        Ok(Ok(())) => {
            changed(app);
            Response::new(Body::empty())
        }
        Ok(Err((status, body))) => json(status, &body),
        Err(failure) => refuse(&failure),
    }
}

/// The answer to those who may not change the store.
pub(super) fn forbidden(asker: &Asker) -> Option<Response> {
    let needed = asker.caller.need(Scope::Manage);
    needed
        .err()
        .map(|refusal| error_body(Style::Ollama, &refusal))
}

/// Names may mean something else from now on: what was loaded by them goes when nobody has it, and who listens asks anew.
pub(in crate::routes) fn changed(app: &App) {
    app.llama.downloads.tell("*", News::Unsure);
    let models = std::sync::Arc::clone(app.service.models());
    tokio::spawn(async move { models.retire().await });
}

/// What a library says went wrong.
pub(super) fn failed(library: &Library, error: &Error) -> Refusal {
    let refusal = match error {
        Error::Store(error) => ollama::store_error(Route::Other, error),
        other => (400, serde_json::json!({ "error": without_paths(other) })),
    };
    hidden(library, refusal)
}

/// The same without the place of the store, whatever its path looks like.
pub(in crate::routes) fn hidden(library: &Library, (status, mut body): Refusal) -> Refusal {
    let root = library.store.layout().root();
    if let Some(Value::String(text)) = body.get_mut("error")
        && root.is_absolute()
        && root.parent().is_some()
    {
        *text = text.replace(&root.display().to_string(), "(store)");
    }
    (status, body)
}
