//! A small validator of JSON Schema, written from its text (draft 2020-12), for what the tests generate.

use serde_json::{Map, Value};

/// Whether a value fits a schema of a document. What it does not know is no reason to pass: it panics.
pub(crate) fn fits(root: &Value, schema: &Value, value: &Value) -> bool {
    let open = &mut Vec::new();
    Document { root }.fits(open, schema, value)
}

/// Schemas that a value is being held to, by address. One that leads back to itself says nothing: no value fits it.
type Open<'a> = Vec<(&'a Value, &'a Value)>;

struct Document<'a> {
    root: &'a Value,
}

impl<'a> Document<'a> {
    fn fits(&self, open: &mut Open<'a>, schema: &'a Value, value: &'a Value) -> bool {
        let again = |(a, b): &(&Value, &Value)| std::ptr::eq(*a, schema) && std::ptr::eq(*b, value);
        if open.iter().any(again) {
            return false;
        }
        open.push((schema, value));
        let fits = match schema {
            Value::Bool(any) => *any,
            Value::Object(map) => map
                .iter()
                .all(|(key, said)| self.keyword(open, map, key, said, value)),
            _ => panic!("not a schema: {schema}"),
        };
        open.pop();
        fits
    }

    fn keyword(
        &self,
        open: &mut Open<'a>,
        map: &'a Map<String, Value>,
        key: &str,
        said: &'a Value,
        value: &'a Value,
    ) -> bool {
        let each = || said.as_array().unwrap().iter();
        let number = value.as_f64();
        let bound = || said.as_f64().unwrap();
        let count = || said.as_u64().unwrap() as usize;
        match key {
            "$defs" | "title" | "description" | "default" => true,
            "$ref" => {
                let pointer = said.as_str().unwrap().strip_prefix('#').unwrap();
                self.fits(open, self.root.pointer(pointer).unwrap(), value)
            }
            "allOf" => each().all(|schema| self.fits(open, schema, value)),
            "anyOf" => each().any(|schema| self.fits(open, schema, value)),
            "const" => equal(said, value),
            "enum" => each().any(|one| equal(one, value)),
            "type" => match said {
                Value::Array(names) => names.iter().any(|name| is_type(name, value)),
                name => is_type(name, value),
            },
            "minimum" => number.is_none_or(|number| number >= bound()),
            "maximum" => number.is_none_or(|number| number <= bound()),
            "exclusiveMinimum" => number.is_none_or(|number| number > bound()),
            "exclusiveMaximum" => number.is_none_or(|number| number < bound()),
            "multipleOf" => match (value.as_i64(), said.as_i64()) {
                (Some(number), Some(step)) => number % step == 0,
                _ => number.is_none_or(|number| number % bound() == 0.0),
            },
            "minLength" => value
                .as_str()
                .is_none_or(|text| text.chars().count() >= count()),
            "maxLength" => value
                .as_str()
                .is_none_or(|text| text.chars().count() <= count()),
            "minItems" => value.as_array().is_none_or(|list| list.len() >= count()),
            "maxItems" => value.as_array().is_none_or(|list| list.len() <= count()),
            "prefixItems" => value.as_array().is_none_or(|list| {
                let mut pairs = list.iter().zip(each());
                pairs.all(|(item, schema)| self.fits(open, schema, item))
            }),
            "items" => value.as_array().is_none_or(|list| {
                let before = map.get("prefixItems").and_then(Value::as_array);
                let rest = list.iter().skip(before.map_or(0, Vec::len));
                rest.into_iter().all(|item| self.fits(open, said, item))
            }),
            "required" => value.as_object().is_none_or(|members| {
                each().all(|name| members.contains_key(name.as_str().unwrap()))
            }),
            "properties" => value.as_object().is_none_or(|members| {
                let listed = said.as_object().unwrap().iter();
                let mut present =
                    listed.filter_map(|(name, schema)| Some((schema, members.get(name)?)));
                present.all(|(schema, value)| self.fits(open, schema, value))
            }),
            "additionalProperties" => value.as_object().is_none_or(|members| {
                let listed = map.get("properties").and_then(Value::as_object);
                let is_listed = |name: &String| listed.is_some_and(|all| all.contains_key(name));
                let mut others = members.iter().filter(|(name, _)| !is_listed(name));
                others.all(|(_, value)| self.fits(open, said, value))
            }),
            _ => panic!("the validator does not know {key}"),
        }
    }
}

fn is_type(name: &Value, value: &Value) -> bool {
    match name.as_str().unwrap() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "number" => value.is_number(),
        "integer" => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        name => panic!("no type: {name}"),
    }
}

/// JSON has one kind of number.
fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len()
                && a.iter()
                    .all(|(name, a)| b.get(name).is_some_and(|b| equal(a, b)))
        }
        _ => a == b,
    }
}
