//! Kernels: plain functions over slices, one version per instruction set, `scalar` the readable truth.
//!
//! * Integer products (fast): [`activation`] quantises the input, [`unpack`] says what a block type
//!   means, [`scalar`], `avx2` and `avx512` multiply. Few tokens go through `dot`, which reads the
//!   file's own layout; many go through a panel that is packed first, or through a walk over the layout.
//! * Float products (exact, and float weights): [`float`].
//!
//! A function table is handed out for an instruction set only by [`integer`] and [`float::floats`];
//! callers pass an [`Isa`] that came from [`Isa::detect`] or [`Isa::available`].

pub(crate) mod activation;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx2_products;
#[cfg(target_arch = "x86_64")]
mod avx2_square;
#[cfg(target_arch = "x86_64")]
mod avx2_walk;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod avx512_blocks;
#[cfg(target_arch = "x86_64")]
mod avx512_super;
pub(crate) mod float;
mod lines;
pub(crate) mod ops_math;
pub(crate) mod ops_rows;
pub(crate) mod ops_scan;
pub(crate) mod ops_tile;
mod scalar;
#[cfg(test)]
pub(crate) mod tests;
mod unpack;

use hearth_format::BlockType;

use crate::Isa;
use activation::{Activations, RowMut, Rows, SpanMut};
use lines::Lines;
use unpack::Unpack;

/// Rows of a strip: the rows of a panel that one vector of 32-bit lanes covers.
pub(crate) const STRIP: usize = 16;
/// Strips that one call of `multiply` takes at most.
pub(crate) const STRIPS: usize = 2;
/// Tokens that one call of `dot` takes at most.
pub(crate) const FEW: usize = 4;

/// Tokens that one call of a panel's kernel takes at most.
pub(crate) const MANY: usize = 96;
/// Tokens that one call of a walk takes at most.
pub(crate) const WALK: usize = 128;
/// Rows whose results a walk puts together.
pub(crate) const WALK_ROWS: usize = 8;

/// Rows of a quantised matrix and the tokens to multiply them with.
pub(crate) struct Part<'a> {
    /// `rows * row_bytes`.
    pub(crate) weights: &'a [u8],
    pub(crate) row_bytes: usize,
    pub(crate) inputs: &'a Activations,
    pub(crate) first_token: usize,
    /// 1 to [`FEW`] for `dot`, to [`WALK`] for a walk.
    pub(crate) tokens: usize,
}

/// A panel of weights in the form that `multiply` wants: for each strip of 16 rows, codes
/// `[columns / 4][16 rows][4]`, scales and offsets `[columns / group][16 rows]`.
#[derive(Debug, Default)]
pub(crate) struct Panel {
    pub(crate) strips: usize,
    pub(crate) columns: usize,
    pub(crate) group: usize,
    pub(crate) codes: Lines<i8>,
    pub(crate) scales: Lines<f32>,
    pub(crate) offsets: Lines<f32>,
}

impl Panel {
    /// Bytes of `strips` strips of rows of `columns`.
    pub(crate) fn bytes(strips: usize, columns: usize, group: usize) -> usize {
        let codes = strips * STRIP * columns.next_multiple_of(unpack::SPAN);
        codes + 2 * (codes / group) * size_of::<f32>()
    }

    /// Makes room for `strips` strips of rows of `columns` (whole spans).
    pub(crate) fn reset(&mut self, strips: usize, columns: usize, group: usize) {
        (self.strips, self.columns, self.group) = (strips, columns, group);
        self.codes.resize(strips * STRIP * columns);
        self.scales.resize(strips * STRIP * columns / group);
        self.offsets.resize(strips * STRIP * columns / group);
    }

    /// The arrays of strip `index`.
    fn strip_mut(&mut self, index: usize) -> (&mut [i8], &mut [f32], &mut [f32]) {
        let (codes, groups) = (STRIP * self.columns, STRIP * self.columns / self.group);
        (
            &mut self.codes[index * codes..(index + 1) * codes],
            &mut self.scales[index * groups..(index + 1) * groups],
            &mut self.offsets[index * groups..(index + 1) * groups],
        )
    }
}

