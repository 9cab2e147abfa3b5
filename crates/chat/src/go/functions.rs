//! The functions of templates.

use std::cmp::Ordering;

use super::budget::{Budget, Sink};
use super::compare::{compare, equal};
use super::data::typescript_type;
use super::json::write_json;
use super::print::{Spec, write_value};
use super::printf::printf;
use super::value::{Text, Value};
use crate::error::Result;
use crate::template::clock::Clock;

const DAY_SECONDS: i64 = 86_400;

/// A function that a template may call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Function {
    And,
    Or,
    Not,
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    Len,
    Index,
    Slice,
    Print,
    Printf,
    Println,
    Json,
    CurrentDate,
    YesterdayDate,
    ToTypeScriptType,
}

/// Each with its name, and the fewest and most arguments that it takes.
const FUNCTIONS: [(&str, Function, usize, usize); 19] = [
    ("and", Function::And, 1, usize::MAX),
    ("or", Function::Or, 1, usize::MAX),
    ("not", Function::Not, 1, 1),
    ("eq", Function::Eq, 2, usize::MAX),
    ("ne", Function::Ne, 2, 2),
    ("lt", Function::Lt, 2, 2),
    ("le", Function::Le, 2, 2),
    ("gt", Function::Gt, 2, 2),
    ("ge", Function::Ge, 2, 2),
    ("len", Function::Len, 1, 1),
    ("index", Function::Index, 1, usize::MAX),
    ("slice", Function::Slice, 1, 4),
    ("print", Function::Print, 0, usize::MAX),
    ("printf", Function::Printf, 1, usize::MAX),
    ("println", Function::Println, 0, usize::MAX),
    ("json", Function::Json, 1, 1),
    ("currentDate", Function::CurrentDate, 0, usize::MAX),
    ("yesterdayDate", Function::YesterdayDate, 0, usize::MAX),
    ("toTypeScriptType", Function::ToTypeScriptType, 1, 1),
];

/// What functions need beside their arguments.
pub(super) struct Context<'b> {
    pub(super) budget: &'b Budget,
    pub(super) clock: Clock,
}

/// What a function gives.
pub(super) type Outcome<T> = std::result::Result<T, Failure>;

/// A failure: a text that names neither the function nor the line, or a limit.
pub(super) enum Failure {
    Message(String),
    Error(crate::Error),
}

impl From<crate::Error> for Failure {
    fn from(error: crate::Error) -> Self {
        Self::Error(error)
    }
}

impl From<String> for Failure {
    fn from(message: String) -> Self {
        Self::Message(message)
    }
}

impl From<&str> for Failure {
    fn from(message: &str) -> Self {
        Self::Message(message.to_owned())
    }
}

impl Function {
    /// The function of this name.
    ///
    /// # Errors
    ///
    /// A text, where there is none or where it is one of Go's that make no sense in a prompt.
    pub(super) fn named(name: &str) -> std::result::Result<Self, String> {
        if let Some((_, function, ..)) = FUNCTIONS.iter().find(|row| row.0 == name) {
            return Ok(*function);
        }
        Err(match name {
            "html" | "js" | "urlquery" | "call" => {
                format!("the function {name} is not available in chat templates")
            }
            _ => format!("there is no function {name}"),
        })
    }

    pub(super) fn name(self) -> &'static str {
        self.row().0
    }

    /// Checks the number of arguments.
    pub(super) fn check_count(self, count: usize) -> std::result::Result<(), String> {
        let (_, _, least, most) = self.row();
        if (least..=most).contains(&count) {
            return Ok(());
        }
        let wanted = match (least, most) {
            (least, usize::MAX) => format!("at least {least}"),
            (least, most) if least == most => least.to_string(),
            (least, most) => format!("{least} to {most}"),
        };
        Err(format!("expected {wanted} arguments, found {count}"))
    }

    fn row(self) -> (&'static str, Self, usize, usize) {
        FUNCTIONS[self as usize]
    }

    /// Calls it. `and` and `or` evaluate their own arguments and are not called here.
    pub(super) fn call(self, context: &Context, arguments: &[Value]) -> Outcome<Value> {
        let budget = context.budget;
        let date = |seconds: i64| {
            let clock = Clock {
                unix_seconds: context.clock.unix_seconds.saturating_sub(seconds),
                ..context.clock
            };
            Value::text(clock.format("%Y-%m-%d"))
        };
        Ok(match (self, arguments) {
            (Self::Not, [value]) => Value::Bool(!value.is_true()),
            (Self::Eq, [first, others @ ..]) => Value::Bool(any_equal(budget, first, others)?),
            (Self::Ne, [a, b]) => Value::Bool(!equal(budget, a, b)?),
            (Self::Lt, [a, b]) => Value::Bool(less(budget, a, b)?),
            (Self::Le, [a, b]) => Value::Bool(less_or_equal(budget, a, b)?),
            // Go has these two as the opposites of the others.
            (Self::Gt, [a, b]) => Value::Bool(!less_or_equal(budget, a, b)?),
            (Self::Ge, [a, b]) => Value::Bool(!less(budget, a, b)?),
            (Self::Len, [value]) => Value::Int(length(value)?),
            (Self::Index, [item, keys @ ..]) => index(item, keys)?,
            (Self::Slice, [item, bounds @ ..]) => slice(budget, item, bounds)?,
            (Self::Print, values) => print(budget, values)?,
            (Self::Println, values) => print_line(budget, values)?,
            (Self::Printf, [Value::Text(format), values @ ..]) => printf(budget, format, values)?,
            (Self::Printf, [other, ..]) => {
                return Err(format!("expected a format, found {}", other.type_name()).into());
            }
            (Self::Json, [value]) => {
                let mut out = Sink::new(budget);
                write_json(&mut out, value)?;
                Value::text(out.into_bytes())
            }
            (Self::CurrentDate, _) => date(0),
            (Self::YesterdayDate, _) => date(DAY_SECONDS),
            (Self::ToTypeScriptType, [value]) => Value::text(typescript_type(budget, value)?),
            _ => return Err("wrong number of arguments".into()),
        })
    }
}

