//! Writes GGUF version 3 in the strict form: tensors back to back in the order of their infos.

use std::io::{self, Write};

use crate::{Array, BlockType, Metadata, Value};

/// Collects what goes into a file and writes it in one pass.
pub struct GgufWriter {
    metadata: Metadata,
    tensors: Vec<(String, Vec<usize>, BlockType, Vec<u8>)>,
}

impl GgufWriter {
    /// A file with this metadata and no tensors yet.
    pub fn new(metadata: Metadata) -> Self {
        Self {
            metadata,
            tensors: Vec::new(),
        }
    }

    /// Adds a tensor; `shape` is outermost first.
    ///
    /// # Errors
    /// When `bytes` is not as long as shape and type say, or the name is not usable.
    pub fn tensor(
        &mut self,
        name: &str,
        shape: &[usize],
        block: BlockType,
        bytes: Vec<u8>,
    ) -> io::Result<()> {
        let invalid = |text: String| Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        let columns = shape.last().copied().unwrap_or(1);
        let rows: usize = shape.iter().rev().skip(1).product();
        let expected = rows * block.row_bytes(columns);
        if !columns.is_multiple_of(block.block_len()) || bytes.len() != expected {
            return invalid(format!(
                "tensor '{name}' of {shape:?} {} takes {expected} bytes, got {}",
                block.name(),
                bytes.len()
            ));
        }
        if name.is_empty()
            || name.len() > 63
            || shape.len() > 4
            || self.tensors.iter().any(|t| t.0 == name)
        {
            return invalid(format!(
                "tensor '{name}': the name must be new and of 1 to 63 bytes, with at most 4 dimensions"
            ));
        }
        self.tensors
            .push((name.to_owned(), shape.to_vec(), block, bytes));
        Ok(())
    }

    /// Writes the file.
    ///
    /// # Errors
    /// Whatever the sink reports.
    pub fn write(&self, mut out: impl Write) -> io::Result<()> {
        let alignment = self.metadata.integer("general.alignment").unwrap_or(32);
        let mut head = Vec::new();
        head.extend(b"GGUF");
        head.extend(3u32.to_le_bytes());
        head.extend((self.tensors.len() as u64).to_le_bytes());
        head.extend((self.metadata.iter().count() as u64).to_le_bytes());
        for (key, value) in self.metadata.iter() {
            string(&mut head, key.as_bytes());
            push_value(&mut head, value);
        }
        let mut offset = 0u64;
        for (name, shape, block, bytes) in &self.tensors {
            string(&mut head, name.as_bytes());
            head.extend((shape.len() as u32).to_le_bytes());
            shape
                .iter()
                .rev()
                .for_each(|n| head.extend((*n as u64).to_le_bytes()));
            head.extend(block.gguf_id().to_le_bytes());
            head.extend(offset.to_le_bytes());
            offset += (bytes.len() as u64).next_multiple_of(alignment);
        }
        pad(&mut head, alignment);
        out.write_all(&head)?;
        for (.., bytes) in &self.tensors {
            out.write_all(bytes)?;
            let padding = (bytes.len() as u64).next_multiple_of(alignment) - bytes.len() as u64;
            out.write_all(&vec![0; padding as usize])?;
        }
        out.flush()
    }
}

fn pad(bytes: &mut Vec<u8>, alignment: u64) {
    bytes.resize((bytes.len() as u64).next_multiple_of(alignment) as usize, 0);
}

fn string(out: &mut Vec<u8>, text: &[u8]) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text);
}

fn push_value(out: &mut Vec<u8>, value: &Value) {
    macro_rules! scalar {
        ($id:literal, $n:expr) => {{
            out.extend(($id as u32).to_le_bytes());
            out.extend($n.to_le_bytes());
        }};
    }
    match value {
        Value::U8(n) => scalar!(0, n),
        Value::I8(n) => scalar!(1, n),
        Value::U16(n) => scalar!(2, n),
        Value::I16(n) => scalar!(3, n),
        Value::U32(n) => scalar!(4, n),
        Value::I32(n) => scalar!(5, n),
        Value::F32(n) => scalar!(6, n),
        Value::Bool(b) => scalar!(7, u8::from(*b)),
        Value::U64(n) => scalar!(10, n),
        Value::I64(n) => scalar!(11, n),
        Value::F64(n) => scalar!(12, n),
        Value::String(text) => {
            out.extend(8u32.to_le_bytes());
            string(out, text);
        }
        Value::Array(array) => {
            out.extend(9u32.to_le_bytes());
            push_array(out, array);
        }
    }
}

fn push_array(out: &mut Vec<u8>, array: &Array) {
    macro_rules! list {
        ($id:literal, $list:expr) => {{
            out.extend(($id as u32).to_le_bytes());
            out.extend(($list.len() as u64).to_le_bytes());
            $list.iter().for_each(|n| out.extend(n.to_le_bytes()));
        }};
    }
    match array {
        Array::U8(l) => list!(0, l),
        Array::I8(l) => list!(1, l),
        Array::U16(l) => list!(2, l),
        Array::I16(l) => list!(3, l),
        Array::U32(l) => list!(4, l),
        Array::I32(l) => list!(5, l),
        Array::F32(l) => list!(6, l),
        Array::Bool(l) => list!(7, l.iter().map(|b| u8::from(*b)).collect::<Vec<_>>()),
        Array::U64(l) => list!(10, l),
        Array::I64(l) => list!(11, l),
        Array::F64(l) => list!(12, l),
        Array::String(l) => {
            out.extend(8u32.to_le_bytes());
            out.extend((l.len() as u64).to_le_bytes());
            l.iter().for_each(|text| string(out, text));
        }
    }
}
