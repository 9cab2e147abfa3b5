//! The batches of a directory.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::SystemTime;

use serde_json::{Map, Value};

use crate::core::Failure;
use crate::dialects::frame::seconds;
use crate::dialects::openai::disk::{failed, is_id};
use crate::dialects::openai::files::Files;
use crate::dialects::openai::page::Page;
use crate::dialects::{Fields, Stamp};

use super::job::{Answered, Bounds, Job, Meta, Status};
use super::line::{Endpoint, Pending};

/// How much is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Batches; those that are over make room, the oldest first.
    pub batches: usize,
    /// Lines of one.
    pub lines: usize,
    /// Bytes of a line.
    pub line_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            batches: 1000,
            // OpenAI's limit.
            lines: 50_000,
            line_bytes: 8 << 20,
        }
    }
}

/// What is asked of a new batch.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    /// The file with the requests.
    pub input_file_id: String,
    /// What every line asks.
    pub endpoint: Endpoint,
    /// The client's notes.
    pub metadata: Map<String, Value>,
    /// Paths of fields that nobody read.
    pub ignored: Vec<String>,
}

/// Reads the body of `POST /v1/batches`.
///
/// # Errors
/// A field is missing, of the wrong type, or names an endpoint that has no batches.
pub fn request(body: Map<String, Value>) -> Result<Asked, Failure> {
    let mut body = Fields::new(body);
    let input_file_id = body.require_str("input_file_id")?;
    let path = body.require_str("endpoint")?;
    let Some(endpoint) = Endpoint::of(&path) else {
        let problem = format!("must be one of {}, got {path:?}", Endpoint::all());
        return Err(body.refuse("endpoint", problem));
    };
    match body.take_str("completion_window")?.as_deref() {
        None | Some("24h") => {}
        Some(other) => {
            return Err(body.refuse(
                "completion_window",
                format!("must be \"24h\", got {other:?}"),
            ));
        }
    }
    let metadata = body.take_map("metadata")?.unwrap_or_default();
    if metadata.len() > 16 || metadata.values().any(|value| !value.is_string()) {
        return Err(body.refuse("metadata", "must be at most 16 texts"));
    }
    Ok(Asked {
        input_file_id,
        endpoint,
        metadata,
        ignored: body.rest(),
    })
}

/// The batches of a directory. It blocks on the disk: call it beside an event loop.
#[derive(Debug)]
pub struct Batches {
    dir: PathBuf,
    limits: Limits,
    jobs: BTreeMap<String, Job>,
}

impl Batches {
    /// Opens a directory, which is made if need be: batches go on where they were.
    ///
    /// # Errors
    /// The directory cannot be made, read or cleaned.
    pub fn open(dir: impl Into<PathBuf>, limits: Limits) -> io::Result<Self> {
        let dir = dir.into();
        fs::create_dir_all(&dir)?;
        let mut batches = Self {
            dir,
            limits,
            jobs: BTreeMap::new(),
        };
        for entry in fs::read_dir(&batches.dir)? {
            let entry = entry?;
            let name = entry.file_name();
            let Some(id) = name.to_str().filter(|name| is_id(name, "batch_")) else {
                continue;
            };
            if !entry.path().join("batch.json").exists() {
                // It was never accepted.
                fs::remove_dir_all(entry.path())?;
                continue;
            }
            // A damaged one stays where it is and is not known.
            if let Ok(job) = Job::open(entry.path(), batches.bounds())
                && job.meta().id == id
            {
                batches.jobs.insert(id.to_owned(), job);
            }
        }
        Ok(batches)
    }

    /// Makes a batch of a file of its owner.
    ///
    /// # Errors
    /// There is no such file, there are too many batches, or the disk fails.
    pub fn create(
        &mut self,
        asked: &Asked,
        owner: &str,
        files: &Files,
        stamp: &Stamp,
    ) -> Result<&Meta, Failure> {
        self.make_room()?;
        let input = files
            .content(owner, &asked.input_file_id, stamp.created)?
            .ok_or_else(|| {
                let message = format!("No file found with id '{}'.", asked.input_file_id);
                Failure::invalid("input_file_id", message)
            })?;
        let id = format!("batch_{}", stamp.id);
        if !is_id(&id, "batch_") || self.jobs.contains_key(&id) {
            return Err(Failure::Internal(
                "the id of a batch cannot be used".to_owned(),
            ));
        }
        let meta = Meta {
            id: id.clone(),
            owner: owner.to_owned(),
            endpoint: asked.endpoint.path().to_owned(),
            input_file_id: asked.input_file_id.clone(),
            metadata: asked.metadata.clone(),
            status: Status::InProgress,
            created: stamp.seconds(),
            ended: None,
            cancelling: None,
            output_file_id: None,
            error_file_id: None,
            errors: Vec::new(),
            total: 0,
            completed: 0,
            failed: 0,
        };
        let job = Job::create(self.dir.join(&id), meta, input, self.bounds())?;
        Ok(self.jobs.entry(id).or_insert(job).meta())
    }

