//! Parts of an answer: text, thoughts, whole calls and what is said of tokens.

use serde_json::{Map, Value, json};

use crate::core::{Piece, Token};

/// What one event adds to an answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Part {
    pub(super) content: String,
    pub(super) thinking: String,
    pub(super) calls: Vec<Value>,
    pub(super) logprobs: Vec<Value>,
}

impl Part {
    pub(super) fn is_empty(&self) -> bool {
        let texts = self.content.is_empty() && self.thinking.is_empty();
        texts && self.calls.is_empty() && self.logprobs.is_empty()
    }

    pub(super) fn extend(&mut self, other: Self) {
        self.content += &other.content;
        self.thinking += &other.thinking;
        self.calls.extend(other.calls);
        self.logprobs.extend(other.logprobs);
    }

    /// Says what was asked about tokens; the `top` likeliest of each, where there are to be some.
    pub(super) fn add_tokens(&mut self, tokens: &[Token], top: usize) {
        let one = |bytes: &[u8], logprob: f32| json!({ "token": String::from_utf8_lossy(bytes), "logprob": number(logprob), "bytes": bytes });
        self.logprobs.extend(tokens.iter().map(|token| {
            let mut said = one(&token.bytes, token.logprob.unwrap_or(f32::NEG_INFINITY));
            if top > 0 {
                let likeliest = token.top.iter().take(top);
                said["top_logprobs"] = likeliest
                    .map(|(_, bytes, logprob)| one(bytes, *logprob))
                    .collect();
            }
            said
        }));
    }
}

/// The logarithm of a share that is none. JSON has no infinity; OpenAI says it so.
const NEVER: f64 = -9999.0;

/// A number of 32 bits with its own digits, not those of its 64 bits.
pub(super) fn number(number: f32) -> Value {
    let digits = number.to_string().parse::<f64>();
    json!(
        digits
            .ok()
            .filter(|number| number.is_finite())
            .unwrap_or(NEVER)
    )
}

/// Collects calls until they are whole.
#[derive(Clone, Debug)]
pub(super) struct Calls {
    /// Where ids come from.
    seed: String,
    open: Option<Call>,
    /// Calls told until now.
    count: usize,
}

#[derive(Clone, Debug)]
struct Call {
    index: usize,
    id: String,
    name: String,
    arguments: String,
}

impl Calls {
    pub(super) fn new(seed: &str) -> Self {
        Self {
            seed: seed.to_owned(),
            open: None,
            count: 0,
        }
    }

    /// What can be told after more pieces. A call is whole when another begins, or at the end.
    pub(super) fn push(&mut self, pieces: Vec<Piece>) -> Part {
        let mut part = Part::default();
        for piece in pieces {
            match piece {
                Piece::Reasoning(text) => part.thinking += &text,
                Piece::Content(text) => part.content += &text,
                Piece::Call { index, id, name } => {
                    self.close(&mut part);
                    self.open = Some(Call {
                        index,
                        id,
                        name,
                        arguments: String::new(),
                    });
                }
                Piece::Arguments { index, text } => match &mut self.open {
                    Some(call) if call.index == index => call.arguments += &text,
                    // Of a call that was told already: nothing is lost.
                    _ => part.content += &text,
                },
            }
        }
        part
    }

    /// What is left at the end.
    pub(super) fn finish(&mut self) -> Part {
        let mut part = Part::default();
        self.close(&mut part);
        part
    }

    fn close(&mut self, part: &mut Part) {
        let Some(call) = self.open.take() else { return };
        match arguments(&call.arguments) {
            Some(arguments) => {
                part.calls.push(json!({
                    "id": self.id(&call),
                    "function": { "index": self.count, "name": call.name, "arguments": arguments },
                }));
                self.count += 1;
            }
            // The model broke off, or wrote no JSON: the client gets what it wrote, as text.
            None => {
                let (name, text) = (Value::from(call.name), call.arguments);
                part.content += &format!("{{\"name\": {name}, \"arguments\": {text}");
            }
        }
    }

