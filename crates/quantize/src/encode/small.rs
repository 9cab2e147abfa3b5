//! Types of 32 values with one scale (format notes 2.3).

use super::{
    put_half,
    search::{bounds, extreme},
};

/// One over a scale, or 0 where there is none.
pub(super) fn inverse(d: f32) -> f32 {
    if d == 0.0 { 0.0 } else { 1.0 / d }
}

/// Writes codes of up to five bits: value `i` into nibble `i / 16` of byte `i % 16`. Returns the fifth bits.
fn put_codes(out: &mut [u8], code: impl Fn(usize) -> u8) -> u32 {
    let mut high = 0;
    for (i, out) in out.iter_mut().enumerate().take(16) {
        let (low, top) = (code(i), code(i + 16));
        *out = (low & 15) | (top & 15) << 4;
        high |= u32::from(low >> 4) << i | u32::from(top >> 4) << (i + 16);
    }
    high
}

/// Codes around `middle`: the value of largest magnitude becomes code 0, so the scale may be negative.
fn symmetric(x: &[f32], middle: f32) -> (f32, impl Fn(usize) -> u8) {
    let d = extreme(x) / -middle;
    let inverse = inverse(d);
    let code = move |i: usize| (x[i] * inverse + middle + 0.5).min(2.0 * middle - 1.0) as u8;
    (d, code)
}

/// Codes from the smallest value up: scale, minimum, codes.
fn affine(x: &[f32], levels: f32) -> (f32, f32, impl Fn(usize) -> u8) {
    let (low, high) = bounds(x);
    let d = (high - low) / levels;
    let inverse = inverse(d);
    let code = move |i: usize| ((x[i] - low) * inverse + 0.5).min(levels) as u8;
    (d, low, code)
}

pub(super) fn q4_0(x: &[f32], out: &mut [u8]) {
    let (d, code) = symmetric(x, 8.0);
    put_half(out, 0, d);
    put_codes(&mut out[2..], code);
}

pub(super) fn q4_1(x: &[f32], out: &mut [u8]) {
    let (d, min, code) = affine(x, 15.0);
    put_half(out, 0, d);
    put_half(out, 2, min);
    put_codes(&mut out[4..], code);
}

pub(super) fn q5_0(x: &[f32], out: &mut [u8]) {
    let (d, code) = symmetric(x, 16.0);
    put_half(out, 0, d);
    let high = put_codes(&mut out[6..], code);
    out[2..6].copy_from_slice(&high.to_le_bytes());
}

pub(super) fn q5_1(x: &[f32], out: &mut [u8]) {
    let (d, min, code) = affine(x, 31.0);
    put_half(out, 0, d);
    put_half(out, 2, min);
    let high = put_codes(&mut out[8..], code);
    out[4..8].copy_from_slice(&high.to_le_bytes());
}

pub(super) fn q8_0(x: &[f32], out: &mut [u8]) {
    let d = extreme(x).abs() / 127.0;
    let inverse = inverse(d);
    put_half(out, 0, d);
    for (x, out) in x.iter().zip(&mut out[2..]) {
        *out = ((x * inverse).round() as i8).cast_unsigned();
    }
}
