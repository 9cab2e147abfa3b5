//! `/v1/files`: what batches read and write.
//!
//! A file is its bytes (`ID.data`) and what is known of it (`ID.json`), which is written last: a file without it was never
//! whole and is removed when the directory is opened.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::core::Failure;
use crate::dialects::Stamp;
use crate::dialects::frame::seconds;

use super::disk::{self, failed, is_id};
use super::page::Page;

/// What a file may be for. Others name services that are not here.
const PURPOSES: &[&str] = &[
    "batch",
    "user_data",
    "assistants",
    "evals",
    "fine-tune",
    "vision",
];
/// Bytes of what is known of a file.
const META_BYTES: u64 = 64 << 10;
/// Bytes of a name.
const NAME_BYTES: usize = 255;

/// How much is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Files.
    pub files: usize,
    /// Bytes of one.
    pub file_bytes: u64,
    /// Bytes of all.
    pub total_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            files: 10_000,
            // OpenAI's limit for the input of a batch.
            file_bytes: 200 << 20,
            total_bytes: 4 << 30,
        }
    }
}

/// What is known of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    /// Its id: `file-` and letters or digits.
    pub id: String,
    /// Whose it is: the name of a key, never the key; empty where there are no keys. Nobody else sees it.
    pub owner: String,
    /// Its bytes.
    pub bytes: u64,
    /// Seconds since 1970.
    pub created: u64,
    /// When it goes, where the client said so.
    pub expires: Option<u64>,
    /// Its name, as the client gave it. It is shown and never used as a path.
    pub filename: String,
    /// What it is for.
    pub purpose: String,
}

impl Meta {
    /// The object that clients get.
    pub fn object(&self) -> Value {
        json!({
            "id": self.id, "object": "file", "bytes": self.bytes, "created_at": self.created, "expires_at": self.expires,
            "filename": self.filename, "purpose": self.purpose, "status": "processed", "status_details": null,
        })
    }
}

/// The answer to `DELETE /v1/files/{id}`.
pub fn deleted(id: &str) -> Value {
    json!({"id": id, "object": "file", "deleted": true})
}

/// What a client says of a file that it sends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Upload {
    /// `filename` of the part `file`.
    pub filename: String,
    /// The part `purpose`.
    pub purpose: String,
    /// The part `expires_after[seconds]`.
    pub expires_after: Option<Duration>,
}

/// The files of a directory. It blocks on the disk: call it beside an event loop.
#[derive(Debug)]
pub struct Files {
    dir: PathBuf,
    limits: Limits,
    metas: BTreeMap<String, Meta>,
    total: u64,
}

/// A file that is being written. Dropped before its end it leaves nothing behind.
#[derive(Debug)]
pub struct Draft {
    meta: Meta,
    file: File,
    path: PathBuf,
    most: u64,
    whole: bool,
}

impl Draft {
    /// Says what it is; clients may send that behind the bytes.
    ///
    /// # Errors
    /// The purpose is unknown, the name too long, or the file expires at once.
    pub fn describe(&mut self, upload: Upload) -> Result<(), Failure> {
        if !PURPOSES.contains(&upload.purpose.as_str()) {
            let message = format!(
                "purpose must be one of {}, got {:?}",
                PURPOSES.join(", "),
                upload.purpose
            );
            return Err(Failure::invalid("purpose", message));
        }
        if upload.filename.len() > NAME_BYTES {
            let message = format!(
                "file has a name of {} bytes, at most {NAME_BYTES} are kept",
                upload.filename.len()
            );
            return Err(Failure::invalid("file", message));
        }
        if upload.expires_after.is_some_and(|after| after.is_zero()) {
            let message = "expires_after must be 1 second or more";
            return Err(Failure::invalid("expires_after", message));
        }
        let expires = upload.expires_after.map(|after| after.as_secs());
        self.meta.expires = expires.map(|after| self.meta.created.saturating_add(after));
        self.meta.filename = upload.filename;
        self.meta.purpose = upload.purpose;
        Ok(())
    }

