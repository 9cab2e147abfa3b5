//! Tokens with a part to play: begin, end, fill-in-the-middle, and all that end a turn.

use std::collections::BTreeSet;

use crate::vocab::{Kind, Vocab};

/// Ids of tokens by their role; `None` where the vocabulary has no such token.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roles {
    /// Begin of the sequence.
    pub bos: Option<u32>,
    /// End of the sequence.
    pub eos: Option<u32>,
    /// End of a turn.
    pub eot: Option<u32>,
    /// End of a message that calls a tool.
    pub eom: Option<u32>,
    /// What has no token.
    pub unknown: Option<u32>,
    /// Between two texts.
    pub separator: Option<u32>,
    /// Fills up a batch.
    pub padding: Option<u32>,
    /// To be guessed.
    pub mask: Option<u32>,
    /// Fill-in-the-middle: before the text ahead of the gap.
    pub fim_prefix: Option<u32>,
    /// Fill-in-the-middle: before the text behind the gap.
    pub fim_suffix: Option<u32>,
    /// Fill-in-the-middle: where the answer begins.
    pub fim_middle: Option<u32>,
    /// Fill-in-the-middle: padding.
    pub fim_padding: Option<u32>,
    /// Fill-in-the-middle: before the name of a repository.
    pub fim_repository: Option<u32>,
    /// Fill-in-the-middle: before the name of a file.
    pub fim_file: Option<u32>,
}

const EOT: [&str; 11] = [
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "<｜end▁of▁sentence｜>",
    "<end_of_utterance>",
];

const END: [&str; 22] = [
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<|flush|>",
    "<|calls|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "</s>",
    "<|eom_id|>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "[EOS]",
    "<|end_of_text|>",
    "<end_of_utterance>",
    "<eos>",
    "<turn|>",
    "<|tool_response>",
    "<｜end▁of▁sentence｜>",
    "[e~[",
];

type Field = fn(&mut Roles) -> &mut Option<u32>;

/// Fill-in-the-middle roles by the texts that vocabularies give them.
const FIM: [(Field, &[&str]); 6] = [
    (
        |r| &mut r.fim_prefix,
        &[
            "<|fim_prefix|>",
            "<fim-prefix>",
            "<fim_prefix>",
            "<｜fim▁begin｜>",
            "<PRE>",
            "▁<PRE>",
            "<|code_prefix|>",
            "<|prefix|>",
        ],
    ),
    (
        |r| &mut r.fim_suffix,
        &[
            "<|fim_suffix|>",
            "<fim-suffix>",
            "<fim_suffix>",
            "<｜fim▁hole｜>",
            "<SUF>",
            "▁<SUF>",
            "<|code_suffix|>",
            "<|suffix|>",
        ],
    ),
    (
        |r| &mut r.fim_middle,
        &[
            "<|fim_middle|>",
            "<fim-middle>",
            "<fim_middle>",
            "<｜fim▁end｜>",
            "<MID>",
            "▁<MID>",
            "<|code_middle|>",
            "<|middle|>",
        ],
    ),
    (
        |r| &mut r.fim_padding,
        &["<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]"],
    ),
    (
        |r| &mut r.fim_repository,
        &[
            "<|fim_repo|>",
            "<|repo_name|>",
            "<fim-repo>",
            "<REPO>",
            "<reponame>",
        ],
    ),
    (|r| &mut r.fim_file, &["<|file_sep|>"]),
];

/// Completes `roles` by the texts of the tokens, mends the kinds that depend on them, and returns the tokens that end a
/// turn: those, and `ends`.
pub(crate) fn complete(roles: &mut Roles, vocab: &mut Vocab, ends: &[u32]) -> BTreeSet<u32> {
    let id = |vocab: &Vocab, text: &str| vocab.id(text.as_bytes());
    let first = |vocab: &Vocab, texts: &[&str]| texts.iter().find_map(|t| id(vocab, t));
    roles.eot = roles.eot.or_else(|| first(vocab, &EOT));
    roles.eom = roles.eom.or_else(|| id(vocab, "<|eom_id|>"));
    for (field, texts) in FIM {
        let field = field(roles);
        if field.is_none() {
            *field = first(vocab, texts);
            // A padding token keeps the kind it has: `[PAD]` of other vocabularies is one of them.
            if let Some(id) = *field
                && vocab.kind(id) != Kind::Unused
            {
                vocab.kinds[id as usize] = Kind::Control;
            }
        }
    }
    let mut set: BTreeSet<u32> = END.iter().filter_map(|t| id(vocab, t)).collect();
    set.extend(
        [
            roles.eos,
            roles.eot,
            roles.eom,
            roles.fim_padding,
            roles.fim_repository,
            roles.fim_file,
        ]
        .into_iter()
        .flatten(),
    );
    set.extend(ends.iter().filter(|&&id| (id as usize) < vocab.len()));
    except(vocab, &mut set);
    set
}

/// Two vocabularies use an end marker of others for something else.
fn except(vocab: &mut Vocab, set: &mut BTreeSet<u32>) {
    let has = |vocab: &Vocab, set: &BTreeSet<u32>, text: &str| {
        vocab
            .id(text.as_bytes())
            .is_some_and(|id| set.contains(&id))
    };
    let both = |a, b| has(vocab, set, a) && has(vocab, set, b);
    let harmony = both("<|return|>", "<|call|>");
    let inner_end = harmony || both("<|calls|>", "<|flush|>");
    let plain_end = has(vocab, set, "<|tool_response>")
        || vocab
            .id(b"<|plamo:eos|>")
            .is_some_and(|id| set.contains(&id));
    let mut change = |text: &str, kind: Kind, remove: bool| {
        if let Some(id) = vocab.id(text.as_bytes()) {
            if remove {
                set.remove(&id);
            }
            vocab.kinds[id as usize] = kind;
        }
    };
    if inner_end {
        change("<|end|>", Kind::UserDefined, true);
    }
    if plain_end {
        change("</s>", Kind::Normal, true);
    }
    if harmony {
        for text in ["<|channel|>", "<|message|>", "<|start|>", "<|constrain|>"] {
            change(text, Kind::UserDefined, false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(texts: &[&str]) -> (Roles, Vec<u32>, Vec<Kind>) {
        let names = texts.iter().map(|t| t.as_bytes()).collect();
        let mut vocab = Vocab::new(names, vec![Kind::Control; texts.len()]).unwrap();
        let mut roles = Roles::default();
        let ends = complete(&mut roles, &mut vocab, &[0, 99]);
        (roles, ends.into_iter().collect(), vocab.kinds)
    }

    #[test]
    fn ends_are_found_by_text() {
        let (roles, ends, _) = run(&[
            "a",
            "<|im_end|>",
            "<|endoftext|>",
            "<|fim_prefix|>",
            "<|file_sep|>",
        ]);
        assert_eq!(
            (roles.eot, roles.fim_prefix, roles.fim_file),
            (Some(1), Some(3), Some(4))
        );
        assert_eq!(ends, [0, 1, 2, 4]);
    }

    #[test]
    fn gpt_oss_keeps_its_inner_end() {
        let (roles, ends, kinds) = run(&["a", "<|end|>", "<|return|>", "<|call|>", "<|channel|>"]);
        assert_eq!(roles.eot, Some(1));
        assert_eq!(ends, [0, 2, 3]);
        assert_eq!((kinds[1], kinds[4]), (Kind::UserDefined, Kind::UserDefined));
    }
}
