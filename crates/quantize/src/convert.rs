//! From a checkpoint to a GGUF file.

use std::{collections::HashMap, io::Write, ops::ControlFlow, thread};

use hearth_format::{BlockType, Checkpoint, GgufWriter, Metadata, Source as Form, Value};

use crate::{
    Error, Mixture, Result, gguf, hf,
    plan::{Plan, Source, Target, replaced},
    write,
};

/// The version of the block layouts, which `general.quantization_version` names.
const QUANTIZATION_VERSION: u32 = 2;

/// How to convert.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// What matrices become; `None` leaves them in the type they have.
    pub mixture: Option<Mixture>,
    /// Quantise tensors that are quantised already, at the loss of both.
    pub allow_requantize: bool,
    /// Threads that encode; 0 is as many as the machine runs at once.
    pub threads: usize,
    /// `general.name` of a directory's model; by default what its settings or its path call it.
    pub name: Option<String>,
}

/// How far a conversion is.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'a> {
    /// The tensor being written.
    pub tensor: &'a str,
    /// Its number, from 0.
    pub index: usize,
    /// How many there are.
    pub tensors: usize,
    /// Values written.
    pub done: u64,
    /// Values of all tensors.
    pub total: u64,
}

/// What was written.
#[derive(Clone, Debug)]
pub struct Summary {
    /// `general.file_type`, where the file names one that hearth writes.
    pub mixture: Option<Mixture>,
    /// Number of tensors of each type, most values first.
    pub types: Vec<(BlockType, usize)>,
    /// Values of all tensors.
    pub parameters: u64,
    /// Bytes of all tensors, without the head of the file.
    pub bytes: u64,
    /// What the user should know: settings that the format cannot carry, tensors left out.
    pub notes: Vec<String>,
}

/// Writes a checkpoint as one GGUF file. `progress` is told of every few million values and may stop the work.
///
/// A GGUF keeps its metadata and the types of its vectors. A directory of one of hearth's families gets the metadata,
/// names and conventions of GGUF, with vectors in F32.
///
/// # Errors
/// When the family is not one that hearth runs, a tensor is missing, is quantised already or has values that do not
/// fit, the format cannot say what the checkpoint says, the sink refuses, or `progress` breaks off.
pub fn convert(
    checkpoint: &Checkpoint,
    options: &Options,
    progress: &mut dyn FnMut(Progress<'_>) -> ControlFlow<()>,
    out: impl Write,
) -> Result<Summary> {
    let plan = match checkpoint.source {
        Form::Gguf => gguf::plan(checkpoint)?,
        Form::HuggingFace => hf::plan(checkpoint, options)?,
    };
    let place = checkpoint.label();
    let Plan {
        metadata,
        targets,
        outline,
        notes,
    } = plan;
    let targets: Vec<_> = targets
        .into_iter()
        .map(|target| {
            let wanted = options
                .mixture
                .and_then(|m| m.block_for(&target.name, &target.shape, &outline));
            let block = wanted.unwrap_or(target.block);
            (target, block)
        })
        .collect();
    if !options.allow_requantize {
        refuse_quantized(place, &targets)?;
    }
    // A GGUF whose types stay keeps what it says of them.
    let mixture = match checkpoint.source {
        Form::Gguf => options.mixture,
        Form::HuggingFace => options.mixture.or_else(|| most_common(&targets)),
    };
    let version = mixture.map(|_| Value::U32(QUANTIZATION_VERSION));
    let file_type = mixture.map(|m| Value::U32(m.file_type()));
    let metadata = replaced(
        &metadata,
        &[
            ("general.file_type", file_type),
            ("general.quantization_version", version),
        ],
    );
    let summary = summary(&metadata, &targets, notes);
    let mut writer = GgufWriter::new(metadata).map_err(Error::Write)?;
    for (target, block) in &targets {
        writer
            .tensor(&target.name, &target.shape, *block)
            .map_err(Error::Write)?;
    }
    let mut body = writer.start(out).map_err(Error::Write)?;
    let threads = match options.threads {
        0 => thread::available_parallelism().map_or(1, usize::from),
        n => n,
    };
    write::tensors(place, &targets, threads, progress, &mut body)?;
    body.finish().map_err(Error::Write)?;
    Ok(summary)
}

/// The mixture that is named like the type of most values.
fn most_common(targets: &[(Target<'_>, BlockType)]) -> Option<Mixture> {
    let of = |mixture: Mixture| -> u64 {
        let same = targets
            .iter()
            .filter(|(_, block)| *block == mixture.block());
        same.map(|(target, _)| target.values()).sum()
    };
    let plain = [Mixture::F32, Mixture::F16, Mixture::BF16];
    plain.into_iter().max_by_key(|mixture| of(*mixture))
}

fn refuse_quantized(place: &str, targets: &[(Target<'_>, BlockType)]) -> Result<()> {
    for (target, block) in targets {
        let Source::Rows(rows) = &target.source else {
            continue;
        };
        let (found, quantized) = rows.stored();
        if quantized && !rows.is_copy(*block) {
            return Err(Error::AlreadyQuantized {
                place: place.to_owned(),
                tensor: target.name.clone(),
                found: found.to_owned(),
            });
        }
    }
    Ok(())
}

fn summary(
    metadata: &Metadata,
    targets: &[(Target<'_>, BlockType)],
    notes: Vec<String>,
) -> Summary {
    let mut counts: HashMap<BlockType, (u64, usize)> = HashMap::new();
    for (target, block) in targets {
        let entry = counts.entry(*block).or_default();
        *entry = (entry.0 + target.values(), entry.1 + 1);
    }
    let mut types: Vec<_> = counts.into_iter().collect();
    types.sort_by_key(|(block, (values, _))| (std::cmp::Reverse(*values), block.gguf_id()));
    Summary {
        mixture: metadata
            .integer("general.file_type")
            .and_then(Mixture::from_file_type),
        types: types
            .into_iter()
            .map(|(block, (_, n))| (block, n))
            .collect(),
        parameters: targets.iter().map(|(t, _)| t.values()).sum(),
        bytes: targets
            .iter()
            .map(|(t, block)| t.rows() as u64 * block.row_bytes(t.columns()) as u64)
            .sum(),
        notes,
    }
}
