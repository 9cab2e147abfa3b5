//! The models that are loaded.

use std::{
    sync::Arc,
    time::{Instant, SystemTime},
};

use axum::{extract::State, response::Response};

use super::{
    super::{App, json, listing},
    refuse,
};
use crate::{
    core::{
        Failure,
        models::{Loaded, blocking, without_paths},
        request::KeepAlive,
    },
    dialects::ollama::{self, Listed, Resident},
    library,
};

pub(super) async fn ps(State(app): State<App>) -> Response {
    match residents(&app).await {
        Ok(residents) => json(200, &ollama::ps(residents, SystemTime::now())),
        Err(failure) => refuse(&failure),
    }
}

/// Those that are loaded and have a name. Clients ask often, so no others are looked at.
async fn residents(app: &App) -> Result<Vec<Resident>, Failure> {
    let loaded = app.service.models().loaded();
    let all = move || -> library::Result<Vec<Resident>> {
        let residents = loaded.iter().map(resident);
        residents.filter_map(Result::transpose).collect()
    };
    let residents = blocking(all).await?;
    residents.map_err(|error| Failure::Load(without_paths(&error)))
}

fn resident(model: &Arc<Loaded>) -> library::Result<Option<Resident>> {
    let remaining = match model.keep_alive() {
        KeepAlive::Forever => None,
        KeepAlive::For(time) => Some(
            model
                .expires()
                .map_or(time, |at| at.saturating_duration_since(Instant::now())),
        ),
    };
    let listed = listing::of(&model.located)?;
    Ok(listed.map(|listed| Resident {
        model: Listed {
            size: model.size() as u64,
            ..listed
        },
        accelerated: 0,
        context: model.engine().context() as u64,
        remaining,
    }))
}

#[cfg(test)]
mod tests {
    use hearth_store::{Base, Recipe, Store, config::Settings};

    use super::*;
    use crate::{
        core::{Service, models, request::Load},
        library::{Library, Making},
    };

    /// A model that is loaded is told although the store does not know it any more: nothing but the loaded ones is looked
    /// at.
    #[test]
    fn only_loaded_models_are_looked_at() {
        let directory = tempfile::tempdir().unwrap();
        let library = Library::new(
            Store::new(directory.path().join("store")),
            Settings::default(),
        );
        let recipe = Recipe {
            from: vec![Base::Name("bard".parse().unwrap())],
            ..Recipe::default()
        };
        let making = Making::new(&|_| {});
        library
            .make(&"mine".parse().unwrap(), recipe, &making)
            .unwrap();
        let config = models::Config {
            context: Some(256),
            ..models::Config::default()
        };
        let service = Service::new(models::Models::new(library, config));
        let app = App::open(service, &directory.path().join("kept"), None);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build();
        runtime.unwrap().block_on(async {
            assert!(residents(&app).await.unwrap().is_empty());
            let lease = app
                .service
                .models()
                .acquire("mine", &Load::default())
                .await
                .unwrap();
            std::fs::remove_dir_all(directory.path().join("store/manifests")).unwrap();
            let residents = residents(&app).await.unwrap();
            let [only] = residents.as_slice() else {
                panic!("{residents:?}");
            };
            assert_eq!(only.model.name, "mine:latest");
            assert_eq!((only.context, only.model.size), (256, lease.size() as u64));
        });
    }
}
