//! Model directories: which files are read, and what is refused.

use std::path::Path;

use hearth_format::{Checkpoint, Source};
use proptest::prelude::*;
use serde_json::{Value as Json, json};
use tempfile::TempDir;

use crate::draft::safetensors;

/// Name and bytes.
pub(crate) type File = (&'static str, Vec<u8>);

/// A directory of these files.
fn directory(files: &[File]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        std::fs::write(dir.path().join(name), bytes).unwrap();
    }
    dir
}

/// A file whose tensors each hold one F32, the bytes of which are all `fill`.
pub(crate) fn shard(names: &[&str], fill: u8) -> Vec<u8> {
    let entries = names.iter().enumerate().map(|(i, name)| {
        let entry = json!({"dtype": "F32", "shape": [1], "data_offsets": [4 * i, 4 * i + 4]});
        ((*name).to_owned(), entry)
    });
    let header = Json::Object(entries.collect()).to_string();
    let mut bytes = safetensors(&header, 0);
    bytes.resize(bytes.len() + 4 * names.len(), fill);
    bytes
}

pub(crate) fn text(value: &Json) -> Vec<u8> {
    value.to_string().into_bytes()
}

pub(crate) fn names(checkpoint: &Checkpoint) -> Vec<&str> {
    let mut names: Vec<_> = checkpoint.tensors().map(|t| t.name.as_str()).collect();
    names.sort_unstable();
    names
}

pub(crate) const INDEX: &str = "model.safetensors.index.json";

#[test]
fn the_right_files_are_read() {
    let config = (
        "config.json",
        b"{\"time_step_limit\": [0.0, Infinity]}".to_vec(),
    );
    let index = json!({"metadata": {}, "weight_map": {"a": "x.safetensors", "b": "y.safetensors"}});
    let shards = [
        ("x.safetensors", shard(&["a", "extra"], 0)),
        ("y.safetensors", shard(&["b", "extra"], 0)),
    ];
    let whole = ("model.safetensors", shard(&["w"], 0));
    let other = ("consolidated.safetensors", shard(&["c"], 0));
    let parts = [
        ("model-1.safetensors", shard(&["p"], 0)),
        ("model-2.safetensors", shard(&["q"], 0)),
    ];
    let cases = [
        (
            "whole",
            [
                &[whole.clone(), other.clone(), (INDEX, text(&index))],
                &shards[..],
            ]
            .concat(),
            vec!["w"],
        ),
        (
            "index",
            [&[(INDEX, text(&index)), other.clone()], &shards[..]].concat(),
            vec!["a", "b"],
        ),
        ("no index", [&[other], &parts[..]].concat(), vec!["p", "q"]),
    ];
    for (name, mut files, want) in cases {
        files.push(config.clone());
        let dir = directory(&files);
        let checkpoint = Checkpoint::open(dir.path()).unwrap();
        assert_eq!(checkpoint.source, Source::HuggingFace);
        assert_eq!(names(&checkpoint), want, "{name}");
        assert_eq!(checkpoint.parameters(), want.len() as u64);
        assert_eq!(checkpoint.total_bytes(), 4 * want.len() as u64);
        assert_eq!(checkpoint.config()["time_step_limit"][1], json!(f64::MAX));
        assert!(checkpoint.side_file("config.json").is_some());
        assert!(checkpoint.side_file("tokenizer.json").is_none());
    }
}

#[test]
fn each_wrong_directory_is_named() {
    let config = ("config.json", b"{}".to_vec());
    let index = |map: Json| (INDEX, text(&json!({ "weight_map": map })));
    let fp8 =
        json!({"quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128]}});
    let nested =
        json!({"text_config": {"quantization_config": {"quant_method": "gptq", "bits": 4}}});
    let cases: Vec<(&str, Vec<File>, &str)> = vec![
        ("nothing", vec![], "found 0 GGUF files"),
        (
            "two models",
            vec![("a.gguf", vec![]), ("b.gguf", vec![])],
            "found 2 GGUF files",
        ),
        (
            "no weights",
            vec![config.clone()],
            "expected model.safetensors or",
        ),
        (
            "pickles",
            vec![config.clone(), ("pytorch_model.bin", vec![])],
            "pytorch_model.bin is a pickle",
        ),
        (
            "config is a list",
            vec![("config.json", b"[]".to_vec())],
            "not an object",
        ),
        (
            "config is not JSON",
            vec![("config.json", b"{".to_vec())],
            "not valid JSON",
        ),
        (
            "config is deep",
            vec![("config.json", "[".repeat(100_000).into_bytes())],
            "not valid JSON",
        ),
        (
            "fp8",
            vec![("config.json", text(&fp8))],
            "quantised by 'fp8'",
        ),
        (
            "gptq inside",
            vec![("config.json", text(&nested))],
            "quantised by 'gptq'",
        ),
        (
            "index without a map",
            vec![config.clone(), (INDEX, b"{}".to_vec())],
            "missing field `weight_map`",
        ),
        (
            "map to a number",
            vec![config.clone(), index(json!({"a": 1}))],
            "not valid JSON",
        ),
        (
            "file not there",
            vec![config.clone(), index(json!({"a": "x.safetensors"}))],
            "x.safetensors: cannot read",
        ),
        (
            "tensor not there",
            vec![
                config.clone(),
                index(json!({"a": "x.safetensors"})),
                ("x.safetensors", shard(&["b"], 0)),
            ],
            "tensor 'a' is not in x.safetensors",
        ),
        (
            "tensor in two files",
            vec![
                config.clone(),
                ("model-1.safetensors", shard(&["a"], 0)),
                ("model-2.safetensors", shard(&["a"], 0)),
            ],
            "tensor 'a' is in two files",
        ),
    ];
    for (name, files, want) in cases {
        let dir = directory(&files);
        let message = Checkpoint::open(dir.path()).expect_err(name).to_string();
        assert!(message.contains(want), "{name}: {message}");
    }
    let lone = directory(&[("model.safetensors", shard(&["a"], 0))]);
    let message = Checkpoint::open(&lone.path().join("model.safetensors")).unwrap_err();
    assert!(
        message.to_string().contains("open the directory"),
        "{message}"
    );
    assert!(Checkpoint::open(Path::new("/nonexistent/model")).is_err());
}

#[test]
fn an_index_may_not_leave_its_directory() {
    for name in [
        "../x.safetensors",
        "/etc/x.safetensors",
        "a/b.safetensors",
        "a\\b.safetensors",
        "x.bin",
        ".safetensors",
        "",
    ] {
        let index = json!({"weight_map": {"t": name}});
        let dir = directory(&[("config.json", b"{}".to_vec()), (INDEX, text(&index))]);
        let message = Checkpoint::open(dir.path()).unwrap_err().to_string();
        assert!(message.contains("no plain name"), "{name}: {message}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_change_of_index_or_config_makes_the_reader_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
        in_config in any::<bool>(),
    ) {
        let mut config = text(&json!({"quantization": {"bits": 4, "group_size": 64, "a": {"bits": 3}}}));
        let mut index = text(&json!({"weight_map": {"a.weight": "x.safetensors", "a.scales": "x.safetensors"}}));
        let changed = if in_config { &mut config } else { &mut index };
        for (at, byte) in changes {
            let at = at.index(changed.len());
            changed[at] = byte;
        }
        let dir = directory(&[
            ("config.json", config),
            (INDEX, index),
            ("x.safetensors", shard(&["a.weight", "a.scales"], 0)),
        ]);
        let _ = Checkpoint::open(dir.path());
    }
}
