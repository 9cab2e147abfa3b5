//! A tokenizer from the `tokenizer.json` of a checkpoint.

mod base64;
pub(crate) mod file;
pub(crate) mod parts;

use serde::de::DeserializeOwned;

use crate::{
    Error, Result,
    arena::{Arena, FastMap},
    assemble::{Draft, Finish, Flags},
    bpe::{Bpe, Fallback, Parts, Start},
    bytes,
    cuts::SPACE,
    decode::Decoding,
    markers::{Marker, Markers, Order},
    merge::NONE,
    normalize::{self, Step},
    roles::Roles,
    split::Splitter,
    tokenizer::{Model, Tokenizer},
    unigram::Unigram,
    vocab::Kind,
    wordpiece::WordPiece,
};
use file::{Added, File, Merge, Token, Vocabulary};
pub(crate) use file::{AddedText, Config, Generation};

impl Tokenizer {
    /// Reads `tokenizer.json`, and of the files beside it `tokenizer_config.json` (which token is which) and
    /// `generation_config.json` (which end generation).
    ///
    /// # Errors
    /// When a file is not what it should be, two tokens have the same text, or a part has a type that is not known.
    pub fn from_json(
        tokenizer: &[u8],
        config: Option<&[u8]>,
        generation: Option<&[u8]>,
    ) -> Result<Self> {
        let file: File = parse("tokenizer.json", tokenizer)?;
        let (config, generation) = side_files(config, generation)?;
        build(file, &config, &generation)
    }
}

pub(crate) fn parse<T: DeserializeOwned>(name: &str, bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|source| Error::Json {
        file: name.to_owned(),
        source,
    })
}

/// `tokenizer_config.json` and `generation_config.json`, empty where there is none.
pub(crate) fn side_files(
    config: Option<&[u8]>,
    generation: Option<&[u8]>,
) -> Result<(Config, Generation)> {
    Ok((
        optional("tokenizer_config.json", config)?,
        optional("generation_config.json", generation)?,
    ))
}

/// Appends the tokens that a configuration adds to a vocabulary; ids it has already stay as they are.
pub(crate) fn append(
    added: &[(u32, &AddedText)],
    names: &mut Arena,
    kinds: &mut Vec<Kind>,
) -> Result<()> {
    let limit = (names.len() + added.len()) * 4 + GAPS_MAX;
    for (id, token) in added {
        let id = *id as usize;
        if id > limit {
            return Err(too_far(id));
        }
        while names.len() < id {
            names.push(format!("[PAD{}]", names.len()).as_bytes());
            kinds.push(Kind::Unused);
        }
        if names.len() == id {
            names.push(token.content.as_bytes());
            kinds.push(if token.special {
                Kind::Control
            } else {
                Kind::UserDefined
            });
        }
    }
    Ok(())
}

/// Ids may have gaps, but not so many that a short file makes a large table.
const GAPS_MAX: usize = 1 << 16;

fn too_far(id: usize) -> Error {
    Error::Invalid {
        what: "an id far beyond the number of tokens",
        found: id.to_string(),
    }
}

fn optional<T: DeserializeOwned + Default>(name: &str, bytes: Option<&[u8]>) -> Result<T> {
    bytes.map_or_else(|| Ok(T::default()), |bytes| parse(name, bytes))
}

fn build(file: File, config: &Config, generation: &Generation) -> Result<Tokenizer> {
    let File {
        model,
        added_tokens,
        ..
    } = &file;
    let scores = model.scores();
    let unknown_text = model.unknown_text();
    let table = Table::new(model, added_tokens, unknown_text.as_deref())?;
    let around = parts::template(&file.post_processor)?;
    let mut roles = table.roles(config, generation, around.as_ref());
    roles.unknown = unknown_text.and_then(|t| table.id(&t)).or(roles.unknown);
    let in_model = table.in_model;
    let mut draft = Draft::new(table.names, table.kinds, roles, Flags::default())?;
    draft.take(generation);

    let (steps, normal_bytes) = parts::normalizer(&file.normalizer)?;
    let (stages, cut_bytes) = parts::pre_tokenizer(&file.pre_tokenizer)?;
    let byte_level = normal_bytes || cut_bytes;
    let (spelling, strip_space, clean) = parts::decoder(&file.decoder, byte_level)?;
    let markers = markers(added_tokens, &steps, &draft)?;
    let algorithm = algorithm(model, &draft, &in_model, scores, byte_level)?;
    let [prefix, suffix] = surroundings(around, config, &draft);
    let finish = Finish {
        model: algorithm,
        steps,
        splitter: Splitter { stages },
        spelling,
        decoding: Decoding { strip_space, clean },
    };
    Ok(draft.finish_with(finish, markers, prefix, suffix))
}

impl Draft {
    /// Adds what `generation_config.json` says of ends and of tokens not to be sampled.
    pub(crate) fn take(&mut self, generation: &Generation) {
        let count = self.vocab.len();
        let known = |ids: &file::Ids| -> Vec<u32> {
            ids.list()
                .iter()
                .copied()
                .filter(|id| (*id as usize) < count)
                .collect()
        };
        self.ends.extend(known(&generation.eos_token_id));
        self.suppressed = known(&generation.suppress_tokens);
    }
}

