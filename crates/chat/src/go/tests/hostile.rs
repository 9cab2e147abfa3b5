//! Templates that try to hang, exhaust memory or overflow the stack end in an error; random ones
//! never panic.

use proptest::prelude::*;

use super::*;
use crate::Error;

/// Half of what a thread has by default.
const SMALL_STACK: usize = 1 << 20;

/// Reads and renders on a thread with a small stack.
fn on_small_stack(source: &str, messages: &[Message], tools: &[Json]) -> Result<String> {
    let request = GoRequest {
        messages,
        tools,
        ..GoRequest::default()
    };
    std::thread::scope(|scope| {
        std::thread::Builder::new()
            .stack_size(SMALL_STACK)
            .spawn_scoped(scope, || render(source, &request))
            .unwrap()
            .join()
            .unwrap()
    })
}

#[test]
fn bombs_are_defused() {
    let doubling = |step: &str| {
        format!(
            "{{{{ $s := \"aaaaaaaa\" }}}}{{{{ range 100000 }}}}{{{{ $s = {step} }}}}{{{{ end }}}}"
        )
    };
    let loops = "{{ range 100000 }}".repeat(5) + "x" + &"{{ end }}".repeat(5);
    let many = "{{ range 100000000 }}{{ $x := 1 }}{{ $x }}{{ end }}";
    let variables = "{{ $x := 1 }}".repeat(50_000) + "{{ range 100000 }}{{ $ }}{{ end }}";
    let cases = [
        "{{ define \"t\" }}{{ template \"t\" }}{{ end }}{{ template \"t\" }}".to_owned(),
        "{{ define \"t\" }}{{ template \"t\" . }}{{ template \"t\" . }}{{ end }}{{ template \"t\" }}".to_owned(),
        "{{ define \"a\" }}{{ template \"b\" }}{{ end }}{{ define \"b\" }}{{ if 1 }}{{ template \"a\" }}{{ end }}{{ end }}{{ template \"a\" }}".to_owned(),
        "{{ range 9223372036854775807 }}{{ end }}".to_owned(),
        "{{ range 9223372036854775807 }}x{{ end }}".to_owned(),
        many.to_owned(),
        loops,
        variables,
        doubling("printf \"%s%s\" $s $s"),
        doubling("print $s $s"),
        doubling("printf \"%q%q\" $s $s"),
        doubling("printf \"%x\" $s"),
        doubling("json (print $s \"<\" $s)"),
        doubling("printf \"%9999s%s\" $s $s"),
        doubling("println $s $s"),
        doubling("or (slice (print $s $s) 0) 1"),
        "{{ printf \"%1000000000d\" 1 }}".to_owned(),
        "{{ printf \"%.1000000000f\" 1.0 }}".to_owned(),
        "{{ printf \"%*d\" 1000000000 1 }}".to_owned(),
        "{{ printf \"%99999999999999999999999999d\" 1 }}".to_owned(),
        format!("{{{{ {}1{} }}}}", "(".repeat(100_000), ")".repeat(100_000)),
        format!("{{{{ {}not 1{} }}}}", "not (".repeat(1_000), ")".repeat(1_000)),
        format!("{}{}", "{{ if 1 }}".repeat(20_000), "{{ end }}".repeat(20_000)),
        format!("{}{}", "{{ range 1 }}".repeat(101), "{{ end }}".repeat(101)),
        format!("{{{{ range 1000000 }}}}{}{{{{ end }}}}", "x".repeat(100_000)),
        format!("{{{{ range 1000000 }}}}{{{{ ($.A).{} }}}}{{{{ end }}}}", vec!["A"; 10_000].join(".")),
        "x".repeat((1 << 20) + 1),
    ];
    for source in cases {
        let found = on_small_stack(&source, &[], &[]);
        let head: String = source.chars().take(100).collect();
        let expected = matches!(found, Err(Error::Limit { .. } | Error::Render { .. }));
        assert!(expected, "{head} gave {:.200}", format!("{found:?}"));
    }
}

#[test]
fn long_chains_are_no_deep_ones() {
    let many = 20_000;
    let choice = format!(
        "{{{{ if .A }}}}{}{{{{ else }}}}x{{{{ end }}}}",
        "{{ else if .A }}".repeat(many)
    );
    assert_eq!(on_small_stack(&choice, &[], &[]).as_deref(), Ok("x"));
    let pipeline = format!("{{{{ 1{} }}}}", " | print".repeat(many));
    assert_eq!(on_small_stack(&pipeline, &[], &[]).as_deref(), Ok("1"));
    let fields = format!("{{{{ (.A).A{} }}}}", ".A".repeat(many));
    assert_eq!(
        on_small_stack(&fields, &[], &[]).as_deref(),
        Ok("<no value>")
    );
    let depth = 90;
    let blocks = format!(
        "{}{{{{ $x }}}}{}",
        "{{ with $x := 7 }}".repeat(depth),
        "{{ end }}".repeat(depth)
    );
    assert_eq!(on_small_stack(&blocks, &[], &[]).as_deref(), Ok("7"));
    let parentheses = format!(
        "{{{{ {}1{} }}}}",
        "print (".repeat(depth),
        ")".repeat(depth)
    );
    assert_eq!(on_small_stack(&parentheses, &[], &[]).as_deref(), Ok("1"));
}

