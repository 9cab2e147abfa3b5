//! Days in UTC.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::edge::limiter::unix_seconds;

/// A day, counted from 1970-01-01; as text `2026-08-21`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Day(u32);

impl Day {
    /// Today.
    pub fn today() -> Self {
        Self(u32::try_from(unix_seconds() / 86_400).unwrap_or(u32::MAX))
    }

    /// So many days earlier.
    #[must_use]
    pub fn before(self, days: u32) -> Self {
        Self(self.0.saturating_sub(days))
    }

    /// Year, month and day; the Gregorian calendar repeats every 400 years of 146,097 days, counted here from March so
    /// that the leap day is the last.
    fn date(self) -> (u32, u32, u32) {
        let days = self.0.saturating_add(719_468);
        let (era, day) = (days / 146_097, days % 146_097);
        let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        let march_month = (5 * day + 2) / 153;
        let day = day - (153 * march_month + 2) / 5 + 1;
        let month = if march_month < 10 {
            march_month + 3
        } else {
            march_month - 9
        };
        (era * 400 + year + u32::from(month <= 2), month, day)
    }
}

impl fmt::Display for Day {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.date();
        write!(formatter, "{year:04}-{month:02}-{day:02}")
    }
}

/// A text that is no day.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no day: expected YYYY-MM-DD from 1970 on")]
pub struct BadDay(String);

impl FromStr for Day {
    type Err = BadDay;

    fn from_str(text: &str) -> Result<Self, BadDay> {
        let parts: Option<Vec<u32>> = text.split('-').map(|part| part.parse().ok()).collect();
        if let Some([year @ 1970..=9999, month @ 1..=12, day @ 1..=31]) = parts.as_deref() {
            let (year, month) = if *month > 2 {
                (*year, month - 3)
            } else {
                (year - 1, month + 9)
            };
            let (era, year) = (year / 400, year % 400);
            let days =
                era * 146_097 + year * 365 + year / 4 - year / 100 + (153 * month + 2) / 5 + day
                    - 1;
            let found = Self(days.saturating_sub(719_468));
            // The thirtieth of February would be another day.
            if found.to_string() == text {
                return Ok(found);
            }
        }
        Err(BadDay(text.to_owned()))
    }
}

impl TryFrom<String> for Day {
    type Error = BadDay;

    fn try_from(text: String) -> Result<Self, BadDay> {
        text.parse()
    }
}

impl From<Day> for String {
    fn from(day: Day) -> Self {
        day.to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn days_are_dates() {
        for (number, text) in [
            (0, "1970-01-01"),
            (59, "1970-03-01"),
            (10_957, "2000-01-01"),
            (11_016, "2000-02-29"),
            (11_017, "2000-03-01"),
            (20_686, "2026-08-21"),
            (47_540, "2100-02-28"),
            (47_541, "2100-03-01"),
        ] {
            assert_eq!(Day(number).to_string(), text);
            assert_eq!(text.parse(), Ok(Day(number)));
        }
        for text in [
            "",
            "2026-02-30",
            "2100-02-29",
            "1969-12-31",
            "2026-8-21",
            "2026-13-01",
            "2026-00-01",
            "x-y-z",
            "2026-01-01-01",
        ] {
            assert!(text.parse::<Day>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn texts_come_back(number in 0u32..2_900_000) {
            prop_assert_eq!(Day(number).to_string().parse(), Ok(Day(number)));
        }
    }
}
