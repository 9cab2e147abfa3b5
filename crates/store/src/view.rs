//! A model's contents under the names that readers of its format expect.

use std::{
    io,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use crate::{Error, Result};

/// A path that opens as a model. Contents of a store have digests for names; where a reader finds the files of a model
/// by their names, the path is a directory of links that goes away with this. What was mapped before stays mapped.
#[derive(Debug)]
pub struct View {
    path: PathBuf,
    _links: Option<TempDir>,
}

impl View {
    /// What [`hearth_format::Checkpoint::open`] takes.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The parts of one GGUF model in their order.
    pub(crate) fn of_gguf(parts: &[PathBuf]) -> Result<Self> {
        if let [whole] = parts {
            return Ok(Self {
                path: whole.clone(),
                _links: None,
            });
        }
        let name = |no: usize| format!("model-{no:05}-of-{:05}.gguf", parts.len());
        let named = parts.iter().enumerate();
        let named = named.map(|(at, part)| (name(at + 1), part.clone()));
        let mut view = Self::of_directory(&named.collect::<Vec<_>>())?;
        view.path.push(name(1));
        Ok(view)
    }

    /// A directory of files by their paths in it, all plain.
    pub(crate) fn of_directory(files: &[(String, PathBuf)]) -> Result<Self> {
        let links = tempfile::Builder::new().prefix("hearth-view-").tempdir();
        let links = links.map_err(|error| Error::io(&std::env::temp_dir(), error))?;
        for (name, file) in files {
            let at = links.path().join(name);
            let made = at.parent().map_or(Ok(()), std::fs::create_dir_all);
            made.and_then(|()| link(&std::path::absolute(file)?, &at))
                .map_err(|error| Error::io(&at, error))?;
        }
        Ok(Self {
            path: links.path().to_owned(),
            _links: Some(links),
        })
    }
}

#[cfg(unix)]
fn link(file: &Path, at: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(file, at)
}

/// Symbolic links need a right that most users lack.
#[cfg(not(unix))]
fn link(file: &Path, at: &Path) -> io::Result<()> {
    std::fs::hard_link(file, at)
}
