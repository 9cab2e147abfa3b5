//! What a model takes on this machine, said before it is loaded.
//!
//! A [`Plan`] reads headers and settings and runs the model's own program on a backend that only counts, so that what
//! is predicted is what will be allocated. [`Engine::load`](crate::Engine::load) asks the same plan.

mod mixture;
mod verdict;

pub use mixture::{MIXTURES, Mixture};
pub use verdict::{Guard, Verdict};

use hearth_compute::{Counted, Isa, Sizes};
use hearth_format::Checkpoint;
use hearth_model::{LoadOptions, Model, Spec};
use hearth_tokenizer::Tokenizer;

use crate::{
    Capabilities, Error, Options, Result,
    encode::ROWS,
    memory::{Mappings, Reading, available_memory, read_places, resident_memory},
    sampling::Candidate,
    sequence::STEP,
};

/// Memory that a thread takes for its stack and its share of the allocator. Measured: `hearth fit bard --check` with 2
/// and with 34 threads, Linux x86-64.
const THREAD_BYTES: usize = 24 << 10;
/// What generating reads of the program beside what planning did, in windows of 64 KiB, and what encoding reads.
/// Measured with [`REUSED`]: `hearth fit --check` on the conformance models, Linux x86-64 (320 to 1090 and 260 to 740
/// KiB, more in the release build).
const CODE_BYTES: Of = Of {
    generating: 800 << 10,
    encoding: 500 << 10,
};
/// What the allocator has free when all else is counted, and gives to the model (up to 370, and 150 to 690 KiB).
const REUSED: Of = Of {
    generating: 170 << 10,
    encoding: 400 << 10,
};

/// A figure for models that generate, and for those that do not.
struct Of {
    generating: usize,
    encoding: usize,
}

impl Of {
    fn model(&self, spec: &Spec) -> usize {
        if Capabilities::of(spec).generate {
            self.generating
        } else {
            self.encoding
        }
    }
}

/// What a model takes, for any context.
pub struct Plan {
    model: Model<Sizes>,
    program: usize,
    code: usize,
    vocabulary: usize,
    weights: Reading,
    table: Option<Table>,
    decode_bytes: usize,
    parameters: u64,
}

/// An embedding of which rows are read.
struct Table {
    /// What one row brings into memory.
    place: Reading,
    /// What all rows are.
    all: usize,
}

/// Bytes that a model takes with a sequence of some length, part by part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Tokens of the sequence.
    pub context: usize,
    /// The process without the model: measured before the vocabulary was read, and the code that will run, less what
    /// the allocator has free.
    pub program: usize,
    /// What of `program` is in the files that the program consists of.
    pub code: usize,
    /// The vocabulary, measured.
    pub vocabulary: usize,
    /// Pages of the files that will be read. They are mapped: the system can drop them and read them again.
    pub weights: usize,
    /// Those of `weights` that every token reads.
    pub weights_per_token: usize,
    /// Norms and biases, which are copied.
    pub vectors: usize,
    /// Keys and values of the sequence.
    pub cache: usize,
    /// Activations and scratch of the largest steps.
    pub workspace: usize,
    /// Logits and what a token is chosen from.
    pub sampling: usize,
    /// Stacks of the threads.
    pub threads: usize,
    /// What of that is in `program` as well: weights that were in memory when this was computed, and the plan's own
    /// norms and biases.
    pub counted_twice: usize,
}

impl Memory {
    /// The most that the process will have in memory, mapped files included.
    pub fn peak(&self) -> usize {
        (self.program.saturating_add(self.vocabulary))
            .saturating_add(self.needed())
            .saturating_sub(self.counted_twice)
    }

    /// What is needed beside what the process has already.
    pub fn needed(&self) -> usize {
        self.private().saturating_add(self.weights)
    }

    /// What of that the system cannot take back.
    pub fn private(&self) -> usize {
        let parts = [
            self.vectors,
            self.cache,
            self.workspace,
            self.sampling,
            self.threads,
        ];
        parts.into_iter().fold(0, usize::saturating_add)
    }

