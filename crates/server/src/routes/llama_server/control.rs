//! What the server says of itself.

use std::{collections::HashSet, time::SystemTime};

use axum::{
    extract::{Query, State},
    response::Response,
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    super::{App, Asker, json as answer, listing},
    Section,
    describe::{Described, describe},
    model, said, told,
};
use crate::{
    core::{Failure, models::Phase},
    dialects::{
        frame::seconds,
        llama_server::{
            self,
            control::{self, Listed, Props, Source},
            router::{self, Status},
        },
    },
    edge::Json,
    library::Located,
};

/// This program, where llama-server has the number of its build.
const BUILD: &str = concat!("hearth-", env!("CARGO_PKG_VERSION"));

pub(super) async fn health() -> Response {
    answer(200, &control::health())
}

/// What stands behind the `?` of some paths.
#[derive(Deserialize)]
pub(super) struct Asked {
    pub(super) model: Option<String>,
    pub(super) action: Option<String>,
    fail_on_no_slot: Option<String>,
}

/// What is known of a model. The only one of a server is known as long as the server runs, loaded or not.
async fn known(app: &App, asker: &Asker, name: Option<String>) -> Result<Described, Failure> {
    if let Some(described) = app.llama.described.get() {
        return Ok(described.clone());
    }
    let described = describe(model(app, asker, name).await?).await?;
    if app.service.models().library().only.is_some() {
        // Another request may have been first; it found the same.
        let _ = app.llama.described.set(described.clone());
    }
    Ok(described)
}

pub(super) async fn props(
    State(app): State<App>,
    asker: Asker,
    Query(asked): Query<Asked>,
) -> Response {
    let unnamed = asked.model.as_ref().is_none_or(String::is_empty);
    if app.llama.router && unnamed {
        let most = app.service.models().most();
        return answer(200, &router::props(most, app.llama.autoload, BUILD));
    }
    let told_props = async {
        let described = known(&app, &asker, asked.model).await?;
        Ok(control::props(&props_of(&app, described)?))
    };
    told(told_props.await)
}

fn props_of(app: &App, described: Described) -> Result<Props, Failure> {
    let setup = &app.llama;
    let nothing = Map::from_iter([("prompt".to_owned(), json!(""))]);
    let sleeping = app.service.models().loaded().is_empty();
    let caps = described.capabilities;
    let caps = json!({
        "supports_string_content": true, "supports_typed_content": false, "supports_system_role": true,
        "supports_tools": caps.tools, "supports_tool_calls": caps.tools, "supports_parallel_tool_calls": caps.tools,
        "supports_preserve_reasoning": caps.thinking, "supports_reasoning_effort": caps.levels,
        "supports_object_arguments": caps.tools,
    });
    Ok(Props {
        settings: llama_server::completion(nothing, &setup.of_model(&described.title).standing)?
            .style
            .settings,
        context: described.meta.n_ctx,
        slots: setup.places.count(),
        alias: described.title,
        ftype: described.meta.ftype,
        path: setup.path.clone(),
        media_marker: setup.media_marker.clone(),
        vision: false,
        slots_endpoint: setup.slots,
        props_endpoint: setup.props,
        metrics_endpoint: setup.metrics,
        template: described.template,
        template_caps: caps.as_object().cloned().unwrap_or_default(),
        tool_template: None,
        bos_token: described.bos,
        eos_token: described.eos,
        build: BUILD.to_owned(),
        sleeping,
    })
}

pub(super) async fn set_props(
    State(app): State<App>,
    Json(_): Json<Map<String, Value>>,
) -> Response {
    match app.llama.props {
        true => answer(200, &control::success()),
        false => said(llama_server::switched_off("--props")),
    }
}

