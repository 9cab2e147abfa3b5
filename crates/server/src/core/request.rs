//! What is asked of a model, in the one form that every dialect translates to.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use hearth_chat::Message;
use serde_json::{Map, Value};

/// A generation.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The model, as the client wrote it.
    pub model: String,
    /// What is continued.
    pub input: Input,
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// Where the answer ends.
    pub limits: Limits,
    /// What the answer has to look like.
    pub format: Option<Format>,
    /// What is said of each token.
    pub logprobs: Option<Logprobs>,
    /// Answers to give; they share the prompt. 0 means 1.
    pub choices: usize,
    /// What to do where the context does not hold it all.
    pub overflow: Overflow,
    /// How the model is loaded and how long it stays.
    pub load: Load,
    /// Whether somebody waits for it.
    pub class: Class,
    /// Tell how far the prompt is read.
    pub progress: bool,
    /// Tell all tokens at the end, as `Outcome::ids`.
    pub ids: bool,
}

/// What is continued.
#[derive(Clone, Debug)]
pub enum Input {
    /// A conversation, through the model's template.
    Chat(Box<Chat>),
    /// Text and tokens as they are. A begin token is put before it where the vocabulary asks for one and the first
    /// piece is text.
    Plain(Vec<Piece>),
    /// The middle between two texts.
    Insert(Insert),
}

impl Default for Input {
    fn default() -> Self {
        Self::Plain(Vec::new())
    }
}

/// A piece of a plain prompt.
#[derive(Clone, Debug, PartialEq)]
pub enum Piece {
    /// Text; names of special tokens in it become those tokens.
    Text(String),
    /// Tokens.
    Tokens(Vec<u32>),
}

/// A conversation.
#[derive(Clone, Debug, Default)]
pub struct Chat {
    /// The turns. The model's own system message comes before them unless they begin with one.
    pub messages: Vec<Message>,
    /// Replaces the model's own system message.
    pub system: Option<String>,
    /// Leave out the turns that come with the model.
    pub bare: bool,
    /// What the model may call, in the form of OpenAI: `{"type": "function", "function": {…}}`.
    pub tools: Vec<Value>,
    /// Whether it has to.
    pub tool_choice: ToolChoice,
    /// Several calls in one turn.
    pub parallel_tool_calls: bool,
    /// A template in place of the model's.
    pub template: Option<OtherTemplate>,
    /// More variables for the template.
    pub template_variables: Map<String, Value>,
    /// Continue the last turn, which is the assistant's, rather than begin a new one.
    pub continue_last: bool,
    /// Whether and how much the model thinks.
    pub think: Think,
    /// Tokens that it may think; then its thoughts are closed.
    pub reasoning_budget: Option<usize>,
    /// What is written in them before they are closed so.
    pub budget_message: String,
    /// Closes its thoughts while the answer runs.
    pub end_thoughts: Option<Signal>,
    /// Leave thoughts in the text, with their tags.
    pub reasoning_in_text: bool,
    /// Leave calls in the text.
    pub calls_in_text: bool,
    /// Tokens of an earlier answer that come before the rendered prompt (Ollama's `context`).
    pub before: Vec<u32>,
}

/// A template that is not the model's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OtherTemplate {
    /// Jinja.
    Jinja(String),
    /// Go's language, unless it has Jinja's statements: Ollama's clients send both.
    Either(String),
}

/// Something that one side says once, and all who hold it hear.
#[derive(Clone, Debug, Default)]
pub struct Signal(Arc<AtomicBool>);

