//! What a user may set of a chain, with llama.cpp's names and defaults.

use hearth_tokenizer::{EncodeOptions, Tokenizer};
use serde_json::Value;

use super::{Breakers, Dry, Sampler, Version};

/// A sampler's name in an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "each is the sampler of that name")]
pub enum Name {
    Penalties,
    Dry,
    TopNSigma,
    TopK,
    #[serde(rename = "typ_p")]
    Typical,
    TopP,
    MinP,
    Xtc,
    Temperature,
    /// Chooses the token, at the end of the chain wherever it is named.
    AdaptiveP,
}

/// Those that run where no order is set.
const DEFAULT_ORDER: [Name; 9] = [
    Name::Penalties,
    Name::Dry,
    Name::TopNSigma,
    Name::TopK,
    Name::Typical,
    Name::TopP,
    Name::MinP,
    Name::Xtc,
    Name::Temperature,
];

/// Names, the canonical one first, and the letter of the short form.
const NAMES: [(Name, char, &[&str]); 10] = [
    (Name::Penalties, 'e', &["penalties"]),
    (Name::Dry, 'd', &["dry"]),
    (Name::TopNSigma, 's', &["top_n_sigma", "topnsigma"]),
    (Name::TopK, 'k', &["top_k", "topk"]),
    (Name::Typical, 'y', &["typ_p", "typp", "typ", "typical"]),
    (Name::TopP, 'p', &["top_p", "topp", "nucleus"]),
    (Name::MinP, 'm', &["min_p", "minp"]),
    (Name::Xtc, 'x', &["xtc"]),
    (Name::Temperature, 't', &["temperature", "temp"]),
    (Name::AdaptiveP, 'a', &["adaptive_p", "adaptivep"]),
];

/// A name that is none of a sampler.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' is no sampler; expected some of penalties, dry, top_n_sigma, top_k, typ_p, top_p, min_p, xtc, temperature, adaptive_p, with ';' between, or letters of edskypmxta"
)]
pub struct UnknownSampler(String);

/// Reads an order: names with `;` between, or a word of letters.
///
/// # Errors
/// When a name is none of a sampler.
pub fn parse_order(text: &str) -> Result<Vec<Name>, UnknownSampler> {
    let named = |word: &str| {
        let word = word.trim().to_lowercase().replace('-', "_");
        NAMES
            .iter()
            .find(|(.., names)| names.contains(&word.as_str()))
            .map(|(name, ..)| *name)
    };
    let words: Vec<&str> = text
        .split(';')
        .filter(|word| !word.trim().is_empty())
        .collect();
    if let [word] = words.as_slice()
        && named(word).is_none()
    {
        let letter = |c: char| {
            NAMES
                .iter()
                .find(|(_, l, _)| *l == c)
                .map(|(name, ..)| *name)
        };
        return word
            .trim()
            .chars()
            .map(|c| letter(c).ok_or_else(|| UnknownSampler((*word).to_owned())))
            .collect();
    }
    words
        .iter()
        .map(|word| named(word).ok_or_else(|| UnknownSampler((*word).to_owned())))
        .collect()
}

