//! `hearth prune`: free the disk.

use std::{
    io::{self, Write},
    time::Duration,
};

use anyhow::Result;
use hearth_server::library::Library;
use hearth_store::Prune;
use serde_json::json;

use crate::text;

/// What `hearth prune` takes.
#[derive(clap::Args)]
#[command(after_help = "\
Never removed: what a model of the store uses, and what a running process has loaded. Contents younger than an hour
stay too, since Ollama may be making a model of them in the same folder.")]
pub(crate) struct Arguments {
    /// Also the versions that `hearth rollback` would go back to
    #[arg(long)]
    previous: bool,
    /// Also downloads that were not finished
    #[arg(long)]
    partial: bool,
    /// Also contents that are younger than an hour
    #[arg(long)]
    now: bool,
    /// Only say what would be removed
    #[arg(long)]
    dry_run: bool,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let mut options = Prune {
        previous: arguments.previous,
        partial: arguments.partial,
        dry_run: arguments.dry_run,
        ..Prune::default()
    };
    if arguments.now {
        options.grace = Duration::ZERO;
    }
    let pruned = Library::open()?.store.prune(options)?;
    let mut out = io::stdout().lock();
    if arguments.json {
        let value = json!({
            "dry_run": arguments.dry_run,
            "contents": pruned.blobs,
            "partial": pruned.partials,
            "previous": pruned.previous,
            "bytes": pruned.bytes,
            "kept": { "previous": pruned.kept_for_rollback, "partial": pruned.kept_partial, "in_use": pruned.kept_in_use, "young": pruned.kept_young },
        });
        writeln!(out, "{value}")?;
        return Ok(());
    }
    let verb = if arguments.dry_run {
        "would free"
    } else {
        "freed"
    };
    let counts = format!(
        "{} contents, {} unfinished downloads, {} earlier versions",
        pruned.blobs, pruned.partials, pruned.previous
    );
    writeln!(out, "{verb} {}: {counts}", text::size(pruned.bytes))?;
    let kept = [
        (
            pruned.kept_for_rollback,
            "for rollback; --previous removes them",
        ),
        (
            pruned.kept_partial,
            "of unfinished downloads; --partial removes them",
        ),
        (pruned.kept_in_use, "that a running process has loaded"),
        (
            pruned.kept_young,
            "that is younger than an hour; --now removes it",
        ),
    ];
    for (bytes, why) in kept.into_iter().filter(|(bytes, _)| *bytes > 0) {
        writeln!(out, "kept {} {why}", text::size(bytes))?;
    }
    Ok(())
}
