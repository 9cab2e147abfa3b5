//! Products of one input with several weight matrices, in one hand-out.
//!
//! Work is cut along the rows of the weights only, and how a row is computed depends neither on the cut
//! nor on the threads; so the numbers do not depend on how many there are. In [`Precision::Exact`] they
//! do not depend on the other tokens of the step either.

use std::{cell::RefCell, ops::Range};

use hearth_format::BlockType;

use crate::{
    Isa, Matrix, Precision, Team,
    kernels::{
        self, FEW, Integer, MANY, Many, Packed, Panel, Part, STRIP, STRIPS, WALK, WALK_ROWS,
        activation::Activations,
        float::{self, Float, LANES, Tile},
    },
    team::Cells,
};

/// One weight matrix and where its product goes.
#[derive(Debug)]
pub struct Product<'a> {
    /// `[rows, columns]`.
    pub weight: &'a Matrix,
    /// Token `t` goes to `out[t * out_stride..][..rows]`.
    pub out: &'a mut [f32],
    /// Distance between the outputs of two tokens, at least `rows`.
    pub out_stride: usize,
}

/// `out[t] = x[t] · Wᵀ` for each weight.
///
/// * `isa`: from [`Isa::detect`]; one that the processor lacks is lowered to its best.
/// * `x`: `[tokens, columns]`, f32.
///
/// In [`Precision::Exact`], and for weights that are floats, activations stay f32 and each result is a
/// sum of fused multiply-adds in 16 lanes. In [`Precision::Fast`] activations are rounded to int8 in
/// groups of 32, where the block type has integer kernels.
///
/// # Panics
/// When the lengths do not fit: all weights have the same columns, `x` has `tokens` rows of them, `out`
/// has room for all tokens.
pub fn linear(
    team: &Team,
    isa: Isa,
    precision: Precision,
    x: &[f32],
    tokens: usize,
    products: &mut [Product<'_>],
) {
    let isa = isa.min(Isa::best());
    let Some(columns) = products.first().map(|product| product.weight.columns()) else {
        return;
    };
    assert_eq!(
        x.len(),
        tokens * columns,
        "values of {tokens} inputs of {columns} columns"
    );
    if tokens == 0 {
        return;
    }
    let jobs: Vec<Job<'_>> = products
        .iter_mut()
        .map(|product| Job::new(isa, precision, tokens, columns, product))
        .collect();
    INPUTS.with_borrow_mut(|inputs| {
        let inputs = &mut *inputs;
        if jobs.iter().any(|job| matches!(job.path, Path::Integer(_))) {
            quantize(team, isa, x, tokens, columns, &mut inputs.codes);
        }
        if jobs.iter().any(|job| job.path.walks(tokens)) {
            turn(team, isa, tokens, &mut inputs.codes);
        }
        let x = padded(x, columns, &mut inputs.floats);
        let step = Step {
            isa,
            columns,
            tokens,
            codes: &inputs.codes,
            floats: x,
        };
        let chunks = cut(team, tokens, &jobs);
        team.run(chunks.len(), &|index| {
            let (job, rows) = &chunks[index];
            SCRATCH.with_borrow_mut(|scratch| step.run(&jobs[*job], rows.clone(), scratch));
        });
    });
}

thread_local! {
    /// What the caller prepares for all threads.
    static INPUTS: RefCell<Inputs> = RefCell::default();
    /// What each thread needs for its chunk.
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

#[derive(Default)]
struct Inputs {
    codes: Activations,
    floats: Vec<f32>,
}

#[derive(Default)]
struct Scratch {
    panel: Panel,
    /// Rows as f32.
    rows: Vec<f32>,
    out: Vec<f32>,
}

impl Scratch {
    /// Room for `len` results, whatever is in it.
    fn out(&mut self, len: usize) -> &mut [f32] {
        if self.out.len() < len {
            self.out.resize(len, 0.0);
        }
        &mut self.out[..len]
    }
}

/// How a matrix is multiplied.
#[derive(Clone, Copy)]
enum Path {
    /// Codes by codes.
    Integer(Integer),
    /// Floats straight from the file.
    Float(Float),
    /// Rows dequantised to f32 first.
    Dequantized,
}

impl Path {
    /// Whether the kernel wants its input by groups of columns.
    fn walks(self, tokens: usize) -> bool {
        let walk = |integer: Integer| matches!(integer.many, Many::Walk(_));
        matches!(self, Path::Integer(i) if i.few(tokens).is_none() && walk(i))
    }

    /// The kernels where the product goes through a panel.
    fn packed(self, tokens: usize) -> Option<Packed> {
        match self {
            Path::Integer(integer) if integer.few(tokens).is_none() => match integer.many {
                Many::Panel(packed) => Some(packed),
                Many::Walk(_) => None,
            },
            _ => None,
        }
    }
}

struct Job<'a> {
    weight: &'a Matrix,
    path: Path,
    out: Cells<'a>,
    stride: usize,
}

impl<'a> Job<'a> {
    fn new(
        isa: Isa,
        precision: Precision,
        tokens: usize,
        columns: usize,
        product: &'a mut Product<'_>,
    ) -> Self {
        let (weight, stride) = (product.weight, product.out_stride);
        assert_eq!(
            weight.columns(),
            columns,
            "columns of weights that share an input"
        );
        assert!(
            stride >= weight.rows(),
            "outputs {stride} apart, {} rows",
            weight.rows()
        );
        let needed = (tokens - 1) * stride + weight.rows();
        assert!(product.out.len() >= needed, "room for {needed} outputs");
        Self {
            weight,
            path: path(isa, precision, tokens, weight),
            out: Cells::new(product.out),
            stride,
        }
    }
}

/// Bytes that a step of products keeps, array by array.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sizes {
    /// [`Inputs`].
    codes: usize,
    turned: usize,
    floats: usize,
    /// [`Scratch`].
    panel: usize,
    rows: usize,
    out: usize,
}

