//! llama-server as a program: its flags, its routes, its streams and its refusals.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod models;
#[path = "../server/mod.rs"]
mod server;
#[path = "../../../store/tests/support/mod.rs"]
mod support;

use std::{
    io::{BufRead, BufReader},
    ops::Deref,
    path::Path,
    process::{Command, Output},
};

use serde_json::{Value, json};
use server::{Server, program};

const BARD: &[u8] = include_bytes!("../../../server/assets/bard.gguf");

/// A server whose answers are JSON.
struct Llama(Server);

impl Deref for Llama {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.0
    }
}

fn command(store: &Path, flags: &[&str]) -> Command {
    program(store, &[&["llama-server"], flags].concat())
}

impl Llama {
    /// Bard on any free port, once it is loaded.
    fn start(more: &[&str]) -> Self {
        let flags = ["-m", "bard", "-c", "512", "--port", "0"];
        Self::with(&[&flags[..], more].concat())
    }

    fn with(flags: &[&str]) -> Self {
        let store = tempfile::tempdir().unwrap();
        let command = command(store.path(), flags);
        let llama = Self(Server::begin(store, command));
        llama.until(|| llama.get("/health").0 == 200);
        llama
    }

    fn ask(&self, method: &str, path: &str, headers: &str, body: &str) -> (u16, String) {
        let (status, _, body) = self.0.ask(method, path, headers, body);
        (status, body)
    }

    fn get(&self, path: &str) -> (u16, Value) {
        let (status, text) = self.ask("GET", path, "", "");
        let value = serde_json::from_str(&text);
        (status, value.unwrap_or_else(|_| panic!("{path}: {text}")))
    }

    fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let (status, text) = self.ask("POST", path, "", &body.to_string());
        let value = serde_json::from_str(&text);
        (status, value.unwrap_or_else(|_| panic!("{path}: {text}")))
    }

    fn json(&self, path: &str, body: Value) -> Value {
        self.0.json(path, &body)
    }

    /// The objects of a native stream.
    fn stream(&self, path: &str, mut body: Value) -> Vec<Value> {
        body["stream"] = json!(true);
        let (status, text) = self.ask("POST", path, "", &body.to_string());
        assert_eq!(status, 200, "{text}");
        objects(&text)
    }
}

/// The objects of an event stream.
fn objects(text: &str) -> Vec<Value> {
    let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
    data.filter(|data| *data != "[DONE]")
        .map(|data| serde_json::from_str(data).unwrap())
        .collect()
}

fn texts(frames: &[Value], index: u64) -> String {
    let of = frames.iter().filter(|frame| frame["index"] == index);
    of.map(|frame| frame["content"].as_str().unwrap()).collect()
}

fn run(flags: &[&str], env: &[(&str, &str)]) -> Output {
    let store = tempfile::tempdir().unwrap();
    let mut command = command(store.path(), flags);
    command.envs(env.iter().copied()).output().unwrap()
}

const GREEDY: &str = r#"{"temperature": 0, "n_predict": 8, "prompt": "To be"}"#;

fn greedy(more: Value) -> Value {
    let mut body: Value = serde_json::from_str(GREEDY).unwrap();
    let more = more.as_object().unwrap().clone();
    body.as_object_mut().unwrap().extend(more);
    body
}

#[test]
fn a_completion_whole_and_in_pieces() {
    let server = Llama::start(&[]);
    let whole = server.json("/completion", greedy(json!({"return_tokens": true})));
    let text = whole["content"].as_str().unwrap();
    assert!(!text.is_empty() && whole["stop"] == true, "{whole}");
    assert_eq!(whole["tokens_predicted"], 8);
    assert_eq!(whole["tokens"].as_array().unwrap().len(), 8);
    assert_eq!(whole["stop_type"], "limit");
    assert_eq!(whole["model"], "bard");
    assert_eq!(whole["prompt"], "To be");
    assert_eq!(whole["generation_settings"]["top_p"], 0.95);
    assert!(whole["timings"]["predicted_ms"].as_f64().unwrap() >= 0.0);
    let frames = server.stream("/completions", greedy(json!({"timings_per_token": true})));
    assert_eq!(texts(&frames, 0), text);
    let (last, pieces) = frames.split_last().unwrap();
    assert!(last["stop"] == true && last["content"] == "" && last["timings"].is_object());
    assert!(
        pieces
            .iter()
            .all(|it| it["stop"] == false && it["timings"].is_object())
    );
    // What the next token may be is told of each.
    let likely = server.json("/completion", greedy(json!({"n_probs": 3})));
    let list = likely["completion_probabilities"].as_array().unwrap();
    assert_eq!(list.len(), 8);
    assert_eq!(list[0]["top_logprobs"].as_array().unwrap().len(), 3);
    assert_eq!(list[0]["id"], list[0]["top_logprobs"][0]["id"]);
    let only = server.json(
        "/completion",
        greedy(json!({"response_fields": ["content", "timings/cache_n"]})),
    );
    assert_eq!(only["content"], text);
    assert_eq!(only.as_object().unwrap().len(), 2);
    let stopped = server.json("/completion", greedy(json!({"stop": [&text[2..4]]})));
    assert_eq!(
        (
            stopped["stop_type"].as_str(),
            stopped["stopping_word"].as_str()
        ),
        (Some("word"), Some(&text[2..4]))
    );
}

