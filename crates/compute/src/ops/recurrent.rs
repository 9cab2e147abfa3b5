//! Mixers whose state does not grow: causal convolutions of each channel, and state space scans.
//!
//! A step reads the state as it was and writes another beside it, which takes its place when the step is whole. So a step
//! that is given up needs no undoing, and a clone shares what it took for as long as it lives.

use std::{
    io::{self, Read, Write},
    ops::Range,
    sync::Arc,
};

use super::Pool;
use crate::{
    Buffer, Team,
    backend::{Convolution, Scan, ScanInputs, Span},
    isa::Isa,
    kernels::ops_scan,
    team::Cells,
};

/// What a mixer carries from token to token, of one sequence in one layer: zeros at first.
#[derive(Debug)]
pub struct Recurrent {
    len: usize,
    now: Option<Arc<Vec<f32>>>,
    next: Option<Arc<Vec<f32>>>,
    written: bool,
}

/// Without the memory of a step.
impl Clone for Recurrent {
    fn clone(&self) -> Self {
        Self {
            now: self.now.clone(),
            ..Self::new(self.len)
        }
    }
}

impl Recurrent {
    /// `len` zeros, which take no memory.
    pub(crate) fn new(len: usize) -> Self {
        Self {
            len,
            now: None,
            next: None,
            written: false,
        }
    }

    /// As many zeros.
    pub(crate) fn zeroed(&self) -> Self {
        Self::new(self.len)
    }

    /// Makes what a step wrote the state, if it wrote.
    pub(crate) fn commit(&mut self) {
        if std::mem::take(&mut self.written) {
            std::mem::swap(&mut self.now, &mut self.next);
        }
    }

    /// Forgets what a step wrote.
    pub(crate) fn restore(&mut self) {
        self.written = false;
    }

    /// What is read, none for zeros, and what is to be written as a whole.
    fn step(&mut self) -> (Option<&[f32]>, &mut [f32]) {
        self.written = true;
        // Shared with a clone since it was the state: that keeps it.
        if self
            .next
            .as_mut()
            .is_none_or(|next| Arc::get_mut(next).is_none())
        {
            self.next = Some(Arc::new(vec![0.0; self.len]));
        }
        let next = self.next.as_mut().and_then(Arc::get_mut);
        let next = next.expect("nobody else has what was just made");
        (self.now.as_ref().map(|now| &now[..]), next)
    }

    /// Writes the values in the machine's byte order.
    pub(crate) fn write(&self, to: &mut dyn Write) -> io::Result<()> {
        match &self.now {
            Some(now) => to.write_all(bytemuck::cast_slice(now)),
            None => to.write_all(&vec![0; self.len * size_of::<f32>()]),
        }
    }

    /// Reads what [`Self::write`] wrote of one of the same length.
    pub(crate) fn read(&self, from: &mut dyn Read) -> io::Result<Self> {
        let mut values = vec![0.0_f32; self.len];
        from.read_exact(bytemuck::cast_slice_mut(&mut values))?;
        Ok(Self {
            now: Some(Arc::new(values)),
            ..Self::new(self.len)
        })
    }
}

/// Values that are worth a hand-out.
const PIECE: usize = 4096;

/// `out[t] = bias + Σ taps[j] ⊙ x[t - (taps - 1) + j]`, each span after the last inputs of its sequence.
///
/// The state is those inputs, `[taps - 1][channels]`, the oldest first.
pub(crate) fn convolve(
    team: &Team,
    isa: Isa,
    convolution: &Convolution<Vec<f32>>,
    spans: &mut [(Span, &mut Recurrent)],
    x: &Buffer,
    out: &mut Buffer,
) {
    let channels = x.width;
    let before = convolution.taps.len() - 1;
    let mut states: Vec<_> = spans
        .iter_mut()
        .map(|(span, state)| {
            assert_eq!(state.len, before * channels, "state of a convolution");
            let (now, next) = state.step();
            let rows = span.rows.clone();
            (
                Inputs {
                    before,
                    rows,
                    now,
                    x,
                },
                next,
            )
        })
        .collect();
    let data = out.reshape(x.rows(), channels);
    let piece = PIECE.div_ceil(channels.max(1));
    team.split(data, piece * channels, |index, data| {
        for (row, out) in (index * piece..).zip(data.chunks_exact_mut(channels)) {
            match &convolution.bias {
                Some(bias) => out.copy_from_slice(bias),
                None => out.fill(0.0),
            }
            let of = states.iter().find(|(of, _)| of.rows.contains(&row));
            let Some((of, _)) = of else {
                continue;
            };
            for (j, tap) in convolution.taps.iter().enumerate() {
                if let Some(input) = of.input(row - of.rows.start + j) {
                    ops_scan::add_product(isa, out, input, tap);
                }
            }
        }
    });
    for (of, next) in &mut states {
        for (i, kept) in next.chunks_exact_mut(channels.max(1)).enumerate() {
            match of.input(of.rows.len() + i) {
                Some(input) => kept.copy_from_slice(input),
                None => kept.fill(0.0),
            }
        }
    }
}

