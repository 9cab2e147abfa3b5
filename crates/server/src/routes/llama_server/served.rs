//! How a model is served to those who ask for llama-server.

use std::sync::Arc;

use hearth_model::Pooling;

use crate::{
    dialects::llama_server::{
        Standing,
        chat::ChatStanding,
        flags::{Flags, Preset},
    },
    library::{Means, Named, Parameters},
};

/// What a command line, or a section of a file of models, says of one of them.
#[derive(Clone, Debug)]
pub struct Served {
    /// What holds for all requests.
    pub standing: Standing,
    /// What holds for chats.
    pub chats: ChatStanding,
    /// All its names.
    pub aliases: Vec<String>,
    /// Words put to it.
    pub tags: Vec<String>,
    /// Texts are embedded.
    pub embeddings: bool,
    /// Documents are ranked.
    pub rerank: bool,
    /// How vectors are scaled; llama-server's number.
    pub normalize: i64,
    /// How the rows of a text become one vector; none is as the model says.
    pub pooling: Option<Pooling>,
}

impl Default for Served {
    /// With nothing switched off.
    fn default() -> Self {
        Self {
            standing: Standing::default(),
            chats: ChatStanding::default(),
            aliases: Vec::new(),
            tags: Vec::new(),
            embeddings: true,
            rerank: true,
            normalize: 2,
            pooling: None,
        }
    }
}

impl Served {
    /// As the flags say.
    pub fn of(flags: &Flags) -> Self {
        Self {
            standing: flags.standing.clone(),
            chats: flags.chats.clone(),
            aliases: flags.aliases.clone(),
            tags: flags.tags.clone(),
            embeddings: flags.embeddings,
            rerank: flags.rerank,
            normalize: flags.normalize,
            pooling: flags.pooling,
        }
    }
}

/// A model of a file of models.
#[derive(Clone, Debug)]
pub struct Section {
    /// Its name.
    pub title: String,
    /// How it is served.
    pub served: Served,
    /// Models with the same weights are not listed beside it.
    pub dedup: bool,
    /// The section as it was written.
    pub text: String,
}

impl Section {
    /// As a file says.
    pub fn of(preset: &Preset) -> Self {
        Self {
            title: preset.name.clone(),
            served: Served::of(&preset.flags),
            dedup: preset.dedup,
            text: preset.text.clone(),
        }
    }
}

/// The name of a section, for the library.
pub fn named(preset: &Preset, means: Means) -> Named {
    let flags = &preset.flags;
    Named {
        title: preset.name.clone(),
        aliases: flags.aliases.clone(),
        means,
        sets: Arc::new(Parameters {
            context: flags.context,
            threads: flags
                .threads
                .map(|count| u16::try_from(count).unwrap_or(u16::MAX)),
            parallel: flags.parallel,
            idle: flags.idle,
            ..Parameters::default()
        }),
    }
}
