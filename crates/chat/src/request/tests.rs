use super::*;
use crate::output::{Options, Parser};
use crate::{GoTemplate, SpecialTokens, Template};

fn jinja(source: &str) -> ChatTemplate {
    Template::new(source, SpecialTokens::default())
        .unwrap()
        .into()
}

const CHATML: &str = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}\
    {% for c in m.tool_calls or [] %}<tool_call>{{ c.function.arguments | tojson }}</tool_call>{% endfor %}\
    <|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

fn call(id: Option<&str>, name: &str) -> ToolCall {
    ToolCall {
        id: id.map(str::to_owned),
        kind: "function".to_owned(),
        function: Function {
            name: name.to_owned(),
            arguments: json!("{\"a\": 1}"),
        },
    }
}

fn result(id: Option<&str>, name: Option<&str>) -> Message {
    Message {
        tool_call_id: id.map(str::to_owned),
        name: name.map(str::to_owned),
        ..Message::new("tool", "x")
    }
}

fn calling(calls: Vec<ToolCall>) -> Message {
    Message {
        content: None,
        tool_calls: calls,
        ..Message::new("assistant", "")
    }
}

#[test]
fn templates_tell_what_they_expect() {
    let plain = Conventions::of(&jinja(CHATML));
    assert!(plain.system && plain.plain_content && plain.object_arguments);
    assert!(!plain.parts && !plain.developer && !plain.nine_character_ids);
    let text = CHATML.replace(" | tojson", "");
    assert!(!Conventions::of(&jinja(&text)).object_arguments);
    let typed =
        "{% for m in messages %}{% for p in m.content %}{{ p.text }}{% endfor %}{% endfor %}";
    let typed = Conventions::of(&jinja(typed));
    assert!(typed.parts && !typed.plain_content);
    let strict = "{% for m in messages %}{% for c in m.tool_calls or [] %}{% if c.id | length != 9 %}\
        {{ raise_exception('ids') }}{% endif %}{% endfor %}{{ m.content }}{% endfor %}";
    assert!(Conventions::of(&jinja(strict)).nine_character_ids);
    let gemma = "{% if messages[0].role == 'system' %}{{ raise_exception('no') }}{% endif %}\
        {% for m in messages %}{{ m.content }}{% endfor %}";
    assert!(!Conventions::of(&jinja(gemma)).system);
    let go = GoTemplate::new("{{ .System }}{{ range .Messages }}{{ .Content }}{{ end }}").unwrap();
    assert!(Conventions::of(&go.into()).system);
}

#[test]
fn roles_and_contents_are_adapted() {
    let mut conventions = Conventions::of(&jinja(CHATML));
    let parts = Message {
        content: Some(Content::Parts(vec![text_part("a"), text_part("b")])),
        ..Message::new("user", "")
    };
    let messages = vec![Message::new("developer", "S"), parts.clone()];
    let found = conventions.apply(messages.clone());
    assert_eq!(
        (&*found[0].role, found[1].text()),
        ("system", "a\nb".to_owned())
    );
    conventions.system = false;
    let found = conventions.apply(messages);
    assert_eq!(
        (found.len(), &*found[0].role, found[0].text()),
        (1, "user", "S\na\nb".to_owned())
    );
    let found = conventions.apply(vec![Message::new("system", "S")]);
    assert_eq!(found, [Message::new("user", "S")]);
    (conventions.parts, conventions.plain_content) = (true, false);
    let found = conventions.apply(vec![Message::new("user", "a"), parts.clone()]);
    assert_eq!(found[0].content, Some(Content::Parts(vec![text_part("a")])));
    assert_eq!(found[1], parts);
}

#[test]
fn arguments_are_what_the_template_reads() {
    let mut conventions = Conventions::of(&jinja(CHATML));
    let arguments = |conventions: &Conventions, value: Value| {
        let mut one = call(None, "f");
        one.function.arguments = value;
        let found = conventions.apply(vec![calling(vec![one])]);
        found[0].tool_calls[0].function.arguments.clone()
    };
    assert_eq!(
        arguments(&conventions, json!("{\"a\": 1}")),
        json!({"a": 1})
    );
    assert_eq!(arguments(&conventions, json!("{broken")), json!("{broken"));
    assert_eq!(arguments(&conventions, Value::Null), json!({}));
    conventions.object_arguments = false;
    assert_eq!(arguments(&conventions, json!({"a": 1})), json!("{\"a\":1}"));
    assert_eq!(arguments(&conventions, json!("{broken")), json!("{broken"));
}

