//! `POST /api/pull` and `/api/push`, and how far they and `/api/create` are (reference 5.16, 5.17).

use std::time::Duration;

use hearth_store::{Digest, Event, Name, Verb};
use serde_json::{Map, Value, json};

use super::super::{Fields, Frame};
use super::common::{model, parse_name};
use super::ignored;
use crate::core::Failure;

/// A request to fetch or send a model.
#[derive(Clone, Debug, PartialEq)]
pub struct AskedTransfer {
    /// Which.
    pub name: Name,
    /// The model, as the client wrote it.
    pub model: String,
    /// Plain HTTP is allowed.
    pub insecure: bool,
    /// Tell how far it is.
    pub stream: bool,
    /// What was ignored, in words.
    pub warnings: Vec<String>,
}

/// Reads a body of either route.
///
/// # Errors
/// A field says what cannot be.
pub fn asked_transfer(body: Map<String, Value>) -> Result<AskedTransfer, Failure> {
    let mut fields = Fields::new(body);
    let model = model(&mut fields)?;
    // Credentials are the settings' business, as at Ollama.
    fields.ignore(&["username", "password"]);
    Ok(AskedTransfer {
        name: parse_name("model", &model)?,
        model,
        insecure: fields.take_bool("insecure")?.unwrap_or(false),
        stream: fields.take_bool("stream")?.unwrap_or(true),
        warnings: fields.rest().iter().map(|name| ignored(name)).collect(),
    })
}

/// Time between two words on the same content.
const PAUSE: Duration = Duration::from_millis(60);
/// What comes before a manifest is written by a pull.
const VERIFYING: &str = "verifying sha256 digest";
/// What a pull or a creation says before it points the name at the model.
const WRITING: &str = "writing manifest";
/// What comes last.
const SUCCESS: &str = "success";

/// What is going on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transfer {
    /// A model comes.
    Pull,
    /// A model goes.
    Push,
    /// A model is made; one that is missing comes before.
    Create,
}

/// Makes lines of what the store says.
#[derive(Clone, Debug)]
pub struct Progress {
    transfer: Transfer,
    /// The last status, so that none is said twice in a row.
    last: String,
    /// The content of the last word, and when it came.
    told: Option<(Digest, Duration)>,
}

impl Progress {
    /// At its beginning.
    pub fn new(transfer: Transfer) -> Self {
        Self {
            transfer,
            last: String::new(),
            told: None,
        }
    }

    /// The lines that an event makes. `at` is the time since the beginning: of one content, words come at most every
    /// 60 ms, and the first and the last always.
    pub fn push(&mut self, event: Event, at: Duration) -> Vec<Frame> {
        match event {
            Event::Status(status) => self.status(status),
            Event::Content {
                verb: Verb::Verify, ..
            } => self.say(VERIFYING),
            Event::Content {
                verb,
                digest,
                total,
                completed,
            } => {
                let whole = completed >= total;
                let early = self
                    .told
                    .is_some_and(|(last, then)| last == digest && at < then + PAUSE);
                if early && !whole {
                    return Vec::new();
                }
                self.told = Some((digest, at));
                let verb = match verb {
                    Verb::Push => "pushing",
                    Verb::Copy => "copying",
                    Verb::Pull | Verb::Verify => "pulling",
                };
                self.last = format!("{verb} {}", digest.short());
                let mut line = json!({ "status": self.last, "digest": digest, "total": total });
                if completed > 0 {
                    line["completed"] = json!(completed);
                }
                vec![Frame::json(&line)]
            }
            Event::File { path, .. } => {
                // Where files lie is nobody's business.
                let name = path.rsplit(['/', '\\']).next().unwrap_or_default();
                self.say(&format!("copying {name}"))
            }
            Event::Waiting { digest } => {
                self.say(&format!("waiting for another pull of {}", digest.short()))
            }
            Event::Retry { why } => self.say(&format!("retrying: {why}")),
        }
    }

    fn status(&mut self, status: String) -> Vec<Frame> {
        let mut lines = Vec::new();
        if status == WRITING && self.transfer == Transfer::Pull {
            lines = self.say(VERIFYING);
        }
        // A model that is fetched for another is not the end.
        if !(status == SUCCESS && self.transfer == Transfer::Create) {
            lines.extend(self.say(&status));
        }
        lines
    }

    fn say(&mut self, status: &str) -> Vec<Frame> {
        if self.last == status {
            return Vec::new();
        }
        status.clone_into(&mut self.last);
        vec![Frame::json(&json!({ "status": status }))]
    }
}

/// How far a quantisation is, in bytes or tensors. Clients show it as they show a download, by a digest that is none.
pub fn quantizing(from: &str, to: &str, completed: u64, total: u64) -> Value {
    let mut line = json!({
        "status": format!("quantizing {from} model to {to}"),
        "digest": "0000000000000000000",
        "total": total,
    });
    if completed > 0 {
        line["completed"] = json!(completed);
    }
    line
}

