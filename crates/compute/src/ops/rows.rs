//! Operations on each row by itself: embed, norm, activate, add, multiply, scale, select, mean.

use std::ops::Range;

use crate::{
    Buffer, Matrix, Team,
    backend::{Activation, Norm},
    isa::Isa,
    kernels::ops_rows::{self, NormParts},
};

/// Values that are worth a hand-out: about 5 µs of the cheapest of these loops.
const PIECE: usize = 16_384;

/// Values of a chunk of whole rows.
fn piece(width: usize) -> usize {
    PIECE.div_ceil(width.max(1)) * width
}

/// `out[t] = scale * table[ids[t]]`.
pub(crate) fn embed(
    team: &Team,
    isa: Isa,
    table: &Matrix,
    ids: &[u32],
    scale: f32,
    out: &mut Buffer,
) {
    let width = table.columns();
    let data = out.reshape(ids.len(), width);
    team.split(data, width, |t, row| {
        table.row(ids[t] as usize, row);
        if scale != 1.0 {
            ops_rows::scale(isa, row, scale, None);
        }
    });
}

/// Normalises each group of `norm.width` values in place.
pub(crate) fn norm(team: &Team, isa: Isa, norm: &Norm<Vec<f32>>, x: &mut Buffer) {
    let parts = NormParts {
        kind: norm.kind,
        eps: norm.eps,
        width: norm.width,
        weight: norm.weight.as_deref(),
        bias: norm.bias.as_deref(),
    };
    assert!(
        x.width.is_multiple_of(norm.width),
        "rows of {} in groups of {}",
        x.width,
        norm.width
    );
    team.split(&mut x.data, piece(x.width), |_, rows| {
        ops_rows::norm(isa, &parts, rows)
    });
}

/// `gate = activation(gate) * up`; both have the same length.
pub(crate) fn activate(
    team: &Team,
    isa: Isa,
    activation: Activation,
    gate: &mut [f32],
    up: Option<&[f32]>,
) {
    assert!(
        up.is_none_or(|up| up.len() == gate.len()),
        "gate and up have the same shape"
    );
    // Exponentials: dearer than the loops that PIECE is made for.
    let piece = PIECE / 4;
    team.split(gate, piece, |index, gate| {
        let up = up.map(|up| &up[index * piece..][..gate.len()]);
        ops_rows::activate(isa, activation, gate, up);
    });
}

/// `x += factor * y`.
pub(crate) fn add(team: &Team, isa: Isa, x: &mut Buffer, y: &Buffer, factor: f32) {
    assert_eq!(
        (x.data.len(), x.width),
        (y.data.len(), y.width),
        "shapes of a sum"
    );
    team.split(&mut x.data, PIECE, |index, x| {
        ops_rows::add_scaled(isa, x, &y.data[index * PIECE..][..x.len()], factor);
    });
}

/// Adds `bias` to each row of `x`.
pub(crate) fn add_bias(team: &Team, isa: Isa, x: &mut Buffer, bias: &[f32]) {
    assert_eq!(x.width, bias.len(), "a bias per column");
    team.split(&mut x.data, piece(bias.len()), |_, rows| {
        for row in rows.chunks_exact_mut(bias.len()) {
            ops_rows::add_scaled(isa, row, bias, 1.0);
        }
    });
}

/// `x *= y`.
pub(crate) fn multiply(team: &Team, isa: Isa, x: &mut Buffer, y: &Buffer) {
    assert_eq!(
        (x.data.len(), x.width),
        (y.data.len(), y.width),
        "shapes of a product"
    );
    team.split(&mut x.data, PIECE, |index, x| {
        ops_rows::multiply(isa, x, &y.data[index * PIECE..][..x.len()]);
    });
}

/// `x = cap * tanh(factor * x / cap)`, or `factor * x`.
pub(crate) fn scale(team: &Team, isa: Isa, x: &mut Buffer, factor: f32, soft_cap: Option<f32>) {
    team.split(&mut x.data, PIECE, |_, x| {
        ops_rows::scale(isa, x, factor, soft_cap)
    });
}

/// `out` = the given rows of `x`.
pub(crate) fn select(x: &Buffer, rows: &[usize], out: &mut Buffer) {
    let data = out.reshape(rows.len(), x.width);
    for (&row, out) in rows.iter().zip(data.chunks_exact_mut(x.width.max(1))) {
        out.copy_from_slice(x.row(row));
    }
}

/// `out[i]` = the mean of the rows `ranges[i]` of `x`, added from the first on.
pub(crate) fn mean(team: &Team, isa: Isa, x: &Buffer, ranges: &[Range<usize>], out: &mut Buffer) {
    let width = x.width.max(1);
    let data = out.reshape(ranges.len(), x.width);
    team.split(data, width, |index, out| {
        let rows = ranges[index].clone();
        let factor = 1.0 / rows.len().max(1) as f32;
        out.fill(0.0);
        for row in rows {
            ops_rows::add_scaled(isa, out, x.row(row), 1.0);
        }
        ops_rows::scale(isa, out, factor, None);
    });
}
