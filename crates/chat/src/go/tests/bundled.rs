//! What the bundled templates make of a conversation.

use super::*;
use crate::Error;

/// Each for system `S`, user `U`, assistant `A`, user `V`.
const EXPECTED: &[(&str, &str)] = &[
    (
        "chatml",
        "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nU<|im_end|>\n<|im_start|>assistant\nA<|im_end|>\n<|im_start|>user\nV<|im_end|>\n<|im_start|>assistant\n",
    ),
    (
        "phi-3",
        "<|system|>\nS<|end|>\n<|user|>\nU<|end|>\n<|assistant|>\nA<|end|>\n<|user|>\nV<|end|>\n<|assistant|>\n",
    ),
    (
        "zephyr",
        "<|system|>\nS</s>\n<|user|>\nU</s>\n<|assistant|>\nA</s>\n<|user|>\nV</s>\n<|assistant|>\n",
    ),
    (
        "mistral-instruct",
        "[INST] S\n\nU[/INST] A</s>[INST] V[/INST]",
    ),
    (
        "llama2-chat",
        "[INST] <<SYS>>\nS\n<</SYS>>\n\nU [/INST] A</s><s>[INST] V [/INST]",
    ),
    (
        "llama3-instruct",
        "<|start_header_id|>system<|end_header_id|>\n\nS<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nU<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\nA<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nV<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
    ),
    (
        "chatqa",
        "System: S\n\nUser: U\n\nAssistant: A\n\nUser: V\n\nAssistant:",
    ),
    (
        "falcon-instruct",
        "System: S\nUser:\nU\nFalcon:\nA\nUser:\nV\nFalcon:\n",
    ),
    (
        "openchat",
        "GPT4 Correct System: S<|end_of_turn|>GPT4 Correct User: U<|end_of_turn|>GPT4 Correct Assistant: A<|end_of_turn|>GPT4 Correct User: V<|end_of_turn|>GPT4 Correct Assistant:",
    ),
    (
        "starcoder2-instruct",
        "S\n\n### Instruction\nU\n\n### Response\nA<|endoftext|>\n\n### Instruction\nV\n\n### Response\n",
    ),
    (
        "codellama-70b-instruct",
        "Source: system\n\n S <step> Source: user\n\n U <step> Source: assistant\n\n A <step> Source: user\n\n V <step> Source: assistant\nDestination: user\n\n ",
    ),
    (
        "alpaca",
        "S\n\n### Instruction:\nU\n\n### Response:\nA\n\n### Instruction:\nV\n\n### Response:\n",
    ),
    (
        "gemma-instruct",
        "<start_of_turn>user\nS\n\nU<end_of_turn>\n<start_of_turn>model\nA<end_of_turn>\n<start_of_turn>user\nV<end_of_turn>\n<start_of_turn>model\n",
    ),
    (
        "gemma3-instruct",
        "<start_of_turn>user\nS\n\nU<end_of_turn>\n<start_of_turn>model\nA<end_of_turn>\n<start_of_turn>user\nV<end_of_turn>\n<start_of_turn>model\n",
    ),
    (
        "granite-instruct",
        "System:\nS\n\nQuestion:\nU\n\nAnswer:\nA\n\nQuestion:\nV\n\nAnswer:\n",
    ),
    (
        "magicoder",
        "S\n\n@@ Instruction\nU\n\n@@ Response\nA\n\n@@ Instruction\nV\n\n@@ Response\n",
    ),
    (
        "alfred",
        "<start_system>S<end_message><start_user>U<end_message><start_assistant>A<end_message><start_user>V<end_message><start_assistant>",
    ),
    (
        "solar-instruct",
        "### System:\nS\n\n### User:\nU\n\n### Assistant:\nA</s>\n### User:\nV\n\n### Assistant:\n",
    ),
    (
        "command-r",
        "<|START_OF_TURN_TOKEN|><|SYSTEM_TOKEN|>S<|END_OF_TURN_TOKEN|><|START_OF_TURN_TOKEN|><|USER_TOKEN|>U<|END_OF_TURN_TOKEN|><|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>A<|END_OF_TURN_TOKEN|><|START_OF_TURN_TOKEN|><|USER_TOKEN|>V<|END_OF_TURN_TOKEN|><|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>",
    ),
    (
        "vicuna",
        "S\n\nUSER: U\nASSISTANT: A</s>\nUSER: V\nASSISTANT:",
    ),
];

#[test]
fn render_a_conversation() {
    assert_eq!(EXPECTED.len(), BUNDLED.len());
    let turns = [
        ("system", "S"),
        ("user", "U"),
        ("assistant", "A"),
        ("user", "V"),
    ];
    for (name, expected) in EXPECTED {
        let bundled = by_name(name).unwrap();
        assert_eq!(
            prompt(bundled.source, &turns).as_deref(),
            Ok(*expected),
            "{name}"
        );
        assert!(!bundled.stops.is_empty(), "{name}");
    }
    assert!(matches!(by_name("nope"), Err(Error::UnknownName { .. })));
}

