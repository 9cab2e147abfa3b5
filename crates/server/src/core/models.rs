//! The models that are loaded: within a budget of memory, for as long as somebody wants them.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use hearth_engine::fit::Guard;
use hearth_engine::{
    Engine, Options, available_memory, recommended, sampling::Settings, scheduler,
};
use hearth_grammar::Vocabulary;
use hearth_store::Presence;
use hearth_tokenizer::Tokenizer;
use tokio::sync::{Notify, broadcast};

use super::{
    Failure,
    phases::Phases,
    request::{Defaults, KeepAlive, Load},
};
use crate::library::{Library, Located, Parameters, Voice};
use crate::metrics::Busy;

pub use super::{
    limits::Config,
    phases::{Change, Phase},
};

/// Most texts that generate at a time where nothing is asked: more gain nothing on a processor.
const PARALLEL: usize = 64;

/// A loaded model.
pub struct Loaded {
    /// What it was found as.
    pub located: Located,
    /// How it is spoken to.
    pub voice: Voice,
    /// What it sets by itself.
    pub parameters: Parameters,
    /// Its loop.
    pub runner: scheduler::Runner,
    /// When it was loaded.
    pub since: SystemTime,
    key: String,
    settings: [Settings; 2],
    vocabulary: OnceLock<Result<Vocabulary, String>>,
    use_: Mutex<Use>,
    _presence: Option<Presence>,
}

#[derive(Debug)]
struct Use {
    /// Requests that have it.
    leases: usize,
    keep: KeepAlive,
    idle_since: Instant,
    /// It has to make room once nobody has it.
    condemned: bool,
}

impl Loaded {
    /// The engine.
    pub fn engine(&self) -> &Engine {
        self.runner.engine()
    }

    /// Its vocabulary, to keep.
    pub fn shared_tokenizer(&self) -> Arc<Tokenizer> {
        self.engine().shared_tokenizer()
    }

    /// Its vocabulary as grammars see it, made when it is first needed.
    ///
    /// # Errors
    /// When no grammar can be kept with this vocabulary.
    pub fn vocabulary(&self) -> Result<&Vocabulary, Failure> {
        let made = self.vocabulary.get_or_init(|| {
            let rows = self.engine().tokenizer().vocab_len();
            Vocabulary::new(self.shared_tokenizer(), rows).map_err(|e| e.to_string())
        });
        made.as_ref().map_err(|e| Failure::Internal(e.clone()))
    }

    /// What it is called.
    pub fn title(&self) -> &str {
        &self.located.title
    }

    /// Bytes of memory that it was predicted to take.
    pub fn size(&self) -> usize {
        self.engine().predicted().peak()
    }

    /// Sampler settings where a request says nothing.
    pub fn settings(&self, defaults: Defaults) -> Settings {
        let mut settings = self.settings[defaults as usize].clone();
        self.parameters.apply(&mut settings);
        settings
    }

    /// When it is unloaded if nobody asks for it; none is never, or not while somebody has it.
    pub fn expires(&self) -> Option<Instant> {
        let used = self.lock();
        match used.keep {
            _ if used.leases > 0 => None,
            _ if used.condemned => Some(used.idle_since),
            KeepAlive::For(time) => used.idle_since.checked_add(time),
            KeepAlive::Forever => None,
        }
    }

    /// How long it stays once nobody has it.
    pub fn keep_alive(&self) -> KeepAlive {
        self.lock().keep
    }

    fn lock(&self) -> MutexGuard<'_, Use> {
        self.use_.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to use a loaded model: it stays as long as this is held.
pub struct Lease {
    model: Arc<Loaded>,
    changed: Arc<Notify>,
}

impl std::ops::Deref for Lease {
    type Target = Loaded;

