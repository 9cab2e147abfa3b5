//! What a command line comes to.

use std::path::PathBuf;
use std::time::Duration;

use hearth_model::Pooling;
use serde_json::Value;

use super::given::{Given, unescape};
use crate::dialects::llama_server::chat::ChatStanding;
use crate::dialects::llama_server::generation::Standing;
use crate::dialects::llama_server::sampling::{MIN_KEEP, NUMBERS};

/// Where the model comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file.
    Path(PathBuf),
    /// A repository of Hugging Face, `user/model[:quant]`, and the file in it where one is named.
    Repository {
        /// Its name.
        name: String,
        /// The file.
        file: Option<String>,
    },
}

/// What is told in place of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Info {
    /// How to use it.
    Help,
    /// The version.
    Version,
    /// The models that are here.
    Models,
    /// What computes.
    Devices,
    /// Completions for bash.
    Completions,
}

/// Where the log goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// 0 nothing, 1 errors, 2 warnings, 3 what happens, 4 every step, 5 everything.
    pub level: u8,
    /// A file beside the terminal.
    pub file: Option<PathBuf>,
    /// A JSON object a line.
    pub json: bool,
    /// Lines have colours; none is where the terminal has.
    pub colors: Option<bool>,
    /// Lines begin with the time.
    pub times: bool,
    /// Lines say how weighty they are.
    pub prefix: bool,
}

/// All that a command line says.
#[derive(Clone, Debug, PartialEq)]
pub struct Flags {
    /// Tell this instead of serving.
    pub info: Option<Info>,
    /// The model; none serves what the store has.
    pub source: Option<Source>,
    /// The file in a repository; part of the source once all is read.
    pub(super) repository_file: Option<String>,
    /// A token for Hugging Face.
    pub hub_token: Option<String>,
    /// Use nothing from the network.
    pub offline: bool,
    /// Names of the model; the first is in every answer.
    pub aliases: Vec<String>,
    /// Words put to it in the list of models.
    pub tags: Vec<String>,

    /// Threads that compute; none is as many as fit.
    pub threads: Option<usize>,
    /// Threads that read prompts; none is the same.
    pub threads_batch: Option<usize>,
    /// Tokens of all contexts; none is what the model was trained with.
    pub context: Option<usize>,
    /// Answers at once; none is chosen.
    pub parallel: Option<usize>,
    /// Bytes of what was computed of texts that ended.
    pub history: Option<usize>,
    /// Read the weights once before the first request.
    pub warm_up: bool,
    /// Unload the model after so long without a request.
    pub idle: Option<Duration>,
    /// A folder with more models.
    pub models_folder: Option<PathBuf>,
    /// A file of models with settings of their own.
    pub presets_file: Option<PathBuf>,
    /// Models loaded at once; 0 has no limit.
    pub models_max: Option<usize>,
    /// A question loads its model.
    pub autoload: bool,
    /// Embed texts.
    pub embeddings: bool,
    /// Rank documents.
    pub rerank: bool,
    /// How rows become one vector: `none`, `mean`, `cls`, `last`, `rank`; none is the model's way.
    pub pooling: Option<Pooling>,
    /// How vectors are scaled.
    pub normalize: i64,

    /// Addresses, or paths of sockets that end in `.sock`.
    pub hosts: Vec<String>,
    /// The port.
    pub port: u16,
    /// Several servers may have the port.
    pub reuse_port: bool,
    /// Before every path.
    pub prefix: String,
    /// Keys that are let in; all are where there are none.
    pub api_keys: Vec<String>,
    /// A file with more of them, one a line.
    pub api_key_file: Option<PathBuf>,
    /// The key of TLS.
    pub tls_key: Option<PathBuf>,
    /// Its certificate.
    pub tls_certificate: Option<PathBuf>,
    /// Origins that browsers may call from; `*` is all, `localhost` local ones. Llama-server lets all pages in where
    /// nothing is said; here, those of this machine.
    pub cors_origins: Option<Vec<String>>,
    /// Methods that they may use.
    pub cors_methods: Vec<String>,
    /// Headers that they may send; `*` is all.
    pub cors_headers: Vec<String>,
    /// With credentials.
    pub cors_credentials: bool,
    /// The longest silence of a connection.
    pub timeout: Duration,
    /// `GET /metrics`.
    pub metrics: bool,
    /// `POST /props`.
    pub props: bool,
    /// `GET /slots`.
    pub slots: bool,
    /// Where slots are saved.
    pub slot_directory: Option<PathBuf>,

