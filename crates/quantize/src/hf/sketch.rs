//! What the file would compute with the weights as they are, and how they must change to compute what the directory
//! does.

use std::fmt::Debug;

use hearth_format::{BlockType, Bytes, Checkpoint, GgufWriter, Metadata};
use hearth_model::{
    Attention, Block, Experts, Mask, NormSpec, Op, Pairing, Rope, Settings, Spec, families,
};

use super::Origin;
use crate::{
    Error, Result, encode,
    plan::{Order, Source, Target},
};

/// How the weights of an attention change.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Changes {
    /// The order of the rows of each query and key head.
    pub order: Order,
    /// Multiplies the queries, since the file implies another scale of scores.
    pub queries: f32,
}

/// Relative distance of numbers that were rounded on their way.
const ROUNDING: f32 = 1e-5;

/// The attentions of a spec, in order.
pub(super) fn attentions(spec: &Spec) -> impl Iterator<Item = &Attention> {
    let blocks = spec.layers.iter().flat_map(|layer| &layer.blocks);
    blocks.filter_map(|block| match &block.op {
        Op::Attention(attention) => Some(attention),
        _ => None,
    })
}

/// The first mixture of experts.
pub(super) fn experts(spec: &Spec) -> Option<&Experts> {
    let mut blocks = spec.layers.iter().flat_map(|layer| &layer.blocks);
    blocks.find_map(|block| match &block.op {
        Op::Experts(experts) => Some(experts),
        _ => None,
    })
}

/// The window of a mask that has one.
pub(super) fn window(mask: Mask) -> Option<usize> {
    match mask {
        Mask::Window(n) => Some(n),
        _ => None,
    }
}

/// The changes of each layer's attention. A window that the family's files cannot have becomes a note.
///
/// # Errors
/// When anything else differs.
pub(super) fn changes(
    origin: &Origin<'_>,
    metadata: &Metadata,
    factors: &[Target<'_>],
    notes: &mut Vec<String>,
) -> Result<Vec<Changes>> {
    let file = read(origin, metadata, factors)?;
    let (from, to) = (&origin.spec, &file);
    let whole = Comparison {
        origin,
        layer: None,
    };
    whole.same(
        "the embedding is multiplied by",
        &from.embedding_scale,
        &to.embedding_scale,
    )?;
    whole.same("the vocabulary has rows", &from.vocab, &to.vocab)?;
    whole.same(
        "the last norm is",
        &from.output.norm.as_ref().map(plain),
        &to.output.norm.as_ref().map(plain),
    )?;
    whole.same(
        "the embedding is the output",
        &from.output.tied(),
        &to.output.tied(),
    )?;
    whole.same(
        "logits are multiplied by",
        &from.output.scale,
        &to.output.scale,
    )?;
    whole.same(
        "logits are capped at",
        &from.output.soft_cap,
        &to.output.soft_cap,
    )?;
    whole.same(
        "the number of layers is",
        &from.layers.len(),
        &to.layers.len(),
    )?;
    let mut changes = Vec::new();
    let mut lost = Vec::new();
    for (i, (from, to)) in from.layers.iter().zip(&to.layers).enumerate() {
        let layer = Comparison {
            origin,
            layer: Some(i),
        };
        layer.same(
            "the number of blocks is",
            &from.blocks.len(),
            &to.blocks.len(),
        )?;
        for (from, to) in from.blocks.iter().zip(&to.blocks) {
            changes.extend(layer.block(from, to, &mut lost)?);
        }
    }
    if let Some(window) = lost.first() {
        notes.push(format!(
            "the model attends to a window of {window} tokens in {} of its layers, which GGUF files of this family \
             cannot say: after that many tokens it computes something else",
            lost.len()
        ));
    }
    Ok(changes)
}

/// The spec that hearth reads from a GGUF with this metadata. Of weights it needs the number of rows of the embedding,
/// whether there is an output, and the divisors of the rotation.
fn read(origin: &Origin<'_>, metadata: &Metadata, factors: &[Target<'_>]) -> Result<Spec> {
    let spec = &origin.spec;
    let mut writer = GgufWriter::new(metadata.clone()).map_err(Error::Write)?;
    let mut rest = vec![("token_embd.weight", spec.vocab)];
    if !spec.output.tied() {
        rest.push(("output.weight", 1));
    }
    let mut data = Vec::new();
    for (name, rows) in rest {
        writer
            .tensor(name, &[rows, 1], BlockType::F16)
            .map_err(Error::Write)?;
        data.push(vec![0; 2 * rows]);
    }
    for target in factors {
        let Source::Values(values) = &target.source else {
            continue;
        };
        writer
            .tensor(&target.name, &target.shape, BlockType::F32)
            .map_err(Error::Write)?;
        let mut bytes = vec![0; 4 * values.len()];
        encode(BlockType::F32, values, &mut bytes).map_err(|source| Error::Encode {
            place: origin.checkpoint.label().to_owned(),
            tensor: target.name.clone(),
            row: 0,
            source,
        })?;
        data.push(bytes);
    }
    let mut body = writer.start(Vec::new()).map_err(Error::Write)?;
    for bytes in data {
        body.write(&bytes).map_err(Error::Write)?;
    }
    let file = body.finish().map_err(Error::Write)?;
    let label = origin.checkpoint.label();
    let sketch = Checkpoint::from_gguf_bytes(Bytes::new(file), label)
        .map_err(|e| origin.inexpressible(e.to_string()))?;
    let settings = Settings::new(&sketch, None)?;
    Ok(families::find(&settings)?.spec(&settings)?)
}

