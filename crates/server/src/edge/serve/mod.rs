//! The sockets: an accept loop with limits and deadlines, and an end that comes.

mod bind;
mod connection;
mod ended;
mod handle;
mod phase;
mod timed;
mod tls;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::address::Address;
use super::config::{Config, ConfigError, Limits};
use super::limiter::{Limiter, unix_seconds};
use crate::metrics::Metrics;
use crate::usage::{FLUSH_EVERY, Usage};
use bind::{Listener, Socket};
use connection::Connector;
use handle::Shared;

pub use handle::Peer;

/// Time for the rest after those requests were cut that did not end in time.
const LAST_GRACE: Duration = Duration::from_secs(1);

/// Why the server cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The settings are refused.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// An address cannot be had.
    #[error("cannot listen on {address}: {error}; is another server running there?")]
    Bind {
        /// Which.
        address: Address,
        /// Why.
        error: std::io::Error,
    },
    /// TLS cannot begin.
    #[error("cannot use TLS with {path}: {reason}", path = path.display())]
    Tls {
        /// The file that is to blame.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

/// A server that listens and does not answer yet.
pub struct Server {
    config: Config,
    checked: super::config::Checked,
    listeners: Vec<Listener>,
    tls: Option<TlsAcceptor>,
    metrics: Arc<Metrics>,
    usage: Option<Arc<Usage>>,
}

impl Server {
    /// Checks the settings and listens on all addresses. Needs a tokio runtime.
    ///
    /// # Errors
    /// The settings are refused, an address is taken, or TLS cannot be set up.
    pub async fn bind(
        config: Config,
        metrics: Arc<Metrics>,
        usage: Option<Arc<Usage>>,
    ) -> Result<Self, ServeError> {
        let checked = config.check()?;
        for warning in &checked.warnings {
            tracing::warn!("{warning}");
        }
        let tls = match (&config.tls_certificate, &config.tls_key) {
            (Some(certificate), Some(key)) => Some(tls::acceptor(certificate, key)?),
            _ => None,
        };
        let mut listeners = Vec::new();
        for address in &config.listen {
            let listener = Listener::bind(address, config.reuse_port).await;
            listeners.push(listener.map_err(|error| ServeError::Bind {
                address: address.clone(),
                error,
            })?);
        }
        Ok(Self {
            config,
            checked,
            listeners,
            tls,
            metrics,
            usage,
        })
    }

    /// Where the server listens, with the ports that it got.
    pub fn addresses(&self) -> Vec<Address> {
        self.listeners
            .iter()
            .map(|listener| listener.address().clone())
            .collect()
    }

    /// What is allowed and should be known.
    pub fn warnings(&self) -> &[String] {
        &self.checked.warnings
    }

    /// Answers until `shutdown` is done. Then nothing is accepted, requests that run get the time of the settings to
    /// end, and the rest is cut.
    pub async fn run(self, router: Router, shutdown: impl Future<Output = ()>) {
        let limiter = Limiter::new(&self.checked.keys, self.config.limits.in_flight_per_key);
        if let Some(usage) = &self.usage {
            for (place, key) in self.checked.keys.iter().enumerate() {
                limiter.spend(place, usage.tokens_today(&key.name), unix_seconds());
            }
        }
        let keyless = self.checked.keys.is_empty();
        let shared = Arc::new(Shared {
            checked: self.checked,
            body: self.config.limits.body(),
            limiter: Arc::new(limiter),
            metrics: Arc::clone(&self.metrics),
            usage: self.usage.clone(),
            router: handle::with_routes(router),
            random: ring::rand::SystemRandom::new(),
        });
        let (stop, stopping) = watch::channel(Stop::No);
        let places = Arc::new(Semaphore::new(self.config.limits.connections));
        let connector = Arc::new(Connector::new(
            shared,
            &self.config.limits,
            self.tls,
            keyless,
            stopping,
        ));

        let mut loops = JoinSet::new();
        for listener in self.listeners {
            loops.spawn(accept(
                listener,
                Arc::clone(&connector),
                Arc::clone(&places),
            ));
        }
        let flushing = tokio::spawn(flush_now_and_then(self.usage.clone()));
        shutdown.await;

        // Nobody reads the value later than the connections, which may all be gone.
        stop.send_replace(Stop::Gently);
        loops.shutdown().await;
        wait_for_all(&places, &self.config.limits, &stop).await;
        flushing.abort();
        flush(self.usage).await;
    }
}

/// How connections are told to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    No,
    /// After the request that runs.
    Gently,
    Now,
}

async fn wait_for_all(places: &Semaphore, limits: &Limits, stop: &watch::Sender<Stop>) {
    let all = u32::try_from(limits.connections).unwrap_or(u32::MAX);
    for (time, next) in [(limits.shutdown_time, Some(Stop::Now)), (LAST_GRACE, None)] {
        if tokio::time::timeout(time, places.acquire_many(all))
            .await
            .is_ok()
        {
            return;
        }
        if let Some(next) = next {
            tracing::warn!("requests did not end in time and are cut");
            stop.send_replace(next);
        }
    }
}

/// Accepts until it is dropped. A connection beyond the limit waits in the system's queue.
async fn accept(listener: Listener, connector: Arc<Connector>, places: Arc<Semaphore>) {
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        let socket = match listener.accept().await {
            Ok(socket) => socket,
            Err(error) => {
                // Most often there are no file descriptors left: those that end give some back.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let connector = Arc::clone(&connector);
        tokio::spawn(async move {
            connector.serve(socket).await;
            drop(place);
        });
    }
}

async fn flush_now_and_then(usage: Option<Arc<Usage>>) {
    loop {
        tokio::time::sleep(FLUSH_EVERY).await;
        flush(usage.clone()).await;
    }
}

async fn flush(usage: Option<Arc<Usage>>) {
    let Some(usage) = usage else {
        return;
    };
    match tokio::task::spawn_blocking(move || usage.flush()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!("{error}"),
        Err(error) => tracing::warn!(%error, "the usage was not written"),
    }
}
