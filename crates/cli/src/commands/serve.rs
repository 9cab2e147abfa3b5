//! `hearth serve`: the server.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result};
use hearth_compute::Precision;
use hearth_server::{
    core::{
        Failure, Service,
        models::{self, Models},
        request::KeepAlive,
    },
    edge::{self, Address, Server},
    library::{Library, environment},
    logs,
    metrics::Metrics,
    routes::{App, Setup, router, without_metrics},
    usage::Usage,
};

/// What `hearth serve` takes.
#[derive(clap::Args)]
#[command(after_help = "\
Programs that know Ollama find it at once: same port, same routes. Others are given a base address:
  OpenAI         http://127.0.0.1:11434/v1
  Anthropic      http://127.0.0.1:11434

Examples:
  hearth serve                               on 127.0.0.1:11434, for this machine
  hearth serve --listen 0.0.0.0:11434 --key-file keys.toml
  hearth serve --port 0                      on any free port; the first line tells which
  curl http://127.0.0.1:11434/api/chat -d '{\"model\": \"bard\", \"messages\": [{\"role\": \"user\", \"content\": \"Hi\"}]}'")]
pub(crate) struct Arguments {
    /// Where to listen: HOST:PORT, or a port of this machine alone, or unix:PATH; may be repeated
    #[arg(
        long,
        value_name = "ADDRESS",
        env = "HEARTH_HOST",
        visible_alias = "port"
    )]
    listen: Vec<Address>,
    /// Keys that clients must have, from a file
    #[arg(long, value_name = "FILE")]
    key_file: Option<std::path::PathBuf>,
    /// A web page's origin that may ask, beside those of this machine; may be repeated
    #[arg(long = "origin", value_name = "ORIGIN")]
    origins: Vec<String>,
    /// A name that this server is reached by; may be repeated
    #[arg(long = "host", value_name = "NAME")]
    hosts: Vec<String>,
    /// Certificates in PEM; with --tls-key
    #[arg(long, value_name = "FILE")]
    tls_cert: Option<std::path::PathBuf>,
    /// Their private key in PEM
    #[arg(long, value_name = "FILE")]
    tls_key: Option<std::path::PathBuf>,
    /// Listen for other machines without a key: whoever reaches the address can use everything
    #[arg(long)]
    insecure: bool,
    /// A model to load at once, so that the first question need not wait; may be repeated
    #[arg(long, value_name = "MODEL")]
    load: Vec<String>,
    /// How long an unused model stays loaded: 5m, 90s, 0, or -1 for ever
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = keep_alive)]
    keep_alive: KeepAlive,
    /// Models loaded at a time, by default as many as fit
    #[arg(long, value_name = "N", default_value_t = 0)]
    max_models: usize,
    /// Answers under way at a time in one model, by default as many as memory allows
    #[arg(long, value_name = "N")]
    parallel: Option<usize>,
    /// Requests that wait for a place; more are told to come back
    #[arg(long, value_name = "N", default_value_t = 512)]
    max_queue: usize,
    /// Threads that compute, by default one per core
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Tokens that an answer and its prompt may have, where neither the request nor the model says
    #[arg(long, value_name = "TOKENS", visible_alias = "context")]
    ctx: Option<usize>,
    /// Disk for prompts that were read before, in the store's directory: 20G, 500M, 0 for none; by default 8G or a tenth
    /// of the free disk. What people wrote can be told from it
    #[arg(long, value_name = "SIZE", value_parser = bytes)]
    cache_disk: Option<u64>,
    /// Logs as JSON
    #[arg(long)]
    log_json: bool,
}

fn keep_alive(text: &str) -> Result<KeepAlive, String> {
    let (number, unit) = text.split_at(text.trim_end_matches(char::is_alphabetic).len());
    let value: f64 = number
        .parse()
        .map_err(|_| format!("'{text}' is no time: expected 300, 90s, 5m, 2h or -1"))?;
    let seconds = match unit {
        "" | "s" => 1.0,
        "ms" => 0.001,
        "m" => 60.0,
        "h" => 3600.0,
        _ => {
            return Err(format!(
                "'{unit}' is no unit of time: expected ms, s, m or h"
            ));
        }
    };
    if value < 0.0 {
        return Ok(KeepAlive::Forever);
    }
    Duration::try_from_secs_f64(value * seconds)
        .map(KeepAlive::For)
        .map_err(|_| format!("'{text}' is too long; -1 is for ever"))
}

