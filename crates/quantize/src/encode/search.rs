//! Searches for the scale, or the scale and minimum, under which rounding loses least (format notes 2.11).
//!
//! Sums are kept in eight lanes, so that they become vector instructions without depending on which processor runs
//! them.

const LANES: usize = 8;

/// The nearest integer, halves to even, of a value below 2^22 in size. Adding and taking off 1.5 * 2^23 is what every
/// instruction set can do for several values at once.
pub(super) fn nearest(x: f32) -> f32 {
    const MAGIC: f32 = 12_582_912.0;
    (x + MAGIC) - MAGIC
}

/// A value kept from `low` to `high`; what `clamp` does, in one instruction for each bound.
pub(super) fn limit(x: f32, low: f32, high: f32) -> f32 {
    let x = if x > low { x } else { low };
    if x < high { x } else { high }
}

/// Sums `N` terms, given by index; `N` is a multiple of 8.
#[inline(always)]
pub(super) fn sum<const N: usize>(term: impl Fn(usize) -> f32) -> f32 {
    let terms: [f32; N] = std::array::from_fn(term);
    let mut lanes = [0.0f32; LANES];
    for eight in terms.as_chunks::<LANES>().0 {
        for (lane, term) in lanes.iter_mut().zip(eight) {
            *lane += term;
        }
    }
    let [a, b, c, d, e, f, g, h] = lanes;
    ((a + b) + (c + d)) + ((e + f) + (g + h))
}

/// The value of largest magnitude, with its sign; the first of several.
pub(super) fn extreme(x: &[f32]) -> f32 {
    x.iter().fold(
        0.0,
        |best: f32, &v| if v.abs() > best.abs() { v } else { best },
    )
}

/// The smallest and the largest value.
pub(super) fn bounds(x: &[f32]) -> (f32, f32) {
    x.iter()
        .fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), &v| {
            (low.min(v), high.max(v))
        })
}

/// Magnitudes below this are nothing: a block of them has scale 0.
pub(super) const TINY: f32 = 1e-15;

/// The scale for codes `-levels..levels`, with squares as weights: of nineteen first guesses, the one whose least
/// squares fit keeps most.
pub(super) fn scale<const N: usize>(x: &[f32; N], levels: f32) -> f32 {
    let extreme = extreme(x);
    if extreme.abs() < TINY {
        return 0.0;
    }
    let squares = x.map(|x| x * x);
    let fit = |guess: f32| {
        let codes: [f32; N] =
            std::array::from_fn(|i| limit(nearest(guess * x[i]), -levels, levels - 1.0));
        let along = sum::<N>(|i| squares[i] * x[i] * codes[i]);
        (along, sum::<N>(|i| squares[i] * codes[i] * codes[i]))
    };
    best_fit((-9..=9).map(|step| fit(-(levels + 0.1 * step as f32) / extreme)))
}

/// Of `(sum of w x q, sum of w q q)` the quotient of the pair that explains most of x: the largest `along² / codes`.
pub(super) fn best_fit(fits: impl Iterator<Item = (f32, f32)>) -> f32 {
    let (mut scale, mut kept) = (0.0, 0.0);
    for (along, codes) in fits {
        if codes > 0.0 && along * along > kept * codes {
            scale = along / codes;
            kept = scale * along;
        }
    }
    scale
}

/// The scale for codes `-levels..levels` by moving one code at a time while that helps, with squares as weights.
pub(super) fn scale_by_descent<const N: usize>(x: &[f32; N], levels: f32) -> f32 {
    const PASSES: usize = 5;
    let extreme = extreme(x);
    if extreme.abs() < TINY {
        return 0.0;
    }
    let clamp = |q: f32| limit(nearest(q), -levels, levels - 1.0);
    let mut codes: [f32; N] = std::array::from_fn(|i| clamp(-levels / extreme * x[i]));
    let mut along = sum::<N>(|i| x[i] * x[i] * x[i] * codes[i]);
    let mut square = sum::<N>(|i| x[i] * x[i] * codes[i] * codes[i]);
    for _ in 0..PASSES {
        let mut moved = false;
        for (&x, code) in x.iter().zip(&mut codes) {
            let w = x * x;
            // The fit of all the others says where this one belongs.
            let others = (along - w * x * *code, square - w * *code * *code);
            if others.0 <= 0.0 {
                continue;
            }
            let new = clamp(x * others.1 / others.0);
            let now = (others.0 + w * x * new, others.1 + w * new * new);
            if new != *code && now.1 > 0.0 && now.0 * now.0 * square > along * along * now.1 {
                (along, square, *code) = (now.0, now.1, new);
                moved = true;
            }
        }
        if !moved {
            break;
        }
    }
    if square > 0.0 { along / square } else { 0.0 }
}

