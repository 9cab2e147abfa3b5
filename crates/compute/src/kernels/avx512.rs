//! The integer kernels for AVX-512 with VNNI.
//!
//! A block type is a [`Wide`]: how 64 codes come into a register, and how the scales of a span do.
//! `vpdpbusd` multiplies unsigned weight codes with the signed activation codes; signed codes are
//! moved by 128 and the offset takes that back.
//!
//! # What makes the unsafe code sound
//!
//! 1. [`quantize`] and the functions of the table [`integer`] are the only entries; they are given to
//!    processors with the features named in [`Isa::Avx512`](crate::Isa) only.
//! 2. Every entry checks the lengths of the slices it was given before it makes a pointer.

use std::arch::x86_64::*;

use hearth_format::BlockType;

use super::{
    FEW, Integer, Many, Packed, Panel, Part, SPAN_BYTES, STRIP,
    activation::{self, Activations, RowMut},
    avx512_blocks as blocks, avx512_super as supers, by_block,
    unpack::{SPAN, Unpack},
};

/// A block type on this instruction set.
pub(super) trait Wide {
    /// What it means.
    type Meaning: Unpack;
    /// What of a span is worked out before its codes and scales.
    type Ready;
    /// How its scales are held.
    type Scales: Scales;

    /// Begins with the span at `span`.
    ///
    /// # Safety
    /// As for all methods here: AVX-512 with VNNI is there, and `span` has `Meaning::BYTES` readable
    /// bytes.
    unsafe fn ready(span: *const u8) -> Self::Ready;

    /// Codes `64 j..64 j + 64`.
    ///
    /// # Safety
    /// See [`Wide::ready`].
    unsafe fn codes(span: *const u8, ready: &Self::Ready, j: usize) -> __m512i;

    /// Scales and offsets of the groups, for the codes as they are.
    ///
    /// # Safety
    /// See [`Wide::ready`].
    unsafe fn scales(span: *const u8, ready: &Self::Ready) -> Self::Scales;
}

/// Scales and offsets of a span in registers. The methods have the contract of [`Wide::ready`].
pub(super) trait Scales: Copy {
    /// Lane of [`Scales::times`] that holds the scale of columns `4 l..4 l + 4`, for `l < 16`.
    const LANE: [i32; 16];
    /// What to add to that from one 64 columns to the next.
    const NEXT: i32;

    /// The same for codes to which 128 was added.
    unsafe fn moved(self) -> Self;

    /// Scale times step in lanes; adds offset times sum to `total`. `at` is the first group of 16 of
    /// the span among all of `inputs`.
    unsafe fn times(self, inputs: &Activations, at: usize, total: &mut __m512) -> __m512;

    /// Scales and offsets, in the first lanes in the order of groups.
    unsafe fn apart(self) -> [__m512; 2];
}

/// Of 16 groups of 16: scales, offsets.
#[derive(Clone, Copy)]
pub(super) struct Sixteens(pub(super) __m512, pub(super) __m512);

/// Of 8 groups of 32: scale and offset of the first, of the second, and so on.
#[derive(Clone, Copy)]
pub(super) struct Pairs(pub(super) __m512);

impl Scales for Sixteens {
    const LANE: [i32; 16] = [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3];
    const NEXT: i32 = 4;

    #[inline(always)]
    unsafe fn moved(self) -> Self {
        // SAFETY: the contract of the trait.
        unsafe {
            Self(
                self.0,
                _mm512_fnmadd_ps(self.0, _mm512_set1_ps(128.0), self.1),
            )
        }
    }

    #[inline(always)]
    unsafe fn times(self, inputs: &Activations, at: usize, total: &mut __m512) -> __m512 {
        // SAFETY: the contract of the trait: the span has 16 groups of 16 from `at` on.
        unsafe {
            let step = _mm512_loadu_ps(inputs.step16.as_ptr().add(at));
            let sum = _mm512_loadu_ps(inputs.sum16.as_ptr().add(at));
            *total = _mm512_fmadd_ps(self.1, sum, *total);
            _mm512_mul_ps(self.0, step)
        }
    }

    #[inline(always)]
    unsafe fn apart(self) -> [__m512; 2] {
        [self.0, self.1]
    }
}

impl Scales for Pairs {
    const LANE: [i32; 16] = [0, 0, 0, 0, 0, 0, 0, 0, 2, 2, 2, 2, 2, 2, 2, 2];
    const NEXT: i32 = 4;

