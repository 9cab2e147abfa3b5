//! The lattice points of the IQ types, and their sign codes (format notes 2.8).
//!
//! The points are constants of the formats, found by search and not by a formula. The files beside this one keep
//! them as level codes in hexadecimal digits, one group of digits per point, most significant digit first; the
//! compiler spreads them out.

pub(super) static IQ1S: [[i8; 8]; 2048] =
    spread(include_bytes!("grids/iq1s.hex"), 4, 2, &[-1, 0, 1]);
pub(super) static IQ2XXS: [[i8; 8]; 256] =
    spread(include_bytes!("grids/iq2xxs.hex"), 4, 2, &[8, 25, 43]);
pub(super) static IQ2XS: [[i8; 8]; 512] =
    spread(include_bytes!("grids/iq2xs.hex"), 4, 2, &[8, 25, 43]);
pub(super) static IQ2S: [[i8; 8]; 1024] =
    spread(include_bytes!("grids/iq2s.hex"), 4, 2, &[8, 25, 43]);
pub(super) static IQ3XXS: [[i8; 4]; 256] = spread(
    include_bytes!("grids/iq3xxs.hex"),
    3,
    3,
    &[4, 12, 20, 28, 36, 44, 52, 62],
);
pub(super) static IQ3S: [[i8; 4]; 512] = spread(
    include_bytes!("grids/iq3s.hex"),
    3,
    3,
    &[1, 3, 5, 7, 9, 11, 13, 15],
);

/// `POINTS` groups of `digits` digits; coordinate `j` of a point is the level that bits `bits * j` and up name.
const fn spread<const DIM: usize, const POINTS: usize>(
    hex: &[u8],
    digits: usize,
    bits: usize,
    levels: &[i8],
) -> [[i8; DIM]; POINTS] {
    let mut grid = [[0; DIM]; POINTS];
    let (mut at, mut point) = (0, 0);
    while point < POINTS {
        let (mut code, mut read) = (0, 0);
        while read < digits {
            let digit = match hex[at] {
                c @ b'0'..=b'9' => Some(c - b'0'),
                c @ b'a'..=b'f' => Some(c - b'a' + 10),
                _ => None,
            };
            if let Some(digit) = digit {
                code = code << 4 | digit as usize;
                read += 1;
            }
            at += 1;
        }
        let mut j = 0;
        while j < DIM {
            grid[point][j] = levels[(code >> (bits * j)) & ((1 << bits) - 1)];
            j += 1;
        }
        point += 1;
    }
    assert!(at + 1 == hex.len(), "one line feed ends the digits");
    grid
}

/// Seven sign bits and the eighth that makes their number even.
pub(super) fn even_signs(code: u32) -> u8 {
    let seven = (code & 127) as u8;
    seven | ((seven.count_ones() as u8 & 1) << 7)
}

/// `value`, negated where bit `j` of `signs` is set. (A test of a bit and no shift, which loops can vectorise.)
pub(super) fn signed(value: f32, signs: u8, j: usize) -> f32 {
    let negative = u32::from(signs) & (1 << j) != 0;
    f32::from_bits(value.to_bits() ^ if negative { 1 << 31 } else { 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In every grid the points are distinct and ascend by their code, whose levels ascend too.
    #[test]
    fn points_ascend() {
        fn ascends<const DIM: usize>(name: &str, grid: &[[i8; DIM]]) {
            let code = |point: &[i8; DIM]| point.iter().rev().copied().collect::<Vec<_>>();
            assert!(
                grid.array_windows().all(|[a, b]| code(a) < code(b)),
                "{name}"
            );
        }
        ascends("IQ1_S", &IQ1S);
        ascends("IQ2_XXS", &IQ2XXS);
        ascends("IQ2_XS", &IQ2XS);
        ascends("IQ2_S", &IQ2S);
        ascends("IQ3_XXS", &IQ3XXS);
        ascends("IQ3_S", &IQ3S);
    }

    #[test]
    fn signs_are_even() {
        for code in 0..128 {
            assert_eq!(even_signs(code).count_ones() % 2, 0);
            assert_eq!(u32::from(even_signs(code)) & 127, code);
        }
    }
}
