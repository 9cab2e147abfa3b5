use std::{fs, path::Path, sync::Mutex};

use hearth_format::Checkpoint;
use serde_json::json;

use super::*;
use crate::{Digest, Disk, Faults, Modelfile, Turn, disk, fixtures::*};

fn kinds(entry: &Entry) -> Vec<Kind> {
    entry.manifest.layers.iter().map(Layer::kind).collect()
}

fn package(bench: &Bench, entry: &Entry) -> Package {
    Package::read(&bench.store, entry).unwrap()
}

fn error(result: Result<Entry>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn a_model_from_a_file() {
    let bench = Bench::new();
    bench.file("m.gguf", model("llama"));
    let entry = bench
        .create(
            "me/new",
            "FROM ./m.gguf\nTEMPLATE \"\"\"{{ .Prompt }}\n\"\"\"\nSYSTEM be brief\nPARAMETER stop b\nPARAMETER num_ctx 8\n\
             LICENSE MIT\nLICENSE mine\nMESSAGE user hi\nMESSAGE assistant ho\nRENDERER r\nPARSER p\nREQUIRES v0.14.0",
        )
        .unwrap();
    use Kind::*;
    assert_eq!(
        kinds(&entry),
        [Model, Template, System, License, License, Params, Messages]
    );
    let package = package(&bench, &entry);
    assert_eq!(
        json!(package.config),
        json!({"model_format": "gguf", "model_family": "llama", "model_families": ["llama"], "model_type": "1K",
               "file_type": "F32", "renderer": "r", "parser": "p", "requires": "0.14.0", "architecture": "amd64",
               "os": "linux"})
    );
    assert_eq!(package.template.as_deref(), Some("{{ .Prompt }}\n"));
    assert_eq!(package.system.as_deref(), Some("be brief"));
    assert_eq!(package.licenses, ["MIT", "mine"]);
    assert_eq!(json!(package.params), json!({"num_ctx": 8, "stop": ["b"]}));
    assert_eq!(
        bench.bytes(&entry.manifest.layers[5]),
        br#"{"num_ctx":8,"stop":["b"]}"#
    );
    let turn = |role: &str, content: &str| Turn {
        role: role.to_owned(),
        content: content.to_owned(),
    };
    assert_eq!(
        package.messages,
        [turn("user", "hi"), turn("assistant", "ho")]
    );
    assert_eq!(bench.bytes(&entry.manifest.layers[0]), model("llama"));
    check_sound(&bench.store);
}

#[test]
fn a_real_model() {
    let bench = Bench::new();
    let bard = Path::new(env!("CARGO_MANIFEST_DIR")).join("../server/assets/bard.gguf");
    let entry = bench
        .create("bard", &format!("FROM {}", bard.display()))
        .unwrap();
    let config = package(&bench, &entry).config;
    assert_eq!(config.model_family, "llama");
    assert_eq!(config.model_type, "5.77M");
    assert_eq!(
        entry.manifest.layers[0].size,
        fs::metadata(&bard).unwrap().len()
    );
    check_sound(&bench.store);
}

#[test]
fn a_model_from_another_one() {
    let bench = Bench::new();
    bench.file("m.gguf", model("qwen3"));
    let parent = bench
        .create(
            "parent",
            "FROM m.gguf\nTEMPLATE t\nSYSTEM s\nPARAMETER stop a\nPARAMETER stop b\nPARAMETER top_k 1\nLICENSE l\n\
             MESSAGE user u\nPARSER p\nRENDERER r",
        )
        .unwrap();
    let same = bench
        .create("same", "FROM PARENT\nSYSTEM \"\"\nTEMPLATE \"\"")
        .unwrap();
    let digests =
        |entry: &Entry| -> Vec<Digest> { entry.manifest.layers.iter().map(|l| l.digest).collect() };
    assert_eq!(
        digests(&same),
        digests(&parent),
        "an empty text changes nothing"
    );
    assert_eq!(same.manifest.config.digest, parent.manifest.config.digest);
    let layers = &same.manifest.layers;
    assert!(
        layers
            .iter()
            .all(|l| l.from.as_deref() == Some("parent:latest"))
    );

    let child = bench
        .create(
            "child",
            "FROM nobody\nFROM parent\nSYSTEM other\nPARAMETER stop c\nPARAMETER seed 2\nLICENSE l\nLICENSE m\n\
             MESSAGE assistant x\nPARSER q",
        )
        .unwrap();
    let package = package(&bench, &child);
    assert_eq!(package.template.as_deref(), Some("t"));
    assert_eq!(package.system.as_deref(), Some("other"));
    assert_eq!(
        json!(package.params),
        json!({"seed": 2, "stop": ["c"], "top_k": 1})
    );
    assert_eq!(package.licenses, ["l", "m"], "added, and none twice");
    assert_eq!(package.messages.len(), 1);
    assert_eq!(package.config.parser.as_deref(), Some("q"));
    assert_eq!(package.config.renderer.as_deref(), Some("r"));
    assert_eq!(package.config.model_family, "qwen3");
    let system = child.manifest.of_kind(Kind::System).next().unwrap();
    assert_eq!(system.from, None);
}

#[test]
fn what_show_prints_makes_the_same_model() {
    let bench = Bench::new();
    bench.file("m.gguf", model("llama"));
    bench.file("mmproj.gguf", projector());
    bench.file("lora.gguf", adapter());
    bench.file("draft.gguf", model("small"));
    bench.file("s-00001-of-00003.gguf", &split(3)[0]);
    bench.file("s-00002-of-00003.gguf", &split(3)[1]);
    bench.file("s-00003-of-00003.gguf", &split(3)[2]);
    bench.file("st/config.json", r#"{"model_type":"llama"}"#);
    bench.file("st/model.safetensors", safetensors("a"));
    let texts = "TEMPLATE \"\"\"say \"x\"\n\"\"\"\nSYSTEM \" s\"\nPARAMETER stop \"\"\nPARAMETER num_ctx 1048576\n\
                 PARAMETER top_p 0.25\nLICENSE \"a\nb\"\nMESSAGE user \"\"\"\"q\"\"\"\"\nREQUIRES 1.2.3";
    for from in [
        "FROM m.gguf\nADAPTER lora.gguf\nDRAFT draft.gguf\nFROM mmproj.gguf",
        "FROM s-00001-of-00003.gguf",
        "FROM st",
    ] {
        let entry = bench.create("a", &format!("{from}\n{texts}")).unwrap();
        let package = package(&bench, &entry);
        let printed = package.modelfile();
        let again = bench.create("b", &printed).unwrap();
        let contents = |entry: &Entry| -> Vec<Digest> {
            let mut all: Vec<Digest> = entry.manifest.contents().map(|l| l.digest).collect();
            all.sort_unstable();
            all
        };
        assert_eq!(contents(&again), contents(&entry), "{printed}");
        let parsed = Modelfile::parse(printed.as_bytes()).unwrap();
        assert_eq!(
            parsed.iter().collect::<Vec<_>>(),
            package.instructions().iter().collect::<Vec<_>>()
        );
        assert!(printed.contains("\n# FROM a:latest\n\nFROM "), "{printed}");
    }
    check_sound(&bench.store);
}

#[test]
fn what_a_modelfile_cannot_say_is_a_comment() {
    let bench = Bench::new();
    bench.file("m.gguf", model("llama"));
    let mut recipe = bench.recipe("FROM m.gguf").unwrap();
    recipe.params.insert("new_option".to_owned(), json!([1]));
    recipe.params.insert("seed".to_owned(), json!(7.0));
    recipe.messages.push(Turn {
        role: "tool".to_owned(),
        content: "a\nFROM b".to_owned(),
    });
    let name = bench.name("a");
    let entry = bench.store.create(&name, &recipe, &plain()).unwrap();
    let printed = package(&bench, &entry).modelfile();
    assert!(
        printed.contains("# PARAMETER new_option [1] is stored"),
        "{printed}"
    );
    assert!(printed.contains("\nPARAMETER seed 7\n"), "{printed}");
    assert!(printed.contains("# MESSAGE tool aFROM b\n"), "{printed}");
    assert!(Modelfile::parse(printed.as_bytes()).is_ok());
}

#[test]
fn parts_and_projectors_are_found() {
    let bench = Bench::new();
    for (no, part) in split(2).iter().enumerate() {
        bench.file(&format!("dir/m-{:05}-of-00002.gguf", no + 1), part);
    }
    bench.file("dir/mmproj-m.gguf", projector());
    let both = "FROM dir/m-00001-of-00002.gguf\nFROM dir/mmproj-m.gguf";
    for from in ["FROM dir", both] {
        let entry = bench.create("a", from).unwrap();
        assert_eq!(kinds(&entry), [Kind::Model, Kind::Model, Kind::Projector]);
        let package = package(&bench, &entry);
        assert_eq!(package.config.model_families, ["llama", "clip"]);
        assert_eq!(package.config.model_type, "64");
        let checkpoint = bench.store.open(&entry).unwrap();
        assert_eq!(checkpoint.tensors().count(), 2);
    }
    bench.file("dir/config.json", "{}");
    let entry = bench.create("a", "FROM dir").unwrap();
    assert_eq!(
        entry.manifest.layers.len(),
        3,
        "the original's settings change nothing"
    );
    // A projector for a stored model.
    bench.file("m.gguf", model("llama"));
    bench.create("seeing", "FROM m.gguf").unwrap();
    let entry = bench
        .create("seeing", "FROM seeing\nFROM dir/mmproj-m.gguf")
        .unwrap();
    assert_eq!(kinds(&entry), [Kind::Model, Kind::Projector]);
    assert_eq!(
        package(&bench, &entry).config.model_families,
        ["llama", "clip"]
    );
    let blobs: Vec<Base> = entry
        .manifest
        .layers
        .iter()
        .map(|l| Base::Blob(l.digest))
        .collect();
    let recipe = Recipe {
        from: blobs,
        ..Recipe::default()
    };
    let again = bench
        .store
        .create(&bench.name("b"), &recipe, &plain())
        .unwrap();
    assert_eq!(kinds(&again), kinds(&entry));
}

#[test]
fn a_checkpoint_directory_is_kept_as_it_is() {
    let bench = Bench::new();
    let index = r#"{"weight_map":{"a":"model-1.safetensors","b":"other.safetensors"}}"#;
    for (name, bytes) in [
        ("config.json", br#"{"model_type":"llama"}"#.as_slice()),
        ("tokenizer.json", b"{}"),
        ("chat_template.jinja", b"{{ x }}"),
        ("merges.txt", b"a b"),
        ("1_Pooling/config.json", b"{}"),
        ("model.safetensors.index.json", index.as_bytes()),
        ("model-1.safetensors", &safetensors("a")),
        ("other.safetensors", &safetensors("b")),
        ("consolidated.safetensors", b"not looked at"),
        ("README.md", b"no"),
        ("a/b/c.json", b"too deep"),
        (".cache/x.json", b"hidden"),
    ] {
        bench.file(&format!("dir/{name}"), bytes);
    }
    let entry = bench.create("a", "FROM dir").unwrap();
    let package = package(&bench, &entry);
    let names: Vec<&str> = package
        .files
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(
        names,
        [
            "1_Pooling/config.json",
            "chat_template.jinja",
            "config.json",
            "merges.txt",
            "model-1.safetensors",
            "model.safetensors.index.json",
            "other.safetensors",
            "tokenizer.json"
        ]
    );
    assert_eq!(package.config.model_format, "safetensors");
    assert_eq!(package.config.model_family, "llama");
    assert_eq!(package.config.file_type, "F32");
    assert_eq!(package.config.model_type, "16");
    let checkpoint = bench.store.open(&entry).unwrap();
    assert_eq!(checkpoint.tensors().count(), 2);
    assert!(checkpoint.side_file("tokenizer.json").is_some());

    // The same by contents that were sent before.
    let layers = entry.manifest.layers.iter();
    let named = layers.map(|layer| (layer.name.clone().unwrap(), layer.digest));
    let recipe = Recipe {
        from: vec![Base::Directory(named.collect())],
        ..Recipe::default()
    };
    let again = bench
        .store
        .create(&bench.name("b"), &recipe, &plain())
        .unwrap();
    assert_eq!(again.manifest.digest(), entry.manifest.digest());
    let hostile = Recipe {
        from: vec![Base::Directory(vec![(
            "../x.json".to_owned(),
            entry.manifest.layers[0].digest,
        )])],
        ..Recipe::default()
    };
    let refused = bench.store.create(&bench.name("c"), &hostile, &plain());
    assert!(error(refused).contains("file path must be relative"));
}

#[cfg(unix)]
#[test]
fn links_that_leave_a_directory_are_refused() {
    let bench = Bench::new();
    let secret = bench.file("secret.json", "{}");
    bench.file("dir/config.json", "{}");
    bench.file("dir/real.safetensors", safetensors("a"));
    std::os::unix::fs::symlink("real.safetensors", bench.path("dir/model.safetensors")).unwrap();
    bench.create("inside", "FROM dir").unwrap();
    std::os::unix::fs::symlink(&secret, bench.path("dir/x.json")).unwrap();
    assert!(error(bench.create("a", "FROM dir")).contains("outside of the directory"));
    let weights = bench.file("weights.gguf", model("llama"));
    fs::create_dir(bench.path("ggufs")).unwrap();
    std::os::unix::fs::symlink(&weights, bench.path("ggufs/m.gguf")).unwrap();
    assert!(error(bench.create("a", "FROM ggufs")).contains("outside of the directory"));
    assert!(bench.store.find(&bench.name("a")).unwrap().is_none());
}

#[test]
fn files_that_are_not_what_they_should_be() {
    let bench = Bench::new();
    bench.file("m.gguf", model("llama"));
    bench.file("n.gguf", model("other"));
    bench.file("lora.gguf", adapter());
    bench.file("mmproj.gguf", projector());
    bench.file("text.gguf", "GGUF? no");
    bench.file(
        "empty.gguf",
        gguf(&[("general.architecture", text("llama"))], &[]),
    );
    bench.file(
        "imatrix.gguf",
        gguf(&[("general.type", text("imatrix"))], &[("a", &[1])]),
    );
    bench.file("x.safetensors", safetensors("a"));
    bench.file("s-00001-of-00002.gguf", &split(2)[0]);
    bench.file("t.gguf", &split(2)[1]);
    bench.file("nothing/readme", "");
    bench.file("peft/adapter_config.json", "{}");
    let cases = [
        ("FROM lora.gguf", "a LoRA adapter"),
        ("FROM mmproj.gguf", "no weights"),
        ("FROM text.gguf", "text.gguf"),
        ("FROM empty.gguf", "holds no weights"),
        ("FROM imatrix.gguf", "of type 'imatrix'"),
        ("FROM x.safetensors", "name the directory"),
        ("FROM s-00001-of-00002.gguf", "s-00002-of-00002.gguf"),
        ("FROM t.gguf", "part 2 of 2"),
        ("FROM nothing", "no Modelfile or safetensors files found"),
        ("FROM m.gguf\nFROM n.gguf", "a second model"),
        ("FROM m.gguf\nADAPTER m.gguf", "expected a LoRA adapter"),
        ("FROM m.gguf\nADAPTER peft", "convert it to GGUF"),
        ("FROM m.gguf\nDRAFT lora.gguf", "expected a draft model"),
        ("FROM m.gguf\nDRAFT m.gguf", "same file as FROM"),
        (
            "FROM m.gguf\nADAPTER none.gguf",
            "no file or directory 'none.gguf'",
        ),
        ("FROM none.gguf", "no file or directory 'none.gguf'"),
        ("FROM ./none", "no file or directory './none'"),
        ("FROM m # c", "invalid model name"),
        ("FROM unknown", "model 'unknown:latest' not found"),
        ("FROM @sha256:00", "hexadecimal digits"),
    ];
    for (modelfile, expected) in cases {
        let error = error(bench.create("a", modelfile));
        assert!(error.contains(expected), "{modelfile}: {error}");
    }
    assert!(bench.store.list().unwrap().entries.is_empty());
}

/// CVE-2026-7482: tensors that reach past the end of their file.
#[test]
fn cve_2026_7482_a_malformed_file_gets_no_name() {
    let bench = Bench::new();
    let whole = model("llama");
    bench.file("m.gguf", &whole[..whole.len() - 8]);
    assert!(bench.create("a", "FROM m.gguf").is_err());
    // Not even when it is in the store already.
    let digest = bench.store.put(&whole[..whole.len() - 8]).unwrap();
    let recipe = Recipe {
        from: vec![Base::Blob(digest)],
        ..Recipe::default()
    };
    assert!(
        bench
            .store
            .create(&bench.name("a"), &recipe, &plain())
            .is_err()
    );
    assert!(bench.store.list().unwrap().entries.is_empty());
}

/// CVE-2024-39721: what has no end is refused at once.
#[cfg(unix)]
#[test]
fn cve_2024_39721_devices_and_pipes_do_not_block() {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    let bench = Bench::new();
    bench.file("m.gguf", model("llama"));
    let pipe = |name: &str| {
        fs::create_dir_all(bench.path(name).parent().unwrap()).unwrap();
        mknodat(
            CWD,
            bench.path(name),
            FileType::Fifo,
            Mode::from_raw_mode(0o600),
            0,
        )
        .unwrap();
    };
    pipe("pipe.gguf");
    pipe("s-00002-of-00002.gguf");
    pipe("ggufs/a.gguf");
    pipe("dir/model.safetensors");
    bench.file("s-00001-of-00002.gguf", &split(2)[0]);
    bench.file("dir/config.json", "{}");
    for modelfile in [
        "FROM pipe.gguf",
        "FROM s-00001-of-00002.gguf",
        "FROM ggufs",
        "FROM dir",
        "FROM /dev/zero",
        "FROM m.gguf\nADAPTER pipe.gguf",
        "FROM m.gguf\nDRAFT /dev/zero",
    ] {
        let error = error(bench.create("a", modelfile));
        assert!(
            error.contains("expected a regular file"),
            "{modelfile}: {error}"
        );
    }
}

#[cfg(unix)]
#[test]
fn linked_and_known_contents_are_not_copied() {
    use std::os::unix::fs::MetadataExt as _;
    let bench = Bench::new();
    let inode = |path: &Path| fs::metadata(path).unwrap().ino();
    let file = bench.file("m.gguf", model("llama"));
    std::os::unix::fs::symlink(&file, bench.path("alias.gguf")).unwrap();
    let linking = Create {
        link: true,
        ..plain()
    };
    let recipe = bench.recipe("FROM alias.gguf").unwrap();
    let entry = bench
        .store
        .create(&bench.name("a"), &recipe, &linking)
        .unwrap();
    let blob = bench.store.layout().blob(&entry.manifest.layers[0].digest);
    assert_eq!(inode(&blob), inode(&file));
    assert!(fs::symlink_metadata(&blob).unwrap().is_file());
    check_sound(&bench.store);

    // Again by a copy, by the content's own path and by its digest: what is there stays.
    let digest = entry.manifest.layers[0].digest;
    for from in [
        format!("FROM {}", blob.display()),
        format!("FROM @{digest}"),
        "FROM m.gguf".to_owned(),
    ] {
        let said = Mutex::new(Vec::new());
        let watch = |event| said.lock().unwrap().push(event);
        let watching = Create {
            watch: &watch,
            ..plain()
        };
        let recipe = bench.recipe(&from).unwrap();
        bench
            .store
            .create(&bench.name("b"), &recipe, &watching)
            .unwrap();
        assert_eq!(inode(&blob), inode(&file));
        let said = said.into_inner().unwrap();
        let existing = Event::Status(format!("using existing layer {digest}"));
        assert!(said.contains(&existing), "{from}: {said:?}");
        assert_eq!(said.last(), Some(&Event::Status("success".to_owned())));
        let reads = said.iter().any(|event| matches!(event, Event::File { .. }));
        assert_eq!(
            reads,
            from == "FROM m.gguf",
            "what is known is not read again"
        );
    }
    bench.file("n.gguf", model("copied"));
    let copied = bench.create("c", "FROM n.gguf").unwrap();
    let blob = bench.store.layout().blob(&copied.manifest.layers[0].digest);
    assert_ne!(inode(&blob), inode(&bench.path("n.gguf")));
}

#[test]
fn a_full_disk_is_foreseen() {
    let bench = Bench::new();
    fs::create_dir_all(bench.store.layout().root()).unwrap();
    let Some(free) = disk::free_space(bench.store.layout().root()) else {
        println!("skipped: the system does not say what is free");
        return;
    };
    // A file with a hole that is larger than what is free.
    let rows = usize::try_from(free / (4 << 20)).unwrap() + 256;
    let mut head = Vec::new();
    let mut writer = hearth_format::GgufWriter::new(hearth_format::Metadata::default()).unwrap();
    writer
        .tensor("a", &[rows, 1 << 20], hearth_format::BlockType::F32)
        .unwrap();
    drop(writer.start(&mut head).unwrap());
    let path = bench.file("m.gguf", &head);
    let file = fs::File::options().write(true).open(path).unwrap();
    if file
        .set_len(head.len() as u64 + rows as u64 * (4 << 20))
        .is_err()
    {
        println!("skipped: the disk has no holes of that size");
        return;
    }
    let refused = bench.create("a", "FROM m.gguf").unwrap_err();
    assert!(matches!(refused, Error::NoSpace { .. }), "{refused}");
    check_sound(&bench.store);
}

#[test]
fn a_template_is_checked_and_a_pin_holds() {
    let bench = Bench::new();
    bench.file("m.gguf", model("llama"));
    let strict = Create {
        check_template: &|text| Err(format!("no: {text}")),
        ..plain()
    };
    let recipe = bench.recipe("FROM m.gguf\nTEMPLATE {{ if }}").unwrap();
    let refused = bench.store.create(&bench.name("a"), &recipe, &strict);
    assert_eq!(error(refused), "template error: no: {{ if }}");

    let entry = bench.create("a", "FROM m.gguf").unwrap();
    let mut pins = bench.store.pins().unwrap();
    pins.insert(&entry);
    bench.store.set_pins(&pins).unwrap();
    let refused = bench.create("a", "FROM m.gguf\nSYSTEM x");
    assert!(matches!(refused, Err(Error::Pinned { .. })));
    assert!(bench.create("a", "FROM m.gguf").is_ok(), "the same model");
}

#[test]
fn weights_are_transformed_on_their_way() {
    let bench = Bench::new();
    bench.file("dir/config.json", r#"{"model_type":"llama"}"#);
    bench.file("dir/model.safetensors", safetensors("a"));
    bench.file("m.gguf", model("llama"));
    let quantised = gguf(
        &[
            ("general.architecture", text("llama")),
            ("general.file_type", hearth_format::Value::U32(15)),
        ],
        &[("token_embd.weight", &[3, 5])],
    );
    let seen = Mutex::new(Vec::new());
    let transform = |checkpoint: &Checkpoint, out: &mut dyn std::io::Write| {
        seen.lock().unwrap().push(checkpoint.parameters());
        quantised
            .chunks(7)
            .try_for_each(|bytes| out.write_all(bytes))
            .map_err(Into::into)
    };
    let options = Create {
        transform: Some(&transform),
        ..plain()
    };
    bench.create("stored", "FROM m.gguf\nSYSTEM s").unwrap();
    for (from, kept) in [
        ("FROM dir", vec![]),
        ("FROM m.gguf", vec![]),
        ("FROM stored", vec![Kind::System]),
    ] {
        let recipe = bench.recipe(from).unwrap();
        let entry = bench
            .store
            .create(&bench.name("a"), &recipe, &options)
            .unwrap();
        assert_eq!(kinds(&entry), [vec![Kind::Model], kept].concat(), "{from}");
        assert_eq!(bench.bytes(&entry.manifest.layers[0]), quantised);
        let config = package(&bench, &entry).config;
        assert_eq!(
            (config.model_format.as_str(), config.file_type.as_str()),
            ("gguf", "Q4_K_M")
        );
        assert_eq!(config.model_type, "15");
    }
    assert_eq!(*seen.lock().unwrap(), [8, 1200, 1200]);

    let broken =
        |_: &Checkpoint, out: &mut dyn std::io::Write| out.write_all(b"GGUF").map_err(Into::into);
    let failing = |_: &Checkpoint, _: &mut dyn std::io::Write| Err("Q4_K cannot hold NaN".into());
    let recipe = bench.recipe("FROM m.gguf").unwrap();
    let before = bench.store.get(&bench.name("a")).unwrap();
    for (transform, expected) in [
        (&broken as &Transform<'_>, "GGUF"),
        (&failing, "cannot hold NaN"),
    ] {
        let options = Create {
            transform: Some(transform),
            ..plain()
        };
        let refused = error(bench.store.create(&bench.name("a"), &recipe, &options));
        assert!(refused.contains(expected), "{refused}");
    }
    let after = bench.store.get(&bench.name("a")).unwrap();
    assert_eq!(after.manifest, before.manifest);
    check_sound(&bench.store);
}

#[test]
fn contents_of_a_stored_model_are_checked_when_read() {
    let bench = Bench::new();
    bench.file("m.gguf", model("llama"));
    let entry = bench
        .create("a", "FROM m.gguf\nSYSTEM s\nPARAMETER seed 1")
        .unwrap();
    let with = |kind: Kind, bytes: &[u8]| {
        let layer = Layer::new(kind, bench.store.put(bytes).unwrap(), bytes.len() as u64);
        let layers = [entry.manifest.layers.clone(), vec![layer]].concat();
        let manifest = Manifest::build(entry.manifest.config.clone(), layers).unwrap();
        let digest = manifest.layers.last().unwrap().digest.to_string();
        let entry = Entry {
            manifest,
            ..entry.clone()
        };
        (
            Package::read(&bench.store, &entry)
                .map(|_| ())
                .map_err(|e| e.to_string()),
            digest,
        )
    };
    let large = vec![b' '; (LARGEST_TEXT + 1) as usize];
    for (kind, bytes) in [
        (Kind::System, &b"\xff"[..]),
        (Kind::Params, b"[]"),
        (Kind::Params, b"{"),
        (Kind::Messages, b"{}"),
        (Kind::Messages, br#"[{"content":"x"}]"#),
        (Kind::License, &large),
    ] {
        let (result, digest) = with(kind, bytes);
        let error = result.unwrap_err();
        assert!(
            error.contains("a:latest") && error.contains(&digest),
            "{error}"
        );
    }
    let system = entry.manifest.of_kind(Kind::System).next().unwrap();
    fs::remove_file(bench.store.layout().blob(&system.digest)).unwrap();
    let error = Package::read(&bench.store, &entry).unwrap_err();
    assert!(matches!(error, Error::MissingBlob { .. }), "{error}");
}

#[test]
fn paths_begin_where_the_modelfile_is_or_at_home() {
    let bench = Bench::new();
    let file = bench.file("sub/m.gguf", model("llama"));
    let sub = bench.path("sub");
    assert_eq!(
        Base::parse("m.gguf", &sub).unwrap(),
        Base::Path(sub.join("m.gguf"))
    );
    let absolute = file.display().to_string();
    assert_eq!(
        Base::parse(&absolute, Path::new("/nowhere")).unwrap(),
        Base::Path(file)
    );
    if let Some(home) = std::env::home_dir().filter(|home| home.is_dir()) {
        assert_eq!(Base::parse("~/", &sub).unwrap(), Base::Path(home.join("")));
    }
    assert!(Base::parse("~nobody-of-that-name/x", &sub).is_err());
    assert!(matches!(
        Base::parse("llama3.2", &sub).unwrap(),
        Base::Name(_)
    ));
    assert!(Base::parse("m:cloud", &sub).is_err());
}

/// Whichever operation fails, names point at whole models, no draft stays, and the next attempt succeeds.
#[test]
fn a_failure_anywhere_leaves_the_store_sound() {
    for link in [false, true] {
        for fail_at in 0.. {
            let bench = Bench::in_memory();
            bench.file("m.gguf", model("llama"));
            bench.file("lora.gguf", adapter());
            bench.file("old.gguf", model("old"));
            let old = bench.create("a", "FROM old.gguf\nSYSTEM old").unwrap();
            let modelfile =
                "FROM m.gguf\nADAPTER lora.gguf\nSYSTEM new\nPARAMETER seed 1\nLICENSE l";
            let faults = Faults::after(fail_at);
            let store = bench.on(Disk::with_faults(faults.clone()));
            let recipe = bench.recipe(modelfile).unwrap();
            let options = Create { link, ..plain() };
            let result = store.create(&bench.name("a"), &recipe, &options);
            let whole = faults.operations() <= u64::from(fail_at);
            if let Err(error) = &result {
                assert!(error.is_full_disk(), "{fail_at}: {error}");
            }
            check_sound(&bench.store);
            let now = bench.store.get(&bench.name("a")).unwrap();
            let is_old = now.manifest == old.manifest;
            assert!(is_old || kinds(&now).len() == 5, "{fail_at}");
            let retried = bench
                .store
                .create(&bench.name("a"), &recipe, &options)
                .unwrap();
            assert_eq!(kinds(&retried).len(), 5);
            check_sound(&bench.store);
            if whole {
                assert!(result.is_ok() && fail_at > 20, "{fail_at} operations");
                break;
            }
        }
    }
}

#[test]
fn a_failure_while_transforming_names_the_disk() {
    let bench = Bench::in_memory();
    bench.file("m.gguf", model("llama"));
    let transform = |_: &Checkpoint, out: &mut dyn std::io::Write| {
        out.write_all(&model("new")).map_err(Into::into)
    };
    let options = Create {
        transform: Some(&transform),
        ..plain()
    };
    let recipe = bench.recipe("FROM m.gguf").unwrap();
    for fail_at in 0.. {
        let faults = Faults::after(fail_at);
        let store = bench.on(Disk::with_faults(faults.clone()));
        let result = store.create(&bench.name(&format!("n{fail_at}")), &recipe, &options);
        if let Err(error) = &result {
            assert!(error.is_full_disk(), "{fail_at}: {error}");
        }
        check_sound(&bench.store);
        if faults.operations() <= u64::from(fail_at) {
            assert!(result.is_ok());
            break;
        }
    }
}
