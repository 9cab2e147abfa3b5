use proptest::prelude::*;

use super::*;
use crate::core::Finish;
use crate::core::request::{Class, Format, Think, ToolChoice};
use crate::dialects::openai::testing::{
    body, call, delta, end, events, names_something, object, say, stamp, started, think, token,
    values,
};

fn ask(value: Value) -> Asked {
    request(body(value)).unwrap()
}

fn minimal() -> Value {
    json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]})
}

fn chat(asked: &Asked) -> &Chat {
    match &asked.request.input {
        Input::Chat(chat) => chat,
        other => panic!("{other:?}"),
    }
}

#[test]
fn defaults() {
    let asked = ask(minimal());
    assert!(!asked.stream && !asked.include_usage);
    assert!(asked.ignored.is_empty() && asked.notes.is_empty());
    let request = &asked.request;
    assert_eq!(request.model, "m");
    assert_eq!(request.choices, 1);
    // Neither temperature nor top_p is made up: those of the model hold.
    assert!(request.sampling.settings.is_empty());
    assert_eq!(
        (request.limits.max_tokens, &request.limits.stops),
        (None, &None)
    );
    assert_eq!((&request.format, request.logprobs), (&None, None));
    assert_eq!(request.class, Class::Interactive);
    assert!(!request.overflow.truncate && !request.overflow.shift);
    let chat = chat(&asked);
    assert_eq!(
        (&chat.think, &chat.tool_choice),
        (&Think::Default, &ToolChoice::Auto)
    );
    assert!(chat.parallel_tool_calls && !chat.continue_last && !chat.reasoning_in_text);
}

#[test]
fn everything_at_once() {
    let asked = ask(json!({
        "model": "org/m:q4", "messages": [{"role": "developer", "content": "d"}, {"role": "user", "content": "u"}],
        "n": 2, "logprobs": true, "top_logprobs": 2, "logit_bias": {"5": -100}, "seed": 7, "stop": ["a", "b"],
        "max_completion_tokens": 9, "temperature": null, "top_k": 20, "repeat_penalty": 1.1, "user": "x",
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
        "tool_choice": "required", "parallel_tool_calls": false, "reasoning_effort": "low", "service_tier": "flex",
        "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}},
        "stream": true, "stream_options": {"include_usage": true}, "options": {"num_ctx": 8192}, "keep_alive": -1,
        "chat_template_kwargs": {"style": "short"}, "cache_prompt": true, "no_such_field": 1, "verbosity": "low",
    }));
    assert!(asked.stream && asked.include_usage);
    assert_eq!(asked.ignored, ["no_such_field", "verbosity"]);
    let request = &asked.request;
    assert_eq!(request.choices, 2);
    assert_eq!(request.logprobs.unwrap().top, 2);
    assert_eq!(request.sampling.bias, [(5, -100.0)]);
    assert_eq!(request.sampling.seed, Some(7));
    assert_eq!(request.limits.max_tokens, Some(9));
    assert_eq!(request.load.context, Some(8192));
    assert!(!request.sampling.settings.contains_key("temperature"));
    assert_eq!(
        request.format,
        Some(Format::Schema(json!({"type": "object"})))
    );
    let chat = chat(&asked);
    assert_eq!(chat.messages[0].role, "developer");
    assert_eq!(chat.tool_choice, ToolChoice::Required);
    assert!(!chat.parallel_tool_calls);
    assert_eq!(chat.template_variables["style"], "short");
}

#[test]
fn an_assistants_last_turn_is_continued() {
    let with = |extra: Value| {
        let mut value = minimal();
        let list = value["messages"].as_array_mut().unwrap();
        list.push(json!({"role": "assistant", "content": "Sure"}));
        value.as_object_mut().unwrap().extend(body(extra));
        request(body(value))
    };
    for (extra, expected) in [
        (json!({}), true),
        (
            json!({"continue_final_message": true, "add_generation_prompt": false}),
            true,
        ),
        (json!({"continue_final_message": false}), false),
        (json!({"add_generation_prompt": true}), false),
    ] {
        assert_eq!(
            chat(&with(extra.clone()).unwrap()).continue_last,
            expected,
            "{extra}"
        );
    }
    for extra in [
        json!({"continue_final_message": true, "add_generation_prompt": true}),
        json!({"continue_final_message": "reasoning_content"}),
    ] {
        assert!(with(extra).is_err());
    }
    let mut value = minimal();
    value["continue_final_message"] = json!(true);
    assert!(request(body(value)).is_err());
}

