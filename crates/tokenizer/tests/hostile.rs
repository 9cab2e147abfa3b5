//! Files and texts that want to break things.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use hearth_format::{Array, Metadata, Value};
use hearth_tokenizer::{EncodeOptions, Error, Tokenizer};
use proptest::prelude::*;

const ALL: EncodeOptions = EncodeOptions {
    add_special: true,
    parse_special: true,
};

const BPE: &str = r##"{"version":"1.0","added_tokens":[{"id":7,"content":"<|x|>","single_word":false,"lstrip":true,
"rstrip":false,"normalized":false,"special":true},{"id":8,"content":"é","normalized":true}],"normalizer":{"type":"NFC"},
"pre_tokenizer":{"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":"\\p{N}{1,3}"},"behavior":
"Isolated","invert":false},{"type":"ByteLevel","add_prefix_space":true,"use_regex":true}]},"post_processor":{"type":
"TemplateProcessing","single":[{"SpecialToken":{"id":"<|x|>","type_id":0}},{"Sequence":{"id":"A","type_id":0}}],
"special_tokens":{"<|x|>":{"id":"<|x|>","ids":[7],"tokens":["<|x|>"]}}},"decoder":{"type":"ByteLevel"},"model":{"type":
"BPE","vocab":{"a":0,"b":1,"Ġ":2,"ab":3,"Ġab":4,"1":5,"c":6},"merges":["a b",["Ġ","ab"]],"unk_token":"c"}}"##;
const UNIGRAM: &str = r#"{"added_tokens":[{"id":0,"content":"<unk>","special":true}],"normalizer":{"type":"Sequence",
"normalizers":[{"type":"Precompiled","precompiled_charsmap":"BAAAAAAAAAAAAA=="},{"type":"Replace","pattern":{"Regex":
" {2,}"},"content":" "}]},"pre_tokenizer":{"type":"Metaspace","replacement":"▁","prepend_scheme":"first","split":true},
"decoder":{"type":"Metaspace","replacement":"▁"},"model":{"type":"Unigram","unk_id":0,"byte_fallback":true,
"vocab":[["<unk>",0.0],["▁",-1.5],["a",-2.0],["ab",-2.5],["▁ab",-3e38]]}}"#;
const WORDPIECE: &str = r###"{"normalizer":{"type":"BertNormalizer","lowercase":true},"pre_tokenizer":{"type":
"BertPreTokenizer"},"post_processor":{"type":"BertProcessing","sep":["[SEP]",1],"cls":["[CLS]",0]},"decoder":{"type":
"WordPiece","prefix":"##"},"model":{"type":"WordPiece","unk_token":"[UNK]","continuing_subword_prefix":"##",
"max_input_chars_per_word":100,"vocab":{"[CLS]":0,"[SEP]":1,"[UNK]":2,"a":3,"##b":4,"!":5}}}"###;

fn exercise(tokenizer: &Tokenizer, text: &str) {
    let ids = tokenizer.encode(text, ALL);
    tokenizer.decode(&ids, true);
    let mut decoder = tokenizer.decoder(false);
    for id in ids.into_iter().chain([u32::MAX, 3]) {
        decoder.push(id);
        tokenizer.token_name(id);
    }
    decoder.finish();
}

#[test]
fn the_samples_work() {
    for (json, text, ids, back) in [
        (
            BPE,
            "ab 12<|x|>é ab",
            &[7, 4, 2, 2, 5, 6, 7, 8, 4][..],
            None,
        ),
        (UNIGRAM, "ab  ab", &[1, 3, 1, 3], Some("ab ab")),
        (WORDPIECE, "AB! c", &[0, 3, 4, 5, 2, 1], None),
    ] {
        let tokenizer = Tokenizer::from_json(json.as_bytes(), None, None).unwrap();
        assert_eq!(tokenizer.encode(text, ALL), ids, "{text}");
        if let Some(back) = back {
            assert_eq!(tokenizer.decode(ids, false), back);
        }
    }
}

