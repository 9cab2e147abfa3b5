//! Chat templates (format notes 1.5, 1.8).

use hearth_format::{Array, Checkpoint, Metadata, Text, Value};
use serde_json::Value as Json;

use crate::{Result, side};

const KEY: &str = "tokenizer.chat_template";

/// Adds the templates of the files that may have them, the first that has any.
pub(super) fn add(checkpoint: &Checkpoint, metadata: &mut Metadata) -> Result<()> {
    if let Some(text) = side::text(checkpoint, "chat_template.jinja")? {
        put(metadata, KEY.to_owned(), &text);
        return Ok(());
    }
    for file in ["tokenizer_config.json", "chat_template.json"] {
        let config = side::json(checkpoint, file)?;
        match config.as_ref().and_then(|c| c.get("chat_template")) {
            Some(Json::String(text)) => {
                put(metadata, KEY.to_owned(), text);
                return Ok(());
            }
            Some(Json::Array(list)) => {
                named(list, metadata);
                return Ok(());
            }
            _ => {}
        }
    }
    Ok(())
}

/// Several by name: the one called default is the template, the others are listed.
fn named(list: &[Json], metadata: &mut Metadata) {
    let mut names: Vec<Text> = Vec::new();
    for entry in list {
        let text = |key: &str| entry.get(key).and_then(Json::as_str);
        match (text("name"), text("template")) {
            (Some("default"), Some(template)) => put(metadata, KEY.to_owned(), template),
            (Some(name), Some(template)) => {
                let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
                let name: String = name.chars().map(plain).collect();
                put(metadata, format!("{KEY}.{name}"), template);
                names.push(name.into_bytes().into());
            }
            _ => {}
        }
    }
    if !names.is_empty() {
        metadata.insert(
            "tokenizer.chat_templates".to_owned(),
            Value::Array(Array::String(names)),
        );
    }
}

fn put(metadata: &mut Metadata, key: String, text: &str) {
    metadata.insert(key, Value::String(text.as_bytes().into()));
}
