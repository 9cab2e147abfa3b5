//! Fields of a body, taken one by one, so that none is dropped in silence.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::edge::refusal::{Kind, Refusal};

/// A JSON object whose fields are taken out as they are understood. What is left at the end was not.
///
/// `null` is the same as absent.
#[derive(Clone, Debug, Default)]
pub struct Fields {
    /// Where the object stands in the body: `options`, `messages[2]`; empty for the body itself.
    at: String,
    rest: Map<String, Value>,
}

impl Fields {
    /// The fields of the body itself.
    pub fn new(rest: Map<String, Value>) -> Self {
        Self::at("", rest)
    }

    /// The fields of an object inside the body.
    pub fn at(path: impl Into<String>, rest: Map<String, Value>) -> Self {
        Self {
            at: path.into(),
            rest,
        }
    }

    /// Takes a field of a type; `None` where it is absent or `null`.
    ///
    /// # Errors
    /// The value is of another type; the refusal names the field.
    pub fn take<T: DeserializeOwned>(&mut self, name: &str) -> Result<Option<T>, Refusal> {
        let Some(value) = self.value(name) else {
            return Ok(None);
        };
        serde_json::from_value(value).map(Some).map_err(|error| {
            let path = self.path(name);
            Refusal::invalid(path.clone(), format!("field '{path}': {error}"))
        })
    }

    /// Takes a field that has to be there.
    ///
    /// # Errors
    /// It is absent, `null`, or of another type.
    pub fn require<T: DeserializeOwned>(&mut self, name: &str) -> Result<T, Refusal> {
        self.take(name)?.ok_or_else(|| {
            let path = self.path(name);
            Refusal::invalid(path.clone(), format!("field '{path}' is required"))
        })
    }

    /// Takes an object as fields of its own.
    ///
    /// # Errors
    /// The value is no object.
    pub fn object(&mut self, name: &str) -> Result<Option<Self>, Refusal> {
        let path = self.path(name);
        Ok(self
            .take::<Map<String, Value>>(name)?
            .map(|rest| Self::at(path, rest)))
    }

    /// Takes a field as it is; `None` where it is absent or `null`.
    pub fn value(&mut self, name: &str) -> Option<Value> {
        // The order of the others is kept: it is the order in which they are reported.
        self.rest
            .shift_remove(name)
            .filter(|value| !value.is_null())
    }

    /// Whether a field is there and not `null`.
    pub fn has(&self, name: &str) -> bool {
        self.rest.get(name).is_some_and(|value| !value.is_null())
    }

    /// Takes fields that are known and mean nothing here.
    pub fn ignore(&mut self, names: &[&str]) {
        for name in names {
            self.rest.shift_remove(*name);
        }
    }

    /// The paths of the fields that nobody took, in the order of the body. `null` ones count as absent.
    pub fn unknown(&self) -> Vec<String> {
        self.rest
            .iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(name, _)| self.path(name))
            .collect()
    }

    /// Refuses what nobody took, where the caller asked for that.
    ///
    /// # Errors
    /// A field is left.
    pub fn deny_unknown(&self) -> Result<(), Refusal> {
        match self.unknown().as_slice() {
            [] => Ok(()),
            [first, ..] => Err(Refusal {
                code: Some("unknown_parameter".to_owned()),
                param: Some(first.clone()),
                ..Refusal::new(Kind::Invalid, format!("field '{first}' is not known here"))
            }),
        }
    }

    fn path(&self, name: &str) -> String {
        if self.at.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.at)
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fields(value: Value) -> Fields {
        Fields::new(value.as_object().unwrap().clone())
    }

    #[test]
    fn what_nobody_took_is_reported_in_order() {
        let mut body = fields(
            json!({"model": "m", "z": 1, "a": 2, "n": null, "options": {"top_k": 1, "oops": 2}}),
        );
        assert_eq!(body.require::<String>("model").unwrap(), "m");
        let mut options = body.object("options").unwrap().unwrap();
        assert_eq!(options.take::<u32>("top_k").unwrap(), Some(1));
        assert_eq!(options.unknown(), ["options.oops"]);
        assert_eq!(body.unknown(), ["z", "a"]);
        assert_eq!(body.deny_unknown().unwrap_err().param.as_deref(), Some("z"));
        body.ignore(&["z", "a"]);
        body.deny_unknown().unwrap();
    }

    #[test]
    fn null_is_absent_and_a_wrong_type_names_its_field() {
        let mut body = fields(json!({"temperature": null, "options": {"top_k": "many"}}));
        assert!(!body.has("temperature"));
        assert_eq!(body.take::<f32>("temperature").unwrap(), None);
        let mut options = body.object("options").unwrap().unwrap();
        let refusal = options.take::<u32>("top_k").unwrap_err();
        assert_eq!(refusal.param.as_deref(), Some("options.top_k"));
        assert!(
            refusal.message.contains("invalid type: string \"many\""),
            "{refusal}"
        );
        assert!(
            body.require::<String>("model")
                .unwrap_err()
                .message
                .contains("'model' is required")
        );
    }
}
