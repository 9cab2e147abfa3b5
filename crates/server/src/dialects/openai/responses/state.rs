//! What is kept of responses: in memory, and on disk where there is a directory. Bounded in every direction.
//!
//! A file has a line that says whose it is and a line with the rest, so that opening a directory reads only the first ones.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::core::Failure;
use crate::dialects::frame::seconds;
use crate::dialects::openai::page::Page;

/// Bytes of the first line of a file.
const HEAD_BYTES: u64 = 4096;

/// How much is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Responses.
    pub responses: usize,
    /// Bytes of one as JSON; a larger one is not kept.
    pub response_bytes: usize,
    /// Bytes in memory. Without a directory it is the bound of all.
    pub memory_bytes: usize,
    /// Bytes on disk.
    pub disk_bytes: u64,
    /// Bytes of a conversation that is put together.
    pub history_bytes: usize,
    /// How long one is kept.
    pub age: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            responses: 10_000,
            response_bytes: 8 << 20,
            memory_bytes: 64 << 20,
            disk_bytes: 1 << 30,
            history_bytes: 32 << 20,
            // As long as OpenAI keeps them.
            age: Duration::from_secs(30 * 24 * 3600),
        }
    }
}

/// A response with what led to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    /// Its id: `resp_` and letters or digits.
    pub id: String,
    /// Whose it is: the name of a key, never the key; empty where there are no keys. Nobody else sees it.
    pub owner: String,
    /// The response before it.
    pub previous: Option<String>,
    /// Seconds since 1970.
    pub created: u64,
    /// The items of its request.
    pub input: Vec<Value>,
    /// The answer as it was sent.
    pub response: Value,
}

#[derive(Debug, Serialize, Deserialize)]
struct Head {
    owner: String,
    created: u64,
}

#[derive(Debug)]
struct Entry {
    owner: String,
    created: u64,
    /// Bytes as JSON.
    bytes: usize,
    /// The last use, as a count of uses.
    used: u64,
    body: Option<Arc<Kept>>,
}

/// The responses that are kept. It blocks on the disk: call it beside an event loop.
#[derive(Debug)]
pub struct States {
    dir: Option<PathBuf>,
    limits: Limits,
    entries: HashMap<String, Entry>,
    uses: u64,
    /// Bytes of the bodies in memory.
    memory: usize,
    /// Bytes of all.
    total: u64,
}

/// Whether a text is the id of a response. It names a file: nothing else may come through.
pub fn is_id(id: &str) -> bool {
    id.len() <= 128
        && id
            .strip_prefix("resp_")
            .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_alphanumeric()))
}

impl States {
    /// Keeps responses until the process ends.
    pub fn in_memory(limits: Limits) -> Self {
        Self {
            dir: None,
            limits,
            entries: HashMap::new(),
            uses: 0,
            memory: 0,
            total: 0,
        }
    }

    /// Keeps responses in a directory, which is made if need be. What a crash left half written is removed.
    ///
    /// # Errors
    /// The directory cannot be made or read.
    pub fn open(dir: impl Into<PathBuf>, limits: Limits, now: SystemTime) -> io::Result<Self> {
        let dir = dir.into();
        fs::create_dir_all(&dir)?;
        let mut found = Vec::new();
        for entry in fs::read_dir(&dir)? {
            let entry = entry?;
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            if name.ends_with(".new") {
                fs::remove_file(entry.path())?;
            } else if let Some(id) = name.strip_suffix(".json").filter(|id| is_id(id)) {
                let data = entry.metadata()?;
                let modified = data.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                // A file that is not ours, or damaged, stays where it is and is not known.
                if let Ok(head) = read_head(&entry.path()) {
                    found.push((modified, id.to_owned(), head, data.len()));
                }
            }
        }
        found.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
        let mut states = Self {
            dir: Some(dir),
            ..Self::in_memory(limits)
        };
        for (_, id, head, bytes) in found {
            states.uses += 1;
            states.total += bytes;
            let entry = Entry {
                owner: head.owner,
                created: head.created,
                bytes: usize::try_from(bytes).unwrap_or(usize::MAX),
                used: states.uses,
                body: None,
            };
            states.entries.insert(id, entry);
        }
        states.shrink(now)?;
        Ok(states)
    }

