//! Directories to GGUF: the nine families compute what the reference computes, and read its text as it does.

use std::{fs, ops::ControlFlow, path::Path};

use hearth_format::{Checkpoint, SafeTensors};
use hearth_model::families::{FAMILIES, Family};
use hearth_quantize::{Mixture, Options, convert};
use hearth_tokenizer::{EncodeOptions, Tokenizer};
use serde_json::{Value as Json, json};

use crate::kit::{arrays, converted, cosine, distance, ids, kit, logits, options, values};

/// What the reference expects of a file made from a directory: what a GGUF can carry, or the model itself.
struct Expected {
    arrays: SafeTensors,
    json: Json,
}

impl Expected {
    fn read(dir: &Path) -> Self {
        Self {
            arrays: arrays(&dir.join("expected.safetensors")),
            json: serde_json::from_slice(&fs::read(dir.join("expected.json")).unwrap()).unwrap(),
        }
    }

    fn tolerance(&self) -> f32 {
        self.json["tolerance"]["max_abs"].as_f64().unwrap() as f32
    }
}

/// What is not converted, by what it is.
const OTHERS: [(&str, &str); 8] = [
    ("bert", "an encoder"),
    ("xlm_roberta", "an encoder"),
    ("nomic_bert", "an encoder"),
    ("modern_bert", "an encoder"),
    ("gemma_embedding", "an encoder"),
    ("lfm2", "a model with recurrent states"),
    ("mamba", "a model with recurrent states"),
    ("mamba2", "a model with recurrent states"),
];

fn decoders() -> impl Iterator<Item = &'static Family> {
    FAMILIES
        .iter()
        .filter(|f| OTHERS.iter().all(|(name, _)| *name != f.name))
}

#[test]
fn others_are_refused_by_what_they_are() {
    let Some(kit) = kit() else { return };
    for (name, what) in OTHERS {
        let source = Checkpoint::open(&kit.join("models").join(name).join("hf")).unwrap();
        let mut on = |_: hearth_quantize::Progress<'_>| ControlFlow::Continue(());
        let refused = convert(&source, &Options::default(), &mut on, std::io::sink());
        let message = refused.unwrap_err().to_string();
        assert!(
            message.contains(&format!(
                "this is {what}, and only decoders of attention are"
            )),
            "{message}"
        );
    }
}

/// Families whose window a GGUF cannot say: the reference has logits without it.
fn loses_its_window(family: &str) -> bool {
    family == "mistral"
}

#[test]
fn families_compute_the_reference_logits() {
    let Some(kit) = kit() else { return };
    for family in decoders() {
        let name = family.name;
        let dir = kit.join("models").join(name);
        let expected = Expected::read(&dir);
        let source = Checkpoint::open(&dir.join("hf")).unwrap();
        let ids = ids(&expected.arrays, "ids").unwrap();
        let own = if loses_its_window(name) {
            "logits_gguf"
        } else {
            "logits"
        };
        let want = values(&expected.arrays, own).unwrap();
        for mixture in [None, Some(Mixture::F32)] {
            let (file, summary) = converted(&source, &options(mixture));
            let wanted = mixture.unwrap_or(Mixture::BF16);
            assert_eq!(summary.mixture, Some(wanted), "{name}");
            let far = distance(&logits(&file, &ids, None), &want);
            let scaled = name == "gemma2" && mixture.is_none();
            // Queries of this gemma2 are multiplied, which BF16 rounds.
            let bound = if scaled { 0.3 } else { expected.tolerance() };
            assert!(far <= bound, "{name} {mixture:?}: {far} > {bound}");
            assert_eq!(
                !summary.notes.is_empty(),
                loses_its_window(name),
                "{name}: {:?}",
                summary.notes
            );
            if let Some(short) = crate::kit::ids(&expected.arrays, "ids_short") {
                let want = values(&expected.arrays, "logits_short").unwrap();
                let far = distance(&logits(&file, &short, Some(32)), &want);
                assert!(far <= expected.tolerance(), "{name} short: {far}");
            }
        }
    }
}

