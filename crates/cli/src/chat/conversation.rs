//! Messages, the template that makes a prompt of them, and the sequence that continues it.

use std::ops::ControlFlow;

use anyhow::{Context, Result};
use hearth_chat::{Message, Request};
use hearth_engine::{
    Engine, Event, Generation, Limits, Outcome, Sequence, Terms,
    sampling::{Chain, Settings},
};
use hearth_server::library::{Voice, encode};

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
    pub voice: Voice,
}

impl<'e> Conversation<'e> {
    /// An empty one.
    pub(crate) fn new(engine: &'e Engine, voice: Voice, options: Options) -> Self {
        Self {
            engine,
            options,
            messages: Vec::new(),
            sequence: Sequence::new(engine),
            voice,
        }
    }

    /// The text of the template.
    pub(crate) fn template(&self) -> &str {
        self.voice.template.source()
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
        Ok(self.voice.template.render(&request)?)
    }

    /// Answers the messages so far.
    pub(crate) fn answer(
        &mut self,
        sink: impl FnMut(Event<'_>) -> ControlFlow<()>,
    ) -> Result<Outcome> {
        let ids = encode(self.engine.tokenizer(), &self.prompt()?);
        let stops = [&self.options.stops[..], &self.voice.stops].concat();
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
        let breakers = settings.breakers(tokenizer);
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