#[test]
fn several_prompts_come_mixed_and_each_as_if_alone() {
    let server = Llama::start(&[]);
    let prompts = ["To be", "Once upon", "My lord"];
    let alone: Vec<String> = prompts
        .iter()
        .map(|prompt| {
            let answer = server.json("/completion", greedy(json!({"prompt": prompt})));
            answer["content"].as_str().unwrap().to_owned()
        })
        .collect();
    let whole = server.json("/completion", greedy(json!({"prompt": prompts})));
    let frames = server.stream("/completion", greedy(json!({"prompt": prompts})));
    for (index, alone) in alone.iter().enumerate() {
        assert_eq!(whole[index]["content"], alone.as_str());
        assert_eq!(whole[index]["index"], index);
        assert_eq!(&texts(&frames, index as u64), alone);
    }
    assert_eq!(frames.iter().filter(|it| it["stop"] == true).count(), 3);
    let ids = server.json(
        "/tokenize",
        json!({"content": "To be", "add_special": true}),
    );
    let by_ids = server.json("/completion", greedy(json!({"prompt": ids["tokens"]})));
    assert_eq!(by_ids["content"], alone[0].as_str());
    let several = server.json("/completion", greedy(json!({"n_cmpl": 2, "seed": 1})));
    assert_eq!(several.as_array().unwrap().len(), 2);
}

#[test]
fn how_far_a_prompt_is_read_is_told() {
    let server = Llama::start(&[]);
    let long = "Now is the winter of our discontent. ".repeat(20);
    let asked = greedy(json!({"prompt": long, "return_progress": true}));
    let frames = server.stream("/completion", asked);
    let progress: Vec<&Value> = frames
        .iter()
        .map(|frame| &frame["prompt_progress"])
        .filter(|it| it.is_object())
        .collect();
    let last = progress.last().unwrap();
    assert_eq!(last["processed"], last["total"]);
    assert_eq!(last["total"], frames.last().unwrap()["tokens_evaluated"]);
}

#[test]
fn refusals_have_the_status_as_their_code() {
    let server = Llama::start(&["-np", "2"]);
    let long = "word ".repeat(3000);
    for (path, body, status, kind) in [
        ("/completion", json!({}), 400, "invalid_request_error"),
        (
            "/completion",
            json!({"prompt": "a", "n_predict": -5}),
            400,
            "invalid_request_error",
        ),
        (
            "/completion",
            json!({"prompt": "a", "n_cmpl": 3}),
            400,
            "invalid_request_error",
        ),
        (
            "/completion",
            json!({"prompt": "a", "id_slot": 2}),
            400,
            "invalid_request_error",
        ),
        (
            "/completion",
            json!({"prompt": long, "stream": true}),
            400,
            "exceed_context_size_error",
        ),
        (
            "/completion",
            json!({"prompt": "a", "grammar": "root ::= oops"}),
            400,
            "invalid_request_error",
        ),
        (
            "/v1/chat/completions",
            json!({"messages": 3}),
            400,
            "invalid_request_error",
        ),
        (
            "/v1/chat/completions",
            json!({"messages": [{"role": "user", "content": long}]}),
            400,
            "exceed_context_size_error",
        ),
        (
            "/infill",
            json!({"input_prefix": "a"}),
            400,
            "invalid_request_error",
        ),
        (
            "/infill",
            json!({"input_prefix": "a", "input_suffix": "b"}),
            501,
            "not_supported_error",
        ),
        (
            "/lora-adapters",
            json!([{"id": 0, "scale": 0.5}]),
            400,
            "invalid_request_error",
        ),
        ("/props", json!({}), 501, "not_supported_error"),
        (
            "/slots/0?action=save",
            json!({"filename": "a"}),
            501,
            "not_supported_error",
        ),
        (
            "/embedding",
            json!({"content": "a"}),
            501,
            "not_supported_error",
        ),
        (
            "/rerank",
            json!({"query": "a", "documents": ["b"]}),
            501,
            "not_supported_error",
        ),
        ("/nothing", json!({}), 404, "not_found_error"),
        ("/api/chat", json!({}), 404, "not_found_error"),
    ] {
        let (found, value) = server.post(path, &body);
        let error = &value["error"];
        assert_eq!(
            (found, &error["code"], &error["type"]),
            (status, &json!(status), &json!(kind)),
            "{path}: {value}"
        );
        assert!(!error["message"].as_str().unwrap().is_empty());
    }
    let (_, value) = server.post("/completion", &json!({"prompt": long}));
    assert_eq!(value["error"]["n_ctx"], 512);
    assert!(value["error"]["n_prompt_tokens"].as_u64().unwrap() > 512);
    let (status, value) = server.get("/metrics");
    assert_eq!((status, &value["error"]["code"]), (501, &json!(501)));
}

