//! `hearth rm`, `hearth cp`, `hearth rollback`: names.

use anyhow::Result;
use hearth_server::library::Library;
use hearth_store::Name;

use crate::text;

/// What `hearth rm` takes.
#[derive(clap::Args)]
#[command(after_help = "\
Contents that another model uses stay. Models of other programs are never removed.")]
pub(crate) struct Arguments {
    /// Names as `hearth list` shows them
    #[arg(required = true)]
    names: Vec<String>,
}

/// What `hearth cp` takes.
#[derive(clap::Args)]
pub(crate) struct CopyArguments {
    /// A model of the store
    source: String,
    /// Its second name; the contents are not copied
    destination: String,
}

/// What `hearth rollback` takes.
#[derive(clap::Args)]
#[command(after_help = "\
The version before the last change is kept until `hearth prune --previous`. Doing it twice goes forward again.")]
pub(crate) struct RollbackArguments {
    /// A model of the store
    name: String,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let library = Library::open()?;
    let running = library.store.running()?;
    for text in &arguments.names {
        let (entry, freed) = library.store.remove(&text.parse::<Name>()?)?;
        println!("deleted '{}'", entry.name);
        let digest = entry.manifest.digest();
        if let Some(user) = running.iter().find(|model| model.digest == Some(digest)) {
            eprintln!(
                "note: process {} has it loaded and keeps it until it ends; 'hearth prune' frees the disk then",
                user.process
            );
        } else if let Some(freed) = freed {
            eprintln!("{} freed", text::size(freed));
        } else {
            eprintln!(
                "note: another process is adding models, so contents stay; 'hearth prune' removes them later"
            );
        }
    }
    Ok(())
}

pub(crate) fn copy(arguments: &CopyArguments) -> Result<()> {
    let (from, to) = (arguments.source.parse()?, arguments.destination.parse()?);
    Library::open()?.store.copy(&from, &to)?;
    println!(
        "copied '{}' to '{}'",
        arguments.source, arguments.destination
    );
    Ok(())
}

pub(crate) fn rollback(arguments: &RollbackArguments) -> Result<()> {
    let library = Library::open()?;
    let name = arguments.name.parse()?;
    let before = library.store.get(&name)?.manifest.digest();
    let entry = library.store.rollback(&name)?;
    println!(
        "{} is {} again, it was {}",
        entry.name,
        entry.manifest.digest().short(),
        before.short()
    );
    Ok(())
}
