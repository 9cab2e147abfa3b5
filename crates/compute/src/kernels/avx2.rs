//! The integer kernels for AVX2.
//!
//! All numbers of tokens go one way, [`walk`]: it reads weights as fast as the memory gives them to one token,
//! and a token's result does not depend on the others.
//!
//! # What makes the unsafe code sound
//!
//! 1. [`quantize`] and the functions of the table [`integer`] are the only entries; they are given to
//!    processors with the features named in [`Isa::Avx2`](crate::Isa) only.
//! 2. [`walk`] checks the lengths of the slices it was given before it makes a pointer.

use hearth_format::BlockType;

use super::{
    Integer, Many,
    activation::{self, RowMut},
    avx2_square::{self as squares, Plain, Squares},
    avx2_walk::walk,
    by_block, unpack,
};

pub(super) fn integer(block: BlockType) -> Option<Integer> {
    by_block!(block, kernels,
        Q4_0 => Plain<unpack::Q4_0>, Q4_1 => Plain<unpack::Q4_1>, Q5_0 => Plain<unpack::Q5_0>,
        Q5_1 => Plain<unpack::Q5_1>, Q8_0 => squares::Q8_0, Iq4Nl => Plain<unpack::Iq4Nl>,
        Iq4Xs => Plain<unpack::Iq4Xs>, Mxfp4 => Plain<unpack::Mxfp4>, Q2K => Plain<unpack::Q2K>,
        Q3K => Plain<unpack::Q3K>, Q4K => squares::Q4K, Q5K => squares::Q5K, Q6K => squares::Q6K,
        Nvfp4 => Plain<unpack::Nvfp4>, Tq2_0 => Plain<unpack::Tq2>,
    )
}

fn kernels<S: Squares>() -> Integer {
    Integer {
        dot: None,
        many: Many::Walk(walk::<S>),
    }
}

pub(super) fn quantize(x: &[f32], row: &mut RowMut<'_>) {
    #[target_feature(enable = "avx2,fma")]
    fn featured(x: &[f32], row: &mut RowMut<'_>) {
        activation::quantize(x, row);
    }
    // SAFETY: rule 1.
    unsafe { featured(x, row) }
}