/// The last line of a creation, and the whole answer where no stream was asked for.
pub fn success() -> Value {
    json!({ "status": SUCCESS })
}

/// The same with what the client should know: fields that were ignored, tensors left out.
pub fn success_with(warnings: &[String]) -> Value {
    let mut line = success();
    if !warnings.is_empty() {
        line["hearth"] = json!({ "warnings": warnings });
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(body: Value) -> Result<AskedTransfer, Failure> {
        asked_transfer(body.as_object().unwrap().clone())
    }

    #[test]
    fn requests_by_model_or_name() {
        for (body, stream) in [
            (json!({"model": "llama3.2"}), true),
            (json!({"name": "llama3.2", "insecure": false}), true),
            (
                json!({"model": "llama3.2", "stream": false, "username": "u", "password": "p"}),
                false,
            ),
        ] {
            let asked = asked(body).unwrap();
            assert_eq!(asked.name.to_string(), "llama3.2:latest");
            assert_eq!(
                (asked.insecure, asked.stream, asked.warnings.len()),
                (false, stream, 0)
            );
        }
        for body in [json!({}), json!({"model": "a b"}), json!({"model": ""})] {
            assert_eq!(
                asked(body).unwrap_err(),
                Failure::invalid("model", "invalid model name")
            );
        }
    }

    fn lines(transfer: Transfer, events: Vec<(Event, u64)>) -> Vec<Value> {
        let mut progress = Progress::new(transfer);
        let lines = events
            .into_iter()
            .flat_map(|(event, at)| progress.push(event, Duration::from_millis(at)));
        lines
            .map(|frame| serde_json::from_str(frame.data().unwrap()).unwrap())
            .collect()
    }

    fn status(text: &str) -> Event {
        Event::Status(text.into())
    }

    #[test]
    fn a_pull_in_the_lines_that_clients_know() {
        let digest = Digest::of(b"a");
        let part = |verb, completed| Event::Content {
            verb,
            digest,
            total: 100,
            completed,
        };
        let events = vec![
            (status("pulling manifest"), 0),
            (part(Verb::Pull, 0), 10),
            (part(Verb::Pull, 10), 20),
            (part(Verb::Pull, 50), 80),
            (part(Verb::Pull, 100), 81),
            (part(Verb::Verify, 10), 90),
            (part(Verb::Verify, 50), 200),
            (status("writing manifest"), 300),
            (status("success"), 301),
        ];
        let pulling = format!("pulling {}", digest.short());
        let expected = [
            json!({"status": "pulling manifest"}),
            json!({"status": pulling, "digest": digest, "total": 100}),
            json!({"status": pulling, "digest": digest, "total": 100, "completed": 50}),
            json!({"status": pulling, "digest": digest, "total": 100, "completed": 100}),
            json!({"status": "verifying sha256 digest"}),
            json!({"status": "writing manifest"}),
            json!({"status": "success"}),
        ];
        assert_eq!(lines(Transfer::Pull, events), expected);
        assert!(
            expected[1]["digest"]
                .as_str()
                .unwrap()
                .starts_with("sha256:")
        );
    }

    #[test]
    fn digests_are_verified_before_the_manifest_even_where_nobody_says_so() {
        let events = vec![
            (status("pulling manifest"), 0),
            (status("writing manifest"), 1),
            (status("success"), 2),
        ];
        let said = lines(Transfer::Pull, events);
        assert_eq!(said[1], json!({"status": "verifying sha256 digest"}));
        assert_eq!(said.last(), Some(&success()));
    }

    #[test]
    fn a_push_and_a_creation() {
        let digest = Digest::of(b"a");
        let sent = Event::Content {
            verb: Verb::Push,
            digest,
            total: 1,
            completed: 1,
        };
        let events = vec![
            (status("retrieving manifest"), 0),
            (sent, 1),
            (status("pushing manifest"), 2),
            (status("success"), 3),
        ];
        let words: Vec<Value> = lines(Transfer::Push, events)
            .iter()
            .map(|line| line["status"].clone())
            .collect();
        let pushing = format!("pushing {}", digest.short());
        assert_eq!(
            words,
            [
                "retrieving manifest",
                pushing.as_str(),
                "pushing manifest",
                "success"
            ]
        );

        let read = Event::File {
            path: "/home/me/x.gguf".into(),
            total: 2,
            completed: 1,
        };
        let events = vec![
            (status("success"), 0),
            (read, 1),
            (Event::Waiting { digest }, 2),
            (Event::Retry { why: "503".into() }, 3),
            (status("writing manifest"), 4),
        ];
        let words: Vec<Value> = lines(Transfer::Create, events)
            .iter()
            .map(|line| line["status"].clone())
            .collect();
        let waiting = format!("waiting for another pull of {}", digest.short());
        assert_eq!(
            words,
            [
                "copying x.gguf",
                waiting.as_str(),
                "retrying: 503",
                "writing manifest"
            ]
        );
    }
}