/// A norm without how its weight is stored: files have one already added.
fn plain(norm: &NormSpec) -> NormSpec {
    NormSpec {
        plus_one: false,
        ..norm.clone()
    }
}

fn near(a: f32, b: f32) -> bool {
    (a - b).abs() <= ROUNDING * a.abs().max(b.abs())
}

struct Comparison<'o, 'a> {
    origin: &'o Origin<'a>,
    layer: Option<usize>,
}

impl Comparison<'_, '_> {
    fn same(&self, what: &str, from: &impl Debug, to: &impl Debug) -> Result<()> {
        let (from, to) = (format!("{from:?}"), format!("{to:?}"));
        if from == to {
            return Ok(());
        }
        let layer = self
            .layer
            .map_or(String::new(), |i| format!("in layer {i} "));
        Err(self
            .origin
            .inexpressible(format!("{layer}{what} {from} (it would be read as {to})")))
    }

    fn block(&self, from: &Block, to: &Block, lost: &mut Vec<usize>) -> Result<Option<Changes>> {
        let norm = |norm: &Option<NormSpec>| norm.as_ref().map(plain);
        self.same(
            "the norm before a block is",
            &norm(&from.before),
            &norm(&to.before),
        )?;
        self.same(
            "the norm after a block is",
            &norm(&from.after),
            &norm(&to.after),
        )?;
        self.same("a block is multiplied by", &from.residual, &to.residual)?;
        if let (Op::Attention(from), Op::Attention(to)) = (&from.op, &to.op) {
            return self.attention(from, to, lost).map(Some);
        }
        self.same("a block is", &from.op, &to.op)?;
        Ok(None)
    }

    fn attention(
        &self,
        from: &Attention,
        to: &Attention,
        lost: &mut Vec<usize>,
    ) -> Result<Changes> {
        let sizes = |a: &Attention| (a.heads, a.kv_heads, a.key_dim, a.value_dim);
        self.same("the attention has sizes", &sizes(from), &sizes(to))?;
        self.same("scores are capped at", &from.soft_cap, &to.soft_cap)?;
        let norms = |a: &Attention| a.head_norms.as_ref().map(|(q, k)| (plain(q), plain(k)));
        self.same("the norms of heads are", &norms(from), &norms(to))?;
        if from.mask != to.mask {
            match (window(from.mask), to.mask) {
                (Some(window), Mask::Causal) => lost.push(window),
                _ => self.same("attention sees", &from.mask, &to.mask)?,
            }
        }
        let queries = if near(from.scale, to.scale) {
            1.0
        } else {
            from.scale / to.scale
        };
        let order = match (&from.rope, &to.rope) {
            (Some(a), Some(b)) => self.rotation(a, b, from.key_dim)?,
            (a, b) => {
                self.same("the rotation is", a, b)?;
                Order::AsIs
            }
        };
        Ok(Changes { order, queries })
    }

    fn rotation(&self, from: &Rope, to: &Rope, head: usize) -> Result<Order> {
        let pairs = from.frequencies.iter().zip(&to.frequencies);
        let same_frequencies = from.frequencies.len() == to.frequencies.len()
            && pairs.into_iter().all(|(a, b)| near(*a, *b));
        if !same_frequencies {
            self.same("heads rotate by", &from.frequencies, &to.frequencies)?;
        }
        if !near(from.magnitude, to.magnitude) {
            self.same("rotation multiplies by", &from.magnitude, &to.magnitude)?;
        }
        match (from.pairing, to.pairing) {
            (a, b) if a == b => Ok(Order::AsIs),
            (Pairing::Halves, Pairing::Adjacent) => Ok(Order::Adjacent {
                head,
                rotated: 2 * from.frequencies.len(),
            }),
            (a, b) => {
                self.same("rotated pairs are", &a, &b)?;
                Ok(Order::AsIs)
            }
        }
    }
}
