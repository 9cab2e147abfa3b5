//! IQ types: cells of a lattice, signs, and a scale per 16 or 32 values (format notes 2.6).

use super::{
    grids::{IQ1S, IQ2S, IQ2XS, IQ2XXS, IQ3S, IQ3XXS, even_signs, signed},
    half, nibble,
    plain::half_to_f32,
    small::{NONLINEAR, nibbles},
    u16_at, u32_at,
};

/// Writes the levels of one grid point, each with its sign: bit `j` of `signs` for value `j`.
fn cell<const DIM: usize>(out: &mut [f32; DIM], scale: f32, levels: &[i8; DIM], signs: u8) {
    for (j, (out, level)) in out.iter_mut().zip(levels).enumerate() {
        *out = signed(scale * f32::from(*level), signs, j);
    }
}

/// Writes two points of four as one cell of eight.
fn pair(out: &mut [f32; 8], scale: f32, points: [&[i8; 4]; 2], signs: u8) {
    for (half, out) in out.as_chunks_mut::<4>().0.iter_mut().enumerate() {
        cell(out, scale, points[half], signs >> (4 * half));
    }
}

/// Cells of eight with their group `g` of 32 and place `l` in it.
fn cells(out: &mut [f32]) -> impl Iterator<Item = (usize, usize, &mut [f32; 8])> {
    out.as_chunks_mut::<8>()
        .0
        .iter_mut()
        .enumerate()
        .map(|(c, out)| (c / 4, c % 4, out))
}

pub(super) fn iq2_xxs(b: &[u8], out: &mut [f32]) {
    let d = half(b, 0);
    for (g, l, out) in cells(out) {
        let at = 2 + 8 * g;
        let word = u32_at(b, at + 4);
        let scale = d * (0.5 + (word >> 28) as f32) * 0.25;
        cell(
            out,
            scale,
            &IQ2XXS[usize::from(b[at + l])],
            even_signs(word >> (7 * l)),
        );
    }
}

pub(super) fn iq2_xs(b: &[u8], out: &mut [f32]) {
    let d = half(b, 0);
    for (g, l, out) in cells(out) {
        let word = u16_at(b, 2 + 2 * (4 * g + l));
        let scale = d * (0.5 + f32::from(nibble(b[66 + g], l / 2))) * 0.25;
        cell(
            out,
            scale,
            &IQ2XS[usize::from(word & 511)],
            even_signs(u32::from(word >> 9)),
        );
    }
}

pub(super) fn iq2_s(b: &[u8], out: &mut [f32]) {
    let d = half(b, 0);
    for (g, l, out) in cells(out) {
        let c = 4 * g + l;
        let index = usize::from(b[2 + c]) | (usize::from(b[66 + g] >> (2 * l)) & 3) << 8;
        let scale = d * (0.5 + f32::from(nibble(b[74 + g], l / 2))) * 0.25;
        cell(out, scale, &IQ2S[index], b[34 + c]);
    }
}

pub(super) fn iq3_xxs(b: &[u8], out: &mut [f32]) {
    let d = half(b, 0);
    for (g, l, out) in cells(out) {
        let word = u32_at(b, 66 + 4 * g);
        let scale = d * (0.5 + (word >> 28) as f32) * 0.5;
        let at = 2 + 8 * g + 2 * l;
        let points = [0, 1].map(|c| &IQ3XXS[usize::from(b[at + c])]);
        pair(out, scale, points, even_signs(word >> (7 * l)));
    }
}

pub(super) fn iq3_s(b: &[u8], out: &mut [f32]) {
    let d = half(b, 0);
    for (g, l, out) in cells(out) {
        let scale = d * f32::from(1 + 2 * nibble(b[106 + g / 2], g % 2));
        let points = [2 * l, 2 * l + 1]
            .map(|c| &IQ3S[usize::from(b[2 + 8 * g + c]) | (usize::from(b[66 + g] >> c) & 1) << 8]);
        pair(out, scale, points, b[74 + 4 * g + l]);
    }
}

/// A cell of IQ1: levels of -1, 0 and 1, shifted by an eighth.
fn ternary_cell(out: &mut [f32; 8], scale: f32, index: usize, negative: bool) {
    let delta = if negative { -0.125 } else { 0.125 };
    for (out, level) in out.iter_mut().zip(&IQ1S[index]) {
        *out = scale * (f32::from(*level) + delta);
    }
}

pub(super) fn iq1_s(b: &[u8], out: &mut [f32]) {
    let d = half(b, 0);
    for (g, l, out) in cells(out) {
        let h = u16_at(b, 34 + 2 * g);
        let index = usize::from(b[2 + 4 * g + l]) | usize::from((h >> (3 * l)) & 7) << 8;
        ternary_cell(
            out,
            d * f32::from(2 * ((h >> 12) & 7) + 1),
            index,
            h & 0x8000 != 0,
        );
    }
}

pub(super) fn iq1_m(b: &[u8], out: &mut [f32]) {
    let sc = |i: usize| u16_at(b, 48 + 2 * i);
    let bits = sc(0) >> 12 | (sc(1) >> 8 & 0xF0) | (sc(2) >> 4 & 0xF00) | (sc(3) & 0xF000);
    let d = half_to_f32(bits);
    for (g, l, out) in cells(out) {
        let h = nibble(b[32 + 2 * g + l / 2], l % 2);
        let index = usize::from(b[4 * g + l]) | usize::from(h & 7) << 8;
        let s = (sc(g / 2) >> (6 * (g % 2) + 3 * (l / 2))) & 7;
        ternary_cell(out, d * f32::from(2 * s + 1), index, h & 8 != 0);
    }
}

pub(super) fn iq4_xs(b: &[u8], out: &mut [f32]) {
    let (d, high) = (half(b, 0), u16_at(b, 2));
    for (g, out) in out.chunks_exact_mut(32).enumerate() {
        let s = u16::from(nibble(b[4 + g / 2], g % 2)) | ((high >> (2 * g)) & 3) << 4;
        let scale = d * (f32::from(s) - 32.0);
        nibbles(&b[8 + 16 * g..], out, |_, q| {
            scale * f32::from(NONLINEAR[usize::from(q)])
        });
    }
}
