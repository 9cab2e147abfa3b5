//! How fast each block type is unpacked to f32 on one thread: `cargo run --release -p hearth-format --example dequantize`.

use std::{hint::black_box, time::Instant};

use hearth_format::BlockType;

fn main() {
    const VALUES: usize = 1 << 16;
    let mut out = vec![0f32; VALUES];
    println!("{:>8}  {:>10}", "type", "Gvalues/s");
    for block in BlockType::all() {
        let bytes: Vec<u8> = (0..block.row_bytes(VALUES))
            .map(|i| (i * 37) as u8 & 0x3F | 0x20)
            .collect();
        let start = Instant::now();
        let mut rounds = 0;
        while start.elapsed().as_millis() < 100 {
            block.dequantize(black_box(&bytes), black_box(&mut out));
            rounds += 1;
        }
        let rate = (rounds * VALUES) as f64 / start.elapsed().as_secs_f64() / 1e9;
        println!("{:>8}  {rate:>10.2}", block.name());
    }
}
