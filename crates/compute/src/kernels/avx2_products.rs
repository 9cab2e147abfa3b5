//! Squares of weights times the codes of all tokens of a part: the inner loops of AVX2.
//!
//! The weights of 32 columns of eight rows are eight vectors that stay in registers while all tokens are
//! multiplied with them. `vpmaddubsw` adds pairs of products in 16 bits. Of small codes several such sums fit
//! into 16 bits, so that most additions are of 16 bits too. The sign of a code that has one is moved to the
//! activation, whose magnitude is at most 127 like its own, or 128.
//!
//! What is left to be done in floats decides how fast this is: [`floats`] does it for each group of 32 columns,
//! [`centred`] half of it, [`shares`] for each span alone.
//!
//! # Safety
//!
//! All functions here have the contract of [`Squares::multiply`](super::avx2_square::Squares::multiply).

use std::arch::x86_64::*;

use super::{
    Part, WALK,
    activation::{CENTRE, GROUP, GROUPS, WHOLES},
    avx2_square::{Ahead, ROWS, Square, store_floats},
    unpack::{SPAN, Unpack},
};

const _: () = assert!(
    GROUPS == ROWS,
    "what a row has next is fetched along with a group"
);
/// Vectors of a group's codes for one half of the rows.
const OCTETS: usize = GROUP / 8;

/// The sums of the span under way, for each token those of eight rows, in its unit: whole numbers or floats.
pub(super) type Sums = [__m256i; WALK];

/// The codes of one group: of both halves of the rows, octet by octet.
struct Codes([[__m256i; OCTETS]; 2]);

impl Codes {
    #[target_feature(enable = "avx2,fma,f16c")]
    #[inline]
    fn load(square: &Square, group: usize) -> Self {
        let mut codes = [[_mm256_setzero_si256(); OCTETS]; 2];
        let from = &square.codes[group * 2 * OCTETS..][..2 * OCTETS];
        for (to, from) in codes.as_flattened_mut().iter_mut().zip(from) {
            // SAFETY: an array of 32 bytes.
            *to = unsafe { _mm256_loadu_si256(from.as_ptr().cast()) };
        }
        Self(codes)
    }
}

/// The turned inputs of a part: where its first token has its codes and what else there is of it.
#[derive(Clone, Copy)]
pub(super) struct Inputs {
    codes: *const i8,
    steps: *const f32,
    wholes: *const i16,
    peaks: *const f32,
    sums: *const i16,
    /// Tokens from one group to the next.
    stride: usize,
    tokens: usize,
}

impl Inputs {
    /// # Safety
    /// The inputs were turned, and have the part's tokens.
    pub(super) unsafe fn of(part: &Part<'_>) -> Self {
        let (turned, first) = (&part.inputs.turned, part.first_token);
        // SAFETY: the contract.
        unsafe {
            Self {
                codes: turned.codes.as_ptr().add(first * GROUP),
                steps: turned.steps.as_ptr().add(first * 4),
                wholes: turned.wholes.as_ptr().add(first * WHOLES),
                peaks: turned.peaks.as_ptr().add(first),
                sums: turned.sums.as_ptr().add(first * GROUPS),
                stride: turned.tokens,
                tokens: part.tokens,
            }
        }
    }

    /// The same from span `index` on.
    ///
    /// # Safety
    /// There is such a span.
    #[inline(always)]
    unsafe fn span(self, index: usize) -> Self {
        // SAFETY: the contract.
        unsafe {
            Self {
                peaks: self.peaks.add(index * self.stride),
                sums: self.sums.add(index * self.stride * GROUPS),
                ..self.group(index * GROUPS)
            }
        }
    }

    /// The same from group `index` on; peaks and sums are not moved.
    ///
    /// # Safety
    /// There is such a group.
    #[inline(always)]
    unsafe fn group(self, index: usize) -> Self {
        let at = index * self.stride;
        // SAFETY: the contract.
        unsafe {
            Self {
                codes: self.codes.add(at * GROUP),
                steps: self.steps.add(at * 4),
                wholes: self.wholes.add(at * WHOLES),
                ..self
            }
        }
    }
}

/// Steps of so many tokens go through a square token by token, so that sums stay in registers. Of more tokens the
/// codes do, group by group.
const FEW: usize = 2;

