//! Keys from a file: TOML tables, or lines.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{Key, KeyLimits, Keys, Scope};

/// Bytes that a file of keys may have.
const LARGEST_FILE: u64 = 1 << 20;

/// Why keys cannot be used. No variant holds a secret.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// A name is empty.
    #[error("a key has no name, or one with control characters: give it a short name for the logs")]
    Name,
    /// A secret is empty or has spaces.
    #[error(
        "the secret of key '{0}' is empty or has spaces: expected a word, or sha256: and 64 hex digits"
    )]
    Secret(String),
    /// A hash is none.
    #[error(
        "the secret of key '{0}' begins with sha256: and is no hash: expected 64 hex digits after it"
    )]
    Hash(String),
    /// Two keys have one name.
    #[error("two keys have the name '{0}': rename one")]
    Twice(String),
    /// Two keys have one secret.
    #[error("key '{0}' has the secret of another key: make one of its own")]
    SameSecret(String),
    /// The file cannot be read.
    #[error("cannot read the keys in {path}: {error}", path = path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The file is too large or no text.
    #[error("the file of keys {path} is no text of at most 1 MiB", path = .0.display())]
    NoText(PathBuf),
    /// A line or table is none. The text of the parser is left out, since it quotes the file.
    #[error("the file of keys {path} cannot be understood at line {line}: expected {expected}", path = path.display())]
    Syntax {
        /// Which file.
        path: PathBuf,
        /// Where, from 1.
        line: usize,
        /// What should stand there.
        expected: &'static str,
    },
}

/// A `[[key]]` table.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    name: String,
    secret: String,
    #[serde(default)]
    scope: Scope,
    #[serde(default)]
    limits: KeyLimits,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Tables {
    #[serde(default)]
    key: Vec<Table>,
}

impl Keys {
    /// Adds the keys of a file. One that ends in `.toml` has tables:
    ///
    /// ```toml
    /// [[key]]
    /// name = "laptop"
    /// secret = "sha256:…"       # or the secret itself
    /// scope = "manage"          # "use" where it is not said
    /// limits = { requests_per_minute = 60, tokens_per_day = 1000000, concurrent = 4 }
    /// ```
    ///
    /// Any other has a key per line, `SECRET [use|manage] [NAME]`; `#` begins a comment.
    ///
    /// # Errors
    /// It cannot be read or understood, or a key cannot be used.
    pub fn add_file(&mut self, path: &Path) -> Result<(), KeyError> {
        let text = read(path)?;
        if path
            .extension()
            .is_some_and(|extension| extension == "toml")
        {
            self.add_toml(path, &text)
        } else {
            self.add_lines(path, &text)
        }
    }

    fn add_toml(&mut self, path: &Path, text: &str) -> Result<(), KeyError> {
        let tables: Tables = toml::from_str(text).map_err(|error| KeyError::Syntax {
            path: path.to_owned(),
            line: error
                .span()
                .map_or(1, |span| 1 + text[..span.start].matches('\n').count()),
            expected: "[[key]] tables of name, secret, scope (use or manage) and limits",
        })?;
        for table in tables.key {
            self.add(Key::new(
                table.name,
                &table.secret,
                table.scope,
                table.limits,
            )?)?;
        }
        Ok(())
    }

    fn add_lines(&mut self, path: &Path, text: &str) -> Result<(), KeyError> {
        for (place, line) in text.lines().enumerate() {
            let mut words = line
                .split('#')
                .next()
                .unwrap_or_default()
                .split_whitespace();
            let Some(secret) = words.next() else {
                continue;
            };
            let syntax = || KeyError::Syntax {
                path: path.to_owned(),
                line: place + 1,
                expected: "SECRET [use|manage] [NAME]",
            };
            let scope = match words.next() {
                None | Some("use") => Scope::Use,
                Some("manage") => Scope::Manage,
                Some(_) => return Err(syntax()),
            };
            let name = words
                .next()
                .map_or_else(|| format!("line-{}", place + 1), str::to_owned);
            if words.next().is_some() {
                return Err(syntax());
            }
            self.add(Key::new(name, secret, scope, KeyLimits::default())?)?;
        }
        Ok(())
    }
}

