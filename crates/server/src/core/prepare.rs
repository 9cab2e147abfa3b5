//! From a request to tokens: messages through the template, settings, stops, grammars.

use std::hash::{BuildHasher, RandomState};

use hearth_chat::{
    ChatTemplate, Content, GoTemplate, Message, Template, go,
    output::{self, Choice, Format as Output, Tool},
};
use hearth_engine::{
    Alternatives, Limits, Terms,
    sampling::{Chain, Settings},
};
use hearth_tokenizer::{EncodeOptions, Tokenizer};

use super::{
    Failure, Request,
    models::Loaded,
    request::{BY_CHANCE, Chat, Input, Insert, OtherTemplate, Piece, Think, ToolChoice},
};
use crate::library::{Voice, encode, first_messages, special_tokens};

/// A request that is ready to run.
pub struct Prepared {
    /// The prompt as text; tokens that were given are left out.
    pub prompt: String,
    /// The prompt.
    pub ids: Vec<u32>,
    /// How the answer is read; none is text as it is.
    pub reading: Option<Reading>,
    /// Turns that were dropped.
    pub dropped_messages: usize,
    /// What was ignored or understood otherwise.
    pub warnings: Vec<String>,
}

/// How an answer is read.
#[derive(Clone)]
pub struct Reading {
    /// How the family writes thoughts and calls.
    pub format: Output,
    /// What may be called.
    pub tools: Vec<Tool>,
    /// Thoughts are split off.
    pub reasoning: bool,
    /// Several calls.
    pub parallel: bool,
    /// The part of the answer that the prompt has.
    pub prefill: String,
    /// Whether a call has to come.
    pub choice: Option<Choice>,
}

/// Makes a prompt of a request. May take long: templates are programs.
///
/// # Errors
/// When the model cannot do what is asked, or it does not fit the context.
pub fn prepare(model: &Loaded, request: &Request) -> Result<Prepared, Failure> {
    if !model.engine().capabilities().generate {
        let chat = matches!(request.input, Input::Chat(_));
        return Err(Failure::Unsupported {
            model: model.title().to_owned(),
            capability: if chat { "chat" } else { "generate" },
        });
    }
    match &request.input {
        Input::Plain(pieces) => Ok(plain(model, pieces)),
        Input::Insert(insert) => insertion(model, insert),
        Input::Chat(chat) => conversation(model, request, chat),
    }
    .and_then(|prepared| fits(model, prepared))
}

fn fits(model: &Loaded, prepared: Prepared) -> Result<Prepared, Failure> {
    let context = model.engine().context();
    if prepared.ids.len() >= context {
        return Err(Failure::Context {
            prompt: prepared.ids.len(),
            context,
        });
    }
    Ok(prepared)
}

fn plain(model: &Loaded, pieces: &[Piece]) -> Prepared {
    let tokenizer = model.engine().tokenizer();
    let (mut ids, mut prompt) = (Vec::new(), String::new());
    for (index, piece) in pieces.iter().enumerate() {
        match piece {
            Piece::Text(text) if index == 0 => ids = encode(tokenizer, text),
            Piece::Text(text) => ids.extend(tokens(tokenizer, text)),
            Piece::Tokens(tokens) => ids.extend(tokens),
        }
        if let Piece::Text(text) = piece {
            prompt += text;
        }
    }
    Prepared {
        prompt,
        ids,
        reading: None,
        dropped_messages: 0,
        warnings: Vec::new(),
    }
}

/// Ids of a text, special tokens read as such, nothing added.
pub(crate) fn tokens(tokenizer: &Tokenizer, text: &str) -> Vec<u32> {
    let options = EncodeOptions {
        add_special: false,
        parse_special: true,
    };
    tokenizer.encode(text, options)
}

