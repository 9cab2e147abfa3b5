//! llama-server's command line, its environment and its files of settings.
//!
//! A [`Row`] of a table is an option with all its spellings. Each is heeded, or means nothing here and a warning says
//! so, or is refused with a text that says what to do instead: none is dropped in silence.
//!
//! The command line wins over the environment, and that over the files. There is no `--flag=value`; `_` in long flags
//! is `-`.

mod client;
mod common;
mod file;
mod given;
mod help;
mod preset;
mod sampling;
mod server;
mod settings;
mod speculative;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use given::Given;
pub use help::{completions, help};
pub use preset::{Preset, presets};
pub use settings::{Flags, Info, Log, Source};

/// What is wrong with a command line. Its texts begin as llama-server's do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FlagError {
    /// No such option.
    #[error("error: invalid argument: {0}")]
    Unknown(String),
    /// The value after it is missing.
    #[error("error: expected value for argument {0}")]
    NoValue(String),
    /// The value says what cannot be.
    #[error("error while handling argument \"{name}\": {problem}")]
    Value {
        /// The spelling.
        name: String,
        /// What was expected and found.
        problem: String,
    },
    /// The environment says what cannot be.
    #[error("error while handling environment variable \"{name}\": {problem}")]
    Environment {
        /// The variable.
        name: String,
        /// What was expected and found.
        problem: String,
    },
    /// An option that is known and not done here.
    #[error("error: {name} is not supported: {advice}")]
    Refused {
        /// The spelling.
        name: String,
        /// Why, and what to do instead.
        advice: &'static str,
    },
}

/// What comes of an option.
#[derive(Clone, Copy, Debug)]
enum Effect {
    /// It is heeded.
    Do(fn(&mut Flags, &Given) -> Result<(), String>),
    /// It sets the number of this name for requests that do not.
    Sampling(&'static str),
    /// It means nothing, for this reason.
    Nothing(&'static str),
    /// It is refused, with this advice.
    Refused(&'static str),
}

/// An option.
#[derive(Clone, Copy, Debug)]
struct Row {
    /// Its spellings.
    names: &'static [&'static str],
    /// Those that switch it off.
    off: &'static [&'static str],
    /// The variable, after `LLAMA_ARG_` unless it has a prefix of its own; empty where there is none.
    env: &'static str,
    /// Values that follow.
    takes: usize,
    effect: Effect,
}

/// An option with values.
const fn takes(names: &'static [&'static str], env: &'static str, effect: Effect) -> Row {
    Row {
        names,
        off: &[],
        env,
        takes: 1,
        effect,
    }
}

/// An option without.
const fn plain(names: &'static [&'static str], env: &'static str, effect: Effect) -> Row {
    Row {
        names,
        off: &[],
        env,
        takes: 0,
        effect,
    }
}

/// An option that is on or off.
const fn pair(
    names: &'static [&'static str],
    off: &'static [&'static str],
    env: &'static str,
    effect: Effect,
) -> Row {
    Row {
        names,
        off,
        env,
        takes: 0,
        effect,
    }
}

/// Variables without the prefix.
const NAMED_WHOLE: [&str; 3] = ["LLAMA_API_KEY", "MTMD_BACKEND_DEVICE", "HF_TOKEN"];

/// All options.
const TABLES: [&[Row]; 5] = [
    common::ROWS,
    sampling::ROWS,
    speculative::ROWS,
    server::ROWS,
    client::ROWS,
];

fn rows() -> impl Iterator<Item = &'static Row> {
    TABLES.iter().copied().flatten()
}

/// The option of a spelling, and whether that switches it on.
fn find(name: &str) -> Option<(&'static Row, bool)> {
    let dashed = match name.starts_with("--") {
        true => name.replace('_', "-"),
        false => name.to_owned(),
    };
    rows().find_map(|row| {
        let has = |names: &[&str]| names.contains(&dashed.as_str());
        match (has(row.names), has(row.off)) {
            (false, false) => None,
            (on, _) => Some((row, on)),
        }
    })
}

impl Row {
    /// The variable with its prefix.
    fn variable(&self) -> Option<String> {
        match self.env {
            "" => None,
            own if NAMED_WHOLE.contains(&own) => Some(own.to_owned()),
            name => Some(format!("LLAMA_ARG_{name}")),
        }
    }

