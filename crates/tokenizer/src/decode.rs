//! Ids back to text, at once or as they come.

use crate::{
    arena::Arena,
    bytes,
    cuts::SPACE,
    tokenizer::Tokenizer,
    vocab::{Kind, Vocab},
};

/// How whole sequences are joined.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Decoding {
    /// Encoding puts a space before the text: take it off.
    pub strip_space: bool,
    /// Take the spaces off that word-piece vocabularies leave before punctuation.
    pub clean: bool,
}

impl Decoding {
    pub(crate) fn join(self, tokenizer: &Tokenizer, ids: &[u32], special: bool) -> String {
        let mut text = Vec::with_capacity(ids.len() * 4);
        let mut strip = self.strip_space;
        for &id in ids {
            let mut piece = tokenizer.printed(id, special);
            if strip && !piece.is_empty() {
                if !tokenizer.special(id) {
                    piece = piece.strip_prefix(b" ").unwrap_or(piece);
                }
                strip = false;
            }
            text.extend_from_slice(piece);
        }
        let text = String::from_utf8_lossy(&text);
        if self.clean {
            clean(&text)
        } else {
            text.into_owned()
        }
    }
}

fn clean(text: &str) -> String {
    const AWAY: [(&str, &str); 10] = [
        (" .", "."),
        (" ?", "?"),
        (" !", "!"),
        (" ,", ","),
        (" ' ", "'"),
        (" n't", "n't"),
        (" 'm", "'m"),
        (" 's", "'s"),
        (" 've", "'ve"),
        (" 're", "'re"),
    ];
    AWAY.iter()
        .fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

/// How the texts of a vocabulary spell what they print.
#[derive(Clone, Debug)]
pub(crate) enum Spelling {
    /// Each character is a byte.
    ByteLevel,
    /// These texts stand for those.
    Replace(Vec<(String, String)>),
    /// Words begin with a space, but for continuations, which have this prefix.
    Continued(String),
    /// Escaped bytes.
    Escaped,
}

impl Spelling {
    /// U+2581 for a space.
    pub(crate) fn spaces() -> Self {
        Self::Replace(vec![(SPACE.to_string(), " ".into())])
    }

    /// What each token of a vocabulary prints.
    pub(crate) fn pieces(&self, vocab: &Vocab) -> Arena {
        let mut pieces = Arena::default();
        for (id, name) in vocab.names.iter() {
            pieces.push(&match vocab.kind(id) {
                Kind::Byte => bytes::of_token(name).map_or_else(|| name.to_vec(), |b| vec![b]),
                Kind::Normal | Kind::Unused => self.piece(name),
                Kind::Control | Kind::UserDefined | Kind::Unknown => name.to_vec(),
            });
        }
        pieces
    }

    fn piece(&self, name: &[u8]) -> Vec<u8> {
        match self {
            Self::ByteLevel => bytes::decode(name).unwrap_or_else(|| name.to_vec()),
            Self::Escaped => bytes::unescape(name),
            Self::Replace(list) => match std::str::from_utf8(name) {
                Ok(text) => list
                    .iter()
                    .fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
                    .into_bytes(),
                Err(_) => name.to_vec(),
            },
            Self::Continued(prefix) => match name.strip_prefix(prefix.as_bytes()) {
                Some(rest) => rest.to_vec(),
                None => [b" ", name].concat(),
            },
        }
    }
}

/// Turns bytes into text as they come, holding back what may still become a character.
#[derive(Clone, Debug, Default)]
pub struct Utf8Stream {
    tail: Vec<u8>,
}

impl Utf8Stream {
    /// The text that is complete with these bytes. What can never become a character is U+FFFD, one per maximal part.
    pub fn push(&mut self, bytes: &[u8]) -> String {
        self.tail.extend_from_slice(bytes);
        let mut out = String::with_capacity(self.tail.len());
        let mut used = 0;
        for chunk in self.tail.utf8_chunks() {
            out.push_str(chunk.valid());
            used += chunk.valid().len();
            let broken = chunk.invalid();
            if broken.is_empty() {
                continue;
            }
            if used + broken.len() == self.tail.len() && is_begun(broken) {
                break;
            }
            out.push('\u{FFFD}');
            used += broken.len();
        }
        self.tail.drain(..used);
        out
    }

    /// What is left at the end: U+FFFD if a character was begun.
    pub fn finish(&mut self) -> String {
        let rest = String::from_utf8_lossy(&self.tail).into_owned();
        self.tail.clear();
        rest
    }
}

/// Whether more bytes could make a character of this ill-formed end.
fn is_begun(bytes: &[u8]) -> bool {
    matches!(std::str::from_utf8(bytes), Err(e) if e.error_len().is_none())
}

/// Text of ids as they come; it never gives out half a character.
#[derive(Clone, Debug)]
pub struct Decoder<'t> {
    tokenizer: &'t Tokenizer,
    special: bool,
    stream: Utf8Stream,
}

impl<'t> Decoder<'t> {
    pub(crate) fn new(tokenizer: &'t Tokenizer, special: bool) -> Self {
        Self {
            tokenizer,
            special,
            stream: Utf8Stream::default(),
        }
    }

    /// The text that is complete with this token, perhaps none. No space is taken off the front.
    pub fn push(&mut self, id: u32) -> String {
        self.stream.push(self.tokenizer.printed(id, self.special))
    }

    /// The same for a token that is shown even if it is a control token.
    pub fn push_shown(&mut self, id: u32) -> String {
        self.stream.push(self.tokenizer.token_bytes(id))
    }

    /// What is left at the end: U+FFFD if a character was begun. Ready for another text.
    pub fn finish(&mut self) -> String {
        self.stream.finish()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn holds_back_what_may_become_a_character() {
        let run = |parts: &[&[u8]]| {
            let mut stream = Utf8Stream::default();
            let mut out: Vec<String> = parts.iter().map(|p| stream.push(p)).collect();
            out.push(stream.finish());
            out
        };
        assert_eq!(
            run(&[b"a\xF0\x9F", b"\x99", b"\x82!"]),
            ["a", "", "🙂!", ""]
        );
        assert_eq!(run(&[b"\xE2\x82", b"x"]), ["", "\u{FFFD}x", ""]);
        assert_eq!(run(&[b"\xED\xA0", b""]), ["\u{FFFD}\u{FFFD}", "", ""]);
        assert_eq!(run(&[b"\xC3"]), ["", "\u{FFFD}"]);
        assert_eq!(run(&["\u{FFFD}".as_bytes()]), ["\u{FFFD}", ""]);
    }

    proptest! {
        #[test]
        fn streams_what_decoding_gives(parts in proptest::collection::vec(proptest::collection::vec(
            prop_oneof![any::<u8>(), proptest::sample::select("é世🙂".as_bytes().to_vec())], 0..4), 0..20)) {
            let mut stream = Utf8Stream::default();
            let mut out: String = parts.iter().map(|p| stream.push(p)).collect();
            out.push_str(&stream.finish());
            prop_assert_eq!(out, String::from_utf8_lossy(&parts.concat()).into_owned());
        }
    }
}
