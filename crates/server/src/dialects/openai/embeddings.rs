//! `POST /v1/embeddings`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use crate::core::request::{Load, Piece};
use crate::core::{Embedded, Embedding, Failure};
use crate::dialects::Fields;
use crate::dialects::fields::{integer, wrong};

use super::answer::number;
use super::chat::read_model;
use super::options;

/// Most texts of one request.
pub const MOST_INPUTS: usize = 2048;

/// What is to be embedded and how it is told.
#[derive(Clone, Debug, Default)]
pub struct Embed {
    /// The same for the engine.
    pub embedding: Embedding,
    /// Little-endian f32 in base64 rather than a list of numbers.
    pub base64: bool,
    /// Paths of fields that nobody read.
    pub ignored: Vec<String>,
}

/// Reads a body.
///
/// # Errors
/// A field is missing, of the wrong type, or says what cannot be.
pub fn request(body: Map<String, Value>) -> Result<Embed, Failure> {
    let mut body = Fields::new(body);
    let model = read_model(&mut body)?;
    let foreign = body.take_bool("allow_token_ids")? != Some(true);
    let inputs = read_inputs(&mut body, foreign)?;
    let dimensions = body.take_usize("dimensions")?;
    if dimensions == Some(0) {
        return Err(body.refuse("dimensions", "must be 1 or more, got 0"));
    }
    let base64 = match body.take_str("encoding_format")?.as_deref() {
        None | Some("" | "float") => false,
        Some("base64") => true,
        Some(other) => {
            let problem = format!("must be \"float\" or \"base64\", got {other:?}");
            return Err(body.refuse("encoding_format", problem));
        }
    };
    let truncate = body.take_bool("truncate")?.unwrap_or(true);
    let keep_alive = body
        .take_value("keep_alive")
        .map(|value| options::keep_alive("keep_alive", &value))
        .transpose()?;
    body.ignore(&["user", "options"]);
    let ignored = body.rest();
    let load = Load {
        keep_alive,
        ..Load::default()
    };
    Ok(Embed {
        embedding: Embedding {
            model,
            inputs,
            truncate,
            dimensions,
            load,
            ..Embedding::default()
        },
        base64,
        ignored,
    })
}

fn read_inputs(body: &mut Fields, foreign: bool) -> Result<Vec<Piece>, Failure> {
    let value = body
        .take_value("input")
        .ok_or_else(|| Failure::invalid("input", "invalid input: input is required"))?;
    let list = match value {
        Value::String(text) => return Ok(vec![Piece::Text(text)]),
        Value::Array(list) if list.is_empty() => {
            return Err(Failure::invalid(
                "input",
                "invalid input: input must not be an empty list",
            ));
        }
        // One list of numbers is one input.
        Value::Array(list) if list.iter().all(Value::is_number) => vec![Value::Array(list)],
        Value::Array(list) => list,
        other => return Err(wrong("input", "a string or a list of strings", &other)),
    };
    if list.len() > MOST_INPUTS {
        let problem = format!("must be at most {MOST_INPUTS} texts, got {}", list.len());
        return Err(body.refuse("input", problem));
    }
    list.into_iter()
        .enumerate()
        .map(|(index, value)| read_input(index, value, foreign))
        .collect()
}

fn read_input(index: usize, value: Value, foreign: bool) -> Result<Piece, Failure> {
    let path = format!("input[{index}]");
    match value {
        Value::String(text) => Ok(Piece::Text(text)),
        // Clients that send ids made them with another vocabulary: the vectors would be of other words, and nobody would
        // notice.
        Value::Array(list) if foreign && list.iter().all(Value::is_number) => {
            Err(Failure::invalid(
                path,
                "invalid input type: input is token ids, which clients make with a vocabulary that is not this model's: send \
             text (LangChain: check_embedding_ctx_length=False), or set allow_token_ids if they are this model's own",
            ))
        }
        Value::Array(list) => {
            let ids = list.iter().map(|id| {
                integer(id)
                    .and_then(|id| u32::try_from(id).ok())
                    .ok_or_else(|| wrong(&path, "a text or a list of token ids", id))
            });
            Ok(Piece::Tokens(ids.collect::<Result<_, _>>()?))
        }
        other => Err(wrong(&path, "a string", &other)),
    }
}

