//! Ollama's routes that manage models, through the program: against registries on loopback, and with bodies that no
//! decent client sends.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod server;
#[path = "../../store/tests/support/mod.rs"]
mod support;

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::Path,
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use hearth_store::{Digest, Kind, Store};
use serde_json::{Value, json};
use support::{
    Reply, Request,
    registry::{Registry, noise},
};

const BARD: &[u8] = include_bytes!("../../server/assets/bard.gguf");

/// A server with the answers of these routes.
struct Server(server::Server);

/// What a server answered.
struct Answer {
    status: u16,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body)
            .unwrap_or_else(|_| panic!("{}: {}", self.status, self.body))
    }

    fn lines(&self) -> Vec<Value> {
        assert_eq!(self.status, 200, "{}", self.body);
        let lines = self.body.lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    fn statuses(&self) -> Vec<String> {
        let status = |line: &Value| line["status"].as_str().unwrap_or_default().to_owned();
        self.lines().iter().map(status).collect()
    }

    /// What went wrong: before a stream, or in its last line.
    fn error(&self) -> String {
        let last = self.body.lines().last().unwrap_or_default();
        let value: Value = serde_json::from_str(last).unwrap_or_default();
        let text = value["error"].as_str();
        text.unwrap_or_else(|| panic!("{}: {}", self.status, self.body))
            .to_owned()
    }
}

fn command(home: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hearth"));
    command
        .args(arguments)
        .env_clear()
        .env("HOME", home)
        .env("HEARTH_MODELS", home)
        .current_dir(home)
        .stdin(Stdio::null());
    command
}

impl Server {
    fn start(more: &[&str]) -> Self {
        let home = tempfile::tempdir().unwrap();
        // Small pieces, so that a download that is broken off leaves some.
        fs::create_dir(home.path().join(".hearth")).unwrap();
        fs::write(home.path().join(".hearth/config.toml"), "piece = 65536\n").unwrap();
        Self(server::Server::on(home, more))
    }

    fn home(&self) -> &Path {
        self.0.store()
    }

    fn store(&self) -> Store {
        Store::new(self.home())
    }

    /// `hearth` beside the server.
    fn hearth(&self, arguments: &[&str]) -> Output {
        let mut command = command(self.home(), arguments);
        command
            .env("HEARTH_HOST", &self.0.address)
            .output()
            .unwrap()
    }

    /// Sends a request and leaves the answer to be read.
    fn send(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(&self.0.address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(120)))
            .unwrap();
        let (host, length) = (&self.0.address, body.len());
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\n{headers}Connection: close\r\nContent-Length: {length}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        // Who refuses a body need not read it.
        let _ = stream.write_all(body);
        stream
    }

    fn ask(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> Answer {
        let mut bytes = Vec::new();
        self.send(method, path, headers, body)
            .read_to_end(&mut bytes)
            .unwrap();
        answer(&String::from_utf8_lossy(&bytes))
    }

    fn post(&self, path: &str, body: &Value) -> Answer {
        self.ask("POST", path, "", body.to_string().as_bytes())
    }

    fn json(&self, path: &str, body: &Value) -> Value {
        let answer = self.post(path, body);
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        answer.json()
    }

    /// Sends a content and gives its digest.
    fn blob(&self, bytes: &[u8]) -> String {
        let digest = Digest::of(bytes).to_string();
        let sent = self.ask("POST", &format!("/api/blobs/{digest}"), "", bytes);
        assert!(sent.status == 201 || sent.status == 200, "{}", sent.body);
        digest
    }

    fn loaded(&self) -> Vec<String> {
        let ps = self.ask("GET", "/api/ps", "", b"").json();
        let models = ps["models"].as_array().unwrap().iter();
        models
            .map(|model| model["name"].as_str().unwrap().to_owned())
            .collect()
    }

    fn generate(&self, model: &str) -> Value {
        let body = json!({"model": model, "prompt": "But soft", "stream": false, "options": {"temperature": 0}});
        self.json("/api/generate", &body)
    }
}

