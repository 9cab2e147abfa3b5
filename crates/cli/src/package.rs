//! What a stored model brings to a conversation: its parameters, system message, template and first turns.

use anyhow::{Result, bail};
use hearth_chat::{ChatTemplate, GoTemplate, Message};
use hearth_engine::sampling::Settings;
use hearth_store::Package;
use serde_json::Value;

use crate::{chat, sampling};

/// Parameters that mean nothing to this engine: it maps files, batches and places layers by itself.
const WITHOUT_EFFECT: &[&str] = &[
    "num_batch",
    "num_gpu",
    "main_gpu",
    "num_keep",
    "use_mmap",
    "draft_num_predict",
];

/// What a stored model sets besides samplers.
#[derive(Default)]
pub(crate) struct Defaults {
    pub context: Option<usize>,
    pub threads: Option<u16>,
    /// What to tell the user: what the model asks for and does not get.
    pub notes: Vec<String>,
}

/// Refuses a model of which a part would be left out in silence.
pub(crate) fn check(package: &Package) -> Result<()> {
    if package.config.remote_host.is_some() {
        bail!(
            "{} runs in Ollama's cloud: nothing of it is on this machine",
            package.name
        );
    }
    if !package.adapters.is_empty() {
        bail!(
            "{} has a LoRA adapter, which hearth cannot apply yet; its base would answer differently, so it is not run",
            package.name
        );
    }
    Ok(())
}

/// Puts a model's parameters in the place of the defaults.
pub(crate) fn apply(
    package: &Package,
    settings: &mut Settings,
    options: &mut chat::Options,
) -> Result<Defaults> {
    let mut defaults = Defaults::default();
    for (name, value) in &package.params {
        let wrong = || {
            anyhow::anyhow!(
                "{}: parameter {name} is {value}, which it cannot be",
                package.name
            )
        };
        let whole = || {
            value
                .as_f64()
                .filter(|n| n.fract() == 0.0)
                .map(|n| n as i64)
        };
        match name.as_str() {
            "stop" => options.stops.extend(texts(value).ok_or_else(wrong)?),
            "seed" => options.seed = u64::try_from(whole().ok_or_else(wrong)?).ok(), // negative: by chance
            "num_predict" => options.max_tokens = usize::try_from(whole().ok_or_else(wrong)?).ok(),
            "num_ctx" => {
                defaults.context = usize::try_from(whole().ok_or_else(wrong)?)
                    .ok()
                    .filter(|n| *n > 0)
            }
            "num_thread" => {
                defaults.threads = u16::try_from(whole().ok_or_else(wrong)?)
                    .ok()
                    .filter(|n| *n > 0)
            }
            name if WITHOUT_EFFECT.contains(&name) => {}
            name if sampling::is_setting(settings, name) => {
                sampling::set(settings, name, &value.to_string())
                    .map_err(|error| wrong().context(error))?;
            }
            _ => defaults
                .notes
                .push(format!("parameter {name} of the model has no effect here")),
        }
    }
    if !package.projectors.is_empty() {
        defaults
            .notes
            .push("the model can read images, hearth cannot yet: it answers text".to_owned());
    }
    Ok(defaults)
}

fn texts(value: &Value) -> Option<Vec<String>> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    match value {
        Value::Array(list) => list.iter().map(text).collect(),
        other => text(other).map(|text| vec![text]),
    }
    .map(|texts: Vec<String>| texts.into_iter().filter(|text| !text.is_empty()).collect())
}

/// The model's template in Go's language, if it has one.
pub(crate) fn template(package: &Package) -> Result<Option<ChatTemplate>> {
    let source = package.template.as_deref();
    Ok(source
        .map(GoTemplate::new)
        .transpose()?
        .map(ChatTemplate::from))
}

/// The turns that come before every conversation, the system message first.
pub(crate) fn first_messages(package: &Package) -> Vec<Message> {
    let system = package
        .system
        .iter()
        .map(|text| Message::new("system", text));
    let turns = package
        .messages
        .iter()
        .map(|turn| Message::new(turn.role.as_str(), turn.content.as_str()));
    system.chain(turns).collect()
}
