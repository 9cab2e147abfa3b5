//! The operators of a template's expressions, with Python's meaning and charged to the budget.
//!
//! `program` replaces the engine's own instructions by calls of these. Their names hold a
//! character that no filter name in a template can have.

use std::cmp::Ordering;
use std::sync::Arc;

use minijinja::value::{Object, ObjectRepr, ValueKind};
use minijinja::{Environment, Error, ErrorKind, State, Value};

use super::budget::{charge, charge_new};
use super::format;
use super::text::str_of;
use super::values::{Dict, NODE, adopt, dict, freeze, list, thaw, weight};

type Binary = fn(&State, &Value, &Value) -> Result<Value, Error>;

/// The operators: the name of each call, and what it does.
const BINARY: &[(&str, Binary)] = &[
    ("op+", add),
    ("op-", |_, a, b| {
        arithmetic("-", a, b, i128::checked_sub, |a, b| a - b)
    }),
    ("op*", multiply),
    ("op/", divide),
    ("op//", floor_divide),
    ("op%", remainder),
    ("op**", power),
    ("op~", concat),
    ("op==", |state, a, b| equal(state, a, b).map(Value::from)),
    ("op!=", |state, a, b| {
        equal(state, a, b).map(|same| Value::from(!same))
    }),
    ("op<", |state, a, b| {
        ordered(state, "<", a, b).map(|o| Value::from(o == Some(Ordering::Less)))
    }),
    ("op<=", |state, a, b| {
        ordered(state, "<=", a, b).map(|o| Value::from(o.is_some_and(Ordering::is_le)))
    }),
    ("op>", |state, a, b| {
        ordered(state, ">", a, b).map(|o| Value::from(o == Some(Ordering::Greater)))
    }),
    ("op>=", |state, a, b| {
        ordered(state, ">=", a, b).map(|o| Value::from(o.is_some_and(Ordering::is_ge)))
    }),
    ("op in", contains),
    ("op[]", item),
    ("op.", attribute),
];

/// The methods of a dict that are more than a name in Python: `x.items` is the method even where
/// the mapping has a key `items`.
pub(crate) const DICT_METHODS: &[&str] = &[
    "clear",
    "copy",
    "fromkeys",
    "get",
    "items",
    "keys",
    "pop",
    "popitem",
    "setdefault",
    "update",
    "values",
];

/// Puts the operators into `env`.
pub(crate) fn install(env: &mut Environment<'_>) {
    for &(name, run) in BINARY {
        // The engine looks names up without their white space.
        let name = name.replace(' ', "");
        env.add_filter(name, move |state: &State, a: &Value, b: &Value| {
            run(state, a, b)
        });
    }
    env.add_filter("op[:]", slice);
    env.add_filter("op:list", |state: &State, value: &Value| {
        adopt(state, value.clone())
    });
    env.add_filter("op:map", |state: &State, value: &Value| {
        let pairs = value.as_object().and_then(|object| object.try_iter_pairs());
        dict(state, pairs.into_iter().flatten())
    });
    env.add_filter("op:thaw", |state: &State, value: &Value| thaw(state, value));
    env.add_filter("op:store", store);
    env.add_filter("op:weigh", |state: &State, value: &Value| {
        charge(state, weight(value)).map(|()| value.clone())
    });
}

#[derive(Clone, Copy)]
enum Number {
    Int(i128),
    Float(f64),
}

impl Number {
    fn of(value: &Value) -> Option<Self> {
        match value.kind() {
            ValueKind::Bool => Some(Self::Int(i128::from(value.is_true()))),
            ValueKind::Number if value.is_integer() => {
                i128::try_from(value.clone()).ok().map(Self::Int)
            }
            ValueKind::Number => f64::try_from(value.clone()).ok().map(Self::Float),
            _ => None,
        }
    }

    fn float(self) -> f64 {
        match self {
            Self::Int(x) => x as f64,
            Self::Float(x) => x,
        }
    }
}

fn invalid(text: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, text.into())
}

fn wrong_types(operator: &str, a: &Value, b: &Value) -> Error {
    let name = |value: &Value| {
        if value.is_undefined() {
            "undefined".into()
        } else {
            value.kind().to_string()
        }
    };
    invalid(format!(
        "the operator {operator} does not take {} and {}",
        name(a),
        name(b)
    ))
}

fn integer(x: i128) -> Value {
    i64::try_from(x).map_or_else(|_| Value::from(x), Value::from)
}

fn is_list(value: &Value) -> bool {
    matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable)
}

fn arithmetic(
    operator: &str,
    a: &Value,
    b: &Value,
    int: fn(i128, i128) -> Option<i128>,
    float: fn(f64, f64) -> f64,
) -> Result<Value, Error> {
    match (Number::of(a), Number::of(b)) {
        (Some(Number::Int(a)), Some(Number::Int(b))) => int(a, b)
            .map(integer)
            .ok_or_else(|| invalid(format!("{a} {operator} {b} cannot be computed"))),
        (Some(a), Some(b)) => Ok(Value::from(float(a.float(), b.float()))),
        _ => Err(wrong_types(operator, a, b)),
    }
}

