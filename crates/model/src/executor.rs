//! The one program that runs every model.

use hearth_compute::{Attend, Backend, Linear, Span};
use hearth_format::{Checkpoint, Tensor};

use crate::{
    Error, Result, Settings, Spec, State, families,
    names::Names,
    recurrent::state_sizes,
    spec::{Attention, Block, Head, Op},
    weights::{
        AttentionWeights, BlockWeights, ExpertWeights, FeedForwardWeights, Loader, OpWeights,
        Projection, Weights,
    },
};

/// What the caller decides when a model is loaded.
#[derive(Clone, Copy, Debug, Default)]
pub struct LoadOptions {
    /// Positions that a sequence will have at most; none means what the model was made for.
    pub context_limit: Option<usize>,
}

/// Recurrent states that a sequence under way has: those of now, those that a step writes, and those of its last turn.
pub const STATES: usize = 3;

/// Which rows of a run get logits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Logits {
    /// None: the tokens are only read.
    None,
    /// The last `n` tokens, or all where there are fewer.
    Last(usize),
}

/// Tokens of one sequence in a step.
pub struct Run<'a, B: Backend> {
    /// The sequence; grows by `tokens`.
    pub state: &'a mut State<B>,
    /// What to feed, not empty.
    pub tokens: &'a [u32],
    /// Which logits to return.
    pub logits: Logits,
}

/// What becomes of the keys and values of a layer once it is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Caches {
    /// They are for later steps.
    Kept,
    /// No step follows.
    Dropped,
}

/// Buffers of a step, kept between steps so that nothing is allocated in the loop.
pub struct Workspace<B: Backend> {
    pub(crate) x: B::Buffer,
    pub(crate) normed: B::Buffer,
    pub(crate) q: B::Buffer,
    pub(crate) k: B::Buffer,
    pub(crate) v: B::Buffer,
    /// A state space's `z` and steps.
    pub(crate) gate: B::Buffer,
    pub(crate) steps: B::Buffer,
    pub(crate) mixed: B::Buffer,
    pub(crate) result: B::Buffer,
    logits: B::Buffer,
}

// Derived, it would ask for `B: Default`.
impl<B: Backend> Default for Workspace<B> {
    fn default() -> Self {
        let new = B::Buffer::default;
        Self {
            x: new(),
            normed: new(),
            q: new(),
            k: new(),
            v: new(),
            gate: new(),
            steps: new(),
            mixed: new(),
            result: new(),
            logits: new(),
        }
    }
}

/// A loaded model.
pub struct Model<B: Backend> {
    backend: B,
    spec: Spec,
    weights: Weights<B>,
    attends: Vec<Attend<B::Vector>>,
    decode_bytes: u64,
}

impl<B: Backend> Model<B> {
    /// Reads the settings and takes the weights, each checked, into the backend.
    ///
    /// # Errors
    /// When no family knows the architecture, a setting makes no sense, or a tensor is missing or has another
    /// shape than the settings ask for.
    pub fn load(checkpoint: &Checkpoint, backend: B, options: LoadOptions) -> Result<Self> {
        let settings = Settings::new(checkpoint, options.context_limit)?;
        let family = families::find(&settings)?;
        let spec = family.spec(&settings)?;
        let loader = Loader {
            names: Names::new(checkpoint, family.names),
            backend: &backend,
        };
        let weights = loader.load(&spec)?;
        let attends = attentions(&spec).map(attend).collect();
        let decode_bytes = decode_bytes(checkpoint, &spec, &loader.names);
        Ok(Self {
            backend,
            spec,
            weights,
            attends,
            decode_bytes,
        })
    }

    /// Bytes of weights that one token of one sequence reads: what bounds the speed of decode.
    pub fn decode_bytes(&self) -> u64 {
        self.decode_bytes
    }

