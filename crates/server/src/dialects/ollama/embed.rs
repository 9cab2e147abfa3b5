//! `POST /api/embed` and the older `/api/embeddings` (reference 5.6, 5.7).

use serde_json::{Map, Value, json};

use super::super::Fields;
use super::common::{keep_alive, model, model_is_required, parse_name};
use super::part::number;
use super::{frames, ignored, options};
use crate::core::request::Piece;
use crate::core::{Embedded, Embedding, Failure, Request};

/// A request for vectors as it was understood. Without inputs the model is only loaded.
#[derive(Clone, Debug)]
pub struct AskedVectors {
    /// The same for the engine.
    pub embedding: Embedding,
    /// It came by the older route, which takes one text and answers one vector.
    pub old: bool,
    /// What was ignored, in words.
    pub warnings: Vec<String>,
}

/// Reads a body of `/api/embed`.
///
/// # Errors
/// A field says what cannot be; without a model, no model of the empty name is known.
pub fn embed(body: Map<String, Value>) -> Result<AskedVectors, Failure> {
    let (mut asked, mut fields) = begin(body, false)?;
    if asked.embedding.model.is_empty() {
        return Err(Failure::UnknownModel(String::new()));
    }
    let embedding = &mut asked.embedding;
    embedding.truncate = fields.take_bool("truncate")?.unwrap_or(true);
    embedding.dimensions = fields
        .take_i64("dimensions")?
        .and_then(|n| usize::try_from(n).ok())
        .filter(|n| *n > 0);
    embedding.inputs = inputs(fields.take_value("input"))?;
    finish(asked, &fields)
}

/// Reads a body of `/api/embeddings`.
///
/// # Errors
/// A field says what cannot be.
pub fn embeddings(body: Map<String, Value>) -> Result<AskedVectors, Failure> {
    let (mut asked, mut fields) = begin(body, true)?;
    if asked.embedding.model.is_empty() {
        return Err(model_is_required());
    }
    let prompt = fields
        .take_str("prompt")?
        .filter(|prompt| !prompt.is_empty());
    asked.embedding.truncate = true;
    asked.embedding.inputs.extend(prompt.map(Piece::Text));
    finish(asked, &fields)
}

fn begin(body: Map<String, Value>, old: bool) -> Result<(AskedVectors, Fields), Failure> {
    let mut fields = Fields::new(body);
    let (mut request, mut warnings) = (Request::default(), Vec::new());
    options::read(&mut fields, &mut request, &mut warnings)?;
    request.load.keep_alive = keep_alive(&mut fields)?;
    let embedding = Embedding {
        model: model(&mut fields)?,
        load: request.load,
        ..Embedding::default()
    };
    Ok((
        AskedVectors {
            embedding,
            old,
            warnings,
        },
        fields,
    ))
}

fn finish(mut asked: AskedVectors, fields: &Fields) -> Result<AskedVectors, Failure> {
    parse_name("model", &asked.embedding.model)?;
    asked
        .warnings
        .extend(fields.rest().iter().map(|name| ignored(name)));
    Ok(asked)
}

/// A text or a list of them; an empty text alone is none.
fn inputs(value: Option<Value>) -> Result<Vec<Piece>, Failure> {
    let invalid = || Failure::invalid("input", "invalid input type");
    let text = |value: Value| match value {
        Value::String(text) => Ok(Piece::Text(text)),
        _ => Err(invalid()),
    };
    match value {
        None => Ok(Vec::new()),
        Some(Value::String(text)) if text.is_empty() => Ok(Vec::new()),
        Some(Value::Array(list)) => list.into_iter().map(text).collect(),
        Some(other) => text(other).map(|one| vec![one]),
    }
}

