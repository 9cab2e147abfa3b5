//! Constants: Go's escapes in strings and characters, and its numbers.

use super::value::Text;

/// A number, told apart by how it is written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Number {
    Int(i64),
    Float(f64),
}

/// What stands between double quotes.
pub(super) fn string(inside: &str) -> Result<Text, String> {
    let mut out = Vec::with_capacity(inside.len());
    let mut rest = inside;
    while let Some((unit, after)) = unit(rest, '"')? {
        match unit {
            Unit::Byte(byte) => out.push(byte),
            Unit::Char(c) => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
        rest = after;
    }
    Ok(out.into())
}

/// What stands between single quotes: one character, as its number.
pub(super) fn character(inside: &str) -> Result<i64, String> {
    match unit(inside, '\'')? {
        Some((Unit::Byte(byte), "")) => Ok(byte.into()),
        Some((Unit::Char(c), "")) => Ok(u32::from(c).into()),
        _ => Err(format!("'{inside}' is not one character")),
    }
}

/// `\x41` and `\101` are bytes, everything else is a character.
enum Unit {
    Byte(u8),
    Char(char),
}

fn unit(text: &str, quote: char) -> Result<Option<(Unit, &str)>, String> {
    let mut chars = text.chars();
    let Some(first) = chars.next() else {
        return Ok(None);
    };
    if first != '\\' {
        return Ok(Some((Unit::Char(first), chars.as_str())));
    }
    let bad = || {
        format!(
            "unknown escape at {:?}",
            text.chars().take(10).collect::<String>()
        )
    };
    let code = chars.next().ok_or_else(bad)?;
    let rest = chars.as_str();
    let digits = |from: &'_ str, count: usize, radix: u32| -> Option<u32> {
        let digits = from.get(..count)?;
        let all = digits.chars().all(|c| c.is_digit(radix));
        all.then(|| u32::from_str_radix(digits, radix).ok())?
    };
    let plain = |c: char| Some((Unit::Char(c), rest));
    let byte = |value: u32, after| Some((Unit::Byte(u8::try_from(value).ok()?), after));
    let character = |count: usize| {
        let c = char::from_u32(digits(rest, count, 16)?)?;
        Some((Unit::Char(c), &rest[count..]))
    };
    let found = match code {
        'a' => plain('\u{7}'),
        'b' => plain('\u{8}'),
        'f' => plain('\u{c}'),
        'n' => plain('\n'),
        'r' => plain('\r'),
        't' => plain('\t'),
        'v' => plain('\u{b}'),
        '\\' => plain('\\'),
        c if c == quote => plain(c),
        'x' => digits(rest, 2, 16).and_then(|value| byte(value, &rest[2..])),
        '0'..='7' => {
            let from = &text[1..];
            digits(from, 3, 8).and_then(|value| byte(value, &from[3..]))
        }
        'u' => character(4),
        'U' => character(8),
        _ => None,
    };
    found.map(Some).ok_or_else(bad)
}

/// The length of the number that `text` begins with, as far as its form goes.
pub(super) fn number_length(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut at = usize::from(text.starts_with(['+', '-']));
    let radix = match (bytes.get(at), bytes.get(at + 1).map(u8::to_ascii_lowercase)) {
        (Some(b'0'), Some(b'x')) => 16,
        (Some(b'0'), Some(b'o')) => 8,
        (Some(b'0'), Some(b'b')) => 2,
        _ => 10,
    };
    if radix != 10 {
        at += 2;
    }
    let run = |from: usize, radix: u32| {
        let digit = |byte: &&u8| **byte == b'_' || char::from(**byte).is_digit(radix);
        bytes[from.min(bytes.len())..]
            .iter()
            .take_while(digit)
            .count()
    };
    at += run(at, radix);
    if radix == 10 {
        if bytes.get(at) == Some(&b'.') {
            at += 1;
            at += run(at, 10);
        }
        if bytes
            .get(at)
            .is_some_and(|byte| byte.eq_ignore_ascii_case(&b'e'))
        {
            at += 1;
            at += usize::from(matches!(bytes.get(at), Some(b'+' | b'-')));
            at += run(at, 10);
        }
    }
    at.min(text.len())
}

