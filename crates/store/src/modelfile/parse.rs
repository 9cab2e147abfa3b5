//! The grammar.

use super::{
    Instruction, Located, Modelfile, ModelfileError, ParameterValue, Problem, Role,
    text::{is_blank, is_newline, value},
};

/// Reads a whole file.
pub(super) fn parse(text: &str) -> Result<Modelfile, ModelfileError> {
    let mut cursor = Cursor {
        rest: text,
        line: 1,
        after_return: false,
    };
    let mut file = Modelfile::default();
    while cursor.skip_to_instruction() {
        let line = cursor.line;
        let at = |problem| ModelfileError {
            line: Some(line),
            problem,
        };
        match instruction(&mut cursor).map_err(at)? {
            Read::Instruction(instruction) => file.instructions.push(Located { line, instruction }),
            Read::Deprecated(name) => file
                .warnings
                .push(format!("warning: parameter {name} is deprecated")),
        }
    }
    if file.from().next().is_none() {
        return Err(ModelfileError {
            line: None,
            problem: Problem::NoFrom,
        });
    }
    Ok(file)
}

enum Read {
    Instruction(Instruction),
    /// A parameter that means nothing any more.
    Deprecated(String),
}

/// Where the parser stands.
struct Cursor<'a> {
    rest: &'a str,
    line: usize,
    after_return: bool,
}

impl<'a> Cursor<'a> {
    /// Goes on by `bytes` and counts lines; `\r\n` ends one line.
    fn take(&mut self, bytes: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(bytes);
        for byte in taken.bytes() {
            if byte == b'\r' || (byte == b'\n' && !self.after_return) {
                self.line += 1;
            }
            self.after_return = byte == b'\r';
        }
        self.rest = rest;
        taken
    }

    fn take_while(&mut self, is: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|c| !is(c)).unwrap_or(self.rest.len());
        self.take(end)
    }

    fn next(&self) -> Option<char> {
        self.rest.chars().next()
    }

    /// Goes to where the next instruction begins, if there is one. Byte order marks occur where files were joined.
    fn skip_to_instruction(&mut self) -> bool {
        loop {
            self.take_while(|c| is_blank(c) || c.is_control() || c == '\u{feff}');
            match self.next() {
                Some('#') => self.take_while(|c| !is_newline(c)),
                next => return next.is_some(),
            };
        }
    }
}

fn instruction(cursor: &mut Cursor<'_>) -> Result<Read, Problem> {
    let name = cursor.take_while(|c| c.is_ascii_alphabetic());
    match cursor.next() {
        Some(c) if is_blank(c) => {}
        Some(_) => return Err(Problem::Command),
        None => {
            return Err(Problem::Unfinished(format!(
                "'{name}' is followed by nothing"
            )));
        }
    }
    let name = name.to_ascii_uppercase();
    let simple: fn(String) -> Instruction = match name.as_str() {
        "FROM" => Instruction::From,
        "ADAPTER" => Instruction::Adapter,
        "DRAFT" => Instruction::Draft,
        "TEMPLATE" => Instruction::Template,
        "SYSTEM" => Instruction::System,
        "LICENSE" => Instruction::License,
        "RENDERER" => Instruction::Renderer,
        "PARSER" => Instruction::Parser,
        "REQUIRES" => {
            let text = quoted_value(cursor, &name)?;
            let version = text.strip_prefix('v').unwrap_or(&text);
            return if is_version(version) {
                Ok(Read::Instruction(Instruction::Requires(version.to_owned())))
            } else {
                Err(Problem::Version)
            };
        }
        "PARAMETER" => return parameter(cursor),
        "MESSAGE" => return message(cursor),
        _ => return Err(Problem::Command),
    };
    Ok(Read::Instruction(simple(quoted_value(cursor, &name)?)))
}

fn parameter(cursor: &mut Cursor<'_>) -> Result<Read, Problem> {
    let key = word(cursor, "PARAMETER", |c| {
        c.is_ascii_alphanumeric() || c == '_'
    })?;
    let text = quoted_value(cursor, &format!("PARAMETER {key}"))?;
    Ok(match ParameterValue::read(key, &text)? {
        Some(value) => Read::Instruction(Instruction::Parameter(key.to_owned(), value)),
        None => Read::Deprecated(key.to_owned()),
    })
}

fn message(cursor: &mut Cursor<'_>) -> Result<Read, Problem> {
    let role = word(cursor, "MESSAGE", |c| c.is_ascii_alphabetic())?;
    let role = Role::of(role).ok_or(Problem::Role)?;
    let content = quoted_value(cursor, &format!("MESSAGE {role}"))?;
    Ok(Read::Instruction(Instruction::Message(role, content)))
}

/// The word between an instruction's name and its value.
fn word<'a>(
    cursor: &mut Cursor<'a>,
    name: &str,
    is: impl Fn(char) -> bool,
) -> Result<&'a str, Problem> {
    cursor.take_while(is_blank);
    let word = cursor.take_while(is);
    if !word.is_empty() && cursor.next().is_some_and(is_blank) {
        return Ok(word);
    }
    Err(Problem::Unfinished(format!(
        "{name} needs a word and a value after it, separated by blanks"
    )))
}

fn quoted_value(cursor: &mut Cursor<'_>, name: &str) -> Result<String, Problem> {
    let Some((value, length)) = value(cursor.rest) else {
        return Err(Problem::Unfinished(format!(
            "the value of {name} begins with quotes, and no line ends with the same ones"
        )));
    };
    cursor.take(length);
    Ok(value)
}

/// `MAJOR[.MINOR[.PATCH[-PRERELEASE][+BUILD]]]` of the semantic versioning specification; shorter forms as Go has
/// them.
fn is_version(text: &str) -> bool {
    let (text, build) = split(text, '+');
    let (numbers, pre) = split(text, '-');
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let number = |part: &str| digits(part) && (part == "0" || !part.starts_with('0'));
    let identifier = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    let count = numbers.split('.').count();
    numbers.split('.').all(number)
        && count <= 3
        && (count == 3 || (build.is_none() && pre.is_none()))
        && build.is_none_or(|build| build.split('.').all(identifier))
        && pre.is_none_or(|pre| {
            pre.split('.')
                .all(|part| identifier(part) && (!digits(part) || number(part)))
        })
}

fn split(text: &str, at: char) -> (&str, Option<&str>) {
    match text.split_once(at) {
        Some((before, after)) => (before, Some(after)),
        None => (text, None),
    }
}
