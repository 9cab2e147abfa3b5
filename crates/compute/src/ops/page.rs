//! Pages of a cache as values of their own: shared between sequences, written to files, read back or used where they
//! lie in one.

use std::{
    io::{self, Read, Write},
    ops::{Deref, DerefMut},
    sync::Arc,
};

use half::f16;
use hearth_format::Bytes;

use super::cache::{Cache, PAGE, Page, Pages};
use crate::kernels::ops_tile::Element;

/// Keys and values of 64 positions in one layer. A clone shares them.
#[derive(Clone, Debug)]
pub struct CachePage(Typed);

#[derive(Clone, Debug)]
enum Typed {
    F32(Arc<Page<f32>>),
    F16(Arc<Page<f16>>),
}

/// Values of a page: memory of its own, or a part of a file, which is copied when it is written.
#[derive(Debug)]
pub(crate) enum Values<T> {
    Own(Box<[T]>),
    /// Aligned for `T` and whole values long.
    Lent(Bytes),
}

impl<T: Element> Values<T> {
    /// The first `count` values of `from`, which loses them; none where there are fewer, or they are not aligned.
    fn lend(from: &mut Bytes, count: usize) -> Option<Self> {
        let bytes = count.checked_mul(size_of::<T>())?;
        let part = from.slice(0, bytes)?;
        bytemuck::try_cast_slice::<u8, T>(&part).ok()?;
        *from = from.slice(bytes, from.len() - bytes)?;
        Some(Self::Lent(part))
    }
}

impl<T: Element> Deref for Values<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match self {
            Self::Own(values) => values,
            Self::Lent(bytes) => bytemuck::cast_slice(bytes),
        }
    }
}

impl<T: Element> DerefMut for Values<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        if let Self::Lent(_) = self {
            *self = self.clone();
        }
        let Self::Own(values) = self else {
            unreachable!("a clone is memory of its own");
        };
        values
    }
}

impl<T: Element> Clone for Values<T> {
    fn clone(&self) -> Self {
        Self::Own((**self).into())
    }
}

impl Cache {
    /// The page of a number, shared with this cache, which writes to a copy of its own from then on.
    pub(crate) fn page(&self, index: usize) -> Option<CachePage> {
        Some(CachePage(match &self.pages {
            Pages::F32(pages) => Typed::F32(pages.get(index)?.clone()),
            Pages::F16(pages) => Typed::F16(pages.get(index)?.clone()),
        }))
    }

    /// Appends the first `positions` of a page.
    ///
    /// # Panics
    /// When this cache is not whole pages long, or the page is of other sizes.
    pub(crate) fn append(&mut self, page: &CachePage, positions: usize) {
        assert!(
            self.len.is_multiple_of(PAGE) && positions <= PAGE,
            "{positions} positions after {}",
            self.len
        );
        match (&mut self.pages, &page.0) {
            (Pages::F32(pages), Typed::F32(page)) => pages.push(page.fitting(self.shape)),
            (Pages::F16(pages), Typed::F16(page)) => pages.push(page.fitting(self.shape)),
            _ => panic!("a page of another precision"),
        }
        self.len += positions;
    }
}

impl CachePage {
    /// Writes the values, keys first, in the machine's byte order.
    pub(crate) fn write(&self, to: &mut dyn Write) -> io::Result<()> {
        match &self.0 {
            Typed::F32(page) => page.write(to),
            Typed::F16(page) => page.write(to),
        }
    }

    /// Reads what [`Self::write`] wrote of a cache of the same sizes and precision as `like`.
    pub(crate) fn read(like: &Cache, from: &mut dyn Read) -> io::Result<Self> {
        Ok(Self(match &like.pages {
            Pages::F32(_) => Typed::F32(Page::read(like, from)?),
            Pages::F16(_) => Typed::F16(Page::read(like, from)?),
        }))
    }

    /// The page at the beginning of `from`, used where it lies.
    pub(crate) fn lend(like: &Cache, from: &mut Bytes) -> Option<Self> {
        Some(Self(match &like.pages {
            Pages::F32(_) => Typed::F32(Page::lend(like, from)?),
            Pages::F16(_) => Typed::F16(Page::lend(like, from)?),
        }))
    }
}

impl<T: Element> Page<T> {
    fn lend(like: &Cache, from: &mut Bytes) -> Option<Arc<Self>> {
        let [keys, values] = like.shape.page_parts();
        Some(Arc::new(Self {
            keys: Values::lend(from, keys)?,
            values: Values::lend(from, values)?,
        }))
    }

    fn write(&self, to: &mut dyn Write) -> io::Result<()> {
        to.write_all(bytemuck::cast_slice(&self.keys))?;
        to.write_all(bytemuck::cast_slice(&self.values))
    }

    fn read(like: &Cache, from: &mut dyn Read) -> io::Result<Arc<Self>> {
        let mut page = Self::new(like.shape);
        from.read_exact(bytemuck::cast_slice_mut(&mut page.keys))?;
        from.read_exact(bytemuck::cast_slice_mut(&mut page.values))?;
        Ok(Arc::new(page))
    }

    fn fitting(self: &Arc<Self>, shape: super::cache::Shape) -> Arc<Self> {
        assert!(
            [self.keys.len(), self.values.len()] == shape.page_parts(),
            "a page of another shape"
        );
        self.clone()
    }
}
