//! A text on a model: what was fed, and what follows.

use std::{
    ops::ControlFlow,
    time::{Duration, Instant},
};

use hearth_compute::Cpu;
use hearth_model::{Logits, Run, State, Workspace};

use crate::{Engine, Error, Result, Stops, sampling::Chain};

/// Tokens of a prefill step: large enough for the matrix kernels, small enough to be interrupted.
pub(crate) const STEP: usize = 512;

/// A text on an engine. It keeps the state of its tokens, so that a longer text costs only what is new.
pub struct Sequence<'e> {
    engine: &'e Engine,
    state: State<Cpu>,
    tokens: Vec<u32>,
    work: Workspace<Cpu>,
}

/// Where an answer ends.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Most tokens of the answer.
    pub max_tokens: usize,
    /// Texts that end it.
    pub stops: Vec<String>,
    /// Go on past the vocabulary's end tokens.
    pub ignore_end: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_tokens: usize::MAX,
            stops: Vec::new(),
            ignore_end: false,
        }
    }
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// The model ended it.
    End,
    /// A stop text came.
    Stop,
    /// It has as many tokens as were allowed.
    Length,
    /// The context is full.
    Context,
    /// The caller stopped it.
    Cancelled,
}

impl Finish {
    /// A word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::End => "end",
            Self::Stop => "stop",
            Self::Length => "length",
            Self::Context => "context",
            Self::Cancelled => "cancelled",
        }
    }
}

/// How long the parts took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timing {
    /// Reading the prompt's new tokens.
    pub prefill: Duration,
    /// Choosing tokens and reading each.
    pub decode: Duration,
}

/// An answer and what it cost.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The text.
    pub text: String,
    /// Its tokens, the one that ended it included.
    pub ids: Vec<u32>,
    /// Why it ended.
    pub finish: Finish,
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// Those of them that the sequence had already.
    pub reused: usize,
    /// How long it took.
    pub timing: Timing,
}

/// A step of a generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// New tokens of the prompt were read.
    Read {
        /// So many.
        done: usize,
        /// Of so many.
        total: usize,
    },
    /// More text of the answer, perhaps none.
    Text(&'a str),
}

/// What is to be generated.
pub struct Generation<'a> {
    /// Tokens to continue, all of them.
    pub prompt: &'a [u32],
    /// Chooses tokens.
    pub chain: Chain,
    /// Where it ends.
    pub limits: Limits,
    /// Tokens that are never chosen.
    pub forbidden: &'a [u32],
}

impl<'e> Sequence<'e> {
    /// An empty text.
    pub fn new(engine: &'e Engine) -> Self {
        Self {
            engine,
            state: engine.model.state(),
            tokens: Vec::new(),
            work: Workspace::default(),
        }
    }

