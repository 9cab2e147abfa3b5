//! Functions of one f32, written so that loops over them become vector code on every instruction set.
//!
//! No platform's libm and no fused multiply-add: the bits are the same everywhere.

/// Compiles one function body for each instruction set; the generated function takes the [`Isa`]
/// first. The bodies are plain code, so they are the scalar twins of themselves.
///
/// [`Isa`]: crate::Isa
macro_rules! per_isa {
    ($($(#[$meta:meta])* fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $body:block)*) => { $(
        $(#[$meta])*
        pub(crate) fn $name(isa: $crate::Isa, $($arg: $ty),*) {
            #[inline(always)]
            fn body($($arg: $ty),*) $body

            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2,fma,f16c")]
                fn avx2($($arg: $ty),*) {
                    body($($arg),*);
                }
                #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
                fn avx512($($arg: $ty),*) {
                    body($($arg),*);
                }
                if isa >= $crate::Isa::Avx512 {
                    // SAFETY: `Cpu::new` refuses an instruction set that the processor lacks.
                    return unsafe { avx512($($arg),*) };
                }
                if isa >= $crate::Isa::Avx2 {
                    // SAFETY: as above.
                    return unsafe { avx2($($arg),*) };
                }
            }
            let _ = isa;
            body($($arg),*);
        }
    )* };
}
pub(crate) use per_isa;

/// `1.5 * 2^23`: adding it rounds to an integer, which then stands in the low bits.
const ROUND: f32 = 12_582_912.0;

/// `e^x`, to about 1 ulp; exactly 1 at 0, exactly 0 below -87.3, infinite above 88.8, NaN for NaN.
///
/// Cody and Waite's reduction with the polynomial of Cephes' `expf`.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    let rounded = x * std::f32::consts::LOG2_E + ROUND;
    let n = rounded - ROUND;
    let r = x - n * 0.693_359_4 + n * 2.121_944_4e-4;
    let mut p = 1.987_569_1e-4;
    for c in [
        1.398_199_9e-3,
        8.333_452e-3,
        4.166_579_6e-2,
        1.666_666_5e-1,
        0.5,
    ] {
        p = p * r + c;
    }
    let y = p * (r * r) + r + 1.0;
    // Twice, so that the largest results and the smallest normal ones need no special case.
    let n = (rounded.to_bits() as i32).wrapping_sub(ROUND.to_bits() as i32);
    let half = n >> 1;
    let y = y * power_of_two(half) * power_of_two(n.wrapping_sub(half));
    let y = if x > 89.0 { f32::INFINITY } else { y };
    if x < -87.3 { 0.0 } else { y }
}

#[inline(always)]
fn power_of_two(n: i32) -> f32 {
    f32::from_bits((n.wrapping_add(127) << 23) as u32)
}

/// `1 / (1 + e^-x)`.
#[inline(always)]
pub(crate) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// Hyperbolic tangent: Cephes' polynomial near 0, where the formula by `exp` would cancel.
#[inline(always)]
pub(crate) fn tanh(x: f32) -> f32 {
    let z = x * x;
    let mut p = -5.704_988_7e-3;
    for c in [2.063_909e-2, -5.373_971_6e-2, 1.333_144_2e-1, -3.333_328e-1] {
        p = p * z + c;
    }
    let near = p * z * x + x;
    let far = 1.0 - 2.0 / (exp(2.0 * x) + 1.0);
    if x.abs() < 0.625 { near } else { far }
}

/// `ln(1 + e^x)`, as `max(x, 0) + ln(1 + u)` of `u = e^-|x|`, the logarithm by the series of its area tangent.
#[inline(always)]
pub(crate) fn softplus(x: f32) -> f32 {
    let u = exp(-x.abs());
    let s = u / (2.0 + u);
    let z = s * s;
    let mut p = 1.0 / 15.0;
    for c in [13.0_f32, 11.0, 9.0, 7.0, 5.0, 3.0, 1.0] {
        p = p * z + 1.0 / c;
    }
    let above = if x < 0.0 { 0.0 } else { x };
    above + 2.0 * s * p
}

/// GELU by its tanh approximation: `x/2 * (1 + tanh(sqrt(2/pi) * (x + 0.044715 x^3)))`, in the
/// form `x * sigmoid(2 * ...)`, which keeps the relative precision of small results.
#[inline(always)]
pub(crate) fn gelu_tanh(x: f32) -> f32 {
    const TWO_SQRT_2_OVER_PI: f32 = 1.595_769;
    x * sigmoid(TWO_SQRT_2_OVER_PI * (x + 0.044_715 * x * x * x))
}

