//! What the name of a GGUF file says: whether it is a model, and how it is quantised.

use hearth_format::PartName;

/// What a GGUF file is for, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Weights of a language model, or a part of them.
    Model,
    /// A vision or audio projector.
    Projector,
    /// Importance data, or a draft model that only works beside its model.
    Sidecar,
}

/// Names that do not contain a digit of bits after `Q`.
const PLAIN: &[&str] = &[
    "BF16",
    "F16",
    "FP16",
    "F32",
    "FP32",
    "F64",
    "FP8",
    "MXFP4",
    "MXFP4_MOE",
    "NVFP4",
];

/// What a file is for; nothing where it is no GGUF file.
pub(crate) fn role(path: &str) -> Option<Role> {
    let name = file_name(path).to_ascii_lowercase();
    if !name.ends_with(".gguf") || name.starts_with('.') {
        return None;
    }
    let draft = ["mtp-", "eagle3-", "dflash-", "dspark-"];
    Some(if name.contains("mmproj") {
        Role::Projector
    } else if name.contains("imatrix") || draft.iter().any(|start| name.starts_with(start)) {
        Role::Sidecar
    } else {
        Role::Model
    })
}

/// The last part of a path.
pub(crate) fn file_name(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}

/// What is before the last part of a path, without the slash.
pub(crate) fn folder(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// A GGUF file's name without its extension and without what makes it a part of a split.
pub(crate) fn stem(file: &str) -> &str {
    match PartName::parse(file) {
        Some(part) => part.prefix,
        None => match file.len().checked_sub(5) {
            Some(at) if file.is_char_boundary(at) && file[at..].eq_ignore_ascii_case(".gguf") => {
                &file[..at]
            }
            _ => file,
        },
    }
}

/// The quantisation that a path names, in capitals: the last one in the file's name, else the one of its folder.
/// `UD-` (Unsloth's dynamic mixtures) belongs to it.
pub(crate) fn label(path: &str) -> Option<String> {
    let of_folder = || label_in(file_name(folder(path)));
    label_in(stem(file_name(path))).or_else(of_folder)
}

fn label_in(text: &str) -> Option<String> {
    let upper = text.to_ascii_uppercase();
    let tokens: Vec<&str> = upper.split(['-', '.']).collect();
    let (at, found) = tokens
        .iter()
        .enumerate()
        .rev()
        .find_map(|(at, token)| Some((at, quantisation(token)?)))?;
    let dynamic = at > 0 && tokens[at - 1] == "UD";
    Some(if dynamic {
        format!("UD-{found}")
    } else {
        found.to_owned()
    })
}

/// The quantisation at the end of a token, which begins with it or has it after an underscore.
fn quantisation(token: &str) -> Option<&str> {
    let after_underscores = token.match_indices('_').map(|(at, _)| &token[at + 1..]);
    std::iter::once(token)
        .chain(after_underscores)
        .find(|text| is_quantisation(text))
}

/// `Q4_K_M`, `IQ2_XXS`, `TQ1_0`, `Q4`, `F16`, `MXFP4_MOE`, ...
fn is_quantisation(text: &str) -> bool {
    let digits = ["IQ", "TQ", "Q"]
        .iter()
        .find_map(|start| text.strip_prefix(start));
    let of_bits = digits.is_some_and(|rest| {
        let (bits, rest) = rest.split_at_checked(1).unwrap_or(("", ""));
        let variant = rest.is_empty() || rest.strip_prefix('_').is_some_and(is_variant);
        matches!(bits, "1" | "2" | "3" | "4" | "5" | "6" | "8") && variant
    });
    of_bits || PLAIN.contains(&text)
}

/// `K_M`, `0`, `0_4_8`, `XXS`.
fn is_variant(text: &str) -> bool {
    let short = |part: &str| {
        (1..=3).contains(&part.len()) && part.bytes().all(|c| c.is_ascii_alphanumeric())
    };
    text.split('_').all(short)
}

/// A label without `UD-`.
pub(crate) fn bare(label: &str) -> &str {
    label.strip_prefix("UD-").unwrap_or(label)
}

/// The first number in a label: roughly the bits of a weight.
pub(crate) fn bits(label: &str) -> Option<i32> {
    let digits = label.trim_start_matches(|c: char| !c.is_ascii_digit());
    let end = digits
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(digits.len());
    digits[..end].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_as_repositories_write_them() {
        for (path, want) in [
            ("Qwen_Qwen3-8B-Q4_K_M.gguf", "Q4_K_M"),
            ("llama-2-7b-chat.Q5_K_S.gguf", "Q5_K_S"),
            ("Qwen3-30B-A3B-UD-Q4_K_XL.gguf", "UD-Q4_K_XL"),
            (
                "UD-IQ1_S/DeepSeek-R1-UD-IQ1_S-00001-of-00004.gguf",
                "UD-IQ1_S",
            ),
            ("BF16/Qwen3-30B-A3B-BF16-00001-of-00002.gguf", "BF16"),
            ("BF16/model-00001-of-00002.gguf", "BF16"),
            ("qwen2.5-7b-instruct-q4_0-00002-of-00002.gguf", "Q4_0"),
            ("gpt-oss-20b-mxfp4.gguf", "MXFP4"),
            ("gpt-oss-20b-MXFP4_MOE.gguf", "MXFP4_MOE"),
            ("Phi-3-mini-4k-instruct-q4.gguf", "Q4"),
            ("Phi-3-mini-4k-instruct-fp16.gguf", "FP16"),
            ("Model.i1-IQ3_XXS.gguf", "IQ3_XXS"),
            ("model_q4_k_m.gguf", "Q4_K_M"),
            ("Llama_3_Q8_0.gguf", "Q8_0"),
            ("Model-f16-q6_K_L.gguf", "Q6_K_L"),
            ("Model-Q4_0_4_8.gguf", "Q4_0_4_8"),
            ("Model-TQ1_0.gguf", "TQ1_0"),
            ("Model-Q4_K_M-v2.gguf", "Q4_K_M"),
        ] {
            assert_eq!(label(path).as_deref(), Some(want), "{path}");
        }
        for path in [
            "model.gguf",
            "Qwen3-8B.gguf",
            "quantum-Q7.gguf",
            "Q4_LONGISH.gguf",
            "IQ.gguf",
            "é-Qé.gguf",
            "",
        ] {
            assert_eq!(label(path), None, "{path}");
        }
        for (label, want) in [("Q4_K_M", 4), ("BF16", 16), ("UD-IQ2_XXS", 2), ("MXFP4", 4)] {
            assert_eq!(bits(label), Some(want));
        }
        assert_eq!(bits("X"), None);
    }

    #[test]
    fn roles_by_name() {
        for (path, want) in [
            ("a/m-Q4_K_M.gguf", Some(Role::Model)),
            ("a/m.GGUF", Some(Role::Model)),
            ("mmproj-BF16.gguf", Some(Role::Projector)),
            ("Model.mmproj-fp16.gguf", Some(Role::Projector)),
            ("Model-imatrix.gguf", Some(Role::Sidecar)),
            ("mtp-Model-Q8_0.gguf", Some(Role::Sidecar)),
            ("._m.gguf", None),
            ("m.gguf.part1of2", None),
            ("m.gguf.incomplete", None),
            ("README.md", None),
        ] {
            assert_eq!(role(path), want, "{path}");
        }
        for (file, want) in [
            ("m-Q4_0.gguf", "m-Q4_0"),
            ("m-00001-of-00002.gguf", "m"),
            ("m.GGUF", "m"),
            ("\u{e9}gguf", "\u{e9}gguf"),
            ("m", "m"),
        ] {
            assert_eq!(stem(file), want);
        }
    }
}
