//! Convolutions and scans against their formulas, in any cuts of a text, with several texts in a step.

use super::*;
use crate::{Convolution, Recurrent, Scan, ScanInputs};

/// A scan and what it reads of some tokens.
struct Case {
    scan: Scan<Vec<f32>>,
    /// `x`, steps, inputs and outputs.
    read: [Buffer; 4],
}

impl Case {
    fn new(
        seed: u64,
        tokens: usize,
        [heads, head_dim, state, groups]: [usize; 4],
        alike: bool,
    ) -> Self {
        let mut noise = Noise(seed);
        let heads = heads * groups;
        let mut negative =
            |n: usize| -> Vec<f32> { noise.fill(n).into_iter().map(|v| -v.abs() * 2.0).collect() };
        let decay = negative(if alike { heads } else { heads * state });
        let steps = negative(tokens * heads).into_iter().map(|v| -v).collect();
        Self {
            scan: Scan {
                heads,
                head_dim,
                state,
                groups,
                decay,
                skip: noise.fill(heads),
            },
            read: [
                noise.buffer(tokens, heads * head_dim),
                Buffer::new(steps, heads),
                noise.buffer(tokens, groups * state),
                noise.buffer(tokens, groups * state),
            ],
        }
    }

    fn tokens(&self) -> usize {
        self.read[0].rows()
    }

    /// The formula of [`Scan`], value by value.
    fn reference(&self) -> Vec<f64> {
        let Scan {
            heads,
            head_dim,
            state,
            groups,
            ..
        } = self.scan;
        let value = |of: usize, row: usize, i: usize| f64::from(self.read[of].row(row)[i]);
        let mut states = vec![0.0; heads * head_dim * state];
        let mut out = Vec::new();
        for row in 0..self.tokens() {
            for channel in 0..heads * head_dim {
                let head = channel / head_dim;
                let group = head / (heads / groups) * state;
                let (step, x) = (value(1, row, head), value(0, row, channel));
                let mut y = f64::from(self.scan.skip[head]) * x;
                for n in 0..state {
                    let decay = match self.scan.decay.len() == heads {
                        true => self.scan.decay[head],
                        false => self.scan.decay[head * state + n],
                    };
                    let s = &mut states[channel * state + n];
                    *s = (step * f64::from(decay)).exp() * *s + step * x * value(2, row, group + n);
                    y += *s * value(3, row, group + n);
                }
                out.push(y);
            }
        }
        out
    }

    fn step(&self, cpu: &Cpu, state: &mut Recurrent, rows: std::ops::Range<usize>) -> Vec<f32> {
        let [x, steps, input, output] = &self.read.each_ref().map(|of| part(of, rows.clone()));
        let inputs = ScanInputs {
            x,
            steps,
            input,
            output,
        };
        let mut out = Buffer::default();
        cpu.scan(
            &self.scan,
            &mut [(span(0..rows.len()), state)],
            inputs,
            &mut out,
        );
        cpu.read(&out)
    }
}

fn part(of: &Buffer, rows: std::ops::Range<usize>) -> Buffer {
    Buffer::new(
        of.data[rows.start * of.width..rows.end * of.width].to_vec(),
        of.width,
    )
}

/// Positions do not matter here.
fn span(rows: std::ops::Range<usize>) -> Span {
    Span {
        rows,
        first_position: 0,
    }
}

