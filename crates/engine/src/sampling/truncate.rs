//! Samplers that drop the unlikely, or the too likely, and temperature.
//!
//! Definitions: top-p (Holtzman et al. 2019), typical (Meister et al. 2022), min-p (Nguyen et al. 2024), top-n-sigma
//! (Tang et al. 2024), XTC (its author's proposal to text-generation-webui, 2024); edge cases as llama.cpp has them.

use super::candidates::Candidates;

pub(super) fn top_k(c: &mut Candidates, k: usize) {
    if k > 0 {
        c.keep_largest(k);
    }
}

/// The smallest set of the most likely whose shares reach `p`.
pub(super) fn top_p(c: &mut Candidates, p: f32, min_keep: usize) {
    if p < 1.0 {
        c.softmax();
        c.keep_likely(min_keep, |sum| sum >= f64::from(p));
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
        c.keep_largest(min_keep.max(1));
    }
}

/// Those whose surprise is nearest to the expected one, until their shares exceed `p`.
pub(super) fn typical(c: &mut Candidates, p: f32, min_keep: usize) {
    if p < 1.0 {
        c.softmax();
        // A logit and its surprise differ by a constant and the sign: the expected logit has the expected surprise.
        let expected = c
            .list
            .iter()
            .map(|c| f64::from(c.probability) * f64::from(c.logit))
            .sum();
        c.keep_near(expected, min_keep, |sum| sum > f64::from(p));
    }
}

/// Those within `n` standard deviations of the largest logit.
pub(super) fn top_n_sigma(c: &mut Candidates, n: f32) {
    if n <= 0.0 || c.len() == 0 {
        return;
    }
    let count = c.len() as f64;
    let mean = c.list.iter().map(|c| f64::from(c.logit)).sum::<f64>() / count;
    let squares = c.list.iter().map(|c| (f64::from(c.logit) - mean).powi(2));
    let deviation = (squares.sum::<f64>() / count).sqrt();
    let least = f64::from(c.max()) - f64::from(n) * deviation;
    if least.is_finite() {
        c.retain(|c| f64::from(c.logit) >= least);
    }
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
    let reach = c.list.iter().filter(|c| c.probability >= threshold).count();
    let dropped = reach.saturating_sub(1);
    if dropped > 0 && c.len() - dropped >= min_keep {
        c.drop_largest(dropped);
    }
}

/// Divides by `value`; 0 and less leave the most likely alone. With a `range`, the value itself moves from
/// `value - range` to `value + range` with the entropy of what is left.
pub(super) fn temperature(c: &mut Candidates, value: f32, range: f32, exponent: f32) {
    let value = if range > 0.0 {
        dynamic(c, value, range, exponent)
    } else {
        value
    };
    if value > 0.0 {
        c.divide(value);
    } else {
        c.keep_largest(1);
    }
}

fn dynamic(c: &mut Candidates, value: f32, range: f32, exponent: f32) -> f32 {
    if c.len() < 2 {
        return 1.0;
    }
    let (low, high) = ((value - range).max(0.0), value + range);
    c.softmax();
    let shares = c.list.iter().map(|c| f64::from(c.probability));
    let entropy = -shares.filter(|p| *p > 0.0).map(|p| p * p.ln()).sum::<f64>();
    let entropy = entropy / (c.len() as f64).ln();
    low + (high - low) * (entropy as f32).powf(exponent)
}
