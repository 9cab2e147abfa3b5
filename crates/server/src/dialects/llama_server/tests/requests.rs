use std::time::Duration;

use hearth_chat::Message;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::core::Request;
use crate::core::request::{
    Chat, Defaults, Format, Input, Logprobs, OtherTemplate, Overflow, Piece, Think,
};
use crate::dialects::fields::Fields;

fn ask(extra: Value) -> Result<Asked, Failure> {
    let mut all = body(json!({"prompt": "a"}));
    all.extend(body(extra));
    completion(all, &Standing::default())
}

fn asked(extra: Value) -> Asked {
    ask(extra.clone()).unwrap_or_else(|error| panic!("{extra}: {error}"))
}

#[test]
fn what_holds_where_nothing_is_said() {
    let asked = asked(json!({}));
    let [request] = asked.requests.as_slice() else {
        panic!("{asked:?}");
    };
    assert!(matches!(&request.input, Input::Plain(pieces) if *pieces == [Piece::Text("a".into())]));
    assert_eq!(request.limits.max_tokens, None);
    assert_eq!(request.limits.stops, None);
    assert_eq!(request.sampling.defaults, Defaults::LlamaServer);
    assert_eq!((request.sampling.seed, request.choices), (None, 1));
    assert!(request.sampling.settings.is_empty());
    assert!(!asked.stream);
    assert_eq!(asked.style.ping, Some(Duration::from_secs(30)));
    let expected = r#"
        {
            "seed": 4294967295, "temperature": 0.8, "dynatemp_range": 0.0, "dynatemp_exponent": 1.0, "top_k": 40,
            "top_p": 0.95, "min_p": 0.05, "top_n_sigma": -1.0, "xtc_probability": 0.0, "xtc_threshold": 0.1,
            "typical_p": 1.0, "repeat_last_n": 64, "repeat_penalty": 1.0, "presence_penalty": 0.0,
            "frequency_penalty": 0.0, "dry_multiplier": 0.0, "dry_base": 1.75, "dry_allowed_length": 2,
            "dry_penalty_last_n": 64, "dry_sequence_breakers": ["\n", ":", "\"", "*"], "mirostat": 0,
            "mirostat_tau": 5.0, "mirostat_eta": 0.1, "adaptive_target": -1.0, "adaptive_decay": 0.9, "stop": [],
            "max_tokens": -1, "n_predict": -1, "n_keep": 0, "n_discard": 0, "ignore_eos": false, "stream": false,
            "logit_bias": [], "n_probs": 0, "min_keep": 0, "grammar": "", "grammar_lazy": false,
            "grammar_triggers": [], "preserved_tokens": [], "chat_format": "Content-only", "reasoning_format": "none",
            "reasoning_in_content": false, "generation_prompt": "",
            "samplers": ["penalties", "dry", "top_n_sigma", "top_k", "typ_p", "top_p", "min_p", "xtc", "temperature"],
            "speculative.types": "none", "timings_per_token": false, "post_sampling_probs": false,
            "backend_sampling": false, "lora": []
        }
    "#;
    let expected: Value = serde_json::from_str(expected).unwrap();
    // In this order.
    assert_eq!(asked.style.settings.to_string(), expected.to_string());
}

#[test]
fn numbers_are_moved_into_their_range() {
    for (field, sent, held) in [
        ("temperature", json!(-1), json!(0.0)),
        ("temperature", json!(1.5), json!(1.5)),
        ("top_k", json!(-1), json!(0)),
        ("top_k", json!(20.0), json!(20)),
        ("top_p", json!(2), json!(1.0)),
        ("min_p", json!(-0.5), json!(0.0)),
        ("xtc_probability", json!(7), json!(1.0)),
        ("dry_base", json!(0.5), json!(1.75)),
        ("dry_base", json!(1), json!(1.0)),
        ("mirostat", json!(9), json!(2)),
        ("adaptive_target", json!(0.5), json!(0.5)),
        ("min_keep", json!(3), json!(3)),
        ("dry_sequence_breakers", json!(["x"]), json!(["x"])),
        ("samplers", json!("kt"), json!(["top_k", "temperature"])),
        (
            "samplers",
            json!(["top-k", "Temp"]),
            json!(["top_k", "temperature"]),
        ),
        ("seed", json!(7), json!(7)),
        ("seed", json!(-1), json!(4294967295_u32)),
        ("seed", json!(-2), json!(4294967294_u32)),
        ("n_keep", json!(-1), json!(-1)),
        ("n_predict", json!(0), json!(0)),
        ("temperature", Value::Null, json!(0.8)),
    ] {
        let found = &asked(json!({ field: sent })).style.settings[field];
        assert_eq!(*found, held, "{field} {sent}");
    }
}

