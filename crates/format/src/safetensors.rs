//! safetensors files: a JSON header, then the arrays back to back (format notes 1.7).

use std::collections::HashMap;

use serde::de::{self, Deserializer, MapAccess, Visitor};

use crate::{BlockType, Bytes, Error, Result, Storage, Tensor};

/// Longest header: the reference library's limit.
const HEADER_LIMIT: u64 = 100_000_000;

/// One safetensors file.
#[derive(Debug)]
pub struct SafeTensors {
    tensors: Vec<Tensor>,
    index: HashMap<String, usize>,
}

#[derive(serde::Deserialize)]
struct Entry {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: (u64, u64),
}

/// The header's tensors; a name that occurs twice is an error, since readers disagree on which one counts.
struct Header(Vec<(String, Entry)>);

impl<'de> de::Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Header;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object of tensors")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
                let mut entries = Vec::new();
                let mut seen = std::collections::HashSet::new();
                while let Some(name) = map.next_key::<String>()? {
                    if !seen.insert(name.clone()) {
                        return Err(de::Error::custom(format!("'{name}' occurs twice")));
                    }
                    if name == "__metadata__" {
                        map.next_value::<HashMap<String, String>>()?;
                    } else {
                        entries.push((name, map.next_value()?));
                    }
                }
                Ok(Header(entries))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

impl SafeTensors {
    /// Reads a file that is mapped already; `label` names it in messages.
    ///
    /// # Errors
    /// When the bytes break a rule of the format, or a tensor has a type that hearth does not read.
    pub fn from_bytes(bytes: Bytes, label: &str) -> Result<Self> {
        let wrong = |problem: String| Error::invalid(label, problem);
        let size = bytes.len() as u64;
        let Some(length) = bytes.first_chunk::<8>() else {
            return Err(wrong(format!("not a safetensors file: only {size} bytes")));
        };
        let length = u64::from_le_bytes(*length);
        if length > HEADER_LIMIT || length > size - 8 {
            return Err(wrong(format!(
                "not a safetensors file: a header of {length} bytes in a file of {size}"
            )));
        }
        let start = 8 + length;
        let header: Header = serde_json::from_slice(&bytes[8..start as usize])
            .map_err(|e| wrong(format!("the header is not valid: {e}")))?;
        let mut entries = header.0;
        entries.sort_by_key(|(_, entry)| entry.data_offsets);
        let mut at = 0;
        let mut file = Self {
            tensors: Vec::with_capacity(entries.len()),
            index: HashMap::with_capacity(entries.len()),
        };
        for (name, entry) in entries {
            let (begin, end) = entry.data_offsets;
            if begin != at || end < begin || end > size - start {
                return Err(wrong(format!(
                    "tensor '{name}' lies at {begin}..{end}, expected to begin at {at} and end by {}",
                    size - start
                )));
            }
            at = end;
            let view = bytes
                .slice((start + begin) as usize, (end - begin) as usize)
                .expect("the range was just checked");
            let tensor = tensor(label, name, &entry, view)?;
            file.index.insert(tensor.name.clone(), file.tensors.len());
            file.tensors.push(tensor);
        }
        if at != size - start {
            return Err(wrong(format!(
                "the tensors end at {at}, the data at {}: the file is incomplete or damaged",
                size - start
            )));
        }
        Ok(file)
    }

    /// All tensors, in the order of their data.
    pub fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }

    /// The tensor of a name.
    pub fn tensor(&self, name: &str) -> Option<&Tensor> {
        self.index.get(name).map(|&i| &self.tensors[i])
    }

    /// Gives the tensors away.
    pub fn into_tensors(self) -> Vec<Tensor> {
        self.tensors
    }
}

fn tensor(label: &str, name: String, entry: &Entry, bytes: Bytes) -> Result<Tensor> {
    let (block, width) = element(&entry.dtype).ok_or_else(|| {
        Error::invalid(
            label,
            format!(
                "tensor '{name}' has type {}, which hearth does not read",
                entry.dtype
            ),
        )
    })?;
    // A size of 0 must not hide others whose product overflows.
    let possible = |sizes: &[u64]| {
        let product = sizes
            .iter()
            .try_fold(width, |n, s| n.checked_mul((*s).max(1)));
        product.is_some_and(|n| n <= isize::MAX as u64)
    };
    if !possible(&entry.shape) {
        return Err(Error::invalid(
            label,
            format!("tensor '{name}' has impossible sizes {:?}", entry.shape),
        ));
    }
    let shape: Vec<usize> = entry.shape.iter().map(|n| *n as usize).collect();
    if shape.iter().product::<usize>() * width as usize != bytes.len() {
        return Err(Error::invalid(
            label,
            format!(
                "tensor '{name}' of {shape:?} {} does not take {} bytes",
                entry.dtype,
                bytes.len()
            ),
        ));
    }
    Ok(Tensor {
        name,
        shape,
        storage: Storage::Blocks { block, bytes },
    })
}

/// The type and bytes of an element. Unsigned types are kept as the signed type of their width: they carry codes,
/// and whoever reads them knows.
fn element(dtype: &str) -> Option<(BlockType, u64)> {
    let block = match dtype {
        "F32" => BlockType::F32,
        "F16" => BlockType::F16,
        "BF16" => BlockType::BF16,
        "F64" => BlockType::F64,
        "I8" | "U8" | "BOOL" => BlockType::I8,
        "I16" | "U16" => BlockType::I16,
        "I32" | "U32" => BlockType::I32,
        "I64" | "U64" => BlockType::I64,
        _ => return None,
    };
    Some((block, block.block_bytes() as u64))
}
