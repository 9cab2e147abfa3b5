//! The store as a user meets it: through the program, against servers on loopback.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../store/tests/support/mod.rs"]
mod support;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use hearth_store::{Digest, Kind, Layout, Name, Store};
use serde_json::Value;
use support::{
    Reply, Server,
    hub::Hub,
    registry::{Registry, noise},
};

const BARD: &[u8] = include_bytes!("../../server/assets/bard.gguf");

/// A user with a home of their own.
struct User(tempfile::TempDir);

impl User {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn home(&self) -> &Path {
        self.0.path()
    }

    fn store(&self) -> Store {
        Store::new(self.home().join("models"))
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hearth"));
        command
            .args(arguments)
            .env_clear()
            .env("HOME", self.home())
            .env("HEARTH_MODELS", self.home().join("models"))
            // No server that may run on this machine is asked.
            .env("HEARTH_HOST", "127.0.0.1:1")
            .current_dir(self.home())
            .stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Standard output of what must succeed.
    fn ok(&self, arguments: &[&str]) -> String {
        text_of(arguments, self.run(arguments))
    }

    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.ok(arguments)).unwrap()
    }

    /// Standard error of what must fail, the last line of which is the reason.
    fn refused(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {message}");
        assert!(!message.contains("panicked"), "{message}");
        message
    }
}

fn text_of(arguments: &[&str], output: Output) -> String {
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{arguments:?}: {message}");
    String::from_utf8(output.stdout).unwrap()
}

/// What is called a name or a content is one.
fn assert_sound(store: &Store) {
    let listing = store.list().unwrap();
    assert!(listing.faults.is_empty(), "{:?}", listing.faults);
    for entry in &listing.entries {
        for layer in entry.manifest.contents() {
            let file = store.layer_file(&entry.name, layer).unwrap();
            assert_eq!(
                Digest::of(&fs::read(file).unwrap()),
                layer.digest,
                "{}",
                entry.name
            );
        }
    }
    for blob in fs::read_dir(store.layout().blobs()).into_iter().flatten() {
        let path = blob.unwrap().path();
        assert_eq!(
            Some(Digest::of(&fs::read(&path).unwrap())),
            Layout::digest_of(&path)
        );
    }
}

#[test]
fn a_model_from_a_registry_is_pulled_listed_run_copied_and_removed() {
    let user = User::new();
    let registry = Registry::start();
    let template = b"{{ if .System }}{{ .System }}\n{{ end }}{{ .Prompt }}\n{{ .Response }}";
    registry.offer(
        "team/bard:v1",
        &[
            (Kind::Model, BARD),
            (Kind::Template, template),
            (Kind::System, b"JULIET:"),
            (
                Kind::Params,
                br#"{"temperature":0,"num_predict":6,"num_ctx":256,"stop":["ROMEO"]}"#,
            ),
            (Kind::License, b"MIT"),
        ],
    );
    let name = registry.name("team/bard:v1");
    let full = format!("{}/team/bard:v1", registry.server.address);
    assert!(user.refused(&["pull", &name]).contains("insecure"));
    user.ok(&["pull", &name, "--insecure"]);
    let listed = user.json(&["list", "--json"]);
    assert_eq!(listed["models"][0]["name"], full);
    assert_eq!(listed["models"][0]["family"], "llama");
    let table = user.ok(&["list"]);
    assert!(
        table.starts_with("NAME") && table.contains(&full) && table.contains("seconds ago")
            || table.contains("second ago")
            || table.contains("Less than"),
        "{table}"
    );

    // The template, the system message and the parameters are those of the model.
    let answer = user.json(&["run", &full, "But soft", "--json"]);
    assert_eq!(answer["generated_tokens"], 6);
    assert_eq!(answer["context"]["limit"], 256);
    let raw = user.json(&["run", &full, "JULIET:\nBut soft\n", "--raw", "--json"]);
    assert_eq!(
        answer["ids"], raw["ids"],
        "the prompt is what the template makes"
    );

    user.ok(&["cp", &full, "mine"]);
    assert!(
        user.ok(&["search-local", "LLAMA", "mine"])
            .contains("mine:latest")
    );
    assert!(
        user.refused(&["run", "absent.gguf", "x"])
            .contains("there is no")
    );
    user.ok(&["rm", &full]);
    assert_eq!(
        user.json(&["run", "MINE", "But soft", "--json"])["ids"],
        answer["ids"]
    );
    user.ok(&["rm", "mine"]);
    assert!(
        user.refused(&["rm", "mine"])
            .contains("model 'mine:latest' not found")
    );
    let blobs = user.home().join("models/blobs");
    assert_eq!(
        fs::read_dir(blobs).unwrap().count(),
        0,
        "nothing stays that no model uses"
    );
}

