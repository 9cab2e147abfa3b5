//! The rewriting itself.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value, json};

use super::{
    at_once::AtOnce,
    bounds, definitions, finite,
    keywords::{Checked, Keyword, brief},
    references::{Places, child},
    together::{combines, in_place, is_closed, parts},
};
use crate::{Error, Result};

/// Schemas, and values of `enum` and `const`, in one document.
const MOST_NODES: usize = 20_000;
/// Characters of names and values.
const MOST_TEXT: usize = 1 << 20;
/// Schemas within schemas.
pub(super) const DEEPEST: usize = 100;
/// Alternatives are compared in pairs to see whether `oneOf` is anyOf; a larger one is taken for it.
const MOST_COMPARED: usize = 200;
/// Where schemas are combined, the engine copies one for each alternative of the other.
const MOST_COPIES: usize = 8_000_000;
/// Schemas in one list: each is tried at every place.
const MOST_CHOICES: usize = 1000;
/// Patterns of names in one schema: each pair is compared.
const MOST_NAME_PATTERNS: usize = 24;
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
    let mut work = Work::new(schema, Copies::default());
    let mut definitions = work.rewrite()?;
    if let Some(copies) = work.copies_needed(&definitions) {
        work = Work::new(schema, copies);
        definitions = work.rewrite()?;
    }
    work.check_copies()?;
    AtOnce::check(&definitions)?;
    let paths: Vec<String> = work.definitions.into_iter().map(|it| it.0).collect();
    bounds::mend(&mut definitions);
    finite::settle(&mut definitions, &paths)?;
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
        paths,
    })
}

/// What is copied, by address: the engine cannot combine a reference with anything while it is reading what is referred
/// to, so where a recursive schema stands beside others its text stands there.
#[derive(Default)]
struct Copies {
    /// Schemas that are copied.
    targets: HashSet<*const Value>,
    /// Schemas that copies go into. Each is a definition, so that its copies can lead back to it.
    hosts: HashSet<*const Value>,
}

/// Where a schema stands.
#[derive(Clone, Copy)]
struct Place<'a> {
    /// Schemas around it.
    depth: usize,
    /// What it says of a value is not all that is said: others have properties of their own.
    combined: bool,
    /// The schema around it that says all there is of the same value; none where that is the schema itself.
    host: Option<&'a Value>,
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
    copies: Copies,
    /// Referenced schemas that stand beside others, each with the schema that holds them together.
    joined: Vec<(&'a Value, &'a Value)>,
    /// The schemas that are being copied into one another.
    chain: Vec<&'a Value>,
}

impl<'a> Work<'a> {
    fn new(schema: &'a Value, copies: Copies) -> Self {
        let mut work = Self {
            places: Places::new(schema),
            definitions: Vec::new(),
            numbers: HashMap::new(),
            warnings: Vec::new(),
            nodes: 0,
            text: 0,
            alternatives: 0,
            combines: false,
            copies,
            joined: Vec::new(),
            chain: Vec::new(),
        };
        work.number("#".to_owned(), schema, false);
        work
    }

    /// Rewrites the document and all that it refers to.
    fn rewrite(&mut self) -> Result<Map<String, Value>> {
        let mut done = Map::new();
        while let Some((path, value, combined)) = self.definitions.get(done.len()).cloned() {
            let place = Place {
                depth: 0,
                combined,
                host: None,
            };
            let definition = self.schema(&path, value, place)?;
            done.insert(done.len().to_string(), definition);
        }
        Ok(done)
    }

    /// What has to be copied, if anything.
    fn copies_needed(&self, definitions: &Map<String, Value>) -> Option<Copies> {
        let recursive = definitions::recursive(definitions);
        let numbered = self.definitions.iter().zip(recursive);
        let targets: HashSet<_> = numbered
            .filter(|(_, recursive)| *recursive)
            .map(|((_, value, _), _)| std::ptr::from_ref(*value))
            .collect();
        let joined = self.joined.iter();
        let hosts: HashSet<_> = joined
            .filter(|(_, target)| targets.contains(&std::ptr::from_ref(*target)))
            .map(|(host, _)| std::ptr::from_ref(*host))
            .collect();
        (!hosts.is_empty()).then_some(Copies { targets, hosts })
    }

    fn number(&mut self, path: String, value: &'a Value, combined: bool) -> usize {
        let next = self.definitions.len();
        let key = (std::ptr::from_ref(value), combined);
        let number = *self.numbers.entry(key).or_insert(next);
        if number == next {
            self.definitions.push((path, value, combined));
        }
        number
    }

