//! Modelfiles: how a model is made from another one or from files, in Ollama's language.
//!
//! A file is a list of instructions `NAME value`. A value goes to the end of its line, or is quoted with `"` or `"""`
//! and then ends where a line ends with the same quotes. There are no escapes. What a [`Modelfile`] prints is read
//! back as the same instructions.

mod parameter;
mod parse;
mod text;

#[cfg(test)]
mod tests;

use std::fmt;

use serde_json::{Map, Value};

pub use parameter::{ParameterType, ParameterValue};
use text::quoted;

/// A Modelfile that was read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Modelfile {
    /// What it says, in its order.
    pub instructions: Vec<Located>,
    /// What was accepted and means nothing any more.
    pub warnings: Vec<String>,
}

/// An instruction and where it begins.
#[derive(Clone, Debug, PartialEq)]
pub struct Located {
    /// The line, from 1.
    pub line: usize,
    /// The instruction.
    pub instruction: Instruction,
}

/// One instruction.
#[derive(Clone, Debug, PartialEq)]
pub enum Instruction {
    /// A model of the store, a file or a directory.
    From(String),
    /// A LoRA adapter's file.
    Adapter(String),
    /// A draft model's file.
    Draft(String),
    /// A template in Go's language.
    Template(String),
    /// The default system message.
    System(String),
    /// The default of an option.
    Parameter(String, ParameterValue),
    /// A turn before every conversation.
    Message(Role, String),
    /// A licence's text.
    License(String),
    /// The name of a built-in prompt renderer.
    Renderer(String),
    /// The name of a built-in output parser.
    Parser(String),
    /// The least version of Ollama, without a leading `v`.
    Requires(String),
}

/// Who speaks in a `MESSAGE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Role {
    System,
    User,
    Assistant,
}

/// Why a text is no Modelfile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelfileError {
    /// The line, from 1; none where it is about the whole.
    pub line: Option<usize>,
    /// What is wrong.
    pub problem: Problem,
}

/// What is wrong with a Modelfile. The texts are Ollama's where it has one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Not one of the instructions.
    #[error(
        r#"command must be one of "from", "license", "template", "system", "adapter", "draft", "renderer", "parser", "parameter", "message", or "requires""#
    )]
    Command,
    /// Not one of the roles.
    #[error(r#"message role must be one of "system", "user", or "assistant""#)]
    Role,
    /// No `FROM`.
    #[error("no FROM line")]
    NoFrom,
    /// Something is missing, or a quote is not closed.
    #[error("unexpected EOF: {0}")]
    Unfinished(String),
    /// Not one of the options.
    #[error("unknown parameter '{0}'")]
    UnknownParameter(String),
    /// Not a value of an option's type.
    #[error("invalid {0} value [{1}]")]
    Value(ParameterType, String),
    /// Not a version.
    #[error("requires must be a valid semver (e.g. 0.14.0)")]
    Version,
    /// Not text.
    #[error("expected text in UTF-8, or in UTF-16 with a byte order mark: {0}")]
    Encoding(&'static str),
    /// Larger than any Modelfile.
    #[error("larger than {0} bytes, more than any Modelfile should be")]
    TooLarge(u64),
}

impl std::error::Error for ModelfileError {}

impl fmt::Display for ModelfileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "(line {line}): ")?;
        }
        self.problem.fmt(f)
    }
}

impl Modelfile {
    /// Reads a Modelfile in UTF-8, or in UTF-16 with a byte order mark.
    ///
    /// # Errors
    /// When it is no text, an instruction, a role or a parameter is not known, a value is missing or not closed, or
    /// nothing says `FROM`.
    pub fn parse(bytes: &[u8]) -> Result<Self, ModelfileError> {
        parse::parse(&text::decode(bytes)?)
    }

    /// All values of `FROM`, in their order.
    pub fn from(&self) -> impl Iterator<Item = &str> {
        self.iter().filter_map(|instruction| match instruction {
            Instruction::From(value) => Some(value.as_str()),
            _ => None,
        })
    }

    /// Its parameters as a model stores them: of a number or truth value the last counts, `stop` is a list.
    pub fn parameters(&self) -> Map<String, Value> {
        let mut map = Map::new();
        for instruction in self.iter() {
            if let Instruction::Parameter(name, value) = instruction {
                parameter::store(&mut map, name, value);
            }
        }
        map
    }

    /// The instructions in their order.
    pub fn iter(&self) -> impl Iterator<Item = &Instruction> {
        self.instructions.iter().map(|located| &located.instruction)
    }
}

/// Instructions numbered by the lines on which they are printed.
impl FromIterator<Instruction> for Modelfile {
    fn from_iter<T: IntoIterator<Item = Instruction>>(instructions: T) -> Self {
        let mut line = 1;
        let located = instructions.into_iter().map(|instruction| {
            let here = line;
            line += instruction.to_string().lines().count().max(1);
            Located {
                line: here,
                instruction,
            }
        });
        Self {
            instructions: located.collect(),
            warnings: Vec::new(),
        }
    }
}

/// One instruction a line, or more where a value has several.
impl fmt::Display for Modelfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.iter()
            .try_for_each(|instruction| writeln!(f, "{instruction}"))
    }
}

impl fmt::Display for Instruction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Parameter(name, value) => write!(f, "PARAMETER {name} {value}"),
            Self::Message(role, content) => write!(f, "MESSAGE {role} {}", quoted(content)),
            Self::From(value) => write!(f, "FROM {}", quoted(value)),
            Self::Adapter(value) => write!(f, "ADAPTER {}", quoted(value)),
            Self::Draft(value) => write!(f, "DRAFT {}", quoted(value)),
            Self::Template(value) => write!(f, "TEMPLATE {}", quoted(value)),
            Self::System(value) => write!(f, "SYSTEM {}", quoted(value)),
            Self::License(value) => write!(f, "LICENSE {}", quoted(value)),
            Self::Renderer(value) => write!(f, "RENDERER {}", quoted(value)),
            Self::Parser(value) => write!(f, "PARSER {}", quoted(value)),
            Self::Requires(value) => write!(f, "REQUIRES {}", quoted(value)),
        }
    }
}

impl Instruction {
    /// Whether it is read back as it is printed. Control characters are not, nor is a value with a line before its
    /// last one that ends with `"""`: the language has no quotes for it.
    pub fn comes_back(&self) -> bool {
        let text = format!("FROM m\n{self}");
        Modelfile::parse(text.as_bytes()).is_ok_and(|file| file.iter().skip(1).eq([self]))
    }
}

impl Role {
    const ALL: [Self; 3] = [Self::System, Self::User, Self::Assistant];

    /// The role of a name, in lower case.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
