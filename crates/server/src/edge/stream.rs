//! Answers that come piece by piece: server-sent events and lines of JSON.

use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::time::{Instant, Sleep, sleep};

use crate::dialects::Frame;

/// Silence after which a comment is sent, so that proxies keep the connection. Naive clients parse every line, hence
/// not earlier.
pub const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// A server-sent event, ready for the wire. What is in it is JSON without line breaks, so no text can end it early.
#[derive(Clone, Debug, PartialEq)]
pub struct Sse(Bytes);

impl Sse {
    /// `data: JSON`.
    ///
    /// # Errors
    /// The value cannot be JSON, as a map with keys that are no strings.
    pub fn data(value: &impl Serialize) -> Result<Self, serde_json::Error> {
        Ok(Self(
            format!("data: {}\n\n", serde_json::to_string(value)?).into(),
        ))
    }

    /// `event: NAME` and `data: JSON`.
    ///
    /// # Errors
    /// As for [`Sse::data`].
    pub fn event(name: &'static str, value: &impl Serialize) -> Result<Self, serde_json::Error> {
        Ok(Self(
            format!("event: {name}\ndata: {}\n\n", serde_json::to_string(value)?).into(),
        ))
    }

    /// A dialect's frame.
    pub fn of(frame: &Frame) -> Self {
        Self(frame.to_sse().into())
    }

    /// `data: [DONE]`, which ends OpenAI's streams.
    pub fn done() -> Self {
        Self(Bytes::from_static(b"data: [DONE]\n\n"))
    }
}

/// A line of JSON, ready for the wire.
#[derive(Clone, Debug, PartialEq)]
pub struct Line(Bytes);

impl Line {
    /// The value and a line break.
    ///
    /// # Errors
    /// The value cannot be JSON.
    pub fn new(value: &impl Serialize) -> Result<Self, serde_json::Error> {
        let mut line = serde_json::to_vec(value)?;
        line.push(b'\n');
        Ok(Self(line.into()))
    }
}

impl Line {
    /// A dialect's frame; none where lines have no such thing.
    pub fn of(frame: &Frame) -> Option<Self> {
        Some(Self(frame.to_line()?.into()))
    }
}

impl From<Sse> for Bytes {
    fn from(event: Sse) -> Self {
        event.0
    }
}

impl From<Line> for Bytes {
    fn from(line: Line) -> Self {
        line.0
    }
}

/// Does something when it is dropped, unless it was disarmed: stops the work for a client that went away.
#[must_use = "dropping it cancels"]
pub struct CancelOnDrop(Option<Box<dyn FnOnce() + Send>>);

impl CancelOnDrop {
    /// Runs `cancel` once, when this is dropped. It must not block.
    pub fn new(cancel: impl FnOnce() + Send + 'static) -> Self {
        Self(Some(Box::new(cancel)))
    }

    /// The work is done; nothing is left to cancel.
    pub fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        if let Some(cancel) = self.0.take() {
            cancel();
        }
    }
}

impl fmt::Debug for CancelOnDrop {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_tuple("CancelOnDrop")
            .field(&self.0.is_some())
            .finish()
    }
}

/// An answer of server-sent events. It ends when every sender is gone. When the client goes away, the receiver closes
/// and `guard` is dropped; it is disarmed when the stream came to its end.
pub fn sse(events: mpsc::Receiver<Sse>, guard: Option<CancelOnDrop>) -> Response {
    sse_every(Some(KEEP_ALIVE), events, guard)
}

/// As [`sse`], with comments after another silence, or none.
pub fn sse_every(
    silence: Option<Duration>,
    events: mpsc::Receiver<Sse>,
    guard: Option<CancelOnDrop>,
) -> Response {
    answer(Frames::new(events, guard, silence), "text/event-stream")
}

/// An answer of lines of JSON. As [`sse`], without comments: a line has to be JSON.
pub fn ndjson(lines: mpsc::Receiver<Line>, guard: Option<CancelOnDrop>) -> Response {
    answer(Frames::new(lines, guard, None), "application/x-ndjson")
}

/// An answer of server-sent events that were written before.
pub fn replay(bytes: impl Stream<Item = Bytes> + Send + 'static) -> Response {
    answer(bytes.map(Ok::<_, Infallible>), "text/event-stream")
}

fn answer(
    frames: impl Stream<Item = Result<Bytes, Infallible>> + Send + 'static,
    kind: &'static str,
) -> Response {
    let mut response = Response::new(Body::from_stream(frames));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    // Proxies that gather an answer before they pass it on are asked not to.
    headers.insert(
        HeaderName::from_static("x-accel-buffering"),
        HeaderValue::from_static("no"),
    );
    response
}

