//! The `tokenizer.ggml.*` keys of a vocabulary that lies beside a checkpoint's weights (format notes 1.5, 3.15, 3.16).

use hearth_format::{Array, Checkpoint, Metadata, Source, Text, Value};

use crate::{
    Error, Result,
    arena::FastMap,
    checkpoint::read,
    cuts::SPACE,
    json::{self, file::File, parts},
    sentencepiece,
    split::table::{ESCAPE, IGNORE_MERGES, NO_BOS, PRES},
    tokenizer::{EncodeOptions, Tokenizer},
    vocab::Kind,
};

/// What SentencePiece vocabularies give tokens that no merge makes.
const ADDED_SCORE: f32 = -1000.0;

/// Of several pre-tokenizers with the same expressions, the name that readers know best.
const PREFERRED: [&str; 9] = [
    "llama-bpe",
    "qwen2",
    "gpt-2",
    "dbrx",
    "gpt-4o",
    "tekken",
    "deepseek-v3",
    "starcoder",
    "stablelm2",
];

/// What differs between the kinds of vocabulary.
struct Algorithm {
    /// `tokenizer.ggml.model`.
    model: &'static str,
    /// `tokenizer.ggml.pre`.
    pre: &'static str,
    scores: Option<Vec<f32>>,
    merges: Option<Vec<Text>>,
}

impl Tokenizer {
    /// The keys with which a GGUF carries the vocabulary of a checkpoint. There are `rows` tokens, as the embedding has
    /// rows: unused ones fill up, and those beyond are left out. A GGUF's own keys are given as they are.
    ///
    /// # Errors
    /// When there is no vocabulary, it is not what it should be, or GGUF has no name for how it cuts or encodes text.
    pub fn gguf_keys(checkpoint: &Checkpoint, rows: usize) -> Result<Metadata> {
        let mut keys = Keys(Metadata::default());
        if checkpoint.source == Source::Gguf {
            let all = checkpoint.metadata().iter();
            for (key, value) in all.filter(|(key, _)| key.starts_with("tokenizer.")) {
                keys.0.insert(key.to_owned(), value.clone());
            }
            return Ok(keys.0);
        }
        let tokenizer = Self::from_checkpoint(checkpoint)?;
        let algorithm = algorithm(checkpoint, &tokenizer)?;
        keys.text("model", algorithm.model);
        keys.text("pre", algorithm.pre);
        let (names, kinds) = tokenizer.table(rows, algorithm.model);
        keys.put("tokens", Value::Array(Array::String(names)));
        if let Some(mut scores) = algorithm.scores {
            scores.resize(rows, ADDED_SCORE);
            keys.put("scores", Value::Array(Array::F32(scores)));
        }
        keys.put("token_type", Value::Array(Array::I32(kinds)));
        if let Some(merges) = algorithm.merges {
            keys.put("merges", Value::Array(Array::String(merges)));
        }
        keys.roles(&tokenizer, checkpoint, rows);
        if algorithm.model == "llama" {
            keys.flag("add_space_prefix", tokenizer.adds_space());
        }
        Ok(keys.0)
    }

    /// Texts and types of `rows` tokens.
    fn table(&self, rows: usize, model: &str) -> (Vec<Text>, Vec<i32>) {
        let names = self.vocab.names.iter().take(rows).map(|(id, name)| {
            let plain = String::from_utf8_lossy(name).replace(SPACE, " ");
            // Readers look for these in the text as it is written.
            let spelled = model == "llama"
                && self.vocab.kind(id) == Kind::UserDefined
                && self.vocab.id(plain.as_bytes()).is_none();
            if spelled {
                plain.into_bytes().into()
            } else {
                name.into()
            }
        });
        let mut names: Vec<Text> = names.collect();
        for id in names.len()..rows {
            names.push(format!("[PAD{id}]").into_bytes().into());
        }
        let kind = |id: u32| match self.vocab.kind(id) {
            Kind::Control if model == "llama" && self.roles.unknown == Some(id) => Kind::Unknown,
            kind => kind,
        };
        let kinds = (0..rows).map(|id| kind(id as u32).to_gguf());
        (names, kinds.collect())
    }

    /// Whether a word that begins a text is encoded as after a space.
    fn adds_space(&self) -> bool {
        let options = EncodeOptions {
            add_special: false,
            parse_special: false,
        };
        let ids = self.encode("a", options);
        let first = ids.first().and_then(|id| self.vocab.names.get(*id));
        first.is_some_and(|name| name.starts_with(SPACE.to_string().as_bytes()))
    }
}

