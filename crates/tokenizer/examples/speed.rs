//! How fast a vocabulary encodes, on one core: `speed VOCABULARY.gguf [TEXT...]`.
//!
//! For each text, the best of five runs; without any, texts that a careless tokenizer takes quadratic time for.

use std::{env, fs, path::Path, process::ExitCode, time::Instant};

use hearth_format::Gguf;
use hearth_tokenizer::{EncodeOptions, Tokenizer};

const PLAIN: EncodeOptions = EncodeOptions {
    add_special: false,
    parse_special: false,
};

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let Some((vocabulary, texts)) = arguments.split_first() else {
        eprintln!("usage: speed VOCABULARY.gguf [TEXT...]");
        return ExitCode::FAILURE;
    };
    match run(vocabulary, texts) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(vocabulary: &str, texts: &[String]) -> Result<(), Box<dyn std::error::Error>> {
    let gguf = Gguf::open(Path::new(vocabulary))?;
    let start = Instant::now();
    let tokenizer = Tokenizer::from_gguf(gguf.metadata())?;
    println!("{vocabulary}: built in {:.0?}", start.elapsed());
    for path in texts {
        measure(&tokenizer, path, &fs::read_to_string(path)?, 5);
    }
    if !texts.is_empty() {
        return Ok(());
    }
    const LONG: usize = 10_000_000;
    let mut state = 1_u64;
    let mut letter = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        char::from(b'a' + (state >> 33) as u8 % 26)
    };
    let random: String = (0..LONG).map(|_| letter()).collect();
    for (name, text) in [
        ("a", "a".repeat(LONG)),
        ("ab", "ab".repeat(LONG / 2)),
        ("spaces", " ".repeat(LONG)),
        ("newlines", "\n".repeat(LONG)),
        ("random letters", random),
        ("<", "<".repeat(LONG)),
        ("世", "世".repeat(LONG / 3)),
        ("digits", "1234567890".repeat(LONG / 10)),
    ] {
        measure(&tokenizer, name, &text, 1);
    }
    Ok(())
}

fn measure(tokenizer: &Tokenizer, name: &str, text: &str, runs: usize) {
    let mut best = f64::INFINITY;
    let mut count = 0;
    for _ in 0..runs {
        let start = Instant::now();
        count = tokenizer.encode(text, PLAIN).len();
        best = best.min(start.elapsed().as_secs_f64());
    }
    let megabytes = text.len() as f64 / 1e6;
    println!(
        "{:8.1} MB/s  {megabytes:6.1} MB, {count} tokens  {name}",
        megabytes / best
    );
}
