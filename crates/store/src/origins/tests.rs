//! Folders as other programs leave them.

use std::{collections::BTreeMap, fs, os::unix::fs::symlink, path::PathBuf, time::SystemTime};

use hearth_format::{GgufWriter, Metadata, Value};
use tempfile::TempDir;

use super::*;
use crate::{Digest, Kind, Layer, Manifest, Name};

struct Home {
    folder: TempDir,
}

/// A GGUF file without tensors.
fn gguf(pairs: &[(&str, &str)]) -> Vec<u8> {
    let mut metadata = Metadata::default();
    for (key, text) in pairs {
        let value = match text.parse() {
            Ok(number) => Value::U16(number),
            Err(_) => Value::String(text.as_bytes().into()),
        };
        metadata.insert((*key).to_owned(), value);
    }
    let body = GgufWriter::new(metadata)
        .unwrap()
        .start(Vec::new())
        .unwrap();
    body.finish().unwrap()
}

fn llama() -> Vec<u8> {
    gguf(&[("general.architecture", "llama")])
}

fn part(number: u16, count: u16) -> Vec<u8> {
    let [number, count] = [number.to_string(), count.to_string()];
    gguf(&[
        ("general.architecture", "llama"),
        ("split.no", &number),
        ("split.count", &count),
    ])
}

impl Home {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self, below: &str) -> PathBuf {
        self.folder.path().join(below)
    }

    fn file(&self, below: &str, bytes: impl AsRef<[u8]>) -> &Self {
        let path = self.path(below);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
        self
    }

    /// A file of a hub cache: a link to a blob.
    fn cached(&self, repository: &str, commit: &str, file: &str, bytes: impl AsRef<[u8]>) -> &Self {
        let blob = Digest::of(format!("{commit}/{file}").as_bytes()).hex();
        self.file(&format!("{repository}/blobs/{blob}"), bytes);
        let link = self.path(&format!("{repository}/snapshots/{commit}/{file}"));
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        let up = "../".repeat(2 + file.matches('/').count());
        symlink(format!("{up}blobs/{blob}"), link).unwrap();
        self
    }

    /// What is there, to the nanosecond.
    fn state(&self) -> BTreeMap<PathBuf, (u64, SystemTime)> {
        let mut state = BTreeMap::new();
        let mut folders = vec![self.folder.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let entry = entry.unwrap();
                let meta = entry.path().symlink_metadata().unwrap();
                if meta.is_dir() {
                    folders.push(entry.path());
                }
                state.insert(entry.path(), (meta.len(), meta.modified().unwrap()));
            }
        }
        state
    }

    /// Scans folders below the home; nothing in it may change by that.
    fn scan(&self, places: &[(Origin, &str)]) -> FoundListing {
        let place = |(origin, below): &(Origin, &str)| Place {
            origin: *origin,
            folder: self.path(below),
            expected: true,
        };
        let origins = Origins {
            places: places.iter().map(place).collect(),
        };
        let before = self.state();
        let listing = origins.scan();
        assert_eq!(self.state(), before, "a scan changed something");
        listing
    }
}

fn titles(listing: &FoundListing) -> Vec<&str> {
    let titles = listing.found.iter().map(|found| found.title.as_str());
    titles.collect()
}

/// Each fault has its text, in order, and there are no others.
fn assert_faults(listing: &FoundListing, wanted: &[&str]) {
    let faults: Vec<String> = listing.faults.iter().map(ToString::to_string).collect();
    assert_eq!(faults.len(), wanted.len(), "{faults:#?}");
    for (fault, wanted) in faults.iter().zip(wanted) {
        assert!(fault.contains(wanted), "{wanted}: {fault}");
    }
}

fn find<'a>(listing: &'a FoundListing, name: &str) -> Option<&'a Found> {
    listing.find(&name.parse::<Name>().unwrap())
}

