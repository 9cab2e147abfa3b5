//! Frequencies of rotary embeddings under every scaling scheme (format notes 5.0.4).

use std::f64::consts::PI;

use hearth_compute::{Pairing, Rope};
use serde_json::Value as Json;

use crate::{Result, Settings};

/// How the frequencies of a plain rotation are stretched to a longer context.
#[derive(Clone, Debug, PartialEq)]
#[allow(
    missing_docs,
    reason = "the fields are the parameters of the schemes, by their usual names"
)]
pub enum Scaling {
    /// Not at all.
    None,
    /// Every frequency divided by the factor.
    Linear { factor: f64 },
    /// A divisor per pair: `rope_freqs` of a GGUF, or LongRoPE's factors.
    Divisors { values: Vec<f32>, magnitude: f64 },
    /// Low frequencies divided, high ones left, those between in part.
    Llama3 {
        factor: f64,
        low: f64,
        high: f64,
        original: f64,
    },
    /// The same with a ramp over the pairs, and a larger magnitude.
    Yarn {
        factor: f64,
        original: f64,
        fast: f64,
        slow: f64,
        magnitude: Option<f64>,
    },
}

/// Layers that see the whole context, or only a window of it: some models rotate them differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// The whole context.
    Full,
    /// A window.
    Sliding,
}

/// Frequencies of `dims / 2` pairs.
pub(crate) fn rope(pairing: Pairing, dims: usize, base: f64, scaling: &Scaling) -> Rope {
    let pairs = dims / 2;
    let plain = |i: usize| base.powf(-2.0 * i as f64 / dims as f64);
    let frequencies = (0..pairs).map(|i| {
        let f = plain(i);
        let scaled = match scaling {
            Scaling::None => f,
            Scaling::Linear { factor } => f / factor,
            Scaling::Divisors { values, .. } => f / f64::from(values[i]),
            Scaling::Llama3 {
                factor,
                low,
                high,
                original,
            } => {
                let wavelength = 2.0 * PI / f;
                if wavelength < original / high {
                    f
                } else if wavelength > original / low {
                    f / factor
                } else {
                    let smooth = (original / wavelength - low) / (high - low);
                    f * ((1.0 - smooth) / factor + smooth)
                }
            }
            Scaling::Yarn {
                factor,
                original,
                fast,
                slow,
                ..
            } => {
                let corner = |turns: f64| {
                    dims as f64 * (original / (2.0 * PI * turns)).ln() / (2.0 * base.ln())
                };
                let last = dims as f64 - 1.0;
                let start = corner(*fast).floor().clamp(0.0, last);
                let end = corner(*slow).ceil().clamp(0.0, last);
                let ramp = ((i as f64 - start) / (end - start).max(0.001)).clamp(0.0, 1.0);
                f * ((1.0 - ramp) + ramp / factor)
            }
        };
        scaled as f32
    });
    let magnitude = match scaling {
        Scaling::Divisors { magnitude, .. } => *magnitude,
        Scaling::Yarn {
            factor, magnitude, ..
        } => magnitude.unwrap_or(if *factor > 1.0 {
            0.1 * factor.ln() + 1.0
        } else {
            1.0
        }),
        _ => 1.0,
    };
    Rope {
        pairing,
        frequencies: frequencies.collect(),
        magnitude: magnitude as f32,
    }
}

/// Base and scaling that the checkpoint asks for, for heads that rotate `dims` values.
///
/// # Errors
/// When a setting is malformed or names a scheme that is not known.
pub fn base_and_scaling(
    s: &Settings<'_>,
    reach: Reach,
    dims: usize,
    default_base: f64,
) -> Result<(f64, Scaling)> {
    let (base, scaling) = if s.is_gguf() {
        from_gguf(s, reach, default_base)?
    } else {
        from_config(s, reach, default_base)?
    };
    if !(base.is_finite() && base > 0.0) {
        return Err(s.wrong("rope base", base, "a positive number"));
    }
    if let Scaling::Divisors { values, .. } = &scaling
        && (values.len() != dims / 2 || values.iter().any(|v| !(v.is_finite() && *v > 0.0)))
    {
        return Err(s.wrong(
            "rope factors",
            format!("{} values", values.len()),
            format!("{} positive values", dims / 2),
        ));
    }
    Ok((base, scaling))
}

fn from_gguf(s: &Settings<'_>, reach: Reach, default_base: f64) -> Result<(f64, Scaling)> {
    if reach == Reach::Sliding {
        return Ok((
            s.float("rope.freq_base_swa", &[])?
                .map_or(default_base, f64::from),
            Scaling::None,
        ));
    }
    let base = s
        .float("rope.freq_base", &[])?
        .map_or(default_base, f64::from);
    if let Some(values) = s.gguf_values("rope_freqs.weight") {
        return Ok((
            base,
            Scaling::Divisors {
                values,
                magnitude: 1.0,
            },
        ));
    }
    let factor = positive(
        s,
        "rope.scaling.factor",
        s.float("rope.scaling.factor", &[])?
            .or(s.float("rope.scale_linear", &[])?),
    )?;
    let original = s.integer("rope.scaling.original_context_length", &[])?;
    if let (Some(long), Some(short)) = (
        s.gguf_values("rope_factors_long.weight"),
        s.gguf_values("rope_factors_short.weight"),
    ) {
        let context = s.integer("context_length", &[])?.unwrap_or(0);
        let original = original.unwrap_or(context);
        let magnitude = s.float("rope.scaling.attn_factor", &[])?.map(f64::from);
        return Ok((
            base,
            long_rope(s, long, short, original, context, magnitude),
        ));
    }
    let scaling = match (s.gguf_text("rope.scaling.type").as_deref(), factor) {
        (Some("none"), _) | (_, None) => Scaling::None,
        (Some("yarn"), Some(factor)) => Scaling::Yarn {
            factor,
            original: original
                .or(s.integer("context_length", &[])?)
                .unwrap_or(0)
                .max(1) as f64,
            fast: s
                .float("rope.scaling.yarn_beta_fast", &[])?
                .map_or(32.0, f64::from),
            slow: s
                .float("rope.scaling.yarn_beta_slow", &[])?
                .map_or(1.0, f64::from),
            magnitude: None,
        },
        (_, Some(factor)) => Scaling::Linear { factor },
    };
    Ok((base, scaling))
}

