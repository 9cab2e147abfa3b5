use std::time::UNIX_EPOCH;

use super::*;

const NOW: Duration = Duration::from_secs(1_790_000_000);

fn now() -> SystemTime {
    UNIX_EPOCH + NOW
}

fn kept(id: &str, owner: &str, previous: Option<&str>, text: &str) -> Kept {
    Kept {
        id: format!("resp_{id}"),
        owner: owner.to_owned(),
        previous: previous.map(|id| format!("resp_{id}")),
        created: NOW.as_secs(),
        input: vec![
            json!({"type": "message", "id": format!("msg_{id}_in0"), "role": "user", "content": text}),
        ],
        response: json!({"id": format!("resp_{id}"), "output": [
            {"type": "message", "id": format!("msg_{id}_0"), "role": "assistant", "content": text.to_uppercase()},
        ]}),
    }
}

fn both(limits: &Limits, test: impl Fn(States)) {
    test(States::in_memory(limits.clone()));
    let dir = tempfile::tempdir().unwrap();
    test(States::open(dir.path(), limits.clone(), now()).unwrap());
}

#[test]
fn what_is_kept_is_its_owners_alone() {
    both(&Limits::default(), |mut states| {
        assert!(states.put(kept("a", "anna", None, "x"), now()).unwrap());
        assert_eq!(
            states.get("anna", "resp_a", now()).unwrap().unwrap().owner,
            "anna"
        );
        assert_eq!(states.get("bert", "resp_a", now()).unwrap(), None);
        assert!(states.chain("bert", "resp_a", now()).is_err());
        assert_eq!(states.item("bert", "msg_a_0", now()).unwrap(), None);
        assert!(!states.remove("bert", "resp_a").unwrap());
        assert!(states.remove("anna", "resp_a").unwrap());
        assert!(!states.remove("anna", "resp_a").unwrap());
        assert!(states.is_empty());
    });
}

#[test]
fn a_conversation_is_put_together() {
    both(&Limits::default(), |mut states| {
        states.put(kept("a", "", None, "one"), now()).unwrap();
        states.put(kept("b", "", Some("a"), "two"), now()).unwrap();
        let history = states.history("", "resp_b", now()).unwrap();
        let contents: Vec<&str> = history
            .iter()
            .filter_map(|item| item["content"].as_str())
            .collect();
        assert_eq!(contents, ["one", "ONE", "two", "TWO"]);
        let chain = states.chain("", "resp_b", now()).unwrap();
        let ids = |page: &Page| -> Vec<String> {
            let list = input_items(&chain, page);
            list["data"]
                .as_array()
                .unwrap()
                .iter()
                .map(|item| item["id"].as_str().unwrap().to_owned())
                .collect()
        };
        assert_eq!(ids(&Page::default()), ["msg_b_in0", "msg_a_0", "msg_a_in0"]);
        let after = Page {
            limit: Some(1),
            ascending: true,
            after: Some("msg_a_in0".into()),
        };
        assert_eq!(ids(&after), ["msg_a_0"]);
        assert_eq!(
            states.item("", "msg_a_0", now()).unwrap().unwrap()["content"],
            "ONE"
        );
        assert_eq!(states.item("", "odd", now()).unwrap(), None);
        // Without its past an answer would be one to another question.
        states.remove("", "resp_a").unwrap();
        let failure = states.history("", "resp_b", now()).unwrap_err();
        assert!(
            failure.to_string().contains("'resp_a' not found"),
            "{failure}"
        );
    });
}

#[test]
fn the_least_recently_used_make_room() {
    let limits = Limits {
        responses: 2,
        ..Limits::default()
    };
    both(&limits, |mut states| {
        states.put(kept("a", "", None, "x"), now()).unwrap();
        states.put(kept("b", "", None, "x"), now()).unwrap();
        states.get("", "resp_a", now()).unwrap();
        states.put(kept("c", "", None, "x"), now()).unwrap();
        let there = |states: &mut States, id: &str| states.get("", id, now()).unwrap().is_some();
        assert_eq!(states.len(), 2);
        assert!(
            there(&mut states, "resp_a")
                && !there(&mut states, "resp_b")
                && there(&mut states, "resp_c")
        );
    });
}

