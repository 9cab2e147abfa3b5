//! What a page on disk is called.

use std::fmt;

use hearth_compute::Backend as _;
use sha2::{Digest as _, Sha256};

use crate::Engine;

/// Grows with every change of the files, or of what a page holds that nothing else here tells.
pub(super) const VERSION: u32 = 1;

/// A chain of SHA-256 digests: the first is of everything that a model's keys and values depend on besides tokens, each
/// next one of the one before and the tokens of a page. So a key stands for all tokens up to the page's last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Key(pub(super) [u8; 32]);

impl Key {
    /// What every page of a model comes after. `model` tells its weights from all others; the rest is what the program
    /// makes of them: the whole `Spec` (sizes, masks, and the rotation, which may depend on the context asked for),
    /// the precision, the kernels and the byte order.
    pub(crate) fn root(engine: &Engine, model: &[u8; 32]) -> Self {
        let backend = engine.model().backend();
        let settings = format!(
            "hearth {} pages {VERSION} of {} {:?} {:?} {} {:?}",
            env!("CARGO_PKG_VERSION"),
            backend.page_len(),
            backend.precision(),
            backend.isa(),
            if cfg!(target_endian = "big") {
                "big"
            } else {
                "little"
            },
            engine.model().spec(),
        );
        let digest = Sha256::new().chain_update(model).chain_update(settings);
        Self(digest.finalize().into())
    }

    /// The key of the page that holds `tokens` after this one.
    pub(crate) fn then(self, tokens: &[u32]) -> Self {
        let mut digest = Sha256::new_with_prefix(self.0);
        for token in tokens {
            digest.update(token.to_le_bytes());
        }
        Self(digest.finalize().into())
    }
}

/// 64 hexadecimal digits.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
