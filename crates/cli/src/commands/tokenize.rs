//! `hearth tokenize`: how a vocabulary cuts a text.

use std::{
    io::{self, Write},
    path::PathBuf,
};

use anyhow::Result;
use hearth_tokenizer::{EncodeOptions, Tokenizer};

use crate::{input, model};

/// What `hearth tokenize` takes.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// A name, a GGUF file, a model directory, or bard
    model: String,
    /// Read the text from here, not from standard input
    #[arg(long)]
    file: Option<PathBuf>,
    /// Add the tokens that begin and end a text, and read special tokens that are written in it
    #[arg(long)]
    special: bool,
    /// One JSON object: {"ids":[…]}
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let tokenizer = Tokenizer::from_checkpoint(&model::open(&arguments.model)?)?;
    let text = match &arguments.file {
        Some(path) => input::file(path)?,
        None => input::standard_input()?,
    };
    let ids = tokenizer.encode(
        &text,
        EncodeOptions {
            add_special: arguments.special,
            parse_special: arguments.special,
        },
    );
    let mut out = io::BufWriter::new(io::stdout().lock());
    if arguments.json {
        writeln!(out, "{}", serde_json::json!({ "ids": ids }))?;
    } else {
        for id in &ids {
            writeln!(out, "{id:>8}  {}", tokenizer.token_name(*id).escape_debug())?;
        }
        writeln!(out, "{} tokens", ids.len())?;
    }
    out.flush()?;
    Ok(())
}
