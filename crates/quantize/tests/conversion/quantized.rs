//! GGUF to GGUF, against files that llama-quantize made of one and the same model.

use std::{collections::BTreeMap, ops::ControlFlow, path::Path};

use hearth_format::{BlockType, Bytes, Checkpoint, GgufWriter, Metadata, Storage, Tensor, Value};
use hearth_quantize::{Error, Mixture, Options, convert};

use crate::kit::{arrays, converted, cosine, ids, kit, logits, options, values};

fn block(tensor: &Tensor) -> BlockType {
    match &tensor.storage {
        Storage::Blocks { block, .. } => *block,
        Storage::Affine(_) => panic!("no GGUF"),
    }
}

fn types(checkpoint: &Checkpoint) -> BTreeMap<&str, BlockType> {
    let all = checkpoint.tensors();
    all.map(|t| (t.name.as_str(), block(t))).collect()
}

fn open(dir: &Path, kind: &str) -> Checkpoint {
    Checkpoint::open(&dir.join(format!("{kind}.gguf"))).unwrap()
}

fn squares(a: &Tensor, b: &Tensor) -> f64 {
    let (a, b) = (a.to_f32(), b.to_f32());
    let squares = a.iter().zip(&b).map(|(a, b)| f64::from(a - b).powi(2));
    squares.sum()
}

/// The errors of all tensors of a type together are no larger than the reference's. Both are against the file in Q8_0,
/// from which the conversion starts and which is nearer to the original than any other.
#[test]
fn types_and_errors_are_those_of_the_reference() {
    let Some(kit) = kit() else { return };
    let dir = kit.join("quantized");
    let source = open(&dir, "Q8_0");
    for kind in ["Q8_0", "Q4_K_M", "Q6_K", "IQ4_XS", "Q2_K"] {
        let reference = open(&dir, kind);
        let mixture = Mixture::parse(kind).unwrap();
        let (ours, summary) = converted(&source, &options(Some(mixture)));
        assert_eq!(types(&ours), types(&reference), "{kind}");
        assert_eq!(summary.mixture, Some(mixture), "{kind}");
        for key in ["general.file_type", "general.quantization_version"] {
            let number = |c: &Checkpoint| c.metadata().integer(key);
            assert_eq!(number(&ours), number(&reference), "{kind}: {key}");
        }
        let mut sums: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
        for tensor in ours.tensors().filter(|t| t.shape.len() > 1) {
            let original = source.tensor(&tensor.name).unwrap();
            let theirs = reference.tensor(&tensor.name).unwrap();
            let sum = sums.entry(block(tensor).name()).or_default();
            sum.0 += squares(tensor, original);
            sum.1 += squares(theirs, original);
        }
        for (name, (ours, theirs)) in sums {
            let (ours, theirs) = (ours.sqrt(), theirs.sqrt());
            assert!(ours <= theirs, "{kind}, {name}: {ours} > {theirs}");
        }
    }
}

/// Every mixture gives a file that runs and stays as near as its bits allow on this model, whose weights are noise. The
/// reference's own files have cosines of 0.988 (Q4_K_M), 0.9986 (Q6_K), 0.977 (IQ4_XS) and 0.858 (Q2_K).
#[test]
fn logits_stay_near() {
    let Some(kit) = kit() else { return };
    let dir = kit.join("quantized");
    let source = open(&dir, "Q8_0");
    let expected = arrays(&dir.join("expected.safetensors"));
    let ids = ids(&expected, "ids").unwrap();
    let want = values(&expected, "logits_Q8_0").unwrap();
    for mixture in Mixture::all() {
        use Mixture as M;
        let bound = match mixture {
            M::F32 => 1.0 - 1e-9,
            M::F16 | M::BF16 | M::Q8_0 => 0.9999,
            M::Q6K => 0.998,
            M::Q5_0 | M::Q5_1 | M::Q5KS | M::Q5KM => 0.99,
            M::Q4KS | M::Q4KM => 0.985,
            M::Q4_0 | M::Q4_1 | M::Iq4Nl | M::Iq4Xs => 0.965,
            M::Q3KS | M::Q3KM | M::Q3KL => 0.92,
            M::Q2K => 0.83,
        };
        let (ours, _) = converted(&source, &options(Some(mixture)));
        let near = cosine(&logits(&ours, &ids, None), &want);
        assert!(near >= bound, "{mixture}: {near} < {bound}");
    }
}

