//! A grammar is untrusted text: compiling it and following it ends, and never panics.
#![no_main]

use std::sync::{Arc, LazyLock};

use hearth_grammar::{Grammar, Vocabulary};
use hearth_tokenizer::Tokenizer;
use libfuzzer_sys::fuzz_target;

/// Some letters, marks and a newline, an end and a marker.
const TOKENIZER: &str = r#"{"added_tokens":[{"id":0,"content":"</s>","special":true},
{"id":1,"content":"<tool>","special":true}],"pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false,
"use_regex":false},"decoder":{"type":"ByteLevel"},"model":{"type":"BPE","merges":["a b"],"vocab":{"a":2,"b":3,
"ab":4,"1":5,"Ċ":6,"Ġ":7,"{":8,"}":9,"\"":10,":":11,",":12,"[":13,"]":14,"Ã":15,"©":16}}}"#;

static VOCABULARY: LazyLock<Vocabulary> = LazyLock::new(|| {
    let tokenizer =
        Tokenizer::from_json(TOKENIZER.as_bytes(), Some(br#"{"eos_token":"</s>"}"#), None);
    let tokenizer = Arc::new(tokenizer.expect("the tokenizer above is whole"));
    let rows = tokenizer.vocab_len();
    Vocabulary::new(tokenizer, rows).expect("it has a row for each token")
});

// The first byte says what the rest is.
fuzz_target!(|input: (u8, &str)| {
    let (kind, text) = input;
    let grammar = match kind % 4 {
        0 => Grammar::Gbnf(text.to_owned()),
        1 => Grammar::Regex(text.to_owned()),
        2 => Grammar::Lark(text.to_owned()),
        _ => match serde_json::from_str(text) {
            Ok(schema) => Grammar::Schema(schema),
            Err(_) => return,
        },
    };
    let Ok(mut matcher) = VOCABULARY.matcher(&grammar) else {
        return;
    };
    for _ in 0..20 {
        let Ok(mask) = matcher.mask() else { return };
        let Some(token) = mask.iter().last() else {
            return;
        };
        if matcher.accept(token).is_err() {
            return;
        }
    }
});
