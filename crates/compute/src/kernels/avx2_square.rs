//! Eight rows of a span on AVX2, turned so that one vector holds the same columns of all of them.
//!
//! # Safety
//!
//! All functions here have the contract of [`Squares::fill`]: AVX2, FMA and F16C are there, and each of the
//! eight pointers has `BYTES` readable bytes. Offsets of loads stay below that; the layouts are those of
//! [`unpack`](super::unpack).

use std::arch::x86_64::*;

use super::unpack::{self, GROUPS, SPAN, Unpack, Unpacked};

/// Rows of a square: one vector of 32-bit lanes.
pub(super) const ROWS: usize = 8;

/// Where a span of each row begins. Rows that are not there repeat another.
pub(super) type Spans = [*const u8; ROWS];

/// A span of eight rows.
#[repr(C, align(64))]
pub(super) struct Square {
    /// `[columns / 4][rows][4]`.
    pub(super) codes: [[i8; 4 * ROWS]; SPAN / 4],
    /// `[groups of 16][rows]`; of types whose groups are of 32, the first of each two.
    pub(super) scales: [[f32; ROWS]; GROUPS],
    /// As `scales`; not written for types without offsets (those of signed codes).
    pub(super) offsets: [[f32; ROWS]; GROUPS],
}

impl Default for Square {
    fn default() -> Self {
        Self {
            codes: [[0; 4 * ROWS]; SPAN / 4],
            scales: [[0.0; ROWS]; GROUPS],
            offsets: [[0.0; ROWS]; GROUPS],
        }
    }
}

/// A block type on this instruction set.
pub(super) trait Squares {
    /// What it means.
    type Meaning: Unpack;

    /// Turns a span of eight rows.
    ///
    /// # Safety
    /// AVX2, FMA and F16C are there; each pointer has `Meaning::BYTES` readable bytes.
    unsafe fn fill(rows: &Spans, out: &mut Square);
}

/// Dword `k` of 16 bytes of each row, for `k` in 0..4.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
unsafe fn turned16(rows: &Spans, at: usize) -> [__m256i; 4] {
    // SAFETY: the module's contract.
    unsafe {
        let mut pairs = [_mm256_setzero_si256(); 4];
        for (r, pair) in pairs.iter_mut().enumerate() {
            let low = _mm_loadu_si128(rows[r].add(at).cast());
            let high = _mm_loadu_si128(rows[r + 4].add(at).cast());
            *pair = _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(low), high);
        }
        let [a, b, c, d] = pairs;
        let (ab, cd) = (_mm256_unpacklo_epi32(a, b), _mm256_unpacklo_epi32(c, d));
        let (ab2, cd2) = (_mm256_unpackhi_epi32(a, b), _mm256_unpackhi_epi32(c, d));
        [
            _mm256_unpacklo_epi64(ab, cd),
            _mm256_unpackhi_epi64(ab, cd),
            _mm256_unpacklo_epi64(ab2, cd2),
            _mm256_unpackhi_epi64(ab2, cd2),
        ]
    }
}

/// Dword `k` of 32 bytes of each row, for `k` in 0..8.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
unsafe fn turned32(rows: &Spans, at: usize) -> [__m256i; 8] {
    // SAFETY: the module's contract.
    let ([a, b, c, d], [e, f, g, h]) = unsafe { (turned16(rows, at), turned16(rows, at + 16)) };
    [a, b, c, d, e, f, g, h]
}

/// Stores codes of 32 columns.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
unsafe fn store(codes: &mut [[i8; 4 * ROWS]], vectors: [__m256i; 8]) {
    for (out, vector) in codes[..8].iter_mut().zip(vectors) {
        // SAFETY: 32 bytes are written to an array of 32.
        unsafe { _mm256_storeu_si256(out.as_mut_ptr().cast(), vector) };
    }
}

#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
unsafe fn store_floats(out: &mut [f32; ROWS], values: __m256) {
    // SAFETY: 8 floats are written to an array of 8.
    unsafe { _mm256_storeu_ps(out.as_mut_ptr(), values) };
}

