//! Filters, tests and functions of the template environment.

use std::sync::LazyLock;

use minijinja::value::{Kwargs, Rest, ValueKind};
use minijinja::{
    Environment, Error, ErrorKind, State, UndefinedBehavior, Value, filters, functions, tests,
};

use super::budget::{EMIT_FACTOR, FUEL, Stop, charge, charge_new};
use super::text::{is_space, str_of};
use super::values::{NODE, adopt, dict, list, weight};
use super::{format, json, methods, ops};

/// The largest list that `range` makes: the limit of Jinja's sandbox.
const MAX_RANGE: i64 = 100_000;
/// How deep macros, loops and blocks may nest; the engine counts a macro as several.
const MAX_RECURSION: usize = 400;

/// The environment that all templates are rendered in. What belongs to one rendering (messages,
/// clock) is in its context.
pub(crate) static ENVIRONMENT: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut env = Environment::empty();
    env.set_trim_blocks(true);
    env.set_lstrip_blocks(true);
    env.set_undefined_behavior(UndefinedBehavior::Lenient);
    env.set_fuel(Some(FUEL));
    env.set_recursion_limit(MAX_RECURSION);
    env.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    env.set_unknown_method_callback(methods::call);
    env.set_formatter(|out, state, value| {
        charge(state, weight(value).saturating_mul(EMIT_FACTOR))?;
        out.write_str(&str_of(value)).map_err(Error::from)
    });
    engine_filters(&mut env);
    text_filters(&mut env);
    list_filters(&mut env);
    add_tests(&mut env);
    add_functions(&mut env);
    ops::install(&mut env);
    env
});

/// Filters that the engine has in Jinja's form. Each is charged for its arguments (for every item,
/// where it walks a list) and for what it returns.
fn engine_filters(env: &mut Environment<'static>) {
    let table: [(&str, Value, u64); 20] = [
        ("abs", Value::from_function(filters::abs), 1),
        ("attr", Value::from_function(filters::attr), 1),
        ("batch", Value::from_function(filters::batch), 1),
        ("d", Value::from_function(filters::default), 0),
        ("default", Value::from_function(filters::default), 0),
        ("dictsort", Value::from_function(filters::dictsort), 16),
        ("float", Value::from_function(filters::float), 1),
        ("groupby", Value::from_function(filters::groupby), 16),
        ("last", Value::from_function(filters::last), 1),
        ("map", Value::from_function(filters::map), 1),
        ("max", Value::from_function(filters::max), 1),
        ("min", Value::from_function(filters::min), 1),
        ("reject", Value::from_function(filters::reject), 1),
        ("rejectattr", Value::from_function(filters::rejectattr), 1),
        ("round", Value::from_function(filters::round), 1),
        ("select", Value::from_function(filters::select), 1),
        ("selectattr", Value::from_function(filters::selectattr), 1),
        ("slice", Value::from_function(filters::slice), 1),
        ("sort", Value::from_function(filters::sort), 16),
        ("unique", Value::from_function(filters::unique), 16),
    ];
    for (name, inner, factor) in table {
        let counts = matches!(name, "batch" | "slice");
        env.add_filter(name, move |state: &State, args: Rest<Value>| {
            let first = args.first().map_or(NODE, weight);
            let items = args.first().and_then(Value::len).unwrap_or(1) as u64;
            let others = args.iter().skip(1).map(weight).fold(0, u64::saturating_add);
            let walk = first.saturating_add(others.saturating_mul(items));
            charge(state, walk.saturating_mul(factor))?;
            if counts
                && args
                    .iter()
                    .any(|arg| arg.as_i64().is_some_and(|count| count > MAX_RANGE))
            {
                return Err(Stop::limit(format!(
                    "the filter {name} makes more than {MAX_RANGE} items"
                )));
            }
            adopt(state, inner.call(state, &args)?)
        });
    }
}

