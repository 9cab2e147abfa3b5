//! Lines of the input and of the output.

use serde_json::{Map, Value, json};

use crate::core::Failure;
use crate::core::request::Class;
use crate::dialects::openai::responses::items::Past;
use crate::dialects::openai::{chat, completions, embeddings, responses};
use crate::dialects::{Fields, Stamp};

/// What every line of a batch asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// `/v1/chat/completions`.
    Chat,
    /// `/v1/completions`.
    Completions,
    /// `/v1/embeddings`.
    Embeddings,
    /// `/v1/responses`.
    Responses,
}

const ENDPOINTS: &[(&str, Endpoint)] = &[
    ("/v1/chat/completions", Endpoint::Chat),
    ("/v1/completions", Endpoint::Completions),
    ("/v1/embeddings", Endpoint::Embeddings),
    ("/v1/responses", Endpoint::Responses),
];

impl Endpoint {
    /// The endpoint of a path.
    pub fn of(path: &str) -> Option<Self> {
        ENDPOINTS
            .iter()
            .find(|(known, _)| *known == path)
            .map(|(_, endpoint)| *endpoint)
    }

    /// Its path.
    pub fn path(self) -> &'static str {
        ENDPOINTS
            .iter()
            .find(|(_, endpoint)| *endpoint == self)
            .map(|(path, _)| *path)
            .expect("every endpoint has a row")
    }

    /// The paths of all, as words.
    pub(super) fn all() -> String {
        let paths: Vec<&str> = ENDPOINTS.iter().map(|(path, _)| *path).collect();
        paths.join(", ")
    }
}

/// A request of a batch that waits for its answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Pending {
    /// Its line in the input, from 1.
    pub line: usize,
    /// The client's name for it.
    pub custom_id: String,
    /// What is asked.
    pub endpoint: Endpoint,
    /// The body.
    pub body: Map<String, Value>,
}

/// Why a line is no request: OpenAI's code, the field and a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BadLine {
    pub(super) code: &'static str,
    pub(super) param: Option<&'static str>,
    pub(super) message: String,
}

fn bad(code: &'static str, param: Option<&'static str>, message: impl Into<String>) -> BadLine {
    BadLine {
        code,
        param,
        message: message.into(),
    }
}

/// Reads a line of the input.
pub(super) fn read(line: usize, text: &[u8], endpoint: Endpoint) -> Result<Pending, BadLine> {
    let value: Value = serde_json::from_slice(text).map_err(|error| {
        bad(
            "invalid_json_line",
            None,
            format!("line {line} is not JSON: {error}"),
        )
    })?;
    let mut fields = Fields::of("", value).map_err(|_| {
        bad(
            "invalid_json_line",
            None,
            format!("line {line} is not a JSON object"),
        )
    })?;
    let mut text = |name: &'static str| {
        fields.take_str(name).ok().flatten().ok_or_else(|| {
            bad(
                "missing_required_parameter",
                Some(name),
                format!("line {line}: {name} must be a string"),
            )
        })
    };
    let custom_id = text("custom_id")?;
    let url = text("url")?;
    if url != endpoint.path() {
        let message = format!(
            "line {line}: url must be {:?} as for the whole batch, got {url:?}",
            endpoint.path()
        );
        return Err(bad("mismatched_url", Some("url"), message));
    }
    match fields.take_str("method").ok().flatten().as_deref() {
        None | Some("POST") => {}
        Some(other) => {
            let message = format!("line {line}: method must be \"POST\", got {other:?}");
            return Err(bad("invalid_method", Some("method"), message));
        }
    }
    let body = fields.take_map("body").ok().flatten().ok_or_else(|| {
        bad(
            "missing_required_parameter",
            Some("body"),
            format!("line {line}: body must be an object"),
        )
    })?;
    Ok(Pending {
        line,
        custom_id,
        endpoint,
        body,
    })
}

/// A line of the output. `status` and `body` are those of the answer; its failures are told in the same way.
pub(super) fn answer(
    batch: &str,
    pending: (usize, &str),
    status: u16,
    request_id: &str,
    body: &Value,
) -> String {
    let (line, custom_id) = pending;
    let value = json!({
        "id": format!("batch_req_{batch}_{line}"),
        "custom_id": custom_id,
        "response": {"status_code": status, "request_id": request_id, "body": body},
        "error": null,
    });
    format!("{value}\n")
}

/// The line of the input that a line of the output answers.
pub(super) fn answered(text: &[u8]) -> Option<usize> {
    let value: Value = serde_json::from_slice(text).ok()?;
    value["id"].as_str()?.rsplit_once('_')?.1.parse().ok()
}

/// What there is to do for a line.
#[derive(Clone, Debug)]
pub enum Work {
    /// A chat; its answer is that of [`chat::Frames::whole`].
    Chat(Box<chat::Asked>),
    /// Texts.
    Completions(Box<completions::Completions>),
    /// Vectors.
    Embeddings(Box<embeddings::Embed>),
    /// A response.
    Responses(Box<responses::Asked>),
}

