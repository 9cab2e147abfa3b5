//! Block types: how a row of weights is packed, and what its values are.
//!
//! Layouts and formulas are ggml's, described in part 2 of the format notes. Values are those of ggml's own
//! `to_float`, bit for bit.

mod grids;
mod iq;
mod k;
mod plain;
mod small;

/// How values are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names are ggml's type names")]
pub enum BlockType {
    F32,
    F16,
    BF16,
    F64,
    I8,
    I16,
    I32,
    I64,
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
    Q2K,
    Q3K,
    Q4K,
    Q5K,
    Q6K,
    Q8K,
    Iq1S,
    Iq1M,
    Iq2Xxs,
    Iq2Xs,
    Iq2S,
    Iq3Xxs,
    Iq3S,
    Iq4Nl,
    Iq4Xs,
    Tq1_0,
    Tq2_0,
    Mxfp4,
    Nvfp4,
    Q1_0,
    Q2_0,
}

/// A row of the table of types.
struct Row {
    block: BlockType,
    id: u32,
    name: &'static str,
    /// Values in a block.
    len: usize,
    bytes: usize,
    /// One block of bytes to its values.
    unpack: fn(&[u8], &mut [f32]),
}

const fn row(
    block: BlockType,
    id: u32,
    name: &'static str,
    len: usize,
    bytes: usize,
    unpack: fn(&[u8], &mut [f32]),
) -> Row {
    Row {
        block,
        id,
        name,
        len,
        bytes,
        unpack,
    }
}

/// In the order of the enum, so that a type is its own index.
static TABLE: [Row; 34] = [
    row(BlockType::F32, 0, "F32", 1, 4, plain::f32),
    row(BlockType::F16, 1, "F16", 1, 2, plain::f16),
    row(BlockType::BF16, 30, "BF16", 1, 2, plain::bf16),
    row(BlockType::F64, 28, "F64", 1, 8, plain::f64),
    row(BlockType::I8, 24, "I8", 1, 1, plain::i8),
    row(BlockType::I16, 25, "I16", 1, 2, plain::i16),
    row(BlockType::I32, 26, "I32", 1, 4, plain::i32),
    row(BlockType::I64, 27, "I64", 1, 8, plain::i64),
    row(BlockType::Q4_0, 2, "Q4_0", 32, 18, small::q4_0),
    row(BlockType::Q4_1, 3, "Q4_1", 32, 20, small::q4_1),
    row(BlockType::Q5_0, 6, "Q5_0", 32, 22, small::q5_0),
    row(BlockType::Q5_1, 7, "Q5_1", 32, 24, small::q5_1),
    row(BlockType::Q8_0, 8, "Q8_0", 32, 34, small::q8_0),
    row(BlockType::Q2K, 10, "Q2_K", 256, 84, k::q2_k),
    row(BlockType::Q3K, 11, "Q3_K", 256, 110, k::q3_k),
    row(BlockType::Q4K, 12, "Q4_K", 256, 144, k::q4_k),
    row(BlockType::Q5K, 13, "Q5_K", 256, 176, k::q5_k),
    row(BlockType::Q6K, 14, "Q6_K", 256, 210, k::q6_k),
    row(BlockType::Q8K, 15, "Q8_K", 256, 292, k::q8_k),
    row(BlockType::Iq1S, 19, "IQ1_S", 256, 50, iq::iq1_s),
    row(BlockType::Iq1M, 29, "IQ1_M", 256, 56, iq::iq1_m),
    row(BlockType::Iq2Xxs, 16, "IQ2_XXS", 256, 66, iq::iq2_xxs),
    row(BlockType::Iq2Xs, 17, "IQ2_XS", 256, 74, iq::iq2_xs),
    row(BlockType::Iq2S, 22, "IQ2_S", 256, 82, iq::iq2_s),
    row(BlockType::Iq3Xxs, 18, "IQ3_XXS", 256, 98, iq::iq3_xxs),
    row(BlockType::Iq3S, 21, "IQ3_S", 256, 110, iq::iq3_s),
    row(BlockType::Iq4Nl, 20, "IQ4_NL", 32, 18, small::iq4_nl),
    row(BlockType::Iq4Xs, 23, "IQ4_XS", 256, 136, iq::iq4_xs),
    row(BlockType::Tq1_0, 34, "TQ1_0", 256, 54, small::tq1_0),
    row(BlockType::Tq2_0, 35, "TQ2_0", 256, 66, small::tq2_0),
    row(BlockType::Mxfp4, 39, "MXFP4", 32, 17, small::mxfp4),
    row(BlockType::Nvfp4, 40, "NVFP4", 64, 36, small::nvfp4),
    row(BlockType::Q1_0, 41, "Q1_0", 128, 18, small::q1_0),
    row(BlockType::Q2_0, 42, "Q2_0", 64, 18, small::q2_0),
];

