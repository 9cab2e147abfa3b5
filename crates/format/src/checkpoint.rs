//! Any model's files seen as one thing.

use std::{
    collections::{BTreeSet, HashMap},
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value as Json;

use crate::{
    Affine, BlockType, Bytes, Error, Gguf, Metadata, Result, SafeTensors, Storage, Tensor, map_file,
};

/// Largest JSON file that is read.
const JSON_LIMIT: u64 = 256 << 20;

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
    directory: Option<PathBuf>,
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
        let meta = fs::metadata(path).map_err(|e| Error::io(path, e))?;
        if !meta.is_dir() {
            return Ok(Self::from_gguf(
                Gguf::open(path)?,
                path.display().to_string(),
            ));
        }
        if path.join("config.json").exists() {
            return Self::open_directory(path);
        }
        let entries = fs::read_dir(path).map_err(|e| Error::io(path, e))?;
        let models: Vec<PathBuf> = entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|p| p.extension().is_some_and(|e| e == "gguf") && !is_later_part(p))
            .collect();
        match models.as_slice() {
            [one] => Self::open(one),
            found => Err(Error::invalid(
                &path.display().to_string(),
                format!(
                    "expected config.json or one GGUF file in this directory, found {} GGUF files",
                    found.len()
                ),
            )),
        }
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
        Self {
            source: Source::Gguf,
            label,
            directory: None,
            metadata: gguf.metadata().clone(),
            config: Json::Null,
            tensors: gguf
                .tensors()
                .iter()
                .map(|t| (t.name.clone(), t.clone()))
                .collect(),
        }
    }

    fn open_directory(directory: &Path) -> Result<Self> {
        let label = directory.display().to_string();
        let config = read_json(&directory.join("config.json"))?;
        refuse_unknown_scheme(&label, &config)?;
        let mut tensors = HashMap::new();
        for name in weight_files(directory)? {
            let path = directory.join(&name);
            for tensor in SafeTensors::from_bytes(map_file(&path)?, &path.display().to_string())?
                .into_tensors()
            {
                if let Some(double) = tensors.insert(tensor.name.clone(), tensor) {
                    return Err(Error::invalid(
                        &label,
                        format!("tensor '{}' is in two files", double.name),
                    ));
                }
            }
        }
        join_affine(&label, &config, &mut tensors)?;
        Ok(Self {
            source: Source::HuggingFace,
            label,
            directory: Some(directory.to_owned()),
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
        self.directory
            .as_ref()
            .map(|d| d.join(name))
            .filter(|p| p.is_file())
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

fn is_later_part(path: &Path) -> bool {
    let stem = path
        .file_stem()
        .and_then(|s| s.to_str())
        .unwrap_or_default();
    let part = stem
        .rsplit_once("-of-")
        .and_then(|(before, _)| before.rsplit_once('-'))
        .map(|(_, part)| part);
    part.is_some_and(|p| p.len() == 5 && p.bytes().all(|b| b.is_ascii_digit()) && p != "00001")
}

fn read_json(path: &Path) -> Result<Json> {
    let label = path.display().to_string();
    let size = fs::metadata(path).map_err(|e| Error::io(path, e))?.len();
    if size > JSON_LIMIT {
        return Err(Error::invalid(
            &label,
            format!("{size} bytes, at most {JSON_LIMIT} are read"),
        ));
    }
    let bytes = fs::read(path).map_err(|e| Error::io(path, e))?;
    serde_json::from_slice(&bytes)
        .map_err(|e| Error::invalid(&label, format!("not valid JSON: {e}")))
}

/// Names of the files that hold weights, in the order of their names.
fn weight_files(directory: &Path) -> Result<BTreeSet<String>> {
    let label = directory.display().to_string();
    if directory.join("model.safetensors").exists() {
        return Ok(BTreeSet::from(["model.safetensors".to_owned()]));
    }
    let index_path = directory.join("model.safetensors.index.json");
    if !index_path.exists() {
        return Err(Error::invalid(
            &label,
            "expected model.safetensors or model.safetensors.index.json beside config.json",
        ));
    }
    let index = read_json(&index_path)?;
    let Some(map) = index.get("weight_map").and_then(Json::as_object) else {
        return Err(Error::invalid(
            &index_path.display().to_string(),
            "expected an object 'weight_map'",
        ));
    };
    let plain = |file: &Json| {
        let name = file.as_str().unwrap_or_default();
        let usual = name.ends_with(".safetensors")
            && !name.contains(['/', '\\', '\0'])
            && !name.starts_with('.');
        usual.then(|| name.to_owned()).ok_or_else(|| {
            Error::invalid(
                &index_path.display().to_string(),
                format!("{file} is no plain name of a safetensors file"),
            )
        })
    };
    map.values().map(plain).collect()
}

/// Quantisation schemes that hearth does not read yet are named, never read as something else.
fn refuse_unknown_scheme(label: &str, config: &Json) -> Result<()> {
    let method = config
        .get("quantization_config")
        .and_then(|q| q.get("quant_method"))
        .and_then(Json::as_str);
    match method {
        None => Ok(()),
        Some(method) => Err(Error::invalid(
            label,
            format!(
                "the weights are quantised by '{method}', which hearth does not read yet; use the original model, a GGUF or an MLX one"
            ),
        )),
    }
}

/// Joins each `p.weight`, `p.scales`, `p.biases` of an MLX directory to one tensor `p.weight`.
fn join_affine(label: &str, config: &Json, tensors: &mut HashMap<String, Tensor>) -> Result<()> {
    let Some(settings) = config.get("quantization").filter(|q| q.is_object()) else {
        return Ok(());
    };
    let modules: Vec<String> = tensors
        .keys()
        .filter_map(|name| name.strip_suffix(".scales").map(str::to_owned))
        .collect();
    for module in modules {
        let wrong = |problem: String| {
            Error::invalid(label, format!("quantised module '{module}': {problem}"))
        };
        let own = settings.get(&module).filter(|v| v.is_object());
        let number = |key: &str, default: u64| {
            own.map_or_else(|| settings.get(key), |o| o.get(key))
                .and_then(Json::as_u64)
                .unwrap_or(default) as usize
        };
        let mode = own
            .unwrap_or(settings)
            .get("mode")
            .and_then(Json::as_str)
            .unwrap_or("affine");
        if mode != "affine" {
            return Err(wrong(format!("mode '{mode}' is not read yet, only affine")));
        }
        let (bits, group) = (number("bits", 4), number("group_size", 64));
        if !matches!(bits, 2..=6 | 8) || !matches!(group, 32 | 64 | 128) {
            return Err(wrong(format!(
                "{bits} bits in groups of {group}, expected 2 to 6 or 8 bits in groups of 32, 64 or 128"
            )));
        }
        let mut part = |suffix: &str| {
            tensors
                .remove(&format!("{module}.{suffix}"))
                .ok_or_else(|| wrong(format!("'{suffix}' is missing")))
        };
        let (weight, scales, biases) = (part("weight")?, part("scales")?, part("biases")?);
        let joined = affine(weight, scales, biases, bits, group).map_err(wrong)?;
        tensors.insert(joined.name.clone(), joined);
    }
    Ok(())
}

fn affine(
    weight: Tensor,
    scales: Tensor,
    biases: Tensor,
    bits: usize,
    group: usize,
) -> Result<Tensor, String> {
    let (
        Storage::Blocks {
            block: BlockType::I32,
            bytes: codes,
        },
        Storage::Blocks {
            block: scale_type,
            bytes: s,
        },
        Storage::Blocks {
            block: bias_type,
            bytes: b,
        },
    ) = (&weight.storage, &scales.storage, &biases.storage)
    else {
        return Err("the codes are not U32".to_owned());
    };
    if !Affine::takes(*scale_type) || scale_type != bias_type {
        return Err(format!(
            "scales are {} and biases {}, expected one of F16, BF16 and F32",
            scale_type.name(),
            bias_type.name()
        ));
    }
    let columns = scales
        .columns()
        .checked_mul(group)
        .filter(|c| Some(c * bits / 32) == Some(weight.columns()) && (c * bits).is_multiple_of(32));
    let same_rows = scales.shape == biases.shape
        && scales.shape.len() == weight.shape.len()
        && scales.rows() == weight.rows();
    let Some(columns) = columns.filter(|_| same_rows && weight.shape.len() >= 2) else {
        return Err(format!(
            "shapes {:?}, {:?}, {:?} do not belong together",
            weight.shape, scales.shape, biases.shape
        ));
    };
    let mut shape = weight.shape.clone();
    if let Some(last) = shape.last_mut() {
        *last = columns;
    }
    let storage = Storage::Affine(Affine {
        bits,
        group,
        codes: codes.clone(),
        scales: s.clone(),
        biases: b.clone(),
        scale_type: *scale_type,
    });
    Ok(Tensor {
        name: weight.name,
        shape,
        storage,
    })
}