    /// The call's own id, or `call_` and eight letters and digits.
    fn id(&self, call: &Call) -> String {
        const DIGITS: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
        if !call.id.is_empty() {
            return call.id.clone();
        }
        // FNV-1a: ids are to differ, not to be secret.
        let bytes = self.seed.bytes().chain(self.count.to_le_bytes());
        let mut hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        let mut id = "call_".to_owned();
        for _ in 0..8 {
            id.push(char::from(DIGITS[(hash % 36) as usize]));
            hash /= 36;
        }
        id
    }
}

/// Arguments as an object; nothing is an empty one, and a text of an object is that object.
fn arguments(text: &str) -> Option<Map<String, Value>> {
    if text.trim().is_empty() {
        return Some(Map::new());
    }
    match serde_json::from_str(text).ok()? {
        Value::Object(object) => Some(object),
        Value::String(inner) => serde_json::from_str(&inner).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(index: usize, id: &str, name: &str) -> Piece {
        Piece::Call {
            index,
            id: id.into(),
            name: name.into(),
        }
    }

    fn more(index: usize, text: &str) -> Piece {
        Piece::Arguments {
            index,
            text: text.into(),
        }
    }

    #[test]
    fn calls_are_told_whole() {
        let mut calls = Calls::new("x");
        assert!(
            calls
                .push(vec![call(0, "call_1", "f"), more(0, "{\"a\"")])
                .is_empty()
        );
        assert!(calls.push(vec![more(0, ":1}")]).is_empty());
        let part = calls.push(vec![call(1, "", "g")]);
        let first =
            json!({"id": "call_1", "function": {"index": 0, "name": "f", "arguments": {"a": 1}}});
        assert_eq!(part.calls, [first]);
        let part = calls.finish();
        assert_eq!(
            part.calls[0]["function"],
            json!({"index": 1, "name": "g", "arguments": {}})
        );
        let id = part.calls[0]["id"].as_str().unwrap();
        assert!(id.len() == 13 && id.starts_with("call_"), "{id}");
        assert!(
            id[5..]
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()),
            "{id}"
        );
        assert!(calls.finish().is_empty());
    }

    #[test]
    fn arguments_that_are_no_object_come_back_as_text() {
        for (text, calls, content) in [
            ("{\"a\":", 0, "{\"name\": \"f\", \"arguments\": {\"a\":"),
            ("[1]", 0, "{\"name\": \"f\", \"arguments\": [1]"),
            ("oops", 0, "{\"name\": \"f\", \"arguments\": oops"),
            ("\"{}\"", 1, ""),
            (" {} ", 1, ""),
            ("", 1, ""),
        ] {
            let mut all = Calls::new("x");
            let mut part = all.push(vec![call(0, "", "f"), more(0, text)]);
            part.extend(all.finish());
            assert_eq!(
                (part.calls.len(), part.content.as_str()),
                (calls, content),
                "{text}"
            );
        }
    }

    #[test]
    fn tokens_with_their_likeliest() {
        let token = Token {
            id: 1,
            bytes: b" Paris".to_vec(),
            logprob: Some(-0.12),
            top: vec![
                (1, b" Paris".to_vec(), -0.12),
                (2, vec![0xff], f32::NEG_INFINITY),
            ],
        };
        let (mut part, mut plain) = (Part::default(), Part::default());
        part.add_tokens(std::slice::from_ref(&token), 2);
        plain.add_tokens(&[token], 0);
        let paris =
            json!({"token": " Paris", "logprob": -0.12, "bytes": [32, 80, 97, 114, 105, 115]});
        assert_eq!(plain.logprobs, std::slice::from_ref(&paris));
        let mut both = paris.clone();
        let never = json!({"token": "\u{fffd}", "logprob": -9999.0, "bytes": [255]});
        both["top_logprobs"] = json!([paris, never]);
        assert_eq!(part.logprobs, [both]);
    }
}
