//! Quotes and hexadecimal digits, as `%q` and `%x` write text.

use std::fmt::Write as _;

use super::print::Spec;

/// `text` in double quotes, or in back-quotes where `#` asks for it and they can hold it.
pub(super) fn quoted(text: &[u8], spec: &Spec) -> Vec<u8> {
    let raw = |c: char| !matches!(c, '`' | '\u{7f}' | '\u{feff}') && (c >= ' ' || c == '\t');
    if spec.sharp && std::str::from_utf8(text).is_ok_and(|text| text.chars().all(raw)) {
        return [b"`", text, b"`"].concat();
    }
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for chunk in text.utf8_chunks() {
        for c in chunk.valid().chars() {
            escape(&mut out, c, '"', spec.plus);
        }
        for byte in chunk.invalid() {
            push(&mut out, format_args!("\\x{byte:02x}"));
        }
    }
    out.push('"');
    out.into_bytes()
}

/// A character in single quotes.
pub(super) fn quoted_char(c: char, spec: &Spec) -> String {
    let mut out = String::from("'");
    escape(&mut out, c, '\'', spec.plus);
    out.push('\'');
    out
}

/// The bytes as hexadecimal digits.
pub(super) fn hex(bytes: &[u8], spec: &Spec, verb: char) -> String {
    let (prefix, digits) = match verb {
        'X' => ("0X", b"0123456789ABCDEF"),
        _ => ("0x", b"0123456789abcdef"),
    };
    let mut out = String::with_capacity(bytes.len() * 2);
    for (at, byte) in bytes.iter().enumerate() {
        if at > 0 && spec.space {
            out.push(' ');
        }
        if spec.sharp && (at == 0 || spec.space) {
            out.push_str(prefix);
        }
        for half in [byte >> 4, byte & 15] {
            out.push(char::from(digits[usize::from(half)]));
        }
    }
    out
}

fn escape(out: &mut String, c: char, quote: char, ascii: bool) {
    match c {
        '\u{7}' => out.push_str("\\a"),
        '\u{8}' => out.push_str("\\b"),
        '\u{c}' => out.push_str("\\f"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\u{b}' => out.push_str("\\v"),
        c if c == quote || c == '\\' => {
            out.push('\\');
            out.push(c);
        }
        c if printable(c) && (c.is_ascii() || !ascii) => out.push(c),
        c => match u32::from(c) {
            code @ 0..=0x7f => push(out, format_args!("\\x{code:02x}")),
            code @ 0x80..=0xffff => push(out, format_args!("\\u{code:04x}")),
            code => push(out, format_args!("\\U{code:08x}")),
        },
    }
}

/// Whether Go prints the character as it is: letters, marks, numbers, symbols and the blank.
pub(super) fn printable(c: char) -> bool {
    if c.is_ascii() {
        return (' '..='~').contains(&c);
    }
    // The standard library escapes the same characters, except that it escapes marks too where
    // they stand first.
    let shown = String::from_iter(['a', c]);
    shown.escape_debug().nth(1) != Some('\\')
}

fn push(out: &mut String, text: std::fmt::Arguments) {
    // Writing to a string does not fail.
    let _ = out.write_fmt(text);
}
