//! What each block type means, in the register form that all integer kernels share.
//!
//! A *span* is 256 columns of one row: one super-block, or as many small blocks as fit. Unpacked, it is
//! 256 codes and, for each group of 16 columns, a scale and an offset: `value = scale * code + offset`.
//! A new block type is one more [`Unpack`]; tuned versions in `avx512` and `avx2` must equal it.

use half::f16;

/// Columns of a span.
pub(crate) const SPAN: usize = 256;
/// Groups of a span that may have scales of their own.
pub(crate) const GROUPS: usize = 16;

/// A span of one row, unpacked.
#[derive(Clone)]
#[repr(C, align(64))]
pub(crate) struct Unpacked {
    /// -128..=127; types whose codes are never negative stay in 0..=127.
    pub(crate) codes: [i8; SPAN],
    /// Multiplies the codes of 16 columns.
    pub(crate) scale: [f32; GROUPS],
    /// Added to that product.
    pub(crate) offset: [f32; GROUPS],
}

impl Default for Unpacked {
    fn default() -> Self {
        Self {
            codes: [0; SPAN],
            scale: [0.0; GROUPS],
            offset: [0.0; GROUPS],
        }
    }
}

/// A block type that the integer kernels can multiply by.
pub(crate) trait Unpack {
    /// Bytes of a span.
    const BYTES: usize;
    /// Columns that share a scale: 16 or 32.
    const GROUP: usize;
    /// Whether codes can be negative; offsets are zero then.
    const SIGNED: bool;
    /// The largest magnitude of a code.
    const LARGEST: i32;

    /// Unpacks the span in `bytes` (`BYTES` of them).
    fn unpack(bytes: &[u8], out: &mut Unpacked);
}

/// The 16 values of IQ4_NL and IQ4_XS.
pub(crate) const NONLINEAR: [i8; 16] = [
    -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113,
];
/// The 16 values of E2M1, doubled.
pub(crate) const FP4: [i8; 16] = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];

/// The half at byte `at`.
#[inline(always)]
pub(crate) fn half(bytes: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([bytes[at], bytes[at + 1]]).to_f32()
}

/// `2^(exponent - 128)`: the scale of MXFP4 for doubled codes (formats, E8M0).
#[inline(always)]
pub(crate) fn e8m0_half(exponent: u8) -> f32 {
    match exponent {
        0 => f32::from_bits(0x0020_0000),
        1 => f32::from_bits(0x0040_0000),
        e => f32::from_bits((u32::from(e) - 1) << 23),
    }
}

/// UE4M3, halved for doubled codes: the scale of NVFP4.
#[inline(always)]
pub(crate) fn ue4m3_half(byte: u8) -> f32 {
    let (exponent, mantissa) = (i32::from(byte >> 3 & 15), f32::from(byte & 7));
    match (byte & 0x7f, exponent) {
        (0 | 0x7f, _) => 0.0,
        (_, 0) => mantissa / 1024.0,
        _ => (1.0 + mantissa / 8.0) * f32::from_bits(((exponent - 8 + 127) as u32) << 23),
    }
}

/// The eight 6-bit scales and eight 6-bit mins of Q4_K and Q5_K, from their 12 bytes: a byte each,
/// lowest first.
#[inline(always)]
pub(crate) fn scales_and_mins(packed: &[u8; 12]) -> (u64, u64) {
    let word =
        |i: usize| u32::from_le_bytes([packed[i], packed[i + 1], packed[i + 2], packed[i + 3]]);
    let (u0, u1, u2) = (word(0), word(4), word(8));
    let high = |u: u32| (u >> 6 & 0x0303_0303) << 4;
    let scales = [u0 & 0x3f3f_3f3f, (u2 & 0x0f0f_0f0f) | high(u0)];
    let mins = [u1 & 0x3f3f_3f3f, (u2 >> 4 & 0x0f0f_0f0f) | high(u1)];
    let join = |[low, high]: [u32; 2]| u64::from(low) | u64::from(high) << 32;
    (join(scales), join(mins))
}

/// The sixteen 6-bit scales of Q3_K, from their 12 bytes, 32 not yet subtracted.
#[inline(always)]
fn q3_scales(packed: &[u8]) -> [u8; 16] {
    std::array::from_fn(|j| {
        let low = if j < 8 {
            packed[j] & 15
        } else {
            packed[j - 8] >> 4
        };
        low | (packed[8 + j % 4] >> (2 * (j / 4)) & 3) << 4
    })
}

