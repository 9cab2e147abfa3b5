//! Eight rows by any number of tokens on AVX2, span by span.
//!
//! Soundness: the rules of [`avx2`](super::avx2).

use std::arch::x86_64::*;

use super::{
    MANY, Part, SPAN_BYTES,
    activation::GROUP,
    avx2_products::{Inputs, Sums},
    avx2_square::{ROWS, Spans, Square, Squares},
    unpack::{SPAN, Unpack},
};

pub(super) fn walk<S: Squares>(part: &Part<'_>, out: &mut [f32]) {
    let rows = part.weights.len() / part.row_bytes;
    let inputs = part.inputs;
    let groups = inputs.columns / GROUP;
    assert!(part.tokens <= MANY && out.len() >= rows * part.tokens);
    assert!(part.first_token + part.tokens <= inputs.turned.tokens);
    let places = groups * inputs.turned.tokens;
    assert!(inputs.turned.codes.len() >= places * GROUP);
    assert!(inputs.turned.steps.len().min(inputs.turned.wholes.len()) >= places * 4);
    assert!(inputs.turned.peaks.len() >= places * GROUP / SPAN);
    assert!(part.row_bytes.div_ceil(S::Meaning::BYTES) <= inputs.columns / SPAN);
    // SAFETY: rule 1, and the lengths were just checked.
    unsafe { strips::<S>(part, rows, out) }
}

/// # Safety
/// The features of rule 1, and the lengths that [`walk`] checks.
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn strips<S: Squares>(part: &Part<'_>, rows: usize, out: &mut [f32]) {
    let bytes = S::Meaning::BYTES;
    let (whole, rest) = (part.row_bytes / bytes, part.row_bytes % bytes);
    let mut square = Square::default();
    let mut sums = Sums::new();
    // SAFETY: lengths that `walk` checked.
    let inputs = unsafe { Inputs::of(part) };
    let mut tails = [[0u8; SPAN_BYTES]; ROWS];
    for first in (0..rows).step_by(ROWS) {
        let count = ROWS.min(rows - first);
        // SAFETY: all spans are inside their row or its tail; the inputs have as many spans as a row.
        unsafe {
            let starts: Spans = std::array::from_fn(|r| {
                let row = first + r.min(count - 1);
                part.weights.as_ptr().add(row * part.row_bytes)
            });
            sums.totals[..part.tokens].fill(_mm256_setzero_ps());
            for index in 0..whole {
                let spans = starts.map(|row| row.add(index * bytes));
                // The same span of the next eight rows: what is between is more than the cache next to
                // the registers holds.
                for span in spans {
                    for line in (0..bytes).step_by(64) {
                        let next = span.wrapping_add(ROWS * part.row_bytes + line);
                        _mm_prefetch::<_MM_HINT_T1>(next.cast());
                    }
                }
                S::fill(&spans, &mut square);
                S::multiply(&square, index, &inputs, &mut sums);
            }
            if rest > 0 {
                for (tail, row) in tails.iter_mut().zip(starts) {
                    std::ptr::copy_nonoverlapping(row.add(whole * bytes), tail.as_mut_ptr(), rest);
                }
                let spans = tails.each_ref().map(|tail| tail.as_ptr());
                S::fill(&spans, &mut square);
                S::multiply(&square, whole, &inputs, &mut sums);
            }
        }
        for (t, &total) in sums.totals[..part.tokens].iter().enumerate() {
            let mut values = [0.0; ROWS];
            // SAFETY: 8 floats are written to an array of 8.
            unsafe { _mm256_storeu_ps(values.as_mut_ptr(), total) };
            match out[t * rows + first..].first_chunk_mut() {
                Some(out) if count == ROWS => *out = values,
                _ => out[t * rows + first..][..count].copy_from_slice(&values[..count]),
            }
        }
    }
}