/// The half at byte `at` of each row.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
unsafe fn halves(rows: &Spans, at: usize) -> __m256 {
    // SAFETY: the module's contract.
    unsafe {
        let mut halves = [0u16; ROWS];
        for (half, row) in halves.iter_mut().zip(rows) {
            *half = row.add(at).cast::<u16>().read_unaligned();
        }
        _mm256_cvtph_ps(_mm_loadu_si128(halves.as_ptr().cast()))
    }
}

/// Bits 4 to 7 of each byte, as bits 0 to 3.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn high_nibbles(v: __m256i) -> __m256i {
    _mm256_and_si256(_mm256_srli_epi16::<4>(v), _mm256_set1_epi8(15))
}

/// Any block type by its scalar form.
pub(super) struct Plain<U>(std::marker::PhantomData<U>);

impl<U: Unpack> Squares for Plain<U> {
    type Meaning = U;

    #[target_feature(enable = "avx2,fma,f16c")]
    #[inline]
    unsafe fn fill(rows: &Spans, out: &mut Square) {
        let mut unpacked: [Unpacked; ROWS] = std::array::from_fn(|_| Unpacked::default());
        // SAFETY: the contract; the turned spans are arrays of 256 codes and of 16 floats.
        unsafe {
            for (row, out) in rows.iter().zip(&mut unpacked) {
                U::unpack(std::slice::from_raw_parts(*row, U::BYTES), out);
            }
            let codes = unpacked.each_ref().map(|w| w.codes.as_ptr().cast::<u8>());
            for (g, out) in out.codes.chunks_exact_mut(8).enumerate() {
                store(out, turned32(&codes, 32 * g));
            }
            let scales = unpacked.each_ref().map(|w| w.scale.as_ptr().cast::<u8>());
            let offsets = unpacked.each_ref().map(|w| w.offset.as_ptr().cast::<u8>());
            for (from, to) in [(scales, &mut out.scales), (offsets, &mut out.offsets)] {
                for (quarter, to) in to.chunks_exact_mut(4).enumerate() {
                    for (to, values) in to.iter_mut().zip(turned16(&from, 16 * quarter)) {
                        store_floats(to, _mm256_castsi256_ps(values));
                    }
                }
            }
        }
    }
}

/// The head of Q4_K and Q5_K, as [`unpack::scales_and_mins`] reads it, for eight rows at once.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
unsafe fn k_scales(rows: &Spans, out: &mut Square) {
    // SAFETY: the module's contract.
    unsafe {
        let [_, u0, u1, u2] = turned16(rows, 0);
        let (six, four) = (_mm256_set1_epi8(0x3f), _mm256_set1_epi8(0x0f));
        let two = _mm256_set1_epi8(0x30);
        let top = _mm256_and_si256(_mm256_srli_epi16::<2>(u0), two);
        let scales = [
            _mm256_and_si256(u0, six),
            _mm256_or_si256(_mm256_and_si256(u2, four), top),
        ];
        let top = _mm256_and_si256(_mm256_srli_epi16::<2>(u1), two);
        let mins = [
            _mm256_and_si256(u1, six),
            _mm256_or_si256(high_nibbles(u2), top),
        ];
        let d = halves(rows, 0);
        let dmin = _mm256_sub_ps(_mm256_setzero_ps(), halves(rows, 2));
        for (packed, factor, to) in [(scales, d, &mut out.scales), (mins, dmin, &mut out.offsets)] {
            for (half, packed) in packed.into_iter().enumerate() {
                let bytes = [
                    packed,
                    _mm256_srli_epi32::<8>(packed),
                    _mm256_srli_epi32::<16>(packed),
                    _mm256_srli_epi32::<24>(packed),
                ];
                for (g, bytes) in bytes.into_iter().enumerate() {
                    let value = _mm256_and_si256(bytes, _mm256_set1_epi32(0xff));
                    let value = _mm256_mul_ps(_mm256_cvtepi32_ps(value), factor);
                    store_floats(&mut to[2 * (4 * half + g)], value);
                }
            }
        }
    }
}

/// Q4_K.
pub(super) struct Q4K;
impl Squares for Q4K {
    type Meaning = unpack::Q4K;