/// Names, sizes, values and settings are those of the converter that made the kit's own files.
#[test]
fn files_are_those_of_the_reference_converter() {
    let Some(kit) = kit() else { return };
    for family in decoders() {
        let name = family.name;
        let dir = kit.join("models").join(name);
        let reference = Checkpoint::open(&dir.join("model.gguf")).unwrap();
        let source = Checkpoint::open(&dir.join("hf")).unwrap();
        let named = Options {
            name: Some("conformance".to_owned()),
            ..Options::default()
        };
        let (file, _) = converted(&source, &named);
        let mut names: Vec<_> = reference.tensors().map(|t| &t.name).collect();
        let mut ours: Vec<_> = file.tensors().map(|t| &t.name).collect();
        names.sort();
        ours.sort();
        assert_eq!(ours, names, "{name}");
        for want in reference.tensors() {
            let got = file.tensor(&want.name).unwrap();
            assert_eq!(got.shape, want.shape, "{name} {}", want.name);
            // The scale of this gemma2's queries is one that its file cannot say: they carry it.
            if name == "gemma2" && want.name.contains("attn_q.") {
                continue;
            }
            let far = distance(&got.to_f32(), &want.to_f32());
            let rounded = want.name.contains("rope_f");
            assert!(
                far == 0.0 || (rounded && far < 1e-5),
                "{name} {}: {far}",
                want.name
            );
        }
        for (key, want) in reference.metadata().iter() {
            let free = match key {
                // Scores of markers and single characters never count; the order of the others is compared by ids.
                "tokenizer.ggml.scores" | "tokenizer.ggml.add_sep_token" => true,
                // The same expressions; this vocabulary does use merges within words that are tokens.
                "tokenizer.ggml.pre" => name == "llama",
                "tokenizer.ggml.token_type" => name == "phi3",
                _ => false,
            };
            assert!(
                free || file.metadata().get(key) == Some(want),
                "{name} {key}: {want}"
            );
        }
    }
}

#[test]
fn vocabularies_read_text_alike() {
    let Some(kit) = kit() else { return };
    for family in decoders() {
        let name = family.name;
        let dir = kit.join("models").join(name);
        let expected = Expected::read(&dir);
        let mut forms = vec![(None, Checkpoint::open(&dir.join("hf")).unwrap())];
        // Without `tokenizer.json` it comes from the SentencePiece model.
        if dir.join("hf/tokenizer.model").exists() {
            let (copy, source) = edited(&dir.join("hf"), "tokenizer.json", None);
            forms.push((Some(copy), source));
        }
        for (_copy, source) in forms {
            let (file, summary) = converted(&source, &options(None));
            assert_eq!(
                !summary.notes.is_empty(),
                loses_its_window(name),
                "{name}: {:?}",
                summary.notes
            );
            let from = Tokenizer::from_checkpoint(&source).unwrap();
            let to = Tokenizer::from_gguf(file.metadata()).unwrap();
            let options = EncodeOptions {
                add_special: true,
                parse_special: true,
            };
            let text = expected.json["text"].as_str().unwrap();
            assert_eq!(
                to.encode(text, options),
                ids(&expected.arrays, "ids").unwrap(),
                "{name}"
            );
            let more = [
                text.to_uppercase(),
                format!("{text}\n\t  {text} 12345 été 日本語"),
                format!("<s> {text} </s><|end|> x"),
                String::new(),
            ];
            for text in more {
                assert_eq!(
                    to.encode(&text, options),
                    from.encode(&text, options),
                    "{name} {text:?}"
                );
                let ids = to.encode(&text, options);
                assert_eq!(
                    to.decode(&ids, false),
                    from.decode(&ids, false),
                    "{name} {text:?}"
                );
            }
            // A byte-level file without a begin token means 11 by it, and does not use it.
            let bos = if name.starts_with("qwen") {
                Some(11)
            } else {
                from.bos()
            };
            assert_eq!((to.bos(), to.add_bos()), (bos, from.add_bos()), "{name}");
            assert!(to.ends().eq(from.ends()), "{name}");
        }
    }
}

