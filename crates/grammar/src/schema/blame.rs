//! The engine's reasons, in terms of the schema as it came.

use super::{definitions::name, normalise::wrong};
use crate::Error;

/// What the engine says where a schema would have to be combined with one that it is part of.
const TANGLED: [&str; 2] = [
    "circular references with sibling keys",
    "Schema intersection stack level exceeded",
];

/// The engine's reason for refusing a schema whose definitions stand at `paths`.
pub(crate) fn blame(reason: &str, paths: &[String]) -> Error {
    // The engine speaks of definitions by the numbers that they got; the longest first, for one begins another.
    let named = |(number, path)| (name(number), path);
    let names: Vec<(String, &String)> = paths.iter().enumerate().map(named).rev().collect();
    let mut place = "#";
    let mut text = reason.to_owned();
    for (name, path) in names {
        if text.contains(&name) {
            place = path;
            text = text.replace(&name, path);
        }
    }
    if TANGLED.iter().any(|tangled| reason.contains(tangled)) {
        let reason = format!(
            "{place} is combined with schemas that lead back to it through the same property on both sides, which has no end; say in one schema what is combined here"
        );
        return wrong(place, reason);
    }
    wrong("#", text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_name_places_of_the_document() {
        let paths: Vec<String> = (0..12).map(|n| format!("#/a{n}")).collect();
        for (reason, path, part) in [
            ("x: #/$defs/11 and #/$defs/1", "#", "x: #/a11 and #/a1"),
            (
                "circular references with sibling keys are not supported: #/$defs/3",
                "#/a3",
                "#/a3 is combined",
            ),
            (
                "Schema intersection stack level exceeded",
                "#",
                "# is combined",
            ),
        ] {
            match blame(reason, &paths) {
                Error::Schema {
                    path: found,
                    reason,
                } => {
                    assert_eq!(found, path);
                    assert!(reason.contains(part), "{reason}");
                }
                other => panic!("{other:?}"),
            }
        }
    }
}