fn add(state: &State, a: &Value, b: &Value) -> Result<Value, Error> {
    if let (Some(_), Some(_)) = (a.as_str(), b.as_str())
        && (a.is_safe() || b.is_safe())
    {
        // Text marked as safe escapes what is added to it, as `markupsafe` does it.
        let parts = [escaped(state, a)?, escaped(state, b)?];
        charge_new(state, (parts[0].len() + parts[1].len()) as u64)?;
        return Ok(Value::from_safe_string(parts.concat()));
    }
    if let (Some(a), Some(b)) = (a.as_str(), b.as_str()) {
        charge_new(state, (a.len() + b.len()) as u64)?;
        return Ok(Value::from([a, b].concat()));
    }
    if is_list(a) && is_list(b) {
        return list(state, a.try_iter()?.chain(b.try_iter()?));
    }
    arithmetic("+", a, b, i128::checked_add, |a, b| a + b)
}

/// The text of `value`, with HTML's marks escaped unless it is marked as safe.
pub(crate) fn escaped(state: &State, value: &Value) -> Result<String, Error> {
    let factor = if value.is_safe() { 1 } else { 6 };
    charge(state, weight(value).saturating_mul(factor))?;
    let text = str_of(value);
    if value.is_safe() {
        return Ok(text.into_owned());
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    Ok(out)
}

fn concat(state: &State, a: &Value, b: &Value) -> Result<Value, Error> {
    charge(state, weight(a).saturating_add(weight(b)))?;
    let (a, b) = (str_of(a), str_of(b));
    charge_new(state, (a.len() + b.len()) as u64)?;
    Ok(Value::from([a, b].concat()))
}

fn multiply(state: &State, a: &Value, b: &Value) -> Result<Value, Error> {
    let (sequence, count) = if Number::of(a).is_some() {
        (b, a)
    } else {
        (a, b)
    };
    let (text, is_sequence) = (sequence.as_str(), is_list(sequence));
    if text.is_none() && !is_sequence {
        return arithmetic("*", a, b, i128::checked_mul, |a, b| a * b);
    }
    let Some(Number::Int(count)) = Number::of(count) else {
        return Err(wrong_types("*", a, b));
    };
    let count = u64::try_from(count.max(0)).unwrap_or(u64::MAX);
    if let Some(text) = text {
        charge_new(state, (text.len() as u64).saturating_mul(count))?;
        return Ok(Value::from(text.repeat(count as usize)));
    }
    let items: Vec<Value> = sequence.try_iter()?.collect();
    charge_new(state, (items.len() as u64 * NODE).saturating_mul(count))?;
    if items.is_empty() {
        return list(state, []);
    }
    list(state, (0..count).flat_map(|_| items.iter().cloned()))
}

fn divide(_: &State, a: &Value, b: &Value) -> Result<Value, Error> {
    match (Number::of(a), Number::of(b)) {
        (Some(_), Some(b)) if b.float() == 0.0 => Err(invalid("division by zero")),
        (Some(a), Some(b)) => Ok(Value::from(a.float() / b.float())),
        _ => Err(wrong_types("/", a, b)),
    }
}

fn floor_divide(_: &State, a: &Value, b: &Value) -> Result<Value, Error> {
    if Number::of(b).is_some_and(|b| b.float() == 0.0) {
        return Err(invalid("division by zero"));
    }
    arithmetic("//", a, b, floor_div, |a, b| (a / b).floor())
}

fn floor_div(a: i128, b: i128) -> Option<i128> {
    let quotient = a.checked_div(b)?;
    Some(quotient - i128::from(a % b != 0 && (a < 0) != (b < 0)))
}

fn remainder(state: &State, a: &Value, b: &Value) -> Result<Value, Error> {
    if let Some(form) = a.as_str() {
        let several = is_list(b);
        let args = if several {
            b.try_iter()?.collect()
        } else {
            vec![b.clone()]
        };
        return format::printf(state, form, &args);
    }
    if Number::of(b).is_some_and(|b| b.float() == 0.0) {
        return Err(invalid("division by zero"));
    }
    arithmetic(
        "%",
        a,
        b,
        |a, b| Some(a - floor_div(a, b)?.checked_mul(b)?),
        |a, b| a - (a / b).floor() * b,
    )
}

fn power(_: &State, a: &Value, b: &Value) -> Result<Value, Error> {
    match (Number::of(a), Number::of(b)) {
        (Some(Number::Int(base)), Some(Number::Int(exponent))) if exponent >= 0 => {
            let exponent = u32::try_from(exponent).ok();
            exponent
                .and_then(|exponent| base.checked_pow(exponent))
                .map(integer)
                .ok_or_else(|| invalid("the result of ** is too large"))
        }
        (Some(a), Some(b)) => Ok(Value::from(a.float().powf(b.float()))),
        _ => Err(wrong_types("**", a, b)),
    }
}

fn equal(state: &State, a: &Value, b: &Value) -> Result<bool, Error> {
    charge(state, weight(a).min(weight(b)))?;
    Ok(a == b)
}

fn ordered(state: &State, operator: &str, a: &Value, b: &Value) -> Result<Option<Ordering>, Error> {
    charge(state, weight(a).min(weight(b)))?;
    match (Number::of(a), Number::of(b)) {
        (Some(Number::Int(a)), Some(Number::Int(b))) => Ok(Some(a.cmp(&b))),
        (Some(a), Some(b)) => Ok(a.float().partial_cmp(&b.float())),
        _ if a.as_str().is_some() && b.as_str().is_some() || is_list(a) && is_list(b) => {
            Ok(Some(a.cmp(b)))
        }
        _ => Err(wrong_types(operator, a, b)),
    }
}

fn contains(state: &State, container: &Value, wanted: &Value) -> Result<Value, Error> {
    charge(state, weight(container))?;
    if let Some(text) = container.as_str() {
        let wanted = wanted
            .as_str()
            .ok_or_else(|| wrong_types("in", wanted, container))?;
        return Ok(Value::from(text.contains(wanted)));
    }
    let Some(object) = container.as_object() else {
        return if container.is_undefined() {
            Ok(Value::from(false))
        } else {
            Err(wrong_types("in", wanted, container))
        };
    };
    Ok(Value::from(match object.repr() {
        ObjectRepr::Map => object.get_value(wanted).is_some(),
        _ => object
            .try_iter()
            .into_iter()
            .flatten()
            .any(|item| item == *wanted),
    }))
}

fn item(state: &State, container: &Value, key: &Value) -> Result<Value, Error> {
    if container.as_str().is_some() {
        charge(state, weight(container))?;
    }
    container.get_item(key)
}

/// A method of a dict that is named but not called.
#[derive(Debug)]
struct Method;

impl Object for Method {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }
}

