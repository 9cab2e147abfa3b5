//! A model with its vocabulary, ready to run.

use std::time::{Duration, Instant};

use hearth_compute::{Cpu, Isa, Precision};
use hearth_format::Checkpoint;
use hearth_model::{LoadOptions, Model};
use hearth_tokenizer::Tokenizer;

use crate::{Error, Result, memory::available_memory};

/// How a model is run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Threads that compute; none means one per core.
    pub threads: Option<usize>,
    /// Tokens that a sequence may have; none means what the model was made for, as far as memory allows.
    pub context: Option<usize>,
    /// How products are computed.
    pub precision: Precision,
}

/// A loaded model.
pub struct Engine {
    pub(crate) model: Model<Cpu>,
    tokenizer: Tokenizer,
    context: usize,
    load_time: Duration,
}

impl Engine {
    /// Loads a model. Weights are mapped, not read, so this takes milliseconds.
    ///
    /// # Errors
    /// When the checkpoint is no model that runs, its vocabulary does not fit it, or the context that `options` ask
    /// for does not fit into memory.
    pub fn load(checkpoint: &Checkpoint, options: Options) -> Result<Self> {
        let start = Instant::now();
        if options.context == Some(0) {
            return Err(Error::NoContext);
        }
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        let isa = Isa::detect().map_err(hearth_compute::Error::from)?;
        let cpu = Cpu::new(
            options.threads.unwrap_or_else(cores),
            isa,
            options.precision,
        )?;
        let model = Model::load(
            checkpoint,
            cpu,
            LoadOptions {
                context_limit: options.context,
            },
        )?;
        let tokenizer = Tokenizer::from_checkpoint(checkpoint)?;
        let (tokens, rows) = (tokenizer.vocab_len(), model.spec().vocab);
        if tokens > rows {
            return Err(Error::Vocabulary { tokens, rows });
        }
        let context = context(&model, options.context)?;
        Ok(Self {
            model,
            tokenizer,
            context,
            load_time: start.elapsed(),
        })
    }

    /// The model.
    pub fn model(&self) -> &Model<Cpu> {
        &self.model
    }

    /// Its vocabulary.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// Tokens that a sequence may have.
    pub fn context(&self) -> usize {
        self.context
    }

    /// How long loading took.
    pub fn load_time(&self) -> Duration {
        self.load_time
    }
}

/// The context that was asked for, if it fits; else the model's own as far as it fits.
fn context(model: &Model<Cpu>, asked: Option<usize>) -> Result<usize> {
    let wanted = asked.unwrap_or(model.spec().context);
    let Some(available) = available_memory() else {
        return Ok(wanted);
    };
    // Caches grow linearly with the context, so one size tells all.
    const SAMPLE: usize = 1 << 10;
    let per_token = (model.state_bytes(SAMPLE) / SAMPLE).max(1);
    // A quarter stays for weights that are mapped in as they are read, and for everyone else.
    let fits = (available / 4 * 3 / per_token).max(1);
    if wanted <= fits {
        return Ok(wanted);
    }
    match asked {
        None => Ok(fits),
        Some(context) => Err(Error::Memory {
            context,
            needed: context.saturating_mul(per_token) >> 20,
            available: available >> 20,
            fits,
        }),
    }
}