    #[inline(always)]
    unsafe fn moved(self) -> Self {
        // SAFETY: the contract of the trait.
        unsafe {
            let scales = _mm512_moveldup_ps(self.0);
            Self(_mm512_mask3_fnmadd_ps(
                scales,
                _mm512_set1_ps(128.0),
                self.0,
                0xaaaa,
            ))
        }
    }

    #[inline(always)]
    unsafe fn times(self, inputs: &Activations, at: usize, total: &mut __m512) -> __m512 {
        // SAFETY: the contract of the trait: 8 pairs stand where 16 groups of 16 would.
        unsafe {
            let pairs = _mm512_loadu_ps(inputs.pair32.as_ptr().add(at));
            let products = _mm512_mul_ps(self.0, pairs);
            *total = _mm512_mask_add_ps(*total, 0xaaaa, *total, products);
            products
        }
    }

    #[inline(always)]
    unsafe fn apart(self) -> [__m512; 2] {
        // SAFETY: the contract of the trait.
        unsafe {
            let order = |odd| {
                _mm512_set_epi32(
                    0,
                    0,
                    0,
                    0,
                    0,
                    0,
                    0,
                    0,
                    14 + odd,
                    12 + odd,
                    10 + odd,
                    8 + odd,
                    6 + odd,
                    4 + odd,
                    2 + odd,
                    odd,
                )
            };
            [
                _mm512_permutexvar_ps(order(0), self.0),
                _mm512_permutexvar_ps(order(1), self.0),
            ]
        }
    }
}

pub(super) fn integer(block: BlockType) -> Option<Integer> {
    by_block!(block, kernels,
        Q4_0 => blocks::Q4_0, Q4_1 => blocks::Q4_1, Q5_0 => blocks::Q5_0, Q5_1 => blocks::Q5_1,
        Q8_0 => blocks::Q8_0, Iq4Nl => blocks::Iq4Nl, Iq4Xs => supers::Iq4Xs, Mxfp4 => blocks::Mxfp4,
        Q2K => supers::Q2K, Q3K => supers::Q3K, Q4K => supers::Q4K, Q5K => supers::Q5K,
        Q6K => supers::Q6K, Nvfp4 => blocks::Nvfp4, Tq2_0 => supers::Tq2,
    )
}

fn kernels<W: Wide>() -> Integer {
    Integer {
        dot: Some(dot::<W>),
        many: Many::Panel(Packed {
            group: W::Meaning::GROUP,
            pack: pack::<W>,
            multiply,
        }),
    }
}

pub(super) fn quantize(x: &[f32], row: &mut RowMut<'_>) {
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
    fn featured(x: &[f32], row: &mut RowMut<'_>) {
        activation::quantize(x, row, activation::group);
    }
    // SAFETY: rule 1.
    unsafe { featured(x, row) }
}

/// Sums of a row, of even and odd quarters of the spans and of the offsets: one would be as slow as
/// its additions in a row.
const SUMS: usize = 3;

/// Bytes that are asked for ahead of those being multiplied. Measured on Sapphire Rapids: 1 KiB is
/// late, 4 KiB and more lose what was fetched.
const AHEAD: usize = 2048;

fn dot<W: Wide>(few: &Part<'_>, out: &mut [f32]) {
    let rows = few.weights.len() / few.row_bytes;
    let spans = few.inputs.columns / SPAN;
    assert!(few.tokens <= FEW && out.len() >= rows * few.tokens);
    assert!(few.inputs.codes.len() >= (few.first_token + few.tokens) * few.inputs.columns);
    assert!(few.row_bytes.div_ceil(W::Meaning::BYTES) <= spans);
    // SAFETY: rule 1, and the lengths were just checked.
    unsafe {
        match few.tokens {
            1 => dot_tokens::<W, 1>(few, rows, out),
            2 => dot_tokens::<W, 2>(few, rows, out),
            3 => dot_tokens::<W, 3>(few, rows, out),
            _ => dot_tokens::<W, 4>(few, rows, out),
        }
    }
}