    /// What the model is.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    pub(crate) fn weights(&self) -> &Weights<B> {
        &self.weights
    }

    /// What it runs on.
    pub fn backend(&self) -> &B {
        &self.backend
    }

    /// The state of a new sequence.
    pub fn state(&self) -> State<B> {
        let cache = |a: &Attention| self.backend.cache(a.kv_heads, a.key_dim, a.value_dim);
        State {
            caches: attentions(&self.spec).map(cache).collect(),
            recurrents: state_sizes(&self.spec)
                .map(|values| self.backend.recurrent(values))
                .collect(),
            position: 0,
        }
    }

    /// Bytes of the recurrent states of one sequence, which do not grow.
    pub fn recurrent_bytes(&self) -> usize {
        state_sizes(&self.spec)
            .map(|values| values.saturating_mul(size_of::<f32>()))
            .fold(0, usize::saturating_add)
    }

    /// Bytes of a sequence of `positions` tokens that is under way: its caches, and [`STATES`] times its recurrent states.
    pub fn text_bytes(&self, positions: usize) -> usize {
        let states = self.recurrent_bytes().saturating_mul(STATES);
        self.state_bytes(positions).saturating_add(states)
    }

    /// Bytes that the caches of one sequence take for `positions` tokens.
    pub fn state_bytes(&self, positions: usize) -> usize {
        attentions(&self.spec)
            .map(|a| {
                self.backend
                    .cache_bytes(a.kv_heads, a.key_dim, a.value_dim, positions)
            })
            .fold(0, usize::saturating_add)
    }

    /// Feeds tokens to any number of sequences, reading the weights once. Returns the logits asked for, one
    /// vector of `vocab` per row, in the order of the runs and their tokens.
    ///
    /// # Errors
    /// When an id is outside the vocabulary, or the model is an encoder, which gives no logits; no state has changed
    /// then.
    pub fn step(&self, work: &mut Workspace<B>, runs: &mut [Run<'_, B>]) -> Result<Vec<Vec<f32>>> {
        let logits = self.step_while(work, runs, &|| true)?;
        Ok(logits.expect("nothing stops it"))
    }

    /// The same, given up between two layers once `go_on` says no: nothing is returned then, and every state is as it
    /// was before.
    ///
    /// # Errors
    /// As [`Self::step`].
    pub fn step_while(
        &self,
        work: &mut Workspace<B>,
        runs: &mut [Run<'_, B>],
        go_on: &dyn Fn() -> bool,
    ) -> Result<Option<Vec<Vec<f32>>>> {
        if self.spec.output.head == Head::None {
            return Err(Error::Encoder {
                family: self.spec.family,
            });
        }
        let rows = wanted(runs);
        if self
            .hidden(work, runs, &[], Some(&rows), Caches::Kept, go_on)?
            .is_none()
        {
            return Ok(None);
        }
        for run in runs.iter_mut() {
            run.state.advance(&self.backend, run.tokens.len());
        }
        if rows.is_empty() {
            return Ok(Some(Vec::new()));
        }
        Ok(Some(self.logits(work)))
    }

    /// Computes the rows of all tokens after the last layer, into `work.x`, or those of `wanted` alone; the states'
    /// positions stay. `kinds` are the tokens' types, all 0 where it is empty. Nothing is returned where `go_on` stopped
    /// it; the states are then as they were.
    pub(crate) fn hidden(
        &self,
        work: &mut Workspace<B>,
        runs: &mut [Run<'_, B>],
        kinds: &[u32],
        wanted: Option<&[usize]>,
        caches: Caches,
        go_on: &dyn Fn() -> bool,
    ) -> Result<Option<Vec<Span>>> {
        let ids: Vec<u32> = runs.iter().flat_map(|run| run.tokens).copied().collect();
        if let Some(&id) = ids.iter().find(|id| **id as usize >= self.spec.vocab) {
            return Err(Error::Token {
                id,
                vocab: self.spec.vocab,
            });
        }
        if ids.is_empty() {
            return Ok(Some(spans(runs)));
        }
        let spans = spans(runs);
        let positions: Vec<u32> = spans
            .iter()
            .flat_map(|s| (s.first_position as u32..).take(s.rows.len()))
            .collect();

        self.input(work, &ids, kinds, &positions);
        let (mut cache, mut recurrent) = (0, 0);
        let mixers = runs
            .first()
            .map(|run| (run.state.caches.len(), run.state.recurrents.len()));
        // Behind the last mixer no row depends on another.
        let mut wanted = wanted.filter(|rows| rows.len() < ids.len());
        'layers: for (layer, weights) in self.spec.layers.iter().zip(&self.weights.layers) {
            if !go_on() {
                runs.iter_mut()
                    .for_each(|run| run.state.restore(&self.backend));
                return Ok(None);
            }
            for (block, weights) in layer.blocks.iter().zip(weights) {
                if mixers == Some((cache, recurrent))
                    && let Some(rows) = wanted.take()
                {
                    self.backend.select(&work.x, rows, &mut work.mixed);
                    std::mem::swap(&mut work.x, &mut work.mixed);
                    if rows.is_empty() {
                        break 'layers;
                    }
                }
                self.block(
                    work,
                    block,
                    weights,
                    &mut StepView {
                        runs,
                        spans: &spans,
                        positions: &positions,
                        cache: &mut cache,
                        recurrent: &mut recurrent,
                    },
                );
            }
            if caches == Caches::Dropped {
                runs.iter_mut()
                    .for_each(|run| run.state.restore(&self.backend));
            }
        }
        if let Some(rows) = wanted {
            self.backend.select(&work.x, rows, &mut work.mixed);
            std::mem::swap(&mut work.x, &mut work.mixed);
        }
        Ok(Some(spans))
    }

    /// The rows before the first layer.
    fn input(&self, work: &mut Workspace<B>, ids: &[u32], kinds: &[u32], positions: &[u32]) {
        let (backend, weights) = (&self.backend, &self.weights.input);
        let Workspace { x, normed, .. } = work;
        backend.embed(&self.weights.embedding, ids, self.spec.embedding_scale, x);
        if let Some(table) = &weights.types {
            match kinds {
                [] => backend.embed(table, &vec![0; ids.len()], 1.0, normed),
                kinds => backend.embed(table, kinds, 1.0, normed),
            }
            backend.add(x, normed, 1.0);
        }
        if let Some(table) = &weights.positions {
            backend.embed(table, positions, 1.0, normed);
            backend.add(x, normed, 1.0);
        }
        if let Some(norm) = &weights.norm {
            backend.norm_in_place(norm, x);
        }
    }

    fn block(
        &self,
        work: &mut Workspace<B>,
        block: &Block,
        weights: &BlockWeights<B>,
        step: &mut StepView<'_, '_, B>,
    ) {
        let backend = &self.backend;
        match &weights.before {
            Some(norm) => backend.norm(norm, &work.x, &mut work.normed),
            None => backend.copy(&work.x, &mut work.normed),
        }
        match (&block.op, &weights.op) {
            (Op::Attention(a), OpWeights::Attention(w)) => self.attention(work, a, w, step),
            (Op::FeedForward(f), OpWeights::FeedForward(w)) => {
                self.feed_forward(work, f.activation, w)
            }
            (Op::Experts(e), OpWeights::Experts(w)) => self.experts(work, &e.router, w),
            (Op::ShortConvolution(_), OpWeights::ShortConvolution(w)) => {
                self.run_short_convolution(work, w, step)
            }
            (Op::StateSpace(_), OpWeights::StateSpace(w)) => self.run_state_space(work, w, step),
            _ => unreachable!("weights are loaded by the op they belong to"),
        }
        if let Some(norm) = &weights.after {
            backend.norm_in_place(norm, &mut work.result);
        }
        backend.add(&mut work.x, &work.result, block.residual);
        if let Some(norm) = &weights.sum {
            backend.norm_in_place(norm, &mut work.x);
        }
    }

    fn attention(
        &self,
        work: &mut Workspace<B>,
        a: &Attention,
        w: &AttentionWeights<B>,
        step: &mut StepView<'_, '_, B>,
    ) {
        let backend = &self.backend;
        let Workspace {
            normed,
            q,
            k,
            v,
            mixed,
            result,
            ..
        } = work;
        backend.linear(
            normed,
            &mut [
                Linear {
                    weight: &w.q.matrix,
                    bias: w.q.bias.as_ref(),
                    out: q,
                },
                Linear {
                    weight: &w.k.matrix,
                    bias: w.k.bias.as_ref(),
                    out: k,
                },
                Linear {
                    weight: &w.v.matrix,
                    bias: w.v.bias.as_ref(),
                    out: v,
                },
            ],
        );
        if let Some((query, key)) = &w.head_norms {
            backend.norm_in_place(query, q);
            backend.norm_in_place(key, k);
        }
        if let Some(rope) = &a.rope {
            backend.rope(rope, a.key_dim, step.positions, q);
            backend.rope(rope, a.key_dim, step.positions, k);
        }
        let index = *step.cache;
        *step.cache += 1;
        for (run, span) in step.runs.iter_mut().zip(step.spans) {
            backend.store(&mut run.state.caches[index], span, k, v);
        }
        let caches: Vec<(Span, &B::Cache)> = step
            .spans
            .iter()
            .cloned()
            .zip(step.runs.iter().map(|run| &run.state.caches[index]))
            .collect();
        backend.attend(&self.attends[index], &caches, q, mixed);
        backend.linear(
            mixed,
            &mut [Linear {
                weight: &w.out.matrix,
                bias: w.out.bias.as_ref(),
                out: result,
            }],
        );
    }

    fn feed_forward(
        &self,
        work: &mut Workspace<B>,
        activation: hearth_compute::Activation,
        w: &FeedForwardWeights<B>,
    ) {
        let Workspace {
            normed,
            q: gate,
            k: up,
            result,
            ..
        } = work;
        let backend = &self.backend;
        match &w.gate {
            Some(projection) => {
                backend.linear(normed, &mut [product(projection, gate), product(&w.up, up)]);
                backend.activate(activation, gate, Some(up));
            }
            None => {
                backend.linear(normed, &mut [product(&w.up, gate)]);
                backend.activate(activation, gate, None);
            }
        }
        backend.linear(gate, &mut [product(&w.down, result)]);
    }

    fn experts(
        &self,
        work: &mut Workspace<B>,
        router: &hearth_compute::Router,
        w: &ExpertWeights<B>,
    ) {
        let Workspace {
            normed,
            q: scores,
            result,
            ..
        } = work;
        self.backend.linear(
            normed,
            &mut [Linear {
                weight: &w.router.matrix,
                bias: w.router.bias.as_ref(),
                out: scores,
            }],
        );
        self.backend
            .experts(router, &w.experts, scores, normed, result);
    }

    /// The final norm and the head of the rows in `work.x`.
    fn logits(&self, work: &mut Workspace<B>) -> Vec<Vec<f32>> {
        let (backend, output) = (&self.backend, &self.spec.output);
        if let Some(norm) = &self.weights.norm {
            backend.norm_in_place(norm, &mut work.x);
        }
        let (weight, bias) = match &self.weights.head {
            Some(head) => (&head.matrix, head.bias.as_ref()),
            None => (&self.weights.embedding, None),
        };
        backend.linear(
            &work.x,
            &mut [Linear {
                weight,
                bias,
                out: &mut work.logits,
            }],
        );
        if output.scale != 1.0 || output.soft_cap.is_some() {
            backend.scale(&mut work.logits, output.scale, output.soft_cap);
        }
        backend
            .read(&work.logits)
            .chunks_exact(self.spec.vocab)
            .map(<[f32]>::to_vec)
            .collect()
    }
}

/// The rows of each run.
fn spans<B: Backend>(runs: &[Run<'_, B>]) -> Vec<Span> {
    let mut rows = 0;
    let span = |run: &Run<'_, B>| {
        let start = rows;
        rows += run.tokens.len();
        Span {
            rows: start..rows,
            first_position: run.state.position,
        }
    };
    runs.iter().map(span).collect()
}

/// The rows that get logits.
fn wanted<B: Backend>(runs: &[Run<'_, B>]) -> Vec<usize> {
    let rows = |(run, span): (&Run<'_, B>, Span)| match run.logits {
        Logits::None => span.rows.end..span.rows.end,
        Logits::Last(n) => span.rows.end - n.min(span.rows.len())..span.rows.end,
    };
    runs.iter().zip(spans(runs)).flat_map(rows).collect()
}

pub(crate) fn product<'a, B: Backend>(
    projection: &'a Projection<B>,
    out: &'a mut B::Buffer,
) -> Linear<'a, B> {
    Linear {
        weight: &projection.matrix,
        bias: projection.bias.as_ref(),
        out,
    }
}

