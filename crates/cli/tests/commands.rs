//! The program as a user runs it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::{Command, Output};

use serde_json::Value;

fn hearth(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_hearth"))
        .args(arguments)
        .output()
        .unwrap()
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