fn text_filters(env: &mut Environment<'static>) {
    type Run = fn(&str) -> String;
    let table: [(&str, Run); 6] = [
        ("lower", |text| text.to_lowercase()),
        ("upper", |text| text.to_uppercase()),
        ("capitalize", capitalize),
        ("title", title),
        ("string", str::to_owned),
        ("pprint", str::to_owned),
    ];
    for (name, run) in table {
        env.add_filter(name, move |state: &State, value: &Value| {
            charge(state, weight(value).saturating_mul(2))?;
            let text = str_of(value);
            // Capitals can be longer than what they replace; the factor above covers that.
            adopt(state, Value::from(run(&text)))
        });
    }
    for name in ["escape", "e"] {
        env.add_filter(name, |state: &State, value: &Value| {
            let text = ops::escaped(state, value)?;
            charge_new(state, text.len() as u64)?;
            Ok::<_, Error>(Value::from_safe_string(text))
        });
    }
    env.add_filter("safe", |state: &State, value: &Value| {
        charge(state, weight(value)).map(|()| Value::from_safe_string(str_of(value).into_owned()))
    });
    env.add_filter(
        "trim",
        |state: &State, value: &Value, chars: Option<&str>| {
            charge(
                state,
                weight(value).saturating_mul(1 + chars.map_or(0, str::len) as u64),
            )?;
            let text = str_of(value);
            let strip = |c: char| chars.map_or_else(|| is_space(c), |chars| chars.contains(c));
            adopt(state, Value::from(text.trim_matches(strip)))
        },
    );
    env.add_filter(
        "replace",
        |state: &State, value: &Value, old: &Value, new: &Value, count: Option<i64>| {
            charge(
                state,
                weight(value)
                    .saturating_add(weight(old))
                    .saturating_add(weight(new)),
            )?;
            methods::replace(state, &str_of(value), &str_of(old), &str_of(new), count)
        },
    );
    env.add_filter("format", |state: &State, form: &str, args: Rest<Value>| {
        format::printf(state, form, &args)
    });
    env.add_filter("indent", indent);
    env.add_filter("tojson", json::tojson);
    env.add_filter("from_json", json::from_json);
    env.add_filter("int", |value: &Value, default: Option<Value>| {
        let default = || default.clone().unwrap_or_else(|| Value::from(0));
        match (value.as_str(), f64::try_from(value.clone())) {
            (Some(text), _) => {
                let text = text.trim();
                let whole = text.parse::<i64>().ok();
                whole
                    .or_else(|| text.parse::<f64>().ok().map(|x| x as i64))
                    .map_or_else(default, Value::from)
            }
            (None, _) if value.is_integer() => value.clone(),
            (None, Ok(float)) => Value::from(float as i64),
            (None, Err(_)) if value.kind() == ValueKind::Bool => {
                Value::from(i64::from(value.is_true()))
            }
            (None, Err(_)) => default(),
        }
    });
}

fn capitalize(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| {
        first
            .to_uppercase()
            .chain(chars.as_str().to_lowercase().chars())
            .collect()
    })
}

/// Words begin after white space and the marks that Jinja's `title` knows.
fn title(text: &str) -> String {
    let mut begin = true;
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if begin {
            out.extend(c.to_uppercase())
        } else {
            out.extend(c.to_lowercase())
        }
        begin = c.is_whitespace() || matches!(c, '-' | '(' | '{' | '[' | '<');
    }
    out
}

/// `indent(width=4, first=False, blank=False)`; the width may be a text.
fn indent(state: &State, value: &Value, given: Rest<Value>, named: Kwargs) -> Result<Value, Error> {
    let option = |index: usize, name: &str| -> Result<Option<Value>, Error> {
        Ok(given.get(index).cloned().or(named.get(name)?))
    };
    let width = option(0, "width")?;
    let first = option(1, "first")?.is_some_and(|value| value.is_true());
    let blank = option(2, "blank")?.is_some_and(|value| value.is_true());
    named.assert_all_used()?;
    let width = width.unwrap_or_else(|| Value::from(4));
    let prefix = match width.as_str() {
        Some(text) => text.to_owned(),
        None => {
            " ".repeat(usize::try_from(width.as_i64().unwrap_or(4).clamp(0, 1_000)).unwrap_or(0))
        }
    };
    charge(state, weight(value))?;
    let text = str_of(value).into_owned() + "\n";
    let count = methods::lines(&text, false).count() as u64 + 1;
    charge_new(
        state,
        count
            .saturating_mul(prefix.len() as u64)
            .saturating_add(text.len() as u64),
    )?;
    let mut out = String::new();
    for (index, line) in methods::lines(&text, false).enumerate() {
        if index > 0 {
            out.push('\n');
        }
        if (index == 0 && first) || (index > 0 && (blank || !line.is_empty())) {
            out.push_str(&prefix);
        }
        out.push_str(line);
    }
    Ok(Value::from(out))
}

