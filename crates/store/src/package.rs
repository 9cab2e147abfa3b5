//! What a stored model brings besides weights.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    Config, Entry, Error, Instruction, Kind, Layer, Modelfile, Name, ParameterValue, Result, Role,
    Store, store::LARGEST_TEXT,
};

const NOT_AS_IT_IS: &str = "# A Modelfile cannot hold the next value as it is: it has control characters, or a line in it ends with three quotes.\n";

/// A stored model with its texts read and its files found.
#[derive(Clone, Debug)]
pub struct Package {
    /// Its name as the store spells it.
    pub name: Name,
    /// What its config says.
    pub config: Config,
    /// The template in Go's language.
    pub template: Option<String>,
    /// The default system message.
    pub system: Option<String>,
    /// Defaults of options; also ones that hearth does not know.
    pub params: Map<String, Value>,
    /// Turns before every conversation.
    pub messages: Vec<Turn>,
    /// Licences.
    pub licenses: Vec<String>,
    /// Weights in GGUF; several are the parts of a split model.
    pub models: Vec<PathBuf>,
    /// Projectors in GGUF.
    pub projectors: Vec<PathBuf>,
    /// LoRA adapters in GGUF.
    pub adapters: Vec<PathBuf>,
    /// Draft models in GGUF.
    pub drafts: Vec<PathBuf>,
    /// Files of a checkpoint directory, by their paths in it.
    pub files: Vec<(String, PathBuf)>,
}

/// A turn of a conversation as a model stores it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turn {
    /// `system`, `user` or `assistant`.
    pub role: String,
    /// What is said.
    #[serde(default)]
    pub content: String,
}

impl Package {
    /// Reads a model of a store. Its weights are found, not read.
    ///
    /// # Errors
    /// When a content is missing, larger than anything of its kind or not what its kind is; the message names the
    /// model and the content.
    pub fn read(store: &Store, entry: &Entry) -> Result<Self> {
        let reader = Reader { store, entry };
        let last = |kind| entry.manifest.of_kind(kind).last();
        Ok(Self {
            name: entry.name.clone(),
            config: reader.json(&entry.manifest.config, "config")?,
            template: reader.last(Kind::Template, "template")?,
            system: reader.last(Kind::System, "system message")?,
            params: last(Kind::Params).map_or(Ok(Map::new()), |l| reader.json(l, "parameters"))?,
            messages: last(Kind::Messages).map_or(Ok(vec![]), |l| reader.json(l, "messages"))?,
            licenses: entry
                .manifest
                .of_kind(Kind::License)
                .map(|layer| reader.text(layer, "licence"))
                .collect::<Result<_>>()?,
            models: reader.files(Kind::Model)?,
            projectors: reader.files(Kind::Projector)?,
            adapters: reader.files(Kind::Adapter)?,
            drafts: reader.files(Kind::Draft)?,
            files: store.directory_files(entry)?,
        })
    }

    /// The parameters, a line for each value: the name up to column 30, a space, and the value as JSON. None is empty.
    pub fn parameter_lines(&self) -> Vec<String> {
        let values = |value: &Value| match value {
            Value::Array(list) => list.clone(),
            one => vec![one.clone()],
        };
        let lines = self.params.iter().flat_map(|(name, value)| {
            let line = move |value: Value| format!("{name:<30} {value}");
            values(value).into_iter().map(line)
        });
        lines.collect()
    }

    /// The model as a Modelfile that makes it again, with a head that says how to build on it. What the language
    /// cannot say stands there as a comment.
    pub fn modelfile(&self) -> String {
        self.modelfile_by(&absolute)
    }

    /// The same with `file` saying what stands in a path's place.
    pub fn modelfile_by(&self, file: &dyn Fn(&Path) -> String) -> String {
        let mut text = format!(
            "# Modelfile of {name}, written by 'hearth show'.\n\
             # To build on this model, write this line in place of the next one:\n\
             # FROM {name}\n\n",
            name = self.name
        );
        for line in self.lines(file) {
            match line {
                Line::Instruction(instruction) => {
                    if !instruction.comes_back() {
                        text.push_str(NOT_AS_IT_IS);
                    }
                    text.push_str(&instruction.to_string());
                }
                Line::Comment(comment) => {
                    let kept = comment.chars().filter(|c| !c.is_control());
                    text.extend("# ".chars().chain(kept));
                }
            }
            text.push('\n');
        }
        text
    }

