//! Rotary embeddings: cosines and sines once per step and rotation, then a pass over the heads.

use std::sync::{Arc, Mutex, PoisonError};

use crate::{Buffer, Team, backend::Rope, isa::Isa, kernels::ops_rows};

/// Tables kept: queries and keys of all layers of a step share one, and models have two at most.
const KEPT: usize = 4;

/// Cosines and sines for the positions of one step.
#[derive(Debug)]
struct Table {
    rope: Rope,
    positions: Vec<u32>,
    /// `[tokens, 2, pairs]`: cosines, then sines.
    values: Vec<f32>,
}

impl Table {
    /// Bytes of a table for `tokens` tokens.
    fn bytes(rope: &Rope, tokens: usize) -> usize {
        tokens * (2 * rope.frequencies.len() * size_of::<f32>() + size_of::<u32>())
    }
}

/// Bytes of the tables that steps of `tokens` tokens leave, the newest built before the oldest goes.
pub(crate) fn kept_bytes(rope: &Rope, tokens: usize) -> usize {
    (KEPT + 1) * Table::bytes(rope, tokens)
}

/// The tables of the latest steps.
#[derive(Debug, Default)]
pub(crate) struct Tables(Mutex<Vec<Arc<Table>>>);

impl Tables {
    fn get(&self, team: &Team, rope: &Rope, positions: &[u32]) -> Arc<Table> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |t: &Arc<Table>| t.positions == positions && t.rope == *rope;
        if let Some(table) = kept.iter().find(|t| fits(t)) {
            return Arc::clone(table);
        }
        let table = Arc::new(Table::new(team, rope, positions));
        if kept.len() == KEPT {
            kept.remove(0);
        }
        kept.push(Arc::clone(&table));
        table
    }
}

impl Table {
    /// The angle is the f32 product of position and frequency, as the reference implementations
    /// have it; cosine and sine of that are exact but for the last rounding.
    fn new(team: &Team, rope: &Rope, positions: &[u32]) -> Self {
        let pairs = rope.frequencies.len();
        let mut values = vec![0.0; positions.len() * 2 * pairs];
        team.split(&mut values, 2 * pairs, |t, row| {
            let (cos, sin) = row.split_at_mut(pairs);
            for ((cos, sin), frequency) in cos.iter_mut().zip(sin).zip(&rope.frequencies) {
                let (s, c) = f64::from(positions[t] as f32 * frequency).sin_cos();
                (*cos, *sin) = (c as f32 * rope.magnitude, s as f32 * rope.magnitude);
            }
        });
        Self {
            rope: rope.clone(),
            positions: positions.to_vec(),
            values,
        }
    }
}

/// Turns the heads of `x` (`[tokens, heads * head_dim]`) by `positions`.
pub(crate) fn rope(
    team: &Team,
    isa: Isa,
    tables: &Tables,
    rope: &Rope,
    head_dim: usize,
    positions: &[u32],
    x: &mut Buffer,
) {
    let (width, pairs) = (x.width, rope.frequencies.len());
    assert!(
        2 * pairs <= head_dim && width.is_multiple_of(head_dim),
        "{pairs} pairs in heads of {head_dim}, rows of {width}"
    );
    assert_eq!(x.rows(), positions.len(), "a position per row");
    if pairs == 0 || width == 0 {
        return;
    }
    let table = tables.get(team, rope, positions);
    let rows = 8_192usize.div_ceil(width);
    team.split(&mut x.data, rows * width, |index, piece| {
        let angles = table.values.chunks_exact(2 * pairs).skip(index * rows);
        for (row, angles) in piece.chunks_exact_mut(width).zip(angles) {
            let (cos, sin) = angles.split_at(pairs);
            ops_rows::rotate(isa, rope.pairing, head_dim, cos, sin, row);
        }
    });
}
