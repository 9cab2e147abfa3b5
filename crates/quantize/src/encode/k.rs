//! K types: 256 values in sub-blocks, whose scales are searched one by one and then quantised together; codes are
//! those that are nearest under the scales as they are stored (format notes 2.4, 2.11).

use super::{
    put_half,
    search::{
        Stored, Trials, extreme, nearest, scale, scale_and_minimum, scale_by_descent, settle, sum,
    },
    small::inverse,
};

/// The sub-blocks of a block.
fn parts<const N: usize>(x: &[f32]) -> &[[f32; N]] {
    x.as_chunks::<N>().0
}

/// The code nearest to a value, from `low` to `high`, where codes are `step` apart.
fn nearest_code(value: f32, step: f32, low: f32, high: f32) -> i8 {
    nearest((value * inverse(step)).clamp(low, high)) as i8
}

/// Unsigned scales or minima of a block as numbers up to `levels`, and the f32 that one step stands for.
fn steps<const N: usize>(values: [f32; N], levels: f32) -> (f32, [u8; N]) {
    let largest = values.iter().copied().fold(0.0, f32::max);
    let to_step = levels * inverse(largest);
    (
        largest / levels,
        values.map(|v| nearest((v * to_step).clamp(0.0, levels)) as u8),
    )
}

/// Signed scales of a block as numbers from `-levels` to `levels - 1`, the one of largest magnitude as `-levels`, and
/// the f32 that one step stands for.
fn signed_steps<const N: usize>(values: [f32; N], levels: f32) -> (f32, [i8; N]) {
    let largest = extreme(&values);
    let to_step = -levels * inverse(largest);
    (
        inverse(to_step),
        values.map(|v| nearest((v * to_step).clamp(-levels, levels - 1.0)) as i8),
    )
}

/// Two-bit codes in planes of 32 bytes: four values to a byte, 32 apart.
fn put_planes(qs: &mut [u8], codes: &[u8; 256]) {
    for (qs, codes) in qs.chunks_exact_mut(32).zip(codes.as_chunks::<128>().0) {
        for (i, q) in qs.iter_mut().enumerate() {
            *q = (0..4).fold(0, |byte, plane| {
                byte | (codes[32 * plane + i] & 3) << (2 * plane)
            });
        }
    }
}

/// Searches scales and minima of `N` sub-blocks of `M` values, stores the two steps, and settles on whole numbers of
/// them: returned with what the steps stand for.
fn scales_and_minima<const N: usize, const M: usize>(
    x: &[f32],
    weights: impl Fn(&[f32; M]) -> [f32; M],
    trials: &Trials,
    most: u8,
    mut put_steps: impl FnMut(f32, f32) -> (f32, f32),
) -> ((f32, f32), [Stored; N]) {
    let x: &[[f32; M]] = parts(x);
    let (mut scales, mut minima) = ([0.0; N], [0.0; N]);
    for (j, x) in x.iter().enumerate() {
        (scales[j], minima[j]) = scale_and_minimum(x, &weights(x), trials);
    }
    let (d, scales) = steps(scales, f32::from(most));
    let (dmin, minima) = steps(minima, f32::from(most));
    let units = put_steps(d, dmin);
    let settled = std::array::from_fn(|j| {
        let first = Stored {
            scale: scales[j],
            minimum: minima[j],
        };
        settle(&x[j], &weights(&x[j]), trials, units, most, first)
    });
    (units, settled)
}

pub(super) fn q2_k(x: &[f32], out: &mut [u8]) {
    const TRIALS: Trials = Trials {
        levels: 3.0,
        first: -0.5,
        steps: 15,
        absolute: true,
    };
    let weights = |x: &[f32; 16]| x.map(f32::abs);
    let ((d, dmin), stored) = scales_and_minima::<16, 16>(x, weights, &TRIALS, 15, |d, dmin| {
        (put_half(out, 80, d), put_half(out, 82, dmin))
    });
    let mut codes = [0; 256];
    for (j, (x, codes)) in parts::<16>(x)
        .iter()
        .zip(codes.as_chunks_mut::<16>().0)
        .enumerate()
    {
        let Stored { scale, minimum } = stored[j];
        out[j] = scale | minimum << 4;
        let (step, min) = (d * f32::from(scale), dmin * f32::from(minimum));
        *codes = x.map(|x| nearest_code(x + min, step, 0.0, 3.0) as u8);
    }
    put_planes(&mut out[16..80], &codes);
}

