//! Bodies of requests: read within limits, whatever the headers call them.

mod nesting;
mod patient;
mod zstd;

use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_ENCODING;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, timeout_at};

use super::context;
use super::refusal::{Kind, Refusal, Refused};

pub(crate) use patient::patient;

/// Bytes above which a body is parsed beside the event loop.
const PARSE_ELSEWHERE: usize = 1 << 20;

/// How much of a body is read, and for how long one waits for it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BodyLimits {
    /// Bytes as they come.
    pub bytes: usize,
    /// Bytes after decompression.
    pub decoded_bytes: usize,
    /// Levels of JSON; the parser itself stops after 127.
    pub depth: usize,
    /// Silence after which the rest is given up.
    pub idle: Duration,
    /// Time for a whole JSON body.
    pub total: Duration,
}

impl Default for BodyLimits {
    fn default() -> Self {
        Self {
            bytes: 64 << 20,
            decoded_bytes: 20_000_000,
            depth: 127,
            idle: Duration::from_secs(30),
            total: Duration::from_secs(300),
        }
    }
}

/// A JSON body, parsed whatever the content type says. The refusal has the style of the path:
/// `Result<Json<T>, Refused>` lets a handler look at it first.
#[derive(Clone, Debug)]
pub struct Json<T>(pub T);

impl<S, T> FromRequest<S> for Json<T>
where
    S: Send + Sync,
    T: DeserializeOwned + Send + 'static,
{
    type Rejection = Refused;

    async fn from_request(request: Request, _: &S) -> Result<Self, Refused> {
        let told = context::Told::of(request.extensions(), request.uri().path());
        read_json(request)
            .await
            .map(Json)
            .map_err(|refusal| told.refused(refusal))
    }
}

/// Reads and parses a JSON body within the limits that the server put on the request.
///
/// # Errors
/// The body is empty, too large, too deep, too slow, in an unknown encoding, no JSON, or of another type.
pub async fn read_json<T: DeserializeOwned + Send + 'static>(
    request: Request,
) -> Result<T, Refusal> {
    let limits = request
        .extensions()
        .get::<BodyLimits>()
        .copied()
        .unwrap_or_default();
    let zstd = is_zstd(request.headers())?;
    let text = read(request.into_body(), &limits).await?;
    if zstd || text.len() > PARSE_ELSEWHERE {
        let task = tokio::task::spawn_blocking(move || decode(&text, zstd, &limits));
        // The decoder's panic, should it have one, is the client's bad data.
        return task
            .await
            .unwrap_or_else(|_| Err(Refusal::new(Kind::Invalid, "the body cannot be decoded")));
    }
    decode(&text, zstd, &limits)
}

fn decode<T: DeserializeOwned>(text: &[u8], zstd: bool, limits: &BodyLimits) -> Result<T, Refusal> {
    if zstd {
        return parse(&zstd::decode(text, limits.decoded_bytes)?, limits.depth);
    }
    parse(text, limits.depth)
}

/// Whether the body is compressed.
fn is_zstd(headers: &HeaderMap) -> Result<bool, Refusal> {
    let mut zstd = false;
    for value in headers.get_all(CONTENT_ENCODING) {
        match value
            .to_str()
            .map(|text| text.trim().to_ascii_lowercase())
            .as_deref()
        {
            Ok("" | "identity") => {}
            Ok("zstd") if !zstd => zstd = true,
            other => {
                return Err(Refusal::new(
                    Kind::Encoding,
                    format!(
                        "the body has the encoding {:?}: expected none, or zstd",
                        other.unwrap_or("?")
                    ),
                ));
            }
        }
    }
    Ok(zstd)
}

/// Collects a body. The size it announces is believed only where it is too large.
async fn read(mut body: Body, limits: &BodyLimits) -> Result<Bytes, Refusal> {
    if axum::body::HttpBody::size_hint(&body).lower() > limits.bytes as u64 {
        return Err(too_large(limits.bytes));
    }
    let end = Instant::now() + limits.total;
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    loop {
        let deadline = end.min(Instant::now() + limits.idle);
        let frame = match timeout_at(deadline, body.frame()).await {
            Err(_) => return Err(too_slow(limits)),
            Ok(None) => break,
            Ok(Some(Err(error))) if is_silence(&error) => return Err(too_slow(limits)),
            Ok(Some(Err(error))) => {
                return Err(Refusal::new(
                    Kind::Invalid,
                    format!("the body broke off: {error}"),
                ));
            }
            Ok(Some(Ok(frame))) => frame,
        };
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if first.len() + rest.len() + data.len() > limits.bytes {
            return Err(too_large(limits.bytes));
        }
        // Most bodies are one frame and are not copied.
        if first.is_empty() && rest.is_empty() {
            first = data;
        } else {
            if rest.is_empty() {
                rest.extend_from_slice(&first);
                first = Bytes::new();
            }
            rest.extend_from_slice(&data);
        }
    }
    Ok(if rest.is_empty() {
        first
    } else {
        rest.freeze()
    })
}

/// Whether the server gave up on a silent peer, somewhere inside the error.
fn is_silence(error: &axum::Error) -> bool {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = next {
        if error.is::<patient::Silent>() {
            return true;
        }
        next = error.source();
    }
    false
}

