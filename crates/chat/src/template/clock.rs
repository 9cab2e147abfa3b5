//! The time that a template sees, and its formatting.

use std::time::{SystemTime, UNIX_EPOCH};

/// A moment and the offset at which a template reads it.
///
/// A template asks for the local time; this crate has no time zone data, so the caller gives the
/// offset (0 reads as UTC). A fixed clock makes prompts repeatable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clock {
    /// Seconds since 1970-01-01 00:00 UTC.
    pub unix_seconds: i64,
    /// Seconds that local time is ahead of UTC.
    pub offset_seconds: i32,
}

const DAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
/// 9999-12-31, the last day that Python formats, and as far in the other direction.
const MAX_SECONDS: i64 = 253_402_300_799;

impl Clock {
    /// The present moment in UTC.
    pub fn now() -> Self {
        let seconds = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |past| past.as_secs());
        Self {
            unix_seconds: i64::try_from(seconds).unwrap_or(MAX_SECONDS),
            offset_seconds: 0,
        }
    }

    /// The time in the form `format`, as C's `strftime` in the C locale does it.
    ///
    /// A conversion that is not known is copied as it stands.
    pub fn format(&self, format: &str) -> String {
        let parts = Parts::of(self);
        let mut out = String::with_capacity(format.len() + 16);
        let mut chars = format.chars();
        while let Some(c) = chars.next() {
            if c != '%' {
                out.push(c);
                continue;
            }
            // `%-d` drops leading zeros (a GNU extension that templates use).
            let mut code = chars.next();
            let bare = code == Some('-');
            if bare {
                code = chars.next();
            }
            match code.and_then(|code| parts.convert(code)) {
                Some(text) if bare => out.push_str(match text.trim_start_matches(['0', ' ']) {
                    "" => "0",
                    short => short,
                }),
                Some(text) => out.push_str(&text),
                None => {
                    out.push('%');
                    out.extend(bare.then_some('-'));
                    out.extend(code);
                }
            }
        }
        out
    }
}

struct Parts {
    year: i64,
    month: usize,
    day: i64,
    hour: i64,
    minute: i64,
    second: i64,
    weekday: usize,
    day_of_year: i64,
    offset_minutes: i32,
    unix_seconds: i64,
}

impl Parts {
    fn of(clock: &Clock) -> Self {
        let unix_seconds = clock.unix_seconds.clamp(-MAX_SECONDS, MAX_SECONDS);
        let local = unix_seconds + i64::from(clock.offset_seconds);
        let (days, rest) = (local.div_euclid(86_400), local.rem_euclid(86_400));
        // Years begin in March here, so that the leap day is the last of its year; an era has 400
        // years of 146,097 days. 719,468 days lie between 0000-03-01 and 1970-01-01.
        let era_day = (days + 719_468).rem_euclid(146_097);
        let era = (days + 719_468).div_euclid(146_097);
        let year_of_era = (era_day - era_day / 1_460 + era_day / 36_524 - era_day / 146_096) / 365;
        let march_day = era_day - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let march_month = (5 * march_day + 2) / 153;
        let month = (march_month + 2) % 12;
        let year = year_of_era + era * 400 + i64::from(month < 2);
        let leap = i64::from(year % 4 == 0 && (year % 100 != 0 || year % 400 == 0));
        Self {
            year,
            month: month as usize,
            day: march_day - (153 * march_month + 2) / 5 + 1,
            hour: rest / 3_600,
            minute: rest / 60 % 60,
            second: rest % 60,
            weekday: (days + 4).rem_euclid(7) as usize,
            day_of_year: (march_day + 59 + leap) % (365 + leap) + 1,
            offset_minutes: clock.offset_seconds / 60,
            unix_seconds,
        }
    }

    fn convert(&self, code: char) -> Option<String> {
        let hour12 = (self.hour + 11) % 12 + 1;
        Some(match code {
            'a' => DAYS[self.weekday][..3].to_owned(),
            'A' => DAYS[self.weekday].to_owned(),
            'b' | 'h' => MONTHS[self.month][..3].to_owned(),
            'B' => MONTHS[self.month].to_owned(),
            'c' => format!(
                "{} {} {:2} {} {}",
                self.convert('a')?,
                self.convert('b')?,
                self.day,
                self.convert('T')?,
                self.year
            ),
            'd' => format!("{:02}", self.day),
            'D' | 'x' => format!(
                "{:02}/{:02}/{:02}",
                self.month + 1,
                self.day,
                self.year.rem_euclid(100)
            ),
            'e' => format!("{:2}", self.day),
            'F' => format!("{}-{:02}-{:02}", self.year, self.month + 1, self.day),
            'H' => format!("{:02}", self.hour),
            'I' => format!("{hour12:02}"),
            'j' => format!("{:03}", self.day_of_year),
            'm' => format!("{:02}", self.month + 1),
            'M' => format!("{:02}", self.minute),
            'n' => "\n".to_owned(),
            'p' => if self.hour < 12 { "AM" } else { "PM" }.to_owned(),
            'R' => format!("{:02}:{:02}", self.hour, self.minute),
            's' => self.unix_seconds.to_string(),
            'S' => format!("{:02}", self.second),
            't' => "\t".to_owned(),
            'T' | 'X' => format!("{:02}:{:02}:{:02}", self.hour, self.minute, self.second),
            'u' => (if self.weekday == 0 { 7 } else { self.weekday }).to_string(),
            'w' => self.weekday.to_string(),
            'y' => format!("{:02}", self.year.rem_euclid(100)),
            'Y' => self.year.to_string(),
            'z' => format!(
                "{}{:02}{:02}",
                if self.offset_minutes < 0 { '-' } else { '+' },
                self.offset_minutes.abs() / 60,
                self.offset_minutes.abs() % 60
            ),
            'Z' => if self.offset_minutes == 0 { "UTC" } else { "" }.to_owned(),
            '%' => "%".to_owned(),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_as_strftime_does() {
        let cases = [
            (
                0,
                0,
                "%Y-%m-%d %H:%M:%S %a %j",
                "1970-01-01 00:00:00 Thu 001",
            ),
            (
                1_772_719_629,
                0,
                "%d %b %Y, %A %B %I:%M %p",
                "05 Mar 2026, Thursday March 02:07 PM",
            ),
            (951_782_400, 0, "%F %j %w %u", "2000-02-29 060 2 2"),
            (978_220_800, 0, "%F %j", "2000-12-31 366"),
            (
                1_772_719_629,
                7_200,
                "%H:%M %z %-d %e %y %%",
                "16:07 +0200 5  5 26 %",
            ),
            (-1, 0, "%F %T", "1969-12-31 23:59:59"),
            (0, 0, "%Q %", "%Q %"),
        ];
        for (unix_seconds, offset_seconds, format, expected) in cases {
            let clock = Clock {
                unix_seconds,
                offset_seconds,
            };
            assert_eq!(clock.format(format), expected, "{format}");
        }
        // Extremes do not overflow.
        Clock {
            unix_seconds: i64::MAX,
            offset_seconds: i32::MAX,
        }
        .format("%c");
        Clock {
            unix_seconds: i64::MIN,
            offset_seconds: i32::MIN,
        }
        .format("%c %j");
    }
}
