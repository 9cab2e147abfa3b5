use proptest::prelude::*;

use super::{Instruction::*, *};

const COMMAND: &str = r#"command must be one of "from", "license", "template", "system", "adapter", "draft", "renderer", "parser", "parameter", "message", or "requires""#;
const ROLE: &str = r#"message role must be one of "system", "user", or "assistant""#;
const EOF: &str = "unexpected EOF";

fn read(text: &str) -> Result<Vec<Instruction>, String> {
    let file = Modelfile::parse(text.as_bytes()).map_err(|error| error.to_string())?;
    Ok(file.iter().cloned().collect())
}

/// What follows a `FROM m`, which every file needs.
fn after_from(text: &str) -> Result<Vec<Instruction>, String> {
    Ok(read(&format!("FROM m\n{text}"))?.split_off(1))
}

fn system(text: &str) -> Vec<Instruction> {
    vec![System(text.to_owned())]
}

fn stop(text: &str) -> Instruction {
    Parameter("stop".to_owned(), ParameterValue::Text(text.to_owned()))
}

#[test]
fn reference_rows_of_from() {
    let rows: &[(u32, &str, &[&str])] = &[
        (1, "from m", &["m"]),
        (2, "FROM   m   ", &["m"]),
        (3, "FROM\tm", &["m"]),
        (4, "  FROM m", &["m"]),
        (6, "FROM m # not a comment", &["m # not a comment"]),
        (7, "# FROM x\nFROM m", &["m"]),
        (9, "FROM m SYSTEM x", &["m SYSTEM x"]),
        (10, "FROM a\nFROM b", &["a", "b"]),
    ];
    for (row, text, expected) in rows {
        let expected: Vec<Instruction> = expected.iter().map(|m| From((*m).to_owned())).collect();
        assert_eq!(read(text), Ok(expected), "row {row}");
    }
    assert_eq!(after_from("#SYSTEM x"), Ok(vec![]), "row 8");
}