    fn deref(&self) -> &Loaded {
        &self.model
    }
}

impl Clone for Lease {
    fn clone(&self) -> Self {
        self.model.lock().leases += 1;
        Self {
            model: Arc::clone(&self.model),
            changed: Arc::clone(&self.changed),
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut used = self.model.lock();
        used.leases -= 1;
        used.idle_since = Instant::now();
        drop(used);
        self.changed.notify_waiters();
    }
}

/// All loaded models.
pub struct Models {
    library: Library,
    config: Config,
    loaded: Mutex<Vec<Arc<Loaded>>>,
    /// Loads happen one at a time, in order.
    loading: tokio::sync::Mutex<()>,
    waiting: AtomicUsize,
    changed: Arc<Notify>,
    phases: Phases,
}

impl Models {
    /// None yet.
    pub fn new(library: Library, config: Config) -> Arc<Self> {
        Arc::new(Self {
            library,
            config,
            loaded: Mutex::default(),
            loading: tokio::sync::Mutex::default(),
            waiting: AtomicUsize::new(0),
            changed: Arc::default(),
            phases: Phases::default(),
        })
    }

    /// Where models come from.
    pub fn library(&self) -> &Library {
        &self.library
    }

    /// The loaded ones, in the order of their loading.
    pub fn loaded(&self) -> Vec<Arc<Loaded>> {
        self.list().clone()
    }

    /// Most models that are loaded at a time; 0 is as many as fit.
    pub fn most(&self) -> usize {
        self.config.models
    }

    /// How far the model of a key is.
    pub fn phase(&self, key: &str) -> Phase {
        if self.list().iter().any(|model| model.key == key) {
            return Phase::Loaded;
        }
        self.phases.of_unloaded(key)
    }

    /// What becomes of models from now on.
    pub fn listen(&self) -> broadcast::Receiver<Change> {
        self.phases.listen()
    }

    /// What the loaded ones do at the moment.
    pub fn busy(&self) -> Vec<Busy> {
        let loaded = self.list();
        let each = loaded.iter().map(|model| {
            let status = model.runner.status();
            Busy {
                model: model.title().to_owned(),
                running: status.running,
                waiting: status.waiting,
                own_pages: status.own_pages,
                kept_pages: status.kept_pages,
                most_pages: status.most_pages,
            }
        });
        each.collect()
    }

    /// Requests that wait for a model to be loaded.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// The model of a name, without loading it.
    ///
    /// # Errors
    /// When there is none.
    pub async fn find(&self, name: &str) -> Result<Located, Failure> {
        let (library, text) = (self.library.clone(), name.to_owned());
        let found = blocking(move || library.find_by_text(&text)).await?;
        match found {
            Ok(Some(located)) => Ok(located),
            Ok(None) => Err(Failure::UnknownModel(name.to_owned())),
            Err(crate::library::Error::Name(_)) => Err(Failure::UnknownModel(name.to_owned())),
            Err(error @ crate::library::Error::NotFetched { .. }) => {
                Err(Failure::invalid("model", error.to_string()))
            }
            Err(error) => Err(Failure::Load(without_paths(&error))),
        }
    }

    /// A model, loaded if it is not.
    ///
    /// # Errors
    /// When there is none, it does not fit or cannot be read, or too many wait already.
    pub async fn acquire(self: &Arc<Self>, name: &str, load: &Load) -> Result<Lease, Failure> {
        let located = self.find(name).await?;
        let key = located.key();
        if let Some(lease) = self.lease(&key, load) {
            return Ok(lease);
        }
        let _waits = self.wait()?;
        let _turn = self.loading.lock().await;
        if let Some(lease) = self.lease(&key, load) {
            return Ok(lease);
        }
        let mut attempt = self.phases.attempt(&key, &located.title);
        self.make_room(&key, &located).await?;
        let (models, load) = (Arc::clone(self), load.clone());
        let loaded = blocking(move || models.load(key, located, &load)).await;
        let loaded = loaded.and_then(|loaded| loaded);
        attempt.phase = match loaded {
            Ok(_) => Phase::Loaded,
            Err(_) => Phase::Failed,
        };
        let loaded = loaded?;
        let lease = Lease {
            model: Arc::new(loaded),
            changed: Arc::clone(&self.changed),
        };
        self.list().push(Arc::clone(&lease.model));
        self.changed.notify_waiters();
        Ok(lease)
    }

    /// Unloads a model as soon as nobody has it. Says if it was loaded.
    pub async fn unload(&self, name: &str) -> Result<bool, Failure> {
        let key = self.find(name).await?.key();
        let found = self.list().iter().find(|model| model.key == key).cloned();
        let loaded = found.is_some();
        if let Some(model) = found {
            model.lock().condemned = true;
        }
        self.changed.notify_waiters();
        Ok(loaded)
    }

