//! `hearth create`: a new model from a Modelfile.

use std::{
    cell::Cell,
    io::{self, Read},
    ops::ControlFlow,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, anyhow};
use hearth_quantize::Mixture;
use hearth_server::library::{Library, Making};
use hearth_store::{Base, Entry, Event, Modelfile, Name, Recipe, Watch};

use crate::progress::Progress;

/// What `hearth create` takes.
#[derive(clap::Args)]
#[command(after_help = "\
A Modelfile says what the model is made of:
  FROM llama3.2                    a model of the store, bard, a GGUF file or a directory of safetensors
  ADAPTER ./lora.gguf              a LoRA adapter
  SYSTEM You are a pirate.         the default system message
  PARAMETER temperature 0.5        defaults of options; also num_ctx, top_k, top_p, stop, seed, …
  TEMPLATE \"\"\"{{ .Prompt }}\"\"\"     a template in Go's language; without it, the model's own
  MESSAGE user Hi                  turns before every conversation
  LICENSE MIT

Examples:
  hearth create pirate                                from ./Modelfile
  hearth create small -f big.Modelfile -q q4_K_M      quantised
  hearth create mine -f - < Modelfile")]
pub(crate) struct Arguments {
    /// What to call it
    name: String,
    /// The Modelfile; - is standard input
    #[arg(long, short, value_name = "PATH", default_value = "Modelfile")]
    file: PathBuf,
    /// Quantise the weights, which have to be F16, BF16 or F32: q4_K_M, q4_K_S, q8_0, and every mixture that
    /// llama.cpp names
    #[arg(long, short, value_name = "MIXTURE")]
    quantize: Option<String>,
    /// Quantise what is quantised already, at the loss of both
    #[arg(long, requires = "quantize")]
    allow_requantize: bool,
    /// Take files into the store by hard links, without a copy; changing one would change the model
    #[arg(long)]
    link: bool,
    /// One JSON object per word of progress
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let library = Library::open()?;
    let name: Name = arguments
        .name
        .parse()
        .map_err(|error| anyhow!("invalid model name: {}: {error}", arguments.name))?;
    let (bytes, directory) = read(&arguments.file)?;
    let modelfile =
        Modelfile::parse(&bytes).with_context(|| arguments.file.display().to_string())?;
    for warning in &modelfile.warnings {
        eprintln!("warning: {warning}");
    }
    let recipe = Recipe::of(&modelfile, &directory)?;
    let mixture = arguments
        .quantize
        .as_deref()
        .map(Mixture::parse)
        .transpose()?;
    let progress = Progress::new(arguments.json);
    let watch = |event: Event| progress.event(&event);
    let percent = Cell::new(None);
    let making = Making {
        link: arguments.link,
        mixture,
        allow_requantize: arguments.allow_requantize,
        quantizing: &|quantizing| {
            tell(&watch, &percent, &quantizing.progress);
            ControlFlow::Continue(())
        },
        ..Making::new(&watch)
    };
    let made = library.make(&name, recipe, &making);
    progress.finish();
    for note in made?.notes {
        eprintln!("note: {note}");
    }
    Ok(())
}

/// Says how far a conversion is, a word for each percent.
fn tell(watch: Watch<'_>, last: &Cell<Option<u64>>, progress: &hearth_quantize::Progress<'_>) {
    let percent = progress.done * 100 / progress.total.max(1);
    if last.replace(Some(percent)) != Some(percent) {
        let tensor = progress.tensor;
        watch(Event::Status(format!("quantizing {tensor}: {percent}%")));
    }
}

/// The Modelfile, and where its relative paths begin.
fn read(file: &Path) -> Result<(Vec<u8>, PathBuf)> {
    if file == Path::new("-") {
        let mut bytes = Vec::new();
        io::stdin().lock().read_to_end(&mut bytes)?;
        return Ok((bytes, std::env::current_dir()?));
    }
    let bytes = std::fs::read(file)
        .with_context(|| format!("cannot read {}; -f names the Modelfile", file.display()))?;
    let directory = file.parent().unwrap_or(Path::new(".")).to_owned();
    Ok((bytes, directory))
}

/// A model of one file or directory.
pub(crate) fn from_path(
    library: &Library,
    name: &Name,
    path: &Path,
    link: bool,
    watch: Watch<'_>,
) -> Result<Entry> {
    let recipe = Recipe {
        from: vec![Base::Path(path.to_owned())],
        ..Recipe::default()
    };
    let making = Making {
        link,
        ..Making::new(watch)
    };
    Ok(library.make(name, recipe, &making)?.entry)
}
