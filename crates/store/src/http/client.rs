//! One call after another; redirects by our own rules.

use std::{
    net::{IpAddr, SocketAddr},
    path::Path,
    sync::{Arc, OnceLock},
    time::Duration,
};

use reqwest::{
    Method, StatusCode, Url,
    dns::{Addrs, Resolve, Resolving},
    header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, LOCATION},
    redirect::Policy,
};

use crate::{Error, Reach, Result, config::Registry};

const MOST_REDIRECTS: usize = 10;
/// Less than this in [`Timing::stall`] is a stall.
const LEAST_BYTES: u64 = 4096;

/// How long is waited for what.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// For a connection.
    pub connect: Duration,
    /// For the next bytes.
    pub stall: Duration,
    /// Before the first repetition; doubled each time.
    pub pause: Duration,
    /// Attempts at one piece.
    pub attempts: u32,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(15),
            stall: Duration::from_secs(30),
            pause: Duration::from_secs(1),
            attempts: 7,
        }
    }
}

/// Asks servers. One pool of connections per reach, so that no connection made for one is used for another; a pool is
/// made when it is first needed, since that reads the system's certificates.
#[derive(Clone, Debug)]
pub struct Client {
    pools: Arc<[[OnceLock<reqwest::Client>; 3]; 2]>,
    certificates: Vec<reqwest::Certificate>,
    pub(crate) timing: Timing,
}

/// What to ask.
pub(crate) struct Call<'a> {
    pub method: Method,
    pub url: Url,
    pub headers: HeaderMap,
    pub body: Option<&'a [u8]>,
    /// How far in the address may be.
    pub reach: Reach,
    /// How long all of it may take, for what is silent for long because it sends much or the server has much to do;
    /// everything else may be silent as long as a stall.
    pub patience: Option<Duration>,
}

impl Call<'_> {
    /// Asks an address that the user named.
    pub(crate) fn new(method: Method, url: Url) -> Self {
        Self {
            method,
            url,
            headers: HeaderMap::new(),
            body: None,
            reach: Reach::Machine,
            patience: None,
        }
    }

    pub(crate) fn patient(mut self, patience: Duration) -> Self {
        self.patience = Some(patience);
        self
    }

    pub(crate) fn header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
        self
    }
}

/// What a server answered.
pub(crate) struct Answer {
    response: reqwest::Response,
    /// Where the answer came from in the end, and how far in that may be.
    pub url: Url,
    pub reach: Reach,
    /// Whether another host answered than was asked: credentials did not go there.
    pub elsewhere: bool,
    stall: Duration,
    window: (tokio::time::Instant, u64),
}