fn answer(text: &str) -> Answer {
    let (head, body) = text
        .split_once("\r\n\r\n")
        .unwrap_or_else(|| panic!("no answer: {text:?}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let chunked = head.to_lowercase().contains("transfer-encoding: chunked");
    let body = if chunked {
        server::joined(body)
    } else {
        body.to_owned()
    };
    Answer { status, body }
}

fn wait(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

const GO: &str = "{{ if .System }}{{ .System }}\n{{ end }}{{ if .Tools }}{{ .Tools }}{{ end }}{{ .Prompt }}{{ .Response }}";

#[test]
fn show_tells_what_a_model_is() {
    let server = Server::start(&[]);
    let shown = server.json("/api/show", &json!({"model": "bard"}));
    let info = &shown["model_info"];
    assert_eq!(
        (&info["general.architecture"], &info["general.basename"]),
        (&json!("llama"), &json!("bard"))
    );
    assert!(info["llama.context_length"].is_u64() && info["tokenizer.ggml.tokens"].is_null());
    assert_eq!(
        (&shown["capabilities"], &shown["modelfile"]),
        (&json!(["completion"]), &json!("FROM bard\n"))
    );
    assert_eq!(
        (
            &shown["details"]["format"],
            &shown["details"]["quantization_level"]
        ),
        (&json!("gguf"), &json!("Q8_0"))
    );
    assert!(!shown["template"].as_str().unwrap().is_empty() && shown.get("tensors").is_none());
    let verbose = server.json(
        "/api/show",
        &json!({"name": "BARD:latest", "verbose": true}),
    );
    assert!(
        verbose["tensors"].as_array().unwrap().len() > 30
            && verbose["model_info"]["tokenizer.ggml.tokens"].is_array()
    );

    let files = json!({"bard.gguf": server.blob(BARD)});
    let made = json!({
        "model": "mine", "files": files, "template": GO, "system": "Be brief.", "license": ["MIT", "and more"],
        "parameters": {"temperature": 0.5, "stop": ["a", "b c"]}, "stream": false,
    });
    assert_eq!(
        server.json("/api/create", &made),
        json!({"status": "success"})
    );
    let shown = server.json("/api/show", &json!({"model": "mine"}));
    assert!(
        shown["template"].as_str().unwrap().starts_with(GO),
        "{shown}"
    );
    assert_eq!(shown["system"], "Be brief.");
    assert_eq!(
        (&shown["license"], &shown["capabilities"]),
        (&json!("MIT\nand more"), &json!(["completion", "tools"]))
    );
    let lines: Vec<Vec<&str>> = shown["parameters"]
        .as_str()
        .unwrap()
        .lines()
        .map(|line| line.splitn(2, ' ').map(str::trim).collect())
        .collect();
    assert_eq!(
        lines,
        [
            ["stop", "\"a\""],
            ["stop", "\"b c\""],
            ["temperature", "0.5"]
        ]
    );
    let modelfile = shown["modelfile"].as_str().unwrap();
    let path = server.store().blob(&Digest::of(BARD)).unwrap();
    assert!(
        modelfile.contains(&format!("FROM {}", path.display())) && modelfile.contains("SYSTEM"),
        "{modelfile}"
    );
    let other = json!({"model": "mine", "system": "Be long.", "options": {"top_k": 3}});
    let modelfile = server.json("/api/show", &other)["modelfile"].clone();
    assert!(
        modelfile.as_str().unwrap().contains("Be long.")
            && modelfile.as_str().unwrap().contains("top_k 3")
    );

    for (body, status, text) in [
        (
            json!({"model": "none"}),
            404,
            "model 'none:latest' not found",
        ),
        (json!({}), 400, "model is required"),
        (
            json!({"model": "../../etc/passwd"}),
            400,
            "invalid model name",
        ),
        (json!({"model": "/etc/passwd"}), 400, "invalid model name"),
        (json!({"model": "x:cloud"}), 400, "cloud"),
    ] {
        let answer = server.post("/api/show", &body);
        assert_eq!(answer.status, status, "{body}");
        assert!(answer.error().contains(text), "{body}: {}", answer.body);
    }
}

#[test]
fn a_key_for_use_shows_and_learns_no_paths() {
    let keys = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
    fs::write(
        &keys,
        "[[key]]\nname = \"user\"\nsecret = \"user-secret\"\nscope = \"use\"\n",
    )
    .unwrap();
    let server = Server::start(&["--key-file", keys.path().to_str().unwrap()]);
    let modelfile = server.home().join("Modelfile");
    fs::write(modelfile, "FROM bard\nSYSTEM x\n").unwrap();
    let made = server.hearth(&["create", "mine"]);
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
    let key = "Authorization: Bearer user-secret\r\n";
    let body = json!({"model": "mine"}).to_string();
    let shown = server.ask("POST", "/api/show", key, body.as_bytes()).json();
    let modelfile = shown["modelfile"].as_str().unwrap();
    assert!(
        modelfile.contains(&format!("FROM @{}", Digest::of(BARD))),
        "{modelfile}"
    );
    assert!(
        !shown
            .to_string()
            .contains(&server.home().display().to_string())
    );
    let blob = format!("/api/blobs/{}", Digest::of(BARD));
    for (method, path) in [
        ("POST", "/api/pull"),
        ("POST", "/api/push"),
        ("POST", "/api/create"),
        ("POST", "/api/copy"),
        ("DELETE", "/api/delete"),
        ("POST", &blob),
        ("HEAD", &blob),
    ] {
        assert_eq!(
            server.ask(method, path, key, b"{}").status,
            403,
            "{method} {path}"
        );
        assert_eq!(
            server.ask(method, path, "", b"{}").status,
            401,
            "{method} {path}"
        );
    }
    let ps = command(server.home(), &["ps", "--json"])
        .env("HEARTH_HOST", &server.0.address)
        .env("HEARTH_API_KEY", "user-secret")
        .output()
        .unwrap();
    assert!(ps.status.success());
}

#[test]
fn pulls_tell_how_far_they_are() {
    let server = Server::start(&[]);
    let registry = Registry::start();
    let manifest = registry.offer(
        "team/bard:v1",
        &[(Kind::Model, BARD), (Kind::System, b"Speak.")],
    );
    let name = registry.name("team/bard:v1");
    let refused = server.post("/api/pull", &json!({"model": name}));
    assert!(refused.error().contains("insecure"), "{}", refused.body);

    let pulled = server.post("/api/pull", &json!({"model": name, "insecure": true}));
    let lines = pulled.lines();
    let statuses = pulled.statuses();
    let layer = manifest.layers[0].digest;
    let pulling = format!("pulling {}", layer.short());
    assert_eq!(
        statuses.first().map(String::as_str),
        Some("pulling manifest")
    );
    assert!(statuses.contains(&pulling), "{statuses:?}");
    assert_eq!(
        statuses[statuses.len() - 3..],
        ["verifying sha256 digest", "writing manifest", "success"]
    );
    let whole =
        json!({"status": pulling, "digest": layer, "total": BARD.len(), "completed": BARD.len()});
    assert!(lines.contains(&whole), "{lines:?}");
    let full = format!("{}/team/bard:v1", registry.server.address);
    assert_eq!(
        server.json("/api/show", &json!({"model": full}))["system"],
        "Speak."
    );
    let served = registry.served();
    let again = json!({"name": full, "insecure": true, "stream": false, "username": "u"});
    assert_eq!(
        server.json("/api/pull", &again),
        json!({"status": "success"})
    );
    assert_eq!(
        registry.served(),
        served,
        "what is here is not fetched again"
    );

    let absent = json!({"model": registry.name("team/none:v1"), "insecure": true});
    let stream = server.post("/api/pull", &absent);
    assert_eq!(
        (stream.status, stream.error().as_str()),
        (200, "pull model manifest: file does not exist")
    );
    let mut absent = absent;
    absent["stream"] = json!(false);
    let whole = server.post("/api/pull", &absent);
    assert_eq!(
        (whole.status, whole.error().as_str()),
        (404, "pull model manifest: file does not exist")
    );
    for (body, text) in [
        (
            json!({"model": "127.0.0.1:1/library/none", "insecure": true}),
            "127.0.0.1:1",
        ),
        (json!({"model": "a b"}), "invalid model name"),
        (json!({"model": "../x/y/z/w"}), "invalid model name"),
        (json!({"model": 3}), "model"),
        (json!({}), "invalid model name"),
    ] {
        assert!(
            server.post("/api/pull", &body).error().contains(text),
            "{body}"
        );
    }
}

#[test]
fn whoever_hangs_up_stops_a_pull_that_the_next_one_goes_on_with() {
    let server = Server::start(&[]);
    let registry = Registry::start();
    let weights = noise(4 << 20, 7);
    registry.offer("team/m:v1", &[(Kind::Model, &weights)]);
    registry.content.lock().unwrap().speed = Some(2_000);
    let name = registry.name("team/m:v1");
    for stream in [true, false] {
        let before = registry.served();
        let body = json!({"model": name, "insecure": true, "stream": stream}).to_string();
        let mut client = server.send("POST", "/api/pull", "", body.as_bytes());
        if stream {
            let mut begun = [0; 300];
            client.read_exact(&mut begun).unwrap();
        }
        wait("pieces land", || registry.served() > before + 12 * 65_536);
        drop(client);
        let mut last = 0;
        // What was asked for already is still sent.
        wait("the pull stops", || {
            std::thread::sleep(Duration::from_millis(300));
            let still = registry.served() == last;
            last = registry.served();
            still
        });
        assert!(
            last < weights.len() as u64,
            "it ended before it was stopped"
        );
    }
    registry.content.lock().unwrap().speed = None;
    let body = json!({"model": name, "insecure": true});
    let lines = server.post("/api/pull", &body).lines();
    assert_eq!(lines.last().unwrap()["status"], "success", "{lines:?}");
    let first = lines
        .iter()
        .find(|line| line["total"] == weights.len())
        .unwrap();
    assert!(first["completed"].as_u64().unwrap() >= 65_536, "{first}");
}

#[test]
fn two_who_pull_the_same_share_one_download() {
    let server = Server::start(&[]);
    let registry = Registry::start();
    let weights = noise(3 << 20, 8);
    registry.offer("team/m:v1", &[(Kind::Model, &weights)]);
    registry.content.lock().unwrap().speed = Some(4_000);
    let body = json!({"model": registry.name("team/m:v1"), "insecure": true});
    let statuses: Vec<Vec<String>> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| server.post("/api/pull", &body).statuses()))
            .collect();
        // The server answers others meanwhile.
        for _ in 0..5 {
            assert_eq!(server.ask("GET", "/api/version", "", b"").status, 200);
        }
        clients
            .into_iter()
            .map(|client| client.join().unwrap())
            .collect()
    });
    for statuses in &statuses {
        assert_eq!(
            statuses.last().map(String::as_str),
            Some("success"),
            "{statuses:?}"
        );
    }
    let waited = statuses
        .iter()
        .flatten()
        .filter(|text| text.starts_with("waiting for another pull"));
    assert!(waited.count() > 0, "{statuses:?}");
    assert!(registry.served() < 2 * weights.len() as u64);
}

