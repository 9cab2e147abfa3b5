//! What a command line says of a server that is asked as llama-server.

use std::{
    path::PathBuf,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use super::{
    Running, Slots,
    describe::Described,
    downloads::Downloads,
    served::{Section, Served},
};
use crate::dialects::llama_server::flags::Flags;

/// Places that are shown where nobody says how many.
const PLACES: usize = 4;
/// Most places that are shown where there may be more.
const MOST_PLACES: usize = 64;

/// How llama-server's routes answer.
#[derive(Debug)]
pub struct Setup {
    /// The server is asked as llama-server and as nothing else.
    pub alone: bool,
    /// It was started without a model: requests have to name one.
    pub router: bool,
    /// A question loads its model.
    pub autoload: bool,
    /// Nothing is fetched.
    pub offline: bool,
    /// The weights are read once before the first request.
    pub warm_up: bool,
    /// How models are served that have no section.
    pub usual: Served,
    /// Models with settings of their own.
    pub sections: Vec<Section>,
    /// The one model's file, as the command line named it.
    pub path: String,
    /// `POST /props` is there.
    pub props: bool,
    /// `GET /slots` is there.
    pub slots: bool,
    /// `GET /metrics` is there.
    pub metrics: bool,
    /// Where slots are saved.
    pub slot_directory: Option<PathBuf>,
    /// What stands for a picture in a prompt.
    pub media_marker: String,
    /// The places of answers.
    pub(super) places: Arc<Slots>,
    /// Answers whose thoughts can be ended.
    pub(super) running: Running,
    /// What is fetched.
    pub(in crate::routes) downloads: Downloads,
    /// The one model as it was found when it was loaded, for as long as it sleeps.
    pub(super) described: OnceLock<Described>,
    ready: AtomicBool,
}

impl Default for Setup {
    /// Beside the other dialects, with nothing switched off.
    fn default() -> Self {
        Self {
            alone: false,
            router: false,
            autoload: true,
            offline: false,
            warm_up: true,
            usual: Served::default(),
            sections: Vec::new(),
            path: String::new(),
            props: true,
            slots: true,
            metrics: true,
            slot_directory: None,
            media_marker: media_marker(),
            places: Arc::new(Slots::new(PLACES, MOST_PLACES)),
            running: Running::default(),
            downloads: Downloads::default(),
            described: OnceLock::new(),
            ready: AtomicBool::new(true),
        }
    }
}

impl Setup {
    /// As a command line says; not ready where it names one model, which has to be loaded first.
    pub fn of(flags: &Flags) -> Self {
        let places = flags.parallel.unwrap_or(PLACES);
        Self {
            alone: true,
            router: flags.source.is_none(),
            autoload: flags.autoload,
            offline: flags.offline,
            warm_up: flags.warm_up,
            usual: Served::of(flags),
            props: flags.props,
            slots: flags.slots,
            metrics: flags.metrics,
            slot_directory: flags.slot_directory.clone(),
            places: Arc::new(Slots::new(places, places)),
            ready: AtomicBool::new(flags.source.is_none()),
            ..Self::default()
        }
    }

    /// How the model of a title is served.
    pub fn of_model(&self, title: &str) -> &Served {
        let section = self.section(title).map(|section| &section.served);
        section.unwrap_or(&self.usual)
    }

    /// The section of a model.
    pub(super) fn section(&self, title: &str) -> Option<&Section> {
        self.sections.iter().find(|section| section.title == title)
    }

    /// Places of answers.
    pub fn places(&self) -> usize {
        self.places.count()
    }

    /// Whether requests are answered.
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    /// The model is there.
    pub fn begin(&self) {
        self.ready.store(true, Ordering::Release);
    }
}

/// By chance for each process, so that no text of a user has it, unless the environment says what.
fn media_marker() -> String {
    use std::hash::{BuildHasher, RandomState};
    std::env::var("LLAMA_MEDIA_MARKER").unwrap_or_else(|_| {
        let part = |number: u8| format!("{:016x}", RandomState::new().hash_one(number));
        format!("<__media_{}{}__>", part(0), part(1))
    })
}
