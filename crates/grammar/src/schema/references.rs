//! Finding what a `$ref` means.

use std::collections::HashMap;

use serde_json::Value;

/// The places of a document that references can name.
pub(super) struct Places<'a> {
    root: &'a Value,
    /// The document's own address, which a reference may repeat.
    base: Option<&'a str>,
    anchors: HashMap<&'a str, (String, &'a Value)>,
}

impl<'a> Places<'a> {
    pub(super) fn new(root: &'a Value) -> Self {
        let base = root.get("$id").and_then(Value::as_str);
        let mut places = Self {
            root,
            base: base.map(|id| id.trim_end_matches('#')),
            anchors: HashMap::new(),
        };
        places.collect_anchors();
        places
    }

    /// Notes every `$anchor`, without recursion: the document may be of any depth.
    fn collect_anchors(&mut self) {
        let mut pending = vec![("#".to_owned(), self.root)];
        while let Some((path, value)) = pending.pop() {
            match value {
                Value::Object(map) => {
                    for key in ["$anchor", "$dynamicAnchor"] {
                        if let Some(name) = map.get(key).and_then(Value::as_str) {
                            self.anchors.insert(name, (path.clone(), value));
                        }
                    }
                    let nested = map.iter().filter(|(_, value)| holds_more(value));
                    pending.extend(nested.map(|(key, value)| (child(&path, key), value)));
                }
                Value::Array(list) => {
                    let nested = list.iter().enumerate();
                    let nested = nested.filter(|(_, value)| holds_more(value));
                    pending.extend(nested.map(|(index, value)| (format!("{path}/{index}"), value)));
                }
                _ => {}
            }
        }
    }

    /// The place that a reference names, with its path; or why there is none.
    pub(super) fn find(&self, reference: &str) -> Result<(String, &'a Value), String> {
        let local = self
            .base
            .and_then(|base| reference.strip_prefix(base))
            .unwrap_or(reference);
        let Some(fragment) = local.strip_prefix('#') else {
            return match local.is_empty() && !reference.is_empty() {
                true => Ok(("#".to_owned(), self.root)),
                false => Err(format!(
                    "$ref {reference:?} leaves the document; expected `#/…` or `#name`: put the schema into `$defs`"
                )),
            };
        };
        let fragment = percent_decoded(fragment);
        let missing = || format!("$ref {reference:?} names nothing in this document");
        if fragment.is_empty() {
            return Ok(("#".to_owned(), self.root));
        }
        let Some(pointer) = fragment.strip_prefix('/') else {
            return self.anchors.get(&*fragment).cloned().ok_or_else(missing);
        };
        // `#/` is often meant as the root, though it is a property without a name.
        if pointer.is_empty() && self.root.get("").is_none() {
            return Ok(("#".to_owned(), self.root));
        }
        match self.root.pointer(&fragment) {
            Some(value) => Ok((format!("#{fragment}"), value)),
            None => Err(missing()),
        }
    }
}

fn holds_more(value: &Value) -> bool {
    value.is_object() || value.is_array()
}

/// The path of a member, escaped as JSON pointers are.
pub(super) fn child(path: &str, key: &str) -> String {
    let key = key.replace('~', "~0").replace('/', "~1");
    format!("{path}/{key}")
}

/// `%XX` as the byte it stands for; what is no such escape, or no UTF-8, stays.
fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let hex = after.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) if first == b'%' => {
                bytes.push(byte);
                rest = &after[2..];
            }
            _ => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn references_are_found_by_pointer_anchor_and_own_address() {
        let root = json!({
            "$id": "https://example.com/s.json",
            "$defs": {"a/b~c d": {"$anchor": "here"}, "list": [true, false]},
        });
        let places = Places::new(&root);
        for (reference, path) in [
            ("#", Some("#")),
            ("#/", Some("#")),
            ("#/$defs/a~1b~0c%20d", Some("#/$defs/a~1b~0c d")),
            ("#/%24defs/list/1", Some("#/$defs/list/1")),
            ("#here", Some("#/$defs/a~1b~0c d")),
            ("https://example.com/s.json", Some("#")),
            ("https://example.com/s.json#here", Some("#/$defs/a~1b~0c d")),
            ("https://example.com/other.json", None),
            ("other.json#/a", None),
            ("#/$defs/absent", None),
            ("#absent", None),
            ("#/%", None),
            ("", None),
        ] {
            let found = places.find(reference).map(|(path, _)| path);
            assert_eq!(found.ok().as_deref(), path, "{reference}");
        }
    }
}
