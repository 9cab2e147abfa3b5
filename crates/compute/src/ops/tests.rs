//! Every operation against a plain reference in f64, in both precisions, on every instruction set and on
//! teams of several sizes.

mod recurrent;

use hearth_format::{BlockType, Bytes, Storage, Tensor};
use proptest::prelude::*;

use crate::{
    Activation, Attend, Backend, Buffer, Cache, Cpu, Experts, Isa, Linear, Mask, Matrix, Norm,
    NormKind, Pairing, Precision, Rope, Router, Scoring, Span,
};

/// Numbers in -1..1 from a seed.
struct Noise(u64);

impl Noise {
    fn one(&mut self) -> f32 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 40) as f32) / 8_388_608.0 - 1.0
    }

    fn fill(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| self.one()).collect()
    }

    fn buffer(&mut self, rows: usize, width: usize) -> Buffer {
        Buffer::new(self.fill(rows * width), width)
    }

    fn matrix(&mut self, cpu: &Cpu, rows: usize, columns: usize) -> (Matrix, Vec<f32>) {
        let values = self.fill(rows * columns);
        let bytes = values
            .iter()
            .flat_map(|v| v.to_le_bytes())
            .collect::<Vec<u8>>();
        let storage = Storage::Blocks {
            block: BlockType::F32,
            bytes: Bytes::new(bytes),
        };
        let tensor = Tensor {
            name: "w".into(),
            shape: vec![rows, columns],
            storage,
        };
        (
            cpu.matrix(&tensor, 0..rows).expect("the tensor fits"),
            values,
        )
    }
}

/// Runs `f` for each instruction set with one thread and with more; those must agree in bits.
/// Returns the results of each instruction set.
fn on_all(precision: Precision, f: impl Fn(&Cpu) -> Vec<f32>) -> Vec<Vec<f32>> {
    Isa::available()
        .map(|isa| {
            let cpu = |threads| Cpu::new(threads, isa, precision).expect("available");
            let alone = f(&cpu(1));
            for threads in [2, 5] {
                assert_eq!(
                    bits(&f(&cpu(threads))),
                    bits(&alone),
                    "{threads} threads, {isa}"
                );
            }
            alone
        })
        .collect()
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| v.to_bits()).collect()
}

fn close(got: &[f32], want: &[f64], tolerance: f64) {
    assert_eq!(got.len(), want.len());
    for (i, (&got, &want)) in got.iter().zip(want).enumerate() {
        let error = (f64::from(got) - want).abs();
        assert!(
            error <= tolerance * want.abs().max(1.0),
            "value {i}: {got}, expected {want}"
        );
    }
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&v| f64::from(v)).collect()
}

fn softmax(z: &[f64]) -> Vec<f64> {
    let max = z.iter().copied().fold(f64::MIN, f64::max);
    let e: Vec<f64> = z.iter().map(|v| (v - max).exp()).collect();
    e.iter().map(|v| v / e.iter().sum::<f64>()).collect()
}

