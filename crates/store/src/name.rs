//! Names of models: `[scheme://][host/][namespace/]model[:tag]` (Ollama's grammar).
//!
//! All four parts are drawn from a closed alphabet and never begin with a dot, so that no name can lead out of a
//! directory. A name that parsed is safe to become a path; [`crate::Layout`] is the one place where it does.

use std::{fmt, str::FromStr};

/// Where names without a host come from.
pub const DEFAULT_HOST: &str = "registry.ollama.ai";
/// The namespace of names without one.
pub const DEFAULT_NAMESPACE: &str = "library";
/// The tag of names without one.
pub const DEFAULT_TAG: &str = "latest";
/// No input longer than this is looked at; the longest valid name is shorter.
const LONGEST: usize = 1024;

/// A complete name. Equal names are spelled alike; [`Name::matches`] compares as people do.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name {
    host: String,
    namespace: String,
    model: String,
    tag: String,
    plain_http: bool,
}

/// A part of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Registry, with a port where it has one: up to 350 bytes.
    Host,
    /// Owner: up to 80 bytes.
    Namespace,
    /// Model: up to 80 bytes.
    Model,
    /// Version: up to 80 bytes.
    Tag,
}

/// Why a text is no name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing at all.
    #[error("a model name is needed, such as llama3.2 or hf.co/owner/repository:Q4_K_M")]
    Empty,
    /// Longer than any name.
    #[error("a name of {0} bytes is too long")]
    Long(usize),
    /// A part breaks the grammar.
    #[error("invalid model name {name:?}: {part} {text:?} {why}")]
    Part {
        /// The whole name.
        name: String,
        /// Which part.
        part: Part,
        /// Its text.
        text: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A model of a hosted service.
    #[error(
        "{0:?} runs in Ollama's cloud: hearth runs models on this machine only; leave ':cloud' out"
    )]
    Cloud(String),
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Host => "host",
            Self::Namespace => "namespace",
            Self::Model => "model",
            Self::Tag => "tag",
        })
    }
}

impl Part {
    /// Why `text` cannot be this part.
    fn fault(self, text: &str) -> Option<&'static str> {
        let (longest, also): (usize, &[u8]) = match self {
            Self::Host => (350, b"_-.:"),
            Self::Namespace => (80, b"_-"),
            Self::Model | Self::Tag => (80, b"_-."),
        };
        let bytes = text.as_bytes();
        match bytes.first() {
            None => return Some("is missing"),
            Some(c) if !c.is_ascii_alphanumeric() && *c != b'_' => {
                return Some("must begin with a letter, a digit or '_'");
            }
            Some(_) if bytes.len() > longest => return Some("is too long"),
            Some(_) => {}
        }
        let allowed = |c: &u8| c.is_ascii_alphanumeric() || also.contains(c);
        (!bytes.iter().all(allowed)).then_some(match self {
            Self::Host => "may have ASCII letters, digits, '_', '-', '.' and ':' only",
            Self::Namespace => "may have ASCII letters, digits, '_' and '-' only",
            Self::Model | Self::Tag => "may have ASCII letters, digits, '_', '-' and '.' only",
        })
    }
}

impl Name {
    /// A name of given parts.
    ///
    /// # Errors
    /// When a part breaks the grammar.
    pub fn new(host: &str, namespace: &str, model: &str, tag: &str) -> Result<Self, NameError> {
        let parts = [
            (Part::Host, host),
            (Part::Namespace, namespace),
            (Part::Model, model),
            (Part::Tag, tag),
        ];
        for (part, text) in parts {
            if let Some(why) = part.fault(text) {
                return Err(NameError::Part {
                    name: format!("{host}/{namespace}/{model}:{tag}"),
                    part,
                    text: text.to_owned(),
                    why,
                });
            }
        }
        Ok(Self {
            host: host.to_owned(),
            namespace: namespace.to_owned(),
            model: model.to_owned(),
            tag: tag.to_owned(),
            plain_http: false,
        })
    }

