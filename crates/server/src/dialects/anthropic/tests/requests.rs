use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::core::request::{Format, Think, ToolChoice};

/// A body with the fields that are required and these.
fn with(extra: Value) -> Map<String, Value> {
    let mut all = body(json!({
        "model": "m", "max_tokens": 64, "messages": [{"role": "user", "content": "hi"}],
    }));
    all.extend(body(extra));
    all
}

fn messages(list: Value) -> Result<Asked, Failure> {
    request(with(json!({ "messages": list })))
}

/// The conversation as templates see it.
fn read(list: Value) -> Value {
    let asked = messages(list.clone()).unwrap_or_else(|error| panic!("{list}: {error}"));
    serde_json::to_value(&chat(&asked).messages).unwrap()
}

#[test]
fn the_smallest_request() {
    let asked = request(with(json!({}))).unwrap();
    assert_eq!(asked.request.model, "m");
    assert_eq!(asked.request.limits.max_tokens, Some(64));
    assert_eq!(asked.request.limits.stops, None);
    assert!(asked.request.sampling.settings.is_empty());
    assert!(!asked.stream && asked.warnings.is_empty());
    let chat = chat(&asked);
    assert_eq!(chat.think, Think::Default);
    assert_eq!(chat.tool_choice, ToolChoice::Auto);
    assert!(chat.parallel_tool_calls && !chat.continue_last);
    assert_eq!(chat.messages.len(), 1);
}

#[test]
fn conversations() {
    let cases = [
        (
            json!([{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b", "cache_control": {"type": "ephemeral"}}]}]),
            json!([{"role": "user", "content": "ab", "tool_calls": []}]),
        ),
        // Claude Code sends notes of the system after the first turn.
        (
            json!([{"role": "user", "content": "hi"}, {"role": "system", "content": "note"}]),
            json!([{"role": "user", "content": "hi"}, {"role": "system", "content": "note"}]),
        ),
        (
            json!([{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]),
            json!([{"role": "user", "content": "a\n\nb"}]),
        ),
        (
            json!([
                {"role": "user", "content": "weather?"},
                {"role": "assistant", "content": [
                    {"type": "thinking", "thinking": "look", "signature": "x"},
                    {"type": "redacted_thinking", "data": "y"},
                    {"type": "text", "text": "wait"},
                    {"type": "tool_use", "id": "toolu_1", "name": "get_w", "input": {"city": "Oslo"}},
                    {"type": "tool_use", "id": "own", "name": "get_t"},
                ]},
                {"role": "user", "content": [
                    {"type": "text", "text": "and?"},
                    {"type": "tool_result", "tool_use_id": "toolu_1", "content": "7"},
                    {"type": "tool_result", "tool_use_id": "own", "is_error": true, "content": [{"type": "text", "text": "no clock"}]},
                ]},
            ]),
            json!([
                {"role": "user", "content": "weather?"},
                {"role": "assistant", "content": "wait", "reasoning_content": "look", "tool_calls": [
                    {"id": "1", "type": "function", "function": {"name": "get_w", "arguments": {"city": "Oslo"}}},
                    {"id": "own", "type": "function", "function": {"name": "get_t", "arguments": {}}},
                ]},
                {"role": "tool", "content": "7", "tool_call_id": "1", "name": "get_w"},
                {"role": "tool", "content": "Error: no clock", "tool_call_id": "own", "name": "get_t"},
                {"role": "user", "content": "and?"},
            ]),
        ),
        (
            json!([{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "gone"}]}]),
            json!([{"role": "tool", "content": "", "tool_call_id": "gone"}]),
        ),
        (
            json!([{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "is_error": true}]}]),
            json!([{"role": "tool", "content": "Error", "tool_call_id": "t"}]),
        ),
        (
            json!([{"role": "user", "content": [
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}},
                {"type": "text", "text": "what?"},
            ]}]),
            json!([{"role": "user", "content": [
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}},
                {"type": "text", "text": "what?"},
            ]}]),
        ),
        (
            json!([{"role": "user", "content": [
                {"type": "document", "title": "T", "source": {"type": "text", "media_type": "text/plain", "data": "body"}},
                {"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": "!"}]}},
                {"type": "search_result", "title": "S", "source": "u", "content": [{"type": "text", "text": "found"}]},
            ]}]),
            json!([{"role": "user", "content": "T\nbody!S\nu\nfound"}]),
        ),
    ];
    for (sent, expected) in cases {
        let mut expected = expected;
        for message in expected.as_array_mut().unwrap() {
            let message = message.as_object_mut().unwrap();
            if message.get("tool_calls") == Some(&json!([])) {
                message.remove("tool_calls");
            }
        }
        assert_eq!(read(sent.clone()), expected, "{sent}");
    }
}

