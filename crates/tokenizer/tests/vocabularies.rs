//! Real vocabularies against the ids that their reference gives.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{fs, path::PathBuf, sync::LazyLock};

use hearth_format::Gguf;
use hearth_tokenizer::{EncodeOptions, Tokenizer};

const PLAIN: EncodeOptions = EncodeOptions {
    add_special: false,
    parse_special: false,
};

fn shared(path: &str) -> Option<PathBuf> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../../shared")
        .join(path);
    if path.exists() {
        return Some(path);
    }
    println!("skipped: no ../shared");
    None
}

fn vocabularies() -> Vec<(String, Tokenizer, String, String)> {
    let Some(folder) = shared("data/vocab") else {
        return Vec::new();
    };
    let mut paths: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    paths.retain(|p| p.extension().is_some_and(|e| e == "gguf"));
    paths.sort();
    let load = |path: PathBuf| {
        let gguf = Gguf::open(&path).unwrap();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let tokenizer =
            Tokenizer::from_gguf(gguf.metadata()).unwrap_or_else(|e| panic!("{name}: {e}"));
        let side =
            |suffix: &str| fs::read_to_string(format!("{}{suffix}", path.display())).unwrap();
        (name, tokenizer, side(".inp"), side(".out"))
    };
    paths.into_iter().map(load).collect()
}

#[test]
fn every_vocabulary_gives_the_reference_ids() {
    let mut failures = Vec::new();
    for (name, tokenizer, texts, ids) in vocabularies() {
        let texts: Vec<&str> = texts.split("\n__ggml_vocab_test__\n").collect();
        let lines: Vec<&str> = ids.lines().collect();
        assert!(
            texts.len() >= lines.len() && lines.len() > 40,
            "{name}: {} texts, {} lines",
            texts.len(),
            lines.len()
        );
        for (text, line) in texts.iter().zip(&lines) {
            let expected: Vec<u32> = line
                .split_whitespace()
                .map(|n| n.parse().unwrap())
                .collect();
            let found = tokenizer.encode(text, PLAIN);
            if found != expected {
                failures.push(format!(
                    "{name} {text:?}\n  expected {expected:?}\n  found    {found:?}"
                ));
            }
            let back = tokenizer.decode(&found, true);
            if back != *text && !name.contains("bert") {
                failures.push(format!("{name} {text:?} comes back as {back:?}"));
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

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]
    #[test]
    fn any_text_comes_back(text in "(\\PC|[ \n\ta-z<|>▁'0-9]){0,60}") {
        static ALL: LazyLock<Vec<(String, Tokenizer, String, String)>> = LazyLock::new(vocabularies);
        // A vocabulary that writes spaces as U+2581 cannot tell that character from a space.
        let reversible = |name: &str| !(name.contains("bert") || spm(name) && text.contains('▁'));
        for (name, tokenizer, ..) in ALL.iter().filter(|v| reversible(&v.0)) {
            let ids = tokenizer.encode(&text, PLAIN);
            proptest::prop_assert_eq!(&tokenizer.decode(&ids, true), &text, "{}", name);
            let mut decoder = tokenizer.decoder(true);
            let mut streamed: String = ids.iter().map(|id| decoder.push(*id)).collect();
            streamed.push_str(&decoder.finish());
            let streamed = if spm(name) { streamed.strip_prefix(' ').unwrap_or(&streamed) } else { &streamed };
            proptest::prop_assert_eq!(streamed, &text, "{} streamed", name);
        }
    }
}

fn spm(name: &str) -> bool {
    ["llama-spm", "phi-3"].iter().any(|n| name.contains(n))
}
