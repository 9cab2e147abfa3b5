//! How many patterns one string must fit.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::normalise::{DEEPEST, bounded};
use crate::Result;

/// Patterns and formats that one string must fit at once.
const MOST_AT_ONCE: usize = 4;

/// Counts the patterns that apply to one string together.
pub(super) struct AtOnce<'a> {
    definitions: &'a Map<String, Value>,
    /// By reference; while one is being counted, none.
    known: HashMap<&'a str, usize>,
}

impl<'a> AtOnce<'a> {
    /// Refuses definitions of which one asks for too many.
    pub(super) fn check(definitions: &'a Map<String, Value>) -> Result<()> {
        let mut counter = Self {
            definitions,
            known: HashMap::new(),
        };
        let mut pending: Vec<&Value> = definitions.values().collect();
        while let Some(value) = pending.pop() {
            let found = counter.count(value, 0);
            bounded("patterns for one string", found, MOST_AT_ONCE)?;
            match value {
                Value::Object(map) => pending.extend(map.values()),
                Value::Array(list) => pending.extend(list),
                _ => {}
            }
        }
        Ok(())
    }

    fn count(&mut self, value: &'a Value, depth: usize) -> usize {
        let Value::Object(map) = value else {
            return 0;
        };
        let mut sum = 0_usize;
        for (key, value) in map {
            sum = sum.saturating_add(match (key.as_str(), value) {
                ("pattern" | "format", Value::String(_)) => 1,
                ("$ref", Value::String(reference)) if depth < DEEPEST => {
                    self.reference(reference, depth + 1)
                }
                ("allOf", Value::Array(list)) => {
                    let counts = list.iter().map(|value| self.count(value, depth + 1));
                    counts.fold(0, usize::saturating_add)
                }
                ("anyOf" | "oneOf", Value::Array(list)) => {
                    let counts = list.iter().map(|value| self.count(value, depth + 1));
                    counts.max().unwrap_or(0)
                }
                _ => 0,
            });
        }
        sum
    }

    fn reference(&mut self, reference: &'a str, depth: usize) -> usize {
        if let Some(&known) = self.known.get(reference) {
            return known;
        }
        self.known.insert(reference, 0);
        let number = reference.rsplit('/').next().unwrap_or_default();
        let target = self.definitions.get(number);
        let found = target.map_or(0, |target| self.count(target, depth));
        self.known.insert(reference, found);
        found
    }
}
