//! Models kept, fetched, named and shared without loss.
//!
//! A [`Store`] is a directory in Ollama's layout: contents by digest, and manifests by [`Name`] that say which
//! contents make up a model. Whatever happens, a name points at complete, verified contents or does not exist.
//! Not here: inference, terminals.
#![forbid(unsafe_code)]

mod digest;
mod disk;
mod error;
mod layout;
mod lock;
mod manifest;
mod name;
mod pins;
mod prune;
mod running;
mod store;

pub use digest::{Digest, DigestError, Hasher};
pub use disk::{Disk, Faults};
pub use error::Error;
pub use layout::Layout;
pub use lock::Lock;
pub use manifest::{CONFIG_TYPE, Config, Kind, Layer, MANIFEST_TYPE, Manifest, parameter_text};
pub use name::{DEFAULT_HOST, DEFAULT_NAMESPACE, DEFAULT_TAG, Name, NameError, Part};
pub use pins::{Pin, Pins};
pub use prune::{Prune, Pruned};
pub use running::{Presence, Running};
pub use store::{Entry, Listing, Store};

/// What this crate's functions return.
pub type Result<T, E = Error> = std::result::Result<T, E>;
