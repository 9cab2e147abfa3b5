//! Who used what on which day, kept on this machine and nowhere else. Only counts: no text ever comes here.

mod day;
mod file;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use day::Day;

use crate::edge::Tokens;
use file::File;

/// Days that are kept.
pub const DAYS_KEPT: u32 = 400;

/// Entries that are kept; the oldest go first.
const MOST_ENTRIES: usize = 100_000;

/// How often what is new should be written at most.
pub const FLUSH_EVERY: Duration = Duration::from_secs(10);

/// Why the usage cannot be kept.
#[derive(Debug, thiserror::Error)]
#[error("cannot keep the usage in {path}: {error}", path = path.display())]
pub struct UsageError {
    path: std::path::PathBuf,
    error: std::io::Error,
}

/// What is counted of one model with one key on one day.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Subject {
    day: Day,
    model: String,
    /// The key's name; empty without one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    key: String,
}

/// Counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Totals {
    /// Requests.
    pub requests: u64,
    /// Tokens of prompts, cached ones included.
    pub prompt: u64,
    /// Those that were cached.
    pub cached: u64,
    /// Tokens of answers.
    pub generated: u64,
    /// Milliseconds that requests took.
    pub ms: u64,
}

impl Totals {
    fn add(&mut self, more: &Self) {
        for (total, more) in [
            (&mut self.requests, more.requests),
            (&mut self.prompt, more.prompt),
            (&mut self.cached, more.cached),
            (&mut self.generated, more.generated),
            (&mut self.ms, more.ms),
        ] {
            *total = total.saturating_add(more);
        }
    }
}

/// One line of an answer to `/api/usage`, and of the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    #[serde(flatten)]
    subject: Subject,
    #[serde(flatten)]
    totals: Totals,
}

/// The answer to `/api/usage?days=`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The first day, UTC.
    pub since: Day,
    /// All together.
    pub total: Totals,
    /// Per day, model and key, in that order.
    pub entries: Vec<Entry>,
}

#[derive(Debug, Default)]
struct State {
    all: BTreeMap<Subject, Totals>,
    /// What the file does not have yet.
    new: BTreeMap<Subject, Totals>,
}

/// The usage of a server.
#[derive(Debug)]
pub struct Usage {
    state: Mutex<State>,
    file: Mutex<File>,
}

impl Usage {
    /// Opens the usage in a directory, which is made where it is missing. Lines that a crash left torn are dropped.
    ///
    /// # Errors
    /// The directory cannot be made, or the file not read or written.
    pub fn open(directory: &Path) -> Result<Self, UsageError> {
        Self::open_on(directory, Day::today())
    }

    fn open_on(directory: &Path, today: Day) -> Result<Self, UsageError> {
        fs::create_dir_all(directory).map_err(|error| UsageError {
            path: directory.to_owned(),
            error,
        })?;
        let (file, entries) = File::open(&directory.join("usage.jsonl"))?;
        let mut state = State::default();
        for entry in entries {
            state
                .all
                .entry(entry.subject)
                .or_default()
                .add(&entry.totals);
        }
        state.forget(today);
        let usage = Self {
            state: Mutex::new(state),
            file: Mutex::new(file),
        };
        usage.compact()?;
        Ok(usage)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a request that ended.
    pub fn record(&self, model: &str, key: Option<&str>, tokens: Tokens, time: Duration) {
        self.record_on(Day::today(), model, key, tokens, time);
    }

    fn record_on(&self, day: Day, model: &str, key: Option<&str>, tokens: Tokens, time: Duration) {
        let subject = Subject {
            day,
            model: model.to_owned(),
            key: key.unwrap_or_default().to_owned(),
        };
        let totals = Totals {
            requests: 1,
            prompt: tokens.prompt,
            cached: tokens.cached,
            generated: tokens.generated,
            ms: u64::try_from(time.as_millis()).unwrap_or(u64::MAX),
        };
        let mut state = self.state();
        state.all.entry(subject.clone()).or_default().add(&totals);
        state.new.entry(subject).or_default().add(&totals);
    }

    /// Writes what is new and waits until it is on the disk. Blocks. Where it fails, nothing is lost: the next call
    /// tries again.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn flush(&self) -> Result<(), UsageError> {
        let new = std::mem::take(&mut self.state().new);
        if new.is_empty() {
            return Ok(());
        }
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = file.append(&entries(&new)) {
            self.state().take_back(&new);
            return Err(error);
        }
        let known = self.state().all.len();
        if file.lines() > 4 * known + 1000 {
            drop(file);
            self.compact()?;
        }
        Ok(())
    }

    /// Writes everything anew, without what is too old.
    fn compact(&self) -> Result<(), UsageError> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let (all, new) = {
            let mut state = self.state();
            state.forget(Day::today());
            (entries(&state.all), std::mem::take(&mut state.new))
        };
        file.replace(&all)
            .inspect_err(|_| self.state().take_back(&new))
    }

    /// What the last `days` days had, today included; 0 counts as 1.
    pub fn report(&self, days: u32) -> Report {
        self.report_on(Day::today(), days)
    }

    fn report_on(&self, today: Day, days: u32) -> Report {
        let since = today.before(days.clamp(1, DAYS_KEPT) - 1);
        let state = self.state();
        let start = Subject {
            day: since,
            model: String::new(),
            key: String::new(),
        };
        let found: BTreeMap<_, _> = state
            .all
            .range(start..)
            .map(|(subject, totals)| (subject.clone(), *totals))
            .collect();
        let mut total = Totals::default();
        found.values().for_each(|totals| total.add(totals));
        Report {
            since,
            total,
            entries: entries(&found),
        }
    }

    /// Tokens read and generated today with a key.
    pub fn tokens_today(&self, key: &str) -> u64 {
        let report = self.report(1);
        let of_key = report
            .entries
            .iter()
            .filter(|entry| entry.subject.key == key);
        of_key
            .map(|entry| entry.totals.prompt.saturating_add(entry.totals.generated))
            .fold(0, u64::saturating_add)
    }
}

impl State {
    /// Has what could not be written, for the next try.
    fn take_back(&mut self, new: &BTreeMap<Subject, Totals>) {
        for (subject, totals) in new {
            self.new.entry(subject.clone()).or_default().add(totals);
        }
    }

    fn forget(&mut self, today: Day) {
        let oldest = today.before(DAYS_KEPT - 1);
        self.all.retain(|subject, _| subject.day >= oldest);
        while self.all.len() > MOST_ENTRIES {
            self.all.pop_first();
        }
    }
}

fn entries(map: &BTreeMap<Subject, Totals>) -> Vec<Entry> {
    map.iter()
        .map(|(subject, totals)| Entry {
            subject: subject.clone(),
            totals: *totals,
        })
        .collect()
}

#[cfg(test)]
mod tests;