/// Cuts `0..len` into pieces of `piece`.
fn pieces(len: usize, piece: usize) -> impl Iterator<Item = std::ops::Range<usize>> {
    (0..len)
        .step_by(piece)
        .map(move |at| at..(at + piece).min(len))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn scans_equal_their_formula_in_any_pieces(
        seed in any::<u64>(), tokens in 1usize..40, piece in 1usize..40, heads in 1usize..70, head_dim in 1usize..20,
        state in 1usize..70, groups in 1usize..4, alike in any::<bool>(),
    ) {
        let case = Case::new(seed, tokens, [heads, head_dim, state, groups], alike);
        let want = case.reference();
        let got = on_all(Precision::Exact, |cpu| {
            let mut state = cpu.recurrent(case.scan.heads * head_dim * state);
            pieces(tokens, piece).flat_map(|rows| {
                // A step that is given up leaves no trace.
                case.step(cpu, &mut state, 0..1);
                cpu.restore(&mut state);
                let out = case.step(cpu, &mut state, rows);
                cpu.commit(&mut state);
                out
            }).collect()
        });
        for got in &got {
            close(got, &want, 1e-4);
        }
        prop_assert!(got.windows(2).all(|pair| bits(&pair[0]) == bits(&pair[1])), "the same bits everywhere");
    }

    #[test]
    fn convolutions_equal_their_formula_in_any_pieces(
        seed in any::<u64>(), tokens in 1usize..40, piece in 1usize..40, channels in 1usize..300, taps in 1usize..6,
        bias in any::<bool>(),
    ) {
        let mut noise = Noise(seed);
        let x = noise.buffer(tokens, channels);
        let convolution = Convolution {
            taps: (0..taps).map(|_| noise.fill(channels)).collect(),
            bias: bias.then(|| noise.fill(channels)),
        };
        let want: Vec<f64> = (0..tokens).flat_map(|t| (0..channels).map(move |c| (t, c))).map(|(t, c)| {
            let seen = (0..taps).filter_map(|j| Some((j, (t + j).checked_sub(taps - 1)?)));
            let sum: f64 = seen.map(|(j, row)| f64::from(convolution.taps[j][c]) * f64::from(x.row(row)[c])).sum();
            sum + convolution.bias.as_ref().map_or(0.0, |bias| f64::from(bias[c]))
        }).collect();
        for got in on_all(Precision::Exact, |cpu| {
            // Beside a text of its own that goes through in the same steps.
            let mut states = [(); 2].map(|()| cpu.recurrent((taps - 1) * channels));
            let mut out = Buffer::default();
            pieces(tokens, piece).flat_map(|rows| {
                let both = [part(&x, rows.clone()).data, vec![1.0; channels]].concat();
                let both = Buffer::new(both, channels);
                let [own, other] = &mut states;
                let len = rows.len();
                let mut spans = [(span(0..len), own), (span(len..len + 1), other)];
                cpu.convolve(&convolution, &mut spans, &both, &mut out);
                states.iter_mut().for_each(|state| cpu.commit(state));
                cpu.read(&out)[..len * channels].to_vec()
            }).collect()
        }) {
            close(&got, &want, 1e-5);
        }
    }

    #[test]
    fn clones_and_bytes_keep_what_was(seed in any::<u64>(), tokens in 2usize..20, cut in 1usize..20) {
        let cut = cut.min(tokens - 1);
        let case = Case::new(seed, tokens, [5, 3, 9, 2], true);
        let cpu = Cpu::new(2, Isa::detect().expect("known"), Precision::Fast).expect("available");
        let mut state = cpu.recurrent(10 * 3 * 9);
        let mut bytes = Vec::new();
        cpu.write_recurrent(&state, &mut bytes).expect("memory");
        prop_assert_eq!(&bytes, &vec![0; 10 * 3 * 9 * 4]);
        case.step(&cpu, &mut state, 0..cut);
        cpu.commit(&mut state);
        let mut clone = state.clone();
        bytes.clear();
        cpu.write_recurrent(&state, &mut bytes).expect("memory");
        let mut read = cpu.read_recurrent(&state, &mut &bytes[..]).expect("as many values");
        prop_assert!(cpu.read_recurrent(&state, &mut &bytes[1..]).is_err());
        let want = case.step(&cpu, &mut state, cut..tokens);
        cpu.commit(&mut state);
        // The clone is where it was, whatever became of the other.
        case.step(&cpu, &mut state, 0..1);
        cpu.commit(&mut state);
        prop_assert_eq!(bits(&case.step(&cpu, &mut clone, cut..tokens)), bits(&want));
        prop_assert_eq!(bits(&case.step(&cpu, &mut read, cut..tokens)), bits(&want));
        let mut zeroed = cpu.zeroed(&state);
        let whole = case.step(&cpu, &mut zeroed, 0..tokens);
        prop_assert_eq!(bits(&whole[whole.len() - want.len()..]), bits(&want));
    }
}