fn any_equal(budget: &Budget, first: &Value, others: &[Value]) -> Outcome<bool> {
    for other in others {
        if equal(budget, first, other)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn less(budget: &Budget, a: &Value, b: &Value) -> Outcome<bool> {
    Ok(compare(budget, a, b)? == Some(Ordering::Less))
}

fn less_or_equal(budget: &Budget, a: &Value, b: &Value) -> Outcome<bool> {
    let order = compare(budget, a, b)?;
    Ok(matches!(order, Some(Ordering::Less | Ordering::Equal)))
}

fn length(value: &Value) -> Outcome<i64> {
    let length = match value {
        Value::Text(text) => text.len(),
        Value::List(list) => list.items().len(),
        Value::Map(map) => map.entries.len(),
        other => return Err(format!("a value of type {} has no length", other.type_name()).into()),
    };
    Ok(i64::try_from(length).unwrap_or(i64::MAX))
}

/// A position in something that `limit` positions, or ends, are possible for.
fn position(value: &Value, limit: usize) -> Outcome<usize> {
    match value {
        Value::Int(at) => usize::try_from(*at)
            .ok()
            .filter(|&at| at < limit)
            .ok_or_else(|| format!("index out of range: {at}, of {limit}").into()),
        other => Err(format!("an index is an integer, not {}", other.type_name()).into()),
    }
}

fn index(item: &Value, keys: &[Value]) -> Outcome<Value> {
    if item.is_nil() && !matches!(item, Value::List(_)) {
        return Err("index of nil".into());
    }
    let mut item = item.clone();
    for key in keys {
        item = match &item {
            Value::Text(text) => Value::Int(text[position(key, text.len())?].into()),
            Value::List(list) => list.items()[position(key, list.items().len())?].clone(),
            Value::Map(map) => match key {
                Value::Text(key) => map.entries.get(key).cloned().unwrap_or(Value::Nil),
                other => {
                    let found = other.type_name();
                    return Err(format!("a key is a string, not {found}").into());
                }
            },
            other => {
                let found = other.type_name();
                return Err(format!("a value of type {found} has no items").into());
            }
        };
    }
    Ok(item)
}

fn slice(budget: &Budget, item: &Value, bounds: &[Value]) -> Outcome<Value> {
    let (length, reach) = match item {
        Value::Text(text) => (text.len(), text.len()),
        Value::List(list) => (list.items().len(), list.capacity()),
        other => return Err(format!("a value of type {} has no slices", other.type_name()).into()),
    };
    if bounds.len() == 3 && matches!(item, Value::Text(_)) {
        return Err("a string is sliced by two indices at most".into());
    }
    let bound = |at: usize, default: usize| match bounds.get(at) {
        Some(value) => position(value, reach + 1),
        None => Ok(default),
    };
    let (start, end) = (bound(0, 0)?, bound(1, length)?);
    // The third index only limits how far the result can be extended; it is checked, not kept.
    let most = bound(2, reach)?;
    if start > end || end > most {
        return Err(format!("invalid slice: {start} to {end}, at most {most}").into());
    }
    Ok(match item {
        Value::List(list) => Value::List(list.slice(start, end)),
        Value::Text(text) => {
            budget.spend_length(end - start)?;
            Value::Text(Text::from(&text[start..end]))
        }
        _ => Value::Missing,
    })
}

/// A blank stands between two values if neither is a string.
fn print(budget: &Budget, values: &[Value]) -> Result<Value> {
    let mut out = Sink::new(budget);
    let is_text = |value: &Value| matches!(value, Value::Text(_));
    for (at, value) in values.iter().enumerate() {
        if at > 0 && !is_text(value) && !is_text(&values[at - 1]) {
            out.push(" ")?;
        }
        write_value(&mut out, &Spec::default(), 'v', value)?;
    }
    Ok(Value::text(out.into_bytes()))
}

fn print_line(budget: &Budget, values: &[Value]) -> Result<Value> {
    let mut out = Sink::new(budget);
    for (at, value) in values.iter().enumerate() {
        if at > 0 {
            out.push(" ")?;
        }
        write_value(&mut out, &Spec::default(), 'v', value)?;
    }
    out.push("\n")?;
    Ok(Value::text(out.into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stand_in_the_order_of_the_enum() {
        for (name, function, ..) in FUNCTIONS {
            assert_eq!(function.name(), name);
            assert_eq!(Function::named(name), Ok(function));
        }
        assert!(Function::named("foo").is_err());
        assert!(Function::named("html").is_err());
    }
}
