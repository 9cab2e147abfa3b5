//! Mixers whose state does not grow: short convolutions and state spaces.

use std::ops::Range;

use hearth_compute::{
    Activation::{Silu, Softplus},
    Backend, Convolution, Linear, Norm, NormKind, Scan, ScanInputs, Span,
};

use crate::{
    Model, Result, Spec, Workspace,
    executor::{StepView, product},
    spec::{Op, Selection, ShortConvolution, StateSpace},
    weights::{Loader, Projection},
};

pub(crate) struct ShortConvolutionWeights<B: Backend> {
    /// `b`, `c` and `x`.
    pub inputs: [Projection<B>; 3],
    pub convolution: Convolution<B::Vector>,
    pub out: Projection<B>,
}

pub(crate) struct StateSpaceWeights<B: Backend> {
    /// `z` and `x`, then the inputs, outputs and steps that are chosen by the layer's input.
    pub inputs: Vec<Projection<B>>,
    /// Of `x`, then of inputs and outputs where they have their own.
    pub convolutions: Vec<Convolution<B::Vector>>,
    pub convolved: Option<ConvolvedWeights<B>>,
    pub scan: Scan<B::Vector>,
    /// Added to the steps where nothing else has it.
    pub step_bias: Option<B::Vector>,
    pub norm: Option<Norm<B::Vector>>,
    pub out: Projection<B>,
}

/// What chooses by the convolved values.
pub(crate) struct ConvolvedWeights<B: Backend> {
    /// The steps' fewer values, inputs and outputs.
    pub chosen: [Projection<B>; 3],
    pub steps: Projection<B>,
    /// For each of the three.
    pub norms: Option<[Norm<B::Vector>; 3]>,
}

/// Values of each recurrent state of a model, in the order of its layers.
pub(crate) fn state_sizes(spec: &Spec) -> impl Iterator<Item = usize> {
    let blocks = spec.layers.iter().flat_map(|layer| &layer.blocks);
    blocks.flat_map(|block| match &block.op {
        Op::ShortConvolution(c) => vec![(c.taps - 1) * spec.width],
        Op::StateSpace(s) => {
            let chosen = match &s.selection {
                Selection::Convolved { .. } => &[][..],
                Selection::Input { groups, .. } => &[groups * s.state; 2],
            };
            let convolved = [s.channels()].into_iter().chain(chosen.iter().copied());
            let convolutions = convolved.map(|channels| (s.taps - 1) * channels);
            convolutions.chain([s.channels() * s.state]).collect()
        }
        Op::Attention(_) | Op::FeedForward(_) | Op::Experts(_) => Vec::new(),
    })
}

impl<B: Backend> Loader<'_, B> {
    pub(crate) fn short_convolution(
        &self,
        layer: usize,
        width: usize,
        c: &ShortConvolution,
    ) -> Result<ShortConvolutionWeights<B>> {
        Ok(ShortConvolutionWeights {
            inputs: self.split(layer, "shortconv.in_proj", [width; 3], width)?,
            convolution: self.convolution(layer, "shortconv.conv", width, c.taps, 0..width)?,
            out: self.projection(Some(layer), "shortconv.out_proj", width, width)?,
        })
    }

    pub(crate) fn state_space(
        &self,
        layer: usize,
        width: usize,
        s: &StateSpace,
    ) -> Result<StateSpaceWeights<B>> {
        let channels = s.channels();
        let (groups, decays) = match &s.selection {
            Selection::Convolved { .. } => (1, s.state),
            Selection::Input { groups, .. } => (*groups, 1),
        };
        let mut decay = self.values(layer, "ssm_a", "", &[s.heads, decays])?;
        if !self.names.is_gguf() {
            decay.iter_mut().for_each(|a| *a = -a.exp());
        }
        let scan = Scan {
            heads: s.heads,
            head_dim: s.head_dim,
            state: s.state,
            groups,
            decay: self.backend.vector(decay),
            skip: self
                .backend
                .vector(self.values(layer, "ssm_d", "", &[s.heads])?),
        };
        let out = self.projection(Some(layer), "ssm_out", width, channels)?;
        let chosen = groups * s.state;
        let convolution = |all, range| self.convolution(layer, "ssm_conv1d", all, s.taps, range);
        match &s.selection {
            Selection::Convolved { rank, norms } => {
                let [x, z] = self.split(layer, "ssm_in", [channels; 2], width)?;
                Ok(StateSpaceWeights {
                    inputs: vec![z, x],
                    convolutions: vec![convolution(channels, 0..channels)?],
                    convolved: Some(ConvolvedWeights {
                        chosen: self.split(layer, "ssm_x", [*rank, chosen, chosen], channels)?,
                        steps: self.projection(Some(layer), "ssm_dt", channels, *rank)?,
                        norms: norms.map(|eps| [*rank, chosen, chosen].map(|n| plain(eps, n))),
                    }),
                    scan,
                    step_bias: None,
                    norm: None,
                    out,
                })
            }
            Selection::Input { groups, norm } => {
                let rows = [channels, channels, chosen, chosen, s.heads];
                let all = channels + 2 * chosen;
                let bias = match self.names.is_gguf() {
                    true => self.values(layer, "ssm_dt", "bias", &[s.heads])?,
                    false => self.values(layer, "ssm_dt_bias", "", &[s.heads])?,
                };
                let weight = self.values(layer, norm.role, "weight", &[channels]);
                let weight = weight.or_else(|_| {
                    self.values(layer, norm.role, "weight", &[*groups, channels / groups])
                })?;
                Ok(StateSpaceWeights {
                    inputs: self.split(layer, "ssm_in", rows, width)?.into(),
                    convolutions: vec![
                        convolution(all, 0..channels)?,
                        convolution(all, channels..channels + chosen)?,
                        convolution(all, channels + chosen..all)?,
                    ],
                    convolved: None,
                    scan,
                    step_bias: Some(self.backend.vector(bias)),
                    norm: Some(self.norm_of(norm, channels / groups, weight, None)),
                    out,
                })
            }
        }
    }

    /// The taps of some of a convolution's channels.
    fn convolution(
        &self,
        layer: usize,
        role: &str,
        channels: usize,
        taps: usize,
        of: Range<usize>,
    ) -> Result<Convolution<B::Vector>> {
        let weight = self.values(layer, role, "weight", &[channels, taps])?;
        let tap = |j: usize| of.clone().map(|c| weight[c * taps + j]).collect();
        let bias = self.bias(Some(layer), role, channels).transpose()?;
        Ok(Convolution {
            taps: (0..taps).map(|j| self.backend.vector(tap(j))).collect(),
            bias: bias.map(|bias| self.backend.vector(bias[of.clone()].to_vec())),
        })
    }
}

