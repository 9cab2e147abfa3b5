//! Reading output that consists of messages, each with a header that tells for whom it is.

use super::feed::Side;
use super::machine::{Broken, Machine, Read};

const START: &str = "<|start|>";
const CHANNEL: &str = "<|channel|>";
const MESSAGE: &str = "<|message|>";
/// What ends the text of a message; the last two begin the next one.
const ENDS: [&str; 7] = [
    "<|end|>",
    "<|call|>",
    "<|return|>",
    "<|eom|>",
    "<|eot|>",
    CHANNEL,
    START,
];
const CONSUMED: usize = 5;

/// All marks of messages.
pub(super) const MARKS: [&str; 9] = [
    "<|constrain|>",
    MESSAGE,
    ENDS[0],
    ENDS[1],
    ENDS[2],
    ENDS[3],
    ENDS[4],
    CHANNEL,
    START,
];

/// The longest header, in characters; what is longer is text.
const LONGEST_HEADER: usize = 1024;

/// For whom a message is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Receiver {
    Side(Side),
    Tool(usize),
    /// A tool that the request does not have.
    Unknown,
}

impl Machine {
    pub(super) async fn messages(&mut self) {
        let mut spoken = [false; 2];
        loop {
            self.feed.record();
            self.feed.blank().await;
            if self.feed.peek().await.is_none() {
                break;
            }
            let header = match self.begins_header().await {
                true => self.header().await,
                false => Some(String::new()),
            };
            let Some(header) = header else {
                // A header that is too long is text; one that was broken off says nothing, unless
                // it names a tool.
                let text = self.feed.recorded();
                if self.feed.peek().await.is_some() || text.contains("to=") {
                    self.feed.text(Side::Content, &text);
                    self.body(Side::Content).await;
                }
                continue;
            };
            match self.receiver(&header) {
                Receiver::Tool(tool) if self.may_call() => {
                    let rest = self.message_call(tool).await;
                    self.feed.text(Side::Content, &rest);
                }
                Receiver::Tool(_) | Receiver::Unknown => {
                    let text = self.feed.recorded();
                    self.feed.text(Side::Content, &text);
                    self.body(Side::Content).await;
                }
                Receiver::Side(side) => {
                    let text = self.feed.recorded();
                    let text = if header.is_empty() { &*text } else { "" };
                    let before = &mut spoken[usize::from(side == Side::Content)];
                    if std::mem::replace(before, true) {
                        self.feed.text(side, "\n\n");
                    }
                    self.feed.text(side, text);
                    self.body(side).await;
                }
            }
        }
    }

    /// Whether a header stands here, and not text.
    async fn begins_header(&mut self) -> bool {
        let begins = [START, CHANNEL, MESSAGE, "to="];
        self.feed.which(&begins).await.is_some()
    }

    /// A header, up to and with the mark that begins the text.
    async fn header(&mut self) -> Option<String> {
        let mut header = String::new();
        for _ in 0..LONGEST_HEADER {
            if self.feed.accept(MESSAGE).await {
                return Some(header + MESSAGE);
            }
            header.push(self.feed.next().await?);
        }
        None
    }

    fn receiver(&self, header: &str) -> Receiver {
        let word = |text: &str| {
            let end = text.find(|next: char| next.is_whitespace() || next == '<');
            text[..end.unwrap_or(text.len())].to_owned()
        };
        let channel = header.rsplit_once(CHANNEL).map(|(_, text)| word(text));
        let recipient = header.rsplit_once("to=").map(|(_, text)| word(text));
        let side = match (recipient.as_deref(), channel.as_deref()) {
            (Some("self"), _) => Side::Reasoning,
            (None | Some("user" | "all" | "assistant"), Some("analysis")) => Side::Reasoning,
            (None | Some("user" | "all" | "assistant"), _) => Side::Content,
            (Some(name), _) => {
                return self.tool(name).map_or(Receiver::Unknown, Receiver::Tool);
            }
        };
        match self.plan.reasoning {
            true => Receiver::Side(side),
            false => Receiver::Side(Side::Content),
        }
    }

    /// The text of a message, up to what ends it.
    async fn body(&mut self, side: Side) {
        while !self.ended().await {
            // There is a character: the text has not ended.
            if let Some(next) = self.feed.next().await {
                self.feed.text(side, next.encode_utf8(&mut [0; 4]));
            }
        }
    }

    /// Whether the message ends here; takes the mark that ends it.
    async fn ended(&mut self) -> bool {
        match self.feed.which(&ENDS).await {
            Some(found) if found < CONSUMED => self.feed.accept(ENDS[found]).await,
            Some(_) => true,
            None => self.feed.peek().await.is_none(),
        }
    }

    /// A message to a tool: its arguments, or a section of calls. Returns what belongs to none.
    async fn message_call(&mut self, tool: usize) -> String {
        self.feed.blank().await;
        let sections = self.plan.row.sections;
        for (index, section) in sections.iter().enumerate() {
            if self.feed.accept_any(section.opens).await.is_some() {
                let rest = self.section(index).await;
                self.feed.blank().await;
                self.ended().await;
                return rest;
            }
        }
        let complete = self.json_message(tool).await;
        let cut = self.writing && self.feed.peek().await.is_none();
        self.writing = false;
        match complete.is_ok() || cut {
            true => String::new(),
            false => {
                let rest = self.feed.recorded();
                self.feed.text(Side::Content, &rest);
                self.body(Side::Content).await;
                String::new()
            }
        }
    }

    async fn json_message(&mut self, tool: usize) -> Read {
        let mut head = super::call::Head {
            tool: Some(tool),
            id: None,
        };
        self.json_arguments(&mut head).await?;
        self.feed.blank().await;
        match self.ended().await {
            true => Ok(()),
            false => Err(Broken),
        }
    }
}
