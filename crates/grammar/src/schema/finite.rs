//! Which schemas have a value that ends.
//!
//! A schema that requires itself has none, and an answer that began one could never end. What fits is a least fixed
//! point: at first no definition has a value; what has one if those that do are taken for granted is added until
//! nothing changes. JSON's types are followed apart, since often one of them ends. The answer errs on one side only: a
//! schema that has no value may be taken for one that has (patterns, steps and values are not looked at, and where
//! several schemas speak of a property each is looked at alone), never the other way.

use serde_json::{Map, Value};

use super::{
    definitions::{SOURCE, inner, inner_mut, recursive, referred},
    normalise::{bounded, wrong},
    references::child,
    together::in_place,
};
use crate::Result;

/// Schemas that are looked at, counted each time.
const MOST_STEPS: usize = 1_000_000;
/// References that are followed to see what several schemas say together.
const MOST_OPENED: usize = 6;

/// A set of JSON's types, a bit each.
type Types = u8;
const ALL: Types = 0b11_1111;
const OBJECT: Types = 1;
const ARRAY: Types = 2;
const STRING: Types = 4;
const NUMBER: Types = 8;
const BOOLEAN: Types = 16;
const NULL: Types = 32;

/// Puts `false` in the place of references to what has no value.
///
/// # Errors
/// When nothing fits definition 0 because it leads back to itself without an end.
pub(super) fn settle(definitions: &mut Map<String, Value>, paths: &[String]) -> Result<()> {
    if !recursive(definitions).contains(&true) {
        return Ok(());
    }
    let mut search = Search {
        definitions: definitions.values().collect(),
        known: vec![0; definitions.len()],
        steps: 0,
    };
    search.run()?;
    search.explain(paths)?;
    let known = search.known;
    if known.contains(&0) {
        for definition in definitions.values_mut() {
            prune(definition, &known);
        }
    }
    Ok(())
}

fn prune(schema: &mut Value, known: &[Types]) {
    let Value::Object(map) = schema else {
        return;
    };
    if referred(map).is_some_and(|number| known[number] == 0) {
        *schema = Value::Bool(false);
        return;
    }
    for schema in inner_mut(map) {
        prune(schema, known);
    }
}

/// What is said of a value by the schemas around one.
#[derive(Clone, Default)]
struct Said<'a> {
    schemas: Vec<&'a Map<String, Value>>,
    /// The definitions that were followed to find them.
    opened: Vec<usize>,
    /// Inside a definition that was followed: no others are.
    closed: bool,
}

struct Search<'a> {
    definitions: Vec<&'a Value>,
    /// The types of which each definition has a value, as far as is known.
    known: Vec<Types>,
    steps: usize,
}

impl<'a> Search<'a> {
    fn run(&mut self) -> Result<()> {
        let count = self.definitions.len();
        // Those that are referred to mostly come later; every other round goes the other way.
        for round in 0.. {
            let mut changed = false;
            for step in 0..count {
                let number = if round % 2 == 0 {
                    count - 1 - step
                } else {
                    step
                };
                let found = self.types(self.definitions[number], &Said::default())?;
                changed |= found != self.known[number];
                self.known[number] |= found;
            }
            if !changed {
                break;
            }
        }
        Ok(())
    }

    /// The types of the values that fit a schema and what is said around it.
    fn types(&mut self, schema: &'a Value, around: &Said<'a>) -> Result<Types> {
        let mut said = around.clone();
        let first = said.schemas.len();
        let mut types = self.gather(schema, &mut said)?;
        for index in first..said.schemas.len() {
            for key in ["anyOf", "oneOf"] {
                let Some(Value::Array(choices)) = said.schemas[index].get(key) else {
                    continue;
                };
                let mut any = 0;
                for choice in choices.iter().take_while(|_| types != 0) {
                    any |= self.types(choice, &said)? & types;
                    if any == types {
                        break;
                    }
                }
                types &= any;
            }
        }
        types &= !crossed(&said.schemas);
        if types & OBJECT != 0 && !self.has_object(&said)? {
            types &= !OBJECT;
        }
        if types & ARRAY != 0 && !self.has_array(&said)? {
            types &= !ARRAY;
        }
        Ok(types)
    }

