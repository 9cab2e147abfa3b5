//! Lists of models: `GET /api/tags` and `GET /api/ps` (reference 5.13, 5.15).

use std::time::{Duration, SystemTime};

use hearth_format::{Checkpoint, Source};
use hearth_store::origins::{Files, Found};
use hearth_store::{Config, Digest, Entry, parameter_text};
use serde_json::{Map, Value, json};

use super::time;

/// How far in the future the end of a model is that stays: 292 years, what Go's durations can say.
const FOREVER: Duration = Duration::from_secs(292 * 31_556_952);

/// What a model is, in a few words.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Details {
    /// The model that it was made from; mostly nothing.
    pub parent: String,
    /// `gguf` or `safetensors`.
    pub format: String,
    /// The architecture.
    pub family: String,
    /// The architectures of all its parts.
    pub families: Vec<String>,
    /// The number of parameters, as `7.6B`.
    pub parameter_size: String,
    /// The mixture of block types, as `Q4_K_M`.
    pub quantization: String,
    /// Tokens that it was trained for.
    pub context_length: Option<u64>,
    /// Width of a token.
    pub embedding_length: Option<u64>,
    /// What it can do; see [`super::capabilities`].
    pub capabilities: Vec<String>,
    /// Another server that runs it.
    pub remote_host: Option<String>,
}

impl Details {
    /// What the config of a stored model says.
    pub fn of(config: &Config) -> Self {
        let number = |key: &str| config.other.get(key).and_then(Value::as_u64);
        let words = config.other.get("capabilities").and_then(Value::as_array);
        let words = words.into_iter().flatten().filter_map(Value::as_str);
        let format = Some(&config.model_format).filter(|format| !format.is_empty());
        Self {
            parent: String::new(),
            format: format.map_or_else(|| "gguf".to_owned(), Clone::clone),
            family: config.model_family.clone(),
            families: config.model_families.clone(),
            parameter_size: config.model_type.clone(),
            quantization: config.file_type.clone(),
            context_length: number("context_length"),
            embedding_length: number("embedding_length"),
            capabilities: words.map(str::to_owned).collect(),
            remote_host: config.remote_host.clone(),
        }
    }

    /// What a model of another program says before it is opened. One of another store has a config, which says more.
    pub fn found(found: &Found) -> Self {
        let family = found.architecture.clone().unwrap_or_default();
        let tag = found.name.as_ref().map(|name| name.tag());
        let format = match found.files {
            Files::Directory(_) => "safetensors",
            Files::Gguf(_) | Files::Manifest(_) => "gguf",
        };
        Self {
            format: format.to_owned(),
            families: vec![family.clone()],
            family,
            quantization: tag
                .filter(|tag| *tag != "latest")
                .unwrap_or_default()
                .to_owned(),
            ..Self::default()
        }
    }

    /// Fills in from the weights what nobody said.
    #[must_use]
    pub fn with(mut self, checkpoint: &Checkpoint) -> Self {
        let fill = |text: &mut String, value: String| {
            if text.is_empty() {
                *text = value;
            }
        };
        let (metadata, config) = (checkpoint.metadata(), checkpoint.config());
        let family = match checkpoint.source {
            Source::Gguf => metadata.string("general.architecture"),
            _ => config.get("model_type").and_then(Value::as_str),
        };
        let family = family.unwrap_or_default().to_owned();
        let number = |gguf: &str, other: &str| match checkpoint.source {
            Source::Gguf => metadata.integer(&format!("{family}.{gguf}")),
            _ => config.get(other).and_then(Value::as_u64),
        };
        self.context_length = self
            .context_length
            .or_else(|| number("context_length", "max_position_embeddings"));
        self.embedding_length = self
            .embedding_length
            .or_else(|| number("embedding_length", "hidden_size"));
        fill(
            &mut self.parameter_size,
            parameter_text(checkpoint.parameters()),
        );
        if self.families.is_empty() {
            self.families.push(family.clone());
        }
        fill(&mut self.family, family);
        self
    }

    /// As all routes show it.
    pub(super) fn short(&self) -> Map<String, Value> {
        let fields = [
            ("parent_model", json!(self.parent)),
            ("format", json!(self.format)),
            ("family", json!(self.family)),
            ("families", json!(self.families)),
            ("parameter_size", json!(self.parameter_size)),
            ("quantization_level", json!(self.quantization)),
        ];
        fields
            .map(|(name, value)| (name.to_owned(), value))
            .into_iter()
            .collect()
    }

