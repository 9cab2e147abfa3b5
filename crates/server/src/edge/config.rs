//! The settings of the edge, and what is refused before anything listens.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use super::address::Address;
use super::body::BodyLimits;
use super::guard::{BadOrigin, Hosts, Origins};
use super::keys::{self, Key, KeyError, KeyLimits, Keys, Scope};
use super::refusal::Style;

/// The settings of the edge.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where to listen.
    pub listen: Vec<Address>,
    /// A file of keys; [`Keys::add_file`] has its form.
    pub key_file: Option<PathBuf>,
    /// Keys beside those of the file.
    pub keys: Vec<KeyEntry>,
    /// Origins of web pages that may ask, beside those that always may; `*` is any.
    pub origins: Vec<String>,
    /// Methods that those pages may use; all where there are none.
    pub cors_methods: Vec<String>,
    /// Headers that they may send; those that they ask for where there are none.
    pub cors_headers: Vec<String>,
    /// Names of this server that a Host header may have, beside its own; `*` is any.
    pub hosts: Vec<String>,
    /// Certificates as PEM, the server's own first.
    pub tls_certificate: Option<PathBuf>,
    /// Its private key as PEM.
    pub tls_key: Option<PathBuf>,
    /// How much of everything.
    pub limits: Limits,
    /// Listen for other machines without any key.
    pub insecure: bool,
    /// A path before every route, as `/llm`; empty for none.
    pub api_prefix: String,
    /// Other servers may listen on the same ports.
    pub reuse_port: bool,
    /// How refusals are told on all paths; none is by the path.
    #[serde(skip)]
    pub style: Option<Style>,
}

impl Default for Config {
    fn default() -> Self {
        let address = "localhost".parse().expect("localhost is an address");
        Self {
            listen: vec![address],
            key_file: None,
            keys: Vec::new(),
            origins: Vec::new(),
            cors_methods: Vec::new(),
            cors_headers: Vec::new(),
            hosts: Vec::new(),
            tls_certificate: None,
            tls_key: None,
            limits: Limits::default(),
            insecure: false,
            api_prefix: String::new(),
            reuse_port: false,
            style: None,
        }
    }
}

/// A key in the settings.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyEntry {
    /// What logs and the usage call it.
    pub name: String,
    /// The secret, or `sha256:` and its hash.
    pub secret: String,
    /// How far it reaches.
    #[serde(default)]
    pub scope: Scope,
    /// What it may take.
    #[serde(default)]
    pub limits: KeyLimits,
}

impl fmt::Debug for KeyEntry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("KeyEntry")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// How much the edge takes and how long it waits. Times are whole seconds in settings.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Bytes of a JSON body as it comes.
    pub body_bytes: usize,
    /// Bytes of a JSON body after decompression.
    pub decoded_bytes: usize,
    /// Bytes of a request's line and headers; 8192 at least.
    pub header_bytes: usize,
    /// Levels of a JSON body; 127 at most.
    pub json_depth: usize,
    /// Connections at one time; more wait until one ends.
    pub connections: usize,
    /// Requests at one time with one key that has no limit of its own.
    pub in_flight_per_key: Option<u32>,
    /// From the first byte of a request to the end of its headers, and for a TLS handshake.
    #[serde(deserialize_with = "seconds")]
    pub header_time: Duration,
    /// A connection without a request.
    #[serde(deserialize_with = "seconds")]
    pub idle_time: Duration,
    /// Between two pieces of a body.
    #[serde(deserialize_with = "seconds")]
    pub body_idle_time: Duration,
    /// For a whole JSON body.
    #[serde(deserialize_with = "seconds")]
    pub body_time: Duration,
    /// A client that takes nothing of its answer.
    #[serde(deserialize_with = "seconds")]
    pub write_stall_time: Duration,
    /// For requests that run when the server is told to stop.
    #[serde(deserialize_with = "seconds")]
    pub shutdown_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        let body = BodyLimits::default();
        Self {
            body_bytes: body.bytes,
            decoded_bytes: body.decoded_bytes,
            header_bytes: 64 << 10,
            json_depth: body.depth,
            connections: 16_384,
            in_flight_per_key: None,
            header_time: Duration::from_secs(10),
            idle_time: Duration::from_secs(300),
            body_idle_time: body.idle,
            body_time: body.total,
            write_stall_time: Duration::from_secs(60),
            shutdown_time: Duration::from_secs(10),
        }
    }
}

impl Limits {
    /// The part of them that bodies know.
    pub fn body(&self) -> BodyLimits {
        BodyLimits {
            bytes: self.body_bytes,
            decoded_bytes: self.decoded_bytes,
            depth: self.json_depth,
            idle: self.body_idle_time,
            total: self.body_time,
        }
    }