/// # Safety
/// The features of rule 1, and the lengths that [`dot`] checks.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,f16c,fma,avx2")]
unsafe fn dot_tokens<W: Wide, const T: usize>(few: &Part<'_>, rows: usize, out: &mut [f32]) {
    let whole = few.row_bytes / W::Meaning::BYTES;
    let rest = few.row_bytes % W::Meaning::BYTES;
    let mut tail = [0u8; SPAN_BYTES];
    for r in 0..rows {
        let row = &few.weights[r * few.row_bytes..(r + 1) * few.row_bytes];
        let mut sums = [[_mm512_setzero_ps(); SUMS]; T];
        // SAFETY: each span is inside `row` or `tail`; the activations have that many spans.
        unsafe {
            for index in 0..whole {
                let span = row.as_ptr().add(index * W::Meaning::BYTES);
                for line in (0..W::Meaning::BYTES).step_by(64) {
                    _mm_prefetch::<_MM_HINT_T0>(span.wrapping_add(AHEAD + line).cast());
                }
                span_dot::<W, T>(span, index, few, &mut sums);
            }
            if rest > 0 {
                tail[..rest].copy_from_slice(&row[whole * W::Meaning::BYTES..]);
                span_dot::<W, T>(tail.as_ptr(), whole, few, &mut sums);
            }
        }
        for (t, sum) in sums.iter().enumerate() {
            let sum = _mm512_add_ps(_mm512_add_ps(sum[0], sum[1]), sum[2]);
            out[t * rows + r] = _mm512_reduce_add_ps(sum);
        }
    }
}

/// Adds the products of one span of one row to the sums of `T` tokens.
///
/// # Safety
/// That of [`Wide::ready`], and `few.inputs` has span `index` of its tokens.
#[inline(always)]
unsafe fn span_dot<W: Wide, const T: usize>(
    span: *const u8,
    index: usize,
    few: &Part<'_>,
    sums: &mut [[__m512; SUMS]; T],
) {
    let inputs = few.inputs;
    // SAFETY: passed on.
    unsafe {
        let ready = W::ready(span);
        let span_scales = unsigned_scales::<W>(span, &ready);
        let at = |t: usize| (few.first_token + t) * inputs.columns + index * SPAN;
        let mut scales = [_mm512_setzero_ps(); T];
        for t in 0..T {
            scales[t] = span_scales.times(inputs, at(t) / 16, &mut sums[t][2]);
        }
        let lane = _mm512_loadu_si512(W::Scales::LANE.as_ptr().cast());
        for j in 0..4 {
            let codes = unsigned_codes::<W>(span, &ready, j);
            let lane = _mm512_add_epi32(lane, _mm512_set1_epi32(W::Scales::NEXT * j as i32));
            for t in 0..T {
                let x = _mm512_loadu_si512(inputs.codes.as_ptr().add(at(t) + 64 * j).cast());
                let products = _mm512_dpbusd_epi32(_mm512_setzero_si512(), codes, x);
                let products = _mm512_cvtepi32_ps(products);
                let scale = _mm512_permutexvar_ps(lane, scales[t]);
                sums[t][j % 2] = _mm512_fmadd_ps(products, scale, sums[t][j % 2]);
            }
        }
    }
}

/// # Safety
/// That of [`Wide::ready`].
#[inline(always)]
unsafe fn unsigned_codes<W: Wide>(span: *const u8, ready: &W::Ready, j: usize) -> __m512i {
    // SAFETY: passed on.
    unsafe {
        let codes = W::codes(span, ready, j);
        if W::Meaning::SIGNED {
            _mm512_xor_si512(codes, _mm512_set1_epi8(-128))
        } else {
            codes
        }
    }
}

/// Scales, and offsets for the codes of [`unsigned_codes`].
///
/// # Safety
/// That of [`Wide::ready`].
#[inline(always)]
unsafe fn unsigned_scales<W: Wide>(span: *const u8, ready: &W::Ready) -> W::Scales {
    // SAFETY: passed on.
    unsafe {
        let scales = W::scales(span, ready);
        if W::Meaning::SIGNED {
            scales.moved()
        } else {
            scales
        }
    }
}

fn pack<W: Wide>(weights: &[u8], row_bytes: usize, panel: &mut Panel, strip: usize) {
    assert_eq!(panel.group, W::Meaning::GROUP);
    assert!(row_bytes.div_ceil(W::Meaning::BYTES) <= panel.columns / SPAN);
    let (codes, scales, offsets) = panel.strip_mut(strip);
    // SAFETY: rule 1, and the lengths were just checked (a strip holds `columns` of 16 rows).
    unsafe { pack_strip::<W>(weights, row_bytes, codes, scales, offsets) }
}

