//! What is told of the options.

use std::fmt::Write;

use super::{Effect, Row, rows};

/// Whether options of an effect belong to a group.
type Belongs = fn(&Effect) -> bool;

/// The options: those that are heeded, those that mean nothing here, and those that are refused, the last two with the
/// reason.
pub fn help() -> String {
    let mut text = String::from(
        "Serves one model as llama-server does. Flags win over variables, and those over the files of settings.\n",
    );
    let groups: [(&str, Belongs); 3] = [
        ("Heeded", |it| {
            matches!(it, Effect::Do(_) | Effect::Sampling(_))
        }),
        ("Known, and without effect here", |it| {
            matches!(it, Effect::Nothing(_))
        }),
        ("Refused", |it| matches!(it, Effect::Refused(_))),
    ];
    for (title, belongs) in groups {
        let _ = write!(text, "\n{title}:\n");
        for row in rows().filter(|row| belongs(&row.effect)) {
            line(&mut text, row);
        }
    }
    text
}

/// Writing to a string cannot fail.
fn line(text: &mut String, row: &Row) {
    let _ = write!(text, "  {}", row.names.join(", "));
    for _ in 0..row.takes {
        text.push_str(" VALUE");
    }
    if !row.off.is_empty() {
        let _ = write!(text, ", {}", row.off.join(", "));
    }
    if let Some(variable) = row.variable() {
        let _ = write!(text, "  (env: {variable})");
    }
    if let Effect::Nothing(why) | Effect::Refused(why) = row.effect {
        let _ = write!(text, ": {why}");
    }
    text.push('\n');
}

/// A script that lets bash complete the options.
pub fn completions() -> String {
    let names: Vec<&str> = rows()
        .flat_map(|row| row.names.iter().chain(row.off))
        .copied()
        .collect();
    format!("complete -o default -W '{}' llama-server", names.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_is_told_once() {
        let (help, completions) = (help(), completions());
        let words = |text: &str| {
            text.split(|it: char| it.is_whitespace() || ",:'".contains(it))
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        let lines: Vec<Vec<String>> = help
            .lines()
            .filter(|line| line.starts_with("  "))
            .map(words)
            .collect();
        assert_eq!(lines.len(), rows().count());
        for name in rows().flat_map(|row| row.names.iter().chain(row.off)) {
            assert!(
                lines
                    .iter()
                    .any(|line| line.iter().any(|word| word == name)),
                "{name}"
            );
            assert!(
                words(&completions).iter().any(|word| word == name),
                "{name}"
            );
        }
    }
}
