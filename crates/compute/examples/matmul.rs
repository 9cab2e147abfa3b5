//! Prints how fast matrices are multiplied: decode as a share of the memory's bandwidth, prefill in
//! operations per second.
//!
//! `cargo run --release -p hearth-compute --example matmul -- [MiB of weights] [types...]`

use std::time::{Duration, Instant};

use hearth_compute::{Isa, Matrix, Precision, Product, Team, linear, measure};
use hearth_format::{BlockType, Bytes, Storage, Tensor};

const ROWS: usize = 8192;
const COLUMNS: usize = 2048;
const PROMPT: usize = 512;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let mib: usize = arguments.next().map_or(Ok(1024), |text| text.parse())?;
    let mut types: Vec<String> = arguments.collect();
    if types.is_empty() {
        types = ["Q4_K", "Q6_K", "Q8_0", "F16"].map(String::from).to_vec();
    }
    let isa = Isa::detect()?;
    let threads = std::thread::available_parallelism()?.get();
    let team = Team::new(threads);
    println!(
        "{isa}, {threads} threads, hand-out {:.2} µs",
        hand_out(&team)
    );
    let limit = measure::bandwidth(&team, mib << 20, 9);
    println!(
        "bandwidth {:.1} GB/s (best {:.1})",
        limit.median, limit.best
    );
    for name in types {
        let block = BlockType::from_name(&name).ok_or(format!("unknown block type {name}"))?;
        one_type(&team, isa, block, mib << 20)?;
    }
    let limit = measure::bandwidth(&team, mib << 20, 9);
    println!(
        "bandwidth {:.1} GB/s (best {:.1})",
        limit.median, limit.best
    );
    Ok(())
}

/// Microseconds that handing out costs: the time of a job of one chunk per thread, less that of its
/// chunk.
fn hand_out(team: &Team) -> f64 {
    const JOBS: u32 = 2_000;
    let chunk = Duration::from_micros(10);
    let start = Instant::now();
    for _ in 0..JOBS {
        team.run(team.threads(), &|_| {
            let start = Instant::now();
            while start.elapsed() < chunk {
                std::hint::spin_loop();
            }
        });
    }
    (start.elapsed() / JOBS).saturating_sub(chunk).as_secs_f64() * 1e6
}

fn one_type(
    team: &Team,
    isa: Isa,
    block: BlockType,
    bytes: usize,
) -> Result<(), Box<dyn std::error::Error>> {
    let size = ROWS * block.row_bytes(COLUMNS);
    let count = (bytes / size).max(2);
    let matrix = matrix(block, count)?;
    let parts: Vec<Matrix> = (0..count).map(|i| matrix.part(i * ROWS, ROWS)).collect();
    let x: Vec<f32> = (0..PROMPT * COLUMNS)
        .map(|i| ((i * 37) % 101) as f32 / 50.0 - 1.0)
        .collect();
    let mut out = vec![0.0; PROMPT * ROWS];
    for tokens in [1, 2, 4, 8, 16, 32] {
        let mut rates: Vec<f64> = (0..7)
            .map(|_| {
                let start = Instant::now();
                for part in &parts {
                    product(team, isa, &x, tokens, part, &mut out);
                }
                (count * size) as f64 / start.elapsed().as_secs_f64() / 1e9
            })
            .collect();
        rates.sort_by(f64::total_cmp);
        println!(
            "{:>6} decode, {tokens:>2} tokens: {:5.1} GB/s (best {:.1}), {:.0} GOPS",
            block.name(),
            rates[3],
            rates[6],
            rates[3] * (2 * tokens * ROWS * COLUMNS) as f64 / size as f64
        );
    }
    let mut rates: Vec<f64> = parts
        .iter()
        .take(5)
        .map(|part| {
            let start = Instant::now();
            product(team, isa, &x, PROMPT, part, &mut out);
            (2 * PROMPT * ROWS * COLUMNS) as f64 / start.elapsed().as_secs_f64() / 1e9
        })
        .collect();
    rates.sort_by(f64::total_cmp);
    println!(
        "{:>6} prefill, {PROMPT} tokens: {:.0} GOPS",
        block.name(),
        rates[rates.len() / 2]
    );
    Ok(())
}

fn product(team: &Team, isa: Isa, x: &[f32], tokens: usize, weight: &Matrix, out: &mut [f32]) {
    let mut products = [Product {
        weight,
        out,
        out_stride: ROWS,
    }];
    linear(
        team,
        isa,
        Precision::Fast,
        &x[..tokens * COLUMNS],
        tokens,
        &mut products,
    );
}

/// `count` matrices of made-up weights, one after the other. Every pair of bytes is a normal half: a
/// kernel is many times slower on scales that are denormal.
fn matrix(block: BlockType, count: usize) -> Result<Matrix, Box<dyn std::error::Error>> {
    let mut bytes = vec![0u8; count * ROWS * block.row_bytes(COLUMNS)];
    let mut state = 1u64;
    for pair in bytes.chunks_exact_mut(2) {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        pair[0] = (state >> 40) as u8;
        pair[1] = 0x18 | (state >> 48) as u8 & 0x87;
    }
    let tensor = Tensor {
        name: "weights".into(),
        shape: vec![count * ROWS, COLUMNS],
        storage: Storage::Blocks {
            block,
            bytes: Bytes::new(bytes),
        },
    };
    Ok(Matrix::from_tensor(&tensor)?)
}
