//! What the server keeps for OpenAI's clients: responses, files and batches.

use std::{
    fs::{self, File},
    io,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use tokio::sync::Notify;

use crate::{
    core::{Failure, models::blocking},
    dialects::openai::{
        batches::{self, Batches},
        files::{self, Files},
        responses::state::{self, States},
    },
};

/// The things kept. Two servers on one store would undo each other's: the second one keeps responses in memory and
/// takes no files.
pub(crate) struct Desk {
    responses: Mutex<States>,
    papers: Option<Mutex<Papers>>,
    /// There may be a request of a batch to answer.
    pub(super) news: Notify,
    _lock: Option<File>,
}

/// Files, and the batches that read and write them.
pub(super) struct Papers {
    pub(super) files: Files,
    pub(super) batches: Batches,
}

impl Desk {
    /// Opens what is kept in a directory, which is made if need be.
    pub(crate) fn open(directory: &Path) -> Self {
        match Self::on_disk(directory) {
            Ok(desk) => desk,
            Err(error) => {
                tracing::warn!(
                    "responses are kept in memory alone, and files and batches are refused: {error}"
                );
                Self::with(States::in_memory(state::Limits::default()), None, None)
            }
        }
    }

    fn on_disk(directory: &Path) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        let lock = File::create(directory.join("lock"))?;
        lock.try_lock().map_err(|error| match error {
            fs::TryLockError::WouldBlock => {
                io::Error::other("another server on this machine keeps them")
            }
            fs::TryLockError::Error(error) => error,
        })?;
        let now = SystemTime::now();
        let responses = directory.join("responses");
        let responses = States::open(responses, state::Limits::default(), now)?;
        let files = Files::open(directory.join("files"), files::Limits::default(), now)?;
        let batches = Batches::open(directory.join("batches"), batches::Limits::default())?;
        let mut papers = Papers { files, batches };
        papers
            .batches
            .settle(&mut papers.files, now)
            .map_err(io::Error::other)?;
        Ok(Self::with(responses, Some(papers), Some(lock)))
    }

    fn with(responses: States, papers: Option<Papers>, lock: Option<File>) -> Self {
        Self {
            responses: Mutex::new(responses),
            papers: papers.map(Mutex::new),
            news: Notify::new(),
            _lock: lock,
        }
    }

    /// The responses. Whoever holds them may wait for the disk.
    pub(super) fn responses(&self) -> MutexGuard<'_, States> {
        self.responses
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there are files.
    pub(super) fn has_papers(&self) -> bool {
        self.papers.is_some()
    }

    /// Works with files and batches, beside the event loop.
    ///
    /// # Errors
    /// Those of the work; when this server keeps no files.
    pub(super) async fn papers<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&mut Papers) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let desk = Arc::clone(self);
        blocking(move || {
            let papers = desk.papers.as_ref().ok_or_else(|| {
                Failure::Internal("this server keeps no files: its log says why".to_owned())
            })?;
            work(&mut papers.lock().unwrap_or_else(PoisonError::into_inner))
        })
        .await?
    }
}