    /// What must be in memory for a token not to wait for the disk.
    pub fn resident(&self) -> usize {
        self.private().saturating_add(self.weights_per_token)
    }
}

impl Plan {
    /// Plans a model as `options` say, without its vocabulary.
    ///
    /// # Errors
    /// When the checkpoint is no model that runs.
    pub fn new(checkpoint: &Checkpoint, options: Options) -> Result<Self> {
        let isa = Isa::detect().map_err(hearth_compute::Error::from)?;
        let model = Model::load(
            checkpoint,
            Sizes::new(options.threads(), isa, options.precision),
            LoadOptions {
                context_limit: options.context,
            },
        )?;
        // A model that cannot take a step is refused here; and the code that counts is then in memory.
        if Capabilities::of(model.spec()).generate {
            model.count(1, 1)?;
        } else {
            model.count_encoding(1, 1)?;
        }
        let memory = model.weight_memory();
        let place = memory.table.as_deref().map(read_places);
        let (program, mappings) = (resident_memory().unwrap_or(0), Mappings::now());
        let table = memory.table.zip(place).map(|(bytes, place)| Table {
            place,
            all: mappings.reading(&bytes).total,
        });
        Ok(Self {
            program,
            code: mappings.program(),
            vocabulary: 0,
            weights: mappings.reading(&memory.whole),
            table,
            decode_bytes: usize::try_from(model.decode_bytes()).unwrap_or(usize::MAX),
            parameters: checkpoint.parameters(),
            model,
        })
    }

    /// The same with the vocabulary, which is read to be measured, and given back.
    ///
    /// # Errors
    /// When the checkpoint is no model that runs, or has no vocabulary that fits it.
    pub fn with_vocabulary(checkpoint: &Checkpoint, options: Options) -> Result<(Self, Tokenizer)> {
        let before = resident_memory().unwrap_or(0);
        let tokenizer = Tokenizer::from_checkpoint(checkpoint)?;
        let vocabulary = resident_memory().unwrap_or(0).saturating_sub(before);
        let mut plan = Self::new(checkpoint, options)?;
        plan.vocabulary = vocabulary;
        plan.program = plan.program.saturating_sub(vocabulary);
        let (tokens, rows) = (tokenizer.vocab_len(), plan.spec().vocab);
        if tokens > rows {
            return Err(Error::Vocabulary { tokens, rows });
        }
        Ok((plan, tokenizer))
    }

    /// What the model is.
    pub fn spec(&self) -> &Spec {
        self.model.spec()
    }

    /// Values of all weights.
    pub fn parameters(&self) -> u64 {
        self.parameters
    }

    /// What a sequence of `context` tokens takes; of a model that does not generate, a step full of texts of that
    /// length, or of the longest that it reads.
    ///
    /// # Errors
    /// When the model cannot take a single step.
    pub fn memory(&self, context: usize) -> Result<Memory> {
        let candidate = size_of::<f32>() + size_of::<Candidate>();
        if Capabilities::of(self.spec()).generate {
            let sampling = candidate * self.spec().vocab;
            let counted = self.model.count(context, STEP)?;
            return Ok(self.with(context, &counted, self.model.text_bytes(context), sampling));
        }
        let context = context.clamp(1, self.spec().context);
        let texts = (ROWS / context).max(1);
        let counted = self.model.count_encoding(texts, context)?;
        let cache = self.model.encoding_cache_bytes(texts, context);
        Ok(self.with(context, &counted, cache, 0))
    }

    fn with(&self, context: usize, counted: &Counted, cache: usize, sampling: usize) -> Memory {
        let sizes = self.model.backend();
        let table = self.table.as_ref().map_or(0, |table| {
            let rows = table.place.total.saturating_mul(context);
            rows.min(table.all)
        });
        let probed = self.table.as_ref().map_or(0, |table| table.place.resident);
        let weights = self.weights.total.saturating_add(table);
        let code = CODE_BYTES.model(self.spec());
        let reused = REUSED.model(self.spec());
        Memory {
            context,
            program: (self.program + code).saturating_sub(reused),
            code: self.code + code,
            vocabulary: self.vocabulary,
            weights,
            weights_per_token: self.decode_bytes.min(weights),
            vectors: sizes.vectors(),
            cache,
            workspace: counted.buffers.saturating_add(counted.scratch),
            sampling: counted.copies + sampling,
            threads: (sizes.threads() - 1) * THREAD_BYTES,
            counted_twice: self.weights.resident + probed.min(table) + sizes.vectors(),
        }
    }

