//! Normalisers, pre-tokenizers, post-processors and decoders of `tokenizer.json`.

use serde_json::Value;

use crate::{
    Error, Result, assemble,
    charsmap::Charsmap,
    cuts::SPACE,
    decode::Spelling,
    json::base64,
    normalize::{Bert, Form, Step},
    split::{Behavior, GPT2, Pattern, Prepend, Stage},
    unicode::{NUMBER, PUNCTUATION, SPACE as WHITE},
};

/// Deepest nesting of sequences.
const DEPTH_MAX: usize = 16;

fn kind(part: &Value) -> &str {
    part.get("type").and_then(Value::as_str).unwrap_or_default()
}

fn flag(part: &Value, name: &str, default: bool) -> bool {
    part.get(name).and_then(Value::as_bool).unwrap_or(default)
}

fn text<'v>(part: &'v Value, name: &str) -> Option<&'v str> {
    part.get(name).and_then(Value::as_str)
}

fn required<'v>(part: &'v Value, name: &'static str) -> Result<&'v str> {
    text(part, name).ok_or_else(|| Error::Missing {
        key: format!("{}.{name}", kind(part)),
        expected: "a text",
    })
}

fn unsupported(what: &'static str, part: &Value) -> Error {
    Error::Unsupported {
        what,
        name: if kind(part).is_empty() {
            part.to_string().chars().take(80).collect()
        } else {
            kind(part).to_owned()
        },
    }
}

/// The parts of a `Sequence`, or the one part; nothing for null.
fn flatten<'v>(part: &'v Value, list: &str, depth: usize, out: &mut Vec<&'v Value>) -> Result<()> {
    if part.is_null() {
        return Ok(());
    }
    if kind(part) != "Sequence" {
        out.push(part);
        return Ok(());
    }
    if depth == DEPTH_MAX {
        return Err(Error::Unsupported {
            what: "nesting of",
            name: list.to_owned(),
        });
    }
    for part in part
        .get(list)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        flatten(part, list, depth + 1, out)?;
    }
    Ok(())
}

fn parts<'v>(part: &'v Value, list: &str) -> Result<Vec<&'v Value>> {
    let mut out = Vec::new();
    flatten(part, list, 0, &mut out)?;
    Ok(out)
}

/// Normalisation, and whether it ends in byte-level characters.
pub(crate) fn normalizer(part: &Value) -> Result<(Vec<Step>, bool)> {
    let mut steps = Vec::new();
    let mut byte_level = false;
    for part in parts(part, "normalizers")? {
        match kind(part) {
            "ByteLevel" => byte_level = true,
            _ => steps.extend(step(part)?),
        }
    }
    Ok((steps, byte_level))
}

fn step(part: &Value) -> Result<Option<Step>> {
    Ok(Some(match kind(part) {
        "NFC" => Step::Form(Form::NFC),
        "NFD" => Step::Form(Form::NFD),
        "NFKC" => Step::Form(Form::NFKC),
        "NFKD" => Step::Form(Form::NFKD),
        "Lowercase" => Step::Lowercase,
        "StripAccents" => Step::StripAccents,
        "Prepend" => Step::Prepend(required(part, "prepend")?.to_owned()),
        "Strip" => Step::Strip {
            left: flag(part, "strip_left", true),
            right: flag(part, "strip_right", true),
        },
        "Replace" => Step::Replace(pattern(part)?, required(part, "content")?.to_owned()),
        "Precompiled" => match text(part, "precompiled_charsmap") {
            None | Some("") => return Ok(None),
            Some(map) => Step::Charsmap(Charsmap::new(&base64::decode(map)?)?),
        },
        // SentencePiece's own cleaning: control characters away, all white space to spaces.
        "Nmt" => Step::Bert(Bert {
            clean: true,
            ideographs: false,
            strip_accents: false,
            lowercase: false,
        }),
        "BertNormalizer" => {
            let lowercase = flag(part, "lowercase", true);
            Step::Bert(Bert {
                clean: flag(part, "clean_text", true),
                ideographs: flag(part, "handle_chinese_chars", true),
                strip_accents: flag(part, "strip_accents", lowercase),
                lowercase,
            })
        }
        _ => return Err(unsupported("normalizer", part)),
    }))
}

