//! The integer kernels for AVX2.
//!
//! Block types are unpacked by their scalar form, which the compiler vectorises for this instruction
//! set. `vpmaddubsw` multiplies unsigned with signed bytes and saturates at 16 bits, so the sign of the
//! weight is moved to the activation: |w| x' with |w| ≤ 128 and |x'| ≤ 127 stays below 32,767 in pairs.
//!
//! # What makes the unsafe code sound
//!
//! 1. [`quantize`] and the functions of the table [`integer`] are the only entries; they are given to
//!    processors with the features named in [`Isa::Avx2`](crate::Isa) only.
//! 2. Every entry checks the lengths of the slices it was given before it makes a pointer.

use std::arch::x86_64::*;

use hearth_format::BlockType;

use super::{
    FEW, Integer, Many, Part,
    activation::{self, RowMut},
    avx2_square::{self as squares, Plain, Squares},
    avx2_walk::walk,
    by_block, spans,
    unpack::{self, SPAN, Unpack, Unpacked},
};

pub(super) fn integer(block: BlockType) -> Option<Integer> {
    by_block!(block, kernels,
        Q4_0 => Plain<unpack::Q4_0>, Q4_1 => Plain<unpack::Q4_1>, Q5_0 => Plain<unpack::Q5_0>,
        Q5_1 => Plain<unpack::Q5_1>, Q8_0 => Plain<unpack::Q8_0>, Iq4Nl => Plain<unpack::Iq4Nl>,
        Iq4Xs => Plain<unpack::Iq4Xs>, Mxfp4 => Plain<unpack::Mxfp4>, Q2K => Plain<unpack::Q2K>,
        Q3K => Plain<unpack::Q3K>, Q4K => squares::Q4K, Q5K => squares::Q5K, Q6K => squares::Q6K,
        Nvfp4 => Plain<unpack::Nvfp4>, Tq2_0 => Plain<unpack::Tq2>,
    )
}

fn kernels<S: Squares>() -> Integer {
    Integer {
        dot: dot::<S::Meaning>,
        many: Many::Walk(walk::<S>),
    }
}

pub(super) fn quantize(x: &[f32], row: &mut RowMut<'_>) {
    #[target_feature(enable = "avx2,fma")]
    fn featured(x: &[f32], row: &mut RowMut<'_>) {
        activation::quantize(x, row);
    }
    // SAFETY: rule 1.
    unsafe { featured(x, row) }
}

fn dot<U: Unpack>(few: &Part<'_>, out: &mut [f32]) {
    let rows = few.weights.len() / few.row_bytes;
    assert!(few.tokens <= FEW && out.len() >= rows * few.tokens);
    assert!(few.inputs.codes.len() >= (few.first_token + few.tokens) * few.inputs.columns);
    assert!(few.row_bytes.div_ceil(U::BYTES) <= few.inputs.columns / SPAN);
    // SAFETY: rule 1, and the lengths were just checked.
    unsafe {
        match few.tokens {
            1 => dot_tokens::<U, 1>(few, rows, out),
            2 => dot_tokens::<U, 2>(few, rows, out),
            3 => dot_tokens::<U, 3>(few, rows, out),
            _ => dot_tokens::<U, 4>(few, rows, out),
        }
    }
}

/// Bytes that are asked for ahead of those being multiplied.
const AHEAD: usize = 2048;

/// # Safety
/// The features of rule 1, and the lengths that [`dot`] checks.
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn dot_tokens<U: Unpack, const T: usize>(few: &Part<'_>, rows: usize, out: &mut [f32]) {
    let mut w = Unpacked::default();
    for (r, row) in few.weights.chunks_exact(few.row_bytes).enumerate() {
        let mut sums = [_mm256_setzero_ps(); T];
        spans::<U>(row, |index, bytes| {
            for line in (0..U::BYTES).step_by(64) {
                _mm_prefetch::<_MM_HINT_T0>(bytes.as_ptr().wrapping_add(AHEAD + line).cast());
            }
            U::unpack(bytes, &mut w);
            // SAFETY: `dot` checked that the activations have span `index`.
            unsafe { span_dot(&w, index, few, &mut sums) };
        });
        for (t, sum) in sums.into_iter().enumerate() {
            out[t * rows + r] = add_lanes(sum);
        }
    }
}

/// # Safety
/// The features of rule 1, and `few.inputs` has span `index` of its tokens.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
unsafe fn span_dot<const T: usize>(
    w: &Unpacked,
    index: usize,
    few: &Part<'_>,
    sums: &mut [__m256; T],
) {
    let inputs = few.inputs;
    let mut scales = [[0.0f32; 16]; T];
    // SAFETY: all offsets are within the span of `w` (256 codes, 16 scales) or of the token.
    unsafe {
        for t in 0..T {
            let at = ((few.first_token + t) * inputs.columns + index * SPAN) / 16;
            for g in [0, 8] {
                let step = _mm256_loadu_ps(inputs.step16.as_ptr().add(at + g));
                let sum = _mm256_loadu_ps(inputs.sum16.as_ptr().add(at + g));
                let scale = _mm256_loadu_ps(w.scale.as_ptr().add(g));
                let offset = _mm256_loadu_ps(w.offset.as_ptr().add(g));
                _mm256_storeu_ps(scales[t].as_mut_ptr().add(g), _mm256_mul_ps(scale, step));
                sums[t] = _mm256_fmadd_ps(offset, sum, sums[t]);
            }
        }
        for j in 0..8 {
            let codes = _mm256_loadu_si256(w.codes.as_ptr().add(32 * j).cast());
            let magnitude = _mm256_abs_epi8(codes);
            for t in 0..T {
                let at = (few.first_token + t) * inputs.columns + index * SPAN + 32 * j;
                let x = _mm256_loadu_si256(inputs.codes.as_ptr().add(at).cast());
                let pairs = _mm256_maddubs_epi16(magnitude, _mm256_sign_epi8(x, codes));
                let products = _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
                let scale = _mm256_set_m128(
                    _mm_set1_ps(scales[t][2 * j + 1]),
                    _mm_set1_ps(scales[t][2 * j]),
                );
                sums[t] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(products), scale, sums[t]);
            }
        }
    }
}

#[target_feature(enable = "avx2")]
#[inline]
fn add_lanes(v: __m256) -> f32 {
    let four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
    let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
}
