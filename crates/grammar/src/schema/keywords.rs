//! The keywords of JSON Schema and what is done with each.

use serde_json::{Number, Value};

/// What a keyword holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keyword {
    /// A schema.
    Schema,
    /// A list of schemas that combine or choose.
    Choices,
    /// A list of schemas, or (in old drafts) one.
    Items,
    /// Schemas by name.
    Map,
    /// A reference to a schema.
    Reference,
    /// A value that is passed on.
    Value(Check),
    /// Says nothing about the answer, or is read where it is needed.
    Silent,
}

/// What a passed-on value must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Check {
    Anything,
    Values,
    Types,
    Names,
    /// A count that may be left out where it is large.
    AtMost,
    AtLeast,
    /// A number that others are compared to; in draft 4 also whether the comparison excludes it.
    Bound {
        /// Whether values lie above it.
        lower: bool,
        flag: bool,
    },
    Step,
    Pattern,
    Format,
}

/// Every keyword that is not reported as ignored.
const KEYWORDS: &[(&str, Keyword)] = &[
    ("properties", Keyword::Map),
    ("patternProperties", Keyword::Map),
    ("additionalProperties", Keyword::Schema),
    ("items", Keyword::Items),
    ("additionalItems", Keyword::Schema),
    ("prefixItems", Keyword::Choices),
    ("allOf", Keyword::Choices),
    ("anyOf", Keyword::Choices),
    ("oneOf", Keyword::Choices),
    ("$ref", Keyword::Reference),
    ("$recursiveRef", Keyword::Reference),
    ("$dynamicRef", Keyword::Reference),
    ("const", Keyword::Value(Check::Anything)),
    ("enum", Keyword::Value(Check::Values)),
    ("type", Keyword::Value(Check::Types)),
    ("required", Keyword::Value(Check::Names)),
    ("minProperties", Keyword::Value(Check::AtLeast)),
    ("maxProperties", Keyword::Value(Check::AtMost)),
    ("minItems", Keyword::Value(Check::AtLeast)),
    ("maxItems", Keyword::Value(Check::AtMost)),
    ("minLength", Keyword::Value(Check::AtLeast)),
    ("maxLength", Keyword::Value(Check::AtMost)),
    ("minimum", bound(true, false)),
    ("maximum", bound(false, false)),
    ("exclusiveMinimum", bound(true, true)),
    ("exclusiveMaximum", bound(false, true)),
    ("multipleOf", Keyword::Value(Check::Step)),
    ("pattern", Keyword::Value(Check::Pattern)),
    ("format", Keyword::Value(Check::Format)),
    ("$defs", Keyword::Silent),
    ("definitions", Keyword::Silent),
    ("$schema", Keyword::Silent),
    ("$vocabulary", Keyword::Silent),
    ("$id", Keyword::Silent),
    ("id", Keyword::Silent),
    ("$anchor", Keyword::Silent),
    ("$dynamicAnchor", Keyword::Silent),
    ("$recursiveAnchor", Keyword::Silent),
    ("$comment", Keyword::Silent),
    ("title", Keyword::Silent),
    ("description", Keyword::Silent),
    ("default", Keyword::Silent),
    ("example", Keyword::Silent),
    ("examples", Keyword::Silent),
    ("deprecated", Keyword::Silent),
    ("readOnly", Keyword::Silent),
    ("writeOnly", Keyword::Silent),
    ("contentMediaType", Keyword::Silent),
    ("contentEncoding", Keyword::Silent),
    ("contentSchema", Keyword::Silent),
    ("nullable", Keyword::Silent),
    ("discriminator", Keyword::Silent),
    ("externalDocs", Keyword::Silent),
    ("xml", Keyword::Silent),
];

const fn bound(lower: bool, flag: bool) -> Keyword {
    Keyword::Value(Check::Bound { lower, flag })
}

const TYPES: &[&str] = &[
    "object", "array", "string", "number", "integer", "boolean", "null",
];

/// The formats that the engine has expressions for.
const FORMATS: &[&str] = &[
    "date-time",
    "time",
    "date",
    "duration",
    "email",
    "hostname",
    "ipv4",
    "ipv6",
    "uuid",
    "uri",
];

/// A longer bound is no bound: no answer is that long.
const LARGEST_COUNT: u64 = 1_000_000;

impl Keyword {
    pub(super) fn of(name: &str) -> Option<Self> {
        let found = KEYWORDS.iter().find(|(keyword, _)| *keyword == name);
        found.map(|&(_, keyword)| keyword)
    }
}

/// What becomes of a value.
pub(super) enum Checked {
    Kept(Value),
    /// Left out, with the reason.
    Ignored(String),
    /// Left out; it would not change anything.
    Dropped,
    Wrong(String),
}

