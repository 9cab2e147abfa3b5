//! Which format a model's template tells of.

use super::derive;
use super::families::{GENERIC, PASSTHROUGH, families};
use super::format::{Format, Row};
use crate::dialogue::ChatTemplate;
use crate::reasoning::Tags;

/// The mark before a call that means there is none.
const ANY_CALL: [&str; 2] = ["{", "["];

impl Format {
    /// The format of a model with this template.
    ///
    /// The family's marks are looked for in the template's text. Of an unknown family, a Go
    /// template tells the tags itself ([`crate::GoTemplate::thinking_tags`],
    /// [`crate::GoTemplate::tool_tag`]), and of a Jinja template they are what it renders around
    /// thoughts and around calls in JSON. Where neither tells, calls are taken as JSON in the
    /// usual tags, in a fence or alone, or as Python's.
    pub fn detect(template: &ChatTemplate) -> Self {
        let source = template.source();
        let mut format = Self::of(Self::row(source).unwrap_or(&GENERIC));
        if let ChatTemplate::Go(go) = template {
            let known = |tags: &Tags| format.reasoning_starts().contains(&tags.open);
            let tags = go.thinking_tags().filter(|tags| !known(tags));
            let tag = go.tool_tag();
            if !ANY_CALL.contains(&&*tag) && std::ptr::eq(format.row, &GENERIC) {
                let end = closing(&tag);
                format.marks = Some((tag, end));
            }
            format.tags = tags;
        } else if std::ptr::eq(format.row, &GENERIC) {
            derive::learn(template, &mut format);
        }
        format
    }

    fn row(source: &str) -> Option<&'static Row> {
        let has_all = |row: &&Row| row.marks.iter().all(|mark| source.contains(mark));
        let mut marked = families().filter(|row| !row.marks.is_empty());
        marked.find(has_all)
    }

    /// Text in which these tags mark thoughts, and nothing marks calls.
    pub fn tagged(tags: Tags) -> Self {
        Self {
            tags: Some(tags),
            ..Self::of(&PASSTHROUGH)
        }
    }

    /// The format of this name: a family's ([`Format::names`]), or what vLLM calls its parser of
    /// tool calls or of reasoning, or Ollama its built-in parser. `None` where there is none.
    pub fn by_name(name: &str) -> Option<Self> {
        let all = families().chain([&GENERIC, &PASSTHROUGH]);
        let mut named = all.filter(|row| row.name == name || row.aliases.contains(&name));
        named.next().map(Self::of)
    }

    /// The names of all families.
    pub fn names() -> impl Iterator<Item = &'static str> {
        let all = families().chain([&GENERIC, &PASSTHROUGH]);
        all.map(|row| row.name)
    }

    /// What of the answer stands at the end of the prompt.
    pub(super) fn begun(&self, prompt: &str, reasoning: bool, tools: bool) -> String {
        let mut tails: Vec<String> = self.row.tails.iter().map(|&it| it.to_owned()).collect();
        if reasoning {
            tails.extend(self.reasoning_starts());
        }
        for (index, section) in self.row.sections.iter().enumerate() {
            if tools && !section.bare {
                tails.extend(self.opens(index));
            }
        }
        let prompt = prompt.trim_end();
        let fits = tails
            .into_iter()
            .filter(|tail| !tail.is_empty() && prompt.ends_with(&**tail));
        fits.max_by_key(String::len).unwrap_or_default()
    }
}

/// The tag that closes another one.
fn closing(tag: &str) -> String {
    match (tag.strip_prefix('<'), tag.strip_prefix('[')) {
        (Some(rest), _) if tag.ends_with('>') => format!("</{rest}"),
        (_, Some(rest)) if tag.ends_with(']') => format!("[/{rest}"),
        _ => String::new(),
    }
}
