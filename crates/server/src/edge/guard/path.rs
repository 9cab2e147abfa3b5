//! Paths as routes know them.

use std::borrow::Cow;

/// What people write who put one protocol's prefix before another's.
const ALIASES: &[(&str, &str)] = &[("/v1/api/", "/api/"), ("/v1/v1/", "/v1/")];

/// A path that no route can mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the path is refused: it has . or .. as a part, a control character, or a broken % escape")]
pub(crate) struct BadPath;

/// A path without doubled slashes and without one at its end. Escapes stay, so a slash in a model's name survives as
/// `%2F`. Parts that climb are refused, escaped or not: no route has them.
pub(crate) fn normalise(path: &str) -> Result<Cow<'_, str>, BadPath> {
    refuse_climbing(path)?;
    let mut result = Cow::Borrowed(path);
    if path.contains("//") {
        let mut clean = String::with_capacity(path.len());
        for byte in path.chars() {
            if !(byte == '/' && clean.ends_with('/')) {
                clean.push(byte);
            }
        }
        result = Cow::Owned(clean);
    }
    if result.len() > 1 && result.ends_with('/') {
        result.to_mut().pop();
    }
    for (alias, path) in ALIASES {
        if let Some(rest) = result.strip_prefix(alias) {
            result = Cow::Owned(format!("{path}{rest}"));
        }
    }
    Ok(result)
}

fn refuse_climbing(path: &str) -> Result<(), BadPath> {
    let decoded = decode(path)?;
    let climbs = decoded
        .split(|byte| matches!(byte, b'/' | b'\\'))
        .any(|part| part == b"." || part == b"..");
    if climbs || decoded.iter().any(u8::is_ascii_control) {
        Err(BadPath)
    } else {
        Ok(())
    }
}

fn decode(path: &str) -> Result<Vec<u8>, BadPath> {
    let mut bytes = path.bytes();
    let mut decoded = Vec::with_capacity(path.len());
    while let Some(byte) = bytes.next() {
        let value = if byte == b'%' {
            let mut digit = || {
                bytes
                    .next()
                    .and_then(|digit| char::from(digit).to_digit(16))
            };
            let (Some(high), Some(low)) = (digit(), digit()) else {
                return Err(BadPath);
            };
            (high * 16 + low) as u8
        } else {
            byte
        };
        decoded.push(value);
    }
    Ok(decoded)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn slashes_are_folded_and_escapes_stay() {
        for (path, expected) in [
            ("/", "/"),
            ("//", "/"),
            ("/api/chat", "/api/chat"),
            ("//api///chat/", "/api/chat"),
            ("/v1/models/org%2Fname:tag", "/v1/models/org%2Fname:tag"),
            ("/v1/models/org/name", "/v1/models/org/name"),
            ("/v1/api/tags", "/api/tags"),
            ("/v1/v1/chat/completions", "/v1/chat/completions"),
            ("/v1/models/a..b", "/v1/models/a..b"),
            ("/v1/models/...", "/v1/models/..."),
        ] {
            assert_eq!(normalise(path).unwrap(), expected, "{path}");
        }
    }

    #[test]
    fn cve_2024_37032_paths_do_not_climb() {
        for path in [
            "/api/../etc/passwd",
            "/api/blobs/..%2f..%2fetc",
            "/api/%2e%2e/x",
            "/api/%2E./x",
            "/./api",
            "/v1/models/a%2F..%2Fb",
            "/v1/models/..",
            "/api/blobs/..%5c..%5cx",
            "/x%00",
            "/x%0d%0a",
            "/x%",
            "/x%2",
            "/x%zz",
            "/x\\..\\y",
        ] {
            assert_eq!(normalise(path), Err(BadPath), "{path}");
        }
    }

    proptest! {
        #[test]
        fn is_idempotent_and_never_panics(path in "[/%.a-f0-9v1api\\\\]{0,40}") {
            if let Ok(once) = normalise(&path) {
                prop_assert!(!once.contains("//"));
                if ALIASES.iter().all(|(alias, _)| !once.starts_with(alias)) {
                    prop_assert_eq!(normalise(&once).unwrap(), once.as_ref());
                }
            }
        }
    }
}
