//! The hearth command.
#![forbid(unsafe_code)]

mod chat;
mod commands;
mod input;
mod model;
mod sampling;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Language models on the machine in front of you.
///
/// MODEL is a GGUF file (of a split model, its first part), a directory with config.json and safetensors, plain or
/// MLX-quantised, or `bard`, the small model inside this program. Bard writes Shakespeare-like text and knows
/// nothing: it is there so that everything can be tried without a download.
#[derive(Parser)]
#[command(name = "hearth", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Chat with a model, or let it answer one prompt
    Run(Box<commands::run::Arguments>),
    /// What a model is: architecture, parameters, types, memory at several context sizes
    Show(commands::show::Arguments),
    /// How a model's vocabulary cuts a text
    Tokenize(commands::tokenize::Arguments),
    /// The raw output of a model for given token ids, in full precision
    Logits(commands::logits::Arguments),
    /// How fast a model runs here, and how near that is to what the memory allows
    Bench(commands::bench::Arguments),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Run(arguments) => commands::run::run(&arguments),
        Command::Show(arguments) => commands::show::run(&arguments),
        Command::Tokenize(arguments) => commands::tokenize::run(&arguments),
        Command::Logits(arguments) => commands::logits::run(&arguments),
        Command::Bench(arguments) => commands::bench::run(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // A reader that went away (`hearth … | head`) is no failure of ours to report.
        Err(error) if broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) if error.is::<input::Interrupted>() => ExitCode::from(130),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn broken_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<std::io::Error>()
        .is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe)
}
