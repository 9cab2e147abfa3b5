//! Models out of an archive that anybody may have made.
//!
//! Nothing in it becomes a path: names of entries are compared with the few that there can be, and contents go where
//! their digests say after their bytes had that digest. Models get their names last.

use std::{
    collections::{HashMap, HashSet},
    io::{BufReader, Read},
};

use super::{BLOBS, Descriptor, INDEX, ImageLayout, Index, LAYOUT, NAME, io, wrong};
use crate::{
    Digest, Entry, Error, Event, Layer, MANIFEST_TYPE, Manifest, Name, Result, Store, Verb, Watch,
    disk, manifest::LARGEST, sink::Sink,
};

const OCI_MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
/// A thousand models need less.
const LARGEST_INDEX: u64 = 1 << 20;
const LARGEST_LAYOUT: u64 = 4 << 10;
/// A model of ten thousand contents is the largest that a manifest can name.
const MOST_ENTRIES: u64 = 100_000;
const STEP: usize = 4 << 20;

impl Store {
    /// Reads an archive that [`Store::export`] or a tool for OCI images wrote, and gives its models the names that it
    /// has for them; a single one can get another name. Contents that are there already are not written again.
    ///
    /// # Errors
    /// When it is no archive of models, holds anything else or is not whole, a content has not the digest or the size
    /// that it should have, or the disk is full. Complete contents stay for the next attempt, and nothing is named.
    pub fn import(
        &self,
        archive: impl Read,
        name: Option<&Name>,
        watch: Watch<'_>,
    ) -> Result<Vec<Entry>> {
        let _lock = self.adding()?;
        let mut import = Import {
            store: self,
            rename: name,
            watch,
            has_layout: false,
            models: None,
            contents: HashMap::new(),
            seen: HashSet::new(),
        };
        let mut archive = tar::Archive::new(BufReader::with_capacity(STEP, archive));
        // Raw: no entry changes what the next one is called, as extended headers do.
        let entries = archive.entries().map_err(io)?.raw(true);
        for (count, entry) in (0..).zip(entries) {
            if count == MOST_ENTRIES {
                return Err(wrong(format!("more than {MOST_ENTRIES} entries")));
            }
            import.entry(entry.map_err(io)?)?;
        }
        import.finish()
    }
}

/// An archive that is being read.
struct Import<'a> {
    store: &'a Store,
    rename: Option<&'a Name>,
    watch: Watch<'a>,
    has_layout: bool,
    /// What the index lists, once it was read.
    models: Option<Vec<Model>>,
    /// What the manifests name, with sizes.
    contents: HashMap<Digest, u64>,
    seen: HashSet<Digest>,
}

struct Model {
    name: Name,
    digest: Digest,
    size: u64,
    manifest: Option<Manifest>,
}

