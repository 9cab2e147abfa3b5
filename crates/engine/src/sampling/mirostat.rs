//! Mirostat (Basu et al. 2021): keeps the surprise of the text near a target.

use super::candidates::Candidates;

/// Which form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Version {
    /// Estimates the slope of the distribution.
    One,
    /// Cuts by surprise directly.
    Two,
}

/// The target, the rate and the state.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mirostat {
    /// Which form.
    pub version: Version,
    /// Surprise to keep, in bits.
    pub tau: f32,
    /// How fast the state follows.
    pub eta: f32,
    /// Most surprise that a token may have; starts at twice the target.
    pub mu: f32,
}

/// Candidates that the first form estimates the slope from.
const ESTIMATE: usize = 100;

impl Mirostat {
    /// The start of a text.
    pub fn new(version: Version, tau: f32, eta: f32) -> Self {
        Self {
            version,
            tau,
            eta,
            mu: 2.0 * tau,
        }
    }

    /// Drops what is too surprising; shares are those of the survivors then.
    pub fn cut(&self, c: &mut Candidates, vocabulary: usize) {
        match self.version {
            Version::One => {
                c.sort_first(ESTIMATE);
                let k = self.best_k(c, vocabulary);
                c.keep_largest(k);
            }
            Version::Two => {
                c.softmax();
                let least = (-self.mu).exp2();
                if c.list.iter().any(|c| c.probability >= least) {
                    c.retain(|c| c.probability >= least);
                } else {
                    c.keep_largest(1);
                }
            }
        }
        c.softmax();
    }

    fn best_k(&self, c: &mut Candidates, vocabulary: usize) -> usize {
        let (mut tb, mut tt) = (0.0f64, 0.0f64);
        for (i, pair) in c.list.windows(2).take(ESTIMATE - 1).enumerate() {
            let t = ((i + 2) as f64 / (i + 1) as f64).ln();
            // The logarithm of the quotient of their shares.
            tb += t * (f64::from(pair[0].logit) - f64::from(pair[1].logit));
            tt += t * t;
        }
        let slope = tb / tt;
        let epsilon = slope - 1.0;
        let k = (epsilon * f64::from(self.mu).exp2() / (1.0 - (vocabulary as f64).powf(-epsilon)))
            .powf(1.0 / slope);
        let all = c.len().max(1);
        if k.is_finite() {
            (k as usize).clamp(1, all)
        } else {
            all
        }
    }

    /// Follows the surprise of what was chosen.
    pub fn chosen(&mut self, probability: f32) {
        self.mu -= self.eta * (-probability.log2() - self.tau);
    }
}
