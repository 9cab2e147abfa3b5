//! Families that write calls as JSON, mostly in tags.

use super::super::format::Keys::{IdLast, Two};
use super::super::format::Step::{Json, Maybe, Name, Object};
use super::super::format::{NONE, PLAIN, Row, SECTION, Section, Shape, THINK, Thoughts};
use super::super::sections::{
    BARE, BARE_PYTHON, CALL_PYTHON, FENCED, FUNCTION_JSON, LLAMA_JSON, PYTHON_TAG, PYTHON_TAG_CODE,
    PYTHON_TAG_JSON, TOOL_CALL, TOOL_CALLS, objects,
};

pub(super) static ROWS: &[Row] = &[
    Row {
        name: "nemotron",
        aliases: &["nemotron-v2"],
        marks: &["<TOOLCALL>"],
        sections: &[objects(&["<TOOLCALL>"], &["</TOOLCALL>"])],
        ..PLAIN
    },
    Row {
        name: "apriel",
        marks: &["<tool_calls>", "[BEGIN FINAL RESPONSE]"],
        thoughts: Thoughts {
            open: &["Here are my reasoning steps:"],
            close: &["[BEGIN FINAL RESPONSE]"],
            ..THINK
        },
        wrappers: &["[END FINAL RESPONSE]", "<|end|>"],
        sections: &[Section {
            steps: &[Object(IdLast("name", "arguments", "id"))],
            ..TOOL_CALLS
        }],
        ..PLAIN
    },
    Row {
        name: "hunyuan",
        aliases: &["hunyuan_a13b"],
        marks: &["<answer>", "<tool_calls>"],
        wrappers: &["<answer>", "</answer>", "助手："],
        sections: &[TOOL_CALLS],
        ..PLAIN
    },
    Row {
        name: "minimax-m1",
        aliases: &["minimax"],
        marks: &["<beginning_of_sentence>", "<tool_calls>"],
        sections: &[Section {
            shape: Shape::Run,
            ..TOOL_CALLS
        }],
        ..PLAIN
    },
    Row {
        name: "tool-calls",
        aliases: &["jamba"],
        marks: &["<tool_calls>"],
        sections: &[TOOL_CALLS],
        ..PLAIN
    },
    Row {
        name: "internlm",
        marks: &["<|action_start|>"],
        thoughts: NONE,
        sections: &[Section {
            opens: &["<|action_start|>"],
            closes: &["<|action_end|>"],
            steps: &[Maybe(&["<|plugin|>"]), Object(Two("name", "parameters"))],
            ..SECTION
        }],
        ..PLAIN
    },
    Row {
        name: "longcat",
        marks: &["<longcat_tool_call>"],
        thoughts: Thoughts {
            open: &["<longcat_think>", "<think>"],
            close: &["</longcat_think>", "</think>"],
            ..THINK
        },
        sections: &[Section {
            opens: &["<longcat_tool_call>"],
            closes: &["</longcat_tool_call>"],
            ..TOOL_CALL
        }],
        ..PLAIN
    },
    Row {
        name: "cwm",
        marks: &["<tool: "],
        sections: &[Section {
            opens: &["<tool: function>"],
            closes: &["</tool>"],
            steps: &[Name, Json],
            ..SECTION
        }],
        ..PLAIN
    },
    Row {
        name: "granite",
        aliases: &["granite3", "granite-20b-fc"],
        marks: &["<|tool_call|>"],
        wrappers: &["<response>", "</response>"],
        sections: &[
            objects(
                &["<|tool_call|>", "<function_call>"],
                &["", "<|/tool_call|>", "</function_call>"],
            ),
            TOOL_CALL,
        ],
        ..PLAIN
    },
    Row {
        name: "llama4",
        aliases: &["llama4_pythonic", "pythonic", "toolace"],
        marks: &["<|python_start|>"],
        thoughts: NONE,
        sections: &[
            Section {
                opens: &["<|python_start|>"],
                closes: &["<|python_end|>"],
                steps: CALL_PYTHON,
                list: true,
                many: true,
                shape: Shape::List,
                ..SECTION
            },
            BARE_PYTHON,
            LLAMA_JSON,
        ],
        ..PLAIN
    },
    Row {
        name: "llama3",
        aliases: &["llama3_json", "llama4_json", "llama"],
        marks: &["Environment: ipython"],
        thoughts: NONE,
        sections: &[
            LLAMA_JSON,
            BARE_PYTHON,
            PYTHON_TAG,
            PYTHON_TAG_JSON,
            PYTHON_TAG_CODE,
            FUNCTION_JSON,
        ],
        ..PLAIN
    },
    Row {
        name: "ernie",
        aliases: &["ernie45"],
        marks: &["<tool_call>", "<response>"],
        wrappers: &["<response>", "</response>"],
        sections: &[TOOL_CALL, FUNCTION_JSON],
        ..PLAIN
    },
    Row {
        name: "smollm3",
        marks: &["xml_tools", "python_tools"],
        sections: &[
            TOOL_CALL,
            Section {
                opens: &["<code>"],
                closes: &["</code>"],
                steps: CALL_PYTHON,
                many: true,
                shape: Shape::Run,
                ..SECTION
            },
        ],
        ..PLAIN
    },
    Row {
        name: "hermes",
        aliases: &[
            "qwen3",
            "qwen3-thinking",
            "qwen3-vl-instruct",
            "qwen3-vl-thinking",
            "ornith",
            "granite4",
            "qwen2.5",
        ],
        marks: &["<tool_call>"],
        sections: &[TOOL_CALL, FUNCTION_JSON, FENCED, BARE],
        ..PLAIN
    },
    // Nothing in templates tells of this one: it has to be named.
    Row {
        name: "xlam",
        sections: &[
            Section {
                shape: Shape::List,
                ..BARE
            },
            FENCED,
            TOOL_CALL,
        ],
        ..PLAIN
    },
];
