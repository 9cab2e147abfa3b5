//! Types of small blocks on AVX-512: how 64 codes and the scales of a span come into registers.
//!
//! # Safety
//!
//! All functions here have the contract of [`Wide`]: AVX-512 with VNNI, and `span` has the bytes of a
//! span. Offsets of loads stay below that; the layouts are those of [`unpack`].

use std::arch::x86_64::*;

use super::{
    avx512::{Pairs, Sixteens, Wide},
    unpack::{self, FP4, NONLINEAR},
};

/// The half at `at`, in all lanes.
#[inline(always)]
pub(super) unsafe fn half(at: *const u8) -> __m512 {
    // SAFETY: the module's contract.
    unsafe { _mm512_cvtph_ps(_mm256_set1_epi16(at.cast::<i16>().read_unaligned())) }
}

/// The scales of eight blocks `stride` bytes apart, each twice.
#[inline(always)]
unsafe fn halves(span: *const u8, stride: usize) -> __m512 {
    // SAFETY: the module's contract: eight blocks of `stride` bytes.
    unsafe {
        let at = |i: usize| u64::from(span.add(i * stride).cast::<u16>().read_unaligned());
        let four = |i: usize| at(i) | at(i + 1) << 16 | at(i + 2) << 32 | at(i + 3) << 48;
        let packed = _mm_set_epi64x(four(4) as i64, four(0) as i64);
        _mm512_cvtph_ps(_mm256_set_m128i(
            _mm_unpackhi_epi16(packed, packed),
            _mm_unpacklo_epi16(packed, packed),
        ))
    }
}

/// Scales that stand twice each, with offsets of `factor` times the scale.
#[inline(always)]
pub(super) unsafe fn with_offset(scales: __m512, factor: f32) -> Pairs {
    // SAFETY: the module's contract.
    unsafe {
        Pairs(_mm512_mask_mul_ps(
            scales,
            0xaaaa,
            scales,
            _mm512_set1_ps(factor),
        ))
    }
}

/// Scale and offset halves at the head of eight blocks `stride` bytes apart.
#[inline(always)]
unsafe fn half_pairs(span: *const u8, stride: usize) -> Pairs {
    // SAFETY: the module's contract: eight blocks of `stride` bytes.
    unsafe {
        let at = |i: usize| span.add(i * stride).cast::<i32>().read_unaligned();
        Pairs(_mm512_cvtph_ps(_mm256_set_epi32(
            at(7),
            at(6),
            at(5),
            at(4),
            at(3),
            at(2),
            at(1),
            at(0),
        )))
    }
}

/// Two 16-byte runs of nibbles as 64 bytes: low and high nibbles of the first, then of the second.
#[inline(always)]
pub(super) unsafe fn nibbles(first: *const u8, second: *const u8) -> __m512i {
    // SAFETY: the module's contract: both have 16 bytes.
    unsafe {
        let first = _mm256_broadcastsi128_si256(_mm_loadu_si128(first.cast()));
        let second = _mm256_broadcastsi128_si256(_mm_loadu_si128(second.cast()));
        let both = _mm512_inserti64x4::<1>(_mm512_castsi256_si512(first), second);
        let shifts = _mm512_set_epi64(
            0x0004_0004_0004_0004,
            0x0004_0004_0004_0004,
            0,
            0,
            0x0004_0004_0004_0004,
            0x0004_0004_0004_0004,
            0,
            0,
        );
        _mm512_and_si512(_mm512_srlv_epi16(both, shifts), _mm512_set1_epi8(15))
    }
}

/// A table of 16 bytes in every quarter.
#[inline(always)]
pub(super) unsafe fn table(values: &[i8; 16]) -> __m512i {
    // SAFETY: 16 bytes are read from an array of 16.
    unsafe { _mm512_broadcast_i32x4(_mm_loadu_si128(values.as_ptr().cast())) }
}

/// `codes` with the bits of two 32-bit masks as bit 4.
#[inline(always)]
unsafe fn fifth_bits(first: *const u8, second: *const u8, codes: __m512i) -> __m512i {
    // SAFETY: the module's contract: both have 4 bytes.
    unsafe {
        let mask = |at: *const u8| u64::from(at.cast::<u32>().read_unaligned());
        let mask = mask(first) | mask(second) << 32;
        _mm512_or_si512(codes, _mm512_maskz_set1_epi8(mask, 16))
    }
}

