//! Classes of texts, in the forms of vLLM (`POST /v1/classify`) and of Hugging Face's inference server (`POST /predict`).
//!
//! | method and path | reads | tells | scope |
//! | --- | --- | --- | --- |
//! | POST /v1/classify, /classify | [`request`] | [`whole`] | use |
//! | POST /predict | [`predict`] | [`predictions`] | use |
//!
//! Errors are OpenAI's.

use serde_json::{Map, Value, json};

use super::fields::wrong;
use super::{Fields, Stamp, openai};
use crate::core::request::{Load, Piece};
use crate::core::{Classified, Failure};

/// Most texts of one request.
const MOST: usize = 2048;

/// Texts whose classes are asked for.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// The model, as the client wrote it.
    pub model: String,
    /// The texts.
    pub inputs: Vec<Piece>,
    /// How the model is loaded and how long it stays.
    pub load: Load,
}

/// Texts whose classes are asked for, of the one model that is served.
#[derive(Clone, Debug, Default)]
pub struct Predict {
    /// The model, where several are served.
    pub model: Option<String>,
    /// The texts.
    pub inputs: Vec<Piece>,
    /// How the model is loaded and how long it stays.
    pub load: Load,
    /// The model's own figures rather than shares.
    pub raw_scores: bool,
    /// It was one text, and is answered with one list.
    pub one: bool,
}

/// Reads a body of `/v1/classify`.
///
/// # Errors
/// A field is missing or of the wrong type.
pub fn request(body: Map<String, Value>) -> Result<Asked, Failure> {
    let mut body = Fields::new(body);
    let model = body.require_str("model")?;
    let (inputs, _) = texts(&mut body, "input")?;
    let load = load(&mut body)?;
    Ok(Asked {
        model,
        inputs,
        load,
    })
}

/// Reads a body of `/predict`.
///
/// # Errors
/// A field is missing or of the wrong type.
pub fn predict(body: Map<String, Value>) -> Result<Predict, Failure> {
    let mut body = Fields::new(body);
    let (inputs, one) = texts(&mut body, "inputs")?;
    Ok(Predict {
        model: body.take_str("model")?,
        inputs,
        load: load(&mut body)?,
        raw_scores: body.take_bool("raw_scores")?.unwrap_or(false),
        one,
    })
}

fn load(body: &mut Fields) -> Result<Load, Failure> {
    let keep_alive = body.take_value("keep_alive");
    let keep_alive = keep_alive.map(|value| openai::options::keep_alive("keep_alive", &value));
    Ok(Load {
        keep_alive: keep_alive.transpose()?,
        ..Load::default()
    })
}

/// One text or a list of them; whether it was one.
fn texts(body: &mut Fields, name: &str) -> Result<(Vec<Piece>, bool), Failure> {
    let value = body.take_value(name).ok_or_else(|| body.missing(name))?;
    let list = match value {
        Value::String(text) => return Ok((vec![Piece::Text(text)], true)),
        Value::Array(list) if list.is_empty() || list.len() > MOST => {
            let problem = format!("must be 1 to {MOST} texts, got {}", list.len());
            return Err(body.refuse(name, problem));
        }
        Value::Array(list) => list,
        other => return Err(wrong(name, "a string or a list of strings", &other)),
    };
    let texts = list.into_iter().enumerate().map(|(index, value)| {
        // Hugging Face's server takes each text in a list of its own too.
        let value = match value {
            Value::Array(mut one) if one.len() == 1 => one.remove(0),
            value => value,
        };
        match value {
            Value::String(text) => Ok(Piece::Text(text)),
            other => Err(wrong(&format!("{name}[{index}]"), "a string", &other)),
        }
    });
    Ok((texts.collect::<Result<_, _>>()?, false))
}