/// A norm of the root mean square, without a weight.
fn plain<V>(eps: f32, width: usize) -> Norm<V> {
    Norm {
        kind: NormKind::Rms,
        eps,
        width,
        weight: None,
        bias: None,
    }
}

impl<B: Backend> Model<B> {
    pub(crate) fn run_short_convolution(
        &self,
        work: &mut Workspace<B>,
        w: &ShortConvolutionWeights<B>,
        step: &mut StepView<'_, '_, B>,
    ) {
        let backend = self.backend();
        let Workspace {
            normed,
            q: b,
            k: c,
            v: x,
            mixed,
            result,
            ..
        } = work;
        let [to_b, to_c, to_x] = &w.inputs;
        backend.linear(
            normed,
            &mut [product(to_b, b), product(to_c, c), product(to_x, x)],
        );
        backend.multiply(x, b);
        backend.convolve(&w.convolution, &mut step.next_states(), x, mixed);
        backend.multiply(mixed, c);
        backend.linear(mixed, &mut [product(&w.out, result)]);
    }

    pub(crate) fn run_state_space(
        &self,
        work: &mut Workspace<B>,
        w: &StateSpaceWeights<B>,
        step: &mut StepView<'_, '_, B>,
    ) {
        let backend = self.backend();
        let Workspace {
            normed,
            q: x,
            k: input,
            v: output,
            gate,
            steps,
            mixed,
            result,
            ..
        } = work;
        let outs = [&mut *gate, x, input, output, steps];
        let products = w.inputs.iter().zip(outs);
        let mut products: Vec<Linear<'_, B>> = products.map(|(w, out)| product(w, out)).collect();
        backend.linear(normed, &mut products);
        for (convolution, x) in w.convolutions.iter().zip([&mut *x, input, output]) {
            backend.convolve(convolution, &mut step.next_states(), x, mixed);
            std::mem::swap(x, mixed);
            backend.activate(Silu, x, None);
        }
        if let Some(w) = &w.convolved {
            let [fewer, to_input, to_output] = &w.chosen;
            let mut chosen = [
                product(fewer, result),
                product(to_input, input),
                product(to_output, output),
            ];
            backend.linear(x, &mut chosen);
            for (norm, chosen) in w.norms.iter().flatten().zip([&mut *result, input, output]) {
                backend.norm_in_place(norm, chosen);
            }
            backend.linear(result, &mut [product(&w.steps, steps)]);
        }
        if let Some(bias) = &w.step_bias {
            backend.add_bias(steps, bias);
        }
        backend.activate(Softplus, steps, None);
        let inputs = ScanInputs {
            x: &*x,
            steps: &*steps,
            input: &*input,
            output: &*output,
        };
        backend.scan(&w.scan, &mut step.next_states(), inputs, mixed);
        backend.activate(Silu, gate, Some(mixed));
        if let Some(norm) = &w.norm {
            backend.norm_in_place(norm, gate);
        }
        backend.linear(gate, &mut [product(&w.out, result)]);
    }
}

impl<B: Backend> StepView<'_, '_, B> {
    /// The next recurrent state of each sequence.
    fn next_states(&mut self) -> Vec<(Span, &mut B::Recurrent)> {
        let index = *self.recurrent;
        *self.recurrent += 1;
        let states = self.runs.iter_mut();
        let states = states.map(|run| &mut run.state.recurrents[index]);
        self.spans.iter().cloned().zip(states).collect()
    }
}
