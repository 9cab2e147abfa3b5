//! A registry in memory, honest unless told otherwise.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use hearth_store::{CONFIG_TYPE, Digest, Kind, Layer, Manifest};

use super::{Body, Reply, Request, Server};

/// Replies in place of the registry where it gives something.
pub type Override = Box<dyn Fn(&Request) -> Option<Reply> + Send + Sync>;

#[derive(Default)]
pub struct Content {
    /// By digest.
    pub blobs: HashMap<String, Vec<u8>>,
    /// By `NAMESPACE/MODEL` and tag or digest.
    pub manifests: HashMap<String, Vec<u8>>,
    /// Whether pieces have digests.
    pub chunksums: Option<usize>,
    /// Bytes per millisecond for blobs.
    pub speed: Option<usize>,
}

pub struct Registry {
    pub server: Server,
    pub content: Arc<Mutex<Content>>,
    /// Bytes of contents sent.
    pub served: Arc<AtomicU64>,
}

impl Registry {
    pub fn start() -> Self {
        Self::with(Box::new(|_| None))
    }

    pub fn with(instead: Override) -> Self {
        let content = Arc::new(Mutex::new(Content::default()));
        let served = Arc::new(AtomicU64::new(0));
        let (inner, counter) = (Arc::clone(&content), Arc::clone(&served));
        let server = Server::start(move |request| {
            instead(&request).unwrap_or_else(|| answer(&request, &inner, &counter))
        });
        Self {
            server,
            content,
            served,
        }
    }

    pub fn name(&self, model: &str) -> String {
        format!("http://{}/{model}", self.server.address)
    }

    /// Offers a model of given contents under `NAMESPACE/MODEL:TAG`.
    pub fn offer(&self, model: &str, contents: &[(Kind, &[u8])]) -> Manifest {
        let config = br#"{"model_format":"gguf","model_family":"llama","model_type":"1B","file_type":"Q4_0"}"#;
        let mut content = self.content.lock().unwrap();
        let mut keep = |bytes: &[u8]| {
            let digest = Digest::of(bytes);
            content.blobs.insert(digest.to_string(), bytes.to_vec());
            (digest, bytes.len() as u64)
        };
        let (digest, size) = keep(config);
        let config = Layer {
            media_type: CONFIG_TYPE.to_owned(),
            ..Layer::new(Kind::Other, digest, size)
        };
        let layers = contents.iter().map(|(kind, bytes)| {
            let (digest, size) = keep(bytes);
            Layer::new(*kind, digest, size)
        });
        let manifest = Manifest::build(config, layers.collect()).unwrap();
        let (repository, _) = model.rsplit_once(':').unwrap();
        content
            .manifests
            .insert(model.replace(':', "/"), manifest.raw().to_vec());
        content.manifests.insert(
            format!("{repository}/{}", manifest.digest()),
            manifest.raw().to_vec(),
        );
        manifest
    }

    pub fn served(&self) -> u64 {
        self.served.load(Ordering::Relaxed)
    }
}

fn answer(request: &Request, content: &Mutex<Content>, served: &AtomicU64) -> Reply {
    let content = content.lock().unwrap();
    let Some(path) = request.path().strip_prefix("/v2/") else {
        return Reply::new(404, "404 page not found");
    };
    if let Some((repository, reference)) = path.split_once("/manifests/") {
        return match content.manifests.get(&format!("{repository}/{reference}")) {
            Some(raw) => Reply::new(200, raw.clone())
                .with("Docker-Content-Digest", Digest::of(raw).to_string()),
            None => Reply::new(
                404,
                r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#,
            ),
        };
    }
    if let Some((_, digest)) = path.split_once("/chunksums/") {
        return match (content.chunksums, content.blobs.get(digest)) {
            (Some(size), Some(bytes)) => Reply::new(200, chunksums(bytes, size)),
            _ => Reply::new(404, ""),
        };
    }
    let Some(bytes) = path
        .split_once("/blobs/")
        .and_then(|(_, digest)| content.blobs.get(digest))
    else {
        return Reply::new(404, r#"{"errors":[{"code":"BLOB_UNKNOWN"}]}"#);
    };
    let mut reply = part(request, bytes);
    let Body::Bytes(body) = &reply.body else {
        unreachable!()
    };
    if request.method == "GET" {
        served.fetch_add(body.len() as u64, Ordering::Relaxed);
    }
    if let Some(speed) = content.speed {
        reply.body = Body::Slow(body.clone(), speed, Duration::from_millis(1));
    }
    reply
}

/// The range that was asked for, or everything.
pub fn part(request: &Request, bytes: &[u8]) -> Reply {
    let range = request
        .header("range")
        .and_then(|range| range.strip_prefix("bytes=")?.split_once('-'));
    let Some((first, last)) = range else {
        return Reply::new(200, bytes.to_vec());
    };
    let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
    match bytes.get(first..=last) {
        Some(part) => Reply::new(206, part.to_vec()).with(
            "Content-Range",
            format!("bytes {first}-{last}/{}", bytes.len()),
        ),
        None => Reply::new(416, ""),
    }
}

fn chunksums(bytes: &[u8], size: usize) -> String {
    let lines = bytes.chunks(size).enumerate().map(|(index, chunk)| {
        let start = index * size;
        format!(
            "{} {start}-{}\n",
            Digest::of(chunk),
            start + chunk.len() - 1
        )
    });
    lines.collect()
}

/// Bytes that no two pieces have alike.
pub fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let step = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..length).map(step).collect()
}
