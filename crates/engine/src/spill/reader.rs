//! The threads that read.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc::{self, Receiver},
    },
    thread,
    time::{Duration, SystemTime},
};

use hearth_compute::{Backend as _, Cpu};
use hearth_model::{Page, State};

use super::{Key, Place, ranked_at, record};

/// Threads that read beside each other at most: more than disks and memory gain from.
const READERS: usize = 8;

/// Pages that are being read. Dropping it ends the reading.
pub(crate) struct Coming {
    pages: Receiver<Vec<Page<Cpu>>>,
    count: usize,
    stop: Arc<AtomicBool>,
}

impl Coming {
    /// How many there are at most.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// What was read, from the first page on without a gap; none while it goes on. Waits for up to `time`.
    pub(crate) fn take(&self, time: Duration) -> Option<Vec<Page<Cpu>>> {
        match self.pages.recv_timeout(time) {
            Ok(pages) => Some(pages),
            Err(mpsc::RecvTimeoutError::Timeout) => None,
            // The readers are gone: there is nothing to wait for.
            Err(mpsc::RecvTimeoutError::Disconnected) => Some(Vec::new()),
        }
    }
}

impl Drop for Coming {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// A page to read.
struct Wanted {
    above: Key,
    key: Key,
    tokens: Vec<u32>,
}

pub(super) fn fetch(
    place: &Arc<Place>,
    above: Key,
    depth: usize,
    tokens: &[u32],
) -> Option<Coming> {
    let page = place.model.backend().page_len();
    let mut above = above;
    let wanted: Vec<Wanted> = tokens
        .chunks_exact(page)
        .map_while(|tokens| {
            let key = above.then(tokens);
            let before = std::mem::replace(&mut above, key);
            place.directory.has(key).then(|| Wanted {
                above: before,
                key,
                tokens: tokens.to_vec(),
            })
        })
        .collect();
    if wanted.is_empty() {
        return None;
    }
    let (result, pages) = mpsc::sync_channel(1);
    let (count, stop) = (wanted.len(), Arc::new(AtomicBool::new(false)));
    let (place, stopped) = (Arc::clone(place), Arc::clone(&stop));
    let read = move || {
        // Whoever waited may have left.
        let _ = result.send(place.read(&wanted, depth, &stopped));
    };
    thread::Builder::new()
        .name("pages".to_owned())
        .spawn(read)
        .ok()?;
    Some(Coming { pages, count, stop })
}

impl Place {
    /// Reads pages side by side. Those before the first that cannot be used.
    fn read(&self, wanted: &[Wanted], depth: usize, stop: &AtomicBool) -> Vec<Page<Cpu>> {
        let empty = self.model.state();
        let found: Vec<Mutex<Option<Page<Cpu>>>> =
            wanted.iter().map(|_| Mutex::default()).collect();
        let next = AtomicUsize::new(0);
        let work = || {
            while !stop.load(Ordering::Relaxed) {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(want) = wanted.get(index) else {
                    return;
                };
                let Some(page) = self.read_one(&empty, want, depth + index) else {
                    stop.store(true, Ordering::Relaxed); // what comes after it is of no use
                    return;
                };
                *found[index].lock().unwrap_or_else(PoisonError::into_inner) = Some(page);
            }
        };
        let readers = self
            .model
            .backend()
            .team()
            .threads()
            .min(READERS)
            .min(wanted.len());
        thread::scope(|scope| {
            for _ in 1..readers {
                // A system that allows no further thread reads with fewer.
                let _ = thread::Builder::new().spawn_scoped(scope, work);
            }
            work();
        });
        let page =
            |found: Mutex<Option<_>>| found.into_inner().unwrap_or_else(PoisonError::into_inner);
        found.into_iter().map_while(page).collect()
    }

    fn read_one(&self, empty: &State<Cpu>, want: &Wanted, order: usize) -> Option<Page<Cpu>> {
        // What cannot be mapped is not there any more, or nothing that was written here.
        let file = self.directory.page(want.key).ok()?;
        let page = record::lend(&self.model, empty, want.above, &want.tokens, &file);
        match page {
            Ok(page) => {
                let used = ranked_at(SystemTime::now(), order);
                self.directory.touch(want.key, used);
                Some(page)
            }
            Err(error) => {
                tracing::warn!(page = %want.key, %error, "a page on disk is damaged; it is removed and computed again");
                self.directory.remove(want.key);
                None
            }
        }
    }
}
