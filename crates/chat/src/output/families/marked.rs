//! Families that mark their calls: with a text before a list or an object, or as calls of Python.

use super::super::format::Keys::{Named, Two};
use super::super::format::Step::{Json, Name, Object, Text};
use super::super::format::{
    Ids, NONE, PLAIN, Row, SECTION, Section, Shape, THINK_OR_CALL, Thoughts,
};
use super::super::sections::{
    CALL_PYTHON, COHERE_ACTION, COHERE_THOUGHTS, COHERE_WRAPPERS, DEEPSEEK_FENCED, DEEPSEEK_PLAIN,
    FUNCTION_JSON, LFM2_CALL, MISTRAL_CALL, MISTRAL_LIST, MISTRAL_THOUGHTS, OBJECT, PYTHON_TAG,
    PYTHON_TAG_CODE, TOOL_CALL, objects,
};

pub(super) static ROWS: &[Row] = &[
    Row {
        name: "mistral-small",
        marks: &["[TOOL_CALLS]", "[CALL_ID]"],
        thoughts: MISTRAL_THOUGHTS,
        sections: &[MISTRAL_CALL, MISTRAL_LIST],
        ids: Ids::Nine,
        ..PLAIN
    },
    Row {
        name: "ministral",
        marks: &["[TOOL_CALLS]", "[ARGS]"],
        thoughts: MISTRAL_THOUGHTS,
        sections: &[MISTRAL_CALL, MISTRAL_LIST],
        ids: Ids::Nine,
        ..PLAIN
    },
    Row {
        name: "mistral",
        marks: &["[TOOL_CALLS]"],
        thoughts: MISTRAL_THOUGHTS,
        sections: &[MISTRAL_LIST, MISTRAL_CALL],
        ids: Ids::Nine,
        ..PLAIN
    },
    Row {
        name: "deepseek-r1",
        aliases: &["deepseek_v3", "deepseek_r1"],
        marks: &["<｜tool▁calls▁begin｜>", "```json"],
        thoughts: THINK_OR_CALL,
        sections: &[DEEPSEEK_FENCED, DEEPSEEK_PLAIN],
        ..PLAIN
    },
    Row {
        name: "deepseek-v3.1",
        aliases: &["deepseek_v31", "deepseek3", "cogito"],
        marks: &["<｜tool▁calls▁begin｜>"],
        thoughts: THINK_OR_CALL,
        sections: &[DEEPSEEK_PLAIN, DEEPSEEK_FENCED, TOOL_CALL],
        ..PLAIN
    },
    Row {
        name: "functionary-3.2",
        marks: &[">>>all"],
        thoughts: NONE,
        wrappers: &[">>>all\n"],
        tails: &[">>>"],
        sections: &[Section {
            opens: &[">>>"],
            steps: &[Name, Json],
            ..SECTION
        }],
        ..PLAIN
    },
    Row {
        name: "functionary-3.1",
        marks: &["<function=", "</function>"],
        thoughts: NONE,
        sections: &[FUNCTION_JSON, PYTHON_TAG, PYTHON_TAG_CODE],
        ..PLAIN
    },
    Row {
        name: "functools",
        aliases: &["firefunction", "phi4_mini_json"],
        marks: &["functools["],
        thoughts: NONE,
        sections: &[
            objects(&["functools"], &[]),
            objects(&["<|tool_call|>"], &["<|/tool_call|>"]),
        ],
        ..PLAIN
    },
    Row {
        name: "cohere2",
        aliases: &["cohere_command4"],
        marks: &["<|START_ACTION|>", "<|START_TEXT|>"],
        thoughts: COHERE_THOUGHTS,
        wrappers: COHERE_WRAPPERS,
        sections: &[COHERE_ACTION],
        ..PLAIN
    },
    Row {
        name: "cohere",
        aliases: &["cohere_command3", "command-r7b"],
        marks: &["<|START_ACTION|>"],
        thoughts: COHERE_THOUGHTS,
        wrappers: COHERE_WRAPPERS,
        sections: &[COHERE_ACTION],
        ..PLAIN
    },
    Row {
        name: "command-r",
        marks: &["Action:", "tool_name"],
        thoughts: NONE,
        sections: &[Section {
            opens: &["Action:"],
            closes: &["```"],
            inner: &[Text("```json")],
            steps: &[Object(Two("tool_name", "parameters"))],
            list: true,
            many: true,
            shape: Shape::List,
            ..SECTION
        }],
        ..PLAIN
    },
    Row {
        name: "gigachat3",
        marks: &["<|role_sep|>", "function call"],
        thoughts: NONE,
        sections: &[
            Section {
                opens: &[
                    "<|message_sep|>\n\nfunction call<|role_sep|>",
                    "function call<|role_sep|>",
                ],
                steps: &[OBJECT],
                ..SECTION
            },
            Section {
                opens: &["<|function_call|>"],
                steps: &[OBJECT],
                shape: Shape::One,
                ..SECTION
            },
        ],
        ..PLAIN
    },
    Row {
        name: "gigachat3.1",
        marks: &["<|function_call|>"],
        thoughts: NONE,
        sections: &[Section {
            opens: &["<|function_call|>"],
            steps: &[OBJECT],
            shape: Shape::One,
            ..SECTION
        }],
        ..PLAIN
    },
    Row {
        name: "lfm2",
        aliases: &["lfm2-thinking", "lfm2.5"],
        marks: &["<|tool_list_start|>"],
        sections: &[LFM2_CALL],
        ..PLAIN
    },
    Row {
        name: "lfm2.5",
        marks: &["List of tools: ["],
        sections: &[LFM2_CALL],
        ..PLAIN
    },
    Row {
        name: "olmo3",
        aliases: &["olmo3-think"],
        marks: &["<function_calls>"],
        sections: &[Section {
            opens: &["<function_calls>"],
            closes: &["</function_calls>"],
            steps: CALL_PYTHON,
            many: true,
            shape: Shape::Run,
            ..SECTION
        }],
        ..PLAIN
    },
    Row {
        name: "apertus",
        marks: &["<|tools_prefix|>"],
        thoughts: Thoughts {
            open: &["<|inner_prefix|>"],
            close: &["<|inner_suffix|>"],
            until_call: true,
            anywhere: true,
        },
        sections: &[Section {
            opens: &["<|tools_prefix|>"],
            closes: &["<|tools_suffix|>"],
            steps: &[Object(Named)],
            list: true,
            many: true,
            shape: Shape::List,
            ..SECTION
        }],
        ..PLAIN
    },
];
