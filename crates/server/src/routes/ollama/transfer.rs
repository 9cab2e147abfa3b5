//! `/api/pull` and `/api/push`.

use axum::{extract::State, response::Response};
use hearth_store::Error;
use serde_json::{Map, Value};

use super::{
    super::{App, Asker},
    manage::{changed, forbidden, hidden},
    progress::told,
    refuse,
};
use crate::{
    dialects::ollama::{self, Route, Transfer},
    edge::Json,
};

pub(super) async fn pull(
    State(app): State<App>,
    asker: Asker,
    Json(body): Json<Map<String, Value>>,
) -> Response {
    transfer(app, asker, body, Transfer::Pull).await
}

pub(super) async fn push(
    State(app): State<App>,
    asker: Asker,
    Json(body): Json<Map<String, Value>>,
) -> Response {
    transfer(app, asker, body, Transfer::Push).await
}

/// Fetches or sends a model. What was fetched stays when the client goes away, and the next pull goes on from there.
async fn transfer(
    app: App,
    asker: Asker,
    body: Map<String, Value>,
    transfer: Transfer,
) -> Response {
    if let Some(refusal) = forbidden(&asker) {
        return refusal;
    }
    let asked = match ollama::asked_transfer(body) {
        Ok(asked) => asked,
        Err(failure) => return refuse(&failure),
    };
    told(transfer, asked.stream, move |teller| {
        let library = app.service.models().library();
        let (store, remote) = (&library.store, library.remote(asked.insecure));
        let watch = |event| teller.event(event);
        let variable = |name: &str| library.variable(name);
        let name = &asked.name;
        let done: Result<(), Error> = teller.run(async {
            match transfer {
                Transfer::Push => store.push(name, &remote, &variable, &watch).await,
                _ => {
                    let pulled = store.pull(name, None, &remote, &variable, &watch);
                    pulled.await.map(drop)
                }
            }
        });
        done.map_err(|error| hidden(library, ollama::store_error(Route::Other, &error)))?;
        changed(&app);
        Ok(asked.warnings)
    })
    .await
}
