//! MLX's affine quantisation: `value = scale * code + bias`, codes in one bit stream per row (format notes 1.9).

use crate::{Affine, BlockType};

impl Affine {
    /// The values of row `row`.
    ///
    /// # Panics
    /// When the row is not there; sizes were checked when the checkpoint was read.
    pub fn dequantize_row(&self, row: usize, out: &mut [f32]) {
        let code_bytes = out.len() * self.bits / 8;
        let codes = &self.codes[row * code_bytes..(row + 1) * code_bytes];
        let groups = out.len() / self.group;
        let scale_bytes = self.scale_type.row_bytes(groups);
        let at = row * scale_bytes..(row + 1) * scale_bytes;
        let read = |bytes: &[u8], i: usize| {
            let n = self.scale_type.block_bytes();
            let mut value = [0.0];
            self.scale_type
                .dequantize(&bytes[i * n..(i + 1) * n], &mut value);
            value[0]
        };
        let (scales, biases) = (&self.scales[at.clone()], &self.biases[at]);
        for (g, out) in out.chunks_exact_mut(self.group).enumerate() {
            let (scale, bias) = (read(scales, g), read(biases, g));
            for (k, out) in out.iter_mut().enumerate() {
                *out = scale * self.code(codes, g * self.group + k) as f32 + bias;
            }
        }
    }

    /// Element `i` of a row's bit stream; codes of 3, 5 and 6 bits straddle bytes.
    fn code(&self, codes: &[u8], i: usize) -> u16 {
        let bit = i * self.bits;
        let low = u16::from(codes[bit / 8]);
        let high = codes.get(bit / 8 + 1).map_or(0, |b| u16::from(*b));
        ((low | high << 8) >> (bit % 8)) & ((1 << self.bits) - 1)
    }

    /// Whether this scale type is one that MLX writes.
    pub(crate) fn takes(scale_type: BlockType) -> bool {
        matches!(
            scale_type,
            BlockType::F16 | BlockType::BF16 | BlockType::F32
        )
    }
}
