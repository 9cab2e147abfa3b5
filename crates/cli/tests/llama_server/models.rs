//! Many models behind one server: what is asked of them by name, what becomes of them, and settings of their own.

use std::io::{BufRead, BufReader};

use hearth_store::Kind;
use serde_json::{Value, json};

use super::{
    BARD, Llama, command, greedy, run,
    server::Server,
    support::{hub::Hub, registry::Registry},
};

/// News of models, each as it comes.
struct Listener(std::io::Lines<BufReader<std::net::TcpStream>>);

impl Listener {
    fn of(server: &Server) -> Self {
        let mut lines = BufReader::new(server.send("GET", "/models/sse", "", "")).lines();
        // The head is there: what happens from now on is told.
        assert!(lines.any(|line| line.unwrap().is_empty()));
        Self(lines)
    }

    /// The data of the next news of a model with this name.
    fn next(&mut self, model: &str, event: &str) -> Value {
        let mut data = self.0.by_ref().filter_map(|line| {
            let value: Value = serde_json::from_str(line.unwrap().strip_prefix("data: ")?).unwrap();
            (value["model"] == model && value["event"] == event).then(|| value["data"].clone())
        });
        data.next().unwrap()
    }
}

impl Llama {
    /// Without a model, on any free port.
    pub(super) fn router(more: &[&str]) -> Self {
        Self::with(&[&["-c", "512", "--port", "0"], more].concat())
    }

    /// How a model of the list is; null where it is none.
    pub(super) fn status(&self, model: &str) -> Value {
        let (_, models) = self.get("/models");
        let found = models["data"]
            .as_array()
            .unwrap()
            .iter()
            .find(|it| it["id"] == model);
        found.map_or(Value::Null, |it| it["status"]["value"].clone())
    }

    fn refusal(&self, path: &str, body: Value) -> (u16, String) {
        let (status, value) = self.post(path, &body);
        assert_eq!(value["error"]["code"], status, "{path}: {value}");
        (
            status,
            value["error"]["message"].as_str().unwrap().to_owned(),
        )
    }
}

#[test]
fn a_router_has_many_models() {
    let server = Llama::router(&["--models-max", "3"]);
    let mut news = Listener::of(&server);
    assert_eq!(server.status("bard"), "unloaded");
    let (_, props) = server.get("/props");
    assert_eq!(
        (
            &props["role"],
            &props["max_instances"],
            &props["models_autoload"]
        ),
        (&json!("router"), &json!(3), &json!(true))
    );
    let chat = json!({"messages": [{"role": "user", "content": "Speak."}]});
    for path in [
        "/completion",
        "/v1/completions",
        "/v1/responses",
        "/infill",
        "/tokenize",
        "/v1/embeddings",
    ] {
        let mut body = json!({"prompt": "a", "input": "a", "content": "a", "input_prefix": "a", "input_suffix": "b"});
        if path != "/v1/embeddings" {
            let missing = (400, "model name is missing from the request".to_owned());
            assert_eq!(server.refusal(path, body.clone()), missing, "{path}");
            body["model"] = json!("nobody");
            assert_eq!(
                server.refusal(path, body),
                (400, "model 'nobody' not found".to_owned()),
                "{path}"
            );
        }
    }
    for path in ["/v1/chat/completions", "/v1/messages", "/apply-template"] {
        let missing = (400, "model name is missing from the request".to_owned());
        assert_eq!(server.refusal(path, chat.clone()), missing, "{path}");
    }
    let asked = greedy(json!({"model": "bard"}));
    let unloaded = (400, "model is not loaded".to_owned());
    assert_eq!(
        server.refusal("/completion?autoload=false", asked.clone()),
        unloaded
    );
    let bard = json!({"model": "bard"});
    assert_eq!(
        server.json("/models/load", bard.clone()),
        json!({"success": true})
    );
    assert_eq!(
        news.next("bard", "model_status"),
        json!({
            "status": "loading",
            "progress": {"stages": ["text_model"], "current": "text_model", "value": 0.0}
        })
    );
    assert_eq!(
        news.next("bard", "status_change"),
        json!({"status": "loaded"})
    );
    assert_eq!(server.status("bard"), "loaded");
    let running = (400, "model is already running".to_owned());
    assert_eq!(server.refusal("/models/load", bard.clone()), running);
    assert_eq!(
        server.json("/completion?autoload=false", asked)["model"],
        "bard"
    );
    let (_, props) = server.get("/props?model=bard");
    assert!(!props["chat_template"].as_str().unwrap().is_empty());
    assert_eq!(
        server.json("/models/unload", bard.clone()),
        json!({"success": true})
    );
    assert_eq!(
        news.next("bard", "status_change"),
        json!({"status": "unloaded"})
    );
    let stopped = (400, "model is not running".to_owned());
    assert_eq!(server.refusal("/models/unload", bard), stopped);
    assert_eq!(
        server.refusal("/models/load", json!({"model": "nobody"})).0,
        404
    );
    assert_eq!(
        server
            .refusal("/models/unload", json!({"model": "nobody"}))
            .0,
        404
    );
    assert_eq!(server.refusal("/models/load", json!({})).0, 400);
}

