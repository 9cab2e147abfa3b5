//! One connection, from its handshake to its end.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::metrics::gauge::Gauge;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use super::handle::{Link, Shared};
use super::phase::Phase;
use super::timed::{Timed, Times};
use super::{Socket, Stop};
use crate::edge::address::is_loopback;
use crate::edge::config::Limits;

/// Headers of a request; hyper answers 431 to more.
const MOST_HEADERS: usize = 128;

/// What all connections share.
pub(super) struct Connector {
    shared: Arc<Shared>,
    http: http1::Builder,
    times: Times,
    tls: Option<TlsAcceptor>,
    /// Nobody has a key.
    keyless: bool,
    stop: watch::Receiver<Stop>,
}

/// Counts a connection for as long as it lives.
struct Counted(Gauge);

impl Counted {
    fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Connector {
    pub(super) fn new(
        shared: Arc<Shared>,
        limits: &Limits,
        tls: Option<TlsAcceptor>,
        keyless: bool,
        stop: watch::Receiver<Stop>,
    ) -> Self {
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            // The socket has deadlines of its own.
            .header_read_timeout(None)
            .max_headers(MOST_HEADERS)
            .max_header_size(limits.header_bytes)
            .max_buf_size(limits.header_bytes.max(64 << 10))
            .keep_alive(true);
        let times = Times {
            head: limits.header_time,
            idle: limits.idle_time,
            write_stall: limits.write_stall_time,
        };
        Self {
            shared,
            http,
            times,
            tls,
            keyless,
            stop,
        }
    }

    /// Serves a connection to its end.
    pub(super) async fn serve(&self, socket: Socket) {
        let _counted = Counted::new(&self.shared.metrics.connections);
        match socket {
            Socket::Tcp {
                stream,
                peer,
                to_loopback,
                only_loopback,
            } => {
                let link = Link {
                    phase: Arc::default(),
                    local: is_loopback(peer),
                    // With keys, a foreign page has none of them; a proxy on this machine may keep its own Host.
                    check_host: to_loopback && (only_loopback || self.keyless),
                    peer: Some(peer),
                };
                match &self.tls {
                    None => self.talk(stream, link).await,
                    // What TLS keeps is large: connections without it do not carry room for it.
                    Some(tls) => Box::pin(self.shake_hands(tls, stream, link)).await,
                }
            }
            #[cfg(unix)]
            Socket::Unix(stream) => {
                let link = Link {
                    phase: Arc::default(),
                    local: true,
                    check_host: false,
                    peer: None,
                };
                self.talk(stream, link).await;
            }
        }
    }

    /// Who does not finish the handshake says nothing worth an error.
    async fn shake_hands(&self, tls: &TlsAcceptor, stream: TcpStream, link: Link) {
        let accepted = tokio::time::timeout(self.times.head, tls.accept(stream)).await;
        if let Ok(Ok(stream)) = accepted {
            self.talk(stream, link).await;
        }
    }

    async fn talk<T>(&self, stream: T, link: Link)
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let phase: Arc<Phase> = Arc::clone(&link.phase);
        let io = TokioIo::new(Timed::new(stream, phase, self.times));
        // In a box, so that a connection that rests has no room for an answer.
        let service = service_fn(|request| {
            let answer = Arc::clone(&self.shared).answer(link.clone(), request);
            Box::pin(async move { Ok::<_, Infallible>(answer.await) })
        });
        let mut connection = pin!(self.http.serve_connection(io, service));
        let mut stop = self.stop.clone();
        let mut stopping = false;
        loop {
            let now = *stop.borrow_and_update();
            match now {
                Stop::No => {}
                Stop::Gently if stopping => {}
                Stop::Gently => {
                    stopping = true;
                    connection.as_mut().graceful_shutdown();
                }
                Stop::Now => return,
            }
            tokio::select! {
                result = &mut connection => {
                    if let Err(error) = result {
                        tracing::debug!(%error, "a connection broke");
                    }
                    return;
                }
                changed = stop.changed() => {
                    if changed.is_err() {
                        return;
                    }
                }
            }
        }
    }
}