fn read(path: &Path) -> Result<String, KeyError> {
    let failed = |error| KeyError::Read {
        path: path.to_owned(),
        error,
    };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(LARGEST_FILE + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > LARGEST_FILE {
        return Err(KeyError::NoText(path.to_owned()));
    }
    String::from_utf8(bytes).map_err(|_| KeyError::NoText(path.to_owned()))
}

/// Whether others than its owner may read a file. `false` where the system does not say.
pub(crate) fn readable_by_others(path: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0)
    }
    #[cfg(not(unix))]
    {
        let _ = path;
        false
    }
}

/// 64 hex digits as 32 bytes.
pub(super) fn hash_from_hex(hex: &str) -> Option<[u8; 32]> {
    let digits: Vec<u8> = hex
        .chars()
        .map(|digit| digit.to_digit(16).map(|digit| digit as u8))
        .collect::<Option<_>>()?;
    let bytes: Vec<u8> = digits
        .chunks_exact(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect();
    (digits.len() == 64)
        .then(|| bytes.try_into().ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, text: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        (folder, path)
    }

    fn keys(name: &str, text: &str) -> Result<Vec<(String, Scope, KeyLimits)>, String> {
        let (_folder, path) = file(name, text);
        let mut keys = Keys::none();
        keys.add_file(&path).map_err(|error| error.to_string())?;
        Ok(keys
            .iter()
            .map(|key| (key.name.clone(), key.scope, key.limits))
            .collect())
    }

    #[test]
    fn lines_are_keys() {
        let text = "# ours\n\nfirst\nsecond manage\nthird use laptop # mine\n";
        let none = KeyLimits::default();
        assert_eq!(
            keys("keys", text).unwrap(),
            [
                ("line-3".to_owned(), Scope::Use, none),
                ("line-4".to_owned(), Scope::Manage, none),
                ("laptop".to_owned(), Scope::Use, none)
            ]
        );
    }

    #[test]
    fn tables_are_keys() {
        let text = "[[key]]\nname = \"a\"\nsecret = \"s\"\nscope = \"manage\"\nlimits = { requests_per_minute = 2 }\n\
                    [[key]]\nname = \"b\"\nsecret = \"t\"\n";
        let limits = KeyLimits {
            requests_per_minute: Some(2),
            ..KeyLimits::default()
        };
        assert_eq!(
            keys("keys.toml", text).unwrap(),
            [
                ("a".to_owned(), Scope::Manage, limits),
                ("b".to_owned(), Scope::Use, KeyLimits::default())
            ]
        );
    }

    #[test]
    fn errors_name_the_line_and_never_the_secret() {
        for (name, text, expected) in [
            ("keys", "a\nhidden admin", "line 2"),
            ("keys", "hidden use me too", "line 1"),
            ("keys", "hidden\nhidden", "has the secret of another"),
            (
                "keys.toml",
                "[[key]]\nname = \"a\"\nsecret = hidden",
                "line 3",
            ),
            (
                "keys.toml",
                "[[key]]\nname = \"a\"\nsecret = \"hidden\"\nlimit = 1",
                "line",
            ),
            (
                "keys.toml",
                "[[key]]\nname = \"a\"\nsecret = \"\"",
                "is empty",
            ),
        ] {
            let error = keys(name, text).unwrap_err();
            assert!(
                error.contains(expected) && !error.contains("hidden"),
                "{error}"
            );
        }
        let (_folder, path) = file("keys", "");
        std::fs::write(&path, [0xff; 8]).unwrap();
        assert!(matches!(
            Keys::none().add_file(&path),
            Err(KeyError::NoText(_))
        ));
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_others_read_is_noticed() {
        use std::os::unix::fs::PermissionsExt;
        let (_folder, path) = file("keys", "a");
        for (mode, expected) in [(0o600, false), (0o640, true), (0o604, true)] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(readable_by_others(&path), expected, "{mode:o}");
        }
    }
}
