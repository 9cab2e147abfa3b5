//! `POST /api/show` (reference 5.14).

use std::{path::Path, time::SystemTime};

use hearth_chat::output::Capabilities;
use hearth_format::{Array, Checkpoint, Metadata, Source, Storage, Value as Entry};
use hearth_store::{Layout, Package};
use serde_json::{Map, Value, json};

use super::super::Fields;
use super::common::{model, model_is_required, parse_name};
use super::part::number;
use super::{Details, ignored, options, time};
use crate::core::Failure;

/// Arrays longer than that are left out unless all is asked for.
const LONGEST_ARRAY: usize = 1024;

/// A request to show a model.
#[derive(Clone, Debug, PartialEq)]
pub struct AskedShow {
    /// The model, as the client wrote it.
    pub model: String,
    /// With long arrays and tensors.
    pub verbose: bool,
    /// Stands in the Modelfile in place of the model's own.
    pub system: Option<String>,
    /// The same for parameters.
    pub options: Map<String, Value>,
    /// What was ignored, in words.
    pub warnings: Vec<String>,
}

/// Reads a body.
///
/// # Errors
/// A field says what cannot be.
pub fn asked_show(body: Map<String, Value>) -> Result<AskedShow, Failure> {
    let mut fields = Fields::new(body);
    let model = model(&mut fields)?;
    if model.is_empty() {
        return Err(model_is_required());
    }
    parse_name("model", &model)?;
    let mut options = fields.take_map("options")?.unwrap_or_default();
    options::check(&mut options)?;
    fields.ignore(&["template"]);
    Ok(AskedShow {
        model,
        verbose: fields.take_bool("verbose")?.unwrap_or(false),
        system: fields.take_str("system")?.filter(|text| !text.is_empty()),
        options,
        warnings: fields.rest().iter().map(|name| ignored(name)).collect(),
    })
}

/// A model to show.
pub struct Shown<'a> {
    /// Its name without host and tag, which people see where the weights have none.
    pub basename: &'a str,
    /// What it brings besides weights.
    pub package: Option<&'a Package>,
    /// Its weights.
    pub checkpoint: &'a Checkpoint,
    /// The template that is used, whatever its language.
    pub template: &'a str,
    /// What it can do; see [`capabilities`].
    pub capabilities: &'a [&'static str],
    /// What its first projector says of itself.
    pub projector: Option<&'a Metadata>,
    /// What it is.
    pub details: &'a Details,
    /// When it got its present contents.
    pub modified: SystemTime,
    /// It is the one inside this program.
    pub built_in: bool,
    /// The Modelfile names files by their paths, as `ollama create` reads them; else by their digests.
    pub paths: bool,
}

/// Ollama's words for what a model can do. `embedding` and `images` are what the engine can do with it, not what it
/// was made for: a client that is told of an ability uses it.
pub fn capabilities(
    template: &Capabilities,
    embedding: bool,
    images: bool,
    insert: bool,
) -> Vec<&'static str> {
    let all = [
        ("embedding", embedding),
        ("completion", !embedding),
        ("vision", images),
        ("tools", template.tools && !embedding),
        ("insert", (template.insert || insert) && !embedding),
        ("thinking", template.thinking && !embedding),
    ];
    all.into_iter()
        .filter(|(_, can)| *can)
        .map(|(word, _)| word)
        .collect()
}

/// Words by which clients find abilities in a template's text.
const WORDS: &[(&str, &str, &str)] = &[
    ("tools", "tools", ".Tools tools"),
    ("insert", ".Suffix", ".Suffix"),
];