impl Signal {
    /// Says it.
    pub fn raise(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it was said.
    pub fn is_raised(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Whether the model calls a tool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ToolChoice {
    /// As it likes.
    #[default]
    Auto,
    /// It does not; tools are not shown to it.
    None,
    /// At least one.
    Required,
    /// This one.
    Named(String),
}

/// Whether the model thinks before it answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Think {
    /// As the model does by default.
    #[default]
    Default,
    /// No. Asked of a model that cannot, it changes nothing.
    Off,
    /// Yes, where it can; nothing is refused.
    IfPossible(Option<String>),
    /// Yes, with a level such as `low`; a model that cannot refuses.
    On(Option<String>),
}

/// Two texts with a gap.
#[derive(Clone, Debug, Default)]
pub struct Insert {
    /// Before the gap.
    pub prefix: String,
    /// After it.
    pub suffix: String,
    /// Follows the prefix.
    pub prompt: String,
    /// Other files: name and text.
    pub extra: Vec<(String, String)>,
    /// Suffix before prefix.
    pub suffix_first: bool,
    /// Use the model's template for insertion (Ollama) rather than its tokens (llama-server).
    pub by_template: bool,
}

/// The seed of a request that wants to be answered by chance, -1 as 32 bits, as llama.cpp has it.
pub const BY_CHANCE: u64 = u32::MAX as u64;

/// How tokens are chosen.
#[derive(Clone, Debug, Default)]
pub struct Sampling {
    /// What holds where neither the request nor the model says anything.
    pub defaults: Defaults,
    /// Settings by the names of `hearth_engine::sampling::Settings`, checked when they are applied.
    pub settings: Map<String, Value>,
    /// Where random numbers start; none is where the model says, else by chance. [`BY_CHANCE`] is by chance whatever the
    /// model says.
    pub seed: Option<u64>,
    /// Added to logits of tokens given by id.
    pub bias: Vec<(u32, f32)>,
    /// Added to the logits of the tokens of texts.
    pub bias_texts: Vec<(String, f32)>,
}

/// Whose defaults hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Defaults {
    /// Ollama's: `top_p` 0.9, `min_p` 0.
    #[default]
    Ollama,
    /// llama-server's: `top_p` 0.95, `min_p` 0.05.
    LlamaServer,
}

/// Where an answer ends.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    /// Most tokens of each answer; none is what the model's settings say, else until it ends.
    pub max_tokens: Option<usize>,
    /// Texts that end it and are not part of it; none means the model's own.
    pub stops: Option<Vec<String>>,
    /// Go on past end tokens.
    pub ignore_end: bool,
    /// Stop at the next line break after so long.
    pub time: Option<Duration>,
    /// Stop at a line that is indented less.
    pub indent: usize,
}

/// What an answer has to look like.
#[derive(Clone, Debug, PartialEq)]
pub enum Format {
    /// A JSON object.
    Json,
    /// JSON of a schema.
    Schema(Value),
    /// A regular expression that matches the whole.
    Regex(String),
    /// llama.cpp's grammar language.
    Gbnf(String),
    /// llguidance's.
    Lark(String),
}

/// What is said of each token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Logprobs {
    /// Likeliest tokens listed.
    pub top: usize,
    /// Of what the samplers left, rather than of the model.
    pub after_sampling: bool,
}

/// What to do where the context does not hold it all. Whatever is dropped is counted in the answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Overflow {
    /// Drop the oldest turns of a conversation that is too long; else it is refused with the counts.
    pub truncate: bool,
    /// Drop the older half when the answer fills the context, and go on; else it ends there.
    pub shift: bool,
    /// Tokens of the prompt that are kept then.
    pub keep: usize,
}

/// How a model is loaded and how long it stays.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Load {
    /// How long it stays after the request; none leaves what holds.
    pub keep_alive: Option<KeepAlive>,
    /// Tokens that a sequence may have; none is the model's own or what is loaded.
    pub context: Option<usize>,
    /// Threads that compute.
    pub threads: Option<usize>,
}

/// How long a model stays loaded when nobody uses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeepAlive {
    /// So long; 0 unloads it at once.
    For(Duration),
    /// Until it has to make room.
    Forever,
}

/// Whether somebody waits for an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Class {
    /// Somebody does.
    #[default]
    Interactive,
    /// It fills what others leave.
    Batch,
}
