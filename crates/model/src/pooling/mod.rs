//! How the rows of a text become one vector, and scores of it (format notes 5.4.0).

mod classifier;
mod dense;

use hearth_compute::Activation;
use hearth_format::{Tensor, read_json};
use serde_json::Value as Json;

use crate::{NormSpec, Result, Settings, Spec};

/// Which rows of a text make its vector. The numbers are those of `pooling_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pooling {
    /// All of them: a vector per token.
    None = 0,
    /// Their mean.
    Mean = 1,
    /// The first.
    Cls = 2,
    /// The last.
    Last = 3,
    /// The one that the classifier reads, and its scores instead of a vector.
    Rank = 4,
}

impl Pooling {
    /// Its name in settings and on command lines.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Mean => "mean",
            Self::Cls => "cls",
            Self::Last => "last",
            Self::Rank => "rank",
        }
    }
}

/// What follows the rows.
#[derive(Clone, Debug, Default)]
pub struct Pooled {
    /// What the checkpoint asks for, if it says.
    pub declared: Option<Pooling>,
    /// Applied to the pooled vector, in order.
    pub dense: Vec<Dense>,
    /// Gives scores.
    pub classifier: Option<Classifier>,
}

/// A matrix `[outputs, inputs]` where the checkpoint keeps it, and its bias.
#[derive(Clone, Debug)]
pub struct Stored {
    /// The matrix.
    pub weight: Tensor,
    /// Added, `[outputs]`.
    pub bias: Option<Tensor>,
}

/// `activation(weight · x + bias)`.
#[derive(Clone, Debug)]
pub struct Dense {
    /// The matrix.
    pub stored: Stored,
    /// None is the identity.
    pub activation: Option<Activation>,
}

/// Scores of a text: `out · norm(activation(dense · pooled))`, each part optional but one.
#[derive(Clone, Debug)]
pub struct Classifier {
    /// Which row it reads: [`Pooling::Mean`], [`Pooling::Cls`] or [`Pooling::Last`].
    pub reads: Pooling,
    /// The first layer.
    pub dense: Option<Dense>,
    /// Norm of what that gives, and its weight.
    pub norm: Option<(NormSpec, Stored)>,
    /// The last layer.
    pub out: Option<Stored>,
    /// The score is the share of the first output in a softmax of all.
    pub softmax: bool,
    /// Names of the outputs; none where the checkpoint does not name them.
    pub labels: Vec<String>,
    /// One more separator stands between a query and a document, besides the end of the one.
    pub separator: bool,
    /// How a query and a document are put together, with `{query}` and `{document}` in their places.
    pub template: Option<String>,
}

impl Classifier {
    /// Number of scores.
    pub fn outputs(&self) -> usize {
        let last = self.out.as_ref();
        let last = last.or(self.dense.as_ref().map(|dense| &dense.stored));
        last.map_or(0, |stored| stored.weight.rows())
    }
}

impl Spec {
    /// The pooling to use where the caller has no wish: the checkpoint's; else the mean for a model that sees both ways,
    /// and the last row, which alone has seen everything, for the others.
    pub fn pooling(&self) -> Pooling {
        let silent = if self.sees_ahead() {
            Pooling::Mean
        } else {
            Pooling::Last
        };
        self.pooled.declared.unwrap_or(silent)
    }
}

/// What the checkpoint says of it.
///
/// # Errors
/// When it says something that is not known, or names weights that are not there.
pub(crate) fn read(s: &Settings<'_>, spec: &Spec) -> Result<Pooled> {
    let classifier = classifier::read(s, spec)?;
    let declared = match declared(s)? {
        None if classifier.is_some() => Some(Pooling::Rank),
        declared => declared,
    };
    Ok(Pooled {
        declared,
        dense: dense::read(s)?,
        classifier,
    })
}

