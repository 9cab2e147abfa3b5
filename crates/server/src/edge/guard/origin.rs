//! The Origin of a request: which web pages and applications may ask.

use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS, HOST,
    ORIGIN, VARY,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue};

/// Pages of this machine and applications with a scheme of their own. A browser extension is not among them, nor is
/// `null`, which any page can make itself.
const BUILT_IN: &[&str] = &[
    "http://localhost",
    "https://localhost",
    "http://localhost:*",
    "https://localhost:*",
    "http://127.0.0.1",
    "https://127.0.0.1",
    "http://127.0.0.1:*",
    "https://127.0.0.1:*",
    "http://0.0.0.0",
    "https://0.0.0.0",
    "http://0.0.0.0:*",
    "https://0.0.0.0:*",
    "http://[::1]",
    "https://[::1]",
    "http://[::1]:*",
    "https://[::1]:*",
    "app://*",
    "file://*",
    "tauri://*",
    "http://tauri.localhost",
    "https://tauri.localhost",
    "vscode-webview://*",
    "vscode-file://*",
];

const METHODS: HeaderValue =
    HeaderValue::from_static("GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS");
const EXPOSED: HeaderValue = HeaderValue::from_static("x-request-id, request-id, retry-after");
const TWELVE_HOURS: HeaderValue = HeaderValue::from_static("43200");
const REQUEST_PRIVATE_NETWORK: HeaderName =
    HeaderName::from_static("access-control-request-private-network");
const ALLOW_PRIVATE_NETWORK: HeaderName =
    HeaderName::from_static("access-control-allow-private-network");

/// An entry of the settings that can be no origin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' is no origin: expected SCHEME://HOST[:PORT] as a browser sends it, with * for any part, or * alone"
)]
pub struct BadOrigin(String);

/// The origins that may ask.
#[derive(Clone, Debug)]
pub(crate) struct Origins {
    any: bool,
    patterns: Vec<String>,
    /// Methods that pages may use; none is all.
    methods: Option<HeaderValue>,
    /// Headers that they may send; none is those that they ask for.
    headers: Option<HeaderValue>,
}

impl Origins {
    /// The built-in ones and these.
    pub(crate) fn new(extra: &[String]) -> Result<Self, BadOrigin> {
        let mut patterns: Vec<String> = BUILT_IN.iter().map(|text| (*text).to_owned()).collect();
        let mut any = false;
        for entry in extra
            .iter()
            .map(|entry| entry.trim())
            .filter(|entry| !entry.is_empty())
        {
            if entry == "*" {
                any = true;
                continue;
            }
            let entry = entry
                .strip_suffix('/')
                .unwrap_or(entry)
                .to_ascii_lowercase();
            let scheme = entry
                .split_once("://")
                .filter(|(scheme, rest)| is_scheme(scheme) && !rest.is_empty());
            if scheme.is_none() && !entry.contains('*') {
                return Err(BadOrigin(entry));
            }
            patterns.push(entry);
        }
        Ok(Self {
            any,
            patterns,
            methods: None,
            headers: None,
        })
    }

    /// The same for pages that may use only these methods and send only these headers; all where there are none.
    ///
    /// # Errors
    /// With the word that can be no name of either.
    pub(crate) fn restricted(self, methods: &[String], headers: &[String]) -> Result<Self, String> {
        let list = |words: &[String]| {
            let is_token = |word: &&String| {
                let token = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.*".contains(&byte);
                !word.is_empty() && word.bytes().all(token)
            };
            if let Some(wrong) = words.iter().find(|word| !is_token(word)) {
                return Err(wrong.clone());
            }
            let named = !words.is_empty() && words.iter().all(|word| word != "*");
            let text = words.join(", ");
            Ok(named.then(|| HeaderValue::from_str(&text).ok()).flatten())
        };
        Ok(Self {
            methods: list(methods)?,
            headers: list(headers)?,
            ..self
        })
    }

    /// The headers of the answer to a preflight, beside the origin. What it asks for is what it gets where nothing else
    /// is said: SDKs and plugins add headers of their own.
    pub(crate) fn preflight(&self, request: &HeaderMap, answer: &mut HeaderMap) {
        let methods = self.methods.clone().unwrap_or(METHODS);
        answer.insert(ACCESS_CONTROL_ALLOW_METHODS, methods);
        answer.insert(ACCESS_CONTROL_MAX_AGE, TWELVE_HOURS);
        let asked = request.get(ACCESS_CONTROL_REQUEST_HEADERS);
        if let Some(headers) = self.headers.as_ref().or(asked) {
            answer.insert(ACCESS_CONTROL_ALLOW_HEADERS, headers.clone());
        }
        if request
            .get(REQUEST_PRIVATE_NETWORK)
            .is_some_and(|value| value == "true")
        {
            answer.insert(ALLOW_PRIVATE_NETWORK, HeaderValue::from_static("true"));
        }
    }

    /// Whether any page may ask.
    pub(crate) fn any(&self) -> bool {
        self.any
    }

    /// Whether a request may go on: it has no origin, one of ours, or one of the same host.
    pub(crate) fn allow(&self, headers: &HeaderMap) -> bool {
        let mut origins = headers.get_all(ORIGIN).iter();
        let Some(origin) = origins.next() else {
            return true;
        };
        if self.any {
            return true;
        }
        let Ok(origin) = origin.to_str() else {
            return false;
        };
        // Two origins are nobody's.
        let origin = origin.to_ascii_lowercase();
        origins.next().is_none()
            && (self
                .patterns
                .iter()
                .any(|pattern| matches(pattern, &origin))
                || same_host(&origin, headers))
    }

