//! Types without blocks: one value after another.

/// An f16 as f32, exactly; quiets NaN as the processor does. Without branches, so that loops of it vectorise, and
/// without arithmetic on subnormal f32, which is slow.
pub(super) fn half_to_f32(bits: u16) -> f32 {
    const TWO_TO_MINUS_24: f32 = f32::from_bits((127 - 24) << 23);
    let (sign, magnitude) = (u32::from(bits & 0x8000) << 16, u32::from(bits & 0x7FFF));
    let subnormal = (magnitude.cast_signed() as f32 * TWO_TO_MINUS_24).to_bits();
    let normal = (magnitude << 13) + (112 << 23);
    let quiet = u32::from(magnitude > 0x7C00) << 22;
    let special = 0x7F80_0000 | (magnitude & 0x3FF) << 13 | quiet;
    let value = if magnitude < 0x400 { subnormal } else { normal };
    f32::from_bits(sign | if magnitude < 0x7C00 { value } else { special })
}

macro_rules! plain {
    ($($name:ident, $n:literal, $bytes:ident => $value:expr;)*) => { $(
        pub(super) fn $name(bytes: &[u8], out: &mut [f32]) {
            for ($bytes, out) in bytes.as_chunks::<$n>().0.iter().zip(out) {
                *out = $value;
            }
        }
    )* };
}

plain! {
    f32, 4, b => f32::from_le_bytes(*b);
    f16, 2, b => half_to_f32(u16::from_le_bytes(*b));
    bf16, 2, b => f32::from_bits(u32::from(u16::from_le_bytes(*b)) << 16);
    f64, 8, b => f64::from_le_bytes(*b) as f32;
    i8, 1, b => f32::from(i8::from_le_bytes(*b));
    i16, 2, b => f32::from(i16::from_le_bytes(*b));
    i32, 4, b => i32::from_le_bytes(*b) as f32;
    i64, 8, b => i64::from_le_bytes(*b) as f32;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_half_is_exact() {
        for bits in 0..=u16::MAX {
            let want = half::f16::from_bits(bits).to_f32();
            assert_eq!(half_to_f32(bits).to_bits(), want.to_bits(), "{bits:04x}");
        }
    }
}
