//! `/api/create`.

use std::ops::ControlFlow;

use axum::{extract::State, response::Response};
use hearth_quantize::Mixture;
use serde_json::{Map, Value};

use super::{
    super::{App, Asker},
    manage::{changed, failed, forbidden},
    progress::{Refusal, Teller, told},
    refuse,
};
use crate::{
    core::Failure,
    dialects::ollama::{self, AskedCreate, Transfer},
    edge::Json,
    library::{Error, Library, Making, environment, is_built_in},
};

pub(super) async fn create(
    State(app): State<App>,
    asker: Asker,
    Json(body): Json<Map<String, Value>>,
) -> Response {
    if let Some(refusal) = forbidden(&asker) {
        return refusal;
    }
    let asked = ollama::asked_create(body).and_then(|asked| {
        let mixture = asked.quantize.as_deref().map(Mixture::parse).transpose();
        let mixture = mixture.map_err(|e| Failure::invalid("quantize", e.to_string()))?;
        Ok((asked, mixture))
    });
    let (asked, mixture) = match asked {
        Ok(asked) => asked,
        Err(failure) => return refuse(&failure),
    };
    told(Transfer::Create, asked.stream, move |teller| {
        let warnings = make(app.service.models().library(), asked, mixture, teller)?;
        changed(&app);
        Ok(warnings)
    })
    .await
}

/// Makes the model, and gives what the client should know.
fn make(
    library: &Library,
    asked: AskedCreate,
    mixture: Option<Mixture>,
    teller: &Teller,
) -> Result<Vec<String>, Refusal> {
    let watch = |event| teller.event(event);
    let work = || -> Result<Vec<String>, Error> {
        for name in asked.recipe.names() {
            if library.store.find(name)?.is_none() && !is_built_in(name) {
                let remote = library.remote(false);
                teller.run(
                    library
                        .store
                        .pull(name, None, &remote, &environment, &watch),
                )?;
            }
        }
        let making = Making {
            mixture,
            quantizing: &|quantizing| {
                let (done, total) = (quantizing.progress.done, quantizing.progress.total);
                teller.now_and_then(done >= total, || {
                    ollama::quantizing(quantizing.from, quantizing.to.name(), done, total)
                });
                match teller.is_alone() {
                    true => ControlFlow::Break(()),
                    false => ControlFlow::Continue(()),
                }
            },
            ..Making::new(&watch)
        };
        let made = library.make(&asked.name, asked.recipe.clone(), &making)?;
        Ok(made.notes)
    };
    let notes = work().map_err(|error| failed(library, &error))?;
    Ok(asked.warnings.into_iter().chain(notes).collect())
}