impl BlockType {
    /// Every type.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|row| row.block)
    }

    fn row(self) -> &'static Row {
        &TABLE[self as usize]
    }

    /// ggml's name, such as `Q4_K`.
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// The type of a name, in any case.
    pub fn from_name(name: &str) -> Option<Self> {
        TABLE
            .iter()
            .find(|row| row.name.eq_ignore_ascii_case(name))
            .map(|row| row.block)
    }

    /// The type of a GGUF type id.
    pub fn from_gguf_id(id: u32) -> Option<Self> {
        TABLE.iter().find(|row| row.id == id).map(|row| row.block)
    }

    /// The GGUF type id.
    pub fn gguf_id(self) -> u32 {
        self.row().id
    }

    /// Values in a block.
    pub fn block_len(self) -> usize {
        self.row().len
    }

    /// Bytes of a block.
    pub fn block_bytes(self) -> usize {
        self.row().bytes
    }

    /// Bytes of a row of `columns` values, a multiple of [`Self::block_len`].
    pub fn row_bytes(self, columns: usize) -> usize {
        columns / self.block_len() * self.block_bytes()
    }

    /// Whether values share a scale.
    pub fn is_quantized(self) -> bool {
        self.block_len() > 1
    }

    /// The values of whole blocks.
    ///
    /// # Panics
    /// When `out` is not as long as the blocks say.
    pub fn dequantize(self, bytes: &[u8], out: &mut [f32]) {
        let row = self.row();
        assert_eq!(
            bytes.len() / row.bytes * row.len,
            out.len(),
            "{} values of {} bytes",
            row.name,
            bytes.len()
        );
        if row.len == 1 {
            return (row.unpack)(bytes, out);
        }
        for (block, values) in bytes
            .chunks_exact(row.bytes)
            .zip(out.chunks_exact_mut(row.len))
        {
            (row.unpack)(block, values);
        }
    }
}

/// The f16 at byte `at`.
fn half(block: &[u8], at: usize) -> f32 {
    plain::half_to_f32(u16_at(block, at))
}

fn u16_at(block: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([block[at], block[at + 1]])
}

fn u32_at(block: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([block[at], block[at + 1], block[at + 2], block[at + 3]])
}

/// Nibble `high` (0 or 1) of a byte.
fn nibble(byte: u8, high: usize) -> u8 {
    (byte >> (4 * high)) & 15
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::{SafeTensors, Storage, Tensor, map_file};

    #[test]
    fn a_type_is_its_own_index() {
        for (i, row) in TABLE.iter().enumerate() {
            assert_eq!(row.block as usize, i, "{}", row.name);
            assert_eq!(BlockType::from_gguf_id(row.id), Some(row.block));
            assert_eq!(
                BlockType::from_name(&row.name.to_lowercase()),
                Some(row.block)
            );
        }
    }

    /// Compares with what ggml's C code gives for the same blocks, to the last bit.
    fn check(block: BlockType, blocks: &Tensor, values: &Tensor) {
        let Storage::Blocks { bytes, .. } = &blocks.storage else {
            panic!("plain bytes")
        };
        assert_eq!(blocks.columns(), block.block_bytes(), "{}", block.name());
        let want = values.to_f32();
        let mut got = vec![0.0; want.len()];
        block.dequantize(bytes, &mut got);
        for (i, (got, want)) in got.iter().zip(&want).enumerate() {
            let name = block.name();
            assert_eq!(
                got.to_bits(),
                want.to_bits(),
                "{name} value {i}: {got} and not {want}"
            );
        }
    }

    fn open(path: &Path) -> SafeTensors {
        SafeTensors::from_bytes(map_file(path).unwrap(), &path.display().to_string()).unwrap()
    }

    /// Three blocks of every type.
    #[test]
    fn values_are_those_of_the_reference() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let file = open(&root.join("testdata/dequant.safetensors"));
        let mut seen = 0;
        for block in BlockType::all() {
            let part = |kind: &str| file.tensor(&format!("{}.{kind}", block.name()));
            if let (Some(blocks), Some(values)) = (part("blocks"), part("values")) {
                check(block, blocks, values);
                seen += 1;
            }
        }
        assert_eq!(seen, 25);
    }

    /// All blocks of the conformance data.
    #[test]
    fn values_are_those_of_the_reference_in_full() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance/dequant");
        if !dir.exists() {
            println!("skipped: no ../shared");
            return;
        }
        let mut seen = 0;
        for block in BlockType::all() {
            let path = dir.join(format!("{}.safetensors", block.name()));
            if path.exists() {
                let file = open(&path);
                check(
                    block,
                    file.tensor("blocks").unwrap(),
                    file.tensor("values").unwrap(),
                );
                seen += 1;
            }
        }
        assert_eq!(seen, 25);
    }

    /// Types that the conformance data lacks.
    #[test]
    fn plain_types_and_q8_k() {
        let mut block = 0.5f32.to_le_bytes().to_vec();
        block.extend((0..256).map(|i| (i - 128) as u8));
        block.extend([0; 32]);
        let mut out = [0.0; 256];
        BlockType::Q8K.dequantize(&block, &mut out);
        let want: [f32; 256] = std::array::from_fn(|i| (i as f32 - 128.0) * 0.5);
        assert_eq!(out, want);
        let cases: [(BlockType, &[u8], f32); 8] = [
            (BlockType::F32, &(-1.5f32).to_le_bytes(), -1.5),
            (BlockType::F64, &0.1f64.to_le_bytes(), 0.1),
            (BlockType::F16, &[0x00, 0xBC], -1.0),
            (BlockType::BF16, &[0x80, 0x3F], 1.0),
            (BlockType::I8, &[0xFE], -2.0),
            (BlockType::I16, &(-300i16).to_le_bytes(), -300.0),
            (BlockType::I32, &70_000i32.to_le_bytes(), 70_000.0),
            (BlockType::I64, &(-9i64).to_le_bytes(), -9.0),
        ];
        for (block, bytes, want) in cases {
            let mut out = [0.0];
            block.dequantize(bytes, &mut out);
            assert_eq!(out, [want], "{}", block.name());
        }
    }
}
