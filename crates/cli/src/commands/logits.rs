//! `hearth logits`: the proof that a model is computed right.

use std::io::{self, Write};

use anyhow::{Result, ensure};
use hearth_compute::Precision;
use hearth_model::{Logits, Run, Workspace};

use crate::model::{self, Machine};

/// What `hearth logits` takes.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// A name, a GGUF file, a model directory, or bard
    model: String,
    /// The tokens, with commas between
    #[arg(long, value_delimiter = ',', required = true)]
    ids: Vec<u32>,
    /// How many of the last positions to print
    #[arg(long, default_value_t = 1, value_name = "N")]
    last: usize,
    /// Tokens per step, by default all in one
    #[arg(long, value_name = "TOKENS")]
    chunk: Option<usize>,
    /// As `run` computes: int8 activations where a kernel wants them, an F16 cache
    #[arg(long)]
    fast: bool,
    /// One JSON object instead of a table of the largest
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    machine: Machine,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let ids = &arguments.ids;
    let chunk = arguments.chunk.unwrap_or(ids.len());
    ensure!(chunk > 0, "--chunk 0: a step needs at least one token");
    let checkpoint = model::open(&arguments.model)?;
    let precision = if arguments.fast {
        Precision::Fast
    } else {
        Precision::Exact
    };
    let model = arguments.machine.load(&checkpoint, precision)?;
    let limit = arguments.machine.ctx.unwrap_or(model.spec().context);
    ensure!(
        ids.len() <= limit,
        "{} tokens, the context holds {limit}",
        ids.len()
    );

    let first = ids.len().saturating_sub(arguments.last);
    let (mut state, mut work) = (model.state(), Workspace::default());
    let mut rows = Vec::new();
    for (start, tokens) in (0..).step_by(chunk).zip(ids.chunks(chunk)) {
        let wanted = (start + tokens.len()).saturating_sub(first.max(start));
        let logits = if wanted == 0 {
            Logits::None
        } else {
            Logits::Last(wanted)
        };
        rows.extend(model.step(
            &mut work,
            &mut [Run {
                state: &mut state,
                tokens,
                logits,
            }],
        )?);
    }
    let mut out = io::stdout().lock();
    if arguments.json {
        let positions: Vec<usize> = (first..ids.len()).collect();
        serde_json::to_writer(
            &mut out,
            &serde_json::json!({ "positions": positions, "logits": rows }),
        )?;
        writeln!(out)?;
        return Ok(());
    }
    for (position, row) in (first..).zip(&rows) {
        let mut order: Vec<usize> = (0..row.len()).collect();
        order.sort_by(|a, b| row[*b].total_cmp(&row[*a]));
        let best: Vec<String> = order
            .iter()
            .take(5)
            .map(|id| format!("{id}: {:.4}", row[*id]))
            .collect();
        writeln!(out, "after position {position}: {}", best.join(", "))?;
    }
    Ok(())
}
