//! One output of each family, and what must not depend on how it is cut.

use proptest::prelude::*;
use serde_json::json;

use super::*;

mod detection;
mod grammars;
mod hostile;
mod vectors;

use vectors::{VECTORS, Vector};

/// `get_w(city: string, days: integer)`.
fn tools() -> Vec<Tool> {
    let parameters = json!({
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
        "required": ["city"],
    });
    let tool = json!({"type": "function", "function": {"name": "get_w", "parameters": parameters}});
    Tool::from_openai(&tool).into_iter().collect()
}

fn in_chunks(format: &Format, options: Options<'_>, chunks: &[&str]) -> Output {
    let mut parser = Parser::new(format, options);
    let mut output = Output::default();
    for chunk in chunks {
        let pieces = parser.push(chunk);
        let filled = |piece: &Piece| match piece {
            Piece::Reasoning(text) | Piece::Content(text) => !text.is_empty(),
            Piece::Arguments { text, .. } => !text.is_empty(),
            Piece::Call { .. } => true,
        };
        assert!(pieces.iter().all(filled), "an empty piece after {chunk:?}");
        output.extend(pieces);
    }
    output.extend(parser.finish());
    output
}

fn check(vector: &Vector) -> Result<(), String> {
    let format = Format::by_name(vector.format).ok_or(vector.format)?;
    let tools = tools();
    let options = Options {
        tools: &tools,
        prompt: vector.prompt,
        ..Options::default()
    };
    let output = Parser::parse(&format, options, vector.text);
    let calls: Vec<(Option<&str>, &str, &str)> = output
        .calls
        .iter()
        .map(|call| (call.id.as_deref(), &*call.name, &*call.arguments))
        .collect();
    let expected: Vec<_> = vector
        .calls
        .iter()
        .map(|&(id, text)| (id, "get_w", text))
        .collect();
    if (&*output.reasoning, &*output.content) != (vector.reasoning, vector.content)
        || calls != expected
    {
        return Err(format!(
            "{}: {:?}\n  gave {output:?}",
            vector.format, vector.text
        ));
    }
    for (at, _) in vector.text.char_indices().skip(1) {
        let (a, b) = vector.text.split_at(at);
        let cut = in_chunks(&format, options, &[a, b]);
        if cut != output {
            return Err(format!("{}: {a:?} | {b:?}\n  gave {cut:?}", vector.format));
        }
    }
    let single: Vec<&str> = vector.text.split("").collect();
    match in_chunks(&format, options, &single) == output {
        true => Ok(()),
        false => Err(format!("{}: by characters", vector.format)),
    }
}

