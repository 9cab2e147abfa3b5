//! Products against f64, and what they may not depend on.

use hearth_format::{Affine, Bytes, Storage, Tensor};

use super::*;
use crate::kernels::tests::{Random, TYPES, blocks};

fn matrix(block: BlockType, bytes: Vec<u8>, shape: &[usize]) -> Matrix {
    Matrix::from_tensor(&Tensor {
        name: "w".into(),
        shape: shape.to_vec(),
        storage: Storage::Blocks {
            block,
            bytes: Bytes::new(bytes),
        },
    })
    .expect("the bytes fit the shape")
}

/// Random weights of every kind of storage: `rows` rows of about `columns` columns.
fn matrices(rows: usize, columns: usize) -> Vec<(String, Matrix)> {
    let mut random = Random(7);
    let mut all = Vec::new();
    for &(block, scales) in TYPES {
        let count = columns.div_ceil(block.block_len());
        let bytes = blocks(block, scales, rows * count, &mut random);
        let shape = [rows, count * block.block_len()];
        all.push((block.name().to_owned(), matrix(block, bytes, &shape)));
    }
    let values: Vec<f32> = (0..rows * columns).map(|_| random.normal()).collect();
    let halves =
        |convert: fn(f32) -> u16| values.iter().flat_map(move |&v| convert(v).to_le_bytes());
    let f32s = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    let f16s = halves(|v| half::f16::from_f32(v).to_bits()).collect();
    let bf16s = halves(|v| half::bf16::from_f32(v).to_bits()).collect();
    for (block, bytes) in [
        (BlockType::F32, f32s),
        (BlockType::F16, f16s),
        (BlockType::BF16, bf16s),
    ] {
        all.push((
            block.name().to_owned(),
            matrix(block, bytes, &[rows, columns]),
        ));
    }
    all.push((
        "affine".to_owned(),
        affine(rows, columns.next_multiple_of(64), &mut random),
    ));
    all
}

fn affine(rows: usize, columns: usize, random: &mut Random) -> Matrix {
    let mut bytes = |count: usize| -> Vec<u8> {
        (0..count / 4)
            .flat_map(|_| random.normal().to_le_bytes())
            .collect()
    };
    let (codes, scales) = (bytes(rows * columns / 2), bytes(rows * columns / 16));
    let biases = bytes(rows * columns / 16);
    Matrix::from_tensor(&Tensor {
        name: "w".into(),
        shape: vec![rows, columns],
        storage: Storage::Affine(Affine {
            bits: 4,
            group: 64,
            codes: Bytes::new(codes),
            scales: Bytes::new(scales),
            biases: Bytes::new(biases),
            scale_type: BlockType::F32,
        }),
    })
    .expect("the bytes fit the shape")
}

fn input(tokens: usize, columns: usize) -> Vec<f32> {
    let mut random = Random(3);
    (0..tokens * columns).map(|_| random.normal()).collect()
}

fn product(
    team: &Team,
    isa: Isa,
    precision: Precision,
    x: &[f32],
    tokens: usize,
    weight: &Matrix,
) -> Vec<f32> {
    let mut out = vec![f32::NAN; tokens * weight.rows()];
    let mut products = [Product {
        weight,
        out: &mut out,
        out_stride: weight.rows(),
    }];
    linear(team, isa, precision, x, tokens, &mut products);
    out
}

