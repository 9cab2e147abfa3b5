//! Tags against listings as real repositories have them.

use super::*;
use crate::Result;

/// A listing of these paths, every file with an id of its own.
fn tree(paths: &[&str]) -> Tree {
    let node = |(i, path): (usize, &&str)| {
        let large = [".gguf", ".safetensors", ".bin"]
            .iter()
            .any(|end| path.ends_with(end));
        let mut node = serde_json::json!({
            "type": "file", "path": path, "size": 100 + i, "oid": format!("{i:040x}"),
        });
        if large {
            node["lfs"] = serde_json::json!({"oid": format!("{i:064x}"), "size": 1000 + i, "pointerSize": 134});
        }
        node
    };
    let page: Vec<_> = paths.iter().enumerate().map(node).collect();
    let mut tree = Tree::default();
    let page = serde_json::to_vec(&page).unwrap();
    tree.add_page(&page, "o/r").unwrap();
    tree
}

/// What a tag chose: the files, the projector after a `+`, the canonical tag after `=`; or the error.
fn chosen(paths: &[&str], tag: &str, index: Option<&str>) -> Result<String, String> {
    let choice = tree(paths)
        .choose("o/r", tag, index.map(str::as_bytes))
        .map_err(|error| error.to_string())?;
    let files: Vec<_> = choice.files.iter().map(|file| file.path.as_str()).collect();
    let projector = choice.projector.map(|file| format!(" + {}", file.path));
    let tag = match choice.kind {
        ChoiceKind::Gguf { tag } => format!(" = {tag}"),
        ChoiceKind::Directory => String::new(),
    };
    Ok(format!(
        "{}{}{tag}",
        files.join(" "),
        projector.unwrap_or_default()
    ))
}

fn check(paths: &[&str], cases: &[(&str, Result<&str, &str>)]) {
    for (tag, want) in cases {
        match (chosen(paths, tag, None), want) {
            (Ok(found), Ok(want)) => assert_eq!(found, *want, "{tag}"),
            (Err(found), Err(want)) => assert!(found.contains(want), "{tag}: {found}"),
            (found, _) => panic!("{tag}: {found:?}, expected {want:?}"),
        }
    }
}

/// One quantisation per file, the large ones split in a folder, a projector beside.
#[test]
fn a_repository_as_bartowski_writes_it() {
    let paths = [
        ".gitattributes",
        "README.md",
        "google_gemma-3-27b-it-IQ2_M.gguf",
        "google_gemma-3-27b-it-IQ4_XS.gguf",
        "google_gemma-3-27b-it-Q4_0.gguf",
        "google_gemma-3-27b-it-Q4_K_L.gguf",
        "google_gemma-3-27b-it-Q4_K_M.gguf",
        "google_gemma-3-27b-it-Q6_K_L.gguf",
        "google_gemma-3-27b-it-Q8_0.gguf",
        "google_gemma-3-27b-it-bf16/google_gemma-3-27b-it-bf16-00001-of-00002.gguf",
        "google_gemma-3-27b-it-bf16/google_gemma-3-27b-it-bf16-00002-of-00002.gguf",
        "google_gemma-3-27b-it.imatrix",
        "mmproj-google_gemma-3-27b-it-bf16.gguf",
        "mmproj-google_gemma-3-27b-it-f16.gguf",
        "mmproj-google_gemma-3-27b-it-f32.gguf",
    ];
    let with = |quant: &str| {
        format!(
            "google_gemma-3-27b-it-{quant}.gguf + mmproj-google_gemma-3-27b-it-bf16.gguf = {quant}"
        )
    };
    let (m, l, q8, xs) = (with("Q4_K_M"), with("Q4_K_L"), with("Q8_0"), with("IQ4_XS"));
    let bf16 = "google_gemma-3-27b-it-bf16/google_gemma-3-27b-it-bf16-00001-of-00002.gguf \
                google_gemma-3-27b-it-bf16/google_gemma-3-27b-it-bf16-00002-of-00002.gguf \
                + mmproj-google_gemma-3-27b-it-bf16.gguf = BF16";
    check(
        &paths,
        &[
            ("latest", Ok(&m)),
            ("LATEST", Ok(&m)),
            ("Q4_K_M", Ok(&m)),
            ("q4_k_m", Ok(&m)),
            ("Q4_K_L", Ok(&l)),
            ("q8_0", Ok(&q8)),
            ("IQ4_XS", Ok(&xs)),
            ("bf16", Ok(bf16)),
            ("google_gemma-3-27b-it-Q8_0.gguf", Ok(&q8)),
            ("Google_Gemma-3-27b-it-q8_0", Ok(&q8)),
            ("google_gemma-3-27b-it-bf16-00001-of-00002.gguf", Ok(bf16)),
            (
                "Q4_XS",
                Err(
                    "there is no 'Q4_XS'; there are BF16, IQ2_M, IQ4_XS, Q4_0, Q4_K_L, Q4_K_M, Q6_K_L, Q8_0",
                ),
            ),
            ("Q4_K", Err("there is no 'Q4_K'")),
            ("Q5_K_M", Err("there is no 'Q5_K_M'")),
            ("Q4", Err("there is no 'Q4'")),
            ("f16", Err("there is no 'f16'")),
            ("mmproj-google_gemma-3-27b-it-f16.gguf", Err("there is no")),
            ("", Err("there is no ''")),
            ("safetensors", Err("expected GGUF files or config.json")),
        ],
    );
}

