//! Where pages lie: `<root>/<model and settings>/<key>`, bounded in total.
//!
//! Any number of processes share a directory. A page gets its name when it is whole. Bytes are counted before they are
//! written, in the file `<root>/size`, which is locked until they are: so the bound holds for all of them together.
//! A count that is too high, since somebody died or removed a page, is set right by the next look at the files.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, BufWriter, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, SystemTime},
};

use hearth_format::Bytes;

use super::key::Key;

/// A draft that was not touched for so long belongs to nobody.
const ABANDONED: Duration = Duration::from_secs(3600);
/// Numbers the drafts of this process.
static DRAFTS: AtomicU64 = AtomicU64::new(0);

/// The pages of one model under one set of settings, beside those of others.
pub(super) struct Directory {
    root: PathBuf,
    own: PathBuf,
    limit: u64,
    create: Create,
}

/// Makes a draft; in tests something stands in for the disk.
pub(super) type Create = fn(&Path) -> io::Result<Box<dyn Write>>;

/// A new file that its owner can read and nobody write to again.
pub(super) fn create(path: &Path) -> io::Result<Box<dyn Write>> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o400);
    Ok(Box::new(BufWriter::new(options.open(path)?)))
}

impl Directory {
    /// Makes the directory where there is none.
    ///
    /// # Errors
    /// When it cannot be made or its count not be written.
    pub(super) fn open(root: &Path, limit: u64, model: Key, create: Create) -> io::Result<Self> {
        let directory = Self {
            root: root.to_owned(),
            own: root.join(model.to_string()),
            limit,
            create,
        };
        make(&directory.own)?;
        directory.reserve(0)?;
        Ok(directory)
    }

    fn path(&self, key: Key) -> PathBuf {
        self.own.join(key.to_string())
    }

    /// Whether a page is there, as far as its name says.
    pub(super) fn has(&self, key: Key) -> bool {
        self.path(key).is_file()
    }

    /// How many pages of so many bytes there can be.
    pub(super) fn room(&self, bytes: u64) -> u64 {
        (self.limit - self.limit / 8) / bytes.max(1)
    }

    /// Maps a page. Nobody writes to a file that has a page's name, and one that is removed stays as long as it is mapped.
    pub(super) fn page(&self, key: Key) -> hearth_format::Result<Bytes> {
        hearth_format::map_file(&self.path(key))
    }

    /// Removes a page that is of no use.
    pub(super) fn remove(&self, key: Key) {
        // If it stays it is found useless again: that costs time alone.
        let _ = fs::remove_file(self.path(key));
    }

    /// Says when a page was of use last.
    pub(super) fn touch(&self, key: Key, used: SystemTime) {
        // Not on every file system; then pages go in the order of their writing.
        let _ = File::open(self.path(key)).and_then(|file| file.set_modified(used));
    }

    /// Writes a page of `bytes` bytes unless it is there, with as much in it. False where there is no room for it within
    /// the limit.
    ///
    /// # Errors
    /// Those of the disk; nothing has the page's name then.
    pub(super) fn write(
        &self,
        key: Key,
        bytes: u64,
        used: SystemTime,
        fill: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> io::Result<bool> {
        let there = fs::metadata(self.path(key));
        if there.is_ok_and(|file| file.is_file() && file.len() >= bytes) {
            self.touch(key, used);
            return Ok(true);
        }
        let Some(_locked) = self.reserve(bytes)? else {
            return Ok(false);
        };
        let number = DRAFTS.fetch_add(1, Ordering::Relaxed);
        let draft = self
            .own
            .join(format!("{}-{number}.draft", std::process::id()));
        let written = self.draft(&draft).and_then(|mut file| {
            fill(&mut file)?;
            file.flush()
        });
        let named = written.and_then(|()| fs::rename(&draft, self.path(key)));
        if let Err(error) = named {
            let _ = fs::remove_file(&draft); // or it is removed as abandoned
            return Err(error);
        }
        self.touch(key, used);
        Ok(true)
    }

    fn draft(&self, path: &Path) -> io::Result<Box<dyn Write>> {
        match (self.create)(path) {
            // Somebody cleared everything away, which is their right.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                make(&self.own)?;
                (self.create)(path)
            }
            made => made,
        }
    }

    /// Counts bytes that will be written. Past the limit the longest unused pages of all models go, an eighth of the
    /// limit at a time. Nobody else counts until what is returned is closed, for a look at the files would miss what is
    /// not written yet; none where there is no room.
    fn reserve(&self, bytes: u64) -> io::Result<Option<File>> {
        let room = self.limit - self.limit / 8;
        if bytes > room {
            return Ok(None);
        }
        let path = self.root.join("size");
        let mut open = OpenOptions::new();
        let open = private(open.read(true).create(true).truncate(false));
        let mut file = match open.open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                make(&self.own)?;
                open.open(&path)?
            }
            opened => opened?,
        };
        file.lock()?;
        let mut count = [0; 8];
        let mut total = match file.read_exact(&mut count) {
            Ok(()) => u64::from_le_bytes(count),
            Err(_) => u64::MAX,
        };
        if total.saturating_add(bytes) > self.limit {
            total = self.trim(room - bytes)?;
        }
        if total + bytes > self.limit {
            return Ok(None);
        }
        file.seek(SeekFrom::Start(0))?;
        file.write_all(&(total + bytes).to_le_bytes())?;
        Ok(Some(file))
    }

    /// Removes the longest unused pages until the rest takes `most` bytes at most. Returns what it takes.
    fn trim(&self, most: u64) -> io::Result<u64> {
        let mut files = self.files()?;
        let mut total: u64 = files.iter().map(|file| file.bytes).sum();
        if total <= most {
            return Ok(total);
        }
        files.sort_unstable_by_key(|file| file.used);
        let now = SystemTime::now();
        for file in files {
            if total <= most {
                break;
            }
            let age = now.duration_since(file.used).unwrap_or_default();
            let draft = file.path.extension().is_some_and(|name| name == "draft");
            if (!draft || age > ABANDONED) && removed(&file.path) {
                total -= file.bytes;
            }
        }
        Ok(total)
    }

    /// All pages and drafts of all models.
    fn files(&self) -> io::Result<Vec<Listed>> {
        let mut files = Vec::new();
        for model in fs::read_dir(&self.root)? {
            // What is no directory is not a model's, and what cannot be read is not counted.
            for file in fs::read_dir(model?.path()).into_iter().flatten() {
                let file = file?;
                // Another process may have removed it.
                let Ok(about) = file.metadata() else {
                    continue;
                };
                files.push(Listed {
                    path: file.path(),
                    bytes: about.len(),
                    used: about.modified()?,
                });
            }
        }
        Ok(files)
    }
}

struct Listed {
    path: PathBuf,
    bytes: u64,
    used: SystemTime,
}

fn removed(path: &Path) -> bool {
    match fs::remove_file(path) {
        Ok(()) => true,
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

fn make(path: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Opens for writing, a new file for its owner alone: pages hold what people wrote.
pub(super) fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options.write(true)
}