    /// Unloads as soon as nobody has them those whose names mean something else by now, or nothing.
    pub async fn retire(&self) {
        for model in self.loaded() {
            let now = self.find(model.title()).await;
            let means = now.is_ok_and(|located| located.key() == model.key);
            if !means {
                model.lock().condemned = true;
            }
        }
        self.changed.notify_waiters();
    }

    /// Unloads what nobody wants any more, until the end.
    pub async fn reap(self: Arc<Self>) {
        loop {
            let changed = self.changed.notified();
            self.unload_expired().await;
            let next = self.list().iter().filter_map(|model| model.expires()).min();
            match next {
                None => changed.await,
                Some(at) => {
                    let _ = tokio::time::timeout_at(at.into(), changed).await;
                }
            }
        }
    }

    /// Ends every request and unloads everything.
    pub async fn shut_down(&self) {
        let all = std::mem::take(&mut *self.list());
        let _ = blocking(move || drop(all)).await;
    }

    fn list(&self) -> MutexGuard<'_, Vec<Arc<Loaded>>> {
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait(&self) -> Result<Waits<'_>, Failure> {
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= self.config.queue {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            return Err(Failure::Busy {
                retry_after: Duration::from_secs(1),
            });
        }
        Ok(Waits(&self.waiting))
    }

    /// A loaded model, if its context is as large as is asked for.
    fn lease(&self, key: &str, load: &Load) -> Option<Lease> {
        let list = self.list();
        let model = list.iter().find(|model| model.key == key)?;
        let most = model.engine().model().spec().context.max(1);
        if load
            .context
            .is_some_and(|asked| asked.min(most) > model.engine().context())
        {
            return None;
        }
        let mut used = model.lock();
        if used.condemned && used.leases == 0 {
            return None;
        }
        used.leases += 1;
        used.condemned = false;
        if let Some(keep) = load.keep_alive {
            used.keep = keep;
        }
        drop(used);
        Some(Lease {
            model: Arc::clone(model),
            changed: Arc::clone(&self.changed),
        })
    }

    async fn unload_expired(&self) {
        let now = Instant::now();
        let mut gone = Vec::new();
        self.list().retain(|model| {
            let expired = model.expires().is_some_and(|at| at <= now);
            if expired {
                gone.push(Arc::clone(model));
            }
            !expired
        });
        if !gone.is_empty() {
            let names: Vec<(String, String)> = gone
                .iter()
                .map(|model| (model.key.clone(), model.title().to_owned()))
                .collect();
            // Waits for the loop to end, and frees what it had.
            let _ = blocking(move || drop(gone)).await;
            for (key, title) in names {
                self.phases.turn(&key, &title, Phase::Unloaded);
            }
            self.changed.notify_waiters();
        }
    }

    /// Unloads models until there is room for one more: an older load of the same, then those that would go first
    /// anyway. Those that somebody has are waited for.
    async fn make_room(&self, key: &str, located: &Located) -> Result<(), Failure> {
        let weights = located.size();
        loop {
            let changed = self.changed.notified();
            self.unload_expired().await;
            let victim = {
                let list = self.list();
                let used: usize = list.iter().map(|model| model.size()).sum();
                let room = self
                    .config
                    .memory
                    .unwrap_or_else(|| used + available_memory().unwrap_or(usize::MAX));
                let full = (self.config.models > 0 && list.len() >= self.config.models)
                    || used.saturating_add(weights) > room;
                let same = list.iter().find(|model| model.key == key);
                let first = || list.iter().min_by_key(|model| lifetime(model));
                same.or_else(|| full.then(first).flatten()).cloned()
            };
            let Some(victim) = victim else {
                return Ok(());
            };
            victim.lock().condemned = true;
            if victim.lock().leases > 0 {
                changed.await;
            }
        }
    }

