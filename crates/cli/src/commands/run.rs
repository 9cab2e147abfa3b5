//! `hearth run`: chat, or one answer.

use std::io::{self, IsTerminal, Write};

use anyhow::{Result, bail};
use hearth_chat::{Message, Reasoning, Tags};
use hearth_compute::Precision;
use hearth_engine::{Engine, Finish, Outcome, recommended, sampling::Settings};
use hearth_server::library::{BUILT_IN, Library, Located, Parameters, Voice, first_messages};
use hearth_store::Name;
use serde_json::json;

use crate::{
    chat::{self, Conversation, Printer},
    input::{self, Interrupt, Interrupted},
    model, network,
    progress::Progress,
    sampling,
};

/// What `hearth run` takes.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  hearth run                                 chat with bard, the built-in model
  hearth run model.gguf \"Why is the sky blue?\"
  cat notes.txt | hearth run model.gguf \"Summarise this:\"
  hearth run model.gguf \"Once\" --raw --temperature 0 --max-tokens 32 --json")]
pub(crate) struct Arguments {
    /// A name, a GGUF file, a model directory, or bard
    #[arg(default_value = BUILT_IN)]
    model: String,
    /// What to answer; without it, chat. Piped input is put behind it
    prompt: Vec<String>,
    /// Set the system message
    #[arg(long, value_name = "TEXT", conflicts_with = "raw")]
    system: Option<String>,
    /// Continue the prompt as it is, without a chat template; piped input is then read only without a prompt
    #[arg(long)]
    raw: bool,
    /// Most tokens of an answer
    #[arg(long, short = 'n', value_name = "N")]
    max_tokens: Option<usize>,
    /// End the answer before this text; may be repeated
    #[arg(long, value_name = "TEXT")]
    stop: Vec<String>,
    /// Go on where the model would end
    #[arg(long)]
    ignore_eos: bool,
    /// The same seed gives the same text, on any number of threads
    #[arg(long)]
    seed: Option<u64>,
    /// Compute with f32 activations and cache
    #[arg(long)]
    exact: bool,
    /// Print load time, speeds and memory after each answer
    #[arg(long, short)]
    verbose: bool,
    /// One JSON object in place of the text
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    machine: model::Machine,
    #[command(flatten)]
    sampling: sampling::Flags,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let prompt = prompt(arguments)?;
    let located = find_or_pull(&arguments.model)?;
    let checkpoint = located.open()?;
    let mut settings = recommended(&checkpoint, Settings::default());
    let mut options = chat::Options {
        settings: settings.clone(),
        seed: None,
        max_tokens: None,
        stops: Vec::new(),
        ignore_end: arguments.ignore_eos,
    };
    let package = located.package.as_ref();
    let defaults = package.map(Parameters::of).transpose()?.unwrap_or_default();
    defaults.apply(&mut settings);
    options.seed = defaults.seed;
    options.max_tokens = defaults.max_tokens;
    options.stops.extend(defaults.stops.iter().cloned());
    arguments.sampling.apply(&mut settings)?;
    options.settings = settings;
    options.seed = arguments.seed.or(options.seed);
    options.max_tokens = arguments.max_tokens.or(options.max_tokens);
    options.stops.extend(arguments.stop.iter().cloned());
    let precision = if arguments.exact {
        Precision::Exact
    } else {
        Precision::Fast
    };
    let engine = Engine::load(
        &checkpoint,
        machine(arguments, &defaults).options(precision),
    )?;
    let size = engine.predicted().peak() as u64;
    let _presence = located.announce(engine.context(), size, "run");
    let voice = Voice::of(&engine, &checkpoint, package)?;
    let mut conversation = Conversation::new(&engine, voice, options);
    if let Some(package) = package {
        conversation.messages = first_messages(package);
    }
    if let Some(system) = &arguments.system {
        conversation.set_system(system);
    }
    for note in &defaults.notes {
        eprintln!("note: {note}");
    }
    let interrupt = Interrupt::listen()?;
    match prompt {
        Some(prompt) => once(arguments, conversation, &prompt, &interrupt),
        None => {
            greet(arguments);
            input::give_terminal_back_when_stopped()?;
            chat::repl(conversation, interrupt, arguments.verbose)
        }
    }
}

