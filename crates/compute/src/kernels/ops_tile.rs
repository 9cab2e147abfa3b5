//! Small dense products, `c += a * b`, where `b` is f32 or f16: both products of attention.
//!
//! Every value of `c` is summed over the depth in ascending order, whatever the tile's height: a
//! row's result does not depend on the rows beside it. Vector versions fuse multiply and add, the
//! scalar one does not.

use bytemuck::Pod;
use half::f16;
use half::slice::HalfFloatSliceExt;

use crate::Isa;

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

/// Columns come in multiples of this.
pub(crate) const COLUMNS: usize = 16;

/// What a cache stores.
pub(crate) trait Element: Pod + Default + Send + Sync + 'static {
    /// The value as f32.
    fn widen(self) -> f32;
    /// Stores `values` in `out`, rounded to nearest even.
    fn narrow(values: &[f32], out: &mut [Self]);

    /// Eight values from `at` on.
    ///
    /// # Safety
    /// They are readable, and the processor has AVX2 and F16C.
    #[cfg(target_arch = "x86_64")]
    unsafe fn load8(at: *const Self) -> __m256;
    /// Sixteen values from `at` on.
    ///
    /// # Safety
    /// They are readable, and the processor has AVX-512F.
    #[cfg(target_arch = "x86_64")]
    unsafe fn load16(at: *const Self) -> __m512;
}

impl Element for f32 {
    #[inline(always)]
    fn widen(self) -> f32 {
        self
    }

    fn narrow(values: &[f32], out: &mut [f32]) {
        out.copy_from_slice(values);
    }

    #[cfg(target_arch = "x86_64")]
    #[inline]
    #[target_feature(enable = "avx2,f16c")]
    unsafe fn load8(at: *const f32) -> __m256 {
        // SAFETY: the caller's promise.
        unsafe { _mm256_loadu_ps(at) }
    }

    #[cfg(target_arch = "x86_64")]
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn load16(at: *const f32) -> __m512 {
        // SAFETY: the caller's promise.
        unsafe { _mm512_loadu_ps(at) }
    }
}

impl Element for f16 {
    #[inline(always)]
    fn widen(self) -> f32 {
        self.to_f32()
    }

    fn narrow(values: &[f32], out: &mut [f16]) {
        out.convert_from_f32_slice(values);
    }

    #[cfg(target_arch = "x86_64")]
    #[inline]
    #[target_feature(enable = "avx2,f16c")]
    unsafe fn load8(at: *const f16) -> __m256 {
        // SAFETY: the caller's promise.
        _mm256_cvtph_ps(unsafe { _mm_loadu_si128(at.cast()) })
    }

    #[cfg(target_arch = "x86_64")]
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn load16(at: *const f16) -> __m512 {
        // SAFETY: the caller's promise.
        _mm512_cvtph_ps(unsafe { _mm256_loadu_si256(at.cast()) })
    }
}

/// The sizes of a product; a pitch is the distance from one row to the next.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tile {
    /// Rows of `a` and `c`.
    pub(crate) rows: usize,
    /// Columns of `a`, rows of `b`.
    pub(crate) depth: usize,
    /// Columns of `b` and `c`, a multiple of [`COLUMNS`].
    pub(crate) columns: usize,
    /// Of `a`.
    pub(crate) a_pitch: usize,
    /// Of `b`.
    pub(crate) b_pitch: usize,
    /// Of `c`.
    pub(crate) c_pitch: usize,
}

impl Tile {
    /// `c += a * b`. Meanwhile `next`, the memory that the caller will read after `b`, is fetched, since
    /// the processor's own prefetch starts anew in every 4 KiB: one-token attention at depth 4,096 takes
    /// a tenth to a quarter less time (Xeon with AVX-512, busy; medians of ten alternating rounds).
    ///
    /// # Panics
    /// When an array is shorter than the tile, or the columns are no multiple of [`COLUMNS`].
    pub(crate) fn multiply<T: Element>(
        &self,
        isa: Isa,
        a: &[f32],
        b: &[T],
        c: &mut [f32],
        next: &[T],
    ) {
        if self.rows == 0 || self.depth == 0 || self.columns == 0 {
            return;
        }
        let end = |rows: usize, pitch: usize, columns: usize| (rows - 1) * pitch + columns;
        assert!(self.columns.is_multiple_of(COLUMNS), "{self:?}");
        assert!(
            a.len() >= end(self.rows, self.a_pitch, self.depth),
            "{self:?}, a has {}",
            a.len()
        );
        assert!(
            b.len() >= end(self.depth, self.b_pitch, self.columns),
            "{self:?}, b has {}",
            b.len()
        );
        assert!(
            c.len() >= end(self.rows, self.c_pitch, self.columns),
            "{self:?}, c has {}",
            c.len()
        );
        #[cfg(target_arch = "x86_64")]
        if isa >= Isa::Avx512 {
            // SAFETY: `Cpu::new` checked the instruction set; the sizes are checked above.
            return unsafe { avx512::tile(self, a.as_ptr(), b.as_ptr(), c.as_mut_ptr(), next) };
        } else if isa >= Isa::Avx2 {
            // SAFETY: as above.
            return unsafe { avx2::tile(self, a.as_ptr(), b.as_ptr(), c.as_mut_ptr(), next) };
        }
        let _ = (isa, next);
        self.multiply_scalar(a, b, c);
    }

