//! The routes: each reads a body in its dialect's words, has the service answer, and tells it in the same words.

mod answer;
mod anthropic;
mod embeddings;
mod listing;
mod llama_server;
mod ollama;
mod openai;
mod outlet;
mod tapes;

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    net::IpAddr,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};

use axum::{
    Router,
    body::Body,
    extract::FromRequestParts,
    http::{HeaderName, HeaderValue, StatusCode, Uri, header::CONTENT_TYPE, request::Parts},
    response::Response,
};
use serde_json::Value;

use crate::{
    core::{Failure, Service, request::Load},
    dialects::Stamp,
    edge::{Account, Caller, serve::Peer},
    library::BUILT_IN,
    usage::Usage,
};

use openai::Desk;
use tapes::Tapes;

pub use llama_server::{Section, Setup, named, without_metrics};

/// The id of a conversation, whose stream is kept for those who lose the connection.
const CONVERSATION: HeaderName = HeaderName::from_static("x-conversation-id");

/// What all routes share.
#[derive(Clone)]
pub struct App {
    service: Service,
    desk: Arc<Desk>,
    usage: Option<Arc<Usage>>,
    llama: Arc<Setup>,
    tapes: Arc<Tapes>,
}

impl App {
    /// Opens what the routes keep in a directory. What cannot be kept there is told in the log.
    pub fn open(service: Service, directory: &Path, usage: Option<Arc<Usage>>) -> Self {
        Self {
            service,
            desk: Arc::new(Desk::open(directory)),
            usage,
            llama: Arc::default(),
            tapes: Arc::default(),
        }
    }

    /// With what a command line says of llama-server's routes.
    #[must_use]
    pub fn with_llama_server(self, setup: Setup) -> Self {
        Self {
            llama: Arc::new(setup),
            ..self
        }
    }

    /// Loads the one model of a server that has only one. Until then such a server answers nothing.
    ///
    /// # Errors
    /// When it cannot be loaded.
    pub async fn load_only(&self) -> Result<(), Failure> {
        if !self.llama.is_ready() {
            match self.llama.warm_up {
                true => self.service.warm_up("", &Load::default()).await?,
                false => {
                    let models = self.service.models();
                    drop(models.acquire("", &Load::default()).await?);
                }
            }
            self.llama.begin();
        }
        Ok(())
    }

    /// Loads models that will be asked for. One that cannot be loaded keeps nobody from the others.
    pub async fn load(self, names: Vec<String>) {
        for name in names {
            match self.service.warm_up(&name, &Load::default()).await {
                Ok(()) => tracing::info!("{name} is loaded"),
                Err(failure) => tracing::error!("{name} is not loaded: {failure}"),
            }
        }
    }

    /// Answers the requests of batches, until the end.
    pub async fn work_on_batches(self) {
        openai::work(self).await;
    }

    /// Writes down what a request took that came in no connection.
    fn count(&self, asker: &Asker, time: Duration) {
        let entries = asker.account.entries();
        if let (Some(usage), Some(model)) = (&self.usage, &entries.model) {
            usage.record(model, asker.caller.key.as_deref(), entries.tokens, time);
        }
    }
}

/// All routes; for a server that is asked as llama-server, those that one has.
pub fn router(app: App) -> Router {
    let shared = llama_server::routes();
    if app.llama.alone {
        let routes = shared.merge(llama_server::own_routes());
        return llama_server::guarded(&app, routes.with_state(app.clone()));
    }
    shared
        .merge(anthropic::routes())
        .merge(ollama::routes())
        .merge(openai::routes())
        .merge(embeddings::routes())
        .merge(crate::openapi::routes())
        .with_state(app)
}

/// Who asks, and where it is written down.
#[derive(Clone, Debug)]
pub(crate) struct Asker {
    pub(crate) caller: Caller,
    pub(crate) account: Account,
    address: Option<IpAddr>,
    /// By which the stream of the answer can be gone on with, as the client wrote it.
    conversation: Option<HeaderValue>,
    /// Whether a model is loaded for the question: what stands behind `?autoload=`.
    autoload: Option<String>,
}

impl Asker {
    /// The holder of a key, who is not there.
    fn of_key(name: String) -> Self {
        let key = Some(name).filter(|name| !name.is_empty());
        Self {
            caller: Caller {
                key,
                ..Caller::default()
            },
            account: Account::default(),
            address: None,
            conversation: None,
            autoload: None,
        }
    }

    /// Whose things these are: a key's name; without keys all are the same person's.
    fn owner(&self) -> String {
        self.caller.key.clone().unwrap_or_default()
    }

    /// The same for all requests of a key; without keys, of an address.
    fn client(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        match &self.caller.key {
            Some(key) => key.hash(&mut hasher),
            None => self.address.hash(&mut hasher),
        }
        hasher.finish()
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Asker {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let extensions = &parts.extensions;
        Ok(Self {
            caller: extensions.get().cloned().unwrap_or_default(),
            account: extensions.get().cloned().unwrap_or_default(),
            address: extensions.get::<Peer>().map(|peer| peer.0),
            conversation: parts.headers.get(CONVERSATION).cloned(),
            autoload: autoload(&parts.uri),
        })
    }
}

/// What stands behind `?autoload=`.
fn autoload(uri: &Uri) -> Option<String> {
    let mut fields = uri.query()?.split('&');
    let word = fields.find_map(|field| field.strip_prefix("autoload="))?;
    Some(word.to_owned())
}

/// The name of a request that may leave it out: then the model that is loaded is meant, else the built-in one.
fn model_name(app: &App, name: Option<String>) -> String {
    let loaded = || {
        let loaded = app.service.models().loaded();
        loaded.first().map(|model| model.title().to_owned())
    };
    name.filter(|name| !name.is_empty())
        .or_else(loaded)
        .unwrap_or_else(|| BUILT_IN.to_owned())
}

/// A stamp of now, with an id that no other answer has.
fn stamp() -> Stamp {
    use std::hash::{BuildHasher, RandomState};
    let id: String = (0..2)
        .map(|part: u8| format!("{:016x}", RandomState::new().hash_one(part)))
        .collect();
    Stamp::new(SystemTime::now(), &id[..24])
}

/// JSON with a status.
fn json(status: u16, value: &Value) -> Response {
    let mut response = Response::new(Body::from(value.to_string()));
    *response.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let kind = HeaderValue::from_static("application/json; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

/// A failure in a dialect's words, with the time to wait where there is one.
fn refused(failure: &Failure, (status, body): (u16, Value)) -> Response {
    let mut response = json(status, &body);
    if let Failure::Busy { retry_after } = failure {
        let seconds = retry_after.as_secs().max(1);
        response
            .headers_mut()
            .insert(axum::http::header::RETRY_AFTER, seconds.into());
    }
    response
}