#[test]
fn what_the_server_says_of_itself() {
    let server = Llama::start(&[
        "-a",
        "poet,bard",
        "--tags",
        "old",
        "-np",
        "3",
        "--props",
        "--metrics",
    ]);
    assert_eq!(server.get("/health"), (200, json!({"status": "ok"})));
    let (_, props) = server.get("/props");
    assert_eq!(props["model_alias"], "poet");
    assert_eq!(
        (
            &props["total_slots"],
            &props["default_generation_settings"]["n_ctx"]
        ),
        (&json!(3), &json!(512))
    );
    assert_eq!(
        props["default_generation_settings"]["params"]["temperature"],
        0.8
    );
    assert!(!props["chat_template"].as_str().unwrap().is_empty());
    assert_eq!(
        (&props["endpoint_props"], &props["is_sleeping"]),
        (&json!(true), &json!(false))
    );
    assert_eq!(
        server.post("/props", &json!({})),
        (200, json!({"success": true}))
    );
    for path in ["/v1/models", "/models"] {
        let (_, models) = server.get(path);
        let model = &models["data"][0];
        assert_eq!(
            (&model["id"], &model["aliases"], &model["tags"]),
            (&json!("poet"), &json!(["poet", "bard"]), &json!(["old"]))
        );
        assert_eq!(model["owned_by"], "llamacpp");
        assert!(model["meta"]["n_params"].as_u64().unwrap() > 5_000_000);
        assert_eq!(models["models"][0]["name"], "poet");
    }
    assert_eq!(server.get("/lora-adapters"), (200, json!([])));
    assert_eq!(
        server.post("/lora-adapters", &json!([])),
        (200, json!({"success": true}))
    );
    let (status, text) = server.ask("GET", "/metrics", "", "");
    assert!(status == 200 && text.contains("llamacpp:"), "{text}");
    // Any name of a model means the one that is served.
    let named = server.json("/completion", greedy(json!({"model": "gpt-4"})));
    assert_eq!(named["model"], "poet");
}

#[test]
fn places_show_what_is_done() {
    let server = Llama::start(&["-np", "2"]);
    let (_, slots) = server.get("/slots");
    assert_eq!(slots.as_array().unwrap().len(), 2);
    assert_eq!(
        (&slots[0]["is_processing"], &slots[0]["n_ctx"]),
        (&json!(false), &json!(512))
    );
    let answer = server.json("/completion", greedy(json!({"id_slot": 1})));
    assert_eq!(answer["id_slot"], 1);
    let (_, slots) = server.get("/slots");
    assert_eq!(slots[1]["next_token"][0]["n_decoded"], 8);
    assert_eq!(slots[1]["params"]["temperature"], 0.0);
    assert!(slots[0].get("params").is_none());
    let endless =
        json!({"prompt": "Once", "n_predict": 480, "ignore_eos": true, "stream": true}).to_string();
    let running = [0, 1].map(|_| server.send("POST", "/completion", "", &endless));
    server.until(|| server.get("/slots?fail_on_no_slot=1").0 == 503);
    // Whoever hangs up stops the work.
    drop(running);
    server.until(|| {
        let (_, slots) = server.get("/slots");
        slots
            .as_array()
            .unwrap()
            .iter()
            .all(|slot| slot["is_processing"] == false)
    });
    let (_, decoded) = server.get("/slots");
    assert!(
        decoded[0]["next_token"][0]["n_decoded"].as_u64().unwrap() < 480,
        "{decoded}"
    );
}

#[test]
fn a_place_outlives_the_server() {
    let folder = tempfile::tempdir().unwrap();
    let saved = folder.path().join("slots");
    let flags = ["--slot-save-path", saved.to_str().unwrap()];
    let prompt = "Now is the winter of our discontent. ".repeat(12);
    let asked = || greedy(json!({"prompt": prompt, "id_slot": 1}));
    let file = json!({"filename": "one.bin"});
    let server = Llama::start(&flags);
    let first = server.json("/completion", asked());
    assert_eq!(first["timings"]["cache_n"], 0);
    let kept = server.json("/slots/1?action=save", file.clone());
    let tokens = kept["n_saved"].as_u64().unwrap();
    assert!(
        tokens >= first["tokens_evaluated"].as_u64().unwrap(),
        "{kept}"
    );
    assert!(kept["n_written"].as_u64().unwrap() > 1000, "{kept}");
    drop(server);

    let server = Llama::start(&flags);
    let back = server.json("/slots/1?action=restore", file.clone());
    assert_eq!(
        (&back["n_restored"], &back["n_read"]),
        (&kept["n_saved"], &kept["n_written"])
    );
    let again = server.json("/completion", asked());
    assert_eq!(again["content"], first["content"]);
    assert!(
        again["timings"]["cache_n"].as_u64().unwrap() > tokens / 2,
        "{again}"
    );
    let erased = server.json("/slots/1?action=erase", json!({}));
    assert!(erased["n_erased"].as_u64().unwrap() >= tokens, "{erased}");
    for (path, body) in [
        ("/slots/9?action=erase", json!({})),
        ("/slots/0?action=keep", json!({})),
        ("/slots/0?action=save", json!({"filename": "../one.bin"})),
        ("/slots/0?action=restore", json!({"filename": "two.bin"})),
    ] {
        let (status, value) = server.post(path, &body);
        assert_eq!(
            (status, &value["error"]["code"]),
            (400, &json!(400)),
            "{path}"
        );
    }
    std::fs::write(saved.join("bad.bin"), b"not one").unwrap();
    let (status, _) = server.post("/slots/0?action=restore", &json!({"filename": "bad.bin"}));
    assert_eq!(status, 400);
}

