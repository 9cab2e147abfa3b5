//! Waiting for work that talks to the network.

use std::future::Future;

use crate::{Error, Result};

/// Runs `work` until it is done, or Ctrl-C is pressed: then [`Error::Cancelled`].
///
/// # Errors
/// Those of `work`, and when the system gives no threads.
pub fn until_interrupted<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Error::invalid("the network's threads", error.to_string()))?;
    let result = runtime.block_on(async {
        tokio::select! {
            result = work => result,
            _ = tokio::signal::ctrl_c() => Err(Error::Cancelled),
        }
    });
    // What reads the disk on other threads notices that nobody waits for it.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    result
}
