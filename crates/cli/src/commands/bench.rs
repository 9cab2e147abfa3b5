//! `hearth bench`: speed, beside what the memory allows.

use std::{
    io::{self, Write},
    time::Instant,
};

use anyhow::{Result, ensure};
use hearth_compute::{Cpu, Precision, measure};
use hearth_model::{Logits, Model, Run, State, Workspace};
use serde_json::json;

use crate::model::{self, Machine};

/// What `hearth bench` takes.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// A name, a GGUF file, a model directory, or bard
    model: String,
    /// Tokens of a prompt
    #[arg(long, default_value_t = 512, value_name = "TOKENS")]
    prefill: usize,
    /// Tokens generated one by one
    #[arg(long, default_value_t = 64, value_name = "TOKENS")]
    decode: usize,
    /// How often each is measured
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..))]
    reps: u16,
    /// As conformance is checked: f32 activations and cache
    #[arg(long)]
    exact: bool,
    /// One JSON object
    #[arg(long, group = "form")]
    json: bool,
    /// Comma-separated values with a heading
    #[arg(long, group = "form")]
    csv: bool,
    /// A Markdown table
    #[arg(long, group = "form")]
    md: bool,
    #[command(flatten)]
    machine: Machine,
}

/// Size of the block of memory whose reading is measured.
const MEASURED_BYTES: usize = 1 << 30;
/// Tokens of a prefill step.
const STEP: usize = 512;

/// Tokens per second, one value per repetition, sorted.
struct Rates(Vec<f64>);

impl Rates {
    fn of(mut rates: Vec<f64>) -> Self {
        rates.sort_by(f64::total_cmp);
        Self(rates)
    }

    fn median(&self) -> f64 {
        self.0.get(self.0.len() / 2).copied().unwrap_or(0.0)
    }

    fn range(&self) -> (f64, f64) {
        (
            self.0.first().copied().unwrap_or(0.0),
            self.0.last().copied().unwrap_or(0.0),
        )
    }
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    ensure!(
        arguments.prefill + arguments.decode > 0,
        "nothing to measure: --prefill and --decode are both 0"
    );
    let checkpoint = model::open(&arguments.model)?;
    let precision = if arguments.exact {
        Precision::Exact
    } else {
        Precision::Fast
    };
    let model = arguments.machine.load(&checkpoint, precision)?;
    let limit = model.spec().context;
    let longest = arguments.prefill.max(arguments.decode + 1);
    ensure!(
        longest <= limit,
        "{longest} tokens, the context of the model holds {limit}"
    );
    let bandwidth = measure::bandwidth(model.backend().team(), MEASURED_BYTES, 5);
    let (mut prefill, mut decode) = (Vec::new(), Vec::new());
    warm_up(&model)?;
    for _ in 0..arguments.reps {
        if arguments.prefill > 0 {
            prefill.push(measure_prefill(&model, arguments.prefill)?);
        }
        if arguments.decode > 0 {
            decode.push(measure_decode(&model, arguments.decode)?);
        }
    }
    let report = Report {
        model: arguments.model.clone(),
        threads: model.backend().team().threads(),
        isa: model.backend().isa().to_string(),
        prefill: Rates::of(prefill),
        decode: Rates::of(decode),
        bandwidth_gbs: bandwidth.median,
        decode_bytes: model.decode_bytes(),
        sizes: (arguments.prefill, arguments.decode, arguments.reps),
    };
    report.print(arguments)
}

/// Maps the weights in and lets the clock settle.
fn warm_up(model: &Model<Cpu>) -> Result<()> {
    measure_decode(model, 2).map(drop)
}

/// The tokens do not matter to the speed of a dense model; these spread over the vocabulary so that experts vary.
fn token(model: &Model<Cpu>, i: usize) -> u32 {
    (i.wrapping_mul(2_654_435_761) % model.spec().vocab) as u32
}

fn measure_prefill(model: &Model<Cpu>, count: usize) -> Result<f64> {
    let tokens: Vec<u32> = (0..count).map(|i| token(model, i)).collect();
    let (mut state, mut work) = (model.state(), Workspace::default());
    let start = Instant::now();
    for tokens in tokens.chunks(STEP) {
        step(model, &mut work, &mut state, tokens)?;
    }
    Ok(count as f64 / start.elapsed().as_secs_f64())
}