    /// As lists show it: with the lengths.
    fn long(&self) -> Map<String, Value> {
        let mut fields = self.short();
        let lengths = [
            ("context_length", self.context_length),
            ("embedding_length", self.embedding_length),
        ];
        let known = lengths
            .into_iter()
            .filter_map(|(name, n)| Some((name.to_owned(), json!(n?))));
        fields.extend(known);
        fields
    }
}

/// A model of a list.
#[derive(Clone, Debug)]
pub struct Listed {
    /// The shortest name that means it, with its tag.
    pub name: String,
    /// When it got its present contents.
    pub modified: SystemTime,
    /// Bytes of its files.
    pub size: u64,
    /// 64 hexadecimal digits.
    pub digest: String,
    /// What it is.
    pub details: Details,
}

impl Listed {
    /// A model of the store.
    pub fn stored(entry: &Entry, details: Details) -> Self {
        Self {
            name: entry.name.to_string(),
            modified: entry.modified,
            size: entry.manifest.size(),
            digest: entry.manifest.digest().hex(),
            details,
        }
    }

    /// A model of another program; none where no name means it. Files that nobody has hashed get a digest of their
    /// name, size and time: clients need one, and it changes with the files.
    pub fn found(found: &Found, details: Details) -> Option<Self> {
        if let Files::Manifest(entry) = &found.files {
            let name = found
                .name
                .as_ref()
                .map_or_else(|| entry.name.to_string(), ToString::to_string);
            return Some(Self {
                name,
                ..Self::stored(entry, details)
            });
        }
        let name = found.name.as_ref()?.to_string();
        let identity = format!(
            "{name} {} {}",
            found.size,
            time::nanoseconds(found.modified)
        );
        Some(Self {
            name,
            modified: found.modified,
            size: found.size,
            digest: Digest::of(identity.as_bytes()).hex(),
            details,
        })
    }

    fn object(&self) -> Map<String, Value> {
        let fields = [
            ("name", json!(self.name)),
            ("model", json!(self.name)),
            ("size", json!(self.size)),
            ("digest", json!(self.digest)),
        ];
        fields
            .map(|(name, value)| (name.to_owned(), value))
            .into_iter()
            .collect()
    }
}

/// The answer of `/api/tags`: the newest first.
pub fn tags(mut models: Vec<Listed>) -> Value {
    models.sort_by(|a, b| {
        b.modified
            .cmp(&a.modified)
            .then_with(|| a.name.cmp(&b.name))
    });
    let models = models.iter().map(|model| {
        let mut object = model.object();
        object.insert(
            "modified_at".to_owned(),
            json!(time::microseconds(model.modified)),
        );
        object.insert("details".to_owned(), Value::Object(model.details.long()));
        if let Some(host) = &model.details.remote_host {
            object.insert("remote_host".to_owned(), json!(host));
        }
        if !model.details.capabilities.is_empty() {
            object.insert("capabilities".to_owned(), json!(model.details.capabilities));
        }
        Value::Object(object)
    });
    json!({ "models": models.collect::<Vec<_>>() })
}

/// A model that is loaded.
#[derive(Clone, Debug)]
pub struct Resident {
    /// What it is; its size is the memory that it takes.
    pub model: Listed,
    /// Bytes of that on accelerators.
    pub accelerated: u64,
    /// Tokens of its context.
    pub context: u64,
    /// How long it stays if nobody uses it; none is forever.
    pub remaining: Option<Duration>,
}