/// The middle between two texts: by the template where the client means that, else by the vocabulary's own tokens.
fn insertion(model: &Loaded, insert: &Insert) -> Result<Prepared, Failure> {
    let unsupported = || Failure::Unsupported {
        model: model.title().to_owned(),
        capability: "insert",
    };
    if insert.by_template
        && let ChatTemplate::Go(template) = &model.voice.template
        && model.voice.capabilities.insert
    {
        let request = go::GoRequest {
            insert: Some(go::Insert {
                prompt: &insert.prefix,
                suffix: &insert.suffix,
            }),
            ..go::GoRequest::default()
        };
        let text = template
            .render(&request)
            .map_err(|e| Failure::Template(e.to_string()))?;
        return Ok(plain(model, &[Piece::Text(text)]));
    }
    let tokenizer = model.engine().tokenizer();
    let roles = tokenizer.roles();
    let (Some(before), Some(after), Some(middle)) =
        (roles.fim_prefix, roles.fim_suffix, roles.fim_middle)
    else {
        return Err(unsupported());
    };
    let mut ids = Vec::new();
    for (index, (name, text)) in insert.extra.iter().enumerate() {
        if let (0, Some(repository)) = (index, roles.fim_repository) {
            ids.push(repository);
            ids.extend(tokens(tokenizer, "project\n"));
        }
        match roles.fim_file {
            Some(separator) => {
                ids.push(separator);
                ids.extend(tokens(tokenizer, &format!("{name}\n{text}")));
            }
            None => ids.extend(tokens(tokenizer, &format!("\n\n--- {name} ---\n\n{text}"))),
        }
    }
    ids.extend(tokenizer.bos().filter(|_| tokenizer.add_bos()));
    let prefix = tokens(tokenizer, &format!("{}{}", insert.prefix, insert.prompt));
    let suffix = tokens(tokenizer, &insert.suffix);
    let parts = match insert.suffix_first {
        false => [(before, prefix), (after, suffix)],
        true => [(after, suffix), (before, prefix)],
    };
    for (mark, text) in parts {
        ids.push(mark);
        ids.extend(text);
    }
    ids.push(middle);
    Ok(Prepared {
        ids,
        ..plain(model, &[])
    })
}

fn conversation(model: &Loaded, request: &Request, chat: &Chat) -> Result<Prepared, Failure> {
    let own;
    let voice = match &chat.template {
        None => &model.voice,
        Some(source) => {
            own = other_voice(model, source)?;
            &own
        }
    };
    let tools = usable_tools(model, voice, chat)?;
    let mut messages = all_messages(model, chat);
    refuse_images(model, &messages)?;
    let mut turn = hearth_chat::Request {
        messages: Vec::new(),
        tools: tools.iter().map(|tool| tool.1.clone()).collect(),
        add_generation_prompt: true,
        extra: variables(model, voice, chat)?,
        now: None,
    };
    let mut render = |messages: &[Message]| {
        turn.messages = voice.conventions.apply(messages.to_vec());
        let rendered = match chat.continue_last {
            true => voice
                .template
                .render_continued(&turn)
                .map(|it| (it.prompt, it.prefill)),
            false => voice
                .template
                .render(&turn)
                .map(|prompt| (prompt, String::new())),
        };
        let (prompt, prefill) = rendered.map_err(|e| Failure::Template(e.to_string()))?;
        let mut ids = chat.before.clone();
        ids.extend(match ids.is_empty() {
            true => encode(model.engine().tokenizer(), &prompt),
            false => tokens(model.engine().tokenizer(), &prompt),
        });
        Ok::<_, Failure>((prompt, prefill, ids))
    };
    let mut rendered = render(&messages)?;
    let mut dropped = 0;
    let context = model.engine().context();
    if request.overflow.truncate && rendered.2.len() >= context {
        (dropped, messages) = shorten(messages, |kept| Ok(render(kept)?.2.len() < context))?;
        rendered = render(&messages)?;
    }
    let (prompt, prefill, ids) = rendered;
    let reading = Reading {
        format: voice.conventions.format().clone(),
        tools: tools
            .into_iter()
            .map(|tool| tool.0)
            .filter(|_| !chat.calls_in_text)
            .collect(),
        reasoning: !chat.reasoning_in_text,
        parallel: chat.parallel_tool_calls,
        prefill,
        choice: match &chat.tool_choice {
            ToolChoice::None => None,
            ToolChoice::Auto => Some(Choice::Auto),
            ToolChoice::Required => Some(Choice::Required),
            ToolChoice::Named(name) => Some(Choice::Named(name.clone())),
        },
    };
    Ok(Prepared {
        prompt,
        ids,
        reading: Some(reading),
        dropped_messages: dropped,
        warnings: model.parameters.notes.clone(),
    })
}

