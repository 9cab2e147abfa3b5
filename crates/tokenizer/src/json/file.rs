//! The shape of `tokenizer.json` and `tokenizer_config.json`.

use std::{collections::HashMap, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::Value;

/// `tokenizer.json`.
#[derive(Debug, Deserialize)]
pub(crate) struct File {
    #[serde(default)]
    pub added_tokens: Vec<Added>,
    #[serde(default)]
    pub normalizer: Value,
    #[serde(default)]
    pub pre_tokenizer: Value,
    #[serde(default)]
    pub post_processor: Value,
    #[serde(default)]
    pub decoder: Value,
    pub model: Model,
}

/// A token beside the model's.
#[derive(Debug, Deserialize)]
pub(crate) struct Added {
    pub id: u32,
    pub content: String,
    #[serde(default)]
    pub single_word: bool,
    #[serde(default)]
    pub lstrip: bool,
    #[serde(default)]
    pub rstrip: bool,
    #[serde(default)]
    pub normalized: bool,
    #[serde(default)]
    pub special: bool,
}

/// The algorithm with its vocabulary; which fields there are depends on the type.
#[derive(Debug, Deserialize)]
pub(crate) struct Model {
    #[serde(rename = "type")]
    pub kind: Option<String>,
    pub vocab: Vocabulary,
    pub merges: Option<Vec<Merge>>,
    pub unk_token: Option<String>,
    pub unk_id: Option<u32>,
    pub continuing_subword_prefix: Option<String>,
    pub end_of_word_suffix: Option<String>,
    #[serde(default)]
    pub fuse_unk: bool,
    #[serde(default)]
    pub byte_fallback: bool,
    #[serde(default)]
    pub ignore_merges: bool,
    pub max_input_chars_per_word: Option<usize>,
}

/// Texts and ids, or texts and scores in the order of ids.
#[derive(Debug)]
pub(crate) enum Vocabulary {
    Ids(Vec<(String, u32)>),
    Scores(Vec<(String, f64)>),
}

impl<'de> Deserialize<'de> for Vocabulary {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Vocabulary;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of tokens to ids or a list of tokens with scores")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vocabulary, A::Error> {
                let mut list = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    list.push(entry);
                }
                Ok(Vocabulary::Ids(list))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vocabulary, A::Error> {
                let mut list = Vec::new();
                while let Some(entry) = seq.next_element()? {
                    list.push(entry);
                }
                Ok(Vocabulary::Scores(list))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

/// A merge: `"a b"`, or `["a", "b"]` in newer files.
#[derive(Debug)]
pub(crate) struct Merge(pub String, pub String);

impl<'de> Deserialize<'de> for Merge {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Merge;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("two texts, or one with a space between")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Merge, E> {
                let (left, right) = text
                    .split_once(' ')
                    .filter(|(left, right)| !left.is_empty() && !right.is_empty())
                    .ok_or_else(|| {
                        E::custom(format!(
                            "merge {text:?} is not two texts with a space between"
                        ))
                    })?;
                Ok(Merge(left.into(), right.into()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Merge, A::Error> {
                let short = || serde::de::Error::custom("a merge has fewer than two texts");
                let left = seq.next_element()?.ok_or_else(short)?;
                let right = seq.next_element()?.ok_or_else(short)?;
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Merge(left, right))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

/// `tokenizer_config.json`, as far as it matters here.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Config {
    pub do_lower_case: Option<bool>,
    pub strip_accents: Option<bool>,
    pub added_tokens_decoder: HashMap<String, AddedText>,
    pub add_bos_token: Option<bool>,
    pub add_eos_token: Option<bool>,
    pub bos_token: Option<Token>,
    pub eos_token: Option<Token>,
    pub unk_token: Option<Token>,
    pub sep_token: Option<Token>,
    pub pad_token: Option<Token>,
    pub cls_token: Option<Token>,
    pub mask_token: Option<Token>,
}

/// A token of `added_tokens_decoder`, whose id is its key.
#[derive(Debug, Deserialize)]
pub(crate) struct AddedText {
    pub content: String,
    #[serde(default)]
    pub special: bool,
}

impl Config {
    /// The added tokens, in the order of ids.
    pub(crate) fn added(&self) -> Vec<(u32, &AddedText)> {
        let mut list: Vec<_> = self
            .added_tokens_decoder
            .iter()
            .filter_map(|(id, token)| Some((id.parse().ok()?, token)))
            .collect();
        list.sort_by_key(|entry| entry.0);
        list
    }
}

/// A token by its text, plain or with its attributes.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Token {
    Text(String),
    Object { content: String },
    Other(IgnoredAny),
}

impl Token {
    /// The text.
    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) | Self::Object { content: text } => Some(text),
            Self::Other(_) => None,
        }
    }
}

/// `generation_config.json`, as far as it matters here.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Generation {
    pub bos_token_id: Ids,
    pub eos_token_id: Ids,
    pub suppress_tokens: Ids,
}

/// One id, a list of them, or nothing usable.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Ids {
    One(u32),
    Many(Vec<u32>),
    Other(IgnoredAny),
}

impl Default for Ids {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

impl Ids {
    /// All of them.
    pub(crate) fn list(&self) -> &[u32] {
        match self {
            Self::One(id) => std::slice::from_ref(id),
            Self::Many(ids) => ids,
            Self::Other(_) => &[],
        }
    }
}
