//! What is asked.

use serde_json::{Map, Value, json};

use super::messages::Conversation;
use super::tools;
use crate::core::request::{Chat, Format, Input, Limits, Load, Sampling, Think};
use crate::core::{Failure, Request};
use crate::dialects::fields::Fields;

/// A request and how its answer is written.
#[derive(Debug)]
pub struct Asked {
    /// What is asked of the model.
    pub request: Request,
    /// Piece by piece.
    pub stream: bool,
    /// How the answer is written.
    pub shape: Shape,
    /// What was left out or means nothing here, in words.
    pub warnings: Vec<String>,
}

/// How an answer is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    /// Texts of the client that end the answer; others are the model's own.
    pub stops: Vec<String>,
    /// Thoughts are left out of their blocks.
    pub thoughts_omitted: bool,
    /// What was left out or understood otherwise, in words.
    pub notes: Vec<String>,
}

/// Settings of sampling that are passed on under their own names. The first three are Anthropic's.
const SAMPLING: [&str; 9] = [
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "typical_p",
    "repeat_penalty",
    "repeat_last_n",
    "presence_penalty",
    "frequency_penalty",
];

/// Fields that are known and change nothing here.
const WITHOUT_EFFECT: [&str; 13] = [
    "metadata",
    "service_tier",
    "cache_control",
    "context_management",
    "container",
    "inference_geo",
    "speed",
    "betas",
    "anthropic_beta",
    "anthropic_version",
    "diagnostics",
    "user_profile_id",
    "fallbacks",
];

/// Reads the body of `POST /v1/messages`.
///
/// # Errors
/// With the field that says what cannot be.
pub fn request(body: Map<String, Value>) -> Result<Asked, Failure> {
    read(body, true)
}

/// Reads the body of `POST /v1/messages/count_tokens`: the prompt of the request is to be rendered and counted.
///
/// # Errors
/// With the field that says what cannot be.
pub fn count(body: Map<String, Value>) -> Result<Asked, Failure> {
    read(body, false)
}

/// The answer to `count_tokens`.
pub fn counted(tokens: usize) -> Value {
    json!({ "input_tokens": tokens })
}

/// `GET /v1/models`: each model's name with the time it came, as RFC 3339 writes it.
pub fn models(models: &[(&str, &str)]) -> Value {
    let data: Vec<Value> = models
        .iter()
        .map(|(id, time)| json!({ "type": "model", "id": id, "display_name": id, "created_at": time }))
        .collect();
    json!({
        "data": data,
        "first_id": models.first().map(|it| it.0),
        "last_id": models.last().map(|it| it.0),
        "has_more": false,
    })
}

fn read(body: Map<String, Value>, generates: bool) -> Result<Asked, Failure> {
    let mut fields = Fields::new(body);
    if fields.take_value("thread").is_some() {
        return Err(Failure::invalid(
            "thread",
            "threads are not kept here: send the whole conversation",
        ));
    }
    let model = fields.take_str("model")?.filter(|model| !model.is_empty());
    let model = model.ok_or_else(|| fields.missing("model"))?;
    let max_tokens = max_tokens(&mut fields, generates)?;
    let stream = fields.take_bool("stream")?.unwrap_or(false);
    let mut conversation = Conversation::take(&mut fields)?;
    let tools = tools::take(&mut fields)?;
    let continue_last = conversation.continues()?;
    let mut stops = fields.take_strings("stop_sequences")?.unwrap_or_default();
    stops.retain(|stop| !stop.is_empty());
    let output = Output::take(&mut fields)?;
    let thinking = Thinking::take(&mut fields, output.effort)?;
    let sampling = Sampling {
        seed: fields.take_u64("seed")?,
        settings: settings(&mut fields)?,
        ..Sampling::default()
    };
    let chat = Chat {
        messages: conversation.messages,
        tools: tools.list,
        tool_choice: tools.choice,
        parallel_tool_calls: tools.parallel,
        template_variables: fields.take_map("chat_template_kwargs")?.unwrap_or_default(),
        continue_last,
        think: thinking.think,
        reasoning_budget: thinking.budget,
        ..Chat::default()
    };
    let context = fields.take_usize("num_ctx")?;
    let mut warnings = conversation.warnings;
    warnings.extend(tools.warnings);
    if fields
        .take_list("mcp_servers")?
        .is_some_and(|it| !it.is_empty())
    {
        warnings.push("mcp_servers was left out: this server connects to none".to_owned());
    }
    fields.ignore(&WITHOUT_EFFECT);
    warnings.extend(
        fields
            .rest()
            .into_iter()
            .map(|name| format!("{name} is not known here")),
    );
    Ok(Asked {
        request: Request {
            model,
            input: Input::Chat(Box::new(chat)),
            sampling,
            limits: Limits {
                max_tokens,
                stops: (!stops.is_empty()).then(|| stops.clone()),
                ..Limits::default()
            },
            format: output.format,
            load: Load {
                context,
                ..Load::default()
            },
            ..Request::default()
        },
        stream,
        shape: Shape {
            stops,
            thoughts_omitted: thinking.omitted,
            notes: warnings.clone(),
        },
        warnings,
    })
}

