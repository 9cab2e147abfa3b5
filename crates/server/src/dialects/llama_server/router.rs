//! Many models behind one server: what is asked of them by name, and what becomes of them.

use serde_json::{Map, Value, json};

use crate::core::Failure;
use crate::core::models::Phase;
use crate::dialects::fields::Fields;

/// Nobody said which model.
pub fn unnamed() -> Failure {
    Failure::invalid("model", "model name is missing from the request")
}

/// There is no model of a name.
pub fn unknown(name: &str) -> Failure {
    Failure::invalid("model", format!("model '{name}' not found"))
}

/// The model is there, and is not to be loaded by a question.
pub fn not_loaded() -> Failure {
    Failure::invalid("model", "model is not loaded")
}

/// The model that the body of `POST /models`, `/models/load` or `/models/unload` names.
///
/// # Errors
/// It names none.
pub fn named(body: Map<String, Value>) -> Result<String, Failure> {
    let name = Fields::new(body).take_str("model")?;
    name.filter(|name| !name.is_empty()).ok_or_else(unnamed)
}

/// Whether the body of `POST /models` allows plain HTTP.
///
/// # Errors
/// It says something else.
pub fn insecure(body: &Map<String, Value>) -> Result<bool, Failure> {
    let insecure = Fields::new(body.clone()).take_bool("insecure")?;
    Ok(insecure.unwrap_or(false))
}

/// Whether a question loads its model: what `?autoload=` says, or else the command line.
pub fn autoload(asked: Option<&str>, standing: bool) -> bool {
    match asked {
        None | Some("") => standing,
        Some(word) => word == "true" || word == "1",
    }
}

/// What became of a model.
#[derive(Clone, Debug, PartialEq)]
pub enum News {
    /// It is loaded, or not any more.
    Phase(Phase),
    /// It begins to come.
    Fetching,
    /// Bytes of each content that are here, and all of them.
    Fetched(Vec<(String, u64, u64)>),
    /// It came.
    Here,
    /// It does not come, for this reason.
    Failed(String),
    /// Its name means nothing any more.
    Removed,
    /// Anything may have changed: the list is to be asked for anew.
    Unsure,
}

/// News of a model as `GET /models/sse` tells them.
pub fn news(model: &str, news: &News) -> Value {
    let (event, data) = match news {
        // Files are mapped: there is nothing between nothing and all.
        News::Phase(phase @ Phase::Loading) => (
            "model_status",
            json!({
                "status": word(*phase),
                "progress": { "stages": ["text_model"], "current": "text_model", "value": 0.0 },
            }),
        ),
        News::Phase(phase @ Phase::Failed) => (
            "status_change",
            json!({ "status": word(*phase), "failed": true, "exit_code": 1 }),
        ),
        News::Phase(phase) => ("status_change", json!({ "status": word(*phase) })),
        News::Fetching => ("model_status", json!({ "status": FETCHING })),
        News::Fetched(contents) => {
            let each = contents.iter().map(|(content, done, total)| {
                (content.clone(), json!({ "done": done, "total": total }))
            });
            ("download_progress", Value::Object(each.collect()))
        }
        News::Here => ("download_finished", json!({})),
        News::Failed(why) => ("download_failed", json!({ "error": why })),
        News::Removed => ("model_remove", json!({})),
        News::Unsure => ("models_reload", json!({})),
    };
    json!({ "model": model, "event": event, "data": data })
}

const FETCHING: &str = "downloading";

fn word(phase: Phase) -> &'static str {
    match phase {
        Phase::Loading => "loading",
        Phase::Loaded => "loaded",
        Phase::Unloaded | Phase::Failed => "unloaded",
    }
}

/// How a model of a list is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It is here.
    Here(Phase),
    /// The only one of a server, unloaded until somebody asks.
    Sleeping,
    /// It is coming.
    Fetching,
}

impl Status {
    /// The field `status`.
    pub(super) fn json(self) -> Value {
        let value = match self {
            Self::Here(phase) => word(phase),
            Self::Sleeping => "sleeping",
            Self::Fetching => FETCHING,
        };
        let mut status = json!({ "value": value, "args": [] });
        if self == Self::Here(Phase::Failed) {
            status["failed"] = json!(true);
            status["exit_code"] = json!(1);
        }
        status
    }
}

/// `GET /props` of a server that has many models, where none is named. `most` are loaded at a time; 0 has no limit.
pub fn props(most: usize, autoload: bool, build: &str) -> Value {
    json!({
        "role": "router", "max_instances": most, "models_autoload": autoload, "model_alias": "llama-server",
        "model_path": "none", "default_generation_settings": { "params": {}, "n_ctx": 0 }, "ui_settings": {},
        "build_info": build, "cors_proxy_enabled": false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn news_have_their_names() {
        for (told, expected) in [
            (
                News::Phase(Phase::Loading),
                json!({"model": "m", "event": "model_status", "data": {"status": "loading",
                    "progress": {"stages": ["text_model"], "current": "text_model", "value": 0.0}}}),
            ),
            (
                News::Phase(Phase::Loaded),
                json!({"model": "m", "event": "status_change", "data": {"status": "loaded"}}),
            ),
            (
                News::Phase(Phase::Failed),
                json!({"model": "m", "event": "status_change",
                    "data": {"status": "unloaded", "failed": true, "exit_code": 1}}),
            ),
            (
                News::Fetched(vec![("sha256:ab".to_owned(), 3, 9)]),
                json!({"model": "m", "event": "download_progress", "data": {"sha256:ab": {"done": 3, "total": 9}}}),
            ),
            (
                News::Failed("no".to_owned()),
                json!({"model": "m", "event": "download_failed", "data": {"error": "no"}}),
            ),
            (
                News::Here,
                json!({"model": "m", "event": "download_finished", "data": {}}),
            ),
            (
                News::Removed,
                json!({"model": "m", "event": "model_remove", "data": {}}),
            ),
        ] {
            assert_eq!(news("m", &told), expected);
        }
    }

    #[test]
    fn a_question_loads_unless_it_is_told_not_to() {
        for (asked, standing, expected) in [
            (None, true, true),
            (Some(""), false, false),
            (Some("true"), false, true),
            (Some("1"), false, true),
            (Some("false"), true, false),
        ] {
            assert_eq!(autoload(asked, standing), expected, "{asked:?}");
        }
        let body = |value: Value| value.as_object().unwrap().clone();
        assert_eq!(named(body(json!({"model": "m"}))).unwrap(), "m");
        for missing in [json!({}), json!({"model": ""}), json!({"model": null})] {
            assert_eq!(named(body(missing)), Err(unnamed()));
        }
    }
}