#[test]
fn chats_take_native_fields_and_need_no_model() {
    let server = Llama::start(&["--temp", "0", "-n", "6"]);
    let hello = json!([{"role": "user", "content": "Speak."}]);
    let chat = server.json("/v1/chat/completions", json!({"messages": hello}));
    assert_eq!(chat["model"], "bard");
    assert_eq!(chat["usage"]["completion_tokens"], 6);
    assert!(chat["timings"]["predicted_n"] == 6, "{chat}");
    let text = chat["choices"][0]["message"]["content"]
        .as_str()
        .unwrap()
        .to_owned();
    let same = server.json("/chat/completions", json!({"messages": hello, "n_predict": 6, "top_k": 1, "temperature": 1.0, "samplers": ["top_k"], "id_slot": 0}));
    assert_eq!(same["choices"][0]["message"]["content"], text.as_str());
    let prompt = server.json("/apply-template", json!({"messages": hello}));
    let prompt = prompt["prompt"].as_str().unwrap();
    assert!(prompt.contains("Speak."));
    let plain = server.json("/completion", json!({"prompt": prompt}));
    assert_eq!(plain["content"], text.as_str());
    let shaped = server.json(
        "/v1/chat/completions",
        json!({"messages": hello, "grammar": "root ::= \"yes\" | \"no\""}),
    );
    let word = shaped["choices"][0]["message"]["content"].as_str().unwrap();
    assert!(word == "yes" || word == "no", "{word}");
    let mut asked = json!({"messages": hello, "return_progress": true});
    asked["stream"] = json!(true);
    let (_, events) = server.ask("POST", "/v1/chat/completions", "", &asked.to_string());
    assert!(
        events.contains("prompt_progress") && events.contains("\"timings\""),
        "{events}"
    );
    assert!(events.ends_with("data: [DONE]\n\n"), "{events}");
}

#[test]
fn prompts_of_chats_are_counted() {
    let server = Llama::start(&["--temp", "0", "-n", "2"]);
    let body = json!({"messages": [{"role": "user", "content": "Speak."}]});
    let chat = server.json("/v1/chat/completions", body.clone());
    for path in [
        "/v1/chat/completions/input_tokens",
        "/chat/completions/input_tokens",
    ] {
        let counted = server.json(path, body.clone());
        assert_eq!(counted["object"], "response.input_tokens");
        assert_eq!(counted["input_tokens"], chat["usage"]["prompt_tokens"]);
    }
    let counted = server.json("/v1/responses/input_tokens", json!({"input": "Speak."}));
    assert_eq!(counted["input_tokens"], chat["usage"]["prompt_tokens"]);
}

#[test]
fn thoughts_of_what_runs_can_be_ended() {
    let server = Llama::start(&["-n", "400"]);
    let path = "/v1/chat/completions/control";
    let ends = |id: &str| {
        server.json(path, json!({"id": id, "action": "reasoning_end"}))["success"] == true
    };
    let body = json!({"messages": [{"role": "user", "content": "Speak."}], "stream": true, "ignore_eos": true, "reasoning_control": true});
    let stream = server.send("POST", "/v1/chat/completions", "", &body.to_string());
    let lines = BufReader::new(stream).lines().map(Result::unwrap);
    let mut events = lines.filter_map(|line| {
        let data = line.strip_prefix("data: {")?;
        serde_json::from_str::<Value>(&format!("{{{data}")).ok()
    });
    let id = events.next().unwrap()["id"].as_str().unwrap().to_owned();
    assert!(ends(&id));
    assert!(!ends("chatcmpl-nobody"));
    assert!(events.count() > 1);
    server.until(|| !ends(&id));
    for wrong in [
        json!({"id": id, "action": "sing"}),
        json!({"action": "reasoning_end"}),
    ] {
        assert_eq!(server.post(path, &wrong).0, 400, "{wrong}");
    }
}

/// A stream whose bytes are read one event at a time, then given up.
fn begun(server: &Server, path: &str, headers: &str, body: &Value) -> Vec<u8> {
    let mut lines = BufReader::new(server.send("POST", path, headers, &body.to_string()));
    let mut line = String::new();
    while !line.starts_with("data: ") {
        line.clear();
        assert!(lines.read_line(&mut line).unwrap() > 0);
    }
    line.into_bytes()
}

fn endless(prompt: &str) -> Value {
    json!({"prompt": prompt, "n_predict": 480, "ignore_eos": true, "stream": true, "temperature": 0})
}

const CONVERSATION: &str = "X-Conversation-Id: talk::bard\r\n";

#[test]
fn a_stream_goes_on_without_its_client() {
    let server = Llama::start(&[]);
    let first = begun(&server, "/completion", CONVERSATION, &endless("Once"));
    let stream = |from: &str| {
        server.ask(
            "GET",
            &format!("/v1/stream?conv_id=talk::bard{from}"),
            "",
            "",
        )
    };
    // It is followed to its end, which comes although the client hung up.
    let (status, whole) = stream("");
    assert_eq!(status, 200, "{whole}");
    assert!(whole.as_bytes().starts_with(first.trim_ascii_end()));
    let frames = objects(&whole);
    let last = frames.last().unwrap();
    assert_eq!(
        (&last["stop_type"], &last["tokens_predicted"]),
        (&json!("limit"), &json!(480))
    );
    let rest = stream(&format!("&from={}", first.len() + 1));
    assert_eq!(rest, (200, whole[first.len() + 1..].to_owned()));
    assert_eq!(
        stream(&format!("&from={}", whole.len())),
        (200, String::new())
    );
    for (ids, expected) in [
        (json!(["talk"]), 1),
        (json!(["talk::bard", "x"]), 1),
        (json!(["tal"]), 0),
    ] {
        let found = server.json("/v1/streams/lookup", json!({"conversation_ids": ids}));
        assert_eq!(found.as_array().unwrap().len(), expected, "{found}");
        if expected == 1 {
            assert_eq!(
                (
                    &found[0]["conversation_id"],
                    &found[0]["is_done"],
                    &found[0]["total_bytes"]
                ),
                (&json!("talk::bard"), &json!(true), &json!(whole.len()))
            );
            assert!(found[0]["completed_at"].as_u64() >= found[0]["started_at"].as_u64());
        }
    }
    for (path, status) in [
        ("/v1/stream?conv_id=nobody", 404),
        ("/v1/stream", 400),
        ("/v1/stream?conv_id=talk::bard&from=x", 400),
    ] {
        let (found, value) = server.get(path);
        assert_eq!(
            (found, &value["error"]["code"]),
            (status, &json!(status)),
            "{path}"
        );
    }
    // A chat in OpenAI's form is kept as it was sent.
    let chat = json!({"messages": [{"role": "user", "content": "Speak."}], "stream": true, "temperature": 0, "max_tokens": 6});
    let (_, sent) = server.ask(
        "POST",
        "/v1/chat/completions",
        "X-Conversation-Id: chat\r\n",
        &chat.to_string(),
    );
    assert!(sent.ends_with("data: [DONE]\n\n"), "{sent}");
    assert_eq!(
        server.ask("GET", "/v1/stream?conv_id=chat", "", ""),
        (200, sent)
    );
}

