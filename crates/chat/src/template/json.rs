//! `tojson` and `from_json`: JSON as Python's `json` module writes and reads it.

use std::fmt::Write as _;

use minijinja::value::{Kwargs, Rest, ValueKind};
use minijinja::{Error, ErrorKind, State, Value};

use super::budget::{Stop, charge, charge_new, check_size};
use super::text::{float_repr, number};
use super::values::{NODE, freeze, thaw, weight};

/// A wider indentation is a mistake, and could multiply the output.
const MAX_INDENT: usize = 64;

struct Writer<'a> {
    out: String,
    ascii: bool,
    sort_keys: bool,
    indent: Option<String>,
    comma: &'a str,
    colon: &'a str,
    state: &'a State<'a, 'a>,
}

/// `tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False)`.
pub(crate) fn tojson(
    state: &State,
    value: &Value,
    positional: Rest<Value>,
    options: Kwargs,
) -> Result<String, Error> {
    let option = |index: usize, name: &str| -> Result<Option<Value>, Error> {
        let named: Option<Value> = options.get(name)?;
        let given = positional.get(index).cloned().or(named);
        Ok(given.filter(|value| !value.is_none() && !value.is_undefined()))
    };
    let ascii = option(0, "ensure_ascii")?.is_some_and(|value| value.is_true());
    let indent = option(1, "indent")?
        .map(|value| indentation(&value))
        .transpose()?;
    let separators = option(2, "separators")?
        .map(|value| separators(&value))
        .transpose()?;
    let sort_keys = option(3, "sort_keys")?.is_some_and(|value| value.is_true());
    options.assert_all_used()?;
    charge(state, weight(value))?;
    let (comma, colon) = separators.unwrap_or_else(|| {
        (
            if indent.is_some() { "," } else { ", " }.to_owned(),
            ": ".to_owned(),
        )
    });
    let out = String::new();
    let mut writer = Writer {
        out,
        ascii,
        sort_keys,
        indent,
        comma: &comma,
        colon: &colon,
        state,
    };
    writer.value(value, 0)?;
    charge_new(state, writer.out.len() as u64)?;
    Ok(writer.out)
}

fn indentation(value: &Value) -> Result<String, Error> {
    let text = match value.as_str() {
        Some(text) => text.to_owned(),
        None => " ".repeat(match value.as_i64().or(value.is_true().then_some(1)) {
            Some(width) => usize::try_from(width.max(0))
                .unwrap_or(usize::MAX)
                .min(MAX_INDENT + 1),
            None => 0,
        }),
    };
    if text.len() > MAX_INDENT {
        return Err(Stop::limit(format!(
            "tojson indents by more than {MAX_INDENT} characters"
        )));
    }
    Ok(text)
}

fn separators(value: &Value) -> Result<(String, String), Error> {
    let items: Vec<Value> = value.try_iter()?.take(3).collect();
    match items.as_slice() {
        [comma, colon] => match (comma.as_str(), colon.as_str()) {
            (Some(comma), Some(colon)) if comma.len() + colon.len() <= MAX_INDENT => {
                Ok((comma.to_owned(), colon.to_owned()))
            }
            _ => Err(invalid("tojson: separators are two short strings")),
        },
        _ => Err(invalid("tojson: separators are two short strings")),
    }
}

fn invalid(text: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, text.into())
}

