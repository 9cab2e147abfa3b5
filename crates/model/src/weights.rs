//! The weights that a spec asks for, each checked against the shape that follows from it.

use hearth_compute::{Activation, Backend, Experts as ExpertMatrices, Norm};
use hearth_format::Tensor;

use crate::{
    Error, Result, Spec,
    names::Names,
    pooling::{Dense, Stored},
    recurrent::{ShortConvolutionWeights, StateSpaceWeights},
    spec::{Attention, Experts, FeedForward, Head, NormSpec, Op},
};

/// A matrix and its bias.
pub(crate) struct Projection<B: Backend> {
    pub matrix: B::Matrix,
    pub bias: Option<B::Vector>,
}

/// The norms of each query and each key head.
pub(crate) type HeadNorms<B> = (Norm<<B as Backend>::Vector>, Norm<<B as Backend>::Vector>);

pub(crate) struct AttentionWeights<B: Backend> {
    pub q: Projection<B>,
    pub k: Projection<B>,
    pub v: Projection<B>,
    pub out: Projection<B>,
    pub head_norms: Option<HeadNorms<B>>,
}

pub(crate) struct FeedForwardWeights<B: Backend> {
    /// None where the network has no gate.
    pub gate: Option<Projection<B>>,
    pub up: Projection<B>,
    pub down: Projection<B>,
}

pub(crate) struct ExpertWeights<B: Backend> {
    pub router: Projection<B>,
    pub experts: ExpertMatrices<B::Matrix>,
}

pub(crate) enum OpWeights<B: Backend> {
    Attention(AttentionWeights<B>),
    FeedForward(FeedForwardWeights<B>),
    Experts(ExpertWeights<B>),
    ShortConvolution(ShortConvolutionWeights<B>),
    StateSpace(StateSpaceWeights<B>),
}

pub(crate) struct BlockWeights<B: Backend> {
    pub before: Option<Norm<B::Vector>>,
    pub op: OpWeights<B>,
    pub after: Option<Norm<B::Vector>>,
    pub sum: Option<Norm<B::Vector>>,
}

pub(crate) struct Weights<B: Backend> {
    pub embedding: B::Matrix,
    pub input: InputWeights<B>,
    /// In the order of the spec's layers and their blocks.
    pub layers: Vec<Vec<BlockWeights<B>>>,
    pub norm: Option<Norm<B::Vector>>,
    /// None where the embedding serves, or where there are no logits.
    pub head: Option<Projection<B>>,
    pub dense: Vec<DenseWeights<B>>,
    pub classifier: Option<ClassifierWeights<B>>,
}

impl<B: Backend> Weights<B> {
    /// What encoders have beside their layers: tables, and the layers after the pooling.
    pub(crate) fn beside(&self) -> impl Iterator<Item = &B::Matrix> {
        let tables = [&self.input.positions, &self.input.types];
        let head = self.classifier.iter().flat_map(|c| {
            let dense = c.dense.iter().map(|dense| &dense.projection);
            dense.chain(&c.out)
        });
        let dense = self.dense.iter().map(|dense| &dense.projection);
        let projections = dense.chain(head).map(|projection| &projection.matrix);
        tables.into_iter().flatten().chain(projections)
    }
}

/// What is added to the embedding.
pub(crate) struct InputWeights<B: Backend> {
    /// From position 0 on.
    pub positions: Option<B::Matrix>,
    pub types: Option<B::Matrix>,
    pub norm: Option<Norm<B::Vector>>,
}

/// A layer after the pooling.
pub(crate) struct DenseWeights<B: Backend> {
    pub projection: Projection<B>,
    pub activation: Option<Activation>,
}

pub(crate) struct ClassifierWeights<B: Backend> {
    pub dense: Option<DenseWeights<B>>,
    pub norm: Option<Norm<B::Vector>>,
    pub out: Option<Projection<B>>,
}