fn pattern(part: &Value) -> Result<Pattern> {
    let missing = || Error::Missing {
        key: format!("{}.pattern", kind(part)),
        expected: "a `String` or a `Regex`",
    };
    let pattern = part.get("pattern").ok_or_else(missing)?;
    if let Some(regex) = text(pattern, "Regex") {
        return Pattern::regex(regex);
    }
    let literal = text(pattern, "String").or_else(|| pattern.as_str());
    match literal {
        Some(literal) if !literal.is_empty() => Ok(Pattern::Literal(literal.to_owned())),
        _ => Err(missing()),
    }
}

fn behavior(part: &Value) -> Result<Behavior> {
    Ok(match text(part, "behavior").unwrap_or("Isolated") {
        "Isolated" | "isolated" => Behavior::Isolated,
        "Removed" | "removed" => Behavior::Removed,
        "MergedWithPrevious" | "merged_with_previous" => Behavior::MergedWithPrevious,
        "MergedWithNext" | "merged_with_next" => Behavior::MergedWithNext,
        "Contiguous" | "contiguous" => Behavior::Contiguous,
        other => {
            return Err(Error::Unsupported {
                what: "split behavior",
                name: other.to_owned(),
            });
        }
    })
}

fn cut(pattern: Pattern, behavior: Behavior) -> Stage {
    Stage::Cut {
        pattern,
        behavior,
        invert: false,
    }
}

/// The cutting, and whether it ends in byte-level characters.
pub(crate) fn pre_tokenizer(part: &Value) -> Result<(Vec<Stage>, bool)> {
    let mut stages = Vec::new();
    let mut byte_level = false;
    for part in parts(part, "pretokenizers")? {
        byte_level |= kind(part) == "ByteLevel";
        stage(part, &mut stages)?;
    }
    Ok((stages, byte_level))
}

/// The expressions of a byte-level pre-tokenizer that isolates the matches of each; `None` where it does something else.
pub(crate) fn isolated(part: &Value) -> Result<Option<Vec<String>>> {
    let mut patterns = Vec::new();
    for part in parts(part, "pretokenizers")? {
        match kind(part) {
            "ByteLevel" if flag(part, "add_prefix_space", true) => return Ok(None),
            "ByteLevel" if flag(part, "use_regex", true) => patterns.push(GPT2.to_owned()),
            "ByteLevel" => {}
            "Digits" if flag(part, "individual_digits", false) => {
                patterns.push(r"\p{N}".to_owned())
            }
            "Split" if matches!(behavior(part)?, Behavior::Isolated) => {
                match part.get("pattern").and_then(|p| text(p, "Regex")) {
                    Some(regex) => patterns.push(regex.to_owned()),
                    None => return Ok(None),
                }
            }
            _ => return Ok(None),
        }
    }
    Ok(Some(patterns))
}

fn stage(part: &Value, stages: &mut Vec<Stage>) -> Result<()> {
    let space = |classes: &crate::unicode::Classes, c| classes.of(c) & WHITE != 0;
    match kind(part) {
        "ByteLevel" => {
            if flag(part, "add_prefix_space", true) {
                stages.push(Stage::PrefixSpace);
            }
            if flag(part, "use_regex", true) {
                stages.push(Stage::isolate(GPT2)?);
            }
        }
        "Split" => stages.push(Stage::Cut {
            pattern: pattern(part)?,
            behavior: behavior(part)?,
            invert: flag(part, "invert", false),
        }),
        "Metaspace" => stages.push(metaspace(part)?),
        "Whitespace" => stages.push(Stage::Cut {
            pattern: Pattern::regex(r"\w+|[^\w\s]+")?,
            behavior: Behavior::Removed,
            invert: true,
        }),
        "WhitespaceSplit" => stages.push(cut(Pattern::Chars(space), Behavior::Removed)),
        "BertPreTokenizer" => stages.extend(assemble::bert_stages()),
        "Punctuation" => stages.push(cut(
            Pattern::Chars(|classes, c| {
                c.is_ascii_punctuation() || classes.of(c) & PUNCTUATION != 0
            }),
            behavior(part)?,
        )),
        "Digits" => stages.push(cut(
            Pattern::Chars(|classes, c| classes.of(c) & NUMBER != 0),
            if flag(part, "individual_digits", false) {
                Behavior::Isolated
            } else {
                Behavior::Contiguous
            },
        )),
        "CharDelimiterSplit" => {
            let delimiter = required(part, "delimiter")?;
            if !delimiter.is_empty() {
                stages.push(cut(
                    Pattern::Literal(delimiter.to_owned()),
                    Behavior::Removed,
                ));
            }
        }
        "FixedLength" => {
            let length = part.get("length").and_then(Value::as_u64).unwrap_or(5);
            stages.push(Stage::Length(
                usize::try_from(length).unwrap_or(usize::MAX).max(1),
            ));
        }
        _ => return Err(unsupported("pre_tokenizer", part)),
    }
    Ok(())
}

