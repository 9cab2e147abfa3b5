//! Models among the files of a folder, with their names: the hub's where owner and repository are known.

use std::{collections::BTreeMap, path::Path};

use super::{
    Files, Found, Place,
    checkpoint::{Checkpoint, checkpoints},
    files::{DEEPEST, Local, Model, models, total, walk},
};
use crate::{
    DEFAULT_HOST, DEFAULT_NAMESPACE, DEFAULT_TAG, Error, Name,
    hub::{CHECKPOINT_TAG, Group, bare, file_name, folder, projector_for, words},
};

/// The host of names of the hub's repositories.
const HUB: &str = "hf.co";
/// What `latest` of a repository certainly is where it is there. Which other file it might be depends on what the
/// repository has, and that only the hub knows.
const CERTAIN_DEFAULT: &str = "Q4_K_M";

/// How a folder's models get their names.
#[derive(Clone, Copy)]
pub(super) enum Naming {
    /// Files are in folders `OWNER/REPOSITORY`.
    OwnerAndRepository,
    /// Files are named as anyone likes.
    File,
}

/// Where files come from.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Source<'a> {
    /// A repository: owner and name.
    Repository(&'a str, &'a str),
    /// Nobody knows.
    Unknown,
}

/// The models below a folder.
pub(super) fn scan(place: &Place, naming: Naming, faults: &mut Vec<Error>) -> Vec<Found> {
    let files = walk(&place.folder, DEEPEST, faults);
    let mut sources: BTreeMap<Source<'_>, Vec<Local>> = BTreeMap::new();
    for file in &files {
        let mut parts = file.below.splitn(3, '/');
        let source = match (naming, parts.next(), parts.next(), parts.next()) {
            (Naming::OwnerAndRepository, Some(owner), Some(repository), Some(_)) => {
                Source::Repository(owner, repository)
            }
            _ => Source::Unknown,
        };
        sources.entry(source).or_default().push(file.clone());
    }
    sources
        .into_iter()
        .flat_map(|(source, files)| named(place, source, &files, faults))
        .collect()
}

/// The models among files of one source, with their names.
pub(super) fn named(
    place: &Place,
    source: Source<'_>,
    files: &[Local],
    faults: &mut Vec<Error>,
) -> Vec<Found> {
    let (models, projectors) = models(files, faults);
    let all: Vec<&Group<Local>> = models.iter().map(|model| &model.group).collect();
    let mut found: Vec<Found> = models
        .iter()
        .map(|model| {
            let beside: Vec<(String, Local)> = projectors
                .iter()
                .filter(|(path, _)| source != Source::Unknown || belongs(path, &model.group, &all))
                .cloned()
                .collect();
            let projector = projector_for(&model.group, &beside);
            let projector = projector.map(|(_, file)| file.path.clone());
            Found {
                projector,
                ..gguf(place, source, model, &all)
            }
        })
        .collect();
    let directories = checkpoints(files, faults);
    found.extend(directories.iter().map(|one| directory(place, source, one)));
    found
}

/// Whether a projector in a folder of many models is this one's: its name is part of the model's, or there is no
/// other model in its folder.
fn belongs(projector: &str, model: &Group<Local>, all: &[&Group<Local>]) -> bool {
    let mut words = words(projector);
    words.retain(|word| word != "mmproj" && word != "model");
    let own = model.words();
    if words.is_empty() {
        let place = folder(projector);
        let mut there = all.iter().filter(|group| group.folder() == place);
        return there.all(|group| group.words() == own);
    }
    words.iter().all(|word| own.contains(word))
}

fn gguf(place: &Place, source: Source<'_>, model: &Model, all: &[&Group<Local>]) -> Found {
    let group = &model.group;
    let (name, aliases) = match source {
        Source::Repository(owner, repository) => hub_names(owner, repository, group, all),
        Source::Unknown => (plain_name(group.stem()), Vec::new()),
    };
    let title = match (&name, source) {
        (Some(name), Source::Repository(..)) => name.to_string(),
        (_, Source::Repository(owner, repository)) => {
            format!("{owner}/{repository}/{}", group.file())
        }
        (_, Source::Unknown) => group.stem().to_owned(),
    };
    Found {
        name,
        title,
        origin: place.origin,
        folder: place.folder.clone(),
        files: Files::Gguf(group.parts.iter().map(|part| part.path.clone()).collect()),
        projector: None,
        architecture: model.architecture.clone(),
        size: total(&group.parts),
        modified: newest(&group.parts.iter().collect::<Vec<_>>()),
        aliases,
    }
}

/// `hf.co/OWNER/REPOSITORY:TAG`: the quantisation where only one model of the repository has it, else the file's
/// name; and other tags that mean the same.
fn hub_names(
    owner: &str,
    repository: &str,
    group: &Group<Local>,
    all: &[&Group<Local>],
) -> (Option<Name>, Vec<Name>) {
    let only = |label: &&str, of: fn(&str) -> &str| {
        let alike = |other: &&&Group<Local>| other.label.as_deref().map(of) == Some(*label);
        all.iter().filter(alike).count() == 1
    };
    let label = group.label.as_deref();
    let exact = label.filter(|label| only(label, |label| label));
    let short = label.map(bare).filter(|label| only(label, bare));
    let default = exact.filter(|label| *label == CERTAIN_DEFAULT);
    let tags = [
        exact,
        Some(group.file()),
        Some(group.stem()),
        short,
        default.map(|_| DEFAULT_TAG),
    ];
    let mut names: Vec<Name> = tags
        .into_iter()
        .flatten()
        .filter_map(|tag| Name::new(HUB, owner, repository, tag).ok())
        .collect();
    if names.is_empty() {
        return (None, names);
    }
    let first = names.remove(0);
    names.retain(|name| *name != first);
    (Some(first), names)
}

fn directory(place: &Place, source: Source<'_>, checkpoint: &Checkpoint<'_>) -> Found {
    let path = checkpoint.config.path.parent().unwrap_or(&place.folder);
    let own = file_name(checkpoint.below);
    let of_path = path.file_name().and_then(|name| name.to_str());
    let own = if own.is_empty() {
        of_path.unwrap_or_default()
    } else {
        own
    };
    let (name, title, alias) = match source {
        Source::Repository(owner, repository) => {
            let tagged = |tag| Name::new(HUB, owner, repository, tag).ok();
            let name = tagged(DEFAULT_TAG);
            let title = name.as_ref().map(Name::to_string);
            let title = title.unwrap_or_else(|| format!("{owner}/{repository}"));
            (name, title, tagged(CHECKPOINT_TAG))
        }
        Source::Unknown => (plain_name(own), own.to_owned(), None),
    };
    Found {
        name,
        title,
        origin: place.origin,
        folder: place.folder.clone(),
        files: Files::Directory(Path::to_owned(path)),
        projector: None,
        architecture: Some(checkpoint.architecture.clone()).filter(|kind| !kind.is_empty()),
        size: total(checkpoint.weights.iter().copied()),
        modified: newest(&checkpoint.weights),
        aliases: alias.into_iter().collect(),
    }
}

/// A name of its own for a file: its stem as the model.
fn plain_name(stem: &str) -> Option<Name> {
    Name::new(DEFAULT_HOST, DEFAULT_NAMESPACE, stem, DEFAULT_TAG).ok()
}

fn newest(files: &[&Local]) -> std::time::SystemTime {
    let times = files.iter().map(|file| file.modified);
    times.max().unwrap_or(std::time::SystemTime::UNIX_EPOCH)
}