    #[target_feature(enable = "avx2,fma,f16c")]
    #[inline]
    unsafe fn fill(rows: &Spans, out: &mut Square) {
        // SAFETY: the contract.
        unsafe {
            k_scales(rows, out);
            for (j, out) in out.codes.chunks_exact_mut(16).enumerate() {
                let (mut low, mut high) =
                    (turned32(rows, 16 + 32 * j), [_mm256_setzero_si256(); 8]);
                for (low, high) in low.iter_mut().zip(&mut high) {
                    *high = high_nibbles(*low);
                    *low = _mm256_and_si256(*low, _mm256_set1_epi8(15));
                }
                store(out, low);
                store(&mut out[8..], high);
            }
        }
    }
}

/// Q5_K.
pub(super) struct Q5K;
impl Squares for Q5K {
    type Meaning = unpack::Q5K;

    #[target_feature(enable = "avx2,fma,f16c")]
    #[inline]
    unsafe fn fill(rows: &Spans, out: &mut Square) {
        // SAFETY: the contract.
        unsafe {
            k_scales(rows, out);
            let fifth = turned32(rows, 16);
            for (j, out) in out.codes.chunks_exact_mut(16).enumerate() {
                let both = turned32(rows, 48 + 32 * j);
                let (mut low, mut high) = (both, both);
                for k in 0..8 {
                    // Bits 2 j and 2 j + 1 of each byte, moved to bit 4.
                    let bits = _mm256_srl_epi16(fifth[k], _mm_cvtsi32_si128(2 * j as i32));
                    let first =
                        _mm256_and_si256(_mm256_slli_epi16::<4>(bits), _mm256_set1_epi8(16));
                    let second =
                        _mm256_and_si256(_mm256_slli_epi16::<3>(bits), _mm256_set1_epi8(16));
                    low[k] = _mm256_and_si256(both[k], _mm256_set1_epi8(15));
                    low[k] = _mm256_or_si256(low[k], first);
                    high[k] = _mm256_or_si256(high_nibbles(both[k]), second);
                }
                store(out, low);
                store(&mut out[8..], high);
            }
        }
    }
}

/// Q6_K.
pub(super) struct Q6K;
impl Squares for Q6K {
    type Meaning = unpack::Q6K;

    #[target_feature(enable = "avx2,fma,f16c")]
    #[inline]
    unsafe fn fill(rows: &Spans, out: &mut Square) {
        // SAFETY: the contract.
        unsafe {
            for (n, out) in out.codes.chunks_exact_mut(32).enumerate() {
                let top = turned32(rows, 128 + 32 * n);
                for half in 0..2 {
                    let both = turned32(rows, 64 * n + 32 * half);
                    let (mut low, mut high) = (both, both);
                    for k in 0..8 {
                        // Bits 2 `half` and 4 + 2 `half` of each byte, moved to bit 4.
                        let bits = if half == 0 {
                            [_mm256_slli_epi16::<4>(top[k]), top[k]]
                        } else {
                            [
                                _mm256_slli_epi16::<2>(top[k]),
                                _mm256_srli_epi16::<2>(top[k]),
                            ]
                        };
                        let first = _mm256_and_si256(bits[0], _mm256_set1_epi8(0x30));
                        let second = _mm256_and_si256(bits[1], _mm256_set1_epi8(0x30));
                        low[k] = _mm256_and_si256(both[k], _mm256_set1_epi8(15));
                        low[k] = _mm256_or_si256(low[k], first);
                        high[k] = _mm256_or_si256(high_nibbles(both[k]), second);
                    }
                    store(&mut out[8 * half..], low);
                    store(&mut out[16 + 8 * half..], high);
                }
            }
            let d = halves(rows, 208);
            for (quarter, packed) in turned16(rows, 192).into_iter().enumerate() {
                let bytes = [
                    _mm256_slli_epi32::<24>(packed),
                    _mm256_slli_epi32::<16>(packed),
                    _mm256_slli_epi32::<8>(packed),
                    packed,
                ];
                for (g, bytes) in bytes.into_iter().enumerate() {
                    let scale = _mm256_cvtepi32_ps(_mm256_srai_epi32::<24>(bytes));
                    let scale = _mm256_mul_ps(scale, d);
                    let g = 4 * quarter + g;
                    store_floats(&mut out.scales[g], scale);
                    let offset = _mm256_mul_ps(scale, _mm256_set1_ps(-32.0));
                    store_floats(&mut out.offsets[g], offset);
                }
            }
        }
    }
}