/// Q8_0.
pub(super) struct Q8_0;
impl Wide for Q8_0 {
    type Meaning = unpack::Q8_0;
    type Ready = ();
    type Scales = Pairs;

    #[inline(always)]
    unsafe fn ready(_: *const u8) {}

    #[inline(always)]
    unsafe fn codes(span: *const u8, (): &(), j: usize) -> __m512i {
        // SAFETY: the module's contract.
        unsafe {
            let block = span.add(2 * j * 34 + 2);
            let first = _mm256_loadu_si256(block.cast());
            let second = _mm256_loadu_si256(block.add(34).cast());
            _mm512_inserti64x4::<1>(_mm512_castsi256_si512(first), second)
        }
    }

    #[inline(always)]
    unsafe fn scales(span: *const u8, (): &()) -> Pairs {
        // SAFETY: the module's contract.
        unsafe { with_offset(halves(span, 34), 0.0) }
    }
}

/// Q4_0.
pub(super) struct Q4_0;
impl Wide for Q4_0 {
    type Meaning = unpack::Q4_0;
    type Ready = ();
    type Scales = Pairs;

    #[inline(always)]
    unsafe fn ready(_: *const u8) {}

    #[inline(always)]
    unsafe fn codes(span: *const u8, (): &(), j: usize) -> __m512i {
        // SAFETY: the module's contract.
        unsafe { nibbles(span.add(2 * j * 18 + 2), span.add(2 * j * 18 + 20)) }
    }

    #[inline(always)]
    unsafe fn scales(span: *const u8, (): &()) -> Pairs {
        // SAFETY: the module's contract.
        unsafe { with_offset(halves(span, 18), -8.0) }
    }
}

/// Q5_0.
pub(super) struct Q5_0;
impl Wide for Q5_0 {
    type Meaning = unpack::Q5_0;
    type Ready = ();
    type Scales = Pairs;

    #[inline(always)]
    unsafe fn ready(_: *const u8) {}

    #[inline(always)]
    unsafe fn codes(span: *const u8, (): &(), j: usize) -> __m512i {
        // SAFETY: the module's contract.
        unsafe {
            let block = span.add(2 * j * 22);
            fifth_bits(
                block.add(2),
                block.add(24),
                nibbles(block.add(6), block.add(28)),
            )
        }
    }

    #[inline(always)]
    unsafe fn scales(span: *const u8, (): &()) -> Pairs {
        // SAFETY: the module's contract.
        unsafe { with_offset(halves(span, 22), -16.0) }
    }
}

/// IQ4_NL.
pub(super) struct Iq4Nl;
impl Wide for Iq4Nl {
    type Meaning = unpack::Iq4Nl;
    type Ready = ();
    type Scales = Pairs;

    #[inline(always)]
    unsafe fn ready(_: *const u8) {}

    #[inline(always)]
    unsafe fn codes(span: *const u8, (): &(), j: usize) -> __m512i {
        // SAFETY: the module's contract.
        unsafe {
            let codes = nibbles(span.add(2 * j * 18 + 2), span.add(2 * j * 18 + 20));
            _mm512_shuffle_epi8(table(&NONLINEAR), codes)
        }
    }

    #[inline(always)]
    unsafe fn scales(span: *const u8, (): &()) -> Pairs {
        // SAFETY: the module's contract.
        unsafe { with_offset(halves(span, 18), 0.0) }
    }
}

/// MXFP4.
pub(super) struct Mxfp4;
impl Wide for Mxfp4 {
    type Meaning = unpack::Mxfp4;
    type Ready = ();
    type Scales = Pairs;

    #[inline(always)]
    unsafe fn ready(_: *const u8) {}

    #[inline(always)]
    unsafe fn codes(span: *const u8, (): &(), j: usize) -> __m512i {
        // SAFETY: the module's contract.
        unsafe {
            let codes = nibbles(span.add(2 * j * 17 + 1), span.add(2 * j * 17 + 18));
            _mm512_shuffle_epi8(table(&FP4), codes)
        }
    }

