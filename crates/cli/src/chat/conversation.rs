//! Messages, the template that makes a prompt of them, and the sequence that continues it.

use std::ops::ControlFlow;

use anyhow::{Context, Result};
use hearth_chat::{ChatTemplate, Message, Request, SpecialTokens, Template, fallback};
use hearth_engine::{
    Engine, Event, Generation, Limits, Outcome, Sequence, Terms,
    sampling::{self, Chain, Settings},
};
use hearth_format::{Checkpoint, Source};
use hearth_tokenizer::{EncodeOptions, Tokenizer};
use serde_json::Value;

/// What a user may change in the middle of a conversation.
#[derive(Clone)]
pub(crate) struct Options {
    pub settings: Settings,
    /// None draws a new one for every answer.
    pub seed: Option<u64>,
    pub max_tokens: Option<usize>,
    pub stops: Vec<String>,
    pub ignore_end: bool,
}

/// A conversation.
pub(crate) struct Conversation<'e> {
    pub engine: &'e Engine,
    pub options: Options,
    pub messages: Vec<Message>,
    sequence: Sequence<'e>,
    template: ChatTemplate,
    /// Where the template came from, for those who ask.
    pub template_name: String,
    turn_end: Option<String>,
}

impl<'e> Conversation<'e> {
    /// An empty one, with the template that was given, the model's, or the one that its vocabulary suggests.
    pub(crate) fn new(
        engine: &'e Engine,
        checkpoint: &Checkpoint,
        given: Option<ChatTemplate>,
        mut options: Options,
    ) -> Result<Self> {
        let tokenizer = engine.tokenizer();
        let tokens = special_tokens(tokenizer);
        let (template, template_name) = match (given, template_source(checkpoint)) {
            (Some(template), _) => (template, "of the Modelfile".to_owned()),
            (None, Some(source)) => (
                Template::new(&source, tokens)?.into(),
                "the model's own".to_owned(),
            ),
            (None, None) => {
                let has = |text: &str| tokenizer.token_to_id(text).is_some();
                let builtin = fallback::detect(&has, engine.model().spec().family);
                options
                    .stops
                    .extend(builtin.stops.iter().map(|stop| (*stop).to_owned()));
                (
                    Template::new(builtin.source, tokens)?.into(),
                    format!("the built-in '{}', since the model has none", builtin.name),
                )
            }
        };
        let turn_end = template.turn_end();
        Ok(Self {
            engine,
            options,
            messages: Vec::new(),
            sequence: Sequence::new(engine),
            template,
            template_name,
            turn_end,
        })
    }

    /// The text of the template.
    pub(crate) fn template(&self) -> &str {
        self.template.source()
    }

    /// Sets, replaces or (by an empty text) takes away the system message.
    pub(crate) fn set_system(&mut self, text: &str) {
        self.messages.retain(|message| message.role != "system");
        if !text.is_empty() {
            self.messages.insert(0, Message::new("system", text));
        }
    }

    /// The prompt for all messages so far.
    pub(crate) fn prompt(&self) -> Result<String> {
        let request = Request {
            messages: self.messages.clone(),
            add_generation_prompt: true,
            ..Request::default()
        };
        Ok(self.template.render(&request)?)
    }

    /// Answers the messages so far.
    pub(crate) fn answer(
        &mut self,
        sink: impl FnMut(Event<'_>) -> ControlFlow<()>,
    ) -> Result<Outcome> {
        let ids = encode(self.engine.tokenizer(), &self.prompt()?);
        let mut stops = self.options.stops.clone();
        // A marker that is a token ends the answer as a token; one that is text must be looked for.
        stops.extend(
            self.turn_end
                .clone()
                .filter(|end| self.engine.tokenizer().token_to_id(end).is_none()),
        );
        self.generate(&ids, stops, sink)
    }

    /// Continues a text as it is.
    pub(crate) fn continue_text(
        &mut self,
        text: &str,
        sink: impl FnMut(Event<'_>) -> ControlFlow<()>,
    ) -> Result<Outcome> {
        let ids = encode(self.engine.tokenizer(), text);
        self.generate(&ids, self.options.stops.clone(), sink)
    }

    fn generate(
        &mut self,
        prompt: &[u32],
        stops: Vec<String>,
        sink: impl FnMut(Event<'_>) -> ControlFlow<()>,
    ) -> Result<Outcome> {
        let Options {
            settings,
            seed,
            max_tokens,
            ignore_end,
            ..
        } = &self.options;
        let tokenizer = self.engine.tokenizer();
        let breakers = breakers(tokenizer, settings);
        let chain = Chain::new(settings, breakers, seed.unwrap_or_else(random_seed));
        let limits = Limits {
            max_tokens: max_tokens.unwrap_or(usize::MAX),
            stops,
            ignore_end: *ignore_end,
            time: None,
        };
        let terms = Terms {
            limits,
            forbidden: tokenizer.suppressed().to_vec(),
            ..Terms::new(chain)
        };
        let generation = Generation { prompt, terms };
        Ok(self.sequence.generate(generation, sink)?)
    }

    /// Tokens in the sequence.
    pub(crate) fn used(&self) -> usize {
        self.sequence.tokens().len()
    }

    /// The messages as a JSON text that [`Self::load`] reads.
    pub(crate) fn to_json(&self) -> Result<String> {
        Ok(serde_json::to_string_pretty(&self.messages)?)
    }

    /// Takes messages from a JSON text.
    pub(crate) fn load(&mut self, text: &str) -> Result<()> {
        self.messages = serde_json::from_str(text)
            .context("expected a list of messages with role and content")?;
        Ok(())
    }
}

/// A seed from the system's random hash keys.
pub(crate) fn random_seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    // 32 bits, so that a seed survives every JSON reader.
    RandomState::new().hash_one(std::process::id()) & u64::from(u32::MAX)
}

/// Ids of a prompt, special tokens read as such. The begin token is put first where the vocabulary wants it and the text
/// does not have it already; no end token is added, since the text is to be continued.
fn encode(tokenizer: &Tokenizer, text: &str) -> Vec<u32> {
    let mut ids = tokenizer.encode(
        text,
        EncodeOptions {
            add_special: false,
            parse_special: true,
        },
    );
    if let Some(bos) = tokenizer
        .bos()
        .filter(|bos| tokenizer.add_bos() && ids.first() != Some(bos))
    {
        ids.insert(0, bos);
    }
    ids
}

/// DRY's breakers as tokens.
fn breakers(tokenizer: &Tokenizer, settings: &Settings) -> Vec<Vec<u32>> {
    if settings.dry_multiplier == 0.0 {
        return Vec::new();
    }
    let pieces = (0..tokenizer.vocab_len() as u32).map(|id| tokenizer.token_bytes(id));
    let plain = EncodeOptions {
        add_special: false,
        parse_special: false,
    };
    sampling::breakers(&settings.dry_sequence_breakers, pieces, |text| {
        tokenizer.encode(text, plain)
    })
}

fn special_tokens(tokenizer: &Tokenizer) -> SpecialTokens {
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
pub(crate) fn template_source(checkpoint: &Checkpoint) -> Option<String> {
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
