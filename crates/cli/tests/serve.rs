//! The server as a program: started, asked over sockets as its clients do, ended.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod server;

use std::{
    io::Read,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use server::Server;

fn hello() -> Value {
    json!([{"role": "user", "content": "Speak."}])
}

#[test]
fn every_dialect_tells_the_same_answer_whole_and_in_pieces() {
    let server = Server::start(&[]);
    let options = json!({"temperature": 0, "num_predict": 12});
    let whole = server.json(
        "/api/chat",
        &json!({"model": "bard", "messages": hello(), "stream": false, "options": options}),
    );
    let text = whole["message"]["content"].as_str().unwrap().to_owned();
    assert!(!text.is_empty() && whole["done"] == true, "{whole}");
    assert_eq!(whole["hearth"]["limit"], 512);
    let (_, lines) = server.post(
        "/api/chat",
        &json!({"model": "bard", "messages": hello(), "options": options}),
    );
    let frames: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let streamed: String = frames
        .iter()
        .map(|f| f["message"]["content"].as_str().unwrap())
        .collect();
    assert_eq!(streamed, text);
    assert_eq!(frames.last().unwrap()["eval_count"], whole["eval_count"]);

    let asked = json!({"model": "bard", "messages": hello(), "temperature": 0, "max_tokens": 12});
    let open_ai = server.json("/v1/chat/completions", &asked);
    assert_eq!(open_ai["choices"][0]["message"]["content"], text.as_str());
    let mut streamed = asked.clone();
    streamed["stream"] = json!(true);
    let (_, events) = server.post("/v1/chat/completions", &streamed);
    assert!(events.ends_with("data: [DONE]\n\n"), "{events}");
    let data = events
        .lines()
        .filter_map(|line| line.strip_prefix("data: {"));
    let deltas = data.map(|rest| serde_json::from_str::<Value>(&format!("{{{rest}")).unwrap());
    let streamed: String = deltas
        .filter_map(|chunk| {
            chunk["choices"][0]["delta"]["content"]
                .as_str()
                .map(str::to_owned)
        })
        .collect();
    assert_eq!(streamed, text);

    let anthropic = server.json("/v1/messages", &asked);
    assert_eq!(anthropic["content"][0]["text"], text.as_str());
    let count = server.json("/v1/messages/count_tokens", &asked);
    let usage = &anthropic["usage"];
    let input = usage["input_tokens"].as_u64().unwrap()
        + usage["cache_read_input_tokens"].as_u64().unwrap();
    assert_eq!(count["input_tokens"], input);
}

#[test]
fn answers_keep_to_the_schema_that_is_asked_for() {
    let server = Server::start(&[]);
    let schema = json!({
        "type": "object", "additionalProperties": false, "required": ["day", "sunny", "words"],
        "properties": {
            "day": {"enum": ["monday", "friday"]}, "sunny": {"type": "boolean"},
            "words": {"type": "array", "items": {"type": "string", "maxLength": 5}, "maxItems": 2},
        },
    });
    for (path, format) in [
        ("/api/chat", json!({"format": schema, "stream": false})),
        (
            "/v1/chat/completions",
            json!({"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}}),
        ),
    ] {
        let mut body = json!({"model": "bard", "messages": hello(), "max_tokens": 200, "options": {"num_predict": 200}});
        body.as_object_mut()
            .unwrap()
            .extend(format.as_object().unwrap().clone());
        let answer = server.json(path, &body);
        let text = answer
            .pointer("/message/content")
            .or(answer.pointer("/choices/0/message/content"));
        let value: Value = serde_json::from_str(text.unwrap().as_str().unwrap()).unwrap();
        assert!(
            value["day"] == "monday" || value["day"] == "friday",
            "{value}"
        );
        assert!(
            value["sunny"].is_boolean() && value["words"].as_array().unwrap().len() <= 2,
            "{value}"
        );
    }
    let (status, text) = server.post(
        "/api/chat",
        &json!({"model": "bard", "messages": hello(), "format": {"type": "nothing"}}),
    );
    assert_eq!(status, 400, "{text}");
}

#[test]
fn what_cannot_be_done_is_refused_in_each_dialects_words() {
    let server = Server::start(&[]);
    let long = json!([{"role": "user", "content": "word ".repeat(3000)}]);
    let error = |path: &str, body: Value| {
        let (status, text) = server.post(path, &body);
        let value: Value = serde_json::from_str(&text).unwrap();
        (status, value)
    };
    let (status, body) = error("/api/chat", json!({"model": "none", "messages": hello()}));
    assert_eq!(
        (status, &body["error"]),
        (404, &json!("model 'none' not found"))
    );
    let (status, body) = error(
        "/v1/chat/completions",
        json!({"model": "none", "messages": hello()}),
    );
    assert_eq!(
        (status, &body["error"]["code"]),
        (404, &json!("model_not_found"))
    );
    let (status, body) = error(
        "/v1/messages",
        json!({"model": "none", "max_tokens": 1, "messages": hello()}),
    );
    assert_eq!(
        (status, &body["error"]["type"]),
        (404, &json!("not_found_error"))
    );
    let (status, body) = error(
        "/v1/chat/completions",
        json!({"model": "bard", "messages": long}),
    );
    assert_eq!(
        (status, &body["error"]["code"]),
        (400, &json!("context_length_exceeded")),
        "{body}"
    );
    let (status, text) = server.post(
        "/api/chat",
        &json!({"model": "/etc/passwd", "messages": hello()}),
    );
    assert!(status == 404 || status == 400, "{text}");
    // Rebinding, foreign pages, and paths that are not there.
    assert_eq!(
        server
            .ask("GET", "/api/tags", "Host: evil.example\r\n", "")
            .0,
        403
    );
    assert_eq!(
        server
            .ask("GET", "/api/tags", "Origin: https://example.com\r\n", "")
            .0,
        403
    );
    assert_eq!(server.ask("GET", "/api/nothing", "", "").0, 404);
    let (status, head, text) = server.ask("GET", "/", "", "");
    assert_eq!((status, text.as_str()), (200, "Ollama is running"));
    assert!(head.to_lowercase().contains("x-request-id"), "{head}");
}

/// The sum of a figure over its labels.
fn figure(metrics: &str, name: &str) -> i64 {
    let lines = metrics.lines().filter(|line| {
        let rest = line.strip_prefix(name).unwrap_or("?");
        rest.starts_with([' ', '{'])
    });
    lines
        .map(|line| line.rsplit(' ').next().unwrap().parse::<i64>().unwrap())
        .sum()
}

#[test]
fn whoever_hangs_up_stops_the_work_and_gives_its_pages_back() {
    let server = Server::start(&["--parallel", "8"]);
    let few = json!({"model": "bard", "prompt": "Once", "raw": true, "stream": false, "options": {"num_predict": 3}});
    assert_eq!(server.json("/api/generate", &few)["eval_count"], 3);
    // Before anything is said, while it waits, in the prompt, in the answer, whole and in pieces.
    let leave = &|number: usize| {
        let stream = !number.is_multiple_of(3);
        let prompt = format!("{number} {}", "and then ".repeat(number * 7 % 40));
        let chat = json!([{"role": "user", "content": prompt}]);
        let (path, body) = match number % 4 {
            0 => (
                "/api/generate",
                json!({"model": "bard", "prompt": prompt, "stream": stream}),
            ),
            1 => (
                "/api/chat",
                json!({"model": "bard", "messages": chat, "stream": stream}),
            ),
            2 => (
                "/v1/chat/completions",
                json!({"model": "bard", "messages": chat, "stream": stream}),
            ),
            _ => (
                "/v1/messages",
                json!({"model": "bard", "max_tokens": 400, "messages": chat, "stream": stream}),
            ),
        };
        let mut connection = server.send("POST", path, "", &body.to_string());
        // 0 to 63 ms, by a rule that looks like chance.
        let moment = Duration::from_millis((number * 37 % 64) as u64 + 1);
        connection.set_read_timeout(Some(moment)).unwrap();
        let mut begun = vec![0; number * 91 % 2000 + 1];
        let _ = connection.read_exact(&mut begun);
    };
    std::thread::scope(|scope| {
        for thread in 0..16 {
            scope.spawn(move || (0..10).for_each(|turn| leave(thread * 10 + turn)));
        }
    });
    let begun = Instant::now();
    loop {
        let (_, _, metrics) = server.ask("GET", "/metrics", "", "");
        // This request itself is one.
        let flying = figure(&metrics, "hearth_requests_in_flight") - 1;
        let texts =
            figure(&metrics, "hearth_texts_running") + figure(&metrics, "hearth_queue_length");
        let kept = figure(&metrics, "hearth_cache_pages_kept");
        let own = figure(&metrics, "hearth_cache_pages_used") - kept;
        assert!(
            metrics.contains("hearth_cache_pages_used{model=\"bard\"}"),
            "{metrics}"
        );
        if (flying, texts, own) == (0, 0, 0) {
            assert!(kept <= figure(&metrics, "hearth_cache_pages"));
            break;
        }
        assert!(
            begun.elapsed() < Duration::from_secs(30),
            "{flying} requests, {texts} texts and {own} pages are left"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(server.json("/api/generate", &few)["eval_count"], 3);
}

#[test]
fn a_model_is_loaded_before_anybody_asks_and_leaves_for_another() {
    let server = Server::start(&["--load", "bard", "--max-models", "1"]);
    let loaded = || {
        let value: Value = serde_json::from_str(&server.get("/api/ps").1).unwrap();
        let models = value["models"].as_array().unwrap().clone();
        models
            .into_iter()
            .map(|m| m["name"].clone())
            .collect::<Vec<_>>()
    };
    server.until(|| loaded().len() == 1);
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../server/assets/bard.gguf");
    server.create("verse", &file);
    server.json(
        "/api/generate",
        &json!({"model": "verse", "stream": false, "prompt": "Once"}),
    );
    assert_eq!(loaded(), ["verse:latest"]);
}

#[test]
fn who_comes_past_a_full_queue_is_told_when_to_come_again() {
    let server = Server::start(&["--parallel", "1", "--max-queue", "2"]);
    for path in ["/api/generate", "/v1/completions"] {
        let body = json!({"model": "bard", "prompt": "Once", "raw": true, "stream": false, "max_tokens": 400,
            "options": {"num_predict": 400}});
        let answers: Vec<_> = std::thread::scope(|scope| {
            let asked: Vec<_> = (0..16)
                .map(|_| scope.spawn(|| server.ask("POST", path, "", &body.to_string())))
                .collect();
            asked.into_iter().map(|one| one.join().unwrap()).collect()
        });
        let (mut done, mut refused) = (0, 0);
        for (status, head, body) in answers {
            let body: Value = serde_json::from_str(&body).unwrap();
            if status == 200 {
                done += 1;
            } else {
                refused += 1;
                assert_eq!(status, 503, "{body}");
                assert!(head.to_lowercase().contains("\r\nretry-after: "), "{head}");
                assert!(!body["error"].is_null(), "{body}");
            }
        }
        // Two wait; if one is under way before the last comes, three are answered.
        assert!(
            done >= 2 && refused > 0,
            "{done} answered, {refused} refused"
        );
    }
}

#[test]
fn other_machines_need_a_key_and_sixteen_chats_go_at_once() {
    let refused = Command::new(env!("CARGO_BIN_EXE_hearth"))
        .args(["serve", "--listen", "0.0.0.0:0"])
        .output()
        .unwrap();
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--insecure"));
    let server = Server::start(&["--parallel", "16"]);
    std::thread::scope(|scope| {
        let chats: Vec<_> = (0..16)
            .map(|n| {
                let server = &server;
                scope.spawn(move || {
                    let body = json!({"model": "bard", "prompt": format!("Number {n}:"), "raw": true, "stream": false,
                        "options": {"num_predict": 30, "seed": n}});
                    server.json("/api/generate", &body)["eval_count"].as_u64().unwrap()
                })
            })
            .collect();
        for chat in chats {
            assert!(chat.join().unwrap() > 0);
        }
    });
    let loaded = server.ask("GET", "/api/ps", "", "").2;
    let loaded: Value = serde_json::from_str(&loaded).unwrap();
    assert_eq!(loaded["models"][0]["name"], "bard:latest");
}

/// The number behind a word in a file of `/proc`.
#[cfg(target_os = "linux")]
fn number_in(path: &str, word: &str) -> usize {
    let text = std::fs::read_to_string(path).unwrap();
    let rest = text.lines().find_map(|line| line.strip_prefix(word));
    rest.unwrap()
        .split_whitespace()
        .next()
        .unwrap()
        .parse()
        .unwrap()
}

#[cfg(target_os = "linux")]
#[test]
fn ten_thousand_resting_connections_fit_in_200_megabytes() {
    let server = Server::start(&[]);
    let files = number_in("/proc/self/limits", "Max open files");
    let count = files.saturating_sub(200).min(10_000);
    let rest = |_| {
        let mut stream = std::net::TcpStream::connect(&server.address).unwrap();
        let line = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
        std::io::Write::write_all(&mut stream, line).unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200");
        stream
    };
    let connections: Vec<_> = (0..count).map(rest).collect();
    let taken = 1024 * number_in(&format!("/proc/{}/status", server.id()), "VmRSS:");
    println!("{taken} bytes for {} connections", connections.len());
    assert!(taken < 200_000_000 * count / 10_000 + 20_000_000, "{taken}");
    assert!(count < 10_000 || taken < 200_000_000, "{taken}");
}

#[test]
fn models_of_other_programs_are_listed_and_answer() {
    let store = tempfile::tempdir().unwrap();
    let folder = store.path().join(".lmstudio/models/poets/globe");
    std::fs::create_dir_all(&folder).unwrap();
    let bard = concat!(env!("CARGO_MANIFEST_DIR"), "/../server/assets/bard.gguf");
    std::fs::copy(bard, folder.join("globe-Q8_0.gguf")).unwrap();
    let server = Server::on(store, &[]);
    let tags: Value = serde_json::from_str(&server.get("/api/tags").1).unwrap();
    let names: Vec<&str> = tags["models"]
        .as_array()
        .unwrap()
        .iter()
        .map(|model| model["name"].as_str().unwrap())
        .collect();
    let name = *names.iter().find(|name| name.contains("globe")).unwrap();
    assert_eq!(names.len(), 2, "{names:?}");
    let models: Value = serde_json::from_str(&server.get("/v1/models").1).unwrap();
    let ids = models["data"].as_array().unwrap().iter();
    let ids: Vec<&str> = ids.map(|model| model["id"].as_str().unwrap()).collect();
    assert!(ids.contains(&name) && ids.contains(&"bard"), "{ids:?}");
    let body = format!(
        r#"{{"model": "{name}", "prompt": "To be", "stream": false, "options": {{"num_predict": 2}}}}"#
    );
    let (status, _, answer) = server.ask("POST", "/api/generate", "", &body);
    assert_eq!(status, 200, "{answer}");
}
