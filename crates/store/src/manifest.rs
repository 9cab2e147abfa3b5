//! Manifests: which contents make up a model (Docker's image manifest, schema 2, with Ollama's media types).

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Digest, Error, Result};

/// The media type of a manifest.
pub const MANIFEST_TYPE: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// The media type of a config blob.
pub const CONFIG_TYPE: &str = "application/vnd.docker.container.image.v1+json";
/// No manifest is larger: ten thousand layers need less.
pub(crate) const LARGEST: u64 = 8 << 20;
/// No model is larger in sum; sizes are added up without looking again.
const LARGEST_MODEL: u64 = 1 << 50;
const IMAGE: &str = "application/vnd.ollama.image.";
/// Weights of a checkpoint directory as they were published: many tensors in a file.
const SAFETENSORS: &str = "application/vnd.hearth.image.safetensors";

/// What a layer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Weights in GGUF; several of them are the parts of a split model in their order.
    Model,
    /// A vision or audio projector in GGUF.
    Projector,
    /// A LoRA adapter in GGUF.
    Adapter,
    /// A draft model in GGUF.
    Draft,
    /// A template in Go's language.
    Template,
    /// The default system message.
    System,
    /// Option defaults, a JSON object.
    Params,
    /// Turns before every conversation, a JSON array.
    Messages,
    /// A licence.
    License,
    /// One tensor as a safetensors file; the layer's name is the tensor's.
    Tensor,
    /// A file of a checkpoint directory other than weights; the layer's name is its path.
    Json,
    /// A safetensors file of a checkpoint directory; the layer's name is its path.
    Safetensors,
    /// Something that hearth keeps and does not use.
    Other,
}

const KINDS: &[(Kind, &str)] = &[
    (Kind::Model, "model"),
    (Kind::Projector, "projector"),
    (Kind::Adapter, "adapter"),
    (Kind::Draft, "draft"),
    (Kind::Template, "template"),
    (Kind::Template, "prompt"),
    (Kind::System, "system"),
    (Kind::Params, "params"),
    (Kind::Messages, "messages"),
    (Kind::License, "license"),
    (Kind::Tensor, "tensor"),
    (Kind::Json, "json"),
];

impl Kind {
    /// The media type.
    pub fn media_type(self) -> String {
        match KINDS.iter().find(|(kind, _)| *kind == self) {
            Some((_, suffix)) => format!("{IMAGE}{suffix}"),
            None if self == Self::Safetensors => SAFETENSORS.to_owned(),
            None => "application/octet-stream".to_owned(),
        }
    }

    /// The kind of a media type.
    pub fn of(media_type: &str) -> Self {
        if media_type == SAFETENSORS {
            return Self::Safetensors;
        }
        // Docker's own models, such as application/vnd.docker.ai.gguf.v3.
        if media_type.starts_with("application/vnd.docker.ai.gguf") {
            return Self::Model;
        }
        let suffix = media_type.strip_prefix(IMAGE);
        KINDS
            .iter()
            .find(|(_, known)| Some(*known) == suffix)
            .map_or(Self::Other, |(kind, _)| *kind)
    }
}

/// A content that a manifest names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Layer {
    /// What it is.
    pub media_type: String,
    /// Its content.
    pub digest: Digest,
    /// Bytes.
    pub size: u64,
    /// Where the content came from: a model or a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// A tensor or a path inside a checkpoint directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

impl Layer {
    /// A layer without a source or a name.
    pub fn new(kind: Kind, digest: Digest, size: u64) -> Self {
        Self {
            media_type: kind.media_type(),
            digest,
            size,
            from: None,
            name: None,
        }
    }

    /// What it is.
    pub fn kind(&self) -> Kind {
        Kind::of(&self.media_type)
    }
}

/// A manifest together with the bytes that it was read from, which its digest is of.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    /// The config blob.
    pub config: Layer,
    /// The contents.
    pub layers: Vec<Layer>,
    raw: Vec<u8>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    schema_version: u32,
    config: Layer,
    #[serde(default)]
    layers: Option<Vec<Layer>>,
}

