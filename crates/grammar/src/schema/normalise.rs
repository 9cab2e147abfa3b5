//! The rewriting itself.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use super::{
    keywords::{Checked, Keyword, brief},
    references::{Places, child},
};
use crate::{Error, Result};

/// Schemas, and values of `enum` and `const`, in one document.
const MOST_NODES: usize = 20_000;
/// Characters of names and values.
const MOST_TEXT: usize = 1 << 20;
/// Schemas within schemas.
const DEEPEST: usize = 100;
/// Alternatives are compared in pairs to see whether `oneOf` is anyOf; a larger one is taken for it.
const MOST_COMPARED: usize = 200;
/// Where schemas are combined, the engine copies one for each alternative of the other.
const MOST_COPIES: usize = 8_000_000;
/// Schemas in one list: each is tried at every place.
const MOST_CHOICES: usize = 1000;
/// Patterns of names in one schema: each pair is compared.
const MOST_NAME_PATTERNS: usize = 24;
/// Patterns and formats that one string must fit at once.
const MOST_AT_ONCE: usize = 4;
/// More say nothing new.
const MOST_WARNINGS: usize = 100;

/// A schema in the engine's form.
#[derive(Debug)]
pub(crate) struct Normalised {
    pub(crate) schema: Value,
    /// What is not enforced.
    pub(crate) warnings: Vec<String>,
    /// The path of each definition, by its number.
    pub(crate) paths: Vec<String>,
}

pub(crate) fn normalise(schema: &Value) -> Result<Normalised> {
    let mut work = Work {
        places: Places::new(schema),
        definitions: Vec::new(),
        numbers: HashMap::new(),
        warnings: Vec::new(),
        nodes: 0,
        text: 0,
        alternatives: 0,
        combines: false,
    };
    work.number("#".to_owned(), schema, false);
    let mut definitions = Map::new();
    while let Some((path, value, combined)) = work.definitions.get(definitions.len()).cloned() {
        let definition = work.schema(&path, value, Place { depth: 0, combined })?;
        definitions.insert(definitions.len().to_string(), definition);
    }
    work.check_copies()?;
    AtOnce::check(&definitions)?;
    let schema = json!({
        "x-guidance": {
            "whitespace_flexible": false,
            "item_separator": ", ?",
            "key_separator": ": ?",
            "coerce_one_of": true,
            "lenient": true,
        },
        "$ref": "#/$defs/0",
        "$defs": definitions,
    });
    Ok(Normalised {
        schema,
        warnings: work.warnings,
        paths: work
            .definitions
            .into_iter()
            .map(|(path, ..)| path)
            .collect(),
    })
}

/// Where a schema stands.
#[derive(Clone, Copy)]
struct Place {
    /// Schemas around it.
    depth: usize,
    /// What it says of a value is not all that is said: others have properties of their own.
    combined: bool,
}

struct Work<'a> {
    places: Places<'a>,
    /// Referenced schemas, as numbered; those past the finished ones are still to do.
    definitions: Vec<(String, &'a Value, bool)>,
    numbers: HashMap<(*const Value, bool), usize>,
    warnings: Vec<String>,
    nodes: usize,
    text: usize,
    /// Members of `enum`, `anyOf`, `oneOf`, and references.
    alternatives: usize,
    /// Whether any schema is combined with another.
    combines: bool,
}

impl<'a> Work<'a> {
    fn number(&mut self, path: String, value: &'a Value, combined: bool) -> usize {
        let next = self.definitions.len();
        let key = (std::ptr::from_ref(value), combined);
        let number = *self.numbers.entry(key).or_insert(next);
        if number == next {
            self.definitions.push((path, value, combined));
        }
        number
    }

    fn schema(&mut self, path: &str, value: &'a Value, place: Place) -> Result<Value> {
        self.count(1, 0)?;
        bounded("schemas within schemas", place.depth, DEEPEST)?;
        match value {
            Value::Bool(_) => Ok(value.clone()),
            Value::Object(map) => self.object(path, map, place),
            _ => Err(wrong(
                path,
                format!("expected an object or a boolean, found {}", brief(value)),
            )),
        }
    }

