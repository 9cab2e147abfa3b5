//! IQ4_NL and IQ4_XS: four-bit codes for sixteen levels that lie denser near zero (format notes 2.3, 2.6, 2.11).

use super::{
    put_half,
    search::{TINY, best_fit, extreme, limit, nearest, sum},
    small::inverse,
};

const LEVELS: [f32; 16] = [
    -127.0, -104.0, -83.0, -65.0, -49.0, -35.0, -22.0, -10.0, 1.0, 13.0, 25.0, 38.0, 53.0, 69.0,
    89.0, 113.0,
];

/// Adds `step` of every pair of neighbouring levels whose middle a value is above. Without branches, so that several
/// values are done at once.
fn steps(value: f32, step: impl Fn(f32, f32) -> f32) -> f32 {
    let mut total = 0.0;
    for pair in LEVELS.windows(2) {
        let (low, high) = (pair[0], pair[1]);
        let above = value > 0.5 * (low + high);
        total += if above { step(low, high) } else { 0.0 };
    }
    total
}

/// The level nearest to a value; the lower of two.
fn nearest_level(value: f32) -> f32 {
    LEVELS[0] + steps(value, |low, high| high - low)
}

/// Its code.
fn nearest_code(value: f32) -> u8 {
    steps(value, |_, _| 1.0) as u8
}

/// The scale for 32 values, with squares as weights: of fifteen first guesses the one whose fit keeps most.
fn scale(x: &[f32; 32]) -> f32 {
    let extreme = extreme(x);
    if extreme.abs() < TINY {
        return 0.0;
    }
    let squares = x.map(|x| x * x);
    best_fit((-7..=7).map(|step| {
        let guess = (step as f32 + LEVELS[0]) / extreme;
        let levels = x.map(|x| nearest_level(guess * x));
        (
            sum::<32>(|i| squares[i] * x[i] * levels[i]),
            sum::<32>(|i| squares[i] * levels[i] * levels[i]),
        )
    }))
}

/// Codes under a scale: value `i` in nibble `i / 16` of byte `i % 16`.
fn put_codes(x: &[f32; 32], scale: f32, qs: &mut [u8]) {
    let inverse = inverse(scale);
    let codes = x.map(|x| nearest_code(x * inverse));
    for (i, q) in qs.iter_mut().enumerate().take(16) {
        *q = codes[i] | codes[i + 16] << 4;
    }
}

pub(super) fn iq4_nl(x: &[f32], out: &mut [u8]) {
    for x in x.as_chunks::<32>().0 {
        let d = put_half(out, 0, scale(x));
        put_codes(x, d, &mut out[2..18]);
    }
}

pub(super) fn iq4_xs(x: &[f32], out: &mut [u8]) {
    let parts = x.as_chunks::<32>().0;
    let mut scales = [0.0; 8];
    for (s, x) in scales.iter_mut().zip(parts) {
        *s = scale(x);
    }
    let step = -extreme(&scales) / 32.0;
    let inverse = inverse(step);
    let d = put_half(out, 0, step);
    let mut high = 0;
    out[4..8].fill(0);
    for (j, x) in parts.iter().enumerate() {
        let code = nearest(limit(scales[j] * inverse, -32.0, 31.0));
        put_codes(x, d * code, &mut out[8 + 16 * j..]);
        let stored = (code + 32.0) as u8;
        out[4 + j / 2] |= (stored & 15) << (4 * (j % 2));
        high |= u16::from(stored >> 4) << (2 * j);
    }
    out[2..4].copy_from_slice(&high.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_level_is_found() {
        for value in -1400..1400 {
            let value = value as f32 / 10.0;
            let distance = |level: &f32| (level - value).abs();
            let least = LEVELS.iter().map(distance).fold(f32::MAX, f32::min);
            let level = nearest_level(value);
            assert_eq!(distance(&level), least, "{value}");
            assert_eq!(LEVELS[usize::from(nearest_code(value))], level, "{value}");
        }
    }
}