fn bytes(text: &str) -> Result<u64, String> {
    let (number, unit) = text.split_at(text.trim_end_matches(char::is_alphabetic).len());
    let shift = match unit
        .to_ascii_uppercase()
        .trim_end_matches('B')
        .trim_end_matches('I')
    {
        "" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        _ => {
            return Err(format!(
                "'{unit}' is no unit of size: expected K, M, G or T"
            ));
        }
    };
    let value: u64 = number
        .parse()
        .map_err(|_| format!("'{text}' is no size: expected 20G, 500M or 0"))?;
    value
        .checked_mul(1 << shift)
        .ok_or_else(|| format!("'{text}' is more than any disk has"))
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let format = if arguments.log_json {
        logs::Format::Json
    } else {
        logs::Format::Text
    };
    logs::begin(
        format,
        &std::env::var("HEARTH_LOG").unwrap_or_else(|_| "info".to_owned()),
    )?;
    let library = Library::open()?;
    Plan {
        edge: edge_of(arguments)?,
        models: models::Config {
            keep_alive: arguments.keep_alive,
            models: arguments.max_models,
            context: arguments.ctx,
            threads: arguments.threads,
            precision: Precision::Fast,
            parallel: arguments.parallel,
            queue: arguments.max_queue,
            disk: library.kept(arguments.cache_disk),
            ..models::Config::default()
        },
        load: arguments.load.clone(),
        library,
        llama: Setup::default(),
    }
    .run()
}

fn edge_of(arguments: &Arguments) -> Result<edge::Config> {
    let mut config = edge::Config {
        key_file: arguments.key_file.clone(),
        origins: arguments.origins.clone(),
        hosts: arguments.hosts.clone(),
        tls_certificate: arguments.tls_cert.clone(),
        tls_key: arguments.tls_key.clone(),
        insecure: arguments.insecure,
        ..edge::Config::default()
    };
    if let Some(text) = environment("OLLAMA_ORIGINS").and_then(|text| text.into_string().ok()) {
        let origins = text
            .split(',')
            .map(str::trim)
            .filter(|text| !text.is_empty());
        config.origins.extend(origins.map(str::to_owned));
    }
    config.listen = match (arguments.listen.is_empty(), environment("OLLAMA_HOST")) {
        (false, _) => arguments.listen.clone(),
        (true, Some(text)) if !text.is_empty() => {
            vec![text.to_string_lossy().parse().context("OLLAMA_HOST")?]
        }
        _ => vec!["127.0.0.1:11434".parse()?],
    };
    Ok(config)
}

/// A server that can begin.
pub(crate) struct Plan {
    /// Where it listens, and to whom.
    pub edge: edge::Config,
    /// What it loads.
    pub models: models::Config,
    /// Models to load at once.
    pub load: Vec<String>,
    /// From where.
    pub library: Library,
    /// How llama-server's routes answer.
    pub llama: Setup,
}

impl Plan {
    /// Serves until the system wants this to end.
    pub(crate) fn run(self) -> Result<()> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .context("the network cannot begin")?;
        runtime.block_on(self.serve())
    }

    async fn serve(self) -> Result<()> {
        let metrics = Arc::new(Metrics::new());
        let root = self.library.store.layout().root().to_owned();
        let usage = Usage::open(&root.join("usage")).map(Arc::new);
        let usage = usage
            .inspect_err(|error| eprintln!("note: usage is not kept: {error}"))
            .ok();
        let server = Server::bind(self.edge, Arc::clone(&metrics), usage.clone()).await?;
        let models = Models::new(self.library, self.models);
        let watched = Arc::clone(&models);
        metrics.watch(move || watched.busy());
        let reaper = tokio::spawn(Arc::clone(&models).reap());
        for address in server.addresses() {
            println!("listening on {address}");
        }
        let measured = match self.llama.metrics {
            true => edge::routes(metrics, usage.clone()),
            false => without_metrics(),
        };
        let service = Service::new(Arc::clone(&models));
        let app = App::open(service, &root.join("serve"), usage.clone());
        let app = app.with_llama_server(self.llama);
        tokio::spawn(app.clone().load(self.load));
        let batches = tokio::spawn(app.clone().work_on_batches());
        let run = server.run(router(app.clone()).merge(measured), stopped());
        let ended = tokio::select! {
            () = run => Ok(()),
            failure = cannot_load(&app) => Err(failure).context("the model cannot be loaded"),
        };
        batches.abort();
        reaper.abort();
        models.shut_down().await;
        if let Some(usage) = usage {
            usage.flush()?;
        }
        ended
    }
}

/// Loads the one model of a server that has only one. Comes back only if that cannot be done.
async fn cannot_load(app: &App) -> Failure {
    match app.load_only().await {
        Ok(()) => std::future::pending().await,
        Err(failure) => failure,
    }
}

/// Ctrl-C, or the system's wish that this ends.
async fn stopped() {
    let interrupt = tokio::signal::ctrl_c();
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        match signal(SignalKind::terminate()) {
            Ok(mut terminate) => {
                tokio::select! {
                    _ = interrupt => {}
                    _ = terminate.recv() => {}
                }
            }
            Err(_) => drop(interrupt.await),
        }
    }
    #[cfg(not(unix))]
    drop(interrupt.await);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_in_the_usual_forms() {
        for (text, want) in [
            ("0", Some(0)),
            ("512", Some(512)),
            ("20G", Some(20 << 30)),
            ("20gb", Some(20 << 30)),
            ("3 MiB", None),
            ("3MiB", Some(3 << 20)),
            ("2T", Some(2 << 40)),
            ("99999999T", None),
            ("1.5G", None),
            ("-1", None),
            ("7X", None),
            ("G", None),
            ("", None),
        ] {
            assert_eq!(bytes(text).ok(), want, "{text}");
        }
    }
}