/// Adds the products of all groups of a square and all tokens to `sums`: `add(sum, codes, known, inputs, token)`, where
/// `known` is what `know(group)` says of the group and `inputs` begin with it.
///
/// # Safety
/// The features; `inputs` begin with the square's span.
#[inline(always)]
unsafe fn each<K>(
    square: &Square,
    inputs: Inputs,
    ahead: &Ahead,
    sums: &mut [__m256i],
    know: impl Fn(usize) -> K,
    add: impl Fn(__m256i, &Codes, &K, Inputs, usize) -> __m256i,
) {
    // SAFETY: the contract.
    unsafe {
        if sums.len() <= FEW {
            (0..ROWS).for_each(|row| ahead.fetch(row));
            for (t, sum) in sums.iter_mut().enumerate() {
                for g in 0..GROUPS {
                    let codes = Codes::load(square, g);
                    *sum = add(*sum, &codes, &know(g), inputs.group(g), t);
                }
            }
            return;
        }
        for g in 0..GROUPS {
            ahead.fetch(g);
            let (codes, known, inputs) = (Codes::load(square, g), know(g), inputs.group(g));
            // Two tokens at a time, since counting them takes instructions too.
            let (pairs, last) = sums.as_chunks_mut::<2>();
            let count = 2 * pairs.len();
            for (p, [first, second]) in pairs.iter_mut().enumerate() {
                *first = add(*first, &codes, &known, inputs, 2 * p);
                *second = add(*second, &codes, &known, inputs, 2 * p + 1);
            }
            if let [last] = last {
                *last = add(*last, &codes, &known, inputs, count);
            }
        }
    }
}

/// Any type: a scale and an offset for each group, of 16 or 32 columns.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
pub(super) unsafe fn floats<U: Unpack>(
    square: &Square,
    index: usize,
    inputs: &Inputs,
    ahead: &Ahead,
    sums: &mut Sums,
    totals: &mut [[f32; ROWS]],
) {
    let ones = _mm256_set1_epi16(1);
    let know = |g: usize| {
        (
            [load(&square.scales[2 * g]), load(&square.scales[2 * g + 1])],
            [
                load(&square.offsets[2 * g]),
                load(&square.offsets[2 * g + 1]),
            ],
        )
    };
    type Known = ([__m256; 2], [__m256; 2]);
    // SAFETY: the contract: the inputs have the group for all tokens.
    let add = |sum, codes: &Codes, (scales, offsets): &Known, inputs: Inputs, t| unsafe {
        let mut sum = _mm256_castsi256_ps(sum);
        let steps = inputs.steps.add(4 * t);
        if U::GROUP == GROUP && !U::SIGNED {
            sum = _mm256_fmadd_ps(offsets[0], _mm256_broadcast_ss(&*steps.add(1)), sum);
        } else if !U::SIGNED {
            sum = _mm256_fmadd_ps(offsets[0], _mm256_broadcast_ss(&*steps.add(2)), sum);
            sum = _mm256_fmadd_ps(offsets[1], _mm256_broadcast_ss(&*steps.add(3)), sum);
        }
        let step = _mm256_broadcast_ss(&*steps);
        let x = octets(inputs.codes.add(GROUP * t));
        if U::GROUP == GROUP {
            let new = _mm256_cvtepi32_ps(dot::<U>(codes, &x, ones));
            sum = _mm256_fmadd_ps(new, _mm256_mul_ps(scales[0], step), sum);
        } else {
            for (half, &scale) in scales.iter().enumerate() {
                let new = _mm256_cvtepi32_ps(half_dot::<U>(codes, &x, half, ones));
                sum = _mm256_fmadd_ps(new, _mm256_mul_ps(scale, step), sum);
            }
        }
        _mm256_castps_si256(sum)
    };
    let span = &mut sums[..inputs.tokens];
    span.fill(_mm256_setzero_si256());
    // SAFETY: the contract.
    unsafe { each(square, inputs.span(index), ahead, span, know, add) };
    for (total, span) in totals.iter_mut().zip(span) {
        store_floats(
            total,
            _mm256_add_ps(load(total), _mm256_castsi256_ps(*span)),
        );
    }
}

