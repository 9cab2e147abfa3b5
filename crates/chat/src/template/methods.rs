//! Methods of Python's strings, lists and dicts.

use minijinja::value::{Kwargs, Rest, ValueKind, from_args};
use minijinja::{Error, ErrorKind, State, Value};
use minijinja_contrib::pycompat;

use super::budget::{charge, charge_new, check_size};
use super::format;
use super::text::{is_space, str_of};
use super::values::{List, adopt, freeze, list, weight};

/// Called for every method that a value does not have itself.
pub(crate) fn call(
    state: &State,
    value: &Value,
    method: &str,
    args: &[Value],
) -> Result<Value, Error> {
    let cost = args
        .iter()
        .map(weight)
        .fold(weight(value), u64::saturating_add);
    charge(state, cost)?;
    match (
        value.as_str(),
        value.downcast_object_ref::<List>(),
        value.kind(),
    ) {
        (Some(text), ..) => string(state, value, text, method, args),
        (_, Some(items), _) => list_method(state, items, value, method, args),
        (_, _, ValueKind::Map) => map(state, value, method, args),
        _ => Err(Error::from(ErrorKind::UnknownMethod)),
    }
}

fn string(
    state: &State,
    value: &Value,
    text: &str,
    method: &str,
    args: &[Value],
) -> Result<Value, Error> {
    let trim = |start: bool, end: bool| -> Result<Value, Error> {
        let (chars,): (Option<&str>,) = from_args(args)?;
        let strip = |c: char| chars.map_or_else(|| is_space(c), |chars| chars.contains(c));
        charge(
            state,
            (text.len() as u64).saturating_mul(chars.map_or(0, str::len) as u64),
        )?;
        let text = if start {
            text.trim_start_matches(strip)
        } else {
            text
        };
        Ok(Value::from(if end {
            text.trim_end_matches(strip)
        } else {
            text
        }))
    };
    let pad = |left: bool, right: bool| -> Result<Value, Error> {
        let (width, fill): (usize, Option<char>) = from_args(args)?;
        let missing = width.saturating_sub(text.chars().count());
        charge_new(state, (missing as u64).saturating_mul(4))?;
        // Python's `center` gives the odd column to the left where the width is odd.
        let before = match (left, right) {
            (true, true) => missing / 2 + (missing & width & 1),
            (true, false) => missing,
            _ => 0,
        };
        let fill = fill.unwrap_or(' ').to_string();
        Ok(Value::from(
            fill.repeat(before) + text + &fill.repeat(missing - before),
        ))
    };
    let result = match method {
        "strip" => trim(true, true),
        "lstrip" => trim(true, false),
        "rstrip" => trim(false, true),
        "ljust" => pad(false, true),
        "rjust" => pad(true, false),
        "center" => pad(true, true),
        "split" => split(state, text, args, false),
        "rsplit" => split(state, text, args, true),
        "replace" => {
            let (old, new, count): (&str, &str, Option<i64>) = from_args(args)?;
            replace(state, text, old, new, count)
        }
        "removeprefix" => from_args::<(&str,)>(args)
            .map(|(part,)| Value::from(text.strip_prefix(part).unwrap_or(text))),
        "removesuffix" => from_args::<(&str,)>(args)
            .map(|(part,)| Value::from(text.strip_suffix(part).unwrap_or(text))),
        "partition" | "rpartition" => {
            let (separator,): (&str,) = from_args(args)?;
            let last = method == "rpartition";
            let found = if last {
                text.rsplit_once(separator)
            } else {
                text.split_once(separator)
            };
            let parts = match found {
                Some((before, after)) => [before, separator, after],
                None if last => ["", "", text],
                None => [text, "", ""],
            };
            list(state, parts.map(Value::from))
        }
        "find" | "index" | "rfind" | "rindex" => {
            let (part,): (&str,) = from_args(args)?;
            let at = if method.starts_with('r') {
                text.rfind(part)
            } else {
                text.find(part)
            };
            match at {
                Some(at) => Ok(Value::from(text[..at].chars().count())),
                None if method.ends_with("find") => Ok(Value::from(-1)),
                None => Err(invalid("substring not found")),
            }
        }
        "count" => {
            let (part,): (&str,) = from_args(args)?;
            let empty = part.is_empty().then(|| text.chars().count() + 1);
            Ok(Value::from(
                empty.unwrap_or_else(|| text.matches(part).count()),
            ))
        }
        "join" => {
            let (items,): (&Value,) = from_args(args)?;
            join(state, items.try_iter()?, text)
        }
        "format" => {
            let (positional, named): (Rest<Value>, Kwargs) = from_args(args)?;
            format::str_format(state, text, &positional, &named)
        }
        "casefold" => Ok(Value::from(text.to_lowercase())),
        "isdecimal" => Ok(Value::from(
            !text.is_empty() && text.chars().all(|c| c.is_ascii_digit()),
        )),
        "splitlines" => {
            let (keep,): (Option<bool>,) = from_args(args)?;
            list(state, lines(text, keep.unwrap_or(false)).map(Value::from))
        }
        "isspace" | "isalpha" | "isalnum" | "isdigit" | "isnumeric" if text.is_empty() => {
            Ok(Value::from(false))
        }
        _ => pycompat::unknown_method_callback(state, value, method, args),
    };
    adopt(state, result?)
}