    /// Adds a schema and those that hold as well; the types that all of them name.
    fn gather(&mut self, schema: &'a Value, said: &mut Said<'a>) -> Result<Types> {
        let mut types = ALL;
        let mut pending = vec![schema];
        let mut references = Vec::new();
        loop {
            while let Some(schema) = pending.pop() {
                self.step()?;
                let map = match schema {
                    Value::Object(map) => map,
                    Value::Bool(true) => continue,
                    _ => return Ok(0),
                };
                types &= declared(map);
                if let Some(number) = referred(map) {
                    types &= self.known[number];
                    references.push(number);
                }
                if let Some(Value::Array(all)) = map.get("allOf") {
                    pending.extend(all);
                }
                if says_more(map) {
                    said.schemas.push(map);
                }
            }
            // A reference alone is what is known of it.
            let alone = said.schemas.is_empty() && references.len() < 2;
            let Some(number) = references.pop().filter(|_| !alone && !said.closed) else {
                return Ok(types);
            };
            if said.opened.len() < MOST_OPENED && !said.opened.contains(&number) {
                said.opened.push(number);
                pending.push(self.definitions[number]);
            }
        }
    }

    fn has_object(&mut self, said: &Said<'a>) -> Result<bool> {
        let mut least = 0;
        for map in &said.schemas {
            least = least.max(count(map, "minProperties"));
            let required = map.get("required").and_then(Value::as_array);
            for name in required.into_iter().flatten().filter_map(Value::as_str) {
                for other in &said.schemas {
                    let schema = property(other, name);
                    if !self.fits(schema, said)? {
                        return Ok(false);
                    }
                }
            }
        }
        if least == 0 {
            return Ok(true);
        }
        for map in &said.schemas {
            let listed = ["properties", "patternProperties"].map(|key| map.get(key));
            let listed = listed.into_iter().flatten().filter_map(Value::as_object);
            let others = map
                .get("additionalProperties")
                .unwrap_or(&Value::Bool(true));
            let mut any = self.fits(Some(others), said)?;
            for schema in listed.flat_map(Map::values) {
                any = any || self.fits(Some(schema), said)?;
            }
            if !any {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn has_array(&mut self, said: &Said<'a>) -> Result<bool> {
        let least = said.schemas.iter().map(|map| count(map, "minItems")).max();
        for map in &said.schemas {
            let (tuple, rest) = items(map);
            let least = least.unwrap_or(0);
            for schema in tuple.iter().take(least) {
                if !self.fits(Some(schema), said)? {
                    return Ok(false);
                }
            }
            if least > tuple.len() && !self.fits(rest, said)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether anything fits a schema inside a value.
    fn fits(&mut self, schema: Option<&'a Value>, value: &Said<'a>) -> Result<bool> {
        let inside = Said {
            closed: value.closed || !value.opened.is_empty(),
            ..Said::default()
        };
        match schema {
            None => Ok(true),
            Some(schema) => Ok(self.types(schema, &inside)? != 0),
        }
    }

    fn step(&mut self) -> Result<()> {
        self.steps += 1;
        bounded(
            "steps along a recursive JSON schema",
            self.steps,
            MOST_STEPS,
        )
    }

    /// Tells where the first definition leads back to itself, if that is why nothing fits it. Where something else is
    /// the reason, the engine knows it.
    fn explain(&mut self, paths: &[String]) -> Result<()> {
        let mut way = Vec::new();
        let mut current = 0;
        while self.known[current] == 0 {
            if way.contains(&current) {
                let (place, _) = self.next(current, paths)?.unwrap_or_default();
                let target = &paths[current];
                let reason = format!(
                    "nothing that fits ends: a value of {target} needs one of {target} in it; take a property on the way out of `required`, or allow `null` or an empty list there"
                );
                return Err(wrong(&place, reason));
            }
            way.push(current);
            match self.next(current, paths)? {
                Some((_, next)) => current = next,
                None => break,
            }
        }
        Ok(())
    }

    /// Of a definition without a value: the place in it that has none because of another definition, and that one.
    fn next(&mut self, number: usize, paths: &[String]) -> Result<Option<(String, usize)>> {
        let definition = self.definitions[number];
        let mut pending = vec![(
            paths[number].clone(),
            definition,
            self.required(definition)?,
        )];
        while let Some((path, schema, required)) = pending.pop() {
            let Value::Object(map) = schema else {
                continue;
            };
            let source = map.get(SOURCE).and_then(Value::as_str);
            let path = source.map_or(path, str::to_owned);
            if let Some(target) = referred(map).filter(|&target| self.known[target] == 0) {
                return Ok(Some((path, target)));
            }
            for (key, name, schema) in inner(map) {
                let mut place = child(&path, key);
                let named = key == "properties";
                if named || !name.is_empty() {
                    place = child(&place, &name);
                }
                if in_place(key) {
                    let mut required = required.clone();
                    required.extend(self.required(schema)?);
                    pending.push((place, schema, required));
                } else if (!named || required.iter().any(|other| *other == name))
                    && self.types(schema, &Said::default())? == 0
                {
                    pending.push((place, schema, self.required(schema)?));
                }
            }
        }
        Ok(None)
    }

    /// The properties that a schema and those that hold as well require.
    fn required(&mut self, schema: &'a Value) -> Result<Vec<&'a str>> {
        let mut said = Said::default();
        self.gather(schema, &mut said)?;
        let lists = said.schemas.iter().filter_map(|map| map.get("required"));
        let names = lists.filter_map(Value::as_array).flatten();
        Ok(names.filter_map(Value::as_str).collect())
    }
}

/// The types of which nothing fits, since what is asked for is less than what is asked for at least.
fn crossed(said: &[&Map<String, Value>]) -> Types {
    let numbers = |key: &str| -> Vec<f64> {
        let values = said.iter().filter_map(|map| map.get(key));
        values.filter_map(Value::as_f64).collect()
    };
    let most = |key: &str| numbers(key).into_iter().reduce(f64::max);
    let least = |key: &str| numbers(key).into_iter().reduce(f64::min);
    let counts = [
        (OBJECT, "minProperties", "maxProperties"),
        (ARRAY, "minItems", "maxItems"),
        (STRING, "minLength", "maxLength"),
        (NUMBER, "minimum", "maximum"),
    ];
    let mut none = 0;
    for (types, low, high) in counts {
        if most(low) > least(high).or(Some(f64::INFINITY)) {
            none |= types;
        }
    }
    let open = (most("exclusiveMinimum"), least("exclusiveMaximum"));
    let ends = [(open.0, least("maximum")), (most("minimum"), open.1), open];
    let is_empty = |(low, high): &(Option<f64>, Option<f64>)| {
        low.zip(*high).is_some_and(|(low, high)| low >= high)
    };
    let whole = said
        .iter()
        .any(|map| map.get("type").is_some_and(|it| it == "integer"));
    let lowest = [
        most("minimum").map(f64::ceil),
        open.0.map(|low| low.floor() + 1.0),
    ];
    let highest = [
        least("maximum").map(f64::floor),
        open.1.map(|high| high.ceil() - 1.0),
    ];
    let lowest = lowest.into_iter().flatten().reduce(f64::max);
    let highest = highest.into_iter().flatten().reduce(f64::min);
    let between = lowest.zip(highest).is_some_and(|(low, high)| low > high);
    if ends.iter().any(is_empty) || whole && between {
        none |= NUMBER;
    }
    none
}

/// Whether a schema says more than what its references and parts say.
fn says_more(map: &Map<String, Value>) -> bool {
    map.keys()
        .any(|key| !matches!(key.as_str(), "$ref" | "allOf" | SOURCE))
}

/// The types that a schema names, or that its values have.
fn declared(map: &Map<String, Value>) -> Types {
    let named = |name: &Value| match name.as_str() {
        Some("object") => OBJECT,
        Some("array") => ARRAY,
        Some("string") => STRING,
        Some("number" | "integer") => NUMBER,
        Some("boolean") => BOOLEAN,
        Some("null") => NULL,
        _ => 0,
    };
    let of = |value: &Value| match value {
        Value::Object(_) => OBJECT,
        Value::Array(_) => ARRAY,
        Value::String(_) => STRING,
        Value::Number(_) => NUMBER,
        Value::Bool(_) => BOOLEAN,
        Value::Null => NULL,
    };
    let union = |list: &Vec<Value>, bits: &dyn Fn(&Value) -> Types| {
        list.iter().map(bits).fold(0, |a, b| a | b)
    };
    let types = match map.get("type") {
        None => ALL,
        Some(Value::Array(list)) => union(list, &named),
        Some(name) => named(name),
    };
    let values = match map.get("enum") {
        Some(Value::Array(list)) => union(list, &of),
        _ => ALL,
    };
    types & values & map.get("const").map_or(ALL, of)
}

fn count(map: &Map<String, Value>, key: &str) -> usize {
    let count = map.get(key).and_then(Value::as_u64).unwrap_or(0);
    usize::try_from(count).unwrap_or(usize::MAX)
}

/// What an object's schema says of a property; nothing where patterns of names decide.
fn property<'a>(map: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    let listed = map.get("properties").and_then(|all| all.get(name));
    let others = || {
        let others = map.get("additionalProperties");
        others.filter(|_| !map.contains_key("patternProperties"))
    };
    listed.or_else(others)
}

/// What an array's schema says of its first items, and of those behind them.
fn items(map: &Map<String, Value>) -> (&[Value], Option<&Value>) {
    match (map.get("items"), map.get("prefixItems")) {
        (Some(Value::Array(tuple)), _) => (tuple, map.get("additionalItems")),
        (rest, Some(Value::Array(tuple))) => (tuple, rest),
        (rest, _) => (&[], rest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Error, schema::normalise};
    use serde_json::json;

    #[test]
    fn what_cannot_end_is_refused_with_its_place() {
        let node = |next: Value| json!({"type": "object", "properties": {"next": next}, "required": ["next"]});
        for (schema, place) in [
            (node(json!({"$ref": "#"})), "#/properties/next"),
            (json!({"$ref": "#"}), "#"),
            (
                json!({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}),
                "#/$defs/a",
            ),
            (
                json!({"type": "array", "items": {"$ref": "#"}, "minItems": 1}),
                "#/items",
            ),
            (
                json!({"type": "array", "prefixItems": [{"type": "null"}, {"$ref": "#"}], "minItems": 2}),
                "#/prefixItems/1",
            ),
            (
                json!({"anyOf": [node(json!({"$ref": "#"})), {"type": "array", "items": {"$ref": "#"}, "minItems": 1}]}),
                "#/anyOf/1/items",
            ),
            (
                json!({"type": "object", "additionalProperties": {"$ref": "#"}, "minProperties": 1}),
                "#/additionalProperties",
            ),
            (
                json!({"type": "object", "additionalProperties": {"$ref": "#"}, "required": ["a"]}),
                "#/additionalProperties",
            ),
            (
                json!({"properties": {"a": node(json!({"$ref": "#/$defs/x"}))}, "required": ["a"], "type": "object",
                    "$defs": {"x": node(json!({"$ref": "#/$defs/y"})), "y": {"allOf": [node(json!({"type": "object"})), node(json!({"$ref": "#/$defs/x"}))]}}}),
                "#/$defs/x/properties/next",
            ),
            // One schema has the property, another requires it.
            (
                json!({"type": "object", "properties": {"a": {"$ref": "#"}}, "allOf": [{"required": ["a"]}]}),
                "#/properties/a",
            ),
            (
                json!({"$ref": "#/$defs/n", "required": ["a"], "$defs": {"n": {"type": "object", "properties": {"a": {"$ref": "#"}}}}}),
                "#/$defs/n/properties/a",
            ),
        ] {
            match normalise(&schema) {
                Err(Error::Schema { path, reason }) => {
                    println!("{path}: {reason}");
                    assert_eq!(path, place, "{schema}");
                }
                other => panic!("{schema}: {other:?}"),
            }
        }
    }

    #[test]
    fn types_of_which_nothing_fits() {
        for (said, expected) in [
            (json!([{}]), 0),
            (json!([{"minItems": 2}, {"maxItems": 1}]), ARRAY),
            (json!([{"minLength": 1, "maxLength": 1}]), 0),
            (json!([{"minimum": 1}, {"maximum": 1}]), 0),
            (json!([{"minimum": 1, "exclusiveMaximum": 1}]), NUMBER),
            (json!([{"exclusiveMinimum": 1, "maximum": 1.5}]), 0),
            (
                json!([{"exclusiveMinimum": 1, "maximum": 1.5, "type": "integer"}]),
                NUMBER,
            ),
            (
                json!([{"exclusiveMinimum": 0.5, "exclusiveMaximum": 1.5, "type": "integer"}]),
                0,
            ),
            (
                json!([{"minimum": 3}, {"maximum": 2, "minProperties": 1, "maxProperties": 0}]),
                NUMBER | OBJECT,
            ),
        ] {
            let maps: Vec<_> = said
                .as_array()
                .unwrap()
                .iter()
                .filter_map(Value::as_object)
                .collect();
            assert_eq!(crossed(&maps), expected, "{said}");
        }
    }

    #[test]
    fn what_can_end_is_taken() {
        let node = |next: Value| json!({"type": "object", "properties": {"next": next}, "required": ["next"]});
        for schema in [
            node(json!({"anyOf": [{"$ref": "#"}, {"type": "null"}]})),
            node(json!({"$ref": "#", "nullable": true})),
            node(json!({"type": "array", "items": {"$ref": "#"}})),
            json!({"type": ["object", "null"], "properties": {"next": {"$ref": "#"}}, "required": ["next"]}),
            json!({"type": "object", "properties": {"next": {"$ref": "#"}}}),
            json!({"properties": {"next": {"$ref": "#"}}, "required": ["next"]}),
            json!({"type": "object", "additionalProperties": {"$ref": "#"}}),
            json!({"type": "array", "prefixItems": [{"$ref": "#"}], "minItems": 0}),
            json!({"type": "object", "properties": {"a": {"$ref": "#"}, "b": true}, "anyOf": [{"required": ["a"]}, {"required": ["b"]}]}),
            json!({"type": "object", "patternProperties": {"^a": true}, "additionalProperties": {"$ref": "#"}, "required": ["a"]}),
        ] {
            let normalised = normalise(&schema).unwrap();
            assert!(
                !normalised.schema.to_string().contains("false,\"required"),
                "{schema}"
            );
        }
    }

    #[test]
    fn what_cannot_end_is_left_out_where_something_else_can() {
        let schema = json!({"type": "object", "properties": {"a": {"$ref": "#/$defs/x"}, "b": {"anyOf": [{"$ref": "#/$defs/x"}, {"type": "null"}]}},
            "$defs": {"x": {"type": "array", "items": {"$ref": "#/$defs/x"}, "minItems": 1}}});
        let normalised = normalise(&schema).unwrap();
        assert_eq!(
            normalised.schema["$defs"]["0"]["properties"],
            json!({"a": false, "b": {"anyOf": [false, {"type": "null"}]}})
        );
    }

    #[test]
    fn work_is_bounded() {
        // Each leads to the next in an order that neither way along them suits.
        let count = 6_000;
        let next = |n: usize| (n * 1_861 + 1) % count;
        let all: Map<String, Value> = (0..count)
            .map(|n| {
                let required: Vec<Value> = vec![json!({"$ref": format!("#/$defs/{}", next(n))})];
                let end = if n == 5 {
                    json!({"type": "null"})
                } else {
                    json!({"type": "array", "prefixItems": required, "minItems": 1})
                };
                (n.to_string(), end)
            })
            .collect();
        let schema = json!({"$ref": "#/$defs/0", "$defs": all});
        let outcome = normalise(&schema).map(drop);
        assert!(
            matches!(outcome, Ok(()) | Err(Error::TooLarge { .. })),
            "{outcome:?}"
        );
    }
}