    fn check(&self) -> Result<(), ConfigError> {
        let times = [
            ("header_time", self.header_time),
            ("idle_time", self.idle_time),
            ("body_idle_time", self.body_idle_time),
            ("body_time", self.body_time),
            ("write_stall_time", self.write_stall_time),
        ];
        let zero = times
            .iter()
            .find(|(_, time)| time.is_zero())
            .map(|(name, _)| (*name, "more than 0"));
        let counts = [
            ("header_bytes", self.header_bytes >= 8192, "8192 at least"),
            (
                "json_depth",
                (1..=127).contains(&self.json_depth),
                "1 to 127",
            ),
            ("body_bytes", self.body_bytes > 0, "more than 0"),
            ("decoded_bytes", self.decoded_bytes > 0, "more than 0"),
            (
                "connections",
                (1..=1 << 20).contains(&self.connections),
                "1 to 1048576",
            ),
            (
                "in_flight_per_key",
                self.in_flight_per_key != Some(0),
                "more than 0",
            ),
        ];
        let count = counts
            .iter()
            .find(|(_, holds, _)| !holds)
            .map(|(name, _, expected)| (*name, *expected));
        match zero.or(count) {
            Some((name, expected)) => Err(ConfigError::Limit { name, expected }),
            None => Ok(()),
        }
    }
}

fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    u32::deserialize(deserializer).map(|seconds| Duration::from_secs(seconds.into()))
}

/// Why the settings are refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Nowhere to listen.
    #[error("no address to listen on: name one, as 127.0.0.1:11434")]
    NoAddress,
    /// Other machines could do everything.
    #[error(
        "{0} can be reached from other machines and no key is configured, so anyone on the network could use and change \
         the models: add a key with --api-key or --api-key-file, or listen on 127.0.0.1, or say --insecure if a firewall \
         or a proxy with keys of its own stands before it"
    )]
    Exposed(Address),
    /// A key cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// An origin is none.
    #[error(transparent)]
    Origin(#[from] BadOrigin),
    /// Half of TLS is given.
    #[error("TLS needs both a certificate and its key: {missing} is missing")]
    HalfTls {
        /// The option that is missing.
        missing: &'static str,
    },
    /// The prefix is no path.
    #[error("the API prefix '{0}' is no path: expected / and words, as /llm")]
    Prefix(String),
    /// A method or a header that pages may use is none.
    #[error("'{0}' is no method and no header: expected a word of letters, digits, - and _, or *")]
    Cors(String),
    /// A limit cannot be.
    #[error("the limit {name} cannot be so: expected {expected}")]
    Limit {
        /// Which.
        name: &'static str,
        /// What it could be.
        expected: &'static str,
    },
}

/// Settings that were found good, in the form in which they are used.
#[derive(Clone, Debug)]
pub struct Checked {
    /// The keys of the settings and the file.
    pub keys: Keys,
    pub(crate) origins: Origins,
    pub(crate) hosts: Hosts,
    /// `/llm`, or nothing.
    pub(crate) prefix: String,
    pub(crate) style: Option<Style>,
    /// What is allowed and should be known, in words.
    pub warnings: Vec<String>,
}

impl Config {
    /// Looks at everything that can be wrong before anything listens. Reads the file of keys.
    ///
    /// # Errors
    /// The settings are unsafe without saying so, contradict themselves, or cannot be understood.
    pub fn check(&self) -> Result<Checked, ConfigError> {
        self.limits.check()?;
        let mut warnings = Vec::new();
        let keys = self.all_keys(&mut warnings)?;
        if self.listen.is_empty() {
            return Err(ConfigError::NoAddress);
        }
        for address in self.listen.iter().filter(|address| !address.is_local()) {
            self.check_exposed(address, &keys, &mut warnings)?;
        }
        match (&self.tls_certificate, &self.tls_key) {
            (Some(_), None) => {
                return Err(ConfigError::HalfTls {
                    missing: "--tls-key",
                });
            }
            (None, Some(_)) => {
                return Err(ConfigError::HalfTls {
                    missing: "--tls-cert",
                });
            }
            _ => {}
        }
        let origins = Origins::new(&self.origins)?
            .restricted(&self.cors_methods, &self.cors_headers)
            .map_err(ConfigError::Cors)?;
        if origins.any() {
            warnings.push("every web page that a user of this machine opens may ask models, since the origins have *".into());
        }
        Ok(Checked {
            keys,
            origins,
            hosts: Hosts::new(&self.hosts),
            prefix: self.prefix()?,
            style: self.style,
            warnings,
        })
    }

    fn check_exposed(
        &self,
        address: &Address,
        keys: &Keys,
        warnings: &mut Vec<String>,
    ) -> Result<(), ConfigError> {
        if keys.is_empty() {
            if !self.insecure {
                return Err(ConfigError::Exposed(address.clone()));
            }
            warnings.push(format!(
                "{address} is open: whoever reaches it may use the models without a key"
            ));
        } else if self.tls_certificate.is_none() {
            warnings.push(format!(
                "{address} has no TLS: keys and texts can be read on the way"
            ));
        }
        Ok(())
    }

