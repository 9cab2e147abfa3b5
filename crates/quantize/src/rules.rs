//! The rules of mixtures: what is kept, what each tensor should be, and what it becomes where rows do not fit.

use hearth_format::BlockType::{self, F16, Iq4Nl, Q2K, Q3K, Q4_0, Q4K, Q5_0, Q5_1, Q5K, Q6K, Q8_0};

use crate::{Mixture, Outline};

/// Parts of names of tensors that keep their type (format notes 2.10, step 0).
const KEPT: [&str; 17] = [
    "_norm.weight",
    "ffn_gate_inp.weight",
    "ffn_gate_tid2eid.weight",
    "altup",
    "laurel",
    "per_layer_model_proj",
    "position_embd.weight",
    "token_types.weight",
    "ssm_conv1d",
    "shortconv.conv.weight",
    "indexer.k_proj.weight",
    "indexer.q_proj.weight",
    "time_mix_first.weight",
    "time_mix_lerp_fused.weight",
    "time_mix_decay_w1.weight",
    "time_mix_decay_w2.weight",
    "attn_rel_b.weight",
];

/// The low-rank vectors of RWKV: `time_mix_` and one of these.
const KEPT_TIME_MIX: [&str; 9] = ["w0", "w1", "w2", "v0", "v1", "v2", "a0", "a1", "a2"];

/// Whether a tensor is never quantised: vectors, and matrices that are small or sensitive.
pub(crate) fn is_kept(name: &str, shape: &[usize]) -> bool {
    let time_mix = |part: &str| {
        let rest = name.rsplit_once("time_mix_").map(|(_, rest)| rest);
        rest.and_then(|r| r.strip_suffix(".weight")) == Some(part)
    };
    shape.len() < 2
        || !name.ends_with("weight")
        || KEPT.iter().any(|part| name.contains(part))
        || KEPT_TIME_MIX.into_iter().chain(["g1", "g2"]).any(time_mix)
}

/// The number of the layer in a name such as `blk.3.ffn_down.weight`.
pub(crate) fn layer(name: &str) -> Option<usize> {
    name.strip_prefix("blk.")?.split_once('.')?.0.parse().ok()
}

/// Layers that matter more: the first and last eighth, and every third between.
fn matters_more(i: usize, layers: usize) -> bool {
    i < layers / 8 || i >= 7 * layers / 8 || (i - layers / 8) % 3 == 2
}

/// What a tensor of a quantised mixture should be, if its rows fit (step 2).
pub(crate) fn wanted(mixture: Mixture, name: &str, columns: usize, model: &Outline) -> BlockType {
    let default = mixture.block();
    let is = |part: &str| name.contains(part);
    if name == "output.weight" || (name == "token_embd.weight" && model.tied) {
        let whole = columns.is_multiple_of(default.block_len());
        return if model.falcon || !whole || default == Q8_0 {
            Q8_0
        } else {
            Q6K
        };
    }
    let i = layer(name).unwrap_or(0);
    if ["attn_v.weight", "attn_qkv.weight", "attn_kv_b.weight"]
        .into_iter()
        .any(is)
    {
        return values(mixture, i, model);
    }
    if is("attn_k.weight") && model.experts == 8 {
        return Q8_0;
    }
    if is("ffn_down") {
        return down(mixture, i, model);
    }
    if is("attn_output.weight") {
        return attention_output(mixture, model);
    }
    default
}

/// Value projections, alone or fused.
fn values(mixture: Mixture, i: usize, model: &Outline) -> BlockType {
    use Mixture as M;
    let queries_per_key = model.heads / model.kv_heads.max(1);
    let block = match mixture {
        M::Q2K if queries_per_key >= 4 => Q4K,
        M::Q2K => Q3K,
        M::Q3KM if i < 2 => Q5K,
        M::Q3KM => Q4K,
        M::Q3KL => Q5K,
        M::Iq4Nl | M::Iq4Xs if queries_per_key >= 4 => Q5K,
        M::Q4KM | M::Q5KM if matters_more(i, model.layers) => Q6K,
        M::Q4KS if i < 4 => Q5K,
        other => other.block(),
    };
    if model.experts == 8 {
        return Q8_0;
    }
    // Models of 80 layers with shared keys, the 70B, have small value projections: more bits cost little.
    let large = model.layers == 80 && queries_per_key > 1;
    if large && matches!(block, Q3K | Q4K) {
        return Q5K;
    }
    block
}

