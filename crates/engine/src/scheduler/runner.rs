//! The thread that owns a loaded model and runs its loop.

use std::{
    collections::VecDeque,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use super::{Class, Config, Job, Scheduler, Totals, Update};
use crate::{Engine, Error};

/// How long a loop rests whose readers have enough for now.
const REST: Duration = Duration::from_millis(2);
/// How long there is nothing to do before prefixes are written to disk that are in memory alone, and between two looks
/// whether the disk has time for more.
const IDLE: Duration = Duration::from_secs(1);

/// How a loop is doing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Status {
    /// Texts under way.
    pub running: usize,
    /// Texts in line.
    pub waiting: usize,
    /// Pages of running texts that are theirs alone.
    pub own_pages: usize,
    /// Pages of kept prefixes.
    pub kept_pages: usize,
    /// Pages that there may be.
    pub most_pages: usize,
    /// What was done.
    pub totals: Totals,
}

/// As many jobs wait as may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{waiting} requests wait for a place already; ask again later")]
pub struct Full {
    /// How many wait.
    pub waiting: usize,
}

/// Work beside the texts, on the loop's thread, between two steps.
type Task = Box<dyn FnOnce(&mut Scheduler<'_>) + Send>;

struct Inbox {
    state: Mutex<State>,
    news: Condvar,
    /// Jobs that somebody waits for and the loop has not seen.
    urgent: AtomicUsize,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    tasks: VecDeque<Task>,
    stop: bool,
    status: Status,
}

/// A loaded model's loop on a thread of its own.
pub struct Runner {
    engine: Arc<Engine>,
    config: Config,
    inbox: Arc<Inbox>,
    thread: Option<JoinHandle<()>>,
}

impl Runner {
    /// Starts the loop.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(engine: Arc<Engine>, config: Config) -> std::io::Result<Self> {
        let inbox = Arc::new(Inbox {
            state: Mutex::default(),
            news: Condvar::new(),
            urgent: AtomicUsize::new(0),
        });
        let (loops, its) = (Arc::clone(&engine), Arc::clone(&inbox));
        let limits = config.clone();
        let thread = thread::Builder::new()
            .name("steps".to_owned())
            .spawn(move || its.run(&loops, limits))?;
        Ok(Self {
            engine,
            config,
            inbox,
            thread: Some(thread),
        })
    }

    /// The model.
    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// Puts a job in line.
    ///
    /// # Errors
    /// When as many wait as may; nobody is told of the job then.
    pub fn submit(&self, job: Job) -> Result<(), Full> {
        let mut state = self.inbox.lock();
        let waiting = state.jobs.len() + state.status.waiting;
        if state.stop || waiting >= self.config.queue {
            return Err(Full { waiting });
        }
        if job.class == Class::Interactive {
            self.inbox.urgent.fetch_add(1, Ordering::Relaxed);
        }
        state.jobs.push_back(job);
        self.inbox.news.notify_all();
        Ok(())
    }

    /// Has something computed between two steps, such as embeddings. A long task is better given in parts: texts are
    /// under way beside it.
    ///
    /// # Errors
    /// When as many wait as may; the task is not run then.
    pub fn run(&self, task: impl FnOnce(&Engine) + Send + 'static) -> Result<(), Full> {
        self.task(|scheduler| task(scheduler.engine()))
    }

    /// Writes what is kept of a text to a file of its own, for [`Self::load`], and waits for it. Returns how many of the
    /// tokens there were and the file's length. The file is of the form that pages have on disk, for this model and
    /// these settings alone.
    ///
    /// # Errors
    /// Those of the disk, or when the loop has no time for it.
    pub fn save(&self, tokens: Vec<u32>, path: PathBuf) -> io::Result<(usize, u64)> {
        self.wait(move |scheduler| scheduler.save(&tokens, &path))
    }

    /// Reads what [`Self::save`] wrote, and waits for it. A text that begins with these tokens goes on from there.
    /// Returns the tokens and the file's length.
    ///
    /// # Errors
    /// Those of the disk; of kind `InvalidData` where the file is damaged, or belongs to another model or other settings.
    pub fn load(&self, path: PathBuf) -> io::Result<(Vec<u32>, u64)> {
        self.wait(move |scheduler| scheduler.load(&path))
    }

    fn task(&self, task: impl FnOnce(&mut Scheduler<'_>) + Send + 'static) -> Result<(), Full> {
        let mut state = self.inbox.lock();
        let waiting = state.tasks.len();
        if state.stop || waiting >= self.config.queue {
            return Err(Full { waiting });
        }
        state.tasks.push_back(Box::new(task));
        self.inbox.news.notify_all();
        Ok(())
    }

    fn wait<T: Send + 'static>(
        &self,
        task: impl FnOnce(&mut Scheduler<'_>) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let (done, result) = mpsc::sync_channel(1);
        let task = move |scheduler: &mut Scheduler<'_>| drop(done.send(task(scheduler)));
        self.task(task).map_err(io::Error::other)?;
        let ended = |_| io::Error::other(Error::Stopped);
        result.recv().map_err(ended)?
    }

    /// How the loop is doing.
    pub fn status(&self) -> Status {
        let state = self.inbox.lock();
        Status {
            waiting: state.status.waiting + state.jobs.len(),
            ..state.status
        }
    }

    /// Texts that it runs at a time.
    pub fn parallel(&self) -> usize {
        self.config.parallel
    }
}

impl Drop for Runner {
    /// Ends what is under way and waits for the thread.
    fn drop(&mut self) {
        self.inbox.lock().stop = true;
        self.inbox.news.notify_all();
        // The loop itself may drop it, with the last job: it sees that it has to stop.
        let own = |thread: &JoinHandle<()>| thread.thread().id() == thread::current().id();
        if let Some(thread) = self.thread.take().filter(|thread| !own(thread)) {
            // A loop catches its panics, so it ends normally.
            let _ = thread.join();
        }
    }
}

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, engine: &Engine, config: Config) {
        let mut scheduler = Scheduler::new(engine, config);
        loop {
            let (jobs, tasks, stop) = self.take(&mut scheduler);
            if stop {
                for mut job in jobs {
                    job.sink.send(Update::Failed(Error::Stopped));
                }
                scheduler.close();
                return;
            }
            for task in tasks {
                // Whoever waits for it notices that its answer will not come.
                let _ = catch_unwind(AssertUnwindSafe(|| task(&mut scheduler)));
            }
            for job in jobs {
                scheduler.submit(job);
            }
            let urgent = || self.urgent.load(Ordering::Relaxed) > 0;
            let worked = catch_unwind(AssertUnwindSafe(|| scheduler.step(&urgent)));
            match worked {
                Ok(true) => {}
                Ok(false) if scheduler.is_idle() => {}
                Ok(false) => thread::sleep(REST),
                Err(_) => scheduler.recover(),
            }
            self.lock().status = status(&scheduler);
        }
    }

    /// Takes what came; waits for something where there is nothing to do.
    fn take(&self, scheduler: &mut Scheduler<'_>) -> (VecDeque<Job>, VecDeque<Task>, bool) {
        let mut state = self.lock();
        let mut unsaved = true;
        while scheduler.is_idle() && state.jobs.is_empty() && state.tasks.is_empty() && !state.stop
        {
            if unsaved {
                let waited = self.news.wait_timeout(state, IDLE);
                let (locked, time) = waited.unwrap_or_else(PoisonError::into_inner);
                state = locked;
                if time.timed_out() {
                    drop(state);
                    unsaved = scheduler.save_some();
                    state = self.lock();
                }
            } else {
                let waited = self.news.wait(state);
                state = waited.unwrap_or_else(PoisonError::into_inner);
            }
        }
        self.urgent.store(0, Ordering::Relaxed);
        let jobs = std::mem::take(&mut state.jobs);
        state.status.waiting += jobs.len();
        (jobs, std::mem::take(&mut state.tasks), state.stop)
    }
}

fn status(scheduler: &Scheduler<'_>) -> Status {
    let (own_pages, kept_pages, most_pages) = scheduler.pages();
    let (running, waiting) = scheduler.texts();
    Status {
        running,
        waiting,
        own_pages,
        kept_pages,
        most_pages,
        totals: scheduler.totals(),
    }
}
