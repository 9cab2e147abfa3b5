//! Models from the hub's own file API: exact files, split ones too, and whole checkpoint directories.

use reqwest::{Method, StatusCode, header::LINK};

use crate::{
    CONFIG_TYPE, Client, Config, Credentials, Digest, Entry, Error, Event, Kind, Layer, Manifest,
    Name, Remote, Result, Store, Watch,
    config::Environment,
    http::{Answer, Call, Session},
    hub::{Choice, ChoiceKind, HubFile, Revision, Tree, git_oid},
    store::LARGEST_TEXT,
    transfer::{Plan, Source},
};

/// Where the hub is unless `HF_ENDPOINT` says otherwise.
const ENDPOINT: &str = "https://huggingface.co";
/// A file that is not in large file storage is small: the hub refuses others.
const LARGEST_SMALL: u64 = 64 << 20;
const LARGEST_PAGE: u64 = 64 << 20;
/// Pages of a listing.
const MOST_PAGES: usize = 200;

/// A repository at the hub.
struct Repository<'a> {
    session: Session,
    path: String,
    revision: &'a str,
    commit: String,
}

impl Store {
    /// Fetches a model of the hub; see [`Store::pull`].
    pub(crate) async fn pull_hub(
        &self,
        name: &Name,
        only: Option<Digest>,
        remote: &Remote,
        environment: Environment<'_>,
        watch: Watch<'_>,
    ) -> Result<Entry> {
        let mut repository = Repository::new(name, remote, environment)?;
        let tree = repository.listing().await?;
        let index = match tree.index_for(name.tag()) {
            Some(file) => Some(repository.small(file).await?),
            None => None,
        };
        let choice = tree.choose(
            &format!("hf.co/{}", repository.path),
            name.tag(),
            index.as_deref(),
        )?;
        let _lock = self.adding()?;
        let mut layers = Vec::new();
        for file in &choice.files {
            let kind = kind(&choice, file);
            layers.push(
                self.hub_file(&repository, file, kind, remote, watch)
                    .await?,
            );
        }
        if let Some(file) = &choice.projector {
            layers.push(
                self.hub_file(&repository, file, Kind::Projector, remote, watch)
                    .await?,
            );
        }
        // Ollama's own files, as the hub's registry serves them.
        for (file, kind) in [
            ("template", Kind::Template),
            ("system", Kind::System),
            ("params", Kind::Params),
        ] {
            let gguf = matches!(choice.kind, ChoiceKind::Gguf { .. });
            if let Some(file) = tree
                .get(file)
                .filter(|file| gguf && file.size <= LARGEST_TEXT)
            {
                layers.push(
                    self.hub_file(&repository, file, kind, remote, watch)
                        .await?,
                );
            }
        }
        let config = self.hub_config(&repository, &layers, choice.projector.is_some())?;
        let manifest = Manifest::build(config, layers)?;
        if let Some(expected) = only.filter(|digest| *digest != manifest.digest()) {
            return Err(Error::Mismatch {
                what: name.to_string(),
                expected: expected.to_string(),
                found: manifest.digest().to_string(),
            });
        }
        watch(Event::Status("writing manifest".to_owned()));
        let entry = self.point(name, &manifest)?;
        watch(Event::Status("success".to_owned()));
        Ok(entry)
    }

    /// A file of a repository as a layer.
    async fn hub_file(
        &self,
        repository: &Repository<'_>,
        file: &HubFile,
        kind: Kind,
        remote: &Remote,
        watch: Watch<'_>,
    ) -> Result<Layer> {
        let digest = match file.sha256 {
            Some(digest) => {
                let source = Source::new(&repository.session, repository.url(file)?, file.size);
                let plan = async |_: &Session| Plan::even(file.size, remote.piece);
                self.fetch(digest, file.size, &[source], plan, watch)
                    .await?;
                digest
            }
            None => self.put(&repository.small(file).await?)?,
        };
        let mut layer = Layer::new(kind, digest, file.size);
        if matches!(kind, Kind::Safetensors | Kind::Json) {
            layer.name = Some(file.path.clone());
        }
        Ok(layer)
    }

    /// A config that says what the fetched weights are and where they are from.
    fn hub_config(
        &self,
        repository: &Repository<'_>,
        layers: &[Layer],
        projector: bool,
    ) -> Result<Layer> {
        let mut config = Config::default();
        let checkpoint = self.checkpoint(&format!("hf.co/{}", repository.path), layers)?;
        crate::create::describe(&mut config, &checkpoint, usize::from(projector));
        config
            .other
            .insert("hub_repository".to_owned(), repository.path.clone().into());
        let bytes = serde_json::to_vec(&config)
            .map_err(|error| Error::invalid("the new config", error.to_string()))?;
        let digest = self.put(&bytes)?;
        Ok(Layer {
            media_type: CONFIG_TYPE.to_owned(),
            ..Layer::new(Kind::Other, digest, bytes.len() as u64)
        })
    }
}

