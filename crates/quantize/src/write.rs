//! Tensors to the file, some rows at a time, on several threads.

use std::{io::Write, ops::ControlFlow, thread};

use hearth_format::{BlockType, GgufBody};

use crate::{
    Error, Progress, Result,
    encode::{EncodeError, encode},
    plan::{Source, Target},
};

/// Values that are encoded at a time: a few MiB of blocks.
const BATCH: usize = 1 << 22;
/// Values below which another thread is not worth its start.
const SHARE: usize = 1 << 15;

/// Writes the tensors in order, each as the type beside it.
pub(crate) fn tensors<W: Write>(
    place: &str,
    targets: &[(Target<'_>, BlockType)],
    threads: usize,
    progress: &mut dyn FnMut(Progress<'_>) -> ControlFlow<()>,
    body: &mut GgufBody<W>,
) -> Result<()> {
    let total = targets.iter().map(|(t, _)| t.values()).sum();
    let mut done = 0;
    let mut buffer = Vec::new();
    for (index, (target, block)) in targets.iter().enumerate() {
        let (rows, columns) = (target.rows(), target.columns());
        let row_bytes = block.row_bytes(columns);
        let batch = (BATCH / columns.max(1)).clamp(1, rows.max(1));
        for first in (0..rows).step_by(batch) {
            let count = batch.min(rows - first);
            buffer.resize(count * row_bytes, 0);
            fill(target, *block, first, threads, &mut buffer).map_err(|(row, source)| {
                Error::Encode {
                    place: place.to_owned(),
                    tensor: target.name.clone(),
                    row,
                    source,
                }
            })?;
            body.write(&buffer).map_err(Error::Write)?;
            done += count as u64 * columns as u64;
            let report = Progress {
                tensor: &target.name,
                index,
                tensors: targets.len(),
                done,
                total,
            };
            if progress(report).is_break() {
                return Err(Error::Cancelled);
            }
        }
    }
    Ok(())
}

/// Rows from `first` on, as many as `out` has room for. Each row is computed alone, so the number of threads does not
/// matter.
fn fill(
    target: &Target<'_>,
    block: BlockType,
    first: usize,
    threads: usize,
    out: &mut [u8],
) -> Result<(), (usize, EncodeError)> {
    let columns = target.columns();
    let row_bytes = block.row_bytes(columns);
    let rows = out.len() / row_bytes;
    let threads = threads.clamp(1, (rows * columns).div_ceil(SHARE).clamp(1, rows));
    let share = rows.div_ceil(threads);
    let work = |i: usize, out: &mut [u8]| {
        let mut values = vec![0.0; columns];
        for (row, out) in (first + i * share..).zip(out.chunks_exact_mut(row_bytes)) {
            one(target, block, row, &mut values, out).map_err(|error| (row, error))?;
        }
        Ok(())
    };
    let mut shares = out.chunks_mut(share * row_bytes).enumerate();
    thread::scope(|scope| {
        let mine = shares.next();
        let others: Vec<_> = shares
            .map(|(i, out)| scope.spawn(move || work(i, out)))
            .collect();
        let mut result = mine.map_or(Ok(()), |(i, out)| work(i, out));
        for other in others {
            let found = other
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            result = result.and(found);
        }
        result
    })
}

/// One row; `values` has room for it.
fn one(
    target: &Target<'_>,
    block: BlockType,
    row: usize,
    values: &mut [f32],
    out: &mut [u8],
) -> Result<(), EncodeError> {
    match &target.source {
        Source::Rows(rows) => {
            if let Some(bytes) = rows.bytes(row, block) {
                out.copy_from_slice(bytes);
                return Ok(());
            }
            rows.read(row, values);
            encode(block, values, out)
        }
        Source::Values(all) => encode(block, &all[row * values.len()..][..values.len()], out),
    }
}
