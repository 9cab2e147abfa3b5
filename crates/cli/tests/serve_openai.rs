//! OpenAI's routes beyond chats, through the program.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod server;

use std::{
    path::Path,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use server::Server;

fn data(stream: &str) -> Vec<Value> {
    let lines = stream
        .lines()
        .filter_map(|line| line.strip_prefix("data: "));
    lines
        .filter(|line| *line != "[DONE]")
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn several_prompts_are_one_answer() {
    let server = Server::start(&[]);
    let mut body = json!({
        "model": "bard", "prompt": ["To be", "Once more", "O Romeo"], "n": 2, "temperature": 0, "max_tokens": 6,
        "unheard_of": 1,
    });
    let whole = server.json("/v1/completions", &body);
    let choices = whole["choices"].as_array().unwrap();
    assert_eq!(choices.len(), 6);
    assert_eq!(choices[0]["text"], choices[1]["text"]);
    assert_ne!(choices[0]["text"], choices[2]["text"]);
    assert_eq!(whole["usage"]["completion_tokens"], 36);
    body["stream"] = json!(true);
    let (status, head, stream) = server.ask("POST", "/v1/completions", "", &body.to_string());
    assert_eq!(status, 200, "{stream}");
    assert!(head.contains("x-hearth-ignored: unheard_of"), "{head}");
    // What a schema asks for and no mask keeps is named there too.
    let schema = json!({"type": "array", "items": {"type": "boolean"}, "uniqueItems": true});
    let form = json!({"type": "json_schema", "json_schema": {"name": "list", "schema": schema}});
    let listed = json!({
        "model": "bard", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 4, "response_format": form,
    });
    let (_, head, _) = server.ask("POST", "/v1/chat/completions", "", &listed.to_string());
    assert!(head.contains("x-hearth-ignored: `uniqueItems`"), "{head}");
    let mut texts = vec![String::new(); 6];
    for frame in data(&stream) {
        let choice = &frame["choices"][0];
        let index = usize::try_from(choice["index"].as_u64().unwrap()).unwrap();
        texts[index] += choice["text"].as_str().unwrap();
    }
    for (text, choice) in texts.iter().zip(choices) {
        assert_eq!(choice["text"], json!(text));
    }
    let (status, text) = server.post(
        "/v1/completions",
        &json!({"model": "bard", "prompt": ["a", vec![1; 2000]]}),
    );
    assert_eq!(status, 400, "{text}");
    assert!(text.contains("context_length_exceeded"), "{text}");
}

#[test]
fn responses_follow_each_other_also_after_a_restart() {
    let server = Server::start(&[]);
    let body =
        json!({"model": "bard", "input": "Speak.", "temperature": 0, "max_output_tokens": 5});
    let first = server.json("/v1/responses", &body);
    let id = first["id"].as_str().unwrap().to_owned();
    let mut second = body.clone();
    second["previous_response_id"] = json!(id);
    second["stream"] = json!(true);
    let (_, stream) = server.post("/v1/responses", &second);
    let last = data(&stream).pop().unwrap();
    let ended = &last["response"];
    assert!(
        ended["usage"]["input_tokens"].as_u64() > first["usage"]["input_tokens"].as_u64(),
        "{ended}"
    );
    let follower = ended["id"].as_str().unwrap().to_owned();
    let server = server.again();
    let (status, text) = server.get(&format!("/v1/responses/{id}"));
    assert_eq!(status, 200, "{text}");
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), first);
    let (_, items) = server.get(&format!("/v1/responses/{follower}/input_items?order=asc"));
    let items: Value = serde_json::from_str(&items).unwrap();
    assert_eq!(items["data"].as_array().unwrap().len(), 3, "{items}");
    let counted = server.json("/v1/responses/input_tokens", &body);
    assert_eq!(counted["input_tokens"], first["usage"]["input_tokens"]);
    let (status, _, _) = server.ask("DELETE", &format!("/v1/responses/{id}"), "", "");
    assert_eq!(status, 200);
    second["stream"] = json!(false);
    for (path, wanted) in [
        (format!("/v1/responses/{id}"), 404),
        ("/v1/responses/..%2Fx".to_owned(), 400),
    ] {
        let (status, text) = server.get(&path);
        assert_eq!(status, wanted, "{text}");
    }
    let (status, text) = server.post("/v1/responses", &second);
    assert_eq!(status, 400, "{text}");
}