    /// How many are kept.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether none is kept.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Keeps a response. The oldest ones make room for it. `false`: it is larger than any may be, and is not kept.
    ///
    /// # Errors
    /// The disk fails; nothing is kept then.
    pub fn put(&mut self, kept: Kept, now: SystemTime) -> io::Result<bool> {
        if !is_id(&kept.id) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "not the id of a response",
            ));
        }
        let head = serde_json::to_string(&Head {
            owner: kept.owner.clone(),
            created: kept.created,
        })?;
        let body = serde_json::to_string(&kept)?;
        let bytes = head.len() + body.len() + 2;
        if bytes > self.limits.response_bytes || head.len() as u64 >= HEAD_BYTES {
            return Ok(false);
        }
        if let Some(path) = self.path(&kept.id) {
            write(&path, &head, &body)?;
        }
        self.forget(&kept.id);
        self.uses += 1;
        self.memory += bytes;
        self.total += bytes as u64;
        let entry = Entry {
            owner: kept.owner.clone(),
            created: kept.created,
            bytes,
            used: self.uses,
            body: Some(Arc::new(kept.clone())),
        };
        self.entries.insert(kept.id, entry);
        self.shrink(now)?;
        Ok(true)
    }

    /// A response of an owner. Another one's is as if it were not there.
    ///
    /// # Errors
    /// The disk fails or the file is damaged.
    pub fn get(&mut self, owner: &str, id: &str, now: SystemTime) -> io::Result<Option<Arc<Kept>>> {
        let oldest = self.oldest(now);
        self.uses += 1;
        let uses = self.uses;
        let path = self.path(id);
        let Some(entry) = self
            .entries
            .get_mut(id)
            .filter(|entry| entry.owner == owner && entry.created >= oldest)
        else {
            return Ok(None);
        };
        entry.used = uses;
        if let Some(body) = &entry.body {
            return Ok(Some(Arc::clone(body)));
        }
        let Some(path) = path else { return Ok(None) };
        let kept = Arc::new(read(&path, self.limits.response_bytes)?);
        entry.body = Some(Arc::clone(&kept));
        self.memory += entry.bytes;
        // The order survives a restart; it is worth no error.
        let _ = File::options()
            .append(true)
            .open(&path)
            .and_then(|file| file.set_modified(now));
        self.shrink(now)?;
        Ok(Some(kept))
    }

    /// The responses up to one, oldest first.
    ///
    /// # Errors
    /// One of them is not kept any more, or all together are too large.
    pub fn chain(
        &mut self,
        owner: &str,
        id: &str,
        now: SystemTime,
    ) -> Result<Vec<Arc<Kept>>, Failure> {
        let mut chain: Vec<Arc<Kept>> = Vec::new();
        let mut bytes = 0_usize;
        let mut next = Some(id.to_owned());
        while let Some(id) = next {
            let kept = self
                .get(owner, &id, now)
                .map_err(|error| {
                    Failure::Internal(format!("a kept response cannot be read: {error}"))
                })?
                .ok_or_else(|| lost(&id))?;
            bytes = bytes.saturating_add(self.entries.get(&id).map_or(0, |entry| entry.bytes));
            // A circle would be our own mistake; it must not hang.
            if bytes > self.limits.history_bytes || chain.len() >= self.limits.responses {
                return Err(Failure::invalid(
                    "previous_response_id",
                    format!(
                        "the conversation before {id} has more than {} bytes: begin a new one with its summary",
                        self.limits.history_bytes
                    ),
                ));
            }
            next = kept.previous.clone();
            chain.push(kept);
        }
        chain.reverse();
        Ok(chain)
    }

    /// The items of a conversation up to a response, oldest first.
    ///
    /// # Errors
    /// As for [`States::chain`].
    pub fn history(
        &mut self,
        owner: &str,
        id: &str,
        now: SystemTime,
    ) -> Result<Vec<Value>, Failure> {
        let chain = self.chain(owner, id, now)?;
        let items = chain.iter().flat_map(|kept| {
            let output = kept.response["output"].as_array().into_iter().flatten();
            kept.input.iter().chain(output).cloned()
        });
        // What a reference led to is in the history itself.
        Ok(items
            .filter(|item| item["type"] != "item_reference")
            .collect())
    }

    /// An item of an owner by its id, which names the response that it is of.
    ///
    /// # Errors
    /// The disk fails.
    pub fn item(&mut self, owner: &str, id: &str, now: SystemTime) -> io::Result<Option<Value>> {
        let Some(response) = id.split('_').nth(1) else {
            return Ok(None);
        };
        let Some(kept) = self.get(owner, &format!("resp_{response}"), now)? else {
            return Ok(None);
        };
        let output = kept.response["output"].as_array().into_iter().flatten();
        let mut items = output.chain(&kept.input);
        Ok(items.find(|item| item["id"] == json!(id)).cloned())
    }

    /// Removes a response of an owner. `false`: there is none.
    ///
    /// # Errors
    /// The disk fails.
    pub fn remove(&mut self, owner: &str, id: &str) -> io::Result<bool> {
        if self
            .entries
            .get(id)
            .is_none_or(|entry| entry.owner != owner)
        {
            return Ok(false);
        }
        self.drop_one(id)?;
        Ok(true)
    }

    fn path(&self, id: &str) -> Option<PathBuf> {
        let dir = self.dir.as_ref().filter(|_| is_id(id))?;
        Some(dir.join(format!("{id}.json")))
    }

    fn oldest(&self, now: SystemTime) -> u64 {
        seconds(now).saturating_sub(self.limits.age.as_secs())
    }

    fn forget(&mut self, id: &str) {
        if let Some(entry) = self.entries.remove(id) {
            self.total = self.total.saturating_sub(entry.bytes as u64);
            if entry.body.is_some() {
                self.memory = self.memory.saturating_sub(entry.bytes);
            }
        }
    }

    fn drop_one(&mut self, id: &str) -> io::Result<()> {
        if let Some(path) = self.path(id) {
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        self.forget(id);
        Ok(())
    }

    /// Drops what is too old, and the least recently used of what is too much.
    fn shrink(&mut self, now: SystemTime) -> io::Result<()> {
        let oldest = self.oldest(now);
        let old: Vec<String> = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.created < oldest)
            .map(|(id, _)| id.clone())
            .collect();
        for id in old {
            self.drop_one(&id)?;
        }
        let room = match self.dir {
            Some(_) => self.limits.disk_bytes,
            None => self.limits.memory_bytes as u64,
        };
        if self.entries.len() > self.limits.responses || self.total > room {
            let mut order: Vec<(u64, String)> = self
                .entries
                .iter()
                .map(|(id, entry)| (entry.used, id.clone()))
                .collect();
            order.sort();
            for (_, id) in order {
                if self.entries.len() <= self.limits.responses && self.total <= room {
                    break;
                }
                self.drop_one(&id)?;
            }
        }
        self.unload();
        Ok(())
    }

    /// Forgets bodies that are on disk as well.
    fn unload(&mut self) {
        if self.dir.is_none() || self.memory <= self.limits.memory_bytes {
            return;
        }
        let mut loaded: Vec<&mut Entry> = self
            .entries
            .values_mut()
            .filter(|entry| entry.body.is_some())
            .collect();
        loaded.sort_by_key(|entry| entry.used);
        for entry in loaded {
            if self.memory <= self.limits.memory_bytes {
                break;
            }
            entry.body = None;
            self.memory = self.memory.saturating_sub(entry.bytes);
        }
    }
}

