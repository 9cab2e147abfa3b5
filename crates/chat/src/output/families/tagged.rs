//! Families whose calls, or the arguments of them, stand in tags of their own.

use super::super::format::Step::{Id, Json, Maybe, Name, NameInId, Nested, Quoted, Skip, Text};
use super::super::format::{
    Layout, NONE, PLAIN, Row, SECTION, Section, Shape, Step, THINK, THINK_OR_CALL, Tagged, Thoughts,
};
use super::super::sections::{
    ARG_KEY, DSML, FUNCTION_EQUALS, FUNCTION_XML, FUNCTION_XML_BARE, GEMMA_QUOTE, INVOKE, M3,
    TOOL_CALL, plain_tags,
};

pub(super) static ROWS: &[Row] = &[
    Row {
        name: "harmony",
        aliases: &["gpt-oss", "openai", "openai_gptoss"],
        marks: &["<|channel|>", "<|message|>", "functions."],
        thoughts: Thoughts {
            open: &["<|channel|>analysis<|message|>"],
            close: &["<|end|>"],
            ..NONE
        },
        tails: &["<|start|>assistant"],
        sections: &[Section {
            opens: &["to=functions."],
            steps: &[
                Name,
                Maybe(&["<|channel|>commentary"]),
                Maybe(&["<|constrain|>"]),
                Maybe(&["json"]),
                Text("<|message|>"),
                Json,
                Maybe(&["<|call|>"]),
            ],
            shape: Shape::One,
            lead: &[
                Maybe(&["<|start|>assistant"]),
                Text("<|channel|>commentary"),
            ],
            ..SECTION
        }],
        layout: Layout::Messages,
        ..PLAIN
    },
    Row {
        name: "glimmer",
        aliases: &["muse"],
        marks: &["<atem:function_calls>"],
        thoughts: Thoughts {
            open: &["to=self<|message|>"],
            close: &["<|eom|>"],
            ..NONE
        },
        tails: &["<|start|>assistant"],
        sections: &[Section {
            opens: &["<atem:function_calls>"],
            closes: &["</atem:function_calls>"],
            steps: &[
                Text("<atem:invoke name=\""),
                Name,
                Text("\">"),
                Step::Tagged(plain_tags(
                    "<atem:parameter name=\"",
                    "\">",
                    "</atem:parameter>",
                )),
                Text("</atem:invoke>"),
            ],
            many: true,
            shape: Shape::Run,
            ..SECTION
        }],
        layout: Layout::Messages,
        ..PLAIN
    },
    Row {
        name: "gemma4",
        aliases: &["gemma4-no-thinking"],
        marks: &["<|tool_call>call:"],
        thoughts: Thoughts {
            open: &["<|channel>thought", "<|channel>"],
            close: &["<channel|>"],
            until_call: true,
            anywhere: true,
        },
        sections: &[Section {
            opens: &["<|tool_call>"],
            closes: &["<tool_call|>"],
            steps: &[Text("call:"), Name, Quoted(GEMMA_QUOTE)],
            ..SECTION
        }],
        ..PLAIN
    },
    Row {
        name: "functiongemma",
        marks: &["<start_function_call>"],
        thoughts: NONE,
        sections: &[Section {
            opens: &["<start_function_call>"],
            closes: &["<end_function_call>"],
            steps: &[Text("call:"), Name, Quoted("<escape>")],
            ..SECTION
        }],
        ..PLAIN
    },
    Row {
        name: "minimax-m3",
        aliases: &["minimax_m3"],
        marks: &["]<]minimax[>["],
        thoughts: Thoughts {
            open: &["<mm:think>"],
            close: &["</mm:think>"],
            ..THINK
        },
        sections: &[Section {
            opens: &["]<]minimax[>[<tool_call>"],
            closes: &["]<]minimax[>[</tool_call>"],
            steps: &[
                Text("]<]minimax[>[<invoke name=\""),
                Name,
                Text("\">"),
                Nested(M3),
                Text("]<]minimax[>[</invoke>"),
            ],
            many: true,
            shape: Shape::Run,
            ..SECTION
        }],
        ..PLAIN
    },
    Row {
        name: "minimax-m2",
        aliases: &["minimax_m2", "minimax_m2_append_think"],
        marks: &["<minimax:tool_call>"],
        sections: &[Section {
            opens: &["<minimax:tool_call>"],
            closes: &["</minimax:tool_call>"],
            steps: INVOKE,
            many: true,
            shape: Shape::Run,
            ..SECTION
        }],
        ..PLAIN
    },
    Row {
        name: "deepseek-v3.2",
        aliases: &["deepseek_v32"],
        marks: &["DSML", "function_calls"],
        thoughts: THINK_OR_CALL,
        sections: &[Section {
            opens: &["<｜DSML｜function_calls>"],
            closes: &["</｜DSML｜function_calls>"],
            steps: DSML,
            many: true,
            shape: Shape::Run,
            ..SECTION
        }],
        ..PLAIN
    },
    Row {
        name: "deepseek-v4",
        aliases: &["deepseek_v4"],
        marks: &["DSML"],
        thoughts: THINK_OR_CALL,
        sections: &[Section {
            opens: &["<｜DSML｜tool_calls>", "<｜DSML｜function_calls>"],
            closes: &["</｜DSML｜tool_calls>", "</｜DSML｜function_calls>"],
            steps: DSML,
            many: true,
            shape: Shape::Run,
            ..SECTION
        }],
        ..PLAIN
    },
    Row {
        name: "kimi-k3",
        aliases: &["kimi_k3"],
        marks: &["<|open|>", "<|end_of_msg|>"],
        thoughts: Thoughts {
            open: &["<|open|>think<|sep|>"],
            close: &["<|close|>think<|sep|>"],
            ..THINK_OR_CALL
        },
        wrappers: &[
            "<|open|>response<|sep|>",
            "<|close|>response<|sep|>",
            "<|close|>message<|sep|>",
            "<|end_of_msg|>",
        ],
        sections: &[Section {
            opens: &["<|open|>tools<|sep|>"],
            closes: &["<|close|>tools<|sep|>"],
            steps: &[
                Text("<|open|>call tool=\""),
                Name,
                Text("\""),
                Skip("<|sep|>"),
                Step::Tagged(Tagged {
                    attributes: Some("<|sep|>"),
                    types: Some(("type=\"string\"", "type=\"")),
                    ..plain_tags("<|open|>argument key=\"", "\"", "<|close|>argument<|sep|>")
                }),
                Text("<|close|>call<|sep|>"),
            ],
            many: true,
            shape: Shape::Run,
            ..SECTION
        }],
        ..PLAIN
    },
    Row {
        name: "kimi-k2",
        aliases: &["kimi_k2"],
        marks: &["<|tool_call_begin|>"],
        thoughts: THINK_OR_CALL,
        sections: &[
            Section {
                opens: &[
                    "<|tool_calls_section_begin|>",
                    "<|tool_call_section_begin|>",
                ],
                closes: &["<|tool_calls_section_end|>", "<|tool_call_section_end|>"],
                steps: &[
                    Text("<|tool_call_begin|>"),
                    NameInId,
                    Text("<|tool_call_argument_begin|>"),
                    Json,
                    Text("<|tool_call_end|>"),
                ],
                many: true,
                shape: Shape::Run,
                ..SECTION
            },
            Section {
                opens: &["<|tool_call_begin|>"],
                steps: &[
                    NameInId,
                    Text("<|tool_call_argument_begin|>"),
                    Json,
                    Text("<|tool_call_end|>"),
                ],
                ..SECTION
            },
        ],
        ..PLAIN
    },
    Row {
        name: "solar",
        aliases: &["solar_open2"],
        marks: &["<|tool_call:begin|>"],
        thoughts: Thoughts {
            open: &["<|think|>"],
            close: &["<|end|>"],
            ..THINK
        },
        wrappers: &["<|begin|>assistant", "<|content|>", "<|end|>", "<|calls|>"],
        sections: &[Section {
            opens: &["<|tool_calls|>"],
            closes: &["<|calls|>"],
            steps: &[
                Text("<|tool_call:begin|>"),
                Id("<|tool_call:name|>"),
                Name,
                Text("<|tool_call:args|>"),
                Json,
                Text("<|tool_call:end|>"),
            ],
            many: true,
            shape: Shape::Run,
            ..SECTION
        }],
        ..PLAIN
    },
    Row {
        name: "hunyuan-3",
        aliases: &["hy_v3"],
        marks: &["<arg_key:opensource>"],
        thoughts: Thoughts {
            open: &["<think:opensource>"],
            close: &["</think:opensource>"],
            ..THINK
        },
        sections: &[Section {
            opens: &["<tool_calls:opensource>"],
            closes: &["</tool_calls:opensource>"],
            steps: &[
                Text("<tool_call:opensource>"),
                Name,
                Maybe(&["<tool_sep:opensource>"]),
                Step::Tagged(Tagged {
                    value_open: "<arg_value:opensource>",
                    ..plain_tags(
                        "<arg_key:opensource>",
                        "</arg_key:opensource>",
                        "</arg_value:opensource>",
                    )
                }),
                Text("</tool_call:opensource>"),
            ],
            many: true,
            shape: Shape::Run,
            ..SECTION
        }],
        ..PLAIN
    },
    Row {
        name: "seed",
        aliases: &["seed_oss"],
        marks: &["<seed:tool_call>"],
        thoughts: Thoughts {
            open: &["<seed:think>"],
            close: &["</seed:think>"],
            ..THINK
        },
        sections: &[Section {
            opens: &["<seed:tool_call>"],
            closes: &["</seed:tool_call>"],
            steps: FUNCTION_EQUALS,
            many: true,
            shape: Shape::Run,
            ..SECTION
        }],
        ..PLAIN
    },
    Row {
        name: "step3",
        marks: &["steptml:invoke"],
        sections: &[Section {
            opens: &["<｜tool_calls_begin｜>"],
            closes: &["<｜tool_calls_end｜>"],
            steps: &[
                Text("<｜tool_call_begin｜>"),
                Text("function"),
                Text("<｜tool_sep｜>"),
                Text("<steptml:invoke name=\""),
                Name,
                Text("\">"),
                Step::Tagged(plain_tags(
                    "<steptml:parameter name=\"",
                    "\">",
                    "</steptml:parameter>",
                )),
                Text("</steptml:invoke>"),
                Text("<｜tool_call_end｜>"),
            ],
            many: true,
            shape: Shape::Run,
            ..SECTION
        }],
        ..PLAIN
    },
    Row {
        name: "minicpm5",
        marks: &["<function name=\"", "<param name=\""],
        sections: &[Section {
            opens: &["<function name=\""],
            steps: &[
                Name,
                Text("\">"),
                Step::Tagged(plain_tags("<param name=\"", "\">", "</param>")),
                Text("</function>"),
            ],
            ..SECTION
        }],
        ..PLAIN
    },
    Row {
        name: "qwen3-coder",
        aliases: &[
            "qwen3_coder",
            "qwen3_xml",
            "mimo",
            "step3p5",
            "qwen3.5",
            "nemotron_v3",
            "nemotron-3-nano",
            "nemotron-3.5-nano",
        ],
        marks: &["<tool_call>", "<function=", "<parameter="],
        thoughts: THINK_OR_CALL,
        sections: &[FUNCTION_XML, TOOL_CALL, FUNCTION_XML_BARE],
        ..PLAIN
    },
    Row {
        name: "glm",
        aliases: &[
            "glm45",
            "glm47",
            "glm-4.6",
            "glm-4.7",
            "glm-ocr",
            "laguna",
            "poolside-v1",
            "poolside_v1",
        ],
        marks: &["<tool_call>", "<arg_key>"],
        thoughts: THINK_OR_CALL,
        sections: &[Section {
            opens: &["<tool_call>"],
            closes: &["</tool_call>"],
            steps: &[Name, Step::Tagged(ARG_KEY)],
            ..SECTION
        }],
        ..PLAIN
    },
];
