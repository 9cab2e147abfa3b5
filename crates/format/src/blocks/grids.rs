//! The lattice points of the IQ types, and their sign codes (format notes 2.8).
//!
//! The points are constants of the formats, found by search and not by a formula. They are kept as level codes,
//! 20 KB, and spread out at first use.

use std::sync::LazyLock;

use serde_json::Value;

/// Grid points, `dim` signed bytes each.
pub(super) struct Grids {
    pub iq1s: Vec<[i8; 8]>,
    pub iq2xxs: Vec<[i8; 8]>,
    pub iq2xs: Vec<[i8; 8]>,
    pub iq2s: Vec<[i8; 8]>,
    pub iq3xxs: Vec<[i8; 4]>,
    pub iq3s: Vec<[i8; 4]>,
}

pub(super) static GRIDS: LazyLock<Grids> = LazyLock::new(|| {
    let file: Value =
        serde_json::from_str(include_str!("iq_grids.json")).expect("the embedded grids are JSON");
    Grids {
        iq1s: spread(&file["iq1s_grid"]),
        iq2xxs: spread(&file["iq2xxs_grid"]),
        iq2xs: spread(&file["iq2xs_grid"]),
        iq2s: spread(&file["iq2s_grid"]),
        iq3xxs: spread(&file["iq3xxs_grid"]),
        iq3s: spread(&file["iq3s_grid"]),
    }
});

fn spread<const DIM: usize>(grid: &Value) -> Vec<[i8; DIM]> {
    let number = |key: &str| {
        grid[key]
            .as_u64()
            .expect("the embedded grids name their sizes") as usize
    };
    let levels: Vec<i8> = grid["levels"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_i64)
        .map(|n| n as i8)
        .collect();
    let (bits, digits) = (number("bits_per_level"), number("hex_digits_per_entry"));
    let hex = grid["hex"]
        .as_str()
        .expect("the embedded grids have codes")
        .as_bytes();
    let code = |text: &[u8]| {
        text.iter().fold(0usize, |n, c| {
            n << 4 | (*c as char).to_digit(16).unwrap_or(0) as usize
        })
    };
    hex.chunks_exact(digits)
        .map(|text| std::array::from_fn(|j| levels[(code(text) >> (bits * j)) & ((1 << bits) - 1)]))
        .collect()
}

/// Seven sign bits and the eighth that makes their number even.
pub(super) fn even_signs(code: u32) -> u8 {
    let seven = (code & 127) as u8;
    seven | ((seven.count_ones() as u8 & 1) << 7)
}

/// -1 where bit `j` of `signs` is set.
pub(super) fn sign(signs: u8, j: usize) -> f32 {
    if (signs >> j) & 1 == 1 { -1.0 } else { 1.0 }
}