/// The fewest of the oldest turns that must go, system messages and the last turn excepted.
fn shorten(
    messages: Vec<Message>,
    mut fits: impl FnMut(&[Message]) -> Result<bool, Failure>,
) -> Result<(usize, Vec<Message>), Failure> {
    let last = messages.len().saturating_sub(1);
    let old: Vec<usize> = (0..last)
        .filter(|&index| messages[index].role != "system")
        .collect();
    let without = |count: usize| -> Vec<Message> {
        let gone = &old[..count];
        let stays = |index: &usize| gone.binary_search(index).is_err();
        (0..messages.len())
            .filter(stays)
            .map(|index| messages[index].clone())
            .collect()
    };
    let (mut low, mut high) = (0, old.len());
    while low < high {
        let middle = usize::midpoint(low, high);
        // A shorter conversation that no template takes, as one that begins with an answer, is too long as well.
        if fits(&without(middle)).unwrap_or(false) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    Ok((low, without(low)))
}

fn other_voice(model: &Loaded, template: &OtherTemplate) -> Result<Voice, Failure> {
    let tokenizer = model.engine().tokenizer();
    let wrong = |e: hearth_chat::Error| Failure::invalid("template", e.to_string());
    let (source, is_jinja) = match template {
        OtherTemplate::Jinja(source) => (source, true),
        OtherTemplate::Either(source) => (source, source.contains("{%")),
    };
    let template = match is_jinja {
        true => Template::new(source, special_tokens(tokenizer))
            .map_err(wrong)?
            .into(),
        false => GoTemplate::new(source).map_err(wrong)?.into(),
    };
    Ok(Voice::new(tokenizer, template, "of the request".to_owned()))
}

/// The tools that the model is shown, read and as they came.
fn usable_tools(
    model: &Loaded,
    voice: &Voice,
    chat: &Chat,
) -> Result<Vec<(Tool, serde_json::Value)>, Failure> {
    if chat.tools.is_empty() || chat.tool_choice == ToolChoice::None {
        return Ok(Vec::new());
    }
    let can = voice.capabilities.tools && voice.conventions.format().supports_tools();
    if !can {
        return Err(Failure::Unsupported {
            model: model.title().to_owned(),
            capability: "tools",
        });
    }
    let read = |tool: &serde_json::Value| {
        let wrong = || {
            Failure::invalid(
                "tools",
                "every tool has type function and a function with a name",
            )
        };
        Ok((Tool::from_openai(tool).ok_or_else(wrong)?, tool.clone()))
    };
    let tools: Vec<_> = chat
        .tools
        .iter()
        .map(read)
        .collect::<Result<_, Failure>>()?;
    if let ToolChoice::Named(name) = &chat.tool_choice
        && !tools.iter().any(|(tool, _)| tool.name == *name)
    {
        return Err(Failure::invalid(
            "tool_choice",
            format!("there is no tool '{name}' among the tools"),
        ));
    }
    Ok(tools)
}

/// The model's own turns, then the request's.
fn all_messages(model: &Loaded, chat: &Chat) -> Vec<Message> {
    let begins = chat
        .messages
        .first()
        .is_some_and(|message| message.role == "system");
    let own = match &model.located.package {
        Some(package) if !chat.bare => first_messages(package),
        _ => Vec::new(),
    };
    let replaced = begins || chat.system.is_some();
    let system = chat
        .system
        .iter()
        .filter(|text| !text.is_empty())
        .map(|text| Message::new("system", text.as_str()));
    let own = own
        .into_iter()
        .filter(|message| !(replaced && message.role == "system"));
    system
        .chain(own)
        .chain(chat.messages.iter().cloned())
        .collect()
}

fn refuse_images(model: &Loaded, messages: &[Message]) -> Result<(), Failure> {
    let is_text = |kind: &str| kind == "text";
    let other = messages.iter().any(|message| match &message.content {
        Some(Content::Parts(parts)) => parts.iter().any(|part| !is_text(&part.kind)),
        _ => false,
    });
    match other {
        true => Err(Failure::Unsupported {
            model: model.title().to_owned(),
            capability: "images",
        }),
        false => Ok(()),
    }
}

/// What the template is told besides messages and tools.
fn variables(
    model: &Loaded,
    voice: &Voice,
    chat: &Chat,
) -> Result<serde_json::Map<String, serde_json::Value>, Failure> {
    let think = match &chat.think {
        Think::On(_) if !voice.capabilities.thinking => {
            return Err(Failure::Unsupported {
                model: model.title().to_owned(),
                capability: "thinking",
            });
        }
        Think::Default => None,
        Think::Off => Some(go::Think::Off),
        Think::IfPossible(_) if !voice.capabilities.thinking => None,
        Think::On(None) | Think::IfPossible(None) => Some(go::Think::On),
        Think::On(Some(level)) | Think::IfPossible(Some(level)) => {
            Some(go::Think::Level(level.clone()))
        }
    };
    let mut all = think
        .map(|think| output::thinking_variables(&voice.template, &think))
        .unwrap_or_default();
    all.extend(chat.template_variables.clone());
    Ok(all)
}

/// How the tokens of one of the answers are chosen.
///
/// # Errors
/// When a setting cannot be what was asked.
pub fn terms(
    model: &Loaded,
    request: &Request,
    reading: Option<&Reading>,
    choice: usize,
) -> Result<Terms, Failure> {
    let tokenizer = model.engine().tokenizer();
    let settings = settings(model, request)?;
    let seed = seed(request.sampling.seed, model.parameters.seed).unwrap_or_else(random_seed);
    // Each answer has random numbers of its own, and the first has those of a lone one.
    let seed = seed.wrapping_add((choice as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let chain = Chain::new(&settings, settings.breakers(tokenizer), seed);
    let limits = &request.limits;
    let mut stops = limits
        .stops
        .clone()
        .unwrap_or_else(|| model.parameters.stops.clone());
    if reading.is_some() {
        stops.extend(model.voice.stops.iter().cloned());
    }
    let marks = reading
        .iter()
        .flat_map(|reading| reading.format.preserved());
    Ok(Terms {
        limits: Limits {
            max_tokens: limits
                .max_tokens
                .or(model.parameters.max_tokens)
                .unwrap_or(usize::MAX),
            stops,
            ignore_end: limits.ignore_end,
            time: limits.time,
        },
        forbidden: tokenizer.suppressed().to_vec(),
        shown: marks
            .filter_map(|mark| tokenizer.token_to_id(&mark))
            .collect(),
        alternatives: request.logprobs.map(|wanted| Alternatives {
            count: wanted.top,
            after_sampling: wanted.after_sampling,
        }),
        ..Terms::new(chain)
    })
}

/// The seed of a request, else the model's own; none is by chance.
fn seed(asked: Option<u64>, own: Option<u64>) -> Option<u64> {
    asked.or(own).filter(|&seed| seed != BY_CHANCE)
}

/// The sampler settings of a request: its own, then the model's, then the dialect's defaults.
///
/// # Errors
/// Names the setting that cannot be what was asked.
pub fn settings(model: &Loaded, request: &Request) -> Result<Settings, Failure> {
    let sampling = &request.sampling;
    let mut settings = model.settings(sampling.defaults);
    for (name, value) in &sampling.settings {
        settings
            .set(name, value)
            .map_err(|e| Failure::invalid(name, e.to_string()))?;
    }
    let vocab = model.engine().tokenizer().vocab_len();
    for &(id, bias) in &sampling.bias {
        if id as usize >= vocab {
            let message = format!("token {id} is not in the vocabulary, which has {vocab} tokens");
            return Err(Failure::invalid("logit_bias", message));
        }
        settings.logit_bias.push((id, bias));
    }
    for (text, bias) in &sampling.bias_texts {
        let ids = tokens(model.engine().tokenizer(), text);
        settings
            .logit_bias
            .extend(ids.into_iter().map(|id| (id, *bias)));
    }
    Ok(settings)
}

/// A seed from the system's random hash keys: 32 bits, so that it survives every JSON reader.
pub(super) fn random_seed() -> u64 {
    RandomState::new().hash_one(std::process::id()) & u64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chance_overrides_the_seed_of_the_model() {
        for (asked, own, expected) in [
            (None, None, None),
            (None, Some(3), Some(3)),
            (Some(7), Some(3), Some(7)),
            (Some(BY_CHANCE), Some(3), None),
            (Some(BY_CHANCE), None, None),
            (None, Some(BY_CHANCE), None),
        ] {
            assert_eq!(seed(asked, own), expected, "{asked:?} {own:?}");
        }
    }
}