fn silu(x: f64) -> f64 {
    x / (1.0 + (-x).exp())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn norm_equals_its_formula(
        seed in any::<u64>(), rows in 1usize..40, groups in 1usize..5, width in 1usize..600,
        layer in any::<bool>(), weight in any::<bool>(), each in any::<bool>(), bias in any::<bool>(),
    ) {
        let mut noise = Noise(seed);
        let x = noise.buffer(rows, groups * width);
        // One weight for all groups of a row, or one for each.
        let weights = if each { groups } else { 1 };
        let (w, b) = (noise.fill(weights * width), noise.fill(width));
        let kind = if layer { NormKind::Layer } else { NormKind::Rms };
        let norm = Norm { kind, eps: 1e-5, width, weight: weight.then(|| w.clone()), bias: bias.then(|| b.clone()) };
        let want: Vec<f64> = x.data.chunks(width).enumerate().flat_map(|(number, group)| {
            let w = &w[number % weights * width..][..width];
            let x = wide(group);
            let mean = if layer { x.iter().sum::<f64>() / width as f64 } else { 0.0 };
            let square = x.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / width as f64;
            let b = &b;
            x.into_iter().enumerate().map(move |(i, v)| {
                let v = (v - mean) / (square + 1e-5).sqrt();
                let v = if weight { v * f64::from(w[i]) } else { v };
                if bias { v + f64::from(b[i]) } else { v }
            }).collect::<Vec<_>>()
        }).collect();
        for got in on_all(Precision::Exact, |cpu| {
            let mut out = Buffer::default();
            cpu.norm(&norm, &x, &mut out);
            cpu.read(&out)
        }) {
            // One value minus its own mean is rounding error only, which the root then divides.
            close(&got, &want, if width < 3 { 1e-3 } else { 2e-5 });
        }
    }

    #[test]
    fn rope_turns_pairs_and_leaves_the_rest(
        seed in any::<u64>(), tokens in 1usize..20, heads in 1usize..4, pairs in 1usize..40, rest in 0usize..9, halves in any::<bool>(),
    ) {
        let mut noise = Noise(seed);
        let head_dim = 2 * pairs + rest;
        let x = noise.buffer(tokens, heads * head_dim);
        let rope = Rope {
            pairing: if halves { Pairing::Halves } else { Pairing::Adjacent },
            frequencies: (0..pairs).map(|i| 10_000f32.powf(-(i as f32) / pairs as f32)).collect(),
            magnitude: 1.25,
        };
        let positions: Vec<u32> = (0..tokens).map(|t| (seed % 9_000) as u32 + 3 * t as u32).collect();
        let mut want = wide(&x.data);
        for (t, row) in want.chunks_mut(heads * head_dim).enumerate() {
            for head in row.chunks_mut(head_dim) {
                for i in 0..pairs {
                    let (s, c) = f64::from(positions[t] as f32 * rope.frequencies[i]).sin_cos();
                    let (a, b) = if halves { (i, i + pairs) } else { (2 * i, 2 * i + 1) };
                    let (x0, x1) = (head[a], head[b]);
                    head[a] = 1.25 * (x0 * c - x1 * s);
                    head[b] = 1.25 * (x0 * s + x1 * c);
                }
            }
        }
        for got in on_all(Precision::Exact, |cpu| {
            let mut x = x.clone();
            cpu.rope(&rope, head_dim, &positions, &mut x);
            // Another step in between must not disturb the tables.
            cpu.rope(&rope, head_dim, &vec![7; tokens], &mut x.clone());
            let again = x.clone();
            let mut twice = again.clone();
            cpu.rope(&rope, head_dim, &positions, &mut twice);
            assert_ne!(bits(&twice.data), bits(&again.data));
            cpu.read(&again)
        }) {
            close(&got, &want, 1e-6);
        }
    }

    #[test]
    fn rows_are_embedded_scaled_added_gated_and_picked(seed in any::<u64>(), tokens in 1usize..30, width in 1usize..3_000) {
        let ids: Vec<u32> = (0..tokens).map(|t| ((seed >> (t % 50)) % 17) as u32).collect();
        for got in on_all(Precision::Fast, |cpu| {
            let mut noise = Noise(seed);
            let (table, values) = noise.matrix(cpu, 17, width);
            let up = noise.buffer(tokens, width);
            let (mut x, mut y, mut out) = (Buffer::default(), Buffer::default(), Buffer::default());
            cpu.embed(&table, &ids, 3.0, &mut x);
            let want: Vec<f64> = ids.iter().flat_map(|&id| wide(&values[id as usize * width..][..width])).map(|v| 3.0 * v).collect();
            close(&x.data, &want, 1e-6);

            cpu.copy(&x, &mut y);
            cpu.activate(Activation::Silu, &mut y, Some(&up));
            let want: Vec<f64> = want.iter().zip(&up.data).map(|(x, &u)| silu(*x) * f64::from(u)).collect();
            close(&y.data, &want, 1e-6);

            cpu.add(&mut y, &x, -0.5);
            let want: Vec<f64> = want.iter().zip(&x.data).map(|(y, &x)| y - 0.5 * f64::from(x)).collect();
            close(&y.data, &want, 1e-6);

            cpu.scale(&mut y, 2.0, Some(1.5));
            let want: Vec<f64> = want.iter().map(|y| 1.5 * (2.0 * y / 1.5).tanh()).collect();
            close(&y.data, &want, 2e-6);

            cpu.select(&y, &[tokens - 1, 0], &mut out);
            assert_eq!(out.rows(), 2);
            assert_eq!(out.row(0), y.row(tokens - 1));
            assert_eq!(out.row(1), y.row(0));
            cpu.mean(&y, &[0..tokens, 0..1], &mut out);
            let mean: Vec<f64> = (0..width).map(|i| (0..tokens).map(|t| f64::from(y.row(t)[i])).sum::<f64>() / tokens as f64).collect();
            close(out.row(0), &mean, 1e-5);
            assert_eq!(out.row(1), y.row(0));
            y.data
        }) {
            assert_eq!(got.len(), tokens * width);
        }
    }

    #[test]
    fn linear_adds_biases(seed in any::<u64>(), tokens in 1usize..9, columns in 1usize..90, rows in 1usize..40) {
        on_all(Precision::Exact, |cpu| {
            let mut noise = Noise(seed);
            let ((a, a_values), (b, b_values)) = (noise.matrix(cpu, rows, columns), noise.matrix(cpu, rows + 3, columns));
            let (x, bias) = (noise.buffer(tokens, columns), noise.fill(rows));
            let (mut one, mut two) = (Buffer::default(), Buffer::default());
            cpu.linear(&x, &mut [
                Linear { weight: &a, bias: Some(&bias), out: &mut one },
                Linear { weight: &b, bias: None, out: &mut two },
            ]);
            let product = |w: &[f32], rows: usize| -> Vec<f64> {
                (0..tokens * rows).map(|i| {
                    let terms = x.row(i / rows).iter().zip(&w[i % rows * columns..][..columns]);
                    terms.map(|(x, w)| f64::from(*x) * f64::from(*w)).sum()
                }).collect()
            };
            let biased: Vec<f64> = product(&a_values, rows).iter().enumerate().map(|(i, v)| v + f64::from(bias[i % rows])).collect();
            close(&one.data, &biased, 1e-5);
            close(&two.data, &product(&b_values, rows + 3), 1e-5);
            [one.data, two.data].concat()
        });
    }

    #[test]
    fn experts_equal_the_plain_sum(
        seed in any::<u64>(), tokens in 1usize..6, count in 1usize..7, used in 1usize..4, which in 0usize..3, normalize in any::<bool>(),
    ) {
        let (width, hidden) = (24, 17);
        let scoring = [Scoring::Softmax, Scoring::SoftmaxOfChosen, Scoring::Sigmoid][which];
        let router = Router { used, scoring, normalize, scale: 1.5 };
        on_all(Precision::Exact, |cpu| {
            let mut noise = Noise(seed);
            let mut stack = |rows, columns| -> (Vec<Matrix>, Vec<Vec<f32>>) { (0..count).map(|_| noise.matrix(cpu, rows, columns)).unzip() };
            let ((gate, g), (up, u), (down, d)) = (stack(hidden, width), stack(hidden, width), stack(width, hidden));
            let experts = Experts { gate, up, down, activation: Activation::Silu };
            let (x, scores) = (noise.buffer(tokens, width), noise.buffer(tokens, count));
            let mut out = Buffer::default();
            cpu.experts(&router, &experts, &scores, &x, &mut out);
            let product = |w: &[f32], x: &[f64]| -> Vec<f64> {
                w.chunks(x.len()).map(|row| row.iter().zip(x).map(|(w, x)| f64::from(*w) * x).sum()).collect()
            };
            let mut want = Vec::new();
            for t in 0..tokens {
                let z = wide(scores.row(t));
                let s = match scoring {
                    Scoring::Softmax => softmax(&z),
                    Scoring::SoftmaxOfChosen => z.clone(),
                    Scoring::Sigmoid => z.iter().map(|z| 1.0 / (1.0 + (-z).exp())).collect(),
                };
                let mut order: Vec<usize> = (0..count).collect();
                order.sort_by(|&a, &b| z[b].total_cmp(&z[a]));
                order.truncate(used);
                let mut weights: Vec<f64> = order.iter().map(|&e| s[e]).collect();
                if scoring == Scoring::SoftmaxOfChosen { weights = softmax(&weights) }
                let total: f64 = if normalize { weights.iter().sum() } else { 1.0 };
                let mut sum = vec![0.0; width];
                for (&e, w) in order.iter().zip(&weights) {
                    let x = wide(x.row(t));
                    let hidden: Vec<f64> = product(&g[e], &x).iter().zip(product(&u[e], &x)).map(|(g, u)| silu(*g) * u).collect();
                    sum.iter_mut().zip(product(&d[e], &hidden)).for_each(|(sum, v)| *sum += v * w / total * 1.5);
                }
                want.extend(sum);
            }
            close(&out.data, &want, 2e-5);
            out.data
        });
    }
}

