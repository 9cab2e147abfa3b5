//! `hearth list` and `hearth search-local`: the models of this machine.

use std::{
    io::{self, Write},
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::Result;
use hearth_server::library::Library;
use hearth_store::{Entry, origins::Found};
use serde_json::{Value, json};

use crate::text;

/// What `hearth list` takes.
#[derive(clap::Args)]
#[command(after_help = "\
Models that other programs keep (Ollama, LM Studio, llama.cpp, the Hugging Face cache, folders of the settings) are
read where they are; ORIGIN says whose they are.")]
pub(crate) struct Arguments {
    /// Only names that begin so
    prefix: Option<String>,
    /// Only models of hearth's own store
    #[arg(long)]
    own: bool,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

/// What `hearth search-local` takes.
#[derive(clap::Args)]
pub(crate) struct SearchArguments {
    /// Part of a name, an origin, a family or a quantisation; several must all be there
    #[arg(required = true)]
    text: Vec<String>,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

/// A line of the list.
struct Row {
    name: String,
    id: String,
    size: u64,
    modified: SystemTime,
    origin: String,
    family: String,
    quantization: String,
    digest: Option<String>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let prefix = arguments.prefix.clone().unwrap_or_default().to_lowercase();
    let mut rows = rows(&Library::open()?, arguments.own)?;
    rows.retain(|row| row.name.to_lowercase().starts_with(&prefix));
    print(&rows, arguments.json)
}

pub(crate) fn search(arguments: &SearchArguments) -> Result<()> {
    let mut rows = rows(&Library::open()?, false)?;
    let wanted: Vec<String> = arguments
        .text
        .iter()
        .map(|word| word.to_lowercase())
        .collect();
    rows.retain(|row| {
        let text = format!(
            "{} {} {} {}",
            row.name, row.origin, row.family, row.quantization
        );
        let text = text.to_lowercase();
        wanted.iter().all(|word| text.contains(word))
    });
    print(&rows, arguments.json)
}

/// All models, the store's first. What cannot be read is told and does not hide the rest.
fn rows(library: &Library, own: bool) -> Result<Vec<Row>> {
    let listing = library.store.list()?;
    let mut faults = listing.faults;
    let mut rows: Vec<Row> = listing
        .entries
        .iter()
        .map(|entry| stored(library, entry, "hearth"))
        .collect();
    if !own {
        let others = library.others();
        rows.extend(others.found.iter().map(|found| foreign(library, found)));
        faults.extend(others.faults);
    }
    for fault in faults {
        eprintln!("note: {fault}");
    }
    Ok(rows)
}

fn stored(library: &Library, entry: &Entry, origin: &str) -> Row {
    // A config that cannot be read is told when the model is used.
    let config = library.store.config(entry).unwrap_or_default();
    let digest = entry.manifest.digest();
    Row {
        name: entry.name.to_string(),
        id: digest.short(),
        size: entry.manifest.size(),
        modified: entry.modified,
        origin: origin.to_owned(),
        family: config.model_family,
        quantization: config.file_type,
        digest: Some(digest.hex()),
    }
}

fn foreign(library: &Library, found: &Found) -> Row {
    if let hearth_store::origins::Files::Manifest(entry) = &found.files {
        let store = hearth_store::Store::new(&found.folder);
        let theirs = Library {
            store,
            ..library.clone()
        };
        return Row {
            name: found.title.clone(),
            ..stored(&theirs, entry, &found.origin.to_string())
        };
    }
    let name = found
        .name
        .as_ref()
        .map_or_else(|| found.title.clone(), ToString::to_string);
    let tag = found.name.as_ref().map(|name| name.tag().to_owned());
    Row {
        name,
        id: "-".to_owned(),
        size: found.size,
        modified: found.modified,
        origin: found.origin.to_string(),
        family: found.architecture.clone().unwrap_or_default(),
        quantization: tag.filter(|tag| tag != "latest").unwrap_or_default(),
        digest: None,
    }
}

fn print(rows: &[Row], as_json: bool) -> Result<()> {
    let mut out = io::stdout().lock();
    if as_json {
        let models: Vec<Value> = rows.iter().map(object).collect();
        writeln!(out, "{}", json!({ "models": models }))?;
        return Ok(());
    }
    let foreign = rows.iter().any(|row| row.origin != "hearth");
    let mut head = vec!["NAME", "ID", "SIZE", "MODIFIED"];
    if foreign {
        head.push("ORIGIN");
    }
    let cells = |row: &Row| {
        let cells = [
            &row.name,
            &row.id,
            &text::size(row.size),
            &text::ago(row.modified),
            &row.origin,
        ];
        cells.into_iter().take(head.len()).cloned().collect()
    };
    let rows: Vec<Vec<String>> = rows.iter().map(cells).collect();
    text::table(&mut out, &head, &rows)?;
    Ok(())
}

fn object(row: &Row) -> Value {
    let modified = row
        .modified
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| d.as_secs());
    json!({
        "name": row.name,
        "digest": row.digest,
        "size": row.size,
        "modified": modified,
        "origin": row.origin,
        "family": row.family,
        "quantization": row.quantization,
    })
}
