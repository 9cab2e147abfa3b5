//! The file operations of a store, in one place: each names its file in its error, and each can be made to fail.
//!
//! Whatever must survive a crash goes through [`Disk::write_whole`] or [`Disk::publish`]: bytes are on the disk before
//! a name points at them, and the name is on the disk before anyone is told.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
};

use crate::{Error, Result};

/// File operations, shared by all that touch one store.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    faults: Option<Arc<Faults>>,
}

/// Makes one operation of a [`Disk`] fail, to test what that leaves behind.
#[derive(Debug, Default)]
pub struct Faults {
    before: AtomicI64,
    done: AtomicU64,
}

impl Faults {
    /// Lets `operations` succeed and the next one fail as on a full disk; those after it succeed again.
    pub fn after(operations: u32) -> Arc<Self> {
        Arc::new(Self {
            before: AtomicI64::new(i64::from(operations)),
            done: AtomicU64::new(0),
        })
    }

    /// Operations so far.
    pub fn operations(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    fn step(&self) -> io::Result<()> {
        self.done.fetch_add(1, Ordering::Relaxed);
        if self.before.fetch_sub(1, Ordering::Relaxed) == 0 {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        Ok(())
    }
}

impl Disk {
    /// A disk on which one operation fails.
    pub fn with_faults(faults: Arc<Faults>) -> Self {
        Self {
            faults: Some(faults),
        }
    }

    /// Runs an operation, or fails in its place.
    pub(crate) fn run<T>(
        &self,
        path: &Path,
        operation: impl FnOnce() -> io::Result<T>,
    ) -> Result<T> {
        self.faults
            .as_ref()
            .map_or(Ok(()), |faults| faults.step())
            .and_then(|()| operation())
            .map_err(|error| Error::io(path, error))
    }

    /// Makes a directory and those above it.
    pub(crate) fn make_directory(&self, path: &Path) -> Result<()> {
        if path.is_dir() {
            return Ok(());
        }
        self.run(path, || fs::create_dir_all(path))
    }

    /// Reads a file of at most `limit` bytes; nothing where there is none.
    pub(crate) fn read(&self, path: &Path, limit: u64) -> Result<Option<Vec<u8>>> {
        let bytes = self.run(path, || {
            let file = match open_regular(path) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(error),
            };
            let mut bytes = Vec::new();
            file.take(limit + 1).read_to_end(&mut bytes)?;
            Ok(Some(bytes))
        })?;
        match bytes {
            Some(bytes) if bytes.len() as u64 > limit => Err(Error::TooLarge {
                what: path.display().to_string(),
                limit,
            }),
            other => Ok(other),
        }
    }

    /// Opens a regular file for reading.
    pub(crate) fn open(&self, path: &Path) -> Result<File> {
        self.run(path, || open_regular(path))
    }

    /// Opens or makes a file for reading and writing.
    pub(crate) fn open_to_write(&self, path: &Path) -> Result<File> {
        self.run(path, || {
            OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(path)
        })
    }

    /// Opens or makes a file that is written at its end.
    pub(crate) fn open_to_append(&self, path: &Path) -> Result<File> {
        self.run(path, || {
            OpenOptions::new().create(true).append(true).open(path)
        })
    }

    /// Writes all of `bytes` where `file` stands.
    pub(crate) fn write(&self, path: &Path, mut file: &File, bytes: &[u8]) -> Result<()> {
        self.run(path, || file.write_all(bytes))
    }

    /// Writes all of `bytes` at `offset`.
    pub(crate) fn write_at(
        &self,
        path: &Path,
        file: &File,
        bytes: &[u8],
        offset: u64,
    ) -> Result<()> {
        self.run(path, || {
            #[cfg(unix)]
            return std::os::unix::fs::FileExt::write_all_at(file, bytes, offset);
            #[cfg(windows)]
            {
                let (mut bytes, mut offset) = (bytes, offset);
                while !bytes.is_empty() {
                    let count = std::os::windows::fs::FileExt::seek_write(file, bytes, offset)?;
                    bytes = &bytes[count..];
                    offset += count as u64;
                }
                Ok(())
            }
        })
    }

    /// Waits until a file's bytes are on the disk.
    pub(crate) fn sync(&self, path: &Path, file: &File) -> Result<()> {
        self.run(path, || file.sync_data())
    }

    /// Waits until a directory's names are on the disk.
    pub(crate) fn sync_directory(&self, path: &Path) -> Result<()> {
        self.run(path, || {
            #[cfg(unix)]
            File::open(path)?.sync_all()?;
            Ok(())
        })
    }

    /// Gives a finished, synced file its name. Replaces what had it, at once.
    pub(crate) fn publish(&self, from: &Path, to: &Path) -> Result<()> {
        self.run(to, || fs::rename(from, to))?;
        self.sync_directory(parent(to))
    }

    /// Writes a file so that it is there as a whole or not at all; `temporary` is a directory on the same disk.
    pub(crate) fn write_whole(&self, temporary: &Path, to: &Path, bytes: &[u8]) -> Result<()> {
        self.make_directory(temporary)?;
        self.make_directory(parent(to))?;
        let draft = self.draft(temporary)?;
        self.write(draft.path(), draft.as_file(), bytes)?;
        self.sync(draft.path(), draft.as_file())?;
        self.publish_draft(draft, to)
    }

    /// A file without a name yet, which goes away unless [`Disk::publish_draft`] names it.
    pub(crate) fn draft(&self, temporary: &Path) -> Result<tempfile::NamedTempFile> {
        self.run(temporary, || {
            let mut builder = tempfile::Builder::new();
            builder.prefix("draft-");
            #[cfg(unix)]
            builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644));
            builder.tempfile_in(temporary)
        })
    }

    /// Names a draft that was written and synced.
    pub(crate) fn publish_draft(&self, draft: tempfile::NamedTempFile, to: &Path) -> Result<()> {
        self.run(to, || draft.persist(to).map_err(|error| error.error))?;
        self.sync_directory(parent(to))
    }

    /// Removes a file; says whether there was one.
    pub(crate) fn remove(&self, path: &Path) -> Result<bool> {
        self.run(path, || match fs::remove_file(path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        })
    }

    /// Removes a directory and those above it up to `root`, as far as they are empty.
    pub(crate) fn remove_empty(&self, directory: &Path, root: &Path) {
        let mut directory = directory;
        while directory.starts_with(root) && directory != root && fs::remove_dir(directory).is_ok()
        {
            directory = parent(directory);
        }
    }

    /// The entries of a directory in the order of their names; none where there is no directory.
    pub(crate) fn entries(&self, directory: &Path) -> Result<Vec<PathBuf>> {
        let mut entries = self.run(directory, || match fs::read_dir(directory) {
            Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        })?;
        entries.sort_unstable();
        Ok(entries)
    }
}

/// Opens a file that has an end: a device or a pipe could block for ever (CVE-2024-39721).
pub(crate) fn open_regular(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed());
    }
    let file = options.open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "expected a regular file",
        ));
    }
    Ok(file)
}

/// Bytes that can still be written to the disk of `path`; nothing where the system does not say.
#[cfg(unix)]
pub fn free_space(path: &Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(path).ok()?;
    stat.f_bavail.checked_mul(stat.f_frsize)
}

/// Unknown here.
#[cfg(not(unix))]
pub fn free_space(_: &Path) -> Option<u64> {
    None
}

/// The directory of a file; of a bare name the present one.
pub(crate) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(directory) if !directory.as_os_str().is_empty() => directory,
        Some(_) => Path::new("."),
        None => path,
    }
}
