//! Small templates, each for one rule of the language or of its data.

use super::*;
use crate::Error;

#[test]
fn goes_through_messages() {
    let abc = [("user", "a"), ("assistant", "b"), ("user", "c")];
    let cases: [(&str, Turns, &str); 29] = [
        (
            "{{ range .Messages }}<{{ .Role }}>{{ .Content }}{{ end }}",
            &[
                ("system", "a"),
                ("system", "b"),
                ("user", "c"),
                ("user", "d"),
                ("assistant", "e"),
            ],
            "<system>a\n\nb<user>c\n\nd<assistant>e",
        ),
        (
            "{{ .System }};{{ range .Messages }}{{ .Role }},{{ end }}",
            &[("system", "a"), ("user", "c"), ("system", "b")],
            "a\n\nb;system,user,system,",
        ),
        (
            "{{ .System }};{{ range .Messages }}{{ .Role }},{{ end }}",
            &[("tool", "1"), ("tool", "2")],
            ";tool,tool,",
        ),
        ("{{ .Messages | len }}{{ .Foo }}", &abc, "3<no value>"),
        (
            "{{ if .Foo }}1{{ else }}{{ len .Messages }}{{ end }}",
            &abc,
            "3",
        ),
        (
            "{{ range $i, $m := .Messages }}{{ if eq (len (slice $.Messages $i)) 1 }}last:{{ end }}{{ $m.Content }} {{ end }}",
            &abc,
            "a b last:c ",
        ),
        (
            "{{ $s := \"\" }}{{ range .Messages }}{{ $s = .Content }}{{ end }}[{{ $s }}]",
            &abc[..2],
            "[b]",
        ),
        (
            "{{ $s := \"\" }}{{ range .Messages }}{{ $s := .Content }}{{ end }}[{{ $s }}]",
            &abc[..1],
            "[]",
        ),
        (
            "a  {{- range .Messages }}  {{ .Content }}  {{- end -}}  \n b",
            &[("user", "q")],
            "a  qb",
        ),
        (
            "{{ range .Messages }}{{ if eq .Role \"user\" \"system\" }}1{{ else }}0{{ end }}{{ end }}",
            &[("system", "s"), ("user", "u"), ("assistant", "a")],
            "110",
        ),
        (
            "{{ range .Messages }}{{ or .Thinking \"none\" }}{{ and .Content \"has\" }}{{ end }}",
            &abc[..1],
            "nonehas",
        ),
        (
            "{{ range .Messages }}{{ printf \"%s-%d-%v-%q\" .Role 3 true .Content }}{{ end }}",
            &abc[..1],
            "user-3-true-\"a\"",
        ),
        (
            "{{ range .Messages }}{{ len .Content }}{{ slice .Content 0 1 }}{{ end }}",
            &[("user", "abc")],
            "3a",
        ),
        (
            "{{ (index .Messages 0).Content }}",
            &[("user", "abc")],
            "abc",
        ),
        (
            "{{ with .System }}[{{ . }}]{{ else }}none{{ end }}{{ if .Messages }}{{ end }}",
            &abc,
            "none",
        ),
        (
            "{{ range .Messages }}{{ else }}empty{{ end }}",
            &[],
            "empty",
        ),
        (
            "{{ define \"t\" }}<{{ .Content }}>{{ end }}{{ range .Messages }}{{ template \"t\" . }}{{ end }}",
            &abc[..1],
            "<a>",
        ),
        (
            "{{ range .Messages }}{{ .Content | printf \"%s!\" }}{{ end }}",
            &[("user", "a<b&c")],
            "a<b&c!",
        ),
        (
            "{{ \"\\n\" }}{{ `raw\\n` }}{{ if .Messages }}{{ end }}",
            &abc,
            "\nraw\\n",
        ),
        (
            "{{ .Tools }}{{ if or .Tools (not .Messages) }}tools{{ end }}",
            &abc,
            "null",
        ),
        // Halves of a character are whole again where they meet, and marked where they do not.
        (
            "{{ range .Messages }}{{ slice .Content 0 1 }}{{ slice .Content 1 }}|{{ slice .Content 1 }}{{ end }}",
            &[("user", "éa")],
            "éa|\u{fffd}a",
        ),
        (
            "{{ range .Messages }}{{ if eq .Role \"assistant\" }}{{ continue }}{{ end }}{{ .Content }}{{ end }}",
            &abc,
            "ac",
        ),
        (
            "{{ range .Messages }}{{ .Content }}{{ if eq .Role \"assistant\" }}{{ break }}{{ end }}{{ end }}",
            &abc,
            "ab",
        ),
        (
            "{{ block \"b\" .Messages }}{{ len . }}{{ end }}{{ template \"b\" \"four\" }}",
            &abc,
            "34",
        ),
        (
            "{{ with .Foo }}1{{ else with .System }}2{{ else with .Messages }}{{ len . }}{{ end }}",
            &abc,
            "3",
        ),
        (
            "{{ range 3 }}{{ . }}{{ end }}{{ range $.Messages }}{{ end }}",
            &abc,
            "012",
        ),
        (
            "{{ currentDate }} {{ yesterdayDate \"x\" }}{{ with .Messages }}{{ end }}",
            &abc,
            "2026-03-05 2026-03-04",
        ),
        (
            "{{- /* a comment }} */ -}}  a {{/* another */}}b{{ if .Messages }}{{ end }}",
            &abc,
            "a b",
        ),
        (
            "{{ if .messages }}x{{ end }}{{ $x := .Foo }}{{ $x.Bar }}",
            &abc,
            "<no value>",
        ),
    ];
    for (source, turns, expected) in cases {
        assert_eq!(prompt(source, turns).as_deref(), Ok(expected), "{source}");
    }
}

