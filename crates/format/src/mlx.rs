//! Quantised modules of an MLX directory (format notes 1.9).
//!
//! Codes are one little-endian bit stream per row. The affine mode, `value = scale * code + bias`, is read where it
//! lies. The 4-bit floats of the modes mxfp4 and nvfp4 are ggml's MXFP4 and NVFP4 with the codes in another order, and
//! are put into that order when they are opened.

use std::collections::HashMap;

use serde_json::Value as Json;

use crate::{Affine, BlockType, Bytes, Error, Result, Storage, Tensor};

impl Affine {
    /// The values of row `row`.
    ///
    /// # Panics
    /// When the row is not there; sizes were checked when the checkpoint was read.
    pub fn dequantize_row(&self, row: usize, out: &mut [f32]) {
        let code_bytes = out.len() * self.bits / 8;
        let codes = &self.codes[row * code_bytes..(row + 1) * code_bytes];
        let scale_bytes = self.scale_type.row_bytes(out.len() / self.group);
        let at = row * scale_bytes..(row + 1) * scale_bytes;
        let (scales, biases) = (&self.scales[at.clone()], &self.biases[at]);
        let read = |bytes: &[u8], i: usize| {
            let n = self.scale_type.block_bytes();
            let mut value = [0.0];
            self.scale_type
                .dequantize(&bytes[i * n..(i + 1) * n], &mut value);
            value[0]
        };
        // A group begins at a whole byte: its 32 or more codes of `bits` bits are `bits` words of them.
        let groups = codes.chunks_exact((self.group * self.bits / 8).max(1));
        for (g, (out, codes)) in out.chunks_exact_mut(self.group).zip(groups).enumerate() {
            let (scale, bias) = (read(scales, g), read(biases, g));
            unpack(self.bits, codes, out, |code| scale * code + bias);
        }
    }
}

/// Eight codes of `bits` bits are `bits` bytes, at every width.
fn unpack(bits: usize, codes: &[u8], out: &mut [f32], value: impl Fn(f32) -> f32) {
    let mask = (1u64 << bits) - 1;
    for (out, codes) in out
        .as_chunks_mut::<8>()
        .0
        .iter_mut()
        .zip(codes.chunks_exact(bits))
    {
        let mut word = [0; 8];
        word[..bits].copy_from_slice(codes);
        let word = u64::from_le_bytes(word);
        for (i, out) in out.iter_mut().enumerate() {
            *out = value(((word >> (i * bits)) & mask) as f32);
        }
    }
}

/// What `config.json` says of a module, with its own entry before the global one.
struct Scheme {
    mode: String,
    bits: usize,
    group: usize,
}

/// The settings of MLX's quantisation; older directories have them under the other name, which is otherwise that of
/// schemes with a `quant_method`.
pub(crate) fn settings(config: &Json) -> Option<&Json> {
    let named = |name| {
        let inside = |config: &'_ Json| config.get(name).is_some_and(Json::is_object);
        let top = Some(config).filter(|c| inside(c));
        top.or_else(|| config.get("text_config").filter(|c| inside(c)))
            .map(|c| &c[name])
    };
    named("quantization").or_else(|| {
        named("quantization_config")
            .filter(|q| q.get("quant_method").is_none() && q.get("bits").is_some())
    })
}

/// Joins each `p.weight`, `p.scales` and `p.biases` to one tensor `p.weight`; `p.scales` decides what is quantised.
///
/// # Errors
/// When a mode or width is not known, or the parts of a module do not belong together.
pub(crate) fn join(
    label: &str,
    settings: &Json,
    tensors: &mut HashMap<String, Tensor>,
) -> Result<()> {
    let mut modules: Vec<String> = tensors
        .keys()
        .filter_map(|name| name.strip_suffix(".scales").map(str::to_owned))
        .collect();
    modules.sort_unstable();
    let wrong = |module: &str, problem: String| {
        Error::invalid(label, format!("quantised module '{module}': {problem}"))
    };
    for (module, own) in settings.as_object().into_iter().flatten() {
        let codes = tensors.contains_key(&format!("{module}.weight"));
        if own.is_object() && codes && modules.binary_search(module).is_err() {
            return Err(wrong(module, "'scales' is missing".to_owned()));
        }
    }
    for module in modules {
        let scheme = scheme(settings, &module);
        let mut part = |suffix: &str| tensors.remove(&format!("{module}.{suffix}"));
        let parts = (part("weight"), part("scales"), part("biases"));
        let joined = assemble(&scheme, parts).map_err(|problem| wrong(&module, problem))?;
        tensors.insert(joined.name.clone(), joined);
    }
    Ok(())
}

