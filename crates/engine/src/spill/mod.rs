//! Pages that outlive the process: what was computed of a text, in files.
//!
//! A page goes to the disk when it has to leave memory, when nothing else is done for a while, and when its model is
//! unloaded; it comes back when a text begins with its tokens. A file is named by a [`Key`], a digest of the model, all
//! settings that its contents depend on, and all tokens up to its last; it holds that key, its tokens and a checksum
//! of everything in it. What differs in any of them is removed and computed again. Writing happens on a thread of its own
//! and never holds up a step; when the disk refuses, writing ends with one line in the log.
//!
//! Files can be read by their owner alone. They hold what people wrote: tokens as they are, and keys and values from
//! which more can be told.

mod directory;
mod key;
mod reader;
mod record;
mod sum;
#[cfg(test)]
mod tests;
mod writer;

use std::{
    fs::File,
    io::{self, BufReader, BufWriter, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use hearth_compute::{Backend, Cpu};
use hearth_model::{Model, Page};

use crate::Engine;
use directory::{Create, Directory};
pub(crate) use key::Key;
pub(crate) use reader::Coming;
use writer::Writer;

/// Where pages go that outlive the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disk {
    /// The directory, which any number of models and processes may share. It is made where it is missing.
    pub directory: PathBuf,
    /// Bytes that all files in it may take; the longest unused go first.
    pub bytes: u64,
}

/// A page with its place.
pub(crate) struct Kept<B: Backend = Cpu> {
    /// The key of the page above it.
    pub(crate) above: Key,
    /// Pages above it.
    pub(crate) depth: usize,
    /// Its tokens.
    pub(crate) tokens: Vec<u32>,
    /// What the model made of them.
    pub(crate) page: Page<B>,
}

/// Pages of one loaded model on the disk.
pub(crate) struct Spill {
    place: Arc<Place>,
    writer: Writer,
}

/// A directory and the model whose pages are meant.
struct Place {
    directory: Directory,
    model: Arc<Model<Cpu>>,
}

impl Spill {
    /// Opens the directory; nothing, and a line in the log, where that fails.
    pub(crate) fn open(engine: &Engine, disk: &Disk, root: Key) -> Option<Self> {
        Self::open_with(engine, disk, root, directory::create)
    }

    fn open_with(engine: &Engine, disk: &Disk, root: Key, create: Create) -> Option<Self> {
        if disk.bytes == 0 {
            return None;
        }
        let opened =
            Directory::open(&disk.directory, disk.bytes, root, create).and_then(|directory| {
                let place = Arc::new(Place {
                    directory,
                    model: engine.shared_model(),
                });
                let writer = Writer::start(Arc::clone(&place))?;
                Ok(Self { place, writer })
            });
        opened
            .inspect_err(|error| {
                tracing::warn!(directory = %disk.directory.display(), %error, "no prefixes are kept on disk");
            })
            .ok()
    }

    /// Has a page written when there is time, and when it was of use. False where too many wait already.
    pub(crate) fn offer(&self, kept: Kept, used: SystemTime) -> bool {
        self.writer.offer(Box::new((kept, used))).is_ok()
    }

    /// Begins to read what comes after `above`: as many whole pages as `tokens` has and the disk too. Nothing where the
    /// first is not there.
    pub(crate) fn fetch(&self, above: Key, depth: usize, tokens: &[u32]) -> Option<Coming> {
        reader::fetch(&self.place, above, depth, tokens)
    }

    /// Writes what is left, the most useful first, for a limited time.
    pub(crate) fn close(self, rest: impl Iterator<Item = Kept>) {
        let room = self.place.directory.room(self.place.page_bytes()) as usize;
        let now = SystemTime::now();
        let ranked = rest.take(room).enumerate();
        self.writer
            .close(ranked.map(|(rank, kept)| Box::new((kept, ranked_at(now, rank)))));
    }
}

/// When a page was of use that comes so many places after the most useful one of a moment: a page is milliseconds older
/// than the one above it, so that the ends of texts are forgotten first.
pub(crate) fn ranked_at(now: SystemTime, rank: usize) -> SystemTime {
    let before = Duration::from_millis(rank as u64);
    now.checked_sub(before).unwrap_or(now)
}

/// Writes pages, each followed by the next, to a file of their own. Returns its length.
///
/// # Errors
/// Those of the disk; the file is not there then, or as it was.
pub(crate) fn save(engine: &Engine, pages: &[Kept], path: &Path) -> io::Result<u64> {
    let draft = path.with_extension(format!("{}.draft", std::process::id()));
    let write = || {
        let mut file = BufWriter::new(
            directory::private(&mut File::options())
                .create(true)
                .truncate(true)
                .open(&draft)?,
        );
        for kept in pages {
            record::write(
                engine.model(),
                kept.above,
                &kept.tokens,
                &kept.page,
                &mut file,
            )?;
        }
        file.flush()?;
        let bytes = file.get_ref().metadata()?.len();
        std::fs::rename(&draft, path)?;
        Ok(bytes)
    };
    write().inspect_err(|_| drop(std::fs::remove_file(&draft)))
}

/// Reads what [`save`] wrote: all tokens, their pages, and the file's length.
///
/// # Errors
/// Those of the disk, and `InvalidData` where the file is damaged or of another model or other settings.
pub(crate) fn load(
    engine: &Engine,
    root: Key,
    path: &Path,
) -> io::Result<(Vec<u32>, Vec<Page<Cpu>>, u64)> {
    let file = File::open(path)?;
    let bytes = file.metadata()?.len();
    let mut from = BufReader::with_capacity(1 << 20, file);
    let empty = engine.model().state();
    let page = engine.model().backend().page_len();
    let (mut above, mut tokens, mut pages) = (root, Vec::new(), Vec::new());
    while tokens.len() < engine.context()
        && let Some((more, held)) = record::next(engine.model(), &empty, above, &mut from)?
    {
        if !tokens.len().is_multiple_of(page) {
            return Err(record::damaged("a page that is not full is not the last"));
        }
        above = above.then(&more);
        tokens.extend(more);
        pages.push(held);
    }
    Ok((tokens, pages, bytes))
}
