//! Other forms of the same directory become the same file: stacked experts, fused and split projections, MLX's codes.

use std::{fs, ops::ControlFlow, path::Path};

use hearth_format::{Checkpoint, Tensor};
use hearth_quantize::{Mixture, Options, convert};
use serde_json::{Map, Value as Json, json};

use crate::kit::{converted, distance, kit, logits, options};

/// A tensor to write: name, type, shape, bytes.
type Entry = (String, &'static str, Vec<usize>, Vec<u8>);

fn floats(name: &str, shape: &[usize], values: &[f32]) -> Entry {
    let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    (name.to_owned(), "F32", shape.to_vec(), bytes)
}

/// The directory with these tensors in place of its own.
fn rewritten(from: &Path, config: &Json, entries: &[Entry]) -> (tempfile::TempDir, Checkpoint) {
    let dir = tempfile::tempdir().unwrap();
    for name in ["tokenizer.json", "tokenizer_config.json"] {
        fs::copy(from.join(name), dir.path().join(name)).unwrap();
    }
    let (mut header, mut data) = (Map::new(), Vec::<u8>::new());
    for (name, dtype, shape, bytes) in entries {
        let at = [data.len(), data.len() + bytes.len()];
        header.insert(
            name.clone(),
            json!({"dtype": dtype, "shape": shape, "data_offsets": at}),
        );
        data.extend(bytes);
    }
    let header = Json::Object(header).to_string();
    let file = [
        &(header.len() as u64).to_le_bytes()[..],
        header.as_bytes(),
        &data,
    ]
    .concat();
    fs::write(dir.path().join("model.safetensors"), file).unwrap();
    fs::write(dir.path().join("config.json"), config.to_string()).unwrap();
    let checkpoint = Checkpoint::open(dir.path()).unwrap();
    (dir, checkpoint)
}

fn entry(tensor: &Tensor) -> Entry {
    floats(&tensor.name, &tensor.shape, &tensor.to_f32())
}

fn assert_same(name: &str, got: &Checkpoint, want: &Checkpoint) {
    assert_eq!(got.tensors().count(), want.tensors().count(), "{name}");
    for tensor in want.tensors() {
        let other = got.tensor(&tensor.name).unwrap();
        assert_eq!(
            (&other.shape, other.to_f32()),
            (&tensor.shape, tensor.to_f32()),
            "{name} {}",
            tensor.name
        );
    }
}

/// All tensors but those whose names have one of these parts.
fn without(source: &Checkpoint, parts: &[&str]) -> Vec<Entry> {
    let kept = source
        .tensors()
        .filter(|t| !parts.iter().any(|p| t.name.contains(p)));
    kept.map(entry).collect()
}

const PROJECTIONS: [&str; 3] = ["q_proj", "k_proj", "v_proj"];

fn attention(layer: usize, name: &str) -> String {
    format!("model.layers.{layer}.self_attn.{name}")
}

/// The fused projections of the kit's phi3 apart: 40 rows of queries, 20 of keys and of values; gate and up of 40.
fn split(source: &Checkpoint) -> Vec<Entry> {
    let mut entries = without(source, &["qkv_proj", "gate_up_proj"]);
    for layer in 0..2 {
        let mlp = |name: &str| format!("model.layers.{layer}.mlp.{name}");
        let [q, k, v] = PROJECTIONS.map(|p| attention(layer, p));
        let whole = [
            (
                attention(layer, "qkv_proj"),
                vec![(q, 40), (k, 20), (v, 20)],
            ),
            (
                mlp("gate_up_proj"),
                vec![(mlp("gate_proj"), 40), (mlp("up_proj"), 40)],
            ),
        ];
        for (whole, parts) in whole {
            let tensor = source.tensor(&format!("{whole}.weight")).unwrap();
            let (values, columns) = (tensor.to_f32(), tensor.columns());
            let mut first = 0;
            for (name, rows) in parts {
                let part = &values[first * columns..(first + rows) * columns];
                entries.push(floats(&format!("{name}.weight"), &[rows, columns], part));
                first += rows;
            }
            assert_eq!(first, tensor.rows());
        }
    }
    entries
}

/// Queries, keys and values in one, with their biases.
fn fused(source: &Checkpoint) -> Vec<Entry> {
    let mut entries = without(source, &PROJECTIONS);
    for (layer, part) in [(0, "weight"), (1, "weight"), (0, "bias"), (1, "bias")] {
        let parts = PROJECTIONS.map(|p| attention(layer, &format!("{p}.{part}")));
        if source.tensor(&parts[0]).is_none() {
            continue;
        }
        let name = attention(layer, &format!("qkv_proj.{part}"));
        let values = parts
            .iter()
            .flat_map(|p| source.tensor(p).unwrap().to_f32());
        let values: Vec<f32> = values.collect();
        let columns = source.tensor(&parts[0]).unwrap().columns();
        let shape = match part {
            "weight" => vec![values.len() / columns, columns],
            _ => vec![values.len()],
        };
        entries.push(floats(&name, &shape, &values));
    }
    entries
}

/// The experts of a layer in two tensors, gate and up of each together.
fn stacked(source: &Checkpoint, module: &str, [gate, up, down]: [&str; 3]) -> Vec<Entry> {
    let mut entries = without(source, &[".experts."]);
    for layer in 0..2 {
        let base = format!("model.layers.{layer}.{module}.experts");
        let one = |e: usize, part: &str| source.tensor(&format!("{base}.{e}.{part}.weight"));
        let count = (0..).take_while(|e| one(*e, gate).is_some()).count();
        for (name, parts) in [("gate_up_proj", vec![gate, up]), ("down_proj", vec![down])] {
            let each = (0..count).flat_map(|e| parts.iter().map(move |p| one(e, p).unwrap()));
            let values: Vec<f32> = each.flat_map(Tensor::to_f32).collect();
            let columns = one(0, parts[0]).unwrap().columns();
            let shape = [count, values.len() / count / columns, columns];
            entries.push(floats(&format!("{base}.{name}"), &shape, &values));
        }
    }
    entries
}

#[test]
fn stacked_and_fused_forms() {
    let Some(kit) = kit() else { return };
    for family in ["mixtral", "qwen3moe", "llama", "qwen2", "phi3"] {
        let from = kit.join("models").join(family).join("hf");
        let source = Checkpoint::open(&from).unwrap();
        let entries = match family {
            "phi3" => split(&source),
            "mixtral" => stacked(&source, "block_sparse_moe", ["w1", "w3", "w2"]),
            "qwen3moe" => stacked(&source, "mlp", ["gate_proj", "up_proj", "down_proj"]),
            _ => fused(&source),
        };
        let (_dir, other) = rewritten(&from, source.config(), &entries);
        let all = options(Some(Mixture::F32));
        assert_same(
            family,
            &converted(&other, &all).0,
            &converted(&source, &all).0,
        );
    }
}

#[test]
fn mlx_codes_are_refused_or_expanded() {
    let Some(kit) = kit() else { return };
    let from = kit.join("models/llama/hf");
    let source = Checkpoint::open(&from).unwrap();
    let name = "model.layers.0.self_attn.q_proj";
    let weight = source.tensor(&format!("{name}.weight")).unwrap();
    let (rows, columns) = (weight.rows(), weight.columns());
    let mut entries = without(&source, &[name]);
    // Codes of eight bits over a group of 32: any will do.
    let codes: Vec<u8> = (0..rows * columns).map(|i| (i * 37 % 251) as u8).collect();
    entries.push((
        format!("{name}.weight"),
        "U32",
        vec![rows, columns / 4],
        codes,
    ));
    let groups = [rows, columns / 32];
    let of = |value: f32| vec![value; groups[0] * groups[1]];
    entries.push(floats(&format!("{name}.scales"), &groups, &of(0.001)));
    entries.push(floats(&format!("{name}.biases"), &groups, &of(-0.125)));
    let mut config = source.config().clone();
    config["quantization"] = json!({"group_size": 32, "bits": 8});
    let (_dir, packed) = rewritten(&from, &config, &entries);
    let mut on = |_: hearth_quantize::Progress<'_>| ControlFlow::Continue(());
    let refused = convert(&packed, &Options::default(), &mut on, std::io::sink())
        .unwrap_err()
        .to_string();
    assert!(
        refused.contains("'blk.0.attn_q.weight' is quantised already (MLX codes)"),
        "{refused}"
    );
    let (file, _) = converted(&packed, &options(Some(Mixture::F32)));
    let ids = [5, 9, 40, 77, 3, 120];
    let far = distance(&logits(&file, &ids, None), &logits(&packed, &ids, None));
    assert!(far < 1e-4, "{far}");
}
