//! A tokenizer from the `tokenizer.ggml.*` keys of a GGUF.

use hearth_format::{Array, Metadata, Value};

use crate::{
    Error, Result,
    arena::Arena,
    assemble::{self, Draft, Flags},
    charsmap::Charsmap,
    merge::NONE,
    roles::Roles,
    split::{
        Splitter,
        table::{self, ADD_BOS, ESCAPE, IGNORE_MERGES, NO_BOS, Pre},
    },
    tokenizer::Tokenizer,
    vocab::Kind,
};

/// Prefix of every key.
const PREFIX: &str = "tokenizer.ggml.";

/// What holds for a value of `tokenizer.ggml.model` unless the file says otherwise.
struct Defaults {
    model: &'static str,
    flags: Flags,
    bos: Option<u32>,
    eos: Option<u32>,
    unknown: Option<u32>,
    separator: Option<u32>,
    padding: Option<u32>,
}

const fn defaults(model: &'static str, ids: [u32; 5], flags: [bool; 3]) -> Defaults {
    const fn id(n: u32) -> Option<u32> {
        if n == NONE { None } else { Some(n) }
    }
    Defaults {
        model,
        flags: Flags {
            add_space_prefix: flags[0],
            add_bos: flags[1],
            add_eos: flags[2],
            remove_extra_spaces: false,
        },
        bos: id(ids[0]),
        eos: id(ids[1]),
        unknown: id(ids[2]),
        separator: id(ids[3]),
        padding: id(ids[4]),
    }
}

/// Ids: begin, end, unknown, separator, padding. Flags: a space before the text, begin, end.
const DEFAULTS: [Defaults; 7] = [
    defaults("llama", [1, 2, 0, NONE, NONE], [true, true, false]),
    defaults("gpt2", [11, 11, NONE, NONE, NONE], [false, false, false]),
    defaults("gemma4", [NONE; 5], [false, true, false]),
    defaults("bert", [101, NONE, 100, 102, 0], [false, true, false]),
    defaults("t5", [NONE, 1, 2, NONE, 0], [false, false, true]),
    defaults("rwkv", [NONE; 5], [false, false, false]),
    defaults("plamo2", [1, 2, 0, NONE, 3], [false, false, false]),
];

impl Tokenizer {
    /// Reads the vocabulary of a GGUF.
    ///
    /// # Errors
    /// When a key is missing or contradicts another, two tokens have the same text, or the kind of tokenizer is not
    /// known. Special ids outside the vocabulary are ignored.
    pub fn from_gguf(metadata: &Metadata) -> Result<Self> {
        let keys = Keys(metadata);
        let model = metadata
            .string("tokenizer.ggml.model")
            .ok_or_else(|| keys.missing("model", "a text"))?;
        let defaults =
            DEFAULTS
                .iter()
                .find(|d| d.model == model)
                .ok_or_else(|| Error::Unsupported {
                    what: "tokenizer.ggml.model",
                    name: model.to_owned(),
                })?;
        let pre = keys.pre(model)?;
        let mut draft = keys.draft(defaults, pre)?;
        if model == "bert" {
            draft.flags.add_bos = true;
        }
        match model {
            "llama" => assemble::spm(draft, keys.scores()?, None),
            "t5" => assemble::unigram(draft, keys.scores()?, keys.charsmap()?),
            "bert" => {
                let lowercase = keys.flag("normalizer.lowercase").unwrap_or(true);
                let accents = keys.flag("normalizer.strip_accents").unwrap_or(lowercase);
                assemble::wordpiece(draft, lowercase, accents)
            }
            "rwkv" => assemble::longest(draft),
            "plamo2" => assemble::plamo(draft, &keys.scores()?),
            _ => keys.bpe(draft, pre),
        }
    }
}

struct Keys<'m>(&'m Metadata);

