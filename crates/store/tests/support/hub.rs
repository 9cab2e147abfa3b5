//! The hub's endpoints over files in memory: listings, and contents that redirect to another host.

use std::sync::{Arc, Mutex};

use hearth_store::{Digest, hub::git_oid};

use super::{Reply, Request, Server, registry::part};

pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
/// From this size on a file is in large file storage.
const LARGE: usize = 1024;

/// By path.
pub type Files = Arc<Mutex<Vec<(String, Vec<u8>)>>>;

/// A repository `owner/repo` of files by path.
pub struct Hub {
    pub server: Server,
    /// Where large files are.
    pub storage: Server,
    pub files: Files,
}

impl Hub {
    /// `token` is demanded where there is one; `paged` leaves sizes out of the first listing, as large repositories do.
    pub fn start(files: Vec<(&str, Vec<u8>)>, token: Option<&'static str>, paged: bool) -> Self {
        let files = files
            .into_iter()
            .map(|(path, bytes)| (path.to_owned(), bytes))
            .collect();
        let files: Files = Arc::new(Mutex::new(files));
        let stored = Arc::clone(&files);
        let storage = Server::start(move |request| {
            if request.header("authorization").is_some() {
                return Reply::new(500, "the token leaked");
            }
            let files = stored.lock().unwrap();
            let found = files
                .iter()
                .find(|(_, bytes)| request.path() == format!("/{}", Digest::of(bytes).hex()));
            found.map_or_else(|| Reply::new(404, ""), |(_, bytes)| part(&request, bytes))
        });
        let (listed, place) = (
            Arc::clone(&files),
            format!(
                "http://localhost:{}",
                storage.address.rsplit_once(':').unwrap().1
            ),
        );
        let server = Server::start(move |request| {
            let right = token.is_none_or(|token| {
                request.header("authorization") == Some(&format!("Bearer {token}"))
            });
            if !right {
                return Reply::new(
                    401,
                    r#"{"error":"Access to model owner/repo is restricted."}"#,
                );
            }
            answer(&request, &listed.lock().unwrap(), paged, &place)
        });
        Self {
            server,
            storage,
            files,
        }
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.server.address)
    }
}

fn answer(request: &Request, files: &[(String, Vec<u8>)], paged: bool, storage: &str) -> Reply {
    let path = request.path();
    if [
        "/api/models/owner/repo/revision/main",
        "/api/models/owner/repo/revision/v1.0",
    ]
    .contains(&path)
    {
        let siblings: Vec<_> = files
            .iter()
            .map(|(path, bytes)| sibling(path, bytes, paged))
            .collect();
        return Reply::new(
            200,
            serde_json::json!({"sha": COMMIT, "siblings": siblings}).to_string(),
        );
    }
    if path == format!("/api/models/owner/repo/tree/{COMMIT}") {
        let at: usize = request
            .query("cursor")
            .map_or(0, |text| text.parse().unwrap());
        let page: Vec<_> = files[at..]
            .iter()
            .take(2)
            .map(|(path, bytes)| node(path, bytes))
            .collect();
        let reply = Reply::new(200, serde_json::Value::from(page).to_string());
        if at + 2 >= files.len() {
            return reply;
        }
        let next = format!("<{path}?recursive=true&cursor={}>; rel=\"next\"", at + 2);
        return reply.with("Link", next);
    }
    let wanted = path.strip_prefix(&format!("/owner/repo/resolve/{COMMIT}/"));
    match wanted.and_then(|wanted| files.iter().find(|(path, _)| path == wanted)) {
        Some((_, bytes)) if bytes.len() >= LARGE => Reply::new(302, "")
            .with("Location", format!("{storage}/{}", Digest::of(bytes).hex()))
            .with("x-repo-commit", COMMIT),
        Some((_, bytes)) => part(request, bytes),
        None => Reply::new(404, r#"{"error":"Entry not found"}"#),
    }
}

fn sibling(path: &str, bytes: &[u8], bare: bool) -> serde_json::Value {
    if bare {
        return serde_json::json!({"rfilename": path});
    }
    let mut file =
        serde_json::json!({"rfilename": path, "size": bytes.len(), "blobId": oid(bytes)});
    if bytes.len() >= LARGE {
        file["lfs"] = serde_json::json!({"sha256": Digest::of(bytes).hex(), "size": bytes.len(), "pointerSize": 134});
    }
    file
}

fn node(path: &str, bytes: &[u8]) -> serde_json::Value {
    let mut file =
        serde_json::json!({"type": "file", "path": path, "size": bytes.len(), "oid": oid(bytes)});
    if bytes.len() >= LARGE {
        file["lfs"] = serde_json::json!({"oid": Digest::of(bytes).hex(), "size": bytes.len(), "pointerSize": 134});
    }
    file
}

fn oid(bytes: &[u8]) -> String {
    git_oid(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
