//! What a file will hold, before any of it is written.

use hearth_format::{BlockType, Metadata, Storage, Tensor, Value};

use crate::Outline;

/// A file to be.
pub(crate) struct Plan<'a> {
    /// All but the keys that depend on the mixture.
    pub metadata: Metadata,
    pub targets: Vec<Target<'a>>,
    pub outline: Outline,
    /// What the reader of the file should know.
    pub notes: Vec<String>,
}

/// The metadata with other values for some keys, where they were or at the end; `None` changes nothing.
pub(crate) fn replaced(from: &Metadata, changes: &[(&str, Option<Value>)]) -> Metadata {
    let new = |key: &str| changes.iter().find(|c| c.0 == key)?.1.clone();
    let mut metadata = Metadata::default();
    for (key, value) in from.iter() {
        let value = new(key).unwrap_or_else(|| value.clone());
        metadata.insert(key.to_owned(), value);
    }
    for (key, value) in changes {
        if let Some(value) = value {
            metadata.insert((*key).to_owned(), value.clone());
        }
    }
    metadata
}

/// A tensor to be.
pub(crate) struct Target<'a> {
    pub name: String,
    /// Outermost first.
    pub shape: Vec<usize>,
    /// Its type unless the mixture says otherwise.
    pub block: BlockType,
    pub source: Source<'a>,
}

/// Where a tensor's values come from.
pub(crate) enum Source<'a> {
    /// Rows of tensors of the checkpoint.
    Rows(Rows<'a>),
    /// Computed when planning: vectors.
    Values(Vec<f32>),
}

/// Rows of one tensor or of several, one after another, perhaps in another order and multiplied.
pub(crate) struct Rows<'a> {
    pub parts: Vec<Part<'a>>,
    pub order: Order,
    pub factor: f32,
}

/// Consecutive rows of a tensor.
#[derive(Clone, Copy)]
pub(crate) struct Part<'a> {
    pub tensor: &'a Tensor,
    pub first: usize,
    pub rows: usize,
}

/// The order of a head's rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    AsIs,
    /// Pairs that were half the rotated rows apart become neighbours.
    Adjacent {
        /// Rows of a head.
        head: usize,
        /// Rows of a head that are rotated, its first.
        rotated: usize,
    },
}

impl Order {
    /// Which row of the source becomes row `row`.
    pub(crate) fn source(self, row: usize) -> usize {
        let Self::Adjacent { head, rotated } = self else {
            return row;
        };
        let (first, within) = (row - row % head, row % head);
        if within < rotated {
            first + within / 2 + within % 2 * (rotated / 2)
        } else {
            row
        }
    }
}

impl<'a> Rows<'a> {
    /// A tensor as it is.
    pub(crate) fn whole(tensor: &'a Tensor) -> Self {
        let rows = tensor.rows();
        Self {
            parts: vec![Part {
                tensor,
                first: 0,
                rows,
            }],
            order: Order::AsIs,
            factor: 1.0,
        }
    }

    fn locate(&self, row: usize) -> (&'a Tensor, usize) {
        let mut row = self.order.source(row);
        for part in &self.parts {
            if row < part.rows {
                return (part.tensor, part.first + row);
            }
            row -= part.rows;
        }
        unreachable!("parts have as many rows as the tensor they make up")
    }

    /// The bytes of a row, where they need no change to be of type `block`.
    pub(crate) fn bytes(&self, row: usize, block: BlockType) -> Option<&'a [u8]> {
        let (tensor, row) = self.locate(row);
        match &tensor.storage {
            Storage::Blocks { block: own, bytes } if *own == block && self.factor == 1.0 => {
                let length = block.row_bytes(tensor.columns());
                bytes.get(row * length..(row + 1) * length)
            }
            _ => None,
        }
    }

    /// The values of a row.
    pub(crate) fn read(&self, row: usize, out: &mut [f32]) {
        let (tensor, row) = self.locate(row);
        tensor.dequantize_row(row, out);
        if self.factor != 1.0 {
            out.iter_mut().for_each(|v| *v *= self.factor);
        }
    }

    /// What the first part is stored as, and whether that is quantised.
    pub(crate) fn stored(&self) -> (&'static str, bool) {
        match &self.parts[0].tensor.storage {
            Storage::Blocks { block, .. } => (block.name(), block.is_quantized()),
            Storage::Affine(_) => ("MLX codes", true),
        }
    }

    /// Whether every row can be copied as type `block`.
    pub(crate) fn is_copy(&self, block: BlockType) -> bool {
        let same = |part: &Part<'_>| matches!(&part.tensor.storage, Storage::Blocks { block: own, .. } if *own == block);
        self.factor == 1.0 && self.parts.iter().all(same)
    }
}

impl Target<'_> {
    /// Values in a row.
    pub(crate) fn columns(&self) -> usize {
        self.shape.last().copied().unwrap_or(1)
    }

    /// Rows of all matrices together.
    pub(crate) fn rows(&self) -> usize {
        self.shape.iter().rev().skip(1).product()
    }

    /// Values of the tensor.
    pub(crate) fn values(&self) -> u64 {
        self.columns() as u64 * self.rows() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_become_neighbours_within_each_head() {
        let order = |head, rotated, rows: usize| -> Vec<usize> {
            let order = Order::Adjacent { head, rotated };
            (0..rows).map(|row| order.source(row)).collect()
        };
        assert_eq!(order(4, 4, 8), [0, 2, 1, 3, 4, 6, 5, 7]);
        assert_eq!(order(6, 4, 6), [0, 2, 1, 3, 4, 5]);
        assert_eq!(Order::AsIs.source(5), 5);
    }
}