/// # Safety
/// The features of rule 1; the strip's arrays hold as many spans as a row has.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,f16c,fma,avx2")]
unsafe fn pack_strip<W: Wide>(
    weights: &[u8],
    row_bytes: usize,
    codes: &mut [i8],
    scales: &mut [f32],
    offsets: &mut [f32],
) {
    let bytes = W::Meaning::BYTES;
    let rows = weights.len() / row_bytes;
    let groups = SPAN / W::Meaning::GROUP;
    let zero = [0u8; SPAN_BYTES];
    let mut tails = [[0u8; SPAN_BYTES]; STRIP];
    for index in 0..row_bytes.div_ceil(bytes) {
        let mut square = [[_mm512_setzero_si512(); STRIP]; 4];
        let mut scale = [_mm512_setzero_si512(); STRIP];
        let mut offset = [_mm512_setzero_si512(); STRIP];
        for r in 0..STRIP {
            let span = if r >= rows {
                zero.as_ptr()
            } else {
                let row = &weights[r * row_bytes..(r + 1) * row_bytes];
                match row.get(index * bytes..(index + 1) * bytes) {
                    Some(span) => span.as_ptr(),
                    None => {
                        let rest = &row[index * bytes..];
                        tails[r][..rest.len()].copy_from_slice(rest);
                        tails[r].as_ptr()
                    }
                }
            };
            // SAFETY: `span` has `BYTES` bytes in all three cases.
            unsafe {
                let ready = W::ready(span);
                for (j, square) in square.iter_mut().enumerate() {
                    square[r] = unsigned_codes::<W>(span, &ready, j);
                }
                let [s, o] = unsigned_scales::<W>(span, &ready).apart();
                scale[r] = _mm512_castps_si512(s);
                offset[r] = _mm512_castps_si512(o);
            }
        }
        let strip_codes = &mut codes[index * SPAN * STRIP..(index + 1) * SPAN * STRIP];
        for (square, out) in square
            .iter_mut()
            .zip(strip_codes.chunks_exact_mut(64 * STRIP))
        {
            transpose(square);
            for (vector, out) in square.iter().zip(out.chunks_exact_mut(64)) {
                // SAFETY: 64 bytes are written to a chunk of 64.
                unsafe { _mm512_storeu_si512(out.as_mut_ptr().cast(), *vector) };
            }
        }
        for (vectors, out) in [(&mut scale, &mut *scales), (&mut offset, &mut *offsets)] {
            transpose(vectors);
            let out = &mut out[index * groups * STRIP..(index + 1) * groups * STRIP];
            for (vector, out) in vectors.iter().zip(out.chunks_exact_mut(STRIP)) {
                // SAFETY: 16 floats are written to a chunk of 16.
                unsafe { _mm512_storeu_ps(out.as_mut_ptr(), _mm512_castsi512_ps(*vector)) };
            }
        }
    }
}

/// Transposes a 16 × 16 square of 32-bit lanes.
#[target_feature(enable = "avx512f")]
#[inline]
fn transpose(m: &mut [__m512i; 16]) {
    let mut t = [_mm512_setzero_si512(); 16];
    for i in 0..8 {
        t[2 * i] = _mm512_unpacklo_epi32(m[2 * i], m[2 * i + 1]);
        t[2 * i + 1] = _mm512_unpackhi_epi32(m[2 * i], m[2 * i + 1]);
    }
    for i in 0..4 {
        for k in 0..2 {
            let (a, b) = (t[4 * i + k], t[4 * i + 2 + k]);
            m[4 * i + 2 * k] = _mm512_unpacklo_epi64(a, b);
            m[4 * i + 2 * k + 1] = _mm512_unpackhi_epi64(a, b);
        }
    }
    // Now m[4 i + c] holds, in its quarter q, column 4 q + c of rows 4 i..4 i + 4.
    for c in 0..4 {
        let low = _mm512_shuffle_i32x4::<0x44>(m[c], m[4 + c]);
        let high = _mm512_shuffle_i32x4::<0xee>(m[c], m[4 + c]);
        let low2 = _mm512_shuffle_i32x4::<0x44>(m[8 + c], m[12 + c]);
        let high2 = _mm512_shuffle_i32x4::<0xee>(m[8 + c], m[12 + c]);
        t[c] = _mm512_shuffle_i32x4::<0x88>(low, low2);
        t[4 + c] = _mm512_shuffle_i32x4::<0xdd>(low, low2);
        t[8 + c] = _mm512_shuffle_i32x4::<0x88>(high, high2);
        t[12 + c] = _mm512_shuffle_i32x4::<0xdd>(high, high2);
    }
    *m = t;
}