fn lost(id: &str) -> Failure {
    Failure::invalid(
        "previous_response_id",
        format!("Previous response with id '{id}' not found: send the whole conversation as input"),
    )
}

fn write(path: &Path, head: &str, body: &str) -> io::Result<()> {
    let draft = path.with_extension("new");
    let mut file = File::create(&draft)?;
    // Neither line has a line break in it: JSON escapes them.
    file.write_all(format!("{head}\n{body}\n").as_bytes())?;
    file.sync_data()?;
    fs::rename(draft, path)
}

fn read_head(path: &Path) -> io::Result<Head> {
    let mut line = String::new();
    BufReader::new(File::open(path)?.take(HEAD_BYTES)).read_line(&mut line)?;
    Ok(serde_json::from_str(&line)?)
}

fn read(path: &Path, most: usize) -> io::Result<Kept> {
    let mut text = String::new();
    File::open(path)?
        .take(most as u64)
        .read_to_string(&mut text)?;
    let body = text.split_once('\n').map_or("", |(_, body)| body);
    Ok(serde_json::from_str(body)?)
}

/// `GET /v1/responses/{id}/input_items`: what went into a response, those of the conversation before it included. `chain` is
/// [`States::chain`] of it.
pub fn input_items(chain: &[Arc<Kept>], page: &Page) -> Value {
    let mut items: Vec<&Value> = Vec::new();
    for (index, kept) in chain.iter().enumerate() {
        items.extend(&kept.input);
        if index + 1 < chain.len() {
            items.extend(kept.response["output"].as_array().into_iter().flatten());
        }
    }
    page.of(items.into_iter().rev().cloned().collect())
}

#[cfg(test)]
mod tests;
