//! Keys and values of one sequence in one layer, in pages.
//!
//! A page holds 64 positions of all heads: keys as `[kv_head][key_dim][position]`, values as
//! `[kv_head][position][value_dim]`, each head's part contiguous. Keys lie across, so that the
//! scores of a page are sums over whole vectors of positions and need no reduction; both products of
//! attention then have the same form. Pages are shared by forks until one of them writes.

use std::sync::Arc;

use half::f16;

use crate::{
    Buffer, Precision, Team,
    backend::Span,
    kernels::{
        ops_rows::KEYS,
        ops_tile::{COLUMNS, Element},
    },
};

use super::page::Values;

/// Positions of a page.
pub(crate) const PAGE: usize = KEYS;

/// The sizes of a cache's entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) kv_heads: usize,
    pub(crate) key_dim: usize,
    pub(crate) value_dim: usize,
}

impl Shape {
    pub(crate) fn new(kv_heads: usize, key_dim: usize, value_dim: usize) -> Self {
        Self {
            kv_heads,
            key_dim,
            value_dim,
        }
    }

    /// Values of a head from one position to the next: whole vectors.
    pub(crate) fn value_pitch(self) -> usize {
        self.value_dim.next_multiple_of(COLUMNS)
    }

    /// Values in a page's keys, and in its values.
    pub(super) fn page_parts(self) -> [usize; 2] {
        [self.key_dim, self.value_pitch()].map(|width| self.kv_heads * width * PAGE)
    }

    /// Values in a page, keys and values together.
    fn page_values(self) -> usize {
        let per_position = self.key_dim.saturating_add(self.value_pitch());
        self.kv_heads
            .saturating_mul(per_position)
            .saturating_mul(PAGE)
    }

    /// Bytes of the pages that `positions` positions take.
    pub(crate) fn bytes(self, precision: Precision, positions: usize) -> usize {
        positions
            .div_ceil(PAGE)
            .saturating_mul(self.page_values())
            .saturating_mul(element_bytes(precision))
    }
}

/// Bytes of a value in a cache.
fn element_bytes(precision: Precision) -> usize {
    match precision {
        Precision::Exact => size_of::<f32>(),
        Precision::Fast => size_of::<f16>(),
    }
}

/// Keys and values of one sequence in one layer. A clone shares all pages.
#[derive(Clone, Debug)]
pub struct Cache {
    pub(crate) shape: Shape,
    pub(crate) len: usize,
    pub(crate) pages: Pages,
}

/// The pages, in the type that the precision asks for.
#[derive(Clone, Debug)]
pub(crate) enum Pages {
    F32(Vec<Arc<Page<f32>>>),
    F16(Vec<Arc<Page<f16>>>),
}

/// 64 positions of all heads.
#[derive(Clone, Debug)]
pub(crate) struct Page<T: Element> {
    /// `[kv_heads][key_dim][PAGE]`.
    pub(super) keys: Values<T>,
    /// `[kv_heads][PAGE][value_pitch]`.
    pub(super) values: Values<T>,
}

impl Cache {
    pub(crate) fn new(precision: Precision, shape: Shape) -> Self {
        let pages = match precision {
            Precision::Exact => Pages::F32(Vec::new()),
            Precision::Fast => Pages::F16(Vec::new()),
        };
        Self {
            shape,
            len: 0,
            pages,
        }
    }

    /// Positions held.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no position is held.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Forgets all positions from `len` on, and frees the pages that held nothing else.
    pub(crate) fn truncate(&mut self, len: usize) {
        if len < self.len {
            self.len = len;
            let pages = len.div_ceil(PAGE);
            match &mut self.pages {
                Pages::F32(held) => held.truncate(pages),
                Pages::F16(held) => held.truncate(pages),
            }
        }
    }

    /// Has the length that [`Self::store`] would give it, and no pages: for counting.
    pub(crate) fn pretend(&mut self, span: &Span) {
        self.len = span.first_position + span.rows.len();
    }