pub(super) fn q3_k(x: &[f32], out: &mut [u8]) {
    let mut scales = [0.0; 16];
    for (scale, x) in scales.iter_mut().zip(parts::<16>(x)) {
        *scale = scale_by_descent(x, 4.0);
    }
    let (d, scales) = signed_steps(scales, 32.0);
    let d = put_half(out, 108, d);
    let mut codes = [0; 256];
    for ((x, codes), s) in parts::<16>(x)
        .iter()
        .zip(codes.as_chunks_mut::<16>().0)
        .zip(scales)
    {
        *codes = x.map(|x| (nearest_code(x, d * f32::from(s), -4.0, 3.0) + 4) as u8);
    }
    let (mask, rest) = out.split_at_mut(32);
    for (i, mask) in mask.iter_mut().enumerate() {
        *mask = (0..8).fold(0, |byte, bit| byte | (codes[32 * bit + i] >> 2) << bit);
    }
    put_planes(&mut rest[..64], &codes);
    // Six bits each: the low four of scales j and j + 8 in byte j, the high two in the last four bytes.
    let packed = &mut rest[64..76];
    packed.fill(0);
    for (j, s) in scales.iter().enumerate() {
        let s = (s + 32) as u8;
        packed[j % 8] |= (s & 15) << (4 * (j / 8));
        packed[8 + j % 4] |= (s >> 4) << (2 * (j / 4));
    }
}

/// Scales and minima of Q4_K and Q5_K: stored, and as `(scale, minimum)` of each sub-block.
fn put_scales_and_minima(x: &[f32], out: &mut [u8], trials: &Trials) -> [(f32, f32); 8] {
    let weights = |x: &[f32; 32]| {
        let size = (sum::<32>(|i| x[i] * x[i]) / 32.0).sqrt();
        x.map(|x| size + x.abs())
    };
    let ((d, dmin), stored) = scales_and_minima::<8, 32>(x, weights, trials, 63, |d, dmin| {
        (put_half(out, 0, d), put_half(out, 2, dmin))
    });
    let packed = &mut out[4..16];
    for j in 0..4 {
        let (low, high) = (stored[j], stored[j + 4]);
        packed[j] = low.scale | (high.scale >> 4) << 6;
        packed[j + 4] = low.minimum | (high.minimum >> 4) << 6;
        packed[j + 8] = (high.scale & 15) | (high.minimum & 15) << 4;
    }
    stored.map(|s| (d * f32::from(s.scale), dmin * f32::from(s.minimum)))
}

/// Codes under scales and minima, up to `levels`.
fn affine_codes(x: &[f32], scales: [(f32, f32); 8], levels: f32) -> [u8; 256] {
    let mut codes = [0; 256];
    for ((x, codes), (step, min)) in parts::<32>(x)
        .iter()
        .zip(codes.as_chunks_mut::<32>().0)
        .zip(scales)
    {
        *codes = x.map(|x| nearest_code(x + min, step, 0.0, levels) as u8);
    }
    codes
}

/// Low nibbles of sub-block `2 n`, high nibbles of `2 n + 1`.
fn put_nibbles(qs: &mut [u8], codes: &[u8; 256]) {
    for (qs, codes) in qs.chunks_exact_mut(32).zip(codes.as_chunks::<64>().0) {
        for (i, q) in qs.iter_mut().enumerate() {
            *q = (codes[i] & 15) | (codes[i + 32] & 15) << 4;
        }
    }
}

pub(super) fn q4_k(x: &[f32], out: &mut [u8]) {
    const TRIALS: Trials = Trials {
        levels: 15.0,
        first: -1.0,
        steps: 20,
        absolute: false,
    };
    let scales = put_scales_and_minima(x, out, &TRIALS);
    put_nibbles(&mut out[16..144], &affine_codes(x, scales, 15.0));
}

pub(super) fn q5_k(x: &[f32], out: &mut [u8]) {
    const TRIALS: Trials = Trials {
        levels: 31.0,
        first: -0.5,
        steps: 15,
        absolute: false,
    };
    let scales = put_scales_and_minima(x, out, &TRIALS);
    let codes = affine_codes(x, scales, 31.0);
    for (i, high) in out[16..48].iter_mut().enumerate() {
        *high = (0..8).fold(0, |byte, j| byte | (codes[32 * j + i] >> 4) << j);
    }
    put_nibbles(&mut out[48..176], &codes);
}

pub(super) fn q6_k(x: &[f32], out: &mut [u8]) {
    let mut scales = [0.0; 16];
    for (s, x) in scales.iter_mut().zip(parts::<16>(x)) {
        *s = scale(x, 32.0);
    }
    let (d, scales) = signed_steps(scales, 128.0);
    let d = put_half(out, 208, d);
    let mut codes = [0; 256];
    for (j, (x, codes)) in parts::<16>(x)
        .iter()
        .zip(codes.as_chunks_mut::<16>().0)
        .enumerate()
    {
        out[192 + j] = scales[j].cast_unsigned();
        *codes = x.map(|x| {
            let code = nearest_code(x, d * f32::from(scales[j]), -32.0, 31.0);
            (code + 32) as u8
        });
    }
    // Halves of 128 values; four planes of 32, two of them to a nibble, all four to two bits.
    for (half, codes) in codes.as_chunks::<128>().0.iter().enumerate() {
        for i in 0..32 {
            let q: [u8; 4] = std::array::from_fn(|plane| codes[32 * plane + i]);
            out[64 * half + i] = (q[0] & 15) | (q[2] & 15) << 4;
            out[64 * half + 32 + i] = (q[1] & 15) | (q[3] & 15) << 4;
            out[128 + 32 * half + i] =
                (0..4).fold(0, |byte, plane| byte | (q[plane] >> 4) << (2 * plane));
        }
    }
}
