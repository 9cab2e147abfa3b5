//! Normalisation of one group of values.

use crate::backend::{Norm, NormKind};

/// Statistics in f64, so that neither order nor width shows.
pub(crate) fn normalize(norm: &Norm<Vec<f32>>, x: &mut [f32]) {
    let n = x.len() as f64;
    let mean = match norm.kind {
        NormKind::Rms => 0.0,
        NormKind::Layer => x.iter().map(|v| f64::from(*v)).sum::<f64>() / n,
    };
    let square: f64 = x.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum();
    let factor = 1.0 / (square / n + f64::from(norm.eps)).sqrt();
    let (mean, factor) = (mean as f32, factor as f32);
    x.iter_mut().for_each(|v| *v = (*v - mean) * factor);
    if let Some(weight) = &norm.weight {
        x.iter_mut().zip(weight).for_each(|(v, w)| *v *= w);
    }
    if let Some(bias) = &norm.bias {
        x.iter_mut().zip(bias).for_each(|(v, b)| *v += b);
    }
}
