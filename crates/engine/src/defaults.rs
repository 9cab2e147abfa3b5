//! Sampler settings that a model recommends.

use hearth_format::{Checkpoint, Source};
use serde_json::Value;

use crate::sampling::Settings;

/// `settings`, with what the checkpoint recommends in their place: `general.sampling.*` of a GGUF,
/// `generation_config.json` of a directory.
pub fn recommended(checkpoint: &Checkpoint, mut settings: Settings) -> Settings {
    if checkpoint.source == Source::Gguf {
        let number = |key: &str| {
            checkpoint
                .metadata()
                .float(&format!("general.sampling.{key}"))
        };
        apply(
            &mut settings,
            number("temp"),
            number("top_k"),
            number("top_p"),
            number("min_p"),
            number("penalty_repeat"),
        );
    } else if let Some(config) = generation_config(checkpoint) {
        let number = |key: &str| config.get(key).and_then(Value::as_f64);
        // Without sampling the other numbers mean nothing.
        let greedy = config.get("do_sample") == Some(&Value::Bool(false));
        let temperature = if greedy { None } else { number("temperature") };
        apply(
            &mut settings,
            temperature,
            number("top_k"),
            number("top_p"),
            number("min_p"),
            number("repetition_penalty"),
        );
    }
    settings
}

fn generation_config(checkpoint: &Checkpoint) -> Option<Value> {
    let text = std::fs::read(checkpoint.side_file("generation_config.json")?).ok()?;
    serde_json::from_slice(&text).ok()
}

/// Values outside their range are left at the default.
fn apply(
    s: &mut Settings,
    temperature: Option<f64>,
    top_k: Option<f64>,
    top_p: Option<f64>,
    min_p: Option<f64>,
    repeat: Option<f64>,
) {
    let set = |to: &mut f32, value: Option<f64>, range: std::ops::RangeInclusive<f64>| {
        if let Some(value) = value.filter(|v| range.contains(v)) {
            *to = value as f32;
        }
    };
    set(&mut s.temperature, temperature, 0.0..=100.0);
    set(&mut s.top_p, top_p, 0.0..=1.0);
    set(&mut s.min_p, min_p, 0.0..=1.0);
    set(&mut s.repeat_penalty, repeat, 0.1..=10.0);
    if let Some(k) = top_k.filter(|k| (0.0..=1e9).contains(k)) {
        s.top_k = k as usize;
    }
}
