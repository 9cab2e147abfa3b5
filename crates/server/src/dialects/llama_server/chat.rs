//! What chats have at llama-server beyond OpenAI's fields. The dialect of OpenAI reads its own first.
//!
//! | what | how |
//! | --- | --- |
//! | native fields in the body | [`extend`] takes them from what OpenAI's dialect left |
//! | `timings` | [`super::timings`] on the last chunk and in the whole answer |
//! | `prompt_progress` | [`super::progress`] in chunks of their own, where [`super::Style::progress`] |
//! | `__verbose` | the native answer, where [`super::Style::verbose`] |
//! | errors | [`super::error`], with a number as the code |

use serde_json::{Map, Value};

use super::generation::{self, Standing, Style};
use super::sampling::NUMBERS;
use crate::core::request::{Chat, Input, OtherTemplate, Think};
use crate::core::{Failure, Request};
use crate::dialects::fields::Fields;

/// What the command line says of chats.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ChatStanding {
    /// Where thoughts go.
    pub reasoning: ReasoningFormat,
    /// Whether models think.
    pub think: Think,
    /// Tokens that they may.
    pub budget: Option<usize>,
    /// What is written where they may no more.
    pub budget_message: String,
    /// More variables for the template.
    pub variables: Map<String, Value>,
    /// A template in place of the model's.
    pub template: Option<String>,
    /// Begin a new turn even after one of the assistant's.
    pub no_prefill: bool,
    /// Leave everything in the text.
    pub unparsed: bool,
}

/// Where thoughts go (`reasoning_format`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReasoningFormat {
    /// Into a field of their own: `auto`, `deepseek`.
    #[default]
    Apart,
    /// They stay in the text: `none`.
    InText,
    /// Apart in whole answers, in the text of streams: `deepseek-legacy`.
    InTextOfStreams,
}

impl ReasoningFormat {
    /// By its name.
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "auto" | "deepseek" => Self::Apart,
            "none" => Self::InText,
            "deepseek-legacy" => Self::InTextOfStreams,
            _ => return None,
        })
    }
}

/// Native fields of a chat beside those of the samplers.
const NATIVE: &[&str] = &[
    "add_generation_prompt",
    "backend_sampling",
    "cache_prompt",
    "chat_format",
    "chat_parser",
    "continue_final_message",
    "dry_sequence_breakers",
    "generation_prompt",
    "grammar",
    "grammar_lazy",
    "grammar_triggers",
    "id_slot",
    "ignore_eos",
    "json_schema",
    "logit_bias",
    "lora",
    "max_completion_tokens",
    "max_tokens",
    "min_keep",
    "n",
    "n_cache_reuse",
    "n_cmpl",
    "n_discard",
    "n_indent",
    "n_keep",
    "n_predict",
    "n_probs",
    "post_sampling_probs",
    "preserved_tokens",
    "reasoning_budget_end_tag",
    "reasoning_budget_end_tags",
    "reasoning_budget_message",
    "reasoning_budget_start_tag",
    "reasoning_budget_tokens",
    "reasoning_format",
    "response_fields",
    "return_progress",
    "return_tokens",
    "samplers",
    "seed",
    "sse_ping_interval",
    "stop",
    "t_max_predict_ms",
    "thinking_budget_tokens",
    "timings_per_token",
    "verbose",
];

/// Parts the body of a chat: what OpenAI's dialect reads, and what [`extend`] takes. Both see whether the answer is a
/// stream.
pub fn split(body: Map<String, Value>) -> (Map<String, Value>, Map<String, Value>) {
    let is_native =
        |name: &str| NATIVE.contains(&name) || NUMBERS.iter().any(|number| number.name == name);
    let stream = body.get("stream").cloned();
    let (mut native, theirs): (Map<_, _>, Map<_, _>) =
        body.into_iter().partition(|(name, _)| is_native(name));
    native.extend(stream.map(|stream| ("stream".to_owned(), stream)));
    (theirs, native)
}

/// Takes llama-server's fields of a chat, from what OpenAI's dialect left of the body, into the request that it made.
/// `stream` says whether the answer is one.
///
/// # Errors
/// With the field that says what cannot be.
pub fn extend(
    fields: &mut Fields,
    standing: &Standing,
    chats: &ChatStanding,
    stream: bool,
    request: &mut Request,
    warnings: &mut Vec<String>,
) -> Result<Style, Failure> {
    if let Input::Chat(chat) = &mut request.input {
        thoughts(fields, chats, stream, chat)?;
        template(fields, chats, chat)?;
        turns(fields, chats, chat)?;
    }
    generation::take(fields, standing, request, warnings)
}

