//! Where the frames of a stream go: to its client, and onto a tape where the client may come back.

use std::time::Duration;

use bytes::Bytes;
use tokio::{sync::mpsc, time::sleep};

use super::{App, Asker, tapes::Name, tapes::Recorder};
use crate::{core::Failure, dialects::llama_server::streams, edge::Working};

/// What records a stream.
pub(super) struct Taping {
    recorder: Recorder,
    /// The request is under way as long as this is here, whether its client is or not.
    _working: Working,
}

impl Taping {
    /// Begins a tape where the client named a conversation.
    ///
    /// # Errors
    /// The name cannot be, or too many streams of this owner run.
    pub(super) fn begin(app: &App, asker: &Asker) -> Result<Option<Self>, Failure> {
        let id = asker.conversation.as_ref();
        let Some(id) = id.filter(|id| !id.is_empty()) else {
            return Ok(None);
        };
        let name = Name {
            owner: asker.owner(),
            conversation: streams::conversation("X-Conversation-Id", id.as_bytes())?,
        };
        Ok(Some(Self {
            recorder: app.tapes.record(name)?,
            _working: asker.account.outlive(),
        }))
    }

    /// Nothing came of the answer.
    pub(super) fn discard(self) {
        self.recorder.discard();
    }
}

/// Takes the frames of a stream.
pub(super) struct Outlet<F> {
    client: Option<mpsc::Sender<F>>,
    taping: Option<Taping>,
    /// After so long without a frame a comment is recorded. Clients count bytes, so what they get is on the tape too.
    silence: Option<Duration>,
}

impl<F: Clone + Into<Bytes>> Outlet<F> {
    /// To a client alone; its answer sends comments by itself.
    pub(super) fn plain(client: mpsc::Sender<F>) -> Self {
        Self {
            client: Some(client),
            taping: None,
            silence: None,
        }
    }

    /// To a client and onto a tape.
    pub(super) fn taped(
        client: mpsc::Sender<F>,
        taping: Taping,
        silence: Option<Duration>,
    ) -> Self {
        Self {
            client: Some(client),
            taping: Some(taping),
            silence,
        }
    }

    /// Hands a frame on, as fast as the client takes it while it is there. Says whether anybody wants more.
    pub(super) async fn send(&mut self, frame: F) -> bool {
        let Some(taping) = &mut self.taping else {
            return match &self.client {
                Some(client) => client.send(frame).await.is_ok(),
                None => false,
            };
        };
        taping.recorder.add(&frame.clone().into());
        let Some(client) = &self.client else {
            return true;
        };
        tokio::select! {
            sent = client.send(frame) => {
                if sent.is_err() {
                    self.client = None;
                }
                true
            }
            () = taping.recorder.stopped() => false,
        }
    }

    /// Waits until nobody wants more.
    pub(super) async fn unwanted(&mut self) {
        match (&mut self.taping, &self.client) {
            (Some(taping), _) => taping.recorder.stopped().await,
            (None, Some(client)) => client.closed().await,
            (None, None) => {}
        }
    }

    /// How long a silence may last until a comment is due.
    pub(super) fn silence(&self) -> Option<Duration> {
        self.silence
    }

    /// The stream is over.
    pub(super) fn end(self) {
        if let Some(taping) = self.taping {
            let tapes = taping.recorder.tapes();
            drop(taping);
            tokio::spawn(tapes.sweep_later());
        }
    }
}

/// Waits for the end of a silence, for ever where none is too long.
pub(super) async fn too_long(silence: Option<Duration>) {
    match silence {
        Some(time) => sleep(time).await,
        None => std::future::pending().await,
    }
}
