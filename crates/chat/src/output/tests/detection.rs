//! Templates and the formats they tell of.

use std::fs;
use std::path::Path;

use super::*;
use crate::{ChatTemplate, GoTemplate, SpecialTokens, Template};

const TEMPLATES: &[(&str, &str)] = &[
    ("Apertus-8B-Instruct", "apertus"),
    ("Apriel-1.6-15b-Thinker-fixed", "apriel"),
    ("Bielik-11B-v3.0-Instruct", "hermes"),
    ("ByteDance-Seed-OSS", "seed"),
    ("Cohere2MoE", "cohere2"),
    ("CohereForAI-c4ai-command-r-plus-tool_use", "command-r"),
    ("CohereForAI-c4ai-command-r7b-12-2024-tool_use", "cohere"),
    ("GLM-4.6", "glm"),
    ("GigaChat3-10B-A1.8B", "gigachat3"),
    ("HuggingFaceTB-SmolLM3-3B", "generic"),
    ("Kimi-K2-Instruct", "kimi-k2"),
    ("Kimi-K2-Thinking", "kimi-k2"),
    ("LFM2-8B-A1B", "lfm2"),
    ("MiMo-VL", "hermes"),
    ("MiniMax-M1", "minimax-m1"),
    ("MiniMax-M2", "minimax-m2"),
    ("Mistral-Small-3.2-24B-Instruct-2506", "mistral-small"),
    ("NVIDIA-Nemotron-3-Nano-30B-A3B-BF16", "qwen3-coder"),
    ("NVIDIA-Nemotron-Nano-v2", "nemotron"),
    ("NousResearch-Hermes-2-Pro-Llama-3-8B-tool_use", "hermes"),
    ("NousResearch-Hermes-3-Llama-3.1-8B-tool_use", "hermes"),
    ("Qwen-QwQ-32B", "hermes"),
    ("Qwen-Qwen2.5-7B-Instruct", "hermes"),
    ("Qwen-Qwen3-0.6B", "hermes"),
    ("Qwen3-Coder", "qwen3-coder"),
    ("Qwen3.5-4B", "qwen3-coder"),
    ("Reka-Edge", "hermes"),
    ("StepFun3.5-Flash", "qwen3-coder"),
    ("deepseek-ai-DeepSeek-R1-Distill-Llama-8B", "deepseek-r1"),
    ("deepseek-ai-DeepSeek-R1-Distill-Qwen-32B", "deepseek-r1"),
    ("deepseek-ai-DeepSeek-V3.1", "deepseek-v3.1"),
    ("deepseek-ai-DeepSeek-V3.2", "deepseek-v3.2"),
    ("deepseek-ai-DeepSeek-V4", "deepseek-v4"),
    ("fireworks-ai-llama-3-firefunction-v2", "functools"),
    ("google-gemma-2-2b-it", "generic"),
    ("google-gemma-4-31B-it", "gemma4"),
    ("ibm-granite-granite-3.3-2B-Instruct", "granite"),
    ("ibm-granite-granite-4.0", "hermes"),
    ("llama-cpp-deepseek-r1", "deepseek-r1"),
    ("llama-cpp-rwkv-world", "generic"),
    ("meetkai-functionary-medium-v3.1", "functionary-3.1"),
    ("meetkai-functionary-medium-v3.2", "functionary-3.2"),
    ("meta-llama-Llama-3.1-8B-Instruct", "llama3"),
    ("meta-llama-Llama-3.2-3B-Instruct", "llama3"),
    ("meta-llama-Llama-3.3-70B-Instruct", "llama3"),
    ("microsoft-Phi-3.5-mini-instruct", "generic"),
    ("mistralai-Ministral-3-14B-Reasoning-2512", "ministral"),
    ("mistralai-Mistral-Nemo-Instruct-2407", "mistral"),
    ("moonshotai-Kimi-K2", "kimi-k2"),
    ("openai-gpt-oss-120b", "harmony"),
    ("unsloth-Apriel-1.5", "apriel"),
    ("unsloth-mistral-Devstral-Small-2507", "ministral"),
];

