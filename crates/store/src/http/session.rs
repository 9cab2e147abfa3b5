//! Calls to one registry, with its credentials.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use reqwest::{
    Method, StatusCode, Url,
    header::{AUTHORIZATION, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE},
};
use ring::rand::SecureRandom as _;

use crate::{
    Error, Reach, Result,
    config::{Environment, Registry, home},
    http::{
        Answer, Call, Client, SigningKey,
        auth::{Challenge, realm},
        client::{same_host, shown},
    },
};

/// Registries that read Ollama's signatures.
const KNOW_THE_KEY: [&str; 4] = [
    "registry.ollama.ai",
    "ollama.com",
    "hf.co",
    "huggingface.co",
];
/// How often a busy server is asked again.
const BUSY_ATTEMPTS: u32 = 2;
/// A server that wants more time is not waited for.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// What can be shown to a registry.
#[derive(Clone, Debug, Default)]
pub struct Credentials {
    /// User and password.
    pub basic: Option<(String, String)>,
    /// A token that is sent with each call.
    pub token: Option<String>,
    /// Signs requests for tokens.
    pub key: Option<Arc<SigningKey>>,
}

impl Credentials {
    /// What the settings and the environment have for a registry: user and password from the settings, what
    /// `docker login` stored, `HF_TOKEN` for the hub, Ollama's key.
    ///
    /// # Errors
    /// When a key file is there and not valid, or a variable that the settings name is not set.
    pub fn find(host: &str, registry: &Registry, environment: Environment<'_>) -> Result<Self> {
        let text = |name: &str| {
            environment(name)
                .and_then(|value| value.into_string().ok())
                .filter(|value| !value.is_empty())
        };
        let mut found = Self::default();
        if let Some(user) = &registry.user {
            let variable = registry.password_env.as_deref().unwrap_or_default();
            let password = text(variable).ok_or_else(|| {
                Error::invalid(format!("the settings of registry {host}"), format!("expected the password in the variable {variable:?} (password_env), which is not set"))
            })?;
            found.basic = Some((user.clone(), password));
        }
        let home = home(environment);
        if found.basic.is_none()
            && let Some(directory) = text("DOCKER_CONFIG")
                .map(Into::into)
                .or_else(|| Some(home.as_ref()?.join(".docker")))
        {
            found.basic = docker_login(&directory.join("config.json"), host);
        }
        if ["hf.co", "huggingface.co"].contains(&host) {
            found.token = text("HF_TOKEN").or_else(|| {
                let cache = text("HF_HOME")
                    .map(Into::into)
                    .or_else(|| Some(home.as_ref()?.join(".cache/huggingface")))?;
                Some(
                    std::fs::read_to_string(cache.join("token"))
                        .ok()?
                        .trim()
                        .to_owned(),
                )
                .filter(|token| !token.is_empty())
            });
        }
        // Other registries take a header that they do not know for wrong credentials.
        if let Some(home) = home.filter(|_| KNOW_THE_KEY.contains(&host)) {
            found.key = SigningKey::read(&home.join(".ollama").join("id_ed25519"))?.map(Arc::new);
        }
        Ok(found)
    }
}