    fn apply(&self, flags: &mut Flags, given: &Given) -> Result<(), FlagError> {
        let problem = |problem: String| match given.from_environment {
            true => FlagError::Environment {
                name: given.name.clone(),
                problem,
            },
            false => FlagError::Value {
                name: given.name.clone(),
                problem,
            },
        };
        match self.effect {
            Effect::Do(act) => act(flags, given).map_err(problem),
            Effect::Sampling(name) => flags.sampling(name, given).map_err(problem),
            Effect::Nothing(reason) => {
                flags
                    .warnings
                    .push(format!("{} has no effect here: {reason}", given.name));
                Ok(())
            }
            // What switches it off asks for nothing.
            Effect::Refused(_) if !given.on => Ok(()),
            Effect::Refused(advice) => Err(FlagError::Refused {
                name: given.name.clone(),
                advice,
            }),
        }
    }
}

/// Where an option stands in the tables.
type Key = &'static str;

fn key(row: &Row) -> Key {
    row.names[0]
}

/// Reads the arguments, without the program's name; what they leave open, the environment; and what that leaves, files
/// of settings, the strongest first.
///
/// # Errors
/// With the first option that is unknown, incomplete or refused.
pub fn read(
    arguments: &[String],
    environment: impl Fn(&str) -> Option<String>,
    files: &[&str],
) -> Result<Flags, FlagError> {
    let (mut flags, mut set) = layers(arguments, environment)?;
    for file in files {
        file::apply(file::for_all(file), &mut set, &mut flags)?;
    }
    flags.finish();
    Ok(flags)
}

/// What the arguments say, and what they leave open and the environment says; and which options these are.
fn layers(
    arguments: &[String],
    environment: impl Fn(&str) -> Option<String>,
) -> Result<(Flags, BTreeSet<Key>), FlagError> {
    let mut flags = Flags::default();
    let mut set = BTreeSet::new();
    let given = command_line(arguments)?;
    let mut counts: BTreeMap<Key, usize> = BTreeMap::new();
    for (row, _) in &given {
        *counts.entry(key(row)).or_default() += 1;
        set.insert(key(row));
    }
    for (row, given) in &given {
        row.apply(&mut flags, given)?;
        if counts.remove(key(row)).is_some_and(|count| count > 1) {
            flags
                .warnings
                .push(format!("{} was specified multiple times", given.name));
        }
    }
    for row in rows() {
        let Some(given) = from_environment(row, &environment)? else {
            continue;
        };
        match set.insert(key(row)) {
            true => row.apply(&mut flags, &given)?,
            false => flags
                .warnings
                .push(format!("{} gives way to the command line", given.name)),
        }
    }
    Ok((flags, set))
}

fn command_line(arguments: &[String]) -> Result<Vec<(&'static Row, Given)>, FlagError> {
    let mut all = Vec::new();
    let mut rest = arguments.iter();
    while let Some(name) = rest.next() {
        let (row, on) = find(name).ok_or_else(|| FlagError::Unknown(name.clone()))?;
        let values: Vec<String> = rest.by_ref().take(row.takes).cloned().collect();
        if values.len() < row.takes {
            return Err(FlagError::NoValue(name.clone()));
        }
        all.push((
            row,
            Given {
                name: name.clone(),
                on,
                values,
                from_environment: false,
            },
        ));
    }
    Ok(all)
}

fn from_environment(
    row: &Row,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<Option<Given>, FlagError> {
    let Some(variable) = row.variable() else {
        return Ok(None);
    };
    let given = |name: String, on, values| Given {
        name,
        on,
        values,
        from_environment: true,
    };
    if !row.off.is_empty() {
        let negative = variable.replacen("LLAMA_ARG_", "LLAMA_ARG_NO_", 1);
        if environment(&negative).is_some() {
            return Ok(Some(given(negative, false, Vec::new())));
        }
    }
    let Some(value) = environment(&variable) else {
        return Ok(None);
    };
    if row.takes > 0 {
        return Ok(Some(given(variable, true, vec![value])));
    }
    match (given::switch(&value), row.off.is_empty()) {
        (Some(true), _) => Ok(Some(given(variable, true, Vec::new()))),
        (Some(false), false) => Ok(Some(given(variable, false, Vec::new()))),
        // Without a way to switch it off, other values leave it as it is.
        (_, true) => Ok(None),
        (None, false) => Err(FlagError::Environment {
            name: variable,
            problem: format!("on or off was expected, found '{value}'"),
        }),
    }
}
