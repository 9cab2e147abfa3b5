//! Other forms of the same checkpoint give the same logits: stacked experts, MLX's quantisation.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};

use hearth_compute::{Cpu, Isa, Precision};
use hearth_format::{Checkpoint, Tensor};
use hearth_model::{LoadOptions, Logits, Model, Run, Workspace};
use serde_json::{Value, json};

fn kit() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance/models");
    if !path.exists() {
        println!("skipped: no ../shared");
        return None;
    }
    Some(path)
}

/// A tensor to write: name, type, shape, bytes.
type Entry = (String, &'static str, Vec<usize>, Vec<u8>);

fn floats(name: &str, shape: &[usize], values: &[f32]) -> Entry {
    let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    (name.to_owned(), "F32", shape.to_vec(), bytes)
}

/// A directory with this configuration and these tensors.
fn directory(config: &Value, entries: &[Entry]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let (mut header, mut data) = (serde_json::Map::new(), Vec::<u8>::new());
    for (name, dtype, shape, bytes) in entries {
        let at = [data.len(), data.len() + bytes.len()];
        header.insert(
            name.clone(),
            json!({ "dtype": dtype, "shape": shape, "data_offsets": at }),
        );
        data.extend(bytes);
    }
    let header = Value::Object(header).to_string();
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.as_bytes());
    file.extend(data);
    std::fs::write(dir.path().join("model.safetensors"), file).unwrap();
    std::fs::write(dir.path().join("config.json"), config.to_string()).unwrap();
    dir
}

fn logits(path: &Path) -> Vec<Vec<f32>> {
    let checkpoint = Checkpoint::open(path).unwrap();
    let cpu = Cpu::new(2, Isa::detect().unwrap(), Precision::Exact).unwrap();
    let model = Model::load(&checkpoint, cpu, LoadOptions::default()).unwrap();
    let (mut state, tokens) = (model.state(), [5, 9, 40, 77, 3, 120]);
    let run = Run {
        state: &mut state,
        tokens: &tokens,
        logits: Logits::Last(6),
    };
    model.step(&mut Workspace::default(), &mut [run]).unwrap()
}

fn assert_same(name: &str, got: &[Vec<f32>], want: &[Vec<f32>]) {
    let pairs = got.iter().flatten().zip(want.iter().flatten());
    let worst = pairs.fold(0f32, |w, (a, b)| w.max((a - b).abs()));
    assert!(worst < 1e-4 && got.len() == want.len(), "{name}: {worst}");
}

fn sorted(checkpoint: &Checkpoint) -> Vec<&Tensor> {
    let mut tensors: Vec<&Tensor> = checkpoint.tensors().collect();
    tensors.sort_by(|a, b| a.name.cmp(&b.name));
    tensors
}

