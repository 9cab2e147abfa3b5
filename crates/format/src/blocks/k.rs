//! K types: 256 values in sub-blocks whose scales are themselves quantised (format notes 2.4).

use super::{half, nibble};

/// The 2-bit codes of sub-block `j` of 16 values: planes of 32 bytes hold four values to a byte, 32 apart.
pub(super) fn plane(qs: &[u8], j: usize) -> impl Iterator<Item = u8> {
    let shift = 2 * (j % 8 / 2);
    qs[32 * (j / 8) + 16 * (j % 2)..][..16]
        .iter()
        .map(move |byte| (byte >> shift) & 3)
}

/// Scale and min of sub-block `j` of Q4_K and Q5_K, six bits each in twelve bytes.
fn scale_min(s: &[u8], j: usize) -> (u8, u8) {
    if j < 4 {
        (s[j] & 63, s[j + 4] & 63)
    } else {
        (
            (s[j + 4] & 15) | ((s[j - 4] >> 6) << 4),
            (s[j + 4] >> 4) | ((s[j] >> 6) << 4),
        )
    }
}

pub(super) fn q2_k(b: &[u8], out: &mut [f32]) {
    let (d, dmin) = (half(b, 80), half(b, 82));
    for (j, out) in out.chunks_exact_mut(16).enumerate() {
        let (scale, min) = (d * f32::from(b[j] & 15), dmin * f32::from(b[j] >> 4));
        for (out, q) in out.iter_mut().zip(plane(&b[16..80], j)) {
            *out = scale * f32::from(q) - min;
        }
    }
}

pub(super) fn q3_k(b: &[u8], out: &mut [f32]) {
    let (mask, scales, d) = (&b[..32], &b[96..108], half(b, 108));
    for (j, out) in out.chunks_exact_mut(16).enumerate() {
        let low = nibble(scales[j % 8], j / 8);
        let high = (scales[8 + j % 4] >> (2 * (j / 4))) & 3;
        let scale = d * f32::from(i16::from(low | (high << 4)) - 32);
        let mask = &mask[16 * (j % 2)..][..16];
        for ((out, q), mask) in out.iter_mut().zip(plane(&b[32..96], j)).zip(mask) {
            // A set bit means "do not subtract 4".
            let q = i16::from(q | ((mask >> (j / 2)) & 1) << 2) - 4;
            *out = scale * f32::from(q);
        }
    }
}

pub(super) fn q4_k(b: &[u8], out: &mut [f32]) {
    let (d, dmin) = (half(b, 0), half(b, 2));
    for (j, out) in out.chunks_exact_mut(32).enumerate() {
        let (scale, min) = scale_min(&b[4..16], j);
        let (scale, min) = (d * f32::from(scale), dmin * f32::from(min));
        for (out, q) in out.iter_mut().zip(&b[16 + 32 * (j / 2)..]) {
            *out = scale * f32::from(nibble(*q, j % 2)) - min;
        }
    }
}

pub(super) fn q5_k(b: &[u8], out: &mut [f32]) {
    let (d, dmin) = (half(b, 0), half(b, 2));
    for (j, out) in out.chunks_exact_mut(32).enumerate() {
        let (scale, min) = scale_min(&b[4..16], j);
        let (scale, min) = (d * f32::from(scale), dmin * f32::from(min));
        for ((out, q), high) in out.iter_mut().zip(&b[48 + 32 * (j / 2)..]).zip(&b[16..48]) {
            *out = scale * f32::from(nibble(*q, j % 2) + 16 * ((high >> j) & 1)) - min;
        }
    }
}

pub(super) fn q6_k(b: &[u8], out: &mut [f32]) {
    let d = half(b, 208);
    for (j, out) in out.chunks_exact_mut(16).enumerate() {
        // Sub-block j lies in half n; its plane g of 32 values has two sub-blocks.
        let (n, g, first) = (j / 8, j % 8 / 2, 16 * (j % 2));
        let scale = d * f32::from(b[192 + j].cast_signed());
        let low = &b[64 * n + 32 * (g % 2) + first..][..16];
        let high = &b[128 + 32 * n + first..][..16];
        for ((out, low), high) in out.iter_mut().zip(low).zip(high) {
            let q = nibble(*low, g / 2) | ((high >> (2 * g)) & 3) << 4;
            *out = scale * f32::from(i16::from(q) - 32);
        }
    }
}

pub(super) fn q8_k(b: &[u8], out: &mut [f32]) {
    let d = f32::from_le_bytes([b[0], b[1], b[2], b[3]]);
    for (out, q) in out.iter_mut().zip(&b[4..]) {
        *out = d * f32::from(q.cast_signed());
    }
}
