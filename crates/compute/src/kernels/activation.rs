//! Activations quantised to int8, once per product, for all weights that share them.

use super::{lines::Lines, unpack::SPAN};

/// Columns that share a scale. Smaller groups than the 256 of Q8_K: a large channel costs its 31
/// neighbours precision, not 255.
pub(crate) const GROUP: usize = 32;

/// `[tokens, columns]` in int8, padded with zeros to whole spans.
#[derive(Debug, Default)]
pub(crate) struct Activations {
    /// Columns, padded to a multiple of [`SPAN`].
    pub(crate) columns: usize,
    /// `[tokens, columns]`, each in -127..=127.
    pub(crate) codes: Lines<i8>,
    /// `[tokens, columns / 16]`: the step of the group, each twice.
    pub(crate) step16: Lines<f32>,
    /// `[tokens, columns / 16]`: step times the sum of 16 codes.
    pub(crate) sum16: Lines<f32>,
    /// `[tokens, columns / 32, 2]`: the step of the group, and step times the sum of its 32 codes.
    pub(crate) pair32: Lines<f32>,
    /// The same once more for kernels that go through columns with all tokens at once.
    pub(crate) turned: Turned,
}

/// Activations by groups of columns: one after the other in memory whatever the length of a row. In rows whose
/// length is a large power of two the same columns of all tokens would share a few places of the cache.
#[derive(Debug, Default)]
pub(crate) struct Turned {
    /// Tokens in it.
    pub(crate) tokens: usize,
    /// `[columns / 32, tokens, 32]`.
    pub(crate) codes: Lines<i8>,
    /// `[columns / 32, tokens, 4]`: the step, and step times the sum of the codes, of the first 16, of the last 16.
    pub(crate) steps: Lines<f32>,
    /// `[columns / 32, tokens, 6]`: the step in 1 / 32768 of its span's peak, twice, and of [`lanes`] of the first and
    /// of the last 16 codes the sums, times [`CENTRE`].
    pub(crate) wholes: Lines<i16>,
    /// `[columns / 256, tokens]`: the span's largest step, and a little more, so that its share is 32767.
    pub(crate) peaks: Lines<f32>,
    /// `[columns / 256, tokens, 8]`: step times the sum of the codes of each group, in 1 / [`SUMS`] of the peak.
    pub(crate) sums: Lines<i16>,
}

/// Groups of a span.
pub(crate) const GROUPS: usize = SPAN / GROUP;
/// How finely the sums of groups are told apart: they fit 16 bits, and the smallest is far below the rounding of the
/// codes that they are sums of.
pub(crate) const SUMS: f32 = 8.0;
const _: () = assert!(127.0 * GROUP as f32 * SUMS <= i16::MAX as f32);

/// Whole numbers of a group and token in [`Turned`].
pub(crate) const WHOLES: usize = 6;
/// By how much codes of 6 bits are higher than what they stand for.
pub(crate) const CENTRE: i16 = 32;

/// The sums, times [`CENTRE`], of what comes together in the two 16-bit lanes of a row when 16 codes are multiplied:
/// of each four the first two, and the last two.
#[inline(always)]
fn lanes(codes: &[i8]) -> [i16; 2] {
    let mut lanes = [0; 2];
    for (i, &code) in codes.iter().enumerate() {
        lanes[i / 2 % 2] += CENTRE * i16::from(code);
    }
    lanes
}

/// A span of [`Turned`], to be written.
pub(crate) struct SpanMut<'a> {
    codes: &'a mut [i8],
    steps: &'a mut [f32],
    wholes: &'a mut [i16],
    peaks: &'a mut [f32],
    sums: &'a mut [i16],
}

/// Copies span `index` of all tokens.
///
/// Generic code that instruction sets with such kernels compile for themselves.
#[inline(always)]
pub(crate) fn turn(span: &mut SpanMut<'_>, rows: &Rows<'_>, index: usize) {
    let (groups, tokens) = (rows.columns / GROUP, span.peaks.len());
    for t in 0..tokens {
        let at = t * groups + index * GROUPS;
        let steps = (at..at + GROUPS).map(|at| rows.pair32[2 * at]);
        let largest = steps.fold(0.0, f32::max);
        span.peaks[t] = largest * (32768.0 / 32767.0);
        for g in 0..GROUPS {
            let (from, to) = (at + g, g * tokens + t);
            let codes = &rows.codes[from * GROUP..][..GROUP];
            span.codes[to * GROUP..][..GROUP].copy_from_slice(codes);
            let [step, sum] = [rows.pair32[2 * from], rows.pair32[2 * from + 1]];
            let halves = [rows.sum16[2 * from], rows.sum16[2 * from + 1]];
            span.steps[4 * to..][..4].copy_from_slice(&[step, sum, halves[0], halves[1]]);
            // Not by the inverse of the largest, which may be infinite; 0 where all are 0.
            let exact = step / largest * 32767.0;
            let share = exact.round_ties_even() as i16;
            let ([a, b], [c, d]) = (lanes(&codes[..GROUP / 2]), lanes(&codes[GROUP / 2..]));
            span.wholes[WHOLES * to..][..WHOLES].copy_from_slice(&[share, share, a, b, c, d]);
            let total = [a, b, c, d].map(|lane| i32::from(lane / CENTRE));
            let total = total.iter().sum::<i32>() as f32;
            span.sums[GROUPS * t + g] = (exact * total * (SUMS / 32768.0)).round_ties_even() as i16;
        }
    }
}

