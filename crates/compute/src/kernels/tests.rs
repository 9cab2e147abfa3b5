//! Every kernel against its scalar twin, and the twins against the meaning of the block types.

use hearth_format::BlockType;
use proptest::prelude::*;

use super::{
    Integer, Many, Panel, Part, STRIP, WALK_ROWS,
    activation::{Activations, WHOLES},
    integer, quantize, turn,
    unpack::SPAN,
};
use crate::Isa;

/// The types with integer kernels and the places of the halves that must be finite scales.
pub(crate) const TYPES: &[(BlockType, &[usize])] = &[
    (BlockType::Q4_0, &[0]),
    (BlockType::Q4_1, &[0, 2]),
    (BlockType::Q5_0, &[0]),
    (BlockType::Q5_1, &[0, 2]),
    (BlockType::Q8_0, &[0]),
    (BlockType::Iq4Nl, &[0]),
    (BlockType::Iq4Xs, &[0]),
    (BlockType::Mxfp4, &[]),
    (BlockType::Nvfp4, &[]),
    (BlockType::Tq2_0, &[64]),
    (BlockType::Q2K, &[80, 82]),
    (BlockType::Q3K, &[108]),
    (BlockType::Q4K, &[0, 2]),
    (BlockType::Q5K, &[0, 2]),
    (BlockType::Q6K, &[208]),
];

/// A small generator: the same numbers everywhere (xorshift*).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11
    }

    /// About normal, unit deviation.
    pub(crate) fn normal(&mut self) -> f32 {
        (0..6)
            .map(|_| (self.next() & 0xffff) as f32 / 65535.0 - 0.5)
            .sum::<f32>()
            * 1.414
    }
}

/// Random blocks with scales like those of real weights.
pub(crate) fn blocks(
    block: BlockType,
    scales: &[usize],
    count: usize,
    random: &mut Random,
) -> Vec<u8> {
    let bytes = (0..count * block.block_bytes())
        .map(|_| random.next() as u8)
        .collect();
    scaled(block, scales, bytes, random)
}

/// Blocks of such bytes, but for scales, which are like those of real weights.
fn scaled(block: BlockType, scales: &[usize], mut bytes: Vec<u8>, random: &mut Random) -> Vec<u8> {
    for b in bytes.chunks_exact_mut(block.block_bytes()) {
        for &at in scales {
            let scale = half::f16::from_f32(0.002 * random.normal() + 1e-4);
            b[at..at + 2].copy_from_slice(&scale.to_le_bytes());
        }
        match block {
            BlockType::Mxfp4 => b[0] = 118 + b[0] % 8,
            BlockType::Nvfp4 => b[..4].iter_mut().for_each(|scale| *scale &= 0x3f),
            _ => {}
        }
    }
    bytes
}

/// What sums of floats may be off by.
const FLOATS: f64 = 2e-5;
/// What rounding scales to 11 bits or more may add (`avx2_products`).
const SHARES: f64 = 1.0 / 2048.0;

/// One random product: weights, input, and what is expected of the result.
struct Case {
    kernels: Vec<(Isa, Integer)>,
    weights: Vec<u8>,
    row_bytes: usize,
    rows: usize,
    tokens: usize,
    x: Vec<f32>,
    columns: usize,
    /// `[tokens, rows]`: with the int8 activations, in f64, and the sum of magnitudes.
    want: Vec<(f64, f64)>,
}

fn quantized(isa: Isa, x: &[f32], tokens: usize, columns: usize) -> Activations {
    let mut out = Activations::default();
    for (row, x) in out
        .rows(tokens, columns)
        .iter_mut()
        .zip(x.chunks_exact(columns))
    {
        quantize(isa)(x, row);
    }
    out
}

/// Makes the copy that walks want.
fn turned(isa: Isa, inputs: &mut Activations, tokens: usize) {
    let (mut spans, rows) = inputs.turn(tokens);
    for (index, span) in spans.iter_mut().enumerate() {
        turn(isa)(span, &rows, index);
    }
}

impl Case {
    fn new(index: usize, rows: usize, blocks_per_row: usize, tokens: usize, seed: u64) -> Self {
        let (block, scales) = TYPES[index];
        let mut random = Random(seed | 1);
        let columns = blocks_per_row * block.block_len();
        let weights = blocks(block, scales, rows * blocks_per_row, &mut random);
        let x = (0..tokens * columns).map(|_| random.normal()).collect();
        Self::of(block, rows, tokens, weights, x)
    }

