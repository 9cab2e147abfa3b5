//! The keys that say what the model is (format notes 1.5 and 5.0.9).

use hearth_format::{Metadata, Value};
use hearth_model::{Reach, Scaling, base_and_scaling};
use serde_json::Value as Json;

use super::{Origin, sketch};
use crate::{Options, Result, plan::Target, side};

/// The period of full layers among sliding ones that files of gemma3 need not name.
const GEMMA3_PERIOD: usize = 6;

fn text(value: &str) -> Value {
    Value::String(value.as_bytes().into())
}

/// What the model is called and how it is sampled.
pub(super) fn general(origin: &Origin<'_>, options: &Options) -> Result<Metadata> {
    let mut metadata = Metadata::default();
    let mut put = |key: &str, value: Value| metadata.insert(format!("general.{key}"), value);
    put("architecture", text(origin.architecture()));
    put("type", text("model"));
    let name = options.name.clone().unwrap_or_else(|| name(origin));
    put("name", text(&name));
    let recommended = side::json(origin.checkpoint, "generation_config.json")?;
    if let Some(all) = recommended {
        // Without sampling the other numbers mean nothing.
        let greedy = all.get("do_sample") == Some(&Json::Bool(false));
        for (key, own) in [
            ("temp", "temperature"),
            ("top_k", "top_k"),
            ("top_p", "top_p"),
            ("min_p", "min_p"),
            ("penalty_repeat", "repetition_penalty"),
        ] {
            let number = all.get(own).and_then(Json::as_f64);
            match number.filter(|_| !(greedy && own == "temperature")) {
                Some(n) if key == "top_k" => put("sampling.top_k", Value::I32(n as i32)),
                Some(n) => put(&format!("sampling.{key}"), Value::F32(n as f32)),
                None => continue,
            };
        }
    }
    Ok(metadata)
}

/// What the settings call the model, or else the directory.
fn name(origin: &Origin<'_>) -> String {
    let named = origin.checkpoint.config().get("_name_or_path");
    let last = |path: &str| {
        let path = path.trim_end_matches('/');
        let name = path.rsplit('/').next().unwrap_or(path);
        (!name.is_empty() && name != ".").then(|| name.to_owned())
    };
    named
        .and_then(Json::as_str)
        .and_then(last)
        .or_else(|| last(origin.checkpoint.label()))
        .unwrap_or_else(|| origin.family.name.to_owned())
}

/// Sizes, rotation, caps and experts.
pub(super) fn shape(origin: &Origin<'_>, metadata: &mut Metadata) -> Result<()> {
    let (spec, settings) = (&origin.spec, &origin.settings);
    let mut keys = Keys {
        prefix: origin.architecture(),
        metadata,
    };
    keys.count("block_count", spec.layers.len());
    keys.count("context_length", spec.context);
    keys.count("embedding_length", spec.width);
    keys.count("vocab_size", spec.vocab);
    let experts = sketch::experts(spec);
    let dense = settings.integer("", &["intermediate_size"])?;
    let inner = dense.or(experts.map(|e| e.inner)).unwrap_or(0);
    keys.count("feed_forward_length", inner);
    if let Some(experts) = experts {
        keys.count("expert_count", experts.count);
        keys.count("expert_used_count", experts.router.used);
        keys.count("expert_feed_forward_length", experts.inner);
    }
    if let Some(attention) = sketch::attentions(spec).next() {
        keys.count("attention.head_count", attention.heads);
        keys.count("attention.head_count_kv", attention.kv_heads);
        keys.count("attention.key_length", attention.key_dim);
        keys.count("attention.value_length", attention.value_dim);
        if let Some(cap) = attention.soft_cap {
            keys.float("attn_logit_softcapping", cap);
        }
    }
    if let Some(norm) = &spec.output.norm {
        keys.float("attention.layer_norm_rms_epsilon", norm.eps);
    }
    if let Some(pooling) = spec.pooled.declared {
        keys.count("pooling_type", pooling as usize);
    }
    if let Some(cap) = spec.output.soft_cap {
        keys.float("final_logit_softcapping", cap);
    }
    windows(origin, &mut keys)?;
    rotation(origin, &mut keys);
    Ok(())
}

