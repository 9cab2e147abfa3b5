//! The flags of the samplers, and settings by name.

use anyhow::Result;
use hearth_engine::sampling::{Settings, parse_order};
use serde_json::Value;

/// Flags that replace what the model recommends.
#[derive(clap::Args)]
#[command(next_help_heading = "Sampling")]
pub(crate) struct Flags {
    /// 0 always takes the most likely token
    #[arg(long, short = 't', visible_alias = "temp")]
    temperature: Option<f32>,
    /// Keep the K most likely; 0 keeps all
    #[arg(long, value_name = "K")]
    top_k: Option<usize>,
    /// Keep the most likely until their shares reach P
    #[arg(long, value_name = "P")]
    top_p: Option<f32>,
    /// Keep those at least P times as likely as the most likely
    #[arg(long, value_name = "P")]
    min_p: Option<f32>,
    /// Keep the most typical until their shares reach P
    #[arg(long, value_name = "P", visible_alias = "typical")]
    typical_p: Option<f32>,
    /// Keep those within N standard deviations of the largest logit
    #[arg(long, value_name = "N")]
    top_n_sigma: Option<f32>,
    /// Move the temperature by so much with the entropy
    #[arg(long, value_name = "RANGE")]
    dynatemp_range: Option<f32>,
    /// Bend the entropy before
    #[arg(long, value_name = "EXPONENT")]
    dynatemp_exponent: Option<f32>,
    /// Chance that the most likely tokens are dropped (XTC)
    #[arg(long, value_name = "CHANCE")]
    xtc_probability: Option<f32>,
    /// Likelihood from which XTC drops
    #[arg(long, value_name = "P")]
    xtc_threshold: Option<f32>,
    /// Tokens that the cuts leave at least
    #[arg(long, value_name = "N")]
    min_keep: Option<usize>,
    /// Tokens that the penalties look at
    #[arg(long, value_name = "N")]
    repeat_last_n: Option<usize>,
    /// Divide the logits of tokens that occurred; 1 is off
    #[arg(long, value_name = "PENALTY")]
    repeat_penalty: Option<f32>,
    /// Lower tokens for each occurrence
    #[arg(long, value_name = "PENALTY", allow_negative_numbers = true)]
    frequency_penalty: Option<f32>,
    /// Lower tokens that occurred once
    #[arg(long, value_name = "PENALTY", allow_negative_numbers = true)]
    presence_penalty: Option<f32>,
    /// Size of the penalty on repeated sequences (DRY); 0 is off
    #[arg(long, value_name = "SIZE")]
    dry_multiplier: Option<f32>,
    /// How it grows with the length
    #[arg(long, value_name = "BASE")]
    dry_base: Option<f32>,
    /// Length of a repetition that is free
    #[arg(long, value_name = "N")]
    dry_allowed_length: Option<usize>,
    /// Tokens that DRY looks at
    #[arg(long, value_name = "N")]
    dry_penalty_last_n: Option<usize>,
    /// Text that no repetition may span; may be repeated
    #[arg(long = "dry-sequence-breaker", value_name = "TEXT")]
    dry_sequence_breakers: Option<Vec<String>>,
    /// Keep the surprise of the text steady in place of all cuts
    #[arg(long, value_name = "1|2", value_parser = ["0", "1", "2"])]
    mirostat: Option<String>,
    /// The surprise to keep, in bits
    #[arg(long, value_name = "BITS")]
    mirostat_tau: Option<f32>,
    /// How fast it follows
    #[arg(long, value_name = "RATE")]
    mirostat_eta: Option<f32>,
    /// Prefer tokens near this share, where the order has adaptive_p; negative is off
    #[arg(long, value_name = "P", allow_negative_numbers = true)]
    adaptive_target: Option<f32>,
    /// How long it remembers, from 0 to 0.99
    #[arg(long, value_name = "RATE")]
    adaptive_decay: Option<f32>,
    /// Add to a token's logit, as ID=BIAS; may be repeated
    #[arg(long, value_name = "ID=BIAS", value_parser = bias)]
    logit_bias: Vec<(u32, f32)>,
    /// The samplers in order, as `top_k;top_p;temperature` or in letters of edskypmxt
    #[arg(long, value_name = "ORDER")]
    samplers: Option<String>,
}

fn bias(text: &str) -> Result<(u32, f32), String> {
    let parts = text
        .split_once('=')
        .and_then(|(id, bias)| Some((id.parse().ok()?, bias.parse().ok()?)));
    parts
        .filter(|(_, bias): &(u32, f32)| !bias.is_nan())
        .ok_or_else(|| format!("'{text}' is not ID=BIAS, such as 42=-1.5"))
}

impl Flags {
    /// Puts what was given in the place of what is there.
    pub(crate) fn apply(&self, s: &mut Settings) -> Result<()> {
        macro_rules! take {
            ($($name:ident),*) => { $( if let Some(value) = &self.$name { s.$name.clone_from(value); } )* };
        }
        take!(
            temperature,
            top_k,
            top_p,
            min_p,
            typical_p,
            top_n_sigma,
            dynatemp_range,
            dynatemp_exponent,
            xtc_probability,
            xtc_threshold,
            min_keep,
            repeat_last_n,
            repeat_penalty,
            frequency_penalty,
            presence_penalty,
            dry_multiplier,
            dry_base,
            dry_allowed_length,
            dry_penalty_last_n,
            dry_sequence_breakers,
            mirostat_tau,
            mirostat_eta,
            adaptive_target,
            adaptive_decay
        );
        if let Some(version) = &self.mirostat {
            set(s, "mirostat", version)?;
        }
        if let Some(order) = &self.samplers {
            s.samplers = parse_order(order)?;
        }
        s.logit_bias.extend(&self.logit_bias);
        Ok(s.check()?)
    }
}

/// Changes a setting by its name and what the user wrote.
pub(crate) fn set(s: &mut Settings, name: &str, value: &str) -> Result<()> {
    let value = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
    Ok(s.set(name, &value)?)
}
