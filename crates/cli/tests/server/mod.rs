//! The program as a server on a store of its own, for tests that ask it over sockets as clients do.
#![allow(dead_code, reason = "each test program uses a part of it")]

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) struct Server {
    child: Child,
    pub(crate) address: String,
    store: tempfile::TempDir,
}

/// The program, which knows no store and no settings but those of a folder.
pub(crate) fn program(store: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hearth"));
    command
        .args(arguments)
        .env("HEARTH_MODELS", store)
        .env("HOME", store)
        .env_remove("XDG_CONFIG_HOME");
    command
}

impl Server {
    pub(crate) fn start(more: &[&str]) -> Self {
        Self::on(tempfile::tempdir().unwrap(), more)
    }

    /// On a store that there is.
    pub(crate) fn on(store: tempfile::TempDir, more: &[&str]) -> Self {
        let serve = ["serve", "--port", "0", "--ctx", "512"];
        let command = program(store.path(), &[&serve, more].concat());
        Self::begin(store, command)
    }

    /// As soon as it says where it listens.
    pub(crate) fn begin(store: tempfile::TempDir, mut command: Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let address = line.trim().strip_prefix("listening on ").unwrap();
        Self {
            child,
            address: address.to_owned(),
            store,
        }
    }

    /// Killed and started anew on the same store.
    pub(crate) fn again(mut self) -> Self {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let store = std::mem::replace(&mut self.store, tempfile::tempdir().unwrap());
        Self::on(store, &[])
    }

    /// Stores a file under a name.
    pub(crate) fn create(&self, name: &str, file: &Path) {
        let modelfile = self.store().join("Modelfile");
        std::fs::write(&modelfile, format!("FROM {}\n", file.display())).unwrap();
        let created = program(self.store(), &["create", name, "-f"])
            .arg(modelfile)
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&created.stderr);
        assert!(created.status.success(), "{errors}");
    }

    /// The folder of its store.
    pub(crate) fn store(&self) -> &Path {
        self.store.path()
    }

    /// The system's number of it.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until something holds.
    pub(crate) fn until(&self, holds: impl Fn() -> bool) {
        let begun = Instant::now();
        while !holds() {
            assert!(begun.elapsed() < PATIENCE, "it never came");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        let (status, _, body) = self.ask("GET", path, "", "");
        (status, body)
    }

    pub(crate) fn send(&self, method: &str, path: &str, headers: &str, body: &str) -> TcpStream {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let host = if headers.contains("Host:") {
            String::new()
        } else {
            format!("Host: {}\r\n", self.address)
        };
        let length = body.len();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\n{host}{headers}Connection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        )
        .unwrap();
        stream
    }

    /// Status, head and body.
    pub(crate) fn ask(
        &self,
        method: &str,
        path: &str,
        headers: &str,
        body: &str,
    ) -> (u16, String, String) {
        let mut text = String::new();
        self.send(method, path, headers, body)
            .read_to_string(&mut text)
            .unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let chunked = head.to_lowercase().contains("transfer-encoding: chunked");
        let body = if chunked {
            joined(body)
        } else {
            body.to_owned()
        };
        (status, head.to_owned(), body)
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> (u16, String) {
        let (status, _, body) = self.ask("POST", path, "", &body.to_string());
        (status, body)
    }

    pub(crate) fn json(&self, path: &str, body: &Value) -> Value {
        let (status, text) = self.post(path, body);
        assert_eq!(status, 200, "{path}: {text}");
        serde_json::from_str(&text).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The content of a chunked body.
pub(crate) fn joined(mut body: &str) -> String {
    let mut out = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        if size == 0 {
            break;
        }
        out += &rest[..size];
        body = &rest[size + 2..];
    }
    out
}
