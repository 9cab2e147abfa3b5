//! From logits to a token: a chain of samplers, as data.
//!
//! The chain and its defaults are llama.cpp's, so that settings mean what users of other programs expect. Random
//! numbers are not: they come from a counter ([`random`]), so a seed gives one text on any number of threads.

mod adaptive;
mod candidates;
mod logprobs;
mod mirostat;
mod random;
mod repeat;
mod settings;
mod truncate;

pub use adaptive::Adaptive;
pub use candidates::{Candidate, Candidates};
pub use logprobs::Logprobs;
pub use mirostat::{Mirostat, Version};
pub use repeat::{Breakers, Dry, breakers};
pub use settings::{Name, SettingError, Settings, UnknownSampler, parse_order};

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
    /// Its share in what it was drawn from: the survivors of the chain. [`Logprobs`] has the model's own.
    pub probability: f32,
}

/// What draws the token from the survivors, and its state.
#[derive(Clone, Debug)]
enum Selector {
    Shares,
    Mirostat(Mirostat),
    Adaptive(Adaptive),
}

/// A request's samplers and their state.
#[derive(Clone, Debug)]
pub struct Chain {
    samplers: Vec<Sampler>,
    selector: Selector,
    bias: Vec<(u32, f32)>,
    seed: u64,
    candidates: Candidates,
}

impl Chain {
    /// The chain that `settings` describe; `breakers` are DRY's, as tokens (see [`breakers`]).
    pub fn new(settings: &Settings, breakers: Vec<Vec<u32>>, seed: u64) -> Self {
        let selector = match settings.mirostat {
            Some(version) => Selector::Mirostat(Mirostat::new(
                version,
                settings.mirostat_tau,
                settings.mirostat_eta,
            )),
            None if settings.samplers.contains(&Name::AdaptiveP) => Selector::Adaptive(
                Adaptive::new(settings.adaptive_target, settings.adaptive_decay),
            ),
            None => Selector::Shares,
        };
        let order: &[Name] = match selector {
            // Mirostat replaces all that would cut the distribution before it.
            Selector::Mirostat(_) => &[Name::Temperature],
            _ => &settings.samplers,
        };
        let breakers = Breakers::from(breakers);
        let samplers = order
            .iter()
            .filter_map(|name| settings.sampler(*name, &breakers))
            .collect();
        Self {
            samplers,
            selector,
            bias: settings.logit_bias.clone(),
            seed,
            candidates: Candidates::default(),
        }
    }

    /// Chooses the token that follows `history`, which includes the prompt. `allowed` is as for [`Candidates::new`].
    ///
    /// `None` where no token is possible: all are forbidden, or no logit is a number.
    pub fn sample(
        &mut self,
        logits: &[f32],
        history: &[u32],
        allowed: Option<&[u32]>,
    ) -> Option<Choice> {
        self.sample_at(history.len() as u64, logits, history, allowed)
    }

    /// The same where `history` is not all of the text before: its random numbers are those of `position`, which
    /// should not come twice in a text.
    pub fn sample_at(
        &mut self,
        position: u64,
        logits: &[f32],
        history: &[u32],
        allowed: Option<&[u32]>,
    ) -> Option<Choice> {
        let c = &mut self.candidates;
        c.fill(logits, allowed);
        c.bias(&self.bias);
        let place = Place {
            seed: self.seed,
            position,
        };
        for sampler in &self.samplers {
            sampler.apply(c, history, place);
        }
        match &self.selector {
            Selector::Shares => c.softmax(),
            Selector::Mirostat(mirostat) => mirostat.cut(c, logits.len()),
            Selector::Adaptive(adaptive) => adaptive.prefer(c),
        }
        let chosen = c.draw(random::uniform(self.seed, position, Purpose::Token))?;
        match &mut self.selector {
            Selector::Shares => {}
            Selector::Mirostat(mirostat) => mirostat.chosen(chosen.probability),
            Selector::Adaptive(adaptive) => adaptive.chosen(c.share(chosen.logit)),
        }
        Some(Choice {
            id: chosen.id,
            probability: chosen.probability,
        })
    }

    /// What the last token was drawn from: the `n` largest logits, in order, with the shares they were drawn by.
    pub fn drawn_from(&mut self, n: usize) -> &[Candidate] {
        self.candidates.sort_first(n);
        let survivors = self.candidates.survivors();
        &survivors[..n.min(survivors.len())]
    }
}

#[cfg(test)]
mod tests;