#[test]
fn deep_data_is_refused() {
    let deep = |depth: usize| {
        let mut json = json!(1);
        for _ in 0..depth {
            json = json!([json]);
        }
        json
    };
    let any_of = |depth: usize| {
        let mut json = json!({"type": "string"});
        for _ in 0..depth {
            json = json!({"anyOf": [json]});
        }
        json
    };
    let source = "{{ .Tools }}{{ range .Tools }}{{ range .Function.Parameters.Properties }}{{ toTypeScriptType . }}{{ end }}{{ end }}{{ range .Messages }}{{ range .ToolCalls }}{{ .Function.Arguments }}{{ print .Function.Arguments.a }}{{ end }}{{ end }}";
    for (depth, fits) in [(100, true), (1_000, false)] {
        let calls = [calling(json!({"a": deep(depth)}))];
        let found = on_small_stack(source, &calls, &[]);
        assert_eq!(
            found.is_ok(),
            fits,
            "{depth}: {:.100}",
            format!("{found:?}")
        );
        let properties = json!({"a": any_of(depth), "b": {"items": deep(depth)}});
        let tools = [json!({"function": {"parameters": {"properties": properties}}})];
        let found = on_small_stack(source, &[], &tools);
        assert_eq!(
            found.is_ok(),
            fits,
            "{depth}: {:.100}",
            format!("{found:?}")
        );
        if !fits {
            assert!(matches!(found, Err(Error::Limit { .. })));
        }
        // Dropping such a value is recursive in its own crate.
        std::mem::forget((calls, tools));
    }
}

/// A conversation with everything in it.
fn everything() -> (Vec<Message>, [Json; 1]) {
    let mut messages = conversation(&[("system", "S"), ("user", "é<"), ("tool", "t")]);
    messages.push(calling(json!({"k": [1, true, null], "m": "x", "n": 1.5})));
    (messages, [tool()])
}

fn token() -> impl Strategy<Value = String> {
    const WORDS: &[&str] = &[
        "{{",
        "}}",
        "{{ ",
        " }}",
        "{{- ",
        " -}}",
        "{{/*",
        "*/}}",
        "if ",
        "else",
        "else if ",
        "end",
        "range ",
        "with ",
        "define \"t\"",
        "template \"t\" ",
        "block \"b\" ",
        "break",
        "continue",
        "$",
        "$x",
        "$i, $x",
        " := ",
        " = ",
        ".",
        ".Messages",
        ".Tools",
        ".Role",
        ".Content",
        ".ToolCalls",
        ".Function",
        ".Arguments",
        ".Parameters",
        ".Properties",
        ".System",
        ".Foo",
        "(",
        ")",
        " | ",
        " ",
        "\n",
        "\"",
        "`",
        "'",
        "\"%v %5.2f %-x\"",
        "\"é\"",
        "0",
        "1",
        "-1",
        "1.5",
        "0x",
        "'a'",
        "true",
        "nil",
        "and ",
        "or ",
        "not ",
        "eq ",
        "lt ",
        "len ",
        "index ",
        "slice ",
        "print ",
        "printf ",
        "println ",
        "json ",
        "currentDate",
        "toTypeScriptType ",
        "text",
        "\\",
        ",",
        "é",
        "%",
        "[",
    ];
    prop::sample::select(WORDS).prop_map(str::to_owned)
}

fn piece() -> impl Strategy<Value = String> {
    let value = prop::collection::vec(token(), 1..6).prop_map(|words| words.join(" "));
    let form = prop::sample::select(
        &[
            "",
            "{{ @ }}",
            "{{ if @ }}a{{ else }}b{{ end }}",
            "{{ range @ }}{{ . }}{{ end }}",
            "{{ range $i, $x := .Messages }}",
            "{{ end }}",
        ][..],
    );
    (token(), value, form).prop_map(|(token, value, form)| match form {
        "" => token,
        form => form.replace('@', &value),
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn random_tokens_never_panic(pieces in prop::collection::vec(piece(), 0..16)) {
        let source = pieces.concat();
        let (messages, tools) = everything();
        if let Ok(template) = GoTemplate::new(&source) {
            let request = GoRequest { messages: &messages, tools: &tools, ..GoRequest::default() };
            let _ = template.render(&request);
            let _ = (template.turn_end(), template.thinking_tags(), template.tool_tag());
        }
    }

    #[test]
    fn random_texts_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..60), inside: bool) {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let source = if inside { format!("{{{{ {text} }}}}") } else { text };
        let _ = prompt(&source, &[("user", "a")]);
    }

    /// `printf` takes any format and any values.
    #[test]
    fn random_formats_never_panic(format in "[-%#+ 0-9.*\\[\\]vdsqxXeEfgGtTcUbo!é]{0,12}", which in 0usize..9) {
        let values = ["1", "-1", "1.5", "\"é\\xff\"", "nil", ".Messages", ".", "true", "65"];
        let value = values[which];
        let source = format!("{{{{ printf {format:?} {value} 7 {value} }}}}{{{{ if .Messages }}}}{{{{ end }}}}");
        let found = prompt(&source, &[("user", "é")]);
        let limited = matches!(found, Err(Error::Limit { .. }));
        prop_assert!(found.is_ok() || limited, "{source}: {found:?}");
    }

    /// Slices of texts are the bytes that they say, and halves meet again.
    #[test]
    fn slices_are_exact(text in "[aé世😀]{0,8}", at in 0usize..40) {
        let at = at.min(text.len());
        let source = format!("{{{{ range .Messages }}}}{{{{ slice .Content 0 {at} }}}}{{{{ slice .Content {at} }}}}{{{{ end }}}}");
        prop_assert_eq!(prompt(&source, &[("user", &text)]), Ok(text));
    }
}