/// The answer.
///
/// # Errors
/// More dimensions are asked for than there are.
pub fn whole(asked: &Embed, embedded: Embedded) -> Result<Value, Failure> {
    let mut data = Vec::with_capacity(embedded.vectors.len());
    for (index, vector) in embedded.vectors.into_iter().enumerate() {
        if let Some(dimensions) = asked.embedding.dimensions.filter(|n| *n > vector.len()) {
            let message = format!(
                "dimensions is {dimensions}, the vectors of this model have {}",
                vector.len()
            );
            return Err(Failure::invalid("dimensions", message));
        }
        let embedding = if asked.base64 {
            let bytes: Vec<u8> = vector.iter().flat_map(|x| x.to_le_bytes()).collect();
            json!(STANDARD.encode(bytes))
        } else {
            vector.iter().map(|x| number(*x)).collect()
        };
        data.push(json!({"object": "embedding", "index": index, "embedding": embedding}));
    }
    let mut whole = json!({
        "object": "list", "data": data, "model": embedded.model,
        "usage": {"prompt_tokens": embedded.tokens, "total_tokens": embedded.tokens},
    });
    let unknown = asked.ignored.iter();
    let unknown = unknown.map(|path| format!("the field {path} is not known and was ignored"));
    let warnings: Vec<String> = embedded.warnings.into_iter().chain(unknown).collect();
    if !warnings.is_empty() {
        whole["hearth"] = json!({ "warnings": warnings });
    }
    Ok(whole)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::dialects::openai::testing::{body, names_something, object};

    fn ask(value: Value) -> Embed {
        request(body(value)).unwrap()
    }

    fn texts(texts: &[&str]) -> Vec<Piece> {
        texts
            .iter()
            .map(|text| Piece::Text((*text).to_owned()))
            .collect()
    }

    fn embedded(vectors: &[&[f32]]) -> Embedded {
        Embedded {
            model: "m".to_owned(),
            vectors: vectors.iter().map(|vector| vector.to_vec()).collect(),
            tokens: 5,
            ..Embedded::default()
        }
    }

    #[test]
    fn inputs_in_every_shape() {
        for (input, expected) in [
            (json!("a"), texts(&["a"])),
            (json!(""), texts(&[""])),
            (json!(["a", ""]), texts(&["a", ""])),
        ] {
            assert_eq!(
                ask(json!({"model": "m", "input": input})).embedding.inputs,
                expected,
                "{input}"
            );
        }
        let own = ask(json!({"model": "m", "input": [[1, 2], "a"], "allow_token_ids": true}));
        assert_eq!(own.embedding.inputs[0], Piece::Tokens(vec![1, 2]));
    }

    #[test]
    fn refusals_name_their_field() {
        for (extra, field, text) in [
            (json!({"input": null}), "input", "invalid input"),
            (json!({"input": []}), "input", "invalid input"),
            (json!({"input": [1, 2]}), "input[0]", "send text"),
            (json!({"input": [[1], [2]]}), "input[0]", "send text"),
            (json!({"input": {"content": []}}), "input", "must be"),
            (
                json!({"encoding_format": "int8"}),
                "encoding_format",
                "must be",
            ),
            (json!({"dimensions": 0}), "dimensions", "must be"),
        ] {
            let mut value = body(json!({"model": "m", "input": "a"}));
            value.extend(body(extra.clone()));
            match request(value) {
                Err(Failure::Invalid {
                    field: found,
                    message,
                }) => {
                    assert_eq!(found, field, "{extra}");
                    assert!(message.contains(text), "{message}");
                }
                other => panic!("{extra}: {other:?}"),
            }
        }
    }

    #[test]
    fn floats_and_base64_are_the_same_numbers() {
        let vectors: &[&[f32]] = &[&[0.1, -2.5, 3e-9], &[1.0, 0.0, f32::MIN_POSITIVE]];
        let floats = whole(&ask(json!({"model": "m", "input": "a"})), embedded(vectors)).unwrap();
        let encoded = ask(json!({"model": "m", "input": "a", "encoding_format": "base64"}));
        let encoded = whole(&encoded, embedded(vectors)).unwrap();
        for (index, vector) in vectors.iter().enumerate() {
            let list = floats["data"][index]["embedding"].as_array().unwrap();
            let read: Vec<f32> = list.iter().map(|x| x.as_f64().unwrap() as f32).collect();
            assert_eq!(&read, vector);
            let bytes = STANDARD
                .decode(encoded["data"][index]["embedding"].as_str().unwrap())
                .unwrap();
            let read: Vec<f32> = bytes
                .chunks(4)
                .map(|b| f32::from_le_bytes(b.try_into().unwrap()))
                .collect();
            assert_eq!(&read, vector);
        }
        assert_eq!(floats["data"][0]["object"], "embedding");
        assert_eq!(
            floats["usage"],
            json!({"prompt_tokens": 5, "total_tokens": 5})
        );
        assert!(floats.to_string().contains("[0.1,-2.5,3e-9]"), "{floats}");
    }

    #[test]
    fn more_dimensions_than_there_are() {
        let asked = |n: usize| ask(json!({"model": "m", "input": "a", "dimensions": n}));
        assert!(whole(&asked(2), embedded(&[&[3.0, 4.0]])).is_ok());
        assert!(whole(&asked(4), embedded(&[&[3.0, 4.0]])).is_err());
    }

    proptest! {
        #[test]
        fn no_body_panics(body in object()) {
            if let Err(failure) = request(body) {
                prop_assert!(names_something(&failure), "{failure:?}");
            }
        }
    }
}
