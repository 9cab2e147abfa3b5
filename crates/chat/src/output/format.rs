//! How a family writes its output, as data.

use std::fmt;

use crate::reasoning::Tags;

/// A row of the table of families (`families`).
#[derive(Debug)]
pub(super) struct Row {
    /// The family's name.
    pub(super) name: &'static str,
    /// Names that other programs give to the same format.
    pub(super) aliases: &'static [&'static str],
    /// Texts that all stand in the templates of the family.
    pub(super) marks: &'static [&'static str],
    pub(super) thoughts: Thoughts,
    /// Marks around what is said, which are dropped.
    pub(super) wrappers: &'static [&'static str],
    /// Ends of a prompt that belong to the output.
    pub(super) tails: &'static [&'static str],
    /// How calls are written; the first is the one that grammars use.
    pub(super) sections: &'static [Section],
    pub(super) layout: Layout,
    pub(super) ids: Ids,
}

/// What most rows have.
pub(super) const PLAIN: Row = Row {
    name: "",
    aliases: &[],
    marks: &[],
    thoughts: THINK,
    wrappers: &[],
    tails: &[],
    sections: &[],
    layout: Layout::Flow,
    ids: Ids::Invented,
};

/// How thoughts are marked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Thoughts {
    pub(super) open: &'static [&'static str],
    pub(super) close: &'static [&'static str],
    /// Whether a call may begin inside them, and ends them.
    pub(super) until_call: bool,
    /// Whether they may begin, or a stray end may stand, anywhere, not only at the start.
    pub(super) anywhere: bool,
}

/// `<think>`, only at the start.
pub(super) const THINK: Thoughts = Thoughts {
    open: &["<think>"],
    close: &["</think>"],
    until_call: false,
    anywhere: false,
};

/// `<think>` that a call ends too: such models forget to close it.
pub(super) const THINK_OR_CALL: Thoughts = Thoughts {
    until_call: true,
    ..THINK
};

/// A model that does not mark thoughts.
pub(super) const NONE: Thoughts = Thoughts {
    open: &[],
    close: &[],
    until_call: false,
    anywhere: false,
};

/// How the parts of an answer follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// Text with marks in it.
    Flow,
    /// Messages, each with a header that tells for whom it is.
    Messages,
}

/// The ids of calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ids {
    /// `call_` and eight characters.
    Invented,
    /// Nine letters or digits, which the template insists on.
    Nine,
}

/// A place for calls: `opens` (`steps`, once or more) `closes`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Section {
    /// Each of these begins it.
    pub(super) opens: &'static [&'static str],
    /// Each of these ends it. A model may leave it out at its end.
    pub(super) closes: &'static [&'static str],
    /// One call.
    pub(super) steps: &'static [Step],
    /// What may stand between calls besides white space.
    pub(super) separators: &'static [&'static str],
    /// Whether calls stand in `[…]`, separated by commas.
    pub(super) list: bool,
    /// Whether several calls may stand in one section.
    pub(super) many: bool,
    /// Whether it counts only where nothing was said before; `opens` then belong to the call.
    pub(super) bare: bool,
    /// How a grammar writes calls.
    pub(super) shape: Shape,
    /// What a grammar has before `opens` where it begins with the answer.
    pub(super) lead: &'static [Step],
    /// What a grammar has behind `opens`.
    pub(super) inner: &'static [Step],
}

/// How several calls are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// Not at all.
    One,
    /// Each in a section of its own.
    Each,
    /// One after the other in a section.
    Run,
    /// In `[…]`, separated by commas.
    List,
}

/// What most sections have.
pub(super) const SECTION: Section = Section {
    opens: &[],
    closes: &[],
    steps: &[],
    separators: &[],
    list: false,
    many: false,
    bare: false,
    shape: Shape::Each,
    lead: &[],
    inner: &[],
};

