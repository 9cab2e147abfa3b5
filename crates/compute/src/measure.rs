//! What the machine allows: the bandwidth that decode is compared with.

use std::{hint::black_box, time::Instant};

use crate::Team;

/// Read bandwidth of the memory, in GB/s (10⁹ bytes per second).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bandwidth {
    /// The middle of all passes.
    pub median: f64,
    /// The fastest pass.
    pub best: f64,
    /// Bytes read in a pass.
    pub bytes: usize,
}

/// Bytes that a thread takes at a time.
const CHUNK: usize = 256 << 10;

/// Measures how fast the whole team reads `bytes` of memory, in `passes` passes.
///
/// The buffer should be several times the last-level cache; it is cut to a quarter of the free memory.
/// Pages are the system's usual ones, as those of a mapped file are.
pub fn bandwidth(team: &Team, bytes: usize, passes: usize) -> Bandwidth {
    let bytes = bytes
        .min(free_memory().unwrap_or(usize::MAX) / 4)
        .max(CHUNK);
    let mut buffer = vec![0u64; bytes / 8];
    // Writing gives every page memory of its own; a page of zeros never written is one shared page.
    team.split(&mut buffer, CHUNK / 8, |index, part| {
        part.fill(index as u64)
    });
    let mut rates: Vec<f64> = (0..passes.max(1))
        .map(|_| {
            let start = Instant::now();
            team.run(buffer.len().div_ceil(CHUNK / 8), &|index| {
                let start = index * CHUNK / 8;
                black_box(sum(&buffer[start..buffer.len().min(start + CHUNK / 8)]));
            });
            (buffer.len() * 8) as f64 / start.elapsed().as_secs_f64() / 1e9
        })
        .collect();
    rates.sort_by(f64::total_cmp);
    let last = rates.len() - 1;
    Bandwidth {
        median: rates[last / 2],
        best: rates[last],
        bytes: buffer.len() * 8,
    }
}

/// A sum in 32 lanes, which the compiler keeps in vectors: reading is all that costs.
fn sum(values: &[u64]) -> u64 {
    let mut lanes = [0u64; 32];
    for chunk in values.as_chunks::<32>().0 {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane = lane.wrapping_add(*value);
        }
    }
    lanes.into_iter().fold(0, u64::wrapping_add)
}

/// Bytes of memory that can be had without swapping, where the system tells.
fn free_memory() -> Option<usize> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.split_whitespace()
        .next()?
        .parse::<usize>()
        .ok()?
        .checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_measurement_is_sane() {
        let measured = bandwidth(&Team::new(2), 4 << 20, 5);
        assert_eq!(measured.bytes, 4 << 20);
        assert!(measured.median > 0.0 && measured.best >= measured.median);
    }
}
