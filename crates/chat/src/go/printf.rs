//! `printf`: the format, and which argument a verb takes.

use super::budget::{Budget, Sink, limit};
use super::functions::Outcome;
use super::print::{Spec, write_value};
use super::value::Value;
use crate::error::Result;

/// The widest column and the highest precision that a format may ask for.
const MAX_WIDTH: usize = 9_999;

/// `format` with `values` in the places of its verbs.
pub(super) fn printf(budget: &Budget, format: &[u8], values: &[Value]) -> Outcome<Value> {
    let mut printer = Printer {
        out: Sink::new(budget),
        rest: format,
        values,
        next: 0,
        reordered: false,
        bad_index: false,
    };
    while let Some(at) = printer.rest.iter().position(|&byte| byte == b'%') {
        printer.out.push(&printer.rest[..at])?;
        printer.rest = &printer.rest[at + 1..];
        printer.verb()?;
    }
    printer.out.push(printer.rest)?;
    printer.extra()?;
    Ok(Value::text(printer.out.into_bytes()))
}

struct Printer<'a> {
    out: Sink<'a>,
    rest: &'a [u8],
    values: &'a [Value],
    /// The argument that the next verb takes.
    next: usize,
    /// An index chose an argument, so that others may stay unused.
    reordered: bool,
    /// The index of the current verb chose none that is there.
    bad_index: bool,
}

impl<'a> Printer<'a> {
    /// Writes the verb after a `%`.
    fn verb(&mut self) -> Result<()> {
        self.bad_index = false;
        let mut spec = self.flags();
        let mut indexed = self.index();
        if self.take(b'*') {
            match self.star() {
                Some(width) => {
                    spec.minus |= width < 0;
                    spec.width = Some(checked(width.unsigned_abs())?);
                }
                None => self.out.push("%!(BADWIDTH)")?,
            }
            indexed = false;
        } else if let Some(width) = self.digits() {
            // An index stands right before the verb or a star.
            self.bad_index |= indexed;
            spec.width = Some(checked(width)?);
        }
        // A dot at the very end is taken for the verb.
        if self.rest != b"." && self.take(b'.') {
            self.bad_index |= indexed;
            indexed = self.index();
            if self.take(b'*') {
                match self.star() {
                    Some(precision) if precision >= 0 => {
                        spec.precision = Some(checked(precision.unsigned_abs())?);
                    }
                    Some(_) => {}
                    None => self.out.push("%!(BADPREC)")?,
                }
                indexed = false;
            } else {
                let digits = self.digits();
                self.bad_index |= indexed && digits.is_some();
                spec.precision = Some(checked(digits.unwrap_or(0))?);
            }
        }
        if !indexed {
            self.index();
        }
        self.write(spec)
    }

    /// The verb itself, with the argument it takes.
    fn write(&mut self, mut spec: Spec) -> Result<()> {
        let Some(verb) = self.character() else {
            return self.out.push("%!(NOVERB)");
        };
        if verb == '%' {
            return self.out.push("%");
        }
        if self.bad_index {
            return self.out.push(format!("%!{verb}(BADINDEX)"));
        }
        let Some(value) = self.values.get(self.next) else {
            return self.out.push(format!("%!{verb}(MISSING)"));
        };
        self.next += 1;
        if verb == 'v' {
            (spec.names, spec.quotes) = (spec.plus, spec.sharp);
            (spec.plus, spec.sharp) = (false, false);
        }
        write_value(&mut self.out, &spec, verb, value)
    }

    fn flags(&mut self) -> Spec {
        let mut spec = Spec::default();
        while let Some((&flag, rest)) = self.rest.split_first() {
            match flag {
                b'-' => spec.minus = true,
                b'+' => spec.plus = true,
                b'#' => spec.sharp = true,
                b' ' => spec.space = true,
                b'0' => spec.zero = true,
                _ => break,
            }
            self.rest = rest;
        }
        spec
    }

    /// `[2]`: the next argument is the second. `true` where there is an index.
    fn index(&mut self) -> bool {
        if !self.rest.starts_with(b"[") {
            return false;
        }
        self.reordered = true;
        let Some(end) = self.rest.iter().position(|&byte| byte == b']') else {
            self.bad_index = true;
            self.rest = &self.rest[1..];
            return false;
        };
        let number = std::str::from_utf8(&self.rest[1..end]).ok();
        self.rest = &self.rest[end + 1..];
        let number = number.filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
        match number.and_then(|text| text.parse::<usize>().ok()) {
            Some(at @ 1..) if at <= self.values.len() => self.next = at - 1,
            _ => self.bad_index = true,
        }
        true
    }

    /// The width or precision that an argument gives.
    fn star(&mut self) -> Option<i64> {
        let value = self.values.get(self.next)?;
        self.next += 1;
        match value {
            Value::Int(number) => Some(*number),
            _ => None,
        }
    }

    /// Digits as a number, which stops growing when it is too large anyway.
    fn digits(&mut self) -> Option<u64> {
        let count = self
            .rest
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        let (digits, rest) = self.rest.split_at(count);
        self.rest = rest;
        (count > 0).then(|| {
            digits.iter().fold(0_u64, |number, digit| {
                number
                    .saturating_mul(10)
                    .saturating_add(u64::from(digit - b'0'))
            })
        })
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.rest.first() == Some(&byte);
        self.rest = &self.rest[usize::from(found)..];
        found
    }

    fn character(&mut self) -> Option<char> {
        let head = &self.rest[..self.rest.len().min(4)];
        let chunk = head.utf8_chunks().next()?;
        let (c, length) = match chunk.valid().chars().next() {
            Some(c) => (c, c.len_utf8()),
            None => (char::REPLACEMENT_CHARACTER, 1),
        };
        self.rest = &self.rest[length..];
        Some(c)
    }

    /// Tells of arguments that no verb took.
    fn extra(&mut self) -> Result<()> {
        let extra = self.values.get(self.next..).unwrap_or_default();
        if self.reordered || extra.is_empty() {
            return Ok(());
        }
        self.out.push("%!(EXTRA ")?;
        for (at, value) in extra.iter().enumerate() {
            if at > 0 {
                self.out.push(", ")?;
            }
            if !matches!(value, Value::Missing | Value::Nil) {
                self.out.push(value.type_name())?;
                self.out.push("=")?;
            }
            write_value(&mut self.out, &Spec::default(), 'v', value)?;
        }
        self.out.push(")")
    }
}

fn checked(columns: u64) -> Result<usize> {
    usize::try_from(columns)
        .ok()
        .filter(|&columns| columns <= MAX_WIDTH)
        .ok_or_else(|| limit(format!("a format asks for more than {MAX_WIDTH} columns")))
}