#[test]
fn go_on_with_an_answer() {
    let whole = [
        ("system", "S"),
        ("user", "U"),
        ("assistant", "A"),
        ("user", "V"),
    ];
    for (name, expected) in EXPECTED {
        let found = prompt(by_name(name).unwrap().source, &whole[..3]).unwrap();
        assert!(found.ends_with('A'), "{name}: {found:?}");
        assert!(expected.starts_with(&found), "{name}: {found:?}");
    }
}

#[test]
fn show_tools() {
    let tools = [tool()];
    let mut messages = conversation(&[("user", "U"), ("assistant", ""), ("tool", "12")]);
    messages[1] = calling(json!({"b": "x"}));
    let request = GoRequest {
        messages: &messages,
        tools: &tools,
        ..GoRequest::default()
    };
    let command_r = by_name("command-r").unwrap();
    let expected = concat!(
        "<|START_OF_TURN_TOKEN|><|SYSTEM_TOKEN|># Tools\nYou can call these tools:\n",
        r#"{"type":"function","function":{"name":"f","description":"d","parameters":{"type":"object","required":["b"],"properties":{"a":{"type":"number"},"b":{"type":"string","description":"x \u0026 y"}}}}}"#,
        "\nTo call some, answer with `Action:` and a list in JSON:\nAction: ```json\n",
        r#"[{"tool_name": "name of the tool", "parameters": {"name": "value"}}]"#,
        "\n```<|END_OF_TURN_TOKEN|><|START_OF_TURN_TOKEN|><|USER_TOKEN|>U<|END_OF_TURN_TOKEN|>",
        "<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>Action: ```json\n",
        r#"[{"tool_name": "f", "parameters": {"b":"x"}}]"#,
        "\n```<|END_OF_TURN_TOKEN|><|START_OF_TURN_TOKEN|><|SYSTEM_TOKEN|><results>\n12\n</results><|END_OF_TURN_TOKEN|>",
        "<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>",
    );
    assert_eq!(render(command_r.source, &request).as_deref(), Ok(expected));
    for bundled in BUNDLED {
        let template = GoTemplate::new(bundled.source).unwrap();
        let tools = bundled.name == "command-r";
        assert_eq!(template.capabilities().tools, tools, "{}", bundled.name);
    }
}

#[test]
fn are_detected_by_tokens() {
    let cases: &[(&[&str], &str, Option<&str>)] = &[
        (&["<|im_start|>", "<|im_end|>"], "qwen2", Some("chatml")),
        (
            &["<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"],
            "llama",
            Some("llama3-instruct"),
        ),
        (
            &["<start_of_turn>", "<end_of_turn>"],
            "gemma2",
            Some("gemma-instruct"),
        ),
        (
            &["<|user|>", "<|assistant|>", "<|end|>"],
            "phi3",
            Some("phi-3"),
        ),
        (&["<|user|>", "<|assistant|>"], "llama", Some("zephyr")),
        (&["[INST]", "[/INST]"], "llama", Some("mistral-instruct")),
        (&["<s>"], "llama", None),
    ];
    for (tokens, family, expected) in cases {
        let found = detect(&|token| tokens.contains(&token), family);
        assert_eq!(found.map(|bundled| bundled.name), *expected, "{tokens:?}");
    }
    // Every name that has a counterpart leads to a bundled template.
    for (theirs, ours) in super::super::bundled::SAME {
        assert!(crate::fallback::by_name(theirs).is_ok(), "{theirs}");
        assert!(by_name(ours).is_ok(), "{ours}");
    }
}

#[test]
fn tell_how_a_turn_ends() {
    let cases = [
        ("chatml", Some("<|im_end|>")),
        ("phi-3", Some("<|end|>")),
        ("zephyr", Some("</s>")),
        ("mistral-instruct", Some("</s>")),
        ("llama2-chat", Some("</s>")),
        ("llama3-instruct", Some("<|eot_id|>")),
        ("chatqa", None),
        ("falcon-instruct", None),
        ("openchat", Some("<|end_of_turn|>")),
        ("starcoder2-instruct", Some("<|endoftext|>")),
        ("codellama-70b-instruct", Some("<step>")),
        ("alpaca", None),
        ("gemma-instruct", Some("<end_of_turn>")),
        ("gemma3-instruct", Some("<end_of_turn>")),
        ("granite-instruct", None),
        ("magicoder", None),
        ("alfred", Some("<end_message>")),
        ("solar-instruct", Some("</s>")),
        ("command-r", Some("<|END_OF_TURN_TOKEN|>")),
        ("vicuna", Some("</s>")),
    ];
    assert_eq!(cases.len(), BUNDLED.len());
    for (name, expected) in cases {
        let template = GoTemplate::new(by_name(name).unwrap().source).unwrap();
        assert_eq!(template.turn_end().as_deref(), expected, "{name}");
        let either = crate::ChatTemplate::from(template);
        assert_eq!(either.turn_end().as_deref(), expected, "{name}");
    }
}
