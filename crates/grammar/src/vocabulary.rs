//! What grammars are compiled against.

use std::{fmt, panic::AssertUnwindSafe, sync::Arc};

use hearth_tokenizer::Tokenizer;
use llguidance::{ParserFactory, panic_utils};
use toktrie::{InferenceCapabilities, TokEnv};

use crate::{Error, Grammar, Matcher, Result, compile, environment::Environment, error::plain};

/// A vocabulary prepared for grammars: the trie of its tokens, and masks of tokens that fit inside any JSON string.
///
/// Built once per loaded model; clones share it.
#[derive(Clone)]
pub struct Vocabulary {
    shared: Arc<Shared>,
}

/// Sets of tokens whose masks are ready: those that fit anywhere in a JSON string, and the short ones among them for
/// strings of bounded length. Each costs a few passes over the vocabulary once.
const SLICES: [&str; 2] = [r#"[^"\\\x00-\x1F\x7F]{1,12}"#, r#"[^"\\\x00-\x1F\x7F]+"#];

struct Shared {
    tokenizer: Arc<Tokenizer>,
    factory: ParserFactory,
    rows: usize,
}

const _: () = {
    const fn shared<T: Send + Sync>() {}
    shared::<Vocabulary>();
};

impl fmt::Debug for Vocabulary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vocabulary")
            .field("tokens", &self.tokens())
            .field("rows", &self.rows())
            .finish_non_exhaustive()
    }
}

impl Vocabulary {
    /// Prepares a vocabulary whose model gives `rows` logits per token, of which those past the vocabulary are padding
    /// and never allowed.
    ///
    /// # Errors
    ///
    /// Fewer rows than tokens, or more tokens than the engine can hold (2^24).
    pub fn new(tokenizer: Arc<Tokenizer>, rows: usize) -> Result<Self> {
        let tokens = tokenizer.vocab_len();
        if tokens > rows {
            let reason = format!("{tokens} tokens, but the model gives only {rows} logits");
            return Err(Error::Vocabulary { reason });
        }
        if tokens >= 1 << 24 {
            return Err(Error::TooLarge {
                what: "tokens of the vocabulary",
                found: tokens,
                limit: (1 << 24) - 1,
            });
        }
        let build = || {
            let environment: TokEnv = Arc::new(Environment::new(tokenizer.clone()));
            let slices = SLICES.map(str::to_owned);
            ParserFactory::new(&environment, InferenceCapabilities::default(), &slices)
        };
        let mut factory = panic_utils::catch_unwind(AssertUnwindSafe(build)).map_err(|error| {
            Error::Vocabulary {
                reason: plain(error),
            }
        })?;
        factory.quiet();
        *factory.limits_mut() = compile::limits();
        let shared = Shared {
            tokenizer,
            factory,
            rows,
        };
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    /// How many tokens there are.
    pub fn tokens(&self) -> usize {
        self.tokenizer().vocab_len()
    }

    /// How many logits a [`crate::Mask`] covers.
    pub fn rows(&self) -> usize {
        self.shared.rows
    }

    /// The tokenizer it was made of.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.shared.tokenizer
    }

    /// Compiles a grammar. The matcher is at its beginning; keep it and [`Matcher::fork`] it to use the grammar again.
    ///
    /// # Errors
    ///
    /// What is wrong or unsupported and where, or the limit that the grammar exceeds.
    pub fn matcher(&self, grammar: &Grammar) -> Result<Matcher> {
        compile::matcher(self, grammar)
    }

    pub(crate) fn factory(&self) -> &ParserFactory {
        &self.shared.factory
    }
}