impl Check {
    pub(super) fn apply(self, value: &Value) -> Checked {
        let kept = |fits: bool, expected: &str| match fits {
            true => Checked::Kept(value.clone()),
            false => Checked::Wrong(format!("expected {expected}, found {}", brief(value))),
        };
        match self {
            Self::Anything => exact(value),
            Self::Values => match value.as_array().is_some_and(|list| !list.is_empty()) {
                true => exact(value),
                false => kept(false, "a list of at least one value"),
            },
            Self::Types => kept(are_types(value), &format!("one of {TYPES:?} or a list")),
            Self::Names => kept(
                value
                    .as_array()
                    .is_some_and(|list| list.iter().all(Value::is_string)),
                "a list of names",
            ),
            Self::AtLeast | Self::AtMost => self.count(value),
            Self::Bound { flag: true, .. } if value.is_boolean() => Checked::Kept(value.clone()),
            Self::Bound { lower, .. } => bounded_by(value, lower),
            Self::Step => step(value),
            Self::Pattern => match value.as_str().map(check_pattern) {
                None => kept(false, "a regular expression"),
                Some(Ok(())) => Checked::Kept(value.clone()),
                Some(Err(reason)) => Checked::Wrong(reason),
            },
            Self::Format => match value.as_str() {
                None => kept(false, "the name of a format"),
                Some(name) if FORMATS.contains(&name) => Checked::Kept(value.clone()),
                Some(name) => Checked::Ignored(format!("format `{name}`")),
            },
        }
    }

    fn count(self, value: &Value) -> Checked {
        let number = value.as_number().and_then(natural);
        match (number, self) {
            (None, _) => Checked::Wrong(format!(
                "expected a whole number from 0, found {}",
                brief(value)
            )),
            (Some(count), Self::AtMost) if count > LARGEST_COUNT => Checked::Dropped,
            (Some(count), _) if count > LARGEST_COUNT => Checked::Wrong(format!(
                "at least {count} is more than any answer has; expected at most {LARGEST_COUNT}"
            )),
            (Some(count), _) => Checked::Kept(count.into()),
        }
    }
}

/// The engine compares in 64 bits. A bound beyond them that no number of an answer reaches says nothing.
fn bounded_by(value: &Value, lower: bool) -> Checked {
    const LARGEST: f64 = 9e18;
    /// Of what lies beyond a bound, the engine writes out the numbers with as many digits.
    const LARGEST_LEAST: f64 = 9e17;
    match value.as_f64() {
        None => Checked::Wrong(format!("expected a number, found {}", brief(value))),
        Some(bound) if (bound < 0.0) == lower => match bound.abs() <= LARGEST {
            true => Checked::Kept(value.clone()),
            false => Checked::Dropped,
        },
        Some(bound) if bound.abs() <= LARGEST_LEAST => Checked::Kept(value.clone()),
        Some(_) => Checked::Wrong(format!(
            "expected a bound within ±{LARGEST_LEAST:e}, found {value}"
        )),
    }
}

/// The engine has a state for each remainder, so steps of many digits are not followed.
fn step(value: &Value) -> Checked {
    const LONGEST: usize = 12;
    const LARGEST: u64 = 100_000;
    let Some(float) = value.as_f64().filter(|&step| step > 0.0) else {
        let found = brief(value);
        return Checked::Wrong(format!("expected a number above 0, found {found}"));
    };
    let text = value.to_string();
    let digits = text.replace('.', "");
    let digits = digits.trim_matches('0').parse::<u64>();
    match digits {
        Ok(digits) if digits <= LARGEST && text.len() <= LONGEST && scales(float) => {
            Checked::Kept(value.clone())
        }
        _ => Checked::Ignored(format!("`multipleOf` {text}, of too many digits")),
    }
}

/// Whether the engine finds the digits of a step, which it multiplies by ten until nothing is left behind the point.
fn scales(step: f64) -> bool {
    let mut scaled = step;
    while scaled.fract() != 0.0 {
        scaled *= 10.0;
    }
    scaled <= f64::from(u32::MAX)
}

/// A value to be written as it stands; the engine holds numbers as f64.
fn exact(value: &Value) -> Checked {
    let mut pending = vec![value];
    while let Some(value) = pending.pop() {
        match value {
            Value::Array(list) => pending.extend(list),
            Value::Object(map) => pending.extend(map.values()),
            Value::Number(number) if !number.is_f64() => {
                let held = number.as_f64().map(|float| format!("{float:.0}"));
                if held.as_deref() != Some(&*number.to_string()) {
                    return Checked::Wrong(format!(
                        "the number {number} has too many digits; expected at most 2^53, or a string"
                    ));
                }
            }
            _ => {}
        }
    }
    Checked::Kept(value.clone())
}

