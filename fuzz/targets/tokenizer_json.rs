//! Any bytes are a `tokenizer.json` or an error; one that is accepted encodes any text, and decodes what it encoded.
#![no_main]

use hearth_tokenizer::{EncodeOptions, Tokenizer};
use libfuzzer_sys::fuzz_target;

const TEXT: &str = "Hello <|x|>  wörld 12345\n\n世界 🙂'S ab\t</s>";

fuzz_target!(|data: &[u8]| {
    let Ok(tokenizer) = Tokenizer::from_json(data, Some(data), None) else {
        return;
    };
    for (add_special, parse_special) in [(true, true), (false, false)] {
        let options = EncodeOptions {
            add_special,
            parse_special,
        };
        let ids = tokenizer.encode(TEXT, options);
        tokenizer.decode(&ids, true);
        let mut decoder = tokenizer.decoder(false);
        for id in ids {
            assert!((id as usize) < tokenizer.vocab_len());
            decoder.push(id);
        }
        decoder.finish();
    }
});
