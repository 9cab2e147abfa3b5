//! The server's log: one line per request, and what happens around it. Texts of prompts and answers never come here.

use std::io;

use serde::Deserialize;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;

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

/// Begins the log on standard error. `filter` is as `info` or `info,hearth_server=debug`.
///
/// # Errors
/// The filter is none, or a log is written already.
pub fn begin(format: Format, filter: &str) -> Result<(), LogError> {
    let parsed = EnvFilter::try_new(filter).map_err(|error| LogError::Filter {
        filter: filter.to_owned(),
        error,
    })?;
    let builder = fmt().with_env_filter(parsed).with_writer(io::stderr);
    match format {
        Format::Text => builder.try_init(),
        Format::Json => builder.json().flatten_event(true).try_init(),
    }
    .map_err(|_| LogError::Twice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_is_none_is_refused() {
        let error = begin(Format::Text, "a=b=c").unwrap_err().to_string();
        assert!(error.contains("'a=b=c'"), "{error}");
    }
}