struct Keys(Metadata);

impl Keys {
    fn put(&mut self, name: &str, value: Value) {
        self.0.insert(format!("tokenizer.ggml.{name}"), value);
    }

    fn text(&mut self, name: &str, text: &str) {
        self.put(name, Value::String(text.as_bytes().into()));
    }

    fn flag(&mut self, name: &str, value: bool) {
        self.put(name, Value::Bool(value));
    }

    /// Tokens by role, and which are put around a text. Where the vocabulary does not say, `config.json` may.
    fn roles(&mut self, tokenizer: &Tokenizer, checkpoint: &Checkpoint, rows: usize) {
        let roles = tokenizer.roles();
        let named = [
            ("bos", roles.bos, "bos_token_id"),
            ("eos", roles.eos, "eos_token_id"),
            ("unknown", roles.unknown, "unk_token_id"),
            ("seperator", roles.separator, "sep_token_id"),
            ("padding", roles.padding, "pad_token_id"),
            ("mask", roles.mask, "mask_token_id"),
        ];
        for (name, id, setting) in named {
            let configured = || u32::try_from(checkpoint.config().get(setting)?.as_u64()?).ok();
            let id = id.or_else(configured);
            if let Some(id) = id.filter(|id| (*id as usize) < rows) {
                self.put(&format!("{name}_token_id"), Value::U32(id));
            }
        }
        self.flag("add_bos_token", tokenizer.add_bos());
        self.flag("add_eos_token", tokenizer.add_eos());
        if !tokenizer.suppressed().is_empty() {
            let ids = tokenizer.suppressed().iter().map(|id| *id as i32).collect();
            self.put("suppress_tokens", Value::Array(Array::I32(ids)));
        }
    }
}

fn algorithm(checkpoint: &Checkpoint, tokenizer: &Tokenizer) -> Result<Algorithm> {
    let unsupported = |name: &str| Error::Unsupported {
        what: "writing to a GGUF a vocabulary of kind",
        name: name.to_owned(),
    };
    let Some(bytes) = read(checkpoint, "tokenizer.json")? else {
        let model = read(checkpoint, "tokenizer.model")?;
        let (scores, by_pairs) =
            sentencepiece::scores(&model.ok_or_else(|| unsupported("vocab.txt"))?)?;
        return if by_pairs {
            Ok(Algorithm {
                model: "llama",
                pre: "default",
                scores: Some(scores),
                merges: None,
            })
        } else {
            Err(unsupported("Unigram"))
        };
    };
    let file: File = json::parse("tokenizer.json", &bytes)?;
    if file.model.type_name() != "BPE" {
        return Err(unsupported(file.model.type_name()));
    }
    let merges = file.model.merges.as_deref().unwrap_or_default();
    let byte_level =
        parts::normalizer(&file.normalizer)?.1 || parts::pre_tokenizer(&file.pre_tokenizer)?.1;
    if byte_level {
        let merges = merges.iter().map(|m| format!("{} {}", m.0, m.1));
        return Ok(Algorithm {
            model: "gpt2",
            pre: pre_name(&file)?,
            scores: None,
            merges: Some(merges.map(|m| m.into_bytes().into()).collect()),
        });
    }
    if !file.model.byte_fallback {
        return Err(unsupported(
            "BPE that is neither byte-level nor falls back to bytes",
        ));
    }
    // SentencePiece numbers pieces in the order in which merges made them, and its scores are those numbers.
    let mut ranks: FastMap<String, usize> = FastMap::default();
    for (rank, merge) in merges.iter().enumerate() {
        ranks
            .entry(format!("{}{}", merge.0, merge.1))
            .or_insert(rank);
    }
    let score = |(id, name): (u32, &[u8])| {
        let rank = std::str::from_utf8(name)
            .ok()
            .and_then(|name| ranks.get(name));
        match (rank, tokenizer.kind(id)) {
            (Some(rank), _) => -(*rank as f32),
            (None, Kind::Normal) => -(merges.len() as f32),
            (None, Kind::Byte) => 0.0,
            (None, _) => ADDED_SCORE,
        }
    };
    Ok(Algorithm {
        model: "llama",
        pre: "default",
        scores: Some(tokenizer.vocab.names.iter().map(score).collect()),
        merges: None,
    })
}

