//! One text on its way through a grammar.

use std::{fmt, sync::Arc};

use llguidance::TokenParser;

use crate::{Error, Mask, Result, Vocabulary, error::plain};

/// A place in a grammar: what may come next, given the tokens so far.
///
/// A matcher follows one text. [`Matcher::fork`] makes another at the same place.
pub struct Matcher {
    inner: llguidance::Matcher,
    vocabulary: Vocabulary,
    warnings: Arc<[String]>,
}

const _: () = {
    const fn sendable<T: Send>() {}
    sendable::<Matcher>();
};

impl fmt::Debug for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Matcher")
            .field("vocabulary", &self.vocabulary)
            .field("must_end", &self.must_end())
            .field("error", &self.inner.get_error())
            .finish_non_exhaustive()
    }
}

impl Matcher {
    pub(crate) fn new(
        parser: TokenParser,
        vocabulary: Vocabulary,
        warnings: Vec<String>,
    ) -> Result<Self> {
        let mut inner = llguidance::Matcher::new(Ok(parser));
        // A grammar may end where it begins; asking notices that. One that nothing fits has no first token.
        inner.consume_tokens(&[]).map_err(stuck)?;
        inner.compute_mask_or_eos().map_err(stuck)?;
        Ok(Self {
            inner,
            vocabulary,
            warnings: warnings.into(),
        })
    }

    /// What the grammar asks for and is not enforced, one line each: `ignored: …`.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The tokens that may come next. Where the grammar fixes the text, only the token that the tokenizer would use
    /// for it; at the end, only end tokens (none, if the vocabulary has none).
    ///
    /// # Errors
    ///
    /// [`Error::Stuck`] if the step takes more work than a step may, or no token fits. The matcher is of no use then.
    pub fn mask(&mut self) -> Result<Mask> {
        let bits = self.inner.compute_mask_or_eos().map_err(stuck)?;
        let tokens = self.vocabulary.tokens();
        Ok(Mask::new(bits.into(), tokens, self.vocabulary.rows()))
    }

    /// Goes on by one token. It need not be the usual split of a fixed text; any that spells it will do.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] if the grammar does not allow it, which changes nothing; [`Error::Stuck`] as for the mask.
    pub fn accept(&mut self, token: u32) -> Result<()> {
        let known = (token as usize) < self.vocabulary.tokens();
        if self.must_end() && known && self.vocabulary.tokenizer().is_end(token) {
            return Ok(());
        }
        let taken = if known && !self.must_end() {
            self.inner.try_consume_tokens(&[token]).map_err(stuck)?
        } else {
            0
        };
        match taken {
            0 => Err(self.refused(token)),
            _ => Ok(()),
        }
    }

    /// Whether the text may end here.
    pub fn may_end(&mut self) -> bool {
        self.must_end() || self.inner.is_accepting().unwrap_or(false)
    }

    /// Whether nothing but an end token may follow.
    pub fn must_end(&self) -> bool {
        !self.inner.is_error() && self.inner.is_stopped()
    }

    /// The tokens that must follow whatever is sampled; they are not accepted yet. Reading them as a small prompt saves
    /// a step each. The last few are held back where a longer token could span the end of the fixed text.
    pub fn forced(&mut self) -> Vec<u32> {
        if self.must_end() {
            return Vec::new();
        }
        self.inner.compute_ff_tokens()
    }

    /// Another matcher at the same place. Both share what they learn about the grammar.
    pub fn fork(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            vocabulary: self.vocabulary.clone(),
            warnings: self.warnings.clone(),
        }
    }

    fn refused(&self, token: u32) -> Error {
        let bytes = self.vocabulary.tokenizer().token_bytes(token);
        let text = String::from_utf8_lossy(bytes).into_owned();
        Error::Refused { token, text }
    }
}

fn stuck(error: impl fmt::Display) -> Error {
    let reason = plain(error);
    Error::Stuck { reason }
}
