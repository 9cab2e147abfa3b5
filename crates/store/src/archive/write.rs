//! Models into an archive. The same models give the same bytes.

use std::{
    collections::BTreeMap,
    io::{self, Read, Write},
};

use super::{
    BLOBS, Descriptor, INDEX, INDEX_TYPE, ImageLayout, Index, LAYOUT, NAME, VERSION, io, wrong,
};
use crate::{Digest, Entry, Error, Event, Hasher, MANIFEST_TYPE, Name, Result, Store, Verb, Watch};

/// How often the watch is told.
const STEP: u64 = 4 << 20;

impl Store {
    /// Writes models into one file. Contents that several of them have are in it once, and each is compared with its
    /// digest on the way.
    ///
    /// # Errors
    /// When a content is missing or damaged, or the sink refuses; the archive is not whole then.
    pub fn export(&self, entries: &[Entry], out: impl Write, watch: Watch<'_>) -> Result<()> {
        let mut contents = BTreeMap::new();
        for entry in entries {
            for layer in entry.manifest.contents() {
                let file = self.layer_file(&entry.name, layer)?;
                contents.insert(layer.digest, (&entry.name, layer.size, file));
            }
        }
        let mut archive = tar::Builder::new(out);
        let layout = ImageLayout {
            image_layout_version: VERSION.to_owned(),
        };
        append(&mut archive, LAYOUT, &json(&layout)?)?;
        append(&mut archive, INDEX, &json(&index(entries))?)?;
        let manifests = entries.iter().map(|entry| &entry.manifest);
        let manifests: BTreeMap<Digest, &[u8]> = manifests.map(|m| (m.digest(), m.raw())).collect();
        for (digest, raw) in &manifests {
            append(&mut archive, &format!("{BLOBS}{}", digest.hex()), raw)?;
        }
        for (digest, (name, size, file)) in contents {
            let mut reader = Checked {
                file: self.disk().open(&file)?.take(size),
                hasher: Hasher::default(),
                digest,
                total: size,
                told: 0,
                watch,
            };
            let header = header(&format!("{BLOBS}{}", digest.hex()), size)?;
            archive.append(&header, &mut reader).map_err(io)?;
            let left = reader.file.limit();
            check(name, digest, reader.hasher.finish(), left)?;
        }
        archive
            .into_inner()
            .and_then(|mut out| out.flush())
            .map_err(io)
    }
}

fn check(name: &Name, digest: Digest, found: Digest, left: u64) -> Result<()> {
    if found == digest && left == 0 {
        return Ok(());
    }
    let why =
        format!("its content {digest} is damaged in the store: its bytes have the digest {found}");
    Err(Error::invalid(name.to_string(), why))
}

fn index(entries: &[Entry]) -> Index {
    let descriptor = |entry: &Entry| Descriptor {
        media_type: MANIFEST_TYPE.to_owned(),
        digest: entry.manifest.digest(),
        size: entry.manifest.raw().len() as u64,
        annotations: [(NAME.to_owned(), entry.name.full())].into(),
    };
    Index {
        schema_version: 2,
        media_type: INDEX_TYPE.to_owned(),
        manifests: entries.iter().map(descriptor).collect(),
    }
}

fn json(value: &impl serde::Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|error| wrong(error.to_string()))
}

fn append(archive: &mut tar::Builder<impl Write>, name: &str, bytes: &[u8]) -> Result<()> {
    let header = header(name, bytes.len() as u64)?;
    archive.append(&header, bytes).map_err(io)
}

/// A regular file that says nothing of this machine or this day.
pub(super) fn header(name: &str, size: u64) -> Result<tar::Header> {
    let mut header = tar::Header::new_gnu();
    header.set_path(name).map_err(io)?;
    header.set_entry_type(tar::EntryType::Regular);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size);
    header.set_cksum();
    Ok(header)
}

/// A content that is hashed while it is read.
struct Checked<'a> {
    file: io::Take<std::fs::File>,
    hasher: Hasher,
    digest: Digest,
    total: u64,
    told: u64,
    watch: Watch<'a>,
}

impl Read for Checked<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        let completed = self.total - self.file.limit();
        if completed >= self.told + STEP || count == 0 {
            self.told = completed;
            (self.watch)(Event::Content {
                verb: Verb::Copy,
                digest: self.digest,
                total: self.total,
                completed,
            });
        }
        Ok(count)
    }
}
