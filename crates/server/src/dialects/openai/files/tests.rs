use std::io::Read;
use std::time::UNIX_EPOCH;

use super::*;

fn at(second: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_790_000_000 + second)
}

fn upload(purpose: &str) -> Upload {
    Upload {
        filename: "../in.jsonl".into(),
        purpose: purpose.into(),
        expires_after: None,
    }
}

fn put(files: &mut Files, id: &str, owner: &str, text: &str) -> Result<Meta, Failure> {
    let mut draft = files.begin(owner, &Stamp::new(at(0), id))?;
    draft.describe(upload("batch"))?;
    for part in text.as_bytes().chunks(3) {
        draft.write(part)?;
    }
    files.keep(draft)
}

fn text(files: &Files, owner: &str, id: &str) -> Option<String> {
    let mut text = String::new();
    files
        .content(owner, id, at(0))
        .unwrap()?
        .read_to_string(&mut text)
        .unwrap();
    Some(text)
}

#[test]
fn a_file_is_its_owners_alone_and_found_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut files = Files::open(dir.path(), Limits::default(), at(0)).unwrap();
    let meta = put(&mut files, "a", "anna", "hello\n").unwrap();
    assert_eq!(
        meta.object(),
        json!({"id": "file-a", "object": "file", "bytes": 6, "created_at": 1_790_000_000, "expires_at": null,
               "filename": "../in.jsonl", "purpose": "batch", "status": "processed", "status_details": null})
    );
    let mut files = Files::open(dir.path(), Limits::default(), at(0)).unwrap();
    assert_eq!(text(&files, "anna", "file-a").as_deref(), Some("hello\n"));
    assert_eq!(text(&files, "bert", "file-a"), None);
    assert_eq!(
        files.list("bert", None, &Page::default(), at(0))["data"],
        json!([])
    );
    assert_eq!(
        files.list("anna", Some("evals"), &Page::default(), at(0))["data"],
        json!([])
    );
    assert_eq!(
        files.list("anna", Some("batch"), &Page::default(), at(0))["data"][0]["id"],
        "file-a"
    );
    assert!(!files.remove("bert", "file-a").unwrap());
    assert!(files.remove("anna", "file-a").unwrap());
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn what_is_half_written_is_not_there() {
    let dir = tempfile::tempdir().unwrap();
    let files = Files::open(dir.path(), Limits::default(), at(0)).unwrap();
    let mut draft = files.begin("", &Stamp::new(at(0), "a")).unwrap();
    draft.write(b"half").unwrap();
    drop(draft);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    for name in ["file-b.part", "file-c.new", "file-d.data"] {
        std::fs::write(dir.path().join(name), "half").unwrap();
    }
    let files = Files::open(dir.path(), Limits::default(), at(0)).unwrap();
    assert!(files.metas.is_empty());
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn sizes_and_counts_are_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits {
        files: 2,
        file_bytes: 8,
        total_bytes: 10,
    };
    let mut files = Files::open(dir.path(), limits, at(0)).unwrap();
    assert!(
        put(&mut files, "a", "", "123456789")
            .unwrap_err()
            .to_string()
            .contains("8 bytes")
    );
    put(&mut files, "b", "", "123456").unwrap();
    assert!(
        put(&mut files, "c", "", "12345")
            .unwrap_err()
            .to_string()
            .contains("4 bytes")
    );
    put(&mut files, "d", "", "1234").unwrap();
    assert!(
        put(&mut files, "e", "", "")
            .unwrap_err()
            .to_string()
            .contains("2 files")
    );
    files.remove("", "file-b").unwrap();
    put(&mut files, "e", "", "123456").unwrap();
    // Two that began while there was room for either.
    files.remove("", "file-e").unwrap();
    files.limits.files = 9;
    let mut first = files.begin("", &Stamp::new(at(0), "f")).unwrap();
    let mut second = files.begin("", &Stamp::new(at(0), "g")).unwrap();
    first.write(b"12345").unwrap();
    second.write(b"12345").unwrap();
    files.keep(first).unwrap();
    assert!(files.keep(second).is_err());
}

#[test]
fn refusals() {
    let dir = tempfile::tempdir().unwrap();
    let files = Files::open(dir.path(), Limits::default(), at(0)).unwrap();
    let begin = |upload: Upload, id: &str| {
        files
            .begin("", &Stamp::new(at(0), id))
            .and_then(|mut draft| draft.describe(upload))
    };
    assert!(
        begin(upload("music"), "a")
            .unwrap_err()
            .to_string()
            .starts_with("purpose must be one of batch")
    );
    assert!(
        begin(
            Upload {
                filename: "x".repeat(256),
                ..upload("batch")
            },
            "a"
        )
        .is_err()
    );
    assert!(
        begin(
            Upload {
                expires_after: Some(Duration::ZERO),
                ..upload("batch")
            },
            "a"
        )
        .is_err()
    );
    assert!(begin(upload("batch"), "../a").is_err());
}

#[test]
fn a_file_expires() {
    let dir = tempfile::tempdir().unwrap();
    let mut files = Files::open(dir.path(), Limits::default(), at(0)).unwrap();
    let soon = Upload {
        expires_after: Some(Duration::from_secs(60)),
        ..upload("batch")
    };
    let mut draft = files.begin("", &Stamp::new(at(0), "a")).unwrap();
    draft.describe(soon).unwrap();
    files.keep(draft).unwrap();
    assert!(files.get("", "file-a", at(59)).is_some());
    assert!(files.get("", "file-a", at(60)).is_none());
    files.sweep(at(60)).unwrap();
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}