#[test]
fn routers_survive_ties_and_nan() {
    let cases: [(&[f32], usize, &[usize]); 5] = [
        (&[1.0, 3.0, 3.0, 2.0], 2, &[1, 2]),
        (&[0.0, 0.0, 0.0], 2, &[0, 1]),
        (&[f32::NAN, 1.0, 2.0], 2, &[2, 1]),
        (&[1.0, 2.0], 5, &[1, 0]),
        (&[], 2, &[]),
    ];
    for (scores, used, want) in cases {
        let router = Router {
            used,
            scoring: Scoring::Sigmoid,
            normalize: true,
            scale: 1.0,
        };
        let chosen = super::experts::choose(Isa::Scalar, &router, 0, scores);
        assert_eq!(
            chosen.iter().map(|c| c.expert).collect::<Vec<_>>(),
            want,
            "{scores:?}"
        );
    }
}

/// An attention with random inputs for `len` positions of one sequence.
#[derive(Debug)]
struct Case {
    attend: Attend<Vec<f32>>,
    q: Buffer,
    k: Buffer,
    v: Buffer,
}

impl Case {
    fn new(
        seed: u64,
        len: usize,
        kv_heads: usize,
        group: usize,
        dims: (usize, usize),
        mask: Mask,
    ) -> Self {
        let mut noise = Noise(seed);
        let heads = kv_heads * group;
        let mut buffer = |width: usize, size: f32| {
            Buffer::new(
                noise.fill(len * width).iter().map(|v| v * size).collect(),
                width,
            )
        };
        let (q, k, v) = (
            buffer(heads * dims.0, 3.0),
            buffer(kv_heads * dims.0, 3.0),
            buffer(kv_heads * dims.1, 1.0),
        );
        let attend = Attend {
            heads,
            kv_heads,
            key_dim: dims.0,
            value_dim: dims.1,
            scale: 0.4,
            soft_cap: (seed & 1 == 1).then_some(5.0),
            mask,
            sinks: (seed & 2 == 2).then(|| noise.fill(heads)),
        };
        Self { attend, q, k, v }
    }

