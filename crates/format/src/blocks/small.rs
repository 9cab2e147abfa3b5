//! Types of one scale per 16 to 256 values without super-blocks (format notes 2.3, 2.5, 2.7).

use super::{half, nibble, u32_at};

/// The levels of IQ4_NL and IQ4_XS.
pub(super) const NONLINEAR: [i8; 16] = [
    -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113,
];

/// Twice the values of E2M1.
const FP4_DOUBLED: [i8; 16] = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];

/// Element `i` of 32 lies in byte `i % 16`, low nibbles first.
fn nibbles(qs: &[u8], out: &mut [f32], value: impl Fn(usize, u8) -> f32) {
    for i in 0..16 {
        out[i] = value(i, qs[i] & 15);
        out[i + 16] = value(i + 16, qs[i] >> 4);
    }
}

pub(super) fn q4_0(b: &[u8], out: &mut [f32]) {
    let d = half(b, 0);
    nibbles(&b[2..], out, |_, q| f32::from(i16::from(q) - 8) * d);
}

pub(super) fn q4_1(b: &[u8], out: &mut [f32]) {
    let (d, m) = (half(b, 0), half(b, 2));
    nibbles(&b[4..], out, |_, q| f32::from(q) * d + m);
}

pub(super) fn q5_0(b: &[u8], out: &mut [f32]) {
    let (d, high) = (half(b, 0), u32_at(b, 2));
    nibbles(&b[6..], out, |i, q| {
        (i32::from(q) + 16 * ((high >> i) & 1) as i32 - 16) as f32 * d
    });
}

pub(super) fn q5_1(b: &[u8], out: &mut [f32]) {
    let (d, m, high) = (half(b, 0), half(b, 2), u32_at(b, 4));
    nibbles(&b[8..], out, |i, q| {
        (u32::from(q) + 16 * ((high >> i) & 1)) as f32 * d + m
    });
}

pub(super) fn q8_0(b: &[u8], out: &mut [f32]) {
    let d = half(b, 0);
    for (out, q) in out.iter_mut().zip(&b[2..]) {
        *out = f32::from(q.cast_signed()) * d;
    }
}

pub(super) fn iq4_nl(b: &[u8], out: &mut [f32]) {
    let d = half(b, 0);
    nibbles(&b[2..], out, |_, q| {
        d * f32::from(NONLINEAR[usize::from(q)])
    });
}

pub(super) fn mxfp4(b: &[u8], out: &mut [f32]) {
    // 2^(e - 128), since the levels are doubled; the two smallest are subnormal.
    let d = match b[0] {
        e @ 0..=1 => f32::from_bits(0x0020_0000 << e),
        e => f32::from_bits((u32::from(e) - 1) << 23),
    };
    nibbles(&b[1..], out, |_, q| {
        f32::from(FP4_DOUBLED[usize::from(q)]) * d
    });
}

pub(super) fn nvfp4(b: &[u8], out: &mut [f32]) {
    for s in 0..4 {
        let d = ue4m3(b[s]) * 0.5;
        for k in 0..16 {
            out[16 * s + k] =
                f32::from(FP4_DOUBLED[usize::from(nibble(b[4 + 8 * s + k % 8], k / 8))]) * d;
        }
    }
}

/// E4M3 without a sign; 0 and the NaN code are 0.
fn ue4m3(byte: u8) -> f32 {
    let (exponent, mantissa) = (i32::from(byte >> 3) & 15, f32::from(byte & 7));
    match byte & 0x7F {
        0 | 0x7F => 0.0,
        _ if exponent == 0 => mantissa / 512.0,
        _ => (1.0 + mantissa / 8.0) * ((exponent - 7) as f32).exp2(),
    }
}

pub(super) fn tq2_0(b: &[u8], out: &mut [f32]) {
    let d = half(b, 64);
    for (i, out) in out.iter_mut().enumerate() {
        let q = (b[32 * (i / 128) + i % 32] >> (2 * (i % 128 / 32))) & 3;
        *out = f32::from(i16::from(q) - 1) * d;
    }
}

pub(super) fn tq1_0(b: &[u8], out: &mut [f32]) {
    let d = half(b, 52);
    for (i, out) in out.iter_mut().enumerate() {
        let (byte, digit) = match i {
            0..160 => (b[i % 32], i / 32),
            160..240 => (b[32 + (i - 160) % 16], (i - 160) / 16),
            _ => (b[48 + (i - 240) % 4], (i - 240) / 4),
        };
        let shifted = byte.wrapping_mul([1, 3, 9, 27, 81][digit]);
        *out = f32::from(((u16::from(shifted) * 3) >> 8) as i16 - 1) * d;
    }
}

pub(super) fn q1_0(b: &[u8], out: &mut [f32]) {
    let d = half(b, 0);
    for (i, out) in out.iter_mut().enumerate() {
        *out = if (b[2 + i / 8] >> (i % 8)) & 1 == 1 {
            d
        } else {
            -d
        };
    }
}

pub(super) fn q2_0(b: &[u8], out: &mut [f32]) {
    let d = half(b, 0);
    for (i, out) in out.iter_mut().enumerate() {
        *out = f32::from(i16::from((b[2 + i / 4] >> (2 * (i % 4))) & 3) - 1) * d;
    }
}
