//! The parts that rows of the table of families share.

use super::format::Keys::{IdFirst, IdLast, Two};
use super::format::Step::{Code, Json, Maybe, MaybeId, Name, Object, Python, Text};
use super::format::{SECTION, Section, Shape, Step, Tagged, Thoughts};

pub(super) const OBJECT: Step = Object(Two("name", "arguments"));

/// JSON in `<tool_call>`, and the tags that models confuse with it.
pub(super) const TOOL_CALL: Section = Section {
    opens: &["<tool_call>", "<function_call>", "<tools>", "<tool>"],
    closes: &["</tool_call>", "</function_call>", "</tools>", "</tool>"],
    steps: &[OBJECT],
    list: true,
    many: true,
    shape: Shape::Each,
    ..SECTION
};

/// `<function=NAME>` around JSON.
pub(super) const FUNCTION_JSON: Section = Section {
    opens: &["<function="],
    steps: &[Name, Text(">"), Json, Text("</function>")],
    ..SECTION
};

/// A call, or a list of them, as the whole answer.
pub(super) const BARE: Section = Section {
    opens: &["{", "["],
    steps: &[OBJECT],
    separators: &[";", ","],
    list: true,
    many: true,
    shape: Shape::One,
    bare: true,
    ..SECTION
};

/// The same in a fence.
pub(super) const FENCED: Section = Section {
    opens: &["```json", "```tool_call"],
    closes: &["```"],
    bare: false,
    ..BARE
};

pub(super) const CALL_PYTHON: &[Step] = &[Name, Text("("), Python];

/// Python's calls in a list as the whole answer.
pub(super) const BARE_PYTHON: Section = Section {
    opens: &["["],
    steps: CALL_PYTHON,
    list: true,
    bare: true,
    ..SECTION
};

const PARAMETER_EQUALS: Tagged = Tagged {
    open: "<parameter=",
    key_end: ">",
    attributes: None,
    types: None,
    value_open: "",
    close: "</parameter>",
    framed: true,
};

pub(super) const FUNCTION_EQUALS: &[Step] = &[
    Text("<function="),
    Name,
    Text(">"),
    Step::Tagged(PARAMETER_EQUALS),
    Text("</function>"),
];

/// XML as Qwen3-Coder writes it.
pub(super) const FUNCTION_XML: Section = Section {
    opens: &["<tool_call>"],
    closes: &["</tool_call>"],
    steps: FUNCTION_EQUALS,
    many: true,
    shape: Shape::Each,
    ..SECTION
};

/// The same without the tag around it, which models forget.
pub(super) const FUNCTION_XML_BARE: Section = Section {
    opens: &["<function="],
    closes: &["</tool_call>"],
    steps: &[
        Name,
        Text(">"),
        Step::Tagged(PARAMETER_EQUALS),
        Text("</function>"),
    ],
    ..SECTION
};

pub(super) const fn plain_tags(
    open: &'static str,
    key_end: &'static str,
    close: &'static str,
) -> Tagged {
    Tagged {
        open,
        key_end,
        close,
        framed: false,
        ..PARAMETER_EQUALS
    }
}

pub(super) const INVOKE: &[Step] = &[
    Text("<invoke name=\""),
    Name,
    Text("\">"),
    Step::Tagged(plain_tags("<parameter name=\"", "\">", "</parameter>")),
    Text("</invoke>"),
];

pub(super) const DSML: &[Step] = &[
    Text("<｜DSML｜invoke name=\""),
    Name,
    Text("\">"),
    Step::Tagged(Tagged {
        attributes: Some(">"),
        types: Some(("string=\"true\"", "string=\"false\"")),
        ..plain_tags("<｜DSML｜parameter name=\"", "\"", "</｜DSML｜parameter>")
    }),
    Text("</｜DSML｜invoke>"),
];

pub(super) const ARG_KEY: Tagged = Tagged {
    value_open: "<arg_value>",
    ..plain_tags("<arg_key>", "</arg_key>", "</arg_value>")
};

/// A list of objects between tags.
pub(super) const fn objects(
    opens: &'static [&'static str],
    closes: &'static [&'static str],
) -> Section {
    Section {
        opens,
        closes,
        steps: &[OBJECT],
        list: true,
        many: true,
        shape: Shape::List,
        ..SECTION
    }
}

