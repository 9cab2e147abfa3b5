//! A server on a free port with a few routes, and a client that writes bytes.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::{any, get, post};
use hearth_server::edge::{
    self, Account, Address, Caller, CancelOnDrop, Config, Json, Line, Refused, Server, Sse,
};
use hearth_server::metrics::Metrics;
use hearth_server::usage::Usage;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

/// What handlers saw.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) cancelled: AtomicUsize,
    pub(crate) dropped: AtomicUsize,
}

pub(crate) struct Running {
    pub(crate) addresses: Vec<Address>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) usage: Option<Arc<Usage>>,
    pub(crate) seen: Arc<Seen>,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

/// An answer, read whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {:?}", self.text()))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

fn router(seen: &Arc<Seen>) -> Router {
    async fn echo(caller: Caller, account: Account, Json(body): Json<Value>) -> axum::Json<Value> {
        if let Some(model) = body["model"].as_str() {
            account.model(model);
            account.read(10, 2);
            (0..5).for_each(|_| account.token());
        }
        axum::Json(json!({"body": body, "key": caller.key, "scope": caller.scope}))
    }
    async fn sum(Json(body): Json<Vec<u8>>) -> Result<String, Refused> {
        Ok(body
            .iter()
            .map(|byte| u64::from(*byte))
            .sum::<u64>()
            .to_string())
    }
    async fn events(State(seen): State<Arc<Seen>>) -> Response {
        let (sender, receiver) = mpsc::channel(4);
        let guard = CancelOnDrop::new(move || {
            seen.cancelled.fetch_add(1, Ordering::SeqCst);
        });
        tokio::spawn(async move {
            sender
                .send(Sse::data(&json!({"n": 1})).unwrap())
                .await
                .unwrap();
            sender.closed().await;
        });
        edge::sse(receiver, Some(guard))
    }
    async fn lines() -> Response {
        let (sender, receiver) = mpsc::channel(1);
        tokio::spawn(async move {
            for number in 0..5 {
                sender
                    .send(Line::new(&json!({"n": number})).unwrap())
                    .await
                    .unwrap();
            }
        });
        edge::ndjson(receiver, None)
    }
    async fn flood() -> Response {
        let (sender, receiver) = mpsc::channel(4);
        tokio::spawn(async move {
            while sender
                .send(Line::new(&"x".repeat(60_000)).unwrap())
                .await
                .is_ok()
            {}
        });
        edge::ndjson(receiver, None)
    }
    async fn hang(State(seen): State<Arc<Seen>>) {
        let _guard = CancelOnDrop::new(move || {
            seen.dropped.fetch_add(1, Ordering::SeqCst);
        });
        std::future::pending::<()>().await;
    }
    async fn nap() -> &'static str {
        tokio::time::sleep(Duration::from_millis(300)).await;
        "rested"
    }
    async fn fall() -> &'static str {
        panic!("the secret of the panic")
    }
    Router::new()
        .route("/", get(|| async { "hearth is running" }))
        .route("/health", get(|| async { "{}" }))
        .route("/api/chat", post(echo))
        .route("/v1/chat/completions", post(echo))
        .route("/v1/messages", post(echo))
        .route("/completion", post(echo))
        .route("/api/pull", post(echo))
        .route("/api/delete", any(echo))
        .route("/api/embed", post(sum))
        .route("/api/tags", get(lines))
        .route(
            "/v1/models/{*id}",
            get(|Path(id): Path<String>| async { id }),
        )
        .route("/api/ps", get(events))
        .route("/v1/models", get(flood))
        .route("/v1/completions", any(hang))
        .route("/api/version", get(nap))
        .route("/api/generate", any(fall))
        .route("/v1/responses", any(fall))
        .with_state(Arc::clone(seen))
}

pub(crate) async fn start(change: impl FnOnce(&mut Config)) -> Running {
    start_with(change, None).await
}

