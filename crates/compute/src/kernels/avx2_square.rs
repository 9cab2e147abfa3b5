//! Eight rows of a span on AVX2, turned so that one vector holds the same eight columns of four of them.
//!
//! # Safety
//!
//! All functions here but [`Squares::multiply`] have the contract of [`Squares::fill`]: AVX2, FMA and F16C are there, and each of the
//! eight pointers has `BYTES` readable bytes. Offsets of loads stay below that; the layouts are those of
//! [`unpack`](super::unpack).

use std::arch::x86_64::*;

use super::{
    WALK_ROWS,
    avx2_products::{self as products, Inputs, Sums},
    unpack::{self, GROUPS, SPAN, Unpack, Unpacked},
};

/// Rows of a square: one vector of 32-bit lanes.
pub(super) const ROWS: usize = WALK_ROWS;

/// Where a span of each row begins. Rows that are not there repeat another.
pub(super) type Spans = [*const u8; ROWS];

/// The rows of the two halves of a square. Their sums, two for each row, then come together in the order of the
/// rows by the cheapest of shuffles.
const HALVES: [[usize; 4]; 2] = [[0, 1, 4, 5], [2, 3, 6, 7]];

/// A span of eight rows.
#[repr(C, align(64))]
pub(super) struct Square {
    /// `[groups of 32][2 halves][4][4 rows][8 columns]`.
    pub(super) codes: [[i8; 32]; SPAN / 4],
    /// `[groups of 16][rows]`; of types whose groups are of 32, the first of each two.
    pub(super) scales: [[f32; ROWS]; GROUPS],
    /// As `scales`; not written for types without offsets (those of signed codes).
    pub(super) offsets: [[f32; ROWS]; GROUPS],
    /// As `scales` for types that have whole scales, instead of them: in units, each twice.
    pub(super) wholes: [[i16; 2 * ROWS]; GROUPS],
    /// The unit of `wholes`.
    pub(super) unit: [f32; ROWS],
}

impl Default for Square {
    fn default() -> Self {
        Self {
            codes: [[0; 32]; SPAN / 4],
            scales: [[0.0; ROWS]; GROUPS],
            offsets: [[0.0; ROWS]; GROUPS],
            wholes: [[0; 2 * ROWS]; GROUPS],
            unit: [0.0; ROWS],
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

    /// Adds the products of a square, which is of span `index`, and all tokens of the inputs to their totals, of which
    /// there are as many. `sums` is room to work in.
    ///
    /// # Safety
    /// AVX2, FMA and F16C are there; the inputs have that span, and at most [`WALK`](super::WALK) tokens.
    unsafe fn multiply(
        square: &Square,
        index: usize,
        inputs: &Inputs,
        sums: &mut Sums,
        totals: &mut [[f32; ROWS]],
    );
}

/// `multiply` by a function of [`products`].
macro_rules! multiply {
    ($way:expr) => {
        #[target_feature(enable = "avx2,fma,f16c")]
        #[inline]
        unsafe fn multiply(
            square: &Square,
            index: usize,
            inputs: &Inputs,
            sums: &mut Sums,
            totals: &mut [[f32; ROWS]],
        ) {
            // SAFETY: the contract.
            unsafe { $way(square, index, inputs, sums, totals) }
        }
    };
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

/// Bytes `8 k` to `8 k + 7` of 32 bytes of each row, for `k` in 0..4: of the rows of one half, then of the other.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
unsafe fn turned32(rows: &Spans, at: usize) -> [__m256i; 8] {
    let mut out = [_mm256_setzero_si256(); 8];
    for (half, out) in HALVES.iter().zip(out.chunks_exact_mut(4)) {
        let mut lines = [_mm256_setzero_si256(); 4];
        for (line, &row) in lines.iter_mut().zip(half) {
            // SAFETY: the module's contract.
            *line = unsafe { _mm256_loadu_si256(rows[row].add(at).cast()) };
        }
        let [a, b, c, d] = lines;
        let (ab, cd) = (_mm256_unpacklo_epi64(a, b), _mm256_unpacklo_epi64(c, d));
        let (ab2, cd2) = (_mm256_unpackhi_epi64(a, b), _mm256_unpackhi_epi64(c, d));
        out[0] = _mm256_permute2x128_si256::<0x20>(ab, cd);
        out[1] = _mm256_permute2x128_si256::<0x20>(ab2, cd2);
        out[2] = _mm256_permute2x128_si256::<0x31>(ab, cd);
        out[3] = _mm256_permute2x128_si256::<0x31>(ab2, cd2);
    }
    out
}

/// Stores codes of 32 columns.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn store(codes: &mut [[i8; 32]], vectors: [__m256i; 8]) {
    for (out, vector) in codes[..8].iter_mut().zip(vectors) {
        // SAFETY: 32 bytes are written to an array of 32.
        unsafe { _mm256_storeu_si256(out.as_mut_ptr().cast(), vector) };
    }
}

/// Byte `k` of each row's four, 256 times, in 16 bits, twice.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn twice(bytes: __m256i, k: usize) -> __m256i {
    const LANES: [i32; 4] = [0x0080_0080, 0x0480_0480, 0x0880_0880, 0x0c80_0c80];
    let [a, b, c, d] = LANES;
    let first = _mm256_setr_epi32(a, b, c, d, a, b, c, d);
    let order = _mm256_add_epi8(first, _mm256_set1_epi32(0x0100_0100 * k as i32));
    _mm256_shuffle_epi8(bytes, order)
}

#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn store_whole(out: &mut [i16; 2 * ROWS], values: __m256i) {
    // SAFETY: 32 bytes are written to an array of 32.
    unsafe { _mm256_storeu_si256(out.as_mut_ptr().cast(), values) };
}

