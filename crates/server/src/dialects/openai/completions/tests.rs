use proptest::prelude::*;

use super::*;
use crate::core::Finish;
use crate::dialects::openai::testing::{
    body, delta, end, names_something, object, say, stamp, started, token, values,
};

fn ask(value: Value) -> Completions {
    request(body(value)).unwrap()
}

fn prompts(completions: &Completions) -> Vec<Vec<Piece>> {
    let inputs = completions
        .requests
        .iter()
        .map(|request| match &request.input {
            Input::Plain(pieces) => pieces.clone(),
            other => panic!("{other:?}"),
        });
    inputs.collect()
}

fn text(text: &str) -> Piece {
    Piece::Text(text.to_owned())
}

#[test]
fn prompts_in_every_shape() {
    for (prompt, expected) in [
        (json!("a"), vec![vec![text("a")]]),
        (json!(""), vec![vec![text("")]]),
        (json!(["a", "b"]), vec![vec![text("a")], vec![text("b")]]),
        (json!([1, 2]), vec![vec![Piece::Tokens(vec![1, 2])]]),
        (
            json!([[1, 2], [3]]),
            vec![
                vec![Piece::Tokens(vec![1, 2])],
                vec![Piece::Tokens(vec![3])],
            ],
        ),
        (
            json!([1, "a", 2, 3]),
            vec![vec![
                Piece::Tokens(vec![1]),
                text("a"),
                Piece::Tokens(vec![2, 3]),
            ]],
        ),
        (
            json!([[1], "b"]),
            vec![vec![Piece::Tokens(vec![1])], vec![text("b")]],
        ),
    ] {
        assert_eq!(
            prompts(&ask(json!({"model": "m", "prompt": prompt}))),
            expected,
            "{prompt}"
        );
    }
}

#[test]
fn a_suffix_makes_it_an_insertion() {
    let asked = ask(json!({"model": "m", "prompt": "def f(", "suffix": "return 1"}));
    match &asked.requests[0].input {
        Input::Insert(insert) => {
            assert_eq!(
                (insert.prefix.as_str(), insert.suffix.as_str()),
                ("def f(", "return 1")
            );
        }
        other => panic!("{other:?}"),
    }
    let plain = ask(json!({"model": "m", "prompt": "a", "suffix": ""}));
    assert!(matches!(plain.requests[0].input, Input::Plain(_)));
}

#[test]
fn defaults_and_counts() {
    let asked = ask(json!({"model": "m", "prompt": "a"}));
    assert_eq!(asked.asked.request.limits.max_tokens, None);
    assert!(!asked.echo && !asked.asked.stream);
    let asked = ask(json!({"model": "m", "prompt": "a", "n": 2, "best_of": 2, "logprobs": 3}));
    assert_eq!(asked.asked.request.choices, 2);
    assert_eq!(asked.asked.request.logprobs.unwrap().top, 3);
}

#[test]
fn refusals_name_their_field() {
    for (extra, field) in [
        (json!({"prompt": null}), "prompt"),
        (json!({"prompt": []}), "prompt"),
        (json!({"prompt": {}}), "prompt"),
        (json!({"prompt": [[1], {}]}), "prompt[1]"),
        (json!({"prompt": [1, -2]}), "prompt[1]"),
        (json!({"best_of": 3}), "best_of"),
        (json!({"logprobs": 21}), "logprobs"),
        (json!({"echo": true, "logprobs": 1}), "echo"),
        (json!({"echo": true, "suffix": "x"}), "echo"),
        (json!({"prompt": [1], "suffix": "x"}), "suffix"),
    ] {
        let mut value = body(json!({"model": "m", "prompt": "a"}));
        value.extend(body(extra.clone()));
        match request(value) {
            Err(Failure::Invalid { field: found, .. }) => assert_eq!(found, field, "{extra}"),
            other => panic!("{extra}: {other:?}"),
        }
    }
}

