//! Eight rows by any number of tokens on AVX2.
//!
//! The weights of 32 columns of eight rows are eight vectors; they stay in registers while all tokens are
//! multiplied with them. `vpmaddubsw` adds pairs of products in 16 bits. Of small codes several such sums fit
//! into 16 bits, so that most additions are of 16 bits too. The sign of a code that has one is moved to the
//! activation, whose magnitude is at most 127 like its own, or 128.
//!
//! Soundness: the rules of [`avx2`](super::avx2).

use std::arch::x86_64::*;

use super::{
    MANY, Part, SPAN_BYTES,
    avx2_square::{ROWS, Spans, Square, Squares},
    unpack::{SPAN, Unpack},
};

/// Columns of a group of inputs.
const GROUP: usize = 32;

type Totals = [[f32; ROWS]; MANY];

pub(super) fn walk<S: Squares>(part: &Part<'_>, out: &mut [f32]) {
    let rows = part.weights.len() / part.row_bytes;
    let inputs = part.inputs;
    let groups = inputs.columns / GROUP;
    assert!(part.tokens <= MANY && out.len() >= rows * part.tokens);
    assert!(part.first_token + part.tokens <= inputs.turned.tokens);
    assert!(inputs.turned.codes.len() >= groups * inputs.turned.tokens * GROUP);
    assert!(inputs.turned.steps.len() >= groups * inputs.turned.tokens * 4);
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
    let mut totals: Totals = [[0.0; ROWS]; MANY];
    let mut tails = [[0u8; SPAN_BYTES]; ROWS];
    for first in (0..rows).step_by(ROWS) {
        let count = ROWS.min(rows - first);
        // SAFETY: all spans are inside their row or its tail; the inputs have as many spans as a row.
        unsafe {
            let starts: Spans = std::array::from_fn(|r| {
                let row = first + r.min(count - 1);
                part.weights.as_ptr().add(row * part.row_bytes)
            });
            totals[..part.tokens].fill([0.0; ROWS]);
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
                multiply::<S::Meaning>(&square, index, part, &mut totals);
            }
            if rest > 0 {
                for (tail, row) in tails.iter_mut().zip(starts) {
                    std::ptr::copy_nonoverlapping(row.add(whole * bytes), tail.as_mut_ptr(), rest);
                }
                let spans = tails.each_ref().map(|tail| tail.as_ptr());
                S::fill(&spans, &mut square);
                multiply::<S::Meaning>(&square, whole, part, &mut totals);
            }
        }
        for (t, totals) in totals[..part.tokens].iter().enumerate() {
            out[t * rows + first..][..count].copy_from_slice(&totals[..count]);
        }
    }
}

/// Adds the products of span `index` of all tokens to their totals.
///
/// # Safety
/// The features of rule 1, and the lengths that [`walk`] checks, for this span.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
unsafe fn multiply<U: Unpack>(square: &Square, index: usize, part: &Part<'_>, totals: &mut Totals) {
    let turned = &part.inputs.turned;
    for (g, codes) in square.codes.chunks_exact(GROUP / 4).enumerate() {
        let at = (index * SPAN / GROUP + g) * turned.tokens + part.first_token;
        // SAFETY: `at` is the first token's place in a group that `inputs` has, the others follow it.
        unsafe {
            let mut weights = [_mm256_setzero_si256(); 8];
            for (weights, codes) in weights.iter_mut().zip(codes) {
                *weights = _mm256_loadu_si256(codes.as_ptr().cast());
            }
            let scales = &square.scales[2 * g..2 * g + 2];
            let scales = [
                _mm256_loadu_ps(scales[0].as_ptr()),
                _mm256_loadu_ps(scales[1].as_ptr()),
            ];
            let offsets = &square.offsets[2 * g..2 * g + 2];
            let offsets = [
                _mm256_loadu_ps(offsets[0].as_ptr()),
                _mm256_loadu_ps(offsets[1].as_ptr()),
            ];
            let mut x = turned.codes.as_ptr().add(at * GROUP);
            let mut steps = turned.steps.as_ptr().add(at * 4);
            for total in &mut totals[..part.tokens] {
                let sum = if U::GROUP == GROUP {
                    _mm256_mul_ps(dot::<U, 8>(&weights, x), scales[0])
                } else {
                    let (first, last) = halves(&weights);
                    let sum = _mm256_mul_ps(dot::<U, 4>(first, x), scales[0]);
                    _mm256_fmadd_ps(dot::<U, 4>(last, x.add(16)), scales[1], sum)
                };
                let mut new = _mm256_loadu_ps(total.as_ptr());
                new = _mm256_fmadd_ps(sum, _mm256_broadcast_ss(&*steps), new);
                if U::GROUP == GROUP && !U::SIGNED {
                    new = _mm256_fmadd_ps(offsets[0], _mm256_broadcast_ss(&*steps.add(1)), new);
                } else if !U::SIGNED {
                    new = _mm256_fmadd_ps(offsets[0], _mm256_broadcast_ss(&*steps.add(2)), new);
                    new = _mm256_fmadd_ps(offsets[1], _mm256_broadcast_ss(&*steps.add(3)), new);
                }
                _mm256_storeu_ps(total.as_mut_ptr(), new);
                x = x.add(GROUP);
                steps = steps.add(4);
            }
        }
    }
}

/// The vectors of the first and the last 16 columns.
#[inline(always)]
fn halves(codes: &[__m256i; 8]) -> (&[__m256i; 4], &[__m256i; 4]) {
    let (first, last) = codes.split_at(4);
    (
        first.first_chunk().expect("four of eight"),
        last.first_chunk().expect("four of eight"),
    )
}

/// The products of `4 N` columns of eight rows with one token's codes at `x`, summed.
///
/// # Safety
/// The features of rule 1; `4 N` codes at `x`.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
unsafe fn dot<U: Unpack, const N: usize>(codes: &[__m256i; N], x: *const i8) -> __m256 {
    // Sums of pairs of products that fit into 16 bits together.
    let fit = const { i16::MAX as usize / (2 * 127 * U::LARGEST as usize) };
    let mut sum = _mm256_setzero_si256();
    let mut part = _mm256_setzero_si256();
    for (k, &codes) in codes.iter().enumerate() {
        // SAFETY: the contract.
        let quad = unsafe { _mm256_set1_epi32(x.add(4 * k).cast::<i32>().read_unaligned()) };
        let pairs = if U::SIGNED {
            _mm256_maddubs_epi16(_mm256_abs_epi8(codes), _mm256_sign_epi8(quad, codes))
        } else {
            _mm256_maddubs_epi16(codes, quad)
        };
        part = if k % fit == 0 {
            pairs
        } else {
            _mm256_add_epi16(part, pairs)
        };
        if k % fit == fit - 1 || k == N - 1 {
            let four = _mm256_madd_epi16(part, _mm256_set1_epi16(1));
            sum = _mm256_add_epi32(sum, four);
        }
    }
    _mm256_cvtepi32_ps(sum)
}
