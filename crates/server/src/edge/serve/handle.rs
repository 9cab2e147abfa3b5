//! What happens to each request before and after its handler.

use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use axum::Router;
use axum::body::{Body, HttpBody};
use axum::extract::{MatchedPath, Request};
use axum::http::header::{
    ACCESS_CONTROL_REQUEST_METHOD, ALLOW, CONNECTION, CONTENT_LENGTH, HOST, ORIGIN,
    TRANSFER_ENCODING, WWW_AUTHENTICATE,
};
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use futures_util::FutureExt;
use ring::rand::{SecureRandom, SystemRandom};
use tower::ServiceExt;

use super::ended::{Answer, Ended};
use super::phase::{Doing, Phase};
use crate::edge::body::{BodyLimits, patient};
use crate::edge::caller::Caller;
use crate::edge::config::Checked;
use crate::edge::context::{Account, RequestId};
use crate::edge::guard::{Origins, is_public, normalise, scope_of};
use crate::edge::limiter::{Limiter, unix_seconds};
use crate::edge::refusal::{Kind, Refusal, Style, error_response};
use crate::metrics::Metrics;
use crate::usage::Usage;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// What Anthropic's clients read.
const ANTHROPIC_ID: HeaderName = HeaderName::from_static("request-id");
/// Why a request was refused with an empty body, for people who look.
const REFUSED: HeaderName = HeaderName::from_static("x-hearth-refused");
const LONGEST_ID: usize = 128;
const METHODS: HeaderValue =
    HeaderValue::from_static("GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS");
const FOREIGN_HOST: &str = "this Host is not a name of this machine: add it to the allowed hosts";
const FOREIGN_ORIGIN: &str = "this Origin may not ask: add it to the allowed origins";

/// Everything that requests share.
pub(super) struct Shared {
    pub(super) checked: Checked,
    pub(super) body: BodyLimits,
    pub(super) limiter: Arc<Limiter>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) usage: Option<Arc<Usage>>,
    pub(super) router: Router,
    pub(super) random: SystemRandom,
}

/// What is known of a connection.
#[derive(Clone)]
pub(super) struct Link {
    pub(super) phase: Arc<Phase>,
    /// The peer is on this machine.
    pub(super) local: bool,
    /// Host is looked at: a page may have pointed its name here.
    pub(super) check_host: bool,
    pub(super) peer: Option<IpAddr>,
}

/// The address of the peer, as an extension of requests over TCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer(pub IpAddr);

/// Adds to a router what has to happen after routing: the account learns the route.
pub(super) fn with_routes(router: Router) -> Router {
    async fn tell(request: Request, next: Next) -> Response {
        let extensions = request.extensions();
        if let (Some(account), Some(route)) =
            (extensions.get::<Account>(), extensions.get::<MatchedPath>())
        {
            account.route(route.as_str());
        }
        next.run(request).await
    }
    router.layer(from_fn(tell))
}

impl Shared {
    /// Answers a request. It never fails and never panics.
    pub(super) async fn answer<B>(
        self: Arc<Self>,
        link: Link,
        request: hyper::Request<B>,
    ) -> Response
    where
        B: HttpBody<Data = bytes::Bytes> + Send + 'static,
        B::Error: Into<axum::BoxError>,
    {
        link.phase.begin(Doing::Busy);
        let (mut parts, body) = request.map(Body::new).into_parts();
        let id = self.id(&parts.headers);
        let mut ended = Ended::new(
            &self.metrics,
            self.usage.as_ref(),
            &link.phase,
            &parts.method,
            id.clone(),
        );
        let origin = parts.headers.get(ORIGIN).cloned();
        // Where two lengths were given, or a proxy may have seen another end, nothing may follow (RFC 9112, 6.1).
        let close = parts.headers.contains_key(TRANSFER_ENCODING);
        let read = Arc::new(AtomicBool::new(body.is_end_stream()));

        let styled_as = |path: &str| self.checked.style.unwrap_or_else(|| Style::of(path));
        let mut style = styled_as(parts.uri.path());
        let (mut response, allowed) = match self.gate(&link, &parts.headers) {
            Err(why) => (refused_silently(why), false),
            Ok(()) => {
                let result = match self.path(&mut parts.uri) {
                    Err(refusal) => Err(refusal),
                    Ok(()) => {
                        style = styled_as(parts.uri.path());
                        ended.path = parts.uri.path().to_owned();
                        parts.extensions.insert(style);
                        let body = patient(body, self.body.idle, Arc::clone(&read));
                        self.reply(&link, Request::from_parts(parts, body), &mut ended)
                            .await
                    }
                };
                let response =
                    result.unwrap_or_else(|refusal| error_response(style, &refusal, Some(&id.0)));
                (styled(response, style, &id), true)
            }
        };
        let headers = response.headers_mut();
        if allowed {
            self.checked.origins.mark(origin.as_ref(), headers);
        }
        // What nobody read is in the way of the next request: the client has to know.
        if close || !read.load(Ordering::Acquire) {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        mark_id(headers, &id, style);
        ended.status = response.status().as_u16();
        response.map(|body| Body::new(Answer::new(body, ended)))
    }

    /// Refuses what comes from foreign pages.
    fn gate(&self, link: &Link, headers: &HeaderMap) -> Result<(), &'static str> {
        if link.check_host {
            let mut hosts = headers.get_all(HOST).iter().map(HeaderValue::to_str);
            let host = hosts.next().unwrap_or(Ok(""));
            if hosts.next().is_some() || !host.is_ok_and(|host| self.checked.hosts.allow(host)) {
                return Err(FOREIGN_HOST);
            }
        }
        if self.checked.origins.allow(headers) {
            Ok(())
        } else {
            Err(FOREIGN_ORIGIN)
        }
    }

