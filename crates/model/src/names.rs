//! What a checkpoint calls the weight of a role.
//!
//! Roles are GGUF base names. Hugging Face checkpoints name the same weights by module path; families that
//! differ from the common table bring their own rows.

use hearth_format::{Checkpoint, Source, Tensor};

/// `(role, module path)` of a family.
pub(crate) type Table = &'static [(&'static str, &'static str)];

/// Module paths that most families share, inside a layer.
const LAYER: Table = &[
    ("attn_norm", "input_layernorm"),
    ("attn_q", "self_attn.q_proj"),
    ("attn_k", "self_attn.k_proj"),
    ("attn_v", "self_attn.v_proj"),
    ("attn_qkv", "self_attn.qkv_proj"),
    ("attn_output", "self_attn.o_proj"),
    ("attn_q_norm", "self_attn.q_norm"),
    ("attn_k_norm", "self_attn.k_norm"),
    ("ffn_norm", "post_attention_layernorm"),
    ("ffn_gate", "mlp.gate_proj"),
    ("ffn_up", "mlp.up_proj"),
    ("ffn_gate_up", "mlp.gate_up_proj"),
    ("ffn_down", "mlp.down_proj"),
    ("ffn_gate_inp", "mlp.gate"),
    ("ffn_gate_exps", "mlp.experts.{}.gate_proj"),
    ("ffn_up_exps", "mlp.experts.{}.up_proj"),
    ("ffn_down_exps", "mlp.experts.{}.down_proj"),
];

/// The row of a family's table that says where its layers hang.
pub(crate) const LAYERS: &str = "layers";

/// Weights outside the layers.
const WHOLE: Table = &[("token_embd", "embed_tokens"), ("output_norm", "norm")];

/// Where the modules may hang.
const PREFIXES: [&str; 8] = [
    "model.",
    "model.language_model.",
    "language_model.model.",
    "",
    "bert.",
    "roberta.",
    "backbone.",
    "model.backbone.",
];

/// The module path of a role; a role that no table has is one itself.
fn path(own: Table, layer: Option<usize>, role: &str) -> &str {
    let common = if layer.is_some() { LAYER } else { WHOLE };
    let mut rows = own.iter().chain(common);
    rows.find(|(r, _)| *r == role)
        .map_or(role, |(_, path)| path)
}

/// Finds tensors by role.
pub struct Names<'a> {
    checkpoint: &'a Checkpoint,
    own: Table,
    prefix: &'static str,
}

impl<'a> Names<'a> {
    pub(crate) fn new(checkpoint: &'a Checkpoint, own: Table) -> Self {
        let embedding = path(own, None, "token_embd");
        let prefix = PREFIXES
            .into_iter()
            .find(|p| {
                checkpoint
                    .tensor(&format!("{p}{embedding}.weight"))
                    .is_some()
            })
            .unwrap_or(PREFIXES[0]);
        Self {
            checkpoint,
            own,
            prefix,
        }
    }

    /// The full name of a weight; `layer` is `None` for those outside the layers, `part` is `weight`, `bias`, or nothing
    /// where a name ends with its role.
    pub fn name(&self, layer: Option<usize>, role: &str, part: &str) -> String {
        let name = self.dotted(layer, role, part);
        match part {
            "" => name[..name.len() - 1].to_owned(),
            _ => name,
        }
    }

    fn dotted(&self, layer: Option<usize>, role: &str, part: &str) -> String {
        match (self.checkpoint.source, layer) {
            (Source::Gguf, Some(i)) => format!("blk.{i}.{role}.{part}"),
            (Source::Gguf, None) => format!("{role}.{part}"),
            (Source::HuggingFace, None) if role == "output" => self.head(part),
            (Source::HuggingFace, _) => {
                let layers = path(self.own, None, LAYERS);
                let layers = layer.map_or(String::new(), |i| format!("{layers}.{i}."));
                let path = path(self.own, layer, role);
                format!("{}{layers}{path}.{part}", self.prefix)
            }
        }
    }

    /// The head hangs beside the decoder, not inside it.
    fn head(&self, part: &str) -> String {
        let beside = format!(
            "{}lm_head.{part}",
            self.prefix.strip_suffix("model.").unwrap_or("")
        );
        if self.checkpoint.tensor(&beside).is_some() {
            beside
        } else {
            format!("lm_head.{part}")
        }
    }

    /// The tensor of a role, if the checkpoint has it.
    pub fn find(&self, layer: Option<usize>, role: &str, part: &str) -> Option<&'a Tensor> {
        let name = self.name(layer, role, part);
        self.checkpoint
            .tensor(&name)
            .or_else(|| self.checkpoint.tensor(&self.older(&name)?))
    }

    /// Another spelling of a name: of norms in the oldest checkpoints of BERT, and in Ollama's files of EmbeddingGemma.
    fn older(&self, name: &str) -> Option<String> {
        if self.is_gguf() {
            return (name == "output_norm.weight").then(|| "norm.weight".to_owned());
        }
        let (base, part) = name.rsplit_once('.')?;
        let part = match part {
            "weight" => "gamma",
            _ => "beta",
        };
        base.ends_with("LayerNorm")
            .then(|| format!("{base}.{part}"))
    }

    /// The tensor that holds a role of all experts. Beside GGUF, there are two forms: the parameters of newer
    /// transformers (`experts.down_proj`), and MLX's modules (`switch_mlp.down_proj`).
    pub fn stacked_experts(&self, layer: usize, role: &str) -> Option<&'a Tensor> {
        let projection = match role {
            _ if self.is_gguf() => return self.find(Some(layer), role, "weight"),
            "ffn_gate_up_exps" => "gate_up_proj",
            "ffn_gate_exps" => "gate_proj",
            "ffn_up_exps" => "up_proj",
            _ => "down_proj",
        };
        let one = self.name(Some(layer), "ffn_down_exps", "weight");
        let (mixture, _) = one.split_once("experts.")?;
        self.tensor(&format!("{mixture}experts.{projection}"))
            .or_else(|| self.tensor(&format!("{mixture}switch_mlp.{projection}.weight")))
    }

    /// The tensor of a full name.
    pub fn tensor(&self, name: &str) -> Option<&'a Tensor> {
        self.checkpoint.tensor(name)
    }

    pub(crate) fn place(&self) -> &'a str {
        self.checkpoint.label()
    }

    pub(crate) fn is_gguf(&self) -> bool {
        self.checkpoint.source == Source::Gguf
    }
}