fn too_slow(limits: &BodyLimits) -> Refusal {
    let (idle, total) = (limits.idle.as_secs(), limits.total.as_secs());
    Refusal::new(
        Kind::Timeout,
        format!(
            "the body did not come in time: the limits are {idle} s of silence and {total} s in all"
        ),
    )
}

fn too_large(limit: usize) -> Refusal {
    Refusal::new(
        Kind::TooLarge,
        format!(
            "the body is larger than the limit of {limit} bytes: send less, or raise the limit"
        ),
    )
}

/// Parses a JSON text of at most `depth` levels. A byte order mark before it is skipped: some shells write one.
///
/// # Errors
/// It is empty, deeper, no JSON (with line and column), or of another type.
pub fn parse<T: DeserializeOwned>(text: &[u8], depth: usize) -> Result<T, Refusal> {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    if text.iter().all(u8::is_ascii_whitespace) {
        return Err(Refusal::new(Kind::Invalid, "missing request body"));
    }
    if let Some(at) = nesting::deeper_than(text, depth) {
        return Err(Refusal::new(
            Kind::Invalid,
            format!("the body nests more than {depth} levels at byte {at}: expected fewer"),
        ));
    }
    serde_json::from_slice(text).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => Refusal::new(Kind::Invalid, error.to_string()),
        _ => Refusal::new(Kind::Invalid, format!("the body is no valid JSON: {error}")),
    })
}

#[cfg(test)]
mod tests {
    use axum::http::header::CONTENT_TYPE;
    use serde_json::Value;

    use super::*;

    fn request() -> axum::http::request::Builder {
        Request::post("/api/chat")
    }

    async fn value(request: Request) -> Result<Value, Refusal> {
        read_json(request).await
    }

    #[tokio::test]
    async fn the_content_type_does_not_matter() {
        for kind in [
            None,
            Some("text/plain"),
            Some("application/x-www-form-urlencoded"),
            Some("nonsense"),
        ] {
            let mut builder = request();
            if let Some(kind) = kind {
                builder = builder.header(CONTENT_TYPE, kind);
            }
            let body = "\u{feff} {\"model\": \"m\"}\n";
            let value = value(builder.body(Body::from(body)).unwrap())
                .await
                .unwrap();
            assert_eq!(value["model"], "m");
        }
    }

    #[tokio::test]
    async fn bad_bodies_are_refused_with_the_place() {
        #[derive(Debug, serde::Deserialize)]
        struct Typed {
            #[serde(rename = "n")]
            _n: Option<u32>,
        }
        for (body, message) in [
            ("", "missing request body"),
            (" \n", "missing request body"),
            ("{\"n\": 1,\n oops}", "line 2 column 2"),
            (
                "{\"n\": \"many\"}",
                "invalid type: string \"many\", expected u32 at line 1 column 12",
            ),
            (
                "{\"n\": 1",
                "EOF while parsing an object at line 1 column 7",
            ),
            ("{} {}", "trailing characters at line 1 column 4"),
        ] {
            let refusal = read_json::<Typed>(request().body(Body::from(body)).unwrap())
                .await
                .unwrap_err();
            assert_eq!(refusal.status, 400, "{body}");
            assert!(refusal.message.contains(message), "{body}: {refusal}");
        }
        assert!(
            read_json::<Typed>(request().body(Body::from("{\"n\":null}")).unwrap())
                .await
                .is_ok()
        );
    }

    #[tokio::test]
    async fn limits_hold_before_anything_recurses() {
        let limits = BodyLimits {
            bytes: 1 << 21,
            ..BodyLimits::default()
        };
        let bomb = "[".repeat(1 << 21);
        let built = request().extension(limits).body(Body::from(bomb)).unwrap();
        let refusal = value(built).await.unwrap_err();
        assert!(
            refusal.message.contains("127 levels at byte 127"),
            "{refusal}"
        );
        let built = request()
            .extension(limits)
            .body(Body::from(" ".repeat((1 << 21) + 1)))
            .unwrap();
        assert_eq!(value(built).await.unwrap_err().kind, Kind::TooLarge);
        let deep = format!("{}{}", "[".repeat(127), "]".repeat(127));
        assert!(
            value(request().body(Body::from(deep)).unwrap())
                .await
                .is_ok()
        );
    }

    #[tokio::test]
    async fn zstd_is_understood_and_nothing_else() {
        use ruzstd::encoding::{CompressionLevel, compress_to_vec};
        let packed = compress_to_vec(&b"{\"a\": 1}"[..], CompressionLevel::Fastest);
        for (encoding, status) in [
            ("zstd", None),
            ("ZSTD", None),
            ("gzip", Some(415)),
            ("zstd, zstd", Some(415)),
        ] {
            let built = request()
                .header(CONTENT_ENCODING, encoding)
                .body(Body::from(packed.clone()))
                .unwrap();
            let result = value(built).await;
            assert_eq!(
                result.err().map(|refusal| refusal.status.as_u16()),
                status,
                "{encoding}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stops_is_given_up() {
        for watched in [false, true] {
            let stream = futures_util::stream::pending::<Result<Bytes, std::io::Error>>();
            let mut body = Body::from_stream(stream);
            if watched {
                body = patient(body, Duration::from_secs(1), std::sync::Arc::default());
            }
            let built = request().body(body).unwrap();
            assert_eq!(value(built).await.unwrap_err().kind, Kind::Timeout);
        }
    }
}
