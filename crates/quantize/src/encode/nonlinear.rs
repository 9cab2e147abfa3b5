//! IQ4_NL and IQ4_XS: four-bit codes for sixteen levels that lie denser near zero (format notes 2.3, 2.6, 2.11).

use super::{
    put_half,
    search::{TINY, best_fit, extreme, nearest, sum},
    small::inverse,
};

const LEVELS: [i8; 16] = [
    -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113,
];

/// The code whose level is nearest; the lower of two.
fn nearest_level(value: f32) -> u8 {
    let above = LEVELS.partition_point(|level| f32::from(*level) <= value);
    if above == 0 {
        return 0;
    }
    let level = |code: usize| f32::from(LEVELS[code]);
    let nearer_above = above < 16 && level(above) - value < value - level(above - 1);
    (if nearer_above { above } else { above - 1 }) as u8
}

/// The scale for 32 values, with squares as weights: of fifteen first guesses the one whose fit keeps most.
fn scale(x: &[f32; 32]) -> f32 {
    let extreme = extreme(x);
    if extreme.abs() < TINY {
        return 0.0;
    }
    best_fit((-7..=7).map(|step| {
        let guess = (step as f32 + f32::from(LEVELS[0])) / extreme;
        let levels = x.map(|x| f32::from(LEVELS[usize::from(nearest_level(guess * x))]));
        (
            sum::<32>(|i| x[i] * x[i] * x[i] * levels[i]),
            sum::<32>(|i| x[i] * x[i] * levels[i] * levels[i]),
        )
    }))
}

/// Codes under a scale: value `i` in nibble `i / 16` of byte `i % 16`.
fn put_codes(x: &[f32; 32], scale: f32, qs: &mut [u8]) {
    let inverse = inverse(scale);
    for (i, q) in qs.iter_mut().enumerate().take(16) {
        *q = nearest_level(x[i] * inverse) | nearest_level(x[i + 16] * inverse) << 4;
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
        let code = nearest((scales[j] * inverse).clamp(-32.0, 31.0));
        put_codes(x, d * code, &mut out[8 + 16 * j..]);
        let stored = (code + 32.0) as u8;
        out[4 + j / 2] |= (stored & 15) << (4 * (j % 2));
        high |= u16::from(stored >> 4) << (2 * j);
    }
    out[2..4].copy_from_slice(&high.to_le_bytes());
}
