//! The pre-tokenizers that a GGUF names: `tokenizer.ggml.pre` to flags and split expressions.
//!
//! Expressions are those of the models' own `tokenizer.json`, also where llama.cpp approximates them (it knows no
//! letter case beyond ASCII and no marks in the sets for gpt-4o and tekken). Generated from the reference table; a
//! test compiles all of it.

/// Whole-word tokens are taken without merging.
pub(crate) const IGNORE_MERGES: u8 = 1;
/// A beginning-of-sequence token is added unless the file says otherwise.
pub(crate) const ADD_BOS: u8 = 2;
/// Spaces are written U+2581 and words are raw UTF-8.
pub(crate) const ESCAPE: u8 = 4;
/// The default beginning-of-sequence id does not apply.
pub(crate) const NO_BOS: u8 = 8;

/// What a value of `tokenizer.ggml.pre` stands for.
pub(crate) struct Pre {
    /// The value.
    pub name: &'static str,
    /// Split expressions, each applied to the pieces that the one before left.
    pub set: &'static [&'static str],
    /// A union of the constants above.
    pub flags: u8,
}

/// The entry of that name.
pub(crate) fn find(name: &str) -> Option<&'static Pre> {
    PRES.iter().find(|pre| pre.name == name)
}

/// All of them, by name.
pub(crate) const PRES: [Pre; 91] = [
    pre("a.x-4.0", R10, 0),
    pre("afmoe", R25, 0),
    pre("bailingmoe", R22, 0),
    pre("bailingmoe2", R22, 0),
    pre("bloom", R13, 0),
    pre("chameleon", R16, ADD_BOS),
    pre("chatglm-bpe", R1, NO_BOS),
    pre("codeshell", R9, 0),
    pre("cohere2moe", R19, 0),
    pre("command-r", R9, 0),
    pre("dbrx", R1, 0),
    pre("deepseek-coder", R7, 0),
    pre("deepseek-llm", R3, 0),
    pre("deepseek-r1-qwen", R11, 0),
    pre("deepseek-v3", R4, 0),
    pre("default", R31, 0),
    pre("exaone", R9, 0),
    pre("exaone-moe", R27, 0),
    pre("exaone4", R10, 0),
    pre("f2llmv2", R11, 0),
    pre("falcon", R8, 0),
    pre("falcon-h1", R1, IGNORE_MERGES | ADD_BOS),
    pre("falcon3", R1, IGNORE_MERGES | ADD_BOS),
    pre("gemma4", R28, ESCAPE),
    pre("gigachat", R10, 0),
    pre("glm4", R1, IGNORE_MERGES | NO_BOS),
    pre("glm5", R1, IGNORE_MERGES | NO_BOS),
    pre("gpt-2", R10, 0),
    pre("gpt-4o", R17, 0),
    pre("gpt3-finnish", R13, 0),
    pre("granite-docling", R10, 0),
    pre("granite-embed-multi-311m", R28, ESCAPE),
    pre("granite-embed-multi-97m", R18, IGNORE_MERGES),
    pre("grok-2", R11, 0),
    pre("hunyuan", R11, 0),
    pre("hunyuan-dense", R4, 0),
    pre("hy_v4", R4, 0),
    pre("jais", R10, 0),
    pre("jais-2", R2, 0),
    pre("jina-de", R10, 0),
    pre("jina-es", R10, 0),
    pre("jina-v1-en", R10, 0),
    pre("jina-v2-code", R10, 0),
    pre("jina-v2-de", R10, 0),
    pre("jina-v2-es", R10, 0),
    pre("jina-v5-nano", R1, IGNORE_MERGES | ADD_BOS),
    pre("joyai-llm", R4, 0),
    pre("kanana2", R17, 0),
    pre("kimi-k2", R20, 0),
    pre("kormo", R11, 0),
    pre("laguna", R26, 0),
    pre("lfm2", R1, IGNORE_MERGES | ADD_BOS),
    pre("llada-moe", R22, 0),
    pre("llama-bpe", R1, IGNORE_MERGES | ADD_BOS),
    pre("llama-v3", R1, IGNORE_MERGES | ADD_BOS),
    pre("llama3", R1, IGNORE_MERGES | ADD_BOS),
    pre("llama4", R17, 0),
    pre("megrez", R11, 0),
    pre("mellum", R10, 0),
    pre("mellum2", R9, 0),
    pre("midm-2.0", R1, IGNORE_MERGES | ADD_BOS),
    pre("minerva-7b", R9, 0),
    pre("minicpm5", R29, IGNORE_MERGES),
    pre("minimax-m2", R17, 0),
    pre("modern-bert", R10, 0),
    pre("mpt", R10, 0),
    pre("olmo", R10, 0),
    pre("phi-2", R10, 0),
    pre("pixtral", R1, IGNORE_MERGES | ADD_BOS),
    pre("poro-chat", R13, 0),
    pre("qwen2", R11, 0),
    pre("qwen35", R12, 0),
    pre("refact", R9, 0),
    pre("roberta-bpe", R10, 0),
    pre("sarvam-moe", R28, ESCAPE),
    pre("seed-coder", R23, 0),
    pre("smaug-bpe", R1, 0),
    pre("smollm", R9, 0),
    pre("solar-open", R11, 0),
    pre("spark2_5", R5, 0),
    pre("stablelm2", R11, 0),
    pre("starcoder", R9, 0),
    pre("superbpe", R21, 0),
    pre("talkie", R17, 0),
    pre("tekken", R15, IGNORE_MERGES | ADD_BOS),
    pre("tiny_aya", R19, 0),
    pre("trillion", R10, 0),
    pre("ufakzeka", R24, 0),
    pre("viking", R14, 0),
    pre("whitespace", R30, 0),
    pre("youtu", R6, IGNORE_MERGES),
];