fn list_filters(env: &mut Environment<'static>) {
    for name in ["length", "count"] {
        env.add_filter(name, |state: &State, value: &Value| {
            charge(state, value.as_str().map_or(0, |text| text.len() as u64))?;
            match value.len() {
                Some(length) => Ok(length),
                None if value.is_undefined() => Ok(0),
                None => Err(invalid(format!(
                    "a value of type {} has no length",
                    value.kind()
                ))),
            }
        });
    }
    env.add_filter("list", |state: &State, value: &Value| {
        charge(state, weight(value))?;
        list(state, value.try_iter()?)
    });
    env.add_filter("items", |state: &State, value: &Value| match value.kind() {
        ValueKind::Map => methods::items(state, value),
        ValueKind::Undefined => list(state, []),
        kind => Err(invalid(format!(
            "items takes a mapping, not a value of type {kind}"
        ))),
    });
    env.add_filter("first", |state: &State, value: &Value| {
        charge(state, NODE)?;
        Ok::<_, Error>(value.try_iter()?.next().unwrap_or(Value::UNDEFINED))
    });
    env.add_filter("reverse", |state: &State, value: &Value| {
        charge(state, weight(value))?;
        match value.as_str() {
            Some(text) => Ok(Value::from(text.chars().rev().collect::<String>())),
            None => {
                let mut items: Vec<Value> = value.try_iter()?.collect();
                items.reverse();
                list(state, items)
            }
        }
    });
    env.add_filter("sum", |state: &State, values: &Value, named: Kwargs| {
        let attribute: Option<&str> = named.get("attribute")?;
        let start: Option<Value> = named.get("start")?;
        named.assert_all_used()?;
        let mut total = start.unwrap_or_else(|| Value::from(0));
        for value in values.try_iter()? {
            let value = attribute.map_or(Ok(value.clone()), |name| value.get_attr(name))?;
            total = state.apply_filter("op+", &[total, value])?;
        }
        Ok::<_, Error>(total)
    });
    env.add_filter(
        "join",
        |state: &State, values: &Value, between: Option<Value>, named: Kwargs| {
            let between = between
                .or(named.get("d")?)
                .unwrap_or_else(|| Value::from(""));
            let attribute: Option<&str> = named.get("attribute")?;
            named.assert_all_used()?;
            charge(state, weight(values))?;
            let between = str_of(&between);
            match attribute {
                None => methods::join(state, values.try_iter()?, &between),
                Some(name) => {
                    let items = values.try_iter()?.map(|item| item.get_attr(name));
                    let items = items.collect::<Result<Vec<_>, _>>()?;
                    methods::join(state, items.into_iter(), &between)
                }
            }
        },
    );
}

fn invalid(text: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, text.into())
}

