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
    activation::SUMS,
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
    /// As `scales`; not written for types without offsets (those of signed codes), and of whole ones.
    pub(super) offsets: [[f32; ROWS]; GROUPS],
    /// As `scales` for types that have whole scales, instead of them: in units, each twice.
    pub(super) wholes: [[i16; 2 * ROWS]; GROUPS],
    /// The unit of `wholes`.
    pub(super) unit: [f32; ROWS],
    /// `[pairs of groups of 32][rows][2]`: as `offsets` for types that have whole ones, in units.
    pub(super) whole_offsets: [[i16; 2 * ROWS]; GROUPS / 4],
    /// The unit of `whole_offsets`.
    pub(super) offset_unit: [f32; ROWS],
}

impl Default for Square {
    fn default() -> Self {
        Self {
            codes: [[0; 32]; SPAN / 4],
            scales: [[0.0; ROWS]; GROUPS],
            offsets: [[0.0; ROWS]; GROUPS],
            wholes: [[0; 2 * ROWS]; GROUPS],
            unit: [0.0; ROWS],
            whole_offsets: [[0; 2 * ROWS]; GROUPS / 4],
            offset_unit: [0.0; ROWS],
        }
    }
}

/// What comes after a square, or nearly.
pub(super) struct Ahead {
    /// Where the spans of the square begin.
    pub(super) spans: Spans,
    /// Bytes of a span.
    pub(super) bytes: usize,
    /// Bytes from a span to the one that is multiplied next.
    pub(super) next: usize,
    /// Bytes of eight rows: to the next ones it is further than the processor looks by itself.
    pub(super) strip: usize,
}

impl Ahead {
    /// Asks the memory for what row `row` has next. All rows at once would be more than it takes without making us wait.
    #[inline(always)]
    pub(super) fn fetch(&self, row: usize) {
        for line in (0..self.bytes).step_by(64) {
            let span = self.spans[row].wrapping_add(line);
            // SAFETY: nothing is read that a program could see.
            unsafe {
                _mm_prefetch::<_MM_HINT_T0>(span.wrapping_add(self.next).cast());
                _mm_prefetch::<_MM_HINT_T1>(span.wrapping_add(self.strip).cast());
            }
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
    /// there are as many. What is `ahead` is fetched meanwhile; `sums` is room to work in.
    ///
    /// # Safety
    /// AVX2, FMA and F16C are there; the inputs have that span, and at most [`WALK`](super::WALK) tokens.
    unsafe fn multiply(
        square: &Square,
        index: usize,
        inputs: &Inputs,
        ahead: &Ahead,
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
            ahead: &Ahead,
            sums: &mut Sums,
            totals: &mut [[f32; ROWS]],
        ) {
            // SAFETY: the contract.
            unsafe { $way(square, index, inputs, ahead, sums, totals) }
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

/// Bytes `8 k` to `8 k + 7` of 32 bytes of the rows of one half, for `k` in 0..4.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
unsafe fn turned32(rows: &Spans, half: usize, at: usize) -> [__m256i; 4] {
    // SAFETY: the module's contract.
    let line = |row: usize| unsafe { _mm256_loadu_si256(rows[row].add(at).cast()) };
    let [a, b, c, d] = HALVES[half].map(line);
    let (ab, cd) = (_mm256_unpacklo_epi64(a, b), _mm256_unpacklo_epi64(c, d));
    let (ab2, cd2) = (_mm256_unpackhi_epi64(a, b), _mm256_unpackhi_epi64(c, d));
    [
        _mm256_permute2x128_si256::<0x20>(ab, cd),
        _mm256_permute2x128_si256::<0x20>(ab2, cd2),
        _mm256_permute2x128_si256::<0x31>(ab, cd),
        _mm256_permute2x128_si256::<0x31>(ab2, cd2),
    ]
}

/// Stores codes of 32 columns of one half of the rows.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn store(codes: &mut [[i8; 32]], half: usize, vectors: [__m256i; 4]) {
    for (out, vector) in codes[4 * half..][..4].iter_mut().zip(vectors) {
        // SAFETY: 32 bytes are written to an array of 32.
        unsafe { _mm256_storeu_si256(out.as_mut_ptr().cast(), vector) };
    }
}

/// Bytes `k` and `l` of each row's four, 256 times, in 16 bits.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn both(bytes: __m256i, k: usize, l: usize) -> __m256i {
    const LANES: [i32; 4] = [0x0080_0080, 0x0480_0480, 0x0880_0880, 0x0c80_0c80];
    let [a, b, c, d] = LANES;
    let first = _mm256_setr_epi32(a, b, c, d, a, b, c, d);
    let order = _mm256_add_epi8(first, _mm256_set1_epi32((l << 24 | k << 8) as i32));
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

/// Bits 0 to 3 of each byte.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn low_nibbles(v: __m256i) -> __m256i {
    _mm256_and_si256(v, _mm256_set1_epi8(15))
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
                for half in 0..2 {
                    store(out, half, turned32(&codes, half, 32 * g));
                }
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
                for half in 0..2 {
                    store(codes, half, turned32(rows, half, BLOCK * g + 2));
                }
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
    store_floats(
        &mut out.offset_unit,
        _mm256_mul_ps(dmin, _mm256_set1_ps(-1.0 / SUMS)),
    );
    for g in 0..GROUPS / 2 {
        let whole = both(scales[g / 4], g % 4, g % 4);
        let whole = _mm256_srl_epi16(whole, _mm_cvtsi32_si128(8 - shift));
        store_whole(&mut out.wholes[2 * g], whole);
    }
    for (pair, out) in out.whole_offsets.iter_mut().enumerate() {
        let byte = 2 * pair % 4;
        let whole = _mm256_srli_epi16::<8>(both(mins[pair / 2], byte, byte + 1));
        store_whole(out, whole);
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
                for half in 0..2 {
                    let both = turned32(rows, half, 16 + 32 * j);
                    store(out, half, both.map(|v| low_nibbles(v)));
                    store(&mut out[8..], half, both.map(|v| high_nibbles(v)));
                }
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
            for half in 0..2 {
                let fifth = turned32(rows, half, 16);
                for (j, out) in out.codes.chunks_exact_mut(16).enumerate() {
                    let both = turned32(rows, half, 48 + 32 * j);
                    // Bits 2 j and 2 j + 1 of each byte, moved to bit 4.
                    let bits = |k| _mm256_srl_epi16(fifth[k], _mm_cvtsi32_si128(2 * j as i32));
                    let bit = |v| _mm256_and_si256(v, _mm256_set1_epi8(16));
                    let low = |k| {
                        _mm256_or_si256(low_nibbles(both[k]), bit(_mm256_slli_epi16::<4>(bits(k))))
                    };
                    let high = |k| {
                        _mm256_or_si256(high_nibbles(both[k]), bit(_mm256_slli_epi16::<3>(bits(k))))
                    };
                    store(out, half, std::array::from_fn(low));
                    store(&mut out[8..], half, std::array::from_fn(high));
                }
            }
        }
    }
}

/// Q6_K.
pub(super) struct Q6K;
impl Squares for Q6K {
    type Meaning = unpack::Q6K;
    multiply!(products::centred::<Self::Meaning>);

