//! One batch: a state machine over the files of a directory.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::core::Failure;
use crate::dialects::openai::disk::{self, failed};
use crate::dialects::openai::files::{self, Files};

use super::line::{self, BadLine, Endpoint, Pending};

/// Bytes of what is known of a batch.
const META_BYTES: u64 = 1 << 20;
/// Problems of the input that are told.
const MOST_ERRORS: usize = 100;
/// Bytes of a `custom_id`.
const NAME_BYTES: usize = 512;

/// Where a batch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// The input is no list of requests; nothing was answered.
    Failed,
    /// Requests wait or are answered.
    InProgress,
    /// It was cancelled, and some answers are still coming.
    Cancelling,
    /// All that will be answered is, in the output and error files.
    Completed,
    /// As completed, for what was answered before it was cancelled.
    Cancelled,
}

impl Status {
    /// Whether nothing more happens.
    pub fn is_over(self) -> bool {
        matches!(self, Self::Failed | Self::Completed | Self::Cancelled)
    }
}

/// What is known of a batch. Times are seconds since 1970.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Meta {
    /// Its id: `batch_` and letters or digits.
    pub id: String,
    /// Whose it is: the name of a key, never the key; empty where there are no keys. Nobody else sees it.
    pub owner: String,
    /// The path that every line asks.
    pub endpoint: String,
    /// The file that its lines came from.
    pub input_file_id: String,
    /// What the client wrote there; it is shown again.
    pub metadata: Map<String, Value>,
    /// Where it is.
    pub status: Status,
    /// When it was made.
    pub created: u64,
    /// When the last answer was there, or the input turned out to be no list of requests.
    pub ended: Option<u64>,
    /// When it was cancelled.
    pub cancelling: Option<u64>,
    /// Answers with a status below 300.
    pub output_file_id: Option<String>,
    /// The others.
    pub error_file_id: Option<String>,
    /// What is wrong with the input.
    pub errors: Vec<Value>,
    /// Lines.
    pub total: usize,
    /// Lines that have an answer.
    pub completed: usize,
    /// Lines whose answer is an error.
    pub failed: usize,
}

impl Meta {
    /// The object that clients get.
    pub fn object(&self) -> Value {
        let when = |status: Status| self.ended.filter(|_| self.status == status);
        let errors =
            (!self.errors.is_empty()).then(|| json!({"object": "list", "data": self.errors}));
        json!({
            "id": self.id, "object": "batch", "endpoint": self.endpoint, "errors": errors,
            "input_file_id": self.input_file_id, "completion_window": "24h", "status": self.status,
            "output_file_id": self.output_file_id, "error_file_id": self.error_file_id,
            "created_at": self.created, "in_progress_at": (self.status != Status::Failed).then_some(self.created),
            // Nothing expires here: a slow machine finishes what it began.
            "expires_at": null, "expired_at": null,
            "finalizing_at": when(Status::Completed), "completed_at": when(Status::Completed),
            "failed_at": when(Status::Failed),
            "cancelling_at": self.cancelling, "cancelled_at": when(Status::Cancelled),
            "request_counts": {"total": self.total, "completed": self.completed, "failed": self.failed},
            "metadata": self.metadata,
        })
    }

    fn endpoint(&self) -> io::Result<Endpoint> {
        Endpoint::of(&self.endpoint)
            .ok_or_else(|| io::Error::other("the endpoint of a batch is not known"))
    }
}

/// The answer to a request.
#[derive(Clone, Debug, PartialEq)]
pub struct Answered {
    /// The HTTP status that the request would have got.
    pub status: u16,
    /// The id of the request.
    pub request_id: String,
    /// The body, be it an answer or an error.
    pub body: Value,
}

/// How large the input may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    pub(super) lines: usize,
    pub(super) line_bytes: usize,
}

/// A request in the input.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    offset: u64,
    bytes: usize,
    done: bool,
    taken: bool,
}

