//! Templates in the manner of those that are published with models.

use super::*;

/// Hermes' calls, as Qwen 2.5 makes them; with the old form for requests without messages.
const HERMES: &str = r#"{{- if .Messages }}
{{- if or .System .Tools }}<|im_start|>system
{{- if .System }}
{{ .System }}
{{- end }}
{{- if .Tools }}

# Tools

Functions stand in <tools></tools>:
<tools>
{{- range .Tools }}
{"type": "function", "function": {{ .Function }}}
{{- end }}
</tools>
{{- end }}<|im_end|>
{{ end }}
{{- range $i, $_ := .Messages }}
{{- $last := eq (len (slice $.Messages $i)) 1 -}}
{{- if eq .Role "user" }}<|im_start|>user
{{ .Content }}<|im_end|>
{{ else if eq .Role "assistant" }}<|im_start|>assistant
{{ if .Content }}{{ .Content }}
{{- else if .ToolCalls }}<tool_call>
{{ range .ToolCalls }}{"name": "{{ .Function.Name }}", "arguments": {{ .Function.Arguments }}}
{{ end }}</tool_call>
{{- end }}{{ if not $last }}<|im_end|>
{{ end }}
{{- else if eq .Role "tool" }}<|im_start|>user
<tool_response>
{{ .Content }}
</tool_response><|im_end|>
{{ end }}
{{- if and (ne .Role "assistant") $last }}<|im_start|>assistant
{{ end }}
{{- end }}
{{- else }}
{{- if .System }}<|im_start|>system
{{ .System }}<|im_end|>
{{ end }}{{ if .Prompt }}<|im_start|>user
{{ .Prompt }}<|im_end|>
{{ end }}<|im_start|>assistant
{{ end }}{{ .Response }}{{ if .Response }}<|im_end|>{{ end }}"#;

/// Llama 3.2: the tools stand in the last turn of the user, and results have a role of their own.
const LLAMA: &str = r#"<|start_header_id|>system<|end_header_id|>

Today is {{ currentDate }}.

{{ if .System }}{{ .System }}
{{- end }}
{{- if .Tools }}When you receive the result of a function, use it to answer.
{{ end }}<|eot_id|>
{{- range $i, $_ := .Messages }}
{{- $last := eq (len (slice $.Messages $i)) 1 }}
{{- if eq .Role "user" }}<|start_header_id|>user<|end_header_id|>
{{- if and $.Tools $last }}

Answer with a call if one helps:

{{ range $.Tools }}
{{- . }}
{{ end }}
{{ .Content }}<|eot_id|>
{{- else }}

{{ .Content }}<|eot_id|>
{{- end }}{{ if $last }}<|start_header_id|>assistant<|end_header_id|>

{{ end }}
{{- else if eq .Role "assistant" }}<|start_header_id|>assistant<|end_header_id|>
{{- if .ToolCalls }}
{{ range .ToolCalls }}
{"name": "{{ .Function.Name }}", "parameters": {{ .Function.Arguments }}}{{ end }}
{{- else }}

{{ .Content }}
{{- end }}{{ if not $last }}<|eot_id|>{{ end }}
{{- else if eq .Role "tool" }}<|start_header_id|>ipython<|end_header_id|>

{{ .Content }}<|eot_id|>{{ if $last }}<|start_header_id|>assistant<|end_header_id|>

{{ end }}
{{- end }}
{{- end }}"#;

/// Mistral: the tools stand before the last of the user's turns.
const MISTRAL: &str = r#"{{- $index := -1 }}
{{- range $i, $_ := .Messages }}
{{- if eq .Role "user" }}{{ $index = $i }}{{ end }}
{{- end }}
{{- range $i, $_ := .Messages }}
{{- if eq .Role "user" }}
{{- if and (eq $index $i) $.Tools }}[AVAILABLE_TOOLS] {{ $.Tools }}[/AVAILABLE_TOOLS]
{{- end }}[INST] {{ if and (eq $index $i) $.System }}{{ $.System }}

{{ end }}{{ .Content }}[/INST]
{{- else if eq .Role "assistant" }}
{{- if .Content }} {{ .Content }}</s>
{{- else if .ToolCalls }}[TOOL_CALLS] [
{{- range $n, $_ := .ToolCalls }}{{ if $n }}, {{ end }}{"name": "{{ .Function.Name }}", "arguments": {{ json .Function.Arguments }}}
{{- end }}]</s>
{{- end }}
{{- else if eq .Role "tool" }}[TOOL_RESULTS] {"content": {{ json .Content }}}[/TOOL_RESULTS]
{{- end }}
{{- end }}"#;

/// gpt-oss: tools as TypeScript, thoughts in a channel of their own, a level of effort.
const HARMONY: &str = r#"<|start|>system<|message|>Date: {{ currentDate }}