    /// Bytes that a thread needs to store the rows of `span`, whose keys are `width` values.
    pub(crate) fn store_bytes(&self, span: &Span, width: usize) -> usize {
        let precision = match self.pages {
            Pages::F32(_) => Precision::Exact,
            Pages::F16(_) => Precision::Fast,
        };
        span.rows.len().min(PAGE) * width * element_bytes(precision)
    }

    /// Writes the rows of `span` from its first position on; later positions are forgotten.
    pub(crate) fn store(&mut self, team: &Team, span: &Span, k: &Buffer, v: &Buffer) {
        let shape = self.shape;
        assert!(
            span.first_position <= self.len,
            "position {} after {} held",
            span.first_position,
            self.len
        );
        assert_eq!(k.width, shape.kv_heads * shape.key_dim, "width of keys");
        assert_eq!(v.width, shape.kv_heads * shape.value_dim, "width of values");
        self.truncate(span.first_position);
        self.len = span.first_position + span.rows.len();
        if !span.rows.is_empty() {
            let rows = Rows { shape, span, k, v };
            match &mut self.pages {
                Pages::F32(pages) => rows.store(team, self.len, pages),
                Pages::F16(pages) => rows.store(team, self.len, pages),
            }
        }
    }
}

impl<T: Element> Page<T> {
    pub(super) fn new(shape: Shape) -> Self {
        let zeros = |n: usize| Values::Own(vec![T::default(); n].into_boxed_slice());
        let [keys, values] = shape.page_parts().map(zeros);
        Self { keys, values }
    }

    /// The keys of a head, `[key_dim][PAGE]`.
    pub(crate) fn keys(&self, shape: Shape, head: usize) -> &[T] {
        let len = shape.key_dim * PAGE;
        &self.keys[head * len..][..len]
    }

    /// The values of a head, `[PAGE][value_pitch]`.
    pub(crate) fn values(&self, shape: Shape, head: usize) -> &[T] {
        let len = PAGE * shape.value_pitch();
        &self.values[head * len..][..len]
    }
}

/// Rows of a step on their way into the pages.
struct Rows<'a> {
    shape: Shape,
    span: &'a Span,
    k: &'a Buffer,
    v: &'a Buffer,
}

impl Rows<'_> {
    fn store<T: Element>(&self, team: &Team, len: usize, pages: &mut Vec<Arc<Page<T>>>) {
        pages.resize_with(len.div_ceil(PAGE), || Arc::new(Page::new(self.shape)));
        let first = self.span.first_position / PAGE;
        team.split(&mut pages[first..], 1, |index, page| {
            let start = (first + index) * PAGE;
            let from = self.span.first_position.max(start);
            let to = len.min(start + PAGE);
            for page in page {
                self.fill(
                    Arc::make_mut(page),
                    from - start..to - start,
                    self.row(from),
                );
            }
        });
    }

    /// The row of the step that `position` is.
    fn row(&self, position: usize) -> usize {
        self.span.rows.start + position - self.span.first_position
    }

    /// Writes the positions `slots` of a page, the first of which is row `row` of the step.
    fn fill<T: Element>(&self, page: &mut Page<T>, slots: std::ops::Range<usize>, row: usize) {
        let Shape {
            kv_heads,
            key_dim,
            value_dim,
        } = self.shape;
        let pitch = self.shape.value_pitch();
        let count = slots.len();
        let width = kv_heads * key_dim;
        let mut narrow = vec![T::default(); count * width];
        T::narrow(&self.k.data[row * width..][..count * width], &mut narrow);
        for (d, keys) in page.keys.chunks_exact_mut(PAGE).enumerate() {
            for (i, key) in keys[slots.clone()].iter_mut().enumerate() {
                *key = narrow[i * width + d];
            }
        }
        for head in 0..kv_heads {
            for (i, slot) in slots.clone().enumerate() {
                let values = &self.v.row(row + i)[head * value_dim..][..value_dim];
                T::narrow(
                    values,
                    &mut page.values[(head * PAGE + slot) * pitch..][..value_dim],
                );
            }
        }
    }
}