    fn sees(&self, query: usize, key: usize) -> bool {
        match self.attend.mask {
            Mask::Causal => key <= query,
            Mask::Window(n) => key <= query && key + n > query,
            Mask::Bidirectional => true,
            Mask::Around(n) => key.abs_diff(query) <= n,
        }
    }

    fn reference(&self) -> Vec<f64> {
        let Attend {
            heads,
            kv_heads,
            key_dim,
            value_dim,
            scale,
            soft_cap,
            ..
        } = self.attend;
        let len = self.q.rows();
        let mut out = Vec::new();
        for query in 0..len {
            for head in 0..heads {
                let q = wide(&self.q.row(query)[head * key_dim..][..key_dim]);
                let kv = head / (heads / kv_heads);
                let keys: Vec<usize> = (0..len).filter(|&key| self.sees(query, key)).collect();
                let mut logits: Vec<f64> = keys
                    .iter()
                    .map(|&key| {
                        let k = &self.k.row(key)[kv * key_dim..][..key_dim];
                        let z = q.iter().zip(k).map(|(q, k)| q * f64::from(*k)).sum::<f64>()
                            * f64::from(scale);
                        soft_cap.map_or(z, |cap| f64::from(cap) * (z / f64::from(cap)).tanh())
                    })
                    .collect();
                logits.extend(self.attend.sinks.iter().map(|sinks| f64::from(sinks[head])));
                let weights = softmax(&logits);
                out.extend((0..value_dim).map(|d| {
                    keys.iter()
                        .zip(&weights)
                        .map(|(&key, w)| w * f64::from(self.v.row(key)[kv * value_dim + d]))
                        .sum::<f64>()
                }));
            }
        }
        out
    }

