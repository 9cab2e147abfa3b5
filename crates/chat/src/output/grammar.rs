//! Grammars that hold calls to the schemas of their tools, in llguidance's dialect of Lark.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::format::{Format, Keys, Layout, Row, Section, Shape, Step, Tagged};
use super::json::quote;
use super::tool::{Kind, Tool, names};

/// Which tools a model may or has to call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// Any, or none.
    Auto,
    /// At least one.
    Required,
    /// The one of this name.
    Named(String),
}

/// A grammar for the calls of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallGrammar {
    /// The grammar takes over behind the first of these texts, which it does not include. Where
    /// there are none, it holds from the first token of the answer (behind its reasoning).
    pub triggers: Vec<String>,
    /// The grammar in Lark, as llguidance reads it.
    pub lark: String,
    /// Whether the turn is over where the grammar is.
    pub ends_turn: bool,
}

/// Tells the id of a text that is one special token of the vocabulary.
pub type Special<'a> = &'a dyn Fn(&str) -> Option<u32>;

/// White space that a model may put between the parts of a call. It is bounded, so that a model
/// cannot go on with it for ever.
const BLANK: &str = "WS?";
const TERMINALS: &str = "WS: /[ \\t\\r\\n]{1,16}/\n\
    ID: /[A-Za-z0-9_\\-]{1,64}/\n\
    NINE: /[A-Za-z0-9]{9}/\n\
    NUMBER: /[0-9]{1,9}/\n\
    ATTRIBUTES: /[^<>\\n]{1,64}/\n\
    ANY: /(?s:.+)/\n";

impl Format {
    /// The marks of calls and thoughts that have to be given out as text, though they may be
    /// special tokens.
    pub fn preserved(&self) -> Vec<String> {
        let sections = self.row.sections;
        let mut marks = self.reasoning_starts();
        marks.extend(self.reasoning_ends());
        let texts = self.row.wrappers.iter().chain(self.row.tails);
        let in_steps = sections
            .iter()
            .flat_map(|section| section.steps)
            .flat_map(step_texts);
        marks.extend(texts.copied().chain(in_steps).map(str::to_owned));
        for (index, section) in sections.iter().enumerate() {
            if !section.bare {
                marks.extend(self.opens(index));
                marks.extend(self.closes(index));
            }
        }
        if self.row.layout == Layout::Messages {
            marks.extend(super::messages::MARKS.map(str::to_owned));
        }
        marks.retain(|mark| !mark.is_empty());
        marks.sort_unstable();
        marks.dedup();
        marks
    }

    /// Whether the family has a way to write calls.
    pub fn supports_tools(&self) -> bool {
        !self.row.sections.is_empty()
    }

    /// The grammar for calls of `tools`. `special` tells which texts are special tokens. `None`
    /// where the family writes no calls, there is no such tool, or nothing tells where a call
    /// begins ([`Choice::Auto`] only).
    pub fn call_grammar(
        &self,
        tools: &[Tool],
        choice: &Choice,
        parallel: bool,
        special: Special<'_>,
    ) -> Option<CallGrammar> {
        let section = self.row.sections.first()?;
        let named = names(tools, self.row.layout == Layout::Messages);
        let wanted: Vec<(&Tool, &str)> = tools
            .iter()
            .zip(named.iter().map(|name| &**name))
            .filter(|(tool, _)| match choice {
                Choice::Named(name) => tool.name == *name,
                _ => true,
            })
            .collect();
        if wanted.is_empty() {
            return None;
        }
        let auto = *choice == Choice::Auto;
        let open = self.opens(0).into_iter().next().unwrap_or_default();
        // What begins every answer tells nothing of calls.
        let begun = self.row.tails.contains(&&*open);
        if auto && begun {
            return None;
        }
        let mut writer = Writer {
            special,
            row: self.row,
            rules: String::new(),
            ends: Vec::new(),
            within: auto && section.bare,
        };
        let close = self.closes(0).into_iter().next().unwrap_or_default();
        let body = writer.body(section, &wanted, parallel, &close);
        let mark = match section.bare {
            true => String::new(),
            false => writer.literal(&open),
        };
        let lead: Vec<String> = section.lead.iter().map(|step| writer.plain(step)).collect();
        let first = match (auto, begun) {
            (true, _) | (_, true) => String::new(),
            _ => format!("{BLANK} {} {BLANK} {mark}", lead.join(" ")),
        };
        let more = match section.shape {
            Shape::Each if parallel => format!("({BLANK} {mark} body)*"),
            _ => String::new(),
        };
        let lark = format!(
            "start: {first} body {more} {BLANK}\nbody: {body}\n{}{TERMINALS}",
            writer.rules
        );
        let triggers = match (auto, section.bare) {
            (false, _) => Vec::new(),
            (true, false) => self.opens(0),
            (true, true) => vec![bare_trigger(section)?],
        };
        Some(CallGrammar {
            triggers,
            lark,
            ends_turn: true,
        })
    }
}