fn list_method(
    state: &State,
    items: &List,
    value: &Value,
    method: &str,
    args: &[Value],
) -> Result<Value, Error> {
    let place = |at: i64, length: usize| -> usize {
        let length = i64::try_from(length).unwrap_or(i64::MAX);
        let at = if at < 0 {
            at.saturating_add(length)
        } else {
            at
        };
        usize::try_from(at.clamp(0, length)).unwrap_or(0)
    };
    match method {
        "append" => {
            let item = freeze(state, from_args::<(&Value,)>(args)?.0)?;
            items.change(|items| items.push(item))?;
        }
        "extend" => {
            let more = from_args::<(&Value,)>(args)?.0.try_iter()?;
            let more = list(state, more)?;
            let more: Vec<Value> = more.try_iter()?.collect();
            items.change(|items| items.extend(more))?;
        }
        "insert" => {
            let (at, item): (i64, &Value) = from_args(args)?;
            let item = freeze(state, item)?;
            items.change(|items| items.insert(place(at, items.len()), item))?;
        }
        "pop" => {
            let (at,): (Option<i64>,) = from_args(args)?;
            return items
                .change(|items| {
                    let at = at.unwrap_or(-1);
                    let inside = at.unsigned_abs() < items.len() as u64 + u64::from(at < 0);
                    inside.then(|| items.remove(place(at, items.len())))
                })?
                .ok_or_else(|| invalid("pop: the list is empty or the index is outside it"));
        }
        "index" => {
            let (wanted,): (&Value,) = from_args(args)?;
            let at = value.try_iter()?.position(|item| item == *wanted);
            return at
                .map(Value::from)
                .ok_or_else(|| invalid("index: the value is not in the list"));
        }
        "count" => {
            let (wanted,): (&Value,) = from_args(args)?;
            return Ok(Value::from(
                value.try_iter()?.filter(|item| item == wanted).count(),
            ));
        }
        "copy" => return list(state, value.try_iter()?),
        _ => return Err(Error::from(ErrorKind::UnknownMethod)),
    }
    Ok(Value::from(()))
}

fn map(state: &State, value: &Value, method: &str, args: &[Value]) -> Result<Value, Error> {
    let object = value
        .as_object()
        .ok_or_else(|| Error::from(ErrorKind::UnknownMethod))?;
    let pairs = object.try_iter_pairs().into_iter().flatten();
    match method {
        "get" => {
            let (key, default): (&Value, Option<Value>) = from_args(args)?;
            Ok(object
                .get_value(key)
                .or(default)
                .unwrap_or_else(|| Value::from(())))
        }
        "keys" => from_args::<()>(args).and_then(|()| list(state, pairs.map(|(key, _)| key))),
        "values" => from_args::<()>(args).and_then(|()| list(state, pairs.map(|(_, value)| value))),
        "items" => from_args::<()>(args).and_then(|()| items(state, value)),
        "copy" => from_args::<()>(args).and_then(|()| freeze(state, value)),
        _ => Err(Error::from(ErrorKind::UnknownMethod)),
    }
}

