//! Writes GGUF version 3 in the strict form: tensors back to back in the order of their infos, each padded.

use std::{
    collections::HashSet,
    io::{self, Write},
};

use crate::{
    Array, BlockType, Metadata, Value,
    gguf::{DIMENSION_LIMIT, KEY_LIMIT, alignment},
};

/// llama.cpp's limit on a tensor's name, in bytes.
const NAME_LIMIT: usize = 63;

/// The head of a file to be: its metadata, and which tensors follow.
///
/// Tensors are announced first and streamed after, so that a file larger than the memory can be written:
///
/// ```
/// use hearth_format::{BlockType, GgufWriter, Metadata};
/// let mut writer = GgufWriter::new(Metadata::default())?;
/// writer.tensor("scale", &[2], BlockType::F32)?;
/// let mut body = writer.start(Vec::new())?;
/// body.write(&1f32.to_le_bytes())?;
/// body.write(&2f32.to_le_bytes())?;
/// let file: Vec<u8> = body.finish()?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct GgufWriter {
    metadata: Metadata,
    alignment: u64,
    tensors: Vec<Planned>,
    names: HashSet<String>,
}

#[derive(Debug)]
struct Planned {
    name: String,
    /// Outermost first.
    shape: Vec<usize>,
    block: BlockType,
    bytes: u64,
}

fn invalid<T>(problem: String) -> io::Result<T> {
    Err(io::Error::new(io::ErrorKind::InvalidInput, problem))
}

impl GgufWriter {
    /// A file with this metadata and no tensors yet.
    ///
    /// # Errors
    /// When a reader would refuse the metadata: a key that is empty, too long or holds a NUL byte, an
    /// alignment that is no power of two.
    pub fn new(metadata: Metadata) -> io::Result<Self> {
        for (key, _) in metadata.iter() {
            if key.is_empty() || key.len() as u64 > KEY_LIMIT || key.contains('\0') {
                return invalid(format!(
                    "key {key:?}: expected 1 to {KEY_LIMIT} bytes without NUL"
                ));
            }
        }
        Ok(Self {
            alignment: alignment(&metadata).or_else(invalid)?,
            metadata,
            tensors: Vec::new(),
            names: HashSet::new(),
        })
    }

    /// Announces the next tensor; `shape` is outermost first.
    ///
    /// # Errors
    /// When the name is taken or not of 1 to 63 bytes, there are more than 4 sizes, one of them is 0, they
    /// overflow, or a row is not made of whole blocks.
    pub fn tensor(&mut self, name: &str, shape: &[usize], block: BlockType) -> io::Result<()> {
        if name.is_empty() || name.len() > NAME_LIMIT || name.contains('\0') {
            return invalid(format!(
                "tensor {name:?}: expected a name of 1 to {NAME_LIMIT} bytes without NUL"
            ));
        }
        let columns = shape.last().copied().unwrap_or(1);
        let bytes = shape
            .iter()
            .try_fold(1u64, |n, size| n.checked_mul(*size as u64))
            .map(|values| values / block.block_len() as u64)
            .and_then(|blocks| blocks.checked_mul(block.block_bytes() as u64))
            .filter(|bytes| (1..=i64::MAX as u64).contains(bytes))
            .filter(|_| shape.len() <= DIMENSION_LIMIT as usize)
            .filter(|_| columns.is_multiple_of(block.block_len()));
        let Some(bytes) = bytes else {
            return invalid(format!(
                "tensor '{name}': {shape:?} is no shape of {}: at most {DIMENSION_LIMIT} sizes, none 0, rows of whole blocks of {}",
                block.name(),
                block.block_len()
            ));
        };
        if !self.names.insert(name.to_owned()) {
            return invalid(format!("tensor '{name}' occurs twice"));
        }
        self.tensors.push(Planned {
            name: name.to_owned(),
            shape: shape.to_vec(),
            block,
            bytes,
        });
        Ok(())
    }

    /// Writes the head; the tensors' bytes follow in the order in which they were announced.
    ///
    /// # Errors
    /// Whatever the sink reports.
    pub fn start<W: Write>(self, mut out: W) -> io::Result<GgufBody<W>> {
        let mut head = b"GGUF".to_vec();
        head.extend(3u32.to_le_bytes());
        head.extend((self.tensors.len() as u64).to_le_bytes());
        head.extend((self.metadata.len() as u64).to_le_bytes());
        for (key, value) in self.metadata.iter() {
            string(&mut head, key.as_bytes());
            push_value(&mut head, value);
        }
        let mut offset = 0u64;
        for tensor in &self.tensors {
            string(&mut head, tensor.name.as_bytes());
            head.extend((tensor.shape.len() as u32).to_le_bytes());
            for size in tensor.shape.iter().rev() {
                head.extend((*size as u64).to_le_bytes());
            }
            head.extend(tensor.block.gguf_id().to_le_bytes());
            head.extend(offset.to_le_bytes());
            offset = tensor
                .bytes
                .checked_next_multiple_of(self.alignment)
                .and_then(|padded| offset.checked_add(padded))
                .ok_or_else(|| io::Error::other("the tensors together exceed 2^64 bytes"))?;
        }
        let len = (head.len() as u64).next_multiple_of(self.alignment);
        out.write_all(&head)?;
        pad(&mut out, len - head.len() as u64)?;
        Ok(GgufBody {
            left: self.tensors.first().map_or(0, |t| t.bytes),
            tensors: self.tensors,
            alignment: self.alignment,
            current: 0,
            out,
        })
    }
}

/// The data section while it is written.
#[derive(Debug)]
pub struct GgufBody<W> {
    out: W,
    alignment: u64,
    tensors: Vec<Planned>,
    current: usize,
    /// Bytes that the current tensor still needs.
    left: u64,
}

impl<W: Write> GgufBody<W> {
    /// Writes the next bytes of the current tensor: all, some rows, any part. The next one begins when it is
    /// complete.
    ///
    /// # Errors
    /// When there are more bytes than the current tensor takes, or the sink reports something.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Some(tensor) = self.tensors.get(self.current) else {
            return invalid(format!("{} bytes after the last tensor", bytes.len()));
        };
        let Some(left) = self.left.checked_sub(bytes.len() as u64) else {
            return invalid(format!(
                "tensor '{}' of {:?} {} takes {} more bytes, got {}",
                tensor.name,
                tensor.shape,
                tensor.block.name(),
                self.left,
                bytes.len()
            ));
        };
        self.out.write_all(bytes)?;
        self.left = left;
        if left == 0 {
            let padded = tensor.bytes.next_multiple_of(self.alignment);
            pad(&mut self.out, padded - tensor.bytes)?;
            self.current += 1;
            self.left = self.tensors.get(self.current).map_or(0, |t| t.bytes);
        }
        Ok(())
    }

    /// Ends the file and gives the sink back.
    ///
    /// # Errors
    /// When bytes are missing, or the sink reports something.
    pub fn finish(mut self) -> io::Result<W> {
        if let Some(tensor) = self.tensors.get(self.current) {
            return invalid(format!(
                "tensor '{}' still needs {} bytes",
                tensor.name, self.left
            ));
        }
        self.out.flush()?;
        Ok(self.out)
    }
}

fn pad(out: &mut impl Write, bytes: u64) -> io::Result<()> {
    io::copy(&mut io::Read::take(io::repeat(0), bytes), out).map(drop)
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