/// What the command line says, for a request that another dialect has read whole.
///
/// # Errors
/// When what it says does not go with the request.
pub fn stand(
    standing: &Standing,
    chats: &ChatStanding,
    stream: bool,
    request: &mut Request,
) -> Result<(), Failure> {
    let mut nothing = Fields::new(Map::new());
    if let Input::Chat(chat) = &mut request.input {
        thoughts(&mut nothing, chats, stream, chat)?;
        template(&mut nothing, chats, chat)?;
        chat.continue_last &= !chats.no_prefill;
    }
    generation::take(&mut nothing, standing, request, &mut Vec::new()).map(drop)
}

fn thoughts(
    fields: &mut Fields,
    chats: &ChatStanding,
    stream: bool,
    chat: &mut Chat,
) -> Result<(), Failure> {
    let format = match fields.take_str("reasoning_format")? {
        None => chats.reasoning,
        Some(name) => ReasoningFormat::parse(&name).ok_or_else(|| {
            fields.refuse(
                "reasoning_format",
                format!("must be one of none, auto, deepseek and deepseek-legacy, got '{name}'"),
            )
        })?,
    };
    chat.reasoning_in_text |= match format {
        ReasoningFormat::Apart => false,
        ReasoningFormat::InText => true,
        ReasoningFormat::InTextOfStreams => stream,
    };
    // -1 is no limit.
    for name in ["reasoning_budget_tokens", "thinking_budget_tokens"] {
        if let Some(budget) = fields.take_i64(name)? {
            chat.reasoning_budget = usize::try_from(budget).ok();
        }
    }
    chat.reasoning_budget = chat.reasoning_budget.or(chats.budget);
    let message = fields.take_str("reasoning_budget_message")?;
    chat.budget_message = message.unwrap_or_else(|| chats.budget_message.clone());
    if chat.think == Think::Default {
        chat.think = chats.think.clone();
    }
    Ok(())
}

fn template(fields: &mut Fields, chats: &ChatStanding, chat: &mut Chat) -> Result<(), Failure> {
    let mut variables = chats.variables.clone();
    variables.append(&mut chat.template_variables);
    if let Some(mut own) = fields.take_map("chat_template_kwargs")? {
        variables.append(&mut own);
    }
    match variables.get("enable_thinking") {
        None => {}
        Some(Value::Bool(false)) => chat.think = Think::Off,
        Some(Value::Bool(true)) if chat.think == Think::Default => {
            chat.think = Think::IfPossible(None)
        }
        Some(Value::Bool(true)) => {}
        Some(other) => {
            let path = "chat_template_kwargs.enable_thinking";
            return Err(crate::dialects::fields::wrong(path, "true or false", other));
        }
    }
    chat.template_variables = variables;
    if chat.template.is_none() {
        chat.template = chats.template.clone().map(OtherTemplate::Jinja);
    }
    chat.calls_in_text |= chats.unparsed;
    chat.reasoning_in_text |= chats.unparsed;
    Ok(())
}

fn turns(fields: &mut Fields, chats: &ChatStanding, chat: &mut Chat) -> Result<(), Failure> {
    let begins = fields.take_bool("add_generation_prompt")?;
    let continues = match fields.take_value("continue_final_message") {
        None => None,
        Some(Value::Bool(flag)) => Some(flag),
        Some(Value::String(part)) if matches!(part.as_str(), "content" | "reasoning_content") => {
            Some(true)
        }
        Some(other) => {
            let expected = "true, false, \"content\" or \"reasoning_content\"";
            return Err(crate::dialects::fields::wrong(
                "continue_final_message",
                expected,
                &other,
            ));
        }
    };
    if begins == Some(true) && continues == Some(true) {
        return Err(fields.refuse(
            "add_generation_prompt",
            "and continue_final_message cannot both be true",
        ));
    }
    let assistant = chat.messages.last().filter(|last| last.role == "assistant");
    let last_calls = assistant.is_some_and(|last| !last.tool_calls.is_empty());
    chat.continue_last = assistant.is_some() && continues.unwrap_or(!chats.no_prefill);
    if chat.continue_last && last_calls {
        return Err(Failure::invalid(
            "messages",
            "the last turn calls tools and cannot be continued",
        ));
    }
    Ok(())
}
