//! What the kit's encoders have not: classifiers, dense layers and poolings, put beside their weights.

use std::path::Path;

use hearth_compute::Precision;
use hearth_format::{Array, BlockType, Checkpoint, GgufWriter, Metadata, Storage, Tensor, Value};
use hearth_model::{Pooling, Spec, Text, Workspace};
use serde_json::json;

use super::{close, encode, expected, kit, load, values};

/// Values that are not like each other.
fn wave(n: usize) -> Vec<f32> {
    (0..n).map(|i| (i as f32 * 0.7).sin() * 0.3).collect()
}

/// `matrix · x + bias`, the matrix and the bias being waves.
fn product(rows: usize, x: &[f32], biased: bool) -> Vec<f32> {
    let (matrix, bias) = (wave(rows * x.len()), wave(rows));
    let rows = matrix.chunks_exact(x.len()).zip(bias);
    rows.map(|(row, bias)| {
        let sum: f32 = row.iter().zip(x).map(|(w, x)| w * x).sum();
        sum + if biased { bias } else { 0.0 }
    })
    .collect()
}

fn tanh(x: Vec<f32>) -> Vec<f32> {
    x.into_iter().map(f32::tanh).collect()
}

/// A tensor to be: its name and its shape; its values are a wave.
type Wanted<'a> = (&'a str, &'a [usize]);

fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

/// A safetensors file of these, after `kept`, of which the names get a prefix.
fn safetensors(path: &Path, kept: &[&Tensor], prefix: &str, more: &[Wanted<'_>]) {
    let all = kept
        .iter()
        .map(|t| (format!("{prefix}{}", t.name), t.shape.clone(), t.to_f32()))
        .chain(more.iter().map(|(name, shape)| {
            let count = shape.iter().product();
            ((*name).to_owned(), shape.to_vec(), wave(count))
        }));
    let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
    for (name, shape, values) in all {
        let start = data.len();
        data.extend(bytes(&values));
        let entry = json!({"dtype": "F32", "shape": shape, "data_offsets": [start, data.len()]});
        header.insert(name, entry);
    }
    let header = serde_json::Value::Object(header).to_string();
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.bytes().chain(data));
    std::fs::write(path, file).unwrap();
}

/// The kit's directory of a family with another configuration and more tensors.
fn directory(
    from: &Path,
    change: impl Fn(&mut serde_json::Value),
    prefix: &str,
    more: &[Wanted<'_>],
) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let checkpoint = Checkpoint::open(&from.join("hf")).unwrap();
    let mut config = checkpoint.config().clone();
    change(&mut config);
    std::fs::write(dir.path().join("config.json"), config.to_string()).unwrap();
    let kept: Vec<&Tensor> = checkpoint.tensors().collect();
    safetensors(&dir.path().join("model.safetensors"), &kept, prefix, more);
    dir
}