    fn schema(&mut self, path: &str, value: &'a Value, place: Place<'a>) -> Result<Value> {
        let is_host = self.copies.hosts.contains(&std::ptr::from_ref(value));
        if is_host && place.host.is_none() && place.depth > 0 {
            let number = self.number(path.to_owned(), value, place.combined);
            return Ok(json!({"$ref": definitions::name(number)}));
        }
        self.count(1, 0)?;
        bounded("schemas within schemas", place.depth, DEEPEST)?;
        match value {
            Value::Bool(_) => Ok(value.clone()),
            Value::Object(map) => self.object(path, value, map, place),
            _ => Err(wrong(
                path,
                format!("expected an object or a boolean, found {}", brief(value)),
            )),
        }
    }

    fn object(
        &mut self,
        path: &str,
        value: &'a Value,
        map: &'a Map<String, Value>,
        place: Place<'a>,
    ) -> Result<Value> {
        let mut out = Map::new();
        // What combines here may speak of one property in several places.
        let inner = Place {
            depth: place.depth + 1,
            combined: place.combined || combines(map),
            host: None,
        };
        let beside = Place {
            host: place.host.or((parts(map) > 1).then_some(value)),
            ..inner
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
                    let place = if in_place(key) { beside } else { inner };
                    let list = self.list(&at, value, place)?;
                    match self.choice(key, path, self.nodes - before) {
                        "allOf" => conjoin(&mut out, list),
                        key => drop(out.insert(key.to_owned(), list.into())),
                    }
                }
                Keyword::Map => {
                    let members = self.members(&at, value, inner)?;
                    if key == "patternProperties" {
                        let found = members.as_object().map_or(0, Map::len);
                        bounded("patterns of names in one schema", found, MOST_NAME_PATTERNS)?;
                    }
                    out.insert(key.clone(), members);
                }
                Keyword::Reference => self.reference(&mut out, &at, value, beside)?,
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
        place: Place<'a>,
    ) -> Result<()> {
        let schema = self.schema(at, value, place)?;
        out.insert(key.to_owned(), schema);
        Ok(())
    }

    fn list(&mut self, at: &str, value: &'a Value, place: Place<'a>) -> Result<Vec<Value>> {
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

    fn members(&mut self, at: &str, value: &'a Value, place: Place<'a>) -> Result<Value> {
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

    fn reference(
        &mut self,
        out: &mut Map<String, Value>,
        at: &str,
        value: &'a Value,
        place: Place<'a>,
    ) -> Result<()> {
        let found = match value.as_str() {
            Some(reference) => self.places.find(reference),
            None => Err(format!("expected a reference, found {}", brief(value))),
        };
        let (path, target) = found.map_err(|reason| wrong(at, reason))?;
        self.alternatives += 1;
        let copied = self.copies.targets.contains(&std::ptr::from_ref(target));
        match place.host {
            Some(_) if copied => {
                let copy = self.copy(at, &path, target, place)?;
                conjoin(out, vec![copy]);
                return Ok(());
            }
            Some(host) => self.joined.push((host, target)),
            None => {}
        }
        let number = self.number(path, target, place.combined);
        let name = Value::from(definitions::name(number));
        match out.contains_key("$ref") {
            true => conjoin(out, vec![json!({ "$ref": name })]),
            false => drop(out.insert("$ref".to_owned(), name)),
        }
        Ok(())
    }

    /// The text of a schema that stands beside others.
    fn copy(&mut self, at: &str, path: &str, target: &'a Value, place: Place<'a>) -> Result<Value> {
        if self.chain.iter().any(|open| std::ptr::eq(*open, target)) {
            let reason = format!(
                "the reference leads back to {path} with no property or item in between; take it out of one of the schemas on the way"
            );
            return Err(wrong(at, reason));
        }
        self.chain.push(target);
        let copy = self.schema(path, target, place);
        self.chain.pop();
        let mut copy = copy?;
        if let Value::Object(map) = &mut copy {
            map.insert(definitions::SOURCE.to_owned(), path.into());
        }
        Ok(copy)
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
        let warning = format!("ignored: {what}");
        // A schema that is copied says the same again.
        if self.warnings.len() < MOST_WARNINGS && !self.warnings.contains(&warning) {
            self.warnings.push(warning);
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

/// Adds schemas that have to fit as well.
fn conjoin(out: &mut Map<String, Value>, schemas: Vec<Value>) {
    let all = out.entry("allOf").or_insert_with(|| json!([]));
    if let Value::Array(all) = all {
        all.extend(schemas);
    }
}

/// Formats of numbers (`int32`, `double`) say how wide they are stored, which no text shows.
fn is_numeric(map: &Map<String, Value>) -> bool {
    let name = map.get("type").and_then(Value::as_str);
    matches!(name, Some("number" | "integer"))
}

pub(super) fn wrong(path: &str, reason: String) -> Error {
    Error::Schema {
        path: path.to_owned(),
        reason,
    }
}

pub(super) fn bounded(what: &'static str, found: usize, limit: usize) -> Result<()> {
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