    fn object(&mut self, path: &str, map: &'a Map<String, Value>, place: Place) -> Result<Value> {
        let mut out = Map::new();
        // What combines here may speak of one property in several places.
        let inner = Place {
            depth: place.depth + 1,
            combined: place.combined || combines(map),
        };
        for (key, value) in map {
            let at = child(path, key);
            let Some(keyword) = Keyword::of(key) else {
                if !key.starts_with("x-") {
                    self.warn(format!("`{key}` at {path}"));
                }
                continue;
            };
            match keyword {
                Keyword::Silent => {}
                Keyword::Schema => self.put(&mut out, key, &at, value, inner)?,
                Keyword::Items if !value.is_array() => {
                    self.put(&mut out, key, &at, value, inner)?
                }
                Keyword::Items | Keyword::Choices => {
                    let before = self.nodes;
                    let list = self.list(&at, value, inner)?;
                    let key = self.choice(key, path, self.nodes - before);
                    out.insert(key.to_owned(), list);
                }
                Keyword::Map => {
                    let members = self.members(&at, value, inner)?;
                    if key == "patternProperties" {
                        let found = members.as_object().map_or(0, Map::len);
                        bounded("patterns of names in one schema", found, MOST_NAME_PATTERNS)?;
                    }
                    out.insert(key.clone(), members);
                }
                Keyword::Reference => {
                    let reference = self.reference(&at, value, inner.combined)?;
                    out.insert("$ref".to_owned(), reference);
                }
                Keyword::Value(check) => match check.apply(value) {
                    Checked::Kept(kept) => {
                        self.count_value(&kept)?;
                        out.insert(key.clone(), kept);
                    }
                    Checked::Ignored(_) if is_numeric(map) => {}
                    Checked::Ignored(what) => self.warn(format!("{what} at {path}")),
                    Checked::Dropped => {}
                    Checked::Wrong(reason) => return Err(wrong(&at, reason)),
                },
            }
        }
        self.note_combination(&out);
        if !place.combined && is_closed(&out) {
            out.insert("additionalProperties".to_owned(), false.into());
        }
        Ok(match map.get("nullable") {
            Some(Value::Bool(true)) => json!({"anyOf": [out, {"type": "null"}]}),
            _ => Value::Object(out),
        })
    }

    fn put(
        &mut self,
        out: &mut Map<String, Value>,
        key: &str,
        at: &str,
        value: &'a Value,
        place: Place,
    ) -> Result<()> {
        let schema = self.schema(at, value, place)?;
        out.insert(key.to_owned(), schema);
        Ok(())
    }

    fn list(&mut self, at: &str, value: &'a Value, place: Place) -> Result<Value> {
        let list = value.as_array().filter(|list| !list.is_empty());
        let list = list.ok_or_else(|| {
            let found = brief(value);
            wrong(at, format!("expected a list of schemas, found {found}"))
        })?;
        bounded("schemas in one list", list.len(), MOST_CHOICES)?;
        self.alternatives += list.len();
        let schemas = list.iter().enumerate().map(|(index, value)| {
            let at = format!("{at}/{index}");
            self.schema(&at, value, place)
        });
        schemas.collect()
    }

    fn members(&mut self, at: &str, value: &'a Value, place: Place) -> Result<Value> {
        let map = value.as_object().ok_or_else(|| {
            let found = brief(value);
            wrong(at, format!("expected schemas by name, found {found}"))
        })?;
        let mut out = Map::new();
        for (name, value) in map {
            self.count(0, name.len())?;
            let schema = self.schema(&child(at, name), value, place)?;
            out.insert(name.clone(), schema);
        }
        Ok(Value::Object(out))
    }

    fn reference(&mut self, at: &str, value: &'a Value, combined: bool) -> Result<Value> {
        let found = match value.as_str() {
            Some(reference) => self.places.find(reference),
            None => Err(format!("expected a reference, found {}", brief(value))),
        };
        let (path, target) = found.map_err(|reason| wrong(at, reason))?;
        self.alternatives += 1;
        let number = self.number(path, target, combined);
        Ok(format!("#/$defs/{number}").into())
    }