/// The answer; with no vectors where the model was only loaded.
///
/// # Errors
/// A value is no number.
pub fn embedded(asked: &AskedVectors, vectors: &Embedded) -> Result<Value, Failure> {
    if vectors
        .vectors
        .iter()
        .flatten()
        .any(|value| !value.is_finite())
    {
        return Err(Failure::invalid(
            "input",
            "the model made a vector with values that are no numbers: send another text or use another model",
        ));
    }
    if asked.old {
        let empty = Vec::new();
        let one = vectors.vectors.first().unwrap_or(&empty);
        let wide: Vec<f64> = one.iter().map(|value| f64::from(*value)).collect();
        return Ok(json!({ "embedding": wide }));
    }
    let mut answer = Map::new();
    answer.insert("model".to_owned(), json!(asked.embedding.model));
    let digits = |vector: &Vec<f32>| {
        vector
            .iter()
            .map(|value| number(*value))
            .collect::<Vec<_>>()
    };
    let embeddings: Vec<_> = vectors.vectors.iter().map(digits).collect();
    answer.insert("embeddings".to_owned(), json!(embeddings));
    if asked.embedding.inputs.is_empty() {
        return Ok(Value::Object(answer));
    }
    // Readers need the three numbers, also where one is 0.
    answer.insert(
        "total_duration".to_owned(),
        json!(frames::nanoseconds(vectors.total)),
    );
    answer.insert(
        "load_duration".to_owned(),
        json!(frames::nanoseconds(vectors.load)),
    );
    answer.insert("prompt_eval_count".to_owned(), json!(vectors.tokens));
    let warnings: Vec<&String> = asked.warnings.iter().chain(&vectors.warnings).collect();
    answer.insert(
        "hearth".to_owned(),
        json!({ "truncated": vectors.truncated, "warnings": warnings }),
    );
    Ok(Value::Object(answer))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::core::request::KeepAlive;

    fn of(body: Value) -> Result<AskedVectors, Failure> {
        embed(body.as_object().unwrap().clone())
    }

    fn old(body: Value) -> Result<AskedVectors, Failure> {
        embeddings(body.as_object().unwrap().clone())
    }

    fn text(text: &str) -> Piece {
        Piece::Text(text.into())
    }

    #[test]
    fn inputs_and_defaults() {
        for (input, expected) in [
            (json!("a"), vec![text("a")]),
            (json!(["a", ""]), vec![text("a"), text("")]),
            (json!(""), vec![]),
            (json!([]), vec![]),
            (Value::Null, vec![]),
        ] {
            assert_eq!(
                of(json!({"model": "m", "input": input}))
                    .unwrap()
                    .embedding
                    .inputs,
                expected
            );
        }
        let asked = of(json!({
            "model": "m", "input": "a", "options": {"num_ctx": 512, "temperature": null}, "keep_alive": "1m", "zed": 1,
        }))
        .unwrap();
        assert!(asked.embedding.truncate && !asked.old);
        assert_eq!(asked.embedding.dimensions, None);
        assert_eq!(asked.embedding.load.context, Some(512));
        assert_eq!(
            asked.embedding.load.keep_alive,
            Some(KeepAlive::For(Duration::from_secs(60)))
        );
        assert_eq!(asked.warnings, ["zed is ignored: not known here"]);
        let asked =
            of(json!({"model": "m", "input": "a", "truncate": false, "dimensions": 8})).unwrap();
        assert_eq!(
            (asked.embedding.truncate, asked.embedding.dimensions),
            (false, Some(8))
        );
        assert_eq!(
            of(json!({"model": "m", "dimensions": 0}))
                .unwrap()
                .embedding
                .dimensions,
            None
        );
        let asked = old(json!({"model": "m", "prompt": "a"})).unwrap();
        assert_eq!((asked.embedding.inputs, asked.old), (vec![text("a")], true));
    }

    #[test]
    fn refusals() {
        let invalid = Failure::invalid;
        for (input, expected) in [
            (json!(1), "invalid input type"),
            (json!([[1, 2]]), "invalid input type"),
        ] {
            assert_eq!(
                of(json!({"model": "m", "input": input})).unwrap_err(),
                invalid("input", expected)
            );
        }
        assert_eq!(
            of(json!({})).unwrap_err(),
            Failure::UnknownModel(String::new())
        );
        assert_eq!(
            of(json!({"model": "a b"})).unwrap_err(),
            invalid("model", "invalid model name")
        );
        assert_eq!(
            old(json!({})).unwrap_err(),
            invalid("model", "model is required")
        );
        assert_eq!(
            old(json!({"model": "a b"})).unwrap_err(),
            invalid("model", "invalid model name")
        );
    }

    #[test]
    fn answers() {
        let vectors = Embedded {
            vectors: vec![vec![0.6, 0.8]],
            tokens: 8,
            truncated: 1,
            load: Duration::from_nanos(1_019_500),
            total: Duration::from_nanos(14_143_917),
            ..Embedded::default()
        };
        let asked = of(json!({"model": "all-minilm", "input": "a"})).unwrap();
        let answer = embedded(&asked, &vectors).unwrap();
        assert_eq!(
            answer.to_string(),
            r#"{"model":"all-minilm","embeddings":[[0.6,0.8]],"total_duration":14143917,"load_duration":1019500,"prompt_eval_count":8,"hearth":{"truncated":1,"warnings":[]}}"#
        );
        let old_asked = old(json!({"model": "m", "prompt": "a"})).unwrap();
        let answer = embedded(&old_asked, &vectors).unwrap();
        assert_eq!(
            answer,
            json!({"embedding": [f64::from(0.6_f32), f64::from(0.8_f32)]})
        );
        // Loading only.
        let none = Embedded::default();
        let asked = of(json!({"model": "m", "input": ""})).unwrap();
        assert_eq!(
            embedded(&asked, &none).unwrap(),
            json!({"model": "m", "embeddings": []})
        );
        assert_eq!(
            embedded(&old(json!({"model": "m"})).unwrap(), &none).unwrap(),
            json!({"embedding": []})
        );
        let broken = Embedded {
            vectors: vec![vec![f32::NAN]],
            ..none
        };
        assert!(matches!(
            embedded(&asked, &broken),
            Err(Failure::Invalid { .. })
        ));
    }
}