    fn of(block: BlockType, rows: usize, tokens: usize, weights: Vec<u8>, x: Vec<f32>) -> Self {
        let columns = x.len() / tokens;
        let row_bytes = block.row_bytes(columns);
        let kernels = Isa::available()
            .map(|isa| {
                (
                    isa,
                    integer(isa, block).expect("types in the table have kernels"),
                )
            })
            .collect();
        let codes = quantized(Isa::Scalar, &x, tokens, columns);
        let mut want = vec![(0.0, 0.0); tokens * rows];
        let mut row = vec![0.0; columns];
        for r in 0..rows {
            block.dequantize(&weights[r * row_bytes..(r + 1) * row_bytes], &mut row);
            for t in 0..tokens {
                let (sum, size) = &mut want[t * rows + r];
                for (k, w) in row.iter().enumerate() {
                    let at = t * codes.columns + k;
                    let x = f64::from(codes.codes[at]) * f64::from(codes.step16[at / 16]);
                    *sum += f64::from(*w) * x;
                    // Codes are multiplied before the offset is added: parts can be larger than
                    // the value, by the offset of the type.
                    *size += (f64::from(w.abs()) + 0.02) * x.abs();
                }
            }
        }
        Self {
            kernels,
            weights,
            row_bytes,
            rows,
            tokens,
            x,
            columns,
            want,
        }
    }

    /// `share`: what a result may be off by, of the sum of its parts' magnitudes.
    fn check(&self, what: &str, isa: Isa, share: f64, got: impl Fn(usize, usize) -> f32) {
        for t in 0..self.tokens {
            for r in 0..self.rows {
                let (want, size) = self.want[t * self.rows + r];
                let got = f64::from(got(t, r));
                assert!(
                    (got - want).abs() <= share * size + 1e-9,
                    "{what} on {isa}, token {t}, row {r} of {}x{}: {got}, expected {want} (of {size})",
                    self.rows,
                    self.columns
                );
            }
        }
    }

    fn few(&self) {
        for (isa, kernels) in &self.kernels {
            let Some(dot) = kernels.dot else {
                continue;
            };
            let inputs = quantized(*isa, &self.x, self.tokens, self.columns);
            let mut out = vec![f32::NAN; self.rows * self.tokens];
            let few = Part {
                weights: &self.weights,
                row_bytes: self.row_bytes,
                inputs: &inputs,
                first_token: 0,
                tokens: self.tokens,
            };
            dot(&few, &mut out);
            self.check("dot", *isa, FLOATS, |t, r| out[t * self.rows + r]);
        }
    }

    /// All tokens at once, then the last of them alone: the same bits.
    fn walk(&self, isa: Isa, walk: fn(&Part<'_>, &mut [f32]), inputs: &mut Activations) {
        turned(isa, inputs, self.tokens);
        let multiply = |first_token: usize| {
            let tokens = self.tokens - first_token;
            let mut out = vec![f32::NAN; self.rows.next_multiple_of(WALK_ROWS) * tokens];
            let part = Part {
                weights: &self.weights,
                row_bytes: self.row_bytes,
                inputs,
                first_token,
                tokens,
            };
            walk(&part, &mut out);
            out
        };
        let (all, last) = (multiply(0), multiply(self.tokens - 1));
        let at = |tokens: usize, t: usize, r: usize| {
            (r / WALK_ROWS * tokens + t) * WALK_ROWS + r % WALK_ROWS
        };
        let share = FLOATS + SHARES;
        self.check("walk", isa, share, |t, r| all[at(self.tokens, t, r)]);
        for r in 0..self.rows {
            assert_eq!(all[at(self.tokens, self.tokens - 1, r)], last[at(1, 0, r)]);
        }
    }

    fn many(&self) {
        for (isa, kernels) in &self.kernels {
            let mut inputs = quantized(*isa, &self.x, self.tokens, self.columns);
            let packed = match kernels.many {
                Many::Panel(packed) => packed,
                Many::Walk(walk) => {
                    self.walk(*isa, walk, &mut inputs);
                    continue;
                }
            };
            let strips = self.rows.div_ceil(STRIP);
            let mut panel = Panel::default();
            panel.reset(strips, self.columns.next_multiple_of(SPAN), packed.group);
            panel.codes.fill(77); // a panel is used again and again
            panel.scales.fill(f32::NAN);
            panel.offsets.fill(f32::NAN);
            for (strip, rows) in self.weights.chunks(STRIP * self.row_bytes).enumerate() {
                (packed.pack)(rows, self.row_bytes, &mut panel, strip);
            }
            let mut out = vec![f32::NAN; strips * STRIP * self.tokens];
            (packed.multiply)(&panel, &inputs, 0, self.tokens, &mut out);
            self.check("panel", *isa, FLOATS, |t, r| out[t * strips * STRIP + r]);
        }
    }
}

/// Blocks in a row: odd tails for the small blocks, whole spans for the large.
fn blocks_in_row(index: usize, n: usize) -> usize {
    if TYPES[index].0.block_len() == SPAN {
        1 + n % 3
    } else {
        1 + n
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, ..ProptestConfig::default() })]

    #[test]
    fn few_tokens_equal_the_meaning(
        index in 0..TYPES.len(), rows in 1usize..6, n in 0usize..20, tokens in 1usize..=4, seed: u64,
    ) {
        Case::new(index, rows, blocks_in_row(index, n), tokens, seed).few();
    }

    #[test]
    fn panels_equal_the_meaning(
        index in 0..TYPES.len(), rows in 1usize..=32, n in 0usize..11,
        // Steps of more than 32 go another way on AVX2.
        tokens in prop_oneof![9 => 1usize..20, 1 => 32usize..48], seed: u64,
    ) {
        Case::new(index, rows, blocks_in_row(index, n), tokens, seed).many();
    }
}

