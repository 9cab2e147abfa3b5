//! GGUF files, whole or split, mapped and checked (format notes 1.1 to 1.4).
//!
//! Every read goes through one [`Cursor`], so nothing is allocated by a count that the file's size cannot hold.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use crate::{
    Array, BlockType, Bytes, Error, Metadata, Result, Storage, Tensor, Text, Value, map_file,
};

/// Longest string that is read: llama.cpp's limit.
const STRING_LIMIT: u64 = 1 << 30;
/// Most elements of an array: llama.cpp's limit.
const ARRAY_LIMIT: u64 = 1 << 30;
const KEY_LIMIT: u64 = 65_535;
const NAME_LIMIT: u64 = 255;
const ALIGNMENT_LIMIT: u64 = 1 << 30;
/// A name, dimensions, type and offset of nothing take this much.
const SMALLEST_TENSOR_INFO: u64 = 24;
/// A key length, a type and a value of one byte.
const SMALLEST_PAIR: u64 = 13;

/// A GGUF file, all its parts if it is split.
#[derive(Debug)]
pub struct Gguf {
    label: String,
    metadata: Metadata,
    tensors: Vec<Tensor>,
    index: HashMap<String, usize>,
}

impl Gguf {
    /// Maps a file, and its other parts if it is the first of a split.
    ///
    /// # Errors
    /// When a file cannot be read or breaks a rule of the format.
    pub fn open(path: &Path) -> Result<Self> {
        let mut first = Self::from_bytes(map_file(path)?, &path.display().to_string())?;
        let count = first.metadata.integer("split.count").unwrap_or(0);
        if count > 1 {
            first.add_parts(path, count)?;
        }
        Ok(first)
    }

    /// Reads a file that is in memory already; `label` names it in messages.
    ///
    /// # Errors
    /// When the bytes break a rule of the format.
    pub fn from_bytes(bytes: Bytes, label: &str) -> Result<Self> {
        let mut cursor = Cursor {
            bytes: &bytes,
            at: 0,
            label,
        };
        let (tensor_count, pair_count) = header(&mut cursor)?;
        let metadata = read_metadata(&mut cursor, pair_count)?;
        let infos = (0..tensor_count)
            .map(|_| tensor_info(&mut cursor))
            .collect::<Result<Vec<_>>>()?;
        let tensors = place(&cursor, &bytes, &metadata, infos)?;
        let mut index = HashMap::with_capacity(tensors.len());
        for (i, tensor) in tensors.iter().enumerate() {
            if index.insert(tensor.name.clone(), i).is_some() {
                return Err(Error::invalid(
                    label,
                    format!("tensor '{}' occurs twice", tensor.name),
                ));
            }
        }
        Ok(Self {
            label: label.to_owned(),
            metadata,
            tensors,
            index,
        })
    }

    /// The metadata; of a split file, that of its first part.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// All tensors, in the order of the file.
    pub fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }

    /// The tensor of a name.
    pub fn tensor(&self, name: &str) -> Option<&Tensor> {
        self.index.get(name).map(|&i| &self.tensors[i])
    }

    fn add_parts(&mut self, path: &Path, count: u64) -> Result<()> {
        let label = self.label.clone();
        let wrong = |problem: String| Error::invalid(&label, problem);
        let number = self.metadata.integer("split.no").unwrap_or(0);
        if number != 0 {
            return Err(wrong(format!(
                "this is part {} of {count}: open the first part",
                number + 1
            )));
        }
        if count > 65_535 {
            return Err(wrong(format!(
                "split.count is {count}, at most 65535 parts are possible"
            )));
        }
        for part in 1..count {
            let path = part_path(path, part, count)
                .ok_or_else(|| wrong(format!("split into {count} parts, but the name does not end in -00001-of-{count:05}.gguf")))?;
            let other = Self::from_bytes(map_file(&path)?, &path.display().to_string())?;
            let found = (
                other.metadata.integer("split.no"),
                other.metadata.integer("split.count"),
            );
            if found != (Some(part), Some(count)) {
                return Err(Error::invalid(
                    &other.label,
                    format!("expected part {part} of {count} (split.no from 0), found {found:?}"),
                ));
            }
            for tensor in other.tensors {
                if self
                    .index
                    .insert(tensor.name.clone(), self.tensors.len())
                    .is_some()
                {
                    return Err(Error::invalid(
                        &other.label,
                        format!("tensor '{}' is in two parts", tensor.name),
                    ));
                }
                self.tensors.push(tensor);
            }
        }
        match self.metadata.integer("split.tensors.count") {
            Some(total) if total != self.tensors.len() as u64 => Err(wrong(format!(
                "split.tensors.count is {total}, the parts hold {}",
                self.tensors.len()
            ))),
            _ => Ok(()),
        }
    }
}