    /// The headers that let a page read the answer. The request was allowed.
    pub(crate) fn mark(&self, request: Option<&HeaderValue>, answer: &mut HeaderMap) {
        let Some(origin) = request else {
            return;
        };
        let value = if self.any {
            HeaderValue::from_static("*")
        } else {
            origin.clone()
        };
        answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, value);
        answer.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
        answer.append(VARY, HeaderValue::from_static("Origin"));
    }
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '*')
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+-.*".contains(&byte))
}

fn same_host(origin: &str, headers: &HeaderMap) -> bool {
    let host = headers
        .get(HOST)
        .and_then(|host| host.to_str().ok())
        .filter(|host| !host.is_empty());
    let name = origin
        .strip_prefix("http://")
        .or_else(|| origin.strip_prefix("https://"));
    matches!((host, name), (Some(host), Some(name)) if name.eq_ignore_ascii_case(host))
}

/// Whether a pattern with `*` for any run of characters fits. After a colon `*` stands for a port and nothing else, so
/// that no name can hide there.
fn matches(pattern: &str, origin: &str) -> bool {
    if let Some(head) = pattern.strip_suffix(":*") {
        return origin.rsplit_once(':').is_some_and(|(name, port)| {
            glob(head, name) && !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit())
        });
    }
    glob(pattern, origin)
}

fn glob(pattern: &str, text: &str) -> bool {
    let Some((head, tail)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(mut rest) = text.strip_prefix(head) else {
        return false;
    };
    let (middle, end) = tail.rsplit_once('*').unwrap_or(("", tail));
    for part in middle.split('*').filter(|part| !part.is_empty()) {
        let Some(at) = rest.find(part) else {
            return false;
        };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preflight_gets_what_it_asks_for_or_what_is_said() {
        let mut asked = HeaderMap::new();
        asked.insert(ACCESS_CONTROL_REQUEST_HEADERS, "x-own".parse().unwrap());
        let words = |text: &str| {
            text.split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        for (methods, headers, allowed) in [
            (
                "",
                "",
                ("GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS", "x-own"),
            ),
            (
                "*",
                "*",
                ("GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS", "x-own"),
            ),
            ("GET POST", "authorization", ("GET, POST", "authorization")),
        ] {
            let origins = Origins::new(&[]).unwrap();
            let origins = origins
                .restricted(&words(methods), &words(headers))
                .unwrap();
            let mut answer = HeaderMap::new();
            origins.preflight(&asked, &mut answer);
            assert_eq!(
                (
                    &answer[ACCESS_CONTROL_ALLOW_METHODS],
                    &answer[ACCESS_CONTROL_ALLOW_HEADERS]
                ),
                (
                    &HeaderValue::from_static(allowed.0),
                    &HeaderValue::from_static(allowed.1)
                )
            );
        }
        let wrong = Origins::new(&[])
            .unwrap()
            .restricted(&["a\nb".to_owned()], &[]);
        assert_eq!(wrong.unwrap_err(), "a\nb");
    }

    fn request(origin: &str, host: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(ORIGIN, origin.parse().unwrap());
        headers.insert(HOST, host.parse().unwrap());
        headers
    }

    #[test]
    fn pages_of_this_machine_ask_and_others_do_not() {
        let origins = Origins::new(&[]).unwrap();
        assert!(origins.allow(&HeaderMap::new()));
        for origin in [
            "http://localhost",
            "http://localhost:5173",
            "https://127.0.0.1:1",
            "http://0.0.0.0",
            "http://[::1]:3000",
            "app://obsidian.md",
            "file://",
            "file://x",
            "tauri://localhost",
            "http://tauri.localhost",
            "vscode-webview://abc",
            "vscode-file://vscode-app",
            "HTTP://LOCALHOST:1",
            "http://models.lan:11434",
        ] {
            assert!(
                origins.allow(&request(origin, "models.lan:11434")),
                "{origin}"
            );
        }
        for origin in [
            "https://example.com",
            "null",
            "",
            "http://localhost.evil.com",
            "http://localhost:80.evil.com",
            "http://localhost:",
            "http://localhost:1@evil.com:2",
            "http://127.0.0.1.evil.com",
            "chrome-extension://abc",
            "xapp://a",
            "http://evil.com:11434",
            "https://models.lan:11434.evil.com",
        ] {
            assert!(
                !origins.allow(&request(origin, "models.lan:11434")),
                "{origin}"
            );
        }
        let mut two = request("http://localhost", "x");
        two.append(ORIGIN, "https://evil.com".parse().unwrap());
        assert!(!origins.allow(&two));
        let mut no_host = request("http://", "x");
        no_host.insert(HOST, "".parse().unwrap());
        assert!(!origins.allow(&no_host));
    }

    #[test]
    fn entries_may_have_wildcards() {
        for (entry, origin, expected) in [
            ("https://*.example.com", "https://a.b.example.com", true),
            ("https://*.example.com", "https://example.com", false),
            ("https://*.example.com", "https://a.example.com.evil", false),
            ("https://a.com:*", "https://a.com:99", true),
            ("https://a.com:*", "https://a.com", false),
            ("chrome-extension://*", "chrome-extension://abc", true),
            ("moz-extension://a", "moz-extension://a", true),
            ("https://example.com/", "https://example.com", true),
            ("https://a*b*c.com", "https://a1b2c.com", true),
            ("https://a*b*c.com", "https://a1c.com", false),
            ("*", "https://anything", true),
            ("*", "null", true),
        ] {
            let origins = Origins::new(&[entry.to_owned()]).unwrap();
            assert_eq!(
                origins.allow(&request(origin, "h")),
                expected,
                "{entry} {origin}"
            );
        }
        for entry in ["example.com", "://x", "http://", "1http://x", "ht tp://x"] {
            assert!(Origins::new(&[entry.to_owned()]).is_err(), "{entry}");
        }
    }
}
