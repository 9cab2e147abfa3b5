//! A vocabulary of single bytes, and real ones where there are any.

use std::{
    path::PathBuf,
    sync::{Arc, LazyLock},
};

use hearth_format::Gguf;
use hearth_grammar::{Grammar, Matcher, Vocabulary};
use hearth_tokenizer::Tokenizer;
use serde_json::{Map, Value, json};

/// The end token of [`bytes`]; each token below it is the byte of its number.
pub(crate) const END: u32 = 256;
/// A marker of [`bytes`], `<tool>`.
pub(crate) const TOOL: u32 = 257;

/// How byte-level vocabularies spell a byte.
fn spelling(byte: u8) -> char {
    let printable = |byte: u8| matches!(byte, 33..=126 | 161..=172 | 174..=255);
    if printable(byte) {
        return char::from(byte);
    }
    let before = (0..byte).filter(|&byte| !printable(byte)).count();
    char::from_u32(256 + before as u32).unwrap()
}

pub(crate) fn bytes() -> &'static Vocabulary {
    static BYTES: LazyLock<Vocabulary> = LazyLock::new(|| {
        let vocab: Map<String, Value> = (0..=255)
            .map(|byte| (spelling(byte).to_string(), json!(byte)))
            .collect();
        let marker = |id, text| json!({"id": id, "content": text, "special": true});
        let json = json!({
            "added_tokens": [marker(END, "</s>"), marker(TOOL, "<tool>")],
            "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "use_regex": false},
            "decoder": {"type": "ByteLevel"},
            "model": {"type": "BPE", "vocab": vocab, "merges": []},
        });
        let config = br#"{"eos_token": "</s>"}"#;
        let tokenizer = Tokenizer::from_json(json.to_string().as_bytes(), Some(config), None);
        Vocabulary::new(Arc::new(tokenizer.unwrap()), 300).unwrap()
    });
    &BYTES
}

pub(crate) fn matcher(grammar: &Grammar) -> Matcher {
    bytes()
        .matcher(grammar)
        .unwrap_or_else(|error| panic!("{grammar:?}: {error}"))
}

/// Follows a text byte by byte; the mask and what is accepted must agree at each. The count of bytes that fit.
pub(crate) fn follow(matcher: &mut Matcher, text: &[u8]) -> usize {
    for (index, &byte) in text.iter().enumerate() {
        let mask = matcher.mask().unwrap();
        assert_eq!(mask.allows(END), matcher.may_end());
        let accepted = matcher.accept(byte.into()).is_ok();
        assert_eq!(
            mask.allows(byte.into()),
            accepted,
            "byte {index} of {text:?}"
        );
        if !accepted {
            return index;
        }
    }
    text.len()
}

/// Whether a grammar takes a text as a whole.
pub(crate) fn takes(start: &Matcher, text: &str) -> bool {
    let mut matcher = start.fork();
    follow(&mut matcher, text.as_bytes()) == text.len() && matcher.may_end()
}

/// Checks texts that a grammar must take and others that it must not.
pub(crate) fn check(grammar: &Grammar, good: &[&str], bad: &[&str]) {
    let start = matcher(grammar);
    for text in good {
        assert!(takes(&start, text), "{grammar:?} refuses {text:?}");
    }
    for text in bad {
        assert!(!takes(&start, text), "{grammar:?} takes {text:?}");
    }
}

pub(crate) fn shared(path: &str) -> Option<PathBuf> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../../shared")
        .join(path);
    if path.exists() {
        return Some(path);
    }
    println!("skipped: no ../shared");
    None
}

pub(crate) fn tokenizer(name: &str) -> Option<Arc<Tokenizer>> {
    let path = shared(&format!("data/vocab/ggml-vocab-{name}.gguf"))?;
    let gguf = Gguf::open(&path).unwrap();
    Some(Arc::new(Tokenizer::from_gguf(gguf.metadata()).unwrap()))
}