#[test]
fn vectors_are_the_same_in_every_dialect() {
    let server = Server::start(&[]);
    let texts = json!(["To be, or not to be", "Once more unto the breach"]);
    let openai = server.json(
        "/v1/embeddings",
        &json!({"model": "bard", "input": texts, "dimensions": 16}),
    );
    let ollama = server.json(
        "/api/embed",
        &json!({"model": "bard", "input": texts, "dimensions": 16}),
    );
    for i in 0..2 {
        let vector = &openai["data"][i]["embedding"];
        assert_eq!(vector, &ollama["embeddings"][i]);
        let square = |x: &Value| x.as_f64().unwrap().powi(2);
        let length: f64 = vector.as_array().unwrap().iter().map(square).sum();
        assert!((length - 1.0).abs() < 1e-5, "{length}");
    }
    assert_eq!(
        openai["usage"]["prompt_tokens"],
        ollama["prompt_eval_count"]
    );
    let old = server.json(
        "/api/embeddings",
        &json!({"model": "bard", "prompt": "To be, or not to be"}),
    );
    assert!(old["embedding"].as_array().unwrap().len() > 16);
    let long = "word ".repeat(2000);
    let cut = server.json("/api/embed", &json!({"model": "bard", "input": long}));
    assert_eq!(
        (&cut["hearth"]["truncated"], &cut["prompt_eval_count"]),
        (&json!(1), &json!(512))
    );
    for (path, body, wanted) in [
        (
            "/api/embed",
            json!({"model": "bard", "input": long, "truncate": false}),
            400,
        ),
        (
            "/v1/embeddings",
            json!({"model": "bard", "input": "a", "dimensions": 100_000}),
            400,
        ),
        (
            "/v1/embeddings",
            json!({"model": "bard", "input": [[1, 99_999]]}),
            400,
        ),
        (
            "/v1/embeddings",
            json!({"model": "nobody", "input": "a"}),
            404,
        ),
        ("/v1/classify", json!({"model": "bard", "input": "a"}), 400),
    ] {
        let (status, text) = server.post(path, &body);
        assert_eq!(status, wanted, "{path}: {text}");
    }
}