#[test]
fn fails_on_messages() {
    let cases = [
        (
            "{{ range .Messages }}{{ .Foo }}{{ end }}",
            "a Message has no field .Foo",
        ),
        (
            "{{ range .Messages }}{{ slice .Content 0 9 }}{{ end }}",
            "slice: index out of range: 9",
        ),
        (
            "{{ (index .Messages 1).Content }}",
            "index: index out of range: 1",
        ),
        (
            "{{ (index .Messages -1).Content }}",
            "index: index out of range: -1",
        ),
        (
            "{{ range .Messages }}{{ eq .Content 3 }}{{ end }}",
            "eq: incompatible types for comparison: string and int",
        ),
        ("{{ .Foo.Bar }}{{ .Messages }}", "field .Bar of nil"),
        ("{{ lt .Messages 1 }}", "lt: no order between"),
        (
            "{{ len .Foo }}{{ .Messages }}",
            "len: a value of type <nil> has no length",
        ),
        ("{{ .System 1 }}{{ .Messages }}", "not a function"),
        ("{{ range .System }}{{ end }}{{ .Messages }}", ""),
        (
            "{{ template \"none\" }}{{ .Messages }}",
            "there is no template \"none\"",
        ),
        (
            "{{ if false }}{{ $x := 1 }}{{ else }}{{ $x }}{{ end }}{{ .Messages }}",
            "$x is not declared here",
        ),
        (
            "{{ not }}{{ .Messages }}",
            "not: expected 1 arguments, found 0",
        ),
    ];
    for (source, expected) in cases {
        let turns = [("system", "y"), ("user", "abc")];
        let turns = if source.contains("index") {
            &turns[1..]
        } else {
            &turns[..]
        };
        let found = prompt(source, turns);
        assert!(
            matches!(&found, Err(Error::Render { line: 1, message }) if message.contains(expected)),
            "{source}: {found:?}"
        );
    }
    let error = prompt(
        "a\n\n{{ range .Messages }}\n{{ .Foo }}{{ end }}",
        &[("user", "a")],
    );
    assert_eq!(
        error.unwrap_err().to_string(),
        "chat template, line 4: a Message has no field .Foo"
    );
}

