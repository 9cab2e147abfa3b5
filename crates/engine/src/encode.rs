//! Texts that are not continued but read as wholes: embeddings, scores of documents, classes.

mod normalize;
mod pair;

pub use normalize::{Normalization, normalize};

use hearth_model::{Classifier, Head, Pooling, Spec, Text, Workspace};

use crate::{Engine, Error, Result};
use pair::Pair;

/// Rows of a step, unless one text alone has more: enough for products to run at full speed, few enough that any number
/// of texts takes the same memory.
pub(crate) const ROWS: usize = 2048;

/// What a model is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// It continues texts.
    pub generate: bool,
    /// It was made to turn texts into vectors.
    pub embed: bool,
    /// It scores documents by how well they answer a query.
    pub rerank: bool,
    /// It tells classes apart.
    pub classify: bool,
}

impl Capabilities {
    /// Those of a model. A decoder whose checkpoint names a pooling was made for vectors and continues nothing well.
    pub fn of(spec: &Spec) -> Self {
        let head = spec.output.head != Head::None;
        let pooling = spec.pooled.declared;
        let scores = spec.pooled.classifier.as_ref();
        let one = |c: &Classifier| c.softmax || c.outputs() == 1;
        Self {
            generate: head && pooling.is_none(),
            embed: pooling.map_or(!head, |pooling| pooling != Pooling::Rank),
            rerank: scores.is_some_and(one),
            classify: scores.is_some_and(|c| !one(c)),
        }
    }
}

/// Scores of documents.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ranked {
    /// In the order of the documents: the classifier's first output as it is (larger is better), or a share between 0
    /// and 1 where the model answers yes or no.
    pub scores: Vec<f32>,
    /// Tokens that were read: the query's once for each document.
    pub tokens: usize,
}

impl Engine {
    /// What the model is for.
    pub fn capabilities(&self) -> Capabilities {
        Capabilities::of(self.model.spec())
    }

    /// The vectors of texts, in their order and not normalised. The tokens include the special ones that the vocabulary
    /// puts around a text. Without a wish the checkpoint's pooling is used, or the model's usual one where it names none.
    /// With [`Pooling::None`] a vector is the rows of all tokens, one after the other; with [`Pooling::Rank`] the
    /// classifier's scores.
    ///
    /// # Errors
    /// When a text is empty or longer than the context, has a token that is not in the vocabulary, or scores are asked
    /// of a model that gives none. Nothing is cut.
    pub fn embed(&self, texts: &[Vec<u32>], pooling: Option<Pooling>) -> Result<Vec<Vec<f32>>> {
        let texts: Vec<Text<'_>> = texts.iter().map(|ids| Text::from(&ids[..])).collect();
        let pooling = pooling.unwrap_or_else(|| self.model.spec().pooling());
        self.encode(&texts, pooling)
    }

    /// How well each document answers the query.
    ///
    /// # Errors
    /// As [`Self::embed`]; the length is that of the query and a document together.
    pub fn rerank(&self, query: &str, documents: &[&str]) -> Result<Ranked> {
        let classifier = self.classifier()?;
        let pairs: Vec<Pair> = documents
            .iter()
            .map(|document| Pair::new(self.tokenizer(), classifier, query, document))
            .collect();
        let texts: Vec<Text<'_>> = pairs.iter().map(Pair::text).collect();
        let scores = self.encode(&texts, Pooling::Rank)?;
        let first = |scores: Vec<f32>| scores.first().copied().unwrap_or(0.0);
        Ok(Ranked {
            scores: scores.into_iter().map(first).collect(),
            tokens: texts.iter().map(|text| text.tokens.len()).sum(),
        })
    }

    /// The names of the classes whose scores [`Self::embed`] gives with [`Pooling::Rank`]. Those without one are called `LABEL_` and their number.
    ///
    /// # Errors
    /// When the model is no classifier.
    pub fn labels(&self) -> Result<Vec<String>> {
        let classifier = self.classifier()?;
        let label = |i: usize| {
            let named = classifier.labels.get(i).cloned();
            named.unwrap_or_else(|| format!("LABEL_{i}"))
        };
        Ok((0..classifier.outputs()).map(label).collect())
    }

    fn classifier(&self) -> Result<&Classifier> {
        let spec = self.model.spec();
        spec.pooled
            .classifier
            .as_ref()
            .ok_or(Error::Model(hearth_model::Error::NoClassifier {
                family: spec.family,
            }))
    }

    /// Any number of texts, in steps of at most [`ROWS`] rows or one text.
    fn encode(&self, texts: &[Text<'_>], pooling: Pooling) -> Result<Vec<Vec<f32>>> {
        let context = self.context();
        let long = texts.iter().find(|text| text.tokens.len() > context);
        if let Some(text) = long {
            let tokens = text.tokens.len();
            return Err(hearth_model::Error::Length { tokens, context }.into());
        }
        let mut work = Workspace::default();
        let mut vectors = Vec::with_capacity(texts.len());
        for step in steps(texts) {
            let encoded = self.model.encode(&mut work, step, pooling)?;
            let vector = |i| encoded.rows(i).flatten().copied().collect();
            vectors.extend((0..encoded.len()).map(vector));
        }
        Ok(vectors)
    }
}

/// Neighbours that together have at most [`ROWS`] rows, or one text that alone has more.
fn steps<'t, 'a>(mut texts: &'t [Text<'a>]) -> impl Iterator<Item = &'t [Text<'a>]> {
    std::iter::from_fn(move || {
        let mut rows = 0usize;
        let fits = |text: &&Text<'_>| {
            rows = rows.saturating_add(text.tokens.len());
            rows <= ROWS
        };
        let count = texts
            .iter()
            .take_while(fits)
            .count()
            .max(1)
            .min(texts.len());
        let (step, rest) = texts.split_at(count);
        texts = rest;
        (!step.is_empty()).then_some(step)
    })
}

#[cfg(test)]
mod tests;
