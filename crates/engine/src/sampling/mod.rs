//! From logits to a token: a chain of samplers, as data.
//!
//! The chain and its defaults are llama.cpp's, so that settings mean what users of other programs expect. Random
//! numbers are not: they come from a counter ([`random`]), so a seed gives one text on any number of threads.

mod candidates;
mod mirostat;
mod random;
mod repeat;
mod settings;
mod truncate;

pub use candidates::{Candidate, Candidates};
pub use mirostat::{Mirostat, Version};
pub use repeat::Dry;
pub use settings::{Name, Settings, UnknownSampler, parse_order};

use random::Purpose;

/// One step of a chain. A parameter that switches it off makes it do nothing.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "parameters are those of `Settings`")]
pub enum Sampler {
    Penalties {
        last_n: usize,
        repeat: f32,
        frequency: f32,
        presence: f32,
    },
    Dry(Dry),
    TopNSigma(f32),
    TopK(usize),
    Typical {
        p: f32,
        min_keep: usize,
    },
    TopP {
        p: f32,
        min_keep: usize,
    },
    MinP {
        p: f32,
        min_keep: usize,
    },
    Xtc {
        probability: f32,
        threshold: f32,
        min_keep: usize,
    },
    Temperature {
        value: f32,
        range: f32,
        exponent: f32,
    },
}

/// Where in the text a token is chosen: what random numbers depend on, besides the purpose.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// The request's seed.
    pub seed: u64,
    /// Tokens before it.
    pub position: u64,
}

impl Sampler {
    /// Applies it.
    pub fn apply(&self, c: &mut Candidates, history: &[u32], place: Place) {
        match self {
            Self::Penalties {
                last_n,
                repeat,
                frequency,
                presence,
            } => repeat::penalties(c, history, *last_n, *repeat, *frequency, *presence),
            Self::Dry(dry) => dry.apply(c, history),
            Self::TopNSigma(n) => truncate::top_n_sigma(c, *n),
            Self::TopK(k) => truncate::top_k(c, *k),
            Self::Typical { p, min_keep } => truncate::typical(c, *p, *min_keep),
            Self::TopP { p, min_keep } => truncate::top_p(c, *p, *min_keep),
            Self::MinP { p, min_keep } => truncate::min_p(c, *p, *min_keep),
            Self::Xtc {
                probability,
                threshold,
                min_keep,
            } => {
                truncate::xtc(
                    c,
                    *probability,
                    *threshold,
                    *min_keep,
                    random::uniform(place.seed, place.position, Purpose::Xtc),
                );
            }
            Self::Temperature {
                value,
                range,
                exponent,
            } => truncate::temperature(c, *value, *range, *exponent),
        }
    }
}

/// What was chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Choice {
    /// The token.
    pub id: u32,
    /// Its share among the survivors of the chain.
    pub probability: f32,
}

/// A request's samplers and their state.
#[derive(Clone, Debug)]
pub struct Chain {
    samplers: Vec<Sampler>,
    mirostat: Option<Mirostat>,
    bias: Vec<(u32, f32)>,
    seed: u64,
    candidates: Candidates,
    biased: Vec<f32>,
}

impl Chain {
    /// The chain that `settings` describe; `breakers` are DRY's, as tokens.
    pub fn new(settings: &Settings, breakers: Vec<Vec<u32>>, seed: u64) -> Self {
        let mirostat = settings
            .mirostat
            .map(|version| Mirostat::new(version, settings.mirostat_tau, settings.mirostat_eta));
        let samplers = match mirostat {
            // Mirostat replaces all that would cut the distribution before it.
            Some(_) => vec![settings.sampler(Name::Temperature, Vec::new())],
            None => settings
                .samplers
                .iter()
                .map(|name| settings.sampler(*name, breakers.clone()))
                .collect(),
        };
        Self {
            samplers,
            mirostat,
            bias: settings.logit_bias.clone(),
            seed,
            candidates: Candidates::default(),
            biased: Vec::new(),
        }
    }

    /// Chooses the token that follows `history`, which includes the prompt. `allowed` has a bit per token, the lowest
    /// of the first word being token 0; none allows all.
    ///
    /// `None` where no token is possible: all are forbidden, or no logit is a number.
    pub fn sample(
        &mut self,
        logits: &[f32],
        history: &[u32],
        allowed: Option<&[u32]>,
    ) -> Option<Choice> {
        self.biased.clear();
        self.biased.extend_from_slice(logits);
        for (id, bias) in &self.bias {
            if let Some(logit) = self.biased.get_mut(*id as usize) {
                *logit += bias;
            }
        }
        if let Some(allowed) = allowed {
            for (id, logit) in self.biased.iter_mut().enumerate() {
                if allowed
                    .get(id / 32)
                    .is_none_or(|word| word >> (id % 32) & 1 == 0)
                {
                    *logit = f32::NEG_INFINITY;
                }
            }
        }
        let c = &mut self.candidates;
        c.fill(&self.biased);
        let place = Place {
            seed: self.seed,
            position: history.len() as u64,
        };
        self.samplers
            .iter()
            .for_each(|sampler| sampler.apply(c, history, place));
        match &self.mirostat {
            Some(mirostat) => mirostat.cut(c, logits.len()),
            None => c.softmax(),
        }
        let chosen = c.at(random::uniform(place.seed, place.position, Purpose::Token))?;
        if let Some(mirostat) = &mut self.mirostat {
            mirostat.chosen(chosen.probability);
        }
        Some(Choice {
            id: chosen.id,
            probability: chosen.probability,
        })
    }
}

/// The `n` most likely tokens by the raw logits, with the logarithms of their shares of the whole vocabulary.
pub fn top_logprobs(logits: &[f32], n: usize) -> Vec<(u32, f32)> {
    let mut candidates = Candidates::default();
    candidates.fill(logits);
    candidates.sort_first(n.max(1));
    let max = candidates.max();
    let sum: f64 = candidates
        .list
        .iter()
        .map(|c| f64::from((c.logit - max).exp()))
        .sum();
    candidates
        .list
        .iter()
        .take(n)
        .map(|c| (c.id, (f64::from(c.logit - max) - sum.ln()) as f32))
        .collect()
}

#[cfg(test)]
mod tests;