    /// Brings the path into the form that routes have.
    fn path(&self, uri: &mut Uri) -> Result<(), Refusal> {
        let path = normalise(uri.path())
            .map_err(|error| Refusal::new(Kind::Invalid, error.to_string()))?;
        let rest = path
            .strip_prefix(self.checked.prefix.as_str())
            .filter(|rest| rest.is_empty() || rest.starts_with('/'))
            .ok_or_else(not_found)?;
        let rest = if rest.is_empty() { "/" } else { rest };
        if rest == uri.path() {
            return Ok(());
        }
        let text = uri
            .query()
            .map_or_else(|| rest.to_owned(), |query| format!("{rest}?{query}"));
        let clean: PathAndQuery = text.parse().map_err(|_| not_found())?;
        *uri = Uri::from(clean);
        Ok(())
    }

    /// The answer of the handler, or why there is none.
    async fn reply(
        &self,
        link: &Link,
        mut request: Request,
        ended: &mut Ended,
    ) -> Result<Response, Refusal> {
        if request.headers().contains_key(TRANSFER_ENCODING)
            && request.headers().contains_key(CONTENT_LENGTH)
        {
            return Err(Refusal::new(
                Kind::Invalid,
                "a request has Content-Length or Transfer-Encoding, never both",
            ));
        }
        if request.method() == Method::OPTIONS {
            return Ok(options(&self.checked.origins, request.headers()));
        }
        let path = request.uri().path();
        let caller = if is_public(request.method(), path) {
            Caller {
                local: link.local,
                ..Caller::default()
            }
        } else {
            let (caller, place) =
                Caller::identify(&self.checked.keys, request.headers(), link.local)?;
            ended.key.clone_from(&caller.key);
            caller.need(scope_of(request.method(), path))?;
            if let Some(place) = place {
                ended.permit = Some(self.limiter.admit(place, Instant::now(), unix_seconds())?);
            }
            caller
        };
        let extensions = request.extensions_mut();
        extensions.insert(caller);
        extensions.insert(ended.account.clone());
        extensions.insert(ended.id.clone());
        extensions.insert(self.body);
        if let Some(peer) = link.peer {
            extensions.insert(Peer(peer));
        }

        let handler = AssertUnwindSafe(self.router.clone().oneshot(request));
        match handler.catch_unwind().await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(never)) => match never {},
            // What the panic says may be about the request: it stays on standard error.
            Err(_) => {
                ended.account.failed("panic");
                Err(Refusal::new(
                    Kind::Internal,
                    "something went wrong in the server; its log has more",
                ))
            }
        }
    }

    /// The client's id where it is sane, else one of ours.
    fn id(&self, headers: &HeaderMap) -> RequestId {
        let sane = |id: &&str| {
            !id.is_empty()
                && id.len() <= LONGEST_ID
                && id.bytes().all(|byte| byte.is_ascii_graphic())
        };
        if let Some(id) = headers
            .get(REQUEST_ID)
            .and_then(|value| value.to_str().ok())
            .filter(sane)
        {
            return RequestId(id.into());
        }
        let mut bytes = [0u8; 12];
        // An id only has to differ from others; without randomness the time has to do.
        if self.random.fill(&mut bytes).is_err() {
            bytes[..8].copy_from_slice(&unix_seconds().to_le_bytes());
        }
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        RequestId(format!("req_{hex}").into())
    }
}

/// Gives the router's own bare answers the style of the dialect, and 401 its challenge.
fn styled(mut response: Response, style: Style, id: &RequestId) -> Response {
    let status = response.status();
    let bare = response.body().size_hint().exact() == Some(0);
    if bare && (status == StatusCode::NOT_FOUND || status == StatusCode::METHOD_NOT_ALLOWED) {
        let refusal = if status == StatusCode::NOT_FOUND {
            not_found()
        } else {
            Refusal::new(
                Kind::Method,
                "the path takes another method: see the Allow header",
            )
        };
        let allow = response.headers_mut().remove(ALLOW);
        response = error_response(style, &refusal, Some(&id.0));
        if let Some(allow) = allow {
            response.headers_mut().insert(ALLOW, allow);
        }
    }
    if status == StatusCode::UNAUTHORIZED {
        response
            .headers_mut()
            .insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

fn not_found() -> Refusal {
    Refusal::new(
        Kind::NotFound,
        "there is no such path here: check it, and the base URL of the client",
    )
}

/// 403 with no body, as clients of Ollama know it; a header says why to those who look.
fn refused_silently(why: &'static str) -> Response {
    tracing::warn!(target: "hearth::request", why, "refused");
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::FORBIDDEN;
    response
        .headers_mut()
        .insert(REFUSED, HeaderValue::from_static(why));
    response
}

/// What a path takes, and the answer to a preflight.
fn options(origins: &Origins, request: &HeaderMap) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response.headers_mut().insert(ALLOW, METHODS);
    if request.contains_key(ORIGIN) && request.contains_key(ACCESS_CONTROL_REQUEST_METHOD) {
        origins.preflight(request, response.headers_mut());
    }
    response
}

fn mark_id(headers: &mut HeaderMap, id: &RequestId, style: Style) {
    let Ok(value) = HeaderValue::from_str(&id.0) else {
        return;
    };
    if style == Style::Anthropic {
        headers.insert(ANTHROPIC_ID, value.clone());
    }
    headers.insert(REQUEST_ID, value);
}
