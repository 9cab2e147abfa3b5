//! The integer kernels for AVX2.
//!
//! All numbers of tokens go one way, [`walk`]: it reads weights as fast as the memory gives them to one token,
//! and a token's result does not depend on the others.
//!
//! # What makes the unsafe code sound
//!
//! 1. [`quantize`], [`turn`] and the functions of the table [`integer`] are the only entries; they are given to
//!    processors with the features named in [`Isa::Avx2`](crate::Isa) only.
//! 2. [`walk`] checks the lengths of the slices it was given before it makes a pointer.

use std::arch::x86_64::*;

use hearth_format::BlockType;

use super::{
    Integer, Many,
    activation::{self, GROUP, RowMut, Rows, SpanMut},
    avx2_square::{self as squares, Plain, Squares},
    avx2_walk::walk,
    by_block, unpack,
};

pub(super) fn integer(block: BlockType) -> Option<Integer> {
    by_block!(block, kernels,
        Q4_0 => Plain<unpack::Q4_0>, Q4_1 => Plain<unpack::Q4_1>, Q5_0 => Plain<unpack::Q5_0>,
        Q5_1 => Plain<unpack::Q5_1>, Q8_0 => squares::Q8_0, Iq4Nl => Plain<unpack::Iq4Nl>,
        Iq4Xs => Plain<unpack::Iq4Xs>, Mxfp4 => Plain<unpack::Mxfp4>, Q2K => Plain<unpack::Q2K>,
        Q3K => Plain<unpack::Q3K>, Q4K => squares::Q4K, Q5K => squares::Q5K, Q6K => squares::Q6K,
        Nvfp4 => Plain<unpack::Nvfp4>, Tq2_0 => Plain<unpack::Tq2>,
    )
}

fn kernels<S: Squares>() -> Integer {
    Integer {
        dot: None,
        many: Many::Walk(walk::<S>),
    }
}

pub(super) fn quantize(x: &[f32], row: &mut RowMut<'_>) {
    #[target_feature(enable = "avx2,fma")]
    fn featured(x: &[f32], row: &mut RowMut<'_>) {
        activation::quantize(x, row, |values, inverse| group(values, inverse));
    }
    // SAFETY: rule 1.
    unsafe { featured(x, row) }
}

pub(super) fn turn(span: &mut SpanMut<'_>, rows: &Rows<'_>, index: usize) {
    #[target_feature(enable = "avx2,fma")]
    fn featured(span: &mut SpanMut<'_>, rows: &Rows<'_>, index: usize) {
        activation::turn(span, rows, index);
    }
    // SAFETY: rule 1.
    unsafe { featured(span, rows, index) }
}

/// As [`activation::group`].
#[target_feature(enable = "avx2,fma")]
#[inline]
fn group(values: &[f32; GROUP], inverse: f32) -> ([i8; GROUP], [i32; 2]) {
    let inverse = _mm256_set1_ps(inverse);
    let mut whole = [_mm256_setzero_si256(); 4];
    for (whole, values) in whole.iter_mut().zip(values.chunks_exact(8)) {
        // SAFETY: 8 floats.
        let values = unsafe { _mm256_loadu_ps(values.as_ptr()) };
        *whole = _mm256_cvtps_epi32(_mm256_mul_ps(values, inverse));
    }
    let [a, b, c, d] = whole;
    let words = [_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d)];
    // Packing interleaves the halves of the registers.
    let order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    let codes = _mm256_permutevar8x32_epi32(_mm256_packs_epi16(words[0], words[1]), order);
    // What is no number, or infinite, became the least.
    let codes = _mm256_max_epi8(codes, _mm256_set1_epi8(-127));
    let sums = _mm256_maddubs_epi16(_mm256_set1_epi8(1), codes);
    let sums = _mm256_madd_epi16(sums, _mm256_set1_epi16(1));
    let (mut out, mut parts) = ([0; GROUP], [0; 8]);
    // SAFETY: 32 bytes are written to arrays of 32.
    unsafe {
        _mm256_storeu_si256(out.as_mut_ptr().cast(), codes);
        _mm256_storeu_si256(parts.as_mut_ptr().cast(), sums);
    }
    let [first, last] = [&parts[..4], &parts[4..]].map(|half: &[i32]| half.iter().sum());
    (out, [first, last])
}
