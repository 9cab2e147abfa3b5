//! The program as a user runs it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    io::Write,
    path::Path,
    process::{Command, Output, Stdio},
};

mod fit;

use hearth_format::{Array, Bytes, Gguf, GgufWriter, Metadata, Storage, Tensor, Value as Setting};

use serde_json::Value;

fn hearth(arguments: &[&str]) -> Output {
    piped(arguments, b"")
}

/// Runs with the given standard input.
fn piped(arguments: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_hearth"))
        .args(arguments)
        // Not the models of whoever runs the tests.
        .env(
            "HEARTH_MODELS",
            concat!(env!("CARGO_TARGET_TMPDIR"), "/models"),
        )
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A program that refuses its arguments does not wait for input.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

fn json(arguments: &[&str]) -> Value {
    let output = hearth(arguments);
    assert!(
        output.status.success(),
        "{arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Runs what must fail: one line on standard error, nothing on standard output, a status that is not 0.
fn refusal(arguments: &[&str]) -> String {
    let output = hearth(arguments);
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {message}");
    assert!(
        output.stdout.is_empty() && message.lines().count() == 1 && !message.contains("panicked"),
        "{message}"
    );
    message
}

#[test]
fn the_built_in_model_shows_itself() {
    let shown = json(&["show", "bard", "--json"]);
    assert_eq!(shown["architecture"], "llama");
    assert_eq!(shown["layers"], 6);
    assert_eq!(shown["context"], 1024);
    assert_eq!(shown["types"]["Q8_0"], 43);
    assert!(shown["template"].as_str().unwrap().contains("<|bard|>"));
    let text = String::from_utf8(hearth(&["show", "bard"]).stdout).unwrap();
    assert!(
        text.contains("5.77 million") && text.contains("at 1024 positions"),
        "{text}"
    );
}

#[test]
fn logits_are_those_of_the_positions_asked_for() {
    let all = json(&[
        "logits",
        "bard",
        "--ids",
        "1,20,300,7",
        "--last",
        "4",
        "--json",
    ]);
    assert_eq!(all["positions"], serde_json::json!([0, 1, 2, 3]));
    let rows = |value: &Value| -> Vec<Vec<f64>> {
        serde_json::from_value(value["logits"].clone()).unwrap()
    };
    let all = rows(&all);
    assert_eq!((all.len(), all[0].len()), (4, 4096));
    for (last, chunk) in [("1", "1"), ("2", "3"), ("9", "2")] {
        let some = rows(&json(&[
            "logits",
            "bard",
            "--ids",
            "1,20,300,7",
            "--last",
            last,
            "--chunk",
            chunk,
            "--json",
        ]));
        let tail = &all[4 - some.len()..];
        let worst = some
            .iter()
            .flatten()
            .zip(tail.iter().flatten())
            .fold(0.0f64, |w, (a, b)| w.max((a - b).abs()));
        assert!(worst < 1e-4, "last {last} in steps of {chunk}: {worst}");
    }
}

#[test]
fn the_number_of_threads_does_not_change_a_bit() {
    let ids = "1,20,300,7,9,11,400,3,2,1,77";
    for mode in [&["--fast"][..], &[]] {
        let run = |threads: &str| {
            hearth(
                &[
                    &[
                        "logits",
                        "bard",
                        "--ids",
                        ids,
                        "--last",
                        "11",
                        "--json",
                        "--threads",
                        threads,
                    ],
                    mode,
                ]
                .concat(),
            )
            .stdout
        };
        assert_eq!(run("1"), run("3"), "{mode:?}");
    }
}

#[test]
fn bench_reports_its_figures() {
    let report = json(&[
        "bench",
        "bard",
        "--prefill",
        "16",
        "--decode",
        "4",
        "--reps",
        "1",
        "--json",
    ]);
    for key in [
        "prefill_tps",
        "decode_tps",
        "bandwidth_gbs",
        "decode_roofline_share",
    ] {
        assert!(
            report[key].as_f64().is_some_and(|n| n > 0.0),
            "{key}: {report}"
        );
    }
}

#[test]
fn bad_input_is_refused_in_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (empty, text) = (
        file("empty.gguf", b""),
        file("text.gguf", b"this is no model at all, just text"),
    );
    let folder = dir.path().to_str().unwrap().to_owned();
    let cases: [(&[&str], &str); 8] = [
        (&["show", "no-such-model"], "there is no 'no-such-model'"),
        (&["show", &empty], "only 0 bytes"),
        (&["show", &text], "not a GGUF file"),
        (&["show", &folder], "found 2 GGUF files"),
        (
            &["logits", "bard", "--ids", "5000"],
            "token id 5000 is outside the vocabulary of 4096",
        ),
        (
            &["logits", "bard", "--ids", "1,2,3", "--ctx", "2"],
            "3 tokens, the context holds 2",
        ),
        (
            &["logits", "bard", "--ids", "1", "--chunk", "0"],
            "at least one token",
        ),
        (
            &["bench", "bard", "--prefill", "4096"],
            "the context of the model holds 1024",
        ),
    ];
    for (arguments, want) in cases {
        let message = refusal(arguments);
        assert!(message.contains(want), "{message}");
    }
}

#[test]
fn an_unknown_instruction_set_is_named() {
    let output = Command::new(env!("CARGO_BIN_EXE_hearth"))
        .args(["show", "bard"])
        .env("HEARTH_ISA", "sse9")
        .output()
        .unwrap();
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !output.status.success() && message.contains("sse9"),
        "{message}"
    );
}

#[test]
fn every_instruction_set_gives_the_same_answer() {
    let logits = |isa: &str| -> Option<Vec<Vec<f64>>> {
        let output = Command::new(env!("CARGO_BIN_EXE_hearth"))
            .args([
                "logits",
                "bard",
                "--ids",
                "1,20,300,7",
                "--last",
                "4",
                "--json",
            ])
            .env("HEARTH_ISA", isa)
            .output()
            .unwrap();
        if !output.status.success() {
            println!("skipped {isa}: {}", String::from_utf8_lossy(&output.stderr));
            return None;
        }
        let value: Value = serde_json::from_slice(&output.stdout).unwrap();
        serde_json::from_value(value["logits"].clone()).unwrap()
    };
    let scalar = logits("scalar").unwrap();
    for isa in ["avx2", "avx512"] {
        let Some(other) = logits(isa) else { continue };
        let worst = other
            .iter()
            .flatten()
            .zip(scalar.iter().flatten())
            .fold(0.0f64, |w, (a, b)| w.max((a - b).abs()));
        assert!(worst < 5e-4, "{isa}: {worst}");
    }
}

const HAMLET: &str = "<|begin|>HAMLET:\nTo be";
const GREEDY: [&str; 6] = [
    "--raw",
    "--temperature",
    "0",
    "--json",
    "--max-tokens",
    "32",
];

#[test]
fn bard_continues_as_the_reference_does() {
    // `reference.json` beside the trained checkpoint: transformers in float32.
    let cases = [
        (
            HAMLET,
            vec![
                263, 448, 16, 285, 479, 311, 263, 448, 299, 363, 18, 203, 203, 1216, 30, 203, 45,
                479, 311, 2342, 295, 17, 1550, 18, 203, 203, 1216, 30, 203, 45, 479, 311,
            ],
        ),
        (
            "<|begin|><|user|>Who is there?<|end|><|bard|>",
            vec![907, 16, 298, 415, 750, 263, 448, 333, 1766, 326, 368, 18, 3],
        ),
    ];
    for (prompt, want) in cases {
        for mode in [&["--exact"][..], &[]] {
            let report = json(&[&["run", "bard", prompt], &GREEDY[..], mode].concat());
            assert_eq!(report["ids"], serde_json::json!(want), "{prompt} {mode:?}");
        }
    }
    let chat = json(&[
        "run",
        "bard",
        "Who",
        "is",
        "there?",
        "--temperature",
        "0",
        "--json",
    ]);
    assert_eq!(chat["text"], "Ay, and 'tis a man that knows not so.");
    assert_eq!(
        (chat["finish"].as_str(), chat["prompt_tokens"].as_u64()),
        (Some("end"), Some(8))
    );
    assert_eq!(
        chat["context"],
        serde_json::json!({"used": 20, "limit": 1024, "dropped": 0})
    );
}

#[test]
fn the_same_seed_gives_the_same_text_on_any_number_of_threads() {
    let run = |seed: &str, threads: &str| {
        let flags = [
            "run",
            "bard",
            HAMLET,
            "--raw",
            "--json",
            "-n",
            "40",
            "--temperature",
            "1.2",
            "--xtc-probability",
            "0.5",
        ];
        json(&[&flags[..], &["--seed", seed, "--threads", threads]].concat())["ids"].clone()
    };
    let one = run("7", "1");
    assert_eq!(one, run("7", "3"));
    assert_ne!(one, run("8", "1"));
    let drawn = json(&["run", "bard", HAMLET, "--raw", "--json", "-n", "20"]);
    let again = json(&[
        "run",
        "bard",
        HAMLET,
        "--raw",
        "--json",
        "-n",
        "20",
        "--seed",
        &drawn["seed"].to_string(),
    ]);
    assert_eq!(drawn["ids"], again["ids"], "a drawn seed is reported");
}

#[test]
fn prompts_come_from_arguments_and_from_standard_input() {
    let text = |output: Output| {
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    };
    let answer = "Ay, and 'tis a man that knows not so.\n";
    assert_eq!(
        text(piped(
            &["run", "bard", "--temperature", "0"],
            b"Who is there?\n"
        )),
        answer
    );
    let both = text(piped(
        &["run", "--temperature", "0", "bard", "Who is"],
        b"there?",
    ));
    assert!(!both.is_empty());
    let raw = json(&[&["run", "bard", HAMLET], &GREEDY[..]].concat());
    let piped_raw = piped(&[&["run", "bard"], &GREEDY[..]].concat(), HAMLET.as_bytes());
    assert_eq!(
        serde_json::from_slice::<Value>(&piped_raw.stdout).unwrap()["ids"],
        raw["ids"]
    );
    let stopped = json(&[
        "run",
        "bard",
        HAMLET,
        "--raw",
        "--temperature",
        "0",
        "--json",
        "--stop",
        " man of",
    ]);
    assert_eq!(
        (stopped["text"].as_str(), stopped["finish"].as_str()),
        (Some(" a man, I'll be a"), Some("stop"))
    );
    let statistics = hearth(&["run", "bard", "Hi", "-n", "3", "--verbose"]);
    let statistics = String::from_utf8(statistics.stderr).unwrap();
    assert!(
        ["load", "prefill", "decode", "memory"]
            .iter()
            .all(|word| statistics.contains(word)),
        "{statistics}"
    );
}

#[test]
fn tokenize_prints_ids() {
    let ids = |arguments: &[&str], text: &str| {
        let output = piped(
            &[&["tokenize", "bard", "--json"], arguments].concat(),
            text.as_bytes(),
        );
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(
        ids(&["--special"], HAMLET),
        "{\"ids\":[0,1216,30,203,1462,311]}\n"
    );
    assert_eq!(ids(&[], ""), "{\"ids\":[]}\n");
    assert!(
        ids(&[], "<|begin|>").len() > "{\"ids\":[0]}\n".len(),
        "special tokens are text unless asked for"
    );
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("text");
    std::fs::write(&path, HAMLET).unwrap();
    assert_eq!(
        ids(&["--special", "--file", path.to_str().unwrap()], ""),
        ids(&["--special"], HAMLET)
    );
}

const BARD: &[u8] = include_bytes!("../../server/assets/bard.gguf");

/// Bard with some keys changed.
fn changed(change: &[(&str, Setting)]) -> Vec<u8> {
    let file = Gguf::from_bytes(Bytes::new(BARD), "bard").unwrap();
    let mut metadata = Metadata::default();
    for (key, value) in file.metadata().iter() {
        let value = change
            .iter()
            .find(|(name, _)| *name == key)
            .map_or(value, |(_, value)| value);
        metadata.insert(key.to_owned(), value.clone());
    }
    let mut writer = GgufWriter::new(metadata).unwrap();
    let blocks = |tensor: &Tensor| match &tensor.storage {
        Storage::Blocks { block, bytes } => (*block, bytes.clone()),
        _ => panic!("a GGUF holds blocks"),
    };
    for tensor in file.tensors() {
        writer
            .tensor(&tensor.name, &tensor.shape, blocks(tensor).0)
            .unwrap();
    }
    let mut body = writer.start(Vec::new()).unwrap();
    for tensor in file.tensors() {
        body.write(&blocks(tensor).1).unwrap();
    }
    body.finish().unwrap()
}

#[test]
fn bad_prompts_and_models_are_refused_in_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, change: &[(&str, Setting)]| {
        let path = dir.path().join(name);
        std::fs::write(&path, changed(change)).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let text = |text: &str| Setting::String(text.as_bytes().into());
    let cyclic = "{% macro f(n) %}{{ f(n) }}{% endmacro %}{{ f(1) }}";
    let endless =
        "{% for i in range(100000) %}{% for j in range(100000) %}x{% endfor %}{% endfor %}";
    let refusing = "{{ raise_exception('only tools here') }}";
    let cyclic = file("cyclic.gguf", &[("tokenizer.chat_template", text(cyclic))]);
    let endless = file(
        "endless.gguf",
        &[("tokenizer.chat_template", text(endless))],
    );
    let refusing = file(
        "refusing.gguf",
        &[("tokenizer.chat_template", text(refusing))],
    );
    let broken = file(
        "broken.gguf",
        &[("tokenizer.chat_template", text("{% if %}"))],
    );
    let model = file("model.gguf", &[("tokenizer.ggml.model", text("abacus"))]);
    let heads = file(
        "heads.gguf",
        &[("llama.attention.head_count", Setting::U32(0))],
    );
    let layers = file(
        "layers.gguf",
        &[("llama.block_count", Setting::U32(1_000_000_000))],
    );
    let family = file("family.gguf", &[("general.architecture", text("abacus"))]);
    // One token more than the embedding has rows.
    let bard = Gguf::from_bytes(Bytes::new(BARD), "bard").unwrap();
    let mut tokens = bard
        .metadata()
        .strings("tokenizer.ggml.tokens")
        .unwrap()
        .to_vec();
    tokens.push(b"one too many".as_slice().into());
    let kinds = Setting::Array(Array::I32(vec![1; tokens.len()]));
    let tokens = Setting::Array(Array::String(tokens));
    let vocabulary = file(
        "vocabulary.gguf",
        &[
            ("tokenizer.ggml.tokens", tokens),
            ("tokenizer.ggml.token_type", kinds),
        ],
    );
    let long = "word ".repeat(3000);
    let cases: [(&[&str], &[u8], &str); 17] = [
        (&["run", "bard"], b"", "no prompt"),
        (&["run", "bard"], b"ab\xff", "byte 2"),
        (&["tokenize", "bard"], b"\xff", "not UTF-8"),
        (&["tokenize", "bard", "--file", "/no/such"], b"", "/no/such"),
        (&["run", "bard", &long], b"", "nothing was cut"),
        (&["run", "bard", "a", "--ctx", "0"], b"", "0 tokens"),
        (
            &["run", "bard", "a", "--ctx", "900000000000"],
            b"",
            "tokens fit (--ctx",
        ),
        (
            &["run", "bard", "a", "--samplers", "nonsense;top_k"],
            b"",
            "'nonsense' is no sampler",
        ),
        (
            &["run", "bard", "a", "--temperature", "nan"],
            b"",
            "temperature",
        ),
        (&["run", &cyclic, "a"], b"", "chat template"),
        (&["run", &endless, "a"], b"", "chat template"),
        (&["run", &refusing, "a"], b"", "only tools here"),
        (&["run", &broken, "a"], b"", "chat template, line 1"),
        (&["run", &model, "a"], b"", "abacus"),
        (&["run", &heads, "a"], b"", "head_count"),
        (&["run", &layers, "a"], b"", "block_count"),
        (
            &["run", &vocabulary, "a"],
            b"",
            "4097 tokens, the embedding only 4096 rows",
        ),
    ];
    for (arguments, input, want) in cases {
        let output = piped(arguments, input);
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{want}: {message}");
        assert!(
            message.contains(want) && message.lines().count() == 1 && !message.contains("panicked"),
            "{want}: {message}"
        );
    }
    assert!(refusal(&["run", &family, "a"]).contains("'abacus' is not one that hearth runs"));
}

#[test]
fn conformance_models_run_from_both_forms() {
    let kit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance/models");
    if !kit.exists() {
        println!("skipped: no ../shared");
        return;
    }
    for family in [
        "llama", "mistral", "qwen2", "qwen3", "gemma2", "gemma3", "phi3", "mixtral", "qwen3moe",
    ] {
        for form in ["model.gguf", "hf"] {
            let path = kit.join(family).join(form);
            let report = json(&[
                "run",
                path.to_str().unwrap(),
                "hi",
                "-n",
                "4",
                "--json",
                "--ignore-eos",
            ]);
            assert_eq!(report["generated_tokens"], 4, "{family} {form}");
            let shown = json(&["show", path.to_str().unwrap(), "--json"]);
            assert!(
                shown["parameters"].as_u64().unwrap() > 1000,
                "{family} {form}"
            );
        }
    }
}