#[test]
fn what_the_engine_is_given() {
    let mut asked = asked(json!({
        "n_predict": 5, "max_tokens": 9, "n_keep": 2, "n_indent": 4, "t_max_predict_ms": 1500, "stop": ["x", ""], "seed": 3,
        "ignore_eos": true, "mirostat": 2, "temperature": 0.5, "n_probs": 4, "post_sampling_probs": true, "n_cmpl": 2,
        "logit_bias": [[5, 1.5], ["b", -2], [6, false], [7, true], ["8", 1]], "grammar": "root ::= \"a\"",
        "json_schema": {}, "return_progress": true, "stream": true, "sse_ping_interval": -1, "model": "m",
    }));
    let request = asked.requests.remove(0);
    assert_eq!(request.model, "m");
    assert_eq!(request.limits.max_tokens, Some(5));
    assert_eq!(request.limits.stops, Some(vec!["x".to_owned()]));
    assert_eq!(request.limits.indent, 4);
    assert_eq!(request.limits.time, Some(Duration::from_millis(1500)));
    assert!(request.limits.ignore_end && request.progress && asked.stream);
    assert_eq!(
        request.overflow,
        Overflow {
            truncate: false,
            shift: false,
            keep: 2
        }
    );
    assert_eq!(
        json!(request.sampling.settings),
        json!({"temperature": 0.5, "mirostat": 2})
    );
    assert_eq!(
        request.sampling.bias,
        [(5, 1.5), (6, f32::NEG_INFINITY), (8, 1.0)]
    );
    assert_eq!(request.sampling.bias_texts, [("b".to_owned(), -2.0)]);
    assert_eq!(
        request.logprobs,
        Some(Logprobs {
            top: 4,
            after_sampling: true
        })
    );
    assert_eq!(request.format, Some(Format::Gbnf("root ::= \"a\"".into())));
    assert_eq!(
        (request.choices, request.sampling.seed, asked.style.ping),
        (2, Some(3), None)
    );
}

/// The names of settings are the engine's own.
#[test]
fn the_engine_reads_the_settings() {
    let asked = asked(json!({
        "temperature": 0.5, "top_k": 3, "mirostat": 1, "samplers": ["typical", "xtc"], "dry_base": 2, "min_keep": 1,
        "dry_sequence_breakers": ["."], "repeat_last_n": 5, "adaptive_target": 0.1, "top_n_sigma": 2, "typical_p": 0.5,
    }));
    let mut held = hearth_engine::sampling::Settings::default();
    let before = serde_json::to_value(&held).unwrap();
    for (name, value) in &asked.requests[0].sampling.settings {
        held.set(name, value).unwrap();
        let after = serde_json::to_value(&held).unwrap();
        assert_ne!(after[name], before[name], "{name}");
    }
}