#[test]
fn a_stream_that_is_kept_is_stopped_by_its_name() {
    let server = Llama::start(&["-np", "1"]);
    let idle = || server.get("/slots").1[0]["is_processing"] == false;
    begun(&server, "/completion", CONVERSATION, &endless("Once"));
    assert_eq!(
        server
            .ask("DELETE", "/v1/stream?conv_id=talk::bard", "", "")
            .0,
        204
    );
    server.until(idle);
    let decoded = server.get("/slots").1[0]["next_token"][0]["n_decoded"]
        .as_u64()
        .unwrap();
    assert!(decoded < 480, "{decoded}");
    assert_eq!(server.get("/v1/stream?conv_id=talk::bard").0, 404);
    assert_eq!(
        server
            .ask("DELETE", "/v1/stream?conv_id=talk::bard", "", "")
            .0,
        204
    );
    // Whoever asks again under the same name takes the place of the first.
    begun(&server, "/completion", CONVERSATION, &endless("Once"));
    let second = greedy(json!({"stream": true}));
    let (_, sent) = server.ask("POST", "/completion", CONVERSATION, &second.to_string());
    let kept = server.ask("GET", "/v1/stream?conv_id=talk::bard", "", "");
    assert_eq!(kept, (200, sent));
    // What is refused leaves nothing behind.
    let refused = json!({"prompt": "word ".repeat(3000), "stream": true});
    assert_eq!(
        server
            .ask("POST", "/completion", CONVERSATION, &refused.to_string())
            .0,
        400
    );
    assert_eq!(server.get("/v1/stream?conv_id=talk::bard").0, 404);
}

#[test]
fn keys_have_streams_of_their_own() {
    let server = Llama::start(&["--api-key", "one,two"]);
    let key = |key: &str| format!("Authorization: Bearer {key}\r\n");
    let mine = format!("{}{CONVERSATION}", key("one"));
    let (_, sent) = server.ask(
        "POST",
        "/completion",
        &mine,
        &greedy(json!({"stream": true})).to_string(),
    );
    let asked = json!({"conversation_ids": ["talk"]}).to_string();
    let path = "/v1/stream?conv_id=talk::bard";
    for (who, status, streams) in [("two", 404, 0), ("one", 200, 1)] {
        // Somebody else's wish stops nothing.
        if who == "two" {
            assert_eq!(server.ask("DELETE", path, &key(who), "").0, 204);
        }
        let (found, text) = server.ask("GET", path, &key(who), "");
        assert_eq!(
            (found, text == sent),
            (status, streams == 1),
            "{who}: {text}"
        );
        let (_, list) = server.ask("POST", "/v1/streams/lookup", &key(who), &asked);
        let list: Value = serde_json::from_str(&list).unwrap();
        assert_eq!(list.as_array().unwrap().len(), streams, "{who}: {list}");
    }
}

#[test]
fn what_is_made_for_nobody_is_counted() {
    let server = Server::start(&[]);
    let chat = json!({"model": "bard", "messages": [{"role": "user", "content": "Speak."}], "stream": true,
        "max_tokens": 200, "ignore_eos": true});
    begun(&server, "/v1/chat/completions", CONVERSATION, &chat);
    let (status, whole) = server.get("/v1/stream?conv_id=talk::bard");
    assert!(
        status == 200 && whole.ends_with("data: [DONE]\n\n"),
        "{whole}"
    );
    let generated = || {
        let usage: Value = serde_json::from_str(&server.get("/api/usage").1).unwrap();
        usage.to_string().contains("\"generated\":200")
    };
    server.until(generated);
}

