//! Grammars, tried with the library that executes them.

use std::sync::Arc;

use llguidance::api::TopLevelGrammar;
use llguidance::{Matcher, ParserFactory};
use toktrie::{ApproximateTokEnv, TokEnv, TokRxInfo, TokTrie};

use super::*;

/// Bytes, and these special tokens behind them.
fn vocabulary(special: &[&str]) -> TokEnv {
    let mut words: Vec<Vec<u8>> = (0..=255).map(|byte| vec![byte]).collect();
    let special = special.iter().chain(&["<|eos|>"]);
    words.extend(special.map(|text| [b"\xff", text.as_bytes()].concat()));
    let last = words.len() as u32 - 1;
    let info = TokRxInfo::new(last + 1, last);
    Arc::new(ApproximateTokEnv::new(TokTrie::from(&info, &words)))
}

fn tokens(text: &str, special: &[&str]) -> Vec<u32> {
    let mut out = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        match special.iter().position(|token| rest.starts_with(token)) {
            Some(index) => {
                out.push(256 + index as u32);
                rest = &rest[special[index].len()..];
            }
            None => {
                let length = rest.chars().next().map_or(1, char::len_utf8);
                out.extend(
                    rest.as_bytes()[..length]
                        .iter()
                        .map(|&byte| u32::from(byte)),
                );
                rest = &rest[length..];
            }
        }
    }
    out
}

/// Why a grammar does not accept a whole text; `None` if it does.
fn refusal(lark: &str, text: &str, special: &[&str]) -> Option<String> {
    let mut factory = ParserFactory::new_simple(&vocabulary(special)).unwrap();
    factory.quiet();
    let grammar = TopLevelGrammar::from_lark(lark.to_owned());
    let mut matcher = Matcher::new(factory.create_parser(grammar));
    if let Some(error) = matcher.get_error() {
        return Some(format!("bad grammar: {error}\n{lark}"));
    }
    let tokens = tokens(text, special);
    let taken = matcher.try_consume_tokens(&tokens).unwrap();
    if taken < tokens.len() {
        return Some(format!("refused at {taken} of {}", tokens.len()));
    }
    (!matcher.is_accepting().unwrap()).then(|| "not complete".to_owned())
}

/// The text behind the first trigger in it.
fn behind<'a>(grammar: &CallGrammar, text: &'a str) -> Option<&'a str> {
    let found = grammar.triggers.iter().filter_map(|trigger| {
        let at = text.find(&**trigger)?;
        Some((at, std::cmp::Reverse(trigger.len()), at + trigger.len()))
    });
    found.min().map(|(.., end)| &text[end..])
}

/// What makes the arguments of a call wrong: the string a number, or the number a word.
fn spoiled(text: &str) -> Option<String> {
    let changes = [
        ("\"city\": \"Oslo\"", "\"city\": 5"),
        ("<item>1", "<item>x"),
        ("city=\"Oslo\"", "city=5"),
        ("city='Oslo'", "city=5"),
        ("days:2", "days:x"),
        ("<escape>Oslo<escape>", "5"),
        ("city='O\\'Hare'", "city=5"),
        (">2<", ">two<"),
        (">2]", ">two]"),
        ("\n2\n", "\ntwo\n"),
    ];
    let change = changes.iter().find(|(from, _)| text.contains(from));
    change.map(|(from, to)| text.replacen(from, to, 1))
}

/// Formats whose calls are only accepted, or not at all, by a grammar in the middle of a text.
const NOT_BY_TRIGGER: [&str; 3] = ["functionary-3.2", "passthrough", "xlam"];

/// Parts of outputs that are read, though a model that is held by the grammar does not write them.
const LENIENT: &[&str] = &[
    // Fences, other orders and other keys.
    "```json\n{\"name",
    "\"{\\\"",
    "{\"arguments",
    "\"type\": \"function\"",
    "CDATA",
    "(\"Oslo\", 2)",
    "city:Oslo",
    // Two calls where one is written.
    "{\"city\":\"A\"}}\n{",
    "}}; {",
    // Ends left out.
    "{\"city\": \"Oslo\"}}]<|/tool",
    "<tool_call>\n{\"name\": \"get_w\", \"arguments\": {\"city\": \"Oslo\"}}$",
    // Arguments that the schema does not allow.
    "<function=get_w>\n</function>",
    "json<|message|>{}",
    "get_w:0",
    "days=None",
    "<item>",
    // The other form of the family.
    "[TOOL_CALLS] get_w",
];

