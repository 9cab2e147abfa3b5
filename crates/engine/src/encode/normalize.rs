//! Lengths of vectors.

/// What of a vector becomes 1, or nothing. The numbers are those of llama-server's `embd_normalize`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Normalization {
    /// -1: nothing.
    None,
    /// 0: the largest absolute value becomes 32760, so that values fit into 16 bits.
    Largest,
    /// 1, 2 and above: the sum of absolute values to this power, of which the root is taken; 2 is the Euclidean length.
    Power(u32),
}

/// The largest value after [`Normalization::Largest`].
const LARGEST: f64 = 32_760.0;

impl Normalization {
    /// By its number; none below -1.
    pub fn from_number(number: i64) -> Option<Self> {
        match number {
            -1 => Some(Self::None),
            0 => Some(Self::Largest),
            power => u32::try_from(power).ok().map(Self::Power),
        }
    }
}

/// Scales a vector; one of zeros stays as it is.
pub fn normalize(vector: &mut [f32], kind: Normalization) {
    let magnitudes = vector.iter().map(|v| f64::from(v.abs()));
    let largest = magnitudes.clone().fold(0.0, f64::max);
    let size = match kind {
        Normalization::None => return,
        Normalization::Largest => largest / LARGEST,
        // Relative to the largest, so that no power overflows.
        Normalization::Power(power) => {
            let power = f64::from(power.max(1));
            let sum: f64 = magnitudes.map(|v| (v / largest).powf(power)).sum();
            largest * sum.powf(1.0 / power)
        }
    };
    if size > 0.0 && size.is_finite() {
        vector
            .iter_mut()
            .for_each(|v| *v = (f64::from(*v) / size) as f32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_makes_its_own_size_one() {
        let cases: [(i64, &[f32], &[f32]); 8] = [
            (-1, &[3.0, -4.0], &[3.0, -4.0]),
            (0, &[3.0, -4.0], &[24_570.0, -32_760.0]),
            (1, &[3.0, -5.0], &[0.375, -0.625]),
            (2, &[3.0, -4.0], &[0.6, -0.8]),
            (3, &[3.0, -3.0], &[0.793_700_5, -0.793_700_5]),
            (2, &[0.0, 0.0], &[0.0, 0.0]),
            (2, &[3e38, -3e38], &[0.707_106_77, -0.707_106_77]),
            (4_000_000_000, &[1e-30, 0.0], &[1.0, 0.0]),
        ];
        for (number, vector, want) in cases {
            let mut got = vector.to_vec();
            normalize(&mut got, Normalization::from_number(number).unwrap());
            let near = |(a, b): (&f32, &f32)| (a - b).abs() <= 1e-6 * b.abs().max(1.0);
            assert!(got.iter().zip(want).all(near), "{number}: {got:?}");
        }
        assert_eq!(Normalization::from_number(-2), None);
        assert_eq!(Normalization::from_number(1 << 40), None);
        normalize(&mut [], Normalization::Power(2));
    }
}
