//! The models that lists show, each by the name that means it: those of the store, the built-in one, and those that
//! other programs keep.

use std::{collections::HashSet, time::SystemTime};

use hearth_store::{
    Config, Store,
    origins::{Files, Found},
};

use super::App;
use crate::{
    core::{
        Failure,
        models::{blocking, without_paths},
    },
    dialects::ollama::{Details, Listed},
    library::{self, BUILT_IN, Library, Located, Weights},
};

/// The list, without blocking the caller.
pub(super) async fn listed(app: &App) -> Result<Vec<Listed>, Failure> {
    let all = whole(app).await?;
    Ok(all.into_iter().map(|one| one.listed).collect())
}

/// How a listed model is found.
pub(super) struct Whole {
    pub(super) listed: Listed,
    /// What it is called once it is loaded.
    pub(super) title: String,
    /// As [`Located::key`].
    pub(super) key: String,
    /// It is one of our store.
    pub(super) is_stored: bool,
}

/// The list with how each is found, without blocking the caller.
pub(super) async fn whole(app: &App) -> Result<Vec<Whole>, Failure> {
    let library = app.service.models().library().clone();
    let listed = blocking(move || keyed(&library)).await?;
    listed.map_err(|error| Failure::Load(without_paths(&error)))
}

/// What each is, in a few words: one with a config by that, the built-in one by its weights. A name is listed once, for
/// the model that it means.
fn keyed(library: &Library) -> library::Result<Vec<Whole>> {
    let stored = library.stored()?;
    let stored = stored.into_iter().map(|(entry, config)| Whole {
        listed: Listed::stored(&entry, Details::of(&config)),
        title: entry.name.to_string(),
        key: Weights::Stored(library.store.clone(), Box::new(entry)).key(),
        is_stored: true,
    });
    let built_in = Whole {
        listed: built_in()?,
        title: BUILT_IN.to_owned(),
        key: Located::bard().key(),
        is_stored: false,
    };
    let others = library.others();
    let others = others.found.iter().filter_map(|found| {
        Some(Whole {
            listed: foreign(found)?,
            title: found.title.clone(),
            key: Weights::found(found).key(),
            is_stored: false,
        })
    });
    let mut all: Vec<Whole> = stored.chain([built_in]).chain(others).collect();
    let mut names = HashSet::new();
    all.retain(|one| names.insert(one.listed.name.clone()));
    Ok(all)
}

/// What lists show of one model, without a look at the others; none where no name means it.
///
/// # Errors
/// When what it is cannot be read.
pub(super) fn of(located: &Located) -> library::Result<Option<Listed>> {
    if let Some(found) = &located.found {
        return Ok(foreign(found));
    }
    match &located.weights {
        Weights::BuiltIn(_) => built_in().map(Some),
        Weights::Stored(store, entry) => {
            // A config that cannot be read is told when the model is used.
            let config = store.config(entry).unwrap_or_default();
            Ok(Some(Listed::stored(entry, Details::of(&config))))
        }
        Weights::Parts(_) | Weights::Path(_) => Ok(None),
    }
}

fn built_in() -> library::Result<Listed> {
    let bard = Located::bard();
    Ok(Listed {
        name: format!("{}:latest", bard.title),
        modified: SystemTime::UNIX_EPOCH,
        size: bard.size() as u64,
        digest: bard.digest(),
        details: Details::default().with(&bard.open()?),
    })
}

fn foreign(found: &Found) -> Option<Listed> {
    let details = match &found.files {
        Files::Manifest(entry) => {
            // A config that cannot be read is told when the model is used.
            let config: Config = Store::new(&found.folder).config(entry).unwrap_or_default();
            Details::of(&config)
        }
        Files::Gguf(_) | Files::Directory(_) => Details::found(found),
    };
    Listed::found(found, details)
}

#[cfg(test)]
mod tests {
    use hearth_store::{Base, Create, Recipe, config::Settings};

    use super::*;

    #[test]
    fn one_is_listed_as_among_all() {
        let directory = tempfile::tempdir().unwrap();
        let folder = directory.path().join("others");
        std::fs::create_dir(&folder).unwrap();
        let file = folder.join("elsewhere.gguf");
        let Weights::BuiltIn(bytes) = Located::bard().weights else {
            panic!()
        };
        std::fs::write(&file, bytes).unwrap();
        let library = Library::new(
            Store::new(directory.path().join("store")),
            Settings {
                folders: vec![folder],
                ..Settings::default()
            },
        );
        let create = Create {
            link: false,
            check_template: &|_| Ok(()),
            transform: None,
            watch: &|_| {},
        };
        let recipe = Recipe {
            from: vec![Base::Path(file)],
            ..Recipe::default()
        };
        let made = library
            .store
            .create(&"mine".parse().unwrap(), &recipe, &create);
        made.unwrap();
        let all = keyed(&library).unwrap();
        for name in ["mine", "elsewhere", "bard"] {
            let located = library.find_by_text(name).unwrap().unwrap();
            let name = format!("{name}:latest");
            let listed = all.iter().find(|one| one.listed.name == name).unwrap();
            let alone = of(&located).unwrap().unwrap();
            assert_eq!(format!("{alone:?}"), format!("{:?}", listed.listed));
        }
        // A file that was named by its path is nobody's to see.
        let path = Located::path(&directory.path().join("others/elsewhere.gguf"));
        assert!(of(&path).unwrap().is_none());
    }
}
