//! A tokenizer from a SentencePiece model: `tokenizer.model`, `spiece.model`.
//!
//! The file is one protobuf message. Read are of it (number of the field): pieces (1) with text (1), score (2) and type
//! (3); the trainer (2) with the kind of model (3) and the ids of unknown, begin, end and padding (40 to 43); the
//! normaliser (3) with the character map (2) and the two switches for spaces (3, 4).

use crate::{
    Error, Result,
    arena::Arena,
    assemble::{self, Draft, Flags},
    charsmap::Charsmap,
    json,
    roles::Roles,
    tokenizer::Tokenizer,
    vocab::Kind,
};

/// Reads the model; `config` is `tokenizer_config.json`, `generation` is `generation_config.json`.
pub(crate) fn load(
    model: &[u8],
    config: Option<&[u8]>,
    generation: Option<&[u8]>,
) -> Result<Tokenizer> {
    let model = Model::read(model)?;
    let (config, generation) = json::side_files(config, generation)?;
    let mut names: Arena = model.pieces.iter().map(|p| p.text).collect();
    let mut kinds: Vec<Kind> = model
        .pieces
        .iter()
        .map(|p| Kind::from_gguf(p.kind))
        .collect();
    json::append(&config.added(), &mut names, &mut kinds)?;
    let mut scores: Vec<f32> = model.pieces.iter().map(|p| p.score).collect();
    scores.resize(kinds.len(), 0.0);
    let known = |id: i64| {
        u32::try_from(id)
            .ok()
            .filter(|id| (*id as usize) < kinds.len())
    };
    let roles = Roles {
        bos: known(model.bos),
        eos: known(model.eos),
        unknown: known(model.unknown),
        padding: known(model.padding),
        ..Roles::default()
    };
    let unigram = model.algorithm == 1;
    let flags = Flags {
        add_space_prefix: model.add_dummy_prefix,
        add_bos: config.add_bos_token.unwrap_or(!unigram),
        add_eos: config.add_eos_token.unwrap_or(unigram),
        remove_extra_spaces: model.remove_extra_spaces,
    };
    let mut draft = Draft::new(names, kinds, roles, flags)?;
    draft.take(&generation);
    let map = (!model.charsmap.is_empty())
        .then(|| Charsmap::new(model.charsmap))
        .transpose()?;
    match model.algorithm {
        1 => assemble::unigram(draft, scores, map),
        2 => assemble::spm(draft, scores, map),
        other => Err(Error::Unsupported {
            what: "SentencePiece model type",
            name: other.to_string(),
        }),
    }
}

/// The score of each piece, and whether pieces are found by pair encoding.
pub(crate) fn scores(model: &[u8]) -> Result<(Vec<f32>, bool)> {
    let model = Model::read(model)?;
    let scores = model.pieces.iter().map(|p| p.score).collect();
    Ok((scores, model.algorithm == 2))
}

struct Piece<'m> {
    text: &'m [u8],
    score: f32,
    kind: i64,
}

struct Model<'m> {
    pieces: Vec<Piece<'m>>,
    algorithm: i64,
    unknown: i64,
    bos: i64,
    eos: i64,
    padding: i64,
    charsmap: &'m [u8],
    add_dummy_prefix: bool,
    remove_extra_spaces: bool,
}

impl<'m> Model<'m> {
    fn read(bytes: &'m [u8]) -> Result<Self> {
        // Defaults are those of the message's definition.
        let mut model = Self {
            pieces: Vec::new(),
            algorithm: 1,
            unknown: 0,
            bos: 1,
            eos: 2,
            padding: -1,
            charsmap: &[],
            add_dummy_prefix: true,
            remove_extra_spaces: true,
        };
        for field in Fields(bytes) {
            match field? {
                (1, Field::Bytes(piece)) => model.pieces.push(Piece::read(piece)?),
                (2, Field::Bytes(trainer)) => model.read_trainer(trainer)?,
                (3, Field::Bytes(normalizer)) => model.read_normalizer(normalizer)?,
                _ => {}
            }
        }
        if model.pieces.is_empty() {
            return Err(broken("it has no pieces"));
        }
        Ok(model)
    }

    fn read_trainer(&mut self, bytes: &'m [u8]) -> Result<()> {
        for field in Fields(bytes) {
            match field? {
                (3, Field::Number(n)) => self.algorithm = n,
                (40, Field::Number(n)) => self.unknown = n,
                (41, Field::Number(n)) => self.bos = n,
                (42, Field::Number(n)) => self.eos = n,
                (43, Field::Number(n)) => self.padding = n,
                _ => {}
            }
        }
        Ok(())
    }

    fn read_normalizer(&mut self, bytes: &'m [u8]) -> Result<()> {
        for field in Fields(bytes) {
            match field? {
                (2, Field::Bytes(map)) => self.charsmap = map,
                (3, Field::Number(n)) => self.add_dummy_prefix = n != 0,
                (4, Field::Number(n)) => self.remove_extra_spaces = n != 0,
                _ => {}
            }
        }
        Ok(())
    }
}

impl<'m> Piece<'m> {
    fn read(bytes: &'m [u8]) -> Result<Self> {
        let mut piece = Self {
            text: &[],
            score: 0.0,
            kind: 1,
        };
        for field in Fields(bytes) {
            match field? {
                (1, Field::Bytes(text)) => piece.text = text,
                (2, Field::Single(score)) => piece.score = score,
                (3, Field::Number(kind)) => piece.kind = kind,
                _ => {}
            }
        }
        Ok(piece)
    }
}

enum Field<'m> {
    Number(i64),
    Bytes(&'m [u8]),
    Single(f32),
    Double,
}

/// The fields of a message, in order, with their numbers.
struct Fields<'m>(&'m [u8]);

impl<'m> Iterator for Fields<'m> {
    type Item = Result<(u64, Field<'m>)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_none() {
            self.0 = &[];
        }
        Some(field.ok_or_else(|| broken("a field is cut off or has an unknown form")))
    }
}

impl<'m> Fields<'m> {
    fn field(&mut self) -> Option<(u64, Field<'m>)> {
        let tag = self.varint()?;
        let field = match tag & 7 {
            0 => Field::Number(self.varint()? as i64),
            1 => {
                self.take(8)?;
                Field::Double
            }
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                Field::Bytes(self.take(length)?)
            }
            5 => Field::Single(f32::from_le_bytes(self.take(4)?.try_into().ok()?)),
            _ => return None,
        };
        Some((tag >> 3, field))
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            value |= u64::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    fn take(&mut self, count: usize) -> Option<&'m [u8]> {
        let (head, tail) = self.0.split_at_checked(count)?;
        self.0 = tail;
        Some(head)
    }
}

fn broken(found: &str) -> Error {
    Error::Invalid {
        what: "SentencePiece model",
        found: found.to_owned(),
    }
}