/// The templates of the shared folder, with their names.
pub(super) fn shared() -> Vec<(String, ChatTemplate)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/templates");
    let Ok(entries) = fs::read_dir(&folder) else {
        println!("skipped: no ../shared");
        return Vec::new();
    };
    let paths = entries.map(|entry| entry.unwrap().path());
    let read = |path: std::path::PathBuf| {
        let source = fs::read_to_string(&path).unwrap();
        let template = Template::new(&source, SpecialTokens::default()).unwrap();
        (
            path.file_stem().unwrap().to_str().unwrap().to_owned(),
            template.into(),
        )
    };
    paths
        .filter(|path| path.extension().is_some_and(|it| it == "jinja"))
        .map(read)
        .collect()
}

#[test]
fn templates_tell_their_format() {
    let mut wrong = Vec::new();
    for (name, template) in shared() {
        let found = Format::detect(&template).name();
        let expected = TEMPLATES.iter().find(|(known, _)| *known == name);
        if expected.map(|(_, format)| *format) != Some(found) {
            wrong.push(format!("{name}: {found}, not {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn go_templates_tell_their_tags() {
    let source = "{{ range .Messages }}{{ if .Thinking }}<hm>{{ .Thinking }}</hm>{{ end }}{{ .Content }}\
        {{ range .ToolCalls }}<call>{\"name\": \"{{ .Function.Name }}\"}</call>{{ end }}{{ end }}";
    let format = Format::detect(&GoTemplate::new(source).unwrap().into());
    assert_eq!(format.name(), "generic");
    let tools = tools();
    let options = Options {
        tools: &tools,
        ..Options::default()
    };
    let text = "<hm>p</hm>ok<call>{\"name\": \"get_w\", \"arguments\": {}}</call>";
    let output = Parser::parse(&format, options, text);
    assert_eq!(
        (&*output.reasoning, &*output.content, output.calls.len()),
        ("p", "ok", 1)
    );

    let plain = "{{ range .Messages }}{{ .Content }}{{ end }}";
    let format = Format::detect(&GoTemplate::new(plain).unwrap().into());
    assert_eq!(
        Parser::parse(&format, Options::default(), "<think>a</think>b").reasoning,
        "a"
    );
}

#[test]
fn unknown_jinja_templates_show_their_tags() {
    let source = "{% for m in messages %}<|{{ m.role }}|>{% if m.reasoning_content %}<hm>{{ m.reasoning_content }}</hm>{% endif %}\
        {{ m.content }}{% for c in m.tool_calls or [] %}<my_call>{\"name\": {{ c.function.name | tojson }}, \"arguments\": {{ c.function.arguments | tojson }}}</my_call>\
        {% endfor %}<|done|>{% endfor %}";
    let format = Format::detect(
        &Template::new(source, SpecialTokens::default())
            .unwrap()
            .into(),
    );
    assert_eq!(format.name(), "generic");
    let tools = tools();
    let options = Options {
        tools: &tools,
        ..Options::default()
    };
    let text = "<hm>p</hm>ok<my_call>{\"name\": \"get_w\", \"arguments\": {}}</my_call>";
    let output = Parser::parse(&format, options, text);
    assert_eq!(
        (&*output.reasoning, &*output.content, output.calls.len()),
        ("p", "ok", 1)
    );
    let grammar = format
        .call_grammar(&tools, &Choice::Auto, true, &|_| None)
        .unwrap();
    assert_eq!(grammar.triggers, ["<my_call>"]);
}

#[test]
fn formats_have_the_names_of_other_programs() {
    let names = [
        ("qwen3_coder", "qwen3-coder"),
        ("llama3_json", "llama3"),
        ("openai", "harmony"),
        ("deepseek_v31", "deepseek-v3.1"),
        ("pythonic", "llama4"),
        ("qwen3-thinking", "hermes"),
        ("glm-4.7", "glm"),
        ("kimi_k2", "kimi-k2"),
        ("olmo3-think", "olmo3"),
        ("mistral", "mistral"),
        ("granite", "granite"),
        ("xlam", "xlam"),
        ("passthrough", "passthrough"),
    ];
    for (name, format) in names {
        assert_eq!(
            Format::by_name(name).map(|format| format.name()),
            Some(format),
            "{name}"
        );
    }
    assert!(Format::by_name("unknown").is_none());
}

/// Templates and their tools, thinking, switch and levels.
const CAPABLE: &[(&str, [bool; 4])] = &[
    ("Qwen-Qwen3-0.6B", [true, true, true, false]),
    ("Qwen-Qwen2.5-7B-Instruct", [true, false, false, false]),
    ("openai-gpt-oss-120b", [true, true, false, true]),
    ("google-gemma-4-31B-it", [true, true, true, false]),
    ("google-gemma-2-2b-it", [false, false, false, false]),
    ("deepseek-ai-DeepSeek-V3.1", [true, true, true, false]),
    (
        "mistralai-Ministral-3-14B-Reasoning-2512",
        [true, true, false, false],
    ),
    (
        "ibm-granite-granite-3.3-2B-Instruct",
        [true, true, true, false],
    ),
    ("Kimi-K2-Instruct", [true, false, false, false]),
    ("Kimi-K2-Thinking", [true, true, false, false]),
    (
        "microsoft-Phi-3.5-mini-instruct",
        [false, false, false, false],
    ),
    ("GLM-4.6", [true, true, true, false]),
];

#[test]
fn templates_tell_what_models_can_do() {
    let mut wrong = Vec::new();
    for (name, template) in shared() {
        let Some((_, expected)) = CAPABLE.iter().find(|(known, _)| *known == name) else {
            continue;
        };
        let found = Capabilities::of(&template);
        assert!(!found.insert);
        let found = [found.tools, found.thinking, found.switch, found.levels];
        if found != *expected {
            wrong.push(format!("{name}: {found:?}, not {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let go = "{{ if .Tools }}{{ .Tools }}{{ end }}{{ if .Suffix }}{{ .Suffix }}{{ end }}{{ .ThinkLevel }}{{ .Prompt }}";
    let found = Capabilities::of(&GoTemplate::new(go).unwrap().into());
    let expected = Capabilities {
        tools: true,
        thinking: true,
        switch: false,
        levels: true,
        insert: true,
    };
    assert_eq!(found, expected);
}

#[test]
fn thinking_is_switched_by_the_variables_of_the_template() {
    use crate::go::Think;
    let jinja = |source: &str| {
        Template::new(source, SpecialTokens::default())
            .unwrap()
            .into()
    };
    let level = Think::Level("high".to_owned());
    let cases = [
        (
            "{{ enable_thinking }}",
            Think::Off,
            json!({"enable_thinking": false}),
        ),
        (
            "{% if thinking %}{% endif %}",
            Think::On,
            json!({"thinking": true}),
        ),
        ("{{ message.thinking }} thinking", Think::On, json!({})),
        (
            "{{ reasoning_effort }}",
            level.clone(),
            json!({"reasoning_effort": "high"}),
        ),
        (
            "{{ reasoning_effort }}",
            Think::Off,
            json!({"reasoning_effort": "none"}),
        ),
        (
            "{{ thinking_mode }}",
            Think::Off,
            json!({"thinking_mode": "disabled"}),
        ),
    ];
    for (source, think, expected) in cases {
        let found = thinking_variables(&jinja(source), &think);
        assert_eq!(serde_json::Value::Object(found), expected, "{source}");
    }
    let go = GoTemplate::new("{{ .Prompt }}").unwrap().into();
    assert_eq!(thinking_variables(&go, &level)["think"], "high");
}