/// Quantised files of every family run and stay near the model: by the cosine of all logits.
#[test]
fn quantised_families_stay_near() {
    let Some(kit) = kit() else { return };
    for family in decoders() {
        let name = family.name;
        let dir = kit.join("models").join(name);
        let expected = Expected::read(&dir);
        let ids = ids(&expected.arrays, "ids").unwrap();
        let own = if loses_its_window(name) {
            "logits_gguf"
        } else {
            "logits"
        };
        let want = values(&expected.arrays, own).unwrap();
        let source = Checkpoint::open(&dir.join("hf")).unwrap();
        for (mixture, bound) in [(Mixture::Q8_0, 0.999), (Mixture::Q4KM, 0.985)] {
            let (file, summary) = converted(&source, &options(Some(mixture)));
            assert_eq!(summary.mixture, Some(mixture));
            let near = cosine(&logits(&file, &ids, None), &want);
            assert!(near >= bound, "{name} {mixture}: {near}");
        }
    }
}

/// A copy of a directory with one file replaced, or left out.
fn edited(from: &Path, name: &str, text: Option<&str>) -> (tempfile::TempDir, Checkpoint) {
    let dir = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), dir.path().join(entry.file_name())).unwrap();
    }
    match text {
        Some(text) => fs::write(dir.path().join(name), text).unwrap(),
        None => fs::remove_file(dir.path().join(name)).unwrap(),
    }
    let checkpoint = Checkpoint::open(dir.path()).unwrap();
    (dir, checkpoint)
}

/// The settings of a family with some changed; null removes one.
fn with_settings(kit: &Path, family: &str, changes: &Json) -> (tempfile::TempDir, Checkpoint) {
    let from = kit.join("models").join(family).join("hf");
    let mut config: Json =
        serde_json::from_slice(&fs::read(from.join("config.json")).unwrap()).unwrap();
    for (key, value) in changes.as_object().unwrap() {
        config[key] = value.clone();
    }
    edited(&from, "config.json", Some(&config.to_string()))
}

fn message(source: &Checkpoint, options: &Options) -> String {
    let mut on = |_: hearth_quantize::Progress<'_>| ControlFlow::Continue(());
    convert(source, options, &mut on, std::io::sink())
        .unwrap_err()
        .to_string()
}