fn kind(choice: &Choice, file: &HubFile) -> Kind {
    match choice.kind {
        ChoiceKind::Gguf { .. } => Kind::Model,
        ChoiceKind::Directory if file.path.ends_with(".safetensors") => Kind::Safetensors,
        ChoiceKind::Directory => Kind::Json,
    }
}

impl<'a> Repository<'a> {
    fn new(name: &Name, remote: &'a Remote, environment: Environment<'_>) -> Result<Self> {
        let text = |key: &str| {
            environment(key)
                .and_then(|value| value.into_string().ok())
                .filter(|value| !value.is_empty())
        };
        let endpoint = text("HF_ENDPOINT").unwrap_or_else(|| ENDPOINT.to_owned());
        let base = crate::registry::address(&endpoint)?;
        if text("HF_HUB_OFFLINE").is_some_and(|value| value != "0") {
            return Err(Error::invalid(
                name.to_string(),
                "HF_HUB_OFFLINE is set, so nothing is fetched; unset it, or use a model that 'hearth list' shows",
            ));
        }
        let settings = remote.settings.registry(name.host());
        let credentials = Credentials::find(name.host(), &settings, environment)?;
        let client = Client::new(&settings, remote.timing)?;
        Ok(Self {
            session: Session::new(
                client,
                base,
                Credentials {
                    key: None,
                    ..credentials
                },
                &settings,
            ),
            path: format!("{}/{}", name.namespace(), name.model()),
            revision: remote.revision.as_deref().unwrap_or("main"),
            commit: String::new(),
        })
    }

    async fn get(&self, path: &str) -> Result<Answer> {
        let url = self.session.url(path)?;
        let answer = self
            .session
            .ask(|| Call::new(Method::GET, url.clone()))
            .await?;
        match answer.status() {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND => {
                Err(Error::invalid(
                    format!("hf.co/{}", self.path),
                    format!(
                        "the hub answered {} for revision {}: it does not exist, or is gated or private (then accept its terms on its page and set HF_TOKEN)",
                        answer.status().as_u16(),
                        self.revision
                    ),
                ))
            }
            _ => answer.success().await,
        }
    }

    /// The files at the commit that the revision means now; all later calls are for this commit.
    async fn listing(&mut self) -> Result<Tree> {
        let revision = percent(self.revision);
        let answer = self
            .get(&format!(
                "/api/models/{}/revision/{revision}?blobs=true",
                self.path
            ))
            .await?;
        let revision = Revision::parse(&answer.read(LARGEST_PAGE).await?, &self.path)?;
        self.commit = revision.commit;
        if let Some(tree) = revision.tree {
            return Ok(tree);
        }
        let mut tree = Tree::default();
        let mut next = Some(format!(
            "/api/models/{}/tree/{}?recursive=true",
            self.path, self.commit
        ));
        for _ in 0..MOST_PAGES {
            let Some(path) = next else { return Ok(tree) };
            let answer = self.get(&path).await?;
            next = answer.header(LINK).and_then(next_page);
            tree.add_page(&answer.read(LARGEST_PAGE).await?, &self.path)?;
        }
        Err(Error::TooLarge {
            what: format!("the listing of hf.co/{}", self.path),
            limit: LARGEST_PAGE * MOST_PAGES as u64,
        })
    }

    fn url(&self, file: &HubFile) -> Result<reqwest::Url> {
        self.session.url(&format!(
            "/{}/resolve/{}/{}",
            self.path,
            self.commit,
            percent(&file.path)
        ))
    }

    /// A file that is not in large file storage, checked against its git id.
    async fn small(&self, file: &HubFile) -> Result<Vec<u8>> {
        let what = format!("{} of hf.co/{}", file.path, self.path);
        if file.size > LARGEST_SMALL {
            return Err(Error::TooLarge {
                what,
                limit: LARGEST_SMALL,
            });
        }
        let url = self.url(file)?;
        let answer = self
            .session
            .ask(|| Call::new(Method::GET, url.clone()))
            .await?;
        let bytes = answer.success().await?.read(LARGEST_SMALL).await?;
        let (length, id, digest) = (bytes.len() as u64, git_oid(&bytes), Digest::of(&bytes));
        let right = length == file.size
            && file
                .git_oid
                .is_none_or(|expected| expected == id || file.sha256.is_some());
        if right && file.sha256.is_none_or(|expected| expected == digest) {
            return Ok(bytes);
        }
        let id = |id: [u8; 20]| crate::digest::hex(&id);
        Err(Error::Mismatch {
            what,
            expected: format!(
                "{} bytes, git id {}",
                file.size,
                file.git_oid.map_or_else(|| "unknown".to_owned(), id)
            ),
            found: format!("{length} bytes, git id {}", id(git_oid(&bytes))),
        })
    }
}

/// A path with what an address cannot have written as `%XX`.
fn percent(path: &str) -> String {
    use std::fmt::Write as _;
    path.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-_.~/".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}"); // a String takes everything
        }
        out
    })
}

/// The address that a `Link` header gives for the next page.
fn next_page(header: &str) -> Option<String> {
    let link = header
        .split(',')
        .find(|link| link.contains("rel=\"next\""))?;
    Some(link.split_once('<')?.1.split_once('>')?.0.to_owned())
}
