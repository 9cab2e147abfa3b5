//! `POST /rerank` as Jina, Cohere and Hugging Face's inference server (TEI) write it.
//!
//! A body with `texts` is TEI's and is answered with a bare list. The others are answered with an object that has the
//! fields of Jina's and of Cohere's answers.

use serde_json::{Map, Value, json};

use crate::core::Failure;
use crate::dialects::fields::{Fields, wrong};
use crate::dialects::frame::Stamp;

/// What is to be ranked.
#[derive(Clone, Debug, PartialEq)]
pub struct Rerank {
    /// The model, where several are served.
    pub model: Option<String>,
    /// What is looked for.
    pub query: String,
    /// Texts of which the ones that fit it best are wanted; never empty.
    pub documents: Vec<String>,
    /// So many of the best.
    pub top: usize,
    /// With their texts.
    pub texts: bool,
    /// As TEI answers.
    pub bare: bool,
    /// TEI: the model's own figures rather than ones between 0 and 1.
    pub raw_scores: bool,
    /// What was left out, in words.
    pub warnings: Vec<String>,
}

/// Reads the body.
///
/// # Errors
/// With the field that says what cannot be.
pub fn request(body: Map<String, Value>) -> Result<Rerank, Failure> {
    let mut fields = Fields::new(body);
    let bare = fields.has("texts");
    let name = if bare { "texts" } else { "documents" };
    let query = fields.require_str("query")?;
    let list = fields.take_list(name)?.unwrap_or_default();
    if list.is_empty() {
        return Err(fields.refuse(name, "must be a list of strings that is not empty"));
    }
    let each = list.into_iter().enumerate();
    let documents = each
        .map(|(index, value)| document(&format!("{name}[{index}]"), value))
        .collect::<Result<Vec<_>, _>>()?;
    let top = match fields.take_usize("top_n")? {
        Some(0) => return Err(fields.refuse("top_n", "must be at least 1")),
        top => top.unwrap_or(documents.len()).min(documents.len()),
    };
    let texts = [
        fields.take_bool("return_text")?,
        fields.take_bool("return_documents")?,
    ];
    let mut rerank = Rerank {
        model: fields.take_str("model")?,
        query,
        documents,
        top,
        texts: texts.contains(&Some(true)),
        bare,
        raw_scores: fields.take_bool("raw_scores")?.unwrap_or(!bare),
        warnings: Vec::new(),
    };
    fields.ignore(&[
        "truncate",
        "truncation_direction",
        "max_tokens_per_doc",
        "max_chunks_per_doc",
        "priority",
    ]);
    rerank.warnings.extend(
        fields
            .rest()
            .into_iter()
            .map(|name| format!("{name} is not known here")),
    );
    Ok(rerank)
}

/// A text, or an object that has one.
fn document(path: &str, value: Value) -> Result<String, Failure> {
    match value {
        Value::String(text) => Ok(text),
        Value::Object(map) => Fields::at(path, map).require_str("text"),
        other => Err(wrong(path, "a string or an object with text", &other)),
    }
}

/// The answer: the score of each document in their order, and the tokens that were read.
pub fn answer(rerank: &Rerank, stamp: &Stamp, model: &str, scores: &[f32], tokens: usize) -> Value {
    let mut order: Vec<usize> = (0..rerank.documents.len().min(scores.len())).collect();
    // Equal ones stay in their order.
    order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
    order.truncate(rerank.top);
    let (score, text) = match rerank.bare {
        true => ("score", "text"),
        false => ("relevance_score", "document"),
    };
    let results = order.into_iter().map(|index| {
        let mut result = json!({ "index": index, score: scores[index] });
        if rerank.texts {
            let document = &rerank.documents[index];
            result[text] = match rerank.bare {
                true => json!(document),
                false => json!({ "text": document }),
            };
        }
        result
    });
    let results: Vec<Value> = results.collect();
    if rerank.bare {
        return Value::Array(results);
    }
    json!({
        "id": stamp.id, "model": model, "object": "list",
        "usage": { "prompt_tokens": tokens, "total_tokens": tokens },
        "results": results,
        "meta": { "api_version": { "version": "2" }, "billed_units": { "search_units": 1 } },
    })
}
