//! Times as Ollama writes them (RFC 3339), and lengths of time as it reads them (Go's durations).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::core::request::KeepAlive;

/// The end of year 9999, the last that RFC 3339 can say, in seconds since 1970.
const LAST: u64 = 253_402_300_799;

/// A time in UTC with nanoseconds: `2026-08-21T10:00:00.123456789Z`. A clock before 1970 is at 1970.
pub(super) fn nanoseconds(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    format!("{}.{:09}Z", seconds(since), since.subsec_nanos())
}

/// A time in UTC with microseconds, which is what readers of Python take at most.
pub(super) fn microseconds(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    format!("{}.{:06}Z", seconds(since), since.subsec_micros())
}

/// Date and time of day. The date by counting eras of 400 years from a March (Howard Hinnant, "chrono-Compatible
/// Low-Level Date Algorithms", `civil_from_days`).
fn seconds(since: Duration) -> String {
    let seconds = since.as_secs().min(LAST);
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let day = days + 719_468; // from 0000-03-01
    let (era, day) = (day / 146_097, day % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (rest / 3_600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")
}

/// Reads a length of time as Go writes it (`1h30m`, `500ms`, `-1.5s`); a number alone is seconds, which Ollama
/// refuses and users expect. Negative is forever.
///
/// # Errors
/// With Go's words, where the text is neither.
pub(super) fn duration(text: &str) -> Result<KeepAlive, String> {
    if let Ok(number) = text.parse::<f64>()
        && text.bytes().all(|byte| b"+-.0123456789".contains(&byte))
    {
        return Ok(keep_alive(number));
    }
    let invalid = || format!("time: invalid duration {text:?}");
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut sum = 0.0;
    while !rest.is_empty() {
        let digits = end(rest, |c| c.is_ascii_digit() || c == '.');
        let number: f64 = rest[..digits].parse().map_err(|_| invalid())?;
        rest = &rest[digits..];
        let unit = end(rest, |c| !c.is_ascii_digit() && c != '.');
        let (name, behind) = rest.split_at(unit);
        if name.is_empty() {
            return Err(format!("time: missing unit in duration {text:?}"));
        }
        let scale = UNITS.iter().find(|(unit, _)| *unit == name);
        let (_, scale) =
            scale.ok_or_else(|| format!("time: unknown unit {name:?} in duration {text:?}"))?;
        sum += number * scale;
        rest = behind;
    }
    // Go's -0 is 0.
    Ok(keep_alive(if negative && sum > 0.0 { -sum } else { sum }))
}

const UNITS: &[(&str, f64)] = &[
    ("ns", 1e-9),
    ("us", 1e-6),
    ("µs", 1e-6),
    ("μs", 1e-6),
    ("ms", 1e-3),
    ("s", 1.0),
    ("m", 60.0),
    ("h", 3_600.0),
];

/// Where a run of characters ends.
fn end(text: &str, belongs: impl Fn(char) -> bool) -> usize {
    text.find(|c| !belongs(c)).unwrap_or(text.len())
}

/// Seconds as the time that a model stays. Negative, and more than Go's durations can be, is forever.
pub(super) fn keep_alive(seconds: f64) -> KeepAlive {
    const LONGEST: f64 = 9_223_372_036.0;
    if seconds.is_sign_negative() && seconds != 0.0 || seconds >= LONGEST {
        return KeepAlive::Forever;
    }
    Duration::try_from_secs_f64(seconds.abs()).map_or(KeepAlive::Forever, KeepAlive::For)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times_as_rfc_3339() {
        for (seconds, nanos, text) in [
            (0, 0, "1970-01-01T00:00:00.000000000Z"),
            (951_782_400, 1, "2000-02-29T00:00:00.000000001Z"),
            (951_868_800, 0, "2000-03-01T00:00:00.000000000Z"),
            (4_107_542_399, 0, "2100-02-28T23:59:59.000000000Z"),
            (4_107_542_400, 0, "2100-03-01T00:00:00.000000000Z"),
            (1_787_306_400, 123_456_789, "2026-08-21T10:00:00.123456789Z"),
            (LAST, 0, "9999-12-31T23:59:59.000000000Z"),
            (LAST + 1_000, 0, "9999-12-31T23:59:59.000000000Z"),
        ] {
            let time = UNIX_EPOCH + Duration::new(seconds, nanos);
            assert_eq!(nanoseconds(time), text);
            assert_eq!(microseconds(time), format!("{}Z", &text[..26]));
        }
        let before = UNIX_EPOCH - Duration::from_secs(1);
        assert_eq!(nanoseconds(before), "1970-01-01T00:00:00.000000000Z");
    }

    #[test]
    fn durations_as_go_reads_them() {
        let seconds = |n| Ok(KeepAlive::For(Duration::from_secs(n)));
        for (text, expected) in [
            ("10m", seconds(600)),
            ("1h30m", seconds(5_400)),
            ("500ms", Ok(KeepAlive::For(Duration::from_millis(500)))),
            ("1.5h", seconds(5_400)),
            ("0", seconds(0)),
            ("0s", seconds(0)),
            ("-0s", seconds(0)),
            ("5", seconds(5)),
            ("300", seconds(300)),
            ("-1", Ok(KeepAlive::Forever)),
            ("-1m", Ok(KeepAlive::Forever)),
            ("-1s", Ok(KeepAlive::Forever)),
            ("99999999999h", Ok(KeepAlive::Forever)),
            ("", Err("time: invalid duration \"\"".to_owned())),
            ("-", Err("time: invalid duration \"-\"".to_owned())),
            ("m", Err("time: invalid duration \"m\"".to_owned())),
            (
                "1.2.3s",
                Err("time: invalid duration \"1.2.3s\"".to_owned()),
            ),
            ("inf", Err("time: invalid duration \"inf\"".to_owned())),
            (
                "1h30",
                Err("time: missing unit in duration \"1h30\"".to_owned()),
            ),
            (
                "5min",
                Err("time: unknown unit \"min\" in duration \"5min\"".to_owned()),
            ),
        ] {
            assert_eq!(duration(text), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,12}|[-+0-9.]{0,5}[a-zµ]{0,2}[0-9]{0,3}[smh]?") {
            let _ = duration(&text);
        }

        #[test]
        fn times_are_in_order(a in 0..LAST, b in 0..LAST) {
            let text = |n| nanoseconds(UNIX_EPOCH + Duration::from_secs(n));
            prop_assert_eq!(a.cmp(&b), text(a).cmp(&text(b)));
        }
    }
}