impl Sizes {
    /// Bytes that all threads share.
    pub(crate) fn shared(&self) -> usize {
        self.codes + self.turned + self.floats
    }

    /// Bytes that each thread has for itself.
    pub(crate) fn per_thread(&self) -> usize {
        self.panel + self.rows + self.out
    }

    /// The larger of both in everything, since arrays keep their memory.
    pub(crate) fn widen(&mut self, other: &Self) {
        for (mine, theirs) in [
            (&mut self.codes, other.codes),
            (&mut self.turned, other.turned),
            (&mut self.floats, other.floats),
            (&mut self.panel, other.panel),
            (&mut self.rows, other.rows),
            (&mut self.out, other.out),
        ] {
            *mine = theirs.max(*mine);
        }
    }
}

/// What [`linear`] keeps after products of `tokens` inputs with `weights`.
pub(crate) fn sizes<'a>(
    isa: Isa,
    precision: Precision,
    tokens: usize,
    weights: impl Iterator<Item = &'a Matrix>,
) -> Sizes {
    const F32: usize = size_of::<f32>();
    let mut sizes = Sizes::default();
    for weight in weights {
        let columns = weight.columns();
        let width = columns.next_multiple_of(LANES);
        let path = path(isa, precision, tokens, weight);
        let row_bytes = row_bytes(weight);
        let rows = chunk_rows(path, tokens, CHUNK_BYTES.end, row_bytes).min(weight.rows());
        sizes.widen(&Sizes {
            codes: match path {
                Path::Integer(_) => Activations::bytes(tokens, columns),
                _ => 0,
            },
            turned: if path.walks(tokens) {
                Activations::turned_bytes(tokens, columns)
            } else {
                0
            },
            floats: if width == columns {
                0
            } else {
                tokens * width * F32
            },
            panel: path.packed(tokens).map_or(0, |packed| {
                Panel::bytes(rows.div_ceil(STRIP), columns, packed.group)
            }),
            rows: match path {
                Path::Dequantized => STRIP.min(rows) * width * F32,
                _ => 0,
            },
            out: F32
                * match path {
                    _ if path.walks(tokens) => WALK.min(tokens) * rows.next_multiple_of(WALK_ROWS),
                    Path::Integer(_) if tokens > FEW => {
                        MANY.min(tokens) * rows.next_multiple_of(STRIP)
                    }
                    Path::Dequantized => STRIP.min(rows) * tokens,
                    _ => rows * tokens,
                },
        });
    }
    sizes
}

fn path(isa: Isa, precision: Precision, tokens: usize, weight: &Matrix) -> Path {
    let Some(block) = weight.block() else {
        return Path::Dequantized;
    };
    let float = match block {
        BlockType::F32 => Some(Float::F32),
        BlockType::F16 => Some(Float::F16),
        BlockType::BF16 => Some(Float::Bf16),
        _ => None,
    };
    match float {
        // Many tokens use a row often enough that converting it once pays.
        Some(float)
            if weight.columns().is_multiple_of(LANES) && (tokens <= FEW || float == Float::F32) =>
        {
            Path::Float(float)
        }
        None if precision == Precision::Fast => {
            kernels::integer(isa, block).map_or(Path::Dequantized, Path::Integer)
        }
        _ => Path::Dequantized,
    }
}

