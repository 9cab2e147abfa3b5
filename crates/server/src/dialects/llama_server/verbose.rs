//! `__verbose`: the native answer beside one in OpenAI's form.

use serde_json::{Map, Value, json};

use super::answer::whole;
use super::generation::Style;
use crate::core::{Event, Finish, Outcome, Piece, Token};
use crate::dialects::frame::Frame;

/// The field.
const FIELD: &str = "__verbose";

/// Makes native answers of the events that are told in another form.
#[derive(Debug)]
pub struct Verbose {
    style: Style,
    events: Vec<(usize, Event)>,
}

impl Verbose {
    /// For answers of this style; none where they are not to be verbose.
    pub fn of(style: &Style) -> Option<Self> {
        style.verbose.then(|| Self {
            style: style.clone(),
            events: Vec::new(),
        })
    }

    /// Takes an event of the prompt of a number, from 0. At the end of an answer this is the native one.
    pub fn event(&mut self, of: usize, event: &Event) -> Option<Value> {
        self.events.push((of, event.clone()));
        let Event::End { choice, outcome } = event else {
            return None;
        };
        let mut answer = self.answer(of, *choice, outcome)?;
        let object = answer.as_object_mut()?;
        let count = self.style.choices.max(1);
        object.insert("index".to_owned(), json!(of * count + choice));
        // An answer in another form has no place that it was asked for.
        object.remove("id_slot");
        Some(answer)
    }

    /// One answer, as if it had been the only one: its text is what the model wrote, thoughts and calls as they came.
    fn answer(&self, of: usize, choice: usize, outcome: &Outcome) -> Option<Value> {
        let style = Style {
            choices: 1,
            ..self.style.clone()
        };
        let of_prompt = self.events.iter().filter(|(prompt, _)| *prompt == of);
        let (mut started, mut tokens) = (None, Vec::new());
        for (_, event) in of_prompt {
            match event {
                Event::Started(it) => started = Some(it.clone()),
                Event::Delta {
                    choice: theirs,
                    tokens: more,
                    ..
                } if *theirs == choice => tokens.extend(more.iter().cloned()),
                _ => {}
            }
        }
        let text = written(&tokens, &outcome.finish);
        let events = vec![
            Event::Started(started?),
            Event::Delta {
                choice: 0,
                pieces: vec![Piece::Content(text)],
                tokens,
            },
            Event::End {
                choice: 0,
                outcome: outcome.clone(),
            },
        ];
        whole(&style, vec![(0, events)]).ok()
    }
}

/// The text of tokens, without what ended it.
fn written(tokens: &[Token], finish: &Finish) -> String {
    let tokens = match (finish, tokens) {
        (Finish::End, [before @ .., _end]) => before,
        (_, all) => all,
    };
    let bytes: Vec<u8> = tokens
        .iter()
        .flat_map(|token| &token.bytes)
        .copied()
        .collect();
    let mut text = String::from_utf8_lossy(&bytes).into_owned();
    if let Finish::Stop(word) = finish
        && let Some(at) = text.rfind(word.as_str())
    {
        text.truncate(at);
    }
    text
}

/// Adds native answers to a whole one in another form, in the order of its choices, whichever ended first.
pub fn add(whole: &mut Value, mut natives: Vec<Value>) {
    natives.sort_by_key(|native| native["index"].as_u64());
    let native = match natives.len() {
        0 => return,
        1 => natives.remove(0),
        _ => Value::Array(natives),
    };
    if let Some(object) = whole.as_object_mut() {
        object.insert(FIELD.to_owned(), native);
    }
}

/// Adds the native answer to the last frame of those in which one ends.
pub fn add_to_last(frames: &mut [Frame], native: Value) {
    let last = frames.iter_mut().rev().find_map(|frame| match frame {
        Frame::Json(text) => Some(text),
        _ => None,
    });
    if let Some(text) = last
        && let Ok(mut object) = serde_json::from_str::<Map<String, Value>>(text)
    {
        object.insert(FIELD.to_owned(), native);
        *text = Value::Object(object).to_string();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::Started;

    fn token(text: &str) -> Token {
        Token {
            id: 7,
            bytes: text.as_bytes().to_vec(),
            ..Token::default()
        }
    }

    fn delta(choice: usize, text: &str) -> Event {
        Event::Delta {
            choice,
            pieces: vec![Piece::Reasoning("other words".to_owned())],
            tokens: vec![token(text)],
        }
    }

    fn end(choice: usize, finish: Finish) -> Event {
        let outcome = Outcome {
            finish,
            tokens: 2,
            ..Outcome::default()
        };
        Event::End { choice, outcome }
    }

    #[test]
    fn each_answer_is_what_the_model_wrote() {
        assert!(Verbose::of(&Style::default()).is_none());
        let style = Style {
            verbose: true,
            choices: 2,
            ..Style::default()
        };
        let mut verbose = Verbose::of(&style).unwrap();
        let mut take = |of, event: Event| verbose.event(of, &event);
        assert_eq!(take(1, Event::Started(Started::default())), None);
        for (choice, text) in [(0, "<think>a"), (1, "b STOP "), (0, "</s>"), (1, "more")] {
            assert_eq!(take(1, delta(choice, text)), None);
        }
        let first = take(1, end(0, Finish::End)).unwrap();
        assert_eq!(
            (&first["content"], &first["index"]),
            (&json!("<think>a"), &json!(2))
        );
        assert!(first.get("id_slot").is_none() && first["stop_type"] == "eos");
        let second = take(1, end(1, Finish::Stop("STOP".to_owned()))).unwrap();
        assert_eq!(
            (&second["content"], &second["index"]),
            (&json!("b "), &json!(3))
        );
        assert_eq!(second["stopping_word"], "STOP");
    }

    #[test]
    fn it_stands_beside_the_answer() {
        let mut answer = json!({"id": 1});
        let native = |index: usize| json!({"index": index});
        add(&mut answer, vec![native(2)]);
        assert_eq!(answer, json!({"id": 1, "__verbose": native(2)}));
        let mut several = json!({});
        add(&mut several, vec![native(2), native(0), native(1)]);
        let ordered = [native(0), native(1), native(2)];
        assert_eq!(several, json!({"__verbose": ordered}));
        let mut none = json!({});
        add(&mut none, Vec::new());
        assert_eq!(none, json!({}));
        let mut frames = [
            Frame::json(&json!({"a": 1})),
            Frame::json(&json!({"b": 1})),
            Frame::Done,
        ];
        add_to_last(&mut frames, json!(2));
        assert_eq!(frames[1], Frame::json(&json!({"b": 1, "__verbose": 2})));
        assert_eq!(frames[0], Frame::json(&json!({"a": 1})));
    }
}