#[test]
fn the_command_line_holds_where_the_request_is_silent() {
    let standing = Standing {
        settings: body(json!({"temperature": 0.1, "top_k": 5})),
        max_tokens: Some(32),
        stops: vec!["S".into()],
        seed: Some(9),
        format: Some(Format::Json),
        keep: -1,
        shift: true,
        ..Standing::default()
    };
    let ask = |extra: Value| {
        let mut all = body(json!({"prompt": "a"}));
        all.extend(body(extra));
        completion(all, &standing).unwrap()
    };
    let silent = ask(json!({}));
    let request = &silent.requests[0];
    assert_eq!(request.limits.max_tokens, Some(32));
    assert_eq!(request.limits.stops, Some(vec!["S".to_owned()]));
    assert_eq!(
        (request.sampling.seed, &request.format),
        (Some(9), &Some(Format::Json))
    );
    let drawn = ask(json!({"seed": -1}));
    assert_eq!(
        drawn.requests[0].sampling.seed,
        Some(crate::core::request::BY_CHANCE)
    );
    assert_eq!(
        request.overflow,
        Overflow {
            truncate: false,
            shift: true,
            keep: usize::MAX
        }
    );
    assert_eq!(silent.style.settings["top_k"], 5);
    let told = ask(
        json!({"n_predict": -1, "stop": "T", "top_k": 6, "json_schema": {"type": "array"}, "n_discard": 3}),
    );
    let request = &told.requests[0];
    assert_eq!(request.limits.max_tokens, None);
    assert_eq!(request.limits.stops, Some(vec!["T".to_owned()]));
    assert_eq!(
        request.format,
        Some(Format::Schema(json!({"type": "array"})))
    );
    assert_eq!(
        json!(request.sampling.settings),
        json!({"temperature": 0.1, "top_k": 6})
    );
    assert_eq!(
        told.style.notes,
        ["n_discard is not heeded: the older half is dropped"]
    );
}

#[test]
fn several_prompts_are_several_requests() {
    let asked = asked(json!({"prompt": ["a", [1, 2]], "n": 2}));
    assert_eq!((asked.requests.len(), asked.style.choices), (2, 2));
}

#[test]
fn infill_needs_both_sides() {
    let whole = json!({
        "input_prefix": "p", "input_suffix": "s", "prompt": "q", "n_predict": 3,
        "input_extra": [{"filename": "a.py", "text": "x"}, {"text": "y"}],
    });
    let standing = Standing {
        suffix_first: true,
        ..Standing::default()
    };
    let asked = infill(body(whole.clone()), &standing).unwrap();
    let Input::Insert(insert) = &asked.requests[0].input else {
        panic!("{asked:?}");
    };
    assert_eq!(
        (
            insert.prefix.as_str(),
            insert.suffix.as_str(),
            insert.prompt.as_str()
        ),
        ("p", "s", "q")
    );
    assert_eq!(
        insert.extra,
        [
            ("a.py".to_owned(), "x".to_owned()),
            ("tmp".to_owned(), "y".to_owned())
        ]
    );
    assert!(insert.suffix_first && !insert.by_template);
    for field in ["input_prefix", "input_suffix"] {
        let mut less = body(whole.clone());
        less.remove(field);
        assert_eq!(refused(infill(less, &standing)).0, field);
    }
}

