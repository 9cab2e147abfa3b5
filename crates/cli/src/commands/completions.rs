//! `hearth completions` and `hearth man`: made from the same definitions as the help.

use std::{
    io::{self, Write},
    path::PathBuf,
};

use anyhow::{Context, Result};
use clap::{Command, CommandFactory};
use clap_complete::Shell;

use crate::Arguments as Hearth;

/// What `hearth completions` takes.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  hearth completions bash > ~/.local/share/bash-completion/completions/hearth
  hearth completions zsh > ~/.zfunc/_hearth
  hearth completions fish > ~/.config/fish/completions/hearth.fish")]
pub(crate) struct Arguments {
    /// The shell
    shell: Shell,
}

/// What `hearth man` takes.
#[derive(clap::Args)]
pub(crate) struct ManArguments {
    /// Where to write hearth.1 and a page for each command; without it, hearth.1 goes to standard output
    directory: Option<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let mut out = Vec::new();
    clap_complete::generate(arguments.shell, &mut Hearth::command(), "hearth", &mut out);
    io::stdout().lock().write_all(&out)?;
    Ok(())
}

pub(crate) fn man(arguments: &ManArguments) -> Result<()> {
    let mut command = Hearth::command();
    command.build();
    let Some(directory) = &arguments.directory else {
        io::stdout().lock().write_all(&page(command)?)?;
        return Ok(());
    };
    std::fs::create_dir_all(directory).with_context(|| directory.display().to_string())?;
    let subcommands = command
        .get_subcommands()
        .filter(|sub| sub.get_name() != "help")
        .cloned();
    let pages: Vec<(String, Command)> = subcommands
        .map(|sub| (format!("hearth-{}", sub.get_name()), sub))
        .collect();
    for (name, command) in std::iter::once(("hearth".to_owned(), command)).chain(pages) {
        let path = directory.join(format!("{name}.1"));
        let text = page(command.display_name(name))?;
        std::fs::write(&path, text).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

fn page(command: Command) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    clap_mangen::Man::new(command).render(&mut out)?;
    Ok(out)
}