/// Sets both halves of 32-column group `g`.
#[inline(always)]
fn group32(out: &mut Unpacked, g: usize, scale: f32, offset: f32) {
    out.scale[2 * g..2 * g + 2].fill(scale);
    out.offset[2 * g..2 * g + 2].fill(offset);
}

/// Nibbles of 16 bytes in the order of all 32-column types: low ones first.
#[inline(always)]
fn nibbles32(qs: &[u8], codes: &mut [i8], value: impl Fn(u8) -> i8) {
    let (low, high) = codes.split_at_mut(16);
    for ((byte, low), high) in qs.iter().zip(low).zip(high) {
        *low = value(byte & 15);
        *high = value(byte >> 4);
    }
}

/// The 2-bit planes of Q2_K, Q3_K and TQ2_0: element `i` is in byte `32 (i/128) + i%32`.
#[inline(always)]
fn planes(qs: &[u8], codes: &mut [i8; SPAN]) {
    #[inline(always)]
    fn plane<const P: usize>(qs: &[u8], codes: &mut [i8]) {
        for (code, byte) in codes[32 * P..32 * P + 32].iter_mut().zip(qs) {
            *code = (byte >> (2 * P) & 3) as i8;
        }
    }
    for (codes, qs) in codes.chunks_exact_mut(128).zip(qs.chunks_exact(32)) {
        plane::<0>(qs, codes);
        plane::<1>(qs, codes);
        plane::<2>(qs, codes);
        plane::<3>(qs, codes);
    }
}

