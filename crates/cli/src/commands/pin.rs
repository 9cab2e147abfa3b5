//! `hearth pin`: names that may not change.

use std::{
    io::{self, Write},
    path::PathBuf,
};

use anyhow::{Result, bail};
use hearth_server::library::Library;
use hearth_store::{Disk, Name, Pins};
use serde_json::json;

use crate::text;

/// What `hearth pin` takes.
#[derive(clap::Args)]
#[command(after_help = "\
A pinned name refuses to change. A lock file beside a project says which versions it was made with:
  hearth pin llama3.2 --file hearth.lock        write it
  hearth pull --locked --file hearth.lock       fetch exactly these, on any machine")]
pub(crate) struct Arguments {
    /// Models of the store; without any, what is pinned is shown
    names: Vec<String>,
    /// Release them
    #[arg(long, requires = "names")]
    remove: bool,
    /// A lock file of your own; by default the store's, which guards its names
    #[arg(long, value_name = "PATH")]
    file: Option<PathBuf>,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let store = Library::open()?.store;
    let disk = Disk::default();
    let mut pins = match &arguments.file {
        Some(path) => Pins::read(&disk, path)?,
        None => store.pins()?,
    };
    if arguments.names.is_empty() {
        return show(&pins, arguments.json);
    }
    for text in &arguments.names {
        let name: Name = text.parse()?;
        if !arguments.remove {
            let entry = store.get(&name)?;
            pins.insert(&entry);
            println!(
                "pinned '{}' to {}",
                entry.name,
                entry.manifest.digest().short()
            );
        } else if pins.remove(&name) {
            println!("released '{name}'");
        } else {
            bail!("'{name}' is not pinned");
        }
    }
    match &arguments.file {
        Some(path) => pins.write(&disk, path)?,
        None => store.set_pins(&pins)?,
    }
    Ok(())
}

fn show(pins: &Pins, as_json: bool) -> Result<()> {
    let mut out = io::stdout().lock();
    if as_json {
        let models: Vec<_> = pins
            .iter()
            .map(|(name, pin)| json!({ "name": name.to_string(), "digest": pin.digest, "size": pin.size }))
            .collect();
        writeln!(out, "{}", json!({ "models": models }))?;
        return Ok(());
    }
    let row = |(name, pin): (Name, &hearth_store::Pin)| {
        vec![name.to_string(), pin.digest.short(), text::size(pin.size)]
    };
    let rows: Vec<_> = pins.iter().map(row).collect();
    text::table(&mut out, &["NAME", "PINNED TO", "SIZE"], &rows)?;
    Ok(())
}
