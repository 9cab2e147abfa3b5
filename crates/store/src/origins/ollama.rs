//! A store of Ollama, read in place.

use super::{Files, Found, Place, unreadable};
use crate::{Config, Entry, Error, Kind, Result, Store};

/// The models whose contents are all there. Models of a hosted service are not on this machine and not listed.
pub(super) fn scan(place: &Place, faults: &mut Vec<Error>) -> Vec<Found> {
    let store = Store::new(&place.folder);
    let listing = match store.list() {
        Ok(listing) => listing,
        Err(error) => {
            faults.push(unreadable::explain(error));
            return Vec::new();
        }
    };
    faults.extend(listing.faults.into_iter().map(unreadable::explain));
    let mut found = Vec::new();
    for entry in listing.entries {
        match model(&store, &entry) {
            Ok(Some(config)) => found.push(Found {
                name: Some(entry.name.clone()),
                title: entry.name.to_string(),
                origin: place.origin,
                folder: place.folder.clone(),
                projector: None,
                architecture: Some(config.model_family).filter(|family| !family.is_empty()),
                size: entry.manifest.size(),
                modified: entry.modified,
                files: Files::Manifest(Box::new(entry)),
                aliases: Vec::new(),
            }),
            Ok(None) => {}
            Err(error) => faults.push(unreadable::explain(error)),
        }
    }
    found
}

/// The config of a model that is on this machine.
fn model(store: &Store, entry: &Entry) -> Result<Option<Config>> {
    let config = store.config(entry)?;
    if config.remote_host.is_some() {
        return Ok(None);
    }
    let weights = [Kind::Model, Kind::Tensor, Kind::Safetensors];
    if !entry
        .manifest
        .layers
        .iter()
        .any(|layer| weights.contains(&layer.kind()))
    {
        return Err(Error::invalid(entry.name.to_string(), "it has no weights"));
    }
    for layer in entry.manifest.contents() {
        let path = store.layer_file(&entry.name, layer)?;
        std::fs::File::open(&path).map_err(|error| Error::io(&path, error))?;
    }
    Ok(Some(config))
}
