//! Mixtures: which tensor of a model gets which block type (format notes 2.9, 2.10).

use hearth_format::BlockType;

use crate::rules;

/// What a model's weights are stored as: one type, or the recipe of types that goes by one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names are those of `general.file_type`")]
pub enum Mixture {
    F32,
    F16,
    BF16,
    Q8_0,
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q2K,
    Q3KS,
    Q3KM,
    Q3KL,
    Q4KS,
    Q4KM,
    Q5KS,
    Q5KM,
    Q6K,
    Iq4Nl,
    Iq4Xs,
}

/// A row of the table of mixtures.
struct Row {
    mixture: Mixture,
    name: &'static str,
    alias: &'static str,
    file_type: u32,
    block: BlockType,
}

const fn row(
    mixture: Mixture,
    name: &'static str,
    alias: &'static str,
    file_type: u32,
    block: BlockType,
) -> Row {
    Row {
        mixture,
        name,
        alias,
        file_type,
        block,
    }
}

/// In the order of the enum, so that a mixture is its own index.
static TABLE: [Row; 19] = [
    row(Mixture::F32, "F32", "", 0, BlockType::F32),
    row(Mixture::F16, "F16", "", 1, BlockType::F16),
    row(Mixture::BF16, "BF16", "", 32, BlockType::BF16),
    row(Mixture::Q8_0, "Q8_0", "", 7, BlockType::Q8_0),
    row(Mixture::Q4_0, "Q4_0", "", 2, BlockType::Q4_0),
    row(Mixture::Q4_1, "Q4_1", "", 3, BlockType::Q4_1),
    row(Mixture::Q5_0, "Q5_0", "", 8, BlockType::Q5_0),
    row(Mixture::Q5_1, "Q5_1", "", 9, BlockType::Q5_1),
    row(Mixture::Q2K, "Q2_K", "", 10, BlockType::Q2K),
    row(Mixture::Q3KS, "Q3_K_S", "", 11, BlockType::Q3K),
    row(Mixture::Q3KM, "Q3_K_M", "Q3_K", 12, BlockType::Q3K),
    row(Mixture::Q3KL, "Q3_K_L", "", 13, BlockType::Q3K),
    row(Mixture::Q4KS, "Q4_K_S", "", 14, BlockType::Q4K),
    row(Mixture::Q4KM, "Q4_K_M", "Q4_K", 15, BlockType::Q4K),
    row(Mixture::Q5KS, "Q5_K_S", "", 16, BlockType::Q5K),
    row(Mixture::Q5KM, "Q5_K_M", "Q5_K", 17, BlockType::Q5K),
    row(Mixture::Q6K, "Q6_K", "", 18, BlockType::Q6K),
    row(Mixture::Iq4Nl, "IQ4_NL", "", 25, BlockType::Iq4Nl),
    row(Mixture::Iq4Xs, "IQ4_XS", "", 30, BlockType::Iq4Xs),
];

/// A name that stands for no mixture.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unsupported quantization type {name} - supported types are {supported}")]
pub struct UnknownMixture {
    /// What was asked for, in capitals.
    pub name: String,
    /// What there is.
    pub supported: String,
}