{{ if and .IsThinkSet .Think (ne .ThinkLevel "") }}Reasoning: {{ .ThinkLevel }}
{{- else }}Reasoning: medium
{{- end }}<|end|>
{{- if or .System .Tools }}<|start|>developer<|message|>
{{- if .System }}# Instructions

{{ .System }}
{{- end }}
{{- if .Tools }}{{ if .System }}

{{ end }}# Tools

namespace functions {
{{- range .Tools }}
// {{ .Function.Description }}
type {{ .Function.Name }} = (_: {
{{- range $name, $property := .Function.Parameters.Properties }}
{{- if $property.Description }}
// {{ $property.Description }}
{{- end }}
{{ $name }}: {{ if gt (len $property.Type) 1 }}{{ range $i, $type := $property.Type }}{{ if $i }} | {{ end }}{{ $type }}{{ end }}{{ else }}{{ $property | toTypeScriptType }}{{ end }},
{{- end }}
}) => any;
{{- end }}

}
{{- end }}<|end|>
{{- end }}
{{- $lastUser := -1 }}
{{- range $i, $m := .Messages }}
{{- if eq $m.Role "user" }}{{ $lastUser = $i }}{{ end }}
{{- end }}
{{- range $i, $m := .Messages }}
{{- $last := eq (len (slice $.Messages $i)) 1 }}
{{- if eq $m.Role "user" }}<|start|>user<|message|>{{ $m.Content }}<|end|>
{{- else if eq $m.Role "assistant" }}
{{- if and $m.Thinking (gt $i $lastUser) }}<|start|>assistant<|channel|>analysis<|message|>{{ $m.Thinking }}<|end|>
{{- end }}
{{- if $m.Content }}<|start|>assistant<|channel|>final<|message|>{{ $m.Content }}<|end|>
{{- end }}
{{- range $m.ToolCalls }}<|start|>assistant<|channel|>commentary to=functions.{{ .Function.Name }} <|constrain|>json<|message|>{{ .Function.Arguments }}<|call|>
{{- end }}
{{- else if eq $m.Role "tool" }}<|start|>functions.{{ $m.ToolName }} to=assistant<|message|>{{ $m.Content }}<|end|>
{{- end }}
{{- if and $last (ne $m.Role "assistant") }}<|start|>assistant{{ end }}
{{- end }}"#;

/// Phi: one short line for everything.
const PHI: &str = r#"{{- range $i, $_ := .Messages }}{{ $last := eq (len (slice $.Messages $i)) 1 -}}
<|im_start|>{{ .Role }}<|im_sep|>
{{ .Content }}{{ if not $last }}<|im_end|>
{{ end }}
{{- if and (ne .Role "assistant") $last }}<|im_end|>
<|im_start|>assistant<|im_sep|>
{{ end }}
{{- end }}"#;

/// DeepSeek-R1 and Qwen 3: thoughts are shown after the last of the user's turns only.
const THINKING: &str = r#"{{- if .System }}{{ .System }}{{ end }}
{{- $lastUser := -1 }}
{{- range $i, $_ := .Messages }}{{ if eq .Role "user" }}{{ $lastUser = $i }}{{ end }}{{ end }}
{{- range $i, $_ := .Messages }}
{{- $last := eq (len (slice $.Messages $i)) 1}}
{{- if eq .Role "user" }}<｜User｜>{{ .Content }}
{{- else if eq .Role "assistant" }}<｜Assistant｜>
  {{- if and $.IsThinkSet (and .Thinking (or $last (gt $i $lastUser))) -}}
<think>
{{ .Thinking }}
</think>

{{ end }}{{ .Content }}{{- if not $last }}<｜end▁of▁sentence｜>{{ end }}
{{- end }}
{{- if and $last (ne .Role "assistant") }}<｜Assistant｜>
{{- if and $.IsThinkSet (not $.Think) -}}
<think>

</think>

{{ end }}
{{- end }}
{{- end }}"#;

const FUNCTION: &str = r#"{"name":"f","description":"d","parameters":{"type":"object","required":["b"],"properties":{"a":{"type":"number"},"b":{"type":"string","description":"x \u0026 y"}}}}"#;

/// A question with a call, its result, and another question.
fn with_tools(source: &str, think: Option<Think>, count: usize) -> Result<String> {
    let mut messages = conversation(&[("system", "S"), ("user", "U"), ("assistant", "")]);
    messages[2] = calling(json!({"b": "<1>", "a": 2}));
    messages.push(Message {
        name: Some("f".into()),
        ..Message::new("tool", "12 \"°C\"")
    });
    messages.extend(conversation(&[("assistant", "A"), ("user", "V")]));
    let tools = [tool()];
    render(
        source,
        &GoRequest {
            messages: &messages[..count],
            tools: &tools,
            think,
            ..GoRequest::default()
        },
    )
}