    fn multiply_scalar<T: Element>(&self, a: &[f32], b: &[T], c: &mut [f32]) {
        for row in 0..self.rows {
            let a = &a[row * self.a_pitch..][..self.depth];
            let c = &mut c[row * self.c_pitch..][..self.columns];
            for (block, c) in c.chunks_exact_mut(COLUMNS).enumerate() {
                for (k, &a) in a.iter().enumerate() {
                    let b = &b[k * self.b_pitch + block * COLUMNS..][..COLUMNS];
                    for (c, b) in c.iter_mut().zip(b) {
                        *c += a * b.widen();
                    }
                }
            }
        }
    }
}

/// Bytes that a processor fetches at once.
#[cfg(target_arch = "x86_64")]
const LINE: usize = 64;

/// Memory to be fetched during a product, some lines per step.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
struct Ahead {
    at: *const i8,
    lines: usize,
}

#[cfg(target_arch = "x86_64")]
impl Ahead {
    #[inline(always)]
    fn fetch(self, step: usize) {
        for line in 0..self.lines {
            let at = self.at.wrapping_add((step * self.lines + line) * LINE);
            // SAFETY: a hint, which no address makes fault.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(at) };
        }
    }
}

/// The product with `$lanes` values in a register: blocks of up to six rows by `$wide` registers
/// are summed in registers.
#[cfg(target_arch = "x86_64")]
macro_rules! vector_tile {
    ($isa:ident, $features:literal, $lanes:literal, $wide:literal, $vector:ty, $load_element:ident,
     $zero:ident, $load:ident, $store:ident, $splat:ident, $fused:ident) => {
        mod $isa {
            use super::*;

            /// # Safety
            /// The processor has the features, and the arrays hold the tile.
            #[target_feature(enable = $features)]
            pub(super) unsafe fn tile<T: Element>(
                t: &Tile,
                a: *const f32,
                b: *const T,
                c: *mut f32,
                next: &[T],
            ) {
                let lines = size_of_val(next).div_ceil(LINE * t.depth);
                let mut ahead = Ahead {
                    at: next.as_ptr().cast(),
                    lines,
                };
                let mut row = 0;
                while row < t.rows {
                    let height = (t.rows - row).min(6);
                    // SAFETY: `row + height <= rows`, so these rows are inside `a` and `c`.
                    unsafe {
                        let (a, c) = (a.add(row * t.a_pitch), c.add(row * t.c_pitch));
                        match height {
                            1 => band::<T, 1>(t, a, b, c, ahead),
                            2 => band::<T, 2>(t, a, b, c, ahead),
                            3 => band::<T, 3>(t, a, b, c, ahead),
                            4 => band::<T, 4>(t, a, b, c, ahead),
                            5 => band::<T, 5>(t, a, b, c, ahead),
                            _ => band::<T, 6>(t, a, b, c, ahead),
                        }
                    }
                    row += height;
                    ahead.lines = 0;
                }
            }

            /// # Safety
            /// As [`tile`], with `R` rows.
            #[target_feature(enable = $features)]
            unsafe fn band<T: Element, const R: usize>(
                t: &Tile,
                a: *const f32,
                b: *const T,
                c: *mut f32,
                mut ahead: Ahead,
            ) {
                let mut column = 0;
                // SAFETY: `column` stays inside the columns, which are a multiple of the lanes.
                unsafe {
                    while column + $wide * $lanes <= t.columns {
                        block::<T, R, $wide>(t, a, b.add(column), c.add(column), ahead);
                        ahead.lines = 0;
                        column += $wide * $lanes;
                    }
                    while column < t.columns {
                        block::<T, R, 1>(t, a, b.add(column), c.add(column), ahead);
                        ahead.lines = 0;
                        column += $lanes;
                    }
                }
            }

            /// # Safety
            /// As [`tile`], with `R` rows and `N` registers of columns.
            #[inline]
            #[target_feature(enable = $features)]
            unsafe fn block<T: Element, const R: usize, const N: usize>(
                t: &Tile,
                a: *const f32,
                b: *const T,
                c: *mut f32,
                ahead: Ahead,
            ) {
                let mut sums: [[$vector; N]; R] = [[$zero(); N]; R];
                // SAFETY: rows below `R`, columns below `N * lanes` and depths below `depth` are
                // inside the arrays by the caller's promise.
                unsafe {
                    for r in 0..R {
                        for n in 0..N {
                            sums[r][n] = $load(c.add(r * t.c_pitch + n * $lanes));
                        }
                    }
                    for k in 0..t.depth {
                        ahead.fetch(k);
                        let mut weights: [$vector; N] = [$zero(); N];
                        for n in 0..N {
                            weights[n] = T::$load_element(b.add(k * t.b_pitch + n * $lanes));
                        }
                        for r in 0..R {
                            let factor = $splat(*a.add(r * t.a_pitch + k));
                            for n in 0..N {
                                sums[r][n] = $fused(factor, weights[n], sums[r][n]);
                            }
                        }
                    }
                    for r in 0..R {
                        for n in 0..N {
                            $store(c.add(r * t.c_pitch + n * $lanes), sums[r][n]);
                        }
                    }
                }
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
vector_tile!(
    avx2,
    "avx2,fma,f16c",
    8,
    2,
    __m256,
    load8,
    _mm256_setzero_ps,
    _mm256_loadu_ps,
    _mm256_storeu_ps,
    _mm256_set1_ps,
    _mm256_fmadd_ps
);
#[cfg(target_arch = "x86_64")]
vector_tile!(
    avx512,
    "avx512f",
    16,
    4,
    __m512,
    load16,
    _mm512_setzero_ps,
    _mm512_loadu_ps,
    _mm512_storeu_ps,
    _mm512_set1_ps,
    _mm512_fmadd_ps
);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check<T: Element>(t: Tile, a: &[f32], b: &[f32], c: &[f32]) {
        let mut narrow = vec![T::default(); b.len()];
        T::narrow(b, &mut narrow);
        for isa in Isa::available() {
            let mut got = c.to_vec();
            t.multiply(isa, a, &narrow, &mut got, &narrow);
            for row in 0..t.rows {
                for column in 0..t.c_pitch.min(c.len() - row * t.c_pitch) {
                    let at = row * t.c_pitch + column;
                    let term = |k: usize| {
                        f64::from(a[row * t.a_pitch + k])
                            * f64::from(narrow[k * t.b_pitch + column].widen())
                    };
                    let inside = if column < t.columns {
                        (0..t.depth).map(term).sum()
                    } else {
                        0.0
                    };
                    let want = f64::from(c[at]) + inside;
                    assert!(
                        (f64::from(got[at]) - want).abs() < 1e-4,
                        "{isa} {t:?} {row},{column}: {} {want}",
                        got[at]
                    );
                }
            }
            // A row on its own gives the same bits.
            let one = Tile { rows: 1, ..t };
            for row in 0..t.rows {
                let (a, c) = (&a[row * t.a_pitch..], &c[row * t.c_pitch..]);
                let mut alone = c[..t.columns].to_vec();
                one.multiply(isa, a, &narrow, &mut alone, &[]);
                assert_eq!(
                    alone,
                    got[row * t.c_pitch..][..t.columns],
                    "{isa} {t:?} row {row}"
                );
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn all_versions_agree(
            rows in 1usize..15, depth in 1usize..70, blocks in 1usize..7, pads in [0usize..3, 0..3, 0..3], seed in any::<u32>(),
        ) {
            let columns = blocks * COLUMNS;
            let t = Tile { rows, depth, columns, a_pitch: depth + pads[0], b_pitch: columns + pads[1], c_pitch: columns + pads[2] };
            let mut state = seed | 1;
            let mut fill = |n: usize| -> Vec<f32> {
                (0..n).map(|_| { state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223); (state >> 8) as f32 / 8_388_608.0 - 1.0 }).collect()
            };
            let (a, b, c) = (fill(rows * t.a_pitch), fill(depth * t.b_pitch), fill(rows * t.c_pitch));
            check::<f32>(t, &a, &b, &c);
            check::<f16>(t, &a, &b, &c);
        }
    }
}