/// Tokens of one tile: 2 strips × 6 tokens × (one integer and one float sum) fill 24 of 32 registers.
const TILE: usize = 6;

fn multiply(panel: &Panel, inputs: &Activations, first: usize, tokens: usize, out: &mut [f32]) {
    assert_eq!(panel.columns, inputs.columns);
    assert!(inputs.codes.len() >= (first + tokens) * inputs.columns);
    assert!(out.len() >= tokens * panel.strips * STRIP && matches!(panel.strips, 1 | 2));
    let mut done = 0;
    while done < tokens {
        let count = TILE.min(tokens - done);
        let out = &mut out[done * panel.strips * STRIP..];
        // SAFETY: rule 1, and the lengths were just checked.
        unsafe { tile(panel, inputs, first + done, count, out) };
        done += count;
    }
}

/// # Safety
/// The features of rule 1, and the lengths that [`multiply`] checks.
#[inline(always)]
unsafe fn tile(panel: &Panel, inputs: &Activations, first: usize, count: usize, out: &mut [f32]) {
    macro_rules! cases {
        ($($t:literal),*) => {
            match (panel.strips, panel.group, count) {
                $((1, 16, $t) => tile_of::<1, 16, $t>(panel, inputs, first, out),
                (1, 32, $t) => tile_of::<1, 32, $t>(panel, inputs, first, out),
                (_, 16, $t) => tile_of::<2, 16, $t>(panel, inputs, first, out),
                (_, 32, $t) => tile_of::<2, 32, $t>(panel, inputs, first, out),)*
                _ => unreachable!("groups are of 16 or 32, tiles of at most {TILE} tokens"),
            }
        };
    }
    // SAFETY: passed on.
    unsafe { cases!(1, 2, 3, 4, 5, 6) }
}

/// # Safety
/// That of [`tile`], for `S` strips, groups of `G`, `T` tokens.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,f16c,fma,avx2")]
unsafe fn tile_of<const S: usize, const G: usize, const T: usize>(
    panel: &Panel,
    inputs: &Activations,
    first: usize,
    out: &mut [f32],
) {
    let columns = panel.columns;
    let groups = columns / G;
    let x = inputs.codes[first * columns..].as_ptr();
    let mut totals = [[_mm512_setzero_ps(); S]; T];
    for g in 0..groups {
        let mut products = [[_mm512_setzero_si512(); S]; T];
        // SAFETY: `g` is below the number of groups of the panel and of each row of `inputs`.
        unsafe {
            for k in (g * G..(g + 1) * G).step_by(4) {
                let mut codes = [_mm512_setzero_si512(); S];
                for (s, codes) in codes.iter_mut().enumerate() {
                    let at = (s * columns + k) * STRIP;
                    *codes = _mm512_loadu_si512(panel.codes.as_ptr().add(at).cast());
                }
                for (t, products) in products.iter_mut().enumerate() {
                    let quad = x.add(t * columns + k).cast::<i32>().read_unaligned();
                    let quad = _mm512_set1_epi32(quad);
                    for s in 0..S {
                        products[s] = _mm512_dpbusd_epi32(products[s], codes[s], quad);
                    }
                }
            }
            for s in 0..S {
                let at = (s * groups + g) * STRIP;
                let scale = _mm512_loadu_ps(panel.scales.as_ptr().add(at));
                let offset = _mm512_loadu_ps(panel.offsets.as_ptr().add(at));
                for t in 0..T {
                    let (step, sum) = inputs.step_and_sum(G, (first + t) * groups + g);
                    let (step, sum) = (_mm512_set1_ps(step), _mm512_set1_ps(sum));
                    let scaled = _mm512_cvtepi32_ps(products[t][s]);
                    let total = _mm512_fmadd_ps(offset, sum, totals[t][s]);
                    totals[t][s] = _mm512_fmadd_ps(scaled, _mm512_mul_ps(scale, step), total);
                }
            }
        }
    }
    for (totals, out) in totals.iter().zip(out.chunks_exact_mut(S * STRIP)) {
        for (total, out) in totals.iter().zip(out.chunks_exact_mut(STRIP)) {
            // SAFETY: 16 floats are written to a chunk of 16.
            unsafe { _mm512_storeu_ps(out.as_mut_ptr(), *total) };
        }
    }
}
