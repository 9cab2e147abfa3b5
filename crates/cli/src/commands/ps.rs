//! `hearth ps` and `hearth stop`: what is loaded, and ending it.

use std::{
    io::{self, Write},
    time::{Duration, UNIX_EPOCH},
};

use anyhow::{Result, bail};
use hearth_server::library::Library;
use hearth_store::{Name, Running};
use serde_json::json;

use crate::text;

/// What `hearth ps` takes.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Only names that begin so
    prefix: Option<String>,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

/// What `hearth stop` takes.
#[derive(clap::Args)]
pub(crate) struct StopArguments {
    /// The model, as `hearth ps` shows it
    name: String,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let prefix = arguments.prefix.clone().unwrap_or_default().to_lowercase();
    let mut running = Library::open()?.store.running()?;
    running.retain(|model| model.name.to_lowercase().starts_with(&prefix));
    running.sort_by_key(|model| std::cmp::Reverse(model.since));
    let mut out = io::stdout().lock();
    if arguments.json {
        writeln!(out, "{}", json!({ "models": running }))?;
        return Ok(());
    }
    let rows: Vec<Vec<String>> = running.iter().map(row).collect();
    let head = [
        "NAME",
        "ID",
        "SIZE",
        "PROCESSOR",
        "CONTEXT",
        "PROCESS",
        "SINCE",
    ];
    text::table(&mut out, &head, &rows)?;
    Ok(())
}

fn row(model: &Running) -> Vec<String> {
    vec![
        model.name.clone(),
        model
            .digest
            .map_or_else(|| "-".to_owned(), |digest| digest.short()),
        text::size(model.size),
        "100% CPU".to_owned(),
        model.context.to_string(),
        format!("{} ({})", model.process, model.command),
        text::ago(UNIX_EPOCH + Duration::from_secs(model.since)),
    ]
}

/// Ends the processes that have a model loaded, as Ctrl-C would.
pub(crate) fn stop(arguments: &StopArguments) -> Result<()> {
    let wanted = arguments.name.parse::<Name>().ok();
    let means = |model: &Running| {
        let name = model.name.parse::<Name>().ok();
        model.name == arguments.name
            || wanted
                .as_ref()
                .zip(name)
                .is_some_and(|(wanted, name)| wanted.matches(&name))
    };
    let running = Library::open()?.store.running()?;
    let stopped: Vec<&Running> = running.iter().filter(|model| means(model)).collect();
    if stopped.is_empty() {
        bail!(
            "couldn't find model \"{}\" to stop; 'hearth ps' shows what is loaded",
            arguments.name
        );
    }
    for model in stopped {
        terminate(model.process)?;
    }
    Ok(())
}

#[cfg(unix)]
fn terminate(process: u32) -> Result<()> {
    let process = i32::try_from(process)
        .ok()
        .and_then(rustix::process::Pid::from_raw);
    let Some(process) = process else {
        return Ok(());
    };
    match rustix::process::kill_process(process, rustix::process::Signal::TERM) {
        // It ended by itself in the meantime.
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(error) => bail!("process {process:?} could not be ended: {error}"),
    }
}

#[cfg(not(unix))]
fn terminate(process: u32) -> Result<()> {
    bail!("process {process} has it loaded; end it there")
}