    /// A batch of an owner. Another one's is as if it were not there.
    pub fn get(&self, owner: &str, id: &str) -> Option<&Meta> {
        self.jobs
            .get(id)
            .map(Job::meta)
            .filter(|meta| meta.owner == owner)
    }

    /// `GET /v1/batches`.
    pub fn list(&self, owner: &str, page: &Page) -> Value {
        let mut metas: Vec<&Meta> = self
            .jobs
            .values()
            .map(Job::meta)
            .filter(|meta| meta.owner == owner)
            .collect();
        metas.sort_by(|a, b| (b.created, &b.id).cmp(&(a.created, &a.id)));
        page.of(metas.into_iter().map(Meta::object).collect())
    }

    /// Cancels a batch of an owner. `None`: there is none.
    ///
    /// # Errors
    /// It is over, or the disk fails.
    pub fn cancel(
        &mut self,
        owner: &str,
        id: &str,
        files: &mut Files,
        now: SystemTime,
    ) -> Result<Option<&Meta>, Failure> {
        let Some(job) = self
            .jobs
            .get_mut(id)
            .filter(|job| job.meta().owner == owner)
        else {
            return Ok(None);
        };
        job.cancel(seconds(now))?;
        job.settle(files, seconds(now))?;
        Ok(Some(job.meta()))
    }

    /// Whose a batch is; nobody's where there is none.
    pub fn owner(&self, id: &str) -> String {
        let owner = self.jobs.get(id).map(|job| job.meta().owner.clone());
        owner.unwrap_or_default()
    }

    /// Takes the next request that waits, of the oldest batch that has one, with the id of the batch.
    ///
    /// # Errors
    /// The disk fails.
    pub fn next_pending(&mut self) -> Result<Option<(String, Pending)>, Failure> {
        let mut order: Vec<(u64, String)> = self
            .jobs
            .values()
            .map(Job::meta)
            .filter(|meta| meta.status == Status::InProgress)
            .map(|meta| (meta.created, meta.id.clone()))
            .collect();
        order.sort();
        for (_, id) in order {
            if let Some(job) = self.jobs.get_mut(&id)
                && let Some(pending) = job.next_pending()?
            {
                return Ok(Some((id, pending)));
            }
        }
        Ok(None)
    }

    /// Writes the answer to a request that was taken; the last one ends its batch.
    ///
    /// # Errors
    /// The request does not wait for an answer, or the disk fails.
    pub fn record(
        &mut self,
        id: &str,
        pending: &Pending,
        answered: &Answered,
        files: &mut Files,
        now: SystemTime,
    ) -> Result<(), Failure> {
        let job = self.job(id)?;
        job.record(pending, answered)?;
        job.settle(files, seconds(now))
    }

    /// Gives back a request that will not be answered now.
    ///
    /// # Errors
    /// The disk fails.
    pub fn release(
        &mut self,
        id: &str,
        line: usize,
        files: &mut Files,
        now: SystemTime,
    ) -> Result<(), Failure> {
        let job = self.job(id)?;
        job.release(line);
        job.settle(files, seconds(now))
    }

    /// Ends what a crash kept from ending: call it once after opening.
    ///
    /// # Errors
    /// The disk fails.
    pub fn settle(&mut self, files: &mut Files, now: SystemTime) -> Result<(), Failure> {
        self.jobs
            .values_mut()
            .try_for_each(|job| job.settle(files, seconds(now)))
    }

    fn job(&mut self, id: &str) -> Result<&mut Job, Failure> {
        self.jobs
            .get_mut(id)
            .ok_or_else(|| Failure::Internal(format!("there is no batch {id}")))
    }

    fn bounds(&self) -> Bounds {
        Bounds {
            lines: self.limits.lines,
            line_bytes: self.limits.line_bytes,
        }
    }

    fn make_room(&mut self) -> Result<(), Failure> {
        while self.jobs.len() >= self.limits.batches {
            let over = self
                .jobs
                .values()
                .map(Job::meta)
                .filter(|meta| meta.status.is_over());
            let Some(id) = over
                .min_by_key(|meta| meta.created)
                .map(|meta| meta.id.clone())
            else {
                let message = format!(
                    "there are {} batches in progress already: wait for one or cancel it",
                    self.jobs.len()
                );
                return Err(Failure::invalid("input_file_id", message));
            };
            fs::remove_dir_all(self.dir.join(&id)).map_err(failed)?;
            self.jobs.remove(&id);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
