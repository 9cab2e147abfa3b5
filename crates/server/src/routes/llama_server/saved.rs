//! `POST /slots/{id}`: what was computed of a place's text, kept in a file of its own.

use std::{
    io,
    path::{Path as FilePath, PathBuf},
    time::Instant,
};

use axum::{
    extract::{Path, Query, State},
    response::Response,
};
use serde_json::{Map, Value};

use super::{
    super::{App, Asker},
    control::Asked,
    model, said, told,
};
use crate::{
    core::{
        Failure,
        models::{Lease, blocking},
    },
    dialects::llama_server::{
        self,
        control::{self, SlotAction},
    },
    edge::{Json, Refused},
};

pub(super) async fn slot(
    State(app): State<App>,
    asker: Asker,
    Path(id): Path<String>,
    Query(asked): Query<Asked>,
    body: Result<Json<Map<String, Value>>, Refused>,
) -> Response {
    let Some(directory) = &app.llama.slot_directory else {
        return said(llama_server::switched_off("--slot-save-path"));
    };
    // To forget something nothing needs to be said; otherwise a file is missing.
    let body = body.map(|Json(body)| body).unwrap_or_default();
    let places = &app.llama.places;
    let done = async {
        let id = id
            .parse::<usize>()
            .ok()
            .filter(|id| *id < places.count())
            .ok_or_else(|| Failure::invalid("id_slot", format!("there is no slot '{id}'")))?;
        let action = control::slot_action(asked.action.as_deref(), body)?;
        places.free(id).await;
        match action {
            SlotAction::Erase => Ok(control::erased(id, places.erase(id))),
            SlotAction::Save(name) => save(&app, &asker, id, directory, &name).await,
            SlotAction::Restore(name) => {
                restore(&app, &asker, id, directory.join(&name), &name).await
            }
        }
    };
    told(done.await)
}

async fn save(
    app: &App,
    asker: &Asker,
    id: usize,
    directory: &FilePath,
    name: &str,
) -> Result<Value, Failure> {
    let begun = Instant::now();
    let (ids, path) = (app.llama.places.held(id), directory.join(name));
    let work = move |model: Lease| {
        std::fs::create_dir_all(path.parent().unwrap_or(&path))?;
        model.runner.save(ids, path)
    };
    let (tokens, bytes) = on_disk(app, asker, work).await?;
    Ok(control::saved(id, name, tokens, bytes, milliseconds(begun)))
}

async fn restore(
    app: &App,
    asker: &Asker,
    id: usize,
    path: PathBuf,
    name: &str,
) -> Result<Value, Failure> {
    let begun = Instant::now();
    let (ids, bytes) = on_disk(app, asker, move |model: Lease| model.runner.load(path)).await?;
    let tokens = ids.len();
    app.llama.places.hold(id, ids);
    Ok(control::restored(
        id,
        name,
        tokens,
        bytes,
        milliseconds(begun),
    ))
}

fn milliseconds(begun: Instant) -> f64 {
    begun.elapsed().as_secs_f64() * 1e3
}

/// Has the model's loop do something with a file.
async fn on_disk<T: Send + 'static>(
    app: &App,
    asker: &Asker,
    work: impl FnOnce(Lease) -> io::Result<T> + Send + 'static,
) -> Result<T, Failure> {
    let model = model(app, asker, None).await?;
    blocking(move || work(model)).await?.map_err(|error| {
        let message = match error.kind() {
            io::ErrorKind::NotFound => "there is no saved slot of this name",
            io::ErrorKind::InvalidData => {
                "the file is damaged, or of another model or other settings: save the slot again"
            }
            kind => return Failure::Internal(format!("the file cannot be used: {kind}")),
        };
        Failure::invalid("filename", message)
    })
}