/// A batch.
#[derive(Debug)]
pub struct Job {
    dir: PathBuf,
    meta: Meta,
    /// By line; lines without a request have no bytes.
    places: Vec<Place>,
    /// No line before it waits.
    cursor: usize,
}

impl Job {
    /// Makes a batch of a copy of a file. Where the file is no list of requests, the batch has failed and says why.
    pub(super) fn create(
        dir: PathBuf,
        mut meta: Meta,
        mut input: File,
        bounds: Bounds,
    ) -> Result<Self, Failure> {
        fs::create_dir_all(&dir).map_err(failed)?;
        let path = dir.join("input.jsonl");
        let mut copy = File::create(&path).map_err(failed)?;
        io::copy(&mut input, &mut copy)
            .and_then(|_| copy.sync_data())
            .map_err(failed)?;
        let endpoint = meta.endpoint().map_err(failed)?;
        let (places, errors) = check(&path, endpoint, bounds).map_err(failed)?;
        meta.total = places.iter().filter(|place| place.bytes > 0).count();
        if !errors.is_empty() {
            meta.status = Status::Failed;
            meta.ended = Some(meta.created);
            meta.errors = errors;
        }
        let job = Self {
            dir,
            meta,
            places,
            cursor: 0,
        };
        // What makes it a batch comes last.
        job.save().map_err(failed)?;
        Ok(job)
    }

    /// Opens a batch: the lines that have an answer are done, the others wait. An answer that a crash cut is dropped.
    pub(super) fn open(dir: PathBuf, bounds: Bounds) -> io::Result<Self> {
        let meta: Meta = disk::read_json(&dir.join("batch.json"), META_BYTES)?;
        let mut job = Self {
            dir,
            meta,
            places: Vec::new(),
            cursor: 0,
        };
        if job.meta.status.is_over() {
            return Ok(job);
        }
        job.places = find(&job.dir.join("input.jsonl"), bounds, |_, _| {})?;
        job.meta.completed = job.resume("output.jsonl")?;
        job.meta.failed = job.resume("errors.jsonl")?;
        Ok(job)
    }

    /// What is known of it.
    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    /// Takes the next request that waits.
    ///
    /// # Errors
    /// The disk fails.
    pub fn next_pending(&mut self) -> Result<Option<Pending>, Failure> {
        if self.meta.status != Status::InProgress {
            return Ok(None);
        }
        let rest = self.places.iter().skip(self.cursor);
        let Some(skipped) = rest
            .clone()
            .position(|place| place.bytes > 0 && !place.done && !place.taken)
        else {
            return Ok(None);
        };
        let index = self.cursor + skipped;
        let pending = self.read(index).map_err(failed)?;
        self.places[index].taken = true;
        self.cursor = index + 1;
        Ok(Some(pending))
    }

    /// Gives back a request that was taken and will not be answered: it waits again.
    pub fn release(&mut self, line: usize) {
        if let Some(index) = line.checked_sub(1)
            && let Some(place) = self.places.get_mut(index)
        {
            place.taken = false;
            self.cursor = self.cursor.min(index);
        }
    }

    /// Writes an answer, which is on the disk when this returns.
    ///
    /// # Errors
    /// The line has an answer already or was never asked for, or the disk fails.
    pub fn record(&mut self, pending: &Pending, answered: &Answered) -> Result<(), Failure> {
        let place = pending
            .line
            .checked_sub(1)
            .and_then(|index| self.places.get_mut(index));
        let Some(place) = place.filter(|place| place.taken && !place.done) else {
            let message = format!(
                "line {} of {} does not wait for an answer",
                pending.line, self.meta.id
            );
            return Err(Failure::Internal(message));
        };
        let good = answered.status < 300;
        let id = self.meta.id.strip_prefix("batch_").unwrap_or(&self.meta.id);
        let about = (pending.line, pending.custom_id.as_str());
        let text = line::answer(
            id,
            about,
            answered.status,
            &answered.request_id,
            &answered.body,
        );
        let path = self
            .dir
            .join(if good { "output.jsonl" } else { "errors.jsonl" });
        append(&path, text.as_bytes()).map_err(failed)?;
        place.done = true;
        place.taken = false;
        let count = if good {
            &mut self.meta.completed
        } else {
            &mut self.meta.failed
        };
        *count += 1;
        Ok(())
    }

