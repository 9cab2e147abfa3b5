//! Keys: who may do what, and how much of it.

mod file;

use std::fmt;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use ring::digest;
use serde::{Deserialize, Serialize};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

pub use file::KeyError;
pub(crate) use file::readable_by_others;

/// How far a key reaches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Ask models.
    #[default]
    Use,
    /// Change which models there are, see what others do; and use.
    Manage,
}

/// What a key may take. `None` is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KeyLimits {
    /// Requests in any minute.
    pub requests_per_minute: Option<u32>,
    /// Tokens read and generated on one UTC day.
    pub tokens_per_day: Option<u64>,
    /// Requests at one time.
    pub concurrent: Option<u32>,
}

/// A key as it is kept: its secret only as a hash.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    /// What logs and the usage call it.
    pub name: String,
    /// How far it reaches.
    pub scope: Scope,
    /// What it may take.
    pub limits: KeyLimits,
    hash: [u8; 32],
}

impl fmt::Debug for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Key")
            .field("name", &self.name)
            .field("scope", &self.scope)
            .finish_non_exhaustive()
    }
}

impl Key {
    /// A key from its secret, or from `sha256:` and the hash of the secret as 64 hex digits.
    ///
    /// # Errors
    /// The name or the secret is empty, or the hash is none.
    pub fn new(
        name: impl Into<String>,
        secret: &str,
        scope: Scope,
        limits: KeyLimits,
    ) -> Result<Self, KeyError> {
        let name = name.into();
        if name.trim().is_empty() || name.chars().any(char::is_control) {
            return Err(KeyError::Name);
        }
        let hash = match secret.strip_prefix("sha256:") {
            Some(hex) => file::hash_from_hex(hex).ok_or_else(|| KeyError::Hash(name.clone()))?,
            None if secret.is_empty()
                || secret
                    .chars()
                    .any(|byte| byte.is_whitespace() || byte.is_control()) =>
            {
                return Err(KeyError::Secret(name));
            }
            None => hash(secret.as_bytes()),
        };
        Ok(Self {
            name,
            scope,
            limits,
            hash,
        })
    }
}

fn hash(secret: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, secret).as_ref());
    hash
}

/// All keys of a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keys(Vec<Key>);

impl Keys {
    /// No key: everyone on this machine may do everything.
    pub fn none() -> Self {
        Self::default()
    }

    /// Adds a key.
    ///
    /// # Errors
    /// Its name or its secret is taken.
    pub fn add(&mut self, key: Key) -> Result<(), KeyError> {
        if self.0.iter().any(|other| other.name == key.name) {
            return Err(KeyError::Twice(key.name));
        }
        if self.0.iter().any(|other| other.hash == key.hash) {
            return Err(KeyError::SameSecret(key.name));
        }
        self.0.push(key);
        Ok(())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The keys, in the order in which they were added.
    pub fn iter(&self) -> impl Iterator<Item = &Key> {
        self.0.iter()
    }

    /// The place of the key with this secret. Takes the same time whichever it is, and if it is none.
    pub fn find(&self, secret: &[u8]) -> Option<usize> {
        matching(&self.0, &hash(secret), |key, presented| {
            key.ct_eq(presented)
        })
    }

    /// The key at a place that `find` gave.
    pub fn get(&self, place: usize) -> Option<&Key> {
        self.0.get(place)
    }
}

/// Looks at every key, with no branch on what was found.
fn matching(
    keys: &[Key],
    presented: &[u8; 32],
    mut equal: impl FnMut(&[u8; 32], &[u8; 32]) -> Choice,
) -> Option<usize> {
    let mut found = u64::MAX;
    for (place, key) in keys.iter().enumerate() {
        found.conditional_assign(&(place as u64), equal(&key.hash, presented));
    }
    usize::try_from(found)
        .ok()
        .filter(|place| *place < keys.len())
}

/// The secret that a request presents, from whichever header its client uses. Authorization goes first, as elsewhere.
pub(crate) fn presented(headers: &HeaderMap) -> Option<&[u8]> {
    if let Some(value) = headers.get(AUTHORIZATION) {
        let value = value.as_bytes().trim_ascii();
        let bearer = value
            .get(..7)
            .filter(|scheme| scheme.eq_ignore_ascii_case(b"bearer "))
            .map(|_| value[7..].trim_ascii());
        return Some(bearer.unwrap_or(value));
    }
    ["x-api-key", "api-key"]
        .iter()
        .find_map(|name| headers.get(*name))
        .map(|value| value.as_bytes().trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str, secret: &str, scope: Scope) -> Key {
        Key::new(name, secret, scope, KeyLimits::default()).unwrap()
    }

    fn three() -> Keys {
        let mut keys = Keys::none();
        keys.add(key("a", "secret-a", Scope::Use)).unwrap();
        // SHA-256 of "secret-b".
        let hashed = format!("sha256:{}", hex(&hash(b"secret-b")));
        keys.add(key("b", &hashed, Scope::Manage)).unwrap();
        keys.add(key("c", "secret-c", Scope::Use)).unwrap();
        keys
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02X}")).collect()
    }

    #[test]
    fn hashes_are_sha256() {
        let expected = "BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD";
        assert_eq!(hex(&hash(b"abc")), expected);
    }

    #[test]
    fn a_secret_finds_its_key_plain_or_hashed() {
        let keys = three();
        for (secret, place) in [
            ("secret-a", Some(0)),
            ("secret-b", Some(1)),
            ("secret-c", Some(2)),
            ("", None),
            ("secret", None),
        ] {
            assert_eq!(keys.find(secret.as_bytes()), place, "{secret}");
        }
        assert_eq!(Keys::none().find(b"x"), None);
    }

    #[test]
    fn cve_2025_59425_every_key_is_compared_whichever_matches() {
        let keys = three();
        for secret in ["secret-a", "secret-b", "secret-c", "none"] {
            let mut compared = 0;
            let found = matching(&keys.0, &hash(secret.as_bytes()), |key, presented| {
                compared += 1;
                key.ct_eq(presented)
            });
            assert_eq!(compared, 3, "{secret}");
            assert_eq!(found, keys.find(secret.as_bytes()));
        }
    }

    #[test]
    fn every_header_form_presents_the_same_secret() {
        for (name, value, expected) in [
            ("authorization", "Bearer k", "k"),
            ("authorization", "bearer   k ", "k"),
            ("authorization", "k", "k"),
            ("authorization", "Bearer", "Bearer"),
            ("x-api-key", "k", "k"),
            ("api-key", " k", "k"),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(name, value.parse().unwrap());
            assert_eq!(
                presented(&headers),
                Some(expected.as_bytes()),
                "{name}: {value}"
            );
        }
        assert_eq!(presented(&HeaderMap::new()), None);
    }

    #[test]
    fn keys_that_cannot_be_are_refused_and_never_shown() {
        for (name, secret) in [
            ("", "x"),
            ("a\n", "x"),
            ("a", ""),
            ("a", "x y"),
            ("a", "sha256:12"),
            ("a", "sha256:"),
        ] {
            assert!(
                Key::new(name, secret, Scope::Use, KeyLimits::default()).is_err(),
                "{name} {secret}"
            );
        }
        let mut keys = three();
        assert!(keys.add(key("a", "other", Scope::Use)).is_err());
        assert!(keys.add(key("d", "secret-a", Scope::Use)).is_err());
        assert!(!format!("{keys:?}").contains("secret-a"));
    }
}
