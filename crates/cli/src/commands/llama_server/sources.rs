//! The models that a command line of llama-server names: one, a folder, the sections of a file.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result, bail};
use hearth_server::{
    dialects::llama_server::flags::{self, Flags, Preset, Source},
    library::{Library, Located, Means, Named},
    routes::named,
};
use hearth_store::Name;

use super::{read_files, unheeded};
use crate::{model, network, progress::Progress};

/// The folder with more models, which has to be there.
pub(super) fn folder(flags: &Flags) -> Result<Option<PathBuf>> {
    let absolute = |path: &PathBuf| {
        let found = fs::canonicalize(path).ok().filter(|path| path.is_dir());
        found.with_context(|| format!("--models-dir {}: there is no such folder", path.display()))
    };
    flags.models_folder.as_ref().map(absolute).transpose()
}

pub(super) fn source_text(flags: &Flags) -> String {
    match &flags.source {
        Some(Source::Path(path)) => path.display().to_string(),
        Some(Source::Repository { name, .. }) => name.clone(),
        None => String::new(),
    }
}

/// The models of `--models-preset`, for a server that was not given one.
pub(super) fn presets(flags: &Flags, arguments: &[String], files: &[&str]) -> Result<Vec<Preset>> {
    let Some(path) = &flags.presets_file else {
        return Ok(Vec::new());
    };
    if flags.source.is_some() {
        eprintln!("warn: --models-preset has no effect here: one model is served");
        return Ok(Vec::new());
    }
    let place = || format!("--models-preset {}", path.display());
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", place()))?;
    let environment = |name: &str| std::env::var(name).ok();
    let mut presets = flags::presets(arguments, environment, files, &text).with_context(place)?;
    for preset in &mut presets {
        unheeded(&mut preset.flags);
        for warning in &preset.flags.warnings {
            eprintln!("warn: [{}] {warning}", preset.name);
        }
        read_files(&mut preset.flags).with_context(|| format!("[{}]", preset.name))?;
    }
    Ok(presets)
}

/// What the names of sections mean. Those that are to be loaded at once are fetched where they are not here.
pub(super) fn names(library: &Library, presets: &[Preset], offline: bool) -> Result<Vec<Named>> {
    let mut names = Vec::new();
    for preset in presets {
        let means = means(library, preset, offline);
        names.push(named(
            preset,
            means.with_context(|| format!("[{}]", preset.name))?,
        ));
    }
    Ok(names)
}

fn means(library: &Library, preset: &Preset, offline: bool) -> Result<Means> {
    let fetched = match &preset.flags.source {
        Some(Source::Path(path)) => {
            let located = model::locate(&path.display().to_string())?;
            return Ok(Means::Here(Box::new(located)));
        }
        Some(Source::Repository { name, file }) => hub_name(name, file.as_deref())?,
        None => {
            let texts = [preset.name.clone(), format!("hf.co/{}", preset.name)];
            let names = texts
                .iter()
                .filter_map(|text| Name::parse_source(text).ok());
            return Ok(Means::Called(names.collect()));
        }
    };
    if preset.on_startup {
        repository(library, &fetched, offline)?;
    }
    Ok(Means::Called(vec![fetched]))
}

/// The one model, under its first alias.
pub(super) fn only(library: &Library, flags: &Flags) -> Result<Option<Located>> {
    let mut located = match &flags.source {
        None => return Ok(None),
        Some(Source::Path(path)) => model::locate(&path.display().to_string())?,
        Some(Source::Repository { name, file }) => {
            repository(library, &hub_name(name, file.as_deref())?, flags.offline)?
        }
    };
    located.title = match flags.aliases.first() {
        Some(alias) => alias.clone(),
        None => source_text(flags),
    };
    Ok(Some(located))
}

/// The name of a repository of the Hugging Face hub, or of a file in it.
fn hub_name(name: &str, file: Option<&str>) -> Result<Name> {
    let tagged = match file {
        // A file is a version like any other.
        Some(file) => format!("{}:{file}", name.split(':').next().unwrap_or(name)),
        None => name.to_owned(),
    };
    Ok(Name::parse_source(&format!("hf.co/{tagged}"))?)
}

/// A model of the Hugging Face hub, fetched where it is not here.
fn repository(library: &Library, name: &Name, offline: bool) -> Result<Located> {
    if let Some(located) = library.find(name)? {
        return Ok(located);
    }
    if offline {
        bail!("{name} is not on this machine, and --offline keeps it from being fetched");
    }
    let remote = library.remote(false);
    network::pull(library, name, &remote, &Progress::new(false))?;
    let found = library.find(name)?;
    found.with_context(|| format!("{name} was fetched and is gone again"))
}
