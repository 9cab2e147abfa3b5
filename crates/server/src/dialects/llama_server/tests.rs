//! What clients send and what they are told.

use serde_json::{Map, Value};

use super::*;
use crate::core::Failure;

mod answers;
mod others;
mod requests;

fn body(value: Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}

fn refused<T: std::fmt::Debug>(result: Result<T, Failure>) -> (String, String) {
    match result.unwrap_err() {
        Failure::Invalid { field, message } => (field, message),
        other => panic!("{other:?}"),
    }
}