#[test]
fn system_texts() {
    let billed = "x-anthropic-billing-header: cc_version=2.1; cch=1a2b3;";
    for (system, expected) in [
        (json!("be brief"), Some("be brief")),
        (json!(""), None),
        (json!([]), None),
        (
            json!([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]),
            Some("a\n\nb"),
        ),
        (
            json!([{"type": "text", "text": billed}, {"type": "text", "text": "b", "cache_control": {}}]),
            Some("b"),
        ),
        (json!(format!("{billed}\nrest")), Some("rest")),
    ] {
        let asked = request(with(json!({ "system": system }))).unwrap();
        let first = &chat(&asked).messages[0];
        let found = (first.role == "system").then(|| first.text());
        assert_eq!(found.as_deref(), expected, "{system}");
    }
}

#[test]
fn the_last_turn_of_the_assistant_is_continued() {
    let user = json!({"role": "user", "content": "a"});
    let asked = messages(json!([user, {"role": "assistant", "content": "The answer is"}])).unwrap();
    assert!(chat(&asked).continue_last);
    let asked = messages(json!([user, {"role": "assistant", "content": ""}])).unwrap();
    assert!(!chat(&asked).continue_last);
    assert_eq!(chat(&asked).messages.len(), 1);
    let call = json!({"type": "tool_use", "id": "1", "name": "f", "input": {}});
    let (field, message) = refused(messages(
        json!([user, {"role": "assistant", "content": [call]}]),
    ));
    assert_eq!(field, "messages");
    assert!(message.contains("tool_result"), "{message}");
}

#[test]
fn tools_and_choices() {
    let tools = json!([
        {"name": "get_w", "description": "d", "input_schema": {"type": "object", "$schema": "s"}, "cache_control": {}, "defer_loading": true},
        {"type": "custom", "name": "plain", "strict": true},
        {"type": "web_search_20250305", "name": "web_search"},
    ]);
    let asked = request(with(json!({ "tools": tools }))).unwrap();
    assert_eq!(
        json!(chat(&asked).tools),
        json!([
            {"type": "function", "function": {"name": "get_w", "description": "d", "parameters": {"type": "object", "$schema": "s"}}},
            {"type": "function", "function": {"name": "plain", "parameters": {"type": "object", "properties": {}}, "strict": true}},
        ])
    );
    assert_eq!(
        asked.warnings,
        ["tools[2] was left out: this server does not have the tool 'web_search_20250305'"]
    );
    for (choice, expected, parallel) in [
        (json!({"type": "auto"}), ToolChoice::Auto, true),
        (
            json!({"type": "auto", "disable_parallel_tool_use": true}),
            ToolChoice::Auto,
            false,
        ),
        (json!({"type": "none"}), ToolChoice::None, true),
        (json!({"type": "any"}), ToolChoice::Required, true),
        (
            json!({"type": "tool", "name": "plain", "disable_parallel_tool_use": true}),
            ToolChoice::Named("plain".into()),
            false,
        ),
    ] {
        let asked = request(with(json!({ "tools": tools, "tool_choice": choice }))).unwrap();
        assert_eq!(chat(&asked).tool_choice, expected, "{choice}");
        assert_eq!(chat(&asked).parallel_tool_calls, parallel, "{choice}");
    }
}

