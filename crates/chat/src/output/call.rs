//! Reading calls, step by step.

use super::format::{Section, Step};
use super::machine::{Broken, Machine, Read};

/// Models put JSON in fences.
const FENCES: [&str; 4] = ["```json", "```xml", "```tool_code", "```"];

/// The names of tools that execute code.
const INTERPRETERS: [&str; 3] = ["code_interpreter", "python", "ipython"];

/// The longest id, in characters.
const LONGEST_ID: usize = 256;

/// What is known of a call before its arguments.
#[derive(Debug, Default)]
pub(super) struct Head {
    pub(super) tool: Option<usize>,
    pub(super) id: Option<String>,
}

impl Machine {
    /// Reads section `index` behind the text that begins it. Returns what was read but belongs to
    /// no call: all of it where no call was given out.
    pub(super) async fn section(&mut self, index: usize) -> String {
        let section = &self.plan.row.sections[index];
        let before = self.calls;
        let complete = self.calls_of(section, index).await.is_ok();
        let rest = self.feed.recorded();
        // Of a call that the model broke off, the arguments so far were given out.
        let cut = self.writing && self.feed.peek().await.is_none();
        self.writing = false;
        match (complete || cut) && self.calls > before {
            true => String::new(),
            false => rest,
        }
    }

    async fn calls_of(&mut self, section: &Section, index: usize) -> Read {
        self.feed.blank().await;
        self.feed.accept_any(&FENCES).await;
        self.feed.blank().await;
        let list = section.list && self.feed.accept("[").await;
        loop {
            if !self.may_call() {
                return Err(Broken);
            }
            self.call(section, index).await?;
            self.writing = false;
            self.feed.record();
            self.feed.blank().await;
            if list {
                if self.feed.accept(",").await {
                    self.feed.blank().await;
                    continue;
                }
                if self.feed.peek().await.is_some() && !self.feed.accept("]").await {
                    return Err(Broken);
                }
                break;
            }
            if !section.many {
                break;
            }
            let separated = self.feed.accept_any(section.separators).await.is_some();
            self.feed.blank().await;
            if !self.begins_call(section).await {
                if separated && self.feed.peek().await.is_some() {
                    return Err(Broken);
                }
                break;
            }
        }
        self.feed.blank().await;
        self.feed.accept_any(&FENCES).await;
        self.feed.blank().await;
        if !self.plan.closes[index].is_empty() {
            self.feed.accept_any(&self.plan.closes[index]).await;
        }
        Ok(())
    }

    /// Whether another call begins here.
    async fn begins_call(&mut self, section: &Section) -> bool {
        match section.steps.first() {
            Some(Step::Text(text)) => self.feed.which(&[*text]).await.is_some(),
            Some(Step::Object(_)) => self.feed.peek().await == Some('{'),
            Some(Step::Name) => self.feed.which(&self.plan.names).await.is_some(),
            _ => false,
        }
    }

    /// Reads one call.
    async fn call(&mut self, section: &Section, index: usize) -> Read {
        let mut head = Head::default();
        for (at, step) in section.steps.iter().enumerate() {
            self.feed.blank().await;
            let next = section.steps.get(at + 1);
            match *step {
                Step::Text(text) => self.expect(text, at, section).await?,
                Step::Maybe(texts) => drop(self.feed.accept_any(texts).await),
                Step::Skip(text) => drop(self.feed.until(text).await.ok_or(Broken)?),
                Step::Name => {
                    let found = self.feed.accept_any(&self.plan.names).await;
                    head.tool = Some(found.ok_or(Broken)?);
                }
                Step::Interpreter => {
                    let known = INTERPRETERS.iter().find_map(|name| self.tool(name));
                    head.tool = Some(known.ok_or(Broken)?);
                }
                Step::Id(end) => head.id = Some(self.id(end).await?),
                Step::MaybeId(before, end) => {
                    if self.feed.accept(before).await {
                        head.id = Some(self.id(end).await?);
                    } else if !self.feed.accept(end).await {
                        return Err(Broken);
                    }
                }
                Step::NameInId => self.name_in_id(&mut head, next).await?,
                Step::Json => self.json_arguments(&mut head).await?,
                Step::Object(keys) => self.object(section, keys).await?,
                Step::Tagged(tagged) => {
                    let mut ends = self.plan.closes[index].clone();
                    if let Some(Step::Text(end)) = next {
                        ends = vec![(*end).to_owned()];
                    }
                    self.tagged(&mut head, &tagged, &ends).await?;
                }
                Step::Python => self.python(&mut head).await?,
                Step::Quoted(mark) => self.quoted(&mut head, mark).await?,
                Step::Nested(prefix) => self.nested(&mut head, prefix).await?,
                Step::Code(name) => self.code(&mut head, name, index).await?,
            }
        }
        Ok(())
    }

