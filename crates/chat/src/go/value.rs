//! The values of a template.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;

/// A string as Go knows it: bytes.
///
/// `len` and `slice` count bytes, so a slice may hold half a character. Halves that meet again in
/// the output are whole there; what is left of the others becomes U+FFFD when the prompt is made.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Text(Arc<[u8]>);

impl Deref for Text {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl Borrow<[u8]> for Text {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl<T: Into<Vec<u8>>> From<T> for Text {
    fn from(bytes: T) -> Self {
        Self(bytes.into().into())
    }
}

#[derive(Debug, Clone)]
pub(super) enum Value {
    /// The result of a pipeline that found nothing; prints as `<no value>`, and so do its fields.
    Missing,
    /// A nil that a mapping or list holds, or would hold under a key it lacks. It becomes
    /// [`Value::Missing`] at the end of a pipeline; reading one of its fields is an error.
    Nil,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Text),
    List(List),
    Map(Arc<Map>),
    Record(Arc<Record>),
}

/// How a value prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// As Go prints such values: `[a b]`, `map[k:v]`, `{a b}`.
    Plain,
    /// As JSON.
    Json,
    /// A list of words: the word itself where there is one, in JSON too.
    Words,
}

/// A part of a list; it can be extended again up to the end of the whole, as in Go.
#[derive(Debug, Clone)]
pub(super) struct List {
    items: Arc<[Value]>,
    start: usize,
    end: usize,
    pub(super) form: Form,
    /// There is no list at all, which differs from an empty one as `null` does in JSON.
    pub(super) nil: bool,
}

impl List {
    pub(super) fn new(items: Vec<Value>, form: Form) -> Self {
        Self {
            start: 0,
            end: items.len(),
            items: items.into(),
            form,
            nil: false,
        }
    }

    /// A list that is nil where it has no items.
    pub(super) fn or_nil(items: Vec<Value>, form: Form) -> Self {
        let nil = items.is_empty();
        Self {
            nil,
            ..Self::new(items, form)
        }
    }

    pub(super) fn items(&self) -> &[Value] {
        &self.items[self.start..self.end]
    }

    /// How far a slice may reach.
    pub(super) fn capacity(&self) -> usize {
        self.items.len() - self.start
    }

    /// The items from `start` to `end`, which are at most [`List::capacity`] and in this order.
    pub(super) fn slice(&self, start: usize, end: usize) -> Self {
        Self {
            items: Arc::clone(&self.items),
            start: self.start + start,
            end: self.start + end,
            form: self.form,
            nil: self.nil,
        }
    }
}

/// Keys and values; a key that is not there has the value nil.
#[derive(Debug)]
pub(super) struct Map {
    pub(super) entries: BTreeMap<Text, Value>,
    pub(super) form: Form,
}

/// A value with a fixed set of fields; reading any other field is an error.
#[derive(Debug)]
pub(super) struct Record {
    /// What errors call it.
    pub(super) kind: &'static str,
    pub(super) fields: Vec<Field>,
    pub(super) form: Form,
}

/// A field of a [`Record`].
#[derive(Debug)]
pub(super) struct Field {
    /// Its name in templates.
    pub(super) name: &'static str,
    /// Its name in JSON.
    pub(super) json: &'static str,
    /// JSON leaves it out where it is empty.
    pub(super) optional: bool,
    pub(super) value: Value,
}

impl Record {
    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        let field = self.fields.iter().find(|field| field.name == name)?;
        Some(&field.value)
    }
}

impl Value {
    pub(super) fn text(text: impl Into<Vec<u8>>) -> Self {
        Self::Text(text.into().into())
    }

    /// What `if` takes for true: what is not zero and not empty; a record always is.
    pub(super) fn is_true(&self) -> bool {
        match self {
            Self::Missing | Self::Nil => false,
            Self::Bool(value) => *value,
            Self::Int(value) => *value != 0,
            Self::Float(value) => *value != 0.0,
            Self::Text(text) => !text.is_empty(),
            Self::List(list) => !list.items().is_empty(),
            Self::Map(map) => !map.entries.is_empty(),
            Self::Record(_) => true,
        }
    }

    pub(super) fn is_nil(&self) -> bool {
        match self {
            Self::Missing | Self::Nil => true,
            Self::List(list) => list.nil,
            _ => false,
        }
    }

    /// The name of its type, for errors and `%T`.
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Self::Missing | Self::Nil => "<nil>",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Float(_) => "float64",
            Self::Text(_) => "string",
            Self::List(_) => "[]interface {}",
            Self::Map(_) => "map[string]interface {}",
            Self::Record(record) => record.kind,
        }
    }

    /// What is left of a value at the end of a pipeline.
    pub(super) fn settle(self) -> Self {
        match self {
            Self::Nil => Self::Missing,
            value => value,
        }
    }
}
