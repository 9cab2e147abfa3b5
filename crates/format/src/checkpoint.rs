//! Any model's files seen as one thing.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value as Json;

use crate::{
    Bytes, Error, Gguf, Metadata, PartName, Result, Tensor, directory, files::Files, json, mlx,
};

const CONFIG: &str = "config.json";

/// Which conventions names and settings follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// GGUF metadata and tensor names.
    Gguf,
    /// `config.json` and module paths.
    HuggingFace,
}

/// A model's settings and tensors.
#[derive(Debug)]
pub struct Checkpoint {
    /// Which conventions it follows.
    pub source: Source,
    label: String,
    files: Option<Files>,
    metadata: Metadata,
    config: Json,
    tensors: HashMap<String, Tensor>,
}

impl Checkpoint {
    /// Opens a GGUF file (of a split, the first part), or a directory: one with `config.json` and safetensors,
    /// plain or MLX-quantised, or one that holds a single GGUF model.
    ///
    /// # Errors
    /// When there is no model, or a file of it breaks a rule of its format.
    pub fn open(path: &Path) -> Result<Self> {
        let label = path.display().to_string();
        let meta = fs::metadata(path).map_err(|e| Error::io(path, e))?;
        if !meta.is_dir() {
            if path.extension().is_some_and(|e| e == "safetensors") {
                return Err(Error::invalid(
                    &label,
                    "a safetensors file alone is no model; open the directory that has its config.json",
                ));
            }
            return Ok(Self::from_gguf(Gguf::open(path)?, label));
        }
        let files = Files::of_directory(path);
        if files.find(CONFIG).is_some() {
            return Self::from_files(files);
        }
        let mut models = files.names()?;
        models.retain(|name| is_model(name));
        match models.as_slice() {
            [one] => Self::open(&path.join(one)),
            found => Err(Error::invalid(
                &label,
                format!(
                    "expected config.json or one GGUF file in this directory, found {} GGUF files",
                    found.len()
                ),
            )),
        }
    }

    /// Opens a GGUF model by its parts in their order, whatever the files are called; a single one is an ordinary
    /// GGUF file. `label` names the model in messages.
    ///
    /// # Errors
    /// When a file breaks a rule of the format, or the files are not the parts of one model.
    pub fn open_parts(label: &str, parts: &[PathBuf]) -> Result<Self> {
        Ok(Self::from_gguf(
            Gguf::open_parts(label, parts)?,
            label.to_owned(),
        ))
    }

    /// Opens a model directory whose files lie anywhere: `files` has their paths in the directory (`config.json`,
    /// `model-00001-of-00002.safetensors`) and where they are. `label` names the model in messages.
    ///
    /// Where no file is called `model*.safetensors`, all safetensors files are the model's. One called
    /// `tensors/NAME.safetensors` holds the tensor `NAME`.
    ///
    /// # Errors
    /// When `config.json` or the weights are not among them, a name is given twice, or a file breaks a rule of its
    /// format.
    pub fn open_files(label: &str, files: Vec<(String, PathBuf)>) -> Result<Self> {
        Self::from_files(Files::of_list(label, files)?)
    }

    /// A GGUF file that is in memory already; `label` names it in messages.
    ///
    /// # Errors
    /// When the bytes break a rule of the format.
    pub fn from_gguf_bytes(bytes: Bytes, label: &str) -> Result<Self> {
        Ok(Self::from_gguf(
            Gguf::from_bytes(bytes, label)?,
            label.to_owned(),
        ))
    }

    fn from_gguf(gguf: Gguf, label: String) -> Self {
        let (metadata, tensors) = gguf.into_parts();
        Self {
            source: Source::Gguf,
            label,
            files: None,
            metadata,
            config: Json::Null,
            tensors: tensors.into_iter().map(|t| (t.name.clone(), t)).collect(),
        }
    }

    fn from_files(files: Files) -> Result<Self> {
        let label = files.label().to_owned();
        let config: Json = json::read(&files.get(CONFIG)?, &files.label_of(CONFIG))?;
        if !config.is_object() {
            return Err(Error::invalid(&label, "config.json is not an object"));
        }
        let quantization = mlx::settings(&config);
        if quantization.is_none() {
            refuse_unknown_scheme(&label, &config)?;
        }
        let mut tensors = directory::tensors(&files)?;
        if let Some(settings) = quantization {
            mlx::join(&label, settings, &mut tensors)?;
        }
        Ok(Self {
            source: Source::HuggingFace,
            label,
            files: Some(files),
            metadata: Metadata::default(),
            config,
            tensors,
        })
    }

    /// What to call it in messages.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// GGUF metadata; empty for directories.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// `config.json`; null for GGUF.
    pub fn config(&self) -> &Json {
        &self.config
    }

    /// The tensor of a name.
    pub fn tensor(&self, name: &str) -> Option<&Tensor> {
        self.tensors.get(name)
    }

    /// All tensors, in no order.
    pub fn tensors(&self) -> impl Iterator<Item = &Tensor> {
        self.tensors.values()
    }

    /// A file beside the weights, such as `tokenizer.json`, if it is there.
    pub fn side_file(&self, name: &str) -> Option<PathBuf> {
        let found = self.files.as_ref()?.find(name);
        found.filter(|path| path.is_file())
    }

    /// Bytes of all weights.
    pub fn total_bytes(&self) -> u64 {
        self.tensors.values().map(|t| t.stored_bytes() as u64).sum()
    }

    /// Number of values of all weights.
    pub fn parameters(&self) -> u64 {
        self.tensors
            .values()
            .map(|t| t.shape.iter().map(|n| *n as u64).product::<u64>())
            .sum()
    }
}

/// Whether a file of this name is a GGUF model of its own: no projector, and of a split only the first part.
fn is_model(name: &str) -> bool {
    let later = PartName::parse(name).is_some_and(|part| part.number > 1);
    name.ends_with(".gguf") && !later && !name.starts_with("mmproj")
}

/// Quantisation schemes that hearth does not read yet are named, never read as something else.
fn refuse_unknown_scheme(label: &str, config: &Json) -> Result<()> {
    let scheme = [Some(config), config.get("text_config")]
        .into_iter()
        .flatten()
        .find_map(|c| c.get("quantization_config").filter(|q| q.is_object()));
    let Some(scheme) = scheme else {
        return Ok(());
    };
    let method = scheme.get("quant_method").and_then(Json::as_str);
    Err(Error::invalid(
        label,
        format!(
            "the weights are quantised by '{}', which hearth does not read yet; use the original model, a GGUF or an MLX one",
            method.unwrap_or("a scheme without quant_method")
        ),
    ))
}