    /// Adds bytes.
    ///
    /// # Errors
    /// They are more than a file may have, or the disk fails.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.meta.bytes += bytes.len() as u64;
        if self.meta.bytes > self.most {
            let message = format!(
                "file has more than the {} bytes there is room for",
                self.most
            );
            return Err(Failure::invalid("file", message));
        }
        self.file.write_all(bytes).map_err(failed)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.whole {
            // What stays here is removed when the directory is opened again.
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Files {
    /// Opens a directory, which is made if need be. What a crash left half written is removed.
    ///
    /// # Errors
    /// The directory cannot be made, read or cleaned.
    pub fn open(dir: impl Into<PathBuf>, limits: Limits, now: SystemTime) -> io::Result<Self> {
        let dir = dir.into();
        fs::create_dir_all(&dir)?;
        let mut files = Self {
            dir,
            limits,
            metas: BTreeMap::new(),
            total: 0,
        };
        let mut data = Vec::new();
        for entry in fs::read_dir(&files.dir)? {
            let entry = entry?;
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            if name.ends_with(".new") || name.ends_with(".part") {
                fs::remove_file(entry.path())?;
            } else if let Some(id) = name.strip_suffix(".data").filter(|id| is_id(id, "file-")) {
                data.push(id.to_owned());
            }
        }
        for id in data {
            match disk::read_json::<Meta>(&files.path(&id, "json"), META_BYTES) {
                Ok(meta) if meta.id == id => files.know(meta),
                _ => disk::remove(&files.path(&id, "data"))?,
            }
        }
        files.sweep(now)?;
        Ok(files)
    }

    /// Removes what has expired.
    ///
    /// # Errors
    /// The disk fails.
    pub fn sweep(&mut self, now: SystemTime) -> io::Result<()> {
        let now = seconds(now);
        let expired = self
            .metas
            .values()
            .filter(|meta| meta.expires.is_some_and(|at| at <= now));
        let expired: Vec<String> = expired.map(|meta| meta.id.clone()).collect();
        for id in expired {
            self.drop_one(&id)?;
        }
        Ok(())
    }

    /// Begins a file. Its bytes are written without holding the store; [`Files::keep`] ends it.
    ///
    /// # Errors
    /// There is no room, or the disk fails.
    pub fn begin(&self, owner: &str, stamp: &Stamp) -> Result<Draft, Failure> {
        if self.metas.len() >= self.limits.files {
            let message = format!("there are {} files already: delete some", self.metas.len());
            return Err(Failure::invalid("file", message));
        }
        self.draft(Meta {
            id: format!("file-{}", stamp.id),
            owner: owner.to_owned(),
            bytes: 0,
            created: stamp.seconds(),
            expires: None,
            filename: String::new(),
            purpose: String::new(),
        })
    }

    fn draft(&self, meta: Meta) -> Result<Draft, Failure> {
        if !is_id(&meta.id, "file-") {
            return Err(Failure::Internal(
                "the id of a file has letters that are not allowed".to_owned(),
            ));
        }
        let most = self
            .limits
            .file_bytes
            .min(self.limits.total_bytes.saturating_sub(self.total));
        let path = self.path(&meta.id, "part");
        let file = File::create(&path).map_err(failed)?;
        Ok(Draft {
            meta,
            file,
            path,
            most,
            whole: false,
        })
    }

    /// Ends a file.
    ///
    /// # Errors
    /// Other files took the room meanwhile, or the disk fails; nothing is kept then.
    pub fn keep(&mut self, mut draft: Draft) -> Result<Meta, Failure> {
        let before = self.metas.get(&draft.meta.id).map_or(0, |meta| meta.bytes);
        let total = self
            .total
            .saturating_sub(before)
            .saturating_add(draft.meta.bytes);
        if total > self.limits.total_bytes {
            let message = format!(
                "all files together may have {} bytes: delete some",
                self.limits.total_bytes
            );
            return Err(Failure::invalid("file", message));
        }
        draft.file.sync_all().map_err(failed)?;
        fs::rename(&draft.path, self.path(&draft.meta.id, "data")).map_err(failed)?;
        draft.whole = true;
        let meta = draft.meta.clone();
        disk::write_json(&self.path(&meta.id, "json"), &meta).map_err(failed)?;
        self.know(meta.clone());
        Ok(meta)
    }

    /// Keeps a copy of a file that the server made. The same id again replaces it.
    ///
    /// # Errors
    /// There is no room or the disk fails.
    pub(super) fn adopt(&mut self, mut meta: Meta, from: &Path) -> Result<Meta, Failure> {
        meta.bytes = 0;
        // What the server wrote itself may be larger than what it takes.
        let mut draft = self.draft(meta)?;
        draft.meta.bytes =
            io::copy(&mut File::open(from).map_err(failed)?, &mut draft.file).map_err(failed)?;
        self.keep(draft)
    }

    /// A file of an owner. Another one's is as if it were not there.
    pub fn get(&self, owner: &str, id: &str, now: SystemTime) -> Option<&Meta> {
        let now = seconds(now);
        let meta = self.metas.get(id).filter(|meta| meta.owner == owner);
        meta.filter(|meta| meta.expires.is_none_or(|at| at > now))
    }

    /// The bytes of a file of an owner.
    ///
    /// # Errors
    /// The disk fails.
    pub fn content(&self, owner: &str, id: &str, now: SystemTime) -> Result<Option<File>, Failure> {
        match self.get(owner, id, now) {
            None => Ok(None),
            Some(meta) => File::open(self.path(&meta.id, "data"))
                .map(Some)
                .map_err(failed),
        }
    }

    /// `GET /v1/files`: the newest first unless the page says otherwise.
    pub fn list(&self, owner: &str, purpose: Option<&str>, page: &Page, now: SystemTime) -> Value {
        let mut metas: Vec<&Meta> = self
            .metas
            .values()
            .filter(|meta| self.get(owner, &meta.id, now).is_some())
            .filter(|meta| purpose.is_none_or(|purpose| meta.purpose == purpose))
            .collect();
        metas.sort_by(|a, b| (b.created, &b.id).cmp(&(a.created, &a.id)));
        page.of(metas.into_iter().map(Meta::object).collect())
    }

    /// Removes a file of an owner. `false`: there is none.
    ///
    /// # Errors
    /// The disk fails.
    pub fn remove(&mut self, owner: &str, id: &str) -> Result<bool, Failure> {
        if self.metas.get(id).is_none_or(|meta| meta.owner != owner) {
            return Ok(false);
        }
        self.drop_one(id).map_err(failed)?;
        Ok(true)
    }

    fn path(&self, id: &str, extension: &str) -> PathBuf {
        self.dir.join(format!("{id}.{extension}"))
    }

    fn know(&mut self, meta: Meta) {
        self.total += meta.bytes;
        if let Some(before) = self.metas.insert(meta.id.clone(), meta) {
            self.total = self.total.saturating_sub(before.bytes);
        }
    }

    fn drop_one(&mut self, id: &str) -> io::Result<()> {
        // What makes it a file goes first: a crash here leaves bytes that the next opening removes.
        disk::remove(&self.path(id, "json"))?;
        disk::remove(&self.path(id, "data"))?;
        if let Some(meta) = self.metas.remove(id) {
            self.total = self.total.saturating_sub(meta.bytes);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