/// What a convolution reads of one sequence.
struct Inputs<'a> {
    before: usize,
    rows: Range<usize>,
    now: Option<&'a [f32]>,
    x: &'a Buffer,
}

impl<'a> Inputs<'a> {
    /// The input `t - before` rows into the step, of those before it where that is negative; none for zeros.
    fn input(&self, t: usize) -> Option<&'a [f32]> {
        match t.checked_sub(self.before) {
            Some(row) => Some(self.x.row(self.rows.start + row)),
            None => self.now.map(|now| &now[t * self.x.width..][..self.x.width]),
        }
    }
}

/// Scratch of a scan, per thread: the state of a few heads, a row of their results, and a head's decays.
#[derive(Debug, Default)]
pub(crate) struct Piece {
    state: Vec<f32>,
    y: Vec<f32>,
    decay: Vec<f32>,
}

/// Scratch of all threads.
pub(crate) type Scratch = Pool<Piece>;

/// Heads that a chunk of work has.
fn heads_of(scan: &Scan<Vec<f32>>) -> usize {
    PIECE.div_ceil(scan.head_dim * scan.state).min(scan.heads)
}

/// Bytes that a thread needs.
pub(crate) fn scratch_bytes(scan: &Scan<Vec<f32>>) -> usize {
    (heads_of(scan) * scan.head_dim * (scan.state + 1) + scan.state) * size_of::<f32>()
}

/// Runs a scan; see [`Scan`] for what it computes.
///
/// The state is `[heads][head_dim][state]`.
pub(crate) fn scan(
    team: &Team,
    isa: Isa,
    scratch: &Scratch,
    scan: &Scan<Vec<f32>>,
    spans: &mut [(Span, &mut Recurrent)],
    inputs: ScanInputs<'_, Buffer>,
    out: &mut Buffer,
) {
    let (width, per_head) = (scan.heads * scan.head_dim, scan.head_dim * scan.state);
    assert_eq!(
        (inputs.x.width, inputs.steps.width, inputs.input.width),
        (width, scan.heads, scan.groups * scan.state),
        "shapes of a scan"
    );
    let heads = heads_of(scan);
    let chunks = scan.heads.div_ceil(heads);
    let data = Cells::new(out.reshape(inputs.x.rows(), width));
    let states: Vec<_> = spans
        .iter_mut()
        .map(|(span, state)| {
            assert_eq!(state.len, width * scan.state, "state of a scan");
            let (now, next) = state.step();
            (span.rows.clone(), now, Cells::new(next))
        })
        .collect();
    team.run(states.len() * chunks, &|index| {
        let (rows, now, next) = &states[index / chunks];
        let first = index % chunks * heads;
        let heads = first..(first + heads).min(scan.heads);
        let values = heads.start * per_head..heads.end * per_head;
        scratch.with(|Piece { state, y, decay }| {
            state.clear();
            match now {
                Some(now) => state.extend_from_slice(&now[values.clone()]),
                None => state.resize(values.len(), 0.0),
            }
            y.resize(heads.len() * scan.head_dim, 0.0);
            decay.resize(scan.state, 0.0);
            for row in rows.clone() {
                let token = ops_scan::Token {
                    steps: inputs.steps.row(row),
                    x: inputs.x.row(row),
                    input: inputs.input.row(row),
                    output: inputs.output.row(row),
                };
                ops_scan::token(isa, scan, heads.clone(), &token, decay, state, y);
                data.store(row * width + heads.start * scan.head_dim, y);
            }
            next.store(values.start, state);
        });
    });
}
