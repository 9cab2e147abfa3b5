//! A small HTTP server for tests: it answers what a closure says, also what no decent server would.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, missing_docs)] // shared by several test binaries

pub mod hub;
pub mod registry;

use std::{
    collections::HashMap,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// What a client asked.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    /// With the query.
    pub target: String,
    pub headers: HashMap<String, String>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// The value of a query parameter, as it was written.
    pub fn query(&self, name: &str) -> Option<String> {
        let query = self.target.split_once('?')?.1;
        let pair = query
            .split('&')
            .find_map(|pair| pair.split_once('=').filter(|(key, _)| *key == name))?;
        Some(pair.1.replace("%3A", ":").replace("%2F", "/"))
    }
}

/// What it is answered.
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Body,
}

pub enum Body {
    Bytes(Vec<u8>),
    /// Pieces of so many bytes with a pause before each.
    Slow(Vec<u8>, usize, Duration),
    /// These bytes, and then the connection is closed, whatever was promised.
    Cut(Vec<u8>),
    /// Writes to the connection itself, head included.
    Raw(Writer),
}

pub type Writer = Box<dyn FnOnce(&mut dyn Write) -> std::io::Result<()> + Send>;

impl Reply {
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Body::Bytes(body.into()),
        }
    }

    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub fn raw(write: impl FnOnce(&mut dyn Write) -> std::io::Result<()> + Send + 'static) -> Self {
        Self {
            status: 0,
            headers: Vec::new(),
            body: Body::Raw(Box::new(write)),
        }
    }
}

type Handler = dyn Fn(Request) -> Reply + Send + Sync;

/// A server on loopback until it is dropped.
pub struct Server {
    pub address: String,
    pub log: Arc<Mutex<Vec<Request>>>,
    stop: Arc<AtomicBool>,
}

impl Server {
    pub fn start(handler: impl Fn(Request) -> Reply + Send + Sync + 'static) -> Self {
        Self::with_streams(handler, |stream| Box::new(stream))
    }

    /// The same on what `wrap` makes of a connection, such as TLS.
    pub fn with_streams(
        handler: impl Fn(Request) -> Reply + Send + Sync + 'static,
        wrap: impl Fn(TcpStream) -> Box<dyn Duplex> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (stop, log) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(Mutex::new(Vec::new())),
        );
        let server = Self {
            address,
            log: Arc::clone(&log),
            stop: Arc::clone(&stop),
        };
        let (handler, wrap): (Arc<Handler>, _) = (Arc::new(handler), Arc::new(wrap));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                let Ok(stream) = stream else { continue };
                let (handler, log, wrap) =
                    (Arc::clone(&handler), Arc::clone(&log), Arc::clone(&wrap));
                std::thread::spawn(move || drop(converse(wrap(stream), &*handler, &log)));
            }
        });
        server
    }

    pub fn requests(&self) -> Vec<Request> {
        self.log.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(&self.address);
    }
}

pub trait Duplex: Read + Write + Send {}
impl<T: Read + Write + Send> Duplex for T {}

fn converse(
    stream: Box<dyn Duplex>,
    handler: &Handler,
    log: &Mutex<Vec<Request>>,
) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    while let Some(request) = read_request(&mut stream)? {
        log.lock().unwrap().push(request.clone());
        let head_only = request.method == "HEAD";
        let reply = handler(request);
        let out = stream.get_mut();
        let promised = match &reply.body {
            Body::Bytes(bytes) | Body::Slow(bytes, ..) => Some(bytes.len()),
            Body::Cut(_) | Body::Raw(_) => None,
        };
        if !matches!(reply.body, Body::Raw(_)) {
            let mut head = format!("HTTP/1.1 {} X\r\n", reply.status);
            for (name, value) in &reply.headers {
                head += &format!("{name}: {value}\r\n");
            }
            let given = reply.headers.iter().any(|(name, _)| {
                ["content-length", "transfer-encoding"]
                    .contains(&name.to_ascii_lowercase().as_str())
            });
            if let Some(length) = promised.filter(|_| !given) {
                head += &format!("Content-Length: {length}\r\n");
            }
            out.write_all(format!("{head}\r\n").as_bytes())?;
        }
        match reply.body {
            _ if head_only => {}
            Body::Bytes(bytes) => out.write_all(&bytes)?,
            Body::Slow(bytes, size, pause) => {
                for piece in bytes.chunks(size) {
                    std::thread::sleep(pause);
                    out.write_all(piece)?;
                    out.flush()?;
                }
            }
            Body::Cut(bytes) => {
                out.write_all(&bytes)?;
                return out.flush();
            }
            Body::Raw(write) => return write(out),
        }
        out.flush()?;
    }
    Ok(())
}

fn read_request(stream: &mut BufReader<Box<dyn Duplex>>) -> std::io::Result<Option<Request>> {
    let mut line = String::new();
    if stream.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, target) = (
        words.next().unwrap_or_default(),
        words.next().unwrap_or_default(),
    );
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length: usize = headers
        .get("content-length")
        .and_then(|text| text.parse().ok())
        .unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    Ok(Some(Request {
        method,
        target,
        headers,
        body,
    }))
}