/// All settings of a chain.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Settings {
    /// Which samplers run, in this order.
    pub samplers: Vec<Name>,
    /// Divides the logits; 0 always takes the most likely token.
    pub temperature: f32,
    /// How far the temperature moves with the entropy, both ways; 0 is off.
    pub dynatemp_range: f32,
    /// How the entropy is bent before.
    pub dynatemp_exponent: f32,
    /// Tokens kept; 0 keeps all.
    pub top_k: usize,
    /// Share of the most likely that is kept; 1 keeps all.
    pub top_p: f32,
    /// Least likelihood, relative to the most likely; 0 is off.
    pub min_p: f32,
    /// Share of the most typical that is kept; 1 keeps all.
    pub typical_p: f32,
    /// Standard deviations below the largest logit that are kept; -1 is off.
    pub top_n_sigma: f32,
    /// Chance that XTC acts; 0 is off.
    pub xtc_probability: f32,
    /// Likelihood from which XTC drops all but one.
    pub xtc_threshold: f32,
    /// Tokens that the cuts leave at least.
    pub min_keep: usize,
    /// Tokens that the penalties look at.
    pub repeat_last_n: usize,
    /// Divides the logits of tokens that occurred; 1 is off.
    pub repeat_penalty: f32,
    /// Taken off for every occurrence.
    pub frequency_penalty: f32,
    /// Taken off once.
    pub presence_penalty: f32,
    /// Size of DRY's penalty; 0 is off.
    pub dry_multiplier: f32,
    /// How DRY's penalty grows.
    pub dry_base: f32,
    /// Length of a repetition that DRY allows.
    pub dry_allowed_length: usize,
    /// Tokens that DRY looks at.
    pub dry_penalty_last_n: usize,
    /// Texts that no repetition may span for DRY.
    pub dry_sequence_breakers: Vec<String>,
    /// Mirostat in place of all cuts.
    pub mirostat: Option<Version>,
    /// Surprise that mirostat keeps, in bits.
    pub mirostat_tau: f32,
    /// How fast mirostat follows.
    pub mirostat_eta: f32,
    /// Share that adaptive-p keeps the chosen tokens near; negative is off.
    pub adaptive_target: f32,
    /// How much of the past adaptive-p remembers, 0 to 0.99.
    pub adaptive_decay: f32,
    /// Added to the logits of tokens.
    pub logit_bias: Vec<(u32, f32)>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            samplers: DEFAULT_ORDER.to_vec(),
            temperature: 0.8,
            dynatemp_range: 0.0,
            dynatemp_exponent: 1.0,
            top_k: 40,
            top_p: 0.95,
            min_p: 0.05,
            typical_p: 1.0,
            top_n_sigma: -1.0,
            xtc_probability: 0.0,
            xtc_threshold: 0.1,
            min_keep: 0,
            repeat_last_n: 64,
            repeat_penalty: 1.0,
            frequency_penalty: 0.0,
            presence_penalty: 0.0,
            dry_multiplier: 0.0,
            dry_base: 1.75,
            dry_allowed_length: 2,
            dry_penalty_last_n: 64,
            dry_sequence_breakers: ["\n", ":", "\"", "*"].map(str::to_owned).to_vec(),
            mirostat: None,
            mirostat_tau: 5.0,
            mirostat_eta: 0.1,
            adaptive_target: -1.0,
            adaptive_decay: 0.9,
            logit_bias: Vec::new(),
        }
    }
}

/// Why a setting cannot be what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingError {
    /// There is none of that name.
    #[error("there is no setting '{name}'; there are {}", .known.join(", "))]
    Unknown {
        /// What was asked for.
        name: String,
        /// What there is.
        known: Vec<String>,
    },
    /// It cannot have this value.
    #[error("{name} is {found}, expected {expected}")]
    Value {
        /// The setting.
        name: String,
        /// The value.
        found: String,
        /// What it can be.
        expected: String,
    },
}

impl Settings {
    /// Whether there is a setting of a name.
    pub fn has(name: &str) -> bool {
        serde_json::to_value(Self::default()).is_ok_and(|all| all.get(name).is_some())
    }

    /// Changes a setting by its name. Where it is a list of samplers or a version of mirostat, texts and numbers are
    /// understood as the command line writes them.
    ///
    /// # Errors
    /// When there is none of that name, or no sampler can work with the value; nothing is changed then.
    pub fn set(&mut self, name: &str, value: &Value) -> Result<(), SettingError> {
        let key = name.replace('-', "_");
        let wrong = |expected: String| SettingError::Value {
            name: key.clone(),
            found: value.to_string(),
            expected,
        };
        let mut all = serde_json::to_value(&*self).map_err(|e| wrong(e.to_string()))?;
        let known = || {
            all.as_object()
                .into_iter()
                .flatten()
                .map(|(name, _)| name.clone())
                .collect()
        };
        if all.get(&key).is_none() {
            let known = known();
            let name = name.to_owned();
            return Err(SettingError::Unknown { name, known });
        }
        let text = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        all[&key] = match key.as_str() {
            "samplers" if value.is_string() => {
                let order = parse_order(&text).map_err(|e| wrong(e.to_string()))?;
                serde_json::to_value(order).map_err(|e| wrong(e.to_string()))?
            }
            "mirostat" => match text.as_str() {
                "0" | "off" => Value::Null,
                "1" => "one".into(),
                "2" => "two".into(),
                _ => value.clone(),
            },
            // Whole numbers come as 40.0 too.
            _ => match value.as_f64() {
                Some(n) if n.fract() == 0.0 && n.abs() < 1e15 && all[&key].is_u64() => {
                    (n as i64).into()
                }
                _ => value.clone(),
            },
        };
        let changed: Self = serde_json::from_value(all).map_err(|e| wrong(e.to_string()))?;
        changed.check()?;
        *self = changed;
        Ok(())
    }