#[test]
fn pushes_go_to_the_registry_of_the_name() {
    let registry = Registry::with(Box::new(|request: &Request| {
        let uploads = "/v2/team/m/blobs/uploads/";
        match (request.method.as_str(), request.path()) {
            ("HEAD", path) if path.contains("/blobs/") => Some(Reply::new(404, "")),
            ("POST", path) if path == uploads => {
                Some(Reply::new(202, "").with("Location", format!("{uploads}1?state=a")))
            }
            ("PATCH", _) => {
                Some(Reply::new(202, "").with("Location", format!("{uploads}1?state=b")))
            }
            ("PUT", _) => Some(Reply::new(201, "")),
            _ => None,
        }
    }));
    let server = Server::start(&[]);
    let name = format!("{}/team/m:v1", registry.server.address);
    let made = json!({"model": name, "files": {"m.gguf": server.blob(BARD)}, "stream": false});
    assert_eq!(server.json("/api/create", &made)["status"], "success");
    let refused = server.post("/api/push", &json!({"model": "none"}));
    assert!(refused.error().contains("not found"), "{}", refused.body);
    let pushed = server.post(
        "/api/push",
        &json!({"model": format!("http://{name}"), "insecure": true}),
    );
    let statuses = pushed.statuses();
    assert_eq!(statuses[0], "retrieving manifest");
    assert_eq!(
        statuses[statuses.len() - 2..],
        ["pushing manifest", "success"],
        "{statuses:?}"
    );
    assert!(
        statuses.contains(&format!("pushing {}", Digest::of(BARD).short())),
        "{statuses:?}"
    );
    let whole = json!({"model": format!("http://{name}"), "insecure": true, "stream": false});
    assert_eq!(
        server.json("/api/push", &whole),
        json!({"status": "success"})
    );
    let sent = registry.server.requests();
    assert!(
        sent.iter()
            .any(|r| r.method == "PUT" && r.path() == "/v2/team/m/manifests/v1")
    );
}

