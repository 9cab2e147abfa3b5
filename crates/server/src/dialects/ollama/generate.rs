//! `POST /api/generate` (reference 5.2).

use hearth_chat::{Content, Message, Part};
use serde_json::{Map, Value};

use super::super::Fields;
use super::common::{self, Asked, Kind};
use super::images;
use crate::core::Failure;
use crate::core::request::{Chat, Input, Insert, OtherTemplate, Piece};

/// Reads a body.
///
/// # Errors
/// A field says what cannot be; without a model, no model of the empty name is known.
pub fn generate(body: Map<String, Value>) -> Result<Asked, Failure> {
    let (mut asked, mut fields) = Asked::begin(Kind::Generate, body)?;
    let model = common::model(&mut fields)?;
    if model.is_empty() {
        return Err(Failure::UnknownModel(model));
    }
    common::parse_name("model", &model)?;
    asked.request.model = model;
    let prompt = Prompt::take(&mut fields)?;
    asked.images = prompt.images.len();
    if prompt.text.is_empty() && prompt.suffix.is_empty() && prompt.images.is_empty() {
        asked.only_load();
        return Ok(asked.finish(&fields));
    }
    asked.request.ids = !prompt.raw;
    asked.request.input = match () {
        () if prompt.raw => prompt.raw()?,
        () if !prompt.suffix.is_empty() => {
            asked.request.ids = false;
            prompt.insert(&mut asked.warnings)?
        }
        () => Input::Chat(Box::new(prompt.chat())),
    };
    Ok(asked.finish(&fields))
}

/// The fields that say what is continued.
struct Prompt {
    text: String,
    suffix: String,
    system: Option<String>,
    template: Option<String>,
    think: crate::core::request::Think,
    raw: bool,
    context: Vec<u32>,
    images: Vec<Part>,
}

impl Prompt {
    fn take(fields: &mut Fields) -> Result<Self, Failure> {
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        Ok(Self {
            text: fields.take_str("prompt")?.unwrap_or_default(),
            suffix: fields.take_str("suffix")?.unwrap_or_default(),
            system: given(fields.take_str("system")?),
            template: given(fields.take_str("template")?),
            think: common::think(fields)?,
            raw: fields.take_bool("raw")?.unwrap_or(false),
            context: tokens(fields, "context")?,
            images: images::take(fields)?,
        })
    }

    /// As it is: no template, nothing taken out of the answer.
    fn raw(self) -> Result<Input, Failure> {
        if self.template.is_some() || self.system.is_some() || !self.context.is_empty() {
            return Err(Failure::invalid(
                "raw",
                "raw mode does not support template, system, or context",
            ));
        }
        for (field, given) in [
            ("suffix", !self.suffix.is_empty()),
            ("images", !self.images.is_empty()),
        ] {
            if given {
                return Err(Failure::invalid(
                    field,
                    format!("raw mode does not support {field}"),
                ));
            }
        }
        Ok(Input::Plain(vec![Piece::Text(self.text)]))
    }

    /// The text between prompt and suffix, by the model's template for that, which has nothing else in it.
    fn insert(self, warnings: &mut Vec<String>) -> Result<Input, Failure> {
        for (field, given) in [
            ("template", self.template.is_some()),
            ("images", !self.images.is_empty()),
        ] {
            if given {
                return Err(Failure::invalid(
                    field,
                    format!("{field} cannot be used together with suffix"),
                ));
            }
        }
        for (field, given) in [
            ("system", self.system.is_some()),
            ("context", !self.context.is_empty()),
        ] {
            if given {
                warnings.push(format!(
                    "{field} is ignored: an insertion has only prompt and suffix"
                ));
            }
        }
        Ok(Input::Insert(Insert {
            prefix: self.text,
            suffix: self.suffix,
            by_template: true,
            ..Insert::default()
        }))
    }

    /// The user's turn of a conversation.
    fn chat(self) -> Chat {
        let mut turn = Message::new("user", self.text);
        add_parts(&mut turn, self.images);
        Chat {
            messages: vec![turn],
            system: self.system,
            // A template of the request is filled with what the request says; a context has the first turns in it.
            bare: self.template.is_some() || !self.context.is_empty(),
            template: self.template.map(OtherTemplate::Either),
            think: self.think,
            before: self.context,
            parallel_tool_calls: true,
            ..Chat::default()
        }
    }
}

/// Puts pictures before the text of a turn.
pub(super) fn add_parts(turn: &mut Message, mut parts: Vec<Part>) {
    if parts.is_empty() {
        return;
    }
    let text = turn.text();
    if !text.is_empty() {
        let fields = Map::from_iter([("text".to_owned(), Value::String(text))]);
        parts.push(Part {
            kind: "text".to_owned(),
            fields,
        });
    }
    turn.content = Some(Content::Parts(parts));
}