/// The texts in a step.
fn step_texts(step: &Step) -> Vec<&'static str> {
    match *step {
        Step::Text(text) | Step::Id(text) | Step::Skip(text) | Step::Quoted(text) => vec![text],
        Step::Nested(text) => vec![text],
        Step::MaybeId(before, end) => vec![before, end],
        Step::Maybe(texts) => texts.to_vec(),
        Step::Tagged(tagged) => vec![
            tagged.open,
            tagged.key_end,
            tagged.attributes.unwrap_or_default(),
            tagged.value_open,
            tagged.close,
        ],
        _ => Vec::new(),
    }
}

/// The beginning of an object that can only be a call.
fn bare_trigger(section: &Section) -> Option<String> {
    match section.steps.first()? {
        Step::Object(Keys::Two(name, _)) if section.shape == Shape::One => {
            Some(format!("{{\"{name}\":"))
        }
        _ => None,
    }
}

struct Writer<'a> {
    special: Special<'a>,
    row: &'static Row,
    rules: String,
    /// The texts that end free text; each has a rule of its own.
    ends: Vec<String>,
    /// Whether the trigger was the beginning of the first call.
    within: bool,
}

impl Writer<'_> {
    /// The calls of one section, behind the mark that begins it.
    fn body(
        &mut self,
        section: &Section,
        tools: &[(&Tool, &str)],
        parallel: bool,
        close: &str,
    ) -> String {
        let calls: Vec<String> = tools
            .iter()
            .enumerate()
            .map(|(number, (tool, name))| {
                let call = self.call(section, number, tool, name);
                let _ = writeln!(self.rules, "call_{number}: {call}");
                format!("call_{number}")
            })
            .collect();
        let _ = writeln!(self.rules, "call: {}", calls.join(" | "));
        let close = match close {
            "" => String::new(),
            close => format!("{BLANK} {}", self.literal(close)),
        };
        let inner: Vec<String> = section.inner.iter().map(|step| self.plain(step)).collect();
        let inner = match inner.is_empty() {
            true => String::new(),
            false => format!("{BLANK} {}", inner.join(" ")),
        };
        let calls = match (section.shape, parallel) {
            (Shape::List, true) => {
                format!(
                    "{BLANK} \"[\" {BLANK} call ({BLANK} \",\" {BLANK} call)* {BLANK} \"]\" {close}"
                )
            }
            (Shape::List, false) => format!("{BLANK} \"[\" {BLANK} call {BLANK} \"]\" {close}"),
            (Shape::Run, true) => format!("{BLANK} call ({BLANK} call)* {close}"),
            _ => format!("{BLANK} call {close}"),
        };
        format!("{inner} {calls}")
    }

    /// One call of a tool.
    fn call(&mut self, section: &Section, number: usize, tool: &Tool, name: &str) -> String {
        let mut out = Vec::new();
        let mut after_name = true;
        for step in section.steps {
            let tight = matches!(
                step,
                Step::Name | Step::NameInId | Step::Id(_) | Step::MaybeId(..) | Step::Skip(_)
            );
            if !(tight || after_name && matches!(step, Step::Text(_))) {
                out.push(BLANK.to_owned());
            }
            after_name = tight;
            out.push(match step {
                Step::Name => self.literal(name),
                Step::NameInId => {
                    let head = self.literal(&format!("functions.{name}:"));
                    format!("{head} NUMBER")
                }
                Step::Json => self.json(&tool.parameters, &tool.parameters),
                Step::Object(keys) => self.object(*keys, tool, name),
                Step::Tagged(tagged) => self.tagged(tool, tagged),
                Step::Python => {
                    let members = self.members(number, tool, "=", Writer::python_value);
                    format!("{members} {BLANK} \")\"")
                }
                Step::Quoted(mark) => {
                    let mark = *mark;
                    let value = |writer: &mut Self, tool: &Tool, key: &str| {
                        writer.quoted_value(mark, tool, key)
                    };
                    let members = self.members(number, tool, ":", value);
                    format!("\"{{\" {members} {BLANK} \"}}\"")
                }
                Step::Nested(prefix) => self.nested(tool, prefix),
                Step::Code(_) | Step::Interpreter => "ANY".to_owned(),
                other => self.plain(other),
            });
        }
        out.join(" ")
    }

    /// A step that is the same for each tool.
    fn plain(&self, step: &Step) -> String {
        match *step {
            Step::Text(text) => self.literal(text),
            Step::Maybe(texts) => {
                let texts: Vec<String> = texts.iter().map(|text| self.literal(text)).collect();
                format!("({})?", texts.join(" | "))
            }
            Step::Skip(end) => format!("ATTRIBUTES? {}", self.literal(end)),
            Step::Id(end) => format!("ID {}", self.literal(end)),
            Step::MaybeId(before, end) => {
                format!("({} NINE)? {}", self.literal(before), self.literal(end))
            }
            _ => String::new(),
        }
    }

    /// A text, with the special tokens in it as such: at each place the longest.
    fn literal(&self, text: &str) -> String {
        let mut out = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let mut ends = rest.char_indices().map(|(at, it)| at + it.len_utf8()).rev();
            let token = ends.find_map(|end| Some((end, (self.special)(&rest[..end])?)));
            match token {
                Some((end, id)) => {
                    if !plain.is_empty() {
                        out.push(lark_string(&std::mem::take(&mut plain)));
                    }
                    out.push(format!("<[{id}]>"));
                    rest = &rest[end..];
                }
                None => {
                    plain.push(first);
                    rest = &rest[first.len_utf8()..];
                }
            }
        }
        if !plain.is_empty() {
            out.push(lark_string(&plain));
        }
        out.join(" ")
    }

    /// JSON of a schema; references in it are to `root`.
    fn json(&self, schema: &Value, root: &Value) -> String {
        let mut schema = match schema {
            Value::Object(map) => map.clone(),
            _ => serde_json::Map::new(),
        };
        for key in ["$defs", "definitions"] {
            if let Some(definitions) = root.get(key) {
                schema.entry(key).or_insert_with(|| definitions.clone());
            }
        }
        let options = json!({"whitespace_pattern": "[ \\t\\r\\n]{1,64}", "lenient": true});
        schema.insert("x-guidance".to_owned(), options);
        format!("%json {}", Value::Object(schema))
    }

    fn object(&self, keys: Keys, tool: &Tool, name: &str) -> String {
        let key = |key: &str| format!("{} {BLANK} \":\"", lark_string(&quote(key)));
        let name_value = lark_string(&quote(name));
        let arguments = self.json(&tool.parameters, &tool.parameters);
        let comma = format!("{BLANK} \",\" {BLANK}");
        let (name_key, arguments_key) = match keys {
            Keys::Named => {
                return format!(
                    "\"{{\" {BLANK} {} {BLANK} {arguments} {BLANK} \"}}\"",
                    key(name)
                );
            }
            Keys::Two(name, arguments)
            | Keys::IdFirst(_, name, arguments)
            | Keys::IdLast(name, arguments, _) => (name, arguments),
        };
        let arguments = format!("{} {BLANK} {arguments}", key(arguments_key));
        if self.within {
            return format!("{name_value} {comma} {arguments} {BLANK} \"}}\"");
        }
        let head = format!("{} {BLANK} {name_value} {comma} {arguments}", key(name_key));
        let members = match keys {
            Keys::IdFirst(id, ..) => {
                let value = "\"\\\"\" ID \"\\\"\"";
                format!("{} {BLANK} {value} {comma} {head}", key(id))
            }
            Keys::IdLast(_, _, id) => {
                let value = match self.row.ids {
                    super::format::Ids::Nine => "\"\\\"\" NINE \"\\\"\"",
                    super::format::Ids::Invented => "\"\\\"\" ID \"\\\"\"",
                };
                format!("{head} ({comma} {} {BLANK} {value})?", key(id))
            }
            _ => head,
        };
        format!("\"{{\" {BLANK} {members} {BLANK} \"}}\"")
    }

    fn tagged(&mut self, tool: &Tool, tagged: &Tagged) -> String {
        let mut out = Vec::new();
        let keys: Vec<&str> = tool.parameter_names().collect();
        for key in keys {
            let kind = tool.kind(key);
            let mut member = self.literal(&format!("{}{key}{}", tagged.open, tagged.key_end));
            if let (Some(end), Some((text, json))) = (tagged.attributes, tagged.types) {
                let types: Vec<String> = match kind {
                    Kind::Text => vec![text],
                    Kind::Json => vec![json],
                    Kind::Mixed => vec![text, json],
                }
                .into_iter()
                .map(|it| self.literal(it))
                .collect();
                let end = self.literal(end);
                let _ = write!(member, " \" \" ({}) ATTRIBUTES? {end}", types.join(" | "));
            }
            if !tagged.value_open.is_empty() {
                let _ = write!(member, " {BLANK} {}", self.literal(tagged.value_open));
            }
            let value = self.tag_value(tool, key, tagged.close);
            out.push(optional(tool, key, &format!("{BLANK} {member} {value}")));
        }
        out.join(" ")
    }

    fn nested(&mut self, tool: &Tool, prefix: &str) -> String {
        let keys: Vec<&str> = tool.parameter_names().collect();
        let members = keys.into_iter().map(|key| {
            let open = self.literal(&format!("{prefix}<{key}>"));
            let value = self.tag_value(tool, key, &format!("{prefix}</{key}>"));
            optional(tool, key, &format!("{BLANK} {open} {value}"))
        });
        members.collect::<Vec<String>>().join(" ")
    }

    /// A value between tags, and the tag behind it.
    fn tag_value(&mut self, tool: &Tool, key: &str, close: &str) -> String {
        let schema = tool.parameter(key).cloned().unwrap_or_default();
        match (words(&schema), tool.kind(key)) {
            (Some(words), Kind::Text) => {
                let words: Vec<String> = words.iter().map(|word| self.literal(word)).collect();
                format!(
                    "{BLANK} ({}) {BLANK} {}",
                    words.join(" | "),
                    self.literal(close)
                )
            }
            // Objects in nested tags are no JSON.
            (_, Kind::Json) if !close.starts_with(']') || is_scalar(&schema) => {
                let value = self.json(&schema, &tool.parameters);
                format!("{BLANK} {value} {BLANK} {}", self.literal(close))
            }
            _ => self.text_up_to(close),
        }
    }

    /// Free text up to and with `end`.
    fn text_up_to(&mut self, end: &str) -> String {
        let literal = self.literal(end);
        if literal.starts_with('<') {
            // A special token ends it: those cannot be part of text.
            return format!("ANY? {literal}");
        }
        let number = self
            .ends
            .iter()
            .position(|known| known == end)
            .unwrap_or_else(|| {
                let number = self.ends.len();
                self.ends.push(end.to_owned());
                // The end may go on with special tokens.
                let (first, rest) = literal
                    .split_once(" <")
                    .map_or((&*literal, None), |(a, b)| (a, Some(b)));
                let _ = writeln!(self.rules, "free_{number}[suffix={first}]: /(?s:.*)/");
                let rest = rest.map(|rest| format!(" <{rest}")).unwrap_or_default();
                let _ = writeln!(self.rules, "text_{number}: free_{number}{rest}");
                number
            });
        format!("text_{number}")
    }

    /// `key SEPARATOR value`, … in the schema's order, with those that are not required left out
    /// or not.
    fn members(
        &mut self,
        call: usize,
        tool: &Tool,
        separator: &str,
        value: impl Fn(&mut Self, &Tool, &str) -> String,
    ) -> String {
        let keys: Vec<&str> = tool.parameter_names().collect();
        // `first` says that no member stands before, `more` that one does.
        for (number, key) in keys.iter().enumerate() {
            let member = format!(
                "{} {}",
                lark_string(&format!("{key}{separator}")),
                value(self, tool, key)
            );
            let next = number + 1;
            let skip = |kind: &str| match is_required(tool, key) {
                true => String::new(),
                false => format!(" | {kind}_{call}_{next}"),
            };
            let _ = writeln!(
                self.rules,
                "first_{call}_{number}: {BLANK} {member} more_{call}_{next}{}\n\
                 more_{call}_{number}: {BLANK} \",\" {BLANK} {member} more_{call}_{next}{}",
                skip("first"),
                skip("more"),
            );
        }
        let end = keys.len();
        let _ = writeln!(
            self.rules,
            "first_{call}_{end}: \"\"\nmore_{call}_{end}: \"\""
        );
        format!("first_{call}_0")
    }

    fn python_value(&mut self, tool: &Tool, key: &str) -> String {
        self.shared("py", PYTHON_RULES);
        let schema = tool.parameter(key).cloned().unwrap_or_default();
        match (words(&schema), tool.kind(key)) {
            (Some(words), Kind::Text) => {
                let each = words.iter().flat_map(|word| {
                    let double = quote(word);
                    let single = word.replace('\\', "\\\\").replace('\'', "\\'");
                    [lark_string(&double), lark_string(&format!("'{single}'"))]
                });
                format!("({})", each.collect::<Vec<String>>().join(" | "))
            }
            (_, Kind::Text) => "py_string".to_owned(),
            (_, Kind::Json) => match schema.get("type").and_then(Value::as_str) {
                Some("integer" | "number") => self.json(&schema, &tool.parameters),
                Some("boolean") => "(\"True\" | \"False\" | \"true\" | \"false\")".to_owned(),
                Some("array") => "py_list".to_owned(),
                Some("object") => "py_dict".to_owned(),
                _ => "py_value".to_owned(),
            },
            (_, Kind::Mixed) => "py_value".to_owned(),
        }
    }

    fn quoted_value(&mut self, mark: &str, tool: &Tool, key: &str) -> String {
        let open = self.literal(mark);
        let text = self.text_up_to(mark);
        let rules = QUOTED_RULES.replace("STRING", &format!("{open} {text}"));
        self.shared("gm", &rules);
        let schema = tool.parameter(key).cloned().unwrap_or_default();
        match (words(&schema), tool.kind(key)) {
            (Some(words), Kind::Text) => {
                let words: Vec<String> = words.iter().map(|word| self.literal(word)).collect();
                format!("{open} ({}) {open}", words.join(" | "))
            }
            (_, Kind::Text) => "gm_string".to_owned(),
            (_, Kind::Json) if is_scalar(&schema) => self.json(&schema, &tool.parameters),
            (_, Kind::Json) => match schema.get("type").and_then(Value::as_str) {
                Some("array") => "gm_list".to_owned(),
                Some("object") => "gm_map".to_owned(),
                _ => "gm_value".to_owned(),
            },
            (_, Kind::Mixed) => "gm_value".to_owned(),
        }
    }

    /// Rules that are written once; `name` begins each of them.
    fn shared(&mut self, name: &str, rules: &str) {
        if !self.rules.contains(&format!("\n{name}_value:")) {
            self.rules.push('\n');
            self.rules.push_str(rules);
        }
    }
}

