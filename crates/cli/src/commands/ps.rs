//! `hearth ps` and `hearth stop`: what is loaded, and ending it.

use std::{
    io::{self, Write},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Result, bail};
use hearth_server::library::Library;
use hearth_store::{Name, Running};
use serde_json::{Value, json};

use crate::{
    server::{Loaded, Server},
    text,
};

/// What `hearth ps` takes. Also asks the server at HEARTH_HOST, OLLAMA_HOST or the usual address, if one runs there.
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

/// A model that is loaded: by a process of this machine that uses this store, by the server that runs, or both.
#[derive(Default)]
struct Model {
    here: Option<Running>,
    there: Option<(String, Loaded)>,
}

impl Model {
    fn name(&self) -> &str {
        let there = || self.there.as_ref().map_or("", |(_, model)| &model.name);
        self.here.as_ref().map_or_else(there, |model| &model.name)
    }

    /// When it was loaded, in seconds since 1970; a server does not say.
    fn since(&self) -> Option<u64> {
        self.here.as_ref().map(|model| model.since)
    }
}

/// Everything that is loaded, the last first.
fn all() -> Result<Vec<Model>> {
    let here = Library::open()?.store.running()?;
    let mut models: Vec<Model> = here
        .into_iter()
        .map(|model| Model {
            here: Some(model),
            there: None,
        })
        .collect();
    models.sort_by_key(|model| std::cmp::Reverse(model.since()));
    let Some(server) = Server::named() else {
        return Ok(models);
    };
    for loaded in server.loaded().unwrap_or_default() {
        let place = server.name().to_owned();
        let found = models.iter_mut().find(|model| {
            let serves = |here: &Running| here.command == "serve" && same(&here.name, &loaded.name);
            model.there.is_none() && model.here.as_ref().is_some_and(serves)
        });
        match found {
            Some(model) => model.there = Some((place, loaded)),
            None => models.push(Model {
                here: None,
                there: Some((place, loaded)),
            }),
        }
    }
    Ok(models)
}

/// Whether two texts name the same model.
fn same(a: &str, b: &str) -> bool {
    let names = a.parse::<Name>().ok().zip(b.parse::<Name>().ok());
    a == b || names.is_some_and(|(a, b)| a.matches(&b))
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let prefix = arguments.prefix.clone().unwrap_or_default().to_lowercase();
    let mut models = all()?;
    models.retain(|model| model.name().to_lowercase().starts_with(&prefix));
    let mut out = io::stdout().lock();
    if arguments.json {
        let models = models.iter().map(object).collect::<Result<Vec<_>, _>>()?;
        writeln!(out, "{}", json!({ "models": models }))?;
        return Ok(());
    }
    let rows: Vec<Vec<String>> = models.iter().map(row).collect();
    let head = [
        "NAME",
        "ID",
        "SIZE",
        "PROCESSOR",
        "CONTEXT",
        "UNTIL",
        "PROCESS",
        "SINCE",
    ];
    text::table(&mut out, &head, &rows)?;
    Ok(())
}

/// What the record of a process says, and what the server says beside it.
fn object(model: &Model) -> serde_json::Result<Value> {
    let mut object = match &model.here {
        Some(here) => serde_json::to_value(here)?,
        None => json!({}),
    };
    if let Some((place, there)) = &model.there {
        let until = there
            .until
            .and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        let own = json!({
            "name": there.name, "digest": format!("sha256:{}", there.digest), "size": there.size,
            "context": there.context, "server": place, "until": until.map(|at| at.as_secs()),
        });
        for (field, value) in own.as_object().into_iter().flatten() {
            if object.get(field).is_none_or(Value::is_null) {
                object[field] = value.clone();
            }
        }
    }
    Ok(object)
}

fn row(model: &Model) -> Vec<String> {
    let there = model.there.as_ref().map(|(_, there)| there);
    let none = || "-".to_owned();
    let digest = there.and_then(|there| there.digest.get(..12).map(str::to_owned));
    let accelerated = there.map_or(0, |there| there.accelerated);
    let (size, context, process) = match (&model.here, &model.there) {
        (Some(here), _) => {
            let process = format!("{} ({})", here.process, here.command);
            (here.size, here.context, process)
        }
        (None, Some((place, there))) => (there.size, there.context, format!("server {place}")),
        (None, None) => (0, 0, none()),
    };
    let own = model.here.as_ref().and_then(|here| here.digest);
    vec![
        model.name().to_owned(),
        own.map(|digest| digest.short())
            .or(digest)
            .unwrap_or_else(none),
        text::size(size),
        processor(size, accelerated),
        context.to_string(),
        there.and_then(|there| there.until).map_or_else(none, until),
        process,
        model.since().map_or_else(none, |since| {
            text::ago(UNIX_EPOCH + Duration::from_secs(since))
        }),
    ]
}

fn processor(size: u64, accelerated: u64) -> String {
    match accelerated {
        0 => "100% CPU".to_owned(),
        _ if accelerated >= size => "100% GPU".to_owned(),
        _ => {
            let share = (accelerated as f64 * 100.0 / size as f64).round();
            format!("{}%/{share}% CPU/GPU", 100.0 - share)
        }
    }
}

/// A server keeps a model for ever by an end that nobody sees.
fn until(end: SystemTime) -> String {
    const LONG: Duration = Duration::from_secs(100 * 365 * 86_400);
    match end.duration_since(SystemTime::now()) {
        Ok(left) if left > LONG => "Forever".to_owned(),
        _ => text::ago(end),
    }
}

/// Has the server unload a model, and ends other processes that have it loaded, as Ctrl-C would. A server that cannot be
/// asked is such a process.
pub(crate) fn stop(arguments: &StopArguments) -> Result<()> {
    let models = all()?;
    let wanted = models
        .iter()
        .filter(|model| same(model.name(), &arguments.name));
    let wanted: Vec<&Model> = wanted.collect();
    if wanted.is_empty() {
        bail!(
            "couldn't find model \"{}\" to stop; 'hearth ps' shows what is loaded",
            arguments.name
        );
    }
    for model in wanted {
        match (&model.there, &model.here) {
            (Some((_, there)), _) => {
                if let Some(server) = Server::named() {
                    server.unload(&there.name)?;
                }
            }
            (None, Some(here)) => terminate(here.process)?,
            (None, None) => {}
        }
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
