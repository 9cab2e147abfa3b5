//! Which files of a repository a tag means.

use super::{
    Group, Groups, HubFile, Tree, WHOLE, bare, directory,
    label::{Role, file_name, role},
    projector_for,
};
use crate::{DEFAULT_TAG, Error, Result};

/// The index of a checkpoint of several files.
pub const INDEX: &str = "model.safetensors.index.json";
/// The tag that means the safetensors checkpoint of a repository that has GGUF files too.
pub(crate) const CHECKPOINT_TAG: &str = "safetensors";
/// A message lists no more tags.
const MOST_SHOWN: usize = 40;

/// What `latest` means, the first that is there. The first two are what llama.cpp and the hub's own registry take;
/// where neither is there they take whatever comes first, which may be a file of 16 bits. Here 4 bits come first, then
/// more, then fewer. `UD-` variants count as what they are variants of, after it.
const PREFERRED: &[&str] = &[
    "Q4_K_M",
    "Q8_0",
    "Q4_K_XL",
    "Q4_K_L",
    "Q4_K_S",
    "Q4_K",
    "IQ4_NL",
    "IQ4_XS",
    "MXFP4_MOE",
    "MXFP4",
    "NVFP4",
    "Q4_1",
    "Q4_0",
    "Q4",
    "Q5_K_M",
    "Q5_K_XL",
    "Q5_K_L",
    "Q5_K_S",
    "Q5_K",
    "Q5_1",
    "Q5_0",
    "Q6_K",
    "Q6_K_XL",
    "Q6_K_L",
    "Q8_K_XL",
    "Q8",
    "Q3_K_XL",
    "Q3_K_L",
    "Q3_K_M",
    "IQ3_M",
    "Q3_K_S",
    "IQ3_S",
    "IQ3_XS",
    "IQ3_XXS",
    "Q2_K_XL",
    "Q2_K_L",
    "Q2_K",
    "IQ2_M",
    "BF16",
    "F16",
    "FP16",
];

/// The files of a model in a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// What to fetch: of a GGUF model its parts in their order, of a checkpoint its files.
    pub files: Vec<HubFile>,
    /// What it is.
    pub kind: ChoiceKind,
    /// The projector beside a GGUF model that sees or hears.
    pub projector: Option<HubFile>,
}

/// What a [`Choice`] is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChoiceKind {
    /// A GGUF model; the tag is the quantisation where the name says one, else the file's name.
    Gguf {
        /// What exactly was chosen, whatever was asked for.
        tag: String,
    },
    /// A checkpoint directory of safetensors files.
    Directory,
}

impl Tree {
    /// The index whose content [`Tree::choose`] needs for this tag, if it needs one.
    pub fn index_for(&self, tag: &str) -> Option<&HubFile> {
        let needed = self.means_checkpoint(tag) && self.get(WHOLE).is_none();
        self.get(INDEX).filter(|_| needed)
    }

    fn means_checkpoint(&self, tag: &str) -> bool {
        let is_model = |file: &HubFile| role(&file.path) == Some(Role::Model);
        tag.eq_ignore_ascii_case(CHECKPOINT_TAG)
            || (tag.eq_ignore_ascii_case(DEFAULT_TAG) && !self.files().any(is_model))
    }

    /// The files that `tag` means in this repository, which `repository` names in messages. A tag is a quantisation
    /// or a file's name, whatever the case; `latest` is the first of a list, and the safetensors checkpoint where
    /// there is no GGUF file. A tag that was written never falls back to another. `index` is the content of the file
    /// [`INDEX`] where [`Tree::index_for`] asks for it; without it all `model*.safetensors` are taken.
    ///
    /// # Errors
    /// When the tag means nothing, several models, or a model that is not complete; the message has what there is.
    pub fn choose(&self, repository: &str, tag: &str, index: Option<&[u8]>) -> Result<Choice> {
        if self.means_checkpoint(tag) {
            return Ok(Choice {
                files: directory::files(self, repository, index)?,
                kind: ChoiceKind::Directory,
                projector: None,
            });
        }
        let groups = Groups::of(self.files().map(|file| (file.path.clone(), file)));
        let candidates = if tag.eq_ignore_ascii_case(DEFAULT_TAG) {
            preferred(&groups.models)
        } else {
            meant(&groups.models, tag)
        };
        let chosen = one_of(candidates, repository)?
            .ok_or_else(|| unknown_tag(self, &groups.models, repository, tag))?;
        if let Some(fault) = &chosen.fault {
            return Err(Error::invalid(
                format!("{repository}, {}", chosen.path),
                fault.clone(),
            ));
        }
        let projector = projector_for(chosen, &groups.projectors);
        Ok(Choice {
            files: chosen.parts.iter().copied().cloned().collect(),
            kind: ChoiceKind::Gguf {
                tag: tag_of(chosen),
            },
            projector: projector.map(|(_, file)| (*file).clone()),
        })
    }
}

