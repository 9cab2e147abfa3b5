//! IQ types: cells of a lattice, signs, and a scale per 16 or 32 values (format notes 2.6).

use super::{
    grids::{GRIDS, even_signs, sign},
    half, nibble,
    small::NONLINEAR,
    u16_at, u32_at,
};

/// Writes one cell of eight.
fn cell(out: &mut [f32], scale: f32, grid: &[i8], signs: u8) {
    for (j, (out, level)) in out.iter_mut().zip(grid).enumerate() {
        *out = scale * f32::from(*level) * sign(signs, j);
    }
}

/// Two neighbouring cells of four as one of eight.
fn pair(grid: &[[i8; 4]], first: usize, second: usize) -> [i8; 8] {
    std::array::from_fn(|j| {
        if j < 4 {
            grid[first][j]
        } else {
            grid[second][j - 4]
        }
    })
}

/// Cells of eight with their group `g` of 32 and place `l` in it.
fn cells(out: &mut [f32]) -> impl Iterator<Item = (usize, usize, &mut [f32])> {
    out.chunks_exact_mut(8)
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
            &GRIDS.iq2xxs[usize::from(b[at + l])],
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
            &GRIDS.iq2xs[usize::from(word & 511)],
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
        cell(out, scale, &GRIDS.iq2s[index], b[34 + c]);
    }
}

pub(super) fn iq3_xxs(b: &[u8], out: &mut [f32]) {
    let d = half(b, 0);
    for (g, l, out) in cells(out) {
        let word = u32_at(b, 66 + 4 * g);
        let scale = d * (0.5 + (word >> 28) as f32) * 0.5;
        let at = 2 + 8 * g + 2 * l;
        let grid = pair(&GRIDS.iq3xxs, usize::from(b[at]), usize::from(b[at + 1]));
        cell(out, scale, &grid, even_signs(word >> (7 * l)));
    }
}

pub(super) fn iq3_s(b: &[u8], out: &mut [f32]) {
    let d = half(b, 0);
    for (g, l, out) in cells(out) {
        let scale = d * f32::from(1 + 2 * nibble(b[106 + g / 2], g % 2));
        let index =
            |c: usize| usize::from(b[2 + 8 * g + c]) | (usize::from(b[66 + g] >> c) & 1) << 8;
        let grid = pair(&GRIDS.iq3s, index(2 * l), index(2 * l + 1));
        cell(out, scale, &grid, b[74 + 4 * g + l]);
    }
}

/// A cell of IQ1: levels of -1, 0 and 1, shifted by an eighth.
fn ternary_cell(out: &mut [f32], scale: f32, index: usize, negative: bool) {
    let delta = if negative { -0.125 } else { 0.125 };
    for (out, level) in out.iter_mut().zip(&GRIDS.iq1s[index]) {
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
    let d = half::f16::from_bits(bits).to_f32();
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
        for (i, out) in out.iter_mut().enumerate() {
            *out =
                scale * f32::from(NONLINEAR[usize::from(nibble(b[8 + 16 * g + i % 16], i / 16))]);
        }
    }
}
