//! The hearth command.
#![forbid(unsafe_code)]

mod chat;
mod commands;
mod input;
mod model;
mod network;
mod progress;
mod sampling;
mod server;
mod text;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use hearth_server::dialects::llama_server::flags::FlagError;

/// Language models on the machine in front of you.
///
/// MODEL is a name, such as llama3.2 or hf.co/OWNER/REPOSITORY:Q4_K_M; a GGUF file (of a split model, its first part);
/// a directory with config.json and safetensors, plain or MLX-quantised; or `bard`, the small model inside this program.
/// Bard writes Shakespeare-like text and knows nothing: it is there so that everything can be tried without a download.
///
/// Models that Ollama, LM Studio, llama.cpp or the Hugging Face cache hold are found by their names and read where they
/// are.
#[derive(Parser)]
#[command(name = "hearth", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Chat with a model, or let it answer one prompt; fetches a model that is not here yet
    Run(Box<commands::run::Arguments>),
    /// Serve programs that speak Ollama's, OpenAI's, Anthropic's or llama-server's protocol
    Serve(Box<commands::serve::Arguments>),
    /// Serve one model as llama-server does, with its flags, variables and routes
    LlamaServer(commands::llama_server::Arguments),
    /// Fetch models from a registry or the Hugging Face hub
    Pull(commands::pull::Arguments),
    /// Send a model to a registry
    Push(commands::push::Arguments),
    /// The models of this machine
    #[command(visible_alias = "ls")]
    List(commands::list::Arguments),
    /// Find models of this machine by part of a name, origin, family or quantisation
    SearchLocal(commands::list::SearchArguments),
    /// What is loaded at the moment
    Ps(commands::ps::Arguments),
    /// Unload a model, and end what has it loaded besides the server
    Stop(commands::ps::StopArguments),
    /// What a model is: architecture, parameters, types, memory at several context sizes
    Show(commands::show::Arguments),
    /// Whether a model fits this machine: memory, longest context, other mixtures, speed
    Fit(commands::fit::Arguments),
    /// Make a model from a Modelfile
    Create(commands::create::Arguments),
    /// Give a model a second name
    Cp(commands::remove::CopyArguments),
    /// Remove models
    Rm(commands::remove::Arguments),
    /// Go back to the version of a model before the last change
    Rollback(commands::remove::RollbackArguments),
    /// Keep models from changing, and write lock files
    Pin(commands::pin::Arguments),
    /// Free the disk of what no model uses
    Prune(commands::prune::Arguments),
    /// Write models to one file
    Export(commands::archive::ExportArguments),
    /// Take models from an archive, a GGUF file or a directory
    Import(commands::archive::ImportArguments),
    /// How a model's vocabulary cuts a text
    Tokenize(commands::tokenize::Arguments),
    /// The raw output of a model for given token ids, in full precision
    Logits(commands::logits::Arguments),
    /// How fast a model runs here, and how near that is to what the memory allows
    Bench(commands::bench::Arguments),
    /// A script that lets a shell complete hearth's commands
    Completions(commands::completions::Arguments),
    /// Manual pages
    Man(commands::completions::ManArguments),
}

fn main() -> ExitCode {
    ended(commands::llama_server::by_name().unwrap_or_else(|| run(Arguments::parse().command)))
}

fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Run(arguments) => commands::run::run(&arguments),
        Command::Serve(arguments) => commands::serve::run(&arguments),
        Command::LlamaServer(arguments) => commands::llama_server::run(&arguments.flags),
        Command::Pull(arguments) => commands::pull::run(&arguments),
        Command::Push(arguments) => commands::push::run(&arguments),
        Command::List(arguments) => commands::list::run(&arguments),
        Command::SearchLocal(arguments) => commands::list::search(&arguments),
        Command::Ps(arguments) => commands::ps::run(&arguments),
        Command::Stop(arguments) => commands::ps::stop(&arguments),
        Command::Show(arguments) => commands::show::run(&arguments),
        Command::Fit(arguments) => commands::fit::run(&arguments),
        Command::Create(arguments) => commands::create::run(&arguments),
        Command::Cp(arguments) => commands::remove::copy(&arguments),
        Command::Rm(arguments) => commands::remove::run(&arguments),
        Command::Rollback(arguments) => commands::remove::rollback(&arguments),
        Command::Pin(arguments) => commands::pin::run(&arguments),
        Command::Prune(arguments) => commands::prune::run(&arguments),
        Command::Export(arguments) => commands::archive::export(&arguments),
        Command::Import(arguments) => commands::archive::import(&arguments),
        Command::Tokenize(arguments) => commands::tokenize::run(&arguments),
        Command::Logits(arguments) => commands::logits::run(&arguments),
        Command::Bench(arguments) => commands::bench::run(&arguments),
        Command::Completions(arguments) => commands::completions::run(&arguments),
        Command::Man(arguments) => commands::completions::man(&arguments),
    }
}

fn ended(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // A reader that went away (`hearth … | head`) is no failure of ours to report.
        Err(error) if broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) if error.is::<input::Interrupted>() => ExitCode::from(130),
        // Programs that know llama-server know its words.
        Err(error) if error.is::<FlagError>() => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
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
