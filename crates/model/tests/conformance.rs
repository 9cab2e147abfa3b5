//! The families against reference logits: whole prompts, chunks, token by token, several sequences in a step.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod encoders;

use std::path::{Path, PathBuf};

use hearth_compute::{Cpu, Isa, Precision};
use hearth_format::{Bytes, Checkpoint, SafeTensors, map_file};
use hearth_model::{LoadOptions, Logits, Model, Run, State, Workspace, families::FAMILIES};

const FAMILY_NAMES: [&str; 13] = [
    "llama",
    "mistral",
    "qwen2",
    "qwen3",
    "gemma2",
    "gemma3",
    "phi3",
    "mixtral",
    "qwen3moe",
    "lfm2",
    "mamba",
    "falcon_mamba",
    "mamba2",
];

/// The conformance kit, or a word that it is not there.
fn kit() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance");
    if !path.exists() {
        println!("skipped: no ../shared");
        return None;
    }
    Some(path)
}

struct Expected {
    ids: Vec<u32>,
    logits: Vec<Vec<f32>>,
    greedy: Vec<u32>,
    tolerance: f32,
}

fn read(file: &SafeTensors, name: &str) -> Option<Vec<f32>> {
    file.tensor(name).map(hearth_format::Tensor::to_f32)
}

fn ids(file: &SafeTensors, name: &str) -> Option<Vec<u32>> {
    Some(read(file, name)?.into_iter().map(|id| id as u32).collect())
}

/// `short` is the prompt below the original length of LongRoPE.
fn expected(dir: &Path, gguf: bool, short: bool) -> Option<Expected> {
    let file = SafeTensors::from_bytes(
        map_file(&dir.join("expected.safetensors")).unwrap(),
        "expected",
    )
    .unwrap();
    let json: serde_json::Value =
        serde_json::from_slice(&std::fs::read(dir.join("expected.json")).unwrap()).unwrap();
    let own = |name: &str| {
        if gguf && file.tensor(&format!("{name}_gguf")).is_some() {
            format!("{name}_gguf")
        } else {
            name.to_owned()
        }
    };
    let (ids_name, logits_name) = if short {
        ("ids_short".to_owned(), "logits_short".to_owned())
    } else {
        ("ids".to_owned(), own("logits"))
    };
    let prompt = ids(&file, &ids_name)?;
    let logits = read(&file, &logits_name)?;
    let vocab = logits.len() / prompt.len();
    Some(Expected {
        ids: prompt,
        logits: logits.chunks_exact(vocab).map(<[f32]>::to_vec).collect(),
        greedy: if short {
            Vec::new()
        } else {
            ids(&file, &own("greedy"))?
        },
        tolerance: json["tolerance"]["max_abs"].as_f64().unwrap() as f32,
    })
}

fn load(path: &Path, precision: Precision, limit: Option<usize>) -> Model<Cpu> {
    let checkpoint = Checkpoint::open(path).unwrap();
    Model::load(
        &checkpoint,
        Cpu::new(2, Isa::detect().unwrap(), precision).unwrap(),
        LoadOptions {
            context_limit: limit,
        },
    )
    .unwrap()
}

/// Logits of all tokens, fed in pieces of the given size.
fn feed(model: &Model<Cpu>, state: &mut State<Cpu>, ids: &[u32], piece: usize) -> Vec<Vec<f32>> {
    let mut work = Workspace::default();
    let pieces = ids.chunks(piece);
    pieces
        .flat_map(|tokens| {
            model
                .step(
                    &mut work,
                    &mut [Run {
                        state,
                        tokens,
                        logits: Logits::Last(tokens.len()),
                    }],
                )
                .unwrap()
        })
        .collect()
}

fn distance(got: &[Vec<f32>], want: &[Vec<f32>]) -> f32 {
    assert_eq!(got.len(), want.len());
    let pairs = got.iter().flatten().zip(want.iter().flatten());
    pairs.fold(0.0, |worst, (g, w)| {
        if (g - w).abs() <= worst {
            worst
        } else {
            (g - w).abs()
        }
    })
}

fn argmax(logits: &[f32]) -> u32 {
    logits
        .iter()
        .enumerate()
        .fold(0, |best, (i, v)| if *v > logits[best] { i } else { best }) as u32
}