    /// Bytes that a token reads after `position` others: weights and cache. Memory bandwidth divided by it bounds the
    /// speed.
    pub fn token_bytes(&self, position: usize) -> usize {
        self.decode_bytes
            .saturating_add(self.model.cache_reads(position))
    }

    /// The longest context up to `most`, in whole pages of the cache or `most` itself, whose verdict is at least
    /// `wanted`.
    ///
    /// # Errors
    /// When the model cannot take a single step.
    pub fn longest(&self, wanted: Verdict, most: usize, available: usize) -> Result<Option<usize>> {
        let fits = |context: usize| -> Result<bool> {
            Ok(Verdict::of(&self.memory(context)?, available) <= wanted)
        };
        if fits(most)? {
            return Ok(Some(most));
        }
        // `fitting` pages do, `failing` pages do not; nothing is known of none.
        let (mut fitting, mut failing) = (0, most.div_ceil(PAGE));
        while fitting + 1 < failing {
            let middle = fitting + (failing - fitting) / 2;
            if fits(middle * PAGE)? {
                fitting = middle;
            } else {
                failing = middle;
            }
        }
        Ok((fitting > 0).then_some(fitting * PAGE))
    }

    /// What loading will take, or why it is not allowed.
    ///
    /// # Errors
    /// [`Error::Memory`] where it does not fit, unless `options` force it.
    pub fn admit(&self, options: Options) -> Result<Memory> {
        let available = available_memory();
        let context = match (self.context(options.context, available)?, options.guard) {
            (Some(context), _) => context,
            (None, Guard::Force) => options.context.unwrap_or(self.spec().context.min(COMFORT)),
            (None, Guard::Refuse) => {
                return Err(self.refusal(options.context, available.unwrap_or(0))?);
            }
        };
        self.memory(context)
    }

    /// Why a model is not loaded, with the numbers.
    fn refusal(&self, asked: Option<usize>, available: usize) -> Result<Error> {
        let context = asked.unwrap_or(self.spec().context.min(COMFORT));
        let memory = self.memory(context)?;
        let others = memory.weights.saturating_add(memory.cache);
        let mebibytes = |bytes: usize| bytes >> 20;
        Ok(Error::Memory {
            context,
            needed: mebibytes(memory.needed()),
            weights: mebibytes(memory.weights),
            cache: mebibytes(memory.cache),
            rest: mebibytes(memory.needed().saturating_sub(others)),
            available: mebibytes(available),
            next: match self.longest(Verdict::Tight, context, available)? {
                Some(fits) => format!("at most {fits} tokens fit (--ctx {fits})"),
                None => "no context fits; a smaller mixture of the same model may, `hearth fit` lists them".to_owned(),
            },
        })
    }

    /// The context to run with: what was asked for; else as much of the model's own as fits well, or up to
    /// [`COMFORT`] where only that much fits, and tightly. None where nothing does.
    ///
    /// # Errors
    /// When the model cannot take a single step.
    pub fn context(&self, asked: Option<usize>, available: Option<usize>) -> Result<Option<usize>> {
        let own = self.spec().context;
        let Some(available) = available else {
            return Ok(Some(asked.unwrap_or(own)));
        };
        if let Some(asked) = asked {
            let verdict = Verdict::of(&self.memory(asked)?, available);
            return Ok((verdict != Verdict::No).then_some(asked));
        }
        let enough = own.min(COMFORT);
        match self.longest(Verdict::Yes, own, available)? {
            Some(context) if context >= enough => Ok(Some(context)),
            _ => self.longest(Verdict::Tight, enough, available),
        }
    }
}

/// Positions of a page of the cache.
const PAGE: usize = 64;
/// A context that is worth a tight fit.
pub const COMFORT: usize = 4096;
