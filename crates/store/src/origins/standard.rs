//! Where other programs keep their models.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use super::{Origin, Origins, Place};
use crate::Disk;

/// LM Studio's settings are smaller.
const LARGEST_SETTINGS: u64 = 4 << 20;

impl Origins {
    /// The usual folders of this user, those that variables name before those that are the default, and then `extra`
    /// ones. `env` gives variables; `home` is the user's home.
    pub fn standard(
        env: &dyn Fn(&str) -> Option<OsString>,
        home: &Path,
        extra: &[PathBuf],
    ) -> Self {
        let variable = |name: &str| {
            let value = env(name).filter(|value| !value.is_empty());
            value.map(|value| expand(PathBuf::from(value), home))
        };
        let cache = variable("XDG_CACHE_HOME");
        let below = |base: &Option<PathBuf>, rest: &str| base.as_ref().map(|base| base.join(rest));
        let at_home = |rest: &str| Some(home.join(rest));
        let fixed = |path: &str| Some(PathBuf::from(path));
        let candidates = [
            (Origin::Ollama, variable("OLLAMA_MODELS")),
            (Origin::Ollama, at_home(".ollama/models")),
            (Origin::Ollama, fixed("/usr/share/ollama/.ollama/models")),
            (Origin::Ollama, fixed("/var/lib/ollama/.ollama/models")),
            (Origin::Ollama, fixed("/var/lib/ollama/models")),
            (Origin::Ollama, fixed("/var/lib/ollama")),
            (Origin::HuggingFace, variable("HF_HUB_CACHE")),
            (Origin::HuggingFace, variable("HUGGINGFACE_HUB_CACHE")),
            (Origin::HuggingFace, below(&variable("HF_HOME"), "hub")),
            (Origin::HuggingFace, below(&cache, "huggingface/hub")),
            (Origin::HuggingFace, at_home(".cache/huggingface/hub")),
            (Origin::LlamaCpp, variable("LLAMA_CACHE")),
            (Origin::LlamaCpp, below(&cache, "llama.cpp")),
            (Origin::LlamaCpp, at_home(".cache/llama.cpp")),
            (Origin::LlamaCpp, at_home("Library/Caches/llama.cpp")),
            (Origin::LmStudio, downloads(home, ".lmstudio")),
            (Origin::LmStudio, downloads(home, ".cache/lm-studio")),
            (Origin::LmStudio, at_home(".lmstudio/models")),
            (Origin::LmStudio, at_home(".cache/lm-studio/models")),
        ];
        let usual = candidates.into_iter().filter_map(|(origin, folder)| {
            Some(Place {
                origin,
                folder: folder?,
                expected: false,
            })
        });
        let named = extra.iter().map(|folder| Place {
            origin: Origin::Folder,
            folder: expand(folder.clone(), home),
            expected: true,
        });
        let mut places = Vec::new();
        for place in usual.chain(named) {
            if !places.contains(&place) {
                places.push(place);
            }
        }
        Self { places }
    }
}

/// `~` at the beginning is the home, as a shell would have it.
fn expand(path: PathBuf, home: &Path) -> PathBuf {
    match path.strip_prefix("~") {
        Ok(rest) => home.join(rest),
        Err(_) => path,
    }
}

/// The folder that LM Studio's settings name.
fn downloads(home: &Path, below: &str) -> Option<PathBuf> {
    let settings = home.join(below).join("settings.json");
    // Settings that cannot be read are LM Studio's matter; its usual folders are looked at anyway.
    let bytes = Disk::default().read(&settings, LARGEST_SETTINGS).ok()??;
    let settings: serde_json::Value = serde_json::from_slice(&bytes).ok()?;
    let folder = expand(
        PathBuf::from(settings.get("downloadsFolder")?.as_str()?),
        home,
    );
    Some(folder).filter(|folder| folder.is_absolute())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(env: &[(&str, &str)], home: &Path, extra: &[PathBuf]) -> Vec<String> {
        let get = |name: &str| {
            let found = env.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| OsString::from(value))
        };
        Origins::standard(&get, home, extra)
            .places()
            .map(|(origin, folder)| format!("{origin} {}", folder.display()))
            .collect()
    }

    #[test]
    fn the_usual_folders() {
        let found = shown(&[], Path::new("/home/u"), &[]);
        assert_eq!(
            found,
            [
                "ollama /home/u/.ollama/models",
                "ollama /usr/share/ollama/.ollama/models",
                "ollama /var/lib/ollama/.ollama/models",
                "ollama /var/lib/ollama/models",
                "ollama /var/lib/ollama",
                "huggingface /home/u/.cache/huggingface/hub",
                "llama.cpp /home/u/.cache/llama.cpp",
                "llama.cpp /home/u/Library/Caches/llama.cpp",
                "lmstudio /home/u/.lmstudio/models",
                "lmstudio /home/u/.cache/lm-studio/models",
            ]
        );
    }

    #[test]
    fn variables_settings_and_folders_of_ones_own() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path();
        std::fs::create_dir_all(home.join(".lmstudio")).unwrap();
        std::fs::create_dir_all(home.join(".cache/lm-studio")).unwrap();
        let settings = r#"{"downloadsFolder":"/big/lm","x":1}"#;
        std::fs::write(home.join(".lmstudio/settings.json"), settings).unwrap();
        std::fs::write(home.join(".cache/lm-studio/settings.json"), "[not JSON").unwrap();
        let env = [
            ("OLLAMA_MODELS", "/big/ollama"),
            ("HF_HUB_CACHE", "/a"),
            ("HUGGINGFACE_HUB_CACHE", "/b"),
            ("HF_HOME", "~/hf"),
            ("XDG_CACHE_HOME", "/cache"),
            ("LLAMA_CACHE", ""),
        ];
        let found = shown(&env, home, &[PathBuf::from("~/gguf"), PathBuf::from("/b")]);
        let at = |text: &str| {
            let place = found.iter().position(|line| line == text);
            place.unwrap_or_else(|| panic!("{text} in {found:#?}"))
        };
        let hf = format!("huggingface {}/hf/hub", home.display());
        let order = [
            "ollama /big/ollama",
            "huggingface /a",
            "huggingface /b",
            hf.as_str(),
            "huggingface /cache/huggingface/hub",
            "llama.cpp /cache/llama.cpp",
            "lmstudio /big/lm",
            &format!("folder {}/gguf", home.display()),
            "folder /b",
        ]
        .map(at);
        assert!(order.is_sorted(), "{found:#?}");
        assert!(!found.iter().any(|line| line == "llama.cpp "));
    }
}
