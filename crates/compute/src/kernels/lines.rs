//! Arrays that begin at a cache line: a vector load that crosses two lines costs two.

use bytemuck::{Pod, Zeroable};

/// A cache line.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([u8; 64]);

// SAFETY: plain bytes; all zero is a value.
unsafe impl Zeroable for Line {}
// SAFETY: 64 bytes at alignment 64, so no padding; every bit pattern is a value.
unsafe impl Pod for Line {}

/// A growing array of `T`, aligned to 64 bytes.
#[derive(Default)]
pub(crate) struct Lines<T> {
    lines: Vec<Line>,
    len: usize,
    values: std::marker::PhantomData<T>,
}

impl<T: Pod> Lines<T> {
    /// Sets the length; what was there before stays in part or whole, new lines are zero.
    pub(crate) fn resize(&mut self, len: usize) {
        let lines = (len * size_of::<T>()).div_ceil(64);
        if lines > self.lines.len() {
            self.lines.resize(lines, Line([0; 64]));
        }
        self.len = len;
    }
}

impl<T: Pod> std::ops::Deref for Lines<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        &bytemuck::cast_slice(&self.lines)[..self.len]
    }
}

impl<T: Pod> std::ops::DerefMut for Lines<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut bytemuck::cast_slice_mut(&mut self.lines)[..self.len]
    }
}

impl<T> std::fmt::Debug for Lines<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Lines({})", self.len)
    }
}
