//! Pulling from a server that speaks the hub's endpoints.

use hearth_format::{BlockType, Checkpoint, GgufWriter, Metadata, Value};
use hearth_store::{Entry, Kind, Name, Remote, Result, Store};

use crate::{assert_sound, remote, runtime, support::hub::Hub};

const BARD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../server/assets/bard.gguf");

fn pull(
    hub: &Hub,
    store: &Store,
    name: &str,
    token: Option<&'static str>,
    revision: Option<&str>,
) -> Result<Entry> {
    let endpoint = hub.endpoint();
    let environment = move |key: &str| match key {
        "HF_ENDPOINT" => Some(endpoint.clone().into()),
        "HF_TOKEN" => token.map(Into::into),
        _ => None,
    };
    let remote = Remote {
        revision: revision.map(str::to_owned),
        ..remote()
    };
    let name: Name = name.parse().unwrap();
    runtime().block_on(store.pull(&name, None, &remote, &environment, &|_| {}))
}

/// The parts of a split model of one tensor each.
fn parts() -> Vec<Vec<u8>> {
    let part = |no: u16| {
        let mut metadata = Metadata::default();
        let mut set = |key: &str, value| assert!(metadata.insert(key.to_owned(), value));
        if no == 0 {
            set(
                "general.architecture",
                Value::String(b"llama".as_slice().into()),
            );
        }
        set("split.no", Value::U16(no));
        set("split.count", Value::U16(2));
        set("split.tensors.count", Value::I32(2));
        let mut writer = GgufWriter::new(metadata).unwrap();
        writer
            .tensor(
                &format!("blk.{no}.attn_norm.weight"),
                &[512],
                BlockType::F32,
            )
            .unwrap();
        let mut body = writer.start(Vec::new()).unwrap();
        body.write(&[no as u8; 2048]).unwrap();
        body.finish().unwrap()
    };
    vec![part(0), part(1)]
}

fn safetensors() -> Vec<u8> {
    let header = br#"{"model.norm.weight":{"dtype":"F32","shape":[512],"data_offsets":[0,2048]}}"#;
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(header);
    bytes.extend_from_slice(&[0; 2048]);
    bytes
}

#[test]
fn a_quantisation_is_found_whatever_its_case_and_never_another_one() {
    let bard = std::fs::read(BARD).unwrap();
    let files = || {
        vec![
            ("README.md", b"x".to_vec()),
            ("Bard-Q8_0.gguf", bard.clone()),
            ("Bard-F16.gguf", vec![1; 4096]),
        ]
    };
    for paged in [false, true] {
        let hub = Hub::start(files(), None, paged);
        let directory = tempfile::tempdir().unwrap();
        let store = Store::new(directory.path());
        let entry = pull(&hub, &store, "hf.co/owner/repo:q8_0", None, None).unwrap();
        assert_eq!(entry.name.to_string(), "hf.co/owner/repo:q8_0");
        let config = store.config(&entry).unwrap();
        assert_eq!(
            (
                config.model_family.as_str(),
                config.file_type.as_str(),
                config.model_type.as_str()
            ),
            ("llama", "Q8_0", "5.77M")
        );
        assert_eq!(
            store.open(&entry).unwrap().parameters(),
            Checkpoint::open(BARD.as_ref()).unwrap().parameters()
        );
        assert_sound(&store);
        // The second name of the same file fetches nothing.
        let before = hub.storage.requests().len();
        pull(&hub, &store, "hf.co/owner/repo", None, None).unwrap();
        pull(
            &hub,
            &store,
            "hf.co/owner/repo:Bard-Q8_0.gguf",
            None,
            Some("v1.0"),
        )
        .unwrap();
        assert_eq!(hub.storage.requests().len(), before);
        let error = pull(&hub, &store, "hf.co/owner/repo:Q4_K_M", None, None)
            .unwrap_err()
            .to_string();
        assert!(error.contains("Q8_0") && error.contains("F16"), "{error}");
    }
}