    /// The texts that no repetition may span for DRY, as tokens.
    pub fn breakers(&self, tokenizer: &Tokenizer) -> Vec<Vec<u32>> {
        if self.dry_multiplier == 0.0 {
            return Vec::new();
        }
        let pieces = (0..tokenizer.vocab_len() as u32).map(|id| tokenizer.token_bytes(id));
        let plain = EncodeOptions {
            add_special: false,
            parse_special: false,
        };
        super::breakers(&self.dry_sequence_breakers, pieces, |text| {
            tokenizer.encode(text, plain)
        })
    }

    /// Refuses what no sampler can work with.
    ///
    /// # Errors
    /// Names the setting.
    pub fn check(&self) -> Result<(), SettingError> {
        let wrong = |name: &str, found: f32, expected: &str| SettingError::Value {
            name: name.to_owned(),
            found: found.to_string(),
            expected: expected.to_owned(),
        };
        let numbers = [
            ("temperature", self.temperature),
            ("top_p", self.top_p),
            ("min_p", self.min_p),
            ("typical_p", self.typical_p),
            ("top_n_sigma", self.top_n_sigma),
            ("dynatemp_range", self.dynatemp_range),
            ("dynatemp_exponent", self.dynatemp_exponent),
            ("repeat_penalty", self.repeat_penalty),
            ("frequency_penalty", self.frequency_penalty),
            ("presence_penalty", self.presence_penalty),
            ("dry_multiplier", self.dry_multiplier),
            ("dry_base", self.dry_base),
            ("mirostat_tau", self.mirostat_tau),
            ("mirostat_eta", self.mirostat_eta),
            ("adaptive_target", self.adaptive_target),
            ("adaptive_decay", self.adaptive_decay),
        ];
        if let Some((name, value)) = numbers.into_iter().find(|(_, value)| !value.is_finite()) {
            return Err(wrong(name, value, "a number"));
        }
        if self.repeat_penalty <= 0.0 {
            return Err(wrong(
                "repeat_penalty",
                self.repeat_penalty,
                "a positive number; 1 switches it off",
            ));
        }
        Ok(())
    }

    /// The sampler of a name with these settings; none for what chooses instead.
    pub(super) fn sampler(&self, name: Name, breakers: &Breakers) -> Option<Sampler> {
        let min_keep = self.min_keep;
        Some(match name {
            Name::Penalties => Sampler::Penalties {
                last_n: self.repeat_last_n,
                repeat: self.repeat_penalty,
                frequency: self.frequency_penalty,
                presence: self.presence_penalty,
            },
            Name::Dry => Sampler::Dry(Dry {
                multiplier: self.dry_multiplier,
                base: self.dry_base,
                allowed_length: self.dry_allowed_length,
                last_n: self.dry_penalty_last_n,
                breakers: breakers.clone(),
            }),
            Name::TopNSigma => Sampler::TopNSigma(self.top_n_sigma),
            Name::TopK => Sampler::TopK(self.top_k),
            Name::Typical => Sampler::Typical {
                p: self.typical_p,
                min_keep,
            },
            Name::TopP => Sampler::TopP {
                p: self.top_p,
                min_keep,
            },
            Name::MinP => Sampler::MinP {
                p: self.min_p,
                min_keep,
            },
            Name::Xtc => Sampler::Xtc {
                probability: self.xtc_probability,
                threshold: self.xtc_threshold,
                min_keep,
            },
            Name::Temperature => Sampler::Temperature {
                value: self.temperature,
                range: self.dynatemp_range,
                exponent: self.dynatemp_exponent,
            },
            Name::AdaptiveP => return None,
        })
    }
}