/// How a search for scale and minimum goes.
pub(super) struct Trials {
    /// The largest code.
    pub levels: f32,
    /// The first guess spreads the values over `levels + first` codes, each further one over 0.1 more.
    pub first: f32,
    /// How many guesses follow the first.
    pub steps: usize,
    /// Errors count by magnitude, not squared.
    pub absolute: bool,
}

impl Trials {
    /// The weighted distance of `scale * code + min` from x.
    fn error<const N: usize>(
        &self,
        x: &[f32; N],
        weights: &[f32; N],
        codes: &[f32; N],
        scale: f32,
        min: f32,
    ) -> f32 {
        let distance = |i: usize| scale * codes[i] + min - x[i];
        if self.absolute {
            sum::<N>(|i| weights[i] * distance(i).abs())
        } else {
            sum::<N>(|i| weights[i] * distance(i) * distance(i))
        }
    }
}

/// `(scale, minimum)` such that `scale * code - minimum` is near x: minimum is not negative, codes are from 0 to
/// `levels`. Each guess is rounded, and scale and minimum fitted to its codes by weighted least squares.
pub(super) fn scale_and_minimum<const N: usize>(
    x: &[f32; N],
    weights: &[f32; N],
    trials: &Trials,
) -> (f32, f32) {
    let (low, high) = bounds(x);
    let low = low.min(0.0);
    if high <= low {
        return (0.0, -low);
    }
    let error =
        |scale: f32, min: f32, codes: &[f32; N]| trials.error(x, weights, codes, scale, min);
    let round = |guess: f32| -> [f32; N] {
        std::array::from_fn(|i| limit(nearest(guess * (x[i] - low)), 0.0, trials.levels))
    };
    let w = sum::<N>(|i| weights[i]);
    let wx = sum::<N>(|i| weights[i] * x[i]);
    let plain = trials.levels / (high - low);
    let mut best = (1.0 / plain, low);
    let mut least = error(best.0, best.1, &round(plain));
    for step in 0..=trials.steps {
        let spread = trials.levels + trials.first + 0.1 * step as f32;
        let codes = round(spread / (high - low));
        let wq = sum::<N>(|i| weights[i] * codes[i]);
        let wqq = sum::<N>(|i| weights[i] * codes[i] * codes[i]);
        let wxq = sum::<N>(|i| weights[i] * codes[i] * x[i]);
        let determinant = w * wqq - wq * wq;
        if determinant <= 0.0 {
            continue;
        }
        let mut fit = (
            (w * wxq - wx * wq) / determinant,
            (wqq * wx - wq * wxq) / determinant,
        );
        if fit.1 > 0.0 {
            fit = (wxq / wqq, 0.0);
        }
        let error = error(fit.0, fit.1, &codes);
        if error < least {
            (least, best) = (error, fit);
        }
    }
    (best.0, -best.1)
}

/// A scale and a minimum as they are stored: whole numbers of steps.
#[derive(Clone, Copy)]
pub(super) struct Stored {
    pub scale: u8,
    pub minimum: u8,
}

/// Of the nine neighbours of a stored scale and minimum the one under which x loses least: rounding both to steps may
/// have moved the optimum. `units` is what a step of each stands for, `most` the largest number of steps.
pub(super) fn settle<const N: usize>(
    x: &[f32; N],
    weights: &[f32; N],
    trials: &Trials,
    units: (f32, f32),
    most: u8,
    first: Stored,
) -> Stored {
    let error = |stored: Stored| {
        let scale = units.0 * f32::from(stored.scale);
        let min = units.1 * f32::from(stored.minimum);
        let inverse = if scale == 0.0 { 0.0 } else { 1.0 / scale };
        let codes: [f32; N] =
            std::array::from_fn(|i| nearest(limit((x[i] + min) * inverse, 0.0, trials.levels)));
        trials.error(x, weights, &codes, scale, -min)
    };
    let around = |n: u8| n.saturating_sub(1)..=(n + 1).min(most);
    let (mut best, mut least) = (first, error(first));
    for scale in around(first.scale) {
        for minimum in around(first.minimum) {
            let stored = Stored { scale, minimum };
            let error = error(stored);
            if error < least {
                (best, least) = (stored, error);
            }
        }
    }
    best
}
