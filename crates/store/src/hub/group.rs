//! GGUF files of a repository or a folder as models: parts together, projectors apart.

use std::collections::BTreeMap;

use hearth_format::PartName;

use super::label::{Role, bits, file_name, folder, label, role, stem};

/// A GGUF model: one file, or the parts of a split in their order.
#[derive(Clone, Debug)]
pub(crate) struct Group<T> {
    /// The path of the first part.
    pub(crate) path: String,
    /// The quantisation that the name says.
    pub(crate) label: Option<String>,
    /// The files in their order.
    pub(crate) parts: Vec<T>,
    /// What is missing.
    pub(crate) fault: Option<String>,
}

/// The GGUF files of a repository or folder.
#[derive(Debug)]
pub(crate) struct Groups<T> {
    /// In the order of their paths.
    pub(crate) models: Vec<Group<T>>,
    /// Vision and audio projectors with their paths.
    pub(crate) projectors: Vec<(String, T)>,
}

impl<T> Groups<T> {
    /// Sorts files with their paths (parts joined by `/`); those that are no models are left out.
    pub(crate) fn of(files: impl IntoIterator<Item = (String, T)>) -> Self {
        let mut sets: BTreeMap<_, Vec<Part<T>>> = BTreeMap::new();
        let mut projectors = Vec::new();
        for (path, file) in files {
            match role(&path) {
                Some(Role::Projector) => projectors.push((path, file)),
                Some(Role::Model) => {
                    let part = Part::of(path, file);
                    sets.entry(part.set()).or_default().push(part);
                }
                Some(Role::Sidecar) | None => {}
            }
        }
        projectors.sort_by(|a, b| a.0.cmp(&b.0));
        let models = sets.into_values().map(model).collect();
        Self { models, projectors }
    }
}

/// A file of a model; a whole one is the only part.
struct Part<T> {
    path: String,
    number: u32,
    count: u32,
    file: T,
}

impl<T> Part<T> {
    fn of(path: String, file: T) -> Self {
        let part = PartName::parse(file_name(&path));
        let (number, count) = part.map_or((1, 1), |part| (part.number, part.count));
        Self {
            path,
            number,
            count,
            file,
        }
    }

    /// What the parts of one model have in common: the folder, what their names begin with, and how many they are, 0
    /// for a file that is no part.
    fn set(&self) -> (String, String, u32) {
        let file = file_name(&self.path);
        let (start, count) =
            PartName::parse(file).map_or((file, 0), |part| (part.prefix, part.count));
        (folder(&self.path).to_owned(), start.to_owned(), count)
    }
}

fn model<T>(mut parts: Vec<Part<T>>) -> Group<T> {
    parts.sort_by(|a, b| (a.number, &a.path).cmp(&(b.number, &b.path)));
    let fault = missing(
        parts[0].count,
        parts.iter().map(|part| part.number).collect(),
    );
    let path = parts[0].path.clone();
    Group {
        label: label(&path),
        path,
        parts: parts.into_iter().map(|part| part.file).collect(),
        fault,
    }
}

/// Which of the parts 1 to `count` are not among `numbers` (sorted), or that some are not of this split.
fn missing(count: u32, numbers: Vec<u32>) -> Option<String> {
    if numbers.iter().copied().eq(1..=count) {
        return None;
    }
    let gap = |number: &u32| numbers.binary_search(number).is_err();
    let Some(first) = (1..=count).find(gap) else {
        return Some(format!("more than {count} parts of {count}"));
    };
    let have = numbers.iter().filter(|number| **number <= count).count();
    Some(format!(
        "incomplete: {have} of {count} parts are there, part {first} is missing"
    ))
}

impl<T> Group<T> {
    /// The first part's file name.
    pub(crate) fn file(&self) -> &str {
        file_name(&self.path)
    }

    /// The file name without extension and part number.
    pub(crate) fn stem(&self) -> &str {
        stem(self.file())
    }

    /// The folder, empty at the top.
    pub(crate) fn folder(&self) -> &str {
        folder(&self.path)
    }

    /// Its name's words ([`words`]).
    pub(crate) fn words(&self) -> Vec<String> {
        words(&self.path)
    }
}

/// The words of a GGUF file's name without the quantisation, in small letters: what tells one model from another.
pub(crate) fn words(path: &str) -> Vec<String> {
    let mut name = stem(file_name(path)).to_ascii_lowercase();
    if let Some(label) = label(path) {
        let label = label.to_ascii_lowercase();
        if let Some(at) = name.rfind(&label) {
            name.replace_range(at..at + label.len(), "");
        }
    }
    let words = name.split(['-', '.', '_']).filter(|word| !word.is_empty());
    words.map(str::to_owned).collect()
}

