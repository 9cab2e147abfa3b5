//! Models that other programs keep on this machine, used where they are.
//!
//! Nothing here writes, renames or touches anything. What is incomplete or cannot be read is told, never listed as if
//! it could be used.

mod checkpoint;
mod files;
mod found;
mod hub_cache;
mod llama_cpp;
mod ollama;
mod repository;
mod standard;
#[cfg(unix)]
#[cfg(test)]
mod tests;
mod unreadable;

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
};

pub use found::{Files, Found, FoundListing, Origin};
use repository::Naming;

use crate::Error;

/// Folders of other programs, in the order in which they are looked at.
#[derive(Clone, Debug, Default)]
pub struct Origins {
    places: Vec<Place>,
}

/// A folder and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    origin: Origin,
    folder: PathBuf,
    /// Somebody named it for hearth: that it is not there is worth a word.
    expected: bool,
}

impl Origins {
    /// Leaves out a folder that is no other program's: the store itself.
    #[must_use]
    pub fn except(mut self, own: &Path) -> Self {
        let own = canonical(own);
        self.places.retain(|place| canonical(&place.folder) != own);
        self
    }

    /// The folders and whose they are, whether or not they are there.
    pub fn places(&self) -> impl Iterator<Item = (Origin, &Path)> {
        self.places
            .iter()
            .map(|place| (place.origin, place.folder.as_path()))
    }

    /// Looks for models in all folders. The first model of a name keeps it, and what several folders lead to is
    /// found once.
    pub fn scan(&self) -> FoundListing {
        let mut listing = FoundListing::default();
        let mut folders = HashSet::new();
        for place in &self.places {
            if !place.is_there(&mut listing.faults) || !folders.insert(canonical(&place.folder)) {
                continue;
            }
            let found = place.scan(&mut listing.faults);
            listing.found.extend(found);
        }
        let mut seen = HashSet::new();
        listing.found.retain(|found| seen.insert(found.identity()));
        let mut names = HashSet::new();
        for found in &mut listing.found {
            found.keep_names(|name| names.insert(name.full().to_ascii_lowercase()));
        }
        listing
    }
}

impl Place {
    fn is_there(&self, faults: &mut Vec<Error>) -> bool {
        match std::fs::metadata(&self.folder) {
            Ok(meta) if meta.is_dir() => true,
            Ok(_) => {
                let what = self.folder.display().to_string();
                faults.push(Error::invalid(what, "expected a folder of models"));
                false
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                if self.expected {
                    faults.push(Error::io(&self.folder, error));
                }
                false
            }
            Err(error) => {
                faults.push(unreadable::fault(&self.folder, error));
                false
            }
        }
    }

    fn scan(&self, faults: &mut Vec<Error>) -> Vec<Found> {
        match self.origin {
            Origin::Ollama => ollama::scan(self, faults),
            Origin::HuggingFace => hub_cache::scan(self, faults),
            Origin::LlamaCpp => llama_cpp::scan(self, faults),
            Origin::LmStudio => repository::scan(self, Naming::OwnerAndRepository, faults),
            Origin::Folder => repository::scan(self, Naming::File, faults),
        }
    }
}

fn canonical(path: &Path) -> PathBuf {
    std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}