#[test]
fn refuses_what_is_no_template() {
    let cases = [
        ("{{ .Content }", 1),
        ("{{ .Content", 1),
        ("a\n{{ foo }}", 2),
        ("{{ html .Content }}", 1),
        ("{{ if .A }}", 1),
        ("{{ end }}", 1),
        ("{{ else }}", 1),
        ("{{ if .A }}{{ else }}{{ else }}{{ end }}", 1),
        ("{{ if .A }}{{ else with .B }}{{ end }}", 1),
        ("{{ range .A }}{{ else if .B }}{{ end }}", 1),
        ("{{ break }}", 1),
        ("{{ range .A }}{{ define \"t\" }}{{ end }}{{ end }}", 1),
        ("{{ define \"t\" }}{{ break }}{{ end }}", 1),
        (
            "{{ define \"t\" }}a{{ end }}{{ define \"t\" }}b{{ end }}",
            1,
        ),
        ("{{ define t }}{{ end }}", 1),
        ("{{ template .A }}", 1),
        ("{{ }}", 1),
        ("{{ () }}", 1),
        ("{{ (.A }}", 1),
        ("{{ .A) }}", 1),
        ("{{ $x }}", 1),
        ("{{ $x = }}", 1),
        ("{{ $x, $y := .A }}", 1),
        ("{{ range $i, $x, $y := .A }}{{ end }}", 1),
        ("{{ .A | 3 }}", 1),
        ("{{ | .A }}", 1),
        ("{{ \"a }}", 1),
        ("{{ \"a\\q\" }}", 1),
        ("{{ 'ab' }}", 1),
        ("{{ 1.2.3 }}", 1),
        ("{{ 3a }}", 1),
        ("{{ 1i }}", 1),
        ("{{ .A..B }}", 1),
        ("{{ \"a\".B }}", 1),
        ("{{ \"a\"\"b\" }}", 1),
        ("{{ $x=1 }}", 1),
        ("{{ .A # }}", 1),
        ("{{/* a }}", 1),
        ("{{/* a */ }}", 1),
        ("{{- -}}", 1),
        ("{{-3 -}}x{{ end }}", 1),
    ];
    for (source, expected) in cases {
        let found = GoTemplate::new(source).map(drop);
        assert!(
            matches!(found, Err(Error::Syntax { line, .. }) if line == expected),
            "{source}: {found:?}"
        );
    }
    assert_eq!(
        GoTemplate::new("{{ foo }}").unwrap_err().to_string(),
        "chat template, line 1: there is no function foo"
    );
}

#[test]
fn tells_about_thinking() {
    let source = "{{ .Think }}{{ .ThinkLevel }}{{ .IsThinkSet }}{{ if .Messages }}{{ end }}";
    let cases = [
        (None, "falsefalse"),
        (Some(Think::Off), "falsetrue"),
        (Some(Think::On), "truetrue"),
        (Some(Think::Level("high".into())), "truehightrue"),
    ];
    for (think, expected) in cases {
        let request = GoRequest {
            think,
            ..GoRequest::default()
        };
        assert_eq!(render(source, &request).as_deref(), Ok(expected));
    }
    let extra = [
        (json!({}), "falsefalse"),
        (json!({"think": true}), "truetrue"),
        (
            json!({"think": "low", "enable_thinking": false}),
            "truelowtrue",
        ),
        (json!({"enable_thinking": false}), "falsetrue"),
        (json!({"reasoning_effort": "medium"}), "truemediumtrue"),
        (json!({"reasoning_effort": "none"}), "falsetrue"),
        (
            json!({"enable_thinking": true, "reasoning_effort": "low"}),
            "truelowtrue",
        ),
        (
            json!({"enable_thinking": false, "reasoning_effort": "low"}),
            "falsetrue",
        ),
        (json!({"think": null, "enable_thinking": 3}), "falsefalse"),
    ];
    for (extra, expected) in extra {
        let request = crate::Request {
            extra: extra.as_object().unwrap().clone(),
            ..crate::Request::default()
        };
        assert_eq!(
            render(source, &GoRequest::from(&request)).as_deref(),
            Ok(expected),
            "{extra}"
        );
    }
}