    fn all_keys(&self, warnings: &mut Vec<String>) -> Result<Keys, ConfigError> {
        let mut all = Keys::none();
        for entry in &self.keys {
            all.add(Key::new(
                &entry.name,
                &entry.secret,
                entry.scope,
                entry.limits,
            )?)?;
        }
        if let Some(path) = &self.key_file {
            all.add_file(path)?;
            if keys::readable_by_others(path) {
                let path = path.display();
                warnings.push(format!(
                    "others may read the keys in {path}: chmod 600 {path}"
                ));
            }
        }
        Ok(all)
    }

    fn prefix(&self) -> Result<String, ConfigError> {
        let prefix = self.api_prefix.trim_end_matches('/');
        let word = |word: &str| {
            !word.is_empty()
                && word != "."
                && word != ".."
                && word
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        };
        let good = prefix.is_empty()
            || prefix
                .strip_prefix('/')
                .is_some_and(|rest| rest.split('/').all(word));
        if good {
            Ok(prefix.to_owned())
        } else {
            Err(ConfigError::Prefix(self.api_prefix.clone()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listening(addresses: &[&str]) -> Config {
        Config {
            listen: addresses.iter().map(|text| text.parse().unwrap()).collect(),
            ..Config::default()
        }
    }

    fn entry(secret: &str) -> KeyEntry {
        KeyEntry {
            name: "a".into(),
            secret: secret.into(),
            scope: Scope::Use,
            limits: KeyLimits::default(),
        }
    }

    #[test]
    fn go_2025_4251_other_machines_need_a_key() {
        for address in [
            "0.0.0.0:1",
            "[::]:1",
            "192.168.0.1:1",
            "[::ffff:10.0.0.1]:1",
        ] {
            let mut config = listening(&["127.0.0.1:0", address]);
            let error = config.check().unwrap_err().to_string();
            assert!(
                error.contains("--insecure") && error.contains("--api-key"),
                "{error}"
            );
            config.insecure = true;
            assert_eq!(config.check().unwrap().warnings.len(), 1);
            config.insecure = false;
            config.keys = vec![entry("secret")];
            assert!(config.check().unwrap().warnings[0].contains("no TLS"));
        }
        for address in [
            "127.0.0.1:0",
            "[::1]:0",
            "unix:/tmp/x",
            "[::ffff:127.0.0.1]:1",
        ] {
            assert!(
                listening(&[address]).check().unwrap().warnings.is_empty(),
                "{address}"
            );
        }
    }

    #[test]
    fn what_cannot_be_is_refused() {
        type Change = fn(&mut Config);
        let cases: [(Change, &str); 13] = [
            (
                |config| config.cors_methods = vec!["GET POST".into()],
                "'GET POST'",
            ),
            (|config| config.listen.clear(), "no address"),
            (|config| config.keys = vec![entry("")], "is empty"),
            (
                |config| config.tls_certificate = Some("x".into()),
                "--tls-key is missing",
            ),
            (
                |config| config.tls_key = Some("x".into()),
                "--tls-cert is missing",
            ),
            (
                |config| config.origins = vec!["example.com".into()],
                "example.com",
            ),
            (|config| config.api_prefix = "llm".into(), "'llm'"),
            (|config| config.api_prefix = "/a/../b".into(), "no path"),
            (|config| config.limits.header_bytes = 100, "header_bytes"),
            (|config| config.limits.json_depth = 128, "json_depth"),
            (|config| config.limits.connections = 0, "connections"),
            (
                |config| config.limits.header_time = Duration::ZERO,
                "header_time",
            ),
            (
                |config| config.key_file = Some("/does/not/exist".into()),
                "/does/not/exist",
            ),
        ];
        for (change, expected) in cases {
            let mut config = Config::default();
            change(&mut config);
            let error = config.check().unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_file_of_keys_that_others_read_is_warned_of() {
        use std::os::unix::fs::PermissionsExt;
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "secret").unwrap();
        std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(0o644)).unwrap();
        let config = Config {
            key_file: Some(file.path().into()),
            ..Config::default()
        };
        assert!(config.check().unwrap().warnings[0].contains("chmod 600"));
    }

    #[test]
    fn settings_are_read_and_typos_refused() {
        let text = "listen = [\"127.0.0.1:1\", \"unix:/x\"]\n[limits]\nheader_time = 3\n[[keys]]\nname = \"n\"\nsecret = \"top\"\n";
        let config: Config = toml::from_str(text).unwrap();
        assert_eq!(config.limits.header_time, Duration::from_secs(3));
        assert_eq!(config.listen.len(), 2);
        assert!(!format!("{config:?}").contains("top"));
        assert!(toml::from_str::<Config>("lisen = []").is_err());
    }
}