#[test]
fn contents_are_taken_whole_or_not_at_all() {
    let server = Server::start(&[]);
    let digest = Digest::of(BARD);
    let path = format!("/api/blobs/{digest}");
    assert_eq!(server.ask("HEAD", &path, "", b"").status, 404);
    assert_eq!(server.ask("POST", &path, "", BARD).status, 201);
    assert_eq!(server.ask("HEAD", &path, "", b"").status, 200);
    assert_eq!(server.ask("POST", &path, "", BARD).status, 200);
    assert_eq!(
        server
            .ask("HEAD", &path.replace("sha256:", "sha256-"), "", b"")
            .status,
        200
    );

    let other = Digest::of(b"other");
    let path = format!("/api/blobs/{other}");
    let wrong = server.ask("POST", &path, "", b"another");
    let text = format!(
        "digest mismatch, expected \"{other}\", got \"{}\"",
        Digest::of(b"another")
    );
    assert_eq!((wrong.status, wrong.error()), (400, text));
    // One that breaks off, and one in chunks.
    let mut stream = TcpStream::connect(&server.0.address).unwrap();
    let host = &server.0.address;
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 5\r\n\r\noth"
    )
    .unwrap();
    drop(stream);
    let mut stream = TcpStream::connect(&server.0.address).unwrap();
    write!(stream, "POST {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
    write!(stream, "2\r\not\r\n").unwrap();
    assert_eq!(server.ask("HEAD", &path, "", b"").status, 404);
    write!(stream, "3\r\nher\r\n0\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert_eq!(answer(&text).status, 201, "{text}");
    let drafts = server.home().join(".hearth/tmp");
    wait("no draft stays", || {
        fs::read_dir(&drafts).unwrap().count() == 0
    });

    // Larger than any JSON may be.
    let large = noise(70 << 20, 9);
    assert_eq!(
        server
            .ask(
                "HEAD",
                &format!("/api/blobs/{}", server.blob(&large)),
                "",
                b""
            )
            .status,
        200
    );

    // CVE-2024-37032 and its like: a digest that is a path, whether something is there or not.
    let mut told = Vec::new();
    for hostile in [
        "sha256:..%2F..%2F..%2Fetc%2Fpasswd",
        "..%2F..%2F..%2Fetc%2Fpasswd",
        "..%2F..%2F..%2Fetc%2Fnothing",
        "sha256-",
        "sha512:00",
        "%00",
    ] {
        let path = format!("/api/blobs/{hostile}");
        for method in ["HEAD", "POST"] {
            let answer = server.ask(method, &path, "", b"");
            assert!(
                answer.status == 400 || answer.status == 404,
                "{method} {path}: {}",
                answer.status
            );
            assert!(
                !answer.body.contains("passwd") && !answer.body.contains("root:"),
                "{}",
                answer.body
            );
            told.push((hostile, method, answer.status, answer.body));
        }
    }
    let of = |hostile: &str| {
        let rows = told.iter().filter(move |row| row.0 == hostile);
        rows.map(|row| {
            (
                row.1,
                row.2,
                row.3.replace(|c: char| c.is_ascii_hexdigit(), ""),
            )
        })
        .collect::<Vec<_>>()
    };
    assert_eq!(
        of("..%2F..%2F..%2Fetc%2Fpasswd"),
        of("..%2F..%2F..%2Fetc%2Fnothing")
    );
}

#[test]
fn models_are_made_of_others_and_of_contents() {
    let server = Server::start(&[]);
    let streamed = server.post(
        "/api/create",
        &json!({"model": "child", "from": "bard", "system": "be brief"}),
    );
    let statuses = streamed.statuses();
    assert_eq!(statuses.iter().filter(|text| *text == "success").count(), 1);
    assert_eq!(
        statuses.last().map(String::as_str),
        Some("success"),
        "{statuses:?}"
    );
    assert!(statuses.contains(&"writing manifest".to_owned()));
    assert_eq!(
        server
            .store()
            .config(&server.store().get(&"child".parse().unwrap()).unwrap())
            .unwrap()
            .model_family,
        "llama"
    );

    // Two models of the same weights are two: each has its own parameters and system message.
    let short = json!({"model": "short", "from": "child", "parameters": {"num_predict": 2}, "stream": false});
    let long = json!({"model": "long", "from": "child", "parameters": {"num_predict": 5}, "stream": false});
    for body in [short, long] {
        assert_eq!(
            server.json("/api/create", &body),
            json!({"status": "success"})
        );
    }
    for (name, count) in [("short", 2), ("long", 5), ("short", 2)] {
        assert_eq!(server.generate(name)["eval_count"], count, "{name}");
    }
    // One that is replaced while it is loaded is replaced for the next request, and the old one goes.
    let again = json!({"model": "short", "from": "child", "parameters": {"num_predict": 4}, "stream": false});
    server.json("/api/create", &again);
    assert_eq!(server.generate("short")["eval_count"], 4);
    wait("the old one goes", || {
        let loaded = server.loaded();
        loaded.iter().filter(|name| *name == "short:latest").count() == 1
    });
    let gone = server.ask("DELETE", "/api/delete", "", br#"{"model": "long"}"#);
    assert_eq!(gone.status, 200);
    wait("one that is deleted goes", || {
        server.loaded() == ["short:latest"]
    });

    // Quantised, which needs weights that are not.
    let quantized = json!({"model": "small", "from": "child", "quantize": "q4_K_M"});
    assert!(
        server
            .post("/api/create", &quantized)
            .error()
            .contains("quantised already")
    );
    let unknown = json!({"model": "small", "from": "child", "quantize": "q9"});
    assert_eq!(server.post("/api/create", &unknown).status, 400);

    let ignored = json!({"model": "x", "from": "child", "modelfile": "FROM y", "stream": false});
    let done = server.json("/api/create", &ignored);
    assert_eq!(done["status"], "success");
    assert!(
        done["hearth"]["warnings"][0]
            .as_str()
            .unwrap()
            .contains("modelfile"),
        "{done}"
    );
}

#[test]
fn nothing_is_made_of_what_is_not_a_model() {
    let server = Server::start(&[]);
    let text = server.blob(b"not a model");
    let bard = server.blob(BARD);
    let absent = Digest::of(b"absent");
    let outside = server.home().join("outside.gguf");
    fs::write(&outside, BARD).unwrap();
    let place = server.home().display().to_string();
    for (body, status, expected) in [
        (json!({}), 400, "neither 'from' or 'files'"),
        // CVE-2024-39719: nothing is made of a path, and nobody learns whether it is there.
        (json!({"from": outside}), 400, "invalid model name"),
        (
            json!({"from": "/etc/nothing.gguf"}),
            400,
            "invalid model name",
        ),
        (json!({"from": "./outside.gguf"}), 400, "invalid model name"),
        (
            json!({"files": {"../outside.gguf": bard}}),
            400,
            "file path must be relative",
        ),
        (
            json!({"files": {"/etc/passwd": bard}}),
            400,
            "file path must be relative",
        ),
        (
            json!({"files": {"m.gguf": "../../../outside.gguf"}}),
            400,
            "invalid digest format",
        ),
        (json!({"files": {"m.gguf": absent}}), 400, "no such content"),
        (json!({"files": {"m.gguf": text}}), 400, "GGUF"),
        (
            json!({"files": {"config.json": text, "model.safetensors": bard}}),
            400,
            "",
        ),
        (
            json!({"files": {"m.gguf": bard}, "adapters": {"a.gguf": bard}}),
            400,
            "adapter",
        ),
        (
            json!({"files": {"m.gguf": bard}, "template": "{{ .Prompt"}),
            400,
            "template error",
        ),
        (json!({"from": "bard", "remote_host": "h"}), 400, "hosted"),
        (
            json!({"from": "127.0.0.1:1/library/none"}),
            502,
            "127.0.0.1:1",
        ),
        (
            json!({"from": "bard", "model": "a b"}),
            400,
            "invalid model name",
        ),
        (
            json!({"from": "bard", "license": "x".repeat(17 << 20)}),
            400,
            "",
        ),
    ] {
        for stream in [false, true] {
            let mut body = body.clone();
            body["stream"] = json!(stream);
            body.as_object_mut()
                .unwrap()
                .entry("model")
                .or_insert(json!("bad"));
            let answer = server.post("/api/create", &body);
            let shown: String = body.to_string().chars().take(200).collect();
            assert!(
                answer.error().contains(expected),
                "{shown}: {}",
                answer.body
            );
            assert!(!answer.body.contains(&place), "{shown}: {}", answer.body);
            assert!(
                stream || answer.status == status,
                "{shown}: {} {}",
                answer.status,
                answer.body
            );
        }
    }
    assert!(
        server
            .store()
            .find(&"bad".parse().unwrap())
            .unwrap()
            .is_none()
    );
    // An adapter that is not there says the same, whatever else is.
    for path in [
        "/api/create",
        "/api/pull",
        "/api/push",
        "/api/show",
        "/api/copy",
    ] {
        for (body, status) in [
            ("", 400),
            ("null", 400),
            ("[]", 400),
            ("{\"model\":", 400),
            (&"[".repeat(100_000), 400),
            (
                &format!("{{\"a\":{}1{}}}", "[".repeat(500), "]".repeat(500)),
                400,
            ),
        ] {
            let answer = server.ask("POST", path, "", body.as_bytes());
            assert_eq!(answer.status, status, "{path} {}", body.len());
            assert!(!answer.error().is_empty());
        }
        let huge = " ".repeat((64 << 20) + 1);
        assert_eq!(
            server.ask("POST", path, "", huge.as_bytes()).status,
            413,
            "{path}"
        );
    }
}

#[test]
fn a_model_of_ten_thousand_parts() {
    let server = Server::start(&[]);
    let registry = Registry::start();
    let texts: Vec<String> = (0..10_000).map(|n| format!("licence {n}")).collect();
    let contents: Vec<(Kind, &[u8])> = texts
        .iter()
        .map(|text| (Kind::License, text.as_bytes()))
        .collect();
    registry.offer("team/many:v1", &contents);
    let name = registry.name("team/many:v1");
    // It is told what happens while it happens, and given up with the client.
    let body = json!({"model": name, "insecure": true}).to_string();
    let mut client = server.send("POST", "/api/pull", "", body.as_bytes());
    let mut begun = [0; 2_000];
    client.read_exact(&mut begun).unwrap();
    drop(client);
    wait("the pull stops", || {
        let before = registry.served();
        std::thread::sleep(Duration::from_millis(300));
        registry.served() == before
    });
    assert_eq!(server.ask("GET", "/api/tags", "", b"").status, 200);
    let files: serde_json::Map<String, Value> = (0..10_000)
        .map(|n| (format!("{n}.gguf"), json!(Digest::of(&[1]))))
        .collect();
    let answer = server.post("/api/create", &json!({"model": "many", "files": files}));
    assert!(
        answer.error().contains("no such content"),
        "{}",
        answer.error()
    );
}

#[test]
fn ps_and_stop_ask_the_server() {
    let server = Server::start(&[]);
    let made =
        json!({"model": "mine", "from": "bard", "parameters": {"num_predict": 2}, "stream": false});
    server.json("/api/create", &made);
    server.generate("mine");
    let ps = |output: Output| -> Value {
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let shown = ps(server.hearth(&["ps", "--json"]));
    let model = &shown["models"][0];
    assert_eq!(
        (&model["name"], &model["command"]),
        (&json!("mine:latest"), &json!("serve"))
    );
    assert_eq!(
        (
            model["server"].as_str(),
            shown["models"].as_array().unwrap().len()
        ),
        (Some(server.0.address.as_str()), 1)
    );
    let table = String::from_utf8(server.hearth(&["ps"]).stdout).unwrap();
    assert!(
        table.contains("UNTIL") && table.contains("from now"),
        "{table}"
    );

    // Another user, with a store of their own.
    let other = tempfile::tempdir().unwrap();
    let theirs = |arguments: &[&str]| {
        command(other.path(), arguments)
            .env("OLLAMA_HOST", &server.0.address)
            .output()
            .unwrap()
    };
    let shown = ps(theirs(&["ps", "--json"]));
    assert_eq!(
        (
            &shown["models"][0]["name"],
            shown["models"][0].get("process")
        ),
        (&json!("mine:latest"), None)
    );
    let refused = theirs(&["stop", "none"]);
    assert!(
        String::from_utf8_lossy(&refused.stderr).contains("couldn't find model \"none\" to stop")
    );
    assert!(theirs(&["stop", "MINE"]).status.success());
    wait("it is unloaded", || server.loaded().is_empty());
    assert_eq!(
        server.generate("mine")["eval_count"],
        2,
        "the server goes on"
    );
    assert!(server.hearth(&["stop", "mine"]).status.success());
    wait("it is unloaded", || server.loaded().is_empty());
    assert_eq!(server.ask("GET", "/", "", b"").body, "Ollama is running");

    // None is up, and what answers is none.
    let silent = support::Server::start(|_| Reply::new(200, "[1, 2"));
    for address in [
        "127.0.0.1:1",
        "no.such.host.invalid",
        "https://x",
        &silent.address,
    ] {
        let mut command = command(other.path(), &["ps", "--json"]);
        let output = command.env("HEARTH_HOST", address).output().unwrap();
        assert!(output.stderr.is_empty());
        assert_eq!(ps(output), json!({"models": []}));
    }
}

#[test]
fn the_hosted_service_is_refused() {
    let server = Server::start(&[]);
    for (method, path, status) in [
        ("POST", "/api/me", 401),
        ("POST", "/api/signout", 401),
        ("DELETE", "/api/user/keys/abc", 401),
        ("POST", "/api/experimental/web_search", 403),
        ("POST", "/api/experimental/web_fetch", 403),
        ("GET", "/api/experimental/model-recommendations", 200),
    ] {
        let answer = server.ask(method, path, "", b"");
        assert_eq!(answer.status, status, "{path}");
        assert_eq!(answer.json()["error"].is_string(), status != 200, "{path}");
    }
}
