//! Every template against what the reference Jinja made of it (`make_expected.py`).
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests, not only tests, unwrap"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use hearth_chat::{Clock, Message, Request, SpecialTokens, Template};
use serde::Deserialize;
use serde_json::{Map, Value};

/// 2026-03-05 14:07:09, the clock of `make_expected.py`.
const NOW: Clock = Clock {
    unix_seconds: 1_772_719_629,
    offset_seconds: 0,
};

/// Where this crate renders on purpose and the reference does not, with the reason.
const KINDER: &[(&str, &str)] = &[
    // The filter `map` gives a generator there, a list here.
    (
        "llama-cpp-deepseek-r1",
        "Object of type generator is not JSON serializable",
    ),
];

#[derive(Deserialize)]
struct Case {
    name: String,
    messages: Vec<Message>,
    #[serde(default)]
    tools: Vec<Value>,
    add_generation_prompt: bool,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Expected {
    Text(String),
    Error(String),
}

fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

/// Compares all templates of a folder; returns how many, and what differs.
fn compare(folder: &Path) -> (usize, Vec<String>) {
    let cases = fs::read_to_string(here().join("conversations.json")).unwrap();
    let cases: Vec<Case> = serde_json::from_str(&cases).unwrap();
    let mut wrong = Vec::new();
    let mut count = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let stem = path.file_stem().unwrap().to_str().unwrap();
        let expected = fs::read_to_string(here().join(format!("expected/{stem}.json"))).unwrap();
        let expected: BTreeMap<String, Expected> = serde_json::from_str(&expected).unwrap();
        let tokens = SpecialTokens {
            bos: Some("<BOS>".into()),
            eos: Some("<EOS>".into()),
            ..SpecialTokens::default()
        };
        let template = Template::new(&fs::read_to_string(&path).unwrap(), tokens).unwrap();
        count += 1;
        for case in &cases {
            let found = template.render(&Request {
                messages: case.messages.clone(),
                tools: case.tools.clone(),
                add_generation_prompt: case.add_generation_prompt,
                extra: case.extra.clone(),
                now: Some(NOW),
            });
            let kinder = |error: &str| {
                KINDER
                    .iter()
                    .any(|(name, part)| *name == stem && error.contains(part))
            };
            match (&expected[&case.name], found) {
                (Expected::Text(text), Ok(found)) if *text == found => {}
                (Expected::Error(_), Err(_)) => {}
                (Expected::Error(error), Ok(_)) if kinder(error) => {}
                (Expected::Text(text), Ok(found)) => {
                    let same = text
                        .chars()
                        .zip(found.chars())
                        .take_while(|(a, b)| a == b)
                        .count();
                    let part = |text: &str| {
                        text.chars()
                            .skip(same.saturating_sub(30))
                            .take(80)
                            .collect::<String>()
                    };
                    wrong.push(format!(
                        "{stem}, {}: expected …{:?}, found …{:?}",
                        case.name,
                        part(text),
                        part(&found)
                    ));
                }
                (Expected::Text(_), Err(error)) => {
                    wrong.push(format!("{stem}, {}: {error}", case.name))
                }
                (Expected::Error(error), Ok(found)) => {
                    wrong.push(format!(
                        "{stem}, {}: expected the error {error}, found {found:?}",
                        case.name
                    ));
                }
            }
        }
    }
    (count, wrong)
}

#[test]
fn templates_in_the_repository() {
    let (count, wrong) = compare(&here().join("templates"));
    assert!(count >= 4);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn templates_in_shared() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/templates");
    if !folder.is_dir() {
        println!("skipped: no ../shared");
        return;
    }
    let (count, wrong) = compare(&folder);
    assert!(count >= 50, "only {count} templates");
    assert!(
        wrong.is_empty(),
        "{} differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}