impl Keys<'_> {
    fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(&format!("{PREFIX}{name}"))
    }

    fn missing(&self, name: &str, expected: &'static str) -> Error {
        Error::Missing {
            key: format!("{PREFIX}{name}"),
            expected,
        }
    }

    fn flag(&self, name: &str) -> Option<bool> {
        self.0.bool(&format!("{PREFIX}{name}"))
    }

    /// The pre-tokenizer; kinds other than byte-level ignore the key.
    fn pre(&self, model: &str) -> Result<&'static Pre> {
        let name = match model {
            "gpt2" => self.get("pre").and_then(Value::text).unwrap_or("default"),
            "gemma4" => "gemma4",
            _ => "default",
        };
        table::find(name).ok_or_else(|| Error::Unsupported {
            what: "tokenizer.ggml.pre",
            name: name.to_owned(),
        })
    }

    fn draft(&self, defaults: &Defaults, pre: &Pre) -> Result<Draft> {
        let tokens = self
            .0
            .strings("tokenizer.ggml.tokens")
            .ok_or_else(|| self.missing("tokens", "an array of strings"))?;
        let kinds = match self.0.integers("tokenizer.ggml.token_type") {
            Some(list) => {
                self.at_least("token_type", list.len(), tokens.len())?;
                let kinds = list.iter().take(tokens.len());
                kinds.map(|n| Kind::from_gguf(*n)).collect()
            }
            None if self.get("token_type").is_some() => {
                return Err(self.missing("token_type", "an array of integers"));
            }
            None => vec![Kind::Normal; tokens.len()],
        };
        let mut flags = defaults.flags;
        flags.add_bos |= pre.flags & ADD_BOS != 0;
        for (name, flag) in [
            ("add_bos_token", &mut flags.add_bos),
            ("add_eos_token", &mut flags.add_eos),
            ("add_space_prefix", &mut flags.add_space_prefix),
            ("remove_extra_whitespaces", &mut flags.remove_extra_spaces),
        ] {
            *flag = self.flag(name).unwrap_or(*flag);
        }
        let names: Arena = tokens.iter().map(|t| &**t).collect();
        let mut draft = Draft::new(names, kinds, self.roles(defaults, pre, tokens.len()), flags)?;
        draft.strip = self.strip();
        let suppressed = self.0.integers("tokenizer.ggml.suppress_tokens");
        draft.suppressed = suppressed
            .unwrap_or_default()
            .into_iter()
            .filter_map(|id| u32::try_from(id).ok())
            .filter(|id| (*id as usize) < tokens.len())
            .collect();
        Ok(draft)
    }

    fn roles(&self, defaults: &Defaults, pre: &Pre, count: usize) -> Roles {
        let bos = defaults.bos.filter(|_| pre.flags & NO_BOS == 0);
        let id = |names: &[&str], default: Option<u32>| {
            names
                .iter()
                .find_map(|name| self.get(&format!("{name}_token_id"))?.integer())
                .map_or(default, |id| u32::try_from(id).ok())
                .filter(|id| (*id as usize) < count)
        };
        Roles {
            bos: id(&["bos", "cls"], bos),
            eos: id(&["eos"], defaults.eos),
            eot: id(&["eot"], None),
            eom: id(&["eom"], None),
            unknown: id(&["unknown"], defaults.unknown),
            separator: id(&["seperator", "separator"], defaults.separator),
            padding: id(&["padding"], defaults.padding),
            mask: id(&["mask"], None),
            fim_prefix: id(&["fim_pre", "prefix"], None),
            fim_suffix: id(&["fim_suf", "suffix"], None),
            fim_middle: id(&["fim_mid", "middle"], None),
            fim_padding: id(&["fim_pad"], None),
            fim_repository: id(&["fim_rep"], None),
            fim_file: id(&["fim_sep"], None),
        }
    }

    /// What a GGUF cannot say of its special tokens, by the names of models.
    fn strip(&self) -> assemble::Strip {
        let text = |key| self.0.string(key).unwrap_or_default().to_lowercase();
        let (pre, name) = (text("tokenizer.ggml.pre"), text("general.name"));
        let architecture = text("general.architecture");
        let jina = ["jina-v2-de", "jina-v2-es", "jina-v2-code"];
        if jina.iter().any(|j| pre.contains(j))
            || ["nomic-bert-moe", "jina-bert-v3"].contains(&architecture.as_str())
        {
            assemble::Strip::Before("<mask>")
        } else if name.contains("phi-3") || name.contains("phi3") {
            assemble::Strip::AfterAllBut(&["<unk>", "<s>", "<|endoftext|>"])
        } else if name.contains("modern-bert") {
            assemble::Strip::Before("[MASK]")
        } else {
            assemble::Strip::None
        }
    }

    fn at_least(&self, name: &'static str, found: usize, tokens: usize) -> Result<()> {
        if found >= tokens {
            return Ok(());
        }
        Err(Error::Invalid {
            what: "an array of the vocabulary is shorter than its tokens",
            found: format!("{PREFIX}{name} has {found}, tokens {tokens}"),
        })
    }

    fn scores(&self) -> Result<Vec<f32>> {
        let count = self
            .0
            .strings("tokenizer.ggml.tokens")
            .map_or(0, <[_]>::len);
        let scores: Vec<f32> = match self.get("scores") {
            None => return Ok(vec![0.0; count]),
            Some(Value::Array(Array::F32(list))) => list.clone(),
            Some(_) => self
                .0
                .integers("tokenizer.ggml.scores")
                .ok_or_else(|| self.missing("scores", "an array of numbers"))?
                .into_iter()
                .map(|n| n as f32)
                .collect(),
        };
        self.at_least("scores", scores.len(), count)?;
        Ok(scores)
    }

    fn charsmap(&self) -> Result<Option<Charsmap>> {
        let blob = match self.get("precompiled_charsmap") {
            None => return Ok(None),
            Some(Value::Array(Array::U8(bytes))) => bytes.clone(),
            Some(Value::Array(Array::I8(bytes))) => bytes.iter().map(|b| *b as u8).collect(),
            Some(_) => return Err(self.missing("precompiled_charsmap", "an array of bytes")),
        };
        if blob.is_empty() {
            return Ok(None);
        }
        Charsmap::new(&blob).map(Some)
    }

    fn bpe(&self, draft: Draft, pre: &Pre) -> Result<Tokenizer> {
        let merges = match self.0.strings("tokenizer.ggml.merges") {
            Some(list) => Some(list.iter().map(|m| split_merge(m)).collect::<Result<_>>()?),
            None if pre.name == "kimi-k2" => None,
            None => return Err(self.missing("merges", "an array of strings")),
        };
        let splitter = Splitter::isolating(pre.set)?;
        let ignore_merges = pre.flags & IGNORE_MERGES != 0;
        if pre.flags & ESCAPE != 0 {
            assemble::raw_bpe(draft, merges.unwrap_or_default(), splitter)
        } else {
            assemble::byte_level(draft, merges, splitter, ignore_merges)
        }
    }
}

/// The two halves of a merge; the first space is the border, unless it begins the text.
fn split_merge(text: &[u8]) -> Result<(&[u8], &[u8])> {
    let space = text.iter().skip(1).position(|&b| b == b' ');
    match space {
        Some(at) if at + 2 < text.len() => Ok((&text[..=at], &text[at + 2..])),
        _ => Err(Error::Invalid {
            what: "a merge is not two texts with a space between",
            found: String::from_utf8_lossy(text).into_owned(),
        }),
    }
}
