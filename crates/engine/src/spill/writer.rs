//! The thread that writes.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TrySendError},
    },
    thread,
    time::{Duration, Instant, SystemTime},
};

use super::{Kept, Place, record};

/// Bytes of pages that wait at most: they are in memory, though their model thinks them gone.
const WAITING: u64 = 128 << 20;
/// How long the end of a model is held up at most.
const LAST: Duration = Duration::from_secs(5);
/// Between two looks at a line that is full.
const LOOK: Duration = Duration::from_millis(1);

/// A page and when it was of use.
pub(super) type Dated = Box<(Kept, SystemTime)>;

/// A line of pages and the thread that writes them.
pub(super) struct Writer {
    line: SyncSender<Dated>,
    /// Closed when the thread is done.
    done: Receiver<()>,
    /// Nothing is written any more: the disk refused, or time is up.
    off: Arc<AtomicBool>,
}

impl Writer {
    pub(super) fn start(place: Arc<Place>) -> io::Result<Self> {
        let page = place.page_bytes().max(1);
        let (line, pages) = mpsc::sync_channel((WAITING / page).clamp(1, 4096) as usize);
        let (ends, done) = mpsc::sync_channel(0);
        let off = Arc::new(AtomicBool::new(false));
        let its = Arc::clone(&off);
        thread::Builder::new().name("pages".to_owned()).spawn(move || {
            let _ends: SyncSender<()> = ends;
            for page in pages {
                if !its.load(Ordering::Relaxed)
                    && let Err(error) = place.write(&page)
                {
                    its.store(true, Ordering::Relaxed);
                    tracing::warn!(%error, "no more prefixes are written to disk until the model is loaded again");
                }
            }
        })?;
        Ok(Self { line, done, off })
    }

    /// Puts a page in line, or gives it back where the line is full.
    pub(super) fn offer(&self, page: Dated) -> Result<(), Dated> {
        if self.off.load(Ordering::Relaxed) {
            return Ok(()); // dropped, as it will be from now on
        }
        self.line.try_send(page).map_err(|error| match error {
            TrySendError::Full(page) | TrySendError::Disconnected(page) => page,
        })
    }

    /// Writes the rest for as long as there is time, and waits for it.
    pub(super) fn close(self, rest: impl Iterator<Item = Dated>) {
        let until = Instant::now() + LAST;
        'pages: for mut page in rest {
            while let Err(back) = self.offer(page) {
                if Instant::now() >= until {
                    break 'pages;
                }
                page = back;
                thread::sleep(LOOK);
            }
        }
        let Self { line, done, off } = self;
        drop(line);
        let left = until.saturating_duration_since(Instant::now());
        if done.recv_timeout(left) == Err(RecvTimeoutError::Timeout) {
            off.store(true, Ordering::Relaxed);
            tracing::warn!("not all prefixes were written to disk: it took more than {LAST:?}");
        }
    }
}

impl Place {
    pub(super) fn page_bytes(&self) -> u64 {
        use hearth_compute::Backend as _;
        record::bytes(&self.model, self.model.backend().page_len(), true)
    }

    pub(super) fn write(&self, page: &Dated) -> io::Result<()> {
        let (kept, used) = &**page;
        let Kept {
            above,
            tokens,
            page,
            ..
        } = kept;
        let bytes = record::bytes(&self.model, tokens.len(), page.resumes());
        let fill = |to: &mut dyn io::Write| record::write(&self.model, *above, tokens, page, to);
        self.directory
            .write(above.then(tokens), bytes, *used, fill)?;
        Ok(())
    }
}
