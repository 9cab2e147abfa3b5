//! Nonlinearities.

use crate::backend::Activation;

/// `gate = activation(gate) * up`; `up` may be longer.
pub(crate) fn activate(activation: Activation, gate: &mut [f32], up: Option<&[f32]>) {
    match activation {
        Activation::Silu => gate.iter_mut().for_each(|x| *x /= 1.0 + (-*x).exp()),
        Activation::GeluTanh => gate.iter_mut().for_each(|x| {
            let inner = 0.797_884_6 * (*x + 0.044_715 * *x * *x * *x);
            *x *= 0.5 * (1.0 + inner.tanh());
        }),
        Activation::GeluErf => gate.iter_mut().for_each(|x| *x = gelu_erf(*x)),
        Activation::Relu => gate.iter_mut().for_each(|x| *x = x.max(0.0)),
        Activation::ReluSquared => gate.iter_mut().for_each(|x| *x = x.max(0.0).powi(2)),
    }
    if let Some(up) = up {
        gate.iter_mut().zip(up).for_each(|(x, u)| *x *= u);
    }
}

fn gelu_erf(x: f32) -> f32 {
    let x = f64::from(x);
    (0.5 * x * (1.0 + erf(x / std::f64::consts::SQRT_2))) as f32
}

/// The error function by its Taylor series, or the continued fraction of its complement; both to f64's rounding
/// over the whole range, which the tests check against known values.
fn erf(x: f64) -> f64 {
    let a = x.abs();
    if a > 6.0 {
        return x.signum();
    }
    if a < 2.5 {
        let (mut term, mut sum, mut n) = (a, a, 0.0);
        while term.abs() > 1e-17 * sum.abs() {
            n += 1.0;
            term *= -a * a / n;
            sum += term / (2.0 * n + 1.0);
        }
        return (sum * std::f64::consts::FRAC_2_SQRT_PI).copysign(x);
    }
    let fraction = (1..=60).rev().fold(0.0, |f, k| f64::from(k) / 2.0 / (a + f));
    let complement = (-a * a).exp() / ((a + fraction) * std::f64::consts::PI.sqrt());
    (1.0 - complement).copysign(x)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values() {
        // erf from Abramowitz and Stegun, table 7.1.
        for (x, want) in [(0.0, 0.0), (0.5, 0.520_499_877_8), (1.0, 0.842_700_792_9), (2.0, 0.995_322_265_0), (2.6, 0.999_763_965_6), (-1.0, -0.842_700_792_9)] {
            assert!((erf(x) - want).abs() < 1e-9, "erf({x}) is {}", erf(x));
        }
        let cases = [
            (Activation::Silu, 1.0, 0.731_058_6),
            (Activation::Silu, -100.0, 0.0),
            (Activation::GeluTanh, 1.0, 0.841_192),
            (Activation::GeluErf, 1.0, 0.841_344_8),
            (Activation::GeluErf, 0.0, 0.0),
            (Activation::Relu, -2.0, 0.0),
            (Activation::ReluSquared, 3.0, 9.0),
        ];
        for (activation, x, want) in cases {
            let mut values = [x];
            activate(activation, &mut values, None);
            assert!((values[0] - want).abs() < 2e-6, "{activation:?}({x}) is {}", values[0]);
            let mut gated = [x];
            activate(activation, &mut gated, Some(&[2.0]));
            assert_eq!(gated[0], 2.0 * values[0]);
        }
    }
}
