//! An option as it was given, and its values.

use std::str::FromStr;

/// An option as it was given.
#[derive(Clone, Debug)]
pub(super) struct Given {
    /// Its spelling.
    pub(super) name: String,
    /// Whether the spelling switches it on.
    pub(super) on: bool,
    /// What followed.
    pub(super) values: Vec<String>,
    /// It is a variable.
    pub(super) from_environment: bool,
}

/// What is on or off by its word.
pub(super) fn switch(word: &str) -> Option<bool> {
    match word.to_ascii_lowercase().as_str() {
        "on" | "enabled" | "true" | "1" => Some(true),
        "off" | "disabled" | "false" | "0" => Some(false),
        _ => None,
    }
}

impl Given {
    /// The value.
    pub(super) fn text(&self) -> &str {
        self.values.first().map_or("", String::as_str)
    }

    fn number<T: FromStr>(&self, what: &str) -> Result<T, String> {
        let text = self.text().trim();
        text.parse()
            .map_err(|_| format!("{what} was expected, found '{text}'"))
    }

    /// A whole number within bounds.
    pub(super) fn whole(&self, low: i64, high: i64) -> Result<i64, String> {
        let number = self.number("a whole number")?;
        match (low..=high).contains(&number) {
            true => Ok(number),
            false => Err(format!(
                "a number from {low} to {high} was expected, found {number}"
            )),
        }
    }

    /// A count; negative numbers are none.
    pub(super) fn count(&self) -> Result<Option<usize>, String> {
        self.whole(i64::from(i32::MIN), i64::from(i32::MAX))
            .map(|number| usize::try_from(number).ok())
    }

    /// A finite number.
    pub(super) fn real(&self) -> Result<f64, String> {
        let number: f64 = self.number("a number")?;
        match number.is_finite() {
            true => Ok(number),
            false => Err(format!("a finite number was expected, found {number}")),
        }
    }

    /// One of some words.
    pub(super) fn word<T: Copy>(&self, words: &[(&str, T)]) -> Result<T, String> {
        let found = words.iter().find(|(word, _)| *word == self.text());
        found.map(|(_, value)| *value).ok_or_else(|| {
            let all: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            format!(
                "one of {} was expected, found '{}'",
                all.join(", "),
                self.text()
            )
        })
    }

    /// Fields with commas between; those in double quotes may have commas, and doubled quotes.
    pub(super) fn list(&self) -> Vec<String> {
        let mut fields = vec![String::new()];
        let mut quoted = false;
        let mut characters = self.text().chars().peekable();
        while let Some(character) = characters.next() {
            let at_start = fields.last().is_none_or(String::is_empty);
            match character {
                '"' if quoted && characters.peek() == Some(&'"') => {
                    characters.next();
                    push(&mut fields, '"');
                }
                '"' if quoted => quoted = false,
                '"' if at_start => quoted = true,
                ',' if !quoted => fields.push(String::new()),
                other => push(&mut fields, other),
            }
        }
        fields.retain(|field| !field.is_empty());
        fields
    }
}

fn push(fields: &mut [String], character: char) {
    if let Some(last) = fields.last_mut() {
        last.push(character);
    }
}

/// `\n` and its like as what they stand for; other backslashes stay.
pub(super) fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(character) = rest.next() {
        if character != '\\' {
            out.push(character);
            continue;
        }
        let mut ahead = rest.clone();
        let replaced = match ahead.next() {
            Some('n') => Some('\n'),
            Some('r') => Some('\r'),
            Some('t') => Some('\t'),
            Some(same @ ('\'' | '"' | '\\')) => Some(same),
            Some('x') => {
                let digits: String = ahead.by_ref().take(2).collect();
                let code = u8::from_str_radix(&digits, 16)
                    .ok()
                    .filter(|code| digits.len() == 2 && code.is_ascii());
                code.map(char::from)
            }
            _ => None,
        };
        match replaced {
            Some(character) => {
                out.push(character);
                rest = ahead;
            }
            None => out.push('\\'),
        }
    }
    out
}