/// The answer of `/api/ps`: the one that stays longest first.
pub fn ps(mut models: Vec<Resident>, now: SystemTime) -> Value {
    let remaining = |model: &Resident| model.remaining.unwrap_or(FOREVER).min(FOREVER);
    models.sort_by(|a, b| {
        let longest = remaining(b).cmp(&remaining(a));
        longest.then_with(|| a.model.name.cmp(&b.model.name))
    });
    let models = models.iter().map(|resident| {
        let mut object = resident.model.object();
        let end = now.checked_add(remaining(resident)).unwrap_or(now);
        object.insert(
            "details".to_owned(),
            Value::Object(resident.model.details.short()),
        );
        object.insert("expires_at".to_owned(), json!(time::microseconds(end)));
        object.insert("size_vram".to_owned(), json!(resident.accelerated));
        object.insert("context_length".to_owned(), json!(resident.context));
        Value::Object(object)
    });
    json!({ "models": models.collect::<Vec<_>>() })
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use hearth_store::{Base, Create, Recipe};

    use super::*;
    use crate::library::{Located, Weights};

    fn listed(name: &str, seconds: u64) -> Listed {
        let config = json!({
            "model_format": "gguf", "model_family": "llama", "model_families": ["llama"], "model_type": "3.2B",
            "file_type": "Q4_K_M", "context_length": 131_072, "capabilities": ["completion", "tools"],
        });
        Listed {
            name: name.to_owned(),
            modified: UNIX_EPOCH + Duration::from_secs(seconds),
            size: 2_019_393_189,
            digest: "a".repeat(64),
            details: Details::of(&serde_json::from_value(config).unwrap()),
        }
    }

    #[test]
    fn tags_as_the_reference_has_them() {
        assert_eq!(tags(Vec::new()), json!({"models": []}));
        let list = tags(vec![
            listed("old:latest", 1),
            listed("llama3.2:latest", 1_785_578_400),
        ]);
        assert_eq!(list["models"][1]["name"], "old:latest");
        assert_eq!(
            list["models"][0],
            json!({
                "name": "llama3.2:latest", "model": "llama3.2:latest", "modified_at": "2026-08-01T10:00:00.000000Z",
                "size": 2_019_393_189_u64, "digest": "a".repeat(64),
                "details": {
                    "parent_model": "", "format": "gguf", "family": "llama", "families": ["llama"],
                    "parameter_size": "3.2B", "quantization_level": "Q4_K_M", "context_length": 131_072,
                },
                "capabilities": ["completion", "tools"],
            })
        );
    }

    #[test]
    fn a_model_that_was_made_is_listed() {
        let directory = tempfile::tempdir().unwrap();
        let store = hearth_store::Store::new(directory.path().join("store"));
        let Weights::BuiltIn(bytes) = Located::bard().weights else {
            panic!()
        };
        let file = directory.path().join("bard.gguf");
        std::fs::write(&file, bytes).unwrap();
        let recipe = Recipe {
            from: vec![Base::Path(file)],
            ..Recipe::default()
        };
        let create = Create {
            link: false,
            check_template: &|_| Ok(()),
            transform: None,
            watch: &|_| {},
        };
        let entry = store
            .create(&"mine".parse().unwrap(), &recipe, &create)
            .unwrap();
        let details =
            Details::of(&store.config(&entry).unwrap()).with(&store.open(&entry).unwrap());
        let list = tags(vec![Listed::stored(&entry, details)]);
        let model = &list["models"][0];
        assert_eq!(
            (&model["name"], &model["model"]),
            (&json!("mine:latest"), &json!("mine:latest"))
        );
        assert_eq!(model["digest"].as_str().unwrap().len(), 64);
        assert!(model["size"].as_u64().unwrap() > bytes.len() as u64);
        let details = &model["details"];
        assert_eq!(
            (&details["format"], &details["family"]),
            (&json!("gguf"), &json!("llama"))
        );
        assert_eq!(details["parameter_size"], "5.77M");
        assert!(details["context_length"].is_u64() && details["embedding_length"].is_u64());
    }

    #[test]
    fn loaded_models_by_what_is_left_to_them() {
        let resident = |name, remaining| Resident {
            model: listed(name, 0),
            accelerated: 0,
            context: 4096,
            remaining,
        };
        let short = resident("a:latest", Some(Duration::from_secs(300)));
        let forever = resident("b:latest", None);
        let now = UNIX_EPOCH + Duration::from_secs(1_785_578_400);
        let answer = ps(vec![short, forever], now);
        assert_eq!(answer["models"][0]["name"], "b:latest");
        let end = answer["models"][0]["expires_at"].as_str().unwrap();
        assert!(end.starts_with("2318-"), "{end}");
        let model = &answer["models"][1];
        assert_eq!(model["expires_at"], "2026-08-01T10:05:00.000000Z");
        assert_eq!(
            (&model["size_vram"], &model["context_length"]),
            (&json!(0), &json!(4096))
        );
        for field in ["model", "size", "digest", "details"] {
            assert!(model.get(field).is_some(), "{field}");
        }
        assert!(model["details"].get("context_length").is_none());
    }
}