#[test]
fn a_router_that_loads_nothing_by_itself() {
    let server = Llama::router(&["--no-models-autoload"]);
    let asked = greedy(json!({"model": "bard"}));
    let unloaded = (400, "model is not loaded".to_owned());
    assert_eq!(server.refusal("/completion", asked.clone()), unloaded);
    assert_eq!(
        server.json("/completion?autoload=true", asked.clone())["model"],
        "bard"
    );
    assert_eq!(server.json("/completion", asked)["model"], "bard");
}

#[test]
fn models_come_and_go() {
    let server = Llama::router(&[]);
    let registry = Registry::start();
    let manifest = registry.offer("team/bard:v1", &[(Kind::Model, BARD)]);
    let name = format!("{}/team/bard:v1", registry.server.address);
    let mut news = Listener::of(&server);
    let asked = json!({"model": name, "insecure": true});
    assert_eq!(
        server.json("/models", asked.clone()),
        json!({"success": true})
    );
    assert_eq!(
        news.next(&name, "model_status"),
        json!({"status": "downloading"})
    );
    let digest = manifest.layers[0].digest.to_string();
    loop {
        let progress = news.next(&name, "download_progress");
        if let Some(of_weights) = progress.get(&digest) {
            assert_eq!(of_weights["total"], BARD.len(), "{progress}");
            break;
        }
    }
    news.next(&name, "download_finished");
    assert_eq!(server.status(&name), "unloaded");
    let there = (400, format!("model '{name}' already exists"));
    assert_eq!(server.refusal("/models", asked), there);
    assert_eq!(
        server.json("/completion", greedy(json!({"model": name})))["model"],
        name.as_str()
    );
    assert_eq!(server.status(&name), "loaded");

    let (status, text) = server.ask("DELETE", &format!("/models?model={name}"), "", "");
    assert_eq!((status, text.as_str()), (200, r#"{"success":true}"#));
    news.next(&name, "model_remove");
    assert_eq!(server.status(&name), Value::Null);
    for (model, status) in [("bard", 400), ("", 400), ("nobody", 404)] {
        let (found, text) = server.ask("DELETE", &format!("/models?model={model}"), "", "");
        assert_eq!(found, status, "{model}: {text}");
    }

    let none = format!("{}/team/none:v1", registry.server.address);
    let absent = server.refusal("/models", json!({"model": none, "insecure": true}));
    assert_eq!(
        absent,
        (400, "pull model manifest: file does not exist".to_owned())
    );
    assert_eq!(
        news.next(&none, "download_failed")["error"],
        absent.1.as_str()
    );
    assert_eq!(server.refusal("/models", json!({"model": "a b"})).0, 400);
    let offline = Llama::router(&["--offline"]);
    assert!(
        offline
            .refusal("/models", json!({"model": "some/thing"}))
            .1
            .contains("--offline")
    );
}

#[test]
fn models_of_every_server_are_managed_by_those_who_may() {
    let server = Server::start(&[]);
    let (_, models) = server.get("/models");
    let models: Value = serde_json::from_str(&models).unwrap();
    let bard = |it: &&Value| it["id"] == "bard";
    let found = models["data"].as_array().unwrap().iter().find(bard);
    assert_eq!(found.unwrap()["status"]["value"], "unloaded");
    assert_eq!(
        server.json("/models/load", &json!({"model": "bard"})),
        json!({"success": true})
    );
    // Without a model, one is chosen as ever.
    let answer = server.json("/completion", &greedy(json!({})));
    assert_eq!(answer["model"], "bard");
    let keys = server.store().join("keys.toml");
    std::fs::write(
        &keys,
        "[[key]]\nname = \"user\"\nsecret = \"user-secret\"\nscope = \"use\"\n",
    )
    .unwrap();
    let server = Server::start(&["--key-file", keys.to_str().unwrap()]);
    let key = "Authorization: Bearer user-secret\r\n";
    for (method, path) in [
        ("POST", "/models"),
        ("DELETE", "/models?model=bard"),
        ("POST", "/models/load"),
        ("POST", "/models/unload"),
        ("GET", "/models/sse"),
    ] {
        let (status, _, body) = server.ask(method, path, key, r#"{"model": "bard"}"#);
        assert_eq!(status, 403, "{method} {path}: {body}");
    }
    assert_eq!(server.ask("GET", "/models", key, "").0, 200);
}

/// A server with the models of a file, the file beside them.
fn with_presets(text: &str, more: &[&str], env: &[(&str, &str)]) -> Llama {
    let store = tempfile::tempdir().unwrap();
    let file = store.path().join("models.ini");
    std::fs::write(&file, text).unwrap();
    let flags = ["--port", "0", "--models-preset", file.to_str().unwrap()];
    let mut command = command(store.path(), &[&flags[..], more].concat());
    command.envs(env.iter().copied());
    let llama = Llama(Server::begin(store, command));
    llama.until(|| llama.get("/health").0 == 200);
    llama
}

#[test]
fn the_hub_is_asked_with_the_token_of_the_command_line() {
    let hub = Hub::start(
        vec![("Bard-Q8_0.gguf", BARD.to_vec())],
        Some("secret"),
        false,
    );
    let endpoint = hub.endpoint();
    let env = [("HF_ENDPOINT", endpoint.as_str())];
    let name = "owner/repo:Q8_0";
    for token in [&[][..], &["--hf-token", "wrong"]] {
        let output = run(&[&["-hf", name, "--port", "0"], token].concat(), &env);
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(
            !output.status.success() && told.contains("HF_TOKEN"),
            "{told}"
        );
    }
    let text = format!("[far]\nhf = {name}\nc = 64\nload-on-startup = on\n");
    let server = with_presets(&text, &["--hf-token", "secret"], &env);
    server.until(|| server.status("far") == "loaded");
    let answer = server.json("/completion", greedy(json!({"model": "far"})));
    assert_eq!(answer["model"], "far");
    assert_eq!(answer["tokens_predicted"], 8);
}

#[test]
fn models_have_settings_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("other.gguf");
    std::fs::write(&file, BARD).unwrap();
    let text = format!(
        "version = 1\n[*]\nc = 512\ntemp = 0\nignore-eos = on\nn = 3\n\n[bard]\nn = 5\nalias = poet,will\ntags = verse\n\
         [other]\nmodel = {}\nctx-size = 128\nembeddings = on\nload-on-startup = true\nhost = 0.0.0.0\n\
         chat-template = {{{{ messages[0].content }}}}!\n[far]\nhf = nobody/nothing\n",
        file.display()
    );
    let server = with_presets(&text, &[], &[]);
    server.until(|| server.status("other") == "loaded");
    let (_, models) = server.get("/models");
    let of = |name: &str| {
        let data = models["data"].as_array().unwrap();
        let named: Vec<&Value> = data.iter().filter(|it| it["id"] == name).collect();
        assert_eq!(named.len(), 1, "{models}");
        named[0].clone()
    };
    let bard = of("bard");
    assert_eq!(
        (&bard["aliases"], &bard["tags"], &bard["source"]),
        (
            &json!(["poet", "will"]),
            &json!(["verse"]),
            &json!("preset")
        )
    );
    assert_eq!(
        bard["status"],
        json!({"value": "unloaded", "args": [], "preset": "n = 5\nalias = poet,will\ntags = verse\n"})
    );
    assert_eq!(of("far")["status"]["value"], "unloaded");

    let prompt = |name: &str| json!({"model": name, "prompt": "To be"});
    for (asked, title, tokens, context) in [
        ("bard", "bard", 5, 512),
        ("will", "bard", 5, 512),
        ("other", "other", 3, 128),
    ] {
        let answer = server.json("/completion", prompt(asked));
        assert_eq!(answer["model"], title);
        assert_eq!(answer["tokens_predicted"], tokens, "{answer}");
        let (_, props) = server.get(&format!("/props?model={asked}"));
        assert_eq!(props["default_generation_settings"]["n_ctx"], context);
        let plain = server.json("/v1/completions", prompt(asked));
        assert_eq!(plain["model"], title);
        assert_eq!(plain["usage"]["completion_tokens"], tokens);
        let native = json!({"model": asked, "prompt": "To be", "n_predict": 2, "top_k": 1});
        let native = server.json("/v1/completions", native);
        assert_eq!(native["usage"]["completion_tokens"], 2);
        let response = server.json("/v1/responses", json!({"model": asked, "input": "Speak"}));
        assert_eq!(response["usage"]["output_tokens"], tokens, "{response}");
    }
    // Both are loaded, each as its section says.
    assert_eq!(server.status("bard"), "loaded");
    assert_eq!(server.status("other"), "loaded");
    let chat = |name: &str| {
        let messages = json!([{"role": "user", "content": "Speak"}]);
        server.json(
            "/apply-template",
            json!({"model": name, "messages": messages}),
        )
    };
    assert_eq!(chat("other")["prompt"], "Speak!");
    assert_ne!(chat("bard")["prompt"], "Speak!");
    let prompt_of = |name: &str| {
        let body = json!({"model": name, "messages": [{"role": "user", "content": "Speak"}]});
        server.json("/v1/messages/count_tokens", body)["input_tokens"].as_u64()
    };
    assert!(prompt_of("other") < prompt_of("bard"));
    let text = |name: &str| json!({"model": name, "input": "a", "content": "a"});
    for path in ["/v1/embeddings", "/embedding"] {
        assert_eq!(server.post(path, &text("bard")).0, 501, "{path}");
        server.json(path, text("other"));
    }
    let (status, missing) = server.refusal("/completion", prompt("far"));
    assert_eq!(status, 400);
    assert!(missing.contains("hf.co/nobody/nothing"), "{missing}");
    let (status, _) = server.ask("DELETE", "/models?model=bard", "", "");
    assert_eq!(status, 400);
}

#[test]
fn sections_hide_their_twins_and_rest_in_their_own_time() {
    let text = "[verse]\nmodel = bard\nc = 64\nalias = short,bard\ndedup-cache-models = on\n\
                [short]\nmodel = bard\nc = 64\nsleep-idle-seconds = 1\n";
    let server = with_presets(text, &[], &[]);
    assert_eq!(server.status("bard"), Value::Null);
    // A name of its own comes before an alias.
    for (asked, title) in [("bard", "verse"), ("short", "short")] {
        let answer = server.json("/completion", greedy(json!({"model": asked})));
        assert_eq!(answer["model"], title);
    }
    server.until(|| server.status("short") == "unloaded");
    assert_eq!(server.status("verse"), "loaded");
    let shown = with_presets("[verse]\nmodel = bard\n", &[], &[]);
    assert_eq!(shown.status("bard"), "unloaded");
}

#[test]
fn what_is_wrong_with_a_file_of_models_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("models.ini");
    let file_name = file.to_str().unwrap();
    for (text, expected) in [
        ("[a]\noops = 1\n", "invalid argument: oops"),
        ("[a]\nmodel = /nowhere.gguf\n", "[a]"),
        (
            "[a]\nhf = nobody/nothing\nload-on-startup = on\n",
            "--offline",
        ),
        (
            "[a]\nchat-template-file = /nowhere\n",
            "cannot read /nowhere",
        ),
    ] {
        std::fs::write(&file, text).unwrap();
        let output = run(&["--models-preset", file_name, "--offline"], &[]);
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(
            !output.status.success() && told.contains(expected),
            "{text}: {told}"
        );
    }
}

#[test]
fn several_servers_may_have_one_port() {
    let first = Llama::start(&["--reuse-port"]);
    let port = first.address.rsplit(':').next().unwrap().to_owned();
    let store = tempfile::tempdir().unwrap();
    let flags = ["-m", "bard", "-c", "512", "--port", &port];
    let second = command(store.path(), &[&flags[..], &["--reuse-port"]].concat());
    let second = Server::begin(store, second);
    assert_eq!(second.address, first.address);
}
