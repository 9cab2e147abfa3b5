//! The readable truth of the integer kernels, and what runs where there are no others.

use hearth_format::BlockType;

use super::{
    Integer, Many, Packed, Panel, Part, STRIP,
    activation::{self, Activations, RowMut},
    by_block, spans,
    unpack::{self, GROUPS, SPAN, Unpack, Unpacked},
};

pub(super) fn integer(block: BlockType) -> Option<Integer> {
    by_block!(block, kernels,
        Q4_0 => unpack::Q4_0, Q4_1 => unpack::Q4_1, Q5_0 => unpack::Q5_0, Q5_1 => unpack::Q5_1,
        Q8_0 => unpack::Q8_0, Iq4Nl => unpack::Iq4Nl, Iq4Xs => unpack::Iq4Xs, Mxfp4 => unpack::Mxfp4,
        Q2K => unpack::Q2K, Q3K => unpack::Q3K, Q4K => unpack::Q4K, Q5K => unpack::Q5K,
        Q6K => unpack::Q6K, Nvfp4 => unpack::Nvfp4, Tq2_0 => unpack::Tq2,
    )
}

fn kernels<U: Unpack>() -> Integer {
    Integer {
        dot: Some(dot::<U>),
        many: Many::Panel(Packed {
            group: U::GROUP,
            pack: pack::<U>,
            multiply,
        }),
    }
}

pub(super) fn quantize(x: &[f32], row: &mut RowMut<'_>) {
    activation::quantize(x, row, activation::group);
}

/// Sum of products of codes.
fn codes_dot(a: &[i8], b: &[i8]) -> i32 {
    a.iter()
        .zip(b)
        .map(|(&a, &b)| i32::from(a) * i32::from(b))
        .sum()
}

fn dot<U: Unpack>(few: &Part<'_>, out: &mut [f32]) {
    let rows = few.weights.len() / few.row_bytes;
    let inputs = few.inputs;
    let mut w = Unpacked::default();
    out.fill(0.0);
    for (r, row) in few.weights.chunks_exact(few.row_bytes).enumerate() {
        spans::<U>(row, |index, bytes| {
            U::unpack(bytes, &mut w);
            for t in 0..few.tokens {
                let start = (few.first_token + t) * inputs.columns + index * SPAN;
                let codes = &inputs.codes[start..start + SPAN];
                let mut sum = 0.0;
                for g in 0..GROUPS {
                    let group = 16 * g..16 * g + 16;
                    let products = codes_dot(&w.codes[group.clone()], &codes[group]);
                    sum += products as f32 * w.scale[g] * inputs.step16[start / 16 + g]
                        + w.offset[g] * inputs.sum16[start / 16 + g];
                }
                out[t * rows + r] += sum;
            }
        });
    }
}

fn pack<U: Unpack>(weights: &[u8], row_bytes: usize, panel: &mut Panel, strip: usize) {
    let (codes, scales, offsets) = panel.strip_mut(strip);
    let rows = weights.len() / row_bytes;
    if rows < STRIP {
        codes.fill(0);
        scales.fill(0.0);
        offsets.fill(0.0);
    }
    let mut w = Unpacked::default();
    for (r, row) in weights.chunks_exact(row_bytes).enumerate() {
        spans::<U>(row, |index, bytes| {
            U::unpack(bytes, &mut w);
            for (k, quad) in w.codes.as_chunks::<4>().0.iter().enumerate() {
                let at = ((index * SPAN / 4 + k) * STRIP + r) * 4;
                codes[at..at + 4].copy_from_slice(quad);
            }
            for g in 0..SPAN / U::GROUP {
                let at = (index * SPAN / U::GROUP + g) * STRIP + r;
                scales[at] = w.scale[g * U::GROUP / 16];
                offsets[at] = w.offset[g * U::GROUP / 16];
            }
        });
    }
}

fn multiply(panel: &Panel, inputs: &Activations, first: usize, tokens: usize, out: &mut [f32]) {
    let (columns, group) = (panel.columns, panel.group);
    let groups = columns / group;
    for t in 0..tokens {
        let x = &inputs.codes[(first + t) * columns..][..columns];
        for strip in 0..panel.strips {
            let sums = &mut out[(t * panel.strips + strip) * STRIP..][..STRIP];
            sums.fill(0.0);
            for g in 0..groups {
                let mut products = [0i32; STRIP];
                for (k, quad) in x[g * group..(g + 1) * group].chunks_exact(4).enumerate() {
                    let at = (strip * columns + g * group + 4 * k) * STRIP;
                    let strip_codes = panel.codes[at..at + 4 * STRIP].chunks_exact(4);
                    for (sum, codes) in products.iter_mut().zip(strip_codes) {
                        *sum += codes_dot(codes, quad);
                    }
                }
                let (step, sum) = inputs.step_and_sum(group, (first + t) * groups + g);
                let at = (strip * groups + g) * STRIP;
                for r in 0..STRIP {
                    sums[r] += products[r] as f32 * (panel.scales[at + r] * step)
                        + panel.offsets[at + r] * sum;
                }
            }
        }
    }
}