#[test]
fn shows_tools() {
    let parameters = r#"{"type":"object","required":["b"],"properties":{"a":{"type":"number"},"b":{"type":"string","description":"x \u0026 y"}}}"#;
    let function = format!(r#"{{"name":"f","description":"d","parameters":{parameters}}}"#);
    let whole = format!(r#"{{"type":"function","function":{function}}}"#);
    let cases = [
        ("{{ .Tools }}", format!("[{whole}]")),
        ("{{ range .Tools }}{{ . }}{{ end }}", whole.clone()),
        ("{{ json .Tools }}", format!("[{whole}]")),
        (
            "{{ range .Tools }}{{ .Function }}{{ end }}",
            function.clone(),
        ),
        (
            "{{ range .Tools }}{{ json .Function }}{{ end }}",
            function.clone(),
        ),
        (
            "{{ range .Tools }}{{ .Function.Parameters }}{{ end }}",
            parameters.to_owned(),
        ),
        (
            "{{ range .Tools }}{{ .Function.Parameters.Properties }}{{ end }}",
            r#"{"a":{"type":"number"},"b":{"type":"string","description":"x \u0026 y"}}"#
                .to_owned(),
        ),
        (
            "{{ range .Tools }}{{ range $k, $v := .Function.Parameters.Properties }}{{ $k }}:{{ $v.Type }} {{ end }}{{ end }}",
            "a:number b:string ".to_owned(),
        ),
        (
            "{{ range .Tools }}{{ .Function.Parameters.Required }}{{ .Type }}{{ end }}",
            "[b]function".to_owned(),
        ),
        (
            "{{ range .Tools }}{{ .Function.Parameters.Properties.b }}{{ .Function.Parameters.Properties.none }}{{ end }}",
            r#"{"type":"string","description":"x \u0026 y"}<no value>"#.to_owned(),
        ),
        (
            "{{ (index .Tools 0).Function.Name }}{{ len .Tools }}",
            "f1".to_owned(),
        ),
    ];
    let tools = [tool()];
    for (source, expected) in cases {
        let request = GoRequest {
            tools: &tools,
            ..GoRequest::default()
        };
        let source = format!("{source}{{{{ if .Messages }}}}{{{{ end }}}}");
        assert_eq!(render(&source, &request), Ok(expected), "{source}");
    }
}

#[test]
fn tools_of_any_shape_are_read() {
    let cases = [
        (
            json!({"type": "function", "function": {"name": "f"}}),
            r#"[{"type":"function","function":{"name":"f","description":"","parameters":{"type":"object","properties":{}}}}]"#,
        ),
        (
            json!(7),
            r#"[{"type":"function","function":{"name":"","description":"","parameters":{"type":"object","properties":{}}}}]"#,
        ),
        (
            json!({"function": {"name": "f", "description": "", "parameters": {
                "$defs": {"n": {"z": 1, "b": [null]}}, "additionalProperties": false,
                "properties": {
                    "u": {"anyOf": [{"type": "string"}, {"type": ["null", "integer"]}], "default": 3},
                    "o": {"type": "object", "properties": {"y": {"enum": [1, "x"]}}, "required": ["y"]},
                    "l": {"type": "array", "items": {"type": "string", "minLength": 1}},
                    "w": true,
                },
            }}}),
            concat!(
                r#"[{"type":"function","function":{"name":"f","description":"","parameters":{"type":"object","#,
                r#""$defs":{"n":{"b":[null],"z":1}},"properties":{"#,
                r#""l":{"type":"array","items":{"minLength":1,"type":"string"}},"#,
                r#""o":{"type":"object","properties":{"y":{"enum":[1,"x"]}},"required":["y"]},"#,
                r#""u":{"anyOf":[{"type":"string"},{"type":["null","integer"]}]},"w":{}}}}}]"#,
            ),
        ),
    ];
    for (tool, expected) in cases {
        let tools = [tool];
        let request = GoRequest {
            tools: &tools,
            ..GoRequest::default()
        };
        let source = "{{ .Tools }}{{ if .Messages }}{{ end }}";
        assert_eq!(render(source, &request).as_deref(), Ok(expected));
    }
}

#[test]
fn shows_calls() {
    let arguments = json!({"n": 1, "m": "x<y", "k": [1, true, null]});
    let text = Json::String(arguments.to_string());
    let sorted = r#"{"k":[1,true,null],"m":"x\u003cy","n":1}"#;
    let cases = [
        ("{{ .Function.Arguments }}", sorted.to_owned()),
        (
            "{{ range $k, $v := .Function.Arguments }}{{ $k }}={{ $v }};{{ end }}",
            "k=[1 true <nil>];m=x<y;n=1;".to_owned(),
        ),
        ("{{ . }}", format!("{{call_1 {{0 f {sorted}}}}}")),
        (
            "{{ json . }}",
            format!(
                r#"{{"id":"call_1","function":{{"index":0,"name":"f","arguments":{sorted}}}}}"#
            ),
        ),
        (
            "{{ .Function.Index }}{{ .ID }}{{ .Function.Name }}",
            "0call_1f".to_owned(),
        ),
        (
            "{{ .Function.Arguments.m }}{{ .Function.Arguments.q }}",
            "x<y<no value>".to_owned(),
        ),
    ];
    for (body, expected) in cases {
        let source = format!(
            "{{{{ range .Messages }}}}{{{{ range .ToolCalls }}}}{body}{{{{ end }}}}{{{{ end }}}}"
        );
        for arguments in [&arguments, &text] {
            let messages = [calling(arguments.clone())];
            let request = GoRequest {
                messages: &messages,
                ..GoRequest::default()
            };
            assert_eq!(
                render(&source, &request).as_ref(),
                Ok(&expected),
                "{source}"
            );
        }
    }
}

#[test]
fn arguments_of_any_shape_are_shown() {
    let cases = [
        (json!(null), "{}"),
        (json!({}), "{}"),
        (json!("not json"), "not json"),
        (json!("[1]"), "[1]"),
        (
            json!({"id": 9_007_199_254_740_993_i64}),
            r#"{"id":9007199254740993}"#,
        ),
        (
            json!({"x": 1.0, "y": 1e21, "z": -0.5}),
            r#"{"x":1,"y":1e+21,"z":-0.5}"#,
        ),
    ];
    for (arguments, expected) in cases {
        let messages = [calling(arguments)];
        let request = GoRequest {
            messages: &messages,
            ..GoRequest::default()
        };
        let source = "{{ range .Messages }}{{ range .ToolCalls }}{{ .Function.Arguments }}{{ end }}{{ end }}";
        assert_eq!(render(source, &request).as_deref(), Ok(expected));
    }
}

#[test]
fn shows_all_of_a_message() {
    let messages: Vec<Message> = serde_json::from_value(json!([
        {"role": "user", "content": [{"type": "text", "text": "see"}, {"type": "image_url", "image_url": {"url": "u"}}]},
        {"role": "assistant", "content": "a", "thinking": "hm"},
        {"role": "assistant", "content": "b", "thinking": "lost"},
        {"role": "tool", "content": "12", "name": "f", "tool_call_id": "call_1"},
    ]))
    .unwrap();
    let request = GoRequest {
        messages: &messages,
        ..GoRequest::default()
    };
    let source = "{{ range .Messages }}{{ .Role }}|{{ .Content }}|{{ .Thinking }}|{{ len .Images }}|{{ len .ToolCalls }}|{{ .ToolName }}|{{ .ToolCallID }};{{ end }}";
    assert_eq!(
        render(source, &request).as_deref(),
        Ok("user|see||1|0||;assistant|a\n\nb|hm|0|0||;tool|12||0|0|f|call_1;")
    );
    assert_eq!(
        render("{{ range .Messages }}{{ json . }}{{ end }}", &request).as_deref(),
        Ok(concat!(
            r#"{"role":"user","content":"see","images":[""]}"#,
            r#"{"role":"assistant","content":"a\n\nb","thinking":"hm"}"#,
            r#"{"role":"tool","content":"12","tool_name":"f","tool_call_id":"call_1"}"#,
        ))
    );
}
