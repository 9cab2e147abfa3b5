//! Float products: f32 activations with f32, f16 or bf16 weights, or with rows dequantised to f32.
//!
//! The order of additions is part of the contract: product `k` goes to lane `k % 16` by a fused
//! multiply-add, and the 16 lanes are added as halves, quarters, pairs. So a result depends neither on
//! the thread count, nor on the tokens beside it, and AVX2 equals AVX-512 bit for bit. (The scalar version
//! rounds the product as well: processors without FMA would call a library for each.)

use half::{bf16, f16};

use crate::Isa;

/// Lanes of the sum.
pub(crate) const LANES: usize = 16;
/// Rows and tokens that are multiplied at once.
const TILE: usize = 4;

/// `out[t * rows + r] = x[t] · w[r]`.
pub(crate) struct Tile<'a> {
    /// `[rows, columns]` of the weight type.
    pub(crate) weights: &'a [u8],
    pub(crate) rows: usize,
    /// A multiple of [`LANES`].
    pub(crate) columns: usize,
    /// `[tokens, columns]`.
    pub(crate) inputs: &'a [f32],
    pub(crate) tokens: usize,
}

/// The type of the weights in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Float {
    F32,
    F16,
    Bf16,
}

impl Float {
    /// Bytes of a value.
    pub(crate) fn bytes(self) -> usize {
        if self == Float::F32 { 4 } else { 2 }
    }
}

/// The product of all rows with all tokens.
pub(crate) fn multiply(isa: Isa, float: Float, tile: &Tile<'_>, out: &mut [f32]) {
    assert!(tile.columns.is_multiple_of(LANES));
    assert!(tile.weights.len() >= tile.rows * tile.columns * float.bytes());
    assert!(tile.inputs.len() >= tile.tokens * tile.columns);
    assert!(out.len() >= tile.tokens * tile.rows);
    macro_rules! call {
        ($entry:ident) => {
            match float {
                Float::F32 => $entry::<0>(tile, out),
                Float::F16 => $entry::<1>(tile, out),
                Float::Bf16 => $entry::<2>(tile, out),
            }
        };
    }
    match isa {
        Isa::Scalar => call!(scalar),
        // SAFETY: callers pass an instruction set that the processor has; lengths were just checked.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => unsafe { call!(avx2) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => unsafe { call!(avx512) },
        #[cfg(not(target_arch = "x86_64"))]
        _ => call!(scalar),
    }
}

/// Sixteen f32 of one instruction set.
trait Sixteen: Copy {
    fn zero() -> Self;
    /// # Safety
    /// The instruction set is there and `at` has 16 values of type `F` (0: f32, 1: f16, 2: bf16).
    unsafe fn load<const F: usize>(at: *const u8) -> Self;
    /// `self + a * b`.
    ///
    /// # Safety
    /// The instruction set is there.
    unsafe fn add_product(self, a: Self, b: Self) -> Self;
    /// The lanes, in order.
    ///
    /// # Safety
    /// The instruction set is there.
    unsafe fn lanes(self) -> [f32; LANES];
}

/// Adds the lanes in the one fixed order.
#[inline(always)]
fn sum(mut lanes: [f32; LANES]) -> f32 {
    for width in [8, 4, 2, 1] {
        for i in 0..width {
            lanes[i] += lanes[i + width];
        }
    }
    lanes[0]
}

/// # Safety
/// The instruction set of `V` is there, and the lengths are those that [`multiply`] checks.
#[inline(always)]
unsafe fn walk<V: Sixteen, const F: usize>(tile: &Tile<'_>, out: &mut [f32]) {
    for t in (0..tile.tokens).step_by(TILE) {
        for r in (0..tile.rows).step_by(TILE) {
            // SAFETY: passed on; the block is inside both arrays.
            unsafe {
                match (tile.rows - r, tile.tokens - t) {
                    (4.., 4..) => block::<V, F, 4, 4>(tile, r, t, out),
                    (4.., 1) => block::<V, F, 4, 1>(tile, r, t, out),
                    (rows, tokens) => {
                        for r in r..r + rows.min(TILE) {
                            for t in t..t + tokens.min(TILE) {
                                block::<V, F, 1, 1>(tile, r, t, out);
                            }
                        }
                    }
                }
            }
        }
    }
}

/// `R` rows from `row` by `T` tokens from `token`.
///
/// # Safety
/// That of [`walk`]; the block is inside the tile.
#[inline(always)]
unsafe fn block<V: Sixteen, const F: usize, const R: usize, const T: usize>(
    tile: &Tile<'_>,
    row: usize,
    token: usize,
    out: &mut [f32],
) {
    let size = if F == 0 { 4 } else { 2 };
    let mut sums = [[V::zero(); T]; R];
    // SAFETY: passed on; `k + 16 <= columns`.
    unsafe {
        let weights = tile.weights.as_ptr().add(row * tile.columns * size);
        let inputs = tile.inputs.as_ptr().add(token * tile.columns);
        for k in (0..tile.columns).step_by(LANES) {
            let mut x = [V::zero(); T];
            for (t, x) in x.iter_mut().enumerate() {
                *x = V::load::<0>(inputs.add(t * tile.columns + k).cast());
            }
            for (r, sums) in sums.iter_mut().enumerate() {
                let w = V::load::<F>(weights.add((r * tile.columns + k) * size));
                for (sum, x) in sums.iter_mut().zip(x) {
                    *sum = sum.add_product(w, x);
                }
            }
        }
        for (r, sums) in sums.into_iter().enumerate() {
            for (t, lanes) in sums.into_iter().enumerate() {
                out[(token + t) * tile.rows + row + r] = sum(lanes.lanes());
            }
        }
    }
}

