//! GGUF files, whole or split, mapped and checked (format notes 1.1 to 1.4).
//!
//! Every read goes through one [`Cursor`], so nothing is allocated by a count that the file's size cannot hold.

mod cursor;
mod header;
mod metadata;
mod part;
mod tensors;

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use crate::{Bytes, Error, Metadata, Result, Tensor, map_file};
use cursor::Cursor;
pub(crate) use metadata::KEY_LIMIT;
pub use part::PartName;
pub(crate) use tensors::{DIMENSION_LIMIT, alignment};

/// `split.count` is a u16.
const PART_LIMIT: u64 = 65_535;
/// What [`Gguf::peek`] reads at most.
const PEEK_BYTES: usize = 1 << 20;

/// A GGUF file, all its parts if it is split.
#[derive(Debug)]
pub struct Gguf {
    label: String,
    metadata: Metadata,
    tensors: Vec<Tensor>,
    index: HashMap<String, usize>,
}

impl Gguf {
    /// Maps a file, and its other parts if it is the first of a split: those are beside it.
    ///
    /// # Errors
    /// When a file cannot be read or breaks a rule of the format, or a part is missing or of another model.
    pub fn open(path: &Path) -> Result<Self> {
        let first = Self::part(map_file(path)?, &path.display().to_string())?;
        let count = first.split_count()?;
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.and_then(PartName::parse);
        let name = name.filter(|name| name.number == 1 && u64::from(name.count) == count);
        let label = first.label.clone();
        first.with_parts(count, |number| {
            let name = name.ok_or_else(|| {
                let problem = format!(
                    "split into {count} parts, but the name does not end in -00001-of-{count:05}.gguf"
                );
                Error::invalid(&label, problem)
            })?;
            let path = path.with_file_name(PartName { number, ..name }.to_string());
            let label = path.display().to_string();
            Ok((path, label))
        })
    }

    /// Maps the parts of a split model, given in their order whatever they are called; a single one is an ordinary
    /// file. `label` names the model in messages.
    ///
    /// # Errors
    /// As [`Gguf::open`], and when there are more or fewer parts than the first one says.
    pub fn open_parts(label: &str, parts: &[PathBuf]) -> Result<Self> {
        let labelled = |path: &Path| format!("{label} ({})", path.display());
        let Some(first) = parts.first() else {
            return Err(Error::invalid(label, "expected a GGUF file, found none"));
        };
        let first = Self::part(map_file(first)?, &labelled(first))?;
        let count = first.split_count()?;
        if count.max(1) != parts.len() as u64 {
            return Err(Error::invalid(
                label,
                format!("split into {} parts, {} given", count.max(1), parts.len()),
            ));
        }
        first.with_parts(count, |number| {
            let path = &parts[number as usize - 1];
            Ok((path.clone(), labelled(path)))
        })
    }

    /// What a file says of itself before its vocabulary, without looking at its tensors: for lists of many files.
    /// At most the first MiB is read; of a file that goes on, what is in it counts.
    ///
    /// # Errors
    /// When the file cannot be read or is no GGUF file.
    pub fn peek(path: &Path) -> Result<Metadata> {
        let bytes = map_file(path)?;
        let label = path.display().to_string();
        let mut cursor = Cursor {
            bytes: &bytes[..bytes.len().min(PEEK_BYTES)],
            at: 0,
            label: &label,
        };
        let (_, pair_count) = header::header(&mut cursor)?;
        let mut metadata = Metadata::default();
        let wanted = |key: &str| !key.starts_with("tokenizer.");
        match metadata::read_pairs(&mut cursor, pair_count, &mut metadata, wanted) {
            Err(error) if bytes.len() <= PEEK_BYTES => Err(error),
            _ => Ok(metadata),
        }
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

    /// Maps parts 2 and up of `count`; `find` gives a part's path and label by its number from 1.
    fn with_parts(
        mut self,
        count: u64,
        find: impl Fn(u32) -> Result<(PathBuf, String)>,
    ) -> Result<Self> {
        if count <= 1 {
            return Ok(self);
        }
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
        for number in 2..=count as u32 {
            let (path, label) = find(number)?;
            let other = Self::part(map_file(&path)?, &label)?;
            other.check_place(u64::from(number) - 1, count)?;
            self.add_tensors(&other.label, other.tensors)?;
        }
        match self.metadata.integer("split.tensors.count") {
            Some(total) if total != self.tensors.len() as u64 => Err(wrong(format!(
                "split.tensors.count is {total}, the parts hold {}",
                self.tensors.len()
            ))),
            _ => Ok(self),
        }
    }

    /// Whether this is part `no` (from 0) of `count`.
    fn check_place(&self, no: u64, count: u64) -> Result<()> {
        let found = ["split.no", "split.count"].map(|key| self.metadata.integer(key));
        if found == [Some(no), Some(count)] {
            return Ok(());
        }
        let [found_no, found_count] =
            found.map(|n| n.map_or_else(|| "nothing".to_owned(), |n| n.to_string()));
        Err(Error::invalid(
            &self.label,
            format!(
                "expected split.no {no} and split.count {count}, found {found_no} and {found_count}"
            ),
        ))
    }
}