impl Writer<'_> {
    fn value(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        if let Some(text) = value.as_str() {
            self.string(text);
            return Ok(());
        }
        match value.kind() {
            ValueKind::None => self.out.push_str("null"),
            ValueKind::Bool => self
                .out
                .push_str(if value.is_true() { "true" } else { "false" }),
            ValueKind::Number => self.out.push_str(&json_number(value)),
            ValueKind::Seq | ValueKind::Iterable => {
                let items: Vec<Value> = value.try_iter()?.collect();
                self.sequence('[', ']', depth, items, |writer, item| {
                    writer.value(item, depth + 1)
                })?;
            }
            ValueKind::Map => {
                let object = value.as_object().and_then(|object| object.try_iter_pairs());
                let mut pairs: Vec<(String, Value)> = Vec::new();
                for (key, value) in object.into_iter().flatten() {
                    pairs.push((key_text(&key)?, value));
                }
                if self.sort_keys {
                    pairs.sort_by(|a, b| a.0.cmp(&b.0));
                }
                self.sequence('{', '}', depth, pairs, |writer, (key, value)| {
                    writer.string(key);
                    writer.out.push_str(writer.colon);
                    writer.value(value, depth + 1)
                })?;
            }
            kind => {
                return Err(invalid(format!(
                    "a value of type {kind} cannot be written as JSON"
                )));
            }
        }
        Ok(())
    }

    fn sequence<T>(
        &mut self,
        open: char,
        close: char,
        depth: usize,
        items: Vec<T>,
        write: impl Fn(&mut Self, &T) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let indent = self.indent.as_ref().map_or(0, String::len) * (depth + 1);
        charge(self.state, (NODE + indent as u64) * items.len() as u64)?;
        check_size((self.out.len() + indent * items.len()) as u64)?;
        self.out.push(open);
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                self.out.push_str(self.comma);
            }
            self.new_line(depth + 1);
            write(self, item)?;
        }
        if !items.is_empty() {
            self.new_line(depth);
        }
        self.out.push(close);
        Ok(())
    }

    fn new_line(&mut self, depth: usize) {
        if let Some(indent) = &self.indent {
            self.out.push('\n');
            (0..depth).for_each(|_| self.out.push_str(indent));
        }
    }

    fn string(&mut self, text: &str) {
        self.out.push('"');
        for c in text.chars() {
            match c {
                '"' => self.out.push_str("\\\""),
                '\\' => self.out.push_str("\\\\"),
                '\n' => self.out.push_str("\\n"),
                '\r' => self.out.push_str("\\r"),
                '\t' => self.out.push_str("\\t"),
                '\u{8}' => self.out.push_str("\\b"),
                '\u{c}' => self.out.push_str("\\f"),
                c if c < ' ' || (self.ascii && !(' '..='~').contains(&c)) => {
                    for unit in c.encode_utf16(&mut [0; 2]) {
                        let _ = write!(self.out, "\\u{unit:04x}");
                    }
                }
                c => self.out.push(c),
            }
        }
        self.out.push('"');
    }
}

fn json_number(value: &Value) -> String {
    match f64::try_from(value.clone()) {
        Ok(x) if !value.is_integer() && x.is_nan() => "NaN".to_owned(),
        Ok(x) if !value.is_integer() && x.is_infinite() => {
            if x < 0.0 { "-Infinity" } else { "Infinity" }.to_owned()
        }
        Ok(x) if !value.is_integer() => float_repr(x),
        _ => number(value),
    }
}

fn key_text(key: &Value) -> Result<String, Error> {
    if let Some(text) = key.as_str() {
        return Ok(text.to_owned());
    }
    match key.kind() {
        ValueKind::None => Ok("null".to_owned()),
        ValueKind::Bool => Ok(if key.is_true() { "true" } else { "false" }.to_owned()),
        ValueKind::Number => Ok(json_number(key)),
        kind => Err(invalid(format!(
            "a key of type {kind} cannot be written as JSON"
        ))),
    }
}

/// `from_json(text)`: not in the reference, but in every runtime that takes tool calls as text.
pub(crate) fn from_json(state: &State, text: &str) -> Result<Value, Error> {
    // A byte of JSON can become a node of a list.
    charge(state, (text.len() as u64).saturating_mul(NODE / 2))?;
    let json: serde_json::Value =
        serde_json::from_str(text).map_err(|error| invalid(format!("from_json: {error}")))?;
    thaw(state, &freeze(state, &Value::from_serialize(&json))?)
}