#[test]
fn stacked_experts_are_the_same_experts() {
    let Some(kit) = kit() else { return };
    // Module, and its gate, up and down.
    let cases = [
        ("mixtral", "block_sparse_moe", ["w1", "w3", "w2"]),
        ("qwen3moe", "mlp", ["gate_proj", "up_proj", "down_proj"]),
    ];
    for (family, module, parts) in cases {
        let path = kit.join(family).join("hf");
        let want = logits(&path);
        let checkpoint = Checkpoint::open(&path).unwrap();
        let plain: Vec<Entry> = sorted(&checkpoint)
            .iter()
            .filter(|t| !t.name.contains(".experts."))
            .map(|t| floats(&t.name, &t.shape, &t.to_f32()))
            .collect();
        let stack = |layer: usize, part: &str| {
            let one = |e: usize| {
                checkpoint.tensor(&format!(
                    "model.layers.{layer}.{module}.experts.{e}.{part}.weight"
                ))
            };
            let all: Vec<&Tensor> = (0..).map_while(one).collect();
            let values: Vec<f32> = all.iter().flat_map(|t| t.to_f32()).collect();
            ([&[all.len()], all[0].shape.as_slice()].concat(), values)
        };
        for form in ["switch_mlp", "experts"] {
            let mut entries = plain.clone();
            for layer in 0..2 {
                let base = format!("model.layers.{layer}.{module}.{form}");
                if form == "switch_mlp" {
                    for (part, name) in parts.iter().zip(["gate_proj", "up_proj", "down_proj"]) {
                        let (shape, values) = stack(layer, part);
                        entries.push(floats(&format!("{base}.{name}.weight"), &shape, &values));
                    }
                    continue;
                }
                let ((shape, gate), (_, up)) = (stack(layer, parts[0]), stack(layer, parts[1]));
                let size = shape[1] * shape[2];
                let both: Vec<f32> = gate
                    .chunks(size)
                    .zip(up.chunks(size))
                    .flat_map(|(g, u)| [g, u].concat())
                    .collect();
                entries.push(floats(
                    &format!("{base}.gate_up_proj"),
                    &[shape[0], 2 * shape[1], shape[2]],
                    &both,
                ));
                let (shape, down) = stack(layer, parts[2]);
                entries.push(floats(&format!("{base}.down_proj"), &shape, &down));
            }
            let dir = directory(checkpoint.config(), &entries);
            assert_same(&format!("{family} {form}"), &logits(dir.path()), &want);
        }
    }
}

/// A row as MLX stores it, and the values that it stands for.
fn quantize(values: &[f32], bits: usize, group: usize) -> ([Vec<u8>; 3], Vec<f32>) {
    let levels = (1u32 << bits) - 1;
    let (mut codes, mut scales, mut biases, mut back) =
        (vec![0u8; values.len() * bits / 8], vec![], vec![], vec![]);
    for (g, part) in values.chunks(group).enumerate() {
        let (low, high) = part
            .iter()
            .fold((f32::MAX, f32::MIN), |(l, h), v| (l.min(*v), h.max(*v)));
        let scale = ((high - low) / levels as f32).max(1e-7);
        scales.extend(scale.to_le_bytes());
        biases.extend(low.to_le_bytes());
        for (i, value) in part.iter().enumerate() {
            let code = (((value - low) / scale).round() as u32).min(levels);
            back.push(scale * code as f32 + low);
            for b in 0..bits {
                let at = (g * group + i) * bits + b;
                codes[at / 8] |= (((code >> b) & 1) as u8) << (at % 8);
            }
        }
    }
    ([codes, scales, biases], back)
}

#[test]
fn mlx_weights_are_what_they_stand_for() {
    let Some(kit) = kit() else { return };
    let checkpoint = Checkpoint::open(&kit.join("qwen3").join("hf")).unwrap();
    for bits in [2, 3, 4, 5, 6, 8] {
        let (mut packed, mut plain) = (Vec::new(), Vec::new());
        for tensor in sorted(&checkpoint) {
            let values = tensor.to_f32();
            if tensor.shape.len() < 2 || !tensor.columns().is_multiple_of(32) {
                packed.push(floats(&tensor.name, &tensor.shape, &values));
                plain.push(floats(&tensor.name, &tensor.shape, &values));
                continue;
            }
            let ([codes, scales, biases], back) = quantize(&values, bits, 32);
            let module = tensor.name.strip_suffix(".weight").unwrap();
            let groups = vec![tensor.rows(), tensor.columns() / 32];
            packed.push((
                tensor.name.clone(),
                "U32",
                vec![tensor.rows(), tensor.columns() * bits / 32],
                codes,
            ));
            packed.push((format!("{module}.scales"), "F32", groups.clone(), scales));
            packed.push((format!("{module}.biases"), "F32", groups, biases));
            plain.push(floats(&tensor.name, &tensor.shape, &back));
        }
        let mut config = checkpoint.config().clone();
        let want = logits(directory(&config, &plain).path());
        config["quantization"] = json!({ "group_size": 32, "bits": bits });
        assert_same(
            &format!("{bits} bits"),
            &logits(directory(&config, &packed).path()),
            &want,
        );
    }
}
