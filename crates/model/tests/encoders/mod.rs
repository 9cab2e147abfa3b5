//! Encoders against reference rows and vectors: alone, several in a step, through dense layers and classifiers.

mod built;
mod hostile;

use std::path::Path;

use hearth_compute::{Cpu, Precision};
use hearth_format::{SafeTensors, map_file};
use hearth_model::{Encoded, Model, Pooling, Text, Workspace};

use super::{ids, kit, load, read};

pub(super) const FAMILY_NAMES: [&str; 5] = [
    "bert",
    "xlm_roberta",
    "nomic_bert",
    "modern_bert",
    "gemma_embedding",
];

/// What the kit says of an encoder.
struct Expected {
    ids: Vec<u32>,
    /// A row per token.
    rows: Vec<f32>,
    cls: Option<Vec<f32>>,
    mean: Vec<f32>,
    tolerance: f32,
}

fn expected(dir: &Path) -> Expected {
    let file = SafeTensors::from_bytes(
        map_file(&dir.join("expected.safetensors")).unwrap(),
        "expected",
    )
    .unwrap();
    let json: serde_json::Value =
        serde_json::from_slice(&std::fs::read(dir.join("expected.json")).unwrap()).unwrap();
    Expected {
        ids: ids(&file, "ids").unwrap(),
        rows: read(&file, "embeddings").unwrap(),
        cls: read(&file, "pooled_cls"),
        mean: read(&file, "pooled_mean").unwrap(),
        tolerance: json["tolerance"]["max_abs"].as_f64().unwrap() as f32,
    }
}

fn encode(model: &Model<Cpu>, texts: &[&[u32]], pooling: Pooling) -> Encoded {
    let texts: Vec<Text<'_>> = texts.iter().map(|ids| Text::from(*ids)).collect();
    model
        .encode(&mut Workspace::default(), &texts, pooling)
        .unwrap()
}

/// All values of a text, row after row.
fn values(encoded: &Encoded, text: usize) -> Vec<f32> {
    encoded.rows(text).flatten().copied().collect()
}

#[track_caller]
fn close(name: &str, got: &[f32], want: &[f32], tolerance: f32) {
    assert_eq!(got.len(), want.len(), "{name}");
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        let distance = (got - want).abs();
        assert!(
            distance <= tolerance,
            "{name}, value {i}: {got}, expected {want}"
        );
    }
}

#[test]
fn encoders_compute_the_reference_rows() {
    let Some(kit) = kit() else { return };
    for family in FAMILY_NAMES {
        let dir = kit.join("models").join(family);
        let want = expected(&dir);
        // Fast rounds activations to 8 bits: of rows with a spread of 1, a few hundredths.
        for (precision, tolerance) in [(Precision::Exact, want.tolerance), (Precision::Fast, 0.1)] {
            for form in ["model.gguf", "hf"] {
                let name = format!("{family} {form} {precision:?}");
                let model = load(&dir.join(form), precision, None);
                let one = |pooling| values(&encode(&model, &[&want.ids], pooling), 0);
                close(&name, &one(Pooling::None), &want.rows, tolerance);
                close(&name, &one(Pooling::Mean), &want.mean, tolerance);
                let cls = want.cls.as_deref();
                let cls = cls.unwrap_or(&want.rows[..want.mean.len()]);
                close(&name, &one(Pooling::Cls), cls, tolerance);
                let last = &want.rows[want.rows.len() - want.mean.len()..];
                close(&name, &one(Pooling::Last), last, tolerance);
                assert_eq!(model.spec().pooling(), Pooling::Mean, "{name}");
                assert!(model.spec().sees_ahead(), "{name}");
            }
        }
    }
}

#[test]
fn texts_of_one_step_do_not_see_each_other() {
    let Some(kit) = kit() else { return };
    for family in FAMILY_NAMES.into_iter().chain(["qwen3"]) {
        let dir = kit.join("models").join(family);
        let file = map_file(&dir.join("expected.safetensors")).unwrap();
        let all = ids(&SafeTensors::from_bytes(file, "expected").unwrap(), "ids").unwrap();
        let model = load(&dir.join("model.gguf"), Precision::Exact, None);
        let texts = [&all[..], &all[..1], &all[5..], &all[2..9]];
        for pooling in [Pooling::None, Pooling::Mean, Pooling::Cls, Pooling::Last] {
            let together = encode(&model, &texts, pooling);
            assert_eq!(together.len(), texts.len());
            for (i, text) in texts.into_iter().enumerate() {
                let alone = encode(&model, &[text], pooling);
                let bits = |e, i| {
                    values(e, i)
                        .into_iter()
                        .map(f32::to_bits)
                        .collect::<Vec<_>>()
                };
                assert_eq!(
                    bits(&together, i),
                    bits(&alone, 0),
                    "{family} {pooling:?} {i}"
                );
            }
        }
    }
}

/// A decoder's rows are those that its logits are made of.
#[test]
fn rows_of_a_decoder_give_its_logits() {
    let Some(kit) = kit() else { return };
    for family in ["qwen3", "gemma3"] {
        let dir = kit.join("models").join(family);
        let want = super::expected(&dir, true, false).unwrap();
        let model = load(&dir.join("model.gguf"), Precision::Exact, None);
        assert_eq!(model.spec().pooling(), Pooling::Last);
        let checkpoint = hearth_format::Checkpoint::open(&dir.join("model.gguf")).unwrap();
        let head = checkpoint.tensor("output.weight");
        let head = head.or(checkpoint.tensor("token_embd.weight")).unwrap();
        let last = values(&encode(&model, &[&want.ids], Pooling::Last), 0);
        let logits: Vec<f32> = head
            .to_f32()
            .chunks_exact(last.len())
            .map(|row| row.iter().zip(&last).map(|(w, x)| w * x).sum())
            .collect();
        close(family, &logits, want.logits.last().unwrap(), want.tolerance);
    }
}