/// Declares the types that are made of 32-column blocks: bytes, sign, largest code, and one block's
/// `(bytes, codes) -> (scale, offset)`.
macro_rules! small_blocks {
    ($($(#[$doc:meta])* $name:ident, $bytes:literal, $signed:literal, $largest:literal, $block:expr;)*) => {$(
        $(#[$doc])*
        pub(crate) struct $name;
        impl Unpack for $name {
            const BYTES: usize = 8 * $bytes;
            const GROUP: usize = 32;
            const SIGNED: bool = $signed;
            const LARGEST: i32 = $largest;
            #[inline(always)]
            fn unpack(bytes: &[u8], out: &mut Unpacked) {
                let unpack: fn(&[u8], &mut [i8]) -> (f32, f32) = $block;
                for (g, block) in bytes.chunks_exact($bytes).take(8).enumerate() {
                    let (scale, offset) = unpack(block, &mut out.codes[32 * g..32 * g + 32]);
                    group32(out, g, scale, offset);
                }
            }
        }
    )*};
}

small_blocks! {
    /// `d q`.
    Q8_0, 34, true, 128, |b, codes| {
        for (code, byte) in codes.iter_mut().zip(&b[2..34]) {
            *code = *byte as i8;
        }
        (half(b, 0), 0.0)
    };
    /// `d (q - 8)`.
    Q4_0, 18, false, 15, |b, codes| {
        nibbles32(&b[2..18], codes, |q| q as i8);
        (half(b, 0), -8.0 * half(b, 0))
    };
    /// `d q + m`.
    Q4_1, 20, false, 15, |b, codes| {
        nibbles32(&b[4..20], codes, |q| q as i8);
        (half(b, 0), half(b, 2))
    };
    /// `d (q - 16)`, five bits.
    Q5_0, 22, false, 31, |b, codes| {
        nibbles32(&b[6..22], codes, |q| q as i8);
        fifth_bits(&b[2..6], codes);
        (half(b, 0), -16.0 * half(b, 0))
    };
    /// `d q + m`, five bits.
    Q5_1, 24, false, 31, |b, codes| {
        nibbles32(&b[8..24], codes, |q| q as i8);
        fifth_bits(&b[4..8], codes);
        (half(b, 0), half(b, 2))
    };
    /// `d NL[q]`.
    Iq4Nl, 18, true, 127, |b, codes| {
        nibbles32(&b[2..18], codes, |q| NONLINEAR[usize::from(q)]);
        (half(b, 0), 0.0)
    };
    /// `2^(e-127) e2m1(q)`.
    Mxfp4, 17, true, 12, |b, codes| {
        nibbles32(&b[1..17], codes, |q| FP4[usize::from(q)]);
        (e8m0_half(b[0]), 0.0)
    };
}

#[inline(always)]
fn fifth_bits(qh: &[u8], codes: &mut [i8]) {
    for (i, code) in codes.iter_mut().enumerate() {
        *code |= ((qh[i / 8] >> (i % 8) & 1) << 4) as i8;
    }
}

/// Q2_K: `d (s & 15) q - dmin (s >> 4)`, per 16.
pub(crate) struct Q2K;
impl Unpack for Q2K {
    const BYTES: usize = 84;
    const GROUP: usize = 16;
    const SIGNED: bool = false;
    const LARGEST: i32 = 3;
    #[inline(always)]
    fn unpack(bytes: &[u8], out: &mut Unpacked) {
        planes(&bytes[16..80], &mut out.codes);
        let (d, dmin) = (half(bytes, 80), half(bytes, 82));
        for (g, s) in bytes[..16].iter().enumerate() {
            out.scale[g] = d * f32::from(s & 15);
            out.offset[g] = -dmin * f32::from(s >> 4);
        }
    }
}

/// Q3_K: `d s q`, `q` in -4..=3, per 16.
pub(crate) struct Q3K;
impl Unpack for Q3K {
    const BYTES: usize = 110;
    const GROUP: usize = 16;
    const SIGNED: bool = false;
    const LARGEST: i32 = 7;
    #[inline(always)]
    fn unpack(bytes: &[u8], out: &mut Unpacked) {
        planes(&bytes[32..96], &mut out.codes);
        for (bit, codes) in out.codes.chunks_exact_mut(32).enumerate() {
            for (code, mask) in codes.iter_mut().zip(&bytes[..32]) {
                *code |= ((mask >> bit & 1) << 2) as i8;
            }
        }
        let d = half(bytes, 108);
        for (g, s) in q3_scales(&bytes[96..108]).into_iter().enumerate() {
            out.scale[g] = d * f32::from(s as i8 - 32);
            out.offset[g] = -4.0 * out.scale[g];
        }
    }
}

/// The head of Q4_K and Q5_K: `d, dmin` and the 6-bit scales, spread over the groups.
#[inline(always)]
fn k_scales(bytes: &[u8], out: &mut Unpacked) {
    let (d, dmin) = (half(bytes, 0), half(bytes, 2));
    let packed: &[u8; 12] = bytes[4..16].first_chunk().expect("a slice of 12 bytes");
    let (scales, mins) = scales_and_mins(packed);
    for (g, (s, m)) in scales
        .to_le_bytes()
        .into_iter()
        .zip(mins.to_le_bytes())
        .enumerate()
    {
        group32(out, g, d * f32::from(s), -dmin * f32::from(m));
    }
}

/// The nibbles of Q4_K and Q5_K: 64 columns in 32 bytes, low ones first.
#[inline(always)]
fn k_nibbles(qs: &[u8], codes: &mut [i8; SPAN]) {
    for (codes, qs) in codes.chunks_exact_mut(64).zip(qs.chunks_exact(32)) {
        let (low, high) = codes.split_at_mut(32);
        for ((byte, low), high) in qs.iter().zip(low).zip(high) {
            *low = (byte & 15) as i8;
            *high = (byte >> 4) as i8;
        }
    }
}

/// Q4_K: `d s q - dmin m`, per 32.
pub(crate) struct Q4K;
impl Unpack for Q4K {
    const BYTES: usize = 144;
    const GROUP: usize = 32;
    const SIGNED: bool = false;
    const LARGEST: i32 = 15;
    #[inline(always)]
    fn unpack(bytes: &[u8], out: &mut Unpacked) {
        k_scales(bytes, out);
        k_nibbles(&bytes[16..144], &mut out.codes);
    }
}

/// Q5_K: as Q4_K with a fifth bit.
pub(crate) struct Q5K;
impl Unpack for Q5K {
    const BYTES: usize = 176;
    const GROUP: usize = 32;
    const SIGNED: bool = false;
    const LARGEST: i32 = 31;
    #[inline(always)]
    fn unpack(bytes: &[u8], out: &mut Unpacked) {
        k_scales(bytes, out);
        k_nibbles(&bytes[48..176], &mut out.codes);
        for (bit, codes) in out.codes.chunks_exact_mut(32).enumerate() {
            for (code, high) in codes.iter_mut().zip(&bytes[16..48]) {
                *code |= ((high >> bit & 1) << 4) as i8;
            }
        }
    }
}

/// Q6_K: `d s (q - 32)`, per 16.
pub(crate) struct Q6K;
impl Unpack for Q6K {
    const BYTES: usize = 210;
    const GROUP: usize = 16;
    const SIGNED: bool = false;
    const LARGEST: i32 = 63;
    #[inline(always)]
    fn unpack(bytes: &[u8], out: &mut Unpacked) {
        /// Group `g`: a nibble of `ql` below two bits of `qh`.
        #[inline(always)]
        fn group<const G: u32>(ql: &[u8], qh: &[u8], codes: &mut [i8]) {
            for i in 0..32 {
                let low = ql[i + 32 * (G as usize % 2)] >> (4 * (G / 2)) & 15;
                codes[i + 32 * G as usize] = (low | (qh[i] >> (2 * G) & 3) << 4) as i8;
            }
        }
        for (n, codes) in out.codes.chunks_exact_mut(128).enumerate() {
            let ql = &bytes[64 * n..64 * n + 64];
            let qh = &bytes[128 + 32 * n..160 + 32 * n];
            group::<0>(ql, qh, codes);
            group::<1>(ql, qh, codes);
            group::<2>(ql, qh, codes);
            group::<3>(ql, qh, codes);
        }
        let d = half(bytes, 208);
        for (g, s) in bytes[192..208].iter().enumerate() {
            out.scale[g] = d * f32::from(*s as i8);
            out.offset[g] = -32.0 * out.scale[g];
        }
    }
}

/// IQ4_XS: `d (s - 32) NL[q]`, per 32.
pub(crate) struct Iq4Xs;
impl Unpack for Iq4Xs {
    const BYTES: usize = 136;
    const GROUP: usize = 32;
    const SIGNED: bool = true;
    const LARGEST: i32 = 127;
    #[inline(always)]
    fn unpack(bytes: &[u8], out: &mut Unpacked) {
        let d = half(bytes, 0);
        let high = u16::from_le_bytes([bytes[2], bytes[3]]);
        for (g, qs) in bytes[8..136].chunks_exact(16).enumerate() {
            let low = bytes[4 + g / 2] >> (4 * (g % 2)) & 15;
            let s = i32::from(low) | i32::from(high >> (2 * g) & 3) << 4;
            group32(out, g, d * (s - 32) as f32, 0.0);
            nibbles32(qs, &mut out.codes[32 * g..32 * g + 32], |q| {
                NONLINEAR[usize::from(q)]
            });
        }
    }
}

/// NVFP4: `ue4m3(d) e2m1(q)`, per 16.
pub(crate) struct Nvfp4;
impl Unpack for Nvfp4 {
    const BYTES: usize = 4 * 36;
    const GROUP: usize = 16;
    const SIGNED: bool = true;
    const LARGEST: i32 = 12;
    #[inline(always)]
    fn unpack(bytes: &[u8], out: &mut Unpacked) {
        for (b, block) in bytes.chunks_exact(36).take(4).enumerate() {
            for s in 0..4 {
                let g = 4 * b + s;
                out.scale[g] = ue4m3_half(block[s]);
                out.offset[g] = 0.0;
                let codes = &mut out.codes[16 * g..16 * g + 16];
                for (k, byte) in block[4 + 8 * s..12 + 8 * s].iter().enumerate() {
                    codes[k] = FP4[usize::from(byte & 15)];
                    codes[k + 8] = FP4[usize::from(byte >> 4)];
                }
            }
        }
    }
}

/// TQ2_0: `d (q - 1)`.
pub(crate) struct Tq2;
impl Unpack for Tq2 {
    const BYTES: usize = 66;
    const GROUP: usize = 32;
    const SIGNED: bool = false;
    const LARGEST: i32 = 3;
    #[inline(always)]
    fn unpack(bytes: &[u8], out: &mut Unpacked) {
        planes(&bytes[..64], &mut out.codes);
        out.scale.fill(half(bytes, 64));
        out.offset.fill(-half(bytes, 64));
    }
}
