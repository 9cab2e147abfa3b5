//! Damaged encoders, and texts that cannot be read.

use hearth_compute::{Cpu, Isa, Precision};
use hearth_format::{Bytes, Checkpoint};
use hearth_model::{LoadOptions, Logits, Model, Pooling, Run, Text, Workspace};

use super::{super::load, kit};

/// Replaces the first occurrence of some bytes by as many others.
fn replace(bytes: &[u8], from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let found = bytes.windows(from.len()).position(|w| w == from.as_bytes());
    let at = found.unwrap_or_else(|| panic!("'{from}' is in the file"));
    let mut out = bytes.to_vec();
    out[at..at + from.len()].copy_from_slice(to.as_bytes());
    out
}

#[test]
fn a_damaged_encoder_says_what_is_wrong() {
    let Some(kit) = kit() else { return };
    let cases = [
        (
            "bert",
            "position_embd.weight",
            "position_embx.weight",
            "'position_embd.weight' is missing (expected shape [128, 32])",
        ),
        (
            "bert",
            "bert.context_length",
            "bert.context_lengtx",
            "'position_embd.weight' has shape [128, 32], expected [2048, 32]",
        ),
        ("bert", "token_embd_norm.bias", "token_embd_norm.bixs", ""),
        (
            "bert",
            "blk.1.layer_output_norm.weight",
            "blk.1.layer_output_norx.weight",
            "'blk.1.layer_output_norm.weight' is missing (expected shape [32])",
        ),
        (
            "bert",
            "bert.feed_forward_length",
            "bert.feed_forward_lengtx",
            "'blk.0.ffn_up.bias' has shape [64], expected [0]",
        ),
        (
            "nomic_bert",
            "blk.1.ffn_gate.weight",
            "blk.1.ffn_gatx.weight",
            "'blk.1.ffn_up.weight' has shape [64, 32], expected [128, 32]",
        ),
        (
            "modern_bert",
            "output_norm.weight",
            "output_norx.weight",
            "'output_norm.weight' is missing (expected shape [32])",
        ),
        (
            "gemma_embedding",
            "blk.2.attn_k_norm.weight",
            "blk.2.attn_k_norx.weight",
            "'blk.2.attn_k_norm.weight' is missing (expected shape [16])",
        ),
    ];
    for (family, from, to, want) in cases {
        let bytes = std::fs::read(kit.join("models").join(family).join("model.gguf")).unwrap();
        let bytes = Bytes::new(replace(&bytes, from, to));
        let checkpoint = Checkpoint::from_gguf_bytes(bytes, "m.gguf").unwrap();
        let cpu = Cpu::new(1, Isa::detect().unwrap(), Precision::Exact).unwrap();
        let loaded = Model::load(&checkpoint, cpu, LoadOptions::default());
        if want.is_empty() {
            assert!(loaded.is_ok(), "a bias is optional: {from}");
            continue;
        }
        let message = loaded.err().unwrap().to_string();
        assert!(
            message.starts_with("m.gguf: ") && message.contains(want),
            "{message}"
        );
    }
}

#[test]
fn texts_that_cannot_be_read_are_refused_whole() {
    let Some(kit) = kit() else { return };
    let model = load(&kit.join("models/bert/model.gguf"), Precision::Fast, None);
    let mut work = Workspace::default();
    let mut refusal = |ids: &[u32], pooling| {
        let texts = [Text::from(&[2, 3][..]), Text::from(ids)];
        let error = model.encode(&mut work, &texts, pooling);
        error.err().unwrap().to_string()
    };
    let cases: [(&[u32], Pooling, &str); 4] = [
        (
            &[7; 129],
            Pooling::Mean,
            "129 tokens cannot be encoded: this model reads 1 to 128",
        ),
        (&[], Pooling::Cls, "0 tokens cannot be encoded"),
        (
            &[400],
            Pooling::None,
            "token id 400 is outside the vocabulary of 400",
        ),
        (&[7], Pooling::Rank, "this bert has no classifier"),
    ];
    for (ids, pooling, want) in cases {
        let message = refusal(ids, pooling);
        assert!(message.contains(want), "{message}");
    }
    let none = model.encode(&mut work, &[], Pooling::Mean).unwrap();
    assert!(none.is_empty());
    let run = Run {
        state: &mut model.state(),
        tokens: &[2, 3],
        logits: Logits::Last(1),
    };
    let error = model.step(&mut work, &mut [run]).err().unwrap().to_string();
    assert_eq!(
        error,
        "bert is an encoder: it gives embeddings and generates no text"
    );
}
