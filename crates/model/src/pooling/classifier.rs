//! The head of rerankers and classifiers (format notes 5.4.0, 5.4.1, 5.4.4, 5.4.6).

use hearth_compute::{Activation, NormKind};
use hearth_format::Text;
use serde_json::Value as Json;

use super::{Classifier, Dense, Pooling, by_number, stored};
use crate::{NormSpec, Result, Settings, Spec};

/// Where a head keeps its parts.
struct Form {
    dense: Option<&'static str>,
    activation: Activation,
    norm: Option<&'static str>,
    out: &'static str,
}

/// Heads of `ForSequenceClassification` by their tensors, the most particular first. The pooler of BERT is the first
/// layer of its classifier.
const FORMS: [Form; 6] = [
    form(
        Some("classifier.dense"),
        Activation::Tanh,
        None,
        "classifier.out_proj",
    ),
    form(
        Some("head.dense"),
        Activation::GeluErf,
        Some("head.norm"),
        "classifier",
    ),
    form(
        Some("bert.pooler.dense"),
        Activation::Tanh,
        None,
        "classifier",
    ),
    form(
        Some("new.pooler.dense"),
        Activation::Tanh,
        None,
        "classifier",
    ),
    form(None, Activation::Tanh, None, "classifier"),
    form(None, Activation::Tanh, None, "score"),
];

const fn form(
    dense: Option<&'static str>,
    activation: Activation,
    norm: Option<&'static str>,
    out: &'static str,
) -> Form {
    Form {
        dense,
        activation,
        norm,
        out,
    }
}

pub(super) fn read(s: &Settings<'_>, spec: &Spec) -> Result<Option<Classifier>> {
    let found = if s.is_gguf() {
        from_gguf(s, spec)?
    } else {
        from_directory(s, spec)?
    };
    let Some(classifier) = found else {
        return Ok(None);
    };
    let (labels, outputs) = (classifier.labels.len(), classifier.outputs());
    if labels > 0 && labels != outputs {
        return Err(s.wrong(
            "labels of the classifier",
            labels,
            format!("{outputs}, one per output"),
        ));
    }
    Ok(Some(classifier))
}

fn from_gguf(s: &Settings<'_>, spec: &Spec) -> Result<Option<Classifier>> {
    let (dense, out) = (stored(s, "cls"), stored(s, "cls.output"));
    if dense.is_none() && out.is_none() {
        return Ok(None);
    }
    let norm = stored(s, "cls.norm");
    let key = "classifier.pooling_type";
    let reads = match s.integer(key, &[])? {
        Some(number) => reads(s, key, by_number(s, key, number)?)?,
        None => row(spec),
    };
    let metadata = s.checkpoint.metadata();
    let list = metadata.strings(&format!("{}.classifier.output_labels", s.architecture));
    let label = |text: &Text| String::from_utf8_lossy(text).into_owned();
    let labels: Vec<String> = list.unwrap_or_default().iter().map(label).collect();
    Ok(Some(Classifier {
        reads,
        dense: dense.map(|stored| Dense {
            stored,
            activation: Some(if norm.is_some() {
                Activation::GeluErf
            } else {
                Activation::Tanh
            }),
        }),
        norm: norm.map(|stored| (norm_like(spec), stored)),
        out,
        softmax: labels == ["yes", "no"],
        labels,
        separator: metadata.bool("tokenizer.ggml.add_sep_token") == Some(true),
        template: metadata
            .string("tokenizer.chat_template.rerank")
            .map(str::to_owned),
    }))
}

fn from_directory(s: &Settings<'_>, spec: &Spec) -> Result<Option<Classifier>> {
    let classes = s
        .checkpoint
        .config()
        .get("architectures")
        .and_then(Json::as_array);
    let class = classes.and_then(|list| list.first()).and_then(Json::as_str);
    // The heads of other tasks bear the same names.
    if !class.is_some_and(|class| class.ends_with("ForSequenceClassification")) {
        return Ok(None);
    }
    let has = |base: &str| s.checkpoint.tensor(&format!("{base}.weight")).is_some();
    let Some(form) = FORMS
        .iter()
        .find(|form| has(form.out) && form.dense.is_none_or(has))
    else {
        return Err(s.wrong(
            "architectures",
            class.unwrap_or_default(),
            "a classifier in the weights; none is there",
        ));
    };
    let reads = match s.json("classifier_pooling").and_then(Json::as_str) {
        Some("mean") => Pooling::Mean,
        Some("cls") => Pooling::Cls,
        Some(other) => return Err(s.wrong("classifier_pooling", other, "cls or mean")),
        None => row(spec),
    };
    Ok(Some(Classifier {
        reads,
        dense: form
            .dense
            .and_then(|base| stored(s, base))
            .map(|stored| Dense {
                stored,
                activation: Some(form.activation),
            }),
        norm: form
            .norm
            .and_then(|base| stored(s, base))
            .map(|stored| (norm_like(spec), stored)),
        out: stored(s, form.out),
        softmax: false,
        labels: labels(s)?,
        // Tokenizers of this family write `<s> q </s></s> d </s>`.
        separator: spec.family == "xlm_roberta",
        template: None,
    }))
}

/// `id2label`.
fn labels(s: &Settings<'_>) -> Result<Vec<String>> {
    let Some(names) = s
        .checkpoint
        .config()
        .get("id2label")
        .and_then(Json::as_object)
    else {
        return Ok(Vec::new());
    };
    let one = |i: usize| names.get(&i.to_string()).and_then(Json::as_str);
    let list: Option<Vec<String>> = (0..names.len())
        .map(|i| one(i).map(str::to_owned))
        .collect();
    list.ok_or_else(|| {
        s.wrong(
            "id2label",
            Json::Object(names.clone()),
            "names for 0, 1, 2 and so on",
        )
    })
}

/// The row that has seen the whole text.
fn row(spec: &Spec) -> Pooling {
    if spec.sees_ahead() {
        Pooling::Cls
    } else {
        Pooling::Last
    }
}

fn reads(s: &Settings<'_>, key: &str, pooling: Pooling) -> Result<Pooling> {
    match pooling {
        Pooling::Mean | Pooling::Cls | Pooling::Last => Ok(pooling),
        Pooling::None | Pooling::Rank => Err(s.wrong(key, pooling.name(), "mean, cls or last")),
    }
}

/// The head's norm is of the kind of the model's last.
fn norm_like(spec: &Spec) -> NormSpec {
    let last = spec.output.norm.clone();
    last.unwrap_or(NormSpec {
        role: "cls.norm",
        kind: NormKind::Layer,
        eps: 1e-5,
        plus_one: false,
    })
}
