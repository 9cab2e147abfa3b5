//! How far models are, and who is told of it.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::broadcast;

/// Changes that wait to be heard.
const CHANGES: usize = 256;

/// How far a model is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It is on the disk.
    Unloaded,
    /// It is being loaded.
    Loading,
    /// It answers.
    Loaded,
    /// It is on the disk, and could not be loaded when that was tried last.
    Failed,
}

/// A model came into another phase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What it is called.
    pub model: String,
    /// How far it is now.
    pub phase: Phase,
}

/// The phases of all models.
#[derive(Debug)]
pub(super) struct Phases {
    /// By their keys, those that are loading and those that could not be loaded.
    attempts: Mutex<HashMap<String, Phase>>,
    changes: broadcast::Sender<Change>,
}

impl Default for Phases {
    fn default() -> Self {
        Self {
            attempts: Mutex::default(),
            changes: broadcast::Sender::new(CHANGES),
        }
    }
}

impl Phases {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Phase>> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How far a model is that is not loaded.
    pub(super) fn of_unloaded(&self, key: &str) -> Phase {
        self.lock().get(key).copied().unwrap_or(Phase::Unloaded)
    }

    /// What happens from now on.
    pub(super) fn listen(&self) -> broadcast::Receiver<Change> {
        self.changes.subscribe()
    }

    /// Notes how far a model is, and tells who listens.
    pub(super) fn turn(&self, key: &str, title: &str, phase: Phase) {
        match phase {
            Phase::Loading | Phase::Failed => self.lock().insert(key.to_owned(), phase),
            Phase::Loaded | Phase::Unloaded => self.lock().remove(key),
        };
        // Nobody need listen.
        let _ = self.changes.send(Change {
            model: title.to_owned(),
            phase,
        });
    }

    /// Begins to load a model.
    pub(super) fn attempt(&self, key: &str, title: &str) -> Attempt<'_> {
        self.turn(key, title, Phase::Loading);
        Attempt {
            phases: self,
            key: key.to_owned(),
            title: title.to_owned(),
            phase: Phase::Unloaded,
        }
    }
}

/// A model that is being loaded. When this is dropped, what came of it is told.
pub(super) struct Attempt<'p> {
    phases: &'p Phases,
    key: String,
    title: String,
    /// What came of it so far: nothing, until something else is said.
    pub(super) phase: Phase,
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        self.phases.turn(&self.key, &self.title, self.phase);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_is_told_from_its_beginning_to_its_end() {
        let phases = Phases::default();
        let mut changes = phases.listen();
        for (end, after) in [
            (Phase::Failed, Phase::Failed),
            (Phase::Loaded, Phase::Unloaded),
            (Phase::Unloaded, Phase::Unloaded),
        ] {
            let mut attempt = phases.attempt("key", "m");
            assert_eq!(phases.of_unloaded("key"), Phase::Loading);
            attempt.phase = end;
            drop(attempt);
            assert_eq!(phases.of_unloaded("key"), after);
            for phase in [Phase::Loading, end] {
                let change = changes.try_recv().unwrap();
                assert_eq!((change.model.as_str(), change.phase), ("m", phase));
            }
        }
    }
}