/// Windows, in the families whose files can have them.
fn windows(origin: &Origin<'_>, keys: &mut Keys<'_>) -> Result<()> {
    let architecture = origin.architecture();
    let windows: Vec<_> = sketch::attentions(&origin.spec)
        .map(|a| sketch::window(a.mask))
        .collect();
    // Readers of phi3 want the key, and 0 where there is none.
    let window = windows.iter().flatten().next().copied();
    if let Some(window) = window.or((architecture == "phi3").then_some(0))
        && ["gemma2", "gemma3", "phi3"].contains(&architecture)
    {
        keys.count("attention.sliding_window", window);
    }
    if architecture == "gemma3" {
        let full = windows.iter().position(Option::is_none);
        let period = full.map_or(windows.len() + 1, |i| i + 1);
        if period != GEMMA3_PERIOD {
            keys.count("attention.sliding_window_pattern", period);
        }
        let dims = origin.rotation.dims;
        let (base, _) = base_and_scaling(&origin.settings, Reach::Sliding, dims, 1e4)?;
        keys.float("rope.freq_base_swa", base as f32);
    }
    Ok(())
}

fn rotation(origin: &Origin<'_>, keys: &mut Keys<'_>) {
    let rotation = &origin.rotation;
    keys.count("rope.dimension_count", rotation.dims);
    keys.float("rope.freq_base", rotation.base as f32);
    match &rotation.scaling {
        // The divisors are a tensor.
        Scaling::None | Scaling::Llama3 { .. } => {}
        Scaling::Linear { factor } => {
            keys.put("rope.scaling.type", text("linear"));
            keys.float("rope.scaling.factor", *factor as f32);
        }
        Scaling::Yarn {
            factor,
            original,
            fast,
            slow,
            ..
        } => {
            keys.put("rope.scaling.type", text("yarn"));
            keys.float("rope.scaling.factor", *factor as f32);
            keys.count("rope.scaling.original_context_length", *original as usize);
            if (*fast, *slow) != (32.0, 1.0) {
                keys.float("rope.scaling.yarn_beta_fast", *fast as f32);
                keys.float("rope.scaling.yarn_beta_slow", *slow as f32);
            }
        }
        Scaling::Divisors { magnitude, .. } => {
            keys.count("rope.scaling.original_context_length", original(origin));
            keys.float("rope.scaling.attn_factor", *magnitude as f32);
        }
    }
}

/// The context for which LongRoPE's short factors are.
fn original(origin: &Origin<'_>) -> usize {
    const KEY: &str = "original_max_position_embeddings";
    let settings = &origin.settings;
    let scaling = ["rope_parameters", "rope_scaling"]
        .iter()
        .find_map(|key| settings.json(key));
    let number = scaling
        .and_then(|s| s.get(KEY))
        .or_else(|| settings.json(KEY))
        .and_then(Json::as_u64);
    number.map_or(origin.spec.context, |n| n as usize)
}

/// `general.size_label`: values in all, or of the shared part and one expert, to two digits.
pub(super) fn size_label(origin: &Origin<'_>, targets: &[Target<'_>], metadata: &mut Metadata) {
    let count = |expert: bool| -> u64 {
        let of = targets
            .iter()
            .filter(|t| t.name.contains("_exps.") == expert);
        of.map(Target::values).sum()
    };
    let experts = sketch::experts(&origin.spec).map_or(0, |e| e.count as u64);
    let label = match experts {
        0 => rounded(count(false)),
        n => format!("{n}x{}", rounded(count(false) + count(true) / n)),
    };
    metadata.insert("general.size_label".to_owned(), text(&label));
}

fn rounded(values: u64) -> String {
    let (unit, letter) = match values {
        1_000_000_000_000.. => (1e12, 'T'),
        1_000_000_000.. => (1e9, 'B'),
        1_000_000.. => (1e6, 'M'),
        _ => (1e3, 'K'),
    };
    let n = values as f64 / unit;
    // Two digits that are not a leading zero.
    let decimals = match n {
        9.5.. => 0,
        0.5.. => 1,
        _ => 2,
    };
    format!("{n:.decimals$}{letter}")
}

struct Keys<'m> {
    prefix: &'static str,
    metadata: &'m mut Metadata,
}

impl Keys<'_> {
    fn put(&mut self, key: &str, value: Value) {
        self.metadata
            .insert(format!("{}.{key}", self.prefix), value);
    }

    /// Sizes are far below 2^32: the settings' ranges are checked when they are read.
    fn count(&mut self, key: &str, n: usize) {
        self.put(key, Value::U32(u32::try_from(n).unwrap_or(u32::MAX)));
    }

    fn float(&mut self, key: &str, n: f32) {
        self.put(key, Value::F32(n));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_two_digits() {
        let cases = [
            (39_000, "39K"),
            (494_032_768, "494M"),
            (1_235_814_400, "1.2B"),
            (8_030_261_248, "8.0B"),
            (70_553_706_496, "71B"),
            (300, "0.30K"),
        ];
        for (values, want) in cases {
            assert_eq!(rounded(values), want);
        }
    }
}
