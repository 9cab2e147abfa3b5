//! What a schema says of one value in several places.

use serde_json::{Map, Value};

use super::keywords::Keyword;

/// Whether a schema says of one value more than one thing that may name properties.
pub(super) fn combines(map: &Map<String, Value>) -> bool {
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
pub(super) fn is_closed(out: &Map<String, Value>) -> bool {
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

/// How many parts of a schema speak of the same value, so that the engine intersects them: all plain keywords together,
/// and each reference, choice and member of `allOf`.
pub(super) fn parts(map: &Map<String, Value>) -> usize {
    let mut plain = 0;
    let mut others = 0;
    for (key, value) in map {
        match (key.as_str(), Keyword::of(key)) {
            ("allOf", _) => others += value.as_array().map_or(0, Vec::len),
            ("anyOf" | "oneOf" | "const" | "enum", _) | (_, Some(Keyword::Reference)) => {
                others += 1;
            }
            (_, None | Some(Keyword::Silent)) => {}
            _ => plain = 1,
        }
    }
    plain + others
}

/// Whether a list of schemas speaks of the value itself, not of what is in it.
pub(super) fn in_place(key: &str) -> bool {
    matches!(key, "allOf" | "anyOf" | "oneOf")
}
