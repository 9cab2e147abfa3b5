//! What `hearth fit` says, and whether it is true.

use std::path::Path;

use serde_json::Value;

use super::{hearth, json, refusal};

const FAMILIES: [&str; 18] = [
    "llama",
    "mistral",
    "qwen2",
    "qwen3",
    "gemma2",
    "gemma3",
    "phi3",
    "mixtral",
    "qwen3moe",
    "lfm2",
    "mamba",
    "falcon_mamba",
    "mamba2",
    "bert",
    "xlm_roberta",
    "nomic_bert",
    "modern_bert",
    "gemma_embedding",
];

/// Largest error of a prediction, in percent of the measured peak.
const TOLERANCE: f64 = 3.0;

/// Bytes by which allocators and threads differ between runs: more than 3 % of models that are smaller than it.
const LOOSE: f64 = 512.0 * 1024.0;
/// Bytes by which one system reads more of the program than another: it maps as much around a page as it likes.
const LOOSE_CODE: f64 = 1024.0 * 1024.0;

/// The error of a prediction.
struct Mistake {
    /// Of the whole, in percent of what was measured.
    percent: f64,
    /// Of all but the program's own files, and the largest one that there may be.
    bytes: f64,
    allowed: f64,
    /// Of the program's own files.
    code: f64,
}

/// The median of some processes: the addresses that they happen to have decide what the system reads.
fn mistake(model: &str, more: &[&str]) -> Mistake {
    let one = || {
        let arguments = [&["fit", model, "--check", "--threads", "2", "--json"], more].concat();
        let told = json(&arguments);
        let number = |value: &Value| value.as_f64().unwrap();
        let measured = number(&told["measured_bytes"]);
        let code = number(&told["parts"]["code_bytes"]) - number(&told["measured_code_bytes"]);
        Mistake {
            percent: number(&told["difference_percent"]),
            bytes: number(&told["predicted_bytes"]) - measured - code,
            allowed: f64::max(measured * TOLERANCE / 100.0, LOOSE),
            code,
        }
    };
    let mut mistakes: Vec<Mistake> = (0..5).map(|_| one()).collect();
    mistakes.sort_by(|a, b| a.bytes.total_cmp(&b.bytes));
    mistakes.swap_remove(2)
}

#[test]
#[cfg(target_os = "linux")]
fn the_predicted_memory_is_what_is_taken() {
    let kit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance/models");
    if !kit.exists() {
        println!("skipped: no ../shared");
        return;
    }
    let mut wrong = Vec::new();
    for family in FAMILIES {
        for form in ["model.gguf", "hf"] {
            for more in [&[][..], &["--exact"], &["--ctx", "70"]] {
                let model = kit.join(family).join(form);
                let mistake = mistake(model.to_str().unwrap(), more);
                let kibibytes = |bytes: f64| bytes / 1024.0;
                let told = format!(
                    "{family} {form} {more:?}: {:+.2} %, code {:+.0} KiB, all else {:+.0} KiB",
                    mistake.percent,
                    kibibytes(mistake.code),
                    kibibytes(mistake.bytes)
                );
                println!("{told}");
                if mistake.bytes.abs() > mistake.allowed || mistake.code.abs() > LOOSE_CODE {
                    wrong.push(told);
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn contexts_cost_what_their_pages_cost() {
    let fit = json(&["fit", "bard", "--ctx", "900", "--json"]);
    assert_eq!(fit["verdict"], "yes");
    assert_eq!(fit["context"], 900);
    assert_eq!(fit["largest_context"], 1024);
    let contexts: Vec<(u64, u64, u64)> = fit["contexts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            let number = |key: &str| row[key].as_u64().unwrap();
            (
                number("context"),
                number("cache_bytes"),
                number("cache_f32_bytes"),
            )
        })
        .collect();
    // 6 layers, keys and values of 128 values each, F16, pages of 64 positions.
    let bytes = |positions: u64| 6 * 2 * 128 * positions * 2;
    let expected = [(900, 960), (1024, 1024)]
        .map(|(context, pages)| (context, bytes(pages), 2 * bytes(pages)));
    assert_eq!(contexts, expected);
    let mixtures = fit["mixtures"].as_array().unwrap();
    assert_eq!(mixtures.len(), 7);
    assert!(mixtures.is_sorted_by_key(|m| m["weight_bytes"].as_u64().unwrap()));
    assert!(mixtures.iter().all(|m| m["verdict"] == "yes"));
    let speed = |key: &str| fit[key].as_f64().unwrap();
    assert!(speed("decode_tps_empty") > speed("decode_tps_full"));
    assert!(speed("decode_tps_full") > 0.0);
}

#[test]
fn people_get_the_verdict_first() {
    let text = String::from_utf8(hearth(&["fit", "bard"]).stdout).unwrap();
    assert!(
        text.starts_with("yes: with its whole context of 1024 tokens it needs "),
        "{text}"
    );
    for part in [
        "weights",
        "cache in F32",
        "largest context that fits: 1024 tokens",
        "Q4_K_M",
        "tokens/s",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn what_does_not_fit_is_refused_with_the_numbers() {
    let huge = "4000000000000";
    let fit = json(&["fit", "bard", "--ctx", huge, "--json"]);
    assert_eq!(fit["verdict"], "no");
    assert_eq!(fit["largest_context"], 1024);
    let needed = |fit: &Value| fit["needed_bytes"].as_u64().unwrap() >> 20;
    let message = refusal(&["run", "bard", "hello", "--ctx", huge]);
    for part in [
        format!("a context of {huge} tokens"),
        format!("needs {} MiB", needed(&fit)),
        "MiB are free: at most".to_owned(),
        "(--ctx ".to_owned(),
        "--force".to_owned(),
    ] {
        assert!(message.contains(&part), "{part}: {message}");
    }
    let most = usize::MAX.to_string();
    for command in [
        &["bench", "bard", "--ctx", &most][..],
        &["fit", "bard", "--check", "--ctx", &most],
    ] {
        assert!(refusal(command).contains("MiB are free"), "{command:?}");
    }
    let forced = json(&[
        "run", "bard", "hello", "--ctx", huge, "--force", "-n", "1", "--json",
    ]);
    assert_eq!(forced["context"]["limit"].to_string(), huge);
    assert!(refusal(&["fit", "bard", "--ctx", "0"]).contains("at least 1"));
    assert!(refusal(&["fit", "bard", "--check", "--ctx", "2"]).contains("--ctx 3"));
}
