//! The way of large files into a store.

use std::{
    collections::HashSet,
    fs::File,
    io::{self, BufWriter, Read, Write},
    path::{Path, PathBuf},
};

use tempfile::NamedTempFile;

use super::Create;
use crate::{Digest, Error, Event, Kind, Layer, Layout, Result, Store, Watch, disk, sink::Sink};

const STEP: usize = 4 << 20;

/// A file that is to become a content.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    pub(super) kind: Kind,
    /// Its path in a checkpoint directory.
    pub(super) name: Option<String>,
    pub(super) path: PathBuf,
    /// Known where the file is a content already; it was verified when it became one.
    known: Option<Digest>,
}

impl Piece {
    pub(super) fn new(store: &Store, kind: Kind, name: Option<String>, path: PathBuf) -> Self {
        let same = |a: &Path, b: &Path| Some(a.canonicalize().ok()? == b.canonicalize().ok()?);
        let digest = Layout::digest_of(&path);
        let known = digest.filter(|d| same(&store.layout().blob(d), &path) == Some(true));
        Self {
            kind,
            name,
            path,
            known,
        }
    }

    fn layer(&self, digest: Digest, size: u64) -> Layer {
        let mut layer = Layer::new(self.kind, digest, size);
        layer.name.clone_from(&self.name);
        layer
    }
}

/// Takes files into a store.
pub(super) struct Intake<'a> {
    store: &'a Store,
    link: bool,
    watch: Watch<'a>,
}

impl<'a> Intake<'a> {
    pub(super) fn new(store: &'a Store, options: &Create<'a>) -> Self {
        Self {
            store,
            link: options.link,
            watch: options.watch,
        }
    }

    /// Makes files contents, and says by which digests.
    pub(super) fn take(&self, pieces: &[Piece]) -> Result<Vec<Layer>> {
        let mut layers = Vec::new();
        let mut has_room = false;
        for (at, piece) in pieces.iter().enumerate() {
            let file = self.store.disk().open(&piece.path)?;
            let size = length(&piece.path, &file)?;
            if let Some(digest) = piece.known {
                self.say("using existing layer", digest);
                layers.push(piece.layer(digest, size));
                continue;
            }
            let (digest, size) = if self.link {
                self.link(piece, &file, size)?
            } else if let Some(draft) = self.share(&file)? {
                let clone = draft
                    .reopen()
                    .map_err(|error| Error::io(draft.path(), error))?;
                let digest = self.digest(piece, clone, size)?;
                let size = length(draft.path(), draft.as_file())?;
                self.publish(draft, digest, size)?
            } else {
                if !has_room {
                    self.check_room(&pieces[at..])?;
                    has_room = true;
                }
                self.copy(piece, file, size)?
            };
            layers.push(piece.layer(digest, size));
        }
        Ok(layers)
    }

    /// A content that `write` writes, a GGUF model that is read before it is kept.
    pub(super) fn write(
        &self,
        write: impl FnOnce(&mut dyn Write) -> Result<(), Box<dyn std::error::Error + Send + Sync>>,
    ) -> Result<Layer> {
        let mut out = BufWriter::with_capacity(STEP, Sink::new(self.store)?);
        let written = write(&mut out);
        let (mut sink, last) = match out.into_inner() {
            Ok(sink) => (sink, Ok(())),
            Err(error) => {
                let (error, out) = error.into_parts();
                (out.into_parts().0, Err(error))
            }
        };
        if let Some(error) = sink.take_failure() {
            return Err(error);
        }
        written.map_err(|error| Error::invalid("the weights", error.to_string()))?;
        last.map_err(|error| Error::io(sink.draft().path(), error))?;
        hearth_format::Gguf::open(sink.draft().path())?;
        let (digest, size) = self.keep(sink)?;
        Ok(Layer::new(Kind::Model, digest, size))
    }

