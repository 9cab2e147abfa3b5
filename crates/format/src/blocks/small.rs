//! Types of one scale per 16 to 256 values without super-blocks (format notes 2.3, 2.5, 2.7).

use super::{grids::signed, half, k::plane, nibble, u32_at};

/// The levels of IQ4_NL and IQ4_XS.
pub(super) const NONLINEAR: [i8; 16] = [
    -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113,
];

/// Twice the values of E2M1.
const FP4_DOUBLED: [i8; 16] = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];

/// Element `i` of 32 lies in byte `i % 16`, low nibbles first.
pub(super) fn nibbles(qs: &[u8], out: &mut [f32], value: impl Fn(usize, u8) -> f32) {
    let (Some(qs), Some(out)) = (qs.first_chunk::<16>(), out.first_chunk_mut::<32>()) else {
        unreachable!("blocks are whole")
    };
    let (low, high) = out.split_at_mut(16);
    for (i, (out, q)) in low.iter_mut().zip(qs).enumerate() {
        *out = value(i, q & 15);
    }
    for (i, (out, q)) in high.iter_mut().zip(qs).enumerate() {
        *out = value(i + 16, q >> 4);
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
    for (s, out) in out.chunks_exact_mut(16).enumerate() {
        let d = ue4m3(b[s]) * 0.5;
        for (high, out) in out.chunks_exact_mut(8).enumerate() {
            for (out, q) in out.iter_mut().zip(&b[4 + 8 * s..][..8]) {
                *out = f32::from(FP4_DOUBLED[usize::from(nibble(*q, high))]) * d;
            }
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
    for (j, out) in out.chunks_exact_mut(16).enumerate() {
        for (out, q) in out.iter_mut().zip(plane(&b[..64], j)) {
            *out = f32::from(i16::from(q) - 1) * d;
        }
    }
}

pub(super) fn tq1_0(b: &[u8], out: &mut [f32]) {
    let d = half(b, 52);
    // Bytes and the digits that they hold; digit n of all bytes of a part comes before digit n + 1 of any.
    let mut rest = out;
    for (part, digits) in [(0..32, 5), (32..48, 5), (48..52, 4)] {
        for power in &[1u8, 3, 9, 27, 81][..digits] {
            let (out, after) = rest.split_at_mut(part.len());
            for (out, byte) in out.iter_mut().zip(&b[part.clone()]) {
                let digit = (u16::from(byte.wrapping_mul(*power)) * 3) >> 8;
                *out = f32::from(digit.cast_signed() - 1) * d;
            }
            rest = after;
        }
    }
}

pub(super) fn q1_0(b: &[u8], out: &mut [f32]) {
    let d = half(b, 0);
    for (out, byte) in out.as_chunks_mut::<8>().0.iter_mut().zip(&b[2..]) {
        for (i, out) in out.iter_mut().enumerate() {
            *out = signed(d, !byte, i);
        }
    }
}

pub(super) fn q2_0(b: &[u8], out: &mut [f32]) {
    let d = half(b, 0);
    for (out, byte) in out.as_chunks_mut::<4>().0.iter_mut().zip(&b[2..]) {
        for (i, out) in out.iter_mut().enumerate() {
            *out = f32::from(i16::from((byte >> (2 * i)) & 3) - 1) * d;
        }
    }
}