/// `UD-` mixtures beside plain ones, folders of parts, generic projector names.
#[test]
fn a_repository_as_unsloth_writes_it() {
    let paths = [
        "BF16/Qwen3-VL-30B-A3B-BF16-00001-of-00002.gguf",
        "BF16/Qwen3-VL-30B-A3B-BF16-00002-of-00002.gguf",
        "Qwen3-VL-30B-A3B-Q4_K_S.gguf",
        "Qwen3-VL-30B-A3B-Q8_0.gguf",
        "Qwen3-VL-30B-A3B-UD-IQ1_S.gguf",
        "Qwen3-VL-30B-A3B-UD-Q4_K_XL.gguf",
        "Qwen3-VL-30B-A3B-UD-Q8_K_XL.gguf",
        "UD-Q2_K_XL/Qwen3-VL-30B-A3B-UD-Q2_K_XL-00001-of-00003.gguf",
        "UD-Q2_K_XL/Qwen3-VL-30B-A3B-UD-Q2_K_XL-00003-of-00003.gguf",
        "config.json",
        "imatrix_unsloth.gguf",
        "mmproj-BF16.gguf",
        "mmproj-F16.gguf",
        "mmproj-F32.gguf",
    ];
    let xl = "Qwen3-VL-30B-A3B-UD-Q4_K_XL.gguf + mmproj-BF16.gguf = UD-Q4_K_XL";
    check(
        &paths,
        &[
            // There is no Q4_K_M, so it is Q8_0, not a mixture of its name.
            (
                "latest",
                Ok("Qwen3-VL-30B-A3B-Q8_0.gguf + mmproj-BF16.gguf = Q8_0"),
            ),
            ("UD-Q4_K_XL", Ok(xl)),
            ("ud-q4_k_xl", Ok(xl)),
            ("Q4_K_XL", Ok(xl)),
            (
                "IQ1_S",
                Ok("Qwen3-VL-30B-A3B-UD-IQ1_S.gguf + mmproj-BF16.gguf = UD-IQ1_S"),
            ),
            (
                "BF16",
                Ok(
                    "BF16/Qwen3-VL-30B-A3B-BF16-00001-of-00002.gguf BF16/Qwen3-VL-30B-A3B-BF16-00002-of-00002.gguf + mmproj-BF16.gguf = BF16",
                ),
            ),
            (
                "UD-Q2_K_XL",
                Err("incomplete: 2 of 3 parts are there, part 2 is missing"),
            ),
            ("UD-Q4_K_M", Err("there is no 'UD-Q4_K_M'")),
            ("UD-Q8_0", Err("there is no 'UD-Q8_0'")),
            ("imatrix_unsloth.gguf", Err("there is no")),
        ],
    );
}

