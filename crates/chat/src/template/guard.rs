//! What is looked at in a template's text before the engine compiles it.
//!
//! The engine's compiler is recursive over expressions and computes constants while it compiles,
//! before any budget exists. So the text is scanned once: tags with absurdly many operators and
//! constants that multiply to huge sequences are refused. The same scan turns the generation tags
//! (they mark what is trained on and print nothing) into tags that the engine knows.

use crate::error::{Error, Result};

/// The largest template; the largest in the wild has 60 KB.
const MAX_SOURCE: usize = 1 << 20;
/// Operators, filters and brackets in one tag.
const MAX_OPERATORS: usize = 1_000;
/// Branches of all `if` statements together.
const MAX_ELIF: usize = 1_000;
/// The bytes that the constants of a template may grow to when they are multiplied out.
const MAX_CONSTANT: u64 = 1 << 24;
/// The bytes that may be copied to compute them: the compiler computes the constant part of an
/// expression again at each operator.
const MAX_COPIED: u64 = 1 << 32;

/// The kinds of tag.
#[derive(Clone, Copy, PartialEq)]
enum Tag {
    Expression,
    Statement,
    Comment,
}

impl Tag {
    const ALL: [(&'static str, &'static str, Self); 3] = [
        ("{{", "}}", Self::Expression),
        ("{%", "%}", Self::Statement),
        ("{#", "#}", Self::Comment),
    ];
}

/// Checks `source` and returns the text to compile.
pub(super) fn prepare(source: &str) -> Result<String> {
    if source.len() > MAX_SOURCE {
        return Err(limit(format!(
            "it has {} bytes, at most {MAX_SOURCE} are read",
            source.len()
        )));
    }
    let mut out = String::with_capacity(source.len());
    let mut elifs = 0;
    let mut constants = Constants::default();
    let mut rest = source;
    while let Some((before, body, close, tag)) = next_tag(rest) {
        let after = before.len() + 2 + body.len();
        out.push_str(&rest[..before.len() + 2]);
        let word = body.trim_start_matches(['-', '+']).trim_start();
        let word_end = word
            .find(|c: char| !c.is_alphanumeric() && c != '_')
            .unwrap_or(word.len());
        match (tag, &word[..word_end]) {
            (Tag::Comment, _) => out.push_str(body),
            (Tag::Statement, "raw") => {
                let end = raw_end(rest, after + close.len());
                out.push_str(&rest[before.len() + 2..end]);
                rest = &rest[end..];
                continue;
            }
            (Tag::Statement, name @ ("generation" | "endgeneration")) => {
                let at = body.len() - word.len();
                out.push_str(&body[..at]);
                out.push_str(if name == "generation" {
                    "if true"
                } else {
                    "endif"
                });
                out.push_str(&word[word_end..]);
            }
            (_, name) => {
                elifs += usize::from(name == "elif");
                constants.add(check_tag(body)?);
                out.push_str(body);
            }
        }
        if elifs > MAX_ELIF {
            return Err(limit(format!("it has more than {MAX_ELIF} elif branches")));
        }
        if constants.bytes > MAX_CONSTANT || constants.copied > MAX_COPIED {
            return Err(limit(
                "its constants multiply to a very large text".to_owned(),
            ));
        }
        out.push_str(&rest[after..after + close.len()]);
        rest = &rest[after + close.len()..];
    }
    out.push_str(rest);
    Ok(out)
}

fn limit(message: String) -> Error {
    Error::Limit { message }
}

/// The next tag: the text before it, its body, its closing mark (empty if missing) and its kind.
fn next_tag(text: &str) -> Option<(&str, &str, &'static str, Tag)> {
    let mut from = 0;
    let (start, close, tag) = loop {
        let at = from + text[from..].find('{')?;
        let found = Tag::ALL
            .iter()
            .find(|(open, ..)| text[at..].starts_with(open));
        match found {
            Some(&(_, close, tag)) => break (at, close, tag),
            None => from = at + 1,
        }
    };
    let body = &text[start + 2..];
    let end = if tag == Tag::Comment {
        body.find(close)
    } else {
        find_close(body, close)
    };
    Some(match end {
        Some(end) => (&text[..start], &body[..end], close, tag),
        None => (&text[..start], body, "", tag),
    })
}

/// Finds `close` outside strings; in an expression tag also outside braces.
fn find_close(body: &str, close: &str) -> Option<usize> {
    let bytes = body.as_bytes();
    let mut at = 0;
    let mut braces = 0usize;
    while at < bytes.len() {
        match bytes[at] {
            b'\'' | b'"' => at = skip_string(bytes, at),
            b'{' => braces += 1,
            b'}' if braces > 0 => braces -= 1,
            _ if body.as_bytes()[at..].starts_with(close.as_bytes()) => return Some(at),
            _ => {}
        }
        at += 1;
    }
    None
}