/// Down projections of any kind.
fn down(mixture: Mixture, i: usize, model: &Outline) -> BlockType {
    use Mixture as M;
    let (layers, more) = (model.layers, matters_more(i, model.layers));
    match mixture {
        M::Q2K => Q3K,
        M::Q3KM if i < layers / 16 => Q5K,
        M::Q3KM if !model.falcon || more => Q4K,
        M::Q3KL if model.falcon => Q4K,
        M::Q3KL => Q5K,
        M::Q4KM if model.falcon && i < layers / 16 => Q6K,
        M::Q4KM if model.falcon && more => Q5K,
        M::Q4KM | M::Q5KM if more && !(model.falcon && mixture == M::Q4KM) => Q6K,
        M::Q4KS if !model.falcon && i < layers / 8 => Q5K,
        M::Iq4Nl | M::Iq4Xs if i < layers / 8 => Q5K,
        other => other.block(),
    }
}

fn attention_output(mixture: Mixture, model: &Outline) -> BlockType {
    use Mixture as M;
    match mixture {
        M::Q3KL if model.falcon => Q4K,
        other if model.falcon => other.block(),
        M::Q2K | M::Q3KS | M::Q3KM | M::Iq4Nl | M::Q4KS | M::Q4KM | M::Iq4Xs
            if model.experts == 8 =>
        {
            Q5K
        }
        M::Q2K if model.experts != 8 => Q3K,
        M::Q3KM if model.experts != 8 => Q4K,
        M::Q3KL if model.experts != 8 => Q5K,
        other => other.block(),
    }
}

