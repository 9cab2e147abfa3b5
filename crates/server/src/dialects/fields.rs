//! The fields of a body, taken out one by one: what is left at the end was not understood.

use serde_json::{Map, Value};

use crate::core::Failure;

/// A JSON object whose fields are taken out as they are understood.
///
/// `null` is the same as absent. A field of the wrong type is refused by its path. Numbers without a fraction are
/// integers however they are written (`3.0`).
#[derive(Clone, Debug, Default)]
pub struct Fields {
    /// Where the object stands in the body: `options`, `messages[2]`; empty for the body itself.
    at: String,
    map: Map<String, Value>,
}

/// The largest float below which every whole number is exact.
const EXACT: f64 = 9_007_199_254_740_992.0;

impl Fields {
    /// The fields of a body.
    pub fn new(map: Map<String, Value>) -> Self {
        Self::at("", map)
    }

    /// The fields of an object inside the body, with its path: `options`, `messages[2]`.
    pub fn at(path: impl Into<String>, map: Map<String, Value>) -> Self {
        Self {
            at: path.into(),
            map,
        }
    }

    /// The fields of a value that stands at a path.
    ///
    /// # Errors
    /// It is no object.
    pub fn of(path: impl Into<String>, value: Value) -> Result<Self, Failure> {
        let path = path.into();
        match value {
            Value::Object(map) => Ok(Self::at(path, map)),
            other => Err(wrong(&path, "an object", &other)),
        }
    }

    /// Whether a field is there and not `null`.
    pub fn has(&self, name: &str) -> bool {
        self.map.get(name).is_some_and(|value| !value.is_null())
    }

