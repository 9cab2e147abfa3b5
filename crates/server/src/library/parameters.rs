//! What a stored model brings to a conversation: its parameters, system message, template and first turns.

use std::time::Duration;

use hearth_chat::Message;
use hearth_engine::sampling::Settings;
use hearth_store::Package;
use serde_json::{Map, Value};

use super::{Error, Result};

/// Parameters that mean nothing to this engine: it maps files, batches and places layers by itself.
const WITHOUT_EFFECT: &[&str] = &[
    "num_batch",
    "num_gpu",
    "main_gpu",
    "use_mmap",
    "draft_num_predict",
];

/// What a stored model sets.
#[derive(Clone, Debug, Default)]
pub struct Parameters {
    /// Sampler settings by name, each tried.
    pub settings: Map<String, Value>,
    /// Texts that end an answer.
    pub stops: Vec<String>,
    /// Where random numbers start; none is by chance.
    pub seed: Option<u64>,
    /// Most tokens of an answer.
    pub max_tokens: Option<usize>,
    /// Tokens that a sequence may have.
    pub context: Option<usize>,
    /// Threads that compute.
    pub threads: Option<u16>,
    /// Texts that generate at a time.
    pub parallel: Option<usize>,
    /// How long it stays loaded when nobody asks.
    pub idle: Option<Duration>,
    /// Tokens kept where a context is shifted.
    pub keep: Option<usize>,
    /// What to tell the user: what the model asks for and does not get.
    pub notes: Vec<String>,
}

impl Parameters {
    /// Those of a stored model.
    ///
    /// # Errors
    /// When a part of the model would be left out in silence, or a parameter says what cannot be.
    pub fn of(package: &Package) -> Result<Self> {
        check(package)?;
        let mut found = Self::default();
        for (name, value) in &package.params {
            found.take(name, value).ok_or_else(|| Error::Parameter {
                model: package.name.to_string(),
                name: name.clone(),
                value: value.to_string(),
            })?;
        }
        if !package.projectors.is_empty() {
            let note = "the model can read images, hearth cannot yet: it answers text";
            found.notes.push(note.to_owned());
        }
        Ok(found)
    }

    fn take(&mut self, name: &str, value: &Value) -> Option<()> {
        let whole = || {
            value
                .as_f64()
                .filter(|n| n.fract() == 0.0)
                .map(|n| n as i64)
        };
        match name {
            "stop" => self.stops.extend(texts(value)?),
            // Negative: by chance, without bound, or all.
            "seed" => self.seed = u64::try_from(whole()?).ok(),
            "num_predict" => self.max_tokens = usize::try_from(whole()?).ok(),
            "num_keep" => self.keep = Some(usize::try_from(whole()?).unwrap_or(usize::MAX)),
            "num_ctx" => self.context = usize::try_from(whole()?).ok().filter(|n| *n > 0),
            "num_thread" => self.threads = u16::try_from(whole()?).ok().filter(|n| *n > 0),
            name if WITHOUT_EFFECT.contains(&name) => {}
            name if Settings::has(name) => {
                Settings::default().set(name, value).ok()?;
                self.settings.insert(name.to_owned(), value.clone());
            }
            _ => self
                .notes
                .push(format!("parameter {name} of the model has no effect here")),
        }
        Some(())
    }

    /// How the model is loaded where a name for it says so.
    pub fn load_as(&mut self, name: &Self) {
        self.context = name.context.or(self.context);
        self.threads = name.threads.or(self.threads);
        self.parallel = name.parallel.or(self.parallel);
        self.idle = name.idle.or(self.idle);
    }

    /// Puts the sampler settings in the place of others.
    pub fn apply(&self, settings: &mut Settings) {
        for (name, value) in &self.settings {
            // Each was tried alone, and they do not depend on each other.
            let _ = settings.set(name, value);
        }
    }
}

/// Refuses a model of which a part would be left out in silence.
fn check(package: &Package) -> Result<()> {
    if package.config.remote_host.is_some() {
        return Err(Error::Cloud(package.name.to_string()));
    }
    if !package.adapters.is_empty() {
        return Err(Error::Adapter(package.name.to_string()));
    }
    Ok(())
}

fn texts(value: &Value) -> Option<Vec<String>> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    match value {
        Value::Array(list) => list.iter().map(text).collect(),
        other => text(other).map(|text| vec![text]),
    }
    .map(|texts: Vec<String>| texts.into_iter().filter(|text| !text.is_empty()).collect())
}

/// The turns that come before every conversation, the system message first.
pub fn first_messages(package: &Package) -> Vec<Message> {
    let system = package
        .system
        .iter()
        .map(|text| Message::new("system", text));
    let turns = package
        .messages
        .iter()
        .map(|turn| Message::new(turn.role.as_str(), turn.content.as_str()));
    system.chain(turns).collect()
}
