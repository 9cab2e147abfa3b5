//! What a GGUF file says of itself.

use std::collections::HashMap;

/// A value of GGUF metadata.
#[derive(Clone, Debug, PartialEq)]
#[allow(
    missing_docs,
    reason = "each variant is the GGUF value type of that name"
)]
pub enum Value {
    U8(u8),
    I8(i8),
    U16(u16),
    I16(i16),
    U32(u32),
    I32(i32),
    U64(u64),
    I64(i64),
    F32(f32),
    F64(f64),
    Bool(bool),
    String(Text),
    Array(Array),
}

/// An array of GGUF metadata. Strings stay bytes: vocabularies hold pieces that are not UTF-8.
#[derive(Clone, Debug, PartialEq)]
#[allow(
    missing_docs,
    reason = "each variant is the GGUF value type of that name"
)]
pub enum Array {
    U8(Vec<u8>),
    I8(Vec<i8>),
    U16(Vec<u16>),
    I16(Vec<i16>),
    U32(Vec<u32>),
    I32(Vec<i32>),
    U64(Vec<u64>),
    I64(Vec<i64>),
    F32(Vec<f32>),
    F64(Vec<f64>),
    Bool(Vec<bool>),
    String(Vec<Text>),
}

/// A string of a file, kept as bytes.
pub type Text = Box<[u8]>;

impl Value {
    /// The value as an integer, whatever its width.
    pub fn integer(&self) -> Option<i128> {
        Some(match self {
            Self::U8(n) => i128::from(*n),
            Self::I8(n) => i128::from(*n),
            Self::U16(n) => i128::from(*n),
            Self::I16(n) => i128::from(*n),
            Self::U32(n) => i128::from(*n),
            Self::I32(n) => i128::from(*n),
            Self::U64(n) => i128::from(*n),
            Self::I64(n) => i128::from(*n),
            _ => return None,
        })
    }

    /// GGUF's name of the value's type.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::U8(_) => "UINT8",
            Self::I8(_) => "INT8",
            Self::U16(_) => "UINT16",
            Self::I16(_) => "INT16",
            Self::U32(_) => "UINT32",
            Self::I32(_) => "INT32",
            Self::U64(_) => "UINT64",
            Self::I64(_) => "INT64",
            Self::F32(_) => "FLOAT32",
            Self::F64(_) => "FLOAT64",
            Self::Bool(_) => "BOOL",
            Self::String(_) => "STRING",
            Self::Array(_) => "ARRAY",
        }
    }

    /// The value as text, where it is UTF-8.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::String(bytes) => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }
}

/// For messages: a number as it is, anything longer by its kind.
impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::F32(n) => write!(f, "{n} (F32)"),
            Self::F64(n) => write!(f, "{n} (F64)"),
            Self::Bool(b) => write!(f, "{b} (BOOL)"),
            other => match other.integer() {
                Some(n) => write!(f, "{n} ({})", other.kind()),
                None => write!(f, "of type {}", other.kind()),
            },
        }
    }
}

/// Keys and values in the order of the file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metadata {
    entries: Vec<(String, Value)>,
    index: HashMap<String, usize>,
}

impl Metadata {
    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.index.get(key).map(|&i| &self.entries[i].1)
    }

    /// Appends a key; `false` where it is there already, and nothing changes.
    pub fn insert(&mut self, key: String, value: Value) -> bool {
        if self.index.contains_key(&key) {
            return false;
        }
        self.index.insert(key.clone(), self.entries.len());
        self.entries.push((key, value));
        true
    }

    /// A non-negative integer of any width.
    pub fn integer(&self, key: &str) -> Option<u64> {
        self.get(key)?.integer()?.try_into().ok()
    }

    /// A number.
    pub fn float(&self, key: &str) -> Option<f64> {
        match self.get(key)? {
            Value::F32(n) => Some(f64::from(*n)),
            Value::F64(n) => Some(*n),
            other => other.integer().map(|n| n as f64),
        }
    }

    /// A truth value.
    pub fn bool(&self, key: &str) -> Option<bool> {
        match self.get(key)? {
            Value::Bool(b) => Some(*b),
            _ => None,
        }
    }

    /// A text, where it is UTF-8.
    pub fn string(&self, key: &str) -> Option<&str> {
        self.get(key)?.text()
    }

    /// An array of strings.
    pub fn strings(&self, key: &str) -> Option<&[Text]> {
        match self.get(key)? {
            Value::Array(Array::String(list)) => Some(list),
            _ => None,
        }
    }

    /// An array of F32.
    pub fn floats(&self, key: &str) -> Option<&[f32]> {
        match self.get(key)? {
            Value::Array(Array::F32(list)) => Some(list),
            _ => None,
        }
    }

    /// An array of truth values.
    pub fn bools(&self, key: &str) -> Option<&[bool]> {
        match self.get(key)? {
            Value::Array(Array::Bool(list)) => Some(list),
            _ => None,
        }
    }

    /// An array of integers of any width that fit.
    pub fn integers(&self, key: &str) -> Option<Vec<i64>> {
        let Value::Array(array) = self.get(key)? else {
            return None;
        };
        Some(match array {
            Array::U8(l) => l.iter().map(|n| i64::from(*n)).collect(),
            Array::I8(l) => l.iter().map(|n| i64::from(*n)).collect(),
            Array::U16(l) => l.iter().map(|n| i64::from(*n)).collect(),
            Array::I16(l) => l.iter().map(|n| i64::from(*n)).collect(),
            Array::U32(l) => l.iter().map(|n| i64::from(*n)).collect(),
            Array::I32(l) => l.iter().map(|n| i64::from(*n)).collect(),
            Array::U64(l) => l
                .iter()
                .map(|n| i64::try_from(*n).ok())
                .collect::<Option<_>>()?,
            Array::I64(l) => l.clone(),
            _ => return None,
        })
    }

    /// Number of keys.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are no keys.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// All keys and values, in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.entries
            .iter()
            .map(|(key, value)| (key.as_str(), value))
    }
}
