//! The ed25519 key with which Ollama signs in, read from its OpenSSH file (`~/.ollama/id_ed25519`).

use std::path::Path;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ring::signature::{Ed25519KeyPair, KeyPair as _};

use crate::{Disk, Error, Result};

/// A key that signs requests for tokens.
#[derive(Debug)]
pub struct SigningKey {
    pair: Ed25519KeyPair,
}

const ALGORITHM: &[u8] = b"ssh-ed25519";

impl SigningKey {
    /// Reads a key file; nothing where there is none.
    ///
    /// # Errors
    /// When it is no unencrypted ed25519 key.
    pub fn read(path: &Path) -> Result<Option<Self>> {
        let Some(bytes) = Disk::default().read(path, 64 << 10)? else {
            return Ok(None);
        };
        let invalid = || {
            Error::invalid(
                path.display().to_string(),
                "expected an OpenSSH ed25519 key without a passphrase",
            )
        };
        let text = String::from_utf8(bytes).map_err(|_| invalid())?;
        Self::parse(&text).map(Some).ok_or_else(invalid)
    }

    fn parse(text: &str) -> Option<Self> {
        let body = text.split_once("-----BEGIN OPENSSH PRIVATE KEY-----")?.1;
        let body: String = body.split_once("-----END")?.0.split_whitespace().collect();
        let bytes = STANDARD.decode(body).ok()?;
        let mut rest = bytes.strip_prefix(b"openssh-key-v1\0")?;
        let (cipher, kdf, _options) = (take(&mut rest)?, take(&mut rest)?, take(&mut rest)?);
        if cipher != b"none" || kdf != b"none" {
            return None;
        }
        rest = rest.strip_prefix(&1_u32.to_be_bytes())?;
        let _public = take(&mut rest)?;
        let mut secret = take(&mut rest)?;
        secret = secret.get(8..)?; // two equal numbers that show a right passphrase
        let (algorithm, public, pair) =
            (take(&mut secret)?, take(&mut secret)?, take(&mut secret)?);
        let pair = (algorithm == ALGORITHM && pair.len() == 64).then_some(&pair[..32])?;
        Ed25519KeyPair::from_seed_and_public_key(pair, public)
            .ok()
            .map(|pair| Self { pair })
    }

    /// The `Authorization` header for a request for a token: the public key and the signature over method, address
    /// and the digest of an empty body.
    pub(crate) fn authorization(&self, url: &str) -> String {
        let empty = crate::digest::hex(crate::Digest::of(b"").bytes());
        let text = format!("GET,{url},{}", STANDARD.encode(empty));
        let mut public = Vec::new();
        for field in [ALGORITHM, self.pair.public_key().as_ref()] {
            public.extend_from_slice(&u32::try_from(field.len()).unwrap_or(0).to_be_bytes());
            public.extend_from_slice(field);
        }
        let signature = self.pair.sign(text.as_bytes());
        format!(
            "{}:{}",
            STANDARD.encode(public),
            STANDARD.encode(signature.as_ref())
        )
    }
}

/// A string of SSH's wire form.
fn take<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, after) = rest.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let field = after.get(..length)?;
    *rest = &after[length..];
    Some(field)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made with ssh-keygen for this test.
    const KEY: &str = include_str!("../../testdata/id_ed25519");
    const PUBLIC: &str = include_str!("../../testdata/id_ed25519.pub");

    #[test]
    fn a_key_of_ssh_keygen_signs() {
        let key = SigningKey::parse(KEY).unwrap();
        let header = key.authorization("https://h/token?service=s");
        let (public, signature) = header.split_once(':').unwrap();
        assert_eq!(Some(public), PUBLIC.split(' ').nth(1));
        let text = format!(
            "GET,https://h/token?service=s,{}",
            STANDARD.encode("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
        );
        let point = key.pair.public_key().as_ref();
        let check = ring::signature::UnparsedPublicKey::new(&ring::signature::ED25519, point);
        check
            .verify(text.as_bytes(), &STANDARD.decode(signature).unwrap())
            .unwrap();
    }

    proptest::proptest! {
        #[test]
        fn damaged_keys_are_no_keys_and_no_panics(at in 0_usize..400, byte in 0_u8..128) {
            let mut text = KEY.as_bytes().to_vec();
            let at = at % text.len();
            text[at] = byte;
            let _ = SigningKey::parse(&String::from_utf8(text).unwrap());
        }
    }
}
