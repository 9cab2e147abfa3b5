//! The old form, `.System`, `.Prompt` and `.Response`; and insertion.

use super::*;

const TEMPLATE: &str = "{{ if .System }}S:{{ .System }} {{ end }}{{ if .Prompt }}U:{{ .Prompt }} {{ end }}A:{{ .Response }}<e>";

#[test]
fn walks_the_exchanges() {
    let cases: [(Turns, &str); 10] = [
        (&[("user", "q")], "U:q A:"),
        (&[("system", "y"), ("user", "q")], "S:y U:q A:"),
        (
            &[
                ("system", "y"),
                ("user", "q1"),
                ("assistant", "r1"),
                ("user", "q2"),
            ],
            "S:y U:q1 A:r1<e>U:q2 A:",
        ),
        (&[("user", "q1"), ("user", "q2")], "U:q1\n\nq2 A:"),
        (&[("user", "q"), ("assistant", "pre")], "U:q A:pre"),
        (
            &[("user", "q1"), ("system", "y"), ("user", "q2")],
            "U:q1 A:<e>S:y U:q2 A:",
        ),
        (
            &[
                ("user", "q1"),
                ("assistant", "r1"),
                ("tool", "t"),
                ("user", "q2"),
            ],
            "U:q1 A:r1<e>U:q2 A:",
        ),
        (
            &[("assistant", "r1"), ("assistant", "r2"), ("user", "q")],
            "A:r1\n\nr2<e>U:q A:",
        ),
        (
            &[("system", "y1"), ("system", "y2"), ("user", "q")],
            "S:y1\n\ny2 U:q A:",
        ),
        (&[], "A:"),
    ];
    for (turns, expected) in cases {
        assert_eq!(
            prompt(TEMPLATE, turns).as_deref(),
            Ok(expected),
            "{turns:?}"
        );
    }
}

#[test]
fn adds_a_missing_response() {
    let turns = [("user", "q1"), ("assistant", "r1"), ("user", "q2")];
    let cases: [(&str, Turns, &str); 4] = [
        ("U:{{ .Prompt }} A:", &turns, "U:q1 A:r1U:q2 A:"),
        ("{{ .Prompt }}", &[("system", "y"), ("user", "q")], "q"),
        ("", &[("user", "q"), ("assistant", "pre")], "pre"),
        // It is there, somewhere.
        ("{{ define \"t\" }}{{ .Response }}{{ end }}x", &turns, "xx"),
    ];
    for (source, turns, expected) in cases {
        assert_eq!(prompt(source, turns).as_deref(), Ok(expected), "{source}");
        assert_eq!(GoTemplate::new(source).unwrap().source(), source);
    }
}

#[test]
fn stops_after_the_response() {
    let turns = [("user", "q1"), ("assistant", "r1"), ("user", "q2")];
    let cases = [
        (
            "{{ .Prompt }}>{{ .Response }}{{ if .Response }}<e>{{ end }}\n{{ .System }}",
            "q1>r1<e>\nq2>",
        ),
        (
            "{{ .Prompt }}>{{ if .Response }}{{ .Response }}<e>{{ end }}tail",
            "q1>r1<e>tailq2>",
        ),
        // The branch that is taken without a response is whole.
        (
            "{{ .Prompt }}>{{ if .Response }}{{ .Response }}<e>{{ else }}new{{ end }}tail",
            "q1>r1<e>tailq2>new",
        ),
        (
            "{{ .Prompt }}>{{ $.Response | printf \"%s!\" }}<e>",
            "q1>r1!<e>q2>!",
        ),
        (
            "{{ .Prompt }}>{{ with .Response }}{{ . }}{{ else }}none{{ end }}<e>",
            "q1>r1<e>q2>none<e>",
        ),
        (
            "{{ .Prompt }}>{{ range 2 }}{{ $.Response }}.{{ end }}<e>",
            "q1>r1.r1.<e>q2>",
        ),
    ];
    for (source, expected) in cases {
        assert_eq!(prompt(source, &turns).as_deref(), Ok(expected), "{source}");
    }
}

#[test]
fn inserts_between_two_texts() {
    let source = "{{ if .Suffix }}<pre>{{ .Prompt }}<suf>{{ .Suffix }}<mid>{{ .Response }}{{ else }}{{ .System }}{{ .Prompt }}:{{ end }}";
    let messages = conversation(&[("system", "y"), ("user", "q")]);
    let insert = Insert {
        prompt: "def f(",
        suffix: "return 1",
    };
    let request = GoRequest {
        messages: &messages,
        insert: Some(insert),
        ..GoRequest::default()
    };
    let expected = "<pre>def f(<suf>return 1<mid>";
    assert_eq!(render(source, &request).as_deref(), Ok(expected));
    let chat = GoRequest {
        insert: None,
        ..request
    };
    assert_eq!(render(source, &chat).as_deref(), Ok("yq:"));
}
