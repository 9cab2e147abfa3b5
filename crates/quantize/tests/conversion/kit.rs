//! Reading the kit, converting in memory, running what came out.

use std::{
    ops::ControlFlow,
    path::{Path, PathBuf},
};

use hearth_compute::{Cpu, Isa, Precision};
use hearth_format::{Bytes, Checkpoint, SafeTensors, Tensor, map_file};
use hearth_model::{LoadOptions, Logits, Model, Run, Workspace};
use hearth_quantize::{Mixture, Options, Summary, convert};

/// The conformance kit, or a word that it is not there.
pub(crate) fn kit() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance");
    if !path.exists() {
        println!("skipped: no ../shared");
        return None;
    }
    Some(path)
}

pub(crate) fn arrays(path: &Path) -> SafeTensors {
    SafeTensors::from_bytes(map_file(path).unwrap(), "expected").unwrap()
}

pub(crate) fn values(file: &SafeTensors, name: &str) -> Option<Vec<f32>> {
    file.tensor(name).map(Tensor::to_f32)
}

pub(crate) fn ids(file: &SafeTensors, name: &str) -> Option<Vec<u32>> {
    Some(values(file, name)?.iter().map(|id| *id as u32).collect())
}

pub(crate) fn options(mixture: Option<Mixture>) -> Options {
    Options {
        mixture,
        allow_requantize: true,
        threads: 2,
        name: None,
    }
}

/// Converts in memory and opens the result.
pub(crate) fn converted(from: &Checkpoint, options: &Options) -> (Checkpoint, Summary) {
    let mut bytes = Vec::new();
    let mut on = |_: hearth_quantize::Progress<'_>| ControlFlow::Continue(());
    let summary = convert(from, options, &mut on, &mut bytes).unwrap();
    let checkpoint = Checkpoint::from_gguf_bytes(Bytes::new(bytes), "converted.gguf").unwrap();
    (checkpoint, summary)
}

/// Logits of every position; `limit` is the longest context that will be asked for.
pub(crate) fn logits(checkpoint: &Checkpoint, ids: &[u32], limit: Option<usize>) -> Vec<f32> {
    let cpu = Cpu::new(2, Isa::detect().unwrap(), Precision::Exact).unwrap();
    let options = LoadOptions {
        context_limit: limit,
    };
    let model = Model::load(checkpoint, cpu, options).unwrap();
    let run = Run {
        state: &mut model.state(),
        tokens: ids,
        logits: Logits::Last(ids.len()),
    };
    let rows = model.step(&mut Workspace::default(), &mut [run]).unwrap();
    rows.concat()
}

/// The largest distance; NaN counts.
pub(crate) fn distance(got: &[f32], want: &[f32]) -> f32 {
    assert_eq!(got.len(), want.len());
    got.iter().zip(want).fold(0.0, |worst, (g, w)| {
        let d = (g - w).abs();
        if d <= worst { worst } else { d }
    })
}

/// Cosine of the angle between two lists.
pub(crate) fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        a.iter()
            .zip(b)
            .map(|(a, b)| f64::from(*a) * f64::from(*b))
            .sum()
    };
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}