const fn pre(name: &'static str, set: &'static [&'static str], flags: u8) -> Pre {
    Pre { name, set, flags }
}

#[rustfmt::skip]
const R1: &[&str] = &[
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
];
#[rustfmt::skip]
const R2: &[&str] = &[
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s{512}(?!\S)|\s{256}(?!\S)|\s{128}(?!\S)|\s{64}(?!\S)|\s{32}(?!\S)|\s{16}(?!\S)|\s{8}(?!\S)|\s{4}(?!\S)|\s{1,2}(?!\S)|\s{1}",
];
#[rustfmt::skip]
const R3: &[&str] = &[
    r"[\r\n]",
    r"\s?[A-Za-z\u{B5}\u{C0}-\u{D6}\u{D8}-\u{F6}\u{F8}-\u{1BA}\u{1BC}-\u{1BF}\u{1C4}-\u{293}\u{295}-\u{2AF}\u{370}-\u{373}\u{376}\u{377}\u{37B}-\u{37D}\u{37F}\u{386}\u{388}-\u{38A}\u{38C}\u{38E}-\u{3A1}\u{3A3}-\u{3F5}\u{3F7}-\u{481}\u{48A}-\u{52F}\u{531}-\u{556}\u{10A0}-\u{10C5}\u{13A0}-\u{13F5}\u{13F8}-\u{13FD}\u{1C90}-\u{1CBA}\u{1CBD}-\u{1CBF}\u{1D00}-\u{1D2B}\u{1D6B}-\u{1D77}\u{1D79}-\u{1D9A}\u{1E00}-\u{1F15}\u{1F18}-\u{1F1D}\u{1F20}-\u{1F45}\u{1F48}-\u{1F4D}\u{1F50}-\u{1F57}\u{1F59}\u{1F5B}\u{1F5D}\u{1F5F}-\u{1F7D}\u{1F80}-\u{1FB4}\u{1FB6}-\u{1FBC}\u{1FBE}\u{1FC2}-\u{1FC4}\u{1FC6}-\u{1FCC}\u{1FD0}-\u{1FD3}\u{1FD6}-\u{1FDB}\u{1FE0}-\u{1FEC}\u{1FF2}-\u{1FF4}\u{1FF6}-\u{1FFC}\u{2102}\u{2107}\u{210A}-\u{2113}\u{2115}\u{2119}-\u{211D}\u{2124}\u{2126}\u{2128}\u{212A}-\u{212D}\u{212F}-\u{2134}\u{2139}\u{213C}-\u{213F}\u{2145}-\u{2149}\u{214E}\u{2183}\u{2184}\u{2C00}-\u{2C7B}\u{2C7E}-\u{2CE4}\u{2CEB}-\u{2CEE}\u{2CF2}\u{2CF3}\u{A640}-\u{A66D}\u{A680}-\u{A69B}\u{A722}-\u{A76F}\u{A771}-\u{A787}\u{A78B}-\u{A78E}\u{AB70}-\u{ABBF}\u{FB00}-\u{FB06}\u{FB13}-\u{FB17}\u{FF21}-\u{FF3A}\u{FF41}-\u{FF5A}\u{10400}-\u{1044F}\u{104B0}-\u{104D3}\u{104D8}-\u{104FB}\u{10C80}-\u{10CB2}\u{10CC0}-\u{10CF2}\u{118A0}-\u{118DF}\u{1E900}-\u{1E943}]+",
    r"\s?[!-/:-~\u{FF01}-\u{FF0F}\u{FF1A}-\u{FF5E}\u{2018}-\u{201F}\u{3000}-\u{3002}]+",
    r"\s+$",
    r"[\u{4E00}-\u{9FA5}\u{800}-\u{4E00}\u{AC00}-\u{D7FF}]+",
    r"\p{N}+",
];
#[rustfmt::skip]
const R4: &[&str] = &[
    r"\p{N}{1,3}",
    r"[\u{4E00}-\u{9FA5}\u{3040}-\u{309F}\u{30A0}-\u{30FF}]+",
    r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"##,
];
#[rustfmt::skip]
const R5: &[&str] = &[
    r"\p{N}{1,3}",
    r"[\u{4E00}-\u{9FA5}\u{3040}-\u{309F}\u{30A0}-\u{30FF}]+",
    r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+|[\r\n]|\s+(?!\S)|\s+"##,
    r"\p{N}",
];
#[rustfmt::skip]
const R6: &[&str] = &[
    r"[\u{AC00}-\u{D7A3}\u{3131}-\u{318E}]+|[\u{FF01}\u{2026}\u{201C}\u{201D}\u{2018}\u{2019}\u{2014}\u{FF1A}\u{FF1B}\u{FF0C}\u{3001}-\u{303F}\u{FE30}-\u{FE4F}]+|[\u{3105}-\u{312F}]+|[\u{4E00}-\u{9FA5}\u{3040}-\u{309F}\u{30A0}-\u{30FF}]+",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])?|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
];
#[rustfmt::skip]
const R7: &[&str] = &[
    r"[\r\n]",
    r"\s?\p{L}+",
    r"\s?\p{P}+",
    r"[\u{4E00}-\u{9FA5}\u{800}-\u{4E00}\u{AC00}-\u{D7FF}]+",
    r"\p{N}",
];
#[rustfmt::skip]
const R8: &[&str] = &[
    r"[\p{P}\$\+<=>\^~\|`]+",
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)",
    r"[0-9][0-9][0-9]",
];
#[rustfmt::skip]
const R9: &[&str] = &[
    r"\p{N}",
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)",
];
#[rustfmt::skip]
const R10: &[&str] = &[
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)",
];
#[rustfmt::skip]
const R11: &[&str] = &[
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
];
#[rustfmt::skip]
const R12: &[&str] = &[
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
];
#[rustfmt::skip]
const R13: &[&str] = &[
    r" ?[^(\s|.,!?\u{2026}\u{3002}\u{FF0C}\u{3001}\u{964}\u{6D4}\u{60C})]+",
];
#[rustfmt::skip]
const R14: &[&str] = &[
    r" ?[^(\s|.,!?\u{2026}\u{3002}\u{FF0C}\u{3001}\u{964}\u{6D4}\u{60C})]+",
    r"\p{N}",
];
#[rustfmt::skip]
const R15: &[&str] = &[
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
];
#[rustfmt::skip]
const R16: &[&str] = &[
    r"<sentinel:[0-9]+>",
    r"(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z",
    r"([\t\n]|    |  )",
    r"\p{N}",
    r"[\p{P}!-/:-@\[-`{-~]",
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)",
];
#[rustfmt::skip]
const R17: &[&str] = &[
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
];
#[rustfmt::skip]
const R18: &[&str] = &[
    r"[^\r\n\p{L}\p{N}]?((?=[\p{L}\p{M}])([^a-z]))*((?=[\p{L}\p{M}])([^A-Z]))+(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])?|[^\r\n\p{L}\p{N}]?((?=[\p{L}\p{M}])([^a-z]))+((?=[\p{L}\p{M}])([^A-Z]))*(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
];
#[rustfmt::skip]
const R19: &[&str] = &[
    r"\d{1,3}(?=(?:\d{3})*\b)",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
];
#[rustfmt::skip]
const R20: &[&str] = &[
    r"[\p{Han}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
];
#[rustfmt::skip]
const R21: &[&str] = &[
    r"\p{N}+",
    r"(?=(\d{3})+(?!\d))",
];
#[rustfmt::skip]
const R22: &[&str] = &[
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+",
];
#[rustfmt::skip]
const R23: &[&str] = &[
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+",
];
#[rustfmt::skip]
const R24: &[&str] = &[
    r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
];
#[rustfmt::skip]
const R25: &[&str] = &[
    r"\d{1,3}(?=(?:\d{3})*\b)",
    r"[\u{4E00}-\u{9FFF}\u{3400}-\u{4DBF}\u{8C48}-\u{FAFF}\u{3040}-\u{309F}\u{30A0}-\u{30FF}\u{FF65}-\u{FF9F}\u{2F00}-\u{2FDF}\u{E40}-\u{E7F}\u{E80}-\u{EFF}\u{1780}-\u{17FF}\u{1000}-\u{109F}\u{AA60}-\u{AA7F}\u{A9E0}-\u{A9FF}\u{AC00}-\u{D7AF}\u{1100}-\u{11FF}]+",
    r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"##,
];
#[rustfmt::skip]
const R26: &[&str] = &[
    r"[^\n]+|[\n]+",
    r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
];
#[rustfmt::skip]
const R27: &[&str] = &[
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]?|\s*[\r\n]|\s+(?!\S)|\s+",
];
#[rustfmt::skip]
const R28: &[&str] = &[
    r"[^\n]+|[\n]+",
];
#[rustfmt::skip]
const R29: &[&str] = &[
    r"\p{N}{1,3}",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}+| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
];
#[rustfmt::skip]
const R30: &[&str] = &[
    r"\S+",
];
#[rustfmt::skip]
const R31: &[&str] = &[
    r"[\p{P}\$\+<=>\^~\|]+",
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)",
    r"\p{N}+",
    r"[0-9][0-9][0-9]",
];
