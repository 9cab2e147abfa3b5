//! Types of super-blocks on AVX-512: how 64 codes and the scales of a span come into registers.
//!
//! # Safety
//!
//! All functions here have the contract of [`Wide`]: AVX-512 with VNNI, and `span` has the bytes of a
//! span. Offsets of loads stay below that; the layouts are those of [`unpack`].

use std::arch::x86_64::*;

use super::{
    avx512::{Pairs, Sixteens, Wide},
    avx512_blocks::{half, nibbles, table, with_offset},
    unpack::{self, NONLINEAR, scales_and_mins},
};

/// `codes` with `value` added where bit `2 j` (first half) or `2 j + 1` (second) of `bits` is set.
#[inline(always)]
unsafe fn plane_bits(bits: __m512i, j: usize, value: i8, codes: __m512i) -> __m512i {
    // SAFETY: the module's contract.
    unsafe {
        let (low, high) = (1i8 << (2 * j), (2u8 << (2 * j)) as i8);
        let wanted = _mm512_inserti64x4::<1>(_mm512_set1_epi8(low), _mm256_set1_epi8(high));
        let mask = _mm512_test_epi8_mask(bits, wanted);
        _mm512_or_si512(codes, _mm512_maskz_set1_epi8(mask, value))
    }
}

/// IQ4_XS.
pub(super) struct Iq4Xs;
impl Wide for Iq4Xs {
    type Meaning = unpack::Iq4Xs;
    type Ready = ();
    type Scales = Pairs;

    #[inline(always)]
    unsafe fn ready(_: *const u8) {}

    #[inline(always)]
    unsafe fn codes(span: *const u8, (): &(), j: usize) -> __m512i {
        // SAFETY: the module's contract.
        unsafe {
            let codes = nibbles(span.add(8 + 32 * j), span.add(24 + 32 * j));
            _mm512_shuffle_epi8(table(&NONLINEAR), codes)
        }
    }

    #[inline(always)]
    unsafe fn scales(span: *const u8, (): &()) -> Pairs {
        // SAFETY: the module's contract.
        unsafe {
            let high = i32::from(span.add(2).cast::<u16>().read_unaligned());
            let low = span.add(4).cast::<i32>().read_unaligned();
            // Group g: bits 4 g of `low` and 2 g of `high`; each group fills two lanes.
            let group = _mm512_set_epi32(7, 7, 6, 6, 5, 5, 4, 4, 3, 3, 2, 2, 1, 1, 0, 0);
            let low = _mm512_srlv_epi32(_mm512_set1_epi32(low), _mm512_slli_epi32::<2>(group));
            let high = _mm512_srlv_epi32(_mm512_set1_epi32(high), _mm512_slli_epi32::<1>(group));
            let low = _mm512_and_si512(low, _mm512_set1_epi32(15));
            let high = _mm512_and_si512(_mm512_slli_epi32::<4>(high), _mm512_set1_epi32(0x30));
            let s = _mm512_sub_epi32(_mm512_or_si512(low, high), _mm512_set1_epi32(32));
            with_offset(_mm512_mul_ps(_mm512_cvtepi32_ps(s), half(span)), 0.0)
        }
    }
}

/// The head of Q4_K and Q5_K.
#[inline(always)]
unsafe fn k_scales(span: *const u8) -> Pairs {
    // SAFETY: the module's contract.
    unsafe {
        let (scales, mins) = scales_and_mins(&*span.add(4).cast::<[u8; 12]>());
        let bytes = _mm_unpacklo_epi8(
            _mm_cvtsi64_si128(scales as i64),
            _mm_cvtsi64_si128(mins as i64),
        );
        let d = _mm256_set1_epi32(span.cast::<i32>().read_unaligned());
        // d and dmin in turn; the offset is -dmin m.
        let d = _mm512_cvtph_ps(_mm256_xor_si256(d, _mm256_set1_epi32(i32::MIN)));
        Pairs(_mm512_mul_ps(
            _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(bytes)),
            d,
        ))
    }
}

/// 32 bytes of nibbles as 64: the low ones, then the high ones.
#[inline(always)]
unsafe fn k_nibbles(at: *const u8) -> __m512i {
    // SAFETY: the module's contract.
    unsafe {
        let both = _mm512_broadcast_i64x4(_mm256_loadu_si256(at.cast()));
        let four = 0x0004_0004_0004_0004;
        let shifts = _mm512_set_epi64(four, four, four, four, 0, 0, 0, 0);
        _mm512_and_si512(_mm512_srlv_epi16(both, shifts), _mm512_set1_epi8(15))
    }
}

