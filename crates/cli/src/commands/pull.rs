//! `hearth pull`: fetch models.

use std::path::PathBuf;

use anyhow::{Result, bail};
use hearth_server::library::{Library, environment};
use hearth_store::{Disk, Entry, Event, Name, Pins};

use crate::{
    network::{self, block_on},
    progress::Progress,
    text,
};

/// What `hearth pull` takes.
#[derive(clap::Args)]
#[command(after_help = "\
What was fetched is kept whatever happens: the same command goes on where the last one stopped.

Examples:
  hearth pull llama3.2                                    from registry.ollama.ai
  hearth pull hf.co/bartowski/Qwen2.5-14B-Instruct-GGUF:Q4_K_M
  hearth pull hf.co/mlx-community/Qwen3-0.6B-4bit         a directory of safetensors
  hearth pull localhost:5000/team/model:v1 --insecure     from a registry of your own
  hearth pull --all                                       what has newer versions
  hearth pull --locked --file hearth.lock                 exactly what a lock file says")]
pub(crate) struct Arguments {
    /// Names, such as llama3.2:1b or hf.co/OWNER/REPOSITORY:QUANTISATION
    #[arg(required_unless_present_any = ["all", "locked"])]
    names: Vec<String>,
    /// Fetch all models of the store again where they have changed
    #[arg(long, conflicts_with_all = ["names", "locked"])]
    all: bool,
    /// Fetch the very versions that a lock file names
    #[arg(long, conflicts_with = "names")]
    locked: bool,
    /// The lock file; by default the store's own
    #[arg(long, value_name = "PATH", requires = "locked")]
    file: Option<PathBuf>,
    /// A branch, tag or commit of a repository of the Hugging Face hub
    #[arg(long, value_name = "REVISION")]
    revision: Option<String>,
    /// Speak to registries by http://, which anyone on the way can read and change
    #[arg(long)]
    insecure: bool,
    /// One JSON object per word of progress
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let library = Library::open()?;
    let mut remote = library.remote(arguments.insecure);
    remote.revision.clone_from(&arguments.revision);
    if arguments.locked {
        return locked(arguments, &library, &remote);
    }
    let names = if arguments.all {
        let entries = library.store.list()?.entries;
        entries.into_iter().map(|entry| entry.name).collect()
    } else {
        let parse = |text: &String| Name::parse_source(text);
        arguments
            .names
            .iter()
            .map(parse)
            .collect::<Result<Vec<_>, _>>()?
    };
    let mut failed = 0;
    for name in &names {
        if names.len() > 1 && !arguments.json {
            eprintln!("{name}");
        }
        let pulled = network::pull(&library, name, &remote, &Progress::new(arguments.json));
        match pulled {
            Ok(entry) if !arguments.json => describe(&library, &entry),
            Ok(_) => {}
            // One that is gone does not keep the others from being fetched.
            Err(error) if arguments.all && !error.is::<crate::input::Interrupted>() => {
                eprintln!("{name}: {error:#}");
                failed += 1;
            }
            Err(error) => return Err(error),
        }
    }
    match failed {
        0 => Ok(()),
        _ => bail!("{failed} of {} models could not be fetched", names.len()),
    }
}

/// What a name turned out to be: names of models promise much.
fn describe(library: &Library, entry: &Entry) {
    let config = library.store.config(entry).unwrap_or_default();
    let facts = [&config.model_family, &config.model_type, &config.file_type];
    let facts: Vec<&str> = facts
        .into_iter()
        .map(String::as_str)
        .filter(|fact| !fact.is_empty())
        .collect();
    eprintln!(
        "{}: {}, {}",
        entry.name,
        facts.join(" "),
        text::size(entry.manifest.size())
    );
}

fn locked(arguments: &Arguments, library: &Library, remote: &hearth_store::Remote) -> Result<()> {
    let pins = match &arguments.file {
        Some(path) if !path.exists() => bail!("there is no {}", path.display()),
        Some(path) => Pins::read(&Disk::default(), path)?,
        None => library.store.pins()?,
    };
    for (name, pin) in pins.iter() {
        let there = library.store.find(&name)?;
        if there.is_some_and(|entry| entry.manifest.digest() == pin.digest) {
            continue;
        }
        let progress = Progress::new(arguments.json);
        let watch = |event: Event| progress.event(&event);
        let only = Some(pin.digest);
        let pulled = block_on(
            library
                .store
                .pull(&name, only, remote, &environment, &watch),
        );
        progress.finish();
        pulled?;
    }
    Ok(())
}