#[test]
fn the_native_answer_stands_beside_others() {
    let server = Llama::start(&["--temp", "0", "-n", "6"]);
    let hello = json!([{"role": "user", "content": "Speak."}]);
    let chat = json!({"messages": hello, "verbose": true});
    let whole = server.json("/v1/chat/completions", chat.clone());
    let native = &whole["__verbose"];
    assert_eq!(native["content"], whole["choices"][0]["message"]["content"]);
    assert_eq!(
        (
            &native["tokens_predicted"],
            &native["stop_type"],
            &native["generation_settings"]["temperature"]
        ),
        (&json!(6), &json!("limit"), &json!(0.0))
    );
    assert!(native["prompt"].as_str().unwrap().contains("Speak."));
    let frames = server.stream("/v1/chat/completions", chat);
    let told: Vec<&Value> = frames
        .iter()
        .filter(|frame| frame.get("__verbose").is_some())
        .collect();
    assert_eq!(told.len(), 1);
    assert_eq!(told[0]["choices"][0]["finish_reason"], "length");
    assert_eq!(told[0]["__verbose"]["content"], native["content"]);
    let ended = json!({"messages": hello, "verbose": true, "grammar": "root ::= \"yes\""});
    let ended = server.json("/v1/chat/completions", ended);
    assert_eq!(ended["__verbose"]["content"], "yes", "{ended}");
    let plain = json!({"prompt": ["To be", "Once"], "verbose": true, "max_tokens": 4, "top_k": 7});
    let plain = server.json("/v1/completions", plain);
    for (index, choice) in plain["choices"].as_array().unwrap().iter().enumerate() {
        let native = &plain["__verbose"][index];
        assert_eq!(
            (&native["content"], &native["index"]),
            (&choice["text"], &json!(index))
        );
        assert_eq!(native["generation_settings"]["top_k"], 7);
    }
    let quiet = server.json("/v1/chat/completions", json!({"messages": hello}));
    assert!(quiet.get("__verbose").is_none());
    let loud = Llama::start(&["-v", "-n", "2"]);
    let told = loud.json("/v1/chat/completions", json!({"messages": hello}));
    assert!(told["__verbose"].is_object(), "{told}");
}

#[test]
fn every_dialect_refuses_in_the_same_words() {
    let server = Llama::start(&["--embeddings", "-n", "2"]);
    let long = "word ".repeat(3000);
    let invalid = "invalid_request_error";
    for (path, body, kind) in [
        ("/v1/completions", json!({}), invalid),
        ("/v1/completions", json!({"prompt": 3.5}), invalid),
        (
            "/v1/completions",
            json!({"prompt": "a", "verbose": 1}),
            invalid,
        ),
        (
            "/v1/completions",
            json!({"prompt": long}),
            "exceed_context_size_error",
        ),
        ("/v1/responses", json!({}), invalid),
        (
            "/responses",
            json!({"input": "a", "previous_response_id": "resp_none"}),
            invalid,
        ),
        (
            "/v1/responses",
            json!({"input": long, "stream": true}),
            "exceed_context_size_error",
        ),
        ("/v1/responses/input_tokens", json!({"input": 3}), invalid),
        ("/v1/embeddings", json!({"input": 3.5}), invalid),
        ("/v1/messages", json!({"messages": 3}), invalid),
        ("/v1/messages/count_tokens", json!({"messages": 3}), invalid),
    ] {
        let (status, value) = server.post(path, &body);
        let error = &value["error"];
        assert!(value.get("type").is_none(), "{path}: {value}");
        assert_eq!(
            (status, &error["code"], &error["type"]),
            (400, &json!(400), &json!(kind)),
            "{path} {body}: {value}"
        );
    }
    // What no dialect sees is told in these words too.
    for (method, path, body, status) in [
        ("POST", "/v1/completions", "{", 400),
        ("POST", "/v1/messages", "[", 400),
        ("GET", "/v1/completions", "", 405),
        ("GET", "/v1/nothing", "", 404),
    ] {
        let (found, text) = server.ask(method, path, "", body);
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            (found, &value["error"]["code"]),
            (status, &json!(status)),
            "{path}: {text}"
        );
    }
    let hello = json!([{"role": "user", "content": "Speak."}]);
    let message = server.json("/v1/messages", json!({"messages": hello, "max_tokens": 2}));
    assert_eq!(
        (&message["model"], &message["type"]),
        (&json!("bard"), &json!("message"))
    );
    let counted = server.json("/v1/messages/count_tokens", json!({"messages": hello}));
    assert_eq!(counted["input_tokens"], message["usage"]["input_tokens"]);
    let (status, events) = server.ask(
        "POST",
        "/v1/messages",
        "",
        &json!({"messages": hello, "max_tokens": 2, "stream": true}).to_string(),
    );
    assert!(
        status == 200 && events.contains("event: message_stop"),
        "{events}"
    );
}

#[test]
fn logs_and_folders_are_where_they_are_wanted() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log.txt");
    std::fs::write(folder.path().join("poet.gguf"), BARD).unwrap();
    let server = Llama::router(&[
        "--models-dir",
        folder.path().to_str().unwrap(),
        "--log-file",
        log.to_str().unwrap(),
        "--no-log-timestamps",
        "--no-log-prefix",
        "--no-warmup",
    ]);
    let answer = server.json("/completion", greedy(json!({"model": "poet"})));
    assert_eq!(answer["model"], "poet");
    assert_eq!(server.status("poet"), "loaded");
    let (status, _) = server.ask("DELETE", "/models?model=poet", "", "");
    assert_eq!(status, 400);
    server.until(|| {
        std::fs::read_to_string(&log)
            .unwrap()
            .contains("route=\"/completion\"")
    });
    let text = std::fs::read_to_string(&log).unwrap();
    assert!(
        !text.contains('\u{1b}') && !text.contains("INFO") && !text.starts_with("20"),
        "{text}"
    );
}

#[test]
fn keys_prefixes_and_other_pages() {
    let server = Llama::start_with_key();
    let body = greedy(json!({}));
    let text = body.to_string();
    assert_eq!(server.ask("POST", "/llm/completion", "", &text).0, 401);
    for header in ["Authorization: Bearer two\r\n", "X-Api-Key: one\r\n"] {
        assert_eq!(server.ask("POST", "/llm/completion", header, &text).0, 200);
        assert_eq!(server.ask("GET", "/llm/slots", header, "").0, 200);
    }
    assert_eq!(server.ask("GET", "/llm/health", "", "").0, 200);
    assert_eq!(server.ask("GET", "/health", "", "").0, 404);
}

