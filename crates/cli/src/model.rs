//! What MODEL means, and how it is loaded.

use std::path::Path;

use anyhow::Result;
use hearth_compute::{Cpu, Isa, Precision};
use hearth_engine::fit::{Guard, Plan};
use hearth_format::Checkpoint;
use hearth_model::{LoadOptions, Model};
use hearth_store::Name;

use hearth_server::library::{BUILT_IN, Library, Located};

/// A model that needs no store: a path, or the built-in one. Nothing where the text has to be a name.
pub(crate) fn local(model: &str) -> Result<Option<Located>> {
    let path = Path::new(model);
    if path.exists() {
        return Ok(Some(Located::path(path)));
    }
    if model == BUILT_IN {
        return Ok(Some(Located::bard()));
    }
    let is_file = [".gguf", ".safetensors"]
        .iter()
        .any(|end| model.ends_with(end));
    if path.is_absolute() || model.starts_with('.') || (is_file && !model.contains(':')) {
        anyhow::bail!(
            "there is no '{model}': MODEL is a GGUF file, a directory with config.json and safetensors, a name such as llama3.2, or bard"
        );
    }
    Ok(None)
}

/// Finds a model by what the user wrote: a path, the built-in model, a name of the store, a name of another program's
/// model.
///
/// # Errors
/// Also when it is none of these.
pub(crate) fn locate(model: &str) -> Result<Located> {
    if let Some(located) = local(model)? {
        return Ok(located);
    }
    let found = Library::open()?.find(&Name::parse_source(model)?)?;
    found.ok_or_else(|| {
        anyhow::anyhow!(
            "there is no '{model}': it is no file, and 'hearth list' does not have it; 'hearth pull {model}' fetches it"
        )
    })
}

/// Opens a model by what the user wrote.
pub(crate) fn open(model: &str) -> Result<Checkpoint> {
    Ok(locate(model)?.open()?)
}

/// How to run it.
#[derive(clap::Args, Default)]
pub(crate) struct Machine {
    /// Threads that compute, by default one per core
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
    /// Tokens that a sequence may have, by default what the model was made for, as far as memory allows
    #[arg(long, value_name = "TOKENS", visible_alias = "context")]
    pub ctx: Option<usize>,
    /// Load the model even where it does not fit into memory
    #[arg(long)]
    pub force: bool,
}

impl Machine {
    /// The same for the engine.
    pub(crate) fn options(&self, precision: Precision) -> hearth_engine::Options {
        hearth_engine::Options {
            threads: self.threads.map(usize::from),
            context: self.ctx,
            precision,
            guard: if self.force {
                Guard::Force
            } else {
                Guard::Refuse
            },
        }
    }

    /// Loads a model without its vocabulary, if it fits.
    pub(crate) fn load(&self, checkpoint: &Checkpoint, precision: Precision) -> Result<Model<Cpu>> {
        let options = self.options(precision);
        Plan::new(checkpoint, options)?.admit(options)?;
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