/// The index of the quote that ends the string which begins at `start`, or the end.
fn skip_string(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while at < bytes.len() && bytes[at] != bytes[start] {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    at
}

/// Where the body of a raw block ends: the start of its end tag, or the end of the text.
fn raw_end(text: &str, mut from: usize) -> usize {
    while let Some(at) = text[from..].find("{%") {
        let tag = text[from + at + 2..]
            .trim_start_matches(['-', '+'])
            .trim_start();
        if tag.starts_with("endraw") {
            return from + at;
        }
        from += at + 2;
    }
    text.len()
}

/// What computing the constants of tags may cost.
#[derive(Default)]
struct Constants {
    bytes: u64,
    copied: u64,
}

impl Constants {
    fn add(&mut self, other: Self) {
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.copied = self.copied.saturating_add(other.copied);
    }
}

/// Counts the operators of a tag and bounds what its constants may cost: no sum or product of
/// numbers is larger than their product with each taken as at least two.
fn check_tag(body: &str) -> Result<Constants> {
    let bytes = body.as_bytes();
    let (mut operators, mut stars, mut sequences, mut powers) = (0, 0, false, false);
    let mut product = 1u64;
    let mut at = 0;
    while at < bytes.len() {
        let begins_word =
            at == 0 || !(bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_');
        match bytes[at] {
            b'\'' | b'"' => {
                sequences = true;
                at = skip_string(bytes, at);
                // Adjacent strings are joined, so a string counts as an operand.
                operators +=
                    usize::from(bytes.get(at + 1).is_some_and(|&b| b == b'\'' || b == b'"'));
            }
            b'~' => {
                // Joins numbers to a text.
                sequences = true;
                operators += 1;
            }
            b'[' => {
                sequences = true;
                operators += 1;
            }
            // A list may be written in parentheses.
            b',' => sequences = true,
            b'*' => {
                powers |= bytes.get(at + 1) == Some(&b'*');
                stars += 1;
                operators += 1;
            }
            b'0'..=b'9' if begins_word => {
                let end = bytes[at..]
                    .iter()
                    .position(|b| !(b.is_ascii_alphanumeric() || *b == b'_'));
                let end = end.map_or(bytes.len(), |length| at + length);
                let number = body[at..end].parse::<u64>().unwrap_or(u64::MAX);
                product = product.saturating_mul(number.max(2));
                at = end - 1;
            }
            b'+' | b'-' | b'/' | b'%' | b'|' | b'.' | b'(' | b'{' | b'<' | b'>' | b'=' | b'!' => {
                operators += 1;
            }
            b'a' | b'o' | b'n' | b'i' | b'e' if begins_word => {
                let words = ["and", "or", "not", "in", "is", "if", "else"];
                operators += usize::from(words.iter().any(|word| {
                    body.as_bytes()[at..].starts_with(word.as_bytes())
                        && !bytes
                            .get(at + word.len())
                            .is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_')
                }));
            }
            _ => {}
        }
        at += 1;
    }
    if operators > MAX_OPERATORS {
        return Err(limit(format!(
            "a tag has {operators} operators, at most {MAX_OPERATORS} are read"
        )));
    }
    // Without multiplication no text grows beyond the tag's own length.
    let factor = match (stars > 0 && sequences, powers) {
        (false, _) => 1,
        (true, false) => product,
        (true, true) => u64::MAX,
    };
    let bytes = factor.saturating_mul(body.len() as u64);
    let copied = bytes.saturating_mul((operators * operators) as u64);
    Ok(Constants {
        bytes: if factor == 1 { 0 } else { bytes },
        copied: if sequences { copied } else { 0 },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rewrites_generation_tags_only() {
        let cases = [
            (
                "a{% generation %}b{%- endgeneration -%}c",
                "a{% if true %}b{%- endif -%}c",
            ),
            (
                "{%generation%}{%+ endgeneration %}",
                "{%if true%}{%+ endif %}",
            ),
            (
                "{# generation #}{{ '{% generation %}' }}",
                "{# generation #}{{ '{% generation %}' }}",
            ),
            (
                "{% raw %}{% generation %}{{{% endraw %}{{ x }}",
                "{% raw %}{% generation %}{{{% endraw %}{{ x }}",
            ),
            ("{% generations %}", "{% generations %}"),
            (
                "{{ {'a': {}}}} {% generation %}",
                "{{ {'a': {}}}} {% if true %}",
            ),
            ("{{ unclosed 'str", "{{ unclosed 'str"),
            ("{", "{"),
        ];
        for (source, expected) in cases {
            assert_eq!(prepare(source), Ok(expected.to_owned()), "{source}");
        }
    }

    #[test]
    fn refuses_what_would_cost_too_much_to_compile() {
        let cases = [
            format!("{{{{ {}1 }}}}", "1 + ".repeat(20_000)),
            format!("{{{{ x{} }}}}", "|trim".repeat(20_000)),
            format!("{{% if x %}}{}{{% endif %}}", "{% elif y %}".repeat(20_000)),
            "{{ 'a' * 99999999 }}".to_owned(),
            "{{ 'a' * 9999 * 9999 }}".to_owned(),
            "{{ 'a' * 2 ** 26 }}".to_owned(),
            "{{ [1] * 99999999 == [1] * 99999999 }}".to_owned(),
            "{{ (1, 2) * 99999999 == 1 }}".to_owned(),
            "{{ (6 ~ 6666666) * 66666666 }}".to_owned(),
            format!("{{{{ '{}'{} }}}}", "a".repeat(500_000), " ~ 1".repeat(900)),
            "{{ 'aaaaaaaaaa' * 90000 }}".repeat(100),
            "x".repeat(MAX_SOURCE + 1),
        ];
        for source in cases {
            let result = prepare(&source);
            assert!(
                matches!(result, Err(Error::Limit { .. })),
                "{:.60}: {result:?}",
                source
            );
        }
    }
}
