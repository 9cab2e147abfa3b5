//! `GET /v1/models` and `GET /v1/models/{id}`.

use serde_json::{Value, json};

/// A model, as the list shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// Its full name: `llama3.2:latest`, `hf.co/org/name:Q4_K_M`.
    pub id: String,
    /// When it came, in seconds since 1970.
    pub created: u64,
    /// The namespace of its name; `library` where it has none.
    pub owner: String,
    /// Tokens of its context, where they are known.
    pub context: Option<u64>,
    /// What it can: `completion`, `tools`, `embedding`, …
    pub capabilities: Vec<String>,
}

/// The list. No models are an empty list, which clients can read.
pub fn list(entries: &[Entry]) -> Value {
    let data: Vec<Value> = entries.iter().map(one).collect();
    json!({"object": "list", "data": data})
}

/// One model.
pub fn one(entry: &Entry) -> Value {
    let mut value = json!({
        "id": entry.id, "object": "model", "created": entry.created, "owned_by": entry.owner,
    });
    if let Some(context) = entry.context {
        // Under the name of vLLM, which several programs look for.
        value["max_model_len"] = json!(context);
    }
    if !entry.capabilities.is_empty() {
        value["capabilities"] = json!(entry.capabilities);
    }
    value
}

/// The answer to `DELETE /v1/models/{id}`.
pub fn deleted(id: &str) -> Value {
    json!({"id": id, "object": "model", "deleted": true})
}

/// The name in the rest of a path after `/v1/models/`, which may have slashes, as they are or as `%2F`. What is no valid
/// escape stays as it is; bytes that are no text are `None`.
pub fn id(rest: &str) -> Option<String> {
    let bytes = rest.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escape = bytes
            .get(at + 1..at + 3)
            .filter(|_| bytes[at] == b'%')
            .and_then(|digits| Some((hex(digits[0])? << 4) | hex(digits[1])?));
        match escape {
            Some(byte) => {
                decoded.push(byte);
                at += 3;
            }
            None => {
                decoded.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8(decoded).ok()
}

fn hex(digit: u8) -> Option<u8> {
    // A hexadecimal digit is less than 16.
    char::from(digit)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lists() {
        assert_eq!(list(&[]), json!({"object": "list", "data": []}));
        let entry = Entry {
            id: "llama3.2:latest".into(),
            created: 7,
            owner: "library".into(),
            context: Some(8192),
            capabilities: vec!["tools".into()],
        };
        assert_eq!(
            list(std::slice::from_ref(&entry)),
            json!({"object": "list", "data": [{"id": "llama3.2:latest", "object": "model", "created": 7,
                   "owned_by": "library", "max_model_len": 8192, "capabilities": ["tools"]}]})
        );
    }

    #[test]
    fn names_in_paths() {
        for (path, name) in [
            ("llama3.2", Some("llama3.2")),
            ("org%2Fname:tag", Some("org/name:tag")),
            ("org%2fname%3Atag", Some("org/name:tag")),
            ("hf.co/org/name:Q4", Some("hf.co/org/name:Q4")),
            ("100%", Some("100%")),
            ("%2", Some("%2")),
            ("%zz", Some("%zz")),
            ("%C3%A9", Some("é")),
            ("%ff", None),
        ] {
            assert_eq!(id(path).as_deref(), name, "{path}");
        }
    }

    proptest! {
        #[test]
        fn no_path_panics(path in ".{0,12}") {
            let _ = id(&path);
        }
    }
}