    /// Reads what a person wrote for a model to be used: also with a trailing `:local`, which says nothing here.
    ///
    /// # Errors
    /// As [`Name::from_str`], and where the name means a hosted model.
    pub fn parse_source(text: &str) -> Result<Self, NameError> {
        let text = text.trim();
        let lower = text.to_ascii_lowercase();
        if let Some(base) = lower.strip_suffix(":local") {
            return Self::parse_source_only(&text[..base.len()], text);
        }
        Self::parse_source_only(text, text)
    }

    fn parse_source_only(base: &str, whole: &str) -> Result<Self, NameError> {
        let lower = base.to_ascii_lowercase();
        let tag = lower.rsplit_once(':').map(|(_, tag)| tag);
        if tag.is_some_and(|tag| tag == "cloud" || (tag.ends_with("-cloud") && !tag.contains('/')))
        {
            return Err(NameError::Cloud(whole.to_owned()));
        }
        base.parse()
    }

    /// The registry, `registry.ollama.ai` if none was named.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The owner, `library` if none was named.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The model.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// The version, `latest` if none was named.
    pub fn tag(&self) -> &str {
        &self.tag
    }

    /// Whether the name was written with `http://`, which needs an explicit permission to be used.
    pub fn plain_http(&self) -> bool {
        self.plain_http
    }

    /// `host/namespace/model:tag`.
    pub fn full(&self) -> String {
        format!(
            "{}/{}/{}:{}",
            self.host, self.namespace, self.model, self.tag
        )
    }

    /// Whether both mean the same model: case does not count.
    pub fn matches(&self, other: &Self) -> bool {
        self.parts()
            .iter()
            .zip(other.parts())
            .all(|(a, b)| a.eq_ignore_ascii_case(b))
    }

    /// Whether it is a repository of the Hugging Face hub.
    pub fn is_hub(&self) -> bool {
        ["hf.co", "huggingface.co"]
            .iter()
            .any(|host| self.host.eq_ignore_ascii_case(host))
    }

    /// The same with other parts; how the registry is spoken to stays.
    ///
    /// # Errors
    /// When a part breaks the grammar.
    pub(crate) fn respelled(
        &self,
        host: &str,
        namespace: &str,
        model: &str,
        tag: &str,
    ) -> Result<Self, NameError> {
        let plain_http = self.plain_http;
        Ok(Self {
            plain_http,
            ..Self::new(host, namespace, model, tag)?
        })
    }

    /// Host, namespace, model, tag.
    pub fn parts(&self) -> [&str; 4] {
        [&self.host, &self.namespace, &self.model, &self.tag]
    }
}

/// The shortest form: host and namespace only where they are not the default, the tag always.
impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let default_host = self.host.eq_ignore_ascii_case(DEFAULT_HOST);
        if !default_host {
            write!(f, "{}/", self.host)?;
        }
        if !default_host || !self.namespace.eq_ignore_ascii_case(DEFAULT_NAMESPACE) {
            write!(f, "{}/", self.namespace)?;
        }
        write!(f, "{}:{}", self.model, self.tag)
    }
}

impl FromStr for Name {
    type Err = NameError;