/// A step in reading or writing one call. White space between steps is free.
#[derive(Debug, Clone, Copy)]
pub(super) enum Step {
    /// This text.
    Text(&'static str),
    /// One of these texts, or nothing.
    Maybe(&'static [&'static str]),
    /// The tool's name.
    Name,
    /// Anything up to and with this text.
    Skip(&'static str),
    /// The call's id, up to and with this text.
    Id(&'static str),
    /// The first text and the call's id, or neither; then the second text.
    MaybeId(&'static str, &'static str),
    /// An id that holds the name, `functions.NAME:NUMBER`.
    NameInId,
    /// The arguments as JSON.
    Json,
    /// A JSON object that holds the name and the arguments.
    Object(Keys),
    /// Each argument in tags.
    Tagged(Tagged),
    /// `key=literal, …)` as Python writes it.
    Python,
    /// `{key:value, …}` with strings between these marks.
    Quoted(&'static str),
    /// Tags named as the parameters, nested, each behind this text.
    Nested(&'static str),
    /// No name: the tool is the one that executes code.
    Interpreter,
    /// The rest is one text argument of this name.
    Code(&'static str),
}

/// The keys of a call's object, as a grammar writes them. Reading takes all that are in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keys {
    /// The name and the arguments under these keys.
    Two(&'static str, &'static str),
    /// The id comes first, under this key.
    IdFirst(&'static str, &'static str, &'static str),
    /// The id comes last.
    IdLast(&'static str, &'static str, &'static str),
    /// The name is the key and the arguments are its value.
    Named,
}

/// `open KEY key_end value_open VALUE close`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tagged {
    pub(super) open: &'static str,
    pub(super) key_end: &'static str,
    /// Where attributes follow the key: what ends them.
    pub(super) attributes: Option<&'static str>,
    /// An attribute of text values, and one of JSON values.
    pub(super) types: Option<(&'static str, &'static str)>,
    pub(super) value_open: &'static str,
    pub(super) close: &'static str,
    /// Whether one line break on either side of a value belongs to the tags.
    pub(super) framed: bool,
}

/// How a family writes reasoning, content and calls of tools.
#[derive(Clone)]
pub struct Format {
    pub(super) row: &'static Row,
    /// The marks of thoughts, where they differ from the row's.
    pub(super) tags: Option<Tags>,
    /// The marks of the first section, where they differ from the row's.
    pub(super) marks: Option<(String, String)>,
}

impl fmt::Debug for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Format")
            .field("name", &self.row.name)
            .field("tags", &self.tags)
            .field("marks", &self.marks)
            .finish()
    }
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|&text| text.to_owned()).collect()
}

impl Format {
    pub(super) fn of(row: &'static Row) -> Self {
        Self {
            row,
            tags: None,
            marks: None,
        }
    }

    /// The family's name, such as `hermes`.
    pub fn name(&self) -> &'static str {
        self.row.name
    }

    /// The texts that begin thoughts; empty where the family marks none.
    pub fn reasoning_starts(&self) -> Vec<String> {
        match &self.tags {
            Some(tags) => vec![tags.open.clone()],
            None => owned(self.row.thoughts.open),
        }
    }

    /// The texts that end thoughts.
    pub fn reasoning_ends(&self) -> Vec<String> {
        match &self.tags {
            Some(tags) => vec![tags.close.clone()],
            None => owned(self.row.thoughts.close),
        }
    }

    /// The texts that begin section `index`.
    pub(super) fn opens(&self, index: usize) -> Vec<String> {
        match &self.marks {
            Some((open, _)) if index == 0 => vec![open.clone()],
            _ => owned(self.row.sections[index].opens),
        }
    }

    /// The texts that end section `index`.
    pub(super) fn closes(&self, index: usize) -> Vec<String> {
        match &self.marks {
            Some((_, close)) if index == 0 => vec![close.clone()],
            _ => owned(self.row.sections[index].closes),
        }
    }
}