/// Takes tensors by role for one backend.
pub(crate) struct Loader<'a, B: Backend> {
    pub names: Names<'a>,
    pub backend: &'a B,
}

impl<B: Backend> Loader<'_, B> {
    pub(crate) fn load(&self, spec: &Spec) -> Result<Weights<B>> {
        let embedding = self.matrix(None, "token_embd", &[spec.vocab, spec.width])?;
        let layers = spec.layers.iter().enumerate().map(|(i, layer)| {
            let blocks = layer.blocks.iter().map(|block| {
                let norm = |n: &Option<NormSpec>| {
                    n.as_ref()
                        .map(|n| self.norm(Some(i), n, spec.width))
                        .transpose()
                };
                Ok(BlockWeights {
                    before: norm(&block.before)?,
                    op: match &block.op {
                        Op::Attention(a) => OpWeights::Attention(self.attention(i, spec.width, a)?),
                        Op::FeedForward(f) => {
                            OpWeights::FeedForward(self.feed_forward(i, spec.width, f)?)
                        }
                        Op::Experts(e) => OpWeights::Experts(self.experts(i, spec.width, e)?),
                        Op::ShortConvolution(c) => {
                            OpWeights::ShortConvolution(self.short_convolution(i, spec.width, c)?)
                        }
                        Op::StateSpace(s) => {
                            OpWeights::StateSpace(self.state_space(i, spec.width, s)?)
                        }
                    },
                    after: norm(&block.after)?,
                    sum: norm(&block.sum)?,
                })
            });
            blocks.collect::<Result<Vec<_>>>()
        });
        Ok(Weights {
            embedding,
            input: self.input(spec)?,
            layers: layers.collect::<Result<_>>()?,
            norm: self.whole_norm(&spec.output.norm, spec.width)?,
            head: (spec.output.head == Head::Own)
                .then(|| self.projection(None, "output", spec.vocab, spec.width))
                .transpose()?,
            dense: self.dense(spec)?,
            classifier: self.classifier(spec)?,
        })
    }

    fn whole_norm(&self, norm: &Option<NormSpec>, width: usize) -> Result<Option<Norm<B::Vector>>> {
        norm.as_ref()
            .map(|norm| self.norm(None, norm, width))
            .transpose()
    }

    fn input(&self, spec: &Spec) -> Result<InputWeights<B>> {
        let (input, width) = (&spec.input, spec.width);
        let positions = input.positions.map(|p| {
            let table = self.require(None, "position_embd", &[p.rows, width])?;
            Ok::<_, Error>(self.backend.matrix(table, p.first..p.rows)?)
        });
        Ok(InputWeights {
            positions: positions.transpose()?,
            types: (input.types > 0)
                .then(|| self.matrix(None, "token_types", &[input.types, width]))
                .transpose()?,
            norm: self.whole_norm(&input.norm, width)?,
        })
    }

    /// The layers after the pooling, each as wide as the one before gives.
    fn dense(&self, spec: &Spec) -> Result<Vec<DenseWeights<B>>> {
        let mut width = spec.width;
        let layers = spec.pooled.dense.iter().map(|dense| {
            let layer = self.dense_layer(dense, width)?;
            width = dense.stored.weight.rows();
            Ok(layer)
        });
        layers.collect()
    }

    fn classifier(&self, spec: &Spec) -> Result<Option<ClassifierWeights<B>>> {
        let Some(c) = &spec.pooled.classifier else {
            return Ok(None);
        };
        let dense = c.dense.as_ref();
        let inner = dense.map_or(spec.width, |dense| dense.stored.weight.rows());
        let norm = c.norm.as_ref().map(|(norm, stored)| {
            self.check(&stored.weight, &[inner])?;
            let bias = self.stored_bias(stored, inner)?;
            Ok::<_, Error>(self.norm_of(norm, inner, stored.weight.to_f32(), bias))
        });
        let out = c.out.as_ref().map(|out| self.stored(out, inner));
        Ok(Some(ClassifierWeights {
            dense: dense
                .map(|dense| self.dense_layer(dense, spec.width))
                .transpose()?,
            norm: norm.transpose()?,
            out: out.transpose()?,
        }))
    }

    fn dense_layer(&self, dense: &Dense, columns: usize) -> Result<DenseWeights<B>> {
        Ok(DenseWeights {
            projection: self.stored(&dense.stored, columns)?,
            activation: dense.activation,
        })
    }

    fn stored(&self, stored: &Stored, columns: usize) -> Result<Projection<B>> {
        let rows = stored.weight.rows();
        self.check(&stored.weight, &[rows, columns])?;
        let bias = self.stored_bias(stored, rows)?;
        Ok(Projection {
            matrix: self.backend.matrix(&stored.weight, 0..rows)?,
            bias: bias.map(|b| self.backend.vector(b)),
        })
    }

    fn stored_bias(&self, stored: &Stored, rows: usize) -> Result<Option<Vec<f32>>> {
        let bias = stored.bias.as_ref();
        bias.map(|bias| self.check(bias, &[rows]).map(|()| bias.to_f32()))
            .transpose()
    }

    fn attention(&self, layer: usize, width: usize, a: &Attention) -> Result<AttentionWeights<B>> {
        let (q, k, v) = (
            a.heads * a.key_dim,
            a.kv_heads * a.key_dim,
            a.kv_heads * a.value_dim,
        );
        let [q, k, v] = self.fused(
            Some(layer),
            "attn_qkv",
            [("attn_q", q), ("attn_k", k), ("attn_v", v)],
            width,
        )?;
        let out = self.projection(Some(layer), "attn_output", width, a.heads * a.value_dim)?;
        let head_norms = a.head_norms.as_ref().map(|(q, k)| {
            Ok::<_, Error>((
                self.norm(Some(layer), q, a.key_dim)?,
                self.norm(Some(layer), k, a.key_dim)?,
            ))
        });
        Ok(AttentionWeights {
            q,
            k,
            v,
            out,
            head_norms: head_norms.transpose()?,
        })
    }

    fn feed_forward(
        &self,
        layer: usize,
        width: usize,
        f: &FeedForward,
    ) -> Result<FeedForwardWeights<B>> {
        let down = || self.projection(Some(layer), "ffn_down", width, f.inner);
        if !f.gated {
            return Ok(FeedForwardWeights {
                gate: None,
                up: self.projection(Some(layer), "ffn_up", f.inner, width)?,
                down: down()?,
            });
        }
        // GGUF files of fused families keep gate and up in `ffn_up`, without an `ffn_gate`.
        let gguf_fused =
            self.names.is_gguf() && self.names.find(Some(layer), "ffn_gate", "weight").is_none();
        let fused = if gguf_fused { "ffn_up" } else { "ffn_gate_up" };
        let [gate, up] = self.fused(
            Some(layer),
            fused,
            [("ffn_gate", f.inner), ("ffn_up", f.inner)],
            width,
        )?;
        Ok(FeedForwardWeights {
            gate: Some(gate),
            up,
            down: down()?,
        })
    }

    fn experts(&self, layer: usize, width: usize, e: &Experts) -> Result<ExpertWeights<B>> {
        let (gate, up) = match self.names.stacked_experts(layer, "ffn_gate_up_exps") {
            Some(both) => {
                self.check(both, &[e.count, 2 * e.inner, width])?;
                let half = |second: usize| {
                    self.slices(both, e.count, 2 * e.inner, second * e.inner, e.inner)
                };
                (half(0)?, half(1)?)
            }
            None => (
                self.expert_matrices(layer, "ffn_gate_exps", e.count, e.inner, width)?,
                self.expert_matrices(layer, "ffn_up_exps", e.count, e.inner, width)?,
            ),
        };
        Ok(ExpertWeights {
            router: self.projection(Some(layer), "ffn_gate_inp", e.count, width)?,
            experts: ExpertMatrices {
                gate,
                up,
                down: self.expert_matrices(layer, "ffn_down_exps", e.count, width, e.inner)?,
                activation: e.activation,
            },
        })
    }

    /// One matrix per expert, from one stacked tensor or from a tensor each.
    fn expert_matrices(
        &self,
        layer: usize,
        role: &str,
        count: usize,
        rows: usize,
        columns: usize,
    ) -> Result<Vec<B::Matrix>> {
        if let Some(stacked) = self.names.stacked_experts(layer, role) {
            self.check(stacked, &[count, rows, columns])?;
            return self.slices(stacked, count, rows, 0, rows);
        }
        let name = self.names.name(Some(layer), role, "weight");
        if !name.contains("{}") {
            return Err(self.missing(name, &[count, rows, columns]));
        }
        let one = |expert: usize| {
            let name = name.replace("{}", &expert.to_string());
            let tensor = self
                .names
                .tensor(&name)
                .ok_or_else(|| self.missing(name, &[rows, columns]))?;
            self.check(tensor, &[rows, columns])?;
            Ok(self.backend.matrix(tensor, 0..rows)?)
        };
        (0..count).map(one).collect()
    }

    /// Rows `first..first + rows` of each of `count` matrices of `step` rows, stacked in one tensor.
    fn slices(
        &self,
        tensor: &Tensor,
        count: usize,
        step: usize,
        first: usize,
        rows: usize,
    ) -> Result<Vec<B::Matrix>> {
        let part = |i: usize| {
            Ok(self
                .backend
                .matrix(tensor, i * step + first..i * step + first + rows)?)
        };
        (0..count).map(part).collect()
    }

    /// Projections of one input, stored apart or as the rows of one matrix.
    fn fused<const N: usize>(
        &self,
        layer: Option<usize>,
        fused: &str,
        parts: [(&str, usize); N],
        columns: usize,
    ) -> Result<[Projection<B>; N]> {
        let total = parts.iter().map(|(_, rows)| rows).sum();
        let mut first = 0;
        let mut taken = Vec::with_capacity(N);
        let whole = self.names.find(layer, fused, "weight").filter(|t| {
            t.rows() == total || self.names.find(layer, parts[0].0, "weight").is_none()
        });
        if let Some(t) = whole {
            self.check(t, &[total, columns])?;
        }
        let bias = self
            .bias(layer, fused, total)
            .filter(|_| whole.is_some())
            .transpose()?;
        for (role, rows) in parts {
            taken.push(match whole {
                Some(tensor) => Projection {
                    matrix: self.backend.matrix(tensor, first..first + rows)?,
                    bias: bias
                        .as_ref()
                        .map(|b| self.backend.vector(b[first..first + rows].to_vec())),
                },
                None => self.projection(layer, role, rows, columns)?,
            });
            first += rows;
        }
        Ok(taken
            .try_into()
            .unwrap_or_else(|_| unreachable!("one projection per part")))
    }

    /// Projections of one input that are the rows of one matrix.
    pub(crate) fn split<const N: usize>(
        &self,
        layer: usize,
        role: &str,
        rows: [usize; N],
        columns: usize,
    ) -> Result<[Projection<B>; N]> {
        let total = rows.iter().sum();
        let tensor = self.require(Some(layer), role, &[total, columns])?;
        let bias = self.bias(Some(layer), role, total).transpose()?;
        let mut first = 0;
        let mut taken = Vec::with_capacity(N);
        for rows in rows {
            let part = first..first + rows;
            first += rows;
            let bias = bias.as_ref().map(|bias| bias[part.clone()].to_vec());
            taken.push(Projection {
                matrix: self.backend.matrix(tensor, part)?,
                bias: bias.map(|bias| self.backend.vector(bias)),
            });
        }
        Ok(taken
            .try_into()
            .unwrap_or_else(|_| unreachable!("one projection per part")))
    }

    /// The values of a small tensor; sizes of 1 do not count.
    pub(crate) fn values(
        &self,
        layer: usize,
        role: &str,
        part: &str,
        shape: &[usize],
    ) -> Result<Vec<f32>> {
        let tensor = self.names.find(Some(layer), role, part);
        let tensor =
            tensor.ok_or_else(|| self.missing(self.names.name(Some(layer), role, part), shape))?;
        if plain(&tensor.shape) != plain(shape) {
            return Err(self.misshapen(tensor, shape));
        }
        Ok(tensor.to_f32())
    }

    pub(crate) fn projection(
        &self,
        layer: Option<usize>,
        role: &str,
        rows: usize,
        columns: usize,
    ) -> Result<Projection<B>> {
        let bias = self.bias(layer, role, rows).transpose()?;
        Ok(Projection {
            matrix: self.matrix(layer, role, &[rows, columns])?,
            bias: bias.map(|b| self.backend.vector(b)),
        })
    }

    pub(crate) fn bias(
        &self,
        layer: Option<usize>,
        role: &str,
        rows: usize,
    ) -> Option<Result<Vec<f32>>> {
        let tensor = self.names.find(layer, role, "bias")?;
        Some(self.check(tensor, &[rows]).map(|()| tensor.to_f32()))
    }

    fn matrix(&self, layer: Option<usize>, role: &str, shape: &[usize]) -> Result<B::Matrix> {
        let tensor = self.require(layer, role, shape)?;
        Ok(self.backend.matrix(tensor, 0..tensor.rows())?)
    }

    fn norm(&self, layer: Option<usize>, norm: &NormSpec, width: usize) -> Result<Norm<B::Vector>> {
        let weight = self.require(layer, norm.role, &[width])?.to_f32();
        let bias = self.bias(layer, norm.role, width).transpose()?;
        Ok(self.norm_of(norm, width, weight, bias))
    }

    pub(crate) fn norm_of(
        &self,
        norm: &NormSpec,
        width: usize,
        mut weight: Vec<f32>,
        bias: Option<Vec<f32>>,
    ) -> Norm<B::Vector> {
        if norm.plus_one {
            weight.iter_mut().for_each(|w| *w += 1.0);
        }
        Norm {
            kind: norm.kind,
            eps: norm.eps,
            width,
            weight: Some(self.backend.vector(weight)),
            bias: bias.map(|b| self.backend.vector(b)),
        }
    }

    fn require(&self, layer: Option<usize>, role: &str, shape: &[usize]) -> Result<&Tensor> {
        let tensor = self.names.find(layer, role, "weight");
        let tensor =
            tensor.ok_or_else(|| self.missing(self.names.name(layer, role, "weight"), shape))?;
        self.check(tensor, shape)?;
        Ok(tensor)
    }

    fn missing(&self, tensor: String, expected: &[usize]) -> Error {
        Error::MissingTensor {
            place: self.names.place().to_owned(),
            tensor,
            expected: expected.to_vec(),
        }
    }

    fn check(&self, tensor: &Tensor, expected: &[usize]) -> Result<()> {
        // What counts is the order of the sizes, and how values are laid out in blocks.
        if plain(&tensor.shape) == plain(expected)
            && tensor.columns() == *expected.last().unwrap_or(&1)
        {
            return Ok(());
        }
        Err(self.misshapen(tensor, expected))
    }

    fn misshapen(&self, tensor: &Tensor, expected: &[usize]) -> Error {
        Error::Shape {
            place: self.names.place().to_owned(),
            tensor: tensor.name.clone(),
            found: tensor.shape.clone(),
            expected: expected.to_vec(),
        }
    }
}

/// Writers drop or add sizes of 1.
fn plain(shape: &[usize]) -> Vec<usize> {
    shape.iter().copied().filter(|n| *n != 1).collect()
}