#[test]
fn metadata_is_kept_and_threads_do_not_matter() {
    let Some(kit) = kit() else { return };
    let source = Checkpoint::open(&kit.join("models/qwen3moe/model.gguf")).unwrap();
    let file = |threads: usize, mixture: Option<Mixture>| {
        let mut bytes = Vec::new();
        let mut shares = Vec::new();
        let options = Options {
            mixture,
            threads,
            ..Options::default()
        };
        let mut on = |p: hearth_quantize::Progress<'_>| {
            shares.push((p.done, p.total, p.index));
            ControlFlow::Continue(())
        };
        convert(&source, &options, &mut on, &mut bytes).unwrap();
        assert!(shares.is_sorted() && shares.last().is_some_and(|(done, total, _)| done == total));
        bytes
    };
    let one = file(1, Some(Mixture::Q4KM));
    for threads in [0, 2, 7] {
        assert!(
            file(threads, Some(Mixture::Q4KM)) == one,
            "{threads} threads"
        );
    }
    let same = Checkpoint::from_gguf_bytes(Bytes::new(file(2, None)), "same").unwrap();
    assert_eq!(same.metadata(), source.metadata());
    assert_eq!(types(&same), types(&source));
    for tensor in source.tensors() {
        assert_eq!(
            same.tensor(&tensor.name).unwrap().to_f32(),
            tensor.to_f32(),
            "{}",
            tensor.name
        );
    }
    let quantized = Checkpoint::from_gguf_bytes(Bytes::new(one), "q").unwrap();
    for (key, value) in source
        .metadata()
        .iter()
        .filter(|(key, _)| *key != "general.file_type")
    {
        assert_eq!(quantized.metadata().get(key), Some(value), "{key}");
    }
}

#[test]
fn what_is_quantised_is_refused_and_work_can_be_broken_off() {
    let Some(kit) = kit() else { return };
    let source = open(&kit.join("quantized"), "Q4_K_M");
    let run = |mixture, allow_requantize, stop: bool| {
        let options = Options {
            mixture,
            allow_requantize,
            ..Options::default()
        };
        let mut on = |_: hearth_quantize::Progress<'_>| {
            if stop {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        };
        convert(&source, &options, &mut on, std::io::sink())
    };
    let message = run(Some(Mixture::Q8_0), false, false)
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("is quantised already (Q") && message.contains("allow requantising"),
        "{message}"
    );
    assert!(run(Some(Mixture::Q8_0), true, false).is_ok());
    assert!(run(None, false, false).is_ok(), "a copy loses nothing");
    assert!(
        run(Some(Mixture::Q4KM), false, false).is_ok(),
        "nor does the same mixture"
    );
    assert!(matches!(run(None, false, true), Err(Error::Cancelled)));
}

#[test]
fn an_adapter_is_no_model() {
    let mut metadata = Metadata::default();
    metadata.insert(
        "general.type".to_owned(),
        Value::String((*b"adapter").into()),
    );
    let file = GgufWriter::new(metadata)
        .unwrap()
        .start(Vec::new())
        .unwrap()
        .finish()
        .unwrap();
    let source = Checkpoint::from_gguf_bytes(Bytes::new(file), "a.gguf").unwrap();
    let mut on = |_: hearth_quantize::Progress<'_>| ControlFlow::Continue(());
    let found = convert(&source, &Options::default(), &mut on, std::io::sink());
    assert_eq!(
        found.unwrap_err().to_string(),
        "a.gguf: expected a model, found a GGUF of type 'adapter' (`general.type`)"
    );
}
