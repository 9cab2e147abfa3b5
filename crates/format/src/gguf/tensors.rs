//! Tensor infos, and where the tensors lie in the data section.

use super::cursor::Cursor;
use crate::{BlockType, Bytes, Metadata, Result, Storage, Tensor, Value};

/// llama.cpp takes names of up to 63 bytes; longer ones are harmless here.
const NAME_LIMIT: u64 = 255;
/// Most dimensions of a tensor: ggml's limit.
pub(crate) const DIMENSION_LIMIT: u32 = 4;
/// Keeps the arithmetic of padding sane.
const ALIGNMENT_LIMIT: u64 = 1 << 30;
/// What a file without `general.alignment` has.
const DEFAULT_ALIGNMENT: u64 = 32;

pub(super) struct Info {
    name: String,
    /// Innermost first, as the file has it.
    sizes: Vec<u64>,
    block: BlockType,
    offset: u64,
    bytes: u64,
}

pub(super) fn tensor_info(c: &mut Cursor<'_>) -> Result<Info> {
    let name = c.identifier("tensor name", NAME_LIMIT)?;
    let dimensions = c.u32()?;
    if dimensions > DIMENSION_LIMIT {
        return c.wrong(format!(
            "tensor '{name}' has {dimensions} dimensions, at most {DIMENSION_LIMIT} are possible"
        ));
    }
    let sizes = (0..dimensions)
        .map(|_| c.u64())
        .collect::<Result<Vec<_>>>()?;
    let (id, offset) = (c.u32()?, c.u64()?);
    let Some(block) = BlockType::from_gguf_id(id) else {
        return c.wrong(format!(
            "tensor '{name}' has type id {id}: {}",
            unknown_type(id)
        ));
    };
    let bytes = tensor_bytes(c, &name, &sizes, block)?;
    Ok(Info {
        name,
        sizes,
        block,
        offset,
        bytes,
    })
}

/// Why an id is no type of weights: removed ones by name, with what replaced them.
fn unknown_type(id: u32) -> String {
    let removed =
        |name: &str, instead: &str| format!("type {name} was removed from GGUF; {instead}");
    match id {
        4 => removed("Q4_2", "quantise the model again"),
        5 => removed("Q4_3", "quantise the model again"),
        9 => "type Q8_1 is for activations, not for weights".to_owned(),
        31 => removed("Q4_0_4_4", "use Q4_0"),
        32 => removed("Q4_0_4_8", "use Q4_0"),
        33 => removed("Q4_0_8_8", "use Q4_0"),
        36 => removed("IQ4_NL_4_4", "use IQ4_NL"),
        37 => removed("IQ4_NL_4_8", "use IQ4_NL"),
        38 => removed("IQ4_NL_8_8", "use IQ4_NL"),
        97.. => "unknown; this file needs ik_llama.cpp".to_owned(),
        _ => "unknown; this program may be too old for the file".to_owned(),
    }
}

fn tensor_bytes(c: &Cursor<'_>, name: &str, sizes: &[u64], block: BlockType) -> Result<u64> {
    let total = sizes
        .iter()
        .try_fold(1u64, |n, size| n.checked_mul(*size))
        .filter(|n| *n <= i64::MAX as u64);
    let Some(total) = total.filter(|n| *n > 0) else {
        return c.wrong(format!("tensor '{name}' has impossible sizes {sizes:?}"));
    };
    let row = sizes.first().copied().unwrap_or(1);
    let len = block.block_len() as u64;
    if !row.is_multiple_of(len) {
        return c.wrong(format!(
            "tensor '{name}': a row of {row} values is not a multiple of {len} ({})",
            block.name()
        ));
    }
    match (total / len).checked_mul(block.block_bytes() as u64) {
        Some(bytes) => Ok(bytes),
        None => c.wrong(format!("tensor '{name}' has impossible sizes {sizes:?}")),
    }
}

/// Version 1 had other layouts of Q4 and Q8 blocks under the same ids.
pub(super) fn check_quantization_version(
    c: &Cursor<'_>,
    metadata: &Metadata,
    infos: &[Info],
) -> Result<()> {
    let key = "general.quantization_version";
    match metadata.get(key) {
        Some(_) if metadata.integer(key) == Some(2) => Ok(()),
        Some(found) if infos.iter().any(|info| info.block.is_quantized()) => c.wrong(format!(
            "{key} is {found}, only 2 is supported; convert the model again"
        )),
        _ => Ok(()),
    }
}

/// What tensor offsets are multiples of, or what is wrong with it.
pub(crate) fn alignment(metadata: &Metadata) -> Result<u64, String> {
    match metadata.get("general.alignment") {
        None => Ok(DEFAULT_ALIGNMENT),
        Some(Value::U32(n)) if n.is_power_of_two() && u64::from(*n) <= ALIGNMENT_LIMIT => {
            Ok(u64::from(*n))
        }
        Some(other) => Err(format!(
            "general.alignment is {other}, expected a U32 power of two up to {ALIGNMENT_LIMIT}"
        )),
    }
}

/// Where the tensors lie in the data section; each inside the file, none over another.
pub(super) fn place(
    c: &Cursor<'_>,
    bytes: &Bytes,
    metadata: &Metadata,
    infos: Vec<Info>,
) -> Result<Vec<Tensor>> {
    let alignment = alignment(metadata).or_else(|problem| c.wrong(problem))?;
    let size = bytes.len() as u64;
    let data = (c.at as u64).next_multiple_of(alignment);
    let mut ranges = Vec::with_capacity(infos.len());
    let mut tensors = Vec::with_capacity(infos.len());
    for info in infos {
        if !info.offset.is_multiple_of(alignment) {
            return c.wrong(format!(
                "tensor '{}': offset {} is not aligned to {alignment}",
                info.name, info.offset
            ));
        }
        let start = data.checked_add(info.offset);
        let end = start.and_then(|s| s.checked_add(info.bytes));
        let (Some(start), Some(end)) = (start, end.filter(|end| *end <= size)) else {
            let end = end.map_or_else(|| "beyond 2^64".to_owned(), |e| e.to_string());
            return c.wrong(format!(
                "tensor '{}' ends at {end}, past the end of the file ({size}): the download is probably incomplete",
                info.name
            ));
        };
        let view = bytes
            .slice(start as usize, info.bytes as usize)
            .expect("the range was just checked");
        ranges.push((start, end, tensors.len()));
        tensors.push(Tensor {
            name: info.name,
            shape: info.sizes.iter().rev().map(|n| *n as usize).collect(),
            storage: Storage::Blocks {
                block: info.block,
                bytes: view,
            },
        });
    }
    ranges.sort_unstable();
    for [(_, end, a), (start, _, b)] in ranges.array_windows() {
        if end > start {
            return c.wrong(format!(
                "tensors '{}' and '{}' overlap",
                tensors[*a].name, tensors[*b].name
            ));
        }
    }
    Ok(tensors)
}
