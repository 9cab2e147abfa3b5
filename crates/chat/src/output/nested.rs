//! Reading arguments whose tags are named as the parameters and stand in each other.

use serde_json::{Map, Value};

use super::call::Head;
use super::json::quote;
use super::machine::{Broken, Machine, Read};
use super::tagged::typed;
use super::tool::Kind;

/// How deep tags may stand in each other; deeper ones are text.
const DEPTH: usize = 32;

impl Machine {
    /// `<key>value</key>…`, each tag behind `prefix`, up to an end tag.
    pub(super) async fn nested(&mut self, head: &mut Head, prefix: &str) -> Read {
        let tool = head.tool.ok_or(Broken)?;
        let (open, end) = (format!("{prefix}<"), format!("{prefix}</"));
        if self.feed.which(&[&open]).await.is_none() {
            return Err(Broken);
        }
        let call = self.begin_head(head)?;
        self.feed.arguments(call, "{");
        let mut first = true;
        loop {
            self.feed.record();
            self.feed.blank().await;
            if self.feed.which(&[&end]).await.is_some() || !self.feed.accept(&open).await {
                break;
            }
            let key = self.feed.until(">").await.ok_or(Broken)?;
            let comma = if first { "" } else { ", " };
            first = false;
            self.feed
                .arguments(call, &format!("{comma}{}: ", quote(&key)));
            self.feed.recorded();
            let close = format!("{end}{key}>");
            let kind = self.plan.tools[tool].kind(&key);
            if kind == Kind::Text {
                self.text_value(call, &close, false).await?;
            } else {
                let value = self.element(&format!("{open}{key}>"), &close).await?;
                self.feed.arguments(call, &tree(&value, prefix, DEPTH));
            }
        }
        self.feed.arguments(call, "}");
        Ok(())
    }

    /// The text of an element up to its end; elements of the same name may stand in it.
    async fn element(&mut self, open: &str, close: &str) -> Read<String> {
        let mut text = String::new();
        let mut depth = 0;
        loop {
            match self.feed.accept_any(&[open, close]).await {
                Some(0) => {
                    depth += 1;
                    text += open;
                }
                Some(_) if depth == 0 => return Ok(text),
                Some(_) => {
                    depth -= 1;
                    text += close;
                }
                None => text.push(self.feed.next().await.ok_or(Broken)?),
            }
        }
    }
}

/// The JSON of an element's text: `item`s are an array, other elements an object, the rest is a
/// literal or a string.
fn tree(text: &str, prefix: &str, depth: usize) -> String {
    let elements = match depth {
        0 => None,
        _ => elements(text.trim(), prefix),
    };
    let Some(elements) = elements else {
        return typed(text, false);
    };
    let each = elements.into_iter().map(|(key, text)| {
        let json = tree(text, prefix, depth - 1);
        let value = serde_json::from_str(&json).unwrap_or(Value::String(json));
        (key, value)
    });
    let (keys, values): (Vec<&str>, Vec<Value>) = each.unzip();
    if keys.iter().all(|&key| key == "item") {
        return Value::Array(values).to_string();
    }
    let keys = keys.into_iter().map(str::to_owned);
    let object: Map<String, Value> = keys.zip(values).collect();
    Value::Object(object).to_string()
}

/// The names and texts of the elements that a text consists of; `None` if it is no such text.
fn elements<'a>(text: &'a str, prefix: &str) -> Option<Vec<(&'a str, &'a str)>> {
    let mut found = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (key, behind) = rest
            .strip_prefix(prefix)?
            .strip_prefix('<')?
            .split_once('>')?;
        let (open, close) = (format!("{prefix}<{key}>"), format!("{prefix}</{key}>"));
        let (mut depth, mut at) = (0usize, 0);
        let end = loop {
            let next_close = at + behind[at..].find(&close)?;
            match behind[at..next_close].find(&open) {
                Some(place) => {
                    depth += 1;
                    at += place + open.len();
                }
                None if depth == 0 => break next_close,
                None => {
                    depth -= 1;
                    at = next_close + close.len();
                }
            }
        };
        found.push((key, &behind[..end]));
        rest = behind[end + close.len()..].trim_start();
    }
    (!found.is_empty()).then_some(found)
}
