//! Reading arguments that are written as literals of Python, or with keys and strings in marks.

use super::call::Head;
use super::json::{escaped, quote};
use super::machine::{Broken, Machine, Read};
use super::tagged::typed;

/// The longest word that is no string, in characters.
const LONGEST_WORD: usize = 65_536;

/// How strings and keys are written.
#[derive(Debug, Clone, Copy)]
enum Style<'a> {
    Python,
    /// Strings stand between these marks, keys stand bare.
    Quoted(&'a str),
}

impl Machine {
    /// `key=literal, …)` behind the opening parenthesis.
    pub(super) async fn python(&mut self, head: &mut Head) -> Read {
        let tool = head.tool.ok_or(Broken)?;
        let call = self.begin_head(head)?;
        self.feed.arguments(call, "{");
        let mut count = 0;
        loop {
            self.feed.record();
            self.feed.blank().await;
            if self.feed.accept(")").await {
                break;
            }
            if count > 0 {
                self.feed.arguments(call, ", ");
            }
            let key = self.keyword(tool, count).await?;
            let key = format!("{}: ", quote(&key));
            self.feed.arguments(call, &key);
            self.literal(call, Style::Python).await?;
            count += 1;
            self.feed.blank().await;
            if !self.feed.accept(",").await && self.feed.peek().await != Some(')') {
                return Err(Broken);
            }
        }
        self.feed.arguments(call, "}");
        Ok(())
    }

    /// `key=`, or the name of the parameter at this position where the value stands alone.
    async fn keyword(&mut self, tool: usize, position: usize) -> Read<String> {
        let mut length = 0;
        while let Some(next) = self.feed.at(length).await
            && (next.is_alphanumeric() || next == '_')
            && length < 256
        {
            length += 1;
        }
        let mut behind = length;
        while self.feed.at(behind).await.is_some_and(char::is_whitespace) && behind < 512 {
            behind += 1;
        }
        if length > 0 && self.feed.at(behind).await == Some('=') {
            let mut key = String::new();
            for at in 0..=behind {
                key.extend(self.feed.next().await.filter(|_| at < length));
            }
            self.feed.blank().await;
            return Ok(key);
        }
        let mut names = self.plan.tools[tool].parameter_names();
        names.nth(position).map(str::to_owned).ok_or(Broken)
    }

    /// `{key:value, …}` with strings between marks.
    pub(super) async fn quoted(&mut self, head: &mut Head, mark: &str) -> Read {
        if self.feed.peek().await != Some('{') {
            return Err(Broken);
        }
        let call = self.begin_head(head)?;
        self.feed.record();
        self.literal(call, Style::Quoted(mark)).await?;
        Ok(())
    }

    /// One literal, given out as JSON.
    async fn literal(&mut self, call: usize, style: Style<'_>) -> Read {
        // What ends the lists and maps that are open, here and in JSON.
        let mut open: Vec<(char, char)> = Vec::new();
        loop {
            self.feed.blank().await;
            let next = self.feed.peek().await.ok_or(Broken)?;
            let pair = match next {
                '{' => Some(('}', '{', '}')),
                '[' => Some((']', '[', ']')),
                '(' if matches!(style, Style::Python) => Some((')', '[', ']')),
                _ => None,
            };
            match pair {
                Some((end, json_open, json_end)) => {
                    self.feed.next().await;
                    self.feed
                        .arguments(call, json_open.encode_utf8(&mut [0; 4]));
                    open.push((end, json_end));
                    self.feed.blank().await;
                    if self.feed.peek().await != Some(end) {
                        if json_end == '}' {
                            self.map_key(call, style).await?;
                        }
                        continue;
                    }
                }
                None => {
                    self.scalar(call, style, open.last().map(|open| open.0))
                        .await?
                }
            }
            if self.after_literal(call, style, &mut open).await? {
                return Ok(());
            }
        }
    }

    /// Closes what ends behind a literal; `true` if all is closed, else another one follows.
    async fn after_literal(
        &mut self,
        call: usize,
        style: Style<'_>,
        open: &mut Vec<(char, char)>,
    ) -> Read<bool> {
        while let Some(&(end, json_end)) = open.last() {
            self.feed.blank().await;
            let comma = self.feed.accept(",").await;
            self.feed.blank().await;
            let next = self.feed.peek().await.ok_or(Broken)?;
            if next == end {
                self.feed.next().await;
                self.feed.arguments(call, json_end.encode_utf8(&mut [0; 4]));
                open.pop();
                continue;
            }
            if !comma {
                return Err(Broken);
            }
            self.feed.arguments(call, ", ");
            if json_end == '}' {
                self.map_key(call, style).await?;
            }
            return Ok(false);
        }
        Ok(true)
    }