/// The kit's GGUF of a family with more keys and more tensors.
fn gguf(from: &Path, keys: Vec<(&str, Value)>, more: &[Wanted<'_>]) -> tempfile::NamedTempFile {
    let checkpoint = Checkpoint::open(&from.join("model.gguf")).unwrap();
    let mut metadata = Metadata::default();
    for (key, value) in checkpoint.metadata().iter() {
        metadata.insert(key.to_owned(), value.clone());
    }
    for (key, value) in keys {
        assert!(metadata.insert(key.to_owned(), value), "{key} is new");
    }
    let mut writer = GgufWriter::new(metadata).unwrap();
    let kept: Vec<&Tensor> = checkpoint.tensors().collect();
    for tensor in &kept {
        let Storage::Blocks { block, .. } = tensor.storage else {
            panic!("a GGUF has blocks");
        };
        writer.tensor(&tensor.name, &tensor.shape, block).unwrap();
    }
    for (name, shape) in more {
        writer.tensor(name, shape, BlockType::F32).unwrap();
    }
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let mut body = writer.start(file.as_file_mut()).unwrap();
    for tensor in kept {
        let Storage::Blocks { bytes, .. } = &tensor.storage else {
            panic!("a GGUF has blocks");
        };
        body.write(bytes).unwrap();
    }
    for (_, shape) in more {
        body.write(&bytes(&wave(shape.iter().product()))).unwrap();
    }
    body.finish().unwrap();
    file
}

fn labels(names: &[&str]) -> Value {
    let text = |name: &&str| name.as_bytes().to_vec().into_boxed_slice();
    Value::Array(Array::String(names.iter().map(text).collect()))
}

/// Scores of the kit's text, and what the model is.
fn scores(path: &Path, ids: &[u32]) -> (Vec<f32>, Spec) {
    let model = load(path, Precision::Exact, None);
    let spec = model.spec().clone();
    assert_eq!(spec.pooling(), Pooling::Rank);
    (values(&encode(&model, &[ids], Pooling::Rank), 0), spec)
}

#[test]
fn classifiers_of_files_compute_their_scores() {
    let Some(kit) = kit() else { return };
    let dir = kit.join("models/bert");
    let want = expected(&dir);
    let first = want.cls.unwrap();
    let rank = || ("bert.pooling_type", Value::U32(4));
    let dense: [Wanted<'_>; 2] = [("cls.weight", &[32, 32]), ("cls.bias", &[32])];
    let out: [Wanted<'_>; 2] = [("cls.output.weight", &[3, 32]), ("cls.output.bias", &[3])];
    let hidden = tanh(product(32, &first, true));

    let names = (
        "bert.classifier.output_labels",
        labels(&["no", "so", "yes"]),
    );
    let file = gguf(&dir, vec![rank(), names], &[dense, out].concat());
    let (got, spec) = scores(file.path(), &want.ids);
    close("dense and out", &got, &product(3, &hidden, true), 2e-4);
    assert_eq!(spec.pooled.classifier.unwrap().labels, ["no", "so", "yes"]);

    let file = gguf(&dir, vec![rank()], &out);
    let (got, _) = scores(file.path(), &want.ids);
    close("out alone", &got, &product(3, &first, true), 2e-4);

    let file = gguf(
        &dir,
        vec![rank()],
        &[("cls.weight", &[1, 32]), ("cls.bias", &[1])],
    );
    let (got, _) = scores(file.path(), &want.ids);
    close("dense alone", &got, &tanh(product(1, &first, true)), 2e-4);

    let two = ("bert.classifier.output_labels", labels(&["yes", "no"]));
    let file = gguf(&dir, vec![rank(), two], &[("cls.output.weight", &[2, 32])]);
    let (got, _) = scores(file.path(), &want.ids);
    let z = product(2, &first, false);
    let yes = 1.0 / (1.0 + (z[1] - z[0]).exp());
    close("yes or no", &got, &[yes, 1.0 - yes], 2e-4);
}

#[test]
fn classifiers_of_directories_compute_their_scores() {
    let Some(kit) = kit() else { return };
    let class = |name: &'static str| {
        move |config: &mut serde_json::Value| {
            config["architectures"] = json!([name]);
            config["id2label"] = json!({"0": "bad", "1": "good"});
        }
    };
    let out: [Wanted<'_>; 2] = [("classifier.weight", &[2, 32]), ("classifier.bias", &[2])];

    let bert = kit.join("models/bert");
    let want = expected(&bert);
    let checkpoint = Checkpoint::open(&bert.join("hf")).unwrap();
    let pooler = |part: &str| {
        let tensor = checkpoint.tensor(&format!("pooler.dense.{part}"));
        tensor.unwrap().to_f32()
    };
    let (matrix, bias) = (pooler("weight"), pooler("bias"));
    let first = want.cls.unwrap();
    let rows = matrix.chunks_exact(32).zip(bias);
    let hidden: Vec<f32> = rows
        .map(|(row, bias)| (row.iter().zip(&first).map(|(w, x)| w * x).sum::<f32>() + bias).tanh())
        .collect();
    let dir = directory(&bert, class("BertForSequenceClassification"), "bert.", &out);
    let (got, spec) = scores(dir.path(), &want.ids);
    close("BERT's pooler", &got, &product(2, &hidden, true), 2e-4);
    assert_eq!(spec.pooled.classifier.unwrap().labels, ["bad", "good"]);
    let tokens = directory(&bert, class("BertForTokenClassification"), "bert.", &out);
    let model = load(tokens.path(), Precision::Exact, None);
    assert!(
        model.spec().pooled.classifier.is_none(),
        "another task's head"
    );

    let roberta = kit.join("models/xlm_roberta");
    let want = expected(&roberta);
    let hidden = tanh(product(32, &want.cls.unwrap(), true));
    let head: [Wanted<'_>; 3] = [
        ("classifier.dense.weight", &[32, 32]),
        ("classifier.dense.bias", &[32]),
        ("classifier.out_proj.weight", &[2, 32]),
    ];
    let named = class("XLMRobertaForSequenceClassification");
    let dir = directory(&roberta, named, "roberta.", &head);
    let (got, _) = scores(dir.path(), &want.ids);
    close("RoBERTa's head", &got, &product(2, &hidden, false), 2e-4);

    let wrong: [Wanted<'_>; 1] = [("classifier.weight", &[2, 31])];
    let dir = directory(
        &bert,
        class("BertForSequenceClassification"),
        "bert.",
        &wrong,
    );
    let checkpoint = Checkpoint::open(dir.path()).unwrap();
    let cpu = hearth_compute::Cpu::new(1, hearth_compute::Isa::detect().unwrap(), Precision::Fast);
    let loaded = hearth_model::Model::load(&checkpoint, cpu.unwrap(), Default::default());
    let message = loaded.err().unwrap().to_string();
    assert!(
        message.contains("'classifier.weight' has shape [2, 31], expected [2, 32]"),
        "{message}"
    );
}

/// The kit's EmbeddingGemma as a repository of sentence-transformers.
fn repository(from: &Path, pooling: &serde_json::Value) -> tempfile::TempDir {
    let dir = directory(from, |_| {}, "", &[]);
    let module = |path: &str, kind: &str| json!({"path": path, "type": format!("sentence_transformers.models.{kind}")});
    let modules = json!([
        module("", "Transformer"),
        module("1_Pooling", "Pooling"),
        module("2_Dense", "Dense"),
        module("3_Dense", "Dense"),
        module("4_Normalize", "Normalize"),
    ]);
    let put = |name: &str, value: &serde_json::Value| {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, value.to_string()).unwrap();
    };
    put("modules.json", &modules);
    put("sentence_bert_config.json", &json!({"max_seq_length": 50}));
    put("1_Pooling/config.json", pooling);
    for (name, class, shape) in [
        ("2_Dense", "torch.nn.modules.linear.Identity", [40, 24]),
        ("3_Dense", "torch.nn.modules.activation.Tanh", [24, 40]),
    ] {
        put(
            &format!("{name}/config.json"),
            &json!({"activation_function": class}),
        );
        let weights = dir.path().join(name).join("model.safetensors");
        safetensors(
            &weights,
            &[],
            "",
            &[("linear.weight", &shape), ("linear.bias", &shape[..1])],
        );
    }
    dir
}

#[test]
fn modules_of_a_repository_follow_the_rows() {
    let Some(kit) = kit() else { return };
    let from = kit.join("models/gemma_embedding");
    let want = expected(&from);
    let last = &want.rows[want.rows.len() - 24..];
    for (config, pooling, row) in [
        (
            json!({"pooling_mode_mean_tokens": true, "pooling_mode_cls_token": false}),
            Pooling::Mean,
            &want.mean[..],
        ),
        (json!({"pooling_mode_lasttoken": true}), Pooling::Last, last),
        (
            json!({"pooling_mode": "cls"}),
            Pooling::Cls,
            &want.rows[..24],
        ),
    ] {
        let dir = repository(&from, &config);
        let model = load(dir.path(), Precision::Exact, None);
        assert_eq!(model.spec().pooling(), pooling);
        let got = values(&encode(&model, &[&want.ids], pooling), 0);
        let dense = tanh(product(24, &product(40, row, true), true));
        close(pooling.name(), &got, &dense, 5e-4);
        let rows = encode(&model, &[&want.ids], Pooling::None);
        close(
            "rows come before",
            &values(&rows, 0),
            &want.rows,
            want.tolerance,
        );
    }
    let unknown = repository(&from, &json!({"pooling_mode_max_tokens": true}));
    let checkpoint = Checkpoint::open(unknown.path()).unwrap();
    let settings = hearth_model::Settings::new(&checkpoint, None).unwrap();
    let family = hearth_model::families::find(&settings).unwrap();
    let message = family.spec(&settings).err().unwrap().to_string();
    assert!(message.contains("'1_Pooling/config.json' is"), "{message}");
    assert!(
        message.contains("expected exactly one of mean, cls and last token"),
        "{message}"
    );
}

#[test]
fn files_carry_poolings_and_dense_layers() {
    let Some(kit) = kit() else { return };
    let from = kit.join("models/gemma_embedding");
    let want = expected(&from);
    let dense: [Wanted<'_>; 2] = [("dense_2.weight", &[40, 24]), ("dense_3.weight", &[24, 40])];
    let key = "gemma-embedding.pooling_type";
    let file = gguf(&from, vec![(key, Value::U32(1))], &dense);
    let model = load(file.path(), Precision::Exact, None);
    assert_eq!(model.spec().pooled.declared, Some(Pooling::Mean));
    let got = values(&encode(&model, &[&want.ids], Pooling::Mean), 0);
    let inner = product(40, &want.mean, false);
    close("dense", &got, &product(24, &inner, false), 5e-4);

    let file = gguf(&from, vec![(key, Value::U32(5))], &[]);
    let checkpoint = Checkpoint::open(file.path()).unwrap();
    let settings = hearth_model::Settings::new(&checkpoint, None).unwrap();
    let family = hearth_model::families::find(&settings).unwrap();
    let message = family.spec(&settings).err().unwrap().to_string();
    assert!(message.contains("'pooling_type' is 5"), "{message}");
}

/// Types of tokens: those of the second part get the second row of the table.
#[test]
fn the_second_part_of_a_text_has_another_type() {
    let Some(kit) = kit() else { return };
    let dir = kit.join("models/bert");
    let ids = expected(&dir).ids;
    let model = load(&dir.join("model.gguf"), Precision::Exact, None);
    assert_eq!(model.spec().input.types, 2);
    let row = |second| {
        let text = Text {
            tokens: &ids,
            second,
        };
        let encoded = model.encode(&mut Workspace::default(), &[text], Pooling::None);
        values(&encoded.unwrap(), 0)
    };
    assert_eq!(row(ids.len()), row(usize::MAX));
    assert_ne!(row(ids.len()), row(20));
    // One table row for all differs from both, and what is normalised away by it does not hide it.
    assert_ne!(row(0), row(ids.len()));
}
