//! Blocks of content and the parts that become of them.

use hearth_chat::{Content, Part};
use serde_json::{Map, Value, json};

use crate::core::Failure;
use crate::dialects::fields::{Fields, wrong};

/// A content as blocks: a text is one of them, and what is absent none.
pub(super) fn list(content: Option<Value>, at: &str) -> Result<Vec<Fields>, Failure> {
    match content {
        None => Ok(Vec::new()),
        Some(Value::String(text)) => {
            let block = Map::from_iter([
                ("type".to_owned(), Value::from("text")),
                ("text".to_owned(), Value::from(text)),
            ]);
            Ok(vec![Fields::at(at, block)])
        }
        Some(Value::Array(blocks)) => blocks
            .into_iter()
            .enumerate()
            .map(|(index, block)| Fields::of(format!("{at}[{index}]"), block))
            .collect(),
        Some(other) => Err(wrong(at, "a string or a list of blocks", &other)),
    }
}

/// The parts of a block that a user or a tool may send; none where its type is another.
pub(super) fn parts(kind: &str, block: &mut Fields) -> Result<Option<Vec<Part>>, Failure> {
    Ok(Some(match kind {
        "text" => vec![text(block.require_str("text")?)],
        "image" => vec![image(block)?],
        "document" => document(block)?,
        "search_result" => search_result(block)?,
        // What a search for tools found: the tools themselves are in the request.
        "tool_reference" => vec![text(block.require_str("tool_name")?)],
        _ => return Ok(None),
    }))
}

pub(super) fn text(text: String) -> Part {
    Part {
        kind: "text".to_owned(),
        fields: Map::from_iter([("text".to_owned(), Value::from(text))]),
    }
}

/// One text where all parts are texts.
pub(super) fn content(parts: Vec<Part>) -> Content {
    match parts.iter().all(|part| part.kind == "text") {
        true => Content::Text(
            parts
                .iter()
                .filter_map(|part| part.fields.get("text")?.as_str())
                .collect(),
        ),
        false => Content::Parts(parts),
    }
}

fn source(block: &mut Fields) -> Result<(String, Fields), Failure> {
    let source = block.take_fields("source")?;
    let mut source = source.ok_or_else(|| block.missing("source"))?;
    Ok((source.require_str("type")?, source))
}

/// A picture in the form of OpenAI's parts, which is the one that the rest of the server knows.
fn image(block: &mut Fields) -> Result<Part, Failure> {
    let (kind, mut source) = source(block)?;
    let url = match kind.as_str() {
        "base64" => {
            let media = source.require_str("media_type")?;
            format!("data:{media};base64,{}", source.require_str("data")?)
        }
        "url" => source.require_str("url")?,
        _ => return Err(unreadable(&source, &kind, "base64 or url")),
    };
    Ok(Part {
        kind: "image_url".to_owned(),
        fields: Map::from_iter([("image_url".to_owned(), json!({ "url": url }))]),
    })
}

/// A document that is text, under its title.
fn document(block: &mut Fields) -> Result<Vec<Part>, Failure> {
    let (kind, mut source) = source(block)?;
    let mut parts = Vec::new();
    for name in ["title", "context"] {
        if let Some(line) = block.take_str(name)? {
            parts.push(text(format!("{line}\n")));
        }
    }
    match kind.as_str() {
        "text" => parts.push(text(source.require_str("data")?)),
        "content" => parts.extend(inner(&mut source)?),
        _ => return Err(unreadable(&source, &kind, "text or content")),
    }
    Ok(parts)
}

fn search_result(block: &mut Fields) -> Result<Vec<Part>, Failure> {
    let mut parts = Vec::new();
    for name in ["title", "source"] {
        parts.push(text(format!("{}\n", block.require_str(name)?)));
    }
    parts.extend(inner(block)?);
    Ok(parts)
}

/// The blocks inside a block: texts and pictures.
fn inner(block: &mut Fields) -> Result<Vec<Part>, Failure> {
    let at = block.path("content");
    let mut parts = Vec::new();
    for mut block in list(block.take_value("content"), &at)? {
        match block.require_str("type")?.as_str() {
            "text" => parts.push(text(block.require_str("text")?)),
            "image" => parts.push(image(&mut block)?),
            other => return Err(unreadable(&block, other, "text or image")),
        }
    }
    Ok(parts)
}

/// A type that cannot be read where it stands.
pub(super) fn unreadable(block: &Fields, found: &str, expected: &str) -> Failure {
    Failure::invalid(
        block.path("type"),
        format!("{expected} was expected, '{found}' cannot be read here"),
    )
}