/// The integer kernels of one block type on one instruction set.
#[derive(Clone, Copy)]
pub(crate) struct Integer {
    /// `out[t * rows + r] = x[first_token + t] · w[r]` for a few tokens, where steps of few have a way of
    /// their own.
    pub(crate) dot: Option<fn(&Part<'_>, out: &mut [f32])>,
    /// The same for more tokens.
    pub(crate) many: Many,
}

impl Integer {
    /// The kernel for steps of `tokens` where it is `dot`.
    pub(crate) fn few(&self, tokens: usize) -> Option<fn(&Part<'_>, out: &mut [f32])> {
        self.dot.filter(|_| tokens <= FEW)
    }
}

/// How many tokens are multiplied.
#[derive(Clone, Copy)]
pub(crate) enum Many {
    /// Rows are unpacked into a panel once for all tokens.
    Panel(Packed),
    /// With inputs that were [turned](activation::Turned): `[rows / 8][tokens][8 rows]`, where rows that are missing
    /// in the last eight have any results.
    Walk(fn(&Part<'_>, out: &mut [f32])),
}

/// The kernels that go through a panel.
#[derive(Clone, Copy)]
pub(crate) struct Packed {
    /// Columns that share a scale in the panel.
    pub(crate) group: usize,
    /// Unpacks up to 16 rows (`weights`, `row_bytes` each) into one strip of a panel; missing rows
    /// become zero.
    pub(crate) pack: fn(weights: &[u8], row_bytes: usize, panel: &mut Panel, strip: usize),
    /// `out[t * 16 * strips + r] = x[first + t] · panel[r]` for `tokens` tokens.
    pub(crate) multiply: fn(&Panel, &Activations, first: usize, tokens: usize, out: &mut [f32]),
}

/// The integer kernels for `block`, or `None` where it is multiplied in f32.
pub(crate) fn integer(isa: Isa, block: BlockType) -> Option<Integer> {
    match isa {
        Isa::Scalar => scalar::integer(block),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => avx2::integer(block),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => avx512::integer(block),
        #[cfg(not(target_arch = "x86_64"))]
        _ => scalar::integer(block),
    }
}

/// Quantises one row of activations.
pub(crate) fn quantize(isa: Isa) -> fn(&[f32], &mut RowMut<'_>) {
    match isa {
        Isa::Scalar => scalar::quantize,
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => avx2::quantize,
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => avx512::quantize,
        #[cfg(not(target_arch = "x86_64"))]
        _ => scalar::quantize,
    }
}

/// Copies a span of the inputs of a walk, counted, of all tokens.
pub(crate) fn turn(isa: Isa) -> fn(&mut SpanMut<'_>, &Rows<'_>, usize) {
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => avx2::turn,
        // Others have no walks.
        _ => |span, rows, index| activation::turn(span, rows, index),
    }
}

/// Picks the kernels for a block type out of a table `BlockType variant => unpack type`.
macro_rules! by_block {
    ($block:expr, $kernels:ident, $($variant:ident => $unpack:ty),* $(,)?) => {
        match $block {
            $(hearth_format::BlockType::$variant => Some($kernels::<$unpack>()),)*
            _ => None,
        }
    };
}
use by_block;

/// The most bytes that a span takes: 8 blocks of Q5_1, or of 34 bytes, or one of Q6_K.
const SPAN_BYTES: usize = 288;

/// Calls `each(index, bytes)` for the spans of `row`, `U::BYTES` long each. The last one may be shorter
/// in the file; it is then filled up with zeros, which unpack to zero scales.
#[inline(always)]
fn spans<U: Unpack>(row: &[u8], mut each: impl FnMut(usize, &[u8])) {
    const { assert!(U::BYTES <= SPAN_BYTES) };
    let whole = row.chunks_exact(U::BYTES);
    let (rest, count) = (whole.remainder(), whole.len());
    for (index, span) in whole.enumerate() {
        each(index, span);
    }
    if !rest.is_empty() {
        let mut buffer = [0; SPAN_BYTES];
        buffer[..rest.len()].copy_from_slice(rest);
        each(count, &buffer[..U::BYTES]);
    }
}