#[test]
fn two_prompts_with_two_choices_are_one_answer() {
    let asked = ask(json!({"model": "m", "prompt": ["A", "B"], "n": 2, "echo": true}));
    let mut frames = Frames::new(&asked, stamp());
    let mut sent = Vec::new();
    for (prompt, name) in [(1, "b"), (0, "a")] {
        for event in [
            started(),
            delta(0, &[say(name)]),
            delta(1, &[say(&name.to_uppercase())]),
            end(0, Finish::End, 1),
            end(1, Finish::Length, 2),
            Event::Done,
        ] {
            sent.extend(frames.event(prompt, &event));
        }
    }
    assert_eq!(
        sent.iter().filter(|frame| **frame == Frame::Done).count(),
        1
    );
    let mut joined = vec![String::new(); 4];
    for value in values(&sent) {
        let choice = &value["choices"][0];
        joined[choice["index"].as_u64().unwrap() as usize]
            .push_str(choice["text"].as_str().unwrap());
    }
    assert_eq!(joined, ["Aa", "AA", "Bb", "BB"]);
    let whole = frames.whole().unwrap();
    assert_eq!(whole["id"], "cmpl-abc");
    assert_eq!(whole["object"], "text_completion");
    for (index, text) in joined.iter().enumerate() {
        assert_eq!(whole["choices"][index]["text"], json!(text));
        assert_eq!(whole["choices"][index]["index"], json!(index));
        assert_eq!(
            whole["choices"][index]["finish_reason"],
            if index % 2 == 0 { "stop" } else { "length" }
        );
    }
    assert_eq!(whole["usage"]["prompt_tokens"], 18);
    assert_eq!(whole["usage"]["completion_tokens"], 6);
    assert_eq!(values(&sent).last().unwrap()["hearth"]["limit"], 4096);
}

#[test]
fn logprobs_are_lists_with_offsets_that_go_on() {
    let asked = ask(
        json!({"model": "m", "prompt": "A", "logprobs": 2, "stream_options": {"include_usage": true}}),
    );
    let mut frames = Frames::new(&asked, stamp());
    let with = |said: &str, tokens: Vec<Token>| Event::Delta {
        choice: 0,
        pieces: vec![say(said)],
        tokens,
    };
    let mut sent = Vec::new();
    for event in [
        started(),
        with("é", vec![token(1, "é", -0.5)]),
        with("bc", vec![token(2, "b", -0.1), token(3, "c", -0.2)]),
        end(0, Finish::End, 3),
        Event::Done,
    ] {
        sent.extend(frames.event(0, &event));
    }
    let values = values(&sent);
    assert_eq!(
        values[1]["choices"][0]["logprobs"]["text_offset"],
        json!([1, 2])
    );
    assert_eq!(
        frames.whole().unwrap()["choices"][0]["logprobs"],
        json!({"tokens": ["é", "b", "c"], "token_logprobs": [-0.5, -0.1, -0.2],
               "top_logprobs": [{"é": -0.5, "\u{fffd}": -3.5}, {"b": -0.1, "\u{fffd}": -3.5}, {"c": -0.2, "\u{fffd}": -3.5}],
               "text_offset": [0, 1, 2]})
    );
    let last = values.last().unwrap();
    assert_eq!(
        (&last["choices"], &last["usage"]["total_tokens"]),
        (&json!([]), &json!(12))
    );
}

#[test]
fn a_failure_of_one_prompt_is_told() {
    let asked = ask(json!({"model": "m", "prompt": ["A", "B"]}));
    let mut frames = Frames::new(&asked, stamp());
    let sent = frames.event(1, &Event::Failed(Failure::Internal("it broke".into())));
    assert_eq!(values(&sent)[0]["error"]["message"], "it broke");
    assert!(frames.whole().is_err());
}

proptest! {
    #[test]
    fn no_body_panics(body in object()) {
        if let Err(failure) = request(body) {
            prop_assert!(names_something(&failure), "{failure:?}");
        }
    }

    #[test]
    fn streamed_and_whole_say_the_same(pieces in prop::collection::vec(".{0,5}", 0..8)) {
        let mut frames = Frames::new(&ask(json!({"model": "m", "prompt": "P", "echo": true})), stamp());
        let mut sent = frames.event(0, &started());
        for piece in &pieces {
            sent.extend(frames.event(0, &delta(0, &[say(piece)])));
        }
        sent.extend(frames.event(0, &end(0, Finish::End, 1)));
        sent.extend(frames.event(0, &Event::Done));
        let joined: String = values(&sent).iter().filter_map(|v| v["choices"][0]["text"].as_str().map(str::to_owned)).collect();
        prop_assert_eq!(&joined, &format!("P{}", pieces.concat()));
        let whole = frames.whole().unwrap();
        prop_assert_eq!(whole["choices"][0]["text"].as_str(), Some(joined.as_str()));
    }
}
