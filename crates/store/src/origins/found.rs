//! What was found.

use std::{fmt, path::PathBuf, time::SystemTime};

use super::canonical;
use crate::{Entry, Error, Name};

/// Whose a folder is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Origin {
    /// A store of Ollama.
    Ollama,
    /// The cache of the Hugging Face hub's clients.
    HuggingFace,
    /// The cache of llama.cpp.
    LlamaCpp,
    /// The models of LM Studio.
    LmStudio,
    /// A folder that the configuration names.
    Folder,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ollama => "ollama",
            Self::HuggingFace => "huggingface",
            Self::LlamaCpp => "llama.cpp",
            Self::LmStudio => "lmstudio",
            Self::Folder => "folder",
        })
    }
}

/// Where the weights are.
#[derive(Clone, Debug)]
pub enum Files {
    /// A GGUF model: its parts in their order, a single file mostly.
    Gguf(Vec<PathBuf>),
    /// A directory with `config.json` and safetensors files.
    Directory(PathBuf),
    /// A model of the store in [`Found::folder`], which is not to be changed.
    Manifest(Box<Entry>),
}

/// A model of another program.
#[derive(Clone, Debug)]
pub struct Found {
    /// The name that means it; none where its file has no name that could be one, or another model has it.
    pub name: Option<Name>,
    /// What lists show.
    pub title: String,
    /// Whose it is.
    pub origin: Origin,
    /// The folder of the origin that it was found in.
    pub folder: PathBuf,
    /// The weights.
    pub files: Files,
    /// The GGUF file that lets it see or hear.
    pub projector: Option<PathBuf>,
    /// The architecture as the files call it: GGUF's name or `model_type`.
    pub architecture: Option<String>,
    /// Bytes of the weights.
    pub size: u64,
    /// When the newest of its files was written.
    pub modified: SystemTime,
    /// Other names that mean it.
    pub(super) aliases: Vec<Name>,
}

impl Found {
    /// What tells whether two are the same files.
    pub(super) fn identity(&self) -> (PathBuf, String) {
        match &self.files {
            Files::Gguf(parts) => {
                let first = parts.first().map(|part| canonical(part));
                (first.unwrap_or_default(), String::new())
            }
            Files::Directory(directory) => (canonical(directory), String::new()),
            Files::Manifest(entry) => (canonical(&self.folder), entry.name.full()),
        }
    }

    /// Keeps the names that are still free.
    pub(super) fn keep_names(&mut self, mut is_free: impl FnMut(&Name) -> bool) {
        self.name = self.name.take().filter(&mut is_free);
        self.aliases.retain(is_free);
    }

    /// Whether a name means it. Case does not count, and both of the hub's hosts are the same.
    pub fn is_called(&self, name: &Name) -> bool {
        let same = |own: &Name| {
            let [_, own_rest @ ..] = own.parts();
            let [_, rest @ ..] = name.parts();
            let alike = own_rest
                .iter()
                .zip(rest)
                .all(|(a, b)| a.eq_ignore_ascii_case(b));
            own.matches(name) || (own.is_hub() && name.is_hub() && alike)
        };
        self.name.iter().chain(&self.aliases).any(same)
    }

    /// Whether its title, name, origin or architecture has a text in it, whatever the case.
    pub fn mentions(&self, text: &str) -> bool {
        let text = text.to_lowercase();
        let name = self.name.as_ref().map(Name::full).unwrap_or_default();
        let origin = self.origin.to_string();
        let architecture = self.architecture.as_deref().unwrap_or_default();
        [self.title.as_str(), &name, &origin, architecture]
            .iter()
            .any(|field| field.to_lowercase().contains(&text))
    }
}

/// The models of other programs.
#[derive(Debug, Default)]
pub struct FoundListing {
    /// Those that can be used, in the order of the folders.
    pub found: Vec<Found>,
    /// What is wrong with others: incomplete, damaged, or not to be read by this user.
    pub faults: Vec<Error>,
}

impl FoundListing {
    /// The model of a name.
    pub fn find(&self, name: &Name) -> Option<&Found> {
        self.found.iter().find(|found| found.is_called(name))
    }

    /// Those that mention a text ([`Found::mentions`]).
    pub fn search(&self, text: &str) -> impl Iterator<Item = &Found> {
        self.found.iter().filter(move |found| found.mentions(text))
    }
}
