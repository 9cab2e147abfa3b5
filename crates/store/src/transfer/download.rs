//! One content: fetched in pieces, verified as a whole, then named.

use std::{
    collections::HashMap,
    fs::File,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::{
    Digest, Error, Event, Hasher, Lock, Result, Store, Verb, Watch,
    disk::free_space,
    lock::Hold,
    transfer::{
        Plan, Source,
        journal::{Journal, Piece},
    },
};

/// Pieces on the way at once.
const STREAMS: usize = 8;
/// How often damaged pieces are fetched again before the content is given up.
const REPAIRS: u32 = 2;
/// Bytes per write.
const WRITE: usize = 1 << 20;

/// A content on its way into a store.
pub(crate) struct Download<'a> {
    store: &'a Store,
    digest: Digest,
    size: u64,
    watch: Watch<'a>,
    data: PathBuf,
    file: Arc<File>,
    journal: Arc<Mutex<Journal>>,
    completed: AtomicU64,
    _lock: Lock,
}

impl<'a> Download<'a> {
    /// Takes up a download where an earlier attempt left it. Nothing if the content is there already, or is when
    /// another process that fetches it has finished.
    pub(crate) async fn take_up(
        store: &'a Store,
        digest: Digest,
        size: u64,
        watch: Watch<'a>,
    ) -> Result<Option<Self>> {
        let mut told = false;
        let lock = loop {
            if store.has(&digest, size) {
                return Ok(None);
            }
            if let Some(lock) = Lock::attempt(
                store.disk(),
                &store.layout().blob_lock(&digest),
                Hold::Exclusive,
            )? {
                break lock;
            }
            if !told {
                watch(Event::Waiting { digest });
                told = true;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        if store.has(&digest, size) {
            return Ok(None);
        }
        let disk = store.disk();
        disk.make_directory(&store.layout().partials())?;
        let data = store.layout().partial(&digest);
        let file = disk.open_to_write(&data)?;
        let journal = Journal::open(disk, store.layout().journal(&digest), size)?;
        let completed: u64 = journal.landed().map(|(piece, _)| piece.len()).sum();
        let download = Self {
            store,
            digest,
            size,
            watch,
            data,
            file: Arc::new(file),
            journal: Arc::new(Mutex::new(journal)),
            completed: AtomicU64::new(completed.min(size)),
            _lock: lock,
        };
        download.make_room()?;
        Ok(Some(download))
    }

    /// Refuses what the disk has no room for; the file gets its full length, with holes.
    fn make_room(&self) -> Result<()> {
        let needed = self.size - self.completed.load(Ordering::Relaxed);
        let place = self.store.layout().root();
        if let Some(free) = free_space(place)
            && free < needed
        {
            return Err(Error::NoSpace {
                what: self.digest.to_string(),
                needed,
                free,
                place: place.display().to_string(),
            });
        }
        self.store
            .disk()
            .run(&self.data, || self.file.set_len(self.size))
    }

    /// Fetches what is missing from the first of `sources` that has it, verifies, and names the content.
    pub(crate) async fn run(self, sources: &[Source<'_>], plan: &Plan) -> Result<()> {
        self.say(Verb::Pull);
        let mut last = None;
        for repair in 0..=REPAIRS {
            // Another mirror may have sound bytes where the first has not.
            let start = repair as usize % sources.len().max(1);
            let order: Vec<_> = sources[start..].iter().chain(&sources[..start]).collect();
            self.fetch_from(&order, plan).await?;
            let found = self.whole().await?;
            if found == self.digest {
                return self.finish();
            }
            // The same wrong bytes again will not become right by being fetched once more.
            if last.replace(found) == Some(found) {
                break;
            }
            self.mend(plan).await?;
        }
        // Every byte came as the servers sent it, and the whole is not what was promised: none of it is of use.
        self.store
            .disk()
            .remove(&self.store.layout().journal(&self.digest))?;
        self.store.disk().remove(&self.data)?;
        Err(Error::Mismatch {
            what: sources.first().map_or_else(String::new, Source::label),
            expected: self.digest.to_string(),
            found: last.map_or_else(|| "other bytes".to_owned(), |digest| digest.to_string()),
        })
    }

    async fn fetch_from(&self, sources: &[&Source<'_>], plan: &Plan) -> Result<()> {
        let mut failure = None;
        for (index, source) in sources.iter().enumerate() {
            match self.fetch(source, plan).await {
                Ok(()) => return Ok(()),
                Err(error) if error.is_full_disk() || matches!(error, Error::Io { .. }) => {
                    return Err(error);
                }
                Err(error) => {
                    // The last failure is the caller's to tell.
                    if index + 1 < sources.len() {
                        (self.watch)(Event::Retry {
                            why: format!("{error}; asking the next server"),
                        });
                    }
                    failure = failure.or(Some(error));
                }
            }
        }
        match failure {
            Some(error) => Err(error),
            None if plan.pieces().is_empty() => Ok(()),
            None => Err(Error::invalid(
                self.digest.to_string(),
                "there is no server to fetch it from",
            )),
        }
    }

    /// Fetches the pieces that have not landed, several at once; the first error ends all.
    async fn fetch(&self, source: &Source<'_>, plan: &Plan) -> Result<()> {
        let missing: Vec<_> = {
            let journal = self.lock()?;
            let landed = |(piece, expected): &&(Piece, Option<Digest>)| match (
                journal.get(*piece),
                expected,
            ) {
                (Some(found), Some(expected)) => found == *expected,
                (found, _) => found.is_some(),
            };
            plan.pieces()
                .iter()
                .filter(|entry| !landed(entry))
                .copied()
                .collect()
        };
        let landed: u64 = plan
            .pieces()
            .iter()
            .map(|(piece, _)| piece.len())
            .sum::<u64>()
            - missing.iter().map(|(piece, _)| piece.len()).sum::<u64>();
        self.completed.store(landed, Ordering::Relaxed);
        self.say(Verb::Pull);
        let queue = Mutex::new(missing.into_iter());
        let next = || queue.lock().ok().and_then(|mut queue| queue.next());
        let worker = || async {
            while let Some((piece, expected)) = next() {
                self.piece(source, piece, expected).await?;
            }
            Ok(())
        };
        let [a, b, c, d, e, f, g, h] = std::array::from_fn::<_, STREAMS, _>(|_| worker());
        tokio::try_join!(a, b, c, d, e, f, g, h).map(drop)
    }

    /// Fetches one piece, again and again while it makes sense.
    async fn piece(
        &self,
        source: &Source<'_>,
        piece: Piece,
        expected: Option<Digest>,
    ) -> Result<()> {
        let timing = source.session().client.timing;
        let mut pause = timing.pause;
        for attempt in 1.. {
            let counted = AtomicU64::new(0);
            let error = match self.attempt(source, piece, expected, &counted).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            self.completed
                .fetch_sub(counted.load(Ordering::Relaxed), Ordering::Relaxed);
            if attempt >= timing.attempts || !is_passing(&error) {
                return Err(error);
            }
            (self.watch)(Event::Retry {
                why: format!("{error}; trying again in {:.1} s", pause.as_secs_f32()),
            });
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        Ok(())
    }

    async fn attempt(
        &self,
        source: &Source<'_>,
        piece: Piece,
        expected: Option<Digest>,
        counted: &AtomicU64,
    ) -> Result<()> {
        let mut bytes = source.piece(piece).await?;
        let mut skip = if bytes.to_the_end { piece.start } else { 0 };
        let mut hasher = Hasher::default();
        let mut at = piece.start;
        let mut buffer = Vec::with_capacity(WRITE);
        while at + (buffer.len() as u64) < piece.end {
            let Some(chunk) = bytes.answer.next().await? else {
                break;
            };
            let chunk = chunk.as_ref();
            let from = usize::try_from(skip).unwrap_or(usize::MAX).min(chunk.len());
            skip -= from as u64;
            let room = piece.end - at - buffer.len() as u64;
            let take = (chunk.len() - from).min(usize::try_from(room).unwrap_or(usize::MAX));
            if !bytes.to_the_end && from + take < chunk.len() {
                return Err(self.wrong_length(source, piece, "more"));
            }
            buffer.extend_from_slice(&chunk[from..from + take]);
            counted.fetch_add(take as u64, Ordering::Relaxed);
            self.completed.fetch_add(take as u64, Ordering::Relaxed);
            self.say(Verb::Pull);
            if buffer.len() >= WRITE {
                self.store
                    .disk()
                    .write_at(&self.data, &self.file, &buffer, at)?;
                hasher.update(&buffer);
                at += buffer.len() as u64;
                buffer.clear();
            }
        }
        self.store
            .disk()
            .write_at(&self.data, &self.file, &buffer, at)?;
        hasher.update(&buffer);
        if at + (buffer.len() as u64) < piece.end {
            return Err(self.wrong_length(source, piece, "fewer"));
        }
        self.land(source, piece, hasher.finish(), expected).await
    }

    /// Notes a piece once its bytes are on the disk; what is known to be wrong is not noted.
    async fn land(
        &self,
        source: &Source<'_>,
        piece: Piece,
        found: Digest,
        expected: Option<Digest>,
    ) -> Result<()> {
        if let Some(expected) = expected.filter(|expected| *expected != found) {
            return Err(Error::Mismatch {
                what: format!(
                    "bytes {} to {} of {}",
                    piece.start,
                    piece.end,
                    source.label()
                ),
                expected: expected.to_string(),
                found: found.to_string(),
            });
        }
        let (disk, data, file, journal) = (
            self.store.disk().clone(),
            self.data.clone(),
            Arc::clone(&self.file),
            Arc::clone(&self.journal),
        );
        blocking(move || {
            disk.sync(&data, &file)?;
            lock(&journal)?.note(&disk, piece, found)
        })
        .await
    }

    fn wrong_length(&self, source: &Source<'_>, piece: Piece, how: &str) -> Error {
        Error::Network {
            url: source.label(),
            why: format!(
                "the server sent {how} than the {} bytes that were asked for",
                piece.len()
            ),
        }
    }

    /// The digest of everything as it is on the disk.
    async fn whole(&self) -> Result<Digest> {
        self.hash(Piece {
            start: 0,
            end: self.size,
        })
        .await
    }

    /// After a whole that is not what it should be: pieces that changed on the disk since they landed are forgotten.
    /// If all are as they came, all are, except those whose digest the registry vouches for.
    async fn mend(&self, plan: &Plan) -> Result<()> {
        let landed: HashMap<Piece, Digest> = self.lock()?.landed().collect();
        let mut changed = Vec::new();
        for (piece, digest) in &landed {
            if self.hash(*piece).await? != *digest {
                changed.push(*piece);
            }
        }
        if changed.is_empty() {
            let vouched: Vec<Piece> = plan
                .pieces()
                .iter()
                .filter(|(_, digest)| digest.is_some())
                .map(|(piece, _)| *piece)
                .collect();
            changed = landed
                .keys()
                .filter(|piece| !vouched.contains(piece))
                .copied()
                .collect();
        }
        (self.watch)(Event::Retry {
            why: format!(
                "{}: {} damaged pieces are fetched again",
                self.digest,
                changed.len()
            ),
        });
        let disk = self.store.disk();
        self.lock()?.forget(disk, &changed)
    }

    /// The digest of a piece as it is on the disk.
    async fn hash(&self, piece: Piece) -> Result<Digest> {
        let (disk, data, stop) = (
            self.store.disk().clone(),
            self.data.clone(),
            StopOnDrop::default(),
        );
        let flag = Arc::clone(&stop.0);
        let progress = Arc::new(AtomicU64::new(0));
        let seen = Arc::clone(&progress);
        let work = blocking(move || {
            use std::io::{Read as _, Seek as _};
            let mut file = disk.open(&data)?;
            disk.run(&data, || {
                file.seek(std::io::SeekFrom::Start(piece.start))?;
                Digest::of_reader(file.take(piece.len()), |bytes| {
                    seen.store(bytes, Ordering::Relaxed);
                    if flag.load(Ordering::Relaxed) {
                        Err(std::io::ErrorKind::Interrupted.into())
                    } else {
                        Ok(())
                    }
                })
            })
        });
        tokio::pin!(work);
        loop {
            tokio::select! {
                digest = &mut work => return digest,
                () = tokio::time::sleep(Duration::from_millis(200)) => (self.watch)(Event::Content {
                    verb: Verb::Verify,
                    digest: self.digest,
                    total: piece.len(),
                    completed: progress.load(Ordering::Relaxed),
                }),
            }
        }
    }

    fn finish(self) -> Result<()> {
        let (disk, layout) = (self.store.disk(), self.store.layout());
        disk.make_directory(&layout.blobs())?;
        disk.sync(&self.data, &self.file)?;
        disk.publish(&self.data, &layout.blob(&self.digest))?;
        disk.remove(&layout.journal(&self.digest))?;
        self.completed.store(self.size, Ordering::Relaxed);
        self.say(Verb::Pull);
        Ok(())
    }

    fn say(&self, verb: Verb) {
        (self.watch)(Event::Content {
            verb,
            digest: self.digest,
            total: self.size,
            completed: self.completed.load(Ordering::Relaxed),
        });
    }

    fn lock(&self) -> Result<std::sync::MutexGuard<'_, Journal>> {
        lock(&self.journal)
    }
}

fn lock(journal: &Mutex<Journal>) -> Result<std::sync::MutexGuard<'_, Journal>> {
    journal.lock().map_err(|_| Error::Cancelled)
}

/// Stops work on another thread when nobody waits for it any more.
#[derive(Default)]
struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Runs what may wait for the disk where it holds nothing up.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| Error::Cancelled)?
}

/// Whether the next attempt may go better.
fn is_passing(error: &Error) -> bool {
    match error {
        Error::Network { .. } | Error::Mismatch { .. } => true,
        Error::Status { status, .. } => matches!(status, 401 | 403 | 408 | 425 | 429 | 500..),
        _ => false,
    }
}
