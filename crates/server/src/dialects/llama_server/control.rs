//! `/health`, `/props`, `/slots`, `/lora-adapters` and the list of models.

use serde_json::{Map, Value, json};

use super::router::Status;
use crate::core::Failure;
use crate::dialects::fields::Fields;

/// `GET /health` once the model is there.
pub fn health() -> Value {
    json!({ "status": "ok" })
}

/// What `POST` answers where there is nothing more to say.
pub fn success() -> Value {
    json!({ "success": true })
}

/// The id of the answer whose thoughts `POST /v1/chat/completions/control` is to end.
///
/// # Errors
/// When something else is asked.
pub fn ending(body: Map<String, Value>) -> Result<String, Failure> {
    let mut fields = Fields::new(body);
    // There is one model, or the id says which.
    fields.take_str("model")?;
    let id = fields.take_str("id")?;
    let action = fields.take_str("action")?;
    if action.as_deref() != Some("reasoning_end") {
        let found = action.as_deref().unwrap_or("nothing");
        return Err(fields.refuse("action", format!("must be reasoning_end, got {found}")));
    }
    id.ok_or_else(|| fields.refuse("id", "is missing"))
}

/// What `POST /v1/chat/completions/control` answers; nothing is done where the answer does not run, or not any more.
pub fn controlled(runs: bool) -> (u16, Value) {
    let body = match runs {
        true => success(),
        false => {
            json!({ "success": false, "message": "no answer of this id runs with reasoning_control" })
        }
    };
    (200, body)
}

/// A model in the list.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Listed {
    /// Its name: the first alias, else the repository, else the path.
    pub id: String,
    /// All names.
    pub aliases: Vec<String>,
    /// Words that the command line put to it.
    pub tags: Vec<String>,
    /// When it was made, in seconds since 1970.
    pub created: u64,
    /// What is known once it is loaded.
    pub meta: Option<Meta>,
    /// How it is.
    pub status: Option<Status>,
    /// Where it is from.
    pub source: Source,
}

/// Where a model of a list is from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Source {
    /// It was fetched, and can be removed.
    Store,
    /// A file or another program's.
    #[default]
    Folder,
    /// A section of a file of models, as it was written there.
    Section(String),
}

impl Source {
    /// llama-server's word.
    fn word(&self) -> &'static str {
        match self {
            Self::Store => "cache",
            Self::Folder => "models_dir",
            Self::Section(_) => "preset",
        }
    }
}

/// Figures of a model.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Meta {
    /// llama.cpp's number of the kind of vocabulary: 1 SPM, 2 BPE, 3 WPM, 4 UGM, 5 RWKV.
    pub vocab_type: u32,
    /// Tokens of the vocabulary.
    pub n_vocab: usize,
    /// Tokens of a context.
    pub n_ctx: usize,
    /// Tokens that the model was trained with.
    pub n_ctx_train: usize,
    /// Width.
    pub n_embd: usize,
    /// Parameters.
    pub n_params: u64,
    /// Bytes of its tensors.
    pub size: u64,
    /// The name of its quantisation: `Q4_K - Medium`.
    pub ftype: String,
}

/// The number of a kind of vocabulary, by its name in a GGUF file; 0 is none.
pub fn vocabulary_number(name: &str) -> u32 {
    const KINDS: [&str; 6] = ["llama", "gpt2", "bert", "t5", "rwkv", "plamo2"];
    let found = (1..).zip(KINDS).find(|(_, kind)| *kind == name);
    found.map_or(0, |(number, _)| number)
}

/// What llama.cpp calls a mixture of block types, by the number in a GGUF file (`general.file_type`).
pub fn mixture_name(number: Option<u64>) -> &'static str {
    const NAMES: &[(u64, &str)] = &[
        (0, "all F32"),
        (1, "F16"),
        (2, "Q4_0"),
        (3, "Q4_1"),
        (7, "Q8_0"),
        (8, "Q5_0"),
        (9, "Q5_1"),
        (10, "Q2_K - Medium"),
        (11, "Q3_K - Small"),
        (12, "Q3_K - Medium"),
        (13, "Q3_K - Large"),
        (14, "Q4_K - Small"),
        (15, "Q4_K - Medium"),
        (16, "Q5_K - Small"),
        (17, "Q5_K - Medium"),
        (18, "Q6_K"),
        (19, "IQ2_XXS - 2.0625 bpw"),
        (20, "IQ2_XS - 2.3125 bpw"),
        (21, "Q2_K - Small"),
        (22, "IQ3_XS - 3.3 bpw"),
        (23, "IQ3_XXS - 3.0625 bpw"),
        (24, "IQ1_S - 1.5625 bpw"),
        (25, "IQ4_NL - 4.5 bpw"),
        (26, "IQ3_S - 3.4375 bpw"),
        (27, "IQ3_S mix - 3.66 bpw"),
        (28, "IQ2_S - 2.5 bpw"),
        (29, "IQ2_M - 2.7 bpw"),
        (30, "IQ4_XS - 4.25 bpw"),
        (31, "IQ1_M - 1.75 bpw"),
        (32, "BF16"),
        (36, "TQ1_0 - 1.69 bpw ternary"),
        (37, "TQ2_0 - 2.06 bpw ternary"),
        (38, "MXFP4 MoE"),
    ];
    let found = number.and_then(|number| NAMES.iter().find(|(known, _)| *known == number));
    found.map_or("unknown", |(_, name)| name)
}

