use proptest::prelude::*;

use super::*;
use crate::dialects::openai::responses::items::Past;
use crate::dialects::openai::responses::request::request;
use crate::dialects::openai::testing::{
    body, call, delta, end, events, say, stamp, started, think, token, values,
};

fn frames(extra: Value) -> Frames {
    let mut value = body(json!({"model": "m", "input": "hi"}));
    value.extend(body(extra));
    Frames::new(
        &request(value, &Past::default(), &stamp()).unwrap(),
        stamp(),
    )
}

fn told(extra: Value, events: &[Event]) -> (Vec<Frame>, Frames) {
    let mut frames = frames(extra);
    let told = events
        .iter()
        .flat_map(|event| frames.event(event))
        .collect();
    (told, frames)
}

fn names(frames: &[Frame]) -> Vec<&'static str> {
    let names = frames.iter().map(|frame| match frame {
        Frame::Event { name, .. } => *name,
        other => panic!("{other:?}"),
    });
    names.collect()
}

#[test]
fn a_text() {
    let (sent, frames) = told(
        json!({}),
        &[
            started(),
            delta(0, &[say("Hel")]),
            delta(0, &[say("lo")]),
            end(0, Finish::End, 2),
            Event::Done,
        ],
    );
    assert_eq!(
        names(&sent),
        [
            "response.created",
            "response.in_progress",
            "response.output_item.added",
            "response.content_part.added",
            "response.output_text.delta",
            "response.output_text.delta",
            "response.output_text.done",
            "response.content_part.done",
            "response.output_item.done",
            "response.completed",
        ]
    );
    let values = values(&sent);
    for (index, (value, name)) in values.iter().zip(names(&sent)).enumerate() {
        assert_eq!(value["type"], name);
        assert_eq!(value["sequence_number"], index);
    }
    assert_eq!(values[0]["response"]["status"], "in_progress");
    assert_eq!(values[0]["response"]["output"], json!([]));
    assert_eq!(
        values[2],
        json!({"type": "response.output_item.added", "sequence_number": 2, "output_index": 0, "item":
            {"id": "msg_abc_0", "type": "message", "status": "in_progress", "role": "assistant", "content": []}})
    );
    assert_eq!(
        values[4],
        json!({"type": "response.output_text.delta", "sequence_number": 4, "content_index": 0, "delta": "Hel",
               "logprobs": [], "item_id": "msg_abc_0", "output_index": 0})
    );
    let part = json!({"type": "output_text", "text": "Hello", "annotations": [], "logprobs": []});
    assert_eq!(values[7]["part"], part);
    let response = &values[9]["response"];
    assert_eq!(*response, frames.whole().unwrap());
    assert_eq!(
        response["output"],
        json!([{"id": "msg_abc_0", "type": "message", "status": "completed", "role": "assistant", "content": [part]}])
    );
    assert_eq!(
        response["usage"],
        json!({"input_tokens": 9, "input_tokens_details": {"cached_tokens": 4}, "output_tokens": 2,
               "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 11})
    );
}

#[test]
fn a_response_has_what_the_strictest_readers_need() {
    let (_, frames) = told(
        json!({"temperature": 0.5}),
        &[started(), end(0, Finish::End, 0), Event::Done],
    );
    let whole = frames.whole().unwrap();
    for (name, expected) in [
        ("id", json!("resp_abc")),
        ("object", json!("response")),
        ("created_at", json!(1_790_000_000)),
        ("completed_at", json!(1_790_000_000)),
        ("status", json!("completed")),
        ("model", json!("m")),
        ("error", json!(null)),
        ("incomplete_details", json!(null)),
        ("parallel_tool_calls", json!(true)),
        ("tool_choice", json!("auto")),
        ("tools", json!([])),
        ("temperature", json!(0.5)),
        ("top_p", json!(null)),
        ("previous_response_id", json!(null)),
        ("store", json!(true)),
        ("text", json!({"format": {"type": "text"}})),
    ] {
        assert_eq!(whole.get(name), Some(&expected), "{name}");
    }
    // An answer without any text is still a message.
    assert_eq!(whole["output"][0]["content"][0]["text"], "");
    assert_eq!(whole["hearth"]["limit"], 4096);
}

#[test]
fn thoughts_then_text_then_calls_are_closed_one_by_one() {
    let mut pieces = vec![think("hm"), say("a")];
    pieces.extend(call(0, "f", &["{\"x\"", ":1}"]));
    pieces.extend(call(1, "g", &["{}"]));
    let (sent, frames) = told(
        json!({"include": ["reasoning.encrypted_content"]}),
        &[
            started(),
            delta(0, &pieces),
            end(0, Finish::End, 9),
            Event::Done,
        ],
    );
    assert_eq!(
        names(&sent)[2..],
        [
            "response.output_item.added",
            "response.reasoning_summary_part.added",
            "response.reasoning_summary_text.delta",
            "response.reasoning_summary_text.done",
            "response.reasoning_summary_part.done",
            "response.output_item.done",
            "response.output_item.added",
            "response.content_part.added",
            "response.output_text.delta",
            "response.output_text.done",
            "response.content_part.done",
            "response.output_item.done",
            "response.output_item.added",
            "response.function_call_arguments.delta",
            "response.function_call_arguments.delta",
            "response.function_call_arguments.done",
            "response.output_item.done",
            "response.output_item.added",
            "response.function_call_arguments.delta",
            "response.function_call_arguments.done",
            "response.output_item.done",
            "response.completed",
        ]
    );
    let output = frames.whole().unwrap()["output"].clone();
    assert_eq!(
        output[0]["summary"],
        json!([{"type": "summary_text", "text": "hm"}])
    );
    assert!(output[0]["encrypted_content"].is_string());
    assert_eq!(
        output[2],
        json!({"id": "fc_abc_2", "type": "function_call", "status": "completed", "call_id": "call_0", "name": "f",
               "arguments": "{\"x\":1}"})
    );
    let done = &values(&sent)[2 + 15];
    assert_eq!(
        (&done["name"], &done["arguments"], &done["output_index"]),
        (&json!("f"), &json!("{\"x\":1}"), &json!(2))
    );
}

#[test]
fn what_was_cut_says_so() {
    for (finish, name, status, item) in [
        (
            Finish::Length,
            "response.incomplete",
            "incomplete",
            "incomplete",
        ),
        (
            Finish::Context,
            "response.incomplete",
            "incomplete",
            "incomplete",
        ),
        (Finish::Cancelled, "response.failed", "failed", "incomplete"),
        (
            Finish::Stop("x".into()),
            "response.completed",
            "completed",
            "completed",
        ),
    ] {
        let (sent, frames) = told(
            json!({}),
            &[
                started(),
                delta(0, &[say("a")]),
                end(0, finish, 1),
                Event::Done,
            ],
        );
        assert_eq!(names(&sent).last(), Some(&name));
        let whole = frames.whole().unwrap();
        assert_eq!(whole["status"], status);
        assert_eq!(whole["output"][0]["status"], item);
        let incomplete = status == "incomplete";
        assert_eq!(
            whole["incomplete_details"]["reason"] == "max_output_tokens",
            incomplete
        );
        assert_eq!(whole["error"].is_object(), status == "failed");
    }
}

#[test]
fn a_failure_is_an_error_and_a_failed_response() {
    let (sent, frames) = told(
        json!({}),
        &[
            started(),
            delta(0, &[say("a")]),
            Event::Failed(Failure::Internal("it broke".into())),
        ],
    );
    assert_eq!(names(&sent)[5..], ["error", "response.failed"]);
    let values = values(&sent);
    assert_eq!(values[5]["message"], "it broke");
    assert_eq!(
        values[6]["response"]["error"],
        json!({"code": "internal_error", "message": "it broke"})
    );
    assert!(frames.whole().is_err());
    assert_eq!(frames.kept(""), None);
}

#[test]
fn an_answer_is_kept_unless_the_client_says_no() {
    let events = [
        started(),
        delta(0, &[say("a")]),
        end(0, Finish::End, 1),
        Event::Done,
    ];
    let (_, frames) = told(json!({"previous_response_id": "resp_0"}), &events);
    let kept = frames.kept("anna").unwrap();
    assert_eq!(
        (
            kept.id.as_str(),
            kept.owner.as_str(),
            kept.previous.as_deref()
        ),
        ("resp_abc", "anna", Some("resp_0"))
    );
    assert_eq!(kept.input[0]["content"][0]["text"], "hi");
    assert_eq!(kept.response, frames.whole().unwrap());
    let (_, frames) = told(json!({"store": false}), &events);
    assert_eq!(frames.kept("anna"), None);
}

#[test]
fn logprobs_go_with_their_text() {
    let with = |pieces: &[Piece], tokens: Vec<Token>| Event::Delta {
        choice: 0,
        pieces: pieces.to_vec(),
        tokens,
    };
    let (sent, frames) = told(
        json!({"top_logprobs": 1}),
        &[
            started(),
            with(&[say("a")], vec![token(1, "a", -0.5)]),
            with(&[], vec![token(2, "b", -0.25)]),
            end(0, Finish::End, 2),
            Event::Done,
        ],
    );
    assert_eq!(values(&sent)[4]["logprobs"][0]["logprob"], -0.5);
    let logprobs = &frames.whole().unwrap()["output"][0]["content"][0]["logprobs"];
    assert_eq!(logprobs.as_array().unwrap().len(), 2);
    assert_eq!(logprobs[0]["top_logprobs"][0]["token"], "a");
}

proptest! {
    /// What a client makes of the deltas is what the items say at their end, and what the whole answer says.
    #[test]
    fn streamed_and_whole_say_the_same((_, events) in events()) {
        let (sent, frames) = told(json!({}), &events);
        let mut texts: Vec<String> = Vec::new();
        let mut items: Vec<Value> = Vec::new();
        for (index, value) in values(&sent).iter().enumerate() {
            prop_assert_eq!(&value["sequence_number"], &json!(index));
            match value["type"].as_str().unwrap() {
                "response.output_item.added" => {
                    prop_assert_eq!(texts.len(), items.len(), "the item before is closed");
                    prop_assert_eq!(&value["output_index"], &json!(items.len()));
                    texts.push(String::new());
                }
                kind if kind.ends_with(".delta") => {
                    prop_assert_eq!(&value["output_index"], &json!(texts.len() - 1));
                    texts.last_mut().unwrap().push_str(value["delta"].as_str().unwrap());
                }
                "response.output_item.done" => items.push(value["item"].clone()),
                _ => {}
            }
        }
        let whole = frames.whole().unwrap();
        let output = whole["output"].as_array().unwrap();
        prop_assert_eq!(items.len(), output.len());
        for ((text, item), whole) in texts.iter().zip(&items).zip(output) {
            let told = match item["type"].as_str().unwrap() {
                "reasoning" => &item["summary"][0]["text"],
                "message" => &item["content"][0]["text"],
                _ => &item["arguments"],
            };
            prop_assert_eq!(told.as_str(), Some(text.as_str()));
            if item["type"] != "function_call" {
                prop_assert_eq!(item, whole);
            }
        }
        let content: String = frames.answer().choices[0].content.clone();
        let told: String = output.iter().filter_map(|item| item["content"][0]["text"].as_str()).collect();
        prop_assert_eq!(told, content);
        let arguments: Vec<&str> = output.iter().filter_map(|item| item["arguments"].as_str()).collect();
        let calls: Vec<&str> = frames.answer().choices[0].calls.iter().map(|call| call.arguments.as_str()).collect();
        prop_assert_eq!(arguments, calls);
    }
}