#[test]
fn run_fetches_from_the_hub_what_is_not_here() {
    let user = User::new();
    let hub = Hub::start(
        vec![
            ("Bard-Q8_0.gguf", BARD.to_vec()),
            ("README.md", b"x".to_vec()),
        ],
        None,
        false,
    );
    let run = |arguments: &[&str]| {
        let output = user
            .command(arguments)
            .env("HF_ENDPOINT", hub.endpoint())
            .output()
            .unwrap();
        text_of(arguments, output)
    };
    let arguments = [
        "run",
        "hf.co/owner/repo:Q8_0",
        "ROMEO:",
        "--raw",
        "-t",
        "0",
        "-n",
        "4",
        "--json",
    ];
    let first: Value = serde_json::from_str(&run(&arguments)).unwrap();
    let asked = hub.server.requests().len();
    let second: Value = serde_json::from_str(&run(&arguments)).unwrap();
    assert_eq!(first["ids"], second["ids"]);
    assert_eq!(
        hub.server.requests().len(),
        asked,
        "the second time nobody is asked"
    );
    let built_in = user.json(&[
        "run", "bard", "ROMEO:", "--raw", "-t", "0", "-n", "4", "--json",
    ]);
    assert_eq!(first["ids"], built_in["ids"]);
    let output = user
        .command(&["pull", "hf.co/owner/repo:Q4_K_M"])
        .env("HF_ENDPOINT", hub.endpoint())
        .output()
        .unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(
        !output.status.success() && message.contains("Q8_0"),
        "{message}"
    );
}

#[test]
fn models_of_other_programs_are_used_where_they_are() {
    let user = User::new();
    let write = |path: &str, bytes: &[u8]| {
        let path = user.home().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    };
    let commit = "0123456789012345678901234567890123456789";
    write(
        ".cache/huggingface/hub/models--o--hub/refs/main",
        commit.as_bytes(),
    );
    write(".cache/huggingface/hub/models--o--hub/blobs/abc", BARD);
    let snapshot = user.home().join(format!(
        ".cache/huggingface/hub/models--o--hub/snapshots/{commit}"
    ));
    fs::create_dir_all(&snapshot).unwrap();
    std::os::unix::fs::symlink("../../blobs/abc", snapshot.join("hub-Q8_0.gguf")).unwrap();
    write(".lmstudio/models/o/studio/studio-Q8_0.gguf", BARD);
    write("folder/deep/loose.gguf", BARD);
    write("folder/half.gguf.part", b"x");
    write(
        ".hearth/config.toml",
        format!("folders = [{:?}]", user.home().join("folder")).as_bytes(),
    );
    // An Ollama store, made by hearth itself in that layout.
    let ollama = user.home().join(".ollama/models");
    let output = user
        .command(&["import", "folder/deep/loose.gguf", "theirs:v2"])
        .env("HEARTH_MODELS", &ollama)
        .output()
        .unwrap();
    text_of(&["import"], output);

    let before = tree(user.home());
    let listed = user.json(&["list", "--json"]);
    let models = listed["models"].as_array().unwrap();
    let found = |name: &str| {
        models
            .iter()
            .find(|model| model["name"] == name)
            .map(|model| model["origin"].as_str().unwrap().to_owned())
    };
    assert_eq!(
        found("hf.co/o/hub:Q8_0").as_deref(),
        Some("huggingface"),
        "{listed}"
    );
    assert_eq!(
        found("hf.co/o/studio:Q8_0").as_deref(),
        Some("lmstudio"),
        "{listed}"
    );
    assert_eq!(found("theirs:v2").as_deref(), Some("ollama"), "{listed}");
    let loose = models
        .iter()
        .find(|model| model["origin"] == "folder")
        .unwrap()["name"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(models.len(), 4, "{listed}");
    let expected =
        user.json(&["run", "bard", "x", "--raw", "-t", "0", "-n", "3", "--json"])["ids"].clone();
    for name in [
        "hf.co/o/hub:q8_0",
        "hf.co/o/studio:Q8_0",
        "theirs:v2",
        &loose,
    ] {
        let answer = user.json(&["run", name, "x", "--raw", "-t", "0", "-n", "3", "--json"]);
        assert_eq!(answer["ids"], expected, "{name}");
    }
    let after: Vec<_> = tree(user.home())
        .into_iter()
        .filter(|(path, _)| !path.starts_with(user.home().join("models")))
        .collect();
    assert_eq!(before, after, "nothing was written, copied or touched");
}

/// Files with their times of change.
fn tree(root: &Path) -> Vec<(PathBuf, std::time::SystemTime)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(tree(&path));
        } else {
            files.push((
                path.clone(),
                fs::symlink_metadata(&path).unwrap().modified().unwrap(),
            ));
        }
    }
    files.sort();
    files
}

