//! Reading arguments that stand in tags of their own.

use super::call::Head;
use super::format::Tagged;
use super::json::{escaped, quote};
use super::machine::{Broken, Machine, Read};
use super::tool::Kind;

impl Machine {
    /// Arguments in tags up to one of `ends`, as a growing JSON object.
    pub(super) async fn tagged(
        &mut self,
        head: &mut Head,
        tagged: &Tagged,
        ends: &[String],
    ) -> Read {
        let tool = head.tool.ok_or(Broken)?;
        let here = [tagged.open];
        if self.feed.which(&here).await.is_none() && self.feed.which(ends).await.is_none() {
            return Err(Broken);
        }
        let call = self.begin_head(head)?;
        self.feed.arguments(call, "{");
        self.feed.record();
        let mut first = true;
        while self.feed.accept(tagged.open).await {
            let Ok((key, kind)) = self.key_of(tool, tagged).await else {
                self.feed.arguments(call, "}");
                return Err(Broken);
            };
            self.feed.recorded();
            let comma = if first { "" } else { ", " };
            first = false;
            let member = format!("{comma}{}: ", quote(&key));
            self.feed.arguments(call, &member);
            match kind {
                Kind::Text => self.text_value(call, tagged.close, tagged.framed).await?,
                Kind::Json | Kind::Mixed => self.typed_value(call, tagged).await?,
            }
            self.feed.record();
            self.feed.blank().await;
        }
        self.feed.arguments(call, "}");
        Ok(())
    }

    /// The key of an argument and what its value may be, up to where the value begins.
    async fn key_of(&mut self, tool: usize, tagged: &Tagged) -> Read<(String, Kind)> {
        let key = self.feed.until(tagged.key_end).await.ok_or(Broken)?;
        let key = key.trim().to_owned();
        let mut kind = self.plan.tools[tool].kind(&key);
        if let Some(end) = tagged.attributes {
            let attributes = self.feed.until(end).await.ok_or(Broken)?;
            kind = match tagged.types {
                Some((text, _)) if attributes.contains(text) => Kind::Text,
                Some((_, json)) if attributes.contains(json) => Kind::Json,
                _ => kind,
            };
        }
        if !tagged.value_open.is_empty() {
            self.feed.blank().await;
            if !self.feed.accept(tagged.value_open).await {
                return Err(Broken);
            }
        }
        Ok((key, kind))
    }

    /// A value that stands for itself, given out as it comes.
    pub(super) async fn text_value(&mut self, call: usize, close: &str, framed: bool) -> Read {
        self.feed.arguments(call, "\"");
        if framed {
            self.feed.accept_any(&["\n", "\r\n"]).await;
        }
        // A line break waits, since it may be the last one.
        let mut held = false;
        let quoted = self.feed.accept("<![CDATA[").await;
        let end = [if quoted { "]]>" } else { close }];
        while self.feed.accept_any(&end).await.is_none() {
            let next = self.feed.next().await.ok_or(Broken)?;
            if std::mem::take(&mut held) {
                self.feed.arguments(call, "\\n");
            }
            held = framed && next == '\n';
            if !held {
                self.feed.arguments(call, escaped(next, &mut [0; 8]));
            }
        }
        self.feed.arguments(call, "\"");
        if quoted {
            self.feed.blank().await;
            return match self.feed.accept(close).await {
                true => Ok(()),
                false => Err(Broken),
            };
        }
        Ok(())
    }

    /// A value that is JSON, or a text if it turns out not to be.
    async fn typed_value(&mut self, call: usize, tagged: &Tagged) -> Read {
        let mut text = String::new();
        while !self.feed.accept(tagged.close).await {
            let Some(next) = self.feed.next().await else {
                self.feed.arguments(call, text.trim());
                return Err(Broken);
            };
            text.push(next);
        }
        self.feed.arguments(call, &typed(&text, tagged.framed));
        Ok(())
    }
}

/// A text as JSON: what it is already, a word of Python's, or a string.
pub(super) fn typed(text: &str, framed: bool) -> String {
    let bare = text.trim();
    match bare {
        "True" => return "true".to_owned(),
        "False" => return "false".to_owned(),
        "None" => return "null".to_owned(),
        _ => {}
    }
    if serde_json::from_str::<serde::de::IgnoredAny>(bare).is_ok() {
        return bare.to_owned();
    }
    let mut text = text;
    if framed {
        text = text.strip_prefix('\n').unwrap_or(text);
        text = text.strip_suffix('\n').unwrap_or(text);
    }
    quote(text)
}
