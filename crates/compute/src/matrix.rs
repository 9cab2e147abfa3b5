//! A weight matrix: a view of a tensor, left in the file's own layout.

use std::ops::Range;

use hearth_format::{Affine, BlockType, Bytes, Storage, Tensor};

use crate::Error;

/// A weight matrix `[rows, columns]`, or some rows of one. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Matrix {
    first: usize,
    rows: usize,
    columns: usize,
    weights: Weights,
}

#[derive(Clone, Debug)]
enum Weights {
    Blocks {
        block: BlockType,
        row_bytes: usize,
        bytes: Bytes,
    },
    Affine(Affine),
}

/// Why a tensor is no matrix.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MatrixError {
    /// A row is not a whole number of blocks.
    #[error("tensor {tensor}: rows of {columns} values, {block} needs a multiple of {len}")]
    Columns {
        /// Name of the tensor.
        tensor: String,
        /// Values in a row.
        columns: usize,
        /// Name of the block type.
        block: &'static str,
        /// Values in a block.
        len: usize,
    },
    /// Shape and bytes disagree.
    #[error("tensor {tensor}: shape {shape:?} in {block} takes {expected} bytes, found {found}")]
    Bytes {
        /// Name of the tensor.
        tensor: String,
        /// Its shape.
        shape: Vec<usize>,
        /// Name of the block type.
        block: &'static str,
        /// Bytes that the shape takes.
        expected: usize,
        /// Bytes that are there.
        found: usize,
    },
    /// Codes, scales and biases of an MLX matrix do not fit together.
    #[error(
        "tensor {tensor}: shape {shape:?} does not fit its codes, scales or biases ({bits} bits, groups of {group})"
    )]
    Affine {
        /// Name of the tensor.
        tensor: String,
        /// Its shape.
        shape: Vec<usize>,
        /// Width of a code.
        bits: usize,
        /// Columns that share a scale.
        group: usize,
    },
}

impl Matrix {
    /// A view of `tensor`: its last size is the columns, all others together are the rows (stacked
    /// experts are taken apart with [`Matrix::part`]).
    ///
    /// # Errors
    /// When the tensor's bytes are not what its shape takes.
    pub fn from_tensor(tensor: &Tensor) -> Result<Self, MatrixError> {
        let (rows, columns) = (tensor.rows(), tensor.columns());
        let weights = match &tensor.storage {
            Storage::Blocks { block, bytes } => {
                if !columns.is_multiple_of(block.block_len()) {
                    return Err(MatrixError::Columns {
                        tensor: tensor.name.clone(),
                        columns,
                        block: block.name(),
                        len: block.block_len(),
                    });
                }
                let row_bytes = block.row_bytes(columns);
                let expected = rows.saturating_mul(row_bytes);
                if bytes.len() != expected {
                    return Err(MatrixError::Bytes {
                        tensor: tensor.name.clone(),
                        shape: tensor.shape.clone(),
                        block: block.name(),
                        expected,
                        found: bytes.len(),
                    });
                }
                Weights::Blocks {
                    block: *block,
                    row_bytes,
                    bytes: bytes.clone(),
                }
            }
            Storage::Affine(affine) if affine_fits(affine, rows, columns) => {
                Weights::Affine(affine.clone())
            }
            Storage::Affine(affine) => {
                return Err(MatrixError::Affine {
                    tensor: tensor.name.clone(),
                    shape: tensor.shape.clone(),
                    bits: affine.bits,
                    group: affine.group,
                });
            }
        };
        Ok(Self {
            first: 0,
            rows,
            columns,
            weights,
        })
    }

    /// The rows `rows` of a tensor, or of a stack of matrices seen as one tall one.
    ///
    /// # Errors
    /// When the tensor is no matrix, or has no such rows.
    pub(crate) fn rows_of(tensor: &Tensor, rows: Range<usize>) -> Result<Self, Error> {
        let whole = Self::from_tensor(tensor)?;
        if rows.start > rows.end || rows.end > whole.rows() {
            return Err(Error::Rows {
                tensor: tensor.name.clone(),
                rows: whole.rows(),
                asked: rows,
            });
        }
        Ok(whole.part(rows.start, rows.len()))
    }