#[test]
fn json_errors_name_the_fault() {
    let model = |m: &str| format!(r#"{{"model":{m}}}"#);
    for (json, expected) in [
        ("{".to_owned(), "tokenizer.json: EOF"),
        ("{}".to_owned(), "missing field `model`"),
        (model(r#"{"vocab":{"a":0,"a":1}}"#), "tokens 0 and 1 are both \"a\""),
        (model(r#"{"vocab":{"a":4000000000}}"#), "an id far beyond the number of tokens: 4000000000"),
        (model(r#"{"vocab":{"a":-1}}"#), "invalid value"),
        (model(r#"{"type":"BPE","vocab":{},"merges":["ab"]}"#), "merge \"ab\" is not two texts"),
        (model(r#"{"type":"BPE","vocab":{},"merges":[["a"]]}"#), "fewer than two"),
        (model(r#"{"type":"Psychic","vocab":{}}"#), "model `Psychic` is not supported"),
        (r#"{"normalizer":{"type":"Magic"},"model":{"vocab":{}}}"#.to_owned(), "normalizer `Magic` is not supported"),
        (r#"{"pre_tokenizer":{"type":"Split","pattern":{"Regex":"("},"behavior":"Isolated"},"model":{"vocab":{}}}"#.to_owned(), "split pattern `(`"),
        (format!(r#"{{"normalizer":{}}}"#, r#"{"type":"Sequence","normalizers":["#.repeat(40_000)), "recursion limit"),
    ] {
        let error = Tokenizer::from_json(json.as_bytes(), None, None).unwrap_err().to_string();
        assert!(error.contains(expected), "{error} should say {expected}");
    }
}

fn gguf(model: &str, tokens: &[&str], more: Vec<(&str, Value)>) -> Metadata {
    let mut metadata = Metadata::default();
    let mut put = |key: &str, value| {
        metadata.insert(format!("tokenizer.ggml.{key}"), value);
    };
    put("model", Value::String(model.as_bytes().into()));
    let tokens = tokens.iter().map(|t| t.as_bytes().into()).collect();
    put("tokens", Value::Array(Array::String(tokens)));
    for (key, value) in more {
        put(key, value);
    }
    metadata
}

fn texts(list: &[&str]) -> Value {
    Value::Array(Array::String(
        list.iter().map(|t| t.as_bytes().into()).collect(),
    ))
}

#[test]
fn gguf_errors_name_the_fault() {
    let merges = |list: &[&str]| vec![("merges", texts(list))];
    for (metadata, expected) in [
        (Metadata::default(), "`tokenizer.ggml.model` is missing"),
        (
            gguf("none", &[], vec![]),
            "tokenizer.ggml.model `none` is not supported",
        ),
        (
            gguf("gpt2", &["a"], vec![]),
            "`tokenizer.ggml.merges` is missing",
        ),
        (
            gguf("gpt2", &["a", "b", "a"], merges(&[])),
            "tokens 0 and 2 are both \"a\"",
        ),
        (
            gguf("gpt2", &["a"], merges(&["ab"])),
            "a merge is not two texts with a space between: ab",
        ),
        (
            gguf("gpt2", &["a"], merges(&["a "])),
            "a merge is not two texts",
        ),
        (
            gguf(
                "gpt2",
                &["a"],
                vec![
                    ("merges", texts(&[])),
                    ("pre", Value::String((*b"odd").into())),
                ],
            ),
            "tokenizer.ggml.pre `odd` is not supported",
        ),
        (
            gguf(
                "llama",
                &["a", "b"],
                vec![("scores", Value::Array(Array::F32(vec![1.0])))],
            ),
            "tokenizer.ggml.scores has 1, tokens 2",
        ),
        (
            gguf(
                "llama",
                &["a", "b"],
                vec![("token_type", Value::Array(Array::I32(vec![1])))],
            ),
            "tokenizer.ggml.token_type has 1, tokens 2",
        ),
        (
            gguf(
                "t5",
                &["a"],
                vec![(
                    "precompiled_charsmap",
                    Value::Array(Array::U8(vec![9, 0, 0, 0, 1])),
                )],
            ),
            "precompiled_charsmap has sizes that do not fit",
        ),
    ] {
        let error = Tokenizer::from_gguf(&metadata).unwrap_err().to_string();
        assert!(error.contains(expected), "{error} should say {expected}");
    }
}

#[test]
fn special_ids_outside_the_vocabulary_are_ignored() {
    let ids = vec![
        ("bos_token_id", Value::U32(9)),
        ("eos_token_id", Value::I32(-1)),
    ];
    let tokenizer = Tokenizer::from_gguf(&gguf("llama", &["<unk>", "a"], ids)).unwrap();
    assert_eq!((tokenizer.bos(), tokenizer.eos()), (None, None));
    assert_eq!(tokenizer.encode("a", ALL), [0, 1]);
}

#[test]
fn plain_text_never_becomes_a_marker() {
    let kinds = Value::Array(Array::I32(vec![2, 3, 3, 1, 1, 1, 1]));
    let tokens = ["<unk>", "<s>", "</s>", "<", "s", ">", "s>"];
    let tokenizer =
        Tokenizer::from_gguf(&gguf("llama", &tokens, vec![("token_type", kinds)])).unwrap();
    let plain = EncodeOptions {
        add_special: false,
        parse_special: false,
    };
    assert!(!tokenizer.encode("<s>", plain).contains(&1));
    assert!(tokenizer.encode("<s>", ALL).ends_with(&[1]));
}

/// Quadratic time would take minutes here.
#[test]
fn long_words_take_no_longer_than_short_ones() {
    let tokens = ["a", "b", "aa", "ab", "aaaa", "\u{120}", "\u{120}\u{120}"];
    let merges = vec![
        ("merges", texts(&["a a", "a b", "aa aa", "\u{120} \u{120}"])),
        ("pre", Value::String((*b"llama-bpe").into())),
    ];
    let byte_level = Tokenizer::from_gguf(&gguf("gpt2", &tokens, merges)).unwrap();
    let scores = Value::Array(Array::F32(vec![0.0, 0.0, -1.0, -2.0, -3.0]));
    let spm = Tokenizer::from_gguf(&gguf(
        "llama",
        &["a", "▁", "aa", "▁▁", "aaaa"],
        vec![("scores", scores)],
    ))
    .unwrap();
    let bpe = Tokenizer::from_json(BPE.as_bytes(), None, None).unwrap();
    let unigram = Tokenizer::from_json(UNIGRAM.as_bytes(), None, None).unwrap();
    for unit in ["a", "ab", " ", "\n", "<|x|>", "<", "é", "1", "世"] {
        let text = unit.repeat(400_000);
        for tokenizer in [&byte_level, &spm, &bpe, &unigram] {
            let ids = tokenizer.encode(&text, ALL);
            tokenizer.decode(&ids, true);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn damaged_files_do_no_harm(
        which in 0_usize..3,
        cuts in proptest::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0_usize..12, any::<u8>()), 1..4),
        text in "[ab1 é<|x>▁\n世!]{0,30}",
    ) {
        let mut bytes = [BPE, UNIGRAM, WORDPIECE][which].as_bytes().to_vec();
        for (at, from, length, byte) in cuts {
            let at = at.index(bytes.len());
            let from = from.index(bytes.len());
            match length {
                0 => bytes[at] = byte,
                1 => { bytes.remove(at); }
                2 => bytes[at] = b"0123456789-\"{}[],:"[usize::from(byte) % 18],
                _ => {
                    let part: Vec<u8> = bytes[from..].iter().take(length).copied().collect();
                    bytes.splice(at..at, part);
                }
            }
        }
        match Tokenizer::from_json(&bytes, Some(&bytes), Some(&bytes)) {
            Ok(tokenizer) => exercise(&tokenizer, &text),
            Err(Error::Json { .. }) => {}
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
    }

    #[test]
    fn odd_vocabularies_do_no_harm(
        model in proptest::sample::select(vec!["llama", "gpt2", "gemma4", "bert", "t5", "rwkv", "plamo2"]),
        tokens in proptest::collection::btree_set("[ab▁Ġ<>0x]{0,4}", 0..12),
        kinds in proptest::collection::vec(-1_i32..8, 12),
        scores in proptest::collection::vec(prop_oneof![any::<f32>(), -9.0_f32..0.0], 12),
        merges in proptest::collection::vec(("[ab▁Ġ]{1,2}", "[ab▁Ġ]{1,2}"), 0..8),
        ids in proptest::collection::vec(0_u32..14, 4),
        pre in proptest::sample::select(vec!["llama-bpe", "gpt-2", "kimi-k2", "deepseek-v3", "superbpe"]),
        text in "[ab ▁<>0x1é\n]{0,40}",
    ) {
        let tokens: Vec<&str> = tokens.iter().map(String::as_str).collect();
        let merges: Vec<String> = merges.iter().map(|(a, b)| format!("{a} {b}")).collect();
        let merges: Vec<&str> = merges.iter().map(String::as_str).collect();
        let metadata = gguf(model, &tokens, vec![
            ("token_type", Value::Array(Array::I32(kinds))),
            ("scores", Value::Array(Array::F32(scores))),
            ("merges", texts(&merges)),
            ("pre", Value::String(pre.as_bytes().into())),
            ("bos_token_id", Value::U32(ids[0])),
            ("eos_token_id", Value::U32(ids[1])),
            ("unknown_token_id", Value::U32(ids[2])),
            ("fim_pad_token_id", Value::U32(ids[3])),
        ]);
        if let Ok(tokenizer) = Tokenizer::from_gguf(&metadata) {
            exercise(&tokenizer, &text);
        }
    }
}