    #[inline(always)]
    unsafe fn scales(span: *const u8, (): &()) -> Pairs {
        // SAFETY: the module's contract.
        unsafe {
            let at = |i: usize| u64::from(*span.add(i * 17));
            let four = |i: usize| at(i) | at(i + 1) << 8 | at(i + 2) << 16 | at(i + 3) << 24;
            let packed = _mm_set_epi64x(0, (four(0) | four(4) << 32) as i64);
            let exponent = _mm512_cvtepu8_epi32(_mm_unpacklo_epi8(packed, packed));
            // 2^(e - 128): a normal float from e = 2 on, below that 2^(e + 21) units of 2^-149.
            let normal = _mm512_slli_epi32::<23>(_mm512_sub_epi32(exponent, _mm512_set1_epi32(1)));
            let small = _mm512_sllv_epi32(_mm512_set1_epi32(0x0020_0000), exponent);
            let is_small = _mm512_cmplt_epu32_mask(exponent, _mm512_set1_epi32(2));
            let scale = _mm512_mask_blend_epi32(is_small, normal, small);
            with_offset(_mm512_castsi512_ps(scale), 0.0)
        }
    }
}

/// Q4_1.
pub(super) struct Q4_1;
impl Wide for Q4_1 {
    type Meaning = unpack::Q4_1;
    type Ready = ();
    type Scales = Pairs;

    #[inline(always)]
    unsafe fn ready(_: *const u8) {}

    #[inline(always)]
    unsafe fn codes(span: *const u8, (): &(), j: usize) -> __m512i {
        // SAFETY: the module's contract.
        unsafe { nibbles(span.add(2 * j * 20 + 4), span.add(2 * j * 20 + 24)) }
    }

    #[inline(always)]
    unsafe fn scales(span: *const u8, (): &()) -> Pairs {
        // SAFETY: the module's contract.
        unsafe { half_pairs(span, 20) }
    }
}

/// Q5_1.
pub(super) struct Q5_1;
impl Wide for Q5_1 {
    type Meaning = unpack::Q5_1;
    type Ready = ();
    type Scales = Pairs;

    #[inline(always)]
    unsafe fn ready(_: *const u8) {}

    #[inline(always)]
    unsafe fn codes(span: *const u8, (): &(), j: usize) -> __m512i {
        // SAFETY: the module's contract.
        unsafe {
            let block = span.add(2 * j * 24);
            fifth_bits(
                block.add(4),
                block.add(28),
                nibbles(block.add(8), block.add(32)),
            )
        }
    }

    #[inline(always)]
    unsafe fn scales(span: *const u8, (): &()) -> Pairs {
        // SAFETY: the module's contract.
        unsafe { half_pairs(span, 24) }
    }
}

/// NVFP4.
pub(super) struct Nvfp4;
impl Wide for Nvfp4 {
    type Meaning = unpack::Nvfp4;
    type Ready = ();
    type Scales = Sixteens;

    #[inline(always)]
    unsafe fn ready(_: *const u8) {}

    #[inline(always)]
    unsafe fn codes(span: *const u8, (): &(), j: usize) -> __m512i {
        // SAFETY: the module's contract.
        unsafe {
            // Eight bytes hold 16 codes: the low nibbles, then the high ones.
            let bytes = _mm256_loadu_si256(span.add(36 * j + 4).cast());
            let twice = _mm512_permutexvar_epi64(
                _mm512_set_epi64(3, 3, 2, 2, 1, 1, 0, 0),
                _mm512_castsi256_si512(bytes),
            );
            let four = 0x0004_0004_0004_0004;
            let shifts = _mm512_set_epi64(four, 0, four, 0, four, 0, four, 0);
            let codes = _mm512_and_si512(_mm512_srlv_epi16(twice, shifts), _mm512_set1_epi8(15));
            _mm512_shuffle_epi8(table(&FP4), codes)
        }
    }

    #[inline(always)]
    unsafe fn scales(span: *const u8, (): &()) -> Sixteens {
        // SAFETY: the module's contract.
        unsafe {
            let at = |i: usize| span.add(36 * i).cast::<i32>().read_unaligned();
            let bytes = _mm256_cvtepu8_epi16(_mm_set_epi32(at(3), at(2), at(1), at(0)));
            let bytes = _mm256_and_si256(bytes, _mm256_set1_epi16(0x7f));
            let wrong = _mm256_cmpeq_epi16_mask(bytes, _mm256_set1_epi16(0x7f));
            let bytes = _mm256_mask_set1_epi16(bytes, wrong, 0);
            // A half has the same mantissa three bits higher and a bias of 15, not 7: 2^8 too small;
            // doubled codes want half of that.
            let scales = _mm512_cvtph_ps(_mm256_slli_epi16::<7>(bytes));
            Sixteens(
                _mm512_mul_ps(scales, _mm512_set1_ps(128.0)),
                _mm512_setzero_ps(),
            )
        }
    }
}
