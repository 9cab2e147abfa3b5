//! What talks to the network, until Ctrl-C.

use std::future::Future;

use anyhow::Result;
use hearth_server::library::Library;
use hearth_store::{Entry, Event, Name, Remote};

use crate::{input::Interrupted, progress::Progress};

/// Fetches a model, showing how far it is.
pub(crate) fn pull(
    library: &Library,
    name: &Name,
    remote: &Remote,
    progress: &Progress,
) -> Result<Entry> {
    let watch = |event: Event| progress.event(&event);
    let variable = |name: &str| library.variable(name);
    let pulled = block_on(library.store.pull(name, None, remote, &variable, &watch));
    progress.finish();
    pulled
}

/// Runs it until it ends or somebody presses Ctrl-C.
pub(crate) fn block_on<T>(work: impl Future<Output = hearth_store::Result<T>>) -> Result<T> {
    hearth_store::until_interrupted(work).map_err(|error| match error {
        hearth_store::Error::Cancelled => {
            eprintln!("{}", hearth_store::Error::Cancelled);
            Interrupted.into()
        }
        other => other.into(),
    })
}