/// Quantises the input, on the team where it is large.
fn quantize(
    team: &Team,
    isa: Isa,
    x: &[f32],
    tokens: usize,
    columns: usize,
    codes: &mut Activations,
) {
    /// Tokens that a thread takes at a time; a step of fewer is done here and now.
    const TOKENS: usize = 8;
    let quantize = kernels::quantize(isa);
    let mut rows = codes.rows(tokens, columns);
    team.split(&mut rows, TOKENS, |index, rows| {
        for (row, x) in rows
            .iter_mut()
            .zip(x[index * TOKENS * columns..].chunks_exact(columns))
        {
            quantize(x, row);
        }
    });
}

/// Copies the quantised input by groups of columns, for kernels that walk.
fn turn(team: &Team, isa: Isa, tokens: usize, codes: &mut Activations) {
    /// Spans times tokens that a thread takes at a time; a step of fewer is done here and now.
    const PIECE: usize = 64;
    let (turn, piece) = (kernels::turn(isa), (PIECE / tokens).max(1));
    let (mut spans, rows) = codes.turn(tokens);
    team.split(&mut spans, piece, |index, spans| {
        for (s, span) in spans.iter_mut().enumerate() {
            turn(span, &rows, index * piece + s);
        }
    });
}

/// `x` with rows of whole vectors: itself, or a copy in `buffer`.
fn padded<'a>(x: &'a [f32], columns: usize, buffer: &'a mut Vec<f32>) -> &'a [f32] {
    let width = columns.next_multiple_of(LANES);
    if width == columns {
        return x;
    }
    buffer.clear();
    for row in x.chunks_exact(columns) {
        buffer.extend_from_slice(row);
        buffer.resize(buffer.len() + width - columns, 0.0);
    }
    buffer
}

/// Bytes of weights in a chunk: of a step of few tokens, and of a walk.
const CHUNK_BYTES: Range<usize> = 16 << 10..128 << 10;

fn row_bytes(weight: &Matrix) -> usize {
    (weight.stored_bytes() / weight.rows().max(1)).max(1)
}

/// Rows of a chunk that is to read about `target` bytes.
fn chunk_rows(path: Path, tokens: usize, target: usize, row_bytes: usize) -> usize {
    /// Rows that a walk takes at most: each has results of [`WALK`] tokens.
    const ROWS: usize = 128;
    let few = (target / row_bytes).next_multiple_of(8);
    let rows = match path {
        Path::Integer(integer) if matches!(integer.many, Many::Walk(_)) => few.min(ROWS),
        Path::Integer(_) if tokens > FEW => STRIP * STRIPS,
        _ if tokens > FEW => STRIP,
        _ => few,
    };
    rows.max(1)
}

/// Cuts all rows into chunks: small enough that threads end together, large enough that the hand-out
/// does not show.
fn cut(team: &Team, tokens: usize, jobs: &[Job<'_>]) -> Vec<(usize, Range<usize>)> {
    /// Chunks per thread to aim at: what a thread waits for the other at the end is one chunk.
    const CHUNKS: usize = 16;
    let total: usize = jobs.iter().map(|job| job.weight.stored_bytes()).sum();
    let target = (total / (team.threads() * CHUNKS)).clamp(CHUNK_BYTES.start, CHUNK_BYTES.end);
    let mut chunks = Vec::new();
    for (index, job) in jobs.iter().enumerate() {
        let rows = job.weight.rows();
        let count = chunk_rows(job.path, tokens, target, row_bytes(job.weight));
        chunks.extend(
            (0..rows)
                .step_by(count)
                .map(|r| (index, r..rows.min(r + count))),
        );
    }
    chunks
}

/// A step's inputs, ready for all threads.
struct Step<'a> {
    isa: Isa,
    columns: usize,
    tokens: usize,
    codes: &'a Activations,
    floats: &'a [f32],
}

