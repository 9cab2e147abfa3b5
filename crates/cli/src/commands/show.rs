//! `hearth show`: what a model is and what it needs.

use std::{
    collections::BTreeMap,
    io::{self, Write},
};

use anyhow::Result;
use hearth_compute::Precision;
use hearth_format::{Checkpoint, Storage};
use hearth_model::Op;
use serde_json::json;

use crate::{
    chat::template_source,
    model::{self, Machine},
};

/// What `hearth show` takes.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// A name, a GGUF file, a model directory, or bard
    model: String,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

/// Context sizes whose memory is shown, besides the model's own.
const CONTEXTS: [usize; 4] = [2_048, 8_192, 32_768, 131_072];

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let checkpoint = model::open(&arguments.model)?;
    let machine = Machine {
        threads: Some(1),
        // Looking at a model takes no memory.
        force: true,
        ..Machine::default()
    };
    let model = machine.load(&checkpoint, Precision::Fast)?;
    let spec = model.spec();
    let types = types(&checkpoint);
    let mut contexts: Vec<usize> = CONTEXTS.into_iter().filter(|n| *n < spec.context).collect();
    contexts.push(spec.context);
    let weights = checkpoint.total_bytes();
    let memory: Vec<(usize, u64)> = contexts
        .iter()
        .map(|n| (*n, weights + model.state_bytes(*n) as u64))
        .collect();
    let template = template_source(&checkpoint);
    let experts = spec
        .layers
        .iter()
        .flat_map(|l| &l.blocks)
        .find_map(|b| match &b.op {
            Op::Experts(e) => Some((e.count, e.router.used)),
            _ => None,
        });
    let mut out = io::stdout().lock();
    if arguments.json {
        let value = json!({
            "architecture": spec.family,
            "parameters": checkpoint.parameters(),
            "layers": spec.layers.len(),
            "width": spec.width,
            "vocabulary": spec.vocab,
            "context": spec.context,
            "experts": experts.map(|(count, used)| json!({ "count": count, "used": used })),
            "weight_bytes": weights,
            "types": types,
            "memory": memory.iter().map(|(n, bytes)| json!({ "context": n, "bytes": bytes })).collect::<Vec<_>>(),
            "template": template,
        });
        writeln!(out, "{value}")?;
        return Ok(());
    }
    writeln!(out, "architecture  {}", spec.family)?;
    writeln!(out, "parameters    {}", count(checkpoint.parameters()))?;
    writeln!(
        out,
        "layers        {} of width {}",
        spec.layers.len(),
        spec.width
    )?;
    if let Some((count, used)) = experts {
        writeln!(out, "experts       {count}, {used} used per token")?;
    }
    writeln!(out, "vocabulary    {}", spec.vocab)?;
    writeln!(out, "context       {}", spec.context)?;
    let types: Vec<String> = types
        .iter()
        .map(|(name, n)| format!("{name} ×{n}"))
        .collect();
    writeln!(out, "weights       {}: {}", size(weights), types.join(", "))?;
    for (n, bytes) in memory {
        writeln!(out, "memory        {} at {n} positions", size(bytes))?;
    }
    let template = template.map_or("none".to_owned(), |t| {
        format!("{} characters", t.chars().count())
    });
    writeln!(out, "template      {template}")?;
    Ok(())
}

/// How many tensors there are of each type.
fn types(checkpoint: &Checkpoint) -> BTreeMap<String, usize> {
    let mut types = BTreeMap::new();
    for tensor in checkpoint.tensors() {
        let name = match &tensor.storage {
            Storage::Blocks { block, .. } => block.name().to_owned(),
            Storage::Affine(a) => format!("MLX {}-bit", a.bits),
        };
        *types.entry(name).or_default() += 1;
    }
    types
}

pub(crate) fn count(n: u64) -> String {
    match n as f64 {
        n if n >= 1e9 => format!("{:.2} billion", n / 1e9),
        n if n >= 1e6 => format!("{:.2} million", n / 1e6),
        _ => n.to_string(),
    }
}

pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}
