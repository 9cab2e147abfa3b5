//! `eq`, `lt` and the others: values of one basic type are compared, all others only with nil.

use std::cmp::Ordering;
use std::sync::Arc;

use super::budget::Budget;
use super::functions::Outcome;
use super::value::Value;

/// The types that have an order or equality of their own.
fn basic(value: &Value) -> bool {
    matches!(
        value,
        Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Text(_)
    )
}

fn nothing(value: &Value) -> bool {
    matches!(value, Value::Missing | Value::Nil)
}

pub(super) fn equal(budget: &Budget, a: &Value, b: &Value) -> Outcome<bool> {
    match (a, b) {
        (Value::Bool(a), Value::Bool(b)) => Ok(a == b),
        (Value::Int(a), Value::Int(b)) => Ok(a == b),
        (Value::Float(a), Value::Float(b)) => Ok(a == b),
        (Value::Text(a), Value::Text(b)) => {
            budget.spend_length(a.len().min(b.len()))?;
            Ok(a == b)
        }
        _ if nothing(a) || nothing(b) => Ok(!basic(a) && !basic(b) && a.is_nil() == b.is_nil()),
        (Value::List(_), Value::List(_)) if a.is_nil() || b.is_nil() => {
            Ok(a.is_nil() == b.is_nil())
        }
        // A record is equal to itself alone.
        (Value::Record(a), Value::Record(b)) => Ok(Arc::ptr_eq(a, b)),
        _ => {
            let (a, b) = (a.type_name(), b.type_name());
            Err(format!("incompatible types for comparison: {a} and {b}").into())
        }
    }
}

/// Which of the two is less; `None` where one of them is not a number.
pub(super) fn compare(budget: &Budget, a: &Value, b: &Value) -> Outcome<Option<Ordering>> {
    Ok(match (a, b) {
        (Value::Int(a), Value::Int(b)) => Some(a.cmp(b)),
        (Value::Float(a), Value::Float(b)) => a.partial_cmp(b),
        (Value::Text(a), Value::Text(b)) => {
            budget.spend_length(a.len().min(b.len()))?;
            Some(a.cmp(b))
        }
        _ => {
            let (a, b) = (a.type_name(), b.type_name());
            return Err(format!("no order between values of the types {a} and {b}").into());
        }
    })
}