/// A list of tokens.
fn tokens(fields: &mut Fields, name: &str) -> Result<Vec<u32>, Failure> {
    let list = fields.take_list(name)?.unwrap_or_default();
    let read = |(index, value): (usize, Value)| {
        let token = super::super::fields::integer(&value).and_then(|n| u32::try_from(n).ok());
        token.ok_or_else(|| {
            let item = format!("{name}[{index}]");
            fields.refuse(&item, "must be a token, an integer of 0 or more")
        })
    };
    list.into_iter().enumerate().map(read).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::super::common::Action;
    use super::*;
    use crate::core::request::{Format, KeepAlive, Logprobs, Think};

    fn of(body: Value) -> Result<Asked, Failure> {
        generate(body.as_object().unwrap().clone())
    }

    fn chat(asked: &Asked) -> &Chat {
        match &asked.request.input {
            Input::Chat(chat) => chat,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_prompt_becomes_a_turn_with_every_default() {
        let asked = of(json!({"model": "llama3.2", "prompt": "Why?"})).unwrap();
        let (request, chat) = (&asked.request, chat(&asked));
        assert_eq!(chat.messages, [Message::new("user", "Why?")]);
        assert_eq!(
            (chat.system.clone(), chat.template.clone(), chat.bare),
            (None, None, false)
        );
        assert_eq!(chat.think, Think::IfPossible(None));
        assert_eq!(request.model, "llama3.2");
        assert_eq!(
            (asked.kind, asked.action, asked.stream),
            (Kind::Generate, Action::Run, true)
        );
        assert!(request.ids && request.overflow.truncate && request.overflow.shift);
        assert_eq!(request.overflow.keep, 4);
        assert_eq!(
            (
                request.format.clone(),
                request.logprobs,
                request.load.keep_alive
            ),
            (None, None, None)
        );
        assert!(asked.warnings.is_empty());
    }

    #[test]
    fn every_field_has_its_place() {
        let asked = of(json!({
            "model": "m", "prompt": "p", "system": "s", "template": "{{ .Prompt }}", "context": [1, 2.0],
            "stream": false, "format": {"type": "object"}, "keep_alive": "5m", "think": "high", "truncate": false,
            "shift": false, "logprobs": true, "top_logprobs": 3, "options": {"seed": 1}, "images": ["/9j/4AAQ"], "n": 2,
        }))
        .unwrap();
        let (request, chat) = (&asked.request, chat(&asked));
        assert_eq!(chat.system.as_deref(), Some("s"));
        assert_eq!(
            chat.template,
            Some(OtherTemplate::Either("{{ .Prompt }}".into()))
        );
        assert_eq!((chat.before.as_slice(), chat.bare), (&[1, 2][..], true));
        assert_eq!(chat.think, Think::On(Some("high".to_owned())));
        assert_eq!(chat.messages[0].text(), "p");
        assert!(
            matches!(&chat.messages[0].content, Some(Content::Parts(parts)) if parts.len() == 2)
        );
        assert_eq!((asked.stream, asked.images), (false, 1));
        assert_eq!(
            request.format,
            Some(Format::Schema(json!({"type": "object"})))
        );
        assert_eq!(
            request.load.keep_alive,
            Some(KeepAlive::For(Duration::from_secs(300)))
        );
        assert!(!request.overflow.truncate && !request.overflow.shift);
        assert_eq!(
            request.logprobs,
            Some(Logprobs {
                top: 3,
                after_sampling: false
            })
        );
        assert_eq!(asked.warnings, ["n is ignored: not known here"]);
    }

    #[test]
    fn raw_text_and_insertions() {
        let asked = of(json!({"model": "m", "prompt": "p", "raw": true})).unwrap();
        assert!(
            matches!(&asked.request.input, Input::Plain(pieces) if pieces == &[Piece::Text("p".into())])
        );
        assert!(!asked.request.ids);
        let body =
            json!({"model": "m", "prompt": "", "suffix": "b", "system": "s", "context": [1]});
        let asked = of(body).unwrap();
        assert!(
            matches!(&asked.request.input, Input::Insert(it) if it.suffix == "b" && it.prefix.is_empty() && it.by_template)
        );
        assert_eq!(asked.warnings.len(), 2);
    }

    #[test]
    fn nothing_to_continue_loads_or_unloads() {
        for (body, action) in [
            (json!({"model": "m"}), Action::Load),
            (
                json!({"model": "m", "prompt": "", "keep_alive": "10m"}),
                Action::Load,
            ),
            (
                json!({"model": "m", "prompt": "", "raw": true, "images": []}),
                Action::Load,
            ),
            (json!({"model": "m", "keep_alive": 0}), Action::Unload),
            (json!({"model": "m", "keep_alive": "0s"}), Action::Unload),
            (
                json!({"model": "m", "prompt": "x", "keep_alive": 0}),
                Action::Run,
            ),
            (
                json!({"model": "m", "prompt": "x", "_debug_render_only": true}),
                Action::Render,
            ),
            (
                json!({"model": "m", "_debug_render_only": true}),
                Action::Load,
            ),
        ] {
            assert_eq!(of(body.clone()).unwrap().action, action, "{body}");
        }
    }

    #[test]
    fn keep_alive_of_every_form() {
        let for_ = |n| Ok(Some(KeepAlive::For(Duration::from_secs(n))));
        for (value, expected) in [
            (Value::Null, Ok(None)),
            (json!(300), for_(300)),
            (
                json!(1.5),
                Ok(Some(KeepAlive::For(Duration::from_millis(1500)))),
            ),
            (json!(-1), Ok(Some(KeepAlive::Forever))),
            (json!("-1"), Ok(Some(KeepAlive::Forever))),
            (json!("5"), for_(5)),
            (json!("1h30m"), for_(5_400)),
            (json!(""), Err("time: invalid duration \"\"")),
            (json!(true), Err("Unsupported type: 'bool'")),
            (json!([1]), Err("Unsupported type: '[]interface {}'")),
            (
                json!({}),
                Err("Unsupported type: 'map[string]interface {}'"),
            ),
        ] {
            let asked = of(json!({"model": "m", "prompt": "x", "keep_alive": value}));
            let found = asked.map(|asked| asked.request.load.keep_alive);
            assert_eq!(
                found.map_err(|failure| failure.to_string()),
                expected.map_err(str::to_owned),
                "{value}"
            );
        }
    }

    #[test]
    fn empty_is_absent() {
        let asked = of(json!({
            "model": "m", "prompt": "p", "format": "", "suffix": "", "system": "", "template": "", "context": [],
            "images": [], "options": {}, "grammar": "", "regex": "", "think": null, "keep_alive": null,
        }))
        .unwrap();
        assert_eq!(asked.request.format, None);
        assert_eq!(
            (chat(&asked).system.clone(), chat(&asked).bare),
            (None, false)
        );
        assert!(asked.warnings.is_empty());
    }

    #[test]
    fn hearths_own_formats() {
        for (body, format) in [
            (json!({"format": "json"}), Format::Json),
            (
                json!({"grammar": "root ::= \"a\""}),
                Format::Gbnf("root ::= \"a\"".into()),
            ),
            (json!({"regex": "a+"}), Format::Regex("a+".into())),
        ] {
            let mut body = body.as_object().unwrap().clone();
            body.insert("model".into(), json!("m"));
            body.insert("prompt".into(), json!("p"));
            assert_eq!(generate(body).unwrap().request.format, Some(format));
        }
    }

    #[test]
    fn refusals_in_ollamas_words() {
        let message = "raw mode does not support template, system, or context";
        for (body, field, text) in [
            (
                json!({"model": "a b", "prompt": "p"}),
                "model",
                "invalid model name",
            ),
            (json!({"raw": true, "system": "s"}), "raw", message),
            (json!({"raw": true, "template": "t"}), "raw", message),
            (json!({"raw": true, "context": [1]}), "raw", message),
            (
                json!({"raw": true, "suffix": "s"}),
                "suffix",
                "raw mode does not support suffix",
            ),
            (
                json!({"context": [1, "a"]}),
                "context[1]",
                "context[1] must be a token, an integer of 0 or more",
            ),
            (
                json!({"top_logprobs": 21}),
                "top_logprobs",
                "top_logprobs must be between 0 and 20",
            ),
            (
                json!({"top_logprobs": -1}),
                "top_logprobs",
                "top_logprobs must be between 0 and 20",
            ),
            (
                json!({"format": "xml"}),
                "format",
                "invalid format: \"xml\"; expected \"json\" or a valid JSON Schema object",
            ),
            (
                json!({"format": 5}),
                "format",
                "invalid format: 5; expected \"json\" or a valid JSON Schema object",
            ),
            (
                json!({"format": "json", "regex": "a"}),
                "format",
                "format, grammar and regex exclude each other: send one of them",
            ),
            (
                json!({"think": "x"}),
                "think",
                "invalid think value: \"x\" (must be \"high\", \"medium\", \"low\", \"max\", true, or false)",
            ),
            (
                json!({"prompt": 5}),
                "prompt",
                "prompt must be a string, got 5",
            ),
        ] {
            let mut body = body.as_object().unwrap().clone();
            body.entry("model").or_insert(json!("m"));
            body.entry("prompt").or_insert(json!("p"));
            assert_eq!(generate(body).unwrap_err(), Failure::invalid(field, text));
        }
        assert_eq!(
            of(json!({"prompt": "p"})).unwrap_err(),
            Failure::UnknownModel(String::new())
        );
        let cloud = of(json!({"model": "gpt-oss:120b-cloud", "prompt": "p"}))
            .unwrap_err()
            .to_string();
        assert!(cloud.contains("cloud"), "{cloud}");
    }
}
