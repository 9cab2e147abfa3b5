//! Lists and mappings that know their own weight and depth.
//!
//! The engine's own containers may be lazy and may be nested without bound, which overflows the
//! stack when they are dropped or printed. Here every container is one of these two types, and
//! its elements are frozen: a list can be changed (`append`, as Kimi's templates do) only as long
//! as a variable or namespace holds it directly. So depth and weight are known when a container
//! is made, and there are no cycles.

use std::sync::{Arc, PoisonError, RwLock};

use indexmap::IndexMap;
use minijinja::value::{Enumerator, Object, ObjectRepr};
use minijinja::{Error, ErrorKind, State, Value};

use super::budget::{MAX_DEPTH, MAX_VALUE, Stop, charge, charge_new};

/// What a value counts for beyond its text.
pub(crate) const NODE: u64 = 64;

/// How deep a value is, and what it weighs in bytes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Shape {
    pub(crate) depth: u32,
    pub(crate) weight: u64,
}

impl Shape {
    const EMPTY: Self = Self {
        depth: 1,
        weight: NODE,
    };

    fn of(value: &Value) -> Self {
        if let Some(list) = value.downcast_object_ref::<List>() {
            return list.frozen.unwrap_or_else(|| list.measure());
        }
        if let Some(dict) = value.downcast_object_ref::<Dict>() {
            return dict.shape;
        }
        let len = match value.as_str() {
            Some(text) => text.len(),
            None => value.len().unwrap_or(0).saturating_mul(NODE as usize),
        };
        Self {
            depth: 0,
            weight: NODE + len as u64,
        }
    }

    fn add(&mut self, child: &Value) {
        let child = Self::of(child);
        self.depth = self.depth.max(child.depth + 1);
        self.weight = self.weight.saturating_add(child.weight);
    }

    fn check(self) -> Result<Self, Error> {
        if self.depth > MAX_DEPTH {
            return Err(Stop::limit(format!(
                "it nests values deeper than {MAX_DEPTH}"
            )));
        }
        if self.weight > MAX_VALUE {
            return Err(Stop::limit(format!(
                "it makes a value of more than {} MiB",
                MAX_VALUE >> 20
            )));
        }
        Ok(self)
    }
}

/// What it costs to walk through `value` once.
pub(crate) fn weight(value: &Value) -> u64 {
    Shape::of(value).weight
}

/// A Python list.
#[derive(Debug)]
pub(crate) struct List {
    items: RwLock<Vec<Value>>,
    frozen: Option<Shape>,
}

impl List {
    fn measure(&self) -> Shape {
        self.with(|items| {
            items.iter().fold(Shape::EMPTY, |mut shape, item| {
                shape.add(item);
                shape
            })
        })
    }

    fn with<T>(&self, run: impl FnOnce(&Vec<Value>) -> T) -> T {
        run(&self.items.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes the list in place; refused while another container holds it.
    pub(crate) fn change<T>(&self, run: impl FnOnce(&mut Vec<Value>) -> T) -> Result<T, Error> {
        if self.frozen.is_some() {
            return Err(Error::new(
                ErrorKind::InvalidOperation,
                "a list inside another value cannot be changed",
            ));
        }
        Ok(run(&mut self
            .items
            .write()
            .unwrap_or_else(PoisonError::into_inner)))
    }
}

impl Object for List {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Seq
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let index = key.as_usize()?;
        self.with(|items| items.get(index).cloned())
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Seq(self.with(Vec::len))
    }
}

/// A Python dict.
#[derive(Debug)]
pub(crate) struct Dict {
    pairs: IndexMap<Value, Value>,
    shape: Shape,
}

impl Object for Dict {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Map
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.pairs.get(key).cloned()
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.pairs.keys().cloned().collect())
    }

    fn enumerator_len(self: &Arc<Self>) -> Option<usize> {
        Some(self.pairs.len())
    }
}

/// A new list of values, which may still be changed.
pub(crate) fn list(state: &State, items: impl IntoIterator<Item = Value>) -> Result<Value, Error> {
    let mut kept = Vec::new();
    let mut shape = Shape::EMPTY;
    for item in items {
        charge(state, NODE)?;
        let item = freeze(state, &item)?;
        shape.add(&item);
        shape.check()?;
        kept.push(item);
    }
    Ok(Value::from_object(List {
        items: RwLock::new(kept),
        frozen: None,
    }))
}

