//! Walks along definitions in the engine's form.

use serde_json::{Map, Value};

use super::keywords::Keyword;

/// Where a copied schema stands in the document; the engine reads no comments.
pub(super) const SOURCE: &str = "$comment";

/// The name that the engine knows a definition by.
pub(super) fn name(number: usize) -> String {
    format!("#/$defs/{number}")
}

/// The definition that a schema refers to.
pub(super) fn referred(map: &Map<String, Value>) -> Option<usize> {
    let reference = map.get("$ref")?.as_str()?;
    reference.strip_prefix("#/$defs/")?.parse().ok()
}

/// The schemas right in a schema, each with its keyword and its place under it.
pub(super) fn inner(map: &Map<String, Value>) -> Vec<(&str, String, &Value)> {
    let mut found = Vec::new();
    for (key, value) in map {
        match (Keyword::of(key), value) {
            (Some(Keyword::Choices | Keyword::Items), Value::Array(list)) => {
                let list = list.iter().enumerate();
                found.extend(list.map(|(index, value)| (key.as_str(), index.to_string(), value)));
            }
            (Some(Keyword::Map), Value::Object(members)) => {
                let members = members.iter();
                found.extend(members.map(|(name, value)| (key.as_str(), name.clone(), value)));
            }
            (Some(Keyword::Schema | Keyword::Items), value) => {
                found.push((key.as_str(), String::new(), value));
            }
            _ => {}
        }
    }
    found
}

/// The same schemas, to be changed.
pub(super) fn inner_mut(map: &mut Map<String, Value>) -> Vec<&mut Value> {
    let mut found = Vec::new();
    for (key, value) in map {
        match (Keyword::of(key), value) {
            (Some(Keyword::Choices | Keyword::Items), Value::Array(list)) => found.extend(list),
            (Some(Keyword::Map), Value::Object(members)) => {
                found.extend(members.iter_mut().map(|(_, value)| value));
            }
            (Some(Keyword::Schema | Keyword::Items), value) => found.push(value),
            _ => {}
        }
    }
    found
}

/// Which definitions may lead back to themselves: all but those from which every way ends.
pub(super) fn recursive(definitions: &Map<String, Value>) -> Vec<bool> {
    let count = definitions.len();
    let mut left = vec![0_usize; count];
    let mut users: Vec<Vec<usize>> = vec![Vec::new(); count];
    for (number, definition) in definitions.values().enumerate() {
        let mut pending = vec![definition];
        while let Some(schema) = pending.pop() {
            let Value::Object(map) = schema else {
                continue;
            };
            if let Some(users) = referred(map).and_then(|target| users.get_mut(target)) {
                users.push(number);
                left[number] += 1;
            }
            pending.extend(inner(map).into_iter().map(|(.., schema)| schema));
        }
    }
    let mut ended: Vec<usize> = (0..count).filter(|&number| left[number] == 0).collect();
    while let Some(number) = ended.pop() {
        for &user in &users[number] {
            left[user] -= 1;
            if left[user] == 0 {
                ended.push(user);
            }
        }
    }
    left.into_iter().map(|left| left > 0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_leads_back_is_found() {
        for (definitions, expected) in [
            (json!({"0": true}), vec![false]),
            (json!({"0": {"$ref": "#/$defs/0"}}), vec![true]),
            (
                json!({"0": {"items": {"$ref": "#/$defs/1"}}, "1": {"anyOf": [{"$ref": "#/$defs/2"}]}, "2": {}}),
                vec![false, false, false],
            ),
            (
                json!({"0": {"properties": {"a": {"$ref": "#/$defs/1"}, "$ref": true}}, "1": {"items": {"$ref": "#/$defs/2"}},
                    "2": {"prefixItems": [{"$ref": "#/$defs/1"}, {"$ref": "#/$defs/3"}]}, "3": {"const": {"$ref": "#/$defs/0"}}}),
                vec![true, true, true, false],
            ),
        ] {
            assert_eq!(
                recursive(definitions.as_object().unwrap()),
                expected,
                "{definitions}"
            );
        }
    }
}
