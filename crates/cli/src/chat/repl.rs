//! The chat in the terminal.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use hearth_chat::{Message, Reasoning, Tags};
use hearth_engine::Finish;
use rustyline::{DefaultEditor, error::ReadlineError};

use super::{
    conversation::Conversation,
    printer::{Printer, print_statistics},
};
use crate::{
    input::{self, Interrupt},
    sampling,
};

const HELP: &str = "\
/help                  this list
/system [TEXT]         set the system message; without a text, take it away
/set [NAME VALUE]      change a sampler setting, seed, max-tokens or verbose; alone, list them
/show                  the model, the context and the settings
/show template         the chat template
/clear                 begin again, keeping the system message
/save FILE             write the conversation to a file
/load FILE             go on with a conversation from a file
/bye                   leave (Ctrl-D does too)
\"\"\"                    begin and end a text of several lines; a \\ at the end of a line goes on, too
Ctrl-C                 stop the answer and keep the chat";

/// The state of the terminal beside the conversation.
struct Repl<'e> {
    conversation: Conversation<'e>,
    interrupt: Interrupt,
    verbose: bool,
}

/// Reads and answers until the user leaves.
pub(crate) fn repl(
    conversation: Conversation<'_>,
    interrupt: Interrupt,
    verbose: bool,
) -> Result<()> {
    let mut editor = DefaultEditor::new()?;
    let history = history_file();
    if let Some(path) = &history {
        // No history yet is no failure.
        let _ = editor.load_history(path);
    }
    let mut repl = Repl {
        conversation,
        interrupt,
        verbose,
    };
    while let Some(text) = read(&mut editor)? {
        if text.trim().is_empty() {
            continue;
        }
        editor.add_history_entry(&text)?;
        if let Some(path) = &history {
            // A history that cannot be kept must not end the chat.
            let _ = editor.append_history(path);
        }
        let done = match text.trim().strip_prefix('/') {
            Some(command) => repl.command(command),
            None => repl.answer(&text).map(|()| false),
        };
        match done {
            Ok(true) => break,
            Ok(false) => {}
            Err(error) => eprintln!("error: {error:#}"),
        }
    }
    Ok(())
}