/// The one model of the server; where there is not only one, those of the library.
pub(super) async fn models(State(app): State<App>, asker: Asker) -> Response {
    let listed = async {
        if app.service.models().library().only.is_some() {
            let described = known(&app, &asker, None).await?;
            return Ok(control::models(&[listed(&app, described)]));
        }
        let mut all: Vec<Listed> = Vec::new();
        let mut weights = HashSet::new();
        for section in &app.llama.sections {
            let (listed, key) = sectioned(&app, section).await;
            weights.extend(key.filter(|_| section.dedup));
            all.push(listed);
        }
        let whole = listing::whole(&app).await?.into_iter();
        let others = whole
            .filter(|one| app.llama.section(&one.title).is_none() && !weights.contains(&one.key));
        all.extend(others.map(|one| many(&app, one)));
        all.extend(app.llama.downloads.coming().into_iter().map(coming));
        Ok(control::models(&all))
    };
    told(listed.await)
}

/// One of many.
fn many(app: &App, one: listing::Whole) -> Listed {
    let short = one.title.strip_prefix("hf.co/").map(str::to_owned);
    let full = Some(one.listed.name).filter(|name| *name != one.title);
    let others = full.into_iter().chain(short);
    Listed {
        aliases: [one.title.clone()].into_iter().chain(others).collect(),
        created: seconds(one.listed.modified),
        status: Some(Status::Here(app.service.models().phase(&one.key))),
        source: match one.is_stored {
            true => Source::Store,
            false => Source::Folder,
        },
        id: one.title,
        ..Listed::default()
    }
}

/// One with a section of its own, and the key of its weights where it is here.
async fn sectioned(app: &App, section: &Section) -> (Listed, Option<String>) {
    let models = app.service.models();
    let located = models.find(&section.title).await.ok();
    let phase = (located.as_ref()).map_or(Phase::Unloaded, |it| models.phase(&it.key()));
    let listed = Listed {
        id: section.title.clone(),
        aliases: section.served.aliases.clone(),
        tags: section.served.tags.clone(),
        created: seconds(
            located
                .as_ref()
                .map_or(SystemTime::UNIX_EPOCH, Located::modified),
        ),
        status: Some(Status::Here(phase)),
        source: Source::Section(section.text.clone()),
        ..Listed::default()
    };
    (listed, located.map(|it| it.weights.key()))
}

/// One that is on its way.
fn coming(name: String) -> Listed {
    Listed {
        aliases: vec![name.clone()],
        id: name,
        created: seconds(SystemTime::now()),
        status: Some(Status::Fetching),
        ..Listed::default()
    }
}

fn listed(app: &App, described: Described) -> Listed {
    let loaded = app.service.models().loaded();
    let since = loaded
        .first()
        .map_or_else(SystemTime::now, |model| model.since);
    Listed {
        aliases: app.llama.usual.aliases.clone(),
        tags: app.llama.usual.tags.clone(),
        created: seconds(since),
        meta: Some(described.meta),
        id: described.title,
        status: Some(match loaded.is_empty() {
            true => Status::Sleeping,
            false => Status::Here(Phase::Loaded),
        }),
        source: Source::Folder,
    }
}

pub(super) async fn slots(State(app): State<App>, Query(asked): Query<Asked>) -> Response {
    let setup = &app.llama;
    if !setup.slots {
        return said(llama_server::switched_off("--slots"));
    }
    let loaded = app.service.models().loaded();
    let context = loaded.first().map_or(0, |model| model.engine().context());
    let shown = setup.places.shown(context);
    let wants_free = asked
        .fail_on_no_slot
        .is_some_and(|it| it != "0" && it != "false");
    match wants_free && shown.iter().all(|slot| slot.busy) {
        true => said(llama_server::no_slot()),
        false => answer(200, &control::slots(&shown)),
    }
}

pub(super) async fn adapters() -> Response {
    answer(200, &control::adapters())
}

pub(super) async fn scale_adapters(Json(body): Json<Value>) -> Response {
    told(control::scale_adapters(body).map(|()| control::success()))
}
