//! Output that is long, deep or broken.

use super::*;

fn parse(name: &str, text: &str) -> Output {
    let tools = tools();
    let options = Options {
        tools: &tools,
        ..Options::default()
    };
    Parser::parse(&Format::by_name(name).unwrap(), options, text)
}

#[test]
fn deep_long_and_many() {
    let deep = format!(
        "<tool_call>{{\"name\": \"get_w\", \"arguments\": {{\"city\": {}",
        "[".repeat(200_000)
    );
    assert_eq!(parse("hermes", &deep).calls.len(), 1);
    let wrapped = format!("<tool_call>{}", "{\"function\": ".repeat(100_000));
    assert!(parse("hermes", &wrapped).content == wrapped);
    let python = format!("<|tool_call_start|>[get_w(city={}", "[".repeat(200_000));
    assert_eq!(parse("lfm2", &python).calls.len(), 1);
    let gemma = format!("<|tool_call>call:get_w{}", "{a:".repeat(100_000));
    assert_eq!(parse("gemma4", &gemma).calls.len(), 1);
    let endless = format!(
        "<function=get_w>\n<parameter=city>\n{}",
        "x".repeat(1_000_000)
    );
    let output = parse("qwen3-coder", &endless);
    assert_eq!(
        output.calls[0].arguments.len(),
        "{\"city\": \"".len() + 1_000_000
    );
    let call = "<tool_call>{\"name\": \"get_w\", \"arguments\": {}}</tool_call>";
    assert_eq!(parse("hermes", &call.repeat(5_000)).calls.len(), 5_000);
    let m3 = format!(
        "]<]minimax[>[<tool_call>]<]minimax[>[<invoke name=\"get_w\">]<]minimax[>[<days>{}{}]<]minimax[>[</days>",
        "]<]minimax[>[<a>".repeat(300),
        "]<]minimax[>[</a>".repeat(300),
    );
    assert_eq!(parse("minimax-m3", &m3).calls.len(), 1);
}

#[test]
fn openers_that_begin_nothing_are_text() {
    for name in Format::names() {
        let format = Format::by_name(name).unwrap();
        for index in 0..format.row.sections.len() {
            for open in format.opens(index) {
                let text = format!("so {open} is{}", open.repeat(300));
                let output = parse(name, &text);
                let said = output.reasoning + &output.content;
                assert_eq!(output.calls, [], "{name}");
                // Harmony's marks belong to headers.
                if format.row.layout == format::Layout::Flow {
                    assert_eq!(said, text, "{name}");
                }
            }
        }
    }
}

/// Broken output, and what becomes of it: calls and content.
const BROKEN: &[(&str, &str, &[&str], &str)] = &[
    (
        "hermes",
        "<tool_call>{\"name\": \"other\", \"arguments\": {}}</tool_call>",
        &[],
        "<tool_call>{\"name\": \"other\", \"arguments\": {}}</tool_call>",
    ),
    (
        "hermes",
        "<tool_call>{\"name\": \"get_w\"",
        &[],
        "<tool_call>{\"name\": \"get_w\"",
    ),
    ("hermes", "a <tool_call> b", &[], "a <tool_call> b"),
    (
        "hermes",
        "<tool_call>{\"name\": \"get_w\", \"arguments\": {\"city\": Oslo}}</tool_call>",
        &["{\"city\": "],
        "Oslo}}</tool_call>",
    ),
    (
        "hermes",
        "<tool_call>{\"name\": \"get_w\", \"arguments\": {\"city\": \"O",
        &["{\"city\": \"O"],
        "",
    ),
    (
        "hermes",
        "<tool_call>{\"name\": \"get_w\", \"arguments\": {}} x",
        &["{}"],
        "x",
    ),
    (
        "hermes",
        "<tool_call>[{\"name\": \"get_w\", \"arguments\": {}}, oops",
        &["{}"],
        ", oops",
    ),
    (
        "hermes",
        "{\"city\": \"Oslo\"}",
        &[],
        "{\"city\": \"Oslo\"}",
    ),
    (
        "hermes",
        "<tool_call>{\"name\": \"get_w\", \"arguments\": {\"city\": \"a\nb\"}}</tool_call>",
        &["{\"city\": \"a\\nb\"}"],
        "",
    ),
    (
        "qwen3-coder",
        "<function=main> is C++",
        &[],
        "<function=main> is C++",
    ),
    (
        "qwen3-coder",
        "<function=get_w> is it",
        &[],
        "<function=get_w> is it",
    ),
    (
        "qwen3-coder",
        "<function=get_w><parameter=days>\n7\n</parameter>oops",
        &["{\"days\": 7}"],
        "oops",
    ),
    (
        "qwen3-coder",
        "<function=get_w><parameter=days>\n7",
        &["{\"days\": 7"],
        "",
    ),
    (
        "qwen3-coder",
        "<function=get_w><parameter=days>many</parameter></function>",
        &["{\"days\": \"many\"}"],
        "",
    ),
    (
        "lfm2",
        "<|tool_call_start|>[get_w(city='Os",
        &["{\"city\": \"Os"],
        "",
    ),
    (
        "lfm2",
        "<|tool_call_start|>[get_w(city=Oslo)]<|tool_call_end|>",
        &["{\"city\": \"Oslo\"}"],
        "",
    ),
    (
        "lfm2",
        "<|tool_call_start|>[other(a=1)]<|tool_call_end|>",
        &[],
        "<|tool_call_start|>[other(a=1)]<|tool_call_end|>",
    ),
    (
        "ministral",
        "[TOOL_CALLS]get_w[ARGS]none",
        &[],
        "[TOOL_CALLS]get_w[ARGS]none",
    ),
    (
        "harmony",
        "<|channel|>commentary to=functions.other<|message|>{}",
        &[],
        "<|channel|>commentary to=functions.other<|message|>{}",
    ),
    (
        "harmony",
        "<|channel|>commentary to=functions.get_w<|message|>what",
        &[],
        "<|channel|>commentary to=functions.get_w<|message|>what",
    ),
];

#[test]
fn broken_output_is_content() {
    for &(name, text, calls, content) in BROKEN {
        let output = parse(name, text);
        let found: Vec<&str> = output.calls.iter().map(|call| &*call.arguments).collect();
        assert_eq!(
            (found.as_slice(), output.content.trim()),
            (calls, content),
            "{name}: {text}"
        );
    }
}
