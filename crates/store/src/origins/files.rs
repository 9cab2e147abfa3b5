//! Files below a folder, and the GGUF models among them.

use std::{
    collections::HashSet,
    fs, io,
    path::{Path, PathBuf},
    time::SystemTime,
};

use hearth_format::Gguf;

use super::{canonical, unreadable};
use crate::{
    Error,
    hub::{Group, Groups, file_name},
};

/// Folders in folders are looked at this deep.
pub(super) const DEEPEST: usize = 6;
/// A folder with more entries is not looked at to its end.
const MOST_ENTRIES: usize = 100_000;
/// Names with one of these at the end, and files that such a name stands beside, are downloads in progress.
const UNFINISHED: &[&str] = &[
    ".incomplete",
    ".downloadInProgress",
    ".part",
    ".partial",
    "-partial",
    ".crdownload",
    ".aria2",
    ".tmp",
];

/// A regular file.
#[derive(Clone, Debug)]
pub(super) struct Local {
    /// The path below the folder that was walked, its parts joined by `/`.
    pub(super) below: String,
    pub(super) path: PathBuf,
    pub(super) size: u64,
    pub(super) modified: SystemTime,
}

/// The regular files below a folder: `depth` folders deep, each real folder once, hidden ones never, without what is
/// still being downloaded.
pub(super) fn walk(root: &Path, depth: usize, faults: &mut Vec<Error>) -> Vec<Local> {
    let mut walk = Walk {
        files: Vec::new(),
        seen: HashSet::new(),
        left: MOST_ENTRIES,
        cut: false,
        faults,
    };
    walk.folder(root, "", depth);
    if walk.cut {
        let why =
            format!("more than {MOST_ENTRIES} entries; what comes after them is not looked at");
        walk.faults
            .push(Error::invalid(root.display().to_string(), why));
    }
    let mut files = walk.files;
    files.sort_by(|a, b| a.below.cmp(&b.below));
    without_unfinished(files)
}

struct Walk<'a> {
    files: Vec<Local>,
    seen: HashSet<PathBuf>,
    left: usize,
    cut: bool,
    faults: &'a mut Vec<Error>,
}

impl Walk<'_> {
    fn folder(&mut self, folder: &Path, below: &str, depth: usize) {
        if !self.seen.insert(canonical(folder)) {
            return;
        }
        let entries = match fs::read_dir(folder).and_then(Iterator::collect::<io::Result<Vec<_>>>) {
            Ok(entries) => entries,
            Err(error) => return self.faults.push(unreadable::fault(folder, error)),
        };
        let mut paths: Vec<PathBuf> = entries.iter().map(fs::DirEntry::path).collect();
        paths.sort_unstable();
        for path in paths {
            // A name that is no UTF-8 is no model's.
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
                continue;
            };
            let Some(left) = self.left.checked_sub(1) else {
                self.cut = true;
                return;
            };
            self.left = left;
            if !name.starts_with('.') {
                let below = if below.is_empty() {
                    name.to_owned()
                } else {
                    format!("{below}/{name}")
                };
                self.entry(&path, below, depth);
            }
        }
    }

    fn entry(&mut self, path: &Path, below: String, depth: usize) {
        match fs::metadata(path) {
            Ok(meta) if meta.is_dir() && depth > 0 => self.folder(path, &below, depth - 1),
            Ok(meta) if meta.is_file() => self.files.push(Local {
                below,
                path: path.to_owned(),
                size: meta.len(),
                modified: meta.modified().unwrap_or(SystemTime::UNIX_EPOCH),
            }),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if below.to_ascii_lowercase().ends_with(".gguf") {
                    let why = "a link to a file that is not there any more";
                    self.faults
                        .push(Error::invalid(path.display().to_string(), why));
                }
            }
            Err(error) => self.faults.push(unreadable::fault(path, error)),
        }
    }
}

/// The files that are not being downloaded. They are sorted by `below`.
fn without_unfinished(files: Vec<Local>) -> Vec<Local> {
    let is_there = |below: &str| {
        files
            .binary_search_by(|file| file.below.as_str().cmp(below))
            .is_ok()
    };
    let keep: Vec<bool> = files
        .iter()
        .map(|file| {
            UNFINISHED
                .iter()
                .all(|end| !file.below.ends_with(end) && !is_there(&format!("{}{end}", file.below)))
        })
        .collect();
    let kept = files.into_iter().zip(keep).filter(|(_, keep)| *keep);
    kept.map(|(file, _)| file).collect()
}

/// Bytes of files.
pub(super) fn total<'a>(files: impl IntoIterator<Item = &'a Local>) -> u64 {
    // A sparse file may claim any size.
    let sizes = files.into_iter().map(|file| file.size);
    sizes.fold(0, u64::saturating_add)
}

/// A complete GGUF model.
pub(super) struct Model {
    pub(super) group: Group<Local>,
    pub(super) architecture: Option<String>,
}

/// The GGUF models among files, and projectors with their paths below. What a file says of itself counts more than
/// its name; adapters and importance data are no models.
pub(super) fn models(
    files: &[Local],
    faults: &mut Vec<Error>,
) -> (Vec<Model>, Vec<(String, Local)>) {
    let groups = Groups::of(files.iter().map(|file| (file.below.clone(), file.clone())));
    let mut projectors = groups.projectors;
    let mut models = Vec::new();
    for group in groups.models {
        let first = &group.parts[0];
        match nature(&group) {
            Ok(Nature::Model(architecture)) => models.push(Model {
                group,
                architecture,
            }),
            Ok(Nature::Projector) => projectors.push((group.path.clone(), first.clone())),
            Ok(Nature::Other) => {}
            Err(error) => faults.push(error),
        }
    }
    (models, projectors)
}

enum Nature {
    Model(Option<String>),
    Projector,
    Other,
}

fn nature(group: &Group<Local>) -> Result<Nature, Error> {
    let first = &group.parts[0];
    let wrong = |why: String| Err(Error::invalid(first.path.display().to_string(), why));
    if let Some(fault) = &group.fault {
        return wrong(fault.clone());
    }
    let metadata = Gguf::peek(&first.path)?;
    let architecture = metadata.string("general.architecture").map(str::to_owned);
    let kind = metadata.string("general.type").unwrap_or("model");
    if kind == "mmproj" || architecture.as_deref() == Some("clip") {
        return Ok(Nature::Projector);
    }
    if kind != "model" {
        return Ok(Nature::Other);
    }
    let parts = metadata.integer("split.count").unwrap_or(1).max(1);
    if parts != group.parts.len() as u64 {
        return wrong(format!(
            "{} is one of {parts} parts of a split model, and the others are not beside it under their names",
            file_name(&first.below)
        ));
    }
    Ok(Nature::Model(architecture))
}
