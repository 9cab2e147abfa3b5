//! What comes from outside: standard input, files, Ctrl-C.

use std::{
    fs,
    io::{self, Read},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use anyhow::{Context, Result, anyhow};

/// The user pressed Ctrl-C and there is nothing to go back to.
#[derive(Debug)]
pub(crate) struct Interrupted;

impl std::fmt::Display for Interrupted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("interrupted")
    }
}

impl std::error::Error for Interrupted {}

/// Tells of Ctrl-C. While an answer is written the first one stops it; a second one before that has happened ends the
/// program as usual.
#[derive(Clone)]
pub(crate) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Begins to listen.
    pub(crate) fn listen() -> Result<Self> {
        let flag = Arc::new(AtomicBool::new(false));
        signal_hook::flag::register_conditional_default(
            signal_hook::consts::SIGINT,
            Arc::clone(&flag),
        )?;
        signal_hook::flag::register(signal_hook::consts::SIGINT, Arc::clone(&flag))?;
        Ok(Self(flag))
    }

    /// Whether it came since the last time this was asked with `take`.
    pub(crate) fn came(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// The same, and forgets it.
    pub(crate) fn take(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }
}

/// `hearth stop` ends a chat by a signal while the line editor has the terminal in its own mode: gives it back as it is
/// now, then ends the program.
#[cfg(unix)]
pub(crate) fn give_terminal_back_when_stopped() -> Result<()> {
    use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
    let terminal = tcgetattr(rustix::stdio::stdin())?;
    let mut signals = signal_hook::iterator::Signals::new([signal_hook::consts::SIGTERM])?;
    std::thread::spawn(move || {
        if signals.forever().next().is_some() {
            // Whoever has no terminal any more needs nothing back.
            let _ = tcsetattr(rustix::stdio::stdin(), OptionalActions::Now, &terminal);
            eprintln!();
            std::process::exit(128 + signal_hook::consts::SIGTERM);
        }
    });
    Ok(())
}

#[cfg(not(unix))]
pub(crate) fn give_terminal_back_when_stopped() -> Result<()> {
    Ok(())
}

/// All of standard input, which must be UTF-8.
pub(crate) fn standard_input() -> Result<String> {
    let mut bytes = Vec::new();
    io::stdin()
        .lock()
        .read_to_end(&mut bytes)
        .context("standard input")?;
    text(bytes, "standard input")
}

/// All of a file, which must be UTF-8.
pub(crate) fn file(path: &Path) -> Result<String> {
    let name = path.display().to_string();
    text(fs::read(path).with_context(|| name.clone())?, &name)
}

fn text(bytes: Vec<u8>, name: &str) -> Result<String> {
    String::from_utf8(bytes).map_err(|e| {
        anyhow!(
            "{name} is not UTF-8: byte {} cannot be read as text",
            e.utf8_error().valid_up_to()
        )
    })
}