impl Llama {
    fn start_with_key() -> Self {
        let store = tempfile::tempdir().unwrap();
        let keys = store.path().join("keys");
        std::fs::write(&keys, "# mine\ntwo\n").unwrap();
        let flags = ["-m", "bard", "-c", "512", "--port", "0"];
        let more = ["--api-key", "one", "--api-prefix", "/llm"];
        let mut command = command(store.path(), &[&flags[..], &more].concat());
        command.env("LLAMA_ARG_API_KEY_FILE", &keys);
        let llama = Self(Server::begin(store, command));
        llama.until(|| llama.get("/llm/health").0 == 200);
        llama
    }
}

#[test]
fn command_lines_that_cannot_be() {
    for (flags, env, text) in [
        (&["--oops"][..], &[][..], "error: invalid argument: --oops"),
        (&["-m"], &[], "error: expected value for argument -m"),
        (&["-c", "x"], &[], "error while handling argument \"-c\""),
        (&["--lora", "a"], &[], "error: --lora is not supported"),
        (
            &["-m", "bard"],
            &[("LLAMA_ARG_PORT", "x")],
            "error while handling environment variable \"LLAMA_ARG_PORT\"",
        ),
        (&["-m", "nothing.gguf"], &[], "there is no 'nothing.gguf'"),
        (
            &["-m", "bard", "--host", "0.0.0.0", "--port", "0"],
            &[],
            "--api-key",
        ),
        (&["-hf", "nobody/nothing", "--offline"], &[], "--offline"),
        (&["--models-dir", "/nowhere/at/all"], &[], "--models-dir"),
        (
            &["--models-preset", "/nowhere/at/all.ini"],
            &[],
            "cannot read --models-preset /nowhere/at/all.ini",
        ),
        (
            &["--log-file", "/nowhere/at/all"],
            &[],
            "cannot write the log",
        ),
    ] {
        let output = run(flags, env);
        assert!(!output.status.success(), "{flags:?}");
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(told.contains(text), "{flags:?}: {told}");
    }
    for (flags, text) in [
        (&["--help"][..], "--ctx-size"),
        (&["--version"], "hearth"),
        (&["--list-devices"], "CPU"),
        (&["-cl"], "0"),
        (&["--completion-bash"], "--ctx-size"),
    ] {
        let output = run(flags, &[]);
        assert!(output.status.success(), "{flags:?}");
        let told = String::from_utf8_lossy(&output.stdout);
        assert!(told.contains(text), "{flags:?}: {told}");
    }
}

#[cfg(unix)]
#[test]
fn a_program_of_that_name_is_it() {
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join("llama-server");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_hearth"), &link).unwrap();
    let output = Command::new(&link).arg("--oops").output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(
        told.starts_with("error: invalid argument: --oops"),
        "{told}"
    );
    let output = Command::new(&link).arg("--help").output().unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).contains("LLAMA_ARG_CTX_SIZE"));
}

/// A model of the kit, or a word that it is not there.
fn kit(family: &str) -> Option<std::path::PathBuf> {
    let kit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance/models");
    if !kit.exists() {
        println!("skipped: no ../shared");
        return None;
    }
    Some(kit.join(family).join("model.gguf"))
}

#[test]
fn vectors_in_both_forms() {
    let Some(path) = kit("bert") else {
        return;
    };
    let server = Llama::with(&[
        "-m",
        path.to_str().unwrap(),
        "-a",
        "small",
        "--port",
        "0",
        "--embeddings",
    ]);
    let texts = ["the kettle", "sings"];
    let native = server.json("/embedding", json!({"content": texts}));
    let vector = |value: &Value| -> Vec<f64> {
        let list = value.as_array().unwrap();
        list.iter().map(|it| it.as_f64().unwrap()).collect()
    };
    let length = |vector: &[f64]| vector.iter().map(|it| it * it).sum::<f64>().sqrt();
    let first = vector(&native[0]["embedding"][0]);
    assert!((length(&first) - 1.0).abs() < 1e-5, "{}", length(&first));
    assert_eq!(
        (native.as_array().unwrap().len(), &native[1]["index"]),
        (2, &json!(1))
    );
    let open_ai = server.json("/v1/embeddings", json!({"input": texts}));
    assert_eq!(
        (&open_ai["model"], &open_ai["data"][0]["index"]),
        (&json!("small"), &json!(0))
    );
    for (a, b) in vector(&open_ai["data"][0]["embedding"]).iter().zip(&first) {
        assert!((a - b).abs() < 1e-6);
    }
    let raw = server.json(
        "/embeddings",
        json!({"input": texts[0], "embd_normalize": -1}),
    );
    let scaled = server.json(
        "/embeddings",
        json!({"input": texts[0], "embd_normalize": 0}),
    );
    let (raw, scaled) = (
        vector(&raw[0]["embedding"][0]),
        vector(&scaled[0]["embedding"][0]),
    );
    assert!((length(&raw) - 1.0).abs() > 1e-3);
    let most = scaled.iter().fold(0.0, |most: f64, it| most.max(it.abs()));
    assert!((most - 32760.0).abs() < 1.0, "{most}");
    let ids = server.json(
        "/tokenize",
        json!({"content": texts[0], "add_special": true}),
    );
    let by_ids = server.json("/embedding", json!({"content": ids["tokens"]}));
    for (a, b) in vector(&by_ids[0]["embedding"][0]).iter().zip(&first) {
        assert!((a - b).abs() < 1e-6);
    }
    let (status, value) = server.post("/v1/embeddings", &json!({}));
    assert_eq!((status, &value["error"]["code"]), (400, &json!(400)));
    assert_eq!(
        server
            .post("/rerank", &json!({"query": "a", "documents": ["b"]}))
            .0,
        501
    );
    assert_eq!(server.post("/completion", &json!({"prompt": "a"})).0, 501);
}