/// The answer.
pub fn show(asked: &AskedShow, shown: &Shown<'_>) -> Value {
    let mut answer = Map::new();
    let mut put = |name: &str, value: Value| answer.insert(name.to_owned(), value);
    if let Some(package) = shown.package {
        let mut package = package.clone();
        if asked.system.is_some() {
            package.system.clone_from(&asked.system);
        }
        package.params.extend(asked.options.clone());
        let modelfile = match shown.paths {
            true => package.modelfile(),
            false => package.modelfile_by(&by_digest),
        };
        for (name, text) in [
            ("license", package.licenses.join("\n")),
            ("modelfile", modelfile),
            ("parameters", package.parameter_lines().join("\n")),
            ("system", package.system.clone().unwrap_or_default()),
        ] {
            put(name, json!(text));
        }
        if !package.messages.is_empty() {
            put("messages", json!(package.messages));
        }
        if let Some(requires) = &package.config.requires {
            put("requires", json!(requires));
        }
        if let Some(host) = &package.config.remote_host {
            put("remote_host", json!(host));
        }
    } else {
        let modelfile = match shown.built_in {
            true => format!("FROM {}\n", shown.basename),
            false => format!("# {} is a file of another program\n", shown.basename),
        };
        for (name, text) in [
            ("license", ""),
            ("modelfile", &modelfile),
            ("parameters", ""),
            ("system", ""),
        ] {
            put(name, json!(text));
        }
    }
    put("template", json!(template(shown)));
    put("details", Value::Object(shown.details.short()));
    put(
        "model_info",
        Value::Object(model_info(shown, asked.verbose)),
    );
    if let Some(projector) = shown.projector {
        put(
            "projector_info",
            Value::Object(entries(projector, asked.verbose)),
        );
    }
    if asked.verbose {
        put("tensors", tensors(shown.checkpoint));
    }
    put("capabilities", json!(shown.capabilities));
    put("modified_at", json!(time::microseconds(shown.modified)));
    Value::Object(answer)
}

/// What stands for a content in a Modelfile: where a store lies is nobody's business but its owner's.
fn by_digest(path: &Path) -> String {
    let digest = Layout::digest_of(path);
    digest.map_or_else(|| "@file".to_owned(), |digest| format!("@{digest}"))
}

/// The template with the words that clients look for, where it can what they mean and does not have them: in a comment,
/// which changes nothing.
fn template(shown: &Shown<'_>) -> String {
    let mut text = shown.template.to_owned();
    let jinja = text.contains("{%");
    for (ability, word, comment) in WORDS {
        if shown.capabilities.contains(ability) && !text.contains(word) {
            text += &match jinja {
                true => format!("{{#- {comment} -#}}"),
                false => format!("{{{{- /* {comment} */ -}}}}"),
            };
        }
    }
    text
}

/// What the weights say of themselves. Where they are no GGUF, the keys that clients read are made.
fn model_info(shown: &Shown<'_>, verbose: bool) -> Map<String, Value> {
    let checkpoint = shown.checkpoint;
    let mut info = match checkpoint.source {
        Source::Gguf => entries(checkpoint.metadata(), verbose),
        _ => made(checkpoint),
    };
    let mut put = |name: &str, value: Value| {
        info.entry(name.to_owned()).or_insert(value);
    };
    put("general.architecture", json!(shown.details.family));
    put("general.basename", json!(shown.basename));
    put("general.parameter_count", json!(checkpoint.parameters()));
    info
}

fn made(checkpoint: &Checkpoint) -> Map<String, Value> {
    let config = checkpoint.config();
    let text = |key: &str| config.get(key).and_then(Value::as_str);
    let family = text("model_type").unwrap_or_default();
    let keys = [
        ("max_position_embeddings", "context_length"),
        ("hidden_size", "embedding_length"),
        ("num_hidden_layers", "block_count"),
        ("num_attention_heads", "attention.head_count"),
        ("num_key_value_heads", "attention.head_count_kv"),
        ("intermediate_size", "feed_forward_length"),
        ("vocab_size", "vocab_size"),
    ];
    let numbers = keys.into_iter().filter_map(|(theirs, ours)| {
        let number = config.get(theirs).filter(|value| value.is_number())?;
        Some((format!("{family}.{ours}"), number.clone()))
    });
    std::iter::once(("general.architecture".to_owned(), json!(family)))
        .chain(numbers)
        .collect()
}

/// All but the name, which is a file's, and the template, which has a field of its own.
fn entries(metadata: &Metadata, verbose: bool) -> Map<String, Value> {
    let hidden = ["general.name", "tokenizer.chat_template"];
    let shown = metadata.iter().filter(|(key, _)| !hidden.contains(key));
    shown
        .map(|(key, value)| (key.to_owned(), json_of(value, verbose)))
        .collect()
}