#[test]
fn reference_rows_of_values() {
    let rows: Vec<(u32, &str, Vec<Instruction>)> = vec![
        (15, "SYSTEM \n", system("")),
        (16, r#"SYSTEM """#, system("")),
        (16, r#"SYSTEM """""""#, system("")),
        (17, r#"SYSTEM """a""""#, system("a")),
        (18, "SYSTEM \"\"\"\na\n\"\"\"", system("\na\n")),
        (
            20,
            r#"SYSTEM """say "hi" now""""#,
            system(r#"say "hi" now"#),
        ),
        (21, r#"SYSTEM "say "hi" now""#, system(r#"say "hi" now"#)),
        (22, "SYSTEM \"a\nb\"", system("a\nb")),
        (25, r#"SYSTEM "a" "b""#, system(r#"a" "b"#)),
        (26, "SYSTEM 'x'", system("'x'")),
        (28, r"SYSTEM a\nb", system(r"a\nb")),
        (
            29,
            "TEMPLATE \"\"\"{{ .Prompt }}\"\"\"   ",
            vec![Template("{{ .Prompt }}".to_owned())],
        ),
        (
            30,
            "TEMPLATE {{ .Prompt }}",
            vec![Template("{{ .Prompt }}".to_owned())],
        ),
        (34, "PARAMETER stop a b", vec![stop("a b")]),
        (35, r#"PARAMETER stop "a b""#, vec![stop("a b")]),
        (
            36,
            "PARAMETER stop \"<|im_end|>\"\nPARAMETER stop \"<|im_start|>\"",
            vec![stop("<|im_end|>"), stop("<|im_start|>")],
        ),
        (
            39,
            "MESSAGE user hi: there",
            vec![Message(Role::User, "hi: there".to_owned())],
        ),
        (
            41,
            "MESSAGE assistant \"\"\"\nx\n\"\"\"",
            vec![Message(Role::Assistant, "\nx\n".to_owned())],
        ),
        (
            42,
            "LICENSE a\nLICENSE b",
            vec![License("a".to_owned()), License("b".to_owned())],
        ),
        (44, "REQUIRES v0.14.0", vec![Requires("0.14.0".to_owned())]),
    ];
    for (row, text, expected) in rows {
        assert_eq!(after_from(text), Ok(expected), "row {row}");
    }
}

#[test]
fn reference_rows_of_errors() {
    let rows: &[(u32, &str, &str)] = &[
        (5, "FROM:m", COMMAND),
        (13, "SYSTEM", EOF),
        (14, "SYSTEM\n", COMMAND),
        (19, r#"SYSTEM """a""" tail"#, EOF),
        (23, "SYSTEM a\nb", EOF),
        (23, "SYSTEM a\nb c", COMMAND),
        (24, r#"SYSTEM "a" b"#, EOF),
        (27, r#"SYSTEM """open"#, EOF),
        (27, r#"SYSTEM "open"#, EOF),
        (31, "PARAMETER temperature", EOF),
        (31, "PARAMETER temperature\n", EOF),
        (32, "PARAMETER temperature hot", "invalid float value [hot]"),
        (33, "PARAMETER num_ctx 4096.5", "invalid int value [4096.5]"),
        (37, "PARAMETER top-k 3", EOF),
        (
            38,
            "PARAMETER Temperature 1",
            "unknown parameter 'Temperature'",
        ),
        (40, "MESSAGE User hi", ROLE),
        (40, "MESSAGE tool x", ROLE),
        (43, "EMBED f", COMMAND),
        (
            45,
            "REQUIRES soon",
            "requires must be a valid semver (e.g. 0.14.0)",
        ),
        (0, "PARAMETER use_mmap yes", "invalid bool value [yes]"),
    ];
    for (row, text, expected) in rows {
        let error = after_from(text).unwrap_err();
        assert!(
            error.split_once("): ").unwrap().1.starts_with(expected),
            "row {row}: {error}"
        );
    }
    for (row, text) in [(11, "SYSTEM x"), (12, ""), (12, "\n\n# nothing\n")] {
        assert_eq!(read(text), Err("no FROM line".to_owned()), "row {row}");
    }
}

#[test]
fn reference_row_46_other_encodings() {
    let text = "FROM m\nSYSTEM grüße 🙂\n";
    let units: Vec<u16> = text.encode_utf16().collect();
    let little: Vec<u8> = units.iter().flat_map(|unit| unit.to_le_bytes()).collect();
    let big: Vec<u8> = units.iter().flat_map(|unit| unit.to_be_bytes()).collect();
    let files = [
        [b"\xff\xfe".as_slice(), &little].concat(),
        [b"\xfe\xff".as_slice(), &big].concat(),
        [b"\xef\xbb\xbf".as_slice(), text.as_bytes()].concat(),
    ];
    let expected = Modelfile::parse(text.as_bytes()).unwrap();
    for file in files {
        assert_eq!(Modelfile::parse(&file), Ok(expected.clone()));
    }
    for broken in [&b"\xff\xfeF"[..], b"\xff\xfe\x00\xd8", b"FROM \xff"] {
        let error = Modelfile::parse(broken).unwrap_err();
        assert!(matches!(error.problem, Problem::Encoding(_)), "{error}");
    }
}

#[test]
fn lines_are_counted_as_editors_count_them() {
    for end in ["\n", "\r\n", "\r"] {
        let text = ["# a", "FROM m", "SYSTEM \"a", "b\"", "", "BAD x"].join(end);
        let error = Modelfile::parse(text.as_bytes()).unwrap_err();
        assert_eq!(error.line, Some(6), "{end:?}");
        let text = ["FROM m", "SYSTEM \"\"\"open", "x"].join(end);
        let error = Modelfile::parse(text.as_bytes()).unwrap_err();
        assert_eq!(error.line, Some(2), "the line where it begins, {end:?}");
        let text = ["FROM m", "SYSTEM a", "", "LICENSE b"].join(end);
        let lines = Modelfile::parse(text.as_bytes()).unwrap().instructions;
        assert_eq!(lines.iter().map(|l| l.line).collect::<Vec<_>>(), [1, 2, 4]);
    }
}

#[test]
fn parameters_are_typed_merged_and_deprecated() {
    let text = "FROM m\nPARAMETER num_ctx 1\nPARAMETER num_ctx 8192\nPARAMETER temperature 0.7\n\
                PARAMETER use_mmap F\nPARAMETER stop a\nPARAMETER stop \"\"\nPARAMETER mirostat 2\n\
                PARAMETER seed -1\nPARAMETER top_p +.5";
    let file = Modelfile::parse(text.as_bytes()).unwrap();
    assert_eq!(
        Value::Object(file.parameters()),
        serde_json::json!({"num_ctx": 8192, "temperature": 0.7, "use_mmap": false, "stop": ["a", ""], "seed": -1,
                           "top_p": 0.5})
    );
    assert_eq!(file.warnings, ["warning: parameter mirostat is deprecated"]);
    for value in ["inf", "nan", "1e39", "", "1_000", "0x10"] {
        let error = after_from(&format!("PARAMETER temperature {value}")).unwrap_err();
        assert!(
            error.ends_with(&format!("invalid float value [{value}]")),
            "{error}"
        );
    }
    let error = after_from("PARAMETER num_ctx 9223372036854775808").unwrap_err();
    assert!(error.contains("invalid int value"), "{error}");
}

#[test]
fn runs_of_blanks_separate_every_word() {
    let message = vec![Message(Role::User, "x".to_owned())];
    assert_eq!(after_from("MESSAGE \t user\t  x"), Ok(message));
    assert_eq!(after_from("PARAMETER  stop  x "), Ok(vec![stop("x")]));
}

#[test]
fn versions_of_go() {
    for good in [
        "1",
        "1.2",
        "1.2.3",
        "0.14.0-rc.1",
        "1.0.0+b.01",
        "1.0.0-a+b",
    ] {
        assert!(after_from(&format!("REQUIRES {good}")).is_ok(), "{good}");
    }
    for bad in [
        "\"\"", "vv1", "1.", "01", "1.2.3.4", "1-a", "1.2+b", "1.0.0-01", "1.0.0-", "-1",
    ] {
        assert!(after_from(&format!("REQUIRES {bad}")).is_err(), "{bad}");
    }
}

#[test]
fn characters_that_values_lose_and_keep() {
    let family = "👩\u{200d}👩\u{200d}👧\u{a0}x";
    assert_eq!(
        after_from(&format!("SYSTEM a\u{0}\u{1b}[0m\u{7f}{family}")),
        Ok(system(&format!("a[0m{family}")))
    );
}

#[test]
fn values_are_printed_so_that_they_come_back() {
    let cases = [
        ("a b", "SYSTEM a b"),
        ("", "SYSTEM \"\""),
        ("a\nb", "SYSTEM \"a\nb\""),
        (" a", "SYSTEM \" a\""),
        ("a \"b\"\n", "SYSTEM \"\"\"a \"b\"\n\"\"\""),
        ("\"a\"", "SYSTEM \"\"\"\"a\"\"\"\""),
        ("say \"hi\"", "SYSTEM say \"hi\""),
        ("\"", "SYSTEM \"\"\"\"\"\"\""),
    ];
    for (value, printed) in cases {
        let instruction = System(value.to_owned());
        assert_eq!(instruction.to_string(), printed);
        assert_eq!(after_from(printed), Ok(vec![instruction]));
    }
    let large = Parameter("num_ctx".to_owned(), ParameterValue::Int(1_048_576));
    assert_eq!(large.to_string(), "PARAMETER num_ctx 1048576");
    let small = Parameter("min_p".to_owned(), ParameterValue::Float(1e-9));
    assert_eq!(after_from(&small.to_string()), Ok(vec![small]));
    // In Ollama's language no quotes hold a line that ends with three of them.
    for (value, comes_back) in [
        ("\"\"\"doc\"\"\"\nx", false),
        ("\u{1b}", false),
        ("x\n\"\"\"doc\"\"\"", true),
        ("\"\na\"\n", true),
    ] {
        assert_eq!(
            System(value.to_owned()).comes_back(),
            comes_back,
            "{value:?}"
        );
    }
    assert!(!Requires("soon".to_owned()).comes_back());
}

/// A closing quote is looked for at every line's end, and never by reading the value again.
#[test]
fn a_value_of_many_lines_is_read_once() {
    let text = format!("FROM m\nSYSTEM \"\"\"{}\"\"\"", "\n".repeat(4 << 20));
    assert!(Modelfile::parse(text.as_bytes()).is_ok());
    let text = format!("FROM m\nSYSTEM \"\"\"{}", "\"\n".repeat(2 << 20));
    assert!(Modelfile::parse(text.as_bytes()).is_err());
    assert!(Modelfile::parse(&vec![b' '; 17 << 20]).is_err());
}

fn any_instruction() -> impl Strategy<Value = Instruction> {
    let text = "([ab \t\"'#{}é\u{a0}\u{200d}]|\"\"\"|\n|\r){0,12}"
        .prop_filter("no quotes hold it", |text| {
            System(text.clone()).comes_back()
        });
    prop_oneof![
        text.clone().prop_map(From),
        text.clone().prop_map(Adapter),
        text.clone().prop_map(Draft),
        text.clone().prop_map(Template),
        text.clone().prop_map(System),
        text.clone().prop_map(License),
        text.clone().prop_map(Renderer),
        text.clone().prop_map(Parser),
        text.clone().prop_map(|text| stop(&text)),
        text.prop_map(|text| Message(Role::Assistant, text)),
        any::<i64>().prop_map(|n| Parameter("seed".to_owned(), ParameterValue::Int(n))),
        any::<f32>()
            .prop_filter("finite", |n| n.is_finite())
            .prop_map(|n| Parameter("top_p".to_owned(), ParameterValue::Float(f64::from(n)))),
        any::<bool>().prop_map(|b| Parameter("use_mmap".to_owned(), ParameterValue::Bool(b))),
        r"[0-9]\.[1-9][0-9]{0,2}\.0(-rc\.[1-9])?".prop_map(Requires),
    ]
}

proptest! {
    #[test]
    fn what_is_printed_is_read_back(instructions in prop::collection::vec(any_instruction(), 0..6)) {
        let file: Modelfile = [From("m".to_owned())].into_iter().chain(instructions).collect();
        let back = Modelfile::parse(file.to_string().as_bytes()).unwrap();
        prop_assert_eq!(back.iter().collect::<Vec<_>>(), file.iter().collect::<Vec<_>>());
    }

    #[test]
    fn what_was_read_can_be_printed(text in "((FROM|SYSTEM|MESSAGE user|PARAMETER stop|#|X) ?|[ab\" \t]|\"\"\"|\n|\r){0,30}") {
        if let Ok(file) = Modelfile::parse(format!("FROM m\n{text}").as_bytes()) {
            let back = Modelfile::parse(file.to_string().as_bytes()).unwrap();
            prop_assert_eq!(back.iter().collect::<Vec<_>>(), file.iter().collect::<Vec<_>>());
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Modelfile::parse(&bytes);
        let _ = Modelfile::parse(&[b"FROM m\nSYSTEM \"".as_slice(), &bytes].concat());
    }
}