    /// Reads a name from the right: tag, model, namespace, host. A separator with nothing on a side marks that part
    /// as missing; it does not fall back to the default.
    fn from_str(text: &str) -> Result<Self, NameError> {
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if text.len() > LONGEST {
            return Err(NameError::Long(text.len()));
        }
        let after_slash = text.rfind('/').map_or(0, |at| at + 1);
        let (rest, tag) = match text[after_slash..].rfind(':') {
            Some(at) => (&text[..after_slash + at], &text[after_slash + at + 1..]),
            None => (text, DEFAULT_TAG),
        };
        let (rest, model) = match rest.rsplit_once('/') {
            Some((rest, model)) => (Some(rest), model),
            None => (None, rest),
        };
        let (rest, namespace) = match rest.map(|rest| (rest, rest.rsplit_once('/'))) {
            Some((_, Some((rest, namespace)))) => (Some(rest), namespace),
            Some((namespace, None)) => (None, namespace),
            None => (None, DEFAULT_NAMESPACE),
        };
        let (scheme, host) = match rest.map(|rest| (rest, rest.split_once("://"))) {
            Some((_, Some((scheme, host)))) => (scheme, host),
            Some((host, None)) => ("https", host),
            None => ("https", DEFAULT_HOST),
        };
        let mut name = Self::new(host, namespace, model, tag).map_err(|error| match error {
            NameError::Part {
                part, text: p, why, ..
            } => NameError::Part {
                name: text.to_owned(),
                part,
                text: p,
                why,
            },
            other => other,
        })?;
        name.plain_http = scheme.eq_ignore_ascii_case("http");
        Ok(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The worked table of the grammar's reference: input, then the parts and the shortest form.
    const VALID: &[(&str, [&str; 4], &str)] = &[
        (
            "llama3.2",
            ["registry.ollama.ai", "library", "llama3.2", "latest"],
            "llama3.2:latest",
        ),
        (
            "llama3.2:1b",
            ["registry.ollama.ai", "library", "llama3.2", "1b"],
            "llama3.2:1b",
        ),
        (
            "Llama3.2:1B",
            ["registry.ollama.ai", "library", "Llama3.2", "1B"],
            "Llama3.2:1B",
        ),
        (
            "me/coder",
            ["registry.ollama.ai", "me", "coder", "latest"],
            "me/coder:latest",
        ),
        (
            "me/coder:v2",
            ["registry.ollama.ai", "me", "coder", "v2"],
            "me/coder:v2",
        ),
        (
            "registry.ollama.ai/library/llama3.2:latest",
            ["registry.ollama.ai", "library", "llama3.2", "latest"],
            "llama3.2:latest",
        ),
        (
            "ollama.com/library/llama3.2",
            ["ollama.com", "library", "llama3.2", "latest"],
            "ollama.com/library/llama3.2:latest",
        ),
        (
            "hf.co/u/Repo-GGUF",
            ["hf.co", "u", "Repo-GGUF", "latest"],
            "hf.co/u/Repo-GGUF:latest",
        ),
        (
            "hf.co/u/Repo-GGUF:Q8_0",
            ["hf.co", "u", "Repo-GGUF", "Q8_0"],
            "hf.co/u/Repo-GGUF:Q8_0",
        ),
        (
            "hf.co/u/Repo-GGUF:iq3_m",
            ["hf.co", "u", "Repo-GGUF", "iq3_m"],
            "hf.co/u/Repo-GGUF:iq3_m",
        ),
        (
            "hf.co/u/Repo-GGUF:Repo-Q4_K_M.gguf",
            ["hf.co", "u", "Repo-GGUF", "Repo-Q4_K_M.gguf"],
            "hf.co/u/Repo-GGUF:Repo-Q4_K_M.gguf",
        ),
        (
            "huggingface.co/u/r:Q4_K_M",
            ["huggingface.co", "u", "r", "Q4_K_M"],
            "huggingface.co/u/r:Q4_K_M",
        ),
        (
            "https://hf.co/u/r:Q4_K_M",
            ["hf.co", "u", "r", "Q4_K_M"],
            "hf.co/u/r:Q4_K_M",
        ),
        (
            "http://localhost:5000/team/m",
            ["localhost:5000", "team", "m", "latest"],
            "localhost:5000/team/m:latest",
        ),
        (
            "localhost:5000/team/m",
            ["localhost:5000", "team", "m", "latest"],
            "localhost:5000/team/m:latest",
        ),
        (
            "localhost:5000/team/m:v1",
            ["localhost:5000", "team", "m", "v1"],
            "localhost:5000/team/m:v1",
        ),
        (
            "10.0.0.5:5000/ns/m:t",
            ["10.0.0.5:5000", "ns", "m", "t"],
            "10.0.0.5:5000/ns/m:t",
        ),
        (
            "https://registry.ollama.ai/library/llama3.2:1b",
            ["registry.ollama.ai", "library", "llama3.2", "1b"],
            "llama3.2:1b",
        ),
        ("weird://h:p/ns/m:t", ["h:p", "ns", "m", "t"], "h:p/ns/m:t"),
        ("h/n/m", ["h", "n", "m", "latest"], "h/n/m:latest"),
        ("_x/_y/_z:_t", ["_x", "_y", "_z", "_t"], "_x/_y/_z:_t"),
        (
            "my-ns/my.model",
            ["registry.ollama.ai", "my-ns", "my.model", "latest"],
            "my-ns/my.model:latest",
        ),
        (
            "n/m.gguf",
            ["registry.ollama.ai", "n", "m.gguf", "latest"],
            "n/m.gguf:latest",
        ),
        (
            "h/cloud",
            ["registry.ollama.ai", "h", "cloud", "latest"],
            "h/cloud:latest",
        ),
    ];

    const INVALID: &[(&str, Part)] = &[
        ("localhost:5000/m", Part::Namespace),
        ("http://localhost:5000/m", Part::Host),
        ("a/b/c/d", Part::Host),
        ("m:", Part::Tag),
        (":t", Part::Model),
        ("/m", Part::Namespace),
        ("n/", Part::Model),
        ("//m", Part::Host),
        ("-m", Part::Model),
        ("m:-t", Part::Tag),
        (".m", Part::Model),
        ("my.ns/m", Part::Namespace),
        ("model name", Part::Model),
        ("m:t:more", Part::Model),
        ("ns:x/m:t", Part::Namespace),
        ("m@sha256:12", Part::Model),
        ("m:t@sha256:12", Part::Model),
        ("../m", Part::Namespace),
        ("../../m:t", Part::Host),
        ("./model.gguf", Part::Namespace),
        ("C:\\models\\m", Part::Tag),
        ("ünicode", Part::Model),
        ("m+1", Part::Model),
        ("llаma", Part::Model), // a Cyrillic letter
        ("m\u{0}", Part::Model),
        ("m\n", Part::Model),
        ("m\u{202e}", Part::Model),
    ];

    #[test]
    fn the_reference_table() {
        for (input, parts, shown) in VALID {
            let name: Name = input.parse().unwrap();
            assert_eq!(name.parts(), *parts, "{input}");
            assert_eq!(name.to_string(), *shown, "{input}");
            assert_eq!(name.full().parse::<Name>().unwrap().parts(), *parts);
        }
        assert_eq!("a".repeat(80).parse::<Name>().unwrap().model().len(), 80);
    }

    #[test]
    fn invalid_names_say_which_part() {
        for (input, expected) in INVALID {
            match input.parse::<Name>() {
                Err(NameError::Part { part, .. }) => assert_eq!(part, *expected, "{input}"),
                other => panic!("{input:?} gave {other:?}"),
            }
        }
        assert!("a".repeat(81).parse::<Name>().is_err());
        assert_eq!("".parse::<Name>(), Err(NameError::Empty));
        assert_eq!("a".repeat(4096).parse::<Name>(), Err(NameError::Long(4096)));
    }

    #[test]
    fn cloud_names_are_refused_and_local_ones_are_plain() {
        for cloud in [
            "qwen3:cloud",
            "qwen3:8b-cloud",
            "qwen3:8b:cloud",
            "qwen3:cloud:local",
            "Q:CLOUD",
        ] {
            assert!(
                matches!(Name::parse_source(cloud), Err(NameError::Cloud(_))),
                "{cloud}"
            );
        }
        let name = Name::parse_source(" qwen3:8b:local ").unwrap();
        assert_eq!(name.to_string(), "qwen3:8b");
    }

    #[test]
    fn http_is_remembered_and_case_does_not_count() {
        assert!("http://h/n/m".parse::<Name>().unwrap().plain_http());
        assert!(!"https://h/n/m".parse::<Name>().unwrap().plain_http());
        let (a, b): (Name, Name) = (
            "LLAMA3.2".parse().unwrap(),
            "llama3.2:Latest".parse().unwrap(),
        );
        assert!(a.matches(&b) && a != b);
    }

    proptest::proptest! {
        #[test]
        fn no_name_leads_out_of_a_directory(text in ".*") {
            if let Ok(name) = text.parse::<Name>() {
                for part in name.parts() {
                    proptest::prop_assert!(!part.starts_with('.') && !part.contains(['/', '\\', '\0']));
                    proptest::prop_assert!(part.is_ascii() && !part.is_empty() && part.len() <= 350);
                }
            }
        }
    }
}
