//! A model with its vocabulary, ready to run.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use hearth_compute::{Cpu, Isa, Precision};
use hearth_format::Checkpoint;
use hearth_model::{LoadOptions, Logits, Model, Run, Workspace};
use hearth_tokenizer::Tokenizer;

use crate::{
    Error, Result,
    fit::{Guard, Memory, Plan},
};

/// How a model is run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Threads that compute; none means one per core.
    pub threads: Option<usize>,
    /// Tokens that a sequence may have; none means what the model was made for, as far as memory allows.
    pub context: Option<usize>,
    /// How products are computed.
    pub precision: Precision,
    /// What to do where memory will not do.
    pub guard: Guard,
}

impl Options {
    /// Threads that will compute.
    pub fn threads(&self) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        self.threads.unwrap_or_else(cores)
    }
}

/// A loaded model.
pub struct Engine {
    pub(crate) model: Arc<Model<Cpu>>,
    tokenizer: Arc<Tokenizer>,
    predicted: Memory,
    load_time: Duration,
}

impl Engine {
    /// Loads a model. Weights are mapped, not read, so this takes milliseconds.
    ///
    /// # Errors
    /// When the checkpoint is no model that runs, its vocabulary does not fit it, or it does not fit into memory with the
    /// context that `options` ask for. Memory is asked for before anything large is allocated.
    pub fn load(checkpoint: &Checkpoint, options: Options) -> Result<Self> {
        let start = Instant::now();
        if options.context == Some(0) {
            return Err(Error::NoContext);
        }
        let (plan, tokenizer) = Plan::with_vocabulary(checkpoint, options)?;
        let predicted = plan.admit(options)?;
        drop(plan);
        let isa = Isa::detect().map_err(hearth_compute::Error::from)?;
        let model = Model::load(
            checkpoint,
            Cpu::new(options.threads(), isa, options.precision)?,
            LoadOptions {
                context_limit: options.context,
            },
        )?;
        Ok(Self {
            model: Arc::new(model),
            tokenizer: Arc::new(tokenizer),
            predicted,
            load_time: start.elapsed(),
        })
    }

    /// The model.
    pub fn model(&self) -> &Model<Cpu> {
        &self.model
    }

    /// The same, to keep.
    pub(crate) fn shared_model(&self) -> Arc<Model<Cpu>> {
        Arc::clone(&self.model)
    }

    /// Its vocabulary.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// The same, to keep.
    pub fn shared_tokenizer(&self) -> Arc<Tokenizer> {
        Arc::clone(&self.tokenizer)
    }

    /// Tokens that a sequence may have.
    pub fn context(&self) -> usize {
        self.predicted.context
    }

    /// What the process was predicted to take once a sequence has as many tokens, before anything was loaded.
    pub fn predicted(&self) -> &Memory {
        &self.predicted
    }

    /// Computes one token, so that the weights are in memory before somebody waits for an answer.
    ///
    /// # Errors
    /// When the model cannot compute it.
    pub fn warm_up(&self) -> Result<()> {
        let tokens = [0];
        if !self.capabilities().generate {
            return self.embed(&[tokens.to_vec()], None).map(drop);
        }
        let mut state = self.model.state();
        let run = Run {
            state: &mut state,
            tokens: &tokens,
            logits: Logits::Last(1),
        };
        self.model.step(&mut Workspace::default(), &mut [run])?;
        Ok(())
    }

    /// How long loading took.
    pub fn load_time(&self) -> Duration {
        self.load_time
    }
}