#[test]
fn bytes_and_ages_are_bounded() {
    let limits = Limits {
        response_bytes: 600,
        memory_bytes: 800,
        disk_bytes: 800,
        history_bytes: 700,
        ..Limits::default()
    };
    both(&limits, |mut states| {
        assert!(
            !states
                .put(kept("big", "", None, &"x".repeat(600)), now())
                .unwrap()
        );
        for (id, previous) in [("a", None), ("b", Some("a")), ("c", Some("b"))] {
            assert!(states.put(kept(id, "", previous, "x"), now()).unwrap());
        }
        assert!(
            states.total <= 800 && states.memory <= 800,
            "{} {}",
            states.total,
            states.memory
        );
        assert!(states.len() < 3);
        let later = now() + Duration::from_secs(31 * 24 * 3600);
        assert_eq!(states.get("", "resp_c", later).unwrap(), None);
    });
    let mut states = States::in_memory(Limits {
        history_bytes: 700,
        ..Limits::default()
    });
    for (id, previous) in [("a", None), ("b", Some("a")), ("c", Some("b"))] {
        states.put(kept(id, "", previous, "x"), now()).unwrap();
    }
    let failure = states.history("", "resp_c", now()).unwrap_err();
    assert!(failure.to_string().contains("700 bytes"), "{failure}");
}

#[test]
fn a_circle_ends() {
    let mut states = States::in_memory(Limits {
        responses: 5,
        ..Limits::default()
    });
    states.put(kept("a", "", Some("a"), "x"), now()).unwrap();
    assert!(states.history("", "resp_a", now()).is_err());
}

#[test]
fn a_directory_is_found_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut states = States::open(dir.path(), Limits::default(), now()).unwrap();
    states
        .put(kept("a", "anna", None, "line\nbreak"), now())
        .unwrap();
    states.put(kept("b", "", None, "x"), now()).unwrap();
    drop(states);
    fs::write(dir.path().join("resp_c.new"), "half").unwrap();
    fs::write(dir.path().join("resp_d.json"), "no head").unwrap();
    fs::write(dir.path().join("other.txt"), "x").unwrap();
    let mut states = States::open(dir.path(), Limits::default(), now()).unwrap();
    assert_eq!(states.len(), 2);
    assert!(!dir.path().join("resp_c.new").exists());
    let found = states.get("anna", "resp_a", now()).unwrap().unwrap();
    assert_eq!(*found, kept("a", "anna", None, "line\nbreak"));
    // What is in memory is bounded by itself where the disk has it too.
    let small = Limits {
        memory_bytes: 1,
        ..Limits::default()
    };
    let mut states = States::open(dir.path(), small, now()).unwrap();
    assert!(states.get("anna", "resp_a", now()).unwrap().is_some());
    assert!(states.get("", "resp_b", now()).unwrap().is_some());
    assert_eq!((states.len(), states.memory), (2, 0));
    fs::write(
        dir.path().join("resp_b.json"),
        "{\"owner\":\"\",\"created\":1}\nbroken\n",
    )
    .unwrap();
    assert!(states.get("", "resp_b", now()).is_err());
}

#[test]
fn ids_are_no_paths() {
    for (id, valid) in [
        ("resp_a1", true),
        ("resp_", false),
        ("resp_../x", false),
        ("a", false),
        ("resp_a.b", false),
    ] {
        assert_eq!(is_id(id), valid, "{id}");
    }
    let dir = tempfile::tempdir().unwrap();
    let mut states = States::open(dir.path(), Limits::default(), now()).unwrap();
    let mut bad = kept("a", "", None, "x");
    bad.id = "resp_../../x".to_owned();
    assert!(states.put(bad, now()).is_err());
    assert_eq!(states.get("", "resp_../../x", now()).unwrap(), None);
}