impl Manifest {
    /// Reads a manifest; `what` names it in messages.
    ///
    /// # Errors
    /// When it is no manifest of schema 2, or a digest, a size or a name in it is not what it has to be.
    pub fn parse(raw: &[u8], what: &str) -> Result<Self> {
        let invalid = |why: String| Error::Manifest {
            what: what.to_owned(),
            why,
        };
        if raw.len() as u64 > LARGEST {
            return Err(invalid(format!("larger than {LARGEST} bytes")));
        }
        let wire: Wire = serde_json::from_slice(raw).map_err(|error| invalid(error.to_string()))?;
        if wire.schema_version != 2 {
            return Err(invalid(format!(
                "expected schemaVersion 2, found {}",
                wire.schema_version
            )));
        }
        let layers = wire.layers.unwrap_or_default();
        let sizes = layers.iter().chain([&wire.config]).map(|layer| layer.size);
        let total = sizes.fold(0_u64, u64::saturating_add);
        if total > LARGEST_MODEL {
            return Err(invalid(format!("sizes add up to {total} bytes")));
        }
        if let Some(name) = layers
            .iter()
            .filter_map(|l| l.name.as_deref())
            .find(|n| !is_plain_path(n))
        {
            let name: String = name.chars().take(80).collect();
            return Err(invalid(format!(
                "{name:?} is no plain name of a file or tensor"
            )));
        }
        Ok(Self {
            config: wire.config,
            layers,
            raw: raw.to_vec(),
        })
    }

    /// A manifest of our own, written as Ollama writes them: compact, with a newline.
    ///
    /// # Errors
    /// As [`Manifest::parse`].
    pub fn build(config: Layer, layers: Vec<Layer>) -> Result<Self> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Out<'a> {
            schema_version: u32,
            media_type: &'a str,
            config: &'a Layer,
            layers: &'a [Layer],
        }
        let out = Out {
            schema_version: 2,
            media_type: MANIFEST_TYPE,
            config: &config,
            layers: &layers,
        };
        let mut raw = serde_json::to_vec(&out).map_err(|error| Error::Manifest {
            what: "the new manifest".to_owned(),
            why: error.to_string(),
        })?;
        raw.push(b'\n');
        Self::parse(&raw, "the new manifest")
    }

    /// The bytes.
    pub fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// The digest of the bytes, which is the model's.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.raw)
    }

    /// All contents, the config last.
    pub fn contents(&self) -> impl Iterator<Item = &Layer> {
        self.layers.iter().chain([&self.config])
    }

    /// Bytes of all contents.
    pub fn size(&self) -> u64 {
        self.contents().map(|layer| layer.size).sum()
    }

    /// The layers of a kind in their order.
    pub fn of_kind(&self, kind: Kind) -> impl Iterator<Item = &Layer> {
        self.layers.iter().filter(move |layer| layer.kind() == kind)
    }
}

/// A relative path of ordinary parts. Names of tensors are such paths too.
pub(crate) fn is_plain_path(path: &str) -> bool {
    !path.is_empty()
        && path.len() <= 512
        && !path.contains(['\\', ':', '\0'])
        && !path.chars().any(char::is_control)
        && path
            .split('/')
            .all(|part| !part.is_empty() && part != "." && part != "..")
}

/// What a config blob says of a model. Every field may be missing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// `gguf`, or `safetensors` for a checkpoint directory; empty means GGUF.
    pub model_format: String,
    /// The architecture.
    pub model_family: String,
    /// One per model layer.
    #[serde(deserialize_with = "list_or_null")]
    pub model_families: Vec<String>,
    /// The number of parameters as people write it.
    pub model_type: String,
    /// The mixture of block types.
    pub file_type: String,
    /// A built-in prompt renderer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renderer: Option<String>,
    /// A built-in output parser.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parser: Option<String>,
    /// The least version of Ollama.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requires: Option<String>,
    /// A model of a hosted service, nothing local.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote_host: Option<String>,
    /// Always `amd64`; means nothing.
    pub architecture: String,
    /// Always `linux`; means nothing.
    pub os: String,
    /// Everything else, kept.
    #[serde(flatten)]
    pub other: serde_json::Map<String, Value>,
}

fn list_or_null<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