fn positive(s: &Settings<'_>, key: &str, value: Option<f32>) -> Result<Option<f64>> {
    match value {
        // A stored 0 means that the writer had no factor.
        None | Some(0.0) => Ok(None),
        Some(v) if v > 0.0 => Ok(Some(f64::from(v))),
        Some(v) => Err(s.wrong(key, v, "a positive number")),
    }
}

fn from_config(s: &Settings<'_>, reach: Reach, default_base: f64) -> Result<(f64, Scaling)> {
    let number =
        |object: Option<&Json>, key: &str| object.and_then(|o| o.get(key)).and_then(Json::as_f64);
    let by_kind = |object: &'_ Json| {
        object.get("full_attention").is_some() || object.get("sliding_attention").is_some()
    };
    let (base, object) = match s.json("rope_parameters") {
        Some(all) if by_kind(all) => {
            let own = all.get(if reach == Reach::Full {
                "full_attention"
            } else {
                "sliding_attention"
            });
            (number(own, "rope_theta"), own)
        }
        Some(all) => (number(Some(all), "rope_theta"), Some(all)),
        None if reach == Reach::Sliding => (
            ["local_rope_theta", "rope_local_base_freq"]
                .iter()
                .find_map(|k| s.json(k))
                .and_then(Json::as_f64),
            None,
        ),
        None => (
            ["global_rope_theta", "rope_theta"]
                .iter()
                .find_map(|k| s.json(k))
                .and_then(Json::as_f64),
            s.json("rope_scaling"),
        ),
    };
    let base = base.unwrap_or(default_base);
    let Some(object) = object else {
        return Ok((base, Scaling::None));
    };
    let kind = object
        .get("rope_type")
        .or_else(|| object.get("type"))
        .and_then(Json::as_str)
        .unwrap_or("default");
    let context = s.integer("", &["max_position_embeddings"])?.unwrap_or(0);
    let original = number(Some(object), "original_max_position_embeddings")
        .or_else(|| {
            s.json("original_max_position_embeddings")
                .and_then(Json::as_f64)
        })
        .unwrap_or(context as f64)
        .max(1.0);
    let factor = number(Some(object), "factor").unwrap_or((context as f64 / original).max(1.0));
    if !(factor.is_finite() && factor > 0.0) {
        return Err(s.wrong("rope_scaling.factor", factor, "a positive number"));
    }
    let scaling = match kind {
        "default" | "none" => Scaling::None,
        "linear" => Scaling::Linear { factor },
        "llama3" => Scaling::Llama3 {
            factor,
            low: number(Some(object), "low_freq_factor").unwrap_or(1.0),
            high: number(Some(object), "high_freq_factor").unwrap_or(4.0),
            original,
        },
        "yarn" => Scaling::Yarn {
            factor,
            original,
            fast: number(Some(object), "beta_fast").unwrap_or(32.0),
            slow: number(Some(object), "beta_slow").unwrap_or(1.0),
            magnitude: yarn_magnitude(object, factor),
        },
        "longrope" | "su" => {
            let factors = |key: &str| -> Result<Vec<f32>> {
                let list = object.get(key).and_then(Json::as_array);
                list.and_then(|l| l.iter().map(|v| v.as_f64().map(|n| n as f32)).collect())
                    .ok_or_else(|| s.wrong(key, "no list of numbers", "one factor per pair"))
            };
            long_rope(
                s,
                factors("long_factor")?,
                factors("short_factor")?,
                original as usize,
                context,
                number(Some(object), "attention_factor"),
            )
        }
        other => {
            return Err(s.wrong(
                "rope_scaling.rope_type",
                other,
                "default, linear, llama3, yarn or longrope",
            ));
        }
    };
    Ok((base, scaling))
}

fn yarn_magnitude(object: &Json, factor: f64) -> Option<f64> {
    let number = |key: &str| object.get(key).and_then(Json::as_f64);
    let grow = |scale: f64| {
        if factor > 1.0 {
            0.1 * scale * factor.ln() + 1.0
        } else {
            1.0
        }
    };
    number("attention_factor")
        .or_else(|| Some(grow(number("mscale")?) / grow(number("mscale_all_dim")?)))
}

/// The factors are chosen once, by the longest context that will be asked for: keys in a cache must not
/// change their rotation when a sequence grows.
fn long_rope(
    s: &Settings<'_>,
    long: Vec<f32>,
    short: Vec<f32>,
    original: usize,
    context: usize,
    magnitude: Option<f64>,
) -> Scaling {
    let limit = s.context_limit.unwrap_or(context);
    let grown = context as f64 / original.max(1) as f64;
    let derived = if grown > 1.0 && original > 1 {
        (1.0 + grown.ln() / (original as f64).ln()).sqrt()
    } else {
        1.0
    };
    Scaling::Divisors {
        values: if limit > original { long } else { short },
        magnitude: magnitude.unwrap_or(derived),
    }
}