    #[target_feature(enable = "avx2,fma,f16c")]
    #[inline]
    unsafe fn fill(rows: &Spans, out: &mut Square) {
        // SAFETY: the contract.
        unsafe {
            for (n, out) in out.codes.chunks_exact_mut(32).enumerate() {
                for half in 0..2 {
                    let top = turned32(rows, half, 128 + 32 * n);
                    // Bits 2 `g` and 2 `g` + 1 of each byte, moved to bit 4.
                    let bits = |g, v| {
                        let moved = match g {
                            0 => _mm256_slli_epi16::<4>(v),
                            1 => _mm256_slli_epi16::<2>(v),
                            2 => v,
                            _ => _mm256_srli_epi16::<2>(v),
                        };
                        _mm256_and_si256(moved, _mm256_set1_epi8(0x30))
                    };
                    for g in 0..2 {
                        let both = turned32(rows, half, 64 * n + 32 * g);
                        let low = |k| _mm256_or_si256(low_nibbles(both[k]), bits(g, top[k]));
                        let high = |k| _mm256_or_si256(high_nibbles(both[k]), bits(g + 2, top[k]));
                        store(&mut out[8 * g..], half, std::array::from_fn(low));
                        store(&mut out[8 * g + 16..], half, std::array::from_fn(high));
                    }
                }
            }
            store_floats(&mut out.unit, halves(rows, 208));
            for (quarter, scales) in turned16(rows, 192).into_iter().enumerate() {
                for byte in 0..4 {
                    let whole = _mm256_srai_epi16::<8>(both(scales, byte, byte));
                    store_whole(&mut out.wholes[4 * quarter + byte], whole);
                }
            }
        }
    }
}
