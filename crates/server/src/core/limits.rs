//! What may be loaded at a time, and for how long.

use std::time::Duration;

use hearth_compute::Precision;
use hearth_engine::Disk;

use super::request::KeepAlive;

/// The limits of what is loaded.
#[derive(Clone, Debug)]
pub struct Config {
    /// How long a model stays when its requests say nothing.
    pub keep_alive: KeepAlive,
    /// Models at a time; 0 is as many as fit into memory.
    pub models: usize,
    /// Bytes that all of them may take; none is what is free.
    pub memory: Option<usize>,
    /// Tokens that a sequence may have where neither the request nor the model says; none is what the model was made
    /// for, as far as memory allows.
    pub context: Option<usize>,
    /// Threads that compute; none means one per core.
    pub threads: Option<usize>,
    /// How products are computed.
    pub precision: Precision,
    /// Texts that generate at a time; none is what memory allows.
    pub parallel: Option<usize>,
    /// Requests that wait for a place in a model.
    pub queue: usize,
    /// Bytes of keys and values of texts that ended, which are kept for those that begin alike.
    pub history: usize,
    /// Load models even where they do not fit.
    pub force: bool,
    /// Where prefixes go that outlive a loaded model and the process.
    pub disk: Option<Disk>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            keep_alive: KeepAlive::For(Duration::from_secs(300)),
            models: 0,
            memory: None,
            context: None,
            threads: None,
            precision: Precision::Fast,
            parallel: None,
            queue: 512,
            history: 1 << 30,
            force: false,
            disk: None,
        }
    }
}