/// Python's literals.
const PYTHON_RULES: &str = r#"py_value: py_string | PY_NUMBER | "True" | "False" | "None" | "true" | "false" | "null" | py_list | py_dict
py_string: /"([^"\\\n]|\\.)*"/ | /'([^'\\\n]|\\.)*'/
PY_NUMBER: /-?[0-9]+(\.[0-9]+)?([eE][+\-]?[0-9]+)?/
py_list: "[" WS? (py_value (WS? "," WS? py_value)*)? WS? "]"
py_dict: "{" WS? (py_pair (WS? "," WS? py_pair)*)? WS? "}"
py_pair: py_string WS? ":" WS? py_value
"#;

/// Literals whose strings stand between marks.
const QUOTED_RULES: &str = r#"gm_value: gm_string | GM_NUMBER | "true" | "false" | "null" | gm_list | gm_map
gm_string: STRING
GM_NUMBER: /-?[0-9]+(\.[0-9]+)?([eE][+\-]?[0-9]+)?/
gm_list: "[" (gm_value ("," gm_value)*)? "]"
gm_map: "{" (gm_pair ("," gm_pair)*)? "}"
gm_pair: GM_KEY ":" gm_value
GM_KEY: /[A-Za-z0-9_\-.$]{1,256}/
"#;

/// The strings of an enumeration.
fn words(schema: &Value) -> Option<Vec<&str>> {
    let values = match (schema.get("enum"), schema.get("const")) {
        (Some(Value::Array(values)), _) => values.iter().collect(),
        (_, Some(value)) => vec![value],
        _ => return None,
    };
    let words: Option<Vec<&str>> = values.into_iter().map(Value::as_str).collect();
    words.filter(|words| !words.is_empty() && words.iter().all(|word| !word.is_empty()))
}

fn is_scalar(schema: &Value) -> bool {
    let scalar = ["integer", "number", "boolean", "null"];
    let kind = schema.get("type").and_then(Value::as_str);
    kind.is_some_and(|kind| scalar.contains(&kind))
}

fn is_required(tool: &Tool, key: &str) -> bool {
    let required = tool.parameters.get("required").and_then(Value::as_array);
    required.is_some_and(|list| list.iter().any(|name| name == key))
}

fn optional(tool: &Tool, key: &str, rule: &str) -> String {
    match is_required(tool, key) {
        true => rule.to_owned(),
        false => format!("({rule})?"),
    }
}

/// A text as a string of Lark.
fn lark_string(text: &str) -> String {
    quote(text).replace('\u{7f}', "\\u007f")
}