fn check(name: &str, model: &Model<Cpu>, want: &Expected) {
    for piece in [want.ids.len(), 7, 3, 1] {
        let got = feed(model, &mut model.state(), &want.ids, piece);
        let distance = distance(&got, &want.logits);
        assert!(
            distance <= want.tolerance,
            "{name}, {piece} tokens at a time: {distance} > {}",
            want.tolerance
        );
    }
    let mut state = model.state();
    let mut last = feed(model, &mut state, &want.ids, want.ids.len())
        .pop()
        .unwrap();
    let mut greedy = Vec::new();
    while greedy.len() < want.greedy.len() {
        greedy.push(argmax(&last));
        last = feed(model, &mut state, &greedy[greedy.len() - 1..], 1)
            .pop()
            .unwrap();
    }
    assert_eq!(greedy, want.greedy, "{name}: greedy continuation");
}

#[test]
fn families_compute_the_reference_logits() {
    let Some(kit) = kit() else { return };
    for family in FAMILY_NAMES {
        let dir = kit.join("models").join(family);
        for (form, path) in [
            ("gguf", dir.join("model.gguf")),
            ("directory", dir.join("hf")),
        ] {
            let want = expected(&dir, form == "gguf", false).unwrap();
            check(
                &format!("{family} {form}"),
                &load(&path, Precision::Exact, None),
                &want,
            );
            if let Some(short) = expected(&dir, form == "gguf", true) {
                check(
                    &format!("{family} {form} short"),
                    &load(&path, Precision::Exact, Some(32)),
                    &short,
                );
            }
        }
    }
}

#[test]
fn configurations_in_the_newer_spelling_mean_the_same() {
    let Some(kit) = kit() else { return };
    for family in FAMILY_NAMES {
        let from = kit.join("models").join(family);
        if !from.join("hf/config.v5.json").exists() {
            continue;
        }
        let dir = tempfile::tempdir().unwrap();
        std::fs::copy(
            from.join("hf/config.v5.json"),
            dir.path().join("config.json"),
        )
        .unwrap();
        std::fs::copy(
            from.join("hf/model.safetensors"),
            dir.path().join("model.safetensors"),
        )
        .unwrap();
        check(
            &format!("{family} v5"),
            &load(dir.path(), Precision::Exact, None),
            &expected(&from, false, false).unwrap(),
        );
    }
}

#[test]
fn quantised_files_are_within_their_tolerances() {
    let Some(kit) = kit() else { return };
    let dir = kit.join("quantized");
    let file = SafeTensors::from_bytes(
        map_file(&dir.join("expected.safetensors")).unwrap(),
        "expected",
    )
    .unwrap();
    let ids = ids(&file, "ids").unwrap();
    // Largest distance with activations of 8 bits, from the kit's table.
    for (kind, fast) in [
        ("Q4_K_M", 0.6),
        ("Q6_K", 0.6),
        ("Q8_0", 0.5),
        ("IQ4_XS", 0.6),
        ("Q2_K", 0.7),
    ] {
        let path = std::fs::read_dir(&dir)
            .unwrap()
            .map(|e| e.unwrap().path())
            .find(|p| p.to_string_lossy().ends_with(&format!("{kind}.gguf")))
            .unwrap();
        let logits = read(&file, &format!("logits_{kind}")).unwrap();
        let want: Vec<Vec<f32>> = logits
            .chunks_exact(logits.len() / ids.len())
            .map(<[f32]>::to_vec)
            .collect();
        for (precision, tolerance) in [(Precision::Exact, 5e-4), (Precision::Fast, fast)] {
            let model = load(&path, precision, None);
            for piece in [ids.len(), 1] {
                let distance = distance(&feed(&model, &mut model.state(), &ids, piece), &want);
                assert!(
                    distance <= tolerance,
                    "{kind} {precision:?}, {piece} at a time: {distance} > {tolerance}"
                );
            }
        }
    }
}

#[test]
fn sequences_of_one_step_do_not_see_each_other() {
    let Some(kit) = kit() else { return };
    for family in FAMILY_NAMES {
        let dir = kit.join("models").join(family);
        let model = load(&dir.join("model.gguf"), Precision::Exact, None);
        let want = expected(&dir, true, false).unwrap();
        let (mut long, mut short, mut work) = (model.state(), model.state(), Workspace::default());
        let got = model.step(
            &mut work,
            &mut [
                Run {
                    state: &mut short,
                    tokens: &want.ids[..4],
                    logits: Logits::None,
                },
                Run {
                    state: &mut long,
                    tokens: &want.ids,
                    logits: Logits::Last(1),
                },
            ],
        );
        assert!(
            distance(&got.unwrap(), &want.logits[want.logits.len() - 1..]) <= want.tolerance,
            "{family}"
        );
        let mut fork = short.clone();
        let rest = feed(&model, &mut short, &want.ids[4..], 5);
        assert!(
            distance(&rest, &want.logits[4..]) <= want.tolerance,
            "{family}: after another sequence"
        );
        // Recurrent states begin again.
        let left = fork.truncate(model.backend(), 2);
        assert!(
            left == 2 || left == 0 && model.recurrent_bytes() > 0,
            "{family}"
        );
        let again = feed(&model, &mut fork, &want.ids[left..], 9);
        assert!(
            distance(&again, &want.logits[left..]) <= want.tolerance,
            "{family}: rolled back fork"
        );
    }
}

