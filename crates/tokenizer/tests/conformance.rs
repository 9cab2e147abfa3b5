//! The tokenizers of the conformance models, in both forms.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    path::{Path, PathBuf},
};

use hearth_format::{Checkpoint, SafeTensors, map_file};
use hearth_tokenizer::{EncodeOptions, Tokenizer};

const WITH_SPECIAL: EncodeOptions = EncodeOptions {
    add_special: true,
    parse_special: true,
};

fn models() -> Vec<PathBuf> {
    let folder =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance/models");
    if !folder.exists() {
        println!("skipped: no ../shared");
        return Vec::new();
    }
    let mut paths: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    paths.sort();
    paths
}

/// The text of a model's expectation and the ids it stands for.
fn expected(folder: &Path) -> (String, Vec<u32>) {
    let json = fs::read(folder.join("expected.json")).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    let bytes = map_file(&folder.join("expected.safetensors")).unwrap();
    let tensors = SafeTensors::from_bytes(bytes, "expected").unwrap();
    let ids = tensors.tensor("ids").unwrap().to_f32();
    let text = json["text"].as_str().unwrap().to_owned();
    (text, ids.into_iter().map(|id| id as u32).collect())
}

/// The tokenizer of a checkpoint. Weights that do not open (a quantisation that is not read) do not matter here.
fn load(path: &Path) -> hearth_tokenizer::Result<Tokenizer> {
    match Checkpoint::open(path) {
        Ok(checkpoint) => Tokenizer::from_checkpoint(&checkpoint),
        Err(error) => {
            println!("{}: without weights: {error}", path.display());
            let side = |name: &str| fs::read(path.join(name)).ok();
            let json = side("tokenizer.json").unwrap_or_default();
            let config = side("tokenizer_config.json");
            Tokenizer::from_json(&json, config.as_deref(), None)
        }
    }
}

#[test]
fn every_model_turns_its_text_into_its_ids() {
    let mut failures = Vec::new();
    for folder in models() {
        let (text, ids) = expected(&folder);
        for form in ["model.gguf", "hf"] {
            let name = format!("{}/{form}", folder.file_name().unwrap().to_string_lossy());
            let path = folder.join(form);
            if !path.exists() {
                continue;
            }
            match load(&path).map(|t| (t.encode(&text, WITH_SPECIAL), t)) {
                Err(error) => failures.push(format!("{name}: {error}")),
                Ok((found, tokenizer)) => {
                    let back = tokenizer.decode(&found, false);
                    if found != ids {
                        failures.push(format!("{name}: expected {ids:?}\n  found {found:?}"));
                    } else if back != text && !name.contains("bert") && !name.starts_with("t5") {
                        failures.push(format!("{name}: {text:?} comes back as {back:?}"));
                    }
                }
            }
        }
    }
    assert!(
        failures.is_empty(),
        "{} failures:\n{}",
        failures.len(),
        failures.join("\n")
    );
}

/// A vocabulary that stands in two files is the same from both.
#[test]
fn the_older_files_give_the_same_ids() {
    let mut failures = Vec::new();
    for folder in models() {
        let (text, ids) = expected(&folder);
        let hf = folder.join("hf");
        for name in ["tokenizer.model", "spiece.model", "vocab.txt"] {
            let Ok(bytes) = fs::read(hf.join(name)) else {
                continue;
            };
            let copy = tempfile::tempdir().unwrap();
            for side in ["config.json", "tokenizer_config.json", "model.safetensors"] {
                fs::copy(hf.join(side), copy.path().join(side)).unwrap();
            }
            fs::write(copy.path().join(name), bytes).unwrap();
            let checkpoint = Checkpoint::open(copy.path()).unwrap();
            let found = Tokenizer::from_checkpoint(&checkpoint)
                .unwrap()
                .encode(&text, WITH_SPECIAL);
            if found != ids {
                failures.push(format!(
                    "{} {name}: expected {ids:?}\n  found {found:?}",
                    hf.display()
                ));
            }
        }
    }
    assert!(
        failures.is_empty(),
        "{} failures:\n{}",
        failures.len(),
        failures.join("\n")
    );
}