    /// Number of rows: values in an output.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns: values in an input.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Rows `first..first + rows`, for example one expert of a stack.
    ///
    /// # Panics
    /// When they are not inside the matrix.
    pub fn part(&self, first: usize, rows: usize) -> Self {
        assert!(
            first.checked_add(rows).is_some_and(|end| end <= self.rows),
            "rows {first}..+{rows} of a matrix of {} rows",
            self.rows
        );
        Self {
            first: self.first + first,
            rows,
            ..self.clone()
        }
    }

    /// Writes row `index` as f32 into `out`, which has [`Matrix::columns`] values.
    ///
    /// # Panics
    /// When `index` is not below [`Matrix::rows`], or `out` has another length.
    pub fn row(&self, index: usize, out: &mut [f32]) {
        assert!(
            index < self.rows,
            "row {index} of a matrix of {} rows",
            self.rows
        );
        assert_eq!(out.len(), self.columns, "length of a row");
        match &self.weights {
            Weights::Blocks { block, .. } => {
                let (bytes, _) = self.bytes(index, 1).expect("made of blocks");
                block.dequantize(bytes, out);
            }
            Weights::Affine(affine) => affine.dequantize_row(self.first + index, out),
        }
    }

    /// The block type, unless the matrix is in another storage.
    pub fn block(&self) -> Option<BlockType> {
        match &self.weights {
            Weights::Blocks { block, .. } => Some(*block),
            Weights::Affine(_) => None,
        }
    }

    /// Bytes that the rows take: what a product reads.
    pub fn stored_bytes(&self) -> usize {
        match &self.weights {
            Weights::Blocks { row_bytes, .. } => self.rows * row_bytes,
            Weights::Affine(a) => {
                let scale = a.scale_type.block_bytes();
                self.rows * (self.columns * a.bits / 8 + 2 * scale * self.columns / a.group)
            }
        }
    }

    /// The memory that the rows lie in: one array of blocks, or codes, scales and biases.
    pub fn stored(&self) -> Vec<&[u8]> {
        let rows = |bytes: &'_ Bytes, row_bytes: usize| {
            let start = self.first * row_bytes;
            start..(start + self.rows * row_bytes).min(bytes.len())
        };
        match &self.weights {
            Weights::Blocks {
                row_bytes, bytes, ..
            } => vec![&bytes[rows(bytes, *row_bytes)]],
            Weights::Affine(a) => {
                let scales = self.columns / a.group * a.scale_type.block_bytes();
                vec![
                    &a.codes[rows(&a.codes, self.columns * a.bits / 8)],
                    &a.scales[rows(&a.scales, scales)],
                    &a.biases[rows(&a.biases, scales)],
                ]
            }
        }
    }

    /// The bytes of some rows and of one row, if the matrix is made of blocks.
    pub(crate) fn bytes(&self, first: usize, rows: usize) -> Option<(&[u8], usize)> {
        let Weights::Blocks {
            row_bytes, bytes, ..
        } = &self.weights
        else {
            return None;
        };
        let start = (self.first + first) * row_bytes;
        Some((&bytes[start..start + rows * row_bytes], *row_bytes))
    }
}

fn affine_fits(a: &Affine, rows: usize, columns: usize) -> bool {
    let scale = a.scale_type.block_bytes();
    let total = rows.checked_mul(columns);
    (1..=8).contains(&a.bits)
        && a.group > 0
        && columns.is_multiple_of(a.group)
        && (columns * a.bits).is_multiple_of(32)
        && total
            .and_then(|n| n.checked_mul(a.bits))
            .is_some_and(|bits| a.codes.len() == bits / 8)
        && total.is_some_and(|n| a.scales.len() == n / a.group * scale)
        && a.biases.len() == a.scales.len()
}