impl file::Model {
    pub(crate) fn type_name(&self) -> &str {
        match (&self.kind, &self.vocab) {
            (Some(kind), _) => kind,
            (None, Vocabulary::Scores(_)) => "Unigram",
            (None, _) if self.merges.is_some() => "BPE",
            (None, _) if self.max_input_chars_per_word.is_some() => "WordPiece",
            (None, _) => "WordLevel",
        }
    }

    fn scores(&self) -> Vec<f32> {
        match &self.vocab {
            Vocabulary::Scores(list) => list.iter().map(|(_, score)| *score as f32).collect(),
            Vocabulary::Ids(_) => Vec::new(),
        }
    }

    fn unknown_text(&self) -> Option<String> {
        match (&self.unk_token, self.unk_id, &self.vocab) {
            (Some(text), _, _) => Some(text.clone()),
            (None, Some(id), Vocabulary::Scores(list)) => Some(list.get(id as usize)?.0.clone()),
            _ => None,
        }
    }
}

/// All tokens in the order of ids.
struct Table {
    names: Arena,
    kinds: Vec<Kind>,
    ids: FastMap<String, u32>,
    /// Whether the model itself has the token.
    in_model: Vec<bool>,
}

impl Table {
    fn new(model: &file::Model, added: &[Added], unknown: Option<&str>) -> Result<Self> {
        let entries: Vec<(&str, u32)> = match &model.vocab {
            Vocabulary::Ids(list) => list.iter().map(|(t, id)| (t.as_str(), *id)).collect(),
            Vocabulary::Scores(list) => (0..)
                .zip(list)
                .map(|(id, (t, _))| (t.as_str(), id))
                .collect(),
        };
        let limit = (entries.len() + added.len()) * 4 + GAPS_MAX;
        let all = entries
            .iter()
            .map(|e| e.1)
            .chain(added.iter().map(|a| a.id));
        let count = all.max().map_or(0, |id| id as usize + 1);
        if count > limit {
            return Err(too_far(count - 1));
        }
        let mut texts: Vec<Option<&str>> = vec![None; count];
        let mut ids = FastMap::default();
        let mut in_model = vec![false; count];
        for (text, id) in entries {
            if let Some(first) = ids.insert(text.to_owned(), id) {
                return Err(duplicate(first, id, text));
            }
            texts[id as usize] = Some(text);
            in_model[id as usize] = true;
        }
        let is_byte = |t: &str| model.byte_fallback && bytes::of_token(t.as_bytes()).is_some();
        let mut kinds: Vec<Kind> = texts
            .iter()
            .map(|text| match text {
                None => Kind::Unused,
                text if *text == unknown => Kind::Unknown,
                Some(text) if is_byte(text) => Kind::Byte,
                Some(_) => Kind::Normal,
            })
            .collect();
        for token in added {
            let id = token.id as usize;
            if let Some(first) = ids.insert(token.content.clone(), token.id)
                && first != token.id
            {
                return Err(duplicate(first, token.id, &token.content));
            }
            in_model[id] &= texts[id] == Some(&token.content);
            texts[id] = Some(&token.content);
            kinds[id] = if token.special {
                Kind::Control
            } else {
                Kind::UserDefined
            };
        }
        let mut names = Arena::default();
        for (id, text) in texts.iter().enumerate() {
            match text {
                Some(text) => names.push(text.as_bytes()),
                None => names.push(format!("[PAD{id}]").as_bytes()),
            };
        }
        Ok(Self {
            names,
            kinds,
            ids,
            in_model,
        })
    }

    fn id(&self, text: &str) -> Option<u32> {
        self.ids.get(text).copied()
    }

    fn roles(
        &self,
        config: &Config,
        generation: &Generation,
        around: Option<&[Vec<u32>; 2]>,
    ) -> Roles {
        let named = |token: &Option<Token>| self.id(token.as_ref()?.text()?);
        let known = |id: &u32| (*id as usize) < self.kinds.len();
        let first = |ids: &file::Ids| ids.list().first().copied().filter(known);
        let bos = named(&config.bos_token)
            .or_else(|| named(&config.cls_token))
            .or_else(|| first(&generation.bos_token_id))
            .or_else(|| around?[0].first().copied().filter(known));
        Roles {
            bos,
            eos: named(&config.eos_token).or_else(|| first(&generation.eos_token_id)),
            unknown: named(&config.unk_token),
            separator: named(&config.sep_token),
            padding: named(&config.pad_token),
            mask: named(&config.mask_token),
            ..Roles::default()
        }
    }
}

fn duplicate(a: u32, b: u32, text: &str) -> Error {
    Error::Duplicate {
        first: a.min(b),
        second: a.max(b),
        text: text.to_owned(),
    }
}

