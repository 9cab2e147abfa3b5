//! Small models for the tests of this crate.

use std::{
    fs,
    path::{Path, PathBuf},
};

use hearth_format::{BlockType, GgufWriter, Metadata, Value};
use tempfile::TempDir;

use crate::{Create, Digest, Disk, Entry, Layer, Modelfile, Name, Recipe, Result, Store};

/// A store and a folder with files, both gone when the test ends.
pub(crate) struct Bench {
    pub(crate) folder: TempDir,
    pub(crate) store: Store,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::at(tempfile::tempdir().unwrap())
    }

    /// In memory where the system has a place for that: for tests that wait for the disk a thousand times.
    pub(crate) fn in_memory() -> Self {
        Self::at(tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| tempfile::tempdir().unwrap()))
    }

    fn at(folder: TempDir) -> Self {
        let store = Store::new(folder.path().join("store"));
        Self { folder, store }
    }

    /// The same store on another disk.
    pub(crate) fn on(&self, disk: Disk) -> Store {
        Store::with_disk(self.store.layout().root(), disk)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file, and the folders above it.
    pub(crate) fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    }

    pub(crate) fn recipe(&self, modelfile: &str) -> Result<Recipe> {
        let modelfile = Modelfile::parse(modelfile.as_bytes()).unwrap();
        Recipe::of(&modelfile, self.folder.path())
    }

    pub(crate) fn create(&self, name: &str, modelfile: &str) -> Result<Entry> {
        let recipe = self.recipe(modelfile)?;
        self.store.create(&self.name(name), &recipe, &plain())
    }

    pub(crate) fn name(&self, name: &str) -> Name {
        name.parse().unwrap()
    }

    pub(crate) fn bytes(&self, layer: &Layer) -> Vec<u8> {
        fs::read(self.store.layout().blob(&layer.digest)).unwrap()
    }
}

/// Options of a creation that nobody watches.
pub(crate) fn plain<'a>() -> Create<'a> {
    Create {
        link: false,
        check_template: &|_| Ok(()),
        transform: None,
        watch: &|_| {},
    }
}

/// What has to hold in a store whatever happened: every model can be read, its contents are there and are those of
/// their digests, and no draft is left.
pub(crate) fn check_sound(store: &Store) {
    let listing = store.list().unwrap();
    assert!(listing.faults.is_empty(), "{:?}", listing.faults);
    for entry in &listing.entries {
        for layer in entry.manifest.contents() {
            let path = store.layer_file(&entry.name, layer).unwrap();
            assert_eq!(Digest::of(&fs::read(path).unwrap()), layer.digest);
        }
    }
    for path in files(&store.layout().blobs()) {
        let digest = crate::Layout::digest_of(&path).unwrap();
        assert_eq!(Digest::of(&fs::read(path).unwrap()), digest);
    }
    assert_eq!(files(&store.layout().temporary()), Vec::<PathBuf>::new());
}

pub(crate) fn files(directory: &Path) -> Vec<PathBuf> {
    fs::read_dir(directory).map_or(Vec::new(), |entries| {
        entries.map(|entry| entry.unwrap().path()).collect()
    })
}

pub(crate) fn text(text: &str) -> Value {
    Value::String(text.as_bytes().into())
}

/// A GGUF file of F32 tensors, all of ones.
pub(crate) fn gguf(metadata: &[(&str, Value)], tensors: &[(&str, &[usize])]) -> Vec<u8> {
    let mut map = Metadata::default();
    for (key, value) in metadata {
        assert!(map.insert((*key).to_owned(), value.clone()));
    }
    let mut writer = GgufWriter::new(map).unwrap();
    for (name, shape) in tensors {
        writer.tensor(name, shape, BlockType::F32).unwrap();
    }
    let mut body = writer.start(Vec::new()).unwrap();
    for (_, shape) in tensors {
        let count: usize = shape.iter().product();
        body.write(&1f32.to_le_bytes().repeat(count)).unwrap();
    }
    body.finish().unwrap()
}

/// A model of an architecture with 1200 parameters.
pub(crate) fn model(architecture: &str) -> Vec<u8> {
    gguf(
        &[("general.architecture", text(architecture))],
        &[("token_embd.weight", &[30, 40])],
    )
}

pub(crate) fn projector() -> Vec<u8> {
    gguf(
        &[("general.architecture", text("clip"))],
        &[("v.patch_embd.weight", &[2, 2])],
    )
}

pub(crate) fn adapter() -> Vec<u8> {
    gguf(
        &[
            ("general.architecture", text("llama")),
            ("general.type", text("adapter")),
        ],
        &[("blk.0.attn_q.weight.lora_a", &[2, 4])],
    )
}

/// The parts of a split model.
pub(crate) fn split(parts: u16) -> Vec<Vec<u8>> {
    let part = |no: u16| {
        let keys = [
            ("split.no", Value::U16(no)),
            ("split.count", Value::U16(parts)),
            ("split.tensors.count", Value::I32(i32::from(parts))),
        ];
        let named = [("general.architecture", text("llama"))];
        let metadata = [&named[..usize::from(no == 0)], &keys].concat();
        gguf(&metadata, &[(&format!("blk.{no}.attn_q.weight"), &[4, 8])])
    };
    (0..parts).map(part).collect()
}

/// A safetensors file of one F32 tensor with 8 values.
pub(crate) fn safetensors(tensor: &str) -> Vec<u8> {
    let header = format!(r#"{{"{tensor}":{{"dtype":"F32","shape":[2,4],"data_offsets":[0,32]}}}}"#);
    let length = (header.len() as u64).to_le_bytes();
    [&length[..], header.as_bytes(), &[0; 32]].concat()
}
