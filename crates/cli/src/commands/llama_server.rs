//! `hearth llama-server`: the server under the flags, variables and files of llama-server. A program that is started
//! under that name is the same.

use std::{
    collections::HashSet,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use hearth_server::{
    core::{
        models,
        request::{Format, KeepAlive},
    },
    dialects::llama_server::flags::{self, Flags, Info, Log, Preset, Source},
    edge::{self, Address, Scope, config::KeyEntry},
    library::{Library, Located, Means, Named},
    logs,
    routes::{Section, Setup, named},
};
use hearth_store::Name;

use super::serve::Plan;
use crate::{model, network, progress::Progress};

/// What `hearth llama-server` takes.
#[derive(clap::Args)]
#[command(
    disable_help_flag = true,
    after_help = "\
Every flag and variable of llama-server is known: it is heeded, or a warning says that it means nothing here, or it is
refused with what to do instead. `hearth llama-server --help` lists them. Beside llama-server's own, `-m` takes the names
that `hearth list` shows, and `--insecure` listens for other machines without a key.

Examples:
  hearth llama-server -m model.gguf -c 8192          on 127.0.0.1:8080
  hearth llama-server -hf OWNER/REPOSITORY:Q4_K_M --port 8081 --api-key secret
  ln -s hearth llama-server && ./llama-server -m bard"
)]
pub(crate) struct Arguments {
    /// llama-server's flags
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "FLAGS"
    )]
    pub flags: Vec<String>,
}

/// Hearth's own flag among llama-server's.
const INSECURE: &str = "--insecure";

/// Runs as llama-server where this program was started under that name.
pub(crate) fn by_name() -> Option<Result<()>> {
    let mut arguments = std::env::args_os();
    let name = arguments.next()?;
    if Path::new(&name).file_stem()? != "llama-server" {
        return None;
    }
    let text = |argument: OsString| argument.to_string_lossy().into_owned();
    Some(run(&arguments.map(text).collect::<Vec<_>>()))
}

/// Serves as the flags say.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let (own, theirs): (Vec<String>, Vec<String>) = arguments
        .iter()
        .cloned()
        .partition(|argument| argument == INSECURE);
    let files: Vec<String> = settings_files();
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    let mut flags = flags::read(&theirs, |name| std::env::var(name).ok(), &files)?;
    if let Some(info) = flags.info {
        return tell(info);
    }
    logs::begin_with(log_style(&flags.log)?, log_filter(&flags.log))?;
    unheeded(&mut flags);
    for warning in &flags.warnings {
        eprintln!("warn: {warning}");
    }
    read_files(&mut flags)?;
    let presets = presets(&flags, &theirs, &files)?;
    let mut library = Library::open()?;
    library.hub_token = flags.hub_token.clone().map(OsString::from);
    library.settings.folders.extend(folder(&flags)?);
    library.only = only(&library, &flags)?.map(Box::new);
    library.named = Arc::new(names(&library, &presets, flags.offline)?);
    let mut setup = Setup::of(&flags);
    setup.sections = presets.iter().map(Section::of).collect();
    if let Some(located) = &library.only {
        setup.usual.aliases = match flags.aliases.is_empty() {
            true => vec![located.title.clone()],
            false => flags.aliases.clone(),
        };
        setup.path = source_text(&flags);
    }
    let usual = models::Config::default();
    Plan {
        edge: edge_of(&flags, !own.is_empty())?,
        models: models::Config {
            keep_alive: flags.idle.map_or(KeepAlive::Forever, KeepAlive::For),
            models: flags.models_max.unwrap_or(0),
            context: flags.context,
            threads: flags.threads,
            parallel: flags.parallel.or(Some(setup.places())),
            history: flags.history.unwrap_or(usual.history),
            ..usual
        },
        load: (presets.iter().filter(|preset| preset.on_startup))
            .map(|preset| preset.name.clone())
            .collect(),
        library,
        llama: setup,
    }
    .run()
}

/// The files of settings that are there, the strongest first.
fn settings_files() -> Vec<String> {
    let folder = |name: &str| std::env::var_os(name).map(std::path::PathBuf::from);
    let own = folder("XDG_CONFIG_HOME").or_else(|| Some(folder("HOME")?.join(".config")));
    let all = own.into_iter().chain(["/etc".into()]);
    all.filter_map(|folder| fs::read_to_string(folder.join("llama.cpp/config.ini")).ok())
        .collect()
}

fn tell(info: Info) -> Result<()> {
    match info {
        Info::Help => print!("{}", flags::help()),
        Info::Version => println!("version: hearth {}", env!("CARGO_PKG_VERSION")),
        Info::Devices => println!("Available devices:\n  CPU: this machine's processor"),
        Info::Completions => println!("{}", flags::completions()),
        Info::Models => {
            let stored = Library::open()?.stored()?;
            println!("number of models in cache: {}", stored.len());
            for (number, (entry, _)) in (1..).zip(stored) {
                println!("{number:4}. {}", entry.name);
            }
        }
    }
    Ok(())
}

fn log_style(log: &Log) -> Result<logs::Style> {
    let open = |path: &PathBuf| {
        let file = fs::File::options().create(true).append(true).open(path);
        file.with_context(|| format!("cannot write the log to {}", path.display()))
    };
    Ok(logs::Style {
        format: match log.json {
            true => logs::Format::Json,
            false => logs::Format::Text,
        },
        file: log.file.as_ref().map(open).transpose()?,
        colors: log.colors,
        times: log.times,
        levels: log.prefix,
    })
}