#[test]
fn a_wrong_tensor_is_named() {
    let Some(kit) = kit() else { return };
    let bytes = std::fs::read(kit.join("models/llama/model.gguf")).unwrap();
    let load = |bytes: Vec<u8>| {
        let checkpoint = Checkpoint::from_gguf_bytes(Bytes::new(bytes), "m.gguf").unwrap();
        let cpu = Cpu::new(1, Isa::detect().unwrap(), Precision::Exact).unwrap();
        Model::load(&checkpoint, cpu, LoadOptions::default())
            .err()
            .unwrap()
            .to_string()
    };
    let replace = |from: &str, to: &str| {
        assert_eq!(from.len(), to.len());
        let at = bytes
            .windows(from.len())
            .position(|w| w == from.as_bytes())
            .unwrap();
        let mut out = bytes.clone();
        out[at..at + from.len()].copy_from_slice(to.as_bytes());
        out
    };
    let cases = [
        (
            replace("blk.1.ffn_down.weight", "blk.1.ffn_dawn.weight"),
            "'blk.1.ffn_down.weight' is missing (expected shape [32, 40])",
        ),
        (
            replace("llama.feed_forward_length", "llama.feed_forward_lengtx"),
            "'blk.0.ffn_gate.weight' has shape [40, 32], expected [0, 32]",
        ),
        (
            replace("llama.block_count", "llama.block_counx"),
            "the setting 'llama.block_count' is missing",
        ),
    ];
    for (bytes, want) in cases {
        let message = load(bytes);
        assert!(
            message.starts_with("m.gguf: ") && message.contains(want),
            "{message}"
        );
    }
}

#[test]
fn settings_of_recurrent_models_that_make_no_sense_are_named() {
    let Some(kit) = kit() else { return };
    let cases: [(&str, &str, serde_json::Value, &str); 8] = [
        (
            "lfm2",
            "block_ffn_dim_multiplier",
            1e30.into(),
            "block_ffn_dim_multiplier",
        ),
        ("lfm2", "block_multiple_of", 0.into(), "block_multiple_of"),
        ("lfm2", "conv_L_cache", 0.into(), "conv_L_cache"),
        ("lfm2", "conv_L_cache", 5.into(), "has shape"),
        ("mamba", "state_size", u64::MAX.into(), "state_size"),
        ("mamba", "expand", 9.into(), ""),
        ("mamba2", "num_heads", 3.into(), "num_heads"),
        ("mamba2", "n_groups", 0.into(), "n_groups"),
    ];
    for (family, key, value, want) in cases {
        let from = kit.join("models").join(family).join("hf");
        let place = tempfile::tempdir().unwrap();
        let config = std::fs::read_to_string(from.join("config.json")).unwrap();
        // Python's word for it is no JSON.
        let mut config: serde_json::Value =
            serde_json::from_str(&config.replace("Infinity", "1e9")).unwrap();
        config[key] = value;
        std::fs::write(place.path().join("config.json"), config.to_string()).unwrap();
        let tensors = "model.safetensors";
        std::fs::copy(from.join(tensors), place.path().join(tensors)).unwrap();
        let checkpoint = Checkpoint::open(place.path()).unwrap();
        let cpu = Cpu::new(1, Isa::detect().unwrap(), Precision::Exact).unwrap();
        let loaded = Model::load(&checkpoint, cpu, LoadOptions::default());
        // The inner width is said by itself: how it comes about is not read then.
        let refused = loaded.err().map(|error| error.to_string());
        assert_eq!(
            refused.is_none(),
            want.is_empty(),
            "{family} {key}: {refused:?}"
        );
        assert!(refused.unwrap_or_default().contains(want), "{family} {key}");
    }
}

#[test]
fn every_family_of_the_table_is_proven() {
    let proven =
        |name: &str| FAMILY_NAMES.contains(&name) || encoders::FAMILY_NAMES.contains(&name);
    assert!(
        FAMILIES.iter().all(|f| proven(f.name)),
        "a family without a proof"
    );
}