#[test]
fn hermes_calls() {
    let expected = format!(
        "<|im_start|>system\nS\n\n# Tools\n\nFunctions stand in <tools></tools>:\n<tools>\n\
        {{\"type\": \"function\", \"function\": {FUNCTION}}}\n</tools><|im_end|>\n\
        <|im_start|>user\nU<|im_end|>\n\
        <|im_start|>assistant\n<tool_call>\n{{\"name\": \"f\", \"arguments\": {{\"a\":2,\"b\":\"\\u003c1\\u003e\"}}}}\n</tool_call><|im_end|>\n\
        <|im_start|>user\n<tool_response>\n12 \"°C\"\n</tool_response><|im_end|>\n\
        <|im_start|>assistant\nA<|im_end|>\n<|im_start|>user\nV<|im_end|>\n<|im_start|>assistant\n"
    );
    assert_eq!(with_tools(HERMES, None, 6), Ok(expected));
    let cases: [(Turns, &str); 3] = [
        (
            &[("user", "U")],
            "<|im_start|>user\nU<|im_end|>\n<|im_start|>assistant\n",
        ),
        (
            &[("user", "U"), ("assistant", "A")],
            "<|im_start|>user\nU<|im_end|>\n<|im_start|>assistant\nA",
        ),
        (
            &[("system", "S"), ("user", "U")],
            "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nU<|im_end|>\n<|im_start|>assistant\n",
        ),
    ];
    for (turns, expected) in cases {
        assert_eq!(prompt(HERMES, turns).as_deref(), Ok(expected));
    }
}