    /// The path of a field in the body: `options.top_k`.
    pub fn path(&self, name: &str) -> String {
        if self.at.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.at)
        }
    }

    /// Takes a field as it is.
    pub fn take_value(&mut self, name: &str) -> Option<Value> {
        // The order of the others is kept: it is the order in which they are reported.
        self.map.shift_remove(name).filter(|value| !value.is_null())
    }

    /// Takes a string.
    ///
    /// # Errors
    /// It is something else.
    pub fn take_str(&mut self, name: &str) -> Result<Option<String>, Failure> {
        self.take(name, "a string", |value| match value {
            Value::String(text) => Ok(text),
            other => Err(other),
        })
    }

    /// Takes a string that has to be there.
    ///
    /// # Errors
    /// It is absent or something else.
    pub fn require_str(&mut self, name: &str) -> Result<String, Failure> {
        self.take_str(name)?.ok_or_else(|| self.missing(name))
    }

    /// Takes a boolean.
    ///
    /// # Errors
    /// It is something else.
    pub fn take_bool(&mut self, name: &str) -> Result<Option<bool>, Failure> {
        self.take(name, "true or false", |value| match value {
            Value::Bool(flag) => Ok(flag),
            other => Err(other),
        })
    }

    /// Takes a number. It is finite: JSON has no others.
    ///
    /// # Errors
    /// It is something else.
    pub fn take_f64(&mut self, name: &str) -> Result<Option<f64>, Failure> {
        self.take(name, "a number", |value| {
            value.as_f64().filter(|n| n.is_finite()).ok_or(value)
        })
    }

    /// Takes an integer of any sign.
    ///
    /// # Errors
    /// It is something else, has a fraction, or is too large.
    pub fn take_i64(&mut self, name: &str) -> Result<Option<i64>, Failure> {
        self.take(name, "an integer", |value| integer(&value).ok_or(value))
    }

    /// Takes an integer that is not negative.
    ///
    /// # Errors
    /// It is something else, has a fraction, is negative or too large.
    pub fn take_u64(&mut self, name: &str) -> Result<Option<u64>, Failure> {
        self.take(name, "an integer of 0 or more", |value| {
            let number = value
                .as_u64()
                .or_else(|| integer(&value).and_then(|n| u64::try_from(n).ok()));
            number.ok_or(value)
        })
    }

    /// Takes a count.
    ///
    /// # Errors
    /// It is something else, has a fraction, is negative or too large.
    pub fn take_usize(&mut self, name: &str) -> Result<Option<usize>, Failure> {
        let path = self.path(name);
        self.take_u64(name)?
            .map(|number| {
                usize::try_from(number)
                    .map_err(|_| Failure::invalid(&path, format!("{path} is too large: {number}")))
            })
            .transpose()
    }

    /// Takes a list.
    ///
    /// # Errors
    /// It is something else.
    pub fn take_list(&mut self, name: &str) -> Result<Option<Vec<Value>>, Failure> {
        self.take(name, "a list", |value| match value {
            Value::Array(list) => Ok(list),
            other => Err(other),
        })
    }

    /// Takes an object as it is.
    ///
    /// # Errors
    /// It is something else.
    pub fn take_map(&mut self, name: &str) -> Result<Option<Map<String, Value>>, Failure> {
        self.take(name, "an object", |value| match value {
            Value::Object(map) => Ok(map),
            other => Err(other),
        })
    }

    /// Takes an object as fields of its own.
    ///
    /// # Errors
    /// It is something else.
    pub fn take_fields(&mut self, name: &str) -> Result<Option<Self>, Failure> {
        let path = self.path(name);
        Ok(self.take_map(name)?.map(|map| Self::at(path, map)))
    }

    /// Takes a list of strings; one string is a list of one.
    ///
    /// # Errors
    /// It is something else, or an item is.
    pub fn take_strings(&mut self, name: &str) -> Result<Option<Vec<String>>, Failure> {
        let path = self.path(name);
        let list = match self.take_value(name) {
            None => return Ok(None),
            Some(Value::String(text)) => return Ok(Some(vec![text])),
            Some(Value::Array(list)) => list,
            Some(other) => return Err(wrong(&path, "a string or a list of strings", &other)),
        };
        let texts = list.into_iter().enumerate().map(|(index, value)| {
            let path = format!("{path}[{index}]");
            match value {
                Value::String(text) => Ok(text),
                other => Err(wrong(&path, "a string", &other)),
            }
        });
        texts.collect::<Result<_, _>>().map(Some)
    }

    /// Takes fields that are known and change nothing here.
    pub fn ignore(&mut self, names: &[&str]) {
        for name in names {
            self.map.shift_remove(*name);
        }
    }

    /// The paths of the fields that nobody took and that are not `null`, in the order of the body.
    pub fn rest(&self) -> Vec<String> {
        let left = self.map.iter().filter(|(_, value)| !value.is_null());
        left.map(|(name, _)| self.path(name)).collect()
    }

    /// What nobody took, as it is.
    pub fn into_rest(self) -> Map<String, Value> {
        self.map
    }

    /// The refusal for a field that is not there.
    pub fn missing(&self, name: &str) -> Failure {
        let path = self.path(name);
        Failure::invalid(&path, format!("{path} is required"))
    }

    /// The refusal for a field whose value cannot be: `problem` follows the path.
    pub fn refuse(&self, name: &str, problem: impl std::fmt::Display) -> Failure {
        let path = self.path(name);
        Failure::invalid(&path, format!("{path} {problem}"))
    }

    fn take<T>(
        &mut self,
        name: &str,
        expected: &str,
        read: impl FnOnce(Value) -> Result<T, Value>,
    ) -> Result<Option<T>, Failure> {
        let Some(value) = self.take_value(name) else {
            return Ok(None);
        };
        read(value)
            .map(Some)
            .map_err(|found| wrong(&self.path(name), expected, &found))
    }
}

/// A number without a fraction, however it is written.
pub fn integer(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| {
        let float = value.as_f64()?;
        // Beyond that a float stands for several integers.
        (float.fract() == 0.0 && float.abs() <= EXACT).then_some(float as i64)
    })
}

/// The refusal of a value of another type than expected, by its path.
pub fn wrong(path: &str, expected: &str, found: &Value) -> Failure {
    Failure::invalid(
        path,
        format!("{path} must be {expected}, got {}", describe(found)),
    )
}

