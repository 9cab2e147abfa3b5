//! Models from and to registries (the part of Docker's distribution API that Ollama uses).

use std::time::Duration;

use reqwest::{
    Method, Url,
    header::{ACCEPT, CONTENT_TYPE},
};

use crate::{
    Client, Credentials, Digest, Entry, Error, Event, Layer, MANIFEST_TYPE, Manifest, Name, Result,
    Store, Timing, Watch,
    config::{Environment, Settings},
    http::{Call, Session},
    manifest::LARGEST,
    transfer::{Download, Plan, Source, plan::PIECE, upload},
};

const ACCEPTED: &str = "application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.manifest.v1+json";

/// How registries are asked.
#[derive(Clone, Debug)]
pub struct Remote {
    /// Settings of registries.
    pub settings: Settings,
    /// How long is waited.
    pub timing: Timing,
    /// Allows addresses that begin with `http://`.
    pub insecure: bool,
    /// Bytes per piece of a download.
    pub piece: u64,
    /// A branch, tag or commit of a repository of the hub; `main` if none.
    pub revision: Option<String>,
}

impl Remote {
    /// With the usual times, for https only.
    pub fn new(settings: Settings) -> Self {
        Self {
            piece: settings.piece.unwrap_or(PIECE).max(1),
            settings,
            timing: Timing::default(),
            insecure: false,
            revision: None,
        }
    }

    /// The registry of a name and its mirrors, in the order in which they are asked.
    pub(crate) fn sessions(
        &self,
        name: &Name,
        environment: Environment<'_>,
        mirrors: bool,
    ) -> Result<Vec<Session>> {
        let registry = self.settings.registry(name.host());
        let plain = self.insecure || registry.plain_http;
        if name.plain_http() && !plain {
            return Err(Error::invalid(
                name.to_string(),
                "insecure protocol http: --insecure, or plain_http in the registry's settings, allows it",
            ));
        }
        let own = format!(
            "{}://{}",
            if name.plain_http() || self.insecure || registry.plain_http {
                "http"
            } else {
                "https"
            },
            name.host()
        );
        let client = Client::new(&registry, self.timing)?;
        let mut sessions = Vec::new();
        for mirror in registry.mirrors.iter().filter(|_| mirrors) {
            let base = address(mirror)?;
            let host = crate::http::authority(&base);
            let of_mirror = self.settings.registry(&host);
            let credentials = Credentials::find(&host, &of_mirror, environment)?;
            sessions.push(Session::new(
                client.clone(),
                base,
                Credentials {
                    key: None,
                    ..credentials
                },
                &of_mirror,
            ));
        }
        let credentials = Credentials::find(name.host(), &registry, environment)?;
        sessions.push(Session::new(client, address(&own)?, credentials, &registry));
        Ok(sessions)
    }
}

pub(crate) fn address(text: &str) -> Result<Url> {
    let url = Url::parse(text).map_err(|error| {
        Error::invalid(text, format!("expected the address of a registry: {error}"))
    })?;
    match url.scheme() {
        "http" | "https" if url.has_host() => Ok(url),
        _ => Err(Error::invalid(
            text,
            "expected the address of a registry, http:// or https:// and a host",
        )),
    }
}

fn repository(name: &Name) -> String {
    format!("{}/{}", name.namespace(), name.model())
}

impl Store {
    /// Fetches a model: what is here already is not fetched again, what was begun is gone on with. The name changes
    /// last, when everything is here and verified. `only` is the digest that the manifest has to have.
    ///
    /// # Errors
    /// When the registry has no such model or cannot be reached, what it sends is not what it promised, the name is
    /// pinned to another version, or the disk is full.
    pub async fn pull(
        &self,
        name: &Name,
        only: Option<Digest>,
        remote: &Remote,
        environment: Environment<'_>,
        watch: Watch<'_>,
    ) -> Result<Entry> {
        watch(Event::Status("pulling manifest".to_owned()));
        let name = &self.spelling(name)?;
        if name.is_hub() {
            return self.pull_hub(name, only, remote, environment, watch).await;
        }
        let sessions = remote.sessions(name, environment, true)?;
        let (manifest, first) = self.first_manifest(&sessions, name, only).await?;
        self.check_pin(name, &manifest)?;
        let _lock = self.adding()?;
        for layer in manifest.contents() {
            // The mirror that had the manifest is asked first for its contents.
            let order = sessions[first..].iter().chain(&sessions[..first]);
            self.pull_content(order, name, layer, remote, watch).await?;
        }
        watch(Event::Status("writing manifest".to_owned()));
        let entry = self.point(name, &manifest)?;
        watch(Event::Status("success".to_owned()));
        Ok(entry)
    }

    async fn first_manifest(
        &self,
        sessions: &[Session],
        name: &Name,
        only: Option<Digest>,
    ) -> Result<(Manifest, usize)> {
        let mut failure = None;
        for (index, session) in sessions.iter().enumerate() {
            match fetch_manifest(session, name, only).await {
                Ok(manifest) => return Ok((manifest, index)),
                Err(error) => failure = Some(error), // the registry itself comes last, and its word counts
            }
        }
        Err(failure.unwrap_or_else(|| Error::NotFound(name.to_string())))
    }