/// One input, perhaps of several lines; none at the end.
fn read(editor: &mut DefaultEditor) -> Result<Option<String>> {
    let mut text = String::new();
    let mut quoted = false;
    loop {
        let prompt = if text.is_empty() && !quoted {
            ">>> "
        } else {
            "... "
        };
        let line = match editor.readline(prompt) {
            Ok(line) => line,
            Err(ReadlineError::Interrupted) if text.is_empty() && !quoted => {
                eprintln!("/bye or Ctrl-D to leave");
                return Ok(Some(String::new()));
            }
            Err(ReadlineError::Interrupted) => return Ok(Some(String::new())),
            Err(ReadlineError::Eof) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let mut rest = line.as_str();
        if !quoted
            && text.is_empty()
            && let Some(after) = rest.strip_prefix("\"\"\"")
        {
            quoted = true;
            rest = after;
        }
        if quoted && let Some(last) = rest.strip_suffix("\"\"\"") {
            text.push_str(last);
            return Ok(Some(text));
        }
        match rest.strip_suffix('\\') {
            Some(begun) if !quoted => text.push_str(begun),
            _ => text.push_str(rest),
        }
        if !quoted && !rest.ends_with('\\') {
            return Ok(Some(text));
        }
        if !(quoted && rest.is_empty() && text.is_empty()) {
            text.push('\n');
        }
    }
}

impl Repl<'_> {
    /// Adds the user's turn, prints the answer and keeps both; a turn that fails is taken back.
    fn answer(&mut self, text: &str) -> Result<()> {
        let before = self.conversation.messages.len();
        self.conversation.messages.push(Message::new("user", text));
        let result = self.speak();
        if result.is_err() {
            self.conversation.messages.truncate(before);
        }
        result
    }

    fn speak(&mut self) -> Result<()> {
        let prompt = self.conversation.prompt()?;
        self.interrupt.take();
        let mut printer = Printer::new(&self.interrupt, &prompt, false, false);
        let outcome = self.conversation.answer(|event| printer.event(event));
        printer.finish()?;
        self.interrupt.take();
        let outcome = outcome?;
        writeln!(io::stdout(), "\n")?;
        let inside = prompt.trim_end().ends_with(&Tags::default().open);
        let (reasoning, answer) = Reasoning::split(Tags::default(), inside, &outcome.text);
        let message = Message {
            reasoning,
            ..Message::new("assistant", answer)
        };
        self.conversation.messages.push(message);
        match outcome.finish {
            Finish::Context => eprintln!(
                "the context of {} tokens is full; /clear begins again, --ctx gives more",
                self.conversation.engine.context()
            ),
            Finish::Length => eprintln!("the answer reached its limit of tokens (/set max-tokens)"),
            _ => {}
        }
        if self.verbose {
            print_statistics(self.conversation.engine, &outcome, self.conversation.used());
        }
        Ok(())
    }

    /// Runs a command; true where the user leaves.
    fn command(&mut self, command: &str) -> Result<bool> {
        let (name, rest) = command
            .split_once(char::is_whitespace)
            .unwrap_or((command, ""));
        let rest = rest.trim();
        match name {
            "help" | "?" => eprintln!("{HELP}"),
            "bye" | "exit" | "quit" => return Ok(true),
            "system" => self.conversation.set_system(rest),
            "set" => self.set(rest)?,
            "show" => self.show(rest),
            "clear" => self
                .conversation
                .messages
                .retain(|message| message.role == "system"),
            "save" => save(Path::new(file_name(rest)?), &self.conversation.to_json()?)?,
            "load" => {
                let text = input::file(Path::new(file_name(rest)?))?;
                self.conversation.load(&text)?;
                eprintln!("{} messages", self.conversation.messages.len());
            }
            _ => bail!("there is no /{name}; /help lists the commands"),
        }
        Ok(false)
    }

    fn set(&mut self, text: &str) -> Result<()> {
        let options = &mut self.conversation.options;
        let (name, value) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        let value = value.trim();
        let number = || {
            value
                .parse()
                .with_context(|| format!("{name} wants a whole number, not '{value}'"))
        };
        match name {
            "" => self.show(""),
            "verbose" => self.verbose = !matches!(value, "off" | "false" | "0"),
            "system" => self.conversation.set_system(value),
            "seed" => options.seed = Some(number()?),
            "max-tokens" | "max_tokens" => options.max_tokens = Some(number()? as usize),
            _ => sampling::set(&mut options.settings, name, value)?,
        }
        Ok(())
    }

    fn show(&self, what: &str) {
        let conversation = &self.conversation;
        if what == "template" {
            eprintln!("{}", conversation.template());
            return;
        }
        let spec = conversation.engine.model().spec();
        eprintln!(
            "model     {}, {} layers of width {}",
            spec.family,
            spec.layers.len(),
            spec.width
        );
        eprintln!("template  {}", conversation.voice.origin);
        eprintln!(
            "context   {} of {} tokens used, 0 dropped",
            conversation.used(),
            conversation.engine.context()
        );
        let system = conversation
            .messages
            .iter()
            .find(|message| message.role == "system");
        eprintln!(
            "system    {}",
            system.map_or("none".to_owned(), Message::text)
        );
        let options = &conversation.options;
        eprintln!(
            "seed      {}",
            options
                .seed
                .map_or("a new one each time".to_owned(), |s| s.to_string())
        );
        eprintln!(
            "max-tokens {}",
            options
                .max_tokens
                .map_or("none".to_owned(), |n| n.to_string())
        );
        if let Ok(serde_json::Value::Object(settings)) = serde_json::to_value(&options.settings) {
            settings
                .iter()
                .for_each(|(name, value)| eprintln!("{name} = {value}"));
        }
    }
}

fn file_name(text: &str) -> Result<&str> {
    if text.is_empty() {
        bail!("which file? /save FILE, /load FILE");
    }
    Ok(text)
}

/// Writes beside the file and then renames, so that a full disk or a crash leaves the old file or the new one.
fn save(path: &Path, text: &str) -> Result<()> {
    let directory = path
        .parent()
        .filter(|p| !p.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let write = || -> io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(directory)?;
        file.write_all(text.as_bytes())?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|e| e.error)?;
        Ok(())
    };
    write().with_context(|| format!("{} was not saved", path.display()))
}

/// Where inputs are kept; none where there is no home.
fn history_file() -> Option<PathBuf> {
    let state = std::env::var_os("XDG_STATE_HOME")
        .map(PathBuf::from)
        .filter(|p| p.is_absolute());
    let directory = state
        .or_else(|| Some(std::env::home_dir()?.join(".local/state")))?
        .join("hearth");
    fs::create_dir_all(&directory).ok()?;
    Some(directory.join("history"))
}
