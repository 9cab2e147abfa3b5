//! Who asks.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use super::keys::{KeyLimits, Keys, Scope, presented};
use super::refusal::{Kind, Refusal};

/// Who asks, as the server found out. Handlers take it as an argument.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// The name of the key; `None` where the server has no keys, or the route needs none.
    pub key: Option<String>,
    /// How far it reaches.
    pub scope: Scope,
    /// What it may take.
    pub limits: KeyLimits,
    /// Whether it is on this machine.
    pub local: bool,
}

impl Caller {
    /// Finds out who asks, and the place of its key. Without keys, those on this machine may do everything and others
    /// may ask models: the server listens for them only where somebody said so.
    pub(crate) fn identify(
        keys: &Keys,
        headers: &axum::http::HeaderMap,
        local: bool,
    ) -> Result<(Self, Option<usize>), Refusal> {
        if keys.is_empty() {
            let scope = if local { Scope::Manage } else { Scope::Use };
            return Ok((
                Self {
                    scope,
                    local,
                    ..Self::default()
                },
                None,
            ));
        }
        let refuse = |what: &str| Refusal::new(Kind::Authentication, what);
        let secret = presented(headers).ok_or_else(|| {
            refuse("this server needs a key: send it as Authorization: Bearer KEY, or as x-api-key")
        })?;
        let found = keys
            .find(secret)
            .and_then(|place| Some((place, keys.get(place)?)));
        let (place, key) = found
            .ok_or_else(|| refuse("the key is not known to this server: check it for typos"))?;
        let caller = Self {
            key: Some(key.name.clone()),
            scope: key.scope,
            limits: key.limits,
            local,
        };
        Ok((caller, Some(place)))
    }

    /// Lets a request go on that needs a scope.
    ///
    /// # Errors
    /// The caller does not have it.
    pub fn need(&self, scope: Scope) -> Result<(), Refusal> {
        if self.scope >= scope {
            return Ok(());
        }
        let message = match &self.key {
            Some(name) => format!(
                "the key '{name}' may use models and not manage them: this needs a key of scope manage"
            ),
            None => {
                "this needs a key of scope manage, or to be asked from the server's own machine"
                    .to_owned()
            }
        };
        Err(Refusal::new(Kind::Permission, message))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Infallible;

    /// Where no server has put it, the caller is nobody, who may only ask.
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderMap;

    use super::super::keys::Key;
    use super::*;

    #[test]
    fn without_keys_this_machine_manages_and_others_ask() {
        let headers = HeaderMap::new();
        for (local, scope) in [(true, Scope::Manage), (false, Scope::Use)] {
            let (caller, place) = Caller::identify(&Keys::none(), &headers, local).unwrap();
            assert_eq!((caller.scope, place), (scope, None));
        }
    }

    #[test]
    fn cve_2026_45339_every_header_form_gives_the_same_caller() {
        let mut keys = Keys::none();
        for (name, secret, scope) in [
            ("a", "use-key", Scope::Use),
            ("b", "manage-key", Scope::Manage),
        ] {
            keys.add(Key::new(name, secret, scope, KeyLimits::default()).unwrap())
                .unwrap();
        }
        for (secret, expected) in [
            ("use-key", Some("a")),
            ("manage-key", Some("b")),
            ("other", None),
            ("", None),
        ] {
            for (header, value) in [
                ("authorization", format!("Bearer {secret}")),
                ("authorization", secret.to_owned()),
                ("x-api-key", secret.to_owned()),
                ("api-key", secret.to_owned()),
            ] {
                let mut headers = HeaderMap::new();
                headers.insert(header, value.parse().unwrap());
                // Also on this machine: a page in its browser is there too.
                let found = Caller::identify(&keys, &headers, true);
                assert_eq!(
                    found.as_ref().ok().and_then(|found| found.0.key.as_deref()),
                    expected,
                    "{header}"
                );
                let allowed = found.is_ok_and(|(caller, _)| caller.need(Scope::Manage).is_ok());
                assert_eq!(allowed, expected == Some("b"), "{header}");
            }
        }
        assert_eq!(
            Caller::identify(&keys, &HeaderMap::new(), true)
                .unwrap_err()
                .status,
            401
        );
    }
}
