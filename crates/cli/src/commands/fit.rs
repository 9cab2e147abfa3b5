//! `hearth fit`: what this machine can run, before anything is loaded.

mod check;
mod report;

use std::io::{self, Write};

use anyhow::{Result, ensure};
use hearth_compute::{Precision, Team, measure};
use hearth_engine::{
    available_memory,
    fit::{COMFORT, MIXTURES, Memory, Mixture, Plan, Verdict},
};

use crate::model::{self, Machine};
use report::Report;

/// What `hearth fit` takes.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// A name, a GGUF file, a model directory, or bard
    model: String,
    /// As conformance is checked: f32 activations and cache
    #[arg(long)]
    exact: bool,
    /// One JSON object
    #[arg(long)]
    json: bool,
    /// Load the model, fill the context, and compare the memory taken with the prediction
    #[arg(long)]
    check: bool,
    #[command(flatten)]
    machine: Machine,
}

/// Context sizes that get a row, besides the one asked for and the model's own.
const CONTEXTS: [usize; 6] = [2_048, 4_096, 8_192, 16_384, 32_768, 65_536];
/// Size of the block of memory whose reading is measured, and how often it is read.
const MEASURED: (usize, usize) = (1 << 30, 5);

/// A context size: what it takes, and whether it fits.
struct Row {
    memory: Memory,
    verdict: Verdict,
    /// The cache alone, in F32.
    exact_cache: usize,
}

/// The same model in another mixture.
struct Other {
    mixture: Mixture,
    memory: Memory,
    verdict: Verdict,
    /// Tokens per second at an empty context.
    speed: f64,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    ensure!(
        arguments.machine.ctx != Some(0),
        "a context of 0 tokens holds nothing; give at least 1"
    );
    let checkpoint = model::open(&arguments.model)?;
    let precision = if arguments.exact {
        Precision::Exact
    } else {
        Precision::Fast
    };
    let options = arguments.machine.options(precision);
    if arguments.check {
        return check::run(arguments, &checkpoint, options);
    }
    let (plan, tokenizer) = Plan::with_vocabulary(&checkpoint, options)?;
    drop(tokenizer);
    let available = available_memory();
    let exact = Plan::new(
        &checkpoint,
        hearth_engine::Options {
            precision: Precision::Exact,
            ..options
        },
    )?;
    let threads = options.threads();
    let (size, passes) = MEASURED;
    let size = size.min(available.unwrap_or(usize::MAX) / 4);
    let report = Report::new(
        arguments,
        &plan,
        &exact,
        available.unwrap_or(usize::MAX),
        measure::bandwidth(&Team::new(threads), size, passes).median * 1e9,
    )?;
    let mut out = io::stdout().lock();
    if arguments.json {
        writeln!(out, "{}", report.json())?;
    } else {
        report.print(&mut out)?;
    }
    Ok(())
}

/// The context that the verdict is about: what was asked for, or what the model would be loaded with, or, where it would
/// not be, the least that is worth it.
fn context(arguments: &Arguments, plan: &Plan, available: usize) -> Result<usize> {
    let least = plan.spec().context.min(COMFORT);
    Ok(match arguments.machine.ctx {
        Some(context) => context,
        None => plan.context(None, Some(available))?.unwrap_or(least),
    })
}

/// The sizes worth a row, in order.
fn rows(plan: &Plan, exact: &Plan, asked: usize, available: usize) -> Result<Vec<Row>> {
    let own = plan.spec().context;
    let mut contexts: Vec<usize> = CONTEXTS.into_iter().filter(|n| *n < own).collect();
    contexts.extend([own, asked]);
    contexts.sort_unstable();
    contexts.dedup();
    let row = |context: usize| -> Result<Row> {
        let memory = plan.memory(context)?;
        Ok(Row {
            verdict: Verdict::of(&memory, available),
            memory,
            exact_cache: exact.memory(context)?.cache,
        })
    };
    contexts.into_iter().map(row).collect()
}

fn others(plan: &Plan, context: usize, available: usize, bandwidth: f64) -> Result<Vec<Other>> {
    let other = |mixture: Mixture| -> Result<Other> {
        let memory = plan.in_mixture(mixture, context)?;
        Ok(Other {
            mixture,
            verdict: Verdict::of(&memory, available),
            memory,
            speed: bandwidth / memory.weights_per_token.max(1) as f64,
        })
    };
    MIXTURES.into_iter().map(other).collect()
}