/// JSON has one kind of number: 3.0 is a count.
fn natural(number: &Number) -> Option<u64> {
    let float = || number.as_f64().filter(|f| f.fract() == 0.0 && *f >= 0.0);
    number.as_u64().or_else(|| float().map(|f| f as u64))
}

fn are_types(value: &Value) -> bool {
    let is_type = |value: &Value| value.as_str().is_some_and(|name| TYPES.contains(&name));
    match value {
        Value::Array(list) => !list.is_empty() && list.iter().all(is_type),
        _ => is_type(value),
    }
}

/// Whether the engine can compile a pattern: no look-around, no back-references.
fn check_pattern(pattern: &str) -> Result<(), String> {
    const LONGEST: usize = 16 << 10;
    if pattern.len() > LONGEST {
        let length = pattern.len();
        return Err(format!(
            "a pattern of {length} bytes; expected at most {LONGEST}"
        ));
    }
    let mut builder = llguidance::derivre::RegexBuilder::new();
    builder
        .mk_regex_for_serach(&llguidance::regex_to_lark(pattern, "dw"))
        .map(drop)
        .map_err(|error| {
            let reason = crate::error::plain(error);
            format!("pattern {pattern:?}: {reason}")
        })
}

/// A value as it is shown in a message.
pub(super) fn brief(value: &Value) -> String {
    const LONGEST: usize = 60;
    match value {
        Value::Object(_) => "an object".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        _ => {
            let text = value.to_string();
            match text.char_indices().nth(LONGEST) {
                Some((end, _)) => format!("{}…", &text[..end]),
                None => text,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_keyword_stands_once() {
        for (index, (name, _)) in KEYWORDS.iter().enumerate() {
            let first = KEYWORDS.iter().position(|(other, _)| other == name);
            assert_eq!(first, Some(index), "{name}");
        }
    }

    const LOWER: Check = Check::Bound {
        lower: true,
        flag: true,
    };

    #[test]
    fn values_are_kept_left_out_or_refused() {
        for (check, value, expected) in [
            (Check::Types, json!("integer"), "kept"),
            (Check::Types, json!(["string", "null"]), "kept"),
            (Check::Types, json!([]), "wrong"),
            (Check::Types, json!("int"), "wrong"),
            (Check::AtMost, json!(3.0), "kept"),
            (Check::AtMost, json!(3.5), "wrong"),
            (Check::AtMost, json!(-1), "wrong"),
            (Check::AtMost, json!(1e300), "dropped"),
            (Check::AtLeast, json!(1e300), "wrong"),
            (Check::Format, json!("uuid"), "kept"),
            (Check::Format, json!("int32"), "ignored"),
            (Check::Pattern, json!("^a+$"), "kept"),
            (Check::Pattern, json!("(?=a)"), "wrong"),
            (Check::Pattern, json!("(a)\\1"), "wrong"),
            (Check::Pattern, json!("("), "wrong"),
            (Check::Pattern, json!(3), "wrong"),
            (Check::Values, json!([]), "wrong"),
            (Check::Values, json!([null]), "kept"),
            (Check::Names, json!(["a", 1]), "wrong"),
            (
                Check::Anything,
                json!({"a": [9_007_199_254_740_993_i64]}),
                "wrong",
            ),
            (Check::Anything, json!([0.1, u64::MAX - 2047, -3]), "kept"),
            (Check::Step, json!(0), "wrong"),
            (Check::Step, json!(0.01), "kept"),
            (Check::Step, json!(1e9), "kept"),
            (Check::Step, json!(0.07), "ignored"),
            (Check::Step, json!(1e300), "ignored"),
            (Check::Step, json!(4_294_967_291_u64), "ignored"),
            (LOWER, json!(true), "kept"),
            (LOWER, json!("1"), "wrong"),
            (LOWER, json!(-1e300), "dropped"),
            (LOWER, json!(1e300), "wrong"),
            (LOWER, json!(1e18), "wrong"),
            (LOWER, json!(-9e18), "kept"),
            (
                Check::Bound {
                    lower: false,
                    flag: false,
                },
                json!(1e300),
                "dropped",
            ),
            (
                Check::Bound {
                    lower: false,
                    flag: false,
                },
                json!(true),
                "wrong",
            ),
        ] {
            let found = match check.apply(&value) {
                Checked::Kept(_) => "kept",
                Checked::Ignored(_) => "ignored",
                Checked::Dropped => "dropped",
                Checked::Wrong(_) => "wrong",
            };
            assert_eq!(found, expected, "{check:?} {value}");
        }
    }
}