/// The arrays of [`Activations`] by rows, to be read.
pub(crate) struct Rows<'a> {
    columns: usize,
    codes: &'a [i8],
    sum16: &'a [f32],
    pair32: &'a [f32],
}

/// One row of each array in [`Activations`], to be written.
pub(crate) struct RowMut<'a> {
    codes: &'a mut [i8],
    step16: &'a mut [f32],
    sum16: &'a mut [f32],
    pair32: &'a mut [f32],
}

impl Activations {
    /// Bytes that `tokens` rows of `columns` values take.
    pub(crate) fn bytes(tokens: usize, columns: usize) -> usize {
        let values = tokens * columns.next_multiple_of(SPAN);
        values + 3 * (values / 16) * size_of::<f32>()
    }

    /// Makes room for `tokens` rows of `columns` values and hands the rows out.
    pub(crate) fn rows(&mut self, tokens: usize, columns: usize) -> Vec<RowMut<'_>> {
        let padded = columns.next_multiple_of(SPAN);
        self.columns = padded;
        self.codes.resize(tokens * padded);
        for array in [&mut self.step16, &mut self.sum16, &mut self.pair32] {
            array.resize(tokens * padded / 16);
        }
        self.codes
            .chunks_exact_mut(padded)
            .zip(self.step16.chunks_exact_mut(padded / 16))
            .zip(self.sum16.chunks_exact_mut(padded / 16))
            .zip(self.pair32.chunks_exact_mut(padded / 16))
            .map(|(((codes, step16), sum16), pair32)| RowMut {
                codes,
                step16,
                sum16,
                pair32,
            })
            .collect()
    }

    /// Bytes that [`Turned`] takes of that.
    pub(crate) fn turned_bytes(tokens: usize, columns: usize) -> usize {
        let values = tokens * columns.next_multiple_of(SPAN);
        let group = GROUP + 4 * size_of::<f32>() + WHOLES * size_of::<i16>();
        let span = size_of::<f32>() + GROUPS * size_of::<i16>();
        values / GROUP * group + values / SPAN * span
    }

    /// Makes room for `tokens` rows by groups, and hands the spans out with what to copy.
    pub(crate) fn turn(&mut self, tokens: usize) -> (Vec<SpanMut<'_>>, Rows<'_>) {
        let (groups, turned) = (self.columns / GROUP, &mut self.turned);
        turned.tokens = tokens;
        turned.codes.resize(groups * tokens * GROUP);
        turned.steps.resize(groups * tokens * 4);
        turned.wholes.resize(groups * tokens * WHOLES);
        turned.peaks.resize(self.columns / SPAN * tokens);
        turned.sums.resize(groups * tokens);
        let spans = turned
            .codes
            .chunks_exact_mut(tokens * SPAN)
            .zip(turned.steps.chunks_exact_mut(tokens * SPAN / GROUP * 4))
            .zip(
                turned
                    .wholes
                    .chunks_exact_mut(tokens * SPAN / GROUP * WHOLES),
            )
            .zip(turned.peaks.chunks_exact_mut(tokens))
            .zip(turned.sums.chunks_exact_mut(tokens * GROUPS))
            .map(|((((codes, steps), wholes), peaks), sums)| SpanMut {
                codes,
                steps,
                wholes,
                peaks,
                sums,
            })
            .collect();
        let rows = Rows {
            columns: self.columns,
            codes: &self.codes,
            sum16: &self.sum16,
            pair32: &self.pair32,
        };
        (spans, rows)
    }

    /// Step and sum of group `index` of `group` columns (16 or 32), counted over all tokens.
    #[inline(always)]
    pub(crate) fn step_and_sum(&self, group: usize, index: usize) -> (f32, f32) {
        if group == 16 {
            (self.step16[index], self.sum16[index])
        } else {
            (self.pair32[2 * index], self.pair32[2 * index + 1])
        }
    }
}