#[test]
fn every_family_is_read_however_it_is_cut() {
    let wrong: Vec<String> = VECTORS
        .iter()
        .filter_map(|vector| check(vector).err())
        .collect();
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
fn every_family_has_a_vector() {
    let without = |name: &&str| VECTORS.iter().all(|vector| vector.format != *name);
    let missing: Vec<&str> = Format::names().filter(without).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn pieces_come_as_soon_as_they_are_certain() {
    let tools = tools();
    let options = Options {
        tools: &tools,
        ..Options::default()
    };
    let mut parser = Parser::new(&Format::by_name("hermes").unwrap(), options);
    let content = |text: &str| vec![Piece::Content(text.to_owned())];
    let arguments = |text: &str| {
        vec![Piece::Arguments {
            index: 0,
            text: text.to_owned(),
        }]
    };
    let call = Piece::Call {
        index: 0,
        id: None,
        name: "get_w".to_owned(),
    };
    assert_eq!(parser.push("Sure"), content("Sure"));
    assert_eq!(parser.push("."), content("."));
    for text in ["\n", "<tool", "_call>", "\n{\"name\": \"get", "_w\", "] {
        assert_eq!(parser.push(text), [], "{text:?}");
    }
    let mut expected = vec![call];
    expected.extend(arguments("{\"ci"));
    assert_eq!(parser.push("\"arguments\": {\"ci"), expected);
    assert_eq!(
        parser.push("ty\": \"Oslo\"}}"),
        arguments("ty\": \"Oslo\"}")
    );
    assert_eq!(parser.push("\n</tool_call>"), []);
    assert_eq!(parser.finish(), []);

    let mut parser = Parser::new(&Format::by_name("hermes").unwrap(), options);
    assert_eq!(parser.push("Sure\n<tool"), content("Sure"));
    assert_eq!(parser.push("box>"), content("\n<toolbox>"));

    let mut parser = Parser::new(&Format::by_name("qwen3-coder").unwrap(), options);
    parser.push("<tool_call>\n<function=get_w>\n");
    parser.push("<parameter=city>\n");
    assert_eq!(parser.push("a\"b"), arguments("a\\\"b"));
    assert_eq!(parser.push("\nc\n</para"), arguments("\\nc"));
    assert_eq!(parser.push("meter>"), arguments("\""));
    assert_eq!(
        parser.push("\n<parameter=days>\n2\n</parameter>\n"),
        arguments(", \"days\": 2")
    );
    assert_eq!(parser.push("</function>"), arguments("}"));
}

#[test]
fn without_tools_calls_stay_in_the_content() {
    for vector in VECTORS.iter().filter(|vector| !vector.calls.is_empty()) {
        let format = Format::by_name(vector.format).unwrap();
        let options = Options {
            prompt: vector.prompt,
            ..Options::default()
        };
        let output = Parser::parse(&format, options, vector.text);
        assert_eq!(output.calls, []);
        let all = output.reasoning + &output.content;
        assert!(all.contains("get_w"), "{}: {all:?}", vector.format);
    }
}

#[test]
fn only_one_call_where_only_one_is_wanted() {
    let tools = tools();
    let options = Options {
        tools: &tools,
        parallel: false,
        ..Options::default()
    };
    let call = r#"<tool_call>{"name": "get_w", "arguments": {"city": "A"}}</tool_call>"#;
    let output = Parser::parse(
        &Format::by_name("hermes").unwrap(),
        options,
        &call.repeat(2),
    );
    assert_eq!((output.calls.len(), &*output.content), (1, call));
}

#[test]
fn reasoning_stays_where_it_is_not_split() {
    let options = Options {
        reasoning: false,
        prompt: "<think>\n",
        ..Options::default()
    };
    let output = Parser::parse(
        &Format::by_name("hermes").unwrap(),
        options,
        "a\n</think>\nb",
    );
    assert_eq!(
        (&*output.reasoning, &*output.content),
        ("", "a\n</think>\nb")
    );
}

#[test]
fn a_continued_answer_goes_on() {
    let tools = tools();
    let format = Format::by_name("hermes").unwrap();
    let cases = [
        ("", "Hello wor", "ld", "", "ld", None),
        ("<think>\n", "half ", "of</think>it", "of", "it", None),
        (
            "",
            "x\n<tool_call>\n{\"name\": \"get_w\", ",
            "\"arguments\": {}}",
            "",
            "",
            Some("{}"),
        ),
        (
            "",
            "<tool_call>{\"name\": \"get_w\", \"arguments\": {\"city\": \"a ",
            "b\"}}",
            "",
            "",
            Some("{\"city\": \"a b\"}"),
        ),
    ];
    for (before, prefill, text, reasoning, content, arguments) in cases {
        let prompt = format!("…assistant\n{before}{prefill}");
        let options = Options {
            tools: &tools,
            prompt: &prompt,
            prefill,
            ..Options::default()
        };
        let output = Parser::parse(&format, options, text);
        let found = output.calls.first().map(|call| &*call.arguments);
        assert_eq!(
            (&*output.reasoning, &*output.content, found),
            (reasoning, content, arguments),
            "{prefill}"
        );
    }
}

#[test]
fn tools_of_harmony_keep_their_names() {
    let tools: Vec<Tool> = Tool::from_openai(&json!({"name": "my-tool.x"}))
        .into_iter()
        .collect();
    let options = Options {
        tools: &tools,
        ..Options::default()
    };
    let text =
        "<|channel|>commentary to=functions.my_tool_x <|constrain|>json<|message|>{}<|call|>";
    let output = Parser::parse(&Format::by_name("harmony").unwrap(), options, text);
    assert_eq!(output.calls[0].name, "my-tool.x");
}

/// Texts made of marks and of what stands between them.
fn soup() -> impl Strategy<Value = (String, String)> {
    let formats: Vec<&str> = Format::names().collect();
    prop::sample::select(formats).prop_flat_map(|name| {
        let format = Format::by_name(name).unwrap();
        let mut words: Vec<String> = [
            " ", "\n", "{", "}", "\"", "a", "get_w", ":", ",", "[", "]", "(", ")", "=", "\\",
        ]
        .map(str::to_owned)
        .into();
        for vector in VECTORS.iter().filter(|vector| vector.format == name) {
            let halves: Vec<usize> = vector
                .text
                .char_indices()
                .map(|(at, _)| at)
                .step_by(7)
                .collect();
            words.extend(
                halves
                    .windows(2)
                    .map(|pair| vector.text[pair[0]..pair[1]].to_owned()),
            );
            words.push(vector.text.to_owned());
        }
        for index in 0..format.row.sections.len() {
            words.extend(format.opens(index));
            words.extend(format.closes(index));
        }
        words.extend(format.reasoning_starts());
        words.extend(format.reasoning_ends());
        let text = prop::collection::vec(prop::sample::select(words), 0..12);
        text.prop_map(move |words| (name.to_owned(), words.concat()))
    })
}

proptest! {
    #[test]
    fn cuts_do_not_matter((name, text) in soup(), sizes in prop::collection::vec(1usize..9, 1..4)) {
        let format = Format::by_name(&name).unwrap();
        let tools = tools();
        let options = Options { tools: &tools, ..Options::default() };
        let whole = Parser::parse(&format, options, &text);
        let characters: Vec<char> = text.chars().collect();
        let (mut chunks, mut rest) = (Vec::new(), &characters[..]);
        for &size in sizes.iter().cycle() {
            if rest.is_empty() { break; }
            let (chunk, behind) = rest.split_at(size.min(rest.len()));
            chunks.push(chunk.iter().collect::<String>());
            rest = behind;
        }
        let chunks: Vec<&str> = chunks.iter().map(|chunk| &**chunk).collect();
        prop_assert_eq!(in_chunks(&format, options, &chunks), whole);
    }

    /// Letters are never lost: each stands in some piece.
    #[test]
    fn words_are_not_lost((name, text) in soup()) {
        let format = Format::by_name(&name).unwrap();
        let output = Parser::parse(&format, Options::default(), &text);
        let all = output.reasoning + &output.content;
        prop_assert_eq!(all.matches("get_w").count(), text.matches("get_w").count(), "{}", all);
    }
}
