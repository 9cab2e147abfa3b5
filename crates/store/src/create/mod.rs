//! New models: made from stored ones and from files, by a recipe.

mod describe;
mod directory;
mod intake;
mod local;
mod recipe;

#[cfg(test)]
mod tests;

use std::{io::Write, path::PathBuf};

use hearth_format::Checkpoint;
use serde_json::{Map, Value};

use crate::{
    CONFIG_TYPE, Config, Entry, Error, Event, Kind, Layer, Manifest, Name, Package, Result, Store,
    Watch, manifest::LARGEST, store::LARGEST_TEXT,
};
pub(crate) use describe::describe;
use intake::{Intake, Piece};
use local::Local;
pub use recipe::{Base, Recipe};

/// Writes weights in another form, as one GGUF file: quantised, or converted from a checkpoint directory.
pub type Transform<'a> = dyn Fn(&Checkpoint, &mut dyn Write) -> Result<(), Box<dyn std::error::Error + Send + Sync>>
    + 'a;

/// How a model is made.
#[derive(Clone, Copy)]
pub struct Create<'a> {
    /// Large files come into the store as hard links: no copy, and whoever changes the file changes the model. Else
    /// they share their blocks where the disk can do that, and are copied where it cannot.
    pub link: bool,
    /// Says what is wrong with a template in Go's language.
    pub check_template: &'a dyn Fn(&str) -> Result<(), String>,
    /// Applied to the weights.
    pub transform: Option<&'a Transform<'a>>,
    /// Told what goes on.
    pub watch: Watch<'a>,
}

impl Store {
    /// Makes a model. Its name points at complete contents that were read as what they are, or at what it did before.
    ///
    /// # Errors
    /// When the recipe names what is not there, a file is not a model, an adapter or what it has to be, the template is
    /// wrong, the disk is full, or the name is pinned.
    pub fn create(&self, name: &Name, recipe: &Recipe, options: &Create<'_>) -> Result<Entry> {
        if let Some(template) = given(&recipe.template) {
            (options.check_template)(template)
                .map_err(|why| Error::invalid("template error", why))?;
        }
        let _lock = self.adding()?;
        if recipe.names().count() < recipe.from.len() {
            (options.watch)(Event::Status("parsing GGUF".to_owned()));
        }
        let mut making = Making::begin(self, recipe, options)?;
        making.bring_files(recipe)?;
        making.transform()?;
        making.describe()?;
        making.add_texts(recipe)?;
        let manifest = making.finish(recipe)?;
        (options.watch)(Event::Status("writing manifest".to_owned()));
        let entry = self.point(name, &manifest)?;
        (options.watch)(Event::Status("success".to_owned()));
        Ok(entry)
    }
}

/// A model in the making.
struct Making<'a> {
    store: &'a Store,
    options: &'a Create<'a>,
    config: Config,
    layers: Vec<Layer>,
    /// The stored model that it is made from.
    parent: Option<Entry>,
    /// What it is made from otherwise.
    local: Local,
    /// Weights that are not the parent's.
    own_weights: bool,
}

impl<'a> Making<'a> {
    /// Finds everything and looks at it, and writes nothing.
    fn begin(store: &'a Store, recipe: &Recipe, options: &'a Create<'a>) -> Result<Self> {
        let parent = recipe
            .names()
            .last()
            .map(|name| store.get(name))
            .transpose()?;
        let local = Local::find(store, &recipe.from)?;
        let (mut config, mut layers) = (Config::default(), Vec::new());
        match &parent {
            Some(parent) if local.weights.is_some() => {
                let why = "FROM names a stored model and files with weights; a model has one set of weights";
                return Err(Error::invalid(parent.name.to_string(), why));
            }
            Some(parent) => {
                config = store.config(parent)?;
                config.other.remove("rootfs"); // it lists the parent's layers
                layers = parent.manifest.layers.clone();
                let from = parent.name.to_string();
                layers
                    .iter_mut()
                    .for_each(|layer| layer.from = Some(from.clone()));
            }
            None if local.weights.is_none() => {
                let why = "no weights: FROM has to name a stored model, a GGUF file or a directory";
                return Err(Error::invalid("FROM", why));
            }
            None => {}
        }
        Ok(Self {
            store,
            options,
            config,
            layers,
            parent,
            local,
            own_weights: false,
        })
    }

    /// Takes files into the store and reads them there as what they are. Weights that are to be transformed stay
    /// where they are.
    fn bring_files(&mut self, recipe: &Recipe) -> Result<()> {
        let mut pieces = Vec::new();
        if let Some(weights) = &self.local.weights
            && self.options.transform.is_none()
        {
            pieces.extend(weights.pieces());
            self.own_weights = true;
        }
        let single = |kind, path: &PathBuf| Piece::new(self.store, kind, None, path.clone());
        pieces.extend(
            self.local
                .projectors
                .iter()
                .map(|p| single(Kind::Projector, p)),
        );
        for (kind, path) in [
            (Kind::Adapter, &recipe.adapter),
            (Kind::Draft, &recipe.draft),
        ] {
            if let Some(base) = path {
                let path = base.file(self.store)?;
                local::check(kind, &path)?;
                pieces.push(single(kind, &path));
            }
        }
        if recipe.draft.is_some() {
            self.layers.retain(|layer| layer.kind() != Kind::Draft);
        }
        let layers = Intake::new(self.store, self.options).take(&pieces)?;
        for layer in &layers {
            let alone = matches!(layer.kind(), Kind::Projector | Kind::Adapter | Kind::Draft);
            if alone {
                local::check(layer.kind(), &self.store.layout().blob(&layer.digest))?;
            }
        }
        self.layers.extend(layers);
        Ok(())
    }

