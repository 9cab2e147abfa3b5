//! Whether the prediction was right.

use std::{
    io::{self, Write},
    ops::ControlFlow,
};

use anyhow::{Context, Result, ensure};
use hearth_engine::{
    Engine, Generation, Limits, Options, Sequence, Terms, peak_memory, program_memory,
    sampling::{Chain, Settings},
};
use hearth_format::Checkpoint;
use serde_json::json;

use super::Arguments;
use crate::commands::show::size;

/// The context that is filled where none is asked for: two long steps of a prompt.
const CONTEXT: usize = 1024;
/// Rows that texts are encoded for: more than a step has.
const ENCODED: usize = 4096;
/// Tokens that are generated at the end.
const GENERATED: usize = 2;

/// Loads the model, fills the context, and compares.
pub(super) fn run(arguments: &Arguments, checkpoint: &Checkpoint, options: Options) -> Result<()> {
    let asked = options.context;
    let engine = Engine::load(
        checkpoint,
        Options {
            context: Some(asked.unwrap_or(CONTEXT)),
            ..options
        },
    )?;
    fill(&engine)?;
    let measured = peak_memory().context("this system does not tell how much memory was taken")?;
    let code = program_memory();
    let memory = engine.predicted();
    let predicted = memory.peak();
    let difference = 100.0 * (predicted as f64 / measured.max(1) as f64 - 1.0);
    let mut out = io::stdout().lock();
    if arguments.json {
        let value = json!({
            "model": arguments.model,
            "context": memory.context,
            "predicted_bytes": predicted,
            "measured_bytes": measured,
            "measured_code_bytes": code,
            "difference_percent": difference,
            "parts": super::report::parts(memory),
        });
        writeln!(out, "{value}")?;
        return Ok(());
    }
    writeln!(out, "predicted   {}", size(predicted as u64))?;
    writeln!(
        out,
        "measured    {}, the most at once with a context of {} tokens full",
        size(measured as u64),
        memory.context
    )?;
    writeln!(out, "difference  {difference:+.2} %")?;
    Ok(())
}

/// Reads a prompt as long as the context allows and generates the rest; or encodes texts as long. Their tokens spread over the vocabulary, so that
/// all of the embedding and all experts are read.
fn fill(engine: &Engine) -> Result<()> {
    let context = engine.context();
    let vocabulary = engine.tokenizer().vocab_len();
    let token = |i: usize| (i.wrapping_mul(2_654_435_761) % vocabulary) as u32;
    if !engine.capabilities().generate {
        let text = |t: usize| (t * context..(t + 1) * context).map(token).collect();
        let texts: Vec<Vec<u32>> = (0..ENCODED.div_ceil(context)).map(text).collect();
        engine.embed(&texts, None)?;
        return Ok(());
    }
    ensure!(
        context > GENERATED,
        "a context of {context} tokens is too short to be filled; give --ctx {} at least",
        GENERATED + 1
    );
    let prompt: Vec<u32> = (0..context - GENERATED).map(token).collect();
    let generation = Generation {
        prompt: &prompt,
        terms: Terms {
            limits: Limits {
                max_tokens: GENERATED,
                ignore_end: true,
                ..Limits::default()
            },
            ..Terms::new(Chain::new(&Settings::default(), Vec::new(), 1))
        },
    };
    Sequence::new(engine).generate(generation, |_| ControlFlow::Continue(()))?;
    Ok(())
}