/// The name under which GGUF knows the cutting of a byte-level vocabulary.
fn pre_name(file: &File) -> Result<&'static str> {
    let unsupported = || Error::Unsupported {
        what: "no GGUF has a name for the pre_tokenizer",
        name: file.pre_tokenizer.to_string(),
    };
    let patterns = parts::isolated(&file.pre_tokenizer)?.ok_or_else(unsupported)?;
    let wanted: Vec<String> = patterns.iter().map(|p| canonical(p)).collect();
    let merging = |flags: u8| (flags & IGNORE_MERGES != 0) == file.model.ignore_merges;
    let same = PRES.iter().filter(|pre| {
        pre.flags & (ESCAPE | NO_BOS) == 0
            && pre
                .set
                .iter()
                .map(|p| canonical(p))
                .eq(wanted.iter().cloned())
    });
    let place = |name: &str| {
        let place = PREFERRED.iter().position(|p| *p == name);
        place.unwrap_or(PREFERRED.len())
    };
    same.min_by_key(|pre| (!merging(pre.flags), place(pre.name)))
        .map(|pre| pre.name)
        .ok_or_else(unsupported)
}

/// An expression with its escapes of characters resolved, and without a last alternative that other writers leave out
/// since the one before leaves nothing for it.
fn canonical(pattern: &str) -> String {
    let pattern = pattern
        .strip_suffix(r"|\s+")
        .filter(|rest| rest.ends_with(r"\s+(?!\S)"))
        .unwrap_or(pattern);
    let mut out = String::with_capacity(pattern.len());
    let mut rest = pattern;
    while let Some((before, after)) = rest.split_once(r"\u{") {
        out.push_str(before);
        let digits = after.split_once('}');
        let char = digits.and_then(|(hex, _)| char::from_u32(u32::from_str_radix(hex, 16).ok()?));
        match (char, digits) {
            (Some(char), Some((_, after))) => {
                out.push(char);
                rest = after;
            }
            _ => {
                out.push_str(r"\u{");
                rest = after;
            }
        }
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_compared_by_meaning() {
        let cases = [
            (r"[\u{4E00}-\u{9FA5}]+", "[一-龥]+"),
            (r"x|\s+(?!\S)|\s+", r"x|\s+(?!\S)"),
            (r"a\u{zz}b", r"a\u{zz}b"),
            (r"\s+", r"\s+"),
        ];
        for (a, b) in cases {
            assert_eq!(canonical(a), canonical(b), "{a} and {b}");
        }
    }

    fn name(pre: &str, ignore_merges: bool) -> Result<&'static str> {
        let text = format!(
            r#"{{"pre_tokenizer":{pre},"model":{{"type":"BPE","vocab":{{}},"merges":[],"ignore_merges":{ignore_merges}}}}}"#
        );
        pre_name(&json::parse("tokenizer.json", text.as_bytes()).unwrap())
    }

    #[test]
    fn pre_tokenizers_are_named_by_their_expressions() {
        let byte_level = r#"{"type":"ByteLevel","add_prefix_space":false,"use_regex":true}"#;
        assert_eq!(name(byte_level, false).unwrap(), "gpt-2");
        let digits = format!(
            r#"{{"type":"Sequence","pretokenizers":[{{"type":"Digits","individual_digits":true}},{byte_level}]}}"#
        );
        assert_eq!(name(&digits, false).unwrap(), "starcoder");
        for pre in PRES.iter().filter(|p| p.flags & (ESCAPE | NO_BOS) == 0) {
            let splits: Vec<String> = pre
                .set
                .iter()
                .map(|p| {
                    let regex = serde_json::Value::from(canonical(p));
                    format!(
                        r#"{{"type":"Split","pattern":{{"Regex":{regex}}},"behavior":"Isolated"}}"#
                    )
                })
                .collect();
            let text = format!(
                r#"{{"type":"Sequence","pretokenizers":[{},{{"type":"ByteLevel","add_prefix_space":false,"use_regex":false}}]}}"#,
                splits.join(",")
            );
            let found = name(&text, pre.flags & IGNORE_MERGES != 0).unwrap();
            let found = PRES.iter().find(|p| p.name == found).unwrap();
            assert_eq!(
                (found.set, found.flags & IGNORE_MERGES),
                (pre.set, pre.flags & IGNORE_MERGES),
                "{}",
                pre.name
            );
        }
        let message = name(&byte_level.replace("false", "true"), false)
            .unwrap_err()
            .to_string();
        assert!(message.contains("no GGUF has a name"), "{message}");
    }
}