#[test]
fn rows_are_pooled_as_the_command_line_says() {
    let text = json!({"content": "the kettle sings", "embd_normalize": -1});
    let rows = |pooling: &str| -> Vec<Value> {
        let server = Llama::start(&["--embeddings", "--pooling", pooling]);
        let native = server.json("/embedding", text.clone());
        let status = server.post("/v1/embeddings", &json!({"input": "a"})).0;
        assert_eq!(status, if pooling == "none" { 400 } else { 200 });
        native[0]["embedding"].as_array().unwrap().clone()
    };
    let all = rows("none");
    assert!(all.len() > 2, "{}", all.len());
    assert_eq!(rows("cls"), all[..1]);
    assert_eq!(rows("last"), all[all.len() - 1..]);
    let mean = rows("mean");
    let sum: f64 = all.iter().map(|row| row[0].as_f64().unwrap()).sum();
    let first = mean[0][0].as_f64().unwrap();
    assert!((first - sum / all.len() as f64).abs() < 1e-5, "{first}");
}

/// The kit's encoder with a head that scores, whose values are a wave.
fn reranker(folder: &Path) -> Option<std::path::PathBuf> {
    use hearth_format::{BlockType, Checkpoint, GgufWriter, Metadata, Storage, Tensor, Value};
    let from = Checkpoint::open(&kit("bert")?).unwrap();
    let mut metadata = Metadata::default();
    metadata.insert("bert.pooling_type".to_owned(), Value::U32(4));
    for (key, value) in from.metadata().iter() {
        if key != "bert.pooling_type" {
            metadata.insert(key.to_owned(), value.clone());
        }
    }
    let mut writer = GgufWriter::new(metadata).unwrap();
    let kept: Vec<&Tensor> = from.tensors().collect();
    let block = |tensor: &Tensor| match &tensor.storage {
        Storage::Blocks { block, bytes } => (*block, bytes.to_vec()),
        Storage::Affine(_) => panic!("a GGUF has blocks"),
    };
    for tensor in &kept {
        let (block, _) = block(tensor);
        writer.tensor(&tensor.name, &tensor.shape, block).unwrap();
    }
    writer
        .tensor("cls.output.weight", &[1, 32], BlockType::F32)
        .unwrap();
    let mut body = writer.start(Vec::new()).unwrap();
    for tensor in kept {
        body.write(&block(tensor).1).unwrap();
    }
    for i in 0..32 {
        let value = (i as f32 * 0.7).sin() * 0.3;
        body.write(&value.to_le_bytes()).unwrap();
    }
    let path = folder.join("ranker.gguf");
    std::fs::write(&path, body.finish().unwrap()).unwrap();
    Some(path)
}

#[test]
fn scores_in_every_form() {
    let folder = tempfile::tempdir().unwrap();
    let Some(path) = reranker(folder.path()) else {
        return;
    };
    let server = Llama::with(&[
        "-m",
        path.to_str().unwrap(),
        "-a",
        "ranker",
        "--port",
        "0",
        "--rerank",
    ]);
    let documents = ["sings", "the kettle", "kettle the"];
    let asked = json!({"query": "the kettle", "documents": documents, "return_documents": true});
    let jina = server.json("/v1/rerank", asked.clone());
    let results = jina["results"].as_array().unwrap();
    let score = |result: &Value, name: &str| result[name].as_f64().unwrap();
    assert_eq!((results.len(), &jina["model"]), (3, &json!("ranker")));
    assert!(
        results
            .windows(2)
            .all(|two| score(&two[0], "relevance_score") >= score(&two[1], "relevance_score"))
    );
    for result in results {
        let index = result["index"].as_u64().unwrap() as usize;
        assert_eq!(result["document"]["text"], documents[index]);
    }
    assert!(jina["usage"]["total_tokens"].as_u64().unwrap() > 9);
    for path in [
        "/rerank",
        "/reranking",
        "/v1/reranking",
        "/api/rerank",
        "/v2/rerank",
    ] {
        assert_eq!(
            server.json(path, asked.clone())["results"],
            jina["results"],
            "{path}"
        );
    }
    let best = server.json(
        "/rerank",
        json!({"query": "the kettle", "documents": documents, "top_n": 1}),
    );
    assert_eq!(best["results"].as_array().unwrap().len(), 1);
    assert_eq!(best["results"][0]["index"], results[0]["index"]);
    let tei = server.json(
        "/rerank",
        json!({"query": "the kettle", "texts": documents, "return_text": true}),
    );
    assert_eq!(tei[0]["index"], results[0]["index"]);
    let share = 1.0 / (1.0 + (-score(&results[0], "relevance_score")).exp());
    assert!((score(&tei[0], "score") - share).abs() < 1e-5, "{tei}");
    assert_eq!(server.post("/rerank", &json!({"query": "a"})).0, 400);
}
