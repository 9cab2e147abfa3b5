//! Templates for models that carry none of their own, by the names that Ollama has for them.

use crate::error::{Error, Result};
use crate::fallback;

/// A template of a known form of dialogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bundled {
    /// Its name.
    pub name: &'static str,
    /// The text, for [`super::GoTemplate::new`].
    pub source: &'static str,
    /// Texts that end an answer, or that show that the model goes on with another's turn.
    pub stops: &'static [&'static str],
}

/// The system's text stands inside the first turn of the user.
const GEMMA: &str = "{{ if or .System .Prompt }}<start_of_turn>user\n{{ if .System }}{{ .System }}\n\n{{ end }}{{ .Prompt }}<end_of_turn>\n{{ end }}\
            <start_of_turn>model\n{{ .Response }}<end_of_turn>\n";

/// All of them.
pub const BUNDLED: &[Bundled] = &[
    Bundled {
        name: "chatml",
        source: "{{ if .System }}<|im_start|>system\n{{ .System }}<|im_end|>\n{{ end }}\
            {{ if .Prompt }}<|im_start|>user\n{{ .Prompt }}<|im_end|>\n{{ end }}\
            <|im_start|>assistant\n{{ .Response }}<|im_end|>\n",
        stops: &["<|im_start|>", "<|im_end|>"],
    },
    Bundled {
        name: "phi-3",
        source: "{{ if .System }}<|system|>\n{{ .System }}<|end|>\n{{ end }}\
            {{ if .Prompt }}<|user|>\n{{ .Prompt }}<|end|>\n{{ end }}\
            <|assistant|>\n{{ .Response }}<|end|>\n",
        stops: &["<|end|>", "<|system|>", "<|user|>", "<|assistant|>"],
    },
    Bundled {
        name: "zephyr",
        source: "{{ if .System }}<|system|>\n{{ .System }}</s>\n{{ end }}\
            {{ if .Prompt }}<|user|>\n{{ .Prompt }}</s>\n{{ end }}\
            <|assistant|>\n{{ .Response }}</s>\n",
        stops: &["<|system|>", "</s>", "<|user|>", "<|assistant|>"],
    },
    Bundled {
        name: "mistral-instruct",
        source: "[INST] {{ if .System }}{{ .System }}\n\n{{ end }}{{ .Prompt }}[/INST]{{ if .Response }} {{ .Response }}</s>{{ end }}",
        stops: &["<|im_start|>", "<|im_end|>"],
    },
    Bundled {
        name: "llama2-chat",
        source: "[INST] {{ if .System }}<<SYS>>\n{{ .System }}\n<</SYS>>\n\n{{ end }}{{ .Prompt }} [/INST]{{ if .Response }} {{ .Response }}</s><s>{{ end }}",
        stops: &["[INST]", "[/INST]", "<<SYS>>", "<</SYS>>"],
    },
    Bundled {
        name: "llama3-instruct",
        source: "{{ if .System }}<|start_header_id|>system<|end_header_id|>\n\n{{ .System }}<|eot_id|>{{ end }}\
            {{ if .Prompt }}<|start_header_id|>user<|end_header_id|>\n\n{{ .Prompt }}<|eot_id|>{{ end }}\
            <|start_header_id|>assistant<|end_header_id|>\n\n{{ .Response }}<|eot_id|>",
        stops: &["<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"],
    },
    Bundled {
        name: "chatqa",
        source: "{{ if .System }}System: {{ .System }}\n\n{{ end }}\
            {{ if .Prompt }}User: {{ .Prompt }}\n\n{{ end }}\
            Assistant:{{ if .Response }} {{ .Response }}\n\n{{ end }}",
        stops: &["System:", "User:", "Assistant:", "<|begin_of_text|>"],
    },
    Bundled {
        name: "falcon-instruct",
        source: "{{ if .System }}System: {{ .System }}\n{{ end }}\
            {{ if .Prompt }}User:\n{{ .Prompt }}\n{{ end }}\
            Falcon:\n{{ .Response }}\n",
        stops: &["User:", "Assistant:"],
    },
    Bundled {
        name: "openchat",
        source: "{{ if .System }}GPT4 Correct System: {{ .System }}<|end_of_turn|>{{ end }}\
            {{ if .Prompt }}GPT4 Correct User: {{ .Prompt }}<|end_of_turn|>{{ end }}\
            GPT4 Correct Assistant:{{ if .Response }} {{ .Response }}<|end_of_turn|>{{ end }}",
        stops: &["<|end_of_turn|>"],
    },
    Bundled {
        name: "starcoder2-instruct",
        source: "{{ if .System }}{{ .System }}\n\n{{ end }}\
            {{ if .Prompt }}### Instruction\n{{ .Prompt }}\n\n{{ end }}\
            ### Response\n{{ .Response }}<|endoftext|>\n\n",
        stops: &["### Instruction", "### Response", "<|endoftext|>"],
    },
    Bundled {
        name: "codellama-70b-instruct",
        source: "{{ if .System }}Source: system\n\n {{ .System }} <step> {{ end }}\
            {{ if .Prompt }}Source: user\n\n {{ .Prompt }} <step> {{ end }}\
            {{ if .Response }}Source: assistant\n\n {{ .Response }} <step> {{ else }}Source: assistant\nDestination: user\n\n {{ end }}",
        stops: &["Source:", "Destination:", "<step>"],
    },
    Bundled {
        name: "alpaca",
        source: "{{ if .System }}{{ .System }}\n\n{{ end }}\
            {{ if .Prompt }}### Instruction:\n{{ .Prompt }}\n\n{{ end }}\
            ### Response:\n{{ .Response }}\n\n",
        stops: &["### Instruction:", "### Response"],
    },
    Bundled {
        name: "gemma-instruct",
        source: GEMMA,
        stops: &["<start_of_turn>", "<end_of_turn>"],
    },
    Bundled {
        name: "gemma3-instruct",
        source: GEMMA,
        stops: &["<end_of_turn>"],
    },
    Bundled {
        name: "granite-instruct",
        source: "{{ if .System }}System:\n{{ .System }}\n\n{{ end }}\
            {{ if .Prompt }}Question:\n{{ .Prompt }}\n\n{{ end }}\
            Answer:\n{{ .Response }}\n\n",
        stops: &["System:", "Question:", "Answer:"],
    },
    Bundled {
        name: "magicoder",
        source: "{{ if .System }}{{ .System }}\n\n{{ end }}\
            {{ if .Prompt }}@@ Instruction\n{{ .Prompt }}\n\n{{ end }}\
            @@ Response\n{{ .Response }}\n\n",
        stops: &["@@ Instruction", "@@ Response"],
    },
    Bundled {
        name: "alfred",
        source: "{{ if .System }}<start_system>{{ .System }}<end_message>{{ end }}\
            {{ if .Prompt }}<start_user>{{ .Prompt }}<end_message>{{ end }}\
            <start_assistant>{{ .Response }}<end_message>",
        stops: &[
            "<start_system>",
            "<end_message>",
            "<start_user>",
            "<start_assistant>",
        ],
    },
    Bundled {
        name: "solar-instruct",
        source: "{{ if .System }}### System:\n{{ .System }}\n\n{{ end }}\
            {{ if .Prompt }}### User:\n{{ .Prompt }}\n\n{{ end }}\
            ### Assistant:\n{{ .Response }}</s>\n",
        stops: &["### System:", "### User:", "### Assistant"],
    },
    Bundled {
        name: "command-r",
        source: r#"
{{- if or .System .Tools }}<|START_OF_TURN_TOKEN|><|SYSTEM_TOKEN|>{{ .System }}
{{- if .Tools }}{{ if .System }}

{{ end }}# Tools
You can call these tools:
{{ range .Tools }}{{ . }}
{{ end }}To call some, answer with `Action:` and a list in JSON:
Action: ```json
[{"tool_name": "name of the tool", "parameters": {"name": "value"}}]
```
{{- end }}<|END_OF_TURN_TOKEN|>
{{- end }}
{{- range $i, $_ := .Messages }}
{{- $last := eq (len (slice $.Messages $i)) 1 }}
{{- $open := and $last (eq .Role "assistant") (not .ToolCalls) }}
{{- if eq .Role "user" }}<|START_OF_TURN_TOKEN|><|USER_TOKEN|>{{ .Content }}<|END_OF_TURN_TOKEN|>
{{- else if eq .Role "tool" }}<|START_OF_TURN_TOKEN|><|SYSTEM_TOKEN|><results>
{{ .Content }}
</results><|END_OF_TURN_TOKEN|>
{{- else if eq .Role "assistant" }}<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>{{ .Content }}
{{- if .ToolCalls }}Action: ```json
[{{ range $i, $call := .ToolCalls }}{{ if $i }}, {{ end }}{"tool_name": "{{ .Function.Name }}", "parameters": {{ .Function.Arguments }}}{{ end }}]
```
{{- end }}
{{- if not $open }}<|END_OF_TURN_TOKEN|>{{ end }}
{{- end }}
{{- if and $last (not $open) }}<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>{{ end }}
{{- end }}"#,
        stops: &["<|START_OF_TURN_TOKEN|>", "<|END_OF_TURN_TOKEN|>"],
    },
    Bundled {
        name: "vicuna",
        source: "{{ if .System }}{{ .System }}\n\n{{ end }}\
            {{ if .Prompt }}USER: {{ .Prompt }}\n{{ end }}\
            ASSISTANT:{{ if .Response }} {{ .Response }}</s>\n{{ end }}",
        stops: &["USER:", "ASSISTANT:"],
    },
];