impl Mixture {
    /// Every mixture.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|row| row.mixture)
    }

    /// The mixture of a name, in any case; `Q3_K`, `Q4_K` and `Q5_K` mean the one in `_M`.
    ///
    /// # Errors
    /// When there is none of that name; the message lists them all.
    pub fn parse(name: &str) -> Result<Self, UnknownMixture> {
        let is = |known: &str| known.eq_ignore_ascii_case(name);
        let row = TABLE
            .iter()
            .find(|row| is(row.name) || (!row.alias.is_empty() && is(row.alias)));
        row.map(|row| row.mixture)
            .ok_or_else(|| unknown(name, Self::all()))
    }

    /// The mixture of a name that Ollama's `create --quantize` takes, in any case.
    ///
    /// # Errors
    /// When it takes no such name, in its words.
    pub fn ollama(name: &str) -> Result<Self, UnknownMixture> {
        const TAKEN: [Mixture; 6] = [
            Mixture::F32,
            Mixture::F16,
            Mixture::Q4KS,
            Mixture::Q4KM,
            Mixture::Q8_0,
            Mixture::BF16,
        ];
        // Its message leaves out BF16, which it takes.
        Self::parse(name)
            .ok()
            .filter(|mixture| TAKEN.contains(mixture))
            .ok_or_else(|| unknown(name, TAKEN.into_iter().filter(|m| *m != Mixture::BF16)))
    }

    fn row(self) -> &'static Row {
        &TABLE[self as usize]
    }

    /// Its name, such as `Q4_K_M`.
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// Its number in `general.file_type`.
    pub fn file_type(self) -> u32 {
        self.row().file_type
    }

    /// The mixture of a number of `general.file_type`.
    pub fn from_file_type(number: u64) -> Option<Self> {
        let row = TABLE.iter().find(|row| u64::from(row.file_type) == number);
        row.map(|row| row.mixture)
    }

    /// The type of most matrices.
    pub fn block(self) -> BlockType {
        self.row().block
    }

    /// Whether matrices share scales, rather than being stored as they are in a shorter type.
    pub fn is_quantized(self) -> bool {
        self.block().is_quantized()
    }

    /// The type of a tensor by its GGUF name and its sizes, outermost first; `None` for those that keep theirs: norms,
    /// biases, routers and other small ones.
    pub fn block_for(self, name: &str, shape: &[usize], model: &Outline) -> Option<BlockType> {
        if rules::is_kept(name, shape) {
            return None;
        }
        let columns = shape.last().copied().unwrap_or(1);
        if !self.is_quantized() {
            return Some(self.block());
        }
        Some(rules::fitting(
            rules::wanted(self, name, columns, model),
            columns,
        ))
    }
}

impl std::fmt::Display for Mixture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

fn unknown(name: &str, known: impl Iterator<Item = Mixture>) -> UnknownMixture {
    UnknownMixture {
        name: name.to_uppercase(),
        supported: known.map(Mixture::name).collect::<Vec<_>>().join(", "),
    }
}

/// What the rules of mixtures ask of a model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outline {
    /// Number of layers.
    pub layers: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads.
    pub kv_heads: usize,
    /// Experts of a mixture, 0 without.
    pub experts: usize,
    /// The embedding is the output matrix as well.
    pub tied: bool,
    /// Falcon, which has rules of its own.
    pub falcon: bool,
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn a_mixture_is_its_own_index_and_is_found() {
        for (i, row) in TABLE.iter().enumerate() {
            assert_eq!(row.mixture as usize, i, "{}", row.name);
            assert_eq!(Mixture::parse(&row.name.to_lowercase()), Ok(row.mixture));
            let number = u64::from(row.file_type);
            assert_eq!(Mixture::from_file_type(number), Some(row.mixture));
            assert!(crate::encodable().any(|b| b == row.block), "{}", row.name);
        }
        assert_eq!(Mixture::parse("q4_k").unwrap(), Mixture::Q4KM);
        assert_eq!(Mixture::parse("Q3_K").unwrap(), Mixture::Q3KM);
        let message = Mixture::parse("q9").unwrap_err().to_string();
        assert!(
            message.contains("type Q9") && message.contains("IQ4_XS"),
            "{message}"
        );
        assert!(Mixture::parse("").is_err());
    }

    #[test]
    fn ollama_takes_six() {
        let cases = [
            ("q4_K_M", Some(Mixture::Q4KM)),
            ("q4_k", Some(Mixture::Q4KM)),
            ("Q4_K_S", Some(Mixture::Q4KS)),
            ("q8_0", Some(Mixture::Q8_0)),
            ("bf16", Some(Mixture::BF16)),
            ("f32", Some(Mixture::F32)),
            ("F16", Some(Mixture::F16)),
            ("q6_K", None),
            ("x", None),
        ];
        for (name, want) in cases {
            assert_eq!(Mixture::ollama(name).ok(), want, "{name}");
        }
        assert_eq!(
            Mixture::ollama("q6_K").unwrap_err().to_string(),
            "unsupported quantization type Q6_K - supported types are F32, F16, Q4_K_S, Q4_K_M, Q8_0"
        );
    }
}