    /// The key of a map, and the colon.
    async fn map_key(&mut self, call: usize, style: Style<'_>) -> Read {
        self.feed.blank().await;
        if !self.string(call, style).await? {
            let key = self.word(&[':', '}', '\n']).await?;
            self.feed.arguments(call, &quote(key.trim()));
        }
        self.feed.blank().await;
        if !self.feed.accept(":").await {
            return Err(Broken);
        }
        self.feed.arguments(call, ": ");
        Ok(())
    }

    /// A string, a number or a word. `end` is what ends the list or map around it.
    async fn scalar(&mut self, call: usize, style: Style<'_>, end: Option<char>) -> Read {
        if self.string(call, style).await? {
            return Ok(());
        }
        let word = self.word(&[',', end.unwrap_or(')')]).await?;
        self.feed.arguments(call, &typed(word.trim(), false));
        Ok(())
    }

    /// Characters up to one of `ends`; at least one.
    async fn word(&mut self, ends: &[char]) -> Read<String> {
        let mut word = String::new();
        while let Some(next) = self.feed.peek().await
            && !ends.contains(&next)
            && word.len() < LONGEST_WORD
        {
            self.feed.next().await;
            word.push(next);
        }
        match word.trim().is_empty() {
            true => Err(Broken),
            false => Ok(word),
        }
    }

    /// A string, if one begins here.
    async fn string(&mut self, call: usize, style: Style<'_>) -> Read<bool> {
        let (end, escapes) = match style {
            Style::Quoted(mark) if self.feed.accept(mark).await => (mark, false),
            Style::Quoted(_) if self.feed.accept("\"").await => ("\"", true),
            Style::Quoted(_) => return Ok(false),
            Style::Python => match self.feed.accept_any(&["'", "\"", "'''", "\"\"\""]).await {
                Some(index) => (["'", "\"", "'''", "\"\"\""][index], true),
                None => return Ok(false),
            },
        };
        self.feed.arguments(call, "\"");
        // `''` was the beginning of an empty string, not of a long one, if nothing else follows.
        while !self.feed.accept(end).await {
            match self.feed.next().await.ok_or(Broken)? {
                '\\' if escapes => self.escape(call).await?,
                other => self.feed.arguments(call, escaped(other, &mut [0; 8])),
            }
        }
        self.feed.arguments(call, "\"");
        Ok(true)
    }

    /// What follows a backslash in a string.
    async fn escape(&mut self, call: usize) -> Read {
        let digits = match self.feed.next().await.ok_or(Broken)? {
            'n' => return self.character(call, '\n'),
            't' => return self.character(call, '\t'),
            'r' => return self.character(call, '\r'),
            'b' => return self.character(call, '\u{8}'),
            'f' => return self.character(call, '\u{c}'),
            '0' => return self.character(call, '\0'),
            '\n' => return Ok(()),
            'x' => 2,
            'u' => 4,
            'U' => 8,
            same @ ('\'' | '"' | '\\' | '/') => return self.character(call, same),
            other => {
                // Python keeps a backslash that means nothing.
                self.character(call, '\\')?;
                return self.character(call, other);
            }
        };
        let mut code = self.hex(digits).await?;
        // JSON's half of a character, followed by the other half.
        if (0xd800..0xdc00).contains(&code) && self.feed.accept("\\u").await {
            let low = self.hex(4).await?;
            code = 0x10000 + ((code - 0xd800) << 10) + (low.wrapping_sub(0xdc00) & 0x3ff);
        }
        let character = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
        self.character(call, character)
    }

    async fn hex(&mut self, digits: usize) -> Read<u32> {
        let mut code = 0u32;
        for _ in 0..digits {
            let digit = self.feed.peek().await.and_then(|next| next.to_digit(16));
            code = (code << 4) | digit.ok_or(Broken)?;
            self.feed.next().await;
        }
        Ok(code)
    }

    fn character(&mut self, call: usize, character: char) -> Read {
        self.feed.arguments(call, escaped(character, &mut [0; 8]));
        Ok(())
    }
}