/// The answer to `/v1/classify`.
pub fn whole(classified: &Classified, stamp: &Stamp) -> Value {
    let data = classified.scores.iter().enumerate().map(|(index, scores)| {
        let probabilities = shares(scores);
        let best = best(&probabilities);
        json!({
            "index": index, "label": best.and_then(|best| classified.labels.get(best)),
            "probs": probabilities, "num_classes": scores.len(),
        })
    });
    json!({
        "id": format!("classify-{}", stamp.id), "object": "list", "created": stamp.seconds(),
        "model": classified.model, "data": data.collect::<Vec<_>>(),
        "usage": {"prompt_tokens": classified.tokens, "total_tokens": classified.tokens,
                  "completion_tokens": 0},
    })
}

/// The answer to `/predict`: of each text its classes, the likeliest first.
pub fn predictions(classified: &Classified, raw: bool, one: bool) -> Value {
    let mut lists = classified.scores.iter().map(|scores| {
        let scores = if raw { scores.clone() } else { shares(scores) };
        let mut order: Vec<usize> = (0..scores.len()).collect();
        order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
        let entry = |i: usize| json!({"score": scores[i], "label": classified.labels.get(i)});
        order.into_iter().map(entry).collect::<Value>()
    });
    match one {
        true => lists.next().unwrap_or_default(),
        false => lists.collect(),
    }
}

/// Scores as shares of 1: among several classes, or of one against its absence.
fn shares(scores: &[f32]) -> Vec<f32> {
    if let [score] = scores {
        return vec![1.0 / (1.0 + (-score).exp())];
    }
    let most = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f32> = scores.iter().map(|score| (score - most).exp()).collect();
    let sum: f32 = powers.iter().sum();
    powers.iter().map(|power| power / sum).collect()
}

fn best(shares: &[f32]) -> Option<usize> {
    let largest = |a: &usize, b: &usize| shares[*a].total_cmp(&shares[*b]);
    // Of equal ones the first.
    (0..shares.len()).rev().max_by(largest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    fn classified(scores: &[&[f32]]) -> Classified {
        Classified {
            model: "m".to_owned(),
            labels: vec!["bad".to_owned(), "good".to_owned()],
            scores: scores.iter().map(|scores| scores.to_vec()).collect(),
            tokens: 7,
        }
    }

    #[test]
    fn texts_in_every_shape() {
        for (input, expected, alone) in [
            (json!("a"), vec!["a"], true),
            (json!(["a", "b"]), vec!["a", "b"], false),
            (json!([["a"], "b"]), vec!["a", "b"], false),
        ] {
            let asked = predict(body(json!({ "inputs": input }))).unwrap();
            let expected: Vec<Piece> = expected
                .into_iter()
                .map(|t| Piece::Text(t.into()))
                .collect();
            assert_eq!((asked.inputs, asked.one), (expected, alone));
        }
        for (input, field) in [
            (json!([]), "inputs"),
            (json!([["a", "b"]]), "inputs[0]"),
            (json!(1), "inputs"),
            (Value::Null, "inputs"),
        ] {
            match predict(body(json!({ "inputs": input }))) {
                Err(Failure::Invalid { field: found, .. }) => assert_eq!(found, field),
                other => panic!("{other:?}"),
            }
        }
        assert!(request(body(json!({"input": "a"}))).is_err());
    }

    #[test]
    fn classes_as_shares() {
        let stamp = Stamp::new(std::time::UNIX_EPOCH, "x");
        let answer = whole(&classified(&[&[0.0, 0.0], &[-100.0, 100.0]]), &stamp);
        assert_eq!(answer["data"][0]["probs"], json!([0.5, 0.5]));
        assert_eq!(answer["data"][0]["label"], "bad");
        assert_eq!(answer["data"][1]["label"], "good");
        assert_eq!(answer["usage"]["total_tokens"], 7);
        assert_eq!(shares(&[0.0]), [0.5]);
    }

    #[test]
    fn predictions_are_sorted() {
        let all = classified(&[&[1.0, 3.0]]);
        let raw = json!([{"score": 3.0, "label": "good"}, {"score": 1.0, "label": "bad"}]);
        assert_eq!(predictions(&all, true, true), raw);
        assert_eq!(predictions(&all, true, false), json!([raw]));
        assert!(predictions(&all, false, true)[0]["score"].as_f64().unwrap() < 1.0);
    }
}
