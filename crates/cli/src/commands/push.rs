//! `hearth push`: send a model to the registry of its name.

use anyhow::Result;
use hearth_server::library::{Library, environment};
use hearth_store::{Event, Name};

use crate::{network::block_on, progress::Progress};

/// What `hearth push` takes.
#[derive(clap::Args)]
#[command(after_help = "\
The name says where it goes; `hearth cp` gives a model another name:
  hearth cp llama3.2 localhost:5000/team/llama3.2
  hearth push localhost:5000/team/llama3.2 --insecure

Credentials are those of `docker login`, of the registry's settings in ~/.hearth/config.toml, or Ollama's key.")]
pub(crate) struct Arguments {
    /// A name, such as localhost:5000/team/model:v1
    name: String,
    /// Speak to the registry by http://, which anyone on the way can read and change
    #[arg(long)]
    insecure: bool,
    /// One JSON object per word of progress
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let library = Library::open()?;
    let name: Name = arguments.name.parse()?;
    let remote = library.remote(arguments.insecure);
    let progress = Progress::new(arguments.json);
    let watch = |event: Event| progress.event(&event);
    let pushed = block_on(library.store.push(&name, &remote, &environment, &watch));
    progress.finish();
    pushed
}