/// The names that [`fallback`] has for the same forms.
pub(super) const SAME: [(&str, &str); 9] = [
    ("llama3", "llama3-instruct"),
    ("chatml", "chatml"),
    ("gemma", "gemma-instruct"),
    ("phi3", "phi-3"),
    ("zephyr", "zephyr"),
    ("mistral", "mistral-instruct"),
    ("llama2", "llama2-chat"),
    ("vicuna", "vicuna"),
    ("alpaca", "alpaca"),
];

/// The bundled template called `name`.
///
/// # Errors
///
/// [`Error::UnknownName`], with all names, where there is none.
pub fn by_name(name: &str) -> Result<&'static Bundled> {
    find(name).ok_or_else(|| Error::UnknownName {
        name: name.to_owned(),
        known: BUNDLED
            .iter()
            .map(|bundled| bundled.name)
            .collect::<Vec<_>>()
            .join(", "),
    })
}

/// The bundled template for a model without one, by the special tokens in its vocabulary as
/// [`fallback::detect`] reads them; `None` where they tell nothing.
pub fn detect(has_token: &dyn Fn(&str) -> bool, family: &str) -> Option<&'static Bundled> {
    let found = fallback::detect(has_token, family);
    let (_, name) = SAME.iter().find(|(theirs, _)| *theirs == found.name)?;
    find(name)
}

fn find(name: &str) -> Option<&'static Bundled> {
    BUNDLED.iter().find(|bundled| bundled.name == name)
}
