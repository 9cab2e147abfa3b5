//! How far a long operation is: bars on a terminal, lines elsewhere, one JSON object per word for programs.

use std::{
    collections::HashMap,
    io::{self, IsTerminal, Write},
    sync::Mutex,
    time::Duration,
};

use hearth_store::{Digest, Event, Verb};
use indicatif::{MultiProgress, ProgressBar, ProgressState, ProgressStyle};
use serde_json::json;

use crate::text;

/// Shows events.
pub(crate) struct Progress {
    form: Form,
    bars: MultiProgress,
    /// By what is done with what.
    amounts: Mutex<HashMap<String, Amount>>,
    status: Mutex<Option<ProgressBar>>,
}

#[derive(PartialEq)]
enum Form {
    Json,
    Bars,
    Lines,
}

struct Amount {
    bar: ProgressBar,
    completed: u64,
}

impl Progress {
    /// On standard error; JSON on standard output.
    pub(crate) fn new(json: bool) -> Self {
        let form = match (json, io::stderr().is_terminal()) {
            (true, _) => Form::Json,
            (false, true) => Form::Bars,
            (false, false) => Form::Lines,
        };
        Self {
            form,
            bars: MultiProgress::new(),
            amounts: Mutex::default(),
            status: Mutex::default(),
        }
    }

    /// Shows an event.
    pub(crate) fn event(&self, event: &Event) {
        match event {
            Event::Status(text) => self.status(text),
            Event::Content {
                verb,
                digest,
                total,
                completed,
            } => {
                let what = format!("{} {}", word(*verb), digest.short());
                self.amount(what, Some(*digest), *total, *completed);
            }
            Event::File {
                path,
                total,
                completed,
            } => self.amount(format!("reading {path}"), None, *total, *completed),
            Event::Waiting { digest } => self.note(&format!(
                "waiting for another process that fetches {}",
                digest.short()
            )),
            Event::Retry { why } => self.note(why),
        }
    }

    fn status(&self, text: &str) {
        match self.form {
            Form::Json => print_json(&json!({ "status": text })),
            Form::Lines => eprintln!("{text}"),
            Form::Bars => {
                let Ok(mut status) = self.status.lock() else {
                    return;
                };
                if let Some(before) = status.take() {
                    before.disable_steady_tick();
                    before.set_style(style("{msg}"));
                    before.tick();
                    before.abandon();
                }
                let bar = ProgressBar::new_spinner()
                    .with_style(style("{msg} {spinner}"))
                    .with_message(text.to_owned());
                let bar = self.bars.add(bar);
                bar.enable_steady_tick(Duration::from_millis(100));
                *status = Some(bar);
            }
        }
    }

    fn note(&self, text: &str) {
        match self.form {
            Form::Json => print_json(&json!({ "status": text })),
            Form::Lines => eprintln!("{text}"),
            Form::Bars => drop(self.bars.println(text)),
        }
    }

    /// So much of something is done.
    fn amount(&self, what: String, digest: Option<Digest>, total: u64, completed: u64) {
        let Ok(mut amounts) = self.amounts.lock() else {
            return;
        };
        let is_new = !amounts.contains_key(&what);
        let amount = amounts.entry(what.clone()).or_insert_with(|| Amount {
            bar: self.bar(&what, total, completed),
            completed,
        });
        // A word a percent is enough, except the first and the last one.
        let moved = completed.abs_diff(amount.completed) >= (total / 100).max(1);
        let finished = completed >= total && amount.completed < total;
        if !(is_new || moved || finished) {
            return;
        }
        amount.completed = completed;
        match self.form {
            Form::Json => print_json(&json!({
                "status": what,
                "digest": digest.map(|digest| digest.to_string()),
                "total": total,
                "completed": completed,
            })),
            Form::Lines => line(&what, total, completed, is_new),
            Form::Bars => {
                amount.bar.set_position(completed);
                if completed >= total {
                    amount.bar.abandon();
                }
            }
        }
    }

    fn bar(&self, what: &str, total: u64, completed: u64) -> ProgressBar {
        if self.form != Form::Bars {
            return ProgressBar::hidden();
        }
        let note = if is_resumed(what, completed) && completed < total {
            format!(" (going on at {})", text::size(completed))
        } else {
            String::new()
        };
        let form = style("{msg}: {percent:>3}% ▕{wide_bar}▏ {done:>15} {rate:>10} {left:>6}")
            .progress_chars("█▉▊▋▌▍▎▏ ")
            .with_key("done", show_done)
            .with_key("rate", show_rate)
            .with_key("left", show_left);
        let bar = ProgressBar::new(total)
            .with_style(form)
            .with_position(completed)
            .with_message(format!("{what}{note}"));
        bar.reset_eta();
        self.bars.add(bar)
    }

    /// Leaves what is shown as it is.
    pub(crate) fn finish(&self) {
        if let Ok(mut status) = self.status.lock()
            && let Some(bar) = status.take()
        {
            bar.set_style(style("{msg}"));
            bar.abandon();
        }
        if let Ok(amounts) = self.amounts.lock() {
            amounts.values().for_each(|amount| amount.bar.abandon());
        }
        if self.form == Form::Bars {
            eprintln!(); // the last line of what is shown stays
        }
    }
}

fn word(verb: Verb) -> &'static str {
    match verb {
        Verb::Pull => "pulling",
        Verb::Push => "pushing",
        Verb::Verify => "verifying",
        Verb::Copy => "copying",
    }
}

/// Whether the first word on something means that an earlier attempt left so much.
fn is_resumed(what: &str, completed: u64) -> bool {
    completed > 0 && what.starts_with(word(Verb::Pull))
}

/// In a log the beginning and the end are enough.
fn line(what: &str, total: u64, completed: u64, is_new: bool) {
    let all = text::size(total);
    if completed >= total {
        eprintln!("{what}: {all}, done");
    } else if is_new && is_resumed(what, completed) {
        eprintln!("{what}: going on at {} of {all}", text::size(completed));
    } else if is_new {
        eprintln!("{what}: {all}");
    }
}

fn show_done(state: &ProgressState, out: &mut dyn std::fmt::Write) {
    let total = state.len().unwrap_or(0);
    let _ = if state.pos() >= total {
        write!(out, "{}", text::size(total))
    } else {
        write!(out, "{}/{}", text::size(state.pos()), text::size(total))
    };
}

fn show_rate(state: &ProgressState, out: &mut dyn std::fmt::Write) {
    if !state.is_finished() {
        let _ = write!(out, "{}/s", text::size(state.per_sec() as u64));
    }
}

fn show_left(state: &ProgressState, out: &mut dyn std::fmt::Write) {
    if !state.is_finished() {
        let _ = write!(out, "{}", text::remaining(state.eta()));
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

fn print_json(value: &serde_json::Value) {
    // A reader that went away is noticed by whoever writes the result.
    let _ = writeln!(io::stdout().lock(), "{value}");
}