    /// The rows `range` of `x`.
    fn part(x: &Buffer, range: std::ops::Range<usize>) -> Buffer {
        Buffer::new(
            x.data[range.start * x.width..range.end * x.width].to_vec(),
            x.width,
        )
    }

    /// Feeds positions `range` to the cache as one step.
    fn step(&self, cpu: &Cpu, cache: &mut Cache, range: std::ops::Range<usize>) -> Vec<f32> {
        let span = Span {
            rows: 0..range.len(),
            first_position: range.start,
        };
        let part = |x| Self::part(x, range.clone());
        cpu.store(cache, &span, &part(&self.k), &part(&self.v));
        let mut out = Buffer::default();
        cpu.attend(&self.attend, &[(span, cache)], &part(&self.q), &mut out);
        out.data
    }

    fn cache(&self, cpu: &Cpu) -> Cache {
        cpu.cache(
            self.attend.kv_heads,
            self.attend.key_dim,
            self.attend.value_dim,
        )
    }

    fn chunked(&self, cpu: &Cpu, chunk: usize) -> Vec<f32> {
        let (mut cache, len) = (self.cache(cpu), self.q.rows());
        (0..len)
            .step_by(chunk)
            .flat_map(|first| self.step(cpu, &mut cache, first..len.min(first + chunk)))
            .collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn attention_equals_the_reference_in_any_chunks(
        seed in any::<u64>(), len in 1usize..700, kv_heads in 1usize..3, group in 1usize..6,
        key_dim in 1usize..40, value_dim in 1usize..40, window in 1usize..400, windowed in any::<bool>(), chunk in 1usize..300,
    ) {
        let mask = if windowed { Mask::Window(window) } else { Mask::Causal };
        let case = Case::new(seed, len, kv_heads, group, (key_dim, value_dim), mask);
        let want = case.reference();
        for (precision, tolerance) in [(Precision::Exact, 1e-5), (Precision::Fast, 6e-3)] {
            for got in on_all(precision, |cpu| case.chunked(cpu, len)) {
                close(&got, &want, tolerance);
            }
            for isa in Isa::available() {
                let cpu = Cpu::new(2, isa, precision).expect("available");
                let whole = bits(&case.chunked(&cpu, len));
                prop_assert_eq!(&bits(&case.chunked(&cpu, chunk)), &whole, "chunks of {}", chunk);
                prop_assert_eq!(&bits(&case.chunked(&cpu, 1)), &whole, "token by token");
            }
        }
    }

    #[test]
    fn bidirectional_attention_sees_everything_or_what_is_near(seed in any::<u64>(), len in 1usize..300, near in 0usize..320) {
        for mask in [Mask::Bidirectional, Mask::Around(near)] {
            let case = Case::new(seed, len, 2, 2, (16, 24), mask);
            for got in on_all(Precision::Exact, |cpu| case.chunked(cpu, len)) {
                close(&got, &case.reference(), 1e-5);
            }
        }
    }

    #[test]
    fn sequences_in_one_step_do_not_disturb_each_other(
        seed in any::<u64>(), lens in prop::collection::vec(1usize..400, 1..5), prompt in 1usize..50,
    ) {
        let cpu = Cpu::new(3, Isa::best(), Precision::Fast).expect("available");
        let cases: Vec<Case> =
            lens.iter().map(|len| Case::new(seed & !3, len + prompt, 2, 3, (32, 32), Mask::Causal)).collect();
        let (mut want, mut spans, mut caches) = (Vec::new(), Vec::new(), Vec::new());
        let (mut q, mut rows) = (Buffer { data: Vec::new(), width: 6 * 32 }, 0);
        for (i, (case, &len)) in cases.iter().zip(&lens).enumerate() {
            // Every other sequence decodes one token, the others read a prompt.
            let count = if i % 2 == 0 { 1 } else { prompt };
            let mut cache = case.cache(&cpu);
            case.step(&cpu, &mut cache, 0..len);
            want.extend(case.step(&cpu, &mut cache, len..len + count));
            spans.push(Span { rows: rows..rows + count, first_position: len });
            q.data.extend(Case::part(&case.q, len..len + count).data);
            rows += count;
            caches.push(cache);
        }
        let joined: Vec<(Span, &Cache)> = spans.into_iter().zip(&caches).collect();
        let mut out = Buffer::default();
        cpu.attend(&cases[0].attend, &joined, &q, &mut out);
        prop_assert_eq!(bits(&out.data), bits(&want));
    }

    #[test]
    fn forks_and_rollbacks_keep_their_own_past(seed in any::<u64>(), len in 2usize..300, keep in 1usize..300, exact in any::<bool>()) {
        let precision = if exact { Precision::Exact } else { Precision::Fast };
        let cpu = Cpu::new(2, Isa::best(), precision).expect("available");
        let case = Case::new(seed & !3, len, 2, 2, (16, 16), Mask::Causal);
        let other = Case::new(!seed & !3, len, 2, 2, (16, 16), Mask::Causal);
        let keep = keep.min(len - 1);
        let mut cache = case.cache(&cpu);
        let want = case.step(&cpu, &mut cache, 0..len);
        let tail = |out: &[f32]| bits(&out[keep * 2 * 2 * 16..]);

        // The fork goes another way; the original does not notice.
        let mut fork = cache.clone();
        cpu.truncate(&mut fork, keep);
        prop_assert_eq!(fork.len(), keep);
        let astray = other.step(&cpu, &mut fork, keep..len);
        prop_assert_ne!(bits(&astray), tail(&want));
        cpu.truncate(&mut cache, keep);
        prop_assert_eq!(bits(&case.step(&cpu, &mut cache, keep..len)), tail(&want));
        // And back again, by storing over it.
        prop_assert_eq!(bits(&case.step(&cpu, &mut fork, keep..len)), tail(&want));
    }

    #[test]
    fn pages_make_a_cache_again_shared_or_through_bytes(seed in any::<u64>(), len in 2usize..300, keep in 1usize..300, exact in any::<bool>()) {
        let precision = if exact { Precision::Exact } else { Precision::Fast };
        let cpu = Cpu::new(2, Isa::best(), precision).expect("available");
        let case = Case::new(seed & !3, len, 2, 2, (16, 17), Mask::Causal);
        let keep = keep.min(len - 1);
        let mut cache = case.cache(&cpu);
        let want = case.step(&cpu, &mut cache, 0..len);
        let (mut shared, mut read, mut lent) = (case.cache(&cpu), case.cache(&cpu), case.cache(&cpu));
        for index in 0..keep.div_ceil(cpu.page_len()) {
            let positions = (keep - index * cpu.page_len()).min(cpu.page_len());
            let page = cpu.page(&cache, index).expect("within the cache");
            cpu.append_page(&mut shared, &page, positions);
            let mut bytes = Vec::new();
            cpu.write_page(&page, &mut bytes).expect("memory");
            let cut = &bytes[..bytes.len() - 1];
            prop_assert!(cpu.read_page(&read, &mut &*cut).is_err());
            let page = cpu.read_page(&read, &mut &*bytes).expect("whole");
            cpu.append_page(&mut read, &page, positions);
            // Where it lies: first of what follows, and only where its values are aligned.
            let shifted = Bytes::new([&[0; 64][..], &bytes, &[7]].concat());
            let mut from = shifted.slice(64, bytes.len() + 1).expect("so many");
            let page = cpu.lend_page(&lent, &mut from).expect("whole and aligned");
            prop_assert_eq!(&from[..], &[7]);
            cpu.append_page(&mut lent, &page, positions);
            for (start, len) in [(63, bytes.len()), (64, bytes.len() - 1)] {
                let mut from = shifted.slice(start, len).expect("so many");
                prop_assert!(cpu.lend_page(&lent, &mut from).is_none());
            }
        }
        prop_assert!(cpu.page(&cache, len.div_ceil(cpu.page_len())).is_none());
        let tail = bits(&want[keep * 2 * 2 * 17..]);
        for other in [&mut shared, &mut read, &mut lent] {
            prop_assert_eq!(other.len(), keep);
            prop_assert_eq!(&bits(&case.step(&cpu, other, keep..len)), &tail);
        }
        // What was shared is still as it was.
        cpu.truncate(&mut cache, keep);
        prop_assert_eq!(&bits(&case.step(&cpu, &mut cache, keep..len)), &tail);
    }
}

#[test]
fn the_size_of_a_cache_is_known_before() {
    let cpu = |precision| Cpu::new(1, Isa::Scalar, precision).expect("available");
    for (precision, size) in [(Precision::Exact, 4), (Precision::Fast, 2)] {
        let cpu = cpu(precision);
        let bytes = |positions| cpu.cache_bytes(8, 128, 80, positions);
        assert_eq!(bytes(0), 0);
        assert_eq!(bytes(1), 64 * 8 * (128 + 80) * size);
        assert_eq!(bytes(65), 2 * bytes(64));
        assert_eq!(cpu.cache_bytes(usize::MAX, 8, 8, usize::MAX), usize::MAX);
    }
}

#[test]
fn what_a_longer_past_left_behind_is_not_seen() {
    let cpu = Cpu::new(1, Isa::best(), Precision::Fast).expect("available");
    let case = Case::new(0, 20, 1, 1, (16, 16), Mask::Causal);
    let mut cache = case.cache(&cpu);
    let want = case.step(&cpu, &mut cache, 0..10);
    let poison = Buffer::new(vec![f32::NAN; 16 * 10], 16);
    cpu.store(
        &mut cache,
        &Span {
            rows: 0..10,
            first_position: 10,
        },
        &poison,
        &poison,
    );
    cpu.truncate(&mut cache, 9);
    assert_eq!(
        bits(&case.step(&cpu, &mut cache, 9..10)),
        bits(&want[9 * 16..])
    );
}

#[test]
fn only_what_the_processor_and_the_tensor_have() {
    if let Some(beyond) = Isa::ALL.into_iter().find(|&isa| isa > Isa::best()) {
        assert!(Cpu::new(1, beyond, Precision::Fast).is_err());
    }
    let cpu = Cpu::new(1, Isa::Scalar, Precision::Fast).expect("available");
    let storage = Storage::Blocks {
        block: BlockType::F32,
        bytes: Bytes::new(vec![0u8; 4 * 6]),
    };
    let tensor = Tensor {
        name: "stack".into(),
        shape: vec![3, 2],
        storage,
    };
    assert_eq!(cpu.matrix(&tensor, 1..3).expect("inside").rows(), 2);
    for rows in [2..4, usize::MAX - 1..usize::MAX] {
        let error = cpu.matrix(&tensor, rows).expect_err("outside").to_string();
        assert!(error.contains("tensor stack has 3 rows"), "{error}");
    }
}
