//! Encoders against other implementations on the same samples: `testdata/samples.safetensors` has, per type, values
//! and blocks of them. For the types of 32 values with one scale these are gguf-py's, to the last bit. For the others
//! they are those of ggml's quantiser with an importance of nearly one everywhere, which aims at the plain error; the
//! encoders here, like ggml's without an importance, weigh large values more and lose a little by that measure.

use std::path::Path;

use hearth_format::{SafeTensors, Storage, map_file};
use proptest::prelude::*;

use super::*;

/// Types, the largest root mean square error relative to the values that gaussian values may have, and how much larger
/// than the other implementation's the error may be.
const BOUNDS: [(BlockType, f32, f32); 12] = [
    (BlockType::Q4_0, 0.11, 1.0),
    (BlockType::Q4_1, 0.09, 1.0),
    (BlockType::Q5_0, 0.055, 1.0),
    (BlockType::Q5_1, 0.045, 1.0),
    (BlockType::Q8_0, 0.008, 1.0),
    (BlockType::Q2K, 0.32, 1.1),
    (BlockType::Q3K, 0.18, 1.05),
    (BlockType::Q4K, 0.085, 1.02),
    (BlockType::Q5K, 0.045, 1.1),
    (BlockType::Q6K, 0.022, 1.01),
    (BlockType::Iq4Nl, 0.10, 1.02),
    (BlockType::Iq4Xs, 0.10, 0.95),
];

fn decoded(block: BlockType, bytes: &[u8]) -> Vec<f32> {
    let mut out = vec![0.0; bytes.len() / block.block_bytes() * block.block_len()];
    block.dequantize(bytes, &mut out);
    out
}

fn round_trip(block: BlockType, values: &[f32]) -> Result<Vec<f32>, EncodeError> {
    let mut bytes = vec![0xAA; block.row_bytes(values.len())];
    encode(block, values, &mut bytes)?;
    Ok(decoded(block, &bytes))
}

fn error(a: &[f32], b: &[f32]) -> f32 {
    let squares = a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2));
    (squares.sum::<f64>() / a.len() as f64).sqrt() as f32
}

/// Gaussian enough: sums of twelve uniform numbers from a linear congruential generator.
fn gaussian(seed: u64, count: usize, scale: f32) -> Vec<f32> {
    let mut state = seed;
    let mut uniform = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 24) as f32
    };
    (0..count)
        .map(|_| ((0..12).map(|_| uniform()).sum::<f32>() - 6.0) * scale)
        .collect()
}

#[test]
fn no_worse_than_the_reference_on_its_samples() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/samples.safetensors");
    let file = SafeTensors::from_bytes(map_file(&path).unwrap(), "samples").unwrap();
    for (block, _, ratio) in BOUNDS {
        let samples = file.tensor(&format!("{}.samples", block.name())).unwrap();
        let blocks = file.tensor(&format!("{}.blocks", block.name())).unwrap();
        let Storage::Blocks { bytes, .. } = &blocks.storage else {
            panic!("plain bytes")
        };
        let (mut ours, mut theirs, mut same) = (0.0, 0.0, 0);
        for (row, reference) in bytes.chunks_exact(block.block_bytes()).enumerate() {
            let mut x = vec![0.0; samples.columns()];
            samples.dequantize_row(row, &mut x);
            let size = error(&x, &vec![0.0; x.len()]).max(f32::MIN_POSITIVE);
            let mut out = vec![0; block.block_bytes()];
            encode(block, &x, &mut out).unwrap();
            ours += error(&decoded(block, &out), &x) / size;
            theirs += error(&decoded(block, reference), &x) / size;
            same += usize::from(out == reference);
        }
        let name = block.name();
        assert!(
            ours <= theirs * ratio,
            "{name}: {ours} > {ratio} * {theirs}"
        );
        if ratio == 1.0 {
            assert_eq!(same, samples.rows(), "{name}: blocks to the last bit");
        }
    }
}

#[test]
fn errors_are_bounded() {
    for (block, bound, _) in BOUNDS {
        for scale in [1e-3, 1.0, 50.0] {
            let x = gaussian(7, 256 * 64, scale);
            let relative = error(&round_trip(block, &x).unwrap(), &x) / scale;
            assert!(relative < bound, "{} at {scale}: {relative}", block.name());
        }
    }
}

#[test]
fn easy_blocks() {
    let cases = [
        ("zeros", vec![0.0; 256]),
        ("one value", vec![-0.75; 256]),
        (
            "a single outlier",
            (0..256).map(|i| if i == 77 { 12.0 } else { 0.0 }).collect(),
        ),
        ("smallest of f32", vec![f32::from_bits(1); 256]),
    ];
    for block in encodable() {
        for (name, x) in &cases {
            let got = round_trip(block, x).unwrap();
            let worst = x
                .iter()
                .zip(&got)
                .fold(0.0, |w: f32, (a, b)| w.max((a - b).abs()));
            let largest = x.iter().fold(0.0, |m: f32, v| m.max(v.abs()));
            // A scale of F16 has eleven bits; a sub-block's has as few as four.
            assert!(
                worst <= largest * 0.04 + 1e-7,
                "{} {name}: {worst}",
                block.name()
            );
        }
    }
}

#[test]
fn what_cannot_be_stored_is_refused() {
    for block in encodable() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut x = vec![0.5; 256];
            x[200] = bad;
            let found = round_trip(block, &x).unwrap_err();
            assert!(
                matches!(found, EncodeError::NotFinite { at: 200, .. }),
                "{found}"
            );
        }
        let huge = round_trip(block, &[f32::MAX; 256]);
        assert_eq!(huge.is_ok(), block == BlockType::F32, "{}", block.name());
    }
    let message = encode(BlockType::Iq1S, &[], &mut [])
        .unwrap_err()
        .to_string();
    assert!(
        message.starts_with("IQ1_S cannot be written") && message.contains("Q4_K"),
        "{message}"
    );
}

proptest! {
    /// Whatever the values: no panic, and finite results or an error.
    #[test]
    fn any_finite_values(bits in proptest::collection::vec(any::<u32>(), 256), scale in -30i32..30) {
        let wild: Vec<f32> = bits.iter().map(|b| f32::from_bits(*b)).map(|v| if v.is_finite() { v } else { 1.0 }).collect();
        let tame: Vec<f32> = bits.iter().map(|b| (*b as f32 / u32::MAX as f32 - 0.5) * (scale as f32).exp2()).collect();
        for block in encodable() {
            if let Ok(values) = round_trip(block, &wild) {
                prop_assert!(values.iter().all(|v| v.is_finite()), "{}", block.name());
            }
            // Uniform values of moderate size always fit, and a code's distance is a part of their span; the
            // smallest F16 scale is 6e-8, which up to 128 * 32 multiplies.
            if scale < 15 {
                let back = round_trip(block, &tame).unwrap();
                let span = (scale as f32).exp2();
                let worst = tame.iter().zip(&back).fold(0.0, |w: f32, (a, b)| w.max((a - b).abs()));
                prop_assert!(worst <= 0.5 * span + 1.5e-4, "{} {worst} of {span}", block.name());
            }
        }
    }
}
