//! Types without blocks: one value after another.

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
    f16, 2, b => half::f16::from_le_bytes(*b).to_f32();
    bf16, 2, b => f32::from_bits(u32::from(u16::from_le_bytes(*b)) << 16);
    f64, 8, b => f64::from_le_bytes(*b) as f32;
    i8, 1, b => f32::from(i8::from_le_bytes(*b));
    i16, 2, b => f32::from(i16::from_le_bytes(*b));
    i32, 4, b => i32::from_le_bytes(*b) as f32;
    i64, 8, b => i64::from_le_bytes(*b) as f32;
}
