//! Types without blocks.

use half::{bf16, f16};

pub(super) fn f32(x: &[f32], out: &mut [u8]) {
    for (x, out) in x.iter().zip(out.as_chunks_mut::<4>().0) {
        *out = x.to_le_bytes();
    }
}

pub(super) fn f16(x: &[f32], out: &mut [u8]) {
    for (x, out) in x.iter().zip(out.as_chunks_mut::<2>().0) {
        *out = f16::from_f32(*x).to_le_bytes();
    }
}

pub(super) fn bf16(x: &[f32], out: &mut [u8]) {
    for (x, out) in x.iter().zip(out.as_chunks_mut::<2>().0) {
        *out = bf16::from_f32(*x).to_le_bytes();
    }
}