impl Client {
    /// A client that trusts the system's certificates and those of `registry`.
    ///
    /// # Errors
    /// When the certificates cannot be read.
    pub fn new(registry: &Registry, timing: Timing) -> Result<Self> {
        // An error means that one is installed already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Ok(Self {
            pools: Arc::default(),
            certificates: registry
                .ca
                .as_deref()
                .map_or(Ok(Vec::new()), certificates)?,
            timing,
        })
    }

    /// The connections to addresses within a reach; patient ones may be silent.
    fn pool(&self, reach: Reach, patient: bool) -> Result<&reqwest::Client> {
        let pool = &self.pools[usize::from(patient)][reach as usize];
        if let Some(client) = pool.get() {
            return Ok(client);
        }
        let mut builder = reqwest::Client::builder()
            .redirect(Policy::none())
            .referer(false)
            .connect_timeout(self.timing.connect)
            .dns_resolver(Arc::new(Within(reach)));
        if !patient {
            builder = builder.read_timeout(self.timing.stall);
        }
        if !self.certificates.is_empty() {
            builder = builder.tls_certs_merge(self.certificates.clone());
        }
        let client = builder
            .build()
            .map_err(|error| Error::invalid("the HTTP client", causes(&error)))?;
        Ok(pool.get_or_init(|| client))
    }

    /// Asks, and follows redirects: at most ten, to `http` and `https` only, never from `https` to `http`, never
    /// further inside a network than the server that redirects is itself, and without credentials once another host
    /// is involved.
    pub(crate) async fn ask(&self, call: Call<'_>) -> Result<Answer> {
        let origin = call.url.clone();
        let mut url = call.url.clone();
        let mut headers = call.headers.clone();
        let mut reach = call.reach;
        let mut elsewhere = false;
        for _ in 0..=MOST_REDIRECTS {
            let response = self.once(&call, &url, &headers, reach).await?;
            let Some(next) = redirection(&url, &response)? else {
                let window = (tokio::time::Instant::now(), 0);
                return Ok(Answer {
                    response,
                    url,
                    reach,
                    elsewhere,
                    stall: self.timing.stall,
                    window,
                });
            };
            if !same_host(&next, &origin) {
                if !elsewhere {
                    reach = reach.min(self.reach_of(&origin).await);
                }
                elsewhere = true;
                headers.remove(AUTHORIZATION);
            }
            url = next;
        }
        Err(Error::Refused {
            url: shown(&origin),
            why: format!("more than {MOST_REDIRECTS} redirects"),
        })
    }

    async fn once(
        &self,
        call: &Call<'_>,
        url: &Url,
        headers: &HeaderMap,
        reach: Reach,
    ) -> Result<reqwest::Response> {
        if let Some(address) = literal(url)
            && Reach::of(address) > reach
        {
            return Err(Error::Refused {
                url: shown(url),
                why: format!(
                    "a server sent us to {address}, which is inside a network that it is not in"
                ),
            });
        }
        let mut request = self
            .pool(reach, call.patience.is_some())?
            .request(call.method.clone(), url.clone())
            .headers(headers.clone());
        request = request.header(reqwest::header::USER_AGENT, user_agent(url));
        if let Some(patience) = call.patience {
            request = request.timeout(patience);
        }
        if let Some(body) = call.body {
            request = request.body(body.to_vec());
        }
        request.send().await.map_err(|error| network(url, &error))
    }

    /// How far in a host is: as far as the furthest of its addresses. What cannot be looked up (behind a proxy, say)
    /// counts as public.
    async fn reach_of(&self, url: &Url) -> Reach {
        if let Some(address) = literal(url) {
            return Reach::of(address);
        }
        let Some(host) = url.host_str() else {
            return Reach::Public;
        };
        let found = tokio::net::lookup_host((host, 0)).await;
        found
            .ok()
            .and_then(|found| found.map(|a| Reach::of(a.ip())).max())
            .unwrap_or(Reach::Public)
    }
}

/// The certificates of a PEM file.
fn certificates(path: &Path) -> Result<Vec<reqwest::Certificate>> {
    let what = || path.display().to_string();
    let bytes = crate::Disk::default()
        .read(path, 1 << 20)?
        .ok_or_else(|| Error::invalid(what(), "there is no such file of certificates"))?;
    reqwest::Certificate::from_pem_bundle(&bytes)
        .ok()
        .filter(|found| !found.is_empty())
        .ok_or_else(|| Error::invalid(what(), "expected certificates in PEM"))
}

/// Where an answer sends us, if it does.
fn redirection(url: &Url, response: &reqwest::Response) -> Result<Option<Url>> {
    let moved = [
        StatusCode::MOVED_PERMANENTLY,
        StatusCode::FOUND,
        StatusCode::SEE_OTHER,
        StatusCode::TEMPORARY_REDIRECT,
        StatusCode::PERMANENT_REDIRECT,
    ];
    if !moved.contains(&response.status()) {
        return Ok(None);
    }
    let refused = |why: String| Error::Refused {
        url: shown(url),
        why,
    };
    let Some(location) = response.headers().get(LOCATION) else {
        return Err(refused("a redirect without a place".to_owned()));
    };
    let location = location
        .to_str()
        .map_err(|_| refused("a redirect to no text".to_owned()))?;
    let next = url
        .join(location)
        .map_err(|error| refused(format!("a redirect to no address: {error}")))?;
    match (url.scheme(), next.scheme()) {
        (_, "https") | ("http", "http") => Ok(Some(next)),
        (from, to) => Err(refused(format!("a redirect from {from} to {to}"))),
    }
}

impl Answer {
    pub(crate) fn status(&self) -> StatusCode {
        self.response.status()
    }

    pub(crate) fn header(&self, name: impl reqwest::header::AsHeaderName) -> Option<&str> {
        self.response.headers().get(name)?.to_str().ok()
    }

    pub(crate) fn length(&self) -> Option<u64> {
        self.header(reqwest::header::CONTENT_LENGTH)?.parse().ok()
    }