/// Q4_K.
pub(super) struct Q4K;
impl Wide for Q4K {
    type Meaning = unpack::Q4K;
    type Ready = ();
    type Scales = Pairs;

    #[inline(always)]
    unsafe fn ready(_: *const u8) {}

    #[inline(always)]
    unsafe fn codes(span: *const u8, (): &(), j: usize) -> __m512i {
        // SAFETY: the module's contract.
        unsafe { k_nibbles(span.add(16 + 32 * j)) }
    }

    #[inline(always)]
    unsafe fn scales(span: *const u8, (): &()) -> Pairs {
        // SAFETY: the module's contract.
        unsafe { k_scales(span) }
    }
}

/// Q5_K.
pub(super) struct Q5K;
impl Wide for Q5K {
    type Meaning = unpack::Q5K;
    /// The fifth bits, in both halves.
    type Ready = __m512i;
    type Scales = Pairs;

    #[inline(always)]
    unsafe fn ready(span: *const u8) -> __m512i {
        // SAFETY: the module's contract.
        unsafe { _mm512_broadcast_i64x4(_mm256_loadu_si256(span.add(16).cast())) }
    }

    #[inline(always)]
    unsafe fn codes(span: *const u8, ready: &__m512i, j: usize) -> __m512i {
        // SAFETY: the module's contract.
        unsafe { plane_bits(*ready, j, 16, k_nibbles(span.add(48 + 32 * j))) }
    }

    #[inline(always)]
    unsafe fn scales(span: *const u8, _: &__m512i) -> Pairs {
        // SAFETY: the module's contract.
        unsafe { k_scales(span) }
    }
}

/// Q6_K.
pub(super) struct Q6K;
impl Wide for Q6K {
    type Meaning = unpack::Q6K;
    type Ready = ();
    type Scales = Sixteens;

    #[inline(always)]
    unsafe fn ready(_: *const u8) {}

    #[inline(always)]
    unsafe fn codes(span: *const u8, (): &(), j: usize) -> __m512i {
        // SAFETY: the module's contract.
        unsafe {
            let (n, upper) = (j / 2, j % 2 == 1);
            let low = _mm512_loadu_si512(span.add(64 * n).cast());
            let high = _mm256_loadu_si256(span.add(128 + 32 * n).cast());
            let high = _mm512_broadcast_i64x4(high);
            let lanes = |first: i64, second: i64| {
                let (a, b) = (
                    first * 0x0001_0001_0001_0001,
                    second * 0x0001_0001_0001_0001,
                );
                _mm512_set_epi64(b, b, b, b, a, a, a, a)
            };
            // Bits 2 g.. of group g come to bits 4 and 5; groups 0 and 1 are the first 64 codes.
            let (low, high) = if upper {
                (
                    _mm512_srli_epi16::<4>(low),
                    _mm512_srlv_epi16(high, lanes(0, 2)),
                )
            } else {
                (low, _mm512_sllv_epi16(high, lanes(4, 2)))
            };
            let low = _mm512_and_si512(low, _mm512_set1_epi8(15));
            // low | (high & 0x30)
            _mm512_ternarylogic_epi32::<0xf8>(low, high, _mm512_set1_epi8(0x30))
        }
    }

    #[inline(always)]
    unsafe fn scales(span: *const u8, (): &()) -> Sixteens {
        // SAFETY: the module's contract.
        unsafe {
            let s = _mm512_cvtepi8_epi32(_mm_loadu_si128(span.add(192).cast()));
            let scale = _mm512_mul_ps(_mm512_cvtepi32_ps(s), half(span.add(208)));
            Sixteens(scale, _mm512_mul_ps(scale, _mm512_set1_ps(-32.0)))
        }
    }
}

