//! A tokenizer from whatever a checkpoint has.

use std::fs;

use hearth_format::{Checkpoint, Source};

use crate::{Error, Result, sentencepiece, tokenizer::Tokenizer, vocab_txt};

/// Largest file that is read.
const FILE_MAX: u64 = 256 << 20;

type Load = fn(&[u8], Option<&[u8]>, Option<&[u8]>) -> Result<Tokenizer>;

/// Files that hold a vocabulary, best first.
const FILES: [(&str, Load); 4] = [
    ("tokenizer.json", Tokenizer::from_json),
    ("tokenizer.model", sentencepiece::load),
    ("spiece.model", sentencepiece::load),
    ("vocab.txt", vocab_txt::load),
];

impl Tokenizer {
    /// Reads the vocabulary of a checkpoint: the keys of a GGUF, or a file beside the weights.
    ///
    /// # Errors
    /// When there is none, or it is not what it should be.
    pub fn from_checkpoint(checkpoint: &Checkpoint) -> Result<Self> {
        if checkpoint.source == Source::Gguf {
            return Self::from_gguf(checkpoint.metadata());
        }
        let side = |name: &str| read(checkpoint, name);
        for (name, load) in FILES {
            if let Some(bytes) = side(name)? {
                let config = side("tokenizer_config.json")?;
                let generation = side("generation_config.json")?;
                return load(&bytes, config.as_deref(), generation.as_deref());
            }
        }
        Err(Error::NotFound {
            place: checkpoint.label().to_owned(),
        })
    }
}

/// A file beside the weights, if it is there.
pub(crate) fn read(checkpoint: &Checkpoint, name: &str) -> Result<Option<Vec<u8>>> {
    let Some(path) = checkpoint.side_file(name) else {
        return Ok(None);
    };
    let io = |source| Error::Io {
        path: path.clone(),
        source,
    };
    let size = fs::metadata(&path).map_err(io)?.len();
    if size > FILE_MAX {
        return Err(Error::Invalid {
            what: "a file of the tokenizer is larger than the limit of 256 MiB",
            found: format!("{}: {size} bytes", path.display()),
        });
    }
    fs::read(&path).map(Some).map_err(io)
}