#[test]
fn results_are_near_f64() {
    let team = Team::new(2);
    for (rows, columns, tokens) in [
        (1, 32, 1),
        (37, 272, 3),
        (70, 300, 4),
        (70, 512, 5),
        (9, 96, 19),
    ] {
        for (name, weight) in matrices(rows, columns) {
            let columns = weight.columns();
            let x = input(tokens, columns);
            let mut row = vec![0.0; columns];
            let (mut want, mut size) = (vec![0.0f64; tokens * rows], vec![0.0f64; tokens * rows]);
            for r in 0..rows {
                weight.row(r, &mut row);
                for t in 0..tokens {
                    for (w, x) in row.iter().zip(&x[t * columns..]) {
                        want[t * rows + r] += f64::from(*w) * f64::from(*x);
                        size[t * rows + r] += f64::from(*w).abs() * f64::from(x.abs());
                    }
                }
            }
            for isa in Isa::available() {
                for precision in [Precision::Exact, Precision::Fast] {
                    // Fast: half a step of 1/127 of the largest of 32, whatever the sign.
                    let tolerance = if precision == Precision::Exact {
                        1e-6
                    } else {
                        0.012
                    };
                    let got = product(&team, isa, precision, &x, tokens, &weight);
                    for i in 0..want.len() {
                        let error = (f64::from(got[i]) - want[i]).abs();
                        assert!(
                            error <= tolerance * size[i] + 1e-6,
                            "{name} {rows}x{columns}, {tokens} tokens, {isa}, {precision:?}: \
                             {} instead of {}",
                            got[i],
                            want[i]
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn threads_do_not_change_results() {
    let teams = [1, 2, 3].map(Team::new);
    for tokens in [1, 3, 9] {
        for (name, weight) in matrices(131, 512) {
            let x = input(tokens, weight.columns());
            for isa in Isa::available() {
                for precision in [Precision::Exact, Precision::Fast] {
                    let [one, two, three] = teams
                        .each_ref()
                        .map(|team| product(team, isa, precision, &x, tokens, &weight));
                    assert_eq!(one, two, "{name} on {isa}");
                    assert_eq!(one, three, "{name} on {isa}");
                }
            }
        }
    }
}

#[test]
fn exact_results_do_not_depend_on_the_batch() {
    let team = Team::new(2);
    let tokens = 7;
    for (name, weight) in matrices(35, 300) {
        let (rows, columns) = (weight.rows(), weight.columns());
        let x = input(tokens, columns);
        for isa in Isa::available() {
            let all = product(&team, isa, Precision::Exact, &x, tokens, &weight);
            for t in 0..tokens {
                let x = &x[t * columns..(t + 1) * columns];
                let alone = product(&team, isa, Precision::Exact, x, 1, &weight);
                assert_eq!(
                    alone,
                    all[t * rows..(t + 1) * rows],
                    "{name} on {isa}, token {t}"
                );
            }
        }
    }
}

#[test]
fn exact_vectors_are_equal_on_all_instruction_sets_with_fma() {
    if Isa::best() < Isa::Avx512 {
        return;
    }
    let team = Team::new(1);
    for (name, weight) in matrices(35, 300) {
        let x = input(5, weight.columns());
        let narrow = product(&team, Isa::Avx2, Precision::Exact, &x, 5, &weight);
        let wide = product(&team, Isa::Avx512, Precision::Exact, &x, 5, &weight);
        assert_eq!(narrow, wide, "{name}");
    }
}

#[test]
fn several_weights_share_one_hand_out_and_a_buffer() {
    let team = Team::new(2);
    let all = matrices(64, 256);
    let [(_, a), .., (_, b)] = all.as_slice() else {
        panic!("there are several")
    };
    let (a, b) = (a.part(3, 20), b.part(10, 50));
    for tokens in [1, 6] {
        let x = input(tokens, 256);
        let (mut first, mut second) = (vec![0.0; tokens * 30], vec![0.0; tokens * 50]);
        linear(
            &team,
            Isa::best(),
            Precision::Fast,
            &x,
            tokens,
            &mut [
                Product {
                    weight: &a,
                    out: &mut first[5..],
                    out_stride: 30,
                },
                Product {
                    weight: &b,
                    out: &mut second,
                    out_stride: 50,
                },
            ],
        );
        let alone = product(&team, Isa::best(), Precision::Fast, &x, tokens, &a);
        for t in 0..tokens {
            let got = &first[t * 30..][..30];
            assert_eq!(got[5..25], alone[t * 20..][..20]);
            assert!(got[..5].iter().chain(&got[25..]).all(|&v| v == 0.0));
        }
        assert_eq!(
            second,
            product(&team, Isa::best(), Precision::Fast, &x, tokens, &b)
        );
    }
}

#[test]
fn nothing_to_do_is_done() {
    let team = Team::new(2);
    linear(&team, Isa::best(), Precision::Fast, &[], 0, &mut []);
    let empty = matrix(BlockType::F32, Vec::new(), &[0, 16]);
    let x = [1.0; 16];
    assert!(product(&team, Isa::best(), Precision::Fast, &x, 1, &empty).is_empty());
    let some = matrix(BlockType::F32, vec![0; 64], &[1, 16]);
    assert!(product(&team, Isa::best(), Precision::Fast, &[], 0, &some).is_empty());
}

#[test]
fn tensors_that_do_not_fit_are_refused() {
    let tensor = |shape: &[usize], len: usize| Tensor {
        name: "blk.0.w".into(),
        shape: shape.to_vec(),
        storage: Storage::Blocks {
            block: BlockType::Q4K,
            bytes: Bytes::new(vec![0u8; len]),
        },
    };
    assert!(Matrix::from_tensor(&tensor(&[2, 256], 288)).is_ok());
    for (shape, len, want) in [
        (
            &[2, 250][..],
            288,
            "tensor blk.0.w: rows of 250 values, Q4_K needs a multiple of 256",
        ),
        (
            &[3, 256],
            288,
            "tensor blk.0.w: shape [3, 256] in Q4_K takes 432 bytes, found 288",
        ),
    ] {
        let error = Matrix::from_tensor(&tensor(shape, len)).expect_err("it does not fit");
        assert_eq!(error.to_string(), want);
    }
}

/// What [`sizes`] says against what a thread holds that has done nothing else.
#[test]
fn the_memory_that_products_keep_is_known_before() {
    let isas: Vec<Isa> = Isa::available().collect();
    for (isa, precision) in isas
        .iter()
        .flat_map(|isa| [(*isa, Precision::Fast), (*isa, Precision::Exact)])
    {
        for (name, weight) in matrices(64, 256) {
            for tokens in [1, 3, 4, 5, 33, 200] {
                let expected = sizes(isa, precision, tokens, std::iter::once(&weight));
                let x = input(tokens, weight.columns());
                let held = std::thread::scope(|scope| {
                    scope
                        .spawn(|| {
                            let mut out = vec![0.0; tokens * weight.rows()];
                            let product = Product {
                                weight: &weight,
                                out: &mut out,
                                out_stride: weight.rows(),
                            };
                            linear(&Team::new(1), isa, precision, &x, tokens, &mut [product]);
                            held()
                        })
                        .join()
                        .expect("no panic")
                });
                let what = format!("{name}, {isa}, {precision:?}, {tokens} tokens");
                assert_eq!(held.shared(), expected.shared(), "{what}");
                // How many rows a chunk of few tokens has depends on the team; a row or two of f32.
                let (least, most) = (held.per_thread(), expected.per_thread());
                assert!(least <= most, "{what}: {least} of {most}");
                assert!(
                    tokens <= FEW || most - least <= 16_384,
                    "{what}: {least} of {most}"
                );
            }
        }
    }
}

/// What this thread holds.
fn held() -> Sizes {
    const F32: usize = size_of::<f32>();
    let (codes, turned, floats) = INPUTS.with_borrow(|inputs| {
        let a = &inputs.codes;
        let steps = a.step16.len() + a.sum16.len() + a.pair32.len();
        (
            a.codes.len() + steps * F32,
            a.turned.codes.len()
                + (a.turned.steps.len() + a.turned.peaks.len()) * F32
                + (a.turned.wholes.len() + a.turned.sums.len()) * size_of::<i16>(),
            inputs.floats.len() * F32,
        )
    });
    SCRATCH.with_borrow(|scratch| {
        let panel = &scratch.panel;
        Sizes {
            codes,
            turned,
            floats,
            panel: panel.codes.len() + (panel.scales.len() + panel.offsets.len()) * F32,
            rows: scratch.rows.len() * F32,
            out: scratch.out.capacity() * F32,
        }
    })
}