/// Types whose scales are whole numbers of 8 bits in a unit of the span, for groups of 16, and whose codes are to
/// be [`CENTRE`] lower: exact in whole numbers up to the group's step.
///
/// The products of eight columns with codes that are not lowered yet may be too large for 16 bits together, and go
/// around. Lowering them then brings them back, since those of lowered codes are never too large.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
pub(super) unsafe fn centred<U: Unpack>(
    square: &Square,
    index: usize,
    inputs: &Inputs,
    ahead: &Ahead,
    sums: &mut Sums,
    totals: &mut [[f32; ROWS]],
) {
    const { assert!(U::LARGEST < 2 * CENTRE as i32 && 8 * 127 * CENTRE as i32 <= i16::MAX as i32) };
    let know = |g: usize| {
        [
            load_whole(&square.wholes[2 * g]),
            load_whole(&square.wholes[2 * g + 1]),
        ]
    };
    // SAFETY: as in `floats`.
    let add = |sum, codes: &Codes, factors: &[__m256i; 2], inputs: Inputs, t| unsafe {
        let x = inputs.codes.add(GROUP * t);
        let centres = inputs.wholes.add(WHOLES * t + 2).cast::<i32>();
        let half = |half: usize| {
            let (k, l) = (2 * half, 2 * half + 1);
            let (x_k, x_l) = (octet(x, k), octet(x, l));
            let of_rows = |codes: &[__m256i; OCTETS]| {
                _mm256_add_epi16(pairs::<U>(codes[k], x_k), pairs::<U>(codes[l], x_l))
            };
            let (even, odd) = split(codes.0.each_ref().map(of_rows));
            let centre = _mm256_set1_epi32(centres.add(half).read_unaligned());
            let products = _mm256_sub_epi16(_mm256_add_epi16(even, odd), centre);
            _mm256_madd_epi16(products, factors[half])
        };
        let new = _mm256_cvtepi32_ps(_mm256_add_epi32(half(0), half(1)));
        let step = _mm256_broadcast_ss(&*inputs.steps.add(4 * t));
        _mm256_castps_si256(_mm256_fmadd_ps(new, step, _mm256_castsi256_ps(sum)))
    };
    let span = &mut sums[..inputs.tokens];
    span.fill(_mm256_setzero_si256());
    // SAFETY: the contract.
    unsafe { each(square, inputs.span(index), ahead, span, know, add) };
    let unit = load(&square.unit);
    for (total, span) in totals.iter_mut().zip(span) {
        store_floats(
            total,
            _mm256_fmadd_ps(_mm256_castsi256_ps(*span), unit, load(total)),
        );
    }
}

/// By how much the 6-bit scales of a type are shifted for [`shares`]: as far as the sums of a span fit 32 bits.
pub(super) const fn shift(largest_code: i32) -> i32 {
    let largest_sum = SPAN as i64 * 127 * largest_code as i64;
    let mut shift = 0;
    while (63 << (shift + 1)) * largest_sum <= i32::MAX as i64 {
        shift += 1;
    }
    shift
}

/// Types of unsigned codes whose scales are whole numbers of 6 bits in a unit of the span, for groups of 32.
///
/// A group's scale times its activations' step, as a share of the span's largest step, is rounded to a whole
/// number: of 12 bits for Q4_K, 11 for Q5_K. So a span is one sum of whole numbers. The rounding is at most half
/// of 1 / 2016 of the span's largest scale and step, an order below that of the activations to 8 bits.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
pub(super) unsafe fn shares<U: Unpack>(
    square: &Square,
    index: usize,
    inputs: &Inputs,
    ahead: &Ahead,
    sums: &mut Sums,
    totals: &mut [[f32; ROWS]],
) {
    const { assert!(!U::SIGNED && U::GROUP == GROUP) };
    let know = |g: usize| load_whole(&square.wholes[2 * g]);
    // SAFETY: as in `floats`.
    let add = |sum, codes: &Codes, factors: &__m256i, inputs: Inputs, t| unsafe {
        let share = inputs.wholes.add(WHOLES * t).cast::<i32>().read_unaligned();
        let factors = _mm256_mulhrs_epi16(*factors, _mm256_set1_epi32(share));
        let x = octets(inputs.codes.add(GROUP * t));
        _mm256_add_epi32(sum, dot::<U>(codes, &x, factors))
    };
    let span = &mut sums[..inputs.tokens];
    span.fill(_mm256_setzero_si256());
    // SAFETY: the contract.
    unsafe {
        let inputs = inputs.span(index);
        each(square, inputs, ahead, span, know, add);
        add_shares(square, inputs, span, totals);
    }
}

/// Adds the sums of a span and its offsets to the totals; `inputs` begin with that span.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
unsafe fn add_shares(
    square: &Square,
    inputs: Inputs,
    sums: &[__m256i],
    totals: &mut [[f32; ROWS]],
) {
    let units = [load(&square.unit), load(&square.offset_unit)];
    let offsets = square.whole_offsets.each_ref().map(|pair| load_whole(pair));
    for (t, (total, &span)) in totals.iter_mut().zip(sums).enumerate() {
        // SAFETY: as in `floats`, and a peak and the sums of the groups for each span and token.
        unsafe {
            let sums = inputs.sums.add(GROUPS * t).cast::<i32>();
            let mut whole = _mm256_setzero_si256();
            for (pair, &offsets) in offsets.iter().enumerate() {
                let sums = _mm256_set1_epi32(sums.add(pair).read_unaligned());
                whole = _mm256_add_epi32(whole, _mm256_madd_epi16(offsets, sums));
            }
            let new = _mm256_mul_ps(_mm256_cvtepi32_ps(whole), units[1]);
            let new = _mm256_fmadd_ps(_mm256_cvtepi32_ps(span), units[0], new);
            let peak = _mm256_broadcast_ss(&*inputs.peaks.add(t));
            store_floats(total, _mm256_fmadd_ps(new, peak, load(total)));
        }
    }
}