/// What a block needs to know of the step.
pub(crate) struct StepView<'a, 'b, B: Backend> {
    pub(crate) runs: &'a mut [Run<'b, B>],
    pub(crate) spans: &'a [Span],
    positions: &'a [u32],
    /// Index of the next attention's cache.
    cache: &'a mut usize,
    /// Index of the next recurrent state.
    pub(crate) recurrent: &'a mut usize,
}

/// All weights, but of tables a row only, and of experts the share that is used.
fn decode_bytes(checkpoint: &Checkpoint, spec: &Spec, names: &Names<'_>) -> u64 {
    let used = spec
        .layers
        .iter()
        .flat_map(|layer| &layer.blocks)
        .find_map(|block| match &block.op {
            Op::Experts(e) => Some(e.router.used as f64 / e.count as f64),
            _ => None,
        });
    let tables = ["position_embd", "token_types", "token_embd"].map(|role| {
        let table = role != "token_embd" || !spec.output.tied();
        table.then(|| names.find(None, role, "weight")).flatten()
    });
    let tables: Vec<&str> = tables.into_iter().flatten().map(|t| &t.name[..]).collect();
    let share = |tensor: &Tensor| match used {
        Some(share) if tensor.shape.len() == 3 || tensor.name.contains(".experts.") => share,
        _ if tables.contains(&&tensor.name[..]) => 1.0 / tensor.rows().max(1) as f64,
        _ => 1.0,
    };
    checkpoint
        .tensors()
        .map(|tensor| (tensor.stored_bytes() as f64 * share(tensor)) as u64)
        .sum()
}

pub(crate) fn attentions(spec: &Spec) -> impl Iterator<Item = &Attention> {
    spec.layers
        .iter()
        .flat_map(|layer| &layer.blocks)
        .filter_map(|block| match &block.op {
            Op::Attention(attention) => Some(attention),
            _ => None,
        })
}

fn attend<V>(a: &Attention) -> Attend<V> {
    Attend {
        heads: a.heads,
        kv_heads: a.kv_heads,
        key_dim: a.key_dim,
        value_dim: a.value_dim,
        scale: a.scale,
        soft_cap: a.soft_cap,
        mask: a.mask,
        sinks: None,
    }
}
