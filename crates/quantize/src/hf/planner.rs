//! Finding weights and naming targets.

use std::collections::HashSet;

use hearth_format::{BlockType, Storage, Tensor};
use hearth_model::Names;

use super::Origin;
use crate::{
    Error, Result,
    plan::{Part, Rows, Source, Target},
    rules::is_kept,
};

/// A vector of the file, in F32.
pub(super) fn vector(name: impl Into<String>, values: Vec<f32>) -> Target<'static> {
    Target {
        name: name.into(),
        shape: vec![values.len()],
        block: BlockType::F32,
        source: Source::Values(values),
    }
}

/// The targets so far, and what of the directory they use.
pub(super) struct Planner<'o, 'a> {
    pub origin: &'o Origin<'a>,
    pub names: Names<'a>,
    /// Files of the family keep projections of one input in one matrix.
    pub fused: bool,
    pub layer: Option<usize>,
    pub used: HashSet<&'a str>,
    pub targets: Vec<Target<'a>>,
}

impl<'a> Planner<'_, 'a> {
    /// The bias of a role, if the directory has one.
    pub(super) fn bias(&mut self, role: &str, rows: usize) -> Result<Option<Vec<f32>>> {
        let Some(tensor) = self.names.find(self.layer, role, "bias") else {
            return Ok(None);
        };
        self.used.insert(&tensor.name);
        self.values(tensor, rows).map(Some)
    }

    /// The values of a vector.
    pub(super) fn values(&self, tensor: &'a Tensor, count: usize) -> Result<Vec<f32>> {
        self.check(tensor, 1, count)?;
        Ok(tensor.to_f32())
    }

    /// A matrix of the file. What no mixture changes, such as a router, stays exact.
    pub(super) fn push(&mut self, role: &str, shape: Vec<usize>, rows: Rows<'a>) {
        let name = self.name(role, "weight");
        self.targets.push(Target {
            block: if is_kept(&name, &shape) {
                BlockType::F32
            } else {
                plain_type(&rows)
            },
            name,
            shape,
            source: Source::Rows(rows),
        });
    }

    /// A bias of the file, if there is one.
    pub(super) fn push_bias(&mut self, role: &str, values: Option<Vec<f32>>) {
        let name = self.name(role, "bias");
        self.targets
            .extend(values.map(|values| vector(name, values)));
    }

    /// The name in the file.
    pub(super) fn name(&self, role: &str, part: &str) -> String {
        match self.layer {
            Some(i) => format!("blk.{i}.{role}.{part}"),
            None => format!("{role}.{part}"),
        }
    }

    /// The weight of a role.
    pub(super) fn require(
        &mut self,
        role: &str,
        rows: usize,
        columns: usize,
    ) -> Result<&'a Tensor> {
        let name = self.names.name(self.layer, role, "weight");
        let tensor = self.names.tensor(&name);
        let tensor = tensor.ok_or_else(|| self.missing(&name, rows, columns))?;
        self.check(tensor, rows, columns)?;
        self.used.insert(&tensor.name);
        Ok(tensor)
    }

    /// An error that a weight is not there.
    pub(super) fn missing(&self, tensor: &str, rows: usize, columns: usize) -> Error {
        self.wrong(
            tensor,
            format!("is missing (expected {rows} rows of {columns} values)"),
        )
    }

    /// Whether a tensor has so many rows of so many values, in however many dimensions.
    pub(super) fn check(&self, tensor: &Tensor, rows: usize, columns: usize) -> Result<()> {
        if tensor.rows() == rows && tensor.columns() == columns {
            return Ok(());
        }
        Err(self.wrong(
            &tensor.name,
            format!(
                "has shape {:?}, expected {rows} rows of {columns} values",
                tensor.shape
            ),
        ))
    }

    fn wrong(&self, tensor: &str, problem: String) -> Error {
        Error::Tensor {
            place: self.origin.checkpoint.label().to_owned(),
            tensor: tensor.to_owned(),
            problem,
        }
    }

    /// A word on tensors that are no part of the text model.
    pub(super) fn left_out(&self) -> Option<String> {
        let redundant = |name: &str| {
            name.ends_with("rotary_emb.inv_freq")
                || (self.origin.spec.output.tied() && name.ends_with("lm_head.weight"))
        };
        let all = self.origin.checkpoint.tensors().map(|t| t.name.as_str());
        let mut left: Vec<_> = all
            .filter(|name| !self.used.contains(name) && !redundant(name))
            .collect();
        left.sort_unstable();
        let first = left.first()?;
        Some(format!(
            "{} tensors are no part of the text model and were left out, such as '{first}'",
            left.len()
        ))
    }
}

/// The type of a matrix that no mixture changes: the source's, where files can have it.
fn plain_type(rows: &Rows<'_>) -> BlockType {
    let of = |part: &Part<'_>| match &part.tensor.storage {
        Storage::Blocks { block, .. } => *block,
        Storage::Affine(_) => BlockType::F16,
    };
    let first = rows.parts.first().map_or(BlockType::F32, of);
    let same = rows.parts.iter().all(|part| of(part) == first);
    let known = [BlockType::F16, BlockType::BF16].contains(&first);
    if same && known { first } else { BlockType::F32 }
}
