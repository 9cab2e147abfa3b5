//! Why the backend refused.

use std::ops::Range;

use crate::{Isa, MatrixError, isa::IsaError};

/// Names what was asked for and what there is.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// `HEARTH_ISA` names something unusable.
    #[error(transparent)]
    Isa(#[from] IsaError),
    /// Kernels were asked for that this processor cannot run.
    #[error(
        "instruction set {wanted} was asked for, this processor has {available} at most; name a lower one"
    )]
    Unavailable {
        /// What was asked for.
        wanted: Isa,
        /// The best that the processor has.
        available: Isa,
    },
    /// A tensor that cannot be multiplied by.
    #[error(transparent)]
    Matrix(#[from] MatrixError),
    /// A part of a tensor that lies outside it.
    #[error("tensor {tensor} has {rows} rows, rows {} to {} were asked for", asked.start, asked.end)]
    Rows {
        /// The tensor's name.
        tensor: String,
        /// Rows it has.
        rows: usize,
        /// Rows asked for.
        asked: Range<usize>,
    },
}