    fn copy(&self, piece: &Piece, mut file: File, total: u64) -> Result<(Digest, u64)> {
        let mut sink = Sink::new(self.store)?;
        let mut buffer = vec![0; STEP];
        loop {
            let count = match file.read(&mut buffer) {
                Ok(0) => return self.keep(sink),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Error::io(&piece.path, error)),
            };
            sink.add(&buffer[..count])?;
            self.tell(piece, sink.size(), total);
        }
    }

    fn keep(&self, sink: Sink<'_>) -> Result<(Digest, u64)> {
        let (draft, digest, size) = sink.finish();
        self.publish(draft, digest, size)
    }

    /// Gives a draft its name, unless the content is there.
    fn publish(&self, draft: NamedTempFile, digest: Digest, size: u64) -> Result<(Digest, u64)> {
        let is_new = self.store.keep(draft, &digest, size)?;
        let what = if is_new {
            "creating new layer"
        } else {
            "using existing layer"
        };
        self.say(what, digest);
        Ok((digest, size))
    }

    /// A draft that shares its blocks with a file, where the disk can do that.
    fn share(&self, file: &File) -> Result<Option<NamedTempFile>> {
        #[cfg(target_os = "linux")]
        {
            let draft = self.store.draft()?;
            // Any failure means a copy, which then names what is wrong.
            let shared = rustix::fs::ioctl_ficlone(draft.as_file(), file).is_ok();
            Ok(shared.then_some(draft))
        }
        #[cfg(not(target_os = "linux"))]
        {
            let _ = file;
            Ok(None)
        }
    }

    /// A content that is the file itself under a second name.
    fn link(&self, piece: &Piece, file: &File, size: u64) -> Result<(Digest, u64)> {
        let reader = file
            .try_clone()
            .map_err(|error| Error::io(&piece.path, error))?;
        let digest = self.digest(piece, reader, size)?;
        if self.store.has(&digest, size) {
            self.say("using existing layer", digest);
            return Ok((digest, size));
        }
        // The file itself: a link to a link would end with it.
        let path = piece
            .path
            .canonicalize()
            .map_err(|error| Error::io(&piece.path, error))?;
        let draft = self.store.draft()?;
        self.store.disk().run(&path, || {
            std::fs::remove_file(draft.path())?;
            std::fs::hard_link(&path, draft.path())
        })
        .map_err(|error| match error {
            Error::Io { path, source } if source.kind() == io::ErrorKind::CrossesDevices => Error::invalid(
                path,
                "not on the disk of the store, so that it cannot be linked; leave --link out and it is copied",
            ),
            other => other,
        })?;
        let linked = disk::open_regular(draft.path()).map_err(|error| Error::io(&path, error))?;
        if !is_same(file, &linked) || length(&path, &linked)? != size {
            return Err(Error::invalid(
                path.display().to_string(),
                "it was changed while it was read; try again when nobody writes it",
            ));
        }
        self.store.disk().sync(&path, &linked)?;
        self.publish(draft, digest, size)
    }

    fn digest(&self, piece: &Piece, file: File, total: u64) -> Result<Digest> {
        let watch = |done| {
            self.tell(piece, done, total);
            Ok(())
        };
        Digest::of_reader(file, watch).map_err(|error| Error::io(&piece.path, error))
    }

    /// Checks that what is not there already fits on the disk.
    fn check_room(&self, pieces: &[Piece]) -> Result<()> {
        let root = self.store.layout().root();
        let Some(free) = disk::free_space(root) else {
            return Ok(());
        };
        let open = |piece: &Piece| -> Result<(File, u64)> {
            let file = self.store.disk().open(&piece.path)?;
            let size = length(&piece.path, &file)?;
            Ok((file, size))
        };
        let mut needed = 0;
        for piece in pieces {
            needed += open(piece)?.1;
        }
        if needed <= free {
            return Ok(());
        }
        // Some may be here; where a content has the same size, the file is read to know.
        let blobs = self.store.disk().entries(&self.store.layout().blobs())?;
        let sizes: HashSet<u64> = blobs
            .iter()
            .filter_map(|blob| Some(blob.metadata().ok()?.len()))
            .collect();
        needed = 0;
        for piece in pieces {
            let (file, size) = open(piece)?;
            let is_here = sizes.contains(&size) && {
                let digest = self.digest(piece, file, size)?;
                self.store.has(&digest, size)
            };
            needed += if is_here { 0 } else { size };
        }
        if needed <= free {
            return Ok(());
        }
        Err(Error::NoSpace {
            what: "the new model".to_owned(),
            needed,
            free,
            place: root.display().to_string(),
        })
    }

    fn say(&self, what: &str, digest: Digest) {
        (self.watch)(Event::Status(format!("{what} {digest}")));
    }

    fn tell(&self, piece: &Piece, completed: u64, total: u64) {
        (self.watch)(Event::File {
            path: piece.path.display().to_string(),
            total,
            completed,
        });
    }
}

fn length(path: &Path, file: &File) -> Result<u64> {
    let meta = file.metadata().map_err(|error| Error::io(path, error))?;
    Ok(meta.len())
}

#[cfg(unix)]
fn is_same(a: &File, b: &File) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let of = |file: &File| {
        file.metadata()
            .map(|m| (m.dev(), m.ino(), m.mtime(), m.mtime_nsec()))
    };
    matches!((of(a), of(b)), (Ok(a), Ok(b)) if a == b)
}

#[cfg(not(unix))]
fn is_same(a: &File, b: &File) -> bool {
    let of = |file: &File| file.metadata().and_then(|meta| meta.modified());
    matches!((of(a), of(b)), (Ok(a), Ok(b)) if a == b)
}
