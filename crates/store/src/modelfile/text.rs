//! The text of a Modelfile: its encoding, and its values with their quotes.

use std::borrow::Cow;

use super::{ModelfileError, Problem};
use crate::store::LARGEST_TEXT;

/// The text of a file, without its byte order mark.
pub(super) fn decode(bytes: &[u8]) -> Result<Cow<'_, str>, ModelfileError> {
    let wrong = |problem| ModelfileError {
        line: None,
        problem,
    };
    if bytes.len() as u64 > LARGEST_TEXT {
        return Err(wrong(Problem::TooLarge(LARGEST_TEXT)));
    }
    match bytes {
        [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes),
        [0xef, 0xbb, 0xbf, rest @ ..] => utf8(rest),
        rest => utf8(rest),
    }
    .map_err(|why| wrong(Problem::Encoding(why)))
}

fn utf8(bytes: &[u8]) -> Result<Cow<'_, str>, &'static str> {
    std::str::from_utf8(bytes)
        .map(Cow::Borrowed)
        .map_err(|_| "not UTF-8")
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<Cow<'_, str>, &'static str> {
    let (units, []) = bytes.as_chunks::<2>() else {
        return Err("an odd number of bytes in UTF-16");
    };
    char::decode_utf16(units.iter().map(|bytes| unit(*bytes)))
        .collect::<Result<String, _>>()
        .map(Cow::Owned)
        .map_err(|_| "half a character in UTF-16")
}

/// A blank within a line.
pub(super) fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t')
}

/// An end of a line; `\r\n` is two of them here and one when lines are counted.
pub(super) fn is_newline(c: char) -> bool {
    matches!(c, '\r' | '\n')
}

/// Whether a character may stand in a value. Control characters are dropped. Ollama also drops joiners and all blanks
/// but the ASCII one; here they stay, since emoji and whole scripts are not the same without them.
pub(super) fn is_kept(c: char) -> bool {
    !c.is_control() || is_blank(c) || is_newline(c)
}

/// A value and the bytes that it takes; nothing where its quotes are not closed.
pub(super) fn value(text: &str) -> Option<(String, usize)> {
    let mut collected = String::new();
    // Where the last character ends that is not white; what is after it does not count for the closing quotes.
    let mut end = 0;
    for (at, c) in text.char_indices() {
        if is_newline(c)
            && let Some(value) = unquoted(collected[..end].trim_start())
        {
            return Some((value.to_owned(), at));
        }
        if is_kept(c) {
            collected.push(c);
            if !c.is_whitespace() {
                end = collected.len();
            }
        }
    }
    let value = unquoted(collected[..end].trim_start())?;
    Some((value.to_owned(), text.len()))
}

/// What is between the quotes of a trimmed text, all of it where it does not begin with one; nothing where they are
/// not closed.
fn unquoted(text: &str) -> Option<&str> {
    if let Some(rest) = text.strip_prefix(r#"""""#) {
        rest.strip_suffix(r#"""""#)
    } else if let Some(rest) = text.strip_prefix('"') {
        rest.strip_suffix('"')
    } else {
        Some(text)
    }
}

/// A value as a Modelfile has it: bare where that is read back as the same, else in the quotes that are.
pub(super) fn quoted(text: &str) -> String {
    let single = format!("\"{text}\"");
    let triple = format!("\"\"\"{text}\"\"\"");
    let mut forms = vec![];
    if !text.is_empty() {
        forms.push(text);
    }
    if !text.contains('"') {
        forms.push(&single);
    }
    forms.extend([triple.as_str(), single.as_str()]);
    let form = forms.into_iter().find(|form| reads_as(form, text));
    form.unwrap_or(&triple).to_owned()
}

fn reads_as(form: &str, text: &str) -> bool {
    value(form).is_some_and(|(read, length)| length == form.len() && is_equal(&read, text))
}

/// Equal but for what no Modelfile holds.
fn is_equal(read: &str, text: &str) -> bool {
    read.chars().eq(text.chars().filter(|c| is_kept(*c)))
}