    /// Stops: no more requests are handed out. Those that are being answered may still be recorded.
    ///
    /// # Errors
    /// It is over already, or the disk fails.
    pub fn cancel(&mut self, now: u64) -> Result<(), Failure> {
        match self.meta.status {
            Status::Cancelling => Ok(()),
            Status::InProgress => {
                self.meta.status = Status::Cancelling;
                self.meta.cancelling = Some(now);
                self.save().map_err(failed)
            }
            status => {
                let word = json!(status);
                let message = format!("Cannot cancel a batch with status {word}.");
                Err(Failure::invalid("batch_id", message))
            }
        }
    }

    /// Ends the batch when nothing more will come: its files become files of the owner. Done again after a crash, it makes the
    /// same files.
    ///
    /// # Errors
    /// There is no room, or the disk fails.
    pub fn settle(&mut self, files: &mut Files, now: u64) -> Result<(), Failure> {
        let answered = self.meta.completed + self.meta.failed;
        let end = match self.meta.status {
            Status::InProgress if answered >= self.meta.total => Status::Completed,
            Status::Cancelling if !self.places.iter().any(|place| place.taken) => Status::Cancelled,
            _ => return Ok(()),
        };
        self.meta.output_file_id = self.publish(files, "output.jsonl", "output", now)?;
        self.meta.error_file_id = self.publish(files, "errors.jsonl", "errors", now)?;
        self.meta.status = end;
        self.meta.ended = Some(now);
        self.save().map_err(failed)?;
        self.places = Vec::new();
        // Only room is at stake.
        for name in ["input.jsonl", "output.jsonl", "errors.jsonl"] {
            let _ = disk::remove(&self.dir.join(name));
        }
        Ok(())
    }

    fn publish(
        &self,
        files: &mut Files,
        name: &str,
        suffix: &str,
        now: u64,
    ) -> Result<Option<String>, Failure> {
        let path = self.dir.join(name);
        if !path.exists() {
            return Ok(None);
        }
        let base = self.meta.id.strip_prefix("batch_").unwrap_or(&self.meta.id);
        let meta = files::Meta {
            id: format!("file-{base}{suffix}"),
            owner: self.meta.owner.clone(),
            bytes: 0,
            created: now,
            expires: None,
            filename: format!("{}_{suffix}.jsonl", self.meta.id),
            purpose: "batch_output".to_owned(),
        };
        files.adopt(meta, &path).map(|meta| Some(meta.id))
    }

    fn save(&self) -> io::Result<()> {
        disk::write_json(&self.dir.join("batch.json"), &self.meta)
    }

    fn read(&self, index: usize) -> io::Result<Pending> {
        let place = self.places[index];
        let mut file = File::open(self.dir.join("input.jsonl"))?;
        file.seek(SeekFrom::Start(place.offset))?;
        let mut text = vec![0; place.bytes];
        file.read_exact(&mut text)?;
        line::read(index + 1, &text, self.meta.endpoint()?)
            .map_err(|bad| io::Error::other(bad.message))
    }

