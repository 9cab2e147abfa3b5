//! Samplers that drop the unlikely, or the too likely, and temperature.
//!
//! Definitions: top-p (Holtzman et al. 2019), typical (Meister et al. 2022), min-p (Nguyen et al. 2024), top-n-sigma
//! (Tang et al. 2024), XTC (its author's proposal to text-generation-webui, 2024); edge cases as llama.cpp has them.

use super::candidates::Candidates;

/// Candidates that are put in order at a time while a prefix is looked for.
const STRIDE: usize = 64;

pub(super) fn top_k(c: &mut Candidates, k: usize) {
    if k > 0 {
        c.sort_first(k);
        c.truncate(k);
    }
}

/// The smallest set of the most likely whose shares reach `p`.
pub(super) fn top_p(c: &mut Candidates, p: f32, min_keep: usize) {
    if p >= 1.0 {
        return;
    }
    c.softmax();
    let (mut sum, mut ordered) = (0.0f64, 0);
    for i in 0..c.len() {
        if i == ordered {
            ordered = (2 * ordered).max(STRIDE);
            c.sort_first(ordered);
        }
        sum += f64::from(c.list[i].probability);
        if sum >= f64::from(p) && i + 1 >= min_keep {
            return c.truncate(i + 1);
        }
    }
}

/// Those at least `p` times as likely as the most likely.
pub(super) fn min_p(c: &mut Candidates, p: f32, min_keep: usize) {
    if p <= 0.0 {
        return;
    }
    let least = c.max() + p.ln();
    let survivors = c.list.iter().filter(|c| c.logit >= least).count();
    if survivors >= min_keep.max(1) {
        c.retain(|c| c.logit >= least);
    } else {
        c.sort_first(min_keep.max(1));
        c.truncate(min_keep.max(1));
    }
}

/// Those whose surprise is nearest to the expected one, until their shares exceed `p`.
pub(super) fn typical(c: &mut Candidates, p: f32, min_keep: usize) {
    if p >= 1.0 {
        return;
    }
    c.softmax();
    let surprise = |share: f32| -f64::from(share).ln();
    let entropy: f64 = c
        .list
        .iter()
        .filter(|c| c.probability > 0.0)
        .map(|c| f64::from(c.probability) * surprise(c.probability))
        .sum();
    let distance = |share: f32| (surprise(share) - entropy).abs();
    c.list
        .sort_by(|a, b| distance(a.probability).total_cmp(&distance(b.probability)));
    c.disordered();
    let mut sum = 0.0f64;
    let reached = c.list.iter().enumerate().position(|(i, c)| {
        sum += f64::from(c.probability);
        sum > f64::from(p) && i + 1 >= min_keep
    });
    if let Some(last) = reached {
        c.truncate(last + 1);
    }
}

/// Those within `n` standard deviations of the largest logit.
pub(super) fn top_n_sigma(c: &mut Candidates, n: f32) {
    if n <= 0.0 || c.len() == 0 {
        return;
    }
    let count = c.len() as f64;
    let mean = c.list.iter().map(|c| f64::from(c.logit)).sum::<f64>() / count;
    let variance = c
        .list
        .iter()
        .map(|c| (f64::from(c.logit) - mean).powi(2))
        .sum::<f64>()
        / count;
    let least = f64::from(c.max()) - f64::from(n) * variance.sqrt();
    c.retain(|c| f64::from(c.logit) >= least);
}

/// Drops all that reach `threshold` but the least likely of them, when `draw` is below `probability`.
pub(super) fn xtc(
    c: &mut Candidates,
    probability: f32,
    threshold: f32,
    min_keep: usize,
    draw: f64,
) {
    if probability <= 0.0 || threshold > 0.5 || c.len() < 2 || draw >= f64::from(probability) {
        return;
    }
    c.softmax();
    // No more than 1 / threshold can reach it; more are put in order where they are few anyway.
    let few = if threshold > 0.0 {
        (1.0 / threshold) as usize + 1
    } else {
        c.len()
    };
    c.sort_first(few.saturating_add(1));
    let reach = c
        .list
        .iter()
        .take_while(|c| c.probability >= threshold)
        .count();
    let dropped = reach.saturating_sub(1);
    if dropped > 0 && c.len() - dropped >= min_keep {
        c.drop_first(dropped);
    }
}

/// Divides by `value`; 0 and less leave the most likely alone. With a `range`, the value itself moves from
/// `value - range` to `value + range` with the entropy of what is left.
pub(super) fn temperature(c: &mut Candidates, value: f32, range: f32, exponent: f32) {
    if value <= 0.0 && range <= 0.0 {
        c.sort_first(1);
        return c.truncate(1);
    }
    let value = if range > 0.0 {
        dynamic(c, value, range, exponent)
    } else {
        Some(value)
    };
    match value {
        Some(value) if value > 0.0 => c
            .list
            .iter_mut()
            .for_each(|c| c.logit = (c.logit / value).clamp(f32::MIN, f32::MAX)),
        Some(_) => {
            c.sort_first(1);
            c.truncate(1);
        }
        None => {}
    }
}

fn dynamic(c: &mut Candidates, value: f32, range: f32, exponent: f32) -> Option<f32> {
    if c.len() < 2 {
        return None;
    }
    let (low, high) = ((value - range).max(0.0), value + range);
    c.softmax();
    let shares = c
        .list
        .iter()
        .map(|c| f64::from(c.probability))
        .filter(|p| *p > 0.0);
    let entropy = -shares.map(|p| p * p.ln()).sum::<f64>() / (c.len() as f64).ln();
    Some(low + (high - low) * (entropy as f32).powf(exponent))
}