fn log_filter(log: &Log) -> &'static str {
    ["off", "error", "warn", "info", "debug", "trace"][usize::from(log.level.min(5))]
}

/// Says what was read and is done in another way here.
fn unheeded(flags: &mut Flags) {
    let notes = [(
        flags.threads_batch.is_some() && flags.threads_batch != flags.threads,
        "--threads-batch has no effect here: prompts are read by the threads of --threads",
    )];
    let said = notes.into_iter().filter(|(holds, _)| *holds);
    flags.warnings.extend(said.map(|(_, note)| note.to_owned()));
}

/// Reads the files that stand for texts of other flags.
fn read_files(flags: &mut Flags) -> Result<()> {
    let read = |path: &Path| {
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
    };
    if let Some(path) = &flags.grammar_file {
        flags.standing.format = Some(Format::Gbnf(read(path)?));
    }
    if let Some(path) = &flags.schema_file {
        let schema = serde_json::from_str(&read(path)?)
            .with_context(|| format!("{} is no JSON schema", path.display()))?;
        flags.standing.format = Some(Format::Schema(schema));
    }
    if let Some(path) = &flags.template_file {
        flags.chats.template = Some(read(path)?);
    }
    if let Some(path) = &flags.api_key_file {
        let text = read(path)?;
        let keys = text.lines().map(str::trim);
        let keys = keys.filter(|key| !key.is_empty() && !key.starts_with('#'));
        flags.api_keys.extend(keys.map(str::to_owned));
    }
    // A key may be said twice.
    let mut seen = HashSet::new();
    flags.api_keys.retain(|key| seen.insert(key.clone()));
    Ok(())
}

/// The folder with more models, which has to be there.
fn folder(flags: &Flags) -> Result<Option<PathBuf>> {
    let absolute = |path: &PathBuf| {
        let found = fs::canonicalize(path).ok().filter(|path| path.is_dir());
        found.with_context(|| format!("--models-dir {}: there is no such folder", path.display()))
    };
    flags.models_folder.as_ref().map(absolute).transpose()
}

fn source_text(flags: &Flags) -> String {
    match &flags.source {
        Some(Source::Path(path)) => path.display().to_string(),
        Some(Source::Repository { name, .. }) => name.clone(),
        None => String::new(),
    }
}

/// The models of `--models-preset`, for a server that was not given one.
fn presets(flags: &Flags, arguments: &[String], files: &[&str]) -> Result<Vec<Preset>> {
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
fn names(library: &Library, presets: &[Preset], offline: bool) -> Result<Vec<Named>> {
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
fn only(library: &Library, flags: &Flags) -> Result<Option<Located>> {
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

fn edge_of(flags: &Flags, insecure: bool) -> Result<edge::Config> {
    let listen = flags.hosts.iter().map(|host| address(host, flags.port));
    let key = |(number, secret): (usize, &String)| KeyEntry {
        name: format!("api-key-{number}"),
        secret: secret.clone(),
        scope: Scope::Manage,
        limits: edge::KeyLimits::default(),
    };
    let origins = flags.cors_origins.iter().flatten();
    let usual = Flags::default();
    // What llama-server has where nothing is said is less than clients ask for.
    let said = |list: &[String], usual: &[String]| match list == usual {
        true => Vec::new(),
        false => list.to_vec(),
    };
    let defaults = edge::Limits::default();
    let longest = |time: Duration| time.max(flags.timeout);
    Ok(edge::Config {
        listen: listen.collect::<Result<_>>()?,
        keys: flags.api_keys.iter().enumerate().map(key).collect(),
        // Pages of this machine may always ask.
        origins: origins.filter(|it| *it != "localhost").cloned().collect(),
        cors_methods: said(&flags.cors_methods, &usual.cors_methods),
        cors_headers: said(&flags.cors_headers, &usual.cors_headers),
        reuse_port: flags.reuse_port,
        tls_certificate: flags.tls_certificate.clone(),
        tls_key: flags.tls_key.clone(),
        insecure,
        api_prefix: flags.prefix.clone(),
        style: Some(edge::Style::LlamaServer),
        limits: edge::Limits {
            idle_time: longest(defaults.idle_time),
            write_stall_time: longest(defaults.write_stall_time),
            ..defaults
        },
        ..edge::Config::default()
    })
}

/// An address of `--host`: a socket's path, or an IP address or `localhost` with the port.
fn address(host: &str, port: u16) -> Result<Address> {
    let text = match host {
        path if path.ends_with(".sock") => format!("unix:{path}"),
        ip if ip.contains(':') && !ip.starts_with('[') => format!("[{ip}]:{port}"),
        name => format!("{name}:{port}"),
    };
    text.parse().with_context(|| format!("--host {host}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_hosts() {
        for (host, expected) in [
            ("127.0.0.1", "127.0.0.1:8080"),
            ("0.0.0.0", "0.0.0.0:8080"),
            ("::1", "[::1]:8080"),
            ("[::1]", "[::1]:8080"),
            ("localhost", "127.0.0.1:8080"),
            ("/tmp/a.sock", "unix:/tmp/a.sock"),
        ] {
            assert_eq!(address(host, 8080).unwrap().to_string(), expected, "{host}");
        }
        assert!(address("example.com", 8080).is_err());
    }
}
