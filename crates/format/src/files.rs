//! Where the files of a model directory are: in a directory, or anywhere by a list.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use crate::{Error, Result};

/// The files of a model by their paths inside it.
#[derive(Debug)]
pub(crate) struct Files {
    label: String,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Directory(PathBuf),
    /// Names are keys here and never become paths.
    List(BTreeMap<String, PathBuf>),
}

impl Files {
    /// The files of a directory.
    pub(crate) fn of_directory(directory: &Path) -> Self {
        Self {
            label: directory.display().to_string(),
            place: Place::Directory(directory.to_owned()),
        }
    }

    /// Files that lie anywhere; `label` names the model in messages.
    ///
    /// # Errors
    /// When two have the same name.
    pub(crate) fn of_list(label: &str, files: Vec<(String, PathBuf)>) -> Result<Self> {
        let mut list = BTreeMap::new();
        for (name, path) in files {
            if list.contains_key(&name) {
                return Err(Error::invalid(label, format!("'{name}' is given twice")));
            }
            list.insert(name, path);
        }
        Ok(Self {
            label: label.to_owned(),
            place: Place::List(list),
        })
    }

    /// What to call the model in messages.
    pub(crate) fn label(&self) -> &str {
        &self.label
    }

    /// What to call a file in messages.
    pub(crate) fn label_of(&self, name: &str) -> String {
        match &self.place {
            Place::Directory(directory) => directory.join(name).display().to_string(),
            Place::List(_) => format!("{}: {name}", self.label),
        }
    }

    /// The file of a name, or nothing where there is none. A file that was listed may still be missing.
    pub(crate) fn find(&self, name: &str) -> Option<PathBuf> {
        match &self.place {
            Place::Directory(directory) => Some(directory.join(name)).filter(|path| path.exists()),
            Place::List(list) => list.get(name).cloned(),
        }
    }

    /// The file of a name, to be opened: that also tells why one in a directory cannot be.
    ///
    /// # Errors
    /// When the list has none.
    pub(crate) fn get(&self, name: &str) -> Result<PathBuf> {
        match &self.place {
            Place::Directory(directory) => Ok(directory.join(name)),
            Place::List(list) => list.get(name).cloned().ok_or_else(|| {
                let problem = format!("expected '{name}' among the model's files, found none");
                Error::invalid(&self.label, problem)
            }),
        }
    }

    /// The names: of a directory those directly in it that are UTF-8 (others are no file of a model).
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub(crate) fn names(&self) -> Result<Vec<String>> {
        match &self.place {
            Place::Directory(directory) => names_in(directory),
            Place::List(list) => Ok(list.keys().cloned().collect()),
        }
    }

    /// Whether the files were chosen one by one, so that all of them belong to the model.
    pub(crate) fn are_chosen(&self) -> bool {
        matches!(self.place, Place::List(_))
    }
}

fn names_in(directory: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(directory).map_err(|e| Error::io(directory, e))?;
    let mut names = entries
        .map(|entry| Ok(entry?.file_name().into_string().ok()))
        .filter_map(|name: std::io::Result<_>| name.transpose())
        .collect::<std::io::Result<Vec<_>>>()
        .map_err(|e| Error::io(directory, e))?;
    names.sort_unstable();
    Ok(names)
}