    fn load(&self, key: String, located: Located, load: &Load) -> Result<Loaded, Failure> {
        let refused = |error: &dyn std::fmt::Display| Failure::Load(without_paths(error));
        let checkpoint = located.open().map_err(|e| refused(&e))?;
        let package = located.package.as_ref();
        let mut parameters = package
            .map(Parameters::of)
            .transpose()
            .map_err(|e| refused(&e))?
            .unwrap_or_default();
        if let Some(name) = &located.sets {
            parameters.load_as(name);
        }
        let threads = load
            .threads
            .or(parameters.threads.map(usize::from))
            .or(self.config.threads);
        let options = Options {
            threads,
            context: load.context.or(parameters.context).or(self.config.context),
            precision: self.config.precision,
            guard: if self.config.force {
                Guard::Force
            } else {
                Guard::Refuse
            },
        };
        let engine = Engine::load(&checkpoint, options).map_err(|error| match error {
            // The server itself would have taken a context that fits.
            hearth_engine::Error::Memory { .. } if load.context.is_some() => {
                Failure::invalid("num_ctx", without_paths(&error))
            }
            error => refused(&error),
        })?;
        let voice = Voice::of(&engine, &checkpoint, package).map_err(|e| refused(&e))?;
        let presence =
            located.announce(engine.context(), engine.predicted().peak() as u64, "serve");
        let settings = [Defaults::Ollama, Defaults::LlamaServer]
            .map(|kind| recommended(&checkpoint, base(kind)));
        let config = self.scheduler(&engine, &located, parameters.parallel);
        let runner = scheduler::Runner::start(Arc::new(engine), config).map_err(|e| refused(&e))?;
        Ok(Loaded {
            use_: Mutex::new(Use {
                leases: 1,
                keep: (load.keep_alive)
                    .or(parameters.idle.map(KeepAlive::For))
                    .unwrap_or(self.config.keep_alive),
                idle_since: Instant::now(),
                condemned: false,
            }),
            located,
            voice,
            parameters,
            runner,
            since: SystemTime::now(),
            key,
            settings,
            vocabulary: OnceLock::new(),
            _presence: presence,
        })
    }

    /// Half of the memory that is free may hold keys and values, and one context in any case. More than full places and
    /// [`Config::history`] is not taken: what was computed once would fill any memory.
    fn scheduler(
        &self,
        engine: &Engine,
        located: &Located,
        parallel: Option<usize>,
    ) -> scheduler::Config {
        let model = engine.model();
        // Its last turn stays in the tree besides.
        let (text, states) = (model.text_bytes(engine.context()), model.recurrent_bytes());
        let one = text.saturating_add(states);
        let free = self
            .config
            .memory
            .or_else(available_memory)
            .unwrap_or(usize::MAX);
        let most = (free / 2).max(one);
        // A text of 256 tokens each has to fit, so that places are not taken away all the time.
        let fit = (most / model.text_bytes(256).max(1)).clamp(1, PARALLEL);
        let parallel = parallel.or(self.config.parallel).unwrap_or(fit);
        scheduler::Config {
            parallel,
            queue: self.config.queue,
            cache_bytes: most.min(
                one.saturating_mul(parallel)
                    .saturating_add(self.config.history),
            ),
            model: Some(located.identity()),
            disk: self.config.disk.clone(),
        }
    }
}

/// Counts somebody who waits.
struct Waits<'m>(&'m AtomicUsize);

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Those with the shortest time to live go first, those that nobody has before the others.
fn lifetime(model: &Loaded) -> (bool, Duration, Instant) {
    let used = model.lock();
    let keep = match used.keep {
        KeepAlive::For(time) => time,
        KeepAlive::Forever => Duration::MAX,
    };
    (used.leases > 0, keep, used.idle_since)
}

/// What holds where nobody says anything.
fn base(defaults: Defaults) -> Settings {
    match defaults {
        Defaults::LlamaServer => Settings::default(),
        Defaults::Ollama => Settings {
            top_p: 0.9,
            min_p: 0.0,
            ..Settings::default()
        },
    }
}

/// The text of an error without the places that it names: clients must not learn them.
pub(crate) fn without_paths(error: &dyn std::fmt::Display) -> String {
    let text = error.to_string();
    let is_path =
        |word: &str| word.contains('/') && word.starts_with(['/', '~', '.', '\'', '"', '(']);
    let words = text
        .split(' ')
        .map(|word| if is_path(word) { "(file)" } else { word });
    words.collect::<Vec<_>>().join(" ")
}

/// Runs what blocks off the event loop.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| Failure::Internal("the work for this request broke down".to_owned()))
}