/// `GET /v1/models`, with the twin for clients of Ollama.
pub fn models(models: &[Listed]) -> Value {
    let data: Vec<Value> = models.iter().map(listed).collect();
    let twins: Vec<Value> = models.iter().map(twin).collect();
    json!({ "object": "list", "data": data, "models": twins })
}

fn listed(model: &Listed) -> Value {
    let meta = model.meta.as_ref().map(|meta| {
        json!({
            "vocab_type": meta.vocab_type, "n_vocab": meta.n_vocab, "n_ctx": meta.n_ctx,
            "n_ctx_train": meta.n_ctx_train, "n_embd": meta.n_embd, "n_params": meta.n_params, "size": meta.size,
            "ftype": meta.ftype,
        })
    });
    let mut listed = json!({
        "id": model.id, "aliases": model.aliases, "tags": model.tags, "object": "model", "created": model.created,
        "owned_by": "llamacpp", "meta": meta,
    });
    if let Some(status) = model.status {
        listed["status"] = status.json();
        listed["architecture"] =
            json!({ "input_modalities": ["text"], "output_modalities": ["text"] });
        if let Source::Section(text) = &model.source {
            listed["status"]["preset"] = json!(text);
        }
        listed["source"] = json!(model.source.word());
        listed["can_remove"] = json!(model.source == Source::Store);
    }
    listed
}

fn twin(model: &Listed) -> Value {
    json!({
        "name": model.id, "model": model.id, "modified_at": "", "size": "", "digest": "", "type": "model",
        "description": "", "tags": [""], "capabilities": ["completion"], "parameters": "",
        "details": {
            "parent_model": "", "format": "gguf", "family": "", "families": [""], "parameter_size": "",
            "quantization_level": "",
        },
    })
}

/// What `GET /props` tells.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Props {
    /// `generation_settings` of a request that says nothing.
    pub settings: Value,
    /// Tokens of a context.
    pub context: usize,
    /// Answers at once.
    pub slots: usize,
    /// The model's name.
    pub alias: String,
    /// Its quantisation.
    pub ftype: String,
    /// Its file, as the command line named it.
    pub path: String,
    /// Stands for a picture in a prompt; by chance for each process.
    pub media_marker: String,
    /// Whether it sees pictures.
    pub vision: bool,
    /// `GET /slots` is there.
    pub slots_endpoint: bool,
    /// `POST /props` is there.
    pub props_endpoint: bool,
    /// `GET /metrics` is there.
    pub metrics_endpoint: bool,
    /// Its template.
    pub template: String,
    /// What the template knows, by llama.cpp's names: `supports_tools`.
    pub template_caps: Map<String, Value>,
    /// Its template for tools, where it has one.
    pub tool_template: Option<String>,
    /// The text of the token that begins texts.
    pub bos_token: String,
    /// The text of the one that ends them.
    pub eos_token: String,
    /// This program and its version.
    pub build: String,
    /// The model is unloaded until somebody asks.
    pub sleeping: bool,
}

/// `GET /props`.
pub fn props(props: &Props) -> Value {
    let mut value = json!({
        "default_generation_settings": { "params": props.settings, "n_ctx": props.context },
        "total_slots": props.slots, "model_alias": props.alias, "model_ftype": props.ftype, "model_path": props.path,
        "modalities": { "vision": props.vision, "video": false, "audio": false },
        "media_marker": props.media_marker,
        "endpoint_slots": props.slots_endpoint, "endpoint_props": props.props_endpoint,
        "endpoint_metrics": props.metrics_endpoint, "ui": false, "ui_settings": {},
        "chat_template": props.template, "chat_template_caps": props.template_caps,
        "bos_token": props.bos_token, "eos_token": props.eos_token, "build_info": props.build,
        "is_sleeping": props.sleeping, "cors_proxy_enabled": false,
    });
    if let Some(template) = &props.tool_template {
        value["chat_template_tool_use"] = Value::from(template.as_str());
    }
    value
}

/// A place for an answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Slot {
    /// Its number.
    pub id: usize,
    /// Tokens of its context.
    pub context: usize,
    /// What it does or did last.
    pub task: Option<Task>,
    /// It is at work.
    pub busy: bool,
}