/// The pairs of a mapping as a list of lists.
pub(crate) fn items(state: &State, value: &Value) -> Result<Value, Error> {
    let pairs = value.as_object().and_then(|object| object.try_iter_pairs());
    let pairs = pairs
        .into_iter()
        .flatten()
        .map(|(key, value)| Value::from(vec![key, value]));
    list(state, pairs)
}

fn invalid(text: &str) -> Error {
    Error::new(ErrorKind::InvalidOperation, text.to_owned())
}

/// `split` and `rsplit`, with the arguments `sep=None, maxsplit=-1`.
fn split(state: &State, text: &str, args: &[Value], right: bool) -> Result<Value, Error> {
    let (separator, limit, named): (Option<Value>, Option<i64>, Kwargs) = from_args(args)?;
    let separator = match separator {
        Some(separator) => Some(separator),
        None => named.get("sep")?,
    };
    let limit = match limit {
        Some(limit) => limit,
        None => named.get::<Option<i64>>("maxsplit")?.unwrap_or(-1),
    };
    named.assert_all_used()?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX - 1);
    let Some(separator) = separator.filter(|separator| !separator.is_none()) else {
        return list(
            state,
            split_spaces(text, limit, right)
                .into_iter()
                .map(Value::from),
        );
    };
    let separator = separator
        .as_str()
        .ok_or_else(|| invalid("the separator of split is a string"))?;
    if separator.is_empty() {
        return Err(invalid("the separator of split is empty"));
    }
    if right {
        let mut parts: Vec<&str> = text.rsplitn(limit + 1, separator).collect();
        parts.reverse();
        list(state, parts.into_iter().map(Value::from))
    } else {
        list(state, text.splitn(limit + 1, separator).map(Value::from))
    }
}

fn split_spaces(text: &str, limit: usize, right: bool) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = text.trim_matches(is_space);
    while !rest.is_empty() {
        let at = if right {
            rest.rfind(is_space)
        } else {
            rest.find(is_space)
        };
        let Some(at) = at.filter(|_| parts.len() < limit) else {
            parts.push(rest);
            break;
        };
        let width = rest[at..].chars().next().map_or(1, char::len_utf8);
        let (part, left) = if right {
            (&rest[at + width..], &rest[..at])
        } else {
            (&rest[..at], &rest[at..])
        };
        parts.push(part);
        rest = if right {
            left.trim_end_matches(is_space)
        } else {
            left.trim_start_matches(is_space)
        };
    }
    if right {
        parts.reverse();
    }
    parts
}

/// The lines of a text as `str.splitlines` gives them, with their ends if `keep`.
pub(crate) fn lines(text: &str, keep: bool) -> impl Iterator<Item = &str> {
    let is_end = |c: char| {
        matches!(
            c,
            '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{1c}'
                ..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}'
        )
    };
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let at = rest.find(is_end).unwrap_or(rest.len());
        let width = if rest[at..].starts_with("\r\n") {
            2
        } else {
            rest[at..].chars().next().map_or(0, char::len_utf8)
        };
        let line = &rest[..if keep { at + width } else { at }];
        rest = &rest[at + width..];
        Some(line)
    })
}

/// `text.replace(old, new, count)`.
pub(crate) fn replace(
    state: &State,
    text: &str,
    old: &str,
    new: &str,
    count: Option<i64>,
) -> Result<Value, Error> {
    let found = if old.is_empty() {
        text.len() + 1
    } else {
        text.matches(old).count()
    };
    let count = count
        .and_then(|count| usize::try_from(count).ok())
        .unwrap_or(usize::MAX);
    let grown = (found.min(count) as u64).saturating_mul(new.len() as u64);
    charge_new(state, grown.saturating_add(text.len() as u64))?;
    Ok(Value::from(text.replacen(old, new, count)))
}

/// The texts of the items with `between` between them.
pub(crate) fn join(
    state: &State,
    items: impl Iterator<Item = Value>,
    between: &str,
) -> Result<Value, Error> {
    let mut out = String::new();
    for (index, item) in items.enumerate() {
        charge(state, weight(&item).saturating_add(between.len() as u64))?;
        if index > 0 {
            out.push_str(between);
        }
        out.push_str(&str_of(&item));
        check_size(out.len() as u64)?;
    }
    charge_new(state, out.len() as u64)?;
    Ok(Value::from(out))
}