#[test]
fn refusals_name_their_field() {
    for (extra, field) in [
        (json!({"model": null}), "model"),
        (json!({"model": ""}), "model"),
        (json!({"messages": []}), "messages"),
        (json!({"messages": "hi"}), "messages"),
        (json!({"stream": "yes"}), "stream"),
        (json!({"stream_options": 1}), "stream_options"),
        (json!({"top_logprobs": 3}), "top_logprobs"),
        (json!({"functions": []}), "functions"),
    ] {
        let mut value = minimal();
        value.as_object_mut().unwrap().extend(body(extra));
        match request(body(value.clone())) {
            Err(Failure::Invalid { field: found, .. }) => assert_eq!(found, field, "{value}"),
            other => panic!("{value}: {other:?}"),
        }
    }
    let mut value = minimal();
    value["modalities"] = json!(["text", "audio"]);
    let refused = request(body(value)).unwrap_err();
    assert_eq!(refused.to_string(), "\"m\" does not support audio");
}

fn told(asked: Value, events: &[Event]) -> (Vec<Frame>, Result<Value, Failure>) {
    let mut frames = Frames::new(&ask(asked), stamp());
    let told = events
        .iter()
        .flat_map(|event| frames.event(event))
        .collect();
    (told, frames.whole())
}

const HEAD: &str = r#""id":"chatcmpl-abc","object":"chat.completion.chunk","created":1790000000,"model":"m","system_fingerprint":"fp_hearth""#;