/// What `docker login` stored for a host.
fn docker_login(path: &std::path::Path, host: &str) -> Option<(String, String)> {
    let bytes = crate::Disk::default().read(path, 1 << 20).ok()??;
    let config: serde_json::Value = serde_json::from_slice(&bytes).ok()?;
    let plain = |key: &str| {
        key.trim_start_matches("https://")
            .trim_start_matches("http://")
            .split('/')
            .next()
            .map(str::to_owned)
    };
    let entry = config["auths"]
        .as_object()?
        .iter()
        .find(|(key, _)| plain(key).as_deref() == Some(host))?
        .1;
    let decoded = String::from_utf8(STANDARD.decode(entry["auth"].as_str()?).ok()?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

/// A registry, and what it accepted so far.
#[derive(Debug)]
pub(crate) struct Session {
    pub client: Client,
    pub base: Url,
    credentials: Credentials,
    auth_host: Option<String>,
    accepted: Mutex<Option<HeaderValue>>,
}

impl Session {
    pub(crate) fn new(
        client: Client,
        base: Url,
        credentials: Credentials,
        registry: &Registry,
    ) -> Self {
        let accepted = credentials
            .token
            .as_deref()
            .and_then(|token| sensitive(&format!("Bearer {token}")));
        Self {
            client,
            base,
            credentials,
            auth_host: registry.auth_host.clone(),
            accepted: Mutex::new(accepted),
        }
    }

    /// An address of this registry.
    pub(crate) fn url(&self, path: &str) -> Result<Url> {
        let invalid =
            |error: &dyn std::fmt::Display| Error::invalid(path, format!("no address: {error}"));
        let url = self.base.join(path).map_err(|error| invalid(&error))?;
        if same_host(&url, &self.base) {
            Ok(url)
        } else {
            Err(invalid(&"it leads to another host"))
        }
    }

    /// Asks with what the registry accepted before; where it demands more, once again with that.
    pub(crate) async fn ask(&self, make: impl Fn() -> Call<'static>) -> Result<Answer> {
        self.ask_with(make, None).await
    }

    /// The same with a body.
    pub(crate) async fn ask_with(
        &self,
        make: impl Fn() -> Call<'static>,
        body: Option<&[u8]>,
    ) -> Result<Answer> {
        let answer = self.patiently(&make, body).await?;
        if answer.status() != StatusCode::UNAUTHORIZED || answer.elsewhere {
            return Ok(answer);
        }
        let demanded = answer.header(WWW_AUTHENTICATE).and_then(Challenge::parse);
        let Some(challenge) = demanded else {
            return Ok(answer);
        };
        let header = self.answer_to(&challenge).await?;
        if let Ok(mut accepted) = self.accepted.lock() {
            *accepted = header;
        }
        let answer = self.patiently(&make, body).await?;
        if answer.status() == StatusCode::UNAUTHORIZED {
            return Err(Error::Status {
                url: shown(&answer.url),
                status: 401,
                body: "unauthorized: access denied; 'docker login', HF_TOKEN or the registry's settings give credentials".to_owned(),
            });
        }
        Ok(answer)
    }

    /// Asks again where a server says that it is busy, after the time that it asks for.
    async fn patiently(
        &self,
        make: &impl Fn() -> Call<'static>,
        body: Option<&[u8]>,
    ) -> Result<Answer> {
        let mut pause = self.client.timing.pause;
        for _ in 0..BUSY_ATTEMPTS {
            let answer = self.client.ask(self.prepared(make(), body)).await?;
            if !matches!(answer.status().as_u16(), 429 | 502 | 503 | 504) {
                return Ok(answer);
            }
            let asked = answer
                .header(RETRY_AFTER)
                .and_then(|text| text.parse().ok());
            let wait = asked.map_or(pause, Duration::from_secs);
            if wait > LONGEST_WAIT {
                return Ok(answer);
            }
            tokio::time::sleep(wait).await;
            pause *= 2;
        }
        self.client.ask(self.prepared(make(), body)).await
    }

    fn prepared<'a>(&self, call: Call<'static>, body: Option<&'a [u8]>) -> Call<'a> {
        let mut call: Call<'a> = Call { body, ..call };
        // Only the registry itself: uploads may lead elsewhere.
        if same_host(&call.url, &self.base)
            && let Ok(accepted) = self.accepted.lock()
            && let Some(value) = accepted.as_ref()
        {
            call.headers.insert(AUTHORIZATION, value.clone());
        }
        call
    }

    /// The header that a challenge demands; nothing where we have nothing to show.
    async fn answer_to(&self, challenge: &Challenge) -> Result<Option<HeaderValue>> {
        match challenge {
            Challenge::Basic => Ok(self.basic()),
            Challenge::Bearer {
                realm: address,
                service,
                scopes,
            } => {
                let mut url = realm(address, &self.base, self.auth_host.as_deref())?;
                {
                    let mut query = url.query_pairs_mut();
                    // In the order of the keys, as the signature is over the whole address.
                    query.append_pair("nonce", &nonce());
                    for scope in scopes {
                        query.append_pair("scope", scope);
                    }
                    if let Some(service) = service {
                        query.append_pair("service", service);
                    }
                    query.append_pair("ts", &unix_time().to_string());
                }
                self.token(url)
                    .await
                    .map(|token| sensitive(&format!("Bearer {token}")))
            }
        }
    }

    fn basic(&self) -> Option<HeaderValue> {
        let (user, password) = self.credentials.basic.as_ref()?;
        sensitive(&format!(
            "Basic {}",
            STANDARD.encode(format!("{user}:{password}"))
        ))
    }

    async fn token(&self, url: Url) -> Result<String> {
        let shown = shown(&url);
        let mut call = Call::new(Method::GET, url);
        call.reach = Reach::Machine; // its host is the registry's, or one that the settings name
        let shown_key = self.basic().or_else(|| {
            sensitive(
                &self
                    .credentials
                    .key
                    .as_ref()?
                    .authorization(call.url.as_str()),
            )
        });
        if let Some(value) = shown_key {
            call.headers.insert(AUTHORIZATION, value);
        }
        let body = self
            .client
            .ask(call)
            .await?
            .success()
            .await?
            .read(1 << 20)
            .await?;
        let json: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
        let token = json["token"]
            .as_str()
            .or_else(|| json["access_token"].as_str());
        token.map(str::to_owned).ok_or_else(|| Error::Network {
            url: shown,
            why: "expected a token, found none".to_owned(),
        })
    }
}

/// A header that is not written to logs.
fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn nonce() -> String {
    let mut bytes = [0; 16];
    // Without randomness the time stamp alone keeps a signature from being used again.
    let _ = ring::rand::SystemRandom::new().fill(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes)
}

fn unix_time() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |now| now.as_secs())
}