/// A new mapping; a later pair replaces an earlier one of the same key, in the earlier's place.
pub(crate) fn dict(
    state: &State,
    pairs: impl IntoIterator<Item = (Value, Value)>,
) -> Result<Value, Error> {
    let mut map = IndexMap::new();
    let mut shape = Shape::EMPTY;
    for (key, value) in pairs {
        charge(state, 2 * NODE)?;
        if key.as_object().is_some() {
            return Err(Error::new(
                ErrorKind::InvalidOperation,
                "the key of a mapping is a string, a number, a boolean or none",
            ));
        }
        let value = freeze(state, &value)?;
        shape.add(&key);
        shape.add(&value);
        shape.check()?;
        map.insert(key, value);
    }
    Ok(Value::from_object(Dict { pairs: map, shape }))
}

/// The value as it may be an element of another: containers that nothing can change.
pub(crate) fn freeze(state: &State, value: &Value) -> Result<Value, Error> {
    Freezer {
        charge: &|weight| charge(state, weight),
    }
    .freeze(value, 0)
}

/// [`freeze`] outside a rendering, for what the caller passes in and for constants.
pub(crate) fn freeze_unmetered(value: &Value) -> Result<Value, Error> {
    Freezer {
        charge: &|_| Ok(()),
    }
    .freeze(value, 0)
}

struct Freezer<'a> {
    charge: &'a dyn Fn(u64) -> Result<(), Error>,
}

impl Freezer<'_> {
    fn freeze(&self, value: &Value, depth: u32) -> Result<Value, Error> {
        let Some(object) = value.as_object() else {
            return Ok(value.clone());
        };
        if depth > MAX_DEPTH {
            return Err(Stop::limit(format!(
                "it nests values deeper than {MAX_DEPTH}"
            )));
        }
        let done = value.downcast_object_ref::<Dict>().is_some()
            || value
                .downcast_object_ref::<List>()
                .is_some_and(|list| list.frozen.is_some());
        if done {
            return Ok(value.clone());
        }
        let mut shape = Shape::EMPTY;
        match object.repr() {
            ObjectRepr::Map => {
                let mut pairs = IndexMap::new();
                for (key, value) in object.try_iter_pairs().into_iter().flatten() {
                    (self.charge)(2 * NODE)?;
                    let value = self.freeze(&value, depth + 1)?;
                    shape.add(&key);
                    shape.add(&value);
                    shape.check()?;
                    pairs.insert(key, value);
                }
                Ok(Value::from_object(Dict { pairs, shape }))
            }
            ObjectRepr::Seq | ObjectRepr::Iterable => {
                let mut items = Vec::new();
                for item in object.try_iter().into_iter().flatten() {
                    (self.charge)(NODE)?;
                    let item = self.freeze(&item, depth + 1)?;
                    shape.add(&item);
                    shape.check()?;
                    items.push(item);
                }
                Ok(Value::from_object(List {
                    items: RwLock::new(items),
                    frozen: Some(shape),
                }))
            }
            _ => Err(Error::new(
                ErrorKind::InvalidOperation,
                "a function or macro cannot be an element of another value",
            )),
        }
    }
}

/// What an operation returned, as one of the types of this module, charged.
pub(crate) fn adopt(state: &State, value: Value) -> Result<Value, Error> {
    if let Some(text) = value.as_str() {
        charge_new(state, text.len() as u64)?;
        return Ok(value);
    }
    let Some(object) = value.as_object() else {
        return Ok(value);
    };
    let own = value.downcast_object_ref::<List>().is_some()
        || value.downcast_object_ref::<Dict>().is_some();
    match object.repr() {
        _ if own || value.is_kwargs() => Ok(value),
        ObjectRepr::Seq | ObjectRepr::Iterable => {
            list(state, object.try_iter().into_iter().flatten())
        }
        ObjectRepr::Map => freeze(state, &value),
        _ => Ok(value),
    }
}

/// A fresh list with the elements of a frozen one, which may be changed; other values as they are.
pub(crate) fn thaw(state: &State, value: &Value) -> Result<Value, Error> {
    match value.downcast_object_ref::<List>() {
        Some(constant) => list(state, constant.with(Clone::clone)),
        None => Ok(value.clone()),
    }
}