#[test]
fn quantisers_agree() {
    let mut random = Random(99);
    for columns in [1, 31, 32, 33, 255, 256, 600] {
        let x: Vec<f32> = (0..3 * columns).map(|_| random.normal().exp()).collect();
        let mut want = quantized(Isa::Scalar, &x, 3, columns);
        turned(Isa::Scalar, &mut want, 3);
        for isa in Isa::available() {
            let mut got = quantized(isa, &x, 3, columns);
            turned(isa, &mut got, 3);
            assert_eq!(got.codes[..], want.codes[..], "{isa}");
            assert_eq!(got.sum16[..], want.sum16[..], "{isa}");
            assert_eq!(got.step16[..], want.step16[..], "{isa}");
            assert_eq!(got.pair32[..], want.pair32[..], "{isa}");
            let (got, want) = (&got.turned, &want.turned);
            assert_eq!(got.codes[..], want.codes[..], "{isa}");
            assert_eq!(got.steps[..], want.steps[..], "{isa}");
            assert_eq!(got.wholes[..], want.wholes[..], "{isa}");
            assert_eq!(got.peaks[..], want.peaks[..], "{isa}");
            assert_eq!(got.sums[..], want.sums[..], "{isa}");
        }
    }
}

#[test]
fn hostile_values_stay_in_range() {
    let values = [
        f32::NAN,
        f32::INFINITY,
        f32::MIN_POSITIVE,
        -1e-45,
        f32::MAX,
        -f32::MAX,
    ];
    for count in 1..=values.len() {
        let x: Vec<f32> = values[..count].iter().copied().cycle().take(SPAN).collect();
        for isa in Isa::available() {
            let mut inputs = quantized(isa, &x, 1, SPAN);
            assert!(
                inputs.codes.iter().all(|&code| code != -128),
                "{isa}, {count}"
            );
            turned(isa, &mut inputs, 1);
            let shares = inputs.turned.wholes.chunks(WHOLES).map(|whole| whole[0]);
            assert!(shares.into_iter().all(|share| share >= 0), "{isa}, {count}");
        }
    }
}

/// Sums of the largest products fit where they are kept, of either sign.
#[test]
fn the_largest_codes_and_inputs_are_multiplied_too() {
    const TOKENS: usize = 5;
    let signs: [fn(usize) -> bool; TOKENS] = [
        |_| true,
        |_| false,
        |k| k % 2 == 0,
        |k| k % 4 < 2,
        |k| k % 32 < 16,
    ];
    for &(block, scales) in TYPES {
        for fill in [0x00, 0x88, 0x77, 0xff] {
            let columns = SPAN.max(block.block_len());
            let weights = vec![fill; 3 * block.row_bytes(columns)];
            let weights = scaled(block, scales, weights, &mut Random(1));
            let x = signs.iter().flat_map(|positive| {
                (0..columns).map(move |k| if positive(k) { 1.0 } else { -1.0 })
            });
            Case::of(block, 3, TOKENS, weights, x.collect()).many();
        }
    }
}

#[test]
fn hostile_blocks_do_no_harm() {
    for &(block, _) in TYPES {
        for fill in [0x00, 0x7f, 0x80, 0xff] {
            let columns = SPAN.max(block.block_len());
            let weights = vec![fill; 3 * block.row_bytes(columns)];
            let mut inputs = quantized(Isa::Scalar, &vec![1.0; columns], 1, columns);
            turned(Isa::Scalar, &mut inputs, 1);
            for isa in Isa::available() {
                let kernels = integer(isa, block).expect("types in the table have kernels");
                let part = Part {
                    weights: &weights,
                    row_bytes: block.row_bytes(columns),
                    inputs: &inputs,
                    first_token: 0,
                    tokens: 1,
                };
                let walk = match kernels.many {
                    Many::Walk(walk) => Some(walk),
                    Many::Panel(_) => None,
                };
                for kernel in kernels.dot.into_iter().chain(walk) {
                    kernel(&part, &mut [0.0; WALK_ROWS]);
                }
            }
        }
    }
}
