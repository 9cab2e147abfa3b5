//! What a model can do, as its template tells.

use serde_json::{Map, Value, json};

use super::families::GENERIC;
use super::format::Format;
use crate::dialogue::ChatTemplate;
use crate::go::Think;

/// What a template has places for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// Definitions of tools.
    pub tools: bool,
    /// Thoughts before an answer.
    pub thinking: bool,
    /// Whether thinking can be switched on and off.
    pub switch: bool,
    /// How much to think (`low`, `medium`, `high`).
    pub levels: bool,
    /// A text behind the one that is wanted.
    pub insert: bool,
}

/// Variables of Jinja templates that switch thinking, and their values for off and on.
const SWITCHES: &[(&str, Switch)] = &[
    ("enable_thinking", Switch::Bool),
    ("thinking", Switch::Bool),
    ("thinking_mode", Switch::Words("disabled", "enabled")),
];

/// Variables that take a level.
const LEVELS: &[(&str, &str)] = &[("reasoning_effort", "none"), ("reasoning_strength", "none")];

#[derive(Debug, Clone, Copy)]
enum Switch {
    Bool,
    Words(&'static str, &'static str),
}

impl Capabilities {
    /// Reads the template. Of Go's: `.Tools`, `.Suffix`, `.Thinking`, `.Think` and `.ThinkLevel`.
    /// Of Jinja: the variable `tools` or `tool_call`, the marks of the family's thoughts or
    /// `<think>` and `</think>`, and the variables that switch thinking.
    pub fn of(template: &ChatTemplate) -> Self {
        let source = match template {
            ChatTemplate::Go(go) => {
                let found = go.capabilities();
                return Self {
                    tools: found.tools,
                    insert: found.insert,
                    thinking: found.thinking,
                    switch: go.mentions("Think") || go.mentions("IsThinkSet"),
                    levels: go.mentions("ThinkLevel"),
                };
            }
            ChatTemplate::Jinja(jinja) => jinja.source(),
        };
        let format = Format::detect(template);
        let marked = !std::ptr::eq(format.row, &GENERIC)
            && format
                .row
                .thoughts
                .open
                .iter()
                .any(|open| source.contains(open));
        let switch = SWITCHES.iter().any(|(name, _)| reads(source, name));
        let levels = LEVELS.iter().any(|(name, _)| reads(source, name));
        let tagged = source.contains("<think>") && source.contains("</think>");
        Self {
            tools: source.contains("tools") || source.contains("tool_call"),
            thinking: marked || tagged || reads(source, "enable_thinking") || levels,
            switch,
            levels,
            insert: false,
        }
    }
}

/// The variables by which a template is told to think or not, for [`crate::Request::extra`]: those
/// that it reads. For a Go template, the one that [`crate::go::GoRequest`] reads.
pub fn thinking_variables(template: &ChatTemplate, think: &Think) -> Map<String, Value> {
    let mut variables = Map::new();
    let ChatTemplate::Jinja(jinja) = template else {
        let value = match think {
            Think::Off => json!(false),
            Think::On => json!(true),
            Think::Level(level) => json!(level),
        };
        variables.insert("think".to_owned(), value);
        return variables;
    };
    let source = jinja.source();
    let on = *think != Think::Off;
    for (name, switch) in SWITCHES.iter().filter(|(name, _)| reads(source, name)) {
        let value = match switch {
            Switch::Bool => json!(on),
            Switch::Words(_, word) if on => json!(word),
            Switch::Words(word, _) => json!(word),
        };
        variables.insert((*name).to_owned(), value);
    }
    for (name, none) in LEVELS.iter().filter(|(name, _)| reads(source, name)) {
        let value = match think {
            Think::Off => json!(none),
            Think::Level(level) => json!(level),
            Think::On => continue,
        };
        variables.insert((*name).to_owned(), value);
    }
    // Harmony's effort cannot be none.
    if !on && Format::detect(template).name() == "harmony" {
        variables.insert("reasoning_effort".to_owned(), json!("low"));
    }
    variables
}

/// Whether a Jinja template has a variable of this name: a word in a tag that is no member and
/// stands in no string.
fn reads(source: &str, name: &str) -> bool {
    let part = |it: char| it.is_alphanumeric() || it == '_';
    let mut rest = source;
    while let Some(at) = [rest.find("{%"), rest.find("{{")]
        .into_iter()
        .flatten()
        .min()
    {
        let mut tag = &rest[at + 2..];
        let mut before = ' ';
        while let Some(first) = tag.chars().next() {
            if tag.starts_with("%}") || tag.starts_with("}}") {
                break;
            }
            let length = match first {
                '"' | '\'' => string_length(tag, first),
                _ if part(first) => tag.find(|it| !part(it)).unwrap_or(tag.len()),
                _ => first.len_utf8(),
            };
            if tag[..length] == *name && before != '.' {
                return true;
            }
            before = if first.is_whitespace() { before } else { first };
            tag = &tag[length..];
        }
        rest = tag;
    }
    false
}

/// The length of the string that begins a text with `quote`.
fn string_length(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, character) in text.char_indices().skip(1) {
        if !escaped && character == quote {
            return at + quote.len_utf8();
        }
        escaped = !escaped && character == '\\';
    }
    text.len()
}
