//! Weights by role, each found under the directory's name and checked against the shape that the settings ask for.

use std::collections::HashSet;

use hearth_model::{
    Attention, Experts, FeedForward, NormSpec, Op, Reach, Scaling, Settings, base_and_scaling,
};

use super::{
    Origin,
    planner::{Planner, vector},
    sketch::Changes,
};
use crate::{
    Result,
    plan::{Order, Part, Rows, Target},
};

/// Divisors of the rotation, which files keep as tensors.
pub(super) fn factors(origin: &Origin<'_>) -> Result<Vec<Target<'static>>> {
    let rotation = &origin.rotation;
    match rotation.scaling {
        Scaling::Llama3 { .. } => {
            let plain = |i: usize| rotation.base.powf(-2.0 * i as f64 / rotation.dims as f64);
            let rope = super::sketch::attentions(&origin.spec).find_map(|a| a.rope.as_ref());
            let frequencies = rope.map_or(&[][..], |rope| &rope.frequencies);
            let divisors = frequencies.iter().enumerate();
            let divisors = divisors.map(|(i, f)| (plain(i) / f64::from(*f)) as f32);
            Ok(vec![vector("rope_freqs.weight", divisors.collect())])
        }
        Scaling::Divisors { .. } => {
            // Which of the two lists is given depends on the longest context asked for.
            let list = |limit: usize| -> Result<Vec<f32>> {
                let settings = Settings::new(origin.checkpoint, Some(limit))?;
                let (dims, base) = (rotation.dims, rotation.base);
                match base_and_scaling(&settings, Reach::Full, dims, base)?.1 {
                    Scaling::Divisors { values, .. } => Ok(values),
                    other => Err(origin.inexpressible(format!("{other:?}"))),
                }
            };
            Ok(vec![
                vector("rope_factors_long.weight", list(usize::MAX)?),
                vector("rope_factors_short.weight", list(1)?),
            ])
        }
        _ => Ok(Vec::new()),
    }
}

/// All weights of the spec.
pub(super) fn plan<'a>(
    origin: &Origin<'a>,
    changes: &[Changes],
    notes: &mut Vec<String>,
) -> Result<Vec<Target<'a>>> {
    let mut planner = Planner {
        origin,
        names: origin.family.names(origin.checkpoint),
        fused: origin.architecture() == "phi3",
        layer: None,
        used: HashSet::new(),
        targets: Vec::new(),
    };
    planner.whole()?;
    let mut changes = changes.iter();
    for (i, layer) in origin.spec.layers.iter().enumerate() {
        planner.layer = Some(i);
        for block in &layer.blocks {
            let norms = [&block.before, &block.after];
            for norm in norms.into_iter().flatten() {
                planner.norm(norm, origin.spec.width, Order::AsIs, 1.0)?;
            }
            match &block.op {
                Op::Attention(a) => {
                    let changes = changes.next().expect("one entry per attention of the spec");
                    planner.attention(a, *changes)?;
                }
                Op::FeedForward(f) => planner.feed_forward(f)?,
                Op::Experts(e) => planner.experts(e)?,
                Op::ShortConvolution(_) | Op::StateSpace(_) => {
                    unreachable!("models with recurrent states are refused before")
                }
            }
        }
    }
    notes.extend(planner.left_out());
    Ok(planner.targets)
}

/// A projection that the spec asks for, and how its rows change.
#[derive(Clone, Copy)]
struct Wanted {
    role: &'static str,
    rows: usize,
    order: Order,
    factor: f32,
}

impl Wanted {
    /// Rows as they are.
    fn plain(role: &'static str, rows: usize) -> Self {
        Self {
            role,
            rows,
            order: Order::AsIs,
            factor: 1.0,
        }
    }
}

/// Where a projection is, and its bias.
struct Found<'a> {
    part: Part<'a>,
    bias: Option<Vec<f32>>,
}

