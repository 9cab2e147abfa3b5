//! `/api/show`.

use axum::{extract::State, response::Response};
use hearth_format::Gguf;
use hearth_store::{Config, Name};
use serde_json::{Map, Value};

use super::{
    super::{App, Asker, json},
    refuse,
};
use crate::{
    core::{
        Failure,
        models::{blocking, without_paths},
    },
    dialects::ollama::{self, AskedShow, Details, Shown},
    edge::{Json, Scope},
    library::{Abilities, Error, Located, Weights},
};

pub(super) async fn show(
    State(app): State<App>,
    asker: Asker,
    Json(body): Json<Map<String, Value>>,
) -> Response {
    let paths = asker.caller.need(Scope::Manage).is_ok();
    let shown = async {
        let asked = ollama::asked_show(body)?;
        let found = app.service.models().find(&asked.model).await;
        let located = found.map_err(|failure| shortest(failure, &asked.model))?;
        let shown = blocking(move || tell(&asked, &located, paths)).await?;
        shown.map_err(|error| Failure::Load(without_paths(&error)))
    };
    match shown.await {
        Ok(answer) => json(200, &answer),
        Err(failure) => refuse(&failure),
    }
}

/// What is not there is named with its tag.
fn shortest(failure: Failure, model: &str) -> Failure {
    match (failure, Name::parse_source(model)) {
        (Failure::UnknownModel(_), Ok(name)) => Failure::UnknownModel(name.to_string()),
        (other, _) => other,
    }
}

/// The answer, from the files alone.
fn tell(asked: &AskedShow, located: &Located, paths: bool) -> Result<Value, Error> {
    let checkpoint = located.open()?;
    let package = located.package.as_ref();
    let abilities = Abilities::of(&checkpoint, package);
    // hearth does not look at images yet: nobody is told that it does.
    let capabilities = ollama::capabilities(
        &abilities.spoken,
        !abilities.generates,
        false,
        abilities.inserts,
    );
    let details = match package {
        Some(package) => Details::of(&package.config),
        None => Details::of(&Config::of(&checkpoint)),
    };
    let name = Name::parse_source(&located.title);
    let projectors = package.map_or(&[][..], |package| &package.projectors);
    let projector = projectors
        .first()
        .map(|path| Gguf::open(path))
        .transpose()?;
    Ok(ollama::show(
        asked,
        &Shown {
            basename: name.as_ref().map_or(located.title.as_str(), Name::model),
            package,
            checkpoint: &checkpoint,
            template: &abilities.template,
            capabilities: &capabilities,
            projector: projector.as_ref().map(Gguf::metadata),
            details: &details.with(&checkpoint),
            modified: located.modified(),
            built_in: matches!(located.weights, Weights::BuiltIn(_)),
            paths,
        },
    ))
}