/// Official repositories: small letters, parts at the top, sometimes a merged file as well.
#[test]
fn a_repository_as_qwen_writes_it() {
    let paths = [
        "LICENSE",
        "qwen2.5-14b-instruct-fp16-00001-of-00002.gguf",
        "qwen2.5-14b-instruct-fp16-00002-of-00002.gguf",
        "qwen2.5-14b-instruct-q4_k_m-00001-of-00003.gguf",
        "qwen2.5-14b-instruct-q4_k_m-00002-of-00003.gguf",
        "qwen2.5-14b-instruct-q4_k_m-00003-of-00003.gguf",
        "qwen2.5-14b-instruct-q5_k_m-00001-of-00002.gguf",
        "qwen2.5-14b-instruct-q5_k_m-00002-of-00002.gguf",
        "qwen2.5-14b-instruct-q5_k_m.gguf",
    ];
    let m = "qwen2.5-14b-instruct-q4_k_m-00001-of-00003.gguf \
             qwen2.5-14b-instruct-q4_k_m-00002-of-00003.gguf \
             qwen2.5-14b-instruct-q4_k_m-00003-of-00003.gguf = Q4_K_M";
    check(
        &paths,
        &[
            ("latest", Ok(m)),
            ("q4_k_m", Ok(m)),
            ("qwen2.5-14b-instruct-q4_k_m", Ok(m)),
            (
                "Q5_K_M",
                Ok(
                    "qwen2.5-14b-instruct-q5_k_m-00001-of-00002.gguf qwen2.5-14b-instruct-q5_k_m-00002-of-00002.gguf = Q5_K_M",
                ),
            ),
            (
                "qwen2.5-14b-instruct-q5_k_m.gguf",
                Ok("qwen2.5-14b-instruct-q5_k_m.gguf = Q5_K_M"),
            ),
            (
                "F16",
                Err("there is no 'F16'; there are FP16, Q4_K_M, Q5_K_M"),
            ),
        ],
    );
}

#[test]
fn a_repository_as_thebloke_writes_it() {
    let paths = [
        "LICENSE.txt",
        "config.json",
        "llama-2-13b-chat.Q2_K.gguf",
        "llama-2-13b-chat.Q4_0.gguf",
        "llama-2-13b-chat.Q5_K_S.gguf",
    ];
    check(
        &paths,
        &[
            ("latest", Ok("llama-2-13b-chat.Q4_0.gguf = Q4_0")),
            ("q5_k_s", Ok("llama-2-13b-chat.Q5_K_S.gguf = Q5_K_S")),
            (
                "safetensors",
                Err("expected GGUF files or model*.safetensors"),
            ),
        ],
    );
    check(
        &["a.gguf", "b-f16-00001-of-00001.gguf.part1of2"],
        &[
            ("latest", Ok("a.gguf = a.gguf")),
            ("a", Ok("a.gguf = a.gguf")),
        ],
    );
    check(
        &["m.Q6_K.gguf.part1of2", "m.Q6_K.gguf.part2of2"],
        &[(
            "Q6_K",
            Err("m.Q6_K.gguf.part1of2, which have to be joined by hand"),
        )],
    );
}

#[test]
fn several_models_in_a_repository_are_never_mixed_up() {
    let paths = [
        "gemma-2b-Q4_K_M.gguf",
        "gemma-2b-it-Q4_K_M.gguf",
        "gemma-7b-it-Q4_K_M.gguf",
        "gemma-7b-it-Q8_0.gguf",
        "variants/gemma-7b-it-Q8_0-imat.gguf",
    ];
    check(
        &paths,
        &[
            (
                "latest",
                Err(
                    "several models fit: give a file's name as the tag, one of gemma-2b-Q4_K_M.gguf",
                ),
            ),
            ("Q4_K_M", Err("several models fit")),
            ("gemma-2b-it-Q4_K_M", Ok("gemma-2b-it-Q4_K_M.gguf = Q4_K_M")),
            ("Q8_0", Ok("gemma-7b-it-Q8_0.gguf = Q8_0")),
            (
                "variants/gemma-7b-it-q8_0-imat",
                Ok("variants/gemma-7b-it-Q8_0-imat.gguf = Q8_0"),
            ),
            ("imat", Ok("variants/gemma-7b-it-Q8_0-imat.gguf = Q8_0")),
        ],
    );
}

#[test]
fn a_checkpoint_as_mlx_community_writes_it() {
    let one = [
        ".gitattributes",
        "README.md",
        "added_tokens.json",
        "chat_template.jinja",
        "config.json",
        "merges.txt",
        "model.safetensors",
        "model.safetensors.index.json",
        "special_tokens_map.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "vocab.json",
    ];
    let all = "added_tokens.json chat_template.jinja config.json merges.txt \
               model.safetensors.index.json special_tokens_map.json tokenizer.json \
               tokenizer_config.json vocab.json model.safetensors";
    check(
        &one,
        &[
            ("latest", Ok(all)),
            ("safetensors", Ok(all)),
            (
                "4bit",
                Err("there are no GGUF files, so there is no '4bit'"),
            ),
        ],
    );
}

