//! JSON as Go writes it: compact, keys of mappings sorted, `<`, `>` and `&` escaped.

use std::borrow::Cow;

use super::budget::Sink;
use super::value::{Form, Record, Value};
use crate::error::Result;

/// Writes `value`; its depth was bounded when it was made.
pub(super) fn write_json(out: &mut Sink, value: &Value) -> Result<()> {
    match value {
        Value::Missing | Value::Nil => out.push("null"),
        Value::Bool(value) => out.push(value.to_string()),
        Value::Int(value) => out.push(value.to_string()),
        Value::Float(value) => out.push(number(*value)),
        Value::Text(text) => string(out, text),
        Value::List(list) => match list.items() {
            _ if list.nil => out.push("null"),
            [word] if list.form == Form::Words => write_json(out, word),
            items => sequence(out, b"[]", items, write_json),
        },
        Value::Map(map) => sequence(out, b"{}", &map.entries, |out, (key, value)| {
            string(out, key)?;
            out.push(":")?;
            write_json(out, value)
        }),
        Value::Record(record) => write_record(out, record),
    }
}

fn write_record(out: &mut Sink, record: &Record) -> Result<()> {
    let fields = record
        .fields
        .iter()
        .filter(|field| !field.optional || !is_empty(&field.value));
    sequence(out, b"{}", fields, |out, field| {
        string(out, field.json.as_bytes())?;
        out.push(":")?;
        write_json(out, &field.value)
    })
}

/// What an optional field is left out for; an empty mapping is not.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Missing | Value::Nil => true,
        Value::Text(text) => text.is_empty(),
        Value::List(list) => list.items().is_empty(),
        _ => false,
    }
}

fn sequence<T>(
    out: &mut Sink,
    brackets: &[u8; 2],
    items: impl IntoIterator<Item = T>,
    write: impl Fn(&mut Sink, T) -> Result<()>,
) -> Result<()> {
    out.push(&brackets[..1])?;
    for (at, item) in items.into_iter().enumerate() {
        if at > 0 {
            out.push(",")?;
        }
        write(out, item)?;
    }
    out.push(&brackets[1..])
}

/// The shortest digits that give the number back; with an exponent where they would be many.
fn number(value: f64) -> String {
    let size = value.abs();
    if size != 0.0 && !(1e-6..1e21).contains(&size) {
        let text = format!("{value:e}");
        return if text.contains("e-") {
            text
        } else {
            text.replace('e', "e+")
        };
    }
    value.to_string()
}

fn string(out: &mut Sink, text: &[u8]) -> Result<()> {
    out.push("\"")?;
    for chunk in text.utf8_chunks() {
        let mut rest = chunk.valid();
        while let Some(at) = rest.find(is_escaped) {
            out.push(&rest[..at])?;
            let mut chars = rest[at..].chars();
            if let Some(c) = chars.next() {
                out.push(&*escape(c))?;
            }
            rest = chars.as_str();
        }
        out.push(rest)?;
        for _ in chunk.invalid() {
            out.push("\\ufffd")?;
        }
    }
    out.push("\"")
}

fn is_escaped(c: char) -> bool {
    c < ' ' || matches!(c, '"' | '\\' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}')
}

fn escape(c: char) -> Cow<'static, str> {
    Cow::Borrowed(match c {
        '"' => "\\\"",
        '\\' => "\\\\",
        '\u{8}' => "\\b",
        '\u{c}' => "\\f",
        '\n' => "\\n",
        '\r' => "\\r",
        '\t' => "\\t",
        '<' => "\\u003c",
        '>' => "\\u003e",
        '&' => "\\u0026",
        c => return Cow::Owned(format!("\\u{:04x}", u32::from(c))),
    })
}

#[cfg(test)]
mod tests {
    use super::super::budget::Budget;
    use super::*;

    #[test]
    fn writes_as_go_does() {
        let cases = [
            (Value::Float(1.0), "1"),
            (Value::Float(-0.5), "-0.5"),
            (Value::Float(1e20), "100000000000000000000"),
            (Value::Float(1e21), "1e+21"),
            (Value::Float(1.5e-7), "1.5e-7"),
            (Value::Float(1e-6), "0.000001"),
            (Value::Int(i64::MIN), "-9223372036854775808"),
            (Value::Missing, "null"),
            (
                Value::text("a\"\\\n\r\t\u{8}\u{c}\u{1}<>&\u{2028}é\u{7f}"),
                "\"a\\\"\\\\\\n\\r\\t\\b\\f\\u0001\\u003c\\u003e\\u0026\\u2028é\u{7f}\"",
            ),
            (Value::text(vec![b'a', 0xc3, 0x28]), "\"a\\ufffd(\""),
        ];
        for (value, expected) in cases {
            let budget = Budget::default();
            let mut out = Sink::new(&budget);
            write_json(&mut out, &value).unwrap();
            assert_eq!(String::from_utf8(out.into_bytes()).unwrap(), expected);
        }
    }
}