fn json_of(value: &Entry, verbose: bool) -> Value {
    use Entry as V;
    match value {
        V::U8(n) => json!(n),
        V::I8(n) => json!(n),
        V::U16(n) => json!(n),
        V::I16(n) => json!(n),
        V::U32(n) => json!(n),
        V::I32(n) => json!(n),
        V::U64(n) => json!(n),
        V::I64(n) => json!(n),
        V::F32(n) => number(*n),
        V::F64(n) => json!(n),
        V::Bool(b) => json!(b),
        V::String(text) => json!(String::from_utf8_lossy(text)),
        V::Array(array) => list(array, verbose),
    }
}

fn list(array: &Array, verbose: bool) -> Value {
    use Array as A;
    fn of<T>(items: &[T], verbose: bool, one: impl Fn(&T) -> Value) -> Value {
        match items.len() > LONGEST_ARRAY && !verbose {
            true => Value::Null,
            false => items.iter().map(one).collect(),
        }
    }
    match array {
        A::U8(l) => of(l, verbose, |n| json!(n)),
        A::I8(l) => of(l, verbose, |n| json!(n)),
        A::U16(l) => of(l, verbose, |n| json!(n)),
        A::I16(l) => of(l, verbose, |n| json!(n)),
        A::U32(l) => of(l, verbose, |n| json!(n)),
        A::I32(l) => of(l, verbose, |n| json!(n)),
        A::U64(l) => of(l, verbose, |n| json!(n)),
        A::I64(l) => of(l, verbose, |n| json!(n)),
        A::F32(l) => of(l, verbose, |n| number(*n)),
        A::F64(l) => of(l, verbose, |n| json!(n)),
        A::Bool(l) => of(l, verbose, |b| json!(b)),
        A::String(l) => of(l, verbose, |text| json!(String::from_utf8_lossy(text))),
    }
}