#[test]
fn a_modelfile_makes_a_model_that_runs_as_it_says() {
    let user = User::new();
    fs::write(user.home().join("bard.gguf"), BARD).unwrap();
    let modelfile = "FROM ./bard.gguf\nPARAMETER temperature 0\nPARAMETER num_predict 5\nPARAMETER stop \"XYZ\"\nSYSTEM \"\"\"You are\nRomeo.\"\"\"\nTEMPLATE \"\"\"{{ .System }}|{{ .Prompt }}|{{ .Response }}\"\"\"\nMESSAGE user hi\nMESSAGE assistant ho\nLICENSE MIT\n";
    fs::write(user.home().join("Modelfile"), modelfile).unwrap();
    user.ok(&["create", "romeo"]);
    let answer = user.json(&["run", "romeo", "to be", "--json"]);
    let raw = user.json(&[
        "run",
        "romeo",
        "You are\nRomeo.|hi|ho|to be|",
        "--raw",
        "--json",
    ]);
    assert_eq!(
        (&answer["ids"], answer["generated_tokens"].as_u64()),
        (&raw["ids"], Some(5))
    );

    // What it says comes back, and makes the same model again.
    let printed = user.ok(&["show", "romeo", "--modelfile"]);
    fs::write(user.home().join("Again"), &printed).unwrap();
    user.ok(&["create", "again", "-f", "Again"]);
    let digests = user.json(&["list", "--json", "--own"]);
    assert_eq!(
        digests["models"][0]["digest"], digests["models"][1]["digest"],
        "{printed}"
    );
    assert_eq!(
        user.ok(&["show", "romeo", "--system"]).trim(),
        "You are\nRomeo."
    );
    assert!(
        user.ok(&["show", "romeo", "--parameters"])
            .contains("num_predict")
    );
    assert_eq!(user.ok(&["show", "romeo", "--license"]).trim(), "MIT");
    assert_eq!(
        user.ok(&["show", "romeo", "--template"]).trim(),
        "{{ .System }}|{{ .Prompt }}|{{ .Response }}"
    );

    // From a stored model, quantised.
    fs::write(
        user.home().join("Small"),
        "FROM romeo\nPARAMETER num_predict 3\n",
    )
    .unwrap();
    assert!(
        user.refused(&["create", "small", "-f", "Small", "-q", "q4_0"])
            .contains("is quantised already")
    );
    user.ok(&[
        "create",
        "small",
        "-f",
        "Small",
        "-q",
        "q4_0",
        "--allow-requantize",
    ]);
    let small = user.json(&["run", "small", "to be", "--json"]);
    assert_eq!(small["generated_tokens"], 3);
    let show = user.json(&["show", "small", "--json"]);
    assert!(show["types"]["Q4_0"].as_u64().unwrap() > 30, "{show}");

    for (text, reason) in [
        ("SYSTEM x\n", "no FROM line"),
        ("FROM romeo\nTEMPLATE {{ .Prompt\n", "template error"),
        (
            "FROM romeo\nPARAMETER temperature hot\n",
            "invalid float value [hot]",
        ),
        ("FROM ../../../etc/passwd\n", "passwd"),
        ("FROM /dev/zero\n", "regular file"),
        ("FROM ./nothing.gguf\n", "nothing.gguf"),
        ("FROM romeo\nADAPTER ./bard.gguf\n", "adapter"),
    ] {
        fs::write(user.home().join("Bad"), text).unwrap();
        let message = user.refused(&["create", "bad", "-f", "Bad"]);
        assert!(message.contains(reason), "{text:?}: {message}");
    }
    assert!(
        user.store()
            .find(&"bad".parse().unwrap())
            .unwrap()
            .is_none()
    );
    assert_sound(&user.store());
}