    /// Puts transformed weights in the place of those that there are.
    fn transform(&mut self) -> Result<()> {
        let Some(transform) = self.options.transform else {
            return Ok(());
        };
        let checkpoint = match (&self.local.weights, &self.parent) {
            (Some(weights), _) => weights.open()?,
            (None, Some(parent)) => self.store.open(parent)?,
            (None, None) => unreachable!("begin refuses a model without weights"),
        };
        let layer =
            Intake::new(self.store, self.options).write(|out| transform(&checkpoint, out))?;
        self.layers.retain(|layer| !is_weights(layer.kind()));
        self.layers.insert(0, layer);
        self.own_weights = true;
        Ok(())
    }

    /// Reads new weights from the store as the model that they are to be, and says so in the config.
    fn describe(&mut self) -> Result<()> {
        let projectors = self
            .layers
            .iter()
            .filter(|layer| layer.kind() == Kind::Projector)
            .count();
        if self.own_weights {
            let checkpoint = self.store.checkpoint("the new model", &self.layers)?;
            describe(&mut self.config, &checkpoint, projectors);
        } else if !self.local.projectors.is_empty() {
            describe::add_projector(&mut self.config);
        }
        Ok(())
    }

    fn add_texts(&mut self, recipe: &Recipe) -> Result<()> {
        for (kind, text) in [
            (Kind::Template, &recipe.template),
            (Kind::System, &recipe.system),
        ] {
            if let Some(text) = given(text) {
                self.replace(kind, text.as_bytes())?;
            }
        }
        for license in recipe.licenses.iter().filter(|text| !text.is_empty()) {
            let layer = self.text(Kind::License, license.as_bytes())?;
            let there = |l: &Layer| l.kind() == Kind::License && l.digest == layer.digest;
            if !self.layers.iter().any(there) {
                self.layers.push(layer);
            }
        }
        if !recipe.params.is_empty() {
            let params = self.merged(&recipe.params)?;
            self.replace(Kind::Params, json(&params)?.as_bytes())?;
        }
        if !recipe.messages.is_empty() {
            self.replace(Kind::Messages, json(&recipe.messages)?.as_bytes())?;
        }
        Ok(())
    }

    /// The parent's parameters with others over them, in the order of names.
    fn merged(&self, params: &Map<String, Value>) -> Result<Map<String, Value>> {
        let mut merged = match &self.parent {
            Some(parent) => Package::read(self.store, parent)?.params,
            None => Map::new(),
        };
        merged.extend(params.clone());
        merged.sort_keys();
        Ok(merged)
    }

    /// A new text in the place of those of its kind.
    fn replace(&mut self, kind: Kind, bytes: &[u8]) -> Result<()> {
        let layer = self.text(kind, bytes)?;
        self.layers.retain(|layer| layer.kind() != kind);
        self.layers.push(layer);
        Ok(())
    }

    fn text(&self, kind: Kind, bytes: &[u8]) -> Result<Layer> {
        let size = bytes.len() as u64;
        if size > LARGEST_TEXT {
            return Err(Error::TooLarge {
                what: format!("a {kind:?} text"),
                limit: LARGEST_TEXT,
            });
        }
        let digest = self.store.put(bytes)?;
        Ok(Layer::new(kind, digest, size))
    }

    /// The manifest, its config in the store.
    fn finish(mut self, recipe: &Recipe) -> Result<Manifest> {
        let config = &mut self.config;
        for (field, text) in [
            (&mut config.renderer, &recipe.renderer),
            (&mut config.parser, &recipe.parser),
            (&mut config.requires, &recipe.requires),
        ] {
            if given(text).is_some() {
                field.clone_from(text);
            }
        }
        config.architecture = "amd64".to_owned();
        config.os = "linux".to_owned();
        let bytes = json(&self.config)?;
        let mut config = self.text(Kind::Other, bytes.as_bytes())?;
        config.media_type = CONFIG_TYPE.to_owned();
        let manifest = Manifest::build(config, self.layers)?;
        debug_assert!(manifest.raw().len() as u64 <= LARGEST);
        Ok(manifest)
    }
}

/// A text that says something.
fn given(text: &Option<String>) -> Option<&str> {
    text.as_deref().filter(|text| !text.is_empty())
}

fn is_weights(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Model | Kind::Safetensors | Kind::Json | Kind::Tensor
    )
}

fn json(value: &impl serde::Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|error| Error::invalid("the new model", error.to_string()))
}
