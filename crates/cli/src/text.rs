//! Sizes, times and tables as people read them (the forms of `ollama list`).

use std::{
    io::{self, Write},
    time::{Duration, SystemTime},
};

/// A size in decimal units: `512 B`, `2.0 GB`, `42 GB`.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [(u64, &str); 4] = [
        (1_000_000_000_000, "TB"),
        (1_000_000_000, "GB"),
        (1_000_000, "MB"),
        (1_000, "KB"),
    ];
    let Some((unit, name)) = UNITS.into_iter().find(|(unit, _)| bytes >= *unit) else {
        return format!("{bytes} B");
    };
    match (bytes / unit, bytes % unit) {
        (whole, rest) if whole >= 10 || rest == 0 => format!("{whole} {name}"),
        _ => format!("{:.1} {name}", bytes as f64 / unit as f64),
    }
}

/// How long ago a time was: `3 weeks ago`.
pub(crate) fn ago(time: SystemTime) -> String {
    match SystemTime::now().duration_since(time) {
        Ok(past) => format!("{} ago", span(past)),
        Err(ahead) => format!("{} from now", span(ahead.duration())),
    }
}

fn span(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (minutes, hours) = (seconds / 60, (seconds + 1800) / 3600);
    let days = hours / 24;
    let units = [
        (60, seconds, "seconds"),
        (3600, minutes, "minutes"),
        (48 * 3600, hours, "hours"),
        (14 * 86_400, days, "days"),
        (60 * 86_400, days / 7, "weeks"),
        (730 * 86_400, days / 30, "months"),
    ];
    match (seconds, hours) {
        (0, _) => "Less than a second".to_owned(),
        (1, _) => "1 second".to_owned(),
        (60..120, _) => "About a minute".to_owned(),
        (3600.., 1) => "About an hour".to_owned(),
        _ => {
            let unit = units.into_iter().find(|(end, ..)| seconds < *end);
            unit.map_or_else(
                || format!("{} years", days / 365),
                |(_, n, name)| format!("{n} {name}"),
            )
        }
    }
}

/// Time left: `45s`, `1m5s`, `2h3m`, `99h+`.
pub(crate) fn remaining(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{}s", seconds / 60, seconds % 60),
        3600..360_000 => format!("{}h{}m", seconds / 3600, seconds / 60 % 60),
        _ => "99h+".to_owned(),
    }
}

/// Writes a table: columns padded to their widest cell and four blanks apart.
pub(crate) fn table(out: &mut impl Write, head: &[&str], rows: &[Vec<String>]) -> io::Result<()> {
    let mut widths: Vec<usize> = head.iter().map(|cell| cell.len()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let head = head.iter().map(|cell| (*cell).to_owned()).collect();
    for row in std::iter::once(&head).chain(rows) {
        for (cell, width) in row.iter().zip(&widths) {
            write!(out, "{cell:width$}    ")?;
        }
        writeln!(out)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_have_the_usual_forms() {
        let sizes = [
            (0, "0 B"),
            (512, "512 B"),
            (2_000_000_000, "2 GB"),
            (2_019_377_376, "2.0 GB"),
            (42_949_672_960, "42 GB"),
            (1_500, "1.5 KB"),
        ];
        for (bytes, text) in sizes {
            assert_eq!(size(bytes), text);
        }
        let day = 86_400;
        let spans = [
            (0, "Less than a second"),
            (1, "1 second"),
            (59, "59 seconds"),
            (60, "About a minute"),
            (150, "2 minutes"),
            (3_600, "About an hour"),
            (5_400, "2 hours"),
            (47 * 3_600, "47 hours"),
            (3 * day, "3 days"),
            (21 * day, "3 weeks"),
            (90 * day, "3 months"),
            (800 * day, "2 years"),
        ];
        for (seconds, text) in spans {
            assert_eq!(span(Duration::from_secs(seconds)), text);
        }
        for (seconds, text) in [
            (45, "45s"),
            (65, "1m5s"),
            (7_380, "2h3m"),
            (400_000, "99h+"),
        ] {
            assert_eq!(remaining(Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn tables_are_padded() {
        let mut out = Vec::new();
        let rows = [vec!["a".to_owned(), "b".to_owned()]];
        table(&mut out, &["NAME", "ID"], &rows).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "NAME    ID    \na       b     \n"
        );
    }
}