#[test]
fn refusals_name_the_field() {
    for (extra, field, message) in [
        (json!({"prompt": null}), "prompt", "prompt is required"),
        (
            json!({"n_predict": -2}),
            "n_predict",
            "Field 'n_predict': Value must be between -1 <= value <= 2147483647, but got -2",
        ),
        (
            json!({"n_cmpl": 5}),
            "n_cmpl",
            "Field 'n_cmpl': Value must be between 1 <= value <= 4, but got 5",
        ),
        (
            json!({"repeat_last_n": -1}),
            "repeat_last_n",
            "Field 'repeat_last_n': Value must be between 0 <= value <= 2147483647, but got -1",
        ),
        (
            json!({"adaptive_decay": 1}),
            "adaptive_decay",
            "Field 'adaptive_decay': Value must be between 0 <= value <= 0.99, but got 1",
        ),
        (
            json!({"adaptive_target": 2}),
            "adaptive_target",
            "Field 'adaptive_target': Value must be between -inf <= value <= 1, but got 2",
        ),
        (
            json!({"repeat_penalty": 0}),
            "repeat_penalty",
            "Field 'repeat_penalty': Value must be finite and more than 0, but got 0",
        ),
        (
            json!({"dry_sequence_breakers": []}),
            "dry_sequence_breakers",
            "dry_sequence_breakers must be a list of strings that is not empty",
        ),
        (
            json!({"temperature": "hot"}),
            "temperature",
            "temperature must be a number, got a string",
        ),
        (
            json!({"lora": [{"id": 0, "scale": 0.5}]}),
            "lora[0].id",
            "lora[0].id is 0, and no adapter is loaded: create a model with it",
        ),
    ] {
        assert_eq!(
            refused(ask(extra.clone())),
            (field.to_owned(), message.to_owned()),
            "{extra}"
        );
    }
    for (extra, field) in [
        (json!({"n_keep": -2}), "n_keep"),
        (json!({"n_discard": -1}), "n_discard"),
        (json!({"n_probs": -1}), "n_probs"),
        (json!({"logprobs": -1}), "logprobs"),
        (json!({"seed": 4294967296_u64}), "seed"),
        (json!({"grammar_lazy": true}), "grammar_lazy"),
        (json!({"json_schema": "x"}), "json_schema"),
        (json!({"logit_bias": [[1]]}), "logit_bias[0]"),
        (json!({"logit_bias": [[null, 1]]}), "logit_bias[0]"),
        (json!({"logit_bias": {"1": "x"}}), "logit_bias.1"),
        (json!({"samplers": [1]}), "samplers[0]"),
        (
            json!({"reasoning_budget_tokens": 0}),
            "reasoning_budget_tokens",
        ),
        (
            json!({"prompt": {"prompt_string": "a", "multimodal_data": ["x"]}}),
            "prompt.multimodal_data",
        ),
    ] {
        assert_eq!(refused(ask(extra.clone())).0, field, "{extra}");
    }
}

#[test]
fn what_means_nothing_is_accepted_and_the_rest_is_told() {
    let known = asked(json!({
        "cache_prompt": true, "id_slot": -1, "n_cache_reuse": 0, "backend_sampling": false, "lora": [{"id": 0, "scale": 0}],
        "stream_options": {"include_usage": true}, "reasoning_budget_tokens": -1, "seed": null,
    }));
    assert_eq!(known.style.notes, [""; 0]);
    let other = asked(json!({"oops": 1, "samplers": ["infill", "top_k"]}));
    assert_eq!(
        other.style.notes,
        [
            "samplers: 'infill' is no sampler here and was left out",
            "oops is not known here"
        ]
    );
}

fn extended(extra: Value, chats: &chat::ChatStanding, stream: bool) -> Result<Chat, Failure> {
    let given = Chat {
        messages: vec![Message::new("user", "a"), Message::new("assistant", "b")],
        ..Chat::default()
    };
    let mut request = Request {
        input: Input::Chat(Box::new(given)),
        ..Request::default()
    };
    let mut warnings = Vec::new();
    let mut fields = Fields::new(body(extra));
    chat::extend(
        &mut fields,
        &Standing::default(),
        chats,
        stream,
        &mut request,
        &mut warnings,
    )?;
    match request.input {
        Input::Chat(chat) => Ok(*chat),
        other => panic!("{other:?}"),
    }
}