/// What a slot does.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Task {
    /// Its number.
    pub id: u64,
    /// Tokens of the prompt.
    pub prompt: usize,
    /// Those that were read.
    pub read: usize,
    /// Those that were cached.
    pub cached: usize,
    /// `generation_settings`.
    pub settings: Value,
    /// Tokens generated.
    pub decoded: usize,
    /// Tokens that it may still generate; none has no limit.
    pub remaining: Option<usize>,
    /// A line was broken.
    pub new_line: bool,
}

/// `GET /slots`.
pub fn slots(slots: &[Slot]) -> Value {
    slots.iter().map(slot).collect()
}

fn slot(slot: &Slot) -> Value {
    let mut value = json!({
        "id": slot.id, "n_ctx": slot.context, "speculative": false, "is_processing": slot.busy,
    });
    if let (Some(task), Some(object)) = (&slot.task, value.as_object_mut()) {
        let remaining = task
            .remaining
            .map_or(-1, |it| i64::try_from(it).unwrap_or(i64::MAX));
        let more = json!({
            "id_task": task.id, "n_prompt_tokens": task.prompt, "n_prompt_tokens_processed": task.read,
            "n_prompt_tokens_cache": task.cached, "params": task.settings,
            "next_token": [{
                "has_next_token": slot.busy, "has_new_line": task.new_line, "n_remain": remaining,
                "n_decoded": task.decoded,
            }],
        });
        object.extend(more.as_object().cloned().unwrap_or_default());
    }
    value
}

/// What is done with the state of a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SlotAction {
    /// Write it to a file of this name.
    Save(String),
    /// Read it from one.
    Restore(String),
    /// Forget it.
    Erase,
}

/// Reads `POST /slots/{id}?action=…`.
///
/// # Errors
/// The action is none, or the name is no plain file name.
pub fn slot_action(action: Option<&str>, body: Map<String, Value>) -> Result<SlotAction, Failure> {
    let make = match action {
        Some("save") => SlotAction::Save,
        Some("restore") => SlotAction::Restore,
        Some("erase") => return Ok(SlotAction::Erase),
        other => {
            return Err(Failure::invalid(
                "action",
                format!(
                    "one of save, restore and erase was expected, found '{}'",
                    other.unwrap_or_default()
                ),
            ));
        }
    };
    let mut fields = Fields::new(body);
    let name = fields.require_str("filename")?;
    let is_plain = !name.is_empty()
        && name.len() <= 255
        && !name.starts_with('.')
        && !name.ends_with(['.', ' '])
        && !name
            .chars()
            .any(|it| it.is_control() || "/\\:*?\"<>|".contains(it));
    match is_plain {
        true => Ok(make(name)),
        false => Err(fields.refuse("filename", "must be a file name without separators")),
    }
}

/// The answer to `save`. The time is in milliseconds.
pub fn saved(slot: usize, name: &str, tokens: usize, bytes: u64, milliseconds: f64) -> Value {
    json!({
        "id_slot": slot, "filename": name, "n_saved": tokens, "n_written": bytes,
        "timings": { "save_ms": milliseconds },
    })
}

/// The answer to `restore`. The time is in milliseconds.
pub fn restored(slot: usize, name: &str, tokens: usize, bytes: u64, milliseconds: f64) -> Value {
    json!({
        "id_slot": slot, "filename": name, "n_restored": tokens, "n_read": bytes,
        "timings": { "restore_ms": milliseconds },
    })
}

/// The answer to `erase`.
pub fn erased(slot: usize, tokens: usize) -> Value {
    json!({ "id_slot": slot, "n_erased": tokens })
}

/// `GET /lora-adapters`: adapters are part of a model here, so there are none to scale.
pub fn adapters() -> Value {
    json!([])
}

/// Reads `POST /lora-adapters`, whose answer is [`success`].
///
/// # Errors
/// It scales an adapter.
pub fn scale_adapters(body: Value) -> Result<(), Failure> {
    match body {
        Value::Array(list) => no_adapters("lora", list),
        other => Err(crate::dialects::fields::wrong("body", "a list", &other)),
    }
}

/// Refuses a list that gives an adapter any weight.
pub(super) fn no_adapters(path: &str, list: Vec<Value>) -> Result<(), Failure> {
    for (index, adapter) in list.into_iter().enumerate() {
        let mut fields = Fields::of(format!("{path}[{index}]"), adapter)?;
        let id = fields.take_i64("id")?.unwrap_or(-1);
        let scale = fields.take_f64("scale")?.unwrap_or(0.0);
        if scale != 0.0 {
            return Err(fields.refuse(
                "id",
                format!("is {id}, and no adapter is loaded: create a model with it"),
            ));
        }
    }
    Ok(())
}
