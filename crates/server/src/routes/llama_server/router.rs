//! Many models behind one server: `/models/load`, `/models/unload`, `/models/sse`, and `POST` and `DELETE /models`.

use std::sync::Arc;

use axum::{
    extract::{Query, State},
    response::Response,
};
use hearth_store::Name;
use serde_json::{Map, Value};
use tokio::sync::{broadcast::error::RecvError, mpsc};

use super::{
    super::{App, Asker, model_name, ollama},
    control::Asked,
    downloads::fetch,
    told,
};
use crate::{
    core::{
        Failure,
        models::{Phase, blocking, without_paths},
        request::Load,
    },
    dialects::{
        Frame,
        llama_server::{
            control::success,
            router::{self, News},
        },
    },
    edge::{Json, Sse, sse},
    library::{Located, Weights},
};

/// Events that wait to be written.
const EVENTS: usize = 64;

/// The name of the model that a request means. A router wants one that it knows; others choose where there is none.
///
/// # Errors
/// None is named, none is there, or it is not loaded and is not to be.
pub(super) async fn choose(
    app: &App,
    asker: &Asker,
    given: Option<String>,
) -> Result<String, Failure> {
    let setup = &app.llama;
    let given = given.filter(|name| !name.is_empty());
    let autoload = router::autoload(asker.autoload.as_deref(), setup.autoload);
    let has_one = app.service.models().library().only.is_some();
    if !setup.router && (autoload || has_one) {
        return Ok(model_name(app, given));
    }
    let name = match given {
        None if setup.router => return Err(router::unnamed()),
        given => model_name(app, given),
    };
    let located = match find(app, &name).await {
        Err(Failure::UnknownModel(name)) if setup.router => return Err(router::unknown(&name)),
        found => found?,
    };
    let is_loaded = app.service.models().phase(&located.key()) == Phase::Loaded;
    match autoload || is_loaded {
        true => Ok(located.title),
        false => Err(router::not_loaded()),
    }
}

/// The model of a name; a repository of the Hugging Face hub need not have its host.
async fn find(app: &App, name: &str) -> Result<Located, Failure> {
    let models = app.service.models();
    let found = models.find(name).await;
    match (found, on_hub(name)) {
        (Err(Failure::UnknownModel(_)), Some(hub)) => models
            .find(&hub)
            .await
            .map_err(|_| Failure::UnknownModel(name.to_owned())),
        (found, _) => found,
    }
}

/// `OWNER/REPOSITORY[:VERSION]` with the host of the hub.
pub(super) fn on_hub(name: &str) -> Option<String> {
    (name.matches('/').count() == 1).then(|| format!("hf.co/{name}"))
}

/// Begins to load a model.
pub(super) async fn load(State(app): State<App>, Json(body): Json<Map<String, Value>>) -> Response {
    let begun = async {
        let located = find(&app, &router::named(body)?).await?;
        match app.service.models().phase(&located.key()) {
            Phase::Loaded | Phase::Loading => {
                Err(Failure::invalid("model", "model is already running"))
            }
            Phase::Unloaded | Phase::Failed => {
                tokio::spawn(app.clone().load(vec![located.title]));
                Ok(success())
            }
        }
    };
    told(begun.await)
}

/// Unloads a model as soon as nobody has it, or ends its download.
pub(super) async fn unload(
    State(app): State<App>,
    Json(body): Json<Map<String, Value>>,
) -> Response {
    let done = async {
        let name = router::named(body)?;
        if app.llama.downloads.stop(&fetchable(&name)?) {
            return Ok(success());
        }
        let located = find(&app, &name).await?;
        let models = Arc::clone(app.service.models());
        match models.phase(&located.key()) {
            Phase::Loaded => models.unload(&located.title).await.map(drop)?,
            Phase::Loading => {
                tokio::spawn(async move {
                    // Held until it is there, so that it can go.
                    let lease = models.acquire(&located.title, &Load::default()).await;
                    if lease.is_ok() {
                        let _ = models.unload(&located.title).await;
                    }
                });
            }
            Phase::Unloaded | Phase::Failed => {
                return Err(Failure::invalid("model", "model is not running"));
            }
        }
        Ok(success())
    };
    told(done.await)
}

/// What a name means to a registry.
fn fetchable(name: &str) -> Result<Name, Failure> {
    let hub = on_hub(name);
    let text = hub.as_deref().unwrap_or(name);
    Name::parse_source(text).map_err(|error| Failure::invalid("model", error.to_string()))
}

/// Fetches a model in the background.
pub(super) async fn pull(State(app): State<App>, Json(body): Json<Map<String, Value>>) -> Response {
    let begun = async {
        let insecure = router::insecure(&body)?;
        let written = router::named(body)?;
        let name = fetchable(&written)?;
        if app.llama.offline {
            let message = "--offline keeps the model from being fetched";
            return Err(Failure::invalid("model", message));
        }
        if find(&app, &name.to_string()).await.is_ok() {
            let message = format!("model '{written}' already exists");
            return Err(Failure::invalid("model", message));
        }
        fetch(&app, name, written, insecure).await?;
        Ok(success())
    };
    told(begun.await)
}

/// Removes a model from the store.
pub(super) async fn remove(State(app): State<App>, Query(asked): Query<Asked>) -> Response {
    let removed = async {
        let name = asked.model.filter(|name| !name.is_empty());
        let name = name.ok_or_else(router::unnamed)?;
        let located = find(&app, &name).await?;
        let library = app.service.models().library().clone();
        let entry = match &located.weights {
            Weights::Stored(store, entry)
                if located.sets.is_none()
                    && store.layout().root() == library.store.layout().root() =>
            {
                entry.name.clone()
            }
            _ => {
                let message =
                    format!("model '{name}' is not one of the store: it cannot be removed");
                return Err(Failure::invalid("model", message));
            }
        };
        let removed = blocking(move || library.store.remove(&entry)).await?;
        removed.map_err(|error| Failure::Load(without_paths(&error)))?;
        ollama::changed(&app);
        app.llama.downloads.tell(&located.title, News::Removed);
        Ok(success())
    };
    told(removed.await)
}

/// What becomes of all models, as it happens.
pub(super) async fn events(State(app): State<App>) -> Response {
    let mut changes = app.service.models().listen();
    let mut downloads = app.llama.downloads.listen();
    let (to, events) = mpsc::channel(EVENTS);
    tokio::spawn(async move {
        loop {
            let (model, news) = tokio::select! {
                () = to.closed() => return,
                change = changes.recv() => match change {
                    Ok(change) => (change.model, News::Phase(change.phase)),
                    Err(RecvError::Lagged(_)) => unsure(),
                    Err(RecvError::Closed) => return,
                },
                news = downloads.recv() => match news {
                    Ok(news) => news,
                    Err(RecvError::Lagged(_)) => unsure(),
                    Err(RecvError::Closed) => return,
                },
            };
            let frame = Frame::json(&router::news(&model, &news));
            if to.send(Sse::of(&frame)).await.is_err() {
                return;
            }
        }
    });
    sse(events, None)
}

fn unsure() -> (String, News) {
    ("*".to_owned(), News::Unsure)
}