fn first_file(found: &Found) -> String {
    let path = match &found.files {
        Files::Gguf(parts) => &parts[0],
        Files::Directory(directory) => directory,
        Files::Manifest(_) => panic!("no file"),
    };
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

#[test]
fn a_cached_repository_is_found_by_its_tags() {
    let home = Home::new();
    let r = "hub/models--unsloth--Qwen3-VL-8B-GGUF";
    home.file(&format!("{r}/refs/main"), "aaaa\n")
        .cached(
            r,
            "aaaa",
            "Qwen3-VL-8B-Q4_K_M.gguf",
            gguf(&[("general.architecture", "qwen3vl")]),
        )
        .cached(r, "aaaa", "Qwen3-VL-8B-UD-Q4_K_XL.gguf", llama())
        .cached(
            r,
            "aaaa",
            "BF16/Qwen3-VL-8B-BF16-00001-of-00002.gguf",
            part(0, 2),
        )
        .cached(
            r,
            "aaaa",
            "BF16/Qwen3-VL-8B-BF16-00002-of-00002.gguf",
            part(1, 2),
        )
        .cached(
            r,
            "aaaa",
            "Q8_0/Qwen3-VL-8B-Q8_0-00002-of-00002.gguf",
            part(1, 2),
        )
        .cached(
            r,
            "aaaa",
            "mmproj-F16.gguf",
            gguf(&[("general.architecture", "clip")]),
        )
        .cached(r, "aaaa", "imatrix_unsloth.gguf", llama())
        .cached(r, "bbbb", "Qwen3-VL-8B-Q4_K_M.gguf", llama())
        .cached(r, "bbbb", "Qwen3-VL-8B-Q2_K.gguf", llama())
        .file(&format!("{r}/blobs/0123.incomplete"), "half");
    let gone = home.path(&format!("{r}/snapshots/aaaa/Qwen3-VL-8B-Q6_K.gguf"));
    symlink("../../blobs/none", gone).unwrap();
    let listing = home.scan(&[(Origin::HuggingFace, "hub")]);
    let name = |tag: &str| format!("hf.co/unsloth/Qwen3-VL-8B-GGUF:{tag}");
    assert_eq!(
        titles(&listing),
        [
            name("Q4_K_M"),
            name("UD-Q4_K_XL"),
            name("BF16"),
            name("Q2_K")
        ]
    );
    assert_faults(
        &listing,
        &[
            "a link to a file that is not there",
            "incomplete: 1 of 2 parts are there, part 1",
        ],
    );
    for (tag, file) in [
        ("Q4_K_M", "Qwen3-VL-8B-Q4_K_M.gguf"),
        ("q4_k_m", "Qwen3-VL-8B-Q4_K_M.gguf"),
        ("latest", "Qwen3-VL-8B-Q4_K_M.gguf"),
        ("Qwen3-VL-8B-Q4_K_M.gguf", "Qwen3-VL-8B-Q4_K_M.gguf"),
        ("qwen3-vl-8b-q4_k_m", "Qwen3-VL-8B-Q4_K_M.gguf"),
        ("UD-Q4_K_XL", "Qwen3-VL-8B-UD-Q4_K_XL.gguf"),
        ("Q4_K_XL", "Qwen3-VL-8B-UD-Q4_K_XL.gguf"),
        ("bf16", "Qwen3-VL-8B-BF16-00001-of-00002.gguf"),
        ("Q2_K", "Qwen3-VL-8B-Q2_K.gguf"),
    ] {
        for host in ["hf.co", "huggingface.co", "HF.co"] {
            let found = find(&listing, &format!("{host}/unsloth/qwen3-vl-8b-gguf:{tag}"));
            assert_eq!(first_file(found.expect(tag)), file, "{tag}");
        }
    }
    for other in [
        "hf.co/unsloth/Qwen3-VL-8B-GGUF:Q8_0",
        "unsloth/Qwen3-VL-8B-GGUF:Q4_K_M",
    ] {
        assert!(find(&listing, other).is_none(), "{other}");
    }
    let first = &listing.found[0];
    assert_eq!(
        first.architecture.as_deref(),
        Some("qwen3vl"),
        "of the main snapshot"
    );
    let projector = first.projector.as_ref().unwrap();
    assert!(
        projector.ends_with("snapshots/aaaa/mmproj-F16.gguf"),
        "{projector:?}"
    );
    assert!(matches!(&listing.found[2].files, Files::Gguf(parts) if parts.len() == 2));
    assert_eq!(listing.search("QWEN3VL").count(), 1);
    assert_eq!(listing.search("huggingface").count(), 4);
    assert_eq!(listing.search("nothing").count(), 0);
}

#[test]
fn a_cached_checkpoint_is_used_when_it_is_complete() {
    let home = Home::new();
    let config = r#"{"model_type":"qwen3","limit":Infinity}"#;
    let index = r#"{"weight_map":{"a":"model-00001-of-00002.safetensors","b":"model-00002-of-00002.safetensors"}}"#;
    let [mlx, half, no_index, tokenizer, diffusion] = [
        "hub/models--mlx-community--Qwen3-4B-4bit",
        "hub/models--o--half",
        "hub/models--o--no-index",
        "hub/models--o--tokenizer",
        "hub/models--o--diffusion",
    ];
    home.cached(mlx, "c", "config.json", config)
        .cached(mlx, "c", "model.safetensors", "12345")
        .cached(mlx, "c", "tokenizer.json", "{}")
        .cached(half, "c", "config.json", config)
        .cached(half, "c", "model.safetensors.index.json", index)
        .cached(half, "c", "model-00001-of-00002.safetensors", "1")
        .cached(no_index, "c", "config.json", config)
        .cached(no_index, "c", "model-00002-of-00002.safetensors", "1")
        .cached(tokenizer, "c", "config.json", config)
        .cached(tokenizer, "c", "tokenizer.json", "{}")
        .cached(diffusion, "c", "config.json", "{}")
        .cached(diffusion, "c", "model.safetensors", "1")
        .cached("hub/models--gpt2", "c", "config.json", config)
        .cached("hub/models--gpt2", "c", "model.safetensors", "1")
        .cached("hub/models--bad", "c", "config.json", "[")
        .cached("hub/models--bad", "c", "model.safetensors", "1")
        .cached("hub/datasets--o--d", "c", "a.gguf", llama())
        .file("hub/version.txt", "1");
    let listing = home.scan(&[(Origin::HuggingFace, "hub")]);
    assert_eq!(
        titles(&listing),
        ["gpt2", "hf.co/mlx-community/Qwen3-4B-4bit:latest"]
    );
    assert_faults(
        &listing,
        &[
            "config.json: not valid JSON",
            "incomplete: \"model-00002-of-00002.safetensors\" is missing",
            "incomplete: \"model-00001-of-00002.safetensors\" is missing",
        ],
    );
    assert_eq!(listing.found[0].name, None);
    for name in [
        "hf.co/mlx-community/qwen3-4b-4bit",
        "hf.co/mlx-community/Qwen3-4B-4bit:safetensors",
    ] {
        let found = find(&listing, name).unwrap();
        assert_eq!(
            (found.size, found.architecture.as_deref()),
            (5, Some("qwen3"))
        );
        assert!(matches!(&found.files, Files::Directory(path) if path.ends_with("snapshots/c")));
    }
}

#[test]
fn both_layouts_of_llama_cpp() {
    let home = Home::new();
    let note =
        r#"{"etag":"x","url":"https://huggingface.co/o_1/strange_repo/resolve/main/m-Q8_0.gguf"}"#;
    home.file(
        "c/ggml-org_gemma-3-4b-it-GGUF_gemma-3-4b-it-Q4_K_M.gguf",
        llama(),
    )
    .file(
        "c/ggml-org_gemma-3-4b-it-GGUF_mmproj-model-f16.gguf",
        gguf(&[("general.architecture", "clip")]),
    )
    .file("c/manifest=ggml-org=gemma-3-4b-it-GGUF=latest.json", "{}")
    .file("c/o_1_strange_repo_m-Q8_0.gguf", llama())
    .file("c/o_1_strange_repo_m-Q8_0.gguf.json", note)
    .file(
        "c/Qwen_Qwen2.5-GGUF_qwen2.5-q4_0-00001-of-00002.gguf",
        part(0, 2),
    )
    .file(
        "c/Qwen_Qwen2.5-GGUF_qwen2.5-q4_0-00002-of-00002.gguf",
        part(1, 2),
    )
    .file(
        "c/Qwen_Qwen2.5-GGUF_qwen2.5-q4_0-00001-of-00002.gguf.etag",
        "x",
    )
    .file("c/who_knows.gguf", llama())
    .file("c/ai_smollm2_latest.gguf.downloadInProgress", "half")
    .cached("c/models--o--new-GGUF", "d", "new-Q4_0.gguf", llama());
    let listing = home.scan(&[(Origin::LlamaCpp, "c")]);
    assert_faults(&listing, &[]);
    assert_eq!(
        titles(&listing),
        [
            "hf.co/o/new-GGUF:Q4_0",
            "who_knows",
            "hf.co/Qwen/Qwen2.5-GGUF:Q4_0",
            "hf.co/ggml-org/gemma-3-4b-it-GGUF:Q4_K_M",
            "o_1/strange_repo/m-Q8_0.gguf",
        ]
        .map(|title| title.replace(
            "o_1/strange_repo/m-Q8_0.gguf",
            "hf.co/o_1/strange_repo:Q8_0"
        ))
    );
    let gemma = find(&listing, "hf.co/ggml-org/gemma-3-4b-it-gguf").unwrap();
    assert!(gemma.projector.is_some());
    assert!(listing.found[2].projector.is_none());
}

#[test]
fn lm_studio_has_folders_of_owners_and_repositories() {
    let home = Home::new();
    home.file(
        "lm/lmstudio-community/Llama-3.2-1B-GGUF/Llama-3.2-1B-Q4_K_M.gguf",
        llama(),
    )
    .file(
        "lm/lmstudio-community/Llama-3.2-1B-GGUF/Llama-3.2-1B-Q4_K_M-v2.gguf",
        llama(),
    )
    .file(
        "lm/lmstudio-community/Llama-3.2-1B-GGUF/downloading_x-Q8_0.gguf.part",
        "half",
    )
    .file(
        "lm/mlx-community/Qwen3-4B-4bit/config.json",
        r#"{"model_type":"qwen3"}"#,
    )
    .file("lm/mlx-community/Qwen3-4B-4bit/model.safetensors", "123")
    .file("lm/my models/a b/c-Q4_0.gguf", llama())
    .file("lm/loose.gguf", llama());
    let listing = home.scan(&[(Origin::LmStudio, "lm")]);
    assert_faults(&listing, &[]);
    assert_eq!(
        titles(&listing),
        [
            // Two files of one quantisation: the tag is the file.
            "hf.co/lmstudio-community/Llama-3.2-1B-GGUF:Llama-3.2-1B-Q4_K_M-v2.gguf",
            "hf.co/lmstudio-community/Llama-3.2-1B-GGUF:Llama-3.2-1B-Q4_K_M.gguf",
            "hf.co/mlx-community/Qwen3-4B-4bit:latest",
            "my models/a b/c-Q4_0.gguf",
            "loose",
        ]
    );
    assert!(
        find(
            &listing,
            "hf.co/lmstudio-community/Llama-3.2-1B-GGUF:Q4_K_M"
        )
        .is_none()
    );
    assert!(listing.found[3].name.is_none());
}

#[test]
fn a_folder_is_searched_with_care() {
    let home = Home::new();
    let adapter = gguf(&[
        ("general.architecture", "llama"),
        ("general.type", "adapter"),
    ]);
    let clip = gguf(&[("general.architecture", "clip")]);
    home.file("f/gemma-3-4b-it-Q4_K_M.gguf", llama())
        .file("f/llava-7b-Q4_0.gguf", llama())
        .file("f/mmproj-gemma-3-4b-it-f16.gguf", &clip)
        .file("f/vision/one-Q8_0.gguf", llama())
        .file("f/vision/sees.gguf", &clip)
        .file("f/solo/m-Q8_0.gguf", llama())
        .file("f/solo/mmproj-model-f16.gguf", &clip)
        .file("f/a-00001-of-00002.gguf", part(0, 2))
        .file("f/a-00002-of-00002.gguf", part(1, 2))
        .file("f/lora.gguf", adapter)
        .file(
            "f/pointer.gguf",
            "version https://git-lfs.github.com/spec/v1\n",
        )
        .file("f/renamed.gguf", part(0, 3))
        .file("f/deep/b-00001-of-00003.gguf", part(0, 3))
        .file("f/.hidden/x.gguf", llama())
        .file("f/busy.gguf", llama())
        .file("f/busy.gguf.aria2", "")
        .file("f/1/2/3/4/5/6/deepest.gguf", llama())
        .file("f/1/2/3/4/5/6/7/too-deep.gguf", llama())
        .file("f/mlx/config.json", r#"{"model_type":"llama"}"#)
        .file("f/mlx/model-00001-of-00001.safetensors", "1")
        .file("f/mlx/weights.bin", "1");
    symlink(home.path("f"), home.path("f/loop")).unwrap();
    symlink("llava-7b-Q4_0.gguf", home.path("f/same.gguf")).unwrap();
    fs::create_dir_all(home.path("f/directory.gguf")).unwrap();
    let listing = home.scan(&[(Origin::Folder, "f")]);
    assert_eq!(
        titles(&listing),
        [
            "a",
            "gemma-3-4b-it-Q4_K_M",
            "llava-7b-Q4_0",
            "deepest",
            "m-Q8_0",
            "one-Q8_0",
            "mlx"
        ]
    );
    assert_faults(
        &listing,
        &[
            "pointer.gguf: not a GGUF file: a Git LFS pointer",
            "renamed.gguf is one of 3 parts",
            "incomplete: 1 of 3 parts",
        ],
    );
    let projector = |title: &str| {
        let found = find(&listing, title).unwrap();
        let projector = found.projector.as_ref()?;
        Some(projector.file_name()?.to_str()?.to_owned())
    };
    assert_eq!(
        projector("gemma-3-4b-it-Q4_K_M").unwrap(),
        "mmproj-gemma-3-4b-it-f16.gguf"
    );
    assert_eq!(
        projector("llava-7b-q4_0"),
        None,
        "a projector of another model"
    );
    assert_eq!(projector("m-Q8_0").unwrap(), "mmproj-model-f16.gguf");
    assert_eq!(
        projector("one-Q8_0"),
        None,
        "a name that says nothing in common"
    );
}

#[test]
fn folders_that_are_not_there_or_not_to_be_read() {
    let home = Home::new();
    home.file("file", "").file("closed/below/m.gguf", llama());
    let listing = home.scan(&[(Origin::Folder, "none"), (Origin::Folder, "file")]);
    assert_faults(&listing, &["none", "expected a folder of models"]);
    let quiet = Origins::standard(&|_| None, &home.path("nobody"), &[]);
    let at_home = |fault: &&Error| fault.to_string().contains("nobody");
    assert_eq!(quiet.scan().faults.iter().filter(at_home).count(), 0);

    let closed = home.path("closed");
    let rights = |mode| {
        fs::set_permissions(&closed, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    };
    rights(0o000);
    if fs::read_dir(&closed).is_ok() {
        println!("skipped: this user may read everything");
    } else {
        for (origin, below) in [
            (Origin::Folder, "closed"),
            (Origin::Folder, "closed/below"),
            (Origin::Ollama, "closed"),
            (Origin::HuggingFace, "closed"),
            (Origin::LlamaCpp, "closed"),
            (Origin::LmStudio, "closed/below"),
        ] {
            let place = Place {
                origin,
                folder: home.path(below),
                expected: false,
            };
            let listing = Origins {
                places: vec![place],
            }
            .scan();
            let faults: Vec<_> = listing.faults.iter().map(ToString::to_string).collect();
            assert!(!faults.is_empty(), "{origin} {below}");
            assert!(faults[0].contains("permission denied"), "{faults:?}");
            assert!(faults[0].contains("with rights 0;"), "{faults:?}");
        }
    }
    rights(0o755);
}

/// A store of Ollama with these contents under a name; returns their digests.
fn ollama(home: &Home, name: &str, config: &str, contents: &[(Kind, &[u8])]) -> Vec<Digest> {
    let keep = |kind: Kind, bytes: &[u8]| {
        let digest = Digest::of(bytes);
        home.file(&format!("ollama/blobs/sha256-{}", digest.hex()), bytes);
        Layer::new(kind, digest, bytes.len() as u64)
    };
    let layers: Vec<Layer> = contents
        .iter()
        .map(|(kind, bytes)| keep(*kind, bytes))
        .collect();
    let digests = layers.iter().map(|layer| layer.digest).collect();
    let manifest = Manifest::build(keep(Kind::Other, config.as_bytes()), layers).unwrap();
    home.file(&format!("ollama/manifests/{name}"), manifest.raw());
    digests
}

#[test]
fn a_store_of_ollama_is_read_where_it_is() {
    let home = Home::new();
    let config = r#"{"model_format":"gguf","model_family":"llama"}"#;
    ollama(
        &home,
        "registry.ollama.ai/library/llama3.2/1b",
        config,
        &[(Kind::Model, b"weights")],
    );
    ollama(
        &home,
        "hf.co/u/R-GGUF/Q8_0",
        config,
        &[(Kind::Model, b"other"), (Kind::License, b"x")],
    );
    let gone = ollama(&home, "h/n/gone/latest", config, &[(Kind::Model, b"gone")]);
    fs::remove_file(home.path(&format!("ollama/blobs/sha256-{}", gone[0].hex()))).unwrap();
    ollama(
        &home,
        "h/n/cloud/latest",
        r#"{"remote_host":"https://ollama.com"}"#,
        &[],
    );
    ollama(&home, "h/n/empty/latest", config, &[(Kind::System, b"s")]);
    home.file("ollama/manifests/h/n/bad/latest", "{")
        .file("ollama/manifests/h/stray", "x")
        .file("ollama/blobs/sha256-ab-partial", "half");
    let listing = home.scan(&[(Origin::Ollama, "ollama")]);
    let mut shown = titles(&listing);
    shown.sort_unstable();
    assert_eq!(shown, ["hf.co/u/R-GGUF:Q8_0", "llama3.2:1b"]);
    assert_eq!(listing.faults.len(), 4, "{:#?}", listing.faults);
    let all: String = listing
        .faults
        .iter()
        .map(|fault| format!("{fault}\n"))
        .collect();
    for part in [
        "missing from the store",
        "no weights",
        "no valid manifest",
        "stray",
    ] {
        assert!(all.contains(part), "{part}: {all}");
    }
    let found = find(&listing, "LLAMA3.2:1B").unwrap();
    assert!(matches!(&found.files, Files::Manifest(entry) if entry.manifest.layers.len() == 1));
    assert_eq!(found.architecture.as_deref(), Some("llama"));
    assert!(!home.path("ollama/.hearth").exists());
}

#[test]
fn each_model_is_found_once_and_the_first_keeps_its_name() {
    let home = Home::new();
    home.file("lm/o/r/m-Q4_0.gguf", llama())
        .file("mine/m-Q4_0.gguf", llama())
        .file("mine/deeper/m-Q4_0.gguf", llama())
        .cached("hub/models--o--r", "c", "m-Q4_0.gguf", llama());
    symlink(home.path("lm"), home.path("lm-link")).unwrap();
    let listing = home.scan(&[
        (Origin::HuggingFace, "hub"),
        (Origin::LlamaCpp, "hub"),
        (Origin::LmStudio, "lm"),
        (Origin::LmStudio, "lm-link"),
        (Origin::Folder, "lm"),
        (Origin::Folder, "mine"),
    ]);
    assert_faults(&listing, &[]);
    let shown: Vec<_> = listing
        .found
        .iter()
        .map(|found| (found.origin, found.title.as_str(), found.name.is_some()))
        .collect();
    assert_eq!(
        shown,
        [
            (Origin::HuggingFace, "hf.co/o/r:Q4_0", true),
            (Origin::LmStudio, "hf.co/o/r:Q4_0", false),
            (Origin::Folder, "m-Q4_0", true),
            (Origin::Folder, "m-Q4_0", false),
        ]
    );
    let own = home.path("hub/../lm");
    let extra = [home.path("lm"), home.path("mine")];
    let origins = Origins::standard(&|_| None, &home.path("nobody"), &extra).except(&own);
    let folders: Vec<_> = origins
        .places()
        .filter(|(origin, _)| *origin == Origin::Folder)
        .collect();
    assert_eq!(folders, [(Origin::Folder, extra[1].as_path())]);
}