    /// Marks the lines that a file has answers of; the number of those. What follows the last line break was cut by a crash.
    fn resume(&mut self, name: &str) -> io::Result<usize> {
        let path = self.dir.join(name);
        let file = match File::options().read(true).write(true).open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            file => file?,
        };
        let (mut whole, mut count) = (0, 0);
        let mut reader = BufReader::new(&file);
        let mut text = Vec::new();
        while reader.read_until(b'\n', &mut text)? > 0 && text.ends_with(b"\n") {
            whole += text.len() as u64;
            let index = line::answered(&text).and_then(|line| line.checked_sub(1));
            let place = index.and_then(|index| self.places.get_mut(index));
            if let Some(place) = place.filter(|place| !place.done) {
                place.done = true;
                count += 1;
            }
            text.clear();
        }
        file.set_len(whole)?;
        file.sync_data()?;
        Ok(count)
    }
}

fn append(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut file = File::options().append(true).create(true).open(path)?;
    let before = file.metadata()?.len();
    let written = file.write_all(text).and_then(|()| file.sync_data());
    if written.is_err() {
        // A part of a line would spoil the next one.
        file.set_len(before)?;
    }
    written
}

/// Finds the lines of a file and shows each one.
fn find(
    path: &Path,
    bounds: Bounds,
    mut see: impl FnMut(usize, Result<&[u8], BadLine>),
) -> io::Result<Vec<Place>> {
    let mut reader = BufReader::new(File::open(path)?);
    let mut places = Vec::new();
    let mut offset = 0;
    let mut text = Vec::new();
    loop {
        text.clear();
        let most = bounds.line_bytes as u64 + 1;
        let read = reader.by_ref().take(most).read_until(b'\n', &mut text)?;
        let line = places.len() + 1;
        if read == 0 {
            return Ok(places);
        }
        let problem = if text.len() > bounds.line_bytes && !text.ends_with(b"\n") {
            Some((
                "line_too_long",
                format!("line {line} has more than {} bytes", bounds.line_bytes),
            ))
        } else if line > bounds.lines {
            Some((
                "too_many_requests",
                format!("the file has more than {} lines", bounds.lines),
            ))
        } else {
            None
        };
        if let Some((code, message)) = problem {
            see(
                line,
                Err(BadLine {
                    code,
                    param: None,
                    message,
                }),
            );
            return Ok(places);
        }
        let content = text.trim_ascii();
        let blank = content.is_empty();
        let bytes = if blank { 0 } else { text.len() };
        places.push(Place {
            offset,
            bytes,
            ..Place::default()
        });
        if !blank {
            see(line, Ok(content));
        }
        offset += read as u64;
    }
}

/// Finds the lines of a file and what is wrong with them.
fn check(path: &Path, endpoint: Endpoint, bounds: Bounds) -> io::Result<(Vec<Place>, Vec<Value>)> {
    let mut errors = Vec::new();
    let mut names: HashSet<String> = HashSet::new();
    let places = find(path, bounds, |number, text| {
        let checked = text
            .and_then(|text| line::read(number, text, endpoint))
            .and_then(|pending| {
                let problem = if pending.custom_id.len() > NAME_BYTES {
                    Some((
                        "invalid_custom_id",
                        format!("line {number}: custom_id has more than {NAME_BYTES} bytes"),
                    ))
                } else if names.contains(&pending.custom_id) {
                    Some((
                        "duplicate_custom_id",
                        format!(
                            "line {number}: custom_id {:?} is there twice",
                            pending.custom_id
                        ),
                    ))
                } else {
                    names.insert(pending.custom_id);
                    None
                };
                problem.map_or(Ok(()), |(code, message)| {
                    Err(BadLine {
                        code,
                        param: Some("custom_id"),
                        message,
                    })
                })
            });
        if let Err(bad) = checked
            && errors.len() < MOST_ERRORS
        {
            errors.push(json!({"code": bad.code, "line": number, "message": bad.message, "param": bad.param}));
        }
    })?;
    if errors.is_empty() && names.is_empty() {
        errors.push(json!({"code": "empty_file", "line": null, "message": "the input file has no requests", "param": null}));
    }
    Ok((places, errors))
}

#[cfg(test)]
mod tests;
