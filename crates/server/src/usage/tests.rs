use super::*;

fn day(text: &str) -> Day {
    text.parse().unwrap()
}

fn tokens(prompt: u64, generated: u64) -> Tokens {
    Tokens {
        prompt,
        cached: 1,
        generated,
    }
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn what_was_flushed_survives_and_days_are_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let usage = Usage::open(folder.path()).unwrap();
    let today = Day::today();
    usage.record("m", Some("laptop"), tokens(10, 5), SECOND);
    usage.record("m", Some("laptop"), tokens(1, 2), SECOND);
    usage.record("m", None, tokens(7, 0), SECOND);
    usage.record_on(today.before(3), "old", None, tokens(1, 1), SECOND);
    usage.flush().unwrap();
    usage.record("m", None, tokens(1, 1), SECOND);
    usage.flush().unwrap();
    let before = usage.report(30);
    drop(usage);

    let usage = Usage::open(folder.path()).unwrap();
    assert_eq!(usage.report(30), before);
    assert_eq!(
        usage.report(30).total,
        Totals {
            requests: 5,
            prompt: 20,
            cached: 5,
            generated: 9,
            ms: 5000
        }
    );
    assert_eq!(usage.report(1).entries.len(), 2);
    assert_eq!(usage.report(4).entries.len(), 3);
    assert_eq!(usage.report(0), usage.report(1));
    assert_eq!(usage.tokens_today("laptop"), 18);
    let json = serde_json::to_value(usage.report(1)).unwrap();
    assert_eq!(json["entries"][1]["key"], "laptop");
    assert_eq!(json["entries"][1]["prompt"], 11);
    assert_eq!(json["since"], today.to_string());
}

#[test]
fn torn_lines_are_dropped_and_the_rest_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("usage.jsonl");
    let usage = Usage::open(folder.path()).unwrap();
    usage.record("m", None, tokens(1, 1), SECOND);
    usage.flush().unwrap();
    let whole = std::fs::read(&path).unwrap();
    for cut in 0..whole.len() {
        let junk = format!("{{\"no\": 1}}\n{}\n", "x".repeat(10_000));
        std::fs::write(&path, [&whole, junk.as_bytes(), &whole[..cut]].concat()).unwrap();
        let usage = Usage::open(folder.path()).unwrap();
        assert_eq!(usage.report(1).total.requests, 1, "{cut}");
        // What was opened is written anew, so the torn end is gone before more is added.
        usage.record("m", None, tokens(1, 1), SECOND);
        usage.flush().unwrap();
        assert_eq!(
            Usage::open(folder.path()).unwrap().report(1).total.requests,
            2,
            "{cut}"
        );
    }
}

#[test]
fn old_days_go_and_the_file_stays_small() {
    let folder = tempfile::tempdir().unwrap();
    let today = Day::today();
    let usage = Usage::open(folder.path()).unwrap();
    usage.record_on(
        today.before(DAYS_KEPT - 1),
        "kept",
        None,
        tokens(1, 1),
        SECOND,
    );
    usage.record_on(today.before(DAYS_KEPT), "gone", None, tokens(1, 1), SECOND);
    usage.flush().unwrap();
    for _ in 0..1200 {
        usage.record("m", None, tokens(1, 1), SECOND);
        let state = std::mem::take(&mut usage.state().new);
        usage.file.lock().unwrap().append(&entries(&state)).unwrap();
    }
    usage.record("m", None, tokens(1, 1), SECOND);
    usage.flush().unwrap();
    let text = std::fs::read_to_string(folder.path().join("usage.jsonl")).unwrap();
    assert_eq!(text.lines().count(), 2, "{text}");
    assert!(text.contains("kept") && !text.contains("gone"));
    assert_eq!(usage.report(1).total.requests, 1201);
}

#[test]
fn a_disk_that_fails_loses_and_doubles_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("new/data");
    let usage = Usage::open(&data).unwrap();
    usage.record("m", None, tokens(1, 1), SECOND);
    std::fs::rename(&data, folder.path().join("away")).unwrap();
    assert!(usage.flush().is_err());
    std::fs::rename(folder.path().join("away"), &data).unwrap();
    usage.flush().unwrap();
    usage.flush().unwrap();
    assert_eq!(Usage::open(&data).unwrap().report(1).total.requests, 1);
}

#[test]
fn days_are_kept_apart() {
    let folder = tempfile::tempdir().unwrap();
    let usage = Usage::open_on(folder.path(), day("2026-08-21")).unwrap();
    for text in ["2026-08-20", "2026-08-21"] {
        usage.record_on(day(text), "m", None, tokens(1, 1), SECOND);
    }
    assert_eq!(usage.report_on(day("2026-08-21"), 1).entries.len(), 1);
    assert_eq!(
        usage.report_on(day("2026-08-21"), 2).since,
        day("2026-08-20")
    );
}
