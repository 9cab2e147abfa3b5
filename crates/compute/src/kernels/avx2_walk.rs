//! Eight rows by any number of tokens on AVX2, span by span.
//!
//! Soundness: the rules of [`avx2`](super::avx2).

use std::arch::x86_64::*;

use super::{
    Part, SPAN_BYTES, WALK,
    activation::{GROUP, WHOLES},
    avx2_products::Inputs,
    avx2_square::{Ahead, ROWS, Spans, Square, Squares},
    unpack::{SPAN, Unpack},
};

pub(super) fn walk<S: Squares>(part: &Part<'_>, out: &mut [f32]) {
    let rows = part.weights.len() / part.row_bytes;
    let inputs = part.inputs;
    let groups = inputs.columns / GROUP;
    assert!(part.tokens <= WALK && out.len() >= rows.next_multiple_of(ROWS) * part.tokens);
    assert!(inputs.columns.is_multiple_of(SPAN));
    assert!(part.first_token + part.tokens <= inputs.turned.tokens);
    let places = groups * inputs.turned.tokens;
    assert!(inputs.turned.codes.len() >= places * GROUP);
    assert!(inputs.turned.steps.len() >= places * 4);
    assert!(inputs.turned.wholes.len() >= places * WHOLES);
    assert!(inputs.turned.peaks.len() >= places * GROUP / SPAN);
    assert!(inputs.turned.sums.len() >= places);
    assert!(part.row_bytes.div_ceil(S::Meaning::BYTES) <= inputs.columns / SPAN);
    if part.tokens == 0 {
        return;
    }
    // SAFETY: rule 1, and the lengths were just checked.
    unsafe { squares::<S>(part, rows, out) }
}

/// Steps of so many tokens go along eight rows from end to end, as memory likes it best. Of more tokens the inputs of
/// a span stay in the cache next to the registers while it is gone down through all rows.
const ALONG: usize = 32;

/// The last span of a row where it is shorter: filled up with zeros, which unpack to zero scales.
fn tail(rest: &[u8]) -> [u8; SPAN_BYTES] {
    let mut tail = [0; SPAN_BYTES];
    tail[..rest.len()].copy_from_slice(rest);
    tail
}

/// # Safety
/// The features of rule 1, and the lengths that [`walk`] checks; there are rows and tokens.
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn squares<S: Squares>(part: &Part<'_>, rows: usize, out: &mut [f32]) {
    let bytes = S::Meaning::BYTES;
    let (strips, spans) = (rows.div_ceil(ROWS), part.row_bytes.div_ceil(bytes));
    let mut square = Square::default();
    let mut sums = [_mm256_setzero_si256(); WALK];
    // SAFETY: lengths that `walk` checked.
    let inputs = unsafe { Inputs::of(part) };
    let (totals, _) = out.as_chunks_mut();
    totals[..strips * part.tokens].fill([0.0; ROWS]);
    let (along, strip_bytes) = (part.tokens <= ALONG, ROWS * part.row_bytes);
    let (outer, inner) = if along {
        (strips, spans)
    } else {
        (spans, strips)
    };
    for place in 0..outer * inner {
        let (strip, index) = match (along, place / inner, place % inner) {
            (true, strip, index) | (false, index, strip) => (strip, index),
        };
        let rows = std::array::from_fn(|r| (strip * ROWS + r).min(rows - 1));
        let mut square_rows: Spans = rows.map(|row| {
            part.weights
                .as_ptr()
                .wrapping_add(row * part.row_bytes + index * bytes)
        });
        let ahead = Ahead {
            spans: square_rows,
            bytes,
            next: if along { bytes } else { strip_bytes },
            strip: strip_bytes,
        };
        let here = part.row_bytes - index * bytes;
        let tails;
        // SAFETY: each span is inside its row or its tail; the inputs have as many spans as a row.
        unsafe {
            if here < bytes {
                tails = square_rows.map(|span| tail(std::slice::from_raw_parts(span, here)));
                square_rows = tails.each_ref().map(|tail| tail.as_ptr());
            }
            S::fill(&square_rows, &mut square);
            let totals = &mut totals[strip * part.tokens..][..part.tokens];
            S::multiply(&square, index, &inputs, &ahead, &mut sums, totals);
        }
    }
}