#[test]
fn split_models_and_projectors_come_whole() {
    let parts = parts();
    let files = vec![
        ("M-Q4_0-00001-of-00002.gguf", parts[0].clone()),
        ("M-Q4_0-00002-of-00002.gguf", parts[1].clone()),
        ("mmproj-F16.gguf", vec![7; 2000]),
        ("params", br#"{"temperature":0.5}"#.to_vec()),
    ];
    let hub = Hub::start(files, None, false);
    let directory = tempfile::tempdir().unwrap();
    let store = Store::new(directory.path());
    let entry = pull(&hub, &store, "hf.co/owner/repo:Q4_0", None, None).unwrap();
    let count = |kind| entry.manifest.of_kind(kind).count();
    assert_eq!(
        (
            count(Kind::Model),
            count(Kind::Projector),
            count(Kind::Params)
        ),
        (2, 1, 1)
    );
    assert_eq!(store.open(&entry).unwrap().tensors().count(), 2);
    assert_sound(&store);
}

#[test]
fn a_checkpoint_directory_is_fetched_with_what_it_needs_and_no_pickles() {
    let files = vec![
        (
            "config.json",
            br#"{"model_type":"llama","architectures":["LlamaForCausalLM"]}"#.to_vec(),
        ),
        ("model.safetensors", safetensors()),
        ("pytorch_model.bin", vec![0; 5000]),
        ("tokenizer.json", b"{}".to_vec()),
        ("README.md", b"x".to_vec()),
    ];
    let hub = Hub::start(files, None, false);
    let directory = tempfile::tempdir().unwrap();
    let store = Store::new(directory.path());
    let entry = pull(&hub, &store, "hf.co/owner/repo", None, None).unwrap();
    let checkpoint = store.open(&entry).unwrap();
    assert_eq!(checkpoint.tensors().count(), 1);
    assert!(checkpoint.side_file("tokenizer.json").is_some());
    assert!(
        hub.server
            .requests()
            .iter()
            .all(|request| !request.target.contains("pytorch"))
    );
    assert_eq!(store.config(&entry).unwrap().model_format, "safetensors");
    assert_sound(&store);
}

#[test]
fn a_gated_repository_needs_a_token_which_stays_at_the_hub() {
    let bard = std::fs::read(BARD).unwrap();
    let hub = Hub::start(vec![("Bard-Q8_0.gguf", bard)], Some("hf_secret"), false);
    let directory = tempfile::tempdir().unwrap();
    let store = Store::new(directory.path());
    let error = pull(&hub, &store, "hf.co/owner/repo:Q8_0", None, None)
        .unwrap_err()
        .to_string();
    assert!(error.contains("HF_TOKEN"), "{error}");
    pull(
        &hub,
        &store,
        "hf.co/owner/repo:Q8_0",
        Some("hf_secret"),
        None,
    )
    .unwrap();
    assert!(!hub.storage.requests().is_empty());
}

#[test]
fn a_small_file_is_checked_against_its_git_id() {
    let files = vec![
        ("config.json", br#"{"model_type":"llama"}"#.to_vec()),
        ("model.safetensors", safetensors()),
    ];
    let hub = Hub::start(files, None, false);
    let directory = tempfile::tempdir().unwrap();
    let store = Store::new(directory.path());
    let entry = pull(&hub, &store, "hf.co/owner/repo", None, None).unwrap();
    let config = entry
        .manifest
        .layers
        .iter()
        .find(|layer| layer.name.as_deref() == Some("config.json"))
        .unwrap();
    assert_eq!(config.size, 22);

    // What is listed and what is served differ.
    let inner = std::sync::Arc::clone(&hub.files);
    let lying = crate::support::Server::start(move |request| match request.path() {
        path if path.ends_with("config.json") => {
            crate::support::Reply::new(200, br#"{"model_type":"evil!"}"#.to_vec())
        }
        _ => {
            let files: Vec<_> = inner.lock().unwrap().iter().map(|(path, bytes)| serde_json::json!({"rfilename": path, "size": bytes.len(), "blobId": "0123456789012345678901234567890123456789"})).collect();
            crate::support::Reply::new(
                200,
                serde_json::json!({"sha": crate::support::hub::COMMIT, "siblings": files})
                    .to_string(),
            )
        }
    });
    let endpoint = format!("http://{}", lying.address);
    let environment = move |key: &str| (key == "HF_ENDPOINT").then(|| endpoint.clone().into());
    let name: Name = "hf.co/owner/other".parse().unwrap();
    let error = runtime()
        .block_on(store.pull(&name, None, &remote(), &environment, &|_| {}))
        .unwrap_err();
    assert!(
        error.to_string().contains("git id") || error.to_string().contains("listing"),
        "{error}"
    );
    assert!(store.find(&name).unwrap().is_none());
}