    /// Tokens that it has.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// Continues the prompt. `sink` is told of every step and may stop it there.
    ///
    /// # Errors
    /// When the prompt is empty, does not fit the context, or the model gives no usable score. Nothing is cut.
    pub fn generate(
        &mut self,
        generation: Generation<'_>,
        mut sink: impl FnMut(Event<'_>) -> ControlFlow<()>,
    ) -> Result<Outcome> {
        let Generation {
            prompt,
            chain,
            limits,
            forbidden,
        } = generation;
        let context = self.engine.context();
        if prompt.is_empty() {
            return Err(Error::EmptyPrompt);
        }
        if prompt.len() >= context {
            return Err(Error::Prompt {
                prompt: prompt.len(),
                context,
            });
        }
        let start = Instant::now();
        let reused = self.keep(prompt);
        let mut answer = Answer {
            text: String::new(),
            ids: Vec::new(),
            stops: Stops::new(limits.stops.clone()),
            sink: &mut sink,
        };
        let read = self.prefill(&prompt[reused..], &mut answer)?;
        let prefill = start.elapsed();
        let decoding = Instant::now();
        let finish = match read {
            None => Finish::Cancelled,
            Some(logits) => self.decode(logits, chain, &limits, forbidden, &mut answer)?,
        };
        let Answer { text, ids, .. } = answer;
        let timing = Timing {
            prefill,
            decode: decoding.elapsed(),
        };
        Ok(Outcome {
            text,
            ids,
            finish,
            prompt_tokens: prompt.len(),
            reused,
            timing,
        })
    }

    /// Rolls back to what the prompt begins with. One token at least is read again: its logits are needed.
    fn keep(&mut self, prompt: &[u32]) -> usize {
        let same = self
            .tokens
            .iter()
            .zip(prompt)
            .take_while(|(a, b)| a == b)
            .count();
        let same = same.min(prompt.len() - 1);
        self.tokens.truncate(same);
        self.state.truncate(self.engine.model.backend(), same);
        same
    }

    /// Feeds tokens; the logits after the last, or none where the sink stopped it.
    fn prefill(&mut self, tokens: &[u32], answer: &mut Answer<'_>) -> Result<Option<Vec<f32>>> {
        let mut logits = None;
        for (number, piece) in tokens.chunks(STEP).enumerate() {
            let done = number * STEP + piece.len();
            let wanted = if done == tokens.len() {
                Logits::Last(1)
            } else {
                Logits::None
            };
            logits = self.step(piece, wanted)?;
            if (answer.sink)(Event::Read {
                done,
                total: tokens.len(),
            })
            .is_break()
            {
                return Ok(None);
            }
        }
        Ok(logits)
    }

    fn step(&mut self, tokens: &[u32], logits: Logits) -> Result<Option<Vec<f32>>> {
        let run = Run {
            state: &mut self.state,
            tokens,
            logits,
        };
        let mut rows = self.engine.model.step(&mut self.work, &mut [run])?;
        self.tokens.extend_from_slice(tokens);
        Ok(rows.pop())
    }

    fn decode(
        &mut self,
        mut logits: Vec<f32>,
        mut chain: Chain,
        limits: &Limits,
        forbidden: &[u32],
        answer: &mut Answer<'_>,
    ) -> Result<Finish> {
        let tokenizer = self.engine.tokenizer();
        let mut decoder = tokenizer.decoder(false);
        let finish = loop {
            if answer.ids.len() >= limits.max_tokens {
                break Finish::Length;
            }
            // Rows of the embedding beyond the vocabulary are padding and stand for no text.
            logits.truncate(tokenizer.vocab_len());
            for id in forbidden {
                if let Some(logit) = logits.get_mut(*id as usize) {
                    *logit = f32::NEG_INFINITY;
                }
            }
            let choice = chain
                .sample(&logits, &self.tokens, None)
                .ok_or(Error::NoToken {
                    position: self.tokens.len(),
                })?;
            answer.ids.push(choice.id);
            if tokenizer.is_end(choice.id) && !limits.ignore_end {
                break Finish::End;
            }
            if let Some(finish) = answer.push(&decoder.push(choice.id)) {
                return Ok(finish);
            }
            if self.tokens.len() + 1 >= self.engine.context() {
                break Finish::Context;
            }
            if answer.ids.len() < limits.max_tokens {
                logits = self
                    .step(&[choice.id], Logits::Last(1))?
                    .unwrap_or_default();
            }
        };
        let rest = decoder.finish();
        let finish = answer.push(&rest).unwrap_or(finish);
        let held = answer.stops.finish();
        if finish != Finish::Stop && answer.give(&held).is_break() {
            return Ok(Finish::Cancelled);
        }
        Ok(finish)
    }
}

/// The answer as it grows.
struct Answer<'s> {
    text: String,
    ids: Vec<u32>,
    stops: Stops,
    sink: &'s mut dyn FnMut(Event<'_>) -> ControlFlow<()>,
}

impl Answer<'_> {
    /// Takes more text; says if it ends here.
    fn push(&mut self, text: &str) -> Option<Finish> {
        let (certain, stopped) = self.stops.push(text);
        let cancelled = self.give(&certain).is_break();
        match (stopped, cancelled) {
            (true, _) => Some(Finish::Stop),
            (_, true) => Some(Finish::Cancelled),
            _ => None,
        }
    }

    fn give(&mut self, text: &str) -> ControlFlow<()> {
        self.text += text;
        (self.sink)(Event::Text(text))
    }
}