impl Import<'_> {
    fn entry(&mut self, mut entry: tar::Entry<'_, impl Read>) -> Result<()> {
        let path = entry.header().path_bytes().into_owned();
        let shown = || {
            String::from_utf8_lossy(&path)
                .chars()
                .take(100)
                .collect::<String>()
        };
        let kind = entry.header().entry_type();
        let size = entry.header().entry_size().map_err(io)?;
        if kind.is_dir()
            && [&b"blobs/"[..], b"blobs", b"blobs/sha256/", b"blobs/sha256"].contains(&&path[..])
        {
            return Ok(());
        }
        if !kind.is_file() {
            let why = format!(
                "'{:?}' is no regular file ({kind:?}); archives of models hold nothing else. Write it with 'hearth export', or with tar --format=gnu",
                shown()
            );
            return Err(wrong(why));
        }
        if path == LAYOUT.as_bytes() {
            return self.layout(&small(&mut entry, LAYOUT, size, LARGEST_LAYOUT)?);
        }
        if path == INDEX.as_bytes() {
            return self.index(&small(&mut entry, INDEX, size, LARGEST_INDEX)?);
        }
        let digits = path.strip_prefix(BLOBS.as_bytes());
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(Digest::from_hex) {
            Some(digest) => self.blob(digest, size, &mut entry),
            None => Err(wrong(format!(
                "{:?} does not belong into an archive of models",
                shown()
            ))),
        }
    }

    fn layout(&mut self, bytes: &[u8]) -> Result<()> {
        let layout: ImageLayout = parse(LAYOUT, bytes)?;
        if !layout.image_layout_version.starts_with("1.") {
            let found: String = layout.image_layout_version.chars().take(20).collect();
            return Err(wrong(format!("expected image layout 1, found {found:?}")));
        }
        if std::mem::replace(&mut self.has_layout, true) {
            return Err(twice(LAYOUT));
        }
        Ok(())
    }

    fn index(&mut self, bytes: &[u8]) -> Result<()> {
        if self.models.is_some() {
            return Err(twice(INDEX));
        }
        let index: Index = parse(INDEX, bytes)?;
        if index.schema_version != 2 {
            return Err(wrong(format!(
                "{INDEX}: expected schemaVersion 2, found {}",
                index.schema_version
            )));
        }
        let single = index.manifests.len() == 1;
        if self.rename.is_some() && !single {
            return Err(wrong(format!(
                "{} models are in it, and one new name was given; leave the name out",
                index.manifests.len()
            )));
        }
        let mut models: Vec<Model> = Vec::new();
        for descriptor in index.manifests {
            let model = self.model(descriptor)?;
            if models.iter().any(|other| other.name.matches(&model.name)) {
                return Err(wrong(format!("two models are called {}", model.name)));
            }
            models.push(model);
        }
        if models.is_empty() {
            return Err(wrong("no model is in it"));
        }
        self.models = Some(models);
        Ok(())
    }

    fn model(&self, descriptor: Descriptor) -> Result<Model> {
        if ![MANIFEST_TYPE, OCI_MANIFEST_TYPE].contains(&descriptor.media_type.as_str()) {
            let found: String = descriptor.media_type.chars().take(100).collect();
            return Err(wrong(format!(
                "{found:?} in {INDEX} is no model's manifest"
            )));
        }
        if descriptor.size > LARGEST {
            return Err(Error::TooLarge {
                what: format!("the manifest {}", descriptor.digest),
                limit: LARGEST,
            });
        }
        let name = match (self.rename, descriptor.annotations.get(NAME)) {
            (Some(name), _) => name.clone(),
            (None, Some(name)) => name.parse()?,
            (None, None) => return Err(wrong("its model has no name in it; give it one")),
        };
        Ok(Model {
            name,
            digest: descriptor.digest,
            size: descriptor.size,
            manifest: None,
        })
    }

    fn blob(&mut self, digest: Digest, size: u64, entry: &mut impl Read) -> Result<()> {
        if !self.seen.insert(digest) {
            return Err(twice(&digest.to_string()));
        }
        let mut models = self.models.iter_mut().flatten();
        if models.any(|model| model.digest == digest) {
            let bytes = small(entry, "a manifest", size, LARGEST)?;
            return self.manifest(digest, &bytes);
        }
        self.check_expected(digest, size)?;
        if self.store.has(&digest, size) {
            return Ok(());
        }
        let place = self.store.layout().root();
        if let Some(free) = disk::free_space(place).filter(|free| *free < size) {
            return Err(Error::NoSpace {
                what: digest.to_string(),
                needed: size,
                free,
                place: place.display().to_string(),
            });
        }
        self.copy(digest, size, entry)
    }

    /// Where the manifests are known, contents are those that they name. Other tools write manifests in another order.
    fn check_expected(&self, digest: Digest, size: u64) -> Result<()> {
        let models = self.models.as_deref().unwrap_or_default();
        if models.is_empty() || models.iter().any(|model| model.manifest.is_none()) {
            return Ok(());
        }
        match self.contents.get(&digest) {
            Some(expected) if *expected == size => Ok(()),
            Some(expected) => Err(mismatch(
                digest,
                format!("{expected} bytes"),
                format!("{size} bytes"),
            )),
            None => Err(wrong(format!("no model in it has the content {digest}"))),
        }
    }

    fn copy(&self, digest: Digest, size: u64, entry: &mut impl Read) -> Result<()> {
        let mut sink = Sink::new(self.store)?;
        let mut buffer = vec![0; STEP];
        loop {
            let count = fill(entry, &mut buffer)?;
            if count == 0 {
                break;
            }
            sink.add(&buffer[..count])?;
            (self.watch)(Event::Content {
                verb: Verb::Copy,
                digest,
                total: size,
                completed: sink.size(),
            });
        }
        let (draft, found, length) = sink.finish();
        if length != size {
            return Err(incomplete(&format!(
                "{length} of {size} bytes of {digest} are in it"
            )));
        }
        if found != digest {
            return Err(mismatch(digest, digest.to_string(), found.to_string()));
        }
        self.store.keep(draft, &digest, size).map(drop)
    }

    /// Reads the manifest of all models that have it.
    fn manifest(&mut self, digest: Digest, bytes: &[u8]) -> Result<()> {
        let found = Digest::of(bytes);
        if found != digest {
            return Err(mismatch(digest, digest.to_string(), found.to_string()));
        }
        for model in self
            .models
            .iter_mut()
            .flatten()
            .filter(|m| m.digest == digest)
        {
            let manifest = Manifest::parse(bytes, &model.name.to_string())?;
            if model.size != bytes.len() as u64 {
                let expected = format!("{} bytes", model.size);
                return Err(mismatch(digest, expected, format!("{} bytes", bytes.len())));
            }
            self.store
                .check_pin(&self.store.spelling(&model.name)?, &manifest)?;
            for Layer { digest, size, .. } in manifest.contents() {
                if self
                    .contents
                    .insert(*digest, *size)
                    .is_some_and(|other| other != *size)
                {
                    return Err(wrong(format!("two sizes are given for {digest}")));
                }
            }
            model.manifest = Some(manifest);
        }
        Ok(())
    }

    /// Names the models when everything is there.
    fn finish(mut self) -> Result<Vec<Entry>> {
        if !self.has_layout || self.models.is_none() {
            return Err(wrong(format!(
                "no {LAYOUT} or no {INDEX} is in it: expected an archive that 'hearth export' wrote"
            )));
        }
        self.late_manifests()?;
        for (digest, size) in &self.contents {
            if !self.store.has(digest, *size) {
                return Err(incomplete(&format!("the content {digest} is missing")));
            }
        }
        (self.watch)(Event::Status("writing manifest".to_owned()));
        let mut entries = Vec::new();
        for model in self.models.iter().flatten() {
            if let Some(manifest) = &model.manifest {
                entries.push(self.store.point(&model.name, manifest)?);
            }
        }
        (self.watch)(Event::Status("success".to_owned()));
        Ok(entries)
    }

    /// Manifests that came before the index are among the contents.
    fn late_manifests(&mut self) -> Result<()> {
        let models = self.models.iter().flatten();
        let open = models.filter(|model| model.manifest.is_none());
        let open: HashSet<Digest> = open.map(|model| model.digest).collect();
        for digest in open {
            let path = self.store.layout().blob(&digest);
            match self.store.disk().read(&path, LARGEST)? {
                Some(bytes) => self.manifest(digest, &bytes)?,
                None => return Err(incomplete(&format!("the manifest {digest} is missing"))),
            }
        }
        Ok(())
    }
}