fn part_path(first: &Path, part: u64, count: u64) -> Option<PathBuf> {
    let name = first.file_name()?.to_str()?;
    let prefix = name.strip_suffix(&format!("-00001-of-{count:05}.gguf"))?;
    Some(first.with_file_name(format!("{prefix}-{:05}-of-{count:05}.gguf", part + 1)))
}

/// Reads forward and never past the end.
struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
    label: &'a str,
}

impl<'a> Cursor<'a> {
    fn wrong<T>(&self, problem: impl Into<String>) -> Result<T> {
        Err(Error::invalid(self.label, problem))
    }

    fn left(&self) -> u64 {
        (self.bytes.len() - self.at) as u64
    }

    fn take(&mut self, n: u64) -> Result<&'a [u8]> {
        if n > self.left() {
            return self.wrong(format!(
                "truncated: needs {n} bytes at offset {}, the file has {}",
                self.at,
                self.bytes.len()
            ));
        }
        let start = self.at;
        self.at += n as usize;
        Ok(&self.bytes[start..self.at])
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N as u64)?);
        Ok(out)
    }

    fn u32(&mut self) -> Result<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn string(&mut self, what: &str, limit: u64) -> Result<&'a [u8]> {
        let at = self.at;
        let len = self.u64()?;
        if len > limit || len > self.left() {
            return self.wrong(format!(
                "{what} at offset {at} claims {len} bytes, {} are left (limit {limit})",
                self.left()
            ));
        }
        self.take(len)
    }

    /// A key or a tensor name: not empty, UTF-8, no NUL.
    fn identifier(&mut self, what: &str, limit: u64) -> Result<String> {
        let at = self.at;
        let bytes = self.string(what, limit)?;
        match std::str::from_utf8(bytes) {
            Ok("") => self.wrong(format!("{what} at offset {at} is empty")),
            Ok(text) if text.contains('\0') => {
                self.wrong(format!("{what} {text:?} holds a NUL byte"))
            }
            Ok(text) => Ok(text.to_owned()),
            Err(_) => self.wrong(format!(
                "{what} {:?} is not UTF-8",
                String::from_utf8_lossy(bytes)
            )),
        }
    }
}

/// Counts of tensors and of key/value pairs, each possible in a file of this size.
fn header(c: &mut Cursor<'_>) -> Result<(u64, u64)> {
    let size = c.bytes.len() as u64;
    if let Some(what) = known_other(c.bytes) {
        return c.wrong(format!("not a GGUF file: {what}"));
    }
    if size < 24 {
        return c.wrong(format!("not a GGUF file: only {size} bytes"));
    }
    let magic: [u8; 4] = c.array()?;
    if &magic != b"GGUF" {
        return c.wrong(format!("not a GGUF file: starts with {magic:02x?}"));
    }
    match c.u32()? {
        v if v & 0xFFFF == 0 => return c.wrong("the file is of the other byte order (big-endian)"),
        1 => return c.wrong("GGUF version 1 is not supported; convert the model again"),
        2 | 3 => {}
        v => {
            return c.wrong(format!(
                "GGUF version {v} is newer than this program supports (2 and 3)"
            ));
        }
    }
    let (tensors, pairs) = (c.u64()?, c.u64()?);
    if tensors > (size - 24) / SMALLEST_TENSOR_INFO {
        return c.wrong(format!(
            "tensor count {tensors} is impossible in a file of {size} bytes"
        ));
    }
    if pairs > (size - 24) / SMALLEST_PAIR {
        return c.wrong(format!(
            "key count {pairs} is impossible in a file of {size} bytes"
        ));
    }
    Ok((tensors, pairs))
}

/// What people hand over by mistake.
fn known_other(bytes: &[u8]) -> Option<&'static str> {
    let table: [(&[u8], &str); 7] = [
        (b"FUGG", "an old GGML file"),
        (b"tjgg", "an old GGML file"),
        (b"lmgg", "an old GGML file"),
        (b"ggjt", "an old GGML file"),
        (
            b"version https://git-lfs",
            "a Git LFS pointer, not the model; fetch it with 'git lfs pull'",
        ),
        (b"{", "it looks like JSON"),
        (
            b"<",
            "it looks like HTML or XML, perhaps an error page that was saved",
        ),
    ];
    table
        .iter()
        .find(|(start, _)| bytes.starts_with(start))
        .map(|(_, what)| *what)
}

fn read_metadata(c: &mut Cursor<'_>, count: u64) -> Result<Metadata> {
    let mut metadata = Metadata::default();
    for _ in 0..count {
        let key = c.identifier("key", KEY_LIMIT)?;
        let kind = c.u32()?;
        let value = value(c, &key, kind)?;
        if !metadata.insert(key.clone(), value) {
            return c.wrong(format!("key '{key}' occurs twice"));
        }
    }
    if let Some(value) = metadata.get("general.architecture")
        && !matches!(value, Value::String(_))
    {
        return c.wrong("key 'general.architecture' is not a string");
    }
    match metadata.integer("general.quantization_version") {
        None | Some(2) => Ok(metadata),
        Some(v) => c.wrong(format!(
            "quantization version {v} is not supported, only 2; convert the model again"
        )),
    }
}