/// Reads the body of a line. Nobody waits for it: it gives way to requests that somebody waits for, and is answered whole.
///
/// # Errors
/// Those of the endpoint; the answer to the line is then `error(&failure)`.
pub fn work(pending: &Pending, stamp: &Stamp) -> Result<Work, Failure> {
    let mut body = pending.body.clone();
    if body.get("stream") == Some(&Value::Bool(true)) {
        return Err(Failure::invalid(
            "stream",
            "stream must be false in a batch",
        ));
    }
    body.remove("stream_options");
    Ok(match pending.endpoint {
        Endpoint::Chat => {
            let mut asked = chat::request(body)?;
            asked.request.class = Class::Batch;
            Work::Chat(Box::new(asked))
        }
        Endpoint::Completions => {
            let mut asked = completions::request(body)?;
            asked.asked.request.class = Class::Batch;
            asked
                .requests
                .iter_mut()
                .for_each(|request| request.class = Class::Batch);
            Work::Completions(Box::new(asked))
        }
        Endpoint::Embeddings => Work::Embeddings(Box::new(embeddings::request(body)?)),
        Endpoint::Responses => {
            if responses::request::previous(&body)?.is_some() {
                return Err(Failure::invalid(
                    "previous_response_id",
                    "previous_response_id is not supported in a batch: send the whole input",
                ));
            }
            let mut asked = responses::request(body, &Past::default(), stamp)?;
            asked.asked.request.class = Class::Batch;
            Work::Responses(Box::new(asked))
        }
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::dialects::openai::testing::stamp;

    #[test]
    fn lines() {
        let good = json!({"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "m"}});
        let read_value = |value: &Value| read(3, value.to_string().as_bytes(), Endpoint::Chat);
        let pending = read_value(&good).unwrap();
        assert_eq!((pending.line, pending.custom_id.as_str()), (3, "a"));
        assert_eq!(pending.body["model"], "m");
        for (change, code, param) in [
            (
                json!({"custom_id": null}),
                "missing_required_parameter",
                Some("custom_id"),
            ),
            (
                json!({"custom_id": 1}),
                "missing_required_parameter",
                Some("custom_id"),
            ),
            (
                json!({"url": "/v1/embeddings"}),
                "mismatched_url",
                Some("url"),
            ),
            (json!({"method": "GET"}), "invalid_method", Some("method")),
            (
                json!({"body": "x"}),
                "missing_required_parameter",
                Some("body"),
            ),
        ] {
            let mut value = good.clone();
            value
                .as_object_mut()
                .unwrap()
                .extend(change.as_object().unwrap().clone());
            let bad = read_value(&value).unwrap_err();
            assert_eq!((bad.code, bad.param), (code, param), "{value}");
            assert!(bad.message.starts_with("line 3"), "{}", bad.message);
        }
        assert_eq!(
            read(1, b"{", Endpoint::Chat).unwrap_err().code,
            "invalid_json_line"
        );
        assert_eq!(
            read(1, b"[]", Endpoint::Chat).unwrap_err().code,
            "invalid_json_line"
        );
    }

    #[test]
    fn answers_tell_their_line() {
        let text = answer("x", (7, "a\nb"), 200, "r", &json!({"k": 1}));
        assert_eq!(
            text,
            "{\"id\":\"batch_req_x_7\",\"custom_id\":\"a\\nb\",\"response\":{\"status_code\":200,\"request_id\":\"r\",\
             \"body\":{\"k\":1}},\"error\":null}\n"
        );
        assert_eq!(answered(text.as_bytes()), Some(7));
        assert_eq!(answered(b"{}"), None);
    }

    #[test]
    fn work_gives_way() {
        let pending = |endpoint: Endpoint, body: Value| Pending {
            line: 1,
            custom_id: "a".into(),
            endpoint,
            body: body.as_object().unwrap().clone(),
        };
        let chat = json!({"model": "m", "messages": [{"role": "user", "content": "a"}]});
        match work(&pending(Endpoint::Chat, chat.clone()), &stamp()).unwrap() {
            Work::Chat(asked) => assert_eq!(asked.request.class, Class::Batch),
            other => panic!("{other:?}"),
        }
        match work(
            &pending(
                Endpoint::Completions,
                json!({"model": "m", "prompt": ["a", "b"]}),
            ),
            &stamp(),
        )
        .unwrap()
        {
            Work::Completions(asked) => {
                assert!(asked.requests.iter().all(|r| r.class == Class::Batch))
            }
            other => panic!("{other:?}"),
        }
        match work(
            &pending(Endpoint::Responses, json!({"model": "m", "input": "a"})),
            &stamp(),
        )
        .unwrap()
        {
            Work::Responses(asked) => assert_eq!(asked.asked.request.class, Class::Batch),
            other => panic!("{other:?}"),
        }
        assert!(matches!(
            work(
                &pending(Endpoint::Embeddings, json!({"model": "m", "input": "a"})),
                &stamp()
            ),
            Ok(Work::Embeddings(_))
        ));
        let mut stream = chat;
        stream["stream"] = json!(true);
        assert!(work(&pending(Endpoint::Chat, stream), &stamp()).is_err());
        let follows = json!({"model": "m", "input": "a", "previous_response_id": "resp_a"});
        assert!(work(&pending(Endpoint::Responses, follows), &stamp()).is_err());
    }

    proptest! {
        #[test]
        fn no_line_panics(text in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = read(1, &text, Endpoint::Chat);
            let _ = answered(&text);
        }
    }
}
