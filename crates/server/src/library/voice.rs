//! How a model is spoken to: its template, and what its answers look like.

use hearth_chat::{
    ChatTemplate, Conventions, GoTemplate, SpecialTokens, Template,
    fallback::{self, Builtin},
    output,
};
use hearth_engine::Engine;
use hearth_format::{Checkpoint, Source};
use hearth_tokenizer::{EncodeOptions, Tokenizer};
use serde_json::Value;

use super::Result;

/// A model's template and what follows from it.
#[derive(Clone, Debug)]
pub struct Voice {
    /// The template.
    pub template: ChatTemplate,
    /// Where it came from, for those who ask.
    pub origin: String,
    /// What it expects of messages.
    pub conventions: Conventions,
    /// What it has places for.
    pub capabilities: output::Capabilities,
    /// Texts that end an answer and are no tokens of the vocabulary.
    pub stops: Vec<String>,
}

impl Voice {
    /// With the template of a stored model, else the checkpoint's, else the one that the vocabulary suggests.
    ///
    /// # Errors
    /// When the template cannot be read.
    pub fn of(
        engine: &Engine,
        checkpoint: &Checkpoint,
        package: Option<&hearth_store::Package>,
    ) -> Result<Self> {
        let tokenizer = engine.tokenizer();
        let has = |text: &str| tokenizer.token_to_id(text).is_some();
        let chosen = Chosen::of(package, checkpoint, &has, engine.model().spec().family);
        let template = chosen.parse(special_tokens(tokenizer))?;
        let mut voice = Self::new(tokenizer, template, chosen.origin());
        if let Chosen::Builtin(builtin) = chosen {
            let stops = builtin.stops.iter().map(|stop| (*stop).to_owned());
            voice.stops.splice(0..0, stops);
        }
        Ok(voice)
    }

    /// With a template.
    pub fn new(tokenizer: &Tokenizer, template: ChatTemplate, origin: String) -> Self {
        // A marker that is a token ends the answer as a token; one that is text must be looked for.
        let end = template.turn_end();
        let stops = end.filter(|end| tokenizer.token_to_id(end).is_none());
        Self {
            conventions: Conventions::of(&template),
            capabilities: output::Capabilities::of(&template),
            stops: stops.into_iter().collect(),
            template,
            origin,
        }
    }
}

/// The template that a model is spoken to with, before it is read.
pub(super) enum Chosen {
    /// A stored model's, in Go's language.
    Package(String),
    /// The checkpoint's, in Jinja.
    Own(String),
    /// The one that the vocabulary suggests.
    Builtin(&'static Builtin),
}

impl Chosen {
    /// `has` says whether a text is a token of the vocabulary; `family` is the architecture.
    pub(super) fn of(
        package: Option<&hearth_store::Package>,
        checkpoint: &Checkpoint,
        has: &dyn Fn(&str) -> bool,
        family: &str,
    ) -> Self {
        let given = package.and_then(|package| package.template.clone());
        given
            .map(Self::Package)
            .or_else(|| template_source(checkpoint).map(Self::Own))
            .unwrap_or_else(|| Self::Builtin(fallback::detect(has, family)))
    }

    /// Its text.
    pub(super) fn source(&self) -> &str {
        match self {
            Self::Package(text) | Self::Own(text) => text,
            Self::Builtin(builtin) => builtin.source,
        }
    }

    /// Reads it.
    ///
    /// # Errors
    /// When it is no template.
    pub(super) fn parse(&self, tokens: SpecialTokens) -> Result<ChatTemplate> {
        Ok(match self {
            Self::Package(text) => GoTemplate::new(text)?.into(),
            Self::Own(text) => Template::new(text, tokens)?.into(),
            Self::Builtin(builtin) => Template::new(builtin.source, tokens)?.into(),
        })
    }

    fn origin(&self) -> String {
        match self {
            Self::Package(_) => "of the Modelfile".to_owned(),
            Self::Own(_) => "the model's own".to_owned(),
            Self::Builtin(builtin) => {
                format!("the built-in '{}', since the model has none", builtin.name)
            }
        }
    }
}

/// Ids of a prompt, special tokens read as such. The begin token is put first where the vocabulary wants it and the text
/// does not have it already; no end token is added, since the text is to be continued.
pub fn encode(tokenizer: &Tokenizer, text: &str) -> Vec<u32> {
    let options = EncodeOptions {
        add_special: false,
        parse_special: true,
    };
    let mut ids = tokenizer.encode(text, options);
    if let Some(bos) = tokenizer
        .bos()
        .filter(|bos| tokenizer.add_bos() && ids.first() != Some(bos))
    {
        ids.insert(0, bos);
    }
    ids
}

/// The texts of tokens that templates mention.
pub(crate) fn special_tokens(tokenizer: &Tokenizer) -> SpecialTokens {
    let text = |id: Option<u32>| {
        id.map(|id| String::from_utf8_lossy(tokenizer.token_bytes(id)).into_owned())
    };
    SpecialTokens {
        bos: text(tokenizer.bos()),
        eos: text(tokenizer.eos()),
        ..SpecialTokens::default()
    }
}

/// The chat template that travels with the model.
pub fn template_source(checkpoint: &Checkpoint) -> Option<String> {
    if checkpoint.source == Source::Gguf {
        return checkpoint
            .metadata()
            .string("tokenizer.chat_template")
            .map(str::to_owned);
    }
    let file = |name: &str| {
        checkpoint
            .side_file(name)
            .and_then(|p| std::fs::read_to_string(p).ok())
    };
    file("chat_template.jinja").or_else(|| {
        let config: Value = serde_json::from_str(&file("tokenizer_config.json")?).ok()?;
        match &config["chat_template"] {
            Value::String(text) => Some(text.clone()),
            // Several by name: the one called default serves.
            Value::Array(list) => {
                let default = list
                    .iter()
                    .find(|entry| entry["name"] == "default")
                    .or(list.first())?;
                default["template"].as_str().map(str::to_owned)
            }
            _ => None,
        }
    })
}