impl<'a> Planner<'_, 'a> {
    fn whole(&mut self) -> Result<()> {
        let spec = &self.origin.spec;
        self.projection("token_embd", spec.vocab)?;
        if !spec.output.tied() {
            self.projection("output", spec.vocab)?;
        }
        match &spec.output.norm {
            Some(norm) => self.norm(norm, spec.width, Order::AsIs, 1.0),
            None => Ok(()),
        }
    }

    fn attention(&mut self, a: &Attention, changes: Changes) -> Result<()> {
        let [q, k, v] = [
            a.heads * a.key_dim,
            a.kv_heads * a.key_dim,
            a.kv_heads * a.value_dim,
        ];
        // Where heads have norms, these come between the queries and the scores.
        let (queries, normed) = match a.head_norms {
            None => (changes.queries, 1.0),
            Some(_) => (1.0, changes.queries),
        };
        let order = changes.order;
        self.together(
            "attn_qkv",
            "attn_qkv",
            &[
                Wanted {
                    order,
                    factor: queries,
                    ..Wanted::plain("attn_q", q)
                },
                Wanted {
                    order,
                    ..Wanted::plain("attn_k", k)
                },
                Wanted::plain("attn_v", v),
            ],
        )?;
        self.matrix("attn_output", self.origin.spec.width, a.heads * a.value_dim)?;
        if let Some((q, k)) = &a.head_norms {
            self.norm(q, a.key_dim, order, normed)?;
            self.norm(k, a.key_dim, order, 1.0)?;
        }
        Ok(())
    }

    fn feed_forward(&mut self, f: &FeedForward) -> Result<()> {
        self.together(
            "ffn_gate_up",
            "ffn_up",
            &[
                Wanted::plain("ffn_gate", f.inner),
                Wanted::plain("ffn_up", f.inner),
            ],
        )?;
        self.matrix("ffn_down", self.origin.spec.width, f.inner)
    }

    fn experts(&mut self, e: &Experts) -> Result<()> {
        let width = self.origin.spec.width;
        self.matrix("ffn_gate_inp", e.count, width)?;
        let layer = self.layer.unwrap_or(0);
        let both = self.names.stacked_experts(layer, "ffn_gate_up_exps");
        for (half, role) in ["ffn_gate_exps", "ffn_up_exps"].into_iter().enumerate() {
            let parts = match both {
                Some(tensor) => {
                    self.check(tensor, e.count * 2 * e.inner, width)?;
                    self.used.insert(&tensor.name);
                    let first = |expert: usize| (2 * expert + half) * e.inner;
                    let part = |expert| Part {
                        tensor,
                        first: first(expert),
                        rows: e.inner,
                    };
                    (0..e.count).map(part).collect()
                }
                None => self.expert_parts(layer, role, e.count, e.inner, width)?,
            };
            self.stacked(role, e.count, e.inner, width, parts);
        }
        let down = self.expert_parts(layer, "ffn_down_exps", e.count, width, e.inner)?;
        self.stacked("ffn_down_exps", e.count, width, e.inner, down);
        Ok(())
    }

    /// One matrix per expert, from one stacked tensor or from a tensor each.
    fn expert_parts(
        &mut self,
        layer: usize,
        role: &str,
        count: usize,
        rows: usize,
        columns: usize,
    ) -> Result<Vec<Part<'a>>> {
        if let Some(tensor) = self.names.stacked_experts(layer, role) {
            self.check(tensor, count * rows, columns)?;
            self.used.insert(&tensor.name);
            return Ok(vec![Part {
                tensor,
                first: 0,
                rows: count * rows,
            }]);
        }
        let name = self.names.name(Some(layer), role, "weight");
        let one = |expert: usize| {
            let name = name.replace("{}", &expert.to_string());
            let tensor = self.names.tensor(&name);
            let tensor = tensor.ok_or_else(|| self.missing(&name, rows, columns))?;
            self.check(tensor, rows, columns)?;
            Ok(Part {
                tensor,
                first: 0,
                rows,
            })
        };
        let parts: Vec<_> = (0..count).map(one).collect::<Result<_>>()?;
        self.used
            .extend(parts.iter().map(|p| p.tensor.name.as_str()));
        Ok(parts)
    }

    fn stacked(
        &mut self,
        role: &str,
        count: usize,
        rows: usize,
        columns: usize,
        parts: Vec<Part<'a>>,
    ) {
        let source = Rows {
            parts,
            order: Order::AsIs,
            factor: 1.0,
        };
        self.push(role, vec![count, rows, columns], source);
    }

    /// Projections of one input, in the directory apart or as the rows of one matrix `fused`; the file has them
    /// apart, or in families whose files fuse as `target`.
    fn together(&mut self, fused: &str, target: &str, wanted: &[Wanted]) -> Result<()> {
        let total = wanted.iter().map(|w| w.rows).sum();
        let whole = self.names.find(self.layer, fused, "weight");
        let whole_bias = match whole {
            Some(tensor) => {
                self.check(tensor, total, self.origin.spec.width)?;
                self.used.insert(&tensor.name);
                self.bias(fused, total)?
            }
            None => None,
        };
        let mut found = Vec::new();
        let mut first = 0;
        for wanted in wanted {
            let rows = first..first + wanted.rows;
            first = rows.end;
            found.push(match whole {
                Some(tensor) => Found {
                    part: Part {
                        tensor,
                        first: rows.start,
                        rows: wanted.rows,
                    },
                    bias: whole_bias.as_ref().map(|bias| bias[rows].to_vec()),
                },
                None => self.alone(wanted)?,
            });
        }
        if self.fused {
            return self.fuse(target, wanted, found);
        }
        for (wanted, found) in wanted.iter().zip(found) {
            self.put(wanted, found);
        }
        Ok(())
    }

    /// A projection stored by itself.
    fn alone(&mut self, wanted: &Wanted) -> Result<Found<'a>> {
        let tensor = self.require(wanted.role, wanted.rows, self.origin.spec.width)?;
        Ok(Found {
            part: Part {
                tensor,
                first: 0,
                rows: wanted.rows,
            },
            bias: self.bias(wanted.role, wanted.rows)?,
        })
    }

    /// A projection as the file wants it.
    fn put(&mut self, wanted: &Wanted, found: Found<'a>) {
        let Wanted {
            role,
            rows,
            order,
            factor,
        } = *wanted;
        let source = Rows {
            parts: vec![found.part],
            order,
            factor,
        };
        self.push(role, vec![rows, self.origin.spec.width], source);
        self.push_bias(role, found.bias.map(|b| reordered(&b, order, factor)));
    }

    /// One matrix of all, which can be no more than put together.
    fn fuse(&mut self, target: &str, wanted: &[Wanted], found: Vec<Found<'a>>) -> Result<()> {
        if wanted
            .iter()
            .any(|w| w.order != Order::AsIs || w.factor != 1.0)
        {
            return Err(self
                .origin
                .inexpressible("queries have another scale or rotation".to_owned()));
        }
        let rows = wanted.iter().map(|w| w.rows).sum();
        let biases: Vec<_> = found.iter().filter_map(|f| f.bias.clone()).collect();
        let bias = (biases.len() == found.len()).then(|| biases.concat());
        let source = Rows {
            parts: found.iter().map(|f| f.part).collect(),
            order: Order::AsIs,
            factor: 1.0,
        };
        self.push(target, vec![rows, self.origin.spec.width], source);
        self.push_bias(target, bias);
        Ok(())
    }

    /// A matrix of as many columns as the model is wide, as it is.
    fn projection(&mut self, role: &'static str, rows: usize) -> Result<()> {
        let wanted = Wanted::plain(role, rows);
        let found = self.alone(&wanted)?;
        self.put(&wanted, found);
        Ok(())
    }

    /// A matrix as it is, and its bias.
    fn matrix(&mut self, role: &str, rows: usize, columns: usize) -> Result<()> {
        let tensor = self.require(role, rows, columns)?;
        let bias = self.bias(role, rows)?;
        self.push(role, vec![rows, columns], Rows::whole(tensor));
        self.push_bias(role, bias);
        Ok(())
    }

    fn norm(&mut self, norm: &NormSpec, width: usize, order: Order, factor: f32) -> Result<()> {
        let tensor = self.require(norm.role, 1, width)?;
        let mut values = self.values(tensor, width)?;
        if norm.plus_one {
            values.iter_mut().for_each(|v| *v += 1.0);
        }
        let name = self.name(norm.role, "weight");
        self.targets
            .push(vector(name, reordered(&values, order, factor)));
        let bias = self.bias(norm.role, width)?;
        self.push_bias(norm.role, bias.map(|b| reordered(&b, order, factor)));
        Ok(())
    }
}

fn reordered(values: &[f32], order: Order, factor: f32) -> Vec<f32> {
    let value = |i: usize| values[order.source(i)] * factor;
    (0..values.len()).map(value).collect()
}