/// Codes `64 j..64 j + 64` of the 2-bit planes at `qs`.
#[inline(always)]
unsafe fn planes(qs: *const u8, j: usize) -> __m512i {
    // SAFETY: the module's contract: 64 bytes of planes.
    unsafe {
        let both = _mm512_broadcast_i64x4(_mm256_loadu_si256(qs.add(32 * (j / 2)).cast()));
        let (low, high) = if j.is_multiple_of(2) { (0, 2) } else { (4, 6) };
        let lanes = |shift: i64| shift * 0x0001_0001_0001_0001;
        let (low, high) = (lanes(low), lanes(high));
        let shifts = _mm512_set_epi64(high, high, high, high, low, low, low, low);
        _mm512_and_si512(_mm512_srlv_epi16(both, shifts), _mm512_set1_epi8(3))
    }
}

/// Q2_K.
pub(super) struct Q2K;
impl Wide for Q2K {
    type Meaning = unpack::Q2K;
    type Ready = ();
    type Scales = Sixteens;

    #[inline(always)]
    unsafe fn ready(_: *const u8) {}

    #[inline(always)]
    unsafe fn codes(span: *const u8, (): &(), j: usize) -> __m512i {
        // SAFETY: the module's contract.
        unsafe { planes(span.add(16), j) }
    }

    #[inline(always)]
    unsafe fn scales(span: *const u8, (): &()) -> Sixteens {
        // SAFETY: the module's contract.
        unsafe {
            let bytes = _mm512_cvtepu8_epi32(_mm_loadu_si128(span.cast()));
            let scales = _mm512_cvtepi32_ps(_mm512_and_si512(bytes, _mm512_set1_epi32(15)));
            let mins = _mm512_cvtepi32_ps(_mm512_srli_epi32::<4>(bytes));
            let offsets = _mm512_mul_ps(mins, half(span.add(82)));
            Sixteens(
                _mm512_mul_ps(scales, half(span.add(80))),
                _mm512_xor_ps(offsets, _mm512_set1_ps(-0.0)),
            )
        }
    }
}

/// Q3_K.
pub(super) struct Q3K;
impl Wide for Q3K {
    type Meaning = unpack::Q3K;
    /// The third bits, in both halves.
    type Ready = __m512i;
    type Scales = Sixteens;

    #[inline(always)]
    unsafe fn ready(span: *const u8) -> __m512i {
        // SAFETY: the module's contract.
        unsafe { _mm512_broadcast_i64x4(_mm256_loadu_si256(span.cast())) }
    }

    #[inline(always)]
    unsafe fn codes(span: *const u8, ready: &__m512i, j: usize) -> __m512i {
        // SAFETY: the module's contract.
        unsafe { plane_bits(*ready, j, 4, planes(span.add(32), j)) }
    }

    #[inline(always)]
    unsafe fn scales(span: *const u8, _: &__m512i) -> Sixteens {
        // SAFETY: the module's contract.
        unsafe {
            let low = span.add(96).cast::<u64>().read_unaligned();
            let high = u64::from(span.add(104).cast::<u32>().read_unaligned());
            // Two bits of each of 16 scales: four bytes by four shifts.
            let two = |shift: u32| {
                let (a, b) = (
                    high >> shift & 0x0303_0303,
                    high >> (shift + 2) & 0x0303_0303,
                );
                (a | b << 32) << 4
            };
            let nibbles = 0x0f0f_0f0f_0f0f_0f0f;
            let (first, second) = (low & nibbles | two(0), low >> 4 & nibbles | two(4));
            let s = _mm512_cvtepu8_epi32(_mm_set_epi64x(second as i64, first as i64));
            let s = _mm512_cvtepi32_ps(_mm512_sub_epi32(s, _mm512_set1_epi32(32)));
            let scales = _mm512_mul_ps(s, half(span.add(108)));
            Sixteens(scales, _mm512_mul_ps(scales, _mm512_set1_ps(-4.0)))
        }
    }
}

/// TQ2_0.
pub(super) struct Tq2;
impl Wide for Tq2 {
    type Meaning = unpack::Tq2;
    type Ready = ();
    type Scales = Pairs;

    #[inline(always)]
    unsafe fn ready(_: *const u8) {}

    #[inline(always)]
    unsafe fn codes(span: *const u8, (): &(), j: usize) -> __m512i {
        // SAFETY: the module's contract.
        unsafe { planes(span, j) }
    }

    #[inline(always)]
    unsafe fn scales(span: *const u8, (): &()) -> Pairs {
        // SAFETY: the module's contract.
        unsafe { with_offset(half(span.add(64)), -1.0) }
    }
}