/// An entry that is kept in memory.
fn small(entry: &mut impl Read, what: &str, size: u64, limit: u64) -> Result<Vec<u8>> {
    if size > limit {
        return Err(Error::TooLarge {
            what: format!("{what} in the archive"),
            limit,
        });
    }
    let mut bytes = Vec::new();
    entry.take(limit).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() as u64 != size {
        return Err(incomplete(&format!(
            "{} of {size} bytes of {what} are in it",
            bytes.len()
        )));
    }
    Ok(bytes)
}

/// Reads until a buffer is full or there is no more.
fn fill(entry: &mut impl Read, buffer: &mut [u8]) -> Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match entry.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(io(error)),
        }
    }
    Ok(filled)
}

fn parse<T: serde::de::DeserializeOwned>(what: &str, bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|error| wrong(format!("{what}: {error}")))
}

fn twice(what: &str) -> Error {
    wrong(format!("{what} is in it twice"))
}

fn incomplete(what: &str) -> Error {
    wrong(format!(
        "it is not whole: {what}; complete contents are kept, and an archive that is whole goes on from there"
    ))
}

fn mismatch(digest: Digest, expected: String, found: String) -> Error {
    Error::Mismatch {
        what: format!("{digest} in the archive"),
        expected,
        found,
    }
}
