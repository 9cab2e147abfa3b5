//! What happens when a request ended, however it did.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use axum::body::{Body, HttpBody};
use axum::http::Method;
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};

use super::phase::{Doing, Phase};
use crate::edge::context::{Account, RequestId};
use crate::edge::limiter::Permit;
use crate::metrics::Metrics;
use crate::usage::Usage;

/// The status of a request whose client went away before it had one.
const CLIENT_WENT_AWAY: u16 = 499;

/// Is dropped when a request ended: its answer was sent, its client went away, or its connection broke, and no work goes
/// on for a client that may come back.
pub(super) struct Ended {
    pub(super) metrics: Arc<Metrics>,
    pub(super) usage: Option<Arc<Usage>>,
    /// The connection's, until the answer has it.
    phase: Option<Arc<Phase>>,
    pub(super) account: Account,
    pub(super) id: RequestId,
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) key: Option<String>,
    pub(super) permit: Option<Permit>,
    pub(super) status: u16,
    pub(super) begin: Instant,
    /// The answer came to its end.
    pub(super) whole: bool,
}

impl Ended {
    pub(super) fn new(
        metrics: &Arc<Metrics>,
        usage: Option<&Arc<Usage>>,
        phase: &Arc<Phase>,
        method: &Method,
        id: RequestId,
    ) -> Self {
        metrics.in_flight.inc();
        Self {
            metrics: Arc::clone(metrics),
            usage: usage.cloned(),
            phase: Some(Arc::clone(phase)),
            account: Account::default(),
            id,
            method: method.clone(),
            path: String::new(),
            key: None,
            permit: None,
            status: CLIENT_WENT_AWAY,
            begin: Instant::now(),
            whole: false,
        }
    }

    /// One line. The path stands in it only where no route has it, and never the query.
    fn log(&self, end: Instant) {
        let entries = self.account.entries();
        let route = entries
            .route
            .as_deref()
            .unwrap_or_else(|| self.path.get(..128).unwrap_or(&self.path));
        tracing::info!(
            target: "hearth::request",
            id = &*self.id.0,
            method = self.method.as_str(),
            route,
            model = entries.model.as_deref(),
            key = self.key.as_deref(),
            status = self.status,
            ms = u64::try_from(end.duration_since(self.begin).as_millis()).unwrap_or(u64::MAX),
            prompt_tokens = entries.tokens.prompt,
            cached_tokens = entries.tokens.cached,
            generated_tokens = entries.tokens.generated,
            whole = self.whole,
            failure = entries.failure,
        );
    }
}

impl Drop for Ended {
    fn drop(&mut self) {
        let end = Instant::now();
        if let Some(phase) = &self.phase {
            phase.begin(Doing::Idle);
        }
        self.metrics.in_flight.dec();
        self.metrics.ended(
            self.method.as_str(),
            self.status,
            &self.account,
            self.begin,
            end,
        );
        let entries = self.account.entries();
        if let Some(permit) = &self.permit {
            permit.spend(
                entries
                    .tokens
                    .prompt
                    .saturating_add(entries.tokens.generated),
            );
        }
        if let (Some(usage), Some(model)) = (&self.usage, &entries.model) {
            usage.record(
                model,
                self.key.as_deref(),
                entries.tokens,
                end.duration_since(self.begin),
            );
        }
        self.log(end);
    }
}

/// The body of an answer, which ends the request when it is dropped.
pub(super) struct Answer {
    inner: Body,
    phase: Option<Arc<Phase>>,
    /// There until this is dropped.
    ended: Option<Ended>,
}

impl Answer {
    pub(super) fn new(inner: Body, mut ended: Ended) -> Self {
        // Nothing of it is sent, so nothing can be missing.
        ended.whole = ended.method == Method::HEAD || inner.is_end_stream();
        Self {
            inner,
            phase: ended.phase.take(),
            ended: Some(ended),
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if let Some(phase) = &self.phase {
            phase.begin(Doing::Idle);
        }
        if let Some(ended) = self.ended.take() {
            let account = ended.account.clone();
            account.drop_at_end(ended);
        }
    }
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.inner).poll_frame(context);
        let is_over = matches!(frame, Poll::Ready(None)) || self.inner.is_end_stream();
        if let Some(ended) = self.ended.as_mut().filter(|_| is_over) {
            ended.whole = true;
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