/// A module's own entry stands for itself: what it lacks are the mode's defaults, not the global settings.
fn scheme(settings: &Json, module: &str) -> Scheme {
    let own = settings
        .get(module)
        .filter(|v| v.is_object())
        .unwrap_or(settings);
    let mode = own.get("mode").and_then(Json::as_str).unwrap_or("affine");
    let (bits, group) = match mode {
        "mxfp4" => (4, 32),
        "mxfp8" => (8, 32),
        "nvfp4" => (4, 16),
        _ => (4, 64),
    };
    let number = |key: &str, default: u64| {
        own.get(key)
            .and_then(Json::as_u64)
            .unwrap_or(default)
            .min(1 << 16) as usize
    };
    Scheme {
        mode: mode.to_owned(),
        bits: number("bits", bits),
        group: number("group_size", group),
    }
}

type Parts = (Option<Tensor>, Option<Tensor>, Option<Tensor>);

fn assemble(scheme: &Scheme, parts: Parts) -> Result<Tensor, String> {
    let (bits, group) = (scheme.bits, scheme.group);
    let (Some(weight), Some(scales), biases) = parts else {
        return Err("'weight' is missing".to_owned());
    };
    match (scheme.mode.as_str(), bits, group) {
        ("affine", 2..=6 | 8, 32 | 64 | 128) => {
            let biases = biases.ok_or("'biases' is missing")?;
            affine(scheme, &weight, &scales, &biases)
        }
        ("mxfp4", 4, 32) => repack(scheme, &weight, &scales, BlockType::Mxfp4, mxfp4_block),
        ("nvfp4", 4, 16) => repack(scheme, &weight, &scales, BlockType::Nvfp4, nvfp4_block),
        (mode @ ("affine" | "mxfp4" | "nvfp4"), ..) => Err(format!(
            "{bits} bits in groups of {group}, expected {}",
            match mode {
                "affine" => "2 to 6 or 8 bits in groups of 32, 64 or 128",
                "mxfp4" => "4 bits in groups of 32",
                _ => "4 bits in groups of 16",
            }
        )),
        (mode, ..) => Err(format!(
            "mode '{mode}' is not read yet, only affine, mxfp4 and nvfp4"
        )),
    }
}

/// The logical shape of a quantised matrix, whose codes and scales are stored as two others.
fn shape(scheme: &Scheme, weight: &Tensor, scales: &Tensor) -> Result<Vec<usize>, String> {
    let mismatch = || {
        format!(
            "codes of shape {:?} and scales of shape {:?} do not belong together at {} bits in groups of {}",
            weight.shape, scales.shape, scheme.bits, scheme.group
        )
    };
    let ([rows @ .., words], [scale_rows @ .., groups]) =
        (weight.shape.as_slice(), scales.shape.as_slice())
    else {
        return Err(mismatch());
    };
    let columns = groups.checked_mul(scheme.group).ok_or_else(mismatch)?;
    // Widths and group sizes are such that a group takes whole words.
    let words_expected = groups.checked_mul(scheme.group * scheme.bits / 32);
    if rows != scale_rows || rows.is_empty() || words_expected != Some(*words) {
        return Err(mismatch());
    }
    Ok([rows, &[columns]].concat())
}

fn stored(tensor: &Tensor) -> Option<(BlockType, &Bytes)> {
    match &tensor.storage {
        Storage::Blocks { block, bytes } => Some((*block, bytes)),
        Storage::Affine(_) => None,
    }
}

