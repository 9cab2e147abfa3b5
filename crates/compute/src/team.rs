//! The thread team: threads started once, that take the chunks of one job after another.
//!
//! # Protocol
//!
//! `gate` is one word: an epoch, an open bit and the number of workers inside.
//!
//! 1. Only the holder of `turn` (the caller of [`Team::run`]) writes `job`, and only while the gate is
//!    closed and nobody is inside.
//! 2. A worker enters by a compare-and-swap that succeeds only while the gate is open; it reads
//!    `job` only while it is inside.
//! 3. The caller closes the gate when no chunk is left, then waits until nobody is inside. A
//!    worker that comes late finds the gate closed, so the caller never waits for a thread that
//!    has not begun; it waits for a chunk in progress at most.
//! 4. A chunk index is handed out once: the counter only grows within an epoch.
//!
//! SAFETY comments in this module cite these rules by number.

use std::{
    any::Any,
    cell::UnsafeCell,
    fmt, hint, panic,
    panic::AssertUnwindSafe,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle, Thread},
    time::{Duration, Instant},
};

/// How long an idle worker spins before it parks. Longer than the gap between two operations of a
/// step, shorter than anything that a neighbour process would notice.
const SPIN: Duration = Duration::from_micros(100);
/// Spins between two looks at the clock.
const SPINS_PER_LOOK: u32 = 32;

const INSIDE: u64 = 0xffff;
const OPEN: u64 = 1 << 16;
const EPOCH: u64 = 1 << 17;

/// A fixed set of threads, the caller among them.
pub struct Team {
    shared: Arc<Shared>,
    workers: Vec<(Thread, JoinHandle<()>)>,
    turn: Mutex<()>,
}

struct Shared {
    gate: AtomicU64,
    job: UnsafeCell<Option<Job>>,
    next: AtomicUsize,
    asleep: Vec<AtomicBool>,
    stop: AtomicBool,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

#[derive(Clone, Copy)]
struct Job {
    work: *const (dyn Fn(usize) + Sync),
    chunks: usize,
}

impl Job {
    /// A job that forgets how long `work` lives; rules 2 and 3 see to it.
    fn new<'a>(chunks: usize, work: &'a (dyn Fn(usize) + Sync + 'a)) -> Self {
        let work: *const (dyn Fn(usize) + Sync + 'a) = work;
        // SAFETY: only the lifetime in the type changes. The pointer is used by the caller of
        // `run` while it has `work`, and by workers inside the gate, which `run` outlives.
        let work = unsafe {
            std::mem::transmute::<*const (dyn Fn(usize) + Sync + 'a), *const (dyn Fn(usize) + Sync)>(
                work,
            )
        };
        Self { work, chunks }
    }
}

// SAFETY: `job` is the only part that is not Sync by itself; rules 1 and 2 order every access to it.
unsafe impl Sync for Shared {}
// SAFETY: as above; the pointer inside is used by threads that entered the gate only.
unsafe impl Send for Shared {}

impl Team {
    /// Starts a team of `threads` threads, the caller counted: one means that everything runs inline.
    pub fn new(threads: usize) -> Self {
        let extra = threads.clamp(1, INSIDE as usize) - 1;
        let shared = Arc::new(Shared {
            gate: AtomicU64::new(0),
            job: UnsafeCell::new(None),
            next: AtomicUsize::new(0),
            asleep: (0..extra).map(|_| AtomicBool::new(false)).collect(),
            stop: AtomicBool::new(false),
            panic: Mutex::new(None),
        });
        let workers = (0..extra)
            .map_while(|index| {
                let shared = Arc::clone(&shared);
                // A system that allows no further thread gets a smaller team, not a failure.
                let handle = thread::Builder::new()
                    .name(format!("hearth-{}", index + 1))
                    .spawn(move || shared.serve(index))
                    .ok()?;
                Some((handle.thread().clone(), handle))
            })
            .collect();
        Self {
            shared,
            workers,
            turn: Mutex::new(()),
        }
    }

    /// Number of threads, the caller counted.
    pub fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Calls `work` once with each of `0..chunks`, on whichever thread is free; returns when all
    /// calls have returned.
    ///
    /// A call from inside a job, or while another thread uses the team, runs inline.
    ///
    /// # Panics
    /// When a call of `work` panics: its payload is raised again here. Chunks not yet begun are dropped.
    pub fn run(&self, chunks: usize, work: &(dyn Fn(usize) + Sync)) {
        let turn = match self.turn.try_lock() {
            Ok(turn) if chunks > 1 && !self.workers.is_empty() => turn,
            Err(std::sync::TryLockError::Poisoned(turn))
                if chunks > 1 && !self.workers.is_empty() =>
            {
                turn.into_inner()
            }
            _ => return (0..chunks).for_each(work),
        };
        let job = Job::new(chunks, work);
        self.open(job);
        self.shared.take_chunks(job);
        self.close();
        let payload = self
            .shared
            .panic
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        drop(turn);
        if let Some(payload) = payload {
            panic::resume_unwind(payload);
        }
    }