#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
pub(super) fn store_floats(out: &mut [f32; ROWS], values: __m256) {
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
    multiply!(products::floats::<U>);

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

/// Q8_0.
pub(super) struct Q8_0;
impl Squares for Q8_0 {
    type Meaning = unpack::Q8_0;
    multiply!(products::floats::<Self::Meaning>);

    #[target_feature(enable = "avx2,fma,f16c")]
    #[inline]
    unsafe fn fill(rows: &Spans, out: &mut Square) {
        const BLOCK: usize = 34;
        for (g, codes) in out.codes.chunks_exact_mut(8).enumerate() {
            // SAFETY: the contract.
            unsafe {
                store(codes, turned32(rows, BLOCK * g + 2));
                store_floats(&mut out.scales[2 * g], halves(rows, BLOCK * g));
            }
        }
    }
}

/// The head of Q4_K and Q5_K, as [`unpack::scales_and_mins`] reads it, for eight rows at once.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
unsafe fn k_scales<U: Unpack>(rows: &Spans, out: &mut Square) {
    let shift = const { products::shift(U::LARGEST) };
    // SAFETY: the module's contract.
    let ([_, u0, u1, u2], d, dmin) =
        unsafe { (turned16(rows, 0), halves(rows, 0), halves(rows, 2)) };
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
    store_floats(
        &mut out.unit,
        _mm256_mul_ps(d, _mm256_set1_ps(1.0 / (1 << shift) as f32)),
    );
    let dmin = _mm256_sub_ps(_mm256_setzero_ps(), dmin);
    for g in 0..GROUPS / 2 {
        let (half, byte) = (g / 4, g % 4);
        let whole = _mm256_srl_epi16(twice(scales[half], byte), _mm_cvtsi32_si128(8 - shift));
        store_whole(&mut out.wholes[2 * g], whole);
        let min = _mm256_srl_epi32(mins[half], _mm_cvtsi32_si128(8 * byte as i32));
        let min = _mm256_cvtepi32_ps(_mm256_and_si256(min, _mm256_set1_epi32(0xff)));
        store_floats(&mut out.offsets[2 * g], _mm256_mul_ps(min, dmin));
    }
}

/// Q4_K.
pub(super) struct Q4K;
impl Squares for Q4K {
    type Meaning = unpack::Q4K;
    multiply!(products::shares::<Self::Meaning>);

    #[target_feature(enable = "avx2,fma,f16c")]
    #[inline]
    unsafe fn fill(rows: &Spans, out: &mut Square) {
        // SAFETY: the contract.
        unsafe {
            k_scales::<Self::Meaning>(rows, out);
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
    multiply!(products::shares::<Self::Meaning>);

    #[target_feature(enable = "avx2,fma,f16c")]
    #[inline]
    unsafe fn fill(rows: &Spans, out: &mut Square) {
        // SAFETY: the contract.
        unsafe {
            k_scales::<Self::Meaning>(rows, out);
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
    multiply!(products::centred::<Self::Meaning, -32>);

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
            store_floats(&mut out.unit, halves(rows, 208));
            for (quarter, scales) in turned16(rows, 192).into_iter().enumerate() {
                for byte in 0..4 {
                    let whole = _mm256_srai_epi16::<8>(twice(scales, byte));
                    store_whole(&mut out.wholes[4 * quarter + byte], whole);
                }
            }
        }
    }
}