#[test]
fn what_a_file_cannot_say_is_an_error() {
    let Some(kit) = kit() else { return };
    let cases = [
        (
            "qwen3moe",
            json!({"norm_topk_prob": false}),
            "cannot say that in layer 0 a block is Experts",
        ),
        (
            "qwen3moe",
            json!({"mlp_only_layers": [1]}),
            "in layer 1 a block is FeedForward",
        ),
        (
            "qwen3",
            json!({"rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16, "attention_factor": 3.0}}),
            "rotation multiplies by 3.0",
        ),
        (
            "gemma2",
            json!({"layer_types": ["full_attention", "full_attention"]}),
            "attention sees Causal",
        ),
        (
            "llama",
            json!({"model_type": "falcon"}),
            "architecture 'falcon' is not one that hearth runs; it runs llama, mistral",
        ),
        (
            "llama",
            json!({"intermediate_size": 41}),
            "expected 41 rows of 32 values",
        ),
        (
            "llama",
            json!({"num_hidden_layers": 3}),
            "'model.layers.2.input_layernorm.weight' is missing",
        ),
    ];
    for (family, changes, want) in cases {
        let (_dir, source) = with_settings(&kit, family, &changes);
        let message = message(&source, &Options::default());
        assert!(message.contains(want), "{family}: {message}");
    }
}

/// Patterns and scales that the kit's own models do not have, against the directory itself.
#[test]
fn other_settings_compute_the_same() {
    let Some(kit) = kit() else { return };
    let cases = [
        (
            "gemma3",
            json!({"sliding_window_pattern": 3, "query_pre_attn_scalar": 40, "final_logit_softcapping": 9.0}),
        ),
        (
            "gemma3",
            json!({"layer_types": ["sliding_attention", "full_attention", "sliding_attention", "full_attention", "sliding_attention", "full_attention"]}),
        ),
        ("llama", json!({"tie_word_embeddings": true})),
        (
            "llama",
            json!({"rope_scaling": {"rope_type": "linear", "factor": 3.0}}),
        ),
        ("llama", json!({"rope_scaling": null, "rope_theta": 777.0})),
        (
            "qwen3",
            json!({"rope_scaling": {"rope_type": "yarn", "factor": 3.0, "original_max_position_embeddings": 8, "beta_fast": 20.0, "beta_slow": 2.0}}),
        ),
        ("qwen2", json!({"rms_norm_eps": 0.01})),
        ("mixtral", json!({"num_experts_per_tok": 3})),
    ];
    for (family, changes) in cases {
        let (_dir, source) = with_settings(&kit, family, &changes);
        let expected = Expected::read(&kit.join("models").join(family));
        let ids = ids(&expected.arrays, "ids").unwrap();
        let (file, summary) = converted(&source, &options(Some(Mixture::F32)));
        assert!(summary.notes.is_empty(), "{family}: {:?}", summary.notes);
        let far = distance(&logits(&file, &ids, None), &logits(&source, &ids, None));
        assert!(far <= expected.tolerance(), "{family} {changes}: {far}");
    }
}

#[test]
fn templates_names_and_sampling_travel() {
    let Some(kit) = kit() else { return };
    let from = kit.join("models/llama/hf");
    let config = |template: Json| {
        let mut config: Json =
            serde_json::from_slice(&fs::read(from.join("tokenizer_config.json")).unwrap()).unwrap();
        config["chat_template"] = template;
        edited(&from, "tokenizer_config.json", Some(&config.to_string()))
    };
    let keys = |checkpoint: &Checkpoint, options: &Options| {
        let (file, _) = converted(checkpoint, options);
        let text = |key: &str| file.metadata().string(key).map(str::to_owned);
        let names = [
            "tokenizer.chat_template",
            "tokenizer.chat_template.tool_use",
            "general.name",
            "general.size_label",
        ];
        names.map(text)
    };
    let (_one, plain) = config(json!("{{ a }}"));
    let named = Options {
        name: Some("Name".to_owned()),
        ..Options::default()
    };
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(
        keys(&plain, &named),
        [some("{{ a }}"), None, some("Name"), some("39K")]
    );
    let list = json!([{"name": "tool-use", "template": "t"}, {"name": "default", "template": "d"}]);
    let (_two, several) = config(list);
    assert_eq!(
        keys(&several, &named),
        [some("d"), some("t"), some("Name"), some("39K")]
    );
    let (dir, beside) = edited(&from, "chat_template.jinja", Some("j"));
    fs::write(
        dir.path().join("generation_config.json"),
        r#"{"temperature": 0.5, "top_k": 7, "do_sample": true}"#,
    )
    .unwrap();
    let [template, _, name, _] = keys(&beside, &Options::default());
    assert_eq!(template, some("j"));
    assert_eq!(name.as_deref(), dir.path().file_name().unwrap().to_str());
    let (file, _) = converted(&beside, &Options::default());
    assert_eq!(file.metadata().float("general.sampling.temp"), Some(0.5));
    assert_eq!(file.metadata().integer("general.sampling.top_k"), Some(7));
    let (_bad, broken) = edited(&from, "generation_config.json", Some("{"));
    assert!(message(&broken, &Options::default()).contains("generation_config.json"));
}

/// Whether markers take the white space after them along, a file says by its name.
#[test]
fn a_phi3_whose_markers_strip_is_called_so() {
    let Some(kit) = kit() else { return };
    let from = kit.join("models/phi3/hf");
    let mut vocabulary: Json =
        serde_json::from_slice(&fs::read(from.join("tokenizer.json")).unwrap()).unwrap();
    let tokens = vocabulary["added_tokens"].as_array_mut().unwrap();
    let end = tokens.iter_mut().find(|t| t["content"] == "</s>").unwrap();
    end["rstrip"] = json!(true);
    let (_dir, source) = edited(&from, "tokenizer.json", Some(&vocabulary.to_string()));
    let (file, summary) = converted(&source, &options(None));
    assert!(summary.notes.is_empty(), "{:?}", summary.notes);
    let name = file.metadata().string("general.name").unwrap();
    assert!(name.starts_with("Phi-3 "), "{name}");
}