#[test]
fn chats_have_more_fields() {
    let none = chat::ChatStanding::default();
    let plain = extended(json!({}), &none, false).unwrap();
    assert!(plain.continue_last && !plain.reasoning_in_text);
    assert_eq!(
        (plain.reasoning_budget, plain.think),
        (None, Think::Default)
    );
    let told = extended(
        json!({
            "reasoning_format": "none", "thinking_budget_tokens": 5, "chat_template_kwargs": {"enable_thinking": false, "a": 1},
            "add_generation_prompt": true, "continue_final_message": false,
        }),
        &none,
        false,
    )
    .unwrap();
    assert!(!told.continue_last && told.reasoning_in_text);
    assert_eq!((told.reasoning_budget, told.think), (Some(5), Think::Off));
    assert_eq!(told.template_variables["a"], 1);
    for stream in [false, true] {
        let legacy = extended(
            json!({"reasoning_format": "deepseek-legacy"}),
            &none,
            stream,
        )
        .unwrap();
        assert_eq!(legacy.reasoning_in_text, stream);
    }
    let standing = chat::ChatStanding {
        budget: Some(7),
        budget_message: "enough".into(),
        think: Think::Off,
        no_prefill: true,
        unparsed: true,
        variables: body(json!({"a": 1, "b": 1})),
        template: Some("{{ x }}".into()),
        ..none.clone()
    };
    let held = extended(
        json!({"chat_template_kwargs": {"a": 2}, "reasoning_budget_tokens": -1}),
        &standing,
        false,
    )
    .unwrap();
    assert!(!held.continue_last && held.calls_in_text && held.reasoning_in_text);
    assert_eq!((held.reasoning_budget, held.think), (Some(7), Think::Off));
    assert_eq!(held.budget_message, "enough");
    let own = extended(json!({"reasoning_budget_message": "so"}), &standing, false);
    assert_eq!(own.unwrap().budget_message, "so");
    assert_eq!(json!(held.template_variables), json!({"a": 2, "b": 1}));
    let template = OtherTemplate::Jinja("{{ x }}".into());
    assert_eq!(held.template, Some(template));
    for (extra, field) in [
        (json!({"reasoning_format": "x"}), "reasoning_format"),
        (
            json!({"reasoning_budget_message": 1}),
            "reasoning_budget_message",
        ),
        (
            json!({"chat_template_kwargs": {"enable_thinking": "yes"}}),
            "chat_template_kwargs.enable_thinking",
        ),
        (
            json!({"add_generation_prompt": true, "continue_final_message": true}),
            "add_generation_prompt",
        ),
        (
            json!({"continue_final_message": "all"}),
            "continue_final_message",
        ),
        (json!({"grammar": "g", "json_schema": {}}), "grammar"),
    ] {
        assert_eq!(refused(extended(extra, &none, false)).0, field);
    }
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-3..5i64).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,4}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec(
                (
                    prop::sample::select(vec![
                        "prompt_string",
                        "multimodal_data",
                        "text",
                        "id",
                        "scale"
                    ]),
                    inner
                ),
                0..4
            )
            .prop_map(|pairs| pairs
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value))
                .collect()),
        ]
    })
}

const FIELDS: [&str; 40] = [
    "prompt",
    "stream",
    "n_predict",
    "max_tokens",
    "n_cmpl",
    "n",
    "n_keep",
    "n_discard",
    "n_indent",
    "t_max_predict_ms",
    "stop",
    "return_tokens",
    "return_progress",
    "sse_ping_interval",
    "response_fields",
    "lora",
    "temperature",
    "top_k",
    "top_p",
    "dry_sequence_breakers",
    "mirostat",
    "samplers",
    "seed",
    "n_probs",
    "logprobs",
    "min_keep",
    "logit_bias",
    "ignore_eos",
    "grammar",
    "json_schema",
    "input_prefix",
    "input_suffix",
    "input_extra",
    "content",
    "input",
    "tokens",
    "query",
    "documents",
    "texts",
    "top_n",
];

proptest! {
    #[test]
    fn any_object_is_read_or_refused_with_a_field(
        fields in prop::collection::vec((prop::sample::select(FIELDS.to_vec()), any_value()), 0..8),
    ) {
        let all: Map<String, Value> = fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let standing = Standing::default();
        let failures = [
            completion(all.clone(), &standing).err(),
            infill(all.clone(), &standing).err(),
            text::tokenize(all.clone()).err(),
            text::detokenize(all.clone()).err(),
            embedding::request(all.clone(), 2).err(),
            rerank::request(all.clone()).err(),
            control::slot_action(Some("save"), all).err(),
        ];
        for failure in failures.into_iter().flatten() {
            let Failure::Invalid { field, message } = &failure else {
                panic!("{failure:?}");
            };
            prop_assert!(!field.is_empty() && !message.is_empty());
            prop_assert_eq!(error(&failure).0, 400);
        }
    }
}