#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn load(values: &[f32; ROWS]) -> __m256 {
    // SAFETY: 8 floats.
    unsafe { _mm256_loadu_ps(values.as_ptr()) }
}

#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn load_whole(values: &[i16; 2 * ROWS]) -> __m256i {
    // SAFETY: 32 bytes.
    unsafe { _mm256_loadu_si256(values.as_ptr().cast()) }
}

/// The 32 codes of a group at `x`, each eight of them four times.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
unsafe fn octets(x: *const i8) -> [__m256i; OCTETS] {
    let mut octets = [_mm256_setzero_si256(); OCTETS];
    for (k, octet_k) in octets.iter_mut().enumerate() {
        // SAFETY: the contract.
        *octet_k = unsafe { octet(x, k) };
    }
    octets
}

/// Octet `k` of them.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
unsafe fn octet(x: *const i8, k: usize) -> __m256i {
    // SAFETY: 32 codes at `x`.
    unsafe { _mm256_set1_epi64x(x.add(8 * k).cast::<i64>().read_unaligned()) }
}

/// How many sums of pairs of products fit into 16 bits together.
const fn fit(largest_code: i32) -> usize {
    i16::MAX as usize / (2 * 127 * largest_code as usize)
}

/// For eight rows, the sum of all products of a group, each row's times its factor.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn dot<U: Unpack>(codes: &Codes, x: &[__m256i; OCTETS], factors: __m256i) -> __m256i {
    let [first, second] = &codes.0;
    if const { fit(U::LARGEST) >= 2 * OCTETS } {
        let [mut a, mut b] = [pairs::<U>(first[0], x[0]), pairs::<U>(second[0], x[0])];
        for k in 1..OCTETS {
            a = _mm256_add_epi16(a, pairs::<U>(first[k], x[k]));
            b = _mm256_add_epi16(b, pairs::<U>(second[k], x[k]));
        }
        let (even, odd) = split([a, b]);
        return _mm256_madd_epi16(_mm256_add_epi16(even, odd), factors);
    }
    join32([
        products::<U>(first, x, half_rows(factors, 0)),
        products::<U>(second, x, half_rows(factors, 1)),
    ])
}

/// The same for the first or the last 16 columns.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn half_dot<U: Unpack>(
    codes: &Codes,
    x: &[__m256i; OCTETS],
    half: usize,
    factors: __m256i,
) -> __m256i {
    let columns = 2 * half..2 * half + 2;
    let [first, second] = &codes.0;
    join32([
        products::<U>(
            &first[columns.clone()],
            &x[columns.clone()],
            half_rows(factors, 0),
        ),
        products::<U>(&second[columns.clone()], &x[columns], half_rows(factors, 1)),
    ])
}

/// For four rows, the sums of their products times their factors, two for each row.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn products<U: Unpack>(codes: &[__m256i], x: &[__m256i], factors: __m256i) -> __m256i {
    let fit = const { fit(U::LARGEST) };
    let mut sum = _mm256_setzero_si256();
    let mut part = _mm256_setzero_si256();
    let last = codes.len() - 1;
    for (k, (&codes, &x)) in codes.iter().zip(x).enumerate() {
        let new = pairs::<U>(codes, x);
        part = if k % fit == 0 {
            new
        } else {
            _mm256_add_epi16(part, new)
        };
        if k % fit == fit - 1 || k == last {
            sum = _mm256_add_epi32(sum, _mm256_madd_epi16(part, factors));
        }
    }
    sum
}

/// Products of codes, added in pairs.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn pairs<U: Unpack>(codes: __m256i, x: __m256i) -> __m256i {
    if U::SIGNED {
        _mm256_maddubs_epi16(_mm256_abs_epi8(codes), _mm256_sign_epi8(x, codes))
    } else {
        _mm256_maddubs_epi16(codes, x)
    }
}

/// The factors of one half of the rows, twice each: the order that the halves of [`Square::codes`] have.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn half_rows(factors: __m256i, half: usize) -> __m256i {
    match half {
        0 => _mm256_unpacklo_epi32(factors, factors),
        _ => _mm256_unpackhi_epi32(factors, factors),
    }
}

/// The even and the odd 32 bits of both halves of the rows, in the order of the rows.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn split(halves: [__m256i; 2]) -> (__m256i, __m256i) {
    let [a, b] = [
        _mm256_castsi256_ps(halves[0]),
        _mm256_castsi256_ps(halves[1]),
    ];
    (
        _mm256_castps_si256(_mm256_shuffle_ps::<0x88>(a, b)),
        _mm256_castps_si256(_mm256_shuffle_ps::<0xdd>(a, b)),
    )
}

/// One sum for each row, of two.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn join32(halves: [__m256i; 2]) -> __m256i {
    let (even, odd) = split(halves);
    _mm256_add_epi32(even, odd)
}
