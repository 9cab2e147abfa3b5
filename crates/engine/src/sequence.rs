//! A text on a model: what was fed, and what follows.

use std::{
    collections::VecDeque,
    ops::ControlFlow,
    time::{Duration, Instant},
};

use hearth_compute::Cpu;
use hearth_model::{Logits, Run, State, Workspace};

use crate::{
    Engine, Error, Finish, Result,
    answer::{Answer, Terms},
};

/// Tokens of a prefill step: large enough for the matrix kernels, small enough to be interrupted.
pub(crate) const STEP: usize = 512;

/// A text on an engine. It keeps the state of its tokens, so that a longer text costs only what is new.
pub struct Sequence<'e> {
    engine: &'e Engine,
    state: State<Cpu>,
    tokens: Vec<u32>,
    /// States at the ends of the last prompts, where a recurrent state cannot go back.
    turns: VecDeque<State<Cpu>>,
    work: Workspace<Cpu>,
}

/// Ends of prompts that are remembered.
const TURNS: usize = 4;

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
    /// How tokens are chosen, and where it ends.
    pub terms: Terms,
}

impl<'e> Sequence<'e> {
    /// An empty text.
    pub fn new(engine: &'e Engine) -> Self {
        Self {
            engine,
            state: engine.model.state(),
            tokens: Vec::new(),
            turns: VecDeque::new(),
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
        let Generation { prompt, terms } = generation;
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
        let mut written = Written {
            text: String::new(),
            ids: Vec::new(),
            sink: &mut sink,
        };
        let read = self.prefill(&prompt[reused..], &mut written)?;
        let prefill = start.elapsed();
        let decoding = Instant::now();
        let answer = Answer::new(self.engine.tokenizer(), terms);
        let finish = match read {
            None => Finish::Cancelled,
            Some(_) if answer.is_over() => Finish::Length,
            Some(logits) => self.decode(logits, answer, &mut written)?,
        };
        let Written { text, ids, .. } = written;
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
        self.turns.retain(|turn| turn.len() <= same);
        let mut left = self.state.truncate(self.engine.model.backend(), same);
        if left < same
            && let Some(turn) = self.turns.back()
        {
            self.state = turn.clone();
            left = self.state.len();
        }
        self.tokens.truncate(left);
        left
    }

    /// Feeds tokens; the logits after the last, or none where the sink stopped it.
    fn prefill(&mut self, tokens: &[u32], written: &mut Written<'_>) -> Result<Option<Vec<f32>>> {
        let mut logits = None;
        for (number, piece) in tokens.chunks(STEP).enumerate() {
            let done = number * STEP + piece.len();
            let wanted = if done == tokens.len() {
                Logits::Last(1)
            } else {
                Logits::None
            };
            logits = self.step(piece, wanted)?;
            if (written.sink)(Event::Read {
                done,
                total: tokens.len(),
            })
            .is_break()
            {
                return Ok(None);
            }
        }
        if self.state.is_recurrent() {
            self.turns.push_back(self.state.clone());
            if self.turns.len() > TURNS {
                self.turns.pop_front();
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
        mut answer: Answer<'_>,
        written: &mut Written<'_>,
    ) -> Result<Finish> {
        loop {
            if let Some(guide) = &mut answer.terms.guide {
                guide.prepare();
            }
            let (token, mut finish) = answer.take(&mut logits, &self.tokens, self.tokens.len())?;
            let mut text = token.text;
            if finish.is_none() && self.tokens.len() + 1 >= self.engine.context() {
                finish = Some(answer.close(Finish::Context, &mut text));
            }
            written.ids.push(token.id);
            let cancelled = written.give(&text).is_break();
            match finish {
                Some(finish @ Finish::Stop(_)) => return Ok(finish),
                _ if cancelled => return Ok(Finish::Cancelled),
                Some(finish) => return Ok(finish),
                None => {}
            }
            logits = self.step(&[token.id], Logits::Last(1))?.unwrap_or_default();
        }
    }
}

/// What was given out so far.
struct Written<'s> {
    text: String,
    ids: Vec<u32>,
    sink: &'s mut dyn FnMut(Event<'_>) -> ControlFlow<()>,
}

impl Written<'_> {
    fn give(&mut self, text: &str) -> ControlFlow<()> {
        self.text += text;
        (self.sink)(Event::Text(text))
    }
}
