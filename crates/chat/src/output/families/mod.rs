//! The tables of families.
//!
//! A template belongs to the first row all of whose marks stand in it, so rows with more marks
//! come before those that have a part of them, and the tables in the order that they have here.

mod marked;
mod plain;
mod tagged;

use super::format::{NONE, PLAIN, Row};
use super::sections::{BARE, BARE_PYTHON, FENCED, FUNCTION_JSON, TOOL_CALL};

/// All families, in the order in which templates are compared with them.
pub(super) fn families() -> impl Iterator<Item = &'static Row> {
    [tagged::ROWS, marked::ROWS, plain::ROWS]
        .into_iter()
        .flatten()
}

/// Families that no template tells of: JSON in tags, in fences or alone, or Python's calls.
pub(super) static GENERIC: Row = Row {
    name: "generic",
    aliases: &["json"],
    sections: &[TOOL_CALL, FUNCTION_JSON, FENCED, BARE, BARE_PYTHON],
    ..PLAIN
};

/// Text without any structure.
pub(super) static PASSTHROUGH: Row = Row {
    name: "passthrough",
    thoughts: NONE,
    ..PLAIN
};