/// Sizes as the file has them: GGUF writes the innermost first.
fn tensors(checkpoint: &Checkpoint) -> Value {
    let one = |tensor: &hearth_format::Tensor| {
        let mut shape = tensor.shape.clone();
        if checkpoint.source == Source::Gguf {
            shape.reverse();
        }
        let name = match &tensor.storage {
            Storage::Blocks { block, .. } => block.name().to_owned(),
            Storage::Affine(affine) => format!("int{}", affine.bits),
        };
        json!({ "name": tensor.name, "type": name, "shape": shape })
    };
    checkpoint.tensors().map(one).collect()
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;
    use crate::library::Located;

    fn asked(body: Value) -> Result<AskedShow, Failure> {
        asked_show(body.as_object().unwrap().clone())
    }

    #[test]
    fn requests() {
        let expected = AskedShow {
            model: "tiny".into(),
            verbose: false,
            system: None,
            options: Map::new(),
            warnings: Vec::new(),
        };
        assert_eq!(asked(json!({"model": "tiny"})).unwrap(), expected);
        assert_eq!(
            asked(json!({"name": "tiny", "template": "x"})).unwrap(),
            expected
        );
        assert!(
            asked(json!({"model": "tiny", "verbose": true}))
                .unwrap()
                .verbose
        );
        let invalid = |text: &str| Failure::invalid("model", text);
        assert_eq!(asked(json!({})).unwrap_err(), invalid("model is required"));
        assert_eq!(
            asked(json!({"model": "a b"})).unwrap_err(),
            invalid("invalid model name")
        );
    }

    #[test]
    fn words_for_abilities() {
        let all = Capabilities {
            tools: true,
            thinking: true,
            ..Capabilities::default()
        };
        assert_eq!(
            capabilities(&all, false, false, true),
            ["completion", "tools", "insert", "thinking"]
        );
        assert_eq!(capabilities(&all, true, false, false), ["embedding"]);
        assert_eq!(
            capabilities(&Capabilities::default(), false, true, false),
            ["completion", "vision"]
        );
    }

    fn shown(
        body: Value,
        template: &str,
        capabilities: &[&'static str],
        package: Option<&Package>,
    ) -> Value {
        let checkpoint = Located::bard().open().unwrap();
        let details = Details::default().with(&checkpoint);
        let shown = Shown {
            basename: "bard",
            package,
            checkpoint: &checkpoint,
            template,
            capabilities,
            projector: None,
            details: &details,
            modified: UNIX_EPOCH,
            built_in: true,
            paths: false,
        };
        show(&asked(body).unwrap(), &shown)
    }

    #[test]
    fn everything_that_clients_read_is_there() {
        let answer = shown(
            json!({"model": "bard"}),
            "{{ .Prompt }}",
            &["completion"],
            None,
        );
        for field in [
            "modelfile",
            "parameters",
            "template",
            "details",
            "model_info",
            "capabilities",
            "modified_at",
            "license",
            "system",
        ] {
            assert!(answer.get(field).is_some(), "{field}");
        }
        let info = &answer["model_info"];
        let family = info["general.architecture"].as_str().unwrap();
        assert_eq!(answer["details"]["family"], family);
        assert!(info[format!("{family}.context_length")].is_u64());
        assert!(info["general.parameter_count"].is_u64() && info["general.basename"].is_string());
        assert!(
            info.get("general.name").is_none() && info.get("tokenizer.chat_template").is_none()
        );
        assert!(info["tokenizer.ggml.tokens"].is_null());
        assert!(answer.get("tensors").is_none());
        assert_eq!(answer["template"], "{{ .Prompt }}");
    }

    #[test]
    fn all_of_it_where_all_is_asked_for() {
        let answer = shown(json!({"model": "bard", "verbose": true}), "", &[], None);
        assert!(answer["model_info"]["tokenizer.ggml.tokens"].is_array());
        let tensors = answer["tensors"].as_array().unwrap();
        let embedding = tensors
            .iter()
            .find(|tensor| tensor["name"] == "token_embd.weight")
            .unwrap();
        let vocabulary = answer["model_info"]["tokenizer.ggml.tokens"]
            .as_array()
            .unwrap()
            .len();
        assert_eq!(embedding["shape"][1], vocabulary);
    }

    #[test]
    fn templates_have_the_words_that_clients_look_for() {
        for (template, capabilities, expected) in [
            (
                "{{ .Prompt }}",
                &["tools", "insert"][..],
                "{{ .Prompt }}{{- /* .Tools tools */ -}}{{- /* .Suffix */ -}}",
            ),
            (
                "{% if x %}{% endif %}",
                &["insert"],
                "{% if x %}{% endif %}{#- .Suffix -#}",
            ),
            (
                "{% for t in tools %}{% endfor %}",
                &["tools"],
                "{% for t in tools %}{% endfor %}",
            ),
            ("{{ .Prompt }}", &["completion"], "{{ .Prompt }}"),
        ] {
            let answer = shown(json!({"model": "bard"}), template, capabilities, None);
            assert_eq!(answer["template"], expected);
        }
    }

    #[test]
    fn a_package_shows_its_texts() {
        let package = Package {
            name: "m".parse().unwrap(),
            config: hearth_store::Config::default(),
            template: None,
            system: Some("be brief".into()),
            params: json!({"stop": ["a", "b c"], "temperature": 0.5})
                .as_object()
                .unwrap()
                .clone(),
            messages: Vec::new(),
            licenses: vec!["A".into(), "B".into()],
            models: vec![format!("/home/me/blobs/sha256-{}", "0".repeat(64)).into()],
            projectors: vec!["/home/me/projector.gguf".into()],
            adapters: Vec::new(),
            drafts: Vec::new(),
            files: Vec::new(),
        };
        let body = json!({"model": "bard", "system": "be long", "options": {"top_k": 3}});
        let answer = shown(body, "", &[], Some(&package));
        assert_eq!(answer["license"], "A\nB");
        let lines: Vec<&str> = answer["parameters"].as_str().unwrap().split('\n').collect();
        let pad = |name: &str, value: &str| format!("{name:<30} {value}");
        let expected = [
            pad("stop", "\"a\""),
            pad("stop", "\"b c\""),
            pad("temperature", "0.5"),
            pad("top_k", "3"),
        ];
        assert_eq!(lines, expected);
        let modelfile = answer["modelfile"].as_str().unwrap();
        assert!(
            modelfile.contains("SYSTEM be long") && modelfile.contains("top_k 3"),
            "{modelfile}"
        );
        let from = format!("FROM @sha256:{}", "0".repeat(64));
        assert!(
            modelfile.contains(&from) && !modelfile.contains("/home"),
            "{modelfile}"
        );
    }
}
