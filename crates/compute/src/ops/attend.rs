//! Attention over the pages of a cache, by online softmax.
//!
//! The context is cut into segments of [`SEGMENT`] pages, counted from position 0. A segment gives each
//! query a [`Partial`]: its largest logit, the sum of its weights and the weighted sum of values;
//! the partials of all segments are merged in ascending order. Segments end at the same positions
//! whatever the step holds, and a page that a query does not see changes nothing in its partial, so
//! a query's result is the same bits in any batch, any chunk of a prompt and any number of threads.
//!
//! A [`Job`] is a tile of queries that share a key-value head. With enough jobs for the team each
//! works through its segments; with few (decode) every segment of every job is a chunk.

use std::ops::Range;

use crate::{
    Buffer, Team,
    backend::{Attend, Mask, Span},
    isa::Isa,
    kernels::{
        ops_math::exp,
        ops_rows::{self, Logits, Running},
        ops_tile::{Element, Tile},
    },
    ops::{
        Pool,
        cache::{Cache, PAGE, Page, Pages, Shape},
    },
    team::Cells,
};

/// Pages of a segment: short enough that a decode step of a few hundred positions feeds two
/// threads, long enough that merging is nothing beside it.
const SEGMENT: usize = 4;
/// Query rows of a tile (tokens times heads that share keys): the tile, its scores and its results
/// stay in the second-level cache beside a page.
const TILE: usize = 48;

/// Scratch memory of attention.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    /// One per thread.
    tiles: Pool<Work>,
    /// One per caller: the partials of a step whose segments are handed out one by one.
    partials: Pool<Vec<Partial>>,
}

/// What a thread needs for one tile.
#[derive(Debug, Default)]
struct Work {
    queries: Vec<f32>,
    scores: Vec<f32>,
    rescale: Vec<f32>,
    visible: Vec<Range<usize>>,
    in_page: Vec<(usize, usize)>,
    segment: Partial,
    total: Partial,
}

/// The state of an online softmax, for the rows of a tile.
#[derive(Debug, Default)]
struct Partial {
    max: Vec<f32>,
    sum: Vec<f32>,
    /// `[rows, value_pitch]`.
    values: Vec<f32>,
}

/// Tokens of a step that attend with the heads of one key-value head.
struct Job<'a> {
    span: &'a Span,
    cache: &'a Cache,
    kv_head: usize,
    /// Rows of the step.
    tokens: Range<usize>,
    segments: Range<usize>,
}

/// One call of [`attend`].
struct Step<'a> {
    isa: Isa,
    attend: &'a Attend<Vec<f32>>,
    q: &'a Buffer,
    group: usize,
    scratch: &'a Scratch,
}

/// Attention of `q` over each span's cache; `out` becomes `[tokens, heads * value_dim]`.
pub(crate) fn attend(
    team: &Team,
    isa: Isa,
    scratch: &Scratch,
    attend: &Attend<Vec<f32>>,
    spans: &[(Span, &Cache)],
    q: &Buffer,
    out: &mut Buffer,
) {
    let shape = Shape {
        kv_heads: attend.kv_heads,
        key_dim: attend.key_dim,
        value_dim: attend.value_dim,
    };
    assert!(
        attend.heads.is_multiple_of(attend.kv_heads),
        "{} heads share {}",
        attend.heads,
        attend.kv_heads
    );
    assert_eq!(q.width, attend.heads * attend.key_dim, "width of queries");
    for (span, cache) in spans {
        assert_eq!(cache.shape, shape, "shape of the cache");
        assert!(
            span.first_position + span.rows.len() <= cache.len,
            "the cache holds the step's own keys"
        );
    }
    let step = Step {
        isa,
        attend,
        q,
        group: group(attend),
        scratch,
    };
    let width = attend.heads * attend.value_dim;
    let out = Cells::new(out.reshape(q.rows(), width));
    let jobs = jobs(attend, spans);
    match segments_apart(team.threads(), &jobs) {
        None => team.run(jobs.len(), &|index| step.whole(&jobs[index], out)),
        Some(segments) => scratch
            .partials
            .with(|partials| step.by_segment(team, &jobs, segments, partials, out)),
    }
}

/// Query heads that share a key-value head.
fn group(attend: &Attend<Vec<f32>>) -> usize {
    attend.heads / attend.kv_heads
}