/// The projector for a model: in its folder or one above; the deepest, then one whose name has the model's label,
/// then the one of the closest number of bits, then the first.
pub(crate) fn projector_for<'a, T, U>(
    model: &Group<U>,
    projectors: &'a [(String, T)],
) -> Option<&'a (String, T)> {
    let beside = |path: &str| {
        let place = folder(path);
        let rest = model.folder().strip_prefix(place);
        place.is_empty() || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let wanted = model.label.as_deref().unwrap_or_default();
    let distance = |path: &str| {
        let both = label(path).and_then(|label| Some((bits(&label)?, bits(wanted)?)));
        both.map_or(i32::MAX, |(a, b)| (a - b).abs())
    };
    projectors
        .iter()
        .filter(|(path, _)| beside(path))
        .min_by_key(|(path, _)| {
            let depth = folder(path).len();
            let same = label(path).is_some_and(|label| label == wanted);
            (std::cmp::Reverse(depth), !same, distance(path))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups(paths: &[&str]) -> Groups<()> {
        Groups::of(paths.iter().map(|path| ((*path).to_owned(), ())))
    }

    #[test]
    fn parts_are_put_together_and_counted() {
        let found = groups(&[
            "m-Q8_0-00002-of-00002.gguf",
            "m-Q8_0-00001-of-00002.gguf",
            "m-Q4_0.gguf",
            "m-Q4_0-00001-of-00001.gguf",
            "b/m-F16-00001-of-00003.gguf",
            "b/m-F16-00003-of-00003.gguf",
            "b/m-F16-00001-of-00002.gguf",
            "x-00003-of-00002.gguf",
            "mmproj-F16.gguf",
            "m.imatrix.gguf",
        ]);
        let shown: Vec<_> = found
            .models
            .iter()
            .map(|group| {
                (
                    group.path.as_str(),
                    group.parts.len(),
                    group.fault.as_deref(),
                )
            })
            .collect();
        let part = |have, count, first| {
            format!("incomplete: {have} of {count} parts are there, part {first} is missing")
        };
        let (f2, f3, x) = (part(1, 2, 2), part(2, 3, 2), part(0, 2, 1));
        assert_eq!(
            shown,
            [
                ("m-Q4_0-00001-of-00001.gguf", 1, None),
                ("m-Q4_0.gguf", 1, None),
                ("m-Q8_0-00001-of-00002.gguf", 2, None),
                ("x-00003-of-00002.gguf", 1, Some(x.as_str())),
                ("b/m-F16-00001-of-00002.gguf", 1, Some(f2.as_str())),
                ("b/m-F16-00001-of-00003.gguf", 2, Some(f3.as_str())),
            ]
        );
        assert_eq!(found.projectors.len(), 1);
        let alike = groups(&["x.gguf", "x.gguf-00001-of-00001.gguf"]);
        assert_eq!(alike.models.len(), 2);
        let twice = groups(&["m-00001-of-00001.gguf", "m-00001-of-00001.GGUF"]);
        assert!(twice.models[0].fault.is_some());
    }

    #[test]
    fn a_projector_is_the_closest_one() {
        for (model, projectors, want) in [
            (
                "m-Q4_K_M.gguf",
                &["mmproj-F32.gguf", "mmproj-F16.gguf"][..],
                Some("mmproj-F16.gguf"),
            ),
            (
                "m-F32.gguf",
                &["mmproj-F16.gguf", "mmproj-F32.gguf"],
                Some("mmproj-F32.gguf"),
            ),
            (
                "a/m-Q8_0.gguf",
                &["mmproj-Q8_0.gguf", "a/mmproj-F16.gguf"],
                Some("a/mmproj-F16.gguf"),
            ),
            ("a/b/m-Q8_0.gguf", &["mmproj.gguf"], Some("mmproj.gguf")),
            ("a/m-Q8_0.gguf", &["b/mmproj.gguf", "ab/mmproj.gguf"], None),
            ("ab/m-Q8_0.gguf", &["a/mmproj.gguf"], None),
            ("m-Q8_0.gguf", &[], None),
        ] {
            let models = groups(&[model]).models;
            let found = groups(projectors).projectors;
            let chosen = projector_for(&models[0], &found).map(|(path, ())| path.as_str());
            assert_eq!(chosen, want, "{model}");
        }
    }
}