impl Sixteen for [f32; LANES] {
    #[inline(always)]
    fn zero() -> Self {
        [0.0; LANES]
    }

    #[inline(always)]
    unsafe fn load<const F: usize>(at: *const u8) -> Self {
        // SAFETY: the contract of the trait: 16 values, of any alignment.
        unsafe {
            match F {
                0 => at.cast::<[f32; LANES]>().read_unaligned(),
                1 => at
                    .cast::<[u16; LANES]>()
                    .read_unaligned()
                    .map(|v| f16::from_bits(v).to_f32()),
                _ => at
                    .cast::<[u16; LANES]>()
                    .read_unaligned()
                    .map(|v| bf16::from_bits(v).to_f32()),
            }
        }
    }

    #[inline(always)]
    unsafe fn add_product(mut self, a: Self, b: Self) -> Self {
        for (sum, (a, b)) in self.iter_mut().zip(a.iter().zip(b)) {
            *sum += a * b;
        }
        self
    }

    #[inline(always)]
    unsafe fn lanes(self) -> [f32; LANES] {
        self
    }
}

fn scalar<const F: usize>(tile: &Tile<'_>, out: &mut [f32]) {
    // SAFETY: `multiply` checked the lengths; plain Rust runs everywhere.
    unsafe { walk::<[f32; LANES], F>(tile, out) }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::{LANES, Sixteen, Tile, walk};

    /// Bytes that are asked for ahead of those being multiplied.
    const AHEAD: usize = 2048;

    impl Sixteen for [__m256; 2] {
        #[inline(always)]
        fn zero() -> Self {
            // SAFETY: all-zero bits are a valid vector of floats.
            unsafe { std::mem::zeroed() }
        }

        #[inline(always)]
        unsafe fn load<const F: usize>(at: *const u8) -> Self {
            // SAFETY: the contract of the trait.
            unsafe {
                let half = |i: usize| match F {
                    0 => _mm256_loadu_ps(at.cast::<f32>().add(8 * i)),
                    1 => _mm256_cvtph_ps(_mm_loadu_si128(at.cast::<__m128i>().add(i))),
                    _ => {
                        let bits = _mm_loadu_si128(at.cast::<__m128i>().add(i));
                        let bits = _mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(bits));
                        _mm256_castsi256_ps(bits)
                    }
                };
                [half(0), half(1)]
            }
        }

        #[inline(always)]
        unsafe fn add_product(self, a: Self, b: Self) -> Self {
            // SAFETY: the contract of the trait.
            unsafe {
                [
                    _mm256_fmadd_ps(a[0], b[0], self[0]),
                    _mm256_fmadd_ps(a[1], b[1], self[1]),
                ]
            }
        }

        #[inline(always)]
        unsafe fn lanes(self) -> [f32; LANES] {
            // SAFETY: 64 bytes of floats either way.
            unsafe { std::mem::transmute(self) }
        }
    }

    impl Sixteen for __m512 {
        #[inline(always)]
        fn zero() -> Self {
            // SAFETY: all-zero bits are a valid vector of floats.
            unsafe { std::mem::zeroed() }
        }

        #[inline(always)]
        unsafe fn load<const F: usize>(at: *const u8) -> Self {
            // SAFETY: the contract of the trait; prefetching an address past the end is no access.
            unsafe {
                if F != 0 {
                    _mm_prefetch::<_MM_HINT_T0>(at.wrapping_add(AHEAD).cast());
                }
                match F {
                    0 => _mm512_loadu_ps(at.cast()),
                    1 => _mm512_cvtph_ps(_mm256_loadu_si256(at.cast())),
                    _ => {
                        let bits = _mm512_cvtepu16_epi32(_mm256_loadu_si256(at.cast()));
                        _mm512_castsi512_ps(_mm512_slli_epi32::<16>(bits))
                    }
                }
            }
        }

        #[inline(always)]
        unsafe fn add_product(self, a: Self, b: Self) -> Self {
            // SAFETY: the contract of the trait.
            unsafe { _mm512_fmadd_ps(a, b, self) }
        }

        #[inline(always)]
        unsafe fn lanes(self) -> [f32; LANES] {
            // SAFETY: 64 bytes of floats either way.
            unsafe { std::mem::transmute(self) }
        }
    }

    /// # Safety
    /// AVX2, FMA and F16C are there, and the lengths are checked.
    #[target_feature(enable = "avx2,fma,f16c")]
    pub(super) unsafe fn avx2<const F: usize>(tile: &Tile<'_>, out: &mut [f32]) {
        // SAFETY: passed on.
        unsafe { walk::<[__m256; 2], F>(tile, out) }
    }

    /// # Safety
    /// AVX-512 is there, and the lengths are checked.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,f16c,fma,avx2")]
    pub(super) unsafe fn avx512<const F: usize>(tile: &Tile<'_>, out: &mut [f32]) {
        // SAFETY: passed on.
        unsafe { walk::<__m512, F>(tile, out) }
    }
}
#[cfg(target_arch = "x86_64")]
use x86::{avx2, avx512};