fn add_tests(env: &mut Environment<'static>) {
    let is_sequence = |value: &Value| {
        value.as_str().is_some()
            || matches!(
                value.kind(),
                ValueKind::Seq | ValueKind::Map | ValueKind::Iterable
            )
    };
    env.add_test("sequence", is_sequence);
    env.add_test("iterable", move |value: &Value| {
        value.is_undefined() || is_sequence(value)
    });
    env.add_test("mapping", tests::is_mapping);
    env.add_test("string", tests::is_string);
    env.add_test("boolean", tests::is_boolean);
    env.add_test("integer", |value: &Value| value.is_integer());
    env.add_test("float", |value: &Value| {
        value.is_number() && !value.is_integer()
    });
    env.add_test("number", |value: &Value| {
        value.is_number() || value.kind() == ValueKind::Bool
    });
    env.add_test("callable", |value: &Value| value.kind() == ValueKind::Plain);
    env.add_test("defined", tests::is_defined);
    env.add_test("undefined", tests::is_undefined);
    env.add_test("none", tests::is_none);
    env.add_test("true", tests::is_true);
    env.add_test("false", tests::is_false);
    env.add_test("odd", tests::is_odd);
    env.add_test("even", tests::is_even);
    env.add_test("divisibleby", tests::is_divisibleby);
    env.add_test("lower", tests::is_lower);
    env.add_test("upper", tests::is_upper);
    env.add_test("sameas", tests::is_sameas);
    env.add_test("in", tests::is_in);
    env.add_test("filter", tests::is_filter);
    env.add_test("test", tests::is_test);
    let comparisons: [(&[&str], Value); 6] = [
        (&["eq", "equalto", "=="], Value::from_function(tests::is_eq)),
        (&["ne", "!="], Value::from_function(tests::is_ne)),
        (&["lt", "lessthan", "<"], Value::from_function(tests::is_lt)),
        (&["le", "<="], Value::from_function(tests::is_le)),
        (
            &["gt", "greaterthan", ">"],
            Value::from_function(tests::is_gt),
        ),
        (&["ge", ">="], Value::from_function(tests::is_ge)),
    ];
    for (names, run) in comparisons {
        for &name in names {
            let run = run.clone();
            env.add_test(name, move |state: &State, a: Value, b: Value| {
                run.call(state, &[a, b]).map(|v| v.is_true())
            });
        }
    }
}

fn add_functions(env: &mut Environment<'static>) {
    env.add_function(
        "range",
        |state: &State, low: i64, high: Option<i64>, step: Option<i64>| {
            let (low, high, step) = match high {
                Some(high) => (low, high, step.unwrap_or(1)),
                None => (0, low, 1),
            };
            if step == 0 {
                return Err(invalid("the step of range is 0"));
            }
            let next = move |at: &i64| at.checked_add(step);
            let inside = move |at: &i64| if step > 0 { *at < high } else { *at > high };
            let values = std::iter::successors(Some(low), next).take_while(inside);
            let taken: Vec<Value> = values
                .take(MAX_RANGE as usize + 1)
                .map(Value::from)
                .collect();
            if taken.len() > MAX_RANGE as usize {
                return Err(Stop::limit(format!(
                    "range makes more than {MAX_RANGE} items"
                )));
            }
            list(state, taken)
        },
    );
    env.add_function(
        "dict",
        |state: &State, from: Option<Value>, named: Kwargs| {
            let from = from.filter(|value| !value.is_undefined());
            let pairs = from
                .as_ref()
                .and_then(|value| value.as_object()?.try_iter_pairs());
            let named_pairs = named
                .args()
                .map(|name| Ok((Value::from(name), named.get::<Value>(name)?)));
            let named_pairs = named_pairs.collect::<Result<Vec<_>, Error>>()?;
            dict(state, pairs.into_iter().flatten().chain(named_pairs))
        },
    );
    env.add_function(
        "namespace",
        |state: &State, from: Option<Value>, named: Kwargs| {
            let mut pairs: Vec<(Value, Value)> = Vec::new();
            if let Some(object) = from.as_ref().and_then(Value::as_object) {
                pairs.extend(object.try_iter_pairs().into_iter().flatten());
            }
            for name in named.args() {
                pairs.push((Value::from(name), named.get::<Value>(name)?));
            }
            for (_, value) in &mut pairs {
                *value = state.apply_filter("op:store", std::slice::from_ref(value))?;
            }
            charge(state, NODE * pairs.len() as u64)?;
            functions::namespace(Some(Value::from_iter(pairs)))
        },
    );
    env.add_function(
        "raise_exception",
        |message: &Value| -> Result<Value, Error> { Err(Stop::raised(str_of(message))) },
    );
}

/// Values that the caller passes in, frozen once.
pub(crate) fn input(value: &serde_json::Value) -> Result<Value, Error> {
    super::values::freeze_unmetered(&Value::from_serialize(value))
}
