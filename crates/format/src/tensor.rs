//! A tensor as it lies in a file.

use crate::{BlockType, Bytes};

/// A named array in a checkpoint, left where it is.
#[derive(Clone, Debug)]
pub struct Tensor {
    /// The name in the file.
    pub name: String,
    /// Sizes, outermost first: a matrix is `[rows, columns]` and a row is contiguous
    /// (GGUF writes the same sizes in the other order).
    pub shape: Vec<usize>,
    /// How the values are stored.
    pub storage: Storage,
}

/// How the values of a tensor are stored.
#[derive(Clone, Debug)]
pub enum Storage {
    /// Rows of blocks, back to back.
    Blocks {
        /// The block type.
        block: BlockType,
        /// `rows * row_bytes` bytes.
        bytes: Bytes,
    },
    /// MLX: `bits` wide codes packed little-endian into u32 words, one scale per `group` of columns;
    /// `value = scale * code + bias`.
    Affine(Affine),
}

/// The three arrays of an MLX-quantised matrix (`reference: mlx.core.quantize`).
#[derive(Clone, Debug)]
pub struct Affine {
    /// Width of a code, 2 to 8.
    pub bits: usize,
    /// Columns that share a scale.
    pub group: usize,
    /// `[rows, columns * bits / 32]` u32.
    pub codes: Bytes,
    /// `[rows, columns / group]` of `scale_type`.
    pub scales: Bytes,
    /// The same shape and type as `scales`.
    pub biases: Bytes,
    /// F16, BF16 or F32.
    pub scale_type: BlockType,
}

impl Tensor {
    /// Number of values in a row (the innermost size; 1 for a scalar).
    pub fn columns(&self) -> usize {
        self.shape.last().copied().unwrap_or(1)
    }

    /// Number of rows: the product of all sizes but the innermost.
    pub fn rows(&self) -> usize {
        self.shape.iter().rev().skip(1).product()
    }

    /// Writes row `row` as f32 into `out`, which has [`Tensor::columns`] values.
    ///
    /// # Panics
    /// When `row` is not below [`Tensor::rows`] or `out` has another length: the caller's error,
    /// since readers check every size against the file before a `Tensor` exists.
    pub fn dequantize_row(&self, row: usize, out: &mut [f32]) {
        assert_eq!(
            out.len(),
            self.columns(),
            "row buffer of tensor {}",
            self.name
        );
        match &self.storage {
            Storage::Blocks { block, bytes } => {
                let row_bytes = block.row_bytes(out.len());
                block.dequantize(&bytes[row * row_bytes..(row + 1) * row_bytes], out);
            }
            Storage::Affine(affine) => affine.dequantize_row(row, out),
        }
    }

    /// All values as f32, row after row.
    pub fn to_f32(&self) -> Vec<f32> {
        let mut out = vec![0.0; self.rows() * self.columns()];
        for (row, values) in out.chunks_exact_mut(self.columns().max(1)).enumerate() {
            self.dequantize_row(row, values);
        }
        out
    }

    /// Bytes that the values take in the file.
    pub fn stored_bytes(&self) -> usize {
        match &self.storage {
            Storage::Blocks { bytes, .. } => bytes.len(),
            Storage::Affine(a) => a.codes.len() + a.scales.len() + a.biases.len(),
        }
    }
}