/// GELU by the error function: `x/2 * erfc(-x / sqrt(2))`, with the Chebyshev fit of `erfc` in
/// Numerical Recipes 6.2 (relative error 1.2e-7).
#[inline(always)]
pub(crate) fn gelu_erf(x: f32) -> f32 {
    let z = x.abs() * std::f32::consts::FRAC_1_SQRT_2;
    let t = 1.0 / (1.0 + 0.5 * z);
    let mut p = 0.170_872_77;
    for c in [
        -0.822_152_2,
        1.488_515_9,
        -1.135_204,
        0.278_868_08,
        -0.186_288_06,
        0.096_784_18,
        0.374_091_96,
        1.000_023_7,
        -1.265_512_2,
    ] {
        p = p * t + c;
    }
    let tail = 0.5 * x.abs() * t * exp(p - z * z);
    // At infinity the tail is infinity times nothing.
    let tail = if z > 10.0 { 0.0 } else { tail };
    x.max(0.0) - tail
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sweep(lo: f64, hi: f64) -> impl Iterator<Item = f32> {
        (0..=100_000).map(move |i| (lo + (hi - lo) * f64::from(i) / 1e5) as f32)
    }

    #[test]
    fn exp_is_within_two_ulp() {
        for x in sweep(-87.2, 88.7) {
            let (got, want) = (f64::from(exp(x)), f64::from(x).exp());
            assert!(
                ((got - want) / want).abs() < 2.0 * f64::from(f32::EPSILON),
                "exp({x}): {got} {want}"
            );
        }
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(-88.0), 0.0);
        assert_eq!(exp(f32::MIN), 0.0);
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp(f32::INFINITY), f32::INFINITY);
        assert_eq!(exp(f32::MAX), f32::INFINITY);
        assert!(exp(f32::NAN).is_nan());
    }

    #[test]
    fn the_others_are_close_to_their_definitions() {
        type Case = (&'static str, fn(f32) -> f32, fn(f64) -> f64);
        let cases: [Case; 5] = [
            ("sigmoid", sigmoid, |x| 1.0 / (1.0 + (-x).exp())),
            ("tanh", tanh, f64::tanh),
            ("softplus", softplus, |x| x.exp().ln_1p()),
            ("gelu_tanh", gelu_tanh, |x| {
                let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3));
                0.5 * x * (1.0 + inner.tanh())
            }),
            ("gelu_erf", gelu_erf, |x| {
                0.5 * x * (1.0 + erf(x / 2f64.sqrt()))
            }),
        ];
        for (name, f, reference) in cases {
            for x in sweep(-20.0, 20.0) {
                let (got, want) = (f64::from(f(x)), reference(f64::from(x)));
                assert!(
                    (got - want).abs() <= 4e-7 * want.abs().max(1.0),
                    "{name}({x}): {got} {want}"
                );
            }
            assert!(f(f32::NAN).is_nan(), "{name}");
        }
        assert_eq!(sigmoid(f32::NEG_INFINITY), 0.0);
        assert_eq!(tanh(f32::INFINITY), 1.0);
        assert_eq!(softplus(f32::INFINITY), f32::INFINITY);
        assert_eq!(softplus(f32::NEG_INFINITY), 0.0);
        let small = softplus(-30.0);
        assert!((small / (-30.0_f32).exp() - 1.0).abs() < 1e-6, "{small}");
        assert_eq!(gelu_erf(1e30), 1e30);
        assert_eq!(gelu_erf(-1e30), 0.0);
    }

    /// By its Taylor series near 0, and by the continued fraction of `erfc` elsewhere.
    fn erf(x: f64) -> f64 {
        let z = x.abs();
        let value = if z < 3.0 {
            let (mut term, mut sum) = (z, z);
            for n in 1..200 {
                term *= -z * z / f64::from(n);
                sum += term / f64::from(2 * n + 1);
            }
            sum * 2.0 / std::f64::consts::PI.sqrt()
        } else {
            let fraction = (1..=60)
                .rev()
                .fold(z, |tail, n| z + f64::from(n) / 2.0 / tail);
            1.0 - (-z * z).exp() / std::f64::consts::PI.sqrt() / fraction
        };
        value.copysign(x)
    }
}
