use std::time::{Duration, UNIX_EPOCH};

use proptest::prelude::*;

use super::*;

const BOUNDS: Bounds = Bounds {
    lines: 100,
    line_bytes: 1000,
};

fn meta() -> Meta {
    serde_json::from_value(json!({
        "id": "batch_x", "owner": "", "endpoint": "/v1/embeddings", "input_file_id": "file-a", "metadata": {},
        "status": "in_progress", "created": 5, "ended": null, "cancelling": null, "output_file_id": null,
        "error_file_id": null, "errors": [], "total": 0, "completed": 0, "failed": 0,
    }))
    .unwrap()
}

fn line(name: &str) -> String {
    json!({"custom_id": name, "method": "POST", "url": "/v1/embeddings", "body": {"model": "m", "input": name}}).to_string()
}

fn create(dir: &Path, text: &str) -> Job {
    fs::write(dir.join("in"), text).unwrap();
    Job::create(
        dir.join("batch_x"),
        meta(),
        File::open(dir.join("in")).unwrap(),
        BOUNDS,
    )
    .unwrap()
}

fn open(dir: &Path) -> Job {
    Job::open(dir.join("batch_x"), BOUNDS).unwrap()
}

fn files(dir: &Path) -> Files {
    Files::open(
        dir.join("files"),
        files::Limits::default(),
        UNIX_EPOCH + Duration::from_secs(9),
    )
    .unwrap()
}

fn answer(status: u16) -> Answered {
    Answered {
        status,
        request_id: "r".into(),
        body: json!({"status": status}),
    }
}