#[test]
fn a_stream_of_text() {
    let mut asked = minimal();
    asked["stream_options"] = json!({"include_usage": true});
    let events = [
        started(),
        delta(0, &[think("hmm")]),
        delta(0, &[]),
        delta(0, &[say("Hel"), say("lo")]),
        end(0, Finish::End, 4),
        Event::Done,
    ];
    let (frames, _) = told(asked, &events);
    let sent: Vec<String> = frames.iter().map(Frame::to_sse).collect();
    let choice = |delta: &str, reason: &str| {
        format!(
            "data: {{{HEAD},\"choices\":[{{\"index\":0,\"delta\":{delta},\"logprobs\":null,\"finish_reason\":{reason}}}]}}\n\n"
        )
    };
    assert_eq!(
        sent[0],
        choice(r#"{"role":"assistant","content":""}"#, "null")
    );
    assert_eq!(
        sent[1],
        choice(r#"{"reasoning_content":"hmm","reasoning":"hmm"}"#, "null")
    );
    assert_eq!(sent[2], choice(r#"{"content":"Hel"}"#, "null"));
    assert_eq!(sent[3], choice(r#"{"content":"lo"}"#, "null"));
    assert_eq!(sent[4], choice("{}", "\"stop\""));
    let last = values(&frames).pop().unwrap();
    assert_eq!(last["choices"], json!([]));
    assert_eq!(
        last["usage"],
        json!({"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13,
               "prompt_tokens_details": {"cached_tokens": 4}, "completion_tokens_details": {"reasoning_tokens": 0}})
    );
    assert_eq!(last["hearth"]["used"], 13);
    assert_eq!(last["hearth"]["limit"], 4096);
    assert_eq!(frames.last(), Some(&Frame::Done));
    assert_eq!(frames.len(), 7);
}

#[test]
fn without_include_usage_the_last_chunk_tells_how_full_the_context_is() {
    let (frames, _) = told(
        minimal(),
        &[
            started(),
            delta(0, &[say("a")]),
            end(0, Finish::Length, 1),
            Event::Done,
        ],
    );
    let values = values(&frames);
    assert!(values.iter().all(|value| value.get("usage").is_none()));
    let last = values.last().unwrap();
    assert_eq!(last["choices"][0]["finish_reason"], "length");
    assert_eq!(last["hearth"]["used"], 10);
    assert_eq!(
        values
            .iter()
            .filter(|value| value.get("hearth").is_some())
            .count(),
        1
    );
}

#[test]
fn calls_piece_by_piece_and_whole() {
    let mut pieces = call(0, "get_w", &["{\"ci", "ty\":1}"]);
    pieces.extend(call(1, "now", &["{}"]));
    let (frames, whole) = told(
        minimal(),
        &[
            started(),
            delta(0, &pieces),
            end(0, Finish::End, 9),
            Event::Done,
        ],
    );
    let deltas: Vec<Value> = values(&frames)
        .into_iter()
        .map(|value| value["choices"][0]["delta"].clone())
        .collect();
    assert_eq!(
        deltas[1..],
        [
            json!({"tool_calls": [{"index": 0, "id": "call_0", "type": "function", "function": {"name": "get_w", "arguments": ""}}]}),
            json!({"tool_calls": [{"index": 0, "function": {"arguments": "{\"ci"}}]}),
            json!({"tool_calls": [{"index": 0, "function": {"arguments": "ty\":1}"}}]}),
            json!({"tool_calls": [{"index": 1, "id": "call_1", "type": "function", "function": {"name": "now", "arguments": ""}}]}),
            json!({"tool_calls": [{"index": 1, "function": {"arguments": "{}"}}]}),
            json!({}),
        ]
    );
    let choice = &whole.unwrap()["choices"][0];
    assert_eq!(choice["finish_reason"], "tool_calls");
    assert_eq!(choice["message"]["content"], Value::Null);
    assert!(
        choice["message"]
            .as_object()
            .unwrap()
            .contains_key("content")
    );
    assert_eq!(
        choice["message"]["tool_calls"][0],
        json!({"id": "call_0", "type": "function", "function": {"name": "get_w", "arguments": "{\"city\":1}"}})
    );
}

#[test]
fn a_whole_answer_has_what_the_strictest_readers_need() {
    let (_, whole) = told(
        minimal(),
        &[
            started(),
            delta(0, &[think("r"), say("a")]),
            end(0, Finish::End, 2),
            Event::Done,
        ],
    );
    let whole = whole.unwrap();
    assert_eq!(whole["id"], "chatcmpl-abc");
    assert_eq!(whole["object"], "chat.completion");
    assert_eq!(whole["created"], 1_790_000_000);
    assert_eq!(whole["model"], "m");
    assert_eq!(
        whole["choices"],
        json!([{"index": 0, "message": {"role": "assistant", "content": "a", "refusal": null,
                "reasoning_content": "r", "reasoning": "r"}, "logprobs": null, "finish_reason": "stop"}])
    );
    for count in ["prompt_tokens", "completion_tokens", "total_tokens"] {
        assert!(whole["usage"][count].is_u64(), "{count}");
    }
    assert!(whole["hearth"]["warnings"].is_array());
}

#[test]
fn logprobs_of_streams_and_wholes_are_the_same() {
    let mut asked = minimal();
    asked["logprobs"] = json!(true);
    asked["top_logprobs"] = json!(2);
    let with = |pieces: &[Piece], tokens: Vec<Token>| Event::Delta {
        choice: 0,
        pieces: pieces.to_vec(),
        tokens,
    };
    let events = [
        started(),
        with(&[say("a")], vec![token(1, "a", -0.1)]),
        with(&[], vec![token(2, "b", -0.25)]),
        with(
            &[say("bc"), say("d")],
            vec![token(3, "cd", f32::NEG_INFINITY)],
        ),
        end(0, Finish::End, 3),
        Event::Done,
    ];
    let (frames, whole) = told(asked, &events);
    let mut streamed = Vec::new();
    for value in values(&frames) {
        if let Some(content) = value["choices"][0]["logprobs"]["content"].as_array() {
            streamed.extend(content.clone());
        }
    }
    let whole = whole.unwrap();
    assert_eq!(whole["choices"][0]["logprobs"]["content"], json!(streamed));
    assert_eq!(
        streamed[0],
        json!({"token": "a", "logprob": -0.1, "bytes": [97], "top_logprobs": [
            {"token": "a", "logprob": -0.1, "bytes": [97]},
            {"token": "\u{fffd}", "logprob": -3.5, "bytes": [255]}]})
    );
    assert_eq!(streamed[2]["logprob"], -9999.0);
}

#[test]
fn a_failure_in_the_middle_is_an_error_frame_and_no_done() {
    let events = [
        started(),
        delta(0, &[say("a")]),
        Event::Failed(Failure::Internal("it broke".into())),
    ];
    let (frames, whole) = told(minimal(), &events);
    let last: Value = serde_json::from_str(frames.last().unwrap().data().unwrap()).unwrap();
    assert_eq!(last["error"]["message"], "it broke");
    assert_eq!(whole.unwrap_err(), Failure::Internal("it broke".into()));
    let (_, cut) = told(minimal(), &[started()]);
    assert!(cut.is_err());
}

#[test]
fn progress_is_told_to_who_asked() {
    let read = Event::Read {
        done: 6,
        total: 9,
        cached: 4,
        time: std::time::Duration::from_millis(5),
    };
    let (frames, _) = told(minimal(), std::slice::from_ref(&read));
    assert!(frames.is_empty());
    let mut asked = minimal();
    asked["return_progress"] = json!(true);
    let (frames, _) = told(asked, &[read]);
    let progress = &values(&frames)[0]["prompt_progress"];
    assert_eq!(
        *progress,
        json!({"total": 9, "cache": 4, "processed": 6, "time_ms": 5.0})
    );
}

/// What a client makes of a stream: strings are joined, and a role or an id comes once.
fn joined(frames: &[Frame], choices: usize) -> Vec<Value> {
    let mut all = vec![
        json!({"role": "", "content": "", "reasoning_content": "", "tool_calls": [], "finish_reason": null});
        choices
    ];
    for value in values(frames) {
        for choice in value["choices"].as_array().unwrap() {
            let into = &mut all[choice["index"].as_u64().unwrap() as usize];
            for key in ["role", "content", "reasoning_content"] {
                if let Some(text) = choice["delta"][key].as_str() {
                    into[key] = json!(format!("{}{text}", into[key].as_str().unwrap()));
                }
            }
            for call in choice["delta"]["tool_calls"]
                .as_array()
                .into_iter()
                .flatten()
            {
                let calls = into["tool_calls"].as_array_mut().unwrap();
                let index = call["index"].as_u64().unwrap() as usize;
                if index == calls.len() {
                    calls.push(json!({"id": call["id"], "type": call["type"], "function": call["function"]}));
                } else {
                    let arguments = calls[index]["function"]["arguments"].as_str().unwrap();
                    let more = call["function"]["arguments"].as_str().unwrap();
                    calls[index]["function"]["arguments"] = json!(format!("{arguments}{more}"));
                }
            }
            if choice["finish_reason"].is_string() {
                assert!(into["finish_reason"].is_null(), "one end each");
                into["finish_reason"] = choice["finish_reason"].clone();
            }
        }
    }
    all
}

proptest! {
    #[test]
    fn streamed_and_whole_say_the_same((choices, events) in events()) {
        let mut asked = minimal();
        asked["n"] = json!(choices);
        let (frames, whole) = told(asked, &events);
        let whole = whole.unwrap();
        for (streamed, whole) in joined(&frames, choices).iter().zip(whole["choices"].as_array().unwrap()) {
            let message = &whole["message"];
            prop_assert_eq!(&streamed["role"], &message["role"]);
            prop_assert_eq!(streamed["content"].as_str(), Some(message["content"].as_str().unwrap_or("")));
            prop_assert_eq!(streamed["reasoning_content"].as_str(), Some(message["reasoning"].as_str().unwrap_or("")));
            let none = json!([]);
            prop_assert_eq!(&streamed["tool_calls"], message.get("tool_calls").unwrap_or(&none));
            prop_assert_eq!(&streamed["finish_reason"], &whole["finish_reason"]);
        }
    }

    #[test]
    fn no_body_panics(body in object()) {
        if let Err(failure) = request(body) {
            prop_assert!(names_something(&failure), "{failure:?}");
        }
    }
}