fn max_tokens(fields: &mut Fields, required: bool) -> Result<Option<usize>, Failure> {
    match fields.take_f64("max_tokens")? {
        Some(count) if count >= 1.0 && count.fract() == 0.0 => {
            Ok(Some(count.min(f64::from(u32::MAX)) as usize))
        }
        None if !required => Ok(None),
        _ => Err(Failure::invalid(
            "max_tokens",
            "max_tokens is required and must be positive",
        )),
    }
}

fn settings(fields: &mut Fields) -> Result<Map<String, Value>, Failure> {
    let mut settings = Map::new();
    for name in SAMPLING {
        if let Some(number) = fields.take_f64(name)? {
            let whole = matches!(name, "top_k" | "repeat_last_n");
            let value = match whole && number.fract() == 0.0 && (-1.0..=2e9).contains(&number) {
                // -1 is how some clients write that all are kept.
                true => Value::from((number as i64).max(0)),
                false if whole => {
                    return Err(Failure::invalid(
                        name,
                        format!("{name} must be a whole number, got {number}"),
                    ));
                }
                false => Value::from(number),
            };
            settings.insert(name.to_owned(), value);
        }
    }
    Ok(settings)
}

/// What `output_config` says.
#[derive(Default)]
struct Output {
    effort: Option<String>,
    format: Option<Format>,
}

impl Output {
    fn take(fields: &mut Fields) -> Result<Self, Failure> {
        let mut output = Self::default();
        // An older form of `output_config.format`.
        let mut format = fields.take_fields("output_format")?;
        if let Some(mut config) = fields.take_fields("output_config")? {
            output.effort = config.take_str("effort")?.map(effort).transpose()?;
            if let Some(newer) = config.take_fields("format")? {
                format = Some(newer);
            }
        }
        if let Some(mut format) = format {
            output.format = match format.take_str("type")?.as_deref() {
                Some("json_schema") => {
                    let schema = format.take_value("schema");
                    let field = format.path("schema");
                    let schema = schema.filter(|it| it.is_object() || it.is_boolean());
                    Some(Format::Schema(schema.ok_or_else(|| {
                        Failure::invalid(field, "a JSON schema was expected")
                    })?))
                }
                Some("text") => None,
                other => {
                    return Err(Failure::invalid(
                        format.path("type"),
                        format!(
                            "json_schema was expected, found '{}'",
                            other.unwrap_or_default()
                        ),
                    ));
                }
            };
        }
        Ok(output)
    }
}

fn effort(level: String) -> Result<String, Failure> {
    match level.as_str() {
        "low" | "medium" | "high" | "max" => Ok(level),
        // No model has a level between high and max.
        "xhigh" => Ok("high".to_owned()),
        other => Err(Failure::invalid(
            "output_config.effort",
            format!("one of low, medium, high, xhigh and max was expected, found '{other}'"),
        )),
    }
}

/// What `thinking` says.
struct Thinking {
    think: Think,
    budget: Option<usize>,
    omitted: bool,
}

impl Thinking {
    fn take(fields: &mut Fields, effort: Option<String>) -> Result<Self, Failure> {
        let Some(mut thinking) = fields.take_fields("thinking")? else {
            return Ok(Self {
                think: effort.map_or(Think::Default, |effort| Think::IfPossible(Some(effort))),
                budget: None,
                omitted: false,
            });
        };
        let think = match thinking.take_str("type")?.unwrap_or_default().as_str() {
            "disabled" => Think::Off,
            "enabled" | "adaptive" | "between_tools" => Think::IfPossible(effort),
            other => {
                return Err(Failure::invalid(
                    "thinking.type",
                    format!(
                        "one of enabled, adaptive, between_tools and disabled was expected, found '{other}'"
                    ),
                ));
            }
        };
        let budget = thinking.take_usize("budget_tokens")?;
        Ok(Self {
            budget: budget.filter(|_| think != Think::Off),
            think,
            omitted: thinking.take_str("display")?.as_deref() == Some("omitted"),
        })
    }
}
