//! Settings: a TOML file, then the environment over it.
//!
//! ```toml
//! models = "/data/models"             # the store; HEARTH_MODELS and OLLAMA_MODELS come before it
//! folders = ["/data/gguf"]            # read in place
//! piece = 4194304                     # bytes per piece of a download, what a crash loses at most of each stream
//!
//! [registry."registry.ollama.ai"]
//! mirrors = ["http://mirror.lan:5000"] # asked first, in this order
//! plain_http = false                   # allows http:// for this registry
//! ca = "/etc/ssl/company.pem"          # trusted for this registry and its mirrors, beside the system's
//! user = "me"
//! password_env = "REGISTRY_PASSWORD"   # the name of a variable, never the password
//! auth_host = "auth.example.org"       # may be given this registry's credentials
//! ```

use std::{
    collections::BTreeMap,
    ffi::OsString,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use crate::{Disk, Error, Result};

const LARGEST: u64 = 1 << 20;

/// Settings of the store.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The store's directory.
    pub models: Option<PathBuf>,
    /// More folders with models.
    pub folders: Vec<PathBuf>,
    /// Bytes per piece of a download; 16 MiB if none.
    pub piece: Option<u64>,
    /// Registries by host.
    pub registry: BTreeMap<String, Registry>,
}

/// Settings of a registry.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Registry {
    /// Base addresses that are asked before the registry itself.
    pub mirrors: Vec<String>,
    /// Allows addresses that begin with `http://`.
    pub plain_http: bool,
    /// A file of certificates in PEM that are trusted too.
    pub ca: Option<PathBuf>,
    /// User for basic authentication.
    pub user: Option<String>,
    /// The variable that holds the password.
    pub password_env: Option<String>,
    /// Another host that hands out tokens for this registry.
    pub auth_host: Option<String>,
}

/// Where to look values up: a function so that tests need no process environment.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<OsString>;

impl Settings {
    /// Reads the settings: `HEARTH_CONFIG`, or `config.toml` in hearth's directory.
    ///
    /// # Errors
    /// When the file is there and not valid, or `HEARTH_CONFIG` names none.
    pub fn read(environment: Environment<'_>) -> Result<Self> {
        let disk = Disk::default();
        let (path, named) = match environment("HEARTH_CONFIG") {
            Some(path) => (PathBuf::from(path), true),
            None => match home(environment) {
                Some(home) => (home.join(".hearth").join("config.toml"), false),
                None => return Ok(Self::default()),
            },
        };
        match disk.read(&path, LARGEST)? {
            Some(bytes) => Self::parse(&bytes, &path),
            None if named => Err(Error::invalid(
                "HEARTH_CONFIG",
                format!("there is no {}", path.display()),
            )),
            None => Ok(Self::default()),
        }
    }

    fn parse(bytes: &[u8], path: &Path) -> Result<Self> {
        let what = path.display().to_string();
        let text =
            std::str::from_utf8(bytes).map_err(|_| Error::invalid(&what, "expected UTF-8 text"))?;
        toml::from_str(text).map_err(|error| Error::invalid(&what, error.to_string()))
    }

    /// The store's directory: `HEARTH_MODELS`, then `OLLAMA_MODELS`, then the file's, then `~/.hearth/models`.
    ///
    /// # Errors
    /// When nothing says where the home directory is.
    pub fn root(&self, environment: Environment<'_>) -> Result<PathBuf> {
        let set = |name| {
            environment(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        set("HEARTH_MODELS")
            .or_else(|| set("OLLAMA_MODELS"))
            .or_else(|| self.models.clone())
            .or_else(|| Some(home(environment)?.join(".hearth").join("models")))
            .ok_or_else(|| {
                Error::invalid(
                    "the store",
                    "set HOME or HEARTH_MODELS to say where models are kept",
                )
            })
    }

    /// Settings of a registry; the defaults where there are none.
    pub fn registry(&self, host: &str) -> Registry {
        let found = self
            .registry
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(host));
        found
            .map(|(_, registry)| registry.clone())
            .unwrap_or_default()
    }
}

/// The user's home directory.
pub fn home(environment: Environment<'_>) -> Option<PathBuf> {
    let variable = if cfg!(windows) { "USERPROFILE" } else { "HOME" };
    environment(variable)
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_comes_before_the_file() {
        let text = "models = '/file'\nfolders = ['/a']\n[registry.'h:5000']\nmirrors = ['http://m']\nplain_http = true\n";
        let settings = Settings::parse(text.as_bytes(), Path::new("c")).unwrap();
        let with = |name: &'static str, value: &'static str| {
            move |asked: &str| (asked == name).then(|| value.into())
        };
        assert_eq!(
            settings.root(&with("HEARTH_MODELS", "/h")).unwrap(),
            Path::new("/h")
        );
        assert_eq!(
            settings.root(&with("OLLAMA_MODELS", "/o")).unwrap(),
            Path::new("/o")
        );
        assert_eq!(settings.root(&|_| None).unwrap(), Path::new("/file"));
        assert_eq!(
            Settings::default().root(&with("HOME", "/me")).unwrap(),
            Path::new("/me/.hearth/models")
        );
        assert!(settings.registry("H:5000").plain_http);
        assert!(Settings::default().root(&|_| None).is_err());
    }

    #[test]
    fn a_wrong_key_is_named() {
        let error = Settings::parse(b"model = 'x'", Path::new("c.toml"))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("c.toml") && error.contains("model"),
            "{error}"
        );
    }
}