/// `value.name` for a name of [`DICT_METHODS`].
fn attribute(_: &State, value: &Value, name: &Value) -> Result<Value, Error> {
    if value.downcast_object_ref::<Dict>().is_some() {
        return Ok(Value::from_object(Method));
    }
    value.get_item(name)
}

/// `value[start:stop:step]` of a string or list.
fn slice(
    state: &State,
    value: &Value,
    start: &Value,
    stop: &Value,
    step: &Value,
) -> Result<Value, Error> {
    let bound = |value: &Value| -> Result<Option<i64>, Error> {
        if value.is_none() || value.is_undefined() {
            Ok(None)
        } else {
            i64::try_from(value.clone()).map(Some)
        }
    };
    let (start, stop, step) = (bound(start)?, bound(stop)?, bound(step)?.unwrap_or(1));
    if step == 0 {
        return Err(invalid("a slice cannot have the step 0"));
    }
    if let Some(text) = value.as_str() {
        charge(state, (text.len() as u64).saturating_mul(4))?;
        let chars: Vec<char> = text.chars().collect();
        return adopt(
            state,
            Value::from(
                select(chars.len(), start, stop, step)
                    .map(|i| chars[i])
                    .collect::<String>(),
            ),
        );
    }
    if !is_list(value) {
        return Err(invalid(format!(
            "a value of type {} cannot be sliced",
            value.kind()
        )));
    }
    let length = value.len().unwrap_or(0);
    let picked = select(length, start, stop, step);
    list(
        state,
        picked.filter_map(|index| value.get_item_by_index(index).ok()),
    )
}

/// The indices that Python's `range(*slice.indices(length))` gives.
fn select(
    length: usize,
    start: Option<i64>,
    stop: Option<i64>,
    step: i64,
) -> impl Iterator<Item = usize> {
    let length = i64::try_from(length).unwrap_or(i64::MAX);
    let (low, high) = if step > 0 {
        (0, length)
    } else {
        (-1, length - 1)
    };
    let place = |at: i64| {
        (if at < 0 {
            at.saturating_add(length)
        } else {
            at
        })
        .clamp(low, high)
    };
    let first = start.map_or(if step > 0 { low } else { high }, place);
    let last = stop.map_or(if step > 0 { high } else { low }, place);
    std::iter::successors(Some(first), move |at| at.checked_add(step))
        .take_while(move |&at| if step > 0 { at < last } else { at > last })
        .map(|at| at as usize)
}

/// A value as a namespace may hold it: a list stays changeable, a namespace or macro is refused.
fn store(state: &State, value: &Value) -> Result<Value, Error> {
    match value.kind() {
        ValueKind::Map | ValueKind::Plain => freeze(state, value),
        _ => adopt(state, value.clone()),
    }
}