    /// Takes a text of the call; one behind the arguments may be missing at the end of all.
    async fn expect(&mut self, text: &str, at: usize, section: &Section) -> Read {
        let arguments = |step: &Step| {
            !matches!(
                step,
                Step::Text(_) | Step::Maybe(_) | Step::Name | Step::Skip(_) | Step::Id(_)
            )
        };
        let behind = section.steps[..at].iter().any(arguments);
        match self.feed.accept(text).await || behind && self.feed.peek().await.is_none() {
            true => Ok(()),
            false => Err(Broken),
        }
    }

    async fn id(&mut self, end: &str) -> Read<String> {
        let mut id = String::new();
        for _ in 0..LONGEST_ID {
            if self.feed.accept(end).await {
                return Ok(id.trim().to_owned());
            }
            id.push(self.feed.next().await.ok_or(Broken)?);
        }
        Err(Broken)
    }

    /// `functions.NAME:NUMBER`, all of which is the id.
    async fn name_in_id(&mut self, head: &mut Head, next: Option<&Step>) -> Read {
        let Some(Step::Text(end)) = next else {
            return Err(Broken);
        };
        let mut id = String::new();
        while self.feed.which(&[*end]).await.is_none() && id.len() < LONGEST_ID {
            id.push(self.feed.next().await.ok_or(Broken)?);
        }
        let id = id.trim();
        let name = id.strip_prefix("functions.").unwrap_or(id);
        let (name, numbered) = match name.rsplit_once(':') {
            Some((name, number)) if number.parse::<u64>().is_ok() => (name, true),
            _ => (name, false),
        };
        head.tool = Some(self.tool(name).ok_or(Broken)?);
        head.id = numbered.then(|| id.to_owned());
        Ok(())
    }

    /// The tool that the model calls by this name.
    pub(super) fn tool(&self, name: &str) -> Option<usize> {
        let bare = name.strip_prefix("functions.").unwrap_or(name);
        let named = |wanted: &str| self.plan.names.iter().position(|known| known == wanted);
        named(name).or_else(|| named(bare))
    }

    /// Begins the call of `head`.
    pub(super) fn begin_head(&mut self, head: &mut Head) -> Read<usize> {
        let tool = head.tool.ok_or(Broken)?;
        Ok(self.begin(tool, head.id.take()))
    }

    /// The rest of the section as the text of one argument.
    async fn code(&mut self, head: &mut Head, name: &str, index: usize) -> Read {
        if self.feed.peek().await.is_none() {
            return Err(Broken);
        }
        let call = self.begin_head(head)?;
        let open = format!("{{{}: \"", super::json::quote(name));
        self.feed.arguments(call, &open);
        loop {
            let ended = match self.plan.closes[index].is_empty() {
                true => false,
                false => self.feed.which(&self.plan.closes[index]).await.is_some(),
            };
            match self.feed.peek().await {
                Some(next) if !ended => {
                    self.feed.next().await;
                    self.feed
                        .arguments(call, super::json::escaped(next, &mut [0; 8]));
                }
                _ => break,
            }
        }
        self.feed.arguments(call, "\"}");
        Ok(())
    }
}
