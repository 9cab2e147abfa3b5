//! What MODEL means, and how it is loaded.

use std::path::Path;

use anyhow::Result;
use hearth_compute::{Cpu, Isa, Precision};
use hearth_format::{Bytes, Checkpoint};
use hearth_model::{LoadOptions, Model};

/// The built-in model, a Llama of 5.77 million parameters trained on Shakespeare.
static BARD: &[u8] = include_bytes!("../assets/bard.gguf");

/// Opens a model by what the user wrote.
pub(crate) fn open(model: &str) -> Result<Checkpoint> {
    let path = Path::new(model);
    if model == "bard" && !path.exists() {
        return Ok(Checkpoint::from_gguf_bytes(Bytes::new(BARD), "bard")?);
    }
    if !path.exists() {
        anyhow::bail!(
            "there is no '{model}': MODEL is a GGUF file, a directory with config.json and safetensors, or bard"
        );
    }
    Ok(Checkpoint::open(path)?)
}

/// How to run it.
#[derive(clap::Args)]
pub(crate) struct Machine {
    /// Threads that compute, by default one per core
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
    /// Tokens that a sequence may have, by default what the model was made for, as far as memory allows
    #[arg(long, value_name = "TOKENS", visible_alias = "context")]
    pub ctx: Option<usize>,
}

impl Machine {
    /// The same for the engine.
    pub(crate) fn options(&self, precision: Precision) -> hearth_engine::Options {
        hearth_engine::Options {
            threads: self.threads.map(usize::from),
            context: self.ctx,
            precision,
        }
    }

    /// Loads a model without its vocabulary.
    pub(crate) fn load(&self, checkpoint: &Checkpoint, precision: Precision) -> Result<Model<Cpu>> {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        let cpu = Cpu::new(
            self.threads.map_or_else(cores, usize::from),
            Isa::detect()?,
            precision,
        )?;
        Ok(Model::load(
            checkpoint,
            cpu,
            LoadOptions {
                context_limit: self.ctx,
            },
        )?)
    }
}
