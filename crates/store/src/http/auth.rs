//! What a server wants to see before it answers (`WWW-Authenticate`, RFC 7235 and Docker's token scheme).

use reqwest::Url;

use crate::{Error, Result, http::client::shown};

/// A demand for credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Challenge {
    /// User and password with each request.
    Basic,
    /// A token from `realm` for `scopes` of `service`.
    Bearer {
        realm: String,
        service: Option<String>,
        scopes: Vec<String>,
    },
}

impl Challenge {
    /// Reads a header.
    pub(crate) fn parse(header: &str) -> Option<Self> {
        let (scheme, rest) = header.trim().split_once(' ').unwrap_or((header.trim(), ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return Some(Self::Basic);
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let mut parameters = parameters(rest);
        let mut get = |key: &str| {
            let at = parameters
                .iter()
                .position(|(k, _)| k.eq_ignore_ascii_case(key))?;
            Some(parameters.swap_remove(at).1)
        };
        Some(Self::Bearer {
            realm: get("realm")?,
            service: get("service"),
            scopes: get("scope")
                .unwrap_or_default()
                .split_whitespace()
                .map(str::to_owned)
                .collect(),
        })
    }
}

/// `key="value"` or `key=value`, separated by commas.
fn parameters(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((key, after)) = rest.split_once('=') {
        let key = key.trim_matches([' ', ',', '\t']).to_owned();
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => after.split_once(',').unwrap_or((after, "")),
        };
        found.push((key, value.trim().to_owned()));
        rest = after;
    }
    found
}

/// The realm, if it may be given this registry's credentials: its host is the registry's (CVE-2025-51471), one that
/// the settings name, or the other name of the same service.
pub(crate) fn realm(realm: &str, registry: &Url, auth_host: Option<&str>) -> Result<Url> {
    let refused = |why: String| Error::Refused {
        url: shown(registry),
        why,
    };
    let url = Url::parse(realm)
        .map_err(|_| refused(format!("its realm {:?} is no address", clip(realm))))?;
    let (asked, found) = (
        registry.host_str().unwrap_or_default(),
        url.host_str().unwrap_or_default(),
    );
    let known = [
        ("hf.co", "huggingface.co"),
        ("huggingface.co", "hf.co"),
        ("registry-1.docker.io", "auth.docker.io"),
    ];
    let same = found == asked || auth_host == Some(found) || known.contains(&(asked, found));
    if !same {
        return Err(refused(format!(
            "realm host {:?} does not match original host {asked:?}; no credentials were sent (auth_host in the settings allows it)",
            clip(found)
        )));
    }
    match (registry.scheme(), url.scheme()) {
        (_, "https") | ("http", "http") => Ok(url),
        (_, scheme) => Err(refused(format!(
            "its realm is {:?}, not https",
            clip(scheme)
        ))),
    }
}

fn clip(text: &str) -> String {
    text.chars().take(100).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_of_real_registries() {
        assert_eq!(
            Challenge::parse("Basic realm=\"x\""),
            Some(Challenge::Basic)
        );
        let docker = r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push repository:c:pull""#;
        assert_eq!(
            Challenge::parse(docker),
            Some(Challenge::Bearer {
                realm: "https://auth.docker.io/token".into(),
                service: Some("registry.docker.io".into()),
                scopes: vec![
                    "repository:a/b:pull,push".into(),
                    "repository:c:pull".into()
                ],
            })
        );
        assert_eq!(Challenge::parse("Bearer"), None);
        assert_eq!(Challenge::parse("Digest realm=x"), None);
        assert!(matches!(
            Challenge::parse("bearer realm=https://h/t, service=s"),
            Some(Challenge::Bearer { .. })
        ));
    }

    #[test]
    fn cve_2025_51471_credentials_go_to_the_registry_only() {
        let registry = Url::parse("https://registry.example/v2/").unwrap();
        for evil in [
            "https://evil.example/token",
            "https://registry.example.evil/token",
            "http://registry.example/token",
            "file:///etc/passwd",
            "https://registry.example@evil/",
            "",
            "//",
        ] {
            assert!(realm(evil, &registry, None).is_err(), "{evil}");
        }
        assert!(realm("https://registry.example/token", &registry, None).is_ok());
        assert!(
            realm(
                "https://auth.example/token",
                &registry,
                Some("auth.example")
            )
            .is_ok()
        );
        assert!(
            realm(
                "https://huggingface.co/token",
                &Url::parse("https://hf.co/v2/").unwrap(),
                None
            )
            .is_ok()
        );
    }
}
