//! Masks of real vocabularies, checked against the tokens' bytes one by one.

use std::{sync::Arc, time::Instant};

use hearth_grammar::{Grammar, Vocabulary};
use hearth_tokenizer::{EncodeOptions, Kind, Tokenizer};
use serde_json::json;

use crate::support::{self, tokenizer};

const PLAIN: EncodeOptions = EncodeOptions {
    add_special: false,
    parse_special: false,
};

/// One of each kind: byte-level pairs in several splits, SentencePiece with byte fallback, WordPiece.
const NAMES: &[&str] = &[
    "llama-bpe",
    "qwen2",
    "gpt-2",
    "falcon",
    "deepseek-llm",
    "deepseek-coder",
    "mpt",
    "starcoder",
    "refact",
    "llama-spm",
    "phi-3",
    "bert-bge",
];

fn vocabularies() -> impl Iterator<Item = (&'static str, Arc<Tokenizer>, Vocabulary)> {
    NAMES.iter().filter_map(|name| {
        let tokenizer = tokenizer(name)?;
        let start = Instant::now();
        let rows = tokenizer.vocab_len() + 37;
        let vocabulary = Vocabulary::new(tokenizer.clone(), rows).unwrap();
        println!(
            "{name}: {} tokens in {:.0?}",
            vocabulary.tokens(),
            start.elapsed()
        );
        Some((*name, tokenizer, vocabulary))
    })
}

/// Whether a token is text that a grammar may speak of.
fn is_text(tokenizer: &Tokenizer, id: u32) -> bool {
    let silent =
        tokenizer.special(id) || tokenizer.is_end(id) || tokenizer.kind(id) == Kind::Unused;
    !silent && !tokenizer.token_bytes(id).is_empty()
}

/// Prefixes of answers, each with a judge of what bytes may follow and whether the end may.
type Judge = fn(&[u8]) -> bool;

#[test]
fn masks_allow_exactly_the_tokens_whose_bytes_fit() {
    let letters: Judge = |bytes| {
        let characters = bytes.iter().filter(|&&b| b & 0xC0 != 0x80).count();
        characters <= 6 && bytes.iter().all(|b| b"ab \xc3\xa9".contains(b)) && is_prefix(bytes)
    };
    let digits: Judge = |bytes| bytes.iter().all(u8::is_ascii_digit);
    let string: Judge = |bytes| match bytes.iter().position(|&b| b == b'"') {
        Some(quote) => {
            quote + 1 == bytes.len()
                && plain(&bytes[..quote])
                && std::str::from_utf8(&bytes[..quote]).is_ok()
        }
        None => plain(bytes) && is_prefix(bytes),
    };
    for (name, tokenizer, vocabulary) in vocabularies() {
        for (pattern, before, judge, ends) in [
            ("[ab é]{0,6}", "", letters, true),
            ("x?[0-9]*", "x", digits, true),
            ("\"[^\"\\\\]*\"", "\"", string, false),
        ] {
            let mut matcher = vocabulary
                .matcher(&Grammar::Regex(pattern.to_owned()))
                .unwrap();
            for byte in before.bytes() {
                let id = (0..tokenizer.vocab_len() as u32)
                    .find(|&id| is_text(&tokenizer, id) && tokenizer.token_bytes(id) == [byte]);
                // WordPiece has bytes only with a space before them, or inside words.
                let Some(id) = id else { continue };
                matcher.accept(id).unwrap();
            }
            let mask = matcher.mask().unwrap();
            assert_eq!(mask.rows(), tokenizer.vocab_len() + 37);
            for id in 0..mask.rows() as u32 {
                let expected = match id < tokenizer.vocab_len() as u32 {
                    true if is_text(&tokenizer, id) => judge(tokenizer.token_bytes(id)),
                    true => ends && tokenizer.is_end(id),
                    false => false,
                };
                let bytes = tokenizer.token_bytes(id);
                assert_eq!(
                    mask.allows(id),
                    expected,
                    "{name} {pattern}: token {id} {bytes:?}"
                );
            }
        }
    }
}

/// Bytes of JSON strings without escapes.
fn plain(bytes: &[u8]) -> bool {
    bytes.iter().all(|b| !b"\"\\".contains(b))
}

/// Whether bytes are the beginning of UTF-8.
fn is_prefix(bytes: &[u8]) -> bool {
    match std::str::from_utf8(bytes) {
        Ok(_) => true,
        Err(error) => error.error_len().is_none(),
    }
}

#[test]
fn tokenised_answers_are_accepted_and_forced_tokens_spell_the_text() {
    let schema = json!({
        "type": "object",
        "properties": {"name_of_city": {"type": "string"}, "population": {"type": "integer"}, "ok": {"const": true}},
        "required": ["name_of_city", "population", "ok"],
        "additionalProperties": false,
    });
    let text = "{\"name_of_city\": \"Zürich 東京 🙂\", \"population\":443000,\"ok\":true}";
    for (name, tokenizer, vocabulary) in vocabularies() {
        if name == "bert-bge" {
            continue; // lower-cases
        }
        let start = vocabulary
            .matcher(&Grammar::Schema(schema.clone()))
            .unwrap();
        let mut matcher = start.fork();
        // Vocabularies that put a space before every text would put it before the brace.
        let ids = tokenizer.encode(&format!("\n{text}"), PLAIN);
        let skip = 1 + ids
            .iter()
            .position(|&id| tokenizer.token_bytes(id) == b"\n")
            .unwrap();
        for &id in &ids[skip..] {
            matcher
                .accept(id)
                .unwrap_or_else(|error| panic!("{name}: {error}"));
        }
        assert!(matcher.must_end(), "{name}");
        let allowed: Vec<u32> = matcher.mask().unwrap().iter().collect();
        let mut ends: Vec<u32> = tokenizer.ends().collect();
        ends.sort_unstable();
        assert_eq!(allowed, ends, "{name}");

        let mut matcher = start.fork();
        let forced = matcher.forced();
        let spelled: Vec<u8> = forced
            .iter()
            .flat_map(|&id| tokenizer.token_bytes(id))
            .copied()
            .collect();
        let fixed = b"{\"name_of_city\":";
        println!("{name}: forced {:?}", String::from_utf8_lossy(&spelled));
        assert!(
            !forced.is_empty() && fixed.starts_with(&spelled),
            "{name}: {spelled:?}"
        );
        for id in forced {
            assert_eq!(matcher.mask().unwrap().iter().collect::<Vec<_>>(), [id]);
            matcher.accept(id).unwrap();
        }
    }
}

#[test]
fn a_vocabulary_needs_a_row_for_each_token() {
    let tokenizer = support::bytes().tokenizer();
    assert_eq!(support::bytes().tokens(), tokenizer.vocab_len());
    let Some(tokenizer) = support::tokenizer("gpt-2") else {
        return;
    };
    let rows = tokenizer.vocab_len() - 1;
    assert!(Vocabulary::new(tokenizer, rows).is_err());
}
