//! K types: 256 values in sub-blocks whose scales are themselves quantised (format notes 2.4).

use super::{half, nibble};

/// The 2-bit code of element `i`: planes of 32 bytes, four elements to a byte.
fn plane(qs: &[u8], i: usize) -> u8 {
    (qs[32 * (i / 128) + i % 32] >> (2 * (i % 128 / 32))) & 3
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
        for (k, out) in out.iter_mut().enumerate() {
            *out = scale * f32::from(plane(&b[16..80], 16 * j + k)) - min;
        }
    }
}

pub(super) fn q3_k(b: &[u8], out: &mut [f32]) {
    let (mask, scales, d) = (&b[..32], &b[96..108], half(b, 108));
    for (j, out) in out.chunks_exact_mut(16).enumerate() {
        let low = nibble(scales[j % 8], j / 8);
        let high = (scales[8 + j % 4] >> (2 * (j / 4))) & 3;
        let scale = d * f32::from(i16::from(low | (high << 4)) - 32);
        for (k, out) in out.iter_mut().enumerate() {
            let i = 16 * j + k;
            let below = if (mask[i % 32] >> (i / 32)) & 1 == 1 {
                0
            } else {
                4
            };
            *out = scale * f32::from(i16::from(plane(&b[32..96], i)) - below);
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
    for (i, out) in out.iter_mut().enumerate() {
        let (n, g, l) = (i / 128, i % 128 / 32, i % 32);
        let low = nibble(b[64 * n + 32 * (g % 2) + l], g / 2);
        let high = (b[128 + 32 * n + l] >> (2 * g)) & 3;
        let q = i16::from(low | (high << 4)) - 32;
        *out = d * f32::from(b[192 + i / 16].cast_signed()) * f32::from(q);
    }
}

pub(super) fn q8_k(b: &[u8], out: &mut [f32]) {
    let d = f32::from_le_bytes([b[0], b[1], b[2], b[3]]);
    for (out, q) in out.iter_mut().zip(&b[4..]) {
        *out = d * f32::from(q.cast_signed());
    }
}
