//! The server's log: one line per request, and what happens around it. Texts of prompts and answers never come here.

use std::{
    env,
    fs::File,
    io::{self, IsTerminal},
    sync::Mutex,
};

use serde::Deserialize;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;
use tracing_subscriber::fmt::writer::{BoxMakeWriter, MakeWriterExt};

/// How lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// A JSON object per line.
    Json,
}

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter is none.
    #[error(
        "the log filter '{filter}' cannot be understood: {error}; expected as info or hearth_server=debug"
    )]
    Filter {
        /// What was given.
        filter: String,
        /// Why.
        error: tracing_subscriber::filter::ParseError,
    },
    /// Somebody else writes one.
    #[error("a log is written already: it can be set up once")]
    Twice,
}

/// How the log is written.
#[derive(Debug)]
pub struct Style {
    /// How lines look.
    pub format: Format,
    /// Where they go beside standard error.
    pub file: Option<File>,
    /// They have colours; none is where they go to a terminal alone, and `NO_COLOR` is not set.
    pub colors: Option<bool>,
    /// They begin with the time.
    pub times: bool,
    /// They say how weighty they are.
    pub levels: bool,
}

impl Default for Style {
    fn default() -> Self {
        Self {
            format: Format::Text,
            file: None,
            colors: None,
            times: true,
            levels: true,
        }
    }
}

impl Style {
    /// What is colour on a terminal is in the way in a file.
    fn colored(&self, on_terminal: bool, refused: bool) -> bool {
        self.colors
            .unwrap_or(on_terminal && !refused && self.file.is_none())
    }
}

/// Begins the log on standard error. `filter` is as `info` or `info,hearth_server=debug`.
///
/// # Errors
/// The filter is none, or a log is written already.
pub fn begin(format: Format, filter: &str) -> Result<(), LogError> {
    let style = Style {
        format,
        ..Style::default()
    };
    begin_with(style, filter)
}

/// As [`begin`], with all that can be said of it.
///
/// # Errors
/// As [`begin`].
pub fn begin_with(style: Style, filter: &str) -> Result<(), LogError> {
    let parsed = EnvFilter::try_new(filter).map_err(|error| LogError::Filter {
        filter: filter.to_owned(),
        error,
    })?;
    let on_terminal = io::stderr().is_terminal();
    let colors = style.colored(
        on_terminal,
        env::var_os("NO_COLOR").is_some_and(|it| !it.is_empty()),
    );
    let writer = match style.file {
        None => BoxMakeWriter::new(io::stderr),
        Some(file) => BoxMakeWriter::new(io::stderr.and(Mutex::new(file))),
    };
    let builder = fmt()
        .with_env_filter(parsed)
        .with_writer(writer)
        .with_level(style.levels)
        .with_ansi(colors);
    match (style.format, style.times) {
        (Format::Text, true) => builder.try_init(),
        (Format::Text, false) => builder.without_time().try_init(),
        (Format::Json, true) => builder.json().flatten_event(true).try_init(),
        (Format::Json, false) => builder.json().flatten_event(true).without_time().try_init(),
    }
    .map_err(|_| LogError::Twice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_for_terminals() {
        let style = |colors| Style {
            colors,
            ..Style::default()
        };
        for (colors, on_terminal, refused, expected) in [
            (None, true, false, true),
            (None, true, true, false),
            (None, false, false, false),
            (Some(true), false, true, true),
            (Some(false), true, false, false),
        ] {
            assert_eq!(style(colors).colored(on_terminal, refused), expected);
        }
        let with_file = Style {
            file: Some(tempfile::tempfile().unwrap()),
            ..Style::default()
        };
        assert!(!with_file.colored(true, false));
    }

    #[test]
    fn a_filter_that_is_none_is_refused() {
        let error = begin(Format::Text, "a=b=c").unwrap_err().to_string();
        assert!(error.contains("'a=b=c'"), "{error}");
    }
}