/// The codes of a module, U32 words.
fn codes(weight: &Tensor) -> Result<&Bytes, String> {
    match stored(weight) {
        Some((BlockType::I32, bytes)) => Ok(bytes),
        _ => Err("'weight' is not U32".to_owned()),
    }
}

fn affine(
    scheme: &Scheme,
    weight: &Tensor,
    scales: &Tensor,
    biases: &Tensor,
) -> Result<Tensor, String> {
    let codes = codes(weight)?.clone();
    let (Some((scale_type, s)), Some((bias_type, b))) = (stored(scales), stored(biases)) else {
        return Err("'scales' and 'biases' are quantised themselves".to_owned());
    };
    let known = matches!(
        scale_type,
        BlockType::F16 | BlockType::BF16 | BlockType::F32
    );
    if !known || scale_type != bias_type {
        return Err(format!(
            "scales are {} and biases {}, expected both F16, BF16 or F32",
            scale_type.name(),
            bias_type.name()
        ));
    }
    if scales.shape != biases.shape {
        return Err(format!(
            "scales of shape {:?} and biases of shape {:?}, expected the same",
            scales.shape, biases.shape
        ));
    }
    Ok(Tensor {
        name: weight.name.clone(),
        shape: shape(scheme, weight, scales)?,
        storage: Storage::Affine(Affine {
            bits: scheme.bits,
            group: scheme.group,
            codes,
            scales: s.clone(),
            biases: b.clone(),
            scale_type,
        }),
    })
}

/// Codes and scales of one block to its bytes.
type MakeBlock = fn(&[u8], &[u8], &mut [u8]) -> Result<(), String>;

/// Makes ggml blocks of 4-bit codes and a byte of scale per group: the same values in another order.
fn repack(
    scheme: &Scheme,
    weight: &Tensor,
    scales: &Tensor,
    block: BlockType,
    make: MakeBlock,
) -> Result<Tensor, String> {
    let codes = codes(weight)?;
    let Some((BlockType::I8, s)) = stored(scales) else {
        return Err("'scales' is not U8".to_owned());
    };
    let shape = shape(scheme, weight, scales)?;
    let columns = shape.last().copied().unwrap_or(0);
    let len = block.block_len();
    if !columns.is_multiple_of(len) {
        return Err(format!(
            "rows of {columns} values, expected a multiple of {len}"
        ));
    }
    let mut blocks = vec![0; codes.len() / (len / 2) * block.block_bytes()];
    for ((out, codes), scales) in blocks
        .chunks_exact_mut(block.block_bytes())
        .zip(codes.chunks_exact(len / 2))
        .zip(s.chunks_exact(len / scheme.group))
    {
        make(codes, scales, out)?;
    }
    Ok(Tensor {
        name: weight.name.clone(),
        shape,
        storage: Storage::Blocks {
            block,
            bytes: Bytes::new(blocks),
        },
    })
}

/// Code `i` of a stream of nibbles.
fn code(codes: &[u8], i: usize) -> u8 {
    (codes[i / 2] >> (4 * (i % 2))) & 15
}

fn mxfp4_block(codes: &[u8], scales: &[u8], out: &mut [u8]) -> Result<(), String> {
    if scales[0] == 255 {
        return Err("a scale is NaN".to_owned());
    }
    out[0] = scales[0];
    for (j, out) in out[1..].iter_mut().enumerate() {
        *out = code(codes, j) | code(codes, j + 16) << 4;
    }
    Ok(())
}

fn nvfp4_block(codes: &[u8], scales: &[u8], out: &mut [u8]) -> Result<(), String> {
    // E4M3 has a sign, the block's scale has none.
    if let Some(scale) = scales.iter().find(|s| **s >= 0x7F) {
        return Err(format!("a scale is negative or NaN ({scale:#04x})"));
    }
    let (head, qs) = out.split_at_mut(scales.len());
    head.copy_from_slice(scales);
    for (i, out) in qs.iter_mut().enumerate() {
        let first = 16 * (i / 8) + i % 8;
        *out = code(codes, first) | code(codes, first + 8) << 4;
    }
    Ok(())
}