/// Added tokens: those looked for in the raw text, and those in the normalised one.
fn markers(added: &[Added], steps: &[Step], draft: &Draft) -> Result<[Markers; 2]> {
    let list = |normalized: bool| {
        let wanted = added.iter().filter(|a| a.normalized == normalized);
        wanted
            .map(|token| Marker {
                id: token.id,
                text: if normalized {
                    normalize::apply(steps, &token.content).into_owned()
                } else {
                    token.content.clone()
                },
                control: draft.is_control(token.id),
                lstrip: token.lstrip,
                rstrip: token.rstrip,
                single_word: token.single_word,
            })
            .collect()
    };
    // Without normalisation the two texts are one, and so are the searches.
    if steps.is_empty() {
        let mut all: Vec<Marker> = list(false);
        all.extend::<Vec<Marker>>(list(true));
        return Ok([Markers::new(all, Order::Leftmost)?, Markers::default()]);
    }
    Ok([
        Markers::new(list(false), Order::Leftmost)?,
        Markers::new(list(true), Order::Leftmost)?,
    ])
}

fn algorithm(
    model: &file::Model,
    draft: &Draft,
    in_model: &[bool],
    scores: Vec<f32>,
    byte_level: bool,
) -> Result<Model> {
    Ok(match model.type_name() {
        "BPE" => Model::Bpe(Box::new(bpe(model, draft, in_model, byte_level)?)),
        "Unigram" => {
            let bytes = model.byte_fallback.then(|| draft.byte_tokens());
            let unigram = Unigram::new(&draft.vocab, scores, draft.roles.unknown, bytes);
            Model::Unigram(Box::new(unigram))
        }
        "WordPiece" => Model::WordPiece(wordpiece(model, draft, in_model)),
        "WordLevel" => Model::WordLevel(draft.roles.unknown),
        other => {
            return Err(Error::Unsupported {
                what: "tokenizer.json model",
                name: other.to_owned(),
            });
        }
    })
}

fn bpe(model: &file::Model, draft: &Draft, in_model: &[bool], byte_level: bool) -> Result<Bpe> {
    for (what, value) in [
        (
            "continuing_subword_prefix",
            &model.continuing_subword_prefix,
        ),
        ("end_of_word_suffix", &model.end_of_word_suffix),
    ] {
        if let Some(name) = value.as_ref().filter(|v| !v.is_empty()) {
            return Err(Error::Unsupported {
                what,
                name: name.clone(),
            });
        }
    }
    let text = |name: &[u8]| {
        if byte_level {
            bytes::decode(name)
        } else {
            Some(name.to_vec())
        }
    };
    let names = draft.vocab.names.iter();
    let texts = names.map(|(id, name)| text(name).filter(|_| in_model[id as usize]));
    let merges = model.merges.as_deref().unwrap_or_default();
    Bpe::by_merges(
        Parts {
            start: if byte_level {
                Start::Bytes
            } else {
                Start::Chars
            },
            texts: texts.collect(),
            kinds: &draft.vocab.kinds,
            fallback: Fallback {
                bytes: if model.byte_fallback {
                    draft.byte_tokens()
                } else {
                    Box::new([NONE; 256])
                },
                all_or_none: true,
                unknown: model.unk_token.as_ref().and(draft.roles.unknown),
                fuse: model.fuse_unk,
            },
            whole: &|_| model.ignore_merges,
        },
        merges
            .iter()
            .map(|Merge(a, b)| Some((text(a.as_bytes())?, text(b.as_bytes())?))),
    )
}

/// Word pieces turned to the spelling of GGUF: U+2581 where a word begins, no prefix where it goes on.
fn wordpiece(model: &file::Model, draft: &Draft, in_model: &[bool]) -> WordPiece {
    let prefix = model
        .continuing_subword_prefix
        .as_deref()
        .unwrap_or("##")
        .as_bytes();
    let names = draft
        .vocab
        .names
        .iter()
        .filter(|(id, _)| in_model[*id as usize]);
    let spelled: Vec<_> = names
        .map(|(id, name)| match name.strip_prefix(prefix) {
            Some(rest) => (rest.to_vec(), id),
            None => ([SPACE.to_string().as_bytes(), name].concat(), id),
        })
        .collect();
    WordPiece::new(
        spelled.iter().map(|(text, id)| (text.as_slice(), *id)),
        draft.roles.unknown,
        model.max_input_chars_per_word.unwrap_or(100),
    )
}

/// What is put before and after a text: the template's tokens, but for begin and end as `tokenizer_config.json` says.
fn surroundings(around: Option<[Vec<u32>; 2]>, config: &Config, draft: &Draft) -> [Vec<u32>; 2] {
    let [mut prefix, mut suffix] = around.unwrap_or_default();
    for list in [&mut prefix, &mut suffix] {
        list.retain(|id| (*id as usize) < draft.vocab.len());
    }
    if let (Some(wanted), Some(bos)) = (config.add_bos_token, draft.roles.bos) {
        if prefix.first() == Some(&bos) {
            prefix.remove(0);
        }
        if wanted {
            prefix.insert(0, bos);
        }
    }
    if let (Some(wanted), Some(eos)) = (config.add_eos_token, draft.roles.eos) {
        if suffix.last() == Some(&eos) {
            suffix.pop();
        }
        if wanted {
            suffix.push(eos);
        }
    }
    [prefix, suffix]
}