    /// Hands out `out` in pieces of `piece` values (the last may be shorter): `work(index, piece)`.
    pub fn split<T: Send>(
        &self,
        out: &mut [T],
        piece: usize,
        work: impl Fn(usize, &mut [T]) + Sync,
    ) {
        struct Base<T>(*mut T);
        // SAFETY: the pieces made from it are disjoint, and `T: Send` lets them cross threads.
        unsafe impl<T: Send> Sync for Base<T> {}
        impl<T> Base<T> {
            fn at(&self, start: usize) -> *mut T {
                self.0.wrapping_add(start)
            }
        }
        let (len, piece) = (out.len(), piece.max(1));
        let base = Base(out.as_mut_ptr());
        self.run(len.div_ceil(piece), &|index| {
            let start = index * piece;
            let count = piece.min(len - start);
            // SAFETY: `start + count <= len`; each index is handed out once (rule 4), so no two
            // pieces overlap, and `out` stays borrowed until `run` returns.
            work(index, unsafe {
                std::slice::from_raw_parts_mut(base.at(start), count)
            });
        });
    }

    fn open(&self, job: Job) {
        // SAFETY: rule 1; `turn` is held and the last `close` left the gate shut and empty.
        unsafe { *self.shared.job.get() = Some(job) };
        self.shared.next.store(0, Ordering::Relaxed);
        let epoch = self.shared.gate.load(Ordering::Relaxed) & !(EPOCH - 1);
        self.shared
            .gate
            .store(epoch.wrapping_add(EPOCH) | OPEN, Ordering::SeqCst);
        for ((thread, _), asleep) in self
            .workers
            .iter()
            .zip(&self.shared.asleep)
            .take(job.chunks - 1)
        {
            if asleep.load(Ordering::SeqCst) {
                thread.unpark();
            }
        }
    }

    fn close(&self) {
        self.shared.gate.fetch_and(!OPEN, Ordering::AcqRel);
        let mut spins = 0u32;
        while self.shared.gate.load(Ordering::Acquire) & INSIDE != 0 {
            spins += 1;
            if spins < 2_000 {
                hint::spin_loop();
            } else {
                // The other thread lost its core in the middle of a chunk: offer it this one.
                thread::yield_now();
            }
        }
    }
}

impl Shared {
    /// Takes chunks of `job` until none is left. Panics are kept for the caller of `run`.
    fn take_chunks(&self, job: Job) {
        loop {
            let chunk = self.next.fetch_add(1, Ordering::Relaxed);
            if chunk >= job.chunks {
                return;
            }
            // SAFETY: called by the caller of `run` itself, or inside the gate (rule 2): the
            // closure is alive.
            let work = unsafe { &*job.work };
            if let Err(payload) = panic::catch_unwind(AssertUnwindSafe(|| work(chunk))) {
                self.next.store(job.chunks, Ordering::Relaxed);
                let mut slot = self.panic.lock().unwrap_or_else(PoisonError::into_inner);
                slot.get_or_insert(payload);
                return;
            }
        }
    }

    /// A worker's life: wait for an epoch not yet seen, enter, work, leave.
    fn serve(&self, index: usize) {
        let mut seen = 0;
        while let Some(epoch) = self.wait(index, seen) {
            seen = epoch;
            if !self.enter(epoch) {
                continue;
            }
            // SAFETY: rule 2, we are inside.
            if let Some(job) = unsafe { *self.job.get() } {
                self.take_chunks(job);
            }
            self.gate.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// Waits for an open gate of another epoch than `seen`; `None` when the team ends.
    fn wait(&self, index: usize, seen: u64) -> Option<u64> {
        let mut since = Instant::now();
        let mut spins = 0u32;
        loop {
            let gate = self.gate.load(Ordering::SeqCst);
            if self.stop.load(Ordering::Relaxed) {
                return None;
            }
            if gate & OPEN != 0 && gate & !(EPOCH - 1) != seen {
                self.asleep[index].store(false, Ordering::Relaxed);
                return Some(gate & !(EPOCH - 1));
            }
            hint::spin_loop();
            spins += 1;
            if !spins.is_multiple_of(SPINS_PER_LOOK) || since.elapsed() < SPIN {
                continue;
            }
            // Either this store is seen by `open`, which then unparks, or the next look at the
            // gate sees what `open` stored: both are sequentially consistent.
            if self.asleep[index].swap(true, Ordering::SeqCst) {
                thread::park();
                since = Instant::now();
                self.asleep[index].store(false, Ordering::SeqCst);
            }
        }
    }

    fn enter(&self, epoch: u64) -> bool {
        self.gate
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |gate| {
                (gate & OPEN != 0 && gate & !(EPOCH - 1) == epoch).then_some(gate + 1)
            })
            .is_ok()
    }
}

impl Drop for Team {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        for (thread, handle) in self.workers.drain(..) {
            thread.unpark();
            // A worker catches the panics of its chunks, so it ends normally.
            let _ = handle.join();
        }
    }
}

impl fmt::Debug for Team {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Team")
            .field("threads", &self.threads())
            .finish()
    }
}

/// A float array that several threads fill at once, each value by whoever computed it.
///
/// Stores are relaxed atomics: on every processor that is the plain store, and overlapping writers
/// would give one of their values rather than undefined behaviour.
#[derive(Clone, Copy, Debug)]
pub struct Cells<'a>(&'a [AtomicU32]);

