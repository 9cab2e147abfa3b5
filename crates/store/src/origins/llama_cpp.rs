//! llama.cpp's cache: the hub's layout in newer releases, and plain files `OWNER_REPOSITORY_FILE.gguf` in older ones.

use std::collections::BTreeMap;

use super::{
    Found, Place,
    files::{Local, walk},
    hub_cache,
    repository::{Source, named},
};
use crate::{Disk, Error};

/// What is beside a file is a few hundred bytes; manifests are a few thousand.
const LARGEST_NOTE: u64 = 1 << 20;

/// The models of both layouts.
pub(super) fn scan(place: &Place, faults: &mut Vec<Error>) -> Vec<Found> {
    let mut found = hub_cache::scan(place, faults);
    // Folders are of the other layout.
    let files = walk(&place.folder, 0, faults);
    let manifests: Vec<(String, String)> = files
        .iter()
        .filter_map(|file| repository_of_manifest(&file.below))
        .collect();
    let mut repositories: BTreeMap<Option<(String, String)>, Vec<Local>> = BTreeMap::new();
    for file in &files {
        let repository = repository(file, &manifests);
        let mut file = file.clone();
        if let Some((owner, name)) = &repository {
            let prefix = format!("{owner}_{name}_");
            let rest = file.below.strip_prefix(&prefix).map(str::to_owned);
            file.below = rest.unwrap_or(file.below);
        }
        repositories.entry(repository).or_default().push(file);
    }
    for (repository, files) in &repositories {
        let source = match repository {
            Some((owner, name)) => Source::Repository(owner, name),
            None => Source::Unknown,
        };
        found.extend(named(place, source, files, faults));
    }
    found
}

/// `manifest=OWNER=REPOSITORY=TAG.json`.
fn repository_of_manifest(file: &str) -> Option<(String, String)> {
    let rest = file.strip_prefix("manifest=")?.strip_suffix(".json")?;
    let mut parts = rest.splitn(3, '=');
    let (owner, name) = (parts.next()?, parts.next()?);
    parts.next()?;
    Some((owner.to_owned(), name.to_owned()))
}

/// Whose a file is: by the address in the note beside it, by a manifest, or by a name that has the repository's twice.
fn repository(file: &Local, manifests: &[(String, String)]) -> Option<(String, String)> {
    let of_manifest = || {
        let begins =
            |(owner, name): &&(String, String)| file.below.starts_with(&format!("{owner}_{name}_"));
        manifests.iter().find(begins).cloned()
    };
    if !file.below.to_ascii_lowercase().ends_with(".gguf") {
        return None;
    }
    of_address(file)
        .or_else(of_manifest)
        .or_else(|| of_name(&file.below))
}

/// The note `FILE.gguf.json` has the address: `https://HOST/OWNER/REPOSITORY/resolve/REVISION/FILE`.
fn of_address(file: &Local) -> Option<(String, String)> {
    let mut note = file.path.clone().into_os_string();
    note.push(".json");
    // A note that cannot be read only costs the name.
    let bytes = Disk::default().read(note.as_ref(), LARGEST_NOTE).ok()??;
    let note: serde_json::Value = serde_json::from_slice(&bytes).ok()?;
    let (before, _) = note.get("url")?.as_str()?.split_once("/resolve/")?;
    let mut parts = before.rsplit('/');
    let (name, owner) = (parts.next()?, parts.next()?);
    Some((owner.to_owned(), name.to_owned()))
}

/// `OWNER_REPOSITORY_FILE` where the repository is called like the file, perhaps with `-GGUF` at its end.
fn of_name(file: &str) -> Option<(String, String)> {
    let (owner, rest) = file.split_once('_')?;
    let (name, _) = rest
        .rmatch_indices('_')
        .map(|(at, _)| (&rest[..at], &rest[at + 1..]))
        .find(|(name, file)| {
            let (name, file) = (name.to_ascii_lowercase(), file.to_ascii_lowercase());
            let base = name.strip_suffix("-gguf").unwrap_or(&name);
            !base.is_empty() && file.starts_with(base)
        })?;
    Some((owner.to_owned(), name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repositories_in_names_of_files() {
        for (file, want) in [
            (
                "ggml-org_gemma-3-4b-it-GGUF_gemma-3-4b-it-Q4_K_M.gguf",
                Some(("ggml-org", "gemma-3-4b-it-GGUF")),
            ),
            (
                "bartowski_Qwen_Qwen3-8B-GGUF_Qwen_Qwen3-8B-Q4_K_M.gguf",
                Some(("bartowski", "Qwen_Qwen3-8B-GGUF")),
            ),
            (
                "Qwen_Qwen2.5-7B-Instruct-GGUF_qwen2.5-7b-instruct-q4_k_m-00001-of-00002.gguf",
                Some(("Qwen", "Qwen2.5-7B-Instruct-GGUF")),
            ),
            ("a_b_c.gguf", None),
            ("model.gguf", None),
            ("__.gguf", None),
            ("a_-GGUF_x.gguf", None),
        ] {
            let found = of_name(file);
            let found = found
                .as_ref()
                .map(|(owner, name)| (owner.as_str(), name.as_str()));
            assert_eq!(found, want, "{file}");
        }
        for (file, want) in [
            ("manifest=o=r=latest.json", Some(("o", "r"))),
            ("manifest=o=r.json", None),
            ("manifest=o=r=t", None),
        ] {
            let found = repository_of_manifest(file);
            let found = found
                .as_ref()
                .map(|(owner, name)| (owner.as_str(), name.as_str()));
            assert_eq!(found, want, "{file}");
        }
    }
}
