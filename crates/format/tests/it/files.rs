//! Model directories whose files lie anywhere, under any name.

use std::path::{Path, PathBuf};

use hearth_format::{Checkpoint, Source};
use serde_json::json;

use crate::directory::{File, INDEX, names, shard, text};

/// The files under names that say nothing, with the names they are to have.
fn scattered(at: &Path, files: &[File]) -> Vec<(String, PathBuf)> {
    let place = |(i, (name, bytes)): (usize, &File)| {
        let path = at.join(format!("sha256-{i:064}"));
        std::fs::write(&path, bytes).unwrap();
        ((*name).to_owned(), path)
    };
    files.iter().enumerate().map(place).collect()
}

fn config() -> File {
    ("config.json", b"{\"model_type\": \"llama\"}".to_vec())
}

#[test]
fn the_right_files_are_read() {
    let index = json!({"weight_map": {"a": "x.safetensors", "b": "y.safetensors"}});
    let cases: Vec<(&str, Vec<File>, &[&str])> = vec![
        (
            "whole before others",
            vec![
                ("model.safetensors", shard(&["w"], 0)),
                ("tensors/a.safetensors", shard(&["a"], 0)),
            ],
            &["w"],
        ),
        (
            "index",
            vec![
                (INDEX, text(&index)),
                ("x.safetensors", shard(&["a", "extra"], 0)),
                ("y.safetensors", shard(&["b"], 0)),
            ],
            &["a", "b"],
        ),
        (
            "shards before others",
            vec![
                ("model-1.safetensors", shard(&["p"], 0)),
                ("model-2.safetensors", shard(&["q"], 0)),
                ("adapter.safetensors", shard(&["p"], 0)),
            ],
            &["p", "q"],
        ),
        (
            "any safetensors",
            vec![
                ("weights.safetensors", shard(&["v"], 0)),
                ("deep/er.safetensors", shard(&["w"], 0)),
            ],
            &["v", "w"],
        ),
        (
            "a file for each tensor",
            vec![
                ("tensors/a.weight.safetensors", shard(&["a.weight"], 0)),
                ("tensors/b.weight.safetensors", shard(&["data"], 0)),
                ("tensors/e.safetensors", shard(&["e.0.w", "e.1.w"], 0)),
            ],
            &["a.weight", "b.weight", "e.0.w", "e.1.w"],
        ),
    ];
    for (name, mut files, want) in cases {
        files.push(config());
        files.push(("tokenizer.json", b"{}".to_vec()));
        let dir = tempfile::tempdir().unwrap();
        let files = scattered(dir.path(), &files);
        let tokenizer = files.last().unwrap().1.clone();
        let checkpoint = Checkpoint::open_files("llama:1b", files).unwrap();
        assert_eq!(names(&checkpoint), want, "{name}");
        assert_eq!(checkpoint.source, Source::HuggingFace);
        assert_eq!(checkpoint.label(), "llama:1b");
        assert_eq!(checkpoint.config()["model_type"], "llama");
        assert_eq!(checkpoint.side_file("tokenizer.json"), Some(tokenizer));
        assert_eq!(checkpoint.side_file("vocab.json"), None);
        assert_eq!(checkpoint.side_file("../tokenizer.json"), None);
    }
}

#[test]
fn each_wrong_list_is_named() {
    let index = |file: &str| (INDEX, text(&json!({"weight_map": {"t": file}})));
    let cases: Vec<(&str, Vec<File>, &str)> = vec![
        ("nothing", vec![], "expected 'config.json' among"),
        (
            "no config",
            vec![("model.safetensors", shard(&["a"], 0))],
            "expected 'config.json' among",
        ),
        (
            "no weights",
            vec![config(), ("pytorch_model.bin", vec![])],
            "pytorch_model.bin is a pickle",
        ),
        (
            "a name twice",
            vec![config(), config()],
            "'config.json' is given twice",
        ),
        (
            "config is no object",
            vec![("config.json", b"1".to_vec())],
            "not an object",
        ),
        (
            "config is no JSON",
            vec![("config.json", b"{".to_vec())],
            "m: config.json: not valid JSON",
        ),
        (
            "an index of what is not there",
            vec![config(), index("x.safetensors")],
            "expected 'x.safetensors' among",
        ),
        (
            "an index that leads out",
            vec![config(), index("../../etc/x.safetensors")],
            "no plain name",
        ),
        (
            "no safetensors",
            vec![config(), ("tensors/t.safetensors", vec![1; 9])],
            "m: tensors/t.safetensors: not a safetensors file",
        ),
        (
            "a tensor twice",
            vec![
                config(),
                ("tensors/t.safetensors", shard(&["t"], 0)),
                ("tensors/u.safetensors", shard(&["t.a", "t.b"], 0)),
            ],
            "expected tensor 'u', found 't.a'",
        ),
        (
            "a tensor in two kinds of files",
            vec![
                config(),
                ("tensors/t.safetensors", shard(&["data"], 0)),
                ("weights.safetensors", shard(&["t"], 0)),
            ],
            "tensor 't' is in two files",
        ),
        (
            "no tensor in its file",
            vec![config(), ("tensors/t.safetensors", shard(&[], 0))],
            "expected tensor 't', found none",
        ),
        (
            "Ollama's own quantisation",
            vec![
                config(),
                (
                    "tensors/q.weight.safetensors",
                    shard(&["q.weight", "q.weight.scale"], 0),
                ),
            ],
            "quantised by Ollama's MLX scheme",
        ),
    ];
    for (name, files, want) in cases {
        let dir = tempfile::tempdir().unwrap();
        let files = scattered(dir.path(), &files);
        let message = Checkpoint::open_files("m", files)
            .expect_err(name)
            .to_string();
        assert!(message.contains(want), "{name}: {message}");
    }
    let gone = vec![("config.json".to_owned(), PathBuf::from("/nonexistent/blob"))];
    let message = Checkpoint::open_files("m", gone).unwrap_err().to_string();
    assert!(
        message.contains("/nonexistent/blob: cannot read"),
        "{message}"
    );
}