impl<'a> Cells<'a> {
    /// Shares `out` for as long as it is borrowed.
    pub fn new(out: &'a mut [f32]) -> Self {
        const { assert!(align_of::<AtomicU32>() == align_of::<f32>()) };
        let (data, len) = (out.as_mut_ptr(), out.len());
        // SAFETY: same size and alignment, every bit pattern is valid for both, and the exclusive
        // borrow of `out` lasts as long as the atomics do.
        Self(unsafe { std::slice::from_raw_parts(data.cast::<AtomicU32>(), len) })
    }

    /// Stores `values` from `start` on.
    ///
    /// # Panics
    /// When the range is not inside the array.
    pub fn store(&self, start: usize, values: &[f32]) {
        for (cell, value) in self.0[start..start + values.len()].iter().zip(values) {
            cell.store(value.to_bits(), Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_chunk_runs_once() {
        for threads in [1, 2, 3, 8] {
            let team = Team::new(threads);
            assert_eq!(team.threads(), threads);
            for chunks in [0, 1, 2, 3, 7, 64, 1000] {
                let counts: Vec<AtomicUsize> = (0..chunks).map(|_| AtomicUsize::new(0)).collect();
                team.run(chunks, &|i| {
                    counts[i].fetch_add(1, Ordering::Relaxed);
                });
                assert!(counts.iter().all(|c| c.load(Ordering::Relaxed) == 1));
            }
        }
    }

    #[test]
    fn thousands_of_small_jobs_with_pauses() {
        let team = Team::new(3);
        let total = AtomicUsize::new(0);
        for round in 0..5_000 {
            team.run(4, &|i| {
                total.fetch_add(i, Ordering::Relaxed);
            });
            if round % 1_000 == 0 {
                thread::sleep(Duration::from_millis(2)); // workers park meanwhile
            }
        }
        assert_eq!(total.load(Ordering::Relaxed), 5_000 * 6);
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_team_lives_on() {
        let team = Team::new(2);
        for bad in [0, 5, 9] {
            let result = panic::catch_unwind(AssertUnwindSafe(|| {
                team.run(10, &|i| assert!(i != bad, "chunk {bad}"));
            }));
            let payload = result.expect_err("the panic is raised again");
            assert_eq!(
                payload.downcast_ref::<String>(),
                Some(&format!("chunk {bad}"))
            );
            let count = AtomicUsize::new(0);
            team.run(10, &|_| {
                count.fetch_add(1, Ordering::Relaxed);
            });
            assert_eq!(count.load(Ordering::Relaxed), 10);
        }
    }

    #[test]
    fn nested_and_concurrent_jobs_run_inline() {
        let team = Team::new(2);
        let count = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        team.run(3, &|_| {
                            team.run(3, &|_| {
                                count.fetch_add(1, Ordering::Relaxed);
                            });
                        });
                    }
                });
            }
        });
        assert_eq!(count.load(Ordering::Relaxed), 4 * 100 * 9);
    }

    #[test]
    fn split_hands_out_disjoint_pieces() {
        let team = Team::new(2);
        let mut out = vec![0usize; 103];
        team.split(&mut out, 10, |index, piece| piece.fill(index));
        assert!(out.iter().enumerate().all(|(i, &v)| v == i / 10));
    }

    #[test]
    fn cells_store_where_told() {
        let mut out = vec![0.0; 5];
        Cells::new(&mut out).store(2, &[1.0, 2.0]);
        assert_eq!(out, [0.0, 0.0, 1.0, 2.0, 0.0]);
    }
}