/// The model, fetched if a registry or the hub has it and this machine does not.
fn find_or_pull(model: &str) -> Result<Located> {
    if let Some(located) = model::local(model)? {
        return Ok(located);
    }
    let (library, name) = (Library::open()?, Name::parse_source(model)?);
    if let Some(located) = library.find(&name)? {
        return Ok(located);
    }
    eprintln!("{name} is not on this machine, fetching it");
    network::pull(
        &library,
        &name,
        &library.remote(false),
        &Progress::new(false),
    )?;
    model::locate(model)
}

/// The flags, with what the model asks for where they say nothing.
fn machine(arguments: &Arguments, defaults: &Parameters) -> model::Machine {
    let given = &arguments.machine;
    model::Machine {
        threads: given.threads.or(defaults.threads),
        ctx: given.ctx.or(defaults.context),
        ..*given
    }
}

/// The prompt from the arguments and standard input; none means a chat.
fn prompt(arguments: &Arguments) -> Result<Option<String>> {
    let given = arguments.prompt.join(" ");
    if io::stdin().is_terminal() || (arguments.raw && !given.is_empty()) {
        if given.is_empty() && arguments.json {
            bail!("--json wants a prompt, as an argument or on standard input");
        }
        return Ok(Some(given).filter(|text| !text.is_empty()));
    }
    let piped = input::standard_input()?;
    let piped = if arguments.raw {
        piped.as_str()
    } else {
        piped.trim_end()
    };
    match (given.is_empty(), piped.is_empty()) {
        (true, true) => bail!(
            "no prompt: give one as an argument or on standard input, or run in a terminal to chat"
        ),
        (false, true) => Ok(Some(given)),
        (true, false) => Ok(Some(piped.to_owned())),
        (false, false) => Ok(Some(format!("{given}\n{piped}"))),
    }
}

fn greet(arguments: &Arguments) {
    if arguments.model == "bard" {
        eprintln!(
            "This is bard, a model of 5.8 million parameters inside this program. It imitates Shakespeare and knows nothing."
        );
    }
    eprintln!("/help lists the commands, /bye leaves.");
}

fn once(
    arguments: &Arguments,
    mut conversation: Conversation<'_>,
    prompt: &str,
    interrupt: &Interrupt,
) -> Result<()> {
    // A seed that is drawn here can be reported.
    let seed = *conversation
        .options
        .seed
        .get_or_insert_with(chat::random_seed);
    let text = if arguments.raw {
        prompt.to_owned()
    } else {
        conversation.messages.push(Message::new("user", prompt));
        conversation.prompt()?
    };
    let mut printer = Printer::new(interrupt, &text, arguments.raw, arguments.json);
    let outcome = if arguments.raw {
        conversation.continue_text(&text, |event| printer.event(event))
    } else {
        conversation.answer(|event| printer.event(event))
    };
    printer.finish()?;
    let outcome = outcome?;
    let mut out = io::stdout().lock();
    if arguments.json {
        writeln!(
            out,
            "{}",
            report(arguments, &conversation, &text, &outcome, seed)
        )?;
    } else {
        writeln!(out)?;
    }
    out.flush()?;
    if outcome.finish == Finish::Context {
        eprintln!(
            "the answer stopped where the context of {} tokens was full; --ctx gives more",
            conversation.engine.context()
        );
    }
    if arguments.verbose {
        chat::print_statistics(conversation.engine, &outcome, conversation.used());
    }
    if outcome.finish == Finish::Cancelled {
        Err(Interrupted.into())
    } else {
        Ok(())
    }
}

fn report(
    arguments: &Arguments,
    conversation: &Conversation<'_>,
    prompt: &str,
    outcome: &Outcome,
    seed: u64,
) -> serde_json::Value {
    let inside = prompt.trim_end().ends_with(&Tags::default().open);
    let (reasoning, text) = if arguments.raw {
        (None, outcome.text.clone())
    } else {
        Reasoning::split(Tags::default(), inside, &outcome.text)
    };
    let new = outcome.prompt_tokens - outcome.reused;
    json!({
        "model": arguments.model,
        "text": text,
        "reasoning": reasoning,
        "ids": outcome.ids,
        "finish": outcome.finish.name(),
        "prompt_tokens": outcome.prompt_tokens,
        "generated_tokens": outcome.ids.len(),
        "context": { "used": conversation.used(), "limit": conversation.engine.context(), "dropped": 0 },
        "seed": seed,
        "load_ms": conversation.engine.load_time().as_secs_f64() * 1e3,
        "prefill_tps": chat::rate(new, outcome.timing.prefill),
        "decode_tps": chat::rate(outcome.ids.len(), outcome.timing.decode),
    })
}
