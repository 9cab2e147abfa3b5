//! Values to blocks: the inverse of [`BlockType::dequantize`].
//!
//! Layouts and searches are those of parts 2.3, 2.4 and 2.11 of the format notes, without an importance matrix.

mod k;
mod nonlinear;
mod plain;
mod search;
mod small;

use half::f16;
use hearth_format::BlockType;

/// Why values cannot be put into blocks.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// A value is infinite or not a number.
    #[error("value {at} is {value}; the source is damaged or was cut off at its type's range")]
    NotFinite {
        /// Its index.
        at: usize,
        /// What it is.
        value: f32,
    },
    /// A value is larger than the type can hold.
    #[error("value {at} is {value}, too large for {}; choose BF16 or F32", block.name())]
    TooLarge {
        /// Its index.
        at: usize,
        /// What it is.
        value: f32,
        /// The type asked for.
        block: BlockType,
    },
    /// Hearth reads this type but does not write it.
    #[error("{} cannot be written; types that can: {}", block.name(), names())]
    Unsupported {
        /// The type asked for.
        block: BlockType,
    },
}

/// A row of the table of encoders.
struct Encoder {
    block: BlockType,
    /// One block; for types of one value to a block, as many as there are.
    pack: fn(&[f32], &mut [u8]),
    /// The largest magnitude. Scales are F16, and sums of sixth powers of values in its range do not leave f32.
    largest: f32,
}

const F16_MAX: f32 = 65504.0;
const BF16_MAX: f32 = f32::from_bits(0x7F7F_0000);

const fn encoder(block: BlockType, pack: fn(&[f32], &mut [u8]), largest: f32) -> Encoder {
    Encoder {
        block,
        pack,
        largest,
    }
}

static ENCODERS: [Encoder; 15] = [
    encoder(BlockType::F32, plain::f32, f32::MAX),
    encoder(BlockType::F16, plain::f16, F16_MAX),
    encoder(BlockType::BF16, plain::bf16, BF16_MAX),
    encoder(BlockType::Q4_0, small::q4_0, F16_MAX),
    encoder(BlockType::Q4_1, small::q4_1, F16_MAX),
    encoder(BlockType::Q5_0, small::q5_0, F16_MAX),
    encoder(BlockType::Q5_1, small::q5_1, F16_MAX),
    encoder(BlockType::Q8_0, small::q8_0, F16_MAX),
    encoder(BlockType::Q2K, k::q2_k, F16_MAX),
    encoder(BlockType::Q3K, k::q3_k, F16_MAX),
    encoder(BlockType::Q4K, k::q4_k, F16_MAX),
    encoder(BlockType::Q5K, k::q5_k, F16_MAX),
    encoder(BlockType::Q6K, k::q6_k, F16_MAX),
    encoder(BlockType::Iq4Nl, nonlinear::iq4_nl, F16_MAX),
    encoder(BlockType::Iq4Xs, nonlinear::iq4_xs, F16_MAX),
];

/// The types that [`encode`] writes.
pub fn encodable() -> impl Iterator<Item = BlockType> {
    ENCODERS.iter().map(|e| e.block)
}

fn names() -> String {
    encodable()
        .map(BlockType::name)
        .collect::<Vec<_>>()
        .join(", ")
}

/// Packs whole blocks: `out` is as long as [`BlockType::row_bytes`] of the number of values.
///
/// # Errors
/// When a value is not finite, is beyond the type's range, or the type is none of [`encodable`].
///
/// # Panics
/// When the values are not whole blocks or `out` has another length.
pub fn encode(block: BlockType, values: &[f32], out: &mut [u8]) -> Result<(), EncodeError> {
    let encoder = ENCODERS
        .iter()
        .find(|e| e.block == block)
        .ok_or(EncodeError::Unsupported { block })?;
    assert!(
        values.len().is_multiple_of(block.block_len())
            && out.len() == block.row_bytes(values.len()),
        "{} values of {} into {} bytes",
        values.len(),
        block.name(),
        out.len()
    );
    let outside = |v: &f32| v.is_nan() || v.abs() > encoder.largest;
    if let Some(at) = values.iter().position(outside) {
        let value = values[at];
        return Err(if value.is_finite() {
            EncodeError::TooLarge { at, value, block }
        } else {
            EncodeError::NotFinite { at, value }
        });
    }
    if block.block_len() == 1 {
        (encoder.pack)(values, out);
        return Ok(());
    }
    let blocks = out.chunks_exact_mut(block.block_bytes());
    for (x, out) in values.chunks_exact(block.block_len()).zip(blocks) {
        (encoder.pack)(x, out);
    }
    Ok(())
}

/// Writes an F16 field; gives back what a reader will find there.
fn put_half(out: &mut [u8], at: usize, value: f32) -> f32 {
    let half = f16::from_f32(value);
    out[at..at + 2].copy_from_slice(&half.to_le_bytes());
    half.to_f32()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests;