/// How many segments are handed out one by one; none where whole jobs are. Which of the two only matters for the load
/// of the threads.
fn segments_apart(threads: usize, jobs: &[Job<'_>]) -> Option<usize> {
    let segments = jobs.iter().map(|job| job.segments.len()).sum();
    let whole = jobs.len() >= 4 * threads || segments == jobs.len() || threads == 1;
    (!whole).then_some(segments)
}

fn jobs<'a>(attend: &Attend<Vec<f32>>, spans: &'a [(Span, &'a Cache)]) -> Vec<Job<'a>> {
    let tokens = (TILE / group(attend)).max(1);
    let mut jobs = Vec::new();
    for (span, cache) in spans {
        // The longest first, so that the last chunks handed out are small.
        for first in span.rows.clone().step_by(tokens).rev() {
            let tokens = first..span.rows.end.min(first + tokens);
            let first_key = visible(attend.mask, span, cache, tokens.start).start;
            let end_key = visible(attend.mask, span, cache, tokens.end - 1).end;
            let segments = first_key / (SEGMENT * PAGE)..end_key.div_ceil(SEGMENT * PAGE);
            jobs.extend((0..attend.kv_heads).map(|kv_head| Job {
                span,
                cache,
                kv_head,
                tokens: tokens.clone(),
                segments: segments.clone(),
            }));
        }
    }
    jobs
}

/// The positions that row `row` of the step sees.
fn visible(mask: Mask, span: &Span, cache: &Cache, row: usize) -> Range<usize> {
    let end = span.first_position + (row - span.rows.start) + 1;
    match mask {
        Mask::Causal => 0..end,
        Mask::Window(n) => end.saturating_sub(n.max(1))..end,
        Mask::Bidirectional => 0..cache.len,
        Mask::Around(n) => (end - 1).saturating_sub(n)..end.saturating_add(n).min(cache.len),
    }
}

/// Bytes of [`Scratch`] for a step.
#[derive(Debug, Default)]
pub(crate) struct Sizes {
    /// Of each thread's tile.
    pub(crate) tile: usize,
    /// Of the partials of all segments.
    pub(crate) partials: usize,
}

impl Sizes {
    /// The larger of both in everything.
    pub(crate) fn widen(&mut self, other: &Self) {
        self.tile = self.tile.max(other.tile);
        self.partials = self.partials.max(other.partials);
    }
}

/// What [`attend`] takes for this step on a team of `threads`. The caches need no pages.
pub(crate) fn sizes(threads: usize, attend: &Attend<Vec<f32>>, spans: &[(Span, &Cache)]) -> Sizes {
    let jobs = jobs(attend, spans);
    let rows = jobs.iter().map(|job| job.tokens.len()).max().unwrap_or(0) * group(attend);
    let pitch = spans
        .first()
        .map_or(0, |(_, cache)| cache.shape.value_pitch());
    let partial = rows * (pitch + 2) * size_of::<f32>();
    let row = (attend.key_dim + PAGE + 1) * size_of::<f32>()
        + size_of::<Range<usize>>()
        + size_of::<(usize, usize)>();
    Sizes {
        tile: rows * row + 2 * partial,
        partials: segments_apart(threads, &jobs).unwrap_or(0) * partial,
    }
}

impl Step<'_> {
    /// All segments of a job, one after the other.
    fn whole(&self, job: &Job<'_>, out: Cells<'_>) {
        self.scratch.tiles.with(|work| {
            self.prepare(job, work);
            work.total
                .reset(self.rows(job), job.cache.shape.value_pitch());
            for segment in job.segments.clone() {
                self.segment(job, segment, work);
                work.total.merge(self.isa, &work.segment);
            }
            self.finish(job, &mut work.total, out);
        });
    }

    /// Every segment of every job as a chunk, then their sums.
    fn by_segment(
        &self,
        team: &Team,
        jobs: &[Job<'_>],
        segments: usize,
        partials: &mut Vec<Partial>,
        out: Cells<'_>,
    ) {
        let of: Vec<(usize, usize)> = jobs
            .iter()
            .enumerate()
            .flat_map(|(index, job)| job.segments.clone().map(move |segment| (index, segment)))
            .collect();
        if partials.len() < segments {
            partials.resize_with(segments, Partial::default);
        }
        team.split(&mut partials[..segments], 1, |index, partial| {
            let (job, segment) = (&jobs[of[index].0], of[index].1);
            self.scratch.tiles.with(|work| {
                self.prepare(job, work);
                self.segment(job, segment, work);
                for partial in partial {
                    std::mem::swap(partial, &mut work.segment);
                }
            });
        });
        let partials = &partials[..segments];
        team.run(jobs.len(), &|index| {
            let start = of.partition_point(|&(job, _)| job < index);
            self.scratch.tiles.with(|work| {
                let job = &jobs[index];
                work.total
                    .reset(self.rows(job), job.cache.shape.value_pitch());
                for partial in &partials[start..start + job.segments.len()] {
                    work.total.merge(self.isa, partial);
                }
                self.finish(job, &mut work.total, out);
            });
        });
    }

    fn rows(&self, job: &Job<'_>) -> usize {
        job.tokens.len() * self.group
    }

    /// Gathers the queries of a tile, `[tokens, group, key_dim]`, and what each of them sees.
    fn prepare(&self, job: &Job<'_>, work: &mut Work) {
        let width = self.group * self.attend.key_dim;
        work.queries.clear();
        work.visible.clear();
        for token in job.tokens.clone() {
            work.queries
                .extend_from_slice(&self.q.row(token)[job.kv_head * width..][..width]);
            let visible = visible(self.attend.mask, job.span, job.cache, token);
            work.visible
                .extend(std::iter::repeat_n(visible, self.group));
        }
    }

    /// One segment of a job, into `work.segment`.
    fn segment(&self, job: &Job<'_>, segment: usize, work: &mut Work) {
        match &job.cache.pages {
            Pages::F32(pages) => self.segment_of(job, segment, pages, work),
            Pages::F16(pages) => self.segment_of(job, segment, pages, work),
        }
    }

    fn segment_of<T: Element>(
        &self,
        job: &Job<'_>,
        segment: usize,
        pages: &[std::sync::Arc<Page<T>>],
        work: &mut Work,
    ) {
        let (shape, rows) = (job.cache.shape, self.rows(job));
        let pitch = shape.value_pitch();
        work.segment.reset(rows, pitch);
        work.rescale.resize(rows, 1.0);
        let (Some(first), Some(last)) = (work.visible.first(), work.visible.last()) else {
            return;
        };
        let seen = first.start..last.end;
        for (index, page) in pages
            .iter()
            .enumerate()
            .skip(segment * SEGMENT)
            .take(SEGMENT)
        {
            let start = index * PAGE;
            let within = |position: usize| position.clamp(start, start + PAGE) - start;
            let end = within(seen.end);
            if end <= within(seen.start) {
                continue;
            }
            work.scores.clear();
            work.scores.resize(rows * PAGE, 0.0);
            let scores = Tile {
                rows,
                depth: shape.key_dim,
                columns: PAGE,
                a_pitch: shape.key_dim,
                b_pitch: PAGE,
                c_pitch: PAGE,
            };
            let (keys, value_rows) = (
                page.keys(shape, job.kv_head),
                page.values(shape, job.kv_head),
            );
            scores.multiply(self.isa, &work.queries, keys, &mut work.scores, value_rows);
            work.in_page.clear();
            work.in_page.extend(
                work.visible
                    .iter()
                    .map(|v| (within(v.start), within(v.end))),
            );
            let Partial { max, sum, values } = &mut work.segment;
            let logits = Logits {
                scale: self.attend.scale,
                soft_cap: self.attend.soft_cap,
            };
            let running = Running {
                max,
                sum,
                rescale: &mut work.rescale,
            };
            ops_rows::soften(self.isa, logits, &work.in_page, &mut work.scores, running);
            for (row, &factor) in values.chunks_exact_mut(pitch).zip(&work.rescale) {
                if factor != 1.0 {
                    ops_rows::scale(self.isa, row, factor, None);
                }
            }
            // Slots after the last visible one may hold what a longer past left there.
            let sums = Tile {
                rows,
                depth: end,
                columns: pitch,
                a_pitch: PAGE,
                b_pitch: pitch,
                c_pitch: pitch,
            };
            let next = pages
                .get(index + 1)
                .map_or(&[][..], |page| page.keys(shape, job.kv_head));
            sums.multiply(self.isa, &work.scores, value_rows, values, next);
        }
    }

    /// Divides by the sum of weights, the sink's among them, and writes the tile's part of `out`.
    fn finish(&self, job: &Job<'_>, total: &mut Partial, out: Cells<'_>) {
        let Attend {
            heads, value_dim, ..
        } = *self.attend;
        let pitch = job.cache.shape.value_pitch();
        for (r, values) in total.values.chunks_exact_mut(pitch).enumerate() {
            let head = job.kv_head * self.group + r % self.group;
            let (mut sum, mut factor) = (total.sum[r], 1.0);
            if let Some(sinks) = &self.attend.sinks {
                let max = total.max[r].max(sinks[head]);
                factor = exp(total.max[r] - max);
                sum = sum * factor + exp(sinks[head] - max);
            }
            let values = &mut values[..value_dim];
            ops_rows::scale(self.isa, values, factor / sum, None);
            let token = job.tokens.start + r / self.group;
            out.store((token * heads + head) * value_dim, values);
        }
    }
}

impl Partial {
    /// The partial of no keys.
    fn reset(&mut self, rows: usize, pitch: usize) {
        for (array, len, value) in [
            (&mut self.max, rows, f32::MIN),
            (&mut self.sum, rows, 0.0),
            (&mut self.values, rows * pitch, 0.0),
        ] {
            array.clear();
            array.resize(len, value);
        }
    }

    /// Adds the keys of `other`, a tile of the same shape.
    fn merge(&mut self, isa: Isa, other: &Partial) {
        let pitch = self.values.len() / self.max.len().max(1);
        let rows = self
            .values
            .chunks_exact_mut(pitch.max(1))
            .zip(other.values.chunks_exact(pitch.max(1)));
        for (r, (mine, theirs)) in rows.enumerate() {
            let max = self.max[r].max(other.max[r]);
            let (old, new) = (exp(self.max[r] - max), exp(other.max[r] - max));
            if old != 1.0 {
                ops_rows::scale(isa, mine, old, None);
            }
            ops_rows::add_scaled(isa, mine, theirs, new);
            self.sum[r] = self.sum[r] * old + other.sum[r] * new;
            self.max[r] = max;
        }
    }
}