fn names(files: &Files, id: &str) -> Vec<String> {
    let mut text = String::new();
    files
        .content("", id, UNIX_EPOCH)
        .unwrap()
        .unwrap()
        .read_to_string(&mut text)
        .unwrap();
    text.lines()
        .map(|line| {
            serde_json::from_str::<Value>(line).unwrap()["custom_id"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect()
}

#[test]
fn a_batch_from_its_first_line_to_its_files() {
    let dir = tempfile::tempdir().unwrap();
    let mut files = files(dir.path());
    let mut job = create(
        dir.path(),
        &format!("{}\n\n{}\r\n{}", line("a"), line("b"), line("c")),
    );
    assert_eq!((job.meta.status, job.meta.total), (Status::InProgress, 3));
    let first = job.next_pending().unwrap().unwrap();
    let second = job.next_pending().unwrap().unwrap();
    assert_eq!(
        (first.line, second.line, second.custom_id.as_str()),
        (1, 3, "b")
    );
    job.record(&second, &answer(200)).unwrap();
    assert!(job.record(&second, &answer(200)).is_err(), "once is enough");
    job.settle(&mut files, 7).unwrap();
    assert_eq!(job.meta.status, Status::InProgress);
    let third = job.next_pending().unwrap().unwrap();
    assert_eq!(job.next_pending().unwrap(), None);
    job.record(&third, &answer(400)).unwrap();
    job.record(&first, &answer(200)).unwrap();
    job.settle(&mut files, 8).unwrap();
    let object = job.meta.object();
    assert_eq!(object["status"], "completed");
    assert_eq!(object["completed_at"], 8);
    assert_eq!(
        object["request_counts"],
        json!({"total": 3, "completed": 2, "failed": 1})
    );
    assert_eq!(
        names(&files, object["output_file_id"].as_str().unwrap()),
        ["b", "a"]
    );
    assert_eq!(
        names(&files, object["error_file_id"].as_str().unwrap()),
        ["c"]
    );
    assert_eq!(open(dir.path()).meta, job.meta);
    assert!(job.cancel(9).unwrap_err().to_string().contains("completed"));
}

#[test]
fn what_a_crash_cut_is_asked_for_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut job = create(
        dir.path(),
        &format!("{}\n{}\n{}\n", line("a"), line("b"), line("c")),
    );
    for _ in 0..2 {
        let pending = job.next_pending().unwrap().unwrap();
        job.record(&pending, &answer(200)).unwrap();
    }
    drop(job);
    let output = dir.path().join("batch_x/output.jsonl");
    let text = fs::read(&output).unwrap();
    fs::write(&output, &text[..text.len() - 3]).unwrap();
    let mut job = open(dir.path());
    assert_eq!((job.meta.completed, job.meta.failed), (1, 0));
    let again = job.next_pending().unwrap().unwrap();
    assert_eq!(again.custom_id, "b");
    job.record(&again, &answer(200)).unwrap();
    let last = job.next_pending().unwrap().unwrap();
    job.record(&last, &answer(500)).unwrap();
    // The crash came before the end was written.
    let mut job = open(dir.path());
    let mut files = files(dir.path());
    job.settle(&mut files, 9).unwrap();
    assert_eq!(job.meta.status, Status::Completed);
    assert_eq!(names(&files, "file-xoutput"), ["a", "b"]);
    assert_eq!(names(&files, "file-xerrors"), ["c"]);
}

#[test]
fn a_cancelled_batch_keeps_what_was_answered() {
    let dir = tempfile::tempdir().unwrap();
    let mut files = files(dir.path());
    let mut job = create(dir.path(), &format!("{}\n{}\n", line("a"), line("b")));
    let pending = job.next_pending().unwrap().unwrap();
    job.cancel(6).unwrap();
    job.settle(&mut files, 6).unwrap();
    assert_eq!(job.meta.status, Status::Cancelling);
    assert_eq!(job.next_pending().unwrap(), None);
    job.cancel(7).unwrap();
    job.record(&pending, &answer(200)).unwrap();
    job.settle(&mut files, 8).unwrap();
    let object = job.meta.object();
    assert_eq!(
        (
            &object["status"],
            &object["cancelling_at"],
            &object["cancelled_at"]
        ),
        (&json!("cancelled"), &json!(6), &json!(8))
    );
    assert_eq!(names(&files, "file-xoutput"), ["a"]);
    assert_eq!(object["error_file_id"], Value::Null);
}

#[test]
fn a_released_line_waits_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut job = create(dir.path(), &format!("{}\n{}\n", line("a"), line("b")));
    let first = job.next_pending().unwrap().unwrap();
    job.next_pending().unwrap().unwrap();
    job.release(first.line);
    assert!(job.record(&first, &answer(200)).is_err());
    assert_eq!(job.next_pending().unwrap().unwrap().custom_id, "a");
    job.release(0);
    job.release(99);
}

#[test]
fn an_input_that_is_no_list_of_requests_fails_with_its_lines() {
    let long = "x".repeat(1001);
    let many = format!("{}\n", line("a")).repeat(101);
    for (text, code, at) in [
        ("", "empty_file", json!(null)),
        ("\n \n", "empty_file", json!(null)),
        ("{\n", "invalid_json_line", json!(1)),
        (
            &format!("{}\n{}\n", line("a"), line("a")),
            "duplicate_custom_id",
            json!(2),
        ),
        (
            &format!("{}\n{long}\n", line("a")),
            "line_too_long",
            json!(2),
        ),
        (&many, "duplicate_custom_id", json!(2)),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let mut job = create(dir.path(), text);
        assert_eq!(job.meta.status, Status::Failed, "{text}");
        let error = &job.meta.object()["errors"]["data"][0];
        assert_eq!(
            (&error["code"], &error["line"]),
            (&json!(code), &at),
            "{text}"
        );
        assert_eq!(job.next_pending().unwrap(), None);
        assert!(job.meta.errors.len() <= MOST_ERRORS);
    }
    let dir = tempfile::tempdir().unwrap();
    let lines: Vec<String> = (0..101).map(|n| line(&n.to_string())).collect();
    let job = create(dir.path(), &lines.join("\n"));
    assert_eq!(job.meta.errors[0]["code"], "too_many_requests");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// However the output is cut, every line is answered once in the end.
    #[test]
    fn no_line_is_lost_or_answered_twice(cut in 0_usize..400, statuses in prop::collection::vec(prop::bool::ANY, 3)) {
        let dir = tempfile::tempdir().unwrap();
        let mut files = files(dir.path());
        let mut job = create(dir.path(), &[line("a"), line("b"), line("c")].join("\n"));
        for good in &statuses {
            let pending = job.next_pending().unwrap().unwrap();
            job.record(&pending, &answer(if *good { 200 } else { 500 })).unwrap();
        }
        drop(job);
        for name in ["output.jsonl", "errors.jsonl"] {
            let path = dir.path().join("batch_x").join(name);
            if let Ok(text) = fs::read(&path) {
                fs::write(&path, &text[..cut.min(text.len())]).unwrap();
            }
        }
        let mut job = open(dir.path());
        while let Some(pending) = job.next_pending().unwrap() {
            job.record(&pending, &answer(200)).unwrap();
        }
        job.settle(&mut files, 9).unwrap();
        prop_assert_eq!(job.meta.status, Status::Completed);
        let mut all = Vec::new();
        for id in [&job.meta.output_file_id, &job.meta.error_file_id].into_iter().flatten() {
            all.extend(names(&files, id));
        }
        all.sort();
        prop_assert_eq!(all, ["a", "b", "c"]);
    }
}
