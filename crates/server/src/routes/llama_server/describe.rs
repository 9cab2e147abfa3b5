//! What a loaded model is, in llama-server's words.

use hearth_format::Checkpoint;

use crate::{
    core::{Failure, models::Lease, models::blocking, models::without_paths},
    dialects::llama_server::control::{self, Meta},
};

/// What is told of a model.
#[derive(Clone, Debug, Default)]
pub(crate) struct Described {
    /// What it is called.
    pub(crate) title: String,
    /// Its figures.
    pub(crate) meta: Meta,
    /// Its template.
    pub(crate) template: String,
    /// What the template has places for.
    pub(crate) capabilities: hearth_chat::output::Capabilities,
    /// The text of the token that begins texts.
    pub(crate) bos: String,
    /// The text of the one that ends them.
    pub(crate) eos: String,
}

/// Looks at a loaded model and at its files' headers.
///
/// # Errors
/// When the files are gone or changed.
pub(super) async fn describe(model: Lease) -> Result<Described, Failure> {
    blocking(move || {
        let checkpoint = model
            .located
            .open()
            .map_err(|error| Failure::Load(without_paths(&error)))?;
        Ok(described(&model, &checkpoint))
    })
    .await?
}

fn described(model: &Lease, checkpoint: &Checkpoint) -> Described {
    let engine = model.engine();
    let (tokenizer, spec) = (engine.tokenizer(), engine.model().spec());
    let name = |id: Option<u32>| {
        let name = id.map(|id| tokenizer.token_name(id));
        name.unwrap_or_default()
    };
    let metadata = checkpoint.metadata();
    let kind = metadata.string("tokenizer.ggml.model").unwrap_or_default();
    Described {
        title: model.title().to_owned(),
        meta: Meta {
            vocab_type: control::vocabulary_number(kind),
            n_vocab: tokenizer.vocab_len(),
            n_ctx: engine.context(),
            n_ctx_train: spec.context,
            n_embd: spec.width,
            n_params: checkpoint.parameters(),
            size: checkpoint.total_bytes(),
            ftype: control::mixture_name(metadata.integer("general.file_type")).to_owned(),
        },
        template: model.voice.template.source().to_owned(),
        capabilities: model.voice.capabilities,
        bos: name(tokenizer.bos()),
        eos: name(tokenizer.eos()),
    }
}