    /// What holds for all requests.
    pub standing: Standing,
    /// What holds for chats.
    pub chats: ChatStanding,
    /// A grammar for all requests, in a file.
    pub grammar_file: Option<PathBuf>,
    /// A schema for all requests, in a file.
    pub schema_file: Option<PathBuf>,
    /// A template in place of the model's, in a file.
    pub template_file: Option<PathBuf>,
    /// Backslashes in stops and breakers mean something.
    pub(super) escape: bool,
    /// The first breaker replaces the default ones.
    pub(super) breakers: Option<Vec<String>>,

    /// The log.
    pub log: Log,
    /// What means nothing here or was said twice.
    pub warnings: Vec<String>,
}

impl Default for Flags {
    fn default() -> Self {
        let list = |words: &[&str]| words.iter().map(|it| (*it).to_owned()).collect();
        Self {
            info: None,
            source: None,
            repository_file: None,
            hub_token: None,
            offline: false,
            aliases: Vec::new(),
            tags: Vec::new(),
            threads: None,
            threads_batch: None,
            context: None,
            parallel: None,
            history: None,
            warm_up: true,
            idle: None,
            models_folder: None,
            presets_file: None,
            models_max: None,
            autoload: true,
            embeddings: false,
            rerank: false,
            pooling: None,
            normalize: 2,
            hosts: list(&["127.0.0.1"]),
            port: 8080,
            reuse_port: false,
            prefix: String::new(),
            api_keys: Vec::new(),
            api_key_file: None,
            tls_key: None,
            tls_certificate: None,
            cors_origins: None,
            cors_methods: list(&["GET", "POST", "DELETE", "OPTIONS"]),
            cors_headers: list(&["*"]),
            cors_credentials: true,
            timeout: Duration::from_secs(3600),
            metrics: false,
            props: false,
            slots: true,
            slot_directory: None,
            standing: Standing::default(),
            chats: ChatStanding::default(),
            grammar_file: None,
            schema_file: None,
            template_file: None,
            escape: true,
            breakers: None,
            log: Log {
                level: 3,
                file: None,
                json: false,
                colors: None,
                times: true,
                prefix: true,
            },
            warnings: Vec::new(),
        }
    }
}

impl Flags {
    /// Sets a number of the samplers, by the rules that hold for requests.
    pub(super) fn sampling(&mut self, name: &'static str, given: &Given) -> Result<(), String> {
        let number = NUMBERS
            .iter()
            .chain([&MIN_KEEP])
            .find(|number| number.name == name);
        let number = number.ok_or_else(|| format!("there is no setting {name}"))?;
        let value = match number.whole {
            true => given.whole(i64::from(i32::MIN), i64::from(i32::MAX))? as f64,
            false => given.real()?,
        };
        let value = number.check(value).map_err(|failure| failure.to_string())?;
        self.standing
            .settings
            .insert(name.to_owned(), number.json(value));
        Ok(())
    }

    /// What depends on several options.
    pub(super) fn finish(&mut self) {
        if let (Some(Source::Repository { file, .. }), Some(own)) =
            (&mut self.source, &self.repository_file)
        {
            *file = Some(own.clone());
        }
        if self.escape {
            for stop in &mut self.standing.stops {
                *stop = unescape(stop);
            }
        }
        if let Some(breakers) = self.breakers.take() {
            let escape = self.escape;
            let breakers = breakers
                .into_iter()
                .map(|text| if escape { unescape(&text) } else { text });
            let list: Vec<Value> = breakers.map(Value::from).collect();
            self.standing
                .settings
                .insert("dry_sequence_breakers".to_owned(), Value::Array(list));
        }
        if let Some(parallel) = self.parallel {
            self.standing.parallel = parallel;
        }
    }
}
