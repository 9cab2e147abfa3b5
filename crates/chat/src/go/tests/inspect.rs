//! What is read from a template's tree.

use super::*;

#[test]
fn capabilities() {
    let cases = [
        ("{{ .Prompt }}", (false, false, false)),
        ("{{ if .Tools }}{{ end }}", (true, false, false)),
        ("{{ range $.Tools }}{{ end }}", (true, false, false)),
        ("{{ .Prompt }}{{ .Suffix }}", (false, true, false)),
        (
            "{{ if (and .Think (not .IsThinkSet)) }}{{ end }}",
            (false, false, true),
        ),
        ("{{ .ThinkLevel | printf \"%s\" }}", (false, false, true)),
        (
            "{{ range .Messages }}{{ .Thinking }}{{ end }}",
            (false, false, true),
        ),
        ("{{ (index .Messages 0).Thinking }}", (false, false, true)),
        (
            "{{ define \"t\" }}{{ .Tools }}{{ end }}",
            (true, false, false),
        ),
        ("{{ template \"t\" .Tools }}", (true, false, false)),
        (
            "{{ with .A }}{{ else with .Tools }}{{ end }}",
            (true, false, false),
        ),
        (
            "{{ \".Tools\" }} .Tools {{/* .Tools */}}",
            (false, false, false),
        ),
    ];
    for (source, (tools, insert, thinking)) in cases {
        let expected = Capabilities {
            tools,
            insert,
            thinking,
        };
        let template = GoTemplate::new(source).unwrap();
        assert_eq!(template.capabilities(), expected, "{source}");
    }
    assert!(GoTemplate::new("{{ .A.B }}").unwrap().mentions("B"));
}

#[test]
fn tags_of_thoughts() {
    let tags = |text: &str| format!("{{{{ range .Messages }}}}{text}{{{{ end }}}}");
    let cases = [
        (
            tags("{{ if .Thinking }}<think>\n{{ .Thinking }}\n</think>\n\n{{ end }}{{ .Content }}"),
            Some(("<think>", "</think>")),
        ),
        (
            tags(
                "{{ if .Thinking }} [THINK]{{ .Thinking }}[/THINK] {{ if .Content }}x{{ end }}{{ end }}",
            ),
            Some(("[THINK]", "[/THINK]")),
        ),
        (
            tags("{{ if (and $.IsThinkSet .Thinking) -}}\n<t>{{- .Thinking -}}</t>\n{{- end }}"),
            Some(("<t>", "</t>")),
        ),
        (
            "{{ range $i, $m := $.Messages }}<a>{{ $m.Thinking }}<b>{{ end }}".to_owned(),
            Some(("<a>", "<b>")),
        ),
        // No text on one side, blanks only, or another loop.
        (tags("<think>{{ .Thinking }}"), None),
        (tags("{{ .Thinking }}</think>"), None),
        (tags(" {{ .Thinking }}</think>"), None),
        (tags("{{ .Content }}"), None),
        ("<a>{{ .Thinking }}<b>".to_owned(), None),
        (
            "{{ range .Other }}<a>{{ .Thinking }}<b>{{ end }}".to_owned(),
            None,
        ),
        (
            tags("{{ range .Other }}<a>{{ .Thinking }}<b>{{ end }}"),
            None,
        ),
    ];
    for (source, expected) in cases {
        let expected = expected.map(|(open, close)| Tags {
            open: open.to_owned(),
            close: close.to_owned(),
        });
        let template = GoTemplate::new(&source).unwrap();
        assert_eq!(template.thinking_tags(), expected, "{source}");
    }
}

#[test]
fn tags_of_calls() {
    let cases = [
        ("{{ .Prompt }}", "{"),
        (
            "{{ range .Messages }}{{ if .ToolCalls }}<tool_call>{{ range .ToolCalls }}{{ . }}{{ end }}{{ end }}{{ end }}",
            "<tool_call>",
        ),
        (
            "{{ if .ToolCalls }}\n{{ range .ToolCalls }}[CALL] {\"name\": \"{{ .Function.Name }}\"}{{ end }}{{ end }}",
            "[CALL]",
        ),
        (
            "{{ if .ToolCalls }}{{ range .ToolCalls }}\n{\"name\": 1}{{ end }}{{ end }}",
            "{",
        ),
        ("{{ if .ToolCalls }}{{ .Content }}<late>{{ end }}", "{"),
        (
            "{{ if .Content }}a{{ else if and .A .ToolCalls }}<b>{{ else }}c{{ end }}",
            "<b>",
        ),
        ("{{ range .ToolCalls }}<c>{{ . }}{{ end }}", "<c>"),
        ("{{ if .ToolCalls }}{{ $x := 1 }}<d>{{ end }}", "<d>"),
    ];
    for (source, expected) in cases {
        let template = GoTemplate::new(source).unwrap();
        assert_eq!(template.tool_tag(), expected, "{source}");
    }
}