pub(super) const TOOL_CALLS: Section = objects(&["<tool_calls>"], &["</tool_calls>"]);

pub(super) const MISTRAL_THOUGHTS: Thoughts = Thoughts {
    open: &["[THINK]", "<think>"],
    close: &["[/THINK]", "</think>"],
    until_call: false,
    anywhere: false,
};

pub(super) const COHERE_THOUGHTS: Thoughts = Thoughts {
    open: &["<|START_THINKING|>"],
    close: &["<|END_THINKING|>"],
    until_call: true,
    anywhere: true,
};

pub(super) const COHERE_ACTION: Section = Section {
    opens: &["<|START_ACTION|>"],
    closes: &["<|END_ACTION|>"],
    steps: &[Object(IdFirst("tool_call_id", "tool_name", "parameters"))],
    list: true,
    many: true,
    shape: Shape::List,
    ..SECTION
};

/// The ways in which DeepSeek's models spell the mark before their calls.
const DEEPSEEK_OPENS: &[&str] = &[
    "<｜tool▁calls▁begin｜>",
    "<｜tool_calls_begin｜>",
    "<｜tool calls begin｜>",
    "<｜tool\\_calls\\_begin｜>",
    "<｜tool▁calls｜>",
];

pub(super) const GEMMA_QUOTE: &str = "<|\"|>";
pub(super) const M3: &str = "]<]minimax[>[";

pub(super) const MISTRAL_CALL: Section = Section {
    opens: &["[TOOL_CALLS]"],
    steps: &[Name, MaybeId("[CALL_ID]", "[ARGS]"), Json],
    ..SECTION
};

pub(super) const MISTRAL_LIST: Section = Section {
    opens: &["[TOOL_CALLS]"],
    steps: &[Object(IdLast("name", "arguments", "id"))],
    list: true,
    many: true,
    shape: Shape::List,
    ..SECTION
};

const DEEPSEEK_CLOSES: &[&str] = &["<｜tool▁calls▁end｜>", "<｜tool_calls_end｜>"];

pub(super) const DEEPSEEK_PLAIN: Section = Section {
    opens: DEEPSEEK_OPENS,
    closes: DEEPSEEK_CLOSES,
    steps: &[
        Text("<｜tool▁call▁begin｜>"),
        Name,
        Text("<｜tool▁sep｜>"),
        Json,
        Text("<｜tool▁call▁end｜>"),
    ],
    many: true,
    shape: Shape::Run,
    ..SECTION
};

pub(super) const DEEPSEEK_FENCED: Section = Section {
    steps: &[
        Text("<｜tool▁call▁begin｜>"),
        Text("function"),
        Text("<｜tool▁sep｜>"),
        Name,
        Maybe(&["```json"]),
        Json,
        Maybe(&["```"]),
        Text("<｜tool▁call▁end｜>"),
    ],
    ..DEEPSEEK_PLAIN
};

pub(super) const COHERE_WRAPPERS: &[&str] = &[
    "<|START_RESPONSE|>",
    "<|END_RESPONSE|>",
    "<|START_TEXT|>",
    "<|END_TEXT|>",
];

pub(super) const LFM2_CALL: Section = Section {
    opens: &["<|tool_call_start|>"],
    closes: &["<|tool_call_end|>"],
    steps: CALL_PYTHON,
    list: true,
    many: true,
    shape: Shape::List,
    ..SECTION
};

pub(super) const LLAMA_JSON: Section = Section {
    steps: &[Object(Two("name", "parameters"))],
    ..BARE
};

pub(super) const PYTHON_TAG: Section = Section {
    opens: &["<|python_tag|>"],
    steps: &[Name, Maybe(&[".call"]), Text("("), Python],
    ..SECTION
};

pub(super) const PYTHON_TAG_JSON: Section = Section {
    opens: &["<|python_tag|>"],
    steps: &[Object(Two("name", "parameters"))],
    many: true,
    shape: Shape::Run,
    separators: &[";"],
    ..SECTION
};

/// Code without a name is for the interpreter.
pub(super) const PYTHON_TAG_CODE: Section = Section {
    opens: &["<|python_tag|>"],
    steps: &[Step::Interpreter, Code("code")],
    ..SECTION
};