/// The frames of a channel, each flushed as it comes: the connection writes whenever nothing more is ready.
struct Frames<T> {
    receiver: mpsc::Receiver<T>,
    guard: Option<CancelOnDrop>,
    silence: Option<(Duration, Pin<Box<Sleep>>)>,
}

impl<T> Frames<T> {
    fn new(
        receiver: mpsc::Receiver<T>,
        guard: Option<CancelOnDrop>,
        silence: Option<Duration>,
    ) -> Self {
        Self {
            receiver,
            guard,
            silence: silence.map(|time| (time, Box::pin(sleep(time)))),
        }
    }
}

impl<T: Into<Bytes>> Stream for Frames<T> {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let next = match this.receiver.poll_recv(context) {
            Poll::Ready(Some(frame)) => frame.into(),
            Poll::Ready(None) => {
                if let Some(guard) = this.guard.take() {
                    guard.disarm();
                }
                return Poll::Ready(None);
            }
            Poll::Pending => {
                let timer = this.silence.as_mut().map(|(_, timer)| timer.as_mut());
                match timer.map(|timer| timer.poll(context)) {
                    Some(Poll::Ready(())) => Bytes::from_static(b": ping\n\n"),
                    _ => return Poll::Pending,
                }
            }
        };
        if let Some((time, timer)) = &mut this.silence {
            timer.as_mut().reset(Instant::now() + *time);
        }
        Poll::Ready(Some(Ok(next)))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use http_body_util::BodyExt;
    use serde_json::json;

    use super::*;

    fn counter() -> (Arc<AtomicUsize>, CancelOnDrop) {
        let count = Arc::new(AtomicUsize::new(0));
        let inner = Arc::clone(&count);
        (
            count,
            CancelOnDrop::new(move || {
                inner.fetch_add(1, Ordering::SeqCst);
            }),
        )
    }

    #[tokio::test]
    async fn events_look_as_clients_expect() {
        let (sender, receiver) = mpsc::channel(8);
        sender
            .send(Sse::data(&json!({"text": "a\nb\r\n\ndata: x"})).unwrap())
            .await
            .unwrap();
        sender
            .send(Sse::event("ping", &json!({})).unwrap())
            .await
            .unwrap();
        sender.send(Sse::done()).await.unwrap();
        drop(sender);
        let response = sse(receiver, None);
        assert_eq!(response.headers()[CONTENT_TYPE], "text/event-stream");
        assert_eq!(response.headers()["x-accel-buffering"], "no");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(
            body,
            "data: {\"text\":\"a\\nb\\r\\n\\ndata: x\"}\n\nevent: ping\ndata: {}\n\ndata: [DONE]\n\n"
        );
    }

    #[tokio::test]
    async fn lines_are_json_and_a_break() {
        let (sender, receiver) = mpsc::channel(8);
        sender
            .send(Line::new(&json!({"a": "\n"})).unwrap())
            .await
            .unwrap();
        drop(sender);
        let response = ndjson(receiver, None);
        assert_eq!(response.headers()[CONTENT_TYPE], "application/x-ndjson");
        assert_eq!(
            response.into_body().collect().await.unwrap().to_bytes(),
            "{\"a\":\"\\n\"}\n"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_filled_with_comments() {
        let (sender, receiver) = mpsc::channel(8);
        let mut body = sse(receiver, None).into_body();
        let begin = Instant::now();
        let frame = body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(
            (frame.as_ref(), begin.elapsed().as_secs()),
            (&b": ping\n\n"[..], 15)
        );
        sender.send(Sse::done()).await.unwrap();
        assert_eq!(
            body.frame().await.unwrap().unwrap().into_data().unwrap(),
            "data: [DONE]\n\n"
        );
        let frame = body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(
            (frame.as_ref(), begin.elapsed().as_secs()),
            (&b": ping\n\n"[..], 30)
        );
    }

    #[tokio::test]
    async fn a_dropped_answer_cancels_once_and_a_finished_one_does_not() {
        let (count, guard) = counter();
        let (sender, receiver) = mpsc::channel::<Sse>(8);
        drop(sse(receiver, Some(guard)));
        assert_eq!(count.load(Ordering::SeqCst), 1);
        assert!(sender.is_closed());

        let (count, guard) = counter();
        let (sender, receiver) = mpsc::channel::<Line>(8);
        drop(sender);
        ndjson(receiver, Some(guard))
            .into_body()
            .collect()
            .await
            .unwrap();
        assert_eq!(count.load(Ordering::SeqCst), 0);
    }
}
