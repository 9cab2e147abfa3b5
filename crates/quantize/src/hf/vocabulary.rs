//! The vocabulary, and whether the file's reads as the directory's does.

use hearth_format::{Metadata, Value};
use hearth_tokenizer::{EncodeOptions, Tokenizer};

use super::Origin;
use crate::{Error, Result, plan::replaced};

/// Scripts, digits, spaces, line ends and code: what pre-tokenizers treat differently.
const PROBES: [&str; 8] = [
    "Hello, world! It's 1234567 o'clock; we'LL see.",
    "  two  spaces\n\n\tand tabs \r\n ",
    "fn main() { let x_1 = [0x1F; 32]; } // déjà vu",
    "Привет, мир! Ελληνικά, עברית, العربية",
    "中文字符，日本語テキスト、한국어 문장",
    "हिन्दी ไทย e\u{301}",
    "🙂👩‍🚀 ½ ² ™",
    "a",
];

/// Adds the vocabulary's keys; a note says where a GGUF cannot read text as the directory's own vocabulary does.
pub(super) fn add(
    origin: &Origin<'_>,
    metadata: &mut Metadata,
    notes: &mut Vec<String>,
) -> Result<()> {
    let wrong = |source| Error::Vocabulary {
        place: origin.checkpoint.label().to_owned(),
        source,
    };
    let keys = Tokenizer::gguf_keys(origin.checkpoint, origin.spec.vocab).map_err(wrong)?;
    for (key, value) in keys.iter() {
        metadata.insert(key.to_owned(), value.clone());
    }
    let from = Tokenizer::from_checkpoint(origin.checkpoint).map_err(wrong)?;
    if from.vocab_len() > origin.spec.vocab {
        notes.push(format!(
            "the vocabulary has {} tokens, the embedding {} rows: the tokens beyond them were left out",
            from.vocab_len(),
            origin.spec.vocab
        ));
    }
    let compare = |metadata: &Metadata| {
        let to = Tokenizer::from_gguf(metadata).map_err(wrong)?;
        Ok::<_, Error>(difference(&from, &to))
    };
    let Some(found) = compare(metadata)? else {
        return Ok(());
    };
    // Readers know by the name whether markers take the white space after them along.
    if origin.family.name == "phi3" {
        let name = metadata.string("general.name").unwrap_or_default();
        let name = Value::String(format!("Phi-3 {name}").into_bytes().into());
        let named = replaced(metadata, &[("general.name", Some(name))]);
        if compare(&named)?.is_none() {
            *metadata = named;
            return Ok(());
        }
    }
    notes.push(found);
    Ok(())
}

fn difference(from: &Tokenizer, to: &Tokenizer) -> Option<String> {
    let options = EncodeOptions {
        add_special: true,
        parse_special: true,
    };
    let ends: Vec<u32> = from
        .ends()
        .filter(|id| (*id as usize) < to.vocab_len())
        .collect();
    if let Some(id) = ends.iter().find(|id| !to.is_end(**id)) {
        return Some(format!(
            "generation also ends at token {id} ({:?}), which a GGUF cannot say",
            from.token_name(*id)
        ));
    }
    // Every marker once, with a space on either side.
    let markers: String = (0..from.vocab_len().min(to.vocab_len()) as u32)
        .filter(|id| from.special(*id))
        .take(64)
        .map(|id| format!(" x {} y", from.token_name(id)))
        .collect();
    let mut probes = PROBES.into_iter().chain([markers.as_str()]);
    let text = probes.find(|text| from.encode(text, options) != to.encode(text, options))?;
    let shown: String = text.chars().take(60).collect();
    Some(format!(
        "the file's vocabulary encodes some text in another way than the directory's, such as {shown:?}"
    ))
}