fn measure_decode(model: &Model<Cpu>, count: usize) -> Result<f64> {
    let (mut state, mut work) = (model.state(), Workspace::default());
    step(model, &mut work, &mut state, &[token(model, 0)])?;
    let start = Instant::now();
    for i in 0..count {
        step(model, &mut work, &mut state, &[token(model, i + 1)])?;
    }
    Ok(count as f64 / start.elapsed().as_secs_f64())
}

fn step(
    model: &Model<Cpu>,
    work: &mut Workspace<Cpu>,
    state: &mut State<Cpu>,
    tokens: &[u32],
) -> Result<()> {
    model.step(
        work,
        &mut [Run {
            state,
            tokens,
            logits: Logits::Last(1),
        }],
    )?;
    Ok(())
}

struct Report {
    model: String,
    threads: usize,
    isa: String,
    prefill: Rates,
    decode: Rates,
    bandwidth_gbs: f64,
    decode_bytes: u64,
    sizes: (usize, usize, u16),
}

impl Report {
    /// Share of the bandwidth that decode moves in weights.
    fn share(&self) -> f64 {
        self.decode.median() * self.decode_bytes as f64 / (self.bandwidth_gbs * 1e9)
    }

    fn print(&self, arguments: &Arguments) -> Result<()> {
        let mut out = io::stdout().lock();
        let (prefill, decode, reps) = self.sizes;
        let ((pmin, pmax), (dmin, dmax)) = (self.prefill.range(), self.decode.range());
        if arguments.json {
            let value = json!({
                "model": self.model, "threads": self.threads, "isa": self.isa,
                "prefill_tokens": prefill, "decode_tokens": decode, "reps": reps,
                "prefill_tps": self.prefill.median(), "prefill_tps_min": pmin, "prefill_tps_max": pmax,
                "decode_tps": self.decode.median(), "decode_tps_min": dmin, "decode_tps_max": dmax,
                "bandwidth_gbs": self.bandwidth_gbs, "decode_bytes": self.decode_bytes,
                "decode_roofline_share": self.share(),
            });
            writeln!(out, "{value}")?;
            return Ok(());
        }
        let rows = [
            (format!("prefill {prefill}"), &self.prefill, None),
            (format!("decode {decode}"), &self.decode, Some(self.share())),
        ];
        if arguments.csv {
            writeln!(out, "model,threads,isa,test,tps,min,max,roofline_share")?;
        } else if arguments.md {
            writeln!(
                out,
                "| model | threads | isa | test | tok/s | spread | of the memory's limit |\n|---|---|---|---|---|---|---|"
            )?;
        } else {
            writeln!(
                out,
                "{}, {} threads, {}, memory reads {:.1} GB/s",
                self.model, self.threads, self.isa, self.bandwidth_gbs
            )?;
        }
        for (test, rates, share) in rows.into_iter().filter(|(_, rates, _)| !rates.0.is_empty()) {
            let ((min, max), median) = (rates.range(), rates.median());
            let percent = share.map_or(String::new(), |s| format!("{:.0} %", 100.0 * s));
            if arguments.csv {
                let share = share.map_or(String::new(), |s| format!("{s:.4}"));
                let name = self.model.replace('"', "\"\"");
                writeln!(
                    out,
                    "\"{name}\",{},{},{test},{median:.3},{min:.3},{max:.3},{share}",
                    self.threads, self.isa
                )?;
            } else if arguments.md {
                let (model, threads, isa) = (&self.model, self.threads, &self.isa);
                writeln!(
                    out,
                    "| {model} | {threads} | {isa} | {test} | {median:.1} | {min:.1} to {max:.1} | {percent} |"
                )?;
            } else {
                let of = if percent.is_empty() {
                    String::new()
                } else {
                    format!(", {percent} of what the memory allows")
                };
                writeln!(
                    out,
                    "{test:<14} {median:>9.1} tok/s  ({min:.1} to {max:.1}){of}"
                )?;
            }
        }
        Ok(())
    }
}
