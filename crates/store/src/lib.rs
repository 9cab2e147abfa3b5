//! Models kept, fetched, named and shared without loss.
//!
//! A [`Store`] is a directory in Ollama's layout: contents by digest, and manifests by [`Name`] that say which
//! contents make up a model. Whatever happens, a name points at complete, verified contents or does not exist.
//! Not here: inference, terminals.
#![forbid(unsafe_code)]

mod archive;
pub mod config;
mod create;
mod digest;
mod disk;
mod error;
#[cfg(test)]
mod fixtures;
pub mod http;
pub mod hub;
mod layout;
mod lock;
mod manifest;
mod modelfile;
mod name;
pub mod origins;
mod package;
mod pins;
mod progress;
mod prune;
mod registry;
mod run;
mod running;
mod sink;
mod store;
mod transfer;

pub use create::{Base, Create, Recipe, Transform};
pub use digest::{Digest, DigestError, Hasher};
pub use disk::{Disk, Faults, free_space};
pub use error::Error;
pub use http::{Client, Credentials, Reach, Timing};
pub use layout::Layout;
pub use lock::Lock;
pub use manifest::{CONFIG_TYPE, Config, Kind, Layer, MANIFEST_TYPE, Manifest, parameter_text};
pub use modelfile::{
    Instruction, Located, Modelfile, ModelfileError, ParameterType, ParameterValue, Problem, Role,
};
pub use name::{DEFAULT_HOST, DEFAULT_NAMESPACE, DEFAULT_TAG, Name, NameError, Part};
pub use package::{Package, Turn};
pub use pins::{Pin, Pins};
pub use progress::{Event, Verb, Watch};
pub use prune::{Prune, Pruned};
pub use registry::Remote;
pub use run::until_interrupted;
pub use running::{Presence, Running};
pub use store::{Entry, Listing, Store};

/// What this crate's functions return.
pub type Result<T, E = Error> = std::result::Result<T, E>;
