//! Files of settings: lines of `key = value` in sections. Keys are flags without dashes, or variables.

use std::collections::BTreeSet;

use super::{FlagError, Flags, Given, Key, Row, find, given, key, rows};

/// The section whose settings are for all models.
pub(super) const ALL: &str = "*";

/// A setting.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line<'a> {
    /// Where it stands; none is before all sections.
    pub(super) section: Option<&'a str>,
    /// The key.
    pub(super) name: &'a str,
    /// What stands behind it.
    pub(super) value: &'a str,
}

impl Line<'_> {
    /// It is for no model alone.
    pub(super) fn is_for_all(&self) -> bool {
        self.section.is_none_or(|section| section == ALL)
    }

    /// What is on or off.
    pub(super) fn switch(&self) -> Result<bool, FlagError> {
        given::switch(self.value).ok_or_else(|| FlagError::Value {
            name: self.name.to_owned(),
            problem: format!("on or off was expected, found '{}'", self.value),
        })
    }
}

/// The settings of a file. Lines that are none are left out.
pub(super) fn lines(text: &str) -> impl Iterator<Item = Line<'_>> {
    let mut section = None;
    text.lines().map(str::trim).filter_map(move |line| {
        if line.starts_with([';', '#']) {
            return None;
        }
        if let Some(name) = head(line) {
            section = Some(name);
            return None;
        }
        let (name, value) = line.split_once('=')?;
        Some(Line {
            section,
            name: name.trim(),
            value: value.trim(),
        })
    })
}

/// The section that a line begins.
fn head(line: &str) -> Option<&str> {
    let name = line.trim().strip_prefix('[')?.strip_suffix(']')?;
    Some(name.trim())
}

/// The sections of single models, each once.
pub(super) fn sections(text: &str) -> Vec<&str> {
    let mut names = Vec::new();
    for name in text.lines().filter_map(head).filter(|name| *name != ALL) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// Those of a file that are for all models and mean an option: others are other programs'.
pub(super) fn for_all(text: &str) -> Vec<Line<'_>> {
    lines(text)
        .filter(|line| line.is_for_all() && of_key(line.name).is_some())
        .collect()
}

/// Sets what is not `set` yet. A later line stands beside an earlier one.
pub(super) fn apply(
    lines: Vec<Line<'_>>,
    set: &mut BTreeSet<Key>,
    flags: &mut Flags,
) -> Result<(), FlagError> {
    let mut here = BTreeSet::new();
    for line in lines {
        let Some((row, positive)) = of_key(line.name) else {
            return Err(FlagError::Unknown(line.name.to_owned()));
        };
        if set.contains(key(row)) && !here.contains(key(row)) {
            continue;
        }
        let given = |on, values| Given {
            name: line.name.to_owned(),
            on,
            values,
            from_environment: false,
        };
        let words = || line.value.split_whitespace().map(str::to_owned);
        let given = match row.takes {
            0 => given(line.switch()? == positive, Vec::new()),
            1 => given(true, vec![line.value.to_owned()]),
            count => given(true, words().take(count).collect()),
        };
        if row.takes == 0 && !given.on && row.off.is_empty() {
            continue;
        }
        here.insert(key(row));
        set.insert(key(row));
        row.apply(flags, &given)?;
    }
    Ok(())
}

/// The option of a key, and whether that switches it on.
pub(super) fn of_key(name: &str) -> Option<(&'static Row, bool)> {
    let row = || {
        rows()
            .find(|row| row.variable().as_deref() == Some(name))
            .map(|row| (row, true))
    };
    find(&format!("--{name}"))
        .or_else(|| find(&format!("-{name}")))
        .or_else(row)
}