#[test]
fn pins_lock_files_rollback_and_archives() {
    let (user, other) = (User::new(), User::new());
    let registry = Registry::start();
    registry.offer("team/m:v1", &[(Kind::Model, BARD), (Kind::System, b"one")]);
    let name = registry.name("team/m:v1");
    let full = format!("{}/team/m:v1", registry.server.address);
    user.ok(&["pull", &name, "--insecure"]);
    user.ok(&["pin", &full]);
    user.ok(&["pin", &full, "--file", "hearth.lock"]);
    registry.offer("team/m:v1", &[(Kind::Model, BARD), (Kind::System, b"two")]);
    assert!(
        user.refused(&["pull", &name, "--insecure"])
            .contains("is pinned to")
    );
    user.ok(&["pin", "--remove", &full]);
    user.ok(&["pull", "--all", "--insecure"]);
    assert_eq!(user.ok(&["show", &full, "--system"]).trim(), "two");
    user.ok(&["rollback", &full]);
    assert_eq!(user.ok(&["show", &full, "--system"]).trim(), "one");

    // Another machine gets what the lock file says, though the registry has a newer version.
    let lock = user.home().join("hearth.lock");
    other.ok(&[
        "pull",
        "--locked",
        "--file",
        lock.to_str().unwrap(),
        "--insecure",
    ]);
    assert_eq!(other.ok(&["show", &full, "--system"]).trim(), "one");
    assert_eq!(
        user.json(&["list", "--json"])["models"][0]["digest"],
        other.json(&["list", "--json"])["models"][0]["digest"]
    );

    // And without a network, by a file.
    user.ok(&["export", &full, "m.tar"]);
    let third = User::new();
    let archive = user.home().join("m.tar");
    third.ok(&["import", archive.to_str().unwrap()]);
    third.ok(&["import", archive.to_str().unwrap(), "renamed:v9"]);
    assert_eq!(third.ok(&["show", "renamed:v9", "--system"]).trim(), "one");
    assert_sound(&third.store());
    let pruned = user.json(&["prune", "--json", "--now", "--previous"]);
    assert_eq!(
        (pruned["previous"].as_u64(), pruned["contents"].as_u64()),
        (Some(1), Some(1)),
        "{pruned}"
    );
    assert!(
        user.refused(&["rollback", &full])
            .contains("no earlier version")
    );
}

#[test]
fn what_is_loaded_is_shown_kept_and_ended() {
    let user = User::new();
    fs::write(user.home().join("bard.gguf"), BARD).unwrap();
    user.ok(&["import", "bard.gguf", "mine"]);
    let store = user.store();
    let entry = store.get(&"mine".parse::<Name>().unwrap()).unwrap();
    let mut sleeper: Child = Command::new("sleep").arg("60").spawn().unwrap();
    let mut running =
        hearth_store::Running::new("mine:latest".to_owned(), "serve").of(&entry.manifest);
    running.process = sleeper.id();
    let presence = store.announce(&running).unwrap();
    let shown = user.json(&["ps", "--json"]);
    assert_eq!(
        (
            &shown["models"][0]["name"],
            shown["models"][0]["process"].as_u64()
        ),
        (&"mine:latest".into(), Some(u64::from(sleeper.id())))
    );
    user.ok(&["rm", "mine"]);
    let pruned = user.json(&["prune", "--now", "--json"]);
    assert!(
        pruned["kept"]["in_use"].as_u64().unwrap() > 1_000_000,
        "{pruned}"
    );
    assert!(
        entry
            .manifest
            .contents()
            .all(|layer| store.blob(&layer.digest).is_some())
    );
    assert!(
        user.refused(&["stop", "other"])
            .contains("couldn't find model")
    );
    user.ok(&["stop", "mine"]);
    let start = Instant::now();
    while sleeper.try_wait().unwrap().is_none() {
        assert!(start.elapsed() < Duration::from_secs(10));
        std::thread::sleep(Duration::from_millis(10));
    }
    drop(presence);
    assert_eq!(
        user.json(&["ps", "--json"])["models"]
            .as_array()
            .unwrap()
            .len(),
        0
    );
    user.ok(&["prune", "--now"]);
    assert!(
        entry
            .manifest
            .contents()
            .all(|layer| store.blob(&layer.digest).is_none())
    );
    assert!(!user.ok(&["completions", "bash"]).is_empty());
    user.ok(&["man", "pages"]);
    let page = fs::read_to_string(user.home().join("pages/hearth-pull.1")).unwrap();
    assert!(
        page.contains("hearth\\-pull") && page.contains("insecure"),
        "{page}"
    );
}

