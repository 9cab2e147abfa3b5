//! `hearth export` and `hearth import`: models as one file.

use std::{
    fs::File,
    io::{self, BufWriter, IsTerminal, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use hearth_server::library::Library;
use hearth_store::{Event, Name};

use crate::{commands::create, progress::Progress};

/// What `hearth export` takes.
#[derive(clap::Args)]
#[command(after_help = "\
The file is a tar in the layout of OCI images: contents by digest, so nothing in it can be changed unseen.
  hearth export llama3.2 llama.tar
  hearth export llama3.2 - | ssh other hearth import -")]
pub(crate) struct ExportArguments {
    /// Models of the store, and last the file to write; - is standard output
    #[arg(required = true, num_args = 2.., value_names = ["NAME", "FILE"])]
    names_and_file: Vec<String>,
}

/// What `hearth import` takes.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  hearth import llama.tar                 what `hearth export` wrote, under the names in it
  hearth import llama.tar mine:v1         under another name
  hearth import model.gguf mine           a GGUF file (a split one by its first part)
  hearth import ./Qwen3-0.6B mine         a directory of safetensors
  hearth import --link model.gguf mine    without a copy: the file and the store share it")]
pub(crate) struct ImportArguments {
    /// An archive, a GGUF file or a model directory; - is an archive on standard input
    file: PathBuf,
    /// What to call it
    name: Option<String>,
    /// Share the file with the store by a hard link; changing it would change the model
    #[arg(long)]
    link: bool,
    /// One JSON object per word of progress
    #[arg(long)]
    json: bool,
}

pub(crate) fn export(arguments: &ExportArguments) -> Result<()> {
    let Some((file, names)) = arguments.names_and_file.split_last() else {
        bail!("a model and a file are needed");
    };
    let store = Library::open()?.store;
    let entry = |text: &String| -> Result<_> { Ok(store.get(&text.parse::<Name>()?)?) };
    let entries = names.iter().map(entry).collect::<Result<Vec<_>>>()?;
    let progress = Progress::new(false);
    let watch = |event: Event| progress.event(&event);
    if file == "-" {
        let out = io::stdout();
        if out.is_terminal() {
            bail!("an archive is not for a terminal; name a file or redirect the output");
        }
        store.export(&entries, BufWriter::new(out.lock()), &watch)?;
    } else {
        to_file(Path::new(file), |out| {
            Ok(store.export(&entries, out, &watch)?)
        })?;
    }
    progress.finish();
    Ok(())
}

/// Writes a file that is there as a whole or not at all.
fn to_file(path: &Path, write: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
    let directory = path
        .parent()
        .filter(|d| !d.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let what = || format!("cannot write {}", path.display());
    let mut draft = tempfile::NamedTempFile::new_in(directory).with_context(what)?;
    let mut out = BufWriter::with_capacity(1 << 20, draft.as_file_mut());
    write(&mut out)?;
    out.flush().with_context(what)?;
    drop(out);
    draft.as_file().sync_all().with_context(what)?;
    draft.persist(path).with_context(what)?;
    Ok(())
}

pub(crate) fn import(arguments: &ImportArguments) -> Result<()> {
    let library = Library::open()?;
    let name = arguments
        .name
        .as_deref()
        .map(str::parse::<Name>)
        .transpose()?;
    let progress = Progress::new(arguments.json);
    let watch = |event: Event| progress.event(&event);
    let is_archive = arguments.file == Path::new("-")
        || arguments
            .file
            .extension()
            .is_some_and(|extension| extension == "tar");
    let entries = if arguments.file == Path::new("-") {
        library
            .store
            .import(io::stdin().lock(), name.as_ref(), &watch)?
    } else if is_archive {
        let file = File::open(&arguments.file)
            .with_context(|| format!("cannot read {}", arguments.file.display()))?;
        library.store.import(file, name.as_ref(), &watch)?
    } else {
        let Some(name) = name else {
            bail!(
                "a name is needed for what is no archive: hearth import {} NAME",
                arguments.file.display()
            );
        };
        vec![create::from_path(
            &library,
            &name,
            &arguments.file,
            arguments.link,
            &watch,
        )?]
    };
    progress.finish();
    if !arguments.json {
        for entry in entries {
            println!("imported '{}'", entry.name);
        }
    }
    Ok(())
}