    async fn pull_content<'s>(
        &self,
        sessions: impl Iterator<Item = &'s Session>,
        name: &Name,
        layer: &Layer,
        remote: &Remote,
        watch: Watch<'_>,
    ) -> Result<()> {
        let path = format!("/v2/{}/blobs/{}", repository(name), layer.digest);
        let sources =
            sessions.map(|session| Ok(Source::new(session, session.url(&path)?, layer.size)));
        let sources = sources.collect::<Result<Vec<_>>>()?;
        let plan = async |session: &Session| self.plan(session, name, layer, remote.piece).await;
        self.fetch(layer.digest, layer.size, &sources, plan, watch)
            .await
    }

    /// Brings a content into the store from the first of `sources` that has it, unless it is there.
    pub(crate) async fn fetch(
        &self,
        digest: Digest,
        size: u64,
        sources: &[Source<'_>],
        plan: impl AsyncFnOnce(&Session) -> Plan,
        watch: Watch<'_>,
    ) -> Result<()> {
        let Some(download) = Download::take_up(self, digest, size, watch).await? else {
            watch(Event::Content {
                verb: crate::Verb::Pull,
                digest,
                total: size,
                completed: size,
            });
            return Ok(());
        };
        let plan = match sources.first() {
            Some(source) => plan(source.session()).await,
            None => Plan::even(size, PIECE),
        };
        download.run(sources, &plan).await
    }

    /// Pieces with digests where the registry has them, else equal ones.
    async fn plan(&self, session: &Session, name: &Name, layer: &Layer, piece: u64) -> Plan {
        let even = Plan::even(layer.size, piece);
        if even.pieces().len() < 2 {
            return even;
        }
        let offered = async {
            let url = session.url(&format!(
                "/v2/{}/chunksums/{}",
                repository(name),
                layer.digest
            ))?;
            let answer = session
                .ask(|| Call::new(Method::GET, url.clone()))
                .await?
                .success()
                .await?;
            answer.read(LARGEST).await
        };
        let offered = offered
            .await
            .ok()
            .and_then(|bytes| String::from_utf8(bytes).ok());
        offered
            .and_then(|text| Plan::from_chunksums(&text, layer.size))
            .unwrap_or(even)
    }

    /// Sends a model to the registry of its name: contents first, the manifest last.
    ///
    /// # Errors
    /// When there is no such model, or the registry refuses it or cannot be reached.
    pub async fn push(
        &self,
        name: &Name,
        remote: &Remote,
        environment: Environment<'_>,
        watch: Watch<'_>,
    ) -> Result<()> {
        watch(Event::Status("retrieving manifest".to_owned()));
        let entry = self.get(name)?;
        let mut sessions = remote.sessions(name, environment, false)?;
        let session = sessions
            .pop()
            .ok_or_else(|| Error::NotFound(name.to_string()))?;
        let repository = repository(&entry.name);
        for layer in entry.manifest.contents() {
            let file = self.layer_file(&entry.name, layer)?;
            let origin = layer
                .from
                .as_deref()
                .and_then(|from| from.parse::<Name>().ok());
            let mount = origin
                .filter(|from| from.host().eq_ignore_ascii_case(name.host()))
                .map(|from| self::repository(&from));
            upload(
                self,
                &session,
                &repository,
                layer,
                &file,
                mount.as_deref(),
                watch,
            )
            .await?;
        }
        watch(Event::Status("pushing manifest".to_owned()));
        let url = session.url(&format!("/v2/{repository}/manifests/{}", entry.name.tag()))?;
        let make = || {
            Call::new(Method::PUT, url.clone())
                .header(CONTENT_TYPE, MANIFEST_TYPE)
                .patient(Duration::from_secs(60))
        };
        session
            .ask_with(make, Some(entry.manifest.raw()))
            .await?
            .success()
            .await?;
        watch(Event::Status("success".to_owned()));
        Ok(())
    }
}

/// The manifest of a name, or the one of a digest.
async fn fetch_manifest(session: &Session, name: &Name, only: Option<Digest>) -> Result<Manifest> {
    let reference = only.map_or_else(|| name.tag().to_owned(), |digest| digest.to_string());
    let url = session.url(&format!("/v2/{}/manifests/{reference}", repository(name)))?;
    let answer = session
        .ask(|| Call::new(Method::GET, url.clone()).header(ACCEPT, ACCEPTED))
        .await?;
    if answer.status() == reqwest::StatusCode::NOT_FOUND {
        return Err(Error::Absent {
            name: name.to_string(),
            registry: session.base.host_str().unwrap_or_default().to_owned(),
        });
    }
    let answer = answer.success().await?;
    let promised = answer
        .header("docker-content-digest")
        .and_then(|text| text.parse::<Digest>().ok());
    let what = crate::http::shown(&answer.url);
    let raw = answer.read(LARGEST).await?;
    let found = Digest::of(&raw);
    for expected in [only, promised].into_iter().flatten() {
        if expected != found {
            return Err(Error::Mismatch {
                what,
                expected: expected.to_string(),
                found: found.to_string(),
            });
        }
    }
    Manifest::parse(&raw, &what)
}