/// A form with a file, as clients send it.
fn upload(server: &Server, first: &str, file: &str, last: &str) -> (u16, String) {
    let field = |name: &str, value: &str| {
        format!("--xx\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    let purpose = |text: &str| match text {
        "" => String::new(),
        text => field("purpose", text),
    };
    let body = format!(
        "{}--xx\r\nContent-Disposition: form-data; name=\"file\"; filename=\"in.jsonl\"\r\n\r\n{file}\r\n{}--xx--\r\n",
        purpose(first),
        purpose(last)
    );
    let kind = "Content-Type: multipart/form-data; boundary=xx\r\n";
    let (status, _, text) = server.ask("POST", "/v1/files", kind, &body);
    (status, text)
}

fn lines(count: usize) -> String {
    let line = |i: usize| {
        let body = json!({"model": if i == 2 { "nobody" } else { "bard" }, "max_tokens": 4 + i % 3,
                          "messages": [{"role": "user", "content": format!("Speak {i}.")}]});
        let line = json!({"custom_id": format!("r{i}"), "method": "POST", "url": "/v1/chat/completions", "body": body});
        format!("{line}\n")
    };
    (0..count).map(line).collect()
}

fn wait(server: &Server, id: &str, until: impl Fn(&Value) -> bool) -> Value {
    let begun = Instant::now();
    loop {
        let (_, text) = server.get(&format!("/v1/batches/{id}"));
        let batch: Value = serde_json::from_str(&text).unwrap();
        if until(&batch) {
            return batch;
        }
        assert!(begun.elapsed() < Duration::from_secs(120), "{batch}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_batch_survives_the_death_of_its_server() {
    let server = Server::start(&[]);
    let (status, text) = server.get("/v1/files?limit=many");
    assert_eq!(status, 400);
    assert!(text.starts_with("{\"error\""), "{text}");
    assert_eq!(upload(&server, "music", "x", "").0, 400);
    assert_eq!(upload(&server, "", "x", "").0, 400);
    let (status, text) = upload(&server, "", &lines(120), "batch");
    assert_eq!(status, 200, "{text}");
    let file: Value = serde_json::from_str(&text).unwrap();
    let (_, content) = server.get(&format!(
        "/v1/files/{}/content",
        file["id"].as_str().unwrap()
    ));
    assert_eq!(content, lines(120));
    let batch = server.json(
        "/v1/batches",
        &json!({"input_file_id": file["id"], "endpoint": "/v1/chat/completions", "completion_window": "24h"}),
    );
    let id = batch["id"].as_str().unwrap();
    wait(&server, id, |batch| {
        batch["request_counts"]["completed"].as_u64() > Some(5)
    });
    let server = server.again();
    let batch = wait(&server, id, |batch| batch["status"] == "completed");
    assert_eq!(
        batch["request_counts"],
        json!({"total": 120, "completed": 119, "failed": 1})
    );
    let content = |file: &Value| {
        let (status, text) = server.get(&format!("/v1/files/{}/content", file.as_str().unwrap()));
        assert_eq!(status, 200);
        let lines = text.lines();
        lines
            .map(|line| serde_json::from_str::<Value>(line).unwrap())
            .collect::<Vec<_>>()
    };
    let answers = content(&batch["output_file_id"]);
    let mut names: Vec<&str> = answers
        .iter()
        .filter_map(|line| line["custom_id"].as_str())
        .collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), 119);
    for line in &answers {
        let text = &line["response"]["body"]["choices"][0]["message"]["content"];
        assert!(text.is_string(), "{line}");
    }
    let errors = content(&batch["error_file_id"]);
    assert_eq!(errors[0]["response"]["status_code"], 404, "{errors:?}");
    let (_, usage) = server.get("/api/usage");
    assert!(usage.contains("bard"), "{usage}");
    let (status, text) = server.post(&format!("/v1/batches/{id}/cancel"), &json!({}));
    assert_eq!(status, 400, "{text}");
    let second = server.json(
        "/v1/batches",
        &json!({"input_file_id": file["id"], "endpoint": "/v1/chat/completions"}),
    );
    let second = second["id"].as_str().unwrap();
    let (status, text) = server.post(&format!("/v1/batches/{second}/cancel"), &json!({}));
    assert_eq!(status, 200, "{text}");
    wait(&server, second, |batch| batch["status"] == "cancelled");
}

#[test]
fn encoders_rank_nothing_and_embed_much() {
    let kit = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../../shared/conformance/models/bert/model.gguf");
    if !kit.exists() {
        println!("skipped: no ../shared");
        return;
    }
    let server = Server::start(&[]);
    server.create("tiny", &kit);
    let texts: Vec<String> = (0..300).map(|i| format!("the kettle {i} sings")).collect();
    let all = server.json("/v1/embeddings", &json!({"model": "tiny", "input": texts}));
    assert_eq!(all["data"].as_array().unwrap().len(), 300);
    let one = server.json(
        "/v1/embeddings",
        &json!({"model": "tiny", "input": texts[299]}),
    );
    assert_eq!(all["data"][299]["embedding"], one["data"][0]["embedding"]);
    for (path, body) in [
        (
            "/api/generate",
            json!({"model": "tiny", "prompt": "a", "stream": false}),
        ),
        (
            "/v1/chat/completions",
            json!({"model": "tiny", "messages": [{"role": "user", "content": "a"}]}),
        ),
    ] {
        let (status, text) = server.post(path, &body);
        assert_eq!(status, 400, "{path}: {text}");
        assert!(text.contains("does not support"), "{text}");
    }
}