/// A number of parameters as lists show it: `7B`, `3.2B`, `334.09M`, `12K`.
pub fn parameter_text(count: u64) -> String {
    let (unit, suffix, digits) = match count {
        1_000_000_000.. => (1e9, "B", 1),
        1_000_000.. => (1e6, "M", 2),
        1_000.. => (1e3, "K", 0),
        _ => return count.to_string(),
    };
    let value = count as f64 / unit;
    let text = format!("{value:.digits$}");
    let whole = digits == 1 && count.is_multiple_of(1_000_000_000);
    if whole {
        format!("{value:.0}{suffix}")
    } else {
        format!("{text}{suffix}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(size: u64) -> String {
        format!(
            r#"{{"mediaType":"application/vnd.ollama.image.model","digest":"{}","size":{size}}}"#,
            Digest::of(b"a")
        )
    }

    #[test]
    fn a_manifest_keeps_its_bytes() {
        let raw = format!(
            r#"{{"schemaVersion":2, "new":1,"config":{0},"layers":[{0}]}}"#,
            layer(5)
        );
        let manifest = Manifest::parse(raw.as_bytes(), "m").unwrap();
        assert_eq!(manifest.raw(), raw.as_bytes());
        assert_eq!(manifest.digest(), Digest::of(raw.as_bytes()));
        assert_eq!(
            (manifest.size(), manifest.layers[0].kind()),
            (10, Kind::Model)
        );
        let built = Manifest::build(manifest.config.clone(), manifest.layers.clone()).unwrap();
        assert!(
            built
                .raw()
                .starts_with(br#"{"schemaVersion":2,"mediaType":"application/vnd.docker"#)
        );
        assert!(built.raw().ends_with(b"}\n"));
    }

    /// CVE-2025-1975: manifests that are not what they should be.
    #[test]
    fn cve_2025_1975_malformed_manifests_are_errors() {
        let ok = layer(1);
        for raw in [
            "".to_owned(),
            "{".into(),
            "[]".into(),
            "null".into(),
            "{}".into(),
            r#"{"schemaVersion":1}"#.into(),
            format!(r#"{{"schemaVersion":1,"config":{ok},"layers":[]}}"#),
            r#"{"schemaVersion":2,"layers":[]}"#.into(),
            format!(r#"{{"schemaVersion":2,"config":{ok},"layers":[{{}}]}}"#),
            format!(r#"{{"schemaVersion":2,"config":{ok},"layers":[null]}}"#),
            format!(
                r#"{{"schemaVersion":2,"config":{ok},"layers":[{}]}}"#,
                ok.replace(":1}", ":-1}")
            ),
            format!(
                r#"{{"schemaVersion":2,"config":{ok},"layers":[{}]}}"#,
                layer(u64::MAX)
            ),
            format!(
                r#"{{"schemaVersion":2,"config":{ok},"layers":[{}]}}"#,
                ok.replace("sha256:", "sha256:../")
            ),
            format!(
                r#"{{"schemaVersion":2,"config":{ok},"layers":[{}]}}"#,
                ok.replace("}", r#","name":"../x"}"#)
            ),
            format!(
                r#"{{"schemaVersion":2,"config":{ok},"layers":[{}]}}"#,
                ok.replace("}", r#","name":"/etc/passwd"}"#)
            ),
            "[".repeat(100_000),
        ] {
            assert!(Manifest::parse(raw.as_bytes(), "m").is_err(), "{:.80}", raw);
        }
    }

    #[test]
    fn parameter_counts_as_lists_show_them() {
        let cases = [
            (7_000_000_000, "7B"),
            (3_212_749_888, "3.2B"),
            (8_030_261_248, "8.0B"),
            (334_090_000, "334.09M"),
            (494_032_768, "494.03M"),
            (12_345, "12K"),
            (7, "7"),
        ];
        for (count, text) in cases {
            assert_eq!(parameter_text(count), text);
        }
    }

    #[test]
    fn media_types_round_trip() {
        for kind in [
            Kind::Model,
            Kind::Projector,
            Kind::Adapter,
            Kind::Draft,
            Kind::Template,
            Kind::System,
            Kind::Params,
            Kind::Messages,
            Kind::License,
            Kind::Tensor,
            Kind::Json,
            Kind::Safetensors,
        ] {
            assert_eq!(Kind::of(&kind.media_type()), kind);
        }
        assert_eq!(
            Kind::of("application/vnd.ollama.image.prompt"),
            Kind::Template
        );
        assert_eq!(Kind::of("application/vnd.ollama.image.embed"), Kind::Other);
    }
}
