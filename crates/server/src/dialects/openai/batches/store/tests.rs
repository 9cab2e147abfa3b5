use std::time::{Duration, UNIX_EPOCH};

use serde_json::json;

use super::*;
use crate::dialects::openai::files::{self, Upload};
use crate::dialects::openai::testing::body;

fn at(second: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(second)
}

fn asked(file: &str) -> Asked {
    request(body(json!({"input_file_id": file, "endpoint": "/v1/chat/completions", "completion_window": "24h"}))).unwrap()
}

fn put(files: &mut Files, id: &str, owner: &str, names: &[&str]) -> String {
    let upload = Upload {
        filename: "in.jsonl".into(),
        purpose: "batch".into(),
        expires_after: None,
    };
    let mut draft = files.begin(owner, &Stamp::new(at(1), id)).unwrap();
    draft.describe(upload).unwrap();
    for name in names {
        let line = json!({"custom_id": name, "method": "POST", "url": "/v1/chat/completions", "body": {"model": "m"}});
        draft.write(format!("{line}\n").as_bytes()).unwrap();
    }
    files.keep(draft).unwrap().id
}

fn stores(dir: &std::path::Path, limits: Limits) -> (Batches, Files) {
    let files = Files::open(dir.join("files"), files::Limits::default(), at(1)).unwrap();
    (Batches::open(dir.join("batches"), limits).unwrap(), files)
}

const GOOD: fn() -> Answered = || Answered {
    status: 200,
    request_id: "r".into(),
    body: json!({}),
};

#[test]
fn bodies() {
    let good = json!({"input_file_id": "file-a", "endpoint": "/v1/embeddings", "metadata": {"a": "b"}, "odd": 1});
    let asked = request(body(good.clone())).unwrap();
    assert_eq!(asked.endpoint, Endpoint::Embeddings);
    assert_eq!(asked.ignored, ["odd"]);
    for (change, field) in [
        (json!({"input_file_id": null}), "input_file_id"),
        (json!({"endpoint": "/v1/images"}), "endpoint"),
        (json!({"completion_window": "1h"}), "completion_window"),
        (json!({"metadata": {"a": 1}}), "metadata"),
    ] {
        let mut value = body(good.clone());
        value.extend(body(change.clone()));
        match request(value) {
            Err(Failure::Invalid { field: found, .. }) => assert_eq!(found, field),
            other => panic!("{change}: {other:?}"),
        }
    }
}

#[test]
fn the_oldest_batch_comes_first_and_goes_on_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let (mut batches, mut files) = stores(dir.path(), Limits::default());
    let first = put(&mut files, "a", "anna", &["1", "2"]);
    let second = put(&mut files, "b", "bert", &["3"]);
    let failure = batches
        .create(&asked(&first), "bert", &files, &Stamp::new(at(2), "x"))
        .unwrap_err();
    assert!(failure.to_string().contains("No file found"), "{failure}");
    batches
        .create(&asked(&second), "bert", &files, &Stamp::new(at(3), "y"))
        .unwrap();
    batches
        .create(&asked(&first), "anna", &files, &Stamp::new(at(2), "x"))
        .unwrap();
    // The input may go: the batch has its own.
    files.remove("anna", &first).unwrap();
    let (id, pending) = batches.next_pending().unwrap().unwrap();
    assert_eq!((id.as_str(), pending.custom_id.as_str()), ("batch_x", "1"));
    batches
        .record(&id, &pending, &GOOD(), &mut files, at(4))
        .unwrap();
    batches.next_pending().unwrap().unwrap();
    drop((batches, files));
    let (mut batches, mut files) = stores(dir.path(), Limits::default());
    batches.settle(&mut files, at(5)).unwrap();
    let mut order = Vec::new();
    while let Some((id, pending)) = batches.next_pending().unwrap() {
        order.push(pending.custom_id.clone());
        batches
            .record(&id, &pending, &GOOD(), &mut files, at(6))
            .unwrap();
    }
    assert_eq!(order, ["2", "3"]);
    assert_eq!(
        batches.get("anna", "batch_x").unwrap().status,
        Status::Completed
    );
    assert_eq!(batches.get("bert", "batch_x"), None);
    let list = batches.list("bert", &Page::default());
    assert_eq!(list["data"][0]["id"], "batch_y");
    assert!(files.get("bert", "file-youtput", at(6)).is_some());
    assert!(files.get("anna", "file-youtput", at(6)).is_none());
}

#[test]
fn a_batch_that_nobody_answers_is_cancelled_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let (mut batches, mut files) = stores(dir.path(), Limits::default());
    let input = put(&mut files, "a", "", &["1"]);
    batches
        .create(&asked(&input), "", &files, &Stamp::new(at(2), "x"))
        .unwrap();
    assert_eq!(
        batches
            .cancel("anna", "batch_x", &mut files, at(3))
            .unwrap(),
        None
    );
    let meta = batches
        .cancel("", "batch_x", &mut files, at(3))
        .unwrap()
        .unwrap();
    assert_eq!(meta.status, Status::Cancelled);
    assert_eq!(batches.next_pending().unwrap(), None);
    assert!(batches.cancel("", "batch_x", &mut files, at(4)).is_err());
}

#[test]
fn a_line_that_is_given_back_lets_a_cancelled_batch_end() {
    let dir = tempfile::tempdir().unwrap();
    let (mut batches, mut files) = stores(dir.path(), Limits::default());
    let input = put(&mut files, "a", "", &["1"]);
    batches
        .create(&asked(&input), "", &files, &Stamp::new(at(2), "x"))
        .unwrap();
    let (id, pending) = batches.next_pending().unwrap().unwrap();
    batches.cancel("", &id, &mut files, at(3)).unwrap();
    assert_eq!(batches.get("", &id).unwrap().status, Status::Cancelling);
    batches
        .release(&id, pending.line, &mut files, at(4))
        .unwrap();
    assert_eq!(batches.get("", &id).unwrap().status, Status::Cancelled);
}

#[test]
fn batches_that_are_over_make_room() {
    let dir = tempfile::tempdir().unwrap();
    let (mut batches, mut files) = stores(
        dir.path(),
        Limits {
            batches: 1,
            ..Limits::default()
        },
    );
    let input = put(&mut files, "a", "", &["1"]);
    batches
        .create(&asked(&input), "", &files, &Stamp::new(at(2), "x"))
        .unwrap();
    assert!(
        batches
            .create(&asked(&input), "", &files, &Stamp::new(at(3), "y"))
            .is_err()
    );
    batches.cancel("", "batch_x", &mut files, at(4)).unwrap();
    batches
        .create(&asked(&input), "", &files, &Stamp::new(at(5), "y"))
        .unwrap();
    assert_eq!(batches.get("", "batch_x"), None);
}

#[test]
fn what_was_never_accepted_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    let half = dir.path().join("batches/batch_z");
    fs::create_dir_all(&half).unwrap();
    fs::write(half.join("input.jsonl"), "x").unwrap();
    let (batches, _) = stores(dir.path(), Limits::default());
    assert!(batches.jobs.is_empty());
    assert!(!half.exists());
}