/// `kill -9` at 500 moments: the store opens, names are whole, and what landed is not fetched again.
#[test]
fn a_pull_that_is_killed_500_times() {
    let user = User::new();
    fs::create_dir_all(user.home().join(".hearth")).unwrap();
    fs::write(user.home().join(".hearth/config.toml"), "piece = 16384\n").unwrap();
    let registry = Registry::start();
    let weights = noise(256 << 10, 50);
    let manifest = registry.offer(
        "team/m:v1",
        &[
            (Kind::Model, &weights),
            (Kind::System, b"system"),
            (Kind::License, b"licence"),
        ],
    );
    registry.content.lock().unwrap().speed = Some(1024);
    let text = registry.name("team/m:v1");
    let name: Name = text.parse().unwrap();
    let store = user.store();
    let journal = user.home().join(format!(
        "models/.hearth/partial/{}.chunks",
        Digest::of(&weights).hex()
    ));
    let (mut finished, mut killed, mut random) = (0, 0, 1_u64);
    let start = Instant::now();
    user.ok(&["pull", &text, "--insecure"]);
    let usual = start.elapsed();
    user.ok(&["rm", &format!("{}/team/m:v1", registry.server.address)]);
    while killed + finished < 500 {
        let landed: Vec<String> = fs::read_to_string(&journal)
            .unwrap_or_default()
            .lines()
            .map(range_of)
            .collect();
        let complete: Vec<String> = manifest
            .contents()
            .filter(|layer| store.blob(&layer.digest).is_some())
            .map(|layer| layer.digest.to_string())
            .collect();
        let logged = registry.server.requests().len();
        let mut child = user
            .command(&["pull", &text, "--insecure"])
            .stderr(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        std::thread::sleep(usual.mul_f64((random >> 40) as f64 / f64::from(1 << 24) * 0.9));
        child.kill().unwrap();
        let status = child.wait().unwrap();
        assert_sound(&store);
        for request in &registry.server.requests()[logged..] {
            let again = complete
                .iter()
                .any(|digest| request.target.ends_with(digest.as_str()));
            let of_weights = request.target.contains(&Digest::of(&weights).to_string());
            let range = request.header("range").filter(|_| of_weights);
            let piece = range.is_some_and(|range| landed.contains(&range.to_owned()));
            assert!(!again, "{} was complete", request.target);
            assert!(!piece, "{range:?} of {} had landed", request.target);
        }
        match store.find(&name).unwrap() {
            Some(entry) => {
                assert_eq!(entry.manifest.digest(), manifest.digest());
                finished += 1;
                user.ok(&["rm", &format!("{}/team/m:v1", registry.server.address)]);
                user.ok(&["prune", "--partial", "--now"]);
            }
            None => {
                assert!(!status.success());
                killed += 1;
            }
        }
    }
    assert!(
        killed > 200 && finished > 10,
        "{killed} killed, {finished} finished"
    );
}

/// The range that a journal's line stands for, as a request would have it.
fn range_of(line: &str) -> String {
    let mut words = line.split(' ');
    let (start, end): (u64, u64) = (
        words.next().unwrap().parse().unwrap(),
        words.next().and_then(|end| end.parse().ok()).unwrap_or(1),
    );
    format!("bytes={start}-{}", end - 1)
}

#[test]
fn two_processes_share_one_download() {
    let user = User::new();
    let registry = Registry::start();
    let manifest = registry.offer("team/m:v1", &[(Kind::Model, &noise(2 << 20, 51))]);
    registry.content.lock().unwrap().speed = Some(16_384);
    let text = registry.name("team/m:v1");
    let start = || {
        user.command(&["pull", &text, "--insecure"])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let children = [start(), start(), start()];
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    assert_eq!(registry.served(), manifest.size());
    assert_sound(&user.store());
}

/// A registry on the internet (reached through a proxy) that sends us to this machine, or to a metadata service.
#[test]
fn localai_9395_a_registry_on_the_internet_cannot_lead_us_inside() {
    let user = User::new();
    let secret = Server::start(|_| Reply::new(200, "secret"));
    let places = [
        format!("http://{}/secret", secret.address),
        "http://169.254.169.254/latest/meta-data".to_owned(),
        "http://[::1]/".to_owned(),
        "http://10.0.0.1/".to_owned(),
    ];
    for place in places {
        let to = place.clone();
        let proxy = Server::start(move |_| Reply::new(307, "").with("Location", to.clone()));
        let output = user
            .command(&["pull", "http://registry.example/team/m:v1", "--insecure"])
            .env("HTTP_PROXY", format!("http://{}", proxy.address))
            .env("http_proxy", format!("http://{}", proxy.address))
            .output()
            .unwrap();
        let message = String::from_utf8(output.stderr).unwrap();
        assert!(
            !output.status.success() && message.contains("inside a network"),
            "{place}: {message}"
        );
        assert!(
            proxy.requests()[0]
                .target
                .starts_with("http://registry.example/v2/"),
            "asked through the proxy"
        );
    }
    assert!(secret.requests().is_empty());
}

#[test]
fn names_that_are_none_are_refused_before_anything_happens() {
    let user = User::new();
    let long = "a".repeat(4096);
    for name in [
        "../x",
        "a/b/c/d",
        "m\u{1b}[2J",
        "llаma",
        "m\u{202e}x",
        &long,
        "m@sha256:00",
        "",
        " ",
        "C:\\x",
        "hf.co/../x:y",
        "qwen3:cloud",
    ] {
        for command in ["pull", "rm", "push"] {
            let message = user.refused(&[command, name]);
            assert!(
                !message.contains('\u{1b}')
                    && !message.contains('\u{202e}')
                    && message.len() < 1000,
                "{message:?}"
            );
        }
    }
    assert!(!user.home().join("models").exists());
}

#[test]
fn a_file_and_the_built_in_model_need_no_store() {
    let user = User::new();
    fs::write(user.home().join("bard.gguf"), BARD).unwrap();
    for model in ["bard", "bard.gguf"] {
        let arguments = ["run", model, "x", "--raw", "-n", "2", "--json"];
        let output = user.command(&arguments).env_clear().output().unwrap();
        text_of(&arguments, output);
        // A store that cannot be made holds nobody up either.
        let output = user
            .command(&arguments)
            .env("HEARTH_MODELS", "/dev/null/models")
            .output()
            .unwrap();
        text_of(&arguments, output);
    }
    let output = user.command(&["list"]).env_clear().output().unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(message.contains("HEARTH_MODELS"), "{message}");
}

#[test]
fn a_full_disk_is_told_before_the_download() {
    let user = User::new();
    let registry = Registry::start();
    registry.offer("team/m:v1", &[(Kind::Model, b"x")]);
    let mut raw =
        String::from_utf8(registry.content.lock().unwrap().manifests["team/m/v1"].clone()).unwrap();
    raw = raw.replace("\"size\":1}", "\"size\":900000000000000}");
    registry
        .content
        .lock()
        .unwrap()
        .manifests
        .insert("team/m/v1".into(), raw.into_bytes());
    let message = user.refused(&["pull", &registry.name("team/m:v1"), "--insecure"]);
    assert!(message.contains("more bytes"), "{message}");
    assert_eq!(registry.served(), 0);
}

/// A directory of safetensors becomes a model as it is, or as one quantised GGUF file.
#[test]
fn a_directory_is_kept_as_it_is_or_quantised() {
    let kit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance/models");
    if !kit.exists() {
        println!("skipped: no ../shared");
        return;
    }
    let user = User::new();
    for family in ["llama", "qwen3", "gemma3"] {
        let directory = kit.join(family).join("hf");
        let name = format!("{family}:plain");
        user.ok(&["import", directory.to_str().unwrap(), &name]);
        let flags = [
            "x y z",
            "--raw",
            "-t",
            "0",
            "-n",
            "8",
            "--ignore-eos",
            "--exact",
            "--json",
        ];
        let run = |model: &str| user.json(&[&["run", model], &flags[..]].concat())["ids"].clone();
        let expected = run(directory.to_str().unwrap());
        assert_eq!(run(&name), expected, "{family}");
        fs::write(
            user.home().join("Modelfile"),
            format!("FROM {}\n", directory.display()),
        )
        .unwrap();
        for (mixture, same) in [("f32", true), ("q8_0", false)] {
            let quantised = format!("{family}:{mixture}");
            user.ok(&["create", &quantised, "-q", mixture]);
            let ids = run(&quantised);
            assert_eq!(ids.as_array().map(Vec::len), Some(8));
            assert!(
                !same || ids == expected,
                "{family} {mixture}: {ids} is not {expected}"
            );
        }
    }
    assert_sound(&user.store());
}