    /// The next bytes; nothing at the end. Less than 4 KiB in the time of a stall is a stall.
    pub(crate) async fn next(&mut self) -> Result<Option<impl AsRef<[u8]> + use<>>> {
        let chunk = self
            .response
            .chunk()
            .await
            .map_err(|error| network(&self.url, &error))?;
        let (since, bytes) = &mut self.window;
        *bytes += chunk.as_ref().map_or(0, |chunk| chunk.len() as u64);
        if since.elapsed() >= self.stall {
            if *bytes < LEAST_BYTES && chunk.is_some() {
                let why = format!("only {bytes} bytes in {} seconds", self.stall.as_secs_f32());
                return Err(Error::Network {
                    url: shown(&self.url),
                    why,
                });
            }
            self.window = (tokio::time::Instant::now(), 0);
        }
        Ok(chunk)
    }

    /// All of a body that is no longer than `limit`.
    pub(crate) async fn read(mut self, limit: u64) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        while let Some(chunk) = self.next().await? {
            bytes.extend_from_slice(chunk.as_ref());
            if bytes.len() as u64 > limit {
                return Err(Error::TooLarge {
                    what: shown(&self.url),
                    limit,
                });
            }
        }
        Ok(bytes)
    }

    /// The answer if it is a success, else an error with what the server said.
    pub(crate) async fn success(self) -> Result<Self> {
        if self.status().is_success() {
            return Ok(self);
        }
        Err(self.failure().await)
    }

    /// What the server said of its failure.
    pub(crate) async fn failure(self) -> Error {
        let (url, status) = (shown(&self.url), self.status().as_u16());
        let body = self.read(64 << 10).await.unwrap_or_default();
        Error::Status {
            url,
            status,
            body: said(&body),
        }
    }
}

/// The message in an error body: Docker's form, the hub's, or the beginning of the text.
fn said(body: &[u8]) -> String {
    let json: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let texts = [
        &json["errors"][0]["message"],
        &json["error"]["message"],
        &json["error"],
        &json["message"],
    ];
    let text = texts
        .iter()
        .find_map(|value| value.as_str())
        .map(str::to_owned);
    let text = text.unwrap_or_else(|| String::from_utf8_lossy(body).into_owned());
    // A page of HTML or control characters on the terminal help nobody.
    if text.trim_start().starts_with('<') {
        return String::new();
    }
    text.chars().filter(|c| !c.is_control()).take(300).collect()
}

/// Only addresses within a reach.
struct Within(Reach);

impl Resolve for Within {
    fn resolve(&self, name: reqwest::dns::Name) -> Resolving {
        let limit = self.0;
        Box::pin(async move {
            let found: Vec<SocketAddr> =
                tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let allowed: Vec<SocketAddr> = found
                .iter()
                .copied()
                .filter(|a| Reach::of(a.ip()) <= limit)
                .collect();
            if allowed.is_empty() && !found.is_empty() {
                return Err(format!(
                    "{} is an address inside a network that the server is not in",
                    name.as_str()
                )
                .into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

fn literal(url: &Url) -> Option<IpAddr> {
    url.host_str()?
        .trim_start_matches('[')
        .trim_end_matches(']')
        .parse()
        .ok()
}

/// Whether both addresses are the same server.
pub(crate) fn same_host(a: &Url, b: &Url) -> bool {
    (a.scheme(), a.host_str(), a.port_or_known_default())
        == (b.scheme(), b.host_str(), b.port_or_known_default())
}

/// An address without what may be secret in it.
pub(crate) fn shown(url: &Url) -> String {
    format!("{}://{}{}", url.scheme(), authority(url), url.path())
}

pub(crate) fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port()
        .map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

fn network(url: &Url, error: &reqwest::Error) -> Error {
    let why = if error.is_timeout() {
        "no answer in time".to_owned()
    } else {
        causes(error)
    };
    Error::Network {
        url: shown(url),
        why,
    }
}

/// The innermost cause says what happened; those around it say where in the client.
fn causes(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// Who asks. Ollama's registry refuses what does not look like a recent Ollama.
fn user_agent(url: &Url) -> &'static str {
    match url.host_str() {
        Some("registry.ollama.ai" | "ollama.com") => concat!(
            "ollama/0.32.0 (amd64 linux) Go/1.25 hearth/",
            env!("CARGO_PKG_VERSION")
        ),
        _ => concat!("hearth/", env!("CARGO_PKG_VERSION")),
    }
}