    /// The name under which a list of schemas is passed on.
    fn choice<'k>(&mut self, key: &'k str, path: &str, nodes: usize) -> &'k str {
        if key != "oneOf" || nodes <= MOST_COMPARED {
            return key;
        }
        self.warn(format!(
            "that only one of the {nodes} schemas of `oneOf` at {path} may fit; taken as `anyOf`"
        ));
        "anyOf"
    }

    fn warn(&mut self, what: String) {
        if self.warnings.len() < MOST_WARNINGS {
            self.warnings.push(format!("ignored: {what}"));
        }
    }

    /// Whether the engine intersects what stands in one schema.
    fn note_combination(&mut self, out: &Map<String, Value>) {
        const APPLICATORS: [&str; 6] = ["const", "enum", "allOf", "anyOf", "oneOf", "$ref"];
        let applied = APPLICATORS.iter().filter(|key| out.contains_key(**key));
        let applied = applied.count();
        let all = out.get("allOf").and_then(Value::as_array);
        let nested = |value: &Value| value.is_object() || value.is_array();
        let has_parts = out.iter().any(|(key, value)| {
            !APPLICATORS.contains(&key.as_str()) && key != "type" && nested(value)
        });
        self.combines |=
            applied > 1 || (applied == 1 && has_parts) || all.is_some_and(|all| all.len() > 1);
    }

    fn check_copies(&self) -> Result<()> {
        if !self.combines {
            return Ok(());
        }
        let copies = self.alternatives.saturating_mul(self.nodes);
        bounded(
            "alternatives times schemas where schemas are combined",
            copies,
            MOST_COPIES,
        )
    }

    /// Counts a passed-on value and all in it, without recursion.
    fn count_value(&mut self, value: &Value) -> Result<()> {
        if let Value::Array(list) = value {
            self.alternatives += list.len();
        }
        let mut pending = vec![(value, 0)];
        while let Some((value, depth)) = pending.pop() {
            bounded("values within values", depth, DEEPEST)?;
            self.count(1, value.as_str().map_or(0, str::len))?;
            match value {
                Value::Array(list) => pending.extend(list.iter().map(|value| (value, depth + 1))),
                Value::Object(map) => {
                    for (name, value) in map {
                        self.count(0, name.len())?;
                        pending.push((value, depth + 1));
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn count(&mut self, nodes: usize, text: usize) -> Result<()> {
        self.nodes += nodes;
        self.text += text;
        bounded(
            "schemas and values in the JSON schema",
            self.nodes,
            MOST_NODES,
        )?;
        bounded(
            "bytes of names and values in the JSON schema",
            self.text,
            MOST_TEXT,
        )
    }
}

/// Counts the patterns that apply to one string together.
struct AtOnce<'a> {
    definitions: &'a Map<String, Value>,
    /// By reference; while one is being counted, none.
    known: HashMap<&'a str, usize>,
}

impl<'a> AtOnce<'a> {
    fn check(definitions: &'a Map<String, Value>) -> Result<()> {
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

/// Whether a schema says of one value more than one thing that may name properties.
fn combines(map: &Map<String, Value>) -> bool {
    const NAMES: [&str; 5] = ["properties", "patternProperties", "anyOf", "oneOf", "$ref"];
    let all = map
        .get("allOf")
        .and_then(Value::as_array)
        .map_or(0, Vec::len);
    let others = NAMES.iter().filter(|name| map.contains_key(**name)).count();
    all + others > 1 || map.contains_key("additionalProperties")
}

/// Whether an object has the properties that are listed and no others. JSON Schema allows others where it says nothing
/// of them; who writes a schema for an answer means what is listed, and models that may go on do not stop.
fn is_closed(out: &Map<String, Value>) -> bool {
    const OPEN: [&str; 6] = [
        "additionalProperties",
        "patternProperties",
        "allOf",
        "anyOf",
        "oneOf",
        "$ref",
    ];
    let Some(Value::Object(properties)) = out.get("properties") else {
        return false;
    };
    let required = out.get("required").and_then(Value::as_array);
    let mut required = required.into_iter().flatten().filter_map(Value::as_str);
    let least = out
        .get("minProperties")
        .and_then(Value::as_u64)
        .unwrap_or(0);
    !OPEN.iter().any(|key| out.contains_key(*key))
        && required.all(|name| properties.contains_key(name))
        && least <= properties.len() as u64
}

/// Formats of numbers (`int32`, `double`) say how wide they are stored, which no text shows.
fn is_numeric(map: &Map<String, Value>) -> bool {
    let name = map.get("type").and_then(Value::as_str);
    matches!(name, Some("number" | "integer"))
}

fn wrong(path: &str, reason: String) -> Error {
    Error::Schema {
        path: path.to_owned(),
        reason,
    }
}

fn bounded(what: &'static str, found: usize, limit: usize) -> Result<()> {
    if found <= limit {
        return Ok(());
    }
    Err(Error::TooLarge { what, found, limit })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definitions(schema: &Value) -> Value {
        normalise(schema).unwrap().schema["$defs"].clone()
    }

    #[test]
    fn schemas_are_rewritten() {
        for (schema, expected) in [
            (json!(true), json!({"0": true})),
            (json!({"title": "T", "$schema": "x"}), json!({"0": {}})),
            (
                json!({"type": "string", "nullable": true}),
                json!({"0": {"anyOf": [{"type": "string"}, {"type": "null"}]}}),
            ),
            (
                json!({"properties": {"a": {"$ref": "#"}, "b": {"$ref": "#/definitions/x"}}, "definitions": {"x": {"const": 1}}}),
                json!({"0": {"properties": {"a": {"$ref": "#/$defs/0"}, "b": {"$ref": "#/$defs/1"}}, "additionalProperties": false}, "1": {"const": 1}}),
            ),
            // Of what is said together nobody may exclude the properties of the others.
            (
                json!({"allOf": [{"properties": {"a": {}}}, {"properties": {"b": {"properties": {"c": {}}}}}]}),
                json!({"0": {"allOf": [{"properties": {"a": {}}}, {"properties": {"b": {"properties": {"c": {}}}}}]}}),
            ),
            (
                json!({"properties": {"a": {"$ref": "#/$defs/x"}}, "anyOf": [{"$ref": "#/$defs/x"}], "$defs": {"x": {"properties": {"b": {}}}}}),
                json!({"0": {"properties": {"a": {"$ref": "#/$defs/1"}}, "anyOf": [{"$ref": "#/$defs/1"}]},
                    "1": {"properties": {"b": {}}}}),
            ),
            (
                json!({"anyOf": [{"properties": {"a": {}}}, {"properties": {"b": {}}, "required": ["c"]}]}),
                json!({"0": {"anyOf": [{"properties": {"a": {}}, "additionalProperties": false},
                    {"properties": {"b": {}}, "required": ["c"]}]}}),
            ),
            (
                json!({"type": "array", "items": [{"minLength": 2.0}], "maxItems": 1e9}),
                json!({"0": {"type": "array", "items": [{"minLength": 2}]}}),
            ),
        ] {
            assert_eq!(definitions(&schema), expected, "{schema}");
        }
    }

    #[test]
    fn what_is_not_enforced_is_told_with_its_path() {
        for (schema, expected) in [
            (json!({"not": {}}), "ignored: `not` at #"),
            (
                json!({"properties": {"a/b": {"uniqueItems": true}}}),
                "ignored: `uniqueItems` at #/properties/a~1b",
            ),
            (
                json!({"items": {"format": "color"}}),
                "ignored: format `color` at #/items",
            ),
        ] {
            assert_eq!(normalise(&schema).unwrap().warnings, [expected]);
        }
        for silent in [
            json!({"x-order": 1}),
            json!({"type": "integer", "format": "int32"}),
        ] {
            assert!(normalise(&silent).unwrap().warnings.is_empty(), "{silent}");
        }
        let many: Map<String, Value> = (0..500).map(|n| (format!("k{n}"), json!(1))).collect();
        assert_eq!(
            normalise(&Value::Object(many)).unwrap().warnings.len(),
            MOST_WARNINGS
        );
    }

    #[test]
    fn what_is_wrong_is_told_with_its_path() {
        for (schema, path) in [
            (json!(1), "#"),
            (json!({"properties": {"a": null}}), "#/properties/a"),
            (json!({"properties": []}), "#/properties"),
            (json!({"anyOf": []}), "#/anyOf"),
            (json!({"anyOf": [true, {"type": "int"}]}), "#/anyOf/1/type"),
            (
                json!({"items": {"$ref": "http://example.com/a"}}),
                "#/items/$ref",
            ),
            (
                json!({"$ref": "#/$defs/a", "$defs": {"a": {"pattern": "(?!a)"}}}),
                "#/$defs/a/pattern",
            ),
        ] {
            match normalise(&schema) {
                Err(Error::Schema { path: found, .. }) => assert_eq!(found, path, "{schema}"),
                other => panic!("{schema}: {other:?}"),
            }
        }
    }

    #[test]
    fn size_is_bounded() {
        let deep = (0..200).fold(json!(true), |inner, _| json!({"items": inner}));
        let wide: Map<String, Value> = (0..30_000).map(|n| (n.to_string(), json!(true))).collect();
        let long = "x".repeat(2 << 20);
        let options: Vec<Value> = (0..8000).map(|n| json!(n.to_string())).collect();
        let some: Map<String, Value> = (0..8000).map(|n| (n.to_string(), json!(true))).collect();
        for schema in [
            deep,
            json!({"properties": wide}),
            json!({"enum": [long]}),
            json!({"properties": some, "enum": options}),
        ] {
            assert!(matches!(normalise(&schema), Err(Error::TooLarge { .. })));
        }
    }
}
