//! Random numbers by counter: each is a function of the seed, the position of the token and the purpose, so that the
//! same seed gives the same text whatever the threads, the batch and the order of requests.

/// What a number is drawn for; draws for different purposes are independent.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Purpose {
    Token,
    Xtc,
}

/// Uniform in `0..1`.
pub(crate) fn uniform(seed: u64, position: u64, purpose: Purpose) -> f64 {
    let mixed = mix(mix(mix(seed) ^ position) ^ purpose as u64);
    (mixed >> 11) as f64 / (1u64 << 53) as f64
}

/// The output function of SplitMix64 (Steele, Lea and Flood 2014), a bijection that passes as random on counters.
fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_are_spread_and_repeat() {
        let draws: Vec<f64> = (0..10_000).map(|i| uniform(7, i, Purpose::Token)).collect();
        let mean = draws.iter().sum::<f64>() / 10_000.0;
        let tenth = draws.iter().filter(|d| **d < 0.1).count();
        assert!(
            (mean - 0.5).abs() < 0.01 && (900..1100).contains(&tenth),
            "{mean} {tenth}"
        );
        assert_eq!(draws[5], uniform(7, 5, Purpose::Token));
        assert_ne!(draws[5], uniform(7, 5, Purpose::Xtc));
        assert_ne!(draws[5], uniform(8, 5, Purpose::Token));
    }
}
