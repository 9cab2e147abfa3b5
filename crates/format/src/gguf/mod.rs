//! GGUF files, whole or split, mapped and checked (format notes 1.1 to 1.4).
//!
//! Every read goes through one [`Cursor`], so nothing is allocated by a count that the file's size cannot hold.

mod cursor;
mod header;
mod metadata;
mod tensors;

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use crate::{Bytes, Error, Metadata, Result, Tensor, map_file};
use cursor::Cursor;
pub(crate) use metadata::KEY_LIMIT;
pub(crate) use tensors::{DIMENSION_LIMIT, alignment};

/// `split.count` is a u16.
const PART_LIMIT: u64 = 65_535;

/// A GGUF file, all its parts if it is split.
#[derive(Debug)]
pub struct Gguf {
    label: String,
    metadata: Metadata,
    tensors: Vec<Tensor>,
    index: HashMap<String, usize>,
}

impl Gguf {
    /// Maps a file, and its other parts if it is the first of a split.
    ///
    /// # Errors
    /// When a file cannot be read or breaks a rule of the format, or a part is missing or of another model.
    pub fn open(path: &Path) -> Result<Self> {
        let mut first = Self::part(map_file(path)?, &path.display().to_string())?;
        let count = first.split_count()?;
        if count > 1 {
            first.add_parts(path, count)?;
        }
        Ok(first)
    }

    /// Reads a whole file that is in memory already; `label` names it in messages.
    ///
    /// # Errors
    /// When the bytes break a rule of the format, or are a part of a split file: its other parts are found
    /// by [`Gguf::open`] only.
    pub fn from_bytes(bytes: Bytes, label: &str) -> Result<Self> {
        let file = Self::part(bytes, label)?;
        match file.split_count()? {
            0 | 1 => Ok(file),
            count => Err(Error::invalid(
                label,
                format!("one of {count} parts of a split model; open the first part by its path"),
            )),
        }
    }

    /// One file, whether or not it is a part.
    fn part(bytes: Bytes, label: &str) -> Result<Self> {
        let mut cursor = Cursor {
            bytes: &bytes,
            at: 0,
            label,
        };
        let (tensor_count, pair_count) = header::header(&mut cursor)?;
        let metadata = metadata::read_metadata(&mut cursor, pair_count)?;
        let infos = (0..tensor_count)
            .map(|_| tensors::tensor_info(&mut cursor))
            .collect::<Result<Vec<_>>>()?;
        tensors::check_quantization_version(&cursor, &metadata, &infos)?;
        let mut file = Self {
            label: label.to_owned(),
            tensors: Vec::new(),
            index: HashMap::with_capacity(infos.len()),
            metadata,
        };
        file.add_tensors(
            label,
            tensors::place(&cursor, &bytes, &file.metadata, infos)?,
        )?;
        Ok(file)
    }

    /// The metadata; of a split file, that of its first part.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// All tensors, in the order of the file.
    pub fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }

    /// The tensor of a name.
    pub fn tensor(&self, name: &str) -> Option<&Tensor> {
        self.index.get(name).map(|&i| &self.tensors[i])
    }

    /// Gives metadata and tensors away.
    pub fn into_parts(self) -> (Metadata, Vec<Tensor>) {
        (self.metadata, self.tensors)
    }

    fn add_tensors(&mut self, label: &str, tensors: Vec<Tensor>) -> Result<()> {
        for tensor in tensors {
            let at = self.tensors.len();
            if self.index.insert(tensor.name.clone(), at).is_some() {
                return Err(Error::invalid(
                    label,
                    format!("tensor '{}' occurs twice", tensor.name),
                ));
            }
            self.tensors.push(tensor);
        }
        Ok(())
    }

    /// Number of files; 0 or 1 for a whole one. Integers of any width are found here.
    fn split_count(&self) -> Result<u64> {
        let count = match self.metadata.get("split.count") {
            None => Some(0),
            Some(_) => self.metadata.integer("split.count"),
        };
        count.filter(|n| *n <= PART_LIMIT).ok_or_else(|| {
            Error::invalid(
                &self.label,
                format!("key 'split.count' is no number of parts (0 to {PART_LIMIT})"),
            )
        })
    }

    /// Maps parts 1 and up of `count`, each named after the first.
    fn add_parts(&mut self, path: &Path, count: u64) -> Result<()> {
        let label = self.label.clone();
        let wrong = |problem: String| Error::invalid(&label, problem);
        match self.metadata.integer("split.no") {
            Some(0) => {}
            Some(no) => {
                return Err(wrong(format!(
                    "this is part {} of {count}: open the first part",
                    no.saturating_add(1)
                )));
            }
            None => return Err(wrong("key 'split.no' is missing or no number".to_owned())),
        }
        for no in 1..count {
            let path = part_path(path, no, count).ok_or_else(|| {
                wrong(format!(
                    "split into {count} parts, but the name does not end in -00001-of-{count:05}.gguf"
                ))
            })?;
            let other = Self::part(map_file(&path)?, &path.display().to_string())?;
            let found = ["split.no", "split.count"].map(|key| other.metadata.integer(key));
            if found != [Some(no), Some(count)] {
                let [found_no, found_count] =
                    found.map(|n| n.map_or_else(|| "nothing".to_owned(), |n| n.to_string()));
                return Err(Error::invalid(
                    &other.label,
                    format!(
                        "expected split.no {no} and split.count {count}, found {found_no} and {found_count}"
                    ),
                ));
            }
            self.add_tensors(&other.label, other.tensors)?;
        }
        match self.metadata.integer("split.tensors.count") {
            Some(total) if total != self.tensors.len() as u64 => Err(wrong(format!(
                "split.tensors.count is {total}, the parts hold {}",
                self.tensors.len()
            ))),
            _ => Ok(()),
        }
    }
}

fn part_path(first: &Path, no: u64, count: u64) -> Option<PathBuf> {
    let name = first.file_name()?.to_str()?;
    let prefix = name.strip_suffix(&format!("-00001-of-{count:05}.gguf"))?;
    Some(first.with_file_name(format!("{prefix}-{:05}-of-{count:05}.gguf", no + 1)))
}