impl Step<'_> {
    fn run(&self, job: &Job<'_>, rows: Range<usize>, scratch: &mut Scratch) {
        match job.path {
            Path::Integer(integer) => match (integer.few(self.tokens), integer.many) {
                (Some(dot), _) => {
                    let out = scratch.out(rows.len() * self.tokens);
                    dot(&self.part(job, &rows, &(0..self.tokens)), out);
                    store(job, rows, 0, out);
                }
                (None, Many::Panel(packed)) => self.panel(packed, job, rows, scratch),
                (None, Many::Walk(walk)) => {
                    // In parts of about the same size: each part turns the weights once more.
                    let size = self.tokens.div_ceil(self.tokens.div_ceil(WALK));
                    for first in (0..self.tokens).step_by(size) {
                        let tokens = first..self.tokens.min(first + size);
                        self.walk(walk, job, rows.clone(), tokens, scratch);
                    }
                }
            },
            Path::Float(float) => self.floats(float, job, rows, scratch),
            Path::Dequantized => self.dequantized(job, rows, scratch),
        }
    }

    /// Rows in the file's layout, and tokens.
    fn part<'a>(
        &'a self,
        job: &'a Job<'_>,
        rows: &Range<usize>,
        tokens: &Range<usize>,
    ) -> Part<'a> {
        let (weights, row_bytes) = job
            .weight
            .bytes(rows.start, rows.len())
            .expect("integer kernels are for blocks");
        Part {
            weights,
            row_bytes,
            inputs: self.codes,
            first_token: tokens.start,
            tokens: tokens.len(),
        }
    }

    fn walk(
        &self,
        walk: fn(&Part<'_>, &mut [f32]),
        job: &Job<'_>,
        rows: Range<usize>,
        tokens: Range<usize>,
        scratch: &mut Scratch,
    ) {
        let out = scratch.out(rows.len().next_multiple_of(WALK_ROWS) * tokens.len());
        walk(&self.part(job, &rows, &tokens), out);
        for (first, strip) in rows
            .clone()
            .step_by(WALK_ROWS)
            .zip(out.chunks_exact(WALK_ROWS * tokens.len()))
        {
            let count = WALK_ROWS.min(rows.end - first);
            for (t, values) in tokens.clone().zip(strip.chunks_exact(WALK_ROWS)) {
                job.out.store(t * job.stride + first, &values[..count]);
            }
        }
    }

    /// Unpacks rows into a panel, then multiplies it.
    fn panel(&self, packed: Packed, job: &Job<'_>, rows: Range<usize>, scratch: &mut Scratch) {
        let strips = rows.len().div_ceil(STRIP);
        let Scratch { panel, out, .. } = scratch;
        panel.reset(strips, self.codes.columns, packed.group);
        for strip in 0..strips {
            let first = rows.start + strip * STRIP;
            let (weights, row_bytes) = job
                .weight
                .bytes(first, STRIP.min(rows.end - first))
                .expect("integer kernels are for blocks");
            (packed.pack)(weights, row_bytes, panel, strip);
        }
        let width = strips * STRIP;
        for first in (0..self.tokens).step_by(MANY) {
            let tokens = MANY.min(self.tokens - first);
            out.resize(tokens * width, 0.0);
            (packed.multiply)(panel, self.codes, first, tokens, out);
            for (t, values) in out.chunks_exact(width).enumerate() {
                job.out
                    .store((first + t) * job.stride + rows.start, &values[..rows.len()]);
            }
        }
    }

    fn floats(&self, float: Float, job: &Job<'_>, rows: Range<usize>, scratch: &mut Scratch) {
        let (weights, _) = job
            .weight
            .bytes(rows.start, rows.len())
            .expect("floats are blocks");
        let tile = Tile {
            weights,
            rows: rows.len(),
            columns: self.columns,
            inputs: self.floats,
            tokens: self.tokens,
        };
        scratch.out.resize(rows.len() * self.tokens, 0.0);
        float::multiply(self.isa, float, &tile, &mut scratch.out);
        store(job, rows, 0, &scratch.out);
    }

    fn dequantized(&self, job: &Job<'_>, rows: Range<usize>, scratch: &mut Scratch) {
        let width = self.columns.next_multiple_of(LANES);
        let Scratch {
            rows: values, out, ..
        } = scratch;
        // A few rows at a time, so that they are still in the cache when they are multiplied.
        for first in rows.clone().step_by(STRIP) {
            let count = STRIP.min(rows.end - first);
            values.clear();
            values.resize(count * width, 0.0);
            for (r, row) in values.chunks_exact_mut(width).enumerate() {
                job.weight.row(first + r, &mut row[..self.columns]);
            }
            let tile = Tile {
                weights: bytemuck::cast_slice(values),
                rows: count,
                columns: width,
                inputs: self.floats,
                tokens: self.tokens,
            };
            out.resize(count * self.tokens, 0.0);
            float::multiply(self.isa, Float::F32, &tile, out);
            store(job, first..first + count, 0, out);
        }
    }
}

/// Stores `[tokens, rows.len()]` from token `first` on.
fn store(job: &Job<'_>, rows: Range<usize>, first: usize, values: &[f32]) {
    for (t, values) in values.chunks_exact(rows.len()).enumerate() {
        job.out.store((first + t) * job.stride + rows.start, values);
    }
}

#[cfg(test)]
mod tests;