/// `pooling_type` of a GGUF, `1_Pooling/config.json` of a directory.
fn declared(s: &Settings<'_>) -> Result<Option<Pooling>> {
    if s.is_gguf() {
        return match s.integer("pooling_type", &[])? {
            None => Ok(None),
            Some(number) => by_number(s, "pooling_type", number).map(Some),
        };
    }
    let Some(module) = modules(s)?.into_iter().find(|m| m.kind == "Pooling") else {
        return Ok(None);
    };
    let file = format!("{}/config.json", module.path);
    let Some(config) = side(s, &file)? else {
        return Err(s.wrong(
            &file,
            "no such file",
            "how rows are pooled, since modules.json names it",
        ));
    };
    let on = |key: &str| config.get(key).and_then(Json::as_bool) == Some(true);
    // Older files have a switch for each kind, newer ones a word.
    let chosen = [
        ("pooling_mode_mean_tokens", "mean", Pooling::Mean),
        ("pooling_mode_cls_token", "cls", Pooling::Cls),
        ("pooling_mode_lasttoken", "lasttoken", Pooling::Last),
    ];
    let word = config.get("pooling_mode").and_then(Json::as_str);
    let found: Vec<Pooling> = chosen
        .into_iter()
        .filter(|(key, name, _)| on(key) || word == Some(name))
        .map(|(_, _, pooling)| pooling)
        .collect();
    match found[..] {
        [one] => Ok(Some(one)),
        _ => Err(s.wrong(
            &file,
            config,
            "exactly one of mean, cls and last token: others are not known",
        )),
    }
}

fn by_number(s: &Settings<'_>, key: &str, number: usize) -> Result<Pooling> {
    use Pooling::{Cls, Last, Mean, None, Rank};
    [None, Mean, Cls, Last, Rank]
        .into_iter()
        .find(|pooling| *pooling as usize == number)
        .ok_or_else(|| s.wrong(key, number, "0 none, 1 mean, 2 cls, 3 last or 4 rank"))
}

/// An entry of `modules.json`.
struct Module {
    /// Last part of its class: Transformer, Pooling, Dense, Normalize.
    kind: String,
    /// Its directory.
    path: String,
}

/// The steps of a sentence-transformers repository, in order; none where it is no such repository.
fn modules(s: &Settings<'_>) -> Result<Vec<Module>> {
    const FILE: &str = "modules.json";
    let Some(list) = side(s, FILE)? else {
        return Ok(Vec::new());
    };
    let expected = "a list of objects with type and path";
    let list = list
        .as_array()
        .ok_or_else(|| s.wrong(FILE, &list, expected))?;
    let module = |entry: &Json| {
        let text = |key: &str| entry.get(key).and_then(Json::as_str);
        let (kind, path) = text("type").zip(text("path"))?;
        // A directory of the model's own, not a way out of it.
        let inside = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
        (path.chars().all(inside) && !path.starts_with('.')).then(|| Module {
            kind: kind.rsplit('.').next().unwrap_or(kind).to_owned(),
            path: path.to_owned(),
        })
    };
    list.iter()
        .map(|entry| module(entry).ok_or_else(|| s.wrong(FILE, entry, expected)))
        .collect()
}

/// A JSON file beside the weights.
fn side(s: &Settings<'_>, name: &str) -> Result<Option<Json>> {
    let Some(path) = s.checkpoint.side_file(name) else {
        return Ok(None);
    };
    read_json(&path, name)
        .map(Some)
        .map_err(|error| s.wrong(name, error, "a JSON file"))
}

/// The longest text that the repository was made for, where `sentence_bert_config.json` limits it further.
///
/// # Errors
/// When the file is damaged.
pub(crate) fn limit(s: &Settings<'_>) -> Result<Option<usize>> {
    let config = side(s, "sentence_bert_config.json")?;
    let length = config.and_then(|c| c.get("max_seq_length").and_then(Json::as_u64));
    Ok(length
        .and_then(|n| usize::try_from(n).ok())
        .filter(|n| *n > 0))
}

/// The tensors of a base name.
fn stored(s: &Settings<'_>, base: &str) -> Option<Stored> {
    let tensor = |part: &str| s.checkpoint.tensor(&format!("{base}.{part}")).cloned();
    Some(Stored {
        weight: tensor("weight")?,
        bias: tensor("bias"),
    })
}