pub(crate) async fn start_with(
    change: impl FnOnce(&mut Config),
    usage: Option<Arc<Usage>>,
) -> Running {
    let mut config = Config {
        listen: vec!["127.0.0.1:0".parse().unwrap()],
        ..Config::default()
    };
    change(&mut config);
    let metrics = Arc::new(Metrics::new());
    let seen = Arc::new(Seen::default());
    let server = Server::bind(config, Arc::clone(&metrics), usage.clone())
        .await
        .unwrap();
    let addresses = server.addresses();
    let router = router(&seen).merge(edge::routes(Arc::clone(&metrics), usage.clone()));
    let (stop, stopped) = oneshot::channel::<()>();
    let task = tokio::spawn(server.run(router, async { drop(stopped.await) }));
    Running {
        addresses,
        metrics,
        usage,
        seen,
        stop: Some(stop),
        task,
    }
}

impl Running {
    pub(crate) async fn connect(&self) -> TcpStream {
        let Some(Address::Tcp(address)) = self
            .addresses
            .iter()
            .find(|address| matches!(address, Address::Tcp(_)))
        else {
            panic!("no TCP");
        };
        TcpStream::connect(address).await.unwrap()
    }

    /// Sends bytes on a connection of their own and reads one answer.
    pub(crate) async fn ask(&self, request: impl AsRef<[u8]>) -> Answer {
        let mut stream = self.connect().await;
        stream.write_all(request.as_ref()).await.unwrap();
        answer(&mut stream).await
    }

    pub(crate) async fn get(&self, path: &str, headers: &str) -> Answer {
        self.ask(format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n"
        ))
        .await
    }

    pub(crate) async fn post(&self, path: &str, headers: &str, body: &str) -> Answer {
        self.ask(post_text(path, headers, body)).await
    }

    /// Tells the server to stop and waits until it has.
    pub(crate) async fn stop(&mut self) {
        drop(self.stop.take());
        (&mut self.task).await.unwrap();
    }
}

pub(crate) fn post_text(path: &str, headers: &str, body: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n{headers}\r\n{body}",
        body.len()
    )
}

/// Waits until something is so; fails after ten seconds.
pub(crate) async fn until(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..1000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{what} did not happen");
}

/// Reads one answer: by its length, its chunks, or to the end.
pub(crate) async fn answer<T: AsyncReadExt + Unpin>(stream: &mut T) -> Answer {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(error) => panic!("{error} after {:?}", String::from_utf8_lossy(&head)),
        }
    }
    let text = String::from_utf8(head).unwrap();
    let mut lines = text.lines();
    let status: u16 = lines
        .next()
        .unwrap()
        .split(' ')
        .nth(1)
        .unwrap()
        .parse()
        .unwrap();
    let mut headers = HashMap::new();
    for line in lines.take_while(|line| !line.is_empty()) {
        let (name, value) = line.split_once(": ").unwrap();
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let mut body = Vec::new();
    if let Some(length) = headers.get("content-length") {
        body.resize(length.parse().unwrap(), 0);
        stream.read_exact(&mut body).await.unwrap();
    } else if headers
        .get("transfer-encoding")
        .is_some_and(|coding| coding == "chunked")
    {
        while let Some(chunk) = chunk(stream).await {
            body.extend(chunk);
        }
    } else if status != 204 {
        stream.read_to_end(&mut body).await.unwrap();
    }
    Answer {
        status,
        headers,
        body,
    }
}

/// One chunk; `None` for the last.
pub(crate) async fn chunk<T: AsyncReadExt + Unpin>(stream: &mut T) -> Option<Vec<u8>> {
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        line.push(stream.read_u8().await.unwrap());
    }
    let size = usize::from_str_radix(std::str::from_utf8(&line).unwrap().trim(), 16).unwrap();
    let mut data = vec![0; size + 2];
    stream.read_exact(&mut data).await.unwrap();
    data.truncate(size);
    (size > 0).then_some(data)
}

/// Reads to the end of a connection; an error is an end too.
pub(crate) async fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    loop {
        match stream.read(&mut piece).await {
            Ok(0) | Err(_) => return bytes,
            Ok(count) => bytes.extend(&piece[..count]),
        }
    }
}