/// The value of a number. Complex numbers and hexadecimal fractions are refused.
pub(super) fn number(text: &str) -> Result<Number, String> {
    let bad = || format!("not a number: {text:?}");
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let lower = digits.to_ascii_lowercase();
    let (radix, body) = match lower.as_bytes() {
        [b'0', b'x', ..] => (16, &lower[2..]),
        [b'0', b'o', ..] => (8, &lower[2..]),
        [b'0', b'b', ..] => (2, &lower[2..]),
        // A leading zero alone means octal too.
        [b'0', _, ..] if !lower.contains(['.', 'e']) => (8, &lower[1..]),
        _ => (10, lower.as_str()),
    };
    // A blank may stand between digits, and between a prefix and them.
    let prefixed = radix != 10;
    let misplaced = body.ends_with('_')
        || body.contains("__")
        || (!prefixed && body.starts_with('_'))
        || ["_.", "._", "_e", "e_", "+_", "-_"]
            .iter()
            .any(|pair| radix == 10 && body.contains(pair));
    if misplaced || !body.contains(|c: char| c.is_digit(radix)) {
        return Err(bad());
    }
    let body = body.replace('_', "");
    if radix == 10 && body.contains(['.', 'e']) {
        let value: f64 = format!("{sign}{body}").parse().map_err(|_| bad())?;
        return if value.is_finite() {
            Ok(Number::Float(value))
        } else {
            Err(format!("the number {text} is too large"))
        };
    }
    match i64::from_str_radix(&format!("{sign}{body}"), radix) {
        Ok(value) => Ok(Number::Int(value)),
        Err(_) if body.chars().all(|c| c.is_digit(radix)) => {
            Err(format!("the number {text} does not fit in 64 bits"))
        }
        Err(_) => Err(bad()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_have_the_escapes_of_go() {
        let cases: &[(&str, Option<&[u8]>)] = &[
            ("", Some(b"")),
            (r#"a\n\t\\\"b"#, Some(b"a\n\t\\\"b")),
            (r"\a\b\f\r\v", Some(b"\x07\x08\x0c\r\x0b")),
            (r"\x41\101\xff", Some(b"AA\xff")),
            (r"\u00e9\U0001F600", Some("é😀".as_bytes())),
            ("üé", Some("üé".as_bytes())),
            (r"\'", None),
            (r"\q", None),
            (r"\x4", None),
            (r"\x+1", None),
            (r"\400", None),
            (r"\ud800", None),
            (r"\u00é", None),
            (r"\", None),
        ];
        for (inside, expected) in cases {
            let found = string(inside);
            assert_eq!(
                found.as_ref().ok().map(|text| &**text),
                *expected,
                "{inside}"
            );
        }
    }

    #[test]
    fn numbers_have_the_forms_of_go() {
        use Number::{Float, Int};
        let cases = [
            ("0", Some(Int(0))),
            ("-0", Some(Int(0))),
            ("+4", Some(Int(4))),
            ("0x1F", Some(Int(31))),
            ("0x_f", Some(Int(15))),
            ("0b11", Some(Int(3))),
            ("0o17", Some(Int(15))),
            ("017", Some(Int(15))),
            ("1_000", Some(Int(1000))),
            ("-9223372036854775808", Some(Int(i64::MIN))),
            ("1.5e3", Some(Float(1500.0))),
            (".5", Some(Float(0.5))),
            ("5.", Some(Float(5.0))),
            ("1e2", Some(Float(100.0))),
            ("01.5", Some(Float(1.5))),
            ("9223372036854775808", None),
            ("089", None),
            ("1__0", None),
            ("1_", None),
            ("0x", None),
            ("-", None),
            (".", None),
            ("1e", None),
            ("1e999", None),
        ];
        for (text, expected) in cases {
            assert_eq!(number_length(text), text.len(), "{text}");
            assert_eq!(number(text).ok(), expected, "{text}");
        }
        let ends = [
            ("12abc", 2),
            ("1.2.3", 3),
            ("0x1g", 3),
            ("-}}", 1),
            ("", 0),
            ("0b12", 3),
        ];
        for (text, length) in ends {
            assert_eq!(number_length(text), length, "{text}");
        }
    }

    #[test]
    fn characters_are_numbers() {
        let cases = [
            ("a", Some(97)),
            (r"\n", Some(10)),
            (r"\'", Some(39)),
            ("é", Some(233)),
            (r"\xff", Some(255)),
            ("", None),
            ("ab", None),
            (r#"\""#, None),
        ];
        for (inside, expected) in cases {
            assert_eq!(character(inside).ok(), expected, "{inside}");
        }
    }
}