#[test]
fn llama_calls() {
    let head = "<|start_header_id|>system<|end_header_id|>\n\nToday is 2026-03-05.\n\n";
    let receive = "When you receive the result of a function, use it to answer.\n<|eot_id|>";
    let tool = format!(r#"{{"type":"function","function":{FUNCTION}}}"#);
    let asked = format!(
        "{head}S{receive}<|start_header_id|>user<|end_header_id|>\n\nAnswer with a call if one helps:\n\n{tool}\n\nU<|eot_id|>\
        <|start_header_id|>assistant<|end_header_id|>\n\n"
    );
    assert_eq!(with_tools(LLAMA, None, 2), Ok(asked));
    let answered = format!(
        "{head}S{receive}<|start_header_id|>user<|end_header_id|>\n\nU<|eot_id|>\
        <|start_header_id|>assistant<|end_header_id|>\n\n{{\"name\": \"f\", \"parameters\": {{\"a\":2,\"b\":\"\\u003c1\\u003e\"}}}}<|eot_id|>\
        <|start_header_id|>ipython<|end_header_id|>\n\n12 \"°C\"<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"
    );
    assert_eq!(with_tools(LLAMA, None, 4), Ok(answered));
    let plain = format!(
        "{head}<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nU<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\nA"
    );
    let turns = [("user", "U"), ("assistant", "A")];
    assert_eq!(prompt(LLAMA, &turns), Ok(plain));
}

#[test]
fn mistral_calls() {
    let expected = format!(
        "[INST] U[/INST][TOOL_CALLS] [{{\"name\": \"f\", \"arguments\": {{\"a\":2,\"b\":\"\\u003c1\\u003e\"}}}}]</s>\
        [TOOL_RESULTS] {{\"content\": \"12 \\\"°C\\\"\"}}[/TOOL_RESULTS] A</s>\
        [AVAILABLE_TOOLS] [{{\"type\":\"function\",\"function\":{FUNCTION}}}][/AVAILABLE_TOOLS][INST] S\n\nV[/INST]"
    );
    assert_eq!(with_tools(MISTRAL, None, 6), Ok(expected));
}

#[test]
fn harmony_calls() {
    let head = "<|start|>system<|message|>Date: 2026-03-05\n\nReasoning: ";
    let developer = "<|end|><|start|>developer<|message|># Instructions\n\nS\n\n# Tools\n\nnamespace functions {\n// d\ntype f = (_: {\na: number,\n// x & y\nb: string,\n}) => any;\n\n}<|end|>";
    let expected = format!(
        "{head}high{developer}<|start|>user<|message|>U<|end|>\
        <|start|>assistant<|channel|>commentary to=functions.f <|constrain|>json<|message|>{{\"a\":2,\"b\":\"\\u003c1\\u003e\"}}<|call|>\
        <|start|>functions.f to=assistant<|message|>12 \"°C\"<|end|><|start|>assistant"
    );
    let think = Some(Think::Level("high".into()));
    assert_eq!(with_tools(HARMONY, think, 4), Ok(expected));
    let plain = format!("{head}medium<|end|><|start|>user<|message|>U<|end|><|start|>assistant");
    assert_eq!(prompt(HARMONY, &[("user", "U")]), Ok(plain));
    let types = [
        (json!({"type": ["string", "null"]}), "string | null"),
        (json!({"type": "array"}), "any[]"),
        (json!({"type": "object"}), "Record<string, any>"),
        (json!({"type": "integer"}), "number"),
        (json!({"type": "boolean"}), "boolean"),
        (
            json!({"anyOf": [{"type": "string"}, {"type": "array"}]}),
            "string | any[]",
        ),
        (json!({}), "any"),
    ];
    for (schema, expected) in types {
        let tools = [json!({"function": {"parameters": {"properties": {"p": schema}}}})];
        let request = GoRequest {
            tools: &tools,
            ..GoRequest::default()
        };
        let found = render(HARMONY, &request).unwrap();
        assert!(found.contains(&format!("\np: {expected},\n")), "{found}");
    }
}

#[test]
fn phi_turns() {
    let turns = [
        ("system", "S"),
        ("user", "U"),
        ("assistant", "A"),
        ("user", "V"),
    ];
    let expected = "<|im_start|>system<|im_sep|>\nS<|im_end|>\n<|im_start|>user<|im_sep|>\nU<|im_end|>\n<|im_start|>assistant<|im_sep|>\nA<|im_end|>\n<|im_start|>user<|im_sep|>\nV<|im_end|>\n<|im_start|>assistant<|im_sep|>\n";
    assert_eq!(prompt(PHI, &turns).as_deref(), Ok(expected));
    let expected = "<|im_start|>system<|im_sep|>\nS<|im_end|>\n<|im_start|>user<|im_sep|>\nU<|im_end|>\n<|im_start|>assistant<|im_sep|>\nA";
    assert_eq!(prompt(PHI, &turns[..3]).as_deref(), Ok(expected));
}

#[test]
fn thinking_turns() {
    let mut messages = conversation(&[
        ("system", "S"),
        ("user", "U"),
        ("assistant", "A"),
        ("user", "V"),
        ("assistant", "B"),
    ]);
    messages[2].reasoning = Some("old".into());
    messages[4].reasoning = Some("new".into());
    let cases = [
        (
            4,
            None,
            "S<｜User｜>U<｜Assistant｜>A<｜end▁of▁sentence｜><｜User｜>V<｜Assistant｜>",
        ),
        (
            4,
            Some(Think::Off),
            "S<｜User｜>U<｜Assistant｜>A<｜end▁of▁sentence｜><｜User｜>V<｜Assistant｜><think>\n\n</think>\n\n",
        ),
        (
            5,
            Some(Think::On),
            "S<｜User｜>U<｜Assistant｜>A<｜end▁of▁sentence｜><｜User｜>V<｜Assistant｜><think>\nnew\n</think>\n\nB",
        ),
    ];
    for (count, think, expected) in cases {
        let request = GoRequest {
            messages: &messages[..count],
            think,
            ..GoRequest::default()
        };
        assert_eq!(render(THINKING, &request).as_deref(), Ok(expected));
    }
}

#[test]
fn tell_about_their_models() {
    let tags = |open: &str, close: &str| {
        Some(Tags {
            open: open.to_owned(),
            close: close.to_owned(),
        })
    };
    let cases = [
        (HERMES, true, false, None, "<tool_call>", Some("<|im_end|>")),
        (LLAMA, true, false, None, "{", Some("<|eot_id|>")),
        (MISTRAL, true, false, None, "[TOOL_CALLS] [", Some("</s>")),
        (
            HARMONY,
            true,
            true,
            tags(
                "<|start|>assistant<|channel|>analysis<|message|>",
                "<|end|>",
            ),
            "<|start|>assistant<|channel|>commentary to=functions.",
            Some("<|end|>"),
        ),
        (PHI, false, false, None, "{", Some("<|im_end|>")),
        (
            THINKING,
            false,
            true,
            tags("<think>", "</think>"),
            "{",
            Some("<｜end▁of▁sentence｜>"),
        ),
    ];
    for (source, tools, thinking, tags, tag, end) in cases {
        let template = GoTemplate::new(source).unwrap();
        let expected = Capabilities {
            tools,
            insert: false,
            thinking,
        };
        assert_eq!(template.capabilities(), expected, "{source}");
        assert_eq!(template.thinking_tags(), tags, "{source}");
        assert_eq!(template.tool_tag(), tag, "{source}");
        assert_eq!(template.turn_end().as_deref(), end, "{source}");
    }
}
