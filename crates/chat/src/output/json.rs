//! Reading JSON as it comes, and calls that are written as JSON objects.

use super::call::Head;
use super::format::{Keys, Section};
use super::machine::{Broken, Machine, Read};

const NAMES: [&str; 3] = ["name", "tool_name", "function_name"];
const ARGUMENTS: [&str; 3] = ["arguments", "parameters", "args"];
const IDS: [&str; 2] = ["id", "tool_call_id"];
const WRAPPERS: [&str; 2] = ["function", "tool_call"];

/// The longest number, in characters; longer ones are no numbers.
const LONGEST_WORD: usize = 4096;

/// Where text that is read goes.
#[derive(Debug)]
pub(super) enum Out {
    /// To the arguments of this call.
    Call(usize),
    /// Kept.
    Kept(String),
}

/// A text as a JSON string.
pub(super) fn quote(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A character as it stands inside a JSON string.
pub(super) fn escaped(character: char, buffer: &mut [u8; 8]) -> &str {
    match character {
        '"' => "\\\"",
        '\\' => "\\\\",
        '\n' => "\\n",
        '\r' => "\\r",
        '\t' => "\\t",
        control if control < ' ' => {
            const DIGITS: &[u8; 16] = b"0123456789abcdef";
            let code = control as usize;
            *buffer = *b"\\u0000  ";
            buffer[4] = DIGITS[code >> 4];
            buffer[5] = DIGITS[code & 15];
            str::from_utf8(&buffer[..6]).unwrap_or_default()
        }
        other => other.encode_utf8(buffer),
    }
}

/// What is known of a call's object so far.
#[derive(Debug, Default)]
struct Found {
    head: Head,
    /// Arguments that came before the name, or that wait for the id.
    kept: Option<String>,
    begun: bool,
}

impl Found {
    /// Whether the call can be given out though its end is missing.
    fn is_complete(&self) -> bool {
        self.begun || self.head.tool.is_some() && self.kept.is_some()
    }
}

impl Machine {
    pub(super) fn put(&mut self, out: &mut Out, text: &str) {
        match out {
            Out::Call(index) => self.feed.arguments(*index, text),
            Out::Kept(kept) => kept.push_str(text),
        }
    }

    async fn put_next(&mut self, out: &mut Out) -> Read {
        let next = self.feed.next().await.ok_or(Broken)?;
        self.put(out, next.encode_utf8(&mut [0; 4]));
        Ok(())
    }

    /// Reads a JSON value, keeping its text as it is. Takes nothing that cannot belong to one.
    pub(super) async fn value(&mut self, out: &mut Out) -> Read {
        // The ends of the arrays and objects that are open.
        let mut open: Vec<char> = Vec::new();
        loop {
            match self.feed.peek().await.ok_or(Broken)? {
                bracket @ ('{' | '[') => {
                    self.put_next(out).await?;
                    open.push(if bracket == '{' { '}' } else { ']' });
                    self.put_blank(out).await;
                    if self.feed.peek().await == open.last().copied() {
                        self.put_next(out).await?;
                        open.pop();
                    } else if bracket == '{' {
                        self.key(out).await?;
                        continue;
                    } else {
                        continue;
                    }
                }
                '"' => self.text(out).await?,
                _ => self.bare_word(out).await?,
            }
            if self.after_value(out, &mut open).await? {
                return Ok(());
            }
        }
    }

    /// Closes what ends behind a value; `true` if all is closed, else another value follows.
    async fn after_value(&mut self, out: &mut Out, open: &mut Vec<char>) -> Read<bool> {
        while let Some(&end) = open.last() {
            self.put_blank(out).await;
            let next = self.feed.peek().await.ok_or(Broken)?;
            if next == end {
                self.put_next(out).await?;
                open.pop();
            } else if next == ',' {
                self.put_next(out).await?;
                self.put_blank(out).await;
                if end == '}' {
                    self.key(out).await?;
                }
                return Ok(false);
            } else {
                return Err(Broken);
            }
        }
        Ok(true)
    }

    async fn put_blank(&mut self, out: &mut Out) {
        while let Some(' ' | '\n' | '\r' | '\t') = self.feed.peek().await {
            // There is a character: this cannot fail.
            let _ = self.put_next(out).await;
        }
    }

    async fn key(&mut self, out: &mut Out) -> Read {
        self.text(out).await?;
        self.put_blank(out).await;
        if self.feed.peek().await != Some(':') {
            return Err(Broken);
        }
        self.put_next(out).await?;
        self.put_blank(out).await;
        Ok(())
    }

    /// A string. Models put line breaks into them: those are escaped.
    async fn text(&mut self, out: &mut Out) -> Read {
        if self.feed.peek().await != Some('"') {
            return Err(Broken);
        }
        self.put_next(out).await?;
        loop {
            match self.feed.peek().await.ok_or(Broken)? {
                '"' => return self.put_next(out).await,
                '\\' => {
                    self.put_next(out).await?;
                    self.put_next(out).await?;
                }
                control if control < ' ' => {
                    self.feed.next().await;
                    self.put(out, escaped(control, &mut [0; 8]));
                }
                _ => self.put_next(out).await?,
            }
        }
    }

    /// A number, `true`, `false` or `null`.
    async fn bare_word(&mut self, out: &mut Out) -> Read {
        let mut length = 0;
        while let Some(next) = self.feed.at(length).await
            && (next.is_ascii_alphanumeric() || "+-.".contains(next))
            && length <= LONGEST_WORD
        {
            length += 1;
        }
        let mut word = String::with_capacity(length);
        for index in 0..length {
            word.extend(self.feed.at(index).await);
        }
        serde_json::from_str::<serde_json::Value>(&word).map_err(|_| Broken)?;
        for _ in 0..length {
            self.feed.next().await;
        }
        self.put(out, &word);
        Ok(())
    }

    /// A string, decoded.
    async fn decoded(&mut self) -> Read<String> {
        let mut out = Out::Kept(String::new());
        self.text(&mut out).await?;
        let Out::Kept(text) = out else {
            return Err(Broken);
        };
        serde_json::from_str(&text).map_err(|_| Broken)
    }

    /// A value that is kept.
    async fn kept(&mut self) -> Read<String> {
        let mut out = Out::Kept(String::new());
        self.value(&mut out).await?;
        match out {
            Out::Kept(text) => Ok(text),
            Out::Call(_) => Err(Broken),
        }
    }

    /// The arguments of a call whose name is known.
    pub(super) async fn json_arguments(&mut self, head: &mut Head) -> Read {
        if self.feed.peek().await != Some('{') {
            return Err(Broken);
        }
        let index = self.begin_head(head)?;
        self.value(&mut Out::Call(index)).await?;
        self.feed.record();
        Ok(())
    }

    /// A call as an object that holds its name and arguments, in any order and under any of the
    /// keys in use.
    pub(super) async fn object(&mut self, section: &Section, keys: Keys) -> Read {
        let mut found = Found::default();
        let mut depth = 0;
        loop {
            if !self.feed.accept("{").await {
                return Err(Broken);
            }
            depth += 1;
            self.feed.blank().await;
            // Members follow; a wrapper's value is an object of the same kind.
            loop {
                if self.feed.accept("}").await {
                    depth -= 1;
                    self.feed.blank().await;
                    if depth == 0 {
                        return self.end_object(section, found).await;
                    }
                } else if self.member(section, keys, &mut found).await? {
                    break;
                }
                self.feed.blank().await;
                if self.feed.accept(",").await {
                    self.feed.blank().await;
                } else if self.feed.peek().await.is_none() && found.is_complete() {
                    return self.end_object(section, found).await;
                } else if self.feed.peek().await != Some('}') {
                    return Err(Broken);
                }
            }
        }
    }

    /// One member; `true` if an object follows that wraps the call.
    async fn member(&mut self, section: &Section, keys: Keys, found: &mut Found) -> Read<bool> {
        let key = self.decoded().await?;
        self.feed.blank().await;
        if !self.feed.accept(":").await {
            return Err(Broken);
        }
        self.feed.blank().await;
        let next = self.feed.peek().await.ok_or(Broken)?;
        let is = |list: &[&str]| list.contains(&&*key);
        let by_name = self
            .tool(&key)
            .filter(|_| keys == Keys::Named && next == '{');
        if let Some(tool) = by_name {
            found.head.tool = Some(tool);
            self.arguments(false, found).await?;
        } else if is(&NAMES) && next == '"' {
            let name = self.decoded().await?;
            found.head.tool = Some(self.tool(&name).ok_or(Broken)?);
            if let Some(arguments) = found.kept.take_if(|_| !late(keys)) {
                self.give(found, &arguments)?;
            }
        } else if is(&ARGUMENTS) {
            self.arguments(late(keys), found).await?;
        } else if is(&IDS) {
            let id = self.kept().await?;
            found.head.id = Some(serde_json::from_str(&id).unwrap_or(id));
        } else if is(&WRAPPERS) && next == '{' {
            return Ok(true);
        } else if section.bare && key != "type" {
            // An object of the answer itself.
            return Err(Broken);
        } else {
            self.kept().await?;
        }
        Ok(false)
    }

    /// The arguments: given out as they come where the head is known by now.
    async fn arguments(&mut self, late: bool, found: &mut Found) -> Read {
        if found.begun || found.kept.is_some() {
            return self.kept().await.map(drop);
        }
        let ready = found.head.tool.is_some() && !late;
        match self.feed.peek().await {
            Some('{') if ready => {
                found.begun = true;
                let index = self.begin_head(&mut found.head)?;
                self.value(&mut Out::Call(index)).await?;
                self.feed.record();
                return Ok(());
            }
            Some('{') => found.kept = Some(self.kept().await?),
            // Some models write the object as a string.
            Some('"') => {
                let text = self.decoded().await?;
                let object: Result<serde_json::Map<_, _>, _> = serde_json::from_str(&text);
                found.kept = Some(object.map(|_| text).map_err(|_| Broken)?);
            }
            _ if self.kept().await? == "null" => found.kept = Some("{}".to_owned()),
            _ => return Err(Broken),
        }
        if ready && let Some(arguments) = found.kept.take() {
            self.give(found, &arguments)?;
        }
        Ok(())
    }

    fn give(&mut self, found: &mut Found, arguments: &str) -> Read {
        found.begun = true;
        let index = self.begin_head(&mut found.head)?;
        self.feed.arguments(index, arguments);
        self.feed.record();
        Ok(())
    }

    async fn end_object(&mut self, section: &Section, mut found: Found) -> Read {
        if found.begun {
            return Ok(());
        }
        let arguments = match found.kept.take() {
            Some(arguments) => arguments,
            None if section.bare => return Err(Broken),
            None => "{}".to_owned(),
        };
        self.give(&mut found, &arguments)
    }
}

/// Whether the id comes behind the arguments, so that they have to wait for it.
fn late(keys: Keys) -> bool {
    matches!(keys, Keys::IdLast(..))
}
