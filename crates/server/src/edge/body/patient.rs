//! Bodies of requests that are given up when they stop coming.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep};

/// The peer sent nothing for too long.
#[derive(Debug, thiserror::Error)]
#[error("nothing came for {} s", .0.as_secs())]
pub(super) struct Silent(Duration);

/// A body that fails after `idle` without a piece of it, and tells in `read` that it was read to its end.
pub(crate) fn patient(body: Body, idle: Duration, read: Arc<AtomicBool>) -> Body {
    if body.is_end_stream() {
        read.store(true, Ordering::Release);
        return body;
    }
    Body::new(Patient {
        inner: body,
        read,
        idle,
        timer: None,
    })
}

struct Patient {
    inner: Body,
    read: Arc<AtomicBool>,
    idle: Duration,
    /// Runs only while somebody waits.
    timer: Option<Pin<Box<Sleep>>>,
}

impl HttpBody for Patient {
    type Data = Bytes;
    type Error = axum::BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::BoxError>>> {
        let this = &mut *self;
        if let Poll::Ready(frame) = Pin::new(&mut this.inner).poll_frame(context) {
            this.timer = None;
            if frame.is_none() || this.inner.is_end_stream() {
                this.read.store(true, Ordering::Release);
            }
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let idle = this.idle;
        let timer = this.timer.get_or_insert_with(|| Box::pin(sleep(idle)));
        match timer.as_mut().poll(context) {
            Poll::Ready(()) => {
                timer.as_mut().reset(Instant::now() + idle);
                Poll::Ready(Some(Err(Box::new(Silent(idle)))))
            }
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