fn value(c: &mut Cursor<'_>, key: &str, kind: u32) -> Result<Value> {
    Ok(match kind {
        0 => Value::U8(u8::from_le_bytes(c.array()?)),
        1 => Value::I8(i8::from_le_bytes(c.array()?)),
        2 => Value::U16(u16::from_le_bytes(c.array()?)),
        3 => Value::I16(i16::from_le_bytes(c.array()?)),
        4 => Value::U32(u32::from_le_bytes(c.array()?)),
        5 => Value::I32(i32::from_le_bytes(c.array()?)),
        6 => Value::F32(f32::from_le_bytes(c.array()?)),
        7 => Value::Bool(c.array::<1>()?[0] != 0),
        8 => Value::String(c.string(key, STRING_LIMIT)?.into()),
        9 => Value::Array(array(c, key)?),
        10 => Value::U64(u64::from_le_bytes(c.array()?)),
        11 => Value::I64(i64::from_le_bytes(c.array()?)),
        12 => Value::F64(f64::from_le_bytes(c.array()?)),
        other => return c.wrong(format!("key '{key}' has unknown value type {other}")),
    })
}

fn array(c: &mut Cursor<'_>, key: &str) -> Result<Array> {
    let (kind, count) = (c.u32()?, c.u64()?);
    let size = match kind {
        0 | 1 | 7 => 1,
        2 | 3 => 2,
        4..=6 => 4,
        8 | 10..=12 => 8,
        9 => return c.wrong(format!("key '{key}': nested arrays are not supported")),
        other => return c.wrong(format!("key '{key}' has unknown element type {other}")),
    };
    let needed = count
        .checked_mul(size)
        .filter(|n| count <= ARRAY_LIMIT && *n <= c.left());
    let Some(needed) = needed else {
        return c.wrong(format!(
            "key '{key}' claims {count} elements of at least {size} bytes, {} bytes are left",
            c.left()
        ));
    };
    if kind == 8 {
        let strings = (0..count).map(|_| c.string(key, STRING_LIMIT).map(Text::from));
        return Ok(Array::String(strings.collect::<Result<_>>()?));
    }
    let bytes = c.take(needed)?;
    macro_rules! values {
        ($variant:ident, $ty:ty) => {
            Array::$variant(
                bytes
                    .as_chunks::<{ size_of::<$ty>() }>()
                    .0
                    .iter()
                    .map(|b| <$ty>::from_le_bytes(*b))
                    .collect(),
            )
        };
    }
    Ok(match kind {
        0 => values!(U8, u8),
        1 => values!(I8, i8),
        2 => values!(U16, u16),
        3 => values!(I16, i16),
        4 => values!(U32, u32),
        5 => values!(I32, i32),
        6 => values!(F32, f32),
        7 => Array::Bool(bytes.iter().map(|b| *b != 0).collect()),
        10 => values!(U64, u64),
        11 => values!(I64, i64),
        _ => values!(F64, f64),
    })
}

struct Info {
    name: String,
    /// Innermost first, as the file has it.
    sizes: Vec<u64>,
    block: BlockType,
    offset: u64,
    bytes: u64,
}

fn tensor_info(c: &mut Cursor<'_>) -> Result<Info> {
    let name = c.identifier("tensor name", NAME_LIMIT)?;
    let dimensions = c.u32()?;
    if dimensions > 4 {
        return c.wrong(format!(
            "tensor '{name}' has {dimensions} dimensions, at most 4 are possible"
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

fn unknown_type(id: u32) -> &'static str {
    match id {
        4 | 5 => "Q4_2 and Q4_3 were removed from GGUF; quantise the model again",
        9 => "Q8_1 is for activations and no type of weights",
        31..=33 => "repacked Q4_0 was removed from GGUF; use Q4_0",
        36..=38 => "repacked IQ4_NL was removed from GGUF; use IQ4_NL",
        97.. => "this file needs ik_llama.cpp",
        _ => "unknown",
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

/// Where the tensors lie in the data section; each inside the file, none over another.
fn place(
    c: &Cursor<'_>,
    bytes: &Bytes,
    metadata: &Metadata,
    infos: Vec<Info>,
) -> Result<Vec<Tensor>> {
    let alignment = match metadata.get("general.alignment") {
        None => 32,
        Some(Value::U32(n)) if n.is_power_of_two() && u64::from(*n) <= ALIGNMENT_LIMIT => {
            u64::from(*n)
        }
        Some(other) => return c.wrong(format!(
            "general.alignment is {other:?}, expected a U32 power of two up to {ALIGNMENT_LIMIT}"
        )),
    };
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
