//! What a model is to be made of.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::{Digest, Error, Instruction, Modelfile, Name, Result, Store, Turn};

/// What a model is to be made of. Empty texts and lists leave what the parent has.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recipe {
    /// Where the weights come from: of several names the last one, or files that are one model together.
    pub from: Vec<Base>,
    /// A LoRA adapter in GGUF, added to the parent's.
    pub adapter: Option<Base>,
    /// A draft model in GGUF, in place of the parent's.
    pub draft: Option<Base>,
    /// A template in Go's language, in place of the parent's.
    pub template: Option<String>,
    /// The default system message, in place of the parent's.
    pub system: Option<String>,
    /// Licences, added to the parent's.
    pub licenses: Vec<String>,
    /// Defaults of options, each in place of the parent's.
    pub params: Map<String, Value>,
    /// Turns before every conversation, in place of the parent's.
    pub messages: Vec<Turn>,
    /// A built-in prompt renderer.
    pub renderer: Option<String>,
    /// A built-in output parser.
    pub parser: Option<String>,
    /// The least version of Ollama.
    pub requires: Option<String>,
}

/// Something that a model can be made from.
#[derive(Clone, Debug, PartialEq)]
pub enum Base {
    /// A stored model.
    Name(Name),
    /// A GGUF file, the first of a split or any other; or a directory.
    Path(PathBuf),
    /// A GGUF file that is a content of the store already.
    Blob(Digest),
    /// Files of a checkpoint directory that are contents of the store already, by their paths in it.
    Directory(Vec<(String, Digest)>),
}

impl Recipe {
    /// Reads a Modelfile; `directory` is where relative paths begin.
    ///
    /// # Errors
    /// When a path is not there, or what `FROM` says is neither a path nor a name.
    pub fn of(modelfile: &Modelfile, directory: &Path) -> Result<Self> {
        let mut recipe = Self {
            params: modelfile.parameters(),
            ..Self::default()
        };
        let some = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
        for instruction in modelfile.iter() {
            match instruction {
                Instruction::From(text) => recipe.from.push(Base::parse(text, directory)?),
                Instruction::Adapter(text) => {
                    recipe.adapter = Some(Base::parse_file("ADAPTER", text, directory)?);
                }
                Instruction::Draft(text) => {
                    recipe.draft = Some(Base::parse_file("DRAFT", text, directory)?);
                }
                Instruction::Template(text) => recipe.template = some(text),
                Instruction::System(text) => recipe.system = some(text),
                Instruction::Renderer(text) => recipe.renderer = some(text),
                Instruction::Parser(text) => recipe.parser = some(text),
                Instruction::Requires(text) => recipe.requires = some(text),
                Instruction::License(text) => recipe.licenses.extend(some(text)),
                Instruction::Message(role, content) => recipe.messages.push(Turn {
                    role: role.name().to_owned(),
                    content: content.clone(),
                }),
                Instruction::Parameter(..) => {} // all of them together, above
            }
        }
        match &recipe.draft {
            Some(draft) if recipe.from.contains(draft) => Err(Error::invalid(
                "DRAFT",
                "the same file as FROM; a draft model is a smaller one",
            )),
            _ => Ok(recipe),
        }
    }

    /// The stored models that it needs.
    pub fn names(&self) -> impl Iterator<Item = &Name> {
        self.from.iter().filter_map(|base| match base {
            Base::Name(name) => Some(name),
            _ => None,
        })
    }
}

impl Base {
    /// What `FROM` says: a path if there is something at it, else a name.
    ///
    /// # Errors
    /// When it can only be a path and nothing is there, or is no name.
    pub fn parse(text: &str, directory: &Path) -> Result<Self> {
        if let Some(file) = Self::existing(text, directory)? {
            return Ok(file);
        }
        let only_path = text.starts_with(['/', '.', '~', '\\'])
            || [".gguf", ".safetensors", ".bin"]
                .iter()
                .any(|end| text.ends_with(end));
        if only_path {
            return Err(absent("FROM", text, directory));
        }
        Ok(Self::Name(Name::parse_source(text)?))
    }

    fn parse_file(what: &str, text: &str, directory: &Path) -> Result<Self> {
        Self::existing(text, directory)?.ok_or_else(|| absent(what, text, directory))
    }

    fn existing(text: &str, directory: &Path) -> Result<Option<Self>> {
        if let Some(digest) = text.strip_prefix('@') {
            return Ok(Some(Self::Blob(digest.parse()?)));
        }
        if text.is_empty() {
            return Ok(None);
        }
        let path = directory.join(at_home(text).unwrap_or_else(|| PathBuf::from(text)));
        Ok(path.exists().then_some(Self::Path(path)))
    }

    /// The file that this is.
    pub(super) fn file(&self, store: &Store) -> Result<PathBuf> {
        match self {
            Self::Path(path) => Ok(path.clone()),
            Self::Blob(digest) => blob(store, digest),
            Self::Name(name) => Err(Error::invalid(
                name.to_string(),
                "expected a file; only FROM takes the name of a model",
            )),
            Self::Directory(_) => Err(super::local::safetensors_adapter("the files")),
        }
    }
}

/// The file of a content that has to be there.
pub(super) fn blob(store: &Store, digest: &Digest) -> Result<PathBuf> {
    store.blob(digest).ok_or_else(|| {
        Error::invalid(
            digest.to_string(),
            "there is no such content in the store; send it first",
        )
    })
}

fn absent(what: &str, text: &str, directory: &Path) -> Error {
    let why = format!(
        "there is no file or directory '{text}'; relative paths begin at {}",
        directory.display()
    );
    Error::invalid(what, why)
}

/// A path that begins with `~/` or `~user/`.
fn at_home(text: &str) -> Option<PathBuf> {
    let (user, below) = text
        .strip_prefix('~')?
        .split_once('/')
        .unwrap_or((&text[1..], ""));
    let home = if user.is_empty() {
        std::env::home_dir()?
    } else {
        home_of(user)?
    };
    Some(home.join(below))
}

/// A user's home by the list of users, `name:password:id:group:comment:home:shell` a line.
fn home_of(user: &str) -> Option<PathBuf> {
    let users = std::fs::read_to_string("/etc/passwd").ok()?;
    let row = users
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>());
    let mut found = row.filter(|fields| fields.first() == Some(&user));
    found.next()?.get(5).map(PathBuf::from)
}
