//! How values print, with the verbs of `printf`. Plain output is the verb `v`.

use super::budget::Sink;
use super::json::write_json;
use super::number::{write_float, write_int};
use super::quote::{hex, quoted};
use super::value::{Form, Record, Value};
use crate::error::Result;

/// The flags of a verb, as in `%-08.3f`.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Spec {
    /// `-`: fill on the right.
    pub(super) minus: bool,
    /// `+`: a sign before positive numbers; only ASCII in quotes.
    pub(super) plus: bool,
    /// `#`: a prefix that tells the base; back-quotes.
    pub(super) sharp: bool,
    /// A blank before positive numbers and between bytes.
    pub(super) space: bool,
    /// `0`: fill with zeros.
    pub(super) zero: bool,
    /// `%+v`: the names of fields.
    pub(super) names: bool,
    /// `%#v`: strings in quotes.
    pub(super) quotes: bool,
    pub(super) width: Option<usize>,
    pub(super) precision: Option<usize>,
}

impl Spec {
    /// Writes `text` in its column.
    pub(super) fn pad(&self, out: &mut Sink, text: &[u8]) -> Result<()> {
        let missing = self.width.unwrap_or(0).saturating_sub(columns(text));
        if self.minus {
            out.push(text)?;
            return out.fill(b' ', missing);
        }
        out.fill(if self.zero { b'0' } else { b' ' }, missing)?;
        out.push(text)
    }
}

/// Characters; a byte that belongs to none counts as one.
fn columns(text: &[u8]) -> usize {
    text.utf8_chunks()
        .map(|chunk| chunk.valid().chars().count() + chunk.invalid().len())
        .sum()
}

/// Writes a value. A verb that does not suit it gives Go's `%!d(string=a)`.
pub(super) fn write_value(out: &mut Sink, spec: &Spec, verb: char, value: &Value) -> Result<()> {
    match (verb, value) {
        ('T', _) => spec.pad(out, value.type_name().as_bytes()),
        ('v', Value::Missing | Value::Nil) => spec.pad(out, b"<nil>"),
        (_, Value::Missing | Value::Nil) => out.push(format!("%!{verb}(<nil>)")),
        _ => write_inner(out, spec, verb, value),
    }
}

/// A value, or one inside of it, whose depth was bounded when it was made.
fn write_inner(out: &mut Sink, spec: &Spec, verb: char, value: &Value) -> Result<()> {
    match value {
        Value::Missing | Value::Nil => out.push("<nil>"),
        Value::Bool(value) if matches!(verb, 't' | 'v') => {
            spec.pad(out, value.to_string().as_bytes())
        }
        Value::Bool(_) => bad_verb(out, spec, verb, value),
        Value::Int(number) => match write_int(out, spec, verb, *number)? {
            true => Ok(()),
            false => bad_verb(out, spec, verb, value),
        },
        Value::Float(number) => match write_float(out, spec, verb, *number)? {
            true => Ok(()),
            false => bad_verb(out, spec, verb, value),
        },
        Value::Text(text) if is_text_verb(verb) => write_text(out, spec, verb, text),
        Value::Text(_) => bad_verb(out, spec, verb, value),
        _ => match as_text(out, value, verb)? {
            Some(text) => write_text(out, spec, verb, &text),
            None => write_parts(out, spec, verb, value),
        },
    }
}

fn is_text_verb(verb: char) -> bool {
    matches!(verb, 'v' | 's' | 'q' | 'x' | 'X')
}

/// The text of a value that has one for this verb: JSON, or a single word.
fn as_text(out: &Sink, value: &Value, verb: char) -> Result<Option<Vec<u8>>> {
    let form = match value {
        Value::List(list) => list.form,
        Value::Map(map) => map.form,
        Value::Record(record) => record.form,
        _ => Form::Plain,
    };
    let mut text = Sink::new(out.budget());
    match (form, value) {
        _ if !is_text_verb(verb) => return Ok(None),
        (Form::Plain, _) => return Ok(None),
        (Form::Json, _) => write_json(&mut text, value)?,
        (Form::Words, Value::List(list)) => match list.items() {
            [] => {}
            [word] => write_value(&mut text, &Spec::default(), 'v', word)?,
            items => write_list(&mut text, &Spec::default(), 'v', items)?,
        },
        (Form::Words, _) => return Ok(None),
    }
    Ok(Some(text.into_bytes()))
}

fn write_parts(out: &mut Sink, spec: &Spec, verb: char, value: &Value) -> Result<()> {
    match value {
        Value::List(list) => write_list(out, spec, verb, list.items()),
        Value::Map(map) => {
            out.push("map[")?;
            for (at, (key, value)) in map.entries.iter().enumerate() {
                if at > 0 {
                    out.push(" ")?;
                }
                write_inner(out, spec, verb, &Value::Text(key.clone()))?;
                out.push(":")?;
                write_inner(out, spec, verb, value)?;
            }
            out.push("]")
        }
        Value::Record(record) => write_record(out, spec, verb, record),
        _ => Ok(()),
    }
}

fn write_list(out: &mut Sink, spec: &Spec, verb: char, items: &[Value]) -> Result<()> {
    out.push("[")?;
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            out.push(" ")?;
        }
        write_inner(out, spec, verb, item)?;
    }
    out.push("]")
}

fn write_record(out: &mut Sink, spec: &Spec, verb: char, record: &Record) -> Result<()> {
    out.push("{")?;
    for (at, field) in record.fields.iter().enumerate() {
        if at > 0 {
            out.push(" ")?;
        }
        if spec.names {
            out.push(field.name)?;
            out.push(":")?;
        }
        write_inner(out, spec, verb, &field.value)?;
    }
    out.push("}")
}

fn bad_verb(out: &mut Sink, spec: &Spec, verb: char, value: &Value) -> Result<()> {
    out.push(format!("%!{verb}({}=", value.type_name()))?;
    write_inner(out, spec, 'v', value)?;
    out.push(")")
}

fn write_text(out: &mut Sink, spec: &Spec, verb: char, text: &[u8]) -> Result<()> {
    // Copies are made below, before anything is pushed.
    out.budget().spend_length(text.len())?;
    if matches!(verb, 'x' | 'X') {
        let bytes = &text[..text.len().min(spec.precision.unwrap_or(usize::MAX))];
        out.budget().spend_length(bytes.len().saturating_mul(5))?;
        return spec.pad(out, hex(bytes, spec, verb).as_bytes());
    }
    let text = spec
        .precision
        .map_or(text, |most| first_columns(text, most));
    if verb == 'q' || spec.quotes {
        out.budget().spend_length(text.len().saturating_mul(10))?;
        return spec.pad(out, &quoted(text, spec));
    }
    spec.pad(out, text)
}

/// The first `most` characters.
fn first_columns(text: &[u8], most: usize) -> &[u8] {
    let mut left = most;
    let mut end = 0;
    for chunk in text.utf8_chunks() {
        let valid = chunk.valid();
        match valid.char_indices().nth(left) {
            Some((at, _)) => return &text[..end + at],
            None => left -= valid.chars().count(),
        }
        end += valid.len();
        let invalid = chunk.invalid().len();
        if invalid >= left {
            return &text[..end + left];
        }
        left -= invalid;
        end += invalid;
    }
    text
}
