//! Keys and values of a GGUF file.

use super::cursor::Cursor;
use crate::{Array, Metadata, Result, Text, Value};

/// Longest string that is read: llama.cpp's limit.
const STRING_LIMIT: u64 = 1 << 30;
/// Most elements of an array: llama.cpp's limit.
const ARRAY_LIMIT: u64 = 1 << 30;
/// The format text's limit.
pub(crate) const KEY_LIMIT: u64 = 65_535;

/// `count` keys with their values, each key once.
pub(super) fn read_metadata(c: &mut Cursor<'_>, count: u64) -> Result<Metadata> {
    let mut metadata = Metadata::default();
    read_pairs(c, count, &mut metadata, |_| true)?;
    Ok(metadata)
}

/// Adds up to `count` keys with their values as long as `wanted` takes the key; those before an error stay.
pub(super) fn read_pairs(
    c: &mut Cursor<'_>,
    count: u64,
    metadata: &mut Metadata,
    wanted: impl Fn(&str) -> bool,
) -> Result<()> {
    for _ in 0..count {
        let key = c.identifier("key", KEY_LIMIT)?;
        if !wanted(&key) {
            break;
        }
        let kind = c.u32()?;
        let value = value(c, &key, kind)?;
        if key == "general.architecture" && !matches!(value, Value::String(_)) {
            return c.wrong("key 'general.architecture' is not a string");
        }
        if !metadata.insert(key.clone(), value) {
            return c.wrong(format!("key '{key}' occurs twice"));
        }
    }
    Ok(())
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
        // Any other byte than 0 is true, as in llama.cpp.
        7 => Value::Bool(c.array::<1>()?[0] != 0),
        8 => Value::String(
            c.string(&format!("text of key '{key}'"), STRING_LIMIT)?
                .into(),
        ),
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
        let what = format!("a text of key '{key}'");
        let strings = (0..count).map(|_| c.string(&what, STRING_LIMIT).map(Text::from));
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