fn metaspace(part: &Value) -> Result<Stage> {
    let old = if flag(part, "add_prefix_space", true) {
        "always"
    } else {
        "never"
    };
    Ok(Stage::Metaspace {
        replacement: replacement(part),
        prepend: match text(part, "prepend_scheme").unwrap_or(old) {
            "always" => Prepend::Always,
            "first" => Prepend::First,
            "never" => Prepend::Never,
            other => {
                return Err(Error::Unsupported {
                    what: "prepend_scheme",
                    name: other.to_owned(),
                });
            }
        },
        split: flag(part, "split", true),
    })
}

fn replacement(part: &Value) -> char {
    text(part, "replacement")
        .and_then(|t| t.chars().next())
        .unwrap_or(SPACE)
}

/// The tokens that a post-processor puts before and after one text.
pub(super) fn template(part: &Value) -> Result<Option<[Vec<u32>; 2]>> {
    for part in parts(part, "processors")? {
        match kind(part) {
            "TemplateProcessing" => return template_items(part).map(Some),
            "BertProcessing" | "RobertaProcessing" => {
                let id = |name: &str| -> Vec<u32> {
                    let id = part
                        .get(name)
                        .and_then(|pair| pair.get(1))
                        .and_then(Value::as_u64);
                    id.and_then(|id| u32::try_from(id).ok())
                        .into_iter()
                        .collect()
                };
                return Ok(Some([id("cls"), id("sep")]));
            }
            "ByteLevel" => {}
            _ => return Err(unsupported("post_processor", part)),
        }
    }
    Ok(None)
}

fn template_items(part: &Value) -> Result<[Vec<u32>; 2]> {
    let mut around = [Vec::new(), Vec::new()];
    let mut side = 0;
    for item in part
        .get("single")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        if item.get("Sequence").is_some() {
            side = 1;
            continue;
        }
        let name = item
            .get("SpecialToken")
            .map(|token| required(token, "id"))
            .transpose()?
            .unwrap_or_default();
        let ids = part
            .get("special_tokens")
            .and_then(|tokens| tokens.get(name)?.get("ids")?.as_array())
            .ok_or_else(|| Error::Missing {
                key: format!("TemplateProcessing.special_tokens.{name}.ids"),
                expected: "a list of ids",
            })?;
        let ids = ids.iter().filter_map(|id| u32::try_from(id.as_u64()?).ok());
        around[side].extend(ids);
    }
    Ok(around)
}

/// How tokens spell what they print, whether a leading space is taken off the whole, and whether it is cleaned.
pub(super) fn decoder(part: &Value, byte_level: bool) -> Result<(Spelling, bool, bool)> {
    let mut replace = Vec::new();
    let mut strip = false;
    for part in parts(part, "decoders")? {
        match kind(part) {
            "ByteLevel" => return Ok((Spelling::ByteLevel, false, false)),
            "WordPiece" => {
                let prefix = text(part, "prefix").unwrap_or("##").to_owned();
                let clean = flag(part, "cleanup", true);
                return Ok((Spelling::Continued(prefix), true, clean));
            }
            "Metaspace" => {
                replace.push((replacement(part).to_string(), " ".to_owned()));
                strip |= flag(part, "add_prefix_space", true)
                    && text(part, "prepend_scheme") != Some("never");
            }
            "Replace" => {
                if let Pattern::Literal(from) = pattern(part)? {
                    replace.push((from, required(part, "content")?.to_owned()));
                }
            }
            "Strip" => {
                let start = part.get("start").and_then(Value::as_u64);
                strip |= text(part, "content") == Some(" ") && start > Some(0);
            }
            "BPEDecoder" => {
                replace.push((
                    text(part, "suffix").unwrap_or("</w>").to_owned(),
                    " ".to_owned(),
                ));
            }
            "ByteFallback" | "Fuse" => {}
            _ => return Err(unsupported("decoder", part)),
        }
    }
    replace.retain(|(from, _)| !from.is_empty());
    if byte_level && replace.is_empty() {
        return Ok((Spelling::ByteLevel, false, false));
    }
    Ok((Spelling::Replace(replace), strip, false))
}
