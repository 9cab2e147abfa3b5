//! How large the same model would be in other mixtures of block types.

use super::{Memory, Plan};
use crate::Result;

/// A mixture, by the name that files bear.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mixture {
    /// Such as `Q4_K_M`.
    pub name: &'static str,
    /// Bits per weight, all tensors together. Of the mixtures as llama.cpp's rules make them for a Llama of 8 billion
    /// parameters (format notes 2.10); smaller models, whose embedding weighs more, take somewhat more.
    pub bits: f64,
}

/// From small to large.
pub const MIXTURES: [Mixture; 7] = [
    mixture("Q2_K", 3.16),
    mixture("Q3_K_M", 4.00),
    mixture("Q4_K_M", 4.89),
    mixture("Q5_K_M", 5.70),
    mixture("Q6_K", 6.56),
    mixture("Q8_0", 8.50),
    mixture("F16", 16.00),
];

const fn mixture(name: &'static str, bits: f64) -> Mixture {
    Mixture { name, bits }
}

impl Plan {
    /// What the same model takes in another mixture, and what a token then reads of weights.
    ///
    /// # Errors
    /// When the model cannot take a single step.
    pub fn in_mixture(&self, mixture: Mixture, context: usize) -> Result<Memory> {
        let memory = self.memory(context)?;
        let weights = self.parameters() as f64 * mixture.bits / 8.0;
        let share = memory.weights_per_token as f64 / memory.weights.max(1) as f64;
        Ok(Memory {
            weights: weights as usize,
            weights_per_token: (weights * share) as usize,
            counted_twice: 0,
            ..memory
        })
    }
}