#[test]
fn thoughts() {
    let high = || Some("high".to_owned());
    for (extra, think, budget, omitted) in [
        (json!({}), Think::Default, None, false),
        (
            json!({"thinking": {"type": "enabled", "budget_tokens": 2000}}),
            Think::IfPossible(None),
            Some(2000),
            false,
        ),
        (
            json!({"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}}),
            Think::IfPossible(high()),
            None,
            false,
        ),
        (
            json!({"thinking": {"type": "adaptive", "display": "omitted"}}),
            Think::IfPossible(None),
            None,
            true,
        ),
        (
            json!({"thinking": {"type": "disabled"}, "output_config": {"effort": "high"}}),
            Think::Off,
            None,
            false,
        ),
        (
            json!({"output_config": {"effort": "xhigh"}}),
            Think::IfPossible(high()),
            None,
            false,
        ),
    ] {
        let asked = request(with(extra.clone())).unwrap();
        assert_eq!(chat(&asked).think, think, "{extra}");
        assert_eq!(chat(&asked).reasoning_budget, budget, "{extra}");
        assert_eq!(asked.shape.thoughts_omitted, omitted, "{extra}");
    }
}

#[test]
fn formats_stops_and_sampling() {
    let schema = json!({"type": "object"});
    for extra in [
        json!({"output_config": {"format": {"type": "json_schema", "schema": schema}}}),
        json!({"output_format": {"type": "json_schema", "schema": schema}}),
    ] {
        let asked = request(with(extra)).unwrap();
        assert_eq!(asked.request.format, Some(Format::Schema(schema.clone())));
    }
    let asked = request(with(json!({
        "stop_sequences": ["X", ""], "temperature": 1, "top_p": 0.5, "top_k": -1, "min_p": 0.1, "seed": 7,
        "num_ctx": 8192, "stream": true, "chat_template_kwargs": {"a": 1},
    })))
    .unwrap();
    assert_eq!(asked.request.limits.stops, Some(vec!["X".to_owned()]));
    assert_eq!(asked.shape.stops, ["X"]);
    assert_eq!(
        Value::Object(asked.request.sampling.settings.clone()),
        json!({"temperature": 1.0, "top_p": 0.5, "top_k": 0, "min_p": 0.1})
    );
    assert_eq!(asked.request.sampling.seed, Some(7));
    assert_eq!(asked.request.load.context, Some(8192));
    assert_eq!(chat(&asked).template_variables["a"], 1);
    assert!(asked.stream);
}

#[test]
fn what_means_nothing_is_accepted_and_the_rest_is_told() {
    let asked = request(with(json!({
        "metadata": {"user_id": "u"}, "service_tier": "auto", "cache_control": {"type": "ephemeral"}, "thread": null,
        "context_management": {"edits": [{"type": "clear_thinking_20251015"}]}, "container": "c",
        "mcp_servers": [], "tools": [], "stop_sequences": null, "temperature": null,
    })))
    .unwrap();
    assert_eq!(asked.warnings, [""; 0]);
    let asked = request(with(json!({"mcp_servers": [{}], "oops": 1}))).unwrap();
    assert_eq!(
        asked.warnings,
        [
            "mcp_servers was left out: this server connects to none",
            "oops is not known here"
        ]
    );
    let asked = messages(json!([
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": [{"type": "server_tool_use", "id": "s"}, {"type": "text", "text": "b"}]},
        {"role": "user", "content": "c"},
    ]))
    .unwrap();
    assert_eq!(
        asked.warnings,
        [
            "messages[1].content[0] was left out: a block of the type 'server_tool_use' means nothing here"
        ]
    );
}

#[test]
fn counting_needs_no_limit() {
    let mut all = with(json!({}));
    all.remove("max_tokens");
    assert_eq!(count(all.clone()).unwrap().request.limits.max_tokens, None);
    assert_eq!(
        refused(request(all)),
        (
            "max_tokens".into(),
            "max_tokens is required and must be positive".into()
        )
    );
    assert_eq!(counted(12), json!({"input_tokens": 12}));
}

#[test]
fn refusals_name_the_field() {
    let user = |block: Value| json!({"messages": [{"role": "user", "content": [block]}]});
    for (extra, field) in [
        (json!({"model": ""}), "model"),
        (json!({"model": null}), "model"),
        (json!({"model": 3}), "model"),
        (json!({"messages": []}), "messages"),
        (json!({"messages": "hi"}), "messages"),
        (json!({"messages": [3]}), "messages[0]"),
        (json!({"messages": [{"content": "a"}]}), "messages[0].role"),
        (
            json!({"messages": [{"role": "user"}]}),
            "messages[0].content",
        ),
        (
            json!({"messages": [{"role": "tool", "content": ""}]}),
            "messages[0].role",
        ),
        (
            json!({"messages": [{"role": "user", "content": 3}]}),
            "messages[0].content",
        ),
        (user(json!({"text": "a"})), "messages[0].content[0].type"),
        (user(json!({"type": "text"})), "messages[0].content[0].text"),
        (
            user(json!({"type": "audio"})),
            "messages[0].content[0].type",
        ),
        (
            user(json!({"type": "image"})),
            "messages[0].content[0].source",
        ),
        (
            user(json!({"type": "image", "source": {"type": "file", "file_id": "f"}})),
            "messages[0].content[0].source.type",
        ),
        (
            user(json!({"type": "document", "source": {"type": "base64", "data": "AA=="}})),
            "messages[0].content[0].source.type",
        ),
        (
            user(json!({"type": "tool_result"})),
            "messages[0].content[0].tool_use_id",
        ),
        (
            json!({"messages": [{"role": "assistant", "content": [{"type": "tool_use", "id": "a"}]}]}),
            "messages[0].content[0].name",
        ),
        (json!({"max_tokens": 0}), "max_tokens"),
        (json!({"max_tokens": 1.5}), "max_tokens"),
        (json!({"max_tokens": "9"}), "max_tokens"),
        (json!({"thread": {"type": "create"}}), "thread"),
        (json!({"system": 3}), "system"),
        (json!({"system": [{"type": "image"}]}), "system[0].type"),
        (json!({"stop_sequences": [3]}), "stop_sequences[0]"),
        (json!({"thinking": {"type": "much"}}), "thinking.type"),
        (
            json!({"thinking": {"type": "enabled", "budget_tokens": -1}}),
            "thinking.budget_tokens",
        ),
        (
            json!({"output_config": {"effort": "huge"}}),
            "output_config.effort",
        ),
        (
            json!({"output_config": {"format": {"type": "xml"}}}),
            "output_config.format.type",
        ),
        (
            json!({"output_config": {"format": {"type": "json_schema"}}}),
            "output_config.format.schema",
        ),
        (json!({"tools": [{"description": "d"}]}), "tools[0].name"),
        (
            json!({"tools": [{"name": "f", "input_schema": 1}]}),
            "tools[0].input_schema",
        ),
        (json!({"tool_choice": {"type": "some"}}), "tool_choice.type"),
        (json!({"tool_choice": {"type": "any"}}), "tool_choice"),
        (
            json!({"tool_choice": {"type": "tool", "name": "f"}}),
            "tool_choice.name",
        ),
        (
            json!({"tools": [{"type": "bash_20250124", "name": "bash"}], "tool_choice": {"type": "tool", "name": "bash"}}),
            "tool_choice.name",
        ),
        (json!({"temperature": "hot"}), "temperature"),
        (json!({"top_k": 1.5}), "top_k"),
    ] {
        let (found, message) = refused(request(with(extra.clone())));
        assert_eq!(found, field, "{extra}: {message}");
    }
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        prop::sample::select(vec![
            "",
            "text",
            "user",
            "assistant",
            "system",
            "image",
            "tool_use",
            "tool_result",
            "thinking",
            "enabled",
            "any",
            "tool",
            "json_schema",
            "base64",
            "document",
            "toolu_",
            "é",
        ])
        .prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 64, 6, |inner| {
        let key = prop::sample::select(vec![
            "type",
            "role",
            "content",
            "text",
            "source",
            "data",
            "media_type",
            "id",
            "name",
            "input",
            "tool_use_id",
            "is_error",
            "budget_tokens",
            "effort",
            "format",
            "schema",
            "input_schema",
            "thinking",
        ]);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((key, inner), 0..6).prop_map(|pairs| pairs
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value))
                .collect()),
        ]
    })
}

proptest! {
    #[test]
    fn any_object_is_read_or_refused_with_a_field(
        fields in prop::collection::vec((prop::sample::select(vec![
            "model", "messages", "max_tokens", "system", "tools", "tool_choice", "thinking", "output_config", "stream",
            "stop_sequences", "temperature", "top_k", "seed", "metadata", "thread", "mcp_servers", "num_ctx",
        ]), any_value()), 0..10),
        complete in any::<bool>(),
    ) {
        let mut all = if complete { with(json!({})) } else { Map::new() };
        all.extend(fields.into_iter().map(|(name, value)| (name.to_owned(), value)));
        for result in [request(all.clone()), count(all)] {
            if let Err(failure) = result {
                let Failure::Invalid { field, message } = &failure else {
                    panic!("{failure:?}");
                };
                prop_assert!(!field.is_empty() && !message.is_empty());
                prop_assert_eq!(error(&failure).0, 400);
            }
        }
    }
}