/// Quantises `x` into `row`: `step = max|x| / 127` per group, codes rounded half to even by `group`, which is as the
/// function of that name.
///
/// Generic code that each instruction set compiles for itself.
#[inline(always)]
pub(crate) fn quantize(
    x: &[f32],
    row: &mut RowMut<'_>,
    group: impl Fn(&[f32; GROUP], f32) -> ([i8; GROUP], [i32; 2]),
) {
    let mut padded = [0.0f32; GROUP];
    for g in 0..row.pair32.len() / 2 {
        let values: &[f32; GROUP] = match x.get(g * GROUP..).and_then(|rest| rest.first_chunk()) {
            Some(values) => values,
            None => {
                let rest = x.get(g * GROUP..).unwrap_or(&[]);
                padded.fill(0.0);
                padded[..rest.len()].copy_from_slice(rest);
                &padded
            }
        };
        let mut lanes = [0.0f32; 8];
        for part in values.chunks_exact(8) {
            for (lane, value) in lanes.iter_mut().zip(part) {
                *lane = if value.abs() > *lane {
                    value.abs()
                } else {
                    *lane
                };
            }
        }
        let amax = lanes.into_iter().fold(0.0f32, f32::max);
        // A step so small that its inverse overflows stands for values that are zero for all purposes.
        let step = amax / 127.0;
        let inverse = if step > 1e-37 { 1.0 / step } else { 0.0 };
        let (codes, sums) = group(values, inverse);
        row.codes[g * GROUP..][..GROUP].copy_from_slice(&codes);
        row.step16[2 * g..][..2].fill(step);
        row.sum16[2 * g..][..2].copy_from_slice(&sums.map(|sum| step * sum as f32));
        row.pair32[2 * g] = step;
        row.pair32[2 * g + 1] = step * (sums[0] + sums[1]) as f32;
    }
}

/// A group times `inverse`, rounded half to even into -127..=127, and the sums of both halves.
#[inline(always)]
pub(crate) fn group(values: &[f32; GROUP], inverse: f32) -> ([i8; GROUP], [i32; 2]) {
    let (mut codes, mut sums) = ([0; GROUP], [0; 2]);
    for (i, (code, value)) in codes.iter_mut().zip(values).enumerate() {
        let whole = round(value * inverse);
        *code = whole as i8;
        sums[i / (GROUP / 2)] += whole;
    }
    (codes, sums)
}

/// Nearest integer of `|x| <= 127.x`, ties to even, as the low bits of a shifted float: unlike
/// `round_ties_even` this needs no instruction that old processors lack. NaN gives an arbitrary code.
#[inline(always)]
fn round(x: f32) -> i32 {
    const SHIFT: f32 = 12_582_912.0; // 1.5 * 2^23
    ((x + SHIFT).to_bits() as i32)
        .wrapping_sub(SHIFT.to_bits() as i32)
        .clamp(-127, 127)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_sums() {
        let mut x = vec![0.0f32; 70];
        for (i, x) in x.iter_mut().enumerate() {
            *x = (i as f32 - 20.0) * 0.5;
        }
        let mut acts = Activations::default();
        for mut row in acts.rows(1, 70) {
            quantize(&x, &mut row, group);
        }
        assert_eq!(acts.columns, 256);
        for g in 0..8 {
            let codes = &acts.codes[g * 32..g * 32 + 32];
            let (step, total) = acts.step_and_sum(32, g);
            assert_eq!(acts.step16[2 * g..2 * g + 2], [step, step]);
            for (i, &code) in codes.iter().enumerate() {
                let want = x.get(g * 32 + i).copied().unwrap_or(0.0);
                assert!((f32::from(code) * step - want).abs() <= step * 0.5001);
                assert_ne!(code, -128);
            }
            let sum: i32 = codes.iter().map(|&c| i32::from(c)).sum();
            assert_eq!(total, step * sum as f32);
        }
    }

    #[test]
    fn shares_of_the_smallest_steps_are_shares_too() {
        for size in [1.0, 1e-34, 1e30] {
            let mut x = vec![0.0f32; SPAN];
            (x[0], x[GROUP]) = (127.0 * size, 127.0 * size / 4.0);
            let mut acts = Activations::default();
            for mut row in acts.rows(1, SPAN) {
                quantize(&x, &mut row, group);
            }
            let (mut spans, rows) = acts.turn(1);
            super::turn(&mut spans[0], &rows, 0);
            let turned = &acts.turned;
            let shares: Vec<i16> = turned.wholes.chunks(WHOLES).map(|whole| whole[0]).collect();
            assert_eq!(shares, [32767, 8192, 0, 0, 0, 0, 0, 0], "{size}");
            assert_eq!(
                turned.sums[..],
                [8 * 127, 2 * 127, 0, 0, 0, 0, 0, 0],
                "{size}"
            );
            let step = 8192.0 / 32768.0 * turned.peaks[0];
            assert!((step / (size / 4.0) - 1.0).abs() < 1e-4, "{size}");
        }
    }
}
