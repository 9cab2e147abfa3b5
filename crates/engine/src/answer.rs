//! An answer as it grows: one token is chosen, becomes text, and is looked at for an end.

use std::time::{Duration, Instant};

use hearth_tokenizer::{Decoder, Tokenizer};

use crate::{
    Error, Result, Stops,
    sampling::{Chain, Logprobs},
};

/// Where an answer ends.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Most tokens of the answer.
    pub max_tokens: usize,
    /// Texts that end it.
    pub stops: Vec<String>,
    /// Go on past the vocabulary's end tokens.
    pub ignore_end: bool,
    /// End it at the next line break after so long.
    pub time: Option<Duration>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_tokens: usize::MAX,
            stops: Vec::new(),
            ignore_end: false,
            time: None,
        }
    }
}

/// Why an answer ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finish {
    /// The model ended it.
    End,
    /// This stop text came.
    Stop(String),
    /// It has as many tokens as were allowed, or took the time.
    Length,
    /// The context is full.
    Context,
    /// The caller stopped it.
    Cancelled,
}

impl Finish {
    /// A word for it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::End => "end",
            Self::Stop(_) => "stop",
            Self::Length => "length",
            Self::Context => "context",
            Self::Cancelled => "cancelled",
        }
    }
}

/// What the next token may be, whatever the model likes: a grammar, a budget of thoughts.
pub trait Guide: Send {
    /// Works out what may come next. Called on another thread while the model computes.
    fn prepare(&mut self);
    /// Takes away the logits of what may not come.
    ///
    /// # Errors
    /// When nothing may come, with the reason.
    fn restrict(&mut self, logits: &mut [f32]) -> Result<(), String>;
    /// Is told what came: the token, and the text it prints.
    ///
    /// # Errors
    /// When it may not come, with the reason.
    fn accept(&mut self, id: u32) -> Result<(), String>;
}

/// What is said of every token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alternatives {
    /// Likeliest tokens that are listed.
    pub count: usize,
    /// Of what the samplers left, rather than of the model.
    pub after_sampling: bool,
}

/// How tokens are chosen, shown and ended.
pub struct Terms {
    /// Chooses tokens.
    pub chain: Chain,
    /// Where the answer ends.
    pub limits: Limits,
    /// Tokens that are never chosen.
    pub forbidden: Vec<u32>,
    /// Control tokens that are part of the text.
    pub shown: Vec<u32>,
    /// What the answer has to look like.
    pub guide: Option<Box<dyn Guide>>,
    /// What is said of every token.
    pub alternatives: Option<Alternatives>,
}

impl Terms {
    /// Tokens by `chain`, until the model ends.
    pub fn new(chain: Chain) -> Self {
        Self {
            chain,
            limits: Limits::default(),
            forbidden: Vec::new(),
            shown: Vec::new(),
            guide: None,
            alternatives: None,
        }
    }
}

/// A token that was chosen.
#[derive(Clone, Debug, PartialEq)]
pub struct Token {
    /// Its id.
    pub id: u32,
    /// Text that is certain now: often this token's, at times that of several, at times none.
    pub text: String,
    /// The logarithm of its share, where it was asked for.
    pub logprob: Option<f32>,
    /// The likeliest tokens with theirs, most likely first.
    pub top: Vec<(u32, f32)>,
}

/// An answer as it grows.
pub(crate) struct Answer<'e> {
    tokenizer: &'e Tokenizer,
    decoder: Decoder<'e>,
    stops: Stops,
    began: Option<Instant>,
    pub(crate) terms: Terms,
    pub(crate) tokens: usize,
}

impl<'e> Answer<'e> {
    pub(crate) fn new(tokenizer: &'e Tokenizer, mut terms: Terms) -> Self {
        Self {
            tokenizer,
            decoder: tokenizer.decoder(false),
            stops: Stops::new(std::mem::take(&mut terms.limits.stops)),
            began: None,
            terms,
            tokens: 0,
        }
    }

