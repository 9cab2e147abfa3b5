//! A WordPiece tokenizer from BERT's `vocab.txt`: one token a line.

use crate::{
    Result,
    arena::Arena,
    assemble::{self, Draft, Flags},
    cuts::SPACE,
    json,
    roles::Roles,
    tokenizer::Tokenizer,
    vocab::Kind,
};

/// Reads the list; `config` is `tokenizer_config.json`, `generation` is `generation_config.json`.
pub(crate) fn load(
    list: &[u8],
    config: Option<&[u8]>,
    generation: Option<&[u8]>,
) -> Result<Tokenizer> {
    let (config, generation) = json::side_files(config, generation)?;
    let list = list.strip_suffix(b"\n").unwrap_or(list);
    let lines = list
        .split(|b| *b == b'\n')
        .map(|l| l.strip_suffix(b"\r").unwrap_or(l));
    let (mut names, mut kinds) = (Arena::default(), Vec::new());
    for line in lines {
        let marker = [&b"[PAD]"[..], b"[UNK]", b"[CLS]", b"[SEP]", b"[MASK]"].contains(&line);
        match (marker, line.strip_prefix(b"##")) {
            (true, _) => names.push(line),
            (false, Some(rest)) if !rest.is_empty() => names.push(rest),
            _ => names.push(&[SPACE.to_string().as_bytes(), line].concat()),
        };
        kinds.push(if marker { Kind::Control } else { Kind::Normal });
    }
    let id = |text: &[u8]| {
        names
            .iter()
            .find(|(_, name)| *name == text)
            .map(|(id, _)| id)
    };
    let roles = Roles {
        bos: id(b"[CLS]"),
        eos: id(b"[SEP]"),
        separator: id(b"[SEP]"),
        unknown: id(b"[UNK]"),
        padding: id(b"[PAD]"),
        mask: id(b"[MASK]"),
        ..Roles::default()
    };
    let flags = Flags {
        add_bos: true,
        ..Flags::default()
    };
    let mut draft = Draft::new(names, kinds, roles, flags)?;
    draft.take(&generation);
    let lowercase = config.do_lower_case.unwrap_or(true);
    assemble::wordpiece(draft, lowercase, config.strip_accents.unwrap_or(lowercase))
}
