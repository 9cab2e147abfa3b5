//! SHA-256 digests of contents.

use std::{fmt, io, str::FromStr};

use serde::{Deserialize, Serialize};
use sha2::Digest as _;

/// The SHA-256 of a content. It exists only in parsed form, so that whatever a registry sends as a digest is 32 bytes
/// or an error.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest([u8; 32]);

/// A text that is no digest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected 'sha256:' and 64 hexadecimal digits, found {0:?}")]
pub struct DigestError(String);

impl Digest {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(sha2::Sha256::digest(bytes).into())
    }

    /// The digest of everything that `reader` gives; `watch` is told the bytes read so far.
    ///
    /// # Errors
    /// Those of the reader and of `watch`.
    pub fn of_reader(
        mut reader: impl io::Read,
        mut watch: impl FnMut(u64) -> io::Result<()>,
    ) -> io::Result<Self> {
        let mut hasher = Hasher::default();
        let mut buffer = vec![0; 1 << 20];
        let mut total = 0;
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => return Ok(hasher.finish()),
                Ok(count) => {
                    hasher.update(&buffer[..count]);
                    total += count as u64;
                    watch(total)?;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// 64 hexadecimal digits.
    pub fn hex(&self) -> String {
        hex(&self.0)
    }

    /// The first 12 hexadecimal digits, as lists show them.
    pub fn short(&self) -> String {
        hex(&self.0[..6])
    }

    /// The 32 bytes.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}"); // a String takes everything
        text
    })
}

/// `sha256:` and 64 digits.
impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    /// Reads `sha256:HEX` or `sha256-HEX`.
    fn from_str(text: &str) -> Result<Self, DigestError> {
        // What a registry sent may be megabytes; a message has its beginning.
        let error = || DigestError(text.chars().take(80).collect());
        let digits = text.strip_prefix("sha256").ok_or_else(error)?;
        let digits = digits.strip_prefix([':', '-']).ok_or_else(error)?;
        Self::from_hex(digits).ok_or_else(error)
    }
}

impl Digest {
    /// Reads 64 hexadecimal digits.
    pub fn from_hex(digits: &str) -> Option<Self> {
        let digits = digits.as_bytes();
        let mut bytes = [0; 32];
        if digits.len() != 64 {
            return None;
        }
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let digit = |c: u8| char::from(c).to_digit(16);
            *byte = u8::try_from(digit(pair[0])? * 16 + digit(pair[1])?).ok()?;
        }
        Some(Self(bytes))
    }
}

impl Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A digest in the making.
#[derive(Clone, Default)]
pub struct Hasher(sha2::Sha256);

impl Hasher {
    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of all that was added.
    pub fn finish(self) -> Digest {
        Digest(self.0.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_those_of_the_standard() {
        let abc = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Digest::of(b"abc").to_string(), abc);
        let parsed: Digest = abc
            .to_uppercase()
            .replace("SHA256:", "sha256-")
            .parse()
            .unwrap();
        assert_eq!(parsed, Digest::of(b"abc"));
        assert_eq!(Digest::of_reader(&b"abc"[..], |_| Ok(())).unwrap(), parsed);
        assert_eq!(parsed.short(), "ba7816bf8f01");
    }

    /// CVE-2024-37032 and CVE-2026-7020: a digest from a manifest that is a path.
    #[test]
    fn cve_2024_37032_a_hostile_digest_is_no_digest() {
        let hex = "a".repeat(64);
        let hostile = [
            "",
            "sha256",
            "sha256:",
            "sha256:abc",
            "../../etc/passwd",
            "sha256:../../../../etc/passwd",
            "sha256-..",
            "/etc/passwd",
            "sha512:00",
            "sha256:\0",
        ];
        for text in hostile {
            assert!(text.parse::<Digest>().is_err(), "{text:?}");
        }
        for text in [
            format!("sha256:{hex}a"),
            format!("sha256:{}", &hex[1..]),
            format!("sha256:{}/", &hex[1..]),
            format!("sha256:{}", "é".repeat(32)),
            format!(" sha256:{hex}"),
            format!("sha256:+{}", &hex[1..]),
        ] {
            assert!(text.parse::<Digest>().is_err(), "{text:?}");
        }
    }
}
