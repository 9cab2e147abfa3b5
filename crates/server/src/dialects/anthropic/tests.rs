//! What clients send and what they are told, from recordings and from the documentation.

use serde_json::{Map, Value};

use super::*;
use crate::core::Failure;
use crate::core::request::{Chat, Input};

mod answers;
mod errors;
mod requests;

fn body(value: Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}

fn chat(asked: &Asked) -> &Chat {
    match &asked.request.input {
        Input::Chat(chat) => chat,
        other => panic!("{other:?}"),
    }
}

fn refused(result: Result<Asked, Failure>) -> (String, String) {
    match result.unwrap_err() {
        Failure::Invalid { field, message } => (field, message),
        other => panic!("{other:?}"),
    }
}
