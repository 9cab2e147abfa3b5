//! Texts read as wholes: rows, vectors and scores instead of logits.

use std::{ops::Range, slice::ChunksExact};

use hearth_compute::{Backend, Linear};

use crate::{
    Error, Model, Pooling, Result, Workspace,
    executor::{Caches, Logits, Run},
    weights::{DenseWeights, Projection},
};

/// A text to encode, from position 0 on.
#[derive(Clone, Copy, Debug)]
pub struct Text<'a> {
    /// Its tokens, special ones included; not empty.
    pub tokens: &'a [u32],
    /// Where its second part begins, for models that were taught to tell two parts apart (a query and a document).
    pub second: usize,
}

impl<'a> From<&'a [u32]> for Text<'a> {
    fn from(tokens: &'a [u32]) -> Self {
        Self {
            tokens,
            second: tokens.len(),
        }
    }
}

/// What came of the texts of a step.
#[derive(Clone, Debug, Default)]
pub struct Encoded {
    values: Vec<f32>,
    width: usize,
    /// Rows of each text.
    ranges: Vec<Range<usize>>,
}

impl Encoded {
    /// Number of texts.
    pub fn len(&self) -> usize {
        self.ranges.len()
    }

    /// Whether there was no text.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Values of a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// What came of a text: with [`Pooling::None`] a row per token, else one.
    ///
    /// # Panics
    /// When there is no such text.
    pub fn rows(&self, text: usize) -> ChunksExact<'_, f32> {
        let Range { start, end } = self.ranges[text];
        self.values[start * self.width..end * self.width].chunks_exact(self.width.max(1))
    }
}

impl<B: Backend> Model<B> {
    /// Encodes texts in one step, reading the weights once. No cache is kept: keys and values live for a layer.
    ///
    /// With [`Pooling::None`] the result is the last hidden row of each token; with [`Pooling::Rank`] the classifier's
    /// scores; else the pooled vector after the model's dense layers, not normalised.
    ///
    /// # Errors
    /// When a text is empty or longer than the model's context, an id is outside the vocabulary, or scores are asked of
    /// a model without a classifier.
    pub fn encode(
        &self,
        work: &mut Workspace<B>,
        texts: &[Text<'_>],
        pooling: Pooling,
    ) -> Result<Encoded> {
        let spec = self.spec();
        for text in texts {
            let (tokens, context) = (text.tokens.len(), spec.context);
            if tokens == 0 || tokens > context {
                return Err(Error::Length { tokens, context });
            }
        }
        if pooling == Pooling::Rank && spec.pooled.classifier.is_none() {
            return Err(Error::NoClassifier {
                family: spec.family,
            });
        }
        if texts.is_empty() {
            return Ok(Encoded::default());
        }
        let mut states: Vec<_> = texts.iter().map(|_| self.state()).collect();
        let mut runs: Vec<Run<'_, B>> = states
            .iter_mut()
            .zip(texts)
            .map(|(state, text)| Run {
                state,
                tokens: text.tokens,
                logits: Logits::None,
            })
            .collect();
        let kind = |text: &Text<'_>| {
            let second = text.second.min(text.tokens.len());
            (0..text.tokens.len()).map(move |i| u32::from(i >= second))
        };
        let kinds: Vec<u32> = match spec.input.types {
            0 | 1 => Vec::new(),
            _ => texts.iter().flat_map(kind).collect(),
        };
        let spans = self
            .hidden(work, &mut runs, &kinds, None, Caches::Dropped, &|| true)?
            .expect("nothing stops it");
        if let Some(norm) = &self.weights().norm {
            self.backend().norm_in_place(norm, &mut work.x);
        }
        let ranges: Vec<Range<usize>> = spans.into_iter().map(|span| span.rows).collect();
        Ok(self.pooled(work, ranges, pooling))
    }

    /// From the last hidden rows in `work.x` to what was asked for.
    fn pooled(
        &self,
        work: &mut Workspace<B>,
        ranges: Vec<Range<usize>>,
        pooling: Pooling,
    ) -> Encoded {
        let (backend, spec) = (self.backend(), self.spec());
        let classifier = spec.pooled.classifier.as_ref();
        let row = match (pooling, classifier) {
            (Pooling::Rank, Some(classifier)) => classifier.reads,
            (pooling, _) => pooling,
        };
        let pick = |row: fn(&Range<usize>) -> usize| ranges.iter().map(row).collect::<Vec<_>>();
        match row {
            Pooling::Mean => backend.mean(&work.x, &ranges, &mut work.mixed),
            Pooling::Cls => backend.select(&work.x, &pick(|r| r.start), &mut work.mixed),
            Pooling::Last => backend.select(&work.x, &pick(|r| r.end - 1), &mut work.mixed),
            Pooling::None | Pooling::Rank => {
                return Encoded {
                    values: backend.read(&work.x),
                    width: spec.width,
                    ranges,
                };
            }
        }
        let width = match classifier.filter(|_| pooling == Pooling::Rank) {
            Some(classifier) => {
                self.classify(work);
                classifier.outputs()
            }
            None => {
                for layer in &self.weights().dense {
                    self.dense(work, layer);
                }
                let last = spec.pooled.dense.last();
                last.map_or(spec.width, |dense| dense.stored.weight.rows())
            }
        };
        let mut values = backend.read(&work.mixed);
        if pooling == Pooling::Rank && classifier.is_some_and(|c| c.softmax) {
            values.chunks_exact_mut(width.max(1)).for_each(softmax);
        }
        Encoded {
            values,
            width,
            ranges: (0..ranges.len()).map(|i| i..i + 1).collect(),
        }
    }

    /// `work.mixed` becomes the scores of its rows.
    fn classify(&self, work: &mut Workspace<B>) {
        let Some(classifier) = &self.weights().classifier else {
            return;
        };
        if let Some(dense) = &classifier.dense {
            self.dense(work, dense);
        }
        if let Some(norm) = &classifier.norm {
            self.backend().norm_in_place(norm, &mut work.mixed);
        }
        if let Some(out) = &classifier.out {
            self.project(work, out);
        }
    }

    fn dense(&self, work: &mut Workspace<B>, layer: &DenseWeights<B>) {
        self.project(work, &layer.projection);
        if let Some(activation) = layer.activation {
            self.backend().activate(activation, &mut work.mixed, None);
        }
    }

    /// `work.mixed = projection(work.mixed)`.
    fn project(&self, work: &mut Workspace<B>, projection: &Projection<B>) {
        self.backend().linear(
            &work.mixed,
            &mut [Linear {
                weight: &projection.matrix,
                bias: projection.bias.as_ref(),
                out: &mut work.result,
            }],
        );
        std::mem::swap(&mut work.mixed, &mut work.result);
    }
}

fn softmax(scores: &mut [f32]) {
    let max = scores.iter().copied().fold(f32::MIN, f32::max);
    scores.iter_mut().for_each(|s| *s = (*s - max).exp());
    let sum: f32 = scores.iter().sum();
    scores.iter_mut().for_each(|s| *s /= sum);
}
