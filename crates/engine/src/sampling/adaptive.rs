//! Adaptive-p: keeps the share of the chosen tokens near a target over time (llama.cpp's sampler of that name).

use super::candidates::Candidates;

/// The target and the state.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adaptive {
    target: f32,
    decay: f32,
    /// Shares chosen before, each worth less than the next by the decay, and their weights.
    shares: f32,
    weight: f32,
}

/// Distance from the target at which the preference falls off.
const WIDTH: f32 = 0.3;
/// How steeply it falls.
const SLOPE: f32 = 10.0;

impl Adaptive {
    /// The start of a text. A negative target is off.
    pub fn new(target: f32, decay: f32) -> Self {
        // What is no number is off; a share is at most 1.
        let target = if target >= 0.0 { target.min(1.0) } else { -1.0 };
        let decay = if decay >= 0.0 { decay.min(0.99) } else { 0.0 };
        Self {
            target,
            decay,
            shares: target / (1.0 - decay),
            weight: 1.0 / (1.0 - decay),
        }
    }

    /// What the next share should be for the average to meet the target.
    pub(super) fn wanted(&self) -> f32 {
        (2.0 * self.target - self.shares / self.weight).clamp(0.0, 1.0)
    }

    /// Sets shares that prefer the wanted one. The logits stay.
    pub fn prefer(&self, c: &mut Candidates) {
        c.softmax();
        if self.target < 0.0 {
            return;
        }
        let wanted = self.wanted();
        for c in &mut c.list {
            let x = (c.probability - wanted).abs() / WIDTH;
            c.probability = (-SLOPE * x * x / (1.0 + x)).exp();
        }
        c.normalize();
    }

    /// Follows the share that the chosen token had before.
    pub fn chosen(&mut self, share: f32) {
        self.shares = share + self.decay * self.shares;
        self.weight = 1.0 + self.decay * self.weight;
    }
}
