//! The table of families.
//!
//! A template belongs to the first row all of whose marks stand in it, so rows with more marks
//! come before those that have a part of them.

use super::format::Keys::{IdLast, Named, Two};
use super::format::Step::{Id, Json, Maybe, Name, NameInId, Nested, Object, Quoted, Skip, Text};
use super::format::{
    Ids, Layout, NONE, PLAIN, Row, SECTION, Section, Shape, Step, THINK, THINK_OR_CALL, Tagged,
    Thoughts,
};
use super::sections::{
    ARG_KEY, BARE, BARE_PYTHON, CALL_PYTHON, COHERE_ACTION, COHERE_THOUGHTS, COHERE_WRAPPERS,
    DEEPSEEK_FENCED, DEEPSEEK_PLAIN, DSML, FENCED, FUNCTION_EQUALS, FUNCTION_JSON, FUNCTION_XML,
    FUNCTION_XML_BARE, GEMMA_QUOTE, INVOKE, LFM2_CALL, LLAMA_JSON, M3, MISTRAL_CALL, MISTRAL_LIST,
    MISTRAL_THOUGHTS, OBJECT, PYTHON_TAG, PYTHON_TAG_CODE, PYTHON_TAG_JSON, TOOL_CALL, TOOL_CALLS,
    objects, plain_tags,
};

/// All families, in the order in which templates are compared with them.
pub(super) static FAMILIES: &[Row] = &[
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

/// Families that no template tells of: JSON in tags, in fences or alone, or Python's calls.
pub(super) static GENERIC: Row = Row {
    name: "generic",
    aliases: &["json"],
    sections: &[TOOL_CALL, FUNCTION_JSON, FENCED, BARE, BARE_PYTHON],
    ..PLAIN
};

/// Text without any structure.
pub(super) static PASSTHROUGH: Row = Row {
    name: "passthrough",
    thoughts: NONE,
    ..PLAIN
};