    /// What can be said in a Modelfile, without comments.
    pub fn instructions(&self) -> Modelfile {
        let lines = self.lines(&absolute).into_iter();
        lines
            .filter_map(|line| match line {
                Line::Instruction(instruction) => Some(instruction),
                Line::Comment(_) => None,
            })
            .collect()
    }

    fn lines(&self, file: &dyn Fn(&Path) -> String) -> Vec<Line> {
        use Instruction as I;
        let mut lines = Vec::new();
        if self.models.is_empty() {
            lines.push(Line::Instruction(I::From(self.name.to_string())));
        }
        let groups: [(Make, &[PathBuf]); 4] = [
            (I::From, &self.models),
            (I::Adapter, &self.adapters),
            (I::Draft, &self.drafts),
            (I::From, &self.projectors),
        ];
        for (make, paths) in groups {
            lines.extend(paths.iter().map(|path| Line::Instruction(make(file(path)))));
        }
        let texts: [(Make, &Option<String>); 5] = [
            (I::Template, &self.template),
            (I::System, &self.system),
            (I::Renderer, &self.config.renderer),
            (I::Parser, &self.config.parser),
            (I::Requires, &self.config.requires),
        ];
        for (make, text) in texts {
            lines.extend(
                text.iter()
                    .map(|text| Line::Instruction(make(text.clone()))),
            );
        }
        for (name, value) in &self.params {
            lines.extend(parameter(name, value));
        }
        let licenses = self.licenses.iter().cloned().map(I::License);
        lines.extend(licenses.map(Line::Instruction));
        lines.extend(self.messages.iter().map(message));
        lines
    }
}

/// A path that means the same from everywhere.
fn absolute(path: &Path) -> String {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    path.display().to_string()
}

/// Makes an instruction of its value.
type Make = fn(String) -> Instruction;

enum Line {
    Instruction(Instruction),
    Comment(String),
}

fn parameter(name: &str, value: &Value) -> Vec<Line> {
    match ParameterValue::of_stored(name, value) {
        Some(values) => values
            .into_iter()
            .map(|value| Line::Instruction(Instruction::Parameter(name.to_owned(), value)))
            .collect(),
        None => vec![Line::Comment(format!(
            "PARAMETER {name} {value} is stored, and no Modelfile can set it"
        ))],
    }
}

fn message(turn: &Turn) -> Line {
    match Role::of(&turn.role) {
        Some(role) => Line::Instruction(Instruction::Message(role, turn.content.clone())),
        None => Line::Comment(format!("MESSAGE {} {}", turn.role, turn.content)),
    }
}

/// Reads the contents of one model.
struct Reader<'a> {
    store: &'a Store,
    entry: &'a Entry,
}

impl Reader<'_> {
    fn what(&self, layer: &Layer, what: &str) -> String {
        format!("{}: its {what}, content {}", self.entry.name, layer.digest)
    }

    fn text(&self, layer: &Layer, what: &str) -> Result<String> {
        let path = self.store.layer_file(&self.entry.name, layer)?;
        if layer.size > LARGEST_TEXT {
            return Err(Error::TooLarge {
                what: self.what(layer, what),
                limit: LARGEST_TEXT,
            });
        }
        let bytes = self.store.disk().read(&path, LARGEST_TEXT)?;
        String::from_utf8(bytes.unwrap_or_default())
            .map_err(|_| Error::invalid(self.what(layer, what), "expected UTF-8 text"))
    }

    fn json<T: serde::de::DeserializeOwned>(&self, layer: &Layer, what: &str) -> Result<T> {
        serde_json::from_str(&self.text(layer, what)?)
            .map_err(|error| Error::invalid(self.what(layer, what), error.to_string()))
    }

    fn last(&self, kind: Kind, what: &str) -> Result<Option<String>> {
        let layer = self.entry.manifest.of_kind(kind).last();
        layer.map(|layer| self.text(layer, what)).transpose()
    }

    fn files(&self, kind: Kind) -> Result<Vec<PathBuf>> {
        let layers = self.entry.manifest.of_kind(kind);
        layers
            .map(|layer| self.store.layer_file(&self.entry.name, layer))
            .collect()
    }
}