#[test]
fn a_checkpoint_takes_what_its_index_lists_and_nothing_in_folders() {
    let paths = [
        "LICENSE",
        "adapter_config.json",
        "config.json",
        "consolidated.safetensors",
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
        "model-old.safetensors",
        "model.safetensors.index.json",
        "onnx/model.onnx",
        "onnx/config.json",
        "original/consolidated.00.pth",
        "original/tokenizer.model",
        "pytorch_model-00001-of-00002.bin",
        "pytorch_model.bin.index.json",
        "tokenizer.model",
    ];
    let index = r#"{"metadata":{},"weight_map":{"a":"model-00001-of-00002.safetensors",
                    "b":"model-00002-of-00002.safetensors","c":"model-00001-of-00002.safetensors"}}"#;
    let beside = "LICENSE config.json model.safetensors.index.json tokenizer.model";
    let shards = "model-00001-of-00002.safetensors model-00002-of-00002.safetensors";
    assert_eq!(
        chosen(&paths, "latest", Some(index)).unwrap(),
        format!("{beside} {shards}")
    );
    assert_eq!(
        chosen(&paths, "latest", None).unwrap(),
        format!("{beside} {shards} model-old.safetensors"),
        "without the index's content all of them"
    );
    let tree = tree(&paths);
    assert_eq!(tree.index_for("latest").unwrap().path, INDEX);
    assert!(tree.index_for("Q4_0").is_none());
    for (index, want) in [
        ("{", "model.safetensors.index.json: "),
        (r#"{"weight_map":{}}"#, "lists no weights"),
        (
            r#"{"weight_map":{"a":"../x.safetensors"}}"#,
            "no safetensors file of the repository",
        ),
        (
            r#"{"weight_map":{"a":"pytorch_model-00001-of-00002.bin"}}"#,
            "no safetensors file",
        ),
        (
            r#"{"weight_map":{"a":"model-00003-of-00003.safetensors"}}"#,
            "no safetensors file",
        ),
    ] {
        let message = chosen(&paths, "latest", Some(index)).unwrap_err();
        assert!(message.contains(want), "{message}");
    }
    for (paths, want) in [
        (
            &["config.json", "pytorch_model.bin"][..],
            "pytorch_model.bin is a pickle",
        ),
        (
            &["config.json", "model-00001-of-00002.safetensors"],
            "model-00002-of-00002.safetensors is missing",
        ),
        (
            &["config.json", "onnx/model.safetensors"],
            "expected GGUF files or model*.safetensors",
        ),
        (&["README.md"], "expected GGUF files or config.json"),
        (&[], "expected GGUF files or config.json"),
    ] {
        let message = chosen(paths, "latest", None).unwrap_err();
        assert!(message.contains(want), "{message}");
    }
}

#[test]
fn ids_and_sizes_go_along() {
    let tree = tree(&["config.json", "m-Q4_0.gguf"]);
    let choice = tree.choose("o/r", "latest", None).unwrap();
    assert_eq!(
        (choice.files[0].size, choice.files[0].git_oid),
        (1001, None)
    );
    assert!(choice.files[0].sha256.is_some());
    assert!(tree.get("config.json").unwrap().git_oid.is_some());
}

#[test]
fn a_huge_repository_has_a_short_message() {
    let names: Vec<String> = (0..500).map(|i| format!("model-{i:04}.gguf")).collect();
    let paths: Vec<&str> = names.iter().map(String::as_str).collect();
    let message = chosen(&paths, "Q4_K_M", None).unwrap_err();
    assert!(
        message.contains("and 460 more") && message.len() < 2000,
        "{message}"
    );
}

proptest::proptest! {
    #[test]
    fn no_names_and_tags_make_the_choice_panic(
        names in proptest::collection::vec("[a-zQ0-9_./é-]{0,20}(-0000[0-3]-of-0000[0-3])?(\\.gguf|\\.safetensors|)", 0..12),
        tag in ".{0,12}",
    ) {
        let mut paths: Vec<&str> = names.iter().map(String::as_str).collect();
        paths.sort_unstable();
        paths.dedup();
        let tree = tree(&paths);
        for tag in [tag.as_str(), "latest", "Q4_K_M"] {
            if let Ok(choice) = tree.choose("o/r", tag, None) {
                proptest::prop_assert!(!choice.files.is_empty());
                proptest::prop_assert!(choice.files.iter().all(|file| tree.get(&file.path) == Some(file)));
            }
        }
    }
}