/// The type, or the next larger whose blocks make up rows of so many values (step 3).
pub(crate) fn fitting(block: BlockType, columns: usize) -> BlockType {
    let fits = |block: BlockType| columns.is_multiple_of(block.block_len());
    if fits(block) {
        return block;
    }
    let smaller = match block {
        BlockType::Iq4Xs => Iq4Nl,
        Q2K | Q3K => Q4_0,
        Q4K => Q5_0,
        Q5K => Q5_1,
        Q6K => Q8_0,
        other => other,
    };
    if fits(smaller) { smaller } else { F16 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Mixture as M;

    const LLAMA_8B: Outline = Outline {
        layers: 32,
        heads: 32,
        kv_heads: 8,
        experts: 0,
        tied: false,
        falcon: false,
    };

    /// The layers whose tensor of this role has the given type.
    fn layers(mixture: M, role: &str, block: BlockType, model: &Outline) -> Vec<usize> {
        let of =
            |i: usize| mixture.block_for(&format!("blk.{i}.{role}.weight"), &[4096, 4096], model);
        (0..model.layers)
            .filter(|i| of(*i) == Some(block))
            .collect()
    }

    /// The table of results at the end of section 2.10.
    #[test]
    fn the_8b_as_published() {
        let more = [0, 1, 2, 3, 6, 9, 12, 15, 18, 21, 24, 27, 28, 29, 30, 31];
        let all: Vec<usize> = (0..32).collect();
        let cases: [(M, &str, BlockType, &[usize]); 21] = [
            (M::Q2K, "attn_v", Q4K, &all),
            (M::Q2K, "ffn_down", Q3K, &all),
            (M::Q2K, "attn_output", Q3K, &all),
            (M::Q2K, "ffn_up", Q2K, &all),
            (M::Q3KS, "attn_v", Q3K, &all),
            (M::Q3KM, "attn_v", Q5K, &[0, 1]),
            (M::Q3KM, "ffn_down", Q5K, &[0, 1]),
            (M::Q3KM, "ffn_down", Q4K, &all[2..]),
            (M::Q3KM, "attn_output", Q4K, &all),
            (M::Q3KL, "ffn_down", Q5K, &all),
            (M::Q3KL, "attn_output", Q5K, &all),
            (M::Q4_0, "ffn_down", Q4_0, &all),
            (M::Q4KS, "attn_v", Q5K, &[0, 1, 2, 3]),
            (M::Q4KS, "ffn_down", Q5K, &[0, 1, 2, 3]),
            (M::Q4KS, "ffn_down", Q4K, &all[4..]),
            (M::Q4KM, "attn_v", Q6K, &more),
            (M::Q4KM, "ffn_down", Q6K, &more),
            (M::Q4KM, "attn_output", Q4K, &all),
            (M::Q5KM, "ffn_down", Q6K, &more),
            (M::Iq4Xs, "attn_v", Q5K, &all),
            (M::Iq4Nl, "ffn_down", Q5K, &[0, 1, 2, 3]),
        ];
        for (mixture, role, block, want) in cases {
            assert_eq!(
                layers(mixture, role, block, &LLAMA_8B),
                want,
                "{mixture} {role}"
            );
        }
        for mixture in M::all().filter(|m| m.is_quantized() && *m != M::Q8_0) {
            let output = mixture.block_for("output.weight", &[128_256, 4096], &LLAMA_8B);
            assert_eq!(output, Some(Q6K), "{mixture}");
        }
    }

    #[test]
    fn eight_experts_and_tied_embeddings() {
        let mixtral = Outline {
            layers: 12,
            experts: 8,
            ..LLAMA_8B
        };
        let all: Vec<usize> = (0..12).collect();
        assert_eq!(layers(M::Q4KM, "attn_k", Q8_0, &mixtral), all);
        assert_eq!(layers(M::Q4KM, "attn_v", Q8_0, &mixtral), all);
        assert_eq!(layers(M::Q4KM, "attn_output", Q5K, &mixtral), all);
        assert_eq!(
            layers(M::Q4KM, "ffn_down_exps", Q4K, &mixtral),
            [1, 2, 4, 5, 7, 8]
        );
        let small = Outline {
            layers: 16,
            tied: true,
            ..LLAMA_8B
        };
        assert_eq!(
            layers(M::Q4KM, "ffn_down", Q4K, &small),
            [2, 3, 5, 6, 8, 9, 11, 12]
        );
        let embedding = |m: M| m.block_for("token_embd.weight", &[1000, 2048], &small);
        assert_eq!(
            (embedding(M::Q4KM), embedding(M::F16)),
            (Some(Q6K), Some(F16))
        );
        let large = Outline {
            layers: 80,
            ..LLAMA_8B
        };
        assert_eq!(layers(M::Q4KS, "attn_v", Q5K, &large).len(), 80);
    }

    #[test]
    fn small_tensors_are_kept() {
        let kept = [
            ("output_norm.weight", vec![4096]),
            ("blk.0.attn_q.bias", vec![1, 4096]),
            ("blk.0.ffn_gate_inp.weight", vec![8, 4096]),
            ("blk.0.attn_q_norm.weight", vec![32, 128]),
            ("blk.0.time_mix_w1.weight", vec![32, 128]),
            ("blk.0.time_mix_g2.weight", vec![32, 128]),
            ("rope_freqs.weight", vec![64]),
        ];
        for (name, shape) in kept {
            assert_eq!(M::Q4KM.block_for(name, &shape, &LLAMA_8B), None, "{name}");
        }
        assert!(!is_kept("blk.0.time_mix_key.weight", &[8, 8]));
        assert!(!is_kept("blk.0.ffn_gate.weight", &[8, 8]));
    }

    #[test]
    fn rows_that_do_not_fit_get_another_type() {
        let cases = [
            (Q4K, 256, Q4K),
            (Q4K, 96, Q5_0),
            (Q5K, 96, Q5_1),
            (Q6K, 96, Q8_0),
            (Q3K, 96, Q4_0),
            (Q2K, 96, Q4_0),
            (BlockType::Iq4Xs, 96, Iq4Nl),
            (Q8_0, 40, F16),
            (Q4K, 40, F16),
            (Q4_0, 40, F16),
        ];
        for (block, columns, want) in cases {
            assert_eq!(fitting(block, columns), want, "{} {columns}", block.name());
        }
    }
}