    /// Whether there is nothing to choose at all.
    pub(crate) fn is_over(&self) -> bool {
        self.tokens >= self.terms.limits.max_tokens
    }

    /// Chooses a token by the logits after `history`, and says if the answer ends with it. `position` is what its random
    /// number depends on.
    pub(crate) fn take(
        &mut self,
        logits: &mut Vec<f32>,
        history: &[u32],
        position: usize,
    ) -> Result<(Token, Option<Finish>)> {
        let began = *self.began.get_or_insert_with(Instant::now);
        // Rows of the embedding beyond the vocabulary are padding and stand for no text.
        logits.truncate(self.tokenizer.vocab_len());
        let (id, logprob, top) = self.choose(logits, history, position)?;
        self.tokens += 1;
        if let Some(guide) = &mut self.terms.guide {
            guide.accept(id).map_err(Error::Guide)?;
        }
        let limits = &self.terms.limits;
        let mut finish = None;
        let mut text = String::new();
        if self.tokenizer.is_end(id) && !limits.ignore_end {
            finish = Some(Finish::End);
        } else {
            let printed = if self.terms.shown.contains(&id) {
                self.decoder.push_shown(id)
            } else {
                self.decoder.push(id)
            };
            let late = limits.time.is_some_and(|time| began.elapsed() >= time);
            if self.is_over() || (late && printed.contains('\n')) {
                finish = Some(Finish::Length);
            }
            let (certain, stopped) = self.stops.push(&printed);
            text += &certain;
            if stopped {
                finish = Some(self.stopped());
            }
        }
        let finish = finish.map(|finish| self.close(finish, &mut text));
        let token = Token {
            id,
            text,
            logprob,
            top,
        };
        Ok((token, finish))
    }

    #[allow(clippy::type_complexity, reason = "three plain values")]
    fn choose(
        &mut self,
        logits: &mut [f32],
        history: &[u32],
        position: usize,
    ) -> Result<(u32, Option<f32>, Vec<(u32, f32)>)> {
        let wanted = self.terms.alternatives;
        // The model's own shares are those before anything is forbidden.
        let own = wanted
            .filter(|wanted| !wanted.after_sampling)
            .map(|wanted| (wanted.count, logits.to_vec()));
        if let Some(guide) = &mut self.terms.guide {
            guide.restrict(logits).map_err(Error::Guide)?;
        }
        for id in &self.terms.forbidden {
            if let Some(logit) = logits.get_mut(*id as usize) {
                *logit = f32::NEG_INFINITY;
            }
        }
        let chain = &mut self.terms.chain;
        let choice = chain
            .sample_at(position as u64, logits, history, None)
            .ok_or(Error::NoToken { position })?;
        Ok(match (own, wanted) {
            (Some((count, logits)), _) => {
                let shares = Logprobs::new(&logits);
                (choice.id, Some(shares.of(choice.id)), shares.top(count))
            }
            (None, Some(wanted)) => {
                let top = chain.drawn_from(wanted.count);
                let top = top.iter().map(|c| (c.id, c.probability.ln())).collect();
                (choice.id, Some(choice.probability.ln()), top)
            }
            (None, None) => (choice.id, None, Vec::new()),
        })
    }

    fn stopped(&self) -> Finish {
        Finish::Stop(self.stops.found().unwrap_or_default().to_owned())
    }

    /// Ends the answer: what was held back is certain now, unless a stop text came.
    pub(crate) fn close(&mut self, finish: Finish, text: &mut String) -> Finish {
        if matches!(finish, Finish::Stop(_)) {
            return finish;
        }
        let (certain, stopped) = self.stops.push(&self.decoder.finish());
        text.push_str(&certain);
        if stopped {
            return self.stopped();
        }
        text.push_str(&self.stops.finish());
        finish
    }
}
