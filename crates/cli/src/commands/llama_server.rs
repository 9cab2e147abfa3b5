//! `hearth llama-server`: the server under the flags, variables and files of llama-server. A program that is started
//! under that name is the same.

mod sources;

use std::{
    collections::HashSet,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result};
use hearth_server::{
    core::{
        models,
        request::{Format, KeepAlive},
    },
    dialects::llama_server::flags::{self, Flags, Info, Log},
    edge::{self, Address, Scope, config::KeyEntry},
    library::Library,
    logs,
    routes::{Section, Setup},
};

use super::serve::Plan;

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
    let presets = sources::presets(&flags, &theirs, &files)?;
    let mut library = Library::open()?;
    library.hub_token = flags.hub_token.clone().map(OsString::from);
    library.settings.folders.extend(sources::folder(&flags)?);
    library.only = sources::only(&library, &flags)?.map(Box::new);
    library.named = Arc::new(sources::names(&library, &presets, flags.offline)?);
    let mut setup = Setup::of(&flags);
    setup.sections = presets.iter().map(Section::of).collect();
    if let Some(located) = &library.only {
        setup.usual.aliases = match flags.aliases.is_empty() {
            true => vec![located.title.clone()],
            false => flags.aliases.clone(),
        };
        setup.path = sources::source_text(&flags);
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