/// What to call a group where it is the only one of its quantisation.
fn tag_of<T>(group: &Group<T>) -> String {
    group
        .label
        .clone()
        .unwrap_or_else(|| group.file().to_owned())
}

/// Groups that `latest` may mean.
fn preferred<T>(groups: &[Group<T>]) -> Vec<&Group<T>> {
    let labelled = |wanted: &str, exact: bool| {
        let is = |group: &&Group<T>| {
            let label = group.label.as_deref();
            label == Some(wanted) || (!exact && label.map(bare) == Some(wanted))
        };
        groups.iter().filter(is).collect::<Vec<_>>()
    };
    PREFERRED
        .iter()
        .flat_map(|wanted| [labelled(wanted, true), labelled(wanted, false)])
        .find(|found| !found.is_empty())
        .unwrap_or_else(|| groups.iter().collect())
}

/// Groups that a written tag means: those of the closest kind of match that there is.
fn meant<'a, T>(groups: &'a [Group<T>], tag: &str) -> Vec<&'a Group<T>> {
    let closest = groups.iter().filter_map(|group| distance(group, tag)).min();
    let is_closest = |group: &&Group<T>| closest.is_some() && distance(group, tag) == closest;
    groups.iter().filter(is_closest).collect()
}

/// How far a tag is from meaning a group: 0 its name, 1 its quantisation, 2 the same without `UD-`, 3 a word of its
/// path; nothing where it does not mean it at all.
fn distance<T>(group: &Group<T>, tag: &str) -> Option<usize> {
    let same = |text: &str| text.eq_ignore_ascii_case(tag);
    let label = group.label.as_deref();
    let extension = group.file().len() - group.stem().len();
    let path_stem = &group.path[..group.path.len() - extension];
    let names = [&group.path, path_stem, group.file(), group.stem()];
    [
        names.into_iter().any(same),
        label.is_some_and(same),
        label.map(bare).is_some_and(same),
        has_word(&group.path, tag),
    ]
    .iter()
    .position(|fits| *fits)
}

/// Whether a path has the tag between separators: llama.cpp's rule, with a boundary on both sides, so that `Q4_XS`
/// does not mean `IQ4_XS`.
fn has_word(path: &str, tag: &str) -> bool {
    let (path, tag) = (path.to_ascii_lowercase(), tag.to_ascii_lowercase());
    !tag.is_empty()
        && path.match_indices(&tag).any(|(at, _)| {
            let before = path[..at].chars().next_back();
            let after = path[at + tag.len()..].chars().next();
            before.is_none_or(|c| "-._/".contains(c)) && after.is_some_and(|c| "-./".contains(c))
        })
}

/// The plainest of the candidates, if they are all the same model: complete, at the top, of the shortest name.
fn one_of<'a, T>(candidates: Vec<&'a Group<T>>, repository: &str) -> Result<Option<&'a Group<T>>> {
    let plainness = |group: &&&Group<T>| {
        let depth = group.path.matches('/').count();
        (group.fault.is_some(), depth, group.stem().len())
    };
    let Some(plainest) = candidates.iter().min_by_key(plainness).copied() else {
        return Ok(None);
    };
    let words = plainest.words();
    let other_model = |group: &&Group<T>| {
        let theirs = group.words();
        !words.iter().all(|word| theirs.contains(word))
    };
    if candidates.iter().any(other_model) {
        let files = candidates.iter().map(|group| group.file().to_owned());
        return Err(Error::invalid(
            repository,
            format!(
                "several models fit: give a file's name as the tag, one of {}",
                shown(files.collect())
            ),
        ));
    }
    Ok(Some(plainest))
}

fn unknown_tag<T>(tree: &Tree, groups: &[Group<T>], repository: &str, tag: &str) -> Error {
    let cut = tree.files().find(|file| {
        let name = file_name(&file.path).to_ascii_lowercase();
        name.contains(".gguf.part") || name.contains(".gguf-split-")
    });
    let why = match (groups, cut) {
        ([], Some(file)) => format!(
            "its GGUF files are cut into pieces such as {}, which have to be joined by hand",
            file.path
        ),
        ([], None) => format!(
            "there are no GGUF files, so there is no '{tag}'; leave the tag out for its safetensors checkpoint"
        ),
        _ => format!(
            "there is no '{tag}'; there are {}",
            shown(groups.iter().map(tag_of).collect())
        ),
    };
    Error::invalid(repository, why)
}

/// The tags, each once, as many as a message can hold.
fn shown(mut tags: Vec<String>) -> String {
    tags.sort_unstable();
    tags.dedup();
    let more = tags.len().saturating_sub(MOST_SHOWN);
    tags.truncate(MOST_SHOWN);
    let listed = tags.join(", ");
    if more > 0 {
        format!("{listed} and {more} more")
    } else {
        listed
    }
}