/// What a value is, in words; numbers as they are.
fn describe(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(_) => "a string".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn fields(value: Value) -> Fields {
        Fields::of("", value).unwrap()
    }

    fn told<T: std::fmt::Debug>(result: Result<T, Failure>) -> (String, String) {
        match result.unwrap_err() {
            Failure::Invalid { field, message } => (field, message),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_nobody_took_is_told_in_order() {
        let mut body = fields(
            json!({"model": "m", "z": 1, "a": 2, "n": null, "options": {"top_k": 1, "oops": 2}}),
        );
        assert_eq!(body.require_str("model").unwrap(), "m");
        let mut options = body.take_fields("options").unwrap().unwrap();
        assert_eq!(options.take_u64("top_k").unwrap(), Some(1));
        assert_eq!(options.rest(), ["options.oops"]);
        assert_eq!(body.rest(), ["z", "a"]);
        body.ignore(&["z"]);
        assert_eq!(body.rest(), ["a"]);
    }

    #[test]
    fn null_is_absent() {
        let mut body = fields(json!({"x": null}));
        assert!(!body.has("x"));
        assert_eq!(body.take_str("x").unwrap(), None);
        assert_eq!(told(body.require_str("x")).1, "x is required");
    }

    #[test]
    fn integers_may_be_written_as_floats() {
        for (value, unsigned, signed) in [
            (json!(3), Some(3), Some(3)),
            (json!(3.0), Some(3), Some(3)),
            (json!(-1), None, Some(-1)),
            (json!(-1.0), None, Some(-1)),
            (json!(3.5), None, None),
            (json!(1e300), None, None),
            (json!(u64::MAX), Some(u64::MAX), None),
            (json!("3"), None, None),
        ] {
            let body = fields(json!({ "x": value }));
            assert_eq!(
                body.clone().take_u64("x").ok().flatten(),
                unsigned,
                "{value}"
            );
            assert_eq!(body.clone().take_i64("x").ok().flatten(), signed, "{value}");
        }
    }

    #[test]
    fn a_wrong_type_is_refused_by_its_path() {
        let body = Fields::of(
            "options",
            json!({"s": 1, "n": "a", "u": -2, "b": {}, "l": "a", "m": [], "t": ["a", 1]}),
        )
        .unwrap();
        let mut body = body;
        for ((field, message), path, expected) in [
            (
                told(body.take_str("s")),
                "options.s",
                "must be a string, got 1",
            ),
            (
                told(body.take_f64("n")),
                "options.n",
                "must be a number, got a string",
            ),
            (
                told(body.take_u64("u")),
                "options.u",
                "must be an integer of 0 or more, got -2",
            ),
            (
                told(body.take_bool("b")),
                "options.b",
                "must be true or false, got an object",
            ),
            (
                told(body.take_list("l")),
                "options.l",
                "must be a list, got a string",
            ),
            (
                told(body.take_fields("m")),
                "options.m",
                "must be an object, got a list",
            ),
            (
                told(body.take_strings("t")),
                "options.t[1]",
                "must be a string, got 1",
            ),
        ] {
            assert_eq!(field, path);
            assert_eq!(message, format!("{path} {expected}"));
        }
    }

    #[test]
    fn one_string_is_a_list_of_one() {
        let mut body = fields(json!({"a": "x", "b": ["x", "y"], "c": []}));
        assert_eq!(body.take_strings("a").unwrap(), Some(vec!["x".to_owned()]));
        assert_eq!(body.take_strings("b").unwrap().unwrap().len(), 2);
        assert_eq!(body.take_strings("c").unwrap(), Some(vec![]));
    }

    proptest! {
        #[test]
        fn floats_that_are_integers_are_read_exactly(n in -(1i64 << 53)..(1i64 << 53)) {
            let mut body = fields(json!({ "x": n as f64 }));
            prop_assert_eq!(body.take_i64("x").unwrap(), Some(n));
        }
    }
}