#[test]
fn results_belong_to_calls() {
    let mut conventions = Conventions::of(&jinja(CHATML));
    let messages = vec![
        calling(vec![call(Some("1"), "f"), call(None, "g"), call(None, "g")]),
        result(None, Some("g")),
        result(Some("1"), None),
        result(None, None),
        result(None, None),
        result(Some("other"), None),
    ];
    for nine in [false, true] {
        conventions.nine_character_ids = nine;
        let found = conventions.apply(messages.clone());
        let ids: Vec<&str> = found[0]
            .tool_calls
            .iter()
            .map(|call| call.id.as_deref().unwrap())
            .collect();
        assert_eq!(ids[0] == "1", !nine);
        let answered: Vec<Option<&str>> = found[1..]
            .iter()
            .map(|it| it.tool_call_id.as_deref())
            .collect();
        assert_eq!(
            answered,
            [
                Some(ids[1]),
                Some(ids[0]),
                Some(ids[2]),
                None,
                Some("other")
            ]
        );
        let names: Vec<Option<&str>> = found[1..].iter().map(|it| it.name.as_deref()).collect();
        assert_eq!(names, [Some("g"), Some("f"), Some("g"), None, None]);
        assert_ne!(ids[1], ids[2]);
        assert_eq!(found, conventions.apply(messages.clone()));
    }
}

#[test]
fn answers_are_continued() {
    let request = |text: &str, reasoning: Option<&str>| Request {
        messages: vec![
            Message::new("user", "a"),
            Message {
                reasoning: reasoning.map(str::to_owned),
                ..Message::new("assistant", text)
            },
        ],
        ..Request::default()
    };
    let template = jinja(CHATML);
    let found = template
        .render_continued(&request("Hello wor", None))
        .unwrap();
    assert!(found.prompt.ends_with("assistant\nHello wor"), "{found:?}");
    assert_eq!(found.prefill, "Hello wor");
    let found = template.render_continued(&request("", Some("hm"))).unwrap();
    assert!(
        found.prompt.ends_with("<|im_start|>assistant\n<think>hm"),
        "{found:?}"
    );
    let options = Options {
        prompt: &found.prompt,
        prefill: &found.prefill,
        ..Options::default()
    };
    let output = Parser::parse(&Format::detect(&template), options, "m</think>ok");
    assert_eq!((&*output.reasoning, &*output.content), ("m", "ok"));
    let dropped =
        jinja("{% for m in messages %}{{ m.content.split('</think>')[-1] }}{% endfor %}|");
    let found = dropped
        .render_continued(&request("b</think>", None))
        .unwrap();
    assert_eq!(found.prompt, "a|b</think>");
}

type Holds = fn(&Conventions) -> bool;

/// Templates that are special in one way, and that way.
const KNOWN: &[(&str, Holds)] = &[
    ("mistralai-Mistral-Nemo-Instruct-2407", |found| {
        found.nine_character_ids
    }),
    ("google-gemma-2-2b-it", |found| !found.system),
    ("openai-gpt-oss-120b", |found| {
        found.developer && found.system
    }),
    ("Qwen-Qwen3-0.6B", |found| {
        found.system && found.object_arguments && !found.parts
    }),
    ("meta-llama-Llama-3.1-8B-Instruct", |found| {
        found.object_arguments && !found.developer
    }),
    ("GLM-4.6", |found| {
        found.object_arguments && found.plain_content
    }),
    ("meetkai-functionary-medium-v3.2", |found| {
        !found.object_arguments
    }),
    ("Mistral-Small-3.2-24B-Instruct-2506", |found| {
        found.parts && found.plain_content
    }),
];

#[test]
fn real_templates_tell_what_they_expect() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = folder.join("../../../shared/data/templates");
    if !folder.is_dir() {
        println!("skipped: no ../shared");
        return;
    }
    let mut wrong = Vec::new();
    for (name, holds) in KNOWN {
        let source = std::fs::read_to_string(folder.join(format!("{name}.jinja"))).unwrap();
        let tokens = SpecialTokens {
            bos: Some("<BOS>".to_owned()),
            eos: Some("<EOS>".to_owned()),
            ..SpecialTokens::default()
        };
        let found = Conventions::of(&Template::new(&source, tokens).unwrap().into());
        if !holds(&found) {
            wrong.push(format!("{name}: {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