fn is_lenient(text: &str) -> bool {
    let marked = format!("{text}$");
    LENIENT.iter().any(|part| marked.contains(part))
}

#[test]
fn calls_that_are_read_are_accepted_and_wrong_ones_are_not() {
    let tools = tools();
    let (mut wrong, mut tried, mut spoiled_ones) = (Vec::new(), Vec::new(), Vec::new());
    for vector in VECTORS
        .iter()
        .filter(|vector| !vector.calls.is_empty() && !is_lenient(vector.text))
    {
        let format = Format::by_name(vector.format).unwrap();
        let grammar = format.call_grammar(&tools, &Choice::Auto, true, &|_| None);
        let Some((grammar, text)) = grammar.and_then(|it| {
            let text = behind(&it, vector.text)?.to_owned();
            Some((it, text))
        }) else {
            continue;
        };
        // A model ends its turn where the calls end.
        let complete = vector.content.is_empty() || !vector.text.ends_with(vector.content);
        let marks = ["<|close|>message<|sep|><|end_of_msg|>", "<|eot|>"];
        let text = marks
            .iter()
            .fold(&*text, |text, mark| text.trim_end_matches(mark));
        if let Some(why) = refusal(&grammar.lark, text, &[]).filter(|_| complete) {
            wrong.push(format!("{}: {text:?}: {why}", vector.format));
        }
        tried.push(vector.format);
        if let Some(text) = spoiled(text) {
            spoiled_ones.push(vector.format);
            if refusal(&grammar.lark, &text, &[]).is_none() {
                wrong.push(format!("{}: accepts {text:?}", vector.format));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    let missing = |list: &[&str]| -> Vec<&str> {
        let needed = Format::names().filter(|name| !NOT_BY_TRIGGER.contains(name));
        needed.filter(|name| !list.contains(name)).collect()
    };
    assert_eq!(missing(&tried), Vec::<&str>::new());
    assert_eq!(missing(&spoiled_ones), Vec::<&str>::new());
}

#[test]
fn special_tokens_are_tokens() {
    let special = [
        "<tool_call>",
        "</tool_call>",
        "<｜tool▁calls▁begin｜>",
        "<|\"|>",
        "[ARGS]",
        "<|close|>",
        "<|sep|>",
        "<|open|>",
        "[TOOL_CALLS]",
        "<tool_call|>",
        "<|tool_call>",
    ];
    let id = |text: &str| {
        special
            .iter()
            .position(|it| *it == text)
            .map(|at| 256 + at as u32)
    };
    let tools = tools();
    for name in [
        "hermes",
        "qwen3-coder",
        "glm",
        "gemma4",
        "ministral",
        "kimi-k3",
    ] {
        let format = Format::by_name(name).unwrap();
        let grammar = format
            .call_grammar(&tools, &Choice::Auto, true, &id)
            .unwrap();
        let texts = VECTORS
            .iter()
            .filter(|vector| vector.format == name && !is_lenient(vector.text));
        let mut tried = 0;
        for vector in texts.filter(|vector| !vector.calls.is_empty()) {
            let Some(text) = behind(&grammar, vector.text) else {
                continue;
            };
            let text = text.trim_end_matches("<|close|>message<|sep|><|end_of_msg|>");
            assert_eq!(
                refusal(&grammar.lark, text, &special),
                None,
                "{name}: {text}\n{}",
                grammar.lark
            );
            // As plain text the same marks are refused.
            assert!(
                refusal(&grammar.lark, text, &[]).is_some(),
                "{name}: {text}"
            );
            tried += 1;
        }
        assert!(tried > 0, "{name}");
    }
}

#[test]
fn a_call_that_is_required_is_the_whole_answer() {
    let tools = tools();
    let cases = [
        (
            "hermes",
            "<tool_call>\n{\"name\": \"get_w\", \"arguments\": {\"city\": \"Oslo\"}}\n</tool_call>",
        ),
        (
            "xlam",
            "[{\"name\": \"get_w\", \"arguments\": {\"city\": \"Oslo\"}}]",
        ),
        (
            "llama3",
            "{\"name\": \"get_w\", \"parameters\": {\"city\": \"Oslo\"}}",
        ),
        ("functionary-3.2", "get_w\n{\"city\": \"Oslo\"}"),
        (
            "harmony",
            "<|channel|>commentary to=functions.get_w <|constrain|>json<|message|>{\"city\": \"Oslo\"}",
        ),
        (
            "glimmer",
            "<atem:function_calls>\n<atem:invoke name=\"get_w\">\n<atem:parameter name=\"city\">Oslo</atem:parameter>\n</atem:invoke>\n</atem:function_calls>",
        ),
    ];
    for (name, text) in cases {
        let format = Format::by_name(name).unwrap();
        for choice in [Choice::Required, Choice::Named("get_w".to_owned())] {
            let grammar = format
                .call_grammar(&tools, &choice, true, &|_| None)
                .unwrap();
            assert_eq!(grammar.triggers, Vec::<String>::new());
            assert_eq!(
                refusal(&grammar.lark, text, &[]),
                None,
                "{name}\n{}",
                grammar.lark
            );
            assert!(refusal(&grammar.lark, "Sure.", &[]).is_some(), "{name}");
        }
    }
    let hermes = Format::by_name("hermes").unwrap();
    let other = Choice::Named("other".to_owned());
    assert_eq!(hermes.call_grammar(&tools, &other, true, &|_| None), None);
    assert_eq!(
        hermes.call_grammar(&[], &Choice::Auto, true, &|_| None),
        None
    );
    let one = hermes
        .call_grammar(&tools, &Choice::Required, false, &|_| None)
        .unwrap();
    let call = cases[0].1;
    assert_eq!(refusal(&one.lark, call, &[]), None);
    assert!(refusal(&one.lark, &call.repeat(2), &[]).is_some());
    let many = hermes
        .call_grammar(&tools, &Choice::Required, true, &|_| None)
        .unwrap();
    assert_eq!(refusal(&many.lark, &call.repeat(2), &[]), None);
}

#[test]
fn every_family_makes_a_grammar_of_every_kind_of_parameter() {
    let parameters = json!({
        "type": "object",
        "$defs": {"point": {"type": "object", "properties": {"x": {"type": "number"}}}},
        "properties": {
            "text": {"type": "string"},
            "word": {"enum": ["a \"b\"", "c'd"]},
            "count": {"type": "integer", "minimum": 1},
            "flag": {"type": "boolean"},
            "list": {"type": "array", "items": {"type": "string"}},
            "map": {"type": "object"},
            "point": {"$ref": "#/$defs/point"},
            "either": {"type": ["string", "integer"]},
            "any": {},
            "odd key/<>": {"type": "string", "format": "no-such-format"},
        },
        "required": ["word"],
    });
    let tools: Vec<Tool> = [
        json!({"name": "a-b.c", "parameters": parameters}),
        json!({"name": "none"}),
    ]
    .iter()
    .filter_map(Tool::from_openai)
    .collect();
    for name in Format::names() {
        let format = Format::by_name(name).unwrap();
        for choice in [Choice::Auto, Choice::Required] {
            for special in [None, Some(300)] {
                let special = |text: &str| {
                    special.filter(|_| {
                        text.starts_with("<|") && text.ends_with("|>") && text.len() < 24
                    })
                };
                let Some(grammar) = format.call_grammar(&tools, &choice, true, &special) else {
                    continue;
                };
                let tokens: Vec<String> = (0..60).map(|number| format!("<{number}>")).collect();
                let tokens: Vec<&str> = tokens.iter().map(|token| &**token).collect();
                let why = refusal(&grammar.lark, "\u{1}", &tokens).unwrap_or_default();
                assert!(why.starts_with("refused"), "{name}: {why}");
            }
        }
        assert_eq!(format.supports_tools(), name != "passthrough");
    }
}

#[test]
fn marks_are_preserved() {
    let cases = [
        ("hermes", "<tool_call>"),
        ("hermes", "</think>"),
        ("mistral", "[TOOL_CALLS]"),
        ("ministral", "[ARGS]"),
        ("harmony", "<|channel|>"),
        ("gemma4", "<|\"|>"),
        ("kimi-k2", "<|tool_call_argument_begin|>"),
        ("cohere", "<|END_ACTION|>"),
    ];
    for (name, mark) in cases {
        let marks = Format::by_name(name).unwrap().preserved();
        assert!(marks.iter().any(|it| it == mark), "{name}: {marks:?}");
    }
}
