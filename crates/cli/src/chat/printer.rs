//! An answer on the terminal as it comes.

use std::{
    io::{self, IsTerminal, Write},
    ops::ControlFlow,
    time::{Duration, Instant},
};

use hearth_chat::{Piece, Reasoning, Tags};
use hearth_engine::{Engine, Event, Outcome, peak_memory};

use crate::input::Interrupt;

const DIM: &str = "\x1b[2m";
const PLAIN: &str = "\x1b[0m";
const ERASE_LINE: &str = "\r\x1b[K";

/// A prompt whose reading takes longer shows how far it is.
const PATIENCE: Duration = Duration::from_millis(700);

/// Prints pieces of an answer; reasoning is dim where there is colour.
pub(crate) struct Printer {
    interrupt: Interrupt,
    reasoning: Option<Reasoning>,
    colour: bool,
    thinking: bool,
    quiet: bool,
    began: Instant,
    progress: bool,
    failed: Option<io::Error>,
}

impl Printer {
    /// A printer for the answer to `prompt`; a raw one splits no reasoning, a quiet one prints nothing.
    pub(crate) fn new(interrupt: &Interrupt, prompt: &str, raw: bool, quiet: bool) -> Self {
        Self {
            interrupt: interrupt.clone(),
            reasoning: (!raw).then(|| Reasoning::after_prompt(Tags::default(), prompt)),
            colour: io::stdout().is_terminal()
                && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty()),
            thinking: false,
            quiet,
            began: Instant::now(),
            progress: false,
            failed: None,
        }
    }

    /// Takes a step of the generation.
    pub(crate) fn event(&mut self, event: Event<'_>) -> ControlFlow<()> {
        let printed = match event {
            Event::Read { done, total } => self.read(done, total),
            Event::Text(text) => self.text(text),
        };
        match printed {
            Err(error) => self.failed = Some(error),
            Ok(()) if !self.interrupt.came() => return ControlFlow::Continue(()),
            Ok(()) => {}
        }
        ControlFlow::Break(())
    }

    fn read(&mut self, done: usize, total: usize) -> io::Result<()> {
        if self.quiet || !io::stderr().is_terminal() {
            return Ok(());
        }
        if done == total {
            self.erase()
        } else if self.began.elapsed() > PATIENCE {
            self.progress = true;
            write!(
                io::stderr(),
                "{ERASE_LINE}reading the prompt: {done} of {total} tokens"
            )
        } else {
            Ok(())
        }
    }

    fn erase(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.progress) {
            write!(io::stderr(), "{ERASE_LINE}")
        } else {
            Ok(())
        }
    }

    fn text(&mut self, text: &str) -> io::Result<()> {
        let pieces = match &mut self.reasoning {
            Some(reasoning) => reasoning.push(text),
            None => vec![Piece::Answer(text.to_owned())],
        };
        self.pieces(pieces)
    }

    fn pieces(&mut self, pieces: Vec<Piece>) -> io::Result<()> {
        if self.quiet {
            return Ok(());
        }
        let mut out = io::stdout().lock();
        for piece in pieces {
            let (text, thinking) = match piece {
                Piece::Reasoning(text) => (text, true),
                Piece::Answer(text) => (text, false),
            };
            if thinking != self.thinking {
                // The answer stands apart from what was thought before.
                let (colour, gap) = if thinking { (DIM, "") } else { (PLAIN, "\n\n") };
                write!(out, "{}{gap}", if self.colour { colour } else { "" })?;
                self.thinking = thinking;
            }
            out.write_all(text.as_bytes())?;
        }
        out.flush()
    }

    /// Ends the answer.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.erase()?;
        if let Some(reasoning) = self.reasoning.take() {
            self.pieces(reasoning.finish())?;
        }
        if self.thinking && self.colour {
            write!(io::stdout(), "{PLAIN}")?;
        }
        self.failed.take().map_or(Ok(()), Err)
    }
}

/// Tokens per second; 0 where nothing was done.
pub(crate) fn rate(tokens: usize, time: Duration) -> f64 {
    if tokens == 0 {
        0.0
    } else {
        tokens as f64 / time.as_secs_f64().max(1e-9)
    }
}

/// What `--verbose` prints.
pub(crate) fn print_statistics(engine: &Engine, outcome: &Outcome, used: usize) {
    let new = outcome.prompt_tokens - outcome.reused;
    let (prefill, decode) = (outcome.timing.prefill, outcome.timing.decode);
    eprintln!(
        "load       {:.1} ms",
        engine.load_time().as_secs_f64() * 1e3
    );
    eprintln!(
        "prefill    {new} tokens, {:.1} tok/s ({} reused)",
        rate(new, prefill),
        outcome.reused
    );
    eprintln!(
        "decode     {} tokens, {:.1} tok/s, ended by {}",
        outcome.ids.len(),
        rate(outcome.ids.len(), decode),
        outcome.finish.name()
    );
    eprintln!(
        "context    {used} of {} tokens, 0 dropped",
        engine.context()
    );
    if let Some(bytes) = peak_memory() {
        eprintln!(
            "memory     {:.1} MiB at most, mapped weights included",
            bytes as f64 / f64::from(1 << 20)
        );
    }
}
